package gateway

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis"
	"parvis/internal/edge"
)

// BenchmarkVerify puts the same questions, as nginx does over connections it
// keeps, to the front door and to a handler that does nothing, by turns, so that
// a busy machine disturbs both alike. Each runs in a process of its own:
// "cpu-µs/op" and "bare-cpu-µs/op" are what these used, kernel included.
func BenchmarkVerify(b *testing.B) {
	b.Run("server", func(b *testing.B) {
		h, bare := serve(b, "verify"), serve(b, "bare")
		b.ResetTimer()
		var used, spare time.Duration
		for done := 0; done < b.N; done += burst {
			n := min(burst, b.N-done)
			used += h.take(n)
			spare += bare.take(n)
		}
		b.ReportMetric(float64(used.Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
		b.ReportMetric(float64(spare.Nanoseconds())/1000/float64(b.N), "bare-cpu-µs/op")
		b.ReportMetric(float64(used)/float64(spare), "ratio")
	})
	b.Run("handler", func(b *testing.B) {
		h, ask := verifying(b)
		handed(b, h, ask)
	})
}

const (
	burst = 2000
	at    = 8 // connections at once
)

func bare(http.ResponseWriter, *http.Request) {}

// verifying gives an entrance, and what nginx asks there about somebody who is
// inside.
func verifying(t testing.TB) (http.Handler, []byte) {
	d := newDoor(t, parvis.App{ID: "wiki", Forward: true})
	v := d.arrive(parvis.Internal)
	v.enter("wiki", "/")
	host := "wiki." + d.hosts[parvis.Internal]
	r := request(host)
	for _, c := range v.Jar.Cookies(&url.URL{Host: host}) {
		r.AddCookie(c)
	}
	r.Header.Set("X-Original-URL", "http://"+host+"/a/page?x=1")
	r.Header.Set("X-Original-Method", "GET")
	r.Header.Set("X-Forwarded-For", "127.0.0.1")
	head := new(bytes.Buffer)
	must(t, r.Header.Write(head))
	ask := fmt.Appendf(nil, "GET /auth/verify HTTP/1.1\r\nHost: %s\r\n%s\r\n", d.hosts[parvis.Internal], head)
	return d.Edge.Handler(edge.Entrance{Channel: parvis.Internal, Local: true}), ask
}

// serving is set in the process that serves for a benchmark.
const serving = "PARVIS_BENCH_SERVES"

// TestServes is the server of the benchmarks. It says where it listens and what
// to ask, then, for each line it reads, what it has used.
func TestServes(t *testing.T) {
	what := os.Getenv(serving)
	if what == "" {
		t.Skip("serves a benchmark")
	}
	h, ask := verifying(t)
	if what == "bare" {
		h = http.HandlerFunc(bare)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := edge.NewHTTPServer(h, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	fmt.Println("serves", l.Addr(), base64.StdEncoding.EncodeToString(ask))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println("used", cpu().Nanoseconds())
	}
	must(t, server.Close())
	<-done
}

// served is a server in a process of its own.
type served struct {
	b     *testing.B
	in    io.Writer
	said  *bufio.Scanner
	ask   []byte
	conns []net.Conn
}

func serve(b *testing.B, what string) *served {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServes$", "-test.v")
	cmd.Env = append(os.Environ(), serving+"="+what)
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	s := &served{b: b, in: in, said: bufio.NewScanner(out)}
	b.Cleanup(func() {
		_ = in.Close()
		for s.said.Scan() { // to its end
		}
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	where := s.hear("serves")
	s.ask, err = base64.StdEncoding.DecodeString(where[2])
	must(b, err)
	for range at {
		conn, err := net.Dial("tcp", where[1])
		must(b, err)
		b.Cleanup(func() { _ = conn.Close() })
		s.conns = append(s.conns, conn)
	}
	s.take(at) // what is made ready once
	return s
}

func (s *served) hear(word string) []string {
	for s.said.Scan() {
		if f := strings.Fields(s.said.Text()); len(f) > 1 && f[0] == word {
			return f
		}
	}
	s.b.Fatalf("the server does not say what it %s", word)
	return nil
}

func (s *served) used() time.Duration {
	_, err := s.in.Write([]byte("\n"))
	must(s.b, err)
	ns, err := strconv.ParseInt(s.hear("used")[1], 10, 64)
	must(s.b, err)
	return time.Duration(ns)
}

// take asks n questions and tells what they cost.
func (s *served) take(n int) time.Duration {
	before := s.used()
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for _, conn := range s.conns {
		all.Go(func() { question(s.b, conn, s.ask, func() bool { return left.Add(-1) >= 0 }) })
	}
	all.Wait()
	return s.used() - before
}

// question asks over one connection as long as next says.
func question(b *testing.B, conn net.Conn, ask []byte, next func() bool) {
	buf := make([]byte, 8<<10)
	for next() {
		if _, err := conn.Write(ask); err != nil {
			b.Error(err)
			return
		}
		n := 0
		for !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			got, err := conn.Read(buf[n:])
			if err != nil {
				b.Error(err)
				return
			}
			n += got
		}
		if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 OK\r\n")) || !bytes.Contains(buf[:n], []byte("Content-Length: 0\r\n")) {
			b.Errorf("answered %q", buf[:n])
			return
		}
	}
}

// handed hands the same question over without a network.
func handed(b *testing.B, h http.Handler, ask []byte) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(ask)))
	must(b, err)
	r.RemoteAddr = "127.0.0.1:4711"
	header := http.Header{}
	w := &sink{h: header}
	b.ReportAllocs()
	for b.Loop() {
		clear(header)
		w.status = 0
		h.ServeHTTP(w, r)
		if w.status > http.StatusOK {
			b.Fatalf("answered %d", w.status)
		}
	}
}
