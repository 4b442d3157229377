package office

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/store"
	"parvis/internal/text"
)

// A secret is in the answer to the one who made it, and nowhere after that.
//
//  1. Somebody makes an application, and another secret for it.
//  2. Somebody else of the department, or the same one, looks at every page, and
//     the log is read.
//  3. Neither secret is anywhere.
func TestSecretAppearsOnce(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	first := b.addOIDC("agenda")
	r := b.post(place("agenda", "secrets"), "act", "add", "overlap", "1", "version", b.get(place("agenda", "secrets")).hidden("version"))
	second := r.is("admin_application_paste", http.StatusOK).secret()
	if len(second) < 40 || second == first {
		t.Fatalf("secrets %q and %q", first, second)
	}
	if n := strings.Count(r.body, second); n < 4 { // beside its name, and in the settings of programs
		t.Errorf("it is there %d times", n)
	}
	if strings.Contains(r.body, first) {
		t.Error("the first is shown again with the second")
	}
	for _, b := range []*visitor{b, tn.signed("A100041", "en")} {
		for _, page := range []string{"", "paste", "paste?made=1", "paste?on=mobile", "edit", "secrets", "secrets?already=1", "try", "file", "remove"} {
			b.get(place("agenda", page)).hasNot(first, second)
		}
		b.get(applications).hasNot(first, second)
	}
	err := tn.store.EachEvent(t.Context(), 0, func(e parvis.Event) error {
		for _, v := range e.Detail {
			if strings.Contains(v, first) || strings.Contains(v, second) {
				t.Errorf("%s holds a secret", e.Kind)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecretsTakeOverFromOneAnother(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	first := b.addOIDC("agenda")
	page := b.get(place("agenda", "secrets")).is("admin_application_secrets", http.StatusOK)
	page.has(`<option value="7" selected`) // seven days, by default
	second := b.post(place("agenda", "secrets"), "act", "add", "overlap", "7", "version", page.hidden("version")).secret()
	serves := func(at time.Time) (a, b bool) {
		app, _ := tn.office.Register.App("agenda")
		return tn.office.Register.Secret(app, first, at), tn.office.Register.Secret(app, second, at)
	}
	now := tn.clock.Now()
	for _, c := range []struct {
		after         time.Duration
		first, second bool
	}{{0, true, true}, {6*day + 23*time.Hour, true, true}, {7 * day, false, true}} {
		if f, s := serves(now.Add(c.after)); f != c.first || s != c.second {
			t.Errorf("after %s: first %v, second %v", c.after, f, s)
		}
	}
	page = b.get(place("agenda", "secrets")).has("sert encore", "mardi 1er\u00a0décembre")

	// Dropped before its time, after a page that says what ends.
	app, _ := tn.office.Register.App("agenda")
	i := slices.IndexFunc(app.OIDC.Secrets, func(s parvis.ClientSecret) bool { return !s.Expires.IsZero() })
	drop := short8(app.OIDC.Secrets[i])
	confirm := b.get(place("agenda", "secrets")+"?drop="+drop).is("admin_application_secrets", http.StatusOK).has("1 autre secret sert encore")
	b.post(place("agenda", "secrets"), "act", "drop", "secret", confirm.hidden("secret"), "version", confirm.hidden("version")).to(place("agenda", "secrets") + "?dropped=1")
	if f, s := serves(now); f || !s {
		t.Errorf("after the drop: first %v, second %v", f, s)
	}
	b.post(place("agenda", "secrets"), "act", "drop", "secret", drop, "version", page.hidden("version")).to(place("agenda", "secrets") + "?already=1")
	last := short8(func() parvis.ClientSecret { app, _ := tn.office.Register.App("agenda"); return app.OIDC.Secrets[0] }())
	b.get(place("agenda", "secrets") + "?drop=" + last).has("l&#39;application s&#39;arrête")
	b.get(place("agenda", "secrets") + "?drop=00000000").to(place("agenda", "secrets"))
	for _, sent := range [][]string{{"act", "add", "overlap", "3650"}, {"act", "add", "overlap", ""}, {"act", "nothing"}} {
		version := b.get(place("agenda", "secrets")).hidden("version")
		if r := b.post(place("agenda", "secrets"), append(sent, "version", version)...); r.status != http.StatusBadRequest {
			t.Errorf("%v: %d", sent, r.status)
		}
	}
	for _, kind := range []string{"app.secret_added", "app.secret_removed"} {
		for _, e := range tn.events(kind) {
			if e.Actor != string(itAgent) {
				t.Errorf("%s by %q", kind, e.Actor)
			}
		}
	}
}

// Whoever comes second is told who came first, and loses nothing.
func TestConflict(t *testing.T) {
	tn := open(t)
	b, other := tn.signed(itAgent, "fr"), tn.signed("A100041", "fr")
	b.addOIDC("agenda")
	mine, theirs := editForm(tn, b, "agenda"), editForm(tn, other, "agenda")
	theirs.Set("owner.fr", "la direction générale")
	theirs.Set("name.en", "Their diary")
	other.send(http.MethodPost, place("agenda", "edit"), theirs).to(place("agenda", "") + "?saved=1")

	mine.Set("purpose.fr", "Ce que <i>je</i> saisis")
	mine.Set("name.en", "My diary")
	mine.Set("proof_max_age", "20")
	r := b.send(http.MethodPost, place("agenda", "edit"), mine).is("admin_application_edit", http.StatusConflict)
	r.has("A100041", "Ce que &lt;i&gt;je&lt;/i&gt; saisis", `value="My diary"`, "Their diary", "la direction générale", `value="20"`)
	if app, _ := tn.office.Register.App("agenda"); app.Name.EN != "Their diary" || app.Purpose.FR != "" {
		t.Errorf("it was changed: %+v", app)
	}
	mine.Set("version", r.hidden("version"))
	b.send(http.MethodPost, place("agenda", "edit"), mine).to(place("agenda", "") + "?saved=1")
	if app, _ := tn.office.Register.App("agenda"); app.Name.EN != "My diary" || app.ProofMaxAge != 20*60 || len(app.OIDC.Secrets) != 1 {
		t.Errorf("it is %+v", app)
	}
}

func TestEdit(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	b.addOIDC("agenda")

	// All faults together, and what was typed.
	form := editForm(tn, b, "agenda")
	form.Set("name.fr", "")
	form.Set("proof_max_age", "bientôt")
	form["reduced_on"] = []string{"vpn"}
	form.Set("reduced_to", "chercher")
	r := b.send(http.MethodPost, place("agenda", "edit"), form).is("admin_application_edit", http.StatusUnprocessableEntity)
	r.has(`href="#name.fr"`, `href="#proof_max_age"`, `href="#reduced_on"`, `href="#reduced_to"`, "bientôt", "chercher")

	// A door more: what it asks for appears, then it is there. One less is gone,
	// with what was kept for it.
	form = editForm(tn, b, "agenda")
	form["doors"] = []string{"oidc", "cas"}
	b.send(http.MethodPost, place("agenda", "edit"), form).is("admin_application_edit", http.StatusUnprocessableEntity).has(`id="cas.services"`, `href="#cas.services"`)
	form["doors"] = []string{"cas"}
	form.Set("cas.services", "https://agenda.example.org/cas/")
	b.send(http.MethodPost, place("agenda", "edit"), form).to(place("agenda", "") + "?saved=1")
	app, _ := tn.office.Register.App("agenda")
	if app.OIDC != nil || app.CAS == nil || len(app.CAS.Services) != 1 {
		t.Errorf("it is %+v", app)
	}
	if r := b.get(place("agenda", "secrets")); r.status != http.StatusNotFound {
		t.Errorf("secrets of an application without any: %d", r.status)
	}
	form = editForm(tn, b, "agenda")
	form["doors"] = nil
	b.send(http.MethodPost, place("agenda", "edit"), form).is("admin_application_edit", http.StatusUnprocessableEntity).has(`href="#doors"`)
	form["doors"] = []string{"gateway", "cas"}
	b.send(http.MethodPost, place("agenda", "edit"), form).is("admin_application_edit", http.StatusUnprocessableEntity).has(`href="#upstream"`)

	// Rules that do not load with it.
	form = editForm(tn, b, "agenda")
	form.Set("purpose.fr", "Saisi")
	tn.spoilt = errSpoilt
	b.send(http.MethodPost, place("agenda", "edit"), form).is("admin_application_edit", http.StatusUnprocessableEntity).has("Saisi", "ne se chargent plus")
	b.post(applications, "kind", "cas", "name.fr", "Autre", "cas.services", "https://autre.example.org/", "channels", "internal").
		is("admin_application_add", http.StatusUnprocessableEntity).has("ne se chargent plus", "https://autre.example.org/")
	tn.spoilt = nil
	if app, _ := tn.office.Register.App("agenda"); app.Purpose.FR != "" {
		t.Error("it was changed")
	}
}

// A client that no longer proves itself by a secret has none.
func TestSecretsGoWithTheirUse(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	b.addOIDC("agenda")
	form := editForm(tn, b, "agenda")
	form.Set("oidc.auth", parvis.PrivateKeyJWT)
	form.Set("oidc.jwks_uri", "https://agenda.example.org/keys")
	b.send(http.MethodPost, place("agenda", "edit"), form).to(place("agenda", "") + "?saved=1")
	if app, _ := tn.office.Register.App("agenda"); len(app.OIDC.Secrets) != 0 || app.OIDC.Auth != parvis.PrivateKeyJWT {
		t.Errorf("it is %+v", app.OIDC)
	}
}

// What the configuration file declares is read here, and changed there.
func TestDeclaredInTheFile(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	b.get(place("paie", "")).is("admin_application", http.StatusOK).has("fichier de configuration").hasNot(place("paie", "edit"), place("paie", "remove"))
	for _, page := range []string{"edit", "secrets", "remove"} {
		if r := b.get(place("paie", page)); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", r.path, r.status)
		}
		if r := b.post(place("paie", page), "id", "paie", "version", "0", "act", "add", "overlap", "7"); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", r.path, r.status)
		}
	}
	b.post(applications, "kind", "cas", "id", "paie", "name.fr", "Paie", "cas.services", "https://paie.example.org/", "channels", "internal").
		is("admin_application_add", http.StatusUnprocessableEntity).has(`href="#id"`)
	if app, _ := tn.office.Register.App("paie"); app.CAS != nil {
		t.Error("it was changed")
	}
}

func TestRemoveCountsWhatEnds(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	b.addOIDC("agenda")
	held := tn.signed("A100001", "fr")
	_ = held
	rows, err := tn.office.Sessions.List(t.Context(), "A100001")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d sessions, %v", len(rows), err)
	}
	err = tn.store.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.PutGrant(t.Context(), store.Grant{
			ID: "g1", Protocol: parvis.OIDC, App: "agenda", Agent: "A100001", Session: rows[0].ID, Channel: parvis.Internal, Began: tx.Now(), Expires: tx.Now().Add(time.Hour),
		})
		tx.Record(parvis.Event{Kind: "grant.began", Agent: "A100001", Actor: "A100001", App: "agenda"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	page := b.get(place("agenda", "remove")).is("admin_application_remove", http.StatusOK).has("1 accès en cours prend fin", "1 agent s&#39;en est servi")
	b.get(applications).has("class=\"num\">1</td>")
	wrong := b.post(place("agenda", "remove"), "version", page.hidden("version"), "id", "Agenda").is("admin_application_remove", http.StatusUnprocessableEntity)
	wrong.has(`value="Agenda"`, `href="#id"`)
	if _, there := tn.office.Register.App("agenda"); !there {
		t.Fatal("it was removed without its name")
	}
	b.post(place("agenda", "remove"), "version", page.hidden("version"), "id", " agenda ").to(applications + "?removed=agenda")
	if _, there := tn.office.Register.App("agenda"); there {
		t.Error("it is still there")
	}
	if e := tn.events("app.removed"); len(e) != 1 || e[0].Actor != string(itAgent) {
		t.Errorf("recorded: %+v", e)
	}
	if r := b.get(place("agenda", "")); r.status != http.StatusNotFound {
		t.Errorf("its page: %d", r.status)
	}
}

// Whatever somebody typed is text on every page.
//
//  1. An application is named, described and located with marks of HTML.
//  2. Its page, the list, its forms and the trial show those as text.
func TestNamesAreText(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	b.post(applications, "kind", "oidc", "id", "pire", "name.fr", evil, "purpose.fr", evil, "oidc.redirects", "https://mal.example.org/cb?a='\"><script>", "oidc.auth", "client_secret_basic", "channels", "internal").
		hasNot("<script>alert", "<img src=x")
	b.post(applications, "kind", "oidc", "id", "autre", "name.fr", evil, "name.en", evil, "purpose.fr", evil, "start", "javascript:alert(1)", "oidc.redirects", "https://mal.example.org/cb", "oidc.auth", "client_secret_basic", "channels", "internal").
		is("admin_application_add", http.StatusUnprocessableEntity).hasNot("<script>alert", "<img src=x", `href="javascript:`)
	b.post(applications, "kind", "oidc", "id", "mal", "name.fr", evil, "name.en", evil, "purpose.fr", evil, "oidc.redirects", "https://mal.example.org/cb?%22%3E='", "oidc.auth", "client_secret_basic", "channels", "internal").
		is("admin_application_paste", http.StatusOK).hasNot("<script>alert", "<img src=x")
	tn.office.Register.Note("mal", apps.Trouble{Protocol: parvis.OIDC, Code: evil, Text: evil})
	for _, path := range []string{applications, applications + "?q=" + url.QueryEscape(evil), applications + "?removed=" + url.QueryEscape(evil), place("mal", ""), place("mal", "edit"), place("mal", "try"), place("mal", "remove"), place("mal", "secrets"), place("mal", "file")} {
		b.get(path).hasNot("<script>alert", "<img src=x")
	}
	b.post(place("mal", "try"), "agent_number", evil, "channel", evil).is("admin_application_try", http.StatusUnprocessableEntity).hasNot("<script>alert", "<img src=x")
}

func TestTry(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr", parvis.Proof{Kind: parvis.Password, At: tn.clock.Now()}) // looking changes nothing: no second proof
	tn.signed(itAgent, "fr").addOIDC("agenda")
	form := editForm(tn, tn.signed(itAgent, "fr"), "agenda")
	form.Set("second_proof", "1")
	tn.signed(itAgent, "fr").send(http.MethodPost, place("agenda", "edit"), form).to(place("agenda", "") + "?saved=1")

	refused := b.post(place("agenda", "try"), "agent_number", " a100001 ", "channel", "internal", "proofs", "password").is("admin_application_try", http.StatusOK)
	told := func(l text.Lang) string {
		app, _ := tn.office.Register.App("agenda")
		return tn.office.Words.Tell(l, parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyFactorRequired}}}, text.Scene{App: app, Channel: parvis.Internal}).Reasons[0].Title
	}
	refused.has("factor_required", strings.ReplaceAll(told(text.French), "'", "&#39;"), strings.ReplaceAll(told(text.English), "'", "&#39;"), `lang="en"`, "A100001")
	b.post(place("agenda", "try"), "agent_number", "A100001", "channel", "internal", "proofs", "password", "proofs", "totp").
		is("admin_application_try", http.StatusOK).has("s&#39;ouvre pour Camille Morel", "a100001@example.org").hasNot("factor_required")
	b.post(place("agenda", "try"), "agent_number", "A100001", "channel", "vpn", "proofs", "totp").has("channel_not_allowed")
	b.post(place("agenda", "try"), "agent_number", "A100001", "channel", "internal").is("admin_application_try", http.StatusUnprocessableEntity).has(`href="#proofs"`)
	b.post(place("agenda", "try"), "agent_number", "Z9", "channel", "internal").is("admin_application_try", http.StatusUnprocessableEntity).has(`href="#agent_number"`, `value="Z9"`)
	b.post(place("agenda", "try"), "agent_number", "A100001", "channel", "elsewhere").is("admin_application_try", http.StatusUnprocessableEntity).has(`href="#channel"`)

	// Nobody looks in silence.
	tried := tn.events("app.tried")
	if len(tried) != 3 {
		t.Fatalf("%d trials recorded, want 3", len(tried))
	}
	for _, e := range tried {
		if e.Agent != "A100001" || e.Actor != string(itAgent) || e.App != "agenda" {
			t.Errorf("recorded: %+v", e)
		}
	}
	if refusals := tn.events("app.refused"); len(refusals) != 0 {
		t.Errorf("a trial left %d refusals", len(refusals))
	}
}

func TestWhatToPaste(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "en")
	everyKind(tn, b)
	portal, mobile := "http://"+internalHost, "http://"+mobileHost
	for id, values := range map[parvis.AppID][]string{
		"finances": {"http://finances." + internalHost, portal + "/.well-known/jwks.json"},
		"vieux":    {portal + "/auth/verify", "http://vieux." + internalHost, "auth_request /.parvis/ask;", "X-Original-URL http://vieux." + internalHost + "$request_uri", "forward_auth PARVIS:PORT", "forwardAuth:"},
		"agenda": {
			">agenda</span>", portal + "/.well-known/openid-configuration", mobile + "/.well-known/openid-configuration", "https://agenda.example.org/callback",
			"OIDCProviderMetadataURL " + mobile + "/.well-known/openid-configuration", "occ user_oidc:provider", "omniauth_providers", "oauth_client_id", "openid profile email uid",
		},
		"ged":  {portal + "/cas", portal + "/cas/p3/serviceValidate", "CASLoginURL " + portal + "/cas/login"},
		"sirh": {mobile + "/saml/metadata", mobile + "/saml/sso", "BEGIN CERTIFICATE", "MellonIdPMetadataFile"},
	} {
		b.get(place(id, "paste")).is("admin_application_paste", http.StatusOK).has(values...)
	}
	b.get(place("agenda", "paste") + "?on=internal").has("OIDCProviderMetadataURL " + portal + "/")
	b.get(place("agenda", "paste") + "?on=vpn").hasNot("http://agents.localhost/.well-known") // it does not open there
}

