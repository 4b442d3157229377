package oidc

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/store"
)

// strict is a client of FAPI 2.0 and what it holds: private_key_jwt, pushed
// requests and DPoP.
type strict struct {
	*town
	id     string
	key    jose.JSONWebKey // of its assertions
	proves jose.JSONWebKey // of its proofs of possession
	n      *int
}

func strictApp(id string, keys string, change func(*parvis.App)) parvis.App {
	return client(id, func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Secrets, a.OIDC.JWKS = parvis.PrivateKeyJWT, nil, keys
		a.OIDC.RequirePAR, a.OIDC.RequireDPoP = true, true
		if change != nil {
			change(a)
		}
	})
}

// once names something that is shown once.
func (c *strict) once() string {
	*c.n++
	return "f" + strconv.Itoa(*c.n)
}

// asserted signs a form with an assertion; pairs change what it says.
func (c *strict) asserted(f url.Values, pairs ...any) url.Values {
	f.Set("client_assertion", sign(c, c.key, "", false, assertion(c.id, c.once(), pairs...)))
	f.Set("client_assertion_type", string(goidc.AssertionTypeJWTBearer))
	return f
}

// prove makes a proof for an address by a key.
func (c *strict) prove(key jose.JSONWebKey, method, path string, pairs ...any) func(*http.Request) {
	return shows(proof(c, key, method, inside+path, c.once(), pairs...))
}

// pushes pushes a request, which must be taken.
func (c *strict) pushes(q url.Values, change ...func(*http.Request)) string {
	c.Helper()
	uri, w := c.push(c.asserted(q), change...)
	if uri == "" {
		c.Fatalf("pushed: %d %s", w.Code, w.Body)
	}
	return uri
}

func (c *strict) pushed(pairs ...string) string {
	c.Helper()
	return c.pushes(asks(c.id, pairs...))
}

