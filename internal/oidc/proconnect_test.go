package oidc

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parvis"
)

const (
	proBack  = "https://proconnect.example/api/v2/oidc-callback"
	proOut   = "https://proconnect.example/api/v2/client/logout-callback"
	proScope = "openid uid given_name usual_name email siren siret organizational_unit belonging_population phone chorusdt"
)

// proConnect is the national federation as a client of ours (domain.md 3.1).
func proConnect(a *parvis.App) {
	a.OIDC.Redirects, a.OIDC.LogoutRedirects, a.OIDC.SignedUserInfo = []string{proBack}, []string{proOut}, true
	a.OIDC.NoPKCE = true // it sends none
}

func proAsks(pairs ...string) url.Values {
	return asks("proconnect", append([]string{
		"redirect_uri", proBack, "scope", proScope, "code_challenge", "", "code_challenge_method", "",
		"login_hint", "zoe+test@example.org", "sp_name", "Démarches", "sp_id", "6d1f", "siret_hint", "21750001600019", "remember_me", "true",
	}, pairs...)...)
}

// What the federation asks of an identity provider, in the order of domain.md 3.1.
func TestProConnect(t *testing.T) {
	tn := open(t, client("proconnect", proConnect))
	s := tn.signIn(agentOne)
	// Its client: client_secret_post, extra parameters at the token endpoint, an
	// unknown scope, the legacy acr_values.
	exchange := func(code string) tokens {
		t.Helper()
		return tn.redeem("proconnect", code, "redirect_uri", proBack, "code_verifier", "", "sp_id", "6d1f", "sp_name", "Démarches")
	}
	got := exchange(tn.code(proAsks("acr_values", "eidas1", "redirect_uri", proBack)))
	id := tn.claims(got.ID)
	for _, name := range []string{"sub", "acr", "amr", "iss", "aud", "exp", "iat", "nonce", "auth_time"} {
		if id[name] == nil {
			t.Errorf("the ID token lacks %s", name)
		}
	}
	if id["acr"] != "eidas1" || !slices.Equal(id["amr"].([]any), []any{"pwd"}) {
		t.Errorf("a password: %v %v", id["acr"], id["amr"])
	}
	who := tn.proInfo(got.Access)
	for name, want := range map[string]string{
		"uid": string(agentOne), "given_name": "Zoé Anne", "usual_name": "Müller-Lefèvre", "email": "a100001@example.org",
		"siret": "21750001600019", "siren": "217500016", "organizational_unit": "VILLE/DRH", "belonging_population": "agent",
	} {
		if who[name] != want {
			t.Errorf("%s: %v, want %s", name, who[name], want)
		}
	}
	for name, v := range who {
		if s, ok := v.(string); ok && (s == "" || len([]rune(s)) > 256) || name == "phone_number" || strings.HasPrefix(name, "chorusdt") {
			t.Errorf("%s: %q", name, v) // left out rather than sent empty
		}
	}
	if sub, _ := who["sub"].(string); sub != id["sub"] || len(sub) > 256 || strings.ContainsFunc(sub, func(r rune) bool { return r > '~' || r <= ' ' }) {
		t.Errorf("sub: %v, was %v", who["sub"], id["sub"])
	}
	// It asks for two factors: a step-up, then what is true.
	demand := proAsks("claims", acr(true, "eidas2", "eidas3", "eidas1-mfa"))
	u := tn.authorize(demand)
	if u.Path != "/prove" || u.Query().Get("level") != "eidas1-mfa" {
		t.Fatalf("two factors: %s", u)
	}
	tn.raise(s, parvis.TOTP)
	u = tn.where(tn.get(u.Query().Get("to")))
	got = exchange(u.Query().Get("code"))
	if id = tn.claims(got.ID); id["acr"] != "eidas2" || !slices.Contains(id["amr"].([]any), any("mfa")) {
		t.Errorf("after the step-up: %v %v", id["acr"], id["amr"])
	}
	// It signs out without client_id.
	w := tn.get("/oidc/logout?" + url.Values{"id_token_hint": {got.ID}, "state": {"o"}, "post_logout_redirect_uri": {proOut}}.Encode())
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != proOut+"?state=o" {
		t.Errorf("sign-out: %d %s", w.Code, w.Header().Get("Location"))
	}
	// A SIRET that does not add up is replaced by that of the organisation.
	tn.signIn("A100002")
	if who := tn.proInfo(exchange(tn.code(proAsks())).Access); who["siret"] != "21750001600019" {
		t.Errorf("siret: %v", who["siret"])
	}
}

// proInfo asks about the agent; the answer is signed.
func (tn *town) proInfo(token string) map[string]any {
	tn.Helper()
	r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := tn.do(r, false)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/jwt" {
		tn.Fatalf("%d %s", w.Code, w.Header())
	}
	return tn.claims(w.Body.String())
}
