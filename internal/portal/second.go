package portal

import (
	"slices"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/text"
)

// What the pages say of the second proof: who demands it, and who can give it.
// Both are the engine's: a page never says that one can do it alone when the
// way is somebody else's.

// sensitive tells whether a profile of the agent demands a second proof everywhere.
func (v *visit) sensitive() bool {
	return v.in && parvis.Strictest(v.p.Profiles, v.agent).Sensitive
}

// onlySecond tells whether nothing but a second proof is missing.
func onlySecond(d parvis.Decision) bool {
	return len(d.Reasons) > 0 && !slices.ContainsFunc(d.Reasons, func(r parvis.Reason) bool { return facetOf(r.Code) != onSecond })
}

// secondBy asks the engine who can give the second proof that alone is missing
// here. It is the same for every application, so it is asked once a page.
func (v *visit) secondBy(app parvis.AppID, ch parvis.Channel) parvis.Actor {
	if v.giver != "" {
		return v.giver
	}
	v.giver = parvis.ByITDepartment
	for _, way := range v.p.Policy.Explain(v.ask(app, ch)).Ways {
		if len(way.Changes) == 1 && way.Changes[0].Kind == parvis.ChangeProof {
			v.giver = way.Changes[0].By
			break
		}
	}
	return v.giver
}

// secondWay says in a few words what to do about it.
func (v *visit) secondWay(by parvis.Actor) string {
	switch {
	case by == parvis.BySelf && v.standing.SecondEnrolled():
		return v.say("portal.second.self")
	case by == parvis.BySelf:
		return v.say("second_factor.add")
	case v.standing.SecondEnrolled():
		return v.say("portal.second.held", v.who(by))
	}
	return v.say("portal.second.none", v.who(by))
}

func (v *visit) who(by parvis.Actor) text.Args {
	return text.Args{"who": v.say("actor." + string(by) + ".the")}
}

// waiting tells who puts into service the second method that the agent holds,
// when something wants it through one of these entrances and it cannot be shown
// there yet; nobody when all is well.
func (v *visit) waiting(channels ...parvis.Channel) (by parvis.Actor, ok bool) {
	if !v.standing.SecondEnrolled() {
		return "", false
	}
	for _, app := range v.p.Policy.Apps() {
		for _, ch := range channels {
			if d := v.p.Policy.Decide(v.ask(app.ID, ch)); !d.Open && onlySecond(d) {
				by := v.secondBy(app.ID, ch)
				return by, by != parvis.BySelf
			}
		}
	}
	return "", false
}

// second is what the page about security says of it.
func (v *visit) second() page.Rows {
	var names []string
	for _, k := range v.standing.Enrolled {
		if k.Second() {
			names = append(names, v.say("proof."+string(k)))
		}
	}
	row := page.Row{
		Icon: "shield-check", Name: v.say("security.second.none"), Text: v.say("security_factors.lead"),
		State:   &page.State{Mark: page.Info, Text: v.say("activation_overview.state.optional")},
		Actions: []page.Button{{Text: v.say("action.add_method"), Href: factorsPath}},
	}
	note, demanded := v.secondRule()
	row.Note = note
	if demanded {
		row.State = &page.State{Mark: page.Todo, Text: v.say("activation_overview.state.todo")}
	}
	if !v.standing.SecondAsked.IsZero() {
		asked := v.p.Catalog.Reason(v.lang, string(parvis.WhyFactorRequestSent), v.with(text.Args{"date": v.p.local(v.standing.SecondAsked)}))
		row.State = &page.State{Mark: page.Wait, Text: asked.Title}
	}
	if len(names) > 0 {
		row.Name = v.say("security.second.methods", text.Args{"n": len(names), "methods": names})
		row.Text, row.State = "", &page.State{Mark: page.Done, Text: v.say("activation_overview.state.done")}
		row.Actions[0].Text = v.say("security_factors.see")
		if by, ok := v.waiting(parvis.Channels()...); ok {
			row.Text, row.State = v.say("portal.second.waiting.text", v.who(by)), &page.State{Mark: page.Wait, Text: v.say("portal.second.waiting")}
		}
	}
	return page.Rows{row}
}

// secondRule says whose decision it is that the agent holds a second proof, or
// that nobody asks for it; and whether it is asked now.
func (v *visit) secondRule() (note string, demanded bool) {
	if v.sensitive() || v.demandsSecond() {
		return v.say("security.second.required"), true
	}
	var names []string
	for _, app := range v.p.Policy.Apps() {
		if app.Second && (!app.Entitled || slices.Contains(v.agent.Entitlements, app.ID)) {
			names = append(names, app.Name.In(string(v.lang)))
		}
	}
	var from time.Time
	for _, ch := range parvis.Channels() {
		if d := v.p.Policy.Announced(v.agent, "", ch, v.at); d.Strength > 0 && !d.From.IsZero() && (from.IsZero() || d.From.Before(from)) {
			from = d.From
		}
	}
	switch {
	case !from.IsZero():
		return v.say("security.second.announced", text.Args{"date": v.p.local(from)}), false
	case len(names) > 0:
		return v.say("security.second.apps", text.Args{"apps": names}), true
	}
	return v.say("security.second.optional"), false
}

// demands says what has to be shown before an application opens.
func (v *visit) demands(app parvis.App) page.List {
	var all page.List
	switch {
	case app.Second:
		all = page.List{v.say("app_detail.proof.two")}
	case v.sensitive():
		all = page.List{v.say("app_detail.proof.two"), v.say("app_detail.proof.profile")}
	default:
		all = v.oneProof(app)
	}
	if app.OnDeviceVPN {
		all = append(all, v.say("app_detail.proof.device"))
	}
	if app.OfficeHours {
		all = append(all, v.say("app_detail.proof.hours"))
	}
	return all
}

// oneProof is for an application that itself asks for one: the VPN always wants
// a second, and some entrances want it from whoever has one (product.md 5).
func (v *visit) oneProof(app parvis.App) page.List {
	var held []string
	for _, ch := range app.Channels {
		if ch == parvis.Mobile || ch != parvis.VPN && slices.Contains(app.SecondOn, ch) {
			held = append(held, v.channel(ch, "the"))
		}
	}
	vpn := slices.Contains(app.Channels, parvis.VPN)
	if !vpn && len(held) == 0 {
		return page.List{v.say("app_detail.proof.one")}
	}
	all := page.List{v.say("app_detail.proof.first")}
	if vpn {
		all = append(all, v.say("portal.second.vpn"))
	}
	if len(held) > 0 {
		all = append(all, v.say("portal.second.when_enrolled", text.Args{"where": v.either(held)}))
	}
	return all
}
