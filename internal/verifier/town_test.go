package verifier

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

const (
	alex  parvis.AgentNumber = "A100001"
	sacha parvis.AgentNumber = "A100002"

	clientID     = "parvis"
	clientSecret = "a secret / of 30+ signs: % & é"
	somebody     = "citizen-1"
	bearer       = "an-access-token"
)

// outside is a provider of accounts that does what it should, until a test has
// it do something else.
type outside struct {
	*httptest.Server
	clock *storetest.Clock

	issuer string
	auth   string // how its client says who it is

	mu    sync.Mutex
	codes map[string]grant
	asked map[string]int // requests, by path

	// What it does otherwise; nil for nothing.
	front  func(back url.Values)
	claims func(claims map[string]any)
	text   func(text string) string // of the ID token, before it is signed
	sign   func(payload []byte) string
	token  func(answer map[string]any)
	user   func(w http.ResponseWriter, subject string)
	serve  map[string]http.HandlerFunc // by path
	meta   func(meta map[string]any)
	jwks   func() []jose.JSONWebKey
	assert func(r *http.Request) bool // its client is who they say
}

// grant is what a code stands for.
type grant struct{ challenge, redirect, nonce string }

// A key is made once: that takes time.
var (
	elliptical = sync.OnceValue(func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
	foreign = sync.OnceValue(func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
	prime = sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	})
)

func public(key any, kid string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"}
}

