package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestLinks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := t.Context()
		const city, state = "https://compte.example.org", "https://etat.example.org"
		link := func(agent parvis.AgentNumber, issuer, subject string) store.Link {
			return store.Link{Agent: agent, Issuer: issuer, Subject: subject, Level: "eidas1", Label: "•••42", At: clock.Now()}
		}
		put := func(l store.Link) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.PutLink(ctx, l) }
		}
		expect := func(agent parvis.AgentNumber, want ...store.Link) {
			t.Helper()
			got, err := s.Links(ctx, agent)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("%s: %v\n%s", agent, err, d)
			}
		}
		one, two := link("A1", state, "s1"), link("A1", city, "s1")
		act(t, s, put(one))
		act(t, s, put(two))
		expect("A1", two, one)
		for name, l := range map[string]store.Link{
			"somebody else's":           link("A2", city, "s1"),
			"in place of one's own too": link("A2", state, "s1"),
		} {
			t.Run(name, func(t *testing.T) { refused(t, s, parvis.CodeConflict, put(l)) })
		}
		for _, l := range []store.Link{link("", city, "s"), link("A2", "", "s"), link("A2", city, "")} {
			refused(t, s, parvis.CodeInvalid, put(l))
		}
		expect("A2")
		if got, err := s.LinkBySubject(ctx, city, "s1"); err != nil || got.Agent != "A1" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := s.LinkBySubject(ctx, city, "s2"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("nobody's: %v", err)
		}

		clock.Move(time.Hour)
		act(t, s, func(tx *store.Tx) error { return tx.UseLink(ctx, "A1", city, "eidas2") })
		two.Level, two.LastUsed = "eidas2", clock.Now()
		refused(t, s, parvis.CodeNotFound, func(tx *store.Tx) error { return tx.UseLink(ctx, "A2", city, "eidas2") })
		expect("A1", two, one)

		two = link("A1", city, "s3") // another account of the same issuer takes its place
		act(t, s, put(two))
		expect("A1", two, one)
		act(t, s, put(link("A2", city, "s1"))) // and the one before may vouch for somebody else
		drop := func(agent parvis.AgentNumber, issuer string) bool {
			return told(t, s, func(tx *store.Tx) (bool, error) { return tx.DropLink(ctx, agent, issuer) })
		}
		if !drop("A1", state) || drop("A1", state) || drop("A3", city) {
			t.Error("not what was tied")
		}
		expect("A1", two)
		if st, err := s.Standing(ctx, "A1"); err != nil || !st.VerifierLinked || !cmp.Equal(st.Links, []string{city}) {
			t.Errorf("%+v, %v", st, err)
		}
		if !drop("A1", city) {
			t.Error("not dropped")
		}
		if st, err := s.Standing(ctx, "A1"); err != nil || st.VerifierLinked || st.Links != nil {
			t.Errorf("%+v, %v", st, err)
		}
	})
}

func TestSecondRequests(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		ask := func(note string) bool {
			return told(t, s, func(tx *store.Tx) (bool, error) {
				return tx.PutSecondRequest(ctx, store.SecondRequest{Agent: "A1", Note: note, Case: "C1"})
			})
		}
		answer := func() bool {
			return told(t, s, func(tx *store.Tx) (bool, error) { return tx.AnswerSecondRequest(ctx, "A1", "A40") })
		}
		asked := func(want time.Time) {
			t.Helper()
			if st, err := s.Standing(ctx, "A1"); err != nil || !st.SecondAsked.Equal(want) {
				t.Errorf("asked at %v, want %v; %v", st.SecondAsked, want, err)
			}
		}
		if _, err := s.SecondRequest(ctx, "A1"); parvis.CodeOf(err) != parvis.CodeNotFound || answer() {
			t.Errorf("nothing was asked: %v", err)
		}
		if !ask("un jeton") {
			t.Error("not kept")
		}
		clock.Move(time.Minute)
		if ask("deux jetons") {
			t.Error("asked twice")
		}
		asked(now)
		want := store.SecondRequest{Agent: "A1", At: now, Note: "un jeton", Case: "C1"}
		if got, err := s.SecondRequest(ctx, "A1"); err != nil || got != want {
			t.Errorf("%s %v", cmp.Diff(want, got), err)
		}
		if !answer() || answer() {
			t.Error("not answered once")
		}
		asked(time.Time{})
		want.Answered, want.AnsweredBy = clock.Now(), "A40"
		if got, err := s.SecondRequest(ctx, "A1"); err != nil || got != want {
			t.Errorf("%s %v", cmp.Diff(want, got), err)
		}
		clock.Move(time.Minute)
		if !ask("encore") {
			t.Error("cannot ask again")
		}
		asked(clock.Now())
		if got, err := s.SecondRequest(ctx, "A1"); err != nil || got.Note != "encore" || !got.Answered.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
