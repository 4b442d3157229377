// Package text holds every sentence a person can read, French and English
// together, by key.
//
// It promises that a key has both languages with the same values in both, that
// a value put into a sentence is never read again as a sentence, and that the
// closed list of reason codes is complete. It refuses to know agents, pages,
// HTTP, the clock and the time zone: a time is written in the location it
// carries. A Catalog is loaded once, never changes, and serves any number of
// goroutines.
//
// # The files
//
// A translator or a policy officer edits both languages at one place:
//
//	# a remark
//	chrome.skip
//	  fr: Aller au contenu
//	  en: Skip to content
//
//	reason lock_warning P0 self
//	  title fr: Encore {n} {n|one: essai|other: essais} avant un blocage
//	  title en: {n} {n|one: try|other: tries} left before a lock
//	  actions recover
//
// A key holds words of a to z, 0 to 9 and _, joined by dots. fr: again adds a
// line to the sentence. A reason names its level and actors, then title, why,
// do (repeated, numbered on the page), meanwhile, and the action codes whose
// labels are the keys action.CODE.
//
//	{app}                   a value; {^app} with a first capital
//	{n|one: a|other: b}     a plural form by the CLDR rules; =0: is the exact zero
//	[ Depuis le {date}.]    left out when a value inside is absent or empty
//
// A value that is absent outside brackets takes the key value.NAME when there
// is one ("your IT contact"), and is otherwise shown as ⟦NAME⟧ for a test to
// find. Numbers, durations and lists are written in the habit of the language.
// A time is written by the name it fills: …date a day, …time an hour, anything
// else (date_time, when, since) both. The value now, when given, decides
// whether the year or the day needs saying. In French the spaces before : ; ? !
// and inside « » become non-breaking as the file is read.
package text

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

//go:embed catalog/*.txt
var files embed.FS

// Lang is a language of the catalogue, as written in <html lang>.
type Lang string

// The two languages. Any other Lang is read as French.
const (
	French  Lang = "fr"
	English Lang = "en"
)

// languages gives each language its place in an entry.
var languages = [2]Lang{French, English}

func (l Lang) index() int {
	if l == English {
		return 1
	}
	return 0
}

// acceptLimit bounds what is read of a header that anybody can send.
const acceptLimit = 1024

// Match chooses the language for an Accept-Language header (RFC 9110 §12.5.4):
// the first French or English range in order of weight, ranges of weight zero
// left out, otherwise fallback. A header that cannot be read gives fallback.
func Match(acceptLanguage string, fallback Lang) Lang {
	if len(acceptLanguage) > acceptLimit {
		cut := strings.LastIndexByte(acceptLanguage[:acceptLimit], ',')
		if cut < 0 {
			return fallback
		}
		acceptLanguage = acceptLanguage[:cut]
	}
	tags, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil {
		return fallback
	}
	for _, tag := range tags {
		base, _ := tag.Base()
		for _, l := range languages {
			if base.String() == string(l) {
				return l
			}
		}
	}
	return fallback
}

// Args are the values of a sentence by name. A value may be a string, an
// integer, a time.Time, a time.Duration, a []string (written as a list) or
// anything fmt prints.
type Args map[string]any

// Catalog is the loaded sentences. The zero value knows none.
type Catalog struct {
	entries map[string]*entry
	reasons []Info
}

// Info is one reason of the closed list.
type Info struct {
	Code    string
	Level   string   // who may read it: "P0" anybody, "P1" after a first proof, "P2" signed in, "S" staff
	Actors  []string // who can remedy it: "self", "it_contact", …
	Actions []string // the action codes, in the order of Answer.Actions
}

// Answer is the sentences of a reason, ready to be read.
type Answer struct {
	Title     string
	Why       string   // empty when the title says all
	Do        []string // steps, to be numbered
	Meanwhile string   // what still works, or empty
	Actions   []string // button labels
}

