package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	clock := new(storetest.Clock).Now
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(strings.Repeat("this is not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		o    store.Options
		want parvis.Code
	}{
		{"no address", store.Options{Clock: clock}, parvis.CodeInvalid},
		{"another engine", store.Options{URL: "mysql://h/d", Clock: clock}, parvis.CodeInvalid},
		{"no file", store.Options{URL: "sqlite:", Clock: clock}, parvis.CodeInvalid},
		{"memory", store.Options{URL: "sqlite::memory:", Clock: clock}, parvis.CodeInvalid},
		{"no clock", store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db")}, parvis.CodeInvalid},
		{"not a database", store.Options{URL: "sqlite:" + file, Clock: clock}, parvis.CodeUnavailable},
		{"a directory that is a file", store.Options{URL: "sqlite:" + file + "/x.db", Clock: clock}, parvis.CodeUnavailable},
		{"a bad postgres address", store.Options{URL: "postgres://u:hunter2@h:port/d", Clock: clock}, parvis.CodeInvalid},
		{"nobody answers", store.Options{URL: "postgres://u:hunter2@127.0.0.1:1/d", Clock: clock}, parvis.CodeUnavailable},
		{"no place for heads", store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db"), Clock: clock, HeadFile: file + "/heads"}, parvis.CodeUnavailable},
	}
	for _, tt := range tests {
		s, err := store.Open(context.Background(), tt.o)
		if parvis.CodeOf(err) != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
		if err == nil {
			_ = s.Close()
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the password", tt.name)
		}
	}
}

func TestFilesAreTheirOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b%c?d", "data")
	s := storetest.Open(t, "sqlite:"+filepath.Join(dir, "parvis.db"), new(storetest.Clock))
	write(t, s, func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "k"}); return nil })
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("%v, %v; want the database and its side files", entries, err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v", info.Mode(), err)
	}
}

func TestThePastOfADatabaseMustBeOurs(t *testing.T) {
	tests := []struct {
		name, tamper, says string
	}{
		{"a changed migration", "UPDATE migration_checksum SET sum = 'other' WHERE version = 1", "another text"},
		{"a migration this release lost", "UPDATE migration_checksum SET version = 0, name = '0000_lost' WHERE version = 1", "0000_lost"},
		{"a newer release", "INSERT INTO migration_checksum (version, name, sum) VALUES (9999, '9999_future', 'x')", "newer"},
	}
	storetest.EachURL(t, func(t *testing.T, address string) {
		if err := storetest.Open(t, address, new(storetest.Clock)).Close(); err != nil {
			t.Fatal(err)
		}
		db := by(t, address)
		run(t, db, "CREATE TABLE safe AS SELECT * FROM migration_checksum")
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				run(t, db, tt.tamper)
				s, err := store.Open(context.Background(), store.Options{URL: address, Clock: new(storetest.Clock).Now})
				if parvis.CodeOf(err) != parvis.CodeConflict || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want a refusal that says %q", err, tt.says)
				}
				if err == nil {
					_ = s.Close()
				}
				run(t, db, "DELETE FROM migration_checksum", "INSERT INTO migration_checksum SELECT * FROM safe")
			})
		}
		if err := storetest.Open(t, address, new(storetest.Clock)).Ready(context.Background()); err != nil {
			t.Errorf("untouched again, it is refused: %v", err)
		}
	})
}

// Replicas start together on an empty database.
func TestManyOpenANewDatabaseAtOnce(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		stores := make([]*store.Store, 4)
		var all sync.WaitGroup
		for i := range stores {
			all.Go(func() {
				var err error
				stores[i], err = store.Open(context.Background(), store.Options{URL: address, Clock: new(storetest.Clock).Now, Log: storetest.Logger(t)})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, s := range stores {
			if s == nil {
				continue
			}
			write(t, s, func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "k"}); return nil })
		}
		for i, s := range stores {
			if s == nil {
				continue
			}
			if i == 0 {
				whole(t, s, int64(len(stores)))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAClosedStoreSaysSo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, _ *storetest.Clock) {
		ctx := context.Background()
		if err := s.Ready(ctx); err != nil {
			t.Errorf("not ready: %v", err)
		}
		// What was accepted is finished; what comes later is refused.
		var all sync.WaitGroup
		answers := make([]error, 50)
		for i := range answers {
			all.Go(func() {
				answers[i] = s.Write(ctx, func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "k"}); return nil })
			})
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
		for _, err := range answers {
			if err != nil && parvis.CodeOf(err) != parvis.CodeUnavailable {
				t.Errorf("got %v, want nothing or unavailable", err)
			}
		}
		ran := false
		err := s.Write(ctx, func(*store.Tx) error { ran = true; return nil })
		if parvis.CodeOf(err) != parvis.CodeUnavailable || ran {
			t.Errorf("after the close: got %v, ran %v", err, ran)
		}
		if s.Ready(ctx) == nil {
			t.Error("a closed store is ready")
		}
		gone, leave := context.WithCancel(ctx)
		leave()
		if err := s.Write(gone, func(*store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who is gone: got %v", err)
		}
	})
}

func TestErrorsHaveTheirCode(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		ctx := context.Background()
		s := storetest.Open(t, address, new(storetest.Clock))
		run(t, by(t, address), thing)
		write(t, s, putThing("a"))
		if err := s.Write(ctx, putThing("a")); parvis.CodeOf(err) != parvis.CodeConflict {
			t.Errorf("a value that is taken: got %v", err)
		}
		_, err := s.QueryInt(ctx, "SELECT v FROM thing WHERE k = 'b'")
		if parvis.CodeOf(err) != parvis.CodeNotFound || !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("nothing there: got %v", err)
		}
		if _, err := s.QueryInt(ctx, "SELECT v FROM nothing"); parvis.CodeOf(err) != parvis.CodeInternal {
			t.Errorf("a fault of ours: got %v", err)
		}
		gone, leave := context.WithCancel(ctx)
		leave()
		if _, err := s.QueryInt(gone, "SELECT v FROM thing"); parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Errorf("a caller who is gone: got %v", err)
		}
		mine := &parvis.Error{Code: parvis.CodeLimited, Op: "test", Err: errors.New("x")}
		if err := s.Write(ctx, func(*store.Tx) error { return mine }); !errors.Is(err, mine) {
			t.Errorf("an error that has a code: got %v", err)
		}
	})
}
