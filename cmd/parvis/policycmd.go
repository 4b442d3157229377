package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/config"
	"parvis/internal/directory"
	"parvis/internal/store"
)

type policyCommands struct {
	Check  policyCheck  `cmd:"" help:"Parse and validate the shipped policies and your own."`
	Test   policyTest   `cmd:"" help:"Run decision cases: what the policies are meant to answer."`
	Impact policyImpact `cmd:"" help:"Say who gains and who loses under a draft, and whether it may be published."`
}

type policyCheck struct {
	place
	answer
	Policies string `arg:"" optional:"" placeholder:"DIR" help:"Folder of .cedar files to check in place of the configured one."`
}

// rulesOf builds the policies of an installation without opening its data.
func rulesOf(con *console, p place, policies string) (*house, error) {
	c, err := p.load(con)
	if err != nil {
		return nil, err
	}
	if policies != "" {
		c.Policies = policies
	}
	h := &house{config: c}
	return h, h.rules()
}

func (c *policyCheck) Run(con *console) error {
	h, err := rulesOf(con, c.place, c.Policies)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(con.out, map[string]any{"holds": true, "applications": len(h.policy.Apps())})
	}
	_, err = fmt.Fprintf(con.out, "the policies hold, for %d applications\n", len(h.policy.Apps()))
	return err
}

type policyTest struct {
	place
	answer
	Cases []string `arg:"" optional:"" placeholder:"FILE" help:"Files of cases; the cases/*.txt beside the configuration when absent."`
}

// lines ends each string with a line end.
func lines(all []string) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteString(s + "\n")
	}
	return b.String()
}

func (c *policyTest) Run(con *console) error {
	h, err := rulesOf(con, c.place, "")
	if err != nil {
		return err
	}
	files := c.Cases
	if len(files) == 0 {
		name, err := c.file()
		if err != nil {
			return err
		}
		if files, err = filepath.Glob(filepath.Join(filepath.Dir(name), "cases", "*.txt")); err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("no cases: write some in %s, one text file for each theme", filepath.Join(filepath.Dir(name), "cases"))
		}
	}
	ran, differences := 0, []string{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		cases, err := access.ParseCases(name, b, h.catalog)
		if err != nil {
			return err
		}
		ran += len(cases)
		differences = append(differences, h.policy.Run(cases)...)
	}
	if c.JSON {
		err = printJSON(con.out, map[string]any{"cases": ran, "differences": differences})
	} else {
		_, err = fmt.Fprintf(con.out, "%s%d cases, %d differences\n", lines(differences), ran, len(differences))
	}
	if err == nil && len(differences) > 0 {
		return unmet{}
	}
	return err
}

type policyImpact struct {
	place
	answer
	Draft string `arg:"" placeholder:"DIR" help:"Folder of the draft: .cedar files in place of yours, or a whole parvis.yaml, or both."`
	At    string `placeholder:"RFC3339" help:"Moment at which to compare; now, or the next opening of the offices, when absent."`
}

func (c *policyImpact) Run(con *console) error {
	var at time.Time
	if c.At != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, c.At); err != nil {
			return usage{errors.New("--at: a moment such as 2026-11-24T10:00:00+01:00 is expected")}
		}
	}
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	draft, err := h.draft(con, c.Draft)
	if err != nil {
		return err
	}
	if at.IsZero() {
		at = h.clock()
		if cal := h.catalog.Calendar; !cal.Open(at, "") && !cal.Next(at, "").IsZero() {
			at = cal.Next(at, "")
		}
	}
	i := access.NewImpact(h.policy, draft.policy, at)
	if err := h.put(con, i); err != nil {
		return err
	}
	v := viewImpact(i, at)
	if c.JSON {
		err = printJSON(con.out, v)
	} else {
		err = v.print(con.out, h.zone)
	}
	if err == nil && !v.Publishable {
		return unmet{}
	}
	return err
}

// draft reads a folder that is meant to replace the policies, the configuration,
// or both.
func (h *house) draft(con *console, dir string) (*house, error) {
	policies, err := filepath.Glob(filepath.Join(dir, "*.cedar"))
	if err != nil {
		return nil, err
	}
	c, name := *h.config, filepath.Join(dir, "parvis.yaml")
	switch _, err := os.Stat(name); {
	case err == nil:
		other, faults, err := config.Load(name)
		if err != nil {
			return nil, err
		}
		if printFaults(con.err, name, faults) {
			return nil, fmt.Errorf("%s has faults: nothing was compared", name)
		}
		c = *other
	case len(policies) == 0:
		return nil, fmt.Errorf("%s holds neither .cedar files nor a parvis.yaml: there is nothing to compare", dir)
	}
	if len(policies) > 0 {
		c.Policies = dir
	}
	d := &house{config: &c}
	return d, d.rules()
}

