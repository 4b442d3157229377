package verifier

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// turn is one way there and back, in which something may go wrong.
type turn struct {
	name     string
	provider func(*Provider)
	outside  func(*outside)
	leave    Departure
	between  func(w *town, in *Arrival) // what happens before the browser is back
	want     parvis.ReasonCode
	cause    string // in the event
}

func (c turn) run(t *testing.T, w *town) {
	t.Helper()
	o := newOutside(t, w.clock)
	if c.outside != nil {
		c.outside(o)
	}
	w.there = o
	w.knows(o.of(c.provider))
	before := len(w.events("verifier.refused"))
	address, cookie := w.leave(c.leave)
	in := Arrival{Query: o.visit(t, address), Cookie: cookie, Origin: w.full(c.leave).Origin}
	if c.between != nil {
		c.between(w, &in)
	}
	answer := w.back(in.Query, in.Cookie, in.Origin)
	if answer.Reason.Code != c.want {
		t.Errorf("reason %q, want %q", answer.Reason.Code, c.want)
	}
	refusals := w.events("verifier.refused")
	refusals = refusals[:len(refusals)-before]
	if c.cause == "" {
		if len(refusals) != 0 {
			t.Errorf("recorded: %+v", refusals)
		}
	} else if len(refusals) != 1 || refusals[0].Detail["cause"] != c.cause || !slices.Equal(refusals[0].Reasons, []parvis.ReasonCode{c.want}) {
		t.Errorf("recorded %+v, want the cause %q", refusals, c.cause)
	}
	if c.want != "" {
		// A refused answer vouches for nobody, whoever looks at it.
		if answer.Subject != "" || answer.Issuer != "" || answer.Level != "" || answer.Masked != "" || !answer.AuthTime.IsZero() {
			t.Errorf("it says %+v all the same", answer)
		}
	} else if answer.Subject == "" || answer.Issuer != o.issuer {
		t.Errorf("vouches for %q of %q", answer.Subject, answer.Issuer)
	}
	if c.want == whyCancelled && slices.Contains([]string{"", "other_browser", "other_entrance", "used", "expired"}, c.cause) {
		if d := answer.Departure; d.Agent != "" || answer.Provider.ID != "" {
			t.Errorf("whoever brings it learns of %+v", d)
		}
	}
}

func query(change func(url.Values)) func(*town, *Arrival) {
	return func(_ *town, in *Arrival) { change(in.Query) }
}

// failed is a provider that sends people back with an error.
func failed(code string) func(*town, *Arrival) {
	return query(func(q url.Values) {
		q.Del("code")
		q.Set("error", code)
		q.Set("error_description", "<script>alert(1)</script>")
	})
}

