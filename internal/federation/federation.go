package federation

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// Federation answers applications that speak CAS or SAML. All fields but Log are
// required. It must not be copied once used.
type Federation struct {
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

	// The voice of the portal. Show draws a page as its own are. SignIn gives the
	// address of the door that leads back to a path, Prove that where whoever is in
	// shows what reaches a level (domain.md 3.1) and comes back to the path, with
	// unmet=1 added when they cannot or will not.
	Show   func(w http.ResponseWriter, r *http.Request, status int, draw func(text.Lang) page.Page) error
	SignIn func(path string, app parvis.AppID, hint string) (string, error)
	Prove  func(path string, app parvis.AppID, level string) (string, error)

	once    sync.Once
	table   atomic.Pointer[table]
	marks   *seal.Box // since when a fresh proof counts
	tickets *seal.Box // of CAS
	asked   *seal.Box // requests of SAML, while somebody signs in
	leaves  *seal.Box // … to sign out, which were signed: never the same as those
	agrees  *seal.Box // what the page of a consent sends back
	kept    *seal.Box // what is kept: keys, and how to tell that a grant ended
	ring    keyring
	printed printed          // metadata
	ration  ration           // of what strangers may have signed
	machine func() time.Time // the machine's clock; a test may hold it still
}

// table is what the applications declare, read once.
type table struct {
	rules   []casRule
	parties map[string]*party // by entity identifier
	byApp   map[parvis.AppID]*party
}

func (f *Federation) ready() {
	f.once.Do(func() {
		if f.Log == nil {
			f.Log = slog.New(slog.DiscardHandler)
		}
		f.marks, f.tickets = f.Keys.Box("federation-mark"), f.Keys.Box("cas-ticket")
		f.asked, f.leaves, f.agrees = f.Keys.Box("saml-request"), f.Keys.Box("saml-logout"), f.Keys.Box("federation-consent")
		f.kept = f.Keys.Box("federation")
	})
}

// Refresh reads again what the applications of the Register declare. Call it
// whenever they change; the first request does otherwise.
func (f *Federation) Refresh() {
	f.ready()
	t := &table{parties: map[string]*party{}, byApp: map[parvis.AppID]*party{}}
	for _, app := range f.Register.All() {
		if app.CAS != nil {
			for _, declared := range app.CAS.Services {
				if rule, ok := newRule(app.ID, declared); ok {
					t.rules = append(t.rules, rule)
				} else {
					f.Log.Warn("a CAS service that cannot be told from others answers nobody", "app", app.ID, "service", declared)
				}
			}
		}
		if app.SAML == nil {
			continue
		}
		p, err := newParty(app)
		if err == nil && t.parties[p.entity] != nil {
			f.Log.Warn("two applications have one SAML entity", "app", app.ID, "other", t.parties[p.entity].app)
			continue
		}
		if err != nil {
			f.Log.Warn("the SAML metadata of an application cannot be used", "app", app.ID, "cause", err)
			continue
		}
		t.parties[p.entity], t.byApp[app.ID] = p, p
	}
	f.table.Store(t)
}

func (f *Federation) known() *table {
	if t := f.table.Load(); t != nil {
		return t
	}
	f.Refresh()
	return f.table.Load()
}

// route is one path of the package.
type route struct {
	pattern string
	person  bool // a browser with a session, at the address of its entrance
	answer  func(*Federation, http.ResponseWriter, *http.Request, parvis.Channel) error
}

// routes is the site map.
func routes() []route {
	return []route{
		{"GET /cas/login", true, (*Federation).getCASLogin},
		{"GET /cas/logout", true, (*Federation).getCASLogout},
		{"POST /cas/logout", true, (*Federation).postCASLogout},
		{"GET /cas/validate", false, (*Federation).getValidate},
		{"GET /cas/serviceValidate", false, (*Federation).getValidate},
		{"GET /cas/proxyValidate", false, (*Federation).getValidate},
		{"GET /cas/p3/serviceValidate", false, (*Federation).getValidate},
		{"GET /cas/p3/proxyValidate", false, (*Federation).getValidate},
		{"GET /saml/metadata", false, (*Federation).getMetadata},
		{"GET /saml/sso", true, (*Federation).getSSO},
		{"POST /saml/sso", true, (*Federation).postSSO},
		{"GET /saml/slo", true, (*Federation).getSLO},
		{"POST /saml/slo", true, (*Federation).postSLO},
		{"POST " + consentPath, true, (*Federation).postConsent},
	}
}

