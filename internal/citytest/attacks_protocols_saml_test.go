package citytest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis"
)

// provider is a service provider of github.com/crewjam/saml, that signs what it
// asks.
type provider struct{ saml.ServiceProvider }

func newProvider(t *testing.T, name string) *provider {
	t.Helper()
	key, cert := rsaPair(t)
	at := func(path string) url.URL { return url.URL{Scheme: "https", Host: name + ".example", Path: path} }
	return &provider{saml.ServiceProvider{
		EntityID: "https://" + name + ".example/saml", Key: key, Certificate: cert, SignatureMethod: dsig.RSASHA256SignatureMethod,
		MetadataURL: at("/saml"), AcsURL: at("/acs"), SloURL: at("/slo"), AuthnNameIDFormat: saml.UnspecifiedNameIDFormat, LogoutBindings: []string{saml.HTTPPostBinding},
	}}
}

func rsaPair(t *testing.T) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// metadata is what it says of itself.
func (p *provider) metadata(t *testing.T) string {
	t.Helper()
	m, yes := p.Metadata(), true
	m.SPSSODescriptors[0].AuthnRequestsSigned = &yes
	b, err := xml.MarshalIndent(m, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// knows has it read what an entrance publishes.
func (p *provider) knows(v *Visitor, portal string) {
	v.tb.Helper()
	page := v.Get(portal + "/saml/metadata")
	p.IDPMetadata = new(saml.EntityDescriptor)
	if err := xml.Unmarshal([]byte(page.Body), p.IDPMetadata); err != nil {
		v.tb.Fatal(err)
	}
}

// request makes a signed request, for a form.
func (p *provider) request(e *enemy) *saml.AuthnRequest {
	e.t.Helper()
	q, err := p.MakeAuthenticationRequest(p.GetSSOBindingLocation(saml.HTTPPostBinding), saml.HTTPPostBinding, saml.HTTPPostBinding)
	if err != nil {
		e.t.Fatal(err)
	}
	return q
}

// asks is the address of a signed request.
func (p *provider) asks(e *enemy) string {
	e.t.Helper()
	address, _ := p.link(e)
	return address
}

func (p *provider) link(e *enemy) (address, id string) {
	e.t.Helper()
	q, err := p.MakeAuthenticationRequest(p.GetSSOBindingLocation(saml.HTTPRedirectBinding), saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		e.t.Fatal(err)
	}
	q.Signature = nil
	u, err := q.Redirect("", &p.ServiceProvider)
	if err != nil {
		e.t.Fatal(err)
	}
	return u.String(), q.ID
}

// signedIn takes a browser all the way, and gives what the provider is told.
func (p *provider) signedIn(e *enemy, v *Visitor) *saml.Assertion {
	e.t.Helper()
	address, id := p.link(e)
	page := v.Get(address)
	raw, err := base64.StdEncoding.DecodeString(fieldOf(page, "SAMLResponse"))
	if err != nil || len(raw) == 0 {
		e.t.Fatalf("no answer: %d %s %v\n%.500s", page.Status, page.Screen, page.Reasons, page.Text())
	}
	e.note("a response", base64.StdEncoding.EncodeToString(raw))
	a, err := p.ParseXMLResponse(raw, []string{id}, p.AcsURL)
	if err != nil {
		e.t.Fatalf("%v\n%s", err, raw)
	}
	return a
}

// leaves makes a signed request to sign out what an assertion named.
func (p *provider) leaves(e *enemy, name, session string) *etree.Element {
	e.t.Helper()
	q, err := p.MakeLogoutRequest(p.GetSLOBindingLocation(saml.HTTPPostBinding), name)
	if err == nil {
		q.SessionIndex, q.Signature = &saml.SessionIndex{Value: session}, nil
		err = p.SignLogoutRequest(q)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	return q.Element()
}

// wraps gives ways of signature wrapping (Somorovsky and others, "On Breaking
// SAML", 2012): each from a message that was really signed; the evil one says what
// bend makes of it.
func wraps(t *testing.T, signed *etree.Element, bend func(*etree.Element)) map[string]*etree.Element {
	t.Helper()
	bare := func() (*etree.Element, *etree.Element) {
		el := signed.Copy()
		s := el.FindElement("./Signature")
		if s == nil {
			t.Fatal("not signed")
		}
		el.RemoveChild(s)
		return el, s
	}
	all := map[string]*etree.Element{}
	for name, put := range map[string]func(evil, original, signature *etree.Element) *etree.Element{
		"bent, the signature as it was": func(e, _, s *etree.Element) *etree.Element { e.InsertChildAt(1, s); return e },
		"bent, without a signature":     func(e, _, _ *etree.Element) *etree.Element { return e },
		"XSW1, inside the signature":    func(e, o, s *etree.Element) *etree.Element { s.AddChild(o); e.InsertChildAt(1, s); return e },
		"XSW2, beside the signature":    func(e, o, s *etree.Element) *etree.Element { e.AddChild(o); e.AddChild(s); return e },
		"XSW3, whole inside":            func(e, _, _ *etree.Element) *etree.Element { e.AddChild(signed.Copy()); return e },
		"XSW4, the evil one inside":     func(e, _, _ *etree.Element) *etree.Element { o := signed.Copy(); o.AddChild(e); return o },
		"XSW5, the signature moved":     func(e, o, s *etree.Element) *etree.Element { e.InsertChildAt(1, s); e.AddChild(o); return e },
		"XSW7, in an extension": func(e, o, s *etree.Element) *etree.Element {
			o.InsertChildAt(1, s)
			e.CreateElement("samlp:Extensions").AddChild(o)
			return e
		},
		"XSW8, in an object": func(e, o, s *etree.Element) *etree.Element {
			e.InsertChildAt(1, s)
			s.CreateElement("ds:Object").AddChild(o)
			return e
		},
		"another ID": func(e, _, s *etree.Element) *etree.Element {
			e.CreateAttr("ID", "_evil000000000000000")
			e.InsertChildAt(1, s)
			return e
		},
		"a reference to everything": func(e, _, s *etree.Element) *etree.Element {
			e.InsertChildAt(1, s)
			s.FindElement(".//Reference").CreateAttr("URI", "")
			return e
		},
		"two signatures": func(e, _, s *etree.Element) *etree.Element {
			e.InsertChildAt(1, s.Copy())
			e.InsertChildAt(1, s)
			return e
		},
		"a MAC whose key is public": func(e, _, s *etree.Element) *etree.Element {
			e.InsertChildAt(1, s)
			s.FindElement(".//SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2000/09/xmldsig#hmac-sha1")
			return e
		},
		"a transform that drops the rest": func(e, _, s *etree.Element) *etree.Element {
			e.InsertChildAt(1, s)
			s.FindElement(".//Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
			return e
		},
	} {
		evil, _ := bare()
		bend(evil)
		original, signature := bare()
		all[name] = put(evil, original, signature)
	}
	key, cert := rsaPair(t)
	evil, _ := bare()
	bend(evil)
	s, err := dsig.NewSigningContext(key, [][]byte{cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	s.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if all["a key of their own"], err = s.SignEnveloped(evil); err != nil {
		t.Fatal(err)
	}
	return all
}

// texts writes messages; some are written otherwise than any library would.
func texts(t *testing.T, signed *etree.Element, bent map[string]*etree.Element, name string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for how, el := range bent {
		all[how] = documentOf(t, el)
	}
	plain := documentOf(t, signed)
	for how, head := range map[string]string{
		"an entity":     `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`,
		"another place": `<!DOCTYPE x SYSTEM "http://` + name + `/x.dtd">`,
		"laughs":        `<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>`,
		"a style sheet": `<?xml-stylesheet href="http://` + name + `/x.xsl"?>`,
		"two roots":     `<x/>`,
	} {
		all[how] = append([]byte(head), plain...)
	}
	return all
}

func documentOf(t *testing.T, el *etree.Element) []byte {
	t.Helper()
	d := etree.NewDocument()
	d.SetRoot(el.Copy())
	b, err := d.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Somebody has one message that a service provider really signed: to sign
// themselves in, or out. Around it, in it, beside it they put another:
//
//  1. requests to sign in that ask for another answer: refused, nobody is led
//     anywhere;
//  2. requests to sign Camille out: she stays in; hers alone signs her out, once.
func (e *enemy) wrapsSignatures() {
	portal := e.town.Portal(parvis.Internal)
	post := func(path string, message []byte) *Page {
		e.t.Helper()
		v := stay(e.town.Visitor(e.t)) // another site's form: no cookie comes with it
		defer v.HTTP.CloseIdleConnections()
		v.Header = http.Header{"Origin": {"https://gestion.example"}, "Sec-Fetch-Site": {"cross-site"}}
		return v.Post(portal+path, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(message)}, "RelayState": {"r"}})
	}
	refused := func(how string, p *Page) {
		e.t.Helper()
		if p.Status != http.StatusBadRequest || p.Screen != "federation_problem" || p.Header.Get("Location") != "" || strings.Contains(p.Body, "evil.example") {
			e.t.Errorf("%s: %d %s to %q", how, p.Status, p.Screen, p.Header.Get("Location"))
		}
	}
	victim := e.in("A100001")
	q := e.sp.request(e).Element()
	for how, text := range texts(e.t, q, wraps(e.t, q, func(el *etree.Element) {
		el.CreateAttr("AssertionConsumerServiceURL", "https://evil.example/acs")
		el.CreateAttr("ForceAuthn", "true")
	}), e.heard.Addr().String()) {
		refused("AuthnRequest, "+how, post("/saml/sso", text))
	}
	if p := post("/saml/sso", documentOf(e.t, q)); p.Status != http.StatusSeeOther {
		e.t.Errorf("the one that was signed: %d %s", p.Status, p.Screen)
	}
	his, hers := e.sp.signedIn(e, e.in("A100010")), e.sp.signedIn(e, victim)
	name, session := hers.Subject.NameID.Value, hers.AuthnStatements[0].SessionIndex
	own := e.sp.leaves(e, his.Subject.NameID.Value, his.AuthnStatements[0].SessionIndex)
	bent := texts(e.t, own, wraps(e.t, own, func(el *etree.Element) {
		el.FindElement("./NameID").SetText(name)
		el.FindElement("./SessionIndex").SetText(session)
	}), e.heard.Addr().String())
	maps.Copy(bent, map[string][]byte{"a comment in a name": bytes.Replace(documentOf(e.t, own), []byte("</saml:NameID>"), []byte("<!-- x --></saml:NameID>"), 1)})
	for how, text := range bent {
		p := post("/saml/slo", text)
		refused("LogoutRequest, "+how, p)
		if to := p.Header.Get("Location"); to != "" {
			victim.Get(portal + to)
		}
		if !e.still(victim) {
			e.t.Fatalf("LogoutRequest, %s: the victim is signed out", how)
		}
	}
	true1 := documentOf(e.t, e.sp.leaves(e, name, session))
	sealed := post("/saml/slo", true1).Header.Get("Location")
	if !strings.HasPrefix(sealed, "/saml/slo?request=") {
		e.t.Fatalf("hers: to %q", sealed)
	}
	victim.Get(portal + sealed)
	if e.still(victim) {
		e.t.Error("hers, and she is in still")
	}
	again := victim.Get(portal + sealed)
	refused("hers, once more", again)
	if n := e.heard.count(); n != 0 {
		e.t.Errorf("somebody connected %d times", n)
	}
}
