package federation

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/xmlenc"
	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
)

// ask is the address of a request by the HTTP-Redirect binding, and its ID.
func ask(t testing.TB, sp *saml.ServiceProvider, state string, change func(*saml.AuthnRequest)) (string, string) {
	t.Helper()
	q, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(saml.HTTPRedirectBinding), saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	must(t, err)
	q.Signature = nil
	if change != nil {
		change(q)
	}
	u, err := q.Redirect(url.QueryEscape(state), sp)
	must(t, err)
	return u.String(), q.ID
}

func told(a *saml.Assertion) map[string][]string {
	all := map[string][]string{}
	for _, st := range a.AttributeStatements {
		for _, one := range st.Attributes {
			for _, v := range one.Values {
				all[one.Name] = append(all[one.Name], v.Value)
			}
		}
	}
	return all
}

func TestSAMLWalk(t *testing.T) {
	sp := provider("gestion")
	app := declared(sp, "gestion", nil)
	app.Attributes = []string{"uid", "given_name", "family_name", "email", "siret", "groups"}
	tn := newTown(t, app)
	tn.knows(sp, parvis.Mobile)
	address, id := ask(t, sp, "/page?x=1&y=é", nil)

	v := tn.browser(parvis.Mobile)
	back := v.get(address).back(t, "/signin")
	tn.clock.Move(time.Minute)
	v.signIn(parvis.Password)
	res := v.get(back)
	_, fields := res.form(t)
	if fields.Get("RelayState") != "/page?x=1&y=é" {
		t.Errorf("RelayState %q", fields.Get("RelayState"))
	}
	if !strings.Contains(res.Header.Get("Content-Security-Policy"), " https://gestion.example.org") {
		t.Errorf("the form cannot be posted: %s", res.Header.Get("Content-Security-Policy"))
	}
	got := read(t, sp, res, id)
	wrong := ""
	if s := got.AuthnStatements[0]; s.AuthnContext.AuthnContextClassRef.Value != classProtected || s.SessionIndex == "" ||
		!s.AuthnInstant.Equal(v.session.Proofs[0].At) || s.SessionNotOnOrAfter == nil || !s.SessionNotOnOrAfter.Equal(v.session.Ends) {
		wrong = fmt.Sprintf("statement %+v", s)
	}
	if n := got.Subject.NameID; n.Format != formatPersistent || n.Value != tn.Door.Subject(app, "A100001", parvis.SAML) || n.Value == "A100001" || n.SPNameQualifier != sp.EntityID {
		wrong += fmt.Sprintf(" subject %+v", n)
	}
	if wrong != "" {
		t.Error(wrong)
	}
	want := map[string][]string{
		"urn:oid:0.9.2342.19200300.100.1.1": {"A100001"}, "urn:oid:2.5.4.42": {"Zoé"}, "urn:oid:2.5.4.4": {"Müller-Lefèvre"},
		"urn:oid:0.9.2342.19200300.100.1.3": {"zoe@example.org"}, "siret": {"21750001600019"}, "urn:oid:1.3.6.1.4.1.5923.1.5.1.1": {"standard"},
		"channel": {"mobile"}, "acr": {"eidas1"},
	}
	if d := cmp.Diff(want, told(got)); d != "" {
		t.Error(d)
	}
	// Again in the same session: the same name and index, one grant.
	address, id = ask(t, sp, "", nil)
	again := read(t, sp, v.get(address), id)
	if again.AuthnStatements[0].SessionIndex != got.AuthnStatements[0].SessionIndex || again.Subject.NameID.Value != got.Subject.NameID.Value {
		t.Error("another name for the same session")
	}
	if tn.events("grant.began") != 1 || tn.events("grant.renewed") != 1 {
		t.Error("not one grant, renewed once")
	}
}

