package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parvis"
)

// AgentFilter chooses agents. Empty fields do not choose.
type AgentFilter struct {
	Query   string             // words, each in the number, the names or the mailbox; case and accents do not count
	Unit    parvis.UnitPath    // this unit and those under it
	Missing bool               // flagged: absent from the last HR file
	After   parvis.AgentNumber // those that follow it
	Limit   int                // 0 for all
}

// The kinds of [Given].
const (
	GivenRole        = "role"
	GivenProfile     = "profile"
	GivenEntitlement = "entitlement"
)

// Given is what an agent was given by hand.
type Given struct {
	Kind  string
	Name  string
	Units []parvis.UnitPath // a role may be limited to units; empty for everywhere
	Since time.Time
	By    string
}

// UnitStay is a time an agent spent in a unit; Until is zero for the present one.
type UnitStay struct {
	Unit  parvis.UnitPath
	Since time.Time
	Until time.Time
}

// Import is one run of an HR file. Ended is zero while it runs, and for ever
// if it was interrupted.
type Import struct {
	ID           int64
	Digest       string
	By           string
	Override     string // who let it pass the limits
	Began, Ended time.Time

	Lines, Created, Changed, Unchanged, Rejected, Missing, Reappeared, Closing int
}

const agentColumns = `a.number, a.family_name, a.usage_name, a.given_names, a.unit, a.employer, a.category, a.position,
	a.absence, a.absence_from, a.absence_until, a.contract_from, a.contract_until, a.deceased_on, a.job_code, a.job_label,
	a.manager, a.hr_unit, a.email, a.personal_email, a.personal_mobile, a.badge, a.missing_since, a.off_since, a.new_unit,
	(SELECT string_agg(g.kind || ':' || g.name, ' ') FROM agent_grant g WHERE g.agent = a.number)`

func scanAgent(scan func(...any) error) (parvis.Agent, error) {
	var a parvis.Agent
	var absenceFrom, absenceUntil, contractFrom, contractUntil, deceased, missing, off int64
	var grants sql.NullString
	err := scan(&a.Number, &a.FamilyName, &a.UsageName, &a.GivenNames, &a.Unit, &a.Employer, &a.Category, &a.Position,
		&a.Absence, &absenceFrom, &absenceUntil, &contractFrom, &contractUntil, &deceased, &a.JobCode, &a.JobLabel,
		&a.Manager, &a.HRUnit, &a.Email, &a.PersonalEmail, &a.PersonalMobile, &a.Badge, &missing, &off, &a.NewUnit, &grants)
	if err != nil {
		return a, err
	}
	a.AbsenceFrom, a.AbsenceUntil = timeOf(absenceFrom), timeOf(absenceUntil)
	a.ContractFrom, a.ContractUntil = timeOf(contractFrom), timeOf(contractUntil)
	a.DeceasedOn, a.MissingSince, a.OffSince = timeOf(deceased), timeOf(missing), timeOf(off)
	for _, g := range strings.Fields(grants.String) {
		switch kind, name, _ := strings.Cut(g, ":"); kind {
		case GivenRole:
			a.Roles = append(a.Roles, parvis.Role(name))
		case GivenProfile:
			a.Profiles = append(a.Profiles, parvis.ProfileID(name))
		case GivenEntitlement:
			a.Entitlements = append(a.Entitlements, parvis.AppID(name))
		}
	}
	slices.Sort(a.Roles)
	slices.Sort(a.Profiles)
	slices.Sort(a.Entitlements)
	return a, nil
}

