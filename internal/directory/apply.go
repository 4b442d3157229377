package directory

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/store"
)

// chunk is how many agents one transaction takes: few enough that a sign-in
// waiting behind it is not felt, enough that its commit costs little.
const chunk = 500

// Apply does what a plan says, in the name of by (an agent number or
// "operator:NAME"). Agents go in by chunks, each in one transaction with its
// events, those who are missing are flagged after the last, and then the run is
// recorded as hr_file.imported. Killed in between, what is in is whole; a new
// plan of the same file does the rest.
//
// progress, when given, is told how many agents are done; it is never called
// inside a transaction. The error is of [parvis.CodeRefused] with a *[Fault]
// inside when the plan has a stop that nobody overrides, of
// [parvis.CodeConflict] when another import began since the plan was made.
func (d *Directory) Apply(ctx context.Context, p *Plan, by string, progress func(done, total int)) (store.Import, error) {
	const op = "directory.Apply"
	if by == "" {
		return store.Import{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("an import has a name under it")}
	}
	for i := range p.Stops {
		if p.Override.By == "" || p.Stops[i].Key == stopEmpty {
			return store.Import{}, &parvis.Error{Code: parvis.CodeRefused, Op: op, Err: &p.Stops[i]}
		}
	}
	run := store.Import{
		ID: p.last + 1, Digest: p.File.Digest, By: by, Began: d.Clock().Truncate(time.Microsecond), // as the store keeps it
		Lines: p.File.Lines, Rejected: p.Rejected, Unchanged: p.Unchanged,
	}
	if len(p.Stops) > 0 {
		run.Override = p.Override.By
	}
	total := len(p.Changes) + len(p.Missing)
	told := func(n int) {
		if progress != nil {
			progress(n, total)
		}
	}
	told(0)
	for some := range slices.Chunk(p.Changes, chunk) {
		next := run
		err := d.Store.Write(ctx, func(tx *store.Tx) (err error) {
			next, err = d.put(ctx, tx, run, some, by)
			return err
		})
		if err != nil {
			return run, err
		}
		run = next
		told(run.Created + run.Changed)
	}
	for some := range slices.Chunk(p.Missing, chunk) {
		next := run
		err := d.Store.Write(ctx, func(tx *store.Tx) (err error) {
			next, err = flag(ctx, tx, run, some, by)
			return err
		})
		if err != nil {
			return run, err
		}
		run = next
		told(run.Created + run.Changed + run.Missing)
	}
	err := d.Store.Write(ctx, func(tx *store.Tx) error {
		if err := alone(ctx, tx, run); err != nil {
			return err
		}
		run.Ended = tx.Now()
		tx.Record(parvis.Event{Kind: "hr_file.imported", Actor: by, Detail: detail(run)})
		return tx.PutImport(ctx, run)
	})
	return run, err
}

// put takes a chunk of changes in.
func (d *Directory) put(ctx context.Context, tx *store.Tx, run store.Import, some []Change, by string) (store.Import, error) {
	if err := alone(ctx, tx, run); err != nil {
		return run, err
	}
	agents := make([]*parvis.Agent, len(some))
	for i := range some {
		agents[i] = some[i].agent
	}
	if err := tx.PutAgents(ctx, agents); err != nil {
		return run, err
	}
	for i := range some {
		c := &some[i]
		e := parvis.Event{Kind: "agent.imported", Agent: c.Number, Actor: by}
		if c.Created {
			run.Created++
		} else {
			e.Kind = "agent.changed"
			e.Detail = map[string]string{}
			var fields []string
			for _, f := range c.Fields { // their names, never what they hold
				fields = append(fields, f.Field)
			}
			if len(fields) > 0 {
				e.Detail["fields"] = strings.Join(fields, ",")
			}
			if c.agent.Unit != c.was {
				e.Detail["from"], e.Detail["to"] = string(c.was), string(c.agent.Unit)
			}
			if c.Reappeared {
				e.Detail["reappeared"] = "true"
				run.Reappeared++
			}
			run.Changed++
		}
		if c.Closing {
			e.Detail["closing"] = "true"
			run.Closing++
		}
		tx.Record(e)
		if c.Closing && d.Shut != nil {
			if err := d.Shut(tx, c.Number, "hr_file"); err != nil {
				return run, err
			}
		}
	}
	return run, tx.PutImport(ctx, run)
}

// flag notes that the file no longer names some agents.
func flag(ctx context.Context, tx *store.Tx, run store.Import, some []parvis.AgentNumber, by string) (store.Import, error) {
	if err := alone(ctx, tx, run); err != nil {
		return run, err
	}
	if err := tx.FlagMissing(ctx, some); err != nil {
		return run, err
	}
	for _, n := range some {
		tx.Record(parvis.Event{Kind: "agent.missing", Agent: n, Actor: by})
	}
	run.Missing += len(some)
	return run, tx.PutImport(ctx, run)
}

// alone refuses to go on when another import began: its plan was made on what
// this one is changing, or the other way round.
func alone(ctx context.Context, tx *store.Tx, run store.Import) error {
	last, err := tx.LastImport(ctx)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		last, err = store.Import{}, nil
	}
	if err != nil {
		return err
	}
	ours := last.ID == run.ID && last.Began.Equal(run.Began) && last.Digest == run.Digest && last.By == run.By
	if last.ID == run.ID-1 && run.Created+run.Changed+run.Missing == 0 || ours {
		return nil
	}
	return &parvis.Error{Code: parvis.CodeConflict, Op: "directory.Apply", Err: errors.New("another import began meanwhile")}
}

func detail(run store.Import) map[string]string {
	all := map[string]string{"digest": run.Digest}
	if run.Override != "" {
		all["override"] = run.Override
	}
	for key, n := range map[string]int{
		"lines": run.Lines, "created": run.Created, "changed": run.Changed, "unchanged": run.Unchanged,
		"rejected": run.Rejected, "missing": run.Missing, "reappeared": run.Reappeared, "closing": run.Closing,
	} {
		all[key] = strconv.Itoa(n)
	}
	return all
}
