package credential

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// The ladder: four free, the fifth waits a minute, doubling; nothing resets it but
// a right code, or a day of quiet.
func TestSecondLadder(t *testing.T) {
	each(t, func(s scene) {
		held, secret := s.authenticator()
		s.clock.Move(time.Hour)
		n := 0
		miss := func(kind parvis.ProofKind) CodeVerdict {
			n++ // another network, browser and page each time
			return s.code(CodeTry{
				Kind: kind, Code: amiss(t, secret, s.clock.Now(), n), Origin: from(n), Browser: [32]byte{byte(n)},
			})
		}
		for i, left := range []int{0, 3, 2, 1} {
			kind := parvis.TOTP
			if i%2 == 1 {
				kind = "" // whichever fits: the same ladder
			}
			if v := miss(kind); v.OK || v.Reason.Code != parvis.WhyCodeIncorrect || v.Left != left || v.Locked {
				t.Errorf("wrong code %d: %+v", i+1, v)
			}
		}
		v := miss(parvis.TOTP)
		if want := s.clock.Now().Add(time.Minute); v.Reason.Code != parvis.WhyCodeTryLimit || !v.Reason.At.Equal(want) || !v.Locked || v.Disabled {
			t.Errorf("wrong code 5: %+v", v)
		}
		// While it waits nothing is compared, and the wait grows no longer.
		before := s.events("second.waited")
		for range 3 {
			if again := s.totp(generate(t, secret, s.clock.Now())); again.OK || again.Reason != v.Reason || again.Locked {
				t.Errorf("while waiting: %+v", again)
			}
		}
		if got := s.events("second.waited") - before; got != 1 {
			t.Errorf("%d refused tries recorded in one wait", got)
		}
		// Another means has a ladder of its own, and does not shorten this one.
		codes := s.sheet()
		if v := s.code(CodeTry{Code: codes[0]}); !v.OK {
			t.Errorf("a printed code: %+v", v)
		}
		if v := s.totp(generate(t, secret, s.clock.Now())); v.OK {
			t.Errorf("one means bought tries at another: %+v", v)
		}
		s.clock.Move(time.Minute)
		if v := miss(parvis.TOTP); v.Reason.Code != parvis.WhyCodeTryLimit || v.Locked {
			t.Errorf("wrong code 6: %+v", v)
		} else if d := v.Reason.At.Sub(s.clock.Now()); d < 108*time.Second || d > 132*time.Second {
			t.Errorf("the second wait lasts %s", d)
		}
		// A new password gives no new tries at the second proof.
		s.set("violon marmotte escalier tisane", 0)
		if v := s.totp(generate(t, secret, s.clock.Now())); v.OK || v.Reason.Code != parvis.WhyCodeTryLimit {
			t.Errorf("after a new password: %+v", v)
		}
		s.clock.Move(3 * time.Minute)
		if v := s.totp(generate(t, secret, s.clock.Now())); !v.OK || v.Held != held.ID {
			t.Errorf("when it ended: %+v", v)
		}
		if v := miss(parvis.TOTP); v.Reason.Code != parvis.WhyCodeIncorrect || v.Left != 0 {
			t.Errorf("the ladder did not begin again: %+v", v)
		}
	})
}

func (s scene) events(kind string) int {
	n := 0
	for _, k := range s.kinds() {
		if k == kind {
			n++
		}
	}
	return n
}

// The same wrong code of the same half minute is one guess; in the next it is
// another.
func TestTheSameGuess(t *testing.T) {
	onSQLite(t, func(s scene) {
		_, secret := s.authenticator()
		s.clock.Move(time.Hour)
		code := amiss(t, secret, s.clock.Now().Add(time.Minute), 0)
		for range 9 {
			if v := s.totp(code); v.Reason.Code != parvis.WhyCodeIncorrect {
				t.Fatalf("%+v", v)
			}
		}
		for range 4 {
			s.clock.Move(30 * time.Second)
			code = amiss(t, secret, s.clock.Now(), 0)
			s.totp(code)
		}
		if v := s.totp(code); v.Reason.Code != parvis.WhyCodeTryLimit {
			t.Errorf("in five half minutes: %+v", v)
		}
	})
}

