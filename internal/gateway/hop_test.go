package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
)

// spoofed are names by which doors, proxies, modules and frameworks tell an
// application who is there, or whence, or under which address.
const spoofed = `Parvis-Assertion Parvis-Channel Parvis-Until Remote-User Remote-Name Remote-Email Remote-Groups Remote-Addr
X-Remote-User X-Remote-Name X-Remote-Email X-Remote-Groups X-Remote-Addr X-Remote-Ip X-Remote-Host
X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port X-Forwarded-Server X-Forwarded-Uri X-Forwarded-Method X-Forwarded-User
X-Forwarded-Email X-Forwarded-Preferred-Username X-Forwarded-Groups X-Forwarded-Access-Token X-Forwarded-Client-Cert X-Forwarded-Prefix X-Forwarded-Scheme X-Forwarded-Ssl
Forwarded X-Forwarded Forwarded-For X-Real-Ip True-Client-Ip X-True-Client-Ip Cf-Connecting-Ip Cf-Access-Authenticated-User-Email Fastly-Client-Ip
X-Client-Ip X-Client-Cert X-Cluster-Client-Ip X-Original-Url X-Original-Uri X-Original-Host X-Original-Forwarded-For X-Originating-Ip X-Rewrite-Url
X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups X-Auth-User X-Auth-Email X-Auth-Token X-Webauth-User X-Webauth-Name
X-User X-User-Id X-User-Name X-User-Email X-User-Roles X-Username X-Userid X-Agent-Id X-Agent-Number X-Agent X-Authenticated-User X-Authenticated-Userid
X-Authentik-Username X-Pomerium-Claim-Email X-Pomerium-Jwt-Assertion X-Vouch-User X-Token X-Token-Subject X-Ssl-Client-Cert X-Ssl-Client-Dn X-Ssl-Client-Verify
Ssl-Client-Cert Ssl-Client-Verify Ssl-Client-S-Dn X-Arr-Clientcert X-Arr-Ssl Proxy X-Proxy-User Proxy-Remote-User X-Host X-Scheme X-Proto X-Https
X-Ms-Client-Principal X-Ms-Client-Principal-Name X-Goog-Authenticated-User-Email X-Goog-Iap-Jwt-Assertion X-Amzn-Oidc-Identity X-Amzn-Oidc-Data
Tailscale-User-Login Oidc-Claim-Email Mellon-Nameid Impersonate-User Impersonate-Group Sm-User Smuser Shib-Identity-Provider Auth-User Auth-Type
Client-Ip Client-Cert X-Envoy-External-Address X-Sso-User X-Email X-Groups X-Roles X-Role X-Admin X-Account X-Sendfile-Type X-Accel-Mapping X-Script-Name
Iv-User Iv-Groups Iv-Creds Iv-Remote-Address Ct-Remote-User Osso-User-Dn Osso-Subscriber Gap-Auth Ajp-Remote-User Cas-User Cas-Attributes Nt-User Policy-Id
Eppn Uid Mail Cn Sn Givenname Displayname Affiliation Unscoped-Affiliation Entitlement Persistent-Id Targeted-Id Principal Subject Roles Login Name Email Employeenumber Dn Upn
X-Access-Token X-Id-Token X-Userinfo X-Principal X-Ldap-User X-Upn X-Uid X-Dn X-Cn X-Mail X-Impersonate-User X-On-Behalf-Of X-Act-As X-Sudo X-Tenant-Id X-Acting-User
X-Http-Host-Override X-Method-Override X-Http-Method X-Http-Method-Override Front-End-Https X-Url-Scheme Base-Url X-Original-Method X-Location X-Via Via From
Baggage Grpc-Metadata-User Grpc-Metadata-X-User Sec-Provided-Token-Binding-Id Early-Data Alt-Used Http-Remote-User Https Http2-Settings Host-Override
X-Inertiauser X-Upuser Uploaduser Acceptuser Ifuser Hxuser Contentuser Sec-User Sec-Chuser X-Gitlab-Token Private-Token X-Backend-Server X-Cdn-Src-Ip`

