package access

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"parvis"
)

func TestPublicHolidays(t *testing.T) {
	for year, want := range map[int]string{2024: "2024-03-31", 2025: "2025-04-20", 2026: "2026-04-05", 2027: "2027-03-28", 2038: "2038-04-25", 2285: "2285-03-22"} {
		if got := easter(year).Format(time.DateOnly); got != want {
			t.Errorf("Easter %d: %s, want %s", year, got, want)
		}
	}
	got := map[string]bool{}
	for d := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC); d.Year() == 2026; d = d.AddDate(0, 0, 1) {
		if holiday(d) {
			got[d.Format("02/01")] = true
		}
	}
	want := []string{"01/01", "06/04", "01/05", "08/05", "14/05", "25/05", "14/07", "15/08", "01/11", "11/11", "25/12"}
	for _, d := range want {
		if !got[d] {
			t.Errorf("%s is not a holiday", d)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d holidays: %v", len(got), got)
	}
}

func TestOfficeHours(t *testing.T) {
	if _, err := OfficeHours("Europe/Lutetia"); parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("an unknown zone: %v", err)
	}
	c, err := OfficeHours("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		x, err := time.ParseInLocation(minuteLayout, s, c.Zone)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	c.Closures = []Closure{{First: at("2026-12-28 00:00"), Last: at("2026-12-31 00:00"), Unit: "ville/bains", Name: "travaux"}}
	for _, x := range []struct {
		at, next string
		unit     parvis.UnitPath
		open     bool
	}{
		{"2026-11-24 06:59", "2026-11-24 07:00", "ville", false},
		{"2026-11-24 07:00", "2026-11-24 20:00", "ville", true},
		{"2026-11-24 19:59", "2026-11-24 20:00", "ville", true},
		{"2026-11-24 20:00", "2026-11-25 07:00", "ville", false},
		{"2026-11-27 20:00", "2026-11-30 07:00", "ville", false}, // over a weekend
		{"2026-12-24 21:00", "2026-12-28 07:00", "ville", false}, // over Christmas
		{"2026-12-24 21:00", "2027-01-04 07:00", "ville/bains/nord", false},
		{"2026-12-29 10:00", "2026-12-29 20:00", "ville/bainsdouches", true}, // no part of ville/bains
		{"2026-03-27 21:00", "2026-03-30 07:00", "ville", false},             // over the change to summer time
	} {
		if got := c.Open(at(x.at), x.unit); got != x.open {
			t.Errorf("%s %s: open=%v", x.at, x.unit, got)
		}
		if got := minute(c.Next(at(x.at), x.unit).In(c.Zone)); got != x.next {
			t.Errorf("%s %s: next %s, want %s", x.at, x.unit, got, x.next)
		}
	}
}

func TestOfficesThatNeverTurn(t *testing.T) {
	c := &Calendar{Zone: time.UTC}
	if next := c.Next(around, ""); !next.IsZero() || c.Open(around, "") {
		t.Errorf("offices without hours open at %v", next)
	}
	for d := range c.Week {
		c.Week[d] = Hours{From: 0, Until: 24 * 60}
	}
	if next := c.Next(around, ""); !next.IsZero() || !c.Open(around, "") {
		t.Errorf("offices that never close close at %v", next)
	}
}

// Nothing opens or closes between a moment and the next turn, and something
// does then; also when offices never close at midnight, or never open.
func TestNextTurnIsTheNext(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		c := &Calendar{Zone: zone, Holidays: chance(t, "holidays", 50)}
		for d := range c.Week {
			if chance(t, "open", 60) {
				c.Week[d] = Hours{From: 30 * rapid.IntRange(0, 24).Draw(t, "from"), Until: 30 * rapid.IntRange(20, 48).Draw(t, "until")}
			}
		}
		if chance(t, "closure", 40) {
			first := around.AddDate(0, 0, rapid.IntRange(-5, 20).Draw(t, "first"))
			c.Closures = []Closure{{First: first, Last: first.AddDate(0, 0, rapid.IntRange(0, 20).Draw(t, "days"))}}
		}
		at := around.Add(time.Duration(rapid.IntRange(0, 60*24*200).Draw(t, "minutes")) * time.Minute)
		next, open := c.Next(at, ""), c.Open(at, "")
		end := next
		if next.IsZero() {
			end = at.AddDate(0, 0, 390)
		} else if !next.After(at) || c.Open(next, "") == open {
			t.Fatalf("nothing turns at %v, after %v", next, at)
		}
		for range 20 {
			x := at.Add(time.Duration(rapid.Int64Range(0, int64(end.Sub(at))-1).Draw(t, "meanwhile")))
			if c.Open(x, "") != open {
				t.Fatalf("open=%v at %v, and not at %v, before %v", open, at, x, end)
			}
		}
	})
}
