package citytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	bigendian "encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// softKey is a passkey in a program: what an authenticator and its browser
// would answer (WebAuthn Level 3 §6), or what a thief would alter of it.
type softKey struct {
	t       *testing.T
	private *ecdsa.PrivateKey
	id      []byte
	user    string // the handle, as the site wrote it
	site    string // WebAuthn RP ID
	origin  string // where the browser says it is
	counter uint32
}

func newSoftKey(t *testing.T, origin string) *softKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id) // it never fails
	host, _, _ := strings.Cut(strings.TrimPrefix(origin, "http://"), ":")
	return &softKey{t: t, private: private, id: id, site: host, origin: origin}
}

// asked reads what a page asks of the browser.
func (k *softKey) asked(p *Page) (challenge, user string) {
	k.t.Helper()
	form := find(p.root, func(n *html.Node) bool { return n.Data == "form" && attr(n, "data-passkey") != "" })
	if form == nil {
		k.t.Fatalf("%s asks for no passkey:\n%s", p.Screen, p.Text())
	}
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
	if err := json.Unmarshal([]byte(attr(form, "data-passkey")), &o); err != nil {
		k.t.Fatal(err)
	}
	if o.PublicKey != nil {
		o.asked = *o.PublicKey
	}
	return o.Challenge, o.User.ID
}

func (k *softKey) client(kind, challenge string) []byte {
	data, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": k.origin, "crossOrigin": false})
	if err != nil {
		k.t.Fatal(err)
	}
	return data
}

// present, verified, attested are flags of authenticator data (WebAuthn §6.1).
const present, verified, attested = 0x01, 0x04, 0x40

func (k *softKey) data(flags byte) []byte {
	hash := sha256.Sum256([]byte(k.site))
	return bigendian.BigEndian.AppendUint32(append(hash[:], flags), k.counter)
}

// create answers the making of a passkey, with no attestation.
func (k *softKey) create(p *Page) string {
	k.t.Helper()
	challenge, user := k.asked(p)
	k.user = user
	public, err := k.private.PublicKey.Bytes()
	if err != nil {
		k.t.Fatal(err)
	}
	cose := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20} // EC2, ES256, P-256 (RFC 9053 §7.1.1)
	cose = append(append(append(cose, public[1:33]...), 0x22, 0x58, 0x20), public[33:]...)
	data := append(k.data(present|verified|attested), make([]byte, 16)...)
	data = append(bigendian.BigEndian.AppendUint16(data, uint16(len(k.id))), k.id...)
	data = append(data, cose...)
	object := append([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"), byte(len(data)))
	return k.answer(map[string]string{
		"clientDataJSON": inB64(k.client("webauthn.create", challenge)), "attestationObject": inB64(append(object, data...)),
	})
}

// get answers the challenge of a page. alter, when there is one, changes what
// the browser said after the authenticator signed it.
func (k *softKey) get(p *Page, alter func(client []byte) []byte) string {
	k.t.Helper()
	challenge, _ := k.asked(p)
	k.counter++
	client, data := k.client("webauthn.get", challenge), k.data(present|verified)
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(slices.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, signed[:])
	if err != nil {
		k.t.Fatal(err)
	}
	if alter != nil {
		client = alter(client)
	}
	return k.answer(map[string]string{
		"clientDataJSON": inB64(client), "authenticatorData": inB64(data), "signature": inB64(signature), "userHandle": k.user,
	})
}

func (k *softKey) answer(response map[string]string) string {
	body, err := json.Marshal(map[string]any{
		"id": inB64(k.id), "rawId": inB64(k.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return string(body)
}

func inB64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// press sends the form of a page that posts to path and holds the named fields;
// a hidden field must hold the value itself. It is for pages of several forms.
func (v *Visitor) press(p *Page, path string, fields map[string]string) *Page {
	v.tb.Helper()
	form := v.formOf(p, path, fields)
	if form == nil {
		v.tb.Fatalf("no form to %s with %v on %s (screen %s):\n%s", path, fields, p.URL, p.Screen, p.Text())
	}
	values := map[string][]string{}
	each(form, func(n *html.Node) {
		if n.Type == html.ElementNode && attr(n, "type") == "hidden" {
			values[attr(n, "name")] = []string{attr(n, "value")}
		}
	})
	for name, value := range fields {
		values[name] = []string{value}
	}
	action, err := p.URL.Parse(path)
	if err != nil {
		v.tb.Fatal(err)
	}
	return v.Post(action.String(), values)
}

func (v *Visitor) formOf(p *Page, path string, fields map[string]string) *html.Node {
	return find(p.root, func(n *html.Node) bool {
		if n.Data != "form" || attr(n, "action") != path {
			return false
		}
		for name, value := range fields {
			f := find(n, func(f *html.Node) bool { return attr(f, "name") == name })
			if f == nil || attr(f, "type") == "hidden" && attr(f, "value") != value && name != "passkey" {
				return false
			}
		}
		return true
	})
}
