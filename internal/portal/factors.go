package portal

import (
	"net/http"
	"net/url"
	"slices"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/signin"
	"parvis/internal/text"
)

const factorsPath = "/security/factors"

// enrolOwn is somebody who is in and adds a method.
func (p *Portal) enrolOwn(r *http.Request, v *visit) enrolling {
	e := enrolling{
		holder: signin.Holder{
			Number: v.agent.Number, Session: v.session, Origin: v.origin, Lang: v.lang,
			Device: v.cookie(r, cookieDevice), Browser: r.UserAgent(),
		},
		screen: "security_factors", base: factorsPath,
	}
	ticket := r.URL.Query().Get("return")
	if g := p.goal(ticket); g.stronger() {
		e.onward, v.leads = ticket, g.leads()
	}
	e.done = func(w http.ResponseWriter, out signin.ProofOutcome, kind parvis.ProofKind) error {
		p.giveAgain(w, out)
		return to(w, e.made(kind))
	}
	e.lost = func(w http.ResponseWriter) error {
		door, err := p.doorTo(e.at(""))
		if err != nil {
			return err
		}
		return to(w, door)
	}
	return e
}

// own makes an act of whoever is in of an act of somebody who enrols.
func (p *Portal) own(f func(http.ResponseWriter, *http.Request, *visit, enrolling) error) act {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error { return f(w, r, v, p.enrolOwn(r, v)) }
}

// getFactors lists the methods of whoever is in.
func (p *Portal) getFactors(w http.ResponseWriter, r *http.Request, v *visit) error {
	held, err := p.Vault.Holds(r.Context(), v.agent.Number)
	if err != nil {
		return err
	}
	why, err := p.Door.MayEnrol(r.Context(), p.enrolOwn(r, v).holder)
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
		return err
	}
	pg, err := v.factorsPage(held, why, r.URL.Query())
	if err != nil {
		return err
	}
	return v.show(w, r, http.StatusOK, pg)
}

func (v *visit) factorsPage(held []parvis.Held, why parvis.Reason, q url.Values) (page.Page, error) {
	pg := page.Page{Screen: "security_factors", Title: v.say("security_factors.title"), Lead: v.say("security_factors.lead"), Width: page.Wide}
	body := v.factorNotices(held, q)
	if why.Code == parvis.WhyFactorEnrolHereForbidden {
		notice, err := v.forbiddenNotice(why)
		if err != nil {
			return pg, err
		}
		body = append(body, notice)
	}
	rule, _ := v.secondRule()
	mine := page.Section{Title: v.say("security_factors.mine"), Lead: rule}
	if len(held) == 0 {
		mine.Body = page.Para(v.say("security.second.none") + ".")
	} else {
		rows, err := v.factorRows(held)
		if err != nil {
			return pg, err
		}
		mine.Body = rows
	}
	body = append(body, mine)
	if why.Code != parvis.WhyFactorEnrolHereForbidden {
		body = append(body, page.Section{
			Title: v.say("security_factors.add"), Lead: v.say("security_factors.add.lead"), Body: v.addRows(enrolling{base: factorsPath}, held, v.kindsHere()),
		})
	}
	pg.Body = append(body, page.Links{
		{Text: v.say("security_factors.help"), Href: factorsPath + "/help"},
		{Text: v.say("security_factors.ask"), Href: factorsPath + "/request"},
		{Text: v.say("second_factor.lost"), Href: "/lost"},
	})
	return pg, nil
}

// factorNotices says what was just done, and what is still to do.
func (v *visit) factorNotices(held []parvis.Held, q url.Values) page.Stack {
	var body page.Stack
	done := func(key string, args text.Args) {
		body = append(body, page.Notice{Mark: page.Done, Title: v.say("security_factors.done."+key, args)})
	}
	if kind := parvis.ProofKind(q.Get("added")); kind.Second() {
		done("added", text.Args{"kind": v.say("proof." + string(kind))})
	}
	for _, key := range []string{"renamed", "removed", "lost", "tested"} {
		if q.Has(key) {
			done(key, nil)
		}
	}
	if asked := v.standing.SecondAsked; !asked.IsZero() {
		answer := v.p.Catalog.Reason(v.lang, string(parvis.WhyFactorRequestSent), v.with(text.Args{"date": v.p.local(asked)}))
		body = append(body, page.Notice{Mark: page.Wait, Title: answer.Title, Text: v.say("security_factors.asked")})
	}
	return append(body, v.single(factorsPath, held)...)
}

