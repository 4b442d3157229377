package apps

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// applied is what everybody goes by, and how often that changed.
type applied struct {
	mu    sync.Mutex
	now   []parvis.App
	times int
	err   error
	told  chan struct{} // when set, gets a word each time

	register *Register
}

func (a *applied) apply(all []parvis.App) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	if _, err := policy(all); err != nil {
		return err
	}
	if known := a.register.All(); len(known) != len(all) || len(all) > 0 && !cmp.Equal(known, all) {
		return errors.New("the register lists others than those it has applied")
	}
	a.now, a.times = all, a.times+1
	if a.told != nil {
		a.told <- struct{}{}
	}
	return nil
}

func (a *applied) ids() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for i := range a.now {
		all = append(all, string(a.now[i].ID))
	}
	return strings.Join(all, " ")
}

func newRegister(t *testing.T, s *store.Store, clock *storetest.Clock, declared ...parvis.App) (*Register, *applied) {
	t.Helper()
	a := &applied{}
	r := &Register{Store: s, Clock: clock.Now, Log: storetest.Logger(t), Declared: declared, Apply: a.apply}
	a.register = r
	must(t, r.Load(t.Context()))
	return r, a
}

func client(id parvis.AppID) parvis.App {
	return named(parvis.App{ID: id, OIDC: &parvis.OIDCClient{Redirects: []string{"https://" + string(id) + ".example.org/cb"}, Auth: "client_secret_basic"}})
}

func code(t *testing.T, what string, err error, want parvis.Code) {
	t.Helper()
	if got := parvis.CodeOf(err); got != want {
		t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
}

func TestRegister(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := t.Context()
		r, now := newRegister(t, s, clock, named(parvis.App{ID: "intranet", Upstream: "http://127.0.0.1:1"}))
		must(t, r.Put(ctx, client("agenda"), 0, "A100009"))
		if got := now.ids(); got != "agenda intranet" {
			t.Errorf("applied: %s", got)
		}
		if app, ok := r.App("agenda"); !ok || app.OIDC == nil || len(r.All()) != 2 {
			t.Errorf("%+v of %d", app, len(r.All()))
		}
		if _, ok := r.App("agendas"); ok {
			t.Error("an application nobody declared")
		}
		rows, err := r.Kept(ctx)
		must(t, err)
		if len(rows) != 1 || rows[0].By != "A100009" || rows[0].Version != 1 {
			t.Fatalf("kept %+v", rows)
		}

		// Who comes second is told so, and nothing changes.
		change := client("agenda")
		change.Purpose.FR = "première"
		must(t, r.Put(ctx, change, 1, "A100009"))
		late := client("agenda")
		late.Purpose.FR = "seconde"
		code(t, "changed meanwhile", r.Put(ctx, late, 1, "A100010"), parvis.CodeConflict)
		code(t, "made meanwhile", r.Put(ctx, late, 0, "A100010"), parvis.CodeConflict)
		if app, _ := r.App("agenda"); app.Purpose.FR != "première" {
			t.Errorf("the second one stands: %q", app.Purpose.FR)
		}
		now.mu.Lock()
		if now.now[0].Purpose.FR != "première" {
			t.Errorf("and is applied: %q", now.now[0].Purpose.FR)
		}
		now.mu.Unlock()
		code(t, "removed at an old version", r.Remove(ctx, "agenda", 1, "A100010"), parvis.CodeConflict)
		code(t, "declared in the file", r.Put(ctx, client("intranet"), 0, "A100010"), parvis.CodeConflict)
		code(t, "removed, declared in the file", r.Remove(ctx, "intranet", 0, "A100010"), parvis.CodeConflict)
		code(t, "with a fault", r.Put(ctx, parvis.App{ID: "Agenda"}, 0, "A100010"), parvis.CodeInvalid)

		// What does not load changes nothing.
		events := count(t, s)
		now.mu.Lock()
		now.err = errors.New("a rule names an application that is gone")
		now.mu.Unlock()
		code(t, "a policy that does not load", r.Put(ctx, client("courrier"), 0, "A100010"), parvis.CodeInvalid)
		code(t, "removed under a rule", r.Remove(ctx, "agenda", 2, "A100010"), parvis.CodeInvalid)
		now.mu.Lock()
		now.err = nil
		now.mu.Unlock()
		if rows, _ := r.Kept(ctx); len(rows) != 1 || len(r.All()) != 2 || count(t, s) != events || now.ids() != "agenda intranet" {
			t.Errorf("it changed: %d rows, %d applications, %d events more, applied %s", len(rows), len(r.All()), count(t, s)-events, now.ids())
		}

		must(t, r.Remove(ctx, "agenda", 2, "A100010"))
		if got := now.ids(); got != "intranet" {
			t.Errorf("applied after its removal: %s", got)
		}
		if got := kinds(t, s); got != "app.changed app.changed app.removed" {
			t.Errorf("recorded: %s", got)
		}
		recorded, err := s.Events(ctx, store.EventFilter{Limit: 10})
		must(t, err)
		for i, want := range []map[string]string{{"new": "yes"}, {"fields": "Purpose"}, {"grants": "0", "notices": "0"}} {
			if d := cmp.Diff(want, recorded[i].Detail); d != "" || recorded[i].App != "agenda" || recorded[i].Actor != "A100009" && i < 2 {
				t.Errorf("%+v\n%s", recorded[i], d)
			}
		}
		must(t, r.Put(ctx, client("agenda"), 0, "A100010"))
		must(t, r.reload(ctx))
	})
}

