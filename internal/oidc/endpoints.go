package oidc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/edge"
)

// What strangers may have kept: whoever names a public client shows no secret.
const (
	mostBegun  = 60          // devices and pushed requests of one network, in a minute
	mostPushed = longestPath // bytes of a pushed request: no more than one in an address
)

// captured is an answer kept to be completed.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (c *captured) Header() http.Header         { return c.header }
func (c *captured) WriteHeader(status int)      { c.status = status }
func (c *captured) Write(b []byte) (int, error) { return c.body.Write(b) }

// refusal is what a program is told (RFC 6749 §5.2).
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// program answers a program: everything but the authorization itself. What the
// library would take otherwise is made plain before, what it answers is made
// what the RFCs say after.
func (p *Provider) program(w http.ResponseWriter, r *http.Request, is *issuer) error {
	x := &exchange{iss: is, path: r.URL.Path, found: map[string]found{}}
	asked := r.Clone(context.WithValue(r.Context(), exchangeKey{}, x))
	asked.RequestURI = r.URL.Path // what a proof of possession names (RFC 9449 §4.3): no query
	err := asked.ParseForm()
	if err == nil {
		err = p.plain(x, asked)
	}
	if err != nil {
		x.err = err
		return p.refuse(w, asked, x, refusal{codeOr(err, goidc.ErrorCodeInvalidRequest), whyOf(err)})
	}
	c := &captured{header: http.Header{}, status: http.StatusOK}
	is.op.ServeHTTP(c, asked)
	if c.status >= http.StatusBadRequest {
		var said refusal
		if err := json.Unmarshal(c.body.Bytes(), &said); err != nil || said.Error == "" {
			return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.program", Err: errors.Join(err, x.err)}
		}
		return p.refuse(w, asked, x, said)
	}
	body := c.body.Bytes()
	switch x.path {
	case pathIntrospect:
		body = p.elsewhere(asked, x, body)
	case pathDeviceAuth:
		body = completed(body)
	}
	maps.Copy(w.Header(), c.header)
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
	w.WriteHeader(c.status)
	_, _ = w.Write(body) // a reader who left is not an error
	return nil
}

func codeOr(err error, otherwise goidc.ErrorCode) string {
	if code := codeOf(err); code != "" {
		return code
	}
	return string(otherwise)
}

// plain makes a request one that the library reads as we do.
func (p *Provider) plain(x *exchange, r *http.Request) error {
	if x.path == pathUserInfo {
		return bearer(x, r)
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" && name != "audience" { // RFC 6749 §3.2
			return goidc.NewError(goidc.ErrorCodeInvalidRequest, "a parameter is there twice: "+printable(name))
		}
	}
	r.Header.Del("OAuth-Client-Attestation")
	if err := p.credentials(x, r); err != nil {
		return err
	}
	switch f := r.PostForm; x.path {
	case pathPAR:
		if err := p.stranger(r); err != nil {
			return err
		}
		return p.push(x, r)
	case pathToken:
		grant := goidc.GrantType(f.Get("grant_type"))
		if grant != goidc.GrantRefreshToken {
			f.Del("scope") // it means nothing there, and extra parameters are ignored
		}
		if grant == goidc.GrantDeviceCode {
			return p.poll(f.Get("device_code"))
		}
	case pathDeviceAuth:
		if err := p.stranger(r); err != nil {
			return err
		}
		if app, ok := p.client(f.Get("client_id")); ok {
			f.Set("scope", narrow(f.Get("scope"), app))
		}
		for name := range f {
			if name != "scope" && !strings.HasPrefix(name, "client_") {
				f.Del(name)
			}
		}
	}
	return nil
}

// credentials makes the two ways of sending a secret one (RFC 6749 §2.3.1, whose
// Basic has both parts form-encoded), and refuses more than one at a time.
func (p *Provider) credentials(x *exchange, r *http.Request) error {
	f := r.PostForm
	assertion := f.Get("client_assertion")
	if id, password, ok := r.BasicAuth(); ok {
		if f.Get("client_secret") != "" || assertion != "" {
			return goidc.NewError(goidc.ErrorCodeInvalidRequest, "a client authenticates in one way")
		}
		id, err := url.QueryUnescape(id)
		if err == nil {
			password, err = url.QueryUnescape(password)
		}
		if err != nil || f.Get("client_id") != "" && f.Get("client_id") != id {
			return goidc.NewError(goidc.ErrorCodeInvalidClient, "invalid client")
		}
		f.Set("client_id", id)
		if password != "" {
			f.Set("client_secret", password)
		}
		r.Header.Del("Authorization")
	}
	if assertion == "" {
		return nil
	}
	var header struct {
		KeyID string `json:"kid"`
		Alg   string `json:"alg"`
	}
	var claims struct {
		Issuer   string          `json:"iss"`
		Audience json.RawMessage `json:"aud"`
	}
	// Only to know whose keys to look for; nothing is believed yet.
	if !unverified(assertion, &header, &claims) {
		return goidc.NewError(goidc.ErrorCodeInvalidClient, "invalid client")
	}
	x.keyID = header.KeyID
	if f.Get("client_id") == "" {
		f.Set("client_id", claims.Issuer)
	}
	if app, ok := p.client(claims.Issuer); ok && app.OIDC.RequirePAR {
		// FAPI 2.0 §5.3.2.1: the issuer, as one string, and nothing else.
		own, _ := json.Marshal(x.iss.address)
		if !bytes.Equal(own, claims.Audience) || header.Alg == string(goidc.RS256) { // §5.4.1
			x.app = app
			return goidc.WrapError(goidc.ErrorCodeInvalidClient, "invalid client",
				errors.New("the assertion's aud is not the issuer alone, or it is signed with RS256"))
		}
	}
	return nil
}

