package moncompte

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/text"
)

func TestWholeCodeFlow(t *testing.T) {
	each(t, func(tn *town) {
		subject := tn.citizen(address)
		provider, err := oidc.NewProvider(tn.Context(), tn.url)
		if err != nil {
			tn.Fatal(err)
		}
		for _, client := range []struct{ id, alg string }{{"agents", oidc.ES256}, {"signed", oidc.RS256}} {
			verifier := oauth2.GenerateVerifier()
			b := tn.browser()
			config := tn.config(client.id)
			config.Endpoint = provider.Endpoint()
			config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
			u := b.get(tn.ask(client.id, verifier, "scope", "openid email address urn:unknown", "acr_values", "eidas2 eidas1 urn:other", "display", "popup")).location()
			if u.Path != "/signin" {
				tn.Fatalf("led to %s", u)
			}
			pg := b.get(u.RequestURI()).is(http.StatusOK, "citizen_sign_in")
			if !strings.Contains(pg.body, map[string]string{"agents": "le portail des agents", "signed": "autre"}[client.id]) {
				tn.Error("the client is not named")
			}
			done := b.post("/signin", "flow", pg.hidden("flow"), "email", strings.ToUpper(address), "password", right).follow().location()
			q := done.Query()
			if q.Get("state") != "s-1" || q.Get("iss") != tn.url || q.Get("error") != "" {
				tn.Fatalf("came back as %s", done)
			}
			began := tn.clock.Now().Add(-time.Second).Unix()
			tn.clock.Move(10 * time.Second)
			token, err := config.Exchange(tn.Context(), q.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				tn.Fatal(err)
			}
			raw, _ := token.Extra("id_token").(string)
			id, err := provider.Verifier(&oidc.Config{ClientID: client.id, SupportedSigningAlgs: []string{client.alg}, Now: tn.clock.Now}).Verify(tn.Context(), raw)
			if err != nil {
				tn.Fatal(err)
			}
			var got map[string]any
			if err := id.Claims(&got); err != nil {
				tn.Fatal(err)
			}
			now := float64(tn.clock.Now().Unix())
			want := map[string]any{
				"iss": tn.url, "sub": subject, "aud": client.id, "nonce": "n-1", "iat": now, "exp": now + 300,
				"auth_time": float64(began), "acr": "eidas1", "amr": []any{"pwd"},
			}
			if d := cmp.Diff(want, got); d != "" {
				tn.Error(d)
			}
			var info map[string]any
			user, err := provider.UserInfo(tn.Context(), oauth2.StaticTokenSource(token))
			if err == nil {
				err = user.Claims(&info)
			}
			if err != nil || user.Subject != subject || user.Email != address || !user.EmailVerified {
				tn.Errorf("%+v, %v", user, err)
			}
			if client.id == "signed" && (info["iss"] != tn.url || info["aud"] != client.id) {
				tn.Errorf("UserInfo was not a signed token: %v", info)
			}
		}
		for _, e := range tn.events() {
			body, err := json.Marshal(e)
			if err != nil || strings.Contains(string(body), "@") || strings.Contains(string(body), "Camille") || strings.Contains(string(body), "192.0.2") {
				tn.Errorf("an event names somebody: %s, %v", body, err)
			}
		}
	})
}

func TestDiscovery(t *testing.T) {
	each(t, func(tn *town) {
		a := tn.browser().get("/.well-known/openid-configuration")
		var d map[string]any
		if err := json.Unmarshal([]byte(a.body), &d); err != nil {
			tn.Fatal(err)
		}
		for name, want := range map[string]any{
			"issuer": tn.url, "authorization_endpoint": tn.url + "/authorize", "token_endpoint": tn.url + "/token", "userinfo_endpoint": tn.url + "/userinfo",
			"jwks_uri": tn.url + "/jwks", "end_session_endpoint": tn.url + "/logout",
			"scopes_supported": []any{"openid", "email"}, "response_types_supported": []any{"code"}, "grant_types_supported": []any{"authorization_code"},
			"code_challenge_methods_supported": []any{"S256"}, "token_endpoint_auth_methods_supported": []any{"client_secret_basic"},
			"acr_values_supported": []any{"eidas1"}, "subject_types_supported": []any{"public"},
			"authorization_response_iss_parameter_supported": true, "request_uri_parameter_supported": false, "request_parameter_supported": false,
			"claims_parameter_supported": false,
		} {
			if diff := cmp.Diff(want, d[name]); diff != "" {
				tn.Errorf("%s:\n%s", name, diff)
			}
		}
		if algs, _ := d["id_token_signing_alg_values_supported"].([]any); len(algs) != 2 {
			tn.Errorf("ID tokens are signed with %v", algs)
		}
		keys := tn.browser().get("/jwks")
		if strings.Contains(keys.body, `"d":`) || strings.Count(keys.body, `"kid"`) != 2 || !strings.Contains(keys.body, "ES256") || !strings.Contains(keys.body, "RS256") {
			tn.Errorf("published keys: %s", keys.body)
		}
	})
}

