package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/session"
	"parvis/internal/store"
)

const (
	nearProxy  = "192.0.2.1:4711"
	someClient = "198.51.100.7"
)

// ask puts a question as a declared proxy would, or whoever is at peer.
type ask struct {
	at     string // path, by default /auth/verify
	method string // of the question; GET by default
	host   string // of the question; the portal's by default
	peer   string
	header http.Header
}

func (d *door) ask(ch parvis.Channel, q ask) *httptest.ResponseRecorder {
	d.t.Helper()
	if q.at == "" {
		q.at = "/auth/verify"
	}
	if q.method == "" {
		q.method = http.MethodGet
	}
	if q.host == "" {
		q.host = d.hosts[ch]
	}
	if q.peer == "" {
		q.peer = nearProxy
	}
	r := httptest.NewRequest(q.method, q.at, nil)
	r.Host, r.RemoteAddr, r.RequestURI = q.host, q.peer, q.at
	for name, values := range q.header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	r.Header.Add("X-Forwarded-For", someClient)
	w := httptest.NewRecorder()
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	d.Edge.Handler(edge.Entrance{Channel: ch, Proxies: proxies}).ServeHTTP(w, r)
	return w
}

// with joins headers; the later win.
func with(all ...http.Header) http.Header {
	h := http.Header{}
	for _, some := range all {
		for name, values := range some {
			h[http.CanonicalHeaderKey(name)] = values
		}
	}
	return h
}

var (
	byPerson  = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"none"}}
	byProgram = http.Header{"Accept": {"application/json"}}
)

// cookies gives what a browser sends to an application's host.
func (v *visitor) cookies(app parvis.AppID) http.Header {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range v.Jar.Cookies(&url.URL{Host: string(app) + "." + v.d.hosts[v.ch]}) {
		r.AddCookie(c)
	}
	return http.Header{"Cookie": r.Header["Cookie"]}
}

// shape is how one kind of proxy asks about a request.
type shape func(d *door, ch parvis.Channel, app parvis.AppID, method, uri string) ask

// shapes are those of each proxy, as its documentation and the examples in
// deploy/proxies have them.
var shapes = map[string]shape{
	"nginx": func(d *door, ch parvis.Channel, app parvis.AppID, method, uri string) ask {
		return ask{header: http.Header{"X-Original-Url": {d.url(ch, app, uri)}, "X-Original-Method": {method}}}
	},
	// forward_auth of Caddy, forwardAuth of Traefik and our scripts for HAProxy
	// and Apache send the same four.
	"forwarded": func(d *door, ch parvis.Channel, app parvis.AppID, method, uri string) ask {
		return ask{header: http.Header{
			"X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {string(app) + "." + d.hosts[ch]},
			"X-Forwarded-Uri": {uri}, "X-Forwarded-Method": {method},
		}}
	},
	// Envoy's HTTP service keeps method and host, and puts a prefix before the path.
	"Envoy": func(d *door, ch parvis.Channel, app parvis.AppID, method, uri string) ask {
		return ask{
			at: verifyAt + uri, method: method, host: string(app) + "." + d.hosts[ch],
			header: http.Header{"X-Forwarded-Proto": {"http"}},
		}
	},
}

func (s shape) of(d *door, ch parvis.Channel, app parvis.AppID, method, uri string, headers ...http.Header) ask {
	q := s(d, ch, app, method, uri)
	q.header = with(append(headers, q.header)...)
	return q
}

