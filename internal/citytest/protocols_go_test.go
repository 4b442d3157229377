package citytest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"parvis"
)

// goClient is a client made of coreos/go-oidc and x/oauth2 at one issuer.
type goClient struct {
	*oauth2.Config
	t        *testing.T
	ctx      context.Context
	provider *oidc.Provider
	v        *Visitor
	more     struct { // of the discovery document
		EndSession string   `json:"end_session_endpoint"`
		Revocation string   `json:"revocation_endpoint"`
		ISS        bool     `json:"authorization_response_iss_parameter_supported"`
		PKCE       []string `json:"code_challenge_methods_supported"`
	}
}

// goClientAt discovers an issuer. The redirect address is of a server that
// answers: of a loopback address the port may be any (RFC 8252 §7.3).
func goClientAt(t *testing.T, town *Town, ch parvis.Channel, id, secret, path string, style oauth2.AuthStyle) *goClient {
	t.Helper()
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("back")) }))
	t.Cleanup(here.Close)
	c := &goClient{t: t, v: town.Visitor(t)}
	t.Cleanup(c.v.HTTP.CloseIdleConnections)
	plain := Client()
	t.Cleanup(plain.CloseIdleConnections)
	c.ctx = oidc.ClientContext(t.Context(), plain)
	var err error
	if c.provider, err = oidc.NewProvider(c.ctx, town.Portal(ch)); err != nil {
		t.Fatal(err)
	}
	if err := c.provider.Claims(&c.more); err != nil {
		t.Fatal(err)
	}
	end := c.provider.Endpoint()
	end.AuthStyle = style
	c.Config = &oauth2.Config{ClientID: id, ClientSecret: secret, Endpoint: end, RedirectURL: here.URL + path, Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
	return c
}

// code asks for one; who, when given, signs in on the way.
func (c *goClient) code(who *Person, options ...oauth2.AuthCodeOption) (string, string) {
	c.t.Helper()
	verifier := oauth2.GenerateVerifier()
	options = append([]oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier), oidc.Nonce("nonce-of-" + verifier[:8])}, options...)
	p := c.v.Get(c.AuthCodeURL("state-of-"+verifier[:8], options...))
	if who != nil {
		p = c.v.SignInAt(p, who.Number, who.Password)
	}
	q := p.URL.Query()
	if p.Body != "back" || q.Get("code") == "" || q.Get("state") != "state-of-"+verifier[:8] {
		c.t.Fatalf("led to %s: %d %s %v", p.URL, p.Status, p.Screen, p.Reasons)
	}
	var claims struct {
		Issuer string `json:"issuer"`
	}
	if err := c.provider.Claims(&claims); err != nil || q.Get("iss") != claims.Issuer { // RFC 9207 §2
		c.t.Errorf("iss=%q in the answer of %s (%v)", q.Get("iss"), claims.Issuer, err)
	}
	return q.Get("code"), verifier
}

// tokens exchanges a code and checks the ID token.
func (c *goClient) tokens(code, verifier string, who Person) (*oauth2.Token, *oidc.IDToken) {
	c.t.Helper()
	tok, err := c.Exchange(c.ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		c.t.Fatal(err)
	}
	id := c.verify(tok)
	if id.Nonce != "nonce-of-"+verifier[:8] || id.Subject != who.Number {
		c.t.Errorf("the ID token is about %s, nonce %s", id.Subject, id.Nonce)
	}
	return tok, id
}

// verify checks the ID token beside an access token.
func (c *goClient) verify(tok *oauth2.Token) *oidc.IDToken {
	c.t.Helper()
	raw, _ := tok.Extra("id_token").(string)
	id, err := c.provider.Verifier(&oidc.Config{ClientID: c.ClientID}).Verify(c.ctx, raw)
	if err != nil {
		c.t.Fatal(err)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
			c.t.Error(err)
		}
	}
	return id
}

// refresh asks for other tokens.
func (c *goClient) refresh(token string) (*oauth2.Token, error) {
	return c.TokenSource(c.ctx, &oauth2.Token{RefreshToken: token}).Token()
}

// invalid wants an error of the token endpoint.
func (c *goClient) invalid(what string, err error, code string) {
	c.t.Helper()
	var e *oauth2.RetrieveError
	if !errors.As(err, &e) || e.ErrorCode != code {
		c.t.Errorf("%s: %v, not %s", what, err, code)
	}
}

