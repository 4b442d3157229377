package citytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis"
)

// Thieves who have the password already, and meet the second proof. Each attack
// takes other agents than the rest.
func TestAttacksOnTheSecondProof(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	day := officeDay(t, 10, 0)
	t.Run("one code twice", func(t *testing.T) { attackReplay(t, town, day) })
	t.Run("codes guessed across sessions", func(t *testing.T) { attackGuess(t, town, day.Add(time.Hour)) })
	t.Run("enrolment with a stolen password", func(t *testing.T) { attackEnrol(t, town) })
	t.Run("the last proof", func(t *testing.T) { attackLast(t, town, day.Add(2*time.Hour)) })
	t.Run("a passkey of another origin", func(t *testing.T) { attackPasskey(t, town, day.Add(3*time.Hour)) })
	t.Run("a number flooded", func(t *testing.T) { attackFlood(t, town, day.AddDate(0, 0, 7)) })
	wholeLog(t, town.Data)
}

// atSecond brings a new browser to the page that asks for a code.
func atSecond(t *testing.T, town *Town, who Person) (*Visitor, *Page) {
	t.Helper()
	v := town.Visitor(t)
	return v, v.SignIn(parvis.Mobile, who).at(t, "second_factor")
}

// Somebody looks over Paul's shoulder, and knows his password:
//
//  1. Paul's code opens the door to him;
//  2. the same code, in the thief's browser, six times: refused as used, and not
//     counted against Paul, whose next code is still examined;
//  3. the next code, from twenty browsers in the same moment: one gets in.
func attackReplay(t *testing.T, town *Town, day time.Time) {
	paul := town.Person("A100005")
	tel := telephone(t, town, day, paul.TOTPSecret)
	v, p := atSecond(t, town, paul)
	seen := tel.code(0)
	v.press(p, "/signin", map[string]string{"code": seen}).at(t, "home")

	thief, p := atSecond(t, town, paul)
	for range 6 {
		p = thief.press(p, "/signin", map[string]string{"code": seen})
		if p.Screen != "second_factor" || !p.Has("code_reused") {
			t.Fatalf("a used code: %s %v", p.Screen, p.Reasons)
		}
	}

	const browsers = 20
	tel = telephone(t, town, day.Add(5*time.Minute), paul.TOTPSecret)
	all, pages := make([]*Visitor, browsers), make([]*Page, browsers)
	for i := range all {
		if i%10 == 9 { // thirty hashed tries a minute from one address
			tel = telephone(t, town, day.Add(5*time.Minute+time.Duration(i/10+1)*time.Minute), paul.TOTPSecret)
		}
		all[i], pages[i] = atSecond(t, town, paul)
	}
	code := tel.code(0)
	var work sync.WaitGroup
	for i := range all {
		work.Go(func() { pages[i] = all[i].press(pages[i], "/signin", map[string]string{"code": code}) })
	}
	work.Wait()
	in := 0
	for i, p := range pages {
		switch {
		case p.Screen == "home":
			in++
		case p.Screen != "second_factor" || !p.Has("code_reused"):
			t.Errorf("browser %d: %s %v", i, p.Screen, p.Reasons)
		}
	}
	if in != 1 {
		t.Errorf("one code let %d browsers in", in)
	}
}

// Somebody has Nadia's password and guesses codes, each in a new browser, so
// that no session counts more than one:
//
//  1. twelve wrong codes: five are examined at most, then all wait;
//  2. while they wait, even the right code is not examined;
//  3. after the wait Nadia gets in: she was delayed, not locked out.
func attackGuess(t *testing.T, town *Town, day time.Time) {
	nadia := town.Person("A100020")
	tel := telephone(t, town, day, nadia.TOTPSecret)
	examined := 0
	for i := range 12 {
		v, p := atSecond(t, town, nadia)
		wrong := fmt.Sprintf("%06d", 137*(i+1))
		if wrong == tel.code(-1) || wrong == tel.code(0) || wrong == tel.code(1) {
			wrong = "999991"
		}
		p = v.press(p, "/signin", map[string]string{"code": wrong})
		switch {
		case p.Screen != "second_factor" && p.Screen != "locked_wait":
			t.Fatalf("guess %d leads to %s %v", i, p.Screen, p.Reasons)
		case p.Has("code_incorrect"):
			examined++
		case !p.Has("code_try_limit"):
			t.Errorf("guess %d: %s %v", i, p.Screen, p.Reasons)
		}
	}
	if examined == 0 || examined > 5 {
		t.Errorf("%d codes were examined", examined)
	}
	v, p := atSecond(t, town, nadia)
	if p = v.press(p, "/signin", map[string]string{"code": tel.code(0)}); p.Screen == "home" || !p.Has("code_try_limit") {
		t.Errorf("the right code, while all wait: %s %v", p.Screen, p.Reasons)
	}
	tel = telephone(t, town, day.Add(10*time.Minute), nadia.TOTPSecret)
	v, p = atSecond(t, town, nadia)
	v.press(p, "/signin", map[string]string{"code": tel.code(0)}).at(t, "home")
}

