package session

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// grant keeps a grant of a session.
func grant(t testing.TB, k *Keeper, id string, s parvis.Session, offline bool) {
	t.Helper()
	write(t, k, func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "grant.began", Agent: s.Agent, Actor: string(s.Agent)})
		ok, err := tx.PutGrant(context.Background(), store.Grant{
			ID: id, Protocol: parvis.OIDC, App: "courrier", Agent: s.Agent, Session: s.ID, Channel: s.Channel, SID: k.SID(s, "courrier"),
			Body: []byte("sealed"), Offline: offline, Tells: true, Began: tx.Now(), Expires: tx.Now().Add(24 * time.Hour),
		})
		if err == nil && !ok {
			t.Error("not kept")
		}
		return err
	})
}

// why tells why a grant ended; empty while nobody ended it.
func why(t testing.TB, k *Keeper, id string) string {
	t.Helper()
	g, err := k.Store.Grant(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return g.Why
}

func TestGrantsEndWithTheirSession(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, _ *storetest.Clock) {
		_, s := begin(t, k, parvis.Internal, "A100001")
		_, bare := begin(t, k, parvis.Internal, "A100001")
		grant(t, k, "one", s, false)
		grant(t, k, "two", s, false)
		grant(t, k, "phone", s, true)
		write(t, k, func(tx *store.Tx) error { return k.End(tx, s.ID, "signed_out") })
		write(t, k, func(tx *store.Tx) error { return k.End(tx, bare.ID, "signed_out") })
		if why(t, k, "one") != "signed_out" || why(t, k, "two") != "signed_out" || why(t, k, "phone") != "" {
			t.Error("a session ends with its grants, but for those that outlive it")
		}
		events, err := k.Store.Events(context.Background(), store.EventFilter{Kind: "session.ended"})
		if err != nil || len(events) != 2 {
			t.Fatal(events, err)
		}
		for i, want := range []map[string]string{
			{"session": name(s.ID), "why": "signed_out", "grants": "2", "notices": "2"},
			{"session": name(bare.ID), "why": "signed_out"},
		} {
			if !maps.Equal(events[i].Detail, want) {
				t.Errorf("recorded %v, want %v", events[i].Detail, want)
			}
		}
	})
}

func TestEndAllLeavesNothingOfAnAgent(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, _ *storetest.Clock) {
		_, s := begin(t, k, parvis.Internal, "A100001")
		_, here := begin(t, k, parvis.Mobile, "A100001")
		_, other := begin(t, k, parvis.Internal, "A100002")
		grant(t, k, "one", s, false)
		grant(t, k, "here", here, false)
		grant(t, k, "phone", s, true) // which was lost, or is somebody else's
		grant(t, k, "tablet", here, true)
		grant(t, k, "other", other, true)
		all := func(except parvis.SessionID, why string) (n int) {
			write(t, k, func(tx *store.Tx) (err error) {
				n, err = k.EndAll(tx, "A100001", except, why)
				return err
			})
			return n
		}
		if n := all(here.ID, "by_owner"); n != 1 || why(t, k, "one") != "by_owner" || why(t, k, "here") != "" || why(t, k, "phone") != "by_owner" || why(t, k, "tablet") != "" {
			t.Errorf("all but this one: %d sessions, %q %q %q %q", n, why(t, k, "one"), why(t, k, "here"), why(t, k, "phone"), why(t, k, "tablet"))
		}
		if n := all(parvis.SessionID{}, "suspended"); n != 1 || why(t, k, "here") != "suspended" || why(t, k, "tablet") != "suspended" || why(t, k, "other") != "" {
			t.Errorf("all: %d sessions, %q %q %q", n, why(t, k, "here"), why(t, k, "tablet"), why(t, k, "other"))
		}
		events, err := k.Store.Events(context.Background(), store.EventFilter{Kind: "grant.ended"})
		if err != nil || len(events) != 2 || !maps.Equal(events[1].Detail, map[string]string{"why": "suspended", "grants": "1", "notices": "1"}) ||
			events[1].Agent != "A100001" || events[1].Actor != "system" {
			t.Errorf("recorded %+v, %v", events, err)
		}
		if n := all(parvis.SessionID{}, "suspended"); n != 0 {
			t.Errorf("%d sessions ended twice", n)
		}
	})
}

