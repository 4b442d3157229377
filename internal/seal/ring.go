package seal

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// The life of a signing key: published before it signs, so that those who check
// know it, and after it has stopped, so that what it signed can still be checked.
const (
	keySigns     = 90 * 24 * time.Hour
	keyAnnounced = time.Hour
	keyLingers   = 24 * time.Hour

	// KeyKept is how long a key is worth keeping after it was made: an
	// installation may sleep for long.
	KeyKept = 400 * 24 * time.Hour
)

// SigningKey is one private key of a [Ring]. ID is the name under which its
// owner keeps it, KID the name under which it is published (RFC 7638). Made
// with [Ring.Next], read back with [ReadSigningKey].
type SigningKey struct {
	ID, Alg, KID string
	Created      time.Time
	Key          crypto.Signer
}

// String hides the key.
func (SigningKey) String() string { return sealed }

// GoString hides the key.
func (SigningKey) GoString() string { return sealed }

// keptKey is a key as it is written; its writer seals it.
type keptKey struct {
	Alg     string    `json:"alg"`
	DER     []byte    `json:"der"` // PKCS #8
	Created time.Time `json:"created"`
}

// Marshal writes a key, to be sealed and kept.
func (k SigningKey) Marshal() []byte {
	return must(json.Marshal(keptKey{k.Alg, must(x509.MarshalPKCS8PrivateKey(k.Key)), k.Created}))
}

// ReadSigningKey reads what Marshal wrote; [parvis.CodeInvalid] for anything
// else.
func ReadSigningKey(id string, kept []byte) (SigningKey, error) {
	const op = "seal.ReadSigningKey"
	var written keptKey
	if err := json.Unmarshal(kept, &written); err != nil {
		return SigningKey{}, invalid(op, errors.New("not a key")) // the error of json would say what is there
	}
	parsed, err := x509.ParsePKCS8PrivateKey(written.DER)
	if err != nil {
		return SigningKey{}, invalid(op, errors.New("not a private key"))
	}
	k := SigningKey{ID: id, Alg: written.Alg, Created: written.Created}
	switch key := parsed.(type) {
	case *ecdsa.PrivateKey:
		if written.Alg == "ES256" && key.Curve == elliptic.P256() {
			k.Key, k.KID = key, thumbprint(&key.PublicKey)
		}
	case *rsa.PrivateKey:
		if written.Alg == "RS256" {
			k.Key, k.KID = key, thumbprintRSA(&key.PublicKey)
		}
	}
	if k.Key == nil {
		return SigningKey{}, invalid(op, errors.New("the key is not of its algorithm"))
	}
	return k, nil
}

// thumbprintRSA names a public key by its contents (RFC 7638 §3.2).
func thumbprintRSA(key *rsa.PublicKey) string {
	half := base64.RawURLEncoding.EncodeToString
	sum := sha256.Sum256(must(json.Marshal(struct {
		E   string `json:"e"`
		Kty string `json:"kty"`
		N   string `json:"n"`
	}{half(big.NewInt(int64(key.E)).Bytes()), "RSA", half(key.N.Bytes())})))
	return half(sum[:])
}

// Ring is the signing keys of one service, in any order.
type Ring []SigningKey

// of gives the keys of one algorithm, oldest first.
func (r Ring) of(alg string) Ring {
	var keys Ring
	for _, k := range r {
		if k.Alg == alg {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b SigningKey) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return keys
}

// Next makes the key of an algorithm that has to be added at a moment: the
// first one, or the one that follows a key that has signed for 90 days. False
// when none is due. alg is "ES256" or "RS256" (2048 bits). Two that ask at once
// make keys of one ID: the first to keep theirs is right.
func (r Ring) Next(alg string, at time.Time) (SigningKey, bool) {
	keys := r.of(alg)
	n := 0
	if last := len(keys) - 1; last >= 0 {
		if at.Sub(keys[last].Created) < keySigns {
			return SigningKey{}, false
		}
		// Names go up, whatever was removed meanwhile.
		_, _ = fmt.Sscanf(keys[last].ID, alg+"-%d", &n)
		n++
	}
	k := SigningKey{ID: fmt.Sprintf("%s-%06d", alg, n), Alg: alg, Created: at.UTC()}
	if alg == "RS256" {
		key := must(rsa.GenerateKey(rand.Reader, 2048))
		k.Key, k.KID = key, thumbprintRSA(&key.PublicKey)
	} else {
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		k.Key, k.KID = key, thumbprint(&key.PublicKey)
	}
	return k, true
}

// Published gives the keys of an algorithm that may be published at a moment:
// first the one that signs, then those still to come and those whose signatures
// may still travel.
func (r Ring) Published(alg string, at time.Time) Ring {
	keys := r.of(alg)
	signs := 0
	for i, k := range keys {
		if !at.Before(k.Created.Add(keyAnnounced)) {
			signs = i
		}
	}
	var all Ring
	for i, k := range keys {
		switch {
		case i == signs:
			all = slices.Insert(all, 0, k)
		case i > signs || at.Before(keys[i+1].Created.Add(keyAnnounced+keyLingers)):
			all = append(all, k)
		}
	}
	return all
}
