package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/store"
)

// Errors of OpenID Connect and of its neighbours that the library does not name.
const (
	errConsentRequired     goidc.ErrorCode = "consent_required"     // Core §3.1.2.6
	errInteractionRequired goidc.ErrorCode = "interaction_required" // …
	errNoRequestObject     goidc.ErrorCode = "request_not_supported"
	errNoRequestURI        goidc.ErrorCode = "request_uri_not_supported"
	errResponseType        goidc.ErrorCode = "unsupported_response_type" // RFC 6749 §4.1.2.1
	errUnmet               goidc.ErrorCode = "unmet_authentication_requirements"
)

const pushedPrefix = "urn:ietf:params:oauth:request_uri:" // RFC 9126 §2.2

// request is an authorization request, as far as it means something here.
type request struct {
	app       parvis.App
	redirect  string
	state     string
	mode      string // query, fragment or form_post
	scope     string // narrowed
	nonce     string
	challenge string
	jkt       string
	prompts   []string
	maxAge    int64 // -1: any
	loginHint string
	idHint    string
	acrs      []string // acr_values: a wish
	wishes    wishes
	pushed    string // the document it came in
	refused   error  // why it cannot be granted: told to the client
}

// silent tells that nobody may be asked anything.
func (q *request) silent() bool { return slices.Contains(q.prompts, "none") }

// anew tells that who is there must prove themselves again.
func (q *request) anew() bool {
	return slices.Contains(q.prompts, "login") || slices.Contains(q.prompts, "select_account") || q.maxAge == 0
}

// problem is a request that cannot be answered to a client, because it is not
// known which one, or not known to be its address. It names a sentence.
type problem struct {
	key  string // oidc.problem.KEY
	app  parvis.AppID
	note string // for the owner, when the application is known
}

func (e *problem) Error() string { return "oidc: " + e.key + ": " + e.note }

// read reads an authorization request, and looks at it: everything that is
// missing, wrong or not for this client. An error is a [problem]; what can be
// told to the client is in refused. Parameters that mean nothing here are ignored.
func (p *Provider) read(ctx context.Context, is *issuer, q url.Values, marked bool) (*request, error) {
	app, ok := p.client(q.Get("client_id"))
	if !ok {
		return nil, &problem{key: "client"}
	}
	r := &request{app: app, maxAge: -1}
	if uri := q.Get("request_uri"); strings.HasPrefix(uri, pushedPrefix) {
		name := hashName(strings.TrimPrefix(uri, pushedPrefix))
		kept, err := p.readPushed(ctx, is, name, app.ID, marked)
		if err != nil {
			return nil, err
		}
		q, r.pushed, r.jkt = kept.Values, name, kept.JKT // RFC 9126 §4: nothing beside it counts
	} else if app.OIDC.RequirePAR {
		r.refuse(goidc.ErrorCodeInvalidRequest, "a pushed authorization request is required (RFC 9126)")
	}
	if err := r.address(q); err != nil {
		return nil, err
	}
	r.vet(q)
	return r, nil
}

// refuse keeps the first reason why a request cannot be granted.
func (r *request) refuse(code goidc.ErrorCode, why string) {
	if r.refused == nil {
		r.refused = goidc.NewError(code, why)
	}
}

// address looks at where the answer is to go before anything else: what is wrong
// there is told to nobody but the person (RFC 6749 §4.1.2.1).
func (r *request) address(q url.Values) error {
	if len(q["redirect_uri"]) != 1 {
		return &problem{"redirect", r.app.ID, "no redirect_uri, or several"}
	}
	r.redirect = q.Get("redirect_uri")
	if !mayRedirect(r.app.OIDC.Redirects, r.redirect) {
		return &problem{"redirect", r.app.ID, "redirect_uri is not one of those declared: " + printable(r.redirect)}
	}
	return nil
}

// printable cuts what was sent down to what may stand in a line.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
	return s[:min(len(s), 200)]
}

// mayRedirect compares an address whole with those declared, sign by sign (RFC
// 9700 §2.1); of a loopback IP address any port may be asked for (RFC 8252 §7.3).
func mayRedirect(declared []string, asked string) bool {
	if slices.Contains(declared, asked) {
		return true
	}
	for _, loopback := range []string{"http://127.0.0.1", "http://[::1]"} {
		rest, ok := strings.CutPrefix(asked, loopback)
		if !ok {
			continue
		}
		path := portless(rest)
		if path == "" {
			return false
		}
		return slices.ContainsFunc(declared, func(d string) bool {
			own, ok := strings.CutPrefix(d, loopback)
			return ok && portless(own) == path
		})
	}
	return false
}

