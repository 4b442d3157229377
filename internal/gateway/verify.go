package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/session"
)

// question of another proxy: may this request pass, and whose is it?
type asking struct {
	scheme, host, uri string
	method            string // empty when the proxy did not say
	terse             bool   // nginx reads a status and headers, and shows nothing else
}

// heard is what the headers of a question say. Each may be there once.
type heard struct {
	url, method                                                  string // X-Original-
	forwardedProto, forwardedHost, forwardedURI, forwardedMethod string // X-Forwarded-
}

// hear reads the headers by which proxies ask. It fails when one is there
// twice, or empty, or under a name that some programs take for it: of two
// values one may be the visitor's.
func hear(h http.Header) (s heard, ok bool) {
	for name, values := range h {
		if len(name) < 2 || name[0] != 'X' || name[1] != '-' && name[1] != '_' {
			continue
		}
		place := s.place(name)
		if place == nil {
			if strings.IndexByte(name, '_') >= 0 && s.place(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))) != nil {
				return s, false
			}
			continue
		}
		if len(values) != 1 || values[0] == "" {
			return s, false
		}
		*place = values[0]
	}
	return s, true
}

// place is where the value of a header goes; name is as net/http gives it.
func (s *heard) place(name string) *string {
	switch name {
	case "X-Original-Url":
		return &s.url
	case "X-Original-Method":
		return &s.method
	case "X-Forwarded-Proto":
		return &s.forwardedProto
	case "X-Forwarded-Host":
		return &s.forwardedHost
	case "X-Forwarded-Uri":
		return &s.forwardedURI
	case "X-Forwarded-Method":
		return &s.forwardedMethod
	}
	return nil
}

// verifyAt is where a proxy may ask on the host of the application that it
// serves, besides the address on the portals. What follows is the path that is
// asked for, as Envoy appends it; nothing does where headers tell it.
const verifyAt = session.Own + "verify"

func verifies(path string) bool {
	rest, ok := strings.CutPrefix(path, verifyAt)
	return ok && (rest == "" || rest[0] == '/') || path == "/auth/verify"
}

// Verify answers another proxy that asks whether a request may pass
// (contract.md, forward authentication): 200 without a body, and who is there
// in headers; else where that person must go, or why not. It decides like the
// gateway, from memory, and believes only the proxies that the entrance
// declares: whoever else asks is refused, and so is a question that can be read
// in two ways.
func (g *Gateway) Verify(w http.ResponseWriter, r *http.Request) {
	g.ready()
	g.asked.ServeHTTP(w, r)
}

func (g *Gateway) verify(w http.ResponseWriter, r *http.Request) error {
	if !edge.ByProxy(r) {
		return g.unasked(w, r, errPeer)
	}
	a, err := understand(r)
	if err != nil {
		return g.unasked(w, r, err)
	}
	ch, id, ok := g.Addresses.Find(a.host)
	up := g.app(id)
	if !ok || up == nil {
		return g.unasked(w, r, errHost)
	}
	if as := up.seenAs[ch]; as == nil || as.proto[0] != a.scheme {
		return g.unasked(w, r, errScheme)
	}
	r.Host = a.host // cookies are looked for under the visitor's own
	origin := edge.Origin(r)
	if ch != origin.Channel {
		return g.astray(w, r, &a, origin, up)
	}
	if !up.app.CrossOrigin && a.foreign(r) {
		w.WriteHeader(http.StatusForbidden)
		return nil
	}
	v, err := g.Keeper.At(r, id)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return g.unknown(w, r, &a, ch, up)
	case err != nil:
		return a.failed(w, err)
	}
	now := g.Clock()
	full := up.reduces(ch) && !a.within(r, up)
	if !full {
		if _, ok, err = g.stands(r.Context(), v, up, origin, now); err != nil {
			return a.failed(w, err)
		}
	}
	if full || !ok {
		return a.failed(w, g.denied(w, r, &a, v, up, origin, now, full))
	}
	who, err := g.identity(r.Context(), up, v, ch, now)
	if err != nil {
		return a.failed(w, err)
	}
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Parvis-Assertion"] = who.assertion[:]
	who.tell(h)
	return nil // net/http answers 200, Content-Length: 0: nginx keeps its connection then
}

