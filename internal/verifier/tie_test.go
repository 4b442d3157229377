package verifier

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// act is Tie or Confirm.
type act func(tx *store.Tx, a Answer, agent parvis.AgentNumber) (parvis.Reason, error)

func (w *town) ties(tx *store.Tx, a Answer, agent parvis.AgentNumber) (parvis.Reason, error) {
	return w.link.Tie(w.Context(), tx, a, agent)
}

func (w *town) confirms(tx *store.Tx, a Answer, agent parvis.AgentNumber) (parvis.Reason, error) {
	return w.link.Confirm(w.Context(), tx, a, agent)
}

func (w *town) do(f act, a Answer, agent parvis.AgentNumber) (parvis.ReasonCode, error) {
	var why parvis.Reason
	err := w.store.Write(w.Context(), func(tx *store.Tx) error {
		var err error
		why, err = f(tx, a, agent)
		return err
	})
	return why.Code, err
}

// word is what a provider says, the way Return gives it.
func (w *town) word(agent parvis.AgentNumber, purpose, issuer, subject string) Answer {
	return Answer{
		Departure: Departure{Provider: "compte", Agent: agent, Purpose: purpose, Origin: street()},
		Issuer:    issuer, Subject: subject, Level: "eidas1", Masked: w.link.masked(issuer, subject),
	}
}

const (
	home = "https://compte.example"
	away = "https://ailleurs.example"
)

