package office

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// shownNotices is how many notices a page lists.
const shownNotices = 20

// known is what the page of one application tells of it.
type known struct {
	app      parvis.App
	row      store.AppRow // empty for one of the configuration file
	inFile   bool
	use      store.AppUse
	troubles []apps.Trouble
	notices  []store.Notice
	said     string // what was just done
}

func (o *Office) getApplication(w http.ResponseWriter, r *http.Request, v *visit) error {
	app, row, err := o.app(r)
	if err != nil {
		return err
	}
	k := known{app: app, row: row, inFile: o.Register.Declares(app.ID), troubles: o.Register.Troubles(app.ID)}
	if k.use, err = o.use(r, v, app.ID); err != nil {
		return err
	}
	if k.notices, err = o.Store.NoticesOf(r.Context(), app.ID, shownNotices); err != nil {
		return err
	}
	for _, said := range []string{"saved", "dropped"} {
		if r.URL.Query().Has(said) {
			k.said = said
		}
	}
	return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page { return o.voice(l).onePage(&k) })
}

// warnings name what is worth a second look at one application.
func (o *Office) warnings(a *parvis.App) (keys []string) {
	if len(o.entrances(a)) == 0 {
		keys = append(keys, "closed")
	}
	if a.OIDC == nil {
		return keys
	}
	if a.OIDC.NoPKCE {
		keys = append(keys, "pkce")
	}
	if !secretive(a) {
		return keys
	}
	now := o.Clock()
	soon := func(s parvis.ClientSecret) bool { return !s.Expires.IsZero() && s.Expires.Before(now.Add(secretSoon)) }
	switch live := serving(a.OIDC.Secrets, now); {
	case len(live) == 0:
		keys = append(keys, "secret_none")
	case !slices.ContainsFunc(live, func(s parvis.ClientSecret) bool { return !soon(s) }):
		keys = append(keys, "secret_soon")
	}
	return keys
}

// secretSoon is how long before the last secret expires the page warns.
const secretSoon = 30 * 24 * time.Hour

func (o *Office) use(r *http.Request, v *visit, app parvis.AppID) (store.AppUse, error) {
	uses, err := o.Store.AppUse(r.Context(), v.at.Add(-useSpan), v.at)
	if i := slices.IndexFunc(uses, func(u store.AppUse) bool { return u.App == app }); i >= 0 {
		return uses[i], err
	}
	return store.AppUse{App: app}, err
}

func (s voice) onePage(k *known) page.Page {
	a := &k.app
	pg := page.Page{Screen: "admin_application", Title: s.name(a), Lead: s.words(a.Purpose), Width: page.Wide}
	body := page.Stack{}
	if k.said != "" {
		body = append(body, page.Notice{Mark: page.Done, Text: s.say("office.one." + k.said)})
	}
	if k.inFile {
		body = append(body, page.Notice{Mark: page.Info, Title: s.say("office.one.file"), Text: s.say("office.one.file.text")})
	}
	for _, key := range s.o.warnings(a) {
		body = append(body, page.Notice{Mark: page.Warn, Title: s.say("office.warning." + key), Text: s.say("office.warning." + key + ".text")})
	}
	actions := page.Actions{
		{Text: s.say("office.one.paste"), Href: place(a.ID, "paste")},
		{Text: s.say("office.one.try"), Href: place(a.ID, "try")},
		{Text: s.say("office.one.yaml"), Href: place(a.ID, "file")},
	}
	if !k.inFile {
		actions = slices.Insert(actions, 0, page.Button{Text: s.say("office.one.edit"), Kind: "primary", Href: place(a.ID, "edit")})
		if secretive(a) {
			actions = append(actions, page.Button{Text: s.say("office.secrets.open"), Href: place(a.ID, "secrets")})
		}
		actions = append(actions, page.Button{Text: s.say("office.remove.open"), Kind: "stop", Href: place(a.ID, "remove")})
	}
	pg.Body = append(body, actions,
		page.Section{Title: s.say("office.one.settings"), Body: s.record(k)},
		page.Matrix{
			Caption: s.say("office.one.entrances"), Where: s.say("app_detail.matrix.where"), State: s.say("office.one.entrances.state"), Places: s.places(a),
		},
		page.Section{Title: s.say("office.one.use"), Body: page.Record{
			{Term: s.say("office.list.column.agents"), Text: s.count(k.use.Agents)},
			{Term: s.say("office.list.column.live"), Text: s.count(k.use.Live)},
			{Term: s.say("office.one.last"), Text: s.when(k.use.Last)},
		}},
		page.Section{Title: s.say("office.one.troubles"), Lead: s.say("office.one.troubles.lead"), Body: s.troubles(a, k.troubles)},
		page.Section{Title: s.say("office.one.notices"), Lead: s.say("office.one.notices.lead"), Body: s.notices(k.notices)},
		page.Actions{{Text: s.say("office.back.list"), Kind: "plain", Href: applications}},
	)
	return pg
}

