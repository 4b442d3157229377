package credential

import (
	"bytes"
	"encoding/base32"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// generate is what an authenticator shows at a moment.
func generate(t testing.TB, secret seal.Secret, at time.Time) seal.Secret {
	t.Helper()
	code, err := hotp.GenerateCodeCustom(secret.Reveal(), uint64(at.Unix()/30), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		t.Fatal(err)
	}
	return seal.Secret(code)
}

// authenticator is enrolled by the agent of the scene; its first code is used
// up by that.
func (s scene) authenticator() (parvis.Held, seal.Secret) {
	s.t.Helper()
	offer, err := s.OfferTOTP(s.agent, "Ville", s.clock.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	var held parvis.Held
	s.write(func(tx *store.Tx) error {
		var v CodeVerdict
		held, v, err = s.EnrolTOTP(s.t.Context(), tx, s.agent.Number, offer.Ticket, generate(s.t, offer.Secret, s.clock.Now()), "  Mon\ttéléphone ")
		if err == nil && (!v.OK || v.Held != held.ID || v.Proof != (parvis.Proof{Kind: parvis.TOTP, At: s.clock.Now()})) {
			s.t.Fatalf("%+v", v)
		}
		return err
	})
	return held, offer.Secret
}

// amiss gives the n-th code that the authenticator shows at no moment nearby.
func amiss(t testing.TB, secret seal.Secret, now time.Time, n int) seal.Secret {
	t.Helper()
	near := map[seal.Secret]bool{}
	for k := -drifts - 2; k <= drifts+2; k++ {
		near[generate(t, secret, now.Add(time.Duration(k)*30*time.Second))] = true
	}
	for i := 0; ; i++ {
		code := seal.Secret(fmt.Sprintf("%06d", i))
		if near[code] {
			continue
		}
		if n == 0 {
			return code
		}
		n--
	}
}

func (s scene) totp(code seal.Secret) CodeVerdict {
	s.t.Helper()
	return s.code(CodeTry{Kind: parvis.TOTP, Code: code, Origin: outside})
}

func TestTOTP(t *testing.T) {
	each(t, func(s scene) {
		held, secret := s.authenticator()
		if held.Name != "Mon téléphone" || held.Kind != parvis.TOTP || held.ID == "" {
			t.Errorf("%+v", held)
		}
		if v := s.totp(generate(t, secret, s.clock.Now())); v.OK || v.Reason.Code != parvis.WhyCodeReused {
			t.Errorf("the code that enrolled it: %+v", v)
		}
		for _, test := range []struct {
			move, off time.Duration
			ok        bool
		}{
			{30 * time.Second, 0, true},
			{30 * time.Second, 30 * time.Second, true}, // a clock that is half a minute early
			{30 * time.Second, 0, false},               // that step was used
			{2 * time.Minute, -30 * time.Second, true},
			{2 * time.Minute, 60 * time.Second, false},
			{2 * time.Minute, -60 * time.Second, false},
		} {
			s.clock.Move(test.move)
			v := s.totp(generate(t, secret, s.clock.Now().Add(test.off)))
			if v.OK != test.ok || v.OK && (v.Held != held.ID || v.Proof.Kind != parvis.TOTP || !v.Proof.At.Equal(s.clock.Now())) {
				t.Errorf("%s later, %s off: %+v", test.move, test.off, v)
			}
		}
		s.clock.Move(time.Hour)
		code := generate(t, secret, s.clock.Now()).Reveal()
		if v := s.code(CodeTry{Code: seal.Secret(" " + code[:3] + " - " + code[3:] + "\u200b")}); !v.OK {
			t.Errorf("of no named kind, with blanks: %+v", v)
		}
		s.clock.Move(time.Hour)
		if v := s.code(CodeTry{Agent: "A100002", Kind: parvis.TOTP, Code: generate(t, secret, s.clock.Now())}); v.OK {
			t.Errorf("somebody else's: %+v", v)
		}
		// A clock that is set back brings no code back.
		if v := s.totp(generate(t, secret, s.clock.Now())); !v.OK {
			t.Fatalf("%+v", v)
		}
		s.clock.Move(-30 * time.Second)
		if v := s.totp(generate(t, secret, s.clock.Now())); v.OK || v.Reason.Code != parvis.WhyCodeReused {
			t.Errorf("after the clock went back: %+v", v)
		}
	})
}

// the same code again, one after the other and fifty at once.
func TestTOTPIsUsedOnce(t *testing.T) {
	each(t, func(s scene) {
		_, secret := s.authenticator()
		s.clock.Move(time.Minute)
		code := generate(t, secret, s.clock.Now())
		if v := s.totp(code); !v.OK {
			t.Fatalf("%+v", v)
		}
		for n := range 12 { // no try at all: the code was right
			if v := s.totp(code); v.OK || v.Reason.Code != parvis.WhyCodeReused || !v.Reason.At.IsZero() {
				t.Fatalf("again, %d: %+v", n, v)
			}
		}
		s.clock.Move(time.Minute)
		try := CodeTry{Agent: s.agent.Number, Kind: parvis.TOTP, Code: generate(t, secret, s.clock.Now())}
		won := s.race(50, func(tx *store.Tx) (bool, error) {
			v, err := s.TryCode(t.Context(), tx, try)
			return v.OK, err
		})
		if won != 1 {
			t.Errorf("%d of 50 uses were accepted, want 1", won)
		}
	})
}

func TestDrift(t *testing.T) {
	onSQLite(t, func(s scene) {
		_, secret := s.authenticator()
		for _, off := range []time.Duration{-10 * time.Minute, -5 * time.Minute, -time.Minute, time.Minute, 7 * time.Minute, 10 * time.Minute} {
			s.clock.Move(25 * time.Hour)
			v := s.totp(generate(t, secret, s.clock.Now().Add(off)))
			if v.OK || v.Reason.Code != parvis.WhyCodeIncorrect || v.Drift != off {
				t.Errorf("%s: %+v", off, v)
			}
		}
		s.clock.Move(25 * time.Hour)
		if v := s.totp(generate(t, secret, s.clock.Now().Add(15*time.Minute))); v.Drift != 0 {
			t.Errorf("a quarter of an hour: %+v", v)
		}
		// Told that a code will be right in five minutes, nobody can use it then.
		s.clock.Move(25 * time.Hour)
		early := generate(t, secret, s.clock.Now().Add(5*time.Minute))
		if v := s.totp(early); v.Drift != 5*time.Minute {
			t.Fatalf("%+v", v)
		}
		s.clock.Move(5 * time.Minute)
		if v := s.totp(early); v.OK || v.Reason.Code != parvis.WhyCodeReused {
			t.Errorf("a code that was told: %+v", v)
		}
	})
}

func TestOfferOfAnAuthenticator(t *testing.T) {
	onSQLite(t, func(s scene) {
		offer, err := s.OfferTOTP(s.agent, "Ville de Saint-Ouen & Cie", s.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		key, err := otp.NewKeyFromURL(offer.URI.Reveal()) // as an authenticator reads it
		if err != nil {
			t.Fatal(err)
		}
		if key.Secret() != offer.Secret.Reveal() || key.Issuer() != "Ville de Saint-Ouen & Cie" || key.AccountName() != "A100001" ||
			key.Period() != 30 || key.Digits() != otp.DigitsSix || key.Algorithm() != otp.AlgorithmSHA1 || key.Type() != "totp" {
			t.Errorf("%s", offer.URI.Reveal())
		}
		if u, err := url.Parse(offer.URI.Reveal()); err != nil || strings.Contains(u.RawQuery, "+") {
			t.Errorf("%v, %v", u, err)
		}
		if seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(offer.Secret.Reveal()); err != nil || len(seed) != seedBytes {
			t.Errorf("%d bytes, %v", len(seed), err)
		}
		for d := xml.NewDecoder(bytes.NewReader(offer.QR)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v: %s", err, offer.QR)
			}
		}
		again, err := s.ReofferTOTP(offer.Ticket)
		if err != nil || again.Secret != offer.Secret || again.URI != offer.URI || !bytes.Equal(again.QR, offer.QR) {
			t.Errorf("shown again: %v", err)
		}
		if strings.Contains(fmt.Sprintf("%+v", offer.Ticket), offer.Secret.Reveal()) {
			t.Error("the ticket can be read")
		}
		if _, err := s.OfferTOTP(nil, "Ville", s.clock.Now()); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("to nobody: %v", err)
		}
		if _, err := s.OfferTOTP(s.agent, strings.Repeat("Ville", 500), s.clock.Now()); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("an endless name: %v", err)
		}
	})
}

