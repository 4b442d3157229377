package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/audit"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestAChangeNeedsItsEvent(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		ctx := context.Background()
		s := storetest.Open(t, address, new(storetest.Clock))
		run(t, by(t, address), thing)
		exec := func(tx *store.Tx, query string) error {
			_, err := tx.Exec(ctx, query)
			return err
		}
		tests := []struct {
			name string
			f    func(*store.Tx) error
			want error
			rows int64
		}{
			{"an insert", func(tx *store.Tx) error { return exec(tx, "INSERT INTO thing (k, v) VALUES ('a', 1)") }, store.ErrUnrecorded, 0},
			{"an insert that answers rows", func(tx *store.Tx) error {
				_, err := tx.QueryInt(ctx, "INSERT INTO thing (k, v) VALUES ('a', 1) RETURNING v")
				return err
			}, store.ErrUnrecorded, 0},
			{"an update of nothing", func(tx *store.Tx) error { return exec(tx, "UPDATE thing SET v = 2") }, nil, 0},
			{"a look", func(tx *store.Tx) error {
				_, err := tx.QueryInt(ctx, " select count(*) FROM thing")
				return err
			}, nil, 0},
			{"an event alone", func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "x"}); return nil }, nil, 0},
			{"a recorded insert", putThing("b"), nil, 1},
			{"an unrecorded delete", func(tx *store.Tx) error { return exec(tx, "DELETE FROM thing") }, store.ErrUnrecorded, 1},
		}
		for _, tt := range tests {
			if err := s.Write(ctx, tt.f); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
			if n := count(t, s, "SELECT count(*) FROM thing"); n != tt.rows {
				t.Errorf("%s: %d rows, want %d", tt.name, n, tt.rows)
			}
		}
		whole(t, s, 2)
	})
}

// counter counts signatures, hence commits.
type counter struct {
	note.Signer
	n atomic.Int64
}

func (c *counter) Sign(b []byte) ([]byte, error) { c.n.Add(1); return c.Signer.Sign(b) }

// behaviour is how a closure may behave, and what becomes of it.
type behaviour struct {
	name string
	ctx  context.Context
	f    func(k string) func(*store.Tx) error
	ok   func(error) bool
	kept bool
}

func behaviours(ctx, gone context.Context, lite bool) []behaviour {
	wrong := errors.New("wrong")
	return []behaviour{
		{"right", ctx, putThing, func(err error) bool { return err == nil }, true},
		{"error", ctx, func(k string) func(*store.Tx) error {
			return func(tx *store.Tx) error { return errors.Join(putThing(k)(tx), wrong) }
		}, func(err error) bool { return errors.Is(err, wrong) }, false},
		{"panic", ctx, func(k string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				_ = putThing(k)(tx)
				panic("a fault")
			}
		}, func(err error) bool {
			return parvis.CodeOf(err) == parvis.CodeInternal && !strings.Contains(err.Error(), "a fault")
		}, false},
		{"unrecorded", ctx, func(k string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO thing (k, v) VALUES ($1, 1)", k)
				return err
			}
		}, func(err error) bool { return errors.Is(err, store.ErrUnrecorded) }, false},
		{"taken", ctx, func(string) func(*store.Tx) error { return putThing("first") }, func(err error) bool { return parvis.CodeOf(err) == parvis.CodeConflict }, false},
		{"bad SQL", ctx, func(k string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				_ = putThing(k)(tx)
				_, err := tx.Exec(ctx, "SELEKT")
				return err
			}
		}, func(err error) bool { return parvis.CodeOf(err) == parvis.CodeInternal }, false},
		{"swallowed", ctx, func(k string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				_, _ = tx.Exec(ctx, "SELEKT")
				return putThing(k)(tx)
			}
		}, func(err error) bool { return (err == nil) == lite }, lite},
		{"gone", gone, putThing, func(err error) bool {
			return errors.Is(err, context.Canceled) && parvis.CodeOf(err) == parvis.CodeUnavailable
		}, false},
	}
}

