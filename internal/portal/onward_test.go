package portal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// wiki is an application of another house that speaks OpenID Connect and CAS.
func wiki() parvis.App {
	return parvis.App{
		ID: "wiki", Name: parvis.Words{FR: "Wiki", EN: "Wiki"}, Purpose: parvis.Words{FR: "Notes partagées", EN: "Shared notes"},
		Channels: parvis.Channels(), Start: "https://wiki.example.org/start",
		OIDC: &parvis.OIDCClient{Redirects: []string{"https://wiki.example.org/callback", "http://127.0.0.1/cb"}, FrontChannel: "https://wiki.example.org/out?x=1"},
		CAS:  &parvis.CASService{Services: []string{"https://cas.example.org/app/"}},
	}
}

func (r reply) policy() string { return r.header.Get("Content-Security-Policy") }

// formAction is what the policy of an answer says of forms.
func (r reply) formAction() string {
	_, rest, _ := strings.Cut(r.policy(), "form-action ")
	rest, _, _ = strings.Cut(rest, ";")
	return rest
}

const wikiLeads = " https://wiki.example.org http://127.0.0.1:* https://cas.example.org"

// TestSignInTo: the door says for which application it is, knows who is expected,
// leads back to the very question, and lets its forms end there and nowhere else.
func TestSignInTo(t *testing.T) {
	tn := open(t)
	tn.declare(wiki())
	plain := tn.from(parvis.Internal, "fr").get("/signin").formAction()
	if strings.Contains(plain, "example.org") {
		t.Fatalf("forms of the plain door may end at %q", plain)
	}
	for lang, title := range map[string]string{"fr": "Ouvrez une session pour continuer vers Wiki", "en": "Sign in to continue to Wiki"} {
		path := "/authorize?client_id=wiki&state=" + lang + "&after=xyz"
		door, err := tn.portal.SignInTo(path, "wiki", "camille.morel+proconnect@example.org")
		if err != nil {
			t.Fatal(err)
		}
		b := tn.from(parvis.Internal, lang)
		first := b.get(door).is("sign_in_context", http.StatusOK).has(title, `value="camille.morel@example.org"`)
		second := b.post("/signin", "flow", first.hidden("flow"), "return", first.returns(), "identifier", "A100001").is("sign_in_secret", http.StatusOK)
		wrong := b.post("/signin", "flow", second.hidden("flow"), "return", second.returns(), "password", "faux").is("sign_in_secret", http.StatusUnprocessableEntity)
		for _, r := range []reply{first, second, wrong} {
			if got := r.formAction(); got != plain+wikiLeads {
				t.Errorf("%s: forms may end at %q", r.path, got)
			}
		}
		// What was typed is not replaced by what was expected.
		none := b.post("/signin", "flow", first.hidden("flow"), "return", first.returns(), "identifier", "").is("sign_in_context", http.StatusUnprocessableEntity)
		none.hasNot(`value="camille.morel@example.org"`)
		b.post("/signin", "flow", wrong.hidden("flow"), "return", wrong.returns(), "password", rightOne).to(path)
		b.get(door).to(path) // whoever is in goes on at once
	}
}

// TestServiceName: a federation says for which service it asks. Anybody can write
// that: it is text, it is short, and our name stands beside it.
func TestServiceName(t *testing.T) {
	tn := open(t)
	tn.declare(wiki())
	for name, want := range map[string]string{
		"Démarches":                 "vers Démarches (Wiki)",
		"<script>alert(1)</script>": "vers &lt;script&gt;alert(1)&lt;/script&gt; (Wiki)",
		"Wiki":                      "vers Wiki<",
		" \u202e\u0000 ":            "vers Wiki<",
		strings.Repeat("x", 81):     "vers Wiki<",
		"":                          "vers Wiki<",
		"{org} ⟦x⟧"[:len("{org} ")]: "vers {org} (Wiki)",
		"A\r\nSet-Cookie: x=1":      "vers ASet-Cookie: x=1 (Wiki)",
	} {
		door, err := tn.portal.SignInTo("/authorize?sp_name="+url.QueryEscape(name), "wiki", "")
		if err != nil {
			t.Fatal(err)
		}
		tn.from(parvis.Internal, "fr").get(door).is("sign_in_context", http.StatusOK).has(want)
	}
}

