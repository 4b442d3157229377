package access

import (
	"sync"
	"sync/atomic"
	"time"

	"parvis"
)

// Policy decides. It may be used by any number of goroutines at once, while
// another takes its place. It must not be copied.
type Policy struct {
	now  atomic.Pointer[era]
	next sync.Mutex // one replacement at a time
}

// era is the time during which the same rules and facts hold.
type era struct {
	*policy
	number uint32 // of a place held in memory, so that it fits no later era
}

func holding(p *policy) *Policy {
	held := &Policy{}
	held.now.Store(&era{policy: p})
	return held
}

func (p *Policy) loaded() *policy { return p.now.Load().policy }

// Replace has p answer as next does, from now on. Whoever is being answered
// meanwhile is answered by the one or the other, whole. What was held of the
// decisions of before is unknown then.
func (p *Policy) Replace(next *Policy) {
	p.next.Lock()
	defer p.next.Unlock()
	p.now.Store(&era{policy: next.loaded(), number: p.now.Load().number + 1})
}

// Decide answers a request: open or not, in a reduced version or not, until
// when the answer holds, every reason of a refusal, and the policies that
// determined it. It looks for no ways.
func (p *Policy) Decide(r Request) parvis.Decision { return p.loaded().Decide(r) }

// Explain answers like [Policy.Decide], and adds to a refusal at most three
// ways. No way means that nothing within the reach of agent, IT department, HR
// or application owner opens it.
func (p *Policy) Explain(r Request) parvis.Decision { return p.loaded().Explain(r) }

// Conditions lists every condition of an account at a moment, most telling
// first, whatever application is meant: the account rules, and the lock, which
// refuses strangers at the door but never a session that is already open.
func (p *Policy) Conditions(a *parvis.Agent, st *parvis.Standing, at time.Time) []parvis.Reason {
	return p.loaded().Conditions(a, st, at)
}

// Demand gives the second proof that everybody of the agent's profiles must
// show for an application at an entrance: the strictest of profile, entrance
// and application. With no application it is that of the entrance alone. What
// is asked only from those who hold one is [Policy.Asked].
func (p *Policy) Demand(a *parvis.Agent, app parvis.AppID, c parvis.Channel, at time.Time) parvis.Demand {
	return p.loaded().Demand(a, app, c, at)
}

// Asked is [Policy.Demand], and what is asked only from those who hold a second
// proof that can be shown at this entrance: on the mobile portal, and where the
// application says so. It is what a door asks for.
func (p *Policy) Asked(a *parvis.Agent, st *parvis.Standing, app parvis.AppID, c parvis.Channel, at time.Time) parvis.Demand {
	return p.loaded().Asked(a, st, app, c, at)
}

// Announced gives the next change of [Policy.Demand] that has a date, whose
// From says when; zero when there is none.
func (p *Policy) Announced(a *parvis.Agent, app parvis.AppID, c parvis.Channel, at time.Time) parvis.Demand {
	return p.loaded().Announced(a, app, c, at)
}

// VerifierMode gives the part that the second account has for an agent at an
// entrance.
func (p *Policy) VerifierMode(a *parvis.Agent, c parvis.Channel) parvis.VerifierMode {
	return p.loaded().VerifierMode(a, c)
}

// Site gives the site whose passkeys can be shown at an entrance; empty when
// none can, or when the catalogue names no sites at all.
func (p *Policy) Site(c parvis.Channel) string { return p.loaded().Site(c) }

// EnrolHere tells whether somebody who holds no second proof may enrol the
// first one at this entrance, with nothing but a password.
func (p *Policy) EnrolHere(c parvis.Channel) bool { return p.loaded().EnrolHere(c) }

// App gives the application of that name.
func (p *Policy) App(id parvis.AppID) (parvis.App, bool) { return p.loaded().App(id) }

// Apps lists the applications in the order of the catalogue.
func (p *Policy) Apps() []parvis.App { return p.loaded().Apps() }

// HeldKey gives the key under which the decision about an application is held.
// It is false for an application or a channel that nobody knows.
func (p *Policy) HeldKey(s parvis.SessionID, app parvis.AppID, c parvis.Channel) (HeldKey, bool) {
	now := p.now.Load()
	k, ok := now.HeldKey(s, app, c)
	k.era = now.number
	return k, ok
}

// Run puts cases to the policy and says in words where the answer is not the
// one written down: at most one line per statement of a case, none when all hold.
func (p *Policy) Run(cases []Case) []string { return p.loaded().Run(cases) }
