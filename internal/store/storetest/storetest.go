// Package storetest gives tests a store, over both engines.
//
// SQLite needs nothing. PostgreSQL is found through PARVIS_TEST_POSTGRES (the
// script scripts/postgres starts one and prints its address); each test has a
// schema of its own there, dropped at its end. When no PostgreSQL is named the
// tests over it fail, so that nothing is skipped unseen, unless
// PARVIS_TEST_ENGINES=sqlite says that this is meant.
package storetest

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"parvis/internal/store"
)

// start is what a new [Clock] shows: a Monday, 09:00 UTC.
func start() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

// Clock is a clock that moves when told to.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is what the clock shows: 2 March 2026, a Monday, 09:00 UTC at first.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now.IsZero() {
		c.now = start()
	}
	return c.now
}

// Move moves the clock, backwards too.
func (c *Clock) Move(d time.Duration) {
	now := c.Now()
	c.Set(now.Add(d))
}

// Set sets the clock.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// Each runs f over each engine, with a new store and clock.
func Each(t *testing.T, f func(t *testing.T, s *store.Store, clock *Clock)) {
	t.Helper()
	EachURL(t, func(t *testing.T, address string) {
		clock := new(Clock)
		f(t, Open(t, address, clock), clock)
	})
}

// EachURL runs f over each engine, with the address of a new, empty database.
func EachURL(t *testing.T, f func(t *testing.T, address string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		f(t, "sqlite:"+filepath.Join(t.TempDir(), "parvis.db"))
	})
	if os.Getenv("PARVIS_TEST_ENGINES") == "sqlite" {
		return
	}
	t.Run("postgres", func(t *testing.T) { f(t, schema(t)) })
}

// Open opens a store for the length of the test. What it logs as an error
// shows in the test's output.
func Open(t testing.TB, address string, clock *Clock) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{URL: address, Clock: clock.Now, Log: Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Logger logs warnings and errors to the test.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// schema makes a schema and gives the address that leads to it.
func schema(t *testing.T) string {
	t.Helper()
	base := os.Getenv("PARVIS_TEST_POSTGRES")
	if base == "" {
		t.Fatal("PARVIS_TEST_POSTGRES is not set: start one with scripts/postgres, or set PARVIS_TEST_ENGINES=sqlite to do without")
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal("PARVIS_TEST_POSTGRES is not an address")
	}
	db, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := db.ExecContext(ctx, "DROP SCHEMA "+name+" CASCADE")
		if err := cmp.Or(err, db.Close()); err != nil {
			t.Error(err)
		}
	})
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}
