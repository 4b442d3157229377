package portal

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/page"
	"parvis/internal/recovery"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/signin"
	"parvis/internal/store"
	"parvis/internal/text"
)

// Portal is the agent's pages. The first group is required, the rest works when
// zero. It must not be copied once used.
type Portal struct {
	Catalog   *text.Catalog
	Policy    *access.Policy
	Directory *directory.Directory
	Sessions  *session.Keeper
	Door      *signin.Hub
	Desk      *recovery.Desk
	Counter   *helpdesk.Counter
	Vault     *credential.Vault
	Store     *store.Store
	Keys      *seal.Keys
	Addresses *parvis.Addresses
	Clock     func() time.Time
	Zone      *time.Location

	Assets       *page.Assets // nil: without an organisation's accent
	Organisation string
	Lang         text.Lang        // when a browser asks for neither; French when empty
	Notice       parvis.Words     // legal notice of every page; the catalogue's when empty
	Verifier     bool             // the organisation asks for the second account
	Profiles     []parvis.Profile // for their labels
	Contacts     []Contact
	Values       func(text.Lang) text.Args // org, it_department, verifier_label…

	// Down tells since when an application does not answer.
	Down func(parvis.AppID) (since time.Time, down bool)
	JWKS http.Handler // the keys that sign assertions

	once   sync.Once
	wicket struct{ returns, activated *seal.Box }
	words  [2]page.Words
	edge   *edge.Edge
}

// Contact is somebody who helps, by role: support_desk, it_contact,
// it_department, hr_unit, security_officer, verifier_owner. Calendar, when
// known, tells whether they can be reached now.
type Contact struct {
	Role         string
	Name         parvis.Words
	Phone, Email string
	Hours        parvis.Words
	Calendar     *access.Calendar
}

func (p *Portal) ready() {
	p.once.Do(func() {
		p.wicket.returns = p.Keys.Box("portal-return")
		p.wicket.activated = p.Keys.Box("portal-activated")
		for i, l := range []text.Lang{text.French, text.English} {
			p.words[i] = p.pieceWords(l)
		}
	})
}

// visit is one request as the pages see it: from where, in which language, and
// whose session it is.
type visit struct {
	p      *Portal
	lang   text.Lang
	origin parvis.Origin
	door   parvis.Channel // the entrance whose address was used
	at     time.Time
	theme  string
	back   string // a path of this host that shows this page again
	values text.Args

	in       bool
	session  parvis.Session
	agent    *parvis.Agent
	standing *parvis.Standing
	device   parvis.Device

	told  text.Told    // what this answer refuses, in words
	leads []string     // where the forms of this answer may end besides our own addresses
	giver parvis.Actor // who can give a second proof, once asked
}

// receive gathers what is known of a request before anybody asks who it is.
func (p *Portal) receive(r *http.Request) *visit {
	p.ready()
	v := &visit{p: p, origin: edge.Origin(r), at: p.now()}
	v.door, _, _ = p.Addresses.Find(r.Host)
	v.lang = p.language(r, v)
	if t := v.cookie(r, cookieTheme); t == "light" || t == "dark" {
		v.theme = t
	}
	v.back = r.URL.Path
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		v.back = r.URL.RequestURI()
	}
	if !local(v.back) {
		v.back = "/"
	}
	v.values = text.Args{}
	if p.Values != nil {
		v.values = maps.Clone(p.Values(v.lang))
	}
	v.values["now"] = v.at
	for name, value := range map[string]string{"org": p.Organisation, "mobile_url": p.Addresses.Portal(parvis.Mobile)} {
		if _, ok := v.values[name]; !ok && value != "" {
			v.values[name] = value
		}
	}
	if v.door == parvis.Mobile { // nobody needs to be told where they are
		delete(v.values, "mobile_url")
	}
	v.values["channel_label"] = v.channel(v.origin.Channel, "the")
	return v
}

// know finds the session of a request and the facts of its agent.
func (v *visit) know(r *http.Request) error {
	s, err := v.p.Sessions.Of(r)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return nil
	case err != nil:
		return err
	}
	agent, standing, err := v.p.Directory.Facts(r.Context(), s.Agent)
	if err != nil {
		return err
	}
	v.in, v.session, v.agent, v.standing = true, s, agent, standing
	id := v.origin.Device
	if id == "" {
		id = s.Device
	}
	v.device = deviceOf(standing, id)
	return nil
}

func deviceOf(st *parvis.Standing, id parvis.DeviceID) parvis.Device {
	for _, d := range st.Devices {
		if d.ID == id && id != "" {
			return d
		}
	}
	return parvis.Device{}
}

func (p *Portal) now() time.Time {
	if p.Zone == nil {
		return p.Clock()
	}
	return p.Clock().In(p.Zone)
}

func (p *Portal) local(t time.Time) time.Time {
	if p.Zone == nil || t.IsZero() {
		return t
	}
	return t.In(p.Zone)
}

// language: what was chosen, then what the browser prefers, then the
// organisation's.
func (p *Portal) language(r *http.Request, v *visit) text.Lang {
	if l := text.Lang(v.cookie(r, cookieLang)); l == text.French || l == text.English {
		return l
	}
	fallback := p.Lang
	if fallback == "" {
		fallback = text.French
	}
	return text.Match(r.Header.Get("Accept-Language"), fallback)
}

