package text

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The spaces that do not break: before : and inside « », between the parts of a
// time; and the narrow one before ; ? ! and between thousands.
const (
	noBreak     = "\u00a0"
	noBreakThin = "\u202f"
)

// calendar is the habits of one language that no rule gives.
type calendar struct {
	days   [7]string
	months [12]string
	first  string // the first of the month
	at     string // between a day and an hour
	and    string // before the last of a list
	zero   string // a duration of nothing
	units  [4][2]string
	short  [4]string // of the units
}

var calendars = [2]calendar{
	{
		days: [7]string{"dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"},
		months: [12]string{
			"janvier", "février", "mars", "avril", "mai", "juin",
			"juillet", "août", "septembre", "octobre", "novembre", "décembre",
		},
		first: "1er", at: " à ", and: " et ", zero: "0" + noBreak + "seconde",
		units: [4][2]string{{"jour", "jours"}, {"heure", "heures"}, {"minute", "minutes"}, {"seconde", "secondes"}},
		short: [4]string{"j", "h", "min", "s"},
	},
	{
		days: [7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
		months: [12]string{
			"January", "February", "March", "April", "May", "June",
			"July", "August", "September", "October", "November", "December",
		},
		first: "1", at: " at ", and: " and ", zero: "0" + noBreak + "seconds",
		units: [4][2]string{{"day", "days"}, {"hour", "hours"}, {"minute", "minutes"}, {"second", "seconds"}},
		short: [4]string{"d", "h", "min", "s"},
	},
}

// Format writes one value in the habit of the language, as a sentence would: a
// number, a duration (rounded up to what is worth saying), a list, or the day
// and hour of a time.
func (c *Catalog) Format(l Lang, v any) string {
	return c.format(l, "when", v, time.Time{})
}

// format writes a value; the name it fills says which part of a time is meant,
// and whether a duration is short.
func (c *Catalog) format(l Lang, name string, v any, now time.Time) string {
	switch v := v.(type) {
	case string:
		return v
	case time.Time:
		return formatTime(l, name, v, now)
	case *time.Time:
		if v == nil {
			return ""
		}
		return formatTime(l, name, *v, now)
	case time.Duration:
		if strings.HasSuffix(name, "_short") {
			return shortDuration(l, v)
		}
		return duration(l, v)
	case []string:
		return list(l, v)
	case fmt.Stringer: // a type that seals itself, or a code with a name
		return v.String()
	}
	if n, ok := asInt(v); ok {
		return number(l, n)
	}
	return fmt.Sprint(v)
}

func asTime(v any) (time.Time, bool) {
	t, ok := v.(time.Time)
	return t, ok
}

// formatTime writes a day, an hour or both. Without now a day says its year,
// and an hour stands alone; with it, the year is said when it is another one,
// and the day when it is not today.
func formatTime(l Lang, name string, t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	known := !now.IsZero()
	now = now.In(t.Location())
	otherYear := known && t.Year() != now.Year()
	otherDay := known && (otherYear || t.YearDay() != now.YearDay())
	switch {
	case strings.HasSuffix(name, "date"):
		return day(l, t, !known || otherYear)
	case strings.HasSuffix(name, "time") && !strings.HasSuffix(name, "date_time") && !otherDay:
		return clock(l, t)
	}
	return day(l, t, otherYear) + calendars[l.index()].at + clock(l, t)
}

func day(l Lang, t time.Time, year bool) string {
	cal := &calendars[l.index()]
	n := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		n = cal.first
	}
	s := cal.days[t.Weekday()] + " " + n + noBreak + cal.months[t.Month()-1]
	if year {
		s += " " + strconv.Itoa(t.Year())
	}
	return s
}

// clock writes "14 h 20" and "14:20".
func clock(l Lang, t time.Time) string {
	if l == English {
		return t.Format("15:04")
	}
	s := strconv.Itoa(t.Hour()) + noBreak + "h"
	if t.Minute() != 0 {
		s += noBreak + t.Format("04")
	}
	return s
}

// number groups the digits by three: "12 345" and "12,345".
func number(l Lang, n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	separator := noBreakThin
	if l == English {
		separator = ","
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + separator + digits[i:]
	}
	return sign + digits
}

// parts breaks a duration into days, hours, minutes and seconds, rounded up so
// that a wait that is announced is long enough: to the second under a minute,
// to the minute under a day, to the hour beyond. Up to three days are hours.
func parts(d time.Duration) [4]int64 {
	up := func(unit time.Duration) int64 {
		n := int64(d / unit)
		if d%unit > 0 {
			n++
		}
		return n
	}
	switch {
	case d < time.Minute && up(time.Second) < 60:
		return [4]int64{3: up(time.Second)}
	case d < 24*time.Hour:
		m := up(time.Minute)
		return [4]int64{1: m / 60, 2: m % 60}
	}
	h := up(time.Hour)
	if h < 72 {
		return [4]int64{1: h}
	}
	return [4]int64{0: h / 24, 1: h % 24}
}

// duration writes "2 minutes", "1 heure 30 minutes", "3 jours".
func duration(l Lang, d time.Duration) string {
	cal := &calendars[l.index()]
	var words []string
	for i, n := range parts(max(d, 0)) {
		if n == 0 {
			continue
		}
		unit := cal.units[i][1]
		if n == 1 {
			unit = cal.units[i][0]
		}
		words = append(words, number(l, n)+noBreak+unit)
	}
	if words == nil {
		return cal.zero
	}
	return strings.Join(words, " ")
}

// shortDuration writes "16 min".
func shortDuration(l Lang, d time.Duration) string {
	short := &calendars[l.index()].short
	var words []string
	for i, n := range parts(max(d, 0)) {
		if n != 0 {
			words = append(words, strconv.FormatInt(n, 10)+noBreak+short[i])
		}
	}
	if words == nil {
		return "0" + noBreak + "s"
	}
	return strings.Join(words, noBreak)
}

// list writes "a, b et c"; English has no comma before "and".
func list(l Lang, items []string) string {
	if len(items) == 0 {
		return ""
	}
	last := len(items) - 1
	if last == 0 {
		return items[0]
	}
	return strings.Join(items[:last], ", ") + calendars[l.index()].and + items[last]
}

var frenchSpaces = strings.NewReplacer(
	" ;", noBreakThin+";", " ?", noBreakThin+"?", " !", noBreakThin+"!",
	" :", noBreak+":", " %", noBreak+"%", "« ", "«"+noBreak, " »", noBreak+"»",
)

// french makes the spaces that must not break: U+202F before ; ? ! and U+00A0
// before : and %, and inside « ».
func french(s string) string { return frenchSpaces.Replace(s) }
