package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"parvis"
)

// App is an application.
type App struct {
	ID          string   `yaml:"id" doc:"Host label: paie answers at paie.agents.example.org. It is its client_id too."`
	Name        Words    `yaml:"name" doc:"Name to show."`
	Purpose     Words    `yaml:"purpose" doc:"What it is for, in one sentence."`
	Group       Words    `yaml:"group" doc:"The need under which the launcher shows it."`
	Owner       Words    `yaml:"owner" doc:"Who grants it, with its article: la direction des finances."`
	Upstream    string   `yaml:"upstream" doc:"Where it really is, when the gateway serves it: http://127.0.0.1:9001"`
	Forward     bool     `yaml:"forward" doc:"Another proxy serves it and asks at /auth/verify; no upstream then."`
	Start       string   `yaml:"start" doc:"Where the launcher leads when the gateway does not serve it. Empty: it has no tile."`
	External    bool     `yaml:"external" doc:"Outside the organisation: an agent is asked before anything is told of them."`
	Attributes  []string `yaml:"attributes" doc:"What it is told of an agent besides the subject: uid, given_name, usual_name, family_name, name, email, siret, siren, organizational_unit, belonging_population, phone_number, groups."`
	Channels    []string `yaml:"channels" doc:"Entrances through which it opens: internal, vpn, mobile."`
	Reduced     []string `yaml:"reduced_on" doc:"Of those, where it opens in a reduced version."`
	ReducedTo   []string `yaml:"reduced_to" doc:"What the reduced version is made of: GET /, GET /search, POST /requests/*. Anything else is refused there. Empty: the application reduces itself, as the assertion asks."`
	ReducedCan  Words    `yaml:"reduced_can" doc:"What the reduced version does."`
	ReducedNot  Words    `yaml:"reduced_cannot" doc:"What it does not."`
	Entitled    bool     `yaml:"entitlement" doc:"Only for agents who were given it."`
	Second      bool     `yaml:"second_proof" doc:"It asks for a second proof."`
	Strength    string   `yaml:"second_proof_strength" doc:"The least second proof it asks for: any (also a text message), no_sms, phishing_resistant (a passkey). Empty: any."`
	SecondOn    []string `yaml:"second_proof_when_enrolled_on" doc:"Entrances where it asks for a second proof from agents who have one."`
	DeviceVPN   bool     `yaml:"validated_device_on_vpn" doc:"On the VPN it asks for a device validated by IT."`
	OfficeHours bool     `yaml:"office_hours" doc:"It opens during office hours only."`
	ProofMaxAge string   `yaml:"proof_max_age" doc:"How old the second proof may be: 15m. Empty: the whole session."`
	HRDocuments bool     `yaml:"hr_documents" doc:"Pay slips and certificates: open until the documents period ends."`
	HRService   bool     `yaml:"hr_service" doc:"An HR self-service: open during long absences."`
	PassHeaders []string `yaml:"pass_headers" doc:"Request headers it needs besides the usual ones. Identity and forwarding headers never pass."`
	CrossOrigin bool     `yaml:"cross_origin_posts" doc:"It takes posts from other sites and defends itself; otherwise they are refused before it."`
	Headers     bool     `yaml:"identity_headers" doc:"Also send Remote-User, Remote-Name, Remote-Email and Remote-Groups."`
	OIDC        OIDC     `yaml:"oidc" doc:"It signs agents in by OpenID Connect."`
	CAS         CAS      `yaml:"cas" doc:"It signs agents in by CAS."`
	SAML        SAML     `yaml:"saml" doc:"It signs agents in by SAML 2.0."`
}

