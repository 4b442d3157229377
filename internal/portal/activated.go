package portal

import (
	"net/http"
	"net/url"
	"strings"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/recovery"
	"parvis/internal/signin"
	"parvis/internal/store"
	"parvis/internal/text"
	"parvis/internal/verifier"
)

// The steps of an activation that hold their place until they can be done here,
// and its end.

func (p *Portal) later(w http.ResponseWriter, r *http.Request, v *visit, build func(recovery.Overview) page.Page) error {
	over, ok, err := p.task(w, r, v)
	if !ok {
		return err
	}
	pg := build(over)
	pg.Body = append(pg.Body.(page.Stack), page.Actions{{Text: v.say("portal.to_overview"), Href: "/activate/overview"}})
	return v.show(w, r, http.StatusOK, pg)
}

// getVerifier asks whether one has the second account, and goes on from the
// answer. It is also where one comes back to.
func (p *Portal) getVerifier(w http.ResponseWriter, r *http.Request, v *visit) error {
	over, ok, err := p.task(w, r, v)
	if !ok {
		return err
	}
	provider, there := p.provider(r.URL.Query().Get("provider"))
	if !there {
		return v.show(w, r, http.StatusOK, page.Page{
			Screen: "activation_verifier", Title: v.say("activation_verifier.later.title"), Lead: v.say("activation_verifier.lead"),
			Body: page.Stack{
				page.Para(v.say("activation_verifier.later.text")), page.Para(v.say("activation_verifier.rule")),
				page.Actions{{Text: v.say("portal.to_overview"), Href: "/activate/overview"}},
			},
		})
	}
	links, err := p.Store.Links(r.Context(), over.Agent.Number)
	if err != nil {
		return err
	}
	if i := tied(links, provider); i >= 0 {
		args := v.outside(provider)
		return v.show(w, r, http.StatusOK, page.Page{
			Screen: "activation_verifier", Title: v.say("activation_verifier.linked.title", args), Lead: v.say("activation_verifier.linked.lead"),
			Body: page.Stack{
				v.linked(links[i]), page.Para(v.say("activation_verifier.rule", args)),
				page.Actions{{Text: v.say("portal.to_overview"), Kind: "primary", Href: "/activate/overview"}},
			},
		})
	}
	t := trip{from: activating, purpose: toLink, provider: provider.ID}
	switch r.URL.Query().Get("have") {
	case "yes":
		pg := v.verifierPage(provider, "/verifier/leave", t.hidden())
		pg.Body = append(pg.Body.(page.Stack), page.Actions{{Text: v.say("activation_verifier.later"), Kind: "plain", Href: "/activate/overview"}})
		return v.show(w, r, http.StatusOK, pg)
	case "no":
		return v.show(w, r, http.StatusOK, v.createPage(provider, t))
	case "unknown":
		return v.show(w, r, http.StatusOK, v.recogniseAccount(provider, t))
	}
	return v.show(w, r, http.StatusOK, v.haveOnePage(provider))
}

// haveOnePage is the question of the step.
func (v *visit) haveOnePage(p verifier.Provider) page.Page {
	args := v.outside(p)
	var rows page.Rows
	for _, answer := range []struct{ key, icon, kind string }{{"yes", "check", "primary"}, {"no", "users", ""}, {"unknown", "info-circle", ""}} {
		q := url.Values{"have": {answer.key}}
		if len(v.p.providers()) > 1 {
			q.Set("provider", p.ID)
		}
		name := v.say("activation_verifier."+answer.key, args)
		rows = append(rows, page.Row{Icon: answer.icon, Name: name, Text: v.say("activation_verifier."+answer.key+".hint", args), Actions: []page.Button{
			{Text: v.say("action.continue"), Kind: answer.kind, Href: "/activate/verifier?" + q.Encode(), About: name},
		}})
	}
	body := page.Stack{page.Section{Title: v.say("activation_verifier.answer"), Body: rows}, page.Para(v.say("activation_verifier.rule", args))}
	var others page.Links
	for _, o := range v.p.providers() {
		if o.ID != p.ID {
			others = append(others, page.Link{Text: v.say("action.go_verifier", v.outside(o)), Href: "/activate/verifier?provider=" + url.QueryEscape(o.ID)})
		}
	}
	if len(others) > 0 {
		body = append(body, others)
	}
	return page.Page{
		Screen: "activation_verifier", Title: v.say("activation_verifier.title", args), Lead: v.say("activation_verifier.lead", args),
		Body: append(body, page.Actions{{Text: v.say("activation_verifier.later"), Kind: "plain", Href: "/activate/overview"}}),
	}
}

