package credential

import (
	"container/list"
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// lane is who waits: strangers never stand in front of people we know.
type lane int

const (
	trusted   lane = iota // proven devices, known networks, agents who choose a password
	strangers             // everybody else
	lanes
)

// pool bounds the hashing: so many at once, so many waiting, the rest refused
// at once. Peers without such a bound took 4 GB for 32 sign-ins and slowed
// down besides (performance.md).
//
// A caller first waits for its turn, then writes down its try, then hashes.
// Two more callers than hashes have a turn, so that the processor does not
// wait for the disk; a try that is still waiting has not been counted yet, and
// whoever leaves the queue leaves no trace.
type pool struct {
	workers int
	turns   int
	waiting int // in each lane

	mu     sync.Mutex
	inside int
	queues [lanes]list.List // of *waiter
	served int              // of the trusted, since a stranger had a turn
	mean   time.Duration    // of one hash, moving

	hash    chan struct{} // one token for each hash under way
	running int           // hashes under way, for the tests
	peak    int
	most    int // blocks of memory at once
	done    int

	garbage    int // hashes finished whose memory is not collected yet
	collecting bool
	room       *sync.Cond // tells that memory was collected
}

type waiter struct{ turn chan struct{} }

// errBusy says that the queue is full: try again in a moment.
var errBusy = errors.New("too many sign-ins are waiting")

// share is how many of the trusted pass for each stranger that waits: nobody
// starves.
const share = 4

func newPool(workers, waiting int) *pool {
	p := &pool{workers: workers, turns: workers + 2, waiting: waiting, hash: make(chan struct{}, workers)}
	p.room = sync.NewCond(&p.mu)
	return p
}

// enter waits for a turn. The caller calls leave once it has hashed. It answers
// errBusy when the lane is full and ctx's error when the caller went away.
func (p *pool) enter(ctx context.Context, l lane) error {
	p.mu.Lock()
	if p.inside < p.turns {
		p.inside++
		p.mu.Unlock()
		return nil
	}
	if p.queues[l].Len() >= p.waiting {
		p.mu.Unlock()
		return errBusy
	}
	w := &waiter{turn: make(chan struct{})}
	place := p.queues[l].PushBack(w)
	p.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.turn: // it came at the same moment: pass it on
		p.pass()
	default:
		p.queues[l].Remove(place)
	}
	return ctx.Err()
}

// leave gives the turn to the next in the queue.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass()
}

func (p *pool) pass() {
	first, second := trusted, strangers
	if p.served >= share {
		first, second = strangers, trusted
	}
	for _, l := range []lane{first, second} {
		if front := p.queues[l].Front(); front != nil {
			p.served++
			if l == strangers {
				p.served = 0
			}
			close(p.queues[l].Remove(front).(*waiter).turn)
			return
		}
	}
	p.inside--
}

// run hashes: never more than the fixed number at once. Only for who has a
// turn, so the wait here is that of one hash.
//
// Each hash leaves 46 MiB behind. On a large heap the collector would let them
// grow to the size of that heap before it runs by itself, so it is called as
// soon as each worker has left one, beside the next hashes; and there are
// never more than two for each worker, in use or left.
func (p *pool) run(f func()) {
	p.hash <- struct{}{}
	defer func() { <-p.hash }()
	p.mu.Lock()
	for p.running+p.garbage >= 2*p.workers {
		p.room.Wait() // for the collector: so many cannot be in use
	}
	p.running++
	p.peak = max(p.peak, p.running)
	p.most = max(p.most, p.running+p.garbage)
	p.mu.Unlock()
	began := time.Now()
	f()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	p.done++
	p.mean += (time.Since(began) - p.mean) / 8
	p.garbage++
	p.collect()
}

// collect calls the collector when it is time. The lock is held.
func (p *pool) collect() {
	if p.collecting || p.garbage < p.workers {
		return
	}
	p.collecting = true
	left := p.garbage // what is left while the collector runs may escape it
	go func() {
		runtime.GC()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.collecting = false
		p.garbage -= left
		p.room.Broadcast()
		p.collect()
	}()
}

// retry guesses when the queue of a lane will have moved on: between a quarter
// of a second and one second, for a Retry-After.
func (p *pool) retry() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	queued := p.queues[trusted].Len() + p.queues[strangers].Len()
	return min(max(p.mean*time.Duration(queued)/time.Duration(p.workers), 250*time.Millisecond), time.Second)
}
