package federation

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// The programs of others: Apache with mod_auth_mellon (SAML, by Lasso) and
// mod_auth_cas, as Debian packages them. A machine without them fails, unless
// PARVIS_TEST_APACHE says none: nothing is left out in silence.

const apacheConf = `
ServerRoot {{.Dir}}
ServerName sp.localhost
Listen 127.0.0.1:{{.Port}}
PidFile {{.Dir}}/pid
Mutex file:{{.Dir}}
ErrorLog {{.Dir}}/error.log
LogLevel warn auth_cas:info auth_mellon:info
User www-data
Group www-data
{{range .Modules}}LoadModule {{.}}_module /usr/lib/apache2/modules/mod_{{.}}.so
{{end}}
DocumentRoot {{.Dir}}/www
<Directory {{.Dir}}/www>
  Require all granted
</Directory>
CASCookiePath {{.Dir}}/cas/
CASLoginURL {{.Portal}}/cas/login
CASValidateURL {{.Portal}}/cas/p3/serviceValidate
CASVersion 2
CASSSOEnabled On
<Location /cas>
  AuthType CAS
  CASScope /
  CASAuthNHeader CAS-User
  Require cas-attribute email:zoe@example.org
  Header always set Seen "expr=%{REMOTE_USER}"
</Location>
<Location />
  MellonEndpointPath /mellon
  MellonSPentityId http://sp.localhost:{{.Port}}/mellon/metadata
  MellonSPMetadataFile {{.Dir}}/sp.xml
  MellonSPPrivateKeyFile {{.Dir}}/sp.key
  MellonSPCertFile {{.Dir}}/sp.cert
  MellonIdPMetadataFile {{.Dir}}/idp.xml
  MellonSecureCookie Off
  MellonCookieSameSite Lax
  MellonSetEnvNoPrefix MAIL urn:oid:0.9.2342.19200300.100.1.3
  MellonUser urn:oid:0.9.2342.19200300.100.1.1
</Location>
<Location /saml>
  AuthType Mellon
  MellonEnable auth
  Require valid-user
  Header always set Seen "expr=%{REMOTE_USER} %{reqenv:MAIL} %{reqenv:MELLON_acr}"
</Location>
`

// apacheSP is the metadata of the service provider that mod_auth_mellon is.
const apacheSP = `<EntityDescriptor entityID="http://sp.localhost:%[1]d/mellon/metadata" xmlns="urn:oasis:names:tc:SAML:2.0:metadata">
<SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<KeyDescriptor><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%[2]s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>
<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="http://sp.localhost:%[1]d/mellon/logout"/>
<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="http://sp.localhost:%[1]d/mellon/logout"/>
<AssertionConsumerService index="0" isDefault="true" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="http://sp.localhost:%[1]d/mellon/postResponse"/>
</SPSSODescriptor></EntityDescriptor>`

// apache is a town whose internal portal is served, and Apache beside it.
type apache struct {
	*town
	dir  string
	port int
	*http.Client
}

