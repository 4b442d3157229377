package parvis

import (
	"slices"
	"time"
)

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

	// VerifierWaived is no proof: the verifier did not answer, and the
	// fallback that policy allows let a second proof stand in for it.
	VerifierWaived ProofKind = "verifier_waived"
)

// Second tells whether the kind counts as a second proof. A message to a
// mailbox never does, nor does the verifier's word alone.
func (k ProofKind) Second() bool { return k.Strength() > 0 }

// The strengths of a second proof, and the least that a [Demand] may ask.
const (
	AnySecond         = 1 // also a text message
	NoSMS             = 2 // a code that travels over no telephone network
	PhishingResistant = 3 // it cannot be given to the wrong site
)

// Strength ranks the kind among second proofs; 0 for what is none.
func (k ProofKind) Strength() int {
	switch k {
	case SMS:
		return AnySecond
	case TOTP, RecoveryCode, TemporaryCode:
		return NoSMS
	case Passkey:
		return PhishingResistant
	}
	return 0
}

// Proof is a kind of proof and when it was shown.
type Proof struct {
	Kind     ProofKind `json:"kind"`
	At       time.Time `json:"at"`
	Hardware bool      `json:"hardware,omitempty"` // a passkey whose key never leaves its device
}

// Held is one second proof that an agent holds, as it may be shown to them:
// nothing of its secret.
type Held struct {
	ID       string
	Agent    AgentNumber
	Kind     ProofKind
	Name     string // given by the agent
	Since    time.Time
	LastUsed time.Time // zero when never
	Site     string    // of a passkey: the site (WebAuthn RP ID) it belongs to
	Hardware bool      // of a passkey: its key never leaves its device
	Synced   bool      // of a passkey: it is copied to the agent's other devices
	Left     int       // of recovery codes: those not used
	Hint     string    // of a telephone: its number, masked
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
	Sites           []string  // the sites of the passkeys held, sorted, each once
	Temporary       time.Time // a temporary code that was not used is good until then; zero when there is none
	VerifierLinked  bool
	Links           []string  // the issuers of the verifier accounts tied to the agent, sorted
	SecondAsked     time.Time // when the IT contact was asked for a second method; zero when nothing is pending
	Devices         []Device
}

// SecondEnrolled tells whether the agent holds any second proof.
func (s *Standing) SecondEnrolled() bool { return slices.ContainsFunc(s.Enrolled, ProofKind.Second) }

// Levels tells how strong proofs are together, as other services read it: the
// level of domain.md 3.1, which is that of the weakest pillar, and the methods
// (RFC 8176), in a fixed order. It never over-declares: a kind it does not
// know counts for nothing, as does the word of a verifier, whose own level is
// known elsewhere; two proofs of the same nature are one factor. Without any
// proof the level is empty; methods that no registered value names are left out.
func Levels(proofs []Proof) (acr string, amr []string) {
	var pwd, otp, sms, second, passkey, hardware, synced, vouched bool
	for _, p := range proofs {
		switch p.Kind {
		case Password:
			pwd = true
		case TOTP:
			otp, second = true, true
		case SMS:
			sms, second = true, true
		case RecoveryCode, TemporaryCode:
			second = true
		case Passkey:
			passkey = true
			hardware, synced = hardware || p.Hardware, synced || !p.Hardware
		case Verifier:
			vouched = true
		}
	}
	// A passkey is two factors by itself: it is only accepted once its holder
	// was verified on the device (WebAuthn §6.1, flag UV).
	mfa := passkey || pwd && second
	switch {
	case hardware:
		acr = "eidas3"
	case passkey, pwd && otp:
		acr = "eidas2"
	case mfa:
		acr = "eidas1-mfa"
	case pwd, second, vouched:
		acr = "eidas1"
	}
	for _, m := range [...]struct {
		shown bool
		name  string
	}{
		{pwd, "pwd"}, {otp, "otp"}, {sms, "sms"}, {passkey, "pop"}, {synced, "swk"}, {hardware, "hwk"}, {passkey, "user"}, {mfa, "mfa"},
	} {
		if m.shown {
			amr = append(amr, m.name)
		}
	}
	return acr, amr
}
