package federation

import (
	"bytes"
	"compress/flate"
	"crypto/x509"
	"encoding/base64"
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

// wrap gives the ways of signature wrapping (Somorovsky and others, "On Breaking
// SAML", 2012, XSW 1 to 8, for a message), each from a message that was really
// signed: the evil one says what evil makes of it.
func wrap(signed *etree.Element, evil func(*etree.Element)) map[string]*etree.Element {
	w := wrapping{signed: signed, evil: evil, all: map[string]*etree.Element{}}
	w.moved()
	w.claimed()
	return w.all
}

type wrapping struct {
	signed *etree.Element
	evil   func(*etree.Element)
	all    map[string]*etree.Element
}

// add makes one, of the evil message, the signed one without its signature, and
// that signature.
func (w *wrapping) add(name string, f func(evil, original, signature *etree.Element) *etree.Element) {
	bare := func() (*etree.Element, *etree.Element) {
		el := w.signed.Copy()
		sig, _ := only(el, nsSignature, dsig.SignatureTag)
		el.RemoveChild(sig)
		return el, sig
	}
	evil, _ := bare()
	w.evil(evil)
	original, signature := bare()
	w.all[name] = f(evil, original, signature)
}

// moved puts the signed message where who checks looks, and who reads does not.
func (w *wrapping) moved() {
	add, signed := w.add, w.signed
	add("XSW1: the signed one inside the signature of the evil one", func(e, o, s *etree.Element) *etree.Element {
		s.AddChild(o)
		e.AddChild(s)
		return e
	})
	add("XSW2: the signed one beside a detached signature", func(e, o, s *etree.Element) *etree.Element {
		e.AddChild(o)
		e.AddChild(s)
		return e
	})
	add("XSW3: the signed one, whole, inside the evil one", func(e, _, _ *etree.Element) *etree.Element {
		e.AddChild(signed.Copy())
		return e
	})
	add("XSW4: the evil one inside the signed one", func(e, _, _ *etree.Element) *etree.Element {
		o := signed.Copy()
		o.AddChild(e)
		return o
	})
	add("XSW5: the evil one keeps the signature, the signed one follows", func(e, o, s *etree.Element) *etree.Element {
		e.InsertChildAt(1, s)
		e.AddChild(o)
		return e
	})
	add("XSW6: in the signature of the evil one", func(e, o, s *etree.Element) *etree.Element {
		e.InsertChildAt(1, s)
		s.AddChild(o)
		return e
	})
	add("XSW7: in an extension", func(e, o, s *etree.Element) *etree.Element {
		x := e.CreateElement("samlp:Extensions")
		o.InsertChildAt(1, s)
		x.AddChild(o)
		return e
	})
	add("XSW8: in an Object of the signature", func(e, o, s *etree.Element) *etree.Element {
		e.InsertChildAt(1, s)
		s.CreateElement("ds:Object").AddChild(o)
		return e
	})
}

// claimed has the signature claim something else.
func (w *wrapping) claimed() {
	add := w.add
	add("another ID, the reference as it was", func(e, _, s *etree.Element) *etree.Element {
		e.CreateAttr("ID", "_evil000000000000000")
		e.InsertChildAt(1, s)
		return e
	})
	add("a reference to the whole document", func(e, _, s *etree.Element) *etree.Element {
		e.InsertChildAt(1, s)
		s.FindElement(".//Reference").CreateAttr("URI", "")
		return e
	})
	add("two references, the other one holds", func(e, o, s *etree.Element) *etree.Element {
		e.CreateAttr("ID", "_evil000000000000000")
		ref := s.FindElement(".//Reference")
		second := ref.Copy()
		second.CreateAttr("URI", "#_evil000000000000000")
		ref.Parent().InsertChildAt(ref.Index(), second)
		e.InsertChildAt(1, s)
		e.CreateElement("samlp:Extensions").AddChild(o)
		return e
	})
	add("two signatures", func(e, _, s *etree.Element) *etree.Element {
		e.InsertChildAt(1, s.Copy())
		e.InsertChildAt(1, s)
		return e
	})
	add("two SignedInfo", func(e, _, s *etree.Element) *etree.Element {
		info := s.FindElement("./SignedInfo")
		s.InsertChildAt(0, info.Copy())
		e.InsertChildAt(1, s)
		return e
	})
	add("a key of its own", func(e, _, _ *etree.Element) *etree.Element {
		key, cert := otherKey()
		s, err := dsig.NewSigningContext(key, [][]byte{cert.Raw})
		if err != nil {
			panic(err)
		}
		s.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
		out, err := s.SignEnveloped(e)
		if err != nil {
			panic(err)
		}
		return out
	})
	add("the digest of the evil one, the signature of the other", func(e, _, s *etree.Element) *etree.Element {
		e.InsertChildAt(1, s)
		s.FindElement(".//DigestValue").SetText(base64.StdEncoding.EncodeToString(make([]byte, 32)))
		return e
	})
	add("a MAC whose key is the certificate", func(e, _, s *etree.Element) *etree.Element {
		e.InsertChildAt(1, s)
		s.FindElement(".//SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2000/09/xmldsig#hmac-sha1")
		return e
	})
	add("a transform that drops everything", func(e, _, s *etree.Element) *etree.Element {
		e.InsertChildAt(1, s)
		s.FindElement(".//Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
		return e
	})
}

// TestWrapping is an attack:
//
//  1. Somebody has one message that a service provider really signed.
//  2. They put another one around it, in it or beside it, so that who checks the
//     signature and who reads the message look at different parts.
func TestWrapping(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", func(m *saml.EntityDescriptor) {
		yes := true
		m.SPSSODescriptors[0].AuthnRequestsSigned = &yes
	}), declared(provider("courrier"), "courrier", nil))
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	q, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(saml.HTTPPostBinding), saml.HTTPPostBinding, saml.HTTPPostBinding)
	must(t, err)
	if res := v.cross(ssoPath, posted(t, q.Element(), "")); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("the good one: %d %s", res.StatusCode, res.body)
	}
	for name, el := range wrap(q.Element(), func(e *etree.Element) { e.CreateAttr("ForceAuthn", "false"); e.CreateAttr("IsPassive", "true") }) {
		if res := v.cross(ssoPath, posted(t, el, "")); res.StatusCode != http.StatusBadRequest {
			t.Errorf("AuthnRequest, %s: %d to %q", name, res.StatusCode, res.location())
		}
	}

	address, id := ask(t, sp, "", nil)
	a := read(t, sp, v.get(address), id)
	victim := tn.browser(parvis.Internal).signIn(parvis.Password)
	address, id = ask(t, sp, "", nil)
	his := read(t, sp, victim.get(address), id)
	for name, el := range wrap(leave(t, sp, a, nil).Element(), func(e *etree.Element) {
		e.FindElement("./SessionIndex").SetText(his.AuthnStatements[0].SessionIndex)
		e.FindElement("./NameID").SetText(his.Subject.NameID.Value)
	}) {
		res := v.cross(sloPath, posted(t, el, ""))
		if res.StatusCode == http.StatusSeeOther {
			v.get(res.location())
		}
		if res.StatusCode != http.StatusBadRequest || !tn.alive(victim) {
			t.Fatalf("LogoutRequest, %s: %d; the victim's session lives: %v", name, res.StatusCode, tn.alive(victim))
		}
	}
}

