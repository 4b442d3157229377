package store_test

import (
	"context"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// Many uses of one moment are one statement: it moves forward those of live
// sessions, and no other.
func TestSeeSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, began := context.Background(), clock.Now().Truncate(time.Second)
		at := began.Add(time.Minute)
		ids := make([]parvis.SessionID, 500)
		for i := range ids {
			ids[i] = parvis.SessionID{byte(i >> 8), byte(i), 1}
		}
		write := func(act func(*store.Tx) error) {
			t.Helper()
			if err := s.Write(ctx, func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "session.seen", Actor: "system"})
				return act(tx)
			}); err != nil {
				t.Fatal(err)
			}
		}
		write(func(tx *store.Tx) error {
			for i, id := range ids[:4] {
				seen := began
				if i == 2 {
					seen = at.Add(time.Second)
				}
				if err := tx.AddSession(ctx, store.SessionRow{Session: parvis.Session{
					ID: id, Agent: "A1", Channel: parvis.Internal, Began: began, LastSeen: seen, Ends: began.Add(time.Hour), Epoch: 1,
				}}); err != nil {
					return err
				}
			}
			_, _, err := tx.EndSession(ctx, ids[3], "signed_out")
			return err
		})
		write(func(tx *store.Tx) error {
			if n, err := tx.SeeSessions(ctx, at); n != 0 || err != nil {
				t.Errorf("nobody: %d, %v", n, err)
			}
			n, err := tx.SeeSessions(ctx, at, ids[1:]...)
			if n != 1 {
				t.Errorf("%d moved, want one: the others are later, ended or unknown", n)
			}
			return err
		})
		for i, want := range []time.Time{began, at, at.Add(time.Second), began} {
			if row, err := s.Session(ctx, ids[i]); err != nil || !row.LastSeen.Equal(want) {
				t.Errorf("session %d was seen at %v (%v), want %v", i, row.LastSeen, err, want)
			}
		}
	})
}
