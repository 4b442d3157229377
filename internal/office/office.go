package office

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/apps"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/text"
)

// Office is the staff's pages. The first group is required, the rest works when
// zero. It must not be copied once used.
type Office struct {
	Store     *store.Store
	Sessions  *session.Keeper
	Directory *directory.Directory
	Register  *apps.Register
	Door      *apps.Door
	Policy    *access.Policy
	Addresses *parvis.Addresses
	Words     *text.Catalog
	Edge      *edge.Edge
	Clock     func() time.Time

	// Show writes a page in the portal's frame, in the visitor's language.
	Show func(w http.ResponseWriter, r *http.Request, status int, draw func(text.Lang) page.Page) error
	// SignIn gives the address of the door that leads back to path; Prove that
	// of the page that asks for a proof of a level and leads back to path, with
	// unmet=1 in its query when the agent cannot or will not show one.
	SignIn func(path string, app parvis.AppID, hint string) (string, error)
	Prove  func(path string, app parvis.AppID, level string) (string, error)

	Zone     *time.Location
	Values   func(text.Lang) text.Args // org, it_department, verifier_label…
	Profiles []parvis.Profile          // which of them are sensitive

	// SAML tells, of an entrance, the name of the identity provider and the
	// certificate of its signatures (PEM).
	SAML func(parvis.Channel) (entity, certificate string)
	YAML func(parvis.App) ([]byte, error) // an application as a file

	drafts  drafts
	acting  sync.Mutex // one change of the register at a time: of a form sent twice, the second sees what the first did
	refused refused
}

const applications = "/admin/applications"

// Serves tells whether a path of the portal is one of these pages.
func (o *Office) Serves(path string) bool {
	return path == "/admin" || path == applications || strings.HasPrefix(path, applications+"/")
}

// act answers one request of a visit, or returns the error that stopped it.
type act func(w http.ResponseWriter, r *http.Request, v *visit) error

// Handler is the site map. What is not here is not found; errors go to the
// edge.
func (o *Office) Handler() http.Handler {
	mux := http.NewServeMux()
	read := func(pattern string, f act) { mux.Handle("GET "+pattern, o.Edge.Handle(o.staff(f))) }
	write := func(pattern string, shown, done act) {
		mux.Handle("GET "+pattern, o.Edge.Handle(o.staff(o.proven(shown))))
		mux.Handle("POST "+pattern, o.Edge.Handle(o.staff(o.proven(done))))
	}
	one := applications + "/{app}"

	read("/admin", func(w http.ResponseWriter, _ *http.Request, _ *visit) error { return to(w, applications) })
	read(applications, o.getApplications)
	mux.Handle("POST "+applications, o.Edge.Handle(o.staff(o.proven(o.postAdd))))
	read(one, o.getApplication)
	read(one+"/paste", o.getPaste)
	read(one+"/file", o.getFile)
	read(one+"/try", o.getTry)
	mux.Handle("POST "+one+"/try", o.Edge.Handle(o.staff(o.postTry)))
	write(one+"/edit", o.getEdit, o.postEdit)
	write(one+"/secrets", o.getSecrets, o.postSecrets)
	write(one+"/remove", o.getRemove, o.postRemove)

	mux.Handle("/", o.Edge.Handle(o.staff(func(http.ResponseWriter, *http.Request, *visit) error {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "office"}
	})))
	// The mux would lead to the tidy form of a path with 307, which repeats what
	// was posted (RFC 9700 §4.12). Nothing of ours is written so.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "//") || strings.Contains(r.URL.Path+"/", "/./") || strings.Contains(r.URL.Path+"/", "/../") {
			o.Edge.Handle(func(http.ResponseWriter, *http.Request) error {
				return &parvis.Error{Code: parvis.CodeNotFound, Op: "office"}
			}).ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// app finds the application that the path names, and how it is kept: its row is
// empty when it stands in the configuration file.
func (o *Office) app(r *http.Request) (parvis.App, store.AppRow, error) {
	app, ok := o.Register.App(parvis.AppID(r.PathValue("app")))
	if !ok {
		return parvis.App{}, store.AppRow{}, &parvis.Error{Code: parvis.CodeNotFound, Op: "office.app"}
	}
	if o.Register.Declares(app.ID) {
		return app, store.AppRow{}, nil
	}
	row, err := o.Store.App(r.Context(), app.ID)
	if err != nil {
		return parvis.App{}, store.AppRow{}, err
	}
	return row.App, row, nil
}

// place is where one page of an application is.
func place(id parvis.AppID, page string) string {
	path := applications + "/" + url.PathEscape(string(id))
	if page != "" {
		path += "/" + page
	}
	return path
}

func (o *Office) now() time.Time {
	if o.Zone == nil {
		return o.Clock()
	}
	return o.Clock().In(o.Zone)
}

func (o *Office) local(t time.Time) time.Time {
	if o.Zone == nil || t.IsZero() {
		return t
	}
	return t.In(o.Zone)
}

// voice says sentences in one language.
type voice struct {
	o    *Office
	lang text.Lang
	all  text.Args
}

func (o *Office) voice(l text.Lang) voice {
	all := text.Args{}
	if o.Values != nil {
		all = maps.Clone(o.Values(l))
	}
	all["now"] = o.now()
	return voice{o, l, all}
}

func (s voice) say(key string, more ...text.Args) string {
	values := s.all
	if len(more) > 0 {
		values = maps.Clone(values)
		for _, m := range more {
			maps.Copy(values, m)
		}
	}
	return s.o.Words.Say(s.lang, key, values)
}

// sayOr says the first of the keys that the catalogue has.
func (s voice) sayOr(args text.Args, keys ...string) string {
	for _, key := range keys {
		if s.o.Words.Has(key) {
			return s.say(key, args)
		}
	}
	return ""
}

func (s voice) words(w parvis.Words) string { return w.In(string(s.lang)) }

func (s voice) channels(list []parvis.Channel) string {
	if len(list) == 0 {
		return s.say("office.none.channels")
	}
	var all []string
	for _, ch := range parvis.Channels() { // in their order, whatever was written
		if slices.Contains(list, ch) {
			all = append(all, s.say("channel."+string(ch)+".label"))
		}
	}
	return strings.Join(all, ", ")
}

// when writes a moment; never for none.
func (s voice) when(t time.Time) string {
	if t.IsZero() {
		return s.say("office.never")
	}
	return s.say("office.when", text.Args{"when": s.o.local(t)})
}

func args(pairs ...any) text.Args {
	all := text.Args{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i].(string)] = pairs[i+1]
	}
	return all
}