func TestVerifyOpens(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "wiki", Forward: true}, parvis.App{ID: "paie", Upstream: "http://127.0.0.1:1"})
	v := d.arrive(parvis.Internal)
	if got, want := v.enter("wiki", "/page?x=1"), d.url(parvis.Internal, "wiki", "/page?x=1"); got != want {
		t.Fatalf("comes back to %q, want %q", got, want)
	}
	before, err := d.store.Events(context.Background(), store.EventFilter{Agent: "A100001", Limit: 100})
	must(t, err)
	first := ""
	for name, s := range shapes {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, "PROPFIND"} {
			for _, uri := range []string{"/", "/page?x=1&y=/..;", "/%2e%2e/caf%C3%A9", "//twice", "/a,b"} {
				w := d.ask(parvis.Internal, s.of(d, parvis.Internal, "wiki", method, uri, byPerson, v.cookies("wiki")))
				h := w.Header()
				if w.Code != http.StatusOK || w.Body.Len() != 0 || h.Get("Remote-User") != "A100001" || h.Get("Remote-Name") != "Zoé Müller-Lefèvre" ||
					h.Get("Remote-Email") != "zoe@example.org" || h.Get("Remote-Groups") != "standard" || h.Get("Cache-Control") != "no-store" || h.Get("Set-Cookie") != "" {
					t.Errorf("%s, %s %s: %d %v %s", name, method, uri, w.Code, h, w.Body)
				}
				if first == "" {
					first = h.Get("Parvis-Assertion")
				}
				if got := h.Get("Parvis-Assertion"); got == "" || got != first {
					t.Errorf("%s, %s %s: another assertion, %q", name, method, uri, got)
				}
			}
		}
	}
	after, err := d.store.Events(context.Background(), store.EventFilter{Agent: "A100001", Limit: 100})
	must(t, err)
	if len(after) != len(before) {
		t.Errorf("%d events, then %d: asking writes", len(before), len(after))
	}
	if w := d.ask(parvis.Internal, shapes["nginx"].of(d, parvis.Internal, "paie", "GET", "/", byPerson, v.cookies("wiki"))); w.Code != http.StatusUnauthorized {
		t.Errorf("with the visit of another application: %d", w.Code)
	}
	for _, host := range []string{"127.0.0.1:8080", "parvis.internal", ""} { // whatever name the proxy knows us by
		q := shapes["forwarded"].of(d, parvis.Internal, "wiki", "GET", "/", v.cookies("wiki"))
		if q.host = host; host == "" {
			q.host = " "
		}
		if w := d.ask(parvis.Internal, q); w.Code != http.StatusOK {
			t.Errorf("under the name %q: %d", host, w.Code)
		}
		if q.peer = someClient + ":1"; d.ask(parvis.Internal, q).Code != http.StatusMisdirectedRequest {
			t.Errorf("a stranger under the name %q: %d", host, d.ask(parvis.Internal, q).Code)
		}
	}
	for _, at := range []string{"/auth/verify", verifyAt} { // on the application's own host too
		q := shapes["forwarded"].of(d, parvis.Internal, "wiki", "GET", "/", v.cookies("wiki"))
		q.at, q.host = at, "wiki."+d.hosts[parvis.Internal]
		if w := d.ask(parvis.Internal, q); w.Code != http.StatusOK {
			t.Errorf("%s on the host of the application: %d", at, w.Code)
		}
	}
	d.write(func(tx *store.Tx) error { return d.Keeper.End(tx, v.sess.ID, "signed_out") })
	for name, s := range shapes {
		if w := d.ask(parvis.Internal, s.of(d, parvis.Internal, "wiki", "GET", "/", byProgram, v.cookies("wiki"))); w.Code != http.StatusUnauthorized || w.Header().Get("Remote-User") != "" {
			t.Errorf("%s after the end of the session: %d %v", name, w.Code, w.Header())
		}
	}
}

