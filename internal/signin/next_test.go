package signin

import (
	"testing"

	"pgregory.net/rapid"

	"parvis"
)

func TestNext(t *testing.T) {
	password := []parvis.ProofKind{parvis.Password}
	both := []parvis.ProofKind{parvis.Password, parvis.TOTP}
	second := Demand{Second: true}
	totp := []parvis.ProofKind{parvis.TOTP}
	tests := []struct {
		name   string
		shown  Shown
		agent  Facts
		demand Demand
		want   Step
	}{
		{"nothing shown", Shown{}, Facts{}, Demand{}, StepIdentifier},
		{"a proof without an identifier", Shown{Proofs: both}, Facts{State: parvis.Active}, Demand{}, StepIdentifier},
		{"an identifier", Shown{Identifier: "A1"}, Facts{}, Demand{}, StepSecret},
		{"an identifier, state known", Shown{Identifier: "A1"}, Facts{State: parvis.Suspended}, second, StepSecret},
		{"a wait", Shown{Identifier: "A1", Wait: true}, Facts{}, Demand{}, StepWait},
		{"a wait comes before a proof", Shown{Identifier: "A1", Wait: true, Proofs: password}, Facts{State: parvis.Active}, Demand{}, StepWait},
		{"active", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active}, Demand{}, StepDone},
		{"long absence", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.RestrictedHR}, Demand{}, StepDone},
		{"after the contract", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.DocumentsOnly}, Demand{}, StepDone},
		{"before the contract", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.PreArrival}, Demand{}, StepBlocked},
		{"suspended", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Suspended}, Demand{}, StepBlocked},
		{"closed", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Closed}, Demand{}, StepBlocked},
		{"an unknown state", Shown{Identifier: "A1", Proofs: password}, Facts{}, Demand{}, StepBlocked},
		{"closed and expired", Shown{Identifier: "A1", Proofs: both}, Facts{State: parvis.Closed, Change: parvis.WhyPasswordExpired, Checkable: totp}, second, StepBlocked},
		{"expired", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active, Change: parvis.WhyPasswordExpired}, Demand{}, StepNewPassword},
		{"a second proof that cannot be checked yet", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active}, second, StepDone},
		{"a second proof that can", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active, Checkable: totp}, second, StepSecondFactor},
		{"not demanded", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active, Checkable: totp}, Demand{}, StepDone},
		{"checkable, and no second proof", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active, Checkable: password}, second, StepDone},
		{"the second proof comes before the change", Shown{Identifier: "A1", Proofs: password}, Facts{State: parvis.Active, Checkable: totp, Change: parvis.WhyPasswordExpired}, second, StepSecondFactor},
		{"then the change", Shown{Identifier: "A1", Proofs: both}, Facts{State: parvis.Active, Checkable: totp, Change: parvis.WhyPasswordExpired}, second, StepNewPassword},
		{"then in", Shown{Identifier: "A1", Proofs: both}, Facts{State: parvis.Active, Checkable: totp}, second, StepDone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Next(test.shown, test.agent, test.demand); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// Nobody comes in without an identifier, a proof, a state that opens and a
// password that may stay; and before a proof nothing depends on the agent.
func TestNextNeverOpensTooSoon(t *testing.T) {
	kinds := []parvis.ProofKind{parvis.Password, parvis.TOTP, parvis.SMS, parvis.Verifier, "?"}
	states := []parvis.State{parvis.PreArrival, parvis.Active, parvis.RestrictedHR, parvis.DocumentsOnly, parvis.Suspended, parvis.Closed, "", "?"}
	rapid.Check(t, func(t *rapid.T) {
		facts := func(label string) Facts {
			return Facts{
				State:     rapid.SampledFrom(states).Draw(t, label+" state"),
				Change:    rapid.SampledFrom([]parvis.ReasonCode{"", parvis.WhyPasswordExpired}).Draw(t, label+" change"),
				Checkable: rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 3).Draw(t, label+" checkable"),
			}
		}
		shown := Shown{
			Identifier: rapid.SampledFrom([]string{"", "A1"}).Draw(t, "identifier"),
			Proofs:     rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 3).Draw(t, "proofs"),
			Wait:       rapid.Bool().Draw(t, "wait"),
		}
		demand := Demand{Second: rapid.Bool().Draw(t, "second")}
		agent, other := facts("agent"), facts("other")
		step := Next(shown, agent, demand)
		if step == StepDone && (shown.Identifier == "" || len(shown.Proofs) == 0 || shown.Wait || !opens(agent.State) || agent.Change != "") {
			t.Fatalf("in with %+v %+v", shown, agent)
		}
		if len(shown.Proofs) == 0 && step != Next(shown, other, Demand{}) {
			t.Fatalf("before a proof the step depends on the agent: %+v", shown)
		}
	})
}
