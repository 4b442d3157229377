package federation

import (
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// casLife is how long a service ticket may be shown.
const casLife = 10 * time.Second

// casTicket is what a service ticket holds, sealed (CAS Protocol §3.1). It is
// packed: clients may count on 256 signs (§3.7).
type casTicket struct {
	session parvis.SessionID
	service [16]byte // SHA-256 of its address, cut
	city    int64    // when it was made, in milliseconds
	machine int64    // … by the machine's clock
	fresh   bool     // the agent proved themselves for this very entrance
}

const casPacked = 16 + 16 + 8 + 8 + 1

func (t casTicket) seal(by *seal.Box, ch parvis.Channel) string {
	b := slices.Concat(t.session[:], t.service[:])
	b = binary.BigEndian.AppendUint64(b, uint64(t.city))    //nolint:gosec // only bits
	b = binary.BigEndian.AppendUint64(b, uint64(t.machine)) //nolint:gosec // only bits
	if t.fresh {
		return written32(by.Seal(append(b, 1), string(ch)))
	}
	return written32(by.Seal(append(b, 0), string(ch)))
}

// written32 writes a ticket in the only signs that all clients take: letters,
// digits and hyphens (CAS Protocol §3.7).
func written32(sealed []byte) string {
	return ticketPrefix + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sealed)
}

const ticketPrefix = "ST-"

// openTicket opens what seal made for this entrance, whatever its age.
func openTicket(by *seal.Box, ch parvis.Channel, shown string) (t casTicket, ok bool) {
	sealed, is := strings.CutPrefix(shown, ticketPrefix)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(sealed)
	if !is || err != nil || written32(raw) != shown { // written otherwise it would pass for another
		return t, false
	}
	b, err := by.Open(raw, string(ch))
	if err != nil || len(b) != casPacked {
		return t, false
	}
	copy(t.session[:], b)
	copy(t.service[:], b[16:])
	t.city, t.machine = int64(binary.BigEndian.Uint64(b[32:])), int64(binary.BigEndian.Uint64(b[40:])) //nolint:gosec // only bits
	t.fresh = b[48] == 1
	return t, true
}

func serviceHash(address string) (h [16]byte) {
	whole := seal.Hash(address)
	copy(h[:], whole[:])
	return h
}

// aged tells whether a moment in milliseconds is no longer, or not yet, good.
func aged(now time.Time, at int64, life time.Duration) bool {
	age := now.UnixMilli() - at
	return age >= life.Milliseconds() || age < -life.Milliseconds()
}

// getCASLogin is /cas/login (CAS Protocol §2.1).
func (f *Federation) getCASLogin(w http.ResponseWriter, r *http.Request, ch parvis.Channel) error {
	q := r.URL.Query()
	address := q.Get("service")
	if address == "" {
		return f.home(w, r)
	}
	app, ok := f.service(address)
	if !ok || len(q["service"]) > 1 {
		return f.tell(w, r, problem{status: http.StatusForbidden, key: "federation.cas.unknown"})
	}
	renew, gateway := q.Has("renew") && q.Get("renew") != "false", q.Has("gateway") && q.Get("gateway") != "false"
	if renew { // §2.1.1: renew takes precedence
		gateway = false
	}
	digest := seal.Hash(strings.Join([]string{"cas", string(ch), address}, "\x00"))
	mark := f.marked(q.Get("after"), digest)
	s, err := f.Sessions.Of(r)
	in := err == nil
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
		return err
	}
	mark = mark.by(s.Agent)
	if !in && gateway { // §2.1.1: neither asked nor told
		f.Edge.See(w, r, address)
		return nil
	}
	back := func(tried string) (string, error) {
		path := "/cas/login?service=" + url.QueryEscape(address)
		for _, name := range []string{"renew", "method"} {
			if q.Has(name) {
				path += "&" + name + "=" + url.QueryEscape(q.Get(name))
			}
		}
		m, err := f.mark(digest, s.Agent, mark, tried)
		return path + "&after=" + m, err
	}
	v := &visitor{in: in, session: s, app: app, channel: ch, path: "/cas/login", mark: mark, unmet: q.Has("unmet"), back: back}
	if !in {
		return f.signIn(w, r, v)
	}
	fresh := mark.met(s, f.Clock())
	if renew && !fresh {
		if v.unmet || mark.Tried == again {
			f.Register.Note(app.ID, apps.Trouble{Protocol: parvis.CAS, Code: "renew", Text: "an agent did not prove themselves again"})
			return f.tell(w, r, problem{status: http.StatusForbidden, key: "federation.cas.renew", app: app})
		}
		return f.prove(w, r, v, again)
	}
	a, done, err := f.admit(w, r, v, gateway)
	if err != nil || done {
		return err
	}
	agreed := false
	if a.Decision.Open {
		agreed, err = f.agreed(r.Context(), app, s.Agent)
	}
	switch {
	case err != nil:
		return err
	case agreed:
		return f.giveTicket(w, r, app, address, s, ch, fresh)
	case a.Decision.Open && !gateway:
		return f.askConsent(w, r, v, address)
	}
	f.Edge.See(w, r, address) // gateway: the agent may not, or did not agree, and is not told here
	return nil
}

