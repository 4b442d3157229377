package parvis

import "time"

// Decision is the answer of the one function that decides. A refusal is an
// answer: it carries every reason and the ways out, and is never an error.
type Decision struct {
	Open     bool      // the application may be used now
	Limited  bool      // … in its reduced version
	Until    time.Time // the answer holds until then; zero when nothing dated can change it
	Reasons  []Reason  // every reason of a refusal, most telling first; empty when open
	Ways     []Way     // at most three, smallest first; sound and minimal
	Policies []string  // the identifiers of the policies that determined the answer, sorted
}

// Codes lists the codes of the reasons, in order.
func (d *Decision) Codes() []ReasonCode {
	codes := make([]ReasonCode, len(d.Reasons))
	for i, r := range d.Reasons {
		codes[i] = r.Code
	}
	return codes
}

// Has tells whether the decision was refused for reason c.
func (d *Decision) Has(c ReasonCode) bool {
	for _, r := range d.Reasons {
		if r.Code == c {
			return true
		}
	}
	return false
}

// Reason is one cause of a refusal: a code of the closed list and the policy
// that said so. At is the moment the sentence needs (an opening, an expiry).
type Reason struct {
	Code   ReasonCode
	Policy string
	At     time.Time
}

// ChangeKind is what a way changes.
type ChangeKind string

// The kinds of change (contract.md, "Over HTTP").
const (
	ChangeChannel     ChangeKind = "channel"
	ChangeProof       ChangeKind = "proof"
	ChangeTime        ChangeKind = "time"
	ChangeDevice      ChangeKind = "device"
	ChangeLink        ChangeKind = "link"
	ChangePassword    ChangeKind = "password"
	ChangeEntitlement ChangeKind = "entitlement"
	ChangeAccount     ChangeKind = "account"
)

// Actor says who makes a change (domain.md 6.1).
type Actor string

// The actors.
const (
	BySelf          Actor = "self"
	ByITContact     Actor = "it_contact"
	BySupportDesk   Actor = "support_desk"
	ByHRUnit        Actor = "hr_unit"
	ByITDepartment  Actor = "it_department"
	ByAppOwner      Actor = "app_owner"
	ByVerifierOwner Actor = "verifier_owner"
	ByManager       Actor = "manager"
)

// Change is one step of a way. To is what to change to ("vpn", "totp",
// "activated"…); From is the moment from which it can be true, when known;
// Lead is the usual delay, when known.
type Change struct {
	Kind ChangeKind
	To   string
	By   Actor
	From time.Time
	Lead time.Duration
}

// Way is a smallest set of changes that opens what was refused: the engine
// that refused accepts it once they are made, and no proper part is enough.
type Way struct{ Changes []Change }
