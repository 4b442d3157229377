package signin

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parvis"
)

func TestNext(t *testing.T) {
	password := []parvis.ProofKind{parvis.Password}
	both := []parvis.ProofKind{parvis.Password, parvis.TOTP}
	texted := []parvis.ProofKind{parvis.Password, parvis.SMS}
	key := []parvis.ProofKind{parvis.Passkey}
	waived := []parvis.ProofKind{parvis.Password, parvis.TOTP, parvis.VerifierWaived}
	second := Demand{Second: parvis.AnySecond}
	vouched := Demand{Verifier: parvis.VerifierEach}
	down := Demand{Verifier: parvis.VerifierEach, Down: true}
	fallback := Demand{Verifier: parvis.VerifierEach, Down: true, Fallback: true}
	totp := []parvis.ProofKind{parvis.TOTP}
	active := Facts{State: parvis.Active}
	holds := func(k ...parvis.ProofKind) Facts { return Facts{State: parvis.Active, Held: k} }
	linked := Facts{State: parvis.Active, Linked: true, Held: totp}
	tests := []struct {
		name   string
		shown  Shown
		agent  Facts
		demand Demand
		want   Step
	}{
		{"nothing shown", Shown{}, Facts{}, Demand{}, StepIdentifier},
		{"a proof without an identifier", Shown{Proofs: both}, active, Demand{}, StepIdentifier},
		{"an identifier", Shown{Identifier: "A1"}, Facts{}, Demand{}, StepSecret},
		{"an identifier, state known", Shown{Identifier: "A1"}, Facts{State: parvis.Suspended}, second, StepSecret},
		{"a code alone is no first proof", Shown{Identifier: "A1", Proofs: totp}, active, Demand{}, StepSecret},
		{"the verifier alone is no first proof", Shown{Identifier: "A1", Proofs: []parvis.ProofKind{parvis.Verifier}}, active, Demand{}, StepSecret},
		{"a wait", Shown{Identifier: "A1", Wait: true}, Facts{}, Demand{}, StepWait},
		{"a wait comes before a proof", Shown{Identifier: "A1", Wait: true, Proofs: password}, active, Demand{}, StepWait},
		{"active", Shown{Identifier: "A1", Proofs: password}, active, Demand{}, StepDone},
		{"a passkey alone", Shown{Identifier: "A1", Proofs: key}, holds(parvis.Passkey, parvis.TOTP), Demand{Second: parvis.PhishingResistant}, StepDone},
		{"long absence", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.RestrictedHR}, Demand{}, StepDone},
		{"after the contract", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.DocumentsOnly}, Demand{}, StepDone},
		{"before the contract", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.PreArrival}, Demand{}, StepBlocked},
		{"suspended", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Suspended}, Demand{}, StepBlocked},
		{"closed", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Closed}, Demand{}, StepBlocked},
		{"an unknown state", Shown{Identifier: "A1", Proofs: password}, Facts{}, Demand{}, StepBlocked},
		{"closed and expired", Shown{Identifier: "A1", Proofs: both}, Facts{State: parvis.Closed, Change: parvis.WhyPasswordExpired, Held: totp}, second, StepBlocked},
		{"expired", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active, Change: parvis.WhyPasswordExpired}, Demand{}, StepNewPassword},
		{"nothing is held", Shown{Identifier: "A1", Proofs: password}, active, second, StepDone},
		{"one is held", Shown{Identifier: "A1", Proofs: password}, holds(parvis.TOTP), second, StepSecondFactor},
		{"not demanded", Shown{Identifier: "A1", Proofs: password}, holds(parvis.TOTP), Demand{}, StepDone},
		{"held, and no second proof", Shown{Identifier: "A1", Proofs: password}, holds(parvis.Password), second, StepDone},
		{"a weak one is held and a strong one demanded", Shown{Identifier: "A1", Proofs: password}, holds(parvis.SMS), Demand{Second: parvis.NoSMS}, StepSecondFactor},
		{"it is shown: applications refuse the rest", Shown{Identifier: "A1", Proofs: texted}, holds(parvis.SMS), Demand{Second: parvis.NoSMS}, StepDone},
		{"a weak one is shown and a strong one held", Shown{Identifier: "A1", Proofs: texted}, holds(parvis.SMS, parvis.TOTP), Demand{Second: parvis.NoSMS}, StepSecondFactor},
		{"the passkey is at home", Shown{Identifier: "A1", Proofs: both}, holds(parvis.Passkey, parvis.TOTP), Demand{Second: parvis.PhishingResistant}, StepDone},
		{"a temporary code replaces what is lost", Shown{Identifier: "A1", Proofs: []parvis.ProofKind{parvis.Password, parvis.TemporaryCode}}, holds(parvis.Passkey), Demand{Second: parvis.PhishingResistant}, StepDone},
		{"the second proof comes before the change", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active, Held: totp, Change: parvis.WhyPasswordExpired}, second, StepSecondFactor},
		{"then the change", Shown{Identifier: "A1", Proofs: both}, Facts{State: parvis.Active, Held: totp, Change: parvis.WhyPasswordExpired}, second, StepNewPassword},
		{"then in", Shown{Identifier: "A1", Proofs: both}, holds(parvis.TOTP), second, StepDone},

		{"the verifier, each time", Shown{Identifier: "A1", Proofs: password}, linked, vouched, StepVerifier},
		{"a mode that nobody knows", Shown{Identifier: "A1", Proofs: password}, linked, Demand{Verifier: "?"}, StepVerifier},
		{"the verifier, the first time: applications ask", Shown{Identifier: "A1", Proofs: password}, active, Demand{Verifier: parvis.VerifierFirst}, StepDone},
		{"the verifier, each time, not linked: applications ask", Shown{Identifier: "A1", Proofs: password}, active, vouched, StepDone},
		{"the second proof comes first", Shown{Identifier: "A1", Proofs: password}, linked, Demand{Second: 1, Verifier: parvis.VerifierEach}, StepSecondFactor},
		{"it vouched", Shown{Identifier: "A1", Proofs: []parvis.ProofKind{parvis.Password, parvis.Verifier}}, linked, vouched, StepDone},
		{"down, no fallback", Shown{Identifier: "A1", Proofs: both}, linked, down, StepBlocked},
		{"down, no fallback, waived by hand", Shown{Identifier: "A1", Proofs: waived}, linked, down, StepBlocked},
		{"up, no fallback, waived by hand", Shown{Identifier: "A1", Proofs: waived}, linked, vouched, StepVerifier},
		{"down, fallback, nothing held", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active, Linked: true}, fallback, StepBlocked},
		{"down, fallback, held", Shown{Identifier: "A1", Proofs: password}, linked, fallback, StepSecondFactor},
		{"down, fallback, shown: the agent is told", Shown{Identifier: "A1", Proofs: both}, linked, fallback, StepVerifier},
		{"down, fallback, shown and chosen", Shown{Identifier: "A1", Proofs: waived}, linked, fallback, StepDone},
		{"down, fallback, chosen and not shown", Shown{Identifier: "A1", Proofs: []parvis.ProofKind{parvis.Password, parvis.VerifierWaived}}, linked, fallback, StepSecondFactor},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Next(test.shown, test.agent, test.demand); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

