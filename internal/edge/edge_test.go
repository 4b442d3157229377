package edge

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/text"
)

// house is an edge with something behind it.
type house struct {
	*Edge
	log      strings.Builder
	portal   http.HandlerFunc
	app      http.HandlerFunc
	entrance Entrance
}

const (
	portalHost = "agents.example.org"
	mobileHost = "nomade.localhost:8081"
)

func newHouse(t testing.TB) *house {
	t.Helper()
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{
		parvis.Internal: "https://" + portalHost, parvis.Mobile: "http://" + mobileHost,
	})
	if err != nil {
		t.Fatal(err)
	}
	words, err := text.Load()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{entrance: Entrance{Channel: parvis.Internal}}
	h.portal = func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "portal %s", r.URL.Path) }
	h.app = func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "app %s", r.Host) }
	h.Edge = &Edge{
		Addresses: addresses, Catalog: words, Clock: time.Now, Log: slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: NewMetrics(),
		Portal:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.portal(w, r) }),
		Apps:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.app(w, r) }),
	}
	return h
}

// ask sends a request through the entrance.
func (h *house) ask(method, target string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.Handler(h.entrance).ServeHTTP(w, r)
	return w
}

func TestHosts(t *testing.T) {
	h := newHouse(t)
	for host, want := range map[string]string{
		portalHost:                      "portal /x",
		"AGENTS.Example.ORG":            "portal /x",
		"paie." + portalHost:            "app paie." + portalHost,
		mobileHost:                      "portal /x",
		"paie." + mobileHost:            "app paie." + mobileHost,
		"":                              "",
		"evil.example":                  "",
		portalHost + ":8443":            "",
		"nomade.localhost":              "",
		"a.b." + portalHost:             "",
		"." + portalHost:                "",
		portalHost + ".":                "",
		portalHost + ".evil.example":    "",
		"evil.example/" + portalHost:    "",
		"evil.example@" + portalHost:    "",
		"127.0.0.1":                     "",
		"agents.example.org\r\nX: evil": "",
	} {
		w := h.ask(http.MethodGet, "http://"+portalHost+"/x", func(r *http.Request) { r.Host = host })
		switch {
		case want == "" && (w.Code != http.StatusMisdirectedRequest || strings.Contains(w.Body.String(), "evil")):
			t.Errorf("%q: %d %q", host, w.Code, w.Body)
		case want != "" && (w.Code != http.StatusOK || w.Body.String() != want):
			t.Errorf("%q: %d %q, not %q", host, w.Code, w.Body, want)
		}
		if w.Header().Get("X-Request-Id") == "" && !strings.HasPrefix(want, "app") {
			t.Errorf("%q: the answer has no name", host)
		}
	}
	for _, method := range []string{http.MethodTrace, http.MethodConnect} {
		for _, host := range []string{portalHost, "paie." + portalHost} {
			w := h.ask(method, "http://"+host+"/", func(r *http.Request) { r.Header.Set("Cookie", "secret") })
			if w.Code != http.StatusMisdirectedRequest || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s %s: %d", method, host, w.Code)
			}
		}
	}
}

func TestProtectiveHeaders(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name string
		do   func() *httptest.ResponseRecorder
	}{
		{"a page", func() *httptest.ResponseRecorder { return h.ask(http.MethodGet, "http://"+portalHost+"/", nil) }},
		{"a failure", func() *httptest.ResponseRecorder {
			h.portal = h.Handle(func(http.ResponseWriter, *http.Request) error { return errors.New("no") }).ServeHTTP
			return h.ask(http.MethodGet, "http://"+portalHost+"/", nil)
		}},
		{"a panic", func() *httptest.ResponseRecorder {
			h.portal = func(http.ResponseWriter, *http.Request) { panic("no") }
			return h.ask(http.MethodGet, "http://"+portalHost+"/", nil)
		}},
	} {
		got := c.do().Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY",
			"Cross-Origin-Resource-Policy": "same-origin", "Strict-Transport-Security": "max-age=63072000; includeSubDomains", "Cache-Control": "no-store",
		} {
			if got.Get(name) != want {
				t.Errorf("%s: %s is %q", c.name, name, got.Get(name))
			}
		}
		csp := got.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' https://*." + portalHost + ";"} {
			if !strings.Contains(csp+";", part) {
				t.Errorf("%s: the policy lacks %s: %s", c.name, part, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "%s") {
			t.Errorf("%s: policy %s", c.name, csp)
		}
	}
	h = newHouse(t)
	h.entrance.Channel = parvis.Mobile // over plain HTTP
	if got := h.ask(http.MethodGet, "http://"+mobileHost+"/", nil).Header(); got.Get("Strict-Transport-Security") != "" {
		t.Errorf("an address without TLS asks for it: %v", got)
	}
	// An application's answers are its own.
	if got := h.ask(http.MethodGet, "http://paie."+mobileHost+"/", nil).Header(); len(got) > 1 {
		t.Errorf("an application's answer has %v", got)
	}
}

