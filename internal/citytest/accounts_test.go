package citytest

import (
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"

	"parvis"
)

const (
	chosenHere  = "quatre chevaux bleus sous la pluie"
	chosenThere = "ma grand-mère jardine le dimanche"
)

// oathtool computes a code as an authenticator that nobody here wrote does.
func oathtool(t *testing.T, secret string) string {
	t.Helper()
	out, err := exec.Command("oathtool", "--totp", "-b", strings.ReplaceAll(secret, " ", "")).Output()
	if err != nil {
		t.Fatalf("oathtool: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// at tells whether a page is the one expected, and ends the test otherwise.
func (p *Page) at(t *testing.T, screen string) *Page {
	t.Helper()
	if p.Screen != screen {
		t.Fatalf("at %s (%d, %s, %v), not at %s:\n%.1500s", p.Screen, p.Status, p.URL, p.Reasons, screen, p.Text())
	}
	return p
}

// keyOf reads the key that an enrolment page shows for an authenticator.
func keyOf(t *testing.T, p *Page) string {
	t.Helper()
	key := regexp.MustCompile(`(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}`).FindString(p.Text())
	if key == "" {
		t.Fatalf("no key on %s:\n%s", p.Screen, p.Text())
	}
	return key
}

// newCitizen opens an account at the embedded verifier, on a page of it, and
// confirms its address with the code of the message.
func newCitizen(t *testing.T, v *Visitor, email string) *Page {
	t.Helper()
	there := "http://moncompte.localhost:" + strconv.Itoa(v.Town.Base+2)
	p := v.Submit(v.Get(there+"/create"), map[string]string{"name": "Sonia Benali", "email": email, "new_password": chosenThere})
	letter := v.Town.Letter(email, func(l Letter) bool { return len(l.Codes) > 0 })
	return v.Submit(p, map[string]string{"code": letter.Codes[0]})
}

// TestTwoAccountsWithoutScripts: A100008 begins with nothing but a code, and
// ends in the open mailbox on the mobile portal, both accounts and an
// authenticator made on the way. After each step the browser is closed, and
// another one goes on.
func TestTwoAccountsWithoutScripts(t *testing.T) {
	t.Parallel()
	town := Open(t)
	sonia := town.Person("A100008")
	portal := town.Portal(parvis.Mobile)

	// The code opens the list, in as many browsers as one likes.
	arrive := func() *Visitor {
		v := town.Visitor(t)
		v.Submit(v.Get(portal+"/activate"), map[string]string{"code": sonia.ActivationCode}).at(t, "activation_overview")
		return v
	}
	v := arrive()
	if p := v.Get(portal + "/activate/overview"); !strings.Contains(p.Text(), "Les deux comptes sont nécessaires") {
		t.Errorf("the list does not say that both accounts are needed:\n%s", p.Text())
	}
	v.Submit(v.Get(portal+"/activate/identity").at(t, "activation_check_identity"), map[string]string{"answer": "right"})

	// The authenticator first: the order is free.
	v = arrive()
	p := v.Get(portal + "/activate/second/totp")
	key := keyOf(t, p)
	if p = v.Submit(p, map[string]string{"code": "000000"}); p.Status != http.StatusUnprocessableEntity || keyOf(t, p) != key {
		t.Errorf("a wrong code: %d, and the key is another one: %t", p.Status, keyOf(t, p) != key)
	}
	v.Submit(p, map[string]string{"code": oathtool(t, key), "name": "Téléphone de Sonia"})

	// Then the password.
	v = arrive()
	v.Submit(v.Get(portal+"/activate/password"), map[string]string{"new_password": chosenHere}).at(t, "activation_overview")

	// From now on the code alone is not enough: a letter may have been read.
	v = town.Visitor(t)
	p = v.Submit(v.Get(portal+"/activate"), map[string]string{"code": sonia.ActivationCode})
	if p.Screen == "activation_overview" {
		t.Fatal("the code alone opens the list of an account that has a password")
	}
	sonia.Password = chosenHere
	p = v.SignInAt(v.Get(p.Link("/signin")), sonia.Number, sonia.Password).at(t, "second_factor")
	next := oathtool(t, key)
	p = v.Submit(p, map[string]string{"code": next})
	if p.Has("code_reused") { // the code that enrolled it serves once: the next one comes within half a minute
		p = v.Submit(p, map[string]string{"code": laterCode(t, key)})
	}
	v.Submit(p.at(t, "activation_code"), map[string]string{"link": "1"}).at(t, "activation_overview")

	// The second account, made and tied on the way.
	p = v.Submit(v.Get(portal+"/activate/verifier?have=no").at(t, "activation_verifier"), map[string]string{"purpose": "link"})
	p.at(t, "citizen_sign_in")
	newCitizen(t, v, "sonia@chez-elle.example.org")
	p = v.Submit(v.Get(portal+"/activate/verifier?have=yes"), map[string]string{"purpose": "link"})
	if p.Screen == "citizen_sign_in" {
		p = v.Submit(p, map[string]string{"email": "sonia@chez-elle.example.org", "password": chosenThere})
	}
	if p.URL.Host != strings.TrimPrefix(portal, "http://") {
		t.Fatalf("not back from the verifier but at %s, %s:\n%s", p.Screen, p.URL, p.Text())
	}

	// And the mailbox opens.
	if p = v.Get(town.App(parvis.Mobile, "messagerie")); p.Status != http.StatusOK || p.URL.Host != strings.TrimPrefix(town.App(parvis.Mobile, "messagerie"), "http://") {
		t.Fatalf("the mailbox does not open: %d %s %s %v\n%s", p.Status, p.URL, p.Screen, p.Reasons, p.Text())
	}
	for _, subject := range []string{"méthode", "Mon Compte"} {
		town.Letter(sonia.Email, func(l Letter) bool { return strings.Contains(l.Subject, subject) })
	}
}

// laterCode waits for the code after the one of now.
func laterCode(t *testing.T, key string) string {
	t.Helper()
	out, err := exec.Command("oathtool", "--totp", "-b", "-N", "now + 30 seconds", strings.ReplaceAll(key, " ", "")).Output()
	if err != nil {
		t.Fatalf("oathtool: %v", err)
	}
	return strings.TrimSpace(string(out)) // one step ahead is within what is accepted (RFC 6238 §5.2)
}

// authenticator gives a window a telephone that unlocks at once: a virtual
// authenticator of the browser, whose passkeys are synced.
func (w *window) authenticator() {
	w.tb.Helper()
	call(w, webauthn.Enable, webauthn.EnableParams{})
	call(w, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		DefaultBackupEligibility: true, DefaultBackupState: true,
	}})
}

// wait gives what the window shows once it is at a screen, to which the page
// goes by itself.
func (w *window) wait(screen string) seen {
	w.tb.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		s, err := w.watch() // the page may be on its way
		if err == nil && s.Screen == screen || time.Now().After(end) {
			return s
		}
	}
}

