package portal

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/htmlcheck"
	"parvis/internal/store"
)

// write changes the town as an operator would.
func (tn *town) write(kind string, number parvis.AgentNumber, f func(tx *store.Tx) error) {
	tn.t.Helper()
	err := tn.store.Write(context.Background(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: kind, Agent: number, Actor: "operator:test"})
		return f(tx)
	})
	if err != nil {
		tn.t.Fatal(err)
	}
}

func (tn *town) enrol(number parvis.AgentNumber) {
	tn.write("agent.changed", number, func(tx *store.Tx) error {
		held := parvis.Held{ID: "held" + string(number), Agent: number, Kind: parvis.TOTP, Since: tx.Now()}
		return tx.PutHeld(context.Background(), store.HeldRow{Held: held, Secret: []byte("sealed")})
	})
}

func (r reply) reason(want string) reply {
	r.t.Helper()
	if got := r.attr("data-reason"); got != want {
		r.t.Errorf("%s: data-reason %q, want %q", r.path, got, want)
	}
	return r
}

func (r reply) hasNot(words ...string) reply {
	r.t.Helper()
	for _, w := range words {
		if strings.Contains(r.body, w) {
			r.t.Errorf("%s: %q is on the page", r.path, w)
		}
	}
	return r
}

// TestReasons: a page that refuses says its reason to tools.
func TestReasons(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Mobile, "fr")
	b.post("/signin", "identifier", "").reason("identifier_required")
	b.post("/signin", "identifier", "camille@perso.example").reason("identifier_wrong_circuit").has("ressemble à celle de votre Mon Compte")
	b.post("/signin", "identifier", "06 12 34 56 78").reason("identifier_wrong_circuit").has("numéro de téléphone").hasNot("Cette adresse ressemble")
	b.post("/signin", "flow", "garbage", "identifier", "A100001").reason("form_expired")
	b.post("/activate", "code", "K7QP-3M9T-XW24").reason("activation_code_incorrect")
	b.post("/activate", "agent_number", "A100008", "email", "sonia.benali@example.org").is("activation_code", http.StatusOK).reason("identity_pair_neutral").
		has("Espace des agents &lt;acces@example.org&gt;").hasNot("=?utf-8")
	b.get("/nowhere").is("not_found", http.StatusNotFound).reason("not_found")

	code, _, err := tn.portal.Desk.Issue(context.Background(), "A100008", "operator:test")
	if err != nil {
		t.Fatal(err)
	}
	b.post("/activate", "code", code.Reveal()).to("/activate/overview")
	b.post("/activate/password", "new_password", "Benali123").is("activation_agent_account", http.StatusUnprocessableEntity).reason("password_rule_length password_rule_personal")
	b.post("/activate/password", "new_password", strings.Repeat("phare mandarine ", 10)).reason("password_rule_length").has("au plus 128 caractères").hasNot("doit avoir au moins")
	b.post("/activate/password", "new_password", "Ville d Exemple 2026").reason("password_rule_personal").has("ni le nom de Ville d")
	b.post("/activate/password", "new_password", "phare mandarine escalier lune").to("/activate/done")
	b.post("/activate", "code", code.Reveal()).reason("activation_code_used")
	lost := tn.from(parvis.Mobile, "fr")
	lost.cookies[cookieActivation] = "gone.gone"
	lost.get("/activate/overview").is("activation_code", http.StatusNotFound).reason("form_expired")
}

