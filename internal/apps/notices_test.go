package apps

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// listener is an application that is told of things.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	told   []string
	status int
	most   int // at once
	now    int
	hold   chan struct{} // when set, answers wait for it
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{status: http.StatusOK}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.told = append(l.told, r.URL.Path)
		l.now++
		l.most = max(l.most, l.now)
		status, hold := l.status, l.hold
		l.mu.Unlock()
		if hold != nil {
			<-hold
		}
		l.mu.Lock()
		l.now--
		l.mu.Unlock()
		w.WriteHeader(status)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) answers(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status
}

func (l *listener) heard() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.told)
}

func (tn *town) notices(l *listener) *Notices {
	return &Notices{
		Store: tn.store, Clock: tn.clock.Now, HTTP: Outbound([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}),
		Make: map[parvis.Protocol]func(context.Context, store.Notice) (*http.Request, error){
			parvis.OIDC: func(ctx context.Context, n store.Notice) (*http.Request, error) {
				return http.NewRequestWithContext(ctx, http.MethodPost, l.URL+"/"+n.Grant, strings.NewReader(string(n.Body)))
			},
			parvis.CAS: func(context.Context, store.Notice) (*http.Request, error) { return nil, nil },
			parvis.SAML: func(context.Context, store.Notice) (*http.Request, error) {
				return nil, errors.New("its keys are not there yet")
			},
		},
	}
}

// end gives an application something and ends it.
func (tn *town) end(p parvis.Protocol, app parvis.AppID, id string) {
	tn.t.Helper()
	in := tn.begin(parvis.Mobile)
	g := store.Grant{
		ID: id, Protocol: p, App: app, Agent: zoe, Session: in.ID, Channel: parvis.Mobile, SID: "sid", Body: []byte("sealed"), Tells: true,
		Began: tn.clock.Now(), Expires: tn.clock.Now().Add(240 * time.Hour),
	}
	tn.write("grant.began", func(tx *store.Tx) error {
		done, err := tx.PutGrant(context.Background(), g)
		if err == nil && !done {
			err = errors.New("the grant was not kept")
		}
		return err
	})
	tn.write("grant.ended", func(tx *store.Tx) error {
		_, err := tx.EndGrant(context.Background(), id, "sign_out")
		return err
	})
}

func (tn *town) notice(id string) store.Notice {
	tn.t.Helper()
	for _, app := range tn.apps {
		all, err := tn.store.NoticesOf(context.Background(), app.ID, 100)
		must(tn.t, err)
		for _, n := range all {
			if n.Grant == id {
				return n
			}
		}
	}
	tn.t.Fatalf("no notice of %s", id)
	return store.Notice{}
}

// round is one look and all that follows from it.
func (n *Notices) round(t *testing.T) {
	t.Helper()
	n.ready()
	must(t, n.look(t.Context()))
	n.gone.Wait()
}