func TestWritesShareACommitAndNothingElse(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		ctx := context.Background()
		heads := notary(t)
		signs := &counter{Signer: heads.Signer}
		heads.Signer = signs
		s, err := store.Open(ctx, store.Options{URL: address, Clock: new(storetest.Clock).Now, Heads: heads}) // errors are meant: no log
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		run(t, by(t, address), thing)

		// The first one keeps the writer busy until all others wait.
		entered, release := make(chan struct{}), make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			err := s.Write(ctx, func(tx *store.Tx) error {
				close(entered)
				<-release
				return putThing("first")(tx)
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-entered
		gone, leave := context.WithCancel(ctx)
		kinds := behaviours(ctx, gone, strings.HasPrefix(address, "sqlite"))
		const each = 3
		var left atomic.Int64
		kept := int64(1)
		for i := range each {
			for _, kind := range kinds {
				if kind.kept {
					kept++
				}
				all.Go(func() {
					if err := s.Write(kind.ctx, kind.f(fmt.Sprint(kind.name, i))); !kind.ok(err) {
						t.Errorf("%s: got %v", kind.name, err)
					}
					if kind.ctx == gone {
						left.Add(1)
					}
				})
			}
		}
		all.Go(func() { // a test that stops in the middle, say
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = s.Write(ctx, func(*store.Tx) error { runtime.Goexit(); return nil })
			}()
			<-done
		})
		for store.Waiting(s) < each*len(kinds)+1 {
			time.Sleep(time.Millisecond)
		}
		leave()
		for left.Load() < each {
			time.Sleep(time.Millisecond)
		}
		close(release)
		all.Wait()
		if n := count(t, s, "SELECT count(*) FROM thing"); n != kept {
			t.Errorf("%d rows, want %d", n, kept)
		}
		if n := signs.n.Load(); n != 1 {
			t.Errorf("%d commits, want 1", n)
		}
		whole(t, s, kept)
	})
}

func TestSixteenWritersLeaveNoGap(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		// Two stores on one database, as two replicas.
		run(t, by(t, address)) // the file exists
		a, b := storetest.Open(t, address, new(storetest.Clock)), storetest.Open(t, address, new(storetest.Clock))
		run(t, by(t, address), thing)
		var shown [2]struct {
			sync.Mutex
			seq []int64
		}
		for i, s := range []*store.Store{a, b} {
			s.Follow(func(events []parvis.Event) {
				shown[i].Lock()
				defer shown[i].Unlock()
				for _, e := range events {
					shown[i].seq = append(shown[i].seq, e.Seq)
				}
			})
		}
		const writers, times = 16, 25
		var all sync.WaitGroup
		for w := range writers {
			s := []*store.Store{a, b}[w%2]
			all.Go(func() {
				for i := range times {
					if err := s.Write(context.Background(), putThing(fmt.Sprintf("%d/%d", w, i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		whole(t, a, writers*times)
		for i := range shown {
			deadline := time.Now().Add(20 * time.Second)
			for {
				shown[i].Lock()
				seq := shown[i].seq
				shown[i].Unlock()
				if len(seq) >= writers*times || time.Now().After(deadline) {
					for want, got := range seq {
						if got != int64(want) {
							t.Fatalf("store %d was shown event %d where %d was due", i, got, want)
						}
					}
					if len(seq) != writers*times {
						t.Errorf("store %d was shown %d events, want %d", i, len(seq), writers*times)
					}
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
}

func TestFollowersSeeWhatIsCommittedBeforeTheCallerHears(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, _ *storetest.Clock) {
		ctx := context.Background()
		var seen []string
		s.Follow(func([]parvis.Event) { panic("a fault of one follower") })
		s.Follow(func(events []parvis.Event) {
			for _, e := range events {
				n, err := s.QueryInt(ctx, "SELECT count(*) FROM event WHERE seq = $1", e.Seq)
				if err != nil || n != 1 {
					t.Errorf("event %d was shown before it was committed: %v", e.Seq, err)
				}
				seen = append(seen, e.Kind)
			}
		})
		for _, kind := range []string{"a", "undone", "b"} {
			err := s.Write(ctx, func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: kind})
				tx.Record(parvis.Event{Kind: kind + kind})
				if kind == "undone" {
					return errors.New("no")
				}
				return nil
			})
			if (err != nil) != (kind == "undone") {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if diff := cmp.Diff([]string{"a", "aa", "b", "bb"}, seen); diff != "" {
			t.Errorf("shown (-want +got):\n%s", diff)
		}
	})
}

// The attack: keep a process from seeing what others commit, without stopping it.
func TestUnseenEventsAreKnownToBeUnseen(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		ctx := context.Background()
		s, err := store.Open(ctx, store.Options{URL: address, Clock: new(storetest.Clock).Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		write(t, s, func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "a"}); return nil })
		db := by(t, address)
		run(t, db, "ALTER TABLE event RENAME TO hidden")
		if err := store.Look(ctx, s); err == nil {
			t.Error("the events are seen although nobody can read them")
		}
		store.Age(s, 5*time.Second)
		if s.Current() || s.Ready(ctx) == nil {
			t.Error("current after five seconds without a look")
		}
		run(t, db, "ALTER TABLE hidden RENAME TO event")
		if err := store.Look(ctx, s); err != nil || !s.Current() || s.Ready(ctx) != nil {
			t.Errorf("after a look: current %v, %v", s.Current(), err)
		}
	})
}

func TestATransactionSeesItsOwnChangesAndOneMoment(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		ctx := context.Background()
		clock := new(storetest.Clock)
		s := storetest.Open(t, address, clock)
		run(t, by(t, address), thing)
		clock.Move(1234567 * time.Nanosecond)
		want := clock.Now().Truncate(time.Microsecond)
		var kept *store.Tx
		write(t, s, func(tx *store.Tx) error {
			kept = tx
			if err := putThing("a")(tx); err != nil {
				return err
			}
			clock.Move(time.Hour)
			if n, err := tx.QueryInt(ctx, "SELECT count(*) FROM thing"); n != 1 || err != nil {
				t.Errorf("inside: %d rows, %v", n, err)
			}
			if n, err := s.QueryInt(ctx, "SELECT count(*) FROM thing"); n != 0 || err != nil {
				t.Errorf("outside, before the commit: %d rows, %v", n, err)
			}
			if !tx.Now().Equal(want) {
				t.Errorf("now is %v, want %v", tx.Now(), want)
			}
			done, stop := context.WithCancel(ctx)
			stop()
			if _, err := tx.Exec(done, "DELETE FROM thing"); !errors.Is(err, context.Canceled) {
				t.Errorf("a caller who is gone changed something: %v", err)
			}
			return nil
		})
		events, err := s.Events(ctx, store.EventFilter{})
		if err != nil || len(events) != 1 || !events[0].At.Equal(want) {
			t.Errorf("recorded %v, %v; want one at %v", events, err, want)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a transaction that is over still works")
				}
			}()
			_, _ = kept.Exec(ctx, "DELETE FROM thing")
		}()
	})
}

