package oidc

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parvis"
)

func TestCodeFlow(t *testing.T) {
	tn := open(t)
	to := tn.authorize(asks("rp"))
	if to.Path != "/signin" || to.Query().Get("app") != "rp" {
		t.Fatalf("nobody is in: %s", to)
	}
	tn.signIn(agentOne)
	u := tn.where(tn.get(to.Query().Get("to")))
	if u.Host != "rp.example" || u.Query().Get("state") != "s1" || u.Query().Get("iss") != inside || u.Query().Get("code") == "" {
		t.Fatalf("the answer: %s", u)
	}
	got := tn.redeem("rp", u.Query().Get("code"))
	id := tn.claims(got.ID)
	for name, want := range map[string]any{
		"iss": inside, "aud": "rp", "sub": string(agentOne), "nonce": "n1", "acr": "eidas1", "channel": "internal", "amr": []any{"pwd"},
		"email": nil, "exp": id["iat"].(float64) + tokenSeconds, // identity claims go to UserInfo (domain.md 3.1)
	} {
		if d := cmp.Diff(want, id[name]); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
	if at := int64(id["auth_time"].(float64)); at > time.Now().Unix() || at < time.Now().Unix()-60 {
		t.Errorf("auth_time is not on this machine's clock: %d", at)
	}
	status, who := tn.userInfo(got.Access)
	want := map[string]any{
		"sub": string(agentOne), "email": "a100001@example.org", "email_verified": true, "name": "Zoé Anne Müller-Lefèvre", "given_name": "Zoé Anne",
		"family_name": "Müller-Lefèvre", "usual_name": "Müller-Lefèvre", "channel": "internal", "acr": "eidas1",
	}
	if d := cmp.Diff(want, who, cmpopts.IgnoreMapEntries(func(k string, _ any) bool { return k == "name" })); d != "" || status != http.StatusOK {
		t.Errorf("userinfo: %d\n%s", status, d)
	}
	if access := tn.claims(got.Access); access["aud"] != inside || access["client_id"] != "rp" || access["acr"] != "eidas1" || access["jti"] == nil {
		t.Errorf("access token: %v", access)
	}
	if got.Type != "Bearer" || got.Expires != tokenSeconds || got.Scope != "openid profile email" {
		t.Errorf("the answer: %+v", got)
	}
	again := tn.refresh("rp", got.Refresh)
	if again.Access == "" || again.Refresh == got.Refresh || again.Refresh == "" {
		t.Fatalf("refresh: %+v", again)
	}
	after := tn.claims(again.ID)
	for _, name := range []string{"sub", "auth_time", "sid", "aud", "iss"} { // Core §12.2
		if after[name] != id[name] {
			t.Errorf("%s after a refresh: %v, was %v", name, after[name], id[name])
		}
	}
}

func TestACodeIsNotStored(t *testing.T) {
	tn := open(t)
	s := tn.signIn(agentOne)
	code := tn.code(asks("rp"))
	if grants, err := tn.p.Store.GrantsIn(t.Context(), s.ID); err != nil || len(grants) != 0 {
		t.Errorf("stored before it was redeemed: %v, %v", grants, err)
	}
	if n := len(code); n > 1100 {
		t.Errorf("a code has %d signs", n)
	}
	tn.redeem("rp", code)
	if grants, err := tn.p.Store.GrantsIn(t.Context(), s.ID); err != nil || len(grants) != 1 {
		t.Errorf("after: %v, %v", grants, err)
	}
}

func TestSingleSignOn(t *testing.T) {
	tn := open(t, client("second", nil))
	s := tn.signIn(agentOne)
	one := tn.claims(tn.redeem("rp", tn.code(asks("rp"))).ID)
	two := tn.claims(tn.redeem("second", tn.code(asks("second"))).ID)
	if one["sub"] != two["sub"] || one["sid"] == two["sid"] {
		t.Errorf("sub %v and %v, sid %v and %v", one["sub"], two["sub"], one["sid"], two["sid"])
	}
	// The name of the session stays when it is raised.
	tn.raise(s, parvis.TOTP)
	three := tn.claims(tn.redeem("rp", tn.code(asks("rp"))).ID)
	if one["sid"] != three["sid"] || three["acr"] != "eidas2" {
		t.Errorf("after a second proof: sid %v was %v, acr %v", three["sid"], one["sid"], three["acr"])
	}
}

func TestPrompts(t *testing.T) {
	tn := open(t)
	if got := refused(tn.authorize(asks("rp", "prompt", "none"))); got != "login_required" {
		t.Errorf("nobody is in, prompt none: %q", got)
	}
	tn.signIn(agentOne)
	if u := tn.authorize(asks("rp", "prompt", "none")); u.Query().Get("code") == "" {
		t.Errorf("somebody is in, prompt none: %s", u)
	}
	if got := refused(tn.authorize(asks("rp", "prompt", "none login"))); got != "invalid_request" {
		t.Errorf("none and another: %q", got)
	}
	for _, prompt := range []string{"login", "select_account", "login consent"} {
		tn.clock.Move(time.Second)
		u := tn.authorize(asks("rp", "prompt", prompt))
		if u.Path != "/prove" || u.Query().Get("level") != "eidas1" {
			t.Fatalf("%s: %s", prompt, u)
		}
		way := u.Query().Get("to")
		// Coming back without having done anything leads there again.
		if u := tn.where(tn.get(way)); u.Path != "/prove" {
			t.Errorf("%s, nothing done: %s", prompt, u)
		}
		if got := refused(tn.where(tn.get(way + "&unmet=1"))); got != "login_required" {
			t.Errorf("%s, declined: %q", prompt, got)
		}
		tn.clock.Move(time.Second)
		tn.signIn(agentOne)
		if u := tn.where(tn.get(way)); u.Query().Get("code") == "" {
			t.Errorf("%s, done: %s", prompt, u)
		}
		// The way back is for this request alone.
		other := strings.Replace(way, "state=s1", "state=s2", 1)
		tn.clock.Move(time.Second)
		if u := tn.where(tn.get(other)); u.Path != "/prove" {
			t.Errorf("%s, another request with the mark of this one: %s", prompt, u)
		}
	}
}

func TestMaxAge(t *testing.T) {
	tn := open(t)
	tn.signIn(agentOne)
	tn.clock.Move(10 * time.Minute)
	for _, c := range []struct {
		age, want string
	}{{"10000", "code"}, {"600", "code"}, {"599", "/prove"}, {"0", "/prove"}, {"-1", "invalid_request"}, {"soon", "invalid_request"}} {
		u := tn.authorize(asks("rp", "max_age", c.age))
		got := u.Path
		switch {
		case u.Query().Get("code") != "":
			got = "code"
		case refused(u) != "":
			got = refused(u)
		}
		if got != c.want {
			t.Errorf("max_age %s: %s, want %s", c.age, got, c.want)
		}
	}
	if got := refused(tn.authorize(asks("rp", "max_age", "1", "prompt", "none"))); got != "login_required" {
		t.Errorf("silently: %q", got)
	}
	// What is told of the age is true on this machine's clock.
	at := int64(tn.claims(tn.redeem("rp", tn.code(asks("rp"))).ID)["auth_time"].(float64))
	if age := time.Now().Unix() - at; age < 598 || age > 660 {
		t.Errorf("auth_time is %d s ago", age)
	}
}

func acr(essential bool, values ...string) string {
	body, _ := json.Marshal(map[string]any{"id_token": map[string]any{"acr": map[string]any{"essential": essential, "values": values}}})
	return string(body)
}

func TestLevels(t *testing.T) {
	tn := open(t)
	s := tn.signIn(agentOne)
	level := func(q url.Values) any {
		t.Helper()
		return tn.claims(tn.redeem("rp", tn.code(q)).ID)["acr"]
	}
	for name, q := range map[string]url.Values{
		"a wish": asks("rp", "acr_values", "eidas3 eidas2"), "a wish in claims": asks("rp", "claims", acr(false, "eidas3")),
		"legacy": asks("rp", "acr_values", "eidas1"), "essential and reached": asks("rp", "claims", acr(true, "eidas1", "eidas2")),
		"unknown": asks("rp", "acr_values", "urn:example:high"),
	} {
		if got := level(q); got != "eidas1" {
			t.Errorf("%s: %v", name, got)
		}
	}
	demand := asks("rp", "claims", acr(true, "eidas2", "eidas3"))
	if got := refused(tn.authorize(asks("rp", "claims", acr(true, "eidas2"), "prompt", "none"))); got != "interaction_required" {
		t.Errorf("silently: %q", got)
	}
	u := tn.authorize(demand)
	if u.Path != "/prove" || u.Query().Get("level") != "eidas2" {
		t.Fatalf("missing: %s", u)
	}
	way := u.Query().Get("to")
	if got := refused(tn.where(tn.get(way + "&unmet=1"))); got != "unmet_authentication_requirements" {
		t.Errorf("unmet: %q", got)
	}
	tn.raise(s, parvis.TOTP)
	u = tn.where(tn.get(way))
	if got := tn.claims(tn.redeem("rp", u.Query().Get("code")).ID); got["acr"] != "eidas2" || !slices.Contains(got["amr"].([]any), any("otp")) {
		t.Errorf("after the step-up: %v %v", got["acr"], got["amr"])
	}
	// One of the values asked for, lower than what is true and never higher.
	if got := level(asks("rp", "claims", acr(true, "eidas1-mfa", "eidas3"))); got != "eidas1-mfa" {
		t.Errorf("of eidas1-mfa and eidas3, with eidas2: %v", got)
	}
	if got := refused(tn.authorize(asks("rp", "claims", acr(true, "urn:example:high")))); got != "unmet_authentication_requirements" {
		t.Errorf("a level that is not known here: %q", got)
	}
}

func TestHints(t *testing.T) {
	tn := open(t, client("second", nil))
	u := tn.authorize(asks("rp", "login_hint", "zoe+tag@example.org", "sp_name", "Autre <b>service", "sp_id", "42", "siret_hint", "1", "remember_me", "true"))
	if got := u.Query().Get("hint"); got != "zoe+tag@example.org" { // the portal knows what to make of it
		t.Errorf("hint: %q", got)
	}
	if to, _ := url.Parse(u.Query().Get("to")); to.Query().Get("sp_name") != "Autre <b>service" {
		t.Errorf("sp_name is lost: %s", to)
	}
	s := tn.signIn(agentOne)
	id := tn.redeem("rp", tn.code(asks("rp"))).ID
	other := tn.redeem("second", tn.code(asks("second"))).ID
	if u := tn.authorize(asks("rp", "id_token_hint", id, "prompt", "none")); u.Query().Get("code") == "" {
		t.Errorf("the one who is in: %s", u)
	}
	for name, hint := range map[string]string{"of another client": other, "altered": id[:len(id)-4] + "AAAA", "nonsense": "x"} {
		if got := refused(tn.authorize(asks("rp", "id_token_hint", hint, "prompt", "none"))); got != "login_required" {
			t.Errorf("a hint %s: %q", name, got)
		}
	}
	tn.leave(s)
	tn.signIn("A100002")
	for name, q := range map[string]url.Values{
		"hint": asks("rp", "id_token_hint", id), "sub": asks("rp", "claims", `{"id_token":{"sub":{"value":"A100001"}}}`),
	} {
		if got := refused(tn.authorize(q)); got != "login_required" {
			t.Errorf("somebody else is in, %s: %q", name, got)
		}
	}
}

func TestLocales(t *testing.T) {
	tn := open(t)
	for locales, want := range map[string]string{"en-GB fr": "en", "de fr-CA en": "fr", "de": "", "": "", "../x": ""} {
		tn.cookies = nil
		tn.authorize(asks("rp", "ui_locales", locales))
		got := ""
		for _, c := range tn.cookies {
			if c.Name == cookieLang {
				got = c.Value
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", locales, got, want)
		}
	}
	tn.cookies = []*http.Cookie{{Name: cookieLang, Value: "fr"}}
	w := tn.get("/authorize?" + asks("rp", "ui_locales", "en").Encode())
	if w.Header().Get("Set-Cookie") != "" {
		t.Errorf("a choice is replaced: %s", w.Header())
	}
}

func TestResponseModes(t *testing.T) {
	tn := open(t)
	tn.signIn(agentOne)
	u := tn.authorize(asks("rp", "response_mode", "fragment"))
	if f, _ := url.ParseQuery(u.Fragment); f.Get("code") == "" || f.Get("iss") != inside || u.RawQuery != "" {
		t.Errorf("fragment: %s", u)
	}
	w := tn.get("/authorize?" + asks("rp", "response_mode", "form_post").Encode())
	for _, want := range []string{`action="https://rp.example/cb"`, `name="code"`, `name="state" value="s1"`, `name="iss" value="` + inside + `"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("form_post: %s is not in the page", want)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); w.Code != http.StatusOK || !strings.Contains(csp, "form-action 'self' https://rp.example") || strings.Contains(csp, "unsafe") {
		t.Errorf("form_post: %d %s", w.Code, csp)
	}
	w = tn.get("/authorize?" + asks("rp", "response_mode", "form_post", "prompt", "none login").Encode())
	if !strings.Contains(w.Body.String(), `name="error" value="invalid_request"`) {
		t.Errorf("an error by form: %s", w.Body)
	}
	for _, mode := range []string{"query.jwt", "form_post.jwt", "web_message", "json"} {
		if got := refused(tn.authorize(asks("rp", "response_mode", mode))); got != "invalid_request" {
			t.Errorf("%s: %q", mode, got)
		}
	}
}

func TestRequestsThatCannotBeGranted(t *testing.T) {
	tn := open(t, client("old", func(a *parvis.App) { a.OIDC.NoPKCE = true }), client("pub", func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Secrets = parvis.PublicClient, nil
	}))
	tn.signIn(agentOne)
	for name, c := range map[string]struct {
		q    url.Values
		want string
	}{
		"no response_type":      {asks("rp", "response_type", ""), "invalid_request"},
		"token":                 {asks("rp", "response_type", "token"), "unsupported_response_type"},
		"id_token":              {asks("rp", "response_type", "id_token"), "unsupported_response_type"},
		"code id_token":         {asks("rp", "response_type", "code id_token"), "unsupported_response_type"},
		"request":               {asks("rp", "request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"},
		"request_uri":           {asks("rp", "request_uri", "https://rp.example/r"), "request_uri_not_supported"},
		"no PKCE":               {asks("rp", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"no PKCE, public":       {asks("pub", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"plain":                 {asks("rp", "code_challenge_method", "plain"), "invalid_request"},
		"plain unsaid":          {asks("rp", "code_challenge_method", ""), "invalid_request"},
		"a method alone":        {asks("old", "code_challenge", ""), "invalid_request"},
		"a challenge too short": {asks("rp", "code_challenge", "abc"), "invalid_request"},
		"claims":                {asks("rp", "claims", "{"), "invalid_request"},
		"state twice":           {func() url.Values { q := asks("rp"); q.Add("nonce", "n2"); return q }(), "invalid_request"},
	} {
		u := tn.authorize(c.q)
		if refused(u) != c.want || u.Query().Get("iss") != inside || u.Query().Get("state") != "s1" || u.Query().Get("code") != "" {
			t.Errorf("%s: %s, want %s", name, u, c.want)
		}
	}
	// Named as too old for PKCE.
	code := tn.code(asks("old", "code_challenge", "", "code_challenge_method", ""))
	if got := tn.redeem("old", code, "code_verifier", ""); got.ID == "" {
		t.Error("a client that is too old for PKCE gets no token")
	}
	// Unknown parameters and display are ignored; the address may be posted.
	tn.code(asks("rp", "display", "popup", "ui_locales", "fr en", "claims_locales", "fr", "extra", "1"))
	w := tn.form("/authorize", asks("rp"), true)
	if u := tn.where(w); u.Path != "/authorize" || u.Query().Get("client_id") != "rp" {
		t.Errorf("posted: %s", u)
	}
	if troubles := tn.p.Register.Troubles("rp"); len(troubles) < 5 || troubles[0].Text == "" {
		t.Errorf("the owner is told: %v", troubles)
	}
	// A request without openid is OAuth 2.0 alone.
	got := tn.redeem("rp", tn.code(asks("rp", "scope", "profile")))
	if got.ID != "" || got.Scope != "profile" {
		t.Errorf("without openid: %+v", got)
	}
	r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+got.Access)
	if w := tn.do(r, false); w.Code != http.StatusForbidden || !strings.Contains(w.Header().Get("WWW-Authenticate"), "insufficient_scope") {
		t.Errorf("UserInfo without openid: %d %s", w.Code, w.Header())
	}
}

func TestRulesRefuse(t *testing.T) {
	tn := open(t,
		client("inner", func(a *parvis.App) { a.Channels = []parvis.Channel{parvis.VPN} }),
		client("strong", func(a *parvis.App) { a.Second = true }))
	tn.signIn(agentOne)
	u := tn.authorize(asks("inner"))
	if !strings.HasPrefix(u.Path, "/why/") {
		t.Fatalf("closed here: %s", u)
	}
	if _, err := tn.p.Door.Counter.Store.Refusal(t.Context(), parvis.Reference(strings.TrimPrefix(u.Path, "/why/"))); err != nil {
		t.Errorf("the refusal is not there: %v", err)
	}
	if got := refused(tn.authorize(asks("inner", "prompt", "none"))); got != "access_denied" {
		t.Errorf("silently: %q", got)
	}
	// A token is told the same as the gateway tells: nobody gets around a channel.
	if got := refused(tn.authorize(asks("strong", "prompt", "none"))); got != "interaction_required" && got != "access_denied" {
		t.Errorf("a second proof, silently: %q", got)
	}
	if u := tn.authorize(asks("strong")); u.Path != "/prove" && !strings.HasPrefix(u.Path, "/why/") {
		t.Errorf("a second proof: %s", u)
	}
}

func TestScopesAreAnUpperBound(t *testing.T) {
	tn := open(t,
		client("few", func(a *parvis.App) { a.Attributes = []string{"email"} }),
		client("pro", nil))
	tn.signIn(agentOne)
	ask := func(id string, pairs ...string) (tokens, map[string]any) {
		t.Helper()
		got := tn.redeem(id, tn.code(asks(id, pairs...)))
		status, who := tn.userInfo(got.Access)
		if status != http.StatusOK {
			t.Fatalf("userinfo: %d", status)
		}
		return got, who
	}
	// A client that asks for more than it may is told less, and that it is less.
	got, who := ask("few", "scope", "openid email profile uid siret groups offline_access admin", "claims", `{"userinfo":{"siret":{"essential":true}}}`)
	if got.Scope != "openid email profile" {
		t.Errorf("granted: %q", got.Scope)
	}
	if d := cmp.Diff([]string{"acr", "channel", "email", "email_verified", "sub"}, names(who)); d != "" {
		t.Errorf("told:\n%s", d)
	}
	// The scopes of ProConnect (domain.md 3.1); unknown ones are ignored.
	_, who = ask("pro", "scope", "openid uid given_name usual_name email siren siret organizational_unit belonging_population phone chorusdt")
	want := []string{
		"acr", "belonging_population", "channel", "email", "email_verified", "given_name", "organizational_unit", "siren", "siret", "sub", "uid", "usual_name",
	}
	if d := cmp.Diff(want, names(who)); d != "" {
		t.Errorf("told to ProConnect:\n%s", d)
	}
	if who["siret"] != "21750001600019" || who["siren"] != "217500016" {
		t.Errorf("siret %v, siren %v", who["siret"], who["siren"])
	}
	// A claim asked for by name, in either token.
	got, who = ask("pro", "scope", "openid", "claims", `{"userinfo":{"given_name":null},"id_token":{"email":{"essential":true},"phone_number":null}}`)
	if d := cmp.Diff([]string{"acr", "channel", "given_name", "sub"}, names(who)); d != "" {
		t.Errorf("by name:\n%s", d)
	}
	if id := tn.claims(got.ID); id["email"] != "a100001@example.org" || id["phone_number"] != nil {
		t.Errorf("in the ID token: %v", id)
	}
}

func names(m map[string]any) []string {
	var all []string
	for name, v := range m {
		if v == "" || v == nil {
			name += " (empty)"
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func TestAnAgentWhoIsOffGetsNothing(t *testing.T) {
	tn := open(t)
	tn.signIn(agentOne)
	got := tn.redeem("rp", tn.code(asks("rp")))
	tn.must(tn.p.Directory.MarkOff(t.Context(), agentOne, "VILLE/Voirie", "system"))
	if status, _ := tn.userInfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", status)
	}
	if tn.active("rp", got.Access) || tn.active("rp", got.Refresh) {
		t.Error("still active")
	}
	if again := tn.refresh("rp", got.Refresh); again.Error != "invalid_grant" {
		t.Errorf("refresh: %+v", again)
	}
	if u := tn.authorize(asks("rp")); !strings.HasPrefix(u.Path, "/why/") {
		t.Errorf("authorize: %s", u)
	}
}
