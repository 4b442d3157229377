package signin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// key is a passkey in somebody's telephone (WebAuthn §6).
type key struct {
	*testing.T
	private *ecdsa.PrivateKey
	id      []byte
	user    string // the handle, as the site wrote it
	site    string
	origin  string
	counter uint32
}

func (t *town) newKey(site, origin string) *key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &key{T: t.T, private: private, id: id, site: site, origin: origin}
}

// asked reads what a site asks of a browser.
func (k *key) asked(options json.RawMessage) (challenge, user string) {
	k.Helper()
	type asked struct {
		Challenge string `json:"challenge"`
		User      struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	var o struct {
		asked
		PublicKey *asked `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		k.Fatalf("%v: %s", err, options)
	}
	if o.PublicKey != nil {
		return o.PublicKey.Challenge, o.PublicKey.User.ID
	}
	return o.Challenge, o.User.ID
}

func (k *key) client(kind, challenge string) []byte {
	data, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": k.origin, "crossOrigin": false})
	return data
}

const (
	present, verified, attested = 0x01, 0x04, 0x40
)

func (k *key) data(flags byte) []byte {
	hash := sha256.Sum256([]byte(k.site))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), k.counter)
}

// create answers the making of a passkey, with no attestation.
func (k *key) create(options json.RawMessage) []byte {
	k.Helper()
	challenge, user := k.asked(options)
	k.user = user
	public, err := k.private.PublicKey.Bytes()
	if err != nil {
		k.Fatal(err)
	}
	cose := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20} // EC2, ES256, P-256 (RFC 9053 §7.1.1)
	cose = append(append(append(cose, public[1:33]...), 0x22, 0x58, 0x20), public[33:]...)
	data := append(k.data(present|verified|attested), make([]byte, 16)...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(k.id))), k.id...)
	data = append(data, cose...)
	object := append([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"), byte(len(data)))
	return k.answer(map[string]string{
		"clientDataJSON": b64(k.client("webauthn.create", challenge)), "attestationObject": b64(append(object, data...)),
	})
}

// get answers a challenge.
func (k *key) get(options json.RawMessage) []byte {
	k.Helper()
	challenge, _ := k.asked(options)
	k.counter++
	client, data := k.client("webauthn.get", challenge), k.data(present|verified)
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(slices.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, signed[:])
	if err != nil {
		k.Fatal(err)
	}
	return k.answer(map[string]string{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": k.user,
	})
}

func (k *key) answer(response map[string]string) []byte {
	body, _ := json.Marshal(map[string]any{
		"id": b64(k.id), "rawId": b64(k.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	return body
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// passkey adds one, as its owner would.
func (t *town) passkey(w Holder, k *key) ProofOutcome {
	t.Helper()
	offer := t.act(t.hub.OfferPasskey(t.Context(), w))
	if offer.Reason.Code != "" {
		return offer
	}
	return t.act(t.hub.AddPasskey(t.Context(), Enrolment{Holder: w, Ticket: offer.Ticket, Response: k.create(offer.Options), Name: "Téléphone"}))
}

func TestPasskeyAtTheDoor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100005", right, func(a *parvis.Agent) { a.Profiles = []parvis.ProfileID{parvis.ExtendedRights} })
		k := town.newKey("nomade.localhost", "http://nomade.localhost:8081")
		w := town.arriving("A100005")
		if out := town.passkey(w, k); !out.Done || out.Held.Kind != parvis.Passkey || out.Held.Site != "nomade.localhost" {
			t.Fatalf("%+v", out)
		}
		// Nobody has said who they are: the passkey says it.
		page := town.advance(In{Return: "RETURN"})
		if page.Step != StepIdentifier || len(page.PasskeyOptions) == 0 || page.PasskeyTicket == "" {
			t.Fatalf("%+v", page)
		}
		in := In{Passkey: k.get(page.PasskeyOptions), PasskeyTicket: page.PasskeyTicket}
		done := town.answer(page, in)
		town.want(done, StepDone)
		town.shown(done, parvis.Passkey)
		if done.Session.Agent != "A100005" || done.Return != "RETURN" || done.Device == "" {
			t.Errorf("%+v", done)
		}
		// the same answer once more; from another site; through another entrance.
		town.want(town.answer(town.advance(In{}), in), StepIdentifier, parvis.WhyPasskeyUnavailable)
		fake := *k
		fake.origin = "http://nomade.localhost.example:8081"
		page = town.advance(In{})
		town.want(town.answer(page, In{Passkey: fake.get(page.PasskeyOptions), PasskeyTicket: page.PasskeyTicket}), StepIdentifier, parvis.WhyPasskeyUnavailable)
		page = town.advance(In{Origin: office})
		town.want(town.answer(page, In{Passkey: k.get(page.PasskeyOptions), PasskeyTicket: page.PasskeyTicket, Origin: office}), StepIdentifier, parvis.WhyPasskeyUnavailable)
		// As a second proof, after a password.
		page = town.sign("A100005", right, In{})
		town.want(page, StepSecondFactor)
		if page.Method.Kind != parvis.Passkey || len(page.PasskeyOptions) == 0 {
			t.Fatalf("%+v", page)
		}
		done = town.answer(page, In{Passkey: k.get(page.PasskeyOptions), PasskeyTicket: page.PasskeyTicket})
		town.want(done, StepDone)
		town.shown(done, parvis.Password, parvis.Passkey)
		// Within the walls it belongs to another site: it is not asked for there.
		town.want(town.sign("A100005", right, In{Origin: office}), StepDone)
		// Somebody else's passkey is no second proof of hers.
		town.agent("A100001", right, nil)
		other := town.newKey("nomade.localhost", "http://nomade.localhost:8081")
		if out := town.passkey(town.arriving("A100001"), other); !out.Done {
			t.Fatalf("%+v", out)
		}
		page = town.sign("A100005", right, In{})
		town.want(town.answer(page, In{Passkey: other.get(page.PasskeyOptions), PasskeyTicket: page.PasskeyTicket}), StepSecondFactor, parvis.WhyPasskeyUnavailable)
	})
}

// The last way in never goes, lost or not.
func TestTheLastWayIn(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100008", "", nil)
	w := town.arriving("A100008")
	k := town.newKey("nomade.localhost", "http://nomade.localhost:8081")
	added := town.passkey(w, k)
	if !added.Done {
		t.Fatalf("%+v", added)
	}
	page := town.advance(In{})
	done := town.answer(page, In{Passkey: k.get(page.PasskeyOptions), PasskeyTicket: page.PasskeyTicket})
	town.want(done, StepDone)
	w = Holder{Number: "A100008", Session: done.Session, Origin: street}
	for _, lost := range []bool{false, true} {
		if out := town.act(town.hub.RemoveProof(t.Context(), w, added.Held.ID, lost)); out.Done || out.Reason.Code != parvis.WhyFactorRemovalForbidden {
			t.Errorf("lost %v: %+v", lost, out)
		}
	}
	clock.Move(time.Minute)
	if out := town.passkey(w, town.newKey("nomade.localhost", "http://nomade.localhost:8081")); !out.Done {
		t.Fatalf("another one: %+v", out.Reason)
	}
	if out := town.act(town.hub.RemoveProof(t.Context(), town.moved(w), added.Held.ID, true)); !out.Done {
		t.Errorf("then: %+v", out.Reason)
	}
}

// Somebody who signs in with a passkey, and whose password was found elsewhere,
// chooses another before anything else.
func TestPasskeyThenPassword(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	k := town.newKey("nomade.localhost", "http://nomade.localhost:8081")
	if out := town.passkey(town.arriving("A100001"), k); !out.Done {
		t.Fatalf("%+v", out)
	}
	err := town.store.Write(t.Context(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "password.leaked", Agent: "A100001", Actor: "system"})
		return tx.SetPasswordLeaked(t.Context(), "A100001")
	})
	if err != nil {
		t.Fatal(err)
	}
	page := town.advance(In{})
	held := town.answer(page, In{Passkey: k.get(page.PasskeyOptions), PasskeyTicket: page.PasskeyTicket})
	town.want(held, StepNewPassword, parvis.WhyPasswordCompromised)
	done := town.answer(held, In{NewPassword: fresh})
	town.want(done, StepDone)
	town.shown(done, parvis.Password, parvis.Passkey)
}
