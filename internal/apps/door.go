package apps

import (
	"context"
	"errors"
	"slices"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/directory"
	"parvis/internal/helpdesk"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
)

// Door asks whether somebody may enter an application by a protocol. All fields
// but SIRET are required. It may be used by any number of goroutines at once.
type Door struct {
	Policy    *access.Policy
	Held      *access.Held // may be that of the gateway
	Directory *directory.Directory
	Sessions  *session.Keeper
	Counter   *helpdesk.Counter
	Keys      *seal.Keys // for pairwise subjects
	SIRET     string     // told of agents whose employer has none that is right; empty: nothing
	Clock     func() time.Time
}

// Question is somebody in a session, at an entrance, before an application.
type Question struct {
	Session parvis.Session
	Origin  parvis.Origin
	App     parvis.AppID
	Path    string // where they were, for the record
	Tried   bool   // proofs were asked for already: a refusal is final, and is recorded
}

// Answer is what a [Door] says. Agent and Standing are those decided upon, and
// must not be changed.
type Answer struct {
	Decision  parvis.Decision
	Agent     *parvis.Agent
	Standing  *parvis.Standing
	Reference parvis.Reference // of a refusal that was recorded

	// Prove is the least level (domain.md 3.1) that the agent can reach by
	// themselves, here and now, to be let in: nothing is recorded then. Which
	// proof it takes is among the ways of the decision.
	Prove string
}

// Ask decides. A refusal is recorded, unless the agent can do away with it by
// showing a proof: then Prove says which, and asking again with Tried set
// records what is left. Errors: [parvis.CodeNotFound] for no such application,
// [parvis.CodeUnavailable] when the facts cannot be read.
func (d *Door) Ask(ctx context.Context, q Question) (Answer, error) {
	const op = "apps.Ask"
	if _, ok := d.Policy.App(q.App); !ok {
		return Answer{}, &parvis.Error{Code: parvis.CodeNotFound, Op: op, Err: errors.New("no such application")}
	}
	device := q.Origin.Device
	if device == "" && q.Session.Channel == q.Origin.Channel {
		device = q.Session.Device
	}
	v, err := d.stands(ctx, &q.Session, q.App, q.Origin.Channel, device)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Decision: v.decision, Agent: v.request.Agent, Standing: v.request.Standing}
	if a.Decision.Open {
		return a, nil
	}
	a.Decision = d.Policy.Explain(v.request)
	if a.Decision.Open { // the rules changed between two looks
		return a, nil
	}
	if a.Prove = d.prove(&a.Decision, &v.request); a.Prove != "" && !q.Tried {
		return a, nil
	}
	a.Prove = ""
	a.Reference, err = d.Counter.Refuse(ctx, helpdesk.Refusal{
		Agent: q.Session.Agent, Session: q.Session.ID, Origin: q.Origin, App: q.App, Path: q.Path, Decision: a.Decision,
		Facts: store.RefusalFacts{
			State: a.Agent.StateAt(v.request.At), Proofs: q.Session.Proofs, Device: v.request.Device.ID, Known: q.Origin.Known,
		},
		Generation: uint64(v.generation),
	})
	return a, err
}

// stand is how somebody stands before an application.
type stand struct {
	request    access.Request
	decision   parvis.Decision
	generation uint32
}