var (
	everyState = []parvis.State{
		parvis.PreArrival, parvis.Active, parvis.RestrictedHR, parvis.DocumentsOnly, parvis.Suspended, parvis.Closed, "", "?",
	}
	everySecond = []parvis.ProofKind{parvis.SMS, parvis.TOTP, parvis.Passkey, parvis.RecoveryCode}
	everyMode   = []parvis.VerifierMode{"", parvis.VerifierOff, parvis.VerifierOffered, parvis.VerifierFirst, parvis.VerifierEach, "?"}
)

// everyHolding is each subset of the second proofs that somebody may hold.
func everyHolding() [][]parvis.ProofKind {
	var all [][]parvis.ProofKind
	for bits := range 1 << len(everySecond) {
		var held []parvis.ProofKind
		for i, k := range everySecond {
			if bits&(1<<i) != 0 {
				held = append(held, k)
			}
		}
		all = append(all, held)
	}
	return all
}

// visitor is one way to behave at the door: which of the second proofs held is
// shown, or a temporary code when it is lost; whether the verifier is given up
// when policy allows it.
type visitor struct {
	first  parvis.ProofKind
	choose func(held []parvis.ProofKind) parvis.ProofKind
	waits  bool // a wrong password first, once too often
}

// TestEverySituationEnds walks through the door in every state × demand × held
// × linked × verifier mode × verifier down × fallback × enrolment allowed here,
// and finds for each that it ends in done, wait until, or a named person; that
// nobody is asked twice for the same thing; and that whoever is in, and lacks
// what is demanded, has a next step that is not a locked door.
func TestEverySituationEnds(t *testing.T) {
	weakest := func(held []parvis.ProofKind) parvis.ProofKind {
		return slices.MinFunc(held, func(a, b parvis.ProofKind) int { return a.Strength() - b.Strength() })
	}
	strongest := func(held []parvis.ProofKind) parvis.ProofKind {
		return slices.MaxFunc(held, func(a, b parvis.ProofKind) int { return a.Strength() - b.Strength() })
	}
	lost := func([]parvis.ProofKind) parvis.ProofKind { return parvis.TemporaryCode }
	visitors := []visitor{
		{parvis.Password, weakest, false},
		{parvis.Password, strongest, false},
		{parvis.Password, lost, false},
		{parvis.Passkey, strongest, false},
		{parvis.Password, strongest, true},
	}
	ends := map[Step]int{}
	yesNo := []bool{false, true}
	for _, state := range everyState {
		for second := range parvis.PhishingResistant + 1 {
			for _, held := range everyHolding() {
				for _, mode := range everyMode {
					for bits := range 1 << 4 {
						facts := Facts{State: state, Held: held, Linked: bits&1 != 0}
						if bits&2 != 0 {
							facts.Change = parvis.WhyPasswordExpired
						}
						demand := Demand{Second: second, Verifier: mode, Down: bits&4 != 0, Fallback: bits&8 != 0}
						for _, v := range visitors {
							shown, steps := walk(t, facts, demand, v)
							end := steps[len(steps)-1]
							ends[end]++
							if end != StepDone {
								continue
							}
							for _, here := range yesNo {
								goesOn(t, facts, demand, shown, here)
							}
						}
					}
				}
			}
		}
	}
	for _, end := range []Step{StepDone, StepWait, StepBlocked} {
		if ends[end] == 0 {
			t.Errorf("nothing ends in %s: the test does not test", end)
		}
	}
	if len(ends) != 3 {
		t.Errorf("ends: %v", ends)
	}
}

