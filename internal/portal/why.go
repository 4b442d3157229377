package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/page"
	"parvis/internal/text"
)

// facet is one thing that has to be right before an application opens, as the
// checklist says it: why_not.ok.FACET and why_not.lacking.FACET.
type facet string

const (
	onAccount     facet = "account"
	onPassword    facet = "password"
	onLink        facet = "link"
	onChannel     facet = "channel"
	onEntitlement facet = "entitlement"
	onTime        facet = "time"
	onDevice      facet = "device"
	onSecond      facet = "second"
	onApp         facet = "app"
	onAction      facet = "action" // one act in an application that opens
)

// facetOf tells what a reason is about. What is not recognised is the account's.
func facetOf(code parvis.ReasonCode) facet {
	switch code {
	case parvis.WhyChannelClosed:
		return onTime
	case parvis.WhyInternalAddressOutside:
		return onChannel
	case parvis.WhyStepUpRequired:
		return onSecond
	case parvis.WhyAppDown, "app_maintenance":
		return onApp
	case parvis.WhyAppReducedHere:
		return onAction
	}
	for prefix, f := range map[string]facet{
		"password_": onPassword, "verifier_": onLink, "channel_": onChannel, "app_": onEntitlement,
		"vpn_": onDevice, "device_": onDevice, "factor_": onSecond, "code_": onSecond,
	} {
		if strings.HasPrefix(string(code), prefix) {
			return f
		}
	}
	return onAccount
}

// checks says what is right and what is missing, so that nobody looks for a
// fault in their password when it is the entrance.
func (v *visit) checks(d parvis.Decision, app parvis.App, ch parvis.Channel, proofs []parvis.Proof) page.Checklist {
	lacking := map[facet]bool{}
	for _, r := range d.Reasons {
		lacking[facetOf(r.Code)] = true
	}
	second := slices.ContainsFunc(proofs, func(p parvis.Proof) bool { return p.Kind.Second() })
	args := text.Args{
		"app": app.Name.In(string(v.lang)), "channel": v.channel(ch, "label"), "channel_label": v.channel(ch, "the"),
	}
	if owner := app.Owner.In(string(v.lang)); owner != "" {
		args["owner"] = owner
	}
	var all page.Checklist
	for _, c := range []struct {
		facet facet
		shown bool // when nothing is missing
	}{
		{onAccount, true},
		{onPassword, true},
		{onLink, false},
		{onChannel, true},
		{onEntitlement, true},
		{onTime, app.OfficeHours},
		{onDevice, false},
		{onSecond, second},
		{onApp, false},
		{onAction, false},
	} {
		switch {
		case lacking[c.facet]:
			all = append(all, page.Check{Text: v.say("why_not.lacking."+string(c.facet), args)})
		case c.shown:
			all = append(all, page.Check{OK: true, Text: v.say("why_not.ok."+string(c.facet), args)})
		}
	}
	return all
}

// getWhy is a refusal made readable: frozen as it was told, for the agent it
// was told to and for nobody else.
func (p *Portal) getWhy(w http.ResponseWriter, r *http.Request, v *visit) error {
	refusal, err := p.Counter.Look(r.Context(), r.PathValue("reference"))
	if err != nil {
		return err
	}
	if refusal.Agent != v.agent.Number {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "portal.getWhy"}
	}
	app, known := p.Policy.App(refusal.App)
	pg := v.blockedPage(refusal.Decision.Reasons, refusal.Reference, nil)
	if known {
		pg = v.whyPage(refusal, app)
	}
	if edge.WantsJSON(r) { // the object of the refusal; reading it is no failure
		return v.answer(w, r, http.StatusOK, v.problem(r, http.StatusForbidden, pg))
	}
	return v.show(w, r, http.StatusOK, pg)
}