// single suggests a second method, or codes to print, to whoever has one alone
// (domain.md 4.3): it is lost one day.
func (v *visit) single(base string, held []parvis.Held) page.Stack {
	if len(held) != 1 {
		return nil
	}
	n := page.Notice{Mark: page.Info, Title: v.say("security_factors.single.title"), Text: v.say("security_factors.single.text")}
	if held[0].Kind == parvis.RecoveryCode {
		n.Text = v.say("security_factors.single.codes")
	} else {
		n.Actions = []page.Button{{Text: v.say("factor_codes.make"), Href: base + "/codes"}}
	}
	n.Actions = append(n.Actions, page.Button{Text: v.say("security_factors.single.other"), Href: base + "/help"})
	return page.Stack{n}
}

// forbiddenNotice says why no method can be added from here, and what can.
func (v *visit) forbiddenNotice(why parvis.Reason) (page.Notice, error) {
	address, err := v.p.proveFor(factorsPath, string(parvis.TemporaryCode), false)
	if err != nil {
		return page.Notice{}, err
	}
	told := v.tell(parvis.Decision{Reasons: []parvis.Reason{why}}, parvis.App{}, v.origin.Channel, v.account()).Reasons[0]
	return page.Notice{
		Mark: page.Locked, Title: told.Title, Text: told.Answer.Why, Actions: []page.Button{
			{Text: v.say("action.have_temporary_code"), Kind: "primary", Href: address},
			{Text: v.say("action.ask_code"), Href: factorsPath + "/request"},
		},
	}, nil
}

// demandsSecond tells whether a profile of the agent demands a second proof, at
// any entrance. What the VPN demands from everybody is not theirs.
func (v *visit) demandsSecond() bool {
	return slices.ContainsFunc(parvis.Channels(), func(ch parvis.Channel) bool {
		d, _ := parvis.Demanded(v.p.Profiles, v.agent, ch, v.at)
		return d.Strength > 0
	})
}

// forbids says why a method stays: by whose rule.
func (v *visit) forbids(rule signin.Rule, more text.Args) text.Told {
	args := text.Args{}
	ch := v.origin.Channel
	app, _ := v.p.Policy.App(rule.App)
	switch {
	case rule.OnlyWay:
		args["rule"] = "only"
	case rule.App != "":
		args["rule"] = "app"
	case rule.Channel != "":
		args["rule"], ch = "entrance", rule.Channel
	}
	d := parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyFactorRemovalForbidden}}}
	return v.tell(d, app, ch, v.account(), args, more)
}

// locked tells whether the door would keep a method, and why. The act itself
// asks again.
func (v *visit) locked(held []parvis.Held, m parvis.Held) (why string, kept bool) {
	rule, kept := v.p.Door.Keeps(v.agent, v.standing, held, m.ID)
	if !kept {
		return "", false
	}
	r := v.forbids(rule, nil).Reasons[0]
	return sentence(r.Title) + " " + r.Answer.Why, true
}

// worksAt tells where a method can be shown.
func (v *visit) worksAt(m parvis.Held, ch parvis.Channel) bool {
	switch m.Kind {
	case parvis.Passkey:
		site := v.p.Policy.Site(ch)
		return site != "" && site == m.Site
	case parvis.SMS:
		return v.p.Door.SMS
	case parvis.RecoveryCode:
		return m.Left > 0
	}
	return true
}