// TestTwoAccounts: the same arrival in a browser, with a passkey instead of an
// authenticator; then the passkey alone signs in.
func TestTwoAccounts(t *testing.T) {
	t.Parallel()
	town := Open(t)
	sonia := town.Person("A100008")
	portal := town.Portal(parvis.Mobile)
	w := openBrowser(t).window(t, "fr")
	w.authenticator()

	w.open(portal + "/activate")
	want(t, w.send("code", sonia.ActivationCode), "activation_overview")
	w.shot("accounts-1-list")
	w.open(portal + "/activate/second/passkey")
	w.shot("accounts-2-passkey")
	w.press(`form[data-passkey] button[type=submit]`)
	w.shot("accounts-3-passkey-made")
	w.open(portal + "/activate/verifier?have=no")
	s := w.press(`form[action="/verifier/leave"] button[type=submit]`)
	want(t, s, "citizen_sign_in")
	w.shot("accounts-4-there")
	v := town.Visitor(t)
	newCitizen(t, v, "sonia@chez-elle.example.org")
	w.fill("email", "sonia@chez-elle.example.org")
	s = w.send("password", chosenThere)
	w.shot("accounts-5-tied")
	if !strings.HasPrefix(s.URL, portal) || len(s.Reasons) > 0 {
		t.Fatalf("not back: %s %v\n%s", s.URL, s.Reasons, s.Text)
	}
	want(t, s, "activation_verifier")

	// The passkey alone opens the door, offered by the browser itself in the list
	// of the field, and then the mailbox.
	w.open(portal + "/signin")
	want(t, w.wait("home"), "home")
	w.shot("accounts-7-in")
	if s = w.open(town.App(parvis.Mobile, "messagerie")); !strings.HasPrefix(s.URL, town.App(parvis.Mobile, "messagerie")) {
		t.Fatalf("the mailbox does not open: %s %v\n%s", s.URL, s.Reasons, s.Text)
	}
	w.shot("accounts-8-mailbox")
}