func TestTroublesInPlainWords(t *testing.T) {
	tn := open(t)
	b := tn.signed(itAgent, "fr")
	everyKind(tn, b)
	b.get(place("agenda", "")).has("L&#39;application n&#39;a pas prouvé qui elle est", "invalid_client", "something_new", "Une demande de l&#39;application", "faites-en un autre").
		hasNot("Y000000").
		has("200", "en attente", "reçue", "abandonnée après 2 essais")
	b.get(place("ged", "")).has("Un ticket CAS ne valait rien")
	form := editForm(tn, b, "agenda")
	form.Set("oidc.redirects", "https://fi.proconnect.example.org/api/v2/oidc-callback")
	b.send(http.MethodPost, place("agenda", "edit"), form).to(place("agenda", "") + "?saved=1")
	b.get(place("agenda", "")).has("Y000000", "Y020026", "Y020027", "Y020029", "Y020032", "Y020025", "Y500006", "Y020018", "Y020030", "Y500017")
}

// What is read in a form and written back is the application it was.
func TestFormHoldsAnApplicationWhole(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		app := anyApp(r)
		got, faults := read(app, typed(app), fields())
		if len(faults) > 0 {
			r.Fatalf("faults: %v", faults)
		}
		if diff := cmp.Diff(app, got, cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("(-was +is):\n%s", diff)
		}
		bare := parvis.App{ID: app.ID}
		if app.OIDC != nil { // its secrets are on no form
			bare.OIDC = &parvis.OIDCClient{Secrets: app.OIDC.Secrets}
		}
		got, _ = read(bare, typed(app), fields())
		if diff := cmp.Diff(app, got, cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("from nothing (-was +is):\n%s", diff)
		}
	})
}

