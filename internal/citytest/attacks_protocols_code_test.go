package citytest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"

	"parvis"
)

// Somebody reads a code in a proxy's log, after its application used it:
//
//  1. they show it again, as it was: refused;
//  2. again without the verifier, with another address, as another application,
//     at the other entrance: refused;
//  3. what the application got from the code is worth nothing any more, by
//     UserInfo, by introspection, by refresh; what it got otherwise lives.
func (e *enemy) replaysACode() {
	v := e.in("A100001")
	whole := e.tokens(v, "essai")
	for name, again := range map[string]func(code string) said{
		"as it was": func(code string) said { return e.post("/token", "essai", redemption("essai", code)) },
		"without the verifier": func(code string) said {
			return e.post("/token", "essai", redemption("essai", code, "code_verifier", ""))
		},
		"with another address": func(code string) said {
			return e.post("/token", "essai", redemption("essai", code, "redirect_uri", backOf("autre")))
		},
		"by another": func(code string) said { return e.post("/token", "autre", redemption("essai", code)) },
		"by one without a secret": func(code string) said {
			return e.post("/token", "ouvert", redemption("essai", code))
		},
	} {
		code := e.code(v, "essai")
		got := e.post("/token", "essai", redemption("essai", code))
		e.lives(name+", before", "essai", got)
		if a := again(code); a.Error != "invalid_grant" || a.status != http.StatusBadRequest || !a.nothing() {
			e.t.Errorf("%s: %d %v", name, a.status, a.all)
		}
		e.dead(name, "essai", got)
	}
	e.lives("another grant of the same session", "essai", whole)
}

// Somebody has a code and its client's own proofs, and is quick:
//
//  1. twenty at once redeem it: one at most is given tokens;
//  2. and those end, because a code was shown twice.
func (e *enemy) redeemsAtOnce() {
	v := e.in("A100001")
	for range 3 {
		code := e.code(v, "essai")
		all := make([]said, 20)
		var work sync.WaitGroup
		for i := range all {
			work.Go(func() { all[i] = e.post("/token", "essai", redemption("essai", code)) })
		}
		work.Wait()
		won := 0
		for _, a := range all {
			if !a.nothing() {
				won++
				e.dead("of twenty at once", "essai", a)
			} else if a.Error != "invalid_grant" {
				e.t.Errorf("one of twenty: %d %v", a.status, a.all)
			}
		}
		if won > 1 {
			e.t.Errorf("%d of twenty got tokens for one code", won)
		}
	}
}

// Somebody takes a code before its application sees it, without the verifier:
//
//  1. none, another, the challenge itself, the verifier cut: refused;
//  2. the code is spoilt by that, and nobody gets anything for it;
//  3. an application too old for PKCE is served without; a verifier that nobody
//     announced is refused (RFC 9700 §4.8.2).
func (e *enemy) stealsACode() {
	v := e.in("A100001")
	for name, verifier := range map[string]string{
		"none": "", "another": strings.Repeat("x", 43), "the challenge": s256(codeVerifier), "cut": codeVerifier[:43], "too short": "x", "longer": codeVerifier + "0",
	} {
		for _, id := range []string{"essai", "ouvert"} {
			code := e.code(v, id)
			if a := e.post("/token", id, redemption(id, code, "code_verifier", verifier)); a.Error != "invalid_grant" || !a.nothing() {
				e.t.Errorf("%s, verifier %s: %d %v", id, name, a.status, a.all)
			}
			if a := e.post("/token", id, redemption(id, code)); a.Error != "invalid_grant" || !a.nothing() {
				e.t.Errorf("%s, after a verifier that is %s: %d %v", id, name, a.status, a.all)
			}
		}
	}
	none := []string{"code_challenge", "", "code_challenge_method", ""}
	if a := e.post("/token", "vieux", redemption("vieux", e.code(v, "vieux", none...))); a.Error != "invalid_grant" {
		e.t.Errorf("a verifier that was not announced: %d %v", a.status, a.all)
	}
	if a := e.post("/token", "vieux", redemption("vieux", e.code(v, "vieux", none...), "code_verifier", "")); a.Access == "" {
		e.t.Errorf("an application that is too old: %d %v", a.status, a.all)
	}
}

