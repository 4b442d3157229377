package edge

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"parvis"
	"parvis/internal/text"
)

// Edge turns connections into requests with a known origin, and errors into
// answers. All fields must be set, but Page and Metrics.
type Edge struct {
	Addresses *parvis.Addresses
	Catalog   *text.Catalog
	Clock     func() time.Time
	Log       *slog.Logger
	Portal    http.Handler // answers on the portals' own names
	Apps      http.Handler // answers on the applications' names
	Metrics   *Metrics

	// Values and Zone are what the organisation's sentences need; nil and UTC
	// when a test has none.
	Values func(text.Lang) text.Args
	Zone   *time.Location

	// Leads are the origins, besides ours, where a form may end: those of the
	// verifiers, reached by a redirect after a post.
	Leads []string

	// Verify answers /auth/verify, except on applications' hosts: proxies ask it
	// about every request of theirs, under whatever name; it speaks to no browser.
	Verify http.Handler

	// Programs are the paths of protocol endpoints, as patterns of
	// [http.ServeMux] without a host, that take posts from other sites: they
	// believe no cookie, or only carry a question on to a page that is read.
	Programs []string

	// Page draws a failure for a person. When nil, or for programs, the answer
	// is a problem document (RFC 9457).
	Page func(w http.ResponseWriter, r *http.Request, f Failure)
}

// maxForm bounds the body of anything sent to a portal: forms are small.
const maxForm = 256 << 10

// policy is the content security policy of every page of ours: nothing inline,
// nothing from elsewhere, framed by nobody.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action %s; frame-ancestors 'none'; base-uri 'none'"

// Handler gives the handler of one entrance: everything between the
// connection and the portal or the applications.
func (e *Edge) Handler(en Entrance) http.Handler {
	protect := http.NewCrossOriginProtection()
	protect.SetDenyHandler(e.Handle(func(http.ResponseWriter, *http.Request) error {
		return &parvis.Error{Code: parvis.CodeRefused, Op: "edge.crossOrigin"}
	}))
	for _, pattern := range e.Programs {
		protect.AddInsecureBypassPattern(pattern)
	}
	portal := protect.Handler(http.HandlerFunc(e.portal))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = WithOrigin(r, en.origin(r))
		arrived(r).entrance = &en
		defer e.recovered(w, r)

		_, app, ok := e.Addresses.Find(r.Host)
		// RFC 9110 §7.4: a name that is not ours is answered with 421, so that
		// nothing is ever built from it.
		// That of a proxy that asks about another request says nothing.
		asked := e.Verify != nil && app == "" && r.URL.Path == "/auth/verify" && (ok || ByProxy(r))
		if !ok && !asked || r.Method == http.MethodTrace || r.Method == http.MethodConnect {
			e.Misdirected(w, r)
			return
		}
		// RFC 9112 §6.1: after a message whose framing may have been read in two
		// ways the connection must not be used again. net/http has dropped the
		// Content-Length by now, so every chunked request ends its connection.
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		if app != "" {
			e.Apps.ServeHTTP(w, r)
			return
		}
		if asked {
			e.Verify.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Request-Id", RequestID(r))
		portal.ServeHTTP(w, r)
	})
}

func (e *Edge) portal(w http.ResponseWriter, r *http.Request) {
	// A page is short both ways; who is slower than this only holds the door.
	// Recorders in tests have no deadlines, and need none.
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(formWait))
	_ = conn.SetWriteDeadline(time.Now().Add(pageWait))
	defer func() { _ = conn.SetWriteDeadline(time.Time{}) }() // the connection may carry a stream next
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	e.protect(w.Header(), Origin(r).Channel)
	start := time.Now()
	sw := &statusWriter{ResponseWriter: w}
	e.Portal.ServeHTTP(sw, r)
	e.Metrics.observe(Origin(r).Channel, sw.status, time.Since(start))
}

// Misdirected answers a request for a name that is not ours, or whose name
// means nothing here (RFC 9110 §15.5.20). All such answers are alike.
func (e *Edge) Misdirected(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	e.protect(h, Origin(r).Channel)
	h.Set("X-Request-Id", RequestID(r))
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusMisdirectedRequest)
	if _, err := w.Write([]byte("misdirected request\n")); err != nil {
		e.Log.Debug("answer not delivered", "err", err)
	}
}

// See leads a visitor elsewhere with 303 (RFC 9700 §4.12: never 307, which
// repeats a body). The address must come from configuration.
func (e *Edge) See(w http.ResponseWriter, r *http.Request, address string) {
	e.guard(w.Header(), Origin(r).Channel)
	w.Header().Set("Location", address)
	w.WriteHeader(http.StatusSeeOther)
}

// protect sets the headers of every answer of ours that says something (ASVS 3.4).
func (e *Edge) protect(h http.Header, ch parvis.Channel) {
	e.guard(h, ch)
	// Not on a redirect: it would part an application's own window from the one
	// that opened it, only because somebody had to sign in between.
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
}

// guard sets the headers of every answer of ours.
func (e *Edge) guard(h http.Header, ch parvis.Channel) {
	h.Set("Content-Security-Policy", e.policy(ch))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // above all, no ticket in a Referer field
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
	if e.Addresses.Secure(ch) {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}

// policy lets a form end on the applications of its own entrance and on the
// verifiers, because the answer to a sign-in is a redirect there and browsers
// hold form-action against redirects too (CSP Level 3 §6.4.1).
func (e *Edge) policy(ch parvis.Channel) string {
	action := "'self'"
	if app := e.Addresses.App(ch, "*"); app != "" {
		action += " " + app
	}
	for _, origin := range e.Leads {
		action += " " + origin
	}
	return replaceOnce(policy, "%s", action)
}

func (e *Edge) recovered(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v) // net/http closes the connection without a word
	}
	e.Log.Error("handler panicked", "request", RequestID(r), "panic", v, "stack", string(debug.Stack()))
	e.fail(w, r, &parvis.Error{Code: parvis.CodeInternal, Op: "edge.panic"})
}

func replaceOnce(s, old, repl string) string {
	for i := 0; i+len(old) <= len(s); i++ {
		if s[i:i+len(old)] == old {
			return s[:i] + repl + s[i+len(old):]
		}
	}
	return s
}

// statusWriter remembers the status for the metrics.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func statusText(status int) string { return strconv.Itoa(status) }
