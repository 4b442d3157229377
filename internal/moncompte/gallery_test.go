package moncompte

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
	"golang.org/x/oauth2"

	"parvis/internal/store/storetest"
)

// TestGallery takes a picture of every screen when PARVIS_GALLERY names a
// directory. It fails when a page is wider than its window.
func TestGallery(t *testing.T) {
	dir := os.Getenv("PARVIS_GALLERY")
	if dir == "" {
		t.Skip("PARVIS_GALLERY is not set")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pages := map[string]answer{}
	var last *town
	for _, lang := range []string{"fr", "en"} {
		for _, theme := range []string{"light", "dark"} {
			clock := new(storetest.Clock)
			last = open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "parvis.db"), clock), clock)
			for name, a := range screens(last, lang, theme) {
				pages[name+"-"+lang+"-"+theme] = a
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/assets/", last.s.serveAssets)
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
		if only := os.Getenv("PARVIS_GALLERY_ONLY"); only != "" && !strings.Contains(name, only) {
			continue
		}
		for _, width := range []int64{320, 1366} {
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 800), chromedp.Navigate(s.URL+"/see/"+name)); err != nil {
				t.Fatal(err)
			}
			wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64](`document.fonts.ready.then(() => document.documentElement.scrollWidth)`, chromedp.EvalAwaitPromise))
			if err != nil {
				t.Fatal(err)
			}
			if wide > width {
				t.Errorf("%s: %d px wide in a window of %d", name, wide, width)
			}
			shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name+"-"+strconv.FormatInt(width, 10)+".png"), shot, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// screens walks through the service and keeps what it saw.
func screens(tn *town, lang, theme string) map[string]answer {
	visit := func() *browser {
		b := tn.browser()
		b.lang = lang
		b.post("/theme", "theme", theme)
		return b
	}
	b := visit()
	all := map[string]answer{"start": b.get("/"), "create": b.get("/create"), "recover": b.get("/recover"), "offline": b.get("/offline?lang=" + lang), "missing": b.get("/nowhere")}
	all["signin"] = b.get(tn.ask("agents", oauth2.GenerateVerifier())).follow()
	all["signin-wrong"] = b.post("/signin", "flow", all["signin"].hidden("flow"), "email", address, "password", "faux")
	all["create-wrong"] = b.post("/create", "email", "x", "new_password", "court")
	all["confirm"] = b.post("/create", "name", "Camille Moreau", "email", address, "new_password", right).follow()
	all["confirm-wrong"] = b.post("/confirm", "id", all["confirm"].hidden("id"), "code", "000000")
	all["confirm-link"] = visit().get(strings.TrimPrefix(tn.latest("moncompte_confirm").link(), tn.url))
	all["over"] = visit().get("/confirm?id=x")
	all["account"] = b.post("/confirm", "id", all["confirm"].hidden("id"), "code", tn.latest("moncompte_confirm").code()).follow()
	all["sign-out"] = b.get("/logout?client_id=agents")
	all["password"] = b.get("/password")
	all["signed-out"] = b.post("/signout")
	all["recover-new"] = b.post("/recover", "email", address).follow()
	other := visit()
	for range freeTries + 2 {
		all["locked"] = other.signIn(address, "faux")
	}
	return all
}
