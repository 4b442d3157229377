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
// when there is one, says why it stands so; By is who helps.
type Task struct {
	ID     string
	Status Status
	Reason parvis.ReasonCode
	By     parvis.Actor
}

// Overview is the whole of an activation on one page.
type Overview struct {
	Agent    *parvis.Agent // what HR wrote, to be checked
	Disputed time.Time     // since when the newcomer says that it is wrong
	Second   bool          // the profile demands a second proof
	Tasks    []Task
	Done, Of int       // of the tasks that can be done now
	Expires  time.Time // the cookie is good until then; the code opens it again
}

// Overview reads the task list of a cookie.
func (d *Desk) Overview(ctx context.Context, cookie seal.Secret) (Overview, error) {
	f, err := d.flow(cookie, d.Clock(), func(id string) (store.Flow, error) { return d.Store.Flow(ctx, id) })
	if err != nil {
		return Overview{}, err
	}
	agent, err := d.Store.Agent(ctx, f.Agent)
	if err != nil {
		return Overview{}, err
	}
	standing, err := d.Store.Standing(ctx, f.Agent)
	if err != nil {
		return Overview{}, err
	}
	done, err := d.Store.Activation(ctx, f.Agent)
	if err != nil {
		return Overview{}, err
	}
	out := Overview{Agent: agent, Second: d.demands(agent).Sensitive, Expires: f.Expires}
	if done.Reported.After(done.Confirmed) {
		out.Disputed = done.Reported
	}
	out.Tasks = tasks(standing, done, d.Verifier, out.Second)
	for _, t := range out.Tasks {
		if t.Status == Todo || t.Status == Done {
			out.Of++
		}
		if t.Status == Done {
			out.Done++
		}
	}
	return out, nil
}

// tasks lists what an activation asks, from what is known. It is pure. The
// second account and the second proof have their place from the first day;
// they wait until they can be given here.
func tasks(standing *parvis.Standing, done store.Activation, verifier, second bool) []Task {
	status := func(is bool, otherwise Status) Status {
		if is {
			return Done
		}
		return otherwise
	}
	list := []Task{
		{ID: "identity", Status: status(!done.Confirmed.IsZero() || !done.Reported.IsZero(), Todo), By: parvis.ByHRUnit},
		{ID: "account", Status: status(standing.Activated, Todo), By: parvis.ByITContact},
		{ID: "verifier", Status: status(standing.VerifierLinked, Later), By: parvis.ByVerifierOwner},
		{ID: "second", Status: status(standing.SecondEnrolled(), Later), By: parvis.ByITContact},
		{ID: "contact", Status: Later, By: parvis.ByITContact},
		{ID: "channels", Status: Later, By: parvis.BySelf},
	}
	if list[1].Status == Todo {
		list[1].Reason = parvis.WhyAgentAccountNotActivated
	}
	if verifier && list[2].Status == Later {
		list[2].Reason = parvis.WhyVerifierMissing
	}
	if second && list[3].Status == Later {
		list[3].Reason = parvis.WhyFactorRequired
	}
	return list
}
