package verifier

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

const (
	kindVerifier = "verifier"
	tripGood     = 10 * time.Minute
	defaultSkew  = time.Minute
	returnPath   = "/verifier/return"
	leavePath    = "/verifier" // where one stands again after signing out over there
)

// Why one leaves: to tie an account, to show the tied one, to tie another
// instead of it.
const (
	purposeLink    = "link"
	purposeProve   = "prove"
	purposeReplace = "replace"
)

// Provider is one outside account service, as the organisation declared it.
// Issuer and ClientID are required.
type Provider struct {
	ID                  string
	Issuer              string // exactly as the provider writes it; https, or http on this machine
	ClientID            string
	ClientSecret        seal.Secret
	Auth                string // client_secret_basic (also when empty), client_secret_post, private_key_jwt
	Label, Owner, Delay parvis.Words
	Host                string   // the name people see in their browser over there
	Recovery, Create    string   // addresses shown to people
	ACR                 []string // the levels to ask for; none: those of Levels
	Levels              []string // the levels accepted, weakest first; none: any
	MaxAge              time.Duration
	Scopes              []string // besides openid
	UserInfoSigned      bool
	UserInfoEncrypted   bool
	EmailVerified       bool     // the provider must say that it has confirmed an address
	Locked              []string // error codes that mean a locked account, besides account_locked
}

// Link is the client of every provider. Store, Keys, Clock, Providers and
// Addresses are required. It must not be copied once used.
type Link struct {
	Store     *store.Store
	Keys      *seal.Keys
	Clock     func() time.Time
	Log       *slog.Logger // nil: nothing is logged
	Providers []Provider
	Addresses *parvis.Addresses
	HTTP      *http.Client  // its Transport is used; nil: one that never connects to an address of this machine under another name
	Skew      time.Duration // how far the clocks may differ; 0 for 60 s

	mu      sync.Mutex
	remotes map[string]*remote
	own     ownKeys
}

// Departure is somebody who leaves for a provider. Purpose is "link", "prove"
// or "replace". Session and Flow say what they were doing, Return where they
// go afterwards: all of it comes back in [Answer]. Level is the least one of
// the provider's Levels; empty for any of them.
type Departure struct {
	Provider string
	Agent    parvis.AgentNumber
	Purpose  string
	Session  parvis.SessionID
	Flow     string
	Browser  string // the verifier's cookie as the browser has it: several tabs share one
	Origin   parvis.Origin
	Return   string
	Level    string
	Lang     string
	Again    bool // ask for the sign-in page even where somebody is in: « Changer de compte »
}

// Arrival is what a browser brings back. Nothing in it is believed.
type Arrival struct {
	Query  url.Values
	Cookie string
	Origin parvis.Origin
}

// Answer is what came of it. Reason has no code when all is well; then Issuer,
// Subject and Level are the provider's word, AuthTime when the provider says
// the person signed in, if it does, and Masked what may be shown of the
// account. Departure and Provider are zero when the return belongs to nobody.
type Answer struct {
	Reason    parvis.Reason
	Departure Departure
	Provider  Provider
	Issuer    string
	Subject   string
	Level     string
	AuthTime  time.Time
	Masked    string
}

// trip is what a flow keeps of a departure. Secrets are sealed for that flow.
type trip struct {
	Provider string           `json:"provider"`
	Purpose  string           `json:"purpose"`
	Session  parvis.SessionID `json:"session"`
	Flow     string           `json:"flow,omitempty"`
	Return   string           `json:"return,omitempty"`
	Level    string           `json:"level,omitempty"`
	Lang     string           `json:"lang,omitempty"`
	Sealed   []byte           `json:"sealed"`
}

// secrets are shown to the provider alone.
type secrets struct {
	Nonce string `json:"n"`
	PKCE  string `json:"p"`
}

