package access

import (
	"cmp"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"parvis"
)

// The bounds of the search: a longer list of steps is no help to anybody, and
// three ways are what a page can say.
const (
	maxChanges = 5
	maxWays    = 3
	maxMoments = 4
)

// What a change leads to, where it is not the name of a channel, a proof or an
// application.
const (
	toAnySecond = "second"      // any second proof
	toOpening   = "opening"     // the offices open
	toDate      = "date"        // a date of the agent's comes: a start, a return
	toValidated = "validated"   // a device that IT validated
	toLinked    = "linked"      // the second account is linked
	toChanged   = "changed"     // a new password
	toActivated = "activated"   // the agent activates the account
	toStarted   = "started"     // HR records a start date
	toConfirmed = "reactivated" // HR confirms a change of assignment
	toReturned  = "returned"    // HR records a return
	toReleased  = "reinstated"  // HR ends a suspension
	toRenewed   = "reopened"    // HR records that the contract goes on
)

// ways looks for the smallest sets of changes that open what was refused. It
// tries sets in order of size and passes over every set that contains a way
// already found, so that what it finds is minimal; each is a request put to
// the engine that refused, so that it is sound.
func (q *question) ways() []parvis.Way { return q.search(maxWays) }

// search is [question.ways] for at most so many.
func (q *question) search(most int) []parvis.Way {
	steps := q.steps()
	level := []attempt{{r: q.r}}
	var found []attempt
	for size := 1; size <= maxChanges && len(found) < most; size++ {
		var next []attempt
		for _, a := range level {
			for i := a.from; i < len(steps); i++ {
				b, fits := a.with(i, steps)
				if !fits || q.useless(&a.r, steps, i) || slices.ContainsFunc(found, func(f attempt) bool { return f.includedIn(b, steps) }) {
					continue
				}
				b.r = q.p.apply(a.r, steps[i])
				if q.opens(&b.r) {
					found = append(found, b)
				} else if size < maxChanges {
					next = append(next, b)
				}
			}
		}
		level = next
	}
	slices.SortStableFunc(found, func(a, b attempt) int {
		return cmp.Or(cmp.Compare(len(a.steps), len(b.steps)), cmp.Compare(a.effort(steps), b.effort(steps)))
	})
	var ways []parvis.Way
	for _, a := range found[:min(len(found), most)] {
		var w parvis.Way
		for _, i := range a.steps {
			w.Changes = append(w.Changes, steps[i])
		}
		ways = append(ways, w)
	}
	return ways
}

// opens asks the engine. It first looks whether every rule that stands in the
// way reads a fact that changed: if one does not, it still stands.
func (q *question) opens(r *Request) bool {
	s := q.p.situation(r)
	changed := s.changed(&q.now)
	for _, f := range q.base.forbids {
		if f.reads&changed == 0 {
			return false
		}
	}
	v := q.judge(&s, q.base, changed)
	return v.open()
}

// attempt is a set of steps, by number in increasing order, and the request
// once they are taken.
type attempt struct {
	steps []int
	from  int // the next step to try
	r     Request
}

// with adds step i, unless the set already holds another of a kind that can
// only be taken once.
func (a attempt) with(i int, steps []parvis.Change) (attempt, bool) {
	for _, j := range a.steps {
		if alike(steps[j], steps[i]) && steps[i].Kind != parvis.ChangeAccount {
			return attempt{}, false
		}
	}
	return attempt{steps: append(slices.Clone(a.steps), i), from: i + 1}, true
}

// useless tells whether a second proof cannot be shown at the entrance of a
// request, which is chosen by now, or does no more there than an easier one.
func (q *question) useless(r *Request, steps []parvis.Change, i int) bool {
	c := steps[i]
	if c.Kind != parvis.ChangeProof || c.To == string(parvis.Password) {
		return false
	}
	if !q.p.canMake(r, c) {
		return true
	}
	if q.app.own.has(proofs) || q.app.own.has(enrolled) { // the kind matters, not only its strength
		return false
	}
	return slices.ContainsFunc(steps[:i], func(easier parvis.Change) bool {
		k := made(easier)
		return alike(easier, c) && k.Second() && k != parvis.TemporaryCode && // that one may end while one waits
			k.Strength() >= made(c).Strength() && q.p.canMake(r, easier)
	})
}

