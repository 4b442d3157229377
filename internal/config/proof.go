package config

import (
	"net/url"
	"strings"
	"time"

	"parvis"
)

// Verifier is the outside account, where it is, and of whom it is asked.
type Verifier struct {
	Label     Words      `yaml:"label" doc:"What the outside account is called."`
	Required  bool       `yaml:"required" doc:"A link is required before applications open: one more rule, for everybody, of mode first."`
	Rules     []Rule     `yaml:"rules" doc:"Of whom it is asked. The most demanding rule that concerns an agent wins; none concerns them: it is off."`
	Fallback  bool       `yaml:"fallback" doc:"When it does not answer, a second proof stands in for it in the mode each. It is recorded and never passes for the verifier's word."`
	Providers []Provider `yaml:"providers" doc:"The OpenID providers that may vouch."`
	Embedded  Embedded   `yaml:"embedded" doc:"A small OpenID provider of one's own, for want of another; it is then a provider named moncompte."`
}

// Rule gives a mode to some agents.
type Rule struct {
	Profile string `yaml:"profile" doc:"The agents of this profile; empty for everybody."`
	Channel string `yaml:"channel" doc:"At this entrance: internal, vpn, mobile; empty for all."`
	Mode    string `yaml:"mode" doc:"off, offered (one may tie an account), first (one must be tied), each (it vouches for every session)."`
}

// Provider is an OpenID provider that vouches.
type Provider struct {
	ID                string   `yaml:"id" doc:"Short name in events; do not change it."`
	Issuer            string   `yaml:"issuer" doc:"Its issuer, to the letter. Links are kept under it: another one makes them worthless."`
	ClientID          string   `yaml:"client_id" doc:"Our name there. The address to return to is PORTAL/verifier/return, for each portal."`
	ClientSecret      string   `yaml:"client_secret_file" doc:"File that holds our secret there; empty with private_key_jwt."`
	Auth              string   `yaml:"auth" doc:"client_secret_basic (also when empty), client_secret_post, or private_key_jwt (keys at PORTAL/verifier/jwks.json)."`
	Label             Words    `yaml:"label" doc:"What people call this account; empty: verifier.label."`
	Owner             Words    `yaml:"owner" doc:"Who keeps it, with its article: le service des habitants."`
	Delay             Words    `yaml:"delay" doc:"How long they usually take to help: une heure."`
	Host              string   `yaml:"host" doc:"The name people see in their browser over there; empty: the issuer's."`
	Recovery          string   `yaml:"recovery" doc:"Address where a forgotten password of it is renewed."`
	Create            string   `yaml:"create" doc:"Address where an account is opened."`
	ACR               []string `yaml:"acr" doc:"The levels to ask for (acr_values); empty: those of levels."`
	Levels            []string `yaml:"levels" doc:"The levels accepted, weakest first; empty: any."`
	MaxAge            string   `yaml:"max_age" doc:"How long ago people may have signed in over there: 1h. Empty: whenever."`
	Scopes            []string `yaml:"scopes" doc:"Scopes besides openid. Only the subject is kept: ask for no more than it needs."`
	UserInfoSigned    bool     `yaml:"userinfo_signed" doc:"UserInfo must be a signed JWT."`
	UserInfoEncrypted bool     `yaml:"userinfo_encrypted" doc:"UserInfo must be encrypted, with a key of PORTAL/verifier/jwks.json."`
	EmailVerified     bool     `yaml:"email_verified" doc:"The provider must say that it confirmed an address of the person."`
	Locked            []string `yaml:"locked_errors" doc:"Its error codes that mean a locked account, besides account_locked."`
}

// Embedded is the provider that Parvis brings.
type Embedded struct {
	Listen  string   `yaml:"listen" doc:"Address and port, 127.0.0.1:8090. Empty: it is not served. TLS ends at a reverse proxy in front."`
	Address string   `yaml:"address" doc:"Its origin, https://moncompte.example.org, on a host of its own: it is also its issuer."`
	Label   Words    `yaml:"label" doc:"What it is called; empty: Mon Compte."`
	Owner   Words    `yaml:"owner" doc:"Who keeps it, with its article."`
	Delay   Words    `yaml:"delay" doc:"How long they usually take to help."`
	Proxies []string `yaml:"proxies" doc:"Reverse proxies in front; only their X-Forwarded-For is believed, read from the right."`
}

