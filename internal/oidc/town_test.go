package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/apps"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

const (
	inside   = "http://agents.localhost:8080"
	outside  = "http://nomade.localhost:8081"
	agentOne = parvis.AgentNumber("A100001")
	pass     = "the-secret-of-a-client-0123456789"
	callback = "https://rp.example/cb"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	back     = "https://rp.example/out?a=1"
)

// town is an issuer at each of two entrances, one agent, and applications.
type town struct {
	testing.TB
	p        *Provider
	clock    *storetest.Clock
	policy   *access.Policy
	declared []parvis.App
	cookies  []*http.Cookie
	channel  parvis.Channel // the entrance of the browser
	proves   []string       // levels that were asked for
}

func (tn *town) must(err error) {
	tn.Helper()
	if err != nil {
		tn.Fatal(err)
	}
}

// client is an ordinary application; change makes it another.
func client(id string, change func(*parvis.App)) parvis.App {
	a := parvis.App{
		ID: parvis.AppID(id), Name: parvis.Words{FR: "Appli " + id, EN: "App " + id}, Channels: parvis.Channels(),
		Attributes: []string{"uid", "given_name", "usual_name", "family_name", "name", "email", "siret", "siren", "organizational_unit", "belonging_population", "groups"},
		OIDC: &parvis.OIDCClient{
			Redirects: []string{callback, "http://127.0.0.1:7999/cb"}, LogoutRedirects: []string{back}, Auth: parvis.ClientSecretPost,
			Secrets: []parvis.ClientSecret{{Hash: seal.Hash(pass)}},
		},
	}
	if change != nil {
		change(&a)
	}
	return a
}

