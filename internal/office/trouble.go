package office

import (
	"strings"
	"time"

	"github.com/a-h/templ"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/page"
)

// code is how a code of a protocol is written in a key.
func code(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, s[strings.LastIndexByte(s, ':')+1:]) // a SAML status is a URN
}

func (s voice) troubleTitle(t apps.Trouble) string {
	c := code(t.Code)
	return s.sayOr(args("code", t.Code), "office.trouble."+string(t.Protocol)+"."+c, "office.trouble."+c, "office.trouble.other")
}

// troubles says what went wrong lately and what to do about it.
func (s voice) troubles(a *parvis.App, all []apps.Trouble) templ.Component {
	body := page.Stack{}
	if len(all) == 0 {
		body = append(body, page.Para(s.say("office.troubles.none")))
	} else {
		var lines page.Timeline
		for _, t := range all {
			c := code(t.Code)
			title := s.troubleTitle(t)
			if t.Code != "" && !strings.Contains(title, t.Code) {
				title += " (" + t.Code + ")"
			}
			line := page.Event{
				When: s.when(t.At), At: t.At.UTC().Format(time.RFC3339), Title: title, Mark: page.Warn,
				Text: s.sayOr(nil, "office.trouble."+string(t.Protocol)+"."+c+".do", "office.trouble."+c+".do", "office.trouble.other.do"),
			}
			if t.Text != "" {
				line.By = s.say("office.trouble.detail", args("text", t.Text))
			}
			lines = append(lines, line)
		}
		body = append(body, lines)
	}
	if federated(a) {
		body = append(body, s.proconnect())
	}
	return body
}

// federated tells whether the application is ProConnect, by the address that it
// has everywhere (domain.md 3.1).
func federated(a *parvis.App) bool {
	if a.OIDC == nil {
		return false
	}
	for _, r := range a.OIDC.Redirects {
		if strings.HasSuffix(r, "/api/v2/oidc-callback") {
			return true
		}
	}
	return false
}

// proconnect says what the codes that ProConnect shows to agents mean, and what
// to do (domain.md 3.1, acceptance checklist).
func (s voice) proconnect() page.Table {
	t := page.Table{Caption: s.say("office.proconnect.caption")}
	for _, key := range []string{"code", "means", "do"} {
		t.Columns = append(t.Columns, page.Column{Text: s.say("office.proconnect.column." + key)})
	}
	for _, c := range []struct{ codes, key string }{
		{"Y000000", "unreachable"},
		{"Y020026", "token"},
		{"Y020027", "userinfo"},
		{"Y020029", "subject"},
		{"Y020032, Y020025", "scopes"},
		{"Y500006", "claims"},
		{"Y020018, Y020030", "level"},
		{"Y500017", "disabled"},
	} {
		t.Rows = append(t.Rows, []page.Cell{
			{Text: c.codes, Mono: true}, {Text: s.say("office.proconnect." + c.key)}, {Text: s.say("office.proconnect." + c.key + ".do")},
		})
	}
	return t
}
