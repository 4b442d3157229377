package portal

import (
	"net/http"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/recovery"
	"parvis/internal/seal"
	"parvis/internal/text"
)

// The task list of whoever arrives: within an activation, and for whoever is in
// with something demanded that is not done.

const (
	cookieCode = "parvis-code" // a right code that waits for its agent to sign in

	tripWaits = 10 * time.Minute
	codeWaits = 15 * time.Minute
)

// activation is the cookie of the task list of this browser.
func (v *visit) activation(r *http.Request) seal.Secret {
	return seal.Secret(v.cookie(r, cookieActivation))
}

// waiting is a code that was right, and is not enough alone.
type waiting struct {
	Code string `json:"c"`
}

// signInFirst is the answer to a code whose account has a secret: it waits,
// sealed, until its agent has signed in.
func (p *Portal) signInFirst(w http.ResponseWriter, r *http.Request, v *visit, in recovery.Redemption) error {
	if in.Link == "" {
		ticket, err := p.Keys.Box("portal-code").Issue(waiting{in.Code}, p.Clock(), codeWaits)
		if err != nil {
			return err
		}
		v.keep(w, cookieCode, ticket, codeWaits)
	}
	door, err := p.doorTo("/activate/link")
	if err != nil {
		return err
	}
	action := page.Button{Text: v.say("start.sign_in"), Kind: "primary", Href: door}
	if v.in { // as somebody else
		action = page.Button{Text: v.say("action.sign_out"), Kind: "primary", Post: "/signout"}
	}
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: "activation_code", Title: v.say("arrival.sign_in.title"), Lead: v.say("arrival.sign_in.text"),
		Body: page.Stack{
			page.Actions{action},
			page.Notice{Mark: page.Warn, Title: v.say("arrival.sign_in.other")},
			v.people(1, "support_desk"),
		},
	})
}

// codeThatWaits reads it back.
func (p *Portal) codeThatWaits(r *http.Request, v *visit) string {
	var kept waiting
	if err := p.Keys.Box("portal-code").Redeem(v.cookie(r, cookieCode), p.Clock(), &kept); err != nil {
		return ""
	}
	return kept.Code
}

// waitingCode is the page with one button, for whoever has signed in meanwhile.
func (p *Portal) waitingCode(w http.ResponseWriter, r *http.Request, v *visit) error {
	if p.codeThatWaits(r, v) == "" {
		return to(w, "/activate")
	}
	pg := page.Page{
		Screen: "activation_code", Title: v.say("arrival.waiting.title"), Lead: v.say("arrival.waiting.text"),
		Body: page.Form{
			Action: "/activate", Hidden: []page.Hidden{{Name: "link", Value: "1"}},
			Buttons: []page.Button{{Text: v.say("arrival.waiting.submit"), Kind: "primary"}},
		},
	}
	if !v.in {
		pg.Lead = v.say("arrival.sign_in.text")
	}
	return v.show(w, r, http.StatusOK, pg)
}

func (p *Portal) getOverview(w http.ResponseWriter, r *http.Request, v *visit) error {
	over, ok, err := p.task(w, r, v)
	if !ok {
		return err
	}
	return v.show(w, r, http.StatusOK, v.overviewPage(over, inActivation))
}

// getArrival is the same list for whoever is in.
func (p *Portal) getArrival(w http.ResponseWriter, r *http.Request, v *visit) error {
	over, err := p.Desk.Tasks(r.Context(), v.agent.Number)
	if err != nil {
		return err
	}
	return v.show(w, r, http.StatusOK, v.overviewPage(over, inSession))
}

// postFinish ends an activation because its newcomer says so.
func (p *Portal) postFinish(w http.ResponseWriter, r *http.Request, v *visit) error {
	number, err := p.Desk.Finish(r.Context(), v.activation(r), v.origin)
	switch parvis.CodeOf(err) {
	case "":
	case parvis.CodeNotFound:
		return p.lost(w, r, v)
	case parvis.CodeConflict:
		over, ok, err := p.task(w, r, v)
		if !ok {
			return err
		}
		pg := v.overviewPage(over, inActivation)
		pg.Erroneous = true
		pg.Body = append(page.Stack{page.Notice{Mark: page.Warn, Alert: true, Title: v.say("arrival.finish.early")}}, pg.Body.(page.Stack)...)
		return v.show(w, r, http.StatusUnprocessableEntity, pg)
	default:
		return err
	}
	v.drop(w, cookieActivation)
	return p.toDone(w, v, number)
}

