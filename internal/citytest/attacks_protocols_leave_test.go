package citytest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis"
)

// claimsOf reads a token, unchecked.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Somebody owns one application of the city, and has the tokens of another:
//
//  1. they ask about them, take them back, refresh them: nothing is told, and
//     nothing ends;
//  2. an application without a secret may ask about nobody's.
func (e *enemy) takesOthers() {
	v := e.in("A100001")
	got := e.tokens(v, "essai")
	for what, token := range map[string]string{"an access token": got.Access, "a refresh token": got.Refresh, "an ID token": got.ID} {
		if e.active("autre", token) {
			e.t.Errorf("%s of another is active", what)
		}
		for _, id := range []string{"autre", "ouvert"} {
			if a := e.post("/revoke", id, url.Values{"token": {token}}); a.status != http.StatusOK && a.Error == "" {
				e.t.Errorf("%s taken back by %s: %d %v", what, id, a.status, a.all)
			}
		}
		if a := e.post("/introspect", "ouvert", url.Values{"token": {token}}); a.Active || a.all["sub"] != nil {
			e.t.Errorf("%s asked about without a secret: %d %v", what, a.status, a.all)
		}
		for _, id := range []string{"autre", "ouvert"} {
			if a := e.refresh(id, token); a.Error != "invalid_grant" || !a.nothing() {
				e.t.Errorf("%s refreshed by %s: %d %v", what, id, a.status, a.all)
			}
		}
	}
	wrong := func(r *http.Request) { r.SetBasicAuth("essai", secretOf("autre")) }
	for _, path := range []string{"/token", "/introspect", "/revoke", "/par"} {
		f := add(redemption("essai", "x"), "token", got.Refresh, "refresh_token", got.Refresh)
		if a := e.program(http.MethodPost, e.town.Portal(parvis.Internal)+path, f, wrong); a.Error != "invalid_client" || a.status != http.StatusUnauthorized {
			e.t.Errorf("with another's secret at %s: %d %v", path, a.status, a.all)
		}
	}
	e.lives("after all that", "essai", got)
}

// An application outside the organisation keeps what an agent agreed to once:
//
//  1. without a word before anybody agreed: refused; nobody else can agree;
//  2. agreed, it gets tokens, and codes without a word;
//  3. taken back: its tokens are dead, and without a word it gets no code.
func (e *enemy) outlivesConsent() {
	v, portal := e.in("A100001"), e.town.Portal(parvis.Internal)
	silent := e.asks(parvis.Internal, "dehors", "prompt", "none")
	if u := e.led(v, silent); u.Query().Get("error") != "consent_required" {
		e.t.Errorf("nobody agreed: %s", u)
	}
	p := v.Get(e.asks(parvis.Internal, "dehors")).at(e.t, "oidc_consent")
	other := e.in("A100010")
	other.Post(portal+"/consent", url.Values{"ticket": {fieldOf(p, "ticket")}, "answer": {"yes"}})
	evil := e.in("A100001")
	evil.Header = http.Header{"Origin": {"https://dehors.example"}, "Sec-Fetch-Site": {"cross-site"}}
	if a := evil.Post(portal+"/consent", url.Values{"ticket": {fieldOf(p, "ticket")}, "answer": {"yes"}}); a.Status != http.StatusForbidden {
		e.t.Errorf("agreed by another site: %d %s to %q", a.Status, a.Screen, a.Header.Get("Location"))
	}
	for _, b := range []*Visitor{v, other} {
		if u := e.led(b, silent); u.Query().Get("error") != "consent_required" {
			e.t.Errorf("somebody else agreed: %s", u)
		}
	}
	a := v.Post(portal+"/consent", url.Values{"ticket": {fieldOf(p, "ticket")}, "answer": {"yes"}})
	way := a.Header.Get("Location")
	if !strings.HasPrefix(way, "/authorize?") {
		e.t.Fatalf("agreed: %d %s to %q", a.Status, a.Screen, way)
	}
	u := e.led(v, portal+way)
	got := e.post("/token", "dehors", redemption("dehors", u.Query().Get("code")))
	e.lives("agreed", "dehors", got)
	waiting := e.code(v, "dehors", "prompt", "none")

	if p := v.Post(portal+"/security/applications/dehors", url.Values{}); p.Status != http.StatusSeeOther {
		e.t.Fatalf("taken back: %d %s", p.Status, p.Screen)
	}
	e.dead("taken back", "dehors", got)
	if u := e.led(v, silent); u.Query().Get("error") != "consent_required" || u.Query().Get("code") != "" {
		e.t.Errorf("taken back, and without a word: %s", u)
	}
	v.Get(e.asks(parvis.Internal, "dehors")).at(e.t, "oidc_consent")
	if p := v.Get(portal + way); p.Screen != "oidc_consent" {
		e.t.Errorf("taken back, and the way back of before leads on: %d to %q", p.Status, p.Header.Get("Location"))
	}
	if a := e.post("/token", "dehors", redemption("dehors", waiting)); a.Error != "invalid_grant" || !a.nothing() {
		e.t.Errorf("taken back, and a code of before: %d %s", a.status, a.Error)
	}
}