func (c *strict) open(uri string, more ...string) *httptest.ResponseRecorder {
	q := url.Values{"client_id": {c.id}, "request_uri": {uri}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return c.get("/authorize?" + q.Encode())
}

// allowed asks for a code, and checks that the answer says who answers.
func (c *strict) allowed(pairs ...string) string {
	c.Helper()
	return c.codeOf(c.open(c.pushed(pairs...)))
}

func (c *strict) codeOf(w *httptest.ResponseRecorder) string {
	c.Helper()
	u := c.where(w)
	if u.Query().Get("code") == "" || u.Query().Get("iss") != inside || w.Code != http.StatusSeeOther {
		c.Fatalf("the answer: %d %s", w.Code, u)
	}
	return u.Query().Get("code")
}

func (c *strict) redemption(code string, pairs ...string) url.Values {
	return redemption(c.id, code, append([]string{"client_secret", ""}, pairs...)...)
}

// redeems redeems a code; change is how possession is shown.
func (c *strict) redeems(f url.Values, change func(*http.Request)) (tokens, int) {
	c.Helper()
	w := c.form("/token", f, false, change)
	return c.answer(w), w.Code
}

func (c *strict) token(code string) tokens {
	c.Helper()
	got, status := c.redeems(c.asserted(c.redemption(code)), c.prove(c.proves, "POST", "/token"))
	if status != http.StatusOK || got.Type != "DPoP" {
		c.Fatalf("%d %+v", status, got)
	}
	return got
}

// uses shows a token to UserInfo.
func (c *strict) uses(scheme, token string, change func(*http.Request)) int {
	r := httptest.NewRequest(http.MethodGet, pathUserInfo, nil)
	r.Header.Set("Authorization", scheme+" "+token)
	change(r)
	return c.do(r, false).Code
}

func (c *strict) bound(key jose.JSONWebKey, token string, pairs ...any) func(*http.Request) {
	return c.prove(key, "GET", pathUserInfo, append([]any{"ath", ath(token)}, pairs...)...)
}

func (c *strict) says(what, got, want string) {
	c.Helper()
	if got != want {
		c.Errorf("%s: %q, want %q", what, got, want)
	}
}

type strictModule struct {
	name string
	run  func(c, other *strict)
}

// The plan of FAPI 2.0's security profile: private_key_jwt, DPoP, unsigned
// requests, plain answers, OpenID Connect.
func TestFAPI2Plan(t *testing.T) {
	key, second := newKey(t, jose.ES256, "k1"), newKey(t, jose.PS256, "k2")
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	second.Key = big
	tn := open(t, strictApp("fapi", publicSet(t, key), nil), strictApp("fapi2", publicSet(t, second), func(a *parvis.App) { a.External = true }))
	n := 0
	for _, m := range strictModules() {
		t.Run(m.name, func(t *testing.T) {
			part := tn.of(t)
			part.cookies = nil
			part.signIn(agentOne)
			m.run(&strict{part, "fapi", key, newKey(t, jose.ES256, ""), &n}, &strict{part, "fapi2", second, newKey(t, jose.ES256, ""), &n})
		})
	}
}

func strictModules() []strictModule {
	return slices.Concat(
		strictAnswers(), strictProofs(), strictBindings(), strictRequests(), strictCodes(), strictAssertions(), strictPushes(),
	)
}

func strictAnswers() []strictModule {
	return []strictModule{
		{"discovery-end-point-verification", func(c, _ *strict) {
			d := c.published()
			for name, want := range map[string]string{
				"token_endpoint_auth_methods_supported": "private_key_jwt", "token_endpoint_auth_signing_alg_values_supported": "ES256",
				"dpop_signing_alg_values_supported": "ES256", "code_challenge_methods_supported": "S256",
			} {
				if !has(d[name], want) {
					c.Errorf("%s: %v", name, d[name])
				}
			}
			if has(d["dpop_signing_alg_values_supported"], "RS256") || has(d["code_challenge_methods_supported"], "plain") {
				c.Errorf("%v %v", d["dpop_signing_alg_values_supported"], d["code_challenge_methods_supported"])
			}
			if d["pushed_authorization_request_endpoint"] != inside+pathPAR || d["authorization_response_iss_parameter_supported"] != true {
				c.Errorf("%v", d)
			}
		}},
		{"happy-flow", func(c, _ *strict) {
			got := c.token(c.allowed())
			if id := c.claims(got.ID); header(c, got.ID)["alg"] != "ES256" || id["nonce"] != "n1" || id["aud"] != "fapi" {
				c.Errorf("ID token: %v", id)
			}
			cnf, _ := c.claims(got.Access)["cnf"].(map[string]any)
			if cnf["jkt"] != thumb(c, c.proves) {
				c.Errorf("bound to %v", cnf)
			}
			if status := c.uses("DPoP", got.Access, c.bound(c.proves, got.Access)); status != http.StatusOK {
				c.Errorf("UserInfo: %d", status)
			}
		}},
		{"user-rejects-authentication", func(_, c *strict) { // one of the two asks for consent
			w := c.open(c.pushed("prompt", "consent"))
			u := c.where(c.form("/consent", url.Values{"ticket": {ticketIn(c, w)}, "answer": {"no"}}, true))
			u = c.where(c.get(u.String()))
			c.says("error", refused(u)+" "+u.Query().Get("state")+" "+u.Query().Get("iss"), "access_denied s1 "+inside)
		}},
		{"ensure-authorization-request-without-state-success", func(c, _ *strict) {
			u := c.where(c.open(c.pushed("state", "")))
			if _, ok := u.Query()["state"]; ok || u.Query().Get("code") == "" {
				c.Errorf("%s", u)
			}
		}},
		{"ensure-authorization-request-without-nonce-success", func(c, _ *strict) {
			if id := c.claims(c.token(c.allowed("nonce", "")).ID); id["nonce"] != nil {
				c.Errorf("nonce: %v", id["nonce"])
			}
		}},
		{"ensure-authorization-request-with-64-char-nonce-success", func(c, _ *strict) {
			long := strings.Repeat("n", 64)
			c.says("nonce", c.claims(c.token(c.allowed("nonce", long)).ID)["nonce"].(string), long)
		}},
		{"ensure-authorization-request-with-long-nonce", func(c, _ *strict) { // taken whole
			long := strings.Repeat("n", 384)
			c.says("nonce", c.claims(c.token(c.allowed("nonce", long)).ID)["nonce"].(string), long)
		}},
		{"ensure-authorization-request-with-long-state", func(c, _ *strict) {
			long := strings.Repeat("s", 384)
			c.says("state", c.where(c.open(c.pushed("state", long))).Query().Get("state"), long)
		}},
		{"ensure-other-scope-order-succeeds", func(c, _ *strict) {
			c.says("scope", c.token(c.allowed("scope", "email profile openid")).Scope, "email profile openid")
		}},
		{"test-claims-parameter-identity-claims", func(c, _ *strict) {
			got := c.token(c.allowed("scope", "openid", "claims", `{"id_token":{"given_name":{"essential":true}},"userinfo":{"email":null}}`))
			if id := c.claims(got.ID); id["given_name"] != "Zoé Anne" || id["email"] != nil {
				c.Errorf("ID token: %v", id)
			}
		}},
		{"access-token-type-header-case-sensitivity", func(c, _ *strict) { // RFC 9110 §11.1: a scheme has no case
			got := c.token(c.allowed())
			for _, scheme := range []string{"DPoP", "dpop", "DPOP"} {
				if status := c.uses(scheme, got.Access, c.bound(c.proves, got.Access)); status != http.StatusOK {
					c.Errorf("%s: %d", scheme, status)
				}
			}
		}},
	}
}

func strictProofs() []strictModule {
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	token := func(c *strict, want string, pairs ...any) {
		c.Helper()
		got, _ := c.redeems(c.asserted(c.redemption(c.allowed())), c.prove(c.proves, "POST", "/token", pairs...))
		c.says("with "+strings.Join(strings.Fields(strings.Trim(jsonOf(pairs), "[]")), " "), got.Error, want)
	}
	return []strictModule{
		{"check-dpop-proof-nbf-exp", func(c, _ *strict) {
			token(c, "", "nbf", at(-10*time.Second), "exp", at(time.Minute))
			token(c, "invalid_dpop_proof", "exp", at(-time.Minute))
			token(c, "invalid_dpop_proof", "nbf", at(time.Minute))
		}},
		{"ensure-dpopproof-with-iat-10seconds-before-succeeds", func(c, _ *strict) { token(c, "", "iat", at(-10*time.Second)) }},
		{"ensure-dpopproof-with-iat-10seconds-after-succeeds", func(c, _ *strict) { token(c, "", "iat", at(10*time.Second)) }},
		{"dpop-negative-tests", func(c, _ *strict) {
			token(c, "invalid_dpop_proof", "htm", "GET")
			token(c, "invalid_dpop_proof", "htu", inside+"/other")
			token(c, "invalid_dpop_proof", "typ", "JWT")
			token(c, "invalid_dpop_proof", "jti", "")
			token(c, "invalid_dpop_proof", "iat", nil)
			token(c, "invalid_dpop_proof", "iat", at(-time.Hour))
			token(c, "invalid_dpop_proof", "iat", at(time.Hour))
			got := c.token(c.allowed())
			for name, change := range map[string]func(*http.Request){
				"none": func(*http.Request) {}, "no ath": c.prove(c.proves, "GET", pathUserInfo), "another ath": c.bound(c.proves, "x"),
				"another method": c.bound(c.proves, got.Access, "htm", "POST"), "another address": c.bound(c.proves, got.Access, "htu", inside+"/token"),
				"another key": c.bound(newKey(c, jose.ES256, ""), got.Access),
			} {
				if status := c.uses("DPoP", got.Access, change); status != http.StatusUnauthorized {
					c.Errorf("UserInfo, %s: %d", name, status)
				}
			}
			if status := c.uses("Bearer", got.Access, c.bound(c.proves, got.Access)); status != http.StatusUnauthorized {
				c.Errorf("UserInfo, as a bearer: %d", status)
			}
			// A private key in the proof, and no key at all.
			for name, header := range map[string]jose.SignerOptions{
				"private": {ExtraHeaders: map[jose.HeaderKey]any{"jwk": c.proves, "typ": "dpop+jwt"}}, "none": {ExtraHeaders: map[jose.HeaderKey]any{"typ": "dpop+jwt"}},
			} {
				signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: c.proves.Key}, &header)
				c.must(err)
				signed, err := signer.Sign([]byte(jsonOf(map[string]any{"htm": "POST", "htu": inside + "/token", "jti": c.once(), "iat": at(0)})))
				c.must(err)
				compact, err := signed.CompactSerialize()
				c.must(err)
				got, _ := c.redeems(c.asserted(c.redemption(c.allowed())), shows(compact))
				c.says("a "+name+" key", got.Error, "invalid_dpop_proof")
			}
		}},
		{"ensure-holder-of-key-required", func(c, _ *strict) {
			got, status := c.redeems(c.asserted(c.redemption(c.allowed())), func(*http.Request) {})
			c.says("without a proof", got.Error+" "+strconv.Itoa(status), "invalid_dpop_proof 400")
		}},
		{"refresh-token", func(c, other *strict) {
			got := c.token(c.allowed())
			f := func(c *strict, token string) url.Values {
				return c.asserted(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {c.id}})
			}
			said, _ := other.redeems(f(other, got.Refresh), other.prove(other.proves, "POST", "/token"))
			c.says("another client", said.Error, "invalid_grant")
			next, status := c.redeems(f(c, got.Refresh), c.prove(c.proves, "POST", "/token"))
			if status != http.StatusOK || next.Type != "DPoP" || c.claims(next.ID)["sub"] != c.claims(got.ID)["sub"] {
				c.Errorf("%d %+v", status, next)
			}
			if status := c.uses("DPoP", next.Access, c.bound(c.proves, next.Access)); status != http.StatusOK {
				c.Errorf("UserInfo: %d", status)
			}
		}},
	}
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func strictBindings() []strictModule {
	return []strictModule{
		{"ensure-mismatched-dpop-jkt-fails", func(c, _ *strict) { // RFC 9449 §10.1: the two agree
			f := asks("fapi", "dpop_jkt", thumb(c, newKey(c, jose.ES256, "")))
			if uri, w := c.push(c.asserted(f), c.prove(c.proves, "POST", pathPAR)); uri != "" || w.Code != http.StatusBadRequest {
				c.Errorf("%d %s", w.Code, w.Body)
			}
		}},
		{"ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt", func(c, _ *strict) {
			code := c.codeOf(c.open(c.pushes(asks("fapi"), c.prove(newKey(c, jose.ES256, ""), "POST", pathPAR))))
			if got, status := c.redeems(c.asserted(c.redemption(code)), c.prove(c.proves, "POST", "/token")); status != http.StatusBadRequest || got.Error == "" {
				c.Errorf("%d %+v", status, got)
			}
		}},
		{"ensure-token-endpoint-fails-with-mismatched-dpop-jkt", func(c, _ *strict) {
			code := c.allowed("dpop_jkt", thumb(c, newKey(c, jose.ES256, "")))
			if got, status := c.redeems(c.asserted(c.redemption(code)), c.prove(c.proves, "POST", "/token")); status != http.StatusBadRequest || got.Error == "" {
				c.Errorf("%d %+v", status, got)
			}
		}},
		{"ensure-dpopproof-at-par-endpoint-binding-success", func(c, _ *strict) {
			c.token(c.codeOf(c.open(c.pushes(asks("fapi"), c.prove(c.proves, "POST", pathPAR)))))
		}},
		{"ensure-dpop-auth-code-binding-success", func(c, _ *strict) { c.token(c.allowed("dpop_jkt", thumb(c, c.proves))) }},
	}
}