func (v *visit) factorRows(held []parvis.Held) (page.Rows, error) {
	var rows page.Rows
	for _, m := range held {
		row := page.Row{Icon: iconOf(m.Kind), Name: v.methodName(m), Text: v.used(m)}
		switch {
		case m.Kind == parvis.RecoveryCode:
			row.State = &page.State{Mark: page.Done, Text: v.say("security_factors.left", text.Args{"n": m.Left})}
			if m.Left < 3 {
				row.State.Mark = page.Warn
			}
		case v.worksAt(m, v.origin.Channel):
			row.State = &page.State{Mark: page.Done, Text: v.say("security_factors.works")}
		default:
			row.State = &page.State{Mark: page.Info, Text: v.say("security_factors.elsewhere")}
		}
		if m.Kind == parvis.Passkey {
			row.Note = v.passkeyWhere(m)
		}
		if why, kept := v.locked(held, m); kept {
			row.Note = why
		}
		if v.worksAt(m, v.origin.Channel) {
			// One code of the sheet is spent by being tried.
			if m.Kind != parvis.RecoveryCode {
				address, err := v.p.proveFor(factorsPath+"?tested=1", m.ID, false)
				if err != nil {
					return nil, err
				}
				row.Actions = append(row.Actions, page.Button{Text: v.say("security_factors.test"), About: row.Name, Href: address})
			}
		}
		row.Actions = append(row.Actions, page.Button{Text: v.say("action.modify"), About: row.Name, Href: factorsPath + "/" + m.ID})
		rows = append(rows, row)
	}
	return rows, nil
}

// used says since when and how long ago.
func (v *visit) used(m parvis.Held) string {
	args := text.Args{"date": v.p.local(m.Since)}
	if !m.LastUsed.IsZero() {
		args["date_time"] = v.p.local(m.LastUsed)
	}
	return v.say("security_factors.since", args)
}

// passkeyWhere says at which entrances a passkey works, and whether it travels.
func (v *visit) passkeyWhere(m parvis.Held) string {
	var names []string
	for _, ch := range parvis.Channels() {
		if v.worksAt(m, ch) {
			names = append(names, v.channel(ch, "the"))
		}
	}
	where := v.say("security_factors.passkey.nowhere")
	if len(names) > 0 {
		where = v.say("security_factors.passkey.where", text.Args{"channels": names})
	}
	if m.Synced {
		return where + " " + v.say("security_factors.passkey.synced")
	}
	return where + " " + v.say("security_factors.passkey.alone")
}

// addRows are the kinds of methods that can be added here.
func (v *visit) addRows(e enrolling, held []parvis.Held, kinds []parvis.ProofKind) page.Rows {
	var rows page.Rows
	for _, kind := range kinds {
		name := v.say("factor_" + nameOfKind(kind) + ".name")
		row := page.Row{
			Icon: iconOf(kind), Name: name, Text: v.say("factor_" + nameOfKind(kind) + ".for"),
			Actions: []page.Button{{Text: v.say("action.add"), About: name, Href: e.at("/" + nameOfKind(kind))}},
		}
		if kind == parvis.RecoveryCode && slices.ContainsFunc(held, func(m parvis.Held) bool { return m.Kind == kind }) {
			row.Actions[0].Text = v.say("security_factors.replace")
		}
		rows = append(rows, row)
	}
	return rows
}

// kindsHere lists what can be added at this entrance, the strongest first.
func (v *visit) kindsHere() []parvis.ProofKind {
	kinds := []parvis.ProofKind{parvis.TOTP}
	if v.p.Policy.Site(v.origin.Channel) != "" {
		kinds = []parvis.ProofKind{parvis.Passkey, parvis.TOTP}
	}
	if v.p.Door.SMS {
		kinds = append(kinds, parvis.SMS)
	}
	return append(kinds, parvis.RecoveryCode)
}

// nameOfKind is the last part of a path.
func nameOfKind(k parvis.ProofKind) string {
	if k == parvis.RecoveryCode {
		return "codes"
	}
	return string(k)
}

// factor finds a method of whoever is in.
func (p *Portal) factor(r *http.Request, v *visit) (m parvis.Held, held []parvis.Held, err error) {
	if held, err = p.Vault.Holds(r.Context(), v.agent.Number); err != nil {
		return m, nil, err
	}
	i := slices.IndexFunc(held, func(h parvis.Held) bool { return h.ID == r.PathValue("id") })
	if i < 0 {
		return m, nil, &parvis.Error{Code: parvis.CodeNotFound, Op: "portal.factor"}
	}
	return held[i], held, nil
}

