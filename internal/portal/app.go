package portal

import (
	"net/http"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/text"
)

// getApp says where an application opens for this person, and what it asks.
func (p *Portal) getApp(w http.ResponseWriter, r *http.Request, v *visit) error {
	app, ok := p.Policy.App(parvis.AppID(r.PathValue("app")))
	if !ok {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "portal.getApp"}
	}
	return v.show(w, r, http.StatusOK, v.appPage(app))
}

func (v *visit) appPage(app parvis.App) page.Page {
	lang := string(v.lang)
	args := text.Args{"app": app.Name.In(lang)}
	if owner := app.Owner.In(string(v.lang)); owner != "" {
		args["owner"] = owner
	}
	here := v.place(app, v.origin.Channel)
	pg := page.Page{
		Screen: "app_detail", Title: v.say("app_detail.title."+here.state, args), Lead: app.Purpose.In(lang),
	}
	body := page.Stack{}
	if (here.state == isOpen || here.state == isLimited) && tiled(app) {
		href, out := v.href(here)
		body = append(body, page.Actions{{Text: v.say("action.open_app", args), Kind: "primary", Href: href, Out: out}})
	}
	body = append(body, page.Matrix{
		Caption: v.say("app_detail.matrix.title"), Where: v.say("app_detail.matrix.where"), State: v.say("app_detail.matrix.state"),
		Places: v.places(app),
	})
	if !here.decision.Open {
		told := v.tell(v.p.Policy.Explain(v.ask(app.ID, v.origin.Channel)), app, v.origin.Channel, v.account())
		var todo page.List
		for _, s := range v.steps(told, app, "/") {
			todo = append(todo, s.Title)
		}
		body = append(body, page.Section{Title: v.say("refusal.do"), Body: todo})
	}
	if len(app.Reduced) > 0 && (app.ReducedCan.In(lang) != "" || app.ReducedNot.In(lang) != "") {
		var where []string
		for _, ch := range app.Reduced {
			where = append(where, v.channel(ch, "the"))
		}
		facts := page.Record{}
		if can := app.ReducedCan.In(lang); can != "" {
			facts = append(facts, page.Fact{Term: v.say("portal.reduced.can"), Text: can})
		}
		if not := app.ReducedNot.In(lang); not != "" {
			facts = append(facts, page.Fact{Term: v.say("portal.reduced.not"), Text: not})
		}
		body = append(body, page.Section{Title: v.say("portal.reduced.title", text.Args{"where": v.either(where)}), Body: facts})
	}
	body = append(body, page.Section{Title: v.say("app_detail.proof.title"), Body: v.demands(app)})
	if owner := app.Owner.In(string(v.lang)); owner != "" {
		stack := page.Stack{page.Para(capital(owner))}
		if here.state == notAssigned {
			stack = append(stack, page.Para(v.say("app_detail.ask.how", args)))
		}
		body = append(body, page.Section{Title: v.say("app_detail.owner.title"), Body: stack})
	}
	pg.Body = body
	pg.Aside = v.people(2, "it_contact", "support_desk")
	return pg
}

// places asks the engine about every entrance.
func (v *visit) places(app parvis.App) []page.Place {
	var all []page.Place
	for _, ch := range parvis.Channels() {
		pl := v.place(app, ch)
		row := page.Place{
			Entrance: entrance(ch), Name: v.channel(ch, "label"), Here: ch == v.origin.Channel,
			State: page.State{Mark: mark(pl.state), Text: v.placeState(pl, ch)},
		}
		if pl.state == isOpen || pl.state == isLimited {
			row.State.Mark = page.Done
		}
		if row.Here {
			row.Detail = v.say("activation_channels.here")
		}
		if !pl.decision.Open {
			row.Way = v.wayAt(app, ch)
		}
		all = append(all, row)
	}
	return all
}

func (v *visit) placeState(pl place, ch parvis.Channel) string {
	args := text.Args{"channel_label": v.channel(ch, "the")}
	if pl.decision.Has(parvis.WhyVPNPending) {
		return v.say("app_detail.state.vpn_pending", args)
	}
	if pl.state == notNow {
		for _, r := range pl.decision.Reasons {
			if r.Code == parvis.WhyChannelClosed && !r.At.IsZero() {
				args["next_open"] = v.p.local(r.At)
			}
		}
	}
	if pl.state == notHere && len(pl.decision.Reasons) > 0 && facetOf(pl.decision.Reasons[0].Code) == onDevice {
		return v.tell(pl.decision, pl.app, ch).Reasons[0].Title
	}
	return v.say("app_detail.state."+pl.state, args)
}

// wayAt says what would open an application through one entrance, without
// changing it.
func (v *visit) wayAt(app parvis.App, ch parvis.Channel) string {
	d := v.p.Policy.Explain(v.ask(app.ID, ch))
	told := v.tell(d, app, ch)
	for i, way := range d.Ways {
		stays := true
		for _, c := range way.Changes {
			stays = stays && c.Kind != parvis.ChangeChannel
		}
		if stays {
			return told.Ways[i].Title
		}
	}
	return ""
}