func TestSpoofedNamesNeverPass(t *testing.T) {
	var received http.Header
	d := newDoor(t, parvis.App{ID: "paie", Headers: true, Upstream: app(t, func(_ http.ResponseWriter, r *http.Request) { received = r.Header })})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	must(t, v.get(d.url(parvis.Internal, "paie", "/"), nil).Body.Close())
	clean := received
	names := strings.Fields(spoofed)
	if len(names) < 59 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range names {
		for _, written := range []string{
			name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ToLower(strings.ReplaceAll(name, "-", "_")),
			strings.Replace(name, "-", "_", 1), strings.ReplaceAll(name, "-", "."),
		} {
			res := v.get(d.url(parvis.Internal, "paie", "/"), http.Header{written: {"spoofed"}, "X-Requested-With": {"honest"}})
			if res.StatusCode != http.StatusOK {
				t.Errorf("%s: %d", written, res.StatusCode)
			}
			for got, values := range received {
				if strings.Contains(strings.Join(values, " "), "spoofed") {
					t.Errorf("%s reaches the application as %s", written, got)
				}
			}
			if received.Get("Remote-User") != "A100001" || received.Get("Parvis-Assertion") != clean.Get("Parvis-Assertion") || received.Get("X-Requested-With") != "honest" {
				t.Errorf("%s: the application reads %v", written, received)
			}
		}
	}
}

func TestHonestNamesPass(t *testing.T) {
	up := new(upstream)
	for _, name := range strings.Fields(`Accept Accept-Language Accept-Encoding Authorization Cache-Control Content-Type Content-Encoding Content-Range Cookie Depth Destination Dnt
		Expect Hx-Request Hx-Current-Url If If-Match If-None-Match If-Modified-Since If-Range If-Unmodified-Since If-Schedule-Tag-Match Last-Event-Id Origin Overwrite Pragma Prefer Priority
		Range Referer Sec-Ch-Ua Sec-Ch-Ua-Full-Version-List Sec-Fetch-Mode Sec-Fetch-Storage-Access Sec-Websocket-Key Sec-Websocket-Version Sec-Websocket-Protocol Sec-Websocket-Extensions
		Soapaction Te Traceparent Translate Tus-Resumable Upload-Offset Upload-Metadata Upgrade Upgrade-Insecure-Requests User-Agent X-Api-Key X-Csrf-Token X-Csrftoken X-Xsrf-Token
		X-Requested-With X-Request-Id X-Timezone Lock-Token Timeout Brief Save-Data Access-Control-Request-Method Access-Control-Request-Headers Turbo-Frame X-Inertia
		X-Inertia-Version X-Up-Target Faces-Request Grpc-Timeout X-Grpc-Web`) {
		if !up.passes(name) {
			t.Errorf("%s does not pass", name)
		}
	}
	for name := range usual {
		if textproto.CanonicalMIMEHeaderKey(name) != name || !plain(name) {
			t.Errorf("%s is not as net/http gives it", name)
		}
	}
}