// giveTicket leads back to the service with a ticket.
func (f *Federation) giveTicket(w http.ResponseWriter, r *http.Request, app parvis.App, address string, s parvis.Session, ch parvis.Channel, fresh bool) error {
	ticket := casTicket{
		session: s.ID, service: serviceHash(address), city: f.Clock().UnixMilli(), machine: f.wall().UnixMilli(), fresh: fresh,
	}.seal(f.tickets, ch)
	if r.URL.Query().Get("method") == http.MethodPost { // §2.1.1, CAS 3.0
		return f.post(w, r, app, address, page.Hidden{Name: "ticket", Value: ticket})
	}
	f.Edge.See(w, r, withTicket(address, ticket))
	return nil
}

// getValidate answers the application that shows a ticket (CAS Protocol §2.4 to
// §2.6). It says as little of a wrong ticket as it can.
func (f *Federation) getValidate(w http.ResponseWriter, r *http.Request, ch parvis.Channel) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	a, err := f.validate(r, ch)
	if err != nil {
		a = failure(casInternal, "the answer is not known now")
		f.Log.Error("a CAS ticket could not be validated", "cause", err)
	}
	switch {
	case r.URL.Path == "/cas/validate":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(a.plain())
	case strings.EqualFold(r.URL.Query().Get("format"), "JSON"):
		body, err := a.json()
		if err != nil {
			return err
		}
		h.Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	default:
		h.Set("Content-Type", "application/xml; charset=utf-8")
		_, _ = w.Write(a.xml())
	}
	return nil
}

func (f *Federation) validate(r *http.Request, ch parvis.Channel) (casAnswer, error) {
	q := r.URL.Query()
	address, shown := q.Get("service"), q.Get("ticket")
	if address == "" || shown == "" || len(q["service"]) > 1 || len(q["ticket"]) > 1 {
		return failure(casInvalidRequest, "service and ticket are required, once"), nil
	}
	t, ours := openTicket(f.tickets, ch, shown)
	if why := "not a ticket of this server"; !ours {
		f.troubleAt(address, casInvalidTicket, why)
		return failure(casInvalidTicket, why), nil
	}
	if aged(f.Clock(), t.city, casLife) || aged(f.wall(), t.machine, casLife) {
		f.troubleAt(address, casInvalidTicket, "the ticket has expired")
		return failure(casInvalidTicket, "the ticket has expired"), nil
	}
	s, alive := f.Sessions.Session(r.Context(), t.session)
	if !alive {
		return failure(casInvalidTicket, "the session is over"), nil
	}
	app, known := f.service(address)
	right := known && t.service == serviceHash(address)
	g := store.Grant{
		ID: "cas-" + ticketName(shown), Protocol: parvis.CAS, App: app.ID, Agent: s.Agent, Session: s.ID, Channel: ch,
		SID: f.Sessions.SID(s, app.ID), Began: f.Clock(), Expires: s.Ends, Tells: right && app.CAS != nil && app.CAS.Logout,
	}
	fresh, err := f.spendTicket(r, g, address, shown, right)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return failure(casInvalidTicket, "the session is over"), nil
	case err != nil:
		return casAnswer{}, err
	case !fresh:
		f.troubleAt(address, casInvalidTicket, "the ticket was shown before")
		return failure(casInvalidTicket, "the ticket was shown before"), nil
	case !right:
		f.troubleAt(address, casInvalidService, "the ticket is for another service")
		return failure(casInvalidService, "the ticket is for another service"), nil
	}
	if q.Has("renew") && q.Get("renew") != "false" && !t.fresh { // §2.5.1
		return failure(casInvalidTicket, "the ticket is not of a fresh proof"), nil
	}
	return f.vouch(r, app, g, s, t)
}

// ticketName names a ticket without telling it.
func ticketName(ticket string) string {
	h := seal.Hash(ticket)
	return hex.EncodeToString(h[:16])
}

// spendTicket writes that a ticket was shown, whatever for (CAS Protocol §2.5.3),
// and what the application is about to be told: of any number of times at once,
// one is told true. The others are recorded, for somebody has a ticket that they
// should not have.
func (f *Federation) spendTicket(r *http.Request, g store.Grant, address, ticket string, right bool) (fresh bool, err error) {
	ctx := r.Context()
	if g.Body, err = f.closed(g.ID, casKept{Service: address, Ticket: ticket}); err != nil {
		return false, err
	}
	err = f.Store.Write(ctx, func(tx *store.Tx) error {
		event := parvis.Event{
			Kind: "grant.began", Agent: g.Agent, Actor: string(g.Agent), Channel: g.Channel, App: g.App,
			Detail: map[string]string{"protocol": "cas", "grant": g.ID},
		}
		var err error
		if fresh, err = tx.SpendOnce(ctx, seal.Hash(ticket), tx.Now().Add(spentLife)); err != nil {
			return err
		}
		switch {
		case !fresh:
			event.Kind, event.Actor, event.Address = "grant.replayed", "system", edge.Origin(r).Address
		case !right:
			event.Kind, event.Actor, event.Address = "grant.refused", "system", edge.Origin(r).Address
		default:
			if _, err := tx.PutGrant(ctx, g); err != nil {
				return err
			}
		}
		tx.Record(event)
		return nil
	})
	return fresh, err
}

