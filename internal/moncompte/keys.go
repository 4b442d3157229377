package moncompte

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/store"
)

// The life of a signing key: published before it signs, so that clients know
// it, and after it has stopped, so that what it signed can still be checked.
const (
	keySigns     = 90 * 24 * time.Hour
	keyAnnounced = time.Hour
	keyLingers   = 24 * time.Hour
	keyKept      = 400 * 24 * time.Hour // an installation may sleep for long
	keyLook      = time.Minute          // how often another process's keys are looked for
)

// keyring holds the signing keys as last read.
type keyring struct {
	mu   sync.Mutex
	read time.Time
	keys goidc.JSONWebKeySet
}

// signingKey is a key as it is kept, sealed.
type signingKey struct {
	Alg     goidc.SignatureAlgorithm `json:"alg"`
	DER     []byte                   `json:"der"` // PKCS #8
	Created time.Time                `json:"created"`

	id  string
	key crypto.PrivateKey
}

// jwks gives the keys that may be published, the one that signs first of each
// algorithm. A key that has signed long enough is replaced by the way.
func (s *Service) jwks(ctx context.Context) (goidc.JSONWebKeySet, error) {
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	now := s.Clock()
	if age := now.Sub(s.ring.read); len(s.ring.keys.Keys) > 0 && age >= 0 && age < keyLook {
		return s.ring.keys, nil
	}
	all, err := s.readKeys(ctx)
	if err != nil {
		return goidc.JSONWebKeySet{}, err
	}
	var set goidc.JSONWebKeySet
	for _, alg := range []goidc.SignatureAlgorithm{goidc.ES256, goidc.RS256} {
		last := len(all[alg]) - 1
		if last < 0 || now.Sub(all[alg][last].Created) >= keySigns {
			if err := s.makeKey(ctx, alg, last+1, all[alg]); err != nil {
				return goidc.JSONWebKeySet{}, err
			}
			if all, err = s.readKeys(ctx); err != nil {
				return goidc.JSONWebKeySet{}, err
			}
		}
		published, err := publish(all[alg], now)
		if err != nil {
			return goidc.JSONWebKeySet{}, err
		}
		set.Keys = append(set.Keys, published...)
	}
	s.ring.read, s.ring.keys = now, set
	return set, nil
}

// publish orders the keys of one algorithm, oldest first when given: the one
// that signs now, those still to come, those whose signatures may still travel.
func publish(keys []signingKey, now time.Time) ([]goidc.JSONWebKey, error) {
	signs := 0
	for i, k := range keys {
		if !now.Before(k.Created.Add(keyAnnounced)) {
			signs = i
		}
	}
	var all []goidc.JSONWebKey
	for i, k := range keys {
		if i < signs && !now.Before(keys[i+1].Created.Add(keyAnnounced+keyLingers)) {
			continue
		}
		jwk := goidc.JSONWebKey{Key: k.key, Algorithm: string(k.Alg), Use: "sig"}
		thumb, err := jwk.Thumbprint(crypto.SHA256) // RFC 7638
		if err != nil {
			return nil, fmt.Errorf("moncompte: name a key: %w", err)
		}
		jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
		if i == signs {
			all = slices.Insert(all, 0, jwk)
		} else {
			all = append(all, jwk)
		}
	}
	return all, nil
}

// readKeys reads every key, oldest first.
func (s *Service) readKeys(ctx context.Context) (map[goidc.SignatureAlgorithm][]signingKey, error) {
	documents, err := s.Store.CitizenDocuments(ctx, "key")
	if err != nil {
		return nil, err
	}
	all := map[goidc.SignatureAlgorithm][]signingKey{}
	for _, d := range documents {
		var k signingKey
		plain, err := s.kept.Open(d.Body, "key/"+d.ID)
		if err == nil {
			err = json.Unmarshal(plain, &k)
		}
		if err == nil {
			k.key, err = x509.ParsePKCS8PrivateKey(k.DER)
		}
		if err != nil {
			return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.readKeys", Err: err}
		}
		k.id = d.ID
		all[k.Alg] = append(all[k.Alg], k)
	}
	for _, keys := range all {
		slices.SortFunc(keys, func(a, b signingKey) int {
			if c := a.Created.Compare(b.Created); c != 0 {
				return c
			}
			return strings.Compare(a.id, b.id)
		})
	}
	return all, nil
}

// makeKey adds the key that follows. When another process was faster, its key
// is the one.
func (s *Service) makeKey(ctx context.Context, alg goidc.SignatureAlgorithm, n int, before []signingKey) error {
	if n > 0 {
		// Names go up, whatever was removed meanwhile.
		if _, err := fmt.Sscanf(before[n-1].id, string(alg)+"-%d", &n); err != nil {
			return &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.makeKey", Err: err}
		}
		n++
	}
	var key crypto.PrivateKey
	var err error
	if alg == goidc.ES256 {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.makeKey", Err: err}
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.makeKey", Err: err}
	}
	id := fmt.Sprintf("%s-%06d", alg, n)
	body, err := json.Marshal(signingKey{Alg: alg, DER: der, Created: s.Clock().UTC()})
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.makeKey", Err: err}
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		made, err := tx.PutCitizenDocument(ctx, store.CitizenDocument{
			Kind: "key", ID: id, Body: s.kept.Seal(body, "key/"+id), Expires: tx.Now().Add(keyKept),
		})
		if made {
			tx.Record(parvis.Event{Kind: "citizen.key_made", Actor: "system", Detail: map[string]string{"key": id}})
		}
		return err
	})
}
