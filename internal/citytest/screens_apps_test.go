package citytest

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/oauth2"

	"parvis"
)

// TestScreensOfApplications looks at what agents see on the way to applications
// that speak a protocol, and of what those hold.
func TestScreensOfApplications(t *testing.T) {
	t.Parallel()
	p := openPartners(t)
	b := openBrowser(t)
	t.Run("way", func(t *testing.T) { p.way(t, b) })
	t.Run("levels", func(t *testing.T) { p.levels(t, b) })
	t.Run("held", func(t *testing.T) { p.held(t, b) })
	t.Run("leaving", func(t *testing.T) { p.leaving(t, b) })
}

// TestScreensOfOffice looks at the pages of those who declare applications.
func TestScreensOfOffice(t *testing.T) {
	t.Parallel()
	openPartners(t).office(t, openBrowser(t))
}

// openPartners opens a city, and applications that it learns of.
func openPartners(t *testing.T) *partners {
	t.Helper()
	p := &partners{gallery: openGallery(t)}
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(`<!doctype html><html lang="fr"><title>Ailleurs</title><body data-screen="outside">back`))
	}))
	t.Cleanup(here.Close)
	p.base = here.URL
	p.declare(t)
	return p
}

// partners are applications of every protocol, at one address.
type partners struct {
	*gallery
	base string
}

const partnerMetadata = `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://sirh.example.org/metadata"><SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="%s/acs" index="0" isDefault="true"/></SPSSODescriptor></EntityDescriptor>`

// declare imports the applications and waits until the city knows them.
func (p *partners) declare(t *testing.T) {
	t.Helper()
	client := "channels: [internal, vpn, mobile]\nattributes: [uid, given_name, usual_name, name, email, phone_number, organizational_unit]\n"
	takeApps(t, p.town, map[string]string{
		"mairies": appFile("mairies", client+"external: true\nstart: "+p.base+"/\noidc:\n  auth: none\n  offline_access: true\n  device: true\n  redirects: ["+p.base+"/cb]\n  front_channel_logout: "+p.base+"/fcl\n"),
		"agenda":  appFile("agenda", client+"oidc:\n  auth: client_secret_basic\n  redirects: ["+p.base+"/agenda]\n  secrets:\n    - sha256: "+strings.Repeat("ab", 32)+"\n    - sha256: "+strings.Repeat("cd", 32)+"\n"),
		"ged":     appFile("ged", client+"external: true\nstart: "+p.base+"/\ncas:\n  services: ["+p.base+"/ged/]\n"),
		"sirh":    appFile("sirh", client+"saml:\n  metadata: '"+fmt.Sprintf(partnerMetadata, p.base)+"'\n"),
	})
	v := p.town.Visitor(t)
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if p := v.Get(p.authorize(parvis.Mobile, "mairies", "/cb")); p.Screen != "oidc_problem" {
			return
		}
		if time.Since(begun) > patience {
			t.Fatal("the city does not learn of applications that were imported")
		}
	}
}

const partnerVerifier = "a-verifier-that-is-long-enough-for-rfc-7636-s4-1"

// authorize is where an application sends its visitors to be told who they are.
func (p *partners) authorize(ch parvis.Channel, id, path string, more ...string) string {
	q := url.Values{
		"client_id": {id}, "redirect_uri": {p.base + path}, "response_type": {"code"}, "scope": {"openid profile email phone organizational_unit"}, "state": {"s"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(partnerVerifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return p.town.Portal(ch) + "/authorize?" + q.Encode()
}

// asks is a SAML request by the HTTP-Redirect binding (SAML Bindings §3.4).
func (p *partners) asks(t *testing.T, issuer string, at time.Time) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(w, `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_%d" Version="2.0" IssueInstant="%s"><saml:Issuer>%s</saml:Issuer></samlp:AuthnRequest>`,
		time.Now().UnixNano(), at.UTC().Format(time.RFC3339), issuer)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return p.town.Portal(parvis.Mobile) + "/saml/sso?" + url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(b.Bytes())}}.Encode()
}

