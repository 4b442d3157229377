package citytest

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/crewjam/saml"
	"golang.org/x/oauth2"

	"parvis"
)

// fourDoors is an application that has every door at once: the gateway passes to
// it, and it signs agents in by OpenID Connect, CAS and SAML besides.
type fourDoors struct {
	t    *testing.T
	town *Town
	base string
	got  *received
}

func (t *Town) fourDoors(tb *testing.T) *fourDoors {
	tb.Helper()
	d := &fourDoors{t: tb, town: t, got: new(received)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // kept with the request; what is missing is seen there
		d.got.ServeHTTP(w, r)
	}))
	tb.Cleanup(server.Close)
	d.base = server.URL
	return d
}

// in is its service provider metadata, its addresses and its doors, as a file;
// rules are what the decision is about.
func (d *fourDoors) file(id, rules string) string {
	return appFile(id, `upstream: `+d.base+`
attributes: [uid, email]
`+rules+`
oidc:
  redirects: ["`+d.base+`/`+id+`/cb"]
  secrets: [{sha256: "`+sha("secret of "+id)+`"}]
cas:
  services: ["`+d.base+`/`+id+`/cas"]
saml:
  metadata: `+block(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="`+d.base+`/`+id+`/saml">
<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<AssertionConsumerService index="0" isDefault="true" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="`+d.base+`/`+id+`/acs"/>
</SPSSODescriptor></EntityDescriptor>`))
}

// verdict is what a door said: whom it let in, and whether it asked for the
// reduced version; or the reasons of the page.
type verdict struct {
	who     string
	limited bool
	reasons []string
}

func (v verdict) String() string {
	if v.limited {
		return "open, reduced, to " + v.who
	}
	if v.who != "" {
		return "open to " + v.who
	}
	return "refused: " + strings.Join(v.reasons, " ")
}

// ends follows what a door shows to its end: where a proof would do, the agent
// goes on without one.
func (d *fourDoors) ends(v *Visitor, p *Page) (at *Page, refused *verdict) {
	d.t.Helper()
	p = onward(v, p)
	if without := p.Link("unmet=1"); without != "" {
		p = onward(v, v.Get(without))
	}
	if p.Screen == "" {
		return p, nil
	}
	if p.Screen != "why_not" || p.Reference == "" || len(p.Reasons) == 0 {
		d.t.Fatalf("neither in nor told why: %d %s at %s\n%.1000s", p.Status, p.Screen, p.URL, p.Text())
	}
	reasons := slices.Clone(p.Reasons)
	slices.Sort(reasons)
	return p, &verdict{reasons: reasons}
}

// last is the request that reached the application last.
func (d *fourDoors) last() *http.Request {
	d.t.Helper()
	all := d.got.take()
	if len(all) == 0 {
		d.t.Fatal("nothing reached the application")
	}
	return all[len(all)-1]
}

func (d *fourDoors) gateway(v *Visitor, ch parvis.Channel, id string) verdict {
	if _, refused := d.ends(v, v.Get(d.town.App(ch, id)+"/")); refused != nil {
		return *refused
	}
	r := d.last()
	sub, _ := assertion(d.t, r)
	var said struct{ Limited bool }
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(r.Header.Get("Parvis-Assertion"), ".")[1])
	if err == nil {
		err = json.Unmarshal(b, &said)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return verdict{who: sub, limited: said.Limited}
}

func (d *fourDoors) openID(v *Visitor, ch parvis.Channel, id string) verdict {
	d.t.Helper()
	plain := Client()
	defer plain.CloseIdleConnections()
	ctx := oidc.ClientContext(d.t.Context(), plain)
	provider, err := oidc.NewProvider(ctx, d.town.Portal(ch))
	if err != nil {
		d.t.Fatal(err)
	}
	c := oauth2.Config{ClientID: id, ClientSecret: "secret of " + id, Endpoint: provider.Endpoint(), RedirectURL: d.base + "/" + id + "/cb", Scopes: []string{"openid"}}
	verifier := oauth2.GenerateVerifier()
	if _, refused := d.ends(v, v.Get(c.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)))); refused != nil {
		return *refused
	}
	tok, err := c.Exchange(ctx, d.last().Form.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		d.t.Fatal(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	token, err := provider.Verifier(&oidc.Config{ClientID: id}).Verify(ctx, raw)
	if err != nil {
		d.t.Fatal(err)
	}
	user, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tok))
	if err != nil {
		d.t.Fatal(err)
	}
	var said struct{ Limited bool }
	if err := user.Claims(&said); err != nil {
		d.t.Fatal(err)
	}
	return verdict{who: token.Subject, limited: said.Limited}
}

func (d *fourDoors) cas(v *Visitor, ch parvis.Channel, id string) verdict {
	d.t.Helper()
	service := d.base + "/" + id + "/cas"
	if _, refused := d.ends(v, v.Get(d.town.Portal(ch)+"/cas/login?service="+url.QueryEscape(service))); refused != nil {
		return *refused
	}
	var said struct {
		ServiceResponse struct {
			AuthenticationSuccess struct {
				User       string
				Attributes map[string]any
			}
		}
	}
	q := url.Values{"service": {service}, "ticket": {d.last().Form.Get("ticket")}, "format": {"JSON"}}
	d.town.json(d.town.Portal(ch)+"/cas/p3/serviceValidate?"+q.Encode(), &said)
	in := said.ServiceResponse.AuthenticationSuccess
	_, limited := in.Attributes["limited"]
	return verdict{who: in.User, limited: limited}
}

// provider is the application as a SAML service provider, with a request.
func (d *fourDoors) provider(ch parvis.Channel, id string) (*saml.ServiceProvider, *saml.AuthnRequest, string) {
	d.t.Helper()
	parse := func(s string) url.URL {
		u, err := url.Parse(s)
		if err != nil {
			d.t.Fatal(err)
		}
		return *u
	}
	var idp saml.EntityDescriptor
	page := d.town.Visitor(d.t).Get(d.town.Portal(ch) + "/saml/metadata")
	if err := xml.Unmarshal([]byte(page.Body), &idp); err != nil {
		d.t.Fatal(err)
	}
	sp := &saml.ServiceProvider{
		EntityID: d.base + "/" + id + "/saml", AcsURL: parse(d.base + "/" + id + "/acs"), MetadataURL: parse(d.base + "/" + id + "/saml"), IDPMetadata: &idp,
	}
	request, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(saml.HTTPRedirectBinding), saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		d.t.Fatal(err)
	}
	to, err := request.Redirect("", sp)
	if err != nil {
		d.t.Fatal(err)
	}
	return sp, request, to.String()
}

func (d *fourDoors) saml(v *Visitor, ch parvis.Channel, id string) verdict {
	d.t.Helper()
	sp, request, to := d.provider(ch, id)
	if _, refused := d.ends(v, v.Get(to)); refused != nil {
		return *refused
	}
	body, err := base64.StdEncoding.DecodeString(d.last().PostForm.Get("SAMLResponse"))
	if err != nil {
		d.t.Fatal(err)
	}
	said, err := sp.ParseXMLResponse(body, []string{request.ID}, sp.AcsURL)
	if err != nil {
		d.t.Fatalf("%v\n%s", err, body)
	}
	var told verdict
	for _, statement := range said.AttributeStatements {
		for _, a := range statement.Attributes {
			if a.FriendlyName == "uid" && len(a.Values) == 1 {
				told.who = a.Values[0].Value
			}
			told.limited = told.limited || a.FriendlyName == "limited" || a.Name == "limited"
		}
	}
	return told
}

// TestEveryDoorDecidesAlike: agents, at each entrance, before one application in
// several shapes: each of its doors lets in whom `parvis why` says, and refuses
// with the same reasons, on the same page.
func TestEveryDoorDecidesAlike(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	d := town.fourDoors(t)
	shapes := map[string]string{
		"ouverte":  "channels: [internal, mobile]",
		"interne":  "channels: [internal]",
		"reduite":  "channels: [internal, mobile]\nreduced_on: [mobile]\nreduced_can: {fr: lire, en: read}\nreduced_cannot: {fr: écrire, en: write}",
		"confiee":  "channels: [internal, mobile]\nentitlement: true",
		"prouvee":  "channels: [internal, mobile]\nsecond_proof: true",
		"horaires": "channels: [internal, vpn]\noffice_hours: true\nsecond_proof: true\nsecond_proof_strength: no_sms",
	}
	files, ids := map[string]string{}, []string{}
	for id, rules := range shapes {
		files[id] = d.file(id, rules)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	takeApps(t, town, files)
	late := officeDay(t, 21, 30)
	tel := map[string]*phone{}
	for _, number := range []string{"A100003", "A100005"} {
		tel[number] = telephone(t, town, late, town.Person(number).TOTPSecret)
	}
	said := map[string]bool{}
	for _, number := range []string{"A100001", "A100003", "A100004", "A100005", "A100007"} {
		for step, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile} {
			t.Run(number+" "+string(ch), func(t *testing.T) {
				d := &fourDoors{t, town, d.base, d.got}
				v, proofs := town.Visitor(t), "password"
				p := v.SignIn(ch, town.Person(number))
				if p.Screen == "second_factor" {
					proofs = "password,totp"
					p = v.Submit(p, map[string]string{"code": tel[number].code(step)})
				}
				if p.Screen != "home" && p.Screen != "why_not" && p.Status != http.StatusOK {
					t.Fatalf("signed in: %d %s %v\n%.500s", p.Status, p.Screen, p.Reasons, p.Text())
				}
				rules := d.rules(number, ch, proofs)
				for _, id := range ids {
					want := rules[id]
					said[want.String()] = true
					for door, open := range map[string]func(*Visitor, parvis.Channel, string) verdict{"gateway": d.gateway, "OpenID": d.openID, "CAS": d.cas, "SAML": d.saml} {
						if got := open(v, ch, id); got.String() != want.String() {
							t.Errorf("%s through %s: %s; the rules say: %s", id, door, got, want)
						}
					}
				}
			})
		}
	}
	for _, must := range []string{
		"open to A100001", "open, reduced, to A100001", "refused: channel_not_allowed", "refused: app_not_assigned", "refused: factor_required",
		"refused: account_off_assignment", "refused: channel_closed channel_not_allowed factor_required",
	} {
		if !said[must] {
			t.Errorf("the table shows too little: %q is not in %v", must, said)
		}
	}
}

// rules is what the operator's commands say of every application; of one, what
// `parvis why` says besides, which must be the same.
func (d *fourDoors) rules(number string, ch parvis.Channel, proofs string) map[string]verdict {
	d.t.Helper()
	all := map[string]verdict{}
	of := func(open, limited bool, reasons []string) verdict {
		if open {
			return verdict{who: number, limited: limited}
		}
		slices.Sort(reasons)
		return verdict{reasons: reasons}
	}
	for _, row := range mapOf(d.t, d.town, number, "--channel", string(ch), "--proof", proofs) {
		all[row.App] = of(row.Open, row.Limited, row.Reasons)
	}
	told := why(d.t, d.town, number, "horaires", "--channel", string(ch), "--proof", proofs)
	if w := of(told.Open, false, told.codes()); w.String() != all["horaires"].String() {
		d.t.Errorf("parvis why says %s, parvis map %s", w, all["horaires"])
	}
	return all
}

// signedIn is a client of the city's in the hands of a program, with an agent.
func signedIn(t *testing.T, town *Town, ch parvis.Channel, id, secret, path string, who Person) (*goClient, *oauth2.Token) {
	t.Helper()
	c := goClientAt(t, town, ch, id, secret, path, oauth2.AuthStyleInHeader)
	code, verifier := c.code(&who)
	tok, _ := c.tokens(code, verifier, who)
	return c, tok
}

// active asks about a token (RFC 7662).
func (c *goClient) active(token string) bool {
	c.t.Helper()
	var more struct {
		At string `json:"introspection_endpoint"`
	}
	if err := c.provider.Claims(&more); err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, more.At, strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	res, err := c.v.HTTP.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var said struct{ Active bool }
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("introspection: %s %v", res.Status, err)
	}
	return said.Active
}

// TestTokensFollowTheRules: what an application holds is worth nothing any more
// when office hours end, for the application that keeps them; and when the
// account closes, for all.
func TestTokensFollowTheRules(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	denis := town.Person("A100010")
	told := new(received) // by the back channel
	here := httptest.NewServer(told)
	defer here.Close()
	takeApps(t, town, map[string]string{"guichet": appFile("guichet", `channels: [internal]
office_hours: true
oidc:
  redirects: ["http://127.0.0.1/cb"]
  back_channel_logout: "`+here.URL+`/bcl"
  secrets: [{sha256: "`+sha("secret of guichet")+`"}]
`)})
	town.SetClock(officeDay(t, 19, 40))
	c, tok := signedIn(t, town, parvis.Internal, "guichet", "secret of guichet", "/cb", denis)
	other := goClientAt(t, town, parvis.Internal, "demo-confidential", "demo-secret", "/cb", oauth2.AuthStyleInHeader)
	other.v = c.v
	code, verifier := other.code(nil)
	its, _ := other.tokens(code, verifier, denis)
	tok, err := c.refresh(tok.RefreshToken)
	if err != nil || !c.active(tok.AccessToken) {
		t.Fatalf("in office hours: %v", err)
	}
	if rule := why(t, town, denis.Number, "guichet", "--channel", "internal", "--at", officeDay(t, 20, 10).Format(time.RFC3339)); rule.Open {
		t.Fatalf("the office is open at ten past eight: %+v", rule)
	}

	town.SetClock(officeDay(t, 20, 10))
	if c.opens(tok) || c.active(tok.AccessToken) {
		t.Error("office hours have ended, and the token is worth something")
	}
	_, err = c.refresh(tok.RefreshToken)
	c.invalid("office hours have ended, and", err, "invalid_grant")
	if its, err = other.refresh(its.RefreshToken); err != nil || !other.opens(its) || !other.active(its.AccessToken) {
		t.Fatalf("another application, which keeps no hours: %v", err)
	}
	if p := c.v.Get(c.AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))); p.Screen != "why_not" || !p.Has("channel_closed") {
		t.Errorf("after hours: %d %s %v at %s", p.Status, p.Screen, p.Reasons, p.URL)
	}

	if all := told.take(); len(all) > 0 {
		t.Errorf("the session goes on, and the application is told of its end %d times", len(all))
	}

	past := officeDay(t, 0, 0).AddDate(0, 0, -2).Format(time.DateOnly)
	file := hrFile(t, denis.Number+";Caron;Denis;"+denis.Unit+";99999999800019;titulaire;activité;2020-01-08;"+past+";"+denis.Email)
	if out, errs, status := Run(t, "agent", "import", file, "--data", town.Data, "--override", "The test"); status != 0 {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	for range 100 {
		if !other.opens(its) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if other.opens(its) || other.active(its.AccessToken) {
		t.Error("the account is closed, and its token is worth something")
	}
	heard := 0
	for range 300 {
		if heard += len(told.take()); heard > 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if heard != 1 {
		t.Errorf("the account is closed, and the application is told %d times", heard)
	}
	_, err = other.refresh(its.RefreshToken)
	other.invalid("the account is closed, and", err, "invalid_grant")
	if q := other.v.Get(other.AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()), oauth2.SetAuthURLParam("prompt", "none"))).URL.Query(); q.Get("error") == "" || q.Get("code") != "" {
		t.Errorf("the account is closed, and a code comes: %v", q)
	}
}

// TestEssentialLevel: a level that is essential is reached on the way, or the
// application hears that it was not; one that is wished for changes nothing
// (OpenID Connect Core §5.5.1.1).
func TestEssentialLevel(t *testing.T) {
	t.Parallel()
	town := Open(t)
	denis, paul := town.Person("A100010"), town.Person("A100005")
	essential := func(level string) oauth2.AuthCodeOption {
		return oauth2.SetAuthURLParam("claims", `{"id_token":{"acr":{"essential":true,"values":["`+level+`"]}}}`)
	}
	level := func(c *goClient, id *oidc.IDToken) (string, []string) {
		var said struct {
			ACR string
			AMR []string
		}
		if err := id.Claims(&said); err != nil {
			c.t.Fatal(err)
		}
		return said.ACR, said.AMR
	}
	c := goClientAt(t, town, parvis.Internal, "demo-confidential", "demo-secret", "/cb", oauth2.AuthStyleInHeader)
	code, verifier := c.code(&denis, oauth2.SetAuthURLParam("acr_values", "eidas3 eidas2"))
	_, id := c.tokens(code, verifier, denis)
	if acr, amr := level(c, id); acr != "eidas1" || !slices.Equal(amr, []string{"pwd"}) {
		t.Errorf("wished for: %s %v", acr, amr)
	}
	ask := func(options ...oauth2.AuthCodeOption) *Page {
		return c.v.Get(c.AuthCodeURL("s", append(options, oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))...))
	}
	p := ask(essential("eidas2"))
	if p.Screen != "prove_level" || p.Link("unmet=1") == "" {
		t.Fatalf("who lacks the level: %d %s at %s", p.Status, p.Screen, p.URL)
	}
	if q := c.v.Get(p.Link("unmet=1")).URL.Query(); q.Get("error") != "unmet_authentication_requirements" || q.Get("code") != "" || q.Get("iss") != town.Portal(parvis.Internal) {
		t.Errorf("who goes on without: %v", q)
	}
	if q := ask(essential("eidas2"), oauth2.SetAuthURLParam("prompt", "none")).URL.Query(); q.Get("error") != "interaction_required" {
		t.Errorf("without a word: %v", q)
	}
	if q := ask(essential("urn:no:such:level")).URL.Query(); q.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("a level that does not exist: %v", q)
	}

	// Who has an authenticator is asked for a code, and comes back with the level.
	tel := telephone(t, town, officeDay(t, 10, 0), paul.TOTPSecret)
	c = goClientAt(t, town, parvis.Internal, "demo-confidential", "demo-secret", "/cb", oauth2.AuthStyleInHeader)
	verifier = oauth2.GenerateVerifier()
	p = c.v.Get(c.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier), oidc.Nonce("nonce-of-"+verifier[:8]), essential("eidas2")))
	p = c.v.SignInAt(p, paul.Number, paul.Password)
	p = c.v.Submit(p.at(t, "second_factor"), map[string]string{"code": tel.code(0)})
	_, id = c.tokens(p.URL.Query().Get("code"), verifier, paul)
	if acr, amr := level(c, id); acr != "eidas2" || !slices.Contains(amr, "mfa") || !slices.Contains(amr, "pwd") {
		t.Errorf("reached: %s %v", acr, amr)
	}
}