// TestChangeReasons: who has just proven an old password has nothing to
// correct, and why a new one is asked for stays on the page.
func TestChangeReasons(t *testing.T) {
	expired := func(number parvis.AgentNumber, away bool) func(tn *town) {
		return func(tn *town) {
			hashed, err := tn.portal.Vault.Hash(context.Background(), rightOne)
			if err != nil {
				tn.t.Fatal(err)
			}
			tn.write("agent.changed", number, func(tx *store.Tx) error {
				ctx := context.Background()
				if err := tn.portal.Vault.SetPassword(ctx, tx, number, hashed, 40); err != nil || !away {
					return err
				}
				a, err := tx.Agent(ctx, number)
				if err != nil {
					return err
				}
				a.Absence, a.AbsenceFrom, a.AbsenceUntil = parvis.ParentalAbsence, tn.clock.Now().AddDate(0, 0, 10), tn.clock.Now().AddDate(0, 0, 40)
				return tx.PutAgents(ctx, []*parvis.Agent{a})
			})
			tn.clock.Move(60 * 24 * time.Hour)
		}
	}
	for want, c := range map[string]struct {
		number parvis.AgentNumber
		settle func(tn *town)
	}{
		"password_compromised": {"A100001", func(tn *town) {
			tn.write("password.leaked", "A100001", func(tx *store.Tx) error { return tx.SetPasswordLeaked(context.Background(), "A100001") })
		}},
		"password_expired":         {"A100001", expired("A100001", false)},
		"password_expired_absence": {"A100010", expired("A100010", true)},
	} {
		tn := open(t)
		c.settle(tn)
		b := tn.from(parvis.Mobile, "fr")
		second := b.post("/signin", "identifier", string(c.number))
		change := b.post("/signin", "flow", second.hidden("flow"), "password", rightOne, "new_password", "").is("password_change_required", http.StatusOK).reason(want)
		b.post("/signin", "flow", change.hidden("flow"), "new_password", "").is("password_change_required", http.StatusUnprocessableEntity).reason(want)
		b.post("/signin", "flow", change.hidden("flow"), "new_password", "motdepasse").reason(want + " password_rule_length password_rule_common").has("au moins 15 caractères")
		b.post("/signin", "flow", change.hidden("flow"), "new_password", strings.Repeat("phare mandarine ", 10)).reason(want + " password_rule_length").has("au plus 128 caractères")
		b.post("/signin", "flow", change.hidden("flow"), "new_password", rightOne).reason(want + " password_rule_reused")
	}
}

// TestPrograms: what refuses a program is a problem document, never a page.
func TestPrograms(t *testing.T) {
	tn := open(t)
	read := func(r reply, status int, media string) problem {
		t.Helper()
		var p problem
		if r.status != status || r.header.Get("Content-Type") != media || json.Unmarshal([]byte(r.body), &p) != nil {
			t.Errorf("%s: %d %s %.200s", r.path, r.status, r.header.Get("Content-Type"), r.body)
		}
		return p
	}
	const failed = "application/problem+json"
	for _, lang := range []string{"fr", "en"} {
		b := tn.from(parvis.Mobile, lang)
		second := b.post("/signin", "identifier", "A100001")
		blocked := b.post("/signin", "identifier", "A100009")
		b.accept = "application/json"
		for _, c := range []struct {
			reply  reply
			status int
			reason string
		}{
			{b.post("/signin", "identifier", ""), 422, "identifier_required"},
			{b.post("/signin", "flow", second.hidden("flow"), "password", "faux mais long "+lang), 422, "credentials_incorrect"},
			{b.post("/signin", "flow", blocked.hidden("flow"), "password", rightOne), 403, "account_closed"},
			{b.post("/activate", "code", "K7QP-3M9T-XW24"), 422, "activation_code_incorrect"},
			{b.get("/nowhere"), 404, "not_found"},
		} {
			p := read(c.reply, c.status, failed)
			if p.Type != "urn:parvis:reason:"+c.reason || p.Title == "" || p.Status != c.status || strings.ContainsRune(c.reply.body, '⟦') {
				t.Errorf("%s: %+v", c.reply.path, p)
			}
		}
		if p := read(b.post("/signin", "flow", second.hidden("flow"), "password", ""), 422, failed); p.Errors == nil || p.Errors[0].Field != "password" {
			t.Errorf("%+v", p)
		}
		read(b.get("/security"), 401, failed)
		read(b.post("/diagnosis", "reference", "K7QP"), 422, failed)
		read(b.post("/activate", "agent_number", "A1", "email", "a@example.org"), 200, "application/json")
		in := tn.from(parvis.Mobile, lang).signIn("A100001")
		in.accept = "application/json"
		ref := refuse(tn, "A100001", "finances", parvis.Mobile)
		p := read(in.get("/why/"+ref), 200, "application/json")
		if p.Reference != ref || p.Status != 403 || len(p.Reasons) != 2 || len(p.Ways) == 0 {
			t.Errorf("%+v", p)
		}
		unknown := tn.from("", lang)
		unknown.accept = "application/json"
		if p := read(unknown.get("/signin"), 403, failed); p.Reference == "" {
			t.Errorf("%+v", p)
		}
	}
}

