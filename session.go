package parvis

import "time"

// SessionID names a session without being its secret: the SHA-256 of the
// cookie, cut to 16 bytes. It may be shown, logged and listed.
type SessionID [16]byte

// Session is what an agent opened by proving themselves: through which
// entrance, with which proofs, until when. Changing entrance decides again; it
// does not sign out (product rule 3).
type Session struct {
	ID       SessionID
	Agent    AgentNumber
	Channel  Channel // the entrance through which it began
	Device   DeviceID
	Proofs   []Proof
	Began    time.Time
	LastSeen time.Time
	Idle     time.Time // ends then unless used
	Ends     time.Time // ends then whatever happens
	Epoch    uint32    // grows whenever what was proved changes
}
