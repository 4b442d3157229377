package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// alone is a town over SQLite, for what does not touch the store.
func alone(t testing.TB) *town {
	clock := new(storetest.Clock)
	return open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
}

// A provider of this machine is reached whatever a resolver says of its name.
func TestNamesOfThisMachine(t *testing.T) {
	w := alone(t)
	o := newOutside(t, w.clock)
	u, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"moncompte.localhost", "localhost", "no-such-name.at.all.localhost", "MonCompte.Localhost"} {
		o.issuer = "http://" + net.JoinHostPort(host, u.Port())
		w.knows(o.of(nil))
		if a := w.trip(o, Departure{}); a.Reason.Code != "" || a.Issuer != o.issuer {
			t.Errorf("%s: %+v", host, a)
		}
	}
	// On the other loopback address too, where there is one.
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Log("no IPv6 here:", err)
		return
	}
	six := &httptest.Server{Listener: l, Config: &http.Server{Handler: o, ReadHeaderTimeout: time.Minute}}
	six.Start()
	defer six.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	o.issuer = "http://moncompte.localhost:" + port
	w.knows(o.of(nil))
	if a := w.trip(o, Departure{}); a.Reason.Code != "" {
		t.Errorf("%+v", a)
	}
}

// No other name leads to this machine or its neighbours: the address that is
// connected to is looked at.
func TestDialRefuses(t *testing.T) {
	for _, address := range []string{
		"0.0.0.0:80", "[::]:80", "169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[fe80::1]:80", "224.0.0.1:80", "255.255.255.255:80",
	} {
		if c, err := dial(t.Context(), "tcp", address); !errors.Is(err, errSpecial) {
			t.Errorf("%s: %v", address, err)
			if err == nil {
				_ = c.Close()
			}
		}
	}
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true, "nonsense": true,
		"10.1.2.3:443": false, "192.0.2.1:443": false, "[2001:db8::1]:443": false,
	} {
		if special(address) != want {
			t.Errorf("%s", address)
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"https://compte.example/x": true, "http://localhost:1": true, "http://a.b.localhost": true, "http://127.0.0.1:8082/": true, "http://[::1]:1/": true,
		"http://compte.example/": false, "http://localhost.example/": false, "http://notlocalhost/": false, "http://2130706433/": false,
		"ftp://localhost/": false, "javascript:alert(1)": false, "//compte.example": false, "https:compte.example": false, "": false, "https://u:p@compte.example/": false,
		"https://compte.example/#x": false, "http://169.254.169.254/": false, "https://%zz/": false,
	} {
		if (secure(address) == nil) != want {
			t.Errorf("%s: %v", address, secure(address))
		}
	}
	good := metadata{Authorize: "https://c.example/a", Token: "https://c.example/t", Keys: "https://keys.example/k"}
	for name, c := range map[string]struct {
		issuer string
		change func(*metadata)
		want   error
	}{
		"good":                        {"https://c.example", func(*metadata) {}, nil},
		"no authorisation":            {"https://c.example", func(m *metadata) { m.Authorize = "" }, errInsecure},
		"no tokens":                   {"https://c.example", func(m *metadata) { m.Token = "" }, errInsecure},
		"no keys":                     {"https://c.example", func(m *metadata) { m.Keys = "" }, errInsecure},
		"tokens in the clear":         {"https://c.example", func(m *metadata) { m.Token = "http://c.example/t" }, errInsecure},
		"a script to sign out":        {"https://c.example", func(m *metadata) { m.EndSession = "javascript:1" }, errInsecure},
		"our own machine":             {"https://c.example", func(m *metadata) { m.Token = "http://127.0.0.1:8084/" }, errSpecial},
		"our own machine by its name": {"https://c.example", func(m *metadata) { m.UserInfo = "https://x.localhost/" }, errSpecial},
		"a neighbour on this machine": {"http://moncompte.localhost", func(m *metadata) { m.Token = "http://127.0.0.1:8084/" }, nil},
	} {
		m := good
		c.change(&m)
		if err := m.check(c.issuer); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDiscovery(t *testing.T) {
	const path = "/.well-known/openid-configuration"
	for name, wrong := range map[string]func(o *outside){
		"another issuer": func(o *outside) { o.meta = func(m map[string]any) { m["issuer"] = "https://evil.example" } },
		"a slash":        func(o *outside) { o.meta = func(m map[string]any) { m["issuer"] = o.issuer + "/" } },
		"no issuer":      func(o *outside) { o.meta = func(m map[string]any) { delete(m, "issuer") } },
		"no keys":        func(o *outside) { o.meta = func(m map[string]any) { delete(m, "jwks_uri") } },
		"keys in clear":  func(o *outside) { o.meta = func(m map[string]any) { m["jwks_uri"] = "http://keys.example/" } },
		"huge":           instead(path, answers(200, "application/json", `{"x":"`+strings.Repeat("x", longest)+`"}`)),
		"elsewhere":      instead(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }),
		"not JSON":       instead(path, answers(200, "text/html", "<h1>")),
		"broken":         instead(path, answers(500, "application/json", "{}")),
		"hangs up":       instead(path, hangsUp),
		"promises a maybe": func(o *outside) {
			o.meta = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = "yes" }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := alone(t)
			o := newOutside(t, w.clock)
			wrong(o)
			w.knows(o.of(nil))
			if _, _, err := w.link.Leave(t.Context(), w.full(Departure{})); parvis.CodeOf(err) != parvis.CodeUnavailable {
				t.Errorf("%v", err)
			}
			if !w.link.Down("compte") || len(w.events("verifier.")) != 0 {
				t.Errorf("down: %v", w.link.Down("compte"))
			}
		})
	}
}

