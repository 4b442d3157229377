package moncompte

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
)

// readHint reads an ID token that we issued, whether or not it has expired
// (RP-Initiated Logout §2): whom it names, and to which client.
func (s *Service) readHint(ctx context.Context, token string) (subject, client string, err error) {
	parsed, err := jwt.ParseSigned(token, []goidc.SignatureAlgorithm{goidc.ES256, goidc.RS256})
	if err != nil || len(parsed.Headers) != 1 {
		return "", "", errors.New("the hint is not a signed token")
	}
	keys, err := s.jwks(ctx)
	if err != nil {
		return "", "", err
	}
	key, err := keys.Key(parsed.Headers[0].KeyID)
	if err != nil || key.Algorithm != parsed.Headers[0].Algorithm {
		return "", "", errors.New("the hint is not signed by us")
	}
	var claims jwt.Claims
	if err := parsed.Claims(key.Public().Key, &claims); err != nil {
		return "", "", errors.New("the hint is not signed by us")
	}
	if claims.Issuer != s.Address || len(claims.Audience) != 1 || claims.Subject == "" {
		return "", "", errors.New("the hint is not an ID token of ours")
	}
	return claims.Subject, claims.Audience[0], nil
}

// logout is RP-Initiated Logout 1.0. The hint is read here, because the library
// refuses one that has expired.
func (s *Service) logout(op http.Handler) act {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		const name = "moncompte.logout"
		x := &exchange{v: v}
		if ticket := r.PathValue("interaction"); ticket != "" {
			var l leaving
			if err := s.leave.Redeem(ticket, v.at, &l); err != nil || l.Session == nil || l.Browser != browserMark(v.browser) {
				return errOver
			}
			x.leaves = l.Session
			enter(op, w, r, x)
			return nil
		}
		if err := r.ParseForm(); err != nil {
			return &parvis.Error{Code: parvis.CodeInvalid, Op: name, Err: err}
		}
		sent := r.URL.Query()
		if r.Method == http.MethodPost {
			sent = r.PostForm
		}
		clean := url.Values{}
		for _, p := range []string{"client_id", "post_logout_redirect_uri", "state", "ui_locales"} {
			if len(sent[p]) > 1 {
				return &parvis.Error{Code: parvis.CodeInvalid, Op: name, Err: errors.New("a parameter is there twice")}
			}
			if sent.Get(p) != "" {
				clean.Set(p, sent.Get(p))
			}
		}
		if hint := sent.Get("id_token_hint"); hint != "" {
			subject, client, err := s.readHint(r.Context(), hint)
			if err != nil || clean.Get("client_id") != "" && clean.Get("client_id") != client {
				return &parvis.Error{Code: parvis.CodeInvalid, Op: name, Err: errors.Join(err, errors.New("the hint is not this client's"))}
			}
			clean.Set("client_id", client)
			x.hint = subject
		}
		r = r.Clone(r.Context())
		r.Method, r.URL.RawQuery, r.PostForm = http.MethodGet, clean.Encode(), nil
		enter(op, w, r, x)
		return nil
	}
}

// leaving is a sign-out that waits for an answer, sealed in the address.
type leaving struct {
	Browser string               `json:"b"`
	Session *goidc.LogoutSession `json:"s"`
}

// decideLogout ends the session at once when the client shows that it knows
// whose it is; otherwise the person is asked.
func (s *Service) decideLogout(w http.ResponseWriter, r *http.Request, ls *goidc.LogoutSession) (goidc.Status, error) {
	x := exchangeOf(r.Context())
	v := x.v
	if v == nil {
		return goidc.StatusFailure, errOver
	}
	if !v.in || x.hint == v.citizen.ID || x.leaves != nil {
		if err := v.end(w, r); err != nil {
			return goidc.StatusFailure, err
		}
		return goidc.StatusSuccess, nil
	}
	v.owner(w)
	ticket, err := s.leave.Issue(leaving{browserMark(v.browser), ls}, v.at, 10*time.Minute)
	if err != nil {
		return goidc.StatusFailure, err
	}
	if err := v.show(w, r, http.StatusOK, v.signOutPage(ticket)); err != nil {
		return goidc.StatusFailure, err
	}
	return goidc.StatusPending, nil
}

// loggedOut is the end when the client named no address to return to.
func (s *Service) loggedOut(w http.ResponseWriter, r *http.Request, _ *goidc.LogoutSession) error {
	v := exchangeOf(r.Context()).v
	v.back = "/"
	return v.show(w, r, http.StatusOK, v.signedOutPage())
}

// SaveLogoutSession keeps nothing: what is pending travels sealed.
func (k keeper) SaveLogoutSession(context.Context, *goidc.LogoutSession) error { return nil }

// LogoutSession gives the one that [Service.logout] opened.
func (k keeper) LogoutSession(ctx context.Context, _ string) (*goidc.LogoutSession, error) {
	if ls := exchangeOf(ctx).leaves; ls != nil {
		return ls, nil
	}
	return nil, goidc.ErrNotFound
}