// TestSignatureProfile: a signature by the right key that SAML Core §5.4 does not
// allow covers who knows what.
func TestSignatureProfile(t *testing.T) {
	key, cert := partyKey()
	message := func() *etree.Element {
		return (&saml.LogoutRequest{ID: newID(), Version: "2.0", Issuer: &saml.Issuer{Value: "x"}, NameID: &saml.NameID{Value: "y"}}).Element()
	}
	made := func(change func(*dsig.SigningContext), after func(el, signature *etree.Element)) *etree.Element {
		s, err := dsig.NewSigningContext(key, [][]byte{cert.Raw})
		must(t, err)
		s.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
		must(t, s.SetSignatureMethod(dsig.RSASHA256SignatureMethod))
		if change != nil {
			change(s)
		}
		el, err := s.SignEnveloped(message())
		must(t, err)
		signature, err := only(el, nsSignature, dsig.SignatureTag)
		must(t, err)
		if after != nil {
			after(el, signature)
		}
		return el
	}
	for name, c := range map[string]struct {
		el *etree.Element
		ok bool
	}{
		"as it should be": {made(nil, nil), true},
		"without a key":   {made(nil, func(_, s *etree.Element) { s.RemoveChild(s.FindElement("./KeyInfo")) }), true},
		"with another's key beside it": {made(nil, func(_, s *etree.Element) {
			_, other := otherKey()
			s.FindElement(".//X509Certificate").SetText(base64.StdEncoding.EncodeToString(other.Raw))
		}), true},
		"SHA-512":   {made(func(s *dsig.SigningContext) { must(t, s.SetSignatureMethod(dsig.RSASHA512SignatureMethod)) }, nil), true},
		"SHA-1":     {made(func(s *dsig.SigningContext) { must(t, s.SetSignatureMethod(dsig.RSASHA1SignatureMethod)) }, nil), false},
		"inclusive": {made(func(s *dsig.SigningContext) { s.Canonicalizer = dsig.MakeC14N11Canonicalizer() }, nil), false},
		"with comments": {made(func(s *dsig.SigningContext) {
			s.Canonicalizer = dsig.MakeC14N10ExclusiveWithCommentsCanonicalizerWithPrefixList("")
		}, nil), false},
		"the whole document": {made(func(s *dsig.SigningContext) { s.IdAttribute = "None" }, nil), false},
		"an Object":          {made(nil, func(_, s *etree.Element) { s.CreateElement("ds:Object") }), false},
		"no identifier":      {made(nil, func(el, _ *etree.Element) { el.RemoveAttr("ID") }), false},
		"changed":            {made(nil, func(el, _ *etree.Element) { el.FindElement("./NameID").SetText("z") }), false},
	} {
		document, err := written(c.el)
		must(t, err)
		root, err := readXML(document)
		must(t, err)
		if _, err := verified(root, []*x509.Certificate{cert}); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSAMLRequestForged is an attack: what an AuthnRequest may not be.
func TestSAMLRequestForged(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", func(m *saml.EntityDescriptor) {
		yes := true
		m.SPSSODescriptors[0].AuthnRequestsSigned = &yes
	}))
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	signed := func(change func(*saml.AuthnRequest)) string { address, _ := ask(t, sp, "", change); return address }
	unsigned := provider("gestion")
	unsigned.IDPMetadata, unsigned.SignatureMethod = sp.IDPMetadata, ""
	plain, _ := ask(t, unsigned, "", nil)
	for name, c := range map[string]struct {
		address string
		status  int
	}{
		"unsigned when signing is declared": {plain, 400},
		"for the other entrance":            {strings.Replace(signed(func(q *saml.AuthnRequest) { q.Destination = nomade + ssoPath }), nomade, agents, 1), 400},
		"for no place, though signed":       {agents + ssoPath + signed(func(q *saml.AuthnRequest) { q.Destination = "" }), 400},
		"for another path":                  {strings.Replace(signed(func(q *saml.AuthnRequest) { q.Destination = agents + "/saml/sso/" }), "/sso/?", "/sso?", 1), 400},
		"of an unknown service provider":    {signed(func(q *saml.AuthnRequest) { q.Issuer.Value = "https://evil.example/saml" }), 403},
		"answered elsewhere":                {signed(func(q *saml.AuthnRequest) { q.AssertionConsumerServiceURL = "https://evil.example/acs" }), 400},
		"answered beside":                   {signed(func(q *saml.AuthnRequest) { q.AssertionConsumerServiceURL += "/" }), 400},
		"answered by number, unknown":       {signed(func(q *saml.AuthnRequest) { q.AssertionConsumerServiceURL, q.AssertionConsumerServiceIndex = "", "7" }), 400},
		"answered by number and address":    {signed(func(q *saml.AuthnRequest) { q.AssertionConsumerServiceIndex = "1" }), 400},
		"answered by another binding":       {signed(func(q *saml.AuthnRequest) { q.ProtocolBinding = saml.HTTPArtifactBinding }), 400},
		"old":                               {signed(func(q *saml.AuthnRequest) { q.IssueInstant = q.IssueInstant.Add(-skew - time.Second) }), 400},
		"not yet":                           {signed(func(q *saml.AuthnRequest) { q.IssueInstant = q.IssueInstant.Add(skew + time.Second) }), 400},
		"an identifier that can be guessed": {signed(func(q *saml.AuthnRequest) { q.ID = "id-1" }), 400},
		"a state that is too long":          {func() string { a, _ := ask(t, sp, strings.Repeat("x", maxState+1), nil); return a }(), 400},
		"two messages":                      {signed(nil) + "&SAMLRequest=abc", 400},
		"no message":                        {agents + ssoPath, 400},
		"not base64":                        {agents + ssoPath + "?SAMLRequest=%21", 400},
		"not deflated":                      {agents + ssoPath + "?SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("<a/>"))), 400},
		"a bomb":                            {agents + ssoPath + "?SAMLRequest=" + url.QueryEscape(deflated(bytes.Repeat([]byte{' '}, 4<<20))), 400},
		"signed under another name":         {strings.Replace(signed(nil), "SAMLRequest=", "SAMLResponse=", 1), 400},
		"an answer instead, of nobody's":    {agents + ssoPath + "?SAMLResponse=" + url.QueryEscape(deflated([]byte("<a/>"))), 400},
	} {
		// In and out alike: nobody is led anywhere.
		for _, b := range []*browser{v, tn.browser(parvis.Internal)} {
			res := b.get(c.address)
			if res.StatusCode != c.status || !strings.Contains(res.body, "federation_problem") || strings.Contains(res.body, "evil") || strings.Contains(res.body, "SAMLResponse") {
				t.Errorf("%s: %d to %q, want %d", name, res.StatusCode, res.location(), c.status)
			}
		}
	}

	// A request that was answered is not answered again.
	address := signed(nil)
	v.get(address).form(t)
	if res := v.get(address); res.StatusCode != http.StatusBadRequest || tn.events("grant.replayed") != 1 {
		t.Errorf("replayed: %d, %d recorded", res.StatusCode, tn.events("grant.replayed"))
	}
	// RelayState travels untouched and leads nowhere by itself.
	hostile := `https://evil.example/"><script>alert(1)</script>`
	address, _ = ask(t, sp, hostile, nil)
	res := v.get(address)
	to, fields := res.form(t)
	if to != sp.AcsURL.String() || fields.Get("RelayState") != hostile || strings.Contains(res.body, "<script>alert") || strings.Contains(res.body, `href="https://evil`) {
		t.Errorf("RelayState %q, to %q", fields.Get("RelayState"), to)
	}
}

