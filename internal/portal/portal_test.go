package portal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/store"
)

// TestScreens visits every screen in both languages. What holds for every page
// is checked at each of them.
func TestScreens(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		out := tn.from(parvis.Internal, lang)
		for path, screen := range map[string]string{
			"/": "start", "/help": "help", "/channel": "help_channels", "/recover": "recover_start", "/diagnosis": "diagnosis",
			"/legal": "legal_notice", "/privacy": "privacy_notice", "/accessibility": "accessibility_statement",
			"/signin": "sign_in_identifier", "/signout": "signed_out", "/activate": "activation_code", "/offline?lang=" + lang: "offline",
		} {
			out.get(path).is(screen, http.StatusOK).has(`<html lang="` + lang + `"`)
		}
		out.get("/nowhere").is("not_found", http.StatusNotFound)
		out.post("/diagnosis", "reference", "K7QP").is("diagnosis", http.StatusUnprocessableEntity)
		out.post("/activate", "code", "").is("activation_code", http.StatusUnprocessableEntity)
		out.post("/activate", "agent_number", "", "email", "x").is("activation_code", http.StatusUnprocessableEntity).has(`value="x"`)
		in := tn.from(parvis.Internal, lang).signIn("A100001")
		for path, screen := range map[string]string{
			"/": "home", "/?show=open": "home", "/?show=all&q=rien": "home", "/app/finances": "app_detail", "/app/annuaire": "app_detail", "/app/social": "app_detail",
			"/app/urbanisme": "app_detail", "/security": "security", "/security/password": "security_password", "/sessions": "sessions", "/activity": "activity", "/activity?show=sign_in": "activity",
			"/channel": "help_channels", "/help": "help", "/signout": "sign_out",
		} {
			in.get(path).is(screen, http.StatusOK).has("Camille Morel")
		}
		in.get("/app/nothing").is("not_found", http.StatusNotFound)
		mobile := tn.from(parvis.Mobile, lang).signIn("A100004")
		mobile.get("/").is("home", http.StatusOK)
		mobile.get("/app/annuaire").is("app_detail", http.StatusOK)
		mobile.get("/security").is("security", http.StatusOK)
		off := tn.from(parvis.Internal, lang).signIn("A100007")
		off.get("/").is("home", http.StatusOK)
	}
}

func TestDoor(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Internal, "fr")
	first := b.get("/signin").is("sign_in_identifier", http.StatusOK)
	b.post("/signin", "flow", first.hidden("flow"), "identifier", "").is("sign_in_identifier", http.StatusUnprocessableEntity).has("<title>Erreur")
	b.post("/signin", "flow", first.hidden("flow"), "identifier", "someone@gmail.example").is("sign_in_identifier", http.StatusUnprocessableEntity).has("Mon Compte", "someone@gmail.example")
	second := b.post("/signin", "flow", first.hidden("flow"), "identifier", "a100001").is("sign_in_secret", http.StatusOK)
	b.post("/signin", "flow", second.hidden("flow"), "password", "").is("sign_in_secret", http.StatusUnprocessableEntity)
	wrong := b.post("/signin", "flow", second.hidden("flow"), "password", "ce n'est pas le bon").is("sign_in_secret", http.StatusUnprocessableEntity)
	if wrong.attr("data-reason") != "credentials_incorrect" || wrong.attr("data-reference") == "" {
		t.Errorf("reason %q, reference %q", wrong.attr("data-reason"), wrong.attr("data-reference"))
	}
	if strings.Contains(wrong.body, "pas le bon") {
		t.Error("the page repeats a password")
	}
	b.post("/signin", "flow", "garbage", "identifier", "A100001").is("sign_in_identifier", http.StatusUnprocessableEntity)
	b.post("/signin", "flow", second.hidden("flow"), "password", rightOne).to("/")
	b.get("/").is("home", http.StatusOK).has("Bonjour, Camille Morel")
	b.get("/signin").to("/")
	gone := tn.from(parvis.Internal, "fr")
	second = gone.post("/signin", "identifier", "A100009").is("sign_in_secret", http.StatusOK)
	blocked := gone.post("/signin", "flow", second.hidden("flow"), "password", rightOne).is("blocked", http.StatusForbidden)
	if blocked.attr("data-reason") != "account_closed" || blocked.attr("data-reference") == "" {
		t.Errorf("reason %q, reference %q", blocked.attr("data-reason"), blocked.attr("data-reference"))
	}
}

