package office

import (
	"net/http"
	"strconv"
	"strings"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// removing is the page on which an application is removed.
type removing struct {
	row    store.AppRow
	use    store.AppUse
	typed  string
	sent   bool
	beaten bool
}

func (o *Office) getRemove(w http.ResponseWriter, r *http.Request, v *visit) error {
	row, err := o.kept(r)
	if err != nil {
		return err
	}
	return o.showRemove(w, r, http.StatusOK, v, removing{row: row, typed: v.sent.Get("id")})
}

func (o *Office) showRemove(w http.ResponseWriter, r *http.Request, status int, v *visit, m removing) error {
	var err error
	if m.use, err = o.use(r, v, m.row.App.ID); err != nil {
		return err
	}
	return o.Show(w, r, status, func(l text.Lang) page.Page { return o.voice(l).removePage(m) })
}

// postRemove removes an application whose name was typed. Of a form sent twice
// the second finds nothing left to do.
func (o *Office) postRemove(w http.ResponseWriter, r *http.Request, v *visit) error {
	row, err := o.kept(r)
	done := applications + "?removed=" + r.PathValue("app")
	if parvis.CodeOf(err) == parvis.CodeNotFound && !o.Register.Declares(parvis.AppID(r.PathValue("app"))) && v.sent.Get("id") == r.PathValue("app") {
		return to(w, done)
	}
	if err != nil {
		return err
	}
	m := removing{row: row, typed: strings.TrimSpace(v.sent.Get("id")), sent: true}
	if v.sent.Get("version") != strconv.FormatInt(row.Version, 10) {
		m.beaten = true
		return o.showRemove(w, r, http.StatusConflict, v, m)
	}
	if m.typed != string(row.App.ID) {
		return o.showRemove(w, r, http.StatusUnprocessableEntity, v, m)
	}
	err = o.Register.Remove(r.Context(), row.App.ID, row.Version, v.by())
	if parvis.CodeOf(err) == parvis.CodeConflict {
		m.beaten = true
		return o.showRemove(w, r, http.StatusConflict, v, m)
	}
	if err != nil {
		return err
	}
	return to(w, done)
}

func (s voice) removePage(m removing) page.Page {
	a := &m.row.App
	pg := page.Page{Screen: "admin_application_remove", Title: s.say("office.remove.title", args("app", s.name(a)))}
	if m.sent && !m.beaten {
		pg.Errors = []page.Fault{{Field: "id", Text: s.say("office.remove.mismatch", args("id", string(a.ID)))}}
	}
	body := page.Stack{}
	if m.beaten {
		pg.Erroneous = true
		body = append(body, page.Notice{
			Mark: page.Warn, Alert: true, Title: s.say("office.edit.conflict", args("who", s.who(m.row.By), "when", s.o.local(m.row.At))), Text: s.say("office.remove.conflict"),
		})
	}
	ends := func(n int) page.Mark {
		if n == 0 {
			return page.Info
		}
		return page.Stop
	}
	outcomes := []page.State{
		{Mark: page.Stop, Text: s.say("office.remove.doors", args("doors", s.doors(a)))},
		{Mark: ends(m.use.Live), Text: s.say("office.remove.live", args("n", m.use.Live))},
		{Mark: ends(m.use.Agents), Text: s.say("office.remove.agents", args("n", m.use.Agents))},
	}
	if a.OIDC != nil && len(a.OIDC.Secrets) > 0 {
		outcomes = append(outcomes, page.State{Mark: page.Stop, Text: s.say("office.remove.secrets", args("n", len(a.OIDC.Secrets)))})
	}
	outcomes = append(outcomes, page.State{Mark: page.Info, Text: s.say("office.remove.log")})
	pg.Body = append(body, page.Confirm{
		Title: s.say("office.remove.what"), Text: s.say("office.remove.text"), Outcomes: outcomes,
		Form: page.Form{
			Action: place(a.ID, "remove"), Hidden: []page.Hidden{{Name: "version", Value: strconv.FormatInt(m.row.Version, 10)}},
			Body: page.Field{
				Name: "id", Label: s.say("office.remove.field"), Hint: s.say("office.remove.field.hint", args("id", string(a.ID))), Value: m.typed,
				Required: true, Mono: true, Autocomplete: "off",
			},
			Buttons: []page.Button{{Text: s.say("office.remove.submit"), Kind: "stop"}, {Text: s.say("office.back.one"), Kind: "plain", Href: place(a.ID, "")}},
		},
	})
	return pg
}
