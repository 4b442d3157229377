package citytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis"
)

// fixed is held by whoever listens on the ports that the city's own clients
// name: 7998 and 7999.
var fixed sync.Mutex

// takeApps gives a running city applications as files, ID to text, as an
// operator does.
func takeApps(t *testing.T, town *Town, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for id, text := range files {
		if err := os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, status := Run(t, "app", "import", dir, "--data", town.Data)
	if status != 0 {
		t.Fatalf("parvis app import: status %d\n%s%s", status, out, errs)
	}
}

// appFile is an application file: what every one has, then the rest.
func appFile(id, more string) string {
	return fmt.Sprintf(`id: %[1]s
name: {fr: "Essai %[1]s", en: "Trial %[1]s"}
purpose: {fr: Essayer, en: Try}
group: {fr: Essais, en: Trials}
owner: {fr: la direction informatique, en: the IT department}
`, id) + more
}

// relying is an application of testdata/outside/client.mjs.
type relying struct {
	t    *testing.T
	base string
}

type relyingOptions struct {
	Issuer string `json:"issuer"`
	Client string `json:"client"`
	Secret string `json:"secret,omitempty"`
	Post   bool   `json:"post,omitempty"`  // the secret in the form
	Path   string `json:"path,omitempty"`  // of the redirect address, when it is not /cb
	Port   int    `json:"port,omitempty"`  // any when 0
	Tells  int    `json:"tells,omitempty"` // a second port, for the back channel
	FAPI   bool   `json:"fapi,omitempty"`  // private_key_jwt, PAR and DPoP

	Metadata map[string]string `json:"metadata,omitempty"` // what it knows of itself (RFC 7591 §2)
}

func startRelying(t *testing.T, o relyingOptions) *relying {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return &relying{t: t, base: startOutside(t, "client.mjs", string(b)).first}
}

// reply is what a path of it answered.
type reply struct {
	page *Page

	Claims  map[string]any `json:"claims"` // of the ID token, checked
	Access  string         `json:"access_token"`
	Refresh string         `json:"refresh_token"`
	ID      string         `json:"id_token"`
	Type    string         `json:"token_type"`
	Lasts   float64        `json:"lasts"`
	Scope   string         `json:"scope"`

	Error       string `json:"error"` // why not, in the words of the protocol
	Description string `json:"description"`
	Cause       string `json:"cause"`

	all map[string]any
}

// does asks for a path, alone: what the application does by itself.
func (r *relying) does(path string) reply {
	r.t.Helper()
	v := (&Town{tb: r.t}).Visitor(r.t)
	defer v.HTTP.CloseIdleConnections()
	return r.read(v.Get(r.base + path))
}

// read reads what the application shows at the end of a walk.
func (r *relying) read(p *Page) reply {
	r.t.Helper()
	if "http://"+p.URL.Host != r.base {
		r.t.Fatalf("not at the application but at %s: %d %s %v\n%.1500s", p.URL, p.Status, p.Screen, p.Reasons, p.Text())
	}
	a := reply{page: p}
	if err := json.Unmarshal([]byte(p.Body), &a); err != nil {
		r.t.Fatalf("%s: %v\n%s", p.URL, err, p.Body)
	}
	if err := json.Unmarshal([]byte(p.Body), &a.all); err != nil {
		r.t.Fatalf("%s: %v\n%s", p.URL, err, p.Body)
	}
	return a
}

// fine reads it, and ends the test when it is an error.
func (r *relying) fine(a reply) reply {
	r.t.Helper()
	if a.page.Status != http.StatusOK || a.Error != "" {
		r.t.Fatalf("%s: %d %s: %s (%s)", a.page.URL, a.page.Status, a.Error, a.Description, a.Cause)
	}
	return a
}

// fails reads it, and wants an error of the protocol.
func (r *relying) fails(a reply, code string) {
	r.t.Helper()
	if a.page.Status == http.StatusOK || a.Error != code {
		r.t.Errorf("%s: %d %q %q, not %s", a.page.URL.Path, a.page.Status, a.Error, a.Description, code)
	}
}

// told waits until the back channel said something, and gives all of it.
func (r *relying) told(n int) []map[string]any {
	r.t.Helper()
	var all []map[string]any
	for range 600 {
		r.page("/told", &all)
		if len(all) >= n {
			return all
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Fatalf("the application was told %v", all)
	return nil
}

func (r *relying) page(path string, v any) {
	r.t.Helper()
	b := (&Town{tb: r.t}).Visitor(r.t)
	defer b.HTTP.CloseIdleConnections()
	p := b.Get(r.base + path)
	if err := json.Unmarshal([]byte(p.Body), v); err != nil {
		r.t.Fatalf("%s: %v\n%s", path, err, p.Body)
	}
}

// TestOpenIDClient: npm openid-client signs an agent in with the city's own
// client, at each entrance: the ID token is checked by it, and so is UserInfo; it
// refreshes, asks about a token, takes it back, and signs out; what the back
// channel says is checked by npm jose.
func TestOpenIDClient(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	camille := town.Person("A100001")
	fixed.Lock()
	defer fixed.Unlock()
	for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile} {
		t.Run(string(ch), func(t *testing.T) {
			app := startRelying(t, relyingOptions{Issuer: town.Portal(ch), Client: "demo-confidential", Secret: "demo-secret", Port: 7999, Tells: 7998, Post: ch == parvis.Mobile})
			v := town.Visitor(t)
			at := app.fine(app.read(v.SignInAt(v.Get(app.base+"/login?acr_values=eidas1"), camille.Number, camille.Password)))
			app.checkTokens(town.Portal(ch), camille, at)

			user := app.fine(app.does("/userinfo")).all
			if user["sub"] != camille.Number || user["email"] != camille.Email || user["name"] != camille.Name || user["channel"] != string(ch) {
				t.Errorf("UserInfo: %v", user)
			}
			again := app.fine(app.does("/refresh"))
			if again.Refresh == at.Refresh || again.Refresh == "" || again.Access == at.Access || again.Claims["sub"] != camille.Number || again.Claims["sid"] != at.Claims["sid"] || again.Claims["auth_time"] != at.Claims["auth_time"] {
				t.Errorf("refreshed: %+v, before %v", again, at.Claims)
			}
			said := app.fine(app.does("/introspect")).all
			if said["active"] != true || said["sub"] != camille.Number || said["client_id"] != "demo-confidential" || said["iss"] != town.Portal(ch) {
				t.Errorf("introspection: %v", said)
			}
			app.signsOut(town, v, ch, camille, again)
			app.revokes(town, v, ch, camille)
		})
	}
}

// checkTokens looks at what openid-client has accepted.
func (r *relying) checkTokens(issuer string, who Person, a reply) {
	r.t.Helper()
	c := a.Claims
	for name, want := range map[string]any{"iss": issuer, "aud": "demo-confidential", "sub": who.Number, "acr": "eidas1"} {
		if c[name] != want {
			r.t.Errorf("the ID token says %s: %v, not %v", name, c[name], want)
		}
	}
	if age := time.Since(time.Unix(int64(c["auth_time"].(float64)), 0)); age < -5*time.Second || age > 5*time.Minute {
		r.t.Errorf("auth_time is %v ago", age)
	}
	if amr, _ := c["amr"].([]any); !slices.Equal(amr, []any{"pwd"}) {
		r.t.Errorf("amr is %v", c["amr"])
	}
	if c["sid"] == nil || a.Refresh == "" || !strings.EqualFold(a.Type, "bearer") || a.Lasts > 300 || a.Lasts < 200 {
		r.t.Errorf("the tokens: %+v", a)
	}
}

// signsOut by the application: at once, since it shows the token of this very
// session, and back to where it asked for, with its state.
func (r *relying) signsOut(town *Town, v *Visitor, ch parvis.Channel, who Person, a reply) {
	r.t.Helper()
	if out := r.fine(r.read(v.Get(r.base + "/logout"))).all; out["out"] != true || out["state"] != "see-you" {
		r.t.Errorf("after signing out: %v", out)
	}
	if p := v.Get(town.Portal(ch) + "/"); p.Screen == "home" {
		r.t.Error("the session is still there")
	}
	said := r.told(1)[0]
	if said["sid"] != a.Claims["sid"] || said["sub"] != who.Number || said["iss"] != town.Portal(ch) {
		r.t.Errorf("the back channel says %v, the ID token said %v", said, a.Claims)
	}
	r.fails(r.does("/refresh"), "invalid_grant")
	if answer := r.does("/userinfo"); answer.page.Status == http.StatusOK {
		r.t.Errorf("UserInfo after signing out: %v", answer.all)
	}
	if answer := r.fine(r.does("/introspect")).all; answer["active"] != false || len(answer) != 1 {
		r.t.Errorf("introspection after signing out: %v", answer)
	}
	// Signing out again, with nobody in: back at once.
	if out := r.fine(r.read(v.Get(r.base + "/logout"))).all; out["out"] != true {
		r.t.Errorf("signing out twice: %v", out)
	}
}

// revokes takes a grant back; then one is stolen and used twice; then the agent
// signs out at the portal.
func (r *relying) revokes(town *Town, v *Visitor, ch parvis.Channel, who Person) {
	r.t.Helper()
	r.fine(r.read(v.SignInAt(v.Get(r.base+"/login"), who.Number, who.Password)))
	r.fine(r.does("/revoke"))
	r.fails(r.does("/refresh"), "invalid_grant")
	if answer := r.fine(r.does("/introspect")).all; answer["active"] != false {
		r.t.Errorf("introspection after revocation: %v", answer)
	}
	// The session is still there: nothing is asked.
	first := r.fine(r.read(v.Get(r.base + "/login?prompt=none")))
	r.fine(r.does("/refresh"))
	// A refresh token that was used: whoever uses it again ends both.
	r.fails(r.does("/refresh?token="+url.QueryEscape(first.Refresh)), "invalid_grant")
	r.fails(r.does("/refresh"), "invalid_grant")

	before := len(r.told(1))
	last := r.fine(r.read(v.Get(r.base + "/login")))
	if p := v.Post(town.Portal(ch)+"/signout", url.Values{}); p.Screen != "signed_out" {
		r.t.Fatalf("signing out led to %s (%s)", p.Screen, p.URL)
	}
	said := r.told(before + 1)
	if got := said[len(said)-1]; got["sid"] != last.Claims["sid"] {
		r.t.Errorf("the back channel says %v, the ID token said %v", got, last.Claims)
	}
	r.fails(r.read(v.Get(r.base+"/login?prompt=none")), "login_required")
}

// TestOpenIDClientFAPI: an application that was imported as a file proves itself
// with its key, pushes its requests and binds its tokens to another key, all by
// npm openid-client (FAPI 2.0 security profile §5.3).
func TestOpenIDClientFAPI(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	camille := town.Person("A100001")
	app := startRelying(t, relyingOptions{Issuer: town.Portal(parvis.Mobile), Client: "coffre", FAPI: true})
	takeApps(t, town, map[string]string{"coffre": appFile("coffre", `channels: [internal, mobile]
attributes: [name, email]
oidc:
  redirects: ["`+app.base+`/cb"]
  logout_redirects: ["`+app.base+`/out"]
  auth: private_key_jwt
  jwks_uri: "`+app.base+`/jwks"
  back_channel_logout: "`+app.base+`/bcl"
  require_par: true
  require_dpop: true
  pairwise: true
`)})
	v := town.Visitor(t)
	var at reply
	for range 100 { // until the city knows of it
		p := v.Get(app.base + "/login")
		if strings.HasPrefix(p.Screen, "sign_in") {
			at = app.fine(app.read(v.SignInAt(p, camille.Number, camille.Password)))
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !strings.EqualFold(at.Type, "DPoP") || at.Claims["sub"] == camille.Number || at.Claims["sub"] == nil {
		t.Fatalf("signed in: %+v", at)
	}
	user := app.fine(app.does("/userinfo")).all
	if user["sub"] != at.Claims["sub"] || user["email"] != camille.Email {
		t.Errorf("UserInfo: %v", user)
	}
	if again := app.fine(app.does("/refresh")); again.Refresh == at.Refresh || again.Claims["sub"] != at.Claims["sub"] {
		t.Errorf("refreshed: %+v", again)
	}
	said := app.fine(app.does("/introspect")).all
	if cnf, _ := said["cnf"].(map[string]any); said["active"] != true || cnf["jkt"] == nil {
		t.Errorf("introspection: %v", said)
	}
	// Whoever has the token and not the key has nothing.
	req, err := http.NewRequest(http.MethodGet, town.Portal(parvis.Mobile)+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"Bearer", "DPoP"} {
		req.Header.Set("Authorization", scheme+" "+at.Access)
		res, err := Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("a %s token without its key: %s %v", scheme, res.Status, res.Header)
		}
	}
	// Whoever does not push is refused, at the application.
	q := url.Values{"client_id": {"coffre"}, "redirect_uri": {app.base + "/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}}
	if p := v.Get(town.Portal(parvis.Mobile) + "/authorize?" + q.Encode()); p.URL.Query().Get("error") != "invalid_request" || p.URL.Query().Get("iss") != town.Portal(parvis.Mobile) {
		t.Errorf("without PAR: %d at %s", p.Status, p.URL)
	}
	if out := app.fine(app.read(v.Get(app.base + "/logout"))).all; out["out"] != true {
		t.Errorf("signed out: %v", out)
	}
	if told := app.told(1)[0]; told["sub"] != at.Claims["sub"] {
		t.Errorf("the back channel says %v", told)
	}
	app.fails(app.does("/refresh"), "invalid_grant")
}

// TestOpenIDClientRS256: an application that cannot check ES256 and wants
// UserInfo signed; npm openid-client takes nothing else. Meanwhile its secret is
// replaced: both serve, then the new one alone.
func TestOpenIDClientRS256(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	camille := town.Person("A100001")
	const first = "first-secret-of-the-tests-of-43-signs-xxxxxx"
	start := func(secret string) *relying {
		return startRelying(t, relyingOptions{Issuer: town.Portal(parvis.Internal), Client: "ancien", Secret: secret, Metadata: map[string]string{
			"id_token_signed_response_alg": "RS256", "userinfo_signed_response_alg": "RS256",
		}})
	}
	old := start(first)
	takeApps(t, town, map[string]string{"ancien": appFile("ancien", `channels: [internal]
attributes: [email, given_name, family_name, siret, organizational_unit, belonging_population, groups]
oidc:
  redirects: ["http://127.0.0.1/cb"]
  rs256: true
  signed_userinfo: true
  secrets: [{sha256: "`+sha(first)+`"}]
`)})
	v := town.Visitor(t)
	scope := "/login?scope=" + url.QueryEscape("openid profile email siret organizational_unit belonging_population groups")
	at := old.fine(old.read(v.SignInAt(v.until("at the door", old.base+scope, atDoor), camille.Number, camille.Password)))
	if at.Claims["sub"] != camille.Number {
		t.Errorf("signed in: %+v", at.Claims)
	}
	user := old.fine(old.does("/userinfo")).all
	if user["email"] != camille.Email || user["family_name"] != "Morel" || user["aud"] != "ancien" || user["iss"] != town.Portal(parvis.Internal) {
		t.Errorf("UserInfo: %v", user)
	}
	if _, told := user["name"]; told {
		t.Errorf("it is told more than it may be: %v", user)
	}

	change := func(more ...string) string {
		t.Helper()
		var made struct{ Secret string }
		out, errs, status := Run(t, append([]string{"app", "secret", "ancien", "--json", "--data", town.Data}, more...)...)
		if err := json.Unmarshal([]byte(out), &made); err != nil || status != 0 || made.Secret == "" {
			t.Fatalf("parvis app secret: status %d, %v\n%s%s", status, err, out, errs)
		}
		return made.Secret
	}
	fresh := start(change())
	for range 100 { // until the city knows of it
		if a := fresh.read(v.Get(fresh.base + scope)); a.Error == "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	fresh.fine(fresh.does("/refresh"))
	old.fine(old.does("/refresh")) // the one of before serves on
	last := start(change("--overlap", "0s"))
	for range 100 {
		if a := last.read(v.Get(last.base + scope)); a.Error == "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	last.fine(last.does("/refresh"))
	old.fails(old.does("/refresh"), "invalid_client")
	fresh.fails(fresh.does("/refresh"), "invalid_client")
}
