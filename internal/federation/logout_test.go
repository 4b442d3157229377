package federation

import (
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis"
	"parvis/internal/store"
)

// signedIn is a browser that went through a request of the service provider, and
// what that was told.
func signedIn(tn *town, sp *saml.ServiceProvider, v *browser) *saml.Assertion {
	tn.t.Helper()
	address, id := ask(tn.t, sp, "", nil)
	return read(tn.t, sp, v.get(address), id)
}

// leave makes a LogoutRequest, with the library, signed unless change undoes it.
func leave(t testing.TB, sp *saml.ServiceProvider, a *saml.Assertion, change func(*saml.LogoutRequest)) *saml.LogoutRequest {
	t.Helper()
	q, err := sp.MakeLogoutRequest(sp.GetSLOBindingLocation(saml.HTTPPostBinding), a.Subject.NameID.Value)
	must(t, err)
	q.SessionIndex = &saml.SessionIndex{Value: a.AuthnStatements[0].SessionIndex}
	if change != nil {
		change(q)
	}
	q.Signature = nil
	must(t, sp.SignLogoutRequest(q))
	return q
}

// posted is the form of a message of the HTTP-POST binding.
func posted(t testing.TB, el *etree.Element, state string) url.Values {
	t.Helper()
	document, err := written(el)
	must(t, err)
	return url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(document)}, "RelayState": {state}}
}

// queried is the address of a message of the HTTP-Redirect binding, its query signed
// with the key of every service provider of the tests.
func queried(t testing.TB, address string, el *etree.Element, state string) string {
	t.Helper()
	key, _ := partyKey()
	made, err := toQuery(address, el, state, key)
	must(t, err)
	// Ours says SAMLResponse; the signature covers the name.
	made = strings.Replace(made, "SAMLResponse=", "SAMLRequest=", 1)
	at, query, _ := strings.Cut(made, "?")
	query, _, _ = strings.Cut(query, "&Signature=")
	s, err := dsig.NewSigningContext(key, nil)
	must(t, err)
	must(t, s.SetSignatureMethod(dsig.RSASHA256SignatureMethod))
	signature, err := s.SignString(query)
	must(t, err)
	return at + "?" + query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
}

func (tn *town) alive(v *browser) bool {
	_, ok := tn.Sessions.Session(tn.t.Context(), v.session.ID)
	return ok
}

func TestSAMLLogoutByPost(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", nil), forum())
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	a := signedIn(tn, sp, v)
	service := "https://forum.example.org/app/"
	tn.shown("/cas/p3/serviceValidate", service, ticketOf(t, v.get(login(service)), service))
	other := tn.browser(parvis.Internal).signIn(parvis.Password)

	q := leave(t, sp, a, nil)
	res := v.cross(sloPath, posted(t, q.Element(), "bye"))
	if !strings.HasPrefix(res.location(), "/saml/slo?request=") {
		t.Fatalf("posted: %d to %q %s", res.StatusCode, res.location(), res.body)
	}
	path := res.location()
	res = v.get(path)
	to, fields := res.form(t)
	if to != sp.SloURL.String() || fields.Get("RelayState") != "bye" {
		t.Errorf("answered to %q with %v", to, fields)
	}
	raw, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
	must(t, err)
	root, err := readXML(raw)
	must(t, err)
	keys, err := tn.keys(t.Context())
	must(t, err)
	covered, err := verified(root, certsOf(keys))
	must(t, err)
	if !named(covered, nsProtocol, "LogoutResponse") || covered.SelectAttrValue("InResponseTo", "") != q.ID || !strings.Contains(string(raw), saml.StatusSuccess) {
		t.Errorf("answered %s", raw)
	}
	if tn.alive(v) || len(v.cookies) != 0 || !tn.alive(other) {
		t.Errorf("alive %v, cookies %v, somebody else's %v", tn.alive(v), v.cookies, tn.alive(other))
	}
	due, err := tn.Store.DueNotices(t.Context(), tn.clock.Now(), 10)
	must(t, err)
	if len(due) != 1 || due[0].Protocol != parvis.CAS {
		t.Errorf("told of it: %+v", due)
	}
	if res := v.get(path); res.StatusCode != http.StatusBadRequest {
		t.Errorf("again: %d", res.StatusCode)
	}
	// Asked again in another message: there was somebody, who is gone.
	res = v.get(v.cross(sloPath, posted(t, leave(t, sp, a, nil).Element(), "")).location())
	if top, second := statusOf(t, res); top != saml.StatusSuccess || second != "" {
		t.Errorf("asked twice: %s %s", top, second)
	}
}

func certsOf(keys []*signingKey) []*x509.Certificate {
	var all []*x509.Certificate
	for _, k := range keys {
		all = append(all, k.cert)
	}
	return all
}

