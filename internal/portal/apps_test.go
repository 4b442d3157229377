package portal

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
)

// tell gives an application something of an agent, as a protocol does.
func (tn *town) tell(number parvis.AgentNumber, g store.Grant) {
	tn.t.Helper()
	tn.write("grant.began", number, func(tx *store.Tx) error {
		if g.Session == (parvis.SessionID{}) && !g.Offline {
			open, err := tn.portal.Sessions.List(context.Background(), number)
			if err != nil {
				return err
			}
			g.Session = open[0].ID
		}
		g.Agent, g.Began, g.Body = number, tx.Now(), []byte("sealed")
		if g.Expires.IsZero() {
			g.Expires = tx.Now().Add(time.Hour)
		}
		ok, err := tx.PutGrant(context.Background(), g)
		if err == nil && !ok {
			tn.t.Errorf("%s was not written", g.ID)
		}
		return err
	})
}

// TestApplicationsThatKnow: what applications hold is listed, and taken back after
// it was said what that changes; nobody takes back what is another's.
func TestApplicationsThatKnow(t *testing.T) {
	tn := open(t)
	tn.declare(wiki())
	other := tn.from(parvis.Internal, "fr").signIn("A100010")
	tn.tell("A100010", store.Grant{ID: "other", Protocol: parvis.OIDC, App: "finances", Channel: parvis.Internal, SID: "s9"})
	for _, lang := range []string{"fr", "en"} {
		b := tn.from(parvis.Internal, lang).signIn("A100001")
		none := map[string]string{"fr": "Aucune application", "en": "No application"}[lang]
		b.get("/security").is("security", http.StatusOK).has(`href="/security/applications"`)
		b.get("/security/applications").is("security_apps", http.StatusOK).has(none)

		tn.tell("A100001", store.Grant{ID: "g1" + lang, Protocol: parvis.OIDC, App: "wiki", Channel: parvis.Internal, SID: "s1", Tells: true})
		tn.tell("A100001", store.Grant{
			ID: "g2" + lang, Protocol: parvis.OIDC, App: "wiki", Channel: parvis.Internal, SID: "s1", Offline: true, Expires: tn.clock.Now().AddDate(0, 0, 90),
		})
		tn.tell("A100001", store.Grant{ID: "g3" + lang, Protocol: parvis.CAS, App: "urbanisme", Channel: parvis.Mobile, SID: "s2", Tells: true})
		tn.write("consent.given", "A100001", func(tx *store.Tx) error {
			for id, expires := range map[string]time.Time{"c1": {}, "c2": tx.Now().Add(-time.Minute)} {
				app := parvis.AppID("wiki")
				if id == "c2" {
					app = "finances"
				}
				if _, err := tx.PutDocument(context.Background(), store.Document{Kind: "consent", ID: id + lang, Agent: "A100001", App: app, Expires: expires}); err != nil {
					return err
				}
			}
			return nil
		})
		list := b.get("/security/applications").is("security_apps", http.StatusOK)
		list.has(`href="/security/applications/wiki"`, `href="/security/applications/urbanisme"`, map[string]string{"fr": "Vous avez accepté", "en": "You agreed"}[lang])
		list.hasNot("/security/applications/finances")

		// Opening the page changes nothing.
		end := b.get("/security/applications/wiki").is("security_app_end", http.StatusOK).has("Wiki", `action="/security/applications/wiki"`)
		end.has(map[string]string{"fr": "Votre accord est retiré", "en": "You withdraw your agreement"}[lang])
		b.get("/security/applications").has("/security/applications/wiki")
		b.get("/security/applications/finances").to("/security/applications") // another's
		b.post("/security/applications/finances").to("/security/applications")
		other.get("/security/applications").has("/security/applications/finances")

		b.post("/security/applications/wiki").to("/security/applications?ended=wiki")
		b.get("/security/applications?ended=wiki").has(map[string]string{"fr": "est retiré", "en": "You took back"}[lang]).hasNot("/security/applications/wiki")
		for _, id := range []string{"g1", "g2"} {
			g, err := tn.store.Grant(t.Context(), id+lang)
			if err != nil || g.Ended.IsZero() || g.Why != "taken_back" {
				t.Errorf("%s: %+v %v", id, g, err)
			}
		}
		notices, err := tn.store.DueNotices(t.Context(), tn.clock.Now(), 9)
		if err != nil || len(notices) == 0 {
			t.Errorf("nobody is told: %v", err)
		}
		b.post("/security/applications/wiki").to("/security/applications") // once more is done already
		b.post("/security/applications/urbanisme").to("/security/applications?ended=urbanisme")
		b.post("/signout")
	}
	for kind, want := range map[string]int{"grant.ended": 4, "consent.withdrawn": 2} {
		events, err := tn.store.Events(t.Context(), store.EventFilter{Agent: "A100001", Kind: kind, Limit: 50})
		n := 0
		for _, e := range events {
			if e.Detail["why"] == "taken_back" && e.Actor == "A100001" && e.App != "" {
				n++
			}
		}
		if err != nil || n != want {
			t.Errorf("%d events %s, %v", n, kind, err)
		}
	}
}

