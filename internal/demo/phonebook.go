package demo

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"parvis"
)

// service is a department and how to reach it.
type service struct{ Name, Phone string }

// entry is a person as the directory shows them.
type entry struct {
	Number                          string
	Name, Job, Unit, Service, Phone string
	Email                           string
}

// phoneBook serves the directory: it searches people and departments. Cards and
// the export are in the whole version only, where the door refuses them before
// the application does (App.ReducedTo).
func (c *counter) phoneBook(mux *http.ServeMux) {
	entries, services := c.book()
	type found struct {
		Query    string
		People   []entry
		Services []service
	}
	mux.HandleFunc("GET /{$}", c.to(func(v *visit) {
		v.show("book", c.app.App.Purpose.In(string(v.Lang)), found{Services: services})
	}))
	mux.HandleFunc("GET /search", c.to(func(v *visit) {
		data := found{Query: strings.TrimSpace(v.r.URL.Query().Get("q"))}
		words := strings.Fields(fold(data.Query))
		for _, e := range entries {
			if len(words) > 0 && holds(e.Name+" "+e.Unit+" "+e.Job, words) {
				data.People = append(data.People, e)
			}
		}
		for _, s := range services {
			if holds(s.Name, words) {
				data.Services = append(data.Services, s)
			}
		}
		v.show("book", c.app.App.Purpose.In(string(v.Lang)), data)
	}))
	whole := func(answer func(*visit)) http.HandlerFunc {
		return c.to(func(v *visit) {
			if v.Limited {
				v.showAs(http.StatusForbidden, "problem", v.T("demo.whole_only.title"), v.T("demo.whole_only.why"))
				return
			}
			answer(v)
		})
	}
	mux.HandleFunc("GET /cards/{number}", whole(func(v *visit) {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.Number == v.r.PathValue("number") })
		if i < 0 {
			v.missing()
			return
		}
		v.show("card", entries[i].Name, entries[i])
	}))
	mux.HandleFunc("GET /export.csv", whole(func(v *visit) {
		v.file("annuaire.csv", "text/csv; charset=utf-8", v.export(entries))
	}))
}

// book makes the directory of the people of the city, by name, and of their
// departments.
func (c *counter) book() ([]entry, []service) {
	phones := map[parvis.UnitPath]string{}
	var services []service
	var entries []entry
	for _, p := range c.people {
		name := string(p.Unit)[strings.LastIndexByte(string(p.Unit), '/')+1:]
		if phones[p.Unit] == "" {
			phones[p.Unit] = fmt.Sprintf("01 99 00 20 %02d", 10+len(phones))
			services = append(services, service{name, phones[p.Unit]})
		}
		entries = append(entries, entry{string(p.Number), p.Name, p.job, strings.ReplaceAll(string(p.Unit), "/", ", "), name, phones[p.Unit], p.Email})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(fold(a.Name), fold(b.Name)) })
	slices.SortFunc(services, func(a, b service) int { return strings.Compare(fold(a.Name), fold(b.Name)) })
	return entries, services
}

// fold forgets case and accents.
func fold(s string) string { return strings.ReplaceAll(ascii(strings.ToLower(s)), "-", " ") }

func holds(s string, words []string) bool {
	s = fold(s)
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s, w) })
}

// export writes the directory as spreadsheets read it.
func (v *visit) export(entries []entry) []byte {
	var b bytes.Buffer
	b.WriteString("\ufeff") // so that a spreadsheet reads the accents
	w := csv.NewWriter(&b)
	w.Comma, w.UseCRLF = ';', true
	_ = w.Write([]string{v.T("demo.book.name"), v.T("demo.book.job"), v.T("demo.book.service"), v.T("demo.book.phone"), v.T("demo.book.email")}) // a buffer takes everything
	for _, e := range entries {
		row := []string{e.Name, e.Job, e.Unit, e.Phone, e.Email}
		for i, cell := range row {
			if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") {
				row[i] = "'" + cell // a spreadsheet would compute it
			}
		}
		_ = w.Write(row) // likewise
	}
	w.Flush()
	return b.Bytes()
}
