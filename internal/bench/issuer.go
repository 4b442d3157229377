package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// least is the least that an OpenID provider can do: a random code kept in
// memory, the client's secret and PKCE checked, two signed tokens, a refresh
// token that serves once. Whoever asks is taken for signed in.
type least struct {
	address     string // the issuer
	key         *ecdsa.PrivateKey
	head        string // of every token
	keys        []byte // as published
	secret      [sha256.Size]byte
	codes, kept shards
	journal     *journal // nil: nothing reaches the disk
}

// asked is what a code or a refresh token stands for.
type asked struct{ client, redirect, nonce, challenge string }

// shards are a map that many hands can use at once.
type shards [64]struct {
	mu sync.Mutex
	of map[string]asked
}

func (s *shards) put(t asked) string {
	name := random()
	part := &s[name[0]&63]
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.of == nil {
		part.of = map[string]asked{}
	}
	part.of[name] = t
	return name
}

func (s *shards) take(name string) (asked, bool) {
	if name == "" {
		return asked{}, false
	}
	part := &s[name[0]&63]
	part.mu.Lock()
	defer part.mu.Unlock()
	t, ok := part.of[name]
	delete(part.of, name)
	return t, ok
}

// random is worth a secret of 256 bits.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// issuer is the part of that provider. Its arguments are its address, as its
// clients know it, and where it keeps its journal, if it does.
func issuer(ctx context.Context, args []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	o := &least{
		address: args[0], key: key, secret: sha256.Sum256([]byte(clientSecret)),
		head: base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT","kid":"one"}`)) + ".",
	}
	o.keys, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		return err
	}
	if len(args) > 1 {
		if o.journal, err = newJournal(args[1]); err != nil {
			return err
		}
	}
	return listen(ctx, func(l net.Listener) error {
		return (&http.Server{Handler: o, ReadHeaderTimeout: 10 * time.Second}).Serve(l)
	})
}

func (o *least) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/authorize":
		q := r.URL.Query()
		code := o.codes.put(asked{q.Get("client_id"), q.Get("redirect_uri"), q.Get("nonce"), q.Get("code_challenge")})
		w.Header().Set("Location", q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {o.address}}.Encode())
		w.WriteHeader(http.StatusSeeOther)
	case "/token":
		o.token(w, r)
	case "/.well-known/jwks.json":
		_, _ = w.Write(o.keys) // a reader who left needs nothing
	default:
		http.NotFound(w, r)
	}
}

func (o *least) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	hash := sha256.Sum256([]byte(secret))
	ok := subtle.ConstantTimeCompare(hash[:], o.secret[:]) == 1
	var t asked
	if code := r.PostFormValue("code"); code != "" {
		proof := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		known := false
		t, known = o.codes.take(code)
		ok = ok && known && t.redirect == r.PostFormValue("redirect_uri") && t.challenge == base64.RawURLEncoding.EncodeToString(proof[:])
	} else {
		known := false
		t, known = o.kept.take(r.PostFormValue("refresh_token"))
		ok = ok && known
	}
	now := time.Now().Unix()
	claims := map[string]any{"iss": o.address, "aud": t.client, "sub": "B000001", "iat": now, "exp": now + 300, "nonce": t.nonce}
	identity, err1 := o.sign(claims)
	delete(claims, "nonce")
	access, err2 := o.sign(claims)
	if err := errors.Join(err1, err2); err != nil || !ok || t.client != id {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	refresh := o.kept.put(t)
	if o.journal != nil {
		if err := o.journal.keep([]byte(fmt.Sprintln(refresh, t))); err != nil {
			http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// A reader who left needs nothing.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"id_token": identity, "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 300,
	})
}

// sign makes a token (RFC 7515 §3.1, RFC 7518 §3.4).
func (o *least) sign(claims map[string]any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	token := o.head + base64.RawURLEncoding.EncodeToString(body)
	hash := sha256.Sum256([]byte(token))
	r, s, err := ecdsa.Sign(rand.Reader, o.key, hash[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return token + "." + base64.RawURLEncoding.EncodeToString(signature[:]), nil
}

// journal is a file that records reach together: those who wait share one
// write and one fsync.
type journal struct {
	file *os.File
	in   chan record
}

type record struct {
	what []byte
	done chan error
}

func newJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	j := &journal{file, make(chan record, 1024)}
	go j.run()
	return j, err
}

// keep comes back when a record is on the disk.
func (j *journal) keep(what []byte) error {
	r := record{what, make(chan error, 1)}
	j.in <- r
	return <-r.done
}

func (j *journal) run() {
	for first := range j.in {
		waiting, block := []record{first}, entry(nil, first.what)
		for more := true; more; {
			select {
			case r := <-j.in:
				waiting, block = append(waiting, r), entry(block, r.what)
			default:
				more = false
			}
		}
		_, err := j.file.Write(block)
		if err == nil {
			err = j.file.Sync()
		}
		for _, r := range waiting {
			r.done <- err
		}
	}
}

func entry(block, what []byte) []byte {
	return append(binary.BigEndian.AppendUint32(block, uint32(len(what))), what...)
}
