package portal

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/verifier"
)

// citizens is an outside provider: whoever comes is who the test says.
type citizens struct {
	*httptest.Server
	town   *town
	signer jose.Signer
	public jose.JSONWebKey
	down   atomic.Bool
	mu     sync.Mutex
	codes  map[string]map[string]any // claims by code
}

// outside puts a provider beside a town, with the rule that brings people there.
func (tn *town) outside(mode parvis.VerifierMode, fallback bool) *citizens {
	tn.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tn.t.Fatal(err)
	}
	c := &citizens{town: tn, codes: map[string]map[string]any{}, public: jose.JSONWebKey{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}
	c.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		tn.t.Fatal(err)
	}
	c.Server = httptest.NewServer(c)
	tn.t.Cleanup(c.Close)
	tn.portal.Door.Link = &verifier.Link{
		Store: tn.store, Keys: tn.portal.Keys, Clock: tn.clock.Now, Addresses: tn.portal.Addresses,
		Providers: []verifier.Provider{{
			ID: "compte", Issuer: c.URL, ClientID: "parvis", ClientSecret: "s", Host: "moncompte.example.org", EmailVerified: true,
			Label: parvis.Words{FR: "Mon Compte", EN: "My Account"}, Owner: parvis.Words{FR: "le service des habitants", EN: "the residents' service"},
			Delay: parvis.Words{FR: "dix minutes", EN: "ten minutes"}, Recovery: "https://moncompte.example.org/lost", Create: "https://moncompte.example.org/new",
		}},
	}
	calendar, err := access.OfficeHours("Europe/Paris")
	if err != nil {
		tn.t.Fatal(err)
	}
	policy, err := access.New(access.Catalog{
		Apps: tn.catalog.Apps, Profiles: tn.portal.Profiles, Calendar: calendar, SecondProofReady: true, VerifierFallback: fallback,
		VerifierRules: []parvis.VerifierRule{{Mode: mode}},
		Sites:         map[parvis.Channel]string{parvis.Internal: "agents.localhost", parvis.Mobile: "nomade.localhost"},
	})
	if err != nil {
		tn.t.Fatal(err)
	}
	tn.portal.Policy, tn.portal.Door.Policy, tn.portal.Door.Fallback = policy, policy, fallback
	tn.portal.Desk.Mode = func(a *parvis.Agent) parvis.VerifierMode { return policy.VerifierMode(a, parvis.Mobile) }
	tn.edge.Leads = []string{c.URL}
	return c
}

// ServeHTTP is what a client asks of a provider.
func (c *citizens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{
			"issuer": c.URL, "authorization_endpoint": c.URL + "/authorize", "token_endpoint": c.URL + "/token", "jwks_uri": c.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		}
	case "/keys":
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{c.public}}
	case "/token":
		c.mu.Lock()
		claims := c.codes[r.FormValue("code")]
		delete(c.codes, r.FormValue("code"))
		c.mu.Unlock()
		if claims == nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		payload, _ := json.Marshal(claims)
		signed, err := c.signer.Sign(payload)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		token, _ := signed.CompactSerialize()
		answer = map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": token}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// visit signs somebody in over there, and gives the way back of their browser.
func (c *citizens) visit(left reply, subject string, confirmed bool) string {
	c.town.t.Helper()
	u := c.there(left)
	code, _ := seal.Token()
	now := c.town.clock.Now()
	c.mu.Lock()
	c.codes[code] = map[string]any{
		"iss": c.URL, "aud": "parvis", "sub": subject, "nonce": u.Query().Get("nonce"), "email_verified": confirmed,
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "auth_time": now.Unix(),
	}
	c.mu.Unlock()
	return "/verifier/return?" + url.Values{"state": {u.Query().Get("state")}, "code": {code}}.Encode()
}

// refuse is the way back with an error.
func (c *citizens) refuse(left reply, code string) string {
	c.town.t.Helper()
	return "/verifier/return?" + url.Values{"state": {c.there(left).Query().Get("state")}, "error": {code}}.Encode()
}

func (c *citizens) there(left reply) *url.URL {
	c.town.t.Helper()
	u, err := url.Parse(left.location)
	if err != nil || left.status != http.StatusSeeOther || !strings.HasPrefix(left.location, c.URL+"/authorize?") {
		c.town.t.Fatalf("%s: status %d, sent to %q\n%s", left.path, left.status, left.location, left.main())
	}
	return u
}

