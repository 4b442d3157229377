package directory

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/store"
)

// Why a plan may not be applied.
const (
	stopEmpty   = "import.stop.empty"   // no line was taken; nothing lifts this
	stopClosing = "import.stop.closing" // count, present, allowed
	stopMissing = "import.stop.missing" // count, present, allowed
)

// Difference is one field of an agent that the file changes. Personal data is
// masked: a preview is read over shoulders.
type Difference struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// Change is what the file does to one agent.
type Change struct {
	Line       int
	Number     parvis.AgentNumber
	Created    bool
	Reappeared bool         // it was missing from the file before
	Closing    bool         // the account was open or awaited, and shuts
	Fields     []Difference // of a known agent; may be empty for one who reappeared

	agent *parvis.Agent
	was   parvis.UnitPath
}

// Plan is what an HR file would change, at the moment it was made. Nothing of
// it is done yet. Set Override to let it pass its Stops by name.
type Plan struct {
	At          time.Time
	File        *File
	Present     int // agents with an account that is open or awaited, before
	Changes     []Change
	Missing     []parvis.AgentNumber // no line names them, and they were not flagged yet
	Created     int
	Changed     int // Reappeared included
	Unchanged   int
	Reappeared  int
	Closing     int
	StillGone   int       // missing already, and still
	Rejected    int       // lines, those refused beside the directory included
	Faults      []Fault   // of the file, then beside the directory
	Stops       []Fault   // why it may not be applied as it is
	Interrupted time.Time // when an import began that never ended; zero for none
	Override    Override

	last int64 // the last import the directory had seen
}

// Override lets a plan pass its limits under somebody's name. A file of which
// nothing was taken passes under no name.
type Override struct{ By string }

