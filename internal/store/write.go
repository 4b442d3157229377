package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"parvis"
	"parvis/internal/audit"
)

// ErrUnrecorded refuses a transaction that changed something and recorded no
// event (product rule 9). It is a fault of the caller's code.
var ErrUnrecorded = errors.New("a change without its event")

const (
	maxBatch   = 64              // closures in one commit
	retryFor   = 3 * time.Second // how long a commit is tried again: a visitor waits no longer
	retryPause = 5 * time.Millisecond
)

// Tx is a transaction inside [Store.Write]. It belongs to one goroutine and
// must not be kept.
type Tx struct {
	reader
	now     time.Time
	events  []parvis.Event
	changed bool
}

// Now is the moment of the transaction: read once, UTC, to the microsecond.
func (tx *Tx) Now() time.Time { return tx.now }

// Record adds an event to the trail. Seq and At are set when it is written.
// Detail must hold no secret.
func (tx *Tx) Record(e parvis.Event) {
	e.At = tx.now
	tx.events = append(tx.events, audit.Clean(e))
}

// exec runs a statement that changes rows and tells how many it changed.
func (tx *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fail("store.exec", err)
	}
	result, err := tx.q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fail("store.exec", err)
	}
	n, err := result.RowsAffected()
	return n, fail("store.exec", err)
}

// txQuerier runs statements on the writer's connection. The context of one
// caller must not end the transaction that others share, so it stops at the
// border (tx.exec looks at it before each change).
type txQuerier struct {
	tx   *Tx
	conn *prepared
}

func (q txQuerier) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := q.conn.ExecContext(context.WithoutCancel(ctx), query, args...)
	if err == nil {
		n, err := result.RowsAffected()
		q.tx.changed = q.tx.changed || n > 0 || err != nil
	}
	return result, err
}

func (q txQuerier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	q.tx.changed = q.tx.changed || !reads(query)
	return q.conn.QueryContext(context.WithoutCancel(ctx), query, args...)
}

func (q txQuerier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	q.tx.changed = q.tx.changed || !reads(query)
	return q.conn.QueryRowContext(context.WithoutCancel(ctx), query, args...)
}

// reads tells whether a query is a plain SELECT. Anything else that answers
// rows (INSERT … RETURNING) counts as a change, whatever it did.
func reads(query string) bool {
	return len(query) >= 6 && strings.EqualFold(strings.TrimSpace(query)[:6], "SELECT")
}

// job is one Write that waits for its turn.
type job struct {
	f     func(*Tx) error
	taken atomic.Bool // by the writer, or by the caller who gave up waiting
	turn  chan *Tx    // the writer lends the transaction …
	ran   chan error  // … and has it back with what f answered
	done  chan error
	own   error // what f answered, when it is the answer
}

// take decides, once, who answers: the writer or the caller who gave up.
func (j *job) take() bool { return j.taken.CompareAndSwap(false, true) }

// Write runs f in a transaction and commits what it did; when Write answers
// nil the change is on disk. f's error rolls back f alone and is the answer.
// Many Writes share one commit, so f must be quick: no hashing, no network, no
// waiting, no Write inside. f may run again after a conflict, so it keeps its
// effects inside tx. A panic in f is rolled back, logged, and answered as
// [parvis.CodeInternal].
//
// When ctx ends before f had its turn, f does not run. Later it is not
// interrupted. [parvis.CodeUnavailable] means that nothing was changed, unless
// errors.Is tells [ErrUnknown].
func (s *Store) Write(ctx context.Context, f func(*Tx) error) error {
	const op = "store.Write"
	j := &job{f: f, turn: make(chan *Tx), ran: make(chan error, 1), done: make(chan error, 1)}
	if err := s.hand(ctx, j); err != nil {
		return fail(op, err)
	}
	for {
		select {
		case tx := <-j.turn:
			s.run(j, tx)
		case err := <-j.done:
			return fail(op, err)
		case <-ctx.Done():
			if j.take() {
				return fail(op, ctx.Err())
			}
			ctx = context.WithoutCancel(ctx) // it has begun: wait for the answer
		}
	}
}

