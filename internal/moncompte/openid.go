package moncompte

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/text"
)

// What the protocol hands out, in seconds: a code for one round trip, tokens for
// the questions that follow it.
const (
	codeSeconds  = 60
	tokenSeconds = 300
)

// level is what a password of somebody who confirmed their address is worth.
const level = "eidas1"

// errNoRequestObject is OpenID Connect Core 3.1.2.6: refused, never ignored.
const errNoRequestObject goidc.ErrorCode = "request_not_supported"

// provider makes the protocol. The library keeps the rules of the protocol;
// what it leaves to its user (one use of everything, the browser an interaction
// belongs to, prompts and ages) is in this file and in keep.go.
func (s *Service) provider() (*provider.Provider, error) {
	k := keeper{s}
	var clients []*goidc.Client
	for _, c := range s.Clients {
		client := &goidc.Client{ID: c.ID, Secret: c.Secret.Reveal(), ClientMeta: goidc.ClientMeta{
			Name: c.Name.FR, RedirectURIs: c.Redirects, PostLogoutRedirectURIs: c.LogoutRedirects,
			GrantTypes: []goidc.GrantType{goidc.GrantAuthorizationCode}, ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode},
			ScopeIDs: "openid email", TokenAuthnMethod: goidc.AuthnMethodSecretBasic, IDTokenSigAlg: goidc.ES256,
		}}
		if c.RS256 {
			client.IDTokenSigAlg = goidc.RS256
		}
		if c.SignedUserInfo {
			client.UserInfoSigAlg = client.IDTokenSigAlg
		}
		clients = append(clients, client)
	}
	options := []provider.Option{
		provider.WithAuthCodeGrant(k, goidc.ResponseTypeCode),
		provider.WithAuthCodeLifetime(codeSeconds),
		provider.WithAuthSessionLifetime(int(interactionLasts / time.Second)),
		provider.WithAuthnSessionIDFunc(func(context.Context) string { return random() }),
		provider.WithAuthCodeFunc(func(context.Context) string { secret, _ := seal.Token(); return secret }),
		provider.WithGrantIDFunc(func(context.Context) string { return random() }),
		provider.WithPKCERequired(goidc.CodeChallengeMethodSHA256), // RFC 9700 §2.1.1
		provider.WithIssuerResponseParameter(),                     // RFC 9207
		provider.WithOpenIDScopeRequired(),
		provider.WithScopes(goidc.ScopeOpenID, goidc.ScopeEmail),
		provider.WithSecretBasicAuthn(),
		provider.WithIDTokenSignatureAlgs(goidc.ES256, goidc.RS256),
		provider.WithIDTokenLifetime(tokenSeconds),
		provider.WithUserInfoSignatureAlgs(goidc.ES256, goidc.RS256),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewJWTTokenOptions(goidc.ES256, tokenSeconds)
		}),
		provider.WithACRs(level),
		provider.WithClaims("sub", "email", "email_verified", "acr", "amr", "auth_time"),
		provider.WithIDTokenClaims(s.idClaims),
		provider.WithUserInfoClaims(s.userClaims),
		provider.WithPolicies(goidc.NewPolicy("password", func(*http.Request, *goidc.AuthnSession, *goidc.Client) bool { return true }, s.authenticate)),
		provider.WithLogout(k, s.loggedOut),
		provider.WithLogoutPolicies(goidc.NewLogoutPolicy("ask", func(*http.Request, *goidc.LogoutSession) bool { return true }, s.decideLogout)),
		provider.WithErrorRenderer(s.renderError),
		provider.WithErrorHandler(func(_ context.Context, err error) { s.Log.Debug("protocol request refused", "err", err) }),
		// Nothing here is authenticated by a JWT of the client.
		provider.WithJTIConsumer(func(context.Context, string) error { return errors.New("no assertions here") }),
	}
	if len(clients) > 0 {
		options = append(options, provider.WithStaticClients(clients[0], clients[1:]...))
	}
	return provider.New(s.Address, k, s.jwks, options...)
}