// An application may ask for more names, but for none of ours, however written.
func TestApplicationsAskForNames(t *testing.T) {
	var received http.Header
	d := newDoor(t,
		parvis.App{
			ID: "paie", Headers: true, PassHeaders: []string{"x-grafana-org-id", "Legacy_Key", " X-Tenant "},
			Upstream: app(t, func(_ http.ResponseWriter, r *http.Request) { received = r.Header }),
		})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	must(t, v.get(d.url(parvis.Internal, "paie", "/"), http.Header{
		"X-Grafana-Org-Id": {"1"}, "legacy_key": {"2"}, "X-Tenant": {"3"}, "X_Tenant": {"spoofed"}, "Legacy-Key": {"spoofed"}, "X-Other": {"spoofed"},
	}).Body.Close())
	if received.Get("X-Grafana-Org-Id") != "1" || received.Get("Legacy_key") != "2" || received.Get("X-Tenant") != "3" {
		t.Errorf("what was asked for does not arrive: %v", received)
	}
	if got := fmt.Sprint(received); strings.Contains(got, "spoofed") {
		t.Errorf("what was not asked for arrives: %s", got)
	}
	never := strings.Fields(`Parvis-Assertion parvis_assertion PARVIS-CHANNEL Remote-User remote_user Remote.User REMOTE-NAME Remote-Email Remote-Groups X-Remote-User
		X-Forwarded-For x_forwarded_for X-Forwarded-Host X-Forwarded-User Forwarded X-Forwarded X-Real-Ip Client-Ip True-Client-Ip X-True-Client-IP X-Client-Cert
		Proxy Proxy-Authorization Connection Keep-Alive Transfer-Encoding Transfer_Encoding Host X-Host X-Original-Url X-Rewrite-Url Http2-Settings Via`)
	may, not := asked(append(never, "", "X-Mine"))
	if len(may) != 1 || !may["X-Mine"] || len(not) != len(never)+1 {
		t.Errorf("may have %v; of %d names that are ours %d are refused", may, len(never)+1, len(not))
	}
}

func TestCleanAllocatesNothing(t *testing.T) {
	up := &upstream{extra: map[string]bool{"X-Tenant": true}}
	h := request("paie.agents.localhost").Header
	n := len(h)
	if allocs := testing.AllocsPerRun(100, func() {
		up.clean(h)
		h["Iv-User"] = nil
	}); allocs != 0 || len(h) != n+1 {
		t.Errorf("%v allocations, %d headers of %d left", allocs, len(h)-1, n)
	}
}

// Whatever is asked for, and however a name is written: none that an
// application could read as ours passes.
func FuzzPasses(f *testing.F) {
	for _, name := range strings.Fields(spoofed) {
		f.Add(name, name)
		f.Add("X-Mine", strings.ReplaceAll(name, "-", "_"))
	}
	f.Fuzz(func(t *testing.T, listed, sent string) {
		may, _ := asked([]string{listed})
		sent = textproto.CanonicalMIMEHeaderKey(sent)
		if bare, up := new(upstream), (&upstream{extra: may}); up.passes(sent) && !bare.passes(sent) &&
			(ours(sent) || sent != textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(listed))) {
			t.Errorf("%q passes for an application that asks for %q", sent, listed)
		} else if bare.passes(sent) && (!plain(sent) || strings.HasPrefix(sent, "Parvis-") || strings.HasPrefix(sent, "Remote-") || strings.HasPrefix(sent, "X-Forwarded-")) {
			t.Errorf("%q passes", sent)
		}
	})
}

