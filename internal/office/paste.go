package office

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/text"
)

// getPaste shows what to enter in an application, without any secret.
func (o *Office) getPaste(w http.ResponseWriter, r *http.Request, _ *visit) error {
	app, _, err := o.app(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	why := ""
	if q.Has("made") {
		why = "made"
	}
	return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		return o.voice(l).pastePage(&app, "", why, parvis.Channel(q.Get("on")))
	})
}

// pastePage lists the exact values to enter in an application, entrance by
// entrance, then the settings of known programs for one of them. why is "made"
// for an application that was just added, "secret" for a new secret.
func (s voice) pastePage(a *parvis.App, secret seal.Secret, why string, on parvis.Channel) page.Page {
	name := args("app", s.name(a))
	pg := page.Page{Screen: "admin_application_paste", Title: s.say("office.paste.title", name), Lead: s.say("office.paste.lead"), Width: page.Wide}
	body := page.Stack{}
	if why != "" {
		body = append(body, page.Notice{Mark: page.Done, Alert: true, Title: s.say("office.paste." + why), Text: s.say("office.paste." + why + ".text")})
	}
	if secret != "" {
		body = append(body, page.Section{Title: s.say("office.paste.secret.title"), Lead: s.say("office.paste.secret.lead"), Body: page.Stack{
			s.copied("secret", "office.value.client_secret", secret.Reveal()),
			page.Notice{Mark: page.Warn, Text: s.say("office.paste.secret.once")},
		}})
	}
	entrances := s.o.entrances(a)
	if len(entrances) == 0 {
		body = append(body, page.Notice{
			Mark: page.Warn, Title: s.say("office.paste.closed"), Text: s.say("office.paste.closed.text"),
			Actions: []page.Button{{Text: s.say("office.one.edit"), Href: place(a.ID, "edit")}},
		})
	}
	for _, d := range doorsOf(a) {
		body = append(body, s.pasteDoor(a, d, entrances, secret)...)
	}
	if !slices.Contains(entrances, on) {
		on = usual(entrances)
	}
	if on != "" {
		body = append(body, s.programs(a, on, entrances, secret)...)
	}
	pg.Body = append(body, page.Actions{
		{Text: s.say("office.paste.try"), Kind: "primary", Href: place(a.ID, "try")},
		{Text: s.say("office.back.one"), Href: place(a.ID, "")},
		{Text: s.say("office.back.list"), Kind: "plain", Href: applications},
	})
	return pg
}

// entrances lists where an application opens and the portal has an address.
func (o *Office) entrances(a *parvis.App) []parvis.Channel {
	var all []parvis.Channel
	for _, ch := range parvis.Channels() {
		if slices.Contains(a.Channels, ch) && o.Addresses.Portal(ch) != "" {
			all = append(all, ch)
		}
	}
	return all
}

// usual is the entrance whose values serve most people when an application
// takes one set only: the one from which everybody can come.
func usual(entrances []parvis.Channel) parvis.Channel {
	switch {
	case len(entrances) == 0:
		return ""
	case slices.Contains(entrances, parvis.Mobile):
		return parvis.Mobile
	}
	return entrances[0]
}

// pasteDoor lists the values of one door.
func (s voice) pasteDoor(a *parvis.App, door string, entrances []parvis.Channel, secret seal.Secret) page.Stack {
	common := page.Stack{}
	if door == oidc {
		common = append(common, s.copied("client_id", "office.value.client_id", string(a.ID)))
		if secretive(a) && secret == "" {
			common = append(common, page.Notice{
				Mark: page.Info, Title: s.say("office.value.client_secret"), Text: s.say("office.paste.secret.hidden"),
				Actions: []page.Button{{Text: s.say("office.secrets.open"), Href: place(a.ID, "secrets")}},
			})
		}
		for i, address := range a.OIDC.Redirects {
			common = append(common, s.copied(id("redirect", i), "office.value.redirect", address))
		}
		common = append(common, s.copied("scope", "office.value.scope", scopes(a)))
	}
	all := page.Stack{page.Section{ID: door, Title: s.say("office.kind." + door), Lead: s.say("office.paste." + door), Body: common}}
	for _, ch := range entrances {
		var values page.Stack
		for _, v := range s.o.values(a, door, ch) {
			if strings.Contains(v.value, "\n") {
				values = append(values, s.snippet(v.key+"-"+string(ch), s.say("office.value."+v.key), v.value))
			} else {
				values = append(values, s.copied(v.key+"-"+string(ch), "office.value."+v.key, v.value))
			}
		}
		if len(values) > 0 {
			all = append(all, page.Section{Title: s.say("office.paste.from", args("door", s.say("office.kind."+door), "channel", s.say("channel."+string(ch)+".label"))), Body: values})
		}
	}
	return all
}

