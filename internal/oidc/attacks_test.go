package oidc

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"parvis"
)

// 1. Somebody reads a code in a log, after its client has used it.
// 2. They show it again, with all that the log holds.
// 3. They get nothing; what the client got from it is worth nothing any more, and
// its owner reads why.
func TestAttackCodeReplay(t *testing.T) {
	tn := open(t, client("pub", func(a *parvis.App) { a.OIDC.Auth, a.OIDC.Secrets = parvis.PublicClient, nil }))
	tn.signIn(agentOne)
	for name, again := range map[string]func(code string) url.Values{
		"as it was":               func(code string) url.Values { return redemption("rp", code) },
		"without the verifier":    func(code string) url.Values { return redemption("rp", code, "code_verifier", "") },
		"with another address":    func(code string) url.Values { return redemption("rp", code, "redirect_uri", "https://evil.example/") },
		"by another, public, one": func(code string) url.Values { return redemption("pub", code, "client_secret", "") },
	} {
		code := tn.code(asks("rp"))
		got := tn.redeem("rp", code)
		if !tn.active("rp", got.Access) {
			t.Fatal("not active to begin with")
		}
		if w := tn.form("/token", again(code), false); tn.answer(w).Error != "invalid_grant" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if tn.active("rp", got.Access) || tn.active("rp", got.Refresh) {
			t.Errorf("%s: what the code got is worth something still", name)
		}
	}
	// Half a minute later, and when the code itself is too old.
	code := tn.code(asks("rp"))
	got := tn.redeem("rp", code)
	tn.clock.Move(2 * codeSeconds * 1e9)
	if w := tn.form("/token", redemption("rp", code), false); tn.answer(w).Error != "invalid_grant" || tn.active("rp", got.Refresh) {
		t.Errorf("when it is old: %d %s", w.Code, w.Body)
	}
	if troubles := tn.p.Register.Troubles("rp"); len(troubles) == 0 || troubles[0].Code != "invalid_grant" {
		t.Errorf("the owner is told: %v", troubles)
	}
}

// 1. Somebody takes a code on its way to its client.
// 2. They show it first, guessing what is missing.
// 3. The code is spoilt: its client fails, and begins again; nobody got tokens.
func TestAttackStolenCode(t *testing.T) {
	tn := open(t, client("other", nil))
	tn.signIn(agentOne)
	for name, f := range map[string]func(code string) url.Values{
		"no verifier":      func(code string) url.Values { return redemption("rp", code, "code_verifier", "") },
		"another verifier": func(code string) url.Values { return redemption("rp", code, "code_verifier", strings.Repeat("x", 43)) },
		"the challenge":    func(code string) url.Values { return redemption("rp", code, "code_verifier", challengeOf(verifier)) },
		"another client":   func(code string) url.Values { return redemption("other", code) },
		"another address":  func(code string) url.Values { return redemption("rp", code, "redirect_uri", callback+"/") },
		"no address":       func(code string) url.Values { return redemption("rp", code, "redirect_uri", "") },
	} {
		code := tn.code(asks("rp"))
		if w := tn.form("/token", f(code), false); tn.answer(w).Error != "invalid_grant" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if w := tn.form("/token", redemption("rp", code), false); tn.answer(w).Error != "invalid_grant" {
			t.Errorf("%s, then its client: %d %s", name, w.Code, w.Body)
		}
	}
	// Altered by one sign, it is nobody's.
	code := tn.code(asks("rp"))
	altered := code[:20] + map[bool]string{true: "B", false: "A"}[code[20] == 'A'] + code[21:]
	if w := tn.form("/token", redemption("rp", altered), false); tn.answer(w).Error != "invalid_grant" {
		t.Errorf("altered: %d %s", w.Code, w.Body)
	}
	if got := tn.redeem("rp", code); got.ID == "" {
		t.Error("its client")
	}
	code = tn.code(asks("rp"))
	tn.clock.Move(codeSeconds * 1e9)
	if w := tn.form("/token", redemption("rp", code), false); tn.answer(w).Error != "invalid_grant" {
		t.Errorf("after %d s: %d %s", codeSeconds, w.Code, w.Body)
	}
}