// refusedToClient checks the error that a client gets.
func refusedToClient(t *testing.T, u *url.URL, want string) {
	t.Helper()
	if got := u.Query().Get("error"); got != want || u.Query().Get("code") != "" || !strings.HasPrefix(u.String(), back+"?") || u.Query().Get("iss") == "" {
		t.Errorf("sent to %s, want the error %s", u, want)
	}
}

func TestRequestsThatAreRefusedToTheClient(t *testing.T) {
	each(t, func(tn *town) {
		verifier := oauth2.GenerateVerifier()
		for name, c := range map[string]struct {
			set  []string
			drop string
			want string
		}{
			"no PKCE":                 {drop: "code_challenge", want: "invalid_request"},
			"plain PKCE":              {set: []string{"code_challenge_method", "plain"}, want: "invalid_request"},
			"no response_type":        {drop: "response_type", want: "invalid_request"},
			"implicit":                {set: []string{"response_type", "id_token"}, want: "invalid_request"},
			"no openid":               {set: []string{"scope", "email"}, want: "invalid_request"},
			"unknown response_mode":   {set: []string{"response_mode", "form_post"}, want: "invalid_request"},
			"a request object":        {set: []string{"request", "eyJ.e30."}, want: "request_not_supported"},
			"nobody in, no prompt":    {set: []string{"prompt", "none"}, want: "login_required"},
			"an age that is no age":   {set: []string{"max_age", "soon"}, want: "invalid_request"},
			"an age below zero":       {set: []string{"max_age", "-1"}, want: "invalid_request"},
			"none and login together": {set: []string{"prompt", "none login"}, want: "invalid_request"},
			"too long":                {set: []string{"state", strings.Repeat("x", 5000)}, want: "invalid_request"},
		} {
			u, err := url.Parse(tn.ask("agents", verifier, c.set...))
			if err != nil {
				tn.Fatal(err)
			}
			q := u.Query()
			q.Del(c.drop)
			u.RawQuery = q.Encode()
			led := tn.browser().get(u.String()).location()
			if name == "implicit" { // its answers are for the fragment
				led.RawQuery, led.Fragment = led.Fragment, ""
			}
			tn.Log(name)
			refusedToClient(tn.T, led, c.want)
		}
	})
}

func TestRequestsThatAreNotAnsweredToTheClient(t *testing.T) {
	each(t, func(tn *town) {
		verifier := oauth2.GenerateVerifier()
		for name, set := range map[string][]string{
			"another address":         {"redirect_uri", "https://enemy.example.org/"},
			"a longer address":        {"redirect_uri", back + "/more"},
			"an address with a query": {"redirect_uri", back + "?a=b"},
			"a host before":           {"redirect_uri", "http://agents.localhost:8080@enemy.example.org/verifier/return"},
			"another port":            {"redirect_uri", "http://agents.localhost:9999/verifier/return"},
			"another case":            {"redirect_uri", "http://agents.localhost:8080/Verifier/return"},
			"no address":              {"redirect_uri", ""},
			"an unknown client":       {"client_id", "enemy"},
			"no client":               {"client_id", ""},
			"a request elsewhere":     {"request_uri", "https://enemy.example.org/r"},
			"a foreign hint":          {"id_token_hint", "eyJhbGciOiJub25lIn0.e30."},
		} {
			if a := tn.browser().get(tn.ask("agents", verifier, set...)); a.status != http.StatusBadRequest || a.screen() != "citizen_problem" {
				tn.Errorf("%s: %d to %q", name, a.status, a.header.Get("Location"))
			}
		}
		tn.browser().get(tn.ask("agents", verifier)+"&state=two").is(http.StatusBadRequest, "citizen_problem")
	})
}

