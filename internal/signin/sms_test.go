package signin

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

// carry delivers text messages until the test ends.
func (t *town) carry() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = t.hub.Outbox.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// read gives the code that a telephone shows, and its number.
func (t *town) read() (seal.Secret, string) {
	t.Helper()
	select {
	case m := <-t.phones:
		_, code, ok := strings.Cut(m.Text, "\n@nomade.localhost:8081 #")
		if !ok {
			_, code, ok = strings.Cut(m.Text, "\n@nomade.localhost #")
		}
		if !ok {
			t.Fatalf("no last line for the telephone: %q", m.Text)
		}
		return seal.Secret(code), m.To
	case <-time.After(30 * time.Second):
		t.Fatal("no telephone rings")
	}
	return "", ""
}

func TestSMS(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.carry()
		town.agent("A100001", right, nil)
		w := town.arriving("A100001")
		sent := town.act(town.hub.SendEnrolSMS(t.Context(), Enrolment{Holder: w, Phone: "06 12 34 56 78"}))
		if !sent.Done || sent.Sent.ID == "" || sent.Sent.Code != "" || sent.Sent.Phone != "" {
			t.Fatalf("%+v", sent)
		}
		code, to := town.read()
		if to != "+33612345678" {
			t.Errorf("sent to %s", to)
		}
		e := Enrolment{Holder: town.arriving("A100001"), Sent: sent.Sent.ID, Code: code, Name: "Le mien"}
		if out := town.act(town.hub.AddSMS(t.Context(), e)); out.Done {
			t.Error("by whoever did not ask for the code")
		}
		e.Holder = w
		added := town.act(town.hub.AddSMS(t.Context(), e))
		if !added.Done || added.Held.Kind != parvis.SMS {
			t.Fatalf("%+v", added)
		}
		clock.Move(time.Hour)
		// At the door the code leaves by itself, for this browser.
		page := town.sign("A100001", right, In{})
		town.want(page, StepSecondFactor)
		cookie := page.Cookie.Reveal()
		if page.Method.Kind != parvis.SMS || page.Sent.Hint == "" || page.Sent.Code != "" {
			t.Fatalf("%+v", page)
		}
		code, _ = town.read()
		if again := town.answer(page, In{Cookie: cookie}); !slices.Equal(codes(again), []parvis.ReasonCode{parvis.WhyCodeRequired}) {
			t.Errorf("an empty field: %q", codes(again))
		}
		other := town.sign("A100001", right, In{})
		_, _ = town.read()
		if out := town.answer(other, In{Code: code}); out.Step == StepDone {
			t.Error("the code of another browser opened")
		}
		again := town.answer(page, In{Cookie: cookie, Send: true})
		town.want(again, StepSecondFactor)
		if same, _ := town.read(); same != code {
			t.Error("asked for once more, another code came while the first was good")
		}
		// Three in a quarter of an hour: whoever knows the password floods nobody.
		limited := town.answer(again, In{Cookie: cookie, Send: true})
		town.want(limited, StepSecondFactor, parvis.WhyCodeSendLimit)
		if limited.Args["time"] == nil {
			t.Errorf("args %v", limited.Args)
		}
		done := town.answer(limited, In{Cookie: cookie, Code: code})
		town.want(done, StepDone)
		town.shown(done, parvis.Password, parvis.SMS)

		// Another number takes the place of this one, once its code came back.
		clock.Move(20 * time.Minute)
		w = Holder{Number: "A100001", Session: done.Session, Origin: street}
		change := Enrolment{Holder: w, Phone: "+33 7 00 00 00 01", Replaces: added.Held.ID}
		if out := town.act(town.hub.SendEnrolSMS(t.Context(), change)); out.Done || out.Reason.Code != parvis.WhyStepUpRequired {
			t.Errorf("long after: %+v", out)
		}
		proving := Proving{Session: w.Session, Posted: true, Send: true, Origin: street, Change: true}
		asked := town.prove(proving)
		code, _ = town.read()
		proving.Send, proving.Flow, proving.Code = false, asked.Flow, code
		if out := town.prove(proving); out.Step != StepDone {
			t.Fatalf("%s %q", out.Step, codes(out))
		}
		change.Holder = town.moved(w)
		sent = town.act(town.hub.SendEnrolSMS(t.Context(), change))
		code, to = town.read()
		if !sent.Done || to != "+33700000001" {
			t.Fatalf("%+v to %s", sent, to)
		}
		change.Sent, change.Code = sent.Sent.ID, code
		if out := town.act(town.hub.AddSMS(t.Context(), change)); !out.Done {
			t.Fatalf("%+v", out)
		}
		told := map[string]bool{} // both numbers: a thief holds at most one of them
		for range 2 {
			select {
			case m := <-town.phones:
				told[m.To] = !strings.Contains(m.Text, "#")
			case <-time.After(30 * time.Second):
				t.Fatal("no telephone is told of the change")
			}
		}
		if len(told) != 2 || !told["+33700000001"] {
			t.Errorf("told of the change: %v", told)
		}
		if held, err := town.hub.Vault.Holds(t.Context(), "A100001"); err != nil || len(held) != 1 || held[0].ID == added.Held.ID {
			t.Errorf("%+v, %v", held, err)
		}
		if mails := town.mails("A100001"); !slices.Contains(mails, "mail_phone_changed") || slices.Contains(mails, "mail_factor_removed") {
			t.Errorf("mails %q", mails)
		}
	})
}

// A text message does not count for a sensitive profile: it adds nothing.
func TestSMSOfASensitiveProfile(t *testing.T) {
	for _, c := range []struct {
		demanded int
		want     parvis.ReasonCode
	}{{parvis.AnySecond, ""}, {parvis.NoSMS, parvis.WhyFactorEnrolHereForbidden}} {
		at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
		got := mayAdd(changing{
			Held: []parvis.ProofKind{parvis.SMS}, Demanded: c.demanded, At: at,
			Shown: []parvis.Proof{{Kind: parvis.Password, At: at}, {Kind: parvis.SMS, At: at}},
		})
		if got != c.want {
			t.Errorf("demanded %d: %q, want %q", c.demanded, got, c.want)
		}
	}
}

// A telephone that was sent enough, on whosever account, gets no more; then the
// page says so and does not wait for a message that will not come.
func TestATelephoneIsNotFlooded(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	err := town.store.Write(t.Context(), func(tx *store.Tx) error {
		for range 3 {
			if ok, err := town.hub.Outbox.Queue(t.Context(), tx, notify.Message{
				Agent: "A100009", Phone: "+33612345678", Template: "sms_code", Code: "123456", Args: text.Args{"host": "nomade.localhost"},
			}); err != nil || !ok {
				return errors.Join(err, errors.New("not queued"))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := town.act(town.hub.SendEnrolSMS(t.Context(), Enrolment{Holder: town.arriving("A100001"), Phone: "06 12 34 56 78"}))
	if out.Done || out.Sent.ID != "" || out.Reason.Code != parvis.WhyCodeSendLimit || !out.Reason.At.After(clock.Now()) || out.Args["time"] == nil {
		t.Errorf("%+v", out)
	}
	if out.Args["destination_masked"] != nil {
		t.Errorf("args %v", out.Args)
	}
}