// across makes what a browser sends come from another site, with its cookies, as
// one that knows nothing of SameSite would.
func across(v *Visitor) *Visitor {
	other := *v
	other.Header = http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}
	return &other
}

// A page of another site has Camille's browser sign her out:
//
//  1. by a picture, a frame, a link: she is asked, at most;
//  2. by a form, by each protocol: refused, or she is asked;
//  3. with an ID token of the attacker's own, with a question that was put to
//     them, with an unsigned LogoutRequest: she is asked, or refused;
//  4. she is in, still, and what applications hold of her lives.
func (e *enemy) signsOutByASite() {
	v, portal := e.in("A100001"), e.town.Portal(parvis.Internal)
	got := e.tokens(v, "essai")
	thief := e.in("A100010")
	theirs := e.tokens(thief, "essai").ID
	question := fieldOf(thief.Get(portal+"/oidc/logout").at(e.t, "oidc_logout"), "ticket")
	back := url.QueryEscape(outOf("essai"))
	asked := []string{"oidc_logout", "sign_out"}
	in := func(how string, p *Page) {
		e.t.Helper()
		if !e.still(v) {
			e.t.Fatalf("%s: signed out", how)
		}
		to := p.Header.Get("Location")
		if to != "" && !strings.HasPrefix(to, "/oidc/logout?") || to == "" && p.Status < 400 && !slices.Contains(asked, p.Screen) {
			e.t.Errorf("%s: %d %s to %q", how, p.Status, p.Screen, to)
		}
	}
	paths := []string{
		"/oidc/logout", "/oidc/logout?state=x", "/oidc/logout?client_id=essai", "/oidc/logout?client_id=essai&post_logout_redirect_uri=" + back,
		"/oidc/logout?id_token_hint=" + theirs, "/oidc/logout?id_token_hint=" + theirs + "&post_logout_redirect_uri=" + back, "/oidc/logout?client_id=autre&id_token_hint=" + got.ID,
		"/oidc/logout?ticket=" + url.QueryEscape(question), "/cas/logout", "/cas/logout?service=" + url.QueryEscape(forum), "/signout",
		"/saml/slo?SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("<a/>"))),
	}
	for _, path := range paths {
		for _, b := range []*Visitor{v, across(v)} {
			in("GET "+path, b.Get(portal+path))
		}
		at, query, _ := strings.Cut(path, "?")
		f, err := url.ParseQuery(query)
		if err != nil {
			e.t.Fatal(err)
		}
		p := across(v).Post(portal+at, f)
		in("POST "+path, p)
		if to := p.Header.Get("Location"); strings.HasPrefix(to, "/") {
			in("POST "+path+", then", v.Get(portal+to))
		}
	}
	for _, b := range []*Visitor{v, across(v)} {
		in("the question of another", b.Post(portal+"/oidc/logout", url.Values{"ticket": {question}}))
	}
	e.lives("after all that", "essai", got)
}