func TestACodeServesOnce(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		verifier := oauth2.GenerateVerifier()
		code := tn.browser().code("agents", verifier)
		config := tn.config("agents")
		token, err := config.Exchange(tn.Context(), code, oauth2.VerifierOption(verifier))
		if err != nil {
			tn.Fatal(err)
		}
		if got := userinfo(tn, token.AccessToken); got != http.StatusOK {
			tn.Errorf("UserInfo before: %d", got)
		}
		if _, err := config.Exchange(tn.Context(), code, oauth2.VerifierOption(verifier)); errorCode(err) != "invalid_grant" {
			tn.Errorf("the second time: %v", err)
		}
		// RFC 6749 §4.1.2: what the first redemption gave is worth nothing now.
		if got := userinfo(tn, token.AccessToken); got != http.StatusUnauthorized {
			tn.Errorf("UserInfo after: %d", got)
		}
	})
}

// Eight programs redeem one code at the same moment (the library loads, checks
// and saves: without a compare-and-set below it, all eight win).
func TestOneCodeRedeemedInParallel(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		verifier := oauth2.GenerateVerifier()
		code := tn.browser().code("agents", verifier)
		config := tn.config("agents")
		var all sync.WaitGroup
		results := make(chan error, 8)
		for range 8 {
			all.Go(func() {
				_, err := config.Exchange(context.Background(), code, oauth2.VerifierOption(verifier))
				results <- err
			})
		}
		all.Wait()
		close(results)
		won := 0
		for err := range results {
			switch {
			case err == nil:
				won++
			case errorCode(err) != "invalid_grant" && errorCode(err) != "expired_token":
				tn.Errorf("a loser was told %v", err)
			}
		}
		if won != 1 {
			tn.Errorf("%d of 8 redeemed the code", won)
		}
	})
}

func TestCodesThatAreNotRedeemed(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		verifier := oauth2.GenerateVerifier()
		for name, f := range map[string]func(c *oauth2.Config) (string, time.Duration){
			"without its verifier": func(*oauth2.Config) (string, time.Duration) { return "", 0 },
			"with another":         func(*oauth2.Config) (string, time.Duration) { return oauth2.GenerateVerifier(), 0 },
			"for another address":  func(c *oauth2.Config) (string, time.Duration) { c.RedirectURL = home; return verifier, 0 },
			"by another client":    func(c *oauth2.Config) (string, time.Duration) { c.ClientID = "signed"; return verifier, 0 },
			"too late":             func(*oauth2.Config) (string, time.Duration) { return verifier, codeSeconds * time.Second },
		} {
			config := tn.config("agents")
			code := tn.browser().code("agents", verifier)
			with, later := f(config)
			tn.clock.Move(later)
			if _, err := config.Exchange(tn.Context(), code, oauth2.VerifierOption(with)); errorCode(err) != "invalid_grant" {
				tn.Errorf("%s: %v", name, err)
			}
			// It is dead for the right one too.
			if _, err := tn.config("agents").Exchange(tn.Context(), code, oauth2.VerifierOption(verifier)); err == nil {
				tn.Errorf("%s: redeemed afterwards", name)
			}
		}
		config := tn.config("agents")
		config.ClientSecret = strings.Repeat("x", 32)
		_, err := config.Exchange(tn.Context(), "anything", oauth2.VerifierOption(verifier))
		if errorCode(err) != "invalid_client" {
			tn.Errorf("with a wrong secret: %v", err)
		}
		a := tn.browser().post("/token", "grant_type", "authorization_code", "code", "x")
		if a.status != http.StatusUnauthorized || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
			tn.Errorf("without a secret: %d %q", a.status, a.header.Get("WWW-Authenticate"))
		}
	})
}

