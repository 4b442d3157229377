package verifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	patience     = 5 * time.Second // for one answer of a provider
	longest      = 1 << 20         // of a body
	freshToLeave = time.Minute     // nobody is sent to a provider that has been silent for longer
	keepAtMost   = time.Hour       // what it said of itself, and its keys
	rest         = 10 * time.Second
	resting      = time.Minute // after a failed try it counts as down
)

var (
	errSilent   = errors.New("the provider was silent a moment ago")
	errTooLong  = errors.New("the answer is too long")
	errInsecure = errors.New("an address that is neither https nor of this machine")
	errSpecial  = errors.New("a name that leads to this machine or to the local link")
)

// remote is one provider as seen from here: what it says of itself, its keys,
// and whether it answers.
type remote struct {
	p      Provider
	clock  func() time.Time
	client *http.Client

	asking sync.Mutex // one question at a time; the others wait for its answer
	keys   ring       // held with asking

	mu     sync.Mutex // what follows
	meta   *metadata
	got    time.Time // when meta came
	failed time.Time // the last question of ours alone (itself, its keys), when it was not answered
}

// metadata is what is used of the discovery document (OpenID Connect Discovery
// 1.0 §3, RFC 9207 §3).
type metadata struct {
	Authorize  string `json:"authorization_endpoint"`
	Token      string `json:"token_endpoint"`
	Keys       string `json:"jwks_uri"`
	UserInfo   string `json:"userinfo_endpoint"`
	EndSession string `json:"end_session_endpoint"`
	SaysIssuer bool   `json:"authorization_response_iss_parameter_supported"`
}

// within tells whether something known since a moment may still be used. A
// clock that went back makes it old.
func within(since, now time.Time, age time.Duration) bool {
	d := now.Sub(since)
	return !since.IsZero() && d >= 0 && d < age
}

// discover asks the provider about itself unless it did so less than age ago.
// Somebody who goes away meanwhile does not end the question: their going away
// would look like a failure of the provider.
func (r *remote) discover(ctx context.Context, age time.Duration) (*metadata, error) {
	r.asking.Lock()
	defer r.asking.Unlock()
	now := r.clock()
	r.mu.Lock()
	meta, got, failed := r.meta, r.got, r.failed
	r.mu.Unlock()
	if meta != nil && within(got, now, age) {
		return meta, nil
	}
	if within(failed, now, rest) {
		return nil, errSilent
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	said, err := oidc.NewProvider(oidc.ClientContext(ctx, r.client), r.p.Issuer) // checks the issuer to the letter
	fresh := &metadata{}
	if err == nil {
		err = said.Claims(fresh)
	}
	if err == nil {
		err = fresh.check(r.p.Issuer)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed = now
		return nil, fmt.Errorf("discovery: %w", trimmed(err))
	}
	r.meta, r.got, r.failed = fresh, now, time.Time{}
	return fresh, nil
}

// check refuses a provider without what is needed, or with an address where
// anybody could answer in its place, or that makes us speak to this machine
// for it: only a provider of this machine has addresses here.
func (m *metadata) check(issuer string) error {
	from, err := url.Parse(issuer)
	if err != nil {
		return errInsecure
	}
	addresses := []string{m.Authorize, m.Token, m.Keys}
	for _, optional := range []string{m.UserInfo, m.EndSession} {
		if optional != "" {
			addresses = append(addresses, optional)
		}
	}
	for _, address := range addresses {
		if err := secure(address); err != nil {
			return err
		}
		if to, err := url.Parse(address); err != nil || here(to.Hostname()) && !here(from.Hostname()) {
			return errSpecial
		}
	}
	return nil
}

func (r *remote) endSession() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.meta == nil {
		return ""
	}
	return r.meta.EndSession
}

func (r *remote) down() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return within(r.failed, r.clock(), resting)
}

// doubt has the provider asked about itself again before anybody is sent
// there. What an exchange met does not make it down: a code is chosen by who
// brings it, and a firewall over there may hang up on one.
func (r *remote) doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = time.Time{}
}

func (r *remote) fail(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = now
}

// secure refuses an address that is not https, unless it is of this machine.
func secure(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errInsecure // the error of url would repeat the whole address
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%w: %s", errInsecure, u.Redacted())
	case u.Scheme == "https", u.Scheme == "http" && here(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%w: %s", errInsecure, u.Redacted())
}

// here tells a name of this very machine (RFC 6761 §6.3).
func here(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	a, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && a.Unmap().IsLoopback()
}

// client speaks to one provider: no redirect is followed (RFC 9700 §4.12 has
// what could leave with one), no body is longer than 1 MiB, no answer is
// waited for longer than a few seconds.
func (l *Link) client() *http.Client {
	var base http.RoundTripper
	if l.HTTP != nil {
		base = l.HTTP.Transport
	}
	if base == nil {
		base = &http.Transport{
			Proxy: func(req *http.Request) (*url.URL, error) {
				if here(req.URL.Hostname()) {
					return nil, nil
				}
				return http.ProxyFromEnvironment(req)
			},
			DialContext: dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience,
			MaxResponseHeaderBytes: 64 << 10, MaxConnsPerHost: 64, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
			DisableCompression: true,
		}
	}
	return &http.Client{
		Transport: bounded{base}, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dial connects. The names of this machine lead to it whatever a resolver
// says, and no other name does: the check is made on the address connected to,
// so that a name that changes its mind gains nothing.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: patience}
	if !here(host) {
		d.ControlContext = func(_ context.Context, _, to string, _ syscall.RawConn) error {
			if special(to) {
				return errSpecial
			}
			return nil
		}
		return d.DialContext(ctx, network, address)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return d.DialContext(ctx, network, address)
	}
	c, err := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		c, err = d.DialContext(ctx, network, net.JoinHostPort("::1", port))
	}
	return c, err
}

// special tells an address on which nobody but this machine or its neighbours
// can be meant. A private network is not: the provider may be a colleague.
func special(to string) bool {
	ap, err := netip.ParseAddrPort(to)
	a := ap.Addr().Unmap()
	return err != nil || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// bounded cuts what is too long.
type bounded struct{ base http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = &body{ReadCloser: res.Body, left: longest}
	return res, nil
}

type body struct {
	io.ReadCloser
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// trimmed keeps the text of an error short: libraries put whole answers in.
func trimmed(err error) error {
	if text := err.Error(); len(text) > 300 {
		return errors.New(strings.ToValidUTF8(text[:300], "") + "…")
	}
	return err
}
