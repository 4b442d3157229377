package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/seal"
	"parvis/internal/session"
)

// Gateway answers on the applications' hosts. All fields but Roots and Log are
// required. It must not be copied once used.
type Gateway struct {
	Policy    *access.Policy
	Held      *access.Held
	Directory *directory.Directory
	Keeper    *session.Keeper
	Counter   *helpdesk.Counter
	Keys      *seal.Keys
	Addresses *parvis.Addresses
	Edge      *edge.Edge // writes the answers to programs, and the errors
	Clock     func() time.Time
	Log       *slog.Logger

	// Roots are the authorities that may vouch for an application over TLS;
	// those of the system for an application that is not named here.
	Roots map[parvis.AppID]*x509.CertPool

	once       sync.Once
	handler    http.Handler
	asked      http.Handler // at /auth/verify
	shared     *http.Transport
	turn       sync.Mutex // one Refresh at a time
	table      atomic.Pointer[table]
	complained atomic.Int64 // when a question that cannot be answered was last logged
	identities identities
	flights    flights
}

// near is how close the end of an answer must be for a page to be told.
const near = 15 * time.Minute

// ready builds what stays, and a first table.
func (g *Gateway) ready() {
	g.once.Do(func() {
		if g.Log == nil {
			g.Log = slog.New(slog.DiscardHandler)
		}
		g.shared = transport(nil)
		g.table.Store(&table{})
		g.refresh()
		g.handler = g.Edge.Handle(g.serve)
		g.asked = g.Edge.Handle(g.verify)
	})
}

// ServeHTTP answers a request that the edge has let through for an
// application's host.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.ready()
	g.handler.ServeHTTP(w, r)
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) error {
	const op = "gateway.serve"
	ch, id, ok := g.Addresses.Find(r.Host)
	up := g.app(id)
	ours := strings.HasPrefix(r.URL.Path, session.Own)
	if up != nil && up.proxy == nil && verifies(r.URL.Path) {
		return g.verify(w, r)
	}
	// The edge has answered most of these: what is left is the label of no
	// application, which is a name of ours as little as any other. What another
	// proxy serves is not served here.
	if !ok || up == nil || up.proxy == nil && !ours || r.Method == http.MethodTrace || r.Method == http.MethodConnect {
		g.Edge.Misdirected(w, r)
		return nil
	}
	origin := edge.Origin(r)
	if ch != origin.Channel {
		return g.elsewhere(w, r, origin, up)
	}
	if ours {
		return g.own(w, r, ch, up)
	}
	if !up.app.CrossOrigin && foreign(r) {
		return &parvis.Error{Code: parvis.CodeRefused, Op: op, Err: errors.New("sent by another site")}
	}
	v, err := g.Keeper.At(r, id)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return g.stranger(w, r, ch, up)
	case err != nil:
		return err
	}
	now := g.Clock()
	if up.reduces(ch) && !up.within(r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header) {
		return g.refuse(w, r, v.Session, up, origin, now, true)
	}
	until, ok, err := g.stands(r.Context(), v, up, origin, now)
	if err != nil {
		return err
	}
	if !ok {
		return g.refuse(w, r, v.Session, up, origin, now, false)
	}
	if since, down := up.health.confirmed(); down {
		return g.down(w, r, v.Session, up, origin, since)
	}
	who, err := g.identity(r.Context(), up, v, ch, now)
	if err != nil {
		return err
	}
	p := &passage{visit: v, up: up, origin: origin, who: who, began: now, closes: r.ProtoMajor == 1 && len(r.TransferEncoding) > 0}
	if until.Sub(now) < near {
		p.until = until.UTC().Format(time.RFC3339)
	}
	return g.pass(w, r, p)
}

// stands tells whether a visit opens its application now, and until when: from
// what is held, or by deciding. The moment is never later than the session's.
func (g *Gateway) stands(ctx context.Context, v session.Visit, up *upstream, origin parvis.Origin, now time.Time) (time.Time, bool, error) {
	key, ok := g.Policy.HeldKey(v.Session, up.app.ID, origin.Channel)
	if !ok {
		return time.Time{}, false, nil
	}
	if until, ok := g.Held.Lookup(key, v.Version, now); ok {
		return sooner(until, v.Until), true, nil
	}
	generation := g.Held.Generation()
	_, q, err := g.question(ctx, v.Session, up, origin, now)
	if err != nil {
		return time.Time{}, false, err
	}
	d := g.Policy.Decide(q)
	if !d.Open {
		return time.Time{}, false, nil
	}
	g.Held.Keep(key, v.Version, generation, now, d.Until)
	return sooner(d.Until, v.Until), true, nil
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// question gathers the facts of a decision.
func (g *Gateway) question(ctx context.Context, id parvis.SessionID, up *upstream, origin parvis.Origin, now time.Time) (parvis.Session, access.Request, error) {
	s, ok := g.Keeper.Session(ctx, id)
	if !ok {
		return s, access.Request{}, &parvis.Error{Code: parvis.CodeConflict, Op: "gateway.question", Err: errors.New("the session ended meanwhile")}
	}
	agent, standing, err := g.Directory.Facts(ctx, s.Agent)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound: // unknown means refused
		agent, standing = &parvis.Agent{Number: s.Agent}, &parvis.Standing{}
	case err != nil:
		return s, access.Request{}, err
	}
	return s, access.Request{
		Agent: agent, Standing: standing, App: up.app.ID, Channel: origin.Channel, At: now, Proofs: s.Proofs,
		Device: device(standing, origin, &s),
	}, nil
}

// device finds what is known of the device of this request: that of the
// origin, or the one from which the session began through the same entrance.
func device(st *parvis.Standing, origin parvis.Origin, s *parvis.Session) parvis.Device {
	id := origin.Device
	if id == "" && s.Channel == origin.Channel {
		id = s.Device
	}
	for _, d := range st.Devices {
		if id != "" && d.ID == id {
			return d
		}
	}
	return parvis.Device{}
}

// pass lets a request through, and can stop it while it lasts.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request, p *passage) error {
	// Only WebSocket: inside another protocol (h2c above all) requests would
	// reach the application that nobody decided about and nobody cleaned.
	if u := r.Header["Upgrade"]; len(u) > 0 && (len(u) > 1 || !strings.EqualFold(u[0], "websocket")) {
		delete(r.Header, "Upgrade")
	}
	p.Context, p.cancel = context.WithCancelCause(r.Context())
	g.flights.add(p)
	defer func() {
		g.flights.remove(p)
		p.cancel(nil)
	}()
	on := r.WithContext(p)
	if r.Body != nil && r.ContentLength != 0 {
		on.Body = &intake{ReadCloser: r.Body, p: p, trailer: r}
		on.Trailer = nil
		for name := range r.Trailer {
			if p.up.passes(name) {
				if p.trailer == nil {
					p.trailer = http.Header{}
				}
				p.trailer[name] = nil // RFC 9110 §6.6.2: announced now, known at the end
			}
		}
	}
	p.up.proxy.ServeHTTP(w, on)
	if p.failed != nil {
		return g.fault(w, r, p)
	}
	return nil
}

// Down tells since when an application has not been answering, if it is not.
func (g *Gateway) Down(app parvis.AppID) (since time.Time, down bool) {
	g.ready()
	if up := g.app(app); up != nil {
		return up.health.since()
	}
	return time.Time{}, false
}

// Run watches the requests that last and the applications that are down, every
// second, until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	g.ready()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			g.watch(ctx)
			for _, up := range *g.table.Load() {
				up.probe(ctx, g.Clock)
			}
		}
	}
}