// leave presses the button of a page that leads to the verifier.
func (b *visitor) leave(r reply, more ...string) reply {
	b.t.Helper()
	var pairs []string
	_, r.body, _ = strings.Cut(r.body, "<main") // the switch of the theme has fields too
	for _, name := range []string{"from", "purpose", "provider", "flow", "return"} {
		if value := r.hidden(name); value != "" {
			pairs = append(pairs, name, strings.ReplaceAll(value, "&amp;", "&"))
		}
	}
	if len(pairs) == 0 {
		b.t.Fatalf("%s: no form that leads anywhere\n%s", r.path, r.main())
	}
	return b.post("/verifier/leave", append(pairs, more...)...)
}

// stopped holds for each page of a trip that came to nothing.
func (r reply) stopped(why parvis.ReasonCode) reply {
	r.t.Helper()
	r.is("verifier_return", http.StatusForbidden)
	if r.attr("data-reason") != string(why) || r.attr("data-reference") == "" {
		r.t.Fatalf("%s: reason %q, reference %q, want %q", r.path, r.attr("data-reason"), r.attr("data-reference"), why)
	}
	return r
}

func (tn *town) subjects(number parvis.AgentNumber) []string {
	tn.t.Helper()
	links, err := tn.store.Links(context.Background(), number)
	if err != nil {
		tn.t.Fatal(err)
	}
	var all []string
	for _, l := range links {
		all = append(all, l.Subject)
	}
	return all
}

func (tn *town) completed(number parvis.AgentNumber) int {
	tn.t.Helper()
	n := 0
	err := tn.store.EachEvent(context.Background(), 0, func(e parvis.Event) error {
		if e.Kind == "activation.completed" && e.Agent == number {
			n++
		}
		return nil
	})
	if err != nil {
		tn.t.Fatal(err)
	}
	return n
}

// TestTwoAccounts: a newcomer reaches the end with both accounts, interrupted
// after each step and resumed in another browser.
func TestTwoAccounts(t *testing.T) {
	for lang, say := range map[string][]string{
		"fr": {"Les deux comptes sont nécessaires", "0 étape sur 3 faite", "Avez-vous déjà un Mon Compte"},
		"en": {"Both accounts are needed", "0 steps of 3 done", "Do you already have a My Account"},
	} {
		tn := open(t)
		c := tn.outside(parvis.VerifierFirst, false)
		issued, _, err := tn.portal.Desk.Issue(context.Background(), "A100008", "operator:test")
		if err != nil {
			t.Fatal(err)
		}
		code := issued.Reveal()
		const secret = "phare mandarine escalier lune"
		b := tn.from(parvis.Mobile, lang)
		b.post("/activate", "code", code).to("/activate/overview")
		b.get("/activate/overview").is("activation_overview", http.StatusOK).has(say[0], say[1], "A100008")
		// In another browser: nothing is lost, and the other order will do.
		b = tn.from(parvis.Mobile, lang)
		b.post("/activate", "code", code).to("/activate/overview")
		b.get("/activate/verifier").is("activation_verifier", http.StatusOK).has(say[2])
		b.get("/activate/verifier?have=no").is("activation_verifier", http.StatusOK).has("https://moncompte.example.org/new")
		b.get("/activate/verifier?have=unknown").is("activation_verifier", http.StatusOK).has("moncompte.example.org")
		before := b.get("/activate/verifier?have=yes").is("verifier_redirect", http.StatusOK).has("moncompte.example.org", "nomade.localhost")
		if policy := before.header.Get("Content-Security-Policy"); !strings.Contains(policy, c.URL) {
			t.Errorf("a form may not lead there: %s", policy)
		}
		b.get(c.refuse(b.leave(before), "access_denied")).stopped("verifier_cancelled").has(`name="from" value="activation"`)
		b.get(c.visit(b.leave(before), "citizen-8", false)).stopped("verifier_unverified")
		b.get(c.visit(b.leave(before), "citizen-8", true)).to("/activate/verifier")
		b.get("/activate/verifier").is("activation_verifier", http.StatusOK).has("•••")
		if got := tn.subjects("A100008"); !slices.Equal(got, []string{"citizen-8"}) || tn.completed("A100008") != 0 {
			t.Errorf("linked %q, completed %d", got, tn.completed("A100008"))
		}
		b = tn.from(parvis.Mobile, lang)
		b.post("/activate", "code", code).to("/activate/overview")
		b.post("/activate/password", "new_password", secret).to("/activate/done")
		if tn.completed("A100008") != 1 {
			t.Errorf("completed %d times", tn.completed("A100008"))
		}
		b.get("/activate/done").is("activation_done", http.StatusOK)
		again := tn.from(parvis.Mobile, lang)
		again.post("/activate", "code", code).is("activation_code", http.StatusUnprocessableEntity)
		again.host, again.entrance = mobileHost, parvis.Mobile
		first := again.post("/signin", "identifier", "A100008").is("sign_in_secret", http.StatusOK)
		again.post("/signin", "flow", first.hidden("flow"), "password", secret).to("/")
		again.get("/").is("home", http.StatusOK).hasNot(`href="/arrival"`)
		again.get("/arrival").is("arrival", http.StatusOK)
	}
}