// Serves tells whether a path is one of those answered here. Posts to /saml/sso
// and /saml/slo come from other sites: the edge must let them through, and those
// alone.
func (f *Federation) Serves(path string) bool {
	return slices.ContainsFunc(routes(), func(one route) bool {
		_, its, _ := strings.Cut(one.pattern, " ")
		return its == path
	})
}

// Handler answers the paths of [Federation.Serves] on the portals' own names.
func (f *Federation) Handler() http.Handler {
	f.ready()
	mux := http.NewServeMux()
	for _, one := range routes() {
		mux.Handle(one.pattern, f.Edge.Handle(func(w http.ResponseWriter, r *http.Request) error {
			if r.Method == http.MethodHead { // most of these act when they are fetched, as their protocols have it
				w.Header().Set("Allow", "GET, POST")
				w.WriteHeader(http.StatusMethodNotAllowed)
				return nil
			}
			ch, app, ok := f.Addresses.Find(r.Host)
			if !ok || app != "" {
				f.Edge.Misdirected(w, r)
				return nil
			}
			if one.person && f.elsewhere(w, r, ch) {
				return nil
			}
			r.Body = http.MaxBytesReader(w, r.Body, 4*maxMessage)
			return one.answer(f, w, r, ch)
		}))
	}
	return mux
}

// elsewhere answers somebody whose entrance is not that of the address.
func (f *Federation) elsewhere(w http.ResponseWriter, r *http.Request, ch parvis.Channel) bool {
	origin := edge.Origin(r)
	if origin.Channel == ch {
		return false
	}
	if portal := f.Addresses.Portal(origin.Channel); portal != "" {
		f.Edge.See(w, r, portal+"/?reason="+string(parvis.WhyInternalAddressOutside))
		return true
	}
	f.Edge.Problem(w, r, edge.Refused{
		Decision: parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyChannelUnknown}}},
		Channel:  origin.Channel, Status: http.StatusMisdirectedRequest, // RFC 9110 §15.5.20
	})
	return true
}

// wall is the machine's clock, by which other programs read dates; the city's
// clock decides.
func (f *Federation) wall() time.Time {
	if f.machine != nil {
		return f.machine().UTC()
	}
	return time.Now().UTC()
}

// onWall puts a moment of the city on the machine's clock.
func (f *Federation) onWall(t time.Time) time.Time { return f.wall().Add(t.Sub(f.Clock())) }

// lastProof is when somebody last proved who they are from nothing: with a
// password or a passkey, or with whatever they came in by.
func lastProof(s parvis.Session) time.Time {
	at := time.Time{}
	for _, p := range s.Proofs {
		if (p.Kind == parvis.Password || p.Kind == parvis.Passkey) && p.At.After(at) {
			at = p.At
		}
	}
	if at.IsZero() {
		return s.Began
	}
	return at
}

// mark says since when a proof counts as fresh, and what was asked for already.
// It travels sealed, in the address that somebody comes back to.
type mark struct {
	Since time.Time          `json:"t"`
	Of    [32]byte           `json:"h"` // the request it belongs to
	Agent parvis.AgentNumber `json:"a,omitempty"`
	Tried string             `json:"l,omitempty"` // the level that was asked for
}

const (
	// markLife is how long somebody may take to come back.
	markLife = time.Hour

	// freshLife is how old a proof may be that counts as fresh. A mark can be made
	// beforehand, kept, and made again: whoever put an old one into a browser where
	// somebody has signed in since would need no proof at all.
	freshLife = 10 * time.Minute
)

// again is the level at which whoever is in shows their first proof anew.
const again = "eidas1"

// marked opens a mark of a request; a zero one for none, or another's.
func (f *Federation) marked(sealed string, of [32]byte) mark {
	var m mark
	if sealed == "" || f.marks.Redeem(sealed, f.Clock(), &m) != nil || m.Of != of {
		return mark{}
	}
	return m
}

// mark seals a mark: that of before if there is one, for its proofs count.
func (f *Federation) mark(of [32]byte, agent parvis.AgentNumber, before mark, tried string) (string, error) {
	if before.Since.IsZero() {
		before = mark{Since: f.Clock(), Of: of}
	}
	if before.Agent == "" {
		before.Agent = agent // from now on it is theirs
	}
	before.Tried = tried
	return f.marks.Issue(before, f.Clock(), markLife)
}

