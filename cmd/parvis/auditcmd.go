package main

import (
	"encoding/json"
	"fmt"
	"time"

	"parvis"
	"parvis/internal/audit"
)

type auditCommands struct {
	Verify auditVerify `cmd:"" help:"Prove the audit log whole, or name the first bad record."`
	Export auditExport `cmd:"" help:"Write events as JSON Lines."`
}

type auditVerify struct {
	place
	answer
}

// verdict is what a verification found.
type verdict struct {
	Whole   bool        `json:"whole"`
	Records int64       `json:"records"`
	Heads   int         `json:"heads"`
	Root    string      `json:"root"`
	Fault   audit.Fault `json:"fault,omitempty"`
	First   *int64      `json:"first,omitempty"`
	Last    *int64      `json:"last,omitempty"`
	Detail  string      `json:"detail,omitempty"`
}

func (c *auditVerify) Run(con *console) error {
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	r, err := h.store.VerifyAudit(con.ctx)
	if err != nil {
		return err
	}
	v := verdict{Whole: r.Fault == audit.Whole, Records: r.Size, Heads: r.Heads, Root: r.Root.String(), Fault: r.Fault, Detail: r.Detail}
	if !v.Whole {
		v.First, v.Last = &r.First, &r.Last
	}
	switch {
	case c.JSON:
		err = printJSON(con.out, v)
	case v.Whole:
		_, err = fmt.Fprintf(con.out, "whole: %d records, %d signed heads, root %s\n", v.Records, v.Heads, v.Root)
	default:
		_, err = fmt.Fprintf(con.out, "NOT whole: %s at record %d: %s\n", v.Fault, *v.First, v.Detail)
	}
	if err == nil && !v.Whole {
		return unmet{}
	}
	return err
}

type auditExport struct {
	place
	From int64 `help:"Position of the first event."`
}

// eventLine is an event as it leaves.
type eventLine struct {
	Seq       int64               `json:"seq"`
	At        time.Time           `json:"at"`
	Kind      string              `json:"kind"`
	Agent     parvis.AgentNumber  `json:"agent,omitempty"`
	Actor     string              `json:"actor,omitempty"`
	Channel   parvis.Channel      `json:"channel,omitempty"`
	Address   string              `json:"address,omitempty"`
	App       parvis.AppID        `json:"app,omitempty"`
	Reference parvis.Reference    `json:"reference,omitempty"`
	Reasons   []parvis.ReasonCode `json:"reasons,omitempty"`
	Detail    map[string]string   `json:"detail,omitempty"`
}

func (c *auditExport) Run(con *console) error {
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	enc := json.NewEncoder(con.out)
	return h.store.EachEvent(con.ctx, c.From, func(e parvis.Event) error { return enc.Encode(eventLine(e)) })
}
