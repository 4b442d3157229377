package office

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/store"
)

// spMetadata is the metadata of a service provider.
func spMetadata(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/sp.xml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// everyKind adds one application of each kind, and troubles and notices of one.
func everyKind(tn *town, b *visitor) {
	tn.t.Helper()
	b.post(applications, "kind", "gateway", "name.fr", "Finances", "upstream", "http://127.0.0.1:9002", "channels", "internal", "second_proof", "1").
		to(place("finances", "paste") + "?made=1")
	b.post(applications, "kind", "forward", "id", "vieux", "name.fr", "Vieux logiciel", "channels", "internal").to(place("vieux", "paste") + "?made=1")
	b.post(applications, "kind", "cas", "id", "ged", "name.fr", "GED", "cas.services", "https://ged.example.org/", "channels", "internal").
		to(place("ged", "paste") + "?made=1")
	b.post(applications, "kind", "saml", "id", "sirh", "name.fr", "SIRH", "saml.metadata", spMetadata(tn.t), "channels", "mobile").
		to(place("sirh", "paste") + "?made=1")
	b.addOIDC("agenda")
	for _, c := range []string{"invalid_client", "something_new", "access_denied"} {
		tn.office.Register.Note("agenda", apps.Trouble{Protocol: parvis.OIDC, Code: c, Text: "the client showed no secret"})
	}
	tn.office.Register.Note("ged", apps.Trouble{Protocol: parvis.CAS, Code: "INVALID_TICKET"})
	err := tn.store.Write(tn.t.Context(), func(tx *store.Tx) error {
		for i, state := range []string{"waiting", "delivered", "given_up"} {
			ok, err := tx.PutNotice(tn.t.Context(), store.Notice{
				ID: fmt.Sprint("n", i), Grant: fmt.Sprint("g", i), Protocol: parvis.OIDC, App: "agenda", Agent: "A100001", Channel: parvis.Mobile,
				State: state, Tries: i, Answer: "200 OK"[:i*3],
			})
			if err != nil || !ok {
				return fmt.Errorf("notice %d: %v, %w", i, ok, err)
			}
		}
		tx.Record(parvis.Event{Kind: "test.noticed", Actor: "system"})
		return nil
	})
	if err != nil {
		tn.t.Fatal(err)
	}
}

// Every screen, in both languages; what holds for every page is checked as each
// arrives.
func TestEveryScreenInBothLanguages(t *testing.T) {
	tn := open(t)
	everyKind(tn, tn.signed(itAgent, "fr"))
	for _, lang := range []string{"fr", "en"} {
		b := tn.signed(itAgent, lang)
		b.get("/admin").to(applications)
		list := b.get(applications).is("admin_applications", http.StatusOK)
		list.has("agenda", "paie", "finances", `lang="`+lang+`"`)
		b.get(applications+"?q=AGENDA").is("admin_applications", http.StatusOK).has("agenda").hasNot(">Finances", "(ged)")
		b.get(applications+"?q=rien+de+tel").is("admin_applications", http.StatusOK).hasNot("(ged)")
		for _, kind := range kinds {
			b.get(applications+"?add="+kind).is("admin_application_add", http.StatusOK)
			b.post(applications, "kind", kind).is("admin_application_add", http.StatusUnprocessableEntity)
		}
		for _, id := range []parvis.AppID{"paie", "finances", "vieux", "ged", "sirh", "agenda"} {
			b.get(place(id, "")).is("admin_application", http.StatusOK)
			b.get(place(id, "paste")).is("admin_application_paste", http.StatusOK)
			b.get(place(id, "file")).is("admin_application_file", http.StatusOK).has("id: " + string(id))
			b.get(place(id, "try")).is("admin_application_try", http.StatusOK)
			b.post(place(id, "try"), "agent_number", "A100001", "channel", "internal", "proofs", "password").is("admin_application_try", http.StatusOK)
			b.post(place(id, "try"), "agent_number", "A100007", "channel", "vpn", "proofs", "totp").is("admin_application_try", http.StatusOK)
			b.post(place(id, "try")).is("admin_application_try", http.StatusUnprocessableEntity)
			if id == "paie" {
				continue
			}
			b.get(place(id, "edit")).is("admin_application_edit", http.StatusOK)
			b.post(place(id, "edit"), "version", "0").is("admin_application_edit", http.StatusConflict)
			b.get(place(id, "remove")).is("admin_application_remove", http.StatusOK)
			b.post(place(id, "remove"), "version", b.get(place(id, "remove")).hidden("version")).is("admin_application_remove", http.StatusUnprocessableEntity)
			b.post(place(id, "remove"), "version", "0", "id", string(id)).is("admin_application_remove", http.StatusConflict)
		}
		b.get(place("agenda", "secrets")).is("admin_application_secrets", http.StatusOK)
		tn.signed("A100001", lang).get(applications).is("admin_refused", http.StatusForbidden)
		tn.signed("A100007", lang).get(applications).is("admin_refused", http.StatusForbidden)
		old := tn.signed(itAgent, lang, parvis.Proof{Kind: parvis.Password, At: tn.clock.Now()})
		old.get(place("agenda", "edit")+"?unmet=1").is("admin_proof", http.StatusForbidden)
	}
}

// everyAddress lists every address of the map, with what reaches it.
func everyAddress() [][2]string {
	all := [][2]string{{"GET", "/admin"}, {"GET", applications}, {"GET", applications + "?add=oidc"}, {"POST", applications}}
	for _, page := range []string{"", "paste", "file", "try", "edit", "secrets", "remove"} {
		all = append(all, [2]string{"GET", place("agenda", page)})
	}
	for _, page := range []string{"try", "edit", "secrets", "remove"} {
		all = append(all, [2]string{"POST", place("agenda", page)})
	}
	return append(all, [2]string{"GET", place("agenda", "nowhere")}, [2]string{"POST", place("agenda", "nowhere")})
}

// The IT department alone is here: nobody of another role, no stranger, nobody
// whose account is not in order, at any address, by any method.
func TestNobodyElse(t *testing.T) {
	tn := open(t)
	it := tn.signed(itAgent, "fr")
	it.addOIDC("agenda")
	before := tn.events("app.changed")
	for _, number := range []parvis.AgentNumber{"A100001", "A100010", "A100020", "A100030", "A100050", "A100060", "A100007"} {
		b := tn.signed(number, "fr")
		for _, x := range everyAddress() {
			r := b.send(x[0], x[1], map[string]url.Values{"POST": {"kind": {"gateway"}, "name.fr": {"X"}, "upstream": {"http://127.0.0.1:1"}, "channels": {"internal"}}}[x[0]])
			r.is("admin_refused", http.StatusForbidden).hasNot("agenda.example.org", "Agenda agenda")
		}
	}
	stranger := tn.stranger("fr")
	for _, x := range everyAddress() {
		r := stranger.send(x[0], x[1], map[string]url.Values{"POST": {}}[x[0]])
		if r.status != http.StatusSeeOther || !strings.HasPrefix(r.location, "/signin?return=") {
			t.Errorf("%s %s: %d to %q", x[0], x[1], r.status, r.location)
		}
	}
	if after := tn.events("app.changed"); len(after) != len(before) {
		t.Errorf("%d changes, want %d", len(after), len(before))
	}
	refused := tn.events("office.refused")
	if len(refused) != 7 {
		t.Errorf("%d refusals recorded, want one an agent", len(refused))
	}
	for _, e := range refused {
		if e.Actor != string(e.Agent) || e.Agent == itAgent {
			t.Errorf("a refusal of %q by %q", e.Agent, e.Actor)
		}
	}
}

// A role that is taken back closes the page at once, in a session that is open.
func TestRoleTakenBack(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	b.get(applications).is("admin_applications", http.StatusOK)
	err := tn.store.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.DropGiven(t.Context(), itAgent, store.GivenRole, string(parvis.RoleITDepartment))
		tx.Record(parvis.Event{Kind: "agent.role_revoked", Agent: itAgent, Actor: "operator:test"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.get(applications).is("admin_refused", http.StatusForbidden)
}

func TestStandsAtItsOwnAddress(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	b.host = mobileHost // at the office, by the mobile address
	b.get(applications + "?q=x").to("http://" + internalHost + applications + "?q=x")
	b.post(applications, "kind", "oidc").is("admin_refused", http.StatusForbidden)
	b.host, b.entrance = internalHost, parvis.Mobile
	b.get(applications).is("admin_refused", http.StatusForbidden)
	b.entrance = ""
	b.get(applications).is("admin_refused", http.StatusForbidden)
	if got := tn.signed(itAgent, "fr").get("/administration"); got.status != http.StatusTeapot {
		t.Errorf("/administration is ours: %d", got.status)
	}
	program := tn.stranger("fr")
	program.accept = "application/json"
	if r := program.get(applications); r.status != http.StatusUnauthorized || !strings.Contains(r.body, "http://"+internalHost+"/signin") {
		t.Errorf("a program reads %d, %s", r.status, r.body)
	}
}

func TestWritesAskForARecentSecondProof(t *testing.T) {
	tn := open(t)
	tn.signed(itAgent, "fr").addOIDC("agenda")
	now := tn.clock.Now()
	for _, c := range []struct {
		name   string
		proofs []parvis.Proof
		fresh  bool
	}{
		{"password alone", []parvis.Proof{{Kind: parvis.Password, At: now}}, false},
		{"an hour ago", []parvis.Proof{{Kind: parvis.Password, At: now}, {Kind: parvis.TOTP, At: now.Add(-time.Hour)}}, false},
		{"a quarter of an hour ago", []parvis.Proof{{Kind: parvis.Password, At: now}, {Kind: parvis.TOTP, At: now.Add(-proofAge)}}, false},
		{"verifier", []parvis.Proof{{Kind: parvis.Password, At: now}, {Kind: parvis.Verifier, At: now}}, false},
		{"in time", []parvis.Proof{{Kind: parvis.Password, At: now}, {Kind: parvis.TOTP, At: now.Add(time.Second - proofAge)}}, true},
		{"passkey", []parvis.Proof{{Kind: parvis.Passkey, At: now}}, true},
	} {
		b := tn.signed(itAgent, "fr", c.proofs...)
		for _, x := range everyAddress() {
			if strings.HasSuffix(x[1], "/nowhere") || x[1] == place("agenda", "try") || x[0] == "GET" && !strings.Contains(x[1], "?add") && !slices.ContainsFunc([]string{"edit", "secrets", "remove"}, func(p string) bool { return strings.HasSuffix(x[1], "/"+p) }) {
				continue
			}
			r := b.send(x[0], x[1], map[string]url.Values{"POST": {}}[x[0]])
			if asked := r.location == "/prove?level="+proofLevel; asked == c.fresh {
				t.Errorf("%s: %s %s: %d to %q", c.name, x[0], x[1], r.status, r.location)
			}
		}
		b.get(applications).is("admin_applications", http.StatusOK)
		b.get(place("agenda", "")).is("admin_application", http.StatusOK)
	}
	if len(tn.events("app.secret_added")) != 1 {
		t.Error("something was done without a proof")
	}
}

// What was typed before a proof was asked for is there when one comes back, for
// the one who typed it.
func TestNothingTypedIsLostByAProof(t *testing.T) {
	tn := open(t)
	late := tn.signed(itAgent, "fr", parvis.Proof{Kind: parvis.Password, At: tn.clock.Now()})
	late.post(applications, "kind", "cas", "name.fr", "Archives <b>", "cas.services", "https://archives.example.org/").to("/prove?level=" + proofLevel)
	back := tn.proved[len(tn.proved)-1]
	if back != applications+"?add=cas&asked=1" {
		t.Fatalf("back to %q", back)
	}
	late.get(back).is("admin_proof", http.StatusForbidden) // came back without one: not sent again
	late.get(back+"&unmet=1").is("admin_proof", http.StatusForbidden).has(`href="` + applications + "?add=cas\"")
	other := tn.signed("A100041", "fr")
	other.get(back).is("admin_application_add", http.StatusOK).hasNot("archives.example.org")
	proven := tn.signed(itAgent, "fr")
	proven.get(back).is("admin_application_add", http.StatusOK).has("Archives &lt;b&gt;", "https://archives.example.org/")
	proven.get(back).is("admin_application_add", http.StatusOK).hasNot("archives.example.org") // once
	late.post(applications, "kind", "cas", "name.fr", "Archives").to("/prove?level=" + proofLevel)
	tn.clock.Move(draftWaits)
	tn.signed(itAgent, "fr").get(back).is("admin_application_add", http.StatusOK).hasNot("Archives")
}

// Another site cannot make somebody's browser change anything.
//
//  1. Somebody of the IT department is signed in, with a recent proof.
//  2. They open a page of an enemy, which posts the form of a new application.
//  3. Nothing is added; the same by GET changes nothing either.
func TestAnotherSiteAddsNothing(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	b.origin = "cross-site"
	r := b.post(applications, "kind", "gateway", "id", "piege", "name.fr", "Piège", "upstream", "http://192.0.2.1/", "channels", "internal")
	if r.status != http.StatusForbidden {
		t.Errorf("status %d", r.status)
	}
	b.get(applications + "?kind=gateway&id=piege&name.fr=P&upstream=http://192.0.2.1/&channels=internal")
	if _, there := tn.office.Register.App("piege"); there {
		t.Error("it was added")
	}
}

func TestAddKeepsWhatWasTypedAndSaysAllThatIsWrong(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		b := tn.signed(itAgent, lang)
		r := b.post(applications, "kind", "oidc", "id", "Mon Appli", "name.fr", "", "oidc.auth", "client_secret_post", "second_proof", "1",
			"oidc.redirects", "http://elsewhere.example.org/cb\nhttps://ok.example.org/cb#x\nhttps://*.example.org/")
		r.is("admin_application_add", http.StatusUnprocessableEntity)
		r.has(`value="Mon Appli"`, "http://elsewhere.example.org/cb", `value="client_secret_post" selected`,
			`href="#id"`, `href="#name.fr"`, `href="#oidc.redirects"`, `href="#channels"`, `id="oidc.redirects-error"`)
		if n := strings.Count(r.body, `href="#oidc.redirects"`); n != 1 {
			t.Errorf("%s: the field is named %d times in the summary", lang, n)
		}
		for _, sign := range []string{"https", "#x", "*.example"} {
			_, beside, _ := strings.Cut(r.body, `id="oidc.redirects-error"`)
			beside, _, _ = strings.Cut(beside, "<textarea")
			if !strings.Contains(beside, sign) {
				t.Errorf("%s: nothing about %s beside the field: %s", lang, sign, beside)
			}
		}
	}
	if all := tn.office.Register.All(); len(all) != 1 {
		t.Errorf("%d applications", len(all))
	}
}

func TestSensibleDefaults(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	b.post(applications, "kind", "cas", "name.fr", "  Congés & Télétravail  ", "purpose.fr", "Poser ses congés", "cas.services", "https://conges.example.org/", "channels", "internal").
		to(place("conges-teletravail", "paste") + "?made=1")
	app, ok := tn.office.Register.App("conges-teletravail")
	if !ok || app.Name.EN != "Congés & Télétravail" || app.Purpose.EN != "Poser ses congés" || !slices.Contains(app.Attributes, "uid") || app.External || app.Entitled {
		t.Errorf("it is %+v", app)
	}
	b.get(applications+"?add=oidc").has(`value="internal" checked`, `value="vpn" checked`).hasNot(`value="mobile" checked`)
	e := tn.events("app.changed")
	if len(e) != 1 || e[0].Actor != string(itAgent) || e[0].App != app.ID {
		t.Errorf("recorded: %+v", e)
	}
}

// A form that is sent twice acts once.
func TestSentTwice(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	form := []string{"kind", "oidc", "id", "agenda", "name.fr", "Agenda", "oidc.redirects", "https://agenda.example.org/cb", "oidc.auth", "client_secret_basic", "channels", "internal"}

	// At the same time.
	var wg sync.WaitGroup
	replies := make([]reply, 4)
	for i := range replies {
		wg.Go(func() { replies[i] = b.post(applications, form...) })
	}
	wg.Wait()
	secrets, led := 0, 0
	for _, r := range replies {
		if r.secret() != "" {
			secrets++
		}
		if r.location == place("agenda", "paste")+"?made=1" {
			led++
		}
	}
	if secrets != 1 || led != len(replies)-1 {
		t.Errorf("%d answers show a secret, %d lead to the values", secrets, led)
	}
	app, _ := tn.office.Register.App("agenda")
	if len(app.OIDC.Secrets) != 1 {
		t.Errorf("%d secrets", len(app.OIDC.Secrets))
	}

	// Later, or by somebody else, it is a name that is taken.
	tn.signed("A100041", "fr").post(applications, form...).is("admin_application_add", http.StatusUnprocessableEntity).has(`href="#id"`, place("agenda", ""))

	// A secret.
	version := b.get(place("agenda", "secrets")).hidden("version")
	first := b.post(place("agenda", "secrets"), "act", "add", "overlap", "7", "version", version).is("admin_application_paste", http.StatusOK)
	b.post(place("agenda", "secrets"), "act", "add", "overlap", "7", "version", version).to(place("agenda", "secrets") + "?already=1")
	b.get(place("agenda", "secrets")+"?already=1").is("admin_application_secrets", http.StatusOK)
	app, _ = tn.office.Register.App("agenda")
	if len(app.OIDC.Secrets) != 2 || !tn.office.Register.Secret(app, first.secret(), tn.clock.Now()) {
		t.Errorf("%d secrets", len(app.OIDC.Secrets))
	}

	// Settings.
	edit := editForm(tn, b, "agenda")
	edit.Set("purpose.fr", "Voir son agenda")
	b.send(http.MethodPost, place("agenda", "edit"), edit).to(place("agenda", "") + "?saved=1")
	b.send(http.MethodPost, place("agenda", "edit"), edit).to(place("agenda", "") + "?saved=1")
	if n := len(tn.events("app.changed")); n != 2 {
		t.Errorf("%d changes recorded", n)
	}

	// The end.
	version = b.get(place("agenda", "remove")).hidden("version")
	b.post(place("agenda", "remove"), "version", version, "id", "agenda").to(applications + "?removed=agenda")
	b.post(place("agenda", "remove"), "version", version, "id", "agenda").to(applications + "?removed=agenda")
	b.get(applications + "?removed=agenda").has("«\u00a0agenda\u00a0»")
	if n := len(tn.events("app.removed")); n != 1 {
		t.Errorf("%d removals recorded", n)
	}
}

// editForm is the form of the settings as a browser would send it unchanged.
func editForm(tn *town, b *visitor, id parvis.AppID) url.Values {
	tn.t.Helper()
	app, _ := tn.office.Register.App(id)
	sent := typed(app)
	sent.Set("version", b.get(place(id, "edit")).is("admin_application_edit", http.StatusOK).hidden("version"))
	return sent
}
