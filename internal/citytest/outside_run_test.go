package citytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"parvis"
)

// newcomer is the one agent of an installation, as the HR department names her.
var newcomer = Person{Number: "A100060", Password: chosenHere}

// outsideSite is a small one that is run from a file, beside programs that
// nobody here wrote.
type outsideSite struct {
	*Town
	file string
}

// outsidePorts are free ports and the addresses a provider leads back to.
func outsidePorts(t *testing.T) (base int, returns []string) {
	t.Helper()
	base = freePorts(t, 3)
	town := &Town{Base: base}
	for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile} {
		returns = append(returns, town.Portal(ch)+"/verifier/return")
	}
	return base, returns
}

// install writes the file, imports the HR file and serves until the test ends.
func install(t *testing.T, base int, issuer, more string) *outsideSite {
	t.Helper()
	dir := t.TempDir()
	site := &outsideSite{Town: &Town{Base: base, tb: t}, file: filepath.Join(dir, "parvis.yaml")}
	text := fmt.Sprintf(`
organisation:
  name: Ville d'Essai
  contacts:
    - role: it_contact
      name: {fr: Denis Caron, en: Denis Caron}
      phone: 01 99 00 12 40
      email: denis.caron@example.org
data: %[4]s
portals:
  internal: http://agents.localhost:%[1]d
  mobile: http://nomade.localhost:%[2]d
entrances:
  - {channel: internal, listen: "127.0.0.1:%[1]d"}
  - {channel: mobile, listen: "127.0.0.1:%[2]d"}
operations: 127.0.0.1:%[3]d
`, base, base+1, base+2, filepath.Join(dir, "data")) + strings.NewReplacer("ISSUER", issuer, "DIR", dir).Replace(more)
	for name, content := range map[string]string{"parvis.yaml": text, "client.secret": "outside-secret-of-the-tests\n", "smsc.secret": "smsc-pw\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	site.run(t, "config", "check")
	site.run(t, "agent", "import", hrFile(t, newcomer.Number+";Brun;Élodie;Ville d'Essai/Direction de la culture;21750001600019;titulaire;activité;2024-01-08;;elodie.brun@example.org"))
	site.start([]string{"serve", "-c", site.file})
	t.Cleanup(site.Close)
	return site
}

// run is a command of the operator beside it.
func (s *outsideSite) run(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := Run(t, append(args, "-c", s.file)...)
	if status != 0 {
		t.Fatalf("parvis %v: status %d\n%s%s", args, status, out, errs)
	}
	return out
}

// arrive brings the newcomer to the list, by a code of the desk.
func (s *outsideSite) arrive(t *testing.T) *Visitor {
	t.Helper()
	var one struct {
		Code string `json:"activation_code"`
	}
	if err := json.Unmarshal([]byte(s.run(t, "agent", "show", newcomer.Number, "--activation-code", "--json")), &one); err != nil {
		t.Fatal(err)
	}
	v := s.Visitor(t)
	portal := s.Portal(parvis.Mobile)
	v.Submit(v.Get(portal+"/activate"), map[string]string{"code": one.Code}).at(t, "activation_overview")
	v.Submit(v.Get(portal+"/activate/identity").at(t, "activation_check_identity"), map[string]string{"answer": "right"})
	return v
}

// elsewhere goes through the provider's own pages, as whoever it is asked to be,
// until they lead back.
func elsewhere(t *testing.T, v *Visitor, p *Page, issuer, login string) *Page {
	t.Helper()
	there := strings.TrimPrefix(issuer, "http://")
	if p.URL.Host != there {
		t.Fatalf("not at the provider but at %s, %s %v:\n%s", p.URL, p.Screen, p.Reasons, p.Text())
	}
	for range 4 {
		switch {
		case p.URL.Host != there:
			return p
		case fieldOf(p, "prompt") == "login":
			p = v.Submit(p, map[string]string{"login": login, "password": "anything"})
		default:
			p = v.Submit(p, map[string]string{"prompt": fieldOf(p, "prompt")})
		}
	}
	t.Fatalf("the provider does not lead back: %s\n%s", p.URL, p.Text())
	return nil
}

// texted reads the code of the next message at the SMS centre.
func texted(t *testing.T, centre *outside, to string) string {
	t.Helper()
	var m struct{ To, Text string }
	line := centre.line(t)
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	code := regexp.MustCompile(`\b\d{6}\b`).FindString(m.Text)
	if strings.TrimPrefix(m.To, "+") != to || code == "" {
		t.Fatalf("a message to %s: %q", m.To, m.Text)
	}
	return code
}

const withOutside = `
verifier:
  rules:
    - {mode: first}
  providers:
    - id: elsewhere
      issuer: ISSUER
      client_id: parvis
      client_secret_file: DIR/client.secret
      label: {fr: Ailleurs, en: Elsewhere}
`

// TestOutside: the second account is at an OpenID provider and text messages go
// through an SMS centre that nobody here wrote.
func TestOutside(t *testing.T) {
	t.Parallel()
	base, returns := outsidePorts(t)
	provider := startOutside(t, "provider.mjs", returns...)
	centre := startOutside(t, "smsc.mjs")
	site := install(t, base, provider.first, withOutside+`sms:
  providers:
    - {kind: smpp, server: "127.0.0.1:`+centre.first+`", tls: none, system: parvis, password_file: DIR/smsc.secret, from: VILLE}
`)
	portal := site.Portal(parvis.Mobile)
	v := site.arrive(t)

	p := v.Submit(v.Get(portal+"/activate/verifier?have=yes"), map[string]string{"purpose": "link"})
	p = elsewhere(t, v, p, provider.first, "elodie")
	if "http://"+p.URL.Host != portal || p.Status != http.StatusOK || len(p.Reasons) > 0 {
		t.Fatalf("back with %d %s %v:\n%s", p.Status, p.Screen, p.Reasons, p.Text())
	}

	p = v.Submit(v.Get(portal+"/activate/second/sms"), map[string]string{"phone": "06 12 34 56 78"})
	code := texted(t, centre, "33612345678")
	p = v.Submit(p, map[string]string{"code": code, "name": "Téléphone"})
	if p.Status != http.StatusOK || len(p.Reasons) > 0 {
		t.Fatalf("the telephone is not enrolled: %d %s %v\n%s", p.Status, p.Screen, p.Reasons, p.Text())
	}
	p = v.Submit(v.Get(portal+"/activate/password"), map[string]string{"new_password": newcomer.Password})
	if p.Status != http.StatusOK || len(p.Reasons) > 0 {
		t.Fatalf("no password: %d %s %v\n%s", p.Status, p.Screen, p.Reasons, p.Text())
	}

	v = site.Visitor(t)
	p = v.SignIn(parvis.Mobile, newcomer).at(t, "second_factor")
	v.press(p, "/signin", map[string]string{"code": texted(t, centre, "33612345678")}).at(t, "home")
	if p = v.Get(portal + "/security/verifier"); !strings.Contains(p.Text(), "Ailleurs") || !strings.Contains(p.Body, "unlink=elsewhere") {
		t.Errorf("the account of elsewhere is not tied:\n%s", p.Text())
	}
	if shown := site.run(t, "agent", "show", newcomer.Number, "--json"); !strings.Contains(shown, `"sms"`) || !strings.Contains(shown, "elsewhere") && !strings.Contains(shown, provider.first) {
		t.Errorf("the operator sees another agent:\n%s", shown)
	}
	if p = v.Get(portal + "/verifier?purpose=prove"); p.Screen != "verifier_redirect" {
		t.Fatalf("before leaving: %s", p.Screen)
	}
	p = elsewhere(t, v, v.press(p, "/verifier/leave", nil), provider.first, "elodie")
	if p.Status != http.StatusOK || len(p.Reasons) > 0 {
		t.Errorf("the tied account does not vouch: %d %s %v", p.Status, p.Screen, p.Reasons)
	}
}

// TestVerifierDown: somebody with a stolen password stops the verifier, or waits
// until it stops, to be asked for less:
//
//  1. it vouches for every session, and it answers: nobody gets in without it;
//  2. it does not answer, and the organisation allows no fallback: nobody gets
//     in, and the page names who helps;
//  3. it does not answer, and a second proof may stand in for it: the password
//     alone is still not enough, the method is no second proof by itself, and
//     with a code of the authenticator one gets in, on record.
func TestVerifierDown(t *testing.T) {
	t.Parallel()
	for _, fallback := range []bool{false, true} {
		t.Run(fmt.Sprintf("fallback %t", fallback), func(t *testing.T) { verifierDown(t, fallback) })
	}
}

func verifierDown(t *testing.T, fallback bool) {
	base, returns := outsidePorts(t)
	var site *outsideSite
	var codes []string
	t.Run("it answers", func(sub *testing.T) {
		provider := startOutside(sub, "provider.mjs", returns...)
		config := strings.Replace(withOutside, "mode: first", "mode: each", 1)
		site = install(t, base, provider.first, strings.Replace(config, "verifier:\n", fmt.Sprintf("verifier:\n  fallback: %t\n", fallback), 1))
		portal := site.Portal(parvis.Mobile)
		v := site.arrive(sub)
		p := v.Submit(v.Get(portal+"/activate/verifier?have=yes"), map[string]string{"purpose": "link"})
		elsewhere(sub, v, p, provider.first, "elodie")
		codes = sheet(v.press(v.Get(portal+"/activate/second/codes"), "/activate/second/codes", nil))
		if len(codes) != 10 {
			sub.Fatalf("%d codes on the sheet", len(codes))
		}
		v.Submit(v.Get(portal+"/activate/password"), map[string]string{"new_password": newcomer.Password})

		v = site.Visitor(sub)
		p = v.SignIn(parvis.Mobile, newcomer).at(sub, "second_factor")
		p = v.press(p, "/signin", map[string]string{"code": codes[0]}).at(sub, "verifier_redirect")
		if v.Get(portal+"/").Screen == "home" {
			sub.Error("in, before the verifier vouched")
		}
		p = v.press(p, "/verifier/leave", nil)
		elsewhere(sub, v, p, provider.first, "elodie").at(sub, "home")
	})
	if t.Failed() {
		return
	}

	// From here on it does not answer. Parvis believes for a minute what it heard
	// last; started again, it has heard nothing.
	site.Close()
	site.Again()
	portal := site.Portal(parvis.Mobile)
	v := site.Visitor(t)
	p := v.SignIn(parvis.Mobile, newcomer).at(t, "second_factor")
	waive := func(p *Page) *Page {
		return v.Post(portal+"/signin", url.Values{"flow": {fieldOf(p, "flow")}, "method": {string(parvis.VerifierWaived)}})
	}
	if waive(p); v.Get(portal+"/").Screen == "home" {
		t.Fatal("the password alone opens when the verifier is down")
	}
	v = site.Visitor(t)
	p = v.SignIn(parvis.Mobile, newcomer).at(t, "second_factor")
	p = v.press(p, "/signin", map[string]string{"code": codes[1]}).at(t, "verifier_redirect")
	door := p
	p = v.press(p, "/verifier/leave", nil)
	if p.Status != http.StatusForbidden || !p.Has("verifier_unavailable") {
		t.Fatalf("it does not answer, and the page is %d %s %v", p.Status, p.Screen, p.Reasons)
	}
	if !strings.Contains(p.Text(), "Denis Caron") || p.Reference == "" {
		t.Errorf("nobody is named who helps:\n%s", p.Text())
	}
	if !fallback {
		if p.Link("/signin") == "" || strings.Contains(p.Text(), "autre méthode") {
			t.Errorf("the page does not say what can be done, or says what cannot:\n%s", p.Text())
		}
		if waive(p); v.Get(portal+"/").Screen == "home" {
			t.Error("the page has no other way, and its form has one")
		}
		if waive(door); v.Get(portal+"/").Screen == "home" {
			t.Error("the form of before has another way")
		}
		return
	}
	v.press(p, "/signin", map[string]string{"method": string(parvis.VerifierWaived)}).at(t, "home")
	if log := site.run(t, "audit", "export"); !strings.Contains(log, `"sign_in.fallback"`) || !strings.Contains(log, "password,recovery_code,verifier_waived") {
		t.Error("the fallback is not on record")
	}
}