// 1. An attacker who stands between a browser and us takes code_challenge out of
// the request, or asks for the method plain.
// 2. With a code that is bound to nothing they would redeem it themselves, or put
// it into the session of a client that sends a verifier.
// 3. No code is given without S256; where a client is named too old for PKCE, a
// verifier that nobody announced is refused (RFC 9700 §4.8.2).
func TestAttackPKCEDowngrade(t *testing.T) {
	tn := open(t, client("old", func(a *parvis.App) { a.OIDC.NoPKCE = true }))
	tn.signIn(agentOne)
	for _, q := range []url.Values{
		asks("rp", "code_challenge", "", "code_challenge_method", ""), asks("rp", "code_challenge", ""), asks("rp", "code_challenge_method", "plain"),
		asks("rp", "code_challenge_method", "s256"), asks("rp", "code_challenge_method", ""), asks("old", "code_challenge_method", "plain"),
	} {
		if u := tn.authorize(q); refused(u) != "invalid_request" || u.Query().Get("code") != "" {
			t.Errorf("%s: %s", q.Encode(), u)
		}
	}
	code := tn.code(asks("old", "code_challenge", "", "code_challenge_method", ""))
	if w := tn.form("/token", redemption("old", code), false); tn.answer(w).Error != "invalid_grant" {
		t.Errorf("a verifier that was not announced: %s", w.Body)
	}
}

// 1. An attacker asks for a code with an address that looks like the client's.
// 2. A browser, or a parser that is too kind, would take it to theirs.
// 3. Every one of them is answered with a page that leads nowhere.
func TestAttackRedirectNearMisses(t *testing.T) {
	tn := open(t)
	tn.signIn(agentOne)
	for _, address := range []string{
		"", "https://rp.example", "https://rp.example/", "https://rp.example/cb/", "https://rp.example/CB", "https://rp.example/cb?", "https://rp.example/cb?x=1",
		"https://rp.example/cb#", "https://rp.example/cb#x", "https://rp.example//cb", "https://rp.example/./cb", "https://rp.example/x/../cb",
		"https://rp.example/cb/../cb", "https://rp.example/%63b", "https://rp.example/cb%00", "https://rp.example/cb%20", "https://rp.example/cb ",
		" https://rp.example/cb", "https://rp.example/cb\n", "https://rp.example/cb\t", "http://rp.example/cb", "HTTPS://rp.example/cb", "https://RP.example/cb",
		"https://rp.example:443/cb", "https://rp.example:/cb", "https://rp.example./cb", "https://user@rp.example/cb", "https://rp.example@evil.example/cb",
		"https://evil.example/cb", "https://rp.example.evil.example/cb", "https://evil.example/https://rp.example/cb", "https://evilrp.example/cb",
		"https://rp.example\\@evil.example/cb", "https:/rp.example/cb", "https:rp.example/cb", "//rp.example/cb", "/cb", "javascript:alert(1)", "data:text/html,x",
		"https://rp.example/cb, https://evil.example", "https://*.example/cb", "https://rp.exаmple/cb", "https://xn--rp-example/cb",
		"http://127.0.0.1:7999/cb/", "http://127.0.0.1:7999@evil.example/cb", "http://127.0.0.1:7999.evil.example/cb", "http://127.0.0.1.evil.example/cb",
		"http://127.0.0.1:/cb", "http://127.0.0.1:x/cb", "http://127.0.0.1:123456/cb", "http://127.0.0.2:7999/cb", "http://localhost:7999/cb", "http://[::1]:7999/cb",
		"https://127.0.0.1:7999/cb", "http://0x7f000001:7999/cb", "http://127.0.0.1:80:7999/cb",
	} {
		q := asks("rp")
		q.Set("redirect_uri", address)
		w := tn.get("/authorize?" + q.Encode())
		if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" || !strings.Contains(w.Body.String(), "oidc_problem") {
			t.Errorf("%q: %d %s", address, w.Code, w.Header().Get("Location"))
		}
	}
	q := asks("rp")
	q.Add("redirect_uri", "https://evil.example/")
	if w := tn.get("/authorize?" + q.Encode()); w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
		t.Errorf("twice: %d %s", w.Code, w.Header())
	}
	// On the agent's own device a program listens where it can (RFC 8252 §7.3).
	for _, address := range []string{"http://127.0.0.1:7999/cb", "http://127.0.0.1:50123/cb", "http://127.0.0.1/cb"} {
		if u := tn.authorize(asks("rp", "redirect_uri", address)); u.Query().Get("code") == "" || u.Path != "/cb" {
			t.Errorf("%s: %s", address, u)
		}
	}
	if w := tn.get("/authorize?client_id=%3Cscript%3E&redirect_uri=x"); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "<script>") {
		t.Errorf("an application that is not known: %d", w.Code)
	}
}

