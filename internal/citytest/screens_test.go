package citytest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parvis"
)

// scene is one screen and how a window comes to it. go is called once for each
// language, in the same window.
type scene struct {
	name   string // of the pictures; the screen's when empty
	screen string
	come   func(w *window) seen
}

func (s scene) title() string {
	if s.name != "" {
		return s.name
	}
	return s.screen
}

// at comes to a screen by its address.
func at(name, screen, address string) scene {
	return scene{name, screen, func(w *window) seen { return w.open(address) }}
}

// gallery looks at screens in both languages, both themes and three sizes.
type gallery struct {
	town *Town
	axe  string
}

// openGallery opens a city to be looked at.
func openGallery(t *testing.T) *gallery {
	t.Helper()
	town := Open(t, "--data", t.TempDir())
	town.SetClock(officeDay(t, 10, 0))
	axe, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	return &gallery{town, string(axe)}
}

// TestScreens goes to every screen of the city, and looks at it in both
// languages and both themes, 320 and 1366 pixels wide and at twice the size.
// Those of proofs are in TestScreensOfProofs, for two processors to share.
func TestScreens(t *testing.T) {
	t.Parallel()
	g := openGallery(t)
	leave(t, g.town, g.town.Person("A100030"))
	b := openBrowser(t)
	t.Run("axe", func(t *testing.T) { g.awake(t, b) })
	t.Run("square", func(t *testing.T) { g.walk(t, b.window(t, "fr"), g.square()) })
	t.Run("door", func(t *testing.T) { g.walk(t, b.window(t, "fr"), g.door()) })
	t.Run("activation", func(t *testing.T) { g.activation(t, b) })
	t.Run("agent", func(t *testing.T) { g.agent(t, b) })
	t.Run("expired", func(t *testing.T) { g.expired(t, b) })
}

func TestScreensOfProofs(t *testing.T) {
	t.Parallel()
	g := openGallery(t)
	b := openBrowser(t)
	t.Run("proofs", func(t *testing.T) { g.proofs(t, b) })
	t.Run("second", func(t *testing.T) { g.second(t, b) })
	t.Run("verifier", func(t *testing.T) { g.verifier(t, b) })
}

// leave imports an HR file by which somebody left long ago.
func leave(t *testing.T, town *Town, who Person) {
	t.Helper()
	given, family, _ := strings.Cut(who.Name, " ")
	name := filepath.Join(t.TempDir(), "hr.csv")
	file := "agent_number;civil_family_name;given_names;org_unit_path;siret;staff_category;statutory_position;contract_start;contract_end;professional_email\n" +
		strings.Join([]string{who.Number, family, given, who.Unit, "21750001600019", "titulaire", "activité", "2020-01-01", "2023-01-31", who.Email}, ";") + "\n"
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, status := Run(t, "agent", "import", name, "--data", town.Data, "--override", "The test"); status != 0 {
		t.Fatalf("import: status %d\n%s%s", status, out, errs)
	}
}

// walk goes from scene to scene, in one language and then in the other.
func (g *gallery) walk(t *testing.T, w *window, scenes []scene) {
	t.Helper()
	for _, lang := range []string{"fr", "en"} {
		w.speak(lang)
		for _, sc := range scenes {
			g.look(t, w, lang, sc)
		}
	}
}

func (g *gallery) look(t *testing.T, w *window, lang string, sc scene) {
	t.Helper()
	w.look(1366, 1, false)
	s := sc.come(w)
	name := sc.title() + " " + lang
	if s.Screen != sc.screen || s.Lang != lang {
		t.Errorf("%s: screen %q in %q at %s:\n%s", name, s.Screen, s.Lang, s.URL, s.Text)
		return
	}
	for _, raw := range []string{"⟦", "=?utf-8"} { // a sentence that is missing; a header of a message (RFC 2047) that is none for people
		if i := strings.Index(s.Source, raw); i >= 0 {
			t.Errorf("%s: not for people: %.80s", name, s.Source[i:])
		}
	}
	if s.Title == "" {
		t.Errorf("%s has no title", name)
	}
	// What is too wide depends on the language, what is too pale on the theme:
	// French is looked at in the light, English in the dark. For pictures, all.
	themes := []bool{lang == "en"}
	if os.Getenv("PARVIS_SHOTS") != "" {
		themes = []bool{false, true}
	}
	for _, dark := range themes {
		theme := map[bool]string{false: "light", true: "dark"}[dark]
		for _, width := range []int64{320, 1366} {
			w.look(width, 1, dark)
			g.fits(t, w, fmt.Sprintf("%s %d", name, width))
			if dark == (lang == "en") && (width == 320) == (lang == "fr") { // each language and theme, each width
				for _, fault := range w.accessible(g.axe) {
					t.Errorf("%s %s %d: %s", name, theme, width, fault)
				}
			}
			w.shot(fmt.Sprintf("%s-%s-%d-%s", sc.title(), lang, width, theme))
		}
	}
	w.look(1366, 2, false)
	g.fits(t, w, name+" at 200 %")
	w.quiet()
}

