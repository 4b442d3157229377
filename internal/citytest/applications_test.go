package citytest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"parvis"
)

// agnes is somebody of the IT department with a browser of hers, on the list of
// applications; what changes something asks for her second proof once.
type administrator struct {
	*window
	town *Town
	list string
}

// at is a page of an application.
func (a administrator) at(id, page string) string { return a.list + "/" + id + "/" + page }

// administer signs Agnès in and goes to the list by the navigation.
func administer(t *testing.T, town *Town, w *window) (administrator, *phone) {
	t.Helper()
	agnes := town.Person("A100040")
	tel := telephone(t, town, officeDay(t, 10, 0), agnes.TOTPSecret)
	a := administrator{w, town, town.Portal(parvis.Internal) + "/admin/applications"}
	w.open(town.Portal(parvis.Internal) + "/signin")
	want(t, w.signIn(agnes), "home")
	want(t, w.press(`nav a.room[href="/admin/applications"]`), "admin_applications")
	return a, tel
}

// adds fills in the form of an OpenID Connect application; a proof is asked for
// before, and the secret is shown after.
func (a administrator) adds(t *testing.T, tel *phone, redirect string) string {
	t.Helper()
	s := a.press(`a[href="/admin/applications?add=oidc"]`)
	want(t, s, "second_factor")
	if strings.Contains(s.Source, "{app}") || !strings.Contains(s.Text, "Ce que vous voulez faire demande une vérification renforcée.") {
		t.Errorf("why a proof is asked for:\n%s", s.Text)
	}
	want(t, a.send("code", tel.code(0)), "admin_application_add")
	a.fill("name.fr", "Agenda partagé")
	a.fill("id", "agenda")
	a.area("oidc.redirects", redirect)
	s = a.press(`form[action="/admin/applications"] button.button-primary`)
	want(t, s, "admin_application_paste")
	return a.secret(t)
}

// area types into a field of several lines.
func (w *window) area(name, text string) {
	w.tb.Helper()
	w.run(fmt.Sprintf("document.querySelector('textarea[name=%q]').value = %q", name, text))
}

// secret reads the secret that the page shows, this once.
func (a administrator) secret(t *testing.T) string {
	t.Helper()
	s := a.see()
	_, rest, _ := strings.Cut(s.Source, `id="secret">`)
	secret, _, _ := strings.Cut(rest, "<")
	if len(secret) < 43 { // 256 bits
		t.Fatalf("no secret of 256 bits on %s (%s):\n%s", s.URL, s.Screen, s.Text)
	}
	if strings.Contains(s.URL, secret) {
		t.Error("a secret is in an address")
	}
	again := a.open(a.at("agenda", "paste"))
	want(t, again, "admin_application_paste")
	if strings.Contains(again.Source, secret) || !strings.Contains(again.Text, "agenda") {
		t.Error("a secret is shown twice")
	}
	return secret
}

// TestApplicationsOnPages: somebody of the IT department adds an application, and
// it signs agents in at once; edits it, is told when somebody else did
// meanwhile, gives it another secret, tries it as an agent, and removes it, and
// its tokens die.
func TestApplicationsOnPages(t *testing.T) {
	t.Parallel()
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%v", scripts), func(t *testing.T) {
			t.Parallel()
			town := Open(t, "--data", t.TempDir())
			w := openBrowser(t).window(t, "fr")
			w.scripts(scripts)
			applicationOnPages(t, town, w)
		})
	}
}