// turnsOfBrowsers go wrong by what the browser brings.
func turnsOfBrowsers() []turn {
	const evil = "https://evil.example"
	return []turn{
		{name: "as it should be"},
		{name: "more parameters", between: query(func(q url.Values) { q.Set("session_state", "x"); q.Add("session_state", "y") })},
		{name: "another issuer", between: query(func(q url.Values) { q.Set("iss", evil) }), want: whyUnavailable, cause: "other_issuer"},
		{name: "the issuer with a slash", between: query(func(q url.Values) { q.Set("iss", q.Get("iss")+"/") }), want: whyUnavailable, cause: "other_issuer"},
		{name: "no issuer", between: query(func(q url.Values) { q.Del("iss") }), want: whyUnavailable, cause: "no_issuer"},
		{name: "no issuer, none promised", between: query(func(q url.Values) { q.Del("iss") }), outside: func(o *outside) {
			o.meta = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
		}},
		{name: "another issuer, none promised", between: query(func(q url.Values) { q.Set("iss", evil) }), outside: func(o *outside) {
			o.meta = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
		}, want: whyUnavailable, cause: "other_issuer"},
		{name: "two issuers", between: query(func(q url.Values) { q.Add("iss", evil) }), want: whyUnavailable, cause: "malformed"},
		{name: "two codes", between: query(func(q url.Values) { q.Add("code", q.Get("code")) }), want: whyUnavailable, cause: "malformed"},
		{name: "a code and an error", between: query(func(q url.Values) { q.Set("error", "access_denied") }), want: whyUnavailable, cause: "malformed"},
		{name: "neither", between: query(func(q url.Values) { q.Del("code") }), want: whyUnavailable, cause: "malformed"},
		{name: "a code with a line break", between: query(func(q url.Values) { q.Set("code", q.Get("code")+"\n") }), want: whyUnavailable, cause: "malformed"},
		{name: "a long code", between: query(func(q url.Values) { q.Set("code", strings.Repeat("a", 4097)) }), want: whyUnavailable, cause: "malformed"},
		{name: "another code", between: query(func(q url.Values) { q.Set("code", "guess") }), want: whyUnavailable, cause: "code"},
		{name: "two states", between: query(func(q url.Values) { q.Add("state", q.Get("state")) }), want: whyCancelled},
		{name: "no state", between: query(func(q url.Values) { q.Del("state") }), want: whyCancelled},
		{name: "another state", between: query(func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) }), want: whyCancelled},
		{name: "no cookie", between: func(_ *town, in *Arrival) { in.Cookie = "" }, want: whyCancelled, cause: "other_browser"},
		{name: "another browser", between: func(w *town, in *Arrival) {
			_, in.Cookie = w.leave(Departure{Agent: sacha})
		}, want: whyCancelled, cause: "other_browser"},
		{name: "the state of another browser", between: func(w *town, in *Arrival) {
			address, _ := w.leave(Departure{Agent: sacha})
			u, _ := url.Parse(address)
			in.Query.Set("state", u.Query().Get("state"))
		}, want: whyCancelled, cause: "other_browser"},
		{name: "another entrance", between: func(_ *town, in *Arrival) { in.Origin.Channel = parvis.Internal }, want: whyCancelled, cause: "other_entrance"},
		{name: "too late", between: func(w *town, _ *Arrival) { w.clock.Move(tripGood) }, want: whyCancelled, cause: "expired"},
		{name: "just in time", between: func(w *town, _ *Arrival) { w.clock.Move(tripGood - time.Microsecond) }},
		{name: "what was proved is no longer so", between: func(w *town, _ *Arrival) {
			err := w.store.Write(w.Context(), func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "session.ended", Agent: alex, Actor: "system"})
				return tx.UseFlows(w.Context(), alex)
			})
			if err != nil {
				w.Fatal(err)
			}
		}, want: whyCancelled, cause: "used"},
		{name: "the state of a flow of the door", between: func(w *town, in *Arrival) {
			err := w.store.Write(w.Context(), func(tx *store.Tx) error {
				state := strings.Repeat("s", 43)
				in.Query.Set("state", state)
				tx.Record(parvis.Event{Kind: "sign_in.begun", Agent: alex, Actor: "system"})
				return tx.PutFlow(w.Context(), store.Flow{
					ID: flowID(hashOf(state)), Kind: "sign_in", Agent: alex, Browser: hashOf(in.Cookie), Channel: parvis.Mobile,
					Created: tx.Now(), Expires: tx.Now().Add(time.Hour),
				})
			})
			if err != nil {
				w.Fatal(err)
			}
		}, want: whyCancelled},
		{name: "a provider that is declared no more", between: func(w *town, _ *Arrival) { w.knows() }, want: whyUnavailable, cause: "provider_gone"},
		{name: "cancelled", between: failed("access_denied"), want: whyCancelled, cause: "error_access_denied"},
		{name: "cancelled, says somebody else", between: func(w *town, in *Arrival) {
			failed("access_denied")(w, in)
			in.Query.Set("iss", evil)
		}, want: whyUnavailable, cause: "other_issuer"},
		{name: "login required", between: failed("login_required"), want: whyCancelled, cause: "error_login_required"},
		{name: "broken", between: failed("server_error"), want: whyUnavailable, cause: "error_server_error"},
		{name: "resting", between: failed("temporarily_unavailable"), want: whyUnavailable, cause: "error_temporarily_unavailable"},
		{name: "locked", between: failed("account_locked"), want: whyLocked, cause: "error_account_locked"},
		{name: "locked in its own words", provider: func(p *Provider) { p.Locked = []string{"E42"} }, between: failed("E42"), want: whyLocked, cause: "error_E42"},
		{name: "locked in another's words", between: failed("E42"), want: whyUnavailable, cause: "error_other"},
		{name: "level not reached", between: failed("unmet_authentication_requirements"), want: whyTooLow, cause: "error_unmet_authentication_requirements"},
		{name: "an error with a line break", between: failed("x\nverifier.linked"), want: whyUnavailable, cause: "malformed"},
	}
}

func TestWhatABrowserBrings(t *testing.T) {
	each(t, turnsOfBrowsers())
}

func each(t *testing.T, turns []turn) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		for _, c := range turns {
			t.Run(c.name, func(t *testing.T) { c.run(t, w.on(t)) })
		}
	})
}

// All that left comes back, and what is told of the outside account is little.
func TestGoodAnswer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		o := newOutside(t, clock)
		w.knows(o.of(nil))
		d := Departure{
			Provider: "compte", Agent: alex, Purpose: purposeReplace, Session: parvis.SessionID{1, 2, 3}, Flow: "flow", Origin: street(),
			Return: "/security/verifier", Lang: "fr",
		}
		a := w.trip(o, d)
		if diff := cmp.Diff(d, a.Departure); diff != "" {
			t.Errorf("departure: %s", diff)
		}
		if a.Reason.Code != "" || a.Issuer != o.issuer || a.Subject != somebody || a.Level != "eidas1" || !a.AuthTime.Equal(clock.Now()) || a.Provider.ID != "compte" {
			t.Errorf("answer %+v", a)
		}
		if len([]rune(a.Masked)) != 6 || strings.Contains(a.Masked, somebody) {
			t.Errorf("masked %q", a.Masked)
		}
		for _, e := range w.events("verifier.") {
			for _, v := range e.Detail {
				if strings.Contains(v, somebody) || strings.Contains(v, bearer) {
					t.Errorf("event %+v", e)
				}
			}
		}
	})
}