func TestHints(t *testing.T) {
	for hint, want := range map[string]string{
		"camille@example.org": "camille@example.org", "camille+a+b@example.org": "camille@example.org", "+a@example.org": "+a@example.org",
		"A100001": "A100001", "+33 6 00 00 00 00": "+33 6 00 00 00 00", "  x\n ": "x", strings.Repeat("a", 255): "", "\xff": "",
	} {
		if got := tidyHint(hint); got != want {
			t.Errorf("%q becomes %q", hint, got)
		}
	}
}

// TestLongWay: a question of 6,000 signs comes back whole, through every page
// that carries it; a longer one is refused, as is what is not of this host.
func TestLongWay(t *testing.T) {
	tn := open(t)
	tn.declare(wiki())
	path := "/authorize?client_id=wiki&" + strings.Repeat("&", 40)
	path += "state=" + strings.Repeat("s", longestWay-len(path)-6)
	door, err := tn.portal.SignInTo(path, "wiki", "")
	if err != nil || len(path) != longestWay {
		t.Fatal(len(path), err)
	}
	b := tn.from(parvis.Internal, "fr")
	b.get("/lang?to=en&return=" + url.QueryEscape(door)).to(door)
	first := b.get(door).is("sign_in_context", http.StatusOK)
	second := b.post("/signin", "flow", first.hidden("flow"), "return", first.returns(), "identifier", "A100001").is("sign_in_secret", http.StatusOK)
	b.post("/signin", "flow", second.hidden("flow"), "return", second.returns(), "password", rightOne).to(path)
	prove, err := tn.portal.ProveTo(path, "wiki", "eidas2")
	if err != nil {
		t.Fatal(err)
	}
	b.get(prove).is("prove_level", http.StatusOK)
	// The session ends meanwhile: one more door around all of it.
	again := tn.from(parvis.Internal, "fr").get(prove)
	first = b.get(again.location)
	if first.to(prove); again.status != http.StatusSeeOther || !strings.HasPrefix(again.location, "/signin?return=") {
		t.Errorf("%d %q", again.status, again.location)
	}
	for _, bad := range []string{path + "x", "https://evil.example/", "//evil.example", "", "authorize", "/a b"} {
		if _, err := tn.portal.SignInTo(bad, "wiki", ""); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("a way back to %.40q: %v", bad, err)
		}
		if _, err := tn.portal.ProveTo(bad, "wiki", "eidas2"); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("a proof for %.40q: %v", bad, err)
		}
	}
	if _, err := tn.portal.ProveTo("/authorize", "wiki", "eidas4"); parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("a level that is none: %v", err)
	}
}

