package citytest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"parvis"
)

// Enemies of what applications are told, at one city, by plain HTTP: every
// application here is written by hand, because no honest library would send
// what they send. Agents sign in at the internal entrance, where a password is
// enough; nothing listens at the addresses of the applications but where an
// attack says so.
func TestAttacksOnTheProtocols(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	e := newEnemy(t, town)
	for _, attack := range []struct {
		name string
		run  func(*enemy)
	}{
		{"a code shown again", (*enemy).replaysACode},
		{"a code shown by twenty at once", (*enemy).redeemsAtOnce},
		{"a code stolen on its way", (*enemy).stealsACode},
		{"PKCE talked down", (*enemy).talksPKCEDown},
		{"addresses that are nearly right", (*enemy).nearlyRedirects},
		{"one issuer taken for another", (*enemy).mixesUp},
		{"a refresh token used twice", (*enemy).reusesARefresh},
		{"signatures that are none", (*enemy).confusesClients},
		{"tokens that are none", (*enemy).confusesTokens},
		{"an address that we are to fetch", (*enemy).hasUsFetch},
		{"networks that we are to reach", (*enemy).hasUsReach},
		{"a proof of possession, stolen", (*enemy).replaysDPoP},
		{"a client that asks for more", (*enemy).asksForMore},
		{"a client that takes what is another's", (*enemy).takesOthers},
		{"an agreement taken back", (*enemy).outlivesConsent},
		{"signing out by another site", (*enemy).signsOutByASite},
		{"addresses after signing out", (*enemy).leadsAwayAfter},
		{"a CAS ticket", (*enemy).replaysATicket},
		{"XML around a signature", (*enemy).wrapsSignatures},
		{"after the session", (*enemy).outlivesASession},
		{"after the account", (*enemy).outlivesAnAccount},
		{"after the application", (*enemy).outlivesAnApplication},
	} {
		t.Run(attack.name, func(t *testing.T) {
			part := *e
			part.t = t
			attack.run(&part)
		})
	}
	e.leavesTraces()
}

// enemy is whoever holds one end of every protocol.
type enemy struct {
	t     *testing.T
	town  *Town
	key   jose.JSONWebKey // of the application that signs what it says of itself
	other jose.JSONWebKey // of nobody
	sp    *provider
	told  *received // by the back channel
	heard *ear      // an address that nobody may connect to
	*passed
}

// passed is what travelled and may stand nowhere: secret, and what it is.
type passed struct {
	mu  sync.Mutex
	all map[string]string
}

func (p *passed) note(what, secret string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(secret) > 12 {
		p.all[secret] = what
	}
}

// ear counts who connects, and hangs up.
type ear struct {
	net.Listener
	mu sync.Mutex
	n  int
}

func listen(t *testing.T) *ear {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &ear{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.n++
			h.mu.Unlock()
			_ = c.Close()
		}
	}()
	return h
}

func (h *ear) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

// secretOf is what an application with a secret proves itself by.
func secretOf(id string) string { return "the-secret-of-" + id + "-of-many-random-signs" }

const (
	codeVerifier  = "a-verifier-of-forty-three-signs-and-some-more-0"
	backChannelOf = "/told"
)

// backOf is where the answers of an application go, and out where it leads after
// signing out.
func backOf(id string) string { return "https://" + id + ".example/cb" }
func outOf(id string) string  { return "https://" + id + ".example/out?a=1" }

func signingKey(t *testing.T, name string) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: name, Algorithm: "ES256", Use: "sig"}
}