// opens tells whether UserInfo answers a token.
func (c *goClient) opens(tok *oauth2.Token) bool {
	c.t.Helper()
	_, err := c.provider.UserInfo(c.ctx, oauth2.StaticTokenSource(tok))
	return err == nil
}

// TestGoOpenID: each client of the city, at each entrance, by coreos/go-oidc and
// x/oauth2: signed in, checked, refreshed, signed out; a code that is shown twice
// ends what it gave, and what one entrance gave is nothing at the other.
func TestGoOpenID(t *testing.T) {
	t.Parallel()
	town := Open(t)
	camille := town.Person("A100001")
	given := map[parvis.Channel]*oauth2.Token{}
	for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile} {
		for _, one := range []struct {
			id, secret, path string
			style            oauth2.AuthStyle
		}{
			{"demo-confidential", "demo-secret", "/cb", oauth2.AuthStyleInHeader},
			{"demo-confidential", "demo-secret", "/cb", oauth2.AuthStyleInParams},
			{"demo-second", "demo-second-secret", "/cb2", oauth2.AuthStyleInHeader},
			{"demo-public", "", "/cb", oauth2.AuthStyleInParams},
		} {
			t.Run(string(ch)+" "+one.id, func(t *testing.T) {
				c := goClientAt(t, town, ch, one.id, one.secret, one.path, one.style)
				if !c.more.ISS || !slices.Equal(c.more.PKCE, []string{"S256"}) {
					t.Errorf("discovery: %+v", c.more)
				}
				code, verifier := c.code(&camille)
				tok, id := c.tokens(code, verifier, camille)
				c.user(tok, camille, ch)

				next, err := c.refresh(tok.RefreshToken)
				if err != nil {
					t.Fatal(err)
				}
				if next.RefreshToken == tok.RefreshToken || next.AccessToken == tok.AccessToken {
					t.Error("refreshed, and nothing is new")
				}
				if again := c.verify(next); again.Subject != id.Subject || again.Nonce != "" && again.Nonce != id.Nonce {
					t.Errorf("refreshed: %+v", again)
				}
				given[ch] = next
				c.abused(one.secret != "", camille)
				c.leaves(town, ch, next)
			})
		}
	}
	if t.Failed() {
		return
	}
	c := goClientAt(t, town, parvis.Internal, "demo-public", "", "/cb", oauth2.AuthStyleInParams)
	code, verifier := c.code(&camille)
	tok, _ := c.tokens(code, verifier, camille)
	there := goClientAt(t, town, parvis.Mobile, "demo-public", "", "/cb", oauth2.AuthStyleInParams)
	_, err := there.refresh(tok.RefreshToken)
	there.invalid("a refresh token of the other entrance", err, "invalid_grant")
	if there.opens(tok) || !c.opens(tok) {
		t.Error("a token of the internal entrance opens at the mobile one, or no more at its own")
	}
	raw, _ := tok.Extra("id_token").(string)
	if _, err := there.provider.Verifier(&oidc.Config{ClientID: c.ClientID}).Verify(there.ctx, raw); err == nil {
		t.Error("an ID token of the internal issuer is one of the mobile issuer")
	}
	if given[parvis.Internal] == nil || given[parvis.Mobile] == nil {
		t.Error("an entrance gave nothing")
	}
}

// user is UserInfo, as go-oidc checks and reads it.
func (c *goClient) user(tok *oauth2.Token, who Person, ch parvis.Channel) {
	c.t.Helper()
	u, err := c.provider.UserInfo(c.ctx, oauth2.StaticTokenSource(tok))
	if err != nil {
		c.t.Fatal(err)
	}
	var more struct{ Name, Channel string }
	if err := u.Claims(&more); err != nil || u.Subject != who.Number || u.Email != who.Email || more.Name != who.Name || more.Channel != string(ch) {
		c.t.Errorf("UserInfo: %+v %+v (%v)", u, more, err)
	}
}