// TestProveTo: only what reaches the level is asked for; it is added on the way
// by whoever holds none, and one comes back in either case.
func TestProveTo(t *testing.T) {
	tn := open(t)
	tn.declare(wiki())
	for _, lang := range []string{"fr", "en"} {
		number := map[string]string{"fr": "A100001", "en": "A100010"}[lang]
		path := "/authorize?client_id=wiki&after=" + lang
		prove, err := tn.portal.ProveTo(path, "wiki", "eidas2")
		if err != nil {
			t.Fatal(err)
		}
		b := tn.from(parvis.Internal, lang).signIn(number)
		why := map[string]string{"fr": "Ce service demande une vérification renforcée", "en": "This service asks for a stronger check"}[lang]
		none := b.get(prove).is("prove_level", http.StatusOK).has(why, "Wiki", `href="`+strings.ReplaceAll(path, "&", "&amp;")+`&amp;unmet=1"`)
		none.has(`href="/security/factors/totp?return=`, `href="/security/factors/passkey?return=`).hasNot(`/factors/sms`, `/factors/codes`)
		enrol := "/security/factors/totp?return=" + strings.TrimPrefix(prove, "/prove?return=")
		first := b.get(enrol).is("security_factors_totp", http.StatusOK).has(`action="`+enrol+`"`, `href="`+prove+`"`)
		if !strings.HasSuffix(first.formAction(), wikiLeads) {
			t.Errorf("the form of a method may end at %q", first.formAction())
		}
		secret := keyShape.FindStringSubmatch(first.body)[1]
		b.post(enrol, "ticket", first.hidden("ticket"), "code", "000000").is("security_factors_totp", http.StatusUnprocessableEntity).has(`action="` + enrol + `"`)
		b.post(enrol, "ticket", first.hidden("ticket"), "code", codeAt(t, secret, tn.clock.Now())).to(prove)
		b.get(prove).to(path) // it was just shown

		// Another day, another session: the method is asked for, and no lesser one.
		tn.clock.Move(20 * time.Minute)
		b.post("/signout")
		b = tn.from(parvis.Internal, lang).signIn(number)
		asked := b.get(prove).is("second_factor", http.StatusOK).has(why, "Wiki", "unmet=1").hasNot(`value="temporary_code"`)
		if !strings.HasSuffix(asked.formAction(), wikiLeads) {
			t.Errorf("the form of a proof may end at %q", asked.formAction())
		}
		bad := b.post("/prove", "flow", asked.hidden("flow"), "return", asked.returns(), "code", "000000").is("second_factor", http.StatusUnprocessableEntity)
		b.post("/prove", "flow", bad.hidden("flow"), "return", bad.returns(), "code", codeAt(t, secret, tn.clock.Now())).to(prove)
		b.get(prove).to(path)

		// What it reaches is not taken for more.
		more, err := tn.portal.ProveTo(path, "wiki", "eidas3")
		if err != nil {
			t.Fatal(err)
		}
		b.get(more).is("prove_level", http.StatusOK).has(`href="/security/factors/passkey?return=`).hasNot(`/factors/totp`)
	}
}

// TestLesserProofIsNotTheLevel: a temporary code lets one in where any second
// proof will do, and lets one add a method; it never passes for a stronger one.
func TestLesserProofIsNotTheLevel(t *testing.T) {
	tn := open(t)
	tn.declare(wiki())
	prove, err := tn.portal.ProveTo("/authorize?x=1", "wiki", "eidas2")
	if err != nil {
		t.Fatal(err)
	}
	out := tn.from(parvis.Mobile, "fr").signIn("A100001")
	// Outside nobody adds a method with a password alone: who helps is said.
	stuck := out.get(prove).is("prove_level", http.StatusOK).has("Denis Caron", "/security/factors/request?return=", "unmet=1").hasNot("/security/factors/totp")
	with := linkTo(stuck, "method=temporary_code")
	code := tn.temporary("A100001")
	asked := out.get(with).is("second_factor", http.StatusOK)
	if !strings.HasSuffix(asked.formAction(), wikiLeads) {
		t.Errorf("the form of a temporary code may end at %q", asked.formAction())
	}
	out.post("/prove", "flow", asked.hidden("flow"), "return", asked.returns(), "method", "temporary_code", "code", code).to(prove)
	out.get(prove).is("prove_level", http.StatusOK).has("/security/factors/totp?return=")
	// The same code is enough for the level of any two factors.
	lesser, err := tn.portal.ProveTo("/authorize?x=1", "wiki", "eidas1-mfa")
	if err != nil {
		t.Fatal(err)
	}
	out.get(lesser).to("/authorize?x=1")
}

// temporary is the code that the IT contact hands over.
func (tn *town) temporary(number parvis.AgentNumber) string {
	tn.t.Helper()
	code := ""
	tn.write("agent.changed", number, func(tx *store.Tx) error {
		made, _, err := tn.portal.Vault.IssueTemporaryCode(context.Background(), tx, number, "A100010", "test", time.Hour)
		code = made.Reveal()
		return err
	})
	return code
}

// linkTo finds the first link whose address holds part.
func linkTo(r reply, part string) string {
	r.t.Helper()
	for _, piece := range strings.Split(r.body, `href="`)[1:] {
		if href, _, _ := strings.Cut(piece, `"`); strings.Contains(href, part) {
			return strings.ReplaceAll(href, "&amp;", "&")
		}
	}
	r.t.Fatalf("%s: no link with %q\n%s", r.path, part, r.main())
	return ""
}

