package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sync/errgroup"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/config"
	"parvis/internal/demo"
	"parvis/internal/edge"
)

type demoCommand struct {
	Data     string `placeholder:"DIR" help:"Keep the city in this folder; without it, a temporary one removed at exit."`
	Reset    bool   `help:"Empty the folder first."`
	BasePort int    `default:"8080" help:"First of the five ports in a row."`
	Verbose  bool   `help:"Log on standard error."`
	Webmail  string `placeholder:"URL" help:"Open this webmail as messagerie in place of the small inbox (deploy/webmail)."`
	Deliver  string `placeholder:"HOST:PORT" help:"Pass mail to *@example.org on to this LMTP server too (deploy/webmail)."`
	SMTPPort int    `name:"smtp-port" placeholder:"PORT" help:"Where the letter box takes mail on the loopback interface; any free port by default (deploy/webmail)."`
}

// marker is in every folder that a demonstration made: --reset empties no other.
const marker = "parvis-demo"

func (c *demoCommand) Run(con *console) error {
	began := time.Now()
	if c.BasePort < 1 || c.BasePort > 65530 {
		return usage{fmt.Errorf("--base-port %d: five ports in a row are needed below 65536", c.BasePort)}
	}
	dir, leave, err := c.folder()
	if err != nil {
		return err
	}
	defer leave()
	if err := c.casesIn(dir); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if c.Verbose {
		log = slog.New(slog.NewTextHandler(con.err, nil))
	}
	ctx, stop := context.WithCancel(con.ctx)
	defer stop()
	work, ctx := errgroup.WithContext(ctx)
	t := &town{demoCommand: c, log: log, clock: demo.OpenClock(c.Data), work: work}
	cfg, err := t.found(ctx, dir)
	if err != nil {
		return err
	}
	h, err := build(ctx, cfg, t.clock.Now, log)
	if err != nil {
		return err
	}
	if _, err := h.embedded.Handler(); err != nil { // its accounts are opened before its pages
		return errors.Join(err, h.close())
	}
	city := &demo.City{
		Store: h.store, Directory: h.directory, Vault: h.vault, Desk: h.desk, Clock: t.clock.Now, Zone: h.zone,
		Dir: dir, Issuer: cfg.Verifier.Embedded.Address, Account: h.embedded.Add,
	}
	if t.people, err = city.Settle(ctx); err != nil {
		return errors.Join(err, h.close())
	}
	s, err := h.open(operations{extra: t.operations, local: true})
	if err != nil {
		return errors.Join(taken(err), h.close())
	}
	work.Go(func() error { return s.run(ctx) })
	t.print(con, time.Since(began))
	err = work.Wait()
	return errors.Join(err, h.close())
}

