package apps

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"parvis"
)

func TestReachable(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}
	for address, want := range map[string]bool{
		"93.184.216.34": true, "2606:4700:4700::1111": true, "10.20.3.4": true, "::ffff:10.20.3.4": true,
		"10.21.0.1": false, "127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "0.1.2.3": false, "169.254.169.254": false, "172.16.0.1": false,
		"172.31.255.255": false, "192.168.1.1": false, "100.64.0.1": false, "100.127.255.255": false, "192.0.0.8": false, "192.0.2.1": false, "198.18.0.1": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false, "192.88.99.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, "fe80::1": false, "fe80::1%lo": false,
		"fc00::1": false, "fd12:3456::1": false, "fec0::1": false, "ff02::1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::a9fe:a9fe": false, "2001::1": false,
		"2001:db8::1": false, "2002:7f00:1::": false, "100::1": false, "3fff::1": false, "5f00::1": false,
		"172.32.0.1": true, "100.128.0.1": true, "2001:4860:4860::8888": true,
	} {
		if got := reachable(netip.MustParseAddr(address), allow); got != want {
			t.Errorf("%s may be reached: %v", address, got)
		}
	}
	if reachable(netip.Addr{}, allow) {
		t.Error("no address at all may be reached")
	}
}

// names answers every question about a name with the addresses given, in turn.
func names(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		var turn int
		for b := make([]byte, 512); ; {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			end := 12 + strings.IndexByte(string(b[12:n]), 0) + 5 // RFC 1035 §4.1: the header, the name, type and class
			answer := append([]byte(nil), b[:end]...)
			copy(answer[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0})
			if kind := b[end-3]; kind == 1 { // A
				ip := netip.MustParseAddr(addresses[turn%len(addresses)]).As4()
				turn++
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				answer = append(answer, ip[:]...)
			}
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
}

// The attack:
//  1. declare a client whose keys, or whose place to be told of a logout, lie
//     inside: this machine, the cloud's metadata, a neighbour;
//  2. write the address so that a list of strings does not know it: mapped into
//     IPv6, as one number, in octal, short, behind NAT64 or 6to4;
//  3. give a name that first resolves to something harmless, then to the inside;
//  4. answer from outside with a redirect to the inside.
//
// Nothing inside is connected.
func TestNothingInsideIsReached(t *testing.T) {
	var connected atomic.Int32
	inside := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	inside.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connected.Add(1)
		}
	}
	inside.Start()
	t.Cleanup(inside.Close)
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	must(t, err)

	client := outbound(nil, names(t, "127.0.0.1"))
	rebound := outbound([]netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, names(t, "127.0.0.2", "127.0.0.1"))
	for _, c := range []struct {
		client *http.Client
		host   string
	}{
		{client, "127.0.0.1"},
		{client, "[::1]"},
		{client, "[::ffff:127.0.0.1]"},
		{client, "[::ffff:7f00:1]"},
		{client, "0.0.0.0"},
		{client, "[::]"},
		{client, "0"},
		{client, "localhost"},
		{client, "2130706433"},
		{client, "0x7f000001"},
		{client, "017700000001"},
		{client, "127.1"},
		{client, "169.254.169.254"},
		{client, "[::ffff:169.254.169.254]"},
		{client, "[64:ff9b::7f00:1]"},
		{client, "[2002:7f00:1::]"},
		{client, "[fe80::1%25lo]"},
		{client, "[fd00::1]"},
		{client, "10.0.0.1"},
		{client, "192.168.0.1"},
		{client, "agenda.example.org"},
		{client, "127.0.0.1.example.org"},
		{rebound, "agenda.example.org"},
		{rebound, "agenda.example.org"},
	} {
		for _, scheme := range []string{"https", "http"} {
			res, err := c.client.Get(scheme + "://" + c.host + ":" + port + "/")
			if err == nil {
				_ = res.Body.Close()
				t.Errorf("%s://%s answers %d", scheme, c.host, res.StatusCode)
				continue
			}
			var dns *net.DNSError
			if parvis.CodeOf(err) != parvis.CodeRefused && !errors.As(err, &dns) && c.client == client {
				t.Errorf("%s://%s was not refused but failed: %v", scheme, c.host, err)
			}
		}
	}
	if n := connected.Load(); n != 0 {
		t.Errorf("%d connections arrived inside", n)
	}

	var followed atomic.Int32
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/inside" {
			followed.Add(1)
			return
		}
		http.Redirect(w, r, "/inside", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(outside.Close)
	res, err := Outbound([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).Post(outside.URL, "text/plain", strings.NewReader("token"))
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != http.StatusTemporaryRedirect || followed.Load() != 0 {
		t.Errorf("%d, and a redirect was followed %d times", res.StatusCode, followed.Load())
	}
}
