package citytest

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/crewjam/saml"
	"golang.org/x/oauth2"

	"parvis"
)

// TestProtocolsInChromium: a real browser, which holds every page to its content
// security policy (form-action counts along redirects too), goes to an
// application by each protocol, signs in on the way, and arrives; an application
// that can only be told through the browser is told.
func TestProtocolsInChromium(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	d := town.fourDoors(t)
	takeApps(t, town, map[string]string{"ouverte": strings.Replace(d.file("ouverte", "channels: [internal, mobile]"), "oidc:\n", `oidc:
  front_channel_logout: "`+d.base+`/ouverte/front?a=b"
  logout_redirects: ["`+d.base+`/ouverte/out"]
`, 1)})
	camille := town.Person("A100001")
	b := openBrowser(t)
	plain := Client()
	t.Cleanup(plain.CloseIdleConnections)
	ctx := oidc.ClientContext(t.Context(), plain)
	ch := parvis.Mobile
	provider, err := oidc.NewProvider(ctx, town.Portal(ch))
	if err != nil {
		t.Fatal(err)
	}
	c := oauth2.Config{ClientID: "ouverte", ClientSecret: "secret of ouverte", Endpoint: provider.Endpoint(), RedirectURL: d.base + "/ouverte/cb", Scopes: []string{"openid"}}
	verifier := oauth2.GenerateVerifier()
	authorize := func(options ...oauth2.AuthCodeOption) string {
		return c.AuthCodeURL("s", append(options, oauth2.S256ChallengeOption(verifier))...)
	}
	_, _, sso := d.provider(ch, "ouverte")
	service := url.QueryEscape(d.base + "/ouverte/cas")
	for _, walk := range []struct {
		name, from, to string
		method         string
	}{
		{"OpenID", authorize(), "/ouverte/cb", http.MethodGet},
		{"OpenID, by a form", authorize(oauth2.SetAuthURLParam("response_mode", "form_post")), "/ouverte/cb", http.MethodPost},
		{"CAS", town.Portal(ch) + "/cas/login?service=" + service, "/ouverte/cas", http.MethodGet},
		{"CAS, by a form", town.Portal(ch) + "/cas/login?method=POST&service=" + service, "/ouverte/cas", http.MethodPost},
		{"SAML", sso, "/ouverte/acs", http.MethodPost},
	} {
		t.Run(walk.name, func(t *testing.T) {
			w := b.window(t, "fr")
			w.open(walk.from)
			w.signIn(camille)
			w.until(`location.href.startsWith("` + d.base + walk.to + `")`)
			r := d.waits(walk.to)
			if r.Method != walk.method || r.Form.Get("code")+r.Form.Get("ticket")+r.Form.Get("SAMLResponse") == "" {
				t.Errorf("the application is sent %s %s %v", r.Method, r.URL, r.Form)
			}
		})
	}

	t.Run("told through the browser", func(t *testing.T) {
		w := b.window(t, "fr")
		w.open(authorize())
		w.signIn(camille)
		w.until(`location.href.startsWith("` + d.base + `/ouverte/cb")`)
		r := d.waits("/ouverte/cb")
		tok, err := c.Exchange(ctx, r.Form.Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := tok.Extra("id_token").(string)
		var said struct{ SID string }
		claims(ctx, t, provider, raw, &said)
		q := url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {d.base + "/ouverte/out"}, "state": {"bye"}}
		w.open(town.Portal(ch) + "/oidc/logout?" + q.Encode())
		front := d.waits("/ouverte/front").URL.Query()
		if front.Get("a") != "b" || front.Get("iss") != town.Portal(ch) || front.Get("sid") != said.SID || said.SID == "" {
			t.Errorf("the application is told %v, of the session %q", front, said.SID)
		}
		w.until(`location.href === "` + d.base + `/ouverte/out?state=bye" || document.querySelector("a[href='` + d.base + `/ouverte/out?state=bye']")`)
	})
}

