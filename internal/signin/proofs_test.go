package signin

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"parvis"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

var (
	office = parvis.Origin{Channel: parvis.Internal, Address: "10.0.0.1"}
	street = parvis.Origin{Channel: parvis.Mobile, Address: "198.51.100.1"}
)

// holder is somebody who has come in with a password, through an entrance.
func (t *town) holder(number parvis.AgentNumber, origin parvis.Origin) Holder {
	t.Helper()
	var out Outcome
	err := t.store.Write(t.Context(), func(tx *store.Tx) (err error) {
		out.Token, out.Session, err = t.hub.Keeper.Begin(tx, session.Beginning{
			Agent: number, Origin: origin, Proofs: []parvis.Proof{{Kind: parvis.Password, At: tx.Now()}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.clock.Move(time.Millisecond) // no two begin at once
	return Holder{Number: number, Session: out.Session, Origin: origin, Lang: text.French}
}

// moved follows a session whose identifier changed.
func (t *town) moved(w Holder) Holder {
	t.Helper()
	list, err := t.hub.Keeper.List(t.Context(), w.Number)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range list {
		if row.Began.Equal(w.Session.Began) && row.Channel == w.Session.Channel {
			w.Session = row.Session
			return w
		}
	}
	t.Fatal("the session is over")
	return w
}

// arriving is somebody within an activation.
func (t *town) arriving(number parvis.AgentNumber) Holder {
	t.Helper()
	w := Holder{Number: number, Activation: newID(), Origin: street, Lang: text.French}
	err := t.store.Write(t.Context(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "activation.redeemed", Agent: number, Actor: string(number)})
		f := store.Flow{
			ID: w.Activation, Kind: "activation", Agent: number, Channel: parvis.Mobile, Created: tx.Now(), Expires: tx.Now().Add(time.Hour),
		}
		standing, err := tx.Standing(t.Context(), number)
		if err == nil && !standing.PasswordSince.IsZero() { // a code alone opens nothing then
			f.Proofs = []parvis.Proof{{Kind: parvis.Password, At: tx.Now()}}
		}
		if err != nil {
			return err
		}
		return tx.PutFlow(t.Context(), f)
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (t *town) act(out ProofOutcome, err error) ProofOutcome {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// add adds an authenticator as its owner would.
func (t *town) add(w Holder, replaces string) (ProofOutcome, string) {
	t.Helper()
	offer := t.act(t.hub.OfferTOTP(t.Context(), w))
	if offer.Reason.Code != "" {
		return offer, ""
	}
	secret := offer.TOTP.Secret.Reveal()
	out := t.act(t.hub.AddTOTP(t.Context(), Enrolment{Holder: w, Ticket: offer.TOTP.Ticket, Code: t.code(secret), Name: "Téléphone", Replaces: replaces}))
	t.clock.Move(time.Minute)
	return out, secret
}

// Product rule 7: a stolen password must not be enough for a method more.
func TestEnrolment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100001", right, nil)
		outside := town.holder("A100001", street)
		if out, _ := town.add(outside, ""); out.Reason.Code != parvis.WhyFactorEnrolHereForbidden || out.Person != parvis.ByITContact || out.Done {
			t.Errorf("from outside: %+v", out)
		}
		// An offer made inside is no more worth outside.
		inside := town.holder("A100001", office)
		offer := town.act(town.hub.OfferTOTP(t.Context(), inside))
		secret := offer.TOTP.Secret.Reveal()
		e := Enrolment{Holder: outside, Ticket: offer.TOTP.Ticket, Code: town.code(secret), Name: "Téléphone"}
		if out := town.act(town.hub.AddTOTP(t.Context(), e)); out.Done || out.Reason.Code != parvis.WhyFactorEnrolHereForbidden {
			t.Errorf("an offer carried outside: %+v", out)
		}
		e.Holder, e.Code = inside, "000000"
		if out := town.act(town.hub.AddTOTP(t.Context(), e)); out.Done || out.Reason.Code != parvis.WhyCodeIncorrect || out.TOTP.Secret.Reveal() != secret {
			t.Errorf("a wrong code: %+v", out.Reason)
		}
		e.Code = town.code(secret)
		added := town.act(town.hub.AddTOTP(t.Context(), e))
		if !added.Done || added.Held.Kind != parvis.TOTP || added.Token == (session.Token{}) {
			t.Fatalf("%+v", added)
		}
		inside = town.moved(inside)
		if !slices.Contains(kinds(inside.Session.Proofs), parvis.TOTP) {
			t.Errorf("the session does not know what was shown: %v", inside.Session.Proofs)
		}
		clock.Move(time.Minute)
		// Now one is held: another needs it, wherever one stands.
		for _, origin := range []parvis.Origin{office, street} {
			if out, _ := town.add(town.holder("A100001", origin), ""); out.Reason.Code != parvis.WhyStepUpRequired || out.Person == "" {
				t.Errorf("through %s beside one that is held: %+v", origin.Channel, out)
			}
		}
		if out, _ := town.add(inside, ""); !out.Done {
			t.Errorf("just after it was shown: %+v", out.Reason)
		}
		clock.Move(recent)
		if why, err := town.hub.MayEnrol(t.Context(), town.moved(inside)); err != nil || why.Code != parvis.WhyStepUpRequired {
			t.Errorf("long after: %q, %v", why.Code, err)
		}
		if mails := town.mails("A100001"); !slices.Equal(mails, []string{"mail_factor_added", "mail_factor_added"}) {
			t.Errorf("mails %q", mails)
		}
		// Somebody else's session, or one that is over, adds nothing.
		other := inside
		town.agent("A100002", right, nil)
		other.Number = "A100002"
		if _, err := town.hub.MayEnrol(t.Context(), other); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("with the session of another: %v", err)
		}
	})
}

func TestEnrolmentWithATemporaryCode(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100004", right, func(a *parvis.Agent) { a.Profiles = []parvis.ProfileID{parvis.ExtendedRights} })
	w := town.holder("A100004", street)
	code, _, err := town.hub.IssueTemporaryCode(t.Context(), "A100004", "operator:test", "premier téléphone", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	out := town.prove(Proving{Session: w.Session, Posted: true, Method: string(parvis.TemporaryCode), Code: code, Origin: street})
	if out.Step != StepDone {
		t.Fatalf("%s %q", out.Step, codes(out))
	}
	added, secret := town.add(town.moved(w), "")
	if !added.Done {
		t.Fatalf("%+v", added.Reason)
	}
	town.want(town.answer(town.sign("A100004", right, In{}), In{Code: town.code(secret)}), StepDone)
}

// An activation is a proof for the first method, and for those that follow it;
// resumed by its code alone it adds nothing beside one that is held.
func TestEnrolmentInAnActivation(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100008", "", nil)
	w := town.arriving("A100008")
	if out, _ := town.add(w, ""); !out.Done || out.Token != (session.Token{}) {
		t.Fatalf("%+v", out)
	}
	if out := town.act(town.hub.NewRecoveryCodes(t.Context(), w)); !out.Done || len(out.Codes) != 10 {
		t.Fatalf("codes to print, in the same go: %+v", out.Reason)
	}
	if why, err := town.hub.MayEnrol(t.Context(), town.arriving("A100008")); err != nil || why.Code != parvis.WhyStepUpRequired {
		t.Errorf("resumed with a letter that was found: %q, %v", why.Code, err)
	}
	clock.Move(time.Hour)
	if _, err := town.hub.MayEnrol(t.Context(), w); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("after its time: %v", err)
	}
	if mails := town.mails("A100008"); !slices.Equal(mails, []string{"mail_factor_added", "mail_recovery_codes"}) {
		t.Errorf("mails %q", mails)
	}
}

func TestRemoval(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		town.agent("A100005", right, func(a *parvis.Agent) { a.Profiles = []parvis.ProfileID{parvis.ExtendedRights} })
		w := town.holder("A100005", office)
		one, secret := town.add(w, "")
		w = town.moved(w)
		// The last that the profile needs stays.
		if out := town.act(town.hub.RemoveProof(t.Context(), w, one.Held.ID, false)); out.Done || out.Reason.Code != parvis.WhyFactorRemovalForbidden || out.Person != parvis.ByITDepartment {
			t.Errorf("the last: %+v", out)
		}
		// Another takes its place: it goes only once the other worked.
		offer := town.act(town.hub.OfferTOTP(t.Context(), w))
		e := Enrolment{Holder: w, Ticket: offer.TOTP.Ticket, Code: "000000", Replaces: one.Held.ID}
		if out := town.act(town.hub.AddTOTP(t.Context(), e)); out.Done {
			t.Errorf("with a wrong code: %+v", out)
		}
		if held, err := town.hub.Vault.Holds(t.Context(), "A100005"); err != nil || len(held) != 1 || held[0].ID != one.Held.ID {
			t.Errorf("the old one went before the new one worked: %+v, %v", held, err)
		}
		e.Code = town.code(offer.TOTP.Secret.Reveal())
		two := town.act(town.hub.AddTOTP(t.Context(), e))
		if held, err := town.hub.Vault.Holds(t.Context(), "A100005"); err != nil || !two.Done || len(held) != 1 || held[0].ID != two.Held.ID {
			t.Errorf("after: %+v, %v", held, err)
		}
		clock.Move(time.Minute)
		w = town.moved(w)
		three, _ := town.add(w, "")
		w = town.moved(w)
		stolen := town.holder("A100005", office)
		if out := town.act(town.hub.RemoveProof(t.Context(), stolen, two.Held.ID, false)); out.Done || out.Reason.Code != parvis.WhyStepUpRequired {
			t.Errorf("with a password alone: %+v", out)
		}
		if out := town.act(town.hub.RenameProof(t.Context(), w, three.Held.ID, "Tablette")); !out.Done {
			t.Errorf("%+v", out)
		}
		// Both at once: one stays.
		var wait sync.WaitGroup
		removed := make([]bool, 2)
		for i, id := range []string{two.Held.ID, three.Held.ID} {
			wait.Go(func() {
				out, err := town.hub.RemoveProof(context.WithoutCancel(t.Context()), w, id, false)
				if err != nil {
					t.Error(err)
				}
				removed[i] = out.Done
			})
		}
		wait.Wait()
		held, err := town.hub.Vault.Holds(t.Context(), "A100005")
		if err != nil || len(held) != 1 || removed[0] == removed[1] {
			t.Errorf("removed %v; held %+v, %v", removed, held, err)
		}
		if _, err := town.hub.RemoveProof(t.Context(), w, "told-totp-A100001", false); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("somebody else's: %v", err)
		}
		if mails := town.mails("A100005"); !slices.Equal(mails, []string{
			"mail_factor_added", "mail_factor_added", "mail_factor_added", "mail_factor_removed", "mail_factor_removed",
		}) {
			t.Errorf("mails %q", mails)
		}
		_ = secret
	})
}