// variable is what no two answers share: sealed flows and references.
var variable = regexp.MustCompile(`name="flow" value="[^"]*"|[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}`)

// TestSameBytes: whatever is typed by somebody who has proven nothing, the
// answer is the same for an identifier that exists and one that does not.
func TestSameBytes(t *testing.T) {
	tn := open(t)
	walk := func(number, email string) []string {
		var all []string
		keep := func(r reply) reply {
			body := strings.ReplaceAll(strings.ReplaceAll(r.body, number, "NUMBER"), email, "EMAIL")
			all = append(all, http.StatusText(r.status)+variable.ReplaceAllString(body, "…"))
			return r
		}
		b := tn.from(parvis.Mobile, "fr")
		second := keep(b.post("/signin", "identifier", number))
		for range 7 {
			second = keep(b.post("/signin", "flow", second.hidden("flow"), "identifier", number, "password", "faux "+time.Duration(len(all)).String()))
		}
		if len(b.cookies) != 0 {
			t.Errorf("%s: a cookie before a proof: %v", number, b.cookies)
		}
		keep(b.post("/activate", "agent_number", number, "email", email))
		keep(b.post("/activate", "agent_number", number, "code", "K7QP-3M9T-XW24"))
		return all
	}
	known, unknown := walk("A100008", "sonia.benali@example.org"), walk("A199999", "nobody.atall@example.org")
	for i := range known {
		if known[i] != unknown[i] {
			t.Errorf("answer %d differs:\n%s\n\n%s", i, known[i], unknown[i])
		}
	}
	if !strings.Contains(strings.Join(known, ""), `data-screen="locked_wait"`) {
		t.Error("no wait was seen: the walk is too short")
	}
}

// TestNoOpenRedirect: no answer leads out of this host but to a configured one.
func TestNoOpenRedirect(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	for _, evil := range []string{
		"https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "javascript:alert(1)",
		"http:evil.example", "/%0d%0aLocation:https://evil.example", "//evil.example/%2f..", "/é", "", "evil", "@evil.example", " //evil.example",
		"/\x00/evil.example", "https:/evil.example", "///evil.example", strings.Repeat("/a", longestPath),
	} {
		q := url.QueryEscape(evil)
		for _, r := range []reply{
			b.get("/signin?return=" + q), b.get("/enter?return=" + q), b.get("/lang?to=en&return=" + q), b.post("/theme", "theme", "dark", "return", evil),
			b.post("/lang", "to", "fr", "return", evil),
		} {
			if r.status != http.StatusSeeOther || r.location != "/" && !(strings.HasPrefix(evil, "/%0d") && r.location == evil) {
				t.Errorf("%s: %d %q", r.path, r.status, r.location)
			}
		}
	}
	// A ticket that was sealed for something else leads nowhere either.
	other, err := tn.portal.Keys.Box("sign-in page").Issue(map[string]string{"p": "/sessions"}, tn.clock.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.get("/signin?return=" + url.QueryEscape(other)).to("/")
}

func TestEnter(t *testing.T) {
	tn := open(t)
	ask := func(app parvis.AppID) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://"+string(app)+"."+internalHost+"/dossier?n=1", nil)
		ticket, err := tn.portal.Sessions.Ask(w, r, app, "/dossier?n=1")
		if err != nil {
			t.Fatal(err)
		}
		return url.QueryEscape(ticket)
	}
	b := tn.from(parvis.Internal, "fr")
	ticket := ask("paie")
	b.get("/enter?return=" + ticket).to("/signin?return=" + ticket)
	first := b.get("/signin?return="+ticket).is("sign_in_context", http.StatusOK).has("Bulletins de paie")
	second := b.post("/signin", "flow", first.hidden("flow"), "return", first.hidden("return"), "identifier", "A100001").is("sign_in_secret", http.StatusOK)
	b.post("/signin", "flow", second.hidden("flow"), "password", rightOne).to("/enter?return=" + ticket)
	in := b.get("/enter?return=" + ticket)
	if prefix := "http://paie." + internalHost + "/.parvis/enter?ticket="; in.status != http.StatusSeeOther || !strings.HasPrefix(in.location, prefix) {
		t.Fatalf("to %q", in.location)
	}
	b.get("/signin?return=" + ticket).to("/enter?return=" + ticket)
	b.get("/enter?return=" + ask("nothing")).to("/")
}

