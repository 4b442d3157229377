package office

import (
	"context"
	"io"
	"strings"
	"unicode"

	"github.com/a-h/templ"
	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/text"
)

// search is the form that looks for an application: by GET, so that what was
// found can be kept as an address.
func (s voice) search(query string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, `<form class="form" method="get" action="`+applications+`" role="search"><div class="field"><label for="q">`+
			templ.EscapeString(s.say("office.search.label"))+`</label><div class="input-group"><input class="input" type="search" id="q" name="q" value="`+
			templ.EscapeString(query)+`"/><button class="button" type="submit"><span>`+templ.EscapeString(s.say("action.search"))+
			`</span></button></div></div></form>`)
		return err
	})
}

// snippet is a text of several lines to copy as it stands. It scrolls by itself,
// so that the page never does.
func (s voice) snippet(id, label, content string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		name := templ.EscapeString(label)
		_, err := io.WriteString(w, `<div class="copyable" role="group" aria-label="`+name+`"><p class="soft" aria-hidden="true">`+name+
			`</p><div class="table-scroll" role="group" aria-label="`+templ.EscapeString(s.say("office.snippet", args("name", label)))+`" tabindex="0"><pre class="mono" id="`+
			templ.EscapeString(id)+`">`+templ.EscapeString(content)+`</pre></div><p><button class="button button-plain" type="button" hidden data-copy="`+
			templ.EscapeString(id)+`" data-copied="`+templ.EscapeString(s.say("chrome.copied"))+`"><span data-copy-text>`+
			templ.EscapeString(s.say("portal.copy"))+`</span></button></p><p class="hidden-text" role="status" data-copy-status></p></div>`)
		return err
	})
}

// copied is one value to copy.
func (s voice) copied(id, label, value string) page.Copyable {
	return page.Copyable{ID: id, Label: s.say(label), Text: value}
}

// inLang marks what is said in another language than the page (WCAG 2.2, 3.1.2).
type inLang struct {
	lang text.Lang
	body templ.Component
}

// Render writes the piece.
func (l inLang) Render(ctx context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, `<div class="stack" lang="`+templ.EscapeString(string(l.lang))+`">`); err != nil {
		return err
	}
	if err := l.body.Render(ctx, w); err != nil {
		return err
	}
	_, err := io.WriteString(w, `</div>`)
	return err
}

// matches looks for words in the names of an application and of its owner, in
// both languages, without regard to case and accents.
func matches(a *parvis.App, query string) bool {
	all := fold(strings.Join([]string{
		string(a.ID), a.Name.FR, a.Name.EN, a.Purpose.FR, a.Purpose.EN, a.Owner.FR, a.Owner.EN, strings.Join(doorsOf(a), " "), host(a),
	}, " "))
	for word := range strings.FieldsSeq(fold(query)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}

// host is where an application really is.
func host(a *parvis.App) string {
	for _, address := range []string{a.Upstream, a.Start} {
		if found := hostOf(address); found != "" {
			return found
		}
	}
	return ""
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(s))
}

// label makes a host label of a name.
func label(name string) parvis.AppID {
	var b strings.Builder
	for _, r := range fold(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 40 {
			break
		}
	}
	return parvis.AppID(strings.Trim(b.String(), "-"))
}