// stands decides from what is held, or by asking the rules. All it reads is in
// memory once the agent is known there.
func (d *Door) stands(ctx context.Context, s *parvis.Session, app parvis.AppID, c parvis.Channel, device parvis.DeviceID) (stand, error) {
	now := d.Clock()
	version, generation := d.Sessions.Version(s.Agent), d.Held.Generation()
	agent, standing, err := d.Directory.Facts(ctx, s.Agent)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound: // unknown means refused
		agent, standing = &parvis.Agent{Number: s.Agent}, &parvis.Standing{}
	case err != nil:
		return stand{}, err
	}
	v := stand{generation: generation, request: access.Request{
		Agent: agent, Standing: standing, App: app, Channel: c, At: now, Proofs: s.Proofs, Device: deviceOf(standing, device),
	}}
	key, ok := d.Policy.HeldKey(s.ID, app, c)
	if ok && s.ID != (parvis.SessionID{}) {
		if until, ok := d.Held.Lookup(key, version, now); ok {
			declared, _ := d.Policy.App(app)
			v.decision = parvis.Decision{Open: true, Limited: slices.Contains(declared.Reduced, c), Until: until}
			return v, nil
		}
	}
	v.decision = d.Policy.Decide(v.request)
	if ok && v.decision.Open && s.ID != (parvis.SessionID{}) {
		d.Held.Keep(key, version, generation, now, v.decision.Until)
	}
	return v, nil
}

func deviceOf(st *parvis.Standing, id parvis.DeviceID) parvis.Device {
	for _, d := range st.Devices {
		if id != "" && d.ID == id {
			return d
		}
	}
	return parvis.Device{}
}

// prove gives the least level that opens, when a way changes nothing but the
// second proof and the agent can take it by themselves. A passkey that is
// copied between devices is no more than eidas2, so no demand of the policies
// asks for eidas3: applications ask for that themselves.
func (d *Door) prove(said *parvis.Decision, r *access.Request) string {
	second := func(c parvis.Change) bool {
		if c.Kind != parvis.ChangeProof || c.By != parvis.BySelf {
			return false
		}
		return c.To != string(parvis.Password) && c.To != string(parvis.Verifier)
	}
	if !slices.ContainsFunc(said.Ways, func(w parvis.Way) bool {
		return len(w.Changes) > 0 && !slices.ContainsFunc(w.Changes, func(c parvis.Change) bool { return !second(c) })
	}) {
		return ""
	}
	if d.Policy.Asked(r.Agent, r.Standing, r.App, r.Channel, r.At).Strength <= parvis.AnySecond {
		return "eidas1-mfa"
	}
	return "eidas2"
}

// Still tells whether what was given to an application is still worth
// something, and until when: at its redemption, at each refresh, introspection
// or question about the agent. The session must be there, and decides with its
// proofs, through the entrance of the grant. A grant that outlives its session
// decides afterwards with the proofs of that time, shown, which grow old: where
// a recent proof is asked for, it ends too. A refusal is not recorded; it comes
// with its ways. Errors: [parvis.CodeUnavailable] when the facts cannot be read:
// nothing is known then, and nothing has ended.
func (d *Door) Still(ctx context.Context, g store.Grant, shown ...parvis.Proof) (open bool, until time.Time, said parvis.Decision, err error) {
	now := d.Clock()
	if !g.Ended.IsZero() || !g.Expires.IsZero() && !g.Expires.After(now) {
		return false, time.Time{}, over(), nil
	}
	s, err := d.Sessions.Live(ctx, g.Session)
	switch {
	case err == nil && s.Agent != g.Agent:
		return false, time.Time{}, over(), nil
	case err == nil:
		until = sooner(s.Idle, s.Ends)
	case parvis.CodeOf(err) != parvis.CodeNotFound:
		return false, time.Time{}, said, err
	case !g.Offline:
		return false, time.Time{}, over(), nil
	default:
		s = parvis.Session{Agent: g.Agent, Proofs: shown} // no session: nothing is held of it
	}
	device := parvis.DeviceID("")
	if s.Channel == g.Channel {
		device = s.Device
	}
	v, err := d.stands(ctx, &s, g.App, g.Channel, device)
	if err != nil {
		return false, time.Time{}, said, err
	}
	if !v.decision.Open {
		return false, time.Time{}, d.Policy.Explain(v.request), nil
	}
	return true, sooner(sooner(v.decision.Until, until), g.Expires), v.decision, nil
}

// over is the answer about what has ended.
func over() parvis.Decision {
	return parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhySessionExpired}}}
}

// sooner gives the earlier of two moments; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
