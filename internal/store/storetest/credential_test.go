package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// recorded writes with the event that every change needs.
func recorded(t *testing.T, s *store.Store, f func(tx *store.Tx) error) error {
	t.Helper()
	return s.Write(t.Context(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "test.changed"})
		return f(tx)
	})
}

func TestStanding(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		empty, err := s.Standing(ctx, "A1")
		if err != nil || !cmp.Equal(empty, &parvis.Standing{}, cmpopts.EquateEmpty()) {
			t.Fatalf("nothing is kept: %+v, %v", empty, err)
		}
		secret := [32]byte{1}
		browser := parvis.Device{ID: "b", Agent: "A1", Name: "Firefox", FirstSeen: now, LastSeen: now}
		machine := parvis.Device{ID: "m", Agent: "A1", Name: "PC-12", Validated: true, FirstSeen: now.Add(time.Hour), LastSeen: now}
		err = recorded(t, s, func(tx *store.Tx) error {
			for _, f := range []func() error{
				func() error {
					return tx.PutPassword(ctx, store.Password{Agent: "A1", PHC: "old", Passes: 1, Since: now.Add(-time.Hour)})
				},
				func() error {
					return tx.PutPassword(ctx, store.Password{Agent: "A1", PHC: "x", Passes: 2, Since: now, Expires: now.Add(time.Hour)})
				},
				func() error { return tx.SetPasswordLeaked(ctx, "A1") },
				func() error {
					return tx.PutBudget(ctx, store.Budget{ID: [32]byte{1}, Agent: "A1", Class: "elsewhere", WaitUntil: now.Add(time.Minute)})
				},
				func() error {
					return tx.PutBudget(ctx, store.Budget{ID: [32]byte{2}, Agent: "A1", Class: "known", WaitUntil: now.Add(time.Hour)})
				},
				func() error {
					return tx.PutHeld(ctx, store.HeldRow{Held: parvis.Held{ID: "one", Agent: "A1", Kind: parvis.TOTP, Since: now}})
				},
				func() error {
					return tx.PutHeld(ctx, store.HeldRow{Held: parvis.Held{ID: "two", Agent: "A1", Kind: parvis.TOTP, Since: now}})
				},
				func() error {
					return tx.PutLink(ctx, store.Link{Agent: "A1", Issuer: "https://id.example.org", Subject: "s1", At: now})
				},
				func() error { return tx.PutDevice(ctx, browser, &secret) },
				func() error { return tx.PutDevice(ctx, machine, nil) },
			} {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Standing(ctx, "A1")
		want := &parvis.Standing{
			Activated: true, PasswordSince: now, PasswordExpires: now.Add(time.Hour), PasswordLeaked: true,
			LockedUntil: now.Add(time.Minute), Enrolled: []parvis.ProofKind{parvis.TOTP}, VerifierLinked: true,
			Links:   []string{"https://id.example.org"},
			Devices: []parvis.Device{browser, machine},
		}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		if costs, err := s.PasswordCosts(ctx); err != nil || !cmp.Equal(costs, map[uint32]int{2: 1}) {
			t.Errorf("costs %v, %v", costs, err)
		}
	})
}

func TestVerifierLink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, _ *storetest.Clock) {
		for i, c := range []struct {
			agent           parvis.AgentNumber
			issuer, subject string
			code            parvis.Code
		}{
			{"A1", "https://id.example.org", "s1", ""},
			{"A1", "https://id.example.org", "s1", ""}, // again
			{"A2", "https://id.example.org", "s1", parvis.CodeConflict},
			{"A1", "https://id.example.org", "s2", ""}, // in place of the first
			{"A2", "https://other.example.org", "s1", ""},
			{"A1", "https://other.example.org", "s2", ""}, // another issuer beside it
		} {
			err := recorded(t, s, func(tx *store.Tx) error {
				return tx.PutLink(context.Background(), store.Link{Agent: c.agent, Issuer: c.issuer, Subject: c.subject, At: tx.Now()})
			})
			if parvis.CodeOf(err) != c.code {
				t.Errorf("link %d: %v", i, err)
			}
		}
	})
}