// alike tells whether two changes are of the same kind. The word of the
// verifier comes beside another proof, never in place of one.
func alike(a, b parvis.Change) bool {
	verifies := func(c parvis.Change) bool { return c.To == string(parvis.Verifier) }
	return a.Kind == b.Kind && (a.Kind != parvis.ChangeProof || verifies(a) == verifies(b))
}

// includedIn tells whether b takes every step of f, or a harder one of the same
// kind: a later moment, a stronger proof.
func (f attempt) includedIn(b attempt, steps []parvis.Change) bool {
	for _, i := range f.steps {
		if !slices.ContainsFunc(b.steps, func(j int) bool {
			kind := steps[i].Kind
			return i == j || i < j && alike(steps[i], steps[j]) && (kind == parvis.ChangeTime || kind == parvis.ChangeProof)
		}) {
			return false
		}
	}
	return true
}

// effort orders ways of the same size: what the agent can do now, then what
// only takes waiting, then what somebody else must do.
func (f attempt) effort(steps []parvis.Change) int {
	most := 0
	for _, i := range f.steps {
		switch {
		case steps[i].By != parvis.BySelf:
			most = max(most, 2)
		case steps[i].Kind == parvis.ChangeTime:
			most = max(most, 1)
		}
	}
	return most
}

// steps lists the changes that could help, in the order in which people would
// take them. A death opens nothing again.
func (q *question) steps() []parvis.Change {
	a, st := q.r.Agent, q.r.Standing
	if !a.DeceasedOn.IsZero() && !a.DeceasedOn.After(q.r.At) {
		return nil
	}
	var all []parvis.Change
	add := func(when bool, k parvis.ChangeKind, to string, by parvis.Actor) {
		if when {
			all = append(all, parvis.Change{Kind: k, To: to, By: by})
		}
	}
	for _, c := range q.app.Channels {
		add(c != q.r.Channel, parvis.ChangeChannel, string(c), parvis.BySelf)
	}
	add(q.now[proofs].Equal(q.p.kindSets[0]), parvis.ChangeProof, string(parvis.Password), parvis.BySelf)
	all = append(all, q.proofSteps()...)
	add(st.PasswordLeaked || !st.PasswordExpires.IsZero(), parvis.ChangePassword, toChanged, parvis.BySelf)
	add(!st.VerifierLinked && len(q.p.verifierRules) > 0, parvis.ChangeLink, toLinked, parvis.BySelf)
	each := func(r parvis.VerifierRule) bool { return r.Mode == parvis.VerifierEach }
	vouched := slices.ContainsFunc(q.p.verifierRules, each) || q.app.own.has(proofs)
	add(st.VerifierLinked && vouched, parvis.ChangeProof, string(parvis.Verifier), parvis.BySelf)
	add(!st.Activated, parvis.ChangeAccount, toActivated, parvis.BySelf)
	all = append(all, q.moments()...)
	add(!slices.Contains(a.Entitlements, q.app.ID), parvis.ChangeEntitlement, string(q.app.ID), parvis.ByAppOwner)
	all = append(all, q.deviceSteps()...)
	begun := func(t time.Time) bool { return !t.After(q.r.At) }
	add(a.ContractFrom.IsZero(), parvis.ChangeAccount, toStarted, parvis.ByHRUnit)
	add(!a.OffSince.IsZero() && begun(a.OffSince), parvis.ChangeAccount, toConfirmed, parvis.ByHRUnit)
	suspended := a.Absence == parvis.PrecautionaryOff
	add(suspended && begun(a.AbsenceFrom), parvis.ChangeAccount, toReleased, parvis.ByHRUnit)
	add(!suspended && a.Absence != parvis.NoAbsence && begun(a.AbsenceFrom), parvis.ChangeAccount, toReturned, parvis.ByHRUnit)
	add(!a.ContractUntil.IsZero() && begun(a.ContractUntil), parvis.ChangeAccount, toRenewed, parvis.ByHRUnit)
	return all
}