func publicKeys(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func newEnemy(t *testing.T, town *Town) *enemy {
	t.Helper()
	e := &enemy{t: t, town: town, key: signingKey(t, "k1"), other: signingKey(t, "k1"), told: new(received), heard: listen(t), passed: &passed{all: map[string]string{}}}
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // kept with the request; what is missing is seen there
		e.told.ServeHTTP(w, r)
	}))
	t.Cleanup(here.Close)
	e.sp = newProvider(t, "gestion")
	client := func(id, more string) string {
		return appFile(id, `channels: [internal, mobile]
attributes: [name, email]
oidc:
  redirects: ["`+backOf(id)+`", "http://127.0.0.1/cb"]
  logout_redirects: ["`+outOf(id)+`"]
`+more)
	}
	secret := func(id string) string {
		e.note("the secret of "+id, secretOf(id))
		return `  secrets: [{sha256: "` + sha(secretOf(id)) + "\"}]\n"
	}
	told := `  back_channel_logout: "` + here.URL + backChannelOf + "\"\n"
	takeApps(t, town, map[string]string{
		"essai":    client("essai", told+secret("essai")),
		"autre":    client("autre", secret("autre")),
		"ouvert":   client("ouvert", "  auth: none\n"),
		"vieux":    client("vieux", "  no_pkce: true\n"+secret("vieux")),
		"signe":    client("signe", "  auth: private_key_jwt\n  jwks: '"+publicKeys(t, e.key)+"'\n"),
		"lie":      client("lie", "  require_dpop: true\n"+secret("lie")),
		"pousse":   client("pousse", "  require_par: true\n"+secret("pousse")),
		"ephemere": client("ephemere", secret("ephemere")),
		"dehors":   strings.Replace(client("dehors", secret("dehors")), "channels:", "external: true\nchannels:", 1),
		"peu":      strings.Replace(client("peu", secret("peu")), "attributes: [name, email]\n", "", 1),
		"forum":    appFile("forum", "channels: [internal, mobile]\ncas:\n  services: [\"https://forum.example/app/\"]\n"),
		"salon":    appFile("salon", "channels: [internal, mobile]\ncas:\n  services: [\"https://salon.example/\"]\n"),
		"gestion":  appFile("gestion", "channels: [internal]\nsaml:\n  metadata: "+block(e.sp.metadata(t))),
	})
	v := e.town.Visitor(t)
	v.until("known to the city", e.asks(parvis.Internal, "vieux"), atDoor) // taken by another process
	v.until("known to the city", e.asks(parvis.Internal, "signe"), atDoor)
	e.sp.knows(v, town.Portal(parvis.Internal))
	return e
}

