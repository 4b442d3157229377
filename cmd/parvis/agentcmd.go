package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/directory"
	"parvis/internal/store"
	"parvis/internal/text"
)

type agentCommands struct {
	Import agentImport `cmd:"" help:"Read an HR file into the directory."`
	List   agentList   `cmd:"" help:"List agents."`
	Show   agentShow   `cmd:"" help:"Show one agent; with --activation-code, issue one to hand over."`
}

// operator names whoever types, for the record.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "operator:" + u.Username
	}
	return "operator:unknown"
}

type agentImport struct {
	place
	answer
	File     string `arg:"" help:"HR file: CSV, UTF-8 or Windows-1252, ; or , between fields."`
	DryRun   bool   `help:"Show what would change, and change nothing."`
	Override string `placeholder:"NAME" help:"Your name, to let an import pass that would close or miss too many agents."`
}

// importReport is what an import tells.
type importReport struct {
	File       string       `json:"file"`
	Encoding   string       `json:"encoding"`
	Separator  string       `json:"separator"`
	DryRun     bool         `json:"dry_run"`
	Applied    bool         `json:"applied"`
	Lines      int          `json:"lines"`
	Created    int          `json:"created"`
	Changed    int          `json:"changed"`
	Unchanged  int          `json:"unchanged"`
	Reappeared int          `json:"reappeared"`
	Missing    int          `json:"missing"`
	Closing    int          `json:"closing"`
	Rejected   int          `json:"rejected"`
	Faults     []faultWords `json:"faults"`
	Warnings   []faultWords `json:"warnings"`
	Stops      []faultWords `json:"stops"`
	Changes    []changeView `json:"changes,omitempty"`
}