func (v *visit) whyPage(refusal helpdesk.Refusal, app parvis.App) page.Page {
	ch := refusal.Origin.Channel
	told := v.tell(refusal.Decision, app, ch, v.account())
	pg := page.Page{
		Screen: "why_not", Width: page.Wide,
		Title: v.say("why_not.title", text.Args{"app": app.Name.In(string(v.lang))}),
	}
	v.refuses(&pg, told, refusal.Reference)
	body := page.Refusal{
		Checks: v.checks(refusal.Decision, app, ch, refusal.Facts.Proofs),
		Steps:  v.steps(told, app, inside(app, refusal.Path)),
		Ticket: v.ticket(string(refusal.Reference), refusal.At, ch, string(v.agent.Number)),
		People: v.helpers(told),
		Other:  &page.Link{Text: v.say("action.diagnosis"), Href: "/diagnosis"},
	}
	for i, reason := range told.Reasons {
		if i == 0 {
			pg.Title = reason.Title
		}
		if why := because(i, reason); why != "" {
			body.Why = append(body.Why, why)
		}
	}
	body.Here = v.openHere(app.ID)
	if len(body.Here) > 0 {
		body.Meanwhile = v.say("portal.here")
	}
	all := page.Stack{}
	if now := v.place(app, v.origin.Channel); now.decision.Open && now.state != isDown {
		all = append(all, v.nowOpen(refusal, now))
	}
	pg.Body = append(all, body)
	return pg
}

// inside is where in an application a refused request was going: the path of a
// protocol is one of ours, and leads nowhere without its question.
func inside(app parvis.App, path string) string {
	if app.OIDC == nil && app.CAS == nil && app.SAML == nil {
		return path
	}
	for _, of := range []string{"/authorize", "/cas/", "/saml/", "/device"} {
		if strings.HasPrefix(path, of) {
			return "/"
		}
	}
	return path
}

// nowOpen says that the application can be opened: because something changed
// since the refusal, or because one act in it was refused, and not the rest.
func (v *visit) nowOpen(refusal helpdesk.Refusal, now place) page.Notice {
	args := text.Args{"app": now.app.Name.In(string(v.lang)), "date_time": v.p.local(refusal.At)}
	n := page.Notice{Mark: page.Done, Title: v.say("why_not.now_open.title", args), Text: v.say("why_not.now_open.text", args)}
	button := page.Button{Text: v.say("action.open_app", args), Kind: "primary"}
	if refusal.Decision.Has(parvis.WhyAppReducedHere) && now.decision.Limited {
		n = page.Notice{Mark: page.Info, Title: v.say("why_not.reduced.open", args)}
		button = page.Button{Text: v.say("why_not.reduced.action")}
	}
	if tiled(now.app) {
		button.Href, button.Out = v.href(now)
		n.Actions = []page.Button{button}
	}
	return n
}

// because is why: what the title has said once is not said again.
func because(i int, reason text.ToldReason) string {
	if i == 0 {
		return reason.Answer.Why
	}
	return strings.TrimSpace(sentence(reason.Title) + " " + reason.Answer.Why)
}

// sentence ends a title so that another sentence may follow it.
func sentence(title string) string {
	if strings.HasSuffix(title, ".") || strings.HasSuffix(title, "!") || strings.HasSuffix(title, "?") {
		return title
	}
	return title + "."
}

// steps numbers what to do: the ways of the engine, or, when there is none,
// what the reasons advise and who decides.
func (v *visit) steps(told text.Told, app parvis.App, path string) []page.Step {
	var steps []page.Step
	for _, way := range told.Ways {
		steps = append(steps, page.Step{Title: sentence(way.Title), By: v.by(way), Actions: v.wayActions(way, app, path)})
	}
	if len(steps) > 0 {
		return steps
	}
	if slices.ContainsFunc(told.Reasons, func(r text.ToldReason) bool { return r.Code == string(parvis.WhyAppReducedHere) }) {
		return []page.Step{{Title: v.whole(app)}}
	}
	for _, reason := range told.Reasons {
		for _, do := range reason.Answer.Do {
			steps = append(steps, page.Step{Title: do})
		}
	}
	if len(steps) == 0 {
		who := v.say("actor.it_department.the")
		if len(told.Reasons) > 0 && len(told.Reasons[0].Actors) > 0 {
			args := text.Args{}
			if owner := app.Owner.In(string(v.lang)); owner != "" {
				args["owner"] = owner
			}
			who = v.say("actor."+told.Reasons[0].Actors[0]+".the", args)
		}
		steps = append(steps, page.Step{Title: v.say("refusal.ways.none", text.Args{"who": who})})
	}
	return steps
}

