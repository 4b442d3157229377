package access

import (
	"slices"
	"time"

	"parvis"
)

// Impact is what a draft would change for the people it was put to: who gains
// and who loses, with everything that they hold shown, at one moment. The
// answers are those of [Policy.Decide] under either policy.
type Impact struct {
	Agents    int                  // how many were put to it
	Effects   []Effect             // where somebody gains or loses, in the order of the catalogues
	Deadlines []Deadline           // announced demands that somebody could not meet today, soonest first
	Stranded  []parvis.AgentNumber // who had a way into something, and would have none into anything

	before, after *policy
	at            time.Time
	apps          []parvis.AppID
	opened        map[parvis.AppID]bool // somebody opens it before
	reached       map[parvis.AppID]bool // somebody opens it after, or has a way
	losers        map[parvis.AppID][]Request
}

// Effect is what changes for one application through one entrance. Opening in a
// reduced version is less than opening.
type Effect struct {
	App     parvis.AppID
	Channel parvis.Channel
	Gain    []parvis.AgentNumber
	Lose    []parvis.AgentNumber
}

// Deadline is an announced demand at an entrance, and who holds nothing yet
// that meets it there.
type Deadline struct {
	Channel  parvis.Channel
	Demand   parvis.Demand
	NotReady []parvis.AgentNumber
}

// NewImpact compares two policies at a moment. Office hours are those of that moment.
func NewImpact(before, after *Policy, at time.Time) *Impact {
	i := &Impact{
		before: before.loaded(), after: after.loaded(), at: at,
		opened: map[parvis.AppID]bool{}, reached: map[parvis.AppID]bool{}, losers: map[parvis.AppID][]Request{},
	}
	for _, p := range []*policy{i.before, i.after} {
		for n := range p.apps {
			if id := p.apps[n].ID; !slices.Contains(i.apps, id) {
				i.apps = append(i.apps, id)
			}
		}
	}
	for _, app := range i.apps {
		for _, c := range parvis.Channels() {
			i.Effects = append(i.Effects, Effect{App: app, Channel: c})
		}
	}
	return i
}

// Add puts an agent to the draft. Neither agent nor standing is changed or kept
// beyond [Impact.Finish].
func (i *Impact) Add(a *parvis.Agent, st *parvis.Standing) {
	i.Agents++
	opens := false
	for n := range i.Effects {
		e := &i.Effects[n]
		was := worth(i.before.Decide(i.before.everythingShown(a, st, e.App, e.Channel, i.at)))
		r := i.after.everythingShown(a, st, e.App, e.Channel, i.at)
		will := worth(i.after.Decide(r))
		i.opened[e.App] = i.opened[e.App] || was > 0
		i.reached[e.App] = i.reached[e.App] || will > 0
		opens = opens || will > 0
		switch {
		case will > was:
			e.Gain = append(e.Gain, a.Number)
		case will < was:
			e.Lose = append(e.Lose, a.Number)
			if will == 0 && !i.reached[e.App] {
				i.losers[e.App] = append(i.losers[e.App], r)
			}
		}
	}
	if !opens && !i.after.reaches(a, st, i.at) && i.before.reaches(a, st, i.at) {
		i.Stranded = append(i.Stranded, a.Number)
	}
	for _, c := range parvis.Channels() {
		i.deadline(a, st, c)
	}
}

// worth ranks an answer.
func worth(d parvis.Decision) int {
	switch {
	case d.Limited:
		return 1
	case d.Open:
		return 2
	}
	return 0
}

func (i *Impact) deadline(a *parvis.Agent, st *parvis.Standing, c parvis.Channel) {
	d := i.after.Announced(a, "", c, i.at)
	if d.From.IsZero() || a.StateAt(d.From) == parvis.Closed {
		return
	}
	if _, strongest := i.after.heldAt(&Request{Agent: a, Standing: st, Channel: c, At: i.at}); strongest >= d.Strength {
		return
	}
	n := slices.IndexFunc(i.Deadlines, func(o Deadline) bool {
		return o.Channel == c && o.Demand.Strength == d.Strength && o.Demand.MaxAge == d.MaxAge && o.Demand.From.Equal(d.From)
	})
	if n < 0 {
		n = len(i.Deadlines)
		i.Deadlines = append(i.Deadlines, Deadline{Channel: c, Demand: d})
	}
	i.Deadlines[n].NotReady = append(i.Deadlines[n].NotReady, a.Number)
}

// Finish ends the comparison. It gives the applications that somebody opens
// today and that nobody would open any more, nor have a way into. A draft that
// closes one, or strands somebody, must not be published (product.md section 4,
// rule 8).
func (i *Impact) Finish() (closed []parvis.AppID) {
	for _, app := range i.apps {
		if !i.opened[app] || i.reached[app] {
			continue
		}
		if !slices.ContainsFunc(i.losers[app], func(r Request) bool { return i.after.hasWay(r) }) {
			closed = append(closed, app)
		}
	}
	i.losers = nil
	i.Effects = slices.DeleteFunc(i.Effects, func(e Effect) bool { return len(e.Gain)+len(e.Lose) == 0 })
	slices.SortStableFunc(i.Deadlines, func(a, b Deadline) int { return a.Demand.From.Compare(b.Demand.From) })
	return closed
}

// everythingShown is the request of an agent who shows all that they hold and
// can show at an entrance, from the device that IT validated.
func (p *policy) everythingShown(a *parvis.Agent, st *parvis.Standing, app parvis.AppID, c parvis.Channel, at time.Time) Request {
	r := Request{Agent: a, Standing: st, App: app, Channel: c, At: at}
	r.Proofs = append(r.Proofs, parvis.Proof{Kind: parvis.Password, At: at})
	for _, k := range st.Enrolled {
		if k.Second() && p.usable(k, st, c) {
			r.Proofs = append(r.Proofs, parvis.Proof{Kind: k, At: at})
		}
	}
	if st.VerifierLinked {
		r.Proofs = append(r.Proofs, parvis.Proof{Kind: parvis.Verifier, At: at})
	}
	if d := heldDevice(st); d != nil && c == parvis.VPN {
		r.Device = *d
	}
	return r
}

// reaches tells whether anything opens for an agent, or has a way.
func (p *policy) reaches(a *parvis.Agent, st *parvis.Standing, at time.Time) bool {
	for n := range p.apps {
		for _, c := range parvis.Channels() {
			if p.hasWay(p.everythingShown(a, st, p.apps[n].ID, c, at)) {
				return true
			}
		}
	}
	return false
}

// hasWay tells whether a request opens, or would after changes that somebody
// can make.
func (p *policy) hasWay(r Request) bool {
	q, ok := p.ask(r)
	return ok && (q.base.open() || len(q.search(1)) > 0)
}