// Who is down rests: it is asked again after ten seconds, and is down for a
// minute, or until it answers.
func TestDown(t *testing.T) {
	w := alone(t)
	o := newOutside(t, w.clock)
	w.knows(o.of(nil))
	const path = "/.well-known/openid-configuration"
	try := func() parvis.Code {
		_, _, err := w.link.Leave(t.Context(), w.full(Departure{}))
		return parvis.CodeOf(err)
	}
	for range 2 {
		if code := try(); code != "" || o.times(path) != 1 || w.link.Down("compte") || w.link.Down("no such") {
			t.Fatalf("%q, asked %d times", code, o.times(path))
		}
	}
	o.instead(path, hangsUp)
	w.clock.Move(freshToLeave)
	var asked int
	for range 2 {
		if try() != parvis.CodeUnavailable || !w.link.Down("compte") || asked > 0 && o.times(path) != asked {
			t.Error("not down, or asked while it rests")
		}
		asked = o.times(path)
	}
	w.clock.Move(rest - time.Second)
	if try() != parvis.CodeUnavailable || o.times(path) != asked {
		t.Error("it was asked while it rested")
	}
	w.clock.Move(time.Second)
	o.instead(path, nil)
	if try() != "" || w.link.Down("compte") {
		t.Error("still down")
	}
	o.instead(path, hangsUp)
	w.clock.Move(freshToLeave)
	if try() != parvis.CodeUnavailable {
		t.Error("not down")
	}
	w.clock.Move(resting)
	if w.link.Down("compte") {
		t.Error("down for ever")
	}
	// A clock that goes back makes nobody down for longer.
	w.clock.Move(-time.Hour)
	if w.link.Down("compte") {
		t.Error("down in the past")
	}
}

// Whoever brings a code on which the provider hangs up, or calls itself busy,
// does not make it look down: it is asked again, by us.
func TestNobodyMakesItDown(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{"hangs up": hangsUp, "busy": answers(503, "text/plain", "")} {
		t.Run(name, func(t *testing.T) {
			w := alone(t)
			o := newOutside(t, w.clock)
			w.knows(o.of(nil))
			o.instead("/token", h)
			if a := w.trip(o, Departure{}); a.Reason.Code != whyUnavailable || w.link.Down("compte") {
				t.Errorf("%+v", a)
			}
			o.instead("/token", nil)
			if a := w.trip(o, Departure{}); a.Reason.Code != "" {
				t.Errorf("%+v", a)
			}
		})
	}
}

