package demo

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var formShape = regexp.MustCompile(`name="form" value="([^"]+)"`)

// request fills in the form of a page.
func (c *caller) request(from, until string, more ...string) url.Values {
	c.front.t.Helper()
	m := formShape.FindStringSubmatch(c.page("/"))
	if m == nil {
		c.front.t.Fatal("the page has no form")
	}
	f := url.Values{"form": {m[1]}, "kind": {"annual"}, "from": {from}, "until": {until}}
	for i := 0; i+1 < len(more); i += 2 {
		f.Set(more[i], more[i+1])
	}
	return f
}

// send sends a request that is taken, and gives its address.
func (c *caller) send(f url.Values) string {
	c.front.t.Helper()
	w := c.do(http.MethodPost, "/requests", f)
	if w.Code != http.StatusSeeOther {
		c.front.t.Fatalf("%v: %d\n%s", f, w.Code, w.Body)
	}
	return w.Header().Get("Location")
}

// TestLeave follows requests through their states. The city stands at Monday 23
// November 2026.
func TestLeave(t *testing.T) {
	f := newFront(t)
	for _, lang := range []string{"fr", "en"} {
		c := f.caller("conges", "A100001")
		c.lang = lang
		says := map[string][]string{
			"fr": {"Demandé, en attente", "Accepté par votre responsable, mardi 24 novembre", "Annulé par vous", "4 jours", "21 jours", "25 jours", "Refusé par votre responsable"},
			"en": {"Asked, waiting", "Approved by your head, Tuesday 24\u00a0November", "Cancelled by you", "4 days", "21 days", "25 days", "Refused by your head"},
		}[lang]
		says[1] = strings.Replace(says[1], "mardi 24 ", "mardi 24\u00a0", 1)
		start := f.now
		far := c.send(c.request("2026-12-21", "2026-12-24"))
		near := c.send(c.request("2026-11-24", "2026-11-24"))
		has := func(path, what string) {
			t.Helper()
			if page := c.page(path); !strings.Contains(page, what) {
				t.Errorf("%s does not say %q:\n%s", path, what, page)
			}
		}
		has(far, says[0])
		has(far, says[3])
		f.now = f.now.Add(24*time.Hour - time.Second)
		has(far, says[0])
		f.now = f.now.Add(time.Second)
		has(far, says[1])
		has(near, says[6])
		has("/", says[4]) // what was refused is not taken
		for range 2 {
			if w := c.do(http.MethodPost, far+"/cancel", url.Values{}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != far {
				t.Errorf("cancelling answers %d", w.Code)
			}
		}
		has(far, says[2])
		has(far, says[1])
		has("/", says[5])
		if page := c.page(far); strings.Contains(page, "/cancel") {
			t.Error("what is cancelled can be cancelled")
		}
		f.now = start
	}
}

func TestLeaveThatHasBegunStays(t *testing.T) {
	f := newFront(t)
	c := f.caller("conges", "A100001")
	at := c.send(c.request("2026-12-01", "2026-12-02"))
	f.now = time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	c.do(http.MethodPost, at+"/cancel", url.Values{})
	if page := c.page(at); !strings.Contains(page, "<strong>Accepté</strong>") {
		t.Errorf("%s", page)
	}
}

// TestLeaveIsAskedOnce sends the same form many times at once.
func TestLeaveIsAskedOnce(t *testing.T) {
	f := newFront(t)
	c := f.caller("conges", "A100001")
	form := c.request("2026-12-21", "2026-12-24")
	places := make([]string, 8)
	var all sync.WaitGroup
	for i := range places {
		all.Go(func() { places[i] = c.do(http.MethodPost, "/requests", form).Header().Get("Location") })
	}
	all.Wait()
	for _, p := range places {
		if p == "" || p != places[0] {
			t.Errorf("the same form led to %q and %q", places[0], p)
		}
	}
	if n := strings.Count(c.page("/"), `href="/requests/`); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestLeaveOfSomebodyElse is not there: neither to read nor to cancel.
func TestLeaveOfSomebodyElse(t *testing.T) {
	f := newFront(t)
	mine := f.caller("conges", "A100001")
	at := mine.send(mine.request("2026-12-21", "2026-12-24"))
	other := *mine
	other.number = "A100003"
	if w := other.do(http.MethodGet, at, nil); w.Code != http.StatusNotFound {
		t.Errorf("reading answers %d", w.Code)
	}
	if w := other.do(http.MethodPost, at+"/cancel", url.Values{}); w.Code != http.StatusNotFound {
		t.Errorf("cancelling answers %d", w.Code)
	}
	if page := mine.page(at); !strings.Contains(page, "en attente") {
		t.Errorf("somebody else changed it:\n%s", page)
	}
}

func TestLeaveFaults(t *testing.T) {
	f := newFront(t)
	c := f.caller("conges", "A100001")
	c.send(c.request("2026-12-21", "2026-12-24", "until_noon", "1"))
	for _, k := range []struct {
		from, until, more, field, says string
	}{
		{"", "", "", "from", "Donnez le premier jour"},
		{"2026-12-01", "bientôt", "", "until", "Donnez le dernier jour"},
		{"2026-13-01", "2026-12-02", "", "from", "Donnez le premier jour"},
		{"2026-12-10", "2026-12-09", "", "until", "Le dernier jour vient avant"},
		{"2026-11-20", "2026-12-01", "", "from", "déjà passé"},
		{"2028-01-10", "2028-01-11", "", "from", "douze mois"},
		{"2026-12-05", "2026-12-06", "", "until", "aucun temps de travail"},
		{"2026-12-25", "2026-12-25", "", "until", "aucun temps de travail"},
		{"2026-12-24", "2026-12-28", "", "from", "déjà une demande"},
		{"2027-01-04", "2027-02-26", "", "until", "Il faut 40"},
		{"2026-12-01", "2026-12-01", "none", "kind", "Choisissez une nature"},
		{"2026-12-01", "2026-12-01", "from_noon until_noon", "until", "aucun temps de travail"},
	} {
		form := c.request(k.from, k.until)
		if k.more == "none" {
			form.Set("kind", k.more)
		} else {
			for _, m := range strings.Fields(k.more) {
				form.Set(m, "1")
			}
		}
		w := c.do(http.MethodPost, "/requests", form)
		page := w.Body.String()
		c.whole("/requests", w)
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(page, k.says) || !strings.Contains(page, `href="#`+k.field+`"`) || !strings.Contains(page, `id="`+k.field+`-fault"`) {
			t.Errorf("%+v: %d\n%s", k, w.Code, page)
		}
		if k.from != "" && !strings.Contains(page, `name="from" value="`+k.from+`"`) || strings.Contains(k.more, "from_noon") && !strings.Contains(page, `name="from_noon" value="1" checked`) {
			t.Errorf("%+v: what was typed is lost:\n%s", k, page)
		}
	}
	// One may begin at noon where the other ends, and days are written as people do.
	at := c.send(c.request("24/12/2026", "24/12/2026", "from_noon", "1"))
	if page := c.page(at); !strings.Contains(page, "0,5 jour<") {
		t.Errorf("half a day:\n%s", page)
	}
}

func TestHolidays(t *testing.T) {
	for _, d := range []string{"2026-04-06", "2026-05-14", "2026-05-25", "2027-03-29", "2026-05-01", "2026-07-14", "2026-11-21"} {
		if at, _ := readDay(d, time.UTC); works(at) {
			t.Errorf("people work on %s", d)
		}
	}
	for year, want := range map[int]string{2024: "03-31", 2025: "04-20", 2026: "04-05", 2027: "03-28", 2038: "04-25"} {
		if got := easter(year, time.UTC).Format("01-02"); got != want {
			t.Errorf("Easter of %d is on %s, not %s", year, got, want)
		}
	}
}

// TestBalanceNeverGoesBelowNothing asks, cancels and lets time pass at random.
func TestBalanceNeverGoesBelowNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		book, now := &leaveBook{all: map[string][]*leaveRequest{}}, time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
		var ids []string
		for i := range rapid.IntRange(1, 40).Draw(t, "acts") {
			switch rapid.IntRange(0, 3).Draw(t, "act") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(1, 72).Draw(t, "hours")) * time.Hour)
			case 1:
				if len(ids) > 0 {
					book.cancel("a", rapid.SampledFrom(ids).Draw(t, "id"), now)
				}
			default:
				from := now.AddDate(0, 0, rapid.IntRange(0, 300).Draw(t, "from"))
				f := leaveForm{
					Kind: rapid.SampledFrom(leaveKinds()).Draw(t, "kind").id, From: from.Format(time.DateOnly),
					Until: from.AddDate(0, 0, rapid.IntRange(0, 30).Draw(t, "days")).Format(time.DateOnly), form: fmt.Sprint(i),
					FromNoon: rapid.Bool().Draw(t, "noon"),
				}
				if q, faults := f.read(now); len(faults) == 0 {
					if id, not := book.ask("a", q, now); not == nil {
						ids = append(ids, id)
					}
				}
			}
		}
		all := book.of("a", now)
		for i := range all {
			for j := range all[:i] {
				if all[i].counts() && all[j].counts() && all[i].overlaps(&all[j]) {
					t.Fatalf("%+v overlaps %+v", all[i], all[j])
				}
			}
		}
		for _, k := range leaveKinds() {
			for _, year := range []int{2026, 2027} {
				if n := left(book.all["a"], k.id, year); n < 0 || n > k.year {
					t.Fatalf("%d half days of %s are left in %d", n, k.id, year)
				}
			}
		}
	})
}

func FuzzLeaveForm(f *testing.F) {
	f.Add("annual", "2026-12-21", "24/12/2026", true, false)
	f.Add("x", "", "9999-99-99", false, true)
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, kind, from, until string, noon1, noon2 bool) {
		q, faults := leaveForm{Kind: kind, From: from, Until: until, FromNoon: noon1, UntilNoon: noon2}.read(now)
		if len(faults) == 0 && (q.halves <= 0 || q.until.Before(q.from) || q.from.Before(day(now))) {
			t.Errorf("taken: %+v", q)
		}
	})
}
