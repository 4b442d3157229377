package oidc

import (
	"context"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// keyLook is how often keys made by another process are looked for.
const keyLook = time.Minute

// keyring holds the signing keys as last read.
type keyring struct {
	mu   sync.Mutex
	read time.Time
	keys goidc.JSONWebKeySet
}

// jwks gives the keys that may be published, the one that signs first of each
// algorithm. A key that has signed long enough is replaced by the way.
func (p *Provider) jwks(ctx context.Context) (goidc.JSONWebKeySet, error) {
	p.ring.mu.Lock()
	defer p.ring.mu.Unlock()
	now := p.Clock()
	if age := now.Sub(p.ring.read); len(p.ring.keys.Keys) > 0 && age >= 0 && age < keyLook {
		return p.ring.keys, nil
	}
	all, err := p.readKeys(ctx)
	if err != nil {
		return goidc.JSONWebKeySet{}, err
	}
	var set goidc.JSONWebKeySet
	for _, alg := range []string{string(goidc.ES256), string(goidc.RS256)} {
		if key, due := all.Next(alg, now); due {
			if err := p.keepKey(ctx, key); err != nil {
				return goidc.JSONWebKeySet{}, err
			}
			if all, err = p.readKeys(ctx); err != nil {
				return goidc.JSONWebKeySet{}, err
			}
		}
		for _, k := range all.Published(alg, now) {
			set.Keys = append(set.Keys, goidc.JSONWebKey{Key: k.Key, KeyID: k.KID, Algorithm: k.Alg, Use: "sig"})
		}
	}
	p.ring.read, p.ring.keys = now, set
	return set, nil
}

func (p *Provider) readKeys(ctx context.Context) (seal.Ring, error) {
	documents, err := p.Store.Documents(ctx, kindKey)
	if err != nil {
		return nil, err
	}
	var all seal.Ring
	for _, d := range documents {
		plain, err := p.boxes.kept.Open(d.Body, kindKey+"/"+d.ID)
		var k seal.SigningKey
		if err == nil {
			k, err = seal.ReadSigningKey(d.ID, plain)
		}
		if err != nil {
			return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.readKeys", Err: err}
		}
		all = append(all, k)
	}
	return all, nil
}

// keepKey keeps a key that was made. When another process was faster, its key
// is the one.
func (p *Provider) keepKey(ctx context.Context, key seal.SigningKey) error {
	body := p.boxes.kept.Seal(key.Marshal(), kindKey+"/"+key.ID)
	return p.Store.Write(ctx, func(tx *store.Tx) error {
		made, err := tx.PutDocument(ctx, store.Document{Kind: kindKey, ID: key.ID, Body: body, Expires: tx.Now().Add(seal.KeyKept)})
		if made {
			tx.Record(parvis.Event{Kind: "oidc.key_made", Actor: "system", Detail: map[string]string{"key": key.ID}})
		}
		return err
	})
}