// Somebody stands between a browser and the city, and weakens the question:
//
//  1. the challenge taken out, the method taken out, both; plain; another case;
//     a challenge that is no SHA-256; each twice: an error, and no code;
//  2. the same by PAR: refused there.
func (e *enemy) talksPKCEDown() {
	v := e.in("A100001")
	for _, id := range []string{"essai", "ouvert"} {
		for _, pairs := range [][]string{
			{"code_challenge", "", "code_challenge_method", ""},
			{"code_challenge", ""},
			{"code_challenge_method", ""},
			{"code_challenge_method", "plain"},
			{"code_challenge_method", "plain", "code_challenge", codeVerifier},
			{"code_challenge_method", "s256"},
			{"code_challenge_method", "none"},
			{"code_challenge", "short"},
			{"code_challenge", s256(codeVerifier) + "="},
			{"code_challenge", codeVerifier},
		} {
			u := e.led(v, e.asks(parvis.Internal, id, pairs...))
			if u.Query().Get("error") != "invalid_request" || u.Query().Get("code") != "" {
				e.t.Errorf("%s %v: %s", id, pairs, u)
			}
			f := asked(e.asks(parvis.Internal, id, pairs...))
			if a := e.post("/par", id, f); a.Error != "invalid_request" || a.Pushed != "" {
				e.t.Errorf("%s %v, pushed: %d %v", id, pairs, a.status, a.all)
			}
		}
		for _, name := range []string{"code_challenge", "code_challenge_method"} {
			u := e.led(v, e.asks(parvis.Internal, id)+"&"+name+"=plain")
			if u.Query().Get("error") != "invalid_request" || u.Query().Get("code") != "" {
				e.t.Errorf("%s, %s twice: %s", id, name, u)
			}
		}
	}
}

// asked are the parameters of a request.
func asked(address string) url.Values {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u.Query()
}

// nearly are addresses that somebody could take for that of an application.
var nearly = []string{
	"https://essai.example", "https://essai.example/", "https://essai.example/cb/", "https://essai.example/CB", "https://essai.example/cb?", "https://essai.example/cb?x=1",
	"https://essai.example/cb#", "https://essai.example/cb#x", "https://essai.example//cb", "https://essai.example/./cb", "https://essai.example/cb/../cb",
	"https://essai.example/x/..%2fcb", "https://essai.example/%63b", "https://essai.example/cb%00", "https://essai.example/cb\x00", "https://essai.example/cb ",
	" https://essai.example/cb", "https://essai.example/cb\r\nLocation: https://evil.example/", "https://essai.example/cb\t", "http://essai.example/cb",
	"HTTPS://essai.example/cb", "https://ESSAI.example/cb", "https://essai.example:443/cb", "https://essai.example./cb", "https://user@essai.example/cb",
	"https://essai.example@evil.example/cb", "https://essai.example%40evil.example/cb", "https://evil.example/cb", "https://essai.example.evil.example/cb",
	"https://evil.example/https://essai.example/cb", "https://evilessai.example/cb", "https://essai.example\\@evil.example/cb", "https://evil.example\\.essai.example/cb",
	"https:/essai.example/cb", "https:essai.example/cb", "//evil.example/cb", "/\\evil.example", "/cb", "javascript:alert(1)//https://essai.example/cb",
	"data:text/html,<script>alert(1)</script>", "https://essai.example/cb https://evil.example/", "https://*.example/cb", "https://еssai.example/cb",
	"https://[::ffff:6.6.6.6]/cb", "http://127.0.0.1:7999@evil.example/cb", "http://127.0.0.1.evil.example/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:65536000/cb",
	"http://127.0.0.1:80\\@evil.example/cb", "http://localhost:7999/cb", "http://127.1:7999/cb", "http://2130706433/cb", "https://autre.example/cb", "",
}

