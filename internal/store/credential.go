package store

import (
	"context"
	"errors"
	"time"

	"parvis"
)

// Password is what is kept of an agent's password: never the password.
type Password struct {
	Agent   parvis.AgentNumber
	PHC     string
	Passes  uint32 // t of the PHC string
	Since   time.Time
	Expires time.Time // zero when it does not
	Leaked  bool
}

// Budget counts tries for one identifier from one class of origins. Unknown
// identifiers have theirs too, with an empty Agent.
type Budget struct {
	ID        [32]byte // keyed hash of identifier, class and device
	Agent     parvis.AgentNumber
	Class     string // "proven", "known" or "elsewhere" for a password; "second" for a code
	Failures  int    // in this episode
	InARow    int    // since the last success of the account
	WaitUntil time.Time
	LastAt    time.Time
	Noted     time.Time // the WaitUntil during which a refused try was recorded
	Recent    []byte    // keyed marks of the last wrong passwords
	Disabled  bool      // InARow reached its bound: until the password changes
}

// elsewhere is the class whose waits an agent is told about ([parvis.Standing]).
const elsewhere = "elsewhere"

// Password gives the present password of an agent; [parvis.CodeNotFound] when
// there is none.
func (r reader) Password(ctx context.Context, number parvis.AgentNumber) (Password, error) {
	return one(ctx, r, "store.Password", func(scan func(...any) error) (p Password, err error) {
		var since, expires int64
		err = scan(&p.Agent, &p.PHC, &p.Passes, &since, &expires, &p.Leaked)
		p.Since, p.Expires = timeOf(since), timeOf(expires)
		return p, err
	}, `SELECT agent, phc, passes, since, expires, leaked FROM password WHERE agent = $1`, number)
}

// PasswordCosts counts the stored passwords by their number of passes.
func (r reader) PasswordCosts(ctx context.Context) (map[uint32]int, error) {
	costs := map[uint32]int{}
	err := r.each(ctx, `SELECT passes, count(*) FROM password GROUP BY passes`, nil, func(scan func(...any) error) error {
		var passes uint32
		var n int
		err := scan(&passes, &n)
		costs[passes] = n
		return err
	})
	return costs, fail("store.PasswordCosts", err)
}

// Budget gives a budget; one of which nothing is kept is whole.
func (r reader) Budget(ctx context.Context, id [32]byte) (Budget, error) {
	b, err := one(ctx, r, "store.Budget", func(scan func(...any) error) (b Budget, err error) {
		var wait, last, noted int64
		err = scan(&b.Agent, &b.Class, &b.Failures, &b.InARow, &wait, &last, &noted, &b.Recent, &b.Disabled)
		b.WaitUntil, b.LastAt, b.Noted = timeOf(wait), timeOf(last), timeOf(noted)
		return b, err
	}, `SELECT agent, class, failures, in_a_row, wait_until, last_at, noted, recent, disabled FROM budget WHERE id = $1`, id[:])
	b.ID = id
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return Budget{ID: id}, nil
	}
	return b, err
}

// ProvenDevice finds the device that an agent proved with a secret of this
// hash; empty when there is none. The same browser proved by somebody else is
// no device of this agent.
func (r reader) ProvenDevice(ctx context.Context, number parvis.AgentNumber, secret [32]byte) (parvis.DeviceID, error) {
	id, err := one(ctx, r, "store.ProvenDevice", func(scan func(...any) error) (id parvis.DeviceID, err error) {
		err = scan(&id)
		return id, err
	}, `SELECT id FROM device WHERE secret = $1 AND agent = $2`, secret[:], number)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return "", nil
	}
	return id, err
}

// PutPassword replaces the password of an agent.
func (tx *Tx) PutPassword(ctx context.Context, p Password) error {
	_, err := tx.exec(ctx, `INSERT INTO password (agent, phc, passes, since, expires, leaked) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (agent) DO UPDATE SET phc = excluded.phc, passes = excluded.passes, since = excluded.since,
			expires = excluded.expires, leaked = excluded.leaked`,
		p.Agent, p.PHC, p.Passes, micros(p.Since), micros(p.Expires), p.Leaked)
	return err
}

// DropPassword takes the password of an agent away: the account waits to be
// activated again.
func (tx *Tx) DropPassword(ctx context.Context, number parvis.AgentNumber) error {
	_, err := tx.exec(ctx, `DELETE FROM password WHERE agent = $1`, number)
	return fail("store.DropPassword", err)
}

// SetPasswordLeaked marks the password of an agent as one that must be changed
// before anything else.
func (tx *Tx) SetPasswordLeaked(ctx context.Context, number parvis.AgentNumber) error {
	_, err := tx.exec(ctx, `UPDATE password SET leaked = TRUE WHERE agent = $1`, number)
	return err
}