// TestActivationLink: following a link, however often and by whatever method,
// changes nothing and leaves no token in an address.
func TestActivationLink(t *testing.T) {
	tn := open(t)
	size := func() int {
		events, err := tn.store.Events(context.Background(), store.EventFilter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return len(events)
	}
	before := size()
	b := tn.from(parvis.Mobile, "fr")
	for range 3 {
		b.send(http.MethodHead, "/activate?link=TOKEN-OF-A-MAIL", nil).to("/activate/link")
		b.get("/activate?link=TOKEN-OF-A-MAIL").to("/activate/link")
		page := b.get("/activate/link").is("activation_code", http.StatusOK)
		if strings.Contains(page.body, "TOKEN") {
			t.Error("the token is on the page")
		}
	}
	if after := size(); after != before {
		t.Errorf("%d events by only looking", after-before)
	}
	b.post("/activate", "link", "1").is("activation_code", http.StatusUnprocessableEntity)
	b.get("/activate/link").to("/activate")
	b.post("/activate", "link", "1").to("/activate")
}

func TestActivation(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		tn := open(t)
		code, _, err := tn.portal.Desk.Issue(context.Background(), "A100008", "operator:test")
		if err != nil {
			t.Fatal(err)
		}
		b := tn.from(parvis.Mobile, lang)
		b.get("/activate/overview").to("/activate")
		b.post("/activate", "code", code.Reveal()).to("/activate/overview")
		b.get("/activate/overview").is("activation_overview", http.StatusOK).has("A100008")
		b.get("/activate/identity").is("activation_check_identity", http.StatusOK)
		b.get("/activate/identity?wrong=1").is("activation_check_identity", http.StatusOK)
		b.post("/activate/identity", "answer", "wrong", "what", " ").is("activation_check_identity", http.StatusUnprocessableEntity)
		b.post("/activate/identity", "answer", "wrong", "what", "Mon nom").to("/activate/password")
		b.post("/activate/identity", "answer", "right").to("/activate/password")
		for path, screen := range map[string]string{
			"verifier": "activation_verifier", "second": "activation_second_factor", "contact": "activation_contact", "channels": "activation_channels", "password": "activation_agent_account",
		} {
			b.get("/activate/"+path).is(screen, http.StatusOK)
		}
		b.post("/activate/password", "new_password", "").is("activation_agent_account", http.StatusUnprocessableEntity)
		weak := b.post("/activate/password", "new_password", "Benali123").is("activation_agent_account", http.StatusUnprocessableEntity)
		if strings.Contains(weak.body, "Benali123") {
			t.Error("the page repeats a password")
		}
		b.post("/activate/password", "new_password", "phare mandarine escalier lune").to("/activate/done")
		b.get("/activate/done").is("activation_done", http.StatusOK).has("A100008", "sonia.benali@example.org")
		// Twice sent, once done; and nobody is signed in by it. What is not demanded
		// may still be done, until one says that one has finished.
		b.post("/activate/password", "new_password", "phare mandarine escalier lune").to("/activate/overview")
		b.get("/").is("start", http.StatusOK)
		b.get("/activate/done").has(`href="/activate/second"`)
		b.get("/activate/overview").is("activation_overview", http.StatusOK).has(`action="/activate/finish"`)
		b.post("/activate/finish").to("/activate/done")
		b.get("/activate/overview").to("/activate")
		b.post("/activate/finish").to("/activate")
		b.post("/activate/password", "new_password", "phare mandarine escalier lune").to("/activate")
		b.get("/activate/done").is("activation_done", http.StatusOK).hasNot(`href="/activate/second"`)
		again := tn.from(parvis.Mobile, lang)
		again.post("/activate", "code", code.Reveal()).is("activation_code", http.StatusUnprocessableEntity)
		second := again.post("/signin", "identifier", "A100008").is("sign_in_secret", http.StatusOK)
		again.post("/signin", "flow", second.hidden("flow"), "password", "phare mandarine escalier lune").to("/")
		// A task list that is over, in a browser that still holds it.
		lost := tn.from(parvis.Mobile, lang)
		lost.cookies[cookieActivation] = "gone.gone"
		lost.get("/activate/overview").is("activation_code", http.StatusNotFound)
	}
}

