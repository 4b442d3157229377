package access

import (
	"slices"
	"strings"
	"time"

	"parvis"
)

// Calendar says when the offices are open. It is read, never changed, once a
// [Policy] uses it.
type Calendar struct {
	Zone     *time.Location
	Week     [7]Hours // from Sunday, as time.Weekday counts
	Holidays bool     // closed on French public holidays
	Closures []Closure
}

// Hours is the opening of one day, in minutes after midnight on the wall
// clock. A day whose hours are not From < Until is a closed day.
type Hours struct{ From, Until int }

// Closure closes the offices for whole days, from the first to the last
// inclusive, in the zone of the calendar. With a unit, it closes that unit and
// all below it; without, everybody.
type Closure struct {
	First, Last time.Time
	Unit        parvis.UnitPath
	Name        string
}

// OfficeHours gives the default calendar: Monday to Friday, 07:00 to 20:00,
// closed on French public holidays. zone is an IANA name such as Europe/Paris;
// one that the machine does not know is an error of code invalid.
func OfficeHours(zone string) (*Calendar, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "access.OfficeHours", Err: err}
	}
	c := &Calendar{Zone: loc, Holidays: true}
	for d := time.Monday; d <= time.Friday; d++ {
		c.Week[d] = Hours{From: 7 * 60, Until: 20 * 60}
	}
	return c, nil
}

// Open tells whether the offices of a unit are open at that moment. They are
// at the opening minute, and no longer at the closing one.
func (c *Calendar) Open(at time.Time, unit parvis.UnitPath) bool {
	from, until, ok := c.day(at.In(c.Zone), unit)
	return ok && !at.Before(from) && at.Before(until)
}

// horizon bounds the search for an opening: a site may close for a year.
const horizon = 400

// Next gives the first opening or closing of a unit after that moment; zero
// when there is none within 400 days.
func (c *Calendar) Next(after time.Time, unit parvis.UnitPath) time.Time {
	local := after.In(c.Zone)
	for range horizon {
		from, until, ok := c.day(local, unit)
		if ok && from.After(after) && !c.Open(from.Add(-1), unit) {
			return from
		}
		if ok && until.After(after) && !c.Open(until, unit) {
			return until
		}
		local = time.Date(local.Year(), local.Month(), local.Day()+1, 12, 0, 0, 0, c.Zone)
	}
	return time.Time{}
}

// day gives the opening and closing of the day in which local lies. Minutes
// are of the wall clock, so they survive the change to summer time.
func (c *Calendar) day(local time.Time, unit parvis.UnitPath) (from, until time.Time, ok bool) {
	h := c.Week[local.Weekday()]
	if h.From >= h.Until || c.Holidays && holiday(local) || c.closed(local, unit) {
		return time.Time{}, time.Time{}, false
	}
	y, m, d := local.Date()
	return time.Date(y, m, d, 0, h.From, 0, 0, c.Zone), time.Date(y, m, d, 0, h.Until, 0, 0, c.Zone), true
}

func (c *Calendar) closed(local time.Time, unit parvis.UnitPath) bool {
	return slices.ContainsFunc(c.Closures, func(cl Closure) bool {
		return cl.covers(unit) && !dayOf(local).Before(dayOf(cl.First.In(c.Zone))) && !dayOf(local).After(dayOf(cl.Last.In(c.Zone)))
	})
}

func (cl *Closure) covers(unit parvis.UnitPath) bool {
	return cl.Unit == "" || unit == cl.Unit || strings.HasPrefix(string(unit), string(cl.Unit)+"/")
}

// dayOf forgets the hour and the zone, so that days can be compared.
func dayOf(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// holiday tells whether a day is a public holiday in France (code du travail,
// article L3133-1), without those of Alsace-Moselle alone.
func holiday(local time.Time) bool {
	y, m, d := local.Date()
	switch int(m)*100 + d {
	case 101, 501, 508, 714, 815, 1101, 1111, 1225:
		return true
	}
	switch dayOf(local).Sub(easter(y)) / (24 * time.Hour) {
	case 1, 39, 50: // Easter Monday, Ascension, Whit Monday
		return true
	}
	return false
}

// easter gives Easter Sunday of a Gregorian year: the anonymous algorithm of
// 1876 (Meeus, Astronomical Algorithms, chapter 8).
func easter(y int) time.Time {
	a, b, c := y%19, y/100, y%100
	h := (19*a + b - b/4 - (b-(b+8)/25+1)/3 + 15) % 30
	l := (32 + 2*(b%4) + 2*(c/4) - h - c%4) % 7
	m := (a + 11*h + 22*l) / 451
	n := h + l - 7*m + 114
	return time.Date(y, time.Month(n/31), n%31+1, 0, 0, 0, 0, time.UTC)
}
