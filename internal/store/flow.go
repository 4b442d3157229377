package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"parvis"
)

// Flow is something begun by a first proof and not finished: a required change
// of password, an activation. It belongs to the browser whose cookie hashes to
// Browser, and is used once.
type Flow struct {
	ID      string
	Kind    string // sign_in, activation, verifier
	Agent   parvis.AgentNumber
	Browser [32]byte
	Channel parvis.Channel
	Proofs  []parvis.Proof
	Reason  parvis.ReasonCode // why something must be done first
	Device  parvis.DeviceID   // the proven device it began on, if any
	Code    string            // the activation code that opened it
	Data    string            // whatever its kind keeps, in JSON; empty for nothing
	Created time.Time
	Expires time.Time
	Used    time.Time
}

const flowColumns = "id, kind, agent, browser, channel, proofs, reason, device, code, data, created_at, expires_at, used_at"

func scanFlow(scan func(...any) error) (Flow, error) {
	var f Flow
	var browser []byte
	var proofs string
	var created, expires, used int64
	if err := scan(&f.ID, &f.Kind, &f.Agent, &browser, &f.Channel, &proofs, &f.Reason, &f.Device, &f.Code, &f.Data, &created, &expires, &used); err != nil {
		return Flow{}, err
	}
	copy(f.Browser[:], browser)
	f.Created, f.Expires, f.Used = timeOf(created), timeOf(expires), timeOf(used)
	return f, json.Unmarshal([]byte(proofs), &f.Proofs)
}

// Flow reads a flow, used or not; [parvis.CodeNotFound] when there is none.
func (r reader) Flow(ctx context.Context, id string) (Flow, error) {
	return one(ctx, r, "store.Flow", scanFlow, "SELECT "+flowColumns+" FROM flow WHERE id = $1", id)
}

// PutFlow begins a flow, and removes those that ended more than a day ago.
func (tx *Tx) PutFlow(ctx context.Context, f Flow) error {
	if _, err := tx.exec(ctx, "DELETE FROM flow WHERE expires_at < $1", micros(tx.Now().Add(-24*time.Hour))); err != nil {
		return err
	}
	proofs, err := json.Marshal(f.Proofs)
	if err != nil {
		return fail("store.PutFlow", err)
	}
	_, err = tx.exec(ctx, "INSERT INTO flow ("+flowColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0)",
		f.ID, f.Kind, f.Agent, f.Browser[:], f.Channel, string(proofs), f.Reason, f.Device, f.Code, f.Data, micros(f.Created), micros(f.Expires))
	return err
}

// SetFlowData changes what a flow that goes on keeps; [parvis.CodeNotFound]
// when it does not.
func (tx *Tx) SetFlowData(ctx context.Context, id, data string) error {
	n, err := tx.exec(ctx, "UPDATE flow SET data = $1 WHERE id = $2 AND used_at = 0 AND expires_at > $3", data, id, micros(tx.Now()))
	if err == nil && n == 0 {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "store.SetFlowData"}
	}
	return err
}

// AddFlowProof keeps what else was proved in a flow that goes on, each in
// place of the proof of its kind before it; [parvis.CodeNotFound] when it does
// not go on.
func (tx *Tx) AddFlowProof(ctx context.Context, id string, proofs ...parvis.Proof) error {
	const op = "store.AddFlowProof"
	f, err := tx.Flow(ctx, id)
	if err != nil {
		return err
	}
	for _, p := range proofs {
		f.Proofs = append(slices.DeleteFunc(f.Proofs, func(had parvis.Proof) bool { return had.Kind == p.Kind }), p)
	}
	text, err := json.Marshal(f.Proofs)
	if err != nil {
		return fail(op, err)
	}
	n, err := tx.exec(ctx, "UPDATE flow SET proofs = $1 WHERE id = $2 AND used_at = 0 AND expires_at > $3", string(text), id, micros(tx.Now()))
	if err == nil && n == 0 {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: op}
	}
	return err
}

// UseFlow ends a flow. It answers false when it was used before: of any number
// of requests at once, one is told true.
func (tx *Tx) UseFlow(ctx context.Context, id string) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE flow SET used_at = $1 WHERE id = $2 AND used_at = 0", micros(tx.Now()), id)
	return n == 1, err
}

// UseFlows ends every flow of an agent: what they proved is no longer so.
func (tx *Tx) UseFlows(ctx context.Context, agent parvis.AgentNumber) error {
	_, err := tx.exec(ctx, "UPDATE flow SET used_at = $1 WHERE agent = $2 AND used_at = 0", micros(tx.Now()), agent)
	return err
}

// ActivationCode is a first way in, handed over or sent. What is typed and what
// is in the link are kept as keyed hashes.
type ActivationCode struct {
	ID       string
	Agent    parvis.AgentNumber
	Kind     string // hand_over, mail
	Code     [32]byte
	Link     [32]byte // zero when there is no link
	By       string
	Created  time.Time
	Expires  time.Time
	Replaced time.Time // a later one of its kind was issued
	Used     time.Time // the account was activated
}

const codeColumns = "id, agent, kind, code, link, issued_by, created_at, expires_at, replaced_at, used_at"

func scanCode(scan func(...any) error) (ActivationCode, error) {
	var c ActivationCode
	var code, link []byte
	var created, expires, replaced, used int64
	err := scan(&c.ID, &c.Agent, &c.Kind, &code, &link, &c.By, &created, &expires, &replaced, &used)
	copy(c.Code[:], code)
	copy(c.Link[:], link)
	c.Created, c.Expires, c.Replaced, c.Used = timeOf(created), timeOf(expires), timeOf(replaced), timeOf(used)
	return c, err
}

