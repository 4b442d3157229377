package edge

import (
	"net/http"
	"strings"
	"testing"
)

// TestLead: what is added to a policy is an origin that a form, or a frame, may
// have; nothing that is not one changes the policy.
func TestLead(t *testing.T) {
	const before = "default-src 'none'; form-action 'self' https://*.a.example; base-uri 'none'"
	for _, c := range []struct {
		name      string
		addresses []string
		want      string // of form-action
	}{
		{"nothing", nil, "form-action 'self' https://*.a.example;"},
		{"an address", []string{"https://App.example.org/cb?x=1"}, "form-action 'self' https://*.a.example https://app.example.org;"},
		{"a port", []string{"https://app.example.org:8443/"}, "form-action 'self' https://*.a.example https://app.example.org:8443;"},
		{"twice", []string{"https://app.example.org/a", "https://app.example.org/b"}, "form-action 'self' https://*.a.example https://app.example.org;"},
		{"there already", []string{"https://*.a.example/"}, "form-action 'self' https://*.a.example;"},
		{"loopback", []string{"http://127.0.0.1/cb", "http://wiki.localhost:3000/cb"}, "form-action 'self' https://*.a.example http://127.0.0.1:* http://wiki.localhost:*;"},
		{
			"no address of the kind",
			[]string{
				"http://app.example.org/", "com.example:/cb", "javascript:alert(1)", "", "/cb", "//x.example", "https://", "https://u@x.example/",
				"https://x.example;script-src/*", "https://x.example, https://y.example", "data:text/html,x", "https://*/", "http://localhost.example.org/", "'self'",
			},
			"form-action 'self' https://*.a.example;",
		},
	} {
		h := http.Header{}
		h.Set(policyField, before)
		Lead(h, c.addresses...)
		if got, want := h.Get(policyField), "default-src 'none'; "+c.want+" base-uri 'none'"; got != want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	h := http.Header{}
	Lead(h, "https://app.example.org/")
	if got := h.Get(policyField); got != "" {
		t.Errorf("a policy out of nothing: %s", got)
	}
	h.Set(policyField, before)
	Frame(h, "https://app.example.org/out", "http://app.example.org/out")
	Frame(h, "https://other.example.org/out")
	if got, want := h.Get(policyField), before+"; frame-src https://app.example.org https://other.example.org"; got != want {
		t.Errorf("with frames: %s", got)
	}
}

// TestPrograms: what believes no cookie takes posts from other sites; nothing
// else does, and no pattern reaches further than it says.
func TestPrograms(t *testing.T) {
	h := newHouse(t)
	h.Programs = []string{"/token", "POST /authorize"}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/token", http.StatusOK},
		{http.MethodPost, "/authorize", http.StatusOK},
		{http.MethodPost, "/authorize?x=1", http.StatusOK},
		{http.MethodPut, "/authorize", http.StatusForbidden},
		{http.MethodPost, "/token/", http.StatusForbidden},
		{http.MethodPost, "//token", http.StatusForbidden},
		{http.MethodPost, "/x/../token", http.StatusForbidden},
		{http.MethodPost, "/tokens", http.StatusForbidden},
		{http.MethodPost, "/signin", http.StatusForbidden},
		{http.MethodPost, "/", http.StatusForbidden},
	} {
		w := h.ask(c.method, "https://"+portalHost+c.path, func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://evil.example")
		})
		if w.Code != c.want {
			t.Errorf("%s %s from another site: %d", c.method, c.path, w.Code)
		}
	}
}

// FuzzLead: whatever the addresses, a policy gains sources in one directive.
func FuzzLead(f *testing.F) {
	for _, s := range []string{"https://a.example", "http://[::1]:8/", "https://a;b", "https://a b", "https://é.example", "https://[::1]%25;x/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		h := http.Header{}
		h.Set(policyField, "default-src 'none'; form-action 'self'; base-uri 'none'")
		Lead(h, address)
		got := h.Get(policyField)
		rest, ok := strings.CutPrefix(got, "default-src 'none'; form-action 'self'")
		source, ok2 := strings.CutSuffix(rest, "; base-uri 'none'")
		if !ok || !ok2 || strings.ContainsAny(source, ";,'\"\r\n") || len(strings.Fields(source)) > 1 {
			t.Errorf("%q: %s", address, got)
		}
	})
}