// TestMethods: a path that is there answers 405 and says what it takes.
func TestMethods(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Mobile, "fr")
	for path, allow := range map[string]string{"/signin": "GET, HEAD, POST", "/": "GET, HEAD", "/theme": "POST", "/why/K7QP-3M9T": "GET, HEAD", "/assets/x": "GET, HEAD"} {
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			r := b.send(method, path, url.Values{})
			if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != allow {
				t.Errorf("%s: %d, %q", r.path, r.status, r.header.Get("Allow"))
			}
		}
	}
	if r := b.send(http.MethodPut, "/nowhere", url.Values{}); r.status != http.StatusNotFound || r.header.Get("Allow") != "" {
		t.Errorf("nowhere: %d", r.status)
	}
}

var tagShape = regexp.MustCompile(`<[^>]*>`)

// words are what a person reads of a page between two marks.
func (r reply) words(from, to string) string {
	_, rest, _ := strings.Cut(r.body, from)
	rest, _, _ = strings.Cut(rest, to)
	return strings.Join(strings.Fields(tagShape.ReplaceAllString(rest, " ")), " ")
}

// TestSecondProof: whoever holds a method is asked for it, whoever holds none is
// sent to add one; and it is said who demands it.
func TestSecondProof(t *testing.T) {
	tn := open(t)
	office := tn.from(parvis.Internal, "fr").signIn("A100001")
	if tile := office.get("/").words(`href="/app/finances"`, "</li>"); !strings.Contains(tile, "Ajoutez une deuxième méthode") || strings.Contains(tile, "VPN") {
		t.Errorf("finances at the office: %s", tile)
	}
	why := office.get("/why/" + refuse(tn, "A100001", "finances", parvis.Internal)).reason("factor_required").has("Finances demande une double vérification")
	why.has(`href="/security/factors"`, "Ajouter une deuxième méthode de vérification").hasNot("Votre profil")
	social := tn.from(parvis.Internal, "fr").signIn("A100004")
	social.get("/why/" + refuse(tn, "A100004", "messagerie", parvis.Internal)).has("Votre profil demande une double vérification")
	social.get("/app/messagerie").has("Votre profil demande une deuxième méthode partout").hasNot("Votre mot de passe suffit")
	social.get("/security/factors").has("Votre profil demande une deuxième méthode. Décision de")

	tn.enrol("A100001")
	tn.enrol("A100004")
	for _, c := range []struct {
		b      *visitor
		number parvis.AgentNumber
		app    parvis.AppID
	}{{office, "A100001", "finances"}, {social, "A100004", "messagerie"}} {
		b := c.b
		b.get("/why/"+refuse(tn, c.number, c.app, parvis.Internal)).reason("step_up_required").has("Confirmer avec votre application de codes", `href="/prove?`)
		b.get("/security").has("1 méthode enregistrée", "Voir et modifier").hasNot("Pas encore en service")
	}
	office.get("/app/finances").has("Confirmer avec votre application de codes")
}

// TestTilesAgree: what a tile says is what the engine wants, also at night and
// from another entrance.
func TestTilesAgree(t *testing.T) {
	tn := open(t)
	tn.clock.Move(12 * time.Hour)
	b := tn.from(parvis.Mobile, "fr").signIn("A100001")
	if tile := b.get("/").words(`href="/app/urbanisme"`, "</li>"); !strings.Contains(tile, "au bureau, à certaines heures") {
		t.Errorf("urbanisme at night, from home: %s", tile)
	}
	why := b.get("/why/" + refuse(tn, "A100001", "urbanisme", parvis.Mobile))
	why.has("Urbanisme s&#39;ouvre à certaines heures").hasNot("Le portail mobile est ouvert")
	off := tn.from(parvis.Internal, "en").signIn("A100004")
	off.get("/").has("No application opens from the office workstation.").hasNot("0 applications")
}

