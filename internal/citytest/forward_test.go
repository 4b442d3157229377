package citytest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parvis"
)

// The proxies answer on another address of this machine, under the names and
// on the port of the city's internal entrance: what a browser sees is theirs.
const proxiesAt = "127.0.0.2"

// wiki is the application that each proxy serves by itself: one of the city's,
// on whose host the proxy answers before the gateway can.
const wiki = "urbanisme"

// examples are the shipped files of each proxy, and how it is started with the
// first of them, from the folder that holds them.
var examples = map[string]struct {
	files   []string
	program string
	args    []string
	needs   string // a file without which it cannot do this here
}{
	"nginx":   {files: []string{"nginx.conf"}, program: "nginx", args: []string{"-p", ".", "-e", "stderr", "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"}},
	"Caddy":   {files: []string{"Caddyfile"}, program: "caddy", args: []string{"run", "--adapter", "caddyfile", "--config", "Caddyfile"}},
	"HAProxy": {files: []string{"haproxy.cfg", "parvis.lua"}, program: "haproxy", args: []string{"-db", "-f", "haproxy.cfg"}},
	"Apache": {
		files: []string{"apache.conf", "parvis-apache.lua"}, program: "apache2", args: []string{"-X", "-d", ".", "-f", "main.conf"},
		needs: "/usr/lib/apache2/modules/mod_lua.so",
	},
}

// apacheMain is the rest of a server's own configuration.
const apacheMain = `ServerName localhost
PidFile apache.pid
ErrorLog /dev/stderr
DefaultRuntimeDir .
Mutex file:. default
Listen %s
User www-data
Group www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule setenvif_module /usr/lib/apache2/modules/mod_setenvif.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule lua_module /usr/lib/apache2/modules/mod_lua.so
Include apache.conf
`

// received keeps what reached an application.
type received struct {
	mu  sync.Mutex
	all []*http.Request
}

func (a *received) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, r)
	fmt.Fprintf(w, "the wiki, for %s", r.Header.Get("Remote-User"))
}

// take gives what came since it was last called.
func (a *received) take() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

// proxied is a city with a proxy in front.
type proxied struct {
	*Town
	tb   testing.TB
	wiki *received
}