func TestEnrolTOTP(t *testing.T) {
	each(t, func(s scene) {
		offer, err := s.OfferTOTP(s.agent, "Ville", s.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		enrol := func(number parvis.AgentNumber, ticket string, code seal.Secret) (v CodeVerdict, err error) {
			t.Helper()
			s.write(func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "test"})
				_, v, err = s.EnrolTOTP(t.Context(), tx, number, ticket, code, "")
				return nil
			})
			return v, err
		}
		code := generate(t, offer.Secret, s.clock.Now())
		for name, test := range map[string]struct {
			number parvis.AgentNumber
			ticket string
		}{
			"somebody else": {"A100002", offer.Ticket}, "nobody": {"", offer.Ticket}, "no ticket": {"A100001", "x"},
		} {
			if v, err := enrol(test.number, test.ticket, code); parvis.CodeOf(err) != parvis.CodeInvalid || v.OK {
				t.Errorf("%s: %+v, %v", name, v, err)
			}
		}
		for n := range 20 { // the secret is on the page: guessing gains nothing
			if v, err := enrol("A100001", offer.Ticket, amiss(t, offer.Secret, s.clock.Now(), n)); err != nil || v.OK || v.Reason.Code != parvis.WhyCodeIncorrect {
				t.Fatalf("wrong: %+v, %v", v, err)
			}
		}
		if v, err := enrol("A100001", offer.Ticket, generate(t, offer.Secret, s.clock.Now().Add(-4*time.Minute))); err != nil || v.Drift != -4*time.Minute {
			t.Errorf("a late clock: %+v, %v", v, err)
		}
		if v, err := enrol("A100001", offer.Ticket, "12"); err != nil || v.Missing != 4 {
			t.Errorf("too short: %+v, %v", v, err)
		}
		late, err := s.OfferTOTP(s.agent, "Ville", s.clock.Now().Add(-offerLasts))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := enrol("A100001", late.Ticket, generate(t, late.Secret, s.clock.Now())); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("late: %v", err)
		}
		if v, err := enrol("A100001", offer.Ticket, code); err != nil || !v.OK {
			t.Fatalf("right: %+v, %v", v, err)
		}
		if _, err := enrol("A100001", offer.Ticket, code); parvis.CodeOf(err) != parvis.CodeConflict {
			t.Errorf("twice: %v", err)
		}
		s.authenticator()
		s.authenticator()
		offer, err = s.OfferTOTP(s.agent, "Ville", s.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := enrol("A100001", offer.Ticket, generate(t, offer.Secret, s.clock.Now())); parvis.CodeOf(err) != parvis.CodeConflict {
			t.Errorf("a fourth: %v", err)
		}
	})
}

// Whatever stands for a ticket, nothing panics and nothing is offered but to
// whom it was.
func FuzzTicket(f *testing.F) {
	v := benchVault(f, 0)
	offer, err := v.OfferTOTP(&parvis.Agent{Number: "A1"}, "Ville", v.Clock())
	if err != nil {
		f.Fatal(err)
	}
	_, asked, err := v.AskPasskey(f.Context(), at(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(offer.Ticket)
	f.Add(asked) // of another purpose
	f.Add(offer.Ticket + "\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, ticket string) {
		if o, err := v.ReofferTOTP(ticket); (err == nil) != (ticket == offer.Ticket) || err == nil && o.Secret != offer.Secret {
			t.Errorf("%q: %v", ticket, err)
		}
		for _, kind := range []protocol.CeremonyType{protocol.CreateCeremony, protocol.AssertCeremony} {
			_, ok := v.redeem(PasskeyAnswer{Ticket: ticket, Site: here}, v.Clock(), kind)
			if want := ticket == asked && kind == protocol.AssertCeremony; ok != want {
				t.Errorf("%q as %s: %t", ticket, kind, ok)
			}
		}
	})
}
