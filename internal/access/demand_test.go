package access

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parvis"
)

// What is demanded is the strictest of profile, entrance and application.
func TestDemand(t *testing.T) {
	c, own := strictCity(t)
	p := mustNew(t, c, own)
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, c.Calendar.Zone)
	later := time.Date(2026, 12, 1, 0, 0, 0, 0, c.Calendar.Zone)
	for _, x := range []struct {
		profiles []parvis.ProfileID
		app      parvis.AppID
		channel  parvis.Channel
		want     parvis.Demand
	}{
		{nil, "", parvis.Internal, parvis.Demand{}},
		{nil, "", parvis.Mobile, parvis.Demand{}},
		{nil, "", parvis.VPN, parvis.Demand{Strength: 1}},
		{nil, "finances", parvis.Internal, parvis.Demand{Strength: 1, MaxAge: 15 * time.Minute}},
		{nil, "coffre", parvis.Internal, parvis.Demand{Strength: 3}},
		{[]parvis.ProfileID{"treasury"}, "finances", parvis.Internal, parvis.Demand{Strength: 1, MaxAge: 10 * time.Minute}},
		{[]parvis.ProfileID{"treasury"}, "", parvis.Mobile, parvis.Demand{Strength: 3, MaxAge: 10 * time.Minute}},
		{[]parvis.ProfileID{parvis.Executive}, "", parvis.Internal, parvis.Demand{Strength: 1}},
		{[]parvis.ProfileID{parvis.SocialData}, "", parvis.Internal, parvis.Demand{Strength: 2}},
		{[]parvis.ProfileID{"unheard-of"}, "", parvis.Internal, parvis.Demand{Strength: 2}},
		{[]parvis.ProfileID{"works"}, "", parvis.Mobile, parvis.Demand{}},
		{nil, "unheard-of", parvis.Internal, parvis.Demand{}},
	} {
		a := &parvis.Agent{Number: "A1", Profiles: x.profiles}
		if got := p.Demand(a, x.app, x.channel, at); got != x.want {
			t.Errorf("of %v for %q on %s: got %+v, want %+v", x.profiles, x.app, x.channel, got, x.want)
		}
	}
	works := &parvis.Agent{Number: "A1", Profiles: []parvis.ProfileID{"works"}}
	for _, x := range []struct {
		app     parvis.AppID
		channel parvis.Channel
		at      time.Time
		want    parvis.Demand
	}{
		{"", parvis.VPN, at, parvis.Demand{Strength: 2, From: later}},
		{"", parvis.VPN, later, parvis.Demand{}},
		{"finances", parvis.Internal, at, parvis.Demand{Strength: 2, MaxAge: 15 * time.Minute, From: later}},
		{"coffre", parvis.Internal, at, parvis.Demand{}}, // it demands more already
	} {
		got := p.Announced(works, x.app, x.channel, x.at)
		if got.Strength != x.want.Strength || got.MaxAge != x.want.MaxAge || !got.From.Equal(x.want.From) {
			t.Errorf("announced for %q on %s at %v: got %+v, want %+v", x.app, x.channel, x.at, got, x.want)
		}
	}
}

// On the mobile portal, and where an application says so, whoever holds a
// second proof that can be shown there is asked for it.
func TestAsked(t *testing.T) {
	c, own := strictCity(t)
	p := mustNew(t, c, own)
	a := &parvis.Agent{Number: "A1"}
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, c.Calendar.Zone)
	for _, x := range []struct {
		enrolled []parvis.ProofKind
		sites    []string
		channel  parvis.Channel
		want     int
	}{
		{nil, nil, parvis.Mobile, 0},
		{[]parvis.ProofKind{parvis.SMS}, nil, parvis.Mobile, 1},
		{[]parvis.ProofKind{parvis.SMS}, nil, parvis.Internal, 0},
		{[]parvis.ProofKind{parvis.Passkey}, []string{"mobile.test"}, parvis.Mobile, 1},
		{[]parvis.ProofKind{parvis.Passkey}, []string{"ville.test"}, parvis.Mobile, 0},
	} {
		st := &parvis.Standing{Enrolled: x.enrolled, Sites: x.sites}
		if got := p.Asked(a, st, "", x.channel, at); got.Strength != x.want {
			t.Errorf("holding %v of %v on %s: %d, want %d", x.enrolled, x.sites, x.channel, got.Strength, x.want)
		}
	}
}

func TestWhatAnEntranceIs(t *testing.T) {
	c, own := strictCity(t)
	p := mustNew(t, c, own)
	if p.Site(parvis.Mobile) != "mobile.test" || p.Site(parvis.VPN) != "ville.test" {
		t.Errorf("sites %q and %q", p.Site(parvis.Mobile), p.Site(parvis.VPN))
	}
	if !p.EnrolHere(parvis.Internal) || p.EnrolHere(parvis.Mobile) || p.EnrolHere("kiosk") {
		t.Error("unless said, a first second proof is enrolled on the internal entrance only")
	}
	a := &parvis.Agent{Number: "A1"}
	if got := p.VerifierMode(a, parvis.Mobile); got != parvis.VerifierFirst {
		t.Errorf("required, so at the first connection: %q", got)
	}
	a.Profiles = []parvis.ProfileID{"treasury"}
	if got := p.VerifierMode(a, parvis.Mobile); got != parvis.VerifierEach {
		t.Errorf("the strictest rule wins: %q", got)
	}
	if got := mustNew(t, city(t)).VerifierMode(a, parvis.Mobile); got != parvis.VerifierOff {
		t.Errorf("without a rule: %q", got)
	}
}