func applicationOnPages(t *testing.T, town *Town, w *window) {
	camille := town.Person("A100001")
	from := lastEvent(t, town.Data)
	a, tel := administer(t, town, w)
	c := goClientAt(t, town, parvis.Internal, "agenda", "", "/cb", oauth2.AuthStyleInHeader)
	first := a.adds(t, tel, c.RedirectURL)

	// It is known at once: here, and to the operator.
	c.ClientSecret = first
	code, verifier := c.code(&camille)
	tok, _ := c.tokens(code, verifier, camille)
	if out, errs, status := RunPlain(t, "app", "list", "--data", town.Data); status != 0 || !strings.Contains(out, "agenda") {
		t.Errorf("app list: status %d\n%s%s", status, out, errs)
	}
	a.edits(t)
	second := a.rotates(t, c, first)
	a.triesAs(t)

	c.ClientSecret = second
	tok, err := c.refresh(tok.RefreshToken)
	if err != nil {
		t.Fatalf("before it is removed: %v", err)
	}
	want(t, a.open(a.at("agenda", "remove")), "admin_application_remove")
	want(t, a.send("id", "agenda"), "admin_applications")
	if s := a.see(); !strings.Contains(s.Text, "agenda") || strings.Contains(s.Source, `href="/admin/applications/agenda"`) {
		t.Errorf("removed:\n%s", s.Text)
	}
	var refused *oauth2.RetrieveError
	if _, err := c.refresh(tok.RefreshToken); !errors.As(err, &refused) || !slices.Contains([]string{"invalid_client", "invalid_grant"}, refused.ErrorCode) {
		t.Errorf("removed, and its refresh token is answered %v", err)
	}
	if c.opens(tok) {
		t.Error("removed, and its token opens")
	}
	if p := c.v.Get(c.AuthCodeURL("s")); p.Screen != "oidc_problem" {
		t.Errorf("removed, and it is answered %s at %s", p.Screen, p.URL)
	}
	if out, _, _ := RunPlain(t, "app", "list", "--data", town.Data); strings.Contains(out, "agenda ") {
		t.Errorf("removed, and listed:\n%s", out)
	}
	recorded(t, town, from)
	if s := a.open(town.Portal(parvis.Internal) + "/activity"); strings.Contains(s.Source, "⟦") {
		t.Errorf("the log of whoever did all this:\n%s", s.Text)
	}
}

// edits changes a setting; then a form that was opened before is told so.
func (a administrator) edits(t *testing.T) {
	t.Helper()
	s := a.open(a.at("agenda", "edit"))
	want(t, s, "admin_application_edit")
	_, rest, _ := strings.Cut(s.Source, `name="version" value="`)
	version, _, _ := strings.Cut(rest, `"`)
	a.fill("name.en", "Shared diary")
	want(t, a.press(`form[action$="/edit"] button.button-primary`), "admin_application")

	want(t, a.open(a.at("agenda", "edit")), "admin_application_edit")
	a.run(fmt.Sprintf(`document.querySelector("input[name=version]").value = %q`, version))
	a.fill("name.en", "Somebody else's diary")
	s = a.press(`form[action$="/edit"] button.button-primary`)
	want(t, s, "admin_application_edit")
	if s.Status != http.StatusConflict || !strings.Contains(s.Text, "Shared diary") || !strings.Contains(s.Text, "Somebody else's diary") {
		t.Errorf("changed meanwhile: %d\n%s", s.Status, s.Text)
	}
	s = a.press(`form[action$="/edit"] button.button-primary`) // again, knowingly
	want(t, s, "admin_application")
}

// rotates gives the application another secret; both serve, then the first goes.
func (a administrator) rotates(t *testing.T, c *goClient, first string) string {
	t.Helper()
	want(t, a.open(a.at("agenda", "secrets")), "admin_application_secrets")
	want(t, a.press(`form:has(input[name=act][value=add]) button.button-primary`), "admin_application_paste")
	second := a.secret(t)
	camille := a.town.Person("A100001")
	for _, secret := range []string{first, second} {
		c.ClientSecret = secret
		code, verifier := c.code(nil)
		c.tokens(code, verifier, camille)
	}
	want(t, a.open(a.at("agenda", "secrets")), "admin_application_secrets")
	of := sha256.Sum256([]byte(first))
	want(t, a.press(fmt.Sprintf(`a[href$="?drop=%x"]`, of[:4])), "admin_application_secrets")
	want(t, a.press(`form:has(input[name=act][value=drop]) button[type=submit]`), "admin_application_secrets")
	c.ClientSecret = first
	code, verifier := c.code(nil)
	_, err := c.Exchange(c.ctx, code, oauth2.VerifierOption(verifier))
	c.invalid("a secret that was taken away", err, "invalid_client")
	if s := a.open(a.list + "/agenda"); !strings.Contains(s.Text, "invalid_client") {
		t.Errorf("the page does not tell the last error:\n%s", s.Text)
	}
	return second
}

