package citytest

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"parvis"
)

// phone is an authenticator at the city's clock, whatever that says.
type phone struct {
	t   *testing.T
	key string
	set time.Time // when the clock was set
	at  time.Time // what it was set to
}

// telephone sets the city's clock and gives an authenticator that goes with it.
func telephone(t *testing.T, town *Town, at time.Time, key string) *phone {
	t.Helper()
	town.SetClock(at)
	return &phone{t: t, key: key, set: time.Now(), at: at}
}

// code is that of now, moved by some steps of half a minute.
func (p *phone) code(steps int) string {
	p.t.Helper()
	at := p.at.Add(time.Since(p.set)).Add(time.Duration(steps) * 30 * time.Second)
	out, err := exec.Command("oathtool", "--totp", "-b", "-N", at.UTC().Format("2006-01-02 15:04:05 UTC"), strings.ReplaceAll(p.key, " ", "")).Output()
	if err != nil {
		p.t.Fatalf("oathtool: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// temporary is a code of the desk for an agent.
func temporary(t *testing.T, town *Town, number string, more ...string) string {
	t.Helper()
	out, errs, status := Run(t, append([]string{"agent", "show", number, "--temporary-code", "2h", "--json", "--data", town.Data}, more...)...)
	var v struct {
		Code string `json:"temporary_code"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || status != 0 || v.Code == "" {
		t.Fatalf("no temporary code: status %d, %v\n%s%s", status, err, out, errs)
	}
	return v.Code
}

// smsCode waits for a text message to a number and reads its code. seen counts
// the messages that were there before.
func smsCode(t *testing.T, town *Town, number string, seen int) string {
	t.Helper()
	for range 200 {
		if all := town.Letters(number); len(all) > seen {
			if len(all[0].Codes) == 0 {
				t.Fatalf("no code in %q", all[0].Text)
			}
			return all[0].Codes[0]
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("no text message to %s", number)
	return ""
}

// opens tells whether an application lets somebody in at an entrance.
func opens(v *Visitor, ch parvis.Channel, app string) bool {
	v.tb.Helper()
	p := v.Get(v.Town.App(ch, app))
	return p.Status == http.StatusOK && "http://"+p.URL.Host == v.Town.App(ch, app)
}

// TestSocialDataIsNeverStuck: A100004 reaches no application without a second
// proof, through no entrance, and at each refusal a way exists that works.
func TestSocialDataIsNeverStuck(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	ines := town.Person("A100004")
	town.SetClock(officeDay(t, 10, 0))

	for _, ch := range []string{"internal", "vpn", "mobile"} {
		for _, row := range mapOf(t, town, ines.Number, "--channel", ch) {
			d := why(t, town, ines.Number, row.App, "--channel", ch)
			if row.Open || d.Open {
				t.Errorf("%s opens at %s with a password alone", row.App, ch)
			}
			if !slices.Contains(d.codes(), "factor_required") {
				t.Errorf("%s at %s is refused for %v", row.App, ch, d.codes())
			}
			if len(d.Ways) == 0 {
				t.Errorf("%s at %s: no way (%v)", row.App, ch, d.codes())
			}
			for _, w := range d.Ways {
				for _, c := range w.Changes {
					if c.By == "" {
						t.Errorf("%s at %s: a way that nobody opens: %+v", row.App, ch, w)
					}
				}
			}
		}
	}

	socialOnMobile(t, town, ines)
}

// TestSocialDataEnrolsInside: on an internal workstation A100004 needs nobody.
func TestSocialDataEnrolsInside(t *testing.T) {
	t.Parallel()
	town := Open(t)
	ines := town.Person("A100004")
	tel := telephone(t, town, officeDay(t, 10, 0), "")
	v := town.Visitor(t)
	v.SignIn(parvis.Internal, ines).at(t, "home")
	for _, app := range []string{"social", "annuaire", "paie"} {
		if p := v.Get(town.App(parvis.Internal, app)); !p.Has("factor_required") || p.Link("/security/factors") == "" {
			t.Fatalf("%s: %d %v, and the way to the enrolment is %q", app, p.Status, p.Reasons, p.Link("/security/factors"))
		}
	}
	p := v.Get(town.Portal(parvis.Internal)+"/security/factors/totp").at(t, "security_factors_totp")
	tel.key = keyOf(t, p)
	v.Submit(p, map[string]string{"code": tel.code(0), "name": "Téléphone"}).at(t, "security_factors")
	for _, app := range []string{"social", "annuaire", "paie"} {
		if !opens(v, parvis.Internal, app) {
			t.Errorf("%s does not open after the enrolment", app)
		}
	}
}

// socialOnMobile: where one may not enrol with a password, a temporary code of
// the desk opens the enrolment.
func socialOnMobile(t *testing.T, town *Town, ines Person) {
	portal := town.Portal(parvis.Mobile)
	v := town.Visitor(t)
	p := v.SignIn(parvis.Mobile, ines)
	p.at(t, "home")
	if opens(v, parvis.Mobile, "annuaire") || opens(v, parvis.Mobile, "messagerie") {
		t.Fatal("an application opens with a password alone")
	}
	for _, kind := range []string{"totp", "sms", "passkey", "codes"} {
		p = v.Get(portal + "/security/factors/" + kind)
		if !p.Has("factor_enrol_here_forbidden") || p.Status != http.StatusForbidden {
			t.Fatalf("%s with a password alone, from outside: %d %s %v", kind, p.Status, p.Screen, p.Reasons)
		}
		if p.Link("/prove") == "" {
			t.Fatalf("the refusal leads nowhere:\n%s", p.Text())
		}
	}
	refused := p
	// One person alone does not open a sensitive profile.
	if _, errs, status := Run(t, "agent", "show", ines.Number, "--temporary-code", "2h", "--reason", "no telephone", "--data", town.Data); status == 0 {
		t.Error("one person gives a temporary code to a sensitive profile")
	} else if !strings.Contains(errs, "--second-person") {
		t.Errorf("the refusal does not say what is missing: %s", errs)
	}
	code := temporary(t, town, ines.Number, "--reason", "A new telephone, seen in person", "--second-person", "A100010")
	p = v.Get(refused.Link("/prove")).at(t, "second_factor")
	p = v.Submit(p, map[string]string{"code": code}).at(t, "security_factors_codes") // back where it was refused
	p = v.press(p, "/security/factors/codes", nil).at(t, "security_factors_codes_sheet")
	if n := len(sheet(p)); n != 10 {
		t.Fatalf("%d recovery codes, not 10", n)
	}
	if !opens(v, parvis.Mobile, "annuaire") {
		t.Error("no application opens after the temporary code")
	}
	// The code was good once; from now on the sheet is asked for.
	v = town.Visitor(t)
	p = v.SignIn(parvis.Mobile, ines).at(t, "second_factor")
	p = v.press(p, "/signin", map[string]string{"method": "temporary_code"})
	if p = v.press(p, "/signin", map[string]string{"code": code}); p.Screen != "second_factor" || len(p.Reasons) == 0 {
		t.Errorf("the temporary code again: %s %v", p.Screen, p.Reasons)
	}
}

// sheet reads the printed codes of a page.
func sheet(p *Page) []string {
	return regexp.MustCompile(`\b[2-9A-Z]{4}(?:-[2-9A-Z]{4}){2,4}\b`).FindAllString(p.Text(), -1)
}

// TestLostTelephone: A100003 made a sheet of codes and a passkey in good time,
// loses the telephone, and gets back in by each road that policy leaves: the
// sheet, the passkey, a temporary code of the desk. Text messages are none of
// them: a sensitive profile has none.
func TestLostTelephone(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	helene := town.Person("A100003")
	tel := telephone(t, town, officeDay(t, 10, 0), helene.TOTPSecret)
	portal := town.Portal(parvis.Mobile)
	key := newSoftKey(t, portal)

	// In good time.
	v := town.Visitor(t)
	p := v.SignIn(parvis.Mobile, helene).at(t, "second_factor")
	v.press(p, "/signin", map[string]string{"code": tel.code(0)}).at(t, "home")
	p = v.Get(portal+"/security/factors/codes").at(t, "security_factors_codes")
	codes := sheet(v.press(p, "/security/factors/codes", nil).at(t, "security_factors_codes_sheet"))
	if len(codes) != 10 {
		t.Fatalf("%d codes on the sheet", len(codes))
	}
	p = v.Get(portal+"/security/factors/passkey").at(t, "security_factors_passkey")
	p = v.press(p, "/security/factors/passkey", map[string]string{"passkey": key.create(p), "name": "Clé du bureau"}).at(t, "security_factors")
	if !strings.Contains(p.Text(), "Clé du bureau") {
		t.Fatalf("the passkey is not on the list:\n%s", p.Text())
	}

	t.Run("the sheet", func(t *testing.T) {
		v := town.Visitor(t)
		p := v.SignIn(parvis.Mobile, helene).at(t, "second_factor")
		p = v.press(p, "/lost", nil).at(t, "factor_lost")
		p = v.press(p, "/signin", map[string]string{"method": "recovery_code"}).at(t, "second_factor")
		v.press(p, "/signin", map[string]string{"code": codes[0]}).at(t, "home")
		if !opens(v, parvis.Mobile, "annuaire") {
			t.Error("the directory does not open")
		}
		// A code of the sheet is good once, whoever holds the sheet.
		v = town.Visitor(t)
		p = v.press(v.press(v.SignIn(parvis.Mobile, helene), "/lost", nil), "/signin", map[string]string{"method": "recovery_code"})
		if p = v.press(p, "/signin", map[string]string{"code": codes[0]}); p.Screen == "home" || !(p.Has("code_reused") || p.Has("code_incorrect")) {
			t.Errorf("the same code again: %s %v", p.Screen, p.Reasons)
		}
	})
	t.Run("the passkey", func(t *testing.T) {
		v := town.Visitor(t)
		p := v.Get(portal + "/signin")
		v.press(p, "/signin", map[string]string{"passkey": key.get(p, nil)}).at(t, "home")
		if !opens(v, parvis.Mobile, "annuaire") {
			t.Error("the directory does not open")
		}
	})
	t.Run("a temporary code", func(t *testing.T) { lostWithTemporary(t, town, helene, tel) })
}

// lostWithTemporary gets in with a code of the desk, declares the telephone
// lost, and enrols a new one.
func lostWithTemporary(t *testing.T, town *Town, helene Person, tel *phone) {
	portal := town.Portal(parvis.Mobile)
	code := temporary(t, town, helene.Number, "--reason", "The telephone is lost", "--second-person", "A100010")
	v := town.Visitor(t)
	p := v.SignIn(parvis.Mobile, helene).at(t, "second_factor")
	p = v.press(p, "/lost", nil).at(t, "factor_lost")
	p = v.press(p, "/signin", map[string]string{"method": "temporary_code"}).at(t, "second_factor")
	v.press(p, "/signin", map[string]string{"code": code}).at(t, "home")
	if !opens(v, parvis.Mobile, "annuaire") {
		t.Error("the directory does not open")
	}

	lost := factorOf(t, v, portal, "totp")
	p = v.press(v.Get(portal+lost+"?lost=1").at(t, "security_factor_lost"), lost, map[string]string{"act": "lost"})
	if p.Screen != "security_factors" {
		t.Fatalf("declared lost: %s %d %v\n%s", p.Screen, p.Status, p.Reasons, p.Text())
	}
	town.Letter(helene.Email, func(l Letter) bool { return strings.Contains(l.Subject, "a été supprimée") })

	// What the finder reads on it opens nothing.
	thief := town.Visitor(t)
	p = thief.SignIn(parvis.Mobile, helene).at(t, "second_factor")
	if thief.formOf(p, "/signin", map[string]string{"code": ""}) != nil {
		if p = thief.press(p, "/signin", map[string]string{"code": tel.code(1)}); p.Screen == "home" {
			t.Error("a lost telephone opens the door")
		}
	}

	p = v.Get(portal+"/security/factors/totp").at(t, "security_factors_totp")
	tel.key = keyOf(t, p)
	v.Submit(p, map[string]string{"code": tel.code(0), "name": "Nouveau téléphone"}).at(t, "security_factors")
	w := town.Visitor(t)
	p = w.SignIn(parvis.Mobile, helene).at(t, "second_factor")
	if !strings.Contains(p.Body, "Nouveau téléphone") {
		t.Errorf("the new telephone is not asked for:\n%s", p.Text())
	}
}

// factorOf finds the page of a held method of a kind.
func factorOf(t *testing.T, v *Visitor, portal, kind string) string {
	t.Helper()
	p := v.Get(portal+"/security/factors").at(t, "security_factors")
	found := ""
	each(p.root, func(n *html.Node) {
		href := attr(n, "href")
		if n.Data != "a" || found != "" || !regexp.MustCompile(`^/security/factors/[^/?]{12,}$`).MatchString(href) {
			return
		}
		if strings.Contains(v.Get(portal+href).Body, "/security/factors/"+kind+"?replaces=") {
			found = href
		}
	})
	if found == "" {
		t.Fatalf("no %s on the list:\n%s", kind, p.Text())
	}
	return found
}

// fieldOf reads a field of a page.
func fieldOf(p *Page, name string) string {
	n := find(p.root, func(n *html.Node) bool { return n.Data == "input" && attr(n, "name") == name })
	if n == nil {
		return ""
	}
	return attr(n, "value")
}
