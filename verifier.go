package parvis

// VerifierMode says what part the verifier account has in opening a session.
type VerifierMode string

// The modes, from the least to the most demanding.
const (
	VerifierOff     VerifierMode = "off"
	VerifierOffered VerifierMode = "offered" // the agent may tie one
	VerifierFirst   VerifierMode = "first"   // one must be tied, at the first connection
	VerifierEach    VerifierMode = "each"    // it vouches for every session
)

// rank places a mode among the others. One that is not known is the strictest.
func (m VerifierMode) rank() int {
	switch m {
	case VerifierOff, "":
		return 0
	case VerifierOffered:
		return 1
	case VerifierFirst:
		return 2
	}
	return 3
}

// VerifierRule gives a mode to the agents of a profile at an entrance.
type VerifierRule struct {
	Profile ProfileID // "" for everybody
	Channel Channel   // "" for every entrance
	Mode    VerifierMode
}

// StrictestVerifier gives the most demanding mode among the rules that concern
// an agent at an entrance; [VerifierOff] when none does, and [VerifierEach]
// for a mode that is not known.
func StrictestVerifier(rules []VerifierRule, a *Agent, c Channel) VerifierMode {
	most := VerifierOff
	for _, r := range rules {
		if (r.Profile == "" || a.Is(r.Profile)) && (r.Channel == "" || r.Channel == c) && r.Mode.rank() > most.rank() {
			most = r.Mode
		}
	}
	if most.rank() == VerifierEach.rank() {
		return VerifierEach
	}
	return most
}
