package federation

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/crewjam/saml"
	xrv "github.com/mattermost/xml-roundtrip-validator"

	"parvis"
)

// party is a service provider as its metadata describe it.
type party struct {
	app     parvis.AppID
	entity  string
	signs   bool                // its requests must be signed (AuthnRequestsSigned)
	keys    []*x509.Certificate // that sign its messages
	crypt   *x509.Certificate   // to which assertions are encrypted; nil for none
	ciphers []string            // that it says it reads
	takes   []saml.IndexedEndpoint
	logouts []saml.Endpoint
}

// newParty reads metadata (SAML 2.0 Metadata §2.4.4).
func newParty(app parvis.App) (*party, error) {
	raw := []byte(app.SAML.Metadata)
	if len(raw) > maxMetadata {
		return nil, errors.New("too long")
	}
	if err := noDocumentType(raw); err != nil {
		return nil, err
	}
	if err := xrv.Validate(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	var m saml.EntityDescriptor
	if err := xml.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	if m.EntityID == "" || len(m.SPSSODescriptors) != 1 {
		return nil, errors.New("not one service provider")
	}
	d := m.SPSSODescriptors[0]
	p := &party{app: app.ID, entity: m.EntityID, signs: d.AuthnRequestsSigned != nil && *d.AuthnRequestsSigned, logouts: d.SingleLogoutServices}
	for _, k := range d.KeyDescriptors {
		for _, c := range k.KeyInfo.X509Data.X509Certificates {
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.Data), ""))
			if err != nil {
				return nil, err
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			if k.Use != "encryption" {
				p.keys = append(p.keys, cert)
			}
			if k.Use != "signing" && (p.crypt == nil || k.Use == "encryption") {
				p.crypt = cert
				p.ciphers = nil
				for _, method := range k.EncryptionMethods {
					p.ciphers = append(p.ciphers, method.Algorithm)
				}
			}
		}
	}
	for _, e := range d.AssertionConsumerServices {
		if e.Binding == saml.HTTPPostBinding && e.Location != "" { // http or https: the library looks
			p.takes = append(p.takes, e)
		}
	}
	if len(p.takes) == 0 {
		return nil, errors.New("no assertion consumer service with the HTTP-POST binding")
	}
	return p, nil
}

func noDocumentType(raw []byte) error {
	d := xml.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // whoever parses says what is wrong
		}
		if _, is := token.(xml.Directive); is {
			return errors.New("a document type")
		}
	}
}

// consumer finds where an answer goes: to the address or the number that the
// request names, if the metadata have exactly it; to the default one when it
// names none (SAML Core §3.4.1, Metadata §2.4.4.1).
func (p *party) consumer(address, index string) (string, bool) {
	switch {
	case address != "" && index != "":
		return "", false // mutually exclusive
	case address != "":
		return address, slices.ContainsFunc(p.takes, func(e saml.IndexedEndpoint) bool { return e.Location == address })
	case index != "":
		i := slices.IndexFunc(p.takes, func(e saml.IndexedEndpoint) bool { return strconv.Itoa(e.Index) == index })
		if i < 0 {
			return "", false
		}
		return p.takes[i].Location, true
	}
	for _, e := range p.takes {
		if e.IsDefault != nil && *e.IsDefault {
			return e.Location, true
		}
	}
	for _, e := range p.takes {
		if e.IsDefault == nil {
			return e.Location, true
		}
	}
	return p.takes[0].Location, true
}

// logout finds where the answer to a logout request goes, and by which binding.
func (p *party) logout() (binding, address string) {
	for _, want := range []string{saml.HTTPRedirectBinding, saml.HTTPPostBinding} {
		for _, e := range p.logouts {
			if e.Binding != want {
				continue
			}
			if e.ResponseLocation != "" {
				return want, e.ResponseLocation
			}
			return want, e.Location
		}
	}
	return "", ""
}

// soap is where it takes logout requests from us; empty for nowhere.
func (p *party) soap() string {
	for _, e := range p.logouts {
		if e.Binding == saml.SOAPBinding {
			return e.Location
		}
	}
	return ""
}
