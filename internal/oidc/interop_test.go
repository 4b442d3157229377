package oidc

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"parvis"
)

// wire carries a client's requests to the issuer.
type wire struct{ tn *town }

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequest(r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	return w.tn.do(in, false).Result(), nil
}

// A client that is not ours finds the issuer, signs an agent in, checks what it is
// told, and refreshes.
func TestAnotherLibrary(t *testing.T) {
	for name, change := range map[string]func(*parvis.App){
		"ES256":           nil,
		"RS256":           func(a *parvis.App) { a.OIDC.RS256 = true },
		"signed UserInfo": func(a *parvis.App) { a.OIDC.SignedUserInfo = true },
		"public":          func(a *parvis.App) { a.OIDC.Auth, a.OIDC.Secrets = parvis.PublicClient, nil },
	} {
		t.Run(name, func(t *testing.T) {
			tn := open(t, client("theirs", change))
			tn.signIn(agentOne)
			ctx := rp.ClientContext(context.Background(), &http.Client{Transport: wire{tn}})
			provider, err := rp.NewProvider(ctx, inside)
			tn.must(err)
			conf := oauth2.Config{ClientID: "theirs", ClientSecret: pass, Endpoint: provider.Endpoint(), RedirectURL: callback, Scopes: []string{"openid", "email"}}
			if name == "public" {
				conf.ClientSecret = ""
			}
			secret := oauth2.GenerateVerifier()
			to, err := url.Parse(conf.AuthCodeURL("s1", rp.Nonce("n1"), oauth2.S256ChallengeOption(secret)))
			tn.must(err)
			answer := tn.authorize(to.Query())
			token, err := conf.Exchange(ctx, answer.Query().Get("code"), oauth2.VerifierOption(secret))
			tn.must(err)
			raw, _ := token.Extra("id_token").(string)
			id, err := provider.Verifier(&rp.Config{ClientID: "theirs"}).Verify(ctx, raw)
			tn.must(err)
			if id.Nonce != "n1" || id.Subject != string(agentOne) {
				t.Errorf("the ID token: %+v", id)
			}
			who, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
			if err != nil || who.Email != "a100001@example.org" || !who.EmailVerified || who.Subject != id.Subject {
				t.Errorf("UserInfo: %+v, %v", who, err)
			}
			again, err := conf.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil || again.RefreshToken == token.RefreshToken || !again.Valid() {
				t.Errorf("refresh: %v", err)
			}
		})
	}
}
