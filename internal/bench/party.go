package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	callback     = "http://127.0.0.1:9/retour"
	clientSecret = "ce-client-du-banc-ne-garde-aucun-secret"
)

// party is a client of an OpenID provider, with the browsers of its agents, who
// are signed in already.
type party struct {
	to, host string // where to connect; the host of the issuer
	issuer   string
	cookies  []byte
	keys     map[string]*ecdsa.PublicKey
	next     atomic.Int64 // of the browsers, when each comes once
}

// hand is one of those who work at once: its connection, and what it was given.
type hand struct {
	*party
	conn   net.Conn
	in     *bufio.Reader
	tokens []string // refresh tokens, each of a grant of its own
	took   []float64
}

// relyingParty is the part of the client. It prints two results: that of whole
// code flows, and that of refreshes of the grants they gave. With -each every
// browser asks for a code once, which nobody redeems, and there is one.
func relyingParty(ctx context.Context, args []string) error {
	p := &party{keys: map[string]*ecdsa.PublicKey{}}
	f := flag.NewFlagSet("party", flag.ContinueOnError)
	f.StringVar(&p.to, "to", "", "address")
	f.StringVar(&p.host, "host", "", "Host field")
	file := f.String("cookies", "", "file of cookies")
	visits := f.Int("visits", 0, "how many of them")
	count := f.Int("hands", 8, "how many at once")
	seconds := f.Float64("seconds", 3, "how long, each of both")
	each := f.Bool("each", false, "ask once for every browser")
	pid := f.Int("pid", 0, "process of the server")
	if err := f.Parse(args); err != nil {
		return err
	}
	p.issuer = "http://" + p.host
	var err error
	if p.cookies, err = os.ReadFile(*file); err != nil {
		return err
	}
	p.cookies = p.cookies[:min(*visits*secretSize, len(p.cookies))]
	hands := make([]*hand, *count)
	for i := range hands {
		hands[i] = &hand{party: p}
		if err := hands[i].dial(); err != nil {
			return err
		}
		defer func() { _ = hands[i].conn.Close() }()
	}
	if err := hands[0].learn(); err != nil {
		return err
	}
	acts := []func(*hand) error{(*hand).flow, (*hand).refresh}
	if *each {
		acts = []func(*hand) error{(*hand).knock}
	}
	for _, act := range acts {
		before, err := cpu(*pid)
		if err != nil {
			return err
		}
		r, err := together(ctx, hands, act, time.Duration(*seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		after, err := cpu(*pid)
		if err != nil {
			return err
		}
		r.Micros = float64((after - before).Microseconds()) / float64(r.Requests)
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
	}
	return nil
}

var errEnough = errors.New("every browser came")

// together has every hand act again and again, for a time or until it has had
// enough.
func together(ctx context.Context, hands []*hand, act func(*hand) error, lasts time.Duration) (result, error) {
	began := time.Now()
	errs := make([]error, len(hands))
	var all sync.WaitGroup
	for i, h := range hands {
		all.Go(func() {
			for h.took = h.took[:0]; errs[i] == nil && ctx.Err() == nil && time.Since(began) < lasts; {
				at := time.Now()
				if errs[i] = act(h); errs[i] == nil {
					h.took = append(h.took, float64(time.Since(at).Microseconds())/1000)
				}
			}
			if errors.Is(errs[i], errEnough) {
				errs[i] = nil
			}
		})
	}
	all.Wait()
	lasts = time.Since(began)
	var took []float64
	for _, h := range hands {
		took = append(took, h.took...)
	}
	if len(took) == 0 {
		errs = append(errs, errors.New("nothing was done"))
	}
	return measure(took, lasts), errors.Join(errs...)
}

func (h *hand) dial() (err error) {
	if h.conn, err = net.Dial("tcp", h.to); err == nil {
		h.in = bufio.NewReader(h.conn)
	}
	return err
}

// say sends a request, and gives the answer if it has the status wanted.
func (h *hand) say(request string, status int) (http.Header, []byte, error) {
	if _, err := io.WriteString(h.conn, request); err != nil {
		return nil, nil, err
	}
	res, err := http.ReadResponse(h.in, nil)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, nil, err
	}
	if res.StatusCode != status {
		return nil, nil, fmt.Errorf("%s, not %d\n%s\n%s", res.Status, status, res.Header, body)
	}
	if res.Close {
		err = errors.Join(h.conn.Close(), h.dial())
	}
	return res.Header, body, err
}

// learn reads the keys of the issuer.
func (h *hand) learn() error {
	_, body, err := h.say("GET /.well-known/jwks.json HTTP/1.1\r\nHost: "+h.host+"\r\n\r\n", http.StatusOK)
	if err != nil {
		return err
	}
	var set jose.JSONWebKeySet
	err = json.Unmarshal(body, &set)
	for _, k := range set.Keys {
		if key, ok := k.Key.(*ecdsa.PublicKey); ok {
			h.keys[k.KeyID] = key
		}
	}
	return err
}

// knock asks once for a browser that did not come yet.
func (h *hand) knock() error {
	n := int(h.next.Add(1)) - 1
	if n >= len(h.cookies)/secretSize {
		return errEnough
	}
	_, err := h.authorize(n, "state", "nonce", base64.RawURLEncoding.EncodeToString(make([]byte, sha256.Size)))
	return err
}

// authorize gives the code that a browser brings back.
func (h *hand) authorize(n int, state, nonce, challenge string) (string, error) {
	header, _, err := h.say("GET /authorize?response_type=code&scope=openid+profile+email&client_id="+string(client)+
		"&redirect_uri="+url.QueryEscape(callback)+"&state="+state+"&nonce="+nonce+"&code_challenge_method=S256&code_challenge="+challenge+
		" HTTP/1.1\r\nHost: "+h.host+"\r\n"+browser+"Cookie: "+chip+string(h.cookies[n*secretSize:(n+1)*secretSize])+"\r\n\r\n", http.StatusSeeOther)
	if err != nil {
		return "", err
	}
	to := header.Get("Location")
	query, ok := strings.CutPrefix(to, callback+"?")
	q, err := url.ParseQuery(query)
	if err != nil || !ok || q.Get("state") != state || q.Get("iss") != h.issuer || q.Get("code") == "" {
		return "", fmt.Errorf("led to %s", to)
	}
	return q.Get("code"), nil
}

// flow goes from a browser that is signed in to an ID token that was checked.
func (h *hand) flow() error {
	state, nonce, verifier := random(), random(), random()
	hash := sha256.Sum256([]byte(verifier))
	code, err := h.authorize(rand.IntN(len(h.cookies)/secretSize), state, nonce, base64.RawURLEncoding.EncodeToString(hash[:]))
	if err != nil {
		return err
	}
	refresh, err := h.redeem(nonce, "grant_type=authorization_code&code="+url.QueryEscape(code)+"&redirect_uri="+url.QueryEscape(callback)+"&code_verifier="+verifier)
	h.tokens = append(h.tokens, refresh)
	return err
}

// refresh renews one of the grants of this hand.
func (h *hand) refresh() (err error) {
	i := rand.IntN(len(h.tokens))
	h.tokens[i], err = h.redeem("", "grant_type=refresh_token&refresh_token="+h.tokens[i])
	return err
}

// redeem gives the refresh token that a form brings, once the ID token is
// checked.
func (h *hand) redeem(nonce, form string) (string, error) {
	_, body, err := h.say(fmt.Sprint("POST /token HTTP/1.1\r\nHost: ", h.host, "\r\nUser-Agent: registre/1\r\nAccept: application/json\r\nAuthorization: Basic ",
		base64.StdEncoding.EncodeToString([]byte(string(client)+":"+clientSecret)), "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ",
		len(form), "\r\n\r\n", form), http.StatusOK)
	if err != nil {
		return "", err
	}
	var got struct {
		ID      string `json:"id_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Refresh == "" {
		return "", fmt.Errorf("no tokens: %s", body)
	}
	return got.Refresh, h.check(got.ID, nonce)
}

// check is OpenID Connect Core §3.1.3.7.
func (p *party) check(token, nonce string) error {
	wrong := fmt.Errorf("not an ID token for this client: %s", token)
	signed, end, _ := cutLast(token, ".")
	head, body, _ := strings.Cut(signed, ".")
	var names struct{ Alg, Kid string }
	var says struct {
		Iss, Nonce string
		Aud        json.RawMessage
		Exp        int64
	}
	for part, into := range map[string]any{head: &names, body: &says} {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || json.Unmarshal(text, into) != nil {
			return wrong
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(end)
	key := p.keys[names.Kid]
	if err != nil || len(signature) != 64 || names.Alg != "ES256" || key == nil {
		return wrong
	}
	hash := sha256.Sum256([]byte(signed))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(key, hash[:], r, s) || says.Iss != p.issuer || !bytes.Contains(says.Aud, []byte(`"`+client+`"`)) ||
		says.Exp < time.Now().Unix() || nonce != "" && says.Nonce != nonce {
		return wrong
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