// Load parses the embedded files. An error names the file and every faulty
// line; the package's tests keep it from happening.
func Load() (*Catalog, error) {
	names, err := fs.Glob(files, "catalog/*.txt")
	if err != nil {
		return nil, fmt.Errorf("text: list catalogue: %w", err)
	}
	p := newParser()
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("text: read catalogue: %w", err)
		}
		p.file(strings.TrimPrefix(name, "catalog/"), string(b))
	}
	return p.finish()
}

// Has reports whether the catalogue has the key.
func (c *Catalog) Has(key string) bool {
	return c.entries[key] != nil
}

// Say returns the sentence of the key with its values in place. An unknown key
// comes back as "⟦key⟧", so that a test finds it.
func (c *Catalog) Say(l Lang, key string, a Args) string {
	e := c.entries[key]
	if e == nil {
		return missing(key)
	}
	return c.render(l, e[l.index()], a)
}

// Reason returns the sentences of a reason code. A step whose optional values
// are all absent is left out. An unknown code gives "⟦code⟧" as its title.
func (c *Catalog) Reason(l Lang, code string, a Args) Answer {
	i := slices.IndexFunc(c.reasons, func(r Info) bool { return r.Code == code })
	if i < 0 {
		return Answer{Title: missing(code)}
	}
	key := "reason." + code
	part := func(name string) string {
		if !c.Has(key + name) {
			return ""
		}
		// A sentence may begin with what is left out.
		return strings.TrimSpace(c.Say(l, key+name, a))
	}
	out := Answer{Title: part(".title"), Why: part(".why"), Meanwhile: part(".meanwhile")}
	for n := 1; c.Has(stepKey(key, n)); n++ {
		if step := strings.TrimSpace(c.Say(l, stepKey(key, n), a)); step != "" {
			out.Do = append(out.Do, step)
		}
	}
	for _, action := range c.reasons[i].Actions {
		out.Actions = append(out.Actions, c.Say(l, "action."+action, a))
	}
	return out
}

// Reasons returns the closed list, in the order of the catalogue.
func (c *Catalog) Reasons() []Info {
	out := slices.Clone(c.reasons)
	for i := range out {
		out[i].Actors = slices.Clone(out[i].Actors)
		out[i].Actions = slices.Clone(out[i].Actions)
	}
	return out
}

// Change is one step of a way: what has to change, to what, and who can do it.
// Kind and By are codes; To is a code or empty.
type Change struct {
	Kind, To, By string
	Args         Args
}

// Way returns one sentence for a way of one or several changes, in the order
// given: "Ouvrir le VPN sur votre ordinateur de service, puis …". The value
// {who} is the actor of By unless given.
func (c *Catalog) Way(l Lang, changes []Change) string {
	var sentence string
	for i, ch := range changes {
		a := make(Args, len(ch.Args)+1)
		maps.Copy(a, ch.Args)
		if _, ok := a["who"]; !ok && c.Has("actor."+ch.By+".the") {
			a["who"] = c.Say(l, "actor."+ch.By+".the", a)
		}
		clause := c.Say(l, c.wayKey(ch), a)
		switch {
		case i == 0:
			sentence = capital(clause)
		case i == len(changes)-1:
			sentence = c.Say(l, "way.join.last", Args{"first": sentence, "next": clause})
		default:
			sentence = c.Say(l, "way.join.next", Args{"first": sentence, "next": clause})
		}
	}
	return sentence
}

// wayKey prefers the sentence that says most: for this target and actor, then
// for the target, then for the actor, then for the kind alone.
func (c *Catalog) wayKey(ch Change) string {
	kind := "way." + ch.Kind
	for _, key := range []string{
		kind + "." + ch.To + ".by_" + ch.By,
		kind + "." + ch.To,
		kind + ".by_" + ch.By,
	} {
		if c.Has(key) {
			return key
		}
	}
	return kind
}

func stepKey(key string, n int) string {
	return fmt.Sprintf("%s.do.%d", key, n)
}

func missing(name string) string { return "⟦" + name + "⟧" }