// The library runs its policy again for an interaction that is finished: a naive
// one gives a second code for the same address of the browser's history.
func TestAnInteractionServesOnce(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		b := tn.browser()
		pg := b.get(tn.ask("agents", oauth2.GenerateVerifier())).follow()
		flow := pg.hidden("flow")
		led := b.post("/signin", "flow", flow, "email", address, "password", right)
		if u := led.follow().location(); u.Query().Get("code") == "" {
			tn.Fatalf("no code: %s", u)
		}
		for _, a := range []answer{b.get("/authorize/" + flow), b.post("/authorize/" + flow + "/cancel")} {
			a.is(http.StatusConflict, "citizen_problem")
		}
		// Another browser, with the address of an interaction that is not finished.
		other := b.get(tn.ask("agents", oauth2.GenerateVerifier(), "prompt", "login")).follow().hidden("flow")
		thief := tn.browser()
		thief.signIn(address, right)
		thief.get("/authorize/"+other).is(http.StatusConflict, "citizen_problem")
		thief.post("/authorize/"+other+"/cancel").is(http.StatusConflict, "citizen_problem")
		// And at one moment: eight requests, one code.
		third := b.get(tn.ask("agents", oauth2.GenerateVerifier(), "prompt", "login")).follow().hidden("flow")
		b.post("/signin", "flow", third, "email", address, "password", right)
		var all sync.WaitGroup
		codes := make(chan string, 8)
		for range 8 {
			r := b.request(http.MethodGet, "/authorize/"+third, nil)
			all.Go(func() {
				res, err := b.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				if u, err := res.Location(); err == nil && u.Query().Get("code") != "" {
					codes <- u.Query().Get("code")
				}
			})
		}
		all.Wait()
		if len(codes) != 1 {
			tn.Errorf("%d codes from one interaction", len(codes))
		}
		b.get("/authorize/"+strings.Repeat("A", 200)).is(http.StatusConflict, "citizen_problem")
		b.get("/signin?flow="+strings.Repeat("A", 200)).is(http.StatusConflict, "citizen_problem")
	})
}

func TestGivingUp(t *testing.T) {
	each(t, func(tn *town) {
		b := tn.browser()
		flow := b.get(tn.ask("agents", oauth2.GenerateVerifier())).follow().hidden("flow")
		b.get("/authorize/"+flow+"/cancel").is(http.StatusNotFound, "citizen_problem") // a link does not give up
		refusedToClient(tn.T, b.post("/authorize/"+flow+"/cancel").location(), "access_denied")
		b.post("/authorize/"+flow+"/cancel").is(http.StatusConflict, "citizen_problem")
		b.get("/signin?flow="+flow).is(http.StatusOK, "citizen_sign_in") // harmless: it leads nowhere
		late := b.get(tn.ask("agents", oauth2.GenerateVerifier())).follow().hidden("flow")
		tn.clock.Move(interactionLasts)
		b.post("/authorize/"+late+"/cancel").is(http.StatusConflict, "citizen_problem")
	})
}

