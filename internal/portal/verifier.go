package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parvis"
	"parvis/internal/helpdesk"
	"parvis/internal/page"
	"parvis/internal/signin"
	"parvis/internal/store"
	"parvis/internal/text"
	"parvis/internal/verifier"
)

const (
	cookieAway = "parvis-away" // ties a trip to the verifier to its browser
	cookieTrip = "parvis-trip" // what it was for: an activation, or a session
)

// Why one leaves, as package signin reads it.
const (
	toLink    = "link"
	toProve   = "prove"
	toReplace = "replace"
)

const activating = "activation"

// trip is a way to the verifier and back: what the form before leaving holds.
type trip struct {
	from     string // activating; otherwise a session, or the door when flow is set
	purpose  string
	provider string
	flow     string // of the door
	ticket   string // where one was going
}

func tripOf(sent url.Values) trip {
	t := trip{from: sent.Get("from"), purpose: sent.Get("purpose"), provider: sent.Get("provider"), flow: sent.Get("flow"), ticket: sent.Get("return")}
	if t.purpose != toProve && t.purpose != toReplace {
		t.purpose = toLink
	}
	return t
}

func (t trip) hidden(more ...page.Hidden) []page.Hidden {
	var all []page.Hidden
	for _, h := range []page.Hidden{
		{Name: "from", Value: t.from},
		{Name: "purpose", Value: t.purpose},
		{Name: "provider", Value: t.provider},
		{Name: "flow", Value: t.flow},
		{Name: "return", Value: t.ticket},
	} {
		if h.Value != "" {
			all = append(all, h)
		}
	}
	return append(all, more...)
}

// home is where one stands when the trip comes to nothing.
func (t trip) home() string {
	switch {
	case t.from == activating:
		return "/activate/overview"
	case t.flow != "":
		return attempt{ticket: t.ticket}.again()
	}
	return "/"
}

// outside gives the values of sentences about one verifier.
func (v *visit) outside(p verifier.Provider) text.Args {
	args := text.Args{}
	for name, value := range map[string]string{
		"verifier_label": p.Label.In(string(v.lang)), "verifier_owner": p.Owner.In(string(v.lang)),
		"verifier_delay": p.Delay.In(string(v.lang)), "verifier_host": hostOf(p),
	} {
		if value != "" {
			args[name] = value
		}
	}
	return args
}

// hostOf is what the browser will show over there.
func hostOf(p verifier.Provider) string {
	if p.Host != "" {
		return p.Host
	}
	u, err := url.Parse(p.Issuer)
	if err != nil {
		return ""
	}
	return u.Host
}

// providers are the outside accounts there are; none without a verifier.
func (p *Portal) providers() []verifier.Provider {
	if p.Door == nil || p.Door.Link == nil {
		return nil
	}
	return p.Door.Link.Providers
}

// provider finds one by its name, the first by default.
func (p *Portal) provider(id string) (verifier.Provider, bool) {
	all := p.providers()
	i := slices.IndexFunc(all, func(o verifier.Provider) bool { return o.ID == id })
	switch {
	case i >= 0:
		return all[i], true
	case len(all) > 0:
		return all[0], true
	}
	return verifier.Provider{}, false
}

func noVerifier(op string) error { return &parvis.Error{Code: parvis.CodeNotFound, Op: op} }

