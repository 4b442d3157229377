package recovery

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestActivationByHandedCode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100002", nil)
		code := town.issue("A100002")
		first := town.redeem(Redemption{Code: strings.ToLower(strings.ReplaceAll(code, "-", " "))})
		if !first.Expires.Equal(clock.Now().UTC().Add(flowGood)) {
			t.Errorf("the cookie ends %v", first.Expires)
		}
		list, err := town.desk.Overview(t.Context(), first.Cookie)
		if err != nil {
			t.Fatal(err)
		}
		if list.Done != 0 || list.Of != 2 || list.Agent.Number != "A100002" || list.Second {
			t.Errorf("overview: %+v", list)
		}
		if err := town.desk.ConfirmIdentity(t.Context(), first.Cookie, at("198.51.100.1")); err != nil {
			t.Fatal(err)
		}
		// Another device resumes with the same code, and finds what was done.
		second := town.redeem(Redemption{Code: code, AgentNumber: "a100002", Origin: at("203.0.113.9")})
		if list, err = town.desk.Overview(t.Context(), second.Cookie); err != nil || list.Done != 1 {
			t.Errorf("resumed: %+v, %v", list, err)
		}
		weak, err := town.set(second.Cookie, "motdepasse")
		if err != nil || weak.Done || !slices.Contains(reasons(weak), parvis.WhyPasswordRuleLength) {
			t.Errorf("a weak password: %+v, %v", weak, err)
		}
		stored, err := town.set(second.Cookie, good)
		if err != nil || !stored.Done || !stored.Completed || stored.Agent != "A100002" {
			t.Fatalf("stored: %+v, %v", stored, err)
		}
		standing, err := s.Standing(t.Context(), "A100002")
		if err != nil || !standing.Activated {
			t.Errorf("standing %+v, %v", standing, err)
		}
		// Nothing is left of the way in.
		for _, cookie := range []seal.Secret{first.Cookie, second.Cookie} {
			if _, err := town.desk.Overview(t.Context(), cookie); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("a flow survives: %v", err)
			}
			if _, err := town.set(cookie, "quatre nuages au bord du canal"); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("the password is changed by an old flow: %v", err)
			}
		}
		town.refused(Redemption{Code: code}, parvis.WhyActivationCodeUsed)
		if _, _, err := town.desk.Issue(t.Context(), "A100002", "operator:ines"); parvis.CodeOf(err) != parvis.CodeConflict {
			t.Errorf("a code for an activated account: %v", err)
		}
		if got := town.mails("A100002"); !slices.Equal(got, []string{"mail_reset_done a100002@ville.example.org"}) {
			t.Errorf("mails %q", got)
		}
		for _, kind := range []string{"activation.code_issued", "activation.redeemed", "activation.identity_confirmed", "password.changed", "activation.completed"} {
			if len(town.events(kind)) == 0 {
				t.Errorf("no event %s", kind)
			}
		}
	})
}

func reasons(s Stored) []parvis.ReasonCode {
	var all []parvis.ReasonCode
	for _, r := range s.Reasons {
		all = append(all, r.Code)
	}
	return all
}

// Whether or not the pair matches, and whatever the account, the answer is one.
func TestStartSaysNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100008", func(a *parvis.Agent) { a.PersonalEmail = "alex@perso.example.org" })
		town.agent("A100003", func(a *parvis.Agent) {
			a.ContractFrom, a.Absence, a.AbsenceFrom = clock.Now().AddDate(-1, 0, 0), parvis.PrecautionaryOff, clock.Now().AddDate(0, 0, -1)
		})
		town.agent("A100001", nil)
		stored, err := town.set(town.redeem(Redemption{Code: town.issue("A100001")}).Cookie, good)
		if err != nil || !stored.Done {
			t.Fatal(stored, err)
		}
		want := town.start("A100008", "A100008@ville.example.org", "198.51.100.1")
		if len(want.Reasons) != 1 || want.Reasons[0].Code != parvis.WhyIdentityPairNeutral || want.Subject == "" || want.Sender == "" {
			t.Fatalf("answer %+v", want)
		}
		for _, pair := range [][2]string{
			{"A100001", "a100001@ville.example.org"},
			{"A100003", "a100003@ville.example.org"},
			{"A100008", "somebody@ville.example.org"},
			{"A999999", "a999999@ville.example.org"},
			{"not a number", "not an address"},
			{"", ""},
		} {
			if diff := cmp.Diff(want, town.start(pair[0], pair[1], "198.51.100.2")); diff != "" {
				t.Errorf("%q is told apart:\n%s", pair, diff)
			}
		}
		for number, want := range map[parvis.AgentNumber][]string{
			"A100008": {"mail_activation a100008@ville.example.org", "mail_activation alex@perso.example.org"},
			"A100001": {"mail_blocked_cause a100001@ville.example.org", "mail_reset_done a100001@ville.example.org"},
			"A100003": {"mail_blocked_cause a100003@ville.example.org"},
			"A999999": nil,
		} {
			if got := town.mails(number); !slices.Equal(got, want) {
				t.Errorf("mails to %s: %q, want %q", number, got, want)
			}
		}
		for _, e := range town.events("activation.requested") {
			if e.Agent == "A999999" {
				t.Error("an agent who does not exist is named in the trail")
			}
		}
	})
}

