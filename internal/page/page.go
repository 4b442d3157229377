package page

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/a-h/templ"
)

// Page is one whole document. Title is the h1 (a sentence) and, unless Short
// is set, the beginning of <title>. Body may be left nil when children are
// given in a templ file.
type Page struct {
	Lang      string // "fr" or "en"
	Screen    string // stable screen identifier
	Title     string
	Short     string // for <title> when the h1 is long
	Lead      string // one sentence under the h1
	Width     Width
	Reasons   []string // codes, on a page that refuses
	Reference string
	Errors    []Fault // errors of the form on this page, in the order of its fields
	Erroneous bool    // an error was reported without a field: the title says so too
	Chrome    Chrome
	Body      templ.Component
	Aside     templ.Component // at the right on a wide screen, after the body elsewhere
}

// Width is how much of the square a page takes. The zero value is one column
// of 640 px, for what a person does once.
type Width string

// Widths other than the column.
const (
	Wide Width = "wide" // 1,120 px: launchers, two cards side by side
	Full Width = "full" // desks
)

// Fault ties one error to the field that has to change.
type Fault struct{ Field, Text string }

// Chrome is what surrounds every page. The portal fills it once per request;
// all texts are already said in the page's language.
type Chrome struct {
	Assets       *Assets // nil: the plain assets, without an organisation's accent
	Organisation string
	Service      string
	Home         string // href
	Languages    []Link // the other languages, with Lang set
	Theme        Theme
	Channel      Channel
	Nav          []Link
	Agent        string // who is signed in; empty when nobody is
	SignOut      *Button
	Session      *Session
	Help         Help
	Footer       []Link // accessibility, legal notice, privacy, status
	Legal        string
	Words        Words
}

// Theme is the three-way switch. Current is "light", "dark" or "" (system).
// Action receives POST theme=light|dark|system and return=PATH.
type Theme struct{ Current, Action, Return string }

// Channel says where the visitor stands and what that changes. Entrance is 1
// internal, 2 VPN, 3 mobile, 0 unknown. More is a link when it has an Href;
// otherwise its Text opens Change on the spot.
type Channel struct {
	Entrance int
	Label    string // "Vous êtes sur :"
	Here     string // "portail mobile"
	Facts    []string
	Change   string
	More     Link
}

// Session lets the browser announce the end of a session and extend it
// without losing what was typed. Extend posts to Action; 2xx restarts the
// clock for Left, or for the seconds given in the header Session-Left.
type Session struct {
	Left, Warn             time.Duration
	Action                 string
	Text, Button, Extended string
}

// Help stands at the same place on every page (WCAG 2.2, 3.2.6).
type Help struct {
	Title, Text string
	People      []Person
	Links       []Link
}

// Words are the small sentences that pieces need wherever they stand.
type Words struct {
	Skip, Navigation, Languages, Theme, Light, Dark, System string
	Required, Optional                                      string // "(obligatoire)", "(facultatif)"
	ErrorPrefix, ErrorHeading                               string // "Erreur : ", "Il y a un problème"
	ErrorMark                                               string // read before an error tied to a field: "Erreur :"
	ShowPassword, HidePassword                              string
	Copy, Copied, Sending                                   string
	Why, Checklist, WhatToDo, Meanwhile, Ticket             string
	Right, Missing                                          string // "En règle", "Manque"
	Telephone, Hours                                        string
	Reference                                               string
	Elsewhere                                               string // read after a link that leads to another site
}

type ctxKey struct{}

type around struct {
	words  Words
	faults []Fault
	assets *Assets // where the scripts of single pieces are
}

// Render writes the document.
func (p Page) Render(ctx context.Context, w io.Writer) error {
	if p.Chrome.Assets == nil {
		p.Chrome.Assets = plainAssets()
	}
	// The words travel with the rendering so that a piece can stand anywhere
	// in a page without being handed them one by one.
	ctx = context.WithValue(ctx, ctxKey{}, around{p.Chrome.Words, p.Errors, p.Chrome.Assets})
	return document(p).Render(ctx, w)
}

func words(ctx context.Context) Words {
	a, _ := ctx.Value(ctxKey{}).(around)
	return a.words
}

func scriptOf(ctx context.Context, name string) string {
	a, _ := ctx.Value(ctxKey{}).(around)
	if a.assets == nil {
		return ""
	}
	return a.assets.path(name)
}

func faultOf(ctx context.Context, id string) string {
	a, _ := ctx.Value(ctxKey{}).(around)
	for _, f := range a.faults {
		if f.Field == id {
			return f.Text
		}
	}
	return ""
}

func (p Page) headTitle() string {
	t := p.Title
	if p.Short != "" {
		t = p.Short
	}
	if p.Erroneous || len(p.Errors) > 0 {
		t = p.Chrome.Words.ErrorPrefix + t
	}
	for _, s := range []string{p.Chrome.Service, p.Chrome.Organisation} {
		if s != "" {
			t += " – " + s
		}
	}
	return t
}

func (p Page) mainClass() string {
	switch {
	case p.Width != "":
		return "main main-" + string(p.Width)
	case p.Aside != nil:
		return "main main-aside"
	}
	return "main"
}

func (t Theme) pressed(v string) string {
	if t.Current == v || t.Current == "" && v == "system" {
		return "true"
	}
	return "false"
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
