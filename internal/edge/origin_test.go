package edge

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parvis"
)

func prefixes(t testing.TB, all ...string) []netip.Prefix {
	t.Helper()
	var out []netip.Prefix
	for _, s := range all {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// The whole decision: who arrives where, through whom, saying what.
func TestOrigin(t *testing.T) {
	const proxy, second = "192.0.2.1", "192.0.2.2"
	proxies := prefixes(t, "192.0.2.0/30", "2001:db8:f::/48")
	own := prefixes(t, "10.0.0.0/8", "2001:db8:a::/48")
	internal, mobile := parvis.Internal, parvis.Mobile
	for name, c := range map[string]struct {
		listener parvis.Channel
		networks []netip.Prefix
		proxies  []netip.Prefix
		peer     string
		headers  []string // X-Forwarded-For lines
		want     parvis.Origin
	}{
		"an internal listener without networks is internal": {internal, nil, nil, "203.0.113.7:1", nil, parvis.Origin{Channel: internal, Address: "203.0.113.7", Known: true}},
		"inside its networks":                               {internal, own, nil, "10.2.3.4:1", nil, parvis.Origin{Channel: internal, Address: "10.2.3.4", Known: true}},
		"outside its networks: unknown":                     {internal, own, nil, "203.0.113.7:1", nil, parvis.Origin{Address: "203.0.113.7"}},
		"mobile":                                            {mobile, nil, nil, "203.0.113.7:1", nil, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"mobile from the organisation's network is there":   {mobile, own, nil, "10.2.3.4:1", nil, parvis.Origin{Channel: internal, Address: "10.2.3.4", Known: true}},
		"IPv6 of the network":                               {mobile, own, nil, "[2001:db8:a::9]:1", nil, parvis.Origin{Channel: internal, Address: "2001:db8:a::9", Known: true}},
		"IPv4 in IPv6 is IPv4":                              {mobile, own, nil, "[::ffff:10.2.3.4]:1", nil, parvis.Origin{Channel: internal, Address: "10.2.3.4", Known: true}},
		"IPv4 in IPv6, outside":                             {mobile, own, nil, "[::ffff:203.0.113.7]:1", nil, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"a zone does not make a network":                    {mobile, own, nil, "[fe80::1%eth0]:1", nil, parvis.Origin{Channel: mobile, Address: "fe80::1%eth0"}},
		"a listener that says nothing":                      {"", nil, nil, "203.0.113.7:1", nil, parvis.Origin{Address: "203.0.113.7"}},
		"an address that cannot be read":                    {internal, nil, nil, "@", nil, parvis.Origin{}},
		"an address without a port":                         {internal, nil, nil, "10.2.3.4", nil, parvis.Origin{}},
		"no address":                                        {mobile, own, proxies, "", []string{"10.2.3.4"}, parvis.Origin{}},

		"a stranger's header counts for nothing":        {mobile, own, nil, "203.0.113.7:1", []string{"10.2.3.4"}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"nor when there are proxies, but not this one":  {mobile, own, proxies, "203.0.113.7:1", []string{"10.2.3.4"}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"nor does one name a proxy":                     {mobile, own, proxies, "203.0.113.7:1", []string{"10.2.3.4, " + proxy}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"a declared proxy is believed":                  {mobile, own, proxies, proxy + ":1", []string{"203.0.113.7"}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"also about the own network":                    {mobile, own, proxies, proxy + ":1", []string{"10.2.3.4"}, parvis.Origin{Channel: internal, Address: "10.2.3.4", Known: true}},
		"read from the right":                           {mobile, own, proxies, proxy + ":1", []string{"10.2.3.4, 203.0.113.7"}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"over several lines, the last is the rightmost": {mobile, own, proxies, proxy + ":1", []string{"10.2.3.4", "203.0.113.7"}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"through two proxies":                           {mobile, own, proxies, proxy + ":1", []string{"10.9.9.9, 203.0.113.7, " + second}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"rubbish on the right: unknown":                 {mobile, own, proxies, proxy + ":1", []string{"10.2.3.4, unknown"}, parvis.Origin{}},
		"rubbish behind a proxy: unknown":               {mobile, own, proxies, proxy + ":1", []string{"10.2.3.4, _hidden, " + second}, parvis.Origin{}},
		"some proxies write the port":                   {mobile, own, proxies, proxy + ":1", []string{"203.0.113.7:4711"}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"also over IPv6":                                {mobile, own, proxies, proxy + ":1", []string{"[2001:db8:ffff::1]:443"}, parvis.Origin{Channel: mobile, Address: "2001:db8:ffff::1"}},
		"a proxy inside the network names nobody":       {mobile, own, prefixes(t, "10.1.0.5/32"), "10.1.0.5:1", []string{"unknown"}, parvis.Origin{}},
		"or says nothing":                               {mobile, own, prefixes(t, "10.1.0.5/32"), "10.1.0.5:1", nil, parvis.Origin{}},
		"nothing said: unknown":                         {mobile, own, proxies, proxy + ":1", nil, parvis.Origin{}},
		"an empty header: unknown":                      {mobile, own, proxies, proxy + ":1", []string{""}, parvis.Origin{}},
		"a comma at the end: unknown":                   {mobile, own, proxies, proxy + ":1", []string{"10.2.3.4,"}, parvis.Origin{}},
		"only proxies: unknown":                         {mobile, own, proxies, proxy + ":1", []string{second}, parvis.Origin{}},
		"blanks around":                                 {mobile, own, proxies, proxy + ":1", []string{" \t203.0.113.7 "}, parvis.Origin{Channel: mobile, Address: "203.0.113.7"}},
		"IPv4 in IPv6 behind a proxy":                   {mobile, own, proxies, "[::ffff:192.0.2.1]:1", []string{"::ffff:10.2.3.4"}, parvis.Origin{Channel: internal, Address: "10.2.3.4", Known: true}},
		"a proxy over IPv6":                             {mobile, own, proxies, "[2001:db8:f::1]:1", []string{"2001:db8:ffff::1"}, parvis.Origin{Channel: mobile, Address: "2001:db8:ffff::1"}},
		"an internal listener behind a proxy":           {internal, own, proxies, proxy + ":1", []string{"203.0.113.7"}, parvis.Origin{Address: "203.0.113.7"}},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://agents.example.org/", nil)
		r.RemoteAddr = c.peer
		for _, h := range c.headers {
			r.Header.Add("X-Forwarded-For", h)
		}
		for _, lie := range []string{"Forwarded", "X-Real-IP", "True-Client-IP", "X_Forwarded_For", "X-Client-IP"} {
			r.Header.Set(lie, "10.2.3.4")
		}
		en := Entrance{Channel: c.listener, Networks: c.networks, Proxies: c.proxies}
		if diff := cmp.Diff(c.want, en.origin(r)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// Whatever a stranger writes to the left of what a proxy adds, and in whatever
// other header, changes nothing.
func TestOriginIsNotTheClientsToSay(t *testing.T) {
	en := Entrance{Channel: parvis.Mobile, Networks: prefixes(t, "10.0.0.0/8"), Proxies: prefixes(t, "192.0.2.0/30")}
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringOf(rapid.SampledFrom([]rune("0123456789.,: abcdef[]%\"="))).Draw(t, "line")
		if rapid.Bool().Draw(t, "an address") {
			line = "10." + fmt.Sprint(rapid.IntRange(0, 255).Draw(t, "b")) + ".0.1, " + line
		}
		r := httptest.NewRequest(http.MethodGet, "http://nomade.example.org/", nil)
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			r.Header.Add("X-Forwarded-For", line)
		}
		want := parvis.Origin{Channel: parvis.Mobile, Address: "203.0.113.7"}
		r.RemoteAddr = "203.0.113.7:4711" // straight
		if got := en.origin(r); got != want {
			t.Fatalf("straight, saying %q: %+v", line, got)
		}
		r.RemoteAddr = "192.0.2.1:4711" // through a proxy, which adds the truth
		r.Header["X-Forwarded-For"] = []string{strings.Join(append(r.Header["X-Forwarded-For"], "203.0.113.7"), ", ")}
		if got := en.origin(r); got != want {
			t.Fatalf("through a proxy, saying %q: %+v", line, got)
		}
	})
}

func FuzzOrigin(f *testing.F) {
	f.Add("203.0.113.7:1", "10.2.3.4, 192.0.2.1")
	f.Add("192.0.2.1:1", ",,, ,")
	f.Add("[::ffff:192.0.2.1]:1", "::ffff:10.0.0.1%1")
	en := Entrance{Channel: parvis.Mobile, Networks: prefixes(f, "10.0.0.0/8"), Proxies: prefixes(f, "192.0.2.0/30")}
	f.Fuzz(func(t *testing.T, peer, said string) {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {said}}}
		o := en.origin(r)
		addr, err := netip.ParseAddr(o.Address)
		if o.Address == "" {
			if o.Channel != "" || o.Known {
				t.Fatalf("without an address: %+v", o)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q is not an address", o.Address)
		}
		if own := contains(en.Networks, addr); own != o.Known || own != (o.Channel == parvis.Internal) {
			t.Fatalf("%s: %+v", addr, o)
		}
	})
}

func TestOriginOfNothing(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if o := Origin(r); o != (parvis.Origin{}) || o.Channel.Known() {
		t.Errorf("a request that did not pass the edge has origin %+v", o)
	}
	if id := RequestID(r); id != "" {
		t.Errorf("and the name %q", id)
	}
	want := parvis.Origin{Channel: parvis.VPN, Address: "10.0.0.9", Device: "d1"}
	if got := Origin(WithOrigin(r, want)); got != want {
		t.Errorf("given %+v, it has %+v", want, got)
	}
}
