package moncompte

import (
	"context"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// keyLook is how often another process's keys are looked for.
const keyLook = time.Minute

// keyring holds the signing keys as last read.
type keyring struct {
	mu   sync.Mutex
	read time.Time
	keys goidc.JSONWebKeySet
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
		if key, due := all.Next(string(alg), now); due {
			if err := s.keepKey(ctx, key); err != nil {
				return goidc.JSONWebKeySet{}, err
			}
			if all, err = s.readKeys(ctx); err != nil {
				return goidc.JSONWebKeySet{}, err
			}
		}
		for _, k := range all.Published(string(alg), now) {
			set.Keys = append(set.Keys, goidc.JSONWebKey{Key: k.Key, KeyID: k.KID, Algorithm: k.Alg, Use: "sig"})
		}
	}
	s.ring.read, s.ring.keys = now, set
	return set, nil
}

func (s *Service) readKeys(ctx context.Context) (seal.Ring, error) {
	documents, err := s.Store.CitizenDocuments(ctx, "key")
	if err != nil {
		return nil, err
	}
	var all seal.Ring
	for _, d := range documents {
		plain, err := s.kept.Open(d.Body, "key/"+d.ID)
		var k seal.SigningKey
		if err == nil {
			k, err = seal.ReadSigningKey(d.ID, plain)
		}
		if err != nil {
			return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.readKeys", Err: err}
		}
		all = append(all, k)
	}
	return all, nil
}

// keepKey keeps a key that was made. When another process was faster, its key
// is the one.
func (s *Service) keepKey(ctx context.Context, key seal.SigningKey) error {
	body := s.kept.Seal(key.Marshal(), "key/"+key.ID)
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		made, err := tx.PutCitizenDocument(ctx, store.CitizenDocument{
			Kind: "key", ID: key.ID, Body: body, Expires: tx.Now().Add(seal.KeyKept),
		})
		if made {
			tx.Record(parvis.Event{Kind: "citizen.key_made", Actor: "system", Detail: map[string]string{"key": key.ID}})
		}
		return err
	})
}