func count(t *testing.T, s *store.Store) int { return len(strings.Fields(kinds(t, s))) }

func kinds(t *testing.T, s *store.Store) string {
	t.Helper()
	var all []string
	must(t, s.EachEvent(context.Background(), 0, func(e parvis.Event) error {
		all = append(all, e.Kind)
		return nil
	}))
	return strings.Join(all, " ")
}

// Of many who change one application at once, one does, and what is applied in
// the end is what is kept.
func TestRegisterTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		r, now := newRegister(t, s, clock)
		var done sync.WaitGroup
		var mu sync.Mutex
		won := ""
		for i := range 8 {
			done.Go(func() {
				app := client("agenda")
				app.Purpose.FR = strings.Repeat("x", i+1)
				err := r.Put(context.Background(), app, 0, "A1")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && won != "":
					t.Error("two made it")
				case err == nil:
					won = app.Purpose.FR
				case parvis.CodeOf(err) != parvis.CodeConflict:
					t.Error(err)
				}
			})
		}
		done.Wait()
		row, err := s.App(t.Context(), "agenda")
		must(t, err)
		app, _ := r.App("agenda")
		if won == "" || row.App.Purpose.FR != won || app.Purpose.FR != won || now.now[0].Purpose.FR != won {
			t.Errorf("%q won; kept %q, known %q, applied %q", won, row.App.Purpose.FR, app.Purpose.FR, now.now[0].Purpose.FR)
		}
	})
}

