// Package moncompte is the embedded verifier: "Mon Compte", a small OpenID
// provider for installations that have no outside one. It has its own host,
// accounts, sessions, tables and look, so that nobody takes it for the agents'
// portal; the two meet over HTTP alone.
//
// It promises:
//   - OpenID Connect by the code flow with PKCE S256, for the clients that are
//     configured and no other; a code, an interaction and a link serve once;
//   - a password is checked by the vault's bounded pool; the waits after wrong
//     ones end by themselves, and are the same for an address that nobody has;
//   - nothing tells whether an address has an account: same answers, same
//     bytes, same work;
//   - opening a page or a link changes nothing; what changes is posted, from
//     this host's own pages;
//   - what was begun in a browser ends in that browser.
//
// It refuses to know agents and the portal. Events never hold an address or a
// name: a keyed MAC stands for them. A client learns a random subject, the
// address when it asks for it, and nothing else.
//
// The site map is [Service.Handler]. A pending sign-in of a client is not kept:
// it travels sealed in the address, so that asking costs no write.
//
//	sign in   signin.go   ladder.go            protocol  openid.go keep.go hint.go
//	accounts  create.go recover.go account.go  keys      keys.go
//	mail      letter.go                        look      visit.go screens.go
package moncompte

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/provider"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/notify"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// Client is a site that may ask who somebody is. It shows its secret with
// client_secret_basic. Redirects and LogoutRedirects are compared sign by sign.
type Client struct {
	ID              string
	Secret          seal.Secret
	Name            parvis.Words // as people read it
	Redirects       []string
	LogoutRedirects []string
	SignedUserInfo  bool // UserInfo as a signed JWT
	RS256           bool // ID tokens signed with RS256 instead of ES256
}

// Service is the embedded verifier. The first group is required. It must not
// be copied once used.
type Service struct {
	Store   *store.Store
	Keys    *seal.Keys
	Vault   *credential.Vault
	Outbox  *notify.Outbox
	Catalog *text.Catalog
	Clock   func() time.Time
	Log     *slog.Logger
	Address string // "https://moncompte.example.org": the issuer, without a final slash
	Clients []Client

	Label parvis.Words // "Mon Compte" when empty
	Lang  text.Lang    // when a browser asks for neither; French when empty

	// Peer tells from which address a request comes; the connection's when nil.
	// Behind a proxy it must be set, or everybody shares one network's limits.
	Peer func(*http.Request) string

	once   sync.Once
	host   string
	secure bool
	policy string // Content-Security-Policy
	assets [2]*page.Assets
	words  [2]page.Words
	asked  *seal.Box // interactions of clients, in addresses
	leave  *seal.Box // sign-outs that a client asked for, in addresses
	carry  *seal.Box // what waits with a code
	known  *seal.Box // browsers that signed in
	kept   *seal.Box // documents in the database
	ring   keyring
	openid *provider.Provider
}

// maxForm bounds the body of anything sent: forms are small.
const maxForm = 64 << 10

// Limits of a connection, as at the portals' entrances.
const (
	formWait = 15 * time.Second
	pageWait = time.Minute
)

// Handler is the site map. It refuses a configuration that could not work or
// would not be safe.
func (s *Service) Handler() (http.Handler, error) {
	var err error
	s.once.Do(func() { err = s.prepare() })
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "moncompte.Handler", Err: err}
	}
	if s.openid == nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "moncompte.Handler", Err: errors.New("it was refused before")}
	}
	mux := http.NewServeMux()
	open := func(pattern string, f act) { mux.Handle(pattern, s.handle(f)) }
	mine := func(pattern string, f act) { mux.Handle(pattern, s.handle(s.mine(f))) }

	// Accounts.
	open("GET /{$}", s.getHome)
	open("GET /signin", s.getSignin)
	open("POST /signin", s.postSignin)
	open("GET /create", s.getCreate)
	open("POST /create", s.postCreate)
	open("GET /confirm", s.getConfirm)
	open("POST /confirm", s.postConfirm)
	open("POST /confirm/again", s.postAgain)
	open("GET /recover", s.getRecover)
	open("POST /recover", s.postRecover)
	open("GET /recover/new", s.getRenew)
	open("POST /recover/new", s.postRenew)
	mine("GET /password", s.getPassword)
	mine("POST /password", s.postPassword)
	open("POST /signout", s.postSignout)
	open("GET /lang", s.getLang)
	open("POST /theme", s.postTheme)

	// OpenID Connect.
	op := s.openid.Handler()
	mux.Handle("GET /.well-known/openid-configuration", discovery(op))
	mux.Handle("GET /jwks", op)
	mux.Handle("POST /token", s.protocol(op, "Basic"))
	mux.Handle("GET /userinfo", s.protocol(op, "Bearer"))
	mux.Handle("POST /userinfo", s.protocol(op, "Bearer"))
	open("GET /authorize", s.authorize(op))
	open("POST /authorize", s.reauthorize)
	open("GET /authorize/{interaction}", s.resume(op))
	open("POST /authorize/{interaction}/cancel", s.resume(op))
	open("GET /logout", s.logout(op))
	open("POST /logout", s.logout(op))
	open("POST /logout/{interaction}", s.logout(op))

	// What is the same for everybody.
	mux.Handle("GET /assets/", http.HandlerFunc(s.serveAssets))
	mux.Handle("GET /sw.js", http.HandlerFunc(s.serveAssets))
	mux.Handle("GET /manifest.webmanifest", http.HandlerFunc(s.serveAssets))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	open("GET /offline", s.getOffline)

	missing := s.handle(func(http.ResponseWriter, *http.Request, *visit) error {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "moncompte"}
	})
	mux.Handle("/", missing)
	return s.around(mux, missing), nil
}