// Somebody sends agents to the city with an address of theirs that looks like an
// application's:
//
//  1. more than forty of them, signed in and signed out, with prompt=none, as a
//     form, in a request that is wrong besides, by PAR;
//  2. each is answered by a page, never by a Location, nor by a form, that leads
//     there; and the address is no link on the page.
func (e *enemy) nearlyRedirects() {
	if len(nearly) < 40 {
		e.t.Fatalf("only %d payloads", len(nearly))
	}
	in, out := e.in("A100001"), stay(e.town.Visitor(e.t))
	bad := func(how string, p *Page) {
		e.t.Helper()
		if p.Status != http.StatusBadRequest || p.Screen != "oidc_problem" || len(p.Header["Location"]) > 0 || strings.Contains(p.Body, `="https://evil`) || strings.Contains(p.Body, "<script>alert") {
			e.t.Errorf("%s: %d %s, to %q", how, p.Status, p.Screen, p.Header["Location"])
		}
		if policy := p.Header.Get("Content-Security-Policy"); strings.Contains(policy, "evil") {
			e.t.Errorf("%s: the page may lead there: %s", how, policy)
		}
	}
	for i, payload := range nearly {
		for _, pairs := range [][]string{nil, {"prompt", "none"}, {"response_mode", "form_post"}, {"response_type", "token"}, {"scope", ""}}[:2+i%4] {
			for name, v := range map[string]*Visitor{"in": in, "out": out} {
				q := asked(e.asks(parvis.Internal, "essai", pairs...))
				q.Set("redirect_uri", payload)
				bad(name+" "+payload, v.Get(e.town.Portal(parvis.Internal)+"/authorize?"+q.Encode()))
			}
		}
		f := asked(e.asks(parvis.Internal, "essai"))
		f.Set("redirect_uri", payload)
		if a := e.post("/par", "essai", f); a.Error != "invalid_request" || a.Pushed != "" {
			e.t.Errorf("%q, pushed: %d %v", payload, a.status, a.all)
		}
	}
	bad("twice", in.Get(e.asks(parvis.Internal, "essai")+"&redirect_uri="+url.QueryEscape("https://evil.example/cb")))
	bad("none", in.Get(e.asks(parvis.Internal, "essai", "redirect_uri", "")))
	bad("of nobody", in.Get(strings.Replace(e.asks(parvis.Internal, "essai"), "client_id=essai", "client_id=%3Cscript%3Ealert(1)", 1)))
	// What is pushed cannot be bent on its way.
	pushed := e.post("/par", "pousse", asked(e.asks(parvis.Internal, "pousse")))
	way := e.town.Portal(parvis.Internal) + "/authorize?" + url.Values{"client_id": {"pousse"}, "request_uri": {pushed.Pushed}}.Encode()
	bad("pushed by another", in.Get(strings.Replace(way, "client_id=pousse", "client_id=essai", 1)))
	u := e.led(in, way+"&redirect_uri=https%3A%2F%2Fevil.example%2F&state=evil&scope=openid+admin")
	if !strings.HasPrefix(u.String(), backOf("pousse")+"?") || u.Query().Get("state") != "state-of-pousse" || u.Query().Get("code") == "" {
		e.t.Errorf("bent on its way: %s", u)
	}
	bad("pushed and used", in.Get(way))
	// A program on the agent's own machine listens where it can (RFC 8252 §7.3).
	if u := e.led(in, e.asks(parvis.Internal, "essai", "redirect_uri", "http://127.0.0.1:50123/cb")); u.Query().Get("code") == "" || u.Host != "127.0.0.1:50123" {
		e.t.Errorf("an application of this machine: %s", u)
	}
}