// raw speaks to an entrance byte by byte.
func (v *visitor) raw(host string) (net.Conn, *bufio.Reader) {
	v.d.t.Helper()
	_, port, _ := net.SplitHostPort(host)
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	must(v.d.t, err)
	v.d.t.Cleanup(func() { _ = c.Close() })
	must(v.d.t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c, bufio.NewReader(c)
}

// cookie is the Cookie field of a visitor at a host.
func (v *visitor) cookie(host string) string {
	var all []string
	for name, value := range v.Jar.(*jar).of[host] {
		all = append(all, name+"="+value)
	}
	return "Cookie: " + strings.Join(all, "; ") + "\r\n"
}

// The attack: have our own headers removed on the last step by naming them as
// hop-by-hop; or speak another protocol through the door.
func TestConnectionNamesNothingOfOurs(t *testing.T) {
	received := make(chan http.Header, 1)
	d := newDoor(t, parvis.App{ID: "paie", Headers: true, Upstream: app(t, func(_ http.ResponseWriter, r *http.Request) { received <- r.Header })})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	host := "paie." + d.hosts[parvis.Internal]
	c, in := v.raw(host)
	for _, field := range []string{
		"Connection: Parvis-Assertion, Remote-User, X-Forwarded-For, close-not\r\n",
		"Connection: parvis-assertion\r\nConnection: remote-user\r\n",
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
	} {
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\n"+v.cookie(host)+field+"\r\n")
		must(t, err)
		res, err := http.ReadResponse(in, nil)
		must(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		h := <-received
		if h.Get("Parvis-Assertion") == "" || h.Get("Remote-User") != "A100001" || h.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%q: the application reads %v", field, h)
		}
		if h.Get("Upgrade") != "" || h.Get("Http2-Settings") != "" {
			t.Errorf("%q: another protocol is offered to the application: %v", field, h)
		}
	}
}

func TestFraming(t *testing.T) {
	n := 0
	d := newDoor(t, parvis.App{ID: "paie", Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %q host=%s", r.URL.Path, b, r.Host)
	})})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	host := "paie." + d.hosts[parvis.Internal]
	head := "Host: " + host + "\r\n" + v.cookie(host)
	for name, c := range map[string]struct {
		request string
		status  int
		closes  bool
		reaches int
	}{
		"both lengths":      {"POST /a HTTP/1.1\r\n" + head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + head + "\r\n", 200, true, 1},
		"two lengths":       {"POST /a HTTP/1.1\r\n" + head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400, true, 0},
		"odd coding":        {"POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, true, 0},
		"a chunked body":    {"POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, true, 1},
		"a plain body":      {"POST /a HTTP/1.1\r\n" + head + "Content-Length: 3\r\n\r\nabc", 200, false, 1},
		"absolute form":     {"GET http://" + host + "/a HTTP/1.1\r\nHost: evil.example\r\n" + v.cookie(host) + "\r\n", 200, false, 1},
		"absolute, foreign": {"GET http://evil.example/a HTTP/1.1\r\n" + head + "\r\n", 421, false, 0},
		"a NUL in a value":  {"GET /a HTTP/1.1\r\n" + head + "X-Note: a\x00b\r\n\r\n", 400, true, 0},
		"a folded line":     {"GET /a HTTP/1.1\r\n" + head + "X-Note: a\r\n Remote-User: root\r\n\r\n", 200, false, 1},
		"a blank in a name": {"GET /a HTTP/1.1\r\n" + head + "Remote-User : root\r\n\r\n", 400, true, 0},
		"TRACE":             {"TRACE /a HTTP/1.1\r\n" + head + "\r\n", 421, false, 0},
		"CONNECT":           {"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + head + "\r\n", 421, false, 0},
	} {
		n = 0
		conn, in := v.raw(host)
		_, err := io.WriteString(conn, c.request)
		must(t, err)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != c.status || n != c.reaches {
			t.Errorf("%s: %d, and %d requests reached the application; want %d and %d (%s)", name, res.StatusCode, n, c.status, c.reaches, b)
		}
		if c.closes != res.Close {
			t.Errorf("%s: closes %v, want %v", name, res.Close, c.closes)
		}
		if c.closes {
			if more, _ := io.ReadAll(in); len(more) > 0 || n != c.reaches {
				t.Errorf("%s: answered again: %q", name, more)
			}
		}
		if strings.Contains(string(b), "evil") {
			t.Errorf("%s: a name that is not ours reached the application: %s", name, b)
		}
	}
}

func TestStreamsRangesAndTrailers(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 1000)
	d := newDoor(t, parvis.App{ID: "paie", Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			http.ServeContent(w, r, "file.txt", time.Unix(1e9, 0), bytes.NewReader(content))
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.Copy(w, r.Body)
			w.Header().Set("X-Sum", "of "+r.Trailer.Get("Content-Digest")+r.Trailer.Get("Remote-User"))
		case "/hint":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "after the hint")
		case "/echo":
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			buf := make([]byte, 16)
			for {
				n, err := r.Body.Read(buf)
				_, _ = w.Write(buf[:n])
				_ = rc.Flush()
				if err != nil {
					return
				}
			}
		}
	})})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	url := func(path string) string { return d.url(parvis.Internal, "paie", path) }

	res := v.get(url("/file"), http.Header{"Range": {"bytes=5-14"}})
	if res.StatusCode != http.StatusPartialContent || res.body != "5678901234" || res.Header.Get("Content-Range") != "bytes 5-14/10000" {
		t.Errorf("a range: %d %q %v", res.StatusCode, res.body, res.Header)
	}
	if res := v.send(http.MethodHead, url("/file"), nil, nil); res.ContentLength != 10000 || res.body != "" {
		t.Errorf("HEAD: %d", res.ContentLength)
	}

	r, err := http.NewRequest(http.MethodPost, url("/trailer"), struct{ io.Reader }{strings.NewReader("body")})
	must(t, err)
	r.Trailer = http.Header{"Content-Digest": {"check"}, "Remote-User": {"root"}}
	got, err := v.Do(r)
	must(t, err)
	b, err := io.ReadAll(got.Body)
	must(t, err)
	must(t, got.Body.Close())
	if string(b) != "body" || got.Trailer.Get("X-Sum") != "of check" {
		t.Errorf("trailers: %q %v", b, got.Trailer)
	}
	if res := v.get(url("/hint"), nil); res.body != "after the hint" {
		t.Errorf("after an early hint: %q", res.body)
	}

	// An upload is seen by the application while it is being sent.
	host := "paie." + d.hosts[parvis.Internal]
	conn, in := v.raw(host)
	_, err = io.WriteString(conn, "POST /echo HTTP/1.1\r\nHost: "+host+"\r\n"+v.cookie(host)+"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
	must(t, err)
	line, err := in.ReadString('\n')
	must(t, err)
	if !strings.Contains(line, "200") {
		t.Errorf("nothing answered before the upload had ended: %q", line)
	}
	_, err = io.WriteString(conn, "6\r\nsecond\r\n0\r\n\r\n")
	must(t, err)
	if rest, err := io.ReadAll(in); err != nil || !strings.Contains(string(rest), "first") || !strings.Contains(string(rest), "second") {
		t.Errorf("the upload came back as %q, %v", rest, err)
	}
}

