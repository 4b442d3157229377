package portal

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/a-h/templ"
	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/text"
)

// The states of a tile (domain.md 5.3), as in the catalogue: tile.STATE and
// app_detail.title.STATE.
const (
	isOpen      = "open"
	isLimited   = "open_limited"
	needsProof  = "needs_proof"
	notHere     = "not_here"
	notNow      = "not_now"
	notAssigned = "not_assigned"
	notYet      = "not_yet"
	isDown      = "down"
)

// manyOnDemand is how many applications on demand the launcher shows without
// being asked: a large city has hundreds.
const manyOnDemand = 12

// stateOf reads a decision as the state of a tile.
func stateOf(d parvis.Decision) string {
	switch {
	case d.Open && d.Limited:
		return isLimited
	case d.Open:
		return isOpen
	case d.Has(parvis.WhyAppNotAssigned):
		return notAssigned
	case len(d.Reasons) == 0:
		return notYet
	}
	switch facetOf(d.Reasons[0].Code) {
	case onChannel, onDevice:
		return notHere
	case onTime:
		return notNow
	case onSecond:
		return needsProof
	}
	return notYet
}

func (v *visit) down(app parvis.AppID) (time.Time, bool) {
	if v.p.Down == nil {
		return time.Time{}, false
	}
	return v.p.Down(app)
}

// place is one application as it stands for this visit.
type place struct {
	app      parvis.App
	decision parvis.Decision
	state    string
}

func (v *visit) place(app parvis.App, ch parvis.Channel) place {
	d := v.p.Policy.Decide(v.ask(app.ID, ch))
	pl := place{app, d, stateOf(d)}
	if d.Open {
		if since, down := v.down(app.ID); down {
			pl.state = isDown
			pl.decision.Reasons = []parvis.Reason{{Code: parvis.WhyAppDown, At: since}}
		}
	}
	return pl
}

// href is where a tile leads: into the application when it opens, to its page
// when there is something to know first. Out tells that it is another site:
// that of an application which the gateway does not serve.
func (v *visit) href(pl place) (href string, out bool) {
	if pl.state == isOpen || pl.state == isLimited {
		return v.front(pl.app, v.door)
	}
	return "/app/" + url.PathEscape(string(pl.app.ID)), false
}

// front is where an application is entered, through one entrance. Its page here
// stands for one that has no start.
func (v *visit) front(app parvis.App, ch parvis.Channel) (href string, out bool) {
	switch {
	case served(app):
		return v.p.Addresses.App(ch, app.ID) + "/", false
	case app.Start != "":
		return app.Start, true
	}
	return v.p.Addresses.Portal(ch) + "/app/" + url.PathEscape(string(app.ID)), false
}

// served tells whether the gateway leads to an application: it does to any that
// has no other door alone.
func served(app parvis.App) bool {
	return app.Upstream != "" || !app.Forward && app.OIDC == nil && app.CAS == nil && app.SAML == nil
}

// tiled tells whether an application has a tile: one that people reach from
// elsewhere has none.
func tiled(app parvis.App) bool { return served(app) || app.Start != "" }

func mark(state string) page.Mark {
	switch state {
	case isOpen, isLimited:
		return page.Open
	case needsProof, notNow:
		return page.Wait
	case notAssigned:
		return page.Info
	case isDown:
		return page.Stop
	}
	return page.Locked
}

func (v *visit) tile(pl place) page.Tile {
	lang := string(v.lang)
	href, out := v.href(pl)
	return page.Tile{
		Name: pl.app.Name.In(lang), For: pl.app.Purpose.In(lang), Href: href, Out: out, Icon: icon(pl.app.ID),
		State: page.State{Mark: mark(pl.state), Text: v.say("tile." + pl.state)}, Way: v.shortWay(pl),
	}
}

// icon gives the drawing of an application that is called as it usually is.
func icon(id parvis.AppID) string {
	known := map[parvis.AppID]string{
		"messagerie": "mail", "paie": "receipt", "conges": "calendar", "annuaire": "address-book",
		"finances": "coin", "social": "users", "urbanisme": "map-pin",
	}
	if name, ok := known[id]; ok {
		return name
	}
	return "apps"
}

// shortWay says in a few words what would open a tile, without looking for
// every way: by which other entrance, or what the first reason asks.
func (v *visit) shortWay(pl place) string {
	args := text.Args{"app": pl.app.Name.In(string(v.lang)), "owner": pl.app.Owner.In(string(v.lang))}
	switch pl.state {
	case isOpen:
		return ""
	case isLimited:
		return v.limits(pl.app)
	case notAssigned:
		return v.p.Catalog.Way(v.lang, []text.Change{{Kind: "entitlement", By: "app_owner", Args: v.with(args)}})
	case isDown:
		return v.say("portal.down", text.Args{"time": v.p.local(pl.decision.Reasons[0].At)})
	case notNow:
		if at := pl.decision.Reasons[0].At; !at.IsZero() {
			return v.say("portal.reopens", text.Args{"when": v.p.local(at)})
		}
	}
	if onlySecond(pl.decision) {
		return v.secondWay(v.secondBy(pl.app.ID, v.origin.Channel))
	}
	if where := v.elsewhere(pl.app); where != "" {
		return v.say("tile.way", text.Args{"way": where})
	}
	if len(pl.decision.Reasons) == 0 {
		return ""
	}
	return v.tell(pl.decision, pl.app, v.origin.Channel).Reasons[0].Title
}