func TestSessions(t *testing.T) {
	tn := open(t)
	one, two := tn.from(parvis.Internal, "fr").signIn("A100001"), tn.from(parvis.Mobile, "fr").signIn("A100001")
	stranger := tn.from(parvis.Internal, "fr").signIn("A100010")
	list := one.get("/sessions").is("sessions", http.StatusOK)
	id := list.hidden("session")
	if id == "" || id == "others" {
		t.Fatalf("no session to end: %q", id)
	}
	stranger.post("/sessions", "session", id).to("/sessions?ended=0")
	two.get("/").is("home", http.StatusOK)
	one.post("/sessions", "session", id).to("/sessions?ended=1")
	one.get("/sessions?ended=1").is("sessions", http.StatusOK).has("1 session fermée")
	two.get("/").is("start", http.StatusOK).has("fermée depuis un autre appareil")
	door := two.get("/security")
	if !strings.HasPrefix(door.location, "/signin?return=") {
		t.Errorf("to %q", door.location)
	}
	two.signIn("A100001")
	one.post("/sessions", "session", "others").to("/sessions?ended=1")
	one.post("/sessions", "session", "others").to("/sessions?ended=0")
	one.accept = "application/json"
	if r := one.post("/extend"); r.status != http.StatusNoContent || r.header.Get("Session-Left") != "3600" {
		t.Errorf("extend: %d, %q", r.status, r.header.Get("Session-Left"))
	}
	if r := two.post("/extend"); r.status != http.StatusSeeOther {
		t.Errorf("extend of an ended session: %d", r.status)
	}
	one.accept = "text/html"
	one.post("/signout").to("/signout")
	one.get("/signout").is("signed_out", http.StatusOK)
	one.get("/").is("start", http.StatusOK)
}

// refuse freezes what the engine answers; refuseAct, for one act that the reduced
// version of an application does not do.
func refuse(tn *town, number parvis.AgentNumber, app parvis.AppID, ch parvis.Channel) string {
	tn.t.Helper()
	return freeze(tn, number, app, ch, false)
}

func refuseAct(tn *town, number parvis.AgentNumber, app parvis.AppID, ch parvis.Channel) string {
	tn.t.Helper()
	return freeze(tn, number, app, ch, true)
}

func freeze(tn *town, number parvis.AgentNumber, app parvis.AppID, ch parvis.Channel, full bool) string {
	tn.t.Helper()
	agent, standing, err := tn.portal.Directory.Facts(context.Background(), number)
	if err != nil {
		tn.t.Fatal(err)
	}
	v := &visit{p: tn.portal, origin: parvis.Origin{Channel: ch}, at: tn.portal.now(), agent: agent, standing: standing}
	v.session.Proofs = []parvis.Proof{{Kind: parvis.Password, At: tn.clock.Now()}}
	asked := v.ask(app, ch)
	asked.Full = full
	ref, err := tn.portal.Counter.Refuse(context.Background(), helpdesk.Refusal{
		Agent: number, Origin: v.origin, App: app, Path: "/", Decision: tn.portal.Policy.Explain(asked),
	})
	if err != nil {
		tn.t.Fatal(err)
	}
	return string(ref)
}

func TestWhy(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		b := tn.from(parvis.Mobile, lang).signIn("A100001")
		ref := refuse(tn, "A100001", "finances", parvis.Mobile)
		why := b.get("/why/"+ref).is("why_not", http.StatusOK).has(ref, "01 99 00 10 10")
		if why.attr("data-reason") != "channel_not_allowed factor_required" || why.attr("data-reference") != ref {
			t.Errorf("reasons %q, reference %q", why.attr("data-reason"), why.attr("data-reference"))
		}
		b.get("/why/"+strings.ToLower(strings.ReplaceAll(ref, "-", ""))).is("why_not", http.StatusOK)
		for _, app := range []parvis.AppID{"urbanisme", "social"} {
			b.get("/why/"+refuse(tn, "A100001", app, parvis.Mobile)).is("why_not", http.StatusOK)
		}
		b.get("/why/"+refuse(tn, "A100010", "finances", parvis.Mobile)).is("not_found", http.StatusNotFound)
		b.get("/why/K7QP-3M9T").is("not_found", http.StatusNotFound)
		b.post("/diagnosis", "reference", " "+ref+" ").to("/why/" + ref)
		// What opens by now is offered.
		now := tn.from(parvis.Internal, lang).signIn("A100001")
		open := refuse(tn, "A100001", "urbanisme", parvis.Mobile)
		now.get("/why/"+open).is("why_not", http.StatusOK).has("http://urbanisme." + internalHost + "/")
		// Signed out: the door first, then back.
		out := tn.from(parvis.Mobile, lang)
		door := out.get("/why/" + ref)
		first := out.get(door.location).is("sign_in_identifier", http.StatusOK)
		second := out.post("/signin", "flow", first.hidden("flow"), "return", first.hidden("return"), "identifier", "A100001")
		out.post("/signin", "flow", second.hidden("flow"), "password", rightOne).to("/why/" + ref)
		b.accept = "application/json"
		if r := b.get("/why/" + ref); !strings.Contains(r.body, `"code":"channel_not_allowed"`) {
			t.Errorf("for a program: %s", r.body)
		}
		out = tn.from(parvis.Mobile, lang)
		out.accept = "application/json"
		if r := out.get("/why/" + ref); r.status != http.StatusUnauthorized {
			t.Errorf("for a program without a session: %d", r.status)
		}
	}
}

