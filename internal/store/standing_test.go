package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// EachStanding gives what Standing gives, for everybody, page after page.
func TestEachStanding(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		var all []*parvis.Agent
		for i := range 437 {
			all = append(all, &parvis.Agent{Number: parvis.AgentNumber(fmt.Sprintf("A%04d", i)), Unit: "Eau"})
		}
		all[436].Unit = "Voirie"
		putAgents(t, s, all...)
		act(t, s, func(tx *store.Tx) error {
			for i, a := range all {
				for _, err := range []error{
					tx.PutHeld(ctx, store.HeldRow{Held: parvis.Held{ID: "t" + string(a.Number), Agent: a.Number, Kind: parvis.TOTP, Since: now}}),
					tx.PutHeld(ctx, store.HeldRow{Held: parvis.Held{
						ID: "k" + string(a.Number), Agent: a.Number, Kind: parvis.Passkey, Since: now.Add(-time.Hour), Site: fmt.Sprintf("s%d.example.org", i%3),
					}}),
					tx.PutLink(ctx, store.Link{Agent: a.Number, Issuer: fmt.Sprintf("https://id%d.example.org", i%2), Subject: string(a.Number), At: now}),
				} {
					if err != nil {
						return err
					}
				}
				if i%7 == 0 {
					if _, err := tx.PutSecondRequest(ctx, store.SecondRequest{Agent: a.Number}); err != nil {
						return err
					}
				}
			}
			for i, site := range []string{"b.example.org", "a.example.org", "b.example.org"} {
				row := store.HeldRow{Held: parvis.Held{ID: fmt.Sprint("x", i), Agent: "A0001", Kind: parvis.Passkey, Since: now, Site: site}}
				if err := tx.PutHeld(ctx, row); err != nil {
					return err
				}
			}
			return tx.PutLink(ctx, store.Link{Agent: "A0001", Issuer: "https://id0.example.org", Subject: "s", At: now})
		})
		one, err := s.Standing(ctx, "A0001")
		want := &parvis.Standing{
			Activated: true, Enrolled: []parvis.ProofKind{parvis.Passkey, parvis.TOTP}, Sites: []string{"a.example.org", "b.example.org", "s1.example.org"},
			VerifierLinked: true, Links: []string{"https://id0.example.org", "https://id1.example.org"},
		}
		if d := cmp.Diff(want, one); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		if seven, err := s.Standing(ctx, "A0007"); err != nil || !seven.SecondAsked.Equal(now) {
			t.Errorf("%+v, %v", seven, err)
		}
		for _, c := range []struct {
			filter store.AgentFilter
			want   int
			first  parvis.AgentNumber
		}{
			{store.AgentFilter{}, 437, "A0000"},
			{store.AgentFilter{Limit: 200}, 200, "A0000"},
			{store.AgentFilter{Limit: 201, After: "A0009"}, 201, "A0010"},
			{store.AgentFilter{Limit: 5000, After: "A0036"}, 400, "A0037"},
			{store.AgentFilter{Unit: "Voirie"}, 1, "A0436"},
			{store.AgentFilter{Unit: "Nulle part"}, 0, ""},
		} {
			n, before := 0, parvis.AgentNumber("")
			err := s.EachStanding(ctx, c.filter, func(a *parvis.Agent, st *parvis.Standing) error {
				if n == 0 && a.Number != c.first || a.Number <= before {
					t.Errorf("%+v: %s after %q", c.filter, a.Number, before)
				}
				if n%97 == 0 {
					alone, err := s.Standing(ctx, a.Number)
					if d := cmp.Diff(alone, st); d != "" || err != nil {
						t.Errorf("%s: %v\n%s", a.Number, err, d)
					}
				}
				n, before = n+1, a.Number
				return nil
			})
			if err != nil || n != c.want {
				t.Errorf("%+v: %d, want %d; %v", c.filter, n, c.want, err)
			}
		}
		stop := &parvis.Error{Code: parvis.CodeRefused, Op: "stop"}
		if err := s.EachStanding(ctx, store.AgentFilter{}, func(*parvis.Agent, *parvis.Standing) error { return stop }); parvis.CodeOf(err) != parvis.CodeRefused {
			t.Errorf("%v", err)
		}
	})
}

// Nothing that is asked of one agent looks through everybody.
func TestStandingLooksUpByIndex(t *testing.T) {
	address := "sqlite:" + t.TempDir() + "/parvis.db"
	storetest.Open(t, address, new(storetest.Clock))
	db := by(t, address)
	for _, query := range []string{
		store.StandingQuery(),
		"SELECT * FROM held_proof WHERE agent = $1 ORDER BY since, id", "SELECT * FROM held_proof WHERE credential = $1",
		"UPDATE recovery_code SET used_at = 1 WHERE hash = $1 AND agent = 'A' AND used_at = 0", "SELECT count(*) FROM recovery_code WHERE agent = $1 AND used_at = 0",
		"SELECT * FROM sent_code WHERE agent = $1 ORDER BY created_at DESC, id LIMIT 1", "DELETE FROM sent_code WHERE expires_at < $1",
		"SELECT * FROM verifier_link WHERE agent = $1 ORDER BY issuer", "SELECT * FROM verifier_link WHERE issuer = $1 AND subject = 's'",
		"SELECT * FROM second_request WHERE agent = $1 ORDER BY at DESC LIMIT 1", "UPDATE device SET name = '' WHERE agent = $1 AND remembered_until <> 0",
	} {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, "A1")
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		steps := 0
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			steps++
			if strings.Contains(detail, "SCAN") {
				t.Errorf("%s: %s", query, detail)
			}
		}
		if err := rows.Err(); err != nil || steps == 0 {
			t.Errorf("%s: %d steps, %v", query, steps, err)
		}
	}
}
