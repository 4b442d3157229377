package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"parvis"
)

const httpScheme = "http"

// demands checks the second proofs of one profile.
func (k *checker) demands(path string, p Profile) {
	for ch, d := range p.Second.byChannel() {
		at := path + ".second." + string(ch)
		if ch == "" {
			at = path + ".second.everywhere"
		}
		k.strength(at+".strength", d.Strength)
		k.duration(at+".max_age", d.MaxAge)
		k.date(at+".from", d.From)
		if strengths[d.Strength] == 0 && (d.MaxAge != "" || d.From != "") {
			k.fault(at+".strength", "any, no_sms or phishing_resistant is expected: otherwise nothing is asked")
		}
		if p.ID == string(parvis.Standard) && d.Strength == "phishing_resistant" && d.From == "" {
			k.warn(at, "everybody must hold a passkey from now on; a from date lets them prepare (`parvis policy impact` counts them)")
		}
	}
	k.date(path+".sms_until", p.SMSUntil)
	switch {
	case p.SMSUntil == "":
	case !p.Sensitive:
		k.fault(path+".sms_until", "it is the exception of a sensitive profile: others say what they ask under second")
	default:
		k.warn(path+".sms_until", "a text message can be taken away from its telephone (ANSSI R8): keep the exception short")
	}
	switch d := p.RememberDays; {
	case d < 0 || d > 30:
		k.fault(path+".remember_days", "0 to 30 days are expected")
	case d > 0 && p.Sensitive:
		k.warn(path+".remember_days", "whoever takes a remembered device needs only the password of a sensitive profile")
	}
}

func (k *checker) strength(path, value string) {
	if _, ok := strengths[value]; !ok {
		k.fault(path, "any, no_sms or phishing_resistant is expected")
	}
}

func (k *checker) date(path, value string) {
	if value == "" {
		return
	}
	if _, err := time.Parse(time.DateOnly, value); err != nil {
		k.fault(path, "a day is expected as YYYY-MM-DD")
	}
}

// verifier checks the outside accounts.
func (k *checker) verifier() {
	v := k.Verifier
	declared := map[string]bool{"": true}
	for _, p := range k.Profiles {
		declared[p.ID] = true
	}
	for i, r := range v.Rules {
		path := fmt.Sprintf("verifier.rules[%d]", i)
		if !declared[r.Profile] {
			k.fault(path+".profile", "there is no profile %s", r.Profile)
		}
		if r.Channel != "" && !parvis.Channel(r.Channel).Known() {
			k.fault(path+".channel", "internal, vpn or mobile is expected")
		}
		if !slices.Contains([]string{"off", "offered", "first", "each"}, r.Mode) {
			k.fault(path+".mode", "off, offered, first or each is expected")
		}
	}
	if len(v.Providers) == 0 && v.Embedded.Listen == "" {
		switch {
		case k.VerifierDemanded() && len(v.Rules) > 0:
			k.fault("verifier.rules", "an outside account is asked for and there is none: neither providers nor embedded")
		case v.Required:
			k.warn("verifier.required", "nobody can tie an outside account: there are neither providers nor embedded")
		}
	}
	ids, issuers := map[string]bool{}, map[string]bool{}
	if v.Embedded.Listen != "" {
		ids[embeddedID], issuers[v.Embedded.Address] = true, true
		k.embedded()
	} else if v.Embedded.Address != "" {
		k.fault("verifier.embedded.listen", "an address and a port are expected: it is not served")
	}
	for i, p := range v.Providers {
		path := fmt.Sprintf("verifier.providers[%d]", i)
		if !label.MatchString(p.ID) || ids[p.ID] {
			k.fault(path+".id", "a name of its own is expected: small letters, digits, hyphens; moncompte is the embedded one")
		}
		if issuers[p.Issuer] {
			k.fault(path+".issuer", "%s is declared twice", p.Issuer)
		}
		ids[p.ID], issuers[p.Issuer] = true, true
		k.provider(path, p)
	}
}

// embeddedID names the embedded provider among the others.
const embeddedID = "moncompte"