func (v *visit) limits(app parvis.App) string {
	if can := app.ReducedCan.In(string(v.lang)); can != "" {
		return v.say("portal.reduced", text.Args{"can": can})
	}
	return ""
}

// elsewhere lists the other entrances through which an application opens as
// things are, or would with a second proof, during its hours; empty when there
// is none.
func (v *visit) elsewhere(app parvis.App) string {
	var open, proven, timed, both []string
	for _, ch := range app.Channels {
		if ch == v.origin.Channel {
			continue
		}
		d := v.p.Policy.Decide(v.ask(app.ID, ch))
		name := v.say("way.tile.channel." + string(ch))
		missing := map[facet]bool{}
		for _, r := range d.Reasons {
			missing[facetOf(r.Code)] = true
		}
		second, time := missing[onSecond], missing[onTime]
		delete(missing, onSecond)
		delete(missing, onTime)
		switch {
		case d.Open:
			open = append(open, name)
		case len(missing) > 0:
		case second && time:
			both = append(both, name)
		case time:
			timed = append(timed, name)
		default:
			proven = append(proven, name)
		}
	}
	switch {
	case len(open) > 0:
		return v.either(open)
	case len(timed) > 0:
		return v.say("portal.with_hours", text.Args{"where": v.either(timed)})
	case len(proven) > 0:
		return v.say("portal.with_second", text.Args{"where": v.either(proven)})
	case len(both) > 0:
		where := v.say("portal.with_hours", text.Args{"where": v.either(both)})
		return v.say("portal.with_second", text.Args{"where": where})
	}
	return ""
}

// either joins alternatives: « au bureau ou par le VPN ».
func (v *visit) either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return v.say("portal.either", text.Args{"first": strings.Join(words[:last], ", "), "last": words[last]})
}

// getHome is the start page, or the launcher for whoever is in.
func (p *Portal) getHome(w http.ResponseWriter, r *http.Request, v *visit) error {
	// The gateway sends here whoever used the address of another entrance.
	if r.URL.Query().Get("reason") == string(parvis.WhyInternalAddressOutside) && v.origin.Channel != parvis.Internal {
		return p.refuseEntrance(w, r, v, parvis.WhyInternalAddressOutside)
	}
	if !v.in {
		return v.show(w, r, http.StatusOK, v.startPage(p.Sessions.Gone(r)))
	}
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	return v.show(w, r, http.StatusOK, v.homePage(query, r.URL.Query().Get("show")))
}

func (v *visit) startPage(gone parvis.ReasonCode) page.Page {
	pg := page.Page{Screen: "start", Title: v.say("start.title"), Lead: v.say("start.lead"), Aside: page.Square{Entrance: entrance(v.origin.Channel)}}
	var body page.Stack
	if gone != "" {
		body = append(body, v.gone(gone))
	}
	pg.Body = append(body,
		page.Actions{
			{Text: v.say("start.sign_in"), Kind: "primary", Href: "/signin"},
			{Text: v.say("start.activate"), Href: "/activate"},
		},
		page.Para(v.say("start.activate.hint")),
		page.Links{{Text: v.say("start.cannot_enter"), Href: "/diagnosis"}})
	return pg
}

// homePage is the launcher. show is "" for what concerns the agent, "all" for
// every application, "open" for what opens here.
func (v *visit) homePage(query, show string) page.Page {
	pg := page.Page{Screen: "home", Title: v.say("home.greeting", text.Args{"name": v.agent.Name()}), Width: page.Wide, Short: v.say("home.title")}
	var shown []place
	openHere, onDemand, all := 0, 0, slices.DeleteFunc(slices.Clone(v.p.Policy.Apps()), func(app parvis.App) bool { return !tiled(app) })
	for _, app := range all {
		pl := v.place(app, v.origin.Channel)
		if pl.state == isOpen || pl.state == isLimited {
			openHere++
		} else if show == "open" {
			continue
		}
		if query != "" && !matches(app, query) {
			continue
		}
		if pl.state == notAssigned {
			onDemand++
		}
		shown = append(shown, pl)
	}
	hidden := show == "" && query == "" && onDemand > manyOnDemand
	if hidden {
		shown = slices.DeleteFunc(shown, func(pl place) bool { return pl.state == notAssigned })
	}
	pg.Lead = v.say("home.count.none")
	if openHere > 0 {
		pg.Lead = v.say("home.count", text.Args{"n": openHere})
	}
	body := v.notices()
	body = append(body, v.search(query, show))
	switch {
	case len(shown) > 0:
		body = append(body, v.launcher(shown))
	case query != "":
		body = append(body, page.Empty{
			Title:  v.say("home.search.none", text.Args{"query": query}),
			Action: &page.Button{Text: v.say("action.see_all"), Href: "/?show=all"},
		})
	default:
		body = append(body, page.Empty{Title: v.say("home.empty.title"), Text: v.say("home.empty.text"), Drawing: true})
	}
	if toggle := v.toggle(show, hidden, openHere < len(all)); toggle != nil {
		body = append(body, toggle)
	}
	pg.Body = body
	return pg
}

