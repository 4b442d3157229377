package citytest

import (
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis"
)

// Strangers at the door of a city whose clock they cannot stop. The city is on
// a working day at a quarter past ten, so that every time on a page has as many
// signs as another.
func TestAttacksAtTheDoor(t *testing.T) {
	town := Open(t, "--data", t.TempDir())
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Now().In(zone).AddDate(0, 0, 1)
	for day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
		day = day.AddDate(0, 0, 1)
	}
	day = time.Date(day.Year(), day.Month(), day.Day(), 10, 15, 0, 0, zone)
	town.SetClock(day)
	t.Run("identifiers told apart by bytes", func(t *testing.T) { attackBytes(t, town, day) })
	t.Run("ten thousand wrong passwords", func(t *testing.T) { attackPasswords(t, town, day.AddDate(0, 0, 8)) })
	wholeLog(t, town.Data)
}

var (
	sealedValue = regexp.MustCompile(`(name="(?:flow|return|passkey_ticket)" value="|&#34;challenge&#34;:&#34;)[^"&]*`)
	reference   = regexp.MustCompile(`\b[2-9A-Z]{4}-[2-9A-Z]{4}\b`)
	timeOfDay   = regexp.MustCompile(`\b[0-9]{1,2}(?: |\x{202f}|\x{a0})?[h:](?: |\x{202f}|\x{a0})?[0-9]{2}\b`)
	cookieValue = regexp.MustCompile(`=[^;]*`)
)

// evidence is all that a stranger can compare of an answer: status, headers, the
// names and attributes of cookies, and every byte of the body. What is sealed
// or random counts by its length alone.
func evidence(p *Page, typed ...string) string {
	h := maps.Clone(p.Header)
	delete(h, "Date")
	delete(h, "X-Request-Id")
	var cookies []string
	for _, c := range h["Set-Cookie"] {
		cookies = append(cookies, cookieValue.ReplaceAllString(c, "=")+fmt.Sprint(len(c)))
	}
	delete(h, "Set-Cookie")
	slices.Sort(cookies)
	var b strings.Builder
	fmt.Fprintln(&b, p.Status, p.URL.Path)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		value := strings.Join(h[name], ", ")
		if name == "Location" {
			value, _, _ = strings.Cut(value, "=")
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	fmt.Fprintln(&b, cookies)
	body := sealedValue.ReplaceAllStringFunc(p.Body, func(s string) string { return fmt.Sprintf("sealed %d", len(s)) })
	body = timeOfDay.ReplaceAllString(reference.ReplaceAllString(body, "REFERENCE"), "TIME")
	for _, s := range typed {
		body = strings.ReplaceAll(body, s, "TYPED")
	}
	b.WriteString(body)
	return b.String()
}

// Somebody wants a list of who works here, and compares answers:
//
//  1. at the sign-in, number by number and address by address: one who is
//     active, one not yet activated, one whose account is off, one absent for
//     months, and one that nobody ever had; six wrong passwords each, until
//     everybody waits;
//  2. at the activation: the right pair, a known number with another's address,
//     an unknown number; four times each, until everybody waits;
//  3. in both languages, at both entrances.
//
// Nothing differs but sealed values, references and the time of day.
func attackBytes(t *testing.T, town *Town, day time.Time) {
	people := []string{"A100001", "A100008", "A100007", "A100006", "A100005"}
	at := day
	for _, entrance := range []struct {
		ch   parvis.Channel
		lang string
	}{{parvis.Mobile, "fr"}, {parvis.Internal, "en"}} {
		at = at.Add(25 * time.Hour) // budgets rest, a new working hour of the same length
		for at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
			at = at.Add(24 * time.Hour)
		}
		at = time.Date(at.Year(), at.Month(), at.Day(), 10, 15, 0, 0, at.Location())
		town.SetClock(at)
		walk := func(identifier string) []string {
			v := town.Visitor(t)
			v.Lang = entrance.lang
			stay(v)
			p := v.Get(town.Portal(entrance.ch) + "/signin")
			all := []string{evidence(p)}
			p = v.Submit(p, map[string]string{"identifier": identifier})
			all = append(all, evidence(p, identifier))
			door := p
			for i := range 6 {
				p = v.Submit(door, map[string]string{"password": fmt.Sprintf("wrong password %d", i)})
				all = append(all, evidence(p, identifier))
			}
			if p.Screen != "locked_wait" {
				t.Errorf("%s at %s: after six wrong passwords the screen is %s", identifier, entrance.ch, p.Screen)
			}
			return all
		}
		same := func(what, name string, want, got []string) {
			t.Helper()
			for i := range want {
				if want[i] != got[i] {
					t.Errorf("%s, %s, %s: answer %d differs from that of nobody\n%s", what, name, entrance.ch, i, firstDifference(want[i], got[i]))
				}
			}
		}
		nobody := walk("Z999999")
		for _, number := range people {
			same("sign-in", number, nobody, walk(number))
			if entrance.ch == parvis.Mobile { // thirty hashed tries a minute from one address
				at = at.Add(2 * time.Minute)
				town.SetClock(at)
			}
		}
		same("sign-in", "an address", walk("luc.merchand@example.org"), walk("luc.marchand@example.org"))

		begin := func(number, email string) []string {
			v := town.Visitor(t)
			v.Lang = entrance.lang
			var all []string
			for range 4 {
				p := v.Submit(v.Get(town.Portal(entrance.ch)+"/activate"), map[string]string{"agent_number": number, "email": email})
				all = append(all, evidence(p, number, email))
			}
			return all
		}
		nobody = begin("Z999999", "sonia.banali@example.org")
		for _, pair := range [][2]string{
			{"A100008", "sonia.benali@example.org"}, // may begin
			{"A100008", "sonia.banali@example.org"}, // somebody else's address
			{"A100030", "luc.marchand@example.org"}, // activated already
			{"A100001", "sonia.benali@example.org"},
		} {
			same("activation", strings.Join(pair[:], " "), nobody, begin(pair[0], pair[1]))
		}
	}
}

