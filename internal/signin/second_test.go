package signin

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

// totp gives an agent an authenticator, as an activation would, and moves on to
// where its next code is new.
func (t *town) totp(number parvis.AgentNumber) string {
	t.Helper()
	agent, err := t.store.Agent(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := t.hub.Vault.OfferTOTP(agent, "Test", t.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	err = t.store.Write(t.Context(), func(tx *store.Tx) error {
		_, v, err := t.hub.Vault.EnrolTOTP(t.Context(), tx, number, offer.Ticket, t.code(offer.Secret.Reveal()), "Téléphone")
		if err == nil && !v.OK {
			t.Fatalf("%+v", v)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.clock.Move(time.Minute)
	return offer.Secret.Reveal()
}

func (t *town) code(secret string) seal.Secret {
	t.Helper()
	code, err := totp.GenerateCode(secret, t.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return seal.Secret(code)
}

// sheet gives an agent printed codes.
func (t *town) sheet(number parvis.AgentNumber) []seal.Secret {
	t.Helper()
	var codes []seal.Secret
	err := t.store.Write(t.Context(), func(tx *store.Tx) (err error) {
		codes, err = t.hub.Vault.NewRecoveryCodes(t.Context(), tx, number)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return codes
}

// answer goes on at the door with what the page held.
func (t *town) answer(out Outcome, in In) Outcome {
	t.Helper()
	in.Posted, in.Flow = true, out.Flow
	if in.Cookie == "" {
		in.Cookie = out.Cookie.Reveal()
	}
	return t.advance(in)
}

func (t *town) shown(out Outcome, want ...parvis.ProofKind) {
	t.Helper()
	if diff := cmp.Diff(want, kinds(out.Session.Proofs)); diff != "" {
		t.Errorf("proofs of the session:\n%s", diff)
	}
}

func TestSecondProofAtTheDoor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100001", right, nil)
		secret := town.totp("A100001")
		page := town.sign("A100001", right, In{Return: "RETURN"})
		town.want(page, StepSecondFactor)
		if page.Method.Kind != parvis.TOTP || len(page.Methods) != 1 || page.Person != parvis.ByITContact || page.MayRemember != 30 || page.Cookie == "" {
			t.Errorf("%+v", page)
		}
		cookie := page.Cookie.Reveal()
		for typed, want := range map[string]parvis.ReasonCode{
			"":       parvis.WhyCodeRequired,
			"12 34":  parvis.WhyCodeLength,
			"000000": parvis.WhyCodeIncorrect,
		} {
			out := town.answer(page, In{Code: seal.Secret(typed)})
			town.want(out, StepSecondFactor, want)
			if want == parvis.WhyCodeLength && out.Args["missing"] != 2 {
				t.Errorf("args %v", out.Args)
			}
		}
		for name, in := range map[string]In{
			"another browser": {Code: town.code(secret), Cookie: strings.Repeat("A", 43)},
			"another channel": {Code: town.code(secret), Origin: parvis.Origin{Channel: parvis.Internal, Address: "10.0.0.1"}},
		} {
			if out := town.answer(page, in); out.Step != StepIdentifier || !slices.Equal(codes(out), []parvis.ReasonCode{parvis.WhyFormExpired}) {
				t.Errorf("%s: %s %q", name, out.Step, codes(out))
			}
		}
		typed := town.code(secret)
		done := town.answer(page, In{Code: "  " + typed[:3] + "-" + typed[3:]})
		town.want(done, StepDone)
		town.shown(done, parvis.Password, parvis.TOTP)
		if done.Return != "RETURN" || done.Device == "" {
			t.Errorf("%+v", done)
		}
		// The flow serves once; the code too, in another flow.
		town.want(town.answer(page, In{Code: typed}), StepIdentifier, parvis.WhyFormExpired)
		again := town.sign("A100001", right, In{Device: done.Device, Cookie: cookie})
		town.want(town.answer(again, In{Cookie: cookie, Code: typed, Device: done.Device}), StepSecondFactor, parvis.WhyCodeReused)
		// Within the walls a standard profile is not asked.
		town.want(town.sign("A100001", right, In{Origin: parvis.Origin{Channel: parvis.Internal, Address: "10.0.0.1"}}), StepDone)
	})
}

// A password that must change is asked for after the second proof, and both are
// of the session.
func TestSecondProofThenPassword(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.expired("A100005")
	secret := town.totp("A100005")
	page := town.sign("A100005", right, In{Return: "R"})
	town.want(page, StepSecondFactor)
	if page.MayRemember != 0 {
		t.Error("a browser may be remembered for a profile that does not allow it")
	}
	cookie := page.Cookie.Reveal()
	// The new password cannot be given instead of the code.
	town.want(town.answer(page, In{NewPassword: fresh}), StepSecondFactor, parvis.WhyCodeRequired)
	next := town.answer(page, In{Code: town.code(secret)})
	town.want(next, StepNewPassword, parvis.WhyPasswordExpiredPrivileged)
	done := town.answer(next, In{Cookie: cookie, NewPassword: fresh})
	town.want(done, StepDone)
	town.shown(done, parvis.Password, parvis.TOTP)
	if done.Return != "R" {
		t.Error("where one was going is forgotten")
	}
}

// of many answers at once one comes in.
func TestRaceOfSecondProofs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100001", right, nil)
		secret := town.totp("A100001")
		var pages []Outcome
		for range 4 {
			pages = append(pages, town.sign("A100001", right, In{}))
		}
		code := town.code(secret)
		steps := make([]Step, 24)
		var wait sync.WaitGroup
		for i := range steps {
			wait.Go(func() {
				page := pages[i%len(pages)]
				out, err := town.hub.Advance(context.WithoutCancel(t.Context()), In{
					Posted: true, Flow: page.Flow, Cookie: page.Cookie.Reveal(), Code: code, Origin: from("198.51.100.1"),
				})
				if err != nil {
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
		if n := len(town.events("session.began")); done != 1 || n != 1 {
			t.Errorf("%d came in, %d sessions; want one", done, n)
		}
	})
}

// whoever knows the password guesses codes, in as many flows as they like:
// five, and the owner hears of it.
func TestCodesCannotBeGuessed(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	secret := town.totp("A100001")
	var last Outcome
	for try := range 5 {
		page := town.sign("A100001", right, In{})
		last = town.answer(page, In{Code: seal.Secret("00000" + string(rune('0'+try)))})
	}
	town.want(last, StepSecondFactor, parvis.WhyCodeTryLimit)
	if at := last.Reasons[0].At; !at.After(clock.Now()) || at.Location().String() != "Europe/Paris" || last.Args["time"] != at {
		t.Errorf("the wait ends %v", at)
	}
	town.want(town.answer(town.sign("A100001", right, In{}), In{Code: town.code(secret)}), StepSecondFactor, parvis.WhyCodeTryLimit)
	if mails := town.mails("A100001"); !slices.Contains(mails, "mail_blocked_cause") {
		t.Errorf("the owner was not told: %q", mails)
	}
	clock.Move(3 * time.Minute)
	town.want(town.answer(town.sign("A100001", right, In{}), In{Code: town.code(secret)}), StepDone)
}

func TestRememberedBrowser(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	secret := town.totp("A100001")
	done := town.answer(town.sign("A100001", right, In{}), In{Code: town.code(secret), Remember: true})
	town.want(done, StepDone)
	shown := clock.Now()
	clock.Move(24 * time.Hour)
	known := town.sign("A100001", right, In{Device: done.Device})
	town.want(known, StepDone)
	town.shown(known, parvis.Password, parvis.TOTP)
	if at := known.Session.Proofs[1].At; !at.Equal(shown) {
		t.Errorf("what is remembered is as old as it is: %v, shown %v", at, shown)
	}
	town.want(town.sign("A100001", right, In{}), StepSecondFactor) // another browser
	// A change of proofs forgets it.
	town.totp("A100001")
	town.want(town.sign("A100001", right, In{Device: done.Device}), StepSecondFactor)
	page := town.sign("A100001", right, In{Device: done.Device})
	town.want(town.answer(page, In{Code: town.code(secret), Remember: true, Device: done.Device}), StepDone)
	clock.Move(31 * 24 * time.Hour)
	town.want(town.sign("A100001", right, In{Device: done.Device}), StepSecondFactor)
	if n := len(town.events("device.remembered")); n != 2 {
		t.Errorf("%d recorded", n)
	}
}

// On a station that several people use nothing is offered to be remembered, and
// what a browser was remembered for before does not count.
func TestSharedStationsRememberNothing(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	secret := town.totp("A100001")
	done := town.answer(town.sign("A100001", right, In{}), In{Code: town.code(secret), Remember: true})
	town.want(done, StepDone)
	town.hub.Shared = map[parvis.Channel]bool{parvis.Mobile: true}
	clock.Move(time.Hour)
	page := town.sign("A100001", right, In{Device: done.Device})
	town.want(page, StepSecondFactor)
	if page.MayRemember != 0 {
		t.Errorf("offered to be remembered for %d days", page.MayRemember)
	}
	town.want(town.answer(page, In{Code: town.code(secret), Remember: true, Device: done.Device}), StepDone)
	if n := len(town.events("device.remembered")); n != 1 {
		t.Errorf("%d recorded, the first only is right", n)
	}
}

// Printed and temporary codes are taken in the one field, whatever the method.
func TestCodesForOtherDays(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	town.totp("A100001")
	sheet := town.sheet("A100001")
	page := town.sign("A100001", right, In{})
	town.want(page, StepSecondFactor)
	if page.Method.Kind != parvis.TOTP || len(page.Methods) != 2 || page.Methods[1].Kind != parvis.RecoveryCode {
		t.Errorf("methods %+v", page.Methods)
	}
	done := town.answer(page, In{Code: sheet[3], Remember: true})
	town.want(done, StepDone)
	town.shown(done, parvis.Password, parvis.RecoveryCode)
	if n := len(town.events("device.remembered")); n != 0 {
		t.Error("a browser is remembered for a code of one use")
	}
	town.want(town.answer(town.sign("A100001", right, In{}), In{Code: sheet[3]}), StepSecondFactor, parvis.WhyCodeIncorrect)

	temporary, until, err := town.hub.IssueTemporaryCode(t.Context(), "A100001", "operator:test", "téléphone perdu", time.Hour)
	if err != nil || !until.After(clock.Now()) {
		t.Fatal(err)
	}
	done = town.answer(town.sign("A100001", right, In{}), In{Method: string(parvis.TemporaryCode), Code: temporary})
	town.want(done, StepDone)
	town.shown(done, parvis.Password, parvis.TemporaryCode)
	if mails := town.mails("A100001"); !slices.Contains(mails, "mail_temporary_code") {
		t.Errorf("mails %q", mails)
	}
}

func (t *town) prove(p Proving) Outcome {
	t.Helper()
	if p.Origin.Channel == "" {
		p.Origin = from("198.51.100.1")
	}
	p.Lang = text.French
	out, err := t.hub.Prove(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestProve(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100001", right, nil)
		inside := parvis.Origin{Channel: parvis.Internal, Address: "10.0.0.1"}
		in := town.sign("A100001", right, In{Origin: inside})
		town.want(in, StepDone)
		p := Proving{Session: in.Session, Origin: inside, Device: in.Device}
		nobody := town.prove(p)
		if nobody.Step != StepSecondFactor || len(nobody.Methods) != 0 || nobody.Method.Kind != parvis.TemporaryCode || nobody.Person != parvis.ByITContact {
			t.Errorf("with nothing to show: %+v", nobody)
		}
		secret := town.totp("A100001")
		page := town.prove(p)
		if page.Step != StepSecondFactor || page.Method.Kind != parvis.TOTP || len(page.Reasons) != 0 || page.Token != (session.Token{}) {
			t.Errorf("%+v", page)
		}
		p.Posted, p.Flow, p.Code = true, page.Flow, "000000"
		if out := town.prove(p); out.Step != StepSecondFactor || !slices.Equal(codes(out), []parvis.ReasonCode{parvis.WhyCodeIncorrect}) {
			t.Errorf("%s %q", out.Step, codes(out))
		}
		p.Code = town.code(secret)
		done := town.prove(p)
		if done.Step != StepDone || town.live(in.Session) {
			t.Fatalf("%s %q; the identifier of before is good: %v", done.Step, codes(done), town.live(in.Session))
		}
		// The identifier of before is worth nothing, with any code.
		clock.Move(time.Minute)
		p.Code = town.code(secret)
		if _, err := town.hub.Prove(t.Context(), p); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("by a session that is over: %v", err)
		}
	})
}