// portless takes the port off what follows a host, whose path must begin there.
func portless(rest string) string {
	if port, ok := strings.CutPrefix(rest, ":"); ok {
		i := strings.IndexByte(port, '/')
		if i < 1 || i > 5 || strings.Trim(port[:i], "0123456789") != "" {
			return ""
		}
		rest = port[i:]
	}
	if !strings.HasPrefix(rest, "/") {
		return ""
	}
	return rest
}

// vet looks at the rest, and keeps what means something.
func (r *request) vet(q url.Values) {
	r.state, r.nonce = q.Get("state"), q.Get("nonce")
	switch r.mode = q.Get("response_mode"); r.mode {
	case "":
		r.mode = "query"
	case "query", "fragment", "form_post":
	default:
		r.mode = "query"
		r.refuse(goidc.ErrorCodeInvalidRequest, "the response_mode is not supported")
	}
	for name, values := range q {
		if len(values) > 1 && name != "resource" { // RFC 6749 §3.1
			r.refuse(goidc.ErrorCodeInvalidRequest, "a parameter is there twice: "+printable(name))
		}
	}
	switch {
	case q.Get("request") != "": // Core §6.1: refused, never ignored
		r.refuse(errNoRequestObject, "request objects are not supported")
	case q.Get("request_uri") != "":
		r.refuse(errNoRequestURI, "request_uri is only for pushed requests (RFC 9126)")
	case q.Get("response_type") == "":
		r.refuse(goidc.ErrorCodeInvalidRequest, "response_type is missing")
	case q.Get("response_type") != "code":
		r.refuse(errResponseType, "only response_type=code is supported")
	}
	r.pkce(q)
	r.scope = narrow(q.Get("scope"), r.app)
	r.prompts = strings.Fields(q.Get("prompt"))
	if r.silent() && len(r.prompts) > 1 {
		r.refuse(goidc.ErrorCodeInvalidRequest, "prompt=none stands alone")
	}
	if age := q.Get("max_age"); age != "" {
		n, err := strconv.ParseInt(age, 10, 64)
		if err != nil || n < 0 {
			r.refuse(goidc.ErrorCodeInvalidRequest, "max_age is not a number of seconds")
		}
		r.maxAge = min(max(n, 0), 1<<30)
	}
	r.acrs, r.loginHint, r.idHint = strings.Fields(q.Get("acr_values")), q.Get("login_hint"), q.Get("id_token_hint")
	var err error
	if r.wishes, err = readWishes(q.Get("claims")); err != nil {
		r.refuse(goidc.ErrorCodeInvalidRequest, "claims is not a JSON object as OpenID Connect Core §5.5 says")
	}
	if jkt := q.Get("dpop_jkt"); jkt != "" && r.jkt == "" { // RFC 9449 §10
		r.jkt = jkt
	}
}

// pkce is RFC 9700 §2.1.1: required, S256 alone, so that nobody can talk it down.
func (r *request) pkce(q url.Values) {
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		r.refuse(goidc.ErrorCodeInvalidRequest, "code_challenge is missing")
	case challenge == "" && r.app.OIDC.NoPKCE && r.app.OIDC.Auth != parvis.PublicClient:
		return
	case challenge == "":
		r.refuse(goidc.ErrorCodeInvalidRequest, "code_challenge is required (RFC 7636)")
	case method != "S256":
		r.refuse(goidc.ErrorCodeInvalidRequest, "only code_challenge_method=S256 is supported")
	default:
		if b, err := base64.RawURLEncoding.DecodeString(challenge); err != nil || len(b) != sha256.Size {
			r.refuse(goidc.ErrorCodeInvalidRequest, "code_challenge is not a SHA-256 in base64url")
		}
	}
	r.challenge = challenge
}

// clean gives what the library reads of a request: it finds nothing to refuse.
func (r *request) clean() url.Values {
	q := url.Values{"client_id": {string(r.app.ID)}, "redirect_uri": {r.redirect}, "response_type": {"code"}}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("scope", r.scope)
	set("state", r.state)
	set("nonce", r.nonce)
	set("dpop_jkt", r.jkt)
	if r.mode == "fragment" {
		set("response_mode", r.mode)
	}
	if r.challenge == "" && r.app.OIDC.Auth != parvis.PublicClient {
		return q
	}
	// A refused request may lack one: the library must not answer first.
	q.Set("code_challenge", strings.Repeat("A", 43))
	if r.challenge != "" {
		q.Set("code_challenge", r.challenge)
	}
	q.Set("code_challenge_method", "S256")
	return q
}