// pagesOf tells where each task is done; a task without a page is only told.
type pagesOf map[string]string

// inActivation and inSession are where the tasks are done.
var (
	inActivation = pagesOf{
		"identity": "/activate/identity", "account": "/activate/password", "verifier": "/activate/verifier",
		"second": "/activate/second", "contact": "/activate/contact", "channels": "/activate/channels",
	}
	inSession = pagesOf{"account": ownPassword, "verifier": "/security/verifier", "second": factorsPath, "channels": "/channel"}
)

func (v *visit) taskState(t recovery.Task) page.State {
	s := page.State{Text: v.say("activation_overview.state." + string(t.Status))}
	switch t.Status {
	case recovery.Done:
		s.Mark = page.Done
	case recovery.Todo:
		s.Mark = page.Todo
	case recovery.Later:
		s.Mark = page.Wait
	case recovery.Optional:
		s.Mark = page.Info
	}
	return s
}

// pair is the two accounts side by side; false when there is but one.
func (v *visit) pair(over recovery.Overview, pages pagesOf) (page.Pair, bool) {
	byID := map[string]recovery.Task{}
	for _, t := range over.Tasks {
		byID[t.ID] = t
	}
	link, two := byID["verifier"]
	if !two {
		return page.Pair{}, false
	}
	args := text.Args{}
	if one, ok := v.p.provider(""); ok {
		args = v.outside(one)
	}
	pair := page.Pair{
		First: page.Account{
			Title: v.say("activation_overview.agent.title"), For: v.say("activation_overview.agent.for"), State: v.taskState(byID["account"]),
			Facts: page.Record{
				{Term: v.say("portal.identifier"), Text: string(over.Agent.Number), Mono: true},
				{Term: v.say("portal.kept_by"), Text: v.say("actor.it_department.the")},
				{Term: v.say("portal.not_for"), Text: v.say("activation_overview.agent.not")},
				{Term: v.say("portal.helps"), Text: v.say("actor.it_contact.the")},
			},
		},
		Second: page.Account{
			Title: v.say("activation_overview.verifier.title", args), For: v.say("activation_overview.verifier.for"), State: v.taskState(link),
			Facts: page.Record{
				{Term: v.say("portal.identifier"), Text: v.say("portal.verifier.identifier")},
				{Term: v.say("portal.kept_by"), Text: v.say("actor.verifier_owner.the", args)},
				{Term: v.say("portal.not_for"), Text: v.say("activation_overview.verifier.not")},
				{Term: v.say("portal.helps"), Text: v.say("actor.verifier_owner.the", args)},
			},
		},
		Link: v.say("activation_overview.both.later"),
	}
	if link.Demanded {
		pair.Link = v.say("activation_overview.both")
	}
	if link.Status == recovery.Done {
		pair.Second.Actions = []page.Button{{Text: v.say("portal.see"), Href: pages["verifier"], About: pair.Second.Title}}
	}
	return pair, true
}

// taskRow is one line of the list: what it is for, or why it stands so; who
// helps; and at most one thing to press.
func (v *visit) taskRow(t recovery.Task, pages pagesOf, primary bool) page.Task {
	args := text.Args{}
	if one, ok := v.p.provider(""); ok {
		args = v.outside(one)
	}
	row := page.Task{Title: v.say("activation_overview.step."+t.ID, args), State: v.taskState(t), Text: v.say("arrival.task."+t.ID, args)}
	if t.Reason != "" && t.ID != "account" { // a newcomer need not be told that there is no account yet
		row.Text = sentence(v.p.Catalog.Reason(v.lang, string(t.Reason), v.with(args)).Title)
	}
	if t.By != parvis.BySelf && t.By != "" && t.Status != recovery.Done {
		row.Text += " " + v.say("arrival.task.helper", text.Args{"who": v.say("actor."+string(t.By)+".the", args)})
	}
	href, ok := pages[t.ID]
	if !ok {
		return row
	}
	switch {
	case t.Status == recovery.Todo && primary:
		row.Action = &page.Button{Text: v.say("action.start"), Kind: "primary", Href: href, About: row.Title}
	case t.Status == recovery.Todo:
		row.Action = &page.Button{Text: v.say("action.start"), Href: href, About: row.Title}
	case t.ID != "account":
		row.Action = &page.Button{Text: v.say("portal.see"), Kind: "plain", Href: href, About: row.Title}
	}
	return row
}

