// Package store remembers. It is the only package that has SQL, and the only
// one that knows that there are two engines, SQLite and PostgreSQL.
//
// It promises:
//   - one serialisable transaction at a time, in this process and among all
//     that share the database; what [Store.Write] answered survives a crash;
//   - no unrecorded write (product rule 9): a transaction that changes
//     something and records no event does not commit;
//   - events at positions without a gap, in a Merkle tree whose signed head is
//     written by the same commit;
//   - memory kept true: [Store.Follow] shows each committed event once, in
//     order, whichever process committed it; [Store.Current] tells when that
//     cannot be done, and memory is not to be believed.
//
// It refuses to know what anything means: no rule, no secret in clear, no HTTP.
//
// Life cycle: [Open] (migrates), Follow, Write and reads, Close.
//
//	noun            file           migration
//	event, head     event.go       0001_event
//	agent, unit     agent.go       0002_agent
//	password,
//	budget, device  credential.go  0003_credential
//	session         session.go     0004_session
//	refusal         refusal.go     0005_refusal
//	flow, code      flow.go        0006_flow
//	message         message.go     0007_message
//	held proof,
//	code            proof.go       0009_proof
//	link, request   verifier.go    0010_verifier, 0012_request
//	application     app.go         0014_application
//	grant, notice,
//	document        grant.go, …    0015_grant, 0016_document
//	standing        standing.go    of all these
//
// The rule for a noun: reads are methods of reader, so that they work on a
// [Store] and inside a transaction alike; changes are methods of [Tx], through
// tx.exec. SQL is written once for both engines: $1, $2, ON CONFLICT, no
// ANY, lower() for ASCII only. On PostgreSQL a statement that fails spoils the
// rest of its Write, so ask with ON CONFLICT rather than try and see.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"parvis"
	"parvis/internal/audit"
)

// Options say which database to open and with what.
type Options struct {
	URL      string           // "sqlite:/path/file.db" or "postgres://user@host/name"
	Clock    func() time.Time // the organisation's clock
	Heads    audit.Notary     // signs the heads of the audit trail; the zero one is for tests
	HeadFile string           // where copies of signed heads go, outside the database; empty for nowhere
	Log      *slog.Logger
}

// Store is an open database. Its methods may be called by many goroutines.
type Store struct {
	reader
	o      Options
	engine engine
	write  *sql.DB   // one connection: the writer's
	read   *sql.DB   // connections that cannot write
	conn   *prepared // of write, while it works

	log    audit.Log // as of the last commit seen; the writer's alone
	queue  chan *job
	closed chan struct{}  // closed by Close: nothing more is accepted
	drain  sync.RWMutex   // held for reading while a job is handed over
	work   sync.WaitGroup // the writer and the watcher
	ctx    context.Context
	cancel context.CancelFunc
	feed   feed
	head   atomic.Pointer[string] // the latest signed head written here
	filed  int64                  // size of the last head in HeadFile; the watcher's alone
	once   sync.Once
}

// Open opens the database, creating it if need be (a SQLite file readable by
// its owner alone), and brings its tables up to date. It refuses a database
// that a newer release migrated, and one whose past migrations are not those
// of this release.
func Open(ctx context.Context, o Options) (*Store, error) {
	const op = "store.Open"
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("no clock")}
	}
	e, write, read, err := connect(o.URL)
	if err != nil {
		return nil, fail(op, err)
	}
	s := &Store{
		reader: reader{q: &readers{DB: read, keep: e == onSQLite}}, o: o, engine: e, write: write, read: read,
		queue: make(chan *job, maxBatch), closed: make(chan struct{}),
	}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(fail(op, err), write.Close(), read.Close())
	}
	return s, nil
}

func (s *Store) begin(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	opened := time.Since(processStart)
	size, err := s.size(ctx)
	if err != nil {
		return err
	}
	s.feed.next = size
	s.feed.looked(opened)
	if err := s.openHeads(ctx); err != nil {
		return err
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.work.Add(2)
	go s.writer()
	go s.watcher()
	return nil
}

// Close finishes the writes that were accepted, then closes the database.
// Writes that come later are refused with [parvis.CodeUnavailable].
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		s.drain.Lock()
		close(s.closed)
		s.drain.Unlock()
		s.work.Wait()
		s.cancel()
		s.fileHead()
		s.dropConn()
		err = errors.Join(s.write.Close(), s.read.Close())
	})
	return fail("store.Close", err)
}

// Ready tells whether the store can serve: it reads, it follows what other
// processes commit, and the audit trail accepts records. It is for a readiness
// probe; the error says why not.
func (s *Store) Ready(ctx context.Context) error {
	const op = "store.Ready"
	if _, err := s.size(ctx); err != nil {
		return fail(op, err)
	}
	if !s.Current() {
		return &parvis.Error{Code: parvis.CodeUnavailable, Op: op, Err: errors.New("events of other processes are not seen")}
	}
	return nil
}

// querier is what a connection pool and a running transaction have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// reader has every reading method. It is embedded in [Store], where it sees
// what is committed, and in [Tx], where it also sees the transaction's own
// changes.
type reader struct{ q querier }

// one runs a query for one row; [parvis.CodeNotFound] when there is none.
func one[T any](ctx context.Context, r reader, op string, scan func(func(...any) error) (T, error), query string, args ...any) (T, error) {
	v, err := scan(r.q.QueryRowContext(ctx, query, args...).Scan)
	return v, fail(op, err)
}

// many runs a query for any number of rows.
func many[T any](ctx context.Context, r reader, op string, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := r.each(ctx, query, args, func(row func(...any) error) error {
		v, err := scan(row)
		all = append(all, v)
		return err
	})
	if err != nil {
		return nil, fail(op, err)
	}
	return all, nil
}

// each runs a query and hands the rows to f one by one.
func (r reader) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	rows, err := r.q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what matters
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// micros gives t as it is kept: microseconds since 1970, 0 when unset.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// timeOf reads back what micros wrote.
func timeOf(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// The data directory and the database are their owner's alone.
const (
	dirMode  os.FileMode = 0o700
	fileMode os.FileMode = 0o600
)

// dropConn throws the writer's connection away.
func (s *Store) dropConn() {
	if s.conn == nil {
		return
	}
	// ErrBadConn takes it out of the pool whatever state it is in.
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
	s.conn = nil
}