func TestReadersCannotWrite(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		s := storetest.Open(t, address, new(storetest.Clock))
		run(t, by(t, address), thing)
		if err := s.Try(context.Background(), "INSERT INTO thing (k, v) VALUES ('a', 1)"); err == nil {
			t.Error("a change went through the readers' connections")
		}
	})
}

// a trigger makes the event's insert fail; the change must not be there.
func TestNothingHappensThatCannotBeRecorded(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		s, err := store.Open(context.Background(), store.Options{URL: address, Clock: new(storetest.Clock).Now})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		db := by(t, address)
		run(t, db, thing)
		write(t, s, putThing("before"))
		for _, table := range []string{"event", "audit_hash", "audit_head"} {
			act := "INSERT"
			if table == "audit_head" {
				act = "UPDATE"
			}
			make, drop := []string{"CREATE TRIGGER fault BEFORE " + act + " ON " + table + " BEGIN SELECT RAISE(ABORT, 'no space'); END"}, []string{"DROP TRIGGER fault"}
			if strings.HasPrefix(address, "postgres") {
				make = []string{
					"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space'; END $$",
					"CREATE TRIGGER fault BEFORE " + act + " ON " + table + " FOR EACH ROW EXECUTE FUNCTION fault()",
				}
				drop = []string{"DROP TRIGGER fault ON " + table, "DROP FUNCTION fault"}
			}
			run(t, db, make...)
			if err := s.Write(context.Background(), putThing("during "+table)); parvis.CodeOf(err) != parvis.CodeUnavailable {
				t.Errorf("%s: got %v, want unavailable", table, err)
			}
			if n := count(t, s, "SELECT count(*) FROM thing WHERE k <> 'before'"); n != 0 {
				t.Errorf("%s: the change is there without its event", table)
			}
			run(t, db, drop...)
		}
		write(t, s, putThing("after"))
		whole(t, s, 2)
	})
}

