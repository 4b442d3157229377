package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/session"
)

const (
	assertionLife  = 5 * time.Minute // contract.md: at most five minutes
	assertionSpare = time.Minute     // left, at least, when an application receives one
	assertionsHeld = 1 << 16
)

// identity is what an application is told of an agent: signed, and in plain
// headers if it asks for them.
type identity struct {
	assertion, user, name, email, groups [1]string

	session parvis.SessionID // at one set of proofs: raising gives another
	channel parvis.Channel   // what an application reads of the entrance, it trusts
	version uint32
	signed  int64 // microseconds; before that the clock went back, and iat lies in the future
	until   int64 // microseconds: when another one is due
}

// identities remembers what was last signed for each visit, so that a request
// costs no signature. It is bounded: any one is forgotten to make room.
type identities struct {
	parts [32]struct {
		mu sync.RWMutex
		of map[parvis.SessionID]*identity
	}
}

// get gives what was signed for this visit of this session at these proofs,
// through this entrance.
func (c *identities) get(v *session.Visit, ch parvis.Channel, now int64) *identity {
	p := &c.parts[int(v.ID[1])%len(c.parts)]
	p.mu.RLock()
	i := p.of[v.ID]
	p.mu.RUnlock()
	if i == nil || i.session != v.Session || i.channel != ch || i.version != v.Version || now < i.signed || now >= i.until {
		return nil
	}
	return i
}

func (c *identities) put(visit parvis.SessionID, i *identity) {
	p := &c.parts[int(visit[1])%len(c.parts)]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[parvis.SessionID]*identity{}
	}
	if p.of[visit] == nil {
		for old := range p.of {
			if len(p.of) < assertionsHeld/len(c.parts) {
				break
			}
			delete(p.of, old)
		}
	}
	p.of[visit] = i
}

// claims is the content of Parvis-Assertion (contract.md; RFC 7519 §4.1).
type claims struct {
	Issuer   string         `json:"iss"`
	Audience parvis.AppID   `json:"aud"`
	Subject  string         `json:"sub"`
	Name     string         `json:"name"`
	Email    string         `json:"email,omitempty"`
	Groups   []string       `json:"groups"`
	Unit     string         `json:"unit,omitempty"`
	Channel  parvis.Channel `json:"channel"`
	Limited  bool           `json:"limited,omitempty"` // the application opens in its reduced version
	Level    string         `json:"acr,omitempty"`
	Methods  []string       `json:"amr"` // RFC 8176
	Session  string         `json:"sid"`
	Issued   int64          `json:"iat"`
	Expires  int64          `json:"exp"`
	ID       string         `json:"jti"`
}

// identity gives what the application is told of whoever makes this request.
func (g *Gateway) identity(ctx context.Context, up *upstream, v session.Visit, ch parvis.Channel, now time.Time) (*identity, error) {
	if i := g.identities.get(&v, ch, now.UnixMicro()); i != nil {
		return i, nil
	}
	s, ok := g.Keeper.Session(ctx, v.Session)
	if !ok {
		return nil, &parvis.Error{Code: parvis.CodeRefused, Op: "gateway.identity"}
	}
	agent, _, err := g.Directory.Facts(ctx, s.Agent)
	if err != nil {
		return nil, err
	}
	level, methods := parvis.Levels(s.Proofs)
	c := claims{
		Issuer: g.Addresses.Portal(ch), Audience: up.app.ID, Subject: string(agent.Number), Name: oneLine(agent.Name()), Email: oneLine(agent.Email),
		Groups: groups(agent), Unit: string(agent.Unit), Channel: ch, Limited: up.reduced(ch), Level: level, Methods: append([]string{}, methods...),
		Session: base64.RawURLEncoding.EncodeToString(v.ID[:]), Issued: now.Unix(), Expires: now.Add(assertionLife).Unix(), ID: rand.Text(),
	}
	signed, err := g.sign(c)
	if err != nil {
		return nil, err
	}
	i := &identity{
		assertion: [1]string{signed}, user: [1]string{c.Subject}, name: [1]string{c.Name}, email: [1]string{c.Email},
		groups: [1]string{strings.Join(c.Groups, ",")}, session: v.Session, channel: ch, version: v.Version,
		signed: now.UnixMicro(), until: now.Add(assertionLife - assertionSpare).UnixMicro(),
	}
	g.identities.put(v.ID, i)
	return i, nil
}

// tell writes the plain headers. They are shared: nobody may change them.
func (i *identity) tell(h http.Header) {
	h["Remote-User"], h["Remote-Name"], h["Remote-Groups"] = i.user[:], i.name[:], i.groups[:]
	if i.email[0] != "" {
		h["Remote-Email"] = i.email[:]
	}
}

// groups are the agent's profiles, then the roles they hold.
func groups(a *parvis.Agent) []string {
	var all []string
	for _, p := range a.Profiles {
		all = append(all, oneLine(string(p)))
	}
	if len(all) == 0 {
		all = append(all, string(parvis.Standard))
	}
	for _, r := range a.Roles {
		all = append(all, string(r))
	}
	return all
}

// oneLine makes a value fit for a header, whatever an HR file holds.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// sign makes a compact JWS (RFC 7515 §3.1) with ES256 (RFC 7518 §3.4).
func (g *Gateway) sign(c claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", &parvis.Error{Code: parvis.CodeInternal, Op: "gateway.sign", Err: err}
	}
	key, kid := g.Keys.Assertion()
	b64 := base64.RawURLEncoding
	text := b64.AppendEncode(nil, []byte(`{"alg":"ES256","typ":"JWT","kid":"`+kid+`"}`))
	text = append(text, '.')
	text = b64.AppendEncode(text, payload)
	digest := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", &parvis.Error{Code: parvis.CodeInternal, Op: "gateway.sign", Err: err}
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	text = append(text, '.')
	return string(b64.AppendEncode(text, signature[:])), nil
}

// ServeKeys answers /.well-known/jwks.json on the portals' hosts: the key with
// which applications check Parvis-Assertion (RFC 7517 §5).
func (g *Gateway) ServeKeys(w http.ResponseWriter, _ *http.Request) error {
	key, kid := g.Keys.Assertion()
	point, err := key.PublicKey.Bytes() // SEC 1 §2.3.3, uncompressed: 4, X, Y
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "gateway.ServeKeys", Err: err}
	}
	b64 := base64.RawURLEncoding
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
		"x": b64.EncodeToString(point[1:33]), "y": b64.EncodeToString(point[33:]),
	}}})
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "gateway.ServeKeys", Err: err}
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(set) // a visitor who left is no error
	return nil
}