// Somebody adds an address of theirs to a link that truly signs out: with the
// token of this very session, the agent is told that something is wrong, is in
// still, and is led nowhere; nor is who is out already.
func (e *enemy) leadsAwayAfter() {
	v, portal := e.in("A100001"), e.town.Portal(parvis.Internal)
	got := e.tokens(v, "essai")
	out := stay(e.town.Visitor(e.t))
	link := func(to string, pairs ...string) string {
		return portal + "/oidc/logout?" + add(url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {to}}, pairs...).Encode()
	}
	for _, to := range append([]string{
		"https://essai.example/out", "https://essai.example/out?", "https://essai.example/out?a=1&b=2", "https://essai.example/out?a=1#x", "https://essai.example/out?a=2", "https://essai.example/out/?a=1",
		"https://essai.example:443/out?a=1", "http://essai.example/out?a=1", "https://ESSAI.example/out?a=1", outOf("autre"), backOf("essai"), outOf("essai") + " ", outOf("essai") + "\r\nX-Evil: 1",
		"https://essai.example@evil.example/out?a=1", "https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)",
	}, nearly[:30]...) {
		for name, b := range map[string]*Visitor{"in": v, "out": out} {
			p := b.Get(link(to))
			if p.Status != http.StatusBadRequest || p.Header.Get("Location") != "" || p.Header.Get("X-Evil") != "" || strings.Contains(p.Body, `="https://evil`) {
				e.t.Errorf("%s, to %q: %d %s to %q", name, to, p.Status, p.Screen, p.Header.Get("Location"))
			}
		}
	}
	for _, path := range []string{"/cas/logout?service=https%3A%2F%2Fevil.example%2F", "/cas/logout?url=https%3A%2F%2Fevil.example%2F", "/cas/logout?service=" + url.QueryEscape("https://forum.example/app/../../@evil.example")} {
		if to := out.Get(portal + path).Header.Get("Location"); to != "/signout" {
			e.t.Errorf("%s leads to %q", path, to)
		}
		if p := v.Get(portal + path); p.Header.Get("Location") != "" || strings.Contains(p.Body, `="https://evil`) {
			e.t.Errorf("%s: %d to %q", path, p.Status, p.Header.Get("Location"))
		}
	}
	if !e.still(v) {
		e.t.Fatal("signed out by a link that was wrong")
	}
	e.lives("after all that", "essai", got)
	if u := e.led(v, link(outOf("essai"), "state", "x\r\nSet-Cookie: a=b")); !strings.HasPrefix(u.String(), outOf("essai")+"&state=x%0D%0A") || e.still(v) {
		e.t.Errorf("the true one: %s", u)
	}
	e.dead("signed out", "essai", got)
}

// forum and salon are services of CAS, each of an application of its own.
const (
	forum = "https://forum.example/app/page?x=1"
	salon = "https://salon.example/"
)

// ticket asks for one, which must be given.
func (e *enemy) ticket(v *Visitor, service string) string {
	e.t.Helper()
	u := e.led(v, e.town.Portal(parvis.Internal)+"/cas/login?service="+url.QueryEscape(service))
	ticket := u.Query().Get("ticket")
	if ticket == "" || !strings.HasPrefix(u.String(), service) {
		e.t.Fatalf("no ticket for %s: %s", service, u)
	}
	e.note("a ticket", ticket)
	return ticket
}

// validates shows a ticket, as an application does, and gives what is answered.
func (e *enemy) validates(ch parvis.Channel, path, service, ticket string, pairs ...string) string {
	e.t.Helper()
	v := e.town.Visitor(e.t)
	defer v.HTTP.CloseIdleConnections()
	return v.Get(e.town.Portal(ch) + path + "?" + add(url.Values{"service": {service}, "ticket": {ticket}}, pairs...).Encode()).Body
}

// good tells whether an answer to a ticket vouches for somebody.
func good(body string) bool {
	return strings.Contains(body, "authenticationSuccess") || strings.HasPrefix(body, "yes\n") || strings.Contains(body, "A100001")
}

