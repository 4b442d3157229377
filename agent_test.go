package parvis_test

import (
	"slices"
	"testing"
	"time"

	"parvis"
)

// day reads a midnight in Paris.
func day(t *testing.T, s string) time.Time {
	t.Helper()
	if s == "" {
		return time.Time{}
	}
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	layout := "2006-01-02"
	if len(s) > len(layout) {
		layout = "2006-01-02 15:04:05"
	}
	at, err := time.ParseInLocation(layout, s, zone)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The table of domain.md 2.3: an event, and the state it gives day by day.
func TestStateAt(t *testing.T) {
	for _, c := range []struct {
		name        string
		from, until string
		absence     parvis.Absence
		away, back  string
		deceased    string
		want        map[string]parvis.State
	}{
		{"arrival", "2026-03-02", "", "", "", "", "", map[string]parvis.State{
			"2026-03-01 23:59:59": parvis.PreArrival, "2026-03-02 00:00:00": parvis.Active, "2040-01-01": parvis.Active,
		}},
		{"no start is known", "", "", "", "", "", "", map[string]parvis.State{"2026-03-02": parvis.PreArrival}},
		{"departure", "2020-01-01", "2026-03-27", "", "", "", "", map[string]parvis.State{
			"2026-03-27 23:59:59": parvis.Active, "2026-03-28 00:00:00": parvis.DocumentsOnly, // the clocks change on the 29th
			"2026-05-26 23:59:59": parvis.DocumentsOnly, "2026-05-27 00:00:00": parvis.Closed, "2050-01-01": parvis.Closed,
		}},
		{"short absence", "2020-01-01", "", parvis.ShortAbsence, "2026-03-02", "2026-03-06", "", map[string]parvis.State{"2026-03-03": parvis.Active}},
		{"maternity", "2020-01-01", "", parvis.ParentalAbsence, "2026-03-02", "2026-09-06", "", map[string]parvis.State{"2026-06-03": parvis.Active}},
		{"long illness", "2020-01-01", "", parvis.LongSickAbsence, "2026-03-02", "2026-09-06", "", map[string]parvis.State{
			"2026-03-01 23:59:59": parvis.Active, "2026-03-02": parvis.RestrictedHR, "2026-09-06 23:59:59": parvis.RestrictedHR, "2026-09-07": parvis.Active,
		}},
		{"parental leave without end", "2020-01-01", "", parvis.ParentalLeave, "2026-03-02", "", "", map[string]parvis.State{"2030-01-01": parvis.RestrictedHR}},
		{"outside position", "2020-01-01", "", parvis.OutsidePosition, "", "", "", map[string]parvis.State{"2026-03-02": parvis.DocumentsOnly}},
		{"outside position, not yet arrived", "2026-04-01", "", parvis.OutsidePosition, "", "", "", map[string]parvis.State{"2026-03-02": parvis.PreArrival}},
		{"suspension", "2020-01-01", "", parvis.PrecautionaryOff, "2026-03-02", "2026-03-31", "", map[string]parvis.State{
			"2026-03-01": parvis.Active, "2026-03-31 23:59:59": parvis.Suspended, "2026-04-01": parvis.Active,
		}},
		{"suspension past the contract", "2020-01-01", "2026-03-10", parvis.PrecautionaryOff, "2026-03-02", "", "", map[string]parvis.State{
			"2026-03-20": parvis.Suspended, "2026-06-01": parvis.Closed,
		}},
		{"a long absence past the contract", "2020-01-01", "2026-03-10", parvis.LongSickAbsence, "2026-03-02", "", "", map[string]parvis.State{
			"2026-03-10": parvis.RestrictedHR, "2026-03-11": parvis.DocumentsOnly,
		}},
		{"death", "2020-01-01", "", parvis.LongSickAbsence, "2026-03-02", "", "2026-03-10", map[string]parvis.State{
			"2026-03-09 23:59:59": parvis.RestrictedHR, "2026-03-10": parvis.Closed,
		}},
	} {
		a := parvis.Agent{
			ContractFrom: day(t, c.from), ContractUntil: day(t, c.until), Absence: c.absence,
			AbsenceFrom: day(t, c.away), AbsenceUntil: day(t, c.back), DeceasedOn: day(t, c.deceased),
		}
		for at, want := range c.want {
			if got := a.StateAt(day(t, at)); got != want {
				t.Errorf("%s: %s on %s, want %s", c.name, got, at, want)
			}
		}
		// Between two turns, second by second around each, nothing changes unseen.
		for at := day(t, "2026-02-27"); at.Before(day(t, "2026-10-01")); at = at.Add(time.Hour) {
			next := at.Add(time.Hour)
			turns := a.Turns(at)
			if a.StateAt(at) != a.StateAt(next) && !slices.ContainsFunc(turns, func(turn time.Time) bool { return !turn.After(next) }) {
				t.Errorf("%s: %s becomes %s by %v, and no turn says so: %v", c.name, a.StateAt(at), a.StateAt(next), next, turns)
			}
		}
	}
}

func TestTurns(t *testing.T) {
	a := parvis.Agent{
		ContractFrom: day(t, "2026-01-01"), ContractUntil: day(t, "2026-03-27"), Absence: parvis.LongSickAbsence,
		AbsenceFrom: day(t, "2026-02-01"), AbsenceUntil: day(t, "2026-02-28"), DeceasedOn: day(t, "2027-01-01"), OffSince: day(t, "2026-02-10"),
	}
	for at, want := range map[string][]string{
		"2025-12-31": {"2026-01-01", "2026-02-01", "2026-02-10", "2026-03-01", "2026-03-28", "2026-05-27", "2027-01-01"},
		"2026-02-10": {"2026-03-01", "2026-03-28", "2026-05-27", "2027-01-01"},
		"2026-05-27": {"2027-01-01"},
		"2027-01-01": nil,
	} {
		var got []string
		for _, turn := range a.Turns(day(t, at)) {
			got = append(got, turn.Format("2006-01-02"))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("after %s: %v, want %v", at, got, want)
		}
	}
	none := parvis.Agent{}
	if got := none.Turns(day(t, "2026-01-01")); got != nil {
		t.Errorf("nothing known, yet turns: %v", got)
	}
}

func TestParseAgentNumber(t *testing.T) {
	for s, want := range map[string]parvis.AgentNumber{
		"a100001": "A100001", " A 100-001 ": "A100-001", "\u00a0a1\t": "A1", "": "", " ": "", "A_1": "", "É1": "", "A1;": "",
		"12345678901234567890123456789012": "12345678901234567890123456789012", "123456789012345678901234567890123": "",
	} {
		got, ok := parvis.ParseAgentNumber(s)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", s, got, ok)
		}
		if again, ok2 := parvis.ParseAgentNumber(string(got)); ok && (again != got || !ok2) {
			t.Errorf("%q is not canonical: %q", got, again)
		}
	}
}

func TestUnitAncestors(t *testing.T) {
	if got := parvis.UnitPath("a/b c/d").Ancestors(); !slices.Equal(got, []parvis.UnitPath{"a/b c/d", "a/b c", "a"}) {
		t.Errorf("%v", got)
	}
	if got := parvis.UnitPath("").Ancestors(); got != nil {
		t.Errorf("%v", got)
	}
}

func TestNameAndProfile(t *testing.T) {
	a := parvis.Agent{FamilyName: "Durand", GivenNames: "Anne"}
	if a.Name() != "Anne Durand" || !a.Is(parvis.Standard) || a.Is(parvis.Executive) {
		t.Error(a.Name())
	}
	a.UsageName, a.Profiles = "Le Goff", []parvis.ProfileID{parvis.Executive}
	if a.Name() != "Anne Le Goff" || a.Is(parvis.Standard) || !a.Is(parvis.Executive) {
		t.Error(a.Name())
	}
}
