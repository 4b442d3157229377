package credential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"slices"
	"testing"
	"time"

	"parvis"
)

// The flags of authenticator data (WebAuthn §6.1).
const (
	flagUP, flagUV, flagBE, flagBS, flagAT = 0x01, 0x04, 0x08, 0x10, 0x40
)

// device is a telephone or a key with one passkey, and the browser before it.
// Each field may be made to lie.
type device struct {
	testing.TB
	key     *ecdsa.PrivateKey
	id      []byte
	handle  string // as the site wrote it
	site    string
	origin  string
	flags   byte
	counter uint32
	model   [16]byte
	maker   *maker // nil: no attestation
	self    bool   // attests itself

	kind      string // of the ceremony; what is asked when empty
	challenge string // what is asked when empty
	cross     bool   // in a frame of another site
}

const (
	here   = "portal.localhost"
	origin = "http://portal.localhost:8080"
)

func newDevice(t testing.TB) *device {
	t.Helper()
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &device{TB: t, key: newKey(t), id: id, site: here, origin: origin, flags: flagUP | flagUV}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// requested is what a site asks of a browser.
type requested struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
		RP        struct {
			ID string `json:"id"`
		} `json:"rp"`
		RPID string `json:"rpId"`
		User struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"user"`
		Exclude []descriptor `json:"excludeCredentials"`
		Allow   []descriptor `json:"allowCredentials"`
		Select  struct {
			Resident string `json:"residentKey"`
			Verify   string `json:"userVerification"`
		} `json:"authenticatorSelection"`
		Verify      string `json:"userVerification"`
		Attestation string `json:"attestation"`
	} `json:"publicKey"`
}

type descriptor struct {
	ID string `json:"id"`
}

func ask(t testing.TB, options json.RawMessage) requested {
	t.Helper()
	var r requested
	if err := json.Unmarshal(options, &r); err != nil || r.PublicKey.Challenge == "" {
		t.Fatalf("%v: %s", err, options)
	}
	return r
}

func (d *device) client(kind, challenge string) []byte {
	if d.kind != "" {
		kind = d.kind
	}
	if d.challenge != "" {
		challenge = d.challenge
	}
	data, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": d.origin, "crossOrigin": d.cross})
	return data
}

func (d *device) data(flags byte) []byte {
	hash := sha256.Sum256([]byte(d.site))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), d.counter)
}

func sign(t testing.TB, key *ecdsa.PrivateKey, data, client []byte) []byte {
	t.Helper()
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(slices.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, key, signed[:])
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// create answers the making of a passkey (WebAuthn §6.5.4).
func (d *device) create(options json.RawMessage) []byte {
	d.Helper()
	asked := ask(d, options)
	d.handle = asked.PublicKey.User.ID
	public, err := d.key.PublicKey.Bytes()
	if err != nil {
		d.Fatal(err)
	}
	cose := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20} // EC2, ES256, P-256 (RFC 9053 §7.1.1)
	cose = append(append(append(cose, public[1:33]...), 0x22, 0x58, 0x20), public[33:]...)
	data := append(d.data(d.flags|flagAT), d.model[:]...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(d.id))), d.id...)
	data = append(data, cose...)
	client := d.client("webauthn.create", asked.PublicKey.Challenge)
	format, statement := "none", []byte{0xa0}
	switch {
	case d.maker != nil: // {alg, sig, x5c}, §8.2
		signature := cborBytes(sign(d, d.maker.key, data, client))
		statement = slices.Concat([]byte("\xa3\x63alg\x26\x63sig"), signature, []byte("\x63x5c\x81"), cborBytes(d.maker.cert.Raw))
		format = "packed"
	case d.self:
		statement = slices.Concat([]byte("\xa2\x63alg\x26\x63sig"), cborBytes(sign(d, d.key, data, client)))
		format = "packed"
	}
	object := slices.Concat([]byte("\xa3\x63fmt"), []byte{0x60 | byte(len(format))}, []byte(format), []byte("\x67attStmt"), statement,
		[]byte("\x68authData"), cborBytes(data))
	return d.answer(map[string]string{"clientDataJSON": b64url(client), "attestationObject": b64url(object)})
}

// get answers a challenge (WebAuthn §6.3.3).
func (d *device) get(options json.RawMessage) []byte {
	d.Helper()
	client, data := d.client("webauthn.get", ask(d, options).PublicKey.Challenge), d.data(d.flags)
	return d.answer(map[string]string{
		"clientDataJSON": b64url(client), "authenticatorData": b64url(data),
		"signature": b64url(sign(d, d.key, data, client)), "userHandle": d.handle,
	})
}

func (d *device) answer(response map[string]string) []byte {
	if response["userHandle"] == "" {
		delete(response, "userHandle")
	}
	body, _ := json.Marshal(map[string]any{
		"id": b64url(d.id), "rawId": b64url(d.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	return body
}

func b64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func cborBytes(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0x59}, uint16(len(b))), b...)
}

// maker vouches for its devices.
type maker struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	root *x509.CertPool
}

func newMaker(t testing.TB, model [16]byte) *maker {
	t.Helper()
	rootKey, key := newKey(t), newKey(t)
	from, to := time.Unix(1, 0), time.Unix(1<<33, 0)
	top := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	octets, err := asn1.Marshal(model[:])
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{ // §8.2.1
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, BasicConstraintsValid: true,
		Subject:         pkix.Name{Country: []string{"FR"}, Organization: []string{"Clés"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "Lot 1"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: octets}},
	}
	certify := func(what, by *x509.Certificate, public *ecdsa.PublicKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, what, by, public, rootKey)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	root := certify(top, top, &rootKey.PublicKey)
	m := &maker{key: key, cert: certify(leaf, root, &key.PublicKey), root: x509.NewCertPool()}
	m.root.AddCert(root)
	return m
}

// at is an ask for an agent, or nobody, at the site of these tests.
func at(agent *parvis.Agent) PasskeyAsk {
	return PasskeyAsk{Agent: agent, Site: here, Origins: []string{origin}}
}

// answered is the answer to it.
func (a PasskeyAsk) answered(ticket string, response []byte) PasskeyAnswer {
	return PasskeyAnswer{Agent: a.Agent, Site: a.Site, Origins: a.Origins, Ticket: ticket, Response: response, Name: "Le mien"}
}