// awake shows the examiner what it must not let through.
func (g *gallery) awake(t *testing.T, b *browser) {
	w := b.window(t, "fr")
	w.open("data:text/html,<title>x</title><body><p style='color:%23aaa'>pale</p><img src='data:,'><input>")
	found := strings.Join(w.accessible(g.axe), "\n")
	for _, rule := range []string{"color-contrast", "image-alt", "label", "html-has-lang"} {
		if !strings.Contains(found, rule+" (") {
			t.Errorf("the examiner does not see %s:\n%s", rule, found)
		}
	}
}

// fits tells whether anything reaches beyond the window's side.
func (g *gallery) fits(t *testing.T, w *window, name string) {
	t.Helper()
	if s := w.see(); s.Wide > s.Room {
		t.Errorf("%s: %d pixels wide in %d", name, s.Wide, s.Room)
	}
}

// square is what anybody sees.
func (g *gallery) square() []scene {
	mobile, office := g.town.Portal(parvis.Mobile), g.town.Portal(parvis.Internal)
	return []scene{
		at("", "start", mobile+"/"),
		at("start-office", "start", office+"/"),
		at("", "help", mobile+"/help"),
		at("", "help_channels", mobile+"/channel"),
		at("", "recover_start", mobile+"/recover"),
		at("", "diagnosis", mobile+"/diagnosis"),
		{"diagnosis-wrong", "diagnosis", func(w *window) seen {
			w.open(mobile + "/diagnosis")
			return w.send("reference", "AAAA-AAAA")
		}},
		at("", "legal_notice", mobile+"/legal"),
		at("", "privacy_notice", mobile+"/privacy"),
		at("", "accessibility_statement", mobile+"/accessibility"),
		at("", "signed_out", mobile+"/signout"),
		at("", "not_found", mobile+"/nowhere"),
		at("", "form_expired", mobile+"/lang?to=%zz"),
		at("", "offline", mobile+"/offline"),
	}
}

// door is the way in, and what keeps one out of it.
func (g *gallery) door() []scene {
	mobile := g.town.Portal(parvis.Mobile)
	identify := func(w *window, number string) seen {
		w.open(mobile + "/signin")
		return w.send("identifier", number)
	}
	return []scene{
		at("", "sign_in_identifier", mobile+"/signin"),
		{"sign_in_identifier-required", "sign_in_identifier", func(w *window) seen {
			w.open(mobile + "/signin")
			return w.send("identifier", "")
		}},
		at("", "sign_in_context", g.town.App(parvis.Mobile, "paie")+"/"),
		{"", "sign_in_secret", func(w *window) seen { return identify(w, "A100001") }},
		{"sign_in_secret-wrong", "sign_in_secret", func(w *window) seen {
			identify(w, "A100001")
			return w.send("password", "ce n'est pas cela")
		}},
		{"", "blocked", func(w *window) seen {
			identify(w, "A100030")
			return w.send("password", g.town.Person("A100030").Password)
		}},
		{"", "locked_wait", func(w *window) seen {
			s := identify(w, "A109999")
			for i := 0; s.Screen == "sign_in_secret" && i < 30; i++ {
				s = w.send("password", fmt.Sprintf("essai numéro %d", i))
			}
			return s
		}},
	}
}

