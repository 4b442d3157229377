package citytest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis"
)

// TestServices uses what the mobile portal promises besides mail, in a browser
// without scripts: pay slips are files, a request for leave goes through its
// states by the city's clock, the directory is reduced before it is asked.
func TestServices(t *testing.T) {
	t.Parallel()
	town := Open(t)
	monday := time.Date(2026, time.November, 23, 9, 0, 0, 0, time.UTC)
	town.SetClock(monday)
	v := town.Visitor(t)
	camille := town.Person("A100001")
	v.SignIn(parvis.Mobile, camille)

	t.Run("pay slips", func(t *testing.T) { readPaySlip(t, v) })
	t.Run("leave", func(t *testing.T) { askForLeave(t, v) })
	t.Run("directory", func(t *testing.T) { searchDirectory(t, v) })

	// A night later the session is over, and the head has answered.
	town.SetClock(monday.Add(25 * time.Hour))
	again := town.Visitor(t)
	again.SignIn(parvis.Mobile, camille)
	p := again.Get(town.App(parvis.Mobile, "conges") + "/")
	p = again.Get(p.Link("/requests/"))
	if !strings.Contains(p.Text(), "Accepté par votre responsable") {
		t.Fatalf("a day later:\n%s", p.Text())
	}
	if p = again.Submit(p, nil); !strings.Contains(p.Text(), "Annulé par vous") {
		t.Errorf("cancelled:\n%s", p.Text())
	}
}

// TestScreensOfServices looks at their pages in both languages, both themes and at
// 320 pixels.
func TestScreensOfServices(t *testing.T) {
	t.Parallel()
	g := openGallery(t)
	camille := g.town.Person("A100001")
	w := openBrowser(t).window(t, "fr")
	w.open(g.town.Portal(parvis.Mobile) + "/signin")
	want(t, w.signIn(camille), "home")
	mobile := func(app, path string) string { return g.town.App(parvis.Mobile, app) + path }
	wrong := func(w *window) seen {
		w.open(mobile("conges", "/"))
		return w.press(`form[action="/requests"] button`)
	}
	g.walk(t, w, []scene{
		at("app-paie", "", mobile("paie", "/")),
		at("app-paie-slip", "", mobile("paie", "/payslips/"+time.Now().AddDate(0, 0, -40).Format("2006-01"))),
		at("app-conges", "", mobile("conges", "/")),
		{name: "app-conges-wrong", come: wrong},
		at("app-annuaire", "", mobile("annuaire", "/search?q=garnier")),
		at("app-messagerie", "", mobile("messagerie", "/")),
	})
}

func readPaySlip(t *testing.T, v *Visitor) {
	p := v.Get(v.Town.App(parvis.Mobile, "paie") + "/")
	link := p.Link("/payslips/2026-10.pdf")
	if link == "" || !strings.Contains(p.Text(), "Portail mobile") {
		t.Fatalf("no pay slip of October:\n%s", p.Text())
	}
	whole := v.Get(link)
	if whole.Status != http.StatusOK || !strings.HasPrefix(whole.Body, "%PDF-") || !strings.Contains(whole.Header.Get("Content-Disposition"), "bulletin-2026-10-A100001.pdf") {
		t.Errorf("%d %v", whole.Status, whole.Header)
	}
	v.Header.Set("Range", "bytes=0-7")
	part := v.Get(link)
	v.Header.Del("Range")
	if part.Status != http.StatusPartialContent || part.Body != whole.Body[:8] {
		t.Errorf("a part of it: %d %q", part.Status, part.Body)
	}
	v.Header.Set("If-None-Match", whole.Header.Get("ETag"))
	again := v.Get(link)
	v.Header.Del("If-None-Match")
	if again.Status != http.StatusNotModified {
		t.Errorf("the same again: %d", again.Status)
	}
}

func askForLeave(t *testing.T, v *Visitor) {
	p := v.Get(v.Town.App(parvis.Mobile, "conges") + "/")
	fields := map[string]string{"kind": "annual", "from": "2026-12-24", "until": "2026-12-21"}
	wrong := v.Submit(p, fields)
	if wrong.Status != http.StatusUnprocessableEntity || !strings.Contains(wrong.Body, `value="2026-12-24"`) || !strings.Contains(wrong.Text(), "Le dernier jour vient avant le premier") {
		t.Fatalf("%d:\n%s", wrong.Status, wrong.Text())
	}
	fields["from"], fields["until"] = fields["until"], fields["from"]
	first := v.Submit(wrong, fields)
	second := v.Submit(wrong, fields) // whoever presses twice asks once
	if first.Status != http.StatusOK || first.URL.String() != second.URL.String() || !strings.Contains(first.Text(), "Demandé, en attente de votre responsable") {
		t.Errorf("%s and %s:\n%s", first.URL, second.URL, first.Text())
	}
}

func searchDirectory(t *testing.T, v *Visitor) {
	mobile, office := v.Town.App(parvis.Mobile, "annuaire"), v.Town.App(parvis.Internal, "annuaire")
	p := v.Get(mobile + "/search?q=garnier")
	if !strings.Contains(p.Text(), "Hélène Garnier") || p.Link("/export.csv") != "" || p.Link("/cards/") != "" {
		t.Errorf("the reduced version: %d\n%s", p.Status, p.Text())
	}
	// Refused before the application, with a reason and a way.
	for _, path := range []string{"/export.csv", "/cards/A100003", "/document", "/search/../export.csv", "//export.csv"} {
		if p := v.Get(mobile + path); !p.Has("app_reduced_here") && p.Status < http.StatusBadRequest || strings.Contains(p.Body, "garnier@") {
			t.Errorf("%s: %d %v\n%s", path, p.Status, p.Reasons, p.Text())
		}
	}
	if p := v.Get(mobile + "/export.csv"); p.Screen != "why_not" || !p.Has("app_reduced_here") {
		t.Errorf("the export on the mobile portal: %d %s %v", p.Status, p.Screen, p.Reasons)
	}
	inside := v.Town.Visitor(t)
	inside.SignIn(parvis.Internal, v.Town.Person("A100001"))
	p = inside.Get(office + "/search?q=garnier")
	if p.Link("/cards/A100003") == "" || p.Link("/export.csv") == "" {
		t.Errorf("the whole version:\n%s", p.Text())
	}
	if p := inside.Get(office + "/export.csv"); p.Status != http.StatusOK || !strings.Contains(p.Body, "helene.garnier@example.org") {
		t.Errorf("the export: %d\n%s", p.Status, p.Body)
	}
}
