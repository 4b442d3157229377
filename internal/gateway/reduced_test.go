package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

var searched = []string{"GET /", "GET /search", "POST /search", "GET /people/*", "GET /ws", "GET /élu"}

func TestWithin(t *testing.T) {
	up := &upstream{}
	var not []string
	up.list, not = entries(searched)
	if len(not) > 0 {
		t.Fatalf("not understood: %v", not)
	}
	for _, c := range []string{
		"GET /", "GET ", "HEAD /", "GET /search", "HEAD /search", "POST /search", "GET /search?q=a%2Fb;c&x=../", "GET /people/", "GET /people/A100001", "GET /people/a/b/",
		"GET /people/M%C3%BCller", "GET /people/a%20b", "GET /people/a,b:c@d", "GET /%C3%A9lu", "GET /people/a..b", "GET /people/.hidden",
	} {
		method, path, _ := strings.Cut(c, " ")
		path, query, _ := strings.Cut(path, "?")
		if !up.within(method, path, query, nil) {
			t.Errorf("%s is listed, and is refused", c)
		}
	}
	for _, c := range []string{
		"POST /", "PUT /search", "DELETE /people/a", "get /search", "GeT /", "OPTIONS /", "PATCH /search", "TRACE /", "PROPFIND /", " /",
		"GET /export", "GET /people", "GET /peoples/a", "GET /Search", "GET /SEARCH", "GET /People/a", "GET /search/", "GET /search/x", "GET search", "GET *", "OPTIONS *",
		"GET //", "GET //search", "GET /people//a", "GET /people/a//", "GET /people/../export", "GET /people/..", "GET /people/.", "GET /people/./a", "GET /./search", "GET /people/...", "GET /people/.../a",
		"GET /people/%2e%2e/export", "GET /people/%2E./export", "GET /people/%2e", "GET /people%2fa", "GET /people/a%2Fb", "GET /people/..%2fexport", "GET /people/..%5cexport", `GET /people/..\export`, `GET /people\a`,
		"GET /people/%252e%252e/export", "GET /people/%25", "GET /people/..;/export", "GET /people/;a/export", "GET /search;jsessionid=1", "GET /search%3bx", "GET /people/a%00", "GET /people/a%0d%0ab", "GET /people/a%09",
		"GET /people/%c0%ae%c0%ae/export", "GET /people/%c0%af", "GET /people/%ef%bc%8e%ef%bc%8e%ef%bc%8fexport", "GET /people/%e2%88%95", "GET /people/%e2%80%ae", "GET /people/%ff",
		"GET /%73earch", "GET /sear%63h", "GET /people/%41100001", "GET /people/%7e", "GET /people/%", "GET /people/%4", "GET /people/%zz", "GET /people/%u002e", "GET /people/a#b", "GET /people/a b", "GET /people/é",
		"GET /people/a%3f", "GET /people/a%23", "GET http://x/search", "GET /%c3%89lu", "GET /e%cc%81lu",
		"POST /search?_method=DELETE", "POST /search?a=1&%5fmethod=PUT", "POST /search?_METHOD=PUT", "POST /search?a=%zz",
	} {
		method, path, _ := strings.Cut(c, " ")
		path, query, _ := strings.Cut(path, "?")
		if up.within(method, path, query, nil) {
			t.Errorf("%s is not listed, and passes", c)
		}
	}
	for _, name := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X_http_method_override", "Http-Method-Override"} {
		if up.within(http.MethodPost, "/search", "", http.Header{name: {"DELETE"}}) {
			t.Errorf("%s passes", name)
		}
	}
}

