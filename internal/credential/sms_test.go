package credential

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

const mobile = "06 12 34 56 42"

var browserOne, browserTwo = [32]byte{1}, [32]byte{2}

// code types a code as a second proof.
func (s scene) code(t CodeTry) CodeVerdict {
	s.t.Helper()
	if t.Agent == "" {
		t.Agent = s.agent.Number
	}
	var v CodeVerdict
	s.write(func(tx *store.Tx) error {
		var err error
		v, err = s.TryCode(s.t.Context(), tx, t)
		return err
	})
	return v
}

func (s scene) send(o SendCode) Sending {
	s.t.Helper()
	if o.Agent == "" {
		o.Agent = s.agent.Number
	}
	var sending Sending
	s.write(func(tx *store.Tx) error {
		var err error
		sending, err = s.SendCode(s.t.Context(), tx, o)
		return err
	})
	return sending
}

func (s scene) enrolPhone(number string) parvis.Held {
	s.t.Helper()
	sending := s.send(SendCode{Purpose: "enrol", Phone: number, Browser: browserOne})
	var held parvis.Held
	s.write(func(tx *store.Tx) error {
		var err error
		var v CodeVerdict
		held, v, err = s.EnrolSMS(s.t.Context(), tx, s.agent.Number, sending.ID, browserOne, sending.Code, "Le mien")
		if err == nil && !v.OK {
			s.t.Errorf("enrolment refused: %+v", v)
		}
		return err
	})
	return held
}

func TestSMS(t *testing.T) {
	each(t, func(s scene) {
		held := s.enrolPhone(mobile)
		if held.Hint != "•• •• •• •• 42" || held.Kind != parvis.SMS || held.Name != "Le mien" {
			t.Errorf("held: %+v", held)
		}
		first := s.send(SendCode{Purpose: "prove", Phone: held.ID, Browser: browserOne})
		again := s.send(SendCode{Purpose: "prove", Phone: held.ID, Browser: browserOne})
		if first.Code != again.Code || first.ID != again.ID || first.Phone != "+33612345642" {
			t.Errorf("another code while the first is good: %+v, %+v", first, again)
		}
		for name, try := range map[string]CodeTry{
			"another browser": {Kind: parvis.SMS, Code: first.Code, Sent: first.ID, Browser: browserTwo},
			"another agent":   {Agent: "A100002", Kind: parvis.SMS, Code: first.Code, Sent: first.ID, Browser: browserOne},
			"no sending":      {Kind: parvis.SMS, Code: first.Code, Browser: browserOne},
		} {
			if v := s.code(try); v.OK || v.Reason.Code != parvis.WhyCodeIncorrect {
				t.Errorf("%s: %+v", name, v)
			}
		}
		right := CodeTry{Kind: parvis.SMS, Code: first.Code, Sent: first.ID, Browser: browserOne}
		if v := s.code(right); !v.OK || v.Held != held.ID || v.Proof.Kind != parvis.SMS {
			t.Errorf("the right code: %+v", v)
		}
		if v := s.code(right); v.OK || v.Reason.Code != parvis.WhyCodeReused {
			t.Errorf("the same code again: %+v", v)
		}
	})
}

func TestSentCodeExpires(t *testing.T) {
	onSQLite(t, func(s scene) {
		held := s.enrolPhone(mobile)
		sending := s.send(SendCode{Purpose: "prove", Phone: held.ID, Browser: browserOne})
		s.clock.Move(sentLasts)
		if v := s.code(CodeTry{Kind: parvis.SMS, Code: sending.Code, Sent: sending.ID, Browser: browserOne}); v.OK || v.Reason.Code != parvis.WhyCodeExpired {
			t.Errorf("after five minutes: %+v", v)
		}
	})
}

// an enemy with the password guesses codes, asks for others between, and
// goes from browser to browser. Tries are counted all the same.
func TestGuessingAcrossSendings(t *testing.T) {
	each(t, func(s scene) {
		held := s.enrolPhone(mobile)
		s.clock.Move(24 * time.Hour)
		examined := 0
		for i := range 60 {
			browser := [32]byte{byte(i)}
			sending := s.send(SendCode{Purpose: "prove", Phone: held.ID, Browser: browser})
			v := s.code(CodeTry{Kind: parvis.SMS, Code: seal.Secret(fmt.Sprintf("%06d", i)), Sent: sending.ID, Browser: browser})
			if v.OK {
				t.Skip("a guess in a million was right")
			}
			if v.Reason.Code != parvis.WhyCodeTryLimit || v.Locked {
				examined++
			}
		}
		if examined > 5 {
			t.Errorf("%d guesses were examined at once, more than five", examined)
		}
	})
}

// A code has five tries, whoever types: the sixth is not compared.
func TestFiveTriesToEnrol(t *testing.T) {
	onSQLite(t, func(s scene) {
		sending := s.send(SendCode{Purpose: "enrol", Phone: mobile, Browser: browserOne})
		wrong := seal.Secret("000000")
		if sending.Code == wrong {
			wrong = "000001"
		}
		for i := range 7 {
			code := wrong
			if i >= sentTries {
				code = sending.Code
			}
			s.write(func(tx *store.Tx) error {
				_, v, err := s.EnrolSMS(t.Context(), tx, s.agent.Number, sending.ID, browserOne, code, "")
				if v.OK {
					t.Errorf("try %d was accepted", i+1)
				}
				return err
			})
		}
	})
}

