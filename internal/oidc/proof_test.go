package oidc

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
)

// pushes sends a pushed request, and gives its name.
func (tn *town) push(f url.Values, change ...func(*http.Request)) (string, *httptest.ResponseRecorder) {
	tn.Helper()
	w := tn.form("/par", f, false, change...)
	var said struct {
		URI     string `json:"request_uri"`
		Expires int    `json:"expires_in"`
	}
	tn.must(json.Unmarshal(w.Body.Bytes(), &said))
	if (w.Code == http.StatusCreated) != (said.URI != "" && said.Expires == pushedSeconds) {
		tn.Errorf("pushed: %d %s", w.Code, w.Body)
	}
	return said.URI, w
}

func TestPushedRequests(t *testing.T) {
	tn := open(t, client("other", nil), client("must", func(a *parvis.App) { a.OIDC.RequirePAR = true }))
	by := func(id string, pairs ...string) url.Values {
		f := asks(id, pairs...)
		f.Set("client_secret", pass)
		return f
	}
	uri, _ := tn.push(by("must"))
	path := func(id, uri string) string {
		return "/authorize?" + url.Values{"client_id": {id}, "request_uri": {uri}}.Encode()
	}
	// Whoever must sign in comes back, however long that takes.
	u := tn.where(tn.get(path("must", uri)))
	if u.Path != "/signin" {
		t.Fatalf("nobody is in: %s", u)
	}
	tn.clock.Move(20 * time.Minute)
	tn.signIn(agentOne)
	u = tn.where(tn.get(u.Query().Get("to")))
	if u.Query().Get("code") == "" || u.Query().Get("state") != "s1" {
		t.Fatalf("the answer: %s", u)
	}
	if got := tn.redeem("must", u.Query().Get("code")); got.ID == "" {
		t.Error("no ID token")
	}
	page := func(w *httptest.ResponseRecorder) bool {
		return w.Code == http.StatusBadRequest && strings.Contains(w.Body.String(), "oidc_problem")
	}
	if w := tn.get(path("must", uri)); !page(w) {
		t.Errorf("used twice: %d", w.Code)
	}
	uri, _ = tn.push(by("rp"))
	if w := tn.get(path("other", uri)); !page(w) {
		t.Errorf("of another client: %d", w.Code)
	}
	if w := tn.get(path("rp", pushedPrefix+"never")); !page(w) {
		t.Errorf("never pushed: %d", w.Code)
	}
	// Nothing beside it counts.
	if u := tn.where(tn.get(path("rp", uri) + "&redirect_uri=https://evil.example/&state=evil&prompt=none")); u.Host != "rp.example" || u.Query().Get("state") != "s1" {
		t.Errorf("parameters beside: %s", u)
	}
	uri, _ = tn.push(by("rp"))
	tn.clock.Move(markLasts)
	tn.signIn(agentOne)
	if w := tn.get(path("rp", uri)); !page(w) {
		t.Errorf("expired: %d", w.Code)
	}
	if got := refused(tn.authorize(asks("must"))); got != "invalid_request" {
		t.Errorf("not pushed: %q", got)
	}
	for name, c := range map[string]struct {
		f    url.Values
		want string
	}{
		"no secret":       {asks("rp"), "invalid_client"},
		"another address": {by("rp", "redirect_uri", "https://evil.example/cb"), "invalid_request"},
		"no address":      {by("rp", "redirect_uri", ""), "invalid_request"},
		"no PKCE":         {by("rp", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"a request_uri":   {by("rp", "request_uri", pushedPrefix+"x"), "request_uri_not_supported"},
		"a request":       {by("rp", "request", "e30.e30."), "request_not_supported"},
		"a token":         {by("rp", "response_type", "token"), "unsupported_response_type"},
	} {
		if uri, w := tn.push(c.f); tn.answer(w).Error != c.want || uri != "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// proof makes a proof of possession (RFC 9449 §4.2).
func proof(t testing.TB, key jose.JSONWebKey, method, address, jti string, pairs ...any) string {
	t.Helper()
	claims := map[string]any{"htm": method, "htu": address, "jti": jti, "iat": time.Now().Unix()}
	typ := "dpop+jwt"
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == "typ" {
			typ = pairs[i+1].(string)
			continue
		}
		claims[pairs[i].(string)] = pairs[i+1]
	}
	return sign(t, key, typ, true, claims)
}

func shows(proof string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("DPoP", proof) }
}

func ath(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestProofsOfPossession(t *testing.T) {
	tn := open(t,
		client("bound", func(a *parvis.App) { a.OIDC.RequireDPoP = true }),
		client("pub", func(a *parvis.App) { a.OIDC.Auth, a.OIDC.Secrets = parvis.PublicClient, nil }))
	tn.signIn(agentOne)
	key, stranger := newKey(t, jose.ES256, ""), newKey(t, jose.ES256, "")
	at := inside + "/token"
	good := proof(t, key, "POST", at, "p1")
	w := tn.form("/token", redemption("bound", tn.code(asks("bound"))), false, shows(good))
	got := tn.answer(w)
	if w.Code != http.StatusOK || got.Type != "DPoP" {
		t.Fatalf("with a proof: %d %s", w.Code, w.Body)
	}
	for name, change := range map[string]func(*http.Request){
		"none":            func(*http.Request) {},
		"replayed":        shows(good),
		"another method":  shows(proof(t, key, "GET", at, "p2")),
		"another address": shows(proof(t, key, "POST", inside+"/userinfo", "p3")),
		"the other host":  shows(proof(t, key, "POST", outside+"/token", "p4")),
		"an hour ago":     shows(proof(t, key, "POST", at, "p5", "iat", time.Now().Add(-time.Hour).Unix())),
		"in an hour":      shows(proof(t, key, "POST", at, "p6", "iat", time.Now().Add(time.Hour).Unix())),
		"another kind":    shows(proof(t, key, "POST", at, "p7", "typ", "JWT")),
		"without a name":  shows(proof(t, key, "POST", at, "")),
		"two": func(r *http.Request) {
			r.Header["Dpop"] = []string{proof(t, key, "POST", at, "p8"), proof(t, key, "POST", at, "p9")}
		},
		"altered": shows(good[:len(good)-6] + "AAAAAA"),
	} {
		w := tn.form("/token", redemption("bound", tn.code(asks("bound"))), false, change)
		if said := tn.answer(w); said.Error != "invalid_dpop_proof" || w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := tn.form("/token", redemption("bound", tn.code(asks("bound"))), false, shows(proof(t, key, "POST", at, "p10", "iat", time.Now().Add(8*time.Second).Unix()))); w.Code != http.StatusOK {
		t.Errorf("a clock 8 s ahead: %s", w.Body)
	}
	ask := func(scheme, token, proof string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
		r.Header.Set("Authorization", scheme+" "+token)
		if proof != "" {
			r.Header.Set("DPoP", proof)
		}
		return tn.do(r, false)
	}
	u := inside + "/userinfo"
	if w := ask("DPoP", got.Access, proof(t, key, "GET", u, "u1", "ath", ath(got.Access))); w.Code != http.StatusOK {
		t.Errorf("userinfo: %d %s", w.Code, w.Body)
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"without a proof":      ask("DPoP", got.Access, ""),
		"as a bearer":          ask("Bearer", got.Access, ""),
		"as a bearer, a proof": ask("Bearer", got.Access, proof(t, key, "GET", u, "u2", "ath", ath(got.Access))),
		"a proof used before":  ask("DPoP", got.Access, proof(t, key, "GET", u, "u1", "ath", ath(got.Access))),
		"of another token":     ask("DPoP", got.Access, proof(t, key, "GET", u, "u3", "ath", ath("x"))),
		"by another key":       ask("DPoP", got.Access, proof(t, stranger, "GET", u, "u4", "ath", ath(got.Access))),
	} {
		if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("userinfo, %s: %d %s", name, w.Code, w.Header())
		}
	}
	// A refresh token of a public client is bound; of another, its secret is what
	// it is bound to, and the tokens stay bound to a key (RFC 9449 §5).
	public := tn.answer(tn.form("/token", redemption("pub", tn.code(asks("pub")), "client_secret", ""), false, shows(proof(t, key, "POST", at, "r1"))))
	if w := tn.form("/token", refreshing("pub", public.Refresh), false, shows(proof(t, stranger, "POST", at, "r2"))); tn.answer(w).Error == "" {
		t.Errorf("a stolen refresh token of a public client: %s", w.Body)
	}
	if w := tn.form("/token", refreshing("pub", public.Refresh), false, shows(proof(t, key, "POST", at, "r3"))); tn.answer(w).Type != "DPoP" {
		t.Errorf("with its key: %s", w.Body)
	}
	if w := tn.form("/token", refreshing("bound", got.Refresh), false); tn.answer(w).Error != "invalid_dpop_proof" {
		t.Errorf("a refresh without a proof: %s", w.Body)
	}
	// The code itself may be bound (§10).
	jkt := thumb(t, key)
	code := tn.code(asks("bound", "dpop_jkt", jkt))
	if w := tn.form("/token", redemption("bound", code), false, shows(proof(t, stranger, "POST", at, "k1"))); tn.answer(w).Error == "" {
		t.Errorf("a code bound to another key: %s", w.Body)
	}
	// So may a pushed request (§10.1).
	f := asks("bound")
	f.Set("client_secret", pass)
	uri, w := tn.push(f, shows(proof(t, key, "POST", inside+"/par", "k2")))
	if uri == "" {
		t.Fatalf("pushed with a proof: %s", w.Body)
	}
	u2 := tn.where(tn.get("/authorize?" + url.Values{"client_id": {"bound"}, "request_uri": {uri}}.Encode()))
	if w := tn.form("/token", redemption("bound", u2.Query().Get("code")), false, shows(proof(t, stranger, "POST", at, "k3"))); tn.answer(w).Error == "" {
		t.Errorf("pushed with one key, redeemed with another: %s", w.Body)
	}
}

func thumb(t testing.TB, key goidc.JSONWebKey) string {
	t.Helper()
	b, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// What one process was shown, another refuses: the transaction remembers.
func TestProofsAreSpentTogether(t *testing.T) {
	tn := open(t, client("bound", func(a *parvis.App) { a.OIDC.RequireDPoP = true }))
	tn.signIn(agentOne)
	key := newKey(t, jose.ES256, "")
	one, two := tn.code(asks("bound")), tn.code(asks("bound"))
	good := proof(t, key, "POST", inside+"/token", "x1")
	if w := tn.form("/token", redemption("bound", one), false, shows(good)); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	tn.p.spent.mu.Lock()
	tn.p.spent.now, tn.p.spent.old = nil, nil // a process that has just begun
	tn.p.spent.mu.Unlock()
	if w := tn.form("/token", redemption("bound", two), false, shows(good)); w.Code != http.StatusBadRequest {
		t.Errorf("in another process: %d %s", w.Code, w.Body)
	}
}