func TestSAMLPost(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", nil))
	tn.knows(sp, parvis.Internal)
	q, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(saml.HTTPPostBinding), saml.HTTPPostBinding, saml.HTTPPostBinding)
	must(t, err)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	document, err := written(q.Element())
	must(t, err)
	res := v.cross(ssoPath, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(document)}, "RelayState": {"xyz"}})
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.location(), "/saml/sso?request=") {
		t.Fatalf("posted: %d to %q %s", res.StatusCode, res.location(), res.body)
	}
	for name := range map[string]bool{"request": true} {
		u, _ := url.Parse(res.location())
		if strings.Contains(u.Query().Get(name), "gestion") {
			t.Error("the way back is not sealed")
		}
	}
	read(t, sp, v.get(res.location()), q.ID)
	// A sealed request of one entrance is nothing at another, nor altered.
	other := tn.browser(parvis.Mobile).signIn(parvis.Password)
	for _, path := range []string{res.location(), res.location() + "A", "/saml/sso?request=x"} {
		if res := other.get(path); res.StatusCode != http.StatusBadRequest || !strings.Contains(res.body, "federation_problem") {
			t.Errorf("%.60s: %d", path, res.StatusCode)
		}
	}
}

func TestSAMLEncrypted(t *testing.T) {
	gcm128 := "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	gcm256 := "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	cbc256 := "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	for want, methods := range map[string][]string{cbc256: nil, gcm128: {"http://www.w3.org/2001/04/xmlenc#aes128-cbc", gcm128}, gcm256: {gcm128, gcm256}} {
		sp := provider("gestion")
		app := declared(sp, "gestion", func(m *saml.EntityDescriptor) {
			for i := range m.SPSSODescriptors[0].KeyDescriptors {
				m.SPSSODescriptors[0].KeyDescriptors[i].EncryptionMethods = nil
				for _, a := range methods {
					m.SPSSODescriptors[0].KeyDescriptors[i].EncryptionMethods = append(m.SPSSODescriptors[0].KeyDescriptors[i].EncryptionMethods, saml.EncryptionMethod{Algorithm: a})
				}
			}
		})
		app.SAML.Encrypt, app.Attributes = true, []string{"email"}
		tn := newTown(t, app)
		tn.knows(sp, parvis.Internal)
		address, id := ask(t, sp, "", nil)
		res := tn.browser(parvis.Internal).signIn(parvis.Password).get(address)
		_, fields := res.form(t)
		raw, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
		must(t, err)
		if strings.Contains(string(raw), "zoe@") || strings.Contains(string(raw), "AttributeStatement") || !strings.Contains(string(raw), want) {
			t.Fatalf("in clear, or not by %s: %s", want, raw)
		}
		if want == gcm256 { // the library reads no AES-256-GCM: by hand
			root, err := readXML(raw)
			must(t, err)
			key, _ := partyKey()
			wrapped := root.FindElement(".//EncryptedKey")
			secret, err := xmlenc.Decrypt(key, wrapped)
			must(t, err)
			value, err := base64.StdEncoding.DecodeString(root.FindElement("./EncryptedAssertion/EncryptedData/CipherData/CipherValue").Text())
			must(t, err)
			if plain := openGCM(t, secret, value); !bytes.Contains(plain, []byte("zoe@example.org")) {
				t.Errorf("decrypted %s", plain)
			}
			continue
		}
		if got := told(read(t, sp, res, id)); len(got["urn:oid:0.9.2342.19200300.100.1.3"]) != 1 {
			t.Errorf("%s: told %v", want, got)
		}
	}
}

