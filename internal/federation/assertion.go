package federation

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/crewjam/saml/xmlenc"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis"
)

// The contexts of authentication that can be told, truly.
const (
	classPassword    = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
	classProtected   = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	classMFA         = "https://refeds.org/profile/mfa"
	classUnspecified = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
)

// wantedContext is RequestedAuthnContext (SAML Core §3.3.2.2.1).
type wantedContext struct {
	Classes    []string `json:"c"`
	Comparison string   `json:"o"` // exact, minimum, maximum, better
}

func readContext(el *etree.Element) (*wantedContext, error) {
	asked, err := only(el, nsProtocol, "RequestedAuthnContext")
	if err != nil || asked == nil {
		return nil, err
	}
	c := &wantedContext{Comparison: asked.SelectAttrValue("Comparison", "exact")}
	if !slices.Contains([]string{"exact", "minimum", "maximum", "better"}, c.Comparison) {
		return nil, errors.New("an unknown comparison")
	}
	for _, one := range asked.ChildElements() {
		class := words(one)
		if !named(one, nsAssertion, "AuthnContextClassRef") {
			class = "declared" // a declaration of its own: nothing of ours is that
		}
		if len(class) > 200 || len(c.Classes) == 16 {
			return nil, errors.New("too many contexts")
		}
		c.Classes = append(c.Classes, class)
	}
	return c, nil
}

// rank orders the contexts; 0 for one that is not known.
func rank(class string) int {
	switch class {
	case classPassword, classProtected:
		return 1
	case classMFA:
		return 2
	}
	return 0
}

// choose gives the context to tell of these proofs, as the request wants it; or
// the level that they must reach first (domain.md 3.1); or neither, when nothing
// an agent can do would be what was asked. A password is told of only if one was
// shown: a passkey alone is several factors, and no password.
func (c *wantedContext) choose(proofs []parvis.Proof) (class, level string) {
	acr, amr := parvis.Levels(proofs)
	password := slices.Contains(amr, "pwd")
	reached := 0
	switch {
	case slices.Contains(amr, "mfa"):
		reached = 2
	case acr != "":
		reached = 1
	}
	best := classUnspecified
	switch {
	case reached == 2:
		best = classMFA
	case password:
		best = classProtected
	}
	if c == nil || len(c.Classes) == 0 {
		return best, ""
	}
	least, most := 3, 0 // of those that are known
	for _, one := range c.Classes {
		if n := rank(one); n > 0 {
			least, most = min(least, n), max(most, n)
		}
	}
	if most == 0 && !(c.Comparison == "exact" && slices.Contains(c.Classes, classUnspecified)) {
		return "", ""
	}
	switch c.Comparison {
	case "minimum":
		if reached >= least {
			return best, ""
		}
		return "", "eidas1-mfa"
	case "better": // than every one of them
		if most >= 2 {
			return "", ""
		}
		if reached == 2 {
			return classMFA, ""
		}
		return "", "eidas1-mfa"
	case "maximum":
		if reached <= most {
			return best, ""
		}
		if password {
			return classProtected, ""
		}
		return "", ""
	}
	for _, one := range c.Classes { // in the order of preference of whoever asks
		switch {
		case one == classMFA && reached == 2, rank(one) == 1 && password:
			return one, ""
		case one == classUnspecified:
			return one, ""
		}
	}
	if slices.Contains(c.Classes, classMFA) {
		return "", "eidas1-mfa"
	}
	return "", ""
}

// nameID is how the subject is named.
type nameID struct{ value, format string }

// The formats of SAML Core §8.3.
const (
	formatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	formatEmail       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	formatTransient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	formatPersistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
)

// nameID names the agent as IT decided, or as the request asks when that tells
// less; otherwise it gives the status that says why not.
func (f *Federation) nameID(app parvis.App, p *party, q request, s parvis.Session, agent *parvis.Agent) (nameID, string) {
	decided := map[string]string{"": formatPersistent, "persistent": formatPersistent, "transient": formatTransient, "email": formatEmail, "uid": formatUnspecified}[app.SAML.NameID]
	format := q.Format
	if format == "" || format == formatUnspecified {
		format = decided
	}
	if q.Alien || decided == "" || format != decided && format != formatTransient {
		return nameID{}, saml.StatusInvalidNameIDPolicy
	}
	name := nameID{format: format}
	switch format {
	case formatTransient: // of this session alone
		mac := f.Keys.MAC("saml.transient", []byte(f.Sessions.SID(s, app.ID)), []byte(p.entity))
		name.value = "_" + hex.EncodeToString(mac[:16])
	case formatEmail:
		name.value = agent.Email
	default:
		name.value = f.Door.Subject(app, s.Agent, parvis.SAML)
	}
	if name.value == "" || q.Subject != "" && q.Subject != name.value {
		return nameID{}, saml.StatusUnknownPrincipal
	}
	return name, ""
}

