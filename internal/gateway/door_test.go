package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door is a front door with one agent, A100001, two entrances and the
// applications of a test behind it.
type door struct {
	*Gateway
	t       testing.TB
	clock   *storetest.Clock
	store   *store.Store
	address string                    // of the store
	hosts   map[parvis.Channel]string // of the portals
	listen  map[string]string         // host → address
}

// newDoor opens a door in front of applications. Each opens through every
// entrance unless it says otherwise.
func newDoor(t testing.TB, apps ...parvis.App) *door {
	t.Helper()
	clock := new(storetest.Clock)
	address := "sqlite:" + filepath.Join(t.TempDir(), "parvis.db")
	s := storetest.Open(t, address, clock)
	d := &door{t: t, clock: clock, store: s, address: address, hosts: map[parvis.Channel]string{}, listen: map[string]string{}}
	origins, listeners := map[parvis.Channel]string{}, map[parvis.Channel]net.Listener{}
	for ch, name := range map[parvis.Channel]string{parvis.Internal: "agents.localhost", parvis.Mobile: "nomade.localhost"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		listeners[ch], d.hosts[ch], origins[ch] = l, name+":"+port, "http://"+name+":"+port
	}
	addresses, err := parvis.NewAddresses(origins)
	must(t, err)
	keys, err := seal.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	must(t, err)
	catalog, err := text.Load()
	must(t, err)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	d.Gateway = &Gateway{
		Policy: policyOf(t, apps), Held: access.NewHeld(1024), Keys: keys, Addresses: addresses, Clock: clock.Now, Log: log,
		Directory: &directory.Directory{Store: s, Clock: clock.Now, Zone: time.UTC},
		Keeper:    &session.Keeper{Store: s, Keys: keys, Addresses: addresses, Clock: clock.Now, Log: log},
		Counter:   &helpdesk.Counter{Store: s, Clock: clock.Now},
	}
	portal := http.NewServeMux()
	portal.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "portal") })
	d.Edge = &edge.Edge{Addresses: addresses, Catalog: catalog, Clock: clock.Now, Log: log, Portal: portal, Apps: d.Gateway, Verify: http.HandlerFunc(d.Verify), Metrics: edge.NewMetrics()}
	for ch, l := range listeners {
		server := &httptest.Server{Listener: l, Config: edge.NewHTTPServer(d.Edge.Handler(edge.Entrance{Channel: ch, Local: true}), log)}
		server.Start()
		t.Cleanup(server.Close)
	}
	t.Cleanup(func() {
		for _, up := range *d.table.Load() {
			if up.transport != nil {
				up.transport.CloseIdleConnections()
			}
		}
	})
	d.write(func(tx *store.Tx) error {
		ctx := context.Background()
		a := &parvis.Agent{
			Number: "A100001", GivenNames: "Zoé", FamilyName: "Müller-Lefèvre", Email: "zoe@example.org", Unit: "VILLE/DRH",
			ContractFrom: clock.Now().AddDate(-1, 0, 0), Employer: "21750001600019", Category: "tenured",
		}
		if err := tx.PutAgents(ctx, []*parvis.Agent{a}); err != nil {
			return err
		}
		tx.Record(parvis.Event{Kind: "agent.imported", Agent: a.Number, Actor: "system"})
		return tx.PutPassword(ctx, store.Password{Agent: a.Number, PHC: "$none$", Since: clock.Now()})
	})
	return d
}

func policyOf(t testing.TB, apps []parvis.App) *access.Policy {
	t.Helper()
	for i := range apps {
		apps[i].Name = parvis.Words{FR: string(apps[i].ID), EN: string(apps[i].ID)}
		if apps[i].Channels == nil {
			apps[i].Channels = parvis.Channels()
		}
	}
	hours, err := access.OfficeHours("Europe/Paris")
	must(t, err)
	policy, err := access.New(access.Catalog{Apps: apps, Calendar: hours, Profiles: []parvis.Profile{{ID: parvis.Standard}}})
	must(t, err)
	return policy
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *door) write(f func(tx *store.Tx) error) {
	d.t.Helper()
	must(d.t, d.store.Write(context.Background(), f))
}