func TestTieAndConfirm(t *testing.T) {
	type given struct {
		agent           parvis.AgentNumber
		issuer, subject string
	}
	cases := []struct {
		name    string
		before  []given
		answer  func(w *town) Answer
		confirm bool
		want    parvis.ReasonCode
		code    parvis.Code
		event   string // the last one
		after   []given
	}{
		{name: "a first account", answer: func(w *town) Answer { return w.word(alex, purposeLink, home, "one") }, event: "verifier.linked", after: []given{{alex, home, "one"}}},
		{name: "the same again", before: []given{{alex, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeLink, home, "one") }, event: "verifier.confirmed", after: []given{{alex, home, "one"}}},
		{name: "somebody else's", before: []given{{sacha, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeLink, home, "one") }, want: whyTaken, event: "verifier.refused", after: []given{{sacha, home, "one"}}},
		{name: "a second one, not asked for", before: []given{{alex, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeLink, home, "two") }, want: whyMismatch, event: "verifier.refused", after: []given{{alex, home, "one"}}},
		{name: "instead", before: []given{{alex, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeReplace, home, "two") }, event: "verifier.linked", after: []given{{alex, home, "two"}}},
		{name: "instead of none", answer: func(w *town) Answer { return w.word(alex, purposeReplace, home, "two") }, event: "verifier.linked", after: []given{{alex, home, "two"}}},
		{name: "instead, somebody else's", before: []given{{alex, home, "one"}, {sacha, home, "two"}}, answer: func(w *town) Answer { return w.word(alex, purposeReplace, home, "two") }, want: whyTaken, event: "verifier.refused", after: []given{{alex, home, "one"}, {sacha, home, "two"}}},
		{name: "the same name elsewhere", before: []given{{sacha, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeLink, away, "one") }, event: "verifier.linked", after: []given{{alex, away, "one"}, {sacha, home, "one"}}},
		{name: "almost the same name", before: []given{{sacha, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeLink, home, "ONE") }, event: "verifier.linked", after: []given{{alex, home, "ONE"}, {sacha, home, "one"}}},
		{name: "of another agent", answer: func(w *town) Answer { return w.word(sacha, purposeLink, home, "one") }, code: parvis.CodeRefused},
		{name: "of nobody", answer: func(w *town) Answer { return w.word("", purposeLink, home, "one") }, code: parvis.CodeRefused},
		{name: "to prove", answer: func(w *town) Answer { return w.word(alex, purposeProve, home, "one") }, code: parvis.CodeRefused},
		{name: "refused", answer: func(w *town) Answer {
			a := w.word(alex, purposeLink, home, "one")
			a.Reason.Code = whyTooLow
			return a
		}, code: parvis.CodeRefused},
		{name: "without a subject", answer: func(w *town) Answer { return w.word(alex, purposeLink, home, "") }, code: parvis.CodeRefused},
		{name: "without an issuer", answer: func(w *town) Answer { return w.word(alex, purposeLink, "", "one") }, code: parvis.CodeRefused},

		{name: "proof: theirs", confirm: true, before: []given{{alex, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeProve, home, "one") }, event: "verifier.confirmed", after: []given{{alex, home, "one"}}},
		{name: "proof: none tied", confirm: true, answer: func(w *town) Answer { return w.word(alex, purposeProve, home, "one") }, want: whyMismatch, event: "verifier.refused"},
		{name: "proof: another", confirm: true, before: []given{{alex, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeProve, home, "two") }, want: whyMismatch, event: "verifier.refused", after: []given{{alex, home, "one"}}},
		{name: "proof: somebody else's", confirm: true, before: []given{{alex, home, "one"}, {sacha, home, "two"}}, answer: func(w *town) Answer { return w.word(alex, purposeProve, home, "two") }, want: whyMismatch, event: "verifier.refused", after: []given{{alex, home, "one"}, {sacha, home, "two"}}},
		{name: "proof: the same name elsewhere", confirm: true, before: []given{{alex, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeProve, away, "one") }, want: whyMismatch, event: "verifier.refused", after: []given{{alex, home, "one"}}},
		{name: "proof: of another agent", confirm: true, before: []given{{sacha, home, "one"}}, answer: func(w *town) Answer { return w.word(sacha, purposeProve, home, "one") }, code: parvis.CodeRefused, after: []given{{sacha, home, "one"}}},
		{name: "proof: to link", confirm: true, before: []given{{alex, home, "one"}}, answer: func(w *town) Answer { return w.word(alex, purposeLink, home, "one") }, code: parvis.CodeRefused, after: []given{{alex, home, "one"}}},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		whole := open(t, s, clock)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				w := whole.on(t)
				w.knows()
				w.forget()
				for _, g := range c.before {
					if why, err := w.do(w.ties, w.word(g.agent, purposeLink, g.issuer, g.subject), g.agent); why != "" || err != nil {
						t.Fatal(why, err)
					}
				}
				clock.Move(time.Minute)
				before := len(w.events("verifier."))
				f := w.ties
				if c.confirm {
					f = w.confirms
				}
				why, err := w.do(f, c.answer(w), alex)
				if why != c.want || parvis.CodeOf(err) != c.code {
					t.Errorf("%q, %v; want %q, %q", why, err, c.want, c.code)
				}
				recorded := w.events("verifier.")
				recorded = recorded[:len(recorded)-before]
				switch {
				case c.event == "" && len(recorded) != 0, c.event != "" && (len(recorded) != 1 || recorded[0].Kind != c.event || recorded[0].Agent != alex):
					t.Errorf("recorded %+v, want %q", recorded, c.event)
				}
				var after []given
				for _, l := range w.links() {
					after = append(after, given{l.Agent, l.Issuer, l.Subject})
					if used := c.want == "" && c.code == "" && l.Agent == alex; used != l.LastUsed.Equal(clock.Now()) {
						t.Errorf("last used %v", l)
					}
				}
				if diff := cmp.Diff(c.after, after, cmp.AllowUnexported(given{})); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

func (w *town) links() []store.Link {
	w.Helper()
	var all []store.Link
	for _, agent := range []parvis.AgentNumber{alex, sacha} {
		links, err := w.store.Links(w.Context(), agent)
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, links...)
	}
	return all
}

// forget unties everybody, as they would themselves.
func (w *town) forget() {
	w.Helper()
	for _, l := range w.links() {
		err := w.store.Write(w.Context(), func(tx *store.Tx) error {
			return w.link.Untie(w.Context(), tx, l.Agent, l.Issuer, string(l.Agent))
		})
		if err != nil {
			w.Fatal(err)
		}
	}
}

func TestUntie(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		w.knows()
		if why, err := w.do(w.ties, w.word(alex, purposeLink, home, "one"), alex); why != "" || err != nil {
			t.Fatal(why, err)
		}
		untie := func(agent parvis.AgentNumber, issuer string) error {
			return s.Write(t.Context(), func(tx *store.Tx) error { return w.link.Untie(t.Context(), tx, agent, issuer, "desk:S1") })
		}
		for _, wrong := range []struct {
			agent  parvis.AgentNumber
			issuer string
		}{{sacha, home}, {alex, away}} {
			if err := untie(wrong.agent, wrong.issuer); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("%v: %v", wrong, err)
			}
		}
		if err := untie(alex, home); err != nil || len(w.links()) != 0 {
			t.Error(err, w.links())
		}
		if e := w.events("verifier.unlinked"); len(e) != 1 || e[0].Actor != "desk:S1" || e[0].Agent != alex || e[0].Detail["issuer"] != home {
			t.Errorf("recorded %+v", e)
		}
		// Then it can be another's.
		if why, err := w.do(w.ties, w.word(sacha, purposeLink, home, "one"), sacha); why != "" || err != nil {
			t.Error(why, err)
		}
	})
}

// Of many agents who bring one account at once, one has it.
func TestRaceForAnAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		w.knows()
		const many = 20
		reasons, errs := make([]parvis.ReasonCode, many), make([]error, many)
		var group sync.WaitGroup
		for i := range many {
			agent := []parvis.AgentNumber{alex, sacha}[i%2]
			group.Go(func() { reasons[i], errs[i] = w.do(w.ties, w.word(agent, purposeLink, home, "one"), agent) })
		}
		group.Wait()
		links := w.links()
		if len(links) != 1 {
			t.Fatalf("links %+v", links)
		}
		for i := range many {
			want := whyTaken
			if []parvis.AgentNumber{alex, sacha}[i%2] == links[0].Agent {
				want = ""
			}
			if errs[i] != nil || reasons[i] != want {
				t.Errorf("%d: %q, %v", i, reasons[i], errs[i])
			}
		}
		if n := len(w.events("verifier.linked")); n != 1 {
			t.Errorf("%d recorded", n)
		}
	})
}
