package signin

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

func (t *town) renew(r Renewal) Outcome {
	t.Helper()
	if r.Origin.Channel == "" {
		r.Origin = from("198.51.100.1")
	}
	r.Lang = text.French
	out, err := t.hub.Renew(context.WithoutCancel(t.Context()), r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (t *town) live(s parvis.Session) bool {
	_, ok := t.hub.Keeper.Session(t.Context(), s.ID)
	return ok
}

func TestRenew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		for _, keep := range []bool{false, true} {
			town := open(t, s, clock)
			number := map[bool]parvis.AgentNumber{false: "A100001", true: "A100002"}[keep]
			town.agent(number, right, nil)
			mine := town.sign(string(number), right, In{})
			other := town.sign(string(number), right, In{Device: mine.Device})
			r := Renewal{Session: mine.Session, Device: mine.Device, KeepOthers: keep}
			for _, c := range []struct {
				now, next seal.Secret
				step      Step
				want      parvis.ReasonCode
			}{
				{right, "court", StepNewPassword, parvis.WhyPasswordRuleLength},
				{"ce n'est pas lui", fresh, StepSecret, parvis.WhyCredentialsIncorrect},
				{"ce n'est pas lui", right, StepSecret, parvis.WhyCredentialsIncorrect}, // no word on the new one
				{right, right, StepNewPassword, parvis.WhyPasswordRuleReused},
			} {
				r.Password, r.NewPassword = c.now, c.next
				if out := town.renew(r); out.Step != c.step || !slices.Contains(codes(out), c.want) || out.Token != (session.Token{}) {
					t.Errorf("%s for %s: %s %q", c.next.Reveal(), c.now.Reveal(), out.Step, codes(out))
				}
			}
			if !town.live(mine.Session) || !town.live(other.Session) || len(town.mails(number)) != 0 {
				t.Errorf("something changed: %q", town.mails(number))
			}
			r.Password, r.NewPassword = right, fresh
			if out := town.renew(r); out.Step != StepDone || out.Token == (session.Token{}) {
				t.Fatalf("%s %q", out.Step, codes(out))
			}
			if town.live(mine.Session) {
				t.Error("the identifier of before is good")
			}
			if town.live(other.Session) != keep {
				t.Errorf("the other session goes on: %v, asked %v", !keep, keep)
			}
			list, err := town.hub.Keeper.List(t.Context(), number)
			if err != nil || len(list) != map[bool]int{false: 1, true: 2}[keep] {
				t.Errorf("%d sessions, %v", len(list), err)
			}
			if mails := town.mails(number); !slices.Equal(mails, []string{"mail_reset_done"}) {
				t.Errorf("mails %q", mails)
			}
			if _, err := town.hub.Renew(t.Context(), Renewal{Session: mine.Session, Password: fresh, NewPassword: "cinq bateaux dans la brume", Origin: from("198.51.100.1")}); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("by a session that is over: %v", err)
			}
			if out := town.sign(string(number), right, In{}); out.Step != StepSecret {
				t.Errorf("the old password: %s", out.Step)
			}
			town.want(town.sign(string(number), fresh, In{Device: mine.Device}), StepDone)
		}
	})
}

// Whoever found an open session cannot guess the password there.
func TestRenewIsNoOracle(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	r := Renewal{Session: town.sign("A100001", right, In{}).Session, NewPassword: fresh}
	for try := range 5 {
		r.Password = seal.Secret("une idée " + string(rune('a'+try)))
		out := town.renew(r)
		if want := map[bool]Step{false: StepSecret, true: StepWait}[try == 4]; out.Step != want {
			t.Errorf("try %d: %s %q", try+1, out.Step, codes(out))
		}
	}
	r.Password = right
	out := town.renew(r)
	if out.Step != StepWait || len(out.Reasons) != 1 || !out.Reasons[0].At.Equal(clock.Now().Add(time.Minute)) {
		t.Errorf("during the wait: %s %v", out.Step, out.Reasons)
	}
	if mails := town.mails("A100001"); !slices.Equal(mails, []string{"mail_locked"}) {
		t.Errorf("mails %q", mails)
	}
}

// A password that leaked ends the other sessions, whatever was asked.
func TestRenewAfterALeak(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	mine, other := town.sign("A100001", right, In{}), town.sign("A100001", right, In{})
	err := town.store.Write(t.Context(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "password.leaked", Agent: "A100001", Actor: "system"})
		return tx.SetPasswordLeaked(t.Context(), "A100001")
	})
	if err != nil {
		t.Fatal(err)
	}
	out := town.renew(Renewal{Session: mine.Session, Password: right, NewPassword: fresh, KeepOthers: true})
	standing, err := town.store.Standing(t.Context(), "A100001")
	if out.Step != StepDone || town.live(other.Session) || err != nil || len(standing.Devices) != 0 {
		t.Errorf("%s; the other session: %v; devices %v, %v", out.Step, town.live(other.Session), standing.Devices, err)
	}
}

func TestRaceOfRenewals(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	mine := town.sign("A100001", right, In{}).Session
	steps := make([]Step, 8)
	var wait sync.WaitGroup
	for i := range steps {
		wait.Go(func() {
			out, err := town.hub.Renew(context.WithoutCancel(t.Context()), Renewal{
				Session: mine, Password: right, NewPassword: seal.Secret(fresh + string(rune('a'+i))), Origin: from("198.51.100.1"),
			})
			if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Error(err)
			}
			steps[i] = out.Step
		})
	}
	wait.Wait()
	done := 0
	for _, step := range steps {
		if step == StepDone {
			done++
		}
	}
	if n := len(town.events("password.changed")); done != 1 || n != 2 { // the first was when the town was built
		t.Errorf("%d changed it, %d recorded; want 1 and 2", done, n)
	}
}
