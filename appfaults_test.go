package parvis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

func application(change func(*parvis.App)) *parvis.App {
	a := &parvis.App{
		ID: "agenda", Name: parvis.Words{FR: "Agenda", EN: "Calendar"}, Channels: parvis.Channels(),
		OIDC: &parvis.OIDCClient{Redirects: []string{"https://agenda.example.org/cb"}, Auth: parvis.ClientSecretBasic},
	}
	change(a)
	return a
}

// Where an answer may go is said whole, and cannot be read in two ways.
func TestRedirectsThatCanBeDeclared(t *testing.T) {
	for redirect, want := range map[string]string{
		"https://agenda.example.org/cb?a=1": "", "http://127.0.0.1/cb": "", "http://[::1]:8080/cb": "", "http://localhost:9/cb": "", "http://agenda.localhost/cb": "",
		"https://agenda.example.org": "",
		"http://agenda.example.org/": "https", "http://localhost.example.org/cb": "https", "http://127.0.0.1.example.org/cb": "https",
		"https://agenda.example.org/#": "fragment", "https://agenda.example.org/cb#a": "fragment", "https://*.example.org/cb": "wildcard", "https://agenda.example.org/*": "wildcard",
		"": "address", "/cb": "address", "//agenda.example.org/cb": "address", "agenda.example.org/cb": "address", "https:///cb": "address", "https://:443/cb": "address",
		"https:agenda.example.org/cb": "address", "https://a@agenda.example.org/cb": "address", "https://agenda.example.org/a/../cb": "address", "https://agenda.example.org/./cb": "address",
		"https://agenda.example.org\\@evil.example/": "address", "https://agenda.example.org/ cb": "address", "https://agenda.example.org/cb\n": "address", "https://agendá.example.org/": "address",
		"javascript:alert(1)": "address", "data:text/html,x": "address", "ftp://agenda.example.org/": "address", "org.example.agenda:/cb": "address", "https://%61genda.example.org:x/": "address",
	} {
		a := application(func(a *parvis.App) { a.OIDC.Redirects = []string{redirect} })
		var got []string
		for _, f := range a.Faults() {
			if f.Field != "oidc.redirects[0]" || f.Value != redirect {
				t.Errorf("%q: %+v", redirect, f)
			}
			got = append(got, string(f.Code))
		}
		if strings.Join(got, " ") != want && !(want != "" && len(got) > 0 && got[0] == want) {
			t.Errorf("%q: %q, want %q", redirect, got, want)
		}
	}
	native := application(func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Redirects = parvis.PublicClient, []string{"org.example.agenda:/cb", "http://127.0.0.1/cb"}
	})
	if d := cmp.Diff([]parvis.AppFault(nil), native.Faults()); d != "" {
		t.Errorf("an application on a telephone: %s", d)
	}
}

func TestReducedTo(t *testing.T) {
	for pattern, want := range map[string]bool{
		"GET /": true, "GET /search": true, "POST /requests/*": true, "GET /*": true, "GET /a/b/": true, "PUT /été": true,
		"": false, "GET": false, "/": false, "get /": false, "GET search": false, "GET  /": false, "GET /a b": false, "GET /a*": false, "GET /*/b": false, "* /": false,
		"GET /a/../b": false, "GET /a//b": false, "GET /.": false, "GET /a?b": false, "GET /a#b": false, "GET /%2e": false, "GET /a;b": false, "GET /a\\b": false, "GET /\n": false,
	} {
		a := application(func(a *parvis.App) { a.ReducedTo = []string{pattern} })
		if got := len(a.Faults()) == 0; got != want {
			t.Errorf("%q: %v", pattern, a.Faults())
		}
	}
}