// walk answers each step until an end, and gives what was shown.
func walk(t *testing.T, facts Facts, demand Demand, v visitor) (Shown, []Step) {
	var shown Shown
	var steps []Step
	where := func() string { return fmt.Sprintf("%+v %+v %+v %v", facts, demand, shown, steps) }
	for range 9 {
		step := Next(shown, facts, demand)
		if slices.Contains(steps, step) && step != StepSecondFactor {
			t.Fatalf("asked twice: %s at %s", step, where())
		}
		steps = append(steps, step)
		switch {
		case step != StepDone && helper(step, "") == "":
			t.Fatalf("nobody helps at %s: %s", step, where())
		case step == StepDone || step == StepBlocked || step == StepWait:
			return shown, steps
		}
		switch step {
		case StepIdentifier:
			shown.Identifier = "A1"
			if v.first == parvis.Passkey { // it is shown with the identifier
				shown.Proofs = append(shown.Proofs, parvis.Passkey)
			}
		case StepSecret:
			if v.waits {
				shown.Wait = true
				continue
			}
			shown.Proofs = append(shown.Proofs, parvis.Password)
		case StepSecondFactor:
			asked := facts.Held
			if most := least(demand.Second, facts.Held); most > 0 { // the page offers those that are enough
				asked = slices.DeleteFunc(slices.Clone(asked), func(k parvis.ProofKind) bool { return k.Strength() < most })
			}
			if len(asked) == 0 {
				t.Fatalf("a second proof is asked that nobody holds: %s", where())
			}
			kind := v.choose(asked)
			if slices.Contains(shown.Proofs, kind) {
				t.Fatalf("asked again for %s: %s", kind, where())
			}
			shown.Proofs = append(shown.Proofs, kind)
		case StepVerifier:
			if !demand.Down {
				shown.Proofs = append(shown.Proofs, parvis.Verifier)
			} else if demand.Fallback && best(shown.Proofs) > 0 {
				shown.Proofs = append(shown.Proofs, parvis.VerifierWaived)
			} else {
				t.Fatalf("sent to a verifier that does not answer: %s", where())
			}
		case StepNewPassword:
			facts.Change = ""
		default:
			t.Fatalf("an unknown step %q: %s", step, where())
		}
	}
	t.Fatalf("no end: %s", where())
	return shown, steps
}

