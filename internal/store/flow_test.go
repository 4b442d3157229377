package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// act runs f in a recorded transaction.
func act(t *testing.T, s *store.Store, f func(*store.Tx) error) {
	t.Helper()
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "test.acted", Actor: "system"})
		return f(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFlowsComeBackAsPutAndServeOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		put := store.Flow{
			ID: "f1", Kind: "sign_in", Agent: "A100001", Browser: [32]byte{1, 2, 3}, Channel: parvis.Mobile,
			Proofs: []parvis.Proof{{Kind: parvis.Password, At: now}}, Reason: parvis.WhyPasswordExpired, Device: "d1", Code: "c1",
			Created: now, Expires: now.Add(time.Hour),
		}
		act(t, s, func(tx *store.Tx) error { return tx.PutFlow(ctx, put) })
		got, err := s.Flow(ctx, "f1")
		if diff := cmp.Diff(put, got); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
		if _, err := s.Flow(ctx, "f2"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("no flow: %v", err)
		}
		var wait sync.WaitGroup
		var first atomic.Int32
		for range 20 {
			wait.Go(func() {
				act(t, s, func(tx *store.Tx) error {
					mine, err := tx.UseFlow(ctx, "f1")
					if mine {
						first.Add(1)
					}
					return err
				})
			})
		}
		wait.Wait()
		if n := first.Load(); n != 1 {
			t.Errorf("used %d times", n)
		}
		clock.Move(26 * time.Hour)
		act(t, s, func(tx *store.Tx) error {
			return tx.PutFlow(ctx, store.Flow{ID: "f3", Agent: "A100001", Created: clock.Now(), Expires: clock.Now().Add(time.Hour)})
		})
		if _, err := s.Flow(ctx, "f1"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("an old flow is kept: %v", err)
		}
		act(t, s, func(tx *store.Tx) error { return tx.UseFlows(ctx, "A100001") })
		if f, err := s.Flow(ctx, "f3"); err != nil || f.Used.IsZero() {
			t.Errorf("not ended with the others: %+v, %v", f, err)
		}
	})
}

func TestAllowance(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, key := t.Context(), [32]byte{9}
		spend := func() (until time.Time) {
			t.Helper()
			act(t, s, func(tx *store.Tx) (err error) {
				until, err = tx.Spend(ctx, key, 3, time.Hour)
				return err
			})
			return until
		}
		end := clock.Now().Add(time.Hour)
		for i := range 5 {
			until := spend()
			if i < 3 && !until.IsZero() || i >= 3 && !until.Equal(end) {
				t.Errorf("use %d: %v", i+1, until)
			}
			spent, err := s.Spent(ctx, key, 3, 0)
			if err != nil || spent.IsZero() != (i < 2) {
				t.Errorf("after use %d: %v, %v", i+1, spent, err)
			}
			clock.Move(time.Minute)
		}
		act(t, s, func(tx *store.Tx) error { return tx.Refund(ctx, key) })
		if until := spend(); !until.IsZero() {
			t.Errorf("what was given back cannot be used: %v", until)
		}
		clock.Set(end)
		if until := spend(); !until.IsZero() {
			t.Errorf("at the end of the time: %v", until)
		}
	})
}

func TestActivationCodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		code := func(id string, kind string, n byte, link bool) store.ActivationCode {
			c := store.ActivationCode{
				ID: id, Agent: "A100002", Kind: kind, Code: [32]byte{n}, By: "system", Created: now, Expires: now.Add(time.Hour),
			}
			if link {
				c.Link = [32]byte{n, n}
			}
			return c
		}
		first, other, second := code("1", "mail", 1, true), code("2", "hand_over", 2, false), code("3", "mail", 3, true)
		for _, c := range []store.ActivationCode{first, other, second} {
			act(t, s, func(tx *store.Tx) error { return tx.PutActivationCode(ctx, c) })
		}
		first.Replaced = now.UTC()
		for _, want := range []store.ActivationCode{first, other, second} {
			for _, hash := range [][32]byte{want.Code, want.Link} {
				if hash == ([32]byte{}) {
					continue
				}
				got, err := s.ActivationCode(ctx, hash)
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%v\n%s", err, diff)
				}
			}
		}
		if _, err := s.ActivationCode(ctx, [32]byte{}); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("the empty hash finds something: %v", err)
		}
		act(t, s, func(tx *store.Tx) error { return tx.UseActivationCodes(ctx, "A100002") })
		for _, id := range []string{"1", "2", "3"} {
			if c, err := s.ActivationCodeByID(ctx, id); err != nil || !c.Used.Equal(now) {
				t.Errorf("%s: %+v, %v", id, c, err)
			}
		}
		done := store.Activation{Confirmed: now.UTC()}
		act(t, s, func(tx *store.Tx) error { return tx.PutActivation(ctx, "A100002", done) })
		done.Reported = now.UTC()
		act(t, s, func(tx *store.Tx) error { return tx.PutActivation(ctx, "A100002", done) })
		if got, err := s.Activation(ctx, "A100002"); err != nil || got != done {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A message is claimed by one process at a time, and again when that one does
// not come back.
func TestMessagesAreClaimedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		for _, id := range []string{"1", "2", "3"} {
			act(t, s, func(tx *store.Tx) error {
				return tx.PutMessage(ctx, store.Message{
					ID: id, Agent: "A1", To: "a@b.example", Template: "mail_locked", Body: []byte("sealed"), State: "queued",
					Created: now, Due: now, Expires: now.Add(time.Hour), Changed: now,
				})
			})
		}
		claim := func() (claimed []store.Message) {
			t.Helper()
			act(t, s, func(tx *store.Tx) (err error) {
				claimed, err = tx.ClaimMessages(ctx, tx.Now().Add(time.Minute), 2)
				return err
			})
			return claimed
		}
		seen := map[string]int{}
		for range 3 {
			for _, m := range claim() {
				seen[m.ID]++
			}
		}
		if diff := cmp.Diff(map[string]int{"1": 1, "2": 1, "3": 1}, seen); diff != "" {
			t.Error(diff)
		}
		if due, err := s.MessageDue(ctx, clock.Now()); err != nil || due {
			t.Errorf("something is due: %v, %v", due, err)
		}
		clock.Move(time.Minute)
		if again := claim(); len(again) != 2 || again[0].Attempts != 2 {
			t.Errorf("after the lease: %+v", again)
		}
	})
}