// Somebody holds a stopwatch to the door:
//
//  1. 1,000 times a wrong password for agents who have one, and 1,000 times for
//     numbers that nobody has, of the same kind: a dozen of each, tried again
//     and again with the same wrong password, which costs no wait;
//  2. 1,000 times a wrong password for newcomers who have none yet, each once,
//     and as often for numbers that nobody has, each once;
//  3. all 4,000 in one random order, two at a time, through the entrance of a
//     known network, where no limit by address comes in between;
//  4. they rank the times, and ask whether one kind ranks higher.
//
// Under no difference the rank sum is normal with a known spread, whatever the
// machine does: the order is random, so what disturbs one kind disturbs the
// other. A fair pair of kinds passes four standard errors once in 16,000 times;
// a difference that an attacker could use over 2,000 tries does not stay below.
func TestAttackByClock(t *testing.T) {
	town := &Town{Base: freePorts(t, 5), Data: t.TempDir(), Program: Plain(t), tb: t}
	town.start([]string{"demo", "--base-port", strconv.Itoa(town.Base), "--data", town.Data})
	t.Cleanup(town.Close)
	const each, newcomers = 1000, 1000
	var file strings.Builder
	file.WriteString("agent_number;civil_family_name;given_names;org_unit_path;contract_start;professional_email\n")
	for i := range newcomers {
		fmt.Fprintf(&file, "T%06d;Nouveau;Prénom;Ville/Accueil;2020-01-01;t%06d@example.org\n", i, i)
	}
	name := filepath.Join(t.TempDir(), "hr.csv")
	write(t, name, file.String())
	var report struct{ Created int }
	runJSON(t, &report, "agent", "import", name, "--data", town.Data, "--json")
	if report.Created != newcomers {
		t.Fatalf("%d newcomers, not %d", report.Created, newcomers)
	}

	holders := []string{"A100001", "A100003", "A100004", "A100010", "A100020", "A100040", "A100050"}
	type try struct {
		kind       int // 0 and 1: somebody with a password, nobody; 2 and 3: somebody without one, nobody
		identifier string
		took       time.Duration
	}
	var tries []try
	for i := range each {
		tries = append(tries,
			try{kind: 0, identifier: holders[i%len(holders)]}, try{kind: 1, identifier: fmt.Sprintf("B10%04d", i%len(holders))},
			try{kind: 2, identifier: fmt.Sprintf("T%06d", i)}, try{kind: 3, identifier: fmt.Sprintf("U%06d", i)})
	}
	r := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	r.Shuffle(len(tries), func(i, j int) { tries[i], tries[j] = tries[j], tries[i] })
	fields := make([]url.Values, len(tries))
	for i, x := range tries {
		fields[i] = url.Values{"identifier": {x.identifier}, "password": {"always the same wrong one"}}
	}
	took := clocked(t, town.Portal(parvis.Internal)+"/signin", fields, 2, http.StatusUnprocessableEntity)
	for i := range took {
		tries[i].took = took[i]
	}
	if t.Failed() {
		return
	}
	times := [4][]time.Duration{}
	for _, x := range tries {
		times[x.kind] = append(times[x.kind], x.took)
	}
	sum, spread := 0.0, 0.0
	for i, what := range []string{"agents with a password", "agents without one"} {
		u, mean, sd := rankSum(times[2*i], times[2*i+1])
		auc, z := u/(2*mean), (u-mean)/sd
		sum, spread = sum+u-mean, math.Hypot(spread, sd)
		t.Logf("%s against nobody: AUC %.3f, z %.2f (medians %v, %v)", what, auc, z, median(times[2*i]), median(times[2*i+1]))
		if math.Abs(z) > 4 {
			t.Errorf("%s can be told from nobody by the clock: AUC %.3f, %.1f standard errors", what, auc, z)
		}
	}
	if z := sum / spread; math.Abs(z) > 4 {
		t.Errorf("over all 4,000 tries somebody can be told from nobody: %.1f standard errors", z)
	}
	clockActivation(t, town, r)
}