func TestRequestsAreNamed(t *testing.T) {
	h := newHouse(t)
	names := map[string]bool{}
	h.portal = func(_ http.ResponseWriter, r *http.Request) { names[RequestID(r)] = true }
	for range 100 {
		w := h.ask(http.MethodGet, "http://"+portalHost+"/", func(r *http.Request) { r.Header.Set("X-Request-Id", "forged") })
		if id := w.Header().Get("X-Request-Id"); len(id) != 16 || !names[id] {
			t.Fatalf("the answer is called %q, which the handler did not know", id)
		}
	}
	if len(names) != 100 {
		t.Errorf("100 requests have %d names", len(names))
	}
}

// Whoever writes from elsewhere is refused; reading and what is not a
// browser are let through, and an application decides for itself.
func TestCrossOrigin(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		method, host, site, origin string
		want                       int
	}{
		{http.MethodPost, portalHost, "same-origin", "https://" + portalHost, http.StatusOK},
		{http.MethodPost, portalHost, "none", "", http.StatusOK},
		{http.MethodPost, portalHost, "", "", http.StatusOK},
		{http.MethodPost, portalHost, "cross-site", "https://evil.example", http.StatusForbidden},
		{http.MethodPost, portalHost, "same-site", "https://paie." + portalHost, http.StatusForbidden},
		{http.MethodPost, portalHost, "", "https://evil.example", http.StatusForbidden},
		{http.MethodPost, portalHost, "", "null", http.StatusForbidden},
		{http.MethodDelete, portalHost, "cross-site", "", http.StatusForbidden},
		{http.MethodGet, portalHost, "cross-site", "https://evil.example", http.StatusOK},
		{http.MethodHead, portalHost, "same-site", "", http.StatusOK},
		{http.MethodPost, "paie." + portalHost, "cross-site", "https://evil.example", http.StatusOK},
	} {
		w := h.ask(c.method, "https://"+c.host+"/", func(r *http.Request) {
			for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
		})
		if w.Code != c.want {
			t.Errorf("%s %s from %q, %q: %d", c.method, c.host, c.site, c.origin, w.Code)
		}
	}
}