// TestSAMLContext: what a service provider asks of the proofs, and what is told.
func TestSAMLContext(t *testing.T) {
	const no = saml.StatusNoAuthnContext
	pwd, mfa, passkey := []parvis.ProofKind{parvis.Password}, []parvis.ProofKind{parvis.Password, parvis.TOTP}, []parvis.ProofKind{parvis.Passkey}
	for _, c := range []struct {
		name       string
		proofs     []parvis.ProofKind
		comparison string
		classes    []string
		want       string // a class, a level to prove, or a status
	}{
		{"nothing asked, a password", pwd, "", nil, classProtected},
		{"nothing asked, two factors", mfa, "", nil, classMFA},
		{"nothing asked, a passkey is two factors", passkey, "", nil, classMFA},
		{"nothing asked, one code and no password", []parvis.ProofKind{parvis.TemporaryCode}, "", nil, classUnspecified},
		{"exactly a password", mfa, "exact", []string{classProtected}, classProtected},
		{"exactly a password, none shown", passkey, "exact", []string{classProtected}, no},
		{"the first preference that holds", pwd, "exact", []string{classMFA, classProtected}, classProtected},
		{"the first preference that holds, two factors", mfa, "exact", []string{classMFA, classProtected}, classMFA},
		{"exactly two factors", mfa, "exact", []string{classMFA}, classMFA},
		{"exactly two factors, one shown", pwd, "exact", []string{classMFA}, "eidas1-mfa"},
		{"by default it is exact", pwd, "", []string{classMFA}, "eidas1-mfa"},
		{"an unknown context", mfa, "exact", []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI"}, no},
		{"unknown, or two factors", mfa, "exact", []string{"urn:x", classMFA}, classMFA},
		{"unspecified will do", passkey, "exact", []string{classUnspecified}, classUnspecified},
		{"at least a password", mfa, "minimum", []string{classProtected}, classMFA},
		{"at least a password, a passkey", passkey, "minimum", []string{classProtected}, classMFA},
		{"at least two factors", pwd, "minimum", []string{classMFA}, "eidas1-mfa"},
		{"at least something unknown", mfa, "minimum", []string{"urn:x"}, no},
		{"better than a password", pwd, "better", []string{classPassword}, "eidas1-mfa"},
		{"better than a password, two factors", mfa, "better", []string{classPassword}, classMFA},
		{"better than the best", mfa, "better", []string{classMFA}, no},
		{"at most a password", mfa, "maximum", []string{classPassword}, classProtected},
		{"at most a password, a passkey", passkey, "maximum", []string{classPassword}, no},
		{"at most two factors", pwd, "maximum", []string{classMFA}, classProtected},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked *wantedContext
			if c.classes != nil {
				asked = &wantedContext{Classes: c.classes, Comparison: c.comparison}
				if asked.Comparison == "" {
					asked.Comparison = "exact"
				}
			}
			var proofs []parvis.Proof
			for _, k := range c.proofs {
				proofs = append(proofs, parvis.Proof{Kind: k})
			}
			class, level := asked.choose(proofs)
			if got := class + level; got != c.want && (got != "" || c.want != no) {
				t.Errorf("%q, %q; want %q", class, level, c.want)
			}
		})
	}

	sp := provider("gestion")
	sp.RequestedAuthnContext = &saml.RequestedAuthnContext{Comparison: "exact", AuthnContextClassRef: classMFA}
	tn := newTown(t, declared(sp, "gestion", nil))
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	address, id := ask(t, sp, "", nil)
	res := v.get(address)
	back := res.back(t, "/prove")
	if !strings.Contains(res.location(), "level=eidas1-mfa&") {
		t.Errorf("asked for %q", res.location())
	}
	if top, second := statusOf(t, v.get(back+"&unmet=1")); top != saml.StatusResponder || second != no {
		t.Errorf("unmet: %s %s", top, second)
	}
	if top, second := statusOf(t, v.get(back)); top != saml.StatusResponder || second != no {
		t.Errorf("nothing shown, and no circle: %s %s", top, second)
	}
	v.raise(parvis.TOTP)
	got := read(t, sp, v.get(back), id)
	if got.AuthnStatements[0].AuthnContext.AuthnContextClassRef.Value != classMFA || told(got)["acr"][0] != "eidas2" {
		t.Errorf("after a code: %+v", got.AuthnStatements[0].AuthnContext)
	}
}

