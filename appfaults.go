package parvis

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// AppFault is one thing that keeps an application from being served as it is
// declared. Field is its place as files write it ("oidc.redirects[0]"); Value is
// what stands there.
type AppFault struct {
	Field string
	Code  AppFaultCode
	Value string
}

// AppFaultCode says what is wrong with a declared application. The list is closed.
type AppFaultCode string

// The closed list of what can be wrong.
const (
	FaultRequired  AppFaultCode = "required"  // something must stand here
	FaultLabel     AppFaultCode = "label"     // small letters, digits and hyphens, as in a host name
	FaultDoor      AppFaultCode = "door"      // no way leads in: no upstream, forward, oidc, cas or saml
	FaultUnknown   AppFaultCode = "unknown"   // not one of those that exist
	FaultTwice     AppFaultCode = "twice"     // it stands there twice
	FaultApart     AppFaultCode = "apart"     // it does not go with something else that is set
	FaultAddress   AppFaultCode = "address"   // not an absolute address that can be used
	FaultHTTPS     AppFaultCode = "https"     // https is needed, or this machine's own address
	FaultFragment  AppFaultCode = "fragment"  // no fragment can stand in it
	FaultWildcard  AppFaultCode = "wildcard"  // no wildcard: addresses are compared whole
	FaultOrigin    AppFaultCode = "origin"    // not at the origin of one of its redirects
	FaultPattern   AppFaultCode = "pattern"   // "GET /path" or "POST /path/*" is expected
	FaultKeys      AppFaultCode = "keys"      // not a set of public keys
	FaultMetadata  AppFaultCode = "metadata"  // not the metadata of a SAML service provider
	FaultNetwork   AppFaultCode = "network"   // it lies in a network that may not be reached
	FaultDate      AppFaultCode = "date"      // it ends before it begins
	FaultNoAnswers AppFaultCode = "no_answer" // no answer could ever be taken: no redirect and no device
)

// ClaimNames lists what may be told of an agent besides the subject, by claim
// name (domain.md 3.1).
func ClaimNames() []string {
	return []string{
		"uid", "given_name", "usual_name", "family_name", "name", "email", "siret", "siren",
		"organizational_unit", "belonging_population", "phone_number", "groups",
	}
}

// The ways in which a client of the OpenID provider proves itself.
const (
	ClientSecretBasic = "client_secret_basic"
	ClientSecretPost  = "client_secret_post"
	PrivateKeyJWT     = "private_key_jwt"
	PublicClient      = "none"
)

// NameIDs lists what a SAML service provider may ask to be told as NameID.
func NameIDs() []string { return []string{"persistent", "transient", "email", "uid"} }

// Faults lists all that is wrong with the declaration itself, in the order of
// its fields; none when it can be served.
func (a *App) Faults() []AppFault {
	f := &appFaults{}
	f.itself(a)
	f.entrances(a)
	f.reduced(a.ReducedTo)
	if a.Start != "" {
		f.address("start", a.Start)
	}
	for i, name := range a.Attributes {
		f.when(!slices.Contains(ClaimNames(), name), at("attributes", i), FaultUnknown, name)
		f.when(slices.Index(a.Attributes, name) < i, at("attributes", i), FaultTwice, name)
	}
	if a.OIDC != nil {
		f.oidc(a.OIDC)
	}
	if a.CAS != nil {
		f.when(len(a.CAS.Services) == 0, "cas.services", FaultRequired, "")
		for i, s := range a.CAS.Services {
			f.redirect(at("cas.services", i), s, false)
		}
	}
	if a.SAML != nil {
		f.saml(a.SAML)
	}
	return f.all
}

type appFaults struct{ all []AppFault }

func (f *appFaults) when(wrong bool, field string, code AppFaultCode, value string) {
	if wrong {
		f.all = append(f.all, AppFault{field, code, value})
	}
}

func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

var hostLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (f *appFaults) itself(a *App) {
	f.when(!hostLabel.MatchString(string(a.ID)), "id", FaultLabel, string(a.ID))
	f.when(strings.TrimSpace(a.Name.FR) == "", "name.fr", FaultRequired, "")
	f.when(strings.TrimSpace(a.Name.EN) == "", "name.en", FaultRequired, "")
	if a.Upstream != "" {
		f.address("upstream", a.Upstream)
		f.when(a.Forward, "forward", FaultApart, "")
	}
	f.when(a.Upstream == "" && !a.Forward && a.OIDC == nil && a.CAS == nil && a.SAML == nil, "upstream", FaultDoor, "")
}

