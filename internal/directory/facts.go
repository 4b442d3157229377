package directory

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"parvis"
)

const (
	shards   = 64
	loadTime = 5 * time.Second // a database that takes longer does not answer
)

// shard holds the facts of some agents, packed: of a whole city in use there
// are tens of megabytes, which the garbage collector must not have to follow.
// The generation grows whenever something is dropped, so that a load which
// began before is not kept.
type shard struct {
	mu         sync.RWMutex
	known      map[parvis.AgentNumber]packed
	generation uint64
	loads      singleflight.Group
}

// seed spreads numbers over shards; nobody outside can choose a crowded one.
var seed = maphash.MakeSeed()

// Facts gives an agent and their standing from memory, read once from the store
// when first asked and again after anything happened to that agent. What it
// gives may be shared: it must not be changed. [parvis.CodeNotFound] for nobody;
// such an answer is not kept, so memory holds at most the population.
func (d *Directory) Facts(ctx context.Context, number parvis.AgentNumber) (*parvis.Agent, *parvis.Standing, error) {
	s := &d.facts[maphash.String(seed, string(number))%shards]
	s.mu.RLock()
	f, ok := s.known[number]
	s.mu.RUnlock()
	if !ok {
		var err error
		if f, err = d.load(ctx, s, number); err != nil {
			return nil, nil, err
		}
	}
	agent, standing := f.unpack()
	d.localise(agent)
	return agent, standing, nil
}

func (d *Directory) load(ctx context.Context, s *shard, number parvis.AgentNumber) (packed, error) {
	d.follow.Do(func() { d.Store.Follow(d.forget) })
	s.mu.RLock()
	generation := s.generation
	s.mu.RUnlock()
	// Whoever asks after a drop does not join a load that began before it.
	key := string(number) + " " + strconv.FormatUint(generation, 36)
	result := s.loads.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime) // others wait for it too
		defer cancel()
		f, err := d.read(ctx, number)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.generation == generation {
			if s.known == nil {
				s.known = map[parvis.AgentNumber]packed{}
			}
			s.known[number] = f
		}
		return f, nil
	})
	select {
	case <-ctx.Done():
		return "", &parvis.Error{Code: parvis.CodeUnavailable, Op: "directory.Facts", Err: ctx.Err()}
	case r := <-result:
		if r.Err != nil {
			return "", r.Err
		}
		return r.Val.(packed), nil
	}
}

func (d *Directory) read(ctx context.Context, number parvis.AgentNumber) (packed, error) {
	agent, err := d.Store.Agent(ctx, number)
	if err != nil {
		return "", err
	}
	standing, err := d.Store.Standing(ctx, number)
	if err != nil {
		return "", err
	}
	return pack(agent, standing), nil
}

// forget drops what the events make untrue.
func (d *Directory) forget(events []parvis.Event) {
	// Neither an opened session nor an opened application, nor what it was told,
	// says anything new of the agent or of their proofs.
	aside := [...]string{"session.", "app.", "grant.", "notice.", "consent."}
	for i := range events {
		e := &events[i]
		switch {
		case e.Kind == "policy.changed": // profiles carry password lifetimes
			for j := range d.facts {
				d.facts[j].drop("")
			}
		case e.Agent == "" || slices.ContainsFunc(aside[:], func(kind string) bool { return strings.HasPrefix(e.Kind, kind) }):
		default:
			d.facts[maphash.String(seed, string(e.Agent))%shards].drop(e.Agent)
		}
	}
}

// drop forgets one agent, or everybody for the empty number.
func (s *shard) drop(number parvis.AgentNumber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	if number == "" {
		clear(s.known)
	} else {
		delete(s.known, number)
	}
}
