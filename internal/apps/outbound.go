package apps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"parvis"
)

// patience is how long an application may take to answer (security.md A-17).
const patience = 2500 * time.Millisecond

// Outbound gives the client with which addresses that somebody declared may be
// reached: keys of a client, the place where an application is told that a
// session ended. It connects to public addresses and to the networks allowed;
// the check is made on the address that is about to be connected, after names
// were resolved, so that no name, number or spelling leads anywhere else. It
// follows no redirect, uses no proxy, keeps no cookies and gives up after two
// and a half seconds in all. Whoever reads an answer bounds it.
func Outbound(allow []netip.Prefix) *http.Client { return outbound(allow, nil) }

func outbound(allow []netip.Prefix, resolver *net.Resolver) *http.Client {
	dialer := net.Dialer{
		Timeout: patience, Resolver: resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || network != "tcp4" && network != "tcp6" || !reachable(to.Addr(), allow) {
				return &parvis.Error{Code: parvis.CodeRefused, Op: "apps.Outbound", Err: fmt.Errorf("%s may not be reached", address)}
			}
			return nil
		},
	}
	return &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: schemes{&http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience,
			MaxIdleConns: 32, MaxIdleConnsPerHost: 2, MaxConnsPerHost: 8, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: 1 << 16, ForceAttemptHTTP2: true,
		}},
	}
}

// schemes refuses a request in clear to anything but this machine, whatever
// makes it.
type schemes struct{ next http.RoundTripper }

// RoundTrip passes on what may leave.
func (s schemes) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !parvis.Loopback(r.URL.Hostname()) {
		return nil, &parvis.Error{Code: parvis.CodeRefused, Op: "apps.Outbound", Err: errors.New("https is needed")}
	}
	return s.next.RoundTrip(r)
}

// reachable tells whether an address is public or lies in a network allowed.
func reachable(a netip.Addr, allow []netip.Prefix) bool {
	a = a.Unmap().WithZone("")
	if slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return true
	}
	return a.IsGlobalUnicast() && !slices.ContainsFunc(special(), func(p netip.Prefix) bool { return p.Contains(a) })
}

// special lists the networks that are not the public Internet, or lead through
// a gateway into one that is not (IANA special-purpose address registries, RFC
// 6890). Loopback, link-local and multicast are no global unicast at all.
func special() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{0}), 8),             // this network: Linux connects 0.0.0.0 to itself
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 8),            // RFC 1918
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10),      // RFC 6598
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),           // loopback
		netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254}), 16),     // link-local: the metadata of clouds
		netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16}), 12),      // RFC 1918
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 0}), 24),    // RFC 6890
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2}), 24),    // RFC 5737
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 88, 99}), 24),  // RFC 7526: 6to4 relays
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168}), 16),     // RFC 1918
		netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18}), 15),      // RFC 2544
		netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100}), 24), // RFC 5737
		netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113}), 24),  // RFC 5737
		netip.PrefixFrom(netip.AddrFrom4([4]byte{240}), 4),           // reserved, and broadcast
		netip.PrefixFrom(netip.IPv6Unspecified(), 96),                // IPv4-compatible, loopback
		ipv6(32, 0x00, 0x64, 0xff, 0x9b),                             // RFC 6052, RFC 8215: NAT64, any IPv4 behind it
		ipv6(64, 0x01, 0x00),                                         // RFC 6666
		ipv6(23, 0x20, 0x01, 0x00, 0x00),                             // RFC 2928: Teredo, ORCHID…
		ipv6(32, 0x20, 0x01, 0x0d, 0xb8),                             // RFC 3849
		ipv6(16, 0x20, 0x02),                                         // RFC 3056: 6to4, any IPv4 behind it
		ipv6(20, 0x3f, 0xff, 0x00),                                   // RFC 9637
		ipv6(16, 0x5f, 0x00),                                         // RFC 9602
		ipv6(7, 0xfc) /* RFC 4193 */, ipv6(10, 0xfe, 0xc0),           // RFC 3879: site-local
	}
}

func ipv6(bits int, first ...byte) netip.Prefix {
	var a [16]byte
	copy(a[:], first)
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}