// An application knows a session by a name of its own, which a second proof
// does not change and which tells other applications nothing.
func TestSIDStaysWhenASessionIsRaised(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		_, s := begin(t, k, parvis.Internal, "A100001")
		grant(t, k, "one", s, false)
		first := k.SID(s, "courrier")
		clock.Move(time.Minute)
		write(t, k, func(tx *store.Tx) error {
			_, err := k.Raise(tx, s.ID, parvis.Proof{Kind: parvis.TOTP, At: tx.Now()})
			return err
		})
		g, err := k.Store.Grant(context.Background(), "one")
		if err != nil {
			t.Fatal(err)
		}
		raised, ok := k.Session(context.Background(), g.Session)
		if !ok || raised.ID == s.ID {
			t.Fatalf("the grant did not follow its session: %+v", raised)
		}
		if again := k.SID(raised, "courrier"); again != first || g.SID != first || len(first) != 22 {
			t.Errorf("%q became %q", first, again)
		}
		_, elsewhere := begin(t, k, parvis.Mobile, "A100001")
		_, other := begin(t, k, parvis.Internal, "A100002")
		clock.Move(time.Microsecond)
		_, next := begin(t, k, parvis.Internal, "A100001")
		names := map[string]bool{first: true, k.SID(s, "paie"): true}
		for _, s := range []parvis.Session{elsewhere, other, next} {
			names[k.SID(s, "courrier")] = true
		}
		if len(names) != 5 {
			t.Errorf("five names to keep apart: %v", names)
		}
	})
}

// Whoever works in an application that keeps its own session is not asked to
// sign in again for having stayed away from the front door; one who came back
// too late is.
func TestSeenThroughAnApplication(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		b, s := begin(t, k, parvis.Internal, "A100001")
		for range 3 {
			if _, ok := k.Session(context.Background(), s.ID); !ok {
				t.Error("the session rested although it was used")
			}
			clock.Move(50 * time.Minute)
			k.Seen(s.ID)
		}
		if err := k.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if row, err := k.Store.Session(context.Background(), s.ID); err != nil || !row.LastSeen.Equal(clock.Now()) {
			t.Errorf("last seen %v on disk, %v", row.LastSeen, err)
		}
		clock.Move(time.Hour)
		k.Seen(s.ID)
		if _, err := k.Of(b.get("http://" + plainPortal + "/")); err == nil {
			t.Error("a session that rested too long was used again")
		}
		_, ended := begin(t, k, parvis.Internal, "A100001")
		write(t, k, func(tx *store.Tx) error { return k.End(tx, ended.ID, "signed_out") })
		k.Seen(ended.ID)
		k.Seen(parvis.SessionID{42})
		for _, id := range []parvis.SessionID{ended.ID, {42}} {
			if s, err := k.Live(context.Background(), id); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("a session that is none: %+v, %v", s, err)
			}
		}
	})
}

func TestWhatMovesStamps(t *testing.T) {
	var s stamps
	own, others := stampOf("A100001"), stampOf("A100002")
	if own == others {
		t.Fatal("these two share a stamp; choose others")
	}
	for i, c := range []struct {
		kind       string
		own, other bool
	}{
		{"grant.began", false, false},
		{"grant.renewed", false, false},
		{"grant.ended", false, false},
		{"notice.delivered", false, false},
		{"consent.given", false, false},
		{"message.sent", false, false},
		{"grants", true, false}, // no kind of the family
		{"session.ended", true, false},
		{"app.secret_added", true, false},
		{"app.changed", true, true},
		{"app.removed", true, true},
		{"policy.changed", true, true},
	} {
		t.Run(fmt.Sprint(i, " ", c.kind), func(t *testing.T) {
			before, beside := s.at(own), s.at(others)
			s.note(&parvis.Event{Kind: c.kind, Agent: "A100001"})
			if moved, all := s.at(own) != before, s.at(others) != beside; moved != c.own || all != c.other {
				t.Errorf("moved %v, everybody's %v", moved, all)
			}
			before, beside = s.at(own), s.at(others)
			s.settle()
			if moved, all := s.at(own) != before, s.at(others) != beside; moved != c.own || all != c.other {
				t.Errorf("settled: moved %v, everybody's %v", moved, all)
			}
		})
	}
}
