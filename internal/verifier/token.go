package verifier

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	strict "github.com/go-jose/go-jose/v4/json"
	"golang.org/x/oauth2"

	"parvis/internal/seal"
	"parvis/internal/store"
)

const (
	longestSubject = 255 // signs (OpenID Connect Core 1.0 §2)
	longestLevel   = 128
)

func hashOf(secret string) [32]byte { return seal.Hash(secret) }

// claims are what is read of an ID token beside what package oidc reads, and
// what it reads once more, to the letter: for it "SUB" is "sub" and of two
// claims the last counts. A claim of another type than its own, or written
// twice, makes the whole token unreadable (RFC 7519 §4).
type claims struct {
	Subject   string   `json:"sub"`
	Issuer    string   `json:"iss"`
	Nonce     string   `json:"nonce"`
	Audience  audience `json:"aud"`
	Issued    *number  `json:"iat"`
	Ends      *number  `json:"exp"`
	Party     string   `json:"azp"`
	Level     string   `json:"acr"`
	AuthTime  *number  `json:"auth_time"`
	NotBefore *number  `json:"nbf"`
	Verified  *truth   `json:"email_verified"`
}

// number is a NumericDate (RFC 7519 §2).
type number time.Time

// UnmarshalJSON refuses what is no moment between 1970 and the year 9999.
func (n *number) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 253402300799 {
		return errors.New("not a date")
	}
	*n = number(time.Unix(int64(f), 0).UTC())
	return nil
}

// truth is true or false; some providers write it as a string.
type truth bool

// UnmarshalJSON refuses anything else.
func (t *truth) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `true`, `"true"`:
		*t = true
	case `false`, `"false"`, `null`:
		*t = false
	default:
		return errors.New("neither true nor false")
	}
	return nil
}

// redeem exchanges the code and believes what comes of it, or says why not.
func (l *Link) redeem(ctx context.Context, r *remote, meta *metadata, code string, private secrets, f store.Flow, out *Answer) *fault {
	// The code is used up by being shown: who goes away meanwhile is answered
	// all the same, and does not make the provider look silent.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
	defer cancel()
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(private.PKCE)}
	if r.p.Auth == "private_key_jwt" {
		proof, err := l.assertion(r.p)
		if err != nil {
			return &fault{whyUnavailable, "assertion", err}
		}
		options = append(options, oauth2.SetAuthURLParam("client_assertion", proof),
			oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
	}
	portal := l.Addresses.Portal(f.Channel)
	token, err := r.oauth(meta, portal).Exchange(oidc.ClientContext(ctx, r.client), code, options...)
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return &fault{whyUnavailable, "code", errors.New("token endpoint: " + strconv.Itoa(refusal.Response.StatusCode) + " " + strconv.Quote(refusal.ErrorCode))}
	}
	if err != nil {
		r.doubt()
		return &fault{whyUnavailable, "token_endpoint", err}
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return &fault{whyUnavailable, "no_id_token", nil}
	}
	id, said, wrong := l.identify(ctx, r, meta, raw, f, private)
	if wrong != nil {
		return wrong
	}
	if id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil {
		return &fault{whyUnavailable, "access_token_hash", nil}
	}
	verified := said.Verified
	if r.p.UserInfoSigned || r.p.UserInfoEncrypted || r.p.EmailVerified && verified == nil {
		if verified, wrong = l.userInfo(ctx, r, meta, token.AccessToken, id.Subject); wrong != nil {
			return wrong
		}
	}
	if wrong := enough(r.p, out.Departure.Level, said.Level); wrong != nil {
		return wrong
	}
	if r.p.EmailVerified && (verified == nil || !bool(*verified)) {
		return &fault{whyUnverified, "email_not_verified", nil}
	}
	out.Issuer, out.Subject, out.Level = r.p.Issuer, said.Subject, said.Level
	if said.AuthTime != nil {
		out.AuthTime = time.Time(*said.AuthTime)
	}
	return nil
}