// Agent reads one agent; [parvis.CodeNotFound] for none. Dates come in UTC:
// package directory gives them the organisation's zone.
func (r reader) Agent(ctx context.Context, number parvis.AgentNumber) (*parvis.Agent, error) {
	a, err := one(ctx, r, "store.Agent", scanAgent, `SELECT `+agentColumns+` FROM agent a WHERE a.number = $1`, number)
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// AgentByEmail finds who holds one of the addresses as a professional mailbox,
// the first that anybody holds. An address that two agents hold finds nobody.
func (r reader) AgentByEmail(ctx context.Context, addresses ...string) (*parvis.Agent, error) {
	const op = "store.AgentByEmail"
	keys := make([]any, len(addresses))
	for i, s := range addresses {
		keys[i] = emailKey(s)
	}
	notFound := &parvis.Error{Code: parvis.CodeNotFound, Op: op}
	if len(keys) == 0 {
		return nil, notFound
	}
	found, err := many(ctx, r, op, scanAgent,
		`SELECT `+agentColumns+` FROM agent a WHERE a.email_key <> '' AND a.email_key IN `+places(1, len(keys)), keys...)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		held := slices.DeleteFunc(slices.Clone(found), func(a parvis.Agent) bool { return emailKey(a.Email) != key })
		switch len(held) {
		case 0:
			continue
		case 1:
			return &held[0], nil
		}
		notFound.Err = errors.New("two agents hold the address")
		break
	}
	return nil, notFound
}

// Agents lists agents in the order of their numbers.
func (r reader) Agents(ctx context.Context, f AgentFilter) ([]parvis.Agent, error) {
	var all []parvis.Agent
	err := r.EachAgent(ctx, f, func(a *parvis.Agent) error {
		all = append(all, *a)
		return nil
	})
	return all, err
}

