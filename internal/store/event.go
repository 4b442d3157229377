package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"parvis"
	"parvis/internal/audit"
)

// EventFilter chooses events. Zero fields choose everything.
type EventFilter struct {
	Agent     parvis.AgentNumber
	Kind      string // a kind, or the beginning of one: "sign_in" chooses "sign_in.ok"
	Reference parvis.Reference
	Since     time.Time // at or after
	From      int64     // this position and beyond
	Before    int64     // only positions below it; 0 for no limit
	Latest    bool      // the newest first
	Limit     int       // at most so many; 100 when 0, never more than 1000
}

const eventColumns = "seq, at, kind, agent, actor, channel, address, app, reference, reasons, detail"

// Events lists recorded events, the oldest first unless f.Latest.
func (r reader) Events(ctx context.Context, f EventFilter) ([]parvis.Event, error) {
	var where []string
	var args []any
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if f.Agent != "" {
		add("agent = $%d", string(f.Agent))
	}
	if f.Kind != "" {
		// A range, not LIKE: it uses the index, and no sign is special.
		add("kind >= $%d", f.Kind)
		add("kind < $%d", f.Kind+"\U0010FFFF")
	}
	if f.Reference != "" {
		add("reference = $%d", string(f.Reference))
	}
	if !f.Since.IsZero() {
		add("at >= $%d", micros(f.Since))
	}
	if f.From > 0 {
		add("seq >= $%d", f.From)
	}
	if f.Before > 0 {
		add("seq < $%d", f.Before)
	}
	query := "SELECT " + eventColumns + " FROM event"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY seq"
	if f.Latest {
		query += " DESC"
	}
	limit := min(f.Limit, 1000)
	if limit <= 0 {
		limit = 100
	}
	args = append(args, limit)
	query += fmt.Sprintf(" LIMIT $%d", len(args))
	return many(ctx, r, "store.Events", scanEvent, query, args...)
}

// EachEvent hands every event from a position on to f, in order, until f
// answers an error, which it returns. It reads as it goes: a whole trail needs
// no memory.
func (r reader) EachEvent(ctx context.Context, from int64, f func(parvis.Event) error) error {
	err := r.each(ctx, "SELECT "+eventColumns+" FROM event WHERE seq >= $1 ORDER BY seq", []any{from},
		func(scan func(...any) error) error {
			e, err := scanEvent(scan)
			if err != nil {
				return err
			}
			return f(e)
		})
	return fail("store.EachEvent", err)
}

const unreadable = "unreadable"

func scanEvent(scan func(...any) error) (parvis.Event, error) {
	var e parvis.Event
	var at int64
	var reasons, detail string
	err := scan(&e.Seq, &at, &e.Kind, &e.Agent, &e.Actor, &e.Channel, &e.Address, &e.App, &e.Reference, &reasons, &detail)
	if err != nil {
		return parvis.Event{}, err
	}
	e.At = time.UnixMicro(at).UTC()
	// A hand that spoilt these is for audit verify to name, not for every
	// reader to stumble over.
	if reasons != "" && json.Unmarshal([]byte(reasons), &e.Reasons) != nil {
		e.Reasons = []parvis.ReasonCode{unreadable}
	}
	if detail != "" && json.Unmarshal([]byte(detail), &e.Detail) != nil {
		e.Detail = map[string]string{unreadable: detail}
	}
	return e, nil
}

// insertEvents writes events, several in a statement.
func insertEvents(ctx context.Context, q querier, events []parvis.Event) error {
	const columns = 11
	for len(events) > 0 {
		some := events[:min(len(events), 50)]
		events = events[len(some):]
		args := make([]any, 0, columns*len(some))
		for _, e := range some {
			var reasons, detail []byte
			var err error
			if len(e.Reasons) > 0 {
				reasons, err = json.Marshal(e.Reasons)
			}
			if err == nil && len(e.Detail) > 0 {
				detail, err = json.Marshal(e.Detail)
			}
			if err != nil {
				return err
			}
			args = append(args, e.Seq, micros(e.At), e.Kind, string(e.Agent), e.Actor, string(e.Channel), e.Address,
				string(e.App), string(e.Reference), string(reasons), string(detail))
		}
		if _, err := q.ExecContext(ctx, "INSERT INTO event ("+eventColumns+") VALUES "+places(len(some), columns), args...); err != nil {
			return err
		}
	}
	return nil
}