// identify reads an ID token (OpenID Connect Core 1.0 §3.1.3.7).
func (l *Link) identify(ctx context.Context, r *remote, meta *metadata, raw string, f store.Flow, private secrets) (*oidc.IDToken, claims, *fault) {
	var said claims
	no := func(cause string, err error) (*oidc.IDToken, claims, *fault) {
		return nil, claims{}, &fault{whyUnavailable, cause, err}
	}
	raw, _, err := l.decrypted(raw)
	if err != nil {
		return no("id_token_encryption", err)
	}
	now, skew := l.Clock(), l.skew()
	keys := &keySet{r: r, meta: meta}
	var algorithms []string
	for _, alg := range signedBy() {
		algorithms = append(algorithms, string(alg))
	}
	// Signature, issuer, audience, end.
	id, err := oidc.NewVerifier(r.p.Issuer, keys, &oidc.Config{
		ClientID: r.p.ClientID, SupportedSigningAlgs: algorithms, Now: func() time.Time { return now.Add(-skew) },
	}).Verify(ctx, raw)
	if keys.silent != nil {
		return no("keys", keys.silent)
	}
	if err != nil {
		return no("id_token", err)
	}
	var text json.RawMessage
	if err := id.Claims(&text); err != nil {
		return no("id_token_claims", err)
	}
	if err := strict.Unmarshal(text, &said); err != nil {
		return no("id_token_claims", err)
	}
	switch {
	// Package oidc lets Google write its name in two ways; the tie of an
	// account has one.
	case said.Issuer != r.p.Issuer || said.Subject != id.Subject || said.Nonce != id.Nonce || !slices.Equal(said.Audience, id.Audience),
		said.Ends == nil || said.Issued == nil || !time.Time(*said.Ends).Equal(id.Expiry) || !time.Time(*said.Issued).Equal(id.IssuedAt):
		return no("id_token_claims", nil)
	case said.Subject == "" || !plain(said.Subject, longestSubject) || !plain(said.Level, longestLevel):
		return no("subject", nil)
	case subtle.ConstantTimeCompare([]byte(said.Nonce), []byte(private.Nonce)) != 1:
		return no("nonce", nil)
	case said.Party != "" && said.Party != r.p.ClientID, len(id.Audience) > 1 && said.Party == "":
		return no("authorised_party", nil)
	case id.IssuedAt.After(now.Add(skew)):
		return no("issued_in_the_future", nil)
	case id.IssuedAt.Before(f.Created.Add(-skew)): // it answers another question
		return no("issued_before", nil)
	case said.NotBefore != nil && time.Time(*said.NotBefore).After(now.Add(skew)):
		return no("not_yet", nil)
	case said.AuthTime != nil && time.Time(*said.AuthTime).After(now.Add(skew)):
		return no("signed_in_in_the_future", nil)
	case r.p.MaxAge > 0 && said.AuthTime == nil: // §3.1.2.1: required when max_age was asked
		return no("no_auth_time", nil)
	case r.p.MaxAge > 0 && time.Time(*said.AuthTime).Before(f.Created.Add(-r.p.MaxAge-skew)):
		return no("signed_in_too_long_ago", nil)
	}
	return id, said, nil
}

// plain tells printable ASCII of a length at most (OpenID Connect Core 1.0 §2
// of subjects): no two of them look like one in a database.
func plain(s string, longest int) bool {
	return len(s) <= longest && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// enough tells a level that is accepted, and not under the one asked for.
func enough(p Provider, least, level string) *fault {
	if len(p.Levels) == 0 && least == "" {
		return nil
	}
	i, floor := slices.Index(p.Levels, level), slices.Index(p.Levels, least)
	if i < 0 || i < floor || least != "" && floor < 0 { // a level that was asked and that nobody knows any more: nothing reaches it
		return &fault{whyTooLow, "level", nil}
	}
	return nil
}

// userInfo reads UserInfo (OpenID Connect Core 1.0 §5.3.2, §5.3.4) for the one
// thing wanted of it, and forgets the rest.
func (l *Link) userInfo(ctx context.Context, r *remote, meta *metadata, bearer, subject string) (*truth, *fault) {
	no := func(cause string, err error) (*truth, *fault) {
		return nil, &fault{whyUnavailable, cause, err}
	}
	if meta.UserInfo == "" {
		if r.p.UserInfoSigned || r.p.UserInfoEncrypted {
			return no("no_userinfo", nil)
		}
		return nil, nil
	}
	text, mediaType, err := r.get(ctx, meta.UserInfo, bearer)
	if err != nil {
		return no("userinfo", err)
	}
	signed := false
	if mediaType == "application/jwt" {
		plain, encrypted, err := l.decrypted(string(text))
		if err != nil || r.p.UserInfoEncrypted && !encrypted {
			return no("userinfo_encryption", err)
		}
		text = []byte(plain)
		// An encrypted answer holds the claims themselves or a JWT of them.
		if signed = !encrypted || len(plain) > 0 && plain[0] != '{'; signed {
			keys := &keySet{r: r, meta: meta}
			if text, err = keys.VerifySignature(ctx, plain); err != nil {
				return no("userinfo_signature", err)
			}
		}
	} else if r.p.UserInfoEncrypted {
		return no("userinfo_encryption", nil)
	}
	if r.p.UserInfoSigned && !signed {
		return no("userinfo_signature", nil)
	}
	var said struct {
		Subject  string   `json:"sub"`
		Issuer   string   `json:"iss"`
		Audience audience `json:"aud"`
		Ends     *number  `json:"exp"`
		Verified *truth   `json:"email_verified"`
	}
	if err := strict.Unmarshal(text, &said); err != nil {
		return no("userinfo_claims", trimmed(err))
	}
	switch {
	case said.Subject != subject: // §5.3.2: or it is about somebody else
		return no("userinfo_subject", nil)
	case signed && (said.Issuer != "" && said.Issuer != r.p.Issuer || len(said.Audience) > 0 && !slices.Contains(said.Audience, r.p.ClientID)):
		return no("userinfo_audience", nil)
	case said.Ends != nil && time.Time(*said.Ends).Before(l.Clock().Add(-l.skew())):
		return no("userinfo_expired", nil)
	}
	return said.Verified, nil
}

// audience is one name or several (RFC 7519 §4.1.3).
type audience []string

// UnmarshalJSON reads both forms.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}