// exchange is one request to the protocol, as the library's callbacks find it.
type exchange struct {
	v        *visit
	loaded   *goidc.AuthnSession // the interaction that goes on; nil when it begins
	leaves   *goidc.LogoutSession
	hint     string // whom the client expects
	refused  string // why the request cannot be granted, told to the client
	finished *goidc.AuthnSession
	read     map[string]version // grants as they were read
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{} // nothing is loaded, nobody is in
}

// enter hands a request to the protocol.
func enter(op http.Handler, w http.ResponseWriter, r *http.Request, x *exchange) {
	x.read = map[string]version{}
	op.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// protocol is for programs: what fails says how to show who one is.
func (s *Service) protocol(op http.Handler, scheme string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		enter(op, challenger{w, scheme, s.Address}, r, &exchange{})
	})
}

// challenger adds what the library leaves out: the challenge of a 401 (RFC 6749
// §5.2, RFC 6750 §3).
type challenger struct {
	http.ResponseWriter
	scheme, realm string
}

func (c challenger) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		challenge := c.scheme + ` realm="` + c.realm + `"`
		if c.scheme == "Bearer" {
			challenge += `, error="invalid_token"`
		}
		c.Header().Set("WWW-Authenticate", challenge)
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (c challenger) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// authorize begins an interaction. Parameters that this service does not know
// are left out rather than refused, except those that would make it less safe.
func (s *Service) authorize(op http.Handler) act {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		q := r.URL.Query()
		x := &exchange{v: v}
		clean, err := s.clean(r.Context(), q, x)
		if err != nil {
			return err
		}
		if l := locale(q.Get("ui_locales")); l != "" && s.cookie(r, cookieLang) == "" {
			v.lang = l
			s.keep(w, cookieLang, string(l), -1)
		}
		r = r.Clone(r.Context())
		r.URL.RawQuery = clean.Encode()
		enter(op, w, r, x)
		return nil
	}
}

// reauthorize is OpenID Connect Core 3.1.2.1: the request may be posted. It goes
// on as GET, so that the cookies of this host, which other sites cannot send
// with a post, are there.
func (s *Service) reauthorize(w http.ResponseWriter, r *http.Request, _ *visit) error {
	if err := r.ParseForm(); err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "moncompte.authorize", Err: err}
	}
	return see(w, "/authorize?"+r.PostForm.Encode())
}

// taken are the parameters of an authorization request that mean something
// here. The library must see the others of the second line to refuse them.
func taken() []string {
	return []string{
		"client_id", "redirect_uri", "response_type", "state", "nonce", "code_challenge", "code_challenge_method", "prompt", "login_hint",
		"request", "request_uri",
	}
}

// clean keeps what means something of an authorization request.
func (s *Service) clean(ctx context.Context, q url.Values, x *exchange) (url.Values, error) {
	const op = "moncompte.authorize"
	clean := url.Values{}
	for name, values := range q {
		if len(values) > 1 && name != "resource" { // RFC 6749 §3.1
			return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: fmt.Errorf("%q is there twice", name)}
		}
	}
	for _, name := range taken() {
		if q.Get(name) != "" {
			clean.Set(name, q.Get(name))
		}
	}
	known := func(value string, all ...string) string {
		return strings.Join(slices.DeleteFunc(strings.Fields(value), func(s string) bool { return !slices.Contains(all, s) }), " ")
	}
	clean.Set("scope", known(q.Get("scope"), "openid", "email"))
	if acr := known(q.Get("acr_values"), level); acr != "" { // a wish, not a demand: what was reached is told
		clean.Set("acr_values", acr)
	}
	// The library would answer in a mode that it refuses, with a script inside.
	switch mode := q.Get("response_mode"); mode {
	case "", "query", "fragment":
		clean.Set("response_mode", mode)
	default:
		x.refused = "the response mode is not supported"
	}
	// And it would forget a demand that it cannot read.
	if age := q.Get("max_age"); age != "" {
		if n, err := strconv.Atoi(age); err != nil || n < 0 {
			x.refused = "max_age is not a number of seconds"
		}
		clean.Set("max_age", age)
	}
	if hint := q.Get("id_token_hint"); hint != "" {
		var err error
		if x.hint, _, err = s.readHint(ctx, hint); err != nil {
			return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
		}
	}
	return clean, nil
}

