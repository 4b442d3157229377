package demo

import (
	"crypto/rand"
	"slices"
	"strconv"
	"sync"
	"time"

	"parvis/internal/text"
)

// leaveKind is a kind of leave, and what a year gives of it in half days.
type leaveKind struct {
	id   string
	year int
}

// leaveKinds in the order of the form.
func leaveKinds() []leaveKind { return []leaveKind{{"annual", 50}, {"rtt", 24}, {"care", 12}} }

// The states of a request for leave.
const (
	isAsked     = "asked"
	isApproved  = "approved"
	isRefused   = "refused"
	isCancelled = "cancelled"
)

const (
	answersAfter = 24 * time.Hour // the head, who is a rule here
	notice       = 2              // days before, at least
	requestsKept = 200            // of one agent
)

// leaveRequest is what an agent asked for.
type leaveRequest struct {
	id, form  string
	kind      string
	from      time.Time // midnights in the city's zone, both included
	until     time.Time
	fromNoon  bool
	untilNoon bool
	halves    int // half days of work
	asked     time.Time
	decided   time.Time // zero while it waits
	refused   bool
	cancelled time.Time // zero unless it was
}

func (q *leaveRequest) state() string {
	switch {
	case !q.cancelled.IsZero():
		return isCancelled
	case q.decided.IsZero():
		return isAsked
	case q.refused:
		return isRefused
	}
	return isApproved
}

// counts tells whether the request takes something of the balance.
func (q *leaveRequest) counts() bool { s := q.state(); return s == isAsked || s == isApproved }

// decide is the head's answer, a day later by the city's clock: yes, unless the
// request came too late.
func (q *leaveRequest) decide(now time.Time) {
	at := q.asked.Add(answersAfter)
	if q.state() != isAsked || now.Before(at) {
		return
	}
	q.decided, q.refused = at, q.from.Before(day(q.asked).AddDate(0, 0, notice))
}

// leaveBook holds the requests of everybody.
type leaveBook struct {
	mu  sync.Mutex
	all map[string][]*leaveRequest // by agent number, oldest first
}

// of gives copies of an agent's requests, decided as far as the clock says.
func (b *leaveBook) of(agent string, now time.Time) []leaveRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []leaveRequest
	for _, q := range b.all[agent] {
		q.decide(now)
		found = append(found, *q)
	}
	return found
}

// fault is what is wrong with a field: a sentence and its values.
type fault struct {
	field, key string
	left       int // half days, when the balance is short
}

// ask takes a request once: the same form again is the request that is there.
func (b *leaveBook) ask(agent string, q leaveRequest, now time.Time) (string, *fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.all[agent]
	for _, old := range mine {
		old.decide(now)
		if q.form != "" && old.form == q.form {
			return old.id, nil
		}
	}
	if len(mine) >= requestsKept {
		return "", &fault{field: "kind", key: "many"}
	}
	for _, old := range mine {
		if old.counts() && old.overlaps(&q) {
			return "", &fault{field: "from", key: "overlap"}
		}
	}
	if l := left(b.all[agent], q.kind, q.from.Year()); q.halves > l {
		return "", &fault{field: "until", key: "balance", left: l}
	}
	q.id, q.asked = rand.Text(), now
	b.all[agent] = append(mine, &q)
	return q.id, nil
}

// overlaps looks at half days: one may begin at noon where the other ends.
func (q *leaveRequest) overlaps(o *leaveRequest) bool {
	begin := func(q *leaveRequest) time.Time { return half(q.from, q.fromNoon) }
	end := func(q *leaveRequest) time.Time {
		if q.untilNoon {
			return half(q.until, true)
		}
		return q.until.AddDate(0, 0, 1)
	}
	return begin(q).Before(end(o)) && begin(o).Before(end(q))
}

func half(d time.Time, noon bool) time.Time {
	if noon {
		return d.Add(12 * time.Hour)
	}
	return d
}

// cancel takes a request back, if it is the agent's and not begun; again is
// harmless.
func (b *leaveBook) cancel(agent, id string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.all[agent], func(q *leaveRequest) bool { return q.id == id })
	if i < 0 {
		return false
	}
	q := b.all[agent][i]
	q.decide(now)
	if q.canCancel(now) {
		q.cancelled = now
	}
	return true
}

func (q *leaveRequest) canCancel(now time.Time) bool { return q.counts() && now.Before(q.from) }

