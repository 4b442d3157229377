package store

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"parvis"
)

// Grant is what an application was told of an agent by a protocol, while it
// lasts. Body is sealed by the caller. Version is 0 before it is written, then
// 1, 2, …
type Grant struct {
	ID       string // best one that begins with the time: a million lie side by side
	Version  int64
	Protocol parvis.Protocol
	App      parvis.AppID
	Agent    parvis.AgentNumber
	Session  parvis.SessionID // zero only for one that is Offline
	Channel  parvis.Channel
	SID      string   // the session's name for this application, the same for all its grants
	Finder   [32]byte // SHA-256 of the secret that finds it now; zero: by its identifier alone
	Body     []byte
	Offline  bool // outlives the session
	Tells    bool // the application is told when it ends
	Began    time.Time
	Expires  time.Time
	Ended    time.Time // zero while nobody ended it
	Why      string    // why it ended
}

const grantColumns = "g.id, g.version, g.protocol, g.app, g.agent, g.session, g.channel, g.sid, g.finder, g.body, g.offline, g.tells, g.began, g.expires, g.ended, g.why"

func scanGrant(scan func(...any) error) (Grant, error) {
	var g Grant
	var session, finder []byte
	var began, expires, ended int64
	err := scan(&g.ID, &g.Version, &g.Protocol, &g.App, &g.Agent, &session, &g.Channel, &g.SID, &finder, &g.Body, &g.Offline, &g.Tells,
		&began, &expires, &ended, &g.Why)
	copy(g.Session[:], session)
	copy(g.Finder[:], finder)
	g.Began, g.Expires, g.Ended = timeOf(began), timeOf(expires), timeOf(ended)
	return g, err
}

// Grant reads a grant, ended, expired or neither; [parvis.CodeNotFound] for none.
func (r reader) Grant(ctx context.Context, id string) (Grant, error) {
	return one(ctx, r, "store.Grant", scanGrant, "SELECT "+grantColumns+" FROM app_grant g WHERE g.id = $1", id)
}

// GrantBy reads the grant that a secret finds, by its hash, ended, expired or
// neither. spent says that another secret took the place of this one since: it
// was shown before, by whoever had it. [parvis.CodeNotFound] for none.
func (r reader) GrantBy(ctx context.Context, finder [32]byte) (g Grant, spent bool, err error) {
	g, err = one(ctx, r, "store.GrantBy", scanGrant,
		"SELECT "+grantColumns+" FROM grant_finder f JOIN app_grant g ON g.id = f.grant_id WHERE f.finder = $1", finder[:])
	return g, err == nil && g.Finder != finder, err
}

// GrantsOf lists the grants of an agent that may be used at a moment, latest
// first: those of sessions that nobody ended, and those that outlive sessions.
func (r reader) GrantsOf(ctx context.Context, agent parvis.AgentNumber, at time.Time) ([]Grant, error) {
	// Two ways in, so that no index on every grant's agent is needed.
	return many(ctx, r, "store.GrantsOf", scanGrant, `SELECT * FROM (
			SELECT `+grantColumns+` FROM session s JOIN app_grant g ON g.session = s.id AND g.ended = 0
			WHERE s.agent = $1 AND s.ended = 0 AND s.ends > $2 AND NOT g.offline AND g.agent = $1 AND g.expires > $2
			UNION ALL
			SELECT `+grantColumns+` FROM app_grant g WHERE g.agent = $1 AND g.offline AND g.ended = 0 AND g.expires > $2
		) AS live ORDER BY began DESC, id`, agent, micros(at))
}

// GrantsIn lists the grants of a session that nobody ended, expired or not,
// oldest first; among them those that will outlive it.
func (r reader) GrantsIn(ctx context.Context, session parvis.SessionID) ([]Grant, error) {
	return many(ctx, r, "store.GrantsIn", scanGrant,
		"SELECT "+grantColumns+" FROM app_grant g WHERE g.session = $1 AND g.ended = 0 ORDER BY g.began, g.id", session[:])
}

// AppUse is who uses an application, by a protocol or behind a proxy.
type AppUse struct {
	App    parvis.AppID
	Agents int       // how many agents entered it
	Last   time.Time // when somebody last did
	Live   int       // grants and visits that may be used now; grants to the hour
}