// What another process changes, this one follows; what cannot be applied is
// tried again, and what was there stays meanwhile.
func TestRegisterFollows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, cancel := context.WithCancel(t.Context())
		one, _ := newRegister(t, s, clock)
		two, now := newRegister(t, s, clock, named(parvis.App{ID: "intranet", Upstream: "http://127.0.0.1:1"}))
		now.mu.Lock()
		now.told = make(chan struct{}, 64)
		now.mu.Unlock()
		ended := make(chan error)
		go func() { ended <- two.Run(ctx) }()
		must(t, one.Put(ctx, client("agenda"), 0, "A1"))
		<-now.told
		if got := now.ids(); got != "agenda intranet" {
			t.Errorf("it follows to %s", got)
		}
		now.mu.Lock()
		now.err = errors.New("not now")
		now.mu.Unlock()
		must(t, one.Remove(ctx, "agenda", 1, "A1"))
		code(t, "what cannot be applied", two.reload(ctx), parvis.CodeInternal)
		if _, ok := two.App("agenda"); !ok {
			t.Error("what could not be applied is believed")
		}
		now.mu.Lock()
		now.err = nil
		now.mu.Unlock()
		<-now.told // tried again, without another event
		if got := now.ids(); got != "intranet" {
			t.Errorf("it follows to %s", got)
		}
		cancel()
		must(t, <-ended)

		// An application kept under a name that the file took since is passed over.
		must(t, one.Put(t.Context(), client("intranet"), 0, "A1"))
		must(t, two.reload(t.Context()))
		again, _ := newRegister(t, s, clock, named(parvis.App{ID: "intranet", Upstream: "http://127.0.0.1:1"}))
		if app, _ := again.App("intranet"); app.OIDC != nil || len(again.All()) != 1 {
			t.Errorf("nor at the start: %+v", again.All())
		}
		if app, _ := two.App("intranet"); app.OIDC != nil || len(two.All()) != 1 || !two.Declares("intranet") || two.Declares("agenda") {
			t.Errorf("the file does not win: %+v", two.All())
		}
	})
}

func TestSecrets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := t.Context()
		declared := client("declared")
		r, _ := newRegister(t, s, clock, declared)
		must(t, r.Put(ctx, client("agenda"), 0, "A1"))
		add := func(overlap time.Duration) seal.Secret {
			t.Helper()
			secret, err := r.AddSecret(ctx, "agenda", "A1", overlap)
			must(t, err)
			return secret
		}
		serves := func(secret seal.Secret) bool {
			app, _ := r.App("agenda")
			return r.Secret(app, secret.Reveal(), clock.Now())
		}
		first := add(time.Hour)
		if len(first.Reveal()) != 43 || !serves(first) || serves("") || serves(first[:42]) {
			t.Errorf("the first of %d signs serves: %v", len(first.Reveal()), serves(first))
		}
		clock.Move(time.Hour)
		second := add(24 * time.Hour)
		if !serves(first) || !serves(second) {
			t.Error("they do not overlap")
		}
		clock.Move(24*time.Hour - time.Second)
		if !serves(first) {
			t.Error("the first ended before its time")
		}
		clock.Move(time.Second)
		if serves(first) || !serves(second) {
			t.Errorf("a day later: first %v, second %v", serves(first), serves(second))
		}
		third := add(0)
		if serves(second) || !serves(third) {
			t.Errorf("without overlap: second %v, third %v", serves(second), serves(third))
		}
		row, err := s.App(ctx, "agenda")
		must(t, err)
		if len(row.App.OIDC.Secrets) != 1 {
			t.Errorf("%d secrets are kept: those that ended too", len(row.App.OIDC.Secrets))
		}
		fourth := add(time.Hour)
		code(t, "a name too short", r.DropSecret(ctx, "agenda", short(seal.Hash(fourth.Reveal()))[:7], "A1"), parvis.CodeNotFound)
		code(t, "no such secret", r.DropSecret(ctx, "agenda", "00000000", "A1"), parvis.CodeNotFound)
		code(t, "no name", r.DropSecret(ctx, "agenda", "", "A1"), parvis.CodeNotFound)
		must(t, r.DropSecret(ctx, "agenda", short(seal.Hash(third.Reveal())), "A1"))
		if serves(third) || !serves(fourth) {
			t.Errorf("dropped: third %v, fourth %v", serves(third), serves(fourth))
		}
		_, err = r.AddSecret(ctx, "declared", "A1", 0)
		code(t, "of the file", err, parvis.CodeConflict)
		_, err = r.AddSecret(ctx, "nobody", "A1", 0)
		code(t, "of nobody", err, parvis.CodeNotFound)
		must(t, r.Put(ctx, named(parvis.App{ID: "plain", Upstream: "http://127.0.0.1:1"}), 0, "A1"))
		_, err = r.AddSecret(ctx, "plain", "A1", 0)
		code(t, "of one without a protocol", err, parvis.CodeInvalid)
		if app, _ := r.App("plain"); r.Secret(app, "x", clock.Now()) {
			t.Error("an application without secrets has one")
		}
		if got := kinds(t, s); got != "app.changed app.secret_added app.secret_added app.secret_added app.secret_added app.secret_removed app.changed" {
			t.Errorf("recorded: %s", got)
		}
		must(t, s.EachEvent(ctx, 0, func(e parvis.Event) error {
			for _, v := range e.Detail {
				for _, secret := range []seal.Secret{first, second, third, fourth} {
					if strings.Contains(v, secret.Reveal()) {
						t.Errorf("%s tells a secret", e.Kind)
					}
				}
			}
			return nil
		}))
	})
}

