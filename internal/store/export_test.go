package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Exec lets tests change a table of their own.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return tx.exec(ctx, query, args...)
}

// QueryInt asks for one number.
func (r reader) QueryInt(ctx context.Context, query string, args ...any) (int64, error) {
	return one(ctx, r, "test", func(scan func(...any) error) (int64, error) {
		var n int64
		err := scan(&n)
		return n, err
	}, query, args...)
}

// Try runs a statement without asking whether it may.
func (r reader) Try(ctx context.Context, query string) error {
	_, err := r.q.ExecContext(ctx, query)
	return err
}

// Waiting counts the writes in the queue.
func Waiting(s *Store) int { return len(s.queue) }

// Age makes the last look at the events of others that much older.
func Age(s *Store, d time.Duration) { s.feed.seen.Add(-int64(d)) }

// Look looks now.
func Look(ctx context.Context, s *Store) error { return s.look(ctx) }

// StandingQuery asks for the facts of one agent.
func StandingQuery() string { return standingQuery(1) }

// OpenBefore makes the database of the release that had the migrations before
// a version.
func OpenBefore(ctx context.Context, o Options, version int64) error {
	e, write, read, err := connect(o.URL)
	if err != nil {
		return err
	}
	all, err := e.migrations()
	n := 0
	for n < len(all) && all[n].version < version {
		n++
	}
	s := &Store{o: o, engine: e, write: write, read: read}
	if err == nil {
		err = s.migrateTo(ctx, all[:n])
	}
	return errors.Join(err, write.Close(), read.Close())
}

// Statement is what was asked of the database, and with what.
type Statement struct {
	Query string
	Args  []any
}

// Statements runs f in a transaction that is not committed and gives what it
// asked of the database.
func Statements(ctx context.Context, s *Store, f func(tx *Tx) error) ([]Statement, error) {
	var all []Statement
	var own error
	done := errors.New("enough is known")
	err := s.Write(ctx, func(tx *Tx) error {
		tx.q = listener{tx.q, &all}
		own = f(tx)
		return done
	})
	if errors.Is(err, done) {
		err = own
	}
	return all, err
}

type listener struct {
	querier
	all *[]Statement
}

func (l listener) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	*l.all = append(*l.all, Statement{query, args})
	return l.querier.ExecContext(ctx, query, args...)
}

func (l listener) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	*l.all = append(*l.all, Statement{query, args})
	return l.querier.QueryContext(ctx, query, args...)
}

func (l listener) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	*l.all = append(*l.all, Statement{query, args})
	return l.querier.QueryRowContext(ctx, query, args...)
}