func TestWantsJSON(t *testing.T) {
	for _, c := range []struct {
		accept, mode, with string
		want               bool
	}{
		{"", "", "", false},
		{"*/*", "", "", false},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "navigate", "", false},
		{"text/html, application/json", "", "", false},
		{"application/json", "", "", true},
		{"Application/Problem+JSON", "", "", true},
		{"*/*", "cors", "", true},
		{"*/*", "no-cors", "", true},
		{"*/*", "navigate", "", false},
		{"*/*", "", "XMLHttpRequest", true},
		{"TEXT/HTML", "cors", "", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for name, value := range map[string]string{"Accept": c.accept, "Sec-Fetch-Mode": c.mode, "X-Requested-With": c.with} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if got := WantsJSON(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Each code of an error is one answer, in one place.
func TestErrorsBecomeAnswers(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		err    error
		status int
		reason parvis.ReasonCode
		retry  string
	}{
		{&parvis.Error{Code: parvis.CodeInvalid, Op: "x"}, http.StatusBadRequest, parvis.WhyFormExpired, ""},
		{&parvis.Error{Code: parvis.CodeNotFound, Op: "x"}, http.StatusNotFound, parvis.WhyNotFound, ""},
		{&parvis.Error{Code: parvis.CodeConflict, Op: "x"}, http.StatusConflict, parvis.WhyFormExpired, ""},
		{&parvis.Error{Code: parvis.CodeRefused, Op: "x"}, http.StatusForbidden, parvis.WhyFormExpired, ""},
		{&parvis.Error{Code: parvis.CodeLimited, Op: "x"}, http.StatusTooManyRequests, parvis.WhyRateLimited, "60"},
		{&parvis.Error{Code: parvis.CodeUnavailable, Op: "x"}, http.StatusServiceUnavailable, parvis.WhyServiceProblem, "5"},
		{&parvis.Error{Code: parvis.CodeInternal, Op: "x"}, http.StatusInternalServerError, parvis.WhyServiceProblem, ""},
		{errors.New("a secret of the database"), http.StatusInternalServerError, parvis.WhyServiceProblem, ""},
		{fmt.Errorf("wrapped: %w", &parvis.Error{Code: parvis.CodeNotFound, Op: "x"}), http.StatusNotFound, parvis.WhyNotFound, ""},
		{&http.MaxBytesError{Limit: 1}, http.StatusRequestEntityTooLarge, parvis.WhyFormExpired, ""},
		{&parvis.Error{Code: parvis.CodeInvalid, Op: "x", Err: &http.MaxBytesError{Limit: 1}}, http.StatusRequestEntityTooLarge, parvis.WhyFormExpired, ""},
	} {
		var drawn []Failure
		h.portal = h.Handle(func(http.ResponseWriter, *http.Request) error { return c.err }).ServeHTTP
		h.Page = func(w http.ResponseWriter, _ *http.Request, f Failure) {
			drawn = append(drawn, f)
			w.WriteHeader(f.Status)
		}
		if w := h.ask(http.MethodGet, "https://"+portalHost+"/", nil); w.Code != c.status || len(drawn) != 1 || drawn[0].Code != c.reason || w.Header().Get("Retry-After") != c.retry {
			t.Errorf("%v: a person gets %d, %+v, Retry-After %q", c.err, w.Code, drawn, w.Header().Get("Retry-After"))
		}
		w := h.ask(http.MethodGet, "https://"+portalHost+"/", func(r *http.Request) { r.Header.Set("Accept", "application/json") })
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		want := problem{Type: "urn:parvis:reason:" + string(c.reason), Status: c.status, Title: p.Title, Request: w.Header().Get("X-Request-Id")}
		if diff := cmp.Diff(want, p); diff != "" || p.Title == "" || w.Code != c.status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: a program gets %d %s\n%s", c.err, w.Code, w.Body, diff)
		}
		if len(drawn) != 1 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %s", c.err, w.Body)
		}
	}
	if !strings.Contains(h.log.String(), "a secret of the database") {
		t.Errorf("the log does not know what happened: %s", h.log.String())
	}
}

func TestPanicsBecomeAnswers(t *testing.T) {
	h := newHouse(t)
	h.portal = func(http.ResponseWriter, *http.Request) { panic("a secret") }
	w := h.ask(http.MethodGet, "https://"+portalHost+"/", nil)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") || !strings.Contains(h.log.String(), "a secret") {
		t.Errorf("%d %s; logged: %s", w.Code, w.Body, h.log.String())
	}
	h.app = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	defer func() {
		v := recover()
		if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("an aborted answer became %v", v)
		}
	}()
	h.ask(http.MethodGet, "https://paie."+portalHost+"/", nil)
	t.Error("an aborted answer was finished")
}