func TestNotices(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		tn := newTown(t, s, clock, client("agenda"), client("courrier"))
		l := newListener(t)
		n := tn.notices(l)
		tn.end(parvis.OIDC, "agenda", "g1")
		n.round(t)
		if got := tn.notice("g1"); got.State != "delivered" || got.Tries != 1 || got.Answer != "200 OK" || l.heard() != 1 {
			t.Errorf("delivered: %+v, heard %d", got, l.heard())
		}
		clock.Move(24 * time.Hour)
		n.round(t)
		if l.heard() != 1 {
			t.Error("told twice")
		}

		// An application that is down is told again, later and later, six times in all.
		l.answers(http.StatusServiceUnavailable)
		tn.end(parvis.OIDC, "agenda", "g2")
		heard := l.heard()
		for i, wait := range waits() {
			n.round(t)
			got := tn.notice("g2")
			if got.State != "waiting" || got.Tries != i+1 || got.Answer != "503 Service Unavailable" || l.heard() != heard+i+1 {
				t.Fatalf("after try %d: %+v, heard %d", i+1, got, l.heard()-heard)
			}
			if due := clock.Now().Add(wait); !got.Next.Equal(due) {
				t.Fatalf("after try %d the next is at %v, not %v", i+1, got.Next, due)
			}
			clock.Move(wait - time.Second)
			n.round(t)
			if l.heard() != heard+i+1 {
				t.Fatalf("told again a second early, after try %d", i+1)
			}
			clock.Move(time.Second)
		}
		n.round(t)
		if got := tn.notice("g2"); got.State != "given_up" || got.Tries != 6 || l.heard() != heard+6 {
			t.Errorf("at the end: %+v, heard %d", got, l.heard()-heard)
		}
		clock.Move(24 * time.Hour)
		n.round(t)
		if l.heard() != heard+6 {
			t.Error("told after it was given up")
		}

		// It comes back before the end.
		tn.end(parvis.OIDC, "agenda", "g3")
		n.round(t)
		l.answers(http.StatusNoContent)
		clock.Move(5 * time.Second)
		n.round(t)
		if got := tn.notice("g3"); got.State != "delivered" || got.Tries != 2 || got.Answer != "204 No Content" {
			t.Errorf("told at last: %+v", got)
		}

		// Whom nobody can tell is given up; what cannot be written yet is tried again.
		tn.end(parvis.CAS, "courrier", "g4")
		tn.end(parvis.SAML, "courrier", "g5")
		tn.end("smoke", "courrier", "g6")
		n.round(t)
		for id, want := range map[string]string{"g4": "given_up", "g5": "waiting", "g6": "given_up"} {
			if got := tn.notice(id); got.State != want || got.Answer == "" {
				t.Errorf("%s: %+v", id, got)
			}
		}
		told := map[string]int{}
		for _, kind := range strings.Fields(kinds(t, s)) {
			told[kind]++
		}
		if told["notice.delivered"] != 2 || told["notice.given_up"] != 3 || told["notice.failed"] != 7 {
			t.Errorf("recorded %v", told)
		}
	})
}

// Whoever took a notice may die: another takes it after its rest. Who dies at
// the last try does not make it last for ever.
func TestNoticesOutliveTheirCarrier(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		tn := newTown(t, s, clock, client("agenda"))
		l := newListener(t)
		n := tn.notices(l)
		n.ready()
		tn.end(parvis.OIDC, "agenda", "g1")
		for range len(waits()) + 1 {
			due, err := s.DueNotices(t.Context(), clock.Now(), 10)
			must(t, err)
			taken, err := n.take(t.Context(), due)
			must(t, err)
			if len(taken) != 1 {
				t.Fatalf("%d taken of %d", len(taken), len(due))
			}
			if again, err := n.take(t.Context(), due); err != nil || len(again) != 0 {
				t.Fatalf("taken by two: %v %v", again, err)
			}
			clock.Move(2 * time.Hour)
		}
		n.round(t)
		if got := tn.notice("g1"); got.State != "given_up" || l.heard() != 0 {
			t.Errorf("%+v, heard %d", got, l.heard())
		}
	})
}

