package parvis_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parvis"
)

func TestStrength(t *testing.T) {
	for kind, want := range map[parvis.ProofKind]int{
		parvis.Password: 0, parvis.Verifier: 0, parvis.VerifierWaived: 0, "mail": 0, "": 0,
		parvis.SMS: 1, parvis.TOTP: 2, parvis.RecoveryCode: 2, parvis.TemporaryCode: 2, parvis.Passkey: 3,
	} {
		if kind.Strength() != want || kind.Second() != (want > 0) {
			t.Errorf("%q has strength %d and counts as a second proof: %v", kind, kind.Strength(), kind.Second())
		}
	}
	for _, kind := range []parvis.ProofKind{parvis.Password, parvis.Verifier, parvis.VerifierWaived, parvis.SMS} {
		s := parvis.Standing{Enrolled: []parvis.ProofKind{kind}}
		if s.SecondEnrolled() != (kind == parvis.SMS) {
			t.Errorf("who holds %s holds a second proof: %v", kind, s.SecondEnrolled())
		}
	}
}

// The rows of the table of domain.md 3.1, and what its note says of them. What
// the house does not take as a proof (a mailbox, a push) adds nothing.
func TestLevels(t *testing.T) {
	hardware := parvis.Proof{Kind: parvis.Passkey, Hardware: true}
	of := func(kinds ...parvis.ProofKind) (all []parvis.Proof) {
		for _, k := range kinds {
			all = append(all, parvis.Proof{Kind: k})
		}
		return all
	}
	for _, c := range []struct {
		name   string
		proofs []parvis.Proof
		acr    string
		amr    []string
	}{
		{"password", of(parvis.Password), "eidas1", []string{"pwd"}},
		{"magic link", of("mail"), "", nil},
		{"password + SMS code", of(parvis.Password, parvis.SMS), "eidas1-mfa", []string{"pwd", "sms", "mfa"}},
		{"password + e-mail code", of(parvis.Password, "mail"), "eidas1", []string{"pwd"}},
		{"password + TOTP", of(parvis.Password, parvis.TOTP), "eidas2", []string{"pwd", "otp", "mfa"}},
		{"push with crypto", of(parvis.Password, "push"), "eidas1", []string{"pwd"}},
		{"synchronised passkey", of(parvis.Passkey), "eidas2", []string{"pop", "swk", "user", "mfa"}},
		{"hardware key, device-bound passkey", []parvis.Proof{hardware}, "eidas3", []string{"pop", "hwk", "user", "mfa"}},

		{"nothing", nil, "", nil},
		{"recovery code", of(parvis.Password, parvis.RecoveryCode), "eidas1-mfa", []string{"pwd", "mfa"}},
		{"temporary code", of(parvis.TemporaryCode, parvis.Password), "eidas1-mfa", []string{"pwd", "mfa"}},
		{"password + passkey", of(parvis.Password, parvis.Passkey), "eidas2", []string{"pwd", "pop", "swk", "user", "mfa"}},
		{"both kinds of passkey", append(of(parvis.Passkey), hardware), "eidas3", []string{"pop", "swk", "hwk", "user", "mfa"}},
		{"SMS after TOTP", of(parvis.Password, parvis.TOTP, parvis.SMS), "eidas2", []string{"pwd", "otp", "sms", "mfa"}},
		{"two codes are one factor", of(parvis.TOTP, parvis.SMS), "eidas1", []string{"otp", "sms"}},
		{"a code alone", of(parvis.RecoveryCode), "eidas1", nil},
		{"the verifier alone", of(parvis.Verifier), "eidas1", nil},
		{"the verifier is no factor of ours", of(parvis.Verifier, parvis.Password), "eidas1", []string{"pwd"}},
		{"waived", of(parvis.VerifierWaived), "", nil},
		{"waived, with what stood in", of(parvis.Password, parvis.VerifierWaived, parvis.SMS), "eidas1-mfa", []string{"pwd", "sms", "mfa"}},
		{"hardware is said of passkeys only", []parvis.Proof{{Kind: parvis.TOTP, Hardware: true}}, "eidas1", []string{"otp"}},
	} {
		acr, amr := parvis.Levels(c.proofs)
		if acr != c.acr || !slices.Equal(amr, c.amr) {
			t.Errorf("%s: %q %v, want %q %v", c.name, acr, amr, c.acr, c.amr)
		}
	}
}