// Whatever is asked for, what is answered is one of the addresses declared, or
// one of them on another port of a loopback address.
func TestRedirectsAreThoseDeclared(t *testing.T) {
	declared := []string{callback, "http://127.0.0.1:7999/cb"}
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.SampledFrom(declared).Draw(t, "base")
		at := rapid.IntRange(0, len(base)).Draw(t, "at")
		cut := rapid.IntRange(at, min(len(base), at+2)).Draw(t, "cut")
		asked := base[:at] + rapid.StringMatching(`[a-z0-9:/@.#?%\\]{0,4}`).Draw(t, "put") + base[cut:]
		if !mayRedirect(declared, asked) || asked == base {
			return
		}
		u, err := url.Parse(asked)
		if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" || u.Path != "/cb" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			t.Fatalf("%q may be redirected to", asked)
		}
	})
}

// 1. An attacker runs an issuer of their own, where a client also signs agents in.
// 2. They confuse the client about which of the two an answer came from, to have
// it send our code to them.
// 3. Every answer says who answers, errors too (RFC 9207); a code is worth nothing
// anywhere but at the issuer that gave it (TestIssuersAreApart).
func TestAttackMixUp(t *testing.T) {
	tn := open(t)
	for _, q := range []url.Values{asks("rp", "prompt", "none"), asks("rp", "response_type", "token"), asks("rp", "scope", "")} {
		if u := tn.authorize(q); u.Host == "rp.example" && u.Query().Get("iss") != inside {
			t.Errorf("%s: %s", q.Encode(), u)
		}
	}
	tn.signIn(agentOne)
	if u := tn.authorize(asks("rp")); u.Query().Get("iss") != inside {
		t.Errorf("a code: %s", u)
	}
}

// 1. An attacker has us fetch an address of our own network, by request_uri.
// 2. We ask nobody, and say that we do not know how.
func TestAttackRequestURI(t *testing.T) {
	var hits atomic.Int32
	victim := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(victim.Close)
	tn := open(t)
	tn.signIn(agentOne)
	for _, uri := range []string{victim.URL, victim.URL + "/r#x", "http://169.254.169.254/latest", "urn:ietf:params:oauth:request_uri", "file:///etc/passwd"} {
		if got := refused(tn.authorize(asks("rp", "request_uri", uri))); got != "request_uri_not_supported" {
			t.Errorf("%s: %q", uri, got)
		}
	}
	if hits.Load() != 0 {
		t.Error("we asked")
	}
}