// easiest lists the kinds of second proof in the order in which they are asked.
var easiest = [...]parvis.ProofKind{parvis.TOTP, parvis.Passkey, parvis.SMS, parvis.RecoveryCode, parvis.TemporaryCode}

// proofSteps offers the true next steps: what is held, easiest first; then to
// enrol something, where that is allowed; then what the IT contact hands over
// in person. While nobody can show one by themselves, the IT contact helps.
func (q *question) proofSteps() []parvis.Change {
	if !q.p.secondReady {
		return q.handedProofs()
	}
	var all []parvis.Change
	add := func(to string, by parvis.Actor) {
		if c := (parvis.Change{Kind: parvis.ChangeProof, To: to, By: by}); q.somewhere(func(r *Request) bool { return q.p.canMake(r, c) }) {
			all = append(all, c)
		}
	}
	st := q.r.Standing
	covered := 0 // by what can be shown at every entrance
	for _, k := range easiest {
		holds := slices.Contains(st.Enrolled, k) || k == parvis.TemporaryCode && st.Temporary.After(q.r.At)
		if !holds || k.Strength() <= covered {
			continue
		}
		add(string(k), parvis.BySelf)
		if k != parvis.Passkey {
			covered = k.Strength()
		}
	}
	wantsPasskey := q.wantsPasskey()
	add(toAnySecond, parvis.BySelf)
	if wantsPasskey && !slices.Contains(st.Enrolled, parvis.Passkey) {
		add(string(parvis.Passkey), parvis.BySelf)
	}
	add(string(parvis.TemporaryCode), parvis.ByITContact)
	if wantsPasskey {
		add(string(parvis.Passkey), parvis.ByITContact)
	}
	return all
}

// handedProofs is [question.proofSteps] while the IT contact does everything.
func (q *question) handedProofs() []parvis.Change {
	to := toAnySecond
	least, _ := q.now[secondDemanded].(types.Long)
	for _, k := range easiest {
		if k.Strength() >= int(least) && slices.Contains(q.r.Standing.Enrolled, k) {
			to = string(k)
			break
		}
	}
	all := []parvis.Change{{Kind: parvis.ChangeProof, To: to, By: parvis.ByITContact}}
	if to != string(parvis.Passkey) && q.wantsPasskey() {
		all = append(all, parvis.Change{Kind: parvis.ChangeProof, To: string(parvis.Passkey), By: parvis.ByITContact})
	}
	return all
}

// wantsPasskey tells whether nothing but a passkey may do.
func (q *question) wantsPasskey() bool {
	return q.app.own.has(proofs) || q.somewhere(func(r *Request) bool {
		return q.p.asked(r, 0).Strength >= parvis.PhishingResistant
	})
}

// somewhere tells whether something is true of the request here, or through
// another entrance of the application.
func (q *question) somewhere(is func(*Request) bool) bool {
	if is(&q.r) {
		return true
	}
	return slices.ContainsFunc(q.app.Channels, func(c parvis.Channel) bool {
		r := q.r
		r.Channel = c
		return is(&r)
	})
}

// deviceSteps offers a validated device: the agent's own if there is one, or
// one that the IT department has still to validate.
func (q *question) deviceSteps() []parvis.Change {
	if q.now[deviceValidated].Equal(yes) {
		return nil
	}
	c := parvis.Change{Kind: parvis.ChangeDevice, To: toValidated, By: parvis.BySelf}
	if heldDevice(q.r.Standing) == nil {
		c.By, c.Lead = parvis.ByITDepartment, q.p.deviceLead
	}
	return []parvis.Change{c}
}