// places gives "($1,$2),($3,$4)" for two rows of two.
func places(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%columns == 0:
			b.WriteString("),(")
		default:
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	b.WriteString(")")
	return b.String()
}

// size is the number of events of which the head speaks.
func (r reader) size(ctx context.Context) (int64, error) {
	var n int64
	err := r.q.QueryRowContext(ctx, "SELECT size FROM audit_head WHERE id = 1").Scan(&n)
	return n, err
}

// readLog gives the end of the tree as of the transaction that has begun.
// When another process wrote meanwhile it is read again, and believed only if
// the signed head says the same: nothing may be built, and signed, on a trail
// that somebody else put there.
func (s *Store) readLog(ctx context.Context) (audit.Log, error) {
	var size int64
	var root []byte
	var signed string
	if err := s.conn.QueryRowContext(ctx, "SELECT size, root, note FROM audit_head WHERE id = 1").Scan(&size, &root, &signed); err != nil {
		return audit.Log{}, err
	}
	if known := s.log.Root(); size == s.log.Size() && (size == 0 || string(root) == string(known[:])) {
		return s.log, nil
	}
	if size < s.log.Size() {
		return audit.Log{}, broken("it went back from %d records to %d", s.log.Size(), size)
	}
	head, err := s.o.Heads.Open(signed)
	if err != nil {
		return audit.Log{}, broken("its head at %d records is not signed by this installation: %w", size, err)
	}
	if s.o.Heads.Verifier == nil && strings.Contains(signed, "\n\n—") {
		return audit.Log{}, broken("its head is signed, and there is no key here to go on with")
	}
	var edge []tlog.Hash
	for _, idx := range audit.Edge(size) {
		var h []byte
		if err := s.conn.QueryRowContext(ctx, "SELECT hash FROM audit_hash WHERE idx = $1", idx).Scan(&h); err != nil {
			return audit.Log{}, broken("hash %d cannot be read: %w", idx, err)
		}
		edge = append(edge, toHash(h))
	}
	log, err := audit.Resume(size, edge)
	if err != nil {
		return audit.Log{}, err
	}
	if head.Size != size || head.Root != log.Root() || toHash(root) != log.Root() {
		return audit.Log{}, broken("its signed head of %d records does not match what is stored at %d", head.Size, size)
	}
	return log, nil
}

func broken(format string, args ...any) error {
	return &parvis.Error{
		Code: parvis.CodeUnavailable, Op: "store.Write",
		Err: fmt.Errorf("the audit trail cannot be continued, "+format+" (see audit verify)", args...),
	}
}

// toHash reads a stored hash; anything but 32 bytes gives one that matches nothing.
func toHash(b []byte) tlog.Hash {
	var h tlog.Hash
	if len(b) == len(h) {
		copy(h[:], b)
	}
	return h
}

// writeHead writes the hashes of the batch and the signed head over them.
func (b *batch) writeHead(ctx context.Context) (string, error) {
	next := tlog.StoredHashCount(b.from)
	for hashes := b.hashes; len(hashes) > 0; {
		some := hashes[:min(len(hashes), 100)]
		hashes = hashes[len(some):]
		args := make([]any, 0, 2*len(some))
		for _, h := range some {
			args = append(args, next, h[:])
			next++
		}
		if _, err := b.conn.ExecContext(ctx, "INSERT INTO audit_hash (idx, hash) VALUES "+places(len(some), 2), args...); err != nil {
			return "", err
		}
	}
	root := b.log.Root()
	signed, err := b.s.o.Heads.Sign(audit.Head{Size: b.log.Size(), Root: root, At: b.events[len(b.events)-1].At})
	if err != nil {
		return "", err
	}
	result, err := b.conn.ExecContext(ctx, "UPDATE audit_head SET size = $1, root = $2, note = $3 WHERE id = 1", b.log.Size(), root[:], signed)
	if err != nil {
		return "", err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return "", errors.Join(errors.New("the audit trail has no head"), err)
	}
	return signed, nil
}