// Somebody has a ticket of CAS, from the address line of another's browser:
//
//  1. after its application: refused, however it is asked; twenty at once: one;
//  2. at another service, with an address that is nearly right, at the other
//     entrance: refused, and it is spoilt, at its own service too;
//  3. written otherwise, made up, twice in one question: refused;
//  4. services that nobody declared are led nowhere.
func (e *enemy) replaysATicket() {
	v, portal := e.in("A100001"), e.town.Portal(parvis.Internal)
	const validate = "/cas/p3/serviceValidate"
	ticket := e.ticket(v, forum)
	if b := e.validates(parvis.Internal, validate, forum, ticket); !good(b) {
		e.t.Fatalf("its own service: %s", b)
	}
	for _, path := range []string{"/cas/validate", "/cas/serviceValidate", validate, "/cas/proxyValidate", "/cas/p3/proxyValidate"} {
		for _, format := range []string{"", "JSON"} {
			if b := e.validates(parvis.Internal, path, forum, ticket, "format", format); good(b) || b == "" {
				e.t.Errorf("again, at %s: %s", path, b)
			}
		}
	}
	ticket = e.ticket(v, forum)
	var work sync.WaitGroup
	all := make([]string, 20)
	for i := range all {
		work.Go(func() { all[i] = e.validates(parvis.Internal, validate, forum, ticket) })
	}
	work.Wait()
	if won := slices.DeleteFunc(all, func(b string) bool { return !good(b) }); len(won) != 1 {
		e.t.Errorf("twenty at once: %d", len(won))
	}
	for _, other := range []string{
		salon, "https://forum.example/app/", "https://forum.example/app/page", "https://forum.example/app/page?x=2", "https://forum.example/app/page?x=1&y=2", "https://forum.example/app/page?x=1#f",
		"https://FORUM.example/app/page?x=1", "https://forum.example:443/app/page?x=1", "http://forum.example/app/page?x=1", "https://forum.example/app/../app/page?x=1", forum + "/", "https://evil.example/",
	} {
		ticket := e.ticket(v, forum)
		if b := e.validates(parvis.Internal, validate, other, ticket); good(b) {
			e.t.Errorf("at %s: %s", other, b)
		}
		if b := e.validates(parvis.Internal, validate, forum, ticket); good(b) {
			e.t.Errorf("at its own service, after %s: %s", other, b)
		}
	}
	if b := e.validates(parvis.Mobile, validate, forum, e.ticket(v, forum)); good(b) {
		e.t.Errorf("at the other entrance: %s", b)
	}
	ticket = e.ticket(v, forum)
	for name, shown := range map[string]string{
		"in small letters": strings.ToLower(ticket), "with more": ticket + "A", "with padding": ticket + "=", "cut": ticket[:len(ticket)-1], "altered": swap(ticket[:40]) + ticket[40:],
		"as of a proxy": strings.Replace(ticket, "ST-", "PT-", 1), "made up": "ST-1-abcdefghijklmnopqrstuvwxyz", "with a blank": ticket + " ", "with a NUL": ticket + "\x00",
	} {
		if b := e.validates(parvis.Internal, validate, forum, shown); good(b) {
			e.t.Errorf("%s: %s", name, b)
		}
	}
	for _, twice := range []string{"&ticket=ST-x", "&service=" + url.QueryEscape(salon)} {
		b := e.town.Visitor(e.t).Get(portal + validate + "?" + url.Values{"service": {forum}, "ticket": {ticket}}.Encode() + twice).Body
		if good(b) || !strings.Contains(b, "INVALID_REQUEST") {
			e.t.Errorf("twice, %s: %s", twice, b)
		}
	}
	if b := e.validates(parvis.Internal, validate, forum, ticket, "renew", "true"); good(b) {
		e.t.Errorf("a fresh proof was not given: %s", b)
	}
	for _, service := range []string{
		"https://evil.example/", "https://forum.example/", "https://forum.example/apple", "https://forum.example/apple/", "https://forum.example/app/../x", "https://forum.example/app/%2e%2e/x", "https://forum.example/app\\..\\x",
		"https://forum.example.evil.example/app/", "https://forum.example@evil.example/app/", "https://evil.example/https://forum.example/app/", "http://forum.example/app/", "//forum.example/app/", "javascript:alert(1)",
		"https://forum.example:444/app/", "https://x@forum.example/app/", "https://forum.example/app/\r\nX-Evil: 1", "https://forum.example\\@evil.example/app/", " https://forum.example/app/", "https://salon.example.evil.example/",
	} {
		for _, more := range []string{"", "&gateway=true", "&method=POST", "&renew=true"} {
			for _, b := range []*Visitor{v, stay(e.town.Visitor(e.t))} {
				p := b.Get(portal + "/cas/login?service=" + url.QueryEscape(service) + more)
				if p.Header.Get("Location") != "" || p.Status != http.StatusForbidden || strings.Contains(p.Body, "ST-") || p.Header.Get("X-Evil") != "" {
					e.t.Errorf("service %q%s: %d %s to %q", service, more, p.Status, p.Screen, p.Header.Get("Location"))
				}
			}
		}
	}
}