func TestEntries(t *testing.T) {
	list, not := entries([]string{
		"GET /*", "POST /requests/*", "GET /élu/*", "GET", "/search", "get /", "GET search", "GET /a/../b", "GET /a//b", "GET /a;b", "GET /a%2fb", "GET /a/**", "GET /a\\b", "", "GET  /", "GET /*/*",
	})
	want := []entry{{"GET", "/", true}, {"POST", "/requests/", true}, {"GET", "/élu/", true}, {"GET", "/a/**", false}, {"GET", "/*/", true}}
	if diff := cmp.Diff(want, list, cmp.AllowUnexported(entry{})); diff != "" {
		t.Error(diff)
	}
	if len(not) != 11 {
		t.Errorf("not understood: %q", not)
	}
}

// FuzzPlainPath holds that what is accepted means one thing only: decoding it
// again, or cleaning it as programs do, changes nothing.
func FuzzPlainPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b/", "/%C3%A9", "/a%20b", "/..;/", "/%2e", "/a//b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		plain, ok := plainPath(escaped)
		if !ok {
			return
		}
		again, err := url.PathUnescape(plain)
		if err != nil || again != plain {
			t.Errorf("%q is %q, and then %q", escaped, plain, again)
		}
		clean := path.Clean(plain)
		if strings.HasSuffix(plain, "/") && clean != "/" {
			clean += "/"
		}
		if clean != plain || strings.ContainsAny(plain, "\\;%?#\x00\r\n\t") || !strings.HasPrefix(plain, "/") {
			t.Errorf("%q is %q", escaped, plain)
		}
		u, err := url.ParseRequestURI(escaped + "?q")
		if escaped != "" && (err != nil || u.Path != plain || u.RawQuery != "q") {
			t.Errorf("net/url reads %q as %+v: %v", escaped, u, err)
		}
	})
}

// What is not in the reduced version is refused before the application, on the
// entrance where it is reduced and only there.
func TestReducedVersion(t *testing.T) {
	var received []string
	d := newDoor(t, parvis.App{
		ID: "annuaire", Reduced: []parvis.Channel{parvis.Mobile}, ReducedTo: searched, PassHeaders: []string{"X-HTTP-Method-Override"},
		Upstream: app(t, func(_ http.ResponseWriter, r *http.Request) {
			received = append(received, r.Method+" "+r.URL.EscapedPath())
		}),
	})
	inside, outside := d.arrive(parvis.Internal), d.arrive(parvis.Mobile)
	inside.enter("annuaire", "/")
	outside.enter("annuaire", "/")
	if res := outside.get(d.url(parvis.Mobile, "annuaire", "/people/M%C3%BCller?all=1"), nil); res.StatusCode != http.StatusOK {
		t.Errorf("what is listed: %d", res.StatusCode)
	}
	if res := inside.get(d.url(parvis.Internal, "annuaire", "/export"), nil); res.StatusCode != http.StatusOK {
		t.Errorf("where it opens whole: %d", res.StatusCode)
	}
	if diff := cmp.Diff([]string{"GET /people/M%C3%BCller", "GET /export"}, received); diff != "" {
		t.Error(diff)
	}
	received = nil

	res := outside.get(d.url(parvis.Mobile, "annuaire", "/export?format=csv"), byPerson)
	lead, why := res.Header.Get("Location"), d.Addresses.Portal(parvis.Mobile)+"/why/"
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(lead, why) {
		t.Fatalf("a person is led to %q with %d", lead, res.StatusCode)
	}
	kept, err := d.Counter.Look(context.Background(), strings.TrimPrefix(lead, why))
	must(t, err)
	if fmt.Sprint(kept.Decision.Codes()) != "[app_reduced_here]" || kept.Path != "/export" || len(kept.Decision.Ways) == 0 {
		t.Errorf("kept %+v", kept)
	}
	for _, w := range kept.Decision.Ways {
		if w.Changes[0].Kind != "channel" || w.Changes[0].To == string(parvis.Mobile) {
			t.Errorf("a way is %+v", w)
		}
	}
	res = outside.send(http.MethodPost, d.url(parvis.Mobile, "annuaire", "/search"), nil, with(byProgram, http.Header{"X-HTTP-Method-Override": {"DELETE"}}))
	var problem struct{ Type, Reference string }
	must(t, json.Unmarshal([]byte(res.body), &problem))
	if res.StatusCode != http.StatusForbidden || problem.Type != "urn:parvis:reason:app_reduced_here" || problem.Reference == "" {
		t.Errorf("a program: %d %s", res.StatusCode, res.body)
	}

	// As nobody's library would write them.
	address := outside.Jar.Cookies(&url.URL{Host: "annuaire." + d.hosts[parvis.Mobile]})
	cookie := ""
	for _, c := range address {
		cookie += c.Name + "=" + c.Value + "; "
	}
	for _, line := range []string{
		"GET /people/../export", "GET /people/%2e%2e/export", "GET /people//export", `GET /people\export`, "GET //export", "GET /people/..;/export", "GET /search;a", "GET /people/%2e%2e%2fexport",
		"GET http://annuaire." + d.hosts[parvis.Mobile] + "/export", "GET /export", "HEAD /export", "PUT /search", "get /search",
	} {
		for _, upgrade := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"} {
			conn, err := net.Dial("tcp", d.hosts[parvis.Mobile][strings.LastIndexByte(d.hosts[parvis.Mobile], ':'):])
			must(t, err)
			_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: annuaire.%s\r\nAccept: application/json\r\nCookie: %s\r\n%s\r\n", line, d.hosts[parvis.Mobile], cookie, upgrade)
			must(t, err)
			method, _, _ := strings.Cut(line, " ")
			res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
			must(t, err)
			if res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s, %q: %d", line, upgrade, res.StatusCode)
			}
			must(t, res.Body.Close())
			must(t, conn.Close())
		}
	}
	if len(received) > 0 {
		t.Errorf("the application received %q", received)
	}
}