// SMS flooding: a number hears three messages in a quarter of an hour and ten a
// day, whoever asks, and a refused sending costs nothing.
func TestFloodingANumber(t *testing.T) {
	each(t, func(s scene) {
		sentTo := func(agent parvis.AgentNumber) int {
			n := 0
			for range 5 {
				if o := s.send(SendCode{Agent: agent, Purpose: "enrol", Phone: mobile, Browser: browserOne}); o.Reason.Code == "" {
					n++
				} else if o.Reason.Code != parvis.WhyCodeSendLimit || !o.Reason.At.After(s.clock.Now()) || o.Code != "" || o.Phone != "" {
					t.Errorf("refused with %+v", o)
				}
			}
			return n
		}
		if n := sentTo("A100001") + sentTo("A100002") + sentTo("A100003"); n != sendsAtOnce {
			t.Errorf("%d messages to one number in a moment, want %d", n, sendsAtOnce)
		}
		day := sendsAtOnce
		for range 20 {
			s.clock.Move(15*time.Minute + time.Second)
			day += sentTo("A100004")
		}
		if day != sendsPerDay {
			t.Errorf("%d messages to one number in a day, want %d", day, sendsPerDay)
		}
	})
}

func TestSendsInAll(t *testing.T) {
	onSQLite(t, func(s scene) {
		s.SMSPerHour = 4
		n := 0
		for i := range 8 {
			o := s.send(SendCode{Agent: parvis.AgentNumber(fmt.Sprintf("A20000%d", i)), Purpose: "enrol", Phone: fmt.Sprintf("06000000%02d", i)})
			if o.Reason.Code == "" {
				n++
			}
		}
		if n != 4 {
			t.Errorf("%d messages in an hour, want 4", n)
		}
	})
}

// of twenty redemptions of one code at once, one is right.
func TestRaceOfSentCodes(t *testing.T) {
	each(t, func(s scene) {
		held := s.enrolPhone(mobile)
		sending := s.send(SendCode{Purpose: "prove", Phone: held.ID, Browser: browserOne})
		won := s.race(20, func(tx *store.Tx) (bool, error) {
			v, err := s.TryCode(t.Context(), tx, CodeTry{Agent: s.agent.Number, Kind: parvis.SMS, Code: sending.Code, Sent: sending.ID, Browser: browserOne})
			return v.OK, err
		})
		if won != 1 {
			t.Errorf("%d of 20 redemptions were accepted, want 1", won)
		}
	})
}

// race runs f in n transactions at once and counts those that answer true.
func (s scene) race(n int, f func(tx *store.Tx) (bool, error)) int {
	s.t.Helper()
	var wait sync.WaitGroup
	won := make([]bool, n)
	for i := range won {
		wait.Go(func() {
			err := s.Store.Write(s.t.Context(), func(tx *store.Tx) (err error) {
				won[i], err = f(tx)
				return err
			})
			if err != nil {
				s.t.Error(err)
			}
		})
	}
	wait.Wait()
	count := 0
	for _, w := range won {
		if w {
			count++
		}
	}
	return count
}

func TestOneTelephoneOnce(t *testing.T) {
	onSQLite(t, func(s scene) {
		s.enrolPhone(mobile)
		sending := s.send(SendCode{Purpose: "enrol", Phone: "+33 (0)6 12 34 56 42", Browser: browserOne})
		err := s.Store.Write(t.Context(), func(tx *store.Tx) error {
			_, _, err := s.EnrolSMS(t.Context(), tx, s.agent.Number, sending.ID, browserOne, sending.Code, "")
			return err
		})
		if parvis.CodeOf(err) != parvis.CodeConflict {
			t.Errorf("the same telephone again: %v", err)
		}
	})
}

func TestParsePhone(t *testing.T) {
	for in, want := range map[string]string{
		"0612345678": "+33612345678", "06 12 34 56 78": "+33612345678", "06.12.34.56.78": "+33612345678", "+33 (0)6 12 34 56 78": "+33612345678",
		"0033612345678": "+33612345678", "07-11-22-33-44": "+33711223344", "0690 12 34 56": "+590690123456", "0692123456": "+262692123456",
		"+33 692 12 34 56": "+262692123456", " +41 (0)79 123 45 67": "+41791234567", "0639 12 34 56": "+262639123456", "06\u201112\u201134\u201156\u201178": "+33612345678",
		"+32 470 12 34 56": "+32470123456", "０６１２３４５６７８": "+33612345678",
		"0142761234": "", "+33142761234": "", "0612": "", "": "", "06123456789": "", "six": "", "+0612345678": "", "06123456ab": "", "+1": "",
	} {
		got, ok := ParsePhone(in, "FR")
		if got != want || ok != (want != "") {
			t.Errorf("%q → %q %t, want %q", in, got, ok, want)
		}
	}
	if got, _ := ParsePhone("0470 12 34 56", "BE"); got != "+32470123456" {
		t.Errorf("a Belgian number: %q", got)
	}
	if _, ok := ParsePhone("0470 12 34 56", "XX"); ok {
		t.Error("a national number of an unknown country")
	}
}

func FuzzParsePhone(f *testing.F) {
	f.Add("06 12 34 56 78", "FR")
	f.Add("+", "")
	f.Add("00330", "BE")
	f.Fuzz(func(t *testing.T, s, country string) {
		got, ok := ParsePhone(s, country)
		if !ok {
			if got != "" {
				t.Errorf("%q → %q, refused", s, got)
			}
			return
		}
		if len(got) < 9 || len(got) > 16 || got[0] != '+' || strings.Trim(got[1:], "0123456789") != "" {
			t.Errorf("%q → %q", s, got)
		}
		if again, ok := ParsePhone(got, country); !ok || again != got {
			t.Errorf("%q → %q → %q", s, got, again)
		}
	})
}
