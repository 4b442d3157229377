package signin

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

func TestSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100001", right, nil)
		first := town.advance(In{Return: "RETURN"})
		town.want(first, StepIdentifier)
		empty := town.advance(In{Posted: true, Flow: first.Flow})
		town.want(empty, StepIdentifier, parvis.WhyIdentifierRequired)
		out := town.sign(" a100001 "[1:8], right, In{Flow: first.Flow})
		town.want(out, StepDone)
		if out.Session.Agent != "A100001" || out.Return != "RETURN" || out.Device == "" || out.Session.Channel != parvis.Mobile || out.Session.Device == "" {
			t.Errorf("session %+v, return %q, device %q", out.Session, out.Return, out.Device)
		}
		if diff := cmp.Diff([]parvis.Proof{{Kind: parvis.Password, At: clock.Now().UTC()}}, out.Session.Proofs); diff != "" {
			t.Error(diff)
		}
		if mails := town.mails("A100001"); len(mails) != 0 {
			t.Errorf("the first browser is told to nobody: %q", mails)
		}
		// By mail address, both fields on one page, from the browser now known.
		known := town.advance(In{Posted: true, Identifier: "A100001+sso@ville.example.org", Password: right, Device: out.Device})
		town.want(known, StepDone)
		if known.Device != "" || known.Session.Device != out.Session.Device || known.Session.ID == out.Session.ID {
			t.Errorf("a known browser: device %q, session %+v", known.Device, known.Session)
		}
		if mails := town.mails("A100001"); len(mails) != 0 {
			t.Errorf("a known browser is told to nobody: %q", mails)
		}
		town.want(town.sign("A100001", right, In{Lang: text.English}), StepDone)
		if mails := town.mails("A100001"); !slices.Equal(mails, []string{"mail_new_device"}) {
			t.Errorf("another browser: %q", mails)
		}
		if n := len(town.events("sign_in.ok")); n != 3 {
			t.Errorf("%d sign-ins recorded, want 3", n)
		}
	})
}

func TestOtherCircuit(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	for typed, other := range map[string]bool{
		"camille@orange.example":       true,
		"camille@VILLE.example.org":    false,
		"camille@x.ville.example.org":  true,
		"camille@":                     true,
		"+33 6 12 34 56 78":            true,
		"06.12.34.56.78":               true,
		"0712345678":                   true,
		"0112345678":                   false,
		"123456":                       false,
		"A100001":                      false,
		"+1":                           false,
		"06 A2 34 56 78":               false,
		"(+33) 6":                      false,
		"camille@ville.example.org ":   false,
		"camille@@ville.example.org":   true,
		"\u202e\x00A100001":            false,
		strings.Repeat("é", 300) + "@": false,
	} {
		out := town.advance(In{Posted: true, Identifier: typed})
		if other {
			town.want(out, StepIdentifier, parvis.WhyIdentifierWrongCircuit)
			if out.Identifier != tidy(typed) {
				t.Errorf("%q is not kept for correction", typed)
			}
		} else {
			town.want(out, StepSecret)
		}
	}
}

// facts keeps what a page can show of an outcome, without what is random.
func public(out Outcome) map[string]any {
	return map[string]any{
		"step": out.Step, "reasons": out.Reasons, "args": out.Args, "identifier": len(out.Identifier), "reference": len(out.Reference),
		"retry": out.Retry, "cookie": out.Cookie.Reveal(), "device": out.Device, "session": out.Session, "flow": len(out.Flow),
		"return": out.Return,
	}
}