// TestActivationCounts: the title, the progress and the list count the same.
func TestActivationCounts(t *testing.T) {
	tn := open(t)
	code, _, err := tn.portal.Desk.Issue(context.Background(), "A100008", "operator:test")
	if err != nil {
		t.Fatal(err)
	}
	b := tn.from(parvis.Mobile, "fr")
	b.post("/activate", "code", code.Reveal()).to("/activate/overview")
	over := b.get("/activate/overview").has("Votre accès en 2 étapes", "0 étape sur 2 faite")
	now, later, ok := strings.Cut(over.words("Les étapes, dans", "</main>"), "Plus tard")
	if !ok || strings.Count(now, "À faire") != 2 || strings.Contains(now, "Pas encore possible") || strings.Contains(later, "À faire") {
		t.Errorf("now: %s\nlater: %s", now, later)
	}
	// What was not looked at is not said to be ready.
	b.post("/activate/password", "new_password", "phare mandarine escalier lune").to("/activate/done")
	b.get("/activate/done").has("Votre compte agent est créé", "Vous n&#39;avez pas vérifié").hasNot("Votre accès est prêt")
}

// TestJournalTells: on the way to an application is not in it, and a try that
// was right is not told as wrong, wherever a page of the journal begins.
func TestJournalTells(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	tn.write("app.entered", "A100001", func(*store.Tx) error { return nil })
	b.get("/activity").has("Passage vers").hasNot("application ouverte")
	events, err := tn.store.Events(context.Background(), store.EventFilter{Agent: "A100001", Kind: "sign_in.ok"})
	if err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	before := b.get("/activity?before="+number(events[0].Seq)).is("activity", http.StatusOK)
	before.hasNot("Mot de passe faux", "Session ouverte")
}

func number(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// TestFailureAtAnApplication: there the page has none of the portal's files, so
// it stands alone.
func TestFailureAtAnApplication(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		for _, status := range []int{http.StatusNotFound, http.StatusForbidden, http.StatusServiceUnavailable, http.StatusInternalServerError} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "http://paie."+mobileHost+"/x", nil)
			r.Header.Set("Accept-Language", lang)
			tn.portal.Failure(w, edge.WithOrigin(r, parvis.Origin{Channel: parvis.Mobile}), edge.Failure{Status: status, Code: parvis.WhyServiceProblem})
			body := w.Body.String()
			if w.Code != status || strings.Contains(body, "/assets/") || !strings.Contains(body, `href="http://`+mobileHost+`/"`) || !strings.Contains(body, `data-reason="service_problem"`) {
				t.Errorf("%d: %s", status, body)
			}
			if policy := w.Result().Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
				t.Error(policy)
			}
			for _, f := range htmlcheck.Check(w.Body.Bytes()) {
				if f != "data-reason and data-reference go together" { // nobody froze it
					t.Error(f)
				}
			}
		}
	}
}

// TestRefusedForm: a form from another site has not expired.
func TestRefusedForm(t *testing.T) {
	tn := open(t)
	for status, want := range map[int]string{
		http.StatusForbidden: "Cette demande n&#39;a pas été acceptée", http.StatusRequestEntityTooLarge: "Ce qui a été envoyé est trop long",
		http.StatusConflict: "Cette page est restée ouverte trop longtemps",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "http://"+mobileHost+"/signin", nil)
		tn.portal.Failure(w, edge.WithOrigin(r, parvis.Origin{Channel: parvis.Mobile}), edge.Failure{Status: status, Code: parvis.WhyFormExpired})
		reply{t, want, w.Code, w.Result().Header, w.Body.String(), ""}.is("form_expired", status).reason("form_expired").has(want)
	}
}
