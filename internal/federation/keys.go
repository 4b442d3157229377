package federation

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/store"
)

// The life of the key that signs for SAML. Service providers read metadata by
// hand or by night, so a new key is shown two months before it signs and the
// old one a month after. Dates are the machine's: other programs read them.
const (
	keySigns     = 3 * 365 * 24 * time.Hour
	keyAnnounced = 60 * 24 * time.Hour
	keyLingers   = 30 * 24 * time.Hour
	keyKept      = keySigns + 10*365*24*time.Hour
	keyLook      = time.Minute // how often another process's keys are looked for
	keyBits      = 3072

	keyKind = "saml_key"
)

// keyring holds the keys as last read; the one that signs first.
type keyring struct {
	mu   sync.Mutex
	read time.Time
	keys []*signingKey
}

// signingKey is a key and its certificate, as it is kept, sealed.
type signingKey struct {
	DER     []byte    `json:"der"`  // PKCS #8
	Cert    []byte    `json:"cert"` // X.509, self-signed: it only carries the key
	Created time.Time `json:"created"`

	id   string
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// keys gives the keys that service providers must know, the one that signs now
// first. A key that has signed long enough gets a successor by the way.
func (f *Federation) keys(ctx context.Context) ([]*signingKey, error) {
	f.ring.mu.Lock()
	defer f.ring.mu.Unlock()
	now := f.wall()
	if age := now.Sub(f.ring.read); len(f.ring.keys) > 0 && age >= 0 && age < keyLook {
		return f.ring.keys, nil
	}
	all, err := f.readKeys(ctx)
	if err != nil {
		return nil, err
	}
	if last := len(all) - 1; last < 0 || now.Sub(all[last].Created) >= keySigns-keyAnnounced {
		if err := f.makeKey(ctx, now, all); err != nil {
			return nil, err
		}
		if all, err = f.readKeys(ctx); err != nil {
			return nil, err
		}
	}
	f.ring.read, f.ring.keys = now, inForce(all, now)
	return f.ring.keys, nil
}

// inForce orders keys, oldest first when given: the one that signs, those to
// come, those that signed until lately. The first of all signs at once.
func inForce(all []*signingKey, now time.Time) []*signingKey {
	signs := 0
	for i, k := range all {
		if !now.Before(k.Created.Add(keyAnnounced)) {
			signs = i
		}
	}
	var out []*signingKey
	for i, k := range all {
		switch {
		case i == signs:
			out = slices.Insert(out, 0, k)
		case i > signs || now.Before(all[i+1].Created.Add(keyAnnounced+keyLingers)):
			out = append(out, k)
		}
	}
	return out
}

func (f *Federation) readKeys(ctx context.Context) ([]*signingKey, error) {
	documents, err := f.Store.Documents(ctx, keyKind)
	if err != nil {
		return nil, err
	}
	var all []*signingKey
	for _, d := range documents {
		k := &signingKey{id: d.ID}
		plain, err := f.kept.Open(d.Body, keyKind+"/"+d.ID)
		if err == nil {
			err = json.Unmarshal(plain, k)
		}
		if err == nil {
			err = k.parse()
		}
		if err != nil {
			return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "federation.readKeys", Err: err}
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *signingKey) int { return strings.Compare(a.id, b.id) })
	return all, nil
}

func (k *signingKey) parse() error {
	key, err := x509.ParsePKCS8PrivateKey(k.DER)
	if err != nil {
		return err
	}
	var ok bool
	if k.key, ok = key.(*rsa.PrivateKey); !ok {
		return errors.New("not an RSA key")
	}
	k.cert, err = x509.ParseCertificate(k.Cert)
	return err
}

// makeKey adds the key that follows. When another process was faster, its key
// is the one.
func (f *Federation) makeKey(ctx context.Context, now time.Time, before []*signingKey) error {
	n := 0
	if len(before) > 0 {
		if _, err := fmt.Sscanf(before[len(before)-1].id, "%06d", &n); err != nil {
			return &parvis.Error{Code: parvis.CodeInternal, Op: "federation.makeKey", Err: err}
		}
		n++
	}
	body, err := newKey(now)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "federation.makeKey", Err: err}
	}
	id := fmt.Sprintf("%06d", n)
	return f.Store.Write(ctx, func(tx *store.Tx) error {
		made, err := tx.PutDocument(ctx, store.Document{
			Kind: keyKind, ID: id, Body: f.kept.Seal(body, keyKind+"/"+id), Expires: tx.Now().Add(keyKept),
		})
		if made {
			tx.Record(parvis.Event{Kind: "saml.key_made", Actor: "system", Detail: map[string]string{"key": id}})
		}
		return err
	})
}

func newKey(now time.Time) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Parvis SAML"}, KeyUsage: x509.KeyUsageDigitalSignature,
		// Longer than it signs: some service providers read the dates.
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(keySigns + keyAnnounced + keyLingers + 365*24*time.Hour),
		BasicConstraintsValid: true, SignatureAlgorithm: x509.SHA256WithRSA,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "Parvis SAML"}}, key.Public(), key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(signingKey{DER: der, Cert: cert, Created: now.UTC()})
}