func TestPrompts(t *testing.T) {
	each(t, func(tn *town) {
		subject := tn.citizen(address)
		b := tn.browser()
		verifier := oauth2.GenerateVerifier()
		code := b.code("agents", verifier)
		token, err := tn.config("agents").Exchange(tn.Context(), code, oauth2.VerifierOption(verifier))
		if err != nil {
			tn.Fatal(err)
		}
		hint, _ := token.Extra("id_token").(string)
		done := func(more ...string) bool {
			tn.Helper()
			return b.get(tn.ask("agents", verifier, more...)).location().Query().Get("code") != ""
		}
		for _, c := range []struct {
			more []string
			want bool
		}{
			{nil, true},
			{[]string{"prompt", "none"}, true},
			{[]string{"prompt", "none", "id_token_hint", hint}, true},
			{[]string{"prompt", "login"}, false},
			{[]string{"prompt", "select_account"}, false},
			{[]string{"max_age", "600"}, true},
			{[]string{"max_age", "0"}, false},
			{[]string{"max_age", "99999999999"}, true},
		} {
			if got := done(c.more...); got != c.want {
				tn.Errorf("%v: a code without asking %v", c.more, got)
			}
		}
		// Whoever goes on without having signed in again is asked again.
		skip := b.get(tn.ask("agents", verifier, "prompt", "login")).follow().hidden("flow")
		if u := b.get("/authorize/" + skip).location(); u.Path != "/signin" || u.Query().Get("flow") != skip {
			tn.Errorf("a demand to sign in again was passed by: %s", u)
		}
		tn.clock.Move(11 * time.Minute)
		if done("max_age", "600") {
			tn.Error("an old session served a client that wanted a young one")
		}
		refusedToClient(tn.T, b.get(tn.ask("agents", verifier, "max_age", "600", "prompt", "none")).location(), "login_required")
		// Signing in again serves it, and is told.
		pg := b.get(tn.ask("agents", verifier, "max_age", "600")).follow()
		again := b.post("/signin", "flow", pg.hidden("flow"), "email", address, "password", right).follow().location()
		token, err = tn.config("agents").Exchange(tn.Context(), again.Query().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			tn.Fatal(err)
		}
		if _, client, err := tn.s.readHint(tn.Context(), token.Extra("id_token").(string)); err != nil || client != "agents" {
			tn.Errorf("hint for %q, %v", client, err)
		}
		// Somebody else signs in where the client expects another person.
		other := "dominique@habitants.example.org"
		tn.citizen(other)
		pg = b.get(tn.ask("agents", verifier, "prompt", "login", "id_token_hint", hint)).follow()
		refusedToClient(tn.T, b.post("/signin", "flow", pg.hidden("flow"), "email", other, "password", right).follow().location(), "login_required")
		refusedToClient(tn.T, b.get(tn.ask("agents", verifier, "prompt", "none", "id_token_hint", hint)).location(), "login_required")
		tn.clock.Move(sessionLasts)
		refusedToClient(tn.T, b.get(tn.ask("agents", verifier, "prompt", "none")).location(), "login_required")
		if c, err := tn.s.reveal(tn.s.Store.Citizen(tn.Context(), subject)); err != nil || c.Email != address {
			tn.Errorf("%+v, %v", c, err)
		}
	})
}

func TestAPostedRequestAndItsLanguage(t *testing.T) {
	each(t, func(tn *town) {
		b := tn.browser()
		b.site = "cross-site"
		u, err := url.Parse(tn.ask("agents", oauth2.GenerateVerifier(), "ui_locales", "de en-GB fr", "login_hint", address))
		if err != nil {
			tn.Fatal(err)
		}
		a := b.do(b.request(http.MethodPost, "/authorize", u.Query()))
		pg := a.follow().follow().is(http.StatusOK, "citizen_sign_in")
		if !strings.Contains(pg.body, `lang="en"`) || !strings.Contains(pg.body, `value="`+address+`"`) {
			tn.Errorf("not in English, or not for the person: %s", pg.body)
		}
		if got := locale("de it"); got != text.Lang("") {
			tn.Errorf("spoken: %q", got)
		}
	})
}