// somebody who proves nothing sees the same thing for an agent who works
// here, one who has not activated, one who is suspended, one who left, and
// nobody at all, at each of ten tries.
func TestNobodyCanTell(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100001", right, nil)
		town.agent("A100002", "", nil)
		town.agent("A100003", right, func(a *parvis.Agent) {
			a.Absence, a.AbsenceFrom = parvis.PrecautionaryOff, clock.Now().AddDate(0, -1, 0)
		})
		town.agent("A100004", right, func(a *parvis.Agent) { a.ContractUntil = clock.Now().AddDate(0, -6, 0) })
		numbers := []string{"A100001", "A100002", "A100003", "A100004", "A999999"}
		for try := range 10 {
			var want map[string]any
			for i, number := range numbers {
				out := town.sign(number, "wrong number "+string(rune('a'+try)), In{Origin: from("198.51.100." + string(rune('1'+i)))})
				got := public(out)
				if _, ok := got["args"].(text.Args)["duration"]; ok {
					// The wait has a jitter that depends on the row, by design.
					got["args"].(text.Args)["duration"] = got["args"].(text.Args)["duration"].(time.Duration).Round(30 * time.Second)
				}
				if try > 4 { // the end of a later wait has that jitter too
					got["reasons"], got["args"] = codes(out), nil
				}
				if want == nil {
					want = got
				} else if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("try %d: %s is told from %s:\n%s", try+1, number, numbers[0], diff)
				}
				if out.Reference == "" {
					t.Errorf("try %d: %s has no reference", try+1, number)
				}
			}
			if try >= 4 {
				clock.Move(10 * time.Second)
			}
		}
		// The mailbox and the desk know more: once an hour.
		for number, want := range map[parvis.AgentNumber][]string{
			"A100001": {"mail_locked"},
			"A100002": {"mail_blocked_cause", "mail_locked"},
			"A100003": {"mail_blocked_cause", "mail_locked"},
			"A100004": {"mail_blocked_cause", "mail_locked"},
			"A999999": nil,
		} {
			if got := town.mails(number); !slices.Equal(got, want) {
				t.Errorf("mails to %s: %q, want %q", number, got, want)
			}
		}
		causes := map[parvis.AgentNumber]parvis.ReasonCode{}
		for _, e := range town.events("sign_in.refused") {
			if len(e.Reasons) == 2 {
				causes[e.Agent] = e.Reasons[1]
			}
			if e.Reference == "" {
				t.Errorf("refused without a reference: %+v", e)
			}
			if r, err := s.Refusal(t.Context(), e.Reference); err != nil || slices.Contains(r.Decision.Codes(), parvis.WhyAccountSuspended) {
				t.Errorf("what is frozen under the reference is more than was shown: %+v, %v", r.Decision, err)
			}
		}
		if diff := cmp.Diff(map[parvis.AgentNumber]parvis.ReasonCode{
			"A100002": parvis.WhyAgentAccountNotActivated, "A100003": parvis.WhyAccountSuspended, "A100004": parvis.WhyAccountClosed,
		}, causes); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLockWarningThenWait(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	warned := []parvis.ReasonCode{parvis.WhyCredentialsIncorrect, parvis.WhyLockWarning}
	for try, want := range [][]parvis.ReasonCode{{parvis.WhyCredentialsIncorrect}, warned, warned, warned} {
		out := town.sign("A100001", "wrong "+string(rune('a'+try)), In{})
		town.want(out, StepSecret, want...)
		if try > 0 && (out.Args["n"] != 4-try || out.Args["duration"] != time.Minute) {
			t.Errorf("try %d: %v", try+1, out.Args)
		}
	}
	locked := town.sign("A100001", "wrong again", In{})
	town.want(locked, StepWait, parvis.WhyAccountLockedAttempts)
	if at := locked.Reasons[0].At; !at.Equal(clock.Now().Add(time.Minute)) || at.Location().String() != "Europe/Paris" {
		t.Errorf("the wait ends %v", at)
	}
	events := len(town.events("sign_in.refused"))
	for range 5 {
		out := town.sign("A100001", right, In{})
		town.want(out, StepWait, parvis.WhyAccountLockedAttempts)
		if out.Reference != locked.Reference {
			t.Errorf("another reference for the same wait: %s, %s", out.Reference, locked.Reference)
		}
	}
	if n := len(town.events("sign_in.refused")); n != events {
		t.Errorf("%d writes for tries that were not even examined", n-events)
	}
	clock.Move(time.Minute)
	town.want(town.sign("A100001", right, In{}), StepDone)
	if mails := town.mails("A100001"); !slices.Contains(mails, "mail_locked") {
		t.Errorf("the owner was not told: %q", mails)
	}
}

func TestStates(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	ago, soon := clock.Now().AddDate(0, -1, 0), clock.Now().AddDate(0, 1, 0)
	for i, test := range []struct {
		name   string
		change func(*parvis.Agent)
		step   Step
		why    parvis.ReasonCode
	}{
		{"arrives in a month", func(a *parvis.Agent) { a.ContractFrom = soon }, StepBlocked, parvis.WhyAccountNotStarted},
		{"suspended", func(a *parvis.Agent) { a.Absence, a.AbsenceFrom = parvis.PrecautionaryOff, ago }, StepBlocked, parvis.WhyAccountSuspended},
		{"left long ago", func(a *parvis.Agent) { a.ContractUntil = ago.AddDate(0, -3, 0) }, StepBlocked, parvis.WhyAccountClosed},
		{"dead", func(a *parvis.Agent) { a.DeceasedOn = ago }, StepBlocked, parvis.WhyAccountClosed},
		{"left a month ago", func(a *parvis.Agent) { a.ContractUntil = ago }, StepDone, ""},
		{"on sick leave", func(a *parvis.Agent) { a.Absence, a.AbsenceFrom = parvis.LongSickAbsence, ago }, StepDone, ""},
		{"off since a move", func(a *parvis.Agent) { a.OffSince = ago }, StepDone, ""},
	} {
		t.Run(test.name, func(*testing.T) {
			number := parvis.AgentNumber("A20000" + string(rune('0'+i)))
			town.agent(number, right, test.change)
			for range 7 { // it may be read as often as one likes: a right password is no failure
				out := town.sign(string(number), right, In{})
				if test.step == StepDone {
					town.want(out, StepDone)
					return
				}
				town.want(out, StepBlocked, test.why)
				if out.Reference == "" || out.Reasons[0].At.IsZero() || out.Flow != "" {
					t.Errorf("blocked with %+v", out)
				}
			}
		})
	}
}