// A provider that accepts and says nothing is given up; many who wait for it
// wait for one question, not one after the other.
func TestSlow(t *testing.T) {
	for _, path := range []string{"/.well-known/openid-configuration", "/token", "/keys", "/userinfo"} {
		t.Run(path, func(t *testing.T) {
			w := alone(t)
			o := newOutside(t, w.clock)
			w.knows(o.of(confirmed)).HTTP = &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 100 * time.Millisecond}}
			const many = 8
			arrivals := make([]Arrival, many)
			for i := range arrivals {
				address, cookie := w.leave(Departure{})
				arrivals[i] = Arrival{Query: o.visit(t, address), Cookie: cookie, Origin: street()}
			}
			awake := make(chan struct{})
			defer close(awake)
			o.instead(path, func(http.ResponseWriter, *http.Request) { <-awake })
			w.clock.Move(2 * time.Minute) // what it said of itself is good for longer on the way back
			var group sync.WaitGroup
			for i := range arrivals {
				group.Go(func() {
					a, err := w.link.Return(t.Context(), arrivals[i])
					if want := path != "/.well-known/openid-configuration"; err != nil || (a.Reason.Code == whyUnavailable) != want {
						t.Errorf("%+v, %v", a, err)
					}
				})
			}
			group.Wait()
			if path == "/keys" && (o.times(path) != 1 || !w.link.Down("compte")) {
				t.Errorf("asked %d times", o.times(path))
			}
			if path != "/keys" && w.link.Down("compte") {
				t.Error("down")
			}
			if path[1] == '.' {
				if _, _, err := w.link.Leave(t.Context(), w.full(Departure{})); parvis.CodeOf(err) != parvis.CodeUnavailable {
					t.Error(err)
				}
			}
		})
	}
	// Without a client of the test's, the time is bounded too.
	if c := new(Link).client(); c.Timeout != patience {
		t.Errorf("patience %v", c.Timeout)
	}
}

// Keys change. One that nobody has seen is asked for, at most once a minute.
func TestRotation(t *testing.T) {
	w := alone(t)
	o := newOutside(t, w.clock)
	w.knows(o.of(nil))
	want := func(reason parvis.ReasonCode, asked int) {
		t.Helper()
		if a := w.trip(o, Departure{}); a.Reason.Code != reason || o.times("/keys") != asked {
			t.Errorf("%q after %d questions, want %q after %d", a.Reason.Code, o.times("/keys"), reason, asked)
		}
	}
	want("", 1)
	want("", 1)
	offers(public(foreign().Public(), "new"))(o)
	by(jose.ES256, foreign(), "new")(o)
	want("", 2)
	// The old one is believed no more.
	o.sign = nil
	want(whyUnavailable, 2)
	want(whyUnavailable, 2)
	by(jose.ES256, foreign(), "newer")(o)
	offers(public(foreign().Public(), "newer"))(o)
	want(whyUnavailable, 2)
	w.clock.Move(askKeysEvery - time.Second)
	want(whyUnavailable, 2)
	w.clock.Move(time.Second)
	want("", 3)
	// One that was taken away is forgotten within the hour.
	offers()(o)
	want("", 3)
	w.clock.Move(keepAtMost)
	want(whyUnavailable, 4)
}

func TestLeave(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		o := newOutside(t, clock)
		w.knows(o.of(func(p *Provider) {
			p.Levels, p.MaxAge, p.EmailVerified, p.Scopes = []string{"eidas1", "eidas2", "eidas3"}, time.Hour, true, []string{"profile", "email"}
		}))
		address, cookie := w.leave(Departure{Level: "eidas2", Lang: "fr", Again: true, Origin: parvis.Origin{Channel: parvis.Internal}})
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		for _, secret := range []string{"state", "nonce", "code_challenge"} {
			if len(q.Get(secret)) != 43 {
				t.Errorf("%s = %q", secret, q.Get(secret))
			}
		}
		state, nonce := q.Get("state"), q.Get("nonce")
		for _, secret := range []string{"state", "nonce", "code_challenge"} {
			q.Del(secret)
		}
		want := url.Values{
			"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {"http://agents.localhost:8080/verifier/return"}, "scope": {"openid profile email"},
			"code_challenge_method": {"S256"}, "acr_values": {"eidas2 eidas3"}, "max_age": {"3600"}, "ui_locales": {"fr"}, "prompt": {"login"},
		}
		if diff := cmp.Diff(want, q); diff != "" {
			t.Error(diff)
		}
		// Who reads the table cannot come back in somebody's place.
		f, err := s.Flow(t.Context(), flowID(hashOf(state)))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{state, nonce, cookie} {
			if strings.Contains(f.Data+f.ID, secret) {
				t.Error("a secret is in the table")
			}
		}
		// Several tabs share a cookie; what is no cookie of ours is not taken.
		if _, again := w.leave(Departure{Browser: cookie}); again != cookie {
			t.Error("another cookie")
		}
		for _, bad := range []string{"", "x", strings.Repeat("x", 42) + ";"} {
			if _, again := w.leave(Departure{Browser: bad}); again == bad || !wellFormed(again) {
				t.Errorf("cookie %q", again)
			}
		}
		for name, d := range map[string]Departure{
			"provider": {Provider: "no such"}, "purpose": {Purpose: "steal"}, "entrance": {Origin: parvis.Origin{Channel: "roof"}}, "level": {Level: "eidas9"},
		} {
			if _, _, err := w.link.Leave(t.Context(), w.full(d)); parvis.CodeOf(err) != parvis.CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		d := w.full(Departure{})
		d.Agent = ""
		if _, _, err := w.link.Leave(t.Context(), d); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("nobody: %v", err)
		}
		w.knows(Provider{ID: "compte", Issuer: "http://compte.example", ClientID: clientID})
		if _, _, err := w.link.Leave(t.Context(), w.full(Departure{})); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("in the clear: %v", err)
		}
	})
}