func (p *Portal) getFactor(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, held, err := p.factor(r, v)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	switch {
	case q.Has("lost"):
		return v.show(w, r, http.StatusOK, v.takePage(m, held, "lost"))
	case q.Has("remove"):
		return v.show(w, r, http.StatusOK, v.takePage(m, held, "remove"))
	}
	return v.show(w, r, http.StatusOK, v.factorPage(m, held))
}

// factorPage is one method, and what can be done with it.
func (v *visit) factorPage(m parvis.Held, held []parvis.Held) page.Page {
	facts := page.Record{
		{Term: v.say("security_factor.since"), Text: v.day(m.Since)},
	}
	if !m.LastUsed.IsZero() {
		facts = append(facts, page.Fact{Term: v.say("security_factor.used"), Text: v.p.Catalog.Format(v.lang, v.p.local(m.LastUsed))})
	}
	if m.Kind == parvis.Passkey {
		facts = append(facts, page.Fact{Term: v.say("security_factor.where"), Text: v.passkeyWhere(m)})
	}
	if m.Kind == parvis.RecoveryCode {
		facts = append(facts, page.Fact{Term: v.say("security_factor.left"), Text: v.say("security_factors.left", text.Args{"n": m.Left})})
	}
	at := factorsPath + "/" + m.ID
	body := page.Stack{facts}
	if m.Kind != parvis.RecoveryCode {
		body = append(body, page.Form{
			Action: at, Hidden: []page.Hidden{{Name: "act", Value: "rename"}},
			Body: page.Field{
				Name: "name", Label: v.say("factor.name.label"), Hint: v.say("factor.name.hint"), Value: m.Name, Autocomplete: "off",
			},
			Buttons: []page.Button{{Text: v.say("security_factor.rename"), Kind: "primary"}},
		})
	}
	take := page.Section{Title: v.say("security_factor.take")}
	actions := page.Actions{
		{Text: v.say("security_factors.replace"), Href: factorsPath + "/" + nameOfKind(m.Kind) + "?replaces=" + m.ID},
	}
	if why, kept := v.locked(held, m); kept {
		take.Lead = why
	} else {
		actions = append(actions, page.Button{Text: v.say("security_factor.remove"), Href: at + "?remove=1"})
	}
	take.Body = append(actions, page.Button{Text: v.say("security_factor.lost"), Href: at + "?lost=1"})
	return page.Page{
		Screen: "security_factor", Title: v.methodName(m),
		Body: append(body, take, page.Links{{Text: v.say("security_factors.back"), Href: factorsPath}}),
	}
}

// takePage spells out what the removal changes, before it is done.
func (v *visit) takePage(m parvis.Held, held []parvis.Held, act string) page.Page {
	name := text.Args{"name": v.methodName(m)}
	key := "security_factor." + act
	outcomes := []page.State{{Mark: page.Stop, Text: v.say(key + ".outcome")}}
	if rest := len(held) - 1; rest > 0 {
		outcomes = append(outcomes, page.State{Mark: page.Done, Text: v.say("security_factor.rest", text.Args{"n": rest})})
	} else {
		outcomes = append(outcomes, page.State{Mark: page.Warn, Text: v.say("security_factor.alone")})
	}
	if act == "lost" {
		outcomes = append(outcomes, page.State{Mark: page.Stop, Text: v.say("security_factor.lost.sessions")})
	}
	outcomes = append(outcomes, page.State{Mark: page.Info, Text: v.say("security_factor.told")})
	at := factorsPath + "/" + m.ID
	return page.Page{
		Screen: "security_factor_" + act, Title: v.say(key+".title", name),
		Body: page.Confirm{
			Title: v.say("security_factor.changes"), Outcomes: outcomes,
			Form: page.Form{
				Action: at, Hidden: []page.Hidden{{Name: "act", Value: act}},
				Buttons: []page.Button{
					{Text: v.say(key + ".submit"), Kind: "stop"}, {Text: v.say("action.cancel"), Kind: "plain", Href: at},
				},
			},
		},
	}
}

