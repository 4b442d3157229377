package helpdesk

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func refusal(clock *storetest.Clock) Refusal {
	at := clock.Now()
	return Refusal{
		Agent: "A100001", Session: parvis.SessionID{1, 2, 3}, App: "finances", Path: "/ledger?token=secret",
		Origin: parvis.Origin{Channel: parvis.Mobile, Address: "192.0.2.7", Device: "telephone"},
		Facts:  store.RefusalFacts{State: parvis.Active, Proofs: []parvis.Proof{{Kind: parvis.Password, At: at}}},
		Decision: parvis.Decision{
			Until:    at.Add(time.Hour),
			Reasons:  []parvis.Reason{{Code: parvis.WhyChannelNotAllowed, Policy: "channel.elsewhere", At: at}, {Code: parvis.WhyFactorRequired, Policy: "proof.second"}},
			Ways:     []parvis.Way{{Changes: []parvis.Change{{Kind: parvis.ChangeChannel, To: "internal", By: parvis.BySelf}}}},
			Policies: []string{"channel.elsewhere", "proof.second"},
		},
		Generation: 7,
	}
}

func TestRefusalIsFrozen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		c := &Counter{Store: s, Clock: clock.Now}
		ctx := context.Background()
		want := refusal(clock)
		ref, err := c.Refuse(ctx, want)
		if err != nil {
			t.Fatal(err)
		}
		clock.Move(time.Hour)
		for _, typed := range []string{string(ref), strings.ToLower(strings.ReplaceAll(string(ref), "-", " "))} {
			got, err := c.Look(ctx, typed)
			if err != nil {
				t.Fatal(err)
			}
			frozen := want
			frozen.Reference, frozen.At, frozen.Path = ref, want.Facts.Proofs[0].At, "/ledger"
			frozen.Facts.Device = "telephone"
			if diff := cmp.Diff(frozen, got); diff != "" {
				t.Errorf("%q (-told +kept):\n%s", typed, diff)
			}
		}
		events, err := s.Events(ctx, store.EventFilter{Agent: "A100001", Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != 1 || events[0].Kind != "app.refused" || events[0].Reference != ref || fmt.Sprint(events[0].Reasons) != "[channel_not_allowed factor_required]" {
			t.Errorf("recorded %+v", events)
		}
		for _, typed := range []string{"", "K7QP-3M9T", "nonsense"} {
			if _, err := c.Look(ctx, typed); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("%q: %v", typed, err)
			}
		}
		if _, err := c.Refuse(ctx, Refusal{Decision: parvis.Decision{Open: true}}); err == nil {
			t.Error("an open decision was kept as a refusal")
		}
	})
}

func TestSameRefusalHasOneReferenceForAMinute(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		c := &Counter{Store: s, Clock: clock.Now}
		refuse := func(change func(*Refusal)) parvis.Reference {
			t.Helper()
			r := refusal(clock)
			change(&r)
			ref, err := c.Refuse(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			return ref
		}
		first := refuse(func(*Refusal) {})
		clock.Move(59 * time.Second)
		if again := refuse(func(r *Refusal) { r.Path = "/elsewhere" }); again != first {
			t.Error("told again within a minute: another reference")
		}
		for what, change := range map[string]func(*Refusal){
			"session":  func(r *Refusal) { r.Session[0]++ },
			"app":      func(r *Refusal) { r.App = "social" },
			"reasons":  func(r *Refusal) { r.Decision.Reasons = r.Decision.Reasons[:1] },
			"entrance": func(r *Refusal) { r.Origin.Channel = parvis.VPN },
		} {
			if refuse(change) == first {
				t.Errorf("another %s: the same reference", what)
			}
		}
		clock.Move(time.Second)
		if refuse(func(*Refusal) {}) == first {
			t.Error("a minute later: the same reference")
		}
		clock.Move(time.Hour)
		for i := range manyTold + 10 {
			c.tell([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, told{at: clock.Now()})
		}
		if n := len(c.recent); n > manyTold {
			t.Errorf("remembers %d", n)
		}
	})
}

func TestRefusalsAreForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		c := &Counter{Store: s, Clock: clock.Now}
		ctx := context.Background()
		old, err := c.Refuse(ctx, refusal(clock))
		if err != nil {
			t.Fatal(err)
		}
		err = s.Write(ctx, func(tx *store.Tx) error { // more than one transaction forgets
			tx.Record(parvis.Event{Kind: "app.refused", Actor: "system"})
			for i := range batch + 1 {
				r := refusal(clock)
				r.At, r.Reference = tx.Now(), parvis.Reference(fmt.Sprintf("OLD-%d", i))
				if _, err := tx.AddRefusal(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		clock.Move(time.Hour)
		young, err := c.Refuse(ctx, refusal(clock))
		if err != nil {
			t.Fatal(err)
		}
		clock.Move(readable - time.Hour)
		for _, moved := range []time.Duration{0, time.Second} {
			clock.Move(moved)
			for range 2 {
				if err := c.Sweep(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Look(ctx, string(old)); (parvis.CodeOf(err) == parvis.CodeNotFound) != (moved > 0) {
				t.Errorf("%s after its 72 hours: %v", moved, err)
			}
		}
		if _, err := c.Look(ctx, string(young)); err != nil {
			t.Errorf("one that is still to be read: %v", err)
		}
		swept, refused := 0, 0
		events, err := s.Events(ctx, store.EventFilter{Limit: 100})
		for _, e := range events {
			switch {
			case e.Kind == "refusal.swept" && e.Detail["count"] != "":
				swept++
			case e.Kind == "app.refused" && e.Reference == old:
				refused++
			}
		}
		if err != nil || swept != 2 || refused != 1 {
			t.Errorf("%d sweeps and %d refusals in the record, %v; want 2 and 1", swept, refused, err)
		}
	})
}