// folder gives the folder of the city and what to do with it at the end.
func (c *demoCommand) folder() (string, func(), error) {
	if c.Data == "" {
		dir, err := os.MkdirTemp("", "parvis-demo-")
		return dir, func() { _ = os.RemoveAll(dir) }, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return "", nil, err
	}
	entries, err := os.ReadDir(c.Data)
	if err != nil {
		return "", nil, err
	}
	ours := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == marker })
	if len(entries) > 0 && !ours {
		return "", nil, fmt.Errorf("%s holds something else than a city of the demonstration: it is left as it is", c.Data)
	}
	// The mark is also the lock: one city in a folder, and no reset under its feet.
	mark, err := os.OpenFile(filepath.Join(c.Data, marker), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	leave := func() { _ = mark.Close() } // which also unlocks
	if err := syscall.Flock(int(mark.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		leave()
		return "", nil, fmt.Errorf("a city runs in %s already", c.Data)
	}
	if c.Reset {
		for _, e := range entries {
			if e.Name() == marker {
				continue
			}
			if err := os.RemoveAll(filepath.Join(c.Data, e.Name())); err != nil {
				leave()
				return "", nil, err
			}
		}
	}
	return c.Data, leave, nil
}

// casesIn writes the shipped decision cases beside the configuration, where
// `parvis policy test` looks for them.
func (c *demoCommand) casesIn(dir string) error {
	cases, err := access.ShippedCases()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "cases"), 0o700); err != nil {
		return err
	}
	for _, f := range cases {
		if err := os.WriteFile(filepath.Join(dir, "cases", f.Name), f.Text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// town is what surrounds the house: the applications, the letter box, the clock.
type town struct {
	*demoCommand
	log    *slog.Logger
	clock  *demo.Clock
	people []demo.Person
	work   *errgroup.Group
}

// found starts what is around the house and writes the configuration that ties
// them together, a file like any other.
func (t *town) found(ctx context.Context, dir string) (*config.Config, error) {
	c := config.Default()
	c.Organisation.Name = "Ville d'Exemple"
	c.Organisation.Contacts = contacts()
	c.Data = dir
	c.Portals = config.Portals{
		Internal: fmt.Sprintf("http://agents.localhost:%d", t.BasePort),
		Mobile:   fmt.Sprintf("http://nomade.localhost:%d", t.BasePort+1),
	}
	c.Entrances = []config.Entrance{
		{Channel: string(parvis.Internal), Listen: t.loopback(0)},
		{Channel: string(parvis.Mobile), Listen: t.loopback(1)},
	}
	c.Operations = t.loopback(4)
	account := config.Words{FR: "Mon Compte", EN: "Mon Compte"}
	c.Verifier = config.Verifier{
		Label: account, Rules: []config.Rule{{Mode: string(parvis.VerifierFirst)}},
		Embedded: config.Embedded{
			Listen: t.loopback(2), Address: fmt.Sprintf("http://moncompte.localhost:%d", t.BasePort+2), Label: account,
			Owner: config.Words{FR: "le service des habitants", EN: "the residents' service"},
			Delay: config.Words{FR: "une heure, les jours ouvrés", EN: "one hour, on working days"},
		},
	}
	box := &demo.Letterbox{Clock: t.clock.Now, Deliver: t.Deliver, Log: t.log}
	smtp, err := t.listen(ctx, fmt.Sprintf("127.0.0.1:%d", t.SMTPPort), func(ctx context.Context, l net.Listener) error { return box.ServeSMTP(ctx, l) })
	if err != nil {
		return nil, err
	}
	c.Mail = config.Mail{Server: smtp, TLS: "none", From: "acces@example.org", Name: "Ville d'Exemple, accès des agents"}
	messages, err := t.serve(ctx, t.loopback(3), loopbackOnly(box.Handler()))
	if err != nil {
		return nil, err
	}
	c.SMS.Providers = []config.SMSProvider{{
		Kind: "http", URL: "http://" + messages + "/sms", Headers: []config.Header{{Name: "Content-Type", Value: "application/json"}},
		Body: `{"to":"{to}","text":"{text}","id":"{id}"}`, Pointer: "/status", Equals: "accepted", Receipt: "/id",
	}}
	keys := fmt.Sprintf("http://agents.localhost:%d/.well-known/jwks.json", t.BasePort)
	c.Organisation.SIRET = "21750001600019"
	c.Outbound = []string{"127.0.0.0/8"} // everything of this city is on this machine
	webmail := demo.Webmail{Upstream: t.Webmail}
	for _, origin := range []string{c.Portals.Internal, c.Portals.Mobile} {
		webmail.Origins = append(webmail.Origins, strings.Replace(origin, "://", "://messagerie.", 1))
	}
	for _, app := range webmail.In(demo.Apps()) {
		if app.Upstream == "" && app.OIDC == nil {
			a := &demo.Application{App: app, Keys: keys, Clock: t.clock.Now, HTTP: loopbackClient()}
			address, err := t.serve(ctx, "127.0.0.1:0", a.Handler())
			if err != nil {
				return nil, err
			}
			app.Upstream = "http://" + address
		}
		c.Applications = append(c.Applications, config.AppOf(app))
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "parvis.yaml")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return nil, err
	}
	loaded, faults, err := config.Load(name)
	if err != nil {
		return nil, err
	}
	for _, f := range faults {
		if !f.Warning {
			return nil, fmt.Errorf("the city's own configuration: %s", f)
		}
	}
	return loaded, nil
}

func (t *town) loopback(n int) string { return fmt.Sprintf("127.0.0.1:%d", t.BasePort+n) }

// listen serves on an address until ctx ends, and tells the real address.
func (t *town) listen(ctx context.Context, address string, serve func(context.Context, net.Listener) error) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", taken(err)
	}
	t.work.Go(func() error { return serve(ctx, l) })
	return l.Addr().String(), nil
}

func (t *town) serve(ctx context.Context, address string, h http.Handler) (string, error) {
	s, err := edge.ListenPlain(address, h, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", taken(err)
	}
	t.work.Go(func() error { return s.Serve(ctx) })
	return s.Address(), nil
}

