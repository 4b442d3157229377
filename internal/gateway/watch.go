package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"parvis"
	"parvis/internal/session"
)

// passage is one request on its way through. It is the context of the request
// that goes on, so that the proxy finds it there.
type passage struct {
	context.Context //nolint:containedctx // it is a context
	cancel          context.CancelCauseFunc

	visit   session.Visit
	up      *upstream
	origin  parvis.Origin
	who     *identity
	began   time.Time
	closes  bool        // the connection, after this: its framing may have been read in two ways
	until   string      // when the answer ends, if that is near
	failed  error       // what kept the application from answering
	cut     atomic.Bool // the visitor's body ended too early
	trailer http.Header // of the request, for the application

	prev, next *passage
}

type passageKey struct{}

// Value finds the passage itself, then whatever the request carried.
func (p *passage) Value(key any) any {
	if key == (passageKey{}) {
		return p
	}
	return p.Context.Value(key)
}

// errOver stops a passage whose decision does not hold any more.
var errOver = errors.New("the decision does not hold any more")

// flights are the passages under way, in lists that cost a request two short
// locks and no allocation.
type flights struct {
	parts [32]struct {
		mu    sync.Mutex
		first *passage
	}
}

func (f *flights) add(p *passage) {
	part := &f.parts[int(p.visit.ID[2])%len(f.parts)]
	part.mu.Lock()
	defer part.mu.Unlock()
	p.next = part.first
	if p.next != nil {
		p.next.prev = p
	}
	part.first = p
}

func (f *flights) remove(p *passage) {
	part := &f.parts[int(p.visit.ID[2])%len(f.parts)]
	part.mu.Lock()
	defer part.mu.Unlock()
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		part.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
}

// lasting lists the passages that have lasted a second, and those that began
// after now: the clock went back, and nobody knows how long they have lasted.
func (f *flights) lasting(now time.Time) []*passage {
	var all []*passage
	for i := range f.parts {
		part := &f.parts[i]
		part.mu.Lock()
		for p := part.first; p != nil; p = p.next {
			if p.began.After(now) || now.Sub(p.began) > time.Second {
				all = append(all, p)
			}
		}
		part.mu.Unlock()
	}
	return all
}

// watch decides again about every passage that has lasted a second, and stops
// those that would not be let through now. What cannot be determined stops
// them too: unknown means refused (product rule 4).
func (g *Gateway) watch(ctx context.Context) {
	now := g.Clock()
	for _, p := range g.flights.lasting(now) {
		if p.Err() != nil {
			continue
		}
		v, err := g.Keeper.Still(ctx, p.visit, p.up.app.ID)
		ok := err == nil && g.app(p.up.app.ID).leads(p.up)
		if ok {
			_, ok, _ = g.stands(ctx, v, p.up, p.origin, now) //nolint:errcheck // not known: ok is false
		}
		if !ok && ctx.Err() == nil {
			g.Log.Info("a request was ended with its decision", "app", p.up.app.ID, "channel", p.origin.Channel)
			p.cancel(errOver)
		}
	}
}

// intake is the body of a request on its way through: it remembers a visitor
// who stopped sending, which is no fault of the application's, and passes on
// the announced trailers that may pass.
type intake struct {
	io.ReadCloser
	p       *passage
	trailer *http.Request
}

func (b *intake) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		for name := range b.p.trailer {
			b.p.trailer[name] = b.trailer.Trailer[name]
		}
	default:
		b.p.cut.Store(true)
	}
	return n, err //nolint:wrapcheck // a reader answers io.EOF itself
}
