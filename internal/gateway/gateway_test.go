package gateway

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis"
	"parvis/internal/store"
)

func TestOpenAnApplication(t *testing.T) {
	up := app(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "own", Value: "kept"})
		http.SetCookie(w, &http.Cookie{Name: "parvis-app", Value: "planted"})
		w.Header().Set("Parvis-Until", "never")
		echo(w, r)
	})
	d := newDoor(t, parvis.App{ID: "paie", Upstream: up, Headers: true})
	v := d.arrive(parvis.Internal)
	if got, want := v.enter("paie", "/slips?month=3"), d.url(parvis.Internal, "paie", "/slips?month=3"); got != want {
		t.Fatalf("comes back to %q, want %q", got, want)
	}
	res := v.get(d.url(parvis.Internal, "paie", "/slips?a=1;b=%zz"), nil)
	host := "paie." + d.hosts[parvis.Internal]
	for _, want := range []string{
		"GET /slips?a=1;b=%zz host=" + host, "Remote-User: A100001\r", "Remote-Name: Zoé Müller-Lefèvre\r", "Remote-Email: zoe@example.org\r",
		"Remote-Groups: standard\r", "X-Forwarded-For: 127.0.0.1\r", "X-Forwarded-Host: " + host + "\r", "X-Forwarded-Proto: http\r",
	} {
		if !strings.Contains(res.body, want) {
			t.Errorf("the application did not receive %q:\n%s", want, res.body)
		}
	}
	if strings.Contains(res.body, "parvis-") {
		t.Errorf("a cookie of ours reached the application:\n%s", res.body)
	}
	var set []string
	for _, c := range res.Cookies() {
		set = append(set, c.Name)
	}
	if fmt.Sprint(set) != "[own]" || res.Header.Get("Parvis-Until") != "" || res.Header.Get("Content-Security-Policy") != "" {
		t.Errorf("the answer sets %v, headers %v", set, res.Header)
	}
	second := v.get(d.url(parvis.Internal, "paie", "/"), nil)
	if strings.Contains(second.body, "parvis") && strings.Contains(second.body, "Cookie: parvis") || !strings.Contains(second.body, "Cookie: own=kept\r") {
		t.Errorf("the application's own cookie did not come back alone:\n%s", second.body)
	}
	events, err := d.store.Events(context.Background(), store.EventFilter{Agent: "A100001", Limit: 100})
	must(t, err)
	if n := len(events); n != 3 { // imported, session.began, app.entered
		t.Errorf("%d events: going through writes", n)
	}
}

func TestAssertionIsVerifiable(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "paie", Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Parvis-Assertion"))
	}), Reduced: []parvis.Channel{parvis.Mobile}})
	d.ready()
	rec := httptest.NewRecorder()
	must(t, d.ServeKeys(rec, nil))
	var keys jose.JSONWebKeySet
	must(t, json.Unmarshal(rec.Body.Bytes(), &keys))
	v := d.arrive(parvis.Mobile)
	v.enter("paie", "/")
	first := v.get(d.url(parvis.Mobile, "paie", "/"), nil).body
	signed, err := jose.ParseSignedCompact(first, []jose.SignatureAlgorithm{jose.ES256})
	must(t, err)
	kid := signed.Signatures[0].Header.KeyID
	payload, err := signed.Verify(keys.Key(kid)[0].Key.(*ecdsa.PublicKey))
	must(t, err)
	var c claims
	must(t, json.Unmarshal(payload, &c))
	now := d.clock.Now().Unix()
	if c.Issuer != d.Addresses.Portal(parvis.Mobile) || c.Audience != "paie" || c.Subject != "A100001" || c.Email != "zoe@example.org" ||
		c.Channel != parvis.Mobile || !c.Limited || c.Issued != now || c.Expires > now+300 || c.Expires <= now || fmt.Sprint(c.Methods) != "[pwd]" || c.Level != "eidas1" || c.ID == "" {
		t.Errorf("claims %+v", c)
	}
	if v.get(d.url(parvis.Mobile, "paie", "/"), nil).body != first {
		t.Error("signed twice for two requests")
	}
	d.clock.Move(4*time.Minute + time.Second)
	if v.get(d.url(parvis.Mobile, "paie", "/"), nil).body == first {
		t.Error("an assertion is handed out with less than a minute left")
	}
}