// pushed is a pushed request as it is kept (RFC 9126).
type pushed struct {
	App     parvis.AppID `json:"a"`
	Issuer  string       `json:"i"`
	Values  url.Values   `json:"v"`
	JKT     string       `json:"j,omitempty"`
	Machine int64        `json:"x"` // begun before, on this machine's clock
}

// keepPushed keeps a pushed request under the hash of its name.
func (p *Provider) keepPushed(ctx context.Context, x *exchange, as *goidc.AuthnSession) error {
	x.pushing.JKT = as.JWKThumbprint
	x.pushing.Machine = now() + pushedSeconds
	body, err := json.Marshal(x.pushing)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.keepPushed", Err: err}
	}
	name := hashName(as.PushedAuthReqID)
	sealed := p.boxes.kept.Seal(body, kindPushed+"/"+name)
	return p.Store.Write(ctx, func(tx *store.Tx) error {
		if err := x.spend(ctx, tx); err != nil {
			return err
		}
		tx.Record(parvis.Event{Kind: "grant.asked", Actor: "app:" + string(x.pushing.App), App: x.pushing.App, Detail: map[string]string{"by": "par"}})
		_, err := tx.PutDocument(ctx, store.Document{
			Kind: kindPushed, ID: name, App: x.pushing.App, Body: sealed, Expires: tx.Now().Add(markLasts),
		})
		return err
	})
}

// readPushed reads a pushed request of an application. It must be begun within a
// minute; whoever has begun, and was asked to sign in, may take longer.
func (p *Provider) readPushed(ctx context.Context, is *issuer, name string, app parvis.AppID, begun bool) (*pushed, error) {
	d, err := p.Store.Document(ctx, kindPushed, name)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil, &problem{"pushed", app, "request_uri is not known, or was used"}
	}
	if err != nil {
		return nil, err
	}
	kept := &pushed{}
	body, err := p.boxes.kept.Open(d.Body, kindPushed+"/"+name)
	if err == nil {
		err = json.Unmarshal(body, kept)
	}
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.readPushed", Err: err}
	}
	switch {
	case kept.App != app, kept.Issuer != is.address:
		return nil, &problem{"pushed", app, "request_uri is of another application, or of another entrance"}
	case !p.Clock().Before(d.Expires) || !begun && now() >= kept.Machine:
		return nil, &problem{"pushed", app, "request_uri was used too late"}
	}
	return kept, nil
}

// usePushed lets a pushed request serve once (RFC 9126 §4).
func (p *Provider) usePushed(ctx context.Context, q *request) error {
	return p.Store.Write(ctx, func(tx *store.Tx) error {
		first, err := tx.DropDocument(ctx, kindPushed, q.pushed)
		if err == nil && !first {
			err = &problem{"pushed", q.app.ID, "request_uri is not known, or was used"}
		}
		if err == nil {
			tx.Record(parvis.Event{Kind: "grant.answered", Actor: "system", App: q.app.ID, Detail: map[string]string{"by": "par"}})
		}
		return err
	})
}

// mark says how far somebody is on the way to an application: the request is run
// again from its own address, and stored nowhere.
type mark struct {
	At       int64              `json:"t"`           // when it was first asked, city's clock, microseconds
	Hash     []byte             `json:"h"`           // of what was asked
	Agent    parvis.AgentNumber `json:"a,omitempty"` // who consented
	Agreed   bool               `json:"y,omitempty"`
	Declined bool               `json:"n,omitempty"`
}

// marked reads the mark of a request, or begins one.
func (p *Provider) marked(q url.Values, sealed string) (mark, bool) {
	hash := sha256.Sum256([]byte(q.Encode()))
	var m mark
	if sealed != "" {
		// It is made again each time somebody is led on, but lasts from the first.
		err := p.boxes.marks.Redeem(sealed, p.Clock(), &m)
		if err == nil && string(m.Hash) == string(hash[:]) && p.Clock().Sub(micro(m.At)) < markLasts {
			return m, true
		}
	}
	return mark{At: p.Clock().UnixMicro(), Hash: hash[:]}, false
}

// path gives the address where a request is run again.
func (p *Provider) path(q url.Values, m mark) (string, error) {
	sealed, err := p.boxes.marks.Issue(m, p.Clock(), markLasts)
	if err != nil {
		return "", err
	}
	path := pathAuthorize + "?" + q.Encode() + "&after=" + sealed
	if len(path) > longestPath {
		return "", errTooLong
	}
	return path, nil
}

const longestPath = 6000

var errTooLong = errors.New("the request is too long")

func micro(us int64) time.Time { return time.UnixMicro(us) }
