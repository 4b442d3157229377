package credential

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parvis"
	"parvis/internal/seal"
)

// Somebody has a number and an address, and asks whether they are of one agent:
// they try wrong passwords on both in turn. Were tries counted by agent, those
// two would wait at the fifth, and two that nobody has would not.
func TestIdentifiersOfOneAgentAreNotTied(t *testing.T) {
	each(t, func(s scene) {
		type seen struct {
			Verdict Verdict
			Hashed  int
			Events  int
		}
		story := func(origin func(n int) parvis.Origin, who ...Try) (all []seen) {
			begun := s.clock.Now()
			defer func() { s.clock.Set(begun) }()
			for n := range 14 { // to the first waits, which have no jitter
				try := who[n%2]
				try.Password, try.Origin = wrong(n), origin(n)
				done, events := s.pool.done, len(s.kinds())
				v := s.check(try)
				v.Disabled, v.LockedNow = false, false // not shown
				all = append(all, seen{v, s.pool.done - done, len(s.kinds()) - events})
				s.clock.Move(time.Second)
			}
			return all
		}
		plain := cmpopts.IgnoreUnexported(Verdict{})
		at := func(int) parvis.Origin { return inside }
		for class, origin := range map[string]func(int) parvis.Origin{"elsewhere": from, "known": at} {
			one := story(origin, Try{Typed: "A100001", Agent: s.agent}, Try{Typed: "zoe@example.org", Agent: s.agent})
			none := story(origin, Try{Typed: "A999999"}, Try{Typed: "nobody@example.org"})
			half := story(origin, Try{Typed: "A999998"}, Try{Typed: "zoe.b@example.org", Agent: &parvis.Agent{Number: "A100002"}})
			if d := cmp.Diff(none, one, plain); d != "" {
				s.t.Errorf("%s: two of one agent differ from two of nobody:\n%s", class, d)
			}
			if d := cmp.Diff(none, half, plain); d != "" {
				s.t.Errorf("%s: one of an agent and one of nobody differ from two of nobody:\n%s", class, d)
			}
		}
	})
}

// The guard against strangers counts identifiers too: one password on fifty-one
// of them is a campaign, whoever they are.
func TestSprayingCountsIdentifiers(t *testing.T) {
	onSQLite(t, func(s scene) {
		limited := func(password seal.Secret, agent func(n int) *parvis.Agent) int {
			for n := range 100 {
				typed := fmt.Sprintf("%s%d", password[:1], n/2)
				if n%2 == 1 {
					typed += "@example.org"
				}
				if v := s.check(Try{Typed: typed, Agent: agent(n / 2), Password: password, Origin: from(n)}); v.Limited {
					return n
				}
			}
			return -1
		}
		known := limited("x password", func(n int) *parvis.Agent { return &parvis.Agent{Number: parvis.AgentNumber(fmt.Sprint("X", n))} })
		unknown := limited("y password", func(int) *parvis.Agent { return nil })
		if known < spread/2 || unknown < spread/2 || max(known-unknown, unknown-known) > spread/3 {
			s.t.Errorf("a campaign on agents is seen after %d tries, on nobody after %d", known, unknown)
		}
	})
}

// A budget for each identifier, not for each way to write it: otherwise tries
// would have no end.
func TestOneIdentifierHasOneBudget(t *testing.T) {
	onSQLite(t, func(s scene) {
		budget := func(typed string, agent *parvis.Agent) [32]byte {
			p, err := s.find(s.t.Context(), Try{Typed: typed, Agent: agent, Origin: outside})
			if err != nil {
				s.t.Fatal(err)
			}
			return p.budget
		}
		for want, written := range map[string][]string{
			"SI-100001":        {"si-100001", " s i-100 001\t", "ſı-100001", "ＳＩ-100001", "Sı\u00a0-100001"},
			"zoe@example.org":  {"ZOE@Example.Org", "zoe+tag@example.org", "zoe+@example.org", "Zoe+a+b@EXAMPLE.org", " zoe@example.org ", "zoe＠example.org"},
			"zoé@example.org":  {"zoe\u0301@example.org", "ZOE\u0301+x@example.org"},
			"i.k@example.org":  {"\u0130.\u212a@example.org", "I\u0307.K@example.org"},
			"ne/pas un numéro": {"NE/PAS UN NUME\u0301RO"},
		} {
			for _, w := range written {
				if budget(w, nil) != budget(want, nil) {
					s.t.Errorf("%q and %q have budgets of their own", w, want)
				}
			}
			if budget(want, nil) != budget(want, s.agent) {
				s.t.Errorf("the budget of %q depends on whether somebody has it", want)
			}
		}
		if budget("A100001", s.agent) == budget("zoe@example.org", s.agent) || budget("A100001", nil) == budget("A100002", nil) {
			s.t.Error("two identifiers have one budget")
		}
	})
}

// Recovery opens everything again, whatever was typed.
func TestRecoveryClearsEveryIdentifier(t *testing.T) {
	onSQLite(t, func(s scene) {
		address := Try{Typed: "zoe@example.org", Agent: s.agent, Origin: outside}
		for n := range 5 {
			s.check(s.try(wrong(n), from(n), ""))
			address.Password = wrong(n)
			s.check(address)
		}
		address.Password = right
		if s.check(s.try(right, outside, "")).Wait.IsZero() || s.check(address).Wait.IsZero() {
			s.t.Fatal("one of them does not wait")
		}
		s.set(right, 0)
		if a, b := s.signIn(s.try(right, outside, "")), s.signIn(address); !a.OK || !b.OK {
			s.t.Errorf("after a recovery: %+v, %+v", a, b)
		}
	})
}

// What was tried on an identifier before anybody had it disables nothing for
// who has it now; the wait, which anybody can see, goes on.
func TestIdentifierThatChangesHands(t *testing.T) {
	onSQLite(t, func(s scene) {
		nobody := Try{Typed: "A100001"}
		for n := range 100 {
			nobody.Password, nobody.Origin = wrong(n), from(n)
			s.check(nobody)
			s.clock.Move(2 * time.Hour)
		}
		s.clock.Move(-2 * time.Hour) // into the last wait
		if v := s.check(s.try(right, outside, "")); v.Wait.IsZero() {
			s.t.Error("the wait ended when somebody came to have the identifier")
		}
		s.clock.Move(2 * time.Hour)
		if v := s.signIn(s.try(right, outside, "")); !v.OK {
			s.t.Errorf("disabled before it was theirs: %+v", v)
		}
	})
}

// An address that was limited before the clock went back is not limited for as
// long as it went back.
func TestGuardWhenTheClockGoesBack(t *testing.T) {
	onSQLite(t, func(s scene) {
		for n := range perAddress {
			s.check(Try{Typed: fmt.Sprint("B", n), Password: wrong(n), Origin: outside})
		}
		if v := s.check(Try{Typed: "B100", Password: wrong(100), Origin: outside}); !v.Limited {
			s.t.Fatal("not limited")
		}
		s.clock.Move(-2 * time.Hour)
		if v := s.check(Try{Typed: "B100", Password: wrong(100), Origin: outside}); v.Limited {
			s.t.Errorf("still limited, for %s", v.Next)
		}
	})
}