// record lists the settings that are not their default.
func (s voice) record(k *known) page.Record {
	a := &k.app
	out := page.Record{{Term: s.say("office.field.id"), Text: string(a.ID), Mono: true}, {Term: s.say("office.field.doors"), Text: s.doors(a)}}
	for _, f := range fields() {
		if f.door != "" && !slices.Contains(doorsOf(a), f.door) {
			continue
		}
		v := f.get(a)
		if len(v) == 0 || f.name == "channels" {
			continue
		}
		fact := page.Fact{Term: s.say("office.field." + f.name), Text: strings.Join(v, ", "), Mono: f.mono}
		switch {
		case f.shape == box:
			fact.Text = s.say("office.yes")
		case f.shape == boxes || f.shape == menu:
			var named []string
			for _, option := range v {
				named = append(named, s.option(f, option))
			}
			fact.Text, fact.Mono = strings.Join(named, ", "), false
		case f.name == "saml.metadata" || f.name == "oidc.jwks":
			fact.Text, fact.Mono = s.say("office.one.document", args("n", len(first(v)))), false
		case f.shape == area:
			fact.Text = strings.ReplaceAll(one(v), "\n", ", ")
		}
		out = append(out, fact)
	}
	if a.OIDC != nil && secretive(a) {
		out = append(out, page.Fact{Term: s.say("office.secrets.title.short"), Text: s.say("office.secrets.count", args("n", len(serving(a.OIDC.Secrets, s.o.Clock()))))})
	}
	if !k.row.At.IsZero() {
		out = append(out, page.Fact{Term: s.say("office.one.changed"), Text: s.say("office.one.changed.by", args("who", s.who(k.row.By), "when", s.o.local(k.row.At)))})
	}
	return out
}

// places says where the application opens and what is asked there, as it is
// declared; the rules of the organisation may ask for more.
func (s voice) places(a *parvis.App) []page.Place {
	var all []page.Place
	for i, ch := range parvis.Channels() {
		p := page.Place{Entrance: i + 1, Name: s.say("channel." + string(ch) + ".label"), State: page.State{Mark: page.Stop, Text: s.say("office.place.closed")}}
		if slices.Contains(a.Channels, ch) {
			p.State = page.State{Mark: page.Done, Text: s.say("office.place.open")}
			if slices.Contains(a.Reduced, ch) {
				p.State.Text = s.say("office.place.reduced")
			}
			p.Way = strings.Join(s.demands(a, ch), ", ")
		}
		all = append(all, p)
	}
	return all
}

func (s voice) demands(a *parvis.App, ch parvis.Channel) []string {
	all := []string{s.say("office.demand.one")}
	switch {
	case a.Second || ch == parvis.VPN: // through the VPN a second proof is always asked (product.md section 5)
		all[0] = s.say("office.demand.second")
	case slices.Contains(a.SecondOn, ch):
		all[0] = s.say("office.demand.enrolled")
	}
	if a.SecondStrength > parvis.AnySecond && all[0] != s.say("office.demand.one") {
		all = append(all, s.say("office.option.second_proof_strength."+strengths[min(a.SecondStrength, len(strengths)-1)]))
	}
	if a.ProofMaxAge > 0 {
		all = append(all, s.say("office.demand.age", args("duration", time.Duration(a.ProofMaxAge)*time.Second)))
	}
	if a.OnDeviceVPN && ch == parvis.VPN {
		all = append(all, s.say("office.demand.device"))
	}
	if a.Entitled {
		all = append(all, s.say("office.demand.entitled"))
	}
	if a.OfficeHours {
		all = append(all, s.say("office.demand.hours"))
	}
	return all
}

// notices says how it went to tell the application that a session ended.
func (s voice) notices(all []store.Notice) page.Table {
	t := page.Table{
		Caption: s.say("office.notices.caption"), Empty: &page.Empty{Title: s.say("office.notices.none"), Text: s.say("office.notices.none.text")},
	}
	for _, key := range []string{"at", "agent", "protocol", "channel", "state", "answer"} {
		t.Columns = append(t.Columns, page.Column{Text: s.say("office.notices.column." + key)})
	}
	marks := map[string]page.Mark{"waiting": page.Wait, "delivered": page.Done, "given_up": page.Stop}
	for _, n := range all {
		state := page.State{Mark: page.Info, Text: n.State}
		if mark, ok := marks[n.State]; ok {
			state = page.State{Mark: mark, Text: s.say("office.notices.state."+n.State, args("n", n.Tries))}
		}
		answer := n.Answer
		if answer == "" {
			answer = s.say("office.none.answer")
		}
		t.Rows = append(t.Rows, []page.Cell{
			{Text: s.when(n.At)},
			{Text: string(n.Agent), Mono: true},
			{Text: s.protocol(n.Protocol)},
			{Text: s.channels([]parvis.Channel{n.Channel})},
			{Value: state},
			{Text: answer},
		})
	}
	return t
}

func (s voice) protocol(p parvis.Protocol) string {
	if said := s.sayOr(nil, "office.kind."+string(p)); said != "" {
		return said
	}
	return string(p)
}

// who is how whoever changed something is called: an agent by their number, an
// operator by what they are and their name on the machine.
func (s voice) who(by string) string {
	if name, operator := strings.CutPrefix(by, "operator:"); operator {
		return s.say("role.operator") + " (" + name + ")"
	}
	return by
}

// serving keeps the secrets that serve at a moment.
func serving(all []parvis.ClientSecret, at time.Time) []parvis.ClientSecret {
	return slices.DeleteFunc(slices.Clone(all), func(s parvis.ClientSecret) bool { return !s.Expires.IsZero() && !s.Expires.After(at) })
}
