package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

	"parvis"
	"parvis/internal/config"
	"parvis/internal/credential"
	"parvis/internal/demo"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// settings changes what the file of an installation says.
func settings(t *testing.T, file string, change func(*config.Config)) {
	t.Helper()
	c, _, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	change(c)
	b, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	writeDraft(t, file, string(b))
}

func embedded(address string) config.Verifier {
	name := config.Words{FR: "Mon Compte", EN: "Mon Compte"}
	return config.Verifier{
		Label: name, Rules: []config.Rule{{Mode: string(parvis.VerifierFirst)}},
		Embedded: config.Embedded{Listen: "127.0.0.1:0", Address: address, Owner: config.Words{FR: "les habitants", EN: "residents"}},
	}
}

func TestUnfinished(t *testing.T) {
	file := installed(t)
	if out, _ := runCommand(t, 0, "agent", "list", "--unfinished", "-c", file); !strings.Contains(out, "A1      Camille Martin  active  password or passkey  it_contact  ville-bains\n") {
		t.Errorf("in words:\n%s", out)
	}
	settings(t, file, func(c *config.Config) {
		c.Verifier = embedded("https://moncompte.example.org")
		c.Profiles[0].Second.Mobile.Strength = "any"
	})
	out, errs := runCommand(t, 0, "agent", "list", "--unfinished", "--limit", "1", "--json", "-c", file)
	var got []unfinishedView
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	want := []unfinishedView{{
		Number: "A1", Name: "Camille Martin", Unit: "ville-bains", State: parvis.Active,
		Missing: []missingView{
			{Task: "account", Reason: parvis.WhyAgentAccountNotActivated, By: parvis.ByITContact},
			{Task: "verifier", Reason: parvis.WhyVerifierMissing, By: parvis.ByVerifierOwner},
			{Task: "second", Reason: parvis.WhyFactorRequired, By: parvis.ByITContact},
		},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s%s", d, errs)
	}
	out, errs = runCommand(t, 0, "agent", "list", "--unfinished", "--limit", "1", "--after", "A1", "-c", file)
	if !strings.Contains(out, "A2      Lou Petit") || strings.Contains(errs, "the first 1") {
		t.Errorf("the last page:\n%s%s", out, errs)
	}
	if _, errs = runCommand(t, 0, "agent", "list", "--unfinished", "--state", "pre_arrival", "-c", file); !strings.Contains(errs, "everybody") {
		t.Errorf("nobody arrives: %s", errs)
	}
}

func TestTemporaryCode(t *testing.T) {
	file := installed(t)
	show := func(status int, more ...string) (string, string) {
		t.Helper()
		return runCommand(t, status, append([]string{"agent", "show", "A1", "-c", file}, more...)...)
	}
	if _, errs := show(2, "--temporary-code", "2h"); !strings.Contains(errs, "--reason") {
		t.Errorf("without a reason: %s", errs)
	}
	for _, lasts := range []string{"9m", "9h", "-1h"} {
		if _, errs := show(2, "--temporary-code="+lasts, "--reason", "lost"); !strings.Contains(errs, "10m to 8h") {
			t.Errorf("for %s: %s", lasts, errs)
		}
	}
	if _, errs := show(2, "--temporary-code", "2h", "--reason", strings.Repeat("x", 70)); !strings.Contains(errs, "10 signs fewer") {
		t.Errorf("a long reason: %s", errs)
	}
	out, _ := show(0, "--temporary-code", "2h", "--reason", "phone lost", "--json")
	var v agentView
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*v.TemporaryUntil); len(v.Temporary) != 11 || left < time.Hour || left > 2*time.Hour {
		t.Errorf("code %q for %v", v.Temporary, left)
	}
	// A sensitive profile needs somebody else who answers for it.
	settings(t, file, func(c *config.Config) { c.Profiles[0].Sensitive = true })
	refused := map[string]string{"": "two people", "A1": "somebody else", "A2": "no role that helps agents", "A9": "there is no agent A9"}
	for second, want := range refused {
		if _, errs := show(1, "--temporary-code", "2h", "--reason", "phone lost", "--second-person", second); !strings.Contains(errs, want) {
			t.Errorf("with %q: %s", second, errs)
		}
	}
	runCommand(t, 0, "admin", "grant", "A2", "it_contact", "-c", file)
	show(0, "--temporary-code", "2h", "--reason", "phone lost", "--second-person", "a2")
	out, _ = runCommand(t, 0, "audit", "export", "-c", file)
	if !strings.Contains(out, "with A2: phone lost") || strings.Contains(out, v.Temporary) {
		t.Errorf("the record:\n%s", out)
	}
}

