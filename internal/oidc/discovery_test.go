package oidc

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

func TestIssuersAreApart(t *testing.T) {
	tn := open(t, client("api", func(a *parvis.App) { a.OIDC.Introspects = true }))
	tn.signIn(agentOne)
	got := tn.redeem("rp", tn.code(asks("rp")))
	code := tn.code(asks("rp"))
	tn.channel = parvis.Mobile
	if w := tn.form("/token", redemption("rp", code), false); tn.answer(w).Error != "invalid_grant" {
		t.Errorf("a code of the other issuer: %s", w.Body)
	}
	if status, _ := tn.userInfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("an access token of the other issuer: %d", status)
	}
	if again := tn.refresh("rp", got.Refresh); again.Error != "invalid_grant" {
		t.Errorf("a refresh token of the other issuer: %+v", again)
	}
	if tn.active("rp", got.Access) || tn.active("rp", got.Refresh) {
		t.Error("the other issuer's tokens are known here")
	}
	if !tn.active("api", got.Access) || !tn.active("api", got.Refresh) {
		t.Error("a resource server asks either issuer")
	}
	tn.cookies = nil
	tn.signIn(agentOne)
	u := tn.authorize(asks("rp"))
	if u.Query().Get("iss") != outside || tn.claims(tn.redeem("rp", u.Query().Get("code")).ID)["iss"] != outside {
		t.Errorf("here: %s", u)
	}
}

func TestDiscovery(t *testing.T) {
	tn := open(t)
	w := tn.get("/.well-known/openid-configuration")
	var d map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"issuer": inside, "end_session_endpoint": inside + "/oidc/logout", "request_uri_parameter_supported": false,
		"jwks_uri": inside + "/.well-known/jwks.json", "registration_endpoint": nil, "backchannel_logout_session_supported": true,
		"code_challenge_methods_supported": []any{"S256"}, "authorization_response_iss_parameter_supported": true,
		"response_types_supported": []any{"code"}, "claims_parameter_supported": true, "device_authorization_endpoint": inside + "/device_authorization",
		"pushed_authorization_request_endpoint": inside + "/par", "subject_types_supported": []any{"public", "pairwise"},
		"response_modes_supported": []any{"query", "fragment", "form_post"},
		"grant_types_supported":    []any{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
	} {
		if diff := cmp.Diff(want, d[name]); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	for _, list := range []string{"id_token_signing_alg_values_supported", "acr_values_supported", "scopes_supported", "dpop_signing_alg_values_supported", "token_endpoint_auth_methods_supported"} {
		t.Logf("%s: %v", list, d[list])
		if all, _ := d[list].([]any); len(all) < 2 {
			t.Errorf("%s: %v", list, d[list])
		}
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page of a client cannot read it")
	}
	if w := tn.form("/.well-known/jwks.json", nil, false); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
		t.Errorf("posted: %d %s", w.Code, w.Header())
	}
	for _, path := range []string{"/authorize/x", "/register", "/logout", "/jwks", "/"} {
		if tn.p.Serves(path) || tn.get(path).Code != http.StatusNotFound {
			t.Errorf("%s is served", path)
		}
	}
}

func TestOtherOrigins(t *testing.T) {
	tn := open(t, client("pub", func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Secrets, a.OIDC.Redirects = parvis.PublicClient, nil, []string{"https://spa.example/cb"}
	}))
	for _, c := range []struct {
		path, origin, want string
	}{
		{"/token", "https://spa.example", "https://spa.example"},
		{"/userinfo", "https://spa.example", "https://spa.example"},
		{"/revoke", "https://spa.example", "https://spa.example"},
		{"/token", "https://rp.example", ""}, // a confidential client has no page that redeems
		{"/token", "https://evil.example", ""},
		{"/token", "null", ""},
		{"/authorize", "https://spa.example", ""},
		{"/par", "https://spa.example", ""},
		{"/.well-known/jwks.json", "https://evil.example", "*"},
	} {
		for _, method := range []string{http.MethodOptions, http.MethodPost} {
			r := httptest.NewRequest(method, c.path, nil)
			r.Header.Set("Origin", c.origin)
			if method == http.MethodOptions {
				r.Header.Set("Access-Control-Request-Method", map[bool]string{true: "GET", false: "POST"}[strings.HasPrefix(c.path, "/.well")])
			} else if strings.HasPrefix(c.path, "/.well") {
				r.Method = http.MethodGet
			}
			w := tn.do(r, false)
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != c.want {
				t.Errorf("%s %s from %s: %q, want %q", method, c.path, c.origin, got, c.want)
			}
			if w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: cookies count", c.path)
			}
		}
	}
}

func TestKeysOverlap(t *testing.T) {
	tn := open(t, client("rsa", func(a *parvis.App) { a.OIDC.RS256 = true }))
	s := tn.signIn(agentOne)
	got := tn.redeem("rp", tn.code(asks("rp")))
	tn.leave(s)
	kids := func() (all []string) {
		var set struct {
			Keys []struct{ Kid, Alg, D string }
		}
		tn.must(json.Unmarshal(tn.get("/.well-known/jwks.json").Body.Bytes(), &set))
		for _, k := range set.Keys {
			if k.D != "" {
				t.Errorf("a private key is published: %s", k.Kid)
			}
			all = append(all, k.Alg+" "+k.Kid)
		}
		return all
	}
	before := kids()
	if len(before) != 3 || !strings.HasPrefix(before[2], "RS256") {
		t.Fatalf("keys: %v", before)
	}
	tn.clock.Move(90 * 24 * time.Hour)
	if during := kids(); len(during) != 5 {
		t.Errorf("announced: %v", during)
	}
	tn.clock.Move(time.Hour + time.Minute)
	s = tn.signIn(agentOne)
	after := tn.redeem("rp", tn.code(asks("rp")))
	if tn.claims(got.ID)["sub"] != string(agentOne) { // still to be checked
		t.Error("what the first key signed cannot be checked")
	}
	if header(t, got.ID)["kid"] == header(t, after.ID)["kid"] {
		t.Error("the same key signs")
	}
	tn.leave(s)
	tn.clock.Move(25 * time.Hour)
	if in := kids(); slices.Contains(in, before[1]) || len(in) != 3 {
		t.Errorf("in the end: %v", in)
	}
	tn.signIn(agentOne)
	if h := header(t, tn.redeem("rsa", tn.code(asks("rsa"))).ID); h["alg"] != "RS256" {
		t.Errorf("asked for RS256: %v", h)
	}
}

func header(t testing.TB, token string) map[string]any {
	t.Helper()
	h := map[string]any{}
	if !unverified(token, &h, &map[string]any{}) {
		t.Fatalf("not a token: %s", token)
	}
	return h
}