// AppUse counts the use of each application since a moment, by identifier.
// Grants and visits stay known for seven days after their end; "now" is that
// of the caller. It reads indexes from end to end: for a page, not for each
// request.
func (r reader) AppUse(ctx context.Context, since, now time.Time) ([]AppUse, error) {
	return many(ctx, r, "store.AppUse", func(scan func(...any) error) (AppUse, error) {
		var u AppUse
		var last int64
		err := scan(&u.App, &u.Agents, &last, &u.Live)
		u.Last = timeOf(last)
		return u, err
	}, `SELECT app, sum(agents), sum(last), sum(live) FROM (
			SELECT app, count(DISTINCT agent) AS agents, max(began) AS last, 0 AS live FROM (
				SELECT app, agent, began FROM app_grant WHERE began >= $1
				UNION ALL
				SELECT v.app, s.agent, v.began FROM host_session v JOIN session s ON s.id = v.session WHERE v.began >= $1
			) AS entered GROUP BY app
			UNION ALL
			SELECT app, 0, 0, count(*) FROM app_grant
			WHERE expires`+hour+` >= CAST($2 AS BIGINT)`+hour+` AND ended = 0 GROUP BY app
			UNION ALL
			SELECT v.app, 0, 0, count(*) FROM host_session v JOIN session s ON s.id = v.session
			WHERE s.ended = 0 AND s.ends > $2 GROUP BY v.app
		) AS uses GROUP BY app ORDER BY app`, micros(since), micros(now))
}

// PutGrant writes a grant. With Version 0 it is a new one: false when the
// identifier is taken, so that of any number of redemptions of one code, one is
// told true; [parvis.CodeNotFound] when its session is over. Otherwise it
// changes what finds it, its body, its end and whether the application is told,
// if nobody ended or wrote it since it was read: false otherwise. A finder that
// is replaced stays known as spent until the grant expires;
// [parvis.CodeConflict] for one that was ever another's, or its own before.
func (tx *Tx) PutGrant(ctx context.Context, g Grant) (bool, error) {
	const op = "store.PutGrant"
	if g.ID == "" || g.App == "" || g.Agent == "" || g.Expires.IsZero() || g.Session == (parvis.SessionID{}) && !g.Offline {
		return false, invalid(op, errors.New("a grant without a name, an application, an agent, an end, or what ends it"))
	}
	if g.Body == nil {
		g.Body = []byte{}
	}
	if g.Version == 0 {
		return tx.addGrant(ctx, g)
	}
	type kept struct {
		finder  []byte
		expires int64
	}
	was, err := one(ctx, tx.reader, op, func(scan func(...any) error) (k kept, err error) {
		err = scan(&k.finder, &k.expires)
		return k, err
	}, "SELECT finder, expires FROM app_grant WHERE id = $1 AND version = $2 AND ended = 0", g.ID, g.Version)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	finder := hashOrNull(g.Finder)
	n, err := tx.exec(ctx, `UPDATE app_grant SET version = version + 1, finder = $1, body = $2, tells = $3, expires = $4
		WHERE id = $5 AND version = $6 AND ended = 0`, finder, g.Body, g.Tells, micros(g.Expires), g.ID, g.Version)
	if err != nil || n == 0 {
		return false, err
	}
	switch {
	case !bytes.Equal(finder, was.finder):
		err = tx.addFinder(ctx, g)
	case finder != nil && was.expires != micros(g.Expires):
		_, err = tx.exec(ctx, "UPDATE grant_finder SET expires = $1 WHERE finder = $2", micros(g.Expires), finder)
	}
	return err == nil, err
}

func (tx *Tx) addGrant(ctx context.Context, g Grant) (bool, error) {
	if g.Session != (parvis.SessionID{}) {
		// In this transaction: a session that ends at the same time either
		// ends this grant too, or is seen to be over.
		n, err := one(ctx, tx.reader, "store.PutGrant", scanCount, "SELECT count(*) FROM session WHERE id = $1 AND ended = 0", g.Session[:])
		if err != nil {
			return false, err
		}
		if n == 0 {
			return false, &parvis.Error{Code: parvis.CodeNotFound, Op: "store.PutGrant", Err: errors.New("the session is over")}
		}
	}
	n, err := tx.exec(ctx, `INSERT INTO app_grant (id, version, protocol, app, agent, session, channel, sid, finder, body, offline, tells,
			began, expires, ended, why) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, '')
		ON CONFLICT (id) DO NOTHING`,
		g.ID, g.Protocol, g.App, g.Agent, g.Session[:], g.Channel, g.SID, hashOrNull(g.Finder), g.Body, g.Offline, g.Tells,
		micros(g.Began), micros(g.Expires))
	if err != nil || n == 0 {
		return false, err
	}
	err = tx.addFinder(ctx, g)
	return err == nil, err
}