// impactPage is how many agents are read at once.
const impactPage = 500

// put puts every agent to a draft, as the gateway knows them.
func (h *house) put(con *console, i *access.Impact) error {
	f := directory.Filter{AgentFilter: store.AgentFilter{Limit: impactPage}}
	for {
		page, err := h.directory.List(con.ctx, f)
		if err != nil {
			return err
		}
		for n := range page {
			a, st, err := h.directory.Facts(con.ctx, page[n].Number)
			if err != nil {
				return err
			}
			i.Add(a, st)
		}
		if len(page) < impactPage {
			return nil
		}
		f.After = page[len(page)-1].Number
	}
}

// impactView is what a draft would change.
type impactView struct {
	At          time.Time            `json:"at"`
	Agents      int                  `json:"agents"`
	Effects     []effectView         `json:"effects"`
	NotReady    []deadlineView       `json:"not_ready"`
	Closed      []parvis.AppID       `json:"closed"`
	Stranded    []parvis.AgentNumber `json:"stranded"`
	Publishable bool                 `json:"publishable"`
}

type effectView struct {
	App     parvis.AppID         `json:"app"`
	Channel parvis.Channel       `json:"channel"`
	Gain    []parvis.AgentNumber `json:"gain"`
	Lose    []parvis.AgentNumber `json:"lose"`
}

type deadlineView struct {
	Channel  parvis.Channel       `json:"channel"`
	From     time.Time            `json:"from"`
	Strength int                  `json:"strength"`
	Agents   []parvis.AgentNumber `json:"agents"`
}

func viewImpact(i *access.Impact, at time.Time) impactView {
	closed := i.Finish()
	v := impactView{
		At: at.UTC(), Agents: i.Agents, Effects: []effectView{}, NotReady: []deadlineView{},
		Closed: list(closed), Stranded: list(i.Stranded), Publishable: len(closed)+len(i.Stranded) == 0,
	}
	for _, e := range i.Effects {
		v.Effects = append(v.Effects, effectView{App: e.App, Channel: e.Channel, Gain: list(e.Gain), Lose: list(e.Lose)})
	}
	for _, d := range i.Deadlines {
		v.NotReady = append(v.NotReady, deadlineView{
			Channel: d.Channel, From: d.Demand.From.UTC(), Strength: d.Demand.Strength, Agents: d.NotReady,
		})
	}
	return v
}

func (v impactView) print(w io.Writer, zone *time.Location) error {
	const layout = "2006-01-02 15:04"
	var gain, lose []parvis.AgentNumber
	rows := [][]string{}
	for _, e := range v.Effects {
		gain, lose = append(gain, e.Gain...), append(lose, e.Lose...)
		rows = append(rows, []string{string(e.App), string(e.Channel), strconv.Itoa(len(e.Gain)), strconv.Itoa(len(e.Lose))})
	}
	if len(rows) > 0 {
		if err := table(w, []string{"application", "entrance", "gain", "lose"}, rows); err != nil {
			return err
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d agents at %s: %d gain, %d lose something\n", v.Agents, v.At.In(zone).Format(layout), distinct(gain), distinct(lose))
	for _, d := range v.NotReady {
		fmt.Fprintf(&b, "not ready for %s on %s (%s): %s\n", d.From.In(zone).Format(layout), d.Channel, strengthWords(d.Strength), some(d.Agents))
	}
	for _, app := range v.Closed {
		fmt.Fprintf(&b, "not to be published: nobody would open %s any more, nor have a way into it\n", app)
	}
	if len(v.Stranded) > 0 {
		fmt.Fprintf(&b, "not to be published: no way into anything would be left for %s\n", some(v.Stranded))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func distinct(numbers []parvis.AgentNumber) int {
	slices.Sort(numbers)
	return len(slices.Compact(numbers))
}

func strengthWords(strength int) string {
	switch strength {
	case parvis.AnySecond:
		return "a second proof"
	case parvis.NoSMS:
		return "a second proof other than a text message"
	}
	return "a passkey"
}

// someNames is how many agents a line of text names; JSON names all.
const someNames = 20

func some(numbers []parvis.AgentNumber) string {
	if len(numbers) == 1 {
		return "1 agent: " + string(numbers[0])
	}
	more := ""
	if len(numbers) > someNames {
		more = fmt.Sprintf(" and %d more", len(numbers)-someNames)
	}
	return fmt.Sprintf("%d agents: %s%s", len(numbers), join(numbers[:min(len(numbers), someNames)]), more)
}