// page tells whether somebody is shown what is wrong, and led nowhere.
func (c *strict) page(what string, w *httptest.ResponseRecorder) {
	c.Helper()
	if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" || !strings.Contains(w.Body.String(), "oidc_problem") {
		c.Errorf("%s: %d %s", what, w.Code, w.Header())
	}
}

func strictRequests() []strictModule {
	pushed := func(c *strict, want string, pairs ...string) {
		c.Helper()
		uri, w := c.push(c.asserted(asks("fapi", pairs...)))
		c.says("pushed", c.answer(w).Error+uri, want)
	}
	return []strictModule{
		{"ensure-registered-redirect-uri", func(c, _ *strict) { pushed(c, "invalid_request", "redirect_uri", "https://rp.example/other") }},
		{"ensure-request-object-without-redirect-uri-fails", func(c, _ *strict) { pushed(c, "invalid_request", "redirect_uri", "") }},
		{"ensure-redirect-uri-in-authorization-request", func(c, _ *strict) { // one beside a pushed request without any changes nothing
			pushed(c, "invalid_request", "redirect_uri", "")
			u := c.where(c.open(c.pushed(), "redirect_uri", "https://rp.example/other"))
			c.says("led to", u.Scheme+"://"+u.Host+u.Path, callback)
		}},
		{"ensure-unsigned-authorization-request-without-using-par-fails", func(c, _ *strict) {
			u := c.authorize(asks("fapi"))
			c.says("error", refused(u)+u.Query().Get("code"), "invalid_request")
			c.says("iss", u.Query().Get("iss"), inside)
		}},
		{"ensure-response-type-code-idtoken-fails", func(c, _ *strict) {
			pushed(c, "unsupported_response_type", "response_type", "code id_token")
		}},
		{"ensure-response-type-token-fails", func(c, _ *strict) { pushed(c, "unsupported_response_type", "response_type", "token") }},
		{"ensure-different-nonce-inside-and-outside-request-object", func(c, _ *strict) {
			c.says("nonce", c.claims(c.token(c.codeOf(c.open(c.pushed(), "nonce", "n2"))).ID)["nonce"].(string), "n1")
		}},
		{"ensure-different-state-inside-and-outside-request-object", func(c, _ *strict) {
			c.says("state", c.where(c.open(c.pushed(), "state", "s2")).Query().Get("state"), "s1")
		}},
		{"state-only-outside-request-object-not-used", func(c, _ *strict) {
			c.says("state", c.where(c.open(c.pushed("state", ""), "state", "s2")).Query().Get("state"), "")
		}},
		{"par-ensure-pkce-required", func(c, _ *strict) {
			pushed(c, "invalid_request", "code_challenge", "", "code_challenge_method", "")
		}},
		{"par-plain-pkce-rejected", func(c, _ *strict) { pushed(c, "invalid_request", "code_challenge_method", "plain") }},
	}
}