// What another proxy serves is not served here: neither the application nor its
// paths, but ours.
func TestForwardedIsNotServed(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "wiki", Forward: true}, parvis.App{ID: "courrier", OIDC: &parvis.OIDCClient{}}, parvis.App{ID: "paie", Upstream: app(t, echo)})
	nobody := &visitor{Client: d.client(), d: d, ch: parvis.Internal}
	for address, want := range map[string]int{
		d.url(parvis.Internal, "wiki", "/"):                         http.StatusMisdirectedRequest,
		d.url(parvis.Internal, "wiki", "/.parvisx"):                 http.StatusMisdirectedRequest,
		d.url(parvis.Internal, "wiki", "/.parvis/begin?to=/a"):      http.StatusSeeOther,
		d.url(parvis.Internal, "wiki", "/.parvis/other"):            http.StatusNotFound,
		d.url(parvis.Internal, "wiki", "/.parvis/verifyother"):      http.StatusNotFound,
		d.url(parvis.Internal, "paie", "/.parvis/verify/x"):         http.StatusNotFound,
		d.url(parvis.Internal, "courrier", "/"):                     http.StatusMisdirectedRequest,
		d.url(parvis.Internal, "courrier", "/.parvis/begin?to=/a"):  http.StatusMisdirectedRequest,
		d.url(parvis.Internal, "courrier", "/.parvis/enter"):        http.StatusMisdirectedRequest,
		d.url(parvis.Internal, "courrier", "/.parvis/verify/x"):     http.StatusMisdirectedRequest,
		d.Addresses.Portal(parvis.Internal) + "/.parvis/begin?to=/": http.StatusOK, // the portal's own affair
	} {
		if res := nobody.get(address, nil); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", address, res.StatusCode, want)
		}
	}
	if res := nobody.send(http.MethodPost, d.url(parvis.Internal, "wiki", "/.parvis/begin?to=/"), nil, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("a post to begin: %d", res.StatusCode)
	}
	if res := nobody.get(d.url(parvis.Internal, "wiki", "/.parvis/begin?to=/"), byProgram); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.body, "/signin") {
		t.Errorf("a program that is led to begin: %d %s", res.StatusCode, res.body)
	}
}

// Where a browser is led after it signed in lies on the host itself, whatever
// it was told to come back to.
func TestBeginLeadsHome(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "wiki", Forward: true})
	for _, to := range []string{
		"//evil.example/", "https://evil.example/", `/\evil.example`, "/.parvis/enter?ticket=x", "", "evil", "/a\r\nb", "/" + strings.Repeat("a", 3000),
	} {
		v := d.arrive(parvis.Internal)
		if got, want := v.enter("wiki", to), d.url(parvis.Internal, "wiki", "/"); got != want {
			t.Errorf("%q leads to %q", to, got)
		}
	}
}