// SecondProof is what concerns every second proof.
type SecondProof struct {
	EnrolOn []string `yaml:"enrol_on" doc:"Entrances where a first second proof may be enrolled with a password alone; elsewhere a temporary code of the IT contact is needed."`
	Shared  []string `yaml:"shared_stations" doc:"Entrances whose stations several people use: no browser is remembered there, whatever remember_days says."`
}

// Passkeys bound what passkeys are accepted, and where they belong.
type Passkeys struct {
	Site        string      `yaml:"site" doc:"The site (WebAuthn RP ID) passkeys belong to: a parent domain of every portal, so that one passkey works at all of them. Empty: each portal's own host. Passkeys die when it changes."`
	Attestation Attestation `yaml:"attestation" doc:"Which authenticators are accepted."`
}

// Attestation restricts the authenticators.
type Attestation struct {
	Required bool     `yaml:"required" doc:"The maker must vouch for the authenticator; passkeys kept by telephones and browsers then rarely pass."`
	Models   []string `yaml:"models" doc:"With required: the AAGUIDs of the models accepted; empty: any."`
	Roots    string   `yaml:"roots_file" doc:"The makers' root certificates, PEM: a passkey one of them vouches for counts as hardware. Empty: nobody vouches."`
}

// SMS is the way out for text messages.
type SMS struct {
	Providers []SMSProvider `yaml:"providers" doc:"Tried in this order; one that fails rests for a minute. None: no text messages."`
	PerHour   int           `yaml:"per_hour" doc:"No more than so many codes leave in an hour, for everybody together: what a fraud may cost at most."`
	Country   string        `yaml:"country" doc:"Country of numbers typed without one: FR, BE, CH, LU or DE."`
}

// SMSProvider is an operator of text messages, by SMPP or by HTTP.
type SMSProvider struct {
	Kind      string   `yaml:"kind" doc:"smpp or http."`
	Server    string   `yaml:"server" doc:"smpp: host:port."`
	TLS       string   `yaml:"tls" doc:"smpp: tls (also when empty), or none when the line itself is private."`
	System    string   `yaml:"system" doc:"smpp: our name there (system_id)."`
	Password  string   `yaml:"password_file" doc:"smpp: file that holds the password."`
	Type      string   `yaml:"type" doc:"smpp: system_type; most providers want none."`
	From      string   `yaml:"from" doc:"smpp: the sender that telephones show: +33…, a short number, or up to 11 letters."`
	UCS2      bool     `yaml:"ucs2" doc:"smpp: always write in UCS-2, for a provider whose own alphabet is not that of GSM."`
	URL       string   `yaml:"url" doc:"http: address; {to} the number, {digits} without its +, {text}, {id} ours for it, {secret} may stand here, in the headers (but {text}) and in the body."`
	Method    string   `yaml:"method" doc:"http: POST (also when empty), PUT or GET."`
	Headers   []Header `yaml:"headers" doc:"http: headers of the request."`
	Body      string   `yaml:"body" doc:"http: the body; values are escaped as the Content-Type asks."`
	Secret    string   `yaml:"secret_file" doc:"http: file that holds {secret}."`
	Success   []int    `yaml:"success" doc:"http: statuses of a message that was taken; empty: 200, 201, 202, 204."`
	Pointer   string   `yaml:"pointer" doc:"http: JSON pointer in the answer (/status) that must equal the next field; empty: the status is enough."`
	Equals    string   `yaml:"equals" doc:"http: what stands there when it was taken."`
	Receipt   string   `yaml:"receipt" doc:"http: JSON pointer to the provider's name for the message."`
	Refused   []int    `yaml:"refused" doc:"http: statuses of a message that will never be taken."`
	Authority string   `yaml:"authority" doc:"File with the certificates to trust; empty: the system's."`
	Timeout   string   `yaml:"timeout" doc:"How long an answer is waited for: 10s (also when empty)."`
}