// What is lost goes although the profile needs one, and everything it opened
// with it.
func TestLost(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100003", right, func(a *parvis.Agent) { a.Profiles = []parvis.ProfileID{parvis.ExtendedRights} })
	w := town.holder("A100003", office)
	one, _ := town.add(w, "")
	elsewhere := town.holder("A100003", street)
	clock.Move(time.Hour)
	w = town.holder("A100003", street)
	if out := town.act(town.hub.RemoveProof(t.Context(), w, one.Held.ID, true)); out.Reason.Code != parvis.WhyStepUpRequired {
		t.Errorf("said lost by a stolen password: %+v", out)
	}
	code, _, err := town.hub.IssueTemporaryCode(t.Context(), "A100003", "operator:test", "téléphone perdu", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if out := town.prove(Proving{Session: w.Session, Posted: true, Code: code, Origin: street}); out.Step != StepDone {
		t.Fatalf("%s %q", out.Step, codes(out))
	}
	w = town.moved(w)
	if out := town.act(town.hub.RemoveProof(t.Context(), w, one.Held.ID, true)); !out.Done {
		t.Fatalf("%+v", out)
	}
	if town.live(elsewhere.Session) || !town.live(w.Session) {
		t.Error("the sessions of what is lost go on, or the owner's does not")
	}
	// The same code lets its owner add another.
	if out, _ := town.add(w, ""); !out.Done {
		t.Errorf("%+v", out.Reason)
	}
}

func TestAskSecond(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	town.hub.Contacts = func(context.Context, *parvis.Agent) []string { return []string{"relais@ville.example.org"} }
	w := town.holder("A100001", street)
	first := clock.Now()
	for range 3 {
		out := town.act(town.hub.AskSecond(t.Context(), w, "  je n'ai pas\x00 de\ntéléphone "))
		if !out.Done || out.Reason.Code != parvis.WhyFactorRequestSent || !out.Reason.At.Equal(first) || out.Person != parvis.ByITContact {
			t.Errorf("%+v", out)
		}
		clock.Move(time.Hour)
	}
	asked, err := town.store.SecondRequest(t.Context(), "A100001")
	if err != nil || asked.Note != "je n'ai pas de téléphone" || !asked.Answered.IsZero() {
		t.Errorf("%+v, %v", asked, err)
	}
	if mails := town.mails("A100001"); !slices.Equal(mails, []string{"mail_factor_request"}) {
		t.Errorf("mails %q", mails)
	}
	if out, _ := town.add(town.holder("A100001", office), ""); !out.Done {
		t.Fatalf("%+v", out)
	}
	if asked, err = town.store.SecondRequest(t.Context(), "A100001"); err != nil || asked.Answered.IsZero() {
		t.Errorf("after the method was added: %+v, %v", asked, err)
	}
}
