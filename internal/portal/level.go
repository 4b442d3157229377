package portal

import (
	"net/http"
	"slices"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/signin"
	"parvis/internal/text"
)

// A proof for an application that asks for one of some strength: what reaches it
// is shown, or added on the way; whoever cannot goes back without.

// again tells whether somebody has to show anew how they came in: their
// password, or a passkey.
func (g goal) again() bool { return g.level == "eidas1" }

// stronger tells whether more than the first proof is asked for.
func (g goal) stronger() bool { return g.here && g.level != "" && !g.again() }

// refusing is the way back without the proof, where there is one.
func (g goal) refusing() string {
	if g.level == "" {
		return ""
	}
	return g.unmet()
}

// shown tells whether what was asked for was shown since.
func (g goal) shown(proofs []parvis.Proof) bool {
	return signin.Reaches(slices.DeleteFunc(slices.Clone(proofs), func(p parvis.Proof) bool {
		return p.Kind != parvis.Password && p.At.Before(g.since)
	}), g.level)
}

// withCode are proofs, and a code that the IT contact handed over.
func withCode(proofs []parvis.Proof) []parvis.Proof {
	return append(slices.Clone(proofs), parvis.Proof{Kind: parvis.TemporaryCode})
}

// firstProof is what to show anew: the passkey that opened the session, if it
// can be shown here, or the password.
func (v *visit) firstProof() string {
	opened := slices.ContainsFunc(v.session.Proofs, func(p parvis.Proof) bool { return p.Kind == parvis.Passkey }) &&
		!slices.ContainsFunc(v.session.Proofs, func(p parvis.Proof) bool { return p.Kind == parvis.Password })
	if opened && v.passkeyHere() {
		return string(parvis.Passkey)
	}
	return string(parvis.Password)
}

// passkeyHere tells whether a passkey of the agent can be shown here.
func (v *visit) passkeyHere() bool {
	site := v.p.Policy.Site(v.origin.Channel)
	return site != "" && slices.Contains(v.standing.Sites, site)
}

// kindsFor are the kinds of which one, added here, makes the session reach a
// level. Codes to print are for other days.
func (v *visit) kindsFor(level string) []parvis.ProofKind {
	return slices.DeleteFunc(v.kindsHere(), func(k parvis.ProofKind) bool {
		best := parvis.Proof{Kind: k, Hardware: true} // a security key may be made
		return k == parvis.RecoveryCode || !signin.Reaches(append(slices.Clone(v.session.Proofs), best), level)
	})
}

// reach is for whoever holds nothing that reaches the level: a method to add on
// the way, where the rules let them, or who helps; and the way back without.
func (p *Portal) reach(w http.ResponseWriter, r *http.Request, v *visit, goes proving, g goal) error {
	e := enrolling{
		base: factorsPath, onward: goes.ticket,
		holder: signin.Holder{Number: v.agent.Number, Session: v.session, Origin: v.origin, Lang: v.lang},
	}
	why, err := p.Door.MayEnrol(r.Context(), e.holder)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound: // the session ended meanwhile
		door, err := p.doorTo(goes.address(""))
		if err != nil {
			return err
		}
		return to(w, door)
	case err != nil:
		return err
	}
	// With a method that is held one adds another; its page asks for it first.
	if why.Code == parvis.WhyStepUpRequired {
		why.Code = ""
	}
	withTemporary := ""
	if why.Code == parvis.WhyFactorEnrolHereForbidden {
		ticket, err := p.wicket.returns.Issue(localReturn{Path: goes.address(""), App: g.app.ID, Here: true}, p.Clock(), time.Hour)
		if err != nil {
			return err
		}
		withTemporary = proving{ticket: ticket}.address(string(parvis.TemporaryCode))
	}
	return v.show(w, r, http.StatusOK, v.reachPage(e, g, why, withTemporary))
}

func (v *visit) reachPage(e enrolling, g goal, why parvis.Reason, withTemporary string) page.Page {
	app := text.Args{"app": g.goingTo(v.lang)}
	pg := page.Page{Screen: "prove_level", Title: v.say("prove.level.title"), Lead: v.say("prove.level.lead", app)}
	if g.app.ID == "" { // for one of our own pages
		pg.Title = v.say("prove.level.title.act")
	}
	var body page.Stack
	rows := v.addRows(e, nil, v.kindsFor(g.level))
	switch {
	case why.Code != "":
		told := v.tell(parvis.Decision{Reasons: []parvis.Reason{why}}, parvis.App{}, v.origin.Channel, v.account()).Reasons[0]
		n := page.Notice{Mark: page.Locked, Title: told.Title, Text: told.Answer.Why}
		if withTemporary != "" {
			n.Actions = []page.Button{
				{Text: v.say("action.have_temporary_code"), Kind: "primary", Href: withTemporary},
				{Text: v.say("action.ask_code"), Href: e.at("/request")},
			}
		}
		body = append(body, n, v.people(2, "it_contact", "support_desk"))
	case len(rows) == 0:
		body = append(body,
			page.Notice{Mark: page.Locked, Title: v.say("prove.level.nothing"), Text: v.say("prove.level.nothing.text", app)},
			v.people(2, "it_contact", "support_desk"))
	default:
		section := page.Section{Title: v.say("prove.level.add"), Lead: v.say("prove.level.add.text", app), Body: rows}
		if g.level == "eidas3" {
			section.Body = page.Stack{page.Para(v.say("prove.level.key")), rows}
		}
		body = append(body, section)
	}
	pg.Body = append(body, page.Actions{{Text: v.say("prove.level.without"), Kind: "plain", Href: g.unmet()}})
	return pg
}