// A visitor who stops in the middle of an upload is no fault of the application's.
func TestInterruptedUploadIsNotAnApplicationDown(t *testing.T) {
	began := make(chan bool, 1)
	ended := make(chan bool, 1)
	d := newDoor(t, parvis.App{ID: "paie", Upstream: app(t, func(_ http.ResponseWriter, r *http.Request) {
		began <- true
		_, _ = io.Copy(io.Discard, r.Body)
		ended <- true
	})})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	host := "paie." + d.hosts[parvis.Internal]
	conn, _ := v.raw(host)
	_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+host+"\r\n"+v.cookie(host)+"Content-Length: 100000\r\n\r\nabc")
	must(t, err)
	<-began
	must(t, conn.Close())
	<-ended
	if res := v.get(d.url(parvis.Internal, "paie", "/"), nil); res.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
	if _, down := d.Down("paie"); down {
		t.Error("the application counts as down")
	}
}

func TestUpstreamIsVerified(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	own := parvis.App{ID: "paie", Upstream: s.URL}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	for name, c := range map[string]struct {
		roots  map[parvis.AppID]*x509.CertPool
		status int
	}{
		"by an authority of its own":   {map[parvis.AppID]*x509.CertPool{"paie": pool}, http.StatusOK},
		"by nobody":                    {nil, http.StatusServiceUnavailable},
		"by another's authority":       {map[parvis.AppID]*x509.CertPool{"conges": pool}, http.StatusServiceUnavailable},
		"by an authority of no avail":  {map[parvis.AppID]*x509.CertPool{"paie": x509.NewCertPool()}, http.StatusServiceUnavailable},
		"by its own, the name ignored": {map[parvis.AppID]*x509.CertPool{"paie": pool, "": nil}, http.StatusOK},
	} {
		d := newDoor(t, own)
		d.Roots = c.roots
		v := d.arrive(parvis.Internal)
		v.enter("paie", "/")
		if res := v.get(d.url(parvis.Internal, "paie", "/"), http.Header{"Accept": {"application/json"}}); res.StatusCode != c.status {
			t.Errorf("vouched for %s: %d, want %d", name, res.StatusCode, c.status)
		}
		if c.status != http.StatusOK {
			if err := d.app("paie").reach(context.Background()); err == nil {
				t.Errorf("vouched for %s: our own look finds nothing wrong", name)
			}
		}
	}
}

