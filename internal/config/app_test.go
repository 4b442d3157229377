package config

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parvis"
)

const (
	metadata = `<?xml version="1.0"?>
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://gestion.example.org">
	<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
		<AssertionConsumerService index="0" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://gestion.example.org/acs"/>
	</SPSSODescriptor>
</EntityDescriptor>
`
	hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

// someText is a text that files are known to mangle.
func someText(t *rapid.T, what string) string {
	parts := []string{
		"a", "é", "œuvre", " ", "\n", "\t", "\r", ":", ": ", " #", "'", `"`, `\`, "|", ">", "-", "- ", "{", "}", "[", "]", "&", "*", "!", "%", "@", "`",
		"null", "true", "1e3", "0x1", "~", "\u00a0", "\u2028", "\ufeff", "\U0001f600", "\x01", "\x7f", "\u0085", "---", "...", "<a b=\"c\"/>", "2026-11-24",
	}
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 6).Draw(t, what), "")
}

func someList(t *rapid.T, what string) []string {
	var all []string
	for range rapid.IntRange(0, 3).Draw(t, what) {
		all = append(all, someText(t, what))
	}
	return all
}

func someMoment(t *rapid.T, what string) time.Time {
	if rapid.Bool().Draw(t, what+" unset") {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, what), rapid.Int64Range(0, 999_999_999).Draw(t, what+" ns")).UTC()
}