// Leave gives the address to go to and the cookie to set. It asks the provider
// first, at most once a minute: an error of [parvis.CodeUnavailable] says that
// it does not answer. [parvis.CodeInvalid] when there is no such provider,
// purpose or entrance.
func (l *Link) Leave(ctx context.Context, d Departure) (address string, cookie seal.Secret, err error) {
	const op = "verifier.Leave"
	r := l.remote(d.Provider)
	back := l.Addresses.Portal(d.Origin.Channel)
	switch {
	case r == nil, back == "", d.Agent == "", !slices.Contains([]string{purposeLink, purposeProve, purposeReplace}, d.Purpose),
		d.Level != "" && !slices.Contains(r.p.Levels, d.Level):
		return "", "", &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: fmt.Errorf("provider %q, purpose %q, entrance %q, level %q", d.Provider, d.Purpose, d.Origin.Channel, d.Level)}
	}
	meta, err := r.discover(ctx, freshToLeave)
	if err != nil {
		l.log().WarnContext(ctx, "a verifier does not answer", "provider", d.Provider, "err", err)
		return "", "", &parvis.Error{Code: parvis.CodeUnavailable, Op: op, Err: err}
	}
	state, hash := seal.Token()
	nonce, _ := seal.Token()
	private := secrets{Nonce: nonce, PKCE: oauth2.GenerateVerifier()}
	secret := d.Browser
	if !wellFormed(secret) {
		secret, _ = seal.Token()
	}
	f := store.Flow{
		ID: flowID(hash), Kind: kindVerifier, Agent: d.Agent, Browser: seal.Hash(secret), Channel: d.Origin.Channel,
	}
	if f.Data, err = l.pack(f.ID, d, private); err != nil {
		return "", "", err
	}
	err = l.Store.Write(ctx, func(tx *store.Tx) error {
		f.Created, f.Expires = tx.Now(), tx.Now().Add(tripGood)
		tx.Record(event("verifier.left", f.Agent, d.Origin, map[string]string{"provider": d.Provider, "purpose": d.Purpose}))
		return tx.PutFlow(ctx, f)
	})
	if err != nil {
		return "", "", err
	}
	return r.oauth(meta, back).AuthCodeURL(state, r.asked(d, private)...), seal.Secret(secret), nil
}

// asked are the parameters besides those of every request.
func (r *remote) asked(d Departure, private secrets) []oauth2.AuthCodeOption {
	options := []oauth2.AuthCodeOption{oidc.Nonce(private.Nonce), oauth2.S256ChallengeOption(private.PKCE)}
	set := func(name, value string) {
		if value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	levels := r.p.ACR
	if len(levels) == 0 {
		levels = r.p.Levels
	}
	if d.Level != "" {
		levels = r.p.Levels[slices.Index(r.p.Levels, d.Level):]
	}
	// Always said when known: FranceConnect+ reads its absence as the highest.
	set("acr_values", strings.Join(levels, " "))
	if r.p.MaxAge > 0 {
		set("max_age", strconv.Itoa(int(r.p.MaxAge/time.Second)))
	}
	set("ui_locales", d.Lang)
	if d.Again {
		set("prompt", "login")
	}
	return options
}

// oauth is the configuration for an entrance: the way back is made here, to
// the letter, never from what a request claims (RFC 9700 §2.1).
func (r *remote) oauth(meta *metadata, portal string) *oauth2.Config {
	c := &oauth2.Config{
		ClientID: r.p.ClientID, RedirectURL: portal + returnPath, Scopes: []string{oidc.ScopeOpenID},
		Endpoint: oauth2.Endpoint{AuthURL: meta.Authorize, TokenURL: meta.Token, AuthStyle: oauth2.AuthStyleInHeader},
	}
	switch r.p.Auth {
	case "private_key_jwt":
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	case "client_secret_post":
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		c.ClientSecret = r.p.ClientSecret.Reveal()
	default:
		c.ClientSecret = r.p.ClientSecret.Reveal()
	}
	scopes := r.p.Scopes
	if r.p.EmailVerified {
		scopes = append(slices.Clone(scopes), oidc.ScopeEmail)
	}
	for _, s := range scopes {
		if !slices.Contains(c.Scopes, s) {
			c.Scopes = append(c.Scopes, s)
		}
	}
	return c
}

// pack writes what a flow keeps.
func (l *Link) pack(id string, d Departure, private secrets) (string, error) {
	plain, err := json.Marshal(private)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(trip{
		Provider: d.Provider, Purpose: d.Purpose, Session: d.Session, Flow: d.Flow, Return: d.Return,
		Level: d.Level, Lang: d.Lang, Sealed: l.Keys.Box("verifier flow").Seal(plain, id),
	})
	return string(data), err
}

// unpack reads it back.
func (l *Link) unpack(f store.Flow, from parvis.Origin) (Departure, secrets, error) {
	var t trip
	if err := json.Unmarshal([]byte(f.Data), &t); err != nil {
		return Departure{}, secrets{}, err
	}
	plain, err := l.Keys.Box("verifier flow").Open(t.Sealed, f.ID)
	if err != nil {
		return Departure{}, secrets{}, err
	}
	var private secrets
	if err := json.Unmarshal(plain, &private); err != nil {
		return Departure{}, secrets{}, err
	}
	return Departure{
		Provider: t.Provider, Agent: f.Agent, Purpose: t.Purpose, Session: t.Session, Flow: t.Flow,
		Origin: from, Return: t.Return, Level: t.Level, Lang: t.Lang,
	}, private, nil
}

// flowID names a flow by the hash of its state: who reads the table cannot
// come back in somebody's place.
func flowID(hash [32]byte) string { return hex.EncodeToString(hash[:]) }

// wellFormed tells whether s has the shape of what [seal.Token] makes.
func wellFormed(s string) bool {
	return len(s) == 43 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_'
	})
}

