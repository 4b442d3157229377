package oidc

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

// plan is one run of the modules of a certification plan, as docs/conformance.md
// lists them; a module bears the name it has there.
type plan struct {
	*town
	mode string // response_mode
}

type module struct {
	name string
	run  func(p *plan)
}

// run runs modules one after the other in one town, each with an agent who has
// just signed in and in a browser of its own.
func (tn *town) run(t *testing.T, mode string, modules []module) {
	t.Helper()
	for _, m := range modules {
		t.Run(m.name, func(t *testing.T) {
			p := &plan{tn.of(t), mode}
			p.cookies = nil
			p.signIn(agentOne)
			m.run(p)
		})
	}
}

// certified is the client with which the plans are run: it sends no PKCE and
// checks RS256, as a client that nobody configured.
func certified(a *parvis.App) {
	a.OIDC.NoPKCE, a.OIDC.RS256 = true, true
	a.Attributes = append(a.Attributes, "phone_number")
}

func (p *plan) request(pairs ...string) url.Values {
	return asks("cert", append([]string{"code_challenge", "", "code_challenge_method", "", "response_mode", p.mode}, pairs...)...)
}

var postedField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// answered reads what the client gets at its address, however it is sent there.
func (p *plan) answered(w *httptest.ResponseRecorder) url.Values {
	p.Helper()
	if p.mode != "form_post" {
		u := p.where(w)
		if !strings.HasPrefix(u.String(), callback+"?") || u.Fragment != "" {
			p.Fatalf("led to %s", u)
		}
		return u.Query()
	}
	// OAuth 2.0 Form Post Response Mode §2.
	body := w.Body.String()
	if w.Code != http.StatusOK || !strings.Contains(body, `method="post" action="`+callback+`"`) || w.Header().Get("Cache-Control") == "" && w.Header().Get("Location") != "" {
		p.Fatalf("%d %s: %s", w.Code, w.Header(), body)
	}
	got := url.Values{}
	for _, f := range postedField.FindAllStringSubmatch(body, -1) {
		got.Add(html.UnescapeString(f[1]), html.UnescapeString(f[2]))
	}
	return got
}

// ask sends a request that is answered at once.
func (p *plan) ask(pairs ...string) url.Values {
	p.Helper()
	return p.answered(p.get("/authorize?" + p.request(pairs...).Encode()))
}

// exchange redeems a code as the plans do, with HTTP Basic and without PKCE.
func (p *plan) exchange(code string, pairs ...string) *httptest.ResponseRecorder {
	p.Helper()
	f := redemption("cert", code, append([]string{"code_verifier", "", "client_id", "", "client_secret", ""}, pairs...)...)
	return p.form("/token", f, false, func(r *http.Request) { r.SetBasicAuth("cert", pass) })
}

// flow asks and redeems, which must succeed.
func (p *plan) flow(pairs ...string) (tokens, map[string]any) {
	p.Helper()
	got := p.ask(pairs...)
	if got.Get("code") == "" {
		p.Fatalf("no code: %v", got)
	}
	return p.tokens(got.Get("code"))
}

func (p *plan) tokens(code string) (tokens, map[string]any) {
	p.Helper()
	w := p.exchange(code)
	t := p.answer(w)
	if w.Code != http.StatusOK || t.Access == "" || t.ID == "" {
		p.Fatalf("%d %s", w.Code, w.Body)
	}
	return t, p.claims(t.ID)
}

// again answers a request that asks for a fresh sign-in, by signing in.
func (p *plan) again(pairs ...string) url.Values {
	p.Helper()
	u := p.authorize(p.request(pairs...))
	if u.Path != "/prove" {
		p.Fatalf("no fresh sign-in: %s", u)
	}
	p.signIn(agentOne)
	return p.answered(p.get(u.Query().Get("to")))
}

// told asks UserInfo, which must answer, for the names of what it tells.
func (p *plan) told(pairs ...string) []string {
	p.Helper()
	got, id := p.flow(pairs...)
	status, who := p.userInfo(got.Access)
	if status != http.StatusOK || who["sub"] != id["sub"] {
		p.Fatalf("UserInfo: %d %v", status, who)
	}
	return slices.DeleteFunc(names(who), func(n string) bool { return n == "sub" || n == "acr" || n == "channel" })
}

