package store

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"parvis"
)

// SessionRow is a session as it is kept. Idle stays zero: how long a session
// may rest is the keeper's rule, not a stored fact.
type SessionRow struct {
	parvis.Session
	Browser string    // short, for a list: "Firefox, Linux"
	Address string    // where it began
	Ended   time.Time // zero while it may be used
	Why     string    // why it ended
}

// VisitRow is the part of a session that one application host holds.
type VisitRow struct {
	ID      parvis.SessionID // of its own secret
	Session parvis.SessionID
	App     parvis.AppID
	Host    string
	Ticket  [16]byte // what let it in, once
	Began   time.Time
}

const sessionColumns = `id, agent, channel, device, browser, address, proofs, epoch, began, seen, ends, ended, why`

func scanSession(scan func(...any) error) (SessionRow, error) {
	var r SessionRow
	var id []byte
	var proofs string
	var began, seen, ends, ended int64
	err := scan(&id, &r.Agent, &r.Channel, &r.Device, &r.Browser, &r.Address, &proofs, &r.Epoch, &began, &seen, &ends, &ended, &r.Why)
	if err != nil {
		return r, err
	}
	copy(r.ID[:], id)
	r.Began, r.LastSeen, r.Ends, r.Ended = timeOf(began), timeOf(seen), timeOf(ends), timeOf(ended)
	return r, json.Unmarshal([]byte(proofs), &r.Proofs)
}

// Session reads one session, ended or not; [parvis.CodeNotFound] for none.
func (r reader) Session(ctx context.Context, id parvis.SessionID) (SessionRow, error) {
	return one(ctx, r, "store.Session", scanSession, `SELECT `+sessionColumns+` FROM session WHERE id = $1`, id[:])
}

// SessionsOf lists the sessions of an agent that nobody ended and that have
// not reached their end at t, latest first.
func (r reader) SessionsOf(ctx context.Context, agent parvis.AgentNumber, t time.Time) ([]SessionRow, error) {
	return many(ctx, r, "store.SessionsOf", scanSession,
		`SELECT `+sessionColumns+` FROM session WHERE agent = $1 AND ended = 0 AND ends > $2 ORDER BY began DESC, id`, agent, micros(t))
}

// LiveSessions gives a page of the sessions that may be used at t, by
// identifier, those after one.
func (r reader) LiveSessions(ctx context.Context, after parvis.SessionID, t time.Time, limit int) ([]SessionRow, error) {
	return many(ctx, r, "store.LiveSessions", scanSession,
		`SELECT `+sessionColumns+` FROM session WHERE id > $1 AND ended = 0 AND ends > $2 ORDER BY id LIMIT $3`, after[:], micros(t), limit)
}

func scanVisit(scan func(...any) error) (VisitRow, error) {
	var v VisitRow
	var id, session, ticket []byte
	var began int64
	err := scan(&id, &session, &v.App, &v.Host, &ticket, &began)
	copy(v.ID[:], id)
	copy(v.Session[:], session)
	copy(v.Ticket[:], ticket)
	v.Began = timeOf(began)
	return v, err
}

// Visit reads one visit; [parvis.CodeNotFound] for none.
func (r reader) Visit(ctx context.Context, id parvis.SessionID) (VisitRow, error) {
	return one(ctx, r, "store.Visit", scanVisit, `SELECT id, session, app, host, ticket, began FROM host_session WHERE id = $1`, id[:])
}

// LiveVisits gives a page of the visits of sessions that may be used at t, by
// identifier, those after one.
func (r reader) LiveVisits(ctx context.Context, after parvis.SessionID, t time.Time, limit int) ([]VisitRow, error) {
	return many(ctx, r, "store.LiveVisits", scanVisit,
		`SELECT v.id, v.session, v.app, v.host, v.ticket, v.began FROM host_session v JOIN session s ON s.id = v.session
		 WHERE v.id > $1 AND s.ended = 0 AND s.ends > $2 ORDER BY v.id LIMIT $3`, after[:], micros(t), limit)
}

