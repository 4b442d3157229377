package federation

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis"
)

// maxState bounds RelayState. SAML Bindings §3.4.3 says 80 bytes; deployed
// service providers put the address of a page there.
const maxState = 800

// carried is a message as a browser brought it: the document, and what signs it
// from outside.
type carried struct {
	xml    []byte
	answer bool   // SAMLResponse rather than SAMLRequest
	state  string // RelayState

	// Of the redirect binding: the octets that were signed, by what, and the
	// signature; none when the query carries no signature.
	signed    string
	algorithm string
	signature []byte
}

func unreadable(err error) error {
	return &parvis.Error{Code: parvis.CodeInvalid, Op: "federation.read", Err: err}
}

// fromQuery reads the HTTP-Redirect binding (SAML Bindings §3.4). The signature
// covers the query as it was written, so it is cut here, not decoded and encoded
// again (§3.4.4.1). No parameter may stand there twice: which one counts would
// depend on the reader.
func fromQuery(query string) (carried, error) {
	raw := map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding":
			if _, twice := raw[name]; twice {
				return carried{}, unreadable(errors.New(name + " twice"))
			}
			raw[name] = value
		}
	}
	plain := map[string]string{}
	for name, value := range raw {
		v, err := url.QueryUnescape(value)
		if err != nil {
			return carried{}, unreadable(err)
		}
		plain[name] = v
	}
	name := "SAMLRequest"
	if _, is := raw["SAMLResponse"]; is {
		name = "SAMLResponse"
	}
	encoded, ok := plain[name]
	if _, both := raw["SAMLRequest"]; !ok || both && name == "SAMLResponse" {
		return carried{}, unreadable(errors.New("not one message"))
	}
	if e := plain["SAMLEncoding"]; e != "" && e != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" {
		return carried{}, unreadable(errors.New("an unknown encoding"))
	}
	packed, err := unbase64(encoded)
	if err != nil {
		return carried{}, unreadable(err)
	}
	document, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxMessage+1))
	if err != nil {
		return carried{}, unreadable(err)
	}
	c := carried{xml: document, answer: name == "SAMLResponse", state: plain["RelayState"]}
	if len(c.state) > maxState {
		return carried{}, unreadable(errors.New("a RelayState that is too long"))
	}
	if _, signed := raw["Signature"]; signed {
		c.signed = name + "=" + raw[name]
		if state, is := raw["RelayState"]; is {
			c.signed += "&RelayState=" + state
		}
		c.signed += "&SigAlg=" + raw["SigAlg"]
		c.algorithm = plain["SigAlg"]
		if c.signature, err = unbase64(plain["Signature"]); err != nil {
			return carried{}, unreadable(err)
		}
	}
	return c, nil
}

// fromForm reads the HTTP-POST binding (SAML Bindings §3.5).
func fromForm(form url.Values) (carried, error) {
	c := carried{state: form.Get("RelayState")}
	encoded := form["SAMLRequest"]
	if len(encoded) == 0 {
		encoded, c.answer = form["SAMLResponse"], true
	}
	if len(encoded) != 1 || len(form["SAMLRequest"])+len(form["SAMLResponse"]) != 1 || len(form["RelayState"]) > 1 || len(c.state) > maxState {
		return carried{}, unreadable(errors.New("not one message"))
	}
	var err error
	if c.xml, err = unbase64(encoded[0]); err != nil {
		return carried{}, unreadable(err)
	}
	return c, nil
}

func unbase64(s string) ([]byte, error) {
	if len(s) > 2*maxMessage {
		return nil, errors.New("too long")
	}
	return base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, s))
}

// authentic gives the part of a message that is known to come from whoever holds
// one of the keys: of a signed one what the signature covers, of an unsigned one
// the message itself and false. A signature that does not hold is an error, not
// an absence.
func (c carried) authentic(root *etree.Element, keys []*x509.Certificate) (*etree.Element, bool, error) {
	signed := false
	if c.signature != nil {
		if err := c.checkQuery(keys); err != nil {
			return nil, false, err
		}
		signed = true
	}
	if carriesSignature(root) {
		covered, err := verified(root, keys)
		if err != nil {
			return nil, false, err
		}
		return covered, true, nil
	}
	return root, signed, nil
}

// checkQuery checks the signature of a query (SAML Bindings §3.4.4.1).
func (c carried) checkQuery(keys []*x509.Certificate) error {
	hash, ok := signatureMethods[c.algorithm]
	if !ok {
		return errors.New("an algorithm that may not sign")
	}
	h := hash.New()
	h.Write([]byte(c.signed))
	sum := h.Sum(nil)
	if slices.ContainsFunc(keys, func(cert *x509.Certificate) bool {
		key, is := cert.PublicKey.(*rsa.PublicKey)
		return is && rsa.VerifyPKCS1v15(key, hash, sum, c.signature) == nil
	}) {
		return nil
	}
	return errors.New("the signature is by none of the keys in the metadata")
}

// toQuery makes the address that carries an answer of ours, signed.
func toQuery(address string, answer *etree.Element, state string, key *rsa.PrivateKey) (string, error) {
	document, err := written(answer)
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(document); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	query := "SAMLResponse=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes()))
	if state != "" {
		query += "&RelayState=" + url.QueryEscape(state)
	}
	query += "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
	sum := sha256.Sum256([]byte(query))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
	if strings.Contains(address, "?") {
		return address + "&" + query, nil
	}
	return address + "?" + query, nil
}

func written(el *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(el)
	return doc.WriteToBytes()
}
