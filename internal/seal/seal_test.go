package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/seal"
)

func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

func keys(t testing.TB) *seal.Keys {
	t.Helper()
	k, err := seal.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestASecretIsNeverShown(t *testing.T) {
	const hidden = "correct horse"
	s := seal.Secret(hidden)
	type holder struct {
		Password seal.Secret            `json:"password"`
		Pointer  *seal.Secret           `json:"pointer"`
		List     []seal.Secret          `json:"list"`
		Map      map[string]seal.Secret `json:"map" xml:"-"`
	}
	h := holder{s, &s, []seal.Secret{s}, map[string]seal.Secret{"k": s}}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%c", "%U", "%e", "%10s", "%T %[1]v"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h))
	}
	shown = append(shown, fmt.Sprint(s), s.String(), s.GoString(), fmt.Errorf("bad: %w", errors.New(fmt.Sprint(s))).Error())
	asJSON, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	asXML, err := xml.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("x", "password", s, "holder", h, slog.Group("g", "password", s))
	}
	shown = append(shown, string(asJSON), string(asXML), log.String())
	for _, text := range shown {
		if strings.Contains(text, "horse") || strings.Contains(text, "686f727365") || strings.Contains(text, "686F727365") || strings.Contains(text, "68 6f") {
			t.Errorf("shown: %s", text)
		}
	}
	if got := fmt.Sprintf("%d|%s|%v", s, s, s); got != "[sealed]|[sealed]|[sealed]" {
		t.Errorf("got %q", got)
	}
	if s.Reveal() != hidden {
		t.Errorf("revealed %q", s.Reveal())
	}
	k := keys(t)
	if got := fmt.Sprintf("%v %+v %#v %s %s", k, k, k, k.String(), k.GoString()); strings.ReplaceAll(got, "[sealed]", "") != "    " {
		t.Errorf("keys print as %s", got)
	}
}

func TestTokens(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		secret, hash := seal.Token()
		raw, err := base64.RawURLEncoding.DecodeString(secret)
		if err != nil || len(raw) != 32 {
			t.Fatalf("%q: %d bytes, %v", secret, len(raw), err)
		}
		if seal.Hash(secret) != hash {
			t.Errorf("%q: the hash is of something else", secret)
		}
		if seen[secret] {
			t.Errorf("%q twice", secret)
		}
		seen[secret] = true
	}
}