func openApache(t *testing.T, encrypt bool) *apache {
	t.Helper()
	if os.Getenv("PARVIS_TEST_APACHE") == "none" {
		t.Skip("PARVIS_TEST_APACHE is none")
	}
	for _, file := range []string{"/usr/sbin/apache2", "/usr/lib/apache2/modules/mod_auth_mellon.so", "/usr/lib/apache2/modules/mod_auth_cas.so"} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%v; PARVIS_TEST_APACHE=none leaves these tests out", err)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	must(t, free.Close())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	portal := fmt.Sprintf("http://agents.localhost:%d", l.Addr().(*net.TCPAddr).Port)
	key, cert := partyKey()
	app := parvis.App{
		ID: "apache", Attributes: []string{"uid", "email"},
		CAS:  &parvis.CASService{Services: []string{fmt.Sprintf("http://sp.localhost:%d/cas/", port)}, Logout: true},
		SAML: &parvis.SAMLService{Metadata: fmt.Sprintf(apacheSP, port, base64.StdEncoding.EncodeToString(cert.Raw)), Encrypt: encrypt},
	}
	clock := new(storetest.Clock)
	clock.Set(time.Now()) // Apache has the machine's
	a := &apache{town: openTown(t, clock, map[parvis.Channel]string{parvis.Internal: portal}, app), port: port, dir: t.TempDir()}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: a.site[parvis.Internal], ReadHeaderTimeout: time.Minute}}
	server.Start()
	t.Cleanup(server.Close)
	a.client(t)

	must(t, os.Chmod(filepath.Dir(a.dir), 0o755)) //nolint:gosec // Apache reads it under another name
	must(t, os.Chmod(a.dir, 0o777))               //nolint:gosec // and writes there
	for _, dir := range []string{"www", "www/saml", "www/cas"} {
		must(t, os.MkdirAll(filepath.Join(a.dir, dir), 0o755))                                          //nolint:gosec // as above
		must(t, os.WriteFile(filepath.Join(a.dir, dir, "page.txt"), []byte("the page of "+dir), 0o644)) //nolint:gosec // as above
	}
	must(t, os.Mkdir(filepath.Join(a.dir, "cas"), 0o777)) //nolint:gosec // as above
	must(t, os.Chmod(filepath.Join(a.dir, "cas"), 0o777)) //nolint:gosec // as above
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, body := range map[string][]byte{
		"sp.xml": []byte(app.SAML.Metadata), "idp.xml": []byte(a.browser(parvis.Internal).get(metaPath).body),
		"sp.key":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"sp.cert": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
	} {
		must(t, os.WriteFile(filepath.Join(a.dir, name), body, 0o644)) //nolint:gosec // keys of this test alone
	}
	a.start(t, portal)
	return a
}

// start runs Apache until the test ends.
func (a *apache) start(t *testing.T, portal string) {
	t.Helper()
	var conf strings.Builder
	must(t, template.Must(template.New("").Parse(apacheConf)).Execute(&conf, map[string]any{
		"Dir": a.dir, "Port": a.port, "Portal": portal,
		"Modules": []string{"mpm_event", "authn_core", "authz_core", "authz_user", "headers", "auth_cas", "auth_mellon"},
	}))
	file := filepath.Join(a.dir, "apache.conf")
	must(t, os.WriteFile(file, []byte(conf.String()), 0o644)) //nolint:gosec // nothing secret
	cmd := exec.Command("/usr/sbin/apache2", "-X", "-f", file)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(a.dir, "error.log"))
			t.Logf("%s", log)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.port))
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Apache ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("Apache does not answer")
		}
	}
}

