package directory_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/directory"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// stops gives the keys of what stops a plan, checked against Apply's answer.
func stops(t *testing.T, d *directory.Directory, p *directory.Plan) []string {
	t.Helper()
	var keys []string
	for _, s := range p.Stops {
		keys = append(keys, s.Key)
	}
	if len(keys) > 0 {
		_, err := d.Apply(context.Background(), p, "operator:test", nil)
		var why *directory.Fault
		if parvis.CodeOf(err) != parvis.CodeRefused || !errors.As(err, &why) || why.Key != keys[0] {
			t.Errorf("a stopped plan was answered %v", err)
		}
	}
	return keys
}

func TestDifferencesAreShown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		load(t, d, staffList(3, nil))
		clock.Move(time.Hour)
		p, run := load(t, d, staffList(3, func(i int, f []string) bool {
			if i == 1 {
				f[3], f[7], f[5] = "Voirie", "anne@autre.example", "31/12/2026"
			}
			return i != 2
		}))
		if diff := cmp.Diff([]int{0, 1, 1, 0, 1, 0, 0}, counts(p)); diff != "" {
			t.Fatal(diff)
		}
		want := []directory.Difference{
			{"org_unit_path", "Eau/Études", "Voirie"},
			{"contract_end", "", "2026-12-31"},
			{"personal_email", "a…@m…", "a…@a…"},
		}
		if diff := cmp.Diff(want, p.Changes[0].Fields); diff != "" {
			t.Fatal(diff)
		}
		if run.Missing != 1 || run.Ended.IsZero() || p.Missing[0] != "A1002" {
			t.Fatalf("%+v", run)
		}
		r := agent(t, d, "A1001")
		if r.State != parvis.Active || len(r.Stays) != 2 || r.Stays[0].Unit != "Voirie" || r.Stays[1].Unit != "Eau/Études" ||
			!r.Stays[1].Until.Equal(clock.Now()) || !r.Stays[0].Until.IsZero() {
			t.Errorf("a move: %s %+v", r.State, r.Stays)
		}
		if got := r.Agent.ContractUntil; !got.Equal(time.Date(2026, 12, 31, 0, 0, 0, 0, paris(t))) || got.Location() != d.Zone {
			t.Errorf("a date is a midnight here: %v", got)
		}
		gone := agent(t, d, "A1002")
		if gone.State != parvis.Active || !gone.Agent.MissingSince.Equal(clock.Now()) {
			t.Errorf("missing: %s since %v", gone.State, gone.Agent.MissingSince)
		}
		if again := plan(t, d, staffList(2, func(i int, f []string) bool { f[3] = "Voirie"; return i == 1 })); again.StillGone != 1 || len(again.Missing) != 1 {
			t.Errorf("still gone: %+v", counts(again))
		}
		p, run = load(t, d, staffList(3, nil))
		if p.Reappeared != 1 || run.Reappeared != 1 || !agent(t, d, "A1002").Agent.MissingSince.IsZero() {
			t.Errorf("back again: %v %+v", counts(p), run)
		}
		events, err := s.Events(context.Background(), store.EventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			for k, v := range e.Detail {
				if strings.Contains(v, "anne") || strings.Contains(v, "Durand") {
					t.Errorf("the event %s tells %s=%s", e.Kind, k, v)
				}
			}
		}
		whole(t, s)
	})
}