// url gives an address of an application through an entrance.
func (d *door) url(ch parvis.Channel, app parvis.AppID, path string) string {
	return d.Addresses.App(ch, app) + path
}

// visitor is a browser that does what it is told and follows nothing.
type visitor struct {
	*http.Client
	d    *door
	sess parvis.Session
	ch   parvis.Channel
}

// arrive signs an agent in through an entrance.
func (d *door) arrive(ch parvis.Channel) *visitor {
	d.t.Helper()
	v := &visitor{d: d, ch: ch}
	d.write(func(tx *store.Tx) error {
		var err error
		_, v.sess, err = d.Keeper.Begin(tx, session.Beginning{
			Agent: "A100001", Origin: parvis.Origin{Channel: ch, Address: "127.0.0.1"},
			Proofs: []parvis.Proof{{Kind: parvis.Password, At: tx.Now()}},
		})
		return err
	})
	v.Client = d.client()
	return v
}

// client is a browser without a session; every name leads to this machine.
func (d *door) client() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(address)
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	t := &http.Transport{DialContext: dial, DisableCompression: true}
	d.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{
		Transport: t, Jar: newJar(), Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// enter walks into an application as a browser would: asked to sign in, through
// the portal, back with a ticket. It gives the address of the last redirect.
func (v *visitor) enter(app parvis.AppID, path string) string {
	v.d.t.Helper()
	v.d.ready()
	if up := v.d.app(app); up != nil && up.proxy == nil { // another proxy serves it, and leads here
		path = session.Own + "begin?to=" + url.QueryEscape(path)
	}
	res := v.get(v.d.url(v.ch, app, path), nil)
	location := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, v.d.Addresses.Portal(v.ch)+"/signin?return=") {
		v.d.t.Fatalf("without a visit: %d to %q", res.StatusCode, location)
	}
	res = v.get(v.d.url(v.ch, app, "/.parvis/enter?ticket="+url.QueryEscape(v.ticket(location))), nil)
	if res.StatusCode != http.StatusSeeOther {
		v.d.t.Fatalf("with its ticket: %d %s", res.StatusCode, res.body)
	}
	return res.Header.Get("Location")
}

// ticket is what the portal does at /enter?return=….
func (v *visitor) ticket(location string) string {
	v.d.t.Helper()
	u, err := url.Parse(location)
	must(v.d.t, err)
	to, err := v.d.Keeper.Asked(u.Query().Get("return"))
	must(v.d.t, err)
	host := strings.TrimPrefix(v.d.Addresses.App(v.ch, to.App), "http://")
	ticket, err := v.d.Keeper.Ticket(v.sess, to.App, host, to.Path)
	must(v.d.t, err)
	return ticket
}

type answer struct {
	*http.Response
	body string
}

func (v *visitor) get(url string, header http.Header) answer {
	v.d.t.Helper()
	return v.send(http.MethodGet, url, nil, header)
}

func (v *visitor) send(method, url string, body io.Reader, header http.Header) answer {
	v.d.t.Helper()
	r, err := http.NewRequest(method, url, body)
	must(v.d.t, err)
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := v.Do(r)
	must(v.d.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(v.d.t, err)
	return answer{res, string(b)}
}

// app serves an application of a test.
func app(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// echo tells what reached the application.
func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprintf(w, "%s %s host=%s\n", r.Method, r.URL.RequestURI(), r.Host)
	_ = r.Header.Write(w)
}

// jar keeps cookies per host and port: those of a browser do not look at the
// port, and these tests tell hosts apart by name anyway.
type jar struct{ of map[string]map[string]string }

func newJar() *jar { return &jar{of: map[string]map[string]string{}} }

func (j *jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	if j.of[u.Host] == nil {
		j.of[u.Host] = map[string]string{}
	}
	for _, c := range cookies {
		j.of[u.Host][c.Name] = c.Value
	}
}

func (j *jar) Cookies(u *url.URL) []*http.Cookie {
	var all []*http.Cookie
	for name, value := range j.of[u.Host] {
		all = append(all, &http.Cookie{Name: name, Value: value})
	}
	return all
}
