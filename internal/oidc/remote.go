package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
)

// How long the keys of a client that are kept elsewhere are believed, how soon
// they may be read again for one that is not among them, and how much is read.
const (
	remoteLasts = 10 * time.Minute
	remoteAgain = 30 * time.Second
	remoteBytes = 64 << 10
)

// remoteKeys are the public keys of clients, read from where they keep them. The
// library would read them once and for all.
type remoteKeys struct {
	mu   sync.Mutex
	sets map[string]*remoteSet
}

type remoteSet struct {
	mu   sync.Mutex // one reads, the others wait
	read time.Time
	keys goidc.JSONWebKeySet
	err  error
}

// of gives the public keys of a client. wanted is the one it says it used: one
// that is not among them is looked for again.
func (k *remoteKeys) of(ctx context.Context, client *http.Client, app parvis.App, wanted string) (goidc.JSONWebKeySet, error) {
	if app.OIDC.JWKS != "" {
		return readSet([]byte(app.OIDC.JWKS))
	}
	k.mu.Lock()
	if k.sets == nil {
		k.sets = map[string]*remoteSet{}
	}
	set := k.sets[app.OIDC.JWKSURI]
	if set == nil {
		set = &remoteSet{}
		k.sets[app.OIDC.JWKSURI] = set
	}
	k.mu.Unlock()
	set.mu.Lock()
	defer set.mu.Unlock()
	age := time.Since(set.read)
	_, err := set.keys.Key(wanted)
	if known := wanted == "" || err == nil; set.read.IsZero() || age > remoteLasts || (!known || set.err != nil) && age > remoteAgain {
		keys, err := fetch(ctx, client, app.OIDC.JWKSURI)
		set.read, set.err = time.Now(), err
		if err == nil {
			set.keys = keys
		}
	}
	if len(set.keys.Keys) == 0 && set.err != nil {
		return goidc.JSONWebKeySet{}, set.err
	}
	return set.keys, nil
}

func fetch(ctx context.Context, client *http.Client, address string) (goidc.JSONWebKeySet, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return goidc.JSONWebKeySet{}, fmt.Errorf("oidc: public keys: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return goidc.JSONWebKeySet{}, fmt.Errorf("oidc: public keys: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, remoteBytes))
	if err != nil || answer.StatusCode != http.StatusOK {
		return goidc.JSONWebKeySet{}, fmt.Errorf("oidc: public keys: the answer is %s", answer.Status)
	}
	return readSet(body)
}

// shortest is the least length of an RSA key (RFC 7518 §3.3, FAPI 2.0 §5.4.1).
const shortest = 2048

// readSet reads public keys that sign; the others are left out.
func readSet(body []byte) (goidc.JSONWebKeySet, error) {
	var all, kept goidc.JSONWebKeySet
	if err := json.Unmarshal(body, &all); err != nil {
		return kept, fmt.Errorf("oidc: public keys: %w", err)
	}
	for _, k := range all.Keys {
		if big, ok := k.Key.(*rsa.PublicKey); ok && big.N.BitLen() < shortest {
			continue
		}
		if k.IsPublic() && k.Use != "enc" {
			kept.Keys = append(kept.Keys, algorithmic(k))
		}
	}
	return kept, nil
}

// algorithmic gives a key that does not say its algorithm the one of its kind: the
// library looks a key without a name up by that.
func algorithmic(k goidc.JSONWebKey) goidc.JSONWebKey {
	if k.Algorithm != "" {
		return k
	}
	switch k.Key.(type) {
	case *ecdsa.PublicKey:
		k.Algorithm = string(goidc.ES256)
	case ed25519.PublicKey:
		k.Algorithm = string(edDSA)
	case *rsa.PublicKey:
		k.Algorithm = string(goidc.RS256)
	}
	return k
}
