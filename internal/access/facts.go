package access

import (
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"parvis"
)

// fact is one thing that a rule may read and a change may alter. Its position
// says where Cedar finds it: up to lastOfAgent on the agent, then in the context.
type fact uint8

const (
	state fact = iota
	activated
	offAssignment
	password
	passwordLeaked
	verifier
	sensitive
	enrolled
	secondHeld
	vpnDevice
	employer
	category
	job
	entitlements
	lastOfAgent = entitlements

	channel fact = iota - 1
	officeOpen
	proofs
	secondDemanded
	secondShown
	secondAge
	deviceKnown
	deviceValidated
	whole
	countOfFacts = iota - 1
)

// factNames are the words of policies/schema.cedarschema. Maps of at most 14
// and 8 words are the small ones, and every decision makes one of each: so the
// ninth word of the context is there only when it says something.
var factNames = [countOfFacts]types.String{
	"state", "activated", "off_assignment", "password", "password_leaked", "verifier", "sensitive", "enrolled",
	"second_held", "vpn_device", "employer", "category", "job", "entitlements",
	"channel", "office_open", "proofs", "second_demanded", "second_shown", "second_age_s", "device_known", "device_validated",
	"whole",
}

// factSet is a set of facts, one bit each.
type factSet uint64

const (
	everyFact  factSet = 1<<countOfFacts - 1
	agentFacts factSet = 1<<(lastOfAgent+1) - 1
	firstTime  factSet = 1 << countOfFacts // read by every rule, so that all are evaluated once
)

func (s factSet) has(f fact) bool { return s&(1<<f) != 0 }

// yes is what a fact that holds equals.
const yes = types.True

// situation is everything that is known of one request, as rules see it. A
// fact that is absent is nil.
type situation [countOfFacts]types.Value

// changed tells which facts differ between two situations.
func (s *situation) changed(o *situation) factSet {
	var set factSet
	for i := range s {
		if s[i] != nil && o[i] != nil && s[i].Equal(o[i]) || s[i] == nil && o[i] == nil {
			continue
		}
		set |= 1 << i
	}
	return set
}

// record gives the facts from first to last as Cedar wants them.
func (s *situation) record(first, last fact) types.Record {
	known := 0
	for i := first; i <= last; i++ {
		if s[i] != nil {
			known++
		}
	}
	m := make(types.RecordMap, known)
	for i := first; i <= last; i++ {
		if s[i] != nil {
			m[factNames[i]] = s[i]
		}
	}
	return types.NewRecord(m)
}

// proofKinds gives each kind of proof its bit. A kind that is not listed is
// unknown, and counts for nothing.
var proofKinds = [...]parvis.ProofKind{
	parvis.Password, parvis.Verifier, parvis.TOTP, parvis.SMS, parvis.Passkey, parvis.RecoveryCode, parvis.TemporaryCode,
	parvis.VerifierWaived,
}

// kindSet is a set of kinds of proof, one bit each.
type kindSet uint8

func (s *kindSet) add(k parvis.ProofKind) {
	if i := slices.Index(proofKinds[:], k); i >= 0 {
		*s |= 1 << i
	}
}

// kindSets makes every possible set of kinds once: they are few and immutable.
func kindSets() []types.Value {
	all := make([]types.Value, 1<<len(proofKinds))
	for i := range all {
		var names []types.Value
		for j, k := range proofKinds {
			if i&(1<<j) != 0 {
				names = append(names, types.String(k))
			}
		}
		all[i] = types.NewSet(names...)
	}
	return all
}

// situation gathers the facts of a request.
func (p *policy) situation(r *Request) situation {
	a, st := r.Agent, r.Standing
	demanding := p.anyProfile(a, func(pr parvis.Profile) bool { return pr.Sensitive }, true)
	var s situation
	s[state] = types.String(a.StateAt(r.At))
	s[activated] = types.Boolean(st.Activated)
	s[offAssignment] = types.Boolean(!a.OffSince.IsZero() && !a.OffSince.After(r.At))
	s[password] = p.passwordAt(a, st, r.At)
	s[passwordLeaked] = types.Boolean(st.PasswordLeaked)
	s[verifier] = p.verifierAt(a, st, r.Channel)
	s[sensitive] = types.Boolean(demanding)
	s[employer] = types.String(a.Employer)
	s[category] = types.String(a.Category)
	s[job] = types.String(a.JobCode)
	s[entitlements] = entitlementSet(a.Entitlements)

	s[channel] = types.String(r.Channel)
	s[officeOpen] = types.Boolean(p.calendar.Open(r.At, a.Unit))
	if r.Full {
		s[whole] = yes
	}
	p.proofFacts(&s, r)
	p.deviceFacts(&s, r)
	return s
}