func TestCheck(t *testing.T) {
	r := &Register{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	app := client("agenda")
	app.OIDC.BackChannel, app.OIDC.Auth, app.OIDC.JWKSURI = "https://10.1.2.3/out", "private_key_jwt", "https://169.254.169.254/keys"
	want := []Fault{{Field: "oidc.jwks_uri", Code: parvis.FaultNetwork, Value: "https://169.254.169.254/keys"}}
	if d := cmp.Diff(want, r.Check(app)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Fault(nil), r.Check(client("agenda"))); d != "" {
		t.Error(d)
	}
}

func TestTroubles(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		r, _ := newRegister(t, s, clock, client("agenda"))
		r.Note("agenda", Trouble{Protocol: parvis.OIDC, Code: "invalid_client", Text: "line\nbreak" + strings.Repeat("é", 400)})
		r.Note("nobody", Trouble{Code: "invalid_client"})
		if got := r.Troubles("agenda"); len(got) != 1 || !got[0].At.Equal(clock.Now()) || strings.Contains(got[0].Text, "\n") || len(got[0].Text) > longestText || !strings.HasPrefix(got[0].Text, "line break") {
			t.Errorf("noted %+v", got)
		}
		for i := range 30 {
			r.Note("agenda", Trouble{At: clock.Now().Add(time.Duration(i) * time.Second), Code: "invalid_grant"})
		}
		got := r.Troubles("agenda")
		latestFirst := slices.IsSortedFunc(got, func(a, b Trouble) int { return b.At.Compare(a.At) })
		if len(got) != mostTroubles || !latestFirst || got[0].At != clock.Now().Add(29*time.Second) || len(r.Troubles("nobody")) != 0 {
			t.Errorf("%d kept, latest first: %v", len(got), latestFirst)
		}
	})
}

// An application that came is decided upon at once, and held decisions of
// before fit none of now.
func TestRegisterAndPolicy(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		tn := newTown(t, s, clock, client("agenda"))
		r := &Register{Store: s, Clock: clock.Now, Declared: tn.apps, Apply: func(all []parvis.App) error {
			next, err := policy(all)
			if err == nil {
				tn.Policy.Replace(next)
			}
			return err
		}}
		must(t, r.Load(t.Context()))
		in := tn.begin(parvis.Mobile)
		if a := tn.ask(in, parvis.Mobile, "agenda", false); !a.Decision.Open {
			t.Fatal(a.Decision.Codes())
		}
		closed := client("accueil") // comes before, and takes the place of the first
		closed.Channels = []parvis.Channel{parvis.Internal}
		must(t, r.Put(t.Context(), closed, 0, "A1"))
		if a := tn.ask(in, parvis.Mobile, "accueil", false); a.Decision.Open {
			t.Error("an application opened by a decision about another")
		}
		if a := tn.ask(in, parvis.Mobile, "agenda", false); !a.Decision.Open {
			t.Errorf("the other one no longer: %v", a.Decision.Codes())
		}
	})
}