func TestSAMLForcePassiveAndNames(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", nil), declared(provider("courrier"), "courrier", nil))
	tn.knows(sp, parvis.Internal)
	yes, persistent, email := true, formatPersistent, formatEmail
	passive := func(q *saml.AuthnRequest) { q.IsPassive = &yes }
	address, _ := ask(t, sp, "", passive)
	if top, second := statusOf(t, tn.browser(parvis.Internal).get(address)); top != saml.StatusResponder || second != saml.StatusNoPassive {
		t.Errorf("passive, nobody in: %s %s", top, second)
	}
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	address, id := ask(t, sp, "", passive)
	read(t, sp, v.get(address), id)

	tn.clock.Move(time.Minute)
	address, id = ask(t, sp, "", func(q *saml.AuthnRequest) { q.ForceAuthn = &yes })
	back := v.get(address).back(t, "/prove")
	if top, second := statusOf(t, v.get(back)); top != saml.StatusResponder || second != saml.StatusAuthnFailed {
		t.Errorf("forced, nothing shown: %s %s", top, second)
	}
	tn.clock.Move(time.Minute)
	tn.browser(parvis.Internal).signInAs("A100002", parvis.Password).get(back).back(t, "/prove") // somebody else's proof
	v.raise(parvis.Password)
	got := read(t, sp, v.get(back), id)
	if !got.AuthnStatements[0].AuthnInstant.Equal(tn.clock.Now()) {
		t.Errorf("proved at %v", got.AuthnStatements[0].AuthnInstant)
	}

	address, id = ask(t, sp, "", func(q *saml.AuthnRequest) { f := formatTransient; q.NameIDPolicy.Format = &f })
	transient := read(t, sp, v.get(address), id).Subject.NameID
	if transient.Format != formatTransient || transient.Value == got.Subject.NameID.Value {
		t.Errorf("transient %+v", transient)
	}
	address, id = ask(t, sp, "", func(q *saml.AuthnRequest) { q.NameIDPolicy.Format = &persistent })
	read(t, sp, v.get(address), id)
	other := "https://courrier.example.org/saml"
	for name, change := range map[string]func(*saml.AuthnRequest){
		"more than IT decided":    func(q *saml.AuthnRequest) { q.NameIDPolicy.Format = &email },
		"a name of another's":     func(q *saml.AuthnRequest) { q.NameIDPolicy.SPNameQualifier = &other },
		"somebody else":           func(q *saml.AuthnRequest) { q.Subject = &saml.Subject{NameID: &saml.NameID{Value: "B200002"}} },
		"somebody without a name": func(q *saml.AuthnRequest) { q.Subject = &saml.Subject{} },
	} {
		address, _ := ask(t, sp, "", change)
		if _, second := statusOf(t, v.get(address)); second != saml.StatusInvalidNameIDPolicy && second != saml.StatusUnknownPrincipal {
			t.Errorf("%s: %s", name, second)
		}
	}
}

func TestSAMLRefused(t *testing.T) {
	sp := provider("gestion")
	app := declared(sp, "gestion", nil)
	app.Channels = []parvis.Channel{parvis.Internal}
	tn := newTown(t, app)
	tn.knows(sp, parvis.Mobile)
	v := tn.browser(parvis.Mobile).signIn(parvis.Password)
	address, _ := ask(t, sp, "", nil)
	if res := v.get(address); !strings.HasPrefix(res.location(), nomade+"/why/") {
		t.Errorf("refused: %d to %q", res.StatusCode, res.location())
	}
	yes := true
	address, _ = ask(t, sp, "", func(q *saml.AuthnRequest) { q.IsPassive = &yes })
	if _, second := statusOf(t, v.get(address)); second != saml.StatusRequestDenied {
		t.Errorf("refused, passive: %s", second)
	}
}