// PutBudget keeps a budget.
func (tx *Tx) PutBudget(ctx context.Context, b Budget) error {
	if b.Recent == nil {
		b.Recent = []byte{}
	}
	_, err := tx.exec(ctx, `INSERT INTO budget (id, agent, class, failures, in_a_row, wait_until, last_at, noted, recent, disabled)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (id) DO UPDATE SET agent = excluded.agent, class = excluded.class, failures = excluded.failures,
			in_a_row = excluded.in_a_row, wait_until = excluded.wait_until, last_at = excluded.last_at,
			noted = excluded.noted, recent = excluded.recent, disabled = excluded.disabled`,
		b.ID[:], b.Agent, b.Class, b.Failures, b.InARow, micros(b.WaitUntil), micros(b.LastAt), micros(b.Noted), b.Recent, b.Disabled)
	return err
}

// ClearBudget forgets the failures of one budget, and ends the row of failures
// in the account's others, whose ladders stay as they are. A disabled budget
// stays disabled.
func (tx *Tx) ClearBudget(ctx context.Context, id [32]byte, number parvis.AgentNumber) error {
	if _, err := tx.exec(ctx, `DELETE FROM budget WHERE id = $1 AND agent = $2 AND NOT disabled`, id[:], number); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `UPDATE budget SET in_a_row = 0 WHERE agent = $1 AND NOT disabled AND in_a_row > 0`, number)
	return err
}

// ClearBudgets forgets every failure of an agent.
func (tx *Tx) ClearBudgets(ctx context.Context, number parvis.AgentNumber) error {
	if number == "" {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "store.ClearBudgets", Err: errors.New("whose budgets?")}
	}
	_, err := tx.exec(ctx, `DELETE FROM budget WHERE agent = $1`, number)
	return err
}

// sweepBatch bounds one sweep, so that nobody waits long for the writer.
const sweepBatch = 5000

// SweepBudgets forgets identifiers that nobody has: those last tried before a
// moment, and the oldest beyond a number of rows. It answers how many went, at
// most a few thousand at a time.
func (tx *Tx) SweepBudgets(ctx context.Context, before time.Time, most int) (int, error) {
	var rows int
	if err := tx.q.QueryRowContext(ctx, `SELECT count(*) FROM budget WHERE agent = ''`).Scan(&rows); err != nil {
		return 0, fail("store.SweepBudgets", err)
	}
	old, err := tx.exec(ctx, `DELETE FROM budget WHERE id IN
		(SELECT id FROM budget WHERE agent = '' AND last_at < $1 ORDER BY last_at LIMIT $2)`, micros(before), sweepBatch)
	if err != nil {
		return 0, err
	}
	over := min(rows-int(old)-most, sweepBatch)
	if over <= 0 {
		return int(old), nil
	}
	more, err := tx.exec(ctx, `DELETE FROM budget WHERE id IN
		(SELECT id FROM budget WHERE agent = '' ORDER BY last_at LIMIT $1)`, over)
	return int(old + more), err
}

// PutDevice keeps a device. A nil secret leaves the one it has: what IT
// validates does not prove anybody by itself.
func (tx *Tx) PutDevice(ctx context.Context, d parvis.Device, secret *[32]byte) error {
	if d.ID == "" || d.Agent == "" {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "store.PutDevice", Err: errors.New("a device without a name or an owner")}
	}
	var hash []byte
	if secret != nil {
		hash = secret[:]
	}
	_, err := tx.exec(ctx, `INSERT INTO device (id, agent, name, secret, validated, pending, first_seen, last_seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, secret = coalesce(excluded.secret, device.secret),
			validated = excluded.validated, pending = excluded.pending, last_seen = excluded.last_seen
		WHERE device.agent = excluded.agent`,
		d.ID, d.Agent, d.Name, hash, d.Validated, d.Pending, micros(d.FirstSeen), micros(d.LastSeen))
	return err
}

// SeeDevice keeps when a device was last used.
func (tx *Tx) SeeDevice(ctx context.Context, id parvis.DeviceID) error {
	_, err := tx.exec(ctx, `UPDATE device SET last_seen = $2 WHERE id = $1`, id, micros(tx.now))
	return err
}

// DropProvenDevices takes away what the browsers of an agent prove: of one
// device, or of all but the newest few when id is empty. Machines validated
// for the VPN stay, without it. It answers how many were concerned.
func (tx *Tx) DropProvenDevices(ctx context.Context, number parvis.AgentNumber, id parvis.DeviceID, keep int) (int, error) {
	which := `agent = $1 AND secret IS NOT NULL AND id = $2`
	args := []any{number, id}
	if id == "" {
		which = `agent = $1 AND secret IS NOT NULL AND id NOT IN
			(SELECT id FROM device WHERE agent = $1 AND secret IS NOT NULL ORDER BY last_seen DESC, id LIMIT $2)`
		args = []any{number, keep}
	}
	browsers, err := tx.exec(ctx, `DELETE FROM device WHERE NOT validated AND NOT pending AND `+which, args...)
	if err != nil {
		return 0, err
	}
	machines, err := tx.exec(ctx, `UPDATE device SET secret = NULL, `+forgotten+` WHERE `+which, args...)
	return int(browsers + machines), err
}