// ActivationCode reads the code whose keyed hash, of the signs or of the link,
// is given; [parvis.CodeNotFound] when there is none.
func (r reader) ActivationCode(ctx context.Context, hash [32]byte) (ActivationCode, error) {
	return one(ctx, r, "store.ActivationCode", scanCode,
		"SELECT "+codeColumns+" FROM activation_code WHERE code = $1 OR link = $1", hash[:])
}

// ActivationCodeByID reads a code by its name; [parvis.CodeNotFound] when there
// is none.
func (r reader) ActivationCodeByID(ctx context.Context, id string) (ActivationCode, error) {
	return one(ctx, r, "store.ActivationCodeByID", scanCode, "SELECT "+codeColumns+" FROM activation_code WHERE id = $1", id)
}

// PutActivationCode issues a code. Only the latest of a kind is good: the
// earlier ones of the agent are replaced, and those long ended removed.
func (tx *Tx) PutActivationCode(ctx context.Context, c ActivationCode) error {
	if _, err := tx.exec(ctx, "DELETE FROM activation_code WHERE expires_at < $1", micros(tx.Now().AddDate(0, 0, -90))); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, "UPDATE activation_code SET replaced_at = $1 WHERE agent = $2 AND kind = $3 AND replaced_at = 0 AND used_at = 0",
		micros(tx.Now()), c.Agent, c.Kind); err != nil {
		return err
	}
	var link []byte
	if c.Link != ([32]byte{}) {
		link = c.Link[:]
	}
	_, err := tx.exec(ctx, "INSERT INTO activation_code ("+codeColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)",
		c.ID, c.Agent, c.Kind, c.Code[:], link, c.By, micros(c.Created), micros(c.Expires))
	return err
}

// UseActivationCodes ends every code of an agent: the account is activated.
func (tx *Tx) UseActivationCodes(ctx context.Context, agent parvis.AgentNumber) error {
	_, err := tx.exec(ctx, "UPDATE activation_code SET used_at = $1 WHERE agent = $2 AND used_at = 0", micros(tx.Now()), agent)
	return err
}

// Activation is what a newcomer has done of the task list beyond the proofs.
type Activation struct {
	Confirmed time.Time // the identity shown is right
	Reported  time.Time // it is not, and HR was told
}

// Activation reads it; the zero value when nothing was done.
func (r reader) Activation(ctx context.Context, agent parvis.AgentNumber) (Activation, error) {
	list, err := many(ctx, r, "store.Activation", func(scan func(...any) error) (Activation, error) {
		var confirmed, reported int64
		err := scan(&confirmed, &reported)
		return Activation{Confirmed: timeOf(confirmed), Reported: timeOf(reported)}, err
	}, "SELECT confirmed_at, reported_at FROM activation WHERE agent = $1", agent)
	if err != nil || len(list) == 0 {
		return Activation{}, err
	}
	return list[0], nil
}

// PutActivation writes it.
func (tx *Tx) PutActivation(ctx context.Context, agent parvis.AgentNumber, a Activation) error {
	_, err := tx.exec(ctx, `INSERT INTO activation (agent, confirmed_at, reported_at) VALUES ($1, $2, $3)
		ON CONFLICT (agent) DO UPDATE SET confirmed_at = excluded.confirmed_at, reported_at = excluded.reported_at`,
		agent, micros(a.Confirmed), micros(a.Reported))
	return err
}

// Spend counts one use of an allowance of n in a time, named by a keyed hash.
// It answers the zero time when the use is allowed, and otherwise when the next
// one will be; a use that is not allowed is not counted.
func (tx *Tx) Spend(ctx context.Context, key [32]byte, n int, in time.Duration) (time.Time, error) {
	now := micros(tx.Now())
	if _, err := tx.exec(ctx, "DELETE FROM allowance WHERE ends_at <= $1", now); err != nil {
		return time.Time{}, err
	}
	changed, err := tx.exec(ctx, `INSERT INTO allowance (key, used, ends_at) VALUES ($1, 1, $2)
		ON CONFLICT (key) DO UPDATE SET used = allowance.used + 1 WHERE allowance.used < $3`,
		key[:], micros(tx.Now().Add(in)), n)
	if err != nil || changed > 0 {
		return time.Time{}, err
	}
	return tx.Spent(ctx, key, n, in)
}

// Spent tells, without counting, until when an allowance of n is used up: a
// moment that may have passed, or the zero time when it is not.
func (r reader) Spent(ctx context.Context, key [32]byte, n int, _ time.Duration) (time.Time, error) {
	ends, err := many(ctx, r, "store.Spent", func(scan func(...any) error) (int64, error) {
		var at int64
		err := scan(&at)
		return at, err
	}, "SELECT ends_at FROM allowance WHERE key = $1 AND used >= $2", key[:], n)
	if err != nil || len(ends) == 0 {
		return time.Time{}, err
	}
	return timeOf(ends[0]), nil
}

// Refund gives one use back: what was spent turned out to be owed.
func (tx *Tx) Refund(ctx context.Context, key [32]byte) error {
	_, err := tx.exec(ctx, "UPDATE allowance SET used = used - 1 WHERE key = $1 AND used > 0", key[:])
	return err
}