func TestLevelsNeverOverDeclare(t *testing.T) {
	kinds := []parvis.ProofKind{
		parvis.Password, parvis.Verifier, parvis.VerifierWaived, parvis.TOTP, parvis.SMS, parvis.Passkey, parvis.RecoveryCode,
		parvis.TemporaryCode, "mail", "",
	}
	order := []string{"", "eidas1", "eidas1-mfa", "eidas2", "eidas3"}
	rapid.Check(t, func(t *rapid.T) {
		proofs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) parvis.Proof {
			return parvis.Proof{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Hardware: rapid.Bool().Draw(t, "hardware")}
		}), 0, 5).Draw(t, "proofs")
		has := func(ok func(parvis.Proof) bool) bool { return slices.ContainsFunc(proofs, ok) }
		is := func(kinds ...parvis.ProofKind) bool {
			return has(func(p parvis.Proof) bool { return slices.Contains(kinds, p.Kind) })
		}
		acr, amr := parvis.Levels(proofs)
		level := slices.Index(order, acr)
		two := is(parvis.Passkey) || is(parvis.Password) && is(parvis.TOTP, parvis.SMS, parvis.RecoveryCode, parvis.TemporaryCode)
		key := func(hardware bool) bool {
			return has(func(p parvis.Proof) bool { return p.Kind == parvis.Passkey && p.Hardware == hardware })
		}
		for _, c := range []struct {
			claim          string
			claimed, holds bool
		}{
			{"a level of the list", true, level >= 0},
			{"eidas1", level >= 1, is(parvis.Password, parvis.Verifier, parvis.TOTP, parvis.SMS, parvis.Passkey, parvis.RecoveryCode, parvis.TemporaryCode)},
			{"eidas1-mfa", level >= 2, two},
			{"eidas2", level >= 3, is(parvis.Passkey) || is(parvis.Password) && is(parvis.TOTP)},
			{"eidas3", level >= 4, key(true)},
			{"pwd", slices.Contains(amr, "pwd"), is(parvis.Password)},
			{"otp", slices.Contains(amr, "otp"), is(parvis.TOTP)},
			{"pop", slices.Contains(amr, "pop"), is(parvis.Passkey)},
			{"user", slices.Contains(amr, "user"), is(parvis.Passkey)},
			{"hwk", slices.Contains(amr, "hwk"), key(true)},
			{"swk", slices.Contains(amr, "swk"), key(false)},
			{"mfa", slices.Contains(amr, "mfa"), two},
		} {
			if c.claimed && !c.holds {
				t.Errorf("%v: %q %v claims %s", proofs, acr, amr, c.claim)
			}
		}
		if len(proofs) == 0 {
			return
		}
		// Less never says more, and the order in which proofs were shown says nothing.
		i := rapid.IntRange(0, len(proofs)-1).Draw(t, "without")
		less, fewer := parvis.Levels(slices.Delete(slices.Clone(proofs), i, i+1))
		if slices.Index(order, less) > level || slices.ContainsFunc(fewer, func(m string) bool { return !slices.Contains(amr, m) }) {
			t.Errorf("%v without the %dth: %q %v, with it %q %v", proofs, i, less, fewer, acr, amr)
		}
		slices.Reverse(proofs)
		if again, methods := parvis.Levels(proofs); again != acr || !slices.Equal(methods, amr) {
			t.Errorf("%v backwards: %q %v, not %q %v", proofs, again, methods, acr, amr)
		}
	})
}

