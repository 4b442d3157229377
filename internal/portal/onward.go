package portal

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/signin"
	"parvis/internal/text"
)

// What the rest of the program asks of the portal when somebody is on their way
// to an application that speaks a protocol: a page of ours, a door that leads
// back, a proof of some strength.

// longestWay is the longest path that a way back is made for.
const longestWay = 6000

// Show draws a page as those of the portal are: in the visitor's language, with
// what surrounds every page. A program that is refused reads why instead, as
// everywhere. The visitor may have no session, and no known entrance.
func (p *Portal) Show(w http.ResponseWriter, r *http.Request, status int, draw func(text.Lang) page.Page) error {
	v := p.receive(r)
	if err := v.know(r); err != nil {
		return err
	}
	return v.show(w, r, status, draw(v.lang))
}

// SignInTo gives the address, on the same host, of the door that leads back to
// path. The door says for which application it is, and offers hint, such as a
// login_hint, as the identifier. A path may have 6,000 signs; one that is not on
// this host is [parvis.CodeInvalid].
func (p *Portal) SignInTo(path string, app parvis.AppID, hint string) (string, error) {
	ticket, err := p.way(localReturn{Path: path, App: app, Here: true, Hint: tidyHint(hint)})
	if err != nil {
		return "", err
	}
	return "/signin?return=" + url.QueryEscape(ticket), nil
}

// ProveTo gives the address where whoever is in shows what makes their session
// reach a level of domain.md 3.1 (eidas1-mfa, eidas2 or eidas3), adds a method on
// the way when they hold none, and comes back to path; or to path with unmet=1
// added when they cannot or will not. What was shown before counts for nothing but
// the password. For eidas1 the password, or a passkey, is shown again; for the
// empty level any proof. It is led to with 303, by GET.
func (p *Portal) ProveTo(path string, app parvis.AppID, level string) (string, error) {
	if level != "" && !signin.KnownLevel(level) {
		return "", &parvis.Error{Code: parvis.CodeInvalid, Op: "portal.ProveTo", Err: errors.New("no such level: " + level)}
	}
	ticket, err := p.way(localReturn{Path: path, App: app, Here: true, Level: level, Since: p.Clock().UnixMicro()})
	if err != nil {
		return "", err
	}
	return proving{ticket: ticket}.address(""), nil
}

func (p *Portal) way(to localReturn) (string, error) {
	p.ready()
	if len(to.Path) > longestWay || !local(to.Path) {
		return "", &parvis.Error{Code: parvis.CodeInvalid, Op: "portal.way", Err: errors.New("not a path of this host, or too long")}
	}
	return p.wicket.returns.Issue(to, p.Clock(), time.Hour)
}

// tidyHint makes of a login_hint what its owner would type: an address loses the
// tag after "+", which is for sorting mail (domain.md 3.1, acceptance).
func tidyHint(hint string) string {
	hint = plain(hint, 254) // the longest address (RFC 5321 §4.5.3.1)
	name, domain, ok := strings.Cut(hint, "@")
	if i := strings.IndexByte(name, '+'); ok && i > 0 {
		return name[:i] + "@" + domain
	}
	return hint
}

// plain keeps of a text from elsewhere what can stand in a line of ours; nothing
// of one that is too long.
func plain(s string, most int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")))
	if len(s) > most {
		return ""
	}
	return s
}

// goingTo is how an application is called on the way to it. A federation may say
// for which service it asks (sp_name, domain.md 3.1): anybody can write that, so
// that our name of the application stands beside it.
func (g goal) goingTo(l text.Lang) string {
	name := g.app.Name.In(string(l))
	if !g.here {
		return name
	}
	_, query, _ := strings.Cut(g.path, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return name
	}
	service := plain(q.Get("sp_name"), 80)
	if service == "" || strings.EqualFold(service, name) {
		return name
	}
	return service + " (" + name + ")"
}

// leads are where a form may end that is sent on the way to an application: its
// own addresses, to which the answer is a redirect. A SAML answer, and an answer
// by form, leave from a page of their own.
func (g goal) leads() []string {
	var all []string
	switch {
	case !g.here && served(g.app):
		return nil // the gateway's names are in every policy
	case !g.here:
		all = append(all, g.app.Start)
	}
	if g.app.OIDC != nil {
		all = append(all, g.app.OIDC.Redirects...)
	}
	if g.app.CAS != nil {
		all = append(all, g.app.CAS.Services...)
	}
	return slices.Compact(all)
}

// unmet is the way back for whoever cannot or will not show what is asked.
func (g goal) unmet() string {
	sep := "?"
	if strings.Contains(g.path, "?") {
		sep = "&"
	}
	return g.path + sep + "unmet=1"
}