// The code of one provider, brought where another was asked, is neither
// believed nor given to the other when the answer says whose it is.
func TestMixUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		good, bad := newOutside(t, clock), newOutside(t, clock)
		// It has people sign in at the good one, for a state of its own.
		bad.meta = func(m map[string]any) { m["authorization_endpoint"] = good.issuer + "/authorize" }
		w.knows(good.of(nil), bad.of(func(p *Provider) { p.ID = "mauvais" }))
		address, cookie := w.leave(Departure{Provider: "mauvais"})
		a := w.back(good.visit(t, address), cookie, street())
		if a.Reason.Code != whyUnavailable || w.events("verifier.refused")[0].Detail["cause"] != "other_issuer" {
			t.Errorf("%+v", a)
		}
		if bad.times("/token")+good.times("/token") != 0 {
			t.Error("a code was given to somebody")
		}
		// An ID token of the good one from the endpoint of the bad one.
		bad.meta = nil
		bad.claims = func(c map[string]any) { c["iss"] = good.issuer }
		clock.Move(time.Minute)
		if a := w.trip(bad, Departure{Provider: "mauvais"}); a.Reason.Code != whyUnavailable {
			t.Errorf("%+v", a)
		}
		// Its own word for a subject of the good one's is its own word.
		bad.claims = nil
		if a := w.trip(bad, Departure{Provider: "mauvais"}); a.Reason.Code != "" || a.Issuer != bad.issuer {
			t.Errorf("%+v", a)
		}
	})
}

// A state is good once, and the trail says so once however often it is tried.
func TestReusedState(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		o := newOutside(t, clock)
		w.knows(o.of(nil))
		address, cookie := w.leave(Departure{})
		query := o.visit(t, address)
		if a := w.back(query, cookie, street()); a.Reason.Code != "" {
			t.Fatalf("%+v", a)
		}
		for range 3 {
			if a := w.back(query, cookie, street()); a.Reason.Code != whyCancelled || a.Departure.Agent != "" {
				t.Errorf("again: %+v", a)
			}
		}
		if n := o.times("/token"); n != 1 {
			t.Errorf("the code was shown %d times", n)
		}
		if e := w.events("verifier.refused"); len(e) != 1 || e[0].Detail["cause"] != "used" || e[0].Actor != "system" {
			t.Errorf("recorded %+v", e)
		}
		// So is one that was cancelled over there.
		address, cookie = w.leave(Departure{})
		query = o.visit(t, address)
		denied := url.Values{"state": query["state"], "iss": query["iss"], "error": {"access_denied"}}
		for _, q := range []url.Values{denied, query} {
			if a := w.back(q, cookie, street()); a.Reason.Code != whyCancelled {
				t.Errorf("%v: %+v", q, a)
			}
		}
	})
}

// Of many returns at once, one is looked at.
func TestRaceOfReturns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		o := newOutside(t, clock)
		w.knows(o.of(nil))
		address, cookie := w.leave(Departure{})
		query := o.visit(t, address)
		const many = 20
		answers, errs := make([]Answer, many), make([]error, many)
		var group sync.WaitGroup
		for i := range many {
			group.Go(func() {
				answers[i], errs[i] = w.link.Return(t.Context(), Arrival{Query: query, Cookie: cookie, Origin: street()})
			})
		}
		group.Wait()
		won := 0
		for i := range many {
			switch {
			case errs[i] != nil:
				t.Error(errs[i])
			case answers[i].Reason.Code == "":
				won++
			case answers[i].Reason.Code != whyCancelled:
				t.Errorf("%+v", answers[i])
			}
		}
		if won != 1 || o.times("/token") != 1 || len(w.events("verifier.returned")) != 1 {
			t.Errorf("%d won, %d codes shown, %d returns recorded", won, o.times("/token"), len(w.events("verifier.returned")))
		}
	})
}

// Somebody who goes away while their code is redeemed is in the trail, and the
// provider does not look silent for it.
func TestGoneMeanwhile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		w := open(t, s, clock)
		o := newOutside(t, clock)
		w.knows(o.of(nil))
		address, cookie := w.leave(Departure{})
		ctx, leave := context.WithCancel(t.Context())
		o.instead("/token", func(rw http.ResponseWriter, _ *http.Request) {
			leave()
			rw.WriteHeader(http.StatusInternalServerError)
		})
		a, err := w.link.Return(ctx, Arrival{Query: o.visit(t, address), Cookie: cookie, Origin: street()})
		if err != nil || a.Reason.Code != whyUnavailable {
			t.Errorf("%+v, %v", a, err)
		}
		if e := w.events("verifier.refused"); len(e) != 1 || e[0].Detail["cause"] != "code" || w.link.Down("compte") {
			t.Errorf("recorded %+v", e)
		}
	})
}