func TestABoxOpensWhatIsItsOwn(t *testing.T) {
	k := keys(t)
	box, again, other := k.Box("totp"), k.Box("totp"), k.Box("mail")
	stranger := keys(t).Box("totp")
	rapid.Check(t, func(rt *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(rt, "plain")
		bound := rapid.String().Draw(rt, "bound")
		sealed := box.Seal(plain, bound)
		if len(sealed) != len(plain)+40 {
			rt.Errorf("%d bytes became %d", len(plain), len(sealed))
		}
		got, err := again.Open(sealed, bound)
		if err != nil || !bytes.Equal(got, plain) {
			rt.Fatalf("got %x, %v; want %x", got, err, plain)
		}
		if bytes.Equal(sealed, box.Seal(plain, bound)) {
			rt.Error("sealed twice, the same came out")
		}
		bad := bytes.Clone(sealed)
		bad[rapid.IntRange(0, len(bad)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		cut := sealed[:rapid.IntRange(0, len(sealed)-1).Draw(rt, "cut")]
		for name, try := range map[string]func() ([]byte, error){
			"one bit changed":  func() ([]byte, error) { return box.Open(bad, bound) },
			"cut short":        func() ([]byte, error) { return box.Open(cut, bound) },
			"moved elsewhere":  func() ([]byte, error) { return box.Open(sealed, bound+"x") },
			"another purpose":  func() ([]byte, error) { return other.Open(sealed, bound) },
			"another city":     func() ([]byte, error) { return stranger.Open(sealed, bound) },
			"something longer": func() ([]byte, error) { return box.Open(append(bytes.Clone(sealed), 0), bound) },
		} {
			if got, err := try(); parvis.CodeOf(err) != parvis.CodeInvalid || got != nil {
				rt.Errorf("%s: got %x, %v", name, got, err)
			}
		}
	})
}

type payload struct {
	App  string
	Path string
}

func TestTickets(t *testing.T) {
	k := keys(t)
	box := k.Box("return")
	want := payload{"payroll", "/2026/02?a=b"}
	ticket, err := box.Issue(want, noon(), 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Trim(ticket, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("%q does not go into a URL as it is", ticket)
	}
	long, err := box.Issue(payload{Path: strings.Repeat("x", 30000)}, noon(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	// The last sign of a ticket has bits that mean nothing; another spelling
	// of the same bytes is refused.
	spelt := ticket[:len(ticket)-1] + string(ticket[len(ticket)-1]+1)
	tests := []struct {
		name    string
		box     *seal.Box
		ticket  string
		at      time.Time
		expired bool
		ok      bool
	}{
		{"at once", box, ticket, noon(), false, true},
		{"at the last moment", box, ticket, noon().Add(30*time.Second - time.Microsecond), false, true},
		{"a moment too late", box, ticket, noon().Add(30 * time.Second), true, false},
		{"years later", box, ticket, noon().AddDate(9, 0, 0), true, false},
		{"another purpose", k.Box("enter"), ticket, noon(), false, false},
		{"another city", keys(t).Box("return"), ticket, noon(), false, false},
		{"nothing", box, "", noon(), false, false},
		{"not base64url", box, ticket[:20] + "+" + ticket[21:], noon(), false, false},
		{"a line break inside", box, ticket[:20] + "\n" + ticket[20:], noon(), false, false},
		{"padded", box, ticket + "=", noon(), false, false},
		{"spelt otherwise", box, spelt, noon(), false, false},
		{"too long", box, long, noon(), false, false},
		{"a sealed row", box, base64.RawURLEncoding.EncodeToString(box.Seal([]byte("12345678{}"), "row")), noon(), false, false},
		{"no moment", box, base64.RawURLEncoding.EncodeToString(box.Seal([]byte("{}"), "ticket")), noon(), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got payload
			err := tt.box.Redeem(tt.ticket, tt.at, &got)
			if tt.ok {
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
				return
			}
			if parvis.CodeOf(err) != parvis.CodeInvalid || errors.Is(err, seal.ErrExpired) != tt.expired {
				t.Errorf("got %v, want invalid, expired %v", err, tt.expired)
			}
			if got != (payload{}) {
				t.Errorf("something was read: %v", got)
			}
		})
	}
	if _, err := box.Issue(make(chan int), noon(), time.Minute); parvis.CodeOf(err) != parvis.CodeInternal {
		t.Errorf("a payload without JSON: got %v", err)
	}
	var number int
	if err := box.Redeem(ticket, noon(), &number); parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("a payload of another kind: got %v", err)
	}
}

func FuzzRedeem(f *testing.F) {
	box := keys(f).Box("return")
	good, err := box.Issue(payload{"a", "b"}, noon(), time.Minute)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good + "A")
	f.Add("")
	f.Add("!")
	f.Fuzz(func(t *testing.T, ticket string) {
		var got payload
		err := box.Redeem(ticket, noon(), &got)
		if (err == nil) != (ticket == good) {
			t.Errorf("%q: got %v, %v", ticket, got, err)
		}
	})
}

func TestMACsAreApart(t *testing.T) {
	k, stranger := keys(t), keys(t)
	b := func(s string) []byte { return []byte(s) }
	all := map[[32]byte]string{}
	for name, mac := range map[string][32]byte{
		"nothing":         k.MAC("p"),
		"an empty part":   k.MAC("p", nil),
		"two empty parts": k.MAC("p", nil, nil),
		"ab c":            k.MAC("p", b("ab"), b("c")),
		"a bc":            k.MAC("p", b("a"), b("bc")),
		"abc":             k.MAC("p", b("abc")),
		"another purpose": k.MAC("q", b("abc")),
		"another city":    stranger.MAC("p", b("abc")),
	} {
		if other, taken := all[mac]; taken {
			t.Errorf("%s and %s have the same MAC", name, other)
		}
		all[mac] = name
	}
	first := k.MAC("p", b("a"))
	if again := k.MAC("p", b("a")); again != first {
		t.Error("a MAC changes")
	}
}

func TestKeysStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "keys")
	first, err := seal.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v; want three files", entries, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v", info.Mode(), err)
	}
	second, err := seal.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	same(t, first, second)
	key, kid := first.Assertion()
	if key == nil || len(kid) != 43 {
		t.Errorf("kid %q", kid)
	}
}

