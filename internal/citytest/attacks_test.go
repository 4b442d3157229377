package citytest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis"
)

// The attacks of security.md 2.4 on one city, each told by its attacker. Those
// that need the clock, or an application of the attacker's own, have a city to
// themselves.
func TestAttacks(t *testing.T) {
	town := Open(t, "--data", t.TempDir())
	for _, attack := range []struct {
		name string
		run  func(*testing.T, *Town)
	}{
		{"forwarding headers are forged", attackForwarded},
		{"an identity is forged", attackIdentity},
		{"the host is poisoned", attackHost},
		{"redirects lead abroad", attackRedirects},
		{"a session is fixed", attackFixation},
		{"a form is sent from another site", attackCrossSite},
		{"a ticket is replayed", attackTicket},
		{"a refusal of somebody else is read", attackReference},
		{"a stolen cookie outlives the session", attackStolenCookie},
		{"a link changes something", attackMethods},
		{"a name is a script", attackNames},
		{"a connection never ends", attackPatience},
	} {
		t.Run(attack.name, func(t *testing.T) { attack.run(t, town) })
	}
	wholeLog(t, town.Data)
}

// A stranger on the internet claims to stand in the city hall:
//
//  1. they sign in at the mobile entrance, with a right password they stole;
//  2. they say in every header a proxy ever invented that they come from
//     10.0.0.1, through the internal portal;
//  3. they knock at the mobile entrance under the internal portal's name;
//  4. they speak as a load balancer does (PROXY protocol) before HTTP.
//
// Whatever they say, they are at the mobile entrance.
func attackForwarded(t *testing.T, town *Town) {
	claims := map[string]string{
		"X-Forwarded-For": "10.0.0.1", "Forwarded": `for=10.0.0.1;host=agents.localhost;proto=https`, "X-Real-IP": "10.0.0.1",
		"True-Client-IP": "10.0.0.1", "X-Client-IP": "::ffff:10.0.0.1", "CF-Connecting-IP": "10.0.0.1", "Via": "1.1 agents.localhost",
		"X-Forwarded-Host": fmt.Sprintf("agents.localhost:%d", town.Base), "X-Forwarded-Server": "agents.localhost",
		"X-Forwarded-Port": "8080", "X-Original-URL": town.App(parvis.Internal, "finances") + "/", "X-Channel": "internal", "X-Host": "agents.localhost",
	}
	who := town.Person("A100001")
	visit := func(header http.Header) *Page {
		v := town.Visitor(t)
		v.Header = header
		if p := v.SignIn(parvis.Mobile, who); p.Screen != "home" {
			t.Fatalf("signing in led to %s (%d)", p.Screen, p.Status)
		}
		return v.Get(town.App(parvis.Mobile, "finances") + "/")
	}
	honest := visit(http.Header{})
	if honest.Screen != "why_not" || !honest.Has("channel_not_allowed") {
		t.Fatalf("without a lie the refusal is %s %v", honest.Screen, honest.Reasons)
	}
	before := lastEvent(t, town.Data)
	all := http.Header{}
	for name, value := range claims {
		all[name] = []string{value}
		one := visit(http.Header{name: {value}})
		if one.Screen != honest.Screen || strings.Join(one.Reasons, " ") != strings.Join(honest.Reasons, " ") {
			t.Errorf("%s: %s made of %v: %s %v", name, value, honest.Reasons, one.Screen, one.Reasons)
		}
	}
	if p := visit(all); strings.Join(p.Reasons, " ") != strings.Join(honest.Reasons, " ") {
		t.Errorf("all lies together made of %v: %v", honest.Reasons, p.Reasons)
	}
	for _, e := range events(t, town.Data, before) {
		if e.Address != "" && e.Address != "127.0.0.1" || e.Channel != "" && e.Channel != string(parvis.Mobile) {
			t.Errorf("event %d (%s) believes a client: channel %q, address %q", e.Seq, e.Kind, e.Channel, e.Address)
		}
	}

	for _, host := range []string{fmt.Sprintf("agents.localhost:%d", town.Base), fmt.Sprintf("finances.agents.localhost:%d", town.Base)} {
		w := send(t, town.Base+1, "GET /signin HTTP/1.1\r\nHost: "+host+"\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
		if w.status(0) == http.StatusOK || strings.Contains(w.body(0), `name="identifier"`) {
			t.Errorf("the mobile entrance answers as %s: %d", host, w.status(0))
		}
	}
	w := send(t, town.Base+1, fmt.Sprintf("PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\nGET / HTTP/1.1\r\nHost: nomade.localhost:%d\r\n\r\n", town.Base+1))
	if !w.closed || w.status(0) != http.StatusBadRequest {
		t.Errorf("the PROXY protocol was answered with %d, closed %v", w.status(0), w.closed)
	}
}

// A member of staff wants to be the mayor in an application:
//
//  1. they sign in, and open an application that shows what it receives;
//  2. they send along the headers by which doors of every make say who is
//     there, in other letters, with underscores and dots that CGI folds;
//  3. they name the front door's own header in Connection, so that a proxy
//     would take it out as hop-by-hop;
//  4. they look for the front door's cookies upstream.
//
// The application sees one assertion, about them.
func attackIdentity(t *testing.T, town *Town) {
	who := town.Person("A100001")
	v := town.Visitor(t)
	v.SignIn(parvis.Mobile, who)
	echo := town.App(parvis.Mobile, "paie") + "/echo"
	if p := v.Get(echo); p.Status != http.StatusOK {
		t.Fatalf("the application did not open: %d %s", p.Status, p.Screen)
	}
	v.Header = http.Header{"Accept-Language": {"xx-honest"}, "X-Requested-By": {"honest"}}
	for _, name := range []string{
		"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups", "Parvis-Assertion", "Parvis-Until", "X-Remote-User", "X-Forwarded-User",
		"X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-User", "X-User-Id", "X-Auth-Request-User",
		"X-Auth-Request-Email", "X-Authenticated-User", "X-Authentik-Username", "X-Webauth-User", "X-Agent-Id", "X-Real-IP", "X-Original-URL",
		"X-Rewrite-Url", "X-Client-Cert", "Ssl-Client-Cert", "Ssl-Client-S-Dn", "X-Ssl-Client-Verify", "True-Client-Ip", "Forwarded", "X-Forwarded-For",
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "Auth-User", "User", "Oidc-Claim-Sub",
		"Mellon-Name-Id", "Shib-Session-Id", "Sm-User", "Cf-Access-Authenticated-User-Email", "X-Goog-Iap-Jwt-Assertion", "X-Ms-Client-Principal",
		"Tailscale-User-Login", "X-Amzn-Oidc-Data", "X-Jwt-Assertion", "X-Token", "X-Role", "X-Proxy-User", "Proxy-Authorization", "X-Envoy-External-Address",
		"X-Cluster-Client-Ip", "X-Email", "X-Username", "X-Name", "X-Groups", "X-Sendfile", "X-Accel-Redirect", "Impersonate-User",
	} {
		for _, twin := range []string{
			name, strings.ToUpper(name), strings.ToLower(name), strings.ReplaceAll(name, "-", "_"), strings.Replace(name, "-", "_", 1), strings.ReplaceAll(name, "-", "."),
		} {
			v.Header[twin] = []string{"forged A100003"}
		}
	}
	v.Header["Connection"] = []string{"Parvis-Assertion, Remote-User, X-Forwarded-For"}
	v.Header["Cookie"] = []string{"theme=honest; parvis-app-old=forged; __Host-parvis=forged"}
	p := v.Get(echo)
	var got struct{ Header http.Header }
	if err := json.Unmarshal([]byte(p.Body), &got); err != nil {
		t.Fatalf("%v: %s", err, p.Body)
	}
	for name, values := range got.Header {
		if all := strings.Join(values, " "); strings.Contains(all, "forged") || strings.Contains(strings.ToLower(all), "parvis") {
			t.Errorf("the application received %s: %s", name, all)
		}
	}
	if got.Header.Get("Accept-Language") != "xx-honest" || got.Header.Get("X-Requested-By") != "honest" || got.Header.Get("Cookie") != "theme=honest" {
		t.Errorf("honest headers did not arrive: %v", got.Header)
	}
	if said := got.Header["Parvis-Assertion"]; len(said) != 1 || subject(said[0]) != who.Number {
		t.Errorf("the assertion is about %v, not about %s alone", said, who.Number)
	}
	if from := got.Header["X-Forwarded-For"]; len(from) != 1 || from[0] != "127.0.0.1" {
		t.Errorf("the application is told that the visitor comes from %v", from)
	}
}

// subject reads of whom an assertion speaks, without checking it.
func subject(token string) string {
	var claims struct{ Sub string }
	if parts := strings.Split(token, "."); len(parts) == 3 {
		b, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil || json.Unmarshal(b, &claims) != nil {
			return ""
		}
	}
	return claims.Sub
}

// Somebody wants the next message of the city to lead to their own host:
//
//  1. they ask under another Host: foreign, without port, with a tail, with
//     somebody before it, twice, in the absolute form of a proxy;
//  2. they ask under the right one, and name theirs in X-Forwarded-Host;
//  3. they have an activation sent to its rightful owner that way.
//
// Unknown names get 421 (RFC 9110 §15.5.20) or 400; the link in the message is
// the configured one.
func attackHost(t *testing.T, town *Town) {
	ours := fmt.Sprintf("nomade.localhost:%d", town.Base+1)
	for _, host := range []string{
		"evil.example", "nomade.localhost", "nomade.localhost:1", ours + ".evil.example", "evil.example:" + ours, ours + "@evil.example",
		"evil.example/" + ours, ours + "/evil", "nomade.localhost.", "x" + ours, "a.b." + ours, "127.0.0.1", fmt.Sprintf("127.0.0.1:%d", town.Base+1),
		fmt.Sprintf("[::1]:%d", town.Base+1), "", "nomade.localhost\t:81", ours + "#evil.example", "-", "localhost",
	} {
		w := send(t, town.Base+1, "GET /activate HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if s := w.status(0); s != http.StatusMisdirectedRequest && s != http.StatusBadRequest && s != http.StatusNotFound {
			t.Errorf("Host %q was answered with %d", host, s)
		}
	}
	for form, request := range map[string]string{
		"absolute form":      "GET http://evil.example/activate HTTP/1.1\r\nHost: " + ours + "\r\n",
		"two Host lines":     "GET /activate HTTP/1.1\r\nHost: " + ours + "\r\nHost: evil.example\r\n",
		"no Host":            "GET /activate HTTP/1.1\r\n",
		"authority form":     "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n",
		"TRACE":              "TRACE / HTTP/1.1\r\nHost: " + ours + "\r\nCookie: parvis=secret\r\n",
		"an absolute target": "GET http://" + ours + "@evil.example/ HTTP/1.1\r\nHost: " + ours + "\r\n",
	} {
		w := send(t, town.Base+1, request+"Connection: close\r\n\r\n")
		if s := w.status(0); s != http.StatusMisdirectedRequest && s != http.StatusBadRequest {
			t.Errorf("%s was answered with %d", form, s)
		}
		if strings.Contains(w.body(0), "secret") {
			t.Errorf("%s gives a cookie back", form)
		}
	}
	// RFC 9112 §3.2.2: the absolute form is what counts, the Host field is not.
	w := send(t, town.Base+1, "GET http://"+ours+"/security HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
	if to := w.header(0).Get("Location"); w.status(0) != http.StatusSeeOther || !ourAddress(town, "http://"+ours+"/security", to) {
		t.Errorf("the absolute form of our own name is answered with %d to %q", w.status(0), to)
	}

	v := town.Visitor(t)
	v.Header = http.Header{
		"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Server": {"evil.example"}, "X-Host": {"evil.example"}, "X-Original-Host": {"evil.example"},
		"Forwarded": {"host=evil.example;proto=https"}, "X-Forwarded-Proto": {"gopher"}, "Referer": {"http://evil.example/"},
	}
	owner := town.Person("A100008")
	p := v.Get(town.Portal(parvis.Mobile) + "/activate")
	p = v.Submit(p, map[string]string{"agent_number": owner.Number, "email": owner.Email})
	if p.Status != http.StatusOK || strings.Contains(p.Body, "evil") {
		t.Fatalf("asking for an activation: %d\n%s", p.Status, p.Body)
	}
	letter := activationLetter(t, town, owner)
	for _, link := range letter.Links {
		if u, err := url.Parse(strings.TrimRight(link, ",.")); err != nil || u.Scheme+"://"+u.Host != town.Portal(parvis.Mobile) {
			t.Errorf("the message leads to %s", link)
		}
	}
	if strings.Contains(letter.Text+letter.HTML+letter.Subject, "evil") || strings.Contains(letter.Text+letter.HTML, "gopher") {
		t.Errorf("the message names the attacker's host:\n%s", letter.Text)
	}
}

// activationLetter waits for the message that begins an activation.
func activationLetter(tb testing.TB, town *Town, owner Person) Letter {
	tb.Helper()
	return town.Letter(owner.Email, func(l Letter) bool { return linkOf(l) != "" })
}

// linkOf is the link of a message that carries a token.
func linkOf(l Letter) string {
	for _, link := range l.Links {
		if strings.Contains(link, "?link=") {
			return link
		}
	}
	return ""
}

// ourAddress tells whether a Location, read as a browser reads it on the page
// from, stays on a host of this city.
func ourAddress(town *Town, from, location string) bool {
	if strings.ContainsAny(location, "\\\t\r\n ") || strings.HasPrefix(location, "//") {
		return false // browsers take a backslash for a slash and throw blanks away
	}
	base, err := url.Parse(from)
	if err != nil {
		return false
	}
	u, err := base.Parse(location)
	if err != nil || u.Scheme != "http" || u.User != nil {
		return false
	}
	for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile} {
		own := strings.TrimPrefix(town.Portal(ch), "http://")
		if app, rest, ok := strings.Cut(u.Host, "."); u.Host == own || ok && rest == own && !strings.ContainsAny(app, ".@:") {
			return true
		}
	}
	return false
}

// plain is the program without the race detector: what works in bulk or is
// measured takes twenty times as long under it, and hides nothing here.
var plain binary

// Plain builds it once and gives its path.
func Plain(tb testing.TB) string {
	tb.Helper()
	plain.once.Do(func() {
		dir, err := os.MkdirTemp("", "parvis-plain-")
		if err != nil {
			plain.err = err
			return
		}
		plain.path = filepath.Join(dir, "parvis")
		if out, err := exec.Command("go", "build", "-o", plain.path, "parvis/cmd/parvis").CombinedOutput(); err != nil {
			plain.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if plain.err != nil {
		tb.Fatal(plain.err)
	}
	return plain.path
}

// RunPlain is [Run] with that program.
func RunPlain(tb testing.TB, args ...string) (stdout, stderr string, status int) {
	tb.Helper()
	cmd := exec.Command(Plain(tb), args...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if cmd.ProcessState == nil {
		tb.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// wire is what came back on a raw connection.
type wire struct {
	answers []*http.Response
	bodies  []string
	closed  bool // by the server, after the answers
}

func (w wire) status(i int) int {
	if i >= len(w.answers) {
		return 0
	}
	return w.answers[i].StatusCode
}

func (w wire) body(i int) string {
	if i >= len(w.bodies) {
		return ""
	}
	return w.bodies[i]
}

func (w wire) header(i int) http.Header {
	if i >= len(w.answers) {
		return http.Header{}
	}
	return w.answers[i].Header
}

// hangUp is how long a connection is waited for that should have been closed.
const hangUp = 30 * time.Second

// send writes bytes to a listener and reads answers until it closes.
func send(tb testing.TB, port int, request string) wire {
	tb.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(hangUp))
	_, _ = io.WriteString(conn, request) // it may close before it has read everything
	return receive(conn)
}

func receive(conn net.Conn) wire {
	var w wire
	in := bufio.NewReader(conn)
	for {
		if _, err := in.Peek(1); err != nil {
			var late net.Error
			w.closed = !asTimeout(err, &late)
			return w
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return w
		}
		b, err := io.ReadAll(res.Body)
		w.answers, w.bodies = append(w.answers, res), append(w.bodies, string(b))
		if err != nil {
			return w
		}
	}
}

func asTimeout(err error, late *net.Error) bool {
	return errors.As(err, late) && (*late).Timeout()
}

// event is a line of `parvis audit export`.
type event struct {
	Seq     int64
	At      time.Time
	Kind    string
	Agent   string
	Actor   string
	Channel string
	Address string
	Reasons []string
	Detail  map[string]string
}

// events exports the log from a position on.
func events(tb testing.TB, data string, from int64) []event {
	tb.Helper()
	out, errs, status := RunPlain(tb, "audit", "export", "--data", data, fmt.Sprintf("--from=%d", from))
	if status != 0 {
		tb.Fatalf("audit export ended with %d: %s", status, errs)
	}
	var all []event
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var e event
		if err := dec.Decode(&e); err != nil {
			tb.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// lastEvent is the position after the last event.
func lastEvent(tb testing.TB, data string) int64 {
	tb.Helper()
	all := events(tb, data, 0)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Seq + 1
}

// wholeLog has the log proven.
func wholeLog(tb testing.TB, data string) {
	tb.Helper()
	out, errs, status := RunPlain(tb, "audit", "verify", "--data", data, "--json")
	var v struct {
		Whole   bool
		Records int
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(out))).Decode(&v); err != nil || status != 0 || !v.Whole || v.Records == 0 {
		tb.Errorf("audit verify ended with %d:\n%s%s", status, out, errs)
	}
}

// cookieOf is the value a browser keeps under a name for an address.
func cookieOf(tb testing.TB, v *Visitor, address, name string) string {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	for _, c := range v.HTTP.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// plant puts a cookie into a browser.
func plant(tb testing.TB, v *Visitor, address, name, value string) {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	v.HTTP.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// stay makes a browser show redirects instead of following them.
func stay(v *Visitor) *Visitor {
	v.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return v
}
