package signin

import (
	"slices"

	"parvis"
)

// Step is what the door asks next.
type Step string

// The steps. StepSecondFactor is named only when the door can check a kind of
// second proof that the agent holds.
const (
	StepIdentifier   Step = "identifier"
	StepSecret       Step = "secret"
	StepSecondFactor Step = "second_factor"
	StepNewPassword  Step = "password_change_required"
	StepWait         Step = "locked_wait"
	StepBlocked      Step = "blocked"
	StepDone         Step = "done"
)

// Shown is what a flow has been answered so far.
type Shown struct {
	Identifier string
	Proofs     []parvis.ProofKind
	Wait       bool // the last secret was refused for a time
}

// Facts is what is known of the agent. It is not looked at before a proof.
type Facts struct {
	State     parvis.State
	Change    parvis.ReasonCode  // why the password must change first; empty when it need not
	Checkable []parvis.ProofKind // the kinds the agent holds and the vault can check
}

// Demand is what the door asks beyond the first proof. What an application asks
// is decided there; the door asks only for what can be shown.
type Demand struct{ Second bool }

// Next names the step that follows. It is pure, and what it does not recognise
// is blocked: success is the last line, reached when nothing else holds.
func Next(shown Shown, agent Facts, demand Demand) Step {
	second := func(kinds []parvis.ProofKind) bool { return slices.ContainsFunc(kinds, parvis.ProofKind.Second) }
	switch {
	case shown.Identifier == "":
		return StepIdentifier
	case shown.Wait:
		return StepWait
	case len(shown.Proofs) == 0:
		return StepSecret
	case !opens(agent.State):
		return StepBlocked
	case demand.Second && second(agent.Checkable) && !second(shown.Proofs):
		return StepSecondFactor
	case agent.Change != "":
		return StepNewPassword
	}
	return StepDone
}

// opens tells whether a session may begin in a state. An absence or the end of
// a contract leaves something open (domain.md 2.3), so the agent comes in and
// sees what; an account off since a change of assignment is Active here, and
// what it keeps is decided application by application.
func opens(s parvis.State) bool {
	return s == parvis.Active || s == parvis.RestrictedHR || s == parvis.DocumentsOnly
}