// locale gives the first language of ui_locales that is spoken here.
func locale(s string) text.Lang {
	for tag := range strings.FieldsSeq(s) {
		switch base, _, _ := strings.Cut(strings.ToLower(tag), "-"); base {
		case "fr":
			return text.French
		case "en":
			return text.English
		}
	}
	return ""
}

// resume goes on with an interaction, in the browser that began it, once.
func (s *Service) resume(op http.Handler) act {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		as, err := s.openInteraction(r.PathValue("interaction"), v.at)
		if err != nil {
			return &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.resume", Err: err}
		}
		if v.browser == "" || as.Store["browser"] != browserMark(v.browser) {
			return &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.resume", Err: errors.New("it was begun in another browser")}
		}
		_, err = s.Store.CitizenDocument(r.Context(), "finished", as.ID)
		if err == nil {
			return &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.resume", Err: errors.New("it is finished")}
		}
		if parvis.CodeOf(err) != parvis.CodeNotFound {
			return err
		}
		hint, _ := as.Store["hint"].(string)
		enter(op, w, r, &exchange{v: v, loaded: as, hint: hint})
		return nil
	}
}

func browserMark(secret string) string {
	hash := seal.Hash(secret)
	return hex.EncodeToString(hash[:])
}

// authenticate decides, each time the library asks: done, refused, or first
// somebody must sign in. Sessions alone are looked at: passwords are not seen here.
func (s *Service) authenticate(w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, _ *goidc.Client) (goidc.Status, error) {
	x := exchangeOf(r.Context())
	v := x.v
	// The library calls for a finished interaction too, and would make another
	// code of it.
	if v == nil || as.Status != "" && as.Status != goidc.StatusPending {
		return goidc.StatusFailure, errOver
	}
	if x.refused != "" {
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeInvalidRequest, x.refused)
	}
	if as.RequestObject != "" {
		return goidc.StatusFailure, goidc.NewError(errNoRequestObject, "request objects are not supported")
	}
	prompts := strings.Fields(string(as.Prompt))
	silent := slices.Contains(prompts, string(goidc.PromptTypeNone))
	if silent && len(prompts) > 1 {
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeInvalidRequest, "prompt none stands alone")
	}
	if x.loaded != nil && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/cancel") {
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeAccessDenied, "access denied")
	}
	if x.loaded == nil {
		// Values come back from JSON as strings or as floats: strings alone are kept.
		as.Store = map[string]any{"had": v.sessionMark(), "hint": x.hint}
	}
	fresh := v.in && as.Store["had"] != v.sessionMark() // the session began after the client asked
	expected := v.in && (x.hint == "" || x.hint == v.citizen.ID)
	if fresh && !expected {
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeLoginRequired, "another account is signed in")
	}
	if expected && !v.citizen.Confirmed.IsZero() && (fresh || v.serves(prompts, as.MaxAuthnAgeSecs)) {
		as.Subject, as.GrantedScopes = v.citizen.ID, as.Scopes
		as.Store = map[string]any{
			"auth_time":  strconv.FormatInt(v.session.Proved.Unix(), 10),
			"good_until": strconv.FormatInt(v.at.Add(codeSeconds*time.Second).UnixMicro(), 10),
		}
		return goidc.StatusSuccess, nil
	}
	if silent {
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeLoginRequired, "login required")
	}
	flow := r.PathValue("callback")
	if x.loaded == nil {
		v.owner(w)
		as.Store["browser"] = browserMark(v.browser)
		var err error
		if flow, err = s.asked.Issue(as, v.at, interactionLasts); err != nil {
			return goidc.StatusFailure, err
		}
		if len(flow) > maxFlow {
			return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeInvalidRequest, "the request is too long")
		}
	}
	if err := see(w, "/signin"+flowQuery(flow)); err != nil {
		return goidc.StatusFailure, err
	}
	return goidc.StatusPending, nil
}

