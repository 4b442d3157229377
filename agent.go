package parvis

import (
	"slices"
	"strings"
	"time"
)

// AgentNumber names an agent for life: unique, never reused, unchanged by a
// move. It is not a secret and proves nothing.
type AgentNumber string

// ParseAgentNumber gives the canonical form of what was typed or imported:
// upper case, without blanks. It answers false for anything that is not 1 to
// 32 letters, digits or hyphens.
func ParseAgentNumber(s string) (AgentNumber, bool) {
	s = strings.ToUpper(strings.Join(strings.Fields(s), ""))
	if s == "" || len(s) > 32 {
		return "", false
	}
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && r != '-' {
			return "", false
		}
	}
	return AgentNumber(s), true
}

// UnitPath is a place in the tree of units, root first, parts divided by "/".
type UnitPath string

// Ancestors lists the path itself and every unit above it, nearest first.
func (u UnitPath) Ancestors() []UnitPath {
	var all []UnitPath
	for p := string(u); p != ""; {
		all = append(all, UnitPath(p))
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return all
}

// ProfileID names a set of demands. Several may apply; the strictest wins.
type ProfileID string

// The profiles that are shipped. An organisation adds its own.
const (
	Standard       ProfileID = "standard"
	Executive      ProfileID = "executive"
	ExtendedRights ProfileID = "extended_rights"
	SocialData     ProfileID = "social_data"
)

// Role is what somebody may do for others (product.md section 2).
type Role string

// The roles, from the least to the most authority.
const (
	RoleITContact       Role = "it_contact"
	RoleSupportDesk     Role = "support_desk"
	RoleHROfficer       Role = "hr_officer"
	RoleAuditor         Role = "auditor"
	RoleITDepartment    Role = "it_department"
	RoleSecurityOfficer Role = "security_officer"
)

// Roles lists every role that can be granted.
func Roles() []Role {
	return []Role{RoleITContact, RoleSupportDesk, RoleHROfficer, RoleAuditor, RoleITDepartment, RoleSecurityOfficer}
}

// State is what HR facts and dates make of an account (domain.md 2.3).
type State string

// The six states. The zero State is unknown, and opens nothing.
const (
	PreArrival    State = "pre_arrival"    // activation only
	Active        State = "active"         // at work
	RestrictedHR  State = "restricted_hr"  // a long absence: pay slips, leave, certificates, contact data
	DocumentsOnly State = "documents_only" // outside position, or after the contract: pay slips and certificates
	Suspended     State = "suspended"      // a dated decision by name
	Closed        State = "closed"         // nothing; the number stays taken for ever
)

// Absence is the class of an absence. The medical reason is never known here.
type Absence string

// The classes of absence and position that HR may send (domain.md 2.3).
const (
	NoAbsence        Absence = ""
	ShortAbsence     Absence = "short_absence"
	ParentalAbsence  Absence = "parental_absence"
	LongSickAbsence  Absence = "long_sick_absence"
	ParentalLeave    Absence = "parental_leave"
	OutsidePosition  Absence = "outside_position"
	PrecautionaryOff Absence = "precautionary_suspension"
)

// Absences lists every class that an HR file may name.
func Absences() []Absence {
	return []Absence{ShortAbsence, ParentalAbsence, LongSickAbsence, ParentalLeave, OutsidePosition, PrecautionaryOff}
}

// Agent is what HR and IT know of one member of staff. Dates are midnights in
// the organisation's time zone; a zero time is unknown or unset.
type Agent struct {
	Number         AgentNumber
	FamilyName     string // civil family name
	UsageName      string // the name used at work; empty when it is the family name
	GivenNames     string
	Unit           UnitPath
	Employer       string // SIRET, 14 digits
	Category       string // tenured, probationary, contract, casual, seasonal, apprentice, intern, civic_service, elected, external
	Position       string // statutory position, as HR sends it
	Absence        Absence
	AbsenceFrom    time.Time
	AbsenceUntil   time.Time // expected end; zero when open-ended
	ContractFrom   time.Time
	ContractUntil  time.Time // last day worked, inclusive; zero when open-ended
	JobCode        string
	JobLabel       string
	Manager        AgentNumber
	HRUnit         string
	Email          string // professional mailbox; may be empty
	PersonalEmail  string
	PersonalMobile string
	Badge          string
	Profiles       []ProfileID // set by IT; standard is implied when empty
	Entitlements   []AppID
	Roles          []Role
	OffSince       time.Time // off since a change of assignment that HR has not confirmed; zero when not
	NewUnit        UnitPath  // where that change leads
	DeceasedOn     time.Time
	MissingSince   time.Time // absent from the last HR file since; flagged, never closed for it
}

// Name is the name to show: given names, then the usage or the family name.
func (a *Agent) Name() string {
	family := a.UsageName
	if family == "" {
		family = a.FamilyName
	}
	return strings.TrimSpace(a.GivenNames + " " + family)
}

// Is tells whether the agent has profile p. Everybody is at least standard.
func (a *Agent) Is(p ProfileID) bool {
	return p == Standard && len(a.Profiles) == 0 || slices.Contains(a.Profiles, p)
}

// documentsDays is how long documents stay open after the contract (domain.md 2.3).
const documentsDays = 60

// StateAt computes the state of the account at t from HR facts and dates
// alone (domain.md 2.3): nothing is stored, so nothing can be forgotten on the
// day. An agent without a start date is not open yet: unknown means refused.
func (a *Agent) StateAt(t time.Time) State {
	afterContract := time.Time{}
	if !a.ContractUntil.IsZero() {
		afterContract = a.ContractUntil.AddDate(0, 0, 1)
	}
	away := a.Absence != NoAbsence && !a.AbsenceFrom.After(t) &&
		(a.AbsenceUntil.IsZero() || t.Before(a.AbsenceUntil.AddDate(0, 0, 1)))
	switch {
	case !a.DeceasedOn.IsZero() && !a.DeceasedOn.After(t):
		return Closed
	case !afterContract.IsZero() && !t.Before(afterContract.AddDate(0, 0, documentsDays)):
		return Closed
	case away && a.Absence == PrecautionaryOff:
		return Suspended
	case !afterContract.IsZero() && !t.Before(afterContract):
		return DocumentsOnly
	case a.ContractFrom.IsZero() || t.Before(a.ContractFrom):
		return PreArrival
	case away && a.Absence == OutsidePosition:
		return DocumentsOnly
	case away && (a.Absence == LongSickAbsence || a.Absence == ParentalLeave):
		return RestrictedHR
	}
	return Active
}

// Turns lists the moments after t at which [Agent.StateAt] or a dated fact of
// the agent may change, in no order. A decision holds at most until the first.
func (a *Agent) Turns(t time.Time) []time.Time {
	var all []time.Time
	add := func(at time.Time) {
		if at.After(t) {
			all = append(all, at)
		}
	}
	for _, at := range []time.Time{a.ContractFrom, a.DeceasedOn, a.OffSince} {
		if !at.IsZero() {
			add(at)
		}
	}
	if !a.ContractUntil.IsZero() {
		add(a.ContractUntil.AddDate(0, 0, 1))
		add(a.ContractUntil.AddDate(0, 0, 1+documentsDays))
	}
	if a.Absence != NoAbsence {
		add(a.AbsenceFrom)
		if !a.AbsenceUntil.IsZero() {
			add(a.AbsenceUntil.AddDate(0, 0, 1))
		}
	}
	return all
}