// verifierPage is the page before leaving: where one goes, and how that account
// differs from the one here.
func (v *visit) verifierPage(p verifier.Provider, action string, hidden []page.Hidden) page.Page {
	args := v.outside(p)
	say := func(key string) string { return v.say(key, args) }
	there := page.Record{{Term: say("verifier_redirect.identifier"), Text: say("portal.verifier.identifier")}}
	if host := hostOf(p); host != "" {
		there = append(page.Record{{Term: say("verifier_redirect.address"), Text: host, Mono: true}}, there...)
	}
	here := page.Record{
		{Term: say("verifier_redirect.identifier"), Text: say("verifier_redirect.identifier.here")},
		{Term: say("verifier_redirect.password"), Text: say("verifier_redirect.password.here")},
	}
	if address := v.p.Addresses.Portal(v.door); address != "" {
		here = append(page.Record{{Term: say("verifier_redirect.address"), Text: strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://"), Mono: true}}, here...)
	}
	body := page.Stack{
		page.Form{
			Action: action, Hidden: hidden, Note: say("verifier_redirect.back"),
			Buttons: []page.Button{{Text: say("action.continue_verifier"), Kind: "primary"}},
		},
		page.Section{Title: say("verifier_redirect.tell"), Body: page.Pair{
			First: page.Account{ // the numbers of the two accounts are the same everywhere
				Title: say("verifier_redirect.here"), For: say("verifier_redirect.here.for"),
				State: page.State{Mark: page.Locked, Text: say("verifier_redirect.state.here")}, Facts: here,
			},
			Second: page.Account{
				Title: say("verifier_redirect.there"), For: say("verifier_redirect.there.for"),
				State: page.State{Mark: page.Todo, Text: say("verifier_redirect.state.there")},
				Facts: append(there, page.Fact{Term: say("verifier_redirect.password"), Text: say("verifier_redirect.password.there")}),
			},
		}},
	}
	body = append(body, v.noAccount(p)...)
	return page.Page{Screen: "verifier_redirect", Title: say("verifier_redirect.title"), Lead: say("verifier_redirect.lead"), Width: page.Wide, Body: body}
}

// noAccount is for whoever has no account over there, or cannot open it.
func (v *visit) noAccount(p verifier.Provider) page.Stack {
	args := v.outside(p)
	none := page.Stack{page.Para(v.say("verifier_redirect.none.text", args))}
	if p.Create != "" {
		none = append(none, page.Links{{Text: v.say("verifier_redirect.create", args), Href: p.Create}})
	}
	locked := page.Stack{page.Para(v.say("verifier_redirect.locked.text", args))}
	if p.Recovery != "" {
		locked = append(locked, page.Links{{Text: v.say("action.verifier_recovery", args), Href: p.Recovery}})
	}
	return page.Stack{
		page.Section{Title: v.say("verifier_redirect.none", args), Body: none},
		page.Section{Title: v.say("verifier_redirect.locked", args), Body: locked},
	}
}

// getLeave is the page before leaving for somebody who is in, or arrives.
func (p *Portal) getLeave(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	provider, ok := p.provider(q.Get("provider"))
	if !ok {
		return noVerifier("portal.getLeave")
	}
	if !v.in {
		if _, _, err := p.Desk.Flow(r.Context(), v.activation(r)); err == nil { // back from signing out over there
			return to(w, "/activate/verifier")
		}
		return p.mine(p.getLeave)(w, r, v)
	}
	t := trip{purpose: q.Get("purpose"), provider: q.Get("provider"), ticket: q.Get("return")}
	if linked := p.linkedTo(v.standing); t.provider == "" && linked.ID != "" {
		provider = linked
	}
	if t.purpose != toLink && t.purpose != toReplace {
		t.purpose = toLink
		if slices.Contains(v.standing.Links, provider.Issuer) {
			t.purpose = toProve
		}
	}
	t.provider = provider.ID
	v.leads = p.goal(t.ticket).leads()
	hidden := t.hidden()
	if t.purpose == toReplace { // as somebody else over there
		hidden = t.hidden(page.Hidden{Name: "again", Value: "1"})
	}
	return v.show(w, r, http.StatusOK, v.verifierPage(provider, "/verifier/leave", hidden))
}

// linkedTo is the verifier whose account vouches for an agent already.
func (p *Portal) linkedTo(st *parvis.Standing) verifier.Provider {
	for _, o := range p.providers() {
		if slices.Contains(st.Links, o.Issuer) {
			return o
		}
	}
	return verifier.Provider{}
}

// holder is who acts: whoever holds the session, or the activation.
func (p *Portal) holder(r *http.Request, v *visit, from string) (signin.Holder, error) {
	h := signin.Holder{Origin: v.origin, Lang: v.lang, Device: v.cookie(r, cookieDevice), Browser: r.UserAgent()}
	if from != activating {
		if v.in {
			h.Number, h.Session = v.agent.Number, v.session
		}
		return h, nil
	}
	var err error
	h.Number, h.Activation, err = p.Desk.Flow(r.Context(), v.activation(r))
	return h, err
}

// postLeave leads to the verifier: from the door, from an activation or from a
// session.
func (p *Portal) postLeave(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	t := tripOf(sent)
	if len(p.providers()) == 0 {
		return noVerifier("portal.postLeave")
	}
	if t.flow == "" && t.from != activating && !v.in {
		return p.mine(p.postLeave)(w, r, v)
	}
	l := signin.Leaving{
		Purpose: t.purpose, Provider: t.provider, Away: v.cookie(r, cookieAway), Return: t.ticket, Again: sent.Get("again") != "",
		Flow: t.flow, Cookie: v.cookie(r, cookieDoor),
	}
	if t.flow != "" {
		l.Holder = signin.Holder{Origin: v.origin, Lang: v.lang, Device: v.cookie(r, cookieDevice), Browser: r.UserAgent()}
	} else if l.Holder, err = p.holder(r, v, t.from); parvis.CodeOf(err) == parvis.CodeNotFound {
		return p.lost(w, r, v)
	} else if err != nil {
		return err
	}
	out, err := p.Door.LeaveForVerifier(r.Context(), l)
	if parvis.CodeOf(err) == parvis.CodeNotFound && t.from == activating {
		return p.lost(w, r, v)
	}
	if err != nil {
		return err
	}
	if out.Leave != "" {
		v.keep(w, cookieAway, out.Away.Reveal(), tripWaits)
		v.keep(w, cookieTrip, t.from, tripWaits) // empty for a session: it goes away
		return to(w, out.Leave)
	}
	return p.comeBack(w, r, v, t, out)
}

// getReturn takes what a verifier sends back (RFC 6749 §4.1.2). It is the one
// GET that changes something: bound to this browser, and good once.
func (p *Portal) getReturn(w http.ResponseWriter, r *http.Request, v *visit) error {
	if len(p.providers()) == 0 {
		return noVerifier("portal.getReturn")
	}
	if r.Method != http.MethodGet { // looking is not coming back
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	t := trip{from: v.cookie(r, cookieTrip)}
	who, err := p.holder(r, v, t.from)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return p.lost(w, r, v)
	}
	if err != nil {
		return err
	}
	out, err := p.Door.ReturnFromVerifier(r.Context(), signin.Returning{
		Holder: who, Cookie: v.cookie(r, cookieDoor),
		Arrival: verifier.Arrival{Query: r.URL.Query(), Cookie: v.cookie(r, cookieAway), Origin: v.origin},
	})
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound && t.from == activating:
		return p.lost(w, r, v)
	case parvis.CodeOf(err) == parvis.CodeNotFound: // the session ended over there
		return p.mine(p.getHome)(w, r, v)
	case err != nil:
		return err
	}
	v.drop(w, cookieTrip)
	v.back = "/verifier" // nothing of the return in the links of the page
	t.purpose, t.provider, t.ticket = out.Purpose, out.Provider.ID, out.Return
	if out.Flow != "" || out.Session.Agent != "" {
		t.from, t.flow = "", out.Flow
	}
	return p.comeBack(w, r, v, t, out)
}

// comeBack goes on after a trip, or after one that could not begin.
func (p *Portal) comeBack(w http.ResponseWriter, r *http.Request, v *visit, t trip, out signin.Outcome) error {
	atDoor := t.flow != "" || out.Session.Agent != ""
	switch {
	case out.Step == signin.StepVerifier && len(out.Reasons) > 0:
		if codeIs(out.Reasons, parvis.WhyStepUpRequired) && v.in {
			path := "/verifier?" + url.Values{"purpose": {t.purpose}, "provider": {t.provider}, "return": {t.ticket}}.Encode()
			address, err := p.proveFor(path, "", true)
			if err != nil {
				return err
			}
			return to(w, address)
		}
		if atDoor {
			t.flow, t.ticket = out.Flow, out.Return
		}
		return p.turnedBack(w, r, v, t, out)
	case atDoor || out.Step != signin.StepDone:
		return p.goOn(w, r, v, attempt{out: out, ticket: out.Return, sent: url.Values{}})
	case t.from == activating:
		if _, err := p.Desk.Settle(r.Context(), v.activation(r), v.origin); err != nil {
			return err
		}
		return to(w, "/activate/verifier")
	}
	p.Sessions.Give(w, out.Token)
	if t.ticket != "" {
		return to(w, p.goal(t.ticket).address(t.ticket))
	}
	return to(w, "/security/verifier?done="+url.QueryEscape(t.purpose))
}

// turnedBack says why a trip came to nothing, and what to do.
func (p *Portal) turnedBack(w http.ResponseWriter, r *http.Request, v *visit, t trip, out signin.Outcome) error {
	v.leads = p.goal(t.ticket).leads()
	ref := out.Reference
	if ref == "" {
		refusal := helpdesk.Refusal{Origin: v.origin, Path: "/verifier/return", Decision: parvis.Decision{Reasons: out.Reasons}}
		if v.in {
			refusal.Agent = v.agent.Number
		}
		var err error
		if ref, err = p.Counter.Refuse(r.Context(), refusal); err != nil {
			return err
		}
	}
	return v.show(w, r, http.StatusForbidden, v.returnPage(t, out, ref))
}

// returnPage is the page of a trip that came to nothing: a function of its
// reason.
func (v *visit) returnPage(t trip, out signin.Outcome, ref parvis.Reference) page.Page {
	args := v.outside(out.Provider)
	for name, value := range out.Args {
		args[name] = value
	}
	pg := v.blockedPage(out.Reasons[:1], ref, args)
	pg.Screen = "verifier_return"
	body := pg.Body.(page.Refusal)
	say := func(key string) string { return v.say(key, args) }
	leave := func(key, kind string, more ...page.Hidden) page.Button {
		return page.Button{Text: say(key), Kind: kind, Post: "/verifier/leave", Hidden: t.hidden(more...)}
	}
	again := page.Hidden{Name: "again", Value: "1"}
	first := func(b ...page.Button) {
		if len(body.Steps) == 0 {
			body.Steps = []page.Step{{Title: say("verifier_return.then")}}
		}
		body.Steps[0].Actions = append(body.Steps[0].Actions, b...)
	}
	last := func(b ...page.Button) {
		i := len(body.Steps) - 1
		body.Steps[i].Actions = append(body.Steps[i].Actions, b...)
	}
	later := page.Button{Text: say("action.later"), Kind: "plain", Href: t.home()}
	switch out.Reasons[0].Code {
	case parvis.WhyVerifierMissing:
		if t.flow == "" {
			t.purpose = toLink
		}
		first(leave("action.continue_verifier", "primary"), later)
	case parvis.WhyVerifierUnverified:
		first(leave("action.verifier_confirmed", "primary"), later)
	case parvis.WhyVerifierAccountMismatch:
		first(leave("action.switch_account", "primary", again))
		if v.in && t.flow == "" {
			last(page.Button{Text: say("action.ask_replacement"), Href: "/security/verifier"})
		} else if len(body.Steps) > 0 {
			body.Steps[len(body.Steps)-1].Text = say("verifier_return.replace.contact")
		}
	case parvis.WhyVerifierAlreadyLinked:
		first(leave("action.switch_account", "primary", again))
	case parvis.WhyVerifierLevelTooLow:
		first(leave("action.continue_verifier", "primary", again), later)
	case parvis.WhyVerifierLockedNotice:
		if out.Provider.Recovery != "" {
			first(page.Button{Text: say("action.verifier_recovery"), Kind: "primary", Href: out.Provider.Recovery})
		}
		last(leave("action.start_again", ""))
	case parvis.WhyVerifierUnavailable:
		if out.Waivable {
			other := page.Button{
				Text: say("action.continue_other_way"), Kind: "primary", Post: "/prove",
				Hidden: []page.Hidden{{Name: "method", Value: string(parvis.VerifierWaived)}, {Name: "return", Value: t.ticket}},
			}
			if t.flow != "" {
				other.Post = "/signin"
				other.Hidden = append(other.Hidden, page.Hidden{Name: "flow", Value: t.flow})
			}
			first(other, leave("action.retry", ""))
		} else {
			body.Why = []string{say("verifier_return.wait.text")}
			first(leave("action.retry", "primary"), later)
		}
	default: // verifier_cancelled, and whatever may be tried again
		first(leave("action.start_again", "primary"), later)
	}
	if len(body.People) == 0 {
		body.People = v.people(2, "it_contact", "support_desk")
	}
	pg.Body = body
	return pg
}

// getLink shows the linked account, masked, and what can be done about it.
func (p *Portal) getLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	if len(p.providers()) == 0 {
		return noVerifier("portal.getLink")
	}
	links, err := p.Store.Links(r.Context(), v.agent.Number)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if id := q.Get("unlink"); id != "" {
		if one, ok := p.provider(id); ok && one.ID == id && tied(links, one) >= 0 {
			return v.show(w, r, http.StatusOK, v.unlinkPage(one))
		}
	}
	return v.show(w, r, http.StatusOK, v.linkPage(links, q.Get("done")))
}

func tied(links []store.Link, p verifier.Provider) int {
	return slices.IndexFunc(links, func(l store.Link) bool { return l.Issuer == p.Issuer })
}

func (v *visit) linkPage(links []store.Link, done string) page.Page {
	pg := page.Page{Screen: "security_verifier", Title: v.say("security_verifier.title"), Lead: v.say("security_verifier.lead")}
	var body page.Stack
	switch done {
	case toLink, toReplace, "unlink":
		body = append(body, page.Notice{Mark: page.Done, Title: v.say("security_verifier.done." + done), Text: v.say("security_verifier.done.mail")})
	case toProve:
		body = append(body, page.Notice{Mark: page.Done, Title: v.say("security_verifier.done.prove")})
	}
	for _, p := range v.p.providers() {
		args := v.outside(p)
		i := tied(links, p)
		if i < 0 {
			t := trip{purpose: toLink, provider: p.ID}
			body = append(body, page.Section{Title: v.say("security_verifier.none", args), Lead: v.say("security_verifier.none.text", args), Body: page.Actions{
				{Text: v.say("security_verifier.link", args), Kind: "primary", Post: "/verifier/leave", Hidden: t.hidden()},
			}})
			continue
		}
		replace := trip{purpose: toReplace, provider: p.ID}
		body = append(body, page.Section{Title: v.say("security.verifier.title", args), Body: page.Stack{
			v.linked(links[i]),
			page.Para(v.say("security_verifier.replace.text", args)),
			page.Actions{
				{Text: v.say("security_verifier.replace", args), Post: "/verifier/leave", Hidden: replace.hidden(page.Hidden{Name: "again", Value: "1"})},
				{Text: v.say("security_verifier.unlink", args), Kind: "plain", Href: "/security/verifier?unlink=" + url.QueryEscape(p.ID)},
			},
		}})
	}
	if len(v.p.providers()) == 1 {
		body = append(body, v.noAccount(v.p.providers()[0])[1])
	}
	pg.Body = append(body, page.Links{{Text: v.say("action.back"), Href: "/security"}})
	return pg
}

// linked is all that is known of a linked account.
func (v *visit) linked(l store.Link) page.Record {
	level := v.say("security_verifier.level.none")
	if l.Level != "" {
		level = l.Level
		if key := "security_verifier.level." + l.Level; v.p.Catalog.Has(key) {
			level = v.say(key)
		}
	}
	facts := page.Record{
		{Term: v.say("security_verifier.account"), Value: page.Masked{Text: l.Label, Spoken: v.say("security_verifier.account.spoken") + " " + strings.Trim(l.Label, "•")}},
		{Term: v.say("security_verifier.since"), Text: v.day(l.At)},
	}
	if !l.LastUsed.IsZero() {
		facts = append(facts, page.Fact{Term: v.say("security_verifier.used"), Text: v.p.Catalog.Format(v.lang, v.p.local(l.LastUsed))})
	}
	return append(facts, page.Fact{Term: v.say("security_verifier.level"), Text: level})
}

func (v *visit) unlinkPage(p verifier.Provider) page.Page {
	args := v.outside(p)
	return page.Page{
		Screen: "security_verifier", Title: v.say("security_verifier.title", args),
		Body: page.Confirm{
			Title: v.say("security_verifier.unlink.title", args), Text: v.say("security_verifier.unlink.text", args),
			Outcomes: []page.State{
				{Mark: page.Stop, Text: v.say("security_verifier.unlink.lost", args)},
				{Mark: page.Done, Text: v.say("security_verifier.unlink.stays", args)},
			},
			Form: page.Form{
				Action: "/security/verifier", Hidden: []page.Hidden{{Name: "unlink", Value: p.ID}},
				Buttons: []page.Button{
					{Text: v.say("security_verifier.unlink", args), Kind: "stop"}, {Text: v.say("action.cancel"), Kind: "plain", Href: "/security/verifier"},
				},
			},
		},
	}
}

// postLink unties an account.
func (p *Portal) postLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	one, ok := p.provider(sent.Get("unlink"))
	if !ok || one.ID != sent.Get("unlink") {
		return noVerifier("portal.postLink")
	}
	who, err := p.holder(r, v, "")
	if err != nil {
		return err
	}
	out, err := p.Door.UnlinkVerifier(r.Context(), who, one.Issuer)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound: // it was untied already, or the session is over
		return to(w, "/security/verifier")
	case err != nil:
		return err
	case out.Done:
		return to(w, "/security/verifier?done=unlink")
	case out.Reason.Code == parvis.WhyStepUpRequired:
		address, err := p.proveFor("/security/verifier?unlink="+url.QueryEscape(one.ID), "", true)
		if err != nil {
			return err
		}
		return to(w, address)
	}
	links, err := p.Store.Links(r.Context(), v.agent.Number)
	if err != nil {
		return err
	}
	pg := v.linkPage(links, "")
	told := v.tell(parvis.Decision{Reasons: []parvis.Reason{out.Reason}}, parvis.App{}, v.origin.Channel, v.outside(one))
	key, notice := "security_verifier.forbidden", page.Notice{Mark: page.Warn, Alert: true}
	if out.Reason.Code == parvis.WhyFactorEnrolHereForbidden { // a password from outside: what is enough
		back := "/security/verifier?unlink=" + url.QueryEscape(one.ID)
		code, err := p.proveFor(back, string(parvis.TemporaryCode), false)
		if err != nil {
			return err
		}
		prove := trip{purpose: toProve, provider: one.ID}
		key, notice.Mark, notice.Actions = "security_verifier.here", page.Locked, []page.Button{
			{Text: v.say("action.continue_verifier", v.outside(one)), Kind: "primary", Post: "/verifier/leave", Hidden: prove.hidden()},
			{Text: v.say("action.have_temporary_code"), Href: code},
		}
	}
	told.Reasons[0].Title, told.Reasons[0].Answer.Why = v.say(key+".title", v.outside(one)), v.say(key+".text", v.outside(one))
	notice.Title, notice.Text = told.Reasons[0].Title, told.Reasons[0].Answer.Why
	v.refuses(&pg, told, "")
	pg.Erroneous = true
	pg.Body = append(page.Stack{notice}, pg.Body.(page.Stack)...)
	return v.show(w, r, http.StatusUnprocessableEntity, pg)
}
