package session

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

const (
	plainPortal  = "agents.localhost:8080"
	securePortal = "nomade.example.org"
)

func addresses(t testing.TB) *parvis.Addresses {
	t.Helper()
	a, err := parvis.NewAddresses(map[parvis.Channel]string{parvis.Internal: "http://" + plainPortal, parvis.Mobile: "https://" + securePortal})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func keys(t testing.TB) *seal.Keys {
	t.Helper()
	k, err := seal.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keeper(t testing.TB, s *store.Store, clock *storetest.Clock, k *seal.Keys) *Keeper {
	t.Helper()
	return &Keeper{Store: s, Keys: k, Addresses: addresses(t), Clock: clock.Now, Log: storetest.Logger(t)}
}

// each runs f over both engines with a keeper.
func each(t *testing.T, f func(t *testing.T, k *Keeper, clock *storetest.Clock)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		f(t, keeper(t, s, clock, keys(t)), clock)
	})
}

// begin begins a session and gives the browser that holds it.
func begin(t testing.TB, k *Keeper, c parvis.Channel, number parvis.AgentNumber) (*browser, parvis.Session) {
	t.Helper()
	b := &browser{cookies: map[string]string{}}
	var token Token
	var s parvis.Session
	write(t, k, func(tx *store.Tx) error {
		var err error
		token, s, err = k.Begin(tx, Beginning{
			Agent: number, Origin: parvis.Origin{Channel: c, Address: "192.0.2.7", Device: "laptop"},
			Proofs: []parvis.Proof{{Kind: parvis.Password, At: tx.Now()}}, Browser: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		})
		return err
	})
	b.take(func(w http.ResponseWriter) { k.Give(w, token) })
	return b, s
}

func write(t testing.TB, k *Keeper, f func(tx *store.Tx) error) {
	t.Helper()
	if err := k.Store.Write(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

// browser keeps cookies, without their rules.
type browser struct{ cookies map[string]string }

func (b *browser) take(f func(w http.ResponseWriter)) []*http.Cookie {
	rec := httptest.NewRecorder()
	f(rec)
	set := rec.Result().Cookies()
	for _, c := range set {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return set
}

func (b *browser) get(url string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, url, nil)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func TestSessionFromBeginToEnd(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		b, s := begin(t, k, parvis.Internal, "A100001")
		got, err := k.Of(b.get("http://" + plainPortal + "/"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("the session that memory gives differs from the one that began (-began +given):\n%s", diff)
		}
		if want := clock.Now().Add(10 * time.Hour); !got.Ends.Equal(want) {
			t.Errorf("ends at %v, want %v", got.Ends, want)
		}
		write(t, k, func(tx *store.Tx) error { return k.End(tx, s.ID, "by_owner") })
		if _, err := k.Of(b.get("http://" + plainPortal + "/")); err == nil {
			t.Error("the session is found after its end")
		}
		if why := k.Gone(b.get("http://" + plainPortal + "/")); why != parvis.WhySessionClosedRemote {
			t.Errorf("the session is gone for %q", why)
		}
		write(t, k, func(tx *store.Tx) error { return k.End(tx, s.ID, "by_owner") }) // twice is no error, and no event
		events, err := k.Store.Events(context.Background(), store.EventFilter{Agent: "A100001", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, e := range events {
			said = append(said, e.Kind)
		}
		if len(said) != 2 {
			t.Errorf("recorded %v, want one beginning and one end", said)
		}
	})
}

func TestLimitsByEntrance(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		for _, c := range []struct {
			channel  parvis.Channel
			url      string
			idle     time.Duration
			absolute time.Duration
		}{
			{parvis.Internal, "http://" + plainPortal + "/", time.Hour, 10 * time.Hour},
			{parvis.Mobile, "https://" + securePortal + "/", 30 * time.Minute, 12 * time.Hour},
		} {
			rests, _ := begin(t, k, c.channel, "A100001")
			clock.Move(c.idle - time.Second)
			if _, err := k.Of(rests.get(c.url)); err != nil {
				t.Errorf("%s: over before its idle time", c.channel)
			}
			clock.Move(c.idle)
			if _, err := k.Of(rests.get(c.url)); err == nil {
				t.Errorf("%s: alive after its idle time", c.channel)
			}
			if why := k.Gone(rests.get(c.url)); why != parvis.WhySessionExpired {
				t.Errorf("%s: gone for %q", c.channel, why)
			}

			used, s := begin(t, k, c.channel, "A100001")
			for clock.Now().Add(10 * time.Minute).Before(s.Ends) {
				clock.Move(10 * time.Minute)
				if _, err := k.Of(used.get(c.url)); err != nil {
					t.Fatalf("%s: over at %v though used", c.channel, clock.Now())
				}
			}
			clock.Set(s.Began.Add(c.absolute))
			if _, err := k.Of(used.get(c.url)); err == nil {
				t.Errorf("%s: alive after its end", c.channel)
			}
		}
	})
}

func TestExtendMovesTheIdleEndOnly(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		b, s := begin(t, k, parvis.Mobile, "A100001")
		if _, err := k.Of(b.get("https://" + securePortal + "/")); err != nil {
			t.Fatal("not found")
		}
		clock.Move(29 * time.Minute)
		write(t, k, func(tx *store.Tx) error { return k.Extend(tx, s.ID) })
		clock.Move(29 * time.Minute)
		got, ok := k.Session(context.Background(), s.ID)
		if !ok {
			t.Fatal("over although it was extended")
		}
		if !got.Ends.Equal(s.Ends) {
			t.Errorf("the end moved from %v to %v", s.Ends, got.Ends)
		}
		clock.Move(2 * time.Minute)
		err := k.Store.Write(context.Background(), func(tx *store.Tx) error { return k.Extend(tx, s.ID) })
		if parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("extending what is over answers %v", err)
		}
	})
}

