package page

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// csp is the policy that pages are made for.
const csp = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; worker-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"

func galleryServer(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/assets/", plainAssets())
	mux.Handle("/sw.js", plainAssets())
	mux.Handle("/manifest.webmanifest", plainAssets())
	mux.HandleFunc("/csp", func(_ http.ResponseWriter, r *http.Request) {
		report, _ := io.ReadAll(r.Body)
		t.Errorf("the browser refused something: %s", report)
	})
	mux.HandleFunc("/see/{lang}/{screen}", func(w http.ResponseWriter, r *http.Request) {
		for _, p := range testScreens(r.PathValue("lang")) {
			if p.Screen == r.PathValue("screen") {
				w.Header().Set("Content-Security-Policy", csp+"; report-uri /csp")
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				p.Chrome.Theme.Current = r.URL.Query().Get("theme")
				if err := p.Render(r.Context(), w); err != nil {
					t.Error(err)
				}
				return
			}
		}
		http.NotFound(w, r)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// TestGallery takes a picture of every screen when PARVIS_GALLERY names a
// directory. PARVIS_GALLERY_ONLY keeps some ("fr/start@320/dark,…", each part
// matched anywhere in the name). It fails when a page is wider than its window
// or when the browser had something to complain about.
func TestGallery(t *testing.T) {
	dir := os.Getenv("PARVIS_GALLERY")
	if dir == "" {
		t.Skip("PARVIS_GALLERY is not set")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := galleryServer(t)
	ctx, cancel := browser(t)
	defer cancel()
	for _, lang := range []string{"fr", "en"} {
		for _, p := range testScreens(lang) {
			for _, width := range []int64{320, 768, 1366} {
				for _, theme := range []string{"light", "dark"} {
					name := lang + "-" + p.Screen + "-" + map[int64]string{320: "320", 768: "768", 1366: "1366"}[width] + "-" + theme
					if !wanted(name) {
						continue
					}
					picture(t, ctx, s.URL+"/see/"+lang+"/"+p.Screen+"?theme="+theme, filepath.Join(dir, name+".png"), width)
				}
			}
		}
	}
}

// TestRefusalPrintsOnOneSheet runs with the gallery: it needs a browser.
func TestRefusalPrintsOnOneSheet(t *testing.T) {
	dir := os.Getenv("PARVIS_GALLERY")
	if dir == "" {
		t.Skip("PARVIS_GALLERY is not set")
	}
	s := galleryServer(t)
	ctx, cancel := browser(t)
	defer cancel()
	for _, lang := range []string{"fr", "en"} {
		if err := chromedp.Do(ctx, chromedp.Navigate(s.URL+"/see/"+lang+"/why_not?theme=dark")); err != nil {
			t.Fatal(err)
		}
		pdf, err := chromedp.Run(ctx, chromedp.PrintToPDF(chromedp.PDFPaper(chromedp.PaperA4), chromedp.PDFPrintBackground()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, lang+"-why_not.pdf"), pdf, 0o644); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(pdf, []byte("/Type /Page\n")) + bytes.Count(pdf, []byte("/Type /Page/")); n != 1 {
			t.Errorf("%s: the refusal prints on %d sheets", lang, n)
		}
		// The same sheet as a picture, to be looked at.
		err = chromedp.Do(ctx, chromedp.EmulateViewport(680, 1000), printed)
		if err != nil {
			t.Fatal(err)
		}
		shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, lang+"-why_not-print.png"), shot, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func printed(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	return cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
}

func browser(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.UserDataDir(t.TempDir()))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(ctx)
	return ctx, func() { cancel(); stop() }
}

func wanted(name string) bool {
	only := os.Getenv("PARVIS_GALLERY_ONLY")
	if only == "" {
		return true
	}
	for part := range strings.SplitSeq(only, ",") {
		ok := true
		for bit := range strings.FieldsSeq(part) {
			ok = ok && strings.Contains(name, bit)
		}
		if ok {
			return true
		}
	}
	return false
}

func picture(t *testing.T, ctx context.Context, url, file string, width int64) {
	t.Helper()
	err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 800), chromedp.Navigate(url))
	if err != nil {
		t.Fatal(err)
	}
	wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64](`document.fonts.ready.then(() => document.documentElement.scrollWidth)`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	if wide > width {
		t.Errorf("%s: %d px wide in a window of %d", url, wide, width)
	}
	// What scripts add is there: otherwise they stopped on the way.
	ran, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!document.querySelector("[data-copy][hidden], [data-show][hidden]")`))
	if err != nil {
		t.Fatal(err)
	}
	if !ran {
		t.Errorf("%s: scripts did not run", url)
	}
	shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.HasPrefix(shot, []byte("\x89PNG")) {
		err = os.WriteFile(file, shot, 0o644)
	} else {
		err = os.WriteFile(strings.TrimSuffix(file, ".png")+".jpg", shot, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
