package main

import (
	"fmt"
	"slices"
	"strings"

	"parvis"
	"parvis/internal/store"
)

type adminCommands struct {
	Grant   adminGrant   `cmd:"" help:"Give a role to an agent, from the machine itself."`
	Recover adminRecover `cmd:"" help:"Break the glass: let an administrator choose a new password when nobody can get in."`
}

type adminGrant struct {
	place
	Number string   `arg:"" help:"Agent number."`
	Role   string   `arg:"" help:"it_contact, support_desk, hr_officer, auditor, it_department or security_officer."`
	Unit   []string `help:"Limit the role to these units."`
}

func (c *adminGrant) Run(con *console) error {
	number, ok := parvis.ParseAgentNumber(c.Number)
	if !ok {
		return usage{fmt.Errorf("%q is not an agent number", c.Number)}
	}
	if !slices.Contains(parvis.Roles(), parvis.Role(c.Role)) {
		return usage{fmt.Errorf("%q is not a role: %s", c.Role, strings.Join(strings.Fields(join(parvis.Roles())), ", "))}
	}
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	var units []parvis.UnitPath
	for _, u := range c.Unit {
		units = append(units, parvis.UnitPath(u))
	}
	if _, _, err := h.facts(con, number); err != nil {
		return err
	}
	if err := h.directory.GrantRole(con.ctx, number, parvis.Role(c.Role), units, operator()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "%s is now %s; it is recorded under your name, %s\n", number, c.Role, operator())
	return err
}

type adminRecover struct {
	place
	Number string `arg:"" help:"Agent number of an administrator."`
}

// Run forgets the password of an administrator and issues a code to choose
// another. It is for the machine's own operator, works for administrators
// alone, and leaves its record.
func (c *adminRecover) Run(con *console) error {
	number, ok := parvis.ParseAgentNumber(c.Number)
	if !ok {
		return usage{fmt.Errorf("%q is not an agent number", c.Number)}
	}
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	a, _, err := h.facts(con, number)
	if err != nil {
		return err
	}
	if !slices.Contains(a.Roles, parvis.RoleITDepartment) && !slices.Contains(a.Roles, parvis.RoleSecurityOfficer) {
		return fmt.Errorf("%s is no administrator: the desks unblock agents; `parvis admin grant` makes an administrator", number)
	}
	ended := 0
	err = h.store.Write(con.ctx, func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "admin.recovered", Agent: number, Actor: operator()})
		if err := h.vault.Forget(con.ctx, tx, number); err != nil {
			return err
		}
		ended, err = h.sessions.EndAll(tx, number, parvis.SessionID{}, "recovered")
		return err
	})
	if err != nil {
		return err
	}
	code, until, err := h.desk.Issue(con.ctx, number, operator())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "%d sessions of %s are ended and the old password is forgotten.\nCode: %s\nGood until %s, at %s/activate\n",
		ended, number, code.Reveal(), until.In(h.zone).Format("2006-01-02 15:04"), h.addresses.Portal(parvis.Internal))
	return err
}

type versionCommand struct{ answer }

func (c *versionCommand) Run(con *console) error {
	ver, commit := release()
	schema, err := store.Schema()
	if err != nil {
		return err
	}
	v := struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
		Schema  int    `json:"schema"`
	}{ver, commit, schema}
	if c.JSON {
		return printJSON(con.out, v)
	}
	_, err = fmt.Fprintf(con.out, "parvis %s, commit %s, schema %d\n", v.Version, v.Commit, v.Schema)
	return err
}
