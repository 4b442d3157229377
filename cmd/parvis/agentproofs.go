package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"parvis"
	"parvis/internal/recovery"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// unfinishedView is an agent who cannot get everywhere yet.
type unfinishedView struct {
	Number  parvis.AgentNumber `json:"agent_number"`
	Name    string             `json:"name"`
	Unit    parvis.UnitPath    `json:"unit"`
	State   parvis.State       `json:"state"`
	Missing []missingView      `json:"missing"`
}

// missingView is one thing that is missing, and who helps.
type missingView struct {
	Task   string            `json:"task"`
	Reason parvis.ReasonCode `json:"reason,omitempty"`
	By     parvis.Actor      `json:"by"`
}

// taskNames names the tasks for an operator.
var taskNames = map[string]string{"account": "password or passkey", "verifier": "verifier account", "second": "second proof"}

var errEnough = errors.New("enough")

// unfinished lists the agents, active or about to arrive, of whom something
// that is demanded is missing.
func (c *agentList) unfinished(con *console, h *house, after parvis.AgentNumber) error {
	now := h.clock()
	all := []unfinishedView{}
	filter := store.AgentFilter{Query: c.Query, Unit: parvis.UnitPath(c.Unit), After: after}
	err := h.store.EachStanding(con.ctx, filter, func(a *parvis.Agent, st *parvis.Standing) error {
		state := a.StateAt(now)
		if state != parvis.Active && state != parvis.PreArrival || c.State != "" && parvis.State(c.State) != state {
			return nil
		}
		v := unfinishedView{Number: a.Number, Name: a.Name(), Unit: a.Unit, State: state}
		for _, t := range h.desk.Remaining(a, st).Tasks {
			if t.Demanded && t.Status != recovery.Done {
				v.Missing = append(v.Missing, missingView{Task: t.ID, Reason: t.Reason, By: t.By})
			}
		}
		if len(v.Missing) == 0 {
			return nil
		}
		if len(all) == c.Limit {
			return errEnough
		}
		all = append(all, v)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if c.JSON {
		return printJSON(con.out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(con.err, "everybody who matches has all that is asked of them")
		return nil
	}
	if err != nil {
		fmt.Fprintf(con.err, "the first %d; --after %s goes on, --limit shows more\n", c.Limit, all[len(all)-1].Number)
	}
	rows := [][]string{}
	for _, v := range all {
		var missing, by []string
		for _, m := range v.Missing {
			name := taskNames[m.Task]
			if name == "" {
				name = m.Task
			}
			missing = append(missing, name)
			if who := string(m.By); !slices.Contains(by, who) {
				by = append(by, who)
			}
		}
		rows = append(rows, []string{string(v.Number), v.Name, string(v.State), strings.Join(missing, ", "), strings.Join(by, ", "), string(v.Unit)})
	}
	return table(con.out, []string{"number", "name", "state", "missing", "who helps", "unit"}, rows)
}

// mostReason is how much of a reason is kept with a temporary code.
const mostReason = 60

// temporary issues a code that stands in for a second proof. For a sensitive
// profile two people answer for it (product.md rule on sensitive acts): the one
// who types, and one who may help agents and is named in the record.
func (c *agentShow) temporary(con *console, h *house, number parvis.AgentNumber) (seal.Secret, time.Time, error) {
	none := func(err error) (seal.Secret, time.Time, error) { return "", time.Time{}, err }
	reason := strings.TrimSpace(c.Reason)
	switch {
	case c.TemporaryCode < 10*time.Minute || c.TemporaryCode > 8*time.Hour:
		return none(usage{errors.New("--temporary-code: 10m to 8h is expected")})
	case reason == "":
		return none(usage{errors.New("--reason: say why the code is given; it is recorded, and the agent reads it")})
	}
	a, _, err := h.facts(con, number)
	if err != nil {
		return none(err)
	}
	if state := a.StateAt(h.clock()); state == parvis.Closed || state == parvis.Suspended {
		return none(fmt.Errorf("%s is %s: no code is given", number, state))
	}
	if c.SecondPerson != "" {
		other, err := h.witness(con, number, c.SecondPerson)
		if err != nil {
			return none(err)
		}
		reason = fmt.Sprintf("with %s: %s", other, reason)
	} else if parvis.Strictest(h.catalog.Profiles, a).Sensitive {
		return none(fmt.Errorf("%s has a sensitive profile: two people answer for this code; name the other with --second-person NUMBER", number))
	}
	if n := utf8.RuneCountInString(reason); n > mostReason {
		return none(usage{fmt.Errorf("--reason: %d signs fewer are expected", n-mostReason)})
	}
	return h.door.IssueTemporaryCode(con.ctx, number, operator(), reason, c.TemporaryCode)
}

// witness finds the second person: somebody else, at work, who may help agents.
func (h *house) witness(con *console, about parvis.AgentNumber, typed string) (parvis.AgentNumber, error) {
	number, ok := parvis.ParseAgentNumber(typed)
	if !ok {
		return "", usage{fmt.Errorf("%q is not an agent number", typed)}
	}
	a, _, err := h.facts(con, number)
	switch {
	case err != nil:
		return "", err
	case number == about:
		return "", errors.New("the second person must be somebody else")
	case a.StateAt(h.clock()) != parvis.Active:
		return "", fmt.Errorf("%s is not at work", number)
	}
	for _, role := range []parvis.Role{parvis.RoleITContact, parvis.RoleSupportDesk, parvis.RoleITDepartment, parvis.RoleSecurityOfficer} {
		if slices.Contains(a.Roles, role) {
			return number, nil
		}
	}
	return "", fmt.Errorf("%s has no role that helps agents", number)
}
