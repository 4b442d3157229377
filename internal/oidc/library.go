package oidc

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"

	"parvis"
	"parvis/internal/seal"
)

// issuer is the protocol at one portal's address.
type issuer struct {
	address string
	library *provider.Provider
	op      http.Handler
}

// The algorithms with which clients sign: asymmetric ones alone, each with keys of
// its own kind (RFC 8725 §3.1).
const edDSA goidc.SignatureAlgorithm = "EdDSA"

// issuer makes the protocol of one address. The library keeps the rules of the
// protocol; what it leaves to its user is in this package.
func (p *Provider) issuer(address string) (*issuer, error) {
	k := keeper{p}
	var scopes []goidc.Scope
	for name := range strings.FieldsSeq(scopeNames) {
		scopes = append(scopes, goidc.NewScope(name))
	}
	claims := claimNames()
	levels := levelNames()
	var acrs []goidc.ACR
	for _, l := range levels {
		acrs = append(acrs, goidc.ACR(l))
	}
	library, err := provider.New(address, k, p.jwks,
		provider.WithDCR(k), // no registration: it is the library's one way to ask for a client each time
		provider.WithJWKSEndpoint("/.well-known/jwks.json"),
		provider.WithAuthCodeGrant(k, goidc.ResponseTypeCode),
		provider.WithAuthCodeLifetime(codeSeconds),
		provider.WithAuthCodeFunc(func(context.Context) string { return "sealed" }), // keep.go makes them, of the grant itself
		provider.WithAuthnSessionIDFunc(func(context.Context) string { return random() }),
		provider.WithGrantIDFunc(func(context.Context) string { return grantID(time.Now()) }),
		provider.WithJWTIDFunc(func(context.Context) string { return random() }),
		provider.WithRefreshTokenGrant(k),
		provider.WithRefreshTokenRotation(),
		provider.WithRefreshTokenFunc(func(context.Context) string { return secret() }),
		provider.WithRefreshTokenShouldIssue(func(context.Context, *goidc.Client, *goidc.Grant) bool { return false }), // keep.go makes them, at the redemption
		provider.WithDeviceGrant(k, nothing, nothing),
		provider.WithDeviceCodeFunc(func(context.Context) string { return secret() }),
		provider.WithPKCE(goidc.CodeChallengeMethodSHA256), // required in request.go, client by client
		provider.WithIssuerResponseParameter(),             // RFC 9207
		provider.WithScopes(scopes...),
		provider.WithSecretPostAuthn(), provider.WithSecretBasicAuthn(), provider.WithNoneAuthn(),
		provider.WithPrivateKeyJWTAuthn(goidc.ES256, goidc.PS256, edDSA, goidc.RS256),
		provider.WithClientSecretVerifier(k.secret),
		provider.WithJTIConsumer(k.consume),
		provider.WithJWTLifetime(proofSeconds),
		provider.WithJWTLeewayTime(skewSeconds),
		provider.WithDPoP(goidc.ES256, goidc.PS256, edDSA),
		provider.WithPAR(k),
		provider.WithPARIDFunc(func(context.Context) string { return secret() }),
		provider.WithPARLifetime(pushedSeconds),
		provider.WithSubIdentifierTypes(goidc.SubIdentifierPublic, goidc.SubIdentifierPairwise),
		provider.WithPairwiseSubject(func(_ context.Context, sub string, _ *goidc.Client) string { return sub }), // the Door names subjects
		provider.WithIDTokenSignatureAlgs(goidc.ES256, goidc.RS256),
		provider.WithIDTokenLifetime(tokenSeconds),
		provider.WithUserInfoSignatureAlgs(goidc.ES256, goidc.RS256),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewJWTTokenOptions(goidc.ES256, tokenSeconds)
		}),
		provider.WithTokenIntrospection(p.mayIntrospect),
		provider.WithTokenRevocation(func(context.Context, *goidc.Client) bool { return true }),
		provider.WithTokenRevocationRevokeGrantOnAccessToken(),
		provider.WithACRs(acrs[0], acrs[1:]...),
		provider.WithClaims(claims[0], claims[1:]...),
		provider.WithClaimsParameter(),
		provider.WithIDTokenClaims(p.idClaims),
		provider.WithUserInfoClaims(p.userClaims),
		provider.WithTokenClaims(p.tokenClaims),
		provider.WithPolicies(goidc.NewPolicy("door", func(*http.Request, *goidc.AuthnSession, *goidc.Client) bool { return true }, p.verdict)),
		provider.WithErrorRenderer(func(_ http.ResponseWriter, _ *http.Request, err error) error { return err }),
		provider.WithErrorHandler(func(ctx context.Context, err error) { exchangeOf(ctx).err = err }),
		provider.WithHTTPClientFunc(func(context.Context) *http.Client { return p.HTTP }),
	)
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.issuer", Err: err}
	}
	return &issuer{address: address, library: library, op: library.Handler()}, nil
}