// Somebody runs an issuer of their own beside ours, and would have an
// application send our codes there:
//
//  1. whatever is answered, a code or an error, in a query, a fragment or a form,
//     says which entrance answers (RFC 9207 §2);
//  2. a code of the mobile entrance is nothing at the internal one, nor are the
//     tokens that came of it, nor an assertion or an ID token made for the other.
func (e *enemy) mixesUp() {
	in, out := e.in("A100001"), stay(e.town.Visitor(e.t))
	for name, c := range map[string]struct {
		v     *Visitor
		pairs []string
		want  string
	}{
		"a code":                {in, nil, ""},
		"nobody is in":          {out, []string{"prompt", "none"}, "login_required"},
		"another response type": {in, []string{"response_type", "code id_token"}, "unsupported_response_type"},
		"a token":               {out, []string{"response_type", "token"}, "unsupported_response_type"},
		"no PKCE":               {in, []string{"code_challenge", ""}, "invalid_request"},
		"a request object":      {in, []string{"request", "e30.e30."}, "request_not_supported"},
		"a request_uri":         {in, []string{"request_uri", "https://evil.example/r"}, "request_uri_not_supported"},
		"claims that are none":  {in, []string{"claims", "["}, "invalid_request"},
		"a level of nobody":     {in, []string{"claims", `{"id_token":{"acr":{"essential":true,"value":"x"}}}`}, "unmet_authentication_requirements"},
		"somebody else":         {in, []string{"prompt", "none", "id_token_hint", "x"}, "login_required"},
		"not asked yet":         {in, []string{"prompt", "none", "client_id", "dehors", "redirect_uri", backOf("dehors")}, "consent_required"},
		"not pushed":            {in, []string{"client_id", "pousse", "redirect_uri", backOf("pousse")}, "invalid_request"},
	} {
		for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile} {
			if ch == parvis.Mobile && c.v == in {
				continue // nobody is signed in there
			}
			for _, mode := range []string{"", "fragment", "form_post"} {
				address := e.asks(ch, "essai", append([]string{"response_mode", mode}, c.pairs...)...)
				got := url.Values{}
				if mode == "form_post" {
					p := c.v.Get(address)
					for _, field := range []string{"code", "error", "iss", "state"} {
						got.Set(field, fieldOf(p, field))
					}
					e.note("a code", got.Get("code"))
				} else {
					u := e.led(c.v, address)
					got = u.Query()
					if mode == "fragment" {
						got, _ = url.ParseQuery(u.Fragment)
						e.note("a code", got.Get("code"))
					}
				}
				if got.Get("error") != c.want || (got.Get("code") != "") != (c.want == "") || got.Get("iss") != e.town.Portal(ch) || got.Get("state") == "" {
					e.t.Errorf("%s, %s, %s: %v", name, ch, mode, got)
				}
			}
		}
	}
	v := e.town.Visitor(e.t)
	v.SignIn(parvis.Mobile, e.town.Person("A100030")).at(e.t, "home")
	stay(v)
	mobile := e.town.Portal(parvis.Mobile)
	code := e.led(v, e.asks(parvis.Mobile, "essai")).Query().Get("code")
	if a := e.post("/token", "essai", redemption("essai", code)); a.Error != "invalid_grant" || !a.nothing() {
		e.t.Errorf("a code of the mobile entrance at the internal one: %d %v", a.status, a.all)
	}
	code = e.led(v, e.asks(parvis.Mobile, "essai")).Query().Get("code")
	got := e.program(http.MethodPost, mobile+"/token", redemption("essai", code), e.as("essai"))
	if got.Access == "" || e.user(parvis.Mobile, got.Access).status != http.StatusOK {
		e.t.Fatalf("at its own entrance: %d %v", got.status, got.all)
	}
	e.dead("tokens of the mobile entrance at the internal one", "essai", got)
	if a := e.user(parvis.Mobile, got.Access); a.status != http.StatusOK {
		e.t.Errorf("they were shown at the other entrance, and UserInfo answers %d", a.status)
	}
	if u := e.led(in, e.asks(parvis.Internal, "essai", "prompt", "none", "id_token_hint", got.ID)); u.Query().Get("error") != "login_required" {
		e.t.Errorf("an ID token of the mobile entrance as a hint: %s", u)
	}
}

// Somebody copies a refresh token out of a backup:
//
//  1. the application has refreshed since; they show the old one: refused, and
//     the family ends: the old ones and the present one, theirs and the true
//     owner's;
//  2. they are first, and the application comes second: the same;
//  3. twenty of them at once with a fresh one: nothing of the family lives.
func (e *enemy) reusesARefresh() {
	v := e.in("A100001")
	for _, id := range []string{"essai", "ouvert"} {
		first := e.tokens(v, id)
		second := e.refresh(id, first.Refresh)
		third := e.refresh(id, second.Refresh)
		if third.Refresh == "" || third.Refresh == second.Refresh || second.Refresh == first.Refresh {
			e.t.Fatalf("%s: refreshed: %v", id, third.all)
		}
		e.lives(id+" refreshed", id, third)
		if a := e.refresh(id, first.Refresh); a.Error != "invalid_grant" || !a.nothing() {
			e.t.Errorf("%s: one used before: %d %v", id, a.status, a.all)
		}
		for name, a := range map[string]said{"the first": first, "the second": second, "the present": third} {
			e.dead(id+", "+name, id, a)
		}
	}
	stolen := e.tokens(v, "essai")
	theirs := e.refresh("essai", stolen.Refresh)
	if a := e.refresh("essai", stolen.Refresh); a.Error != "invalid_grant" {
		e.t.Errorf("its owner comes second: %d %v", a.status, a.all)
	}
	e.dead("the thief's", "essai", theirs)

	fresh := e.tokens(v, "essai")
	all := make([]said, 20)
	var work sync.WaitGroup
	for i := range all {
		work.Go(func() { all[i] = e.refresh("essai", fresh.Refresh) })
	}
	work.Wait()
	won := 0
	for _, a := range all {
		if !a.nothing() {
			won++
			e.dead("of twenty at once", "essai", a)
		} else if a.Error != "invalid_grant" {
			e.t.Errorf("one of twenty: %d %v", a.status, a.all)
		}
	}
	if won > 1 {
		e.t.Errorf("%d of twenty refreshed with one token", won)
	}
	e.dead("the one that all showed", "essai", fresh)
}
