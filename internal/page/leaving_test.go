package page

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// testLeaving are the pages that a script leaves at once, or that ask other
// sites: they are in no gallery.
func testLeaving(lang string) []Page {
	t := say(lang)
	pages := []Page{
		{Screen: "hand_over", Title: t("Vous continuez vers Wiki", "You go on to Wiki"), Body: AutoPost{
			Action: "https://wiki.example.org/acs", Fields: []Hidden{{"SAMLResponse", "PHg+"}, {"RelayState", "x"}},
			Button: Button{Text: t("Continuer", "Continue"), Kind: "primary"},
		}},
		{Screen: "signed_out", Title: t("Votre session est fermée", "You are signed out"), Body: Frames{
			URLs: []string{"https://wiki.example.org/out?sid=1"}, Then: Button{Text: t("Continuer", "Continue"), Href: "/"},
		}},
		{Screen: "elsewhere", Title: t("Ailleurs", "Elsewhere"), Body: Stack{
			Launcher{{Tiles: []Tile{{Name: "Wiki", For: t("Notes", "Notes"), Href: "https://wiki.example.org/", Out: true, State: State{Open, t("Ouvrir", "Open")}}}}},
			Links{{Text: "Wiki", Href: "https://wiki.example.org/", Out: true}},
			Actions{{Text: t("Ouvrir", "Open"), Href: "https://wiki.example.org/", Out: true}},
		}},
	}
	for i := range pages {
		pages[i].Lang, pages[i].Chrome = lang, testChrome(lang, false)
	}
	return pages
}

// TestOutIsMarked: what leads to another site says so, and opens nothing.
func TestOutIsMarked(t *testing.T) {
	out := rendered(t, testLeaving("fr")[2])
	if n := strings.Count(out, `rel="noopener"`); n != 3 {
		t.Errorf("%d links of 3 are marked", n)
	}
	if n := strings.Count(out, "(site extérieur)"); n != 3 {
		t.Errorf("%d links of 3 say so", n)
	}
}

func TestOnlyAddressesAreFramed(t *testing.T) {
	out := rendered(t, Frames{URLs: []string{"javascript:alert(1)", "https://a.example/?x=1&y=2"}})
	if strings.Contains(out, "javascript:") || !strings.Contains(out, `src="https://a.example/?x=1&amp;y=2"`) || strings.Contains(out, "data-frames") {
		t.Error(out)
	}
}

// TestLeaving: a browser posts the form at once, to where the policy lets it; and
// goes on once the frames have answered.
func TestLeaving(t *testing.T) {
	if os.Getenv("PARVIS_TEST_BROWSER") == "none" {
		t.Skip("PARVIS_TEST_BROWSER is none")
	}
	posted, framed := make(chan string, 4), make(chan string, 4)
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch {
		case r.URL.Path == "/out", r.URL.Path == "/then":
			framed <- r.URL.RequestURI()
		case r.Method == http.MethodPost:
			posted <- r.FormValue("SAMLResponse") + " " + r.FormValue("RelayState")
		}
		_, _ = w.Write([]byte("<!DOCTYPE html><title>far</title><p id=far>there"))
	}))
	t.Cleanup(far.Close)
	mux := http.NewServeMux()
	mux.Handle("/assets/", plainAssets())
	mux.HandleFunc("/see/{n}", func(w http.ResponseWriter, r *http.Request) {
		p := testLeaving("fr")[0]
		p.Body = AutoPost{Action: far.URL + "/acs", Fields: []Hidden{{"SAMLResponse", "PHg+ &\""}, {"RelayState", "é"}}, Button: Button{Text: "Continuer"}}
		if r.PathValue("n") == "frames" {
			p.Body = Frames{URLs: []string{far.URL + "/out?sid=1", far.URL + "/out?sid=2"}, Then: Button{Text: "Continuer", Href: far.URL + "/then"}}
		}
		w.Header().Set("Content-Security-Policy", strings.Replace(csp, "form-action 'self'", "form-action 'self' "+far.URL, 1)+"; frame-src "+far.URL)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := p.Render(r.Context(), w); err != nil {
			t.Error(err)
		}
	})
	near := httptest.NewServer(mux)
	t.Cleanup(near.Close)
	ctx, cancel := browser(t)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, 60*time.Second)
	defer stop()
	// A page that leaves while it loads may be told as one that did not load.
	open := func(name string) {
		if err := chromedp.Do(ctx, chromedp.Navigate(near.URL+"/see/"+name)); err != nil {
			t.Logf("%s: %v", name, err)
		}
	}
	open("post")
	select {
	case got := <-posted:
		if got != "PHg+ &\" é" {
			t.Errorf("posted %q", got)
		}
	case <-ctx.Done():
		t.Fatal("nothing was posted")
	}
	open("frames")
	seen := map[string]bool{}
	for !seen["/then"] {
		select {
		case path := <-framed:
			if path == "/then" && len(seen) < 2 {
				t.Errorf("it went on before the frames: %v", seen)
			}
			seen[path] = true
		case <-ctx.Done():
			t.Fatalf("it did not go on: %v", seen)
		}
	}
	if !seen["/out?sid=1"] || !seen["/out?sid=2"] {
		t.Errorf("framed %v", seen)
	}
}