// hand gives a job to the writer.
func (s *Store) hand(ctx context.Context, j *job) error {
	s.drain.RLock()
	defer s.drain.RUnlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closed:
		return errClosed
	default:
	}
	select {
	case s.queue <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errClosed = &parvis.Error{Code: parvis.CodeUnavailable, Op: "store.Write", Err: errors.New("the store is closed")}

// run lets f have the transaction, in the caller's own goroutine: a panic
// there, or a test that stops there, leaves the writer untouched.
func (s *Store) run(j *job, tx *Tx) {
	err := internalf("store.Write", "the function did not return")
	defer func() {
		if v := recover(); v != nil {
			err = internalf("store.Write", "panic in a transaction")
			s.o.Log.Error("panic in a transaction", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
		j.ran <- err
	}()
	err = j.f(tx)
}

// writer is the only goroutine that begins and commits.
func (s *Store) writer() {
	defer s.work.Done()
	for {
		select {
		case j := <-s.queue:
			s.start(j)
		case <-s.closed:
			for {
				select {
				case j := <-s.queue:
					s.start(j)
				default:
					return
				}
			}
		}
	}
}

func (s *Store) start(j *job) {
	if j.take() {
		s.serve([]*job{j}, true)
	}
}

// serve commits jobs, and those that arrive meanwhile when it may grow, and
// answers every one of them.
func (s *Store) serve(jobs []*job, grow bool) {
	began := time.Now()
	pause := retryPause
	for {
		err := s.attempt(&jobs, grow)
		switch {
		case err == nil:
			for _, j := range jobs {
				j.done <- j.own
			}
			return
		case errors.Is(err, ErrUnknown):
			// Nothing more is known of any of them.
		case again(err) && time.Since(began) < retryFor:
			s.o.Log.Debug("transaction runs again", "cause", err)
			time.Sleep(pause)
			pause = min(2*pause, 250*time.Millisecond)
			grow = false
			continue
		case len(jobs) > 1 && !unavailable(err):
			// One of them spoils the commit: let each have its own.
			for _, j := range jobs {
				s.serve([]*job{j}, false)
			}
			return
		}
		s.o.Log.Error("transaction failed", "writes", len(jobs), "cause", err)
		for _, j := range jobs {
			j.done <- err
		}
		return
	}
}

// attempt runs every job in one transaction. An error concerns them all and
// says that nothing was committed, or [ErrUnknown].
func (s *Store) attempt(jobs *[]*job, grow bool) (err error) {
	ctx := s.ctx
	if s.conn == nil {
		conn, err := s.write.Conn(ctx)
		if err != nil {
			return err
		}
		s.conn = &prepared{Conn: conn, keep: s.engine == onSQLite}
	}
	b := &batch{s: s, conn: s.conn}
	if err := s.engine.begin(ctx, s.conn.Conn); err != nil {
		s.rollback(ctx, err)
		return err
	}
	if b.log, err = s.readLog(ctx); err != nil {
		s.rollback(ctx, err)
		return err
	}
	b.from = b.log.Size()
	for i := 0; i < len(*jobs); i++ {
		j := (*jobs)[i]
		if err := b.run(ctx, j); err != nil {
			s.rollback(ctx, err)
			return err
		}
		if grow && i == len(*jobs)-1 && len(*jobs) < maxBatch && len(s.queue) == 0 {
			// Whoever is about to hand something in does so now, and shares the commit:
			// on few processors the writer would otherwise hardly see two at once.
			runtime.Gosched()
		}
		for grow && i == len(*jobs)-1 && len(*jobs) < maxBatch && len(s.queue) > 0 {
			select {
			case next := <-s.queue:
				if next.take() {
					*jobs = append(*jobs, next)
				}
			default:
			}
		}
	}
	return b.commit(ctx)
}

// rollback ends a transaction of which nothing shall remain. A connection
// that cannot even do that is thrown away.
func (s *Store) rollback(ctx context.Context, cause error) {
	if s.conn == nil {
		return
	}
	if _, err := s.conn.ExecContext(ctx, "ROLLBACK"); err != nil || lostConn(cause) {
		s.dropConn()
	}
}

// batch is one transaction under way.
type batch struct {
	s      *Store
	conn   *prepared
	log    audit.Log
	from   int64 // the position of its first event
	hashes []tlog.Hash
	events []parvis.Event
}

// run gives one job its turn inside a savepoint. What the job did wrong is
// kept in the job; the error is about the transaction as a whole.
func (b *batch) run(ctx context.Context, j *job) error {
	if _, err := b.conn.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return err
	}
	tx := &Tx{now: b.s.o.Clock().UTC().Truncate(time.Microsecond)}
	tx.q = txQuerier{tx: tx, conn: b.conn}
	j.turn <- tx
	err := <-j.ran
	tx.q = nil // a Tx that was kept does nothing
	log, hashes, events := b.log, len(b.hashes), len(b.events)
	if err == nil {
		err = b.record(ctx, tx)
	}
	if err == nil {
		_, err = b.conn.ExecContext(ctx, "RELEASE SAVEPOINT one")
	}
	j.own = err
	if err == nil {
		return nil
	}
	if again(err) {
		return err
	}
	b.log, b.hashes, b.events = log, b.hashes[:hashes], b.events[:events]
	if _, broken := b.conn.ExecContext(ctx, "ROLLBACK TO SAVEPOINT one"); broken != nil {
		// The engine ended the transaction by itself, as SQLite does when
		// the disk is full. The cause is what the job saw.
		return err
	}
	_, err = b.conn.ExecContext(ctx, "RELEASE SAVEPOINT one")
	return err
}

// record writes what a transaction has to say.
func (b *batch) record(ctx context.Context, tx *Tx) error {
	if len(tx.events) == 0 {
		if tx.changed {
			return &parvis.Error{Code: parvis.CodeInternal, Op: "store.Write", Err: ErrUnrecorded}
		}
		return nil
	}
	for i := range tx.events {
		e := &tx.events[i]
		e.Seq = b.log.Size()
		b.hashes = append(b.hashes, b.log.Append(audit.Canonical(*e))...)
	}
	b.events = append(b.events, tx.events...)
	return insertEvents(ctx, b.conn, tx.events)
}

// commit writes the tree and its signed head, commits, and tells the
// followers before anybody is answered.
func (b *batch) commit(ctx context.Context) error {
	s := b.s
	var head string
	if len(b.events) > 0 {
		var err error
		head, err = b.writeHead(ctx)
		if err != nil {
			s.rollback(ctx, err)
			return err
		}
	}
	if _, err := b.conn.ExecContext(ctx, "COMMIT"); err != nil {
		if s.engine == onPostgres && !refused(err) {
			// security.md 2.1: a broken COMMIT is unknown, never failed.
			s.dropConn()
			return &parvis.Error{Code: parvis.CodeUnavailable, Op: "store.Write", Err: errors.Join(ErrUnknown, err)}
		}
		s.rollback(ctx, err)
		return err
	}
	if len(b.events) == 0 {
		return nil
	}
	s.log = b.log
	s.head.Store(&head)
	s.feed.committed(s, b.from, b.events)
	return nil
}

// ErrUnknown says that the connection broke while the commit was under way:
// the change is wholly there or wholly absent, and only reading tells which.
var ErrUnknown = errors.New("it is not known whether the change was committed")