// unverified reads a token without believing it.
func unverified(token string, header, claims any) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	for i, into := range []any{header, claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if into == nil {
			continue
		}
		if err != nil || json.Unmarshal(b, into) != nil {
			return false
		}
	}
	return true
}

// bearer looks at how a token is shown: one way at a time (RFC 6750 §2), and one
// that is bound to a key never as if it were not (RFC 9449 §7.2).
func bearer(x *exchange, r *http.Request) error {
	invalid := func(why string) error {
		return goidc.WrapError(goidc.ErrorCodeInvalidToken, "invalid token", errors.New(why))
	}
	if posted := r.PostForm.Get("access_token"); posted != "" {
		if r.Header.Get("Authorization") != "" || len(r.PostForm["access_token"]) > 1 {
			return goidc.NewError(goidc.ErrorCodeInvalidRequest, "the token is shown twice")
		}
		r.Header.Set("Authorization", "Bearer "+posted)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme == "" {
		return nil // the library asks for one
	}
	var claims struct {
		Scope        *string `json:"scope"`
		Confirmation struct {
			JKT string `json:"jkt"`
		} `json:"cnf"`
	}
	defer func() { x.scope = claims.Scope }() // believed once the library has checked it
	bound := unverified(strings.TrimSpace(token), nil, &claims) && claims.Confirmation.JKT != ""
	switch {
	case strings.EqualFold(scheme, "Bearer") && bound:
		return invalid("a token bound to a key is shown as if it were not")
	case strings.EqualFold(scheme, "DPoP") && !bound:
		return invalid("a token that is bound to no key is shown as if it were")
	case !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "DPoP"):
		return invalid("shown by a scheme that is not one of the two")
	}
	return nil
}

// push looks at a pushed request as /authorize would, so that what is wrong is
// known at once; it is told once the client has shown who it is.
func (p *Provider) push(x *exchange, r *http.Request) error {
	app, ok := p.client(r.PostForm.Get("client_id"))
	if !ok {
		return nil // the library refuses
	}
	kept := url.Values{}
	for name, values := range r.PostForm {
		if name != "client_secret" && name != "client_assertion" && name != "client_assertion_type" {
			kept[name] = values
		}
	}
	if len(kept.Encode()) > mostPushed {
		return goidc.NewError(goidc.ErrorCodeInvalidRequest, errTooLong.Error())
	}
	q := &request{app: app, maxAge: -1}
	var wrong *problem
	if errors.As(q.address(kept), &wrong) {
		q.refuse(goidc.ErrorCodeInvalidRequest, wrong.note)
	}
	q.vet(kept)
	x.refused, x.redirect = q.refused, q.redirect
	x.pushing = &pushed{App: app.ID, Issuer: x.iss.address, Values: kept}
	clean := q.clean()
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		if v := r.PostForm.Get(name); v != "" {
			clean.Set(name, v)
		}
	}
	r.PostForm, r.Form = clean, clean
	return nil
}

// stranger counts what a network has us keep in the name of public clients: not
// without end.
func (p *Provider) stranger(r *http.Request) error {
	app, ok := p.client(r.PostForm.Get("client_id"))
	if ok && app.OIDC.Auth != parvis.PublicClient {
		return nil // it shows who it is first
	}
	if p.begun.within(parvis.Network(edge.Origin(r).Address).String(), time.Minute) > mostBegun {
		return goidc.NewError(goidc.ErrorCodeSlowDown, "too many requests from there: wait a minute")
	}
	return nil
}

// poll holds back a device that asks more often than it was told (RFC 8628 §3.5).
func (p *Provider) poll(code string) error {
	if ago, count := p.polled.again(hashName(code), time.Minute); count > 1 && ago < (pollSeconds-1)*time.Second {
		return goidc.NewError(goidc.ErrorCodeSlowDown, "slow down")
	}
	return nil
}