// asks is an authorization request of an application; pairs change or remove
// parameters.
func (e *enemy) asks(ch parvis.Channel, id string, pairs ...string) string {
	q := url.Values{
		"client_id": {id}, "redirect_uri": {backOf(id)}, "response_type": {"code"}, "scope": {"openid profile email"}, "state": {"state-of-" + id},
		"nonce": {"nonce-of-" + id}, "code_challenge": {s256(codeVerifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return e.town.Portal(ch) + "/authorize?" + q.Encode()
}

func s256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// in is a browser in which an agent is signed in; it follows nothing any more.
func (e *enemy) in(number string) *Visitor {
	e.t.Helper()
	v := e.town.Visitor(e.t)
	v.SignIn(parvis.Internal, e.town.Person(number)).at(e.t, "home")
	return stay(v)
}

// still tells whether the session of a browser lives.
func (e *enemy) still(v *Visitor) bool {
	e.t.Helper()
	return v.Get(e.town.Portal(parvis.Internal)+"/").Screen == "home"
}

// led gives where an address leads a browser; it must lead somewhere.
func (e *enemy) led(v *Visitor, address string) *url.URL {
	e.t.Helper()
	p := v.Get(address)
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil || p.Header.Get("Location") == "" {
		e.t.Fatalf("%s leads nowhere: %d %s %v %v\n%.800s", address, p.Status, p.Screen, p.Reasons, err, p.Text())
	}
	e.note("a code", u.Query().Get("code"))
	return u
}

// code asks for one, which must be given.
func (e *enemy) code(v *Visitor, id string, pairs ...string) string {
	e.t.Helper()
	u := e.led(v, e.asks(parvis.Internal, id, pairs...))
	if u.Query().Get("code") == "" || !strings.HasPrefix(u.String(), backOf(id)+"?") {
		e.t.Fatalf("no code for %s: %s", id, u)
	}
	return u.Query().Get("code")
}

// said is what an endpoint for programs answered.
type said struct {
	status  int
	header  http.Header
	all     map[string]any
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Scope   string `json:"scope"`
	Pushed  string `json:"request_uri"`
	Error   string `json:"error"`
	Active  bool   `json:"active"`
}

// nothing tells whether no token came.
func (a said) nothing() bool { return a.Access == "" && a.ID == "" && a.Refresh == "" }

// program sends a request without cookies.
func (e *enemy) program(method, address string, f url.Values, change ...func(*http.Request)) said {
	e.t.Helper()
	var body io.Reader
	if f != nil {
		body = strings.NewReader(f.Encode())
	}
	r, err := http.NewRequest(method, address, body)
	if err != nil {
		e.t.Fatal(err)
	}
	if f != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range change {
		c(r)
	}
	c := Client()
	defer c.CloseIdleConnections()
	res, err := c.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	a := said{status: res.StatusCode, header: res.Header}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") && len(b) > 0 {
		if err := json.Unmarshal(b, &a); err != nil {
			e.t.Fatalf("%s: %v\n%s", address, err, b)
		}
		if err := json.Unmarshal(b, &a.all); err != nil {
			e.t.Fatalf("%s: %v\n%s", address, err, b)
		}
	}
	e.note("an access token", a.Access)
	e.note("a refresh token", a.Refresh)
	e.note("an ID token", a.ID)
	if a.status >= http.StatusInternalServerError {
		e.t.Errorf("%s %s: %d %s", method, address, a.status, b)
	}
	return a
}

// as proves an application by what it has: a secret, a signature, or its name.
func (e *enemy) as(id string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(id, secretOf(id)) }
}

// post sends a form to an endpoint of the internal entrance, as an application.
func (e *enemy) post(path, id string, f url.Values, change ...func(*http.Request)) said {
	e.t.Helper()
	if id == "ouvert" {
		f = add(f, "client_id", id)
	} else {
		change = append([]func(*http.Request){e.as(id)}, change...)
	}
	return e.program(http.MethodPost, e.town.Portal(parvis.Internal)+path, f, change...)
}

func add(f url.Values, pairs ...string) url.Values {
	all := url.Values{}
	for name, values := range f {
		all[name] = slices.Clone(values)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if all.Del(pairs[i]); pairs[i+1] != "" {
			all.Set(pairs[i], pairs[i+1])
		}
	}
	return all
}

// redemption is the form that exchanges a code.
func redemption(id, code string, pairs ...string) url.Values {
	return add(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {backOf(id)}, "code_verifier": {codeVerifier}}, pairs...)
}

// tokens takes an application all the way, which must succeed.
func (e *enemy) tokens(v *Visitor, id string, pairs ...string) said {
	e.t.Helper()
	a := e.post("/token", id, redemption(id, e.code(v, id, pairs...)))
	if a.status != http.StatusOK || a.Access == "" || a.Refresh == "" || a.ID == "" {
		e.t.Fatalf("%s: %d %v", id, a.status, a.all)
	}
	return a
}

func (e *enemy) refresh(id, token string, pairs ...string) said {
	e.t.Helper()
	return e.post("/token", id, add(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, pairs...))
}

// user asks about the agent of a token.
func (e *enemy) user(ch parvis.Channel, token string, change ...func(*http.Request)) said {
	e.t.Helper()
	return e.program(http.MethodGet, e.town.Portal(ch)+"/userinfo", nil, append([]func(*http.Request){func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }}, change...)...)
}

func (e *enemy) active(id, token string) bool {
	e.t.Helper()
	a := e.post("/introspect", id, url.Values{"token": {token}})
	if a.status != http.StatusOK || !a.Active && len(a.all) != 1 { // RFC 7662 §2.2: of what is not active nothing is said
		e.t.Errorf("introspection by %s: %d %v", id, a.status, a.all)
	}
	return a.Active
}

