package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/store"
)

const (
	logoutEvent   = "http://schemas.openid.net/event/backchannel-logout"
	logoutSeconds = 120 // Back-Channel Logout 1.0 §2.4: at most two minutes
)

// Notice makes the request that tells a client that a session of its ended
// (Back-Channel Logout 1.0 §2.5). [parvis.CodeNotFound] when it is no more to be
// told.
func (p *Provider) Notice(ctx context.Context, n store.Notice) (*http.Request, error) {
	const op = "oidc.Notice"
	if err := p.ready(); err != nil {
		return nil, err
	}
	app, ok := p.client(string(n.App))
	if !ok || app.OIDC.BackChannel == "" {
		return nil, &parvis.Error{Code: parvis.CodeNotFound, Op: op, Err: errors.New("the application is not to be told")}
	}
	t, err := p.readTold(n.Grant, n.Body)
	if err != nil {
		return nil, err
	}
	alg := goidc.ES256
	if app.OIDC.RS256 {
		alg = goidc.RS256
	}
	set, err := p.jwks(ctx)
	if err != nil {
		return nil, err
	}
	key, err := set.KeyByAlg(string(alg))
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("logout+jwt"))
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
	}
	at := now()
	token, err := jwt.Signed(signer).Claims(map[string]any{ // no nonce: §2.4
		"iss": t.Issuer, "aud": string(app.ID), "iat": at, "exp": at + logoutSeconds, "jti": random(),
		"sub": p.Door.Subject(app, n.Agent, parvis.OIDC), "sid": n.SID, "events": map[string]any{logoutEvent: struct{}{}},
	}).Serialize()
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, app.OIDC.BackChannel, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}