// completed adds the address that has the code in it (RFC 8628 §3.3.1): the agent
// compares all the same.
func completed(body []byte) []byte {
	var said map[string]any
	if err := json.Unmarshal(body, &said); err != nil {
		return body
	}
	uri, _ := said["verification_uri"].(string)
	code, _ := said["user_code"].(string)
	code = grouped(code)
	said["user_code"], said["verification_uri_complete"] = code, uri+"?user_code="+url.QueryEscape(code)
	if more, err := json.Marshal(said); err == nil {
		return more
	}
	return body
}

// elsewhere asks the issuer of another entrance about a token that is unknown
// here, for a resource server that serves both.
func (p *Provider) elsewhere(r *http.Request, x *exchange, body []byte) []byte {
	var said struct {
		Active bool `json:"active"`
	}
	if json.Unmarshal(body, &said) != nil || said.Active || x.app.OIDC == nil || !x.app.OIDC.Introspects {
		return body
	}
	token := r.PostForm.Get("token")
	var claims struct {
		Issuer string `json:"iss"`
	}
	for address, other := range p.issuers {
		if other == x.iss || unverified(token, nil, &claims) && claims.Issuer != address {
			continue
		}
		y := &exchange{iss: other, path: x.path, app: x.app, found: map[string]found{}}
		info, err := other.library.Introspect(context.WithValue(r.Context(), exchangeKey{}, y), token)
		if err != nil || !info.IsActive {
			continue
		}
		if told, err := json.Marshal(info); err == nil {
			return told
		}
	}
	return body
}

// refuse tells a program what is wrong, as its RFC says, and the owner in words.
func (p *Provider) refuse(w http.ResponseWriter, r *http.Request, x *exchange, said refusal) error {
	why := whyOf(x.err)
	status := http.StatusBadRequest
	switch {
	case said.Error == string(goidc.ErrorCodeInternalError):
		return p.unable(w, x)
	case strings.Contains(said.Description, "DPoP proof") || strings.Contains(why, "DPoP"): // RFC 9449 §5, §7.1
		said = refusal{"invalid_dpop_proof", why}
		if x.path == pathUserInfo {
			status = http.StatusUnauthorized
		}
	case said.Error == string(goidc.ErrorCodeInvalidClient), said.Error == string(goidc.ErrorCodeInvalidToken):
		status = http.StatusUnauthorized
	case said.Error == string(goidc.ErrorCodeAccessDenied) && x.path == pathIntrospect: // RFC 7662 §2.2: nothing more is said
		return writeJSON(w, http.StatusOK, map[string]bool{"active": false})
	case said.Error == string(goidc.ErrorCodeAccessDenied) && x.path == pathUserInfo: // RFC 6750 §3.1
		said, status = refusal{"insufficient_scope", "the scope openid was not granted"}, http.StatusForbidden
	case said.Error == string(goidc.ErrorCodeExpiredToken) && r.PostForm.Get("device_code") == "":
		said.Error = string(goidc.ErrorCodeInvalidGrant)
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		w.Header().Set("WWW-Authenticate", challenge(r, x, said))
	}
	if waits := said.Error == string(goidc.ErrorCodeAuthPending) || said.Error == string(goidc.ErrorCodeSlowDown); !waits && !x.noted && x.app.ID != "" {
		p.note(x.app.ID, said.Error, why)
	}
	p.Log.Debug("protocol request refused", "path", x.path, "app", x.app.ID, "error", said.Error, "why", why)
	return writeJSON(w, status, said)
}

// challenge says how to show who one is (RFC 6749 §5.2, RFC 6750 §3, RFC 9449
// §7.1).
func challenge(r *http.Request, x *exchange, said refusal) string {
	realm := ` realm="` + x.iss.address + `"`
	if x.path != pathUserInfo {
		return "Basic" + realm
	}
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	why := `, error="` + said.Error + `"`
	if shown == "" && r.PostForm.Get("access_token") == "" {
		why = "" // RFC 6750 §3.1: whoever shows nothing is told no more
	}
	if strings.EqualFold(scheme, "DPoP") || said.Error == "invalid_dpop_proof" {
		return "DPoP" + realm + `, algs="ES256 PS256 EdDSA"` + why
	}
	return "Bearer" + realm + why
}

// unable answers when something fails here: nothing is known, nothing has ended.
func (p *Provider) unable(w http.ResponseWriter, x *exchange) error {
	p.Log.Error("a protocol request failed", "path", x.path, "app", x.app.ID, "err", x.err)
	if parvis.CodeOf(x.err) == parvis.CodeUnavailable {
		w.Header().Set("Retry-After", "5")
		return writeJSON(w, http.StatusServiceUnavailable, refusal{Error: "temporarily_unavailable"})
	}
	return writeJSON(w, http.StatusInternalServerError, refusal{Error: "server_error"})
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.writeJSON", Err: err}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}