// still goes to a page that would leave at once, and keeps it there.
func still(name, screen string, address func() string) scene {
	return scene{name, screen, func(w *window) seen {
		w.scripts(false)
		defer w.scripts(true)
		return w.open(address())
	}}
}

// way is what agents see on the way to an application.
func (p *partners) way(t *testing.T, b *browser) {
	mobile := p.town.Portal(parvis.Mobile)
	cas := func(path string) string { return mobile + "/cas/login?service=" + url.QueryEscape(p.base+path) }
	const sirh = "https://sirh.example.org/metadata"
	w := b.window(t, "fr")
	p.walk(t, w, []scene{
		at("sign_in_context-oidc", "sign_in_context", p.authorize(parvis.Mobile, "agenda", "/agenda", "login_hint", "camille.martin+tri@ville.example.org")),
		at("sign_in_context-sp_name", "sign_in_context", p.authorize(parvis.Mobile, "mairies", "/cb", "sp_name", "Demande de logement social")),
		at("sign_in_context-cas", "sign_in_context", cas("/ged/x")),
		at("oidc_problem-client", "oidc_problem", p.authorize(parvis.Mobile, "nobody", "/cb")),
		at("oidc_problem-redirect", "oidc_problem", p.authorize(parvis.Mobile, "agenda", "/other")),
		at("federation_problem-cas", "federation_problem", cas("/elsewhere")),
		at("federation_problem-late", "federation_problem", p.asks(t, sirh, time.Now().Add(-24*time.Hour))),
		at("federation_problem-wrong", "federation_problem", mobile+"/saml/sso?SAMLRequest=nothing"),
		at("oidc_logout_done", "oidc_logout_done", mobile+"/oidc/logout"),
		at("oidc_logout_done-wrong", "oidc_logout_done", mobile+"/oidc/logout?client_id=nobody"),
	})
	w.open(mobile + "/signin")
	want(t, w.signIn(p.town.Person("A100001")), "home")
	code := ""
	p.walk(t, w, []scene{
		at("", "oidc_consent", p.authorize(parvis.Mobile, "mairies", "/cb")),
		at("oidc_consent-sp_name", "oidc_consent", p.authorize(parvis.Mobile, "mairies", "/cb", "sp_name", "Demande de logement social", "scope", "openid offline_access uid")),
		at("", "federation_consent", cas("/ged/x")),
		at("", "oidc_device", mobile+"/device"),
		typed("oidc_device-unknown", "oidc_device", mobile+"/device", "user_code", "BBBB-BBBB"),
		{"", "oidc_device_confirm", func(w *window) seen {
			code = p.device(t)
			w.open(mobile + "/device?user_code=" + code)
			return w.press(`form[action="/device"] button[type=submit]`)
		}},
		{"oidc_device_done-denied", "oidc_device_done", func(w *window) seen {
			w.open(mobile + "/device?user_code=" + code)
			w.press(`form[action="/device"] button[type=submit]`)
			return w.press(`button[name=answer][value=no]`)
		}},
		{"oidc_device_done", "oidc_device_done", func(w *window) seen {
			w.open(mobile + "/device?user_code=" + p.device(t))
			w.press(`form[action="/device"] button[type=submit]`)
			return w.press(`button[name=answer][value=yes]`)
		}},
		still("", "oidc_post", func() string { return p.authorize(parvis.Mobile, "agenda", "/agenda", "response_mode", "form_post") }),
		still("", "federation_leaving", func() string { return p.asks(t, sirh, time.Now()) }),
		at("why_not-reduced", "why_not", p.town.App(parvis.Mobile, "annuaire")+"/export"),
	})
}