// The attack: 1. somebody learns or plants an identifier before the victim
// proves more. 2. The victim raises the session. 3. The old identifier is tried.
func TestFixation(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		planted, s := begin(t, k, parvis.Internal, "A100001")
		visit := enter(t, k, planted, s, "paie")
		again, other := begin(t, k, parvis.Internal, "A100001")
		if planted.cookies[portalCookie] == again.cookies[portalCookie] || s.ID == other.ID {
			t.Fatal("two sign-ins share an identifier")
		}
		clock.Move(time.Minute)
		var token Token
		write(t, k, func(tx *store.Tx) error {
			var err error
			token, err = k.Raise(tx, s.ID, parvis.Proof{Kind: parvis.TOTP, At: tx.Now()})
			return err
		})
		if _, err := k.Of(planted.get("http://" + plainPortal + "/")); err == nil {
			t.Error("the identifier from before the raise still opens")
		}
		victim := &browser{cookies: map[string]string{}}
		victim.take(func(w http.ResponseWriter) { k.Give(w, token) })
		raised, err := k.Of(victim.get("http://" + plainPortal + "/"))
		if err != nil {
			t.Fatal(err)
		}
		if raised.Epoch != s.Epoch+1 || len(raised.Proofs) != 2 || raised.Proofs[1].Kind != parvis.TOTP || !raised.Began.Equal(s.Began) {
			t.Errorf("raised to %+v", raised)
		}
		if v, err := k.At(visit.get("http://paie."+plainPortal+"/"), "paie"); err != nil || v.Session != raised.ID {
			t.Errorf("the visit did not follow its session: %v, %v", v, err)
		}
		err = k.Store.Write(context.Background(), func(tx *store.Tx) error {
			_, err := k.Raise(tx, s.ID, parvis.Proof{Kind: parvis.TOTP, At: tx.Now()})
			return err
		})
		if parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("raising a spent identifier answers %v", err)
		}
	})
}