// proofsOf are the kinds of proof that an agent holds.
func proofsOf(t *testing.T, town *Town, number string) []string {
	t.Helper()
	out, errs, status := Run(t, "agent", "show", number, "--json", "--data", town.Data)
	var v struct {
		Proofs []string `json:"proofs"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || status != 0 {
		t.Fatalf("agent show: %d %v\n%s", status, err, errs)
	}
	return v.Proofs
}

// Somebody has Luc's password, who holds no second proof, and wants to be the
// first to enrol one, from outside:
//
//  1. the pages of every kind: refused, with the ways of the true owner;
//  2. their forms without the pages, with the offer that a colleague of theirs
//     got inside: refused;
//  3. Luc holds nothing, and no message says that he does.
func attackEnrol(t *testing.T, town *Town) {
	luc := town.Person("A100030")
	v := town.Visitor(t)
	v.SignIn(parvis.Mobile, luc).at(t, "home")
	portal := town.Portal(parvis.Mobile)

	denis := town.Visitor(t)
	denis.SignIn(parvis.Internal, town.Person("A100010")).at(t, "home")
	offer := denis.Get(town.Portal(parvis.Internal)+"/security/factors/totp").at(t, "security_factors_totp")
	ticket := fieldOf(offer, "ticket")
	if ticket == "" {
		t.Fatalf("the offer has no ticket:\n%s", offer.Body)
	}
	code := oathtool(t, keyOf(t, offer))

	for _, kind := range []string{"totp", "sms", "passkey", "codes"} {
		for what, p := range map[string]*Page{
			"page": v.Get(portal + "/security/factors/" + kind),
			"form": v.Post(portal+"/security/factors/"+kind, url.Values{
				"ticket": {ticket}, "code": {code}, "passkey_ticket": {ticket}, "passkey": {"{}"},
				"phone": {"06 39 98 11 01"}, "send": {"1"}, "name": {"mine"},
			}),
		} {
			if p.Status != http.StatusForbidden || !p.Has("factor_enrol_here_forbidden") {
				t.Errorf("the %s of %s: %d %s %v", what, kind, p.Status, p.Screen, p.Reasons)
			}
		}
	}
	if held := proofsOf(t, town, luc.Number); !slices.Equal(held, []string{"password"}) {
		t.Errorf("the thief enrolled %v", held)
	}
	if all := town.Letters(url.QueryEscape("+262639981101")); len(all) != 0 {
		t.Errorf("a text message left: %+v", all)
	}
	for _, l := range town.Letters(luc.Email) {
		if strings.Contains(l.Subject, "méthode") || strings.Contains(l.Subject, "codes de secours") {
			t.Errorf("Luc is told: %s", l.Subject)
		}
	}
}

// Somebody sits down at Hélène's open session, and wants the account to be
// open with the password alone from now on:
//
//  1. the list offers no removal of the only proof;
//  2. the form sent all the same is refused, and nothing has changed.
func attackLast(t *testing.T, town *Town, day time.Time) {
	helene := town.Person("A100003")
	tel := telephone(t, town, day, helene.TOTPSecret)
	v, p := atSecond(t, town, helene)
	v.press(p, "/signin", map[string]string{"code": tel.code(0)}).at(t, "home")
	portal := town.Portal(parvis.Mobile)
	one := factorOf(t, v, portal, "totp")
	if p = v.Get(portal + one); strings.Contains(p.Body, one+"?remove=1") {
		t.Error("the removal of the only proof is offered")
	}
	p = v.Post(portal+one, url.Values{"act": {"remove"}})
	if p.Status != http.StatusUnprocessableEntity || !p.Has("factor_removal_forbidden") {
		t.Errorf("removal of the only proof: %d %s %v", p.Status, p.Screen, p.Reasons)
	}
	if held := proofsOf(t, town, helene.Number); !slices.Equal(held, []string{"password", "totp"}) {
		t.Errorf("Hélène holds %v", held)
	}
	atSecond(t, town, helene)
}

// Agnès made a passkey at the mobile portal. Somebody lures her to a copy of
// it, that passes on what the true one asks:
//
//  1. the authenticator signs for the host that the browser is at: refused;
//  2. a browser that lies to the authenticator but tells its origin: refused;
//  3. the origin corrected after the signature: refused;
//  4. another host of the same city: refused;
//  5. a good answer, stolen on its way and sent first from another browser, or
//     once more from anywhere: refused;
//  6. the passkey itself, at its own place, still opens.
func attackPasskey(t *testing.T, town *Town, day time.Time) {
	agnes := town.Person("A100040")
	tel := telephone(t, town, day, agnes.TOTPSecret)
	portal := town.Portal(parvis.Mobile)
	key := newSoftKey(t, portal)
	v, p := atSecond(t, town, agnes)
	v.press(p, "/signin", map[string]string{"code": tel.code(0)}).at(t, "home")
	p = v.Get(portal+"/security/factors/passkey").at(t, "security_factors_passkey")
	v.press(p, "/security/factors/passkey", map[string]string{"passkey": key.create(p)}).at(t, "security_factors")

	const lure = "http://nomade.localhost.example.net"
	trueSite, trueOrigin := key.site, key.origin
	for what, k := range map[string]struct {
		site, origin string
		alter        func([]byte) []byte
	}{
		"signed for the lure":       {"nomade.localhost.example.net", lure, nil},
		"told its origin":           {trueSite, lure, nil},
		"corrected after":           {trueSite, lure, func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), lure, trueOrigin)) }},
		"another host of the city":  {"agents.localhost", town.Portal(parvis.Internal), nil},
		"the same host, other port": {trueSite, "http://nomade.localhost:1", nil},
	} {
		v := town.Visitor(t)
		p := v.Get(portal + "/signin")
		key.site, key.origin = k.site, k.origin
		p = v.press(p, "/signin", map[string]string{"passkey": key.get(p, k.alter)})
		if p.Screen == "home" || v.Get(portal+"/").Screen == "home" {
			t.Errorf("%s: it opens", what)
		}
	}
	key.site, key.origin = trueSite, trueOrigin

	v = town.Visitor(t)
	p = v.Get(portal + "/signin")
	answer := key.get(p, nil)
	thief := town.Visitor(t)
	if p := thief.press(thief.Get(portal+"/signin"), "/signin", map[string]string{"passkey": answer}); p.Screen == "home" {
		t.Error("the answer to one page opens another")
	}
	v.press(p, "/signin", map[string]string{"passkey": answer}).at(t, "home")
	if p := town.Visitor(t).press(p, "/signin", map[string]string{"passkey": answer}); p.Screen == "home" {
		t.Error("one answer opens twice")
	}
}

// Somebody has Camille's password, and makes the telephone ring to wear her
// down, or to run up a bill:
//
//  1. a code asked for from new browsers, again and again: three in a quarter
//     of an hour, the enrolment's among them;
//  2. a colleague's session that enrols the same number: it counts for the
//     number;
//  3. a whole day of it: ten.
func attackFlood(t *testing.T, town *Town, day time.Time) {
	camille := town.Person("A100001")
	town.SetClock(day)
	number := url.QueryEscape("+262639981102") // 06 39 98 is of nobody
	v := town.Visitor(t)
	v.SignIn(parvis.Internal, camille).at(t, "home")
	inside := town.Portal(parvis.Internal)
	p := v.Submit(v.Get(inside+"/security/factors/sms").at(t, "security_factors_sms"), map[string]string{"phone": "06 39 98 11 02"})
	v.Submit(p, map[string]string{"code": smsCode(t, town, number, 0), "name": "Portable"}).at(t, "security_factors")

	ask := func() {
		t.Helper()
		v, p := atSecond(t, town, camille) // which sends one by itself
		p = v.press(p, "/signin", map[string]string{"send": "1"})
		if p.Screen != "second_factor" || p.Status != http.StatusOK && !p.Has("code_send_limit") {
			t.Errorf("sending: %d %s %v", p.Status, p.Screen, p.Reasons)
		}
	}
	arrived := func(n int, in string) {
		t.Helper()
		for range 100 {
			if len(town.Letters(number)) >= n {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond) // one too many would be on its way
		if got := len(town.Letters(number)); got != n {
			t.Errorf("%d messages in %s, not %d", got, in, n)
		}
	}
	for range 5 {
		ask()
	}
	arrived(3, "a quarter of an hour")
	denis := town.Visitor(t)
	denis.SignIn(parvis.Internal, town.Person("A100010")).at(t, "home")
	p = denis.Submit(denis.Get(inside+"/security/factors/sms").at(t, "security_factors_sms"), map[string]string{"phone": "+262 639 98 11 02"})
	if !p.Has("code_send_limit") {
		t.Errorf("another account, the same number: %d %s %v", p.Status, p.Screen, p.Reasons)
	}
	for i := range 6 {
		town.SetClock(day.Add(time.Duration(i+1) * time.Hour))
		ask()
		ask()
	}
	arrived(10, "a day")
}