// The same at the activation, as often as one known network may ask: a right
// pair, for which a message leaves, against one that nobody has.
func clockActivation(t *testing.T, town *Town, r *rand.Rand) {
	const each = 180
	var forms []url.Values
	for i := range each {
		for _, kind := range []string{"T", "U"} {
			number := fmt.Sprintf("%s%06d", kind, i)
			forms = append(forms, url.Values{"agent_number": {number}, "email": {strings.ToLower(number) + "@example.org"}})
		}
	}
	r.Shuffle(len(forms), func(i, j int) { forms[i], forms[j] = forms[j], forms[i] })
	took := clocked(t, town.Portal(parvis.Internal)+"/activate", forms, 8, http.StatusOK)
	if t.Failed() {
		return
	}
	var right, nobody []time.Duration
	for i, f := range forms {
		if strings.HasPrefix(f.Get("agent_number"), "T") {
			right = append(right, took[i])
		} else {
			nobody = append(nobody, took[i])
		}
	}
	u, mean, sd := rankSum(right, nobody)
	z := (u - mean) / sd
	t.Logf("right pairs against nobody: AUC %.3f, z %.2f (medians %v, %v)", u/(2*mean), z, median(right), median(nobody))
	if math.Abs(z) > 4 {
		t.Errorf("a right pair can be told by the clock: AUC %.3f, %.1f standard errors", u/(2*mean), z)
	}
	town.Letter("t000000@example.org", func(l Letter) bool { return linkOf(l) != "" }) // or nothing was measured
}

// clocked sends forms in their order, some at once, and gives how long each
// answer took.
func clocked(t *testing.T, address string, forms []url.Values, atOnce, want int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, len(forms))
	var next atomic.Int64
	var hands sync.WaitGroup
	for range atOnce {
		hands.Go(func() {
			c := Client()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(forms) {
					return
				}
				body := forms[i].Encode()
				began := time.Now()
				res, err := c.Post(address, "application/x-www-form-urlencoded", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				took[i] = time.Since(began)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != want {
					t.Errorf("%v is answered with %d: %v", forms[i], res.StatusCode, err)
					return
				}
			}
		})
	}
	hands.Wait()
	return took
}

// rankSum gives the statistic of Mann and Whitney, and its mean and standard
// deviation when a and b are of one distribution.
func rankSum(a, b []time.Duration) (u, mean, sd float64) {
	sorted := slices.Sorted(slices.Values(b))
	for _, x := range a {
		below, _ := slices.BinarySearch(sorted, x)
		upTo, _ := slices.BinarySearch(sorted, x+1)
		u += float64(below) + float64(upTo-below)/2
	}
	n, m := float64(len(a)), float64(len(b))
	return u, n * m / 2, math.Sqrt(n * m * (n + m + 1) / 12)
}

