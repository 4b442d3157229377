package office

import (
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// overlaps are for how many days the secrets of before serve on.
var overlaps = []int{7, 30, 1, 0}

const day = 24 * time.Hour

func (o *Office) getSecrets(w http.ResponseWriter, r *http.Request, v *visit) error {
	row, err := o.client(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if drop := q.Get("drop"); drop != "" {
		i := slices.IndexFunc(row.App.OIDC.Secrets, func(s parvis.ClientSecret) bool { return short8(s) == drop })
		if i < 0 {
			return to(w, place(row.App.ID, "secrets"))
		}
		one := row.App.OIDC.Secrets[i]
		return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page { return o.voice(l).dropPage(row, one, v.at) })
	}
	said := ""
	for _, name := range []string{"dropped", "already"} {
		if q.Has(name) {
			said = name
		}
	}
	return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page { return o.voice(l).secretsPage(row, said, v.at) })
}

// client finds an application that proves itself by a secret kept here.
func (o *Office) client(r *http.Request) (store.AppRow, error) {
	row, err := o.kept(r)
	if err == nil && !secretive(&row.App) {
		err = &parvis.Error{Code: parvis.CodeNotFound, Op: "office.client", Err: errors.New("it does not prove itself by a secret")}
	}
	return row, err
}

// short8 names a secret without telling it, as the events do.
func short8(s parvis.ClientSecret) string { return hex.EncodeToString(s.Hash[:4]) }

func (o *Office) postSecrets(w http.ResponseWriter, r *http.Request, v *visit) error {
	o.acting.Lock()
	defer o.acting.Unlock()
	row, err := o.client(r)
	if err != nil {
		return err
	}
	back := place(row.App.ID, "secrets")
	if v.sent.Get("version") != strconv.FormatInt(row.Version, 10) { // sent twice, or changed meanwhile
		return to(w, back+"?already=1")
	}
	switch v.sent.Get("act") {
	case "add":
		days, err := strconv.Atoi(v.sent.Get("overlap"))
		if err != nil || !slices.Contains(overlaps, days) {
			return &parvis.Error{Code: parvis.CodeInvalid, Op: "office.postSecrets", Err: errors.New("no such overlap")}
		}
		secret, err := o.Register.AddSecret(r.Context(), row.App.ID, v.by(), time.Duration(days)*day)
		if parvis.CodeOf(err) == parvis.CodeConflict {
			return to(w, back+"?already=1")
		}
		if err != nil {
			return err
		}
		return o.paste(w, r, row.App.ID, secret, "secret")
	case "drop":
		err := o.Register.DropSecret(r.Context(), row.App.ID, v.sent.Get("secret"), v.by())
		switch parvis.CodeOf(err) {
		case "", parvis.CodeNotFound:
			return to(w, back+"?dropped=1")
		case parvis.CodeConflict:
			return to(w, back+"?already=1")
		}
		return err
	}
	return &parvis.Error{Code: parvis.CodeInvalid, Op: "office.postSecrets", Err: errors.New("no such act")}
}

func (s voice) secretsPage(row store.AppRow, said string, at time.Time) page.Page {
	a := &row.App
	pg := page.Page{Screen: "admin_application_secrets", Title: s.say("office.secrets.title", args("app", s.name(a))), Lead: s.say("office.secrets.lead")}
	body := page.Stack{}
	if said != "" {
		mark := page.Done
		if said == "already" {
			mark = page.Warn
		}
		body = append(body, page.Notice{Mark: mark, Alert: true, Text: s.say("office.secrets." + said)})
	}
	if len(a.OIDC.Secrets) == 0 {
		body = append(body, page.Empty{Title: s.say("office.secrets.none"), Text: s.say("office.secrets.none.text")})
	} else {
		body = append(body, page.Section{Title: s.say("office.secrets.list"), Body: s.secretRows(a, at)})
	}
	days := page.Choices{Name: "overlap", Legend: s.say("office.secrets.overlap"), Hint: s.say("office.secrets.overlap.hint"), Required: true, Menu: true}
	for i, n := range overlaps {
		label := s.say("office.secrets.overlap.days", args("n", n))
		if n == 0 {
			label = s.say("office.secrets.overlap.now")
		}
		days.Options = append(days.Options, page.Option{Value: strconv.Itoa(n), Label: label, Checked: i == 0})
	}
	pg.Body = append(body,
		page.Section{Title: s.say("office.secrets.add"), Lead: s.say("office.secrets.add.lead"), Body: page.Form{
			Action: place(a.ID, "secrets"), Hidden: s.acting(row, "add"), Body: days,
			Buttons: []page.Button{{Text: s.say("office.secrets.add.submit"), Kind: "primary"}, {Text: s.say("office.back.one"), Kind: "plain", Href: place(a.ID, "")}},
		}})
	return pg
}

func (voice) acting(row store.AppRow, act string) []page.Hidden {
	return []page.Hidden{{Name: "act", Value: act}, {Name: "version", Value: strconv.FormatInt(row.Version, 10)}}
}

func (s voice) secretRows(a *parvis.App, at time.Time) page.Rows {
	var rows page.Rows
	for _, one := range a.OIDC.Secrets {
		name := s.say("office.secrets.one", args("name", short8(one)))
		row := page.Row{Name: name, Icon: "key"}
		if !one.Since.IsZero() {
			row.Text = s.say("office.secrets.since", args("when", s.o.local(one.Since)))
		}
		switch {
		case one.Expires.IsZero():
			row.State = &page.State{Mark: page.Done, Text: s.say("office.secrets.serves")}
		case one.Expires.After(at):
			row.State = &page.State{Mark: page.Wait, Text: s.say("office.secrets.until", args("when", s.o.local(one.Expires)))}
		default:
			row.State = &page.State{Mark: page.Stop, Text: s.say("office.secrets.over", args("when", s.o.local(one.Expires)))}
		}
		row.Actions = []page.Button{{Text: s.say("office.secrets.drop"), About: name, Kind: "stop", Href: place(a.ID, "secrets") + "?drop=" + short8(one)}}
		rows = append(rows, row)
	}
	return rows
}

// dropPage says what ends when a secret goes.
func (s voice) dropPage(row store.AppRow, one parvis.ClientSecret, at time.Time) page.Page {
	a := &row.App
	others := slices.DeleteFunc(serving(a.OIDC.Secrets, at), func(s parvis.ClientSecret) bool { return s.Hash == one.Hash })
	outcome := page.State{Mark: page.Info, Text: s.say("office.drop.others", args("n", len(others)))}
	if len(others) == 0 {
		outcome = page.State{Mark: page.Stop, Text: s.say("office.drop.last")}
	}
	return page.Page{
		Screen: "admin_application_secrets", Title: s.say("office.drop.title", args("app", s.name(a))),
		Body: page.Confirm{
			Title: s.say("office.secrets.one", args("name", short8(one))), Text: s.say("office.drop.text"), Outcomes: []page.State{outcome},
			Form: page.Form{
				Action: place(a.ID, "secrets"), Hidden: append(s.acting(row, "drop"), page.Hidden{Name: "secret", Value: short8(one)}),
				Buttons: []page.Button{{Text: s.say("office.drop.submit"), Kind: "stop"}, {Text: s.say("office.back.secrets"), Kind: "plain", Href: place(a.ID, "secrets")}},
			},
		},
	}
}
