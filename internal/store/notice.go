package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"parvis"
)

// Notice is an application to tell that a grant ended, and how that went. A
// grant that ends queues one under its own name, due at once. Version is 0
// before it is written, then 1, 2, …
type Notice struct {
	ID       string
	Version  int64
	Grant    string // that ended
	Protocol parvis.Protocol
	App      parvis.AppID
	Agent    parvis.AgentNumber
	Channel  parvis.Channel
	SID      string
	Body     []byte // the grant's, as sealed by its owner
	Tries    int
	Next     time.Time // not before
	State    string    // waiting, delivered, given_up
	Answer   string    // what the application said last
	At       time.Time // when it was last written
}

const noticeColumns = "id, version, grant_id, protocol, app, agent, channel, sid, body, tries, next, state, answer, at"

func scanNotice(scan func(...any) error) (Notice, error) {
	var n Notice
	var next, at int64
	err := scan(&n.ID, &n.Version, &n.Grant, &n.Protocol, &n.App, &n.Agent, &n.Channel, &n.SID, &n.Body, &n.Tries, &next, &n.State, &n.Answer, &at)
	n.Next, n.At = timeOf(next), timeOf(at)
	return n, err
}

// DueNotices lists the notices that wait and may be sent at a moment, the
// longest due first, at most limit: those to applications that are not excepted.
func (r reader) DueNotices(ctx context.Context, at time.Time, limit int, except ...parvis.AppID) ([]Notice, error) {
	others, args := "", []any{micros(at), limit}
	for _, app := range except {
		args = append(args, app)
		others += " AND app <> $" + strconv.Itoa(len(args))
	}
	return many(ctx, r, "store.DueNotices", scanNotice,
		"SELECT "+noticeColumns+" FROM notice WHERE state = 'waiting' AND next <= $1"+others+" ORDER BY next, id LIMIT $2", args...)
}

// NoticesOf lists the latest notices to an application, newest first, at most
// limit: how delivery went.
func (r reader) NoticesOf(ctx context.Context, app parvis.AppID, limit int) ([]Notice, error) {
	return many(ctx, r, "store.NoticesOf", scanNotice,
		"SELECT "+noticeColumns+" FROM notice WHERE app = $1 ORDER BY at DESC, id LIMIT $2", app, limit)
}

// PutNotice writes a notice if nobody wrote it since it was read: Version must
// be the one that is kept, 0 for none. It answers false, and changes nothing,
// otherwise. Of a known one it writes how it goes: Tries, Next, State, Answer.
// One that is settled changes no more. Whoever sends one first takes it, with a
// later Next, so that no other process sends it too; the version then kept is
// one more than before. At is the moment of the transaction.
func (tx *Tx) PutNotice(ctx context.Context, n Notice) (bool, error) {
	if n.ID == "" || n.App == "" || n.State != "waiting" && n.State != "delivered" && n.State != "given_up" {
		return false, invalid("store.PutNotice", errors.New("a notice without a name, an application or a state"))
	}
	query := `UPDATE notice SET version = version + 1, tries = $3, next = $4, state = $5, answer = $6, at = $7
		WHERE id = $1 AND version = $2 AND state = 'waiting'`
	args := []any{n.ID, n.Version, n.Tries, micros(n.Next), n.State, n.Answer, micros(tx.now)}
	if n.Version == 0 {
		if n.Body == nil {
			n.Body = []byte{}
		}
		query = "INSERT INTO notice (" + noticeColumns + ") VALUES ($1, $2 + 1, $8, $9, $10, $11, $12, $13, $14, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING"
		args = append(args, n.Grant, n.Protocol, n.App, n.Agent, n.Channel, n.SID, n.Body)
	}
	changed, err := tx.exec(ctx, query, args...)
	return changed == 1, err
}