func TestWebSocketEndsWithItsDecision(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "urbanisme", OfficeHours: true, Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Parvis-Assertion") == "" {
			http.Error(w, "not a WebSocket", http.StatusBadRequest)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: parvis-app=planted\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw) // an echo, whatever the frames say
	})})
	d.clock.Set(time.Date(2026, 3, 2, 18, 50, 0, 0, time.UTC)) // 19:50 in Paris
	v := d.arrive(parvis.Internal)
	v.enter("urbanisme", "/")
	host := "urbanisme." + d.hosts[parvis.Internal]
	conn, in := v.raw(host)
	_, err := io.WriteString(conn, "GET /live HTTP/1.1\r\nHost: "+host+"\r\n"+v.cookie(host)+"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	must(t, err)
	res, err := http.ReadResponse(in, nil)
	must(t, err)
	if res.StatusCode != http.StatusSwitchingProtocols || len(res.Cookies()) != 0 {
		t.Fatalf("%d, sets %v", res.StatusCode, res.Cookies())
	}
	if got := res.Header.Get("Parvis-Until"); got != "2026-03-02T19:00:00Z" {
		t.Errorf("the end is announced as %q", got)
	}
	say := func() error {
		if _, err := io.WriteString(conn, "hello"); err != nil {
			return err
		}
		buf := make([]byte, 5)
		_, err := io.ReadFull(in, buf)
		return err
	}
	must(t, say())
	d.clock.Move(9*time.Minute + 59*time.Second)
	d.watch(context.Background())
	must(t, say())
	d.clock.Move(time.Second) // 20:00: the offices close
	d.watch(context.Background())
	if _, err := in.ReadByte(); err == nil {
		t.Error("open after the offices closed")
	}
	if res := v.get(d.url(parvis.Internal, "urbanisme", "/"), http.Header{"Accept": {"application/json"}}); res.StatusCode != http.StatusForbidden || !strings.Contains(res.body, "channel_closed") {
		t.Errorf("asked for again: %d %s", res.StatusCode, res.body)
	}
}

// A request that waits for its answer when the decision ends is told so.
func TestCutBeforeTheAnswer(t *testing.T) {
	waiting := make(chan bool)
	d := newDoor(t, parvis.App{ID: "paie", Upstream: app(t, func(_ http.ResponseWriter, r *http.Request) {
		waiting <- true
		<-r.Context().Done()
	})})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	answers := make(chan answer)
	go func() { answers <- v.get(d.url(parvis.Internal, "paie", "/report"), nil) }()
	<-waiting
	d.clock.Move(2 * time.Second)
	d.write(func(tx *store.Tx) error { return d.Keeper.End(tx, v.sess.ID, "by_owner") })
	d.watch(context.Background())
	if res := <-answers; res.StatusCode != http.StatusSeeOther || !strings.Contains(res.Header.Get("Location"), "/signin?return=") {
		t.Errorf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	if _, down := d.Down("paie"); down {
		t.Error("the application counts as down")
	}
}