func someApp(t *rapid.T) parvis.App {
	words := func(what string) parvis.Words { return parvis.Words{FR: someText(t, what), EN: someText(t, what)} }
	yes := func(what string) bool { return rapid.Bool().Draw(t, what) }
	entrances := func(what string) []parvis.Channel {
		return append([]parvis.Channel(nil), rapid.SliceOfNDistinct(rapid.SampledFrom(parvis.Channels()), 0, 3, rapid.ID).Draw(t, what)...)
	}
	a := parvis.App{
		ID: parvis.AppID(someText(t, "id")), Name: words("name"), Purpose: words("purpose"), Group: words("group"), Owner: words("owner"),
		Upstream: someText(t, "upstream"), Channels: entrances("channels"), Reduced: entrances("reduced"), ReducedCan: words("can"), ReducedNot: words("not"),
		Entitled: yes("entitled"), Second: yes("second"), SecondStrength: rapid.IntRange(0, 3).Draw(t, "strength"), SecondOn: entrances("second on"),
		OnDeviceVPN: yes("device"), OfficeHours: yes("hours"), ProofMaxAge: parvis.Seconds(rapid.SampledFrom([]int64{0, 1, 90, 900, 3600, 5400, 86400}).Draw(t, "age")),
		HRDocuments: yes("documents"), HRService: yes("hr"), CrossOrigin: yes("cross"), Headers: yes("headers"), PassHeaders: someList(t, "pass"),
		ReducedTo: someList(t, "reduced to"), Start: someText(t, "start"), External: yes("external"), Attributes: someList(t, "attributes"), Forward: yes("forward"),
	}
	if yes("oidc") {
		a.OIDC = &parvis.OIDCClient{
			Redirects: someList(t, "redirects"), LogoutRedirects: someList(t, "logout"), Auth: rapid.SampledFrom([]string{"client_secret_basic", "none", "private_key_jwt"}).Draw(t, "auth"),
			JWKS: someText(t, "jwks"), JWKSURI: someText(t, "jwks uri"), NoPKCE: yes("pkce"), Offline: yes("offline"), BackChannel: someText(t, "back"), FrontChannel: someText(t, "front"),
			Pairwise: yes("pairwise"), Sector: someText(t, "sector"), RS256: yes("rs256"), SignedUserInfo: yes("signed"), RequirePAR: yes("par"), RequireDPoP: yes("dpop"),
			Device: yes("device grant"), Introspects: yes("introspects"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "secrets") {
			a.OIDC.Secrets = append(a.OIDC.Secrets, parvis.ClientSecret{
				Hash: sha256.Sum256([]byte(someText(t, "secret"))), Since: someMoment(t, "since"), Expires: someMoment(t, "expires"),
			})
		}
	}
	if yes("cas") {
		a.CAS = &parvis.CASService{Services: append(someList(t, "services"), "https://a/"), Logout: yes("cas logout")}
	}
	if yes("saml") {
		a.SAML = &parvis.SAMLService{Metadata: someText(t, "metadata") + "<x/>\n", NameID: someText(t, "name id"), Encrypt: yes("encrypt")}
	}
	return a
}

// Export, then import, changes nothing, whatever an application holds; and a
// file is written the same every time.
func TestAppYAMLRoundTrip(t *testing.T) {
	full := 0
	rapid.Check(t, func(t *rapid.T) {
		want := someApp(t)
		b, err := AppYAML(want)
		if err != nil {
			t.Fatal(err)
		}
		got, faults := parseApp(b, "", string(want.ID))
		for _, f := range faults {
			if strings.Contains(f.Message, "there is no such field") || strings.Contains(f.Message, " stands where ") {
				t.Fatalf("%s\n%s", f, b)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%s\n%s", d, b)
		}
		again, err := AppYAML(got)
		if err != nil || string(again) != string(b) {
			t.Fatalf("%v: written otherwise the second time:\n%s\n%s", err, b, again)
		}
		if want.OIDC != nil && want.SAML != nil && want.CAS != nil {
			full++
		}
	})
	if full == 0 {
		t.Error("no application had every door: little was tested")
	}
	if _, err := AppYAML(parvis.App{ID: "a", Start: "\xff"}); parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("a text that no file can hold: %v", err)
	}
}

// What a repository shows.
func TestAppYAMLReads(t *testing.T) {
	since := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	sum, err := hex.DecodeString(hash)
	if err != nil {
		t.Fatal(err)
	}
	app := parvis.App{
		ID: "agenda", Name: parvis.Words{FR: "Agenda", EN: "Calendar"}, Channels: []parvis.Channel{parvis.Internal, parvis.Mobile},
		Attributes: []string{"email", "groups"}, Start: "https://agenda.example.org/", ProofMaxAge: 900, SecondStrength: parvis.NoSMS, Second: true,
		OIDC: &parvis.OIDCClient{
			Redirects: []string{"https://agenda.example.org/callback"}, Auth: "client_secret_basic",
			Secrets: []parvis.ClientSecret{{Hash: [32]byte(sum), Since: since}},
		},
		SAML: &parvis.SAMLService{Metadata: metadata},
	}
	b, err := AppYAML(app)
	if err != nil {
		t.Fatal(err)
	}
	block := "    " + strings.ReplaceAll(strings.TrimSuffix(metadata, "\n"), "\n", "\n    ") + "\n"
	want := `id: "agenda"
name:
  fr: "Agenda"
  en: "Calendar"
start: "https://agenda.example.org/"
attributes:
  - "email"
  - "groups"
channels:
  - "internal"
  - "mobile"
second_proof: true
second_proof_strength: "no_sms"
proof_max_age: "15m"
oidc:
  redirects:
    - "https://agenda.example.org/callback"
  auth: "client_secret_basic"
  secrets:
    - sha256: "` + hash + `"
      since: "2026-11-24T09:00:00Z"
saml:
  metadata: |
` + block
	if d := cmp.Diff(want, string(b)); d != "" {
		t.Error(d)
	}
	if faults := app.Faults(); len(faults) > 0 {
		t.Errorf("it has faults: %v", faults)
	}
}

func place(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A folder is read as a whole: the faults of every file, each with its line.
func TestReadApps(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, "agenda.yaml", "id: agenda\nname: {fr: Agenda, en: Calendar}\nchannels: [internal]\noidc:\n  redirects: [https://agenda.example.org/cb]\n")
	place(t, dir, "gestion.yaml", "id: gestion\nname: {fr: Gestion, en: Management}\nchannels: [internal]\nsaml:\n  metadata_file: gestion.xml\n")
	place(t, dir, "gestion.xml", metadata)
	place(t, dir, "README.md", "not an application")
	place(t, dir, ".draft.yaml", "id: [")
	all, faults := ReadApps(dir)
	if len(faults) > 0 || len(all) != 2 || all[0].ID != "agenda" || all[1].SAML == nil || all[1].SAML.Metadata != metadata {
		t.Fatalf("%v\n%+v", faults, all)
	}
	if all[0].OIDC.Auth != parvis.ClientSecretBasic {
		t.Errorf("without a word a client proves itself by %q", all[0].OIDC.Auth)
	}

	place(t, dir, "agenda.yaml", `id: calendrier
name: {fr: Agenda}
channels: [internal, moon]
upstraem: http://127.0.0.1:1
oidc:
  redirects:
    - http://agenda.example.org/cb
    - https://agenda.example.org/*
  secret_files: [secret]
  secrets:
    - sha256: 12
      since: yesterday
  sector: ville
`)
	place(t, dir, "gestion.yaml", "id: gestion\n  name: x\n")
	place(t, dir, "ghost.yaml", "id: ghost\nname: {fr: a, en: a}\nchannels: [vpn]\nsaml:\n  metadata_file: ghost.xml\n")
	place(t, dir, "empty.yaml", "")
	place(t, dir, "list.yaml", "- a\n")
	_, faults = ReadApps(dir)
	var got []string
	for _, f := range faults {
		got = append(got, f.String())
	}
	want := []string{
		"agenda.yaml: line 1: id: the file has the name of its application: calendrier.yaml",
		"agenda.yaml: line 2: name: a name in both languages is expected",
		"agenda.yaml: line 3: channels[1]: internal, vpn or mobile is expected",
		"agenda.yaml: line 4: upstraem: there is no such field; did you mean upstream?",
		"agenda.yaml: line 7: oidc.redirects[0]: https is expected, or an address of this machine",
		"agenda.yaml: line 8: oidc.redirects[1]: no wildcard: addresses are compared whole",
		"agenda.yaml: line 9: oidc.secret_files: a repository is no place for secrets: `parvis app secret` makes them",
		"agenda.yaml: line 11: oidc.secrets[0].sha256: 64 hexadecimal digits are expected",
		"agenda.yaml: line 12: oidc.secrets[0].since: a moment such as 2026-11-24T10:00:00Z is expected",
		"agenda.yaml: line 13: oidc.sector: a sector is of pairwise subjects: pairwise is not set",
		"empty.yaml: one application is expected",
		"gestion.yaml: line 1: mapping value is not allowed in this context",
		"ghost.yaml: line 5: saml.metadata_file: there is no such file: " + filepath.Join(dir, "ghost.xml"),
		"list.yaml: line 1: a list stands where a group of fields is expected",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
	if _, faults := ReadApps(filepath.Join(dir, "nowhere")); len(faults) != 1 {
		t.Errorf("a folder that is not there: %v", faults)
	}
}

// TestDoorsThatCannotBeUsed adds one mistake at a time below base.
func TestDoorsThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, "short", "password\n")
	place(t, dir, "good", strings.Repeat("k", 43)+"\n")
	const app = "applications:\n  - id: a\n    name: {fr: a, en: a}\n    channels: [internal]\n" // lines 7 to 10
	oidc := app + "    oidc:\n      redirects: [https://a.example.org/cb]\n"                     // 11 and 12
	tests := []struct{ name, add, want string }{
		{"no door", app, "line 8: applications[0].upstream: no way leads in: upstream, forward, oidc, cas or saml is expected"},
		{"two masters", app + "    upstream: http://127.0.0.1:1\n    forward: true\n", "line 12: applications[0].forward: another proxy serves it: no upstream then"},
		{"script", app + "    forward: true\n    start: javascript:alert(1)\n", "line 12: applications[0].start: a whole address such as https://agenda.example.org/callback is expected"},
		{"claim", app + "    forward: true\n    attributes: [email, salary]\n", "line 12: applications[0].attributes[1]: one of " + strings.Join(parvis.ClaimNames(), ", ") + " is expected"},
		{"reduced to", app + "    forward: true\n    reduced_on: [internal]\n    reduced_to: [\"GET /a/../b\"]\n", "line 13: applications[0].reduced_to[0]: a method and a path are expected, such as GET /search or POST /requests/*"},
		{"reduced nowhere", app + "    forward: true\n    reduced_to: [\"GET /\"]\n", "line 12: applications[0].reduced_to: warning: a is reduced nowhere: reduced_on is empty"},
		{"no secret", oidc, "line 11: applications[0].oidc.secret_files: a file that holds its secret is expected, or the hash of one under secrets"},
		{"no secret file", oidc + "      secret_files: [" + dir + "/none]\n", "line 13: applications[0].oidc.secret_files[0]: there is no such file: " + dir + "/none"},
		{"a word", oidc + "      secret_files: [" + dir + "/short]\n", "line 13: applications[0].oidc.secret_files[0]: at least 32 random signs are expected in " + dir + "/short"},
		{"folder", oidc + "      secret_files: [" + dir + "]\n", "line 13: applications[0].oidc.secret_files[0]: not a file that can be read: " + dir},
		{"auth", oidc + "      auth: password\n", "line 13: applications[0].oidc.auth: client_secret_basic, client_secret_post, private_key_jwt or none is expected"},
		{"keys", oidc + "      auth: private_key_jwt\n", "line 11: applications[0].oidc.jwks: its public keys are expected, or jwks_uri: it proves itself by private_key_jwt"},
		{"private key", oidc + "      auth: private_key_jwt\n      jwks: '{\"keys\":[{\"kty\":\"EC\",\"d\":\"AA\"}]}'\n", "line 14: applications[0].oidc.jwks: a JWK Set of public keys is expected"},
		{"public without PKCE", oidc + "      auth: none\n      no_pkce: true\n", "line 14: applications[0].oidc.no_pkce: an application that proves nothing (auth: none) cannot have this"},
		{"old", oidc + "      no_pkce: true\n", "line 13: applications[0].oidc.no_pkce: warning: a code that is stolen from a can be used: ask its maker for PKCE (RFC 9700 2.1.1)"},
		{"fragment", app + "    oidc: {redirects: [\"https://a.example.org/#cb\"]}\n", "line 11: applications[0].oidc.redirects[0]: no fragment (#) can stand in it"},
		{"front channel", oidc + "      front_channel_logout: https://b.example.org/out\n", "line 13: applications[0].oidc.front_channel_logout: the origin of one of its redirects is expected"},
		{"no answer", app + "    oidc: {auth: none}\n", "line 11: applications[0].oidc.redirects: at least one address is expected to which answers go"},
		{"ends early", oidc + "      secrets: [{sha256: " + hash + ", since: 2026-11-24T10:00:00Z, expires: 2026-11-23T10:00:00Z}]\n", "line 13: applications[0].oidc.secrets[0]: it ends before it begins"},
		{"cas", app + "    cas: {logout: true}\n", "line 11: applications[0].cas.services: a value is expected"},
		{"cas in clear", app + "    cas: {services: [http://a.example.org/]}\n", "line 11: applications[0].cas.services[0]: https is expected, or an address of this machine"},
		{"saml", app + "    saml: {encrypt: true}\n", "line 11: applications[0].saml.metadata: a value is expected"},
		{"saml metadata", app + "    saml: {metadata: <html/>}\n", "line 11: applications[0].saml.metadata: the metadata of a SAML service provider is expected, one EntityDescriptor"},
		{"saml twice", app + "    saml: {metadata: <html/>, metadata_file: " + dir + "/good}\n", "line 11: applications[0].saml.metadata_file: metadata or metadata_file is expected, not both"},
		{"name id", app + "    saml: {metadata: <html/>, name_id: mail}\n", "line 11: applications[0].saml.name_id: one of persistent, transient, email, uid is expected"},
		{"outbound", "applications_outbound: [10.0.0.0/8, moon]\n", "line 7: applications_outbound[1]: a network such as 10.0.0.0/8 is expected"},
		{"siret", "organisation:\n  siret: 21330063500018\n", "line 8: organisation.siret: a SIRET of 14 digits whose sum holds is expected"},
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

	c, faults := Parse([]byte(base + "organisation:\n  siret: \"213 300 635 00017\"\n" + oidc + "      secret_files: [" + dir + "/good]\n"))
	for _, f := range faults {
		if !f.Warning {
			t.Error(f)
		}
	}
	if s := c.Apps()[0].OIDC.Secrets; len(s) != 1 || s[0].Hash != sha256.Sum256([]byte(strings.Repeat("k", 43))) {
		t.Errorf("the secret of the file: %v", s)
	}
}

// Whatever a file holds, what is read without a fault is read again the same
// from what is written of it.
func FuzzAppFile(f *testing.F) {
	f.Add("agenda", []byte("id: agenda\nname: {fr: Agenda, en: Calendar}\nchannels: [internal]\noidc:\n  redirects: [https://agenda.example.org/cb]\n"))
	f.Add("a", []byte("id: a\nname: {fr: a, en: a}\nsaml:\n  metadata: |\n    <EntityDescriptor/>\n"))
	f.Add("a", []byte("id: a\nreduced_to: [\"GET /\", \"POST /a/*\"]\nproof_max_age: 90s\n"))
	f.Fuzz(func(t *testing.T, id string, b []byte) {
		app, faults := parseApp(b, t.TempDir(), id)
		if slices.ContainsFunc(faults, func(f Fault) bool { return !f.Warning }) {
			return
		}
		text, err := AppYAML(app)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := parseApp(text, "", id)
		if d := cmp.Diff(app, again); d != "" {
			t.Fatalf("%s\n%s", d, text)
		}
	})
}
