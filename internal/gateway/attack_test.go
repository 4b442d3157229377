package gateway

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis"
)

// said reads an assertion without checking its signature.
func said(t *testing.T, assertion string) (c claims) {
	t.Helper()
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no assertion", assertion)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	must(t, json.Unmarshal(payload, &c))
	return c
}

// The attack: 1. open an application on the internal network. 2. Copy its
// cookie. 3. Show it from the internet, where the same application is reduced.
func TestVisitIsOfOneEntrance(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "annuaire", Reduced: []parvis.Channel{parvis.Mobile}, Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Parvis-Assertion"))
	})})
	v := d.arrive(parvis.Internal)
	v.enter("annuaire", "/")
	res := v.get(d.url(parvis.Internal, "annuaire", "/"), nil)
	if c := said(t, res.body); c.Channel != parvis.Internal || c.Limited {
		t.Fatalf("inside: %+v", c)
	}
	cookies := v.Jar.(*jar).of
	cookies["annuaire."+d.hosts[parvis.Mobile]] = cookies["annuaire."+d.hosts[parvis.Internal]]
	for accept, want := range map[string]int{"text/html": http.StatusSeeOther, "application/json": http.StatusUnauthorized} {
		res := v.get(d.url(parvis.Mobile, "annuaire", "/"), http.Header{"Accept": {accept}})
		if res.StatusCode != want || strings.Count(res.body, ".") == 2 {
			t.Errorf("the cookie of another entrance, %s: %d %s", accept, res.StatusCode, res.body)
		}
	}
	if res := v.get(d.url(parvis.Internal, "annuaire", "/"), nil); res.StatusCode != http.StatusOK {
		t.Errorf("inside again: %d", res.StatusCode)
	}
}

// What was signed for one entrance is not shown for another.
func TestAssertionIsOfOneEntrance(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "annuaire", Reduced: []parvis.Channel{parvis.Mobile}, Upstream: app(t, echo)})
	v := d.arrive(parvis.Internal)
	v.enter("annuaire", "/")
	r, err := http.NewRequest(http.MethodGet, d.url(parvis.Internal, "annuaire", "/"), nil)
	must(t, err)
	for _, c := range v.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	visit, err := d.Keeper.At(r, "annuaire")
	must(t, err)
	for range 2 {
		for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile} {
			who, err := d.identity(context.Background(), d.app("annuaire"), visit, ch, d.clock.Now())
			must(t, err)
			if c := said(t, who.assertion[0]); c.Channel != ch || c.Limited != (ch == parvis.Mobile) || c.Issuer != d.Addresses.Portal(ch) {
				t.Errorf("through %s: %+v", ch, c)
			}
		}
	}
}

// The attack: keep the door from hearing what is decided elsewhere, while
// everything it remembers stays open.
func TestUnseenEventsCloseTheDoor(t *testing.T) {
	t.Parallel()
	d := newDoor(t, parvis.App{ID: "paie", Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun\n")
		if r.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})})
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	res, err := v.Get(d.url(parvis.Internal, "paie", "/stream"))
	must(t, err)
	defer res.Body.Close()
	stream := bufio.NewReader(res.Body)
	if line, err := stream.ReadString('\n'); err != nil || line != "begun\n" {
		t.Fatalf("%q, %v", line, err)
	}
	rename := func(from, to string, current bool) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(d.address, "sqlite:")+"?_pragma=busy_timeout(5000)")
		must(t, err)
		defer db.Close()
		_, err = db.ExecContext(context.Background(), "ALTER TABLE "+from+" RENAME TO "+to)
		must(t, err)
		for deadline := time.Now().Add(time.Minute); d.store.Current() != current; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("current is not %v after a minute", current)
			}
		}
	}
	rename("event", "hidden", false)
	for _, accept := range []string{"text/html", "application/json"} {
		res := v.get(d.url(parvis.Internal, "paie", "/"), http.Header{"Accept": {accept}})
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || strings.Contains(res.body, "begun") {
			t.Errorf("%s: %d %v %s", accept, res.StatusCode, res.Header, res.body)
		}
	}
	d.clock.Move(2 * time.Second)
	d.watch(context.Background())
	if _, err := stream.ReadByte(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v, as if it were whole", err)
	}
	rename("hidden", "event", true)
	if res := v.get(d.url(parvis.Internal, "paie", "/"), nil); res.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
}