func strictCodes() []strictModule {
	refuses := func(c *strict, what string, f url.Values, want string) {
		c.Helper()
		got, status := c.redeems(f, c.prove(c.proves, "POST", "/token"))
		c.says(what, got.Error+" "+strconv.Itoa(status), want)
	}
	return []strictModule{
		{"ensure-client-id-in-token-endpoint", func(c, _ *strict) {
			refuses(c, "the other's client_id", c.asserted(c.redemption(c.allowed(), "client_id", "fapi2")), "invalid_client 401")
		}},
		{"ensure-authorization-code-is-bound-to-client", func(c, other *strict) {
			refuses(other, "the other's code", other.asserted(other.redemption(c.allowed())), "invalid_grant 400")
		}},
		{"attempt-reuse-authorization-code-after-one-second", func(c, _ *strict) {
			code := c.allowed()
			got := c.token(code)
			c.clock.Move(time.Second)
			refuses(c, "again", c.asserted(c.redemption(code)), "invalid_grant 400")
			if status := c.uses("DPoP", got.Access, c.bound(c.proves, got.Access)); status != http.StatusUnauthorized {
				c.Errorf("its access token: %d", status)
			}
		}},
		{"ensure-token-endpoint-fails-with-expired-auth-code", func(c, _ *strict) {
			code := c.allowed()
			c.clock.Move(60 * time.Second)
			refuses(c, "after 60 s", c.asserted(c.redemption(code)), "invalid_grant 400")
		}},
		{"ensure-pkce-code-verifier-required", func(c, _ *strict) {
			refuses(c, "no verifier", c.asserted(c.redemption(c.allowed(), "code_verifier", "")), "invalid_grant 400")
		}},
		{"incorrect-pkce-code-verifier-rejected", func(c, _ *strict) {
			refuses(c, "another verifier", c.asserted(c.redemption(c.allowed(), "code_verifier", strings.Repeat("x", 43))), "invalid_grant 400")
		}},
	}
}

