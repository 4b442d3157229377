package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
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

// upstream is an application and the way to it.
type upstream struct {
	app    parvis.App
	target *url.URL
	proxy  *httputil.ReverseProxy
	tls    *tls.Config
	seenAs map[parvis.Channel]*seen
	extra  map[string]bool // names of request headers that it asks for

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
}

func (g *Gateway) upstream(app parvis.App, target *url.URL, t *http.Transport) *upstream {
	extra, not := asked(app.PassHeaders)
	if len(not) > 0 {
		g.Log.Error("an application asks for headers that only the front door writes", "app", app.ID, "headers", not)
	}
	up := &upstream{app: app, target: target, tls: t.TLSClientConfig, seenAs: map[parvis.Channel]*seen{}, extra: extra}
	for _, ch := range parvis.Channels() {
		if u, err := url.Parse(g.Addresses.App(ch, app.ID)); err == nil && u.Host != "" {
			up.seenAs[ch] = &seen{name: u.Host, host: []string{u.Host}, proto: []string{u.Scheme}}
		}
	}
	up.proxy = &httputil.ReverseProxy{
		Transport:      t,
		Rewrite:        rewrite,
		ModifyResponse: answered,
		BufferPool:     new(buffers),
		ErrorLog:       log.New(quiet{g.Log}, "", 0),
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			if p, ok := r.Context().Value(passageKey{}).(*passage); ok {
				p.failed = err
			}
		},
	}
	return up
}

func (up *upstream) reduced(ch parvis.Channel) bool { return slices.Contains(up.app.Reduced, ch) }

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
	for name, values := range p.who.plain {
		out.Header[name] = values
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
func (up *upstream) failing(now time.Time) time.Time {
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.downAt.IsZero() || now.Before(up.downAt) { // the clock went back: nothing is down since tomorrow
		up.downAt = now
	}
	up.lastAt = now
	return up.downAt
}

func (up *upstream) since() (time.Time, bool) {
	up.mu.Lock()
	defer up.mu.Unlock()
	return up.downAt, !up.downAt.IsZero()
}

// confirmed tells whether a look of our own found nobody there either:
// visitors need not wait for another to fail.
func (up *upstream) confirmed() (time.Time, bool) {
	up.mu.Lock()
	defer up.mu.Unlock()
	return up.downAt, up.nobody
}

// probe looks, beside the watch, whether an application that is down answers
// again.
func (up *upstream) probe(ctx context.Context, clock func() time.Time) {
	up.mu.Lock()
	idle := up.downAt.IsZero() || up.probing
	if !idle {
		up.probing = true
	}
	up.mu.Unlock()
	if idle {
		return
	}
	go func() {
		err := up.reach(ctx)
		up.mu.Lock()
		defer up.mu.Unlock()
		up.probing, up.nobody = false, err != nil
		if ago := clock().Sub(up.lastAt); err == nil && (ago >= downFor || ago < 0) {
			up.downAt = time.Time{}
		}
	}()
}

// reach opens a connection as a request would, and closes it.
func (up *upstream) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	address := up.target.Host
	if up.target.Port() == "" {
		address = net.JoinHostPort(up.target.Hostname(), map[string]string{"http": "80", "https": "443"}[up.target.Scheme])
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if up.target.Scheme == "https" {
		config := up.tls.Clone()
		config.ServerName = up.target.Hostname()
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
