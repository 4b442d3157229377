package credential

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// queued waits until so many wait in a lane.
func queued(t *testing.T, p *pool, l lane, n int) {
	t.Helper()
	for {
		p.mu.Lock()
		got := p.queues[l].Len()
		p.mu.Unlock()
		if got == n {
			return
		}
		if t.Context().Err() != nil {
			t.Fatalf("%d wait, not %d", got, n)
		}
	}
}

// fill takes every turn and gives back a function that leaves them.
func fill(t *testing.T, p *pool) (leave func()) {
	t.Helper()
	for range p.turns {
		if err := p.enter(t.Context(), trusted); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for range p.turns {
			p.leave()
		}
	}
}

func TestPoolNeverHashesMoreThanItsWorkers(t *testing.T) {
	const callers, workers = 60, 3
	p := newPool(workers, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			if err := p.enter(t.Context(), lane(i%2)); err != nil {
				t.Error(err)
				return
			}
			defer p.leave()
			p.run(func() { _ = make([]byte, 1<<16) })
		})
	}
	all.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done != callers || p.peak > workers || p.most > 2*workers || p.running != 0 || p.inside != 0 {
		t.Errorf("%d hashes, %d at once with %d blocks, %d running, %d inside", p.done, p.peak, p.most, p.running, p.inside)
	}
}

func TestPoolRefusesBeyondItsQueue(t *testing.T) {
	p := newPool(1, 2)
	leave := fill(t, p)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if err := p.enter(t.Context(), strangers); err != nil {
				t.Error(err)
			}
			p.leave()
		})
	}
	queued(t, p, strangers, 2)
	if err := p.enter(t.Context(), strangers); !errors.Is(err, errBusy) {
		t.Errorf("the third stranger: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// The other lane has room of its own.
	if err := p.enter(ctx, trusted); !errors.Is(err, context.Canceled) {
		t.Errorf("a trusted caller who goes away: %v", err)
	}
	queued(t, p, trusted, 0)
	if d := p.retry(); d <= 0 || d.Seconds() > 1 {
		t.Errorf("retry after %s", d)
	}
	leave()
	all.Wait()
	if p.inside != 0 {
		t.Errorf("%d still inside", p.inside)
	}
}

func TestPoolLeaverFreesItsPlace(t *testing.T) {
	p := newPool(1, 1)
	leave := fill(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- p.enter(ctx, strangers) }()
	queued(t, p, strangers, 1)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left: %v", err)
	}
	done := make(chan error)
	go func() { done <- p.enter(t.Context(), strangers) }()
	queued(t, p, strangers, 1)
	leave()
	if err := <-done; err != nil {
		t.Errorf("the one who took the place: %v", err)
	}
	p.leave()
	if p.inside != 0 {
		t.Errorf("%d still inside", p.inside)
	}
}

// People we know pass before strangers, in order; strangers still pass.
func TestPoolOrder(t *testing.T) {
	p := newPool(1, 20)
	leave := fill(t, p)
	order := make(chan string, 20)
	var all sync.WaitGroup
	line := func(l lane, name string, place int) {
		all.Go(func() {
			if err := p.enter(t.Context(), l); err != nil {
				t.Error(err)
			}
			order <- name
		})
		queued(t, p, l, place)
	}
	for i := range 3 {
		line(strangers, string(rune('a'+i)), i+1)
	}
	for i := range 9 {
		line(trusted, string(rune('1'+i)), i+1)
	}
	var got []string
	for range 12 {
		p.leave()
		got = append(got, <-order)
	}
	leave()
	all.Wait()
	want := []string{"1", "2", "3", "4", "a", "5", "6", "7", "8", "b", "9", "c"}
	if !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}