// Plan compares a file with the directory. It changes nothing and records
// nothing, so it is also the dry run.
func (d *Directory) Plan(ctx context.Context, f *File) (*Plan, error) {
	p := &Plan{At: d.Clock(), File: f, Rejected: f.Rejected, Faults: slices.Clone(f.Faults)}
	switch last, err := d.Store.LastImport(ctx); {
	case err == nil:
		p.last = last.ID
		if last.Ended.IsZero() {
			p.Interrupted = last.Began
		}
	case parvis.CodeOf(err) != parvis.CodeNotFound:
		return nil, err
	}
	known := map[parvis.AgentNumber]int{} // index in f.rows
	for i := range f.rows {
		known[f.rows[i].agent.Number] = i
	}
	before := make([]*parvis.Agent, len(f.rows))
	others := map[string]parvis.AgentNumber{} // mailboxes of agents whose line does not count
	err := d.Store.EachAgent(ctx, store.AgentFilter{}, func(a *parvis.Agent) error {
		d.localise(a)
		if !shut(a, p.At) {
			p.Present++
		}
		if i, ok := known[a.Number]; ok {
			before[i] = a
			return nil
		}
		if a.Email != "" {
			others[strings.ToLower(a.Email)] = a.Number
		}
		if _, named := f.mentioned[a.Number]; named {
			return nil // its line was refused: it is not missing
		}
		switch {
		case ended(a, p.At): // who has left is not missed
		case !a.MissingSince.IsZero():
			p.StillGone++
		default:
			p.Missing = append(p.Missing, a.Number)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	taken := p.mailboxes(before, others)
	for i := range f.rows {
		if !taken[i] {
			p.compare(&f.rows[i], before[i])
		}
	}
	d.limit(p)
	return p, nil
}

// mailboxes refuses the lines whose mailbox an agent holds whom the file does
// not move away from it. Refusing one leaves that agent's own mailbox where it
// is, so it goes round until nothing more falls.
func (p *Plan) mailboxes(before []*parvis.Agent, others map[string]parvis.AgentNumber) map[int]bool {
	out := map[int]bool{}
	if !p.File.columns[colEmail] {
		return out
	}
	for again := true; again; {
		again = false
		for i := range p.File.rows {
			r := &p.File.rows[i]
			holder, held := others[strings.ToLower(r.agent.Email)]
			if out[i] || r.agent.Email == "" || !held || holder == r.agent.Number {
				continue
			}
			p.Faults = append(p.Faults, Fault{
				Line: r.line, Field: columns[colEmail].code, Key: rejectEmailTaken,
				Args: map[string]string{"number": string(holder)},
			})
			p.Rejected++
			out[i] = true
			if b := before[i]; b != nil && b.Email != "" {
				others[strings.ToLower(b.Email)], again = b.Number, true
			}
		}
	}
	return out
}

// compare finds what a line changes.
func (p *Plan) compare(r *row, before *parvis.Agent) {
	c := Change{Line: r.line, Number: r.agent.Number, Created: before == nil}
	merged := r.agent
	if before != nil {
		merged = *before
		for i := range columns {
			if p.File.columns[i] {
				copyColumn(i, &merged, &r.agent)
			}
		}
		if !r.agent.DeceasedOn.IsZero() { // an absence can say it where no column does
			merged.DeceasedOn = r.agent.DeceasedOn
		}
		if p.File.columns[colAbsence] || p.File.columns[colPosition] {
			for _, i := range []int{colAbsence, colAbsenceFrom, colAbsenceUntil} {
				copyColumn(i, &merged, &r.agent)
			}
		}
		if merged.ContractUntil.Before(merged.ContractFrom) { // the end of an earlier contract
			merged.ContractUntil = time.Time{}
		}
		merged.MissingSince = time.Time{}
		c.Fields = differences(before, &merged)
		c.Reappeared = !before.MissingSince.IsZero()
		c.Closing = !shut(before, p.At) && shut(&merged, p.At)
		c.was = before.Unit
	}
	switch {
	case c.Created:
		p.Created++
	case len(c.Fields) > 0 || c.Reappeared:
		p.Changed++
	default:
		p.Unchanged++
		return
	}
	if c.Reappeared {
		p.Reappeared++
	}
	if c.Closing {
		p.Closing++
	}
	c.agent = &merged
	p.Changes = append(p.Changes, c)
}

func copyColumn(i int, to, from *parvis.Agent) {
	if c := &columns[i]; c.text != nil {
		*c.text(to) = *c.text(from)
	} else {
		*c.date(to) = *c.date(from)
	}
}

// differences lists the fields that differ, as they may be shown.
func differences(old, new *parvis.Agent) []Difference {
	var all []Difference
	for i := range columns {
		c := &columns[i]
		was, is := "", ""
		if c.text != nil {
			was, is = *c.text(old), *c.text(new)
		} else {
			was, is = civil(*c.date(old)), civil(*c.date(new))
		}
		if was == is {
			continue
		}
		if c.personal {
			was, is = mask(was), mask(is)
		}
		all = append(all, Difference{Field: c.code, Old: was, New: is})
	}
	return all
}

func civil(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// mask leaves enough of an address or a telephone number for its owner to know
// it, and no more.
func mask(v string) string {
	if v == "" {
		return ""
	}
	if local, domain, ok := strings.Cut(v, "@"); ok {
		return first(local) + "…@" + first(domain) + "…"
	}
	if len(v) < 8 {
		return "…"
	}
	return "… " + v[len(v)-2:]
}

func first(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

// shut tells whether the account is neither open nor awaited: closed, past its
// contract, or suspended. Who is away is not shut, and neither is who has yet
// to come.
func shut(a *parvis.Agent, t time.Time) bool {
	return ended(a, t) || a.StateAt(t) == parvis.Suspended
}

// ended tells whether the agent has left for good.
func ended(a *parvis.Agent, t time.Time) bool {
	return a.StateAt(t) == parvis.Closed || !a.ContractUntil.IsZero() && !t.Before(a.ContractUntil.AddDate(0, 0, 1))
}

// Where the shares stop being fair: one departure among ten agents is 10 %, and
// a file for one site forgets a handful. Below, this many are let pass.
const (
	fewClosing = 1
	fewMissing = 20
)

// limit stops a plan that shuts or forgets more than it may. A truncated or
// shifted file is the usual cause; the usual cure is to send it again.
func (d *Directory) limit(p *Plan) {
	if len(p.File.rows) == 0 || p.Created+p.Changed+p.Unchanged == 0 {
		p.Stops = append(p.Stops, Fault{Key: stopEmpty})
	}
	stop := func(key string, count int, share, usual float64, few int) {
		if share == 0 {
			share = usual
		}
		allowed := max(few, int(share*float64(p.Present)))
		if count > allowed {
			p.Stops = append(p.Stops, Fault{Key: key, Args: map[string]string{
				"count": strconv.Itoa(count), "present": strconv.Itoa(p.Present), "allowed": strconv.Itoa(allowed),
			}})
		}
	}
	stop(stopClosing, p.Closing, d.MaxClosing, 0.02, fewClosing)
	stop(stopMissing, len(p.Missing), d.MaxMissing, 0.20, fewMissing)
}

// localise gives the dates of an agent the organisation's zone.
func (d *Directory) localise(a *parvis.Agent) {
	for i := range columns {
		if date := columns[i].date; date != nil {
			if t := date(a); !t.IsZero() {
				*t = t.In(d.Zone)
			}
		}
	}
	for _, t := range []*time.Time{&a.OffSince, &a.MissingSince} {
		if !t.IsZero() {
			*t = t.In(d.Zone)
		}
	}
}