// The problem document of contract.md: every reason, every way, a reference.
func TestProblem(t *testing.T) {
	h := newHouse(t)
	app := parvis.App{ID: "finances", Name: parvis.Words{FR: "Finances", EN: "Finance"}, Channels: []parvis.Channel{parvis.Internal, parvis.VPN}}
	refused := Refused{
		Reference: "K7QP-3M9T", App: app, Channel: parvis.Mobile, Retry: 3 * time.Second,
		Decision: parvis.Decision{
			Reasons: []parvis.Reason{{Code: parvis.WhyChannelNotAllowed}, {Code: parvis.WhyStepUpRequired}},
			Ways:    []parvis.Way{{Changes: []parvis.Change{{Kind: parvis.ChangeChannel, To: "vpn", By: parvis.BySelf}}}},
		},
	}
	h.portal = func(w http.ResponseWriter, r *http.Request) { h.Problem(w, r, refused) }
	for lang, title := range map[string]string{"fr": "", "en": ""} {
		w := h.ask(http.MethodGet, "https://"+portalHost+"/", func(r *http.Request) { r.Header.Set("Accept-Language", lang) })
		var got struct {
			Type, Title, Detail, Reference string
			Status                         int
			Reasons                        []struct{ Code, Title string }
			Ways                           []struct {
				Title   string
				Changes []struct{ Kind, To, By string }
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		switch {
		case w.Code != http.StatusForbidden || got.Status != w.Code || w.Header().Get("Content-Type") != "application/problem+json":
			t.Errorf("%s: %d, says %d, %s", lang, w.Code, got.Status, w.Header().Get("Content-Type"))
		case got.Type != "urn:parvis:reason:channel_not_allowed" || got.Title == title || got.Title != got.Reasons[0].Title:
			t.Errorf("%s: %s %q", lang, got.Type, got.Title)
		case got.Reference != "K7QP-3M9T" || len(got.Reasons) != 2 || got.Reasons[1].Code != string(parvis.WhyStepUpRequired):
			t.Errorf("%s: %s %+v", lang, got.Reference, got.Reasons)
		case len(got.Ways) != 1 || got.Ways[0].Title == "" || got.Ways[0].Changes[0].Kind != "channel" || got.Ways[0].Changes[0].To != "vpn" || got.Ways[0].Changes[0].By != "self":
			t.Errorf("%s: %+v", lang, got.Ways)
		case w.Header().Get("Retry-After") != "3" || w.Header().Get("Cache-Control") != "no-store":
			t.Errorf("%s: %v", lang, w.Header())
		}
		if strings.Contains(w.Body.String(), "{") && strings.Contains(got.Title+got.Detail+got.Ways[0].Title, "{") {
			t.Errorf("%s: a sentence is not filled in: %s", lang, w.Body)
		}
	}
	h.portal = func(w http.ResponseWriter, r *http.Request) { h.SignIn(w, r, "https://"+portalHost+"/signin") }
	w := h.ask(http.MethodGet, "https://"+portalHost+"/", nil)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"sign_in":"https://`+portalHost+`/signin"`) {
		t.Errorf("without a session: %d %s", w.Code, w.Body)
	}
}

func TestFormsAreSmall(t *testing.T) {
	h := newHouse(t)
	h.portal = h.Handle(func(_ http.ResponseWriter, r *http.Request) error { return r.ParseForm() }).ServeHTTP
	for size, want := range map[int]int{1000: http.StatusOK, maxForm + 1: http.StatusRequestEntityTooLarge} {
		r := httptest.NewRequest(http.MethodPost, "https://"+portalHost+"/", strings.NewReader("a="+strings.Repeat("b", size)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.Handler(h.entrance).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("a form of %d bytes: %d", size, w.Code)
		}
	}
	h.app = func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, err)
	}
	r := httptest.NewRequest(http.MethodPost, "https://paie."+portalHost+"/", strings.NewReader(strings.Repeat("b", 4*maxForm)))
	w := httptest.NewRecorder()
	h.Handler(h.entrance).ServeHTTP(w, r)
	if want := fmt.Sprint(4*maxForm, nil); w.Body.String() != want {
		t.Errorf("an upload to an application: %s, not %s", w.Body, want)
	}
}

func TestMetrics(t *testing.T) {
	h := newHouse(t)
	h.portal = func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }
	h.ask(http.MethodGet, "https://"+portalHost+"/", nil)
	h.Metrics.Follow([]parvis.Event{{Kind: "app.refused", App: "finances", Channel: parvis.Mobile, Reasons: []parvis.ReasonCode{parvis.WhyChannelNotAllowed}}})
	w := httptest.NewRecorder()
	h.Metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`parvis_requests_total{channel="internal",status="418"} 1`, `parvis_request_seconds_count{channel="internal"} 1`,
		`parvis_events_total{kind="app.refused"} 1`, `parvis_refusals_total{app="finances",channel="mobile",reason="channel_not_allowed"} 1`,
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("the counters lack %s", line)
		}
	}
	h.Edge.Metrics = nil // nobody counts
	if w := h.ask(http.MethodGet, "https://"+portalHost+"/", nil); w.Code != http.StatusTeapot {
		t.Errorf("without counters: %d", w.Code)
	}
}

// open serves an edge on the loopback; stop ends it and gives what Serve said.
func open(t *testing.T, h *house) (address string, stop func() error) {
	t.Helper()
	h.entrance.Listen = "127.0.0.1:0"
	s, err := h.Listen(h.entrance)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
	})
	return s.Address(), stop
}

// longWait is for what must happen; nothing waits as long when it does.
const longWait = 30 * time.Second

// RFC 9112 §6.1: after a message with both a length and chunks the connection
// is closed, and what follows on it is never read as a request.
func TestFramingThatCanBeReadInTwoWays(t *testing.T) {
	h := newHouse(t)
	paths := make(chan string, 10)
	h.portal = func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		paths <- r.URL.Path + " " + string(b)
	}
	h.app = h.portal
	address, _ := open(t, h)
	for _, host := range []string{portalHost, "paie." + portalHost} {
		smuggled := "GET /smuggled HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
		for name, c := range map[string]struct {
			request string
			answers int
			paths   []string
		}{
			"both":    {"POST /a HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + smuggled, 1, []string{"/a x"}},
			"chunked": {"POST /a HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + smuggled, 1, []string{"/a x"}},
			"length":  {"POST /a HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1\r\n\r\nxGET /b HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n", 2, []string{"/a x", "/b "}},
			"lengths": {"POST /a HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy" + smuggled, 1, nil},
		} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(longWait))
			_, _ = io.WriteString(conn, c.request)
			in, answers := bufio.NewReader(conn), 0
			for {
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
						t.Errorf("%s, %s: the connection stays open", host, name)
					}
					break
				}
				_, _ = io.Copy(io.Discard, res.Body)
				answers++
			}
			_ = conn.Close()
			var got []string
			for range c.paths {
				got = append(got, <-paths)
			}
			if diff := cmp.Diff(c.paths, got); diff != "" || answers != c.answers || len(paths) != 0 {
				t.Errorf("%s, %s: %d answers\n%s", host, name, answers, diff)
			}
		}
	}
}

// what is under way when the server is asked to end is finished; no new
// connection is taken.
func TestDrain(t *testing.T) {
	h := newHouse(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	h.portal = func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "finished")
	}
	address, stop := open(t, h)
	answer := make(chan string, 1)
	go func() {
		r, err := http.NewRequest(http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			answer <- err.Error()
			return
		}
		r.Host = portalHost
		res, err := (&http.Client{Transport: &http.Transport{}}).Do(r)
		if err != nil {
			answer <- err.Error()
			return
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		answer <- string(b) + fmt.Sprint(err)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // until the door is shut
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(leave)
	if got := <-answer; got != "finished<nil>" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
}

func TestListenFails(t *testing.T) {
	h := newHouse(t)
	address, _ := open(t, h)
	if _, err := h.Listen(Entrance{Listen: address}); err == nil {
		t.Error("two listeners at one address")
	}
	if _, err := ListenPlain(address, h.portal, h.Log); err == nil {
		t.Error("a plain listener at a taken address")
	}
	s, err := h.Listen(Entrance{Listen: "127.0.0.1:0", CertFile: "missing.pem", KeyFile: "missing.pem"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context()); err == nil {
		t.Error("a server without its certificate served")
	}
}

func TestPlainListener(t *testing.T) {
	s, err := ListenPlain("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	res, err := http.Get("http://" + s.Address() + "/")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if string(b) != s.Address() {
		t.Errorf("it answered %q", b)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
