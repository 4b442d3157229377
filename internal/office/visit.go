package office

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// visit is one request of somebody who may be here.
type visit struct {
	session  parvis.Session
	agent    *parvis.Agent
	standing *parvis.Standing
	origin   parvis.Origin
	at       time.Time
	sent     url.Values // what a form sent, or what was typed before a proof was asked; nil when nothing was
}

const (
	// proofAge is how old a second proof may be for a change (product.md
	// section 5, step-up).
	proofAge = 15 * time.Minute
	// proofLevel is the least that counts: any second proof.
	proofLevel = "eidas1-mfa"
)

// staff lets the IT department in, and tells everybody else who decides.
func (o *Office) staff(f act) edge.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		origin := edge.Origin(r)
		if door, app, ok := o.Addresses.Find(r.Host); !ok || app != "" || door != origin.Channel || !door.Known() {
			return o.elsewhere(w, r, origin, door)
		}
		s, err := o.Sessions.Of(r)
		switch {
		case parvis.CodeOf(err) == parvis.CodeNotFound:
			return o.signIn(w, r)
		case err != nil:
			return err
		}
		agent, standing, err := o.Directory.Facts(r.Context(), s.Agent)
		if err != nil { // unknown means refused
			return err
		}
		v := &visit{session: s, agent: agent, standing: standing, origin: origin, at: o.Clock()}
		if why := o.conditions(v); len(why) > 0 {
			return o.refuse(w, r, v, why)
		}
		if !slices.Contains(agent.Roles, parvis.RoleITDepartment) {
			return o.refuse(w, r, v, nil)
		}
		return f(w, r, v)
	}
}

// elsewhere answers who stands at another entrance than the address says, as
// the portal does: whoever is at the office belongs at the office's address.
func (o *Office) elsewhere(w http.ResponseWriter, r *http.Request, origin parvis.Origin, door parvis.Channel) error {
	if own := o.Addresses.Portal(origin.Channel); own != "" && door == parvis.Mobile && safe(r) {
		return to(w, own+r.URL.RequestURI())
	}
	code := parvis.WhyInternalAddressOutside
	if !origin.Channel.Known() {
		code = parvis.WhyChannelUnknown
	}
	return o.Show(w, r, http.StatusForbidden, func(l text.Lang) page.Page {
		s := o.voice(l)
		told := o.Words.Tell(l, parvis.Decision{Reasons: []parvis.Reason{{Code: code}}}, text.Scene{Channel: origin.Channel, Values: s.all})
		return page.Page{
			Screen: "admin_refused", Title: told.Reasons[0].Title, Lead: told.Reasons[0].Answer.Why, Reasons: []string{string(code)},
			Body: page.Actions{{Text: s.say("office.home"), Href: "/"}},
		}
	})
}

func (o *Office) signIn(w http.ResponseWriter, r *http.Request) error {
	path := applications
	if safe(r) {
		path = r.URL.RequestURI()
	}
	door, err := o.SignIn(path, "", "")
	if err != nil {
		return err
	}
	if edge.WantsJSON(r) {
		if strings.HasPrefix(door, "/") {
			door = o.Addresses.Portal(edge.Origin(r).Channel) + door
		}
		o.Edge.SignIn(w, r, door)
		return nil
	}
	return to(w, door)
}

// conditions are what keeps this account from acting for others, by the rules
// that hold for everybody. A lock refuses strangers at the door, not a session.
func (o *Office) conditions(v *visit) []parvis.Reason {
	why := o.Policy.Conditions(v.agent, v.standing, v.at)
	return slices.DeleteFunc(why, func(r parvis.Reason) bool { return r.Code == parvis.WhyAccountLockedAttempts })
}