type faultWords struct {
	Line   int    `json:"line"`
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

type changeView struct {
	Line    int                    `json:"line"`
	Agent   parvis.AgentNumber     `json:"agent_number"`
	Created bool                   `json:"created"`
	Closing bool                   `json:"closing"`
	Fields  []directory.Difference `json:"fields"`
}

func (c *agentImport) Run(con *console) error {
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	file, err := h.directory.Read(f)
	if err != nil {
		return h.inWords(err)
	}
	plan, err := h.directory.Plan(con.ctx, file)
	if err != nil {
		return h.inWords(err)
	}
	report := h.report(c.File, plan)
	report.DryRun = c.DryRun
	if c.Override != "" {
		plan.Override = directory.Override{By: c.Override}
	}
	stopped := len(plan.Stops) > 0 && c.Override == ""
	if !c.DryRun && !stopped {
		if _, err := h.directory.Apply(con.ctx, plan, operator(), con.progress("agents")); err != nil {
			return h.inWords(err)
		}
		report.Applied = true
	}
	if c.DryRun || c.JSON {
		report.Changes = changes(plan)
	}
	if c.JSON {
		err = printJSON(con.out, report)
	} else {
		err = report.print(con.out)
	}
	if err == nil && stopped {
		return unmet{}
	}
	return err
}

// inWords says a fault of a file as the catalogue does.
func (h *house) inWords(err error) error {
	var f *directory.Fault
	if !errors.As(err, &f) {
		return err
	}
	return errors.New(h.faultWords([]directory.Fault{*f})[0].Reason)
}

func (h *house) faultWords(faults []directory.Fault) []faultWords {
	all := []faultWords{}
	for _, f := range faults {
		args := text.Args{}
		for k, v := range f.Args {
			args[k] = v
		}
		w := faultWords{Line: f.Line, Field: f.Field, Reason: f.Key}
		if h.words.Has(f.Key) {
			w.Reason = h.words.Say(text.English, f.Key, args)
		}
		all = append(all, w)
	}
	return all
}

func (h *house) report(name string, p *directory.Plan) importReport {
	return importReport{
		File: name, Encoding: p.File.Encoding, Separator: p.File.Separator, Lines: p.File.Lines,
		Created: p.Created, Changed: p.Changed, Unchanged: p.Unchanged, Reappeared: p.Reappeared,
		Missing: len(p.Missing), Closing: p.Closing, Rejected: p.Rejected,
		Faults: h.faultWords(p.Faults), Warnings: h.faultWords(p.File.Warnings), Stops: h.faultWords(p.Stops),
	}
}

func changes(p *directory.Plan) []changeView {
	all := []changeView{}
	for _, ch := range p.Changes {
		all = append(all, changeView{Line: ch.Line, Agent: ch.Number, Created: ch.Created, Closing: ch.Closing, Fields: list(ch.Fields)})
	}
	return all
}

// maxPreview bounds what a dry run lists for people; --json lists everything.
const maxPreview = 50

func (r importReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d lines, %s, fields divided by %q\n", r.File, r.Lines, r.Encoding, r.Separator)
	for _, f := range r.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", f.Reason)
	}
	for i, ch := range r.Changes {
		if i == maxPreview {
			fmt.Fprintf(&b, "  … and %d more; --json lists them all\n", len(r.Changes)-i)
			break
		}
		b.WriteString("  " + ch.line() + "\n")
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "  rejected, line %d, %s: %s\n", f.Line, f.Field, f.Reason)
	}
	did := "done"
	switch {
	case r.DryRun:
		did = "dry run, nothing changed"
	case !r.Applied:
		did = "stopped, nothing changed"
	}
	fmt.Fprintf(&b, "%s: %d created, %d changed, %d unchanged, %d rejected lines, %d missing from the file (flagged, not closed), %d closing\n",
		did, r.Created, r.Changed, r.Unchanged, r.Rejected, r.Missing, r.Closing)
	for _, s := range r.Stops {
		fmt.Fprintf(&b, "  stop: %s (--override NAME lets it pass under your name)\n", s.Reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (ch changeView) line() string {
	if ch.Created {
		return fmt.Sprintf("line %d: %s is new", ch.Line, ch.Agent)
	}
	parts := make([]string, len(ch.Fields))
	for i, f := range ch.Fields {
		parts[i] = fmt.Sprintf("%s %q → %q", f.Field, f.Old, f.New)
	}
	return fmt.Sprintf("line %d: %s: %s", ch.Line, ch.Agent, strings.Join(parts, ", "))
}

type agentList struct {
	place
	answer
	Query string `arg:"" optional:"" help:"Part of a number or of a name."`
	Unit  string `help:"Unit path; units under it count."`
	State string `help:"pre_arrival, active, restricted_hr, documents_only, suspended or closed."`
	After string `placeholder:"NUMBER" help:"Begin after this agent."`
	Limit int    `help:"How many at most: 100 when absent, all of them with --json."`

	Unfinished bool `help:"Only those who cannot get everywhere yet: what they still need, and who helps."`
}

// agentView is an agent as the operator's commands print one.
type agentView struct {
	Number     parvis.AgentNumber  `json:"agent_number"`
	Name       string              `json:"name"`
	Unit       parvis.UnitPath     `json:"unit"`
	Email      string              `json:"email,omitempty"`
	State      parvis.State        `json:"state"`
	Profiles   []parvis.ProfileID  `json:"profiles"`
	Roles      []parvis.Role       `json:"roles"`
	Entitled   []parvis.AppID      `json:"entitlements"`
	Conditions []parvis.ReasonCode `json:"conditions"`
	Activated  bool                `json:"activated"`
	Missing    bool                `json:"missing_from_hr_file"`
	Code       string              `json:"activation_code,omitempty"`
	CodeUntil  *time.Time          `json:"activation_code_until,omitempty"`
	Category   string              `json:"category,omitempty"`
	Employer   string              `json:"siret,omitempty"`
	From       string              `json:"contract_start,omitempty"`
	Until      string              `json:"contract_end,omitempty"`
	Absence    parvis.Absence      `json:"absence,omitempty"`
	Proofs     []parvis.ProofKind  `json:"proofs"`
	Verifiers  []string            `json:"verifiers"`

	Temporary      string     `json:"temporary_code,omitempty"`
	TemporaryUntil *time.Time `json:"temporary_code_until,omitempty"`
}

// facts gives an agent, or says that there is none.
func (h *house) facts(con *console, number parvis.AgentNumber) (*parvis.Agent, *parvis.Standing, error) {
	a, st, err := h.directory.Facts(con.ctx, number)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil, nil, fmt.Errorf("there is no agent %s", number)
	}
	return a, st, err
}

func (h *house) view(con *console, number parvis.AgentNumber) (agentView, error) {
	a, st, err := h.facts(con, number)
	if err != nil {
		return agentView{}, err
	}
	now := h.clock()
	v := agentView{
		Number: a.Number, Name: a.Name(), Unit: a.Unit, Email: a.Email, State: a.StateAt(now),
		Profiles: a.Profiles, Roles: list(a.Roles), Entitled: list(a.Entitlements), Activated: st.Activated, Missing: !a.MissingSince.IsZero(),
		Category: a.Category, Employer: a.Employer, Absence: a.Absence, From: date(a.ContractFrom, h.zone), Until: date(a.ContractUntil, h.zone),
		Conditions: []parvis.ReasonCode{}, Proofs: []parvis.ProofKind{}, Verifiers: list(st.Links),
	}
	if len(v.Profiles) == 0 {
		v.Profiles = []parvis.ProfileID{parvis.Standard}
	}
	if !st.PasswordSince.IsZero() {
		v.Proofs = append(v.Proofs, parvis.Password)
	}
	v.Proofs = append(v.Proofs, st.Enrolled...)
	for _, r := range h.policy.Conditions(a, st, now) {
		v.Conditions = append(v.Conditions, r.Code)
	}
	return v, nil
}

// list is s, and never null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func date(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.DateOnly)
}

