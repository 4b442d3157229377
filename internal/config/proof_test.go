package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

const base = "portals:\n  internal: https://agents.example.org\n  mobile: https://nomade.example.org\nentrances:\n  - channel: internal\n    listen: 127.0.0.1:1\n"

// TestProofsThatCannotBeUsed adds one mistake at a time below base, whose last
// line is the sixth.
func TestProofsThatCannotBeUsed(t *testing.T) {
	const provider = "verifier:\n  providers:\n    - id: ville\n      issuer: https://id.example.org\n      client_id: parvis\n      client_secret_file: /dev/null\n"
	tests := []struct{ name, add, want string }{
		{"rule without a provider", "verifier:\n  rules:\n    - mode: first\n", "line 8: verifier.rules: an outside account is asked for and there is none: neither providers nor embedded"},
		{"required without a provider", "verifier:\n  required: true\n", "line 8: verifier.required: warning: nobody can tie an outside account: there are neither providers nor embedded"},
		{"mode", provider + "  rules:\n    - mode: allways\n", "line 14: verifier.rules[0].mode: off, offered, first or each is expected"},
		{"profile of a rule", provider + "  rules:\n    - mode: each\n      profile: moon\n", "line 15: verifier.rules[0].profile: there is no profile moon"},
		{"entrance of a rule", provider + "  rules:\n    - mode: each\n      channel: moon\n", "line 15: verifier.rules[0].channel: internal, vpn or mobile is expected"},
		{"issuer in clear", "verifier:\n  providers:\n    - id: ville\n      issuer: http://id.example.org\n", "line 10: verifier.providers[0].issuer: an address such as https://compte.example.org is expected"},
		{"client secret", "verifier:\n  providers:\n    - id: ville\n      issuer: https://id.example.org\n      client_id: parvis\n", "line 9: verifier.providers[0].client_secret_file: a file that holds our secret there is expected"},
		{"issuer twice", provider + "    - id: autre\n      issuer: https://id.example.org\n", "line 14: verifier.providers[1].issuer: https://id.example.org is declared twice"},
		{"embedded at the portal", "verifier:\n  embedded:\n    listen: 127.0.0.1:2\n    address: https://compte.agents.example.org\n", "line 10: verifier.embedded.address: a host of its own is expected: this one belongs to portals.internal"},
		{"embedded in clear", "verifier:\n  embedded:\n    listen: 127.0.0.1:2\n    address: http://compte.example.org\n", "line 10: verifier.embedded.address: people's passwords go through here: https is expected"},
		{"embedded with a path", "verifier:\n  embedded:\n    listen: 127.0.0.1:2\n    address: https://compte.example.org/\n", "line 10: verifier.embedded.address: an origin such as https://moncompte.example.org is expected, without a path"},
		{"site elsewhere", "passkeys:\n  site: agents.example.org\n", "line 8: passkeys.site: portals.mobile (nomade.example.org) is not under agents.example.org: no passkey could be shown there"},
		{"site of everybody", "passkeys:\n  site: org\n", "line 8: passkeys.site: a domain of yours is expected, such as example.org"},
		{"model", "passkeys:\n  attestation:\n    models: [yubikey]\n", "line 9: passkeys.attestation.models[0]: an AAGUID such as ee882879-721c-4913-9775-3dfcce97072a is expected"},
		{"makers", "passkeys:\n  attestation:\n    required: true\n", "line 9: passkeys.attestation.required: without roots_file nobody can vouch: no passkey would be accepted"},
		{"enrolment from outside", "second_proof:\n  enrol_on: [internal, mobile]\n", "line 8: second_proof.enrol_on: warning: from outside, whoever found a password could enrol a second proof of their own"},
		{"strength", "profiles:\n  - id: standard\n    second: {mobile: {strength: strong}}\n", "line 9: profiles[0].second.mobile.strength: any, no_sms or phishing_resistant is expected"},
		{"nothing asked", "profiles:\n  - id: standard\n    second: {everywhere: {max_age: 15m}}\n", "line 9: profiles[0].second.everywhere.strength: any, no_sms or phishing_resistant is expected: otherwise nothing is asked"},
		{"first day", "profiles:\n  - id: standard\n    second: {vpn: {strength: any, from: soon}}\n", "line 9: profiles[0].second.vpn.from: a day is expected as YYYY-MM-DD"},
		{"exception of nobody", "profiles:\n  - id: standard\n    sms_until: 2027-01-31\n", "line 9: profiles[0].sms_until: it is the exception of a sensitive profile: others say what they ask under second"},
		{"remembered for ever", "profiles:\n  - id: standard\n    remember_days: 365\n", "line 9: profiles[0].remember_days: 0 to 30 days are expected"},
		{"sms kind", "sms:\n  providers:\n    - kind: pigeon\n", "line 9: sms.providers[0].kind: smpp or http is expected"},
		{"sms server", "sms:\n  providers:\n    - {kind: smpp, server: smsc, system: ville}\n", "line 9: sms.providers[0].server: an address and a port are expected, such as 127.0.0.1:8080"},
		{"sms in clear", "sms:\n  providers:\n    - {kind: smpp, server: \"smsc.example.org:2775\", system: ville, tls: none}\n", "line 9: sms.providers[0].tls: warning: codes leave in clear: the line to the provider itself must be private"},
		{"gateway in clear", "sms:\n  providers:\n    - {kind: http, url: \"http://sms.example.org/?to={to}&text={text}\"}\n", "line 9: sms.providers[0].url: an address such as https://sms.example.org/send is expected"},
		{"gateway without text", "sms:\n  providers:\n    - {kind: http, url: \"https://sms.example.org/?to={to}\"}\n", "line 9: sms.providers[0]: the number, {to} or {digits}, and the {text} must stand somewhere"},
		{"gateway value", "sms:\n  providers:\n    - {kind: http, url: \"https://sms.example.org/?to={to}&text={message}\"}\n", "line 9: sms.providers[0]: {message} is not a value: {to}, {digits}, {text}, {id} or {secret}"},
		{"text in a header", "sms:\n  providers:\n    - {kind: http, url: \"https://sms.example.org/?to={to}\", headers: [{name: X-Text, value: \"{text}\"}]}\n", "line 9: sms.providers[0].headers[0].value: the text cannot stand in a header"},
		{"gateway without its secret", "sms:\n  providers:\n    - {kind: http, url: \"https://sms.example.org/?to={to}&text={text}&key={secret}\"}\n", "line 9: sms.providers[0].secret_file: {secret} stands somewhere and there is none"},
		{"country", "sms:\n  country: Mars\n", "line 8: sms.country: FR, BE, CH, LU or DE is expected; numbers of others are typed with their +"},
		{"strength of an application", "applications:\n  - {id: a, name: {fr: a, en: a}, upstream: \"http://127.0.0.1:1\", channels: [internal], second_proof_strength: no_sms}\n", "line 8: applications[0].second_proof_strength: a asks for no second proof"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, faults := Parse([]byte(base + tt.add))
			var all []string
			for _, f := range faults {
				all = append(all, f.String())
			}
			if !slices.Contains(all, tt.want) {
				t.Errorf("missing %q in\n%s", tt.want, strings.Join(all, "\n"))
			}
		})
	}
}