// refuse says why the page does not open, and who decides. It is recorded, once
// a minute for one agent, so that a page asked for again does not fill the record.
func (o *Office) refuse(w http.ResponseWriter, r *http.Request, v *visit, why []parvis.Reason) error {
	if o.refused.first(v.agent.Number, v.at) {
		codes := make([]parvis.ReasonCode, len(why))
		for i := range why {
			codes[i] = why[i].Code
		}
		err := o.Store.Write(r.Context(), func(tx *store.Tx) error {
			tx.Record(parvis.Event{
				Kind: "office.refused", Agent: v.agent.Number, Actor: string(v.agent.Number), Channel: v.origin.Channel, Address: v.origin.Address,
				Reasons: codes, Detail: map[string]string{"desk": "applications"},
			})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return o.Show(w, r, http.StatusForbidden, func(l text.Lang) page.Page {
		s := o.voice(l)
		pg := page.Page{Screen: "admin_refused", Title: s.say("office.refused.title"), Lead: s.say("office.refused.lead")}
		body := page.Stack{page.Para(s.say("office.refused.who"))}
		if len(why) > 0 {
			told := o.Words.Tell(l, parvis.Decision{Reasons: why}, text.Scene{Zone: o.Zone, Now: o.now(), Values: s.all})
			pg.Title, pg.Lead, body = s.say("office.refused.account"), "", nil
			for _, t := range told.Reasons {
				pg.Reasons = append(pg.Reasons, t.Code)
				body = append(body, page.Notice{Mark: page.Stop, Title: t.Title, Text: t.Answer.Why})
			}
		}
		pg.Body = append(body, page.Actions{{Text: s.say("office.home"), Href: "/"}})
		return pg
	})
}

// fresh tells whether a second proof was shown within the quarter of an hour.
func (v *visit) fresh() bool {
	return slices.ContainsFunc(v.session.Proofs, func(p parvis.Proof) bool {
		return p.Kind.Second() && !p.At.After(v.at) && v.at.Sub(p.At) < proofAge
	})
}

func (v *visit) by() string { return string(v.agent.Number) }

// proven asks for a second proof before a change, and before its form is filled.
// What was sent too late is kept in memory until the proof is shown.
func (o *Office) proven(f act) act {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		posted := !safe(r)
		if posted {
			if err := r.ParseForm(); err != nil {
				return &parvis.Error{Code: parvis.CodeInvalid, Op: "office.form", Err: err}
			}
			v.sent = r.PostForm
		}
		if v.fresh() {
			if !posted {
				v.sent = o.drafts.take(v.agent.Number, r.URL.Path, v.at)
			}
			return f(w, r, v)
		}
		q := r.URL.Query()
		if !posted && (q.Has("unmet") || q.Has("asked")) {
			return o.unproven(w, r, q)
		}
		if posted {
			o.drafts.keep(v.agent.Number, r.URL.Path, v.sent, v.at)
			q = url.Values{}
			if r.URL.Path == applications {
				q.Set("add", v.sent.Get("kind"))
			}
		}
		q.Set("asked", "1") // one that comes back without a proof is told so, and not sent again
		door, err := o.Prove(r.URL.Path+"?"+q.Encode(), "", proofLevel)
		if err != nil {
			return err
		}
		return to(w, door)
	}
}

// unproven says that a change needs a second proof.
func (o *Office) unproven(w http.ResponseWriter, r *http.Request, q url.Values) error {
	q.Del("asked")
	q.Del("unmet")
	again := r.URL.Path
	if len(q) > 0 {
		again += "?" + q.Encode()
	}
	return o.Show(w, r, http.StatusForbidden, func(l text.Lang) page.Page {
		s := o.voice(l)
		told := o.Words.Tell(l, parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyStepUpRequired}}}, text.Scene{Values: s.all})
		return page.Page{
			Screen: "admin_proof", Title: s.say("office.proof.title"), Lead: s.say("office.proof.lead"), Reasons: []string{told.Reasons[0].Code},
			Body: page.Stack{
				page.Para(s.say("office.proof.kept")),
				page.Actions{
					{Text: s.say("office.proof.again"), Kind: "primary", Href: again},
					{Text: s.say("office.proof.methods"), Href: "/security/factors"},
					{Text: s.say("office.back.list"), Kind: "plain", Href: applications},
				},
			},
		}
	})
}

func safe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// to redirects after an act, or to where a page really is (RFC 9110 §15.4.4).
func to(w http.ResponseWriter, address string) error {
	w.Header().Set("Location", address)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// drafts keeps, for a while, what somebody typed into one form when a proof was
// asked for: one for each agent. The zero value is empty.
type drafts struct {
	mu  sync.Mutex
	all map[parvis.AgentNumber]draft
}

type draft struct {
	path string
	sent url.Values
	at   time.Time
}

const (
	manyDrafts = 64
	draftWaits = 30 * time.Minute
)

func (d *drafts) keep(who parvis.AgentNumber, path string, sent url.Values, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == nil {
		d.all = map[parvis.AgentNumber]draft{}
	}
	for number, old := range d.all {
		if at.Sub(old.at) >= draftWaits {
			delete(d.all, number)
		}
	}
	if len(d.all) >= manyDrafts { // whoever comes then types again
		return
	}
	d.all[who] = draft{path, sent, at}
}

// take gives what was kept for this form, once.
func (d *drafts) take(who parvis.AgentNumber, path string, at time.Time) url.Values {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, ok := d.all[who]
	if !ok || kept.path != path {
		return nil
	}
	delete(d.all, who)
	if at.Sub(kept.at) >= draftWaits {
		return nil
	}
	return kept.sent
}

// refused remembers who was refused within the minute. The zero value is empty.
type refused struct {
	mu  sync.Mutex
	all map[parvis.AgentNumber]time.Time
}

func (f *refused) first(who parvis.AgentNumber, at time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last, ok := f.all[who]; ok && at.Sub(last) < time.Minute && !at.Before(last) {
		return false
	}
	if f.all == nil || len(f.all) >= 1024 {
		f.all = map[parvis.AgentNumber]time.Time{}
	}
	f.all[who] = at
	return true
}
