package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"parvis"
)

// Message is something to tell an agent, as package notify keeps it. Body is
// sealed by its owner, and nil once the message is settled: a message that has
// a body is one that is still to be sent. To may be a hint ("•••42") when the
// address itself travels in the body; Target, its keyed digest, then lets the
// messages to one address be counted.
type Message struct {
	ID       string
	Kind     string             // "mail", also when empty, or "sms"
	Agent    parvis.AgentNumber // empty for somebody who is not an agent
	To       string
	Target   []byte
	Template string
	Body     []byte
	State    string
	Attempts int
	Reply    string // what the server said last
	Receipt  string // by which a provider names the message later
	Created  time.Time
	Due      time.Time // not before
	Expires  time.Time // not after
	Changed  time.Time
}

const messageColumns = "id, kind, agent, recipient, target, template, body, state, attempts, reply, receipt, created_at, due_at, expires_at, changed_at"

func scanMessage(scan func(...any) error) (Message, error) {
	var m Message
	var created, due, expires, changed int64
	err := scan(&m.ID, &m.Kind, &m.Agent, &m.To, &m.Target, &m.Template, &m.Body, &m.State, &m.Attempts, &m.Reply, &m.Receipt,
		&created, &due, &expires, &changed)
	m.Created, m.Due, m.Expires, m.Changed = timeOf(created), timeOf(due), timeOf(expires), timeOf(changed)
	return m, err
}

// Messages lists the latest messages to an agent, newest first, at most limit:
// how delivery went, for the owner and for the desk.
func (r reader) Messages(ctx context.Context, agent parvis.AgentNumber, limit int) ([]Message, error) {
	return many(ctx, r, "store.Messages", scanMessage,
		"SELECT "+messageColumns+" FROM message WHERE agent = $1 ORDER BY created_at DESC, id LIMIT $2", agent, limit)
}

// MessagesSince counts how often an agent was sent a template since a moment.
// Copies to several addresses count once.
func (r reader) MessagesSince(ctx context.Context, agent parvis.AgentNumber, template string, since time.Time) (int, error) {
	return one(ctx, r, "store.MessagesSince", scanCount,
		"SELECT count(DISTINCT created_at) FROM message WHERE agent = $1 AND template = $2 AND created_at > $3",
		agent, template, micros(since))
}

// MessagesTo counts how often an address, known by its digest, was sent a
// template since a moment.
func (r reader) MessagesTo(ctx context.Context, target []byte, template string, since time.Time) (int, error) {
	return one(ctx, r, "store.MessagesTo", scanCount,
		"SELECT count(*) FROM message WHERE target = $1 AND template = $2 AND created_at > $3", target, template, micros(since))
}

// MessageByReceipt finds the message a provider speaks of.
func (r reader) MessageByReceipt(ctx context.Context, receipt string) (Message, error) {
	return one(ctx, r, "store.MessageByReceipt", scanMessage,
		"SELECT "+messageColumns+" FROM message WHERE receipt = $1 AND receipt <> '' ORDER BY created_at DESC LIMIT 1", receipt)
}

// MessageDue tells whether a message of one of these kinds, or of any when none
// is named, waits to be sent at a moment.
func (r reader) MessageDue(ctx context.Context, at time.Time, kinds ...string) (bool, error) {
	where, args := ofKinds(kinds, micros(at))
	n, err := one(ctx, r, "store.MessageDue", scanCount,
		"SELECT count(*) FROM (SELECT id FROM message WHERE body IS NOT NULL AND due_at <= $1"+where+" LIMIT 1) AS due", args...)
	return n > 0, err
}

// ofKinds narrows a search to kinds of message.
func ofKinds(kinds []string, args ...any) (string, []any) {
	if len(kinds) == 0 {
		return "", args
	}
	places := make([]string, len(kinds))
	for i, kind := range kinds {
		args = append(args, kind)
		places[i] = "$" + strconv.Itoa(len(args))
	}
	return " AND kind IN (" + strings.Join(places, ", ") + ")", args
}

func scanCount(scan func(...any) error) (int, error) {
	var n int
	err := scan(&n)
	return n, err
}

// PutMessage writes a message, new or known.
func (tx *Tx) PutMessage(ctx context.Context, m Message) error {
	if m.Kind == "" {
		m.Kind = "mail"
	}
	_, err := tx.exec(ctx, "INSERT INTO message ("+messageColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (id) DO UPDATE SET body = excluded.body, state = excluded.state, attempts = excluded.attempts,
		reply = excluded.reply, receipt = excluded.receipt, due_at = excluded.due_at, changed_at = excluded.changed_at`,
		m.ID, m.Kind, m.Agent, m.To, m.Target, m.Template, m.Body, m.State, m.Attempts, m.Reply, m.Receipt,
		micros(m.Created), micros(m.Due), micros(m.Expires), micros(m.Changed))
	return err
}

// ClaimMessages takes the messages of these kinds (of any when none is named)
// that are due, oldest first, at most limit, counts the attempt and lets nobody
// else claim them before until.
func (tx *Tx) ClaimMessages(ctx context.Context, until time.Time, limit int, kinds ...string) ([]Message, error) {
	const op = "store.ClaimMessages"
	where, args := ofKinds(kinds, micros(tx.Now()), limit)
	claimed, err := many(ctx, tx.reader, op, scanMessage, "SELECT "+messageColumns+
		" FROM message WHERE body IS NOT NULL AND due_at <= $1"+where+" ORDER BY due_at, id LIMIT $2", args...)
	if err != nil {
		return nil, err
	}
	for i := range claimed {
		claimed[i].Attempts++
		if _, err := tx.exec(ctx, "UPDATE message SET attempts = attempts + 1, due_at = $1 WHERE id = $2",
			micros(until), claimed[i].ID); err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

// SweepMessages erases the bodies of messages that expired before now, and
// removes settled messages that have not changed since a moment. It tells how
// many of each.
func (tx *Tx) SweepMessages(ctx context.Context, now, settledBefore time.Time) (expired, removed int64, err error) {
	expired, err = tx.exec(ctx, `UPDATE message SET state = 'expired', body = NULL, changed_at = $1
		WHERE body IS NOT NULL AND expires_at <= $1`, micros(now))
	if err != nil {
		return 0, 0, err
	}
	removed, err = tx.exec(ctx, "DELETE FROM message WHERE body IS NULL AND changed_at < $1", micros(settledBefore))
	return expired, removed, err
}