// TestResumeWithAPassword: once there is a password, the code waits for it; and
// whoever only has the letter gets nowhere.
func TestResumeWithAPassword(t *testing.T) {
	tn := open(t)
	c := tn.outside(parvis.VerifierFirst, false)
	issued, _, err := tn.portal.Desk.Issue(context.Background(), "A100008", "operator:test")
	if err != nil {
		t.Fatal(err)
	}
	const secret = "phare mandarine escalier lune"
	b := tn.from(parvis.Mobile, "fr")
	b.post("/activate", "code", issued.Reveal()).to("/activate/overview")
	b.post("/activate/password", "new_password", secret).to("/activate/overview")
	b.get("/activate/overview").has("1 étape sur 3 faite", "J&#39;ai terminé")
	b.get("/activate/password").to("/activate/overview")

	other := tn.from(parvis.Mobile, "fr")
	page := other.post("/activate", "code", issued.Reveal()).is("activation_code", http.StatusOK).has("ouvrez d&#39;abord votre session")
	if strings.Contains(page.body, issued.Reveal()) {
		t.Error("the code is on the page")
	}
	other.get("/activate/overview").to("/activate")
	other.post("/activate", "link", "1").is("activation_code", http.StatusOK) // still nobody
	_, door, _ := strings.Cut(page.body, `href="/signin?return=`)
	door, _, _ = strings.Cut(door, `"`)
	first := other.get("/signin?return="+door).is("sign_in_identifier", http.StatusOK)
	ticket := first.hidden("return")
	second := other.post("/signin", "flow", first.hidden("flow"), "identifier", "A100008", "return", ticket).is("sign_in_secret", http.StatusOK)
	other.post("/signin", "flow", second.hidden("flow"), "password", secret, "return", ticket).to("/activate/link")
	other.get("/activate/link").is("activation_code", http.StatusOK).has("Reprendre mes étapes")
	other.post("/activate", "link", "1").to("/activate/overview")
	other.get("/activate/overview").has("1 étape sur 3 faite")
	// First enrolment from outside: the code is what allows it.
	other.get("/activate/second").is("activation_second_factor", http.StatusOK).has(`href="/activate/second/totp"`)
	other.get("/activate/second/totp").is("activation_second_totp", http.StatusOK)
	// Signed in, the launcher and the list say what is missing.
	other.get("/").is("home", http.StatusOK).has("Votre arrivée n&#39;est pas terminée\u00a0: 1 étape sur 2 faite", `href="/arrival"`, "le lien avec votre Mon Compte")
	other.get("/arrival").is("arrival", http.StatusOK).has("Il reste 1 étape", `href="/security/verifier"`)
	before := other.get("/activate/verifier?have=yes").is("verifier_redirect", http.StatusOK)
	other.get(c.visit(other.leave(before), "citizen-8", true)).to("/activate/verifier")
	if tn.completed("A100008") != 1 {
		t.Error("not completed by the last step")
	}
	other.get("/").hasNot("Votre arrivée n&#39;est pas terminée")
	other.get("/arrival").has("Toutes vos étapes sont faites")
}