func nothing(http.ResponseWriter, *http.Request) error {
	return errors.New("the page of devices is not the library's")
}

// random names something that is no secret; secret is worth something.
// grantID begins with the time, so that the grants of an hour lie together in
// the index that finds them: among a million at random places each would be
// read from disk.
func grantID(at time.Time) string {
	var b [15]byte
	binary.BigEndian.PutUint64(b[:], uint64(at.UnixMilli())<<16)
	_, _ = rand.Read(b[6:])
	return base32.HexEncoding.EncodeToString(b[:])
}

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func secret() string {
	s, _ := seal.Token()
	return s
}

// mayIntrospect is RFC 7662 §4: whoever was given a token may ask about it, a
// resource server about any.
func (p *Provider) mayIntrospect(_ context.Context, c *goidc.Client, info goidc.TokenInfo) bool {
	app, ok := p.client(c.ID)
	return ok && app.OIDC.Auth != parvis.PublicClient && (app.OIDC.Introspects || c.ID == info.ClientID)
}

// Client gives the library a client as the register knows it now.
func (k keeper) Client(ctx context.Context, id string) (*goidc.Client, error) {
	app, ok := k.p.client(id)
	if !ok {
		return nil, goidc.ErrNotFound
	}
	x := exchangeOf(ctx)
	x.app = app
	o := app.OIDC
	c := &goidc.Client{ID: id, Secret: id, ClientMeta: goidc.ClientMeta{
		GrantTypes: []goidc.GrantType{goidc.GrantAuthorizationCode, goidc.GrantRefreshToken}, ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode},
		RedirectURIs: o.Redirects, ScopeIDs: scopeNames, IDTokenSigAlg: goidc.ES256, DPoPTokenBindingIsRequired: o.RequireDPoP,
	}}
	if x.redirect != "" { // it was looked at (request.go); the library compares it as it would write it
		c.RedirectURIs = []string{x.redirect}
		if u, err := url.Parse(x.redirect); err == nil {
			c.RedirectURIs = append(c.RedirectURIs, u.String())
		}
	}
	if o.Device {
		c.GrantTypes = append(c.GrantTypes, goidc.GrantDeviceCode)
	}
	if o.RS256 {
		c.IDTokenSigAlg = goidc.RS256
	}
	if o.SignedUserInfo {
		c.UserInfoSigAlg = c.IDTokenSigAlg
	}
	switch o.Auth {
	case parvis.PublicClient:
		c.TokenAuthnMethod = goidc.AuthnMethodNone
	case parvis.PrivateKeyJWT:
		c.TokenAuthnMethod = goidc.AuthnMethodPrivateKeyJWT
		keys, err := k.p.remote.of(ctx, k.p.HTTP, app, x.keyID)
		if err != nil {
			k.p.note(app.ID, "invalid_client", "its public keys cannot be read: "+err.Error())
			keys = goidc.JSONWebKeySet{} // nothing verifies then
		}
		c.JWKS = &keys
	default: // either way of sending a secret is made one of them before
		c.TokenAuthnMethod = goidc.AuthnMethodSecretPost
	}
	return c, nil
}

// SaveClient is never called: nobody registers here.
func (keeper) SaveClient(context.Context, *goidc.Client) error { return errNoRegistration }

// DeleteClient is never called.
func (keeper) DeleteClient(context.Context, string) error { return errNoRegistration }

var errNoRegistration = errors.New("clients are declared, not registered")

// secret looks at what a client says it knows; stored is its name.
func (k keeper) secret(_ context.Context, stored, typed string) error {
	app, ok := k.p.client(stored)
	if !k.p.Register.Secret(app, typed, k.p.Clock()) || !ok {
		return errors.New("not a secret that serves")
	}
	return nil
}
