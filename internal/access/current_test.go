package access

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parvis"
)

// What one policy answers, another answers in its place, to everybody who holds it.
func TestReplace(t *testing.T) {
	before := city(t)
	p := mustNew(t, before)
	after := city(t)
	after.Apps = append([]parvis.App{{ID: "agenda", Channels: parvis.Channels()}}, after.Apps...)
	for i := range after.Apps {
		if after.Apps[i].ID == "paie" {
			after.Apps[i].Channels = []parvis.Channel{parvis.Internal}
		}
	}
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	r := Request{
		Agent:    &parvis.Agent{Number: "A1", Unit: "ville", ContractFrom: now.AddDate(-1, 0, 0)},
		Standing: &parvis.Standing{Activated: true, VerifierLinked: true},
		App:      "paie", Channel: parvis.Mobile, At: now, Proofs: []parvis.Proof{{Kind: parvis.Password, At: now}},
	}
	if d := p.Decide(r); !d.Open {
		t.Fatalf("refused before: %v", d.Codes())
	}
	h := NewHeld(0)
	old, ok := p.HeldKey(sessionNumber(1), "paie", parvis.Mobile)
	if !ok {
		t.Fatal("no key")
	}
	h.Keep(old, 1, h.Generation(), now, time.Time{})

	p.Replace(mustNew(t, after))
	if d := p.Decide(r); d.Open || !d.Has(parvis.WhyChannelNotAllowed) {
		t.Errorf("after: open=%v %v", d.Open, d.Codes())
	}
	if _, ok := p.App("agenda"); !ok || len(p.Apps()) != len(after.Apps) {
		t.Error("the application that came is unknown")
	}
	for _, app := range []parvis.AppID{"paie", "agenda"} { // agenda has the place of another before it
		k, ok := p.HeldKey(sessionNumber(1), app, parvis.Mobile)
		if _, held := h.Lookup(k, 1, now); !ok || held {
			t.Errorf("%s: ok=%v held=%v: a place of before fits an application of now", app, ok, held)
		}
	}
	for range 3 {
		p.Replace(mustNew(t, before))
	}
	if k, _ := p.HeldKey(sessionNumber(1), "paie", parvis.Mobile); k == old {
		t.Error("the key of before came back with the policy of before")
	}
	if why := p.Conditions(r.Agent, &parvis.Standing{}, now); len(why) == 0 || why[0].Code != parvis.WhyAgentAccountNotActivated {
		t.Errorf("an account that was not activated: %v", why)
	}
	if mode := p.VerifierMode(r.Agent, parvis.Mobile); mode != mustNew(t, before).VerifierMode(r.Agent, parvis.Mobile) {
		t.Errorf("the verifier is asked for otherwise: %s", mode)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = p.HeldKey(sessionNumber(1), "paie", parvis.Mobile) }); n > 1 { // sessionNumber makes one
		t.Errorf("%v allocations", n)
	}
}

// While policies take turns, each answer is that of one of them, whole.
func TestReplaceWhileAsked(t *testing.T) {
	open, shut := city(t), city(t)
	for i := range shut.Apps {
		shut.Apps[i].Channels = nil
	}
	p, one, other := mustNew(t, open), mustNew(t, open), mustNew(t, shut)
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	r := Request{
		Agent:    &parvis.Agent{Number: "A1", Unit: "ville", ContractFrom: now.AddDate(-1, 0, 0)},
		Standing: &parvis.Standing{Activated: true, VerifierLinked: true},
		App:      "paie", Channel: parvis.Mobile, At: now, Proofs: []parvis.Proof{{Kind: parvis.Password, At: now}},
	}
	want := []parvis.Decision{one.Explain(r), other.Explain(r)}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if d := p.Explain(r); !cmp.Equal(d, want[0]) && !cmp.Equal(d, want[1]) {
					t.Errorf("an answer of neither: %v", d)
				}
			}
		})
	}
	for i := range 200 {
		p.Replace([]*Policy{one, other}[i%2])
	}
	wg.Wait()
}

// Whatever needs the whole version is never opened where there is a reduced
// one, is refused there for that reason, and is otherwise decided as anything
// else. Of the ways out, each leads where it is whole.
func TestWholeVersion(t *testing.T) {
	reduced, waysOut := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		c := someCatalog(t)
		mostly := chance(t, "an application of everywhere", 70)
		if mostly {
			for i := range c.Apps {
				c.Apps[i].Channels, c.Apps[i].Reduced = parvis.Channels(), []parvis.Channel{parvis.Mobile}
			}
		}
		loaded, err := New(c, someRules(t, c.Apps))
		if err != nil {
			t.Fatal(err)
		}
		p, r := loaded.loaded(), someRequest(t, c.Apps)
		if mostly {
			r.Channel = parvis.Mobile
			r.Agent.ContractFrom, r.Agent.DeceasedOn = around.AddDate(-3, 0, 0), time.Time{}
		}
		r.Full = false
		plain := p.Explain(r)
		asked := r
		asked.Full = true
		d := p.Explain(asked)
		app, _ := p.App(r.App)
		has := func(list []parvis.Channel, c parvis.Channel) bool {
			for _, o := range list {
				if o == c {
					return true
				}
			}
			return false
		}
		if here := has(app.Channels, r.Channel) && has(app.Reduced, r.Channel); d.Has(parvis.WhyAppReducedHere) != here {
			t.Fatalf("reduced here: %v, said: %v", here, d.Codes())
		} else if !here {
			if plain.Open && !d.Open && p.reads(r.App, whole) < 2 {
				t.Fatalf("opens reduced or not: %v", d.Codes())
			}
			return
		}
		reduced++
		for _, w := range d.Ways {
			waysOut++
			if taken := p.after(asked, w.Changes); has(app.Reduced, taken.Channel) {
				t.Fatalf("%v leads to %s, where it is reduced", w, taken.Channel)
			}
		}
	})
	if reduced == 0 || waysOut == 0 {
		t.Errorf("%d were reduced, with %d ways: nothing was tested", reduced, waysOut)
	}
}

// reads counts the rules of an application that look at a fact.
func (p *policy) reads(id parvis.AppID, f fact) (n int) {
	a := &p.apps[p.byID[id]]
	for _, rules := range [][]*rule{a.permits, a.forbids} {
		for _, r := range rules {
			if r.reads.has(f) {
				n++
			}
		}
	}
	return n
}