// TestSAMLStepUp: the rules of the application ask for a second proof.
func TestSAMLStepUp(t *testing.T) {
	sp := provider("gestion")
	app := declared(sp, "gestion", nil)
	app.Second, app.SecondStrength = true, parvis.NoSMS
	tn := newTown(t, app)
	tn.knows(sp, parvis.Internal)
	tn.write(func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "proof.added", Agent: "A100001", Actor: "A100001"})
		return tx.PutHeld(t.Context(), store.HeldRow{Held: parvis.Held{ID: "p1", Agent: "A100001", Kind: parvis.TOTP, Name: "x", Since: tx.Now()}, Secret: []byte("x")})
	})
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	address, id := ask(t, sp, "", nil)
	res := v.get(address)
	back := res.back(t, "/prove")
	if !strings.Contains(res.location(), "level=eidas2&") {
		t.Errorf("asked for %q", res.location())
	}
	for _, path := range []string{back, back + "&unmet=1"} {
		if res := v.get(path); !strings.HasPrefix(res.location(), agents+"/why/") {
			t.Errorf("nothing shown: %d to %q", res.StatusCode, res.location())
		}
	}
	v.raise(parvis.TOTP)
	if got := read(t, sp, v.get(back), id); got.AuthnStatements[0].AuthnContext.AuthnContextClassRef.Value != classMFA {
		t.Errorf("told %+v", got.AuthnStatements[0].AuthnContext)
	}
}

func TestSAMLKeysOverlap(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", nil))
	tn.knows(sp, parvis.Internal)
	certs := func() []string {
		var m saml.EntityDescriptor
		must(t, xml.Unmarshal([]byte(tn.browser(parvis.Internal).get(metaPath).body), &m))
		if m.EntityID != agents+metaPath || len(m.IDPSSODescriptors[0].SingleLogoutServices) != 2 {
			t.Fatalf("metadata %+v", m)
		}
		var all []string
		for _, k := range m.IDPSSODescriptors[0].KeyDescriptors {
			all = append(all, k.KeyInfo.X509Data.X509Certificates[0].Data)
		}
		return all
	}
	signs := func() string {
		keys, err := tn.keys(t.Context())
		must(t, err)
		return base64.StdEncoding.EncodeToString(keys[0].cert.Raw)
	}
	first := certs()
	if len(first) != 1 {
		t.Fatalf("%d keys at first", len(first))
	}
	tn.clock.Move(keySigns - keyAnnounced)
	both := certs()
	if len(both) != 2 || both[0] != first[0] || signs() != first[0] {
		t.Fatalf("announced: %d keys, the old one signs: %v", len(both), signs() == first[0])
	}
	tn.clock.Move(keyAnnounced)
	if now := certs(); len(now) != 2 || signs() != both[1] {
		t.Fatalf("taken over: %d keys, the new one signs: %v", len(now), signs() == both[1])
	}
	tn.clock.Move(keyLingers)
	if now := certs(); len(now) != 1 || now[0] != both[1] {
		t.Errorf("afterwards: %d keys", len(now))
	}
	if n := tn.events("saml.key_made"); n != 1 {
		t.Errorf("%d keys made", n)
	}
	if entity, pem := tn.Identity(parvis.Internal); entity != agents+metaPath || !strings.Contains(strings.ReplaceAll(pem, "\n", ""), both[1]) {
		t.Errorf("shown as %s, %s", entity, pem)
	}
	rows, err := tn.Store.Documents(t.Context(), keyKind)
	must(t, err)
	for _, row := range rows {
		if bytes.Contains(row.Body, []byte("der")) {
			t.Error("a key is kept in clear")
		}
	}
}