func (f *appFaults) entrances(a *App) {
	f.channels("channels", a.Channels)
	f.channels("reduced_on", a.Reduced)
	for i, c := range a.Reduced {
		f.when(c.Known() && !slices.Contains(a.Channels, c), at("reduced_on", i), FaultApart, string(c))
	}
	f.channels("second_proof_when_enrolled_on", a.SecondOn)
	f.when(a.SecondStrength < 0 || a.SecondStrength > PhishingResistant, "second_proof_strength", FaultUnknown, fmt.Sprint(a.SecondStrength))
	f.when(a.SecondStrength > 0 && !a.Second && len(a.SecondOn) == 0, "second_proof_strength", FaultApart, "")
	f.when(a.ProofMaxAge < 0, "proof_max_age", FaultDate, fmt.Sprint(int64(a.ProofMaxAge)))
}

func (f *appFaults) channels(field string, list []Channel) {
	for i, c := range list {
		f.when(!c.Known(), at(field, i), FaultUnknown, string(c))
		f.when(slices.Index(list, c) < i, at(field, i), FaultTwice, string(c))
	}
}

// reducedPattern is a method, then a path of what every program reads alike; a
// last part "*" stands for all that lies below.
var reducedPattern = regexp.MustCompile(`^[A-Z]+ /([^*?#%;"<>\[\]^\x60{}|\\\s\x00-\x1f]*|([^*?#%;"<>\[\]^\x60{}|\\\s\x00-\x1f]*/)?\*)$`)

func (f *appFaults) reduced(patterns []string) {
	for i, p := range patterns {
		odd := func(part string) bool { return part == "." || part == ".." }
		wrong := !reducedPattern.MatchString(p) || strings.Contains(p, "//") || slices.ContainsFunc(strings.Split(p, "/"), odd)
		f.when(wrong, at("reduced_to", i), FaultPattern, p)
		f.when(slices.Index(patterns, p) < i, at("reduced_to", i), FaultTwice, p)
	}
}

// plain tells whether nothing stands in an address that two programs could read
// differently.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' || r > 0x7e })
}

// address wants an absolute http or https address.
func (f *appFaults) address(field, s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil || !plain(s) || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		f.when(true, field, FaultAddress, s)
		return nil
	}
	return u
}

// Loopback tells whether a host name or address is this machine's own, and no
// resolver can say otherwise (RFC 6761 §6.3, RFC 8252 §8.3).
func Loopback(host string) bool {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// redirect wants an address to which what is told of an agent may be sent: over
// https, or to this machine; whole, because it is compared whole (RFC 9700
// §2.1). A program on the agent's own device may have a scheme of its own, with
// a dot in it (RFC 8252 §7.1).
func (f *appFaults) redirect(field, s string, native bool) {
	u, err := url.Parse(s)
	f.when(strings.Contains(s, "*"), field, FaultWildcard, s)
	f.when(strings.Contains(s, "#"), field, FaultFragment, s) // RFC 6749 §3.1.2
	if err == nil && native && plain(s) && strings.Contains(u.Scheme, ".") {
		return
	}
	if u = f.address(field, s); u == nil {
		return
	}
	f.when(u.Scheme != "https" && !Loopback(u.Hostname()), field, FaultHTTPS, s)
	dots := func(part string) bool { return part == "." || part == ".." }
	f.when(slices.ContainsFunc(strings.Split(u.Path, "/"), dots), field, FaultAddress, s)
}

func (f *appFaults) redirects(field string, all []string, native bool) {
	for i, s := range all {
		f.redirect(at(field, i), s, native)
		f.when(slices.Index(all, s) < i, at(field, i), FaultTwice, s)
	}
}

func (f *appFaults) oidc(c *OIDCClient) {
	public := c.Auth == PublicClient
	f.when(len(c.Redirects) == 0 && !c.Device && !c.Introspects, "oidc.redirects", FaultNoAnswers, "")
	f.redirects("oidc.redirects", c.Redirects, public)
	f.redirects("oidc.logout_redirects", c.LogoutRedirects, public)
	f.when(!slices.Contains([]string{ClientSecretBasic, ClientSecretPost, PrivateKeyJWT, PublicClient}, c.Auth), "oidc.auth", FaultUnknown, c.Auth)
	f.when(public && c.Introspects, "oidc.introspects", FaultApart, "") // RFC 7662 §2.1: it proves who it is
	f.when(public && c.NoPKCE, "oidc.no_pkce", FaultApart, "")          // RFC 9700 §2.1.1
	f.secrets(c)
	f.keys(c)
	if c.BackChannel != "" {
		f.redirect("oidc.back_channel_logout", c.BackChannel, false)
	}
	if c.FrontChannel != "" {
		f.redirect("oidc.front_channel_logout", c.FrontChannel, false)
		same := func(r string) bool { return originOf(r) == originOf(c.FrontChannel) }
		f.when(!slices.ContainsFunc(c.Redirects, same), "oidc.front_channel_logout", FaultOrigin, c.FrontChannel) // Front-Channel Logout 1.0 §2
	}
	f.when(c.Sector != "" && !c.Pairwise, "oidc.sector", FaultApart, c.Sector)
}

func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

func (f *appFaults) secrets(c *OIDCClient) {
	takes := c.Auth == ClientSecretBasic || c.Auth == ClientSecretPost
	f.when(len(c.Secrets) > 0 && !takes, "oidc.secrets", FaultApart, "")
	for i, s := range c.Secrets {
		f.when(s.Hash == [32]byte{}, at("oidc.secrets", i), FaultRequired, "")
		f.when(!s.Expires.IsZero() && !s.Expires.After(s.Since), at("oidc.secrets", i), FaultDate, "")
		f.when(slices.ContainsFunc(c.Secrets[:i], func(o ClientSecret) bool { return o.Hash == s.Hash }), at("oidc.secrets", i), FaultTwice, "")
	}
}

func (f *appFaults) keys(c *OIDCClient) {
	signs := c.Auth == PrivateKeyJWT
	f.when(signs && c.JWKS == "" && c.JWKSURI == "", "oidc.jwks", FaultRequired, "")
	f.when(c.JWKS != "" && c.JWKSURI != "", "oidc.jwks_uri", FaultApart, c.JWKSURI)
	if c.JWKSURI != "" {
		f.redirect("oidc.jwks_uri", c.JWKSURI, false)
	}
	f.when(c.JWKS != "" && !publicKeys(c.JWKS), "oidc.jwks", FaultKeys, "")
}

// publicKeys tells whether a document is a set of public keys and holds nothing
// that only its owner may know (RFC 7517 §5, §9.2).
func publicKeys(document string) bool {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(document), &set); err != nil || len(set.Keys) == 0 {
		return false
	}
	for _, key := range set.Keys {
		kty, _ := key["kty"].(string)
		if kty != "EC" && kty != "RSA" && kty != "OKP" {
			return false
		}
		for _, private := range []string{"d", "p", "q", "k", "oth"} {
			if _, there := key[private]; there {
				return false
			}
		}
	}
	return true
}