func TestAHundredWrongCodes(t *testing.T) {
	onSQLite(t, func(s scene) {
		_, secret := s.authenticator()
		var v CodeVerdict
		for n := 1; n <= inARow; n++ {
			s.clock.Move(2 * longest)
			v = s.totp(amiss(t, secret, s.clock.Now(), n))
			if v.Disabled != (n == inARow) {
				t.Fatalf("wrong code %d: %+v", n, v)
			}
		}
		if v.Reason.Code != parvis.WhyCodeTryLimit || !v.Locked {
			t.Errorf("the hundredth: %+v", v)
		}
		for range 2 {
			s.clock.Move(30 * 24 * time.Hour)
			if v := s.totp(generate(t, secret, s.clock.Now())); v.OK || !v.Disabled || v.Reason != (parvis.Reason{Code: parvis.WhyCodeTryLimit}) {
				t.Errorf("a right one, a month later: %+v", v)
			}
		}
		// A weaker proof clears nothing, one as strong does.
		held := s.enrolPhone(mobile)
		sent := s.send(SendCode{Purpose: "prove", Phone: held.ID, Browser: browserOne})
		if v := s.code(CodeTry{Kind: parvis.SMS, Code: sent.Code, Sent: sent.ID, Browser: browserOne}); !v.OK {
			t.Fatalf("%+v", v)
		}
		if v := s.totp(generate(t, secret, s.clock.Now())); v.OK || !v.Disabled {
			t.Errorf("after a text message: %+v", v)
		}
		if v := s.code(CodeTry{Code: s.temporary(time.Hour)}); !v.OK {
			t.Fatalf("%+v", v)
		}
		if v := s.totp(generate(t, secret, s.clock.Now())); !v.OK {
			t.Errorf("after the desk: %+v", v)
		}
	})
}