func TestConsumer(t *testing.T) {
	yes, no := true, false
	p := &party{takes: []saml.IndexedEndpoint{
		{Location: "https://a.example.org/0", Index: 0, IsDefault: &no},
		{Location: "https://a.example.org/1", Index: 1},
		{Location: "https://a.example.org/2", Index: 2, IsDefault: &yes},
	}}
	for _, c := range []struct {
		address, index, want string
	}{
		{"", "", "https://a.example.org/2"},
		{"", "0", "https://a.example.org/0"},
		{"https://a.example.org/1", "", "https://a.example.org/1"},
		{"", "3", ""},
		{"", "01", ""},
		{"", "-1", ""},
		{"https://a.example.org/1", "1", ""},
		{"https://a.example.org/1/", "", ""},
		{"https://a.example.org/1?x", "", ""},
		{"https://A.example.org/1", "", ""},
		{"https://evil.example/1", "", ""},
		{"https://a.example.org/1#", "", ""},
		{"https://a.example.org/%31", "", ""},
		{" https://a.example.org/1", "", ""},
		{"//a.example.org/1", "", ""},
	} {
		got, ok := p.consumer(c.address, c.index)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%q %q: %q, %v", c.address, c.index, got, ok)
		}
	}
}

func openGCM(t testing.TB, key, sealed []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	must(t, err)
	aead, err := cipher.NewGCM(block)
	must(t, err)
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	must(t, err)
	return plain
}

// TestConsent: an application outside the organisation is told nothing that the
// agent did not agree to.
func TestConsent(t *testing.T) {
	sp := provider("dehors")
	outside := declared(sp, "dehors", nil)
	outside.External, outside.Attributes = true, []string{"email"}
	outside.CAS = &parvis.CASService{Services: []string{"https://dehors.example.org/"}}
	tn := newTown(t, outside)
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	yes := true
	address, _ := ask(t, sp, "", func(q *saml.AuthnRequest) { q.IsPassive = &yes })
	if _, second := statusOf(t, v.get(address)); second != saml.StatusNoPassive {
		t.Errorf("passive: %s", second)
	}
	if res := v.get(login("https://dehors.example.org/", "&gateway=true")); res.location() != "https://dehors.example.org/" {
		t.Errorf("gateway: %d %q", res.StatusCode, res.location())
	}
	address, id := ask(t, sp, "", nil)
	page := v.get(address)
	to, fields := page.form(t)
	if to != consentPath || strings.Contains(page.body, "SAMLResponse") || !strings.Contains(page.body, "federation_consent") {
		t.Fatalf("not asked: %s", page.body)
	}
	fields.Set("answer", "yes")
	if res := v.send(http.MethodPost, to, fields, http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}); res.StatusCode != http.StatusForbidden {
		t.Errorf("agreed by another site: %d", res.StatusCode)
	}
	if res := tn.browser(parvis.Internal).send(http.MethodPost, to, fields, nil); res.StatusCode < 400 {
		t.Errorf("agreed by nobody: %d", res.StatusCode)
	}
	if res := tn.browser(parvis.Internal).signInAs("A100002", parvis.Password).send(http.MethodPost, to, fields, nil); res.StatusCode != http.StatusConflict {
		t.Errorf("agreed by somebody else: %d", res.StatusCode)
	}
	no := url.Values{"ticket": fields["ticket"], "answer": {"no"}}
	if res := v.send(http.MethodPost, to, no, nil); res.location() != "/" || tn.events("consent.given") != 0 {
		t.Errorf("declined: %d %q", res.StatusCode, res.location())
	}
	res := v.send(http.MethodPost, to, fields, nil)
	if got := told(read(t, sp, v.get(res.location()), id)); len(got["urn:oid:0.9.2342.19200300.100.1.3"]) != 1 || tn.events("consent.given") != 1 {
		t.Errorf("agreed, and told %v", got)
	}
	ticketOf(t, v.get(login("https://dehors.example.org/")), "https://dehors.example.org/")
}

func TestHead(t *testing.T) {
	tn := newTown(t, forum())
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	if res := v.send(http.MethodHead, login("https://forum.example.org/app/"), nil, nil); res.StatusCode != http.StatusMethodNotAllowed || res.location() != "" {
		t.Errorf("HEAD: %d to %q", res.StatusCode, res.location())
	}
	for path, want := range map[string]bool{"/cas/login": true, "/saml/slo": true, consentPath: true, "/cas": false, "/saml/metadata/": false, "/": false, "/casx/login": false} {
		if tn.Serves(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