// activation is the first day, from the first page to the last.
func (g *gallery) activation(t *testing.T, b *browser) {
	portal := g.town.Portal(parvis.Internal)
	w := b.window(t, "fr")
	moussa := g.town.Person("A100002")
	g.walk(t, w, []scene{
		at("", "activation_code", portal+"/activate"),
		{"activation_code-required", "activation_code", func(w *window) seen {
			w.open(portal + "/activate")
			return w.send("code", "")
		}},
		{"activation_code-wrong", "activation_code", func(w *window) seen {
			w.open(portal + "/activate")
			return w.send("code", "AAAA-AAAA-AAAA")
		}},
		{"activation_code-sent", "activation_code", func(w *window) seen {
			w.open(portal + "/activate")
			w.fill("agent_number", "A109998")
			return w.send("email", "personne@example.org")
		}},
		at("activation_code-link", "activation_code", portal+"/activate?link=unknown"),
	})
	w.open(portal + "/activate")
	want(t, w.send("code", moussa.ActivationCode), "activation_overview")
	step := portal + "/activate/"
	g.walk(t, w, []scene{
		at("", "activation_overview", step+"overview"),
		at("", "activation_check_identity", step+"identity"),
		at("activation_check_identity-wrong", "activation_check_identity", step+"identity?wrong=1"),
		at("", "activation_agent_account", step+"password"),
		{"activation_agent_account-poor", "activation_agent_account", func(w *window) seen {
			w.open(step + "password")
			return w.send("new_password", "diallo2026")
		}},
		at("", "activation_verifier", step+"verifier"),
		at("", "activation_second_factor", step+"second"),
		at("", "activation_contact", step+"contact"),
		at("", "activation_channels", step+"channels"),
	})
	g.walk(t, w, g.arriving())
	g.walk(t, w, g.already())
	w.open(step + "password")
	moussa.Password = "cinq moineaux sur le toit gris"
	want(t, w.send("new_password", moussa.Password), "activation_overview")
	g.walk(t, w, []scene{at("activation_overview-password", "activation_overview", step+"overview")})
	want(t, w.press(`form[action="/activate/finish"] button[type=submit]`), "activation_done")
	g.walk(t, w, []scene{at("", "activation_done", step+"done")})
	w.open(portal + "/signin")
	want(t, w.signIn(moussa), "home")
	g.walk(t, w, []scene{
		at("home-unfinished", "home", portal+"/"),
		at("", "arrival", portal+"/arrival"),
		at("security_verifier-none", "security_verifier", portal+"/security/verifier"),
		at("why_not-verifier", "why_not", g.town.App(parvis.Internal, "messagerie")+"/"),
	})
	w = b.window(t, "fr")
	g.walk(t, w, []scene{typed("activation_code-sign-in", "activation_code", portal+"/activate", "code", moussa.ActivationCode)})
}

// agent is what somebody sees who holds a session.
func (g *gallery) agent(t *testing.T, b *browser) {
	camille := g.town.Person("A100001")
	mobile, office := g.town.Portal(parvis.Mobile), g.town.Portal(parvis.Internal)
	other := g.town.Visitor(t)
	other.SignIn(parvis.Internal, camille) // a second session, to be listed
	w := b.window(t, "fr")
	w.open(mobile + "/signin")
	want(t, w.signIn(camille), "home")
	g.walk(t, w, []scene{
		at("", "home", mobile+"/"),
		at("home-search", "home", mobile+"/?q=paie"),
		at("home-none", "home", mobile+"/?q=xyz"),
		at("app_detail-finances", "app_detail", mobile+"/app/finances"),
		at("app_detail-annuaire", "app_detail", mobile+"/app/annuaire"),
		at("app_detail-social", "app_detail", mobile+"/app/social"),
		at("why_not-finances", "why_not", g.town.App(parvis.Mobile, "finances")+"/"),
		at("why_not-social", "why_not", g.town.App(parvis.Mobile, "social")+"/"),
		at("", "security", mobile+"/security"),
		at("", "sessions", mobile+"/sessions"),
		at("", "activity", mobile+"/activity"),
		at("", "sign_out", mobile+"/signout"),
		at("help_channels-agent", "help_channels", mobile+"/channel"),
	})
	w = b.window(t, "fr")
	w.open(office + "/signin")
	want(t, w.signIn(camille), "home")
	g.walk(t, w, []scene{
		at("home-office", "home", office+"/"),
		at("app_detail-urbanisme", "app_detail", office+"/app/urbanisme"),
		at("why_not-office", "why_not", g.town.App(parvis.Internal, "finances")+"/"),
	})
}

