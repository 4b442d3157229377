package session

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store/storetest"
)

// The attack: keep the events of a session's end from a process, and go on.
func TestUnseenEventsCloseMemory(t *testing.T) {
	t.Parallel()
	clock := new(storetest.Clock)
	file := filepath.Join(t.TempDir(), "parvis.db")
	k := keeper(t, storetest.Open(t, "sqlite:"+file, clock), clock, keys(t))
	k.Log = nil
	b, s := begin(t, k, parvis.Internal, "A100001")
	visit := enter(t, k, b, s, "paie")
	of, at := b.get("http://"+plainPortal+"/"), visit.get("http://paie."+plainPortal+"/")
	v, err := k.At(at, "paie")
	if err != nil {
		t.Fatal(err)
	}
	look := func(want parvis.Code) {
		t.Helper()
		_, err1 := k.Of(of)
		_, err2 := k.At(at, "paie")
		_, err3 := k.Still(context.Background(), v, "paie")
		_, err4 := k.Live(context.Background(), s.ID)
		_, ok := k.Session(context.Background(), s.ID)
		for i, err := range []error{err1, err2, err3, err4} {
			if parvis.CodeOf(err) != want {
				t.Errorf("question %d: %v, want code %q", i+1, err, want)
			}
		}
		if ok != (want == "") || k.Gone(of) != "" {
			t.Errorf("by its name %v, gone for %q", ok, k.Gone(of))
		}
	}
	rename := func(from, to string) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(context.Background(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	until := func(current bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); k.Store.Current() != current; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("current is not %v after a minute", current)
			}
		}
	}
	look("")
	rename("event", "hidden")
	until(false)
	look(parvis.CodeUnavailable)
	rename("hidden", "event")
	until(true)
	look("")
}