// expired makes the password of an agent one that must be changed first.
func (t *town) expired(number parvis.AgentNumber) {
	t.Helper()
	t.agent(number, right, func(a *parvis.Agent) { a.Profiles = []parvis.ProfileID{parvis.ExtendedRights} })
	t.clock.Move(366 * 24 * time.Hour)
}

func TestPasswordChangeRequired(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.expired("A100005")
		out := town.sign("A100005", right, In{Return: "RETURN"})
		town.want(out, StepNewPassword, parvis.WhyPasswordExpiredPrivileged)
		if out.Args["n"] != 12 || out.Cookie == "" {
			t.Errorf("args %v, cookie %d", out.Args, len(out.Cookie))
		}
		cookie := out.Cookie.Reveal()
		page := In{Flow: out.Flow, Cookie: cookie}
		town.want(town.advance(page), StepNewPassword, parvis.WhyPasswordExpiredPrivileged)
		page.Posted = true
		for password, want := range map[string]parvis.ReasonCode{
			"short":     parvis.WhyPasswordRuleLength,
			right:       parvis.WhyPasswordRuleReused,
			"Alexandra": parvis.WhyPasswordRuleLength,
		} {
			page.NewPassword = seal.Secret(password)
			if again := town.advance(page); again.Step != StepNewPassword || !slices.Contains(codes(again), want) {
				t.Errorf("%q: %s %q", password, again.Step, codes(again))
			}
		}
		page.NewPassword = fresh
		for name, change := range map[string]func(In) In{
			"another browser": func(in In) In { in.Cookie = strings.Repeat("A", 43); return in },
			"no cookie":       func(in In) In { in.Cookie = ""; return in },
			"another channel": func(in In) In { in.Origin = parvis.Origin{Channel: parvis.Internal, Address: "10.0.0.1"}; return in },
		} {
			if stolen := town.advance(change(page)); stolen.Step != StepIdentifier || !slices.Equal(codes(stolen), []parvis.ReasonCode{parvis.WhyFormExpired}) {
				t.Errorf("%s: %s %q", name, stolen.Step, codes(stolen))
			}
		}
		done := town.advance(page)
		town.want(done, StepDone)
		if done.Return != "RETURN" || done.Device == "" {
			t.Errorf("done: %+v", done)
		}
		town.want(town.advance(page), StepIdentifier, parvis.WhyFormExpired)
		if _, live := town.hub.Keeper.Session(t.Context(), done.Session.ID); !live {
			t.Error("the session that just began is over")
		}
		town.want(town.sign("A100005", fresh, In{}), StepDone)
		town.want(town.sign("A100005", right, In{}), StepSecret, parvis.WhyCredentialsIncorrect)
		if mails := town.mails("A100005"); !slices.Contains(mails, "mail_reset_done") {
			t.Errorf("mails %q", mails)
		}
	})
}

func TestPasswordChangeEndsOtherSessions(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	before := town.sign("A100001", right, In{})
	town.want(before, StepDone)
	err := town.store.Write(t.Context(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "password.leaked", Agent: "A100001", Actor: "system"})
		return tx.SetPasswordLeaked(t.Context(), "A100001")
	})
	if err != nil {
		t.Fatal(err)
	}
	held := town.sign("A100001", right, In{Device: before.Device})
	town.want(held, StepNewPassword, parvis.WhyPasswordCompromised)
	after := town.advance(In{Posted: true, Flow: held.Flow, Cookie: held.Cookie.Reveal(), NewPassword: fresh, Device: before.Device})
	town.want(after, StepDone)
	if _, live := town.hub.Keeper.Session(t.Context(), before.Session.ID); live {
		t.Error("a session begun with the leaked password goes on")
	}
	standing, err := town.store.Standing(t.Context(), "A100001")
	if err != nil || len(standing.Devices) != 1 || standing.Devices[0].ID != after.Session.Device {
		t.Errorf("devices after a leak: %+v, %v", standing.Devices, err)
	}
}

