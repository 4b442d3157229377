package citytest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"parvis"
)

// apache is Debian's Apache with one of its modules, before an application of
// the test, which sees what the module makes of an agent.
type apache struct {
	t    *testing.T
	base string
	app  *received
}

// apachePort is one for a server that is not there yet.
func apachePort(t *testing.T) string { return strconv.Itoa(freePorts(t, 1)) }

// startApache runs it in the foreground until the test ends, from the files of
// testdata/apache, in a folder of its own. A machine without Apache fails, unless
// PARVIS_TEST_APACHE says none: nothing is left out in silence.
func startApache(t *testing.T, module, port string, files, words map[string]string) *apache {
	t.Helper()
	if os.Getenv("PARVIS_TEST_APACHE") == "none" {
		t.Skip("PARVIS_TEST_APACHE is none")
	}
	if _, err := os.Stat("/usr/lib/apache2/modules/mod_auth_" + module + ".so"); err != nil {
		t.Fatalf("%v; scripts/test installs it, PARVIS_TEST_APACHE=none leaves these tests out", err)
	}
	a := &apache{t: t, base: "http://127.0.0.1:" + port, app: new(received)}
	behind := httptest.NewServer(a.app)
	t.Cleanup(behind.Close)
	dir := t.TempDir()
	fill := []string{"@DIR@", dir, "@PORT@", port, "@APP@", strings.TrimPrefix(behind.URL, "http://")}
	for word, value := range words {
		fill = append(fill, "@"+word+"@", value)
	}
	all := map[string]string{}
	for name, text := range files {
		all[name] = text
	}
	for _, name := range []string{"main.conf", module + ".conf"} {
		b, err := os.ReadFile(filepath.Join("testdata", "apache", name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = strings.NewReplacer(fill...).Replace(string(b))
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // keys of this test alone
			t.Fatal(err)
		}
	}
	// It reads them, and writes its mutexes and tickets, under another name than root.
	for name, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o777, filepath.Join(dir, "cookies"): 0o777} {
		if err := os.MkdirAll(name, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil { //nolint:gosec // as said above
			t.Fatal(err)
		}
	}
	a.run(dir, module+".conf", strings.TrimPrefix(a.base, "http://"))
	return a
}

func (a *apache) run(dir, file, address string) {
	a.t.Helper()
	cmd := exec.Command("/usr/sbin/apache2", "-X", "-d", dir, "-f", filepath.Join(dir, file))
	cmd.Dir = dir
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { defer close(gone); _ = cmd.Wait() }() // how it ends is of no interest
	a.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-gone
		}
		if a.t.Failed() {
			a.t.Logf("Apache says:\n%s", out.String()[max(0, out.Len()-4000):])
		}
	})
	for range 300 {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-gone:
			a.t.Fatalf("Apache did not start:\n%s", out.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	a.t.Fatal("Apache does not listen")
}

// seen wants a page of the application, and gives the headers that it got.
func (a *apache) seen(p *Page) http.Header {
	a.t.Helper()
	got := a.app.take()
	if p.Status != http.StatusOK || "http://"+p.URL.Host != a.base || len(got) == 0 {
		a.t.Fatalf("not at the application but at %s: %d %s %v, %d requests\n%.1500s", p.URL, p.Status, p.Screen, p.Reasons, len(got), p.Text())
	}
	return got[len(got)-1].Header
}

// onward presses the buttons that a browser with scripts presses by itself.
func onward(v *Visitor, p *Page) *Page {
	v.tb.Helper()
	for range 3 {
		if fieldOf(p, "SAMLResponse") == "" {
			return p
		}
		p = v.Submit(p, map[string]string{"SAMLResponse": fieldOf(p, "SAMLResponse")})
	}
	return p
}

// until asks for a page again until it is what is wanted, while somebody is told
// in the background.
func (v *Visitor) until(what, address string, wanted func(*Page) bool) *Page {
	v.tb.Helper()
	var p *Page
	for range 300 {
		if p = v.Get(address); wanted(p) {
			return p
		}
		time.Sleep(100 * time.Millisecond)
	}
	v.tb.Fatalf("never %s: %d at %s (%s %v)\n%.1000s", what, p.Status, p.URL, p.Screen, p.Reasons, p.Text())
	return nil
}

// sha is a secret as it stands in an application file.
func sha(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func atDoor(p *Page) bool { return strings.HasPrefix(p.Screen, "sign_in") }

// TestApacheOpenID: mod_auth_openidc signs an agent in; REMOTE_USER and the
// headers are theirs; it refreshes, and signs out from both sides.
func TestApacheOpenID(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	camille := town.Person("A100001")
	const secret = "secret-of-apache-in-the-tests-of-43-signs-xx"
	port := apachePort(t)
	takeApps(t, town, map[string]string{"agenda": appFile("agenda", `channels: [internal, mobile]
attributes: [name, email]
oidc:
  redirects: ["http://127.0.0.1:`+port+`/app/oidc"]
  logout_redirects: ["http://127.0.0.1:`+port+`/open"]
  back_channel_logout: "http://127.0.0.1:`+port+`/app/oidc?logout=backchannel"
  secrets: [{sha256: "`+sha(secret)+`"}]
`)})
	a := startApache(t, "openidc", port, nil, map[string]string{"ISSUER": town.Portal(parvis.Mobile), "CLIENT": "agenda", "SECRET": secret})
	v := town.Visitor(t)
	v.Header.Set("Seen-User", "A100003") // a client that says who it is
	v.Header.Set("OIDC_CLAIM_sub", "A100003")
	door := v.until("at the door", a.base+"/app/page?x=1&y=%2F", atDoor)
	p := v.SignInAt(door, camille.Number, camille.Password)
	if p.URL.String() != a.base+"/app/page?x=1&y=%2F" {
		t.Errorf("back at %s", p.URL)
	}
	h := a.seen(p)
	for name, want := range map[string]string{
		"Seen-User": camille.Number, "OIDC_CLAIM_sub": camille.Number, "OIDC_CLAIM_email": camille.Email, "OIDC_CLAIM_name": camille.Name,
		"OIDC_CLAIM_acr": "eidas1", "OIDC_CLAIM_iss": town.Portal(parvis.Mobile),
	} {
		if got := strings.Join(h[http.CanonicalHeaderKey(name)], ","); got != want {
			t.Errorf("the application is told %s: %q, not %q", name, got, want)
		}
	}
	a.seen(v.Get(a.base + "/app/level"))
	if p := v.Get(a.base + "/app/never"); p.Status != http.StatusUnauthorized && p.Status != http.StatusForbidden || len(a.app.take()) > 0 {
		t.Errorf("a claim that is not theirs: %d at %s", p.Status, p.URL)
	}

	first := a.info(v)
	q := url.Values{"refresh": {a.base + "/app/page"}, "access_token": {first.Access}}
	a.seen(v.Get(a.base + "/app/oidc?" + q.Encode()))
	second := a.info(v)
	if second.Access == first.Access || second.Refresh == first.Refresh || second.Refresh == "" {
		t.Errorf("refreshed, and nothing is new: %+v", second)
	}

	// Out from the application, and back to where it asked for.
	p = v.Get(a.base + "/app/oidc?" + url.Values{"logout": {a.base + "/open"}}.Encode())
	if p.URL.String() != a.base+"/open" && !strings.HasPrefix(p.URL.String(), a.base+"/open?") {
		t.Errorf("signed out at the application: at %s (%d, %s)", p.URL, p.Status, p.Screen)
	}
	if v.Get(town.Portal(parvis.Mobile)+"/").Screen == "home" {
		t.Error("signed out at the application, and the session is still there")
	}

	// Out from the portal: the application is told by the back channel.
	a.seen(v.SignInAt(v.until("at the door", a.base+"/app/page", atDoor), camille.Number, camille.Password))
	a.seen(v.Get(a.base + "/app/page"))
	v.Post(town.Portal(parvis.Mobile)+"/signout", url.Values{}).at(t, "signed_out")
	v.until("at the door", a.base+"/app/page", atDoor)
}

// info is what mod_auth_openidc keeps of an agent.
func (a *apache) info(v *Visitor) (all struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
},
) {
	a.t.Helper()
	p := v.Get(a.base + "/app/oidc?info=json")
	if err := json.Unmarshal([]byte(p.Body), &all); err != nil || all.Access == "" {
		a.t.Fatalf("%v: %d at %s\n%s", err, p.Status, p.URL, p.Body)
	}
	a.app.take()
	return all
}