func TestUnfitCodes(t *testing.T) {
	onSQLite(t, func(s scene) {
		s.authenticator()
		for typed, want := range map[seal.Secret]CodeVerdict{
			"":                     {Reason: parvis.Reason{Code: parvis.WhyCodeRequired}},
			" - ":                  {Reason: parvis.Reason{Code: parvis.WhyCodeRequired}},
			"12345":                {Reason: parvis.Reason{Code: parvis.WhyCodeLength}, Missing: 1},
			"１２ ３４":                {Reason: parvis.Reason{Code: parvis.WhyCodeLength}, Missing: 2},
			"1234567":              {Reason: parvis.Reason{Code: parvis.WhyCodeLength}, Missing: -1},
			"12345O":               {Reason: parvis.Reason{Code: parvis.WhyCodeIncorrect}},
			"\xff\xff\xff\xff\xff": {Reason: parvis.Reason{Code: parvis.WhyCodeLength}, Missing: 5},
		} {
			if got := s.totp(typed); got != want {
				t.Errorf("%q: %+v, want %+v", typed.Reveal(), got, want)
			}
		}
		if b, err := s.Store.Budget(t.Context(), s.meansID("A100001", parvis.TOTP)); err != nil || b.Failures != 0 {
			t.Errorf("charged: %+v, %v", b, err)
		}
		for name, try := range map[string]CodeTry{
			"of nobody":        {Kind: parvis.TOTP, Code: "123456"},
			"of no typed kind": {Agent: "A100001", Kind: parvis.Passkey, Code: "123456"},
		} {
			err := s.Store.Write(t.Context(), func(tx *store.Tx) error {
				_, err := s.TryCode(t.Context(), tx, try)
				return err
			})
			if parvis.CodeOf(err) != parvis.CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Six digits may be of an authenticator or of a message. A wrong code is charged
// to both, a right one to neither, and the late telephone is told all the same.
func TestWhicheverFits(t *testing.T) {
	onSQLite(t, func(s scene) {
		_, secret := s.authenticator()
		held := s.enrolPhone(mobile)
		s.clock.Move(time.Hour)
		sent := s.send(SendCode{Purpose: "prove", Phone: held.ID, Browser: browserOne})
		try := func(code seal.Secret) CodeVerdict {
			return s.code(CodeTry{Code: code, Sent: sent.ID, Browser: browserOne})
		}
		if v := try(generate(t, secret, s.clock.Now().Add(-2*time.Minute))); v.Reason.Code != parvis.WhyCodeIncorrect || v.Drift != -2*time.Minute {
			t.Errorf("of a late telephone: %+v", v)
		}
		for _, kind := range []parvis.ProofKind{parvis.TOTP, parvis.SMS} {
			if b, err := s.Store.Budget(t.Context(), s.meansID("A100001", kind)); err != nil || b.Failures != 1 {
				t.Errorf("%s: %+v, %v", kind, b, err)
			}
		}
		if v := try(sent.Code); !v.OK || v.Proof.Kind != parvis.SMS || v.Held != held.ID {
			t.Errorf("of the message: %+v", v)
		}
		if v := try(generate(t, secret, s.clock.Now())); !v.OK || v.Proof.Kind != parvis.TOTP {
			t.Errorf("of the authenticator: %+v", v)
		}
		if v := try("éééééééééééééééé"); v.OK || v.Reason.Code != parvis.WhyCodeIncorrect {
			t.Errorf("letters that no code has: %+v", v)
		}
		if b, err := s.Store.Budget(t.Context(), s.meansID("A100001", parvis.TOTP)); err != nil || b.Failures != 0 {
			t.Errorf("charged for what is no code: %+v, %v", b, err)
		}
	})
}

// What an agent may do with a proof, and nobody else.
func TestHeldProofs(t *testing.T) {
	each(t, func(s scene) {
		held, secret := s.authenticator()
		s.clock.Move(time.Minute)
		s.sheet()
		phone := s.enrolPhone(mobile)
		all, err := s.Holds(t.Context(), "A100001")
		var kinds []parvis.ProofKind
		for _, h := range all {
			kinds = append(kinds, h.Kind)
			if h.Kind == parvis.RecoveryCode && h.Left != 10 || h.Kind == parvis.SMS && h.Hint != phone.Hint {
				t.Errorf("%+v", h)
			}
		}
		if want := []parvis.ProofKind{parvis.SMS, parvis.TOTP, parvis.RecoveryCode}; err != nil || !slices.Equal(kinds, want) {
			t.Errorf("%v, %v; the last used first", kinds, err)
		}
		rename := func(number parvis.AgentNumber, id string) error {
			return s.Store.Write(t.Context(), func(tx *store.Tx) error {
				return s.Rename(t.Context(), tx, number, id, strings.Repeat("é", 70)+"\n")
			})
		}
		remove := func(number parvis.AgentNumber, id string) (h parvis.Held, err error) {
			err = s.Store.Write(t.Context(), func(tx *store.Tx) error {
				h, err = s.Remove(t.Context(), tx, number, id)
				return err
			})
			return h, err
		}
		for _, c := range []struct {
			number parvis.AgentNumber
			id     string
		}{{"A100002", held.ID}, {"A100001", "none"}} {
			if err := rename(c.number, c.id); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("%v renamed: %v", c, err)
			}
			if _, err := remove(c.number, c.id); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("%v removed: %v", c, err)
			}
		}
		if err := rename("A100001", held.ID); err != nil {
			t.Error(err)
		}
		gone, err := remove("A100001", held.ID)
		if err != nil || gone.ID != held.ID || gone.Name != strings.Repeat("é", 60) {
			t.Errorf("%+v, %v", gone, err)
		}
		if v := s.totp(generate(t, secret, s.clock.Now())); v.OK {
			t.Errorf("a removed authenticator: %+v", v)
		}
		for _, h := range all {
			if h.Kind == parvis.RecoveryCode {
				if _, err := remove("A100001", h.ID); err != nil {
					t.Error(err)
				}
			}
		}
		if all, err = s.Holds(t.Context(), "A100001"); err != nil || len(all) != 1 || all[0].ID != phone.ID {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// Nothing of a second proof can be read in the records, nor in the database
// without the keys.
func TestNoCodeIsRecorded(t *testing.T) {
	onSQLite(t, func(s scene) {
		held, secret := s.authenticator()
		s.clock.Move(time.Minute)
		code := generate(t, secret, s.clock.Now())
		s.totp(code)
		s.totp(code)
		s.totp(amiss(t, secret, s.clock.Now(), 0))
		n := 0
		err := s.Store.EachEvent(t.Context(), 0, func(e parvis.Event) error {
			if strings.HasPrefix(e.Kind, "second.") {
				n++
				if e.Detail["kind"] != "totp" || e.Kind == "second.ok" && (e.Detail["held"] != held.ID || e.Address != outside.Address) {
					t.Errorf("%+v", e)
				}
			}
			if text := fmt.Sprintf("%+v", e); strings.Contains(text, code.Reveal()) || strings.Contains(text, secret.Reveal()) {
				t.Errorf("%s", text)
			}
			return nil
		})
		if err != nil || n != 4 {
			t.Errorf("%d events, %v", n, err)
		}
		row, err := s.Store.HeldByID(t.Context(), held.ID)
		if err != nil || bytes.Contains(row.Secret, []byte(secret.Reveal())) || len(row.Secret) < len(secret.Reveal()) {
			t.Errorf("%x, %v", row.Secret, err)
		}
		row.Agent = "A100002" // sealed for one row
		if _, err := s.open(row, row.Secret); parvis.CodeOf(err) != parvis.CodeInternal {
			t.Errorf("moved to another agent: %v", err)
		}
	})
}

func FuzzNormalCode(f *testing.F) {
	for _, s := range []string{"123 456", "１２３４５６", "abcd-efgh-ijkl-mnop", "ß\u00ad\u200b", "\xff", "ﬃﬃ", strings.Repeat("é", 60), "\u0345\u0390"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code := normalCode(seal.Secret(typed))
		if len(code) > 20*longestCode || strings.ContainsAny(code, " -\n\t._") {
			t.Errorf("%q gives %q", typed, code)
		}
		for _, kind := range []parvis.ProofKind{"", parvis.TOTP, parvis.SMS, parvis.RecoveryCode, parvis.TemporaryCode} {
			got, missing, ok := fitting(kind, seal.Secret(typed))
			if got != code || ok && missing != 0 || ok && code == "" {
				t.Errorf("%q as %q: %q, %d, %t", typed, kind, got, missing, ok)
			}
			if v := unfit(got, missing); !ok && v.Reason.Code == "" {
				t.Errorf("%q as %q: no reason", typed, kind)
			}
		}
	})
}

// BenchmarkTryCode accepts a fresh code each time, on disk.
func BenchmarkTryCode(b *testing.B) {
	keys, err := seal.OpenKeys(b.TempDir() + "/keys")
	if err != nil {
		b.Fatal(err)
	}
	clock, ctx := new(storetest.Clock), b.Context()
	v := &Vault{Store: storetest.Open(b, "sqlite:"+b.TempDir()+"/parvis.db", clock), Keys: keys, Clock: clock.Now}
	offer, err := v.OfferTOTP(&parvis.Agent{Number: "A1"}, "Ville", clock.Now())
	if err != nil {
		b.Fatal(err)
	}
	err = v.Store.Write(ctx, func(tx *store.Tx) error {
		_, _, err := v.EnrolTOTP(ctx, tx, "A1", offer.Ticket, generate(b, offer.Secret, tx.Now()), "")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		clock.Move(time.Minute)
		try := CodeTry{Agent: "A1", Kind: parvis.TOTP, Code: generate(b, offer.Secret, clock.Now())}
		err := v.Store.Write(ctx, func(tx *store.Tx) error {
			verdict, err := v.TryCode(ctx, tx, try)
			if err == nil && !verdict.OK {
				b.Errorf("%+v", verdict)
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "codes/s")
}
