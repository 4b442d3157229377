package storetest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestNotice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		put := func(n store.Notice) bool {
			t.Helper()
			return did(t, s, func(tx *store.Tx) (bool, error) { return tx.PutNotice(ctx, n) })
		}
		due := func(want ...store.Notice) {
			t.Helper()
			got, err := s.DueNotices(ctx, clock.Now(), 10)
			if d := cmp.Diff(append([]store.Notice(nil), want...), got); d != "" || err != nil {
				t.Errorf("%v\n%s", err, d)
			}
		}
		n := store.Notice{
			ID: "n", Grant: "g", Protocol: parvis.CAS, App: "courrier", Agent: "A1", Channel: parvis.Mobile, SID: "s", Body: []byte("sealed"),
			Next: now, State: "waiting", At: now,
		}
		later := n
		later.ID, later.Next = "later", now.Add(time.Minute)
		if !put(n) || put(n) || !put(later) {
			t.Error("a notice is made once")
		}
		n.Version, later.Version = 1, 1
		due(n)
		// Of those who would send it, one takes it.
		n.Tries, n.Next = 1, now.Add(5*time.Second)
		if won := winners(8, func(int) bool { return put(n) }); won != 1 {
			t.Errorf("%d of 8 send the same notice", won)
		}
		due()
		clock.Move(time.Minute)
		n.Version = 2
		due(n2(n, now), later)
		n.State, n.Answer = "delivered", "200"
		if !put(n) || put(n) {
			t.Error("a receipt is kept once")
		}
		n.Version, n.State = 3, "waiting"
		if put(n) {
			t.Error("a delivered notice waits again")
		}
		due(later)
		list, err := s.NoticesOf(ctx, "courrier", 1)
		n.State, n.At = "delivered", clock.Now().UTC()
		if d := cmp.Diff([]store.Notice{n}, list); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		if err := recorded(t, s, func(tx *store.Tx) error {
			_, err := tx.PutNotice(ctx, store.Notice{ID: "x", App: "courrier", State: "lost"})
			return err
		}); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("an unknown state: %v", err)
		}
		clock.Move(30*24*time.Hour - 30*time.Second)
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if list, err := s.NoticesOf(ctx, "courrier", 10); err != nil || len(list) != 1 || list[0].ID != "n" {
			t.Errorf("thirty days later: %+v, %v", list, err)
		}
	})
}

// n2 is a notice as it was when it was taken.
func n2(n store.Notice, at time.Time) store.Notice {
	n.At = at
	return n
}