// say gives a sentence; more adds to the values that every sentence may use.
func (v *visit) say(key string, more ...text.Args) string {
	return v.p.Catalog.Say(v.lang, key, v.with(more...))
}

func (v *visit) with(more ...text.Args) text.Args {
	if len(more) == 0 {
		return v.values
	}
	all := maps.Clone(v.values)
	for _, m := range more {
		maps.Copy(all, m)
	}
	return all
}

// tell puts reasons and ways into words.
func (v *visit) tell(d parvis.Decision, app parvis.App, ch parvis.Channel, more ...text.Args) text.Told {
	values := v.with(more...)
	delete(values, "channel_label") // the scene's
	scene := text.Scene{App: app, Channel: ch, Zone: v.p.Zone, Now: v.at, Sensitive: v.sensitive(), Values: values}
	if v.in {
		scene.Enrols = v.enrols
	}
	return v.p.Catalog.Tell(v.lang, d, scene)
}

func (v *visit) channel(ch parvis.Channel, form string) string {
	word := string(ch)
	if !ch.Known() {
		word = "unknown"
	}
	return v.p.Catalog.Say(v.lang, "channel."+word+"."+form, v.values)
}

// to redirects after an act, or to where a page really is (RFC 9110 §15.4.4).
func to(w http.ResponseWriter, address string) error {
	w.Header().Set("Location", address)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// form reads what a form sent; the query is never part of it.
func form(r *http.Request) (url.Values, error) {
	if err := r.ParseForm(); err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "portal.form", Err: err}
	}
	return r.PostForm, nil
}

// ask asks the one function that decides, with what is known of this visit;
// through another entrance comes the device that IT validated for it.
func (v *visit) ask(app parvis.AppID, ch parvis.Channel) access.Request {
	device := v.device
	if ch != v.origin.Channel && !device.Validated {
		device = parvis.Device{}
		if i := slices.IndexFunc(v.standing.Devices, func(d parvis.Device) bool { return d.Validated }); i >= 0 && ch == parvis.VPN {
			device = v.standing.Devices[i]
		}
	}
	return access.Request{
		Agent: v.agent, Standing: v.standing, App: app, Channel: ch, At: v.at, Proofs: v.session.Proofs, Device: device,
	}
}

// local tells whether s is a path on this very host whatever reads it: one
// slash first, no second one, no backslash (which browsers read as a slash),
// nothing invisible, nothing beyond ASCII.
func local(s string) bool {
	if len(s) == 0 || len(s) > longestPath || s[0] != '/' || strings.HasPrefix(s, "//") {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}

// longestPath leaves room for a sealed way back of [longestWay] in a path.
const longestPath = 2 * longestWay

// goal is where a return ticket leads: an application, a path of this host, or
// nowhere.
type goal struct {
	app   parvis.App
	path  string    // for the ticket of an application, or on this host
	here  bool      // the path is on this host, and leads on to the application
	hint  string    // who the application expects
	level string    // what it asks for
	since time.Time // when: what was shown before is not what it asks for
}

// localReturn is a way back to a path of this host, or of an application.
type localReturn struct {
	Path  string       `json:"p"`
	App   parvis.AppID `json:"a,omitempty"`
	Here  bool         `json:"h,omitempty"`
	Hint  string       `json:"i,omitempty"`
	Level string       `json:"l,omitempty"`
	Since int64        `json:"s,omitempty"` // in microseconds
}

// goal opens a return ticket. What was not sealed here leads nowhere, whatever
// it looks like.
func (p *Portal) goal(ticket string) goal {
	if ticket == "" {
		return goal{}
	}
	if to, err := p.Sessions.Asked(ticket); err == nil {
		if app, ok := p.Policy.App(to.App); ok {
			return goal{app: app, path: to.Path}
		}
		return goal{}
	}
	var own localReturn
	if err := p.wicket.returns.Redeem(ticket, p.Clock(), &own); err == nil && local(own.Path) {
		g := goal{path: own.Path, here: own.Here, hint: own.Hint, level: own.Level, since: time.UnixMicro(own.Since)}
		if own.App != "" {
			var ok bool
			// Whoever speaks a protocol tells that an application is gone.
			if g.app, ok = p.Policy.App(own.App); !ok && !g.here {
				return goal{}
			}
		}
		return g
	}
	return goal{}
}

// address is where a goal is reached from here.
func (g goal) address(ticket string) string {
	switch {
	case g.app.ID != "" && !g.here:
		return "/enter?return=" + url.QueryEscape(ticket)
	case g.path != "":
		return g.path
	}
	return "/"
}

// doorTo gives the address of the door that leads back to path afterwards.
func (p *Portal) doorTo(path string) (string, error) {
	if path == "/" || !local(path) {
		return "/signin", nil
	}
	ticket, err := p.wicket.returns.Issue(localReturn{Path: path}, p.Clock(), time.Hour)
	if err != nil {
		return "", err
	}
	return "/signin?return=" + url.QueryEscape(ticket), nil
}

// support is the contact for everything, and its values for sentences.
func (v *visit) support() text.Args {
	for _, c := range v.p.Contacts {
		if c.Role == "support_desk" {
			a := text.Args{}
			if c.Phone != "" {
				a["phone"] = c.Phone
			}
			a["hours"] = c.Hours.In(string(v.lang))
			return a
		}
	}
	return text.Args{"hours": ""}
}
