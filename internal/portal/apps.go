package portal

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// What applications hold of an agent: what they were told by a protocol while it
// lasts, and what the agent agreed to. Any of it can be taken back.

const appsPath = "/security/applications"

// holding is what one application has now.
type holding struct {
	id       parvis.AppID
	app      parvis.App // with its identifier for a name when it is gone
	grants   []store.Grant
	consents []store.Document
}

// holdings lists what applications have of an agent, by name.
func (v *visit) holdings(ctx context.Context) ([]holding, error) {
	grants, err := v.p.Store.GrantsOf(ctx, v.agent.Number, v.at)
	if err != nil {
		return nil, err
	}
	consents, err := v.p.Store.DocumentsOf(ctx, "consent", v.agent.Number)
	if err != nil {
		return nil, err
	}
	var all []holding
	of := func(id parvis.AppID) *holding {
		i := slices.IndexFunc(all, func(h holding) bool { return h.id == id })
		if i < 0 {
			app, ok := v.p.Policy.App(id)
			if !ok {
				app = parvis.App{ID: id, Name: parvis.Words{FR: string(id), EN: string(id)}}
			}
			i, all = len(all), append(all, holding{id: id, app: app})
		}
		return &all[i]
	}
	for _, g := range grants {
		h := of(g.App)
		h.grants = append(h.grants, g)
	}
	for _, d := range consents {
		if !d.Expires.IsZero() && !d.Expires.After(v.at) {
			continue
		}
		h := of(d.App)
		h.consents = append(h.consents, d)
	}
	slices.SortFunc(all, func(a, b holding) int {
		return strings.Compare(fold(a.app.Name.In(string(v.lang))), fold(b.app.Name.In(string(v.lang))))
	})
	return all, nil
}

func (p *Portal) getApps(w http.ResponseWriter, r *http.Request, v *visit) error {
	all, err := v.holdings(r.Context())
	if err != nil {
		return err
	}
	ended, _ := p.Policy.App(parvis.AppID(r.URL.Query().Get("ended")))
	return v.show(w, r, http.StatusOK, v.appsPage(all, ended))
}

func (v *visit) appsPage(all []holding, ended parvis.App) page.Page {
	pg := page.Page{Screen: "security_apps", Title: v.say("security_apps.title"), Lead: v.say("security_apps.lead")}
	var body page.Stack
	if ended.ID != "" {
		body = append(body, page.Notice{Mark: page.Done, Title: v.say("security_apps.ended", text.Args{"app": ended.Name.In(string(v.lang))})})
	}
	var rows page.Rows
	for _, h := range all {
		rows = append(rows, v.holdingRow(h))
	}
	if len(rows) > 0 {
		body = append(body, page.Section{Title: v.say("security.apps.count", text.Args{"n": len(rows)}), Body: rows})
	} else {
		body = append(body, page.Para(v.say("security_apps.none")))
	}
	pg.Body = append(body, page.Links{{Text: v.say("chrome.menu.security"), Href: "/security"}})
	return pg
}

func (v *visit) holdingRow(h holding) page.Row {
	name := h.app.Name.In(string(v.lang))
	row := page.Row{
		Icon: icon(h.id), Name: name,
		Actions: []page.Button{{Text: v.say("security_apps.end"), About: name, Href: appsPath + "/" + url.PathEscape(string(h.id))}},
	}
	var since, until time.Time
	var where []string
	for _, g := range h.grants {
		if since.IsZero() || g.Began.Before(since) {
			since = g.Began
		}
		if ch := v.channel(g.Channel, "the"); !slices.Contains(where, ch) {
			where = append(where, ch)
		}
		if g.Offline && g.Expires.After(until) {
			until = g.Expires
		}
	}
	if len(h.grants) > 0 {
		row.Text = v.say("security_apps.since", text.Args{"since": v.p.local(since), "channels": where})
		row.State = &page.State{Mark: page.Info, Text: v.say("security_apps.session")}
		if !until.IsZero() {
			row.State = &page.State{Mark: page.Wait, Text: v.say("security_apps.offline", text.Args{"date": v.p.local(until)})}
		}
	}
	if len(h.consents) > 0 {
		row.Note = v.say("security_apps.consent")
	}
	return row
}

