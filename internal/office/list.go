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

// useSpan is how far back the list looks for who uses an application: what it
// holds of agents is known no longer than that once it is over.
const useSpan = 7 * 24 * time.Hour

// listed is one application with what is told of it in the list.
type listed struct {
	app     parvis.App
	use     store.AppUse
	inFile  bool
	trouble *apps.Trouble
}

// getApplications shows the list, or the form of a new application.
func (o *Office) getApplications(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	if q.Has("add") {
		return o.proven(o.getAdd)(w, r, v)
	}
	uses, err := o.Store.AppUse(r.Context(), v.at.Add(-useSpan), v.at)
	if err != nil {
		return err
	}
	query := strings.TrimSpace(q.Get("q"))
	all := o.Register.All()
	var found []listed
	for _, a := range all {
		if !matches(&a, query) {
			continue
		}
		one := listed{app: a, inFile: o.Register.Declares(a.ID)}
		if i := slices.IndexFunc(uses, func(u store.AppUse) bool { return u.App == a.ID }); i >= 0 {
			one.use = uses[i]
		}
		if t := o.Register.Troubles(a.ID); len(t) > 0 {
			one.trouble = &t[0]
		}
		found = append(found, one)
	}
	gone := q.Get("removed")
	if slices.ContainsFunc(all, func(a parvis.App) bool { return string(a.ID) == gone }) || string(label(gone)) != gone {
		gone = "" // only what can have been said here
	}
	return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		return o.voice(l).listPage(found, len(all), query, gone)
	})
}

func (s voice) listPage(found []listed, total int, query, gone string) page.Page {
	pg := page.Page{
		Screen: "admin_applications", Title: s.say("office.list.title"), Lead: s.say("office.list.lead", args("n", total)), Width: page.Wide,
	}
	body := page.Stack{}
	if gone != "" {
		body = append(body, page.Notice{Mark: page.Done, Text: s.say("office.list.removed", args("id", gone))})
	}
	if total == 0 {
		pg.Body = append(body, page.Empty{Title: s.say("office.list.empty"), Text: s.say("office.list.empty.text"), Drawing: true}, s.kindLinks())
		return pg
	}
	body = append(body, page.Actions{{Text: s.say("office.add.title"), Kind: "primary", Href: "#add"}}, s.search(query))
	if len(found) == 0 {
		body = append(body, page.Empty{
			Title: s.say("office.list.none", args("query", query)), Text: s.say("office.list.none.text"),
			Action: &page.Button{Text: s.say("office.list.all"), Href: applications},
		})
	} else {
		body = append(body, s.listTable(found))
	}
	pg.Body = append(body,
		page.Section{ID: "add", Title: s.say("office.add.title"), Lead: s.say("office.add.lead"), Body: s.kindLinks()},
		page.Section{Title: s.say("office.files.title"), Body: page.Stack{
			page.Para(s.say("office.files.text")), s.snippet("import", s.say("office.files.import"), "parvis app import applications/ --dry-run\nparvis app import applications/"),
		}})
	return pg
}

func (s voice) listTable(found []listed) page.Table {
	t := page.Table{Caption: s.say("office.list.caption")}
	for _, c := range []struct {
		key    string
		number bool
	}{{"name", false}, {"doors", false}, {"channels", false}, {"agents", true}, {"live", true}, {"trouble", false}, {"where", false}} {
		t.Columns = append(t.Columns, page.Column{Text: s.say("office.list.column." + c.key), Number: c.number})
	}
	for _, one := range found {
		trouble, where := page.Cell{Text: s.say("office.none.trouble")}, "office.where.page"
		if one.trouble != nil {
			trouble = page.Cell{Value: page.State{Mark: page.Warn, Text: s.troubleTitle(*one.trouble) + " – " + s.when(one.trouble.At)}}
		}
		if one.inFile {
			where = "office.where.file"
		}
		t.Rows = append(t.Rows, []page.Cell{
			{Text: s.name(&one.app), Href: place(one.app.ID, "")},
			{Text: s.doors(&one.app)},
			{Text: s.channels(one.app.Channels)},
			{Text: s.count(one.use.Agents)},
			{Text: s.count(one.use.Live)},
			trouble,
			{Text: s.say(where)},
		})
	}
	return t
}

func (s voice) count(n int) string { return s.o.Words.Format(s.lang, n) }

// name is how an application is called here: two may have the same name.
func (s voice) name(a *parvis.App) string {
	name := s.words(a.Name)
	if name == "" || name == string(a.ID) {
		return string(a.ID)
	}
	return name + " (" + string(a.ID) + ")"
}

// doors says by which protocols an application learns who is there.
func (s voice) doors(a *parvis.App) string {
	var all []string
	for _, d := range doorsOf(a) {
		all = append(all, s.say("office.kind."+d))
	}
	if len(all) == 0 {
		return s.say("office.none")
	}
	return strings.Join(all, ", ")
}

// kindLinks leads to the form of each kind of application.
func (s voice) kindLinks() page.Rows {
	icons := map[string]string{gateway: "building", forward: "arrow-right", oidc: "key", cas: "receipt", saml: "shield-check"}
	var rows page.Rows
	for _, kind := range kinds {
		rows = append(rows, page.Row{
			Name: s.say("office.kind." + kind), Text: s.say("office.kind." + kind + ".hint"), Icon: icons[kind],
			Actions: []page.Button{{Text: s.say("office.add.choose"), About: s.say("office.kind." + kind), Href: applications + "?add=" + kind}},
		})
	}
	return rows
}