// Header is one field of a request.
type Header struct {
	Name  string `yaml:"name" doc:"Name of the header."`
	Value string `yaml:"value" doc:"Its value."`
}

// Demands are second proofs, by entrance; an entrance adds to everywhere.
type Demands struct {
	Everywhere Demand `yaml:"everywhere" doc:"At every entrance."`
	Internal   Demand `yaml:"internal" doc:"On internal workstations."`
	VPN        Demand `yaml:"vpn" doc:"Through the VPN."`
	Mobile     Demand `yaml:"mobile" doc:"On the mobile portal."`
}

// Demand is a second proof that is asked for.
type Demand struct {
	Strength string `yaml:"strength" doc:"any (also a text message), no_sms, phishing_resistant (a passkey). Empty: none."`
	MaxAge   string `yaml:"max_age" doc:"How old it may be: 15m. Empty: the whole session."`
	From     string `yaml:"from" doc:"First day when it binds, YYYY-MM-DD; people are told before. Empty: now."`
}

// strengths are the words for [parvis.Demand.Strength].
var strengths = map[string]int{
	"": 0, "none": 0, "any": parvis.AnySecond, "no_sms": parvis.NoSMS, "phishing_resistant": parvis.PhishingResistant,
}

// byChannel lists the demands that say something.
func (d Demands) byChannel() map[parvis.Channel]Demand {
	all := map[parvis.Channel]Demand{"": d.Everywhere, parvis.Internal: d.Internal, parvis.VPN: d.VPN, parvis.Mobile: d.Mobile}
	for ch, one := range all {
		if one == (Demand{}) {
			delete(all, ch)
		}
	}
	return all
}

// second gives the demands as the rest of the house knows them.
func (d Demands) second(zone *time.Location) map[parvis.Channel]parvis.Demand {
	var all map[parvis.Channel]parvis.Demand
	for ch, one := range d.byChannel() {
		age, _ := time.ParseDuration(one.MaxAge) // checked by Parse, as the rest
		if all == nil {
			all = map[parvis.Channel]parvis.Demand{}
		}
		all[ch] = parvis.Demand{Strength: strengths[one.Strength], MaxAge: age, From: day(one.From, zone)}
	}
	return all
}

// day is the midnight at which a day begins; zero for none.
func day(s string, zone *time.Location) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, s, zone)
	if err != nil {
		return time.Time{}
	}
	return t
}

// VerifierRules gives the rules as the rest of the house knows them.
func (c *Config) VerifierRules() []parvis.VerifierRule {
	var all []parvis.VerifierRule
	for _, r := range c.Verifier.Rules {
		all = append(all, parvis.VerifierRule{
			Profile: parvis.ProfileID(r.Profile), Channel: parvis.Channel(r.Channel), Mode: parvis.VerifierMode(r.Mode),
		})
	}
	return all
}

// VerifierDemanded tells whether anybody must have an outside account.
func (c *Config) VerifierDemanded() bool {
	for _, r := range c.Verifier.Rules {
		if r.Mode == string(parvis.VerifierFirst) || r.Mode == string(parvis.VerifierEach) {
			return true
		}
	}
	return c.Verifier.Required
}

// Sites gives the site passkeys belong to, at each entrance that has a portal.
func (c *Config) Sites() map[parvis.Channel]string {
	all := map[parvis.Channel]string{}
	for ch, origin := range c.Origins() {
		all[ch] = c.Passkeys.Site
		if c.Passkeys.Site == "" {
			all[ch] = hostOf(origin)
		}
	}
	return all
}

func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// SharedStations gives the entrances whose stations several people use.
func (c *Config) SharedStations() map[parvis.Channel]bool {
	all := map[parvis.Channel]bool{}
	for _, ch := range c.Second.Shared {
		all[parvis.Channel(ch)] = true
	}
	return all
}

// EnrolOn gives the entrances where a first second proof may be enrolled with
// a password alone.
func (c *Config) EnrolOn() map[parvis.Channel]bool {
	all := map[parvis.Channel]bool{}
	for _, ch := range c.Second.EnrolOn {
		all[parvis.Channel(ch)] = true
	}
	return all
}
