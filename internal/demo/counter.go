package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"parvis/internal/text"
)

//go:embed pages/*.html
var pages embed.FS

// counter is an application at work: its words, its pages, and since when.
type counter struct {
	app    *Application
	words  *text.Catalog
	pages  map[string]*template.Template
	zone   *time.Location
	people []Person
	opened time.Time
}

// newCounter reads what is built into the program: what is wrong with that is
// wrong in every test, so it does not return.
func newCounter(a *Application) *counter {
	words, err := text.Load()
	if err != nil {
		panic(err)
	}
	c := &counter{app: a, words: words, pages: map[string]*template.Template{}, zone: time.UTC, people: people(), opened: a.Clock()}
	complete(c.people)
	if zone, err := time.LoadLocation("Europe/Paris"); err == nil { // a bare machine knows no zones
		c.zone = zone
	}
	shell := template.Must(template.ParseFS(pages, "pages/shell.html"))
	for _, name := range []string{"list", "problem", "slips", "slip", "leave", "request", "book", "card"} {
		c.pages[name] = template.Must(template.Must(shell.Clone()).ParseFS(pages, "pages/"+name+".html"))
	}
	return c
}

// visit is a request of somebody that the door vouches for; a page is drawn of
// it.
type visit struct {
	*visitor
	*counter
	w    http.ResponseWriter
	r    *http.Request
	now  time.Time // in the city's zone
	Lang text.Lang

	Title string // of the page, and what it shows
	Data  any
}

// to answers visitors, and nobody else.
func (c *counter) to(answer func(*visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := c.app.visitor(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		w.Header().Set("Cache-Control", "private, no-store") // it is about one person
		answer(&visit{
			visitor: who, counter: c, w: w, r: r, now: c.app.Clock().In(c.zone),
			Lang: text.Match(r.Header.Get("Accept-Language"), text.French),
		})
	}
}

// T says a sentence; names and values alternate.
func (v *visit) T(key string, pairs ...any) string {
	args := text.Args{}
	for i := 0; i+1 < len(pairs); i += 2 {
		args[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return v.words.Say(v.Lang, key, args)
}

// Name is the application's, in the reader's language.
func (v *visit) Name() string { return v.app.App.Name.In(string(v.Lang)) }

// App is the application as IT declared it.
func (v *visit) App() any { return v.app.App }

// Entrance names the channel that the assertion speaks of.
func (v *visit) Entrance() string { return v.T("channel." + string(v.Channel) + ".label") }

var styleShape = regexp.MustCompile(`(?s)<style>(.*?)</style>`)

// styleHash allows the one style element of a page (CSP level 3, §8.3).
func styleHash(page string) string {
	sum := sha256.Sum256([]byte(styleShape.FindStringSubmatch(page)[1]))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (v *visit) show(page, title string, data any) { v.showAs(http.StatusOK, page, title, data) }

func (v *visit) showAs(status int, page, title string, data any) {
	v.Title, v.Data = title, data
	var b bytes.Buffer
	if err := v.pages[page].ExecuteTemplate(&b, "shell", v); err != nil {
		http.Error(v.w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleHash(b.String())+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	v.w.WriteHeader(status)
	_, _ = b.WriteTo(v.w) // a reader who left needs nothing
}

// missing is also the answer about what belongs to somebody else.
func (v *visit) missing() {
	v.showAs(http.StatusNotFound, "problem", v.T("demo.not_found.title"), v.T("demo.not_found.why"))
}

// file sends a file that may be read in parts, and asked again for free while
// it is the same (RFC 9110 §13, §14).
func (v *visit) file(name, kind string, content []byte) {
	sum := sha256.Sum256(content)
	h := v.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Accept-Language")
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`)
	http.ServeContent(v.w, v.r, "", time.Time{}, bytes.NewReader(content))
}

// items is what an application has to show that is no more than a list.
func (c *counter) items(v *visit) []string {
	var all []string
	for n := 1; ; n++ {
		key := "demo.item." + string(c.app.App.ID) + "." + strconv.Itoa(n)
		if !c.words.Has(key) {
			return all
		}
		all = append(all, v.T(key))
	}
}

// person finds the visitor among the people of the city; an agent who was
// imported later is not among them.
func (c *counter) person(number string) (Person, bool) {
	i := slices.IndexFunc(c.people, func(p Person) bool { return string(p.Number) == number })
	if i < 0 {
		return Person{}, false
	}
	return c.people[i], true
}

// day is the midnight that begins the day of t.
func day(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}