// left is what remains of a kind in a year, in half days.
func left(mine []*leaveRequest, kind string, year int) int {
	n := 0
	for _, k := range leaveKinds() {
		if k.id == kind {
			n = k.year
		}
	}
	for _, q := range mine {
		if q.kind == kind && q.from.Year() == year && q.counts() {
			n -= q.halves
		}
	}
	return n
}

// leaveForm is what was typed.
type leaveForm struct {
	Kind, From, Until   string
	FromNoon, UntilNoon bool
	form                string
}

// read makes a request of what was typed, or says what is wrong, field by field.
func (f leaveForm) read(now time.Time) (leaveRequest, []fault) {
	q := leaveRequest{form: f.form, kind: f.Kind, fromNoon: f.FromNoon, untilNoon: f.UntilNoon}
	var faults []fault
	wrong := func(field, key string) { faults = append(faults, fault{field: field, key: key}) }
	if !slices.ContainsFunc(leaveKinds(), func(k leaveKind) bool { return k.id == f.Kind }) {
		wrong("kind", "kind")
	}
	var ok1, ok2 bool
	if q.from, ok1 = readDay(f.From, now.Location()); !ok1 {
		wrong("from", "from")
	}
	if q.until, ok2 = readDay(f.Until, now.Location()); !ok2 {
		wrong("until", "until")
	}
	switch {
	case !ok1:
	case q.from.Before(day(now)):
		wrong("from", "past")
	case q.from.After(day(now).AddDate(1, 0, 0)):
		wrong("from", "far")
	}
	switch {
	case !ok1 || !ok2:
	case q.until.Before(q.from):
		wrong("until", "order")
	case q.until.After(day(now).AddDate(1, 0, 0)):
		wrong("until", "far")
	default:
		if q.halves = halves(q); q.halves <= 0 {
			wrong("until", "nothing")
		}
	}
	return q, faults
}

// readDay takes a day as browsers send it, and as people write it where a
// browser has no calendar.
func readDay(s string, zone *time.Location) (time.Time, bool) {
	for _, form := range []string{time.DateOnly, "02/01/2006", "2/1/2006"} {
		if t, err := time.ParseInLocation(form, s, zone); err == nil && t.Year() > 1900 && t.Year() < 3000 {
			return t, true
		}
	}
	return time.Time{}, false
}

// halves counts the half days of work: Monday to Friday, public holidays apart.
func halves(q leaveRequest) int {
	n := 0
	for d := q.from; !d.After(q.until); d = d.AddDate(0, 0, 1) {
		if !works(d) {
			continue
		}
		n += 2
		if q.fromNoon && d.Equal(q.from) {
			n--
		}
		if q.untilNoon && d.Equal(q.until) {
			n--
		}
	}
	return n
}

// works tells whether people work on a day (code du travail, L3133-1).
func works(d time.Time) bool {
	if w := d.Weekday(); w == time.Saturday || w == time.Sunday {
		return false
	}
	switch d.Format("01-02") {
	case "01-01", "05-01", "05-08", "07-14", "08-15", "11-01", "11-11", "12-25":
		return false
	}
	after := day(d).Sub(easter(d.Year(), d.Location())).Round(24*time.Hour) / (24 * time.Hour) // summer time moves an hour
	return after != 1 && after != 39 && after != 50                                            // Easter Monday, Ascension, Whit Monday
}

// easter is the Sunday of Easter (the anonymous Gregorian computus).
func easter(year int, zone *time.Location) time.Time {
	a, b, c := year%19, year/100, year%100
	h := (19*a + b - b/4 - (b-(b+8)/25+1)/3 + 15) % 30
	l := (32 + 2*(b%4) + 2*(c/4) - h - c%4) % 7
	m := (a + 11*h + 22*l) / 451
	n := h + l - 7*m + 114
	return time.Date(year, time.Month(n/31), n%31+1, 0, 0, 0, 0, zone)
}

// days writes half days as days: "2,5 jours".
func (v *visit) days(halves int) string {
	s := strconv.Itoa(halves / 2)
	if halves%2 != 0 {
		point := ","
		if v.Lang == text.English {
			point = "."
		}
		s += point + "5"
	}
	n := 2 // of the plural: French says "1,5 jour", English "1.5 days"
	if halves <= 2 || v.Lang == text.French && halves < 4 {
		n = 1
	}
	if v.Lang == text.English && halves != 2 {
		n = 2
	}
	return v.T("demo.leave.days", "days", s, "n", n)
}
