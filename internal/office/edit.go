package office

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// kept finds an application that can be changed here, with its row.
func (o *Office) kept(r *http.Request) (store.AppRow, error) {
	_, row, err := o.app(r)
	if err == nil && row.Version == 0 {
		err = &parvis.Error{Code: parvis.CodeNotFound, Op: "office.kept", Err: errors.New("the configuration declares it")}
	}
	return row, err
}

// editing is the form of the settings of one application.
type editing struct {
	row    store.AppRow
	sent   url.Values
	faults []parvis.AppFault
	beaten bool // somebody else changed it meanwhile
}

func (o *Office) getEdit(w http.ResponseWriter, r *http.Request, v *visit) error {
	row, err := o.kept(r)
	if err != nil {
		return err
	}
	e := editing{row: row, sent: v.sent}
	if e.sent == nil {
		e.sent = typed(row.App)
		e.sent.Set("version", strconv.FormatInt(row.Version, 10))
	}
	return o.showEdit(w, r, http.StatusOK, e)
}

func (o *Office) showEdit(w http.ResponseWriter, r *http.Request, status int, e editing) error {
	return o.Show(w, r, status, func(l text.Lang) page.Page { return o.voice(l).editPage(e) })
}

func (o *Office) postEdit(w http.ResponseWriter, r *http.Request, v *visit) error {
	row, err := o.kept(r)
	if err != nil {
		return err
	}
	app, faults := read(row.App, v.sent, fields())
	if app.OIDC != nil && !secretive(&app) { // they would open nothing any more
		app.OIDC.Secrets = nil
	}
	e := editing{row: row, sent: v.sent, faults: append(faults, o.Register.Check(app)...)}
	if v.sent.Get("version") != strconv.FormatInt(row.Version, 10) {
		if row.By == v.by() && typed(app).Encode() == typed(row.App).Encode() { // sent twice: it is done
			return to(w, place(row.App.ID, "")+"?saved=1")
		}
		e.beaten, e.faults = true, nil
		return o.showEdit(w, r, http.StatusConflict, e)
	}
	if len(e.faults) > 0 {
		return o.showEdit(w, r, http.StatusUnprocessableEntity, e)
	}
	err = o.Register.Put(r.Context(), app, row.Version, v.by())
	switch parvis.CodeOf(err) {
	case "":
		return to(w, place(row.App.ID, "")+"?saved=1")
	case parvis.CodeConflict:
		if e.row, err = o.kept(r); err != nil {
			return err
		}
		e.beaten = true
		return o.showEdit(w, r, http.StatusConflict, e)
	case parvis.CodeInvalid:
		e.faults = []parvis.AppFault{{Code: unloadable}}
		return o.showEdit(w, r, http.StatusUnprocessableEntity, e)
	}
	return err
}

// editPage asks for everything. Of a form that was beaten it says what differs
// from what is kept now; sent again, it replaces that knowingly.
func (s voice) editPage(e editing) page.Page {
	a := &e.row.App
	pg := page.Page{
		Screen: "admin_application_edit", Title: s.say("office.edit.title", args("app", s.name(a))), Lead: s.say("office.edit.lead"), Erroneous: e.beaten,
	}
	var shown []part
	asked := []string{"doors"}
	for _, p := range parts() {
		if slices.Contains(kinds, p.name) && !slices.Contains(e.sent["doors"], p.name) {
			continue
		}
		shown = append(shown, p)
		for _, f := range p.fields {
			asked = append(asked, f.name)
		}
	}
	w := s.faults(e.faults, asked)
	form := page.Stack{s.doorBoxes(e.sent, w)}
	for _, p := range shown {
		inputs := page.Stack{}
		for _, f := range p.fields {
			switch f.name {
			case "name.en":
				f.need = true // the short form takes the French one
			case "channels":
				f.need = false // without one it is closed, for a while
			}
			inputs = append(inputs, s.input(f, e.sent, w))
		}
		title := s.sayOr(nil, "office.part."+p.name, "office.kind."+p.name)
		form = append(form, page.Section{Title: title, Body: inputs})
	}
	pg.Errors = w.summary
	body := page.Stack{}
	version := e.sent.Get("version")
	if e.beaten {
		version = strconv.FormatInt(e.row.Version, 10)
		body = append(body, page.Notice{
			Mark: page.Warn, Alert: true, Title: s.say("office.edit.conflict", args("who", s.who(e.row.By), "when", s.o.local(e.row.At))), Text: s.say("office.edit.conflict.text"),
		}, s.differences(a, e.sent))
	}
	pg.Body = append(body, page.Form{
		Action: place(a.ID, "edit"), Hidden: []page.Hidden{{Name: "version", Value: version}}, Body: form, Note: s.say("office.edit.note"),
		Buttons: []page.Button{{Text: s.say("office.edit.submit"), Kind: "primary"}, {Text: s.say("office.back.one"), Kind: "plain", Href: place(a.ID, "")}},
	})
	return pg
}

// differences lists what is kept now and what was typed, where they differ.
func (s voice) differences(now *parvis.App, sent url.Values) page.Table {
	t := page.Table{
		Caption: s.say("office.differences.caption"), Empty: &page.Empty{Title: s.say("office.differences.none")},
		Columns: []page.Column{
			{Text: s.say("office.differences.field")}, {Text: s.say("office.differences.theirs")}, {Text: s.say("office.differences.yours")},
		},
	}
	mine, _ := read(*now, sent, fields())
	theirs, yours := typed(*now), typed(mine)
	names := []string{"doors"}
	for _, f := range fields() {
		names = append(names, f.name)
	}
	both := maps.Clone(theirs)
	maps.Copy(both, yours)
	for _, name := range names {
		if both[name] == nil || same(theirs[name], yours[name]) {
			continue
		}
		t.Rows = append(t.Rows, []page.Cell{{Text: s.say("office.field." + name)}, {Text: s.plainly(theirs[name])}, {Text: s.plainly(yours[name])}})
	}
	return t
}

func (s voice) plainly(v []string) string {
	if len(v) == 0 {
		return s.say("office.none.value")
	}
	if len(v) == 1 && v[0] == "1" {
		return s.say("office.yes")
	}
	said := strings.ReplaceAll(strings.Join(v, ", "), "\n", ", ")
	if r := []rune(said); len(r) > 300 {
		said = string(r[:300]) + "…"
	}
	return said
}
