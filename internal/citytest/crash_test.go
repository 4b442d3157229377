package citytest

import (
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to look into the database from outside

	"parvis"
)

const rounds = 5

// The power fails: kill -9 at a moment that nobody chose, five times
// during each of an import, a storm of sign-ins and activations. What was
// acknowledged holds, what was not is wholly there or wholly absent, the
// database is sound, the log is whole and the next start is clean.
func TestKill(t *testing.T) {
	town := Open(t, "--data", t.TempDir())
	t.Run("during a storm of sign-ins", func(t *testing.T) { killStorm(t, town) })
	t.Run("during an activation", func(t *testing.T) { killActivation(t, town) })
	t.Run("during an import", func(t *testing.T) { killImport(t, town) }) // last: it makes every start heavier
}

// again starts the city after a kill and looks it over.
func again(t *testing.T, town *Town) {
	t.Helper()
	town.Again()
	if said := town.Output(); strings.Contains(said, "panic") || strings.Contains(said, "DATA RACE") {
		t.Fatalf("the start is not clean:\n%s", said)
	}
	db := look(t, town.Data)
	var sound string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("the database is not sound: %s %v", sound, err)
	}
	wholeLog(t, town.Data)
}

// look opens the database of a city for reading.
func look(t *testing.T, data string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "parvis.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Twenty thousand agents arrive. The importer is killed in the middle, five
// times, and every second time the server beside it too; each time the same
// file is simply sent again.
func killImport(t *testing.T, town *Town) {
	const agents = 20_000
	var b strings.Builder
	b.WriteString("agent_number;civil_family_name;given_names;org_unit_path;contract_start;professional_email\n")
	for i := range agents {
		fmt.Fprintf(&b, "K%06d;Œuvrard-Noël;Zoë %d;Ville/Direction %d;2020-01-01;k%d@example.org\n", i, i, i%40, i)
	}
	file := filepath.Join(t.TempDir(), "hr.csv")
	write(t, file, b.String())
	db := look(t, town.Data)
	arrived := func() (n int) {
		if err := db.QueryRow("SELECT count(*) FROM agent WHERE number LIKE 'K%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	killed := 0
	for round := range rounds {
		before := arrived()
		enough := before + 1 + rand.IntN(3000)
		importer := exec.Command(Plain(t), "agent", "import", file, "--data", town.Data)
		if err := importer.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- importer.Wait() }()
		for running := true; running && arrived() < enough; {
			select {
			case err := <-ended:
				ended <- err
				running = false
			case <-time.After(5 * time.Millisecond):
			}
		}
		if round%2 == 1 {
			town.Kill()
		}
		_ = importer.Process.Kill() // it may have ended by itself
		if err := <-ended; err != nil {
			killed++
		}
		if round%2 == 1 {
			again(t, town)
		} else {
			wholeLog(t, town.Data)
		}
		if n := arrived(); n < before || n%500 != 0 {
			t.Errorf("round %d: %d agents, after %d: a part of a transaction", round, n, before)
		}
	}
	if killed < 2 {
		t.Fatalf("the importer was killed %d times: the test would prove little", killed)
	}
	was, others := arrived(), 0
	if err := db.QueryRow("SELECT count(*) FROM agent WHERE number NOT LIKE 'K%'").Scan(&others); err != nil || others < 13 {
		t.Fatalf("%d agents of before are left: %v", others, err)
	}
	var report struct{ Created, Changed, Unchanged, Rejected int }
	runJSON(t, &report, "agent", "import", file, "--data", town.Data, "--json")
	if report.Created != agents-was || report.Unchanged != was || report.Changed != 0 || report.Rejected != 0 || arrived() != agents {
		t.Errorf("the last run: %+v after %d; %d agents in all", report, was, arrived())
	}
	runJSON(t, &report, "agent", "import", file, "--data", town.Data, "--json")
	if report.Created != 0 || report.Unchanged != agents || report.Changed != 0 {
		t.Errorf("once more: %+v", report)
	}
	different := 0
	if err := db.QueryRow("SELECT count(*) FROM (SELECT DISTINCT number FROM agent)").Scan(&different); err != nil || different != agents+others {
		t.Errorf("%d different agents, %v", different, err)
	}
	var list []struct{ Number string }
	runJSON(t, &list, "agent", "list", "K0199", "--limit", "1000", "--data", town.Data, "--json")
	if len(list) != 100 {
		t.Errorf("the list shows %d of 100", len(list))
	}
	wholeLog(t, town.Data)
}

// Eight agents sign in, again and again, each time in a new browser. The
// server is killed while they do. Every cookie that arrived in a browser opens
// its session afterwards; and what a session was told to forget stays forgotten.
func killStorm(t *testing.T, town *Town) {
	var people []Person
	for _, number := range []string{"A100001", "A100004", "A100006", "A100010", "A100020", "A100030", "A100040", "A100050"} {
		people = append(people, town.Person(number))
	}
	portal := town.Portal(parvis.Internal)
	opens := func(cookie string) bool {
		p := Client()
		req, err := http.NewRequest(http.MethodGet, portal+"/security", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", "parvis="+cookie)
		res, err := p.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	var living, ended []string
	for round := range rounds {
		var mu sync.Mutex
		var acknowledged atomic.Int64
		var hands sync.WaitGroup
		enough := make(chan struct{})
		least := int64(4 + rand.IntN(16))
		for _, who := range people {
			hands.Go(func() {
				c := Client()
				for {
					res, err := c.PostForm(portal+"/signin", url.Values{"identifier": {who.Number}, "password": {who.Password}})
					if err != nil {
						return // it was killed
					}
					cookie := cookieIn(res, "parvis")
					_ = res.Body.Close()
					if cookie == "" {
						if res.StatusCode != http.StatusServiceUnavailable {
							t.Errorf("%s is answered with %d", who.Number, res.StatusCode)
							return
						}
						continue
					}
					mu.Lock()
					living = append(living, cookie)
					mu.Unlock()
					if acknowledged.Add(1) == least {
						close(enough)
					}
				}
			})
		}
		<-enough
		if round > 0 { // one of an earlier round signs out in the middle
			req, _ := http.NewRequest(http.MethodPost, portal+"/signout", http.NoBody)
			req.Header.Set("Cookie", "parvis="+living[0])
			if res, err := Client().Do(req); err == nil {
				_ = res.Body.Close()
				mu.Lock()
				ended, living = append(ended, living[0]), living[1:]
				mu.Unlock()
			}
		}
		town.Kill()
		hands.Wait()
		if t.Failed() {
			return
		}
		again(t, town)
		for i, cookie := range living {
			if !opens(cookie) {
				t.Errorf("round %d: acknowledged session %d of %d is lost", round, i, len(living))
			}
		}
		for _, cookie := range ended {
			if opens(cookie) {
				t.Errorf("round %d: a session that was ended is back", round)
			}
		}
	}
	if len(ended) != rounds-1 {
		t.Errorf("%d sessions ended, not %d", len(ended), rounds-1)
	}
}

// cookieIn is the value that an answer gives to a cookie.
func cookieIn(res *http.Response, name string) string {
	for _, c := range res.Cookies() {
		if c.Name == name && c.MaxAge >= 0 {
			return c.Value
		}
	}
	return ""
}

// A newcomer activates with a code from paper, and the power fails at every
// step: after the code, after the identity was confirmed, and while the
// password is stored. The same code resumes where they were; once the password
// was acknowledged it works, and before that either it or the code does, never
// neither and never both.
func killActivation(t *testing.T, town *Town) {
	var b strings.Builder
	b.WriteString("agent_number;civil_family_name;given_names;org_unit_path;contract_start\n")
	for i := range rounds {
		fmt.Fprintf(&b, "N%05d;Nouvelle;Personne;Ville/Accueil;2020-01-01\n", i)
	}
	file := filepath.Join(t.TempDir(), "hr.csv")
	write(t, file, b.String())
	if out, errs, status := RunPlain(t, "agent", "import", file, "--data", town.Data, "--override", "crash test"); status != 0 {
		t.Fatalf("the import ended with %d:\n%s%s", status, out, errs)
	}
	portal := town.Portal(parvis.Internal)
	const password = "huit bateaux bleus sous la pluie"
	redeem := func(code string) (*Visitor, *Page) {
		v := town.Visitor(t)
		return v, v.Post(portal+"/activate", url.Values{"code": {code}})
	}
	for round := range rounds {
		number := fmt.Sprintf("N%05d", round)
		code := activationCode(t, town.Data, number)
		if _, p := redeem(code); p.Screen != "activation_overview" {
			t.Fatalf("%s: the code leads to %s", number, p.Screen)
		}
		if round%2 == 0 {
			town.Kill()
			again(t, town)
		}
		v, p := redeem(code)
		if p.Screen != "activation_overview" {
			t.Fatalf("%s: after the kill the same code leads to %s: %s", number, p.Screen, p.Text())
		}
		before := p.Text()
		if p = v.Submit(v.Get(portal+"/activate/identity"), map[string]string{"answer": "right"}); p.Screen != "activation_agent_account" {
			t.Fatalf("%s: confirming led to %s", number, p.Screen)
		}
		if round%2 == 1 {
			town.Kill()
			again(t, town)
		}
		v, p = redeem(code)
		if p.Screen != "activation_overview" || p.Text() == before {
			t.Fatalf("%s: the confirmation is forgotten, or the list (%s)", number, p.Screen)
		}
		acknowledged := make(chan bool, 1)
		cookie := cookieOf(t, v, portal, "parvis-activation")
		go func() {
			req, err := http.NewRequest(http.MethodPost, portal+"/activate/password", strings.NewReader(url.Values{"new_password": {password}}.Encode()))
			if err != nil {
				acknowledged <- false
				return
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Cookie", "parvis-activation="+cookie)
			res, err := Client().Do(req)
			if err != nil {
				acknowledged <- false
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			acknowledged <- res.StatusCode == http.StatusSeeOther
		}()
		stored := false
		if round == 0 { // at least one is acknowledged, and then the power fails
			stored = <-acknowledged
			town.Kill()
		} else {
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			town.Kill()
			stored = <-acknowledged
		}
		again(t, town)
		_, byCode := redeem(code)
		byPassword := town.Visitor(t).SignIn(parvis.Internal, Person{Number: number, Password: password})
		works, resumes := byPassword.Screen == "home", byCode.Screen == "activation_overview"
		if stored && !works || works == resumes || round == 0 && !stored {
			t.Errorf("%s: acknowledged %v, the password works %v (%s), the code resumes %v (%s)", number, stored, works, byPassword.Screen, resumes, byCode.Screen)
		}
		t.Logf("%s: acknowledged %v, the password works %v", number, stored, works)
	}
}

// activationCode has a code issued to hand over.
func activationCode(tb testing.TB, data, number string) string {
	tb.Helper()
	var shown struct {
		Code string `json:"activation_code"`
	}
	runJSON(tb, &shown, "agent", "show", number, "--activation-code", "--data", data, "--json")
	if shown.Code == "" {
		tb.Fatalf("no activation code for %s", number)
	}
	return shown.Code
}