// OIDC is an application as a client of the OpenID provider.
type OIDC struct {
	Redirects       []string `yaml:"redirects" doc:"Where answers go, whole: https://agenda.example.org/callback. Compared exactly; of a loopback address the port may differ."`
	LogoutRedirects []string `yaml:"logout_redirects" doc:"Where it may lead after signing out."`
	Auth            string   `yaml:"auth" doc:"How it proves itself: client_secret_basic (the usual), client_secret_post, private_key_jwt, or none for an application without a server."`
	SecretFiles     []string `yaml:"secret_files" doc:"Files that hold one secret each, at least 32 random signs; all serve. Not in applications/*.yaml, which live in a repository."`
	Secrets         []Secret `yaml:"secrets" doc:"Secrets by their SHA-256; 'parvis app secret' makes them."`
	JWKS            string   `yaml:"jwks" doc:"Its public keys, a JWK Set as text, for private_key_jwt; or"`
	JWKSURI         string   `yaml:"jwks_uri" doc:"where they are."`
	NoPKCE          bool     `yaml:"no_pkce" doc:"It is too old for PKCE. A code that is stolen from it can be used: ask its maker."`
	Offline         bool     `yaml:"offline_access" doc:"It may keep working for an agent after their session, up to 90 days."`
	BackChannel     string   `yaml:"back_channel_logout" doc:"Where it is told, server to server, that a session ended."`
	FrontChannel    string   `yaml:"front_channel_logout" doc:"Where it is told through the browser, at the origin of one of its redirects."`
	Pairwise        bool     `yaml:"pairwise" doc:"It knows agents by names that no other application can compare; otherwise by agent number."`
	Sector          string   `yaml:"sector" doc:"Applications of one sector share those names. Empty: its own."`
	RS256           bool     `yaml:"rs256" doc:"It cannot check ES256: its ID tokens are signed with RS256."`
	SignedUserInfo  bool     `yaml:"signed_userinfo" doc:"UserInfo as a signed JWT."`
	RequirePAR      bool     `yaml:"require_par" doc:"It must push its requests first (RFC 9126)."`
	RequireDPoP     bool     `yaml:"require_dpop" doc:"Its tokens are bound to its key (RFC 9449)."`
	Device          bool     `yaml:"device" doc:"It may use the device grant (RFC 8628), for programs without a browser."`
	Introspects     bool     `yaml:"introspects" doc:"It is a service that others call, and may ask about their tokens (RFC 7662)."`
}

// Secret is a secret by its hash.
type Secret struct {
	SHA256  string `yaml:"sha256" doc:"SHA-256 of the secret, 64 hexadecimal digits."`
	Since   string `yaml:"since" doc:"From when it serves, 2026-11-24T10:00:00Z."`
	Expires string `yaml:"expires" doc:"Until when. Empty: until it is removed."`
}

// CAS is an application as a CAS service.
type CAS struct {
	Services []string `yaml:"services" doc:"Its addresses: prefixes that end in /, or whole."`
	Logout   bool     `yaml:"logout" doc:"It takes single-logout messages."`
}

// SAML is an application as a SAML service provider.
type SAML struct {
	MetadataFile string `yaml:"metadata_file" doc:"File of its metadata; or"`
	Metadata     string `yaml:"metadata" doc:"its metadata, as text."`
	NameID       string `yaml:"name_id" doc:"What names agents to it: persistent (the usual), transient, email or uid."`
	Encrypt      bool   `yaml:"encrypt" doc:"Assertions are encrypted to the key in its metadata."`
}

const (
	shortestSecret = 32      // signs of a secret in a file: it is hashed once, so it cannot be a word
	largestFile    = 1 << 20 // bytes of a file that an application names
)

// words gives the word of a strength.
func strengthWord(n int) string {
	for word, s := range strengths {
		if s == n && n > 0 {
			return word
		}
	}
	return ""
}

// Apps gives the applications as the rest of the house knows them.
func (c *Config) Apps() []parvis.App {
	all := make([]parvis.App, len(c.Applications))
	for i := range c.Applications {
		all[i], _ = c.Applications[i].app("") // checked by Parse
	}
	return all
}

// named is something wrong with what an application names: a file, a moment, a hash.
type named struct{ field, message string }