func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked[r.URL.Path]++
	other := o.serve[r.URL.Path]
	o.mu.Unlock()
	if other != nil {
		other(w, r)
		return
	}
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		meta := map[string]any{
			"issuer": o.issuer, "authorization_endpoint": o.issuer + "/authorize", "token_endpoint": o.issuer + "/token", "jwks_uri": o.issuer + "/keys",
			"userinfo_endpoint": o.issuer + "/userinfo", "end_session_endpoint": o.issuer + "/logout?of=parvis",
			"authorization_response_iss_parameter_supported": true,
		}
		if o.meta != nil {
			o.meta(meta)
		}
		answer = meta
	case "/keys":
		keys := []jose.JSONWebKey{public(prime().Public(), "rsa"), public(elliptical().Public(), "ec")}
		if o.jwks != nil {
			keys = o.jwks()
		}
		answer = jose.JSONWebKeySet{Keys: keys}
	case "/token":
		answer = o.exchange(r)
		if answer == nil {
			w.WriteHeader(http.StatusBadRequest)
			answer = map[string]any{"error": "invalid_grant", "error_description": "<b>not for people</b>"}
		}
	case "/userinfo":
		if r.Header.Get("Authorization") != "Bearer "+bearer {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if o.user != nil {
			o.user(w, somebody)
			return
		}
		answer = map[string]any{"sub": somebody, "email_verified": true, "name": "Not Ours To Know"}
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// exchange is the token endpoint: it gives nothing but for a code of its own,
// once, to the client it was made for, that holds the key of the question.
func (o *outside) exchange(r *http.Request) any {
	code := r.PostFormValue("code")
	o.mu.Lock()
	g, ok := o.codes[code]
	delete(o.codes, code)
	o.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || g.redirect != r.PostFormValue("redirect_uri") ||
		r.PostFormValue("grant_type") != "authorization_code" || !o.knows(r) {
		return nil
	}
	now := o.clock.Now()
	claims := map[string]any{
		"iss": o.issuer, "aud": clientID, "sub": somebody, "nonce": g.nonce, "acr": "eidas1",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "auth_time": now.Unix(),
	}
	if o.claims != nil {
		o.claims(claims)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil
	}
	if o.text != nil {
		payload = []byte(o.text(string(payload)))
	}
	sign := o.sign
	if sign == nil {
		sign = func(payload []byte) string { return signed(jose.ES256, elliptical(), "ec", payload) }
	}
	answer := map[string]any{"access_token": bearer, "token_type": "Bearer", "expires_in": 60, "id_token": sign(payload)}
	if o.token != nil {
		o.token(answer)
	}
	return answer
}

func (o *outside) knows(r *http.Request) bool {
	if o.assert != nil {
		return o.assert(r)
	}
	id, secret, ok := r.BasicAuth()
	if o.auth == "client_secret_post" {
		return !ok && r.PostFormValue("client_id") == clientID && r.PostFormValue("client_secret") == clientSecret
	}
	// RFC 6749 §2.3.1: both are form-encoded first.
	return ok && id == url.QueryEscape(clientID) && secret == url.QueryEscape(clientSecret) && r.PostFormValue("client_secret") == ""
}

// signed is a compact JWS; key may be anything that go-jose signs with.
func signed(alg jose.SignatureAlgorithm, key any, kid string, payload []byte) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		panic(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// times tells how often a path was asked for.
func (o *outside) times(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[path]
}

// instead has another answer given at a path; nil for the right one again.
func (o *outside) instead(path string, h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.serve[path] = h
}

// visit is somebody who signs in there; it gives what their browser brings back.
func (o *outside) visit(t testing.TB, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, o.issuer+"/authorize?") {
		t.Fatalf("sent to %q", address)
	}
	q := u.Query()
	code, _ := seal.Token()
	o.mu.Lock()
	o.codes[code] = grant{challenge: q.Get("code_challenge"), redirect: q.Get("redirect_uri"), nonce: q.Get("nonce")}
	o.mu.Unlock()
	back := url.Values{"state": {q.Get("state")}, "code": {code}, "iss": {o.issuer}}
	if o.front != nil {
		o.front(back)
	}
	return back
}

func newOutside(t testing.TB, clock *storetest.Clock) *outside {
	t.Helper()
	o := &outside{clock: clock, codes: map[string]grant{}, asked: map[string]int{}, serve: map[string]http.HandlerFunc{}}
	o.Server = httptest.NewServer(o)
	o.issuer = o.URL
	t.Cleanup(o.Close)
	return o
}

// town is a place with agents who have accounts elsewhere.
type town struct {
	testing.TB
	store *store.Store
	clock *storetest.Clock
	keys  *seal.Keys
	link  *Link
	there *outside // of the turn that is played
}

func open(t testing.TB, s *store.Store, clock *storetest.Clock) *town {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	keys, err := seal.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &town{TB: t, store: s, clock: clock, keys: keys}
	var agents []*parvis.Agent
	for _, number := range []parvis.AgentNumber{alex, sacha} {
		agents = append(agents, &parvis.Agent{Number: number, FamilyName: "Martin", GivenNames: "Alex", ContractFrom: clock.Now().AddDate(-1, 0, 0)})
	}
	err = s.Write(t.Context(), func(tx *store.Tx) error {
		for _, a := range agents {
			tx.Record(parvis.Event{Kind: "agent.imported", Agent: a.Number, Actor: "system"})
		}
		return tx.PutAgents(t.Context(), agents)
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// on gives the same town to a test within the test.
func (w *town) on(t testing.TB) *town {
	sub := *w
	sub.TB, sub.link = t, nil
	return &sub
}

// knows declares providers, as their operator would.
func (w *town) knows(providers ...Provider) *Link {
	w.Helper()
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{
		parvis.Internal: "http://agents.localhost:8080", parvis.Mobile: "http://nomade.localhost:8081",
	})
	if err != nil {
		w.Fatal(err)
	}
	w.link = &Link{
		Store: w.store, Keys: w.keys, Clock: w.clock.Now, Addresses: addresses, Providers: providers,
	}
	return w.link
}

// of is the usual declaration of a provider.
func (o *outside) of(change func(*Provider)) Provider {
	p := Provider{ID: "compte", Issuer: o.issuer, ClientID: clientID, ClientSecret: clientSecret, Auth: o.auth}
	if change != nil {
		change(&p)
	}
	return p
}

func (w *town) leave(d Departure) (string, string) {
	w.Helper()
	address, cookie, err := w.link.Leave(w.Context(), w.full(d))
	if err != nil {
		w.Fatal(err)
	}
	return address, cookie.Reveal()
}

// full fills in what a test does not care about.
func (w *town) full(d Departure) Departure {
	if d.Provider == "" {
		d.Provider = "compte"
	}
	if d.Agent == "" {
		d.Agent = alex
	}
	if d.Purpose == "" {
		d.Purpose = purposeProve
	}
	if d.Origin.Channel == "" {
		d.Origin = street()
	}
	return d
}

func street() parvis.Origin {
	return parvis.Origin{Channel: parvis.Mobile, Address: "198.51.100.7"}
}

func (w *town) back(query url.Values, cookie string, from parvis.Origin) Answer {
	w.Helper()
	a, err := w.link.Return(w.Context(), Arrival{Query: query, Cookie: cookie, Origin: from})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// trip goes there and back.
func (w *town) trip(o *outside, d Departure) Answer {
	w.Helper()
	address, cookie := w.leave(d)
	return w.back(o.visit(w, address), cookie, w.full(d).Origin)
}

// events lists what was recorded of a kind, the newest first.
func (w *town) events(kind string) []parvis.Event {
	w.Helper()
	all, err := w.store.Events(context.WithoutCancel(w.Context()), store.EventFilter{Kind: kind, Latest: true, Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	return all
}