// assertion is everything that an assertion says.
type assertion struct {
	request request
	party   *party
	name    nameID
	index   string
	class   string
	acr     string
	claims  map[string]any
	issuer  string
	now     time.Time
	proved  time.Time
	ends    time.Time
	encrypt bool
}

// standardNames are the claims that have a registered name (eduPerson, RFC 4519,
// RFC 2798).
func standardNames() map[string][2]string {
	return map[string][2]string{
		"uid":                 {"uid", "urn:oid:0.9.2342.19200300.100.1.1"},
		"given_name":          {"givenName", "urn:oid:2.5.4.42"},
		"family_name":         {"sn", "urn:oid:2.5.4.4"},
		"name":                {"displayName", "urn:oid:2.16.840.1.113730.3.1.241"},
		"email":               {"mail", "urn:oid:0.9.2342.19200300.100.1.3"},
		"phone_number":        {"telephoneNumber", "urn:oid:2.5.4.20"},
		"organizational_unit": {"ou", "urn:oid:2.5.4.11"},
		"groups":              {"isMemberOf", "urn:oid:1.3.6.1.4.1.5923.1.5.1.1"},
	}
}

const (
	formatURI   = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
	formatBasic = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
)

// attributes tells claims under their registered names, and the others, with
// the level of authentication, under those of the house.
func (a *assertion) attributes() []saml.Attribute {
	var all []saml.Attribute
	standard := standardNames()
	for _, name := range sortedKeys(a.claims) {
		one := saml.Attribute{Name: name, FriendlyName: name, NameFormat: formatBasic}
		if its, ok := standard[name]; ok {
			one = saml.Attribute{Name: its[1], FriendlyName: its[0], NameFormat: formatURI}
		}
		for _, v := range valuesOf(a.claims[name]) {
			one.Values = append(one.Values, saml.AttributeValue{Type: "xs:string", Value: v})
		}
		all = append(all, one)
	}
	return append(all, saml.Attribute{
		Name: "acr", FriendlyName: "acr", NameFormat: formatBasic, Values: []saml.AttributeValue{{Type: "xs:string", Value: a.acr}},
	})
}

// element makes the assertion (SAML Core §2.3.3, Profiles §4.1.4.2).
func (a *assertion) element() *saml.Assertion {
	return &saml.Assertion{
		ID: newID(), IssueInstant: a.now, Version: "2.0", Issuer: saml.Issuer{Value: a.issuer},
		Subject: &saml.Subject{
			NameID: &saml.NameID{Format: a.name.format, NameQualifier: a.issuer, SPNameQualifier: a.party.entity, Value: a.name.value},
			SubjectConfirmations: []saml.SubjectConfirmation{{
				Method: "urn:oasis:names:tc:SAML:2.0:cm:bearer",
				SubjectConfirmationData: &saml.SubjectConfirmationData{
					InResponseTo: a.request.ID, NotOnOrAfter: a.now.Add(skew), Recipient: a.request.Address,
				},
			}},
		},
		Conditions: &saml.Conditions{
			NotBefore: a.now.Add(-skew), NotOnOrAfter: a.now.Add(skew),
			AudienceRestrictions: []saml.AudienceRestriction{{Audience: saml.Audience{Value: a.party.entity}}},
		},
		AuthnStatements: []saml.AuthnStatement{{
			AuthnInstant: a.proved, SessionIndex: a.index, SessionNotOnOrAfter: &a.ends,
			AuthnContext: saml.AuthnContext{AuthnContextClassRef: &saml.AuthnContextClassRef{Value: a.class}},
		}},
		AttributeStatements: []saml.AttributeStatement{{Attributes: a.attributes()}},
	}
}

// response makes the signed response with its signed assertion.
func (f *Federation) response(a assertion, key *signingKey) (*etree.Element, error) {
	made := a.element()
	signature, err := sign(made.Element(), key)
	if err != nil {
		return nil, err
	}
	made.Signature = signature
	inside := made.Element()
	if a.encrypt {
		if inside, err = encrypted(inside, a.party); err != nil {
			return nil, err
		}
	}
	return envelope(&saml.Response{
		Destination: a.request.Address, ID: newID(), InResponseTo: a.request.ID, IssueInstant: a.now, Version: "2.0",
		Issuer: &saml.Issuer{Value: a.issuer}, Status: saml.Status{StatusCode: saml.StatusCode{Value: saml.StatusSuccess}},
	}, inside, key)
}

