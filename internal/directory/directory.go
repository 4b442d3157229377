// Package directory keeps the life of an account: who works here, for whom,
// where, until when; read from the HR file, completed by IT.
//
// It promises that an HR file nobody tuned is read to its end, that every line
// it does not take is named with all its faults, that the same file twice
// changes nothing, that a file which would shut too many accounts does not
// pass without a name under it, and that an agent whom a file forgets is
// flagged, never closed. An import may be killed at any moment: whole chunks
// are in, each with its events, and the next run does the rest.
//
// It refuses to know why somebody is ill: only a class of absence comes in, and
// what was written instead of one is neither kept nor repeated. It does not
// decide what opens (package access), and it does not store a state: what an
// account is today follows from dates ([parvis.Agent.StateAt]).
//
//	Read    bytes → File      lines taken, lines refused and why
//	Plan    File  → Plan      what would change, and whether it may
//	Apply   Plan  → Report    changed in chunks, recorded agent by agent
//
//	Facts   an agent and their standing, from memory, for every request
//	Find, List, Show, Units   look
//	GrantRole, SetProfiles, Entitle, MarkOff, Reactivate…   what IT and HR set by hand
//
// Facts are dropped when the store tells that an event concerned their agent,
// so memory is never older than the last commit this process has seen.
package directory

import (
	"sync"
	"time"

	"parvis"
	"parvis/internal/store"
)

// Directory is the counter of agents. Store, Clock and Zone are required; the
// rest works when zero. It must not be copied once used.
type Directory struct {
	Store *store.Store
	Clock func() time.Time
	Zone  *time.Location // of the organisation: a date of the HR file is a midnight there

	// MaxClosing and MaxMissing are the shares of the present agents that one
	// import may shut, and may no longer name. Zero gives 0.02 and 0.20.
	MaxClosing, MaxMissing float64

	// Shut, when set, is called in the transaction that shuts an account, so
	// that its sessions end with it. It may only act through tx.
	Shut func(tx *store.Tx, number parvis.AgentNumber, why string) error

	follow sync.Once
	facts  [shards]shard
}