func TestLauncher(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Mobile, "fr").signIn("A100001")
	b.get("/").is("home", http.StatusOK).has("Pas depuis le portail mobile", "au bureau", "Sur demande", "version réduite", "http://messagerie."+mobileHost+"/", "/app/finances")
	open := b.get("/?show=open").is("home", http.StatusOK)
	if strings.Contains(open.body, "/app/finances") || !strings.Contains(open.body, "messagerie.") {
		t.Error("only what opens is to be shown")
	}
	b.get("/?q=CONGES").is("home", http.StatusOK).has("http://conges.")
	if found := b.get("/?q=congés"); strings.Contains(found.body, "http://messagerie.") {
		t.Error("the search finds everything")
	}
	b.get("/?q=%3Cscript%3E").is("home", http.StatusOK).has("&lt;script&gt;")
	tn.down["messagerie"] = tn.clock.Now().Add(-time.Hour)
	b.get("/").is("home", http.StatusOK).has("Indisponible")
	b.get("/app/messagerie").is("app_detail", http.StatusOK)
	in := tn.from(parvis.Internal, "fr").signIn("A100001")
	in.get("/").is("home", http.StatusOK).has("vérification demandée", "http://urbanisme.")
	tn.clock.Move(12 * time.Hour)
	night := tn.from(parvis.Internal, "fr").signIn("A100001")
	night.get("/").is("home", http.StatusOK).has("Fermé à cette heure", "/app/urbanisme")
	night.get("/app/urbanisme").is("app_detail", http.StatusOK)
}

func TestEntrances(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		unknown := tn.from("", lang)
		for _, path := range []string{"/", "/signin", "/legal", "/nowhere"} {
			if r := unknown.get(path).is("blocked", http.StatusForbidden); r.attr("data-reason") != "channel_unknown" || r.attr("data-reference") == "" {
				t.Errorf("%s: %q", path, r.attr("data-reason"))
			}
		}
		if r := unknown.get("/sw.js"); r.status != http.StatusOK {
			t.Errorf("an asset: %d", r.status)
		}
		outside := tn.from(parvis.Mobile, lang)
		outside.host = internalHost
		if r := outside.get("/signin").is("blocked", http.StatusForbidden); r.attr("data-reason") != "internal_address_outside" {
			t.Errorf("%q", r.attr("data-reason"))
		}
		// Where the gateway sends whoever used an application's internal address.
		sent := tn.from(parvis.Mobile, lang)
		if r := sent.get("/?reason=internal_address_outside").is("blocked", http.StatusForbidden); r.attr("data-reason") != "internal_address_outside" {
			t.Errorf("%q", r.attr("data-reason"))
		}
		sent.get("/?reason=credentials_incorrect").is("start", http.StatusOK)
		inside := tn.from(parvis.Internal, lang)
		inside.host = mobileHost
		inside.get("/help").to("http://" + internalHost + "/help")
	}
	b := tn.from(parvis.Internal, "fr")
	b.get("/lang?to=en&return=/help").to("/help")
	b.get("/help").is("help", http.StatusOK).has(`<html lang="en"`)
	b.post("/theme", "theme", "dark", "return", "/help").to("/help")
	b.get("/help").is("help", http.StatusOK).has(`data-theme="dark"`)
	b.post("/theme", "theme", "system", "return", "/help").to("/help")
	if r := b.get("/help"); strings.Contains(r.body, "data-theme=") {
		t.Error("the theme is the system's again")
	}
	b.get("/manifest.webmanifest")
	if r := b.get("/.well-known/jwks.json"); r.status != http.StatusOK {
		t.Errorf("keys: %d", r.status)
	}
}