// expired moves the clock: the office closes, then a password ends.
func (g *gallery) expired(t *testing.T, b *browser) {
	office := g.town.Portal(parvis.Internal)
	g.town.SetClock(officeDay(t, 21, 30))
	w := b.window(t, "fr")
	w.open(office + "/signin")
	want(t, w.signIn(g.town.Person("A100001")), "home")
	g.walk(t, w, []scene{at("why_not-closed", "why_not", g.town.App(parvis.Internal, "urbanisme")+"/")})

	at := officeDay(t, 10, 0).AddDate(1, 1, 0)
	paul := g.town.Person("A100005")
	w = b.window(t, "fr")
	change := func(w *window) seen {
		at = at.Add(2 * time.Minute) // each code serves once
		tel := telephone(t, g.town, at, paul.TOTPSecret)
		w.open(office + "/signin")
		want(t, w.signIn(paul), "second_factor")
		return w.send("code", tel.code(0))
	}
	g.walk(t, w, []scene{
		{"", "password_change_required", change},
		{"password_change_required-poor", "password_change_required", func(w *window) seen {
			change(w)
			return w.send("new_password", "nguyen")
		}},
	})
}

// TestScreensWithoutScripts: every form posts, and nothing that needs a script
// is offered, when there is none.
func TestScreensWithoutScripts(t *testing.T) {
	t.Parallel()
	town := Open(t)
	portal := town.Portal(parvis.Mobile)
	w := openBrowser(t).window(t, "fr")
	w.scripts(false)
	w.open(portal + "/activate")
	want(t, w.send("code", town.Person("A100002").ActivationCode), "activation_overview")
	want(t, w.press(`a[href="/activate/identity"]`), "activation_check_identity")
	want(t, w.press(`main form[action="/activate/identity"] button[type=submit]`), "activation_agent_account")
	want(t, w.send("new_password", "cinq moineaux sur le toit gris"), "activation_overview")
	want(t, w.press(`form[action="/activate/finish"] button[type=submit]`), "activation_done")

	w.open(portal + "/signin")
	s := w.signIn(town.Person("A100001"))
	want(t, s, "home")
	noButton(t, w)
	s = w.open(town.App(parvis.Mobile, "finances") + "/")
	want(t, s, "why_not")
	noButton(t, w)
	want(t, w.open(portal+"/diagnosis"), "diagnosis")
	s = w.send("reference", s.Reference)
	want(t, s, "why_not")

	other := town.Visitor(t)
	other.SignIn(parvis.Mobile, town.Person("A100001"))
	want(t, w.open(portal+"/sessions"), "sessions")
	want(t, w.press(`form[action="/sessions"]:has(input[value=others]) button`), "sessions")
	if p := other.Get(portal + "/sessions"); p.Screen == "sessions" {
		t.Error("a session that was ended from elsewhere goes on")
	}
	s = w.open(portal + "/")
	if s.Status != http.StatusOK {
		t.Errorf("home answers %d", s.Status)
	}
	want(t, w.press(`form[action="/signout"] button`), "signed_out")
}

// TestOffline: when nothing answers, the page that was kept does, with the
// telephone of the support desk and without anybody's name.
func TestOffline(t *testing.T) {
	t.Parallel()
	town := Open(t)
	w := openBrowser(t).window(t, "fr")
	w.keeper(true)
	w.open(town.Portal(parvis.Mobile) + "/signin")
	camille := town.Person("A100001")
	want(t, w.signIn(camille), "home")
	ready, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](`navigator.serviceWorker.ready.then((r) => r.active !== null)`, chromedp.EvalAwaitPromise))
	if err != nil || !ready {
		t.Fatalf("no page is kept: %v, %v", ready, err)
	}
	town.Close()
	s := w.open(town.Portal(parvis.Mobile) + "/sessions")
	want(t, s, "offline")
	if s.Lang != "fr" || strings.Contains(s.Source, camille.Name) || !strings.Contains(s.Text, "01 99 00 12 34") {
		t.Errorf("the page that was kept, in %q:\n%s", s.Lang, s.Text)
	}
	w.shot("offline-kept")
	w.forgive("net::ERR_") // that nothing answers is what was wanted
}

// noButton fails when a button that only a script can answer is shown.
func noButton(t *testing.T, w *window) {
	t.Helper()
	shown, err := chromedp.Run(w.ctx, chromedp.Evaluate[int](`[...document.querySelectorAll("[data-show], [data-copy]")].filter((b) => b.checkVisibility()).length`))
	if err != nil {
		t.Fatal(err)
	}
	if shown > 0 {
		t.Errorf("%s shows %d buttons that do nothing without a script", w.see().Screen, shown)
	}
}