// front starts a proxy from its shipped example, adapted to the ports of the
// city: nothing else of it changes but TLS, which there is none of here.
func (t *Town) front(tb testing.TB, name string) *proxied {
	tb.Helper()
	example := examples[name]
	program, err := exec.LookPath(example.program)
	if err == nil && example.needs != "" {
		_, err = os.Stat(example.needs)
	}
	if err != nil {
		tb.Fatalf("%s is not on this machine (scripts/test installs it): %v", name, err)
	}
	p := &proxied{Town: t, tb: tb, wiki: new(received)}
	app := httptest.NewServer(p.wiki)
	tb.Cleanup(app.Close)
	dir := tb.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // a server that gives up its rights reads here still
		if err := os.Chmod(d, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	for _, file := range example.files {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "proxies", file))
		if err != nil {
			tb.Fatal(err)
		}
		text := t.adapt(string(b), dir, strings.TrimPrefix(app.URL, "http://"))
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	if name == "Apache" {
		// Its workers are nobody in particular, and read the script by themselves.
		for _, file := range []string{filepath.Dir(dir), dir} {
			if err := os.Chmod(file, 0o755); err != nil {
				tb.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(dir, "parvis-apache.lua"), 0o644); err != nil {
			tb.Fatal(err)
		}
		text := fmt.Sprintf(apacheMain, p.address())
		if err := os.WriteFile(filepath.Join(dir, "main.conf"), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	cmd := exec.Command(program, example.args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { defer close(gone); _ = cmd.Wait() }() // how it ends is of no interest
	tb.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // its workers too
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-gone
		}
		if tb.Failed() {
			tb.Logf("%s says:\n%s", name, out.String())
		}
	})
	for range 100 {
		conn, err := net.Dial("tcp", p.address())
		if err == nil {
			_ = conn.Close()
			return p
		}
		select {
		case <-gone:
			tb.Fatalf("%s did not start:\n%s", name, out.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	tb.Fatalf("%s does not listen", name)
	return nil
}

func (p *proxied) address() string { return net.JoinHostPort(proxiesAt, strconv.Itoa(p.Base)) }

// adapt makes of a shipped file one for this city.
func (t *Town) adapt(text, dir, app string) string {
	port := strconv.Itoa(t.Base)
	for _, change := range [][2]string{
		{`(?m)^\s*(ssl_certificate|SSLEngine|SSLCertificate).*\n`, ""},
		{`listen 443 ssl`, "listen " + proxiesAt + ":" + port},
		{`bind :443 ssl crt \S+`, "bind " + proxiesAt + ":" + port},
		{`<VirtualHost \*:443>`, "<VirtualHost " + proxiesAt + ":" + port + ">"},
		{`admin off`, "admin off\n\tauto_https off\n\tdefault_bind " + proxiesAt + "\n\thttp_port " + port},
		{`/etc/(haproxy|apache2)/`, dir + "/"},
		{`127\.0\.0\.1:8080`, "127.0.0.1:" + port},
		{`127\.0\.0\.1:9000`, app},
		{`wiki\.agents\.example\.org`, wiki + ".agents.localhost:" + port},
		{`agents\.example\.org`, "agents.localhost:" + port},
		// A name that a server answers to has no port, and HAProxy sees one in Host.
		{`(?m)^(\s*(?:server_name|ServerName|ServerAlias)\s.*)$`, "$1#"},
		{`\$host;`, "$$host:" + port + ";"},
		{`https`, "http"},
		{`auto_http off`, "auto_https off"},
		{`PARVIS_SCHEME=https`, "PARVIS_SCHEME=http"},
	} {
		text = regexp.MustCompile(change[0]).ReplaceAllString(text, change[1])
	}
	names := regexp.MustCompile(`(?m)^(\s*(?:server_name|ServerName|ServerAlias)\s.*)#$`)
	return names.ReplaceAllStringFunc(text, func(line string) string {
		return strings.ReplaceAll(strings.TrimSuffix(line, "#"), ":"+port, "")
	})
}

// visitor is a browser that finds the internal names at the proxy.
func (p *proxied) visitor() *Visitor {
	v := p.Town.Visitor(p.tb)
	v.HTTP.Transport = &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if _, port, err := net.SplitHostPort(addr); err == nil && port == strconv.Itoa(p.Base) {
			addr = p.address()
		}
		if strings.HasPrefix(addr, proxiesAt) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
		return dialLoopback(ctx, network, addr)
	}}
	p.tb.Cleanup(v.HTTP.CloseIdleConnections)
	return v
}

// assertion reads what an assertion says, unchecked.
func assertion(tb testing.TB, r *http.Request) (sub, aud string) {
	tb.Helper()
	parts := strings.Split(r.Header.Get("Parvis-Assertion"), ".")
	if len(parts) != 3 || len(r.Header.Values("Parvis-Assertion")) != 1 {
		tb.Fatalf("the assertions are %q", r.Header.Values("Parvis-Assertion"))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		tb.Fatal(err)
	}
	var c struct{ Sub, Aud string }
	if err := json.Unmarshal(b, &c); err != nil {
		tb.Fatal(err)
	}
	return c.Sub, c.Aud
}

// An application that another proxy serves: its agent signs in on the way, and
// comes back to the page; somebody else reads why not; signing out closes it.
func TestForwardAuthentication(t *testing.T) {
	t.Parallel()
	town := Open(t)
	open := time.Now().AddDate(0, 0, 1)
	for open.Weekday() == time.Saturday || open.Weekday() == time.Sunday || open.YearDay() == 1 {
		open = open.AddDate(0, 0, 1)
	}
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	town.SetClock(time.Date(open.Year(), open.Month(), open.Day(), 10, 0, 0, 0, paris)) // it opens in office hours
	for name := range examples {
		t.Run(name, func(t *testing.T) {
			p := town.front(t, name)
			page := town.App(parvis.Internal, wiki) + "/page?x=1&y=%2F"

			v := p.visitor()
			who := town.Person("A100001")
			door := v.Get(page)
			if door.Screen == "" {
				t.Fatalf("led to %s: %d %v %s", door.URL, door.Status, door.Header, door.Body)
			}
			at := v.SignInAt(door, who.Number, who.Password)
			if at.Status != http.StatusOK || at.Body != "the wiki, for "+who.Number || at.URL.String() != page {
				t.Fatalf("after signing in: %d at %s: %.300s", at.Status, at.URL, at.Body)
			}
			got := p.wiki.take()
			if len(got) != 1 {
				t.Fatalf("%d requests reached the application", len(got))
			}
			r := got[0]
			if r.Header.Get("Remote-Name") != who.Name || r.Header.Get("Remote-Email") != who.Email || r.Header.Get("Remote-Groups") == "" || r.RequestURI != "/page?x=1&y=%2F" {
				t.Errorf("the application received %s %v", r.RequestURI, r.Header)
			}
			if strings.Contains(r.Header.Get("Cookie"), "parvis") {
				t.Errorf("a cookie of the front door reached the application: %q", r.Header.Get("Cookie"))
			}
			if sub, aud := assertion(t, r); sub != who.Number || aud != wiki {
				t.Errorf("the assertion is about %s, for %s", sub, aud)
			}
			if posted := v.Post(town.App(parvis.Internal, wiki)+"/save", url.Values{"text": {"é"}}); posted.Status != http.StatusOK {
				t.Errorf("a form: %d", posted.Status)
			}

			other := p.visitor()
			refused := town.Person("A100010")
			why := other.SignInAt(other.Get(page), refused.Number, refused.Password)
			if !why.Has("app_not_assigned") || why.Reference == "" || !strings.HasPrefix(why.URL.String(), town.Portal(parvis.Internal)+"/why/") {
				t.Errorf("somebody who may not: %d at %s, %v", why.Status, why.URL, why.Reasons)
			}
			other.Header.Set("Accept", "application/json")
			if said := other.Get(page); said.Status != http.StatusForbidden || !strings.Contains(said.Body, "urn:parvis:reason:app_not_assigned") {
				t.Errorf("their program: %d %s", said.Status, said.Body)
			}
			nobody := p.visitor()
			nobody.Header.Set("Accept", "application/json")
			if said := nobody.Get(page); said.Status != http.StatusUnauthorized || !strings.Contains(said.Body, "urn:parvis:sign_in") {
				t.Errorf("nobody's program: %d %s", said.Status, said.Body)
			}
			p.wiki.take()

			p.smuggle(t, v, other)

			v.Submit(v.Get(town.Portal(parvis.Internal)+"/"), nil)
			v.Post(town.Portal(parvis.Internal)+"/signout", url.Values{})
			if at := v.Get(page); at.Screen == "" || len(p.wiki.take()) > 0 {
				t.Errorf("after signing out: %d at %s: %.100s", at.Status, at.URL, at.Body)
			}
		})
	}
}

// The attack: 1. an agent writes into requests for an application the headers
// by which proxies and Parvis speak, in every writing. 2. They do so with a
// visit, to be somebody else for the application; without the right, to be let
// in; and they ask Parvis themselves, through the front.
func (p *proxied) smuggle(t *testing.T, agent, refused *Visitor) {
	t.Helper()
	home := p.App(parvis.Internal, wiki)
	host := strings.TrimPrefix(home, "http://")
	cookies := func(v *Visitor) string {
		u, err := url.Parse(home)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, c := range v.HTTP.Jar.Cookies(u) {
			all = append(all, c.Name+"="+c.Value)
		}
		return "Cookie: " + strings.Join(all, "; ")
	}
	send := func(line, host string, headers ...string) (*http.Response, bool) {
		conn, err := net.Dial("tcp", p.address())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nConnection: close\r\n%s\r\n\r\n", line, host, strings.Join(headers, "\r\n"))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return nil, false // it hung up, which is an answer
		}
		_ = res.Body.Close()
		return res, true
	}
	spoofs := []string{
		"Remote-User: A100003", "remote-user: A100003", "Remote_User: A100003", "REMOTE_USER: A100003", "Remote-Groups: it_department", "Remote_Groups: it_department", "Remote-Email: a@b.c",
		"Parvis-Assertion: e30.eyJzdWIiOiJBMTAwMDAzIn0.x", "Parvis_Assertion: e30.eyJzdWIiOiJBMTAwMDAzIn0.x", "X-Remote-User: A100003", "X-Forwarded-User: A100003",
		"Connection: close, Remote-User\r\nRemote-User: A100003", "Connection: Parvis-Assertion",
	}
	if res, ok := send("GET /a", host, append([]string{cookies(agent)}, "X-Honest: yes")...); !ok || res.StatusCode != http.StatusOK || len(p.wiki.take()) != 1 {
		t.Fatal("what is honest does not pass")
	}
	for _, spoof := range spoofs {
		res, ok := send("GET /a", host, cookies(agent), spoof)
		got := p.wiki.take()
		if ok && res.StatusCode == http.StatusOK && len(got) != 1 {
			t.Errorf("%q: %d requests reached the application", spoof, len(got))
		}
		for _, r := range got {
			if sub, aud := assertion(t, r); sub != "A100001" || aud != wiki || strings.Join(r.Header.Values("Remote-User"), ",") != "A100001" {
				t.Errorf("%q: the application reads %v", spoof, r.Header)
			}
			for name, values := range r.Header {
				if said := strings.Join(values, ","); strings.Contains(said, "A100003") || strings.Contains(said, "it_department") || strings.Contains(said, "a@b.c") {
					t.Errorf("%q reaches the application as %s: %s", spoof, name, said)
				}
			}
		}
		if res, ok := send("GET /a", host, cookies(refused), spoof); ok && res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusBadRequest || len(p.wiki.take()) > 0 {
			t.Errorf("%q lets somebody in who may not: %v", spoof, res)
		}
	}
	p.lie(t, agent, refused, send)
	p.stray(t, cookies(agent), cookies(refused), send)
}

// sender sends one request as it is written, and answers false when the proxy
// hung up.
type sender func(line, host string, headers ...string) (*http.Response, bool)

// lie asks for one application in the name of a visit of another.
func (p *proxied) lie(t *testing.T, agent, refused *Visitor, send sender) {
	t.Helper()
	host := strings.TrimPrefix(p.App(parvis.Internal, wiki), "http://")
	// The same two sessions have a visit of other applications besides.
	for _, v := range []*Visitor{agent, refused} {
		v.Header.Del("Accept")
		if at := v.Get(p.App(parvis.Internal, "paie") + "/"); at.Status != http.StatusOK {
			t.Fatalf("the pay slips: %d at %s", at.Status, at.URL)
		}
	}
	paie := strings.TrimPrefix(p.App(parvis.Internal, "paie"), "http://")
	u, _ := url.Parse("http://" + paie)
	other := "Cookie: "
	for _, c := range refused.HTTP.Jar.Cookies(u) {
		other += c.Name + "=" + c.Value + "; "
	}
	for _, lie := range [][]string{
		{"X-Original-URL: http://" + paie + "/a"},
		{"X-Original-URL: http://" + paie + "/a", "X-Original-Method: GET"},
		{"X_Original_URL: http://" + paie + "/a"},
		{"X-Forwarded-Host: " + paie},
		{"X-Forwarded-Host: " + paie, "X-Forwarded-Proto: http", "X-Forwarded-Uri: /a", "X-Forwarded-Method: GET"},
		{"X-Forwarded-Uri: /.parvis/begin"},
		{"X-Rewrite-URL: /.parvis/begin"},
		{"Host: " + paie},
	} {
		if res, ok := send("GET /a", host, append(lie, other)...); ok && res.StatusCode/100 == 2 || len(p.wiki.take()) > 0 {
			t.Errorf("%q lets somebody in who may not: %v", lie, res)
		}
		if res, ok := send("GET http://"+host+"/a", paie, append(lie, other)...); len(p.wiki.take()) > 0 {
			t.Errorf("%q and another name in the line lets somebody in who may not: %v %v", lie, res, ok)
		}
	}
}

// stray asks, through the front, what proxies alone may ask.
func (p *proxied) stray(t *testing.T, agent, refused string, send sender) {
	t.Helper()
	home := p.App(parvis.Internal, wiki)
	host, portal := strings.TrimPrefix(home, "http://"), strings.TrimPrefix(p.Portal(parvis.Internal), "http://")
	for _, line := range []string{"/.parvis/ask", "/.parvis/verify", "/.parvis/verify/a", "/auth/verify", "/%2eparvis/ask", "//.parvis/ask", "/.parvis//verify", "/x/../.parvis/verify", "/.parvis/begin/../verify", "/.parvis/enter/../../a", "//.parvis/begin"} {
		for _, at := range []string{host, portal} {
			res, ok := send("GET "+line, at, refused, "X-Original-URL: "+home+"/a", "X-Forwarded-Proto: http", "X-Forwarded-Uri: /a", "X-Forwarded-Host: "+host)
			if ok && (res.Header.Get("Parvis-Assertion") != "" || res.Header.Get("Remote-User") != "") || len(p.wiki.take()) > 0 {
				t.Errorf("%s at %s: %v", line, at, res)
			}
			res, ok = send("GET "+line, at, agent, "X-Original-URL: "+home+"/a", "X-Forwarded-Proto: http", "X-Forwarded-Uri: /a", "X-Forwarded-Host: "+host)
			if ok && (res.Header.Get("Parvis-Assertion") != "" || res.Header.Get("Remote-User") != "") {
				t.Errorf("%s at %s tells an agent their own assertion: %v", line, at, res)
			}
			p.wiki.take()
		}
	}
}