// 1. The library keeps interactions under /authorize/{session}, and runs them
// again for whoever knows the address: a second code comes out.
// 2. Here there are none: the address is not served, whatever the method.
func TestAttackInteractionReplay(t *testing.T) {
	tn := open(t)
	tn.signIn(agentOne)
	tn.code(asks("rp"))
	for _, path := range []string{"/authorize/x", "/authorize/", "/authorize/x/login", "/device/x"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if w := tn.do(httptest.NewRequest(method, path, nil), true); w.Code != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
}

// 1. A page of another site has the browser sign the agent out, by an image, a
// frame, a form, or with an ID token of the attacker's own.
// 2. The agent stays in, and is asked at most.
func TestAttackSignOutByAnotherSite(t *testing.T) {
	tn := open(t)
	own := tn.signIn("A100002")
	theirs := tn.redeem("rp", tn.code(asks("rp"))).ID // the attacker's
	tn.leave(own)
	s := tn.signIn(agentOne)
	for _, path := range []string{
		"/oidc/logout", "/oidc/logout?id_token_hint=" + theirs, "/oidc/logout?client_id=rp&id_token_hint=" + theirs + "&post_logout_redirect_uri=" + url.QueryEscape(back),
	} {
		w := tn.get(path)
		if w.Header().Get("Location") != "" {
			t.Errorf("%s: led to %s", path, w.Header().Get("Location"))
		}
		for _, browser := range []bool{true, false} {
			_, query, _ := strings.Cut(path, "?")
			f, _ := url.ParseQuery(query)
			tn.form("/oidc/logout", f, browser)
		}
		// A question that was put to somebody else.
		mine := &town{TB: t, p: tn.p, clock: tn.clock, channel: tn.channel}
		mine.signIn("A100002")
		asked := ticketIn(t, mine.get("/oidc/logout"))
		tn.form("/oidc/logout", url.Values{"ticket": {asked}}, true)
		if _, in := tn.p.Sessions.Session(t.Context(), s.ID); !in {
			t.Fatalf("%s: the agent is signed out", path)
		}
	}
}

// 1. A client asks for the whole file of an agent, for eternal tokens, for the
// other clients' secrets, by every parameter there is.
// 2. It gets what it may have, and is told that this is less.
func TestAttackAClientThatAsksForMore(t *testing.T) {
	tn := open(t, client("few", func(a *parvis.App) { a.Attributes = nil }))
	s := tn.signIn(agentOne)
	got := tn.redeem("few", tn.code(asks("few", "scope", "openid profile email phone address groups uid siret offline_access admin *",
		"claims", `{"userinfo":{"siret":{"essential":true},"password":null},"id_token":{"uid":{"essential":true},"groups":null,"acr":{"value":"eidas1"}}}`,
		"authorization_details", `[{"type":"all"}]`, "resource", "https://api.example")))
	if got.Scope != "openid profile email" {
		t.Errorf("granted: %q", got.Scope)
	}
	_, who := tn.userInfo(got.Access)
	for name := range who {
		if name != "sub" && name != "channel" && name != "acr" {
			t.Errorf("told %s", name)
		}
	}
	for name := range tn.claims(got.ID) {
		if name == "uid" || name == "groups" {
			t.Errorf("told %s in the ID token", name)
		}
	}
	tn.leave(s)
	if again := tn.refresh("few", got.Refresh); again.Error != "invalid_grant" {
		t.Errorf("offline without leave: %+v", again)
	}
}

// 1. Somebody keeps an access token, and the session of its agent ends.
// 2. The token is still signed and in time; nobody is told anything for it.
func TestAttackTokensAfterTheSession(t *testing.T) {
	tn := open(t)
	s := tn.signIn(agentOne)
	got := tn.redeem("rp", tn.code(asks("rp")))
	waiting := tn.code(asks("rp"))
	tn.leave(s)
	if status, _ := tn.userInfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", status)
	}
	if tn.active("rp", got.Access) || tn.active("rp", got.Refresh) {
		t.Error("still active")
	}
	if again := tn.refresh("rp", got.Refresh); again.Error != "invalid_grant" {
		t.Errorf("refresh: %+v", again)
	}
	if w := tn.form("/token", redemption("rp", waiting), false); tn.answer(w).Error != "invalid_grant" {
		t.Errorf("a code of that session: %s", w.Body)
	}
}