// Enrolling is a way only where it is allowed.
func TestEnrollingIsATrueStep(t *testing.T) {
	c := city(t)
	c.Sites = map[parvis.Channel]string{parvis.Internal: "ville.test", parvis.Mobile: "mobile.test"}
	p := mustNew(t, c)
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, c.Calendar.Zone)
	ago := func(k parvis.ProofKind, d time.Duration) []parvis.Proof {
		return []parvis.Proof{{Kind: k, At: at.Add(-d)}}
	}
	holds := func(k parvis.ProofKind) parvis.Standing {
		return parvis.Standing{Enrolled: []parvis.ProofKind{k}, Sites: []string{"mobile.test"}}
	}
	for _, x := range []struct {
		name     string
		standing parvis.Standing
		channel  parvis.Channel
		proofs   []parvis.Proof
		want     bool
	}{
		{"the first, at the office", parvis.Standing{}, parvis.Internal, nil, true},
		{"the first, from outside", parvis.Standing{}, parvis.Mobile, nil, false},
		{"… after a temporary code", parvis.Standing{}, parvis.Mobile, ago(parvis.TemporaryCode, 14*time.Minute), true},
		{"… shown too long ago", parvis.Standing{}, parvis.Mobile, ago(parvis.TemporaryCode, 15*time.Minute), false},
		{"… shown later", parvis.Standing{}, parvis.Mobile, ago(parvis.TemporaryCode, -time.Minute), false},
		{"… with a temporary code in hand", parvis.Standing{Temporary: at.Add(time.Hour)}, parvis.Mobile, nil, true},
		{"… after the word of the verifier", parvis.Standing{}, parvis.Mobile, ago(parvis.Verifier, 0), false},
		{"another, after one that can be shown", holds(parvis.SMS), parvis.Mobile, nil, true},
		{"another, the only one being of another site", holds(parvis.Passkey), parvis.Internal, nil, false},
		{"another, after a passkey of this site", holds(parvis.Passkey), parvis.Mobile, nil, true},
	} {
		r := Request{Agent: &parvis.Agent{Number: "A1"}, Standing: &x.standing, Channel: x.channel, At: at, Proofs: x.proofs}
		if got := p.loaded().mayEnrol(&r); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
	// No passkey is offered where no site could answer.
	r := Request{Agent: &parvis.Agent{Number: "A1"}, Standing: &parvis.Standing{}, Channel: parvis.VPN, At: at}
	if p.loaded().canMake(&r, parvis.Change{Kind: parvis.ChangeProof, To: "passkey", By: parvis.ByITContact}) {
		t.Error("a passkey at an entrance without a site")
	}
}

// Rule 8 of the product: whoever lacks nothing but a proof always has a way,
// be it a person, as long as the rules are the shipped ones.
func TestNobodyIsStuckForAProof(t *testing.T) {
	met := 0
	rapid.Check(t, func(t *rapid.T) {
		c := someCatalog(t)
		c.Sites = nil
		p, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r := someRequest(t, c.Apps)
		d := p.Explain(r)
		proofsOnly := !slices.ContainsFunc(d.Codes(), func(code parvis.ReasonCode) bool {
			return !slices.Contains([]parvis.ReasonCode{
				parvis.WhyFactorRequired, parvis.WhyFactorTooWeak, parvis.WhyStepUpRequired, parvis.WhyVerifierMissing, parvis.WhySessionExpired,
			}, code)
		})
		if d.Open || !proofsOnly || r.Agent.StateAt(r.At) == parvis.Closed {
			return
		}
		met++
		if len(d.Ways) == 0 {
			t.Fatalf("%v, and no way", d.Codes())
		}
	})
	if met == 0 {
		t.Error("nobody lacked a proof: nothing was tested")
	}
}

// Of the three sentences about a second proof exactly one is said while the
// demand is not met, and none once it is.
func TestOneSentenceForASecondProof(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := someCatalog(t)
		c.VerifierRules = nil
		p, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r := someRequest(t, c.Apps)
		d := p.Decide(r)
		said := 0
		for _, code := range []parvis.ReasonCode{parvis.WhyFactorRequired, parvis.WhyFactorTooWeak, parvis.WhyStepUpRequired} {
			if d.Has(code) {
				said++
			}
		}
		asked, met := p.Asked(r.Agent, r.Standing, r.App, r.Channel, r.At), false
		for _, pr := range r.Proofs {
			age := r.At.Sub(pr.At)
			met = met || age >= 0 && pr.Kind.Strength() >= asked.Strength && (asked.MaxAge == 0 || age < asked.MaxAge)
		}
		if want := asked.Strength > 0 && !met; want != (said == 1) || said > 1 {
			t.Fatalf("asked %+v, shown %v: %v", asked, r.Proofs, d.Codes())
		}
	})
}
