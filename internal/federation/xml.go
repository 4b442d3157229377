package federation

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	xrv "github.com/mattermost/xml-roundtrip-validator"
	dsig "github.com/russellhaering/goxmldsig"
)

// Names of SAML 2.0 Core and XML Signature.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsSignature = dsig.Namespace

	excC14N   = string(dsig.CanonicalXML10ExclusiveAlgorithmId)
	enveloped = string(dsig.EnvelopedSignatureAltorithmId)
)

// What a message may be made of. Real ones have some thousand bytes, forty
// elements and eight levels; strangers send them, and reading one so that
// nobody can read it otherwise takes its time.
const (
	maxMessage  = 24 << 10
	maxElements = 200
	maxDepth    = 24
	maxMetadata = 1 << 20 // those, IT declares
)

// Algorithms that may sign a message: RSA, which every service provider has; no
// SHA-1, no MAC whose key could be a certificate.
var (
	signatureMethods = map[string]crypto.Hash{
		dsig.RSASHA256SignatureMethod: crypto.SHA256, dsig.RSASHA384SignatureMethod: crypto.SHA384, dsig.RSASHA512SignatureMethod: crypto.SHA512,
	}
	digestMethods = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha512",
	}
)

// readXML reads a message so that everybody who reads it reads the same: UTF-8,
// no document type, hence no entities, no comment and no instruction (text cut in
// two by a comment has deceived many), nothing that changes when it is written
// again, every ID once.
func readXML(raw []byte) (*etree.Element, error) {
	if len(raw) == 0 || len(raw) > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", len(raw))
	}
	if err := plain(raw); err != nil {
		return nil, err
	}
	if err := xrv.Validate(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		return nil, err
	}
	root := doc.Root()
	if root == nil {
		return nil, errors.New("no element")
	}
	ids := map[string]bool{}
	return root, uniqueIDs(root, ids)
}

// plain looks at every token before anything is built of them.
func plain(raw []byte) error {
	d := xml.NewDecoder(bytes.NewReader(raw))
	d.Strict = true
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("not in UTF-8") }
	depth, elements, roots := 0, 0, 0
	for first := true; ; first = false {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if roots != 1 || depth != 0 {
				return errors.New("not one element")
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth, elements = depth+1, elements+1
			if depth > maxDepth || elements > maxElements || len(t.Attr) > 32 {
				return errors.New("too much of it")
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && strings.Trim(string(t), " \t\r\n") != "" {
				return errors.New("text outside the element")
			}
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				return errors.New("a processing instruction")
			}
		default:
			return errors.New("a document type or a comment")
		}
	}
}

func uniqueIDs(el *etree.Element, seen map[string]bool) error {
	for _, a := range el.Attr {
		if !strings.EqualFold(a.Key, "id") {
			continue
		}
		if seen[a.Value] {
			return errors.New("an ID stands there twice")
		}
		seen[a.Value] = true
	}
	for _, c := range el.ChildElements() {
		if err := uniqueIDs(c, seen); err != nil {
			return err
		}
	}
	return nil
}

// named tells whether el is the element of that name and namespace, whatever
// its prefix.
func named(el *etree.Element, space, tag string) bool {
	return el.Tag == tag && el.NamespaceURI() == space
}

// only gives the one child of that name; nil when there is none, an error when
// there are several.
func only(el *etree.Element, space, tag string) (*etree.Element, error) {
	var found *etree.Element
	for _, c := range el.ChildElements() {
		if !named(c, space, tag) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("several %s", tag)
		}
		found = c
	}
	return found, nil
}

// words is the text of an element that holds text alone; empty for nil.
func words(el *etree.Element) string {
	if el == nil || len(el.ChildElements()) > 0 {
		return ""
	}
	return strings.TrimSpace(el.Text())
}

// carriesSignature tells whether a signature stands anywhere in the message.
func carriesSignature(el *etree.Element) bool {
	if el.Tag == dsig.SignatureTag && el.NamespaceURI() == nsSignature {
		return true
	}
	return slices.ContainsFunc(el.ChildElements(), carriesSignature)
}