// TestSignOutTellsTheBrowser: signing out ends everything, and the page after it
// frames what applications asked for, once, and nothing else.
func TestSignOutTellsTheBrowser(t *testing.T) {
	tn := open(t)
	tn.declare(wiki())
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	tn.tell("A100001", store.Grant{ID: "g1", Protocol: parvis.OIDC, App: "wiki", Channel: parvis.Internal, SID: "s&1"})
	tn.tell("A100001", store.Grant{ID: "g2", Protocol: parvis.OIDC, App: "wiki", Channel: parvis.Internal, SID: "s&1"})
	tn.tell("A100001", store.Grant{ID: "g3", Protocol: parvis.CAS, App: "urbanisme", Channel: parvis.Internal, SID: "s2"})
	out := b.post("/signout")
	if out.status != http.StatusSeeOther || !strings.HasPrefix(out.location, "/signout?told=") {
		t.Fatalf("%d %q", out.status, out.location)
	}
	seen := b.get(out.location).is("signed_out", http.StatusOK)
	want := `<iframe src="https://wiki.example.org/out?iss=` + url.QueryEscape("http://"+internalHost) + `&amp;sid=s%261&amp;x=1" hidden`
	if strings.Count(seen.body, "<iframe") != 1 || !strings.Contains(seen.body, want) {
		t.Errorf("no frame %s\n%s", want, seen.main())
	}
	if got := seen.policy(); !strings.HasSuffix(got, "; frame-src https://wiki.example.org") {
		t.Errorf("policy %s", got)
	}
	for _, id := range []string{"g1", "g2", "g3"} {
		if g, err := tn.store.Grant(t.Context(), id); err != nil || g.Ended.IsZero() {
			t.Errorf("%s goes on: %+v %v", id, g, err)
		}
	}
	tn.clock.Move(10 * time.Minute)
	for _, told := range []string{strings.TrimPrefix(out.location, "/signout?told="), "x", ""} {
		old := tn.from(parvis.Internal, "fr").get("/signout?told="+told).is("signed_out", http.StatusOK).hasNot("<iframe")
		if strings.Contains(old.policy(), "frame-src") {
			t.Errorf("%q: policy %s", told, old.policy())
		}
	}
	// Without such applications, as before.
	tn.from(parvis.Internal, "fr").signIn("A100010").post("/signout").to("/signout")
}

// appScreens are those of applications that speak a protocol.
func appScreens(tn *town, visit func(parvis.Channel) *visitor, all map[string]reply, unique string) {
	way := func(address string, err error) string {
		if err != nil {
			tn.t.Fatal(err)
		}
		return address
	}
	const path = "/authorize?client_id=wiki&sp_name=D%C3%A9marches+simplifi%C3%A9es"
	all["sign_in_service"] = visit(parvis.Mobile).get(way(tn.portal.SignInTo(path, "wiki", "camille.morel+a@example.org")))
	office, out := visit(parvis.Internal).signIn("A100001"), visit(parvis.Mobile).signIn("A100001")
	all["apps_none"] = office.get(appsPath)
	tn.tell("A100001", store.Grant{ID: "a" + unique, Protocol: parvis.OIDC, App: "wiki", Channel: parvis.Internal, SID: "s1", Tells: true})
	tn.tell("A100001", store.Grant{ID: "b" + unique, Protocol: parvis.OIDC, App: "notes", Channel: parvis.Mobile, SID: "s1", Offline: true, Expires: tn.clock.Now().AddDate(0, 0, 90)})
	tn.write("consent.given", "A100001", func(tx *store.Tx) error {
		_, err := tx.PutDocument(context.Background(), store.Document{Kind: "consent", ID: unique, Agent: "A100001", App: "wiki"})
		return err
	})
	all["apps"], all["app_end"], all["app_end_untold"] = office.get(appsPath), office.get(appsPath+"/wiki"), office.get(appsPath+"/notes")
	for _, level := range []string{"eidas1", "eidas1-mfa", "eidas2", "eidas3"} {
		all["prove_"+level] = office.get(way(tn.portal.ProveTo(path, "wiki", level)))
	}
	all["prove_forbidden"] = out.get(way(tn.portal.ProveTo(path, "wiki", "eidas2")))
	all["app_elsewhere"], all["app_reduced"] = office.get("/app/wiki"), out.get("/app/notes")
	all["why_reduced"] = out.get("/why/" + refuseAct(tn, "A100001", "notes", parvis.Mobile))
	office.post(appsPath + "/wiki")
	office.post(appsPath + "/notes")
}