func TestStartIsLimitedAlike(t *testing.T) {
	town := sqlite(t)
	town.agent("A100008", nil)
	for _, number := range []string{"A100008", "A999999"} {
		email := strings.ToLower(number) + "@ville.example.org"
		for try := range 5 {
			answer := town.start(number, email, "198.51.100."+string(rune('1'+try)))
			want := parvis.WhyIdentityPairNeutral
			if try >= 3 {
				want = "recovery_rate_limited"
			}
			if answer.Reasons[0].Code != want {
				t.Errorf("%s, try %d: %v", number, try+1, answer.Reasons)
			}
			if try >= 3 && !answer.Reasons[0].At.Equal(town.clock.Now().UTC().Add(quarter)) {
				t.Errorf("until %v", answer.Reasons[0].At)
			}
		}
	}
	town.clock.Move(quarter)
	if answer := town.start("A100008", "a100008@ville.example.org", "198.51.100.1"); answer.Reasons[0].Code != parvis.WhyIdentityPairNeutral {
		t.Errorf("a quarter of an hour later: %v", answer.Reasons)
	}
	// Many pairs from one address.
	limited := 0
	for i := range 30 {
		if town.start("B"+string(rune('A'+i)), "x@ville.example.org", "203.0.113.1").Reasons[0].Code != parvis.WhyIdentityPairNeutral {
			limited++
		}
	}
	if limited != 10 {
		t.Errorf("%d of 30 from one address were stopped, want 10", limited)
	}
}

// The answer waits for the next whole floor, whatever the work took.
func TestFloor(t *testing.T) {
	town := sqlite(t)
	town.desk.Floor = 30 * time.Millisecond
	began := time.Now()
	town.start("A1", "x@y.example", "198.51.100.1")
	if took := time.Since(began); took < town.desk.Floor {
		t.Errorf("answered after %v", took)
	}
}

// The code and the link of the last mail open the list; those before do not.
func TestMailCodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100008", nil)
		put := func() (code, token string) {
			code, token = town.desk.newTicket()
			err := s.Write(t.Context(), func(tx *store.Tx) error {
				return town.desk.put(t.Context(), tx, "A100008", "mail", "system", code, token, tx.Now().Add(mailGood))
			})
			if err != nil {
				t.Fatal(err)
			}
			return code, token
		}
		oldCode, oldToken := put()
		handed := town.issue("A100008")
		begun := town.redeem(Redemption{Link: oldToken})
		clock.Move(time.Minute)
		code, token := put()
		town.refused(Redemption{Link: oldToken}, "recovery_link_replaced")
		town.refused(Redemption{Code: oldCode}, parvis.WhyActivationCodeExpired)
		if _, err := town.set(begun.Cookie, good); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("a flow goes on under a replaced link: %v", err)
		}
		town.redeem(Redemption{Code: code})
		town.redeem(Redemption{Link: token})
		town.redeem(Redemption{Code: handed}) // another kind: not replaced
		again := town.issue("A100008")
		town.refused(Redemption{Code: handed}, parvis.WhyActivationCodeExpired)
		town.redeem(Redemption{Code: again})
		for _, wrong := range []Redemption{{Link: code}, {Link: token + "A"}, {Code: token}, {Link: " "}, {}} {
			wrong.Origin = at("203.0.113.77")
			town.refused(wrong, parvis.WhyActivationCodeIncorrect)
		}
		clock.Move(mailGood)
		if why := town.refused(Redemption{Link: token}, parvis.WhyActivationCodeExpired); !why.At.Equal(clock.Now().UTC()) {
			t.Errorf("expired at %v", why.At)
		}
		clock.Move(handOverGood)
		town.refused(Redemption{Code: again}, parvis.WhyActivationCodeExpired)
	})
}