// However much ends at once, at most sixteen are told at a time, four of one
// application; and of two processes, one tells.
func TestNoticesAreBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		var all []parvis.App
		for i := range 6 {
			all = append(all, client(parvis.AppID(fmt.Sprintf("app-%d", i))))
		}
		tn := newTown(t, s, clock, all...)
		l := newListener(t)
		l.hold = make(chan struct{})
		in := tn.begin(parvis.Mobile)
		var ids []string
		tn.write("grant.began", func(tx *store.Tx) error {
			ids = nil
			for i := range 60 {
				g := store.Grant{
					ID: fmt.Sprintf("g%d", i), Protocol: parvis.OIDC, App: all[i%6].ID, Agent: zoe, Session: in.ID, Channel: parvis.Mobile, Tells: true,
					Began: clock.Now(), Expires: clock.Now().Add(time.Hour),
				}
				if _, err := tx.PutGrant(context.Background(), g); err != nil {
					return err
				}
				ids = append(ids, g.ID)
			}
			return nil
		})
		tn.write("sign_out", func(tx *store.Tx) error { return tn.Sessions.End(tx, in.ID, "sign_out") })
		one, two := tn.notices(l), tn.notices(l)
		one.HTTP = &http.Client{}
		one.ready()
		must(t, one.look(t.Context()))
		must(t, one.look(t.Context()))
		one.mu.Lock()
		if one.flying != mostFlights {
			t.Errorf("%d on their way", one.flying)
		}
		for app, n := range one.flights {
			if n > mostForApp {
				t.Errorf("%d to %s", n, app)
			}
		}
		one.mu.Unlock()
		close(l.hold)
		l.mu.Lock()
		l.hold = nil
		l.mu.Unlock()
		one.gone.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var failed atomic.Int32
		for _, n := range []*Notices{one, two} {
			running.Go(func() {
				if n.Run(ctx) != nil {
					failed.Add(1)
				}
			})
		}
		for {
			due, err := s.DueNotices(t.Context(), clock.Now().Add(time.Hour), 1)
			must(t, err)
			if len(due) == 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
		running.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		seen := map[string]int{}
		for _, path := range l.told {
			seen[path]++
		}
		for _, id := range ids {
			if seen["/"+id] != 1 {
				t.Errorf("%s was told %d times", id, seen["/"+id])
			}
		}
		if failed.Load() != 0 || l.most > 2*mostFlights {
			t.Errorf("%d failed, %d at once", failed.Load(), l.most)
		}
	})
}

// 1. An application outside the organisation leaves every notice unanswered, and
// asks for a thousand sign-ins that end.
// 2. Whatever else ends after that waits behind its notices: the other
// applications keep their sessions open for hours.
func TestNoticesOfOneHoldUpNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		tn := newTown(t, s, clock, client("deaf"), client("agenda"))
		l := newListener(t)
		l.hold = make(chan struct{})
		in := tn.begin(parvis.Mobile)
		put := func(app parvis.AppID, id string) {
			tn.write("grant.began", func(tx *store.Tx) error {
				_, err := tx.PutGrant(context.Background(), store.Grant{
					ID: id, Protocol: parvis.OIDC, App: app, Agent: zoe, Session: in.ID, Channel: parvis.Mobile, Tells: true,
					Began: clock.Now(), Expires: clock.Now().Add(time.Hour),
				})
				if err == nil {
					_, err = tx.EndGrant(context.Background(), id, "sign_out")
				}
				return err
			})
		}
		for i := range looked + mostForApp {
			put("deaf", fmt.Sprintf("deaf-%03d", i))
		}
		clock.Move(time.Second)
		put("agenda", "one")
		n := tn.notices(l)
		n.HTTP = &http.Client{}
		n.ready()
		for range 3 { // however often somebody looks
			must(t, n.look(t.Context()))
		}
		n.mu.Lock()
		if n.flights["deaf"] != mostForApp || n.flights["agenda"] != 1 {
			t.Errorf("on their way: %v", n.flights)
		}
		n.mu.Unlock()
		close(l.hold)
		n.gone.Wait()
	})
}

// What a program takes with it when it ends is told by the next one.
func TestNoticesWhileTheProgramEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		tn := newTown(t, s, clock, client("agenda"))
		l := newListener(t)
		tn.end(parvis.OIDC, "agenda", "g1")
		n := tn.notices(l)
		n.ready()
		ctx, cancel := context.WithCancel(t.Context())
		n.Make[parvis.OIDC] = func(context.Context, store.Notice) (*http.Request, error) {
			cancel()
			return nil, context.Canceled
		}
		must(t, n.Run(ctx))
		if got := tn.notice("g1"); got.State != "waiting" || got.Tries != 1 {
			t.Errorf("%+v", got)
		}
		clock.Move(5 * time.Second)
		tn.notices(l).round(t)
		if got := tn.notice("g1"); got.State != "delivered" {
			t.Errorf("%+v", got)
		}
	})
}