// triesAs asks what an agent would be answered.
func (a administrator) triesAs(t *testing.T) {
	t.Helper()
	want(t, a.open(a.at("agenda", "try")), "admin_application_try")
	a.fill("agent_number", "A100001")
	a.run(`for (const b of document.querySelectorAll("input[name=proofs], input[name=channel]")) b.checked = ["password", "internal"].includes(b.value)`)
	s := a.press(`form[action$="/try"] button[type=submit]`)
	want(t, s, "admin_application_try")
	if !strings.Contains(s.Text, "Camille") || !strings.Contains(s.Text, "A100001") {
		t.Errorf("tried:\n%s", s.Text)
	}
	camille := a.town.Visitor(t)
	camille.SignIn(parvis.Internal, a.town.Person("A100001"))
	if p := camille.Get(a.town.Portal(parvis.Internal) + "/activity"); !strings.Contains(p.Text(), "Le service informatique a regardé si une application s'ouvre pour vous : Agenda partagé") {
		t.Errorf("whoever was tried does not read it:\n%s", p.Text())
	}
}

// recorded wants every act in the exported log, by whom.
func recorded(t *testing.T, town *Town, from int64) {
	t.Helper()
	seen := map[string]int{}
	for _, e := range events(t, town.Data, from) {
		if strings.HasPrefix(e.Kind, "app.") && e.Kind != "app.entered" && e.Kind != "app.refused" {
			seen[e.Kind]++
			if e.Actor != "A100040" {
				t.Errorf("%s is by %q", e.Kind, e.Actor)
			}
		}
	}
	for kind, n := range map[string]int{"app.changed": 3, "app.secret_added": 2, "app.secret_removed": 1, "app.tried": 1, "app.removed": 1} {
		if seen[kind] != n {
			t.Errorf("%s is recorded %d times, not %d; all: %v", kind, seen[kind], n, seen)
		}
	}
	wholeLog(t, town.Data)
}

// TestApplicationsAreForTheITDepartment: somebody else is told who decides, on
// every page of applications, and nothing changes.
func TestApplicationsAreForTheITDepartment(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	list := town.Portal(parvis.Internal) + "/admin/applications"
	v := town.Visitor(t)
	if p := v.Get(list); p.Screen != "sign_in_identifier" && p.Screen != "sign_in_context" {
		t.Errorf("a stranger is at %s", p.Screen)
	}
	if p := v.SignIn(parvis.Internal, town.Person("A100001")); p.Link("/admin/applications") != "" {
		t.Error("the navigation leads where one is refused")
	}
	from := lastEvent(t, town.Data)
	for _, page := range []string{"", "?add=oidc", "/paie", "/paie/edit", "/paie/secrets", "/paie/remove", "/paie/try", "/paie/file", "/nothing"} {
		p := v.Get(list+page).at(t, "admin_refused")
		if p.Status != http.StatusForbidden || !strings.Contains(p.Text(), "responsable de la sécurité") {
			t.Errorf("%s: %d\n%s", page, p.Status, p.Text())
		}
	}
	v.Post(list, url.Values{"kind": {"oidc"}, "name.fr": {"À moi"}, "id": {"mine"}, "channels": {"internal"}, "oidc.redirects": {"https://evil.example/"}, "oidc.auth": {"none"}}).at(t, "admin_refused")
	v.Post(list+"/demo-public/remove", url.Values{"id": {"demo-public"}, "version": {"0"}}).at(t, "admin_refused")
	out, _, _ := RunPlain(t, "app", "list", "--data", town.Data, "--json")
	var all []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &all); err != nil || slices.ContainsFunc(all, func(a struct{ ID string }) bool { return a.ID == "mine" }) || len(all) == 0 {
		t.Errorf("applications: %v\n%s", err, out)
	}
	refused := 0
	for _, e := range events(t, town.Data, from) {
		if e.Kind == "office.refused" && e.Agent == "A100001" {
			refused++
		}
	}
	if refused != 1 { // once a minute
		t.Errorf("recorded %d times", refused)
	}
	if p := v.Get(town.Portal(parvis.Internal) + "/activity"); !strings.Contains(p.Text(), "Page du service informatique refusée") {
		t.Errorf("the log does not say it:\n%s", p.Text())
	}
}
