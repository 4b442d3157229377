package moncompte

import (
	"fmt"
	"net/url"
	"time"

	"parvis/internal/page"
	"parvis/internal/text"
)

// mark is the sign of this service: a person, round, in its own colour. It must
// not look like the portals'.
const mark = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="32" fill="#4338ca"/>` +
	`<g fill="none" stroke="#fff" stroke-width="4.500" stroke-linecap="round"><circle cx="32" cy="25" r="9"/><path d="M15 51a17.500 17.500 0 0 1 34 0"/></g></svg>`

// The accent, read on the house's grounds in both themes.
const (
	indigo     = "#4338ca"
	indigoDark = "#a5b4fc"
)

// How long a password may be: as the vault's judge says (CNIL 2022-100, with a
// limit of tries).
const (
	leastPassword = 12
	mostPassword  = 128
)

// dress makes the look: the pieces of the house, with another colour, another
// sign and another name.
func (s *Service) dress() error {
	for _, l := range []text.Lang{text.French, text.English} {
		assets, err := page.NewAssets(page.Brand{
			Organisation: s.Label.In(string(l)), Accent: indigo, AccentDark: indigoDark, Logo: []byte(mark), LogoType: "image/svg+xml",
		})
		if err != nil {
			return fmt.Errorf("moncompte: %w", err)
		}
		s.assets[index(l)] = assets
		say := func(key string) string { return s.Catalog.Say(l, key, nil) }
		s.words[index(l)] = page.Words{
			Skip: say("chrome.skip"), Navigation: say("chrome.menu.label"), Languages: say("chrome.language.label"),
			Theme: say("moncompte.theme"), Light: say("chrome.theme.light"), Dark: say("chrome.theme.dark"), System: say("chrome.theme.system"),
			Required: say("chrome.required"), Optional: say("chrome.optional"),
			ErrorPrefix: say("portal.error_mark") + " ", ErrorMark: say("portal.error_mark"), ErrorHeading: say("chrome.errors.title"),
			ShowPassword: say("portal.show"), HidePassword: say("portal.hide"),
			Copy: say("portal.copy"), Copied: say("chrome.copied"), Sending: say("chrome.loading"),
		}
	}
	return nil
}

func (v *visit) chrome() page.Chrome {
	c := page.Chrome{
		Assets: v.s.assets[index(v.lang)], Organisation: v.label(), Service: v.say("moncompte.service"), Home: "/",
		Theme: page.Theme{Current: v.theme, Action: "/theme", Return: v.back},
		Help:  page.Help{Title: v.say("moncompte.help.title"), Text: v.say("moncompte.help.text")},
		Legal: v.say("moncompte.legal"),
		Words: v.s.words[index(v.lang)],
	}
	for _, l := range []text.Lang{text.French, text.English} {
		if l != v.lang {
			c.Languages = append(c.Languages, page.Link{
				Text: v.s.Catalog.Say(l, "chrome.language."+string(l), nil), Lang: string(l),
				Href: "/lang?to=" + string(l) + "&return=" + url.QueryEscape(v.back),
			})
		}
	}
	if v.in {
		c.Agent = v.citizen.Email
		c.SignOut = &page.Button{Text: v.say("moncompte.sign_out"), Post: "/signout"}
	}
	return c
}

func (v *visit) startPage() page.Page {
	return page.Page{
		Screen: "citizen_start", Title: v.say("moncompte.start.title"), Lead: v.say("moncompte.start.lead"),
		Body: page.Actions{
			{Text: v.say("moncompte.sign_in"), Kind: "primary", Href: "/signin"},
			{Text: v.say("moncompte.create"), Href: "/create"},
		},
	}
}

// signinPage asks who it is. For a client it names it, and offers to give up.
func (v *visit) signinPage(f sent, done string) page.Page {
	pg := page.Page{Screen: "citizen_sign_in", Title: v.say("moncompte.signin.title"), Lead: v.say("moncompte.signin.lead")}
	var body page.Stack
	var hidden []page.Hidden
	if f.flow != "" {
		hidden = []page.Hidden{{Name: "flow", Value: f.flow}}
		if name := v.clientOf(f.flow); name != "" {
			pg.Lead = v.say("moncompte.signin.for", text.Args{"client": name})
		}
	}
	if done == "recovered" {
		body = append(body, page.Notice{Mark: page.Done, Title: v.say("moncompte.recovered.title"), Text: v.say("moncompte.recovered.text")})
	}
	body = append(body, page.Form{
		Action: "/signin", Hidden: hidden,
		Body: page.Stack{
			v.emailField(f.email),
			page.Field{Name: "password", Label: v.say("moncompte.password.label"), Type: "password", Required: true, Autocomplete: "current-password"},
		},
		Buttons: []page.Button{{Text: v.say("moncompte.sign_in"), Kind: "primary"}},
	})
	links := page.Links{
		{Text: v.say("moncompte.forgotten"), Href: "/recover" + flowQuery(f.flow)},
		{Text: v.say("moncompte.create"), Href: "/create" + flowQuery(f.flow)},
	}
	body = append(body, links)
	if f.flow != "" {
		body = append(body, page.Actions{{Text: v.say("moncompte.cancel"), Kind: "plain", Post: "/authorize/" + f.flow + "/cancel"}})
	}
	pg.Body = body
	return pg
}

// clientOf names the client of an interaction; empty when it is not one of ours.
func (v *visit) clientOf(flow string) string {
	as, err := v.s.openInteraction(flow, v.at)
	if err != nil {
		return ""
	}
	for _, c := range v.s.Clients {
		if c.ID == as.ClientID {
			return c.Name.In(string(v.lang))
		}
	}
	return ""
}

func (v *visit) emailField(value string) page.Field {
	return page.Field{
		Name: "email", Label: v.say("moncompte.email.label"), Hint: v.say("moncompte.email.hint"), Type: "email", Value: value,
		Required: true, Autocomplete: "username",
	}
}

func (v *visit) newPasswordField() page.Field {
	return page.Field{
		Name: "new_password", Label: v.say("moncompte.new_password.label"), Hint: v.say("moncompte.new_password.hint", text.Args{"n": leastPassword}),
		Type: "password", Required: true, Autocomplete: "new-password",
	}
}

func (v *visit) codeField() page.Field {
	return page.Field{Name: "code", Label: v.say("moncompte.code.label"), Hint: v.say("moncompte.code.hint"), Type: "code", Required: true}
}

func (v *visit) createPage(f sent) page.Page {
	var hidden []page.Hidden
	if f.flow != "" {
		hidden = []page.Hidden{{Name: "flow", Value: f.flow}}
	}
	return page.Page{
		Screen: "citizen_create", Title: v.say("moncompte.create.title"), Lead: v.say("moncompte.create.lead"),
		Body: page.Stack{
			page.Form{
				Action: "/create", Hidden: hidden,
				Body: page.Stack{
					page.Field{Name: "name", Label: v.say("moncompte.name.label"), Value: f.name, Required: true, Autocomplete: "name"},
					page.Field{
						Name: "email", Label: v.say("moncompte.email.label"), Hint: v.say("moncompte.create.note"), Type: "email", Value: f.email,
						Required: true, Autocomplete: "username",
					},
					v.newPasswordField(),
				},
				Buttons: []page.Button{{Text: v.say("moncompte.create"), Kind: "primary"}},
			},
			page.Links{{Text: v.say("moncompte.have_account"), Href: "/signin" + flowQuery(f.flow)}},
		},
	}
}

// confirmPage asks for the digits, or, behind the link, for one press of a
// button; in another browser for the password too.
func (v *visit) confirmPage(f sent, kept carried, own, first bool) page.Page {
	pg := page.Page{Screen: "citizen_confirm", Title: v.say("moncompte.confirm.title"), Lead: v.say("moncompte.confirm.lead", text.Args{"to": kept.To})}
	if f.link != "" {
		pg.Title, pg.Lead = v.say("moncompte.confirm.link.title"), v.say("moncompte.confirm.link.lead", text.Args{"to": kept.To})
		form := page.Form{
			Action: "/confirm", Hidden: []page.Hidden{{Name: "link", Value: f.link}},
			Buttons: []page.Button{{Text: v.say("moncompte.confirm.button"), Kind: "primary"}},
		}
		if !own {
			form.Body = page.Field{
				Name: "password", Label: v.say("moncompte.password.label"), Hint: v.say("moncompte.confirm.link.password"),
				Type: "password", Required: true, Autocomplete: "current-password",
			}
		}
		pg.Body = form
		return pg
	}
	var body page.Stack
	if first {
		body = append(body, page.Notice{Mark: page.Info, Title: v.say("moncompte.unconfirmed.title"), Text: v.say("moncompte.unconfirmed.text")})
	}
	pg.Body = append(body, page.Form{
		Action: "/confirm", Hidden: []page.Hidden{{Name: "id", Value: f.id}}, Body: v.codeField(),
		Buttons: []page.Button{{Text: v.say("moncompte.confirm.button"), Kind: "primary"}},
	}, v.again(f.id, toConfirm))
	return pg
}

// again offers another message, and says where to look for the first.
func (v *visit) again(id, purpose string) page.Section {
	return page.Section{
		ID: "again", Title: v.say("moncompte.again.title"), Lead: v.say("moncompte.again.lead"),
		Body: page.Actions{{
			Text: v.say("moncompte.again.button"), Post: "/confirm/again", Hidden: []page.Hidden{{Name: "id", Value: id}, {Name: "to", Value: purpose}},
		}},
	}
}

func (v *visit) recoverPage(f sent) page.Page {
	var hidden []page.Hidden
	if f.flow != "" {
		hidden = []page.Hidden{{Name: "flow", Value: f.flow}}
	}
	return page.Page{
		Screen: "citizen_recover", Title: v.say("moncompte.recover.title"), Lead: v.say("moncompte.recover.lead"),
		Body: page.Stack{
			page.Form{
				Action: "/recover", Hidden: hidden, Body: v.emailField(f.email),
				Buttons: []page.Button{{Text: v.say("moncompte.recover.button"), Kind: "primary"}},
			},
			page.Links{{Text: v.say("moncompte.back_to_sign_in"), Href: "/signin" + flowQuery(f.flow)}},
		},
	}
}

func (v *visit) renewPage(f sent, kept carried) page.Page {
	pg := page.Page{Screen: "citizen_recover_new", Title: v.say("moncompte.renew.title"), Lead: v.say("moncompte.renew.lead", text.Args{"to": kept.To})}
	form := page.Form{Action: "/recover/new", Buttons: []page.Button{{Text: v.say("moncompte.renew.button"), Kind: "primary"}}}
	if f.link != "" {
		pg.Lead = v.say("moncompte.renew.link", text.Args{"to": kept.To})
		form.Hidden, form.Body = []page.Hidden{{Name: "link", Value: f.link}}, v.newPasswordField()
		pg.Body = form
		return pg
	}
	form.Hidden, form.Body = []page.Hidden{{Name: "id", Value: f.id}}, page.Stack{v.codeField(), v.newPasswordField()}
	pg.Body = page.Stack{form, v.again(f.id, toRecover)}
	return pg
}

func (v *visit) lockedPage(wait time.Duration, flow string) page.Page {
	return page.Page{
		Screen: "citizen_locked", Title: v.say("moncompte.locked.title", text.Args{"n": minutes(wait)}), Lead: v.say("moncompte.locked.lead"),
		Body: page.Stack{
			page.Para(v.say("moncompte.locked.text")),
			page.Links{
				{Text: v.say("moncompte.locked.recover"), Href: "/recover" + flowQuery(flow)},
				{Text: v.say("moncompte.back_to_sign_in"), Href: "/signin" + flowQuery(flow)},
			},
		},
	}
}

// overPage is for a code or a link that no longer serves.
func (v *visit) overPage(path string) page.Page {
	return page.Page{
		Screen: "citizen_over", Title: v.say("moncompte.over.title"), Lead: v.say("moncompte.over.lead"),
		Body: page.Actions{
			{Text: v.say("moncompte.over.again"), Kind: "primary", Href: path},
			{Text: v.say("moncompte.back_to_sign_in"), Href: "/signin"},
		},
	}
}

func (v *visit) accountPage(changed bool) page.Page {
	pg := page.Page{Screen: "citizen_account", Title: v.say("moncompte.account.title"), Lead: v.say("moncompte.account.lead")}
	var body page.Stack
	if changed {
		body = append(body, page.Notice{Mark: page.Done, Title: v.say("moncompte.changed.title"), Text: v.say("moncompte.changed.text")})
	}
	pg.Body = append(body,
		page.Record{
			{Term: v.say("moncompte.name.label"), Text: v.citizen.Name},
			{Term: v.say("moncompte.email.label"), Text: v.citizen.Email},
			{Term: v.say("moncompte.account.since"), Text: v.say("moncompte.account.date", text.Args{"date": v.citizen.Created})},
		},
		page.Actions{
			{Text: v.say("moncompte.change_password"), Href: "/password"},
		},
	)
	return pg
}

func (v *visit) passwordPage() page.Page {
	return page.Page{
		Screen: "citizen_password", Title: v.say("moncompte.change.title"), Lead: v.say("moncompte.change.lead"),
		Body: page.Stack{
			page.Form{
				Action: "/password",
				Body: page.Stack{
					page.Field{Name: "password", Label: v.say("moncompte.current.label"), Type: "password", Required: true, Autocomplete: "current-password"},
					v.newPasswordField(),
				},
				Buttons: []page.Button{{Text: v.say("moncompte.change_password"), Kind: "primary"}},
			},
			page.Links{{Text: v.say("moncompte.back_to_account"), Href: "/"}},
		},
	}
}

func (v *visit) signedOutPage() page.Page {
	return page.Page{
		Screen: "citizen_signed_out", Title: v.say("moncompte.signed_out.title"), Lead: v.say("moncompte.signed_out.lead"),
		Body: page.Actions{{Text: v.say("moncompte.sign_in"), Href: "/signin"}},
	}
}

// signOutPage asks before a session ends that a client wants ended without
// showing whose it is.
func (v *visit) signOutPage(ticket string) page.Page {
	v.back = "/"
	return page.Page{
		Screen: "citizen_sign_out", Title: v.say("moncompte.ask_out.title"), Lead: v.say("moncompte.ask_out.lead", text.Args{"to": v.citizen.Email}),
		Body: page.Actions{
			{Text: v.say("moncompte.sign_out"), Kind: "primary", Post: "/logout/" + ticket},
			{Text: v.say("moncompte.ask_out.stay"), Kind: "plain", Href: "/"},
		},
	}
}

// problem is the page of a failure: what happened, and where to go.
func (v *visit) problem(key string, args ...text.Args) page.Page {
	return page.Page{
		Screen: "citizen_problem", Title: v.say(key+".title", args...), Lead: v.say(key+".lead", args...),
		Body: page.Links{{Text: v.say("moncompte.to_home"), Href: "/"}},
	}
}
