package recovery

import (
	"context"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// Status is how a task stands.
type Status string

// The statuses, as in the catalogue: activation_overview.state.STATUS.
const (
	Todo     Status = "todo"
	Done     Status = "done"
	Later    Status = "later"    // not yet possible
	Optional Status = "optional" // possible, and not demanded
)

// Task is one line of the list. ID is identity, account, verifier, second,
// contact or channels, as in the catalogue: activation_overview.step.ID. Reason,
// when there is one, says why it stands so; By is who helps. Without what is
// Demanded the agent does not get everywhere they should.
type Task struct {
	ID       string
	Status   Status
	Demanded bool
	Reason   parvis.ReasonCode
	By       parvis.Actor
}

// Overview is the whole of an arrival on one page.
type Overview struct {
	Agent     *parvis.Agent // what HR wrote, to be checked
	Disputed  time.Time     // since when the newcomer says that it is wrong
	Second    bool          // a second proof is demanded
	Verifier  parvis.VerifierMode
	Activated bool // the account has a secret
	Password  bool // … which is a password, besides a passkey or not
	Tasks     []Task
	Done, Of  int       // of the tasks that are to be done
	Left      int       // of those demanded, how many are not done
	Expires   time.Time // the cookie is good until then; the code opens it again
}

// Overview reads the task list of a cookie.
func (d *Desk) Overview(ctx context.Context, cookie seal.Secret) (Overview, error) {
	f, standing, err := d.flow(ctx, d.Store, cookie, d.Clock())
	if err != nil {
		return Overview{}, err
	}
	return d.overview(ctx, f.Agent, standing, f.Expires)
}

// Tasks is the same list as its agent's, for whoever helps them.
func (d *Desk) Tasks(ctx context.Context, number parvis.AgentNumber) (Overview, error) {
	standing, err := d.Store.Standing(ctx, number)
	if err != nil {
		return Overview{}, err
	}
	return d.overview(ctx, number, standing, time.Time{})
}

func (d *Desk) overview(ctx context.Context, number parvis.AgentNumber, standing *parvis.Standing, until time.Time) (Overview, error) {
	agent, err := d.Store.Agent(ctx, number)
	if err != nil {
		return Overview{}, err
	}
	done, err := d.Store.Activation(ctx, number)
	if err != nil {
		return Overview{}, err
	}
	out := d.list(agent, standing, done, !until.IsZero() || !standing.Activated)
	out.Expires = until
	if done.Reported.After(done.Confirmed) {
		out.Disputed = done.Reported
	}
	return out, nil
}

// Remaining is the list as the facts in memory tell it, without what only the
// activation knows: it reads nothing.
func (d *Desk) Remaining(agent *parvis.Agent, standing *parvis.Standing) Overview {
	return d.list(agent, standing, store.Activation{}, false)
}

func (d *Desk) list(agent *parvis.Agent, standing *parvis.Standing, done store.Activation, arriving bool) Overview {
	out := Overview{Agent: agent, Activated: standing.Activated, Password: !standing.PasswordSince.IsZero(), Verifier: d.mode(agent)}
	asks := asked{verifier: out.Verifier, second: d.least(agent), arriving: arriving}
	out.Second = asks.second > 0
	out.Tasks = tasks(standing, done, asks)
	for _, t := range out.Tasks {
		switch {
		case t.Status == Done:
			out.Done++
		case t.Demanded:
			out.Left++
		}
		if t.Status == Todo || t.Status == Done {
			out.Of++
		}
	}
	return out
}

// mode is the part that the second account has for an agent.
func (d *Desk) mode(agent *parvis.Agent) parvis.VerifierMode {
	switch {
	case d.Mode != nil:
		return d.Mode(agent)
	case d.Verifier:
		return parvis.VerifierFirst
	}
	return parvis.VerifierOff
}

// least is the strength of the second proof that is demanded of an agent
// somewhere; 0 for none.
func (d *Desk) least(agent *parvis.Agent) int {
	most := 0
	for _, ch := range parvis.Channels() {
		binds, _ := parvis.Demanded(d.Profiles, agent, ch, d.Clock())
		most = max(most, binds.Strength)
	}
	if d.Second != nil && d.Second(agent) {
		most = max(most, parvis.AnySecond)
	}
	return most
}

// asked is what an organisation asks of an agent.
type asked struct {
	verifier parvis.VerifierMode
	second   int  // the least strength; 0 when it is not demanded
	arriving bool // within an activation
}

// tasks lists what an arrival asks, from what is known. It is pure. The order is
// that of the page; any other will do.
func tasks(standing *parvis.Standing, done store.Activation, asks asked) []Task {
	status := func(is bool, otherwise Status) Status {
		if is {
			return Done
		}
		return otherwise
	}
	var list []Task
	if checked := !done.Confirmed.IsZero() || !done.Reported.IsZero(); checked || asks.arriving {
		list = append(list, Task{ID: "identity", Status: status(checked, Todo), By: parvis.ByHRUnit})
	}
	account := Task{ID: "account", Status: status(standing.Activated, Todo), Demanded: true, By: parvis.ByITContact}
	if account.Status == Todo {
		account.Reason = parvis.WhyAgentAccountNotActivated
	}
	list = append(list, account)
	link := Task{ID: "verifier", Status: status(standing.VerifierLinked, Optional), By: parvis.ByVerifierOwner}
	switch asks.verifier {
	case parvis.VerifierOff, "":
	case parvis.VerifierOffered:
		list = append(list, link)
	default:
		link.Demanded = true
		if link.Status != Done {
			link.Status, link.Reason = Todo, parvis.WhyVerifierMissing
		}
		list = append(list, link)
	}
	strength := 0
	for _, k := range standing.Enrolled {
		strength = max(strength, k.Strength())
	}
	second := Task{
		ID: "second", Status: status(strength >= max(asks.second, parvis.AnySecond), Optional), Demanded: asks.second > 0, By: parvis.ByITContact,
	}
	if second.Demanded && second.Status != Done {
		second.Status, second.Reason = Todo, parvis.WhyFactorRequired
		if strength > 0 {
			second.Reason = parvis.WhyFactorTooWeak
		}
	}
	return append(list, second,
		Task{ID: "contact", Status: Later, By: parvis.ByITContact},
		Task{ID: "channels", Status: Optional, By: parvis.BySelf})
}
