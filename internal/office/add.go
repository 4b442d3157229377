package office

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// getAdd shows the form of a new application of one kind.
func (o *Office) getAdd(w http.ResponseWriter, r *http.Request, v *visit) error {
	kind := r.URL.Query().Get("add")
	if !slices.Contains(kinds, kind) {
		return to(w, applications+"#add")
	}
	sent := v.sent
	if sent.Get("kind") != kind {
		sent = url.Values{"channels": {string(parvis.Internal), string(parvis.VPN)}, "oidc.auth": {parvis.ClientSecretBasic}}
	}
	return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page { return o.voice(l).addPage(kind, sent, nil, "") })
}

// addPage is the short form: only what this kind needs. taken is the application
// that has the name already.
func (s voice) addPage(kind string, sent url.Values, faults []parvis.AppFault, taken parvis.AppID) page.Page {
	pg := page.Page{
		Screen: "admin_application_add", Title: s.say("office.add.title." + kind), Lead: s.say("office.kind." + kind + ".hint"),
	}
	asked := []string{}
	for i, f := range short(kind) {
		asked = append(asked, f.name)
		if i == 0 {
			asked = append(asked, "id")
		}
	}
	w := s.faults(faults, asked)
	inputs := page.Stack{}
	for i, f := range short(kind) {
		inputs = append(inputs, s.input(f, sent, w))
		if i == 0 {
			inputs = append(inputs, page.Field{
				Name: "id", Label: s.say("office.field.id"), Hint: s.say("office.field.id.hint"), Value: sent.Get("id"), Error: w.beside["id"], Mono: true, Autocomplete: "off",
			})
		}
	}
	pg.Errors = w.summary
	body := page.Stack{}
	if taken != "" {
		body = append(body, page.Notice{
			Mark: page.Info, Text: s.say("office.add.taken", args("id", string(taken))),
			Actions: []page.Button{{Text: s.say("office.add.see"), Href: place(taken, "")}},
		})
	}
	pg.Body = append(body,
		page.Form{
			Action: applications, Hidden: []page.Hidden{{Name: "kind", Value: kind}}, Body: inputs, Note: s.say("office.add.note"),
			Buttons: []page.Button{
				{Text: s.say("office.add.submit"), Kind: "primary"}, {Text: s.say("office.back.list"), Kind: "plain", Href: applications},
			},
		})
	return pg
}

// postAdd adds an application; one that signs agents in with a secret gets its
// first, shown in this answer and nowhere else.
func (o *Office) postAdd(w http.ResponseWriter, r *http.Request, v *visit) error {
	kind := v.sent.Get("kind")
	if !slices.Contains(kinds, kind) {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "office.postAdd", Err: errors.New("no such kind")}
	}
	app, faults := newApp(kind, v.sent)
	// What the short form alone insists on; the rest is the register's to say.
	if len(app.Channels) == 0 {
		faults = append(faults, parvis.AppFault{Field: "channels", Code: parvis.FaultRequired})
	}
	for _, f := range o.Register.Check(app) {
		if f.Field == "name.en" || f.Field == "id" && app.ID == "" && app.Name.FR == "" { // the French name stands for both
			continue
		}
		faults = append(faults, f)
	}

	o.acting.Lock()
	defer o.acting.Unlock()
	if old, known := o.Register.App(app.ID); known {
		row, err := o.Store.App(r.Context(), app.ID)
		if err == nil && again(row, app, v) {
			return to(w, place(app.ID, "paste")+"?made=1")
		}
		return o.refill(w, r, kind, v.sent, []parvis.AppFault{{Field: "id", Code: taken, Value: string(app.ID)}}, old.ID)
	}
	if len(faults) > 0 {
		return o.refill(w, r, kind, v.sent, faults, "")
	}
	if err := o.Register.Put(r.Context(), app, 0, v.by()); err != nil {
		switch parvis.CodeOf(err) {
		case parvis.CodeConflict:
			return o.refill(w, r, kind, v.sent, []parvis.AppFault{{Field: "id", Code: taken, Value: string(app.ID)}}, app.ID)
		case parvis.CodeInvalid:
			return o.refill(w, r, kind, v.sent, []parvis.AppFault{{Code: unloadable}}, "")
		}
		return err
	}
	if !secretive(&app) {
		return to(w, place(app.ID, "paste")+"?made=1")
	}
	secret, err := o.Register.AddSecret(r.Context(), app.ID, v.by(), 0)
	if err != nil {
		return err
	}
	return o.paste(w, r, app.ID, secret, "made")
}

// What a form alone can come up against: a name that is in use, and rules that
// do not load with this application.
const (
	taken      parvis.AppFaultCode = "taken"
	unloadable parvis.AppFaultCode = "unloadable"
)

// newApp makes an application of the short form, with what is sensible where
// nothing was asked or typed.
func newApp(kind string, sent url.Values) (parvis.App, []parvis.AppFault) {
	v := url.Values{}
	for name, all := range sent {
		v[name] = all
	}
	v["doors"] = []string{kind}
	if first(v["name.en"]) == "" {
		v["name.en"] = v["name.fr"]
	}
	base := parvis.App{ID: parvis.AppID(first(v["id"]))}
	switch kind {
	case oidc:
		base.OIDC = &parvis.OIDCClient{}
	case cas:
		base.CAS = &parvis.CASService{}
	case saml:
		base.SAML = &parvis.SAMLService{}
	}
	if kind != gateway && kind != forward { // those are told by their headers
		base.Attributes = []string{"uid", "given_name", "usual_name", "name", "email"}
	}
	app, faults := read(base, v, short(kind))
	app.Purpose.EN = app.Purpose.FR
	if app.ID == "" {
		app.ID = label(app.Name.FR)
	}
	return app, faults
}

// secretive tells whether an application proves itself by a secret.
func secretive(a *parvis.App) bool {
	return a.OIDC != nil && (a.OIDC.Auth == parvis.ClientSecretBasic || a.OIDC.Auth == parvis.ClientSecretPost)
}

// again tells whether what is asked for was done a moment ago, by the same
// person: a form that was sent twice.
func again(row store.AppRow, app parvis.App, v *visit) bool {
	if row.By != v.by() || v.at.Sub(row.At) > time.Minute {
		return false
	}
	return typed(row.App).Encode() == typed(app).Encode()
}

// refill shows the form as it was sent, with all that is wrong with it.
func (o *Office) refill(w http.ResponseWriter, r *http.Request, kind string, sent url.Values, faults []parvis.AppFault, taken parvis.AppID) error {
	return o.Show(w, r, http.StatusUnprocessableEntity, func(l text.Lang) page.Page {
		return o.voice(l).addPage(kind, sent, faults, taken)
	})
}

// paste answers with what to enter in an application; the secret, when there is
// one, is in no other answer.
func (o *Office) paste(w http.ResponseWriter, r *http.Request, id parvis.AppID, secret seal.Secret, why string) error {
	app, ok := o.Register.App(id)
	if !ok {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "office.paste"}
	}
	on := parvis.Channel(r.URL.Query().Get("on"))
	return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page { return o.voice(l).pastePage(&app, secret, why, on) })
}