// around is what every request passes first.
func (s *Service) around(mux, missing http.Handler) http.Handler {
	protect := http.NewCrossOriginProtection()
	// OpenID Connect Core 3.1.2.1 and RP-Initiated Logout 2: other sites may post
	// there. Neither changes anything: the first leads to its own GET, the second
	// asks the person.
	protect.AddInsecureBypassPattern("POST /authorize")
	protect.AddInsecureBypassPattern("POST /logout")
	protect.SetDenyHandler(s.handle(func(http.ResponseWriter, *http.Request, *visit) error {
		return &parvis.Error{Code: parvis.CodeRefused, Op: "moncompte.crossOrigin"}
	}))
	inside := protect.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would lead to the tidy form of a path with 307, which repeats
		// what was posted (RFC 9700 §4.12).
		if tidy := path.Clean(r.URL.Path); tidy != r.URL.Path && tidy+"/" != r.URL.Path {
			missing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.guard(w.Header())
		// RFC 9110 §15.5.20: from a name that is not ours nothing is ever built.
		if !strings.EqualFold(r.Host, s.host) {
			http.Error(w, "misdirected request", http.StatusMisdirectedRequest)
			return
		}
		defer s.recovered(w, r)
		conn := http.NewResponseController(w)
		_ = conn.SetReadDeadline(time.Now().Add(formWait)) // recorders in tests have none
		_ = conn.SetWriteDeadline(time.Now().Add(pageWait))
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		inside.ServeHTTP(w, r)
	})
}

// guard sets the headers of every answer, those of the portals' edge (ASVS 3.4).
func (s *Service) guard(h http.Header) {
	h.Set("Content-Security-Policy", s.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // above all, no link of a mail in a Referer field
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
	if s.secure {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}

// prepare checks the configuration and makes what never changes.
func (s *Service) prepare() error {
	if s.Store == nil || s.Keys == nil || s.Vault == nil || s.Outbox == nil || s.Catalog == nil || s.Clock == nil {
		return errors.New("a required field is not set")
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	own, err := origin(s.Address)
	if err != nil || own != s.Address {
		return errors.New("the address must be a scheme and a host, nothing after it")
	}
	scheme, host, _ := strings.Cut(own, "://")
	s.host, s.secure = host, scheme == "https"
	// A form may end at a client, because browsers hold form-action against the
	// redirect that answers it too.
	targets := []string{"'self'"}
	for _, c := range s.Clients {
		if c.ID == "" || len(c.Secret) < 32 || len(c.Redirects) == 0 {
			return errors.New("a client needs a name, a secret of 32 signs or more, and an address to return to")
		}
		for _, address := range append(append([]string{}, c.Redirects...), c.LogoutRedirects...) {
			target, err := origin(address)
			if err != nil || strings.Contains(address, "#") {
				return errors.New("a client has an address that cannot be returned to")
			}
			targets = append(targets, target)
		}
	}
	s.policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action " + strings.Join(distinct(targets), " ") +
		"; frame-ancestors 'none'; base-uri 'none'"
	s.asked, s.leave = s.Keys.Box("citizen interaction"), s.Keys.Box("citizen sign-out")
	s.carry = s.Keys.Box("citizen code")
	s.known, s.kept = s.Keys.Box("citizen browser"), s.Keys.Box("citizen document")
	if s.Lang == "" {
		s.Lang = text.French
	}
	if s.Label == (parvis.Words{}) {
		s.Label = parvis.Words{FR: s.Catalog.Say(text.French, "moncompte.name", nil), EN: s.Catalog.Say(text.English, "moncompte.name", nil)}
	}
	if err := s.dress(); err != nil {
		return err
	}
	s.openid, err = s.provider()
	return err
}

// origin gives the scheme and host of an address.
func origin(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("not an address")
	}
	return u.Scheme + "://" + u.Host, nil
}

func distinct(list []string) []string {
	seen := map[string]bool{}
	var all []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	return all
}
