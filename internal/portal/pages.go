package portal

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/text"
)

// paragraphs makes a page of titled paragraphs.
func (v *visit) paragraphs(screen string, parts ...string) page.Page {
	pg := page.Page{Screen: screen, Title: v.say(screen + ".title")}
	body := page.Stack{}
	for _, part := range parts {
		body = append(body, page.Section{Title: v.say(screen + "." + part + ".title"), Body: page.Para(v.say(screen + "." + part + ".text"))})
	}
	pg.Body = body
	return pg
}

func (p *Portal) getLegal(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.paragraphs("legal_notice", "access", "publisher", "host", "software"))
}

func (p *Portal) getPrivacy(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.paragraphs("privacy_notice", "what", "why", "time", "who", "rights", "cookies"))
}

func (p *Portal) getAccessibility(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.paragraphs("accessibility_statement", "state", "tested", "limits", "help", "appeal"))
}

func (p *Portal) getHelp(w http.ResponseWriter, r *http.Request, v *visit) error {
	phone := v.support()
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: "help", Title: v.say("help.title"), Lead: v.say("help.lead"),
		Body: page.Stack{
			page.Links{
				{Text: v.say("help.cannot_enter"), Href: "/diagnosis"},
				{Text: v.say("help.forgotten"), Href: "/recover"},
				{Text: v.say("help.first_time"), Href: "/activate"},
				{Text: v.say("help.where"), Href: "/channel"},
			},
			page.Section{Title: v.say("help.two_accounts"), Body: page.Para(v.say("help.two_accounts.text"))},
			page.Section{Title: v.say("help.app_refused"), Body: page.Para(v.say("help.app_refused.text"))},
			page.Section{Title: v.say("help.suspicious"), Body: page.Para(v.say("help.suspicious.text", phone))},
			page.Section{Title: v.say("help.people.title"), Body: v.everybody()},
		},
	})
}

// everybody lists who helps, each role once.
func (v *visit) everybody() page.People {
	return v.people(6, "support_desk", "it_contact", "hr_unit", "it_department", "verifier_owner", "security_officer")
}

// getChannel says what each entrance opens; for whoever is in, application by
// application.
func (p *Portal) getChannel(w http.ResponseWriter, r *http.Request, v *visit) error {
	body := page.Stack{
		v.entrances(),
		page.Para(v.say("help_channels.change") + " " + v.say("help_channels.keep")),
	}
	if v.in {
		var apps page.Links
		for _, app := range p.Policy.Apps() {
			apps = append(apps, page.Link{Text: app.Name.In(string(v.lang)), Href: "/app/" + string(app.ID)})
		}
		body = append(body, page.Section{Title: v.say("portal.each_app"), Body: apps})
	}
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: "help_channels", Title: v.say("help_channels.title"), Lead: v.say("help_channels.lead"), Body: body,
	})
}

// getRecover says who can help, by what the page that refused was asking for.
func (p *Portal) getRecover(w http.ResponseWriter, r *http.Request, v *visit) error {
	support := v.support()
	body := page.Stack{}
	for _, c := range []struct{ question, answer string }{
		{"agent", "agent"},
		{"verifier", "verifier"},
		{"second", "second"},
		{"workstation", "workstation"},
		{"vpn", "vpn"},
	} {
		who := page.Stack{page.Para(v.say("recover_start.who."+c.answer, support))}
		if c.question == "second" {
			who = append(who, page.Links{{Text: v.say("second_factor.lost"), Href: "/lost"}})
		}
		body = append(body, page.Section{
			Title: v.say("recover_start."+c.question, support), Lead: v.say("recover_start."+c.question+".hint", support), Body: who,
		})
	}
	body = append(body,
		page.Section{Title: v.say("portal.recover.off"), Body: page.Para(v.say("recover_start.who.hr", support))},
		page.Section{Title: v.say("recover_start.unknown"), Body: page.Links{{Text: v.say("start.cannot_enter"), Href: "/diagnosis"}}})
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: "recover_start", Title: v.say("recover_start.title"), Lead: v.say("recover_start.lead"), Body: body,
		Aside: v.people(3, "it_contact", "support_desk", "hr_unit"),
	})
}