// wrong codes are few, alike, and a code serves its own agent.
func TestCodesAreNotGuessed(t *testing.T) {
	town := sqlite(t)
	town.agent("A100002", nil)
	town.agent("A100008", nil)
	code := town.issue("A100002")
	town.refused(Redemption{Code: code, AgentNumber: "A100008"}, parvis.WhyActivationCodeIncorrect)
	town.refused(Redemption{Code: code, AgentNumber: "???"}, parvis.WhyActivationCodeIncorrect)
	for range 20 { // a slip is no try
		slip := []byte(code)
		slip[0], slip[1] = slip[1], slip[0]
		if slip[0] != slip[1] {
			town.refused(Redemption{Code: string(slip)}, parvis.WhyActivationCodeIncorrect)
		}
	}
	for range 3 {
		town.refused(Redemption{Code: newCode()}, parvis.WhyActivationCodeIncorrect)
	}
	if why := town.refused(Redemption{Code: code}, parvis.WhyRateLimited); !why.At.Equal(town.clock.Now().UTC().Add(quarter)) {
		t.Errorf("until %v", why.At)
	}
	town.redeem(Redemption{Code: code, Origin: at("203.0.113.5")})
	town.clock.Move(quarter)
	for range 20 { // right ones are not counted
		town.redeem(Redemption{Code: code})
	}
	// From many addresses at once, one number has five tries.
	for i := range 5 {
		town.refused(Redemption{Code: newCode(), AgentNumber: "A100002", Origin: at("192.0.2." + string(rune('1'+i)))}, parvis.WhyActivationCodeIncorrect)
	}
	town.refused(Redemption{Code: newCode(), AgentNumber: "A100002", Origin: at("192.0.2.9")}, parvis.WhyRateLimited)
}

// fifty at once, one success.
func TestRaces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.desk.Vault.Waiting = 100
		town.agent("A100002", nil)
		code := town.issue("A100002")
		const many = 50
		cookies := make([]seal.Secret, many)
		var wait sync.WaitGroup
		for i := range cookies {
			wait.Go(func() {
				out, err := town.desk.Redeem(context.WithoutCancel(t.Context()), Redemption{Code: code, Origin: at("198.51.100.1")})
				if err != nil || out.Cookie == "" {
					t.Errorf("%v, %v", out.Reasons, err)
				}
				cookies[i] = out.Cookie
			})
		}
		wait.Wait()
		var done atomic.Int32
		for i, cookie := range cookies {
			if i%2 == 1 {
				cookie = cookies[0] // half of them through one flow, half each through its own
			}
			wait.Go(func() {
				out, err := town.set(cookie, good+string(rune('a'+i%26)))
				switch {
				case err == nil && out.Done:
					done.Add(1)
				case parvis.CodeOf(err) != parvis.CodeNotFound:
					t.Errorf("a loser is told %v %v", out, err)
				}
			})
		}
		wait.Wait()
		if n := len(town.events("activation.completed")); done.Load() != 1 || n != 1 {
			t.Errorf("%d succeeded, %d recorded; want one", done.Load(), n)
		}
	})
}

func TestFlowsEnd(t *testing.T) {
	town := sqlite(t)
	town.agent("A100002", nil)
	code := town.issue("A100002")
	out := town.redeem(Redemption{Code: code})
	id, secret, _ := strings.Cut(out.Cookie.Reveal(), ".")
	for _, forged := range []string{"", ".", id, id + ".", "." + secret, id + "." + secret + "A", strings.ToUpper(id) + "." + secret} {
		if _, err := town.desk.Overview(t.Context(), seal.Secret(forged)); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("a forged cookie: %v", err)
		}
	}
	town.clock.Move(flowGood)
	if _, err := town.desk.Overview(t.Context(), out.Cookie); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("after its hour: %v", err)
	}
	if err := town.desk.ConfirmIdentity(t.Context(), out.Cookie, at("198.51.100.1")); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("after its hour: %v", err)
	}
	if list, err := town.desk.Overview(t.Context(), town.redeem(Redemption{Code: code}).Cookie); err != nil || list.Done != 0 {
		t.Errorf("resumed: %+v, %v", list, err)
	}
}

