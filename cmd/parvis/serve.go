package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/config"
	"parvis/internal/edge"
	"parvis/internal/gateway"
	"parvis/internal/page"
	"parvis/internal/portal"
	"parvis/internal/store"
	"parvis/internal/text"
)

type serveCommand struct {
	Config string `short:"c" placeholder:"FILE" default:"parvis.yaml" help:"Configuration file."`
}

// firstRun is what a newcomer reads when there is nothing to serve yet.
const firstRun = `There is no %[1]s here yet.

  parvis config init %[1]s      writes a complete, commented file to begin with
  parvis config check -c %[1]s  reports every fault of it, with its line
  parvis serve -c %[1]s         serves
  parvis agent import HR.csv --dry-run -c %[1]s
                                shows what your HR file would bring
  parvis admin grant NUMBER it_department -c %[1]s
                                makes the first administrator

To see a whole city before that: parvis demo
`

func (c *serveCommand) Run(con *console) error {
	if _, err := os.Stat(c.Config); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(con.err, firstRun, c.Config)
		return unmet{}
	}
	began := time.Now()
	cfg, err := (place{Config: c.Config}).load(con)
	if err != nil {
		return err
	}
	log := logger(con, cfg.Log)
	h, err := build(con.ctx, cfg, time.Now, log)
	if err != nil {
		return err
	}
	s, err := h.open(operations{})
	if err != nil {
		return errors.Join(err, h.close())
	}
	log.Info("ready", "took", time.Since(began), "entrances", s.addresses())
	fmt.Fprintf(con.out, "ready in %d ms\n", time.Since(began).Milliseconds())
	return errors.Join(s.run(con.ctx), h.close())
}

func logger(con *console, c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked by config
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(con.err, o))
	}
	return slog.New(slog.NewTextHandler(con.err, o))
}

// operations is what the operations listener answers besides health and metrics.
type operations struct {
	extra func(*http.ServeMux)
	local bool // of the demonstration: programs of this machine may ask like a proxy
}

// server is a house with its doors open.
type server struct {
	*house
	*protocols
	gateway   *gateway.Gateway
	entrances []*edge.Server
	others    []*edge.Server // operations, the embedded verifier
}

// open builds the doors and listens at them; nothing is answered before run.
func (h *house) open(o operations) (*server, error) {
	c := h.config
	s := &server{house: h}
	metrics := edge.NewMetrics()
	h.store.Follow(metrics.Follow)
	e := &edge.Edge{
		Addresses: h.addresses, Catalog: h.words, Clock: h.clock, Log: h.log, Metrics: metrics, Values: h.values, Zone: h.zone, Leads: h.leads(), Programs: programs(),
	}
	held := access.NewHeld(0)
	s.gateway = &gateway.Gateway{
		Policy: h.policy, Held: held, Directory: h.directory, Keeper: h.sessions, Counter: h.counter,
		Keys: h.keys, Addresses: h.addresses, Edge: e, Clock: h.clock, Log: h.log,
	}
	pages, err := h.portal(s.gateway, e)
	if err != nil {
		return nil, err
	}
	s.protocols = h.protocols(held, pages, e)
	h.learn = append(h.learn, func() error { s.gateway.Refresh(); return nil })
	e.Portal, e.Apps, e.Page = s.front(h.ourKeys(pages.Handler(e))), s.gateway, pages.Failure
	e.Verify = http.HandlerFunc(s.gateway.Verify)

	for _, en := range c.Entrances {
		l, err := e.Listen(edge.Entrance{
			Listen: en.Listen, Channel: parvis.Channel(en.Channel), CertFile: en.Cert, KeyFile: en.Key,
			Networks: config.Prefixes(en.Networks), Proxies: config.Prefixes(en.Proxies), Local: o.local,
		})
		if err != nil {
			return nil, fmt.Errorf("entrance %s: %w", en.Channel, err)
		}
		s.entrances = append(s.entrances, l)
	}
	if h.embedded != nil {
		pages, err := h.embedded.Handler()
		if err != nil {
			return nil, fmt.Errorf("embedded verifier: %w", err)
		}
		if err := s.also("embedded verifier", c.Verifier.Embedded.Listen, pages); err != nil {
			return nil, err
		}
	}
	if c.Operations == "" {
		return s, nil
	}
	return s, s.also("operations", c.Operations, s.operations(metrics, o))
}

