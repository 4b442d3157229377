package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/text"
)

// pieceWords are the small sentences that pieces need wherever they stand.
func (p *Portal) pieceWords(l text.Lang) page.Words {
	say := func(key string) string { return p.Catalog.Say(l, key, nil) }
	return page.Words{
		Skip: say("chrome.skip"), Navigation: say("chrome.menu.label"), Languages: say("chrome.language.label"),
		Theme: say("chrome.theme.label"), Light: say("chrome.theme.light"), Dark: say("chrome.theme.dark"), System: say("chrome.theme.system"),
		Required: say("chrome.required"), Optional: say("chrome.optional"),
		ErrorPrefix: say("portal.error_mark") + " ", ErrorMark: say("portal.error_mark"), ErrorHeading: say("chrome.errors.title"),
		ShowPassword: say("portal.show"), HidePassword: say("portal.hide"),
		Copy: say("portal.copy"), Copied: say("chrome.copied"), Sending: say("chrome.loading"),
		Why: say("refusal.why"), Checklist: say("portal.checklist"), WhatToDo: say("refusal.do"),
		Meanwhile: say("refusal.meanwhile"), Ticket: say("refusal.give.title"),
		Right: say("why_not.ok"), Missing: say("why_not.lacking"),
		Telephone: say("portal.telephone"), Hours: say("portal.hours"), Reference: say("portal.reference"), Elsewhere: say("portal.elsewhere"),
	}
}

// chrome is what surrounds every page, also signed out and when all fails.
func (v *visit) chrome(screen string) page.Chrome {
	p := v.p
	c := page.Chrome{
		Assets: p.Assets, Organisation: p.Organisation, Service: v.say("chrome.product"), Home: "/",
		Theme:   page.Theme{Current: v.theme, Action: "/theme", Return: v.back},
		Channel: v.bar(),
		Help: page.Help{
			Title: v.say("chrome.menu.help"),
			Links: []page.Link{
				{Text: v.say("start.cannot_enter"), Href: "/diagnosis"},
				{Text: v.say("help.title"), Href: "/help"},
			},
			People: v.people(1, "support_desk"),
		},
		Footer: []page.Link{
			{Text: v.say("chrome.footer.accessibility"), Href: "/accessibility"},
			{Text: v.say("chrome.footer.legal"), Href: "/legal"},
			{Text: v.say("chrome.footer.privacy"), Href: "/privacy"},
		},
		Legal: p.Notice.In(string(v.lang)),
		Words: p.words[index(v.lang)],
	}
	if c.Legal == "" {
		c.Legal = v.say("start.authorised")
	}
	for _, l := range []text.Lang{text.French, text.English} {
		if l != v.lang {
			c.Languages = append(c.Languages, page.Link{
				Text: p.Catalog.Say(l, "chrome.language."+string(l), nil), Lang: string(l),
				Href: "/lang?to=" + string(l) + "&return=" + url.QueryEscape(v.back),
			})
		}
	}
	if !v.in {
		return c
	}
	c.Agent = v.agent.Name()
	c.SignOut = &page.Button{Text: v.say("action.sign_out"), Post: "/signout"}
	rooms := []struct{ screen, key, href string }{
		{"home", "chrome.menu.home", "/"},
		{"security", "chrome.menu.security", "/security"},
		{"sessions", "chrome.menu.sessions", "/sessions"},
		{"activity", "chrome.menu.activity", "/activity"},
	}
	if slices.Contains(v.agent.Roles, parvis.RoleITDepartment) { // its pages say themselves who may come in
		rooms = append(rooms, struct{ screen, key, href string }{"admin_", "chrome.menu.applications", "/admin/applications"})
	}
	for _, n := range rooms {
		current := n.screen == screen || strings.HasSuffix(n.screen, "_") && strings.HasPrefix(screen, n.screen)
		c.Nav = append(c.Nav, page.Link{Text: v.say(n.key), Href: n.href, Current: current})
	}
	c.Session = &page.Session{
		Left: v.session.Idle.Sub(v.at), Warn: warnBefore, Action: "/extend",
		Text:     v.say("chrome.session.expiring.title", text.Args{"n": int(warnBefore / time.Minute)}),
		Button:   v.say("portal.extend"),
		Extended: v.say("portal.extended"),
	}
	return c
}