func (c *agentList) Run(con *console) error {
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	after, _ := parvis.ParseAgentNumber(c.After)
	if c.Limit == 0 {
		c.Limit = 100
		if c.JSON {
			c.Limit = math.MaxInt32
		}
	}
	if c.Unfinished {
		return c.unfinished(con, h, after)
	}
	agents, err := h.directory.List(con.ctx, directory.Filter{
		AgentFilter: store.AgentFilter{Query: c.Query, Unit: parvis.UnitPath(c.Unit), After: after, Limit: c.Limit},
		State:       parvis.State(c.State),
	})
	if err != nil {
		return err
	}
	views := []agentView{}
	rows := [][]string{}
	for _, a := range agents {
		v, err := h.view(con, a.Number)
		if err != nil {
			return err
		}
		views = append(views, v)
		rows = append(rows, []string{string(v.Number), v.Name, string(v.State), join(v.Conditions), join(v.Roles), string(v.Unit)})
	}
	if c.JSON {
		return printJSON(con.out, views)
	}
	if len(rows) == 0 {
		fmt.Fprintln(con.err, "nobody matches; `parvis agent import FILE.csv --dry-run` shows what an HR file would bring")
		return nil
	}
	if len(rows) == c.Limit {
		fmt.Fprintf(con.err, "the first %d; --after %s goes on, --limit shows more\n", c.Limit, rows[len(rows)-1][0])
	}
	return table(con.out, []string{"number", "name", "state", "conditions", "roles", "unit"}, rows)
}

func join[T ~string](all []T) string {
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = string(s)
	}
	return strings.Join(parts, " ")
}

type agentShow struct {
	place
	answer
	Number         string `arg:"" help:"Agent number."`
	ActivationCode bool   `help:"Issue a one-time code to hand over in person; it is recorded, and shown once."`

	TemporaryCode time.Duration `placeholder:"DURATION" help:"Issue a code, good for 10m to 8h and once, that stands in for a lost second proof; it is recorded, and the agent is told."`
	Reason        string        `placeholder:"TEXT" help:"Why the temporary code is given, for the record."`
	SecondPerson  string        `placeholder:"NUMBER" help:"Who else answers for it: required for a sensitive profile."`
}

func (c *agentShow) Run(con *console) error {
	number, ok := parvis.ParseAgentNumber(c.Number)
	if !ok {
		return usage{fmt.Errorf("%q is not an agent number", c.Number)}
	}
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	v, err := h.view(con, number)
	if err != nil {
		return err
	}
	if c.ActivationCode {
		code, until, err := h.desk.Issue(con.ctx, number, operator())
		if err != nil {
			return err
		}
		v.Code, v.CodeUntil = code.Reveal(), &until
	}
	if c.TemporaryCode != 0 {
		code, until, err := c.temporary(con, h, number)
		if err != nil {
			return err
		}
		v.Temporary, v.TemporaryUntil = code.Reveal(), &until
	}
	if c.JSON {
		return printJSON(con.out, v)
	}
	rows := [][]string{
		{"number", string(v.Number)},
		{"name", v.Name},
		{"unit", string(v.Unit)},
		{"email", v.Email},
		{"state", string(v.State)},
		{"conditions", join(v.Conditions)},
		{"profiles", join(v.Profiles)},
		{"entitlements", join(v.Entitled)},
		{"roles", join(v.Roles)},
		{"proofs", join(v.Proofs)},
		{"verifier accounts", join(v.Verifiers)},
		{"contract", strings.TrimSuffix("from "+v.From+" to "+v.Until, " to ")},
		{"missing from HR file", strconv.FormatBool(v.Missing)},
	}
	if v.Code != "" {
		rows = append(rows, []string{"activation code", v.Code + " until " + v.CodeUntil.In(h.zone).Format("2006-01-02 15:04")})
	}
	if v.Temporary != "" {
		rows = append(rows, []string{"temporary code", v.Temporary + " until " + v.TemporaryUntil.In(h.zone).Format("2006-01-02 15:04") + ", once"})
	}
	return table(con.out, []string{"fact", "value"}, rows)
}
