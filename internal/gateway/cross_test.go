package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"parvis"
	"parvis/internal/store"
)

// The attack: 1. have somebody who is signed in open a page of another site, or
// of a sibling application. 2. From there, send a form or open a WebSocket to
// an application: the browser adds its cookie.
func TestOtherSitesCannotWrite(t *testing.T) {
	var reached atomic.Int64
	up := app(t, func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		_, _ = io.WriteString(w, "done")
	})
	d := newDoor(t, parvis.App{ID: "paie", Upstream: up}, parvis.App{ID: "ouverte", Upstream: up, CrossOrigin: true})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	v.enter("ouverte", "/")
	own := strings.TrimSuffix(d.url(parvis.Internal, "paie", "/"), "/")
	socket := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Version": {"13"}}
	with := func(h http.Header, more ...string) http.Header {
		h = h.Clone()
		if h == nil {
			h = http.Header{}
		}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	for name, c := range map[string]struct {
		method string
		header http.Header
		passes bool
	}{
		"a form of another site":          {http.MethodPost, http.Header{"Origin": {"http://evil.example"}}, false},
		"… that hides its name":           {http.MethodPost, http.Header{"Origin": {"null"}}, false},
		"… as a browser of today says it": {http.MethodPost, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}, false},
		"a sibling application":           {http.MethodPut, http.Header{"Sec-Fetch-Site": {"same-site"}}, false},
		"a sibling, by its origin":        {http.MethodDelete, http.Header{"Origin": {"http://ouverte." + d.hosts[parvis.Internal]}}, false},
		"the portal":                      {http.MethodPost, http.Header{"Origin": {d.Addresses.Portal(parvis.Internal)}}, false},
		"a WebSocket of another site":     {http.MethodGet, with(socket, "Origin", "http://evil.example"), false},
		"a WebSocket of a sibling":        {http.MethodGet, with(socket, "Origin", own, "Sec-Fetch-Site", "same-site"), false},
		"its own form":                    {http.MethodPost, http.Header{"Origin": {own}, "Sec-Fetch-Site": {"same-origin"}}, true},
		"its own form, an older browser":  {http.MethodPost, http.Header{"Origin": {own}}, true},
		"its own WebSocket":               {http.MethodGet, with(socket, "Origin", own), true},
		"a program's WebSocket":           {http.MethodGet, socket, true},
		"a program":                       {http.MethodPost, nil, true},
		"a link from another site":        {http.MethodGet, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}, true},
	} {
		for app, open := range map[parvis.AppID]bool{"paie": c.passes, "ouverte": true} {
			for _, accept := range []string{"text/html", "application/json"} {
				reached.Store(0)
				events := len(d.events())
				res := v.send(c.method, d.url(parvis.Internal, app, "/"), nil, with(c.header, "Accept", accept))
				if open != (reached.Load() == 1) || open != (res.StatusCode == http.StatusOK) || !open && res.StatusCode != http.StatusForbidden {
					t.Errorf("%s, to %s: %d, and %d requests reached the application", name, app, res.StatusCode, reached.Load())
				}
				if !open && res.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s is answered with %q", name, res.Header.Get("Content-Type"))
				}
				if n := len(d.events()); n != events {
					t.Errorf("%s, to %s: recorded", name, app)
				}
			}
		}
	}
}

func (d *door) events() (all []parvis.Event) {
	d.t.Helper()
	all, err := d.store.Events(d.t.Context(), store.EventFilter{Limit: 1000})
	must(d.t, err)
	return all
}

// Whatever answers on an application's host but the application carries the
// protective headers; what the application says carries its own.
func TestOwnAnswersAreProtected(t *testing.T) {
	d := newDoor(t,
		parvis.App{ID: "paie", Upstream: app(t, echo)},
		parvis.App{ID: "finances", Upstream: app(t, echo), Entitled: true},
		parvis.App{ID: "arretee", Upstream: "http://127.0.0.1:1"})
	v := d.arrive(parvis.Internal)
	for _, app := range []parvis.AppID{"paie", "finances", "arretee"} {
		v.enter(app, "/")
	}
	nobody := &visitor{Client: d.client(), d: d, ch: parvis.Internal}
	program := http.Header{"Accept": {"application/json"}}
	url := func(app parvis.AppID, path string) string { return d.url(parvis.Internal, app, path) }
	_, port, _ := strings.Cut(d.hosts[parvis.Internal], ":")
	for name, c := range map[string]struct {
		res    answer
		status int
	}{
		"sent to sign in":            {nobody.get(url("paie", "/"), nil), http.StatusSeeOther},
		"a program, to sign in":      {nobody.get(url("paie", "/"), program), http.StatusUnauthorized},
		"a used ticket":              {v.get(url("paie", "/.parvis/enter?ticket=x"), nil), http.StatusForbidden},
		"no such path":               {v.get(url("paie", "/.parvis/x"), nil), http.StatusNotFound},
		"refused":                    {v.get(url("finances", "/"), nil), http.StatusSeeOther},
		"a program, refused":         {v.get(url("finances", "/"), program), http.StatusForbidden},
		"an application that is off": {v.get(url("arretee", "/"), program), http.StatusServiceUnavailable},
		"another site's form":        {v.send(http.MethodPost, url("paie", "/"), nil, http.Header{"Sec-Fetch-Site": {"cross-site"}}), http.StatusForbidden},
		"no such application":        {v.get(url("inconnue", "/"), nil), http.StatusMisdirectedRequest},
		"no name of ours":            {v.get("http://evil.localhost:"+port+"/", nil), http.StatusMisdirectedRequest},
	} {
		if c.res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, c.res.StatusCode, c.status)
		}
		for field, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "frame-ancestors 'none'",
			"Cache-Control": "no-store", "X-Frame-Options": "DENY",
		} {
			if got := c.res.Header.Values(field); len(got) != 1 || !strings.Contains(got[0], want) {
				t.Errorf("%s: %s is %q", name, field, got)
			}
		}
	}
	unknown, foreign := v.get(url("inconnue", "/"), nil), v.get("http://evil.localhost:"+port+"/", nil)
	for _, a := range []answer{unknown, foreign} {
		a.Header.Del("Date")
		a.Header.Del("X-Request-Id")
	}
	if fmt.Sprint(unknown.Header, unknown.body) != fmt.Sprint(foreign.Header, foreign.body) {
		t.Errorf("the label of no application is told from any other name:\n%v %s\n%v %s", unknown.Header, unknown.body, foreign.Header, foreign.body)
	}
	res := v.get(url("paie", "/"), nil)
	for _, field := range []string{"Content-Security-Policy", "Referrer-Policy", "Cache-Control", "X-Frame-Options", "X-Content-Type-Options"} {
		if got := res.Header.Get(field); res.StatusCode != http.StatusOK || got != "" {
			t.Errorf("the application's own answer has %s: %q", field, got)
		}
	}
}