// TestOwnLink: the linked account of somebody who is in, and every way back.
func TestOwnLink(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		tn := open(t)
		c := tn.outside(parvis.VerifierFirst, false)
		b := tn.from(parvis.Internal, lang).signIn("A100001")
		none := b.get("/security/verifier").is("security_verifier", http.StatusOK)
		b.get("/verifier").is("verifier_redirect", http.StatusOK)
		b.get(c.visit(b.leave(none), "citizen-1", true)).to("/security/verifier?done=link")
		mine := b.get("/security/verifier?done=link").is("security_verifier", http.StatusOK).has("•••", "?unlink=compte")
		if strings.Contains(mine.body, "citizen-1") || strings.Contains(mine.body, c.URL) {
			t.Error("the page names the account")
		}
		b.get("/security/verifier?unlink=compte").is("security_verifier", http.StatusOK).has(`name="unlink" value="compte"`)
		refused := b.post("/security/verifier", "unlink", "compte").is("security_verifier", http.StatusUnprocessableEntity)
		if refused.attr("data-reason") != string(parvis.WhyFactorRemovalForbidden) {
			t.Errorf("unlinked where it is demanded: %q", refused.attr("data-reason"))
		}
		link := func(more ...string) reply {
			return b.post("/verifier/leave", append([]string{"purpose", "link"}, more...)...)
		}
		for code, why := range map[string]parvis.ReasonCode{
			"access_denied": "verifier_cancelled", "account_locked": "verifier_locked_notice", "unmet_authentication_requirements": "verifier_level_too_low",
			"server_error": "verifier_unavailable",
		} {
			page := b.get(c.refuse(link(), code)).stopped(why)
			if why == "verifier_locked_notice" {
				page.has("https://moncompte.example.org/lost")
			}
		}
		b.get(c.visit(link(), "citizen-2", true)).stopped("verifier_account_mismatch").has("•••", `name="again"`, `href="/security/verifier"`)
		if u := c.there(link("again", "1")); u.Query().Get("prompt") != "login" {
			t.Errorf("another account is not asked for: %s", u)
		}
		// What came back once comes back no more, nor in another browser.
		back := c.visit(link(), "citizen-1", true)
		b.send(http.MethodHead, back, nil)
		tn.from(parvis.Internal, lang).signIn("A100004").get(back).stopped("verifier_cancelled")
		b.get(back).to("/security/verifier?done=link")
		b.get(back).stopped("verifier_cancelled")
		other := tn.from(parvis.Internal, lang).signIn("A100010")
		other.get(c.visit(other.leave(other.get("/security/verifier")), "citizen-1", true)).stopped("verifier_already_linked")
		// Replacing one wants a second proof.
		if gone := b.post("/verifier/leave", "purpose", "replace", "provider", "compte"); !strings.HasPrefix(gone.location, "/prove?") {
			t.Errorf("replaced with a password alone: %d %q", gone.status, gone.location)
		}
		c.down.Store(true)
		tn.clock.Move(2 * time.Minute)
		other.post("/verifier/leave", "purpose", "link").stopped("verifier_unavailable")
		if got := tn.subjects("A100001"); !slices.Equal(got, []string{"citizen-1"}) {
			t.Errorf("links %q", got)
		}
		stranger := tn.from(parvis.Internal, lang)
		for _, path := range []string{"/verifier", "/security/verifier", "/arrival"} {
			if r := stranger.get(path); r.status != http.StatusSeeOther || !strings.HasPrefix(r.location, "/signin") {
				t.Errorf("%s for a stranger: %d %q", path, r.status, r.location)
			}
		}
		stranger.get("/verifier/return?state=x&code=y").stopped("verifier_cancelled")
	}
}