// postFactor renames a method or takes it away.
func (p *Portal) postFactor(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	m, held, err := p.factor(r, v)
	if err != nil {
		return err
	}
	e := p.enrolOwn(r, v)
	act := sent.Get("act")
	var out signin.ProofOutcome
	switch act {
	case "rename":
		out, err = p.Door.RenameProof(r.Context(), e.holder, m.ID, sent.Get("name"))
	case "remove", "lost":
		out, err = p.Door.RemoveProof(r.Context(), e.holder, m.ID, act == "lost")
	default:
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "portal.postFactor"}
	}
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return e.lost(w)
	case err != nil:
		return err
	case out.Done:
		p.giveAgain(w, out)
		return to(w, factorsPath+"?"+map[string]string{"rename": "renamed", "remove": "removed", "lost": "lost"}[act]+"=1")
	case out.Reason.Code == parvis.WhyFactorRemovalForbidden:
		told := v.forbids(out.Rule, out.Args)
		pg := v.factorPage(m, held)
		v.refuses(&pg, told, "")
		pg.Erroneous = true
		pg.Body = append(page.Stack{page.Notice{
			Mark: page.Locked, Alert: true, Title: told.Reasons[0].Title, Text: told.Reasons[0].Answer.Why,
			Actions: []page.Button{{Text: v.say("action.add_method"), Href: factorsPath}},
		}}, pg.Body.(page.Stack)...)
		return v.show(w, r, http.StatusUnprocessableEntity, pg)
	}
	return p.stopped(w, r, v, e, out, factorsPath+"/"+m.ID+"?"+act+"=1")
}

// getFactorHelp asks what somebody has at hand.
func (p *Portal) getFactorHelp(w http.ResponseWriter, r *http.Request, v *visit, e enrolling) error {
	return v.show(w, r, http.StatusOK, v.helpPage(e, r.URL.Query().Get("have"), false))
}

// equipment is what one may have at hand, in the order of the question.
var equipment = []string{"work_phone", "own_phone", "computer", "key", "old_phone", "none", "unknown"}

func (v *visit) helpPage(e enrolling, chosen string, missing bool) page.Page {
	pg := page.Page{Screen: e.screen + "_help", Title: v.say("factor_help.title"), Lead: v.say("factor_help.lead")}
	var options []page.Option
	for _, have := range equipment {
		o := page.Option{Value: have, Label: v.say("factor_help.have." + have), Checked: have == chosen}
		if key := "factor_help.have." + have + ".hint"; v.p.Catalog.Has(key) {
			o.Hint = v.say(key)
		}
		options = append(options, o)
	}
	if missing {
		pg.Errors = []page.Fault{{Field: "have", Text: v.say("factor_help.required")}}
	}
	pg.Body = page.Form{
		Action: e.at("/help"),
		Body:   page.Choices{Name: "have", Legend: v.say("factor_help.have"), Required: true, Options: options},
		Buttons: []page.Button{
			{Text: v.say("action.continue"), Kind: "primary"}, {Text: v.say("action.back"), Kind: "plain", Href: e.at("")},
		},
	}
	return pg
}

