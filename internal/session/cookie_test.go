package session

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestCookies(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		clock := new(storetest.Clock)
		k := keeper(t, storetest.Open(t, url, clock), clock, keys(t))
		for _, c := range []struct {
			channel parvis.Channel
			url     string
			name    string
			secure  bool
		}{
			{parvis.Internal, "http://" + plainPortal + "/", "parvis", false},
			{parvis.Mobile, "https://" + securePortal + "/", "__Host-parvis", true},
		} {
			var token Token
			write(t, k, func(tx *store.Tx) (err error) {
				token, _, err = k.Begin(tx, Beginning{Agent: "A1", Origin: parvis.Origin{Channel: c.channel}, Proofs: []parvis.Proof{{Kind: parvis.Password, At: tx.Now()}}})
				return err
			})
			if s := fmt.Sprintf("%v %+v %#v %s", token, token, token, token); strings.Contains(s, token.secret.Reveal()) {
				t.Errorf("a token prints its secret: %s", s)
			}
			b := &browser{cookies: map[string]string{}}
			set := b.take(func(w http.ResponseWriter) { k.Give(w, token) })[0]
			if set.Name != c.name || set.Secure != c.secure || !set.HttpOnly || set.SameSite != http.SameSiteLaxMode || set.Path != "/" || set.Domain != "" {
				t.Errorf("%s: cookie %v", c.channel, set)
			}
			if _, err := k.Of(b.get(c.url)); err != nil {
				t.Errorf("%s: not found by its own cookie", c.channel)
			}
			twice := b.get(c.url)
			twice.Header.Add("Cookie", c.name+"="+strings.Repeat("A", tokenLength))
			if _, err := k.Of(twice); err == nil {
				t.Errorf("%s: believed one of two cookies of one name", c.channel)
			}
			other := httptest.NewRequest(http.MethodGet, c.url, nil)
			other.AddCookie(&http.Cookie{Name: map[bool]string{true: "parvis", false: "__Host-parvis"}[c.secure], Value: set.Value})
			if _, err := k.Of(other); err == nil {
				t.Errorf("%s: believed the cookie name of the other kind of entrance", c.channel)
			}
			b.take(func(w http.ResponseWriter) { k.Drop(w) })
			if len(b.cookies) != 0 {
				t.Errorf("%s: cookies left after Drop: %v", c.channel, b.cookies)
			}
		}
	})
}

func TestOurCookiesNeverPass(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"a=1; b=2"}, []string{"a=1; b=2"}},
		{[]string{"parvis-app=x"}, nil},
		{[]string{"a=1; parvis-app=x;b=2"}, []string{"a=1; b=2"}},
		{[]string{"__Host-parvis-app=x; __Host-parvis=y; parvis=z; parvis-enter=q"}, nil},
		{[]string{"a=1", "parvis=2", "c=3; parvis-app"}, []string{"a=1", "c=3"}},
		{[]string{"parvisite=1; x=parvis"}, []string{"parvisite=1; x=parvis"}},
		{[]string{"  parvis =1; z=1"}, []string{"z=1"}},
	} {
		h := http.Header{"Cookie": c.in}
		if c.in == nil {
			h = http.Header{}
		}
		Strip(h)
		if diff := cmp.Diff(c.want, h["Cookie"]); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.in, diff)
		}
	}
	for _, c := range []struct {
		line string
		kept bool
	}{
		{"sid=1; Path=/", true},
		{"parvis-app=evil; Path=/", false},
		{" parvis = evil; Domain=agents.localhost", false},
		{"__Host-parvis=evil; Secure", false},
		{"=parvis-app=evil", false},
		{"parvis-app", false},
		{"=value", true},
		{"parvisite=1", true},
	} {
		h := http.Header{"Set-Cookie": {"first=1", c.line, "last=1"}}
		Guard(h)
		want := []string{"first=1", c.line, "last=1"}
		if !c.kept {
			want = []string{"first=1", "last=1"}
		}
		if diff := cmp.Diff(want, h["Set-Cookie"]); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.line, diff)
		}
	}
}

func TestReturnPathsStayHere(t *testing.T) {
	for _, p := range []string{
		"", "//evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example", "javascript:alert(1)", "/\t/evil.example",
		"/\n/evil.example", "/a\r\nSet-Cookie: x=1", "evil.example", "/é", "/ /evil", "/\x00", "/.parvis/enter?ticket=x", "/" + strings.Repeat("a", 3000),
	} {
		if local(p) {
			t.Errorf("%q passes for a path of this host", p)
		}
	}
	for _, p := range []string{"/", "/a/b?c=d&e=%2F%2Fx", "/%2f%2fevil", "/.well-known/x", "/@evil.example"} {
		if !local(p) {
			t.Errorf("%q does not pass", p)
		}
	}
}

func FuzzReturnPath(f *testing.F) {
	f.Add("/.parvis/AAAAAAAAAAAAAAAAAAAAAA/a")
	f.Add("/.parvis/AAAAAAAAAAAAAAAAAAAAAA//evil")
	f.Fuzz(func(t *testing.T, s string) {
		if _, path := marked(s); !local(path) {
			t.Errorf("%q leads to %q", s, path)
		}
	})
}

func TestBrowserNamesOnlyWhatItKnows(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0": "Edge, Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1":       "Safari, iPhone",
		"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36":              "Chrome, Android",
		"<script>alert(1)</script>": "",
		"curl/8.1":                  "curl",
	} {
		if got := Browser(agent); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
}