// client makes a browser that keeps cookies and follows nothing; every name
// leads to this machine.
func (a *apache) client(t *testing.T) {
	jar, err := cookiejar.New(nil)
	must(t, err)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(address)
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	a.Client = &http.Client{
		Jar: jar, Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// signsIn begins a session in that browser.
func (a *apache) signsIn(t *testing.T) *browser {
	t.Helper()
	v := a.browser(parvis.Internal).signIn(parvis.Password)
	u, err := url.Parse(a.Addresses.Portal(parvis.Internal))
	must(t, err)
	for _, c := range v.cookies {
		a.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/"}})
	}
	return v
}

// walk goes where a page leads, through redirects and forms that post
// themselves, as a browser does.
func (a *apache) walk(t *testing.T, address string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	must(t, err)
	for range 12 {
		res := a.do(t, r)
		switch to := res.location(); {
		case to != "":
			u, err := r.URL.Parse(to)
			must(t, err)
			if r, err = http.NewRequest(http.MethodGet, u.String(), nil); err != nil {
				t.Fatal(err)
			}
			if u.Path == "/signin" || u.Path == "/signout" || u.Path == "/prove" {
				res.Request = r
				return res
			}
		case res.StatusCode == http.StatusOK && strings.Contains(res.body, `name="SAMLResponse"`):
			action, fields := res.form(t)
			r, err = http.NewRequest(http.MethodPost, action, strings.NewReader(fields.Encode()))
			must(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		default:
			return res
		}
	}
	t.Fatalf("in circles, from %s", address)
	return answer{}
}

func (a *apache) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	res, err := a.Do(r)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return answer{res, string(body)}
}

// tell delivers the notices that are due, as they would be.
func (a *apache) tell(t *testing.T) int {
	t.Helper()
	due, err := a.Store.DueNotices(t.Context(), a.clock.Now(), 10)
	must(t, err)
	for _, n := range due {
		r, err := a.Notice(t.Context(), n)
		must(t, err)
		if res := a.do(t, r); res.StatusCode != http.StatusOK {
			t.Errorf("told by %s: %d %s", n.Protocol, res.StatusCode, res.body)
		}
		a.write(func(tx *store.Tx) error {
			n.State, n.Answer = "delivered", "200"
			tx.Record(parvis.Event{Kind: "notice.delivered", Actor: "system", App: n.App})
			_, err := tx.PutNotice(t.Context(), n)
			return err
		})
	}
	return len(due)
}

// TestApacheMellon: SAML with mod_auth_mellon, both ways out.
func TestApacheMellon(t *testing.T) {
	for _, encrypt := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted %v", encrypt), func(t *testing.T) {
			a := openApache(t, encrypt)
			page, out := fmt.Sprintf("http://sp.localhost:%d/saml/page.txt", a.port), fmt.Sprintf("http://sp.localhost:%d/mellon/logout?ReturnTo=", a.port)
			if res := a.walk(t, page); res.Request.URL.Path != "/signin" {
				t.Fatalf("nobody in: %s %d %s", res.Request.URL, res.StatusCode, res.body)
			}
			v := a.signsIn(t)
			enter := func() {
				t.Helper()
				res := a.walk(t, page)
				if res.body != "the page of www/saml" || res.Header.Get("Seen") != "A100001 zoe@example.org eidas1" {
					t.Fatalf("%s: %d %q %s", res.Request.URL, res.StatusCode, res.Header.Get("Seen"), res.body)
				}
			}
			enter()

			// Out from the application: everywhere.
			if res := a.walk(t, out+url.QueryEscape(page)); res.Request.URL.Path != "/signin" || a.alive(v) {
				t.Errorf("signed out: %s %d, alive %v", res.Request.URL, res.StatusCode, a.alive(v))
			}
			if n := a.tell(t); n != 0 {
				t.Errorf("the application that asked is told %d times", n)
			}

			// Out from here: the application is told.
			v = a.signsIn(t)
			enter()
			a.write(func(tx *store.Tx) error { return a.Sessions.End(tx, v.session.ID, "signed_out") })
			if n := a.tell(t); n != 1 {
				t.Errorf("%d told", n)
			}
			if res := a.walk(t, page); res.Request.URL.Path != "/signin" {
				t.Errorf("the application goes on: %s %d", res.Request.URL, res.StatusCode)
			}
		})
	}
}

// TestApacheCAS: CAS with mod_auth_cas, with single logout.
func TestApacheCAS(t *testing.T) {
	a := openApache(t, false)
	page := fmt.Sprintf("http://sp.localhost:%d/cas/page.txt", a.port)
	if res := a.walk(t, page); res.Request.URL.Path != "/signin" {
		t.Fatalf("nobody in: %s %d %s", res.Request.URL, res.StatusCode, res.body)
	}
	v := a.signsIn(t)
	res := a.walk(t, page)
	if res.body != "the page of www/cas" || res.Header.Get("Seen") != "A100001" {
		t.Fatalf("%s: %d %q %s", res.Request.URL, res.StatusCode, res.Header.Get("Seen"), res.body)
	}
	a.write(func(tx *store.Tx) error { return a.Sessions.End(tx, v.session.ID, "signed_out") })
	if n := a.tell(t); n != 1 {
		t.Errorf("%d told", n)
	}
	if res := a.walk(t, page); res.Request.URL.Path != "/signin" {
		t.Errorf("the application goes on: %s %d", res.Request.URL, res.StatusCode)
	}
}