// a full disk, as SQLite reports it. It ends the transaction by itself.
func TestAFullDisk(t *testing.T) {
	address := "sqlite:" + t.TempDir() + "/parvis.db"
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{URL: address, Clock: new(storetest.Clock).Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	run(t, by(t, address), thing)
	pages := func(n int) {
		write(t, s, func(tx *store.Tx) error {
			_, err := tx.QueryInt(ctx, fmt.Sprintf("/* SELECT */ PRAGMA max_page_count = %d", n))
			tx.Record(parvis.Event{Kind: "test.pages"})
			return err
		})
	}
	write(t, s, putThing("first"))
	pages(1) // what is there already, and no more
	var refused bool
	for i := range 40 {
		err := s.Write(ctx, func(tx *store.Tx) error { return putThing(fmt.Sprint(i, strings.Repeat("x", 2000)))(tx) })
		if err != nil && parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Fatalf("got %v, want unavailable", err)
		}
		refused = refused || err != nil
	}
	if !refused {
		t.Fatal("the disk never filled")
	}
	n := count(t, s, "SELECT count(*) FROM thing") // reads go on
	if events := count(t, s, "SELECT count(*) FROM event WHERE kind = 'thing.put'"); events != n {
		t.Errorf("%d changes, %d events", n, events)
	}
	pages(1 << 20)
	write(t, s, putThing("last"))
	whole(t, s, n+3)
}

func TestEveryEventComesBackAsItWas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := context.Background()
		words := rapid.OneOf(rapid.String(), rapid.StringN(0, 8, 16), rapid.Just("a\x00\xff\"\\\n\u2028"))
		var next int64
		rapid.Check(t, func(rt *rapid.T) {
			e := parvis.Event{
				Kind: words.Draw(rt, "kind"), Agent: parvis.AgentNumber(words.Draw(rt, "agent")), Actor: words.Draw(rt, "actor"),
				Channel: parvis.Channel(words.Draw(rt, "channel")), Address: words.Draw(rt, "address"), App: parvis.AppID(words.Draw(rt, "app")),
				Reference: parvis.Reference(words.Draw(rt, "reference")),
				Reasons:   rapid.SliceOf(rapid.Custom(func(rt *rapid.T) parvis.ReasonCode { return parvis.ReasonCode(words.Draw(rt, "r")) })).Draw(rt, "reasons"),
				Detail:    rapid.MapOf(words, words).Draw(rt, "detail"),
			}
			clock.Move(1003 * time.Microsecond)
			if err := s.Write(ctx, func(tx *store.Tx) error { tx.Record(e); return nil }); err != nil {
				rt.Fatal(err)
			}
			e.Seq, e.At = next, clock.Now()
			next++
			got, err := s.Events(ctx, store.EventFilter{From: e.Seq})
			if diff := cmp.Diff([]parvis.Event{audit.Clean(e)}, got); err != nil || diff != "" {
				rt.Fatalf("%v (-want +got):\n%s", err, diff)
			}
		})
		whole(t, s, next)
	})
}

func TestEventsAreChosen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := context.Background()
		began := clock.Now()
		for _, e := range []parvis.Event{
			{Kind: "sign_in.ok", Agent: "A1"},
			{Kind: "sign_in.failed", Agent: "A2"},
			{Kind: "app.refused", Agent: "A1", Reference: "K7QP-3M9T"},
			{Kind: "sign", Agent: "A1"},
			{Kind: "sign_in.ok", Agent: "A2"},
		} {
			write(t, s, func(tx *store.Tx) error { tx.Record(e); return nil })
			clock.Move(time.Minute)
		}
		tests := []struct {
			name string
			f    store.EventFilter
			want []int64
		}{
			{"all", store.EventFilter{}, []int64{0, 1, 2, 3, 4}},
			{"one agent", store.EventFilter{Agent: "A1"}, []int64{0, 2, 3}},
			{"one kind", store.EventFilter{Kind: "sign_in.ok"}, []int64{0, 4}},
			{"the beginning of a kind", store.EventFilter{Kind: "sign_in"}, []int64{0, 1, 4}},
			{"no sign is special", store.EventFilter{Kind: "sign%"}, nil},
			{"a reference", store.EventFilter{Reference: "K7QP-3M9T"}, []int64{2}},
			{"since", store.EventFilter{Since: began.Add(3 * time.Minute)}, []int64{3, 4}},
			{"from", store.EventFilter{From: 3}, []int64{3, 4}},
			{"before", store.EventFilter{Before: 2}, []int64{0, 1}},
			{"the latest", store.EventFilter{Latest: true, Limit: 2}, []int64{4, 3}},
			{"some", store.EventFilter{Limit: 3}, []int64{0, 1, 2}},
			{"all at once", store.EventFilter{Agent: "A2", Kind: "sign", Since: began, From: 2, Before: 9, Limit: 1, Latest: true}, []int64{4}},
		}
		for _, tt := range tests {
			events, err := s.Events(ctx, tt.f)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, e := range events {
				got = append(got, e.Seq)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
		stop := errors.New("enough")
		if err := s.EachEvent(ctx, 2, func(e parvis.Event) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("EachEvent went on: %v", err)
		}
	})
}