func FuzzLocal(f *testing.F) {
	for _, s := range []string{"/", "//a", "/\\a", "/a?b=//c", "/a#b", "", "/%2f/evil"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://agents.example.org/signin")
	f.Fuzz(func(t *testing.T, s string) {
		if !local(s) {
			return
		}
		u, err := base.Parse(s)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme {
			t.Errorf("%q leads to %v (%v)", s, u, err)
		}
	})
}

// TestPasswordChange: somebody whose password leaked chooses another one before
// anything else, and goes on to where they were going.
func TestPasswordChange(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		tn := open(t)
		err := tn.store.Write(context.Background(), func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "password.leaked", Agent: "A100001", Actor: "operator:test"})
			return tx.SetPasswordLeaked(context.Background(), "A100001")
		})
		if err != nil {
			t.Fatal(err)
		}
		b := tn.from(parvis.Mobile, lang)
		door := b.get("/security")
		first := b.get(door.location)
		second := b.post("/signin", "flow", first.hidden("flow"), "return", first.hidden("return"), "identifier", "A100001")
		change := b.post("/signin", "flow", second.hidden("flow"), "password", rightOne).is("password_change_required", http.StatusOK)
		empty := b.post("/signin", "flow", change.hidden("flow"), "new_password", "").is("password_change_required", http.StatusUnprocessableEntity)
		weak := b.post("/signin", "flow", empty.hidden("flow"), "new_password", "motdepasse").is("password_change_required", http.StatusUnprocessableEntity).has("strength-1")
		if strings.Contains(weak.body, "motdepasse\"") {
			t.Error("the page repeats a password")
		}
		b.get("/").is("start", http.StatusOK)
		b.post("/signin", "flow", weak.hidden("flow"), "new_password", "phare mandarine escalier lune").to("/security")
		b.get("/security").is("security", http.StatusOK)
		// Sent twice, it serves once.
		b.post("/signin", "flow", weak.hidden("flow"), "new_password", "tambour verger argile signal").is("sign_in_identifier", http.StatusUnprocessableEntity)
	}
}

func TestFailure(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		for _, c := range []struct {
			status int
			screen string
		}{
			{http.StatusBadRequest, "form_expired"},
			{http.StatusForbidden, "form_expired"},
			{http.StatusNotFound, "not_found"},
			{http.StatusConflict, "form_expired"},
			{http.StatusRequestEntityTooLarge, "form_expired"},
			{http.StatusTooManyRequests, "service_unavailable"},
			{http.StatusServiceUnavailable, "service_unavailable"},
			{http.StatusInternalServerError, "service_problem"},
		} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "http://"+mobileHost+"/signin", nil)
			r.Header.Set("Accept-Language", lang)
			tn.portal.Failure(w, edge.WithOrigin(r, parvis.Origin{Channel: parvis.Mobile}), edge.Failure{Status: c.status, Retry: 3 * time.Second})
			out := reply{t, c.screen, w.Code, w.Result().Header, w.Body.String(), ""}
			out.sound()
			out.is(c.screen, c.status)
		}
	}
	// A form from elsewhere is refused before it is read.
	b := tn.from(parvis.Mobile, "fr")
	r := httptest.NewRequest(http.MethodPost, "/signin", strings.NewReader("identifier=A100001"))
	r.Host = mobileHost
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	b.doors[parvis.Mobile].ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `data-screen="form_expired"`) {
		t.Errorf("%d", w.Code)
	}
}

// TestJournal: a sign-in is one line; what was written down before the password
// was looked at is not told as a failure.
func TestJournal(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Internal, "fr")
	second := b.post("/signin", "identifier", "A100001")
	b.post("/signin", "flow", second.hidden("flow"), "password", "un mauvais mot de passe")
	b.signIn("A100001")
	journal := b.get("/activity").is("activity", http.StatusOK)
	if n := strings.Count(journal.body, "Mot de passe faux"); n != 1 {
		t.Errorf("%d wrong passwords told, want 1", n)
	}
	if n := strings.Count(journal.body, "Session ouverte"); n != 1 {
		t.Errorf("%d sessions told, want 1", n)
	}
}
