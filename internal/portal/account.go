package portal

import (
	"encoding/hex"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// getSecurity is one page of truth about what protects the account.
func (p *Portal) getSecurity(w http.ResponseWriter, r *http.Request, v *visit) error {
	open, err := p.Sessions.List(r.Context(), v.agent.Number)
	if err != nil {
		return err
	}
	links, err := p.Store.Links(r.Context(), v.agent.Number)
	if err != nil {
		return err
	}
	apps, err := v.holdings(r.Context())
	if err != nil {
		return err
	}
	pg := v.securityPage(len(open), len(apps), links)
	if r.URL.Query().Has("changed") {
		pg.Body = append(page.Stack{page.Notice{Mark: page.Done, Title: v.say("security_password.done")}}, pg.Body.(page.Stack)...)
	}
	return v.show(w, r, http.StatusOK, pg)
}

func (v *visit) securityPage(sessions, apps int, links []store.Link) page.Page {
	return page.Page{
		Screen: "security", Title: v.say("security.title"), Width: page.Wide,
		Body: page.Stack{
			page.Pair{First: v.ownCard(), Second: v.verifierCard(links)},
			page.Section{Title: v.say("security.second.title"), Body: v.second()},
			page.Section{Title: v.say("security.profile.title"), Body: page.Para(v.profiles())},
			page.Section{Title: v.say("security.devices.title"), Body: v.devices()},
			page.Section{Title: v.say("security.contacts.title"), Body: v.contacts()},
			page.Section{Title: v.say("security.apps.title"), Body: page.Links{
				{Text: v.say("security.apps.count", text.Args{"n": apps}), Href: appsPath},
			}},
			page.Section{Title: v.say("sessions.title"), Body: page.Links{
				{Text: v.say("security.sessions.count", text.Args{"n": sessions}), Href: "/sessions"},
				{Text: v.say("activity.title"), Href: "/activity"},
			}},
		},
	}
}

// ownCard is the account that the organisation keeps: who runs it, when its
// password last changed, and who gives another.
func (v *visit) ownCard() page.Account {
	st := v.standing
	facts := page.Record{
		{Term: v.say("portal.identifier"), Text: string(v.agent.Number), Mono: true},
		{Term: v.say("portal.kept_by"), Text: v.say("actor.it_department.the")},
	}
	if !st.PasswordSince.IsZero() {
		password := v.say("security.password.never")
		if !st.PasswordExpires.IsZero() {
			password = v.say("security.password.expires", text.Args{"date": v.p.local(st.PasswordExpires)})
		}
		facts = append(facts, page.Fact{
			Term: v.say("portal.password"),
			Text: v.say("security.password.changed", text.Args{"date": v.p.local(st.PasswordSince)}) + ". " + password + ".",
		})
	}
	return page.Account{
		Title: v.say("security.agent.title"), For: v.say("activation_overview.agent.for"),
		State:   page.State{Mark: page.Done, Text: capital(v.say("account_state." + string(v.agent.StateAt(v.at))))},
		Facts:   append(facts, page.Fact{Term: v.say("portal.forgotten"), Text: v.say("portal.forgotten.agent")}),
		Actions: []page.Button{{Text: v.say("action.change_password"), Href: ownPassword}},
	}
}

// verifierCard is the account kept elsewhere: the linked one when there is one.
func (v *visit) verifierCard(links []store.Link) page.Account {
	one := v.p.linkedTo(v.standing)
	if one.ID == "" {
		one, _ = v.p.provider("")
	}
	args := v.outside(one)
	card := page.Account{
		Title: v.say("security.verifier.title", args), For: v.say("activation_overview.verifier.for"),
		State: page.State{Mark: page.Info, Text: v.say("security.verifier.off")},
		Facts: page.Record{
			{Term: v.say("portal.kept_by"), Text: v.say("actor.verifier_owner.the", args)},
			{Term: v.say("portal.forgotten"), Text: v.say("portal.forgotten.verifier", args)},
		},
	}
	if one.ID == "" {
		return card
	}
	if host := hostOf(one); host != "" {
		card.Facts = append(page.Record{{Term: v.say("verifier_redirect.address", args), Text: host, Mono: true}}, card.Facts...)
	}
	if i := tied(links, one); i >= 0 {
		card.State = page.State{Mark: page.Done, Text: v.say("portal.verifier.linked")}
		card.Facts = append(v.linked(links[i]), card.Facts...)
		card.Actions = []page.Button{{Text: v.say("security.verifier.see", args), Href: "/security/verifier"}}
		return card
	}
	card.State.Text = v.say("security.verifier.none")
	switch v.p.Policy.VerifierMode(v.agent, v.origin.Channel) {
	case parvis.VerifierOff, parvis.VerifierOffered, "":
	default:
		card.State.Mark = page.Todo
	}
	card.Facts = append(page.Record{{Term: v.say("portal.identifier"), Text: v.say("portal.verifier.identifier")}}, card.Facts...)
	card.Actions = []page.Button{{Text: v.say("security_verifier.link", args), Href: "/security/verifier"}}
	return card
}

func (v *visit) profiles() string {
	ids := v.agent.Profiles
	if len(ids) == 0 {
		ids = []parvis.ProfileID{parvis.Standard}
	}
	var names []string
	for _, id := range ids {
		name := string(id)
		if v.p.Catalog.Has("profile." + name) {
			name = v.say("profile." + name)
		}
		for _, pr := range v.p.Profiles {
			if label := pr.Label.In(string(v.lang)); pr.ID == id && label != "" {
				name = label
			}
		}
		names = append(names, name)
	}
	return v.say("security.profile.text", text.Args{"profiles": names})
}

func (v *visit) devices() page.Rows {
	var rows page.Rows
	for _, d := range v.standing.Devices {
		name := d.Name
		if name == "" {
			name = v.say("portal.device.unnamed")
		}
		row := page.Row{Icon: "device-desktop", Name: name, Text: v.say("portal.device.seen", text.Args{"date_time": v.p.local(d.LastSeen)})}
		switch {
		case d.ID == v.device.ID:
			row.State = &page.State{Mark: page.Info, Text: v.say("security.devices.this")}
		case d.Validated:
			row.State = &page.State{Mark: page.Done, Text: v.say("why_not.ok.device")}
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		rows = page.Rows{{Icon: "device-desktop", Name: v.say("security.devices.none")}}
	}
	return rows
}

func (v *visit) contacts() page.Record {
	facts := page.Record{}
	for _, c := range []struct{ key, text string }{
		{"field.email.label", v.agent.Email},
		{"field.personal_email.label", masked(v.agent.PersonalEmail)},
		{"field.personal_mobile.label", maskedPhone(v.agent.PersonalMobile)},
	} {
		if c.text == "" {
			c.text = v.say("chrome.none")
		}
		facts = append(facts, page.Fact{Term: v.say(c.key), Text: c.text})
	}
	return facts
}

// getSessions lists what is open, and lets any of it be closed.
func (p *Portal) getSessions(w http.ResponseWriter, r *http.Request, v *visit) error {
	open, err := p.Sessions.List(r.Context(), v.agent.Number)
	if err != nil {
		return err
	}
	ended, err := strconv.Atoi(r.URL.Query().Get("ended"))
	if err != nil || ended < 0 || ended > 999 {
		ended = 0
	}
	return v.show(w, r, http.StatusOK, v.sessionsPage(open, ended))
}

func (v *visit) sessionsPage(open []store.SessionRow, ended int) page.Page {
	pg := page.Page{Screen: "sessions", Title: v.say("sessions.title"), Lead: v.say("sessions.lead"), Width: page.Wide}
	body := page.Stack{}
	if ended > 0 {
		body = append(body, page.Notice{Mark: page.Done, Title: v.say("sessions.ended", text.Args{"n": ended})})
	}
	var rows page.Rows
	for _, s := range open {
		browser := s.Browser
		if browser == "" {
			browser = v.say("portal.device.unnamed")
		}
		row := page.Row{
			Icon: "device-desktop", Name: capital(v.channel(s.Channel, "label")) + " — " + browser,
			Text: v.say("portal.session.line", text.Args{
				"since": v.p.local(s.Began), "seen_when": v.p.local(s.LastSeen), "end_when": v.p.local(s.Ends),
			}),
		}
		if s.ID == v.session.ID {
			row.State = &page.State{Mark: page.Info, Text: v.say("sessions.this")}
		} else {
			row.Actions = []page.Button{{
				Text: v.say("sessions.end"), Post: "/sessions", Hidden: []page.Hidden{{Name: "session", Value: hex.EncodeToString(s.ID[:])}},
				About: v.say("portal.session.about", text.Args{"channel": v.channel(s.Channel, "label"), "device": browser}),
			}}
		}
		rows = append(rows, row)
	}
	body = append(body, page.Section{Title: v.say("security.sessions.count", text.Args{"n": len(open)}), Body: rows})
	if len(open) > 1 {
		body = append(body, page.Form{
			Action: "/sessions", Hidden: []page.Hidden{{Name: "session", Value: "others"}}, Note: v.say("sessions.confirm_others.text"),
			Buttons: []page.Button{{Text: v.say("sessions.end_others"), Kind: "stop"}},
		})
	} else {
		body = append(body, page.Para(v.say("sessions.only")))
	}
	pg.Body = body
	return pg
}

// postSessions ends one session of this agent, or all but this one. Ending what
// is over already is done.
func (p *Portal) postSessions(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	which, ended := sent.Get("session"), 0
	open, err := p.Sessions.List(r.Context(), v.agent.Number)
	if err != nil {
		return err
	}
	err = p.Store.Write(r.Context(), func(tx *store.Tx) error {
		if which == "others" {
			ended, err = p.Sessions.EndAll(tx, v.agent.Number, v.session.ID, "by_owner")
			return err
		}
		ended = 0
		for _, s := range open { // of this agent: nobody ends what is another's
			if hex.EncodeToString(s.ID[:]) == which {
				ended = 1
				return p.Sessions.End(tx, s.ID, "by_owner")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if which == hex.EncodeToString(v.session.ID[:]) {
		p.Sessions.Drop(w)
		return to(w, "/signout")
	}
	return to(w, "/sessions?ended="+strconv.Itoa(ended))
}

// manyEvents is how much of the journal one page shows; nearby is how far beyond
// it the event is looked for that takes back a try at a password.
const (
	manyEvents = 60
	nearby     = 500
)

// quiet are events that say nothing to the person they are about.
func quiet(kind string) bool {
	switch kind {
	case "session.seen", "message.tried", "message.queued", "message.deferred", "message.purged", "password.rehashed", "session.began", "session.forgotten", "sign_in.refused", "demo.settled",
		"message.noted", "grant.renewed", "grant.asked", "grant.answered", "grant.logout_asked", "notice.delivered", "notice.failed", "notice.given_up":
		return true
	}
	return false
}

// getActivity is the journal of the account, for the person it is about.
func (p *Portal) getActivity(w http.ResponseWriter, r *http.Request, v *visit) error {
	filter := store.EventFilter{Agent: v.agent.Number, Latest: true, Limit: nearby + 4*manyEvents, Since: v.at.AddDate(-1, 0, 0)}
	before, err := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	if err != nil || before <= 0 || before > math.MaxInt64-nearby {
		before = math.MaxInt64
	} else {
		filter.Before = before + nearby
	}
	show := r.URL.Query().Get("show")
	if show == "sign_in" {
		filter.Kind = "sign_in"
	}
	events, err := p.Store.Events(r.Context(), filter)
	if err != nil {
		return err
	}
	var lines page.Timeline
	older, right, shown := "", map[string]bool{}, int64(0)
	for _, e := range events {
		// A try is written down as failed before it is looked at; the event that
		// takes this back comes later, so it is read first.
		try := e.Detail["try"]
		if e.Kind == "sign_in.ok" && try != "" {
			right[try] = true
		}
		// A password shown again by somebody who is in opens no session.
		if e.Kind == "password.confirmed" {
			shown = e.Seq
		}
		if e.Seq >= before {
			continue
		}
		skip := quiet(e.Kind) || e.Kind == "sign_in.failed" && right[try] || e.Kind == "sign_in.ok" && e.Seq+1 == shown
		if !skip && len(lines) == manyEvents {
			break
		}
		if !skip {
			lines = append(lines, v.line(r, e))
		}
		older = "/activity?before=" + strconv.FormatInt(e.Seq, 10)
	}
	if len(lines) < manyEvents && len(events) < filter.Limit {
		older = ""
	} else if show == "sign_in" {
		older += "&show=sign_in"
	}
	return v.show(w, r, http.StatusOK, v.activityPage(lines, show, older))
}

func (v *visit) activityPage(lines page.Timeline, show, older string) page.Page {
	other := page.Link{Text: v.say("portal.activity.sign_in"), Href: "/activity?show=sign_in"}
	if show == "sign_in" {
		other = page.Link{Text: v.say("portal.activity.all"), Href: "/activity"}
	}
	body := page.Stack{page.Links{other}}
	if len(lines) > 0 {
		body = append(body, lines)
	} else {
		body = append(body, page.Para(v.say("activity.empty")))
	}
	if older != "" {
		body = append(body, page.Links{{Text: v.say("activity.older"), Href: older}})
	}
	body = append(body, page.Para(v.say("activity.not_me", v.support())))
	return page.Page{Screen: "activity", Title: v.say("activity.title"), Lead: v.say("activity.lead"), Body: body}
}

// line says one event.
func (v *visit) line(r *http.Request, e parvis.Event) page.Event {
	args := text.Args{}
	if e.Channel.Known() {
		args["channel_label"] = v.channel(e.Channel, "the")
	} else {
		args["channel_label"] = ""
	}
	if app, ok := v.p.Policy.App(e.App); ok {
		args["app"] = app.Name.In(string(v.lang))
	} else if e.App != "" {
		args["app"] = string(e.App)
	}
	why := ""
	if len(e.Reasons) > 0 {
		app, _ := v.p.Policy.App(e.App)
		told := v.tell(parvis.Decision{Reasons: []parvis.Reason{{Code: e.Reasons[0]}}}, app, e.Channel, v.support())
		why = sentence(told.Reasons[0].Title)
	}
	v.detail(e, args)
	title, key := v.say("event.other"), "event."+e.Kind
	if e.App == "" && v.p.Catalog.Has(key+".all") { // of several applications at once
		key += ".all"
	}
	if v.p.Catalog.Has(key) {
		title = v.say(key, args)
	}
	line := page.Event{
		When: v.p.Catalog.Format(v.lang, v.p.local(e.At)), At: e.At.UTC().Format(time.RFC3339), Title: title, Mark: markOf(e.Kind),
		By: v.actor(r, e.Actor),
	}
	if e.Reference != "" {
		why = strings.TrimSpace(why + " " + v.say("portal.reference.line", text.Args{"ref": string(e.Reference)}))
	}
	line.Text = why
	return line
}

// detail gives the values that some kinds of event carry.
func (v *visit) detail(e parvis.Event, args text.Args) {
	if why := e.Detail["why"]; why != "" && v.p.Catalog.Has("event_end."+why) {
		args["why"] = v.say("event_end." + why)
	}
	if kind := e.Detail["proof"]; kind != "" && v.p.Catalog.Has("proof."+kind) {
		args["proof"] = v.say("proof." + kind)
	}
	if kind := e.Detail["kind"]; strings.HasPrefix(e.Kind, "second.") && v.p.Catalog.Has("proof."+kind) {
		args["proof"] = v.say("proof." + kind)
	}
	if role := e.Detail["role"]; role != "" && v.p.Catalog.Has("role."+role) {
		args["role"] = v.say("role." + role)
	}
	for _, d := range v.standing.Devices {
		if string(d.ID) == e.Detail["device"] && d.Name != "" {
			args["device"] = d.Name
		}
	}
	if until, err := time.Parse(time.RFC3339, e.Detail["until"]); err == nil {
		args["time"] = v.p.local(until)
	}
}

func markOf(kind string) page.Mark {
	switch {
	case strings.HasSuffix(kind, ".refused"), strings.HasSuffix(kind, ".failed"), strings.HasSuffix(kind, ".waited"),
		strings.HasSuffix(kind, ".blocked"), strings.HasSuffix(kind, ".locked"), strings.HasSuffix(kind, ".cloned"), strings.HasSuffix(kind, ".replayed"),
		strings.HasSuffix(kind, "_failed"), strings.HasSuffix(kind, "_refused"), kind == "password.disabled":
		return page.Warn
	case strings.HasSuffix(kind, ".read"), kind == "app.entered", kind == "app.tried": // on the way: the application may still be refused
		return page.Info
	}
	return page.Done
}

// actor says who did something: oneself, the portal, or somebody by their role.
func (v *visit) actor(r *http.Request, actor string) string {
	switch {
	case actor == string(v.agent.Number):
		return v.say("activity.by_self")
	case strings.HasPrefix(actor, "operator:"):
		return capital(v.say("role.operator"))
	case actor == "system", actor == "":
		return capital(v.say("role.system"))
	}
	role := "agent"
	if who, _, err := v.p.Directory.Facts(r.Context(), parvis.AgentNumber(actor)); err == nil && len(who.Roles) > 0 {
		role = string(who.Roles[0])
	}
	return capital(v.say("role." + role))
}