func anyApp(r *rapid.T) parvis.App {
	word := rapid.StringMatching(`[a-zé'"<][a-z é]{0,8}[a-z]`)
	text := func(name string) string { return rapid.OneOf(rapid.Just(""), word).Draw(r, name) }
	words := func(name string) parvis.Words {
		return parvis.Words{FR: text(name + " fr"), EN: text(name + " en")}
	}
	yes := func(name string) bool { return rapid.Bool().Draw(r, name) }
	some := func(name string, of []string) []string {
		return rapid.Permutation(of).Draw(r, name)[:rapid.IntRange(0, len(of)).Draw(r, name+" n")]
	}
	channels := func(name string) (all []parvis.Channel) {
		for _, c := range some(name, []string{"internal", "vpn", "mobile"}) {
			all = append(all, parvis.Channel(c))
		}
		return all
	}
	lines := func(name string) []string { return rapid.SliceOfN(word, 0, 3).Draw(r, name) }
	app := parvis.App{
		ID: "x", Name: words("name"), Purpose: words("purpose"), Group: words("group"), Owner: words("owner"), ReducedCan: words("can"), ReducedNot: words("cannot"),
		Channels: channels("channels"), Reduced: channels("reduced"), SecondOn: channels("second on"), Entitled: yes("entitled"), Second: yes("second"),
		SecondStrength: rapid.IntRange(0, 3).Draw(r, "strength"), OnDeviceVPN: yes("device"), OfficeHours: yes("hours"),
		ProofMaxAge: parvis.Seconds(rapid.SampledFrom([]int64{0, 30, 60, 90, 900, 3600, 5400}).Draw(r, "age")), HRDocuments: yes("documents"), HRService: yes("service"),
		ReducedTo: lines("reduced to"), Start: text("start"), External: yes("external"), Attributes: some("attributes", parvis.ClaimNames()), Forward: yes("forward"),
	}
	if !app.Forward || yes("gateway") {
		app.Upstream, app.Headers, app.PassHeaders, app.CrossOrigin = "http://127.0.0.1:1", yes("headers"), lines("pass"), yes("cross")
	}
	if yes("oidc") {
		app.OIDC = &parvis.OIDCClient{
			Redirects: lines("redirects"), LogoutRedirects: lines("logout"), Auth: rapid.SampledFrom([]string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}).Draw(r, "auth"),
			Secrets: []parvis.ClientSecret{{Hash: [32]byte{1}}}, JWKS: text("jwks"), JWKSURI: text("jwks_uri"), NoPKCE: yes("pkce"), Offline: yes("offline"), BackChannel: text("back"),
			FrontChannel: text("front"), Pairwise: yes("pairwise"), Sector: text("sector"), RS256: yes("rs256"), SignedUserInfo: yes("signed"), RequirePAR: yes("par"),
			RequireDPoP: yes("dpop"), Device: yes("device code"), Introspects: yes("introspects"),
		}
	}
	if yes("cas") {
		app.CAS = &parvis.CASService{Services: lines("services"), Logout: yes("cas logout")}
	}
	if yes("saml") {
		app.SAML = &parvis.SAMLService{Metadata: text("metadata"), NameID: rapid.SampledFrom(append(parvis.NameIDs(), "")).Draw(r, "name id"), Encrypt: yes("encrypt")}
	}
	return app
}

