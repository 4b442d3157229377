package parvis

import "time"

// ProofKind is something an agent shows to prove who they are.
type ProofKind string

// The kinds of proof (product.md section 3).
const (
	Password      ProofKind = "password"
	Verifier      ProofKind = "verifier"
	TOTP          ProofKind = "totp"
	SMS           ProofKind = "sms"
	Passkey       ProofKind = "passkey"
	RecoveryCode  ProofKind = "recovery_code"
	TemporaryCode ProofKind = "temporary_code"
)

// Second tells whether the kind counts as a second proof. A message to a
// mailbox never does, nor does the verifier's word alone.
func (k ProofKind) Second() bool {
	switch k {
	case TOTP, SMS, Passkey, RecoveryCode, TemporaryCode:
		return true
	}
	return false
}

// Proof is a kind of proof and when it was shown.
type Proof struct {
	Kind ProofKind `json:"kind"`
	At   time.Time `json:"at"`
}

// Standing is what is known of the ways in which an agent can prove
// themselves: read with the agent, decided upon, never shown to strangers.
type Standing struct {
	Activated       bool
	PasswordSince   time.Time // when the present password was chosen; zero when there is none
	PasswordExpires time.Time // zero when it does not
	PasswordLeaked  bool      // it must be changed before anything else
	LockedUntil     time.Time // the account is paused for everybody but proven devices until then
	Enrolled        []ProofKind
	VerifierLinked  bool
	Devices         []Device
}

// SecondEnrolled tells whether the agent holds any second proof.
func (s *Standing) SecondEnrolled() bool {
	for _, k := range s.Enrolled {
		if k.Second() {
			return true
		}
	}
	return false
}