func TestSAMLLogoutByRedirect(t *testing.T) {
	sp := provider("gestion")
	sp.LogoutBindings = []string{saml.HTTPRedirectBinding, saml.HTTPPostBinding}
	tn := newTown(t, declared(sp, "gestion", nil), declared(provider("courrier"), "courrier", nil))
	tn.knows(sp, parvis.Internal)
	courrier := provider("courrier")
	tn.knows(courrier, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	a := signedIn(tn, sp, v)
	signedIn(tn, courrier, v)
	q := leave(t, sp, a, nil)
	q.Signature = nil
	res := v.get(queried(t, agents+sloPath, q.Element(), "a b&c=d"))
	to, err := url.Parse(res.location())
	must(t, err)
	if res.StatusCode != http.StatusSeeOther || to.Host != "gestion.example.org" || to.Path != "/slo" {
		t.Fatalf("%d to %q %s", res.StatusCode, res.location(), res.body)
	}
	c, err := fromQuery(to.RawQuery)
	must(t, err)
	root, err := readXML(c.xml)
	must(t, err)
	keys, err := tn.keys(t.Context())
	must(t, err)
	_, signed, err := c.authentic(root, certsOf(keys))
	if err != nil || !signed || !c.answer || c.state != "a b&c=d" || !strings.Contains(string(c.xml), saml.StatusPartialLogout) {
		t.Errorf("%v, signed %v: %+v", err, signed, c)
	}
	if tn.alive(v) {
		t.Error("the session goes on")
	}

	// Without SessionIndex, the session of this browser, and only of whom it names.
	v = tn.browser(parvis.Internal).signIn(parvis.Password)
	a = signedIn(tn, sp, v)
	stranger := leave(t, sp, a, func(q *saml.LogoutRequest) { q.SessionIndex, q.NameID.Value = nil, "somebody" })
	stranger.Signature = nil
	if res := v.get(queried(t, agents+sloPath, stranger.Element(), "")); !tn.alive(v) || !strings.HasPrefix(res.location(), sp.SloURL.String()) {
		t.Errorf("somebody else: %d %q", res.StatusCode, res.location())
	}
	mine := leave(t, sp, a, func(q *saml.LogoutRequest) { q.SessionIndex = nil })
	mine.Signature = nil
	if v.get(queried(t, agents+sloPath, mine.Element(), "")); tn.alive(v) {
		t.Error("without SessionIndex the session goes on")
	}
	if res := v.get(sloPath + "?SAMLResponse=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("x")))); res.StatusCode != http.StatusBadRequest && res.location() != "/" {
		t.Errorf("an answer: %d %q", res.StatusCode, res.location())
	}
}

// TestSAMLLogoutNotice: the session ends here, the application is told by SOAP.
func TestSAMLLogoutNotice(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", func(m *saml.EntityDescriptor) {
		m.SPSSODescriptors[0].SingleLogoutServices = append(m.SPSSODescriptors[0].SingleLogoutServices, saml.Endpoint{Binding: saml.SOAPBinding, Location: "https://gestion.example.org/soap"})
	}))
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	a := signedIn(tn, sp, v)
	tn.write(func(tx *store.Tx) error { return tn.Sessions.End(tx, v.session.ID, "signed_out") })
	due, err := tn.Store.DueNotices(t.Context(), tn.clock.Now(), 10)
	must(t, err)
	if len(due) != 1 {
		t.Fatalf("%d notices", len(due))
	}
	r, err := tn.Notice(t.Context(), due[0])
	must(t, err)
	body, err := io.ReadAll(r.Body)
	must(t, err)
	if r.URL.String() != "https://gestion.example.org/soap" || r.Header.Get("Content-Type") != "text/xml" || strings.Contains(string(due[0].Body), a.Subject.NameID.Value) {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	soap, err := readXML(body)
	must(t, err)
	inside, err := only(soap, "http://schemas.xmlsoap.org/soap/envelope/", "Body")
	must(t, err)
	document, err := written(inside.ChildElements()[0].Copy())
	must(t, err)
	root, err := readXML(document)
	must(t, err)
	keys, err := tn.keys(t.Context())
	must(t, err)
	covered, err := verified(root, certsOf(keys))
	must(t, err)
	l, end, err := readLogout(covered)
	must(t, err)
	if l.Name != a.Subject.NameID.Value || len(l.Indexes) != 1 || l.Indexes[0] != a.AuthnStatements[0].SessionIndex || !end.After(tn.clock.Now()) {
		t.Errorf("told %+v", l)
	}
	if _, err := tn.Notice(t.Context(), store.Notice{Protocol: parvis.OIDC}); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("another protocol: %v", err)
	}
	due[0].App = "gone"
	if _, err := tn.Notice(t.Context(), due[0]); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("an application that is gone: %v", err)
	}
}