// bound tells whether a flow belongs to the browser that has this cookie.
func bound(f store.Flow, cookie string) bool {
	hash := seal.Hash(cookie)
	return wellFormed(cookie) && subtle.ConstantTimeCompare(hash[:], f.Browser[:]) == 1
}

func event(kind string, agent parvis.AgentNumber, from parvis.Origin, detail map[string]string) parvis.Event {
	return parvis.Event{
		Kind: kind, Agent: agent, Actor: string(agent), Channel: from.Channel, Address: from.Address, Detail: detail,
	}
}

func (l *Link) log() *slog.Logger {
	if l.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l.Log
}

func (l *Link) skew() time.Duration {
	if l.Skew <= 0 {
		return defaultSkew
	}
	return l.Skew
}

// remote gives what is known of a provider; nil when there is none, or when it
// is declared at an address where anybody could answer in its place.
func (l *Link) remote(id string) *remote {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.remotes[id]; r != nil {
		return r
	}
	i := slices.IndexFunc(l.Providers, func(p Provider) bool { return p.ID == id })
	if i < 0 || secure(l.Providers[i].Issuer) != nil || l.Providers[i].ClientID == "" {
		return nil
	}
	r := &remote{p: l.Providers[i], clock: l.Clock, client: l.client()}
	if l.remotes == nil {
		l.remotes = map[string]*remote{}
	}
	l.remotes[id] = r
	return r
}

// Down tells whether our last try to reach a provider failed, less than a
// minute ago.
func (l *Link) Down(provider string) bool {
	r := l.remote(provider)
	return r != nil && r.down()
}

// SignOut gives the address at which somebody ends their session over there
// and comes back to the page before leaving (OpenID Connect RP-Initiated
// Logout 1.0 §2); empty when the provider offers none, or was not asked yet.
func (l *Link) SignOut(provider string, from parvis.Channel) string {
	r := l.remote(provider)
	if r == nil {
		return ""
	}
	end := r.endSession()
	u, err := url.Parse(end)
	if err != nil || end == "" {
		return ""
	}
	q := u.Query()
	q.Set("client_id", r.p.ClientID)
	if portal := l.Addresses.Portal(from); portal != "" {
		q.Set("post_logout_redirect_uri", portal+leavePath)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

var errNobody = errors.New("an answer that vouches for nobody")