func TestVerifyStrangers(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "wiki", Forward: true})
	begin := d.url(parvis.Mobile, "wiki", session.Own+"begin?to=%2Fpage%3Fx%3D1%26y%3D%252F")
	form := with(byPerson, http.Header{"Origin": {d.url(parvis.Mobile, "wiki", "")}, "Sec-Fetch-Site": {"same-origin"}})
	fetch := http.Header{"Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"same-origin"}, "Accept": {"*/*"}}
	for name, s := range shapes {
		for who, c := range map[string]struct {
			method string
			header http.Header
			led    bool
		}{
			"a person":       {http.MethodGet, byPerson, true},
			"a bare request": {http.MethodGet, nil, true},
			"a program":      {http.MethodGet, byProgram, false},
			"a form":         {http.MethodPost, form, false},
			"a page's fetch": {http.MethodGet, fetch, false},
			"a WebSocket":    {http.MethodGet, http.Header{"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Upgrade": {"websocket"}}, false},
		} {
			w := d.ask(parvis.Mobile, s.of(d, parvis.Mobile, "wiki", c.method, "/page?x=1&y=%2F", c.header))
			status, lead := http.StatusUnauthorized, ""
			if c.led {
				lead = begin
				if name != "nginx" {
					status = http.StatusSeeOther
				}
			}
			if w.Code != status || w.Header().Get("Location") != lead || w.Header().Get("Remote-User") != "" || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s, %s: %d to %q", name, who, w.Code, w.Header().Get("Location"))
			}
			switch said := w.Body.String(); {
			case name == "nginx" || c.led:
				if said != "" {
					t.Errorf("%s, %s: a body, %s", name, who, said)
				}
			case w.Header().Get("Content-Type") != "application/problem+json" || !strings.Contains(said, d.Addresses.Portal(parvis.Mobile)+"/signin"):
				t.Errorf("%s, %s: %s", name, who, said)
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "finances", Forward: true, Entitled: true})
	v := d.arrive(parvis.Internal)
	v.enter("finances", "/")
	why := d.Addresses.Portal(parvis.Internal) + "/why/"
	var refs []string
	for name, s := range shapes {
		person := d.ask(parvis.Internal, s.of(d, parvis.Internal, "finances", "GET", "/budget?year=2026", byPerson, v.cookies("finances")))
		lead, status := person.Header().Get("Location"), http.StatusSeeOther
		if name == "nginx" {
			status = http.StatusForbidden
			if person.Header().Get("Parvis-Why") != "app_not_assigned" || why+person.Header().Get("Parvis-Reference") != lead || person.Body.Len() != 0 {
				t.Errorf("nginx reads %v %s", person.Header(), person.Body)
			}
		}
		if person.Code != status || !strings.HasPrefix(lead, why) || person.Header().Get("Remote-User") != "" {
			t.Fatalf("%s: %d to %q", name, person.Code, lead)
		}
		refs = append(refs, strings.TrimPrefix(lead, why))
		program := d.ask(parvis.Internal, s.of(d, parvis.Internal, "finances", "GET", "/budget", byProgram, v.cookies("finances")))
		if program.Code != http.StatusForbidden || program.Header().Get("Location") != "" {
			t.Errorf("%s, a program: %d to %q", name, program.Code, program.Header().Get("Location"))
		}
		if name == "nginx" {
			continue
		}
		var problem struct {
			Type      string
			Reference string
		}
		must(t, json.Unmarshal(program.Body.Bytes(), &problem))
		if problem.Type != "urn:parvis:reason:app_not_assigned" || problem.Reference != refs[0] {
			t.Errorf("%s, a program: %+v", name, problem)
		}
	}
	kept, err := d.Counter.Look(context.Background(), refs[0])
	must(t, err)
	if !kept.Decision.Has(parvis.WhyAppNotAssigned) || kept.App != "finances" || kept.Agent != "A100001" || kept.Path != "/budget" || kept.Origin.Address != someClient || len(kept.Decision.Ways) == 0 {
		t.Errorf("kept %+v", kept)
	}
	for _, ref := range refs {
		if ref != refs[0] {
			t.Errorf("the same refusal has the references %v", refs)
		}
	}
}

// The attack: 1. from the internet, ask a proxy for the address of an internal
// application. 2. Carry a visit that began inside.
func TestVerifyEntranceIsNotClaimed(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "wiki", Forward: true})
	v := d.arrive(parvis.Internal)
	v.enter("wiki", "/")
	for name, s := range shapes {
		for _, header := range []http.Header{byPerson, byProgram} {
			q := s.of(d, parvis.Internal, "wiki", "GET", "/", header, v.cookies("wiki"))
			if q.host == "" {
				q.host = d.hosts[parvis.Mobile]
			}
			w := d.ask(parvis.Mobile, q)
			if w.Code == http.StatusOK || w.Header().Get("Remote-User") != "" || w.Header().Get("Parvis-Assertion") != "" {
				t.Errorf("%s: %d %v", name, w.Code, w.Header())
			}
			lead := w.Header().Get("Location")
			if led := strings.HasPrefix(lead, d.Addresses.Portal(parvis.Mobile)+"/?reason=internal_address_outside"); led != (header.Get("Sec-Fetch-Mode") != "") {
				t.Errorf("%s: %d to %q", name, w.Code, lead)
			}
			if name == "nginx" && (w.Code != http.StatusForbidden || w.Header().Get("Parvis-Why") != "internal_address_outside") {
				t.Errorf("nginx reads %d %v", w.Code, w.Header())
			}
		}
	}
}

// The attack: 1. the agent A100001 may open the wiki, not the finances. 2. They
// write, into a request for one, headers by which a proxy speaks of another,
// so that the proxy serves the one and Parvis decides about the other. 3. Or
// they ask by themselves.
func TestVerifyBelievesNoVisitor(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "wiki", Forward: true}, parvis.App{ID: "finances", Forward: true, Entitled: true})
	v := d.arrive(parvis.Internal)
	v.enter("wiki", "/")
	host, portal := "wiki."+d.hosts[parvis.Internal], d.hosts[parvis.Internal]
	nginx := func(h http.Header) ask { return shapes["nginx"].of(d, parvis.Internal, "wiki", "GET", "/a", h) }
	forwarded := func(h http.Header) ask { return shapes["forwarded"].of(d, parvis.Internal, "wiki", "GET", "/a", h) }
	envoy := func(h http.Header) ask { return shapes["Envoy"].of(d, parvis.Internal, "wiki", "GET", "/a", h) }
	replaced := func(q ask, name string, values ...string) ask {
		q.header = with(q.header, http.Header{name: values})
		return q
	}
	from := func(q ask, peer string) ask { q.peer = peer; return q }
	for name, q := range map[string]ask{
		"asks by themselves":                     from(nginx(nil), someClient+":1"),
		"… through the other shape":              from(forwarded(nil), someClient+":1"),
		"… on the application's host":            from(envoy(nil), someClient+":1"),
		"from this machine, which is no proxy":   from(nginx(nil), "127.0.0.1:1"),
		"says nothing":                           {},
		"the host of the portal":                 replaced(nginx(nil), "X-Original-Url", "http://"+portal+"/"),
		"a host of nobody's":                     replaced(nginx(nil), "X-Original-Url", "http://wiki.example.org/"),
		"an application nobody declared":         replaced(nginx(nil), "X-Original-Url", "http://other."+portal+"/"),
		"an application two labels down":         replaced(nginx(nil), "X-Original-Url", "http://a."+host+"/"),
		"two addresses":                          replaced(nginx(nil), "X-Original-Url", "http://"+host+"/a", "http://"+host+"/b"),
		"two equal addresses":                    replaced(nginx(nil), "X-Original-Url", "http://"+host+"/a", "http://"+host+"/a"),
		"an empty address":                       replaced(nginx(nil), "X-Original-Url", ""),
		"another scheme":                         replaced(nginx(nil), "X-Original-Url", "https://"+host+"/a"),
		"a scheme in capitals":                   replaced(nginx(nil), "X-Original-Url", "HTTP://"+host+"/a"),
		"no scheme":                              replaced(nginx(nil), "X-Original-Url", "//"+host+"/a"),
		"no path":                                replaced(nginx(nil), "X-Original-Url", "http://"+host),
		"a query without a path":                 replaced(nginx(nil), "X-Original-Url", "http://"+host+"?a"),
		"user information":                       replaced(nginx(nil), "X-Original-Url", "http://wiki@"+host+"/a"),
		"user information that looks like ours":  replaced(nginx(nil), "X-Original-Url", "http://"+host+"@evil.example/a"),
		"a backslash":                            replaced(nginx(nil), "X-Original-Url", "http://"+host+`\@evil.example/a`),
		"a final dot":                            replaced(nginx(nil), "X-Original-Url", "http://wiki."+strings.Replace(portal, ":", ".:", 1)+"/a"),
		"a fragment":                             replaced(nginx(nil), "X-Original-Url", "http://"+host+"/a#b"),
		"a blank in the path":                    replaced(nginx(nil), "X-Original-Url", "http://"+host+"/a b"),
		"a line feed in the path":                replaced(nginx(nil), "X-Original-Url", "http://"+host+"/a\nX-Original-Url: b"),
		"TRACE":                                  replaced(nginx(nil), "X-Original-Method", "TRACE"),
		"two methods":                            replaced(nginx(nil), "X-Original-Method", "GET", "POST"),
		"nginx asks, they add another method":    nginx(http.Header{"X-Forwarded-Method": {"POST"}}),
		"nginx asks, they add another host":      nginx(http.Header{"X-Forwarded-Host": {"finances." + portal}}),
		"nginx asks, they add another path":      nginx(http.Header{"X-Forwarded-Uri": {"/b"}}),
		"nginx asks, they add another scheme":    nginx(http.Header{"X-Forwarded-Proto": {"https"}}),
		"Caddy asks, they add an address":        forwarded(http.Header{"X-Original-Url": {"http://finances." + portal + "/a"}}),
		"Caddy asks, they add another path":      forwarded(http.Header{"X-Original-Url": {"http://" + host + "/b"}}),
		"Caddy asks, they add a method":          forwarded(http.Header{"X-Original-Url": {"http://" + host + "/a"}, "X-Original-Method": {"POST"}}),
		"Envoy asks, they add an address":        envoy(http.Header{"X-Original-Url": {"http://finances." + portal + "/a"}}),
		"Envoy asks, they add a method":          envoy(http.Header{"X-Original-Method": {"POST"}}),
		"Caddy asks, they add another method":    forwarded(http.Header{"X-Original-Method": {"POST"}}),
		"Envoy asks, they add another path":      envoy(http.Header{"X-Original-Url": {"http://" + host + "/b"}}),
		"Envoy asks, they add a host":            envoy(http.Header{"X-Forwarded-Host": {"finances." + portal}}),
		"Envoy asks, they add a path":            envoy(http.Header{"X-Forwarded-Uri": {"/b"}}),
		"two proxies said the scheme":            replaced(forwarded(nil), "X-Forwarded-Proto", "http", "http"),
		"two schemes in one line":                replaced(forwarded(nil), "X-Forwarded-Proto", "http, https"),
		"two hosts in one line":                  replaced(forwarded(nil), "X-Forwarded-Host", host+", finances."+portal),
		"two hosts":                              replaced(forwarded(nil), "X-Forwarded-Host", "finances."+portal, host),
		"a whole address for a path":             replaced(forwarded(nil), "X-Forwarded-Uri", "http://"+host+"/a"),
		"no path is said":                        replaced(forwarded(nil), "X-Forwarded-Uri"),
		"no host is said":                        replaced(forwarded(nil), "X-Forwarded-Host"),
		"no scheme is said":                      replaced(forwarded(nil), "X-Forwarded-Proto"),
		"a twin with underscores":                nginx(http.Header{"X_original_url": {"http://finances." + portal + "/"}}),
		"a twin with one underscore":             forwarded(http.Header{"X-Forwarded_host": {"finances." + portal}}),
		"a twin that says the same":              forwarded(http.Header{"X_forwarded_uri": {"/a"}}),
		"the path of Envoy at the portal's host": {at: verifyAt + "/a", header: http.Header{"X-Forwarded-Proto": {"http"}}},
	} {
		q.header = with(byPerson, v.cookies("wiki"), q.header)
		w := d.ask(parvis.Internal, q)
		told := w.Header()["Remote-User"] != nil || w.Header()["Parvis-Assertion"] != nil || w.Header()["Location"] != nil
		if portalPage := strings.HasPrefix(name, "the path of Envoy"); told || w.Code != http.StatusForbidden && !portalPage {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	for name, q := range map[string]ask{"nginx": nginx(nil), "forwarded": forwarded(nil), "Envoy": envoy(nil)} { // and without all that it opens
		q.header = with(byPerson, v.cookies("wiki"), q.header)
		if w := d.ask(parvis.Internal, q); w.Code != http.StatusOK {
			t.Errorf("%s, honestly: %d", name, w.Code)
		}
	}
}

// The attack: 1. the page of a sibling application makes the browser post to
// this one, or open a WebSocket, with its cookies. 2. The proxy asks.
func TestVerifyCrossOrigin(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "wiki", Forward: true}, parvis.App{ID: "ouverte", Forward: true, CrossOrigin: true})
	v := d.arrive(parvis.Internal)
	v.enter("wiki", "/")
	v.enter("ouverte", "/")
	sibling := http.Header{"Origin": {d.url(parvis.Internal, "paie", "")}, "Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"navigate"}}
	old := http.Header{"Origin": {"https://evil.example"}}
	own := http.Header{"Origin": {d.url(parvis.Internal, "wiki", "")}, "Sec-Fetch-Site": {"same-origin"}}
	followed := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}
	socket := http.Header{"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	for name, c := range map[string]struct {
		method string
		header http.Header
		passes bool
	}{
		"a post of a sibling's":                {http.MethodPost, sibling, false},
		"a post in an old browser":             {http.MethodPost, old, false},
		"a WebSocket of a sibling's":           {http.MethodGet, with(sibling, socket), false},
		"a WebSocket in an old browser":        {http.MethodGet, with(old, socket), false},
		"something the proxy does not name":    {"", sibling, false},
		"a post of its own":                    {http.MethodPost, own, true},
		"a WebSocket of its own":               {http.MethodGet, with(own, socket), true},
		"something of its own, not named":      {"", own, true},
		"a link on another site":               {http.MethodGet, followed, true},
		"a link, the proxy does not say what":  {"", followed, true},
		"a program's post":                     {http.MethodPost, byProgram, true},
		"a page that reads, when that is said": {http.MethodGet, sibling, true},
	} {
		for shapeName, s := range shapes {
			if c.method == "" && shapeName == "Envoy" {
				continue
			}
			for app, open := range map[parvis.AppID]bool{"wiki": c.passes, "ouverte": true} {
				q := s.of(d, parvis.Internal, app, c.method, "/", c.header, v.cookies(app))
				if c.method == "" {
					delete(q.header, "X-Original-Method")
					delete(q.header, "X-Forwarded-Method")
				}
				if app == "ouverte" && q.header.Get("Origin") == own.Get("Origin") {
					continue // not its own
				}
				want := http.StatusForbidden
				if open {
					want = http.StatusOK
				}
				if w := d.ask(parvis.Internal, q); w.Code != want {
					t.Errorf("%s, %s, %s: %d, want %d", shapeName, name, app, w.Code, want)
				}
			}
		}
	}
}

// A visitor may write X-Forwarded-Method where nginx says no method: it counts
// for nothing.
func TestVerifyMethodOfAVisitor(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "annuaire", Forward: true, Reduced: []parvis.Channel{parvis.Internal}, ReducedTo: []string{"GET /"}})
	v := d.arrive(parvis.Internal)
	v.enter("annuaire", "/")
	q := shapes["nginx"].of(d, parvis.Internal, "annuaire", "GET", "/", byProgram, v.cookies("annuaire"))
	if w := d.ask(parvis.Internal, q); w.Code != http.StatusOK {
		t.Fatalf("what is listed: %d", w.Code)
	}
	delete(q.header, "X-Original-Method")
	q.header["X-Forwarded-Method"] = []string{"GET"}
	if w := d.ask(parvis.Internal, q); w.Code != http.StatusForbidden || w.Header().Get("Parvis-Why") != "app_reduced_here" {
		t.Errorf("a method that the visitor wrote: %d %v", w.Code, w.Header())
	}
}

func FuzzUnderstand(f *testing.F) {
	f.Add("http://wiki.agents.localhost/a?b=c", "GET", "http", "wiki.agents.localhost", "/a?b=c", "GET", "/auth/verify")
	f.Add("", "", "https", "a,b", "//x\\@y", "", verifyAt+"/x/../y")
	f.Add("http://u@h/", "POST", "", "", "", "TRACE", verifyAt+"x")
	f.Fuzz(func(t *testing.T, original, method, proto, host, uri, also, at string) {
		r := &http.Request{Method: http.MethodGet, RequestURI: at, Host: "wiki.agents.localhost", RemoteAddr: nearProxy, Header: http.Header{}, URL: &url.URL{Path: at}}
		for name, value := range map[string]string{
			"X-Original-Url": original, "X-Original-Method": method, "X-Forwarded-Proto": proto, "X-Forwarded-Host": host, "X-Forwarded-Uri": uri, "X-Forwarded-Method": also,
		} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		a, err := understand(r)
		if err != nil {
			return
		}
		if a.scheme == "" || a.host == "" && original == "" || !strings.HasPrefix(a.uri, "/") || strings.ContainsAny(a.uri, " #\r\n\t\x00\x7f") || strings.Contains(a.host, "/") && original != "" {
			t.Errorf("%+v", a)
		}
		for said, is := range map[string]string{proto: a.scheme, host: a.host, uri: a.uri} {
			if said != "" && said != is {
				t.Errorf("%q was said, and %q is understood", said, is)
			}
		}
		if a.terse && original != a.scheme+"://"+a.host+a.uri {
			t.Errorf("%q is understood as %+v", original, a)
		}
	})
}
