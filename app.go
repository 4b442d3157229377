package parvis

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// AppID names an application; it is also its host label.
type AppID string

// App is one application behind the door, as IT declared it.
type App struct {
	ID       AppID
	Name     Words
	Purpose  Words
	Group    Words  // the need under which the launcher shows it
	Owner    Words  // who grants it, with its article: "la direction des finances"
	Upstream string // URL of the application itself; http or https

	Channels       []Channel // the entrances through which it opens
	Reduced        []Channel // of those, where it opens in a reduced version
	ReducedCan     Words
	ReducedNot     Words
	Entitled       bool      // it needs an entitlement
	Second         bool      // it needs a second proof
	SecondStrength int       // … of at least this [ProofKind.Strength]; 0 means 1
	SecondOn       []Channel // where it asks for a second proof when one is enrolled
	OnDeviceVPN    bool      // on the VPN it needs a validated device
	OfficeHours    bool      // it opens during office hours only
	ProofMaxAge    Seconds   // how old the second proof may be; 0 for the whole session
	HRDocuments    bool      // pay slips and certificates: stays open in documents_only and while off
	HRService      bool      // an HR self-service: stays open in restricted_hr

	CrossOrigin bool // it takes posts from other sites and defends itself

	Headers bool // also send Remote-User and the like, not only Parvis-Assertion

	// PassHeaders names request headers that reach it besides the usual ones,
	// as its clients write them. No name by which the front door speaks can be
	// among them. Authorization always passes: whoever is behind the door may
	// show the application a token of its own.
	PassHeaders []string

	// ReducedTo lists what the reduced version is made of: "GET /", "GET
	// /search", "POST /requests/*". Where the application opens reduced, anything
	// else is refused before it (app_reduced_here). Empty: the application
	// reduces itself, as the assertion asks.
	ReducedTo []string

	Start      string   // where the launcher leads when the gateway does not serve it; empty: it has no tile
	External   bool     // outside the organisation: an agent is asked before anything is told of them
	Attributes []string // what is told of an agent besides the subject, by claim name; of OIDC, the scopes asked for are an upper bound
	Forward    bool     // another proxy serves it and asks at /auth/verify; no Upstream then

	OIDC *OIDCClient  // it signs agents in by OpenID Connect; nil if not
	CAS  *CASService  // … by CAS
	SAML *SAMLService // … by SAML 2.0
}

// Protocol is how an application that is not behind the gateway learns who is
// there.
type Protocol string

// The protocols.
const (
	OIDC Protocol = "oidc"
	CAS  Protocol = "cas"
	SAML Protocol = "saml"
)

// OIDCClient is an application as a client of the OpenID provider. Its client_id
// is the AppID.
type OIDCClient struct {
	Redirects       []string // compared whole (RFC 9700 §2.1); of a loopback address the port may differ
	LogoutRedirects []string
	Auth            string // client_secret_basic, client_secret_post (either takes both), private_key_jwt or none
	Secrets         []ClientSecret
	JWKS            string // the client's public keys, as a document; or
	JWKSURI         string // … where they are
	NoPKCE          bool   // too old for PKCE: named so, with a warning
	Offline         bool   // may ask for offline_access: its refresh tokens outlive the session
	BackChannel     string // where it is told that a session ended
	FrontChannel    string // … through the browser
	Pairwise        bool   // a subject of its own, which no other client can compare
	Sector          string // clients of one sector share pairwise subjects; empty: the AppID
	RS256           bool   // ID tokens signed with RS256; ES256 otherwise
	SignedUserInfo  bool   // UserInfo as a signed JWT
	RequirePAR      bool   // RFC 9126 §6
	RequireDPoP     bool   // RFC 9449 §5.2
	Device          bool   // may use the device authorization grant (RFC 8628)
	Introspects     bool   // a resource server: may introspect tokens of other clients
}

// ClientSecret is one secret of an application, kept as its SHA-256: it has 256
// random bits, so nothing slower is needed. Several serve at once while one
// takes over from another.
type ClientSecret struct {
	Hash    [32]byte
	Since   time.Time
	Expires time.Time // zero: until it is removed
}

// secretText is a [ClientSecret] as it is written: the hash as 64 signs.
type secretText struct {
	SHA256  string    `json:"sha256"`
	Since   time.Time `json:"since,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
}

// MarshalJSON writes the hash as 64 hexadecimal signs.
func (s ClientSecret) MarshalJSON() ([]byte, error) {
	return json.Marshal(secretText{hex.EncodeToString(s.Hash[:]), s.Since, s.Expires})
}

// UnmarshalJSON reads what MarshalJSON wrote. A hash of another length is an
// error: none is cut or filled up.
func (s *ClientSecret) UnmarshalJSON(text []byte) error {
	var t secretText
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return err
	}
	hash, err := hex.DecodeString(t.SHA256)
	if err != nil || len(hash) != len(s.Hash) {
		return errors.New("the SHA-256 of a secret has 64 hexadecimal signs")
	}
	*s = ClientSecret{Hash: [32]byte(hash), Since: t.Since, Expires: t.Expires}
	return nil
}

// CASService is an application as a CAS service (CAS protocol 3.0).
type CASService struct {
	Services []string // prefixes of its addresses, each ending in "/", or whole addresses
	Logout   bool     // it takes single-logout messages at the address that was signed in
}

// SAMLService is an application as a SAML 2.0 service provider.
type SAMLService struct {
	Metadata string // its metadata, as a document
	NameID   string // persistent (pairwise), transient, email or uid; empty: persistent
	Encrypt  bool   // assertions encrypted to the key in the metadata
}

// Seconds is a duration as a whole number of seconds, so that it reads in a file.
type Seconds int64
