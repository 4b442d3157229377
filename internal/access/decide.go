package access

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"parvis"
)

// Request is one question: may this agent open this application, now, through
// this entrance, having proved this much, from this device? A nil Agent or
// Standing, an unknown channel, a zero device are unknown, and open nothing
// that depends on them.
type Request struct {
	Agent    *parvis.Agent
	Standing *parvis.Standing
	App      parvis.AppID
	Channel  parvis.Channel
	At       time.Time
	Proofs   []parvis.Proof // what was shown in this session; a later moment than At does not count
	Device   parvis.Device  // the device of this request; zero when not known
	Full     bool           // it needs what the reduced version of the application does not do

	made []parvis.Change // second proofs that a way shows besides: they count where they can be made
}

// noPermit stands for the absence of a permit, where a policy is to be named.
const noPermit = "entitlement.none"

func (p *policy) Decide(r Request) parvis.Decision {
	q, ok := p.ask(r)
	if !ok {
		return parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyNotFound}}}
	}
	return q.decision()
}

func (p *policy) Explain(r Request) parvis.Decision {
	q, ok := p.ask(r)
	if !ok {
		return p.Decide(r)
	}
	d := q.decision()
	if !d.Open {
		d.Ways = q.ways()
	}
	return d
}

func (p *policy) Conditions(a *parvis.Agent, st *parvis.Standing, at time.Time) []parvis.Reason {
	q := p.question(&p.plain, Request{Agent: a, Standing: st, At: at})
	reasons := q.reasons(q.base.codes())
	if q.r.Standing.LockedUntil.After(at) {
		reasons = append(reasons, parvis.Reason{Code: parvis.WhyAccountLockedAttempts, At: q.r.Standing.LockedUntil})
	}
	return slices.DeleteFunc(reasons, func(r parvis.Reason) bool { return r.Code == parvis.WhyAppNotAssigned })
}

// question is one request under consideration: what is known, and what the
// rules said of it. It belongs to one goroutine.
type question struct {
	p    *policy
	app  *application
	r    Request
	now  situation
	base verdict

	// what Cedar asks for while it evaluates
	uid     types.EntityUID
	agent   types.Entity
	context types.Record
	shown   situation // the situation that agent and context describe
	picked  selection
}

func (p *policy) ask(r Request) (*question, bool) {
	i, ok := p.byID[r.App]
	if !ok {
		return nil, false
	}
	return p.question(&p.apps[i], r), true
}

func (p *policy) question(app *application, r Request) *question {
	if r.Agent == nil {
		r.Agent = &parvis.Agent{}
	}
	if r.Standing == nil {
		r.Standing = &parvis.Standing{}
	}
	q := &question{p: p, app: app, r: r, now: p.situation(&r)}
	q.uid = types.NewEntityUID("Agent", types.String(r.Agent.Number))
	q.agent = types.Entity{UID: q.uid, Parents: parents(r.Agent)}
	q.base = q.judge(&q.now, verdict{}, everyFact|firstTime)
	return q
}

// Get gives Cedar the agent and the application; nothing else has attributes.
func (q *question) Get(uid types.EntityUID) (types.Entity, bool) {
	switch uid.Type {
	case "Agent":
		return q.agent, uid == q.uid
	case "Application":
		return q.app.entity, uid == q.app.entity.UID
	}
	return types.Entity{}, false
}

// verdict is what the rules say of a situation: those that hold, by name.
type verdict struct{ permits, forbids []*rule }

// judge evaluates in situation s the rules that read one of the changed facts,
// and believes old about all others.
func (q *question) judge(s *situation, old verdict, changed factSet) verdict {
	if shown := s.changed(&q.shown); shown != 0 {
		if shown&agentFacts != 0 {
			q.agent.Attributes = s.record(0, lastOfAgent)
		}
		if shown&^agentFacts != 0 {
			q.context = s.record(lastOfAgent+1, countOfFacts-1)
		}
		q.shown = *s
	}
	return verdict{
		permits: q.holding(q.app.permits, old.permits, changed),
		forbids: q.holding(q.app.forbids, old.forbids, changed),
	}
}

