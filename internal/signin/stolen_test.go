package signin

import (
	"slices"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// Whoever has a password and nothing else changes nothing from outside: not the
// account that vouches, which could otherwise be untied and then replaced.
func TestStolenPasswordKeepsItsHandsOffTheLink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		c := town.outside(parvis.VerifierOffered, false)
		town.agent("A100001", right, nil)
		town.tie(c, "A100001", "citizen-1")
		thief := town.holder("A100001", street)
		out := town.act(town.hub.UnlinkVerifier(t.Context(), thief, c.URL))
		if out.Done || out.Reason.Code != parvis.WhyFactorEnrolHereForbidden || out.Person != parvis.ByITContact {
			t.Errorf("untied with a password: %+v", out.Reason)
		}
		for _, purpose := range []string{purposeLink, purposeReplace} {
			if out := town.leave(Leaving{Holder: thief, Purpose: purpose}); out.Leave != "" || len(out.Reasons) != 1 || out.Person == "" {
				t.Errorf("%s with a password: %q", purpose, codes(out))
			}
		}
		if got := town.links("A100001"); !slices.Equal(got, []string{"citizen-1"}) {
			t.Fatalf("links %q", got)
		}
		// Its owner shows it once more, and unties it.
		owner := town.holder("A100001", street)
		left := town.leave(Leaving{Holder: owner, Purpose: purposeProve})
		if back := town.back(owner, "", left.Away, c.visit(left.Leave, "citizen-1")); back.Step != StepDone {
			t.Fatalf("the owner: %s %q", back.Step, codes(back))
		}
		if out := town.act(town.hub.UnlinkVerifier(t.Context(), town.moved(owner), c.URL)); !out.Done || len(town.links("A100001")) != 0 {
			t.Errorf("by the owner: %+v", out.Reason)
		}
	})
}

// A replacement removes nothing that may not be removed.
func TestReplacementIsNoRemoval(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.carry()
		town.agent("A100001", right, func(a *parvis.Agent) { a.Profiles = []parvis.ProfileID{parvis.ExtendedRights} })
		w := town.holder("A100001", office)
		first, _ := town.add(w, "")
		w = town.moved(w)
		another := Holder{Number: "A100001", Session: w.Session, Origin: street}
		sent := town.act(town.hub.SendEnrolSMS(t.Context(), Enrolment{Holder: another, Phone: "06 12 34 56 78"}))
		if !sent.Done {
			t.Fatalf("%+v", sent.Reason)
		}
		code, _ := town.read()
		out := town.act(town.hub.AddSMS(t.Context(), Enrolment{Holder: another, Sent: sent.Sent.ID, Code: code, Replaces: first.Held.ID}))
		held, err := town.hub.Vault.Holds(t.Context(), "A100001")
		if err != nil {
			t.Fatal(err)
		}
		has := func(k parvis.ProofKind) bool {
			return slices.ContainsFunc(held, func(m parvis.Held) bool { return m.Kind == k })
		}
		if !out.Done || !has(parvis.TOTP) || !has(parvis.SMS) {
			t.Errorf("held %v after %+v", heldKinds(held), out.Reason)
		}
		// What does meet the demand takes the place.
		clock.Move(time.Minute)
		again, _ := town.add(town.moved(w), first.Held.ID)
		held, err = town.hub.Vault.Holds(t.Context(), "A100001")
		if err != nil || !again.Done || slices.ContainsFunc(held, func(m parvis.Held) bool { return m.ID == first.Held.ID }) {
			t.Errorf("not replaced: %v %v", heldKinds(held), err)
		}
	})
}

// An activation that only a letter opened is worth nothing from the moment that
// the account has a secret, even where it was read as good a moment before.
func TestActivationOfALetterAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100009", "", nil)
		w := town.arriving("A100009") // has no secret yet
		if why, err := town.hub.MayEnrol(t.Context(), w); err != nil || why.Code != "" {
			t.Fatalf("%v %v", why, err)
		}
		town.agent("A100009", right, nil) // from another browser
		if _, err := town.hub.OfferTOTP(t.Context(), w); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("a letter alone, and an account with a password: %v", err)
		}
	})
}

// What is asked for before a change is enough for it: a text message is not
// offered to whoever would be asked again after it.
func TestProofBeforeAChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.carry()
		for number, profiles := range map[parvis.AgentNumber][]parvis.ProfileID{"A100001": {parvis.ExtendedRights}, "A100002": nil} {
			town.agent(number, right, func(a *parvis.Agent) { a.Profiles = profiles })
			w := town.holder(number, street)
			arriving := town.arriving(number)
			sent := town.act(town.hub.SendEnrolSMS(t.Context(), Enrolment{Holder: arriving, Phone: "06 12 34 56 7" + string(number[6])}))
			code, _ := town.read()
			if out := town.act(town.hub.AddSMS(t.Context(), Enrolment{Holder: arriving, Sent: sent.Sent.ID, Code: code})); !out.Done {
				t.Fatalf("%+v", out.Reason)
			}
			clock.Move(time.Hour / 4)
			out := town.prove(Proving{Session: w.Session, Origin: street, Change: true})
			if offers := len(out.Methods) > 0; offers != (profiles == nil) {
				t.Errorf("%s is offered %v", number, heldKinds(out.Methods))
			}
		}
	})
}