func (f *appFaults) saml(s *SAMLService) {
	f.when(s.NameID != "" && !slices.Contains(NameIDs(), s.NameID), "saml.name_id", FaultUnknown, s.NameID)
	if s.Metadata == "" {
		f.when(true, "saml.metadata", FaultRequired, "")
		return
	}
	m, ok := readMetadata(s.Metadata)
	if !ok {
		f.when(true, "saml.metadata", FaultMetadata, "")
		return
	}
	for _, e := range slices.Concat(m.SP.Consumers, m.SP.Logouts) {
		f.redirect("saml.metadata", e.Location, false)
	}
	f.when(s.Encrypt && !m.encrypts(), "saml.encrypt", FaultKeys, "")
}

// metadata is what an identity provider needs of a service provider's metadata
// (SAML 2.0 Metadata §2.3.2, §2.4.4).
type metadata struct {
	EntityID string `xml:"entityID,attr"`
	SP       *struct {
		Consumers []endpoint `xml:"urn:oasis:names:tc:SAML:2.0:metadata AssertionConsumerService"`
		Logouts   []endpoint `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleLogoutService"`
		Keys      []struct {
			Use          string   `xml:"use,attr"`
			Certificates []string `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data>X509Certificate"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata SPSSODescriptor"`
}

type endpoint struct {
	Location string `xml:"Location,attr"`
}

// readMetadata reads one EntityDescriptor; with a document type it is refused,
// whatever it declares.
func readMetadata(document string) (m metadata, ok bool) {
	d := xml.NewDecoder(bytes.NewReader([]byte(document)))
	for {
		t, err := d.Token()
		if err != nil {
			return m, false
		}
		switch t := t.(type) {
		case xml.Directive:
			return m, false
		case xml.StartElement:
			if t.Name.Space != "urn:oasis:names:tc:SAML:2.0:metadata" || t.Name.Local != "EntityDescriptor" || d.DecodeElement(&m, &t) != nil {
				return m, false
			}
			for { // nothing but blanks and comments may follow
				t, err := d.Token()
				if errors.Is(err, io.EOF) {
					return m, m.EntityID != "" && m.SP != nil && len(m.SP.Consumers) > 0
				}
				if _, more := t.(xml.StartElement); more || err != nil {
					return m, false
				}
			}
		}
	}
}

func (m *metadata) encrypts() bool {
	for _, k := range m.SP.Keys {
		if k.Use != "" && k.Use != "encryption" {
			continue
		}
		for _, c := range k.Certificates {
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c), ""))
			if err != nil {
				continue
			}
			if _, err := x509.ParseCertificate(der); err == nil {
				return true
			}
		}
	}
	return false
}