func TestDemanded(t *testing.T) {
	march, june, september := day(t, "2026-03-02"), day(t, "2026-06-01"), day(t, "2026-09-01")
	type on = map[parvis.Channel]parvis.Demand
	declared := []parvis.Profile{
		{ID: parvis.Standard, Second: on{parvis.VPN: {Strength: 1}}, RememberDays: 30},
		{ID: "field", Second: on{"": {Strength: 1, MaxAge: time.Hour}, parvis.Mobile: {Strength: 2, MaxAge: 2 * time.Hour}}, RememberDays: 7},
		{ID: parvis.SocialData, Sensitive: true, RememberDays: 14},
		{ID: parvis.Executive, Sensitive: true, SMSUntil: june},
		{ID: "june", Second: on{parvis.Mobile: {Strength: 2, From: june}}},
		{ID: "september", Second: on{parvis.Mobile: {Strength: 3, MaxAge: time.Minute, From: september}}},
	}
	for _, c := range []struct {
		name        string
		has         []parvis.ProfileID
		ch          parvis.Channel
		at          time.Time
		binds, next parvis.Demand
	}{
		{"standard, inside", nil, parvis.Internal, march, parvis.Demand{}, parvis.Demand{}},
		{"standard, by VPN", nil, parvis.VPN, march, parvis.Demand{Strength: 1}, parvis.Demand{}},
		{"everywhere", []parvis.ProfileID{"field"}, parvis.Internal, march, parvis.Demand{Strength: 1, MaxAge: time.Hour}, parvis.Demand{}},
		{"everywhere, through an unknown entrance", []parvis.ProfileID{"field"}, "", march, parvis.Demand{Strength: 1, MaxAge: time.Hour}, parvis.Demand{}},
		{"the entrance and everywhere", []parvis.ProfileID{"field"}, parvis.Mobile, march, parvis.Demand{Strength: 2, MaxAge: time.Hour}, parvis.Demand{}},
		{"sensitive", []parvis.ProfileID{parvis.SocialData}, parvis.Internal, march, parvis.Demand{Strength: 2}, parvis.Demand{}},
		{"an exception", []parvis.ProfileID{parvis.Executive}, parvis.Internal, march, parvis.Demand{Strength: 1}, parvis.Demand{Strength: 2, From: june}},
		{"the exception ends", []parvis.ProfileID{parvis.Executive}, parvis.Internal, june, parvis.Demand{Strength: 2}, parvis.Demand{}},
		{"no exception for the other profile", []parvis.ProfileID{parvis.Executive, parvis.SocialData}, parvis.Mobile, march, parvis.Demand{Strength: 2}, parvis.Demand{}},
		{"unknown", []parvis.ProfileID{"lost"}, parvis.Mobile, march, parvis.Demand{Strength: 2}, parvis.Demand{}},
		{"announced", []parvis.ProfileID{"june"}, parvis.Mobile, march, parvis.Demand{}, parvis.Demand{Strength: 2, From: june}},
		{"announced elsewhere", []parvis.ProfileID{"june"}, parvis.VPN, march, parvis.Demand{}, parvis.Demand{}},
		{"it binds", []parvis.ProfileID{"june"}, parvis.Mobile, june, parvis.Demand{Strength: 2}, parvis.Demand{}},
		{"the first of two", []parvis.ProfileID{"september", "june"}, parvis.Mobile, march, parvis.Demand{}, parvis.Demand{Strength: 2, From: june}},
		{"the second of two", []parvis.ProfileID{"september", "june"}, parvis.Mobile, june, parvis.Demand{Strength: 2}, parvis.Demand{Strength: 3, MaxAge: time.Minute, From: september}},
		{
			"what is announced asks no more than what binds",
			[]parvis.ProfileID{parvis.SocialData, "june"},
			parvis.Mobile, march,
			parvis.Demand{Strength: 2},
			parvis.Demand{},
		},
		{
			"nor does the first, but the second does",
			[]parvis.ProfileID{parvis.SocialData, "june", "september"},
			parvis.Mobile, march,
			parvis.Demand{Strength: 2},
			parvis.Demand{Strength: 3, MaxAge: time.Minute, From: september},
		},
	} {
		agent := &parvis.Agent{Profiles: c.has}
		binds, next := parvis.Demanded(declared, agent, c.ch, c.at)
		if binds != c.binds || next != c.next {
			t.Errorf("%s: %+v, then %+v; want %+v, then %+v", c.name, binds, next, c.binds, c.next)
		}
	}
	agent := &parvis.Agent{Profiles: []parvis.ProfileID{parvis.Executive, "field", "september"}}
	got := parvis.Strictest(declared, agent)
	want := parvis.Profile{
		Sensitive: true, // its exceptions are dated: they do not show without a date
		Second: on{
			parvis.Internal: {Strength: 2, MaxAge: time.Hour}, parvis.VPN: {Strength: 2, MaxAge: time.Hour}, parvis.Mobile: {Strength: 2, MaxAge: time.Hour},
		},
		Announced: on{parvis.Mobile: {Strength: 3, MaxAge: time.Minute, From: september}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for days, has := range map[int][]parvis.ProfileID{
		30: nil, 7: {"field", parvis.SocialData}, 14: {parvis.SocialData}, 0: {"field", parvis.Executive}, -1: {"field", "lost"},
	} {
		if got := parvis.Strictest(declared, &parvis.Agent{Profiles: has}).RememberDays; got != max(days, 0) {
			t.Errorf("%v: remembered for %d days", has, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { parvis.Demanded(declared, agent, parvis.Mobile, march) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// However profiles are put together, one more never asks less, at no moment.
func TestOneMoreProfileNeverAsksLess(t *testing.T) {
	start := day(t, "2026-03-02")
	rapid.Check(t, func(t *rapid.T) {
		moment := func(label string) time.Time {
			if d := rapid.IntRange(-1, 6).Draw(t, label); d >= 0 {
				return start.AddDate(0, 0, d)
			}
			return time.Time{}
		}
		demand := func() parvis.Demand {
			return parvis.Demand{
				Strength: rapid.IntRange(0, 3).Draw(t, "strength"), MaxAge: time.Duration(rapid.IntRange(0, 3).Draw(t, "age")) * time.Hour, From: moment("from"),
			}
		}
		var declared []parvis.Profile
		var has []parvis.ProfileID
		for _, id := range []parvis.ProfileID{"a", "b", "c"} {
			declared = append(declared, parvis.Profile{
				ID: id, Sensitive: rapid.Bool().Draw(t, "sensitive"), SMSUntil: moment("sms"),
				Second: map[parvis.Channel]parvis.Demand{"": demand(), parvis.Mobile: demand()},
			})
			has = append(has, id)
		}
		fewer, all := &parvis.Agent{Profiles: has[:2]}, &parvis.Agent{Profiles: has}
		younger := func(a, b time.Duration) bool { return b == 0 || a != 0 && a <= b }
		at := start.AddDate(0, 0, rapid.IntRange(-1, 7).Draw(t, "at"))
		less, _ := parvis.Demanded(declared, fewer, parvis.Mobile, at)
		more, next := parvis.Demanded(declared, all, parvis.Mobile, at)
		if more.Strength < less.Strength || !younger(more.MaxAge, less.MaxAge) {
			t.Errorf("two profiles ask %+v, three %+v", less, more)
		}
		if !more.From.IsZero() || !less.From.IsZero() {
			t.Errorf("what binds is dated: %+v, %+v", less, more)
		}
		// What is announced is what will bind, and nothing changes before.
		if next != (parvis.Demand{}) {
			then, _ := parvis.Demanded(declared, all, parvis.Mobile, next.From)
			before, _ := parvis.Demanded(declared, all, parvis.Mobile, next.From.Add(-time.Microsecond))
			if then.From = next.From; then != next || before != more || !next.From.After(at) {
				t.Errorf("%+v, then %+v; announced %+v, just before %+v", more, then, next, before)
			}
		} else if last, _ := parvis.Demanded(declared, all, parvis.Mobile, start.AddDate(1, 0, 0)); last != more {
			t.Errorf("%+v becomes %+v unannounced", more, last)
		}
	})
}

func TestStrictestVerifier(t *testing.T) {
	rules := []parvis.VerifierRule{
		{Mode: parvis.VerifierOffered},
		{Profile: parvis.Executive, Mode: parvis.VerifierEach},
		{Channel: parvis.Mobile, Mode: parvis.VerifierFirst},
		{Profile: parvis.SocialData, Channel: parvis.Internal, Mode: parvis.VerifierOff},
		{Profile: "odd", Channel: parvis.VPN, Mode: "sometimes"},
	}
	for _, c := range []struct {
		rules []parvis.VerifierRule
		has   parvis.ProfileID
		ch    parvis.Channel
		want  parvis.VerifierMode
	}{
		{nil, parvis.Executive, parvis.Mobile, parvis.VerifierOff},
		{[]parvis.VerifierRule{{Mode: ""}}, parvis.Executive, parvis.Mobile, parvis.VerifierOff},
		{rules, parvis.Standard, parvis.Internal, parvis.VerifierOffered},
		{rules, parvis.Standard, parvis.Mobile, parvis.VerifierFirst},
		{rules, parvis.Executive, parvis.Mobile, parvis.VerifierEach},
		{rules, parvis.SocialData, parvis.Internal, parvis.VerifierOffered}, // the strictest wins
		{rules, "odd", parvis.Internal, parvis.VerifierOffered},
		{rules, "odd", parvis.VPN, parvis.VerifierEach}, // unknown means refused
	} {
		got := parvis.StrictestVerifier(c.rules, &parvis.Agent{Profiles: []parvis.ProfileID{c.has}}, c.ch)
		if got != c.want {
			t.Errorf("%s at %s: %s, want %s", c.has, c.ch, got, c.want)
		}
	}
}