// lives wants tokens to be worth something.
func (e *enemy) lives(what, id string, a said) {
	e.t.Helper()
	if got := e.user(parvis.Internal, a.Access); got.status != http.StatusOK {
		e.t.Errorf("%s: UserInfo answers %d %v", what, got.status, got.header)
	}
	if id != "ouvert" && (!e.active(id, a.Access) || !e.active(id, a.Refresh)) {
		e.t.Errorf("%s: not active", what)
	}
}

// dead wants tokens to be worth nothing any more, in whatever hands.
func (e *enemy) dead(what, id string, a said) {
	e.t.Helper()
	if got := e.user(parvis.Internal, a.Access); got.status != http.StatusUnauthorized || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		e.t.Errorf("%s: UserInfo answers %d %v", what, got.status, got.header)
	}
	if id != "ouvert" && (e.active(id, a.Access) || e.active(id, a.Refresh)) {
		e.t.Errorf("%s: active still", what)
	}
	if got := e.refresh(id, a.Refresh); got.Error != "invalid_grant" || got.status != http.StatusBadRequest || !got.nothing() {
		e.t.Errorf("%s: refreshed: %d %v", what, got.status, got.all)
	}
}

// signed makes a token of claims; header adds to or changes its header.
func (e *enemy) signed(key jose.JSONWebKey, alg jose.SignatureAlgorithm, secret []byte, header map[string]any, claims map[string]any) string {
	e.t.Helper()
	o := &jose.SignerOptions{}
	for name, value := range header {
		o = o.WithHeader(jose.HeaderKey(name), value)
	}
	sk := jose.SigningKey{Algorithm: alg, Key: key.Key}
	if secret != nil {
		sk.Key = secret
	}
	signer, err := jose.NewSigner(sk, o)
	if err != nil {
		e.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		e.t.Fatal(err)
	}
	return token
}

// unsigned is one that nobody signed.
func (e *enemy) unsigned(header, claims map[string]any) string {
	e.t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			e.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	h := map[string]any{"alg": "none"}
	for name, value := range header {
		h[name] = value
	}
	return part(h) + "." + part(claims) + "."
}

// leavesTraces: what was done is in the log, whole; what was secret is nowhere,
// neither in what auditors export, nor in what the program says, nor in its data.
func (e *enemy) leavesTraces() {
	e.t.Helper()
	wholeLog(e.t, e.town.Data)
	kinds := map[string]int{}
	for _, ev := range events(e.t, e.town.Data, 0) {
		kinds[ev.Kind]++
		if ev.Kind == "grant.ended" {
			kinds["grant.ended "+ev.Detail["why"]]++
		}
	}
	for _, kind := range []string{
		"grant.began", "grant.renewed", "grant.asked", "grant.answered", "grant.replayed", "grant.refused", "consent.given", "consent.withdrawn",
		"app.changed", "app.removed", "notice.delivered", "grant.ended code_reused", "grant.ended code_spoilt", "grant.ended refresh_reused", "grant.ended taken_back",
	} {
		if kinds[kind] == 0 {
			e.t.Errorf("%s is not recorded; these are: %v", kind, kinds)
		}
	}
	export, errs, status := RunPlain(e.t, "audit", "export", "--data", e.town.Data)
	if status != 0 || export == "" {
		e.t.Fatalf("audit export ended with %d: %s", status, errs)
	}
	texts := map[string][]byte{"what auditors export": []byte(export), "what the program says": []byte(e.town.Output())}
	err := filepath.WalkDir(e.town.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		texts[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		e.t.Fatal(err)
	}
	if len(e.all) < 100 || len(texts) < 4 {
		e.t.Errorf("only %d secrets were looked for in %d places", len(e.all), len(texts))
	}
	for place, text := range texts {
		for secret, what := range e.all {
			if bytes.Contains(text, []byte(secret)) {
				e.t.Errorf("%s stands in %s", what, place)
			}
		}
	}
}