func (k *checker) embedded() {
	const path = "verifier.embedded"
	e := k.Verifier.Embedded
	k.hostPort(path+".listen", e.Listen)
	u, err := url.Parse(e.Address)
	switch {
	case err != nil || u.Host == "" || u.Scheme+"://"+u.Host != e.Address || u.Scheme != "https" && u.Scheme != httpScheme:
		k.fault(path+".address", "an origin such as https://moncompte.example.org is expected, without a path")
		return
	case u.Scheme == httpScheme && !here(u.Hostname()):
		k.fault(path+".address", "people's passwords go through here: https is expected")
	}
	for ch, origin := range k.Origins() {
		if portal := hostOf(origin); portal != "" && (u.Hostname() == portal || strings.HasSuffix(u.Hostname(), "."+portal)) {
			k.fault(path+".address", "a host of its own is expected: this one belongs to portals.%s", ch)
		}
	}
	for i, n := range e.Proxies {
		k.prefix(fmt.Sprintf("%s.proxies[%d]", path, i), n)
	}
}

func (k *checker) provider(path string, p Provider) {
	k.secureURL(path+".issuer", p.Issuer, true)
	k.secureURL(path+".recovery", p.Recovery, false)
	k.secureURL(path+".create", p.Create, false)
	if p.ClientID == "" {
		k.fault(path+".client_id", "our name at the provider is expected")
	}
	switch {
	case !slices.Contains([]string{"", "client_secret_basic", "client_secret_post", "private_key_jwt"}, p.Auth):
		k.fault(path+".auth", "client_secret_basic, client_secret_post or private_key_jwt is expected")
	case p.Auth != "private_key_jwt" && p.ClientSecret == "":
		k.fault(path+".client_secret_file", "a file that holds our secret there is expected")
	}
	k.file(path+".client_secret_file", p.ClientSecret)
	k.duration(path+".max_age", p.MaxAge)
	if (p.Label.FR == "") != (p.Label.EN == "") {
		k.fault(path+".label", "a name in both languages is expected")
	}
	if slices.Contains(p.Scopes, "profile") || slices.Contains(p.Scopes, "email") && !p.EmailVerified {
		k.warn(path+".scopes", "only the subject is kept: what else the provider would tell need not travel")
	}
}

// secureURL checks an address that people or secrets go to.
func (k *checker) secureURL(path, value string, required bool) {
	if value == "" && !required {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != httpScheme || !here(u.Hostname())) {
		k.fault(path, "an address such as https://compte.example.org is expected")
	}
}

// here tells a name of this very machine (RFC 6761 §6.3).
func here(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && a.IsLoopback()
}

var aaguid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (k *checker) passkeys() {
	k.channels("second_proof.enrol_on", k.Second.EnrolOn)
	k.channels("second_proof.shared_stations", k.Second.Shared)
	if len(k.Second.EnrolOn) == 0 {
		k.warn("second_proof.enrol_on", "every first second proof then needs a code of the IT contact")
	}
	if slices.Contains(k.Second.EnrolOn, string(parvis.Mobile)) {
		k.warn("second_proof.enrol_on", "from outside, whoever found a password could enrol a second proof of their own")
	}
	for i, m := range k.Passkeys.Attestation.Models {
		if !aaguid.MatchString(m) {
			k.fault(fmt.Sprintf("passkeys.attestation.models[%d]", i), "an AAGUID such as ee882879-721c-4913-9775-3dfcce97072a is expected")
		}
	}
	a := k.Passkeys.Attestation
	k.file("passkeys.attestation.roots_file", a.Roots)
	if len(a.Models) > 0 && !a.Required {
		k.fault("passkeys.attestation.models", "without required, a model is only what an authenticator says of itself")
	}
	if a.Required && a.Roots == "" {
		k.fault("passkeys.attestation.required", "without roots_file nobody can vouch: no passkey would be accepted")
	}
	site := k.Passkeys.Site
	if site == "" {
		return
	}
	for ch, origin := range k.Origins() {
		// WebAuthn §5.1.3: the site is the host of the page, or a parent of it.
		if host := hostOf(origin); host != site && !strings.HasSuffix(host, "."+site) {
			k.fault("passkeys.site", "portals.%s (%s) is not under %s: no passkey could be shown there", ch, host, site)
		}
	}
	if !strings.Contains(site, ".") && site != "localhost" || strings.ToLower(site) != site {
		k.fault("passkeys.site", "a domain of yours is expected, such as example.org")
	}
}

