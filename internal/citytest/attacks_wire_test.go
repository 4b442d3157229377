package citytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis"
)

// runJSON runs a command that must succeed and reads its answer.
func runJSON(tb testing.TB, v any, args ...string) {
	tb.Helper()
	out, errs, status := RunPlain(tb, args...)
	if status != 0 {
		tb.Fatalf("%v ended with %d:\n%s%s", args, status, out, errs)
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		tb.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// Somebody with little wants to keep everybody out:
//
//  1. fifty connections send one letter of a header and wait;
//  2. a request carries a mebibyte of headers, or one endless line;
//  3. a form carries a mebibyte, with and without saying so.
//
// The large are refused and their connections closed; the slow are cut by the
// server; meanwhile others are served.
func attackPatience(t *testing.T, town *Town) {
	host := fmt.Sprintf("nomade.localhost:%d", town.Base+1)
	slow := make([]net.Conn, 50)
	for i := range slow {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", town.Base+1))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nX"); err != nil {
			t.Fatal(err)
		}
		slow[i] = conn
	}
	line := strings.Repeat("a", 1000)
	for what, request := range map[string]string{
		"a mebibyte of headers":  "GET / HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Repeat("X-A: "+line+"\r\n", 1049) + "\r\n",
		"one header of it":       "GET / HTTP/1.1\r\nHost: " + host + "\r\nX-A: " + strings.Repeat(line, 1049) + "\r\n\r\n",
		"a mebibyte of cookies":  "GET / HTTP/1.1\r\nHost: " + host + "\r\nCookie: " + strings.Repeat("parvis="+line[:43]+"; ", 20000) + "\r\n\r\n",
		"an endless target":      "GET /" + strings.Repeat(line, 1049) + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"an endless method":      strings.Repeat("A", 1<<20) + " / HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"a mebibyte in a form":   form(host, 1<<20, strings.Repeat("identifier=A&bb=", 1<<16)),
		"a form without its end": "POST /signin HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("3e8\r\n"+line+"\r\n", 1049) + "0\r\n\r\n",
	} {
		w := send(t, town.Base+1, request)
		// A server that hangs up on somebody who is still sending may be heard
		// only as a broken connection (RFC 9112 §9.6): then there is no answer.
		if s := w.status(0); s != 0 && s < 400 {
			t.Errorf("%s is answered with %d", what, s)
		}
		if !w.closed {
			t.Errorf("%s: the connection stays open", what)
		}
	}
	v := town.Visitor(t)
	if p := v.SignIn(parvis.Mobile, town.Person("A100030")); p.Screen != "home" {
		t.Errorf("meanwhile an agent who signs in sees %s", p.Screen)
	}
	for i, conn := range slow {
		_ = conn.SetDeadline(time.Now().Add(hangUp))
		if w := receive(conn); !w.closed {
			t.Fatalf("slow connection %d was not cut", i)
		}
	}
}

func form(host string, length int, body string) string {
	return fmt.Sprintf("POST /signin HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", host, length, body)
}

// hostile is an application that its attacker owns. It keeps what it is sent.
type hostile struct {
	mu   sync.Mutex
	seen []*http.Request
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	h.mu.Lock()
	h.seen = append(h.seen, r)
	h.mu.Unlock()
	for _, c := range []string{
		"parvis=" + strings.Repeat("B", 43) + "; Path=/; Domain=nomade.localhost", "__Host-parvis=x; Path=/; Secure", "parvis-app=x; Path=/", "parvis-device=x; Path=/",
		"=parvis=x; Path=/", " parvis =x; Path=/", "parvis-door=x", "own=honest; Path=/",
	} {
		w.Header().Add("Set-Cookie", c)
	}
	w.Header().Set("Parvis-Assertion", "forged")
	w.Header().Set("Parvis-Until", "2999-01-01T00:00:00Z")
	_, _ = io.WriteString(w, "the application was here")
}

// take gives the requests since it was last asked.
func (h *hostile) take() []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.seen
	h.seen = nil
	return all
}

// serve opens an installation for real, whose pay slips are at upstream.
func serve(t *testing.T, upstream string, change func(string) string) *Town {
	t.Helper()
	dir := t.TempDir()
	first := Open(t, "--data", dir)
	people := map[string]Person{"A100001": first.Person("A100001")}
	first.Close()
	name := filepath.Join(dir, "parvis.yaml")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	paie := regexp.MustCompile(`(?s)(- id: paie\n.*?upstream: )[^\n]*`)
	if !paie.Match(b) {
		t.Fatalf("no application to replace in\n%s", b)
	}
	text := paie.ReplaceAllString(string(b), "${1}"+upstream)
	write(t, name, change(text))
	town := &Town{Base: first.Base, Data: dir, tb: t}
	served[town] = people
	town.start([]string{"serve", "-c", name})
	t.Cleanup(town.Close)
	return town
}