// holding lists, by name, the rules that hold: of those that read a changed
// fact as Cedar says, of the others as before.
func (q *question) holding(rules, before []*rule, changed factSet) []*rule {
	var now []*rule
	for _, r := range before {
		if r.reads&changed == 0 {
			now = append(now, r)
		}
	}
	q.picked = q.picked[:0]
	for _, r := range rules {
		if r.reads&changed != 0 && (r.under == (types.EntityUID{}) || q.agent.Parents.Contains(r.under)) {
			q.picked = append(q.picked, r)
		}
	}
	if len(q.picked) == 0 {
		return now
	}
	_, said := cedar.Authorize(&q.picked, q, types.Request{
		Principal: q.uid, Action: opening, Resource: q.app.entity.UID, Context: q.context,
	})
	for _, d := range said.Reasons {
		now = append(now, q.p.rules[d.PolicyID])
	}
	for _, e := range said.Errors {
		if r := q.p.rules[e.PolicyID]; r.reason != "" { // what cannot be evaluated is unknown: refused
			now = append(now, r)
		}
	}
	slices.SortFunc(now, func(a, b *rule) int { return cmp.Compare(a.id, b.id) }) // Cedar gives no order
	return now
}

// opening is the only action that rules speak of.
var opening = types.NewEntityUID("Action", "open")

// selection is the rules that Cedar is asked about.
type selection []*rule

// All gives them to Cedar.
func (s *selection) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range *s {
			if !yield(r.id, r.policy) {
				return
			}
		}
	}
}

// open tells whether the verdict opens: something permits, nothing forbids.
func (v *verdict) open() bool { return len(v.permits) > 0 && len(v.forbids) == 0 }

// because is one reason and the first policy, by name, that gave it.
type because struct {
	code   parvis.ReasonCode
	policy string
}

// codes lists every reason once, most telling first; none when open.
func (v *verdict) codes() []because {
	if v.open() {
		return nil
	}
	all := make([]because, 0, len(v.forbids)+1)
	for _, r := range v.forbids {
		if !slices.ContainsFunc(all, func(b because) bool { return b.code == r.reason }) {
			all = append(all, because{r.reason, string(r.id)})
		}
	}
	if len(v.permits) == 0 && !slices.ContainsFunc(all, func(b because) bool { return b.code == parvis.WhyAppNotAssigned }) {
		all = append(all, because{parvis.WhyAppNotAssigned, noPermit})
	}
	slices.SortFunc(all, func(a, b because) int { return cmp.Compare(rank(a.code), rank(b.code)) })
	return all
}

// tellingFirst is the order in which reasons are said.
var tellingFirst = [...]parvis.ReasonCode{
	parvis.WhyAccountClosed, parvis.WhyAccountSuspended, parvis.WhyAccountNotStarted, parvis.WhyAccountDocumentsOnly,
	parvis.WhyAccountRestrictedAbsence, parvis.WhyAccountOffAssignment, "account_paused_security", parvis.WhyAccountLockedStaff,
	parvis.WhyAgentAccountNotActivated, parvis.WhyVerifierMissing,
	parvis.WhyPasswordCompromised, parvis.WhyPasswordExpiredAbsence, parvis.WhyPasswordExpiredPrivileged, parvis.WhyPasswordExpired,
	parvis.WhyChannelUnknown, parvis.WhyChannelNotAllowed, parvis.WhyChannelNotAllowedProfile, parvis.WhyAppReducedHere,
	parvis.WhyAppNotAssigned, parvis.WhyChannelClosed,
	parvis.WhyVPNPending, parvis.WhyDeviceNotRecognised, parvis.WhyVPNNotAuthorised,
	parvis.WhySessionExpired, parvis.WhyFactorRequired, parvis.WhyFactorTooWeak, parvis.WhyStepUpRequired,
}

func rank(c parvis.ReasonCode) int {
	if i := slices.Index(tellingFirst[:], c); i >= 0 {
		return i
	}
	return len(tellingFirst) + slices.Index(parvis.ReasonCodes(), c)
}