func open(t testing.TB, more ...parvis.App) *town {
	t.Helper()
	tn := &town{TB: t, clock: &storetest.Clock{}, channel: parvis.Internal}
	tn.clock.Set(time.Date(2026, 11, 24, 9, 20, 0, 0, time.UTC)) // a Tuesday, during office hours
	dir := t.TempDir()
	s := storetest.Open(t, "sqlite:"+filepath.Join(dir, "parvis.db"), tn.clock)
	keys, err := seal.OpenKeys(filepath.Join(dir, "keys"))
	tn.must(err)
	catalog, err := text.Load()
	tn.must(err)
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{parvis.Internal: inside, parvis.Mobile: outside})
	tn.must(err)
	hours, err := access.OfficeHours("Europe/Paris")
	tn.must(err)
	tn.declared = append([]parvis.App{client("rp", nil)}, more...)
	make := func(all []parvis.App) (*access.Policy, error) {
		return access.New(access.Catalog{Apps: all, Calendar: hours, Profiles: []parvis.Profile{{ID: parvis.Standard}}, SecondProofReady: true})
	}
	tn.policy, err = make(tn.declared)
	tn.must(err)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	people := &directory.Directory{Store: s, Clock: tn.clock.Now, Zone: time.UTC}
	keeper := &session.Keeper{Store: s, Keys: keys, Addresses: addresses, Clock: tn.clock.Now, Log: log}
	counter := &helpdesk.Counter{Store: s, Clock: tn.clock.Now}
	register := &apps.Register{Store: s, Clock: tn.clock.Now, Log: log, Declared: tn.declared, Apply: func(all []parvis.App) error {
		next, err := make(all)
		if err == nil {
			tn.policy.Replace(next)
		}
		return err
	}}
	tn.must(register.Load(t.Context()))
	e := &edge.Edge{Addresses: addresses, Catalog: catalog, Clock: tn.clock.Now, Log: log, Metrics: edge.NewMetrics()}
	tn.p = &Provider{
		Store: s, Keys: keys, Sessions: keeper, Directory: people, Register: register, Addresses: addresses, Words: catalog, Edge: e,
		Clock: tn.clock.Now, Log: log, HTTP: http.DefaultClient,
		Door: &apps.Door{
			Policy: tn.policy, Held: access.NewHeld(1024), Directory: people, Sessions: keeper, Counter: counter, Keys: keys,
			SIRET: "21750001600019", Clock: tn.clock.Now,
		},
		Show: func(w http.ResponseWriter, r *http.Request, status int, draw func(text.Lang) page.Page) error {
			pg := draw(text.English)
			pg.Lang = "en"
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			return pg.Render(r.Context(), w)
		},
		SignIn: func(path string, app parvis.AppID, hint string) (string, error) {
			return "/signin?" + url.Values{"to": {path}, "app": {string(app)}, "hint": {hint}}.Encode(), nil
		},
		Prove: func(path string, app parvis.AppID, level string) (string, error) {
			tn.proves = append(tn.proves, level)
			return "/prove?" + url.Values{"to": {path}, "app": {string(app)}, "level": {level}}.Encode(), nil
		},
	}
	tn.write(func(tx *store.Tx) error {
		ctx := context.Background()
		var all []*parvis.Agent
		// The second has an employer whose number does not add up.
		for n, employer := range map[parvis.AgentNumber]string{agentOne: "217 500 016 00019", "A100002": "21750001600018"} {
			all = append(all, &parvis.Agent{
				Number: n, GivenNames: "Zoé  Anne", FamilyName: "Müller-Lefèvre", Email: strings.ToLower(string(n)) + "@example.org", Unit: "VILLE/DRH",
				ContractFrom: tn.clock.Now().AddDate(-1, 0, 0), Employer: employer, Category: "tenured",
			})
		}
		if err := tx.PutAgents(ctx, all); err != nil {
			return err
		}
		for _, a := range all {
			tx.Record(parvis.Event{Kind: "agent.imported", Agent: a.Number, Actor: "system"})
			if err := tx.PutPassword(ctx, store.Password{Agent: a.Number, PHC: "$none$", Since: tn.clock.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	return tn
}

// of gives the same town to a part of a test.
func (tn *town) of(t testing.TB) *town {
	part := *tn
	part.TB, part.cookies = t, slices.Clone(tn.cookies)
	return &part
}

func (tn *town) write(f func(*store.Tx) error) {
	tn.Helper()
	tn.must(tn.p.Store.Write(context.Background(), f))
}

func (tn *town) issuer() string { return tn.p.Addresses.Portal(tn.channel) }

// keep puts what a browser was given into its jar.
func (tn *town) keep(w http.ResponseWriter) {
	for _, c := range (&http.Response{Header: w.Header()}).Cookies() {
		tn.cookies = slices.DeleteFunc(tn.cookies, func(o *http.Cookie) bool { return o.Name == c.Name })
		if c.MaxAge >= 0 {
			tn.cookies = append(tn.cookies, c)
		}
	}
}

// signIn opens a session with a password, and what else is given.
func (tn *town) signIn(agent parvis.AgentNumber, more ...parvis.ProofKind) parvis.Session {
	tn.Helper()
	proofs := []parvis.Proof{{Kind: parvis.Password, At: tn.clock.Now()}}
	for _, k := range more {
		proofs = append(proofs, parvis.Proof{Kind: k, At: tn.clock.Now()})
	}
	var token session.Token
	var s parvis.Session
	tn.write(func(tx *store.Tx) (err error) {
		token, s, err = tn.p.Sessions.Begin(tx, session.Beginning{Agent: agent, Origin: parvis.Origin{Channel: tn.channel}, Proofs: proofs})
		return err
	})
	w := httptest.NewRecorder()
	tn.p.Sessions.Give(w, token)
	tn.keep(w)
	return s
}

// raise adds a proof to a session.
func (tn *town) raise(s parvis.Session, kind parvis.ProofKind) {
	tn.Helper()
	var token session.Token
	tn.write(func(tx *store.Tx) (err error) {
		token, err = tn.p.Sessions.Raise(tx, s.ID, parvis.Proof{Kind: kind, At: tx.Now()})
		return err
	})
	w := httptest.NewRecorder()
	tn.p.Sessions.Give(w, token)
	tn.keep(w)
}

// leave ends a session as an agent does.
func (tn *town) leave(s parvis.Session) {
	tn.Helper()
	tn.write(func(tx *store.Tx) error { return tn.p.Sessions.End(tx, s.ID, "signed_out") })
	tn.cookies = nil
}

// do sends a request to the issuer of the entrance, with or without cookies.
func (tn *town) do(r *http.Request, browser bool) *httptest.ResponseRecorder {
	tn.Helper()
	if browser {
		for _, c := range tn.cookies {
			r.AddCookie(c)
		}
	}
	r.Host = strings.TrimPrefix(tn.issuer(), "http://")
	r = edge.WithOrigin(r, parvis.Origin{Channel: tn.channel})
	w := httptest.NewRecorder()
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'")
	tn.p.Handler().ServeHTTP(w, r)
	if browser {
		tn.keep(w)
	}
	return w
}

func (tn *town) get(path string) *httptest.ResponseRecorder {
	tn.Helper()
	return tn.do(httptest.NewRequest(http.MethodGet, path, nil), true)
}

// form posts as a program, or as a browser.
func (tn *town) form(path string, f url.Values, browser bool, change ...func(*http.Request)) *httptest.ResponseRecorder {
	tn.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(f.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range change {
		c(r)
	}
	return tn.do(r, browser)
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asks makes an authorization request; pairs change or remove parameters.
func asks(id string, pairs ...string) url.Values {
	q := url.Values{
		"client_id": {id}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile email"}, "state": {"s1"}, "nonce": {"n1"},
		"code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// authorize sends an authorization request as the browser does, and gives where
// it leads.
func (tn *town) authorize(q url.Values) *url.URL {
	tn.Helper()
	return tn.where(tn.get("/authorize?" + q.Encode()))
}

func (tn *town) where(w *httptest.ResponseRecorder) *url.URL {
	tn.Helper()
	if w.Code != http.StatusSeeOther {
		tn.Fatalf("status %d: %s", w.Code, w.Body)
	}
	u, err := url.Parse(w.Header().Get("Location"))
	tn.must(err)
	return u
}

// code asks for a code, which must be given.
func (tn *town) code(q url.Values) string {
	tn.Helper()
	u := tn.authorize(q)
	code := u.Query().Get("code")
	if code == "" {
		tn.Fatalf("no code: %s", u)
	}
	return code
}

type tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Scope   string `json:"scope"`
	Expires int    `json:"expires_in"`
	Error   string `json:"error"`
	Why     string `json:"error_description"`
}

func (tn *town) answer(w *httptest.ResponseRecorder) tokens {
	tn.Helper()
	var t tokens
	if err := json.Unmarshal(w.Body.Bytes(), &t); err != nil {
		tn.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return t
}

func redemption(id, code string, pairs ...string) url.Values {
	f := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}, "client_id": {id},
		"client_secret": {pass},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if f.Del(pairs[i]); pairs[i+1] != "" {
			f.Set(pairs[i], pairs[i+1])
		}
	}
	return f
}

// redeem exchanges a code, which must succeed.
func (tn *town) redeem(id, code string, pairs ...string) tokens {
	tn.Helper()
	w := tn.form("/token", redemption(id, code, pairs...), false)
	t := tn.answer(w)
	if w.Code != http.StatusOK || t.Access == "" {
		tn.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return t
}

func refreshing(id, token string, pairs ...string) url.Values {
	f := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {id}, "client_secret": {pass}}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

func (tn *town) refresh(id, token string) tokens {
	tn.Helper()
	return tn.answer(tn.form("/token", refreshing(id, token), false))
}

// userInfo asks about the agent.
func (tn *town) userInfo(token string) (int, map[string]any) {
	tn.Helper()
	r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := tn.do(r, false)
	var claims map[string]any
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		tn.must(json.Unmarshal(w.Body.Bytes(), &claims))
	}
	return w.Code, claims
}

// active asks whether a token is worth something.
func (tn *town) active(id, token string) bool {
	tn.Helper()
	w := tn.form("/introspect", url.Values{"token": {token}, "client_id": {id}, "client_secret": {pass}}, false)
	var said struct {
		Active bool `json:"active"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || w.Code != http.StatusOK {
		tn.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return said.Active
}

// claims checks a token against the published keys and reads it.
func (tn *town) claims(token string) map[string]any {
	tn.Helper()
	w := tn.get("/.well-known/jwks.json")
	var set goidc.JSONWebKeySet
	tn.must(json.Unmarshal(w.Body.Bytes(), &set))
	parsed, err := jwt.ParseSigned(token, []goidc.SignatureAlgorithm{goidc.ES256, goidc.RS256})
	tn.must(err)
	key, err := set.Key(parsed.Headers[0].KeyID)
	tn.must(err)
	var claims map[string]any
	tn.must(parsed.Claims(key.Key, &claims))
	return claims
}

// refused tells why a redirect to the client says no.
func refused(u *url.URL) string { return u.Query().Get("error") }