// TestComingAndGoingInChromium: who is in already comes from the application's
// own page, by a link and by a form of that other site, and is asked nothing but
// what the application or its rules ask: a proof, a consent, a sign-out.
func TestComingAndGoingInChromium(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	d := town.fourDoors(t)
	ch := parvis.Internal
	takeApps(t, town, map[string]string{
		"ouverte":  d.file("ouverte", "channels: [internal, mobile]"),
		"dehors":   d.file("dehors", "channels: [internal, mobile]\nexternal: true"),
		"appelant": d.file("appelant", "channels: [internal, mobile]\nexternal: true"),
		"ami":      d.file("ami", "channels: [internal, mobile]\nexternal: true"),
	})
	paul := town.Person("A100005")
	tel := telephone(t, town, officeDay(t, 10, 0), paul.TOTPSecret)
	w := openBrowser(t).window(t, "fr")
	w.open(town.Portal(ch) + "/signin")
	w.signIn(town.Person("A100001"))

	authorize := func(id string, more url.Values) string {
		q := url.Values{
			"client_id": {id}, "redirect_uri": {d.base + "/" + id + "/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
			"code_challenge": {oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())}, "code_challenge_method": {"S256"},
		}
		for name, values := range more {
			q[name] = values
		}
		return town.Portal(ch) + "/authorize?" + q.Encode()
	}
	_, _, sso := d.provider(ch, "ouverte")
	sp, request, _ := d.provider(ch, "ouverte")
	request.Destination = sp.GetSSOBindingLocation(saml.HTTPPostBinding)
	form := string(request.Post("relayed"))
	by := func(address string) string { return "location.href = " + strconv.Quote(address) }
	post := func(address string) string {
		return `const f = document.createElement("form"); f.method = "POST"; f.action = ` + strconv.Quote(strings.SplitN(address, "?", 2)[0]) +
			`; for (const [k, v] of new URL(` + strconv.Quote(address) + `).searchParams) { const i = document.createElement("input"); i.name = k; i.value = v; f.append(i) }; document.body.append(f); f.submit()`
	}
	cas := town.Portal(ch) + "/cas/login?service="
	own := func(id, path string) string { return d.base + "/" + id + path }
	consent := func() { w.press(`button[name=answer][value=yes]`) }
	for _, walk := range []struct {
		name, script, to string
		asked            func()
	}{
		{"OpenID, a link", by(authorize("ouverte", nil)), own("ouverte", "/cb"), nil},
		{"OpenID, a form", post(authorize("ouverte", nil)), own("ouverte", "/cb"), nil},
		{"CAS, a link", by(cas + url.QueryEscape(own("ouverte", "/cas"))), own("ouverte", "/cas"), nil},
		{"SAML, a link", by(sso), own("ouverte", "/acs"), nil},
		{"SAML, a form", `document.body.innerHTML = ` + strconv.Quote(form) + `; document.forms[0].submit()`, own("ouverte", "/acs"), nil},
		{"OpenID, asked", by(authorize("dehors", nil)), own("dehors", "/cb"), consent},
		{"CAS, asked", by(cas + url.QueryEscape(own("appelant", "/cas"))), own("appelant", "/cas"), consent},
		{"SAML, asked", by(func() string { _, _, to := d.provider(ch, "ami"); return to }()), own("ami", "/acs"), consent},
	} {
		t.Run(walk.name, func(t *testing.T) {
			w := &window{tb: t, ctx: w.ctx, documents: map[string]bool{}}
			w.open(own("ouverte", "/page"))
			w.run(walk.script)
			if walk.asked != nil {
				w.until(`document.querySelector("button[name=answer][value=yes]")`)
				walk.asked()
			}
			w.until(`location.href.startsWith("` + walk.to + `")`)
			d.waits(strings.TrimPrefix(walk.to, d.base))
		})
	}

	// Out, and back to the application that asked: by CAS, who is asked first.
	w.open(town.Portal(ch) + "/cas/logout?service=" + url.QueryEscape(own("ouverte", "/cas")))
	w.press(`form[action="/cas/logout"] button`)
	w.until(`location.href.startsWith("` + own("ouverte", "/cas") + `") || document.querySelector("a[href='` + own("ouverte", "/cas") + `']")`)

	// A level that the session lacks: a code on the way, then the application.
	w.open(town.Portal(ch) + "/signin")
	if s := w.signIn(paul); s.Screen == "second_factor" {
		w.send("code", tel.code(-1))
	}
	w.open(own("ouverte", "/page"))
	w.run(by(authorize("ouverte", url.Values{"prompt": {"login"}, "claims": {`{"id_token":{"acr":{"essential":true,"value":"eidas2"}}}`}})))
	for range 3 {
		w.until(`location.href.startsWith("` + own("ouverte", "/cb") + `") || document.querySelector("input[name=password], input[name=code]")`)
		switch at := w.see(); {
		case strings.HasPrefix(at.URL, own("ouverte", "/cb")):
		case strings.Contains(at.Source, `name="password"`):
			w.send("password", paul.Password)
		default:
			w.send("code", tel.code(1))
		}
	}
	w.until(`location.href.startsWith("` + own("ouverte", "/cb?code=") + `")`)
}

func claims(ctx context.Context, t *testing.T, p *oidc.Provider, raw string, into any) {
	t.Helper()
	id, err := p.Verifier(&oidc.Config{ClientID: "ouverte"}).Verify(ctx, raw)
	if err == nil {
		err = id.Claims(into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// waits for a request to the application at a path.
func (d *fourDoors) waits(path string) *http.Request {
	d.t.Helper()
	for range 300 {
		for _, r := range d.got.take() {
			if r.URL.Path == path {
				return r
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.t.Fatalf("nothing comes to %s", path)
	return nil
}