func (v *visit) toggle(show string, hidden, more bool) page.Links {
	switch {
	case show == "open" || hidden:
		return page.Links{{Text: v.say("home.all"), Href: "/?show=all"}}
	case more:
		return page.Links{{Text: v.say("home.open_only"), Href: "/?show=open"}}
	}
	return nil
}

func (v *visit) launcher(shown []place) page.Launcher {
	var groups page.Launcher
	for _, pl := range shown {
		title := pl.app.Group.In(string(v.lang))
		if title == "" {
			title = v.say("home.group.other")
		}
		i := slices.IndexFunc(groups, func(g page.Tiles) bool { return g.Title == title })
		if i < 0 {
			i = len(groups)
			groups = append(groups, page.Tiles{Title: title})
		}
		groups[i].Tiles = append(groups[i].Tiles, v.tile(pl))
	}
	return groups
}

// notices are what needs an act, or explains most of what is closed below.
func (v *visit) notices() page.Stack {
	var body page.Stack
	arrival, arriving := v.unfinished()
	for _, reason := range v.p.Policy.Conditions(v.agent, v.standing, v.at) {
		if arriving && reason.Code == parvis.WhyVerifierMissing { // told below, with the rest
			continue
		}
		told := v.tell(parvis.Decision{Reasons: []parvis.Reason{reason}}, parvis.App{}, v.origin.Channel, v.account())
		n := page.Notice{Mark: page.Warn, Title: told.Reasons[0].Title, Text: told.Reasons[0].Answer.Why}
		if n.Text == "" && len(told.Reasons[0].Answer.Do) > 0 {
			n.Text = told.Reasons[0].Answer.Do[0]
		}
		if strings.HasPrefix(string(reason.Code), "password_") {
			n.Actions = []page.Button{{Text: v.say("action.change_now"), Href: ownPassword}}
		}
		body = append(body, n)
	}
	days, due := v.expiry()
	if due {
		told := v.p.Catalog.Reason(v.lang, string(parvis.WhyPasswordExpiring), v.with(text.Args{"n": days, "date": v.p.local(v.standing.PasswordExpires)}))
		body = append(body, page.Notice{
			Mark: page.Warn, Title: told.Title, Text: told.Why, Actions: []page.Button{{Text: v.say("action.change_now"), Href: ownPassword}},
		})
	}
	if arriving {
		body = append(body, arrival)
	}
	if n, ok := v.deadline(); ok {
		body = append(body, n)
	}
	if by, ok := v.waiting(v.origin.Channel); ok {
		body = append(body, page.Notice{Mark: page.Wait, Title: v.say("portal.second.waiting.title"), Text: v.say("portal.second.waiting.text", v.who(by))})
	}
	return body
}

// expiry tells in how many days the password expires, when it is time to say so.
func (v *visit) expiry() (days int, due bool) {
	at := v.standing.PasswordExpires
	if at.IsZero() || !at.After(v.at) {
		return 0, false
	}
	days = int(at.Sub(v.at)/(24*time.Hour)) + 1
	return days, days <= 30
}

// account gives the values that sentences about the agent's account use.
func (v *visit) account() text.Args {
	a := v.support()
	delete(a, "hours")
	if v.in {
		a["agent_number"] = string(v.agent.Number)
		if v.agent.NewUnit != "" {
			a["unit"] = lastOf(v.agent.NewUnit)
		}
	}
	return a
}

func lastOf(u parvis.UnitPath) string {
	return string(u)[strings.LastIndexByte(string(u), '/')+1:]
}

// search is the form that looks for an application: by GET, so that what was
// found can be kept as an address.
func (v *visit) search(query, show string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		keep := ""
		if show != "" {
			keep = `<input type="hidden" name="show" value="` + templ.EscapeString(show) + `"/>`
		}
		_, err := io.WriteString(w, `<form class="form" method="get" action="/" role="search"><div class="field"><label for="q">`+
			templ.EscapeString(v.say("home.search.label"))+`</label><div class="input-group"><input class="input" type="search" id="q" name="q" value="`+
			templ.EscapeString(query)+`"/><button class="button" type="submit"><span>`+templ.EscapeString(v.say("action.search"))+
			`</span></button></div></div>`+keep+`</form>`)
		return err
	})
}

// matches looks for a word in the names of an application, in both languages,
// without regard to case and accents.
func matches(app parvis.App, query string) bool {
	all := fold(strings.Join([]string{
		string(app.ID), app.Name.FR, app.Name.EN, app.Purpose.FR, app.Purpose.EN, app.Group.FR, app.Group.EN,
	}, " "))
	for word := range strings.FieldsSeq(fold(query)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(s))
}

func capital(s string) string {
	for i, r := range s {
		return string(unicode.ToUpper(r)) + s[i+len(string(r)):]
	}
	return s
}
