package citytest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis"
)

// samlKey is a key of a service provider, and its certificate.
func samlKey(t *testing.T) (key, cert string, raw []byte) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	if raw, err = x509.CreateCertificate(rand.Reader, about, about, &k.PublicKey, k); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})), raw
}

// block indents a text to stand as a block in a file.
func block(text string) string {
	return "|\n    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
}

// TestApacheMellon: mod_auth_mellon signs an agent in by SAML, in the open and
// encrypted; REMOTE_USER and what it is told are theirs; single logout from both
// sides.
func TestApacheMellon(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	for _, encrypt := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted %t", encrypt), func(t *testing.T) {
			id, ch := "registre", parvis.Mobile
			if encrypt {
				id, ch = "registre-chiffre", parvis.Internal
			}
			mellon(t, town, ch, id, encrypt)
		})
	}
}

func mellon(t *testing.T, town *Town, ch parvis.Channel, id string, encrypt bool) {
	t.Helper()
	camille := town.Person("A100001")
	port := apachePort(t)
	key, cert, raw := samlKey(t)
	b, err := os.ReadFile(filepath.Join("testdata", "apache", "sp.xml"))
	if err != nil {
		t.Fatal(err)
	}
	metadata := strings.NewReplacer("@PORT@", port, "@CERT@", base64.StdEncoding.EncodeToString(raw)).Replace(string(b))
	takeApps(t, town, map[string]string{id: appFile(id, fmt.Sprintf(`channels: [internal, mobile]
attributes: [uid, email]
saml:
  encrypt: %t
  metadata: %s`, encrypt, block(metadata)))})
	v := town.Visitor(t)
	idp := v.Get(town.Portal(ch) + "/saml/metadata")
	if idp.Status != http.StatusOK {
		t.Fatalf("metadata: %d %s", idp.Status, idp.Body)
	}
	a := startApache(t, "mellon", port, map[string]string{"sp.xml": metadata, "sp.key": key, "sp.cert": cert, "idp.xml": idp.Body}, nil)
	page := a.base + "/app/page?x=1"
	in := func(door *Page) {
		t.Helper()
		h := a.seen(onward(v, v.SignInAt(door, camille.Number, camille.Password)))
		if h.Get("Seen-User") != camille.Number || h.Get("Seen-Email") != camille.Email {
			t.Errorf("the application is told %v", h)
		}
	}
	v.Header.Set("Seen-User", "A100003")
	in(v.until("at the door", page, atDoor))
	if p := v.Get(a.base + "/app/never"); p.Status != http.StatusForbidden || len(a.app.take()) > 0 {
		t.Errorf("an attribute that is not theirs: %d at %s", p.Status, p.URL)
	}

	// Out from the application: everywhere, and back to where it asked for.
	p := v.Get(a.base + "/mellon/logout?ReturnTo=" + url.QueryEscape(a.base+"/open"))
	if p.URL.String() != a.base+"/open" {
		t.Errorf("signed out at the application: at %s (%d, %s %v)\n%.800s", p.URL, p.Status, p.Screen, p.Reasons, p.Text())
	}
	if v.Get(town.Portal(ch)+"/").Screen == "home" {
		t.Error("signed out at the application, and the session is still there")
	}

	// Out from the portal: the application is told, by SOAP.
	in(v.until("at the door", page, atDoor))
	a.seen(v.Get(page))
	v.Post(town.Portal(ch)+"/signout", url.Values{}).at(t, "signed_out")
	v.until("at the door", page, atDoor)

	// Somebody whom the rules do not let in reads why, and mellon hears nothing.
	a.app.take()
	ines := town.Person("A100004")
	other := town.Visitor(t)
	refused := other.SignInAt(other.Get(page), ines.Number, ines.Password)
	if without := refused.Link("unmet=1"); without != "" { // at the office, a proof could be added
		refused = other.Get(without)
	}
	if refused.Screen != "why_not" || !refused.Has("factor_required") || len(a.app.take()) > 0 {
		t.Errorf("who lacks a proof: %d at %s (%s %v)", refused.Status, refused.URL, refused.Screen, refused.Reasons)
	}
}

// TestApacheCAS: mod_auth_cas signs an agent in; it asks whether the ticket is
// good, is told the name and the attributes, and hears when the session ends.
func TestApacheCAS(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	camille := town.Person("A100001")
	port := apachePort(t)
	takeApps(t, town, map[string]string{"intranet": appFile("intranet", `channels: [internal, mobile]
attributes: [email, name]
cas:
  services: ["http://127.0.0.1:`+port+`/app/"]
  logout: true
`)})
	for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile} {
		t.Run(string(ch), func(t *testing.T) {
			if ch == parvis.Mobile {
				port = apachePort(t)
				takeApps(t, town, map[string]string{"intranet-mobile": appFile("intranet-mobile", `channels: [mobile]
attributes: [email]
cas:
  services: ["http://127.0.0.1:`+port+`/app/"]
  logout: true
`)})
			}
			a := startApache(t, "cas", port, nil, map[string]string{"ISSUER": town.Portal(ch)})
			v := town.Visitor(t)
			page := a.base + "/app/page?x=1"
			v.Header.Set("Seen-User", "A100003")
			p := v.SignInAt(v.until("at the door", page, atDoor), camille.Number, camille.Password)
			h := a.seen(p)
			if got := h.Values("Seen-User"); len(got) != 1 || got[0] != camille.Number || h.Get("CAS-Email") != camille.Email && h.Get("CAS-email") != camille.Email {
				t.Errorf("the application is told %v", h)
			}
			if strings.Contains(p.URL.RawQuery, "ticket") {
				t.Errorf("the ticket stays in the address: %s", p.URL)
			}
			if p := v.Get(a.base + "/app/never"); p.Status != http.StatusForbidden && p.Status != http.StatusUnauthorized || len(a.app.take()) > 0 {
				t.Errorf("an attribute that is not theirs: %d at %s", p.Status, p.URL)
			}
			// A ticket of one's own making.
			other := town.Visitor(t)
			if p := other.Get(page + "&ticket=ST-1-made-up"); p.Status == http.StatusOK && !atDoor(p) || len(a.app.take()) > 0 {
				t.Errorf("a ticket that was made up: %d at %s", p.Status, p.URL)
			}
			// Out from the portal.
			v.Post(town.Portal(ch)+"/signout", url.Values{}).at(t, "signed_out")
			v.until("at the door", page, atDoor)
			a.app.take()
			// Out from the application's own link: asked first, then back.
			a.seen(v.SignInAt(v.Get(page), camille.Number, camille.Password))
			ask := v.Get(town.Portal(ch) + "/cas/logout?service=" + url.QueryEscape(a.base+"/app/page"))
			if ask.Screen == "home" || atDoor(ask) || v.Get(town.Portal(ch)+"/").Screen != "home" {
				t.Fatalf("a link alone signs out: at %s (%s)", ask.URL, ask.Screen)
			}
			v.press(ask, "/cas/logout", nil)
			if v.Get(town.Portal(ch)+"/").Screen == "home" {
				t.Error("signed out, and the session is still there")
			}
			v.until("at the door", page, atDoor)
		})
	}
}