// TestProveAgain: who came in is asked once more, by what they came in with.
func TestProveAgain(t *testing.T) {
	tn := open(t)
	tn.declare(wiki())
	prove, err := tn.portal.ProveTo("/authorize?max_age=0", "wiki", "eidas1")
	if err != nil {
		t.Fatal(err)
	}
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	b.addTOTP("/security/factors/totp")
	asked := b.get(prove).is("prove_password", http.StatusOK).has("Wiki demande que vous confirmiez qui vous êtes", "unmet=1").hasNot("temporary_code")
	if !strings.HasSuffix(asked.formAction(), wikiLeads) {
		t.Errorf("forms may end at %q", asked.formAction())
	}
	b.post("/prove", "flow", asked.hidden("flow"), "return", asked.returns(), "password", "").is("prove_password", http.StatusUnprocessableEntity)
	bad := b.post("/prove", "flow", asked.hidden("flow"), "return", asked.returns(), "password", "faux").is("prove_password", http.StatusUnprocessableEntity)
	b.post("/prove", "flow", bad.hidden("flow"), "return", bad.returns(), "password", rightOne).to("/authorize?max_age=0")
	any, err := tn.portal.ProveTo("/authorize?x=2", "wiki", "")
	if err != nil {
		t.Fatal(err)
	}
	b.get(any).is("second_factor", http.StatusOK).hasNot("unmet=1")
}

// TestShow: a page of another part of the program, as those of the portal.
func TestShow(t *testing.T) {
	tn := open(t)
	show := func(b *visitor, status int) reply {
		r := httptest.NewRequest(http.MethodGet, "/consent?x=1", nil)
		r.Host = b.host
		r.Header.Set("Accept", b.accept)
		r.Header.Set("Accept-Language", b.lang)
		for name, value := range b.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		r = edge.WithOrigin(r, parvis.Origin{Channel: b.entrance, Address: "192.0.2.1"})
		w := httptest.NewRecorder()
		err := tn.portal.Show(w, r, status, func(l text.Lang) page.Page {
			pg := page.Page{Screen: "consent", Title: "Titre " + string(l)}
			if status >= http.StatusBadRequest {
				pg.Reasons = []string{"form_expired"}
			}
			return pg
		})
		if err != nil {
			t.Fatal(err)
		}
		return reply{t, "show", w.Code, w.Header(), w.Body.String(), ""}
	}
	out := tn.from(parvis.Mobile, "en")
	got := show(out, http.StatusOK).is("consent", http.StatusOK).has("Titre en", `lang="en"`, "/lang?to=fr&amp;return=%2Fconsent%3Fx%3D1").hasNot("/signout")
	got.sound()
	in := tn.from(parvis.Internal, "fr").signIn("A100001")
	show(in, http.StatusOK).has("Titre fr", "Camille Morel", `action="/signout"`).sound()
	in.accept = "application/json"
	if got := show(in, http.StatusBadRequest); got.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(got.body, "form_expired") {
		t.Errorf("a program reads %s %s", got.header.Get("Content-Type"), got.body)
	}
}