// taken says what to do about a port that is in use.
func taken(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; five ports in a row are needed: choose the first with --base-port", err)
	}
	return err
}

// loopbackClient finds every *.localhost on this machine (RFC 6761 §6.3),
// whatever the resolver of the machine knows.
func loopbackClient() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dial}}
}

func names(all []parvis.Channel) []string {
	var out []string
	for _, ch := range all {
		out = append(out, string(ch))
	}
	return out
}

func contacts() []config.Contact {
	hours := config.Words{FR: "du lundi au vendredi, 8 h à 18 h", EN: "Monday to Friday, 8:00 to 18:00"}
	return []config.Contact{
		{Role: "support_desk", Name: config.Words{FR: "l'assistance informatique", EN: "the support desk"}, Phone: "01 99 00 12 34", Email: "assistance@example.org", Hours: hours, Open: "08:00", Close: "18:00"},
		{Role: "it_contact", Name: config.Words{FR: "Denis Caron", EN: "Denis Caron"}, Phone: "01 99 00 12 40", Email: "denis.caron@example.org", Hours: hours, Open: "08:00", Close: "18:00"},
		{Role: "verifier_owner", Name: config.Words{FR: "le service des habitants", EN: "the residents' service"}, Phone: "01 99 00 12 60", Email: "moncompte@example.org", Hours: hours, Open: "08:00", Close: "18:00"},
		{Role: "hr_unit", Name: config.Words{FR: "le service des ressources humaines", EN: "the HR unit"}, Phone: "01 99 00 12 50", Email: "rh@example.org", Hours: hours, Open: "08:00", Close: "18:00"},
	}
}

// operations are the demonstration's own: its clock, and what each agent holds.
func (t *town) operations(mux *http.ServeMux) {
	protect := http.NewCrossOriginProtection()
	handle := func(pattern string, f http.HandlerFunc) { mux.Handle(pattern, protect.Handler(loopbackOnly(f))) }
	handle("POST /demo/clock", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Now time.Time `json:"now"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&in); err != nil || in.Now.IsZero() {
			status(w, http.StatusBadRequest, `{"now":"2026-11-24T10:00:00+01:00"} is expected`)
			return
		}
		if err := t.clock.Set(in.Now); err != nil {
			status(w, http.StatusBadRequest, "the clock did not move: "+plain(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]time.Time{"now": t.clock.Now().UTC().Truncate(time.Second)}) // likewise
	})
	handle("GET /demo/agents", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(t.people) // a reader who left needs nothing
	})
}

// loopbackOnly answers requests for this machine's own names: a page elsewhere
// whose name was made to lead here (DNS rebinding) learns nothing.
func loopbackOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if host != "127.0.0.1" && host != "::1" && host != "localhost" && !strings.HasSuffix(host, ".localhost") {
			status(w, http.StatusMisdirectedRequest, "not a name of this machine")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// print tells a newcomer what there is to try.
func (t *town) print(con *console, took time.Duration) {
	var b strings.Builder
	fmt.Fprintf(&b, `
A fictional city is open on this machine.

  Internal workstation   http://agents.localhost:%d
  Mobile portal          http://nomade.localhost:%d
  Mon Compte (verifier)  http://moncompte.localhost:%d
  Messages received      http://messages.localhost:%d
  Operations             http://127.0.0.1:%d/healthz, /readyz, /metrics

`, t.BasePort, t.BasePort+1, t.BasePort+2, t.BasePort+3, t.BasePort+4)
	rows := [][]string{}
	for _, p := range t.people {
		secret := p.Password
		if p.ActivationCode != "" {
			secret = "activation code " + p.ActivationCode
		}
		account := ""
		if p.Verifier != nil {
			account = p.Verifier.Email + " / " + p.Verifier.Password
		}
		rows = append(rows, []string{"  " + string(p.Number), p.Name, string(p.Profile), secret, p.TOTPSecret, account})
	}
	_ = table(&b, []string{"  agent", "name", "profile", "password", "authenticator", "Mon Compte"}, rows) // a strings.Builder takes everything
	fmt.Fprintf(&b, `
An authenticator's secret goes into any application that makes codes.
Try: sign in as A100001 on the mobile portal, open the pay slips, then finance. Stop with Ctrl-C.

ready in %d ms
`, took.Milliseconds())
	fmt.Fprint(con.out, b.String())
}