// verified checks the one enveloped signature of a message and gives back what
// it covers: the whole message, without the signature. Only that may be read
// afterwards. The signature must be a child of the root and refer to the root by
// its ID, alone, through the two transforms SAML knows (SAML Core §5.4): nothing
// can be wrapped around it or hidden in it. Keys come from the metadata; what the
// message says of its own key is not read. Nor are the dates of a certificate,
// which only carries a key there (SAML V2.0 Metadata Interoperability Profile §2.6.1).
func verified(root *etree.Element, keys []*x509.Certificate) (*etree.Element, error) {
	signature, err := only(root, nsSignature, dsig.SignatureTag)
	if err != nil || signature == nil {
		return nil, errors.New("not signed as a whole")
	}
	for _, c := range root.ChildElements() {
		if c != signature && carriesSignature(c) {
			return nil, errors.New("a second signature")
		}
	}
	if err := shape(signature, root.SelectAttrValue("ID", "")); err != nil {
		return nil, err
	}
	root = root.Copy()
	signature, _ = only(root, nsSignature, dsig.SignatureTag)
	if info, _ := only(signature, nsSignature, dsig.KeyInfoTag); info != nil {
		signature.RemoveChild(info)
	}
	for _, key := range keys {
		v := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{key}})
		v.Clock = dsig.NewFakeClockAt(key.NotBefore.Add(time.Second))
		if covered, err := v.Validate(root); err == nil {
			return covered, nil
		}
	}
	return nil, errors.New("the signature is by none of the keys in the metadata")
}

// shape checks what a signature claims before anything is computed.
func shape(signature *etree.Element, id string) error {
	if id == "" {
		return errors.New("nothing that a signature could refer to")
	}
	parts := signature.ChildElements()
	for i, want := range []string{dsig.SignedInfoTag, dsig.SignatureValueTag, dsig.KeyInfoTag} {
		if i >= len(parts) && want == dsig.KeyInfoTag {
			break
		}
		if i >= len(parts) || !named(parts[i], nsSignature, want) {
			return errors.New("not the parts of a signature")
		}
	}
	if len(parts) > 3 {
		return errors.New("more than a signature")
	}
	info := parts[0].ChildElements()
	if len(info) != 3 || !named(info[0], nsSignature, dsig.CanonicalizationMethodTag) ||
		!named(info[1], nsSignature, dsig.SignatureMethodTag) || !named(info[2], nsSignature, dsig.ReferenceTag) {
		return errors.New("not one reference") // SAML Core §5.4.2
	}
	if info[0].SelectAttrValue(dsig.AlgorithmAttr, "") != excC14N {
		return errors.New("another canonical form")
	}
	if _, ok := signatureMethods[info[1].SelectAttrValue(dsig.AlgorithmAttr, "")]; !ok {
		return errors.New("an algorithm that may not sign")
	}
	ref := info[2]
	if ref.SelectAttrValue(dsig.URIAttr, "") != "#"+id {
		return errors.New("it refers to something else")
	}
	inside := ref.ChildElements()
	if len(inside) != 3 || !named(inside[0], nsSignature, dsig.TransformsTag) ||
		!named(inside[1], nsSignature, dsig.DigestMethodTag) || !named(inside[2], nsSignature, dsig.DigestValueTag) {
		return errors.New("not the parts of a reference")
	}
	if !slices.Contains(digestMethods, inside[1].SelectAttrValue(dsig.AlgorithmAttr, "")) {
		return errors.New("a digest that may not be used")
	}
	transforms := inside[0].ChildElements()
	if len(transforms) != 2 || !named(transforms[0], nsSignature, dsig.TransformTag) || !named(transforms[1], nsSignature, dsig.TransformTag) ||
		transforms[0].SelectAttrValue(dsig.AlgorithmAttr, "") != enveloped || transforms[1].SelectAttrValue(dsig.AlgorithmAttr, "") != excC14N {
		return errors.New("other transforms") // SAML Core §5.4.4
	}
	return nil
}