// AddSession keeps a new session.
func (tx *Tx) AddSession(ctx context.Context, s SessionRow) error {
	proofs, err := json.Marshal(s.Proofs)
	if err != nil {
		return fail("store.AddSession", err)
	}
	_, err = tx.exec(ctx, `INSERT INTO session (`+sessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		s.ID[:], s.Agent, s.Channel, s.Device, s.Browser, s.Address, string(proofs), s.Epoch,
		micros(s.Began), micros(s.LastSeen), micros(s.Ends), micros(s.Ended), s.Why)
	return fail("store.AddSession", err)
}

// MoveSession gives a live session another identifier, with its visits and its
// grants, and writes what was proved since. [parvis.CodeNotFound] when none is live.
func (tx *Tx) MoveSession(ctx context.Context, old parvis.SessionID, s parvis.Session) error {
	const op = "store.MoveSession"
	proofs, err := json.Marshal(s.Proofs)
	if err != nil {
		return fail(op, err)
	}
	n, err := tx.exec(ctx, `UPDATE session SET id = $1, proofs = $2, epoch = $3, seen = $4 WHERE id = $5 AND ended = 0`,
		s.ID[:], string(proofs), s.Epoch, micros(s.LastSeen), old[:])
	if err == nil && n == 0 {
		err = &parvis.Error{Code: parvis.CodeNotFound, Op: op}
	}
	if err == nil {
		_, err = tx.exec(ctx, `UPDATE host_session SET session = $1 WHERE session = $2`, s.ID[:], old[:])
	}
	if err == nil {
		// Not their version: a renewal under way is not disturbed.
		_, err = tx.exec(ctx, `UPDATE app_grant SET session = $1 WHERE session = $2 AND ended = 0`, s.ID[:], old[:])
	}
	return fail(op, err)
}

// SeeSessions moves forward the moment at which live sessions were last used,
// and tells of how many that changed something. At most 500 at once.
func (tx *Tx) SeeSessions(ctx context.Context, at time.Time, ids ...parvis.SessionID) (int64, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	args := make([]any, 0, len(ids)+1)
	for i := range ids {
		args = append(args, ids[i][:])
	}
	args = append(args, micros(at))
	moment := "$" + strconv.Itoa(len(args))
	n, err := tx.exec(ctx, `UPDATE session SET seen = `+moment+` WHERE id IN `+places(1, len(ids))+` AND seen < `+moment+` AND ended = 0`, args...)
	return n, fail("store.SeeSessions", err)
}

// EndSession ends a session for good, with its grants but those that outlive
// it, queues the notices of these, and tells whether it was live and what ended
// with it.
func (tx *Tx) EndSession(ctx context.Context, id parvis.SessionID, why string) (bool, Ended, error) {
	n, err := tx.exec(ctx, `UPDATE session SET ended = $1, why = $2 WHERE id = $3 AND ended = 0`, micros(tx.now), why, id[:])
	if err != nil || n == 0 {
		return false, Ended{}, fail("store.EndSession", err)
	}
	ended, err := tx.endGrants(ctx, why, "session = $2 AND NOT offline", id[:])
	return true, ended, err
}

// AddVisit keeps a new visit. It answers false, and keeps nothing, when its
// ticket was already used.
func (tx *Tx) AddVisit(ctx context.Context, v VisitRow) (bool, error) {
	n, err := tx.exec(ctx, `INSERT INTO host_session (id, session, app, host, ticket, began) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (ticket) DO NOTHING`, v.ID[:], v.Session[:], v.App, v.Host, v.Ticket[:], micros(v.Began))
	return n > 0, fail("store.AddVisit", err)
}

// ForgetSessions removes at most limit sessions that ended, or had to, before
// t, with their visits, and tells how many.
func (tx *Tx) ForgetSessions(ctx context.Context, t time.Time, limit int) (int64, error) {
	const op = "store.ForgetSessions"
	const old = `SELECT id FROM session WHERE ends < $1 ORDER BY ends, id LIMIT $2`
	if _, err := tx.exec(ctx, `DELETE FROM host_session WHERE session IN (`+old+`)`, micros(t), limit); err != nil {
		return 0, fail(op, err)
	}
	n, err := tx.exec(ctx, `DELETE FROM session WHERE id IN (`+old+`)`, micros(t), limit)
	return n, fail(op, err)
}