func strictAssertions() []strictModule {
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	// Of an assertion both endpoints say the same.
	both := func(c *strict, want string, pairs ...any) {
		c.Helper()
		uri, w := c.push(c.asserted(asks("fapi"), pairs...))
		c.says("pushed", c.answer(w).Error, want)
		if (uri == "") != (want != "") {
			c.Errorf("pushed: %s", w.Body)
		}
		got, _ := c.redeems(c.asserted(c.redemption(c.allowed()), pairs...), c.prove(c.proves, "POST", "/token"))
		c.says("redeemed", got.Error, want)
	}
	return []strictModule{
		{"ensure-signed-client-assertion-with-RS256-fails", func(_, c *strict) {
			c.pushed() // with PS256 it may
			c.key.Algorithm = "RS256"
			uri, w := c.push(c.asserted(asks("fapi2")))
			c.says("signed with RS256", c.answer(w).Error+uri, "invalid_client")
		}},
		{"ensure-client-assertion-in-token-endpoint", func(c, _ *strict) {
			got, _ := c.redeems(c.redemption(c.allowed()), c.prove(c.proves, "POST", "/token"))
			c.says("none", got.Error, "invalid_client")
			got, _ = c.redeems(c.redemption(c.allowed(), "client_secret", pass), c.prove(c.proves, "POST", "/token"))
			c.says("a secret", got.Error, "invalid_client")
		}},
		{"ensure-client-assertion-with-exp-is-5-minutes-in-past-fails", func(c, _ *strict) {
			both(c, "invalid_client", "exp", at(-5*time.Minute), "iat", at(-6*time.Minute))
		}},
		{"ensure-client-assertion-with-wrong-aud-fails", func(c, _ *strict) { both(c, "invalid_client", "aud", "https://other.example") }},
		{"ensure-client-assertion-with-no-sub-fails", func(c, _ *strict) { both(c, "invalid_client", "sub", nil) }},
		{"par-ensure-jwt-client-assertion-nbf-8-seconds-in-the-future-is-accepted", func(c, _ *strict) {
			both(c, "", "iat", at(8*time.Second), "nbf", at(8*time.Second))
		}},
		{"par-ensure-jwt-client-assertion-nbf-over-60-seconds-in-the-future-fails", func(c, _ *strict) {
			both(c, "invalid_client", "iat", at(65*time.Second), "nbf", at(65*time.Second), "exp", at(2*time.Minute))
		}},
		{"par-endpoint-as-array-audience-fails", func(c, _ *strict) { both(c, "invalid_client", "aud", []string{inside + pathPAR, inside}) }},
		{"par-endpoint-as-audience-fails", func(c, _ *strict) { both(c, "invalid_client", "aud", inside+pathPAR) }},
		{"par-token-endpoint-as-audience-fails", func(c, _ *strict) { both(c, "invalid_client", "aud", inside+pathToken) }},
	}
}