// enter walks a browser through the portal into an application.
func enter(t testing.TB, k *Keeper, b *browser, s parvis.Session, app parvis.AppID) *browser {
	t.Helper()
	host := string(app) + "." + plainPortal
	visit := &browser{cookies: map[string]string{}}
	ticket := ask(t, k, visit, s, app, "/somewhere?x=1")
	token, path, err := k.Enter(context.Background(), visit.get("http://"+host+"/.parvis/enter"), ticket, app, host)
	if err != nil {
		t.Fatal(err)
	}
	if path != "/somewhere?x=1" {
		t.Errorf("comes back to %q", path)
	}
	visit.take(func(w http.ResponseWriter) { k.Give(w, token) })
	return visit
}

// ask gives the ticket that the portal would give to a browser that asked.
func ask(t testing.TB, k *Keeper, visit *browser, s parvis.Session, app parvis.AppID, path string) string {
	t.Helper()
	host := string(app) + "." + plainPortal
	var asked string
	visit.take(func(w http.ResponseWriter) {
		var err error
		if asked, err = k.Ask(w, visit.get("http://"+host+"/"), app, path); err != nil {
			t.Fatal(err)
		}
	})
	to, err := k.Asked(asked)
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := k.Ticket(s, to.App, host, to.Path)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestTicketLetsInOnce(t *testing.T) {
	host := "paie." + plainPortal
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		_, s := begin(t, k, parvis.Internal, "A100001")
		visit := &browser{cookies: map[string]string{}}
		stranger := &browser{cookies: map[string]string{}}
		ask(t, k, stranger, s, "paie", "/")
		try := func(k *Keeper, b *browser, ticket string, app parvis.AppID, host string) error {
			_, _, err := k.Enter(context.Background(), b.get("http://"+host+"/.parvis/enter"), ticket, app, host)
			if err != nil && parvis.CodeOf(err) != parvis.CodeRefused {
				t.Errorf("answers %v, want code refused", err)
			}
			return err
		}
		ticket := ask(t, k, visit, s, "paie", "/a")
		if err := try(k, visit, ticket, "finances", "finances."+plainPortal); err == nil {
			t.Error("the ticket of one host opens another")
		}
		if err := try(k, stranger, ticket, "paie", host); !errors.Is(err, ErrStranger) {
			t.Errorf("in another browser: %v", err)
		}
		if err := try(k, &browser{}, ticket, "paie", host); !errors.Is(err, ErrCookies) {
			t.Errorf("in a browser without the mark: %v", err)
		}
		if err := try(k, visit, ticket, "paie", host); err != nil {
			t.Fatalf("the right browser, in time, on the right host: %v", err)
		}
		restarted := keeper(t, k.Store, clock, k.Keys)
		if err := try(restarted, visit, ticket, "paie", host); !errors.Is(err, ErrUsed) {
			t.Errorf("replayed after a restart: %v", err)
		}
		late := ask(t, k, visit, s, "paie", "/a")
		clock.Move(31 * time.Second)
		if err := try(k, visit, late, "paie", host); !errors.Is(err, seal.ErrExpired) {
			t.Errorf("after 31 seconds: %v", err)
		}
		ended := ask(t, k, visit, s, "paie", "/a")
		write(t, k, func(tx *store.Tx) error { return k.End(tx, s.ID, "signed_out") })
		if err := try(k, visit, ended, "paie", host); err == nil {
			t.Error("the ticket of an ended session lets in")
		}
		if err := try(k, visit, "nonsense", "paie", host); err == nil {
			t.Error("nonsense lets in")
		}
	})
}

