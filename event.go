package parvis

import "time"

// Event is one record of the audit trail. What is not recorded did not
// happen: a transaction that changes something records at least one
// (product rule 9). Detail never holds a secret.
type Event struct {
	Seq       int64       // position in the log, from 0, without a gap; set when recorded
	At        time.Time   // UTC, to the microsecond; set when recorded
	Kind      string      // "sign_in.ok", "agent.imported": noun, then verb
	Agent     AgentNumber // whom it is about; empty when nobody
	Actor     string      // who did it: an agent number, "system", or "operator:NAME"
	Channel   Channel     // through which entrance; empty from the machine itself
	Address   string      // from where, when it came over the network
	App       AppID
	Reference Reference         // the refusal it belongs to
	Reasons   []ReasonCode      // the reasons of a refusal
	Detail    map[string]string // anything else worth keeping, by short key
}