func (q *question) decision() parvis.Decision {
	codes := q.base.codes()
	d := parvis.Decision{Open: q.base.open(), Until: q.until(codes), Reasons: q.reasons(codes)}
	d.Limited = d.Open && slices.Contains(q.app.Reduced, q.r.Channel)
	said := q.base.forbids
	if d.Open {
		said = q.base.permits
	} else if len(q.base.permits) == 0 {
		d.Policies = append(d.Policies, noPermit)
	}
	for _, r := range said {
		d.Policies = append(d.Policies, string(r.id))
	}
	slices.Sort(d.Policies)
	return d
}

func (q *question) reasons(codes []because) []parvis.Reason {
	var all []parvis.Reason
	for _, c := range codes {
		all = append(all, parvis.Reason{Code: c.code, Policy: c.policy, At: q.moment(c.code)})
	}
	return all
}

// moment gives the moment that the sentence of a reason needs.
func (q *question) moment(c parvis.ReasonCode) time.Time {
	a := q.r.Agent
	switch c {
	case parvis.WhyAccountNotStarted:
		return a.ContractFrom
	case parvis.WhyAccountDocumentsOnly:
		if a.ContractUntil.Before(q.r.At) {
			return a.ContractUntil
		}
	case parvis.WhyAccountClosed:
		return q.closedSince()
	case parvis.WhyAccountRestrictedAbsence:
		if !a.AbsenceUntil.IsZero() {
			return a.AbsenceUntil.AddDate(0, 0, 1)
		}
	case parvis.WhyAccountOffAssignment:
		return a.OffSince
	case parvis.WhyPasswordExpired, parvis.WhyPasswordExpiredAbsence, parvis.WhyPasswordExpiredPrivileged:
		return q.r.Standing.PasswordExpires
	case parvis.WhyChannelClosed:
		if !q.p.calendar.Open(q.r.At, a.Unit) {
			return q.p.calendar.Next(q.r.At, a.Unit)
		}
	}
	return time.Time{}
}

// closedSince gives the moment at which the account closed: the earliest from
// which it has been closed without a break.
func (q *question) closedSince() time.Time {
	var since time.Time
	for _, t := range q.r.Agent.Turns(time.Time{}) {
		if t.After(since) && !t.After(q.r.At) && q.r.Agent.StateAt(t) == parvis.Closed && q.r.Agent.StateAt(t.Add(-1)) != parvis.Closed {
			since = t
		}
	}
	return since
}

// until gives the first moment at which the answer changes, zero when nothing
// dated changes it. Between two turns only the offices open and close, so each
// stretch needs at most two evaluations.
func (q *question) until(codes []because) time.Time {
	v, s := q.base, q.now
	from := q.r.At
	for _, to := range append(q.turns(), time.Time{}) {
		if at := q.officeTurn(&s, v, codes, from); !at.IsZero() && (to.IsZero() || at.Before(to)) {
			return at
		}
		if to.IsZero() {
			break
		}
		r := q.r
		r.At = to
		next := q.p.situation(&r)
		v = q.judge(&next, v, next.changed(&s))
		if !slices.EqualFunc(v.codes(), codes, sameReason) {
			return to
		}
		s, from = next, to
	}
	return time.Time{}
}

// officeTurn gives the next opening or closing of the offices after from, if it
// would change the answer; zero otherwise.
func (q *question) officeTurn(s *situation, v verdict, codes []because, from time.Time) time.Time {
	turned := *s
	turned[officeOpen] = !s[officeOpen].(types.Boolean)
	other := q.judge(&turned, v, 1<<officeOpen)
	if slices.EqualFunc(other.codes(), codes, sameReason) {
		return time.Time{}
	}
	return q.p.calendar.Next(from, q.r.Agent.Unit)
}

func sameReason(a, b because) bool { return a.code == b.code }

// turns lists the moments after the request at which one of its facts, other
// than the office hours, may change: in order, each once.
func (q *question) turns() []time.Time { return inOrder(append(q.hardening(), q.dates()...)) }

// dates lists those of them at which something may become better.
func (q *question) dates() []time.Time {
	all := q.r.Agent.Turns(q.r.At)
	if t := q.r.Standing.PasswordExpires; t.After(q.r.At) {
		all = append(all, t)
	}
	for _, pr := range q.r.Proofs {
		if pr.At.After(q.r.At) {
			all = append(all, pr.At)
		}
	}
	return inOrder(all)
}

func inOrder(all []time.Time) []time.Time {
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}