// overviewPage is the whole of an arrival.
func (v *visit) overviewPage(over recovery.Overview, pages pagesOf) page.Page {
	_, arriving := pages["identity"]
	var now, later page.Tasks
	first := true
	for _, t := range over.Tasks {
		row := v.taskRow(t, pages, first)
		first = first && t.Status != recovery.Todo
		if t.Status == recovery.Later {
			if arriving {
				later = append(later, row)
			}
			continue
		}
		now = append(now, row)
	}
	pg := page.Page{
		Screen: "activation_overview", Title: v.say("activation_overview.title", text.Args{"n": over.Of}),
		Lead: v.say("portal.welcome", text.Args{"name": over.Agent.Name()}), Width: page.Wide,
	}
	lead := v.say("arrival.resume")
	if !arriving {
		pg.Screen, pg.Lead, pg.Short = "arrival", v.say("arrival.lead"), v.say("arrival.short")
		pg.Title, lead = v.say("arrival.title.done"), ""
		if over.Left > 0 {
			pg.Title = v.say("arrival.title", text.Args{"n": over.Left})
		}
	}
	body := page.Stack{
		page.Progress{Text: v.say("activation_overview.progress", text.Args{"done": over.Done, "n": over.Of}), Done: over.Done, Total: over.Of},
	}
	if pair, two := v.pair(over, pages); two {
		body = append(body, pair)
	} else {
		body = append(body, page.Identity{Label: v.say("refusal.account.agent"), Text: string(over.Agent.Number)})
	}
	body = append(body, page.Section{Title: v.say("portal.tasks"), Lead: lead, Body: now})
	if len(later) > 0 {
		body = append(body, page.Section{Title: v.say("portal.tasks.later"), Lead: v.say("portal.tasks.later.lead"), Body: later})
	}
	switch {
	case arriving && over.Activated:
		finish := page.Form{Action: "/activate/finish", Buttons: []page.Button{{Text: v.say("arrival.finish")}}}
		if over.Left == 0 {
			finish.Buttons[0].Kind = "primary"
		} else {
			finish.Note = v.say("arrival.finish.note")
		}
		body = append(body, finish)
	case !arriving:
		body = append(body, page.Links{{Text: v.say("action.home"), Href: "/"}})
	}
	pg.Body = body
	return pg
}

// unfinished is the notice of the launcher about an arrival that is not finished;
// false when nothing that is demanded is left.
func (v *visit) unfinished() (page.Notice, bool) {
	over := v.p.Desk.Remaining(v.agent, v.standing)
	if over.Left == 0 {
		return page.Notice{}, false
	}
	var missing []string
	for _, t := range over.Tasks {
		if t.Demanded && t.Status != recovery.Done {
			missing = append(missing, v.say("arrival.missing."+t.ID))
		}
	}
	return page.Notice{
		Mark: page.Warn, Title: v.say("arrival.notice.title", text.Args{"done": over.Done, "n": over.Of}),
		Text:    v.say("arrival.notice.text", text.Args{"missing": missing}),
		Actions: []page.Button{{Text: v.say("arrival.notice.action"), Href: "/arrival"}},
	}, true
}

// deadline announces a demand that binds soon and that the agent does not meet
// yet; false when there is none.
func (v *visit) deadline() (page.Notice, bool) {
	best := 0
	for _, k := range v.standing.Enrolled {
		best = max(best, k.Strength())
	}
	var next parvis.Demand
	for _, ch := range parvis.Channels() {
		d := v.p.Policy.Announced(v.agent, "", ch, v.at)
		if !d.From.IsZero() && d.Strength > best && (next.From.IsZero() || d.From.Before(next.From)) {
			next = d
		}
	}
	if next.From.IsZero() {
		return page.Notice{}, false
	}
	days := int((next.From.Sub(v.at) + 24*time.Hour - 1) / (24 * time.Hour))
	told := v.p.Catalog.Reason(v.lang, string(parvis.WhyFactorDeadline), v.with(text.Args{"date": v.p.local(next.From), "n": days}))
	return page.Notice{
		Mark: page.Warn, Title: told.Title, Text: told.Why, Actions: []page.Button{{Text: v.say("action.do_now"), Href: factorsPath}},
	}, true
}
