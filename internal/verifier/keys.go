package verifier

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/seal"
)

const (
	askKeysEvery = time.Minute // for keys that nobody here has seen
	mostKeys     = 64
	leastRSA     = 2048 // bits (RFC 7518 §3.3)
)

var errKey = errors.New("no key of the provider's made this signature")

// signedBy are the algorithms believed: none and the symmetric ones never are
// (RFC 8725 §3.1).
func signedBy() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256}
}

// ring is the keys of a provider.
type ring struct {
	keys   []jose.JSONWebKey
	got    time.Time
	asked  time.Time // the last time keys were asked for because one was unknown
	failed time.Time // the last time they did not come
}

// keySet checks signatures with the keys of a provider, for package oidc. It
// keeps what kept it from asking for keys, which that package does not tell.
type keySet struct {
	r      *remote
	meta   *metadata
	silent error
}

// VerifySignature gives the payload of a compact JWS.
func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(jwt, signedBy())
	if err != nil {
		return nil, err
	}
	for _, unknown := range []bool{false, true} {
		keys, fresh, err := k.r.keyring(ctx, k.meta, unknown)
		if err != nil {
			k.silent = err
			return nil, err
		}
		for i := range keys {
			if fits(&keys[i], &jws.Signatures[0].Header) {
				if payload, err := jws.Verify(&keys[i]); err == nil {
					return payload, nil
				}
			}
		}
		if fresh {
			break
		}
	}
	return nil, errKey
}

// fits tells whether a key may have made a signature: of the algorithm's own
// family, so that no public key serves as a shared secret (RFC 8725 §2.1).
func fits(key *jose.JSONWebKey, h *jose.Header) bool {
	if h.KeyID != "" && key.KeyID != h.KeyID || key.Algorithm != "" && key.Algorithm != h.Algorithm {
		return false
	}
	switch pub := key.Key.(type) {
	case *ecdsa.PublicKey:
		return h.Algorithm == string(jose.ES256) && pub.Curve == elliptic.P256()
	case *rsa.PublicKey:
		return (h.Algorithm == string(jose.RS256) || h.Algorithm == string(jose.PS256)) && pub.N.BitLen() >= leastRSA
	}
	return false
}

// keyring gives the keys of the provider, asking for them when they are more
// than an hour old and, at most once a minute, when one was not among them.
// fresh tells that they came with this very question.
func (r *remote) keyring(ctx context.Context, meta *metadata, unknown bool) (keys []jose.JSONWebKey, fresh bool, err error) {
	r.asking.Lock()
	defer r.asking.Unlock()
	now := r.clock()
	if within(r.keys.got, now, keepAtMost) && (!unknown || within(r.keys.asked, now, askKeysEvery)) {
		return r.keys.keys, false, nil
	}
	if unknown {
		r.keys.asked = now
	}
	// Those who waited for a question that came to nothing do not ask it again
	// one after the other.
	if within(r.keys.failed, now, rest) {
		return nil, false, errSilent
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	text, _, err := r.get(ctx, meta.Keys, "")
	if err != nil {
		r.keys.failed = now
		r.fail(now)
		return nil, false, fmt.Errorf("keys: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		r.keys.failed = now
		return nil, false, fmt.Errorf("keys: %w", trimmed(err))
	}
	r.keys.keys, r.keys.got, r.keys.failed = nil, now, time.Time{}
	for _, raw := range set.Keys[:min(len(set.Keys), mostKeys)] {
		var key jose.JSONWebKey
		// Keys of a kind that is not known here are no fault (RFC 7517 §5).
		if json.Unmarshal(raw, &key) == nil && key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			r.keys.keys = append(r.keys.keys, key)
		}
	}
	return r.keys.keys, true, nil
}

// get reads an address of the provider.
func (r *remote) get(ctx context.Context, address, bearer string) (text []byte, mediaType string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("answer %d", res.StatusCode)
	}
	text, err = io.ReadAll(res.Body)
	mediaType, _, _ = strings.Cut(res.Header.Get("Content-Type"), ";")
	return text, strings.ToLower(strings.TrimSpace(mediaType)), err
}

// ownKeys are the keys by which providers know us: one decrypts what is
// encrypted for us, the other signs for private_key_jwt.
type ownKeys struct {
	once          sync.Once
	decrypt, sign jose.JSONWebKey
	public        []byte
}

func (l *Link) ours() *ownKeys {
	l.own.once.Do(func() {
		l.own.decrypt = derive(l.Keys, "verifier decryption key", "enc", string(jose.ECDH_ES))
		l.own.sign = derive(l.Keys, "verifier client key", "sig", string(jose.ES256))
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{l.own.decrypt.Public(), l.own.sign.Public()}}
		l.own.public, _ = json.Marshal(set) // P-256 keys always have a JSON form
	})
	return &l.own
}

// derive makes a P-256 key of the installation's master key. One digest in
// 2^32 is no scalar of the curve; then the next one is taken.
func derive(keys *seal.Keys, purpose, use, alg string) jose.JSONWebKey {
	for n := byte(0); ; n++ {
		scalar := keys.MAC(purpose, []byte{n})
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
		if err != nil {
			continue
		}
		jwk := jose.JSONWebKey{Key: private, Use: use, Algorithm: alg}
		if name, err := jwk.Thumbprint(crypto.SHA256); err == nil {
			jwk.KeyID = base64.RawURLEncoding.EncodeToString(name)
		}
		return jwk
	}
}

// JWKS gives our public keys as a JSON Web Key Set, to be served at
// /verifier/jwks.json: with them a provider encrypts UserInfo for us (ECDH-ES)
// and knows us by private_key_jwt (ES256).
func (l *Link) JWKS() []byte { return l.ours().public }

// decrypted opens a JWE that is for us, and gives anything else back as it is.
func (l *Link) decrypted(raw string) (string, bool, error) {
	if strings.Count(raw, ".") != 4 {
		return raw, false, nil
	}
	jwe, err := jose.ParseEncryptedCompact(raw,
		[]jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW},
		[]jose.ContentEncryption{jose.A256GCM, jose.A128GCM, jose.A128CBC_HS256, jose.A256CBC_HS512})
	if err != nil {
		return "", true, err
	}
	plain, err := jwe.Decrypt(l.ours().decrypt.Key)
	return string(plain), true, err
}

// assertion proves who we are to a token endpoint (RFC 7523 §3). It is for the
// issuer alone, so that it opens nothing elsewhere.
func (l *Link) assertion(p Provider) (string, error) {
	key := l.ours().sign
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	id, _ := seal.Token()
	now := l.Clock()
	claims, err := json.Marshal(map[string]any{
		"iss": p.ClientID, "sub": p.ClientID, "aud": p.Issuer, "jti": id, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}
