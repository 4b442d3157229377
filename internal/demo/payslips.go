package demo

import (
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"parvis/internal/text"
)

// slipsKept is how many months back pay slips are listed.
const slipsKept = 24

// slip is a pay slip, drawn up for one agent and one month: the same each time.
type slip struct {
	month time.Time
	lines []payLine
	net   int64
}

// payLine is an amount in cents; what is taken off is negative.
type payLine struct {
	key    string
	amount int64
}

// slipOf draws up a pay slip. The amounts are invented, and follow from the
// agent number.
func slipOf(number string, month time.Time) slip {
	h := fnv.New32a()
	_, _ = h.Write([]byte(number)) // it takes everything
	base := 195_000 + int64(h.Sum32()%160_000)/100*100
	lines := []payLine{{"demo.pay.base", base}, {"demo.pay.residence", base * 3 / 100}, {"demo.pay.bonus", base * 12 / 100}}
	gross := total(lines)
	lines = append(lines,
		payLine{"demo.pay.gross", gross},
		payLine{"demo.pay.pension", -base * 111 / 1000},
		payLine{"demo.pay.social", -gross * 97 / 1000},
		payLine{"demo.pay.tax", -gross * 45 / 1000})
	return slip{month: month, lines: lines, net: gross + total(lines[4:])}
}

func total(lines []payLine) int64 {
	var sum int64
	for _, l := range lines {
		sum += l.amount
	}
	return sum
}

// months lists the months that were paid, newest first: each appears when it is
// over, from the month of arrival on.
func (v *visit) months() []time.Time {
	first := v.now.AddDate(0, -slipsKept, 0)
	if p, ok := v.person(v.Subject); ok {
		if began := v.opened.In(v.zone).AddDate(0, 0, p.starts); began.After(first) {
			first = began
		}
	}
	var all []time.Time
	y, m, _ := v.now.Date()
	for at := time.Date(y, m-1, 1, 0, 0, 0, 0, v.zone); at.AddDate(0, 1, 0).After(first); at = at.AddDate(0, -1, 0) {
		all = append(all, at)
	}
	return all
}

func (v *visit) monthName(m time.Time) string {
	return v.T("demo.month."+strconv.Itoa(int(m.Month())), "year", strconv.Itoa(m.Year()))
}

const monthForm = "2006-01"

// paySlips serves what the HR department gives each agent: a pay slip a month,
// to be read or kept, and a certificate a year.
func (c *counter) paySlips(mux *http.ServeMux) {
	type month struct{ ID, Label string }
	mux.HandleFunc("GET /{$}", c.to(func(v *visit) {
		var data struct {
			Months []month
			Years  []string
		}
		paid := v.months()
		for _, m := range paid {
			data.Months = append(data.Months, month{m.Format(monthForm), v.monthName(m)})
		}
		for _, y := range years(paid, v.now) {
			data.Years = append(data.Years, strconv.Itoa(y))
		}
		v.show("slips", c.app.App.Purpose.In(string(v.Lang)), data)
	}))
	mux.HandleFunc("GET /payslips/{month}", c.to(func(v *visit) {
		name, file := strings.CutSuffix(v.r.PathValue("month"), ".pdf")
		for _, m := range v.months() {
			if m.Format(monthForm) != name {
				continue
			}
			if file {
				v.file("bulletin-"+name+"-"+v.Subject+".pdf", "application/pdf", v.slipFile(slipOf(v.Subject, m)))
			} else {
				v.slipPage(slipOf(v.Subject, m))
			}
			return
		}
		v.missing()
	}))
	mux.HandleFunc("GET /certificates/{year}", c.to(func(v *visit) {
		name, file := strings.CutSuffix(v.r.PathValue("year"), ".pdf")
		paid := v.months()
		for _, y := range years(paid, v.now) {
			if file && strconv.Itoa(y) == name {
				v.file("attestation-"+name+"-"+v.Subject+".pdf", "application/pdf", v.certificate(y, paid))
				return
			}
		}
		v.missing()
	}))
}

// years are those that are over and had a pay slip, newest first.
func years(paid []time.Time, now time.Time) []int {
	var all []int
	for _, m := range paid {
		if y := m.Year(); y < now.Year() && (len(all) == 0 || all[len(all)-1] != y) {
			all = append(all, y)
		}
	}
	return all
}

func (v *visit) slipPage(s slip) {
	type line struct{ Label, Amount string }
	data := struct {
		ID, Label, Net string
		Lines          []line
	}{ID: s.month.Format(monthForm), Label: v.monthName(s.month), Net: v.money(s.net)}
	for _, l := range s.lines {
		data.Lines = append(data.Lines, line{v.T(l.key), v.money(l.amount)})
	}
	v.show("slip", v.T("demo.pay.slip_of", "month", data.Label), data)
}

// slipFile is the pay slip as a file to keep.
func (v *visit) slipFile(s slip) []byte {
	d := sheet{lang: string(v.Lang), title: v.T("demo.pay.slip_of", "month", v.monthName(s.month)), at: s.month.AddDate(0, 1, -1)}
	v.head(&d)
	for _, l := range s.lines {
		d.row(v.T(l.key), v.money(l.amount))
	}
	d.gap()
	d.strong(v.T("demo.pay.net", "amount", v.money(s.net)))
	return d.pdf()
}

// certificate sums a year up.
func (v *visit) certificate(year int, paid []time.Time) []byte {
	d := sheet{lang: string(v.Lang), title: v.T("demo.pay.certificate_of", "year", strconv.Itoa(year)), at: time.Date(year, time.December, 31, 0, 0, 0, 0, v.zone)}
	v.head(&d)
	d.line(v.T("demo.pay.certified", "year", strconv.Itoa(year)))
	d.gap()
	var sum int64
	for i := len(paid) - 1; i >= 0; i-- {
		if m := paid[i]; m.Year() == year {
			net := slipOf(v.Subject, m).net
			sum += net
			d.row(v.monthName(m), v.money(net))
		}
	}
	d.gap()
	d.strong(v.T("demo.pay.net", "amount", v.money(sum)))
	return d.pdf()
}

func (v *visit) head(d *sheet) {
	d.strong(issuer)
	d.line(v.T("demo.pay.agent", "name", v.Who, "number", v.Subject))
	d.line(v.T("demo.pay.invented"))
	d.gap()
	d.heading(d.title)
	d.gap()
}

// money writes cents in the habit of the language.
func (v *visit) money(cents int64) string {
	sign, n := "", cents
	if n < 0 {
		sign, n = "-", -n
	}
	whole := strconv.FormatInt(n/100, 10)
	thousands, point := "\u00a0", ","
	if v.Lang == text.English {
		thousands, point = ",", "."
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + thousands + whole[i:]
	}
	rest := strconv.FormatInt(100+n%100, 10)[1:]
	if v.Lang == text.English {
		return sign + "€" + whole + point + rest
	}
	return sign + whole + point + rest + "\u00a0€"
}