// TestProofsAsTheHouseKnowsThem reads a whole description and what becomes of it.
func TestProofsAsTheHouseKnowsThem(t *testing.T) {
	c, faults := Parse([]byte(base + `
verifier:
  required: true
  rules:
    - {profile: executive, channel: mobile, mode: each}
  embedded:
    listen: 127.0.0.1:8090
    address: https://moncompte.example.org
passkeys:
  site: example.org
sms:
  per_hour: 50
  providers:
    - kind: http
      url: https://sms.example.org/send
      headers: [{name: Content-Type, value: application/json}]
      body: '{"to":"{to}","text":"{text}"}'
      success: [202]
    - {kind: smpp, server: "smsc.example.org:3550", system: ville}
profiles:
  - id: standard
    remember_days: 7
    second:
      everywhere: {strength: any, from: 2027-03-01}
      mobile: {strength: phishing_resistant, max_age: 15m}
  - {id: executive, sensitive: true, sms_until: 2027-01-31}
applications:
  - {id: coffre, name: {fr: Coffre, en: Vault}, upstream: "http://127.0.0.1:1", channels: [internal], second_proof: true, second_proof_strength: no_sms}
`))
	for _, f := range faults {
		if !f.Warning {
			t.Error(f)
		}
	}
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	wantProfiles := []parvis.Profile{
		{ID: "standard", RememberDays: 7, Second: map[parvis.Channel]parvis.Demand{
			"":            {Strength: parvis.AnySecond, From: time.Date(2027, 3, 1, 0, 0, 0, 0, paris)},
			parvis.Mobile: {Strength: parvis.PhishingResistant, MaxAge: 15 * time.Minute},
		}},
		{ID: "executive", Sensitive: true, SMSUntil: time.Date(2027, 2, 1, 0, 0, 0, 0, paris)},
	}
	if d := cmp.Diff(wantProfiles, c.ProfileList()); d != "" {
		t.Errorf("profiles (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]parvis.VerifierRule{{Profile: "executive", Channel: parvis.Mobile, Mode: parvis.VerifierEach}}, c.VerifierRules()); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[parvis.Channel]string{parvis.Internal: "example.org", parvis.Mobile: "example.org"}, c.Sites()); d != "" {
		t.Errorf("sites (-want +got):\n%s", d)
	}
	if got := c.Apps()[0].SecondStrength; got != parvis.NoSMS {
		t.Errorf("the application asks for strength %d", got)
	}
	if len(c.SMS.Providers) != 2 || c.SMS.PerHour != 50 || c.SMS.Country != "FR" || !c.VerifierDemanded() {
		t.Errorf("read otherwise than written: %+v", c.SMS)
	}
}

// TestWithoutAWordNothingChanges holds the file of yesterday.
func TestWithoutAWordNothingChanges(t *testing.T) {
	c, faults := Parse([]byte(base))
	for _, f := range faults {
		if !f.Warning || strings.Contains(f.Path, "verifier") || strings.Contains(f.Path, "passkeys") || strings.Contains(f.Path, "second") {
			t.Error(f)
		}
	}
	if c.VerifierDemanded() || c.VerifierRules() != nil || len(c.SMS.Providers) > 0 || c.Verifier.Embedded.Listen != "" {
		t.Errorf("something is asked that nobody wrote: %+v", c.Verifier)
	}
	for _, p := range c.ProfileList() {
		if p.Second != nil || !p.SMSUntil.IsZero() || p.RememberDays != 0 {
			t.Errorf("%s: %+v", p.ID, p)
		}
	}
	if d := cmp.Diff(map[parvis.Channel]string{parvis.Internal: "agents.example.org", parvis.Mobile: "nomade.example.org"}, c.Sites()); d != "" {
		t.Errorf("sites (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[parvis.Channel]bool{parvis.Internal: true}, c.EnrolOn()); d != "" {
		t.Errorf("where one enrols (-want +got):\n%s", d)
	}
}