func (p *plan) same(what string, got, want any) {
	p.Helper()
	if d := cmp.Diff(want, got); d != "" {
		p.Errorf("%s:\n%s", what, d)
	}
}

// The basic certification plan.
func TestBasicPlan(t *testing.T) {
	tn := open(t, client("cert", certified), client("second", nil))
	tn.run(t, "", slices.Concat(modulesOfResponses(), modulesOfClaims(), modulesOfPrompts(), modulesOfCodes()))
}

// The same with response_mode=form_post.
func TestFormPostPlan(t *testing.T) {
	tn := open(t, client("cert", certified), client("second", nil))
	tn.run(t, "form_post", slices.Concat(modulesOfResponses(), modulesOfClaims(), modulesOfPrompts(), modulesOfCodes()))
}

func modulesOfResponses() []module {
	return []module{
		{"server", func(p *plan) {
			answer := p.ask()
			p.same("names", slices.Sorted(func(yield func(string) bool) {
				for name := range answer {
					if !yield(name) {
						return
					}
				}
			}), []string{"code", "iss", "state"})
			p.same("state", answer.Get("state"), "s1")
			p.same("iss", answer.Get("iss"), inside)
			w := p.exchange(answer.Get("code"))
			got := p.answer(w)
			p.same("token_type", got.Type, "Bearer")
			p.same("stored", w.Header().Get("Cache-Control"), "no-store")
			id := p.claims(got.ID)
			for name, want := range map[string]any{"iss": inside, "aud": "cert", "sub": string(agentOne), "nonce": "n1"} {
				p.same(name, id[name], want)
			}
			at, exp := id["iat"].(float64), id["exp"].(float64)
			if d := float64(now()) - at; d < 0 || d > 60 || exp <= at {
				p.Errorf("iat %v, exp %v", at, exp)
			}
			if status, who := p.userInfo(got.Access); status != http.StatusOK || who["sub"] != id["sub"] {
				p.Errorf("UserInfo: %d %v", status, who)
			}
		}},
		{"response-type-missing", func(p *plan) {
			got := p.ask("response_type", "")
			p.same("error", got.Get("error"), "invalid_request")
			p.same("state and code", got.Get("state")+got.Get("code"), "s1")
		}},
		{"idtoken-signature", func(p *plan) {
			got, _ := p.flow() // verified with the published keys by town.claims
			h := header(p, got.ID)
			if h["alg"] != "RS256" || h["kid"] == nil || h["kid"] == "" {
				p.Errorf("header: %v", h)
			}
		}},
		{"idtoken-unsigned", func(p *plan) { // an issuer that never gives one says so
			var d struct {
				Algs []string `json:"id_token_signing_alg_values_supported"`
			}
			p.must(json.Unmarshal(p.get(pathDiscovery).Body.Bytes(), &d))
			p.same("algorithms", d.Algs, []string{"ES256", "RS256"})
		}},
		{"ensure-request-without-nonce-succeeds-for-code-flow", func(p *plan) {
			_, id := p.flow("nonce", "")
			if _, ok := id["nonce"]; ok {
				p.Errorf("a nonce that nobody sent: %v", id)
			}
		}},
		{"display-page", func(p *plan) { p.flow("display", "page") }},
		{"display-popup", func(p *plan) { p.flow("display", "popup") }},
		{"ensure-request-with-unknown-parameter-succeeds", func(p *plan) { p.flow("extra", "foobar") }},
		{"ui-locales", func(p *plan) { p.flow("ui_locales", "se fr en") }},
		{"claims-locales", func(p *plan) { p.flow("claims_locales", "se fr en") }},
		{"ensure-post-request-succeeds", func(p *plan) {
			u := p.where(p.form("/authorize", p.request(), false))
			if u.Path != "/authorize" || u.Host != "" {
				p.Fatalf("posted: %s", u)
			}
			p.tokens(p.answered(p.get(u.String())).Get("code"))
		}},
		{"ensure-registered-redirect-uri", func(p *plan) {
			w := p.get("/authorize?" + p.request("redirect_uri", callback+"/elsewhere").Encode())
			if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" || strings.Contains(w.Body.String(), "elsewhere\"") {
				p.Errorf("%d %s", w.Code, w.Header())
			}
		}},
	}
}