func strictPushes() []strictModule {
	return []strictModule{
		{"par-attempt-reuse-request_uri", func(c, _ *strict) {
			uri := c.pushed()
			c.codeOf(c.open(uri))
			c.page("used again", c.open(uri))
		}},
		{"par-ensure-reused-request-uri-prior-to-auth-completion-succeeds", func(c, _ *strict) {
			c.cookies = nil
			uri := c.pushed()
			for range 2 {
				c.says("nobody is in", c.where(c.open(uri)).Path, "/signin")
			}
			c.signIn(agentOne)
			c.token(c.codeOf(c.open(uri)))
		}},
		{"par-attempt-to-use-expired-request_uri", func(c, _ *strict) {
			uri := c.pushed()
			name := hashName(strings.TrimPrefix(uri, pushedPrefix))
			d, err := c.p.Store.Document(c.Context(), kindPushed, name)
			c.must(err)
			body, err := c.p.boxes.kept.Open(d.Body, kindPushed+"/"+name)
			c.must(err)
			var kept pushed
			c.must(json.Unmarshal(body, &kept))
			if left := kept.Machine - now(); left < pushedSeconds-30 || left > pushedSeconds {
				c.Errorf("it serves for %d s", left)
			}
			kept.Machine = now() - 1
			d.Body = c.p.boxes.kept.Seal([]byte(jsonOf(kept)), kindPushed+"/"+name)
			c.write(func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "grant.asked", Actor: "system"})
				_, err := tx.PutDocument(c.Context(), d)
				return err
			})
			c.page("too late", c.open(uri))
		}},
		{"par-attempt-to-use-request_uri-for-different-client", func(c, other *strict) { c.page("the other's", other.open(c.pushed())) }},
		{"par-authorization-request-containing-request_uri-form-param", func(c, _ *strict) {
			uri, w := c.push(c.asserted(asks("fapi", "request_uri", c.pushed())))
			if w.Code != http.StatusBadRequest || uri != "" {
				c.Errorf("%d %s", w.Code, w.Body)
			}
		}},
		{"par-attempt-invalid-http-method", func(c, _ *strict) {
			for _, method := range []string{http.MethodGet, http.MethodPut} {
				if w := c.do(httptest.NewRequest(method, pathPAR, nil), false); w.Code != http.StatusMethodNotAllowed {
					c.Errorf("%s: %d", method, w.Code)
				}
			}
		}},
		{"par-without-duplicate-parameters", func(c, _ *strict) { // client_id and request_uri suffice
			got := c.token(c.allowed("scope", "openid email"))
			c.says("scope", got.Scope, "openid email")
		}},
	}
}

