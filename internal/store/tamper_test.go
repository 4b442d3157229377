package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"parvis"
	"parvis/internal/audit"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// found is a fault and where it lies.
type found struct {
	Fault       audit.Fault
	First, Last int64
}

type tampering struct {
	name   string
	tamper func(t *testing.T, db *sql.DB)
	want   found
}

func tamperings() []tampering {
	return []tampering{
		{"nothing done", func(*testing.T, *sql.DB) {}, found{}},
		{"a record edited", sqls("UPDATE event SET actor = 'somebody' WHERE seq = 5"), found{audit.Changed, 5, 5}},
		{"a moment edited", sqls("UPDATE event SET at = at + 1 WHERE seq = 0"), found{audit.Changed, 0, 0}},
		{"a detail made unreadable", sqls("UPDATE event SET detail = 'x', reasons = 'y' WHERE seq = 3"), found{audit.Changed, 3, 3}},
		{"edited, and every hash made again", func(t *testing.T, db *sql.DB) {
			run(t, db, "UPDATE event SET actor = 'somebody' WHERE seq = 5")
			rebuild(t, db, 0)
		}, found{audit.Changed, 0, 9}},
		{"edited, and the head too", func(t *testing.T, db *sql.DB) {
			run(t, db, "UPDATE event SET actor = 'somebody' WHERE seq = 12")
			rebuild(t, db, 20)
		}, found{audit.Changed, 10, 19}},
		{"a record deleted", sqls("DELETE FROM event WHERE seq = 7"), found{audit.Removed, 7, 7}},
		{"deleted, the others renumbered", sqls(
			"DELETE FROM event WHERE seq = 7", "UPDATE event SET seq = -seq WHERE seq > 7", "UPDATE event SET seq = -seq - 1 WHERE seq < 0",
		), found{audit.Removed, 7, 7}},
		{"two exchanged", sqls(
			"UPDATE event SET seq = -1 WHERE seq = 4", "UPDATE event SET seq = 4 WHERE seq = 9", "UPDATE event SET seq = 9 WHERE seq = -1",
		), found{audit.Reordered, 4, 4}},
		{"the last ones deleted", sqls("DELETE FROM event WHERE seq >= 17"), found{audit.Truncated, 17, 19}},
		{"the last ones deleted, hashes too", sqls(
			"DELETE FROM event WHERE seq >= 17", fmt.Sprintf("DELETE FROM audit_hash WHERE idx >= %d", tlog.StoredHashCount(17)),
		), found{audit.Truncated, 17, 19}},
		{"an old head put back", sqls("UPDATE audit_head SET size = (SELECT size FROM old_head), root = (SELECT root FROM old_head), note = (SELECT note FROM old_head)"), found{audit.Added, 10, 19}},
		{"the head deleted", sqls("DELETE FROM audit_head"), found{audit.Added, 0, 19}},
		{"the whole database of an earlier day", sqls(
			"UPDATE audit_head SET size = (SELECT size FROM old_head), root = (SELECT root FROM old_head), note = (SELECT note FROM old_head)",
			"DELETE FROM event WHERE seq >= 10", fmt.Sprintf("DELETE FROM audit_hash WHERE idx >= %d", tlog.StoredHashCount(10)),
		), found{audit.Truncated, 10, 19}},
		{"everything deleted", sqls("DELETE FROM event", "DELETE FROM audit_hash", "UPDATE audit_head SET size = 0, note = ''"), found{audit.Truncated, 0, 19}},
		{"a hash spoilt", sqls("UPDATE audit_hash SET hash = (SELECT hash FROM audit_hash WHERE idx = 0) WHERE idx = 3"), found{audit.HashFault, 2, 2}},
		{"a head signed by another", func(t *testing.T, db *sql.DB) { rebuild(t, db, 20) }, found{audit.HeadFault, 20, 20}},
	}
}