// noStore is shared by all answers: an answer is about one request, never for a
// cache of the proxy's.
var noStore = []string{"no-store"}

var (
	errPeer   = errors.New("whoever asks is not a declared proxy of this entrance")
	errSilent = errors.New("neither X-Original-URL, nor X-Forwarded-Proto, -Host and -Uri, says what is asked for")
	errTwice  = errors.New("a header by which proxies ask is there twice, or empty, or with an underscore")
	errTwo    = errors.New("two headers do not agree")
	errForm   = errors.New("not the address of a request")
	errHost   = errors.New("the host is not that of an application")
	errScheme = errors.New("the scheme is not that of the entrance")
)

// understand reads what a declared proxy asks. Every header that speaks of the same
// thing must agree, for of two one may be the visitor's.
func understand(r *http.Request) (asking, error) {
	var a asking
	h, ok := hear(r.Header)
	if !ok {
		return a, errTwice
	}
	switch path, appended := strings.CutPrefix(r.RequestURI, verifyAt+"/"); {
	case appended:
		a.scheme, a.host, a.uri, a.method = h.forwardedProto, r.Host, r.RequestURI[len(verifyAt):], r.Method
		if a.scheme == "" {
			return a, errSilent
		}
		if differ(h.url, a.scheme+"://"+a.host+"/"+path) || differ(h.method, a.method) {
			return a, errTwo
		}
	case h.url != "":
		a.terse, a.method = true, h.method
		var rest string
		if a.scheme, rest, ok = strings.Cut(h.url, "://"); !ok {
			return a, errForm
		}
		i := strings.IndexByte(rest, '/')
		if i < 0 {
			return a, errForm
		}
		a.host, a.uri = rest[:i], rest[i:]
		if h.method == "" {
			h.forwardedMethod = "" // the proxy did not say, so a visitor may have
		}
	case h.forwardedProto != "" && h.forwardedHost != "" && h.forwardedURI != "":
		a.scheme, a.host, a.uri, a.method = h.forwardedProto, h.forwardedHost, h.forwardedURI, h.forwardedMethod
		if differ(h.method, a.method) {
			return a, errTwo
		}
	default:
		return a, errSilent
	}
	if differ(h.forwardedProto, a.scheme) || differ(h.forwardedHost, a.host) || differ(h.forwardedURI, a.uri) || differ(h.forwardedMethod, a.method) {
		return a, errTwo
	}
	if !target(a.uri) || a.method == http.MethodTrace || a.method == http.MethodConnect {
		return a, errForm
	}
	return a, nil
}

// differ tells whether something is said besides, and something else.
func differ(said, than string) bool { return said != "" && said != than }

// target tells whether s is a path, and perhaps a query, as a request line has
// them (RFC 9112 §3.2.1). Octets beyond ASCII are tolerated: browsers and
// proxies let them by.
func target(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// request gives the request that is asked about, as far as deciding and
// explaining look at one.
func (a *asking) request(r *http.Request) *http.Request {
	on := r.WithContext(r.Context())
	path, query, _ := strings.Cut(a.uri, "?")
	on.URL = &url.URL{Path: path, RawQuery: query}
	if plain, err := url.PathUnescape(path); err == nil {
		on.URL.Path, on.URL.RawPath = plain, path
	}
	if on.Method = a.method; a.method == "" {
		on.Method = http.MethodGet
	}
	return on
}

// within tells whether the reduced version has what is asked for. An unknown
// method is not in it.
func (a *asking) within(r *http.Request, up *upstream) bool {
	path, query, _ := strings.Cut(a.uri, "?")
	return up.within(a.method, path, query, r.Header)
}

// foreign is [foreign] for a request that is asked about. Few proxies say that
// it opens a WebSocket, but its key comes along; and where the method is not
// known, an Origin tells that a page, perhaps another's, may be writing.
func (a *asking) foreign(r *http.Request) bool {
	changes := r.Header["Sec-Websocket-Key"] != nil || r.Header["Upgrade"] != nil
	switch a.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	case "":
		changes = changes || r.Header["Origin"] != nil
	default:
		changes = true
	}
	if !changes {
		return false
	}
	on := a.request(r)
	on.Method = http.MethodPost
	return foreign(on)
}