// warnBefore is how long before its end a session announces it.
const warnBefore = 5 * time.Minute

func index(l text.Lang) int {
	if l == text.English {
		return 1
	}
	return 0
}

// bar says where the visitor stands and what that changes.
func (v *visit) bar() page.Channel {
	ch := v.origin.Channel
	if !ch.Known() {
		return page.Channel{
			Label: v.say("portal.bar.label"), Here: v.channel(ch, "the"), Change: v.say("chrome.bar.unknown"),
			More: page.Link{Text: v.say("action.what_changes")},
		}
	}
	bar := page.Channel{
		Entrance: entrance(ch), Label: v.say("portal.bar.label"), Here: v.channel(ch, "the"),
		Change: v.channel(ch, "opens") + " " + v.say("help_channels.keep"),
		More:   page.Link{Text: v.say("action.what_changes")},
	}
	switch {
	case ch == parvis.Internal || ch == parvis.VPN || v.origin.Known:
		bar.Facts = append(bar.Facts, v.say("channel.network.internal"))
	default:
		bar.Facts = append(bar.Facts, v.say("channel.network.internet"))
	}
	if v.in && v.device.ID != "" { // nobody learns before a proof whether this browser is known
		bar.Facts = append(bar.Facts, v.say("channel.device.known"))
	}
	return bar
}

func entrance(ch parvis.Channel) int { return slices.Index(parvis.Channels(), ch) + 1 }

// people gives at most n of the contacts of these roles, in their order.
func (v *visit) people(n int, roles ...string) page.People {
	var all page.People
	var seen []string
	for _, role := range roles {
		for _, c := range v.p.Contacts {
			if c.Role != role || slices.Contains(seen, c.Role+c.Phone) || len(all) == n {
				continue
			}
			seen = append(seen, c.Role+c.Phone)
			all = append(all, v.person(c))
		}
	}
	return all
}

func (v *visit) person(c Contact) page.Person {
	label := c.Name.In(string(v.lang))
	if v.p.Catalog.Has("actor." + c.Role + ".label") {
		label = v.say("actor." + c.Role + ".label")
	} else if v.p.Catalog.Has("role." + c.Role) {
		label = capital(v.say("role." + c.Role))
	}
	person := page.Person{Role: label, Phone: c.Phone, Email: c.Email, Hours: c.Hours.In(string(v.lang))}
	if name := c.Name.In(string(v.lang)); name != label {
		person.Name = name
	}
	if c.Calendar == nil {
		return person
	}
	var unit parvis.UnitPath
	if v.in {
		unit = v.agent.Unit
	}
	if c.Calendar.Open(v.at, unit) {
		person.Open = &page.State{Mark: page.Done, Text: v.say("refusal.open_now")}
	} else {
		args := text.Args{}
		if next := c.Calendar.Next(v.at, unit); !next.IsZero() {
			args["next_open"] = v.p.local(next)
		}
		person.Open = &page.State{Mark: page.Wait, Text: v.say("refusal.closed_now", args)}
	}
	return person
}

// setLang keeps the language that was chosen and goes back. It is a preference
// of the browser, so a link may do it.
func (p *Portal) setLang(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "portal.setLang", Err: err}
	}
	if l := text.Lang(r.Form.Get("to")); l == text.French || l == text.English {
		v.keep(w, cookieLang, string(l), preference)
	}
	return to(w, back(r.Form))
}

// postTheme keeps the theme that was chosen and goes back.
func (p *Portal) postTheme(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	switch theme := sent.Get("theme"); theme {
	case "light", "dark":
		v.keep(w, cookieTheme, theme, preference)
	case "system":
		v.drop(w, cookieTheme)
	}
	return to(w, back(sent))
}

func back(sent url.Values) string {
	if path := sent.Get("return"); local(path) {
		return path
	}
	return "/"
}

func (p *Portal) assets() http.Handler {
	if p.Assets != nil {
		return p.Assets
	}
	plain, err := page.NewAssets(page.Brand{Organisation: p.Organisation})
	if err != nil { // cannot be without an accent or a logo
		return http.NotFoundHandler()
	}
	p.Assets = plain
	return plain
}