// TestSAMLLogoutForged is an attack: signing people out from elsewhere.
//
//  1. Somebody knows, or guesses, the NameID and SessionIndex of an agent.
//  2. They send the browser, or themselves, with a LogoutRequest that is unsigned,
//     signed by another key, of another service provider, for another place, old,
//     or shown again.
func TestSAMLLogoutForged(t *testing.T) {
	sp, courrier := provider("gestion"), provider("courrier")
	courrier.Key, courrier.Certificate = otherKey()
	// Requests for sign-in need no signature there; those for sign-out always do.
	lax := func(m *saml.EntityDescriptor) { m.SPSSODescriptors[0].AuthnRequestsSigned = nil }
	tn := newTown(t, declared(sp, "gestion", lax), declared(courrier, "courrier", lax))
	tn.knows(sp, parvis.Internal)
	tn.knows(courrier, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	a := signedIn(tn, sp, v)
	foreign := provider("gestion")
	foreign.Key, foreign.Certificate = otherKey()
	foreign.IDPMetadata = sp.IDPMetadata
	old := tn.clock.Now().Add(-skew - time.Minute)
	for name, el := range map[string]*etree.Element{
		"unsigned":             func() *etree.Element { q := leave(t, sp, a, nil); q.Signature = nil; return q.Element() }(),
		"another key":          leave(t, foreign, a, nil).Element(),
		"altered":              func() *etree.Element { q := leave(t, sp, a, nil); q.NameID.Value += "x"; return q.Element() }(),
		"another's issuer":     leave(t, foreign, a, func(q *saml.LogoutRequest) { q.Issuer.Value = courrier.EntityID }).Element(),
		"for another place":    leave(t, sp, a, func(q *saml.LogoutRequest) { q.Destination = nomade + sloPath }).Element(),
		"for the other path":   leave(t, sp, a, func(q *saml.LogoutRequest) { q.Destination = agents + ssoPath }).Element(),
		"for no place":         leave(t, sp, a, func(q *saml.LogoutRequest) { q.Destination = "" }).Element(),
		"old":                  leave(t, sp, a, func(q *saml.LogoutRequest) { q.IssueInstant = old }).Element(),
		"over":                 leave(t, sp, a, func(q *saml.LogoutRequest) { q.NotOnOrAfter = &old }).Element(),
		"not yet":              leave(t, sp, a, func(q *saml.LogoutRequest) { q.IssueInstant = tn.clock.Now().Add(skew + time.Minute) }).Element(),
		"another version":      leave(t, sp, a, func(q *saml.LogoutRequest) { q.Version = "1.1" }).Element(),
		"nobody":               leave(t, sp, a, func(q *saml.LogoutRequest) { q.NameID.Value = "" }).Element(),
		"an unknown issuer":    leave(t, sp, a, func(q *saml.LogoutRequest) { q.Issuer.Value = "https://evil.example/saml" }).Element(),
		"an identifier to try": leave(t, sp, a, func(q *saml.LogoutRequest) { q.ID = "_1" }).Element(),
	} {
		res := v.cross(sloPath, posted(t, el, ""))
		if res.StatusCode < 400 || !tn.alive(v) {
			to := v.get(res.location())
			if name != "another's issuer" || !tn.alive(v) { // signed by courrier, of courrier: it may ask, for its own
				t.Errorf("%s: %d to %q, then %d; alive %v", name, res.StatusCode, res.location(), to.StatusCode, tn.alive(v))
			}
		}
	}
	// Named at another entrance than its own, nobody is there.
	away := provider("gestion")
	tn.knows(away, parvis.Mobile)
	res := v.cross(sloPath, posted(t, leave(t, sp, a, func(q *saml.LogoutRequest) { q.SessionIndex.Value += "x" }).Element(), ""))
	if top, second := statusOf(t, v.get(res.location())); top != saml.StatusRequester || second != saml.StatusUnknownPrincipal || !tn.alive(v) {
		t.Errorf("an unknown session: %s %s", top, second)
	}
	other := tn.browser(parvis.Mobile)
	res = other.cross(sloPath, posted(t, leave(t, away, a, nil).Element(), ""))
	if top, second := statusOf(t, other.get(res.location())); top != saml.StatusRequester || second != saml.StatusUnknownPrincipal || !tn.alive(v) {
		t.Errorf("at the other entrance: %s %s, alive %v", top, second, tn.alive(v))
	}
	if tn.Register.Troubles("gestion")[0].Protocol != parvis.SAML {
		t.Error("the application's owner sees nothing of it")
	}
	// Query signatures: altered state, another algorithm, both kinds at odds.
	q := leave(t, sp, a, nil)
	q.Signature = nil
	good := queried(t, agents+sloPath, q.Element(), "state")
	weak := strings.Replace(good, url.QueryEscape(dsig.RSASHA256SignatureMethod), url.QueryEscape(dsig.RSASHA1SignatureMethod), 1)
	cut, _, _ := strings.Cut(good, "&SigAlg=")
	for name, address := range map[string]string{
		"state altered": strings.Replace(good, "RelayState=state", "RelayState=other", 1), "state removed": strings.Replace(good, "&RelayState=state", "", 1),
		"SHA-1": weak, "no signature": cut, "twice": good + "&SAMLRequest=x", "state twice": good + "&RelayState=x", "both": good + "&SAMLResponse=x",
		"encoding": good + "&SAMLEncoding=none",
	} {
		if res := v.get(address); res.StatusCode != http.StatusBadRequest || !tn.alive(v) {
			t.Errorf("%s: %d, alive %v", name, res.StatusCode, tn.alive(v))
		}
	}
	if v.get(good); tn.alive(v) {
		t.Error("the good one does nothing: the others prove nothing")
	}
}
