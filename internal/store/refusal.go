package store

import (
	"context"
	"encoding/json"
	"time"

	"parvis"
)

// Refusal is a refusal as it was told, frozen: who asked for what, from where,
// what was known of them, and what the one function answered.
type Refusal struct {
	Reference  parvis.Reference
	At         time.Time
	Agent      parvis.AgentNumber
	Session    parvis.SessionID // zero when there was none
	Origin     parvis.Origin
	App        parvis.AppID
	Path       string // of the address, without its query
	Facts      RefusalFacts
	Decision   parvis.Decision
	Generation uint64 // of the rules that decided
}

// RefusalFacts are what the decision was taken on, beyond the request itself.
type RefusalFacts struct {
	State  parvis.State    `json:"state,omitempty"`
	Proofs []parvis.Proof  `json:"proofs,omitempty"`
	Device parvis.DeviceID `json:"device,omitempty"`
	Known  bool            `json:"known,omitempty"` // the address lies in a declared network
}

const refusalColumns = `reference, at, agent, session, channel, address, app, path, facts, decision, generation`

func scanRefusal(scan func(...any) error) (Refusal, error) {
	var r Refusal
	var session []byte
	var facts, decision string
	var at, generation int64
	err := scan(&r.Reference, &at, &r.Agent, &session, &r.Origin.Channel, &r.Origin.Address, &r.App, &r.Path, &facts, &decision, &generation)
	if err != nil {
		return r, err
	}
	copy(r.Session[:], session)
	r.At, r.Generation = timeOf(at), uint64(generation) //nolint:gosec // written from one
	if err := json.Unmarshal([]byte(facts), &r.Facts); err != nil {
		return r, err
	}
	r.Origin.Device, r.Origin.Known = r.Facts.Device, r.Facts.Known
	return r, json.Unmarshal([]byte(decision), &r.Decision)
}

// Refusal reads a refusal by its reference; [parvis.CodeNotFound] for none.
func (r reader) Refusal(ctx context.Context, ref parvis.Reference) (Refusal, error) {
	return one(ctx, r, "store.Refusal", scanRefusal, `SELECT `+refusalColumns+` FROM refusal WHERE reference = $1`, ref)
}

// AddRefusal keeps a refusal. It answers false, and keeps nothing, when the
// reference is taken.
func (tx *Tx) AddRefusal(ctx context.Context, r Refusal) (bool, error) {
	const op = "store.AddRefusal"
	r.Facts.Device, r.Facts.Known = r.Origin.Device, r.Origin.Known
	facts, err := json.Marshal(r.Facts)
	if err != nil {
		return false, fail(op, err)
	}
	decision, err := json.Marshal(r.Decision)
	if err != nil {
		return false, fail(op, err)
	}
	n, err := tx.exec(ctx, `INSERT INTO refusal (`+refusalColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (reference) DO NOTHING`, r.Reference, micros(r.At), r.Agent, r.Session[:], r.Origin.Channel, r.Origin.Address,
		r.App, r.Path, string(facts), string(decision), int64(r.Generation)) //nolint:gosec // a small counter
	return n > 0, fail(op, err)
}

// SweepRefusals forgets refusals told before a moment, the oldest first, at
// most limit of them, and tells how many went. Their events stay.
func (tx *Tx) SweepRefusals(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := tx.exec(ctx, `DELETE FROM refusal WHERE reference IN
		(SELECT reference FROM refusal WHERE at < $1 ORDER BY at LIMIT $2)`, micros(before), limit)
	return int(n), fail("store.SweepRefusals", err)
}