// What a set of keys must not hold is what only its owner may know.
func TestKeysOfAClient(t *testing.T) {
	for keys, want := range map[string]bool{
		`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`: true, `{"keys":[{"kty":"RSA","n":"AA","e":"AQAB"},{"kty":"OKP","x":"AA"}]}`: true,
		`{"keys":[]}`: false, `{}`: false, `[]`: false, `keys`: false, `{"keys":[{"kty":"oct","k":"AA"}]}`: false, `{"keys":[{"kty":"RSA","n":"AA","d":"AA"}]}`: false,
		`{"keys":[{"kty":"EC","x":"AA"},{"kty":"EC","x":"AA","d":"AA"}]}`: false, `{"keys":[{}]}`: false, `{"keys":[1]}`: false,
	} {
		a := application(func(a *parvis.App) { a.OIDC.Auth, a.OIDC.JWKS = parvis.PrivateKeyJWT, keys })
		if got := len(a.Faults()) == 0; got != want {
			t.Errorf("%s: %v", keys, a.Faults())
		}
	}
}

const entity = `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://gestion.example.org">%s</EntityDescriptor>`

func TestMetadata(t *testing.T) {
	consumer := func(where string) string {
		return `<SPSSODescriptor><AssertionConsumerService index="0" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` + where + `"/></SPSSODescriptor>`
	}
	good := fmt.Sprintf(entity, consumer("https://gestion.example.org/acs"))
	for document, want := range map[string]parvis.AppFaultCode{
		good: "", "<?xml version=\"1.0\"?>\n<!-- ours -->\n" + good + "\n": "",
		"<!DOCTYPE a [<!ENTITY b \"c\">]>" + good: "metadata", good + good: "metadata", good + "<": "metadata", good[:len(good)-5]: "metadata", "": "required", "<a/>": "metadata",
		fmt.Sprintf(entity, ""): "metadata", fmt.Sprintf(entity, "<IDPSSODescriptor/>"): "metadata", fmt.Sprintf(entity, "<SPSSODescriptor/>"): "metadata",
		strings.Replace(good, `entityID="https://gestion.example.org"`, "", 1):    "metadata",
		strings.Replace(good, "urn:oasis:names:tc:SAML:2.0:metadata", "urn:x", 1): "metadata",
		fmt.Sprintf(entity, consumer("http://gestion.example.org/acs")):           "https",
		fmt.Sprintf(entity, consumer("javascript:alert(1)")):                      "address",
	} {
		a := application(func(a *parvis.App) { a.SAML = &parvis.SAMLService{Metadata: document} })
		got := parvis.AppFaultCode("")
		if all := a.Faults(); len(all) > 0 {
			got = all[0].Code
		}
		if got != want {
			t.Errorf("%s: %q, want %q", document, got, want)
		}
	}
	blind := application(func(a *parvis.App) { a.SAML = &parvis.SAMLService{Metadata: good, Encrypt: true} })
	want := []parvis.AppFault{{Field: "saml.encrypt", Code: parvis.FaultKeys}}
	if d := cmp.Diff(want, blind.Faults()); d != "" {
		t.Error(d)
	}
}

func TestSIRET(t *testing.T) {
	for s, want := range map[string]bool{
		"21750001600019": true, "35600000000048": true, "35600000012345": true,
		"21750001600018": false, "00000000000000": false, "2175000160001": false, "217500016000190": false, "2175000160001a": false, "": false, "２１７５０００１６０００１９": false,
	} {
		if parvis.SIRET(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

func FuzzFaults(f *testing.F) {
	f.Add("https://a.example.org/cb", "GET /*", `{"keys":[]}`, fmt.Sprintf(entity, ""))
	f.Fuzz(func(t *testing.T, redirect, pattern, keys, metadata string) {
		a := application(func(a *parvis.App) {
			a.OIDC.Redirects, a.OIDC.Auth, a.OIDC.JWKS = []string{redirect}, parvis.PrivateKeyJWT, keys
			a.ReducedTo, a.Start, a.SAML = []string{pattern}, redirect, &parvis.SAMLService{Metadata: metadata, Encrypt: true}
		})
		faults := a.Faults()
		if strings.ContainsAny(redirect, "#*\\ \n") && len(faults) == 0 {
			t.Errorf("%q was accepted", redirect)
		}
	})
}