// EachAgent hands agents to f one by one, in the order of their numbers.
func (r reader) EachAgent(ctx context.Context, f AgentFilter, each func(*parvis.Agent) error) error {
	query := `SELECT ` + agentColumns + ` FROM agent a WHERE a.number > $1`
	args := []any{f.After}
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	for _, word := range strings.Fields(searchable(f.Query)) {
		query += ` AND a.search LIKE ` + arg("%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(word)+"%") + ` ESCAPE '\'`
	}
	if f.Unit != "" {
		// Everything under "a" lies between "a/" and "a0", the sign after "/".
		query += ` AND (a.unit = ` + arg(f.Unit) + ` OR a.unit >= ` + arg(f.Unit+"/") + ` AND a.unit < ` + arg(f.Unit+"0") + `)`
	}
	if f.Missing {
		query += ` AND a.missing_since <> 0`
	}
	query += ` ORDER BY a.number`
	if f.Limit > 0 {
		query += ` LIMIT ` + arg(f.Limit)
	}
	err := r.each(ctx, query, args, func(scan func(...any) error) error {
		a, err := scanAgent(scan)
		if err != nil {
			return err
		}
		return each(&a)
	})
	return fail("store.Agents", err)
}

// UnitSizes tells how many agents stand in each unit itself.
func (r reader) UnitSizes(ctx context.Context) (map[parvis.UnitPath]int, error) {
	sizes := map[parvis.UnitPath]int{}
	err := r.each(ctx, `SELECT unit, count(*) FROM agent GROUP BY unit`, nil, func(scan func(...any) error) error {
		var unit parvis.UnitPath
		var n int
		err := scan(&unit, &n)
		sizes[unit] = n
		return err
	})
	return sizes, fail("store.UnitSizes", err)
}

// Stays lists where an agent worked, latest first.
func (r reader) Stays(ctx context.Context, number parvis.AgentNumber) ([]UnitStay, error) {
	return many(ctx, r, "store.Stays", func(scan func(...any) error) (UnitStay, error) {
		var u UnitStay
		var since, until int64
		err := scan(&u.Unit, &since, &until)
		u.Since, u.Until = timeOf(since), timeOf(until)
		return u, err
	}, `SELECT unit, since, until FROM agent_unit WHERE agent = $1 ORDER BY since DESC`, number)
}

// Given lists what an agent was given, by kind and name.
func (r reader) Given(ctx context.Context, number parvis.AgentNumber) ([]Given, error) {
	return many(ctx, r, "store.Given", func(scan func(...any) error) (Given, error) {
		var g Given
		var units string
		var since int64
		if err := scan(&g.Kind, &g.Name, &units, &since, &g.By); err != nil {
			return g, err
		}
		g.Since = timeOf(since)
		return g, json.Unmarshal([]byte(units), &g.Units)
	}, `SELECT kind, name, units, since, actor FROM agent_grant WHERE agent = $1 ORDER BY kind, name`, number)
}

// LastImport reads the latest run of an HR file; [parvis.CodeNotFound] when
// there was none.
func (r reader) LastImport(ctx context.Context) (Import, error) {
	return one(ctx, r, "store.LastImport", func(scan func(...any) error) (Import, error) {
		var i Import
		var began, ended int64
		err := scan(&i.ID, &i.Digest, &i.By, &i.Override, &began, &ended, &i.Lines, &i.Created, &i.Changed, &i.Unchanged,
			&i.Rejected, &i.Missing, &i.Reappeared, &i.Closing)
		i.Began, i.Ended = timeOf(began), timeOf(ended)
		return i, err
	}, `SELECT id, digest, actor, overridden, began, ended, lines, created, changed, unchanged, rejected, missing, reappeared, closing
		FROM hr_import ORDER BY id DESC LIMIT 1`)
}

// written are the columns that PutAgents writes, in the order of putArgs.
const written = `number, family_name, usage_name, given_names, unit, employer, category, position, absence, absence_from,
	absence_until, contract_from, contract_until, deceased_on, job_code, job_label, manager, hr_unit, email, personal_email,
	personal_mobile, badge, missing_since, email_key, search`

const writtenCount = 25

// How many agents one statement names. SQLite looks the name of a parameter up
// among all those before it, so its cost grows with the square of their
// number: a few rows of many columns, many rows of one.
const (
	putRows  = 5
	listRows = 200
)

// PutAgents writes what HR says of agents, new or known, with their missing
// flag, and keeps the history of their units. What IT set (profiles,
// entitlements, roles, off since) stays as it is.
func (tx *Tx) PutAgents(ctx context.Context, agents []*parvis.Agent) error {
	for some := range slices.Chunk(agents, putRows) {
		if _, err := tx.exec(ctx, putSQL(len(some)), putArgs(some)...); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(agents, listRows) {
		if err := tx.keepStays(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func putSQL(rows int) string {
	var b strings.Builder
	b.WriteString(`INSERT INTO agent (` + written + `) VALUES ` + places(rows, writtenCount) + ` ON CONFLICT (number) DO UPDATE SET `)
	for i, c := range strings.Split(written, ",")[1:] {
		if i > 0 {
			b.WriteString(", ")
		}
		c = strings.TrimSpace(c)
		b.WriteString(c + " = excluded." + c)
	}
	return b.String()
}

func putArgs(agents []*parvis.Agent) []any {
	args := make([]any, 0, len(agents)*writtenCount)
	for _, a := range agents {
		args = append(args, string(a.Number), a.FamilyName, a.UsageName, a.GivenNames, string(a.Unit), a.Employer, a.Category, a.Position,
			string(a.Absence), micros(a.AbsenceFrom), micros(a.AbsenceUntil), micros(a.ContractFrom), micros(a.ContractUntil),
			micros(a.DeceasedOn), a.JobCode, a.JobLabel, string(a.Manager), a.HRUnit, a.Email, a.PersonalEmail, a.PersonalMobile,
			a.Badge, micros(a.MissingSince), emailKey(a.Email),
			searchable(strings.Join([]string{string(a.Number), a.GivenNames, a.UsageName, a.FamilyName, a.Email}, " ")))
	}
	return args
}

// keepStays ends the stay of those who moved and begins the new one.
func (tx *Tx) keepStays(ctx context.Context, agents []*parvis.Agent) error {
	args := []any{micros(tx.now)}
	for _, a := range agents {
		args = append(args, string(a.Number))
	}
	list := numbered(2, len(agents))
	if _, err := tx.exec(ctx, `UPDATE agent_unit SET until = $1 WHERE until = 0 AND agent IN `+list+`
		AND unit <> (SELECT a.unit FROM agent a WHERE a.number = agent_unit.agent)`, args...); err != nil {
		return err
	}
	// Two moves in the same microsecond are one.
	_, err := tx.exec(ctx, `INSERT INTO agent_unit (agent, unit, since, until) SELECT a.number, a.unit, $1, 0 FROM agent a
		WHERE a.number IN `+list+` AND NOT EXISTS (SELECT 1 FROM agent_unit u WHERE u.agent = a.number AND u.until = 0)
		ON CONFLICT (agent, since) DO UPDATE SET unit = excluded.unit, until = 0`, args...)
	return err
}

// FlagMissing notes that the HR file no longer names these agents.
func (tx *Tx) FlagMissing(ctx context.Context, numbers []parvis.AgentNumber) error {
	for some := range slices.Chunk(numbers, listRows) {
		args := []any{micros(tx.now)}
		for _, n := range some {
			args = append(args, string(n))
		}
		if _, err := tx.exec(ctx, `UPDATE agent SET missing_since = $1 WHERE missing_since = 0 AND number IN `+numbered(2, len(some)), args...); err != nil {
			return err
		}
	}
	return nil
}

// SetOff switches an agent off since a change of assignment, or on again when
// since is zero.
func (tx *Tx) SetOff(ctx context.Context, number parvis.AgentNumber, since time.Time, newUnit parvis.UnitPath) error {
	_, err := tx.exec(ctx, `UPDATE agent SET off_since = $1, new_unit = $2 WHERE number = $3`, micros(since), newUnit, number)
	return err
}

// PutGiven gives an agent something, or changes the units it is limited to.
func (tx *Tx) PutGiven(ctx context.Context, number parvis.AgentNumber, g Given) error {
	if g.Units == nil {
		g.Units = []parvis.UnitPath{}
	}
	units, err := json.Marshal(g.Units)
	if err != nil {
		return internalf("store.PutGiven", "units: %w", err)
	}
	_, err = tx.exec(ctx, `INSERT INTO agent_grant (agent, kind, name, units, since, actor) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (agent, kind, name) DO UPDATE SET units = excluded.units, since = excluded.since, actor = excluded.actor`,
		number, g.Kind, g.Name, string(units), micros(tx.now), g.By)
	return err
}

// DropGiven takes something back, and tells whether the agent had it.
func (tx *Tx) DropGiven(ctx context.Context, number parvis.AgentNumber, kind, name string) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM agent_grant WHERE agent = $1 AND kind = $2 AND name = $3`, number, kind, name)
	return n > 0, err
}

// PutImport writes a run of an HR file, new or known.
func (tx *Tx) PutImport(ctx context.Context, i Import) error {
	_, err := tx.exec(ctx, `INSERT INTO hr_import (id, digest, actor, overridden, began, ended, lines, created, changed, unchanged,
			rejected, missing, reappeared, closing) VALUES `+places(1, 14)+`
		ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, created = excluded.created, changed = excluded.changed,
			unchanged = excluded.unchanged, missing = excluded.missing, reappeared = excluded.reappeared, closing = excluded.closing`,
		i.ID, i.Digest, i.By, i.Override, micros(i.Began), micros(i.Ended), i.Lines, i.Created, i.Changed, i.Unchanged,
		i.Rejected, i.Missing, i.Reappeared, i.Closing)
	return err
}

// numbered gives "($2,$3,…)": n parameters, the first of them numbered from.
func numbered(from, n int) string {
	in := make([]string, n)
	for i := range in {
		in[i] = "$" + strconv.Itoa(from+i)
	}
	return "(" + strings.Join(in, ",") + ")"
}

// emailKey is the form in which mailboxes are compared.
func emailKey(address string) string { return strings.ToLower(address) }

// searchable gives s without case or accents, as both the search column and
// what is searched for.
func searchable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case r == 'œ' || r == 'Œ':
			return 'o'
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(s))
}