// 1. Several processes of one client, or of a thief, refresh with one token at
// once, each with an assertion and a proof that are in order.
// 2. One of them at most gets tokens, and these are worth nothing: the others
// showed a token that was used. None is told that something failed here.
func TestManyRefreshWithProofs(t *testing.T) {
	key := newKey(t, jose.ES256, "k1")
	tn := open(t, strictApp("fapi", publicSet(t, key), nil))
	tn.signIn(agentOne)
	n := 0
	c := &strict{tn, "fapi", key, newKey(t, jose.ES256, ""), &n}
	code := c.allowed()
	got := c.token(code)
	for name, f := range map[string]url.Values{
		"refresh": {"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}, "client_id": {"fapi"}},
		"code":    c.redemption(c.allowed()),
	} {
		forms, changes, answers := [8]url.Values{}, [8]func(*http.Request){}, [8]tokens{}
		for i := range forms {
			forms[i], changes[i] = c.asserted(maps.Clone(f)), c.prove(c.proves, "POST", "/token")
		}
		var wg sync.WaitGroup
		for i := range forms {
			wg.Go(func() {
				w := c.form("/token", forms[i], false, changes[i])
				_ = json.Unmarshal(w.Body.Bytes(), &answers[i])
			})
		}
		wg.Wait()
		won := 0
		for _, a := range answers {
			if a.Access == "" && a.Error != "invalid_grant" {
				t.Errorf("%s: %+v", name, a)
			}
			if a.Access == "" {
				continue
			}
			won++
			if status := c.uses("DPoP", a.Access, c.bound(c.proves, a.Access)); status != http.StatusUnauthorized {
				t.Errorf("%s: what the first got outlived the others: %d", name, status)
			}
		}
		if won > 1 {
			t.Errorf("%s: %d won", name, won)
		}
	}
}