// goesOn finds, for somebody who is in and lacks what is demanded, that they
// can add it now, or that a named person can help them to.
func goesOn(t *testing.T, facts Facts, demand Demand, shown Shown, here bool) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	c := changing{Held: facts.Held, Demanded: demand.Second, Here: here, At: at}
	for _, k := range shown.Proofs {
		c.Shown = append(c.Shown, parvis.Proof{Kind: k, At: at.Add(-time.Minute)})
	}
	if best(shown.Proofs) >= demand.Second {
		return
	}
	switch why := mayAdd(c); why {
	case "":
		return // here and now
	case parvis.WhyStepUpRequired:
		if len(facts.Held) == 0 {
			t.Fatalf("asked to show again what nobody holds: %+v", c)
		}
	case parvis.WhyFactorEnrolHereForbidden:
		if here {
			t.Fatalf("forbidden where it is allowed: %+v", c)
		}
	default:
		t.Fatalf("%s: %+v", why, c)
	}
	// The code that the IT contact hands over opens what was closed.
	c.Shown = append(c.Shown, parvis.Proof{Kind: parvis.TemporaryCode, At: at})
	if why := mayAdd(c); why != "" {
		t.Fatalf("not even with a temporary code: %s %+v", why, c)
	}
}

// Nobody comes in without an identifier, a proof, a state that opens and a
// password that may stay; without the second proof that they could show, nor
// past a verifier that must vouch; and before a proof nothing depends on the
// agent.
func TestNextNeverOpensTooSoon(t *testing.T) {
	kinds := []parvis.ProofKind{
		parvis.Password, parvis.TOTP, parvis.SMS, parvis.Passkey, parvis.RecoveryCode, parvis.TemporaryCode, parvis.Verifier, parvis.VerifierWaived, "?",
	}
	rapid.Check(t, func(t *rapid.T) {
		facts := func(label string) Facts {
			return Facts{
				State:  rapid.SampledFrom(everyState).Draw(t, label+" state"),
				Change: rapid.SampledFrom([]parvis.ReasonCode{"", parvis.WhyPasswordExpired}).Draw(t, label+" change"),
				Held:   rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 3).Draw(t, label+" held"),
				Linked: rapid.Bool().Draw(t, label+" linked"),
			}
		}
		shown := Shown{
			Identifier: rapid.SampledFrom([]string{"", "A1"}).Draw(t, "identifier"),
			Proofs:     rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 4).Draw(t, "proofs"),
			Wait:       rapid.Bool().Draw(t, "wait"),
		}
		demand := Demand{
			Second: rapid.IntRange(0, 3).Draw(t, "second"), Verifier: rapid.SampledFrom(everyMode).Draw(t, "mode"),
			Down: rapid.Bool().Draw(t, "down"), Fallback: rapid.Bool().Draw(t, "fallback"),
		}
		agent, other := facts("agent"), facts("other")
		step := Next(shown, agent, demand)
		proven := slices.Contains(shown.Proofs, parvis.Password) || slices.Contains(shown.Proofs, parvis.Passkey)
		if step == StepDone {
			switch {
			case shown.Identifier == "" || !proven || shown.Wait || !opens(agent.State) || agent.Change != "":
				t.Fatalf("in with %+v %+v", shown, agent)
			case demand.Second > 0 && best(agent.Held) > 0 && best(shown.Proofs) == 0:
				t.Fatalf("in without the second proof that is held: %+v %+v %+v", shown, agent, demand)
			case demand.Second >= parvis.NoSMS && best(agent.Held) >= parvis.NoSMS && best(shown.Proofs) < parvis.NoSMS:
				t.Fatalf("in with a message where more is demanded and held: %+v %+v %+v", shown, agent, demand)
			case each(demand.Verifier) && agent.Linked && !slices.Contains(shown.Proofs, parvis.Verifier) &&
				(!demand.Fallback || best(shown.Proofs) == 0 || !slices.Contains(shown.Proofs, parvis.VerifierWaived)):
				t.Fatalf("in past the verifier: %+v %+v %+v", shown, agent, demand)
			}
		}
		if !proven && step != Next(shown, other, Demand{}) {
			t.Fatalf("before a proof the step depends on the agent: %+v", shown)
		}
	})
}