func TestWhoMayActivate(t *testing.T) {
	town := sqlite(t)
	ago := town.clock.Now().AddDate(0, -1, 0)
	for number, test := range map[parvis.AgentNumber]struct {
		change func(*parvis.Agent)
		want   parvis.Code
	}{
		"A1": {nil, ""}, // arrives in a week
		"A2": {func(a *parvis.Agent) { a.ContractFrom = ago }, ""},
		"A3": {func(a *parvis.Agent) {
			a.ContractFrom, a.Absence, a.AbsenceFrom = ago, parvis.PrecautionaryOff, ago
		}, parvis.CodeRefused},
		"A4": {func(a *parvis.Agent) { a.DeceasedOn = ago }, parvis.CodeRefused},
	} {
		town.agent(number, test.change)
		if _, _, err := town.desk.Issue(t.Context(), number, "operator:ines"); parvis.CodeOf(err) != test.want {
			t.Errorf("%s: %v, want %q", number, err, test.want)
		}
	}
	for number, by := range map[parvis.AgentNumber]string{"A1": "A1", "A2": ""} {
		if _, _, err := town.desk.Issue(t.Context(), number, by); parvis.CodeOf(err) != parvis.CodeRefused {
			t.Errorf("handed over by %q: %v", by, err)
		}
	}
	if _, _, err := town.desk.Issue(t.Context(), "A9", "operator:ines"); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("for nobody: %v", err)
	}
	// Suspended between the code and the password.
	code := town.issue("A2")
	begun := town.redeem(Redemption{Code: code})
	town.agent("A2", func(a *parvis.Agent) {
		a.ContractFrom, a.Absence, a.AbsenceFrom = ago, parvis.PrecautionaryOff, ago
	})
	town.refused(Redemption{Code: code}, parvis.WhyAccountSuspended)
	if _, err := town.set(begun.Cookie, good); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("a suspended account was activated: %v", err)
	}
}

func TestDisputedIdentity(t *testing.T) {
	town := sqlite(t)
	town.agent("A100002", nil)
	begun := town.redeem(Redemption{Code: town.issue("A100002")})
	if err := town.desk.ReportWrongIdentity(t.Context(), begun.Cookie, at("198.51.100.1"), "my name\r\n is\x00 Martine "+strings.Repeat("é", 900)); err != nil {
		t.Fatal(err)
	}
	list, err := town.desk.Overview(t.Context(), begun.Cookie)
	if err != nil || list.Disputed.IsZero() || list.Done != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	events := town.events("activation.identity_disputed")
	if len(events) != 1 || events[0].Agent != "A100002" || strings.ContainsAny(events[0].Detail["what"], "\r\n") || len([]rune(events[0].Detail["what"])) > 500 {
		t.Errorf("recorded %+v", events)
	}
	if stored, err := town.set(begun.Cookie, good); err != nil || !stored.Done {
		t.Errorf("the activation does not go on: %+v, %v", stored, err)
	}
}

