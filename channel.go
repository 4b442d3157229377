package parvis

import (
	"net/netip"
	"slices"
)

// Channel is the entrance a request came through. It is decided by the
// listener or by an authenticated peer, never by a claim of the client
// (product rule 3).
type Channel string

// The three entrances. The zero Channel is an unknown one, and opens nothing.
const (
	Internal Channel = "internal" // a workstation on the organisation's own network
	VPN      Channel = "vpn"      // a device that IT validated, through the tunnel
	Mobile   Channel = "mobile"   // any browser, over the internet
)

// Channels lists the entrances in the order in which they are shown.
func Channels() []Channel { return []Channel{Internal, VPN, Mobile} }

// Known tells whether c is one of the three entrances.
func (c Channel) Known() bool { return slices.Contains(Channels(), c) }

// Origin is how a request arrived: decided once, at the edge, and believed by
// everybody after it.
type Origin struct {
	Channel Channel
	Address string // the nearest address that no client could have written
	Known   bool   // the address lies in a network that the organisation declared
	Device  DeviceID
}

// Ours tells whether a request comes from the organisation's own side: a
// declared network, the internal entrance, or a validated machine in the tunnel.
func (o Origin) Ours() bool { return o.Known || o.Channel == Internal || o.Channel == VPN }

// Network is what one stranger can change at will: the whole of an IPv4
// address, the first half of an IPv6 one (RFC 4291 §2.5.4). Whatever is counted
// by address is counted by it. Addresses that cannot be read share one place:
// unknown means refused, sooner.
func Network(address string) netip.Prefix {
	a, err := netip.ParseAddr(address)
	if err != nil {
		if ap, err := netip.ParseAddrPort(address); err == nil {
			a = ap.Addr()
		}
	}
	a = a.Unmap().WithZone("")
	size := 32
	if a.Is6() {
		size = 64
	}
	p, err := a.Prefix(size)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
