package access

import (
	"slices"
	"time"

	"parvis"
)

// recentProof is how long a second proof that was shown lets another be
// enrolled (product.md section 5, step-up).
const recentProof = 15 * time.Minute

func (p *policy) Demand(a *parvis.Agent, app parvis.AppID, c parvis.Channel, at time.Time) parvis.Demand {
	binds, _ := p.demands(a, p.application(app), c, at)
	return binds
}

func (p *policy) Asked(a *parvis.Agent, st *parvis.Standing, app parvis.AppID, c parvis.Channel, at time.Time) parvis.Demand {
	r := Request{Agent: a, Standing: st, App: app, Channel: c, At: at}
	_, strongest := p.heldAt(&r)
	return p.asked(&r, strongest)
}

func (p *policy) Announced(a *parvis.Agent, app parvis.AppID, c parvis.Channel, at time.Time) parvis.Demand {
	binds, next := p.demands(a, p.application(app), c, at)
	if next.Strength == binds.Strength && next.MaxAge == binds.MaxAge {
		return parvis.Demand{}
	}
	return next
}

func (p *policy) VerifierMode(a *parvis.Agent, c parvis.Channel) parvis.VerifierMode {
	return parvis.StrictestVerifier(p.verifierRules, a, c)
}

func (p *policy) Site(c parvis.Channel) string { return p.sites[c] }

func (p *policy) EnrolHere(c parvis.Channel) bool { return p.enrolHere[c] }

// nowhere is the application of a question about no application.
var nowhere parvis.App

func (p *policy) application(id parvis.AppID) *parvis.App {
	if i, ok := p.byID[id]; ok {
		return &p.apps[i].App
	}
	return &nowhere
}

// demandOf is what an application demands from everybody.
func demandOf(app *parvis.App) parvis.Demand {
	d := parvis.Demand{MaxAge: time.Duration(app.ProofMaxAge) * time.Second}
	if app.Second {
		d.Strength = max(app.SecondStrength, parvis.AnySecond)
	}
	return d
}

// demands gives what binds at a moment, and the next dated change of it.
func (p *policy) demands(a *parvis.Agent, app *parvis.App, c parvis.Channel, at time.Time) (binds, next parvis.Demand) {
	binds, next = parvis.Demanded(p.declared, a, c, at)
	always := demandOf(app)
	if c == parvis.VPN { // the tunnel joins the organisation's own network (product.md section 5)
		always.Strength = max(always.Strength, parvis.AnySecond)
	}
	if !next.From.IsZero() {
		next = strictest(next, always)
	}
	return strictest(binds, always), next
}

// strictest is d, and at least as strict as o.
func strictest(d, o parvis.Demand) parvis.Demand {
	d.Strength = max(d.Strength, o.Strength)
	if d.MaxAge == 0 || o.MaxAge > 0 && o.MaxAge < d.MaxAge {
		d.MaxAge = o.MaxAge
	}
	return d
}

// asked is what this request must show. Strongest is what the agent holds here.
func (p *policy) asked(r *Request, strongest int) parvis.Demand {
	app := p.application(r.App)
	d, _ := p.demands(r.Agent, app, r.Channel, r.At)
	if strongest > 0 && (r.Channel == parvis.Mobile || slices.Contains(app.SecondOn, r.Channel)) {
		d.Strength = max(d.Strength, parvis.AnySecond)
	}
	return d
}

// usable tells whether a kind that the agent holds can be shown at an entrance.
// A passkey answers to its own site and to no other (WebAuthn §5.1.4.1).
func (p *policy) usable(k parvis.ProofKind, st *parvis.Standing, c parvis.Channel) bool {
	return k != parvis.Passkey || p.sites == nil || p.sites[c] != "" && slices.Contains(st.Sites, p.sites[c])
}

// heldAt gives the kinds that the agent holds and can show at the entrance of a
// request, and the strength of the strongest second proof among them.
func (p *policy) heldAt(r *Request) (kinds kindSet, strongest int) {
	for _, k := range r.Standing.Enrolled {
		if p.usable(k, r.Standing, r.Channel) {
			kinds.add(k)
			strongest = max(strongest, k.Strength())
		}
	}
	for _, c := range r.made {
		if k := made(c); p.canMake(r, c) && k != parvis.TemporaryCode && k.Second() {
			kinds.add(k)
			strongest = max(strongest, k.Strength())
		}
	}
	return kinds, strongest
}

// shownAt gives the proofs that were shown, and those that would be.
func (p *policy) shownAt(r *Request) []parvis.Proof {
	all := slices.Clip(r.Proofs)
	for _, c := range r.made {
		if p.canMake(r, c) {
			all = append(all, parvis.Proof{Kind: made(c), At: r.At})
		}
	}
	return all
}

// made is the kind of proof that a change shows.
func made(c parvis.Change) parvis.ProofKind {
	if c.To == toAnySecond {
		return parvis.TOTP
	}
	return parvis.ProofKind(c.To)
}

// canMake tells whether a second proof, or the verifier's word, can be shown at
// the entrance of a request: one that is held, one that somebody hands over in
// person, or one that may be enrolled there and then.
func (p *policy) canMake(r *Request, c parvis.Change) bool {
	k, st := made(c), r.Standing
	if k == parvis.Passkey && p.sites != nil && p.sites[r.Channel] == "" {
		return false
	}
	switch {
	case c.By != parvis.BySelf:
		return true
	case k == parvis.Verifier:
		return st.VerifierLinked
	case k == parvis.TemporaryCode:
		return st.Temporary.After(r.At)
	case c.To != toAnySecond && slices.Contains(st.Enrolled, k) && p.usable(k, st, r.Channel):
		return true
	}
	return (c.To == toAnySecond || k == parvis.Passkey) && p.mayEnrol(r)
}

// mayEnrol tells whether the agent may enrol a second proof at the entrance of
// a request: the first one where the organisation allows it; another one after
// one that can be shown there; and either once a second proof was shown, be it
// a temporary code (product.md section 4, rule 7).
func (p *policy) mayEnrol(r *Request) bool {
	recent := func(pr parvis.Proof) bool {
		return pr.Kind.Second() && !pr.At.After(r.At) && r.At.Sub(pr.At) < recentProof
	}
	st := r.Standing
	if st.Temporary.After(r.At) || slices.ContainsFunc(r.Proofs, recent) {
		return true
	}
	if !st.SecondEnrolled() {
		return p.enrolHere[r.Channel]
	}
	return slices.ContainsFunc(st.Enrolled, func(k parvis.ProofKind) bool {
		return k.Second() && p.usable(k, st, r.Channel)
	})
}

// hardening lists the moments after a request at which more is demanded, or
// less counts: an announced demand binds, a temporary code ends, a proof grows
// too old.
func (q *question) hardening() []time.Time {
	var all []time.Time
	r := &q.r
	if t := r.Standing.Temporary; t.After(r.At) {
		all = append(all, t)
	}
	old := func(age time.Duration) {
		for _, pr := range r.Proofs {
			if t := pr.At.Add(age); age > 0 && pr.Kind.Second() && t.After(r.At) {
				all = append(all, t)
			}
		}
	}
	for _, age := range q.app.ages {
		old(time.Duration(age) * time.Second)
	}
	at := r.At
	for {
		binds, next := q.p.demands(r.Agent, &q.app.App, r.Channel, at)
		old(binds.MaxAge)
		if next.From.IsZero() {
			return all
		}
		at = next.From
		all = append(all, at)
	}
}
