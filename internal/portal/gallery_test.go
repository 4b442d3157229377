package portal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/text"
)

// TestGallery takes a picture of every screen when PARVIS_GALLERY names a
// directory. PARVIS_GALLERY_ONLY keeps some ("fr home 320,…": each word found
// in the name). It fails when a page is wider than its window.
func TestGallery(t *testing.T) {
	dir := os.Getenv("PARVIS_GALLERY")
	if dir == "" {
		t.Skip("PARVIS_GALLERY is not set")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tn := open(t)
	reduced := wiki()
	reduced.ID, reduced.Upstream, reduced.OIDC, reduced.CAS = "notes", "http://127.0.0.1:9", nil, nil
	reduced.Reduced, reduced.ReducedCan = []parvis.Channel{parvis.Mobile}, parvis.Words{FR: "chercher et lire", EN: "search and read"}
	reduced.ReducedNot = parvis.Words{FR: "exporter la liste", EN: "export the list"}
	tn.declare(wiki(), reduced)
	pages := map[string]reply{}
	for _, lang := range []string{"fr", "en"} {
		for _, theme := range []string{"light", "dark"} {
			for name, r := range screens(tn, lang, theme) {
				pages[lang+"-"+name+"-"+theme] = r
			}
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/assets/", tn.portal.assets())
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
			if wanted(full) {
				picture(t, ctx, s.URL+"/see/"+name, filepath.Join(dir, full+".png"), width)
			}
		}
	}
}

func wanted(name string) bool {
	only := os.Getenv("PARVIS_GALLERY_ONLY")
	if only == "" {
		return true
	}
	for part := range strings.SplitSeq(only, ",") {
		ok := true
		for word := range strings.FieldsSeq(part) {
			ok = ok && strings.Contains(name, word)
		}
		if ok {
			return true
		}
	}
	return false
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

// screens walks through the city and keeps what it saw.
func screens(tn *town, lang, theme string) map[string]reply {
	all := map[string]reply{}
	visit := func(ch parvis.Channel) *visitor {
		b := tn.from(ch, lang)
		b.cookies[cookieTheme] = theme
		return b
	}
	out := visit(parvis.Mobile)
	for name, path := range map[string]string{
		"start": "/", "help": "/help", "help_channels": "/channel", "recover_start": "/recover", "diagnosis": "/diagnosis", "legal": "/legal", "privacy": "/privacy",
		"sign_in_identifier": "/signin", "signed_out": "/signout", "activation_code": "/activate", "offline": "/offline?lang=" + lang, "not_found": "/nowhere",
	} {
		all[name] = out.get(path)
	}
	second := out.post("/signin", "identifier", "A199998")
	all["sign_in_secret"] = second
	for i := range 6 {
		r := out.post("/signin", "flow", second.hidden("flow"), "password", "faux "+strconv.Itoa(i)+lang+theme)
		if r.screen() == "sign_in_secret" {
			all["sign_in_secret_wrong"] = r
		} else {
			all["locked_wait"] = r
		}
	}
	all["activation_code_sent"] = out.post("/activate", "agent_number", "A1", "email", "a@example.org")
	all["activation_code_wrong"] = out.post("/activate", "agent_number", "", "email", "")
	inside := visit(parvis.Mobile)
	inside.host = internalHost
	all["blocked"] = inside.get("/")

	in := visit(parvis.Mobile).signIn("A100001")
	for name, path := range map[string]string{
		"home": "/", "app_detail": "/app/finances", "app_detail_reduced": "/app/annuaire", "security": "/security", "security_password": "/security/password", "sessions": "/sessions", "activity": "/activity",
		"why_not": "/why/" + refuse(tn, "A100001", "finances", parvis.Mobile), "why_not_assigned": "/why/" + refuse(tn, "A100001", "social", parvis.Mobile), "sign_out": "/signout",
	} {
		all[name] = in.get(path)
	}
	office := visit(parvis.Internal).signIn("A100001")
	all["home_office"], all["app_detail_office"] = office.get("/"), office.get("/app/finances")
	off := visit(parvis.Internal).signIn("A100007")
	all["home_off"], all["why_off"] = off.get("/"), off.get("/why/"+refuse(tn, "A100007", "messagerie", parvis.Internal))

	code, _, err := tn.portal.Desk.Issue(context.Background(), "A100008", "operator:test")
	if err != nil {
		tn.t.Fatal(err)
	}
	fresh := visit(parvis.Mobile)
	fresh.get("/activate?link=TOKEN")
	all["activation_link"] = fresh.get("/activate/link")
	fresh.post("/activate", "code", code.Reveal())
	for _, path := range []string{"overview", "identity", "password", "verifier", "second", "contact", "channels"} {
		all["activation_"+path] = fresh.get("/activate/" + path)
	}
	all["activation_password_weak"] = fresh.post("/activate/password", "new_password", "Benali123")
	agent, standing, err := tn.portal.Directory.Facts(context.Background(), "A100008")
	if err != nil {
		tn.t.Fatal(err)
	}
	v := tn.portal.receive(httptest.NewRequest(http.MethodGet, "http://"+mobileHost+"/activate/done", nil))
	v.origin, v.lang, v.theme, v.door = parvis.Origin{Channel: parvis.Mobile}, text.Lang(lang), theme, parvis.Mobile
	w := httptest.NewRecorder()
	if err := v.show(w, httptest.NewRequest(http.MethodGet, "/activate/done", nil), http.StatusOK, v.activatedPage(agent, standing, store.Activation{})); err != nil {
		tn.t.Fatal(err)
	}
	all["activation_done"] = reply{body: w.Body.String(), header: w.Header()}
	secondScreens(tn, visit, all)
	appScreens(tn, visit, all, lang+theme)
	arrivalScreens(tn, visit, all)
	tn.clock.Move(31 * time.Minute) // the budgets of this walk are not those of the next
	return all
}

// secondScreens are those of the second proof; A100010 has none before, nor after.
func secondScreens(tn *town, visit func(parvis.Channel) *visitor, all map[string]reply) {
	const list = "/security/factors"
	office := visit(parvis.Internal).signIn("A100010")
	all["factors_none"], all["factor_help"], all["factor_request"] = office.get(list), office.get(list+"/help"), office.get(list+"/request")
	all["factor_help_best"], all["factor_help_none"] = office.post(list+"/help", "have", "computer"), office.post(list+"/help", "have", "none")
	all["factor_request_sent"] = office.post(list+"/help", "have", "unknown")
	all["factor_totp"], all["factor_sms"], all["factor_passkey"], all["factor_codes"] = office.get(list+"/totp"), office.get(list+"/sms"), office.get(list+"/passkey"), office.get(list+"/codes")
	all["factor_sms_code"] = office.post(list+"/sms", "send", "1", "phone", "06 12 34 56 78")
	out := visit(parvis.Mobile).signIn("A100010")
	all["factors_outside"], all["factor_forbidden"] = out.get(list), out.get(list+"/totp")
	all["prove_password"] = out.get("/prove")
	secret := office.addTOTP(list + "/totp")
	all["factors_one"] = office.get(list + "?added=totp")
	id := heldShape.FindStringSubmatch(all["factors_one"].body)[1]
	all["factor_one"], all["factor_remove"], all["factor_lost_it"] = office.get(list+"/"+id), office.get(list+"/"+id+"?remove=1"), office.get(list+"/"+id+"?lost=1")
	all["factor_codes_sheet"] = office.post(list + "/codes")
	all["factors_two"] = office.get(list)
	tn.clock.Move(time.Minute)
	door := visit(parvis.Mobile)
	all["second_factor"] = door.upTo("A100010", "/signin")
	all["second_factor_late"] = door.post("/signin", "flow", all["second_factor"].hidden("flow"), "code", codeAt(tn.t, secret, tn.clock.Now().Add(-3*time.Minute)))
	all["second_factor_recovery"] = door.post("/signin", "flow", all["second_factor"].hidden("flow"), "method", "recovery_code")
	all["second_factor_temporary"] = door.post("/signin", "flow", all["second_factor"].hidden("flow"), "method", "temporary_code")
	all["factor_lost"] = door.post("/lost", "flow", all["second_factor"].hidden("flow"))
	for _, m := range heldShape.FindAllStringSubmatch(all["factors_two"].body, -1) {
		office.post(list+"/"+m[1], "act", "lost").to(list + "?lost=1")
	}
}
