package store

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parvis"
)

const (
	pollEvery = 250 * time.Millisecond
	lateAfter = 5 * time.Second // what ended elsewhere must be over here by then
	pageSize  = 500             // events shown at once when catching up
)

// feed shows committed events to followers, once each, in order.
type feed struct {
	mu        sync.Mutex
	next      int64 // the position of the next event to show
	followers []func([]parvis.Event)
	seen      atomic.Int64 // when the last look that succeeded began, in nanoseconds since the process did
}

var processStart = time.Now()

// looked notes that everything committed before a moment was shown.
func (f *feed) looked(at time.Duration) { f.seen.Store(int64(at)) }

// behind notes that something committed was not shown: until the next look
// nobody may believe otherwise.
func (f *feed) behind() { f.seen.Store(-2 * int64(lateAfter)) }

// Follow has f called with every event committed from now on, in order and
// without a gap: for commits made here before Write answers, for those of
// other processes within half a second. Follow first, then read what the
// memory starts from. f must be quick, may read, and must not Write; calls
// never overlap.
func (s *Store) Follow(f func([]parvis.Event)) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.followers = append(s.feed.followers, f)
}

// Current tells whether memory that follows the store may be believed: what was
// committed, here or by another process, until five seconds ago was shown to
// the followers. It is cheap enough for every request, and false is the answer
// when the database cannot be read: whoever decides from memory must then say
// that they cannot (product rules 4 and 10).
func (s *Store) Current() bool {
	return time.Since(processStart)-time.Duration(s.feed.seen.Load()) <= lateAfter
}

// committed shows what this process has just committed, after whatever others
// committed before it.
func (f *feed) committed(s *Store, from int64, events []parvis.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.catchUp(s.ctx, s, from); err != nil {
		// The watcher goes on from there, in order.
		f.behind()
		s.o.Log.Error("events of other processes cannot be read", "cause", err)
		return
	}
	// The watcher may have been faster: what it has shown is not shown again.
	if shown := f.next - from; shown < int64(len(events)) {
		f.show(s, events[shown:])
		f.next = from + int64(len(events))
	}
}

// catchUp shows the events below a position that were not shown yet.
func (f *feed) catchUp(ctx context.Context, s *Store, below int64) error {
	for f.next < below {
		events, err := s.Events(ctx, EventFilter{From: f.next, Before: below, Limit: pageSize})
		if err != nil {
			return err
		}
		if len(events) == 0 { // removed by hand: nothing to show, and audit verify says so
			f.next = below
			return nil
		}
		f.show(s, events)
		f.next = events[len(events)-1].Seq + 1
	}
	return nil
}

func (f *feed) show(s *Store, events []parvis.Event) {
	for _, follower := range f.followers {
		func() {
			defer func() {
				if v := recover(); v != nil {
					s.o.Log.Error("panic in a follower", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				}
			}()
			follower(slices.Clone(events))
		}()
	}
}

// watcher looks for the commits of other processes and files signed heads.
func (s *Store) watcher() {
	defer s.work.Done()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	filed := time.Now()
	healthy := true
	for {
		select {
		case <-s.closed:
			return
		case <-tick.C:
		}
		err := s.look(s.ctx)
		if healthy != (err == nil) {
			healthy = err == nil
			s.o.Log.Warn("following the database", "healthy", healthy, "cause", err)
		}
		if time.Since(filed) >= fileHeadEvery {
			filed = time.Now()
			s.fileHead()
		}
	}
}

// look shows what others committed since the last time.
func (s *Store) look(ctx context.Context) error {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	// A connection that went silent is given up, so that another is tried.
	ctx, cancel := context.WithTimeout(ctx, 2*lateAfter)
	defer cancel()
	began := time.Since(processStart)
	var last sql.NullInt64
	if err := s.q.QueryRowContext(ctx, "SELECT max(seq) FROM event").Scan(&last); err != nil {
		return err
	}
	if last.Valid {
		if err := s.feed.catchUp(ctx, s, last.Int64+1); err != nil {
			return err
		}
	}
	s.feed.looked(began)
	return nil
}
