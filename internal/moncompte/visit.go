package moncompte

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// act answers one request, or returns the error that stopped it.
type act func(w http.ResponseWriter, r *http.Request, v *visit) error

// visit is what is known of a request.
type visit struct {
	s       *Service
	at      time.Time
	lang    text.Lang
	theme   string
	back    string // the path that shows this page again
	peer    string // where it comes from
	browser string // the secret of the browser; empty until it has one
	in      bool
	session store.CitizenSession
	citizen citizen
}

// The cookies. Over TLS their names begin with "__Host-" (RFC 6265bis §4.1.3.2).
const (
	cookieSession = "moncompte"
	cookieBrowser = "moncompte-browser" // what was begun here ends here
	cookieKnown   = "moncompte-known"   // somebody signed in here before
	cookieLang    = "moncompte-lang"
	cookieTheme   = "moncompte-theme"

	preference   = 365 * 24 * time.Hour
	sessionLasts = time.Hour
	knownLasts   = 180 * 24 * time.Hour
)

func (s *Service) cookieName(base string) string {
	if s.secure {
		return "__Host-" + base
	}
	return base
}

func (s *Service) cookie(r *http.Request, base string) string {
	c, err := r.Cookie(s.cookieName(base))
	if err != nil {
		return ""
	}
	return c.Value
}

// keep sets a cookie; without a value or a time it removes it. A lasts below
// zero makes it end with the browser.
func (s *Service) keep(w http.ResponseWriter, base, value string, lasts time.Duration) {
	age := int(lasts / time.Second)
	switch {
	case value == "" || lasts == 0:
		value, age = "", -1
	case lasts < 0:
		age = 0
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(base), Value: value, Path: "/", MaxAge: age, Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// handle makes an [http.Handler] of an act. This is the only place where an
// error becomes an answer.
func (s *Service) handle(f act) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := s.receive(r)
		if err == nil {
			err = f(w, r, v)
		}
		if err != nil {
			s.fail(w, r, v, err)
		}
	})
}

// mine sends whoever is not signed in to the door.
func (s *Service) mine(f act) act {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		if !v.in {
			return see(w, "/signin")
		}
		return f(w, r, v)
	}
}

// receive reads what a request says of itself, and finds its session.
func (s *Service) receive(r *http.Request) (*visit, error) {
	v := &visit{s: s, at: s.Clock().UTC(), peer: s.peer(r), back: r.URL.Path}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		v.back = r.URL.RequestURI()
	}
	if !local(v.back) {
		v.back = "/"
	}
	if v.lang = text.Lang(s.cookie(r, cookieLang)); v.lang != text.French && v.lang != text.English {
		v.lang = text.Match(r.Header.Get("Accept-Language"), s.Lang)
	}
	if t := s.cookie(r, cookieTheme); t == "light" || t == "dark" {
		v.theme = t
	}
	if b := s.cookie(r, cookieBrowser); len(b) == tokenLength {
		v.browser = b
	}
	secret := s.cookie(r, cookieSession)
	if len(secret) != tokenLength {
		return v, nil
	}
	found, err := s.Store.CitizenSession(r.Context(), seal.Hash(secret), v.at)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	owner, err := s.reveal(s.Store.Citizen(r.Context(), found.Citizen))
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return v, nil
	case err != nil:
		return v, err
	}
	v.in, v.session, v.citizen = true, found, owner
	return v, nil
}

const tokenLength = 43 // 256 bits in base64url

// owner gives the hash of this browser's secret, which it is given first when
// it has none.
func (v *visit) owner(w http.ResponseWriter) [32]byte {
	if v.browser == "" {
		v.browser, _ = seal.Token()
		v.s.keep(w, cookieBrowser, v.browser, -1)
	}
	return seal.Hash(v.browser)
}

// owns tells whether something was begun in this browser.
func (v *visit) owns(hash [32]byte) bool { return v.browser != "" && seal.Hash(v.browser) == hash }