// addFinder keeps by what a grant is found from now on, for as long as it is.
func (tx *Tx) addFinder(ctx context.Context, g Grant) error {
	if g.Finder == ([32]byte{}) {
		return nil
	}
	n, err := tx.exec(ctx, "INSERT INTO grant_finder (finder, grant_id, expires) VALUES ($1, $2, $3) ON CONFLICT (finder) DO NOTHING",
		g.Finder[:], g.ID, micros(g.Expires))
	if err == nil && n == 0 {
		return &parvis.Error{Code: parvis.CodeConflict, Op: "store.PutGrant", Err: errors.New("what finds the grant was used before")}
	}
	return err
}

// hashOrNull gives a hash as it is kept when it may be absent.
func hashOrNull(h [32]byte) []byte {
	if h == ([32]byte{}) {
		return nil
	}
	return h[:]
}

// Ended is what ended together: grants, and how many of their applications are
// to be told.
type Ended struct{ Grants, Notices int64 }

// EndGrant ends a grant for good, queues a [Notice] if its application is to be
// told, and answers whether it had not been ended before.
func (tx *Tx) EndGrant(ctx context.Context, id, why string) (bool, error) {
	ended, err := tx.endGrants(ctx, why, "id = $2", id)
	return ended.Grants > 0, err
}

// EndOfflineGrants ends the grants of an agent that outlive sessions, but those
// that began in one session; with the zero identifier, all.
func (tx *Tx) EndOfflineGrants(ctx context.Context, agent parvis.AgentNumber, except parvis.SessionID, why string) (Ended, error) {
	if except == (parvis.SessionID{}) {
		return tx.endGrants(ctx, why, "agent = $2 AND offline", agent)
	}
	return tx.endGrants(ctx, why, "agent = $2 AND offline AND session <> $3", agent, except[:])
}

// EndAppGrants ends every grant of an application, and drops what was kept for
// it besides, above all what agents agreed to: whatever bears its name next is
// another application.
func (tx *Tx) EndAppGrants(ctx context.Context, app parvis.AppID, why string) (Ended, error) {
	if _, err := tx.exec(ctx, "DELETE FROM protocol_document WHERE app = $1 AND app <> ''", app); err != nil {
		return Ended{}, err
	}
	return tx.endGrants(ctx, why, "app = $2", app)
}

// endGrants ends the grants that a condition on values, from $2 on, chooses.
// Each ends once, so its notice can have its name.
func (tx *Tx) endGrants(ctx context.Context, why, which string, values ...any) (Ended, error) {
	var e Ended
	var err error
	args := append([]any{micros(tx.now)}, values...)
	e.Notices, err = tx.exec(ctx, `INSERT INTO notice (`+noticeColumns+`)
		SELECT id, 1, id, protocol, app, agent, channel, sid, body, 0, CAST($1 AS BIGINT), 'waiting', '', CAST($1 AS BIGINT)
		FROM app_grant WHERE ended = 0 AND tells AND `+which+` ON CONFLICT (id) DO NOTHING`, args...)
	if err != nil {
		return e, err
	}
	args = append(args, why)
	e.Grants, err = tx.exec(ctx, "UPDATE app_grant SET version = version + 1, ended = $1, why = $"+strconv.Itoa(len(args))+" WHERE ended = 0 AND "+which, args...)
	return e, err
}

// hour is how far ends are kept apart where there are many: see 0015_grant.
const hour = " / 3600000000"

// ForgetGrants removes at most limit grants that expired in an hour before that
// of t, ended or not, and as many of what found them, and tells how many rows in
// all. One that was ended is known until then: whoever shows a secret of it is
// told of.
func (tx *Tx) ForgetGrants(ctx context.Context, t time.Time, limit int) (int64, error) {
	finders, err := tx.forget(ctx, "grant_finder", "finder", t, limit)
	if err != nil {
		return 0, err
	}
	grants, err := tx.forget(ctx, "app_grant", "id", t, limit)
	return finders + grants, err
}

// forget removes at most limit rows of a table that expired in an hour before
// that of t.
func (tx *Tx) forget(ctx context.Context, table, key string, t time.Time, limit int) (int64, error) {
	return tx.exec(ctx, "DELETE FROM "+table+" WHERE "+key+" IN (SELECT "+key+" FROM "+table+
		" WHERE expires"+hour+" < CAST($1 AS BIGINT)"+hour+" ORDER BY expires"+hour+" LIMIT $2)", micros(t), limit)
}
