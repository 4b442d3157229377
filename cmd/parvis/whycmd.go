package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/text"
)

type whyCommand struct {
	place
	answer
	Number  string   `arg:"" help:"Agent number."`
	App     string   `arg:"" help:"Application."`
	Channel string   `required:"" help:"internal, vpn or mobile."`
	At      string   `placeholder:"RFC3339" help:"Moment; now when absent."`
	Proof   []string `default:"password" help:"Proofs shown, such as password,totp."`
	Device  string   `placeholder:"ID" help:"Device of the request."`
	Lang    string   `default:"en" enum:"fr,en" help:"Language of the sentences."`
}

// whyAnswer is the decision as contract.md promises it.
type whyAnswer struct {
	Open    bool       `json:"open"`
	Limited bool       `json:"limited,omitempty"`
	Until   *time.Time `json:"until"`
	text.Told
	Policies []string `json:"policies"`
}

func (c *whyCommand) Run(con *console) error {
	q, err := c.question()
	if err != nil {
		return usage{err}
	}
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	app, ok := h.policy.App(q.App)
	if !ok {
		return fmt.Errorf("there is no application %s", c.App)
	}
	if err := h.complete(con, &q, c); err != nil {
		return err
	}
	d := h.policy.Explain(q)
	lang := text.Lang(c.Lang)
	told := h.words.Tell(lang, d, text.Scene{
		App: app, Channel: q.Channel, Sensitive: parvis.Strictest(h.catalog.Profiles, q.Agent).Sensitive,
		Zone: h.zone, Now: q.At, Values: h.values(lang),
	})
	a := whyAnswer{Open: d.Open, Limited: d.Limited, Told: told, Policies: d.Policies}
	if !d.Until.IsZero() {
		until := d.Until.UTC()
		a.Until = &until
	}
	if a.Policies == nil {
		a.Policies = []string{}
	}
	if c.JSON {
		return printJSON(con.out, a)
	}
	return a.print(con.out, app.Name.In("en"), h.zone)
}

func (c *whyCommand) question() (access.Request, error) {
	q := access.Request{App: parvis.AppID(strings.ToLower(c.App)), Channel: parvis.Channel(c.Channel)}
	if !q.Channel.Known() {
		return q, fmt.Errorf("%q is not a channel: internal, vpn or mobile", c.Channel)
	}
	if _, ok := parvis.ParseAgentNumber(c.Number); !ok {
		return q, fmt.Errorf("%q is not an agent number", c.Number)
	}
	if c.At != "" {
		at, err := time.Parse(time.RFC3339, c.At)
		if err != nil {
			return q, fmt.Errorf("--at: a moment such as 2026-11-24T10:00:00+01:00 is expected")
		}
		q.At = at
	}
	for _, p := range c.Proof {
		switch k := parvis.ProofKind(p); k {
		case parvis.Password, parvis.Verifier, parvis.TOTP, parvis.SMS, parvis.Passkey, parvis.RecoveryCode, parvis.TemporaryCode, parvis.VerifierWaived:
			q.Proofs = append(q.Proofs, parvis.Proof{Kind: k})
		case "", "none":
		default:
			return q, fmt.Errorf("%q is not a proof", p)
		}
	}
	return q, nil
}

// complete fills in what the installation knows: the agent, the hour, the device.
func (h *house) complete(con *console, q *access.Request, c *whyCommand) error {
	number, _ := parvis.ParseAgentNumber(c.Number)
	var err error
	if q.Agent, q.Standing, err = h.facts(con, number); err != nil {
		return err
	}
	if q.At.IsZero() {
		q.At = h.clock()
	}
	for i := range q.Proofs {
		q.Proofs[i].At = q.At
	}
	for _, d := range q.Standing.Devices {
		if d.ID == parvis.DeviceID(c.Device) && c.Device != "" {
			q.Device = d
		}
	}
	if c.Device != "" && q.Device.ID == "" {
		return fmt.Errorf("%s has no device %s", number, c.Device)
	}
	return nil
}

func (a whyAnswer) print(w io.Writer, app string, zone *time.Location) error {
	var b strings.Builder
	switch {
	case a.Limited:
		fmt.Fprintf(&b, "%s: opens, in its reduced version", app)
	case a.Open:
		fmt.Fprintf(&b, "%s: opens", app)
	default:
		fmt.Fprintf(&b, "%s: does not open", app)
	}
	if a.Until != nil {
		fmt.Fprintf(&b, " (holds until %s)", a.Until.In(zone).Format("2006-01-02 15:04 MST"))
	}
	b.WriteByte('\n')
	for _, r := range a.Reasons {
		fmt.Fprintf(&b, "  %-28s %s\n", r.Code, r.Title)
	}
	if !a.Open && len(a.Ways) == 0 {
		b.WriteString("  no way: it is for others to decide\n")
	}
	for i, way := range a.Ways {
		fmt.Fprintf(&b, "  way %d: %s\n", i+1, way.Title)
	}
	fmt.Fprintf(&b, "  policies: %s\n", strings.Join(a.Policies, " "))
	_, err := io.WriteString(w, b.String())
	return err
}

type mapCommand struct {
	place
	answer
	Number  string   `arg:"" help:"Agent number."`
	Channel string   `help:"One entrance only."`
	At      string   `placeholder:"RFC3339" help:"Moment; now when absent."`
	Proof   []string `default:"password" help:"Proofs shown, such as password,totp."`
}

// mapRow is one application at one entrance.
type mapRow struct {
	App     parvis.AppID        `json:"app"`
	Channel parvis.Channel      `json:"channel"`
	Open    bool                `json:"open"`
	Limited bool                `json:"limited,omitempty"`
	Until   *time.Time          `json:"until"`
	Reasons []parvis.ReasonCode `json:"reasons"`
}

func (c *mapCommand) Run(con *console) error {
	channels := parvis.Channels()
	if c.Channel != "" {
		channels = []parvis.Channel{parvis.Channel(c.Channel)}
	}
	why := &whyCommand{Number: c.Number, App: "any", Channel: string(channels[0]), At: c.At, Proof: c.Proof}
	q, err := why.question()
	if err != nil {
		return usage{err}
	}
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	if err := h.complete(con, &q, why); err != nil {
		return err
	}
	all := []mapRow{}
	rows := [][]string{}
	for _, app := range h.policy.Apps() {
		row := []string{string(app.ID)}
		for _, ch := range channels {
			q.App, q.Channel = app.ID, ch
			d := h.policy.Decide(q)
			m := mapRow{App: app.ID, Channel: ch, Open: d.Open, Limited: d.Limited, Reasons: d.Codes()}
			if !d.Until.IsZero() {
				until := d.Until.UTC()
				m.Until = &until
			}
			all = append(all, m)
			row = append(row, m.cell(h.zone))
		}
		rows = append(rows, row)
	}
	if c.JSON {
		return printJSON(con.out, all)
	}
	return table(con.out, append([]string{"application"}, strings.Fields(join(channels))...), rows)
}

func (m mapRow) cell(zone *time.Location) string {
	switch {
	case m.Limited:
		return "reduced"
	case m.Open && m.Until != nil:
		return "open until " + m.Until.In(zone).Format("Mon 15:04")
	case m.Open:
		return "open"
	}
	return join(m.Reasons)
}