// Every field of an application is on the form, or on a page of its own: one
// that is added to the nouns and forgotten here fails.
func TestEveryFieldAndFaultIsNamed(t *testing.T) {
	tn := open(t)
	words := tn.office.Words
	for _, f := range append(fields(), field{name: "id"}, field{name: "doors"}) {
		if !words.Has("office.field." + f.name) {
			t.Errorf("the field %s has no name", f.name)
		}
		for _, option := range f.options {
			if s := tn.office.voice(text.English).option(f, option); s == option || s == "" {
				t.Errorf("the option %q of %s has no name", option, f.name)
			}
		}
	}
	for _, code := range []parvis.AppFaultCode{
		parvis.FaultRequired, parvis.FaultLabel, parvis.FaultDoor, parvis.FaultUnknown, parvis.FaultTwice, parvis.FaultApart, parvis.FaultAddress, parvis.FaultHTTPS,
		parvis.FaultFragment, parvis.FaultWildcard, parvis.FaultOrigin, parvis.FaultPattern, parvis.FaultKeys, parvis.FaultMetadata, parvis.FaultNetwork,
		parvis.FaultDate, parvis.FaultNoAnswers, unreadable, taken, unloadable,
	} {
		if !words.Has("office.fault." + string(code)) {
			t.Errorf("the fault %s has no sentence", code)
		}
	}
	for _, p := range tn.office.ready(&parvis.App{
		ID: "x", Forward: true, OIDC: &parvis.OIDCClient{Auth: parvis.ClientSecretPost}, CAS: &parvis.CASService{}, SAML: &parvis.SAMLService{},
	}, parvis.Internal, "") {
		if !words.Has("office.program." + p.key) {
			t.Errorf("the program %s has no sentence", p.key)
		}
		if regexp.MustCompile(`\{(portal|own|name|id|secret|scope|user|auth|path)\}`).MatchString(p.content) {
			t.Errorf("%s is not filled in:\n%s", p.key, p.content)
		}
	}
}