// TestVouchAtTheDoor: the verifier vouches for each session; when it does not
// answer, one goes on only as policy allows.
func TestVouchAtTheDoor(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		tn := open(t)
		c := tn.outside(parvis.VerifierEach, false)
		link := func(number parvis.AgentNumber, subject string) {
			t.Helper()
			err := tn.store.Write(context.Background(), func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "verifier.linked", Agent: number, Actor: string(number)})
				return tx.PutLink(context.Background(), store.Link{Agent: number, Issuer: c.URL, Subject: subject, Label: "•••042", At: tx.Now()})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		link("A100001", "citizen-1")
		atTheDoor := func(b *visitor) reply {
			first := b.get("/signin").is("sign_in_identifier", http.StatusOK)
			second := b.post("/signin", "flow", first.hidden("flow"), "identifier", "A100001").is("sign_in_secret", http.StatusOK)
			return b.post("/signin", "flow", second.hidden("flow"), "password", rightOne)
		}
		b := tn.from(parvis.Internal, lang)
		before := atTheDoor(b).is("verifier_redirect", http.StatusOK)
		turned := b.get(c.refuse(b.leave(before), "access_denied")).stopped("verifier_cancelled")
		turned = b.get(c.visit(b.leave(turned), "citizen-9", true)).stopped("verifier_account_mismatch").has("•••042")
		b.get("/").is("start", http.StatusOK)
		b.get(c.visit(b.leave(turned, "again", "1"), "citizen-1", true)).to("/")
		b.get("/").is("home", http.StatusOK)

		c.down.Store(true)
		tn.clock.Move(20 * time.Minute)
		late := tn.from(parvis.Internal, lang)
		down := atTheDoor(late)
		if down.screen() == "verifier_redirect" {
			down = late.leave(down)
		}
		if down.attr("data-reason") != "verifier_unavailable" || down.status < 400 {
			t.Errorf("while it is down: %d %s %q", down.status, down.screen(), down.attr("data-reason"))
		}
		// Nothing stands in for it: the page promises no other way, but a new try.
		if lang == "fr" {
			down.has("Réessayer").hasNot("autre méthode")
		} else {
			down.has("Try again").hasNot("another check")
		}
		late.get("/").is("start", http.StatusOK)

		// Where policy lets a second proof stand in, the choice is the agent's.
		c = tn.outside(parvis.VerifierEach, true)
		link("A100001", "citizen-1")
		tn.enrol("A100001")
		in := tn.from(parvis.Internal, lang)
		before = atTheDoor(in).is("verifier_redirect", http.StatusOK)
		c.down.Store(true)
		instead := in.leave(before).is("second_factor", http.StatusUnprocessableEntity)
		if instead.attr("data-reason") != "verifier_unavailable" {
			t.Errorf("what stands in is not said: %q", instead.attr("data-reason"))
		}
		in.get("/").is("start", http.StatusOK)
	}
}

// TestUnlinkFromOutside: a password alone, perhaps stolen, unties nothing there;
// the linked account, shown once more, does.
func TestUnlinkFromOutside(t *testing.T) {
	tn := open(t)
	c := tn.outside(parvis.VerifierOffered, false)
	office := tn.from(parvis.Internal, "fr").signIn("A100001")
	office.get(c.visit(office.post("/verifier/leave", "purpose", "link"), "citizen-1", true)).to("/security/verifier?done=link")
	b := tn.from(parvis.Mobile, "fr").signIn("A100001")
	refused := b.post("/security/verifier", "unlink", "compte").is("security_verifier", http.StatusUnprocessableEntity)
	if refused.attr("data-reason") != "factor_enrol_here_forbidden" || len(tn.subjects("A100001")) != 1 {
		t.Fatalf("untied with a password: %q", refused.attr("data-reason"))
	}
	refused.has("un mot de passe ne suffit pas", "/prove?method=temporary_code")
	b.get(c.visit(b.post("/verifier/leave", "purpose", "prove", "provider", "compte"), "citizen-1", true)).to("/security/verifier?done=prove")
	b.post("/security/verifier", "unlink", "compte").to("/security/verifier?done=unlink")
	if len(tn.subjects("A100001")) != 0 {
		t.Error("still linked")
	}
}

// TestVouchInside: somebody who is in shows the linked account once more.
func TestVouchInside(t *testing.T) {
	tn := open(t)
	c := tn.outside(parvis.VerifierOffered, false)
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	b.get(c.visit(b.post("/verifier/leave", "purpose", "link"), "citizen-1", true)).to("/security/verifier?done=link")
	before := b.get("/verifier").is("verifier_redirect", http.StatusOK).has(`name="purpose" value="prove"`)
	b.get(c.visit(b.leave(before), "citizen-2", true)).stopped("verifier_account_mismatch")
	b.get(c.visit(b.leave(before), "citizen-1", true)).to("/security/verifier?done=prove")
	b.get("/security/verifier?done=prove").is("security_verifier", http.StatusOK)
	b.post("/security/verifier", "unlink", "compte").to("/security/verifier?done=unlink")
	b.get("/security/verifier?done=unlink").has("Aucun Mon Compte")
	b.post("/security/verifier", "unlink", "compte").to("/security/verifier")
	b.post("/security/verifier", "unlink", "another").is("not_found", http.StatusNotFound)
	if len(tn.subjects("A100001")) != 0 {
		t.Error("still linked")
	}
	b.post("/verifier/leave", "purpose", "prove").stopped("verifier_missing").has(`name="purpose" value="link"`)
	tn.portal.Door.Link = nil
	for _, path := range []string{"/verifier", "/verifier/return", "/security/verifier"} {
		b.get(path).is("not_found", http.StatusNotFound)
	}
}