// createPage is for whoever has no account over there yet.
func (v *visit) createPage(p verifier.Provider, t trip) page.Page {
	args := v.outside(p)
	create := page.Step{Title: v.say("activation_verifier.no.step1", args)}
	if p.Create != "" {
		create.Actions = []page.Button{{Text: v.say("verifier_redirect.create", args), Kind: "primary", Href: p.Create}}
	}
	return page.Page{
		Screen: "activation_verifier", Title: v.say("activation_verifier.no.title", args), Lead: v.say("verifier_redirect.lead", args), Width: page.Wide,
		Body: page.Refusal{
			Steps: []page.Step{
				create,
				{Title: v.say("activation_verifier.no.step2", args)},
				{Title: v.say("activation_verifier.no.step3", args), Actions: []page.Button{
					{Text: v.say("action.continue_verifier", args), Post: "/verifier/leave", Hidden: t.hidden()},
				}},
			},
			Meanwhile: v.say("activation_verifier.no.mailbox", args),
			People:    v.people(1, "it_contact"),
			Other:     &page.Link{Text: v.say("portal.to_overview"), Href: "/activate/overview"},
		},
	}
}

// recogniseAccount helps to find out whether one has an account over there.
func (v *visit) recogniseAccount(p verifier.Provider, t trip) page.Page {
	args := v.outside(p)
	pg := v.verifierPage(p, "/verifier/leave", t.hidden())
	pg.Screen, pg.Title = "activation_verifier", v.say("activation_verifier.unknown.title", args)
	pg.Body = append(page.Stack{page.List{
		v.say("activation_verifier.unknown.sign1", args), v.say("activation_verifier.unknown.sign2", args), v.say("activation_verifier.unknown.sign3", args),
	}}, append(pg.Body.(page.Stack), page.Actions{{Text: v.say("activation_verifier.later"), Kind: "plain", Href: "/activate/overview"}})...)
	return pg
}

// newcomer makes an act of an activation of an act of somebody who enrols.
func (p *Portal) newcomer(f func(http.ResponseWriter, *http.Request, *visit, enrolling) error) act {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		who, err := p.holder(r, v, activating)
		if parvis.CodeOf(err) == parvis.CodeNotFound {
			return p.lost(w, r, v)
		}
		if err != nil {
			return err
		}
		// Whoever is in shows a method that is held in their session: there, a step
		// more can be asked for.
		if v.in && v.agent.Number == who.Number && v.standing.SecondEnrolled() {
			who.Session, who.Activation = v.session, ""
		}
		e := enrolling{
			holder: who, screen: "activation_second", base: "/activate/second",
			done: func(w http.ResponseWriter, out signin.ProofOutcome, kind parvis.ProofKind) error {
				p.giveAgain(w, out)
				return to(w, "/activate/second?added="+string(kind))
			},
			lost: func(w http.ResponseWriter) error { return p.lost(w, r, v) },
		}
		if err := f(w, r, v, e); err != nil || r.Method != http.MethodPost {
			return err
		}
		// Whatever was added may have been the last thing demanded.
		if _, err := p.Desk.Settle(r.Context(), v.activation(r), v.origin); err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
			p.edge.Log.WarnContext(r.Context(), "an activation could not be completed", "err", err)
		}
		return nil
	}
}