// anyProfile tells whether one of the agent's profiles satisfies ask. A profile
// that nobody declared is unknown: it answers unknown.
func (p *policy) anyProfile(a *parvis.Agent, ask func(parvis.Profile) bool, unknown bool) bool {
	for _, id := range profilesOf(a) {
		pr, ok := p.profiles[id]
		if ok && ask(pr) || !ok && unknown && id != parvis.Standard {
			return true
		}
	}
	return false
}

// onlyStandard is what an agent without profiles has.
var onlyStandard = []parvis.ProfileID{parvis.Standard}

func profilesOf(a *parvis.Agent) []parvis.ProfileID {
	if len(a.Profiles) == 0 {
		return onlyStandard
	}
	return a.Profiles
}

func (p *policy) passwordAt(a *parvis.Agent, st *parvis.Standing, at time.Time) types.Value {
	end := st.PasswordExpires
	away := a.Absence != parvis.NoAbsence && !a.AbsenceFrom.IsZero() && !end.Before(a.AbsenceFrom) &&
		(a.AbsenceUntil.IsZero() || end.Before(a.AbsenceUntil.AddDate(0, 0, 1)))
	switch {
	case end.IsZero() || end.After(at):
		return types.String("current")
	case away:
		return types.String("expired_absence")
	case p.anyProfile(a, func(pr parvis.Profile) bool { return pr.PasswordDays > 0 }, false):
		return types.String("expired_privileged")
	}
	return types.String("expired")
}

// verifierAt says what the second account lacks at an entrance.
func (p *policy) verifierAt(a *parvis.Agent, st *parvis.Standing, c parvis.Channel) types.Value {
	switch mode := p.VerifierMode(a, c); {
	case mode != parvis.VerifierFirst && mode != parvis.VerifierEach:
		return types.String("free")
	case !st.VerifierLinked:
		return types.String("missing")
	case mode == parvis.VerifierEach:
		return types.String("each")
	}
	return types.String("linked")
}

// proofFacts places what is held, demanded and shown on one scale of strengths.
func (p *policy) proofFacts(s *situation, r *Request) {
	held, strongest := p.heldAt(r)
	shown := p.shownAt(r)
	demanded := p.asked(r, strongest)
	var kinds kindSet
	young, age := 0, time.Duration(-1)
	for _, pr := range shown {
		if pr.At.After(r.At) { // not shown yet
			continue
		}
		if pr.Kind != parvis.VerifierWaived || p.verifierFallback {
			kinds.add(pr.Kind)
		}
		strength, old := pr.Kind.Strength(), r.At.Sub(pr.At)
		if strength >= max(demanded.Strength, parvis.AnySecond) && (age < 0 || old < age) {
			age = old
		}
		if demanded.Strength == 0 || demanded.MaxAge == 0 || old < demanded.MaxAge {
			young = max(young, strength)
		}
	}
	if r.Standing.Temporary.After(r.At) {
		strongest = max(strongest, parvis.TemporaryCode.Strength())
	}
	s[enrolled] = p.kindSets[held]
	s[secondHeld] = types.Long(strongest)
	s[proofs] = p.kindSets[kinds]
	s[secondDemanded] = types.Long(demanded.Strength)
	s[secondShown] = types.Long(young)
	if age >= 0 {
		s[secondAge] = types.Long(age / time.Second)
	}
}

func (p *policy) deviceFacts(s *situation, r *Request) {
	d := &r.Device
	known := d.ID != "" && (d.Agent == "" || d.Agent == r.Agent.Number) // somebody else's device proves nothing
	s[deviceKnown] = types.Boolean(known)
	s[deviceValidated] = types.Boolean(known && d.Validated)
	pending := func(d parvis.Device) bool { return d.Pending }
	switch {
	case known && d.Validated || heldDevice(r.Standing) != nil:
		s[vpnDevice] = types.String("validated")
	case known && d.Pending || slices.ContainsFunc(r.Standing.Devices, pending):
		s[vpnDevice] = types.String("pending")
	default:
		s[vpnDevice] = types.String("none")
	}
}

// heldDevice gives the first device of the agent that IT validated, or nil.
func heldDevice(st *parvis.Standing) *parvis.Device {
	for i := range st.Devices {
		if st.Devices[i].Validated {
			return &st.Devices[i]
		}
	}
	return nil
}

func entitlementSet(apps []parvis.AppID) types.Set {
	all := make([]types.Value, len(apps))
	for i, id := range apps {
		all[i] = types.NewEntityUID("Application", types.String(id))
	}
	return types.NewSet(all...)
}

// parents places an agent in the tree of units and under the profiles. Every
// unit above is named, so that no rule has to climb.
func parents(a *parvis.Agent) types.EntityUIDSet {
	var up []types.EntityUID
	for _, u := range a.Unit.Ancestors() {
		up = append(up, types.NewEntityUID("Unit", types.String(u)))
	}
	for _, id := range profilesOf(a) {
		up = append(up, types.NewEntityUID("Profile", types.String(id)))
	}
	return types.NewEntityUIDSet(up...)
}
