package oidc

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/text"
)

// What the protocol hands out, in seconds of this machine: other programs read
// these times, and know no other clock.
const (
	codeSeconds   = 60 // RFC 9126 §2.2 and product.md section 5
	tokenSeconds  = 300
	pushedSeconds = 60
	deviceSeconds = 300 // the library's
	pollSeconds   = 5   // RFC 8628 §3.2
	proofSeconds  = 300 // a proof of possession or an assertion is no older
	skewSeconds   = 10

	offlineLasts = 90 * 24 * time.Hour // a grant that may outlive its session
	markLasts    = time.Hour           // how long somebody may take to sign in
	freshLasts   = 10 * time.Minute    // how old a proof may be that was asked for anew
)

// Provider is the OpenID provider. All fields are required but Log. It must not
// be copied once used.
type Provider struct {
	Store     *store.Store
	Keys      *seal.Keys
	Sessions  *session.Keeper
	Directory *directory.Directory
	Register  *apps.Register
	Door      *apps.Door
	Addresses *parvis.Addresses
	Words     *text.Catalog
	Edge      *edge.Edge
	Clock     func() time.Time
	Log       *slog.Logger
	HTTP      *http.Client // for the public keys of clients; see [apps.Outbound]

	// Show draws a page as those of the portal are.
	Show func(w http.ResponseWriter, r *http.Request, status int, draw func(text.Lang) page.Page) error
	// SignIn gives the address of the door that leads back to path.
	SignIn func(path string, app parvis.AppID, hint string) (string, error)
	// Prove gives the address where whoever is in reaches a level, or shows a
	// proof again, and comes back to path; with unmet=1 added when they do not.
	Prove func(path string, app parvis.AppID, level string) (string, error)

	once    sync.Once
	failed  error
	boxes   struct{ codes, marks, kept, consents, devices, leaves *seal.Box } // what is sealed serves one purpose
	issuers map[string]*issuer                                                // by address
	spent   spent                                                             // what was shown once, in this process
	polled  lately                                                            // when each device asked last
	typed   lately                                                            // codes of devices that were typed wrong
	begun   lately                                                            // devices that began, by network
	ring    keyring
	remote  remoteKeys
}

func (p *Provider) ready() error {
	p.once.Do(func() {
		if p.Log == nil {
			p.Log = slog.New(slog.DiscardHandler)
		}
		p.boxes.codes, p.boxes.marks = p.Keys.Box("oidc-code"), p.Keys.Box("oidc-mark")
		p.boxes.kept, p.boxes.consents = p.Keys.Box("oidc"), p.Keys.Box("oidc-consent")
		p.boxes.devices, p.boxes.leaves = p.Keys.Box("oidc-device"), p.Keys.Box("oidc-leave")
		p.issuers = map[string]*issuer{}
		for _, ch := range parvis.Channels() {
			address := p.Addresses.Portal(ch)
			if address == "" || p.issuers[address] != nil {
				continue
			}
			if p.issuers[address], p.failed = p.issuer(address); p.failed != nil {
				return
			}
		}
	})
	return p.failed
}

// Refresh makes sure that the protocol can be served; of the register nothing is
// kept here, each request asks it. The error is that of a build or a key store
// that cannot serve.
func (p *Provider) Refresh() error { return p.ready() }

// shares tells whether pages of an origin are those of a public client, which
// redeems and asks in a browser.
func (p *Provider) shares(origin string) bool {
	for _, app := range p.Register.All() {
		if app.OIDC == nil || app.OIDC.Auth != parvis.PublicClient {
			continue
		}
		for _, address := range app.OIDC.Redirects {
			u, err := url.Parse(address)
			if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Scheme+"://"+u.Host == origin {
				return true
			}
		}
	}
	return false
}

// client gives an application that speaks this protocol.
func (p *Provider) client(id string) (parvis.App, bool) {
	app, ok := p.Register.App(parvis.AppID(id))
	return app, ok && app.OIDC != nil
}

// at gives the issuer of the host that was asked.
func (p *Provider) at(r *http.Request) *issuer {
	ch, app, ok := p.Addresses.Find(r.Host)
	if !ok || app != "" {
		return nil
	}
	return p.issuers[p.Addresses.Portal(ch)]
}

// note tells the owner of an application what went wrong, in words.
func (p *Provider) note(app parvis.AppID, code, why string) {
	p.Register.Note(app, apps.Trouble{Protocol: parvis.OIDC, Code: code, Text: why})
}

// now is the moment on this machine's clock, in seconds since 1970: the one that
// other programs have too.
func now() int64 { return time.Now().Unix() }

// proved is when somebody last showed who they are, on this machine's clock: what
// the city's clock says of its age is true of it.
func (p *Provider) proved(s *parvis.Session) (machine int64, city time.Time) {
	city = fresh(s)
	return now() - int64(max(0, p.Clock().Sub(city))/time.Second), city
}

// fresh is when a session was last proved by what begins one.
func fresh(s *parvis.Session) time.Time {
	at := time.Time{}
	for _, proof := range s.Proofs {
		if slices.Contains([]parvis.ProofKind{parvis.Password, parvis.Passkey, parvis.Verifier}, proof.Kind) && proof.At.After(at) {
			at = proof.At
		}
	}
	if at.IsZero() {
		return s.Began
	}
	return at
}
