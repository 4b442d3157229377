package recovery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/text"
)

// Strangers who use up what everybody has leave the city its own.
func TestStrangersDoNotCloseActivation(t *testing.T) {
	town := sqlite(t)
	town.agent("A100008", nil)
	spend := func(all ...allowance) {
		t.Helper()
		err := town.store.Write(t.Context(), func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "activation.requested", Actor: "system"})
			for _, a := range all {
				for range a.n {
					if _, err := tx.Spend(t.Context(), a.key, a.n, a.in); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	number, email := parvis.AgentNumber("A100008"), "a100008@ville.example.org"
	spend(town.desk.startLimits(number, email, at("203.0.113.1"))...)
	spend(town.desk.tryLimits(Redemption{AgentNumber: "A100008", Origin: at("203.0.113.1")})...)
	if why := town.start("A100008", email, "198.51.100.7").Reasons[0].Code; why != whyLimited {
		t.Fatalf("the allowance of strangers is not used up: %s", why)
	}
	for _, ours := range []parvis.Origin{
		{Channel: parvis.Internal, Address: "203.0.113.1"},
		{Channel: parvis.VPN, Address: "203.0.113.1"},
		{Channel: parvis.Mobile, Address: "203.0.113.1", Known: true},
	} {
		answer, err := town.desk.Start(t.Context(), Pair{AgentNumber: "A100008", Email: email, Origin: ours, Lang: text.French})
		if err != nil || answer.Reasons[0].Code != parvis.WhyIdentityPairNeutral {
			t.Errorf("from %+v: %v, %v", ours, answer.Reasons, err)
		}
		town.redeem(Redemption{Code: town.issue("A100008"), AgentNumber: "A100008", Origin: ours})
	}
	if mails := town.mails("A100008"); len(mails) != 3 {
		t.Errorf("mails %q", mails)
	}
}

// One half of IPv6 is one network, and holds as many tries as one address.
func TestNetworksAreCounted(t *testing.T) {
	town := sqlite(t)
	limited := 0
	for i := range 30 {
		answer := town.start(fmt.Sprintf("B%06d", i), "x@ville.example.org", fmt.Sprintf("2001:db8::%x", i+1))
		if answer.Reasons[0].Code == whyLimited {
			limited++
		}
	}
	if limited != 10 {
		t.Errorf("%d of 30 from one network were stopped, want 10", limited)
	}
	for i := range 5 {
		town.refused(Redemption{Code: newCode(), Origin: at(fmt.Sprintf("2001:db8:0:1::%x", i+1))}, parvis.WhyActivationCodeIncorrect)
	}
	town.refused(Redemption{Code: newCode(), Origin: at("2001:db8:0:1:ffff::1")}, parvis.WhyRateLimited)
	town.refused(Redemption{Code: newCode(), Origin: at("2001:db8:0:2::1")}, parvis.WhyActivationCodeIncorrect)
}

// What reads as the address on record is that address: for the limits too, and
// only it is written to.
func TestOneAddressHasOneForm(t *testing.T) {
	town := sqlite(t)
	town.agent("A100008", func(a *parvis.Agent) { a.Email = "Kim.Straße@ville.example.org" })
	town.agent("A100003", func(a *parvis.Agent) {
		a.Email = "A100003@Ville.example.org"
		a.ContractFrom, a.Absence, a.AbsenceFrom = town.clock.Now().AddDate(-1, 0, 0), parvis.PrecautionaryOff, town.clock.Now().AddDate(0, 0, -1)
	})
	for i, typed := range []string{
		"kim.straße@ville.example.org", "KIM.STRAßE+x@ville.example.org", " \u212aim.straße+y@ville.example.org ", "kim.straße+z@ville.example.org",
	} {
		want := parvis.WhyIdentityPairNeutral
		if i >= 3 {
			want = whyLimited
		}
		if got := town.start("A100008", typed, fmt.Sprintf("198.51.100.%d", i+1)).Reasons[0].Code; got != want {
			t.Errorf("%q: %s, want %s", typed, got, want)
		}
	}
	const record = "mail_activation Kim.Straße@ville.example.org"
	if got := town.mails("A100008"); !slices.Equal(got, []string{record, record, record}) {
		t.Errorf("mails %q", got)
	}
	town.start("A100003", "a100003+elsewhere@VILLE.example.org", "198.51.100.9")
	if got := town.mails("A100003"); !slices.Equal(got, []string{"mail_blocked_cause A100003@Ville.example.org"}) {
		t.Errorf("mails %q", got)
	}
	// One number is not asked for without end, whatever stands beside it.
	for _, number := range []string{"A100002", "A999999"} {
		limited := 0
		for i := range 20 {
			if town.start(number, fmt.Sprintf("guess%d@ville.example.org", i), fmt.Sprintf("203.0.113.%d", i)).Reasons[0].Code == whyLimited {
				limited++
			}
		}
		if limited != 8 {
			t.Errorf("%s: %d of 20 were stopped, want 8", number, limited)
		}
	}
}

// A code that could not leave replaces none.
func TestTheCodeThatLeftStaysGood(t *testing.T) {
	town := sqlite(t)
	town.agent("A100008", func(a *parvis.Agent) { a.PersonalEmail = "alex@perso.example.org" })
	for range 3 { // the outbox has sent enough after these
		town.start("A100008", "a100008@ville.example.org", "198.51.100.1")
		town.clock.Move(time.Second)
	}
	issued := len(town.events("activation.code_issued"))
	mails := len(town.mails("A100008"))
	town.start("A100008", "alex@perso.example.org", "198.51.100.1")
	if n := len(town.mails("A100008")); n != mails {
		t.Fatalf("%d more mails: the outbox was not limited", n-mails)
	}
	if n := len(town.events("activation.code_issued")); n != issued {
		t.Errorf("%d codes issued that nobody received", n-issued)
	}
}

// The order is free; what was left out is recorded.
func TestIdentityIsRecordedAsItWasLeft(t *testing.T) {
	town := sqlite(t)
	for number, act := range map[parvis.AgentNumber]func(Redeemed) error{
		"A100001": func(Redeemed) error { return nil },
		"A100002": func(r Redeemed) error { return town.desk.ConfirmIdentity(t.Context(), r.Cookie, at("198.51.100.1")) },
		"A100003": func(r Redeemed) error {
			return town.desk.ReportWrongIdentity(t.Context(), r.Cookie, at("198.51.100.1"), "mon nom")
		},
	} {
		town.agent(number, nil)
		begun := town.redeem(Redemption{Code: town.issue(number)})
		if err := act(begun); err != nil {
			t.Fatal(err)
		}
		if out, err := town.set(begun.Cookie, good); err != nil || !out.Done {
			t.Fatal(out, err)
		}
	}
	got := map[parvis.AgentNumber]string{}
	for _, e := range town.events("activation.completed") {
		got[e.Agent] = e.Detail["identity"]
	}
	if got["A100001"] != "unchecked" || got["A100002"] != "confirmed" || got["A100003"] != "disputed" {
		t.Errorf("recorded %v", got)
	}
}