// whole says where an application opens whole.
func (v *visit) whole(app parvis.App) string {
	var where []string
	for _, ch := range app.Channels {
		if !slices.Contains(app.Reduced, ch) {
			where = append(where, v.say("way.tile.channel."+string(ch)))
		}
	}
	args := text.Args{"app": app.Name.In(string(v.lang))}
	if len(where) > 0 {
		args["where"] = v.either(where)
		return v.say("why_not.reduced.where", args)
	}
	if owner := app.Owner.In(string(v.lang)); owner != "" {
		args["owner"] = owner
	}
	return v.say("why_not.reduced.nowhere", args)
}

// by says who acts, when it is not the reader alone.
func (v *visit) by(way text.ToldWay) string {
	waits := false
	for _, c := range way.Changes {
		if c.By != string(parvis.BySelf) {
			return ""
		}
		waits = waits || c.Kind == string(parvis.ChangeTime)
	}
	if waits {
		return ""
	}
	return v.say("portal.by_self")
}

// wayActions gives the buttons of a way that this very page can offer. Path is
// where in the application one was going. What follows a change of entrance is
// done there, and a proof shown before waiting is too old afterwards.
func (v *visit) wayActions(way text.ToldWay, app parvis.App, path string) []page.Button {
	var all []page.Button
	is := func(kind parvis.ChangeKind) bool {
		return slices.ContainsFunc(way.Changes, func(c text.ToldChange) bool { return c.Kind == string(kind) })
	}
	moves, waits := is(parvis.ChangeChannel), is(parvis.ChangeTime)
	for _, c := range way.Changes {
		kind := parvis.ChangeKind(c.Kind)
		if c.By != string(parvis.BySelf) || moves && kind != parvis.ChangeChannel {
			continue
		}
		if waits && kind == parvis.ChangeProof && !v.enrols(c.To, v.origin.Channel) {
			continue
		}
		all = append(all, v.changeActions(c, app, path)...)
	}
	for i := 1; i < len(all); i++ {
		all[i].Kind = ""
	}
	return all
}

// changeActions is the button of one change of one's own.
func (v *visit) changeActions(c text.ToldChange, app parvis.App, path string) []page.Button {
	switch parvis.ChangeKind(c.Kind) {
	case parvis.ChangeChannel:
		ch := parvis.Channel(c.To)
		if ch != parvis.Mobile || v.p.Addresses.Portal(ch) == "" {
			return nil // no link leads to the office
		}
		href := v.p.Addresses.Portal(ch) + "/app/" + url.PathEscape(string(app.ID))
		if served(app) {
			href = v.p.Addresses.App(ch, app.ID) + "/"
		}
		return []page.Button{{Text: v.say("action.go_mobile"), Href: href}}
	case parvis.ChangeLink:
		return v.wayButton(v.say("action.continue_verifier"), "/verifier?", app, path)
	case parvis.ChangeProof:
		switch {
		case c.To == string(parvis.Verifier):
			return v.wayButton(v.say("action.continue_verifier"), "/verifier?purpose=prove&", app, path)
		case v.enrols(c.To, v.origin.Channel):
			return []page.Button{{Text: v.say("action.add_method"), Kind: "primary", Href: factorsPath}}
		case c.To == "second":
			return v.wayButton(v.say("action.confirm_self"), "/prove?", app, path)
		}
		return v.wayButton(v.say("action.confirm_self"), "/prove?method="+url.QueryEscape(c.To)+"&", app, path)
	}
	return nil
}

// wayButton leads to a page that comes back into the application.
func (v *visit) wayButton(label, to string, app parvis.App, path string) []page.Button {
	if !local(path) {
		path = "/"
	}
	ticket, err := v.p.wicket.returns.Issue(localReturn{Path: path, App: app.ID}, v.p.Clock(), time.Hour)
	if err != nil {
		return nil // the way is still said
	}
	return []page.Button{{Text: label, Kind: "primary", Href: to + "return=" + url.QueryEscape(ticket)}}
}

