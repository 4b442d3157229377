package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"parvis"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema for one engine.
type migration struct {
	version int64
	name    string
	text    string
	sum     string
}

// migrations lists the steps for an engine, in order.
func (e engine) migrations() ([]migration, error) {
	entries, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, entry := range entries { // in the order of names, which is that of versions
		name, ok := strings.CutSuffix(entry.Name(), "."+string(e)+".sql")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, err
		}
		text, err := migrationFiles.ReadFile("migrations/" + entry.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{version, name, string(text), hex.EncodeToString(sum[:])})
	}
	return all, nil
}

// Schema is the number of the last migration of this release.
func Schema() (int, error) {
	all, err := onSQLite.migrations()
	if err != nil || len(all) == 0 {
		return 0, fail("store.Schema", err)
	}
	return int(all[len(all)-1].version), nil
}

// migrate brings the tables up to date. When they are, which is nearly
// always, that costs two queries.
func (s *Store) migrate(ctx context.Context) error {
	want, err := s.engine.migrations()
	if err != nil {
		return err
	}
	return s.migrateTo(ctx, want)
}

func (s *Store) migrateTo(ctx context.Context, want []migration) error {
	if s.engine == onSQLite {
		// Also for the first look: while one connection turns a new file
		// to WAL, others are refused without waiting.
		unlock, err := lockFile(strings.TrimPrefix(s.o.URL, "sqlite:") + ".lock")
		if err != nil {
			return err
		}
		defer unlock()
	}
	missing, err := s.engine.missing(ctx, s.write, want)
	for began := time.Now(); s.engine == onSQLite && err != nil && again(err) && time.Since(began) < retryFor; {
		time.Sleep(pollEvery / 10)
		missing, err = s.engine.missing(ctx, s.write, want)
	}
	if err != nil || missing == 0 {
		return err
	}
	options := []goose.ProviderOption{
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()), goose.WithTableName("migration"),
	}
	dialect := goose.DialectSQLite3
	if s.engine == onPostgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	var steps []*goose.Migration
	for _, m := range want {
		steps = append(steps, goose.NewGoMigration(m.version, &goose.GoFunc{RunTx: s.engine.step(m)}, nil))
	}
	options = append(options, goose.WithGoMigrations(steps...))
	provider, err := goose.NewProvider(dialect, s.write, nil, options...)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	missing, err = s.engine.missing(ctx, s.write, want)
	if err == nil && missing > 0 {
		err = fmt.Errorf("%d migrations did not run", missing)
	}
	return err
}

// step runs one migration and keeps its checksum in the same transaction.
func (e engine) step(m migration) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		if err := e.script(ctx, tx, m.text); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO migration_checksum (version, name, sum) VALUES ($1, $2, $3)", m.version, m.name, m.sum)
		return err
	}
}

// missing tells how many migrations have yet to run, and refuses a database
// whose past is not the beginning of ours.
func (e engine) missing(ctx context.Context, q querier, want []migration) (int, error) {
	there, err := e.hasTable(ctx, q, "migration_checksum")
	if err != nil || !there {
		return len(want), err
	}
	i := 0
	err = reader{q: q}.each(ctx, "SELECT version, name, sum FROM migration_checksum ORDER BY version", nil, func(scan func(...any) error) error {
		var had migration
		if err := scan(&had.version, &had.name, &had.sum); err != nil {
			return err
		}
		switch {
		case i == len(want):
			return refuse("the database has migration %s, which this release does not know: it was used by a newer one", had.name)
		case want[i].version != had.version:
			return refuse("the database has migration %s where this release has %s", had.name, want[i].name)
		case want[i].sum != had.sum:
			return refuse("migration %s ran with another text than that of this release", had.name)
		}
		i++
		return nil
	})
	return len(want) - i, err
}

func refuse(format string, args ...any) error {
	return &parvis.Error{Code: parvis.CodeConflict, Op: "store.Open", Err: fmt.Errorf(format, args...)}
}

// lockFile holds a file for this process, waiting for whoever has it.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // closing gives the lock back
}