// served are the people of installations, which have nobody to ask.
var served = map[*Town]map[string]Person{}

// An application behind the door is not to be trusted either:
//
//  1. it reads the cookies of its visitors, to be them elsewhere;
//  2. it sets cookies of the front door's names for the whole city;
//  3. a visitor writes requests that two readers read differently, to slip one
//     past the door: both lengths, two lengths, folded lines, bare line feeds;
//  4. addresses and names hold line ends, to write lines into the log.
//
// It sees its own visitors' requests, one for each that was decided.
func TestAttacksThroughAnApplication(t *testing.T) {
	app := &hostile{}
	upstream := httptest.NewServer(app)
	defer upstream.Close()
	level := regexp.MustCompile(`(?m)^(  level: ).*$`)
	town := serve(t, upstream.URL, func(yaml string) string { return level.ReplaceAllString(yaml, "${1}debug") })
	v := town.Visitor(t)
	if p := v.SignIn(parvis.Mobile, served[town]["A100001"]); p.Screen != "home" {
		t.Fatalf("signing in led to %s", p.Screen)
	}
	home := town.App(parvis.Mobile, "paie")
	if p := v.Get(home + "/"); p.Body != "the application was here" {
		t.Fatalf("the application does not open: %d %s", p.Status, p.Screen)
	}
	app.take()
	t.Run("cookies", func(t *testing.T) { attackCookies(t, town, v, app) })
	t.Run("smuggling", func(t *testing.T) { attackSmuggling(t, town, v, app) })
	t.Run("log lines", func(t *testing.T) { attackLog(t, town, v) })
	wholeLog(t, town.Data)
}

func attackCookies(t *testing.T, town *Town, v *Visitor, app *hostile) {
	home, portal := town.App(parvis.Mobile, "paie"), town.Portal(parvis.Mobile)
	session := cookieOf(t, v, portal, "parvis")
	p := v.Get(home + "/")
	for _, r := range app.take() {
		for _, c := range r.Header["Cookie"] {
			if strings.Contains(c, "parvis") || strings.Contains(c, session) {
				t.Errorf("the application received %s", c)
			}
		}
	}
	if set := p.Header["Set-Cookie"]; len(set) != 1 || !strings.HasPrefix(set[0], "own=honest") {
		t.Errorf("the application sets %q", set)
	}
	if p.Header.Get("Parvis-Assertion") != "" || strings.HasPrefix(p.Header.Get("Parvis-Until"), "2999") {
		t.Errorf("the application speaks as the door: %v", p.Header)
	}
	if p := v.Get(portal + "/security"); p.Screen != "security" || cookieOf(t, v, portal, "parvis") != session {
		t.Errorf("the session did not survive the application: %s", p.Screen)
	}
	v.Get(home + "/again")
	for _, r := range app.take() {
		if c, err := r.Cookie("own"); err != nil || c.Value != "honest" {
			t.Errorf("the application does not get its own cookie back: %v", r.Header["Cookie"])
		}
	}
}