// same checks that two have the same keys.
func same(t *testing.T, a, b *seal.Keys) {
	t.Helper()
	if plain, err := b.Box("x").Open(a.Box("x").Seal([]byte("p"), "b"), "b"); err != nil || string(plain) != "p" {
		t.Errorf("another master key: %v", err)
	}
	if a.MAC("x") != b.MAC("x") {
		t.Error("another key for MACs")
	}
	ka, kida := a.Assertion()
	kb, kidb := b.Assertion()
	if !ka.Equal(kb) || kida != kidb {
		t.Error("another assertion key")
	}
	signer, _ := a.Note()
	_, verifier := b.Note()
	signed, err := note.Sign(&note.Note{Text: "x\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		t.Errorf("another key for heads: %v", err)
	}
}

func TestManyOpenNewKeysAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	all := make([]*seal.Keys, 8)
	var group sync.WaitGroup
	for i := range all {
		group.Go(func() {
			var err error
			if all[i], err = seal.OpenKeys(dir); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, k := range all {
		if k != nil && all[0] != nil {
			same(t, all[0], k)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); err != nil || left != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestKeysThatCannotBeTrustedAreRefused(t *testing.T) {
	pem := func(body string) string {
		return "-----BEGIN PRIVATE KEY-----\n" + body + "\n-----END PRIVATE KEY-----\n"
	}
	tests := []struct {
		name   string
		tamper func(dir string) error
		says   string
	}{
		{"an open directory", func(dir string) error { return os.Chmod(dir, 0o750) }, "chmod 0700"},
		{"a readable master key", func(dir string) error { return os.Chmod(dir+"/master.key", 0o640) }, "chmod 0600"},
		{"a readable assertion key", func(dir string) error { return os.Chmod(dir+"/assertion.key", 0o604) }, "chmod 0600"},
		{"a writable audit key", func(dir string) error { return os.Chmod(dir+"/audit.key", 0o620) }, "chmod 0600"},
		{"an empty master key", put("master.key", ""), "does not hold a key"},
		{"a short master key", put("master.key", "AAAA"), "does not hold a key"},
		{"no PEM", put("assertion.key", "x"), "P-256"},
		{"no PKCS #8", put("assertion.key", pem("AAAA")), "P-256"},
		{
			"an Ed25519 key", // RFC 8410 §10.3
			put("assertion.key", pem("MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC")), "P-256",
		},
		{"no pair", put("audit.key", "x\ny\n"), "pair"},
		{"half a pair", put("audit.key", ""), "pair"},
		{"a link", func(dir string) error {
			return errors.Join(os.Rename(dir+"/master.key", dir+"/other"), os.Symlink("other", dir+"/master.key"))
		}, "plain file"},
		{"a directory for a key", func(dir string) error {
			return errors.Join(os.Remove(dir+"/audit.key"), os.Mkdir(dir+"/audit.key", 0o700))
		}, "directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			if _, err := seal.OpenKeys(dir); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(dir + "/master.key")
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.tamper(dir); err != nil {
				t.Fatal(err)
			}
			_, err = seal.OpenKeys(dir)
			if parvis.CodeOf(err) != parvis.CodeInvalid || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want invalid and %q", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), strings.TrimSpace(string(before))) {
				t.Error("the error tells the key")
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenKeys(file); parvis.CodeOf(err) != parvis.CodeUnavailable || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file for a directory: got %v", err)
	}
}

func put(name, text string) func(dir string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
}