func TestRefusals(t *testing.T) {
	d := newDoor(t,
		parvis.App{ID: "paie", Upstream: app(t, echo)},
		parvis.App{ID: "finances", Upstream: app(t, echo), Entitled: true},
		parvis.App{ID: "urbanisme", Upstream: app(t, echo), Channels: []parvis.Channel{parvis.Internal}})
	v := d.arrive(parvis.Mobile)
	v.enter("finances", "/")
	v.enter("urbanisme", "/")
	page := http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}}
	program := http.Header{"Accept": {"application/json"}}
	fetch := http.Header{"Sec-Fetch-Mode": {"cors"}, "Accept": {"*/*"}}
	why := d.Addresses.Portal(parvis.Mobile) + "/why/"

	first := v.get(d.url(parvis.Mobile, "urbanisme", "/"), page)
	location := first.Header.Get("Location")
	if first.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, why) {
		t.Fatalf("refused to a person: %d to %q", first.StatusCode, location)
	}
	kept, err := d.Counter.Look(context.Background(), strings.TrimPrefix(location, why))
	must(t, err)
	if !kept.Decision.Has(parvis.WhyChannelNotAllowed) || kept.App != "urbanisme" || kept.Agent != "A100001" || kept.Facts.State != parvis.Active || len(kept.Decision.Ways) == 0 {
		t.Errorf("kept %+v", kept)
	}
	if again := v.get(d.url(parvis.Mobile, "urbanisme", "/elsewhere"), page).Header.Get("Location"); again != location {
		t.Errorf("told again: %q, then %q", location, again)
	}
	if posted := v.send(http.MethodPost, d.url(parvis.Mobile, "urbanisme", "/"), strings.NewReader("a=b"), page); posted.StatusCode != http.StatusSeeOther {
		t.Errorf("a form sent by a person: %d", posted.StatusCode)
	}
	for _, h := range []http.Header{program, fetch} {
		res := v.get(d.url(parvis.Mobile, "finances", "/"), h)
		var problem struct {
			Type      string
			Status    int
			Reference parvis.Reference
			Reasons   []struct{ Code parvis.ReasonCode }
		}
		must(t, json.Unmarshal([]byte(res.body), &problem))
		if res.StatusCode != http.StatusForbidden || res.Header.Get("Content-Type") != "application/problem+json" || problem.Status != 403 ||
			problem.Type != "urn:parvis:reason:app_not_assigned" || problem.Reference == "" || len(problem.Reasons) == 0 {
			t.Errorf("refused to a program: %d %s", res.StatusCode, res.body)
		}
	}

	nobody := &visitor{Client: d.client(), d: d, ch: parvis.Internal}
	for name, c := range map[string]struct {
		method string
		header http.Header
		status int
	}{
		"a program":        {http.MethodGet, program, http.StatusUnauthorized},
		"a page's fetch":   {http.MethodGet, fetch, http.StatusUnauthorized},
		"a form":           {http.MethodPost, page, http.StatusUnauthorized},
		"a person":         {http.MethodGet, page, http.StatusSeeOther},
		"a bare request":   {http.MethodGet, nil, http.StatusSeeOther},
		"a WebSocket":      {http.MethodGet, http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}, http.StatusUnauthorized},
		"a page's picture": {http.MethodGet, http.Header{"Sec-Fetch-Mode": {"no-cors"}}, http.StatusUnauthorized},
	} {
		res := nobody.send(c.method, d.url(parvis.Internal, "paie", "/"), nil, c.header)
		if res.StatusCode != c.status {
			t.Errorf("%s without a session: %d, want %d", name, res.StatusCode, c.status)
		}
		if c.status == http.StatusUnauthorized && !strings.Contains(res.body, d.Addresses.Portal(parvis.Internal)+"/signin") {
			t.Errorf("%s is not told where to sign in: %s", name, res.body)
		}
	}
	if res := nobody.get(d.url(parvis.Internal, "inconnue", "/"), nil); res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("an unknown application: %d", res.StatusCode)
	}
	if res := nobody.get(d.url(parvis.Internal, "paie", "/.parvis/other"), nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown path of ours: %d", res.StatusCode)
	}
}