func TestLogout(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		verifier := oauth2.GenerateVerifier()
		enter := func() (*browser, string) {
			b := tn.browser()
			token, err := tn.config("agents").Exchange(tn.Context(), b.code("agents", verifier), oauth2.VerifierOption(verifier))
			if err != nil {
				tn.Fatal(err)
			}
			hint, _ := token.Extra("id_token").(string)
			return b, hint
		}
		q := func(pairs ...string) string {
			v := url.Values{}
			for i := 0; i+1 < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
			return "/logout?" + v.Encode()
		}
		in := func(b *browser) bool { return b.get("/").screen() == "citizen_account" }

		b, hint := enter()
		tn.clock.Move(40 * time.Minute) // the hint has expired: it names the session all the same
		u := b.get(q("id_token_hint", hint, "post_logout_redirect_uri", home, "state", "z")).location()
		if u.String() != home+"?state=z" || in(b) {
			tn.Errorf("led to %s, signed in %v", u, in(b))
		}
		// Nobody is in: there is nothing to ask.
		if u := b.get(q("client_id", "agents", "post_logout_redirect_uri", home)).location(); u.String() != home {
			tn.Errorf("led to %s", u)
		}

		b, hint = enter()
		pg := b.get(q("client_id", "agents", "post_logout_redirect_uri", home)).is(http.StatusOK, "citizen_sign_out")
		if !in(b) {
			tn.Error("a link alone ended a session")
		}
		ticket := strings.SplitN(strings.SplitN(pg.body, `action="/logout/`, 2)[1], `"`, 2)[0]
		thief := tn.browser()
		thief.post("/logout/"+ticket).is(http.StatusConflict, "citizen_problem")
		if u := b.post("/logout/" + ticket).location(); u.String() != home || in(b) {
			tn.Errorf("led to %s, signed in %v", u, in(b))
		}

		b, _ = enter()
		b.get(q()).is(http.StatusOK, "citizen_sign_out")
		for name, path := range map[string]string{
			"an address that is not registered": q("client_id", "agents", "post_logout_redirect_uri", "https://enemy.example.org/"),
			"an address of nobody":              q("post_logout_redirect_uri", home),
			"an unknown client":                 q("client_id", "enemy", "post_logout_redirect_uri", home),
			"another client's hint":             q("client_id", "signed", "id_token_hint", hint, "post_logout_redirect_uri", home),
			"a hint that is not ours":           q("id_token_hint", hint+"x", "post_logout_redirect_uri", home),
		} {
			if a := b.get(path); a.status != http.StatusBadRequest || !in(b) {
				tn.Errorf("%s: %d to %q", name, a.status, a.header.Get("Location"))
			}
		}
		b.site = "cross-site" // a client may post too, but then the person is asked
		b.post("/logout", "client_id", "agents").is(http.StatusOK, "citizen_sign_out")
		b.site = "same-origin"
		b.post("/signout").is(http.StatusOK, "citizen_signed_out")
		if in(b) {
			tn.Error("still in")
		}
	})
}

func TestKeysRotate(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		kids := func() (all []string) {
			set, err := tn.s.jwks(tn.Context())
			if err != nil {
				tn.Fatal(err)
			}
			for _, k := range set.Keys {
				if k.Algorithm == oidc.ES256 {
					all = append(all, k.KeyID)
				}
			}
			return all
		}
		first := kids()
		tn.clock.Move(90*24*time.Hour - time.Hour)
		if d := cmp.Diff(first, kids()); d != "" || len(first) != 1 {
			tn.Errorf("before its time:\n%s", d)
		}
		tn.clock.Move(time.Hour)
		announced := kids()
		if len(announced) != 2 || announced[0] != first[0] {
			tn.Errorf("announced: %v after %v", announced, first)
		}
		tn.clock.Move(time.Hour)
		signs := kids()
		if len(signs) != 2 || signs[0] != announced[1] || signs[1] != first[0] {
			tn.Errorf("signs: %v after %v", signs, announced)
		}
		tn.clock.Move(24 * time.Hour)
		if alone := kids(); len(alone) != 1 || alone[0] != signs[0] {
			tn.Errorf("in the end: %v", alone)
		}
		// Another process reads the same keys.
		other := &Service{Store: tn.s.Store, Keys: tn.s.Keys, Clock: tn.clock.Now, kept: tn.s.kept}
		set, err := other.jwks(tn.Context())
		if err != nil || set.Keys[0].KeyID != signs[0] {
			tn.Errorf("%v, %v", set, err)
		}
	})
}

func TestGrantsEndWithTheirAccount(t *testing.T) {
	each(t, func(tn *town) {
		subject := tn.citizen(address)
		verifier := oauth2.GenerateVerifier()
		code := tn.browser().code("agents", verifier)
		if err := tn.s.Store.Write(tn.Context(), func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "test.changed"})
			_, err := tx.SetCitizenPassword(tn.Context(), subject, "other")
			return err
		}); err != nil {
			tn.Fatal(err)
		}
		if _, err := tn.config("agents").Exchange(tn.Context(), code, oauth2.VerifierOption(verifier)); errorCode(err) != "invalid_grant" {
			tn.Errorf("redeemed after the password was changed: %v", err)
		}
	})
}

// userinfo asks with an access token and gives the status.
func userinfo(t *town, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, t.url+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusUnauthorized && !strings.Contains(res.Header.Get("WWW-Authenticate"), "invalid_token") {
		t.Error("a 401 without its challenge")
	}
	return res.StatusCode
}

// errorCode is what a token endpoint answered.
func errorCode(err error) string {
	var e *oauth2.RetrieveError
	if errors.As(err, &e) {
		return e.ErrorCode
	}
	return ""
}
