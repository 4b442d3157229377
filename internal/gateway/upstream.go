package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/session"
)

const (
	dialLimit   = 3 * time.Second
	answerLimit = 2 * time.Minute // until the headers: some reports are slow
	downFor     = 5 * time.Second // at least, as shown in the launcher
)

// upstream is an application and the way to it. One that another proxy serves
// has no way.
type upstream struct {
	app    parvis.App
	seenAs map[parvis.Channel]*seen
	extra  map[string]bool // names of request headers that it asks for
	list   []entry         // what its reduced version is made of
	*way
}

// way leads to an application. It outlives a change of anything else.
type way struct {
	target    *url.URL
	proxy     *httputil.ReverseProxy
	transport *http.Transport
	own       bool // the transport serves this application alone
	health    health
}

// health is what was last seen of an application.
type health struct {
	mu      sync.Mutex
	downAt  time.Time // since when it does not answer; zero when it does
	lastAt  time.Time // of the last failure
	nobody  bool      // confirmed: not even a connection
	probing bool
}

// seen is the public address of an application through one entrance, from
// configuration (RFC 9110 §7.4: never from what a request claims).
type seen struct {
	name        string
	host, proto []string
	reduced     bool // it opens there in its reduced version
}

// transport keeps many idle connections: two, the default, are the first thing
// that slows a proxy down (performance.md). It follows no redirect, asks no
// proxy of the environment, and speaks HTTP/1.1, which is what carries an
// upgrade to WebSocket.
func transport(roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialLimit,
		ResponseHeaderTimeout:  answerLimit,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    1024,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true,
		WriteBufferSize:        8 << 10,
		ReadBufferSize:         8 << 10,
	}
}

// rewrite makes the request that the application receives. net/http/httputil
// has removed the hop-by-hop headers before, so no Connection field can name
// one of ours (RFC 9110 §7.6.1).
func rewrite(pr *httputil.ProxyRequest) {
	p := pr.In.Context().Value(passageKey{}).(*passage) //nolint:forcetypeassert // only pass calls the proxy
	out, as := pr.Out, p.up.seenAs[p.origin.Channel]
	pr.SetURL(p.up.target)
	out.URL.RawQuery = pr.In.URL.RawQuery // as it came: it is the application's to read
	if q := p.up.target.RawQuery; q != "" {
		out.URL.RawQuery = strings.Trim(q+"&"+out.URL.RawQuery, "&")
	}
	out.Host = as.name
	out.Trailer = p.trailer
	p.up.clean(out.Header)
	session.Strip(out.Header)
	out.Header["X-Forwarded-For"] = []string{p.origin.Address}
	out.Header["X-Forwarded-Host"] = as.host
	out.Header["X-Forwarded-Proto"] = as.proto
	out.Header["Parvis-Assertion"] = p.who.assertion[:]
	if p.up.app.Headers {
		p.who.tell(out.Header)
	}
}

// answered takes out of an answer what only the front door may say.
func answered(res *http.Response) error {
	session.Guard(res.Header)
	for name := range res.Header {
		if strings.HasPrefix(name, "Parvis-") {
			delete(res.Header, name)
		}
	}
	// RFC 9112 §6.1: see edge. A 1xx answer clears what the edge had set.
	p := res.Request.Context().Value(passageKey{}).(*passage) //nolint:forcetypeassert // only pass calls the proxy
	if p.closes && res.StatusCode != http.StatusSwitchingProtocols {
		res.Header["Connection"] = []string{"close"}
	}
	if p.until != "" {
		res.Header["Parvis-Until"] = []string{p.until}
	}
	return nil
}

// failing notes that an application did not answer, and since when.
func (hl *health) failing(now time.Time) time.Time {
	hl.mu.Lock()
	defer hl.mu.Unlock()
	if hl.downAt.IsZero() || now.Before(hl.downAt) { // the clock went back: nothing is down since tomorrow
		hl.downAt = now
	}
	hl.lastAt = now
	return hl.downAt
}

func (hl *health) since() (time.Time, bool) {
	hl.mu.Lock()
	defer hl.mu.Unlock()
	return hl.downAt, !hl.downAt.IsZero()
}

// confirmed tells whether a look of our own found nobody there either:
// visitors need not wait for another to fail.
func (hl *health) confirmed() (time.Time, bool) {
	hl.mu.Lock()
	defer hl.mu.Unlock()
	return hl.downAt, hl.nobody
}

// probe looks, beside the watch, whether an application that is down answers
// again.
func (w *way) probe(ctx context.Context, clock func() time.Time) {
	hl := &w.health
	hl.mu.Lock()
	idle := hl.downAt.IsZero() || hl.probing
	if !idle {
		hl.probing = true
	}
	hl.mu.Unlock()
	if idle {
		return
	}
	go func() {
		err := w.reach(ctx)
		hl.mu.Lock()
		defer hl.mu.Unlock()
		hl.probing, hl.nobody = false, err != nil
		if ago := clock().Sub(hl.lastAt); err == nil && (ago >= downFor || ago < 0) {
			hl.downAt = time.Time{}
		}
	}()
}

// reach opens a connection as a request would, and closes it.
func (w *way) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	address := w.target.Host
	if w.target.Port() == "" {
		address = net.JoinHostPort(w.target.Hostname(), map[string]string{"http": "80", "https": "443"}[w.target.Scheme])
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if w.target.Scheme == "https" {
		config := w.transport.TLSClientConfig.Clone()
		config.ServerName = w.target.Hostname()
		err = tls.Client(conn, config).HandshakeContext(ctx)
	}
	return errors.Join(err, conn.Close())
}

// buffers lends the blocks through which bodies are copied.
type buffers struct{ pool sync.Pool }

const block = 32 << 10

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[block]byte); ok {
		return p[:]
	}
	return new([block]byte)[:]
}

func (b *buffers) Put(s []byte) {
	if len(s) == block {
		b.pool.Put((*[block]byte)(s))
	}
}

// quiet is where the proxy writes about streams that broke.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(b []byte) (int, error) {
	q.log.Debug("proxy", "says", strings.TrimSpace(string(b)))
	return len(b), nil
}
