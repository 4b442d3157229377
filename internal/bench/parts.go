package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// bodySize is that of every answer.
const bodySize = 1024

// upstream is the application behind every peer: it answers each request with
// the same kibibyte, and costs as little as can be.
func upstream(ctx context.Context, _ []string) error {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + strconv.Itoa(bodySize) + "\r\n\r\n")
	answer = append(answer, bytes.Repeat([]byte("x"), bodySize)...)
	return listen(ctx, func(l net.Listener) error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer func() { _ = conn.Close() }()
				buf, n := make([]byte, 16<<10), 0
				for {
					m, err := conn.Read(buf[n:])
					if n += m; err != nil || n == len(buf) {
						return
					}
					if !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) { // requests here have no body
						continue
					}
					if n = 0; !wrote(conn.Write(answer)) {
						return
					}
				}
			}()
		}
	})
}

func wrote(_ int, err error) bool { return err == nil }

// plain is the standard library's reverse proxy with nothing in front, and with
// the two settings without which it would be slower: idle connections kept, and
// buffers lent.
func plain(ctx context.Context, args []string) error {
	target, err := url.Parse("http://" + args[0])
	if err != nil {
		return err
	}
	p := &httputil.ReverseProxy{
		Transport:  &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 1024, DisableCompression: true},
		BufferPool: &blocks{},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
	}
	return listen(ctx, func(l net.Listener) error {
		return (&http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}).Serve(l)
	})
}

type blocks struct{ pool sync.Pool }

func (b *blocks) Get() []byte {
	if p, ok := b.pool.Get().(*[32 << 10]byte); ok {
		return p[:]
	}
	return new([32 << 10]byte)[:]
}

func (b *blocks) Put(s []byte) { b.pool.Put((*[32 << 10]byte)(s)) }

// listen serves on a free port of the loopback, which it prints, until ctx ends.
func listen(ctx context.Context, serve func(net.Listener) error) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	fmt.Println(l.Addr())
	if err := serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// bare answers 200 without a body, at once: the least that forward
// authentication can cost with net/http.
func bare(ctx context.Context, _ []string) error {
	return listen(ctx, func(l net.Listener) error {
		nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		return (&http.Server{Handler: nothing, ReadHeaderTimeout: 10 * time.Second}).Serve(l)
	})
}

// result is what a load found.
type result struct {
	Requests int
	Seconds  float64
	P50, P99 float64 // milliseconds
	Micros   float64 // of processor time of the server, for each; where it was told which process that is
	Wrong    int     // answers that were not 200 with a body of the right length
	First    string  // the first of them
}

func (r result) rate() float64 { return float64(r.Requests) / r.Seconds }

// loader sends requests over some connections, each as soon as the one before
// is answered.
type loader struct {
	to, host    string
	ask         string // the portal's host, to ask about the visits there as nginx does; empty to make them
	cookies     []byte
	connections int
	seconds     float64
	each        bool // every visit once, in order, instead of for a time

	mu    sync.Mutex
	took  []float64
	next  int
	wrong int
	first string
}

// load is the part of the visitors. It prints a result.
func load(ctx context.Context, args []string) error {
	var l loader
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.StringVar(&l.to, "to", "", "address")
	f.StringVar(&l.host, "host", "", "Host field")
	f.StringVar(&l.ask, "ask", "", "ask about the visits, at this host")
	file := f.String("cookies", "", "file of cookies")
	visits := f.Int("visits", 0, "how many of them; 0 for all")
	f.IntVar(&l.connections, "connections", 32, "connections at once")
	f.Float64Var(&l.seconds, "seconds", 3, "how long")
	f.BoolVar(&l.each, "each", false, "every visit once")
	if err := f.Parse(args); err != nil {
		return err
	}
	var err error
	if l.cookies, err = os.ReadFile(*file); err != nil {
		return err
	}
	if *visits > 0 {
		l.cookies = l.cookies[:min(*visits*secretSize, len(l.cookies))]
	}
	r, err := l.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

const secretSize = 43

func (l *loader) run(ctx context.Context) (result, error) {
	began := time.Now()
	until := began.Add(time.Duration(l.seconds * float64(time.Second)))
	var all sync.WaitGroup
	errs := make([]error, l.connections)
	for i := range l.connections {
		all.Go(func() { errs[i] = l.visit(ctx, until) })
	}
	all.Wait()
	r := measure(l.took, time.Since(began))
	r.Wrong, r.First = l.wrong, l.first
	return r, errors.Join(errs...)
}

// measure sums up how long each of some things took, in milliseconds, and all
// of them together.
func measure(took []float64, all time.Duration) result {
	r := result{Requests: len(took), Seconds: all.Seconds()}
	if slices.Sort(took); len(took) > 0 {
		r.P50, r.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	return r
}

// browser is what a browser says besides.
const browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml\r\nAccept-Language: fr\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: document\r\n"

// request gives what is sent, up to the cookie's value, and the length of the
// body of the answer.
func (l *loader) request() ([]byte, int) {
	const path = "/bulletins?annee=2026"
	if l.ask == "" {
		return []byte("GET " + path + " HTTP/1.1\r\nHost: " + l.host + "\r\n" + browser + "Cookie: " + cookie), bodySize
	}
	return []byte("GET /auth/verify HTTP/1.1\r\nHost: " + l.ask + "\r\nX-Original-URL: http://" + l.host + path +
		"\r\nX-Original-Method: GET\r\nX-Forwarded-For: 10.1.2.3\r\n" + browser + "Cookie: " + cookie), 0
}

// visit sends the requests of one connection.
func (l *loader) visit(ctx context.Context, until time.Time) error {
	request, body := l.request()
	at := len(request)
	request = append(request, make([]byte, secretSize)...)
	request = append(request, "\r\n\r\n"...)
	conn, err := net.Dial("tcp", l.to)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var took []float64
	defer func() {
		l.mu.Lock()
		l.took = append(l.took, took...)
		l.mu.Unlock()
	}()
	buf := make([]byte, 16<<10)
	for ctx.Err() == nil {
		n, ok := l.pick(until)
		if !ok {
			return nil
		}
		copy(request[at:], l.cookies[n*secretSize:(n+1)*secretSize])
		began := time.Now()
		_, err := conn.Write(request)
		if err == nil {
			n, err = answer(conn, buf, body)
		}
		if err != nil {
			l.complain(buf[:n])
			_ = conn.Close()
			if conn, err = net.Dial("tcp", l.to); err != nil {
				return err
			}
			continue
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return ctx.Err()
}

// pick chooses the next visit; false when it is time to stop.
func (l *loader) pick(until time.Time) (int, bool) {
	visits := len(l.cookies) / secretSize
	if !l.each {
		return rand.IntN(visits), time.Now().Before(until)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next - 1, l.next <= visits
}

func (l *loader) complain(got []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong++; l.wrong == 1 {
		l.first = string(got)
	}
}

var errAnswer = errors.New("not the answer of the application")

// answer reads one whole answer, whose body has so many bytes, and tells how
// much of it is in buf.
func answer(conn io.Reader, buf []byte, body int) (int, error) {
	n, need := 0, 0
	for {
		m, err := conn.Read(buf[n:])
		if n += m; err != nil {
			return n, err
		}
		if need == 0 {
			end := bytes.Index(buf[:n], []byte("\r\n\r\n"))
			if end < 0 {
				continue
			}
			if need = end + 4 + body; !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) || need > len(buf) {
				return n, errAnswer
			}
		}
		if n >= need {
			if n > need {
				return n, errAnswer
			}
			return n, nil
		}
	}
}