func deflated(b []byte) string {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(b)
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

// TestReadXML: what two readers could read differently is not read.
func TestReadXML(t *testing.T) {
	deep := strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1)
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"plain":                  {`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<a xmlns="urn:x" ID="1"><b>t</b></a>`, true},
		"nothing":                {"", false},
		"not XML":                {"SAML", false},
		"cut":                    {"<a><b></a>", false},
		"a document type":        {`<!DOCTYPE a><a/>`, false},
		"an entity":              {`<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, false},
		"an unknown entity":      {`<a>&x;</a>`, false},
		"laughs":                 {`<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>`, false},
		"a comment":              {`<a>admin<!-- -->@example.org</a>`, false},
		"an instruction":         {`<a><?php echo 1?></a>`, false},
		"a stylesheet":           {`<?xml-stylesheet href="x"?><a/>`, false},
		"two roots":              {`<a/><b/>`, false},
		"text outside":           {`<a/>x`, false},
		"another encoding":       {`<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, false},
		"UTF-16":                 {"\xff\xfe<\x00a\x00/\x00>\x00", false},
		"not UTF-8":              {"<a>\xff</a>", false},
		"an ID twice":            {`<a ID="1"><b ID="1"/></a>`, false},
		"an ID twice, otherwise": {`<a ID="1"><b xml:id="1"/></a>`, false},
		"a prefix that changes":  {`<a x:y:z="1"/>`, false},
		"too deep":               {deep, false},
		"too many":               {"<a>" + strings.Repeat("<b/>", maxElements) + "</a>", false},
		"too long":               {"<a>" + strings.Repeat(" ", maxMessage) + "</a>", false},
	} {
		if _, err := readXML([]byte(c.text)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzMessage: whatever comes, nothing that reads it fails otherwise than by an
// error, and nothing passes for signed.
func FuzzMessage(f *testing.F) {
	key, cert := partyKey()
	q := saml.LogoutRequest{
		ID: "_0123456789abcdef0123", Version: "2.0", IssueInstant: time.Unix(1e9, 0), Issuer: &saml.Issuer{Value: "x"}, NameID: &saml.NameID{Value: "y"},
	}
	s, err := sign(q.Element(), &signingKey{key: key, cert: cert})
	must(f, err)
	q.Signature = s
	good, err := written(q.Element())
	must(f, err)
	f.Add(good)
	f.Add([]byte(`<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0"><samlp:RequestedAuthnContext/></samlp:AuthnRequest>`))
	for name, el := range wrap(q.Element(), func(e *etree.Element) { e.CreateAttr("Evil", "1") }) {
		if name == "a key of its own" {
			continue
		}
		document, err := written(el)
		must(f, err)
		f.Add(document)
	}
	_, other := otherKey()
	f.Fuzz(func(t *testing.T, raw []byte) {
		root, err := readXML(raw)
		if err != nil {
			return
		}
		_, _, _, _, _ = readAuthn(root)
		_, _, _ = readLogout(root)
		if _, err := verified(root, []*x509.Certificate{other}); err == nil {
			t.Fatal("signed by a key that signed nothing")
		}
		covered, err := verified(root, []*x509.Certificate{cert})
		if err != nil {
			return
		}
		l, _, err := readLogout(covered)
		if err != nil || l.Name != "y" || l.ID != q.ID || covered.SelectAttrValue("Evil", "") != "" {
			t.Fatalf("something else passes for signed: %s", raw)
		}
	})
}

// FuzzQuery: the cut of a query.
func FuzzQuery(f *testing.F) {
	f.Add("SAMLRequest=" + url.QueryEscape(deflated([]byte("<a/>"))) + "&RelayState=x&SigAlg=y&Signature=eg%3D%3D")
	f.Add("SAMLResponse=&SAMLRequest=&SAMLEncoding=x")
	f.Fuzz(func(t *testing.T, query string) {
		c, err := fromQuery(query)
		if err != nil {
			return
		}
		if len(c.xml) > maxMessage+1 || len(c.state) > maxState || strings.Count(c.signed, "SAMLRe") > 1 {
			t.Fatalf("%d bytes, state %d", len(c.xml), len(c.state))
		}
	})
}
