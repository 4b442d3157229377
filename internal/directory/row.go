package directory

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"parvis"
)

// row reads the fields of the line at hand into f.agent, and finds every fault
// of it, not only the first.
func (f *reading) row(fields []string) {
	clear(f.values[:])
	bad := [headingCount]bool{}
	for i, col := range f.heads {
		if col < 0 || col == colBirthDate {
			continue
		}
		v, ok := clean(fields[i])
		switch {
		case !ok:
			bad[col] = true
			f.fault(f.shown(col), rejectControl)
		case col < columnCount && columns[col].max > 0 && utf8.RuneCountInString(v) > columns[col].max:
			bad[col] = true
			f.fault(col, rejectText, "max", strconv.Itoa(columns[col].max))
		default:
			f.values[col] = v
		}
	}
	if f.parts {
		f.joinUnit()
	}
	for _, col := range required {
		if f.values[col] == "" && !bad[col] && (col != colUnit || !f.badPart(bad)) {
			bad[col] = true
			f.fault(col, rejectRequired)
		}
	}
	for i := range columns {
		if c := &columns[i]; c.text != nil && f.columns[i] {
			*c.text(&f.agent) = f.values[i]
		}
	}
	f.codes()
	f.dates()
	f.absence(bad)
	f.identity()
}

// shown is the column under which a fault is reported.
func (f *reading) shown(col int) int {
	if col > columnCount {
		return colUnit
	}
	return col
}

func (f *reading) badPart(bad [headingCount]bool) bool {
	for c := colUnitPart1; c <= colUnitPart5; c++ {
		if bad[c] {
			return true
		}
	}
	return false
}

// joinUnit makes the path from the columns of its parts. A "/" inside a part is
// in the name of that unit, not a step down the tree.
func (f *reading) joinUnit() {
	var parts []string
	for c := colUnitPart1; c <= colUnitPart5; c++ {
		if v := strings.Map(func(r rune) rune {
			if r == '/' || r == '\\' || r == '>' {
				return '-'
			}
			return r
		}, f.values[c]); v != "" {
			parts = append(parts, v)
		}
	}
	f.values[colUnit] = strings.Join(parts, "/")
}

// codes reads the fields that have a form or a closed list of words.
func (f *reading) codes() {
	a := &f.agent
	check := func(col int, key string, parse func(string) (string, bool)) {
		v := f.values[col]
		if v == "" {
			return
		}
		out, ok := parse(v)
		switch {
		case !ok && columns[col].personal: // a telephone number is all figures
			f.fault(col, key)
		case !ok:
			f.fault(col, key, "value", echo(v))
		}
		*columns[col].text(a) = out
	}
	word := func(list map[string]string) func(string) (string, bool) {
		return func(v string) (string, bool) {
			code, ok := list[fold(v)]
			return code, ok
		}
	}
	number := func(v string) (string, bool) {
		n, ok := parvis.ParseAgentNumber(v)
		return string(n), ok
	}
	check(colNumber, rejectNumber, number)
	check(colUnit, rejectUnit, func(v string) (string, bool) {
		u, ok := unitPath(v)
		return string(u), ok
	})
	check(colSIRET, rejectSIRET, siret)
	check(colCategory, rejectCategory, word(categories))
	check(colManager, rejectNumber, number)
	check(colEmail, rejectEmail, mailbox)
	check(colPersonalEmail, rejectEmail, mailbox)
	check(colPersonalMobile, rejectMobile, mobile)
	if a.Manager != "" && a.Manager == a.Number {
		f.fault(colManager, rejectManagerSelf)
	}
}

// dates reads the dates and their order.
func (f *reading) dates() {
	for i := range columns {
		v := f.values[i]
		if columns[i].date == nil || !f.columns[i] || v == "" {
			continue
		}
		t, key := parseDate(v, f.zone, i == colAbsenceUntil || i == colContractUntil)
		if key != "" {
			f.fault(i, key, "value", echo(v))
		}
		*columns[i].date(&f.agent) = t
	}
	before := func(end, start time.Time) bool { return !end.IsZero() && !start.IsZero() && end.Before(start) }
	if before(f.agent.ContractUntil, f.agent.ContractFrom) {
		f.fault(colContractUntil, rejectEndFirst)
	}
	if before(f.agent.AbsenceUntil, f.agent.AbsenceFrom) {
		f.fault(colAbsenceUntil, rejectEndFirst)
	}
}

// absence makes one class of what the absence and the position say, the one
// that closes most (domain.md 2.2: the position alone is not enough).
func (f *reading) absence(bad [headingCount]bool) {
	a := &f.agent
	a.Absence, a.Position = parvis.NoAbsence, ""
	known := true
	class, position := parvis.NoAbsence, parvis.NoAbsence
	said := f.values[colAbsence]
	if said != "" {
		if class, known = absences[fold(said)]; !known {
			// Whatever stands there may be an illness: it is not said again.
			f.fault(colAbsence, rejectAbsence)
		}
	}
	if v := f.values[colPosition]; v != "" {
		word, ok := fold(v), false
		if a.Position, ok = positions[word]; ok {
			position = positionAway[a.Position]
		} else if position, ok = absences[word]; ok {
			a.Position = "active" // suspended or on sick leave is still in activity
		} else {
			known = false
			f.fault(colPosition, rejectPosition)
		}
	}
	if !known {
		return
	}
	switch {
	case class == deceased || position == deceased:
		if a.DeceasedOn.IsZero() {
			a.DeceasedOn = a.AbsenceFrom
		}
		if a.DeceasedOn.IsZero() && f.values[colAbsenceFrom] == "" && f.values[colDeceased] == "" {
			f.fault(colAbsenceFrom, rejectAbsenceStart)
		}
		a.AbsenceFrom, a.AbsenceUntil = time.Time{}, time.Time{}
	case class == "" && position == "":
		a.AbsenceFrom, a.AbsenceUntil = time.Time{}, time.Time{}
		if said == "" && f.columns[colAbsence] && !bad[colAbsence] && (f.values[colAbsenceFrom] != "" || f.values[colAbsenceUntil] != "") {
			f.fault(colAbsence, rejectAbsenceBare)
		}
	case weight[position] > weight[class]:
		// The dates are those of the lesser absence, if there is one.
		a.Absence = position
		if class != "" {
			a.AbsenceFrom, a.AbsenceUntil = time.Time{}, time.Time{}
		}
	default:
		a.Absence = class
		if f.columns[colAbsenceFrom] && f.values[colAbsenceFrom] == "" && !bad[colAbsenceFrom] {
			f.fault(colAbsenceFrom, rejectAbsenceStart)
		}
	}
}

// identity refuses a number or a mailbox that an earlier line has.
func (f *reading) identity() {
	n := f.agent.Number
	if n == "" {
		return
	}
	if line, twice := f.mentioned[n]; twice {
		f.fault(colNumber, rejectDuplicate, "line", strconv.Itoa(line))
		return
	}
	f.mentioned[n] = f.line
	if f.agent.Email == "" {
		return
	}
	key := strings.ToLower(f.agent.Email)
	if other, twice := f.emails[key]; twice {
		f.fault(colEmail, rejectEmailTwice, "line", strconv.Itoa(f.mentioned[other]))
		return
	}
	f.emails[key] = n
}