func (s *Service) peer(r *http.Request) string {
	if s.Peer != nil {
		return s.Peer(r)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// network is what limits count together: the /24 or the /56 of an address. An
// address that cannot be read is one network with all its like.
func (v *visit) network() string {
	addr, err := netip.ParseAddr(v.peer)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	bits := 24
	if addr.Is6() {
		bits = 56
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}

func (v *visit) say(key string, args ...text.Args) string {
	a := text.Args{"account": v.label(), "now": v.at}
	for _, more := range args {
		for k, value := range more {
			a[k] = value
		}
	}
	return v.s.Catalog.Say(v.lang, key, a)
}

func (v *visit) label() string { return v.s.Label.In(string(v.lang)) }

// event begins the record of what happened here. It holds nothing that names
// somebody: no address, of mail or of network, and no name.
func (v *visit) event(kind, citizen string, detail ...string) parvis.Event {
	e := parvis.Event{Kind: "citizen." + kind, Actor: "citizen", Detail: map[string]string{}}
	if citizen != "" {
		e.Detail["citizen"] = citizen
	}
	for i := 0; i+1 < len(detail); i += 2 {
		e.Detail[detail[i]] = detail[i+1]
	}
	return e
}

// who stands for an address in events.
func who(key [32]byte) string { return hex.EncodeToString(key[:8]) }

// addressKey is how an address is looked for.
func (s *Service) addressKey(email string) [32]byte {
	return s.Keys.MAC("citizen address", []byte(strings.ToLower(email)))
}

// citizen is an account, and what its card says.
type citizen struct {
	store.Citizen
	card
}

// card is what is known of an account's owner: kept sealed.
type card struct {
	Email string    `json:"email"`
	Name  string    `json:"name"`
	Lang  text.Lang `json:"lang"`
}

// conceal seals the card of a new account.
func (s *Service) conceal(c citizen) (store.Citizen, error) {
	plain, err := json.Marshal(c.card)
	if err != nil {
		return store.Citizen{}, &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.conceal", Err: err}
	}
	c.Citizen.Card = s.kept.Seal(plain, "card/"+c.ID)
	return c.Citizen, nil
}

// reveal opens the card of an account that was read, if it was.
func (s *Service) reveal(c store.Citizen, err error) (citizen, error) {
	if err != nil {
		return citizen{}, err
	}
	read := citizen{Citizen: c}
	plain, err := s.kept.Open(c.Card, "card/"+c.ID)
	if err == nil {
		err = json.Unmarshal(plain, &read.card)
	}
	if err != nil {
		return citizen{}, &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.reveal", Err: err}
	}
	return read, nil
}

// begin signs somebody in.
func (v *visit) begin(w http.ResponseWriter, citizen string, proved time.Time) (store.CitizenSession, func()) {
	secret, hash := seal.Token()
	session := store.CitizenSession{ID: hash, Citizen: citizen, Proved: proved, Ends: v.at.Add(sessionLasts)}
	return session, func() { v.s.keep(w, cookieSession, secret, -1) }
}

// random names a row.
func random() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// show writes one page, whole or not at all.
func (v *visit) show(w http.ResponseWriter, r *http.Request, status int, pg page.Page) error {
	pg.Lang, pg.Chrome = string(v.lang), v.chrome()
	var b bytes.Buffer
	if err := pg.Render(r.Context(), &b); err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.show", Err: err}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(v.lang))
	h.Set("Vary", "Accept-Language, Cookie")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // a reader who left is not an error
	}
	return nil
}

// see leads to a path of this host, with 303 (RFC 9700 §4.12: never 307).
func see(w http.ResponseWriter, path string) error {
	if !local(path) {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.see", Err: errors.New("not a path of this host")}
	}
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// local tells whether s is a path of this host, however a browser reads it.
func local(s string) bool {
	if len(s) == 0 || len(s) > 8000 || s[0] != '/' || strings.HasPrefix(s, "//") {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}

// fail tells a person what stopped their request.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	var tooLarge *http.MaxBytesError
	status, key := http.StatusInternalServerError, "moncompte.problem.internal"
	switch code := parvis.CodeOf(err); {
	case errors.As(err, &tooLarge):
		status, key = http.StatusRequestEntityTooLarge, "moncompte.problem.form"
	case code == parvis.CodeInvalid:
		status, key = http.StatusBadRequest, "moncompte.problem.form"
	case code == parvis.CodeRefused:
		status, key = http.StatusForbidden, "moncompte.problem.form"
	case code == parvis.CodeNotFound:
		status, key = http.StatusNotFound, "moncompte.problem.missing"
	case code == parvis.CodeConflict:
		status, key = http.StatusConflict, "moncompte.problem.over"
	case code == parvis.CodeLimited:
		status, key = http.StatusTooManyRequests, "moncompte.problem.limited"
		w.Header().Set("Retry-After", strconv.Itoa(int(askIn/time.Second)))
	case code == parvis.CodeUnavailable:
		status, key = http.StatusServiceUnavailable, "moncompte.problem.unavailable"
		w.Header().Set("Retry-After", "5")
	}
	if status >= http.StatusInternalServerError {
		s.Log.Error("request failed", "method", r.Method, "path", pathOf(r), "err", err)
	} else {
		s.Log.Debug("request refused", "method", r.Method, "path", pathOf(r), "err", err)
	}
	if showErr := v.show(w, r, status, v.problem(key)); showErr != nil {
		s.Log.Error("a failure could not be shown", "err", showErr)
		http.Error(w, http.StatusText(status), status)
	}
}

// pathOf gives a path for the log without what a ticket in it would open.
func pathOf(r *http.Request) string {
	first, _, more := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if more {
		return "/" + first + "/…"
	}
	return "/" + first
}

func (s *Service) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // net/http closes the connection without a word
	}
	s.Log.Error("handler panicked", "path", pathOf(r), "panic", p, "stack", string(debug.Stack()))
	http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
}
