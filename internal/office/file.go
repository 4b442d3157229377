package office

import (
	"net/http"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/text"
)

// getFile shows an application as the file that a city keeps in its repository.
func (o *Office) getFile(w http.ResponseWriter, r *http.Request, _ *visit) error {
	app, _, err := o.app(r)
	if err != nil {
		return err
	}
	var content []byte
	if o.YAML != nil {
		if content, err = o.YAML(app); err != nil {
			return &parvis.Error{Code: parvis.CodeInternal, Op: "office.getFile", Err: err}
		}
	}
	inFile := o.Register.Declares(app.ID)
	return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		s := o.voice(l)
		body := page.Stack{}
		if inFile {
			body = append(body, page.Notice{Mark: page.Info, Title: s.say("office.one.file"), Text: s.say("office.one.file.text")})
		}
		if len(content) > 0 {
			body = append(body, s.snippet("file", "applications/"+string(app.ID)+".yaml", string(content)))
		}
		return page.Page{
			Screen: "admin_application_file", Title: s.say("office.file.title", args("app", s.name(&app))), Lead: s.say("office.file.lead"), Width: page.Wide,
			Body: append(body,
				page.Section{Title: s.say("office.file.out"), Lead: s.say("office.file.out.text"), Body: s.snippet("export", s.say("office.file.out"), "parvis app export applications/")},
				page.Section{Title: s.say("office.file.in"), Lead: s.say("office.file.in.text"), Body: s.snippet("import", s.say("office.file.in"), "parvis app import applications/ --dry-run\nparvis app import applications/")},
				page.Actions{{Text: s.say("office.back.one"), Href: place(app.ID, "")}, {Text: s.say("office.back.list"), Kind: "plain", Href: applications}}),
		}
	})
}