// held finds what one application has, named by the path.
func (v *visit) held(r *http.Request) (holding, error) {
	all, err := v.holdings(r.Context())
	if err != nil {
		return holding{}, err
	}
	i := slices.IndexFunc(all, func(h holding) bool { return string(h.id) == r.PathValue("app") })
	if i < 0 {
		return holding{}, &parvis.Error{Code: parvis.CodeNotFound, Op: "portal.held"}
	}
	return all[i], nil
}

func (p *Portal) getAppEnd(w http.ResponseWriter, r *http.Request, v *visit) error {
	h, err := v.held(r)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound: // it ended meanwhile
		return to(w, appsPath)
	case err != nil:
		return err
	}
	return v.show(w, r, http.StatusOK, v.appEndPage(h))
}

// appEndPage spells out what is taken back, before it is.
func (v *visit) appEndPage(h holding) page.Page {
	args := text.Args{"app": h.app.Name.In(string(v.lang))}
	var outcomes []page.State
	if len(h.grants) > 0 {
		outcomes = append(outcomes, page.State{Mark: page.Stop, Text: v.say("security_app_end.now", args)})
		if slices.ContainsFunc(h.grants, func(g store.Grant) bool { return !g.Tells }) {
			outcomes = append(outcomes, page.State{Mark: page.Warn, Text: v.say("security_app_end.untold", args)})
		} else {
			outcomes = append(outcomes, page.State{Mark: page.Stop, Text: v.say("security_app_end.told", args)})
		}
	}
	if len(h.consents) > 0 {
		outcomes = append(outcomes, page.State{Mark: page.Stop, Text: v.say("security_app_end.consent", args)})
	}
	outcomes = append(outcomes, page.State{Mark: page.Info, Text: v.say("security_app_end.again", args)})
	return page.Page{
		Screen: "security_app_end", Title: v.say("security_app_end.title", args),
		Body: page.Confirm{
			Title: v.say("security_app_end.changes"), Outcomes: outcomes,
			Form: page.Form{
				Action: appsPath + "/" + url.PathEscape(string(h.id)),
				Buttons: []page.Button{
					{Text: v.say("security_app_end.submit"), Kind: "stop"}, {Text: v.say("action.cancel"), Kind: "plain", Href: appsPath},
				},
			},
		},
	}
}

// postAppEnd takes back what an application has. What is over already is done.
func (p *Portal) postAppEnd(w http.ResponseWriter, r *http.Request, v *visit) error {
	h, err := v.held(r)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return to(w, appsPath)
	case err != nil:
		return err
	}
	err = p.Store.Write(r.Context(), func(tx *store.Tx) error {
		grants, consents := 0, 0
		for _, g := range h.grants { // of this agent: nobody ends what is another's
			ended, err := tx.EndGrant(r.Context(), g.ID, "taken_back")
			if err != nil {
				return err
			}
			if ended {
				grants++
			}
		}
		for _, d := range h.consents {
			dropped, err := tx.DropDocument(r.Context(), d.Kind, d.ID)
			if err != nil {
				return err
			}
			if dropped {
				consents++
			}
		}
		for kind, n := range map[string]int{"grant.ended": grants, "consent.withdrawn": consents} {
			if n > 0 {
				tx.Record(parvis.Event{
					Kind: kind, Agent: v.agent.Number, Actor: string(v.agent.Number), App: h.id,
					Channel: v.origin.Channel, Address: v.origin.Address, Detail: map[string]string{"why": "taken_back", "n": strconv.Itoa(n)},
				})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return to(w, appsPath+"?ended="+url.QueryEscape(string(h.id)))
}

// tellingFrames are the addresses that sign the browser out of the applications of a
// session (OpenID Connect Front-Channel Logout 1.0 §2), to be framed once.
func (v *visit) tellingFrames(ctx context.Context) ([]string, error) {
	grants, err := v.p.Store.GrantsIn(ctx, v.session.ID)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, g := range grants {
		app, ok := v.p.Policy.App(g.App)
		if !ok || g.Protocol != parvis.OIDC || app.OIDC == nil || app.OIDC.FrontChannel == "" || len(all) == mostFrames {
			continue
		}
		u, err := url.Parse(app.OIDC.FrontChannel)
		if err != nil {
			continue
		}
		q := u.Query()
		q.Set("iss", v.p.Addresses.Portal(g.Channel))
		q.Set("sid", g.SID)
		u.RawQuery = q.Encode()
		if s := u.String(); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all, nil
}

// mostFrames bounds what one page asks of a browser.
const mostFrames = 20

// told is the sealed list of what the page after signing out frames.
type told struct {
	URLs []string `json:"u"`
}
