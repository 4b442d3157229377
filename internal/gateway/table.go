package gateway

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"reflect"

	"parvis"
)

// table is the applications that answer here, as they stand. It is replaced,
// never changed: a request looks at it without a lock.
type table map[parvis.AppID]*upstream

// app finds an application; nil when it does not answer here.
func (g *Gateway) app(id parvis.AppID) *upstream { return (*g.table.Load())[id] }

// Refresh looks again at the applications of the policy, after it was
// replaced. Those that did not change are left alone; requests under way to one
// that is gone, or has moved, end within about a second.
func (g *Gateway) Refresh() {
	g.ready()
	g.refresh()
}

func (g *Gateway) refresh() {
	g.turn.Lock()
	defer g.turn.Unlock()
	before, now := *g.table.Load(), table{}
	for _, app := range g.Policy.Apps() {
		was := before[app.ID]
		if was != nil && reflect.DeepEqual(was.app, app) {
			now[app.ID] = was
		} else if up := g.upstream(app, was); up != nil {
			now[app.ID] = up
		}
	}
	g.table.Store(&now)
	for id, was := range before {
		if up := now[id]; was.way.own && (up == nil || up.way.transport != was.way.transport) {
			was.way.transport.CloseIdleConnections()
		}
	}
}

// upstream makes an application ready; nil when nothing of it answers here. What
// it was before keeps its way, if that leads to the same place.
func (g *Gateway) upstream(app parvis.App, was *upstream) *upstream {
	extra, not := asked(app.PassHeaders)
	if len(not) > 0 {
		g.Log.Error("an application asks for headers that only the front door writes", "app", app.ID, "headers", not)
	}
	list, not := entries(app.ReducedTo)
	if len(not) > 0 {
		g.Log.Error("an application reduces itself to what is no method and path", "app", app.ID, "entries", not)
	}
	up := &upstream{app: app, seenAs: map[parvis.Channel]*seen{}, extra: extra, list: list, way: new(way)}
	for _, ch := range parvis.Channels() {
		if u, err := url.Parse(g.Addresses.App(ch, app.ID)); err == nil && u.Host != "" {
			up.seenAs[ch] = &seen{name: u.Host, host: []string{u.Host}, proto: []string{u.Scheme}, reduced: up.reduced(ch)}
		}
	}
	target, err := url.Parse(app.Upstream)
	switch {
	case app.Upstream == "" && app.Forward:
	case app.Upstream == "":
		return nil // it speaks a protocol, and is entered elsewhere
	case err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https":
		g.Log.Error("an application has no usable address", "app", app.ID)
		return nil
	case was != nil && was.target != nil && *was.target == *target:
		up.way = was.way
	default:
		up.way = g.way(app.ID, target, was)
	}
	return up
}

// leads tells whether the way to an application is still that of old.
func (up *upstream) leads(old *upstream) bool { return up != nil && up.way == old.way }

func (g *Gateway) way(id parvis.AppID, target *url.URL, was *upstream) *way {
	w := &way{target: target, transport: g.shared}
	if roots := g.Roots[id]; roots != nil {
		w.own = true
		if w.transport = transport(roots); was != nil && was.way.own {
			w.transport = was.transport
		}
	}
	w.proxy = &httputil.ReverseProxy{
		Transport:      w.transport,
		Rewrite:        rewrite,
		ModifyResponse: answered,
		BufferPool:     new(buffers),
		ErrorLog:       log.New(quiet{g.Log}, "", 0),
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			if p, ok := r.Context().Value(passageKey{}).(*passage); ok {
				p.failed = err
			}
		},
	}
	return w
}