func TestFaultOfAFieldThatIsNotAsked(t *testing.T) {
	tn := open(t)
	s := tn.office.voice(text.French)
	got := s.faults([]parvis.AppFault{{Field: "oidc.secrets[0]", Code: parvis.FaultApart}, {Field: "upstream", Code: parvis.FaultDoor}, {Code: unloadable}}, []string{"doors", "name.fr"}).summary
	if len(got) != 3 || got[0].Field != "doors" || got[1].Field != "" || !strings.Contains(got[1].Text+got[2].Text, "oidc.secrets") {
		t.Errorf("%+v", got)
	}
}

func TestLabels(t *testing.T) {
	for name, want := range map[string]parvis.AppID{
		"Congés & Télétravail": "conges-teletravail", "  GED  ": "ged", "Œuvres sociales": "uvres-sociales", "": "", "日本": "", "---": "",
		strings.Repeat("a", 200): parvis.AppID(strings.Repeat("a", 40)), "L'agenda des élus (2026)": "l-agenda-des-elus-2026",
	} {
		if got := label(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestDraftsAreBounded(t *testing.T) {
	var d drafts
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	for i := range 3 * manyDrafts {
		d.keep(parvis.AgentNumber("A"+strconv.Itoa(i)), "/x", url.Values{"a": {"b"}}, at)
	}
	if len(d.all) != manyDrafts {
		t.Errorf("%d drafts", len(d.all))
	}
	d.keep("B", "/x", url.Values{}, at.Add(draftWaits))
	if len(d.all) != 1 {
		t.Errorf("%d drafts after their time", len(d.all))
	}
}

// What is worth a second look is said on the page of the application.
func TestWarnings(t *testing.T) {
	tn := open(t)
	now := tn.clock.Now()
	client := func(secrets ...parvis.ClientSecret) *parvis.App {
		return &parvis.App{Channels: parvis.Channels(), OIDC: &parvis.OIDCClient{Auth: parvis.ClientSecretBasic, Secrets: secrets}}
	}
	for _, c := range []struct {
		name string
		app  *parvis.App
		want []string
	}{
		{"in order", client(parvis.ClientSecret{Since: now}), nil},
		{"one goes, one stays", client(parvis.ClientSecret{Expires: now.Add(time.Hour)}, parvis.ClientSecret{}), nil},
		{"no secret", client(), []string{"secret_none"}},
		{"over", client(parvis.ClientSecret{Expires: now}), []string{"secret_none"}},
		{"soon", client(parvis.ClientSecret{Expires: now.Add(time.Hour)}), []string{"secret_soon"}},
		{"public", &parvis.App{Channels: parvis.Channels(), OIDC: &parvis.OIDCClient{Auth: parvis.PublicClient}}, nil},
		{"old", &parvis.App{Channels: parvis.Channels(), OIDC: &parvis.OIDCClient{Auth: parvis.PrivateKeyJWT, NoPKCE: true}}, []string{"pkce"}},
		{"closed", &parvis.App{}, []string{"closed"}},
	} {
		got := tn.office.warnings(c.app)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		for _, key := range got {
			if !tn.office.Words.Has("office.warning."+key) || !tn.office.Words.Has("office.warning."+key+".text") {
				t.Errorf("%s is not said", key)
			}
		}
	}
}

// The settings of other proxies say what the tested examples say, line by line.
func TestProxySettingsAreThoseOfTheExamples(t *testing.T) {
	tidy := func(line string) string {
		line, _, _ = strings.Cut(line, "   #")
		return strings.Join(strings.Fields(line), " ")
	}
	for i, c := range []struct {
		file string
		as   []string
	}{
		{"nginx.conf", []string{"PARVIS:PORT", "parvis", "APPLICATION:PORT", "wiki", "return 401;", "listen 443 ssl;", "return 403;", "listen 443 ssl;"}},
		{"Caddyfile", []string{"PARVIS:PORT", "127.0.0.1:8080", "APPLICATION:PORT", "127.0.0.1:9000"}},
		{"traefik.yml", []string{"PARVIS:PORT", "127.0.0.1:8080", "APPLICATION:PORT", "127.0.0.1:9000", "application", "wiki"}},
	} {
		shipped, err := os.ReadFile("../../deploy/proxies/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for line := range strings.Lines(string(shipped)) {
			known[tidy(line)] = true
		}
		ours := strings.NewReplacer(c.as...).Replace(proxies("https://wiki.agents.example.org")[i].content)
		for line := range strings.Lines(ours) {
			if !known[tidy(line)] {
				t.Errorf("%s has no line %q", c.file, tidy(line))
			}
		}
	}
}