// What a password alone, stolen, may do to the methods of its owner.
func TestMayChange(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	kinds := func(k ...parvis.ProofKind) []parvis.ProofKind { return k }
	shown := func(age time.Duration, k ...parvis.ProofKind) (all []parvis.Proof) {
		for _, kind := range k {
			all = append(all, parvis.Proof{Kind: kind, At: at.Add(-age)})
		}
		return all
	}
	const stepUp, forbidden = parvis.WhyStepUpRequired, parvis.WhyFactorEnrolHereForbidden
	for _, c := range []struct {
		name      string
		in        changing
		add, take parvis.ReasonCode
	}{
		{"a password, outside", changing{Shown: shown(0, parvis.Password)}, forbidden, stepUp},
		{"a password and the verifier, outside", changing{Shown: shown(0, parvis.Password, parvis.Verifier)}, forbidden, stepUp},
		{"a password, at the office", changing{Shown: shown(0, parvis.Password), Here: true}, "", stepUp},
		{"an activation", changing{Activation: true}, "", stepUp},
		{"a temporary code, outside", changing{Shown: shown(recent-1, parvis.TemporaryCode)}, "", ""},
		{"… too long ago", changing{Shown: shown(recent, parvis.TemporaryCode)}, forbidden, stepUp},
		{"… from the future", changing{Shown: shown(-1, parvis.TemporaryCode)}, forbidden, stepUp},
		{"one is held, at the office", changing{Held: kinds(parvis.TOTP), Shown: shown(0, parvis.Password), Here: true}, stepUp, stepUp},
		{"one is held, in an activation", changing{Held: kinds(parvis.TOTP), Activation: true}, stepUp, stepUp},
		{"it was shown", changing{Held: kinds(parvis.TOTP), Shown: shown(recent-1, parvis.TOTP)}, "", ""},
		{"a message where nothing else is held", changing{Held: kinds(parvis.SMS), Shown: shown(0, parvis.SMS)}, "", ""},
		{"a message beside a passkey", changing{Held: kinds(parvis.SMS, parvis.Passkey), Shown: shown(0, parvis.SMS)}, stepUp, stepUp},
		{"a message where it does not count", changing{Held: kinds(parvis.SMS), Demanded: 2, Shown: shown(0, parvis.SMS)}, forbidden, stepUp},
		{"… at the office", changing{Held: kinds(parvis.SMS), Demanded: 2, Shown: shown(0, parvis.SMS), Here: true}, "", stepUp},
		{"a recovery code for a lost passkey", changing{Held: kinds(parvis.Passkey, parvis.RecoveryCode), Demanded: 3, Shown: shown(0, parvis.RecoveryCode)}, "", ""},
		{"recovery codes are held", changing{Held: kinds(parvis.RecoveryCode), Here: true}, stepUp, stepUp},
		{"a code where a passkey is demanded", changing{Held: kinds(parvis.TOTP), Demanded: 3, Here: true}, stepUp, stepUp},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.At = at
			if add, take := mayAdd(c.in), mayTake(c.in); add != c.add || take != c.take {
				t.Errorf("add %q, want %q; take %q, want %q", add, c.add, take, c.take)
			}
		})
	}
}

// Whoever is kept out is told who can act on the cause.
func TestHelper(t *testing.T) {
	for why, want := range map[parvis.ReasonCode]parvis.Actor{
		parvis.WhyAccountNotStarted: parvis.ByHRUnit, parvis.WhyAccountSuspended: parvis.ByHRUnit, parvis.WhyAccountClosed: parvis.ByHRUnit,
		parvis.WhyVerifierUnavailable: parvis.ByITContact, "": parvis.BySupportDesk,
	} {
		if got := helper(StepBlocked, why); got != want {
			t.Errorf("%s: %s, want %s", why, got, want)
		}
	}
	if helper(StepDone, "") != "" || helper("?", "") == "" {
		t.Error("who is in needs nobody, who is at an unknown step does")
	}
}
