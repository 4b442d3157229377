package edge

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"

	"parvis"
)

// Entrance is one listener and what arriving there means.
type Entrance struct {
	Listen   string         // address to listen on, "127.0.0.1:8080"
	Channel  parvis.Channel // what the listener itself proves
	Networks []netip.Prefix // the organisation's own networks
	Proxies  []netip.Prefix // the only ones whose forwarding headers are read
	Local    bool           // a demonstration: programs of this machine may ask like a proxy ([ByProxy]); their X-Forwarded-For is not read
	CertFile string         // TLS certificate chain, PEM; empty for a proxy or a loopback listener
	KeyFile  string
}

// arrival is what the edge knows of a request: one value in its context,
// because this is done for every request.
type arrival struct {
	origin   parvis.Origin
	id       [8]byte
	entrance *Entrance
}

type arrivalKey struct{}

func arrived(r *http.Request) *arrival {
	a, _ := r.Context().Value(arrivalKey{}).(*arrival)
	return a
}

// Origin tells how r arrived, as the edge decided it. The zero Origin, for a
// request that did not pass the edge, is an unknown entrance: it opens nothing.
func Origin(r *http.Request) parvis.Origin {
	if a := arrived(r); a != nil {
		return a.origin
	}
	return parvis.Origin{}
}

// ByProxy tells whether the peer that sent r is a declared proxy of its
// entrance, so that what it says of another request may be believed.
func ByProxy(r *http.Request) bool {
	a := arrived(r)
	if a == nil || a.entrance == nil {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && a.entrance.vouches(peer.Addr().Unmap())
}

// vouches tells whether a peer may speak for others.
func (en *Entrance) vouches(peer netip.Addr) bool {
	return contains(en.Proxies, peer) || en.Local && peer.IsLoopback()
}

// RequestID names the request in the logs and in the answer.
func RequestID(r *http.Request) string {
	if a := arrived(r); a != nil {
		return hex.EncodeToString(a.id[:])
	}
	return ""
}

// WithOrigin gives r an origin. The edge calls it; so may a test.
func WithOrigin(r *http.Request, o parvis.Origin) *http.Request {
	a := &arrival{origin: o}
	_, _ = rand.Read(a.id[:]) // crypto/rand.Read never fails
	return r.WithContext(context.WithValue(r.Context(), arrivalKey{}, a))
}

// origin decides the entrance. A listener that proves "internal" but declares
// networks proves it only inside them; a mobile listener becomes internal for
// the declared networks. Everything undecided is unknown, and opens nothing.
func (en *Entrance) origin(r *http.Request) parvis.Origin {
	addr, ok := en.client(r)
	if !ok {
		return parvis.Origin{}
	}
	own := contains(en.Networks, addr)
	ch := en.Channel
	switch {
	case ch == parvis.Internal && len(en.Networks) > 0 && !own:
		ch = ""
	case ch == parvis.Mobile && own:
		ch = parvis.Internal
	}
	return parvis.Origin{Channel: ch, Address: addr.String(), Known: own || ch == parvis.Internal}
}

// client finds the nearest address that no client could have written: the
// peer, or, when the peer is a declared proxy, the rightmost hop that is not
// one. A proxy that names no hop, or one that cannot be read, leaves the
// client unknown: its own address must never stand for the client's, or the
// whole internet would be where the proxy stands.
func (en *Entrance) client(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr := peer.Addr().Unmap()
	if !contains(en.Proxies, addr) {
		return addr, true
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := readHop(strings.TrimSpace(hops[i]))
		if !ok {
			return netip.Addr{}, false
		}
		if !contains(en.Proxies, hop) {
			return hop, true
		}
	}
	return netip.Addr{}, false // proxies alone
}

// readHop reads an address as proxies write it: bare, or with a port.
func readHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap(), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
