// Package helpdesk is the counter where somebody who was refused is helped.
//
// It promises that a refusal is kept as it was told: the facts, the reasons,
// the ways and the rules of that moment, frozen under a reference short enough
// to be read on the telephone, together with its event. The same refusal told
// again within a minute has the same reference, so that a page reloaded does
// not fill the record.
//
// It refuses to decide: it is given the decision. It does not speak HTTP.
//
// A refusal can be read for 72 hours; its event stays as long as the record.
//
//	Refuse → reference → Look → Sweep
package helpdesk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/store"
)

// Refusal is a refusal, frozen.
type Refusal = store.Refusal

// Counter keeps refusals. Store and Clock are required. It must not be copied
// once used.
type Counter struct {
	Store *store.Store
	Clock func() time.Time

	mu     sync.Mutex
	recent map[[32]byte]told
}

// told is a refusal told a moment ago.
type told struct {
	reference parvis.Reference
	at        time.Time
}

const (
	again     = time.Minute // within which a refusal told again is the same one
	manyTold  = 8192        // told within a minute; beyond, the oldest are kept anew
	longest   = 512         // bytes of a path that are worth keeping
	reference = 8           // tries at finding a free reference

	readable = 72 * time.Hour // how long a refusal is kept under its reference
	batch    = 1000           // refusals that one transaction forgets: others wait for it
)

// Refuse keeps a refusal with its event, and gives its reference. Reference
// and At are set here. Without an answer from the store it fails: a refusal
// stands, but has no reference then.
func (c *Counter) Refuse(ctx context.Context, r Refusal) (parvis.Reference, error) {
	if r.Decision.Open {
		return "", &parvis.Error{Code: parvis.CodeInternal, Op: "helpdesk.Refuse", Err: errors.New("the decision is not a refusal")}
	}
	r.Path, _, _ = strings.Cut(r.Path, "?")
	r.Path = strings.ToValidUTF8(r.Path[:min(len(r.Path), longest)], "")
	key, now := same(&r), c.Clock()
	if ref, ok := c.toldBefore(key, now); ok {
		return ref, nil
	}
	err := c.Store.Write(ctx, func(tx *store.Tx) error {
		r.At = tx.Now()
		for range reference {
			var random [7]byte
			_, _ = rand.Read(random[:]) // crypto/rand.Read never fails
			r.Reference = parvis.NewReference(random)
			free, err := tx.AddRefusal(ctx, r)
			if err != nil {
				return err
			}
			if free {
				tx.Record(parvis.Event{
					Kind: "app.refused", Agent: r.Agent, Actor: who(r.Agent), Channel: r.Origin.Channel, Address: r.Origin.Address,
					App: r.App, Reference: r.Reference, Reasons: r.Decision.Codes(),
				})
				return nil
			}
		}
		return &parvis.Error{Code: parvis.CodeUnavailable, Op: "helpdesk.Refuse", Err: errors.New("no free reference")}
	})
	if err != nil {
		return "", err
	}
	c.tell(key, told{r.Reference, now})
	return r.Reference, nil
}

func who(a parvis.AgentNumber) string {
	if a == "" {
		return "system"
	}
	return string(a)
}

// Look gives a refusal by its reference, as a person types it; code not found
// when it is none of ours.
func (c *Counter) Look(ctx context.Context, typed string) (Refusal, error) {
	ref, ok := parvis.ParseReference(typed)
	if !ok {
		return Refusal{}, &parvis.Error{Code: parvis.CodeNotFound, Op: "helpdesk.Look", Err: errors.New("not a reference")}
	}
	return c.Store.Refusal(ctx, ref)
}

// Sweep forgets the refusals that are no longer to be read, those of the door
// too, and records how many. Run it now and then.
func (c *Counter) Sweep(ctx context.Context) error {
	for {
		gone := 0
		err := c.Store.Write(ctx, func(tx *store.Tx) error {
			var err error
			gone, err = tx.SweepRefusals(ctx, tx.Now().Add(-readable), batch)
			if err != nil || gone == 0 {
				return err
			}
			tx.Record(parvis.Event{Kind: "refusal.swept", Actor: "system", Detail: map[string]string{"count": strconv.Itoa(gone)}})
			return nil
		})
		if err != nil || gone < batch {
			return err
		}
	}
}

// same names what makes two refusals the same one: who, from where, for what,
// and why.
func same(r *Refusal) [32]byte {
	h := sha256.New()
	_, _ = h.Write(r.Session[:]) // a hash never fails
	for _, s := range []string{string(r.Agent), string(r.Origin.Channel), string(r.App)} {
		_, _ = h.Write([]byte(s + "\x00"))
	}
	for _, code := range r.Decision.Codes() {
		_, _ = h.Write([]byte(string(code) + "\x00"))
	}
	return [32]byte(h.Sum(nil))
}

func (c *Counter) toldBefore(key [32]byte, now time.Time) (parvis.Reference, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.recent[key]
	if !ok || now.Before(t.at) || !now.Before(t.at.Add(again)) {
		return "", false
	}
	return t.reference, true
}

// tell remembers a refusal; when there are too many, those past their minute
// go first, then any.
func (c *Counter) tell(key [32]byte, t told) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recent == nil {
		c.recent = map[[32]byte]told{}
	}
	if len(c.recent) >= manyTold {
		for k, old := range c.recent {
			if !t.at.Before(old.at.Add(again)) {
				delete(c.recent, k)
			}
		}
		for k := range c.recent {
			if len(c.recent) < manyTold {
				break
			}
			delete(c.recent, k)
		}
	}
	c.recent[key] = t
}