func TestTasks(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	line := func(list []Task) string {
		var all []string
		for _, t := range list {
			mark := ""
			if t.Demanded {
				mark = "!"
			}
			all = append(all, t.ID+mark+":"+string(t.Status)+":"+string(t.Reason))
		}
		return strings.Join(all, " ")
	}
	for _, test := range []struct {
		standing parvis.Standing
		done     store.Activation
		asks     asked
		want     string
	}{
		{
			asks: asked{arriving: true},
			want: "identity:todo: account!:todo:agent_account_not_activated second:optional: contact:later: channels:optional:",
		},
		{
			asks: asked{verifier: parvis.VerifierFirst, second: parvis.NoSMS, arriving: true}, done: store.Activation{Confirmed: now},
			want: "identity:done: account!:todo:agent_account_not_activated verifier!:todo:verifier_missing second!:todo:factor_required contact:later: channels:optional:",
		},
		{
			standing: parvis.Standing{Activated: true, VerifierLinked: true, Enrolled: []parvis.ProofKind{parvis.SMS}},
			asks:     asked{verifier: parvis.VerifierEach, second: parvis.NoSMS, arriving: true},
			want:     "identity:todo: account!:done: verifier!:done: second!:todo:factor_too_weak contact:later: channels:optional:",
		},
		{
			standing: parvis.Standing{Activated: true, Enrolled: []parvis.ProofKind{parvis.SMS}},
			asks:     asked{verifier: parvis.VerifierOffered, second: parvis.AnySecond},
			want:     "account!:done: verifier:optional: second!:done: contact:later: channels:optional:",
		},
		{
			standing: parvis.Standing{Activated: true, VerifierLinked: true, Enrolled: []parvis.ProofKind{parvis.TOTP}},
			done:     store.Activation{Reported: now}, asks: asked{verifier: "unheard of", second: parvis.NoSMS},
			want: "identity:done: account!:done: verifier!:done: second!:done: contact:later: channels:optional:",
		},
	} {
		if got := line(tasks(&test.standing, test.done, test.asks)); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// The list lives until what is demanded is done, and the code with it; but from
// the moment there is a secret, the code is worth nothing without it.
func TestTheListGoesOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.desk.Mode = func(*parvis.Agent) parvis.VerifierMode { return parvis.VerifierFirst }
		town.agent("A100004", func(a *parvis.Agent) { a.ContractFrom = clock.Now().AddDate(-1, 0, 0) })
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "agent.profile_granted", Agent: "A100004", Actor: "system"})
			return tx.PutGiven(t.Context(), "A100004", store.Given{Kind: store.GivenProfile, Name: string(parvis.SocialData), By: "system"})
		})
		if err != nil {
			t.Fatal(err)
		}
		code := town.issue("A100004")
		thief := town.redeem(Redemption{Code: code, Origin: at("203.0.113.66")})
		first := town.redeem(Redemption{Code: code})
		list, err := town.desk.Overview(t.Context(), first.Cookie)
		if err != nil || list.Done != 0 || list.Of != 4 || list.Left != 3 || !list.Second || list.Activated {
			t.Fatalf("%+v, %v", list, err)
		}
		stored, err := town.set(first.Cookie, good)
		if err != nil || !stored.Done || stored.Completed {
			t.Fatalf("%+v, %v", stored, err)
		}
		if _, err := town.desk.Overview(t.Context(), thief.Cookie); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("another's list goes on: %v", err)
		}
		if list, err = town.desk.Overview(t.Context(), stored.Cookie); err != nil || list.Done != 1 || list.Left != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := town.set(stored.Cookie, "quatre nuages au bord du canal"); parvis.CodeOf(err) != parvis.CodeConflict {
			t.Errorf("a second first password: %v", err)
		}
		number, id, err := town.desk.Flow(t.Context(), stored.Cookie)
		if err != nil || number != "A100004" || id == "" {
			t.Errorf("flow %s %q, %v", number, id, err)
		}
		// The letter, in other hands; then with the session of its agent.
		out, err := town.desk.Redeem(t.Context(), Redemption{Code: code, Origin: at("203.0.113.66")})
		if err != nil || !out.SignIn || out.Cookie != "" || len(out.Reasons) > 0 {
			t.Fatalf("without a session: %+v, %v", out, err)
		}
		other := parvis.Session{Agent: "A100005", Proofs: []parvis.Proof{{Kind: parvis.Password, At: clock.Now()}}}
		if out, err = town.desk.Redeem(t.Context(), Redemption{Code: code, Session: other, Origin: at("203.0.113.66")}); err != nil || !out.SignIn {
			t.Fatalf("with another's session: %+v, %v", out, err)
		}
		other.Agent = "A100004"
		again := town.redeem(Redemption{Code: code, Session: other})
		if list, err = town.desk.Overview(t.Context(), again.Cookie); err != nil || list.Done != 1 {
			t.Fatalf("resumed: %+v, %v", list, err)
		}
		if done, err := town.desk.Settle(t.Context(), again.Cookie, at("198.51.100.1")); err != nil || done || len(town.events("activation.completed")) != 0 {
			t.Errorf("completed too soon: %v, %v", done, err)
		}
		err = s.Write(t.Context(), func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "verifier.linked", Agent: "A100004", Actor: "A100004"})
			if err := tx.PutHeld(t.Context(), store.HeldRow{Held: parvis.Held{ID: "h1", Agent: "A100004", Kind: parvis.TOTP, Since: tx.Now()}}); err != nil {
				return err
			}
			return tx.PutLink(t.Context(), store.Link{Agent: "A100004", Issuer: "https://compte.example", Subject: "s", At: tx.Now()})
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if done, err := town.desk.Settle(t.Context(), again.Cookie, at("198.51.100.1")); err != nil || !done {
				t.Errorf("not completed: %v, %v", done, err)
			}
		}
		if events := town.events("activation.completed"); len(events) != 1 || events[0].Detail["identity"] != "unchecked" || events[0].Detail["missing"] != "" {
			t.Errorf("recorded %+v", events)
		}
		town.refused(Redemption{Code: code, Session: other}, parvis.WhyActivationCodeUsed)
		if _, err := town.desk.Overview(t.Context(), again.Cookie); err != nil {
			t.Errorf("what is not demanded can no longer be done: %v", err)
		}
		if list, err = town.desk.Tasks(t.Context(), "A100004"); err != nil || list.Left != 0 || list.Done != 3 || list.Of != 3 {
			t.Errorf("as the IT contact sees it: %+v, %v", list, err)
		}
	})
}