// abused is what this client may not do.
func (c *goClient) abused(confidential bool, who Person) {
	c.t.Helper()
	code, _ := c.code(nil) // the session is there: nothing is asked
	_, err := c.Exchange(c.ctx, code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
	c.invalid("another verifier", err, "invalid_grant")

	code, verifier := c.code(nil)
	tok, _ := c.tokens(code, verifier, who)
	_, err = c.Exchange(c.ctx, code, oauth2.VerifierOption(verifier))
	c.invalid("a code twice", err, "invalid_grant")
	if c.opens(tok) {
		c.t.Error("a code was shown twice, and its token lives")
	}
	_, err = c.refresh(tok.RefreshToken)
	c.invalid("a code was shown twice, then", err, "invalid_grant")

	if confidential {
		wrong := *c.Config
		wrong.ClientSecret += "x"
		code, verifier := c.code(nil)
		_, err = wrong.Exchange(c.ctx, code, oauth2.VerifierOption(verifier))
		c.invalid("another secret", err, "invalid_client")
	}
	if p := c.v.Get(c.AuthCodeURL("s")); p.URL.Query().Get("error") != "invalid_request" { // without PKCE
		c.t.Errorf("without PKCE: %d at %s", p.Status, p.URL)
	}
}

// leaves signs out through the issuer: who shows no token of the session is asked.
func (c *goClient) leaves(town *Town, ch parvis.Channel, tok *oauth2.Token) {
	c.t.Helper()
	p := c.v.Get(c.more.EndSession + "?" + url.Values{"client_id": {c.ClientID}}.Encode())
	if p.Screen != "oidc_logout" || !c.opens(tok) {
		c.t.Fatalf("at %s (%d, %s)", p.Screen, p.Status, p.URL)
	}
	if p = c.v.Submit(p, map[string]string{"ticket": fieldOf(p, "ticket")}); p.Screen != "oidc_logout_done" {
		c.t.Errorf("signed out: %s (%d, %s)", p.Screen, p.Status, p.URL)
	}
	if c.v.Get(town.Portal(ch)+"/").Screen == "home" || c.opens(tok) {
		c.t.Error("signed out, and the session or its token lives")
	}
	_, err := c.refresh(tok.RefreshToken)
	c.invalid("after signing out", err, "invalid_grant")
	if q := c.v.Get(c.AuthCodeURL("s", oauth2.S256ChallengeOption("v"), oauth2.SetAuthURLParam("prompt", "none"))).URL.Query(); q.Get("error") != "login_required" {
		c.t.Errorf("prompt=none with nobody in: %v", q)
	}
}

// TestGoDevice: a program without a browser (RFC 8628), by x/oauth2: an agent
// types its code on a page of the portal, and says yes.
func TestGoDevice(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	camille := town.Person("A100001")
	takeApps(t, town, map[string]string{"borne": appFile("borne", `channels: [internal]
attributes: [name]
oidc:
  auth: none
  device: true
  redirects: ["http://127.0.0.1/none"]
`)})
	c := goClientAt(t, town, parvis.Internal, "borne", "", "/none", oauth2.AuthStyleInParams)
	var asked *oauth2.DeviceAuthResponse
	var err error
	for range 100 { // until the city knows of it
		if asked, err = c.DeviceAuth(c.ctx); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	if asked.VerificationURI != town.Portal(parvis.Internal)+"/device" || asked.UserCode == "" {
		t.Fatalf("asked: %+v", asked)
	}
	p := c.v.Get(asked.VerificationURI)
	if p.Screen != "oidc_device" {
		p = c.v.SignInAt(p, camille.Number, camille.Password)
	}
	p = c.v.Submit(p, map[string]string{"user_code": asked.UserCode})
	p = c.v.Submit(p.at(t, "oidc_device_confirm"), map[string]string{"ticket": fieldOf(p, "ticket"), "answer": "yes"})
	p.at(t, "oidc_device_done")
	tok, err := c.DeviceAccessToken(c.ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	if id := c.verify(tok); id.Subject != camille.Number || !c.opens(tok) {
		t.Errorf("the device is told of %s", id.Subject)
	}
	if _, err := c.DeviceAccessToken(c.ctx, asked); err == nil {
		t.Error("the device fetches its tokens twice")
	}
	if p := c.v.Post(town.Portal(parvis.Internal)+"/signout", url.Values{}); p.Screen != "signed_out" || c.opens(tok) {
		t.Errorf("signed out: %s, and the device goes on: %v", p.Screen, c.opens(tok))
	}
}
