package signin

import (
	"slices"

	"parvis"
)

// rank orders the levels of domain.md 3.1; 0 for what is none.
func rank(level string) int {
	return 1 + slices.Index([]string{"eidas1", "eidas1-mfa", "eidas2", "eidas3"}, level)
}

// KnownLevel tells whether a level can be asked for in [Proving].
func KnownLevel(level string) bool { return rank(level) > 0 }

// Reaches tells whether proofs together are at least of a level, as
// [parvis.Levels] reads them. Nothing reaches a level that is not known; the
// empty one is reached by anything.
func Reaches(proofs []parvis.Proof, level string) bool {
	if level == "" {
		return true
	}
	acr, _ := parvis.Levels(proofs)
	return rank(level) > 0 && rank(acr) >= rank(level)
}

// reaching keeps the methods that make a session reach a level by being shown
// now: of what was shown before, only the password counts beside them.
func reaching(methods []parvis.Held, shown []parvis.Proof, level string) []parvis.Held {
	if level == "" {
		return methods
	}
	return slices.DeleteFunc(slices.Clone(methods), func(m parvis.Held) bool {
		with := slices.DeleteFunc(slices.Clone(shown), func(p parvis.Proof) bool { return p.Kind != parvis.Password })
		return !Reaches(append(with, parvis.Proof{Kind: m.Kind, Hardware: m.Hardware}), level)
	})
}