// TestStart: an application that the gateway does not serve is entered where it
// says, marked as another site; without such a place it has no tile.
func TestStart(t *testing.T) {
	tn := open(t)
	hidden := wiki()
	hidden.ID, hidden.Name, hidden.Start = "cachee", parvis.Words{FR: "Cachée", EN: "Hidden"}, ""
	both := wiki()
	both.ID, both.Name, both.Upstream = "double", parvis.Words{FR: "Double", EN: "Double"}, "http://127.0.0.1:9"
	tn.declare(wiki(), hidden, both)
	for _, lang := range []string{"fr", "en"} {
		b := tn.from(parvis.Internal, lang).signIn("A100001")
		home := b.get("/").is("home", http.StatusOK)
		home.has(`href="https://wiki.example.org/start" rel="noopener"`, map[string]string{"fr": "site extérieur au portail", "en": "outside the portal"}[lang])
		home.has(`href="http://double.agents.localhost:8080/"`).hasNot("Cachée", "Hidden")
		b.get("/app/wiki").is("app_detail", http.StatusOK).has(`href="https://wiki.example.org/start" rel="noopener"`)
		b.get("/app/cachee").is("app_detail", http.StatusOK).hasNot("https://wiki.example.org/start")
	}
	// The way back into it leads there too, by what is configured.
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	for id, want := range map[parvis.AppID]string{"wiki": "https://wiki.example.org/start", "cachee": "http://" + internalHost + "/app/cachee"} {
		ticket, err := tn.portal.wicket.returns.Issue(localReturn{Path: "/", App: id}, tn.clock.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		b.get("/enter?return=" + url.QueryEscape(ticket)).to(want)
	}
}

// TestReduced: a refusal of one act says so, and that the rest stays open.
func TestReduced(t *testing.T) {
	tn := open(t)
	app := wiki()
	app.OIDC, app.CAS, app.Start, app.Upstream = nil, nil, "", "http://127.0.0.1:9"
	app.Reduced, app.ReducedTo = []parvis.Channel{parvis.Mobile}, []string{"GET /"}
	app.ReducedCan, app.ReducedNot = parvis.Words{FR: "chercher", EN: "search"}, parvis.Words{FR: "exporter", EN: "export"}
	tn.declare(app)
	for lang, words := range map[string][]string{
		"fr": {"Cette action n&#39;est pas possible sur le portail mobile", "Vous pouvez : chercher.", "Vous ne pouvez pas : exporter.", "Wiki reste ouverte ici", "Ouvrir la version réduite", "asser par un poste au bureau"},
		"en": {"You cannot do this on the mobile portal", "You can: search.", "You cannot: export.", "You can still open Wiki here", "Open the reduced version", "se an office workstation"},
	} {
		b := tn.from(parvis.Mobile, lang).signIn("A100001")
		b.get("/app/wiki").is("app_detail", http.StatusOK).has(app.ReducedCan.In(lang), app.ReducedNot.In(lang))
		ref := refuseAct(tn, "A100001", "wiki", parvis.Mobile)
		why := b.get("/why/"+ref).is("why_not", http.StatusOK).has(`data-reason="app_reduced_here"`)
		for _, w := range words {
			if !strings.Contains(strings.ReplaceAll(why.body, "\u00a0", " "), w) {
				t.Errorf("%s: %q is not on the page\n%s", lang, w, why.main())
			}
		}
		// Where no way was found, the page still says where the rest is.
		bare, err := tn.portal.Counter.Refuse(t.Context(), helpdesk.Refusal{
			Agent: "A100010", Origin: parvis.Origin{Channel: parvis.Mobile}, App: "wiki", Path: "/export",
			Decision: parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyAppReducedHere}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		tn.from(parvis.Mobile, lang).signIn("A100010").get("/why/" + string(bare)).has(map[string]string{"fr": "Pour cette action, ouvrez Wiki", "en": "For this action, open Wiki"}[lang])
		b.accept = "application/json"
		if got := b.get("/why/" + ref); !strings.Contains(got.body, "app_reduced_here") {
			t.Errorf("a program reads %s", got.body)
		}
	}
}

// TestWhyOfAProtocol: the ways out of a refusal met on the way to an application
// that speaks a protocol lead into it again, not to a bare endpoint.
func TestWhyOfAProtocol(t *testing.T) {
	for path, want := range map[string]string{"/authorize": "/", "/cas/login": "/", "/saml/sso": "/", "/notes": "/notes", "/": "/"} {
		if got := inside(wiki(), path); got != want {
			t.Errorf("%s: %s", path, got)
		}
		if got := inside(parvis.App{ID: "x"}, path); got != path {
			t.Errorf("%s of an application that speaks none: %s", path, got)
		}
	}
	tn := open(t)
	app := wiki()
	app.Second = true
	tn.declare(app)
	tn.enrol("A100001")
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	ref := refuse(tn, "A100001", "wiki", parvis.Internal)
	prove := linkTo(b.get("/why/"+ref).is("why_not", http.StatusOK), "/prove?")
	asked := b.get(prove).is("second_factor", http.StatusOK)
	if got := asked.formAction(); !strings.Contains(got, " https://wiki.example.org") {
		t.Errorf("forms may end at %q", got)
	}
	enter := b.get("/enter?return=" + url.QueryEscape(asked.returns()))
	enter.to("https://wiki.example.org/start")
}

// TestRemovedApplication: the policy is asked each time; what is gone is gone.
func TestRemovedApplication(t *testing.T) {
	tn := open(t)
	before := tn.catalog.Apps
	tn.declare(wiki())
	door, err := tn.portal.SignInTo("/authorize?client_id=wiki", "wiki", "")
	if err != nil {
		t.Fatal(err)
	}
	tn.catalog.Apps = before
	tn.declare()
	b := tn.from(parvis.Internal, "fr")
	first := b.get(door).is("sign_in_identifier", http.StatusOK)
	if got := first.formAction(); strings.Contains(got, "wiki") {
		t.Errorf("forms may end at %q", got)
	}
	second := b.post("/signin", "flow", first.hidden("flow"), "return", first.returns(), "identifier", "A100001")
	b.post("/signin", "flow", second.hidden("flow"), "return", second.returns(), "password", rightOne).to("/authorize?client_id=wiki")
	b.get("/").is("home", http.StatusOK).hasNot("wiki.example.org")
}

// TestProofOfBefore: an application may ask again for what was shown long ago;
// what counts is what is shown after it asked. A page of ours may ask too.
func TestProofOfBefore(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		number := map[string]string{"fr": "A100001", "en": "A100010"}[lang]
		b := tn.from(parvis.Internal, lang).signIn(number)
		secret := b.addTOTP("/security/factors/totp") // the session has it from now on
		for _, level := range []string{"eidas1-mfa", "eidas2"} {
			tn.clock.Move(time.Minute)
			prove, err := tn.portal.ProveTo("/office?x=1", "", level)
			if err != nil {
				t.Fatal(err)
			}
			asked := b.get(prove).is("second_factor", http.StatusOK).has("/office?x=1&amp;unmet=1")
			b.post("/prove", "flow", asked.hidden("flow"), "return", asked.returns(), "code", codeAt(t, secret, tn.clock.Now())).to(prove)
			b.get(prove).to("/office?x=1")
		}
		for level, screen := range map[string]string{"eidas1": "prove_password", "eidas3": "prove_level", "": "second_factor"} {
			prove, err := tn.portal.ProveTo("/office", "", level)
			if err != nil {
				t.Fatal(err)
			}
			b.get(prove).is(screen, http.StatusOK)
		}
	}
}

// TestLongWayByAVerifier: a long question comes back whole from the trip to the
// outside account too, and the page that leads there lets its form end in the end
// at the application.
func TestLongWayByAVerifier(t *testing.T) {
	tn := open(t)
	tn.catalog.Apps = append(tn.catalog.Apps, wiki())
	c := tn.outside(parvis.VerifierEach, false)
	tn.write("verifier.linked", "A100001", func(tx *store.Tx) error {
		return tx.PutLink(context.Background(), store.Link{Agent: "A100001", Issuer: c.URL, Subject: "citizen-1", At: tx.Now()})
	})
	path := "/authorize?client_id=wiki&state="
	path += strings.Repeat("s", longestWay-len(path))
	door, err := tn.portal.SignInTo(path, "wiki", "")
	if err != nil {
		t.Fatal(err)
	}
	b := tn.from(parvis.Internal, "fr")
	before := b.upTo("A100001", door).is("verifier_redirect", http.StatusOK)
	if got := before.formAction(); !strings.HasSuffix(got, " "+c.URL+wikiLeads) {
		t.Errorf("forms may end at %q", got)
	}
	turned := b.get(c.refuse(b.leave(before), "access_denied")).stopped("verifier_cancelled")
	if got := turned.formAction(); !strings.HasSuffix(got, wikiLeads) {
		t.Errorf("after turning back, forms may end at %q", got)
	}
	b.get(c.visit(b.leave(turned), "citizen-1", true)).to(path)
}

// FuzzHint: whatever a client expects, the field holds a line that can be typed,
// and taking a tag away twice takes no more.
func FuzzHint(f *testing.F) {
	for _, s := range []string{"a+b@c", "+@", "a@b@c+d", "\xff\u202e", "é+é@é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, hint string) {
		got := tidyHint(hint)
		if len(got) > 254 || plain(got, 254) != got {
			t.Errorf("%q becomes %q", hint, got)
		}
		if name, _, ok := strings.Cut(got, "@"); ok && strings.LastIndexByte(name, '+') > 0 {
			t.Errorf("%q keeps a tag: %q", hint, got)
		}
	})
}