// getSecond is the step of the second proof: what one has at hand, and what it
// is good for.
func (p *Portal) getSecond(w http.ResponseWriter, r *http.Request, v *visit, e enrolling) error {
	over, ok, err := p.task(w, r, v)
	if !ok {
		return err
	}
	held, err := p.Vault.Holds(r.Context(), over.Agent.Number)
	if err != nil {
		return err
	}
	why := v.say("activation_second_factor.not_required")
	if over.Second {
		why = v.say("activation_second_factor.required")
	}
	body := page.Stack{page.Para(why)}
	if len(held) > 0 {
		var rows page.Rows
		for _, m := range held {
			rows = append(rows, page.Row{Icon: iconOf(m.Kind), Name: v.methodName(m), State: &page.State{Mark: page.Done, Text: v.say("activation_second_factor.held")}})
		}
		body = page.Stack{
			page.Notice{Mark: page.Done, Title: v.say("activation_second_factor.done.title"), Text: v.say("activation_second_factor.done")},
			page.Section{Title: v.say("activation_second_factor.yours"), Body: rows},
		}
		body = append(body, v.single(e.base, held)...)
	}
	body = append(body,
		page.Section{Title: v.say("activation_second_factor.choose"), Body: v.addRows(e, held, v.kindsHere())},
		page.Section{Title: v.say("activation_second_factor.people"), Body: page.Stack{
			page.Links{{Text: v.say("factor_help.title"), Href: e.base + "/help"}}, v.people(1, "it_contact", "support_desk"),
		}},
		page.Actions{{Text: v.say("portal.to_overview"), Href: "/activate/overview"}})
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: "activation_second_factor", Title: v.say("activation_second_factor.title"), Lead: v.say("activation_second_factor.lead"), Body: body,
	})
}

func (p *Portal) getContact(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.later(w, r, v, func(over recovery.Overview) page.Page {
		body := page.Stack{}
		for _, known := range []string{masked(over.Agent.PersonalEmail), maskedPhone(over.Agent.PersonalMobile)} {
			if known != "" {
				body = append(body, page.Para(v.say("activation_contact.known", text.Args{"contact_masked": known})))
			}
		}
		return page.Page{
			Screen: "activation_contact", Title: v.say("activation_contact.title"), Lead: v.say("activation_contact.lead"),
			Body: append(body, page.Notice{Mark: page.Wait, Title: v.say("activation_second_factor.later.title"), Text: v.say("portal.contact.later")}),
		}
	})
}

func (p *Portal) getChannels(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.later(w, r, v, func(recovery.Overview) page.Page {
		return page.Page{
			Screen: "activation_channels", Title: v.say("activation_channels.title"),
			Body: page.Stack{v.entrances()},
		}
	})
}

// entrances are the three of them: where each is, and what it opens.
func (v *visit) entrances() page.Matrix {
	m := page.Matrix{Caption: v.say("activation_channels.lead"), Where: v.say("activation_channels.where"), State: v.say("activation_channels.opens")}
	for _, ch := range parvis.Channels() {
		row := page.Place{
			Entrance: entrance(ch), Name: v.channel(ch, "label"), Detail: v.channel(ch, "hint"), Here: ch == v.origin.Channel,
			State: page.State{Mark: page.Info, Text: v.channel(ch, "opens")},
		}
		if row.Here {
			row.State.Mark = page.Done
			row.Detail += " " + v.say("activation_channels.here") + "."
		}
		if address := v.p.Addresses.Portal(ch); address != "" {
			row.Way = strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://")
		} else if ch == parvis.VPN {
			row.Way = v.say("activation_channels.vpn.none")
		}
		m.Places = append(m.Places, row)
	}
	return m
}

// masked keeps of an address what its owner knows it by.
func masked(email string) string {
	name, domain, ok := strings.Cut(email, "@")
	if !ok || name == "" {
		return ""
	}
	first := []rune(name)[0]
	return string(first) + "•••@" + domain
}

func maskedPhone(phone string) string {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, phone)
	if len(digits) < 4 {
		return ""
	}
	return "•• •• •• •• " + digits[len(digits)-2:]
}