func modulesOfClaims() []module {
	profile, email := []string{"family_name", "given_name", "name", "usual_name"}, []string{"email", "email_verified"}
	userInfo := func(p *plan, make func(token string) *http.Request) {
		got, id := p.flow()
		w := p.do(make(got.Access), false)
		var who map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &who); err != nil || w.Code != http.StatusOK || who["sub"] != id["sub"] {
			p.Errorf("%d %s", w.Code, w.Body)
		}
	}
	return []module{
		{"userinfo-get", func(p *plan) {
			userInfo(p, func(token string) *http.Request {
				r := httptest.NewRequest(http.MethodGet, pathUserInfo, nil)
				r.Header.Set("Authorization", "Bearer "+token)
				return r
			})
		}},
		{"userinfo-post-header", func(p *plan) {
			userInfo(p, func(token string) *http.Request {
				r := httptest.NewRequest(http.MethodPost, pathUserInfo, nil)
				r.Header.Set("Authorization", "Bearer "+token)
				return r
			})
		}},
		{"userinfo-post-body", func(p *plan) {
			userInfo(p, func(token string) *http.Request {
				r := httptest.NewRequest(http.MethodPost, pathUserInfo, strings.NewReader(url.Values{"access_token": {token}}.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				return r
			})
		}},
		{"scope-profile", func(p *plan) { p.same("told", p.told("scope", "openid profile"), profile) }},
		{"scope-email", func(p *plan) { p.same("told", p.told("scope", "openid email"), email) }},
		// Nothing is known of an address, nor of this agent's telephone: left out.
		{"scope-address", func(p *plan) { p.same("told", p.told("scope", "openid address"), []string{}) }},
		{"scope-phone", func(p *plan) { p.same("told", p.told("scope", "openid phone"), []string{}) }},
		{"scope-all", func(p *plan) {
			p.same("told", p.told("scope", "openid profile email address phone"), slices.Concat(email, profile))
		}},
		{"ensure-other-scope-order-succeeds", func(p *plan) { p.same("told", p.told("scope", "email openid"), email) }},
		{"claims-essential", func(p *plan) {
			p.same("told", p.told("scope", "openid", "claims", `{"userinfo":{"name":{"essential":true}}}`), []string{"name"})
		}},
		{"ensure-request-with-acr-values-succeeds", func(p *plan) {
			_, id := p.flow("acr_values", "urn:mace:incommon:iap:silver eidas1")
			p.same("acr", id["acr"], any("eidas1"))
		}},
	}
}

func modulesOfPrompts() []module {
	at := func(id map[string]any) float64 { return id["auth_time"].(float64) }
	return []module{
		{"prompt-login", func(p *plan) {
			_, first := p.flow()
			p.clock.Move(10 * time.Minute)
			_, second := p.tokens(p.again("prompt", "login").Get("code"))
			// Dated with this machine's clock, of which no time went by.
			if at(second) < at(first) || second["sub"] != first["sub"] {
				p.Errorf("auth_time %v, then %v", at(first), at(second))
			}
			p.clock.Move(10 * time.Minute)
			_, third := p.flow()
			if age := at(second) - at(third); age < 599 || age > 660 {
				p.Errorf("without prompt: auth_time %v, was %v", at(third), at(second))
			}
			_, fourth := p.tokens(p.again("prompt", "login").Get("code"))
			if at(fourth) <= at(third) {
				p.Errorf("again: auth_time %v, was %v", at(fourth), at(third))
			}
		}},
		{"prompt-none-not-logged-in", func(p *plan) {
			p.cookies = nil
			got := p.ask("prompt", "none")
			p.same("error", got.Get("error")+got.Get("code"), "login_required")
			p.same("state", got.Get("state"), "s1")
		}},
		{"prompt-none-logged-in", func(p *plan) {
			_, first := p.flow()
			_, second := p.flow("prompt", "none")
			p.same("sub", second["sub"], first["sub"])
			if d := at(second) - at(first); d < -1 || d > 60 {
				p.Errorf("auth_time %v, then %v", at(first), at(second))
			}
		}},
		{"max-age-1", func(p *plan) {
			p.clock.Move(2 * time.Second)
			_, first := p.flow()
			_, second := p.tokens(p.again("max_age", "1").Get("code"))
			if at(second) <= at(first) {
				p.Errorf("auth_time %v, then %v", at(first), at(second))
			}
		}},
		{"max-age-10000", func(p *plan) {
			p.clock.Move(time.Minute)
			_, id := p.flow("max_age", "10000")
			if age := float64(now()) - at(id); age < 60 || age > 120 {
				p.Errorf("auth_time is %v s ago", age)
			}
		}},
		{"id-token-hint", func(p *plan) {
			first, was := p.flow()
			_, id := p.flow("prompt", "none", "id_token_hint", first.ID)
			p.same("sub", id["sub"], was["sub"])
			p.cookies = nil
			p.signIn("A100002")
			p.same("somebody else", p.ask("prompt", "none", "id_token_hint", first.ID).Get("error"), "login_required")
		}},
		{"login-hint", func(p *plan) {
			p.cookies = nil
			u := p.authorize(p.request("login_hint", "zoe@example.org"))
			p.same("door", u.Path+" "+u.Query().Get("hint"), "/signin zoe@example.org")
			p.signIn(agentOne)
			p.tokens(p.answered(p.get(u.Query().Get("to"))).Get("code"))
		}},
	}
}

func modulesOfCodes() []module {
	replay := func(p *plan, after time.Duration) {
		code := p.ask().Get("code")
		got, _ := p.tokens(code)
		p.clock.Move(after)
		w := p.exchange(code)
		p.same("again", p.answer(w).Error, "invalid_grant")
		p.same("status", w.Code, http.StatusBadRequest)
		if status, _ := p.userInfo(got.Access); status != http.StatusUnauthorized || p.active("cert", got.Refresh) {
			p.Errorf("what the code got is worth something still: %d", status)
		}
	}
	unsigned := func(claims string) string {
		enc := base64.RawURLEncoding.EncodeToString
		return enc([]byte(`{"alg":"none"}`)) + "." + enc([]byte(claims)) + "."
	}
	return []module{
		{"codereuse", func(p *plan) { replay(p, 0) }},
		{"codereuse-30seconds", func(p *plan) { replay(p, 30*time.Second) }},
		{"server-client-secret-post", func(p *plan) {
			w := p.form("/token", redemption("cert", p.ask().Get("code"), "code_verifier", ""), false)
			if got := p.answer(w); w.Code != http.StatusOK || p.claims(got.ID)["nonce"] != "n1" {
				p.Errorf("%d %s", w.Code, w.Body)
			}
		}},
		{"request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", func(p *plan) {
			p.same("error", p.ask("request_uri", "https://rp.example/request.jwt").Get("error"), "request_uri_not_supported")
		}},
		{"unsigned-request-object-supported-correctly-or-rejected-as-unsupported", func(p *plan) {
			p.same("error", p.ask("request", unsigned(`{"state":"s2"}`)).Get("error"), "request_not_supported")
		}},
		{"ensure-request-object-with-redirect-uri", func(p *plan) { // what is inside is not believed
			got := p.ask("request", unsigned(`{"redirect_uri":"https://rp.example/other"}`))
			p.same("error", got.Get("error"), "request_not_supported")
		}},
		{"refresh-token", func(p *plan) {
			got, id := p.flow()
			with := func(id, token string) tokens { return p.answer(p.form("/token", refreshing(id, token), false)) }
			if other := with("second", got.Refresh); other.Error != "invalid_grant" || other.Access != "" {
				p.Errorf("another client: %+v", other)
			}
			next := with("cert", got.Refresh)
			after := p.claims(next.ID)
			for _, name := range []string{"iss", "sub", "aud", "auth_time"} { // Core §12.2
				p.same(name, after[name], id[name])
			}
			if next.Access == got.Access || next.Refresh == "" || after["iat"].(float64) < id["iat"].(float64) {
				p.Errorf("%+v", next)
			}
		}},
		{"ensure-request-with-valid-pkce-succeeds", func(p *plan) {
			code := p.ask("code_challenge", challengeOf(verifier), "code_challenge_method", "S256").Get("code")
			if w := p.exchange(code, "code_verifier", verifier); w.Code != http.StatusOK {
				p.Errorf("%d %s", w.Code, w.Body)
			}
			code = p.ask("code_challenge", challengeOf(verifier), "code_challenge_method", "S256").Get("code")
			p.same("without the verifier", p.answer(p.exchange(code)).Error, "invalid_grant")
		}},
	}
}