func id(name string, i int) string {
	return name + "-" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
}

// value is one exact value, under the key of its name.
type value struct{ key, value string }

// values lists what to enter for one door and one entrance.
func (o *Office) values(a *parvis.App, door string, ch parvis.Channel) []value {
	portal := o.Addresses.Portal(ch)
	switch door {
	case gateway:
		return []value{{"address", o.Addresses.App(ch, a.ID)}, {"jwks", portal + "/.well-known/jwks.json"}, {"audience", string(a.ID)}}
	case forward:
		return []value{{"address", o.Addresses.App(ch, a.ID)}, {"verify", portal + "/auth/verify"}, {"jwks", portal + "/.well-known/jwks.json"}, {"audience", string(a.ID)}}
	case oidc:
		return []value{
			{"issuer", portal},
			{"discovery", portal + "/.well-known/openid-configuration"},
			{"jwks", portal + "/.well-known/jwks.json"},
			{"end_session", portal + "/oidc/logout"},
		}
	case cas:
		return []value{{"cas_prefix", portal + "/cas"}, {"cas_login", portal + "/cas/login"}, {"cas_validate", portal + "/cas/p3/serviceValidate"}, {"cas_logout", portal + "/cas/logout"}}
	case saml:
		entity, certificate := portal+"/saml/metadata", ""
		if o.SAML != nil {
			entity, certificate = o.SAML(ch)
		}
		all := []value{{"metadata", portal + "/saml/metadata"}, {"entity_id", entity}, {"sso", portal + "/saml/sso"}, {"slo", portal + "/saml/slo"}}
		if certificate != "" {
			all = append(all, value{"certificate", strings.TrimSpace(certificate) + "\n"})
		}
		return all
	}
	return nil
}

// scopes are those that an application has a use for, from the claims that are
// released to it.
func scopes(a *parvis.App) string {
	all := []string{"openid"}
	told := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(a.Attributes, n) })
	}
	for _, s := range []struct {
		scope string
		asks  bool
	}{
		{"profile", told("given_name", "usual_name", "family_name", "name")},
		{"email", told("email")},
		{"phone", told("phone_number")},
		{"uid", told("uid")},
		{"siret", told("siret")},
		{"siren", told("siren")},
		{"organizational_unit", told("organizational_unit")},
		{"belonging_population", told("belonging_population")},
		{"groups", told("groups")},
		{"offline_access", a.OIDC != nil && a.OIDC.Offline},
	} {
		if s.asks {
			all = append(all, s.scope)
		}
	}
	return strings.Join(all, " ")
}

// programs shows the settings of known programs, ready, for one entrance.
func (s voice) programs(a *parvis.App, on parvis.Channel, entrances []parvis.Channel, secret seal.Secret) page.Stack {
	var ready page.Stack
	for _, p := range s.o.ready(a, on, secret) {
		ready = append(ready, page.Section{Title: p.name, Body: page.Stack{
			page.Para(s.say("office.program." + p.key)), s.snippet("program-"+p.key, p.name, p.content),
		}})
	}
	if len(ready) == 0 {
		return nil
	}
	var others page.Links
	for _, ch := range entrances {
		if ch != on && secret == "" { // a link would leave the only page that shows it
			others = append(others, page.Link{
				Text: s.say("office.programs.on", args("channel", s.say("channel."+string(ch)+".label"))), Href: place(a.ID, "paste") + "?on=" + url.QueryEscape(string(ch)) + "#programs",
			})
		}
	}
	lead := s.say("office.programs.lead", args("channel", s.say("channel."+string(on)+".label")))
	var body templ.Component
	if len(others) > 0 {
		body = others
	}
	return append(page.Stack{page.Section{ID: "programs", Title: s.say("office.programs.title"), Lead: lead, Body: body}}, ready...)
}