// The same list holds where another proxy serves the application.
func TestReducedVersionElsewhere(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "annuaire", Forward: true, Reduced: []parvis.Channel{parvis.Mobile}, ReducedTo: searched})
	inside, outside := d.arrive(parvis.Internal), d.arrive(parvis.Mobile)
	inside.enter("annuaire", "/")
	outside.enter("annuaire", "/")
	for name, s := range shapes {
		for uri, status := range map[string]int{
			"/": 200, "/search?q=x": 200, "/people/a": 200, "/export": 403, "/people/../export": 403, "/people/%2e%2e/export": 403, "//search": 403, "/search;x": 403, `/people\export`: 403,
		} {
			w := d.ask(parvis.Mobile, s.of(d, parvis.Mobile, "annuaire", "GET", uri, byProgram, outside.cookies("annuaire")))
			if w.Code != status || (w.Header().Get("Remote-User") != "") != (status == 200) {
				t.Errorf("%s, GET %s: %d %v", name, uri, w.Code, w.Header())
			}
			if w.Code == 200 && !said(t, w.Header().Get("Parvis-Assertion")).Limited {
				t.Errorf("%s, GET %s: the application is not told that it is reduced", name, uri)
			}
			if w := d.ask(parvis.Internal, s.of(d, parvis.Internal, "annuaire", "GET", uri, byProgram, inside.cookies("annuaire"))); w.Code != 200 {
				t.Errorf("%s, GET %s where it opens whole: %d", name, uri, w.Code)
			}
		}
		if w := d.ask(parvis.Mobile, s.of(d, parvis.Mobile, "annuaire", "DELETE", "/people/a", byProgram, outside.cookies("annuaire"))); w.Code != 403 {
			t.Errorf("%s, DELETE: %d", name, w.Code)
		}
		if w := d.ask(parvis.Mobile, s.of(d, parvis.Mobile, "annuaire", "POST", "/search", byProgram, http.Header{"X-HTTP-Method-Override": {"DELETE"}}, outside.cookies("annuaire"))); w.Code != 403 {
			t.Errorf("%s, another method in a header: %d", name, w.Code)
		}
	}
}