// status makes a signed response without an assertion.
func status(issuer, address, id string, now time.Time, top, second string, key *signingKey) (*etree.Element, error) {
	return envelope(&saml.Response{
		Destination: address, ID: newID(), InResponseTo: id, IssueInstant: now, Version: "2.0", Issuer: &saml.Issuer{Value: issuer},
		Status: saml.Status{StatusCode: saml.StatusCode{Value: top, StatusCode: &saml.StatusCode{Value: second}}},
	}, nil, key)
}

// envelope signs a response around what it holds.
func envelope(r *saml.Response, inside *etree.Element, key *signingKey) (*etree.Element, error) {
	whole := func() *etree.Element {
		el := r.Element()
		if inside != nil {
			el.AddChild(inside.Copy())
		}
		return el
	}
	signature, err := sign(whole(), key)
	if err != nil {
		return nil, err
	}
	r.Signature = signature
	return whole(), nil
}

// sign makes the enveloped signature of an element (SAML Core §5.4).
func sign(el *etree.Element, key *signingKey) (*etree.Element, error) {
	s, err := dsig.NewSigningContext(key.key, [][]byte{key.cert.Raw})
	if err != nil {
		return nil, err
	}
	s.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := s.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		return nil, err
	}
	return s.ConstructSignature(el, true)
}

// newID makes an identifier of 160 random bits (SAML Core §1.3.4).
func newID() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // it cannot fail
	return "_" + hex.EncodeToString(b[:])
}

// encrypted encrypts an assertion to the key of its service provider: the cipher
// that its metadata name, GCM first; AES-256-CBC otherwise, which every one reads
// (its signature is inside). The mask of rsa-oaep-mgf1p is SHA-1 by definition (XML
// Encryption §5.5.2), so its digest is too: the collisions of SHA-1 are nothing to OAEP.
func encrypted(el *etree.Element, p *party) (*etree.Element, error) {
	if p.crypt == nil {
		return nil, errors.New("the metadata hold no key to encrypt to")
	}
	if _, ok := p.crypt.PublicKey.(*rsa.PublicKey); !ok {
		return nil, errors.New("the key to encrypt to is not RSA")
	}
	document, err := written(el)
	if err != nil {
		return nil, err
	}
	by := xmlenc.OAEP()
	by.BlockCipher, by.DigestMethod = xmlenc.AES256CBC, xmlenc.SHA1
	for _, c := range []gcm{{32, "http://www.w3.org/2009/xmlenc11#aes256-gcm"}, {16, "http://www.w3.org/2009/xmlenc11#aes128-gcm"}} {
		if slices.Contains(p.ciphers, c.algorithm) {
			by.BlockCipher = c
			break
		}
	}
	data, err := by.Encrypt(p.crypt, document, nil)
	if err != nil {
		return nil, err
	}
	data.CreateAttr("Type", "http://www.w3.org/2001/04/xmlenc#Element")
	out := etree.NewElement("saml:EncryptedAssertion")
	out.CreateAttr("xmlns:saml", nsAssertion)
	out.AddChild(data)
	return out, nil
}

// gcm is AES-GCM as XML Encryption 1.1 §5.2.4 writes it: nonce, ciphertext, tag.
// That of the library encrypts zeroes.
type gcm struct {
	size      int
	algorithm string
}

// KeySize, Algorithm, Encrypt and Decrypt are those of [xmlenc.BlockCipher].
func (g gcm) KeySize() int { return g.size }

// Algorithm names the cipher.
func (g gcm) Algorithm() string { return g.algorithm }

// Encrypt makes an EncryptedData.
func (g gcm) Encrypt(key any, plain, _ []byte) (*etree.Element, error) {
	raw, ok := key.([]byte)
	if !ok || len(raw) != g.size {
		return nil, errors.New("a key of another size")
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	data := etree.NewElement("xenc:EncryptedData")
	data.CreateAttr("xmlns:xenc", "http://www.w3.org/2001/04/xmlenc#")
	data.CreateAttr("Id", newID())
	data.CreateElement("xenc:EncryptionMethod").CreateAttr("Algorithm", g.algorithm)
	data.CreateElement("xenc:CipherData").CreateElement("xenc:CipherValue").SetText(base64.StdEncoding.EncodeToString(aead.Seal(nil, nil, plain, nil)))
	return data, nil
}

// Decrypt is never asked: nothing is encrypted to us.
func (g gcm) Decrypt(any, *etree.Element) ([]byte, error) { return nil, errors.ErrUnsupported }

var _ xmlenc.BlockCipher = gcm{}