// casKept is what a CAS grant holds, sealed: how to tell that it ended.
type casKept struct {
	Service string `json:"service"`
	Ticket  string `json:"ticket"`
}

// vouch says who the agent is, if the rules still let them in.
func (f *Federation) vouch(r *http.Request, app parvis.App, g store.Grant, s parvis.Session, t casTicket) (casAnswer, error) {
	open, _, _, err := f.Door.Still(r.Context(), g)
	if err != nil {
		return casAnswer{}, err
	}
	if !open {
		f.Register.Note(app.ID, apps.Trouble{Protocol: parvis.CAS, Code: casInvalidTicket, Text: "the rules no longer open the application"})
		return failure(casInvalidTicket, "the session no longer opens this service"), nil
	}
	a := casAnswer{user: f.Door.Subject(app, s.Agent, parvis.CAS)}
	if r.URL.Path != "/cas/p3/serviceValidate" && r.URL.Path != "/cas/p3/proxyValidate" && r.URL.Path != "/cas/proxyValidate" {
		return a, nil
	}
	agent, _, err := f.Directory.Facts(r.Context(), s.Agent)
	if err != nil {
		return casAnswer{}, err
	}
	a.attributes = map[string]any{}
	maps.Copy(a.attributes, f.Door.Claims(app, agent, g.Channel))
	if groups, ok := a.attributes["groups"]; ok { // appendix A: memberOf
		a.attributes["memberOf"] = groups
	}
	acr, _ := parvis.Levels(s.Proofs)
	a.attributes["acr"] = acr
	a.attributes["authenticationDate"] = f.onWall(lastProof(s))
	a.attributes["longTermAuthenticationRequestTokenUsed"] = false // §2.5.7: there is no « remember me »
	a.attributes["isFromNewLogin"] = t.fresh
	return a, nil
}

// troubleAt notes what went wrong, for the application of a service.
func (f *Federation) troubleAt(address, code, why string) {
	if app, ok := f.service(address); ok {
		f.Register.Note(app.ID, apps.Trouble{Protocol: parvis.CAS, Code: code, Text: why})
	}
}

// getCASLogout asks before it signs anybody out: a link, or a picture, of
// another site must not (CAS Protocol §2.3).
func (f *Federation) getCASLogout(w http.ResponseWriter, r *http.Request, _ parvis.Channel) error {
	address := r.URL.Query().Get("service")
	app, known := f.service(address)
	if _, err := f.Sessions.Of(r); parvis.CodeOf(err) == parvis.CodeNotFound {
		f.Edge.See(w, r, f.afterLogout(address))
		return nil
	} else if err != nil {
		return err
	}
	if known {
		edge.Lead(w.Header(), address)
	}
	return f.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		stay := page.Button{Text: f.Words.Say(l, "federation.logout.stay", nil), Href: "/"}
		lead := f.Words.Say(l, "federation.logout.lead", nil)
		form := page.Form{Action: "/cas/logout", Buttons: []page.Button{{Text: f.Words.Say(l, "action.sign_out", nil), Kind: "primary"}}}
		if known {
			form.Hidden = []page.Hidden{{Name: "service", Value: address}}
			lead = f.Words.Say(l, "federation.logout.lead_from", text.Args{"app": app.Name.In(string(l))})
			stay.Href = address
		}
		return page.Page{
			Screen: "sign_out", Title: f.Words.Say(l, "federation.logout.title", nil), Lead: lead,
			Body: page.Stack{form, page.Actions{stay}},
		}
	})
}

// postCASLogout ends the session and leads back to the service.
func (f *Federation) postCASLogout(w http.ResponseWriter, r *http.Request, _ parvis.Channel) error {
	if err := r.ParseForm(); err != nil {
		return unreadable(err)
	}
	address := r.PostForm.Get("service")
	s, err := f.Sessions.Of(r)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
	case err != nil:
		return err
	default:
		if err := f.Store.Write(r.Context(), func(tx *store.Tx) error { return f.Sessions.End(tx, s.ID, "signed_out") }); err != nil {
			return err
		}
	}
	f.Sessions.Drop(w)
	f.Edge.See(w, r, f.afterLogout(address))
	return nil
}

// afterLogout is where a sign-out leads: the service, if it is a declared one.
func (f *Federation) afterLogout(address string) string {
	if _, ok := f.service(address); ok {
		return address
	}
	return "/signout"
}