// device asks for the code that a device shows (RFC 8628 §3.1).
func (p *partners) device(t *testing.T) string {
	t.Helper()
	res, err := Client().PostForm(p.town.Portal(parvis.Mobile)+"/device_authorization", url.Values{"client_id": {"mairies"}, "scope": {"openid"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var said struct {
		Code string `json:"user_code"`
	}
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || said.Code == "" {
		t.Fatalf("no code for a device: %s, %v", res.Status, err)
	}
	return said.Code
}

// levels is what agents see of whom an application asks for more.
func (p *partners) levels(t *testing.T, b *browser) {
	level := func(l string) string {
		return p.authorize(parvis.Internal, "agenda", "/agenda", "claims", `{"id_token":{"acr":{"essential":true,"values":["`+l+`"]}}}`)
	}
	again := p.authorize(parvis.Internal, "agenda", "/agenda", "prompt", "login")
	w := b.window(t, "fr")
	w.open(p.town.Portal(parvis.Internal) + "/signin")
	want(t, w.signIn(p.town.Person("A100001")), "home")
	p.walk(t, w, []scene{
		at("prove_level", "prove_level", level("eidas1-mfa")),
		at("prove_level-key", "prove_level", level("eidas3")),
		at("prove_password-client", "prove_password", again),
	})
	w = b.window(t, "fr")
	w.open(p.town.Portal(parvis.Internal) + "/signin")
	want(t, w.signIn(p.town.Person("A100040")), "home")
	p.walk(t, w, []scene{at("second_factor-level", "second_factor", level("eidas1-mfa"))})
	w = b.window(t, "fr")
	w.open(p.town.Portal(parvis.Mobile) + "/signin")
	want(t, w.signIn(p.town.Person("A100001")), "home")
	p.walk(t, w, []scene{at("prove_level-forbidden", "prove_level", p.authorize(parvis.Mobile, "agenda", "/agenda", "claims", `{"id_token":{"acr":{"essential":true,"values":["eidas2"]}}}`))})
}

// consents signs an agent in to the application outside the organisation, and
// gives the ID token it got.
func (p *partners) consents(t *testing.T, w *window) string {
	t.Helper()
	s := w.open(p.authorize(parvis.Mobile, "mairies", "/cb", "scope", "openid email offline_access"))
	if s.Screen == "oidc_consent" {
		s = w.press(`form[action="/consent"] button.button-primary`)
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Query().Get("code") == "" {
		t.Fatalf("no code at %s (%s):\n%s", s.URL, s.Screen, s.Text)
	}
	res, err := Client().PostForm(p.town.Portal(parvis.Mobile)+"/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"mairies"}, "code": {u.Query().Get("code")}, "redirect_uri": {p.base + "/cb"}, "code_verifier": {partnerVerifier},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var said struct {
		ID string `json:"id_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || said.ID == "" {
		t.Fatalf("no tokens: %s, %v", res.Status, err)
	}
	return said.ID
}

// held is what agents see of what applications were told of them.
func (p *partners) held(t *testing.T, b *browser) {
	mobile := p.town.Portal(parvis.Mobile)
	w := b.window(t, "fr")
	w.open(mobile + "/signin")
	want(t, w.signIn(p.town.Person("A100010")), "home")
	p.walk(t, w, []scene{at("security_apps-none", "security_apps", mobile+"/security/applications")})
	p.consents(t, w)
	w.open(p.authorize(parvis.Mobile, "agenda", "/agenda"))
	p.walk(t, w, []scene{
		at("", "security_apps", mobile+"/security/applications"),
		at("", "security_app_end", mobile+"/security/applications/mairies"),
		at("security-apps", "security", mobile+"/security"),
		at("activity-apps", "activity", mobile+"/activity"),
	})
	s := w.open(mobile + "/security/applications/mairies")
	want(t, s, "security_app_end")
	want(t, w.press(`form[action="/security/applications/mairies"] button`), "security_apps")
	p.walk(t, w, []scene{at("security_apps-ended", "security_apps", mobile+"/security/applications?ended=mairies")})
}

// leaving is what agents see when an application wants them signed out.
func (p *partners) leaving(t *testing.T, b *browser) {
	mobile := p.town.Portal(parvis.Mobile)
	w := b.window(t, "fr")
	w.open(mobile + "/signin")
	want(t, w.signIn(p.town.Person("A100010")), "home")
	p.walk(t, w, []scene{
		at("", "oidc_logout", mobile+"/oidc/logout?client_id=mairies"),
		at("oidc_logout-wrong", "oidc_logout", mobile+"/oidc/logout?client_id=mairies&post_logout_redirect_uri="+url.QueryEscape("https://evil.example")),
		at("sign_out-cas", "sign_out", mobile+"/cas/logout"),
	})
	p.walk(t, w, []scene{{"", "oidc_logout_frames", func(w *window) seen {
		if s := w.open(mobile + "/signin"); s.Screen != "home" {
			want(t, w.signIn(p.town.Person("A100010")), "home")
		}
		token := p.consents(t, w)
		w.scripts(false)
		defer w.scripts(true)
		return w.open(mobile + "/oidc/logout?id_token_hint=" + token)
	}}})
}

// office is what those see who declare applications, and those who may not.
func (p *partners) office(t *testing.T, b *browser) {
	inside := p.town.Portal(parvis.Internal)
	list := inside + "/admin/applications"
	one := func(id, page string) string { return list + "/" + id + "/" + page }
	w := b.window(t, "fr")
	w.open(inside + "/signin")
	want(t, w.signIn(p.town.Person("A100001")), "home")
	p.walk(t, w, []scene{at("", "admin_refused", list)})

	agnes := p.town.Person("A100040")
	tel := telephone(t, p.town, officeDay(t, 11, 0), agnes.TOTPSecret)
	w = b.window(t, "fr")
	w.open(inside + "/signin")
	want(t, w.signIn(agnes), "home")
	p.walk(t, w, []scene{
		at("home-it", "home", inside+"/"),
		at("", "admin_proof", one("agenda", "edit")+"?asked=1"),
		at("second_factor-admin", "second_factor", one("agenda", "edit")),
	})
	want(t, w.send("code", tel.code(0)), "admin_application_edit")
	p.walk(t, w, []scene{
		at("", "admin_applications", list),
		at("admin_applications-none", "admin_applications", list+"?q=nothing+like+it"),
		at("admin_application", "admin_application", list+"/agenda"),
		at("admin_application-file", "admin_application", list+"/paie"),
		at("admin_application_add-gateway", "admin_application_add", list+"?add=gateway"),
		at("admin_application_add-saml", "admin_application_add", list+"?add=saml"),
		{"admin_application_add-faults", "admin_application_add", func(w *window) seen {
			w.open(list + "?add=oidc")
			return w.press(`form[action="/admin/applications"] button[type=submit].button-primary`)
		}},
		at("admin_application_paste-oidc", "admin_application_paste", one("agenda", "paste")),
		at("admin_application_paste-cas", "admin_application_paste", one("ged", "paste")),
		at("admin_application_paste-saml", "admin_application_paste", one("sirh", "paste")),
		at("", "admin_application_edit", one("agenda", "edit")),
		{"admin_application_edit-conflict", "admin_application_edit", func(w *window) seen {
			w.open(one("agenda", "edit"))
			w.fill("name.en", "Town hall diary")
			w.run(`document.querySelector("input[name=version]").value = "0"`)
			return w.press(`form[action$="/edit"] button[type=submit].button-primary`)
		}},
		at("", "admin_application_secrets", one("agenda", "secrets")),
		at("admin_application_secrets-drop", "admin_application_secrets", one("agenda", "secrets")+"?drop=abababab"),
		at("", "admin_application_try", one("agenda", "try")),
		{"admin_application_try-refused", "admin_application_try", func(w *window) seen { return p.tries(w, one("finances", "try"), "A100001", "mobile") }},
		{"admin_application_try-open", "admin_application_try", func(w *window) seen { return p.tries(w, one("agenda", "try"), "A100001", "internal") }},
		at("", "admin_application_file", one("sirh", "file")),
		typed("admin_application_remove", "admin_application_remove", one("ged", "remove"), "id", "other"),
	})
}

// tries asks whether an application opens for an agent who showed a password.
func (p *partners) tries(w *window, address, number, channel string) seen {
	w.tb.Helper()
	w.open(address)
	w.fill("agent_number", number)
	w.run(`for (const b of document.querySelectorAll("input[name=proofs], input[name=channel]")) b.checked = ["password", ` + strconv.Quote(channel) + `].includes(b.value)`)
	return w.press(`form[action$="/try"] button[type=submit]`)
}

// run runs a line of script in the page.
func (w *window) run(script string) {
	w.tb.Helper()
	if _, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool]("{"+script+"}; true")); err != nil {
		w.tb.Fatal(err)
	}
}