// also listens for something beside the entrances.
func (s *server) also(what, address string, h http.Handler) error {
	l, err := edge.ListenPlain(address, h, s.log)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.others = append(s.others, l)
	return nil
}

// ourKeys answers the keys that outside accounts may want of us, on the hosts
// of the portals.
func (h *house) ourKeys(pages http.Handler) http.Handler {
	if h.link == nil {
		return pages
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/verifier/jwks.json" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			pages.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(h.link.JWKS()) // a reader who left needs nothing
	})
}

// portal builds the agent's pages.
func (h *house) portal(g *gateway.Gateway, e *edge.Edge) (*portal.Portal, error) {
	c := h.config
	var logo []byte
	if c.Organisation.Logo != "" {
		var err error
		if logo, err = os.ReadFile(c.Organisation.Logo); err != nil {
			return nil, err
		}
	}
	assets, err := page.NewAssets(page.Brand{Organisation: c.Organisation.Name, Accent: c.Organisation.Accent, Logo: logo, LogoType: mime.TypeByExtension(filepath.Ext(c.Organisation.Logo))})
	if err != nil {
		return nil, err
	}
	p := &portal.Portal{
		Catalog: h.words, Policy: h.policy, Directory: h.directory, Sessions: h.sessions, Door: h.door, Desk: h.desk,
		Counter: h.counter, Vault: h.vault, Store: h.store, Keys: h.keys, Addresses: h.addresses, Clock: h.clock, Zone: h.zone,
		Assets: assets, Organisation: c.Organisation.Name, Lang: text.Lang(c.Organisation.Language), Notice: parvis.Words(c.Organisation.Notice),
		Verifier: c.VerifierDemanded(), Profiles: h.catalog.Profiles, Values: h.values, Down: g.Down, JWKS: e.Handle(g.ServeKeys),
	}
	for _, contact := range c.Organisation.Contacts {
		who := portal.Contact{
			Role: contact.Role, Name: parvis.Words(contact.Name), Phone: contact.Phone, Email: contact.Email, Hours: parvis.Words(contact.Hours),
		}
		if contact.Open != "" {
			hours := *h.catalog.Calendar
			hours.Week = week(c.Hours.Weekdays(), contact.Open, contact.Close)
			who.Calendar = &hours
		}
		p.Contacts = append(p.Contacts, who)
	}
	return p, nil
}

// operations answers those who keep the machine running.
func (s *server) operations(m *edge.Metrics, o operations) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { status(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.store.Ready(r.Context()); err != nil {
			s.log.Error("not ready", "err", err)
			status(w, http.StatusServiceUnavailable, "the database does not answer")
			return
		}
		status(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", m.Handler())
	if o.extra != nil {
		o.extra(mux)
	}
	return mux
}

func status(w http.ResponseWriter, code int, words string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": words}) // a reader who left needs nothing
}

// run answers until ctx ends, then drains.
func (s *server) run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, en := range s.entrances {
		work.Go(func() error { return en.Serve(ctx) })
	}
	for _, l := range s.others {
		work.Go(func() error { return l.Serve(ctx) })
	}
	work.Go(func() error { return s.sessions.Run(ctx) })
	work.Go(func() error { return s.gateway.Run(ctx) })
	work.Go(func() error { return s.outbox.Run(ctx) })
	work.Go(func() error { return s.register.Run(ctx) })
	work.Go(func() error { return s.notices.Run(ctx) })
	work.Go(func() error { return s.sweep(ctx) })
	work.Go(func() error {
		if err := s.vault.Calibrate(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("password hashing keeps its least cost", "err", err)
		}
		return nil
	})
	err := work.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// sweep tidies, once an hour, what is too old to be of use.
func (s *server) sweep(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for name, act := range map[string]func(context.Context) error{
			"messages": s.outbox.Sweep,
			"refusals": s.counter.Sweep,
			"grants":   s.store.Sweep,
			"budgets": func(ctx context.Context) error {
				return s.store.Write(ctx, func(tx *store.Tx) error {
					_, err := s.vault.Sweep(ctx, tx)
					return err
				})
			},
		} {
			if err := act(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("sweep failed", "of", name, "err", err)
			}
		}
	}
}

func (s *server) addresses() string {
	var all []string
	for _, en := range s.entrances {
		all = append(all, string(en.Entrance.Channel)+" "+en.Address())
	}
	return strings.Join(all, ", ")
}