// somebody with the database, and with this program, but without the key.
//
//  1. They edit, delete, exchange or cut off records.
//  2. They make the hashes fit, as this program would.
//  3. They put back a head, or a whole database, of an earlier day.
//
// The verification names the first bad record and what was done.
func TestTamperingIsNamed(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		ctx := context.Background()
		heads, file := notary(t), headFile(t)
		db := by(t, address)
		agents := 0 // no two records alike
		fill := func() {
			s := open(t, address, heads, file)
			for range 10 {
				agents++
				write(t, s, func(tx *store.Tx) error {
					tx.Record(parvis.Event{Kind: "k", Agent: parvis.AgentNumber(fmt.Sprint("A", agents)), Reasons: []parvis.ReasonCode{"offline"}, Detail: map[string]string{"a": "b"}})
					return nil
				})
			}
			if err := s.Close(); err != nil { // files the head
				t.Fatal(err)
			}
		}
		fill()
		run(t, db, "CREATE TABLE old_head AS SELECT size, root, note FROM audit_head")
		fill()
		tables := []string{"event", "audit_hash", "audit_head"}
		for _, table := range tables {
			run(t, db, "CREATE TABLE safe_"+table+" AS SELECT * FROM "+table)
		}
		for _, tt := range tamperings() {
			t.Run(tt.name, func(t *testing.T) {
				defer func() {
					for _, table := range tables {
						run(t, db, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM safe_"+table)
					}
				}()
				tt.tamper(t, db)
				s, err := store.Open(ctx, store.Options{URL: address, Clock: new(storetest.Clock).Now, Heads: heads, HeadFile: file})
				if tt.name == "the head deleted" {
					if err == nil {
						t.Error("a database without its head was opened")
					}
					run(t, db, "INSERT INTO audit_head (id, size, root, note) SELECT 1, 0, root, '' FROM old_head")
					s, err = store.Open(ctx, store.Options{URL: address, Clock: new(storetest.Clock).Now, Heads: heads, HeadFile: file})
				}
				if err != nil {
					t.Fatal(err)
				}
				r, err := s.VerifyAudit(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, found{r.Fault, r.First, r.Last}); diff != "" {
					t.Errorf("(-want +got):\n%s%s", diff, r.Detail)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

func sqls(statements ...string) func(*testing.T, *sql.DB) {
	return func(t *testing.T, db *sql.DB) { run(t, db, statements...) }
}

// open opens a store that the test closes itself.
func open(t *testing.T, address string, heads audit.Notary, file string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{
		URL: address, Clock: new(storetest.Clock).Now, Heads: heads, HeadFile: file, Log: storetest.Logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rebuild makes the hashes of the records as they stand, and, for a size, a
// head over them signed with a key of its own.
func rebuild(t *testing.T, db *sql.DB, size int64) {
	t.Helper()
	ctx := context.Background()
	var log audit.Log
	var hashes []tlog.Hash
	rows, err := db.QueryContext(ctx, "SELECT seq, actor, agent, at FROM event ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		e := parvis.Event{Kind: "k", Reasons: []parvis.ReasonCode{"offline"}, Detail: map[string]string{"a": "b"}}
		var at int64
		if err := rows.Scan(&e.Seq, &e.Actor, &e.Agent, &at); err != nil {
			t.Fatal(err)
		}
		e.At = new(storetest.Clock).Now()
		hashes = append(hashes, log.Append(audit.Canonical(e))...)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for i, h := range hashes {
		if _, err := db.ExecContext(ctx, "UPDATE audit_hash SET hash = $1 WHERE idx = $2", h[:], i); err != nil {
			t.Fatal(err)
		}
	}
	if size == 0 {
		return
	}
	root := log.Root()
	signed, err := notary(t).Sign(audit.Head{Size: size, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "UPDATE audit_head SET size = $1, root = $2, note = $3", size, root[:], signed); err != nil {
		t.Fatal(err)
	}
}

// Nothing is built, and signed, on a trail that somebody else put there.
func TestATamperedTrailIsNotContinued(t *testing.T) {
	tests := []struct {
		name   string
		tamper func(*testing.T, *sql.DB)
	}{
		{"the edge of the tree changed", sqls("UPDATE audit_hash SET hash = (SELECT hash FROM audit_hash WHERE idx = 0) WHERE idx = (SELECT max(idx) FROM audit_hash)")},
		{"the edge of the tree deleted", sqls("DELETE FROM audit_hash WHERE idx = (SELECT max(idx) FROM audit_hash)")},
		{"another size", sqls("UPDATE audit_head SET size = 2")},
		{"another root", sqls("UPDATE audit_head SET root = (SELECT hash FROM audit_hash WHERE idx = 0)")},
		{"no signature", sqls("UPDATE audit_head SET note = ''")},
	}
	storetest.EachURL(t, func(t *testing.T, address string) {
		heads := notary(t)
		db := by(t, address)
		s := open(t, address, heads, "")
		for range 3 {
			write(t, s, func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "k"}); return nil })
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"audit_hash", "audit_head"} {
			run(t, db, "CREATE TABLE safe_"+table+" AS SELECT * FROM "+table)
		}
		refused := func(t *testing.T, s *store.Store) {
			t.Helper()
			err := s.Write(context.Background(), func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "k"}); return nil })
			if parvis.CodeOf(err) != parvis.CodeUnavailable || !strings.Contains(err.Error(), "audit verify") {
				t.Errorf("got %v, want unavailable and what to do", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		quiet := func(t *testing.T, heads audit.Notary) *store.Store {
			t.Helper()
			s, err := store.Open(context.Background(), store.Options{URL: address, Clock: new(storetest.Clock).Now, Heads: heads})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				tt.tamper(t, db)
				refused(t, quiet(t, heads))
				for _, table := range []string{"audit_hash", "audit_head"} {
					run(t, db, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM safe_"+table)
				}
			})
		}
		t.Run("another key", func(t *testing.T) { refused(t, quiet(t, notary(t))) })
		t.Run("no key", func(t *testing.T) { refused(t, quiet(t, audit.Notary{})) })
		t.Run("gone back under a running store", func(t *testing.T) {
			s := quiet(t, heads)
			write(t, s, func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "k"}); return nil })
			run(t, db, "DELETE FROM audit_head", "INSERT INTO audit_head SELECT * FROM safe_audit_head")
			refused(t, s)
		})
	})
}

func TestHeadsAreKeptOutsideTheDatabase(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		heads, file := notary(t), headFile(t)
		kept := func() []int64 {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var sizes []int64
			for line := range strings.Lines(string(text)) {
				if line, whole := strings.CutSuffix(line, ".\n"); whole {
					head, err := heads.Open(strings.ReplaceAll(line, "|", "\n"))
					if err != nil {
						t.Errorf("%q: %v", line, err)
					}
					sizes = append(sizes, head.Size)
				}
			}
			return sizes
		}
		record := func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "k"}); return nil }
		s := open(t, address, heads, file)
		write(t, s, record)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int64{1}, kept()); diff != "" {
			t.Errorf("at the close (-want +got):\n%s", diff)
		}
		// A crash in the middle of a line spoils that line alone.
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("\nparvis audit|9|"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, address, heads, "") // one that keeps nothing …
		write(t, s, record)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, address, heads, file) // … is caught up with at the start
		if diff := cmp.Diff([]int64{1, 2}, kept()); diff != "" {
			t.Errorf("at the start (-want +got):\n%s", diff)
		}
		r, err := s.VerifyAudit(context.Background())
		if err != nil || r.Fault != audit.Whole || r.Heads != 3 {
			t.Errorf("%+v, %v; want whole, with 3 heads", r, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int64{1, 2}, kept()); diff != "" {
			t.Errorf("nothing new (-want +got):\n%s", diff)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
		}
	})
}