func TestSignOut(t *testing.T) {
	w := alone(t)
	o := newOutside(t, w.clock)
	w.knows(o.of(nil))
	if got := w.link.SignOut("compte", parvis.Mobile) + w.link.SignOut("no such", parvis.Mobile); got != "" {
		t.Errorf("%q before anything is known", got)
	}
	w.leave(Departure{})
	want := o.issuer + "/logout?client_id=parvis&of=parvis&post_logout_redirect_uri=" + url.QueryEscape("http://nomade.localhost:8081/verifier")
	if got := w.link.SignOut("compte", parvis.Mobile); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A provider knows us by a secret, in either of two places, or by a key.
func TestHowWeAreKnown(t *testing.T) {
	for _, auth := range []string{"", "client_secret_basic", "client_secret_post", "private_key_jwt"} {
		t.Run(auth, func(t *testing.T) {
			w := alone(t)
			o := newOutside(t, w.clock)
			o.auth = auth
			l := w.knows(o.of(nil))
			seen := map[string]bool{}
			if auth == "private_key_jwt" {
				o.assert = func(r *http.Request) bool { return asserted(t, l, o, r, seen) }
			}
			for range 2 {
				if a := w.trip(o, Departure{}); a.Reason.Code != "" {
					t.Errorf("%+v", a)
				}
			}
			if auth == "private_key_jwt" && len(seen) != 2 {
				t.Errorf("%d names for 2 assertions", len(seen))
			}
		})
	}
}

// asserted reads an assertion as a provider does (RFC 7523 §3).
func asserted(t *testing.T, l *Link, o *outside, r *http.Request, seen map[string]bool) bool {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(l.JWKS(), &set); err != nil {
		t.Error(err)
	}
	jws, err := jose.ParseSignedCompact(r.PostFormValue("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || r.PostFormValue("client_secret") != "" || r.Header.Get("Authorization") != "" {
		t.Error(err)
		return false
	}
	keys := set.Key(jws.Signatures[0].Header.KeyID)
	if len(keys) != 1 || keys[0].Use != "sig" {
		t.Errorf("keys %v", keys)
		return false
	}
	text, err := jws.Verify(&keys[0])
	if err != nil {
		t.Error(err)
		return false
	}
	var c struct {
		Iss, Sub, Aud, Jti string
		Iat, Exp           int64
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Error(err)
	}
	seen[c.Jti] = true
	now := o.clock.Now().Unix()
	return c.Iss == clientID && c.Sub == clientID && c.Aud == o.issuer && c.Iat == now && c.Exp == now+60 &&
		r.PostFormValue("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
}

// The trail is written or nothing is believed.
func TestNoTrailNoAnswer(t *testing.T) {
	w := alone(t)
	o := newOutside(t, w.clock)
	w.knows(o.of(nil))
	address, cookie := w.leave(Departure{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, err := w.link.Return(ctx, Arrival{Query: o.visit(t, address), Cookie: cookie, Origin: street()})
	if err == nil || a.Subject != "" || o.times("/token") != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}