// sms checks how text messages leave.
func (k *checker) sms() {
	s := k.SMS
	if s.PerHour < 1 || s.PerHour > 100000 {
		k.fault("sms.per_hour", "1 to 100000 codes an hour are expected")
	}
	if !slices.Contains([]string{"FR", "BE", "CH", "LU", "DE"}, s.Country) {
		k.fault("sms.country", "FR, BE, CH, LU or DE is expected; numbers of others are typed with their +")
	}
	for i, p := range s.Providers {
		path := fmt.Sprintf("sms.providers[%d]", i)
		k.file(path+".authority", p.Authority)
		k.duration(path+".timeout", p.Timeout)
		switch p.Kind {
		case "smpp":
			k.smpp(path, p)
		case httpScheme:
			k.gateway(path, p)
		default:
			k.fault(path+".kind", "smpp or http is expected")
		}
	}
}

func (k *checker) smpp(path string, p SMSProvider) {
	k.hostPort(path+".server", p.Server)
	k.file(path+".password_file", p.Password)
	if p.System == "" {
		k.fault(path+".system", "our name at the provider is expected")
	}
	switch p.TLS {
	case "", "tls":
	case "none":
		if host, _, err := net.SplitHostPort(p.Server); err == nil && !here(host) {
			k.warn(path+".tls", "codes leave in clear: the line to the provider itself must be private")
		}
	default:
		k.fault(path+".tls", "tls or none is expected")
	}
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

func (k *checker) gateway(path string, p SMSProvider) {
	k.file(path+".secret_file", p.Secret)
	// The values stand in the path and the query: the host is as it is written.
	before, _, _ := strings.Cut(p.URL, "?")
	if u, err := url.Parse(placeholder.ReplaceAllString(before, "x")); err != nil || u.Host == "" || u.User != nil ||
		u.Scheme != "https" && (u.Scheme != httpScheme || !here(u.Hostname())) {
		k.fault(path+".url", "an address such as https://sms.example.org/send is expected")
	}
	if !slices.Contains([]string{"", "POST", "PUT", "GET"}, p.Method) {
		k.fault(path+".method", "POST, PUT or GET is expected")
	}
	all := p.URL + p.Body
	for i, h := range p.Headers {
		at := fmt.Sprintf("%s.headers[%d]", path, i)
		if h.Name == "" {
			k.fault(at+".name", "the name of a header is expected")
		}
		if strings.Contains(h.Value, "{text}") {
			k.fault(at+".value", "the text cannot stand in a header")
		}
		all += h.Value
	}
	for _, found := range placeholder.FindAllString(all, -1) {
		if !slices.Contains([]string{"{to}", "{digits}", "{text}", "{id}", "{secret}"}, found) {
			k.fault(path, "%s is not a value: {to}, {digits}, {text}, {id} or {secret}", found)
		}
	}
	if !strings.Contains(all, "{text}") || !strings.Contains(all, "{to}") && !strings.Contains(all, "{digits}") {
		k.fault(path, "the number, {to} or {digits}, and the {text} must stand somewhere")
	}
	if strings.Contains(all, "{secret}") && p.Secret == "" {
		k.fault(path+".secret_file", "{secret} stands somewhere and there is none")
	}
	if (p.Pointer == "") != (p.Equals == "") {
		k.fault(path+".pointer", "pointer and equals go together")
	}
	for name, pointer := range map[string]string{"pointer": p.Pointer, "receipt": p.Receipt} {
		if pointer != "" && pointer[0] != '/' {
			k.fault(path+"."+name, "a JSON pointer such as /status is expected")
		}
	}
}
