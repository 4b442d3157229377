package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	_ "modernc.org/sqlite"

	"parvis"
	"parvis/internal/audit"
	"parvis/internal/store"
)

// by opens the database behind the store's back, as an administrator would.
func by(t testing.TB, address string) *sql.DB {
	t.Helper()
	driver, name := "pgx", address
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, name = "sqlite", (&url.URL{Scheme: "file", Opaque: path, RawQuery: "_pragma=busy_timeout(5000)"}).String()
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func run(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// thing is a table for tests to change.
const thing = "CREATE TABLE thing (k TEXT PRIMARY KEY, v BIGINT NOT NULL)"

// put gives a closure that changes something and says so.
func putThing(k string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		if _, err := tx.Exec(context.Background(), "INSERT INTO thing (k, v) VALUES ($1, $2)", k, 1); err != nil {
			return err
		}
		tx.Record(parvis.Event{Kind: "thing.put", Detail: map[string]string{"k": k}})
		return nil
	}
}

func write(t testing.TB, s *store.Store, f func(*store.Tx) error) {
	t.Helper()
	if err := s.Write(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, s *store.Store, query string, args ...any) int64 {
	t.Helper()
	n, err := s.QueryInt(context.Background(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// whole checks that positions have no gap and that the trail verifies.
func whole(t testing.TB, s *store.Store, events int64) {
	t.Helper()
	var next int64
	err := s.EachEvent(context.Background(), 0, func(e parvis.Event) error {
		if e.Seq != next {
			t.Errorf("event %d stands at %d", e.Seq, next)
		}
		next++
		return nil
	})
	if err != nil || next != events {
		t.Errorf("%d events, want %d: %v", next, events, err)
	}
	r, err := s.VerifyAudit(context.Background())
	if err != nil || r.Fault != audit.Whole || r.Size != events {
		t.Errorf("audit trail: %+v, %v; want %d whole records", r, err, events)
	}
}

func notary(t testing.TB) audit.Notary {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Notary{Signer: signer, Verifier: verifier}
}

func headFile(t testing.TB) string { return filepath.Join(t.TempDir(), "heads") }