// met tells whether somebody proved themselves since the mark was made, and
// lately.
func (m mark) met(s parvis.Session, now time.Time) bool {
	at := lastProof(s)
	return !m.Since.IsZero() && !at.Before(m.Since) && now.Sub(at) <= freshLife
}

// by gives the mark as it counts for whoever is there now: of another agent it
// counts for nothing.
func (m mark) by(agent parvis.AgentNumber) mark {
	if m.Agent != "" && agent != "" && m.Agent != agent {
		return mark{}
	}
	return m
}

// visitor is somebody on the way to an application.
type visitor struct {
	in      bool
	session parvis.Session
	app     parvis.App
	channel parvis.Channel
	path    string // for the record of a refusal
	mark    mark
	unmet   bool                               // they could not, or would not, show what was asked
	back    func(tried string) (string, error) // the path that runs the request again
}

// signIn leads to the door, and back.
func (f *Federation) signIn(w http.ResponseWriter, r *http.Request, v *visitor) error {
	back, err := v.back("")
	if err != nil {
		return err
	}
	address, err := f.SignIn(back, v.app.ID, "")
	if err != nil {
		return err
	}
	f.Edge.See(w, r, address)
	return nil
}

// prove leads to where a level is reached, and back.
func (f *Federation) prove(w http.ResponseWriter, r *http.Request, v *visitor, level string) error {
	back, err := v.back(level)
	if err != nil {
		return err
	}
	address, err := f.Prove(back, v.app.ID, level)
	if err != nil {
		return err
	}
	f.Edge.See(w, r, address)
	return nil
}

// admit asks whether the application opens. done says that the visitor was led
// elsewhere: to show a proof, or to why not. A passive visitor is led nowhere.
func (f *Federation) admit(w http.ResponseWriter, r *http.Request, v *visitor, passive bool) (a apps.Answer, done bool, err error) {
	q := apps.Question{Session: v.session, Origin: edge.Origin(r), App: v.app.ID, Path: v.path, Tried: v.unmet}
	a, err = f.Door.Ask(r.Context(), q)
	if err == nil && a.Prove != "" && !passive && a.Prove == v.mark.Tried {
		q.Tried = true // what was shown was not enough: no going in circles
		a, err = f.Door.Ask(r.Context(), q)
	}
	switch {
	case err != nil || a.Decision.Open || passive:
		return a, false, err
	case a.Prove != "":
		return a, true, f.prove(w, r, v, a.Prove)
	}
	f.Edge.See(w, r, f.Addresses.Portal(v.channel)+"/why/"+string(a.Reference))
	return a, true, nil
}

// home is where somebody goes who was sent here for nothing in particular.
func (f *Federation) home(w http.ResponseWriter, r *http.Request) error {
	f.Edge.See(w, r, "/")
	return nil
}

// problem is why somebody cannot be sent back to the application. They are told
// on a page of ours: sending them where an unknown program says is worse.
type problem struct {
	status int
	key    string // of the sentences
	app    parvis.App
}

func (f *Federation) tell(w http.ResponseWriter, r *http.Request, p problem) error {
	return f.Show(w, r, p.status, func(l text.Lang) page.Page {
		args := text.Args{}
		home := page.Button{Text: f.Words.Say(l, "federation.home", nil), Href: "/", Kind: "primary"}
		buttons := page.Actions{home}
		if p.app.ID != "" {
			args["app"] = p.app.Name.In(string(l))
			if p.app.Start != "" {
				buttons = page.Actions{{Text: f.Words.Say(l, "federation.start_again", args), Href: p.app.Start, Kind: "primary"}, {Text: home.Text, Href: "/"}}
			}
		}
		return page.Page{
			Screen: "federation_problem", Title: f.Words.Say(l, p.key+".title", args), Lead: f.Words.Say(l, p.key+".lead", args),
			Body: page.Stack{page.Para(f.Words.Say(l, "federation.who", args)), buttons},
		}
	})
}

// post hands an answer to an application by a form that posts itself.
func (f *Federation) post(w http.ResponseWriter, r *http.Request, app parvis.App, action string, fields ...page.Hidden) error {
	edge.Lead(w.Header(), action)
	return f.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		args := text.Args{"app": app.Name.In(string(l))}
		return page.Page{
			Screen: "federation_leaving", Title: f.Words.Say(l, "federation.leaving.title", args), Lead: f.Words.Say(l, "federation.leaving.lead", args),
			Body: page.AutoPost{Action: action, Fields: fields, Button: page.Button{Text: f.Words.Say(l, "federation.leaving.button", args), Kind: "primary"}},
		}
	})
}