// app gives an application as the rest of the house knows it, and what could
// not be read of what it names. Files that are not absolute lie in dir.
func (a *App) app(dir string) (parvis.App, []named) {
	var wrong []named
	age, _ := time.ParseDuration(a.ProofMaxAge) // empty is no limit; anything else is checked beside
	app := parvis.App{
		ID: parvis.AppID(a.ID), Name: parvis.Words(a.Name), Purpose: parvis.Words(a.Purpose), Group: parvis.Words(a.Group),
		Owner: parvis.Words(a.Owner), Upstream: a.Upstream, Forward: a.Forward, Start: a.Start, External: a.External, Attributes: some(a.Attributes),
		Channels: channels(a.Channels), Reduced: channels(a.Reduced), ReducedTo: some(a.ReducedTo),
		ReducedCan: parvis.Words(a.ReducedCan), ReducedNot: parvis.Words(a.ReducedNot),
		Entitled: a.Entitled, Second: a.Second, SecondStrength: strengths[a.Strength], SecondOn: channels(a.SecondOn),
		OnDeviceVPN: a.DeviceVPN, OfficeHours: a.OfficeHours, ProofMaxAge: parvis.Seconds(age.Seconds()),
		HRDocuments: a.HRDocuments, HRService: a.HRService, PassHeaders: some(a.PassHeaders), CrossOrigin: a.CrossOrigin, Headers: a.Headers,
	}
	if !blank(reflect.ValueOf(a.OIDC)) {
		app.OIDC, wrong = a.OIDC.client(dir)
	}
	if !blank(reflect.ValueOf(a.CAS)) {
		app.CAS = &parvis.CASService{Services: some(a.CAS.Services), Logout: a.CAS.Logout}
	}
	if !blank(reflect.ValueOf(a.SAML)) {
		app.SAML = &parvis.SAMLService{Metadata: a.SAML.Metadata, NameID: a.SAML.NameID, Encrypt: a.SAML.Encrypt}
		switch {
		case a.SAML.MetadataFile != "" && a.SAML.Metadata != "":
			wrong = append(wrong, named{"saml.metadata_file", "metadata or metadata_file is expected, not both"})
		case a.SAML.MetadataFile != "":
			text, err := readNamed(dir, a.SAML.MetadataFile)
			if err != nil {
				wrong = append(wrong, named{"saml.metadata_file", err.Error()})
			}
			app.SAML.Metadata = text
		}
	}
	return app, wrong
}

func (o *OIDC) client(dir string) (*parvis.OIDCClient, []named) {
	var wrong []named
	c := &parvis.OIDCClient{
		Redirects: some(o.Redirects), LogoutRedirects: some(o.LogoutRedirects), Auth: o.Auth, JWKS: o.JWKS, JWKSURI: o.JWKSURI, NoPKCE: o.NoPKCE,
		Offline: o.Offline, BackChannel: o.BackChannel, FrontChannel: o.FrontChannel, Pairwise: o.Pairwise, Sector: o.Sector, RS256: o.RS256,
		SignedUserInfo: o.SignedUserInfo, RequirePAR: o.RequirePAR, RequireDPoP: o.RequireDPoP, Device: o.Device, Introspects: o.Introspects,
	}
	if c.Auth == "" {
		c.Auth = parvis.ClientSecretBasic
	}
	for i, s := range o.Secrets {
		field := fmt.Sprintf("oidc.secrets[%d]", i)
		var one parvis.ClientSecret
		if b, err := hex.DecodeString(s.SHA256); err != nil || len(b) != len(one.Hash) {
			wrong = append(wrong, named{field + ".sha256", "64 hexadecimal digits are expected"})
		} else {
			copy(one.Hash[:], b)
		}
		for name, value := range map[string]string{"since": s.Since, "expires": s.Expires} {
			t, err := time.Parse(time.RFC3339, value)
			switch {
			case value == "":
			case err != nil:
				wrong = append(wrong, named{field + "." + name, "a moment such as 2026-11-24T10:00:00Z is expected"})
			case name == "since":
				one.Since = t.UTC()
			default:
				one.Expires = t.UTC()
			}
		}
		c.Secrets = append(c.Secrets, one)
	}
	for i, name := range o.SecretFiles {
		text, err := readNamed(dir, name)
		secret := strings.TrimSpace(text)
		if err == nil && len(secret) < shortestSecret {
			err = fmt.Errorf("at least %d random signs are expected in %s", shortestSecret, name)
		}
		if err != nil {
			wrong = append(wrong, named{fmt.Sprintf("oidc.secret_files[%d]", i), err.Error()})
			continue
		}
		c.Secrets = append(c.Secrets, parvis.ClientSecret{Hash: sha256.Sum256([]byte(secret))})
	}
	return c, wrong
}