// Two tabs of one browser, two agents: neither disturbs the other.
func TestTwoTabs(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	town.expired("A100005")
	one := town.sign("A100005", right, In{Return: "ONE"})
	town.want(one, StepNewPassword, parvis.WhyPasswordExpiredPrivileged)
	cookie := one.Cookie.Reveal()
	two := town.sign("A100005", right, In{Return: "TWO", Cookie: cookie})
	if two.Cookie != "" {
		t.Error("the second tab takes the cookie of the first")
	}
	third := town.advance(In{Posted: true, Identifier: "A100001", Cookie: cookie, Return: "THREE"})
	if out := town.advance(In{Posted: true, Flow: one.Flow, Cookie: cookie, NewPassword: fresh}); out.Step != StepDone || out.Return != "ONE" {
		t.Errorf("first tab: %s to %q", out.Step, out.Return)
	}
	// The password that the second tab proved is no longer the password.
	town.want(town.advance(In{Posted: true, Flow: two.Flow, Cookie: cookie, NewPassword: "cinq bateaux dans la brume"}), StepIdentifier, parvis.WhyFormExpired)
	if out := town.advance(In{Posted: true, Flow: third.Flow, Cookie: cookie, Password: right}); out.Step != StepDone || out.Return != "THREE" || out.Session.Agent != "A100001" {
		t.Errorf("third tab: %s to %q", out.Step, out.Return)
	}
}

func TestPagesAndFlowsEnd(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.expired("A100005")
	page := town.advance(In{Posted: true, Identifier: "A100005", Return: "R"})
	held := town.sign("A100005", right, In{})
	clock.Move(flowGood)
	town.want(town.advance(In{Posted: true, Flow: held.Flow, Cookie: held.Cookie.Reveal(), NewPassword: fresh}), StepIdentifier, parvis.WhyFormExpired)
	clock.Move(pageGood - flowGood)
	town.want(town.advance(In{Posted: true, Flow: page.Flow, Password: right}), StepIdentifier, parvis.WhyFormExpired)
	for _, forged := range []string{"x", strings.Repeat("A", 200), page.Flow + "A", page.Flow[:len(page.Flow)-2]} {
		town.want(town.advance(In{Posted: true, Flow: forged, Identifier: "A100005", Password: right}), StepIdentifier, parvis.WhyFormExpired)
	}
}

// of many answers at once one changes the password, once.
func TestRaceOfChanges(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.expired("A100005")
		held := town.sign("A100005", right, In{})
		var wait sync.WaitGroup
		steps := make([]Step, 20)
		for i := range steps {
			wait.Go(func() {
				out, err := town.hub.Advance(context.WithoutCancel(t.Context()), In{
					Posted: true, Flow: held.Flow, Cookie: held.Cookie.Reveal(), Origin: from("198.51.100.1"),
					NewPassword: seal.Secret(fresh + string(rune('a'+i))),
				})
				if err != nil {
					t.Error(err)
				}
				steps[i] = out.Step
			})
		}
		wait.Wait()
		slices.Sort(steps)
		done := 0
		for _, step := range steps {
			if step == StepDone {
				done++
			} else if step != StepIdentifier {
				t.Errorf("a loser is at %s", step)
			}
		}
		if n := len(town.events("password.changed")); done != 1 || n != 2 { // the first was when the town was built
			t.Errorf("%d came in, %d passwords kept; want 1 and 2", done, n)
		}
	})
}

// Nothing secret is in an outcome that is printed, nor in the trail.
func TestSecretsStaySealed(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	town.sign("A100001", "typed by mistake", In{})
	done := town.sign("A100001", right, In{})
	trail, err := json.Marshal(slices.Concat(town.events("sign_in.failed"), town.events("sign_in.refused"), town.events("sign_in.ok"), town.events("session.began")))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"typed by mistake", right, done.Device} {
		if strings.Contains(string(trail), secret) {
			t.Errorf("%q is in the trail", secret)
		}
	}
}

func FuzzTidy(f *testing.F) {
	f.Add(" A100001 ")
	f.Add(strings.Repeat("é", 300))
	f.Add("a\x00b\r\n\u202e@ville.example.org")
	h := &Hub{Domains: []string{"ville.example.org"}}
	f.Fuzz(func(t *testing.T, s string) {
		got := tidy(s)
		if len(got) > longest || strings.ContainsAny(got, "\r\n\x00") || tidy(got) != got {
			t.Errorf("%q → %q", s, got)
		}
		h.otherCircuit(got)
	})
}
