package federation

import (
	"encoding/base64"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"

	"parvis"
)

// getMetadata publishes the identity provider of an entrance (SAML Metadata §2.4.3),
// with every key that may sign.
func (f *Federation) getMetadata(w http.ResponseWriter, r *http.Request, ch parvis.Channel) error {
	keys, err := f.keys(r.Context())
	if err != nil {
		return err
	}
	body, err := f.printed.of(ch, keys, func() ([]byte, error) { return f.describe(ch, keys) })
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "federation.getMetadata", Err: err}
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write(body)
	return nil
}

// describe writes the metadata of an entrance, signed.
func (f *Federation) describe(ch parvis.Channel, keys []*signingKey) ([]byte, error) {
	portal := f.Addresses.Portal(ch)
	root := etree.NewElement("md:EntityDescriptor")
	root.CreateAttr("xmlns:md", "urn:oasis:names:tc:SAML:2.0:metadata")
	root.CreateAttr("entityID", f.entity(ch))
	root.CreateAttr("ID", newID())
	root.CreateAttr("cacheDuration", "PT6H")
	idp := root.CreateElement("md:IDPSSODescriptor")
	idp.CreateAttr("WantAuthnRequestsSigned", "false")
	idp.CreateAttr("protocolSupportEnumeration", nsProtocol)
	for _, k := range keys {
		d := idp.CreateElement("md:KeyDescriptor")
		d.CreateAttr("use", "signing")
		info := d.CreateElement("ds:KeyInfo")
		info.CreateAttr("xmlns:ds", nsSignature)
		info.CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(k.cert.Raw))
	}
	endpoint := func(name, binding, path string) {
		e := idp.CreateElement(name)
		e.CreateAttr("Binding", binding)
		e.CreateAttr("Location", portal+path)
	}
	endpoint("md:SingleLogoutService", saml.HTTPRedirectBinding, sloPath)
	endpoint("md:SingleLogoutService", saml.HTTPPostBinding, sloPath)
	for _, format := range []string{formatPersistent, formatTransient, formatEmail, formatUnspecified} {
		idp.CreateElement("md:NameIDFormat").SetText(format)
	}
	endpoint("md:SingleSignOnService", saml.HTTPRedirectBinding, ssoPath)
	endpoint("md:SingleSignOnService", saml.HTTPPostBinding, ssoPath)
	signature, err := sign(root, keys[0])
	if err != nil {
		return nil, err
	}
	root.InsertChildAt(0, signature)
	return written(root)
}

// printed is the metadata as they were last signed, by entrance: anybody may ask
// for them, and an RSA signature for each would be a cheap way to keep us busy.
type printed struct {
	mu sync.Mutex
	at map[parvis.Channel]edition
}

// edition is one signed document, and of which keys it tells.
type edition struct {
	keys []*signingKey
	body []byte
}

// of gives the metadata that tell of these keys.
func (p *printed) of(ch parvis.Channel, keys []*signingKey, describe func() ([]byte, error)) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	same := func(a, b *signingKey) bool { return a.id == b.id }
	if e, ok := p.at[ch]; ok && slices.EqualFunc(e.keys, keys, same) {
		return e.body, nil
	}
	body, err := describe()
	if err != nil {
		return nil, err
	}
	if p.at == nil {
		p.at = map[parvis.Channel]edition{}
	}
	p.at[ch] = edition{keys, body}
	return body, nil
}

// What strangers may have signed: answers to passive requests of browsers that
// nobody is signed in with.
const (
	rationASecond = 30
	rationMost    = 60
)

// ration is how much of something is left, for everybody together.
type ration struct {
	mu   sync.Mutex
	at   time.Time
	left float64
}

// take takes one, if there is one.
func (r *ration) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() {
		r.left = rationMost
	} else if gone := now.Sub(r.at); gone > 0 {
		r.left = min(rationMost, r.left+gone.Seconds()*rationASecond)
	}
	r.at = now
	if r.left < 1 {
		return false
	}
	r.left--
	return true
}