func TestTicketRace(t *testing.T) {
	host := "paie." + plainPortal
	each(t, func(t *testing.T, k *Keeper, _ *storetest.Clock) {
		_, s := begin(t, k, parvis.Internal, "A100001")
		visit := &browser{cookies: map[string]string{}}
		ticket := ask(t, k, visit, s, "paie", "/")
		answers := make(chan error)
		for range 20 {
			r := visit.get("http://" + host + "/.parvis/enter")
			go func() {
				_, _, err := k.Enter(context.Background(), r, ticket, "paie", host)
				answers <- err
			}()
		}
		in := 0
		for range 20 {
			switch err := <-answers; {
			case err == nil:
				in++
			case !errors.Is(err, ErrUsed):
				t.Error(err)
			}
		}
		if in != 1 {
			t.Errorf("%d of 20 redemptions of one ticket succeeded", in)
		}
	})
}

func TestEndIsInForceEverywhere(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		clock := new(storetest.Clock)
		own := keys(t)
		here := keeper(t, storetest.Open(t, url, clock), clock, own)
		there := keeper(t, storetest.Open(t, url, clock), clock, own)
		b, s := begin(t, here, parvis.Internal, "A100001")
		visit := enter(t, here, b, s, "paie")
		other, _ := begin(t, here, parvis.Internal, "A100001")
		for _, k := range []*Keeper{here, there} {
			if _, err := k.Of(b.get("http://" + plainPortal + "/")); err != nil {
				t.Fatal("the session is not found everywhere")
			}
			if _, err := k.At(visit.get("http://paie."+plainPortal+"/"), "paie"); err != nil {
				t.Fatal("the visit is not found everywhere")
			}
			if _, err := k.At(visit.get("http://paie."+plainPortal+"/"), "finances"); err == nil {
				t.Fatal("the visit of one application opens another")
			}
			for _, secret := range visit.cookies { // copied, and named as the other entrance names its own
				if _, err := k.At(withCookie("https://paie."+securePortal+"/", prefix+visitCookie, secret), "paie"); parvis.CodeOf(err) != parvis.CodeNotFound {
					t.Fatalf("the visit of one entrance opens another: %v", err)
				}
			}
		}
		write(t, here, func(tx *store.Tx) error {
			n, err := here.EndAll(tx, "A100001", parvis.SessionID{}, "account_closed")
			if n != 2 {
				t.Errorf("%d sessions ended, want 2", n)
			}
			return err
		})
		deadline := time.Now().Add(5 * time.Second)
		for _, k := range []*Keeper{here, there} {
			gone := func() bool {
				_, one := k.Of(b.get("http://" + plainPortal + "/"))
				_, two := k.Of(other.get("http://" + plainPortal + "/"))
				_, three := k.At(visit.get("http://paie."+plainPortal+"/"), "paie")
				return one != nil && two != nil && three != nil
			}
			for !gone() {
				if k == here || time.Now().After(deadline) {
					t.Fatalf("still open: here %v", k == here)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	})
}

func withCookie(url, name, value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, url, nil)
	r.AddCookie(&http.Cookie{Name: name, Value: value})
	return r
}

func TestRestartLosesNothing(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		clock := new(storetest.Clock)
		own := keys(t)
		before := keeper(t, storetest.Open(t, url, clock), clock, own)
		b, s := begin(t, before, parvis.Internal, "A100001")
		visit := enter(t, before, b, s, "paie")
		clock.Move(50 * time.Minute)
		if _, err := before.Of(b.get("http://" + plainPortal + "/")); err != nil {
			t.Fatal("not found")
		}
		if err := before.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		clock.Move(50 * time.Minute)
		for _, filled := range []bool{false, true} {
			k := keeper(t, storetest.Open(t, url, clock), clock, own)
			k.ready()
			if filled {
				if err := k.fill(context.Background()); err != nil {
					t.Fatal(err)
				}
				if _, _, ok := k.table.session(s.ID, anywhere); !ok {
					t.Error("not read in advance")
				}
			}
			if got, err := k.Of(b.get("http://" + plainPortal + "/")); err != nil || got.Agent != "A100001" {
				t.Errorf("filled %v: session %v, %v", filled, got, err)
			}
			if _, err := k.At(visit.get("http://paie."+plainPortal+"/"), "paie"); err != nil {
				t.Errorf("filled %v: visit lost", filled)
			}
		}
	})
}