func median(d []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(d))[len(d)/2].Round(10 * time.Microsecond)
}

// Somebody far away wants in, or at least wants the owner out:
//
//  1. the owner signed in once from their telephone, through the mobile entrance;
//  2. from elsewhere on the internet come 10,000 wrong passwords for their
//     number, eight at a time, over twenty hours;
//  3. in the middle of each thousand, the owner signs in from that telephone;
//  4. at the end the attacker has the right password, and uses it from elsewhere
//     while the wait lasts.
//
// Nobody gets in by guessing, in a day no more guesses are examined than the
// ladder has rungs, the owner gets in every time at the first try, and is told
// by mail. A wait says nothing about a right password.
func attackPasswords(t *testing.T, town *Town, day time.Time) {
	const batches, perBatch = 10, 1000
	town.SetClock(day)
	portal := town.Portal(parvis.Mobile)
	who := town.Person("A100001")
	owner := town.Visitor(t)
	if p := owner.SignIn(parvis.Mobile, who); p.Screen != "home" {
		t.Fatalf("the owner does not get in before it begins: %s", p.Screen)
	}
	letters := len(town.Letters(who.Email))
	before := lastEvent(t, town.Data)
	var answered [600]atomic.Int64
	for batch := range batches {
		var hands sync.WaitGroup
		var next atomic.Int64
		half := make(chan struct{})
		for range 8 {
			hands.Go(func() {
				c := Client()
				for {
					i := int(next.Add(1)) - 1
					if i == perBatch/2 {
						close(half)
					}
					if i >= perBatch {
						return
					}
					guess := url.Values{"identifier": {who.Number}, "password": {fmt.Sprintf("guess %d of %d", i, batch)}}
					res, err := c.PostForm(portal+"/signin", guess)
					if err != nil {
						t.Error(err)
						continue
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					answered[res.StatusCode].Add(1)
				}
			})
		}
		<-half
		owner.Post(portal+"/signout", url.Values{})
		if p := owner.SignIn(parvis.Mobile, who); p.Screen != "home" {
			t.Errorf("thousand %d: the owner sees %s %v", batch+1, p.Screen, p.Reasons)
		}
		hands.Wait()
		town.SetClock(day.Add(time.Duration(batch+1) * 121 * time.Minute))
	}
	total := int64(0)
	for status := range answered {
		n := answered[status].Load()
		total += n
		if n > 0 && status != http.StatusUnprocessableEntity && status != http.StatusForbidden && status != http.StatusTooManyRequests {
			t.Errorf("%d guesses are answered with %d", n, status)
		}
	}
	if total != batches*perBatch {
		t.Errorf("%d guesses were answered, not %d", total, batches*perBatch)
	}

	examined := 0
	for _, e := range events(t, town.Data, before) {
		if e.Kind == "sign_in.failed" && e.Agent == who.Number && e.Detail["class"] == "elsewhere" {
			examined++
		}
		if e.Kind == "sign_in.ok" && e.Detail["class"] == "elsewhere" {
			t.Errorf("event %d: a guess was right", e.Seq)
		}
	}
	// CNIL 2022-100, case 2: at most 25 in 24 hours; at least the first five.
	if examined < 5 || examined > 25 {
		t.Errorf("of %d guesses %d were examined in 20 hours", total, examined)
	}
	thief := stay(town.Visitor(t))
	wrong := thief.Post(portal+"/signin", url.Values{"identifier": {who.Number}, "password": {"one more guess"}})
	again := thief.Post(portal+"/signin", url.Values{"identifier": {who.Number}, "password": {"another guess"}})
	right := thief.Post(portal+"/signin", url.Values{"identifier": {who.Number}, "password": {who.Password}})
	if again.Screen != "locked_wait" || evidence(again, who.Number) != evidence(right, who.Number) {
		t.Errorf("during the wait (%s, then %s) the right password shows:\n%s", wrong.Screen, again.Screen, firstDifference(evidence(again, who.Number), evidence(right, who.Number)))
	}
	if got := len(town.Letters(who.Email)); got <= letters {
		t.Error("the owner was not told")
	}
	owner.Post(portal+"/signout", url.Values{})
	if p := owner.SignIn(parvis.Mobile, who); p.Screen != "home" {
		t.Errorf("at the end the owner sees %s %v", p.Screen, p.Reasons)
	}
}