func TestPeer(t *testing.T) {
	from := peer(config.Prefixes([]string{"10.0.0.1", "10.0.0.2"}))
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.9:1", "203.0.113.7", "192.0.2.9"}, // nobody's proxy says nothing
		{"10.0.0.1:1", "203.0.113.7", "203.0.113.7"},
		{"10.0.0.1:1", "198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"},
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "203.0.113.7, rubbish", "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1", "2001:db8::1", "2001:db8::1"},
		{"rubbish", "203.0.113.7", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := from(r); got != c.want {
			t.Errorf("%s, %q: from %q, want %q", c.remote, c.forwarded, got, c.want)
		}
	}
}

func FuzzPeer(f *testing.F) {
	f.Add("10.0.0.1:1", "203.0.113.7, 10.0.0.1")
	from := peer(config.Prefixes([]string{"10.0.0.0/8"}))
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		got := from(r)
		if _, err := netip.ParseAddr(got); got != "" && err != nil {
			t.Errorf("%q is no address", got)
		}
	})
}

func TestTextMessages(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	writeDraft(t, secret, "s3cret\n")
	all, err := textMessages(config.SMS{Providers: []config.SMSProvider{
		{Kind: "smpp", Server: "smsc.example.org:3550", System: "ville", Password: secret, From: "VILLE", Timeout: "3s"},
		{Kind: "http", URL: "https://sms.example.org/", Headers: []config.Header{{Name: "X-Key", Value: "{secret}"}}, Secret: secret, Refused: []int{422}},
	}}, slog.New(slog.DiscardHandler))
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	smpp, ok1 := all[0].(*notify.SMPP)
	gate, ok2 := all[1].(*notify.HTTPGateway)
	if !ok1 || !ok2 {
		t.Fatalf("%T, %T", all[0], all[1])
	}
	if smpp.Host != "smsc.example.org" || smpp.Port != 3550 || smpp.Transport != notify.TransportImplicit || smpp.Password.Reveal() != "s3cret" || smpp.Timeout != 3*time.Second {
		t.Errorf("%s port %d, %s, %v", smpp.Host, smpp.Port, smpp.Transport, smpp.Timeout)
	}
	if gate.Headers["X-Key"] != "{secret}" || gate.Secret.Reveal() != "s3cret" || !slices.Equal(gate.Refused, []int{422}) {
		t.Errorf("%v, %v", gate.Headers, gate.Refused)
	}
	if _, err := textMessages(config.SMS{Providers: []config.SMSProvider{{Kind: "http", Secret: secret + "x"}}}, nil); err == nil {
		t.Error("a secret that is not there was read")
	}
}

func TestAttestation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "roots.pem")
	writeDraft(t, file, "nothing")
	if _, err := attestation(config.Attestation{Roots: file}); err == nil {
		t.Error("a file without a certificate was taken")
	}
	if got, err := attestation(config.Attestation{Required: true, Models: []string{"m"}}); err != nil || !got.Require || got.Roots != nil || len(got.AAGUIDs) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// cityHouse builds the house of a demonstration city, without its doors.
func cityHouse(t *testing.T, dir, address string) (*house, *demo.City) {
	t.Helper()
	c := config.Default()
	c.Data = dir
	c.Portals = config.Portals{Internal: "http://agents.localhost:8080", Mobile: "http://nomade.localhost:8081"}
	c.Verifier = embedded(address)
	c.Organisation.Contacts = []config.Contact{{Role: "it_contact", Email: "correspondants@example.org"}}
	for _, app := range demo.Apps() {
		app.Upstream = "http://127.0.0.1:9"
		c.Applications = append(c.Applications, config.AppOf(app))
	}
	h, err := build(t.Context(), c, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.close() })
	if _, err := h.embedded.Handler(); err != nil {
		t.Fatal(err)
	}
	return h, &demo.City{
		Store: h.store, Directory: h.directory, Vault: h.vault, Desk: h.desk, Clock: time.Now, Zone: h.zone,
		Dir: dir, Issuer: address, Account: h.embedded.Add,
	}
}