// The attack: 1. from the internet, name the internal portal's host. 2. Claim
// to be inside in every header there is.
func TestEntranceIsNotClaimed(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "urbanisme", Upstream: app(t, echo), Channels: []parvis.Channel{parvis.Internal}})
	v := d.arrive(parvis.Internal)
	v.enter("urbanisme", "/")
	cookies := v.Jar.(*jar).of["urbanisme."+d.hosts[parvis.Internal]]
	_, port, _ := net.SplitHostPort(d.hosts[parvis.Mobile])
	for _, h := range []http.Header{
		{},
		{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"urbanisme.agents.localhost"}, "Forwarded": {"for=10.0.0.1"}, "Parvis-Channel": {"internal"}, "X-Real-Ip": {"10.0.0.1"}},
		{"Sec-Fetch-Mode": {"cors"}},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+"/", nil)
		must(t, err)
		r.Header = h.Clone()
		r.Host = "urbanisme." + d.hosts[parvis.Internal]
		for name, value := range cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		res, err := v.Do(r)
		must(t, err)
		must(t, res.Body.Close())
		want := http.StatusSeeOther
		if h.Get("Sec-Fetch-Mode") != "" {
			want = http.StatusMisdirectedRequest
		}
		if res.StatusCode != want {
			t.Errorf("%v: %d, want %d", h, res.StatusCode, want)
		}
		if to := res.Header.Get("Location"); want == http.StatusSeeOther && to != d.Addresses.Portal(parvis.Mobile)+"/?reason=internal_address_outside" {
			t.Errorf("%v: led to %q", h, to)
		}
	}
}

func TestTickets(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "paie", Upstream: app(t, echo)}, parvis.App{ID: "conges", Upstream: app(t, echo)})
	v := d.arrive(parvis.Internal)
	location := v.get(d.url(parvis.Internal, "paie", "/a"), nil).Header.Get("Location")
	ticket := v.ticket(location)
	enter := func(v *visitor, app parvis.AppID, ticket string) answer {
		return v.get(d.url(parvis.Internal, app, "/.parvis/enter?ticket="+ticket), nil)
	}
	if res := enter(v, "conges", ticket); res.StatusCode != http.StatusForbidden {
		t.Errorf("at another host: %d", res.StatusCode)
	}
	thief := &visitor{Client: d.client(), d: d, ch: parvis.Internal}
	if res := enter(thief, "paie", ticket); res.StatusCode != http.StatusForbidden || len(res.Cookies()) != 0 {
		t.Errorf("in a browser that did not ask: %d, sets %v", res.StatusCode, res.Cookies())
	}
	thief.get(d.url(parvis.Internal, "paie", "/"), nil)
	if res := enter(thief, "paie", ticket); res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 0 || res.Header.Get("Location") != d.url(parvis.Internal, "paie", "/a") {
		t.Errorf("in a browser that asked for itself: %d to %q, sets %v", res.StatusCode, res.Header.Get("Location"), res.Cookies())
	}
	if res := enter(v, "paie", ticket); res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
		t.Fatalf("in its own browser: %d, sets %v", res.StatusCode, res.Cookies())
	}
	if res := enter(v, "paie", ticket); res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 0 {
		t.Errorf("a second time: %d, sets %v", res.StatusCode, res.Cookies())
	}
	late := v.ticket(location)
	d.clock.Move(31 * time.Second)
	if res := enter(v, "paie", late); res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 0 {
		t.Errorf("after its time: %d, sets %v", res.StatusCode, res.Cookies())
	}
	if res := enter(v, "paie", "nonsense"); res.StatusCode != http.StatusForbidden {
		t.Errorf("nonsense: %d", res.StatusCode)
	}
}

// The attack: 1. write an address that a browser reads as another host. 2. Have
// the victim sign in there.
func TestReturnIsNeverElsewhere(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "paie", Upstream: app(t, echo)})
	for _, path := range []string{
		"//evil.example", "//evil.example/%2f..", "/%5cevil.example", "///evil.example", "/%09/evil.example", "/%2f%2fevil.example", "/%0d%0aLocation:%20//evil.example",
		"/.parvis/enter?ticket=x", "/..//evil.example", "/@evil.example", "/a?next=//evil.example", "/é",
	} {
		v := d.arrive(parvis.Internal)
		var to string
		if strings.HasPrefix(path, "/.parvis/") {
			continue
		}
		if to = v.enter("paie", path); !strings.HasPrefix(to, d.Addresses.App(parvis.Internal, "paie")+"/") {
			t.Errorf("%q leads to %q", path, to)
		}
	}
}

func TestApplicationDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	d := newDoor(t, parvis.App{ID: "paie", Upstream: "http://" + l.Addr().String()})
	must(t, l.Close())
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	if _, down := d.Down("paie"); down {
		t.Error("down before anybody tried")
	}
	res := v.get(d.url(parvis.Internal, "paie", "/"), nil)
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), d.Addresses.Portal(parvis.Internal)+"/why/") {
		t.Errorf("to a person: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	program := v.get(d.url(parvis.Internal, "paie", "/"), http.Header{"Accept": {"application/json"}})
	if program.StatusCode != http.StatusServiceUnavailable || program.Header.Get("Retry-After") == "" || !strings.Contains(program.body, "app_down") || !strings.Contains(program.body, `"reference"`) {
		t.Errorf("to a program: %d %s", program.StatusCode, program.body)
	}
	since, down := d.Down("paie")
	if !down || !since.Equal(d.clock.Now()) {
		t.Errorf("down since %v, %v", since, down)
	}
	probe := func(until func() bool) {
		t.Helper()
		for range 500 {
			d.app("paie").probe(context.Background(), d.clock.Now)
			if until() {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Error("looking again found nothing out")
	}
	probe(func() bool { _, sure := d.app("paie").health.confirmed(); return sure })
	if res := v.get(d.url(parvis.Internal, "paie", "/"), http.Header{"Accept": {"application/json"}}); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while known to be down: %d", res.StatusCode)
	}
	again, err := net.Listen("tcp", l.Addr().String())
	must(t, err)
	server := &httptest.Server{Listener: again, Config: &http.Server{Handler: http.HandlerFunc(echo)}} //nolint:gosec // a test
	server.Start()
	defer server.Close()
	d.clock.Move(6 * time.Second)
	probe(func() bool { _, down := d.Down("paie"); return !down })
	if res := v.get(d.url(parvis.Internal, "paie", "/"), nil); res.StatusCode != http.StatusOK {
		t.Errorf("up again: %d", res.StatusCode)
	}
}

func TestFactsThatChangeAreDecidedAgain(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "finances", Upstream: app(t, echo), Entitled: true})
	v := d.arrive(parvis.Internal)
	v.enter("finances", "/")
	status := func() int { return v.get(d.url(parvis.Internal, "finances", "/"), nil).StatusCode }
	entitle := func(on bool) {
		d.write(func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "agent.entitled", Agent: "A100001", Actor: "system"})
			if on {
				return tx.PutGiven(context.Background(), "A100001", store.Given{Kind: store.GivenEntitlement, Name: "finances"})
			}
			_, err := tx.DropGiven(context.Background(), "A100001", store.GivenEntitlement, "finances")
			return err
		})
	}
	if status() != http.StatusSeeOther {
		t.Fatal("open without an entitlement")
	}
	entitle(true)
	for range 2 { // decided, then held
		if status() != http.StatusOK {
			t.Fatal("not open with the entitlement")
		}
	}
	entitle(false)
	if status() != http.StatusSeeOther {
		t.Error("open although the entitlement was taken away")
	}
	entitle(true)
	if status() != http.StatusOK {
		t.Fatal("not open again")
	}
	d.Held.Clear()
	if status() != http.StatusOK {
		t.Error("not open after what was held was forgotten")
	}
	d.clock.Move(61 * time.Minute)
	if res := v.get(d.url(parvis.Internal, "finances", "/"), nil); !strings.Contains(res.Header.Get("Location"), "/signin?return=") {
		t.Errorf("after an hour unused: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
}

func TestEndOfSessionCutsAStream(t *testing.T) {
	for name, end := range map[string]func(d *door, v *visitor){
		"signed out": func(d *door, v *visitor) {
			d.write(func(tx *store.Tx) error { return d.Keeper.End(tx, v.sess.ID, "signed_out") })
		},
		"entitlement taken away": func(d *door, _ *visitor) {
			d.write(func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "agent.entitled", Agent: "A100001", Actor: "system"})
				_, err := tx.DropGiven(context.Background(), "A100001", store.GivenEntitlement, "finances")
				return err
			})
		},
		"unused for too long": func(d *door, _ *visitor) { d.clock.Move(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, parvis.App{ID: "finances", Entitled: true, Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "begun\n")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})})
			d.write(func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "agent.entitled", Agent: "A100001", Actor: "system"})
				return tx.PutGiven(context.Background(), "A100001", store.Given{Kind: store.GivenEntitlement, Name: "finances"})
			})
			v := d.arrive(parvis.Internal)
			v.enter("finances", "/")
			res, err := v.Get(d.url(parvis.Internal, "finances", "/stream"))
			must(t, err)
			defer res.Body.Close()
			body := bufio.NewReader(res.Body)
			if line, err := body.ReadString('\n'); err != nil || line != "begun\n" {
				t.Fatalf("%q, %v", line, err)
			}
			d.clock.Move(2 * time.Second)
			d.watch(context.Background())
			end(d, v)
			d.watch(context.Background())
			if _, err := body.ReadByte(); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("the stream ended with %v, as if it were whole", err)
			}
		})
	}
}