// serves tells whether the session that was there already is enough.
func (v *visit) serves(prompts []string, maxAge *int) bool {
	if slices.Contains(prompts, string(goidc.PromptTypeLogin)) || slices.Contains(prompts, string(goidc.PromptTypeSelectAccount)) {
		return false
	}
	if maxAge == nil {
		return true
	}
	return *maxAge > 0 && v.at.Sub(v.session.Proved) <= time.Duration(min(*maxAge, 1<<30))*time.Second
}

func (v *visit) sessionMark() string {
	if !v.in {
		return ""
	}
	return hex.EncodeToString(v.session.ID[:])
}

// idClaims adds to an ID token how somebody signed in, on the service's clock.
func (s *Service) idClaims(_ context.Context, g *goidc.Grant) map[string]any {
	now := s.Clock().Unix()
	claims := map[string]any{"acr": level, "amr": []string{"pwd"}, "iat": now, "exp": now + tokenSeconds}
	if at, _ := g.Store["auth_time"].(string); at != "" {
		if n, err := strconv.ParseInt(at, 10, 64); err == nil {
			claims["auth_time"] = n
		}
	}
	return claims
}

// userClaims tells the address, to a client that asked for it.
func (s *Service) userClaims(ctx context.Context, g *goidc.Grant) map[string]any {
	if !slices.Contains(strings.Fields(g.Scopes), "email") {
		return nil
	}
	c, err := s.reveal(s.Store.Citizen(ctx, g.Subject))
	if err != nil {
		s.Log.Error("an account could not be read", "err", err)
		return nil
	}
	return map[string]any{"email": c.Email, "email_verified": !c.Confirmed.IsZero()}
}

// renderError shows a person that a request of the protocol cannot go on, and
// cannot be answered to the client either.
func (s *Service) renderError(w http.ResponseWriter, r *http.Request, err error) error {
	x := exchangeOf(r.Context())
	if x.v == nil {
		return err
	}
	var protocol goidc.Error
	switch {
	case errors.Is(err, errOver):
		err = errOver
	case errors.As(err, &protocol):
		err = &parvis.Error{Code: parvis.CodeInvalid, Op: "moncompte.protocol", Err: err}
	case errors.Is(err, goidc.ErrNotFound): // a client that is not known
		err = &parvis.Error{Code: parvis.CodeInvalid, Op: "moncompte.protocol", Err: err}
	}
	var ours *parvis.Error
	if errors.As(err, &ours) && ours.Code == parvis.CodeInvalid {
		pg := x.v.problem("moncompte.problem.protocol")
		return x.v.show(w, r, http.StatusBadRequest, pg)
	}
	s.fail(w, r, x.v, err)
	return nil
}

// discovery says what the library leaves out.
func discovery(op http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &captured{header: http.Header{}, status: http.StatusOK}
		op.ServeHTTP(c, r)
		var document map[string]any
		if err := json.Unmarshal(c.body.Bytes(), &document); err != nil || c.status != http.StatusOK {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		// Discovery 1.0 §3: left out, the first would mean true.
		document["request_uri_parameter_supported"] = false
		document["request_parameter_supported"] = false
		document["claims_parameter_supported"] = false
		document["ui_locales_supported"] = []string{string(text.French), string(text.English)}
		document["prompt_values_supported"] = []string{"none", "login", "select_account"}
		body, err := json.Marshal(document)
		if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // a reader who left is not an error
	})
}

// captured is an answer kept to be completed.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (c *captured) Header() http.Header         { return c.header }
func (c *captured) WriteHeader(status int)      { c.status = status }
func (c *captured) Write(b []byte) (int, error) { return c.body.Write(b) }
