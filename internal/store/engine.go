package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"parvis"
)

// engine is which of the two databases this is. The few statements that
// differ are here and in the migrations, nowhere else.
type engine string

const (
	onSQLite   engine = "sqlite"
	onPostgres engine = "postgres"
)

// connect opens the two pools of a database: the writer's one connection, and
// the readers', which the engine itself keeps from writing.
func connect(address string) (engine, *sql.DB, *sql.DB, error) {
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		write, read, err := openSQLite(path)
		return onSQLite, write, read, err
	}
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		write, read, err := openPostgres(address)
		return onPostgres, write, read, err
	}
	return "", nil, nil, invalid("store.Open", errors.New(`a database is "sqlite:/path/file.db" or "postgres://…"`))
}

func openSQLite(path string) (write, read *sql.DB, err error) {
	if path == "" || strings.HasPrefix(path, ":") {
		return nil, nil, invalid("store.Open", errors.New("a SQLite database needs a file"))
	}
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return nil, nil, err
	}
	// Created here, so that it is never readable by others, even for a
	// moment; SQLite gives its side files the same mode.
	// One that is there must not be opened, though: closing it again would
	// drop the locks that SQLite holds on it in this process (POSIX fcntl).
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, nil, err
	}
	pragmas := []string{
		"busy_timeout(5000)",
		"foreign_keys(1)",
		"trusted_schema(0)",
		"temp_store(memory)",
	}
	name := func(more ...string) string {
		v := url.Values{"_pragma": append(pragmas, more...)}
		return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: v.Encode()}).String()
	}
	// FULL: in WAL mode nothing less survives a power cut (security.md 2.1).
	// 32 MB of pages, for the writer alone: with a million grants the tops of
	// all indexes stay in memory, and a batch is not written twice.
	write, err = sql.Open("sqlite", name("journal_mode(wal)", "synchronous(full)", "journal_size_limit(67108864)", "cache_size(-32768)"))
	if err != nil {
		return nil, nil, err
	}
	read, err = sql.Open("sqlite", name("query_only(1)"))
	if err != nil {
		return nil, nil, errors.Join(err, write.Close())
	}
	write.SetMaxOpenConns(1)
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return write, read, nil
}

func openPostgres(address string) (write, read *sql.DB, err error) {
	open := func(more map[string]string, conns int) (*sql.DB, error) {
		// The parse error may quote the address, password and all.
		c, err := pgx.ParseConfig(address)
		if err != nil {
			return nil, invalid("store.Open", errors.New("the postgres address cannot be understood"))
		}
		if c.ConnectTimeout == 0 {
			c.ConnectTimeout = 3 * time.Second
		}
		if c.RuntimeParams["application_name"] == "" {
			c.RuntimeParams["application_name"] = "parvis"
		}
		for k, v := range more {
			c.RuntimeParams[k] = v
		}
		db := stdlib.OpenDB(*c)
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		return db, nil
	}
	// A replica that stops in the middle must not hold the others for ever.
	write, err = open(map[string]string{"lock_timeout": "3000", "idle_in_transaction_session_timeout": "15000"}, 1)
	if err != nil {
		return nil, nil, err
	}
	read, err = open(map[string]string{"default_transaction_read_only": "on", "statement_timeout": "60000"}, max(8, 4*runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, nil, errors.Join(err, write.Close())
	}
	return write, read, nil
}

// begin starts the one transaction at a time. On PostgreSQL the lock comes
// before the first read, which is what fixes the snapshot, so a transaction
// always sees everything that was committed before it.
func (e engine) begin(ctx context.Context, c *sql.Conn) error {
	if e == onSQLite {
		_, err := c.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	}
	_, err := c.ExecContext(ctx, "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE audit_head IN EXCLUSIVE MODE",
		pgx.QueryExecModeSimpleProtocol)
	return err
}

// script runs several statements at once.
func (e engine) script(ctx context.Context, tx *sql.Tx, text string) error {
	var args []any
	if e == onPostgres {
		args = []any{pgx.QueryExecModeSimpleProtocol}
	}
	_, err := tx.ExecContext(ctx, text, args...)
	return err
}

// snapshot starts a transaction in which every read sees the same moment.
func (e engine) snapshot() *sql.TxOptions {
	if e == onSQLite {
		return nil // a deferred transaction in WAL mode is one
	}
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// hasTable asks whether a table exists.
func (e engine) hasTable(ctx context.Context, q querier, name string) (bool, error) {
	query := "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1"
	if e == onPostgres {
		query = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"
	}
	var n int
	err := q.QueryRowContext(ctx, query, name).Scan(&n)
	return n > 0, err
}

// isUnique tells whether err says that a value which must be unique is taken.
func isUnique(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

// again tells whether the same transaction may well succeed if run once more,
// knowing that nothing of it was committed.
func again(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code()&0xff == sqlite3.SQLITE_BUSY || lite.Code()&0xff == sqlite3.SQLITE_LOCKED
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01", "55P03": // serialisation, deadlock, lock timeout
			return true
		}
		// 08 connection, 57P shutdown or start-up, 25P03 idle for too long
		if strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P") || pg.Code == "25P03" {
			return true
		}
	}
	return lostConn(err)
}

// lostConn tells whether err says that the connection is gone, or leads to a
// server that is no longer the one to write to.
func lostConn(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false // the caller's own limit, which also is a net.Error
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "25006"
	}
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.As(err, &network) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// refused tells whether the server itself answered that it did not commit. A
// fatal answer does not say so: the connection ended during the commit.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Severity == "ERROR" || pgconn.SafeToRetry(err)
}

// unavailable tells whether err is the fault of what is below: a full or
// broken disk, a server that does not answer or refuses to write.
func unavailable(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
			sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB,
			sqlite3.SQLITE_INTERRUPT:
			return true
		}
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_TRIGGER
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:min(2, len(pg.Code))] {
		case "08", "28", "3D", "40", "53", "55", "57", "58", "P0", "XX":
			return true
		}
		return pg.Code == "25006" || pg.Code == "25P03"
	}
	var file *fs.PathError
	return lostConn(err) || errors.As(err, &file) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fail gives err the code that the rest of the house understands. An error
// that has one keeps it.
func fail(op string, err error) error {
	var known *parvis.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, sql.ErrNoRows):
		return &parvis.Error{Code: parvis.CodeNotFound, Op: op, Err: err}
	case isUnique(err):
		return &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: err}
	case unavailable(err):
		return &parvis.Error{Code: parvis.CodeUnavailable, Op: op, Err: err}
	}
	return &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
}

func invalid(op string, err error) error {
	return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
}

func internalf(op, format string, args ...any) error {
	return &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: fmt.Errorf(format, args...)}
}