func TestWhatTheFileDoesNotSpeakOfStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		ctx := context.Background()
		load(t, d, staffList(2, func(_ int, f []string) bool { f[8], f[9] = "CLM", "2026-01-01"; return true }))
		for _, err := range []error{
			d.SetProfiles(ctx, "A1000", []parvis.ProfileID{parvis.SocialData}, "system"),
			d.Entitle(ctx, "A1000", "finances", "system"),
			d.MarkOff(ctx, "A1000", "Voirie", "system"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		before := agent(t, d, "A1000").Agent
		p, _ := load(t, d, "Matricule,Nom,Prénom,Direction,Service,Date début contrat\nA1000,Durand,Anne-Lise,Eau,Études,01/01/2020\nA1001,Durand,Anne,Eau,Études,01/01/2020\n")
		if diff := cmp.Diff([]int{0, 1, 1, 0, 0, 0, 0}, counts(p)); diff != "" {
			t.Fatal(diff)
		}
		before.GivenNames = "Anne-Lise"
		if diff := cmp.Diff(before, agent(t, d, "A1000").Agent); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTooManyClosures(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		ending := func(n, of int) string {
			return staffList(of, func(i int, f []string) bool {
				if i < n {
					f[5] = "2026-03-01" // yesterday
				}
				return true
			})
		}
		load(t, d, staffList(100, nil))
		if keys := stops(t, d, plan(t, d, ending(2, 100))); keys != nil {
			t.Errorf("two of a hundred: %v", keys)
		}
		p := plan(t, d, ending(3, 100))
		if keys := stops(t, d, p); !cmp.Equal(keys, []string{"import.stop.closing"}) || p.Closing != 3 {
			t.Fatalf("three of a hundred: %v", keys)
		}
		if got := plan(t, d, staffList(100, nil)); len(got.Changes) != 0 {
			t.Fatalf("a refused plan changed something: %v", counts(got))
		}
		d.MaxClosing = 0.03
		if keys := stops(t, d, plan(t, d, ending(3, 100))); keys != nil {
			t.Errorf("with another limit: %v", keys)
		}
		d.MaxClosing = 0
		p.Override = directory.Override{By: "operator:anne"}
		run, err := d.Apply(context.Background(), p, "operator:test", nil)
		if err != nil || run.Override != "operator:anne" || run.Closing != 3 {
			t.Fatalf("overridden: %+v %v", run, err)
		}
		if r := agent(t, d, "A1000"); r.State != parvis.DocumentsOnly {
			t.Errorf("closed: %s", r.State)
		}
		// Who has left is not counted again, nor missed.
		if p := plan(t, d, staffList(100, func(i int, _ []string) bool { return i >= 3 })); p.Present != 97 || len(p.Missing) != 0 || p.Stops != nil {
			t.Errorf("present %d, missing %d, stops %v", p.Present, len(p.Missing), p.Stops)
		}
		if keys := stops(t, d, plan(t, d, staffList(70, func(i int, _ []string) bool { return i >= 3 }))); !cmp.Equal(keys, []string{"import.stop.missing"}) {
			t.Errorf("thirty missing: %v", keys)
		}
		if keys := stops(t, d, plan(t, d, head)); !cmp.Equal(keys, []string{"import.stop.empty", "import.stop.missing"}) {
			t.Errorf("an empty file: %v", keys)
		}
		empty := plan(t, d, head+"A1;;;;\n")
		empty.Override = directory.Override{By: "operator:anne"}
		if _, err := d.Apply(context.Background(), empty, "operator:test", nil); parvis.CodeOf(err) != parvis.CodeRefused {
			t.Errorf("a file of nothing was overridden: %v", err)
		}
	})
}

func TestAFewMayLeaveASmallTown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		load(t, d, staffList(12, nil))
		ending := func(n int) *directory.Plan {
			return plan(t, d, staffList(12, func(i int, f []string) bool {
				if i < n {
					f[5] = "2026-03-01"
				}
				return true
			}))
		}
		if keys := stops(t, d, ending(1)); keys != nil {
			t.Errorf("one: %v", keys)
		}
		if keys := stops(t, d, ending(2)); len(keys) != 1 {
			t.Errorf("two: %v", keys)
		}
		if keys := stops(t, d, plan(t, d, staffList(1, nil))); keys != nil {
			t.Errorf("eleven missing: %v", keys)
		}
	})
}

func TestMailboxesAcrossTheFileAndTheDirectory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		load(t, d, staffList(4, nil))
		// An exchange inside the file is fine.
		if p, _ := load(t, d, staffList(4, func(i int, f []string) bool {
			f[6] = []string{"a1@ville.example", "a0@ville.example", "a2@ville.example", "a3@ville.example"}[i]
			return true
		})); p.Changed != 2 || p.Rejected != 0 {
			t.Fatalf("an exchange: %v %v", counts(p), p.Faults)
		}
		// A3 (absent) keeps a3; A2 asks for it, is refused and keeps a2; so
		// A1, who asks for a2, is refused as well.
		p := plan(t, d, staffList(3, func(i int, f []string) bool {
			f[6] = []string{"a1@ville.example", "A2@ville.example", "a3@ville.example"}[i]
			return true
		}))
		want := map[int][]string{4: {"professional_email email_taken"}, 3: {"professional_email email_taken"}}
		if diff := cmp.Diff(want, found(p.Faults)); diff != "" || p.Rejected != 2 || p.Unchanged != 1 {
			t.Errorf("%s %v", diff, counts(p))
		}
	})
}