// unasked refuses a question that cannot be answered, and tells the operator
// why: now and then, for anybody can bring it about.
func (g *Gateway) unasked(w http.ResponseWriter, r *http.Request, why error) error {
	now := g.Clock().Unix()
	if last := g.complained.Load(); (now < last || now > last+10) && g.complained.CompareAndSwap(last, now) {
		g.Log.Warn("a question of another proxy cannot be answered", "peer", r.RemoteAddr, "request", edge.RequestID(r), "cause", why)
	}
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusForbidden)
	return nil
}

// failed answers what kept a question from an answer. For nginx every status
// it does not know is an error of its own, so it reads a refusal.
func (a *asking) failed(w http.ResponseWriter, err error) error {
	if err == nil || !a.terse {
		return err
	}
	a.say(w, http.StatusForbidden, "", parvis.WhyServiceProblem, "")
	return nil
}

// say answers nginx: it has no use for a body.
func (a *asking) say(w http.ResponseWriter, status int, lead string, why parvis.ReasonCode, ref parvis.Reference) {
	h := w.Header()
	h["Cache-Control"] = noStore
	if lead != "" {
		h.Set("Location", lead)
	}
	if why != "" {
		h.Set("Parvis-Why", string(why))
	}
	if ref != "" {
		h.Set("Parvis-Reference", string(ref))
	}
	w.WriteHeader(status)
}

// unknown answers about somebody who has no visit. A person is led to
// /.parvis/begin on the host itself, which this browser can be marked from.
func (g *Gateway) unknown(w http.ResponseWriter, r *http.Request, a *asking, ch parvis.Channel, up *upstream) error {
	on, lead := a.request(r), ""
	if reads(on) && navigation(on) {
		lead = g.Addresses.App(ch, up.app.ID) + session.Own + "begin?to=" + url.QueryEscape(a.uri)
	}
	switch {
	case a.terse:
		a.say(w, http.StatusUnauthorized, lead, "", "")
	case lead != "":
		g.Edge.See(w, r, lead)
	default:
		g.Edge.SignIn(w, r, g.Addresses.Portal(ch)+"/signin")
	}
	return nil
}

// astray answers about somebody who came to a host through an entrance that is
// not its own.
func (g *Gateway) astray(w http.ResponseWriter, r *http.Request, a *asking, origin parvis.Origin, up *upstream) error {
	on := a.request(r)
	if !a.terse {
		return g.elsewhere(w, on, origin, up)
	}
	lead := g.Addresses.Portal(origin.Channel)
	if lead != "" {
		lead += "/?reason=" + string(parvis.WhyInternalAddressOutside)
	}
	if !reads(on) || !navigation(on) {
		lead = ""
	}
	a.say(w, http.StatusForbidden, lead, parvis.WhyInternalAddressOutside, "")
	return nil
}

// denied answers about somebody who may not open the application, or not
// this part of it here.
func (g *Gateway) denied(w http.ResponseWriter, r *http.Request, a *asking, v session.Visit, up *upstream, origin parvis.Origin, now time.Time, full bool) error {
	on := a.request(r)
	f, err := g.refusal(on, v.Session, up, origin, now, full)
	if err != nil {
		return err
	}
	if !a.terse {
		g.explain(w, on, f)
		return nil
	}
	lead := ""
	if portal := g.Addresses.Portal(f.Channel); portal != "" && navigation(on) {
		lead = portal + "/why/" + string(f.Reference)
	}
	a.say(w, http.StatusForbidden, lead, f.Decision.Codes()[0], f.Reference)
	return nil
}