// postFactorHelp recommends one method. Whoever does not know is helped by
// somebody with a name, who has the request already (domain.md 4.3).
func (p *Portal) postFactorHelp(w http.ResponseWriter, r *http.Request, v *visit, e enrolling) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	have := sent.Get("have")
	switch {
	case !slices.Contains(equipment, have):
		return v.show(w, r, http.StatusUnprocessableEntity, v.helpPage(e, "", true))
	case have == "unknown":
		return p.ask(w, r, v, e, v.say("factor_help.note"))
	}
	best := v.recommended(have)
	name := nameOfKind(best)
	pg := page.Page{
		Screen: e.screen + "_help", Title: v.say("factor_help.best."+name, text.Args{"kind": v.say("proof." + string(best))}),
		Lead: v.say("factor_" + name + ".for"),
	}
	body := page.Stack{page.Actions{{Text: v.say("factor_help.go"), Kind: "primary", Href: e.at("/" + name)}}}
	switch {
	case have == "none":
		body = append(page.Stack{page.Notice{Mark: page.Info, Title: v.say("factor_help.none.title"), Text: v.say("factor_help.none.text")}}, body...)
		body = append(body, page.Section{Title: v.say("factor_help.key"), Body: page.Stack{
			page.Para(v.say("factor_help.key.text")),
			page.Actions{{Text: v.say("security_factors.ask"), Post: e.at("/request"), Hidden: []page.Hidden{{Name: "note", Value: v.say("factor_help.note.none")}}}},
		}})
	case best != parvis.RecoveryCode:
		body = append(body, page.Para(v.say("factor_help.codes")))
	}
	others := page.Rows{}
	for _, row := range v.addRows(e, nil, v.kindsHere()) {
		if row.Actions[0].Href != e.at("/"+name) {
			others = append(others, row)
		}
	}
	pg.Body = append(body, page.Section{Title: v.say("factor_help.others"), Body: others}, page.Links{{Text: v.say("action.back"), Href: e.at("/help")}})
	return v.show(w, r, http.StatusOK, pg)
}

// recommended is the strongest method that the equipment allows here.
func (v *visit) recommended(have string) parvis.ProofKind {
	here := v.kindsHere()
	wish := map[string][]parvis.ProofKind{
		"work_phone": {parvis.Passkey, parvis.TOTP},
		"own_phone":  {parvis.Passkey, parvis.TOTP},
		"computer":   {parvis.Passkey},
		"key":        {parvis.Passkey},
		"old_phone":  {parvis.SMS},
	}[have]
	for _, kind := range wish {
		if slices.Contains(here, kind) && (kind != parvis.SMS || !v.strong()) {
			return kind
		}
	}
	return parvis.RecoveryCode
}

// strong tells whether what the agent must show is more than a text message.
func (v *visit) strong() bool {
	return v.in && slices.ContainsFunc(parvis.Channels(), func(ch parvis.Channel) bool {
		return v.p.Policy.Demand(v.agent, "", ch, v.at).Strength > parvis.AnySecond
	})
}

// getFactorRequest lets somebody ask the IT contact for a second method.
func (p *Portal) getFactorRequest(w http.ResponseWriter, r *http.Request, v *visit, e enrolling) error {
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: e.screen + "_request", Title: v.say("factor_request.title"), Lead: v.say("factor_request.lead"),
		Body: page.Stack{
			page.Form{
				Action: e.at("/request"),
				Body:   page.Field{Name: "note", Type: "area", Label: v.say("factor_request.note"), Hint: v.say("factor_request.note.hint")},
				Buttons: []page.Button{
					{Text: v.say("factor_request.submit"), Kind: "primary"}, {Text: v.say("action.back"), Kind: "plain", Href: e.at("")},
				},
			},
		},
		Aside: v.people(1, "it_contact"),
	})
}

func (p *Portal) postFactorRequest(w http.ResponseWriter, r *http.Request, v *visit, e enrolling) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	return p.ask(w, r, v, e, sent.Get("note"))
}

// ask files the request and says who has it.
func (p *Portal) ask(w http.ResponseWriter, r *http.Request, v *visit, e enrolling, note string) error {
	out, err := p.Door.AskSecond(r.Context(), e.holder, note)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return e.lost(w)
	case err != nil:
		return err
	}
	told := v.tell(parvis.Decision{Reasons: []parvis.Reason{out.Reason}}, parvis.App{}, v.origin.Channel, out.Args)
	pg := page.Page{Screen: e.screen + "_request", Title: told.Reasons[0].Title, Lead: v.say("factor_request.sent")}
	pg.Body = page.Stack{
		page.Section{Title: v.say("factor_request.who"), Body: v.people(1, "it_contact")},
		page.Section{Title: v.say("refusal.meanwhile"), Body: page.Para(v.say("factor_request.meanwhile"))},
		page.Actions{{Text: v.say("action.back"), Href: e.at("")}},
	}
	return v.show(w, r, http.StatusOK, pg)
}
