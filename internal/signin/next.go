package signin

import (
	"slices"
	"time"

	"parvis"
)

// Step is what the door asks next.
type Step string

// The steps. The last three end: in, wait until, or a named person.
const (
	StepIdentifier   Step = "identifier"
	StepSecret       Step = "secret"
	StepSecondFactor Step = "second_factor"
	StepVerifier     Step = "verifier"
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
	State  parvis.State
	Change parvis.ReasonCode  // why the password must change first; empty when it need not
	Held   []parvis.ProofKind // the second proofs that the agent holds and can show here
	Linked bool               // a verifier's account vouches for the agent
}

// Demand is what the door asks beyond the first proof. What an application asks
// is decided there; the door asks only for what can be shown.
type Demand struct {
	Second   int // the least strength of a second proof; 0 for none
	Verifier parvis.VerifierMode
	Down     bool // the verifier does not answer
	Fallback bool // a second proof may then stand in for it
}

// Next names the step that follows. It is pure and total, and what it does not
// recognise is blocked: success is the last line, reached when nothing else
// holds. Before a proof nothing depends on the agent.
func Next(shown Shown, agent Facts, demand Demand) Step {
	switch {
	case shown.Identifier == "":
		return StepIdentifier
	case shown.Wait:
		return StepWait
	case !slices.ContainsFunc(shown.Proofs, first):
		return StepSecret
	case !opens(agent.State):
		return StepBlocked
	case best(shown.Proofs) < least(demand.Second, agent.Held):
		return StepSecondFactor
	case agent.Linked && each(demand.Verifier) && !vouched(shown.Proofs, demand.Fallback):
		return vouch(shown, agent, demand)
	case agent.Change != "":
		return StepNewPassword
	}
	return StepDone
}

// vouch is the step of somebody for whom the verifier must vouch now. When it
// does not answer nothing weaker happens unseen: the policy must allow it, a
// second proof is shown, and the agent chooses it.
func vouch(shown Shown, agent Facts, demand Demand) Step {
	switch {
	case !demand.Down:
		return StepVerifier
	case !demand.Fallback:
		return StepBlocked
	case best(shown.Proofs) > 0:
		return StepVerifier // the page says that it does not answer, and offers to go on otherwise
	case best(agent.Held) > 0:
		return StepSecondFactor
	}
	return StepBlocked
}

// each tells whether the verifier vouches at each sign-in. A mode that is not
// known asks the most.
func each(m parvis.VerifierMode) bool {
	switch m {
	case "", parvis.VerifierOff, parvis.VerifierOffered, parvis.VerifierFirst:
		return false
	}
	return true
}

func vouched(shown []parvis.ProofKind, fallback bool) bool {
	return slices.Contains(shown, parvis.Verifier) ||
		fallback && slices.Contains(shown, parvis.VerifierWaived) && best(shown) > 0
}

// first tells whether a kind of proof opens the door by itself: a passkey does,
// because it asks its owner for a gesture or a code of their own.
func first(k parvis.ProofKind) bool { return k == parvis.Password || k == parvis.Passkey }

// best is the greatest strength among kinds.
func best(kinds []parvis.ProofKind) int {
	most := 0
	for _, k := range kinds {
		most = max(most, k.Strength())
	}
	return most
}

// enough is the strength that ends the question for a second proof, at the door
// and before a change of proofs. Whoever has left a passkey at home must be able
// to come in with a code, and applications refuse what is too weak for them; but
// a text message does not stand in for more than itself.
const enough = 2

// least is the strength that the door waits for: what is demanded, as far as
// it is held.
func least(demanded int, held []parvis.ProofKind) int {
	return min(demanded, best(held), enough)
}

// opens tells whether a session may begin in a state. An absence or the end of
// a contract leaves something open (domain.md 2.3), so the agent comes in and
// sees what; an account off since a change of assignment is Active here, and
// what it keeps is decided application by application.
func opens(s parvis.State) bool {
	return s == parvis.Active || s == parvis.RestrictedHR || s == parvis.DocumentsOnly
}

// helper is who helps whoever cannot do what a step asks. Only the end has none.
func helper(step Step, why parvis.ReasonCode) parvis.Actor {
	switch step {
	case StepDone:
		return ""
	case StepSecret, StepSecondFactor, StepNewPassword:
		return parvis.ByITContact // hands over codes, in person
	case StepVerifier:
		return parvis.ByVerifierOwner
	case StepBlocked:
		switch why {
		case parvis.WhyAccountNotStarted, parvis.WhyAccountSuspended, parvis.WhyAccountClosed:
			return parvis.ByHRUnit
		case parvis.WhyVerifierUnavailable:
			return parvis.ByITContact
		}
	}
	return parvis.BySupportDesk
}

// recent is how long a proof shown in a session allows what the session alone
// does not (domain.md 4.10, step_up_max_age).
const recent = 15 * time.Minute

// changing is what is known when somebody wants to change what they prove
// themselves with.
type changing struct {
	Held       []parvis.ProofKind // wherever they count
	Demanded   int                // the least strength, anywhere
	Shown      []parvis.Proof
	Here       bool // a first method may be added at this entrance
	Activation bool // within an activation
	Tied       bool // an outside account vouches for the agent
	At         time.Time
	Slack      time.Duration // how much longer what was shown counts: a trip to a verifier is one act
}

// mayAdd tells what stands between somebody and another method; empty when
// nothing does. A password alone must never be enough to add one from outside
// (product rule 7), nor anywhere beside a method that is held.
func mayAdd(c changing) parvis.ReasonCode {
	held := best(c.Held)
	if held < c.Demanded && held < enough {
		held = 0 // a text message, where it does not count
	}
	switch fresh := c.fresh(); {
	case fresh > 0 && fresh >= min(held, enough):
		return ""
	case held > 0:
		return parvis.WhyStepUpRequired
	case c.Here, c.Activation:
		return ""
	}
	return parvis.WhyFactorEnrolHereForbidden
}

// mayTake tells what stands between somebody and taking away or replacing what
// is there: a second proof that was just shown, whatever the entrance.
func mayTake(c changing) parvis.ReasonCode {
	if fresh := c.fresh(); fresh > 0 && fresh >= min(best(c.Held), enough) {
		return ""
	}
	return parvis.WhyStepUpRequired
}

// fresh is the strength of what was shown a moment ago. A moment ahead is not.
func (c changing) fresh() int {
	most := 0
	for _, p := range c.Shown {
		if age := c.At.Sub(p.At); age >= 0 && age < recent+c.Slack && (p.Kind.Strength() >= enough || c.Demanded < enough) {
			most = max(most, p.Kind.Strength())
		}
	}
	return most
}