// readNamed reads a file that an application names.
func readNamed(dir, name string) (string, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no such file: %s", name)
	case err != nil || !st.Mode().IsRegular() || st.Size() > largestFile:
		return "", fmt.Errorf("not a file that can be read: %s", name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("not a file that can be read: %s", name)
	}
	return string(b), nil
}

// AppOf gives an application as a file says it: reading it gives the
// application again, whole.
func AppOf(a parvis.App) App {
	f := App{
		ID: string(a.ID), Name: Words(a.Name), Purpose: Words(a.Purpose), Group: Words(a.Group), Owner: Words(a.Owner),
		Upstream: a.Upstream, Forward: a.Forward, Start: a.Start, External: a.External, Attributes: some(a.Attributes),
		Channels: channelNames(a.Channels), Reduced: channelNames(a.Reduced), ReducedTo: some(a.ReducedTo),
		ReducedCan: Words(a.ReducedCan), ReducedNot: Words(a.ReducedNot),
		Entitled: a.Entitled, Second: a.Second, Strength: strengthWord(a.SecondStrength), SecondOn: channelNames(a.SecondOn),
		DeviceVPN: a.OnDeviceVPN, OfficeHours: a.OfficeHours, ProofMaxAge: span(a.ProofMaxAge),
		HRDocuments: a.HRDocuments, HRService: a.HRService, PassHeaders: some(a.PassHeaders), CrossOrigin: a.CrossOrigin, Headers: a.Headers,
	}
	if c := a.OIDC; c != nil {
		f.OIDC = OIDC{
			Redirects: some(c.Redirects), LogoutRedirects: some(c.LogoutRedirects), Auth: c.Auth, JWKS: c.JWKS, JWKSURI: c.JWKSURI, NoPKCE: c.NoPKCE,
			Offline: c.Offline, BackChannel: c.BackChannel, FrontChannel: c.FrontChannel, Pairwise: c.Pairwise, Sector: c.Sector, RS256: c.RS256,
			SignedUserInfo: c.SignedUserInfo, RequirePAR: c.RequirePAR, RequireDPoP: c.RequireDPoP, Device: c.Device, Introspects: c.Introspects,
		}
		for _, s := range c.Secrets {
			f.OIDC.Secrets = append(f.OIDC.Secrets, Secret{SHA256: hex.EncodeToString(s.Hash[:]), Since: moment(s.Since), Expires: moment(s.Expires)})
		}
	}
	if c := a.CAS; c != nil {
		f.CAS = CAS{Services: some(c.Services), Logout: c.Logout}
	}
	if s := a.SAML; s != nil {
		f.SAML = SAML{Metadata: s.Metadata, NameID: s.NameID, Encrypt: s.Encrypt}
	}
	return f
}

// span writes seconds as a duration that reads well.
func span(s parvis.Seconds) string {
	switch {
	case s == 0:
		return ""
	case s%3600 == 0:
		return fmt.Sprintf("%dh", s/3600)
	case s%60 == 0:
		return fmt.Sprintf("%dm", s/60)
	}
	return fmt.Sprintf("%ds", s)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// some gives a list of its own, nil when there is nothing on it.
func some(list []string) []string { return append([]string(nil), list...) }

func channelNames(list []parvis.Channel) []string {
	var all []string
	for _, c := range list {
		all = append(all, string(c))
	}
	return all
}

// blank tells whether a value says nothing.
func blank(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if !blank(v.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		return v.Len() == 0
	}
	return v.IsZero()
}