// moments offers to wait: for the offices, or for a date of the agent's, or for
// the first opening after it. Moments that look alike to the rules are offered
// once, the earliest.
func (q *question) moments() []parvis.Change {
	var all []parvis.Change
	seen := []situation{q.now}
	offer := func(t time.Time, to string) {
		c := parvis.Change{Kind: parvis.ChangeTime, To: to, By: parvis.BySelf, From: t}
		r := q.p.apply(q.r, c)
		s := q.p.situation(&r)
		if slices.ContainsFunc(seen, func(o situation) bool { return s.changed(&o)&q.app.reads == 0 }) {
			return
		}
		seen, all = append(seen, s), append(all, c)
	}
	cal, u := q.p.calendar, q.r.Agent.Unit
	opening := func(t time.Time) {
		if next := cal.Next(t, u); !cal.Open(t, u) && !next.IsZero() {
			offer(next, toOpening)
		}
	}
	opening(q.r.At)
	for _, t := range q.dates() {
		offer(t, toDate)
		opening(t)
	}
	slices.SortFunc(all, func(a, b parvis.Change) int { return a.From.Compare(b.From) })
	return all[:min(len(all), maxMoments)]
}

// apply gives the request as it would be once a change is made; the request
// given is left as it was. The order in which changes are applied does not
// matter.
func (p *policy) apply(r Request, c parvis.Change) Request {
	switch c.Kind {
	case parvis.ChangeChannel:
		r.Channel = parvis.Channel(c.To)
		if !r.Device.Validated { // through another entrance comes another device
			r.Device = parvis.Device{}
			if d := heldDevice(r.Standing); d != nil && r.Channel == parvis.VPN {
				r.Device = *d
			}
		}
	case parvis.ChangeTime: // who waits shows the same proofs again, then
		r.Proofs = slices.Clone(r.Proofs)
		for i := range r.Proofs {
			r.Proofs[i].At = r.Proofs[i].At.Add(c.From.Sub(r.At))
		}
		r.At = c.From
	case parvis.ChangeEntitlement:
		a := *r.Agent
		a.Entitlements = append(slices.Clip(a.Entitlements), parvis.AppID(c.To))
		r.Agent = &a
	case parvis.ChangeAccount:
		applyHR(&r, c.To)
	default:
		applyOwn(&r, c)
	}
	return r
}

// applyOwn makes a change of what the agent proves with.
func applyOwn(r *Request, c parvis.Change) {
	st := *r.Standing
	r.Standing = &st
	switch c.Kind {
	case parvis.ChangeProof:
		if c.To == string(parvis.Password) {
			r.Proofs = append(slices.Clip(r.Proofs), parvis.Proof{Kind: parvis.Password, At: r.At})
			return
		}
		r.made = append(slices.Clip(r.made), c) // whether it can be made depends on the entrance, which may change too
	case parvis.ChangeDevice:
		if d := heldDevice(&st); d != nil {
			r.Device = *d
			return
		}
		r.Device = parvis.Device{ID: toValidated, Agent: r.Agent.Number, Validated: true}
		st.Devices = append(slices.Clip(st.Devices), r.Device)
	case parvis.ChangeLink:
		st.VerifierLinked = true // by going there: it has just vouched
		r.Proofs = append(slices.Clip(r.Proofs), parvis.Proof{Kind: parvis.Verifier, At: r.At})
	case parvis.ChangePassword:
		newPassword(&st, r.At)
	}
}

func newPassword(st *parvis.Standing, at time.Time) {
	st.PasswordSince, st.PasswordExpires, st.PasswordLeaked = at, time.Time{}, false
}

// applyHR makes a change of the account.
func applyHR(r *Request, to string) {
	a, st := *r.Agent, *r.Standing
	r.Agent, r.Standing = &a, &st
	switch to {
	case toActivated:
		st.Activated = true
		newPassword(&st, r.At)
	case toStarted:
		a.ContractFrom = r.At
	case toConfirmed:
		a.OffSince = time.Time{}
	case toReturned, toReleased:
		a.Absence = parvis.NoAbsence
	case toRenewed:
		a.ContractUntil = time.Time{}
	}
}