func TestListShowsTheLiveOnes(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		begin(t, k, parvis.Mobile, "A100001")
		clock.Move(20 * time.Minute)
		b, kept := begin(t, k, parvis.Internal, "A100001")
		begin(t, k, parvis.Internal, "A100002")
		clock.Move(20 * time.Minute)
		if _, err := k.Of(b.get("http://" + plainPortal + "/")); err != nil {
			t.Fatal("not found")
		}
		rows, err := k.List(context.Background(), "A100001")
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 1 || rows[0].ID != kept.ID || rows[0].Browser != "Firefox, Linux" || rows[0].Address != "192.0.2.7" || !rows[0].LastSeen.Equal(clock.Now()) {
			t.Errorf("listed %+v", rows)
		}
	})
}

func TestVersionGrowsWithWhatIsRecorded(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, _ *storetest.Clock) {
		b, s := begin(t, k, parvis.Internal, "A100001")
		visit := enter(t, k, b, s, "paie")
		at := func() uint32 {
			v, err := k.At(visit.get("http://paie."+plainPortal+"/"), "paie")
			if err != nil {
				t.Fatal(err)
			}
			if alone := k.Version("A100001"); alone != v.Version {
				t.Errorf("%d by the agent, %d by their visit", alone, v.Version)
			}
			return v.Version
		}
		first := at()
		write(t, k, func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "app.refused", Agent: "A100001", Actor: "A100001"})
			return nil
		})
		if at() != first {
			t.Error("a refusal, which changes nothing, made the decision be taken again")
		}
		write(t, k, func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "agent.entitled", Agent: "A100001", Actor: "system"})
			return nil
		})
		second := at()
		if second == first {
			t.Error("an entitlement did not make the decision be taken again")
		}
		k.stamps.settle()
		if at() == second {
			t.Error("the decision taken meanwhile was not taken again")
		}
	})
}

func TestSweepForgetsWhatIsOver(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		b, s := begin(t, k, parvis.Internal, "A100001")
		enter(t, k, b, s, "paie")
		if _, err := k.Of(b.get("http://" + plainPortal + "/")); err != nil {
			t.Fatal("not found")
		}
		clock.Move(11 * time.Hour)
		k.table.sweep(clock.Now().UnixMicro())
		for i := range k.table.parts {
			if n := len(k.table.parts[i].sessions.at) + len(k.table.parts[i].visits.at); n != 0 {
				t.Errorf("part %d still holds %d", i, n)
			}
		}
		clock.Move(8 * 24 * time.Hour)
		if err := k.forget(context.Background()); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Store.Session(context.Background(), s.ID); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("the row of an old session: %v", err)
		}
	})
}

func TestRunWritesLastUsesBeforeItEnds(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		b, s := begin(t, k, parvis.Internal, "A100001")
		ctx, cancel := context.WithCancel(context.Background())
		ran := make(chan error)
		go func() { ran <- k.Run(ctx) }()
		clock.Move(10 * time.Minute)
		if _, err := k.Of(b.get("http://" + plainPortal + "/")); err != nil {
			t.Fatal("not found")
		}
		cancel()
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
		row, err := k.Store.Session(context.Background(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !row.LastSeen.Equal(clock.Now()) {
			t.Errorf("last seen %v on disk, want %v", row.LastSeen, clock.Now())
		}
		if err := k.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		events, err := k.Store.Events(context.Background(), store.EventFilter{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, e := range events {
			if e.Kind == "session.seen" {
				seen++
			}
		}
		if seen != 1 {
			t.Errorf("%d batches recorded, want one: nothing was used since", seen)
		}
	})
}