func attackSmuggling(t *testing.T, town *Town, v *Visitor, app *hostile) {
	home := town.App(parvis.Mobile, "paie")
	host := strings.TrimPrefix(home, "http://")
	top := "Host: " + host + "\r\nCookie: parvis-app=" + cookieOf(t, v, home, "parvis-app") + "\r\nAccept: text/html\r\n"
	hidden := "GET /smuggled HTTP/1.1\r\n" + top + "\r\n"
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	const post = "POST /posted HTTP/1.1\r\n"
	// Those that are read are answered once, and the connection ends (RFC 9112 §6.1).
	for name, request := range map[string]string{
		"both, the length hides":    post + top + length(5) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"both, the chunks hide":     post + top + length(len(chunk)) + "Transfer-Encoding: chunked\r\n\r\n" + chunk + hidden,
		"both, the other way round": post + top + "Transfer-Encoding: chunked\r\n" + length(5) + "\r\n0\r\n\r\n" + hidden,
		"chunked":                   post + top + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	} {
		w := send(t, town.Base+1, request)
		seen := app.take()
		if len(w.answers) != 1 || !w.closed {
			t.Errorf("%s: %d answers, closed %v", name, len(w.answers), w.closed)
		}
		if len(seen) != 1 || seen[0].URL.Path != "/posted" {
			t.Errorf("%s: the application saw %d requests", name, len(seen))
		}
	}
	// Those that cannot be read are refused, and reach nobody.
	for name, request := range map[string]string{
		"two lengths":            post + top + length(0) + length(len(hidden)) + "\r\n" + hidden,
		"a list of lengths":      post + top + "Content-Length: 0, 5\r\n\r\nabcde" + hidden,
		"a negative length":      post + top + "Content-Length: -1\r\n\r\n" + hidden,
		"a signed length":        post + top + "Content-Length: +0\r\n\r\n" + hidden,
		"a length in base 16":    post + top + "Content-Length: 0x0\r\n\r\n" + hidden,
		"an unknown coding":      post + top + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"two codings":            post + top + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"twice chunked":          post + top + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunked, then identity": post + top + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden,
		"a blank before a colon": post + top + "Transfer-Encoding : chunked\r\n" + length(5) + "\r\n0\r\n\r\n" + hidden,
		"a folded line":          post + top + "X-A: b\r\n Transfer-Encoding: chunked\r\n: c\r\n\r\n" + hidden,
		"a bare carriage return": post + top + "X-A: b\rTransfer-Encoding: chunked\r\n\r\n" + hidden,
		"a zero in a header":     post + top + "X-A: b\x00c\r\n\r\n" + hidden,
		"a vertical tab":         post + top + "Transfer-Encoding:\vchunked\r\n" + length(5) + "\r\n0\r\n\r\n" + hidden,
		"a version of its own":   "POST /posted HTTP/1.2.3\r\n" + top + length(0) + "\r\n" + hidden,
	} {
		w := send(t, town.Base+1, request)
		if s := w.status(0); s < 400 || len(w.answers) != 1 || !w.closed {
			t.Errorf("%s: %d answers, the first %d, closed %v", name, len(w.answers), s, w.closed)
		}
		for _, r := range app.take() {
			t.Errorf("%s: the application saw %s %s", name, r.Method, r.URL)
		}
	}
	// A body is a body, whatever it looks like; and two honest requests are two.
	w := send(t, town.Base+1, post+top+length(len(hidden))+"\r\n"+hidden+"GET /second HTTP/1.1\r\nConnection: close\r\n"+top+"\r\n")
	if seen := app.take(); len(seen) != 2 || seen[1].URL.Path != "/second" || len(w.answers) != 2 {
		t.Errorf("two honest requests: %d seen, %d answers", len(seen), len(w.answers))
	}
	// Chunks that break off, or carry a request in their extension.
	for name, body := range map[string]string{
		"a broken chunk":      "5\r\nab",
		"a chunk too long":    "ffffffffffffffffff\r\nab\r\n0\r\n\r\n",
		"a chunk of rubbish":  "5\r\nabcdeGET /smuggled HTTP/1.1\r\n\r\n",
		"an endless line":     "1;" + strings.Repeat("a", 1<<20) + "\r\na\r\n0\r\n\r\n",
		"a line feed in ext":  "1;\nx\r\na\r\n0\r\n\r\n" + hidden,
		"a hidden trailer":    "0\r\nContent-Length: 5\r\nHost: evil.example\r\nParvis-Assertion: forged\r\n\r\n" + hidden,
		"no blank after zero": "0\r\n" + hidden,
	} {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", town.Base+1))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(hangUp))
		_, _ = io.WriteString(conn, post+top+"Transfer-Encoding: chunked\r\n\r\n"+body)
		_ = conn.(*net.TCPConn).CloseWrite()
		w := receive(conn)
		_ = conn.Close()
		if len(w.answers) > 1 {
			t.Errorf("%s: %d answers", name, len(w.answers))
		}
		for _, r := range app.take() {
			if r.URL.Path != "/posted" || r.Trailer.Get("Parvis-Assertion") != "" || r.Host != host {
				t.Errorf("%s: the application saw %s %s of %s", name, r.Method, r.URL, r.Host)
			}
		}
	}
}

func attackLog(t *testing.T, town *Town, v *Visitor) {
	forged := "\nlevel=ERROR msg=forged\r\nlevel=ERROR msg=forged\u2028msg=forged\x1b[2K"
	portal, home := town.Portal(parvis.Mobile), town.App(parvis.Mobile, "paie")
	v.Header = http.Header{"User-Agent": {"a\tlevel=ERROR msg=forged"}}
	for _, address := range []string{portal + "/", portal + "/why/", portal + "/app/", home + "/.parvis/", home + "/"} {
		v.Get(address + url.PathEscape(forged))
	}
	v.Post(portal+"/signin", url.Values{"identifier": {"A1" + forged}, "password": {forged}})
	v.Post(portal+"/activate", url.Values{"agent_number": {forged}, "email": {"a@b.c" + forged}})
	v.Post(portal+"/activate", url.Values{"code": {forged}, "agent_number": {forged}})
	if !strings.Contains(town.Output(), "level=DEBUG") {
		t.Fatalf("nothing is logged: the test would prove nothing\n%s", town.Output())
	}
	for line := range strings.Lines(town.Output()) {
		if strings.HasPrefix(line, "level=ERROR") || strings.ContainsAny(line, "\x1b\u2028") || strings.Contains(line, "lanterne") {
			t.Errorf("the log holds %q", line)
		}
	}
	for _, e := range events(t, town.Data, 0) {
		for name, value := range e.Detail {
			if strings.ContainsAny(value, "\r\n\x1b") {
				t.Errorf("event %d (%s) holds %s = %q", e.Seq, e.Kind, name, value)
			}
		}
	}
}