// TestDeadline: a demand that comes is announced, with the days that are left,
// to whoever does not meet it.
func TestDeadline(t *testing.T) {
	tn := open(t)
	calendar, err := access.OfficeHours("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	soon := parvis.Demand{Strength: parvis.NoSMS, From: tn.clock.Now().AddDate(0, 0, 12)}
	profiles := []parvis.Profile{{ID: parvis.Standard, Second: map[parvis.Channel]parvis.Demand{"": soon}}, {ID: parvis.SocialData, Sensitive: true}}
	tn.portal.Policy, err = access.New(access.Catalog{Apps: tn.catalog.Apps, Profiles: profiles, Calendar: calendar, SecondProofReady: true})
	if err != nil {
		t.Fatal(err)
	}
	tn.from(parvis.Internal, "fr").signIn("A100001").get("/").has("Double vérification obligatoire", "Il vous reste 12 jours", `href="/security/factors"`)
	tn.from(parvis.Internal, "en").signIn("A100001").get("/").has("You have 12 days left")
	tn.from(parvis.Internal, "fr").signIn("A100004").get("/").hasNot("Il vous reste 12 jours").has("Votre arrivée n&#39;est pas terminée", "une deuxième méthode")
	tn.enrol("A100001")
	tn.from(parvis.Internal, "fr").signIn("A100001").get("/").hasNot("Il vous reste 12 jours")
}

// arrivalScreens are those of the two accounts, for the gallery: what they set up
// is put back.
func arrivalScreens(tn *town, visit func(parvis.Channel) *visitor, all map[string]reply) {
	policy := tn.portal.Policy
	defer func() {
		tn.portal.Policy, tn.portal.Door.Policy, tn.portal.Door.Link, tn.portal.Desk.Mode, tn.edge.Leads = policy, policy, nil, nil, nil
	}()
	c := tn.outside(parvis.VerifierFirst, false)
	in := visit(parvis.Internal).signIn("A100001")
	all["home_arrival"], all["arrival"], all["verifier_redirect"], all["security_verifier_none"] = in.get("/"), in.get("/arrival"), in.get("/verifier"), in.get("/security/verifier")
	leave := func() reply { return in.post("/verifier/leave", "purpose", "link", "provider", "compte") }
	in.get(c.visit(leave(), "citizen-1", true))
	all["security_verifier"], all["security_verifier_unlink"] = in.get("/security/verifier?done=link"), in.get("/security/verifier?unlink=compte")
	all["security_verifier_forbidden"] = in.post("/security/verifier", "unlink", "compte")
	for code, name := range map[string]string{
		"access_denied": "cancelled", "account_locked": "locked", "unmet_authentication_requirements": "level", "server_error": "unavailable",
	} {
		all["verifier_return_"+name] = in.get(c.refuse(leave(), code))
	}
	all["verifier_return_mismatch"] = in.get(c.visit(leave(), "citizen-2", true))
	all["verifier_return_unverified"] = in.get(c.visit(leave(), "citizen-1", false))
	other := visit(parvis.Internal).signIn("A100010")
	all["verifier_return_linked"] = other.get(c.visit(other.post("/verifier/leave", "purpose", "link"), "citizen-1", true))
	all["verifier_return_missing"] = other.post("/verifier/leave", "purpose", "prove")

	code, _, err := tn.portal.Desk.Issue(context.Background(), "A100008", "operator:test")
	if err != nil {
		tn.t.Fatal(err)
	}
	fresh := visit(parvis.Mobile)
	fresh.post("/activate", "code", code.Reveal())
	all["activation_two_overview"], all["activation_two_password"] = fresh.get("/activate/overview"), fresh.get("/activate/password")
	for _, have := range []string{"", "yes", "no", "unknown"} {
		all["activation_two_verifier_"+have] = fresh.get("/activate/verifier?have=" + have)
	}
	fresh.get(c.visit(fresh.leave(all["activation_two_verifier_yes"]), "citizen-8", true))
	all["activation_two_verifier_linked"], all["activation_two_second"] = fresh.get("/activate/verifier"), fresh.get("/activate/second")
	all["activation_two_early"] = fresh.post("/activate/finish")
	err = tn.store.Write(context.Background(), func(tx *store.Tx) error {
		for _, number := range []parvis.AgentNumber{"A100001", "A100008"} {
			tx.Record(parvis.Event{Kind: "verifier.unlinked", Agent: number, Actor: string(number)})
			if _, err := tx.DropLink(context.Background(), number, c.URL); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tn.t.Fatal(err)
	}
}