func (p *Portal) getDiagnosis(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.diagnosisPage("", nil))
}

func (v *visit) diagnosisPage(typed string, faults []page.Fault) page.Page {
	support := v.support()
	body := page.Stack{page.Section{
		Title: v.say("diagnosis.reference.title"), Lead: v.say("diagnosis.reference.lead"),
		Body: page.Form{
			Action:  "/diagnosis",
			Body:    page.Field{Name: "reference", Label: v.say("field.reference.label"), Hint: v.say("field.reference.hint"), Value: typed, Required: true, Mono: true, Short: true, Autocomplete: "off"},
			Buttons: []page.Button{{Text: v.say("diagnosis.reference.submit"), Kind: "primary"}},
		},
	}}
	answers := page.Record{}
	for _, see := range []string{"incorrect", "paused", "app", "no_page", "code", "nothing"} {
		answers = append(answers, page.Fact{Term: v.say("diagnosis.see." + see), Text: v.say("diagnosis.see."+see+".answer", support)})
	}
	body = append(body, page.Section{Title: v.say("diagnosis.see.title"), Body: answers},
		page.Links{
			{Text: v.say("sign_in_secret.forgotten"), Href: "/recover"},
			{Text: v.say("help.where"), Href: "/channel"},
		})
	return page.Page{Screen: "diagnosis", Title: v.say("diagnosis.title"), Lead: v.say("portal.diagnosis.lead"), Errors: faults, Body: body}
}

// postDiagnosis leads to a refusal by its reference. Its check sign is looked
// at here; whose it is, only after the door.
func (p *Portal) postDiagnosis(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	typed := sent.Get("reference")
	ref, ok := parvis.ParseReference(typed)
	if !ok {
		fault := []page.Fault{{Field: "reference", Text: v.say("field.reference.incorrect")}}
		return v.show(w, r, http.StatusUnprocessableEntity, v.diagnosisPage(typed, fault))
	}
	return to(w, "/why/"+string(ref))
}

// getOffline is what a browser keeps for when there is no network: no personal
// data, the same for everybody.
func (p *Portal) getOffline(w http.ResponseWriter, r *http.Request) error {
	v := p.receive(r)
	if l := text.Lang(r.URL.Query().Get("lang")); l == text.French || l == text.English {
		v.lang = l
		if p.Values != nil {
			for name, value := range p.Values(l) {
				v.values[name] = value
			}
		}
	}
	v.theme, v.back = "", "/"
	support := v.support()
	body := page.Stack{page.Section{Title: v.say("offline.help.title"), Body: page.List{v.say("offline.help.office"), v.say("offline.help.mobile")}}}
	if _, ok := support["phone"]; ok {
		body = append(body, page.Para(v.say("offline.support", support)))
	}
	body = append(body, page.Actions{{Text: v.say("action.retry"), Href: "/"}})
	return v.show(w, r, http.StatusOK, page.Page{Screen: "offline", Title: v.say("offline.title"), Lead: v.say("offline.text"), Body: body})
}

// Failure draws an error for a person; it is the edge's Page. It asks nobody
// who they are, so that it works when nothing else does.
func (p *Portal) Failure(w http.ResponseWriter, r *http.Request, f edge.Failure) {
	v := p.receive(r)
	if !safe(r) {
		v.back = "/"
	}
	if _, app, _ := p.Addresses.Find(r.Host); app != "" {
		v.plain(w, r, f.Status, v.failurePage(r, f))
		return
	}
	if err := v.show(w, r, f.Status, v.failurePage(r, f)); err != nil {
		http.Error(w, http.StatusText(f.Status), f.Status)
	}
}

// missing is the page for what is not there.
func (v *visit) missing() page.Page {
	return page.Page{
		Screen: "not_found", Title: v.say("not_found.title"), Lead: v.say("not_found.text"), Reasons: []string{string(parvis.WhyNotFound)},
		Body: page.Stack{v.home(), page.Links{{Text: v.say("help.title"), Href: "/help"}}}, Aside: page.Square{},
	}
}

