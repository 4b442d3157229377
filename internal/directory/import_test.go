package directory_test

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/directory"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func open(t testing.TB, s *store.Store, clock *storetest.Clock) *directory.Directory {
	t.Helper()
	return &directory.Directory{Store: s, Clock: clock.Now, Zone: paris(t)}
}

func plan(t testing.TB, d *directory.Directory, csv string) *directory.Plan {
	t.Helper()
	f, err := d.Read(strings.NewReader(csv))
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Plan(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func load(t testing.TB, d *directory.Directory, csv string) (*directory.Plan, store.Import) {
	t.Helper()
	p := plan(t, d, csv)
	run, err := d.Apply(context.Background(), p, "operator:test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, run
}

func counts(p *directory.Plan) []int {
	return []int{p.Created, p.Changed, p.Unchanged, p.Rejected, len(p.Missing), p.Reappeared, p.Closing}
}

func whole(t testing.TB, s *store.Store) {
	t.Helper()
	report, err := s.VerifyAudit(context.Background())
	if err != nil {
		t.Fatalf("the audit trail does not hold: %+v %v", report, err)
	}
}

// bigCity imports a file of n lines in one encoding, then the same people in
// the other, and checks that the report says neither more nor less than what
// is in the file.
func bigCity(t *testing.T, s *store.Store, clock *storetest.Clock, n int) {
	ctx := context.Background()
	d := open(t, s, clock)
	for round, ansi := range []bool{false, true} {
		sep := []string{";", ","}[round]
		csv, truth := cityFile(n, 7, sep, ansi)
		began := time.Now()
		f, err := d.Read(bytes.NewReader(csv))
		if err != nil {
			t.Fatal(err)
		}
		read := time.Since(began)
		if diff := cmp.Diff(truth.faults, found(f.Faults)); diff != "" {
			t.Fatalf("faults (-want +got):\n%s", diff)
		}
		if f.Lines != truth.lines || f.Rejected != truth.rejected() || f.Separator != sep || f.Encoding != []string{"utf-8", "windows-1252"}[round] {
			t.Fatalf("read %d lines, %d refused, %q, %s; want %d, %d", f.Lines, f.Rejected, f.Separator, f.Encoding, truth.lines, truth.rejected())
		}
		if len(f.Warnings) != 1 || f.Warnings[0].Field != "Groupe sanguin" {
			t.Fatalf("warnings %v", f.Warnings)
		}
		for _, x := range f.Faults {
			if strings.Contains(x.Error(), "pression") {
				t.Fatalf("an illness is repeated: %s", x.Error())
			}
		}
		p, err := d.Plan(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		planned := time.Since(began)
		good := truth.lines - truth.rejected()
		want := []int{good, 0, 0, truth.rejected(), 0, 0, 0}
		if round == 1 {
			want = []int{0, 0, good, truth.rejected(), 0, 0, 0}
		}
		if diff := cmp.Diff(want, counts(p)); diff != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, diff)
		}
		last := -1
		run, err := d.Apply(ctx, p, "operator:test", func(done, total int) {
			if done < last || total != want[0] {
				t.Errorf("progress went from %d to %d of %d", last, done, total)
			}
			last = done
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d lines: read %v, planned %v, applied %v", n, read, planned-read, time.Since(began)-planned)
		if last != want[0] || run.Created != want[0] || run.Changed != 0 || run.Unchanged != want[2] || run.Rejected != truth.rejected() {
			t.Fatalf("round %d: %+v", round, run)
		}
	}
	agents, err := s.Agents(ctx, store.AgentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	_, truth := cityFile(n, 7, ";", false)
	if len(agents) != truth.lines-truth.rejected() {
		t.Fatalf("%d agents", len(agents))
	}
	whole(t, s)
}

func TestBigCity(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) { bigCity(t, s, clock, 1_500) })
}

// The race detector makes SQLite thirty times slower: with it fewer are written,
// and every line is still read.
func TestSixtyThousandLines(t *testing.T) {
	clock := new(storetest.Clock)
	n := 60_000
	if raced {
		csv, truth := cityFile(n, 7, ";", false)
		f, err := reader(t).Read(bytes.NewReader(csv))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(truth.faults, found(f.Faults)); diff != "" || f.Lines != truth.lines || f.Rejected != truth.rejected() {
			t.Fatalf("%d lines, %d refused (-want +got):\n%s", f.Lines, f.Rejected, diff)
		}
		n = 2_000
	}
	bigCity(t, storetest.Open(t, "sqlite:"+t.TempDir()+"/city.db", clock), clock, n)
}

// BenchmarkImport reads, compares and writes 60,000 agents on SQLite.
func BenchmarkImport(b *testing.B) {
	csv, _ := cityFile(60_000, 7, ";", false)
	for b.Loop() {
		clock := new(storetest.Clock)
		d := open(b, storetest.Open(b, "sqlite:"+b.TempDir()+"/city.db", clock), clock)
		if _, run := load(b, d, string(csv)); run.Created < 58_000 {
			b.Fatalf("%+v", run)
		}
	}
}

const head = "agent_number;civil_family_name;given_names;org_unit_path;contract_start;contract_end;professional_email;personal_email;absence_reason;absence_start\n"

// staffList writes n agents; edit may change a line or drop it.
func staffList(n int, edit func(i int, f []string) bool) string {
	var b strings.Builder
	b.WriteString(head)
	for i := range n {
		f := []string{"A" + strconv.Itoa(1000+i), "Durand", "Anne", "Eau/Études", "2020-01-01", "", "a" + strconv.Itoa(i) + "@ville.example", "anne@maison.example", "", ""}
		if edit == nil || edit(i, f) {
			b.WriteString(strings.Join(f, ";") + "\n")
		}
	}
	return b.String()
}

func agent(t testing.TB, d *directory.Directory, n parvis.AgentNumber) directory.Record {
	t.Helper()
	r, err := d.Show(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