func TestAnotherImportBeganMeanwhile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		old := plan(t, d, staffList(3, nil))
		load(t, d, staffList(4, nil))
		if _, err := d.Apply(context.Background(), old, "operator:test", nil); parvis.CodeOf(err) != parvis.CodeConflict {
			t.Errorf("%v", err)
		}
		if _, err := d.Apply(context.Background(), plan(t, d, staffList(4, nil)), "", nil); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("without a name: %v", err)
		}
	})
}

func TestClosingEndsSessions(t *testing.T) {
	clock := new(storetest.Clock)
	d := open(t, storetest.Open(t, "sqlite:"+t.TempDir()+"/p.db", clock), clock)
	var told []string
	d.Shut = func(tx *store.Tx, n parvis.AgentNumber, why string) error {
		told = append(told, string(n)+" "+why)
		return nil
	}
	load(t, d, staffList(2, nil))
	load(t, d, staffList(2, func(i int, f []string) bool { f[5] = []string{"2026-03-01", ""}[i]; return true }))
	if err := d.MarkOff(context.Background(), "A1001", "", "system"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A1000 hr_file", "A1001 off"}, told); diff != "" {
		t.Error(diff)
	}
}

// Whatever was there before, a file that was applied has nothing left to do.
func TestTwiceIsOnce(t *testing.T) {
	clock := new(storetest.Clock)
	d := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	d.MaxClosing, d.MaxMissing = 1, 1
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
			pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(rt, name) }
			return strings.Join([]string{
				pick("number", "A1", "a2", "A3", "A4", ""), pick("name", "Noël", "=1+1", `"O""Neil"`, ""), "Zoë", pick("unit", "Eau", "Eau/Bureau", "Voirie > Nord"),
				pick("from", "2020-01-01", "01/02/2025", "2027-01-01", "32/01/2020"), pick("until", "", "2026-03-01", "2026-12-31", "31/12/9999"),
				pick("mail", "", "a@v.example", "b@v.example", "A@v.example"), pick("own", "", "z@maison.example"),
				pick("absence", "", "CLM", "RTT", "détachement", "décès", "grippe"), pick("since", "", "2026-01-01", "2026-06-01"),
			}, ";") + "\n"
		}), 0, 6)
		for range 3 {
			csv := head + strings.Join(list.Draw(rt, "file"), "")
			p := plan(t, d, csv)
			_, err := d.Apply(context.Background(), p, "operator:test", nil)
			if len(p.Stops) > 0 {
				continue // nothing was taken of it
			}
			if err != nil {
				rt.Fatal(err)
			}
			if again := plan(t, d, csv); len(again.Changes) != 0 || len(again.Missing) != 0 || again.Rejected != p.Rejected {
				rt.Fatalf("again: %v after %v", counts(again), counts(p))
			}
		}
	})
}

// TestKilledImport kills a process in the middle of an import, at several
// moments, and lets another finish it.
func TestKilledImport(t *testing.T) {
	const n = 1_500
	if address := os.Getenv("PARVIS_TEST_KILLED_IMPORT"); address != "" {
		clock := new(storetest.Clock)
		d := open(t, storetest.Open(t, address, clock), clock)
		csv, _ := cityFile(n, 3, ";", false)
		_, err := d.Apply(context.Background(), plan(t, d, string(csv)), "operator:test", func(done, total int) {
			fmt.Printf("done %d of %d\n", done, total)
		})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	address := "sqlite:" + filepath.Join(t.TempDir(), "p.db")
	reached := 0
	for range 2 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledImport$")
		cmd.Env = append(os.Environ(), "PARVIS_TEST_KILLED_IMPORT="+address)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for done, total := 0, 0; done < 500; {
			if _, err := fmt.Fscanf(out, "done %d of %d\n", &done, &total); err != nil {
				t.Fatalf("the importer said nothing more: %v", err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		reached += 500
	}
	clock := new(storetest.Clock)
	s := storetest.Open(t, address, clock)
	d := open(t, s, clock)
	whole(t, s)
	csv, truth := cityFile(n, 3, ";", false)
	p := plan(t, d, string(csv))
	good := truth.lines - truth.rejected()
	if p.Interrupted.IsZero() || p.Unchanged < reached || p.Created+p.Unchanged != good || p.Changed != 0 {
		t.Fatalf("after %d: %v, interrupted %v", reached, counts(p), p.Interrupted)
	}
	if _, err := d.Apply(context.Background(), p, "operator:test", nil); err != nil {
		t.Fatal(err)
	}
	if p := plan(t, d, string(csv)); p.Unchanged != good || len(p.Changes) != 0 || !p.Interrupted.IsZero() {
		t.Fatalf("in the end: %v, interrupted %v", counts(p), p.Interrupted)
	}
	whole(t, s)
}