func (v *visit) home() page.Actions { return page.Actions{{Text: v.say("action.home"), Href: "/"}} }

func (v *visit) failurePage(r *http.Request, f edge.Failure) page.Page {
	pg := v.failure(r, f)
	if f.Code != "" {
		pg.Reasons = []string{string(f.Code)}
	}
	return pg
}

func (v *visit) failure(r *http.Request, f edge.Failure) page.Page {
	home := v.home()
	switch {
	case f.Status == http.StatusNotFound:
		return v.missing()
	case f.Status == http.StatusServiceUnavailable || f.Status == http.StatusTooManyRequests:
		wait := f.Retry
		if wait <= 0 {
			wait = time.Minute
		}
		body := page.Stack{page.Para(v.say("service_unavailable.text"))}
		if support := v.support(); support["phone"] != nil {
			body = append(body, page.Para(v.say("service_unavailable.support", support)))
		}
		return page.Page{
			Screen: "service_unavailable", Title: v.say("service_unavailable.busy.title"),
			Lead: v.say("service_unavailable.busy.text", text.Args{"duration": wait}), Body: append(body, home),
		}
	case f.Status >= http.StatusInternalServerError:
		body := page.Stack{}
		if id := edge.RequestID(r); id != "" {
			body = append(body, page.Para(v.say("service_problem.reference", text.Args{"ref": id})))
		}
		return page.Page{
			Screen: "service_problem", Title: v.say("service_problem.title"), Lead: v.say("service_problem.text"),
			Body: append(body, home, v.people(1, "support_desk")),
		}
	}
	form := ""
	switch f.Status {
	case http.StatusForbidden: // from another site, or no longer good: nothing has expired
		form = ".refused"
	case http.StatusRequestEntityTooLarge:
		form = ".large"
	}
	return page.Page{
		Screen: "form_expired", Title: v.say("form_expired" + form + ".title"), Lead: v.say("form_expired" + form + ".text"),
		Reasons: []string{string(parvis.WhyFormExpired)}, Body: page.Stack{home},
	}
}

// bare is a failure at the address of an application, where none of the
// portal's files can be read: a page that stands alone, as the browser draws it.
var bare = template.Must(template.New("bare").Parse(`<!DOCTYPE html>
<html lang="{{.Lang}}">
<head><meta charset="utf-8"><title>{{.Title}} — {{.Organisation}}</title><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"></head>
<body data-screen="{{.Screen}}" data-reason="{{.Reason}}">
<a href="#main">{{.Skip}}</a>
<header><p>{{.Organisation}}</p></header>
<main id="main"><h1>{{.Title}}</h1><p>{{.Lead}}</p>{{with .Request}}<p>{{.}}</p>{{end}}{{with .Home}}<p><a href="{{.}}">{{$.HomeText}}</a></p>{{end}}</main>
<footer><p>{{with .Support}}{{.}}{{else}}{{$.Product}}{{end}}</p></footer>
</body>
</html>
`))

func (v *visit) plain(w http.ResponseWriter, r *http.Request, status int, pg page.Page) {
	support := ""
	if a := v.support(); a["phone"] != nil {
		support = v.say("service_unavailable.support", a)
	}
	request := ""
	if id := edge.RequestID(r); id != "" && status >= http.StatusInternalServerError {
		request = v.say("service_problem.reference", text.Args{"ref": id})
	}
	home := v.p.Addresses.Portal(v.door)
	if home != "" {
		home += "/"
	}
	var b bytes.Buffer
	err := bare.Execute(&b, map[string]string{
		"Lang": string(v.lang), "Title": pg.Title, "Lead": pg.Lead, "Screen": pg.Screen, "Reason": strings.Join(pg.Reasons, " "),
		"Organisation": v.p.Organisation, "Support": support, "Request": request, "Home": home, "HomeText": v.say("action.home"),
		"Skip": v.say("chrome.skip"), "Product": v.say("chrome.product"),
	})
	if err != nil {
		http.Error(w, http.StatusText(status), status)
		return
	}
	// Nothing is to be fetched, so nothing may be.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	v.write(w, r, status, "text/html; charset=utf-8", b.Bytes())
}
