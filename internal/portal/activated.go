package portal

import (
	"net/http"
	"strings"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/recovery"
	"parvis/internal/store"
	"parvis/internal/text"
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

func (p *Portal) getVerifier(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.later(w, r, v, func(recovery.Overview) page.Page {
		return page.Page{
			Screen: "activation_verifier", Title: v.say("activation_verifier.later.title"), Lead: v.say("activation_verifier.lead"),
			Body: page.Stack{page.Para(v.say("activation_verifier.later.text")), page.Para(v.say("activation_verifier.rule"))},
		}
	})
}

func (p *Portal) getSecond(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.later(w, r, v, func(over recovery.Overview) page.Page {
		why := v.say("activation_second_factor.not_required")
		if over.Second {
			why = v.say("activation_second_factor.required")
		}
		return page.Page{
			Screen: "activation_second_factor", Title: v.say("activation_second_factor.title"), Lead: v.say("activation_second_factor.lead"),
			Body: page.Stack{
				page.Para(why),
				page.Notice{Mark: page.Wait, Title: v.say("activation_second_factor.later.title"), Text: v.say("activation_second_factor.later.text")},
				v.people(1, "it_contact", "support_desk"),
			},
		}
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
	return v.show(w, r, http.StatusOK, v.activatedPage(agent, standing, answered))
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
	if v.p.Verifier && !standing.VerifierLinked {
		answer := v.p.Catalog.Reason(v.lang, string(parvis.WhyVerifierMissing), v.values)
		body = append(body, page.Notice{Mark: page.Info, Title: answer.Title, Text: answer.Why})
	}
	if parvis.Strictest(v.p.Profiles, agent).Sensitive && !standing.SecondEnrolled() {
		body = append(body, page.Notice{Mark: page.Info, Title: v.say("activation_done.second.title"), Text: v.say("security.second.how")})
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