// TestTheCityHoldsWhatItSays settles a city, and settles in it again later,
// at another address.
func TestTheCityHoldsWhatItSays(t *testing.T) {
	dir := t.TempDir()
	h, city := cityHouse(t, dir, "http://moncompte.localhost:8082")
	first, err := city.Settle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	with, tied := []parvis.AgentNumber{}, 0
	for _, p := range first {
		st, err := h.store.Standing(t.Context(), p.Number)
		if err != nil {
			t.Fatal(err)
		}
		if p.TOTPSecret != "" {
			with = append(with, p.Number)
			tryNow(t, h, p)
		}
		if (p.TOTPSecret != "") != st.SecondEnrolled() || (p.Verifier != nil) != st.VerifierLinked {
			t.Errorf("%s: %v, linked %v, is not what is told", p.Number, st.Enrolled, st.VerifierLinked)
		}
		if p.Verifier != nil {
			tied++
		}
	}
	if d := cmp.Diff([]parvis.AgentNumber{"A100003", "A100005", "A100020", "A100040", "A100050"}, with); d != "" || tied != 11 {
		t.Errorf("authenticators (-want +got):\n%s%d tied", d, tied)
	}
	for _, who := range []struct {
		number parvis.AgentNumber
		want   []string
	}{{"A100001", []string{"denis.caron@example.org"}}, {"A100003", []string{"correspondants@example.org"}}} {
		a, _, err := h.directory.Facts(t.Context(), who.number)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(who.want, h.contacts(t.Context(), a)); d != "" {
			t.Errorf("contacts of %s (-want +got):\n%s", who.number, d)
		}
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}

	const moved = "http://moncompte.localhost:9082"
	h, city = cityHouse(t, dir, moved)
	again, err := city.Settle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range again {
		if p.TOTPSecret != first[i].TOTPSecret || p.Password != first[i].Password {
			t.Errorf("%s holds something else after a restart", p.Number)
		}
		links, err := h.store.Links(t.Context(), p.Number)
		if err != nil {
			t.Fatal(err)
		}
		if p.Verifier != nil && (len(links) != 1 || links[0].Issuer != moved || links[0].Level != "eidas1") {
			t.Errorf("%s is tied to %v", p.Number, links)
		}
	}
}

// tryNow shows that the code of this very moment is not used up.
func tryNow(t *testing.T, h *house, p demo.Person) {
	t.Helper()
	err := h.store.Write(t.Context(), func(tx *store.Tx) error {
		code, err := totp.GenerateCode(p.TOTPSecret, tx.Now())
		if err != nil {
			return err
		}
		v, err := h.vault.TryCode(t.Context(), tx, credential.CodeTry{Agent: p.Number, Code: seal.Secret(code)})
		if err == nil && !v.OK {
			t.Errorf("%s: %s", p.Number, v.Reason.Code)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestKeysForProviders reads our keys as a provider does.
func TestKeysForProviders(t *testing.T) {
	h, _ := cityHouse(t, t.TempDir(), "http://moncompte.localhost:8082")
	pages := h.ourKeys(http.NotFoundHandler())
	w := httptest.NewRecorder()
	pages.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/verifier/jwks.json", nil))
	var keys struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &keys); err != nil || w.Code != http.StatusOK || len(keys.Keys) == 0 {
		t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}
	for _, k := range keys.Keys {
		if _, private := k["d"]; private {
			t.Error("a private key left")
		}
	}
	w = httptest.NewRecorder()
	pages.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/verifier/jwks.json", bytes.NewReader(nil)))
	if w.Code != http.StatusNotFound {
		t.Errorf("a post answers %d", w.Code)
	}
}