// activated names whose activation just ended, for one page.
type activated struct {
	Agent parvis.AgentNumber `json:"a"`
}

func (p *Portal) getActivated(w http.ResponseWriter, r *http.Request, v *visit) error {
	var done activated
	if err := p.wicket.activated.Redeem(v.cookie(r, cookieActivated), p.Clock(), &done); err != nil {
		return to(w, "/")
	}
	agent, standing, err := p.Directory.Facts(r.Context(), done.Agent)
	if err != nil {
		return err
	}
	answered, err := p.Store.Activation(r.Context(), done.Agent)
	if err != nil {
		return err
	}
	pg := v.activatedPage(agent, standing, answered)
	if over, err := p.Desk.Overview(r.Context(), v.activation(r)); err == nil && over.Agent.Number == agent.Number {
		pg.Body = append(pg.Body.(page.Stack), v.stillOpen(over)...)
	}
	return v.show(w, r, http.StatusOK, pg)
}

// stillOpen is what is not demanded and may be done while the list is open.
func (v *visit) stillOpen(over recovery.Overview) page.Stack {
	var rows page.Tasks
	for _, t := range over.Tasks {
		if (t.ID == "second" || t.ID == "verifier") && t.Status != recovery.Done {
			rows = append(rows, v.taskRow(t, inActivation, false))
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return page.Stack{page.Section{Title: v.say("arrival.more.title"), Body: rows}}
}

// activatedPage says that all is ready only when it is: what remains is told.
func (v *visit) activatedPage(agent *parvis.Agent, standing *parvis.Standing, answered store.Activation) page.Page {
	identifiers := page.Record{{Term: v.say("field.agent_number.label"), Text: string(agent.Number), Mono: true}}
	if agent.Email != "" {
		identifiers = append(identifiers, page.Fact{Term: v.say("field.email.label"), Text: agent.Email})
	}
	addresses := page.Record{}
	for _, ch := range parvis.Channels() {
		if address := v.p.Addresses.Portal(ch); address != "" {
			addresses = append(addresses, page.Fact{Term: v.channel(ch, "label"), Text: address, Mono: true})
		}
	}
	body := page.Stack{}
	if answered.Confirmed.IsZero() && answered.Reported.IsZero() {
		body = append(body, page.Notice{Mark: page.Info, Title: v.say("activation_done.unchecked.title"), Text: v.say("activation_done.unchecked.text")})
	}
	if agent.StateAt(v.at) == parvis.PreArrival && !agent.ContractFrom.IsZero() {
		body = append(body, page.Notice{Mark: page.Wait, Title: v.say("activation_done.not_started", text.Args{"date": v.p.local(agent.ContractFrom)})})
	}
	left := v.p.Desk.Remaining(agent, standing)
	for _, t := range left.Tasks {
		switch {
		case !t.Demanded || t.Status == recovery.Done:
		case t.ID == "verifier":
			answer := v.p.Catalog.Reason(v.lang, string(parvis.WhyVerifierMissing), v.values)
			body = append(body, page.Notice{Mark: page.Info, Title: answer.Title, Text: answer.Why})
		case t.ID == "second":
			body = append(body, page.Notice{Mark: page.Info, Title: v.say("activation_done.second.title"), Text: v.say("security.second.how")})
		}
	}
	title := v.say("activation_done.title")
	if len(body) > 0 {
		title = v.say("activation_done.account.title")
	}
	return page.Page{
		Screen: "activation_done", Title: title, Lead: v.say("activation_done.lead"),
		Body: append(body,
			page.Actions{{Text: v.say("activation_done.open"), Kind: "primary", Href: "/signin"}},
			page.Section{Title: v.say("activation_done.identifiers"), Body: identifiers},
			page.Section{Title: v.say("activation_done.addresses"), Body: addresses},
			page.Section{Title: v.say("activation_done.who"), Body: v.people(3, "support_desk", "it_contact", "hr_unit")}),
	}
}