// enrols tells whether a way that asks for a proof, at an entrance, asks for one
// that is not held, or cannot be shown there.
func (v *visit) enrols(kind string, ch parvis.Channel) bool {
	if !v.in {
		return false
	}
	shown := func(k parvis.ProofKind) bool {
		site := v.p.Policy.Site(ch)
		return slices.Contains(v.standing.Enrolled, k) &&
			(k != parvis.Passkey || site == "" || len(v.standing.Sites) == 0 || slices.Contains(v.standing.Sites, site))
	}
	switch k := parvis.ProofKind(kind); k {
	case parvis.Password, parvis.TemporaryCode, parvis.Verifier:
		return false
	case "second": // a text message that is held does not do, or this would not be the way
		return !shown(parvis.TOTP) && !shown(parvis.Passkey) && !shown(parvis.RecoveryCode)
	default:
		return !shown(k)
	}
}

// helpers are the people who can act on what was told, and the support desk.
func (v *visit) helpers(told text.Told) page.People {
	var roles []string
	add := func(role string) {
		if role != "self" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	for _, way := range told.Ways {
		for _, c := range way.Changes {
			add(c.By)
		}
	}
	for _, reason := range told.Reasons {
		for _, actor := range reason.Actors {
			add(actor)
		}
	}
	add("support_desk")
	return v.people(3, roles...)
}

// openHere lists what opens here and now, but for one application.
func (v *visit) openHere(but parvis.AppID) []page.Link {
	var all []page.Link
	for _, app := range v.p.Policy.Apps() {
		if app.ID == but || !tiled(app) || len(all) == 8 {
			continue
		}
		if pl := v.place(app, v.origin.Channel); pl.decision.Open && pl.state != isDown {
			href, out := v.href(pl)
			all = append(all, page.Link{Text: app.Name.In(string(v.lang)), Href: href, Out: out})
		}
	}
	return all
}

// blockedPage tells what keeps somebody out altogether.
func (v *visit) blockedPage(reasons []parvis.Reason, ref parvis.Reference, args text.Args) page.Page {
	told := v.tell(parvis.Decision{Reasons: reasons}, parvis.App{}, v.origin.Channel, v.account(), args)
	pg := page.Page{Screen: "blocked", Title: v.say("blocked.title"), Width: page.Wide}
	v.refuses(&pg, told, ref)
	number := ""
	if v.in {
		number = string(v.agent.Number)
	}
	body := page.Refusal{
		Ticket: v.ticket(string(ref), v.at, v.origin.Channel, number),
		People: v.helpers(told),
		Other:  &page.Link{Text: v.say("action.diagnosis"), Href: "/diagnosis"},
	}
	for i, reason := range told.Reasons {
		if i == 0 {
			pg.Title = reason.Title
		}
		if why := because(i, reason); why != "" {
			body.Why = append(body.Why, why)
		}
		for _, do := range reason.Answer.Do {
			body.Steps = append(body.Steps, page.Step{Title: do})
		}
		if body.Meanwhile == "" {
			body.Meanwhile = reason.Answer.Meanwhile
		}
	}
	pg.Body = body
	return pg
}

// refuseEntrance answers a request through an entrance that is not known, or at
// the address of another one.
func (p *Portal) refuseEntrance(w http.ResponseWriter, r *http.Request, v *visit, code parvis.ReasonCode) error {
	decision := parvis.Decision{Reasons: []parvis.Reason{{Code: code}}}
	ref, err := p.Counter.Refuse(r.Context(), helpdesk.Refusal{Origin: v.origin, Path: r.URL.Path, Decision: decision})
	if err != nil {
		return err
	}
	pg := v.blockedPage(decision.Reasons, ref, nil)
	if code == parvis.WhyInternalAddressOutside {
		if mobile := p.Addresses.Portal(parvis.Mobile); mobile != "" {
			body := pg.Body.(page.Refusal)
			body.Steps = append(body.Steps, page.Step{
				Title: v.say("portal.outside.mobile"), Actions: []page.Button{{Text: v.say("action.go_mobile"), Kind: "primary", Href: mobile + "/"}},
			})
			pg.Body = body
		}
	}
	return v.show(w, r, http.StatusForbidden, pg)
}
