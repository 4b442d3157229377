package federation

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"

	"parvis"
)

// unsigned is a service provider that does not sign its requests, as most.
func unsigned(m *saml.EntityDescriptor) { m.SPSSODescriptors[0].AuthnRequestsSigned = nil }

// 1. The enemy writes an authentication request for an application, unsigned as
// its metadata allow, and names as the format of the NameID the NameID of a
// colleague.
// 2. They post it to /saml/sso: it is taken, sealed, and goes on by GET.
// 3. They show the sealed request at /saml/slo, where what is sealed was signed
// by a service provider, as a link that the colleague follows.
// 4. The colleague is signed out of everything.
func TestARequestToSignInSignsNobodyOut(t *testing.T) {
	sp := provider("gestion")
	app := declared(sp, "gestion", unsigned)
	app.SAML.NameID = "uid"
	tn := newTown(t, app)
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	name := signedIn(tn, sp, v).Subject.NameID.Value

	q, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(saml.HTTPPostBinding), saml.HTTPPostBinding, saml.HTTPPostBinding)
	must(t, err)
	q.NameIDPolicy.Format, q.Signature = &name, nil
	document, err := written(q.Element())
	must(t, err)
	res := v.cross(ssoPath, map[string][]string{"SAMLRequest": {base64.StdEncoding.EncodeToString(document)}})
	sealed, ok := strings.CutPrefix(res.location(), ssoPath)
	if !ok {
		t.Fatalf("posted: %d to %q %s", res.StatusCode, res.location(), res.body)
	}
	if res := v.get(sloPath + sealed); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a request to sign in, at the way out: %d to %q", res.StatusCode, res.location())
	}
	if !tn.alive(v) {
		t.Error("signed out by what no service provider signed")
	}
}

// What is sealed for one purpose is worth nothing for another.
func TestWhatIsSealedServesOnePurpose(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", nil))
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	a := signedIn(tn, sp, v)
	res := v.cross(sloPath, posted(t, leave(t, sp, a, func(q *saml.LogoutRequest) { q.SessionIndex = nil }).Element(), ""))
	sealed, ok := strings.CutPrefix(res.location(), sloPath)
	if !ok {
		t.Fatalf("posted: %d to %q %s", res.StatusCode, res.location(), res.body)
	}
	if res := v.get(ssoPath + sealed); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a request to sign out, at the way in: %d to %q\n%s", res.StatusCode, res.location(), res.body)
	}
	_, query, _ := strings.Cut(sealed, "=")
	form := map[string][]string{"ticket": {query}, "answer": {"yes"}}
	if res := v.send(http.MethodPost, consentPath, form, nil); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a request to sign out, as an agreement: %d to %q", res.StatusCode, res.location())
	}
}

// 1. The enemy opens the address of a service that wants a fresh proof, in a
// browser of their own, and stops at the door: the way back is sealed.
// 2. A colleague signs in at nine o'clock, and leaves their desk at half past.
// 3. The enemy puts the way back into the colleague's browser: the proof is
// younger than the mark in it.
func TestAMarkOfNobodyIsNoFreshProof(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", unsigned), forum())
	tn.knows(sp, parvis.Internal)
	service := "https://forum.example.org/app/"
	address, _ := ask(t, sp, "", func(q *saml.AuthnRequest) { yes := true; q.ForceAuthn = &yes })
	ways := map[string]string{"CAS": login(service) + "&renew=true", "SAML": address}

	enemy := tn.browser(parvis.Internal)
	for protocol, first := range ways {
		ways[protocol] = enemy.get(first).back(t, "/signin")
	}
	tn.clock.Move(5 * time.Minute)
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	tn.clock.Move(5 * time.Minute)
	for protocol, way := range ways { // the honest way back, soon
		if res := v.get(way); strings.HasPrefix(res.location(), "/prove") {
			t.Errorf("%s: asked again at once: %q", protocol, res.location())
		}
	}
	address, _ = ask(t, sp, "", func(q *saml.AuthnRequest) { yes := true; q.ForceAuthn = &yes })
	ways["SAML"] = enemy.get(address).back(t, "/signin")
	v.raise(parvis.Password)
	tn.clock.Move(30 * time.Minute)
	for protocol, way := range ways {
		if res := v.get(way); !strings.HasPrefix(res.location(), "/prove?") {
			t.Errorf("%s: a proof of half an hour ago is fresh: %d to %q", protocol, res.StatusCode, res.location())
		}
	}
}

// 1. Strangers ask for the metadata, and send passive requests, as fast as they
// can: an RSA signature each would keep both processors busy.
func TestStrangersGetFewSignatures(t *testing.T) {
	sp := provider("gestion")
	tn := newTown(t, declared(sp, "gestion", unsigned))
	tn.knows(sp, parvis.Internal)
	v := tn.browser(parvis.Internal)
	if a, b := v.get(metaPath), v.get(metaPath); a.body != b.body {
		t.Error("the metadata are signed again for everybody who asks")
	}
	if a, b := v.get(metaPath), tn.browser(parvis.Mobile).get(metaPath); a.body == b.body || b.StatusCode != http.StatusOK {
		t.Errorf("two entrances, one identity provider: %d", b.StatusCode)
	}
	address, _ := ask(t, sp, "", func(q *saml.AuthnRequest) { yes := true; q.IsPassive = &yes })
	count := map[int]int{}
	for range rationMost + 20 {
		count[v.get(address).StatusCode]++
	}
	if count[http.StatusOK] != rationMost || count[http.StatusTooManyRequests] != 20 {
		t.Errorf("answers to strangers: %v", count)
	}
	tn.clock.Move(time.Second)
	if res := v.get(address); res.StatusCode != http.StatusOK {
		t.Errorf("a second later: %d", res.StatusCode)
	}
	if top, second := statusOf(t, tn.browser(parvis.Internal).get(address)); top != saml.StatusResponder || second != saml.StatusNoPassive {
		t.Errorf("%s, %s", top, second)
	}
}

// 1. A message of a hundred bytes unpacks to twenty thousand, whose one element
// is not closed: the error repeats its name.
// 2. Each such request writes as much to the log.
func TestACauseIsShort(t *testing.T) {
	tn := newTown(t, forum())
	var log bytes.Buffer
	tn.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var packed bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.BestCompression)
	must(t, err)
	_, err = io.WriteString(z, "<"+strings.Repeat("a", 20000)+"></b>")
	must(t, errors.Join(err, z.Close()))
	res := tn.browser(parvis.Internal).get(ssoPath + "?SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes())))
	if res.StatusCode != http.StatusBadRequest || log.Len() == 0 || log.Len() > 1000 {
		t.Errorf("%d; %d bytes logged for %d", res.StatusCode, log.Len(), packed.Len())
	}
}