// Whoever says that it is enough may leave; what is missing is known.
func TestFinish(t *testing.T) {
	town := sqlite(t)
	town.desk.Second = func(*parvis.Agent) bool { return true }
	town.desk.Verifier = true
	town.agent("A100002", nil)
	code := town.issue("A100002")
	begun := town.redeem(Redemption{Code: code})
	if _, err := town.desk.Finish(t.Context(), begun.Cookie, at("198.51.100.1")); parvis.CodeOf(err) != parvis.CodeConflict {
		t.Errorf("finished without a secret: %v", err)
	}
	if err := town.desk.ConfirmIdentity(t.Context(), begun.Cookie, at("198.51.100.1")); err != nil {
		t.Fatal(err)
	}
	stored, err := town.set(begun.Cookie, good)
	if err != nil || !stored.Done || stored.Completed {
		t.Fatal(stored, err)
	}
	if number, err := town.desk.Finish(t.Context(), stored.Cookie, at("198.51.100.1")); err != nil || number != "A100002" {
		t.Fatal(number, err)
	}
	events := town.events("activation.completed")
	if len(events) != 1 || events[0].Detail["identity"] != "confirmed" || events[0].Detail["missing"] != "verifier second" {
		t.Errorf("recorded %+v", events)
	}
	if _, err := town.desk.Finish(t.Context(), stored.Cookie, at("198.51.100.1")); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("finished twice: %v", err)
	}
	town.refused(Redemption{Code: code}, parvis.WhyActivationCodeUsed)
	standing, err := town.store.Standing(t.Context(), "A100002")
	if err != nil {
		t.Fatal(err)
	}
	agent, err := town.store.Agent(t.Context(), "A100002")
	if err != nil {
		t.Fatal(err)
	}
	if list := town.desk.Remaining(agent, standing); list.Left != 2 || list.Done != 1 || list.Of != 3 {
		t.Errorf("%+v", list)
	}
}

func TestCodesAreWellMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := newCode()
		canonical, ok := parseCode(strings.ToLower(strings.ReplaceAll(code, "-", rapid.SampledFrom([]string{"", " ", "-", "\u00a0", " - "}).Draw(t, "between"))))
		if !ok || canonical != strings.ReplaceAll(code, "-", "") {
			t.Fatalf("%q is not read back: %q", code, canonical)
		}
		i := rapid.IntRange(0, length-1).Draw(t, "place")
		other := signs[rapid.IntRange(0, len(signs)-1).Draw(t, "sign")]
		wrong := []byte(canonical)
		wrong[i] = other
		if _, ok := parseCode(string(wrong)); ok != (other == canonical[i]) {
			t.Fatalf("%q with one wrong sign is read as right", wrong)
		}
		j := rapid.IntRange(0, length-1).Draw(t, "other place")
		swapped := []byte(canonical)
		swapped[i], swapped[j] = swapped[j], swapped[i]
		if _, ok := parseCode(string(swapped)); ok != (string(swapped) == canonical) {
			t.Fatalf("%q with two signs exchanged is read as right", swapped)
		}
	})
}

func FuzzParseCode(f *testing.F) {
	f.Add("K7QP-3M9T-XW24")
	f.Add("")
	f.Add("ſſſſ")
	f.Fuzz(func(t *testing.T, s string) {
		canonical, ok := parseCode(s)
		if !ok {
			return
		}
		if again, ok := parseCode(canonical); !ok || again != canonical || len(canonical) != length {
			t.Errorf("%q → %q → %q", s, canonical, again)
		}
	})
}