func TestProvenDevices(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		secret := func(n byte) *[32]byte { return &[32]byte{n} }
		if err := recorded(t, s, func(tx *store.Tx) error {
			for n := range byte(5) {
				d := parvis.Device{ID: parvis.DeviceID('a' + n), Agent: "A1", Validated: n == 0, LastSeen: now.Add(time.Duration(n) * time.Hour)}
				if err := tx.PutDevice(ctx, d, secret(n)); err != nil {
					return err
				}
			}
			// The same browser, named by somebody else, changes nothing.
			if err := tx.PutDevice(ctx, parvis.Device{ID: "e", Agent: "A2", Validated: true}, nil); err != nil {
				return err
			}
			return tx.PutDevice(ctx, parvis.Device{ID: "x", Agent: "A2"}, secret(99))
		}); err != nil {
			t.Fatal(err)
		}
		for n, want := range map[byte]parvis.DeviceID{0: "a", 4: "e", 7: "", 99: ""} {
			if id, err := s.ProvenDevice(ctx, "A1", *secret(n)); err != nil || id != want {
				t.Errorf("secret %d is %q of A1, %v", n, id, err)
			}
		}
		for i, c := range []struct {
			id   parvis.DeviceID
			keep int
			want int
			left int // devices of A1
		}{
			{"x", 0, 0, 5}, // not theirs
			{"b", 0, 1, 4},
			{"", 2, 2, 3}, // the oldest two: one browser, and the machine, which stays
			{"", 0, 2, 1},
			{"", 0, 0, 1},
		} {
			var n int
			err := recorded(t, s, func(tx *store.Tx) (err error) {
				n, err = tx.DropProvenDevices(ctx, "A1", c.id, c.keep)
				return err
			})
			standing, err2 := s.Standing(ctx, "A1")
			if err != nil || err2 != nil || n != c.want || len(standing.Devices) != c.left {
				t.Errorf("step %d: %d dropped, %+v left, %v, %v", i, n, standing.Devices, err, err2)
			}
		}
		if id, err := s.ProvenDevice(ctx, "A2", *secret(99)); err != nil || id != "x" {
			t.Errorf("the other agent's browser: %q, %v", id, err)
		}
	})
}

func TestClearBudget(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		budgets := []store.Budget{
			{ID: [32]byte{1}, Agent: "A1", Class: "known", Failures: 3, InARow: 3, LastAt: now, Recent: []byte("12345678")},
			{ID: [32]byte{2}, Agent: "A1", Class: "elsewhere", Failures: 7, InARow: 70, LastAt: now, WaitUntil: now.Add(time.Hour), Noted: now},
			{ID: [32]byte{3}, Agent: "A1", Class: "proven", Failures: 9, InARow: 100, LastAt: now, Disabled: true},
			{ID: [32]byte{4}, Agent: "", Class: "elsewhere", Failures: 2, InARow: 2, LastAt: now},
		}
		if err := recorded(t, s, func(tx *store.Tx) error {
			for _, b := range budgets {
				if err := tx.PutBudget(ctx, b); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		expect := func(what string, want []store.Budget) {
			t.Helper()
			for _, w := range want {
				got, err := s.Budget(ctx, w.ID)
				if d := cmp.Diff(w, got, cmpopts.EquateEmpty()); d != "" || err != nil {
					t.Errorf("%s: %v\n%s", what, err, d)
				}
			}
		}
		expect("as put", budgets)
		if err := recorded(t, s, func(tx *store.Tx) error {
			if err := tx.ClearBudget(ctx, budgets[2].ID, "A1"); err != nil { // disabled: it stays
				return err
			}
			return tx.ClearBudget(ctx, budgets[0].ID, "A1")
		}); err != nil {
			t.Fatal(err)
		}
		budgets[0] = store.Budget{ID: budgets[0].ID}
		budgets[1].InARow = 0
		expect("after a success", budgets)
		if err := recorded(t, s, func(tx *store.Tx) error { return tx.ClearBudgets(ctx, "A1") }); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			budgets[i] = store.Budget{ID: budgets[i].ID}
		}
		expect("after a new password", budgets)
		if err := recorded(t, s, func(tx *store.Tx) error { return tx.ClearBudgets(ctx, "") }); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("the budgets of nobody: %v", err)
		}
	})
}