// held is everything that two agents' applications have of them.
type held struct {
	v             *Visitor
	essai, open   said
	code, ticket  string
	pushed        string
	name, session string // as SAML says
}

// holds takes an agent everywhere.
func (e *enemy) holds(number string) held {
	e.t.Helper()
	h := held{v: e.in(number)}
	h.essai, h.open = e.tokens(h.v, "essai"), e.tokens(h.v, "ouvert")
	h.code, h.ticket = e.code(h.v, "essai"), e.ticket(h.v, forum)
	h.pushed = e.post("/par", "pousse", asked(e.asks(parvis.Internal, "pousse"))).Pushed
	a := e.sp.signedIn(e, h.v)
	h.name, h.session = a.Subject.NameID.Value, a.AuthnStatements[0].SessionIndex
	return h
}

// gone wants all of it to be worth nothing within seconds, in whatever order it
// is tried, and the application that asked for it to be told.
func (e *enemy) gone(what string, h held) {
	e.t.Helper()
	portal := e.town.Portal(parvis.Internal)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && e.user(parvis.Internal, h.essai.Access).status == http.StatusOK; {
		time.Sleep(50 * time.Millisecond)
	}
	e.dead(what, "essai", h.essai)
	e.dead(what, "ouvert", h.open)
	if a := e.post("/token", "essai", redemption("essai", h.code)); a.Error != "invalid_grant" || !a.nothing() {
		e.t.Errorf("%s, and a code of before: %d %v", what, a.status, a.all)
	}
	if b := e.validates(parvis.Internal, "/cas/p3/serviceValidate", forum, h.ticket); strings.Contains(b, "Success") {
		e.t.Errorf("%s, and a ticket of before: %s", what, b)
	}
	for name, address := range map[string]string{
		"OpenID": e.asks(parvis.Internal, "essai", "prompt", "none"), "pushed": portal + "/authorize?" + url.Values{"client_id": {"pousse"}, "request_uri": {h.pushed}}.Encode(),
		"CAS": portal + "/cas/login?service=" + url.QueryEscape(forum), "CAS, without a word": portal + "/cas/login?gateway=true&service=" + url.QueryEscape(forum), "SAML": e.sp.asks(e),
	} {
		gives := ""
		for range 100 { // what another process wrote is heard of within seconds
			p := h.v.Get(address)
			u, err := p.URL.Parse(p.Header.Get("Location"))
			if err != nil {
				e.t.Fatal(err)
			}
			if code := u.Query().Get("code"); code != "" && name == "OpenID" { // and is worth nothing meanwhile
				if a := e.post("/token", "essai", redemption("essai", code)); a.Error != "invalid_grant" || !a.nothing() {
					e.t.Errorf("%s, and a code of now: %d %v", what, a.status, a.all)
				}
			}
			gives = u.Query().Get("code") + u.Query().Get("ticket") + fieldOf(p, "SAMLResponse")
			if gives == "" {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if gives != "" {
			e.t.Errorf("%s, and %s still gives %s", what, name, gives)
		}
	}
	sid := claimsOf(e.t, h.essai.ID)["sid"]
	heard := 0
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end) && heard == 0; time.Sleep(50 * time.Millisecond) {
		for _, r := range e.told.take() {
			token := r.PostForm.Get("logout_token")
			e.note("a logout token", token)
			if r.URL.Path == backChannelOf && sid != nil && claimsOf(e.t, token)["sid"] == sid {
				heard++
			}
		}
	}
	if heard == 0 {
		e.t.Errorf("%s, and the application is not told", what)
	}
}

// Somebody holds everything that applications have of Denis, who signs out: all
// of it is dead, at every door, at once.
func (e *enemy) outlivesASession() {
	h, other := e.holds("A100010"), e.tokens(e.in("A100010"), "essai")
	h.v.Post(e.town.Portal(parvis.Internal)+"/signout", url.Values{})
	if e.still(h.v) {
		e.t.Fatal("not signed out")
	}
	e.gone("signed out", h)
	e.lives("another session of theirs", "essai", other)
}

// Luc leaves, by the file of human resources: within seconds nothing that was
// given in his name is worth anything, and nothing more is given.
func (e *enemy) outlivesAnAccount() {
	h, luc := e.holds("A100030"), e.town.Person("A100030")
	past := time.Now().AddDate(0, 0, -2).Format(time.DateOnly)
	file := hrFile(e.t, luc.Number+";Marchand;Luc;"+luc.Unit+";99999999800019;titulaire;activité;2020-01-08;"+past+";"+luc.Email)
	if out, errs, status := Run(e.t, "agent", "import", file, "--data", e.town.Data, "--override", "The test"); status != 0 {
		e.t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	e.gone("the account is closed", h)
}

// An application is removed while it holds tokens of agents; later somebody
// declares another of the same name: nothing of the first is worth anything.
func (e *enemy) outlivesAnApplication() {
	v, portal := e.in("A100001"), e.town.Portal(parvis.Internal)
	got, code, ticket := e.tokens(v, "ephemere"), e.code(v, "ephemere"), e.ticket(v, salon)
	dir := e.t.TempDir()
	if _, errs, status := Run(e.t, "app", "export", dir, "--data", e.town.Data); status != 0 {
		e.t.Fatal(errs)
	}
	for _, id := range []string{"ephemere", "salon"} {
		if _, errs, status := Run(e.t, "app", "remove", id, "--data", e.town.Data); status != 0 {
			e.t.Fatalf("remove %s: %s", id, errs)
		}
	}
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end) && (e.user(parvis.Internal, got.Access).status == http.StatusOK || e.refreshes(got)); {
		time.Sleep(50 * time.Millisecond)
	}
	for name, a := range map[string]said{
		"a refresh": e.refresh("ephemere", got.Refresh), "a code": e.post("/token", "ephemere", redemption("ephemere", code)), "introspection": e.post("/introspect", "ephemere", url.Values{"token": {got.Access}}),
		"a pushed request": e.post("/par", "ephemere", asked(e.asks(parvis.Internal, "ephemere"))),
	} {
		if a.Error != "invalid_client" || a.status != http.StatusUnauthorized || !a.nothing() {
			e.t.Errorf("removed, and %s: %d %v", name, a.status, a.all)
		}
	}
	if a := e.user(parvis.Internal, got.Access); a.status != http.StatusUnauthorized {
		e.t.Errorf("removed, and UserInfo: %d %v", a.status, a.all)
	}
	if p := v.Get(e.asks(parvis.Internal, "ephemere")); p.Status != http.StatusBadRequest || p.Header.Get("Location") != "" {
		e.t.Errorf("removed, and asked for: %d %s to %q", p.Status, p.Screen, p.Header.Get("Location"))
	}
	if b := e.validates(parvis.Internal, "/cas/p3/serviceValidate", salon, ticket); good(b) {
		e.t.Errorf("removed, and a ticket: %s", b)
	}
	if p := v.Get(portal + "/cas/login?service=" + url.QueryEscape(salon)); p.Status != http.StatusForbidden || p.Header.Get("Location") != "" {
		e.t.Errorf("removed, and a service: %d to %q", p.Status, p.Header.Get("Location"))
	}
	if _, errs, status := Run(e.t, "app", "import", dir, "--data", e.town.Data); status != 0 {
		e.t.Fatal(errs)
	}
	follow := e.town.Visitor(e.t)
	follow.until("known to the city again", e.asks(parvis.Internal, "ephemere"), atDoor)
	e.dead("declared again", "ephemere", got)
	e.lives("declared again, a grant of its own", "ephemere", e.tokens(v, "ephemere"))
}

// refreshes tells whether the name of an application is known still.
func (e *enemy) refreshes(got said) bool {
	e.t.Helper()
	return e.post("/introspect", "ephemere", url.Values{"token": {got.Access}}).Error != "invalid_client"
}
