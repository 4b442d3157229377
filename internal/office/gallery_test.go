package office

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"parvis/internal/page"
)

// TestGallery takes a picture of every screen when PARVIS_GALLERY names a
// directory, and fails when a page is wider than its window.
func TestGallery(t *testing.T) {
	dir := os.Getenv("PARVIS_GALLERY")
	if dir == "" {
		t.Skip("PARVIS_GALLERY is not set")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tn := open(t)
	everyKind(tn, tn.signed(itAgent, "fr"))
	pages := map[string]reply{}
	for _, lang := range []string{"fr", "en"} {
		b := tn.signed(itAgent, lang)
		for name, path := range map[string]string{
			"list": applications, "none": applications + "?q=rien", "add_oidc": applications + "?add=oidc", "add_saml": applications + "?add=saml",
			"one": place("agenda", ""), "file_one": place("paie", ""), "paste_oidc": place("agenda", "paste"), "paste_forward": place("vieux", "paste"),
			"paste_saml": place("sirh", "paste"), "edit": place("agenda", "edit"), "secrets": place("agenda", "secrets"), "try": place("agenda", "try"),
			"file": place("agenda", "file"), "remove": place("agenda", "remove"),
		} {
			pages[lang+"-"+name] = b.get(path)
		}
		pages[lang+"-add_faults"] = b.post(applications, "kind", "oidc", "id", "Mon Appli", "oidc.redirects", "http://x.example.org/\nhttps://y.example.org/#z")
		pages[lang+"-tried_refused"] = b.post(place("finances", "try"), "agent_number", "A100001", "channel", "internal", "proofs", "password")
		pages[lang+"-tried_open"] = b.post(place("agenda", "try"), "agent_number", "A100001", "channel", "internal", "proofs", "totp")
		form := typed(func() (a listed) { a.app, _ = tn.office.Register.App("agenda"); return a }().app)
		form.Set("version", "0")
		form.Set("name.en", "My diary")
		pages[lang+"-conflict"] = b.send(http.MethodPost, place("agenda", "edit"), form)
		pages[lang+"-secret"] = b.post(place("agenda", "secrets"), "act", "add", "overlap", "7", "version", b.get(place("agenda", "secrets")).hidden("version"))
		pages[lang+"-refused"] = tn.signed("A100001", lang).get(applications)
	}
	assets, err := page.NewAssets(page.Brand{Organisation: "Ville d'Exemple"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/assets/", assets)
	mux.HandleFunc("/see/{name}", func(w http.ResponseWriter, r *http.Request) {
		seen := pages[r.PathValue("name")]
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", seen.header.Get("Content-Security-Policy"))
		_, _ = w.Write([]byte(seen.body))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.UserDataDir(t.TempDir()))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	defer stop()
	ctx, cancel := chromedp.NewContext(ctx)
	defer cancel()
	for name := range pages {
		for _, width := range []int64{320, 1366} {
			full := name + "-" + strconv.FormatInt(width, 10)
			if only := os.Getenv("PARVIS_GALLERY_ONLY"); only == "" || strings.Contains(full, only) {
				picture(t, ctx, s.URL+"/see/"+name, filepath.Join(dir, full+".png"), width)
			}
		}
	}
}

func picture(t *testing.T, ctx context.Context, url, file string, width int64) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 800), chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64](`document.fonts.ready.then(() => document.documentElement.scrollWidth)`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	if wide > width {
		t.Errorf("%s: %d px wide in a window of %d", url, wide, width)
	}
	shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, shot, 0o600); err != nil {
		t.Fatal(err)
	}
}
