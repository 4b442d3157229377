package gateway

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parvis"
	"parvis/internal/edge"
)

// The two benchmarks differ by the front door alone: the same upstream, the
// same transport, the same client side (none: requests are handed over).
// "cpu-µs/op" is the time of all threads, upstream included: of the figures
// here it is the one that a busy machine disturbs least.

func BenchmarkGateway(b *testing.B) {
	d := newDoor(b, parvis.App{ID: "paie", Upstream: kibibyte(b)})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	host := "paie." + d.hosts[parvis.Internal]
	r := request(host)
	for _, c := range v.Jar.Cookies(&url.URL{Host: host}) {
		r.AddCookie(c)
	}
	r = edge.WithOrigin(r, parvis.Origin{Channel: parvis.Internal, Address: "127.0.0.1", Known: true})
	run(b, d.Gateway, r)
}

func BenchmarkPlainReverseProxy(b *testing.B) {
	target, err := url.Parse(kibibyte(b))
	must(b, err)
	t := transport(nil)
	b.Cleanup(t.CloseIdleConnections)
	p := &httputil.ReverseProxy{
		Transport:  t,
		BufferPool: new(buffers),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(target)
			pr.SetXForwarded()
		},
	}
	r := request("paie.agents.localhost:8080")
	r.Header.Set("Cookie", "parvis-app=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; parvis-enter=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	run(b, p, r)
}

func kibibyte(b *testing.B) string {
	body := bytes.Repeat([]byte("x"), 1024)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	b.Cleanup(s.Close)
	return s.URL
}

// request is what a browser sends.
func request(host string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://"+host+"/a/page?x=1", nil)
	for name, value := range map[string]string{
		"Accept": "text/html,application/xhtml+xml", "Accept-Language": "fr", "Accept-Encoding": "gzip, deflate, br",
		"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Sec-Fetch-Mode": "navigate",
		"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document", "Referer": "http://" + host + "/", "Upgrade-Insecure-Requests": "1",
	} {
		r.Header.Set(name, value)
	}
	return r
}

func run(b *testing.B, h http.Handler, r *http.Request) {
	var wrong atomic.Int64
	h.ServeHTTP(&sink{h: http.Header{}}, r.Clone(r.Context()))
	b.ReportAllocs()
	before := cpu()
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithCancel(r.Context()) // as net/http's server gives each connection
		defer cancel()
		r := r.Clone(ctx)
		for pb.Next() {
			w := &sink{h: make(http.Header, 8)}
			h.ServeHTTP(w, r)
			if w.status != http.StatusOK || w.n != 1024 {
				wrong.Add(1)
			}
		}
	})
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
	if n := wrong.Load(); n > 0 {
		b.Errorf("%d requests were not answered as they should", n)
	}
}

// sink takes an answer and keeps nothing.
type sink struct {
	h      http.Header
	status int
	n      int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { s.n += len(b); return len(b), nil }
func (s *sink) Flush()                      {}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
