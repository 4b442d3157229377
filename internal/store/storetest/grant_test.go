package storetest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// open opens the database of a store beside it.
func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver := "pgx"
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, address = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// grants begins sessions and makes grants of them.
type grants struct {
	*testing.T
	store *store.Store
	now   time.Time
}

func newGrants(t *testing.T, s *store.Store, clock *storetest.Clock, sessions ...byte) grants {
	t.Helper()
	g := grants{T: t, store: s, now: clock.Now().UTC()}
	for _, n := range sessions {
		if err := recorded(t, s, func(tx *store.Tx) error {
			return tx.AddSession(t.Context(), store.SessionRow{Session: parvis.Session{
				ID: parvis.SessionID{n}, Agent: "A1", Channel: parvis.Internal, Began: g.now, LastSeen: g.now, Ends: g.now.Add(10 * time.Hour), Epoch: 1,
			}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// of is a grant of a session, as it is kept first.
func (g grants) of(id string, session byte) store.Grant {
	return store.Grant{
		ID: id, Protocol: parvis.OIDC, App: "courrier", Agent: "A1", Session: parvis.SessionID{session}, Channel: parvis.Internal, SID: "s",
		Finder: [32]byte{session, 1}, Body: []byte("sealed"), Tells: true, Began: g.now, Expires: g.now.Add(10 * time.Hour),
	}
}

func (g grants) put(v store.Grant) bool {
	g.Helper()
	return did(g.T, g.store, func(tx *store.Tx) (bool, error) { return tx.PutGrant(g.Context(), v) })
}

// fails puts a grant and gives the code of the error.
func (g grants) fails(v store.Grant) parvis.Code {
	g.Helper()
	return parvis.CodeOf(recorded(g.T, g.store, func(tx *store.Tx) error {
		ok, err := tx.PutGrant(g.Context(), v)
		if ok {
			g.Errorf("%s is kept with an error", v.ID)
		}
		return err
	}))
}

func (g grants) get(id string) store.Grant {
	g.Helper()
	v, err := g.store.Grant(g.Context(), id)
	if err != nil {
		g.Fatal(err)
	}
	return v
}

func names(list []store.Grant) string {
	var all []string
	for _, g := range list {
		all = append(all, g.ID)
	}
	return strings.Join(all, " ")
}

func TestGrant(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		g, ctx := newGrants(t, s, clock, 1), t.Context()
		one := g.of("one", 1)
		if !g.put(one) || g.put(one) {
			t.Error("a grant is made once")
		}
		one.Version = 1
		if d := cmp.Diff(one, g.get("one")); d != "" {
			t.Error(d)
		}
		changed := one
		changed.Body, changed.Tells, changed.Expires = []byte("sealed again"), false, one.Expires.Add(-time.Hour)
		if n := winners(8, func(int) bool { return g.put(changed) }); n != 1 {
			t.Errorf("%d of 8 wrote over the same version", n)
		}
		changed.Version = 2
		if d := cmp.Diff(changed, g.get("one")); d != "" {
			t.Error(d)
		}
		// What a grant is of does not change.
		moved := changed
		moved.App, moved.Agent, moved.Session, moved.SID, moved.Offline, moved.Protocol = "paie", "A2", parvis.SessionID{9}, "t", true, parvis.SAML
		if !g.put(moved) {
			t.Error("not written")
		}
		changed.Version = 3
		if d := cmp.Diff(changed, g.get("one")); d != "" {
			t.Error(d)
		}
		end := func() bool {
			return did(t, s, func(tx *store.Tx) (bool, error) { return tx.EndGrant(ctx, "one", "revoked") })
		}
		if n := winners(4, func(int) bool { return end() }); n != 1 {
			t.Errorf("%d of 4 ended the same grant", n)
		}
		if g.put(changed) {
			t.Error("an ended grant was renewed by the version before")
		}
		ended := g.get("one")
		if ended.Ended != g.now || ended.Why != "revoked" {
			t.Errorf("%+v", ended)
		}
		if g.put(ended) {
			t.Error("an ended grant was renewed")
		}
		if _, err := s.Grant(ctx, "two"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("no such grant: %v", err)
		}
		if _, _, err := s.GrantBy(ctx, [32]byte{9}); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("no such finder: %v", err)
		}
	})
}

func TestGrantRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		g := newGrants(t, s, clock, 1, 2)
		if !g.put(g.of("one", 1)) {
			t.Fatal("not kept")
		}
		if !did(t, s, func(tx *store.Tx) (bool, error) {
			live, _, err := tx.EndSession(t.Context(), parvis.SessionID{2}, "by_owner")
			return live, err
		}) {
			t.Fatal("not ended")
		}
		for name, c := range map[string]struct {
			change func(*store.Grant)
			want   parvis.Code
		}{
			"without a name":              {func(v *store.Grant) { v.ID = "" }, parvis.CodeInvalid},
			"of no application":           {func(v *store.Grant) { v.App = "" }, parvis.CodeInvalid},
			"of nobody":                   {func(v *store.Grant) { v.Agent = "" }, parvis.CodeInvalid},
			"without end":                 {func(v *store.Grant) { v.Expires = time.Time{} }, parvis.CodeInvalid},
			"that nothing ends":           {func(v *store.Grant) { v.Session = parvis.SessionID{} }, parvis.CodeInvalid},
			"of a session that is over":   {func(v *store.Grant) { v.Session = parvis.SessionID{2} }, parvis.CodeNotFound},
			"of no session":               {func(v *store.Grant) { v.Session = parvis.SessionID{3} }, parvis.CodeNotFound},
			"offline, of one that ended":  {func(v *store.Grant) { v.Session, v.Offline = parvis.SessionID{2}, true }, parvis.CodeNotFound},
			"found by what finds another": {func(*store.Grant) {}, parvis.CodeConflict},
		} {
			v := g.of("new", 1)
			if c.change(&v); g.fails(v) != c.want {
				t.Errorf("%s: not refused with %s", name, c.want)
			}
			if _, err := s.Grant(t.Context(), "new"); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		free := g.of("free", 1)
		free.Session, free.Offline, free.Finder = parvis.SessionID{}, true, [32]byte{}
		if !g.put(free) {
			t.Error("one that outlives sessions may have none")
		}
	})
}

// The attack:
//  1. somebody takes a copy of a refresh token that an application holds;
//  2. the application renews: another secret takes its place;
//  3. the copy is shown. It must be known for what it is, whatever came after,
//     and cannot be made good again.
func TestFinderThatWasReplaced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		g, ctx := newGrants(t, s, clock, 1), t.Context()
		v := g.of("one", 1)
		for n := range byte(4) {
			v.Version, v.Finder = int64(n), [32]byte{1, n + 1}
			if !g.put(v) {
				t.Fatalf("renewal %d", n)
			}
		}
		found := func(n byte, wantSpent bool) {
			t.Helper()
			got, spent, err := s.GrantBy(ctx, [32]byte{1, n})
			if err != nil || got.ID != "one" || spent != wantSpent {
				t.Errorf("secret %d finds %q, spent %v, %v", n, got.ID, spent, err)
			}
		}
		found(1, true)
		found(3, true)
		found(4, false)
		back := g.get("one")
		if back.Finder = [32]byte{1, 2}; g.fails(back) != parvis.CodeConflict {
			t.Error("a spent secret was made good again")
		}
		found(4, false)
		// A grant that nothing finds any more is still known by what did.
		back.Finder = [32]byte{}
		if !g.put(back) {
			t.Error("not written")
		}
		found(4, true)
		if !did(t, s, func(tx *store.Tx) (bool, error) { return tx.EndGrant(ctx, "one", "reused") }) {
			t.Error("not ended")
		}
		found(2, true)
		clock.Move(11*time.Hour + 7*24*time.Hour)
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.GrantBy(ctx, [32]byte{1, 2}); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("long after: %v", err)
		}
	})
}

// The attack:
//  1. a code is taken on its way and shown twenty times at once, to two
//     processes;
//  2. each redemption makes the grant that the code names;
//  3. one of them wins; the others are told, and can end what the code gave.
func TestTwentyRedemptionsAtOnce(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		clock := new(storetest.Clock)
		stores := [2]*store.Store{storetest.Open(t, address, clock), storetest.Open(t, address, clock)}
		g := newGrants(t, stores[0], clock, 1)
		if n := winners(20, func(i int) bool {
			v := g.of("code", 1)
			v.Finder = [32]byte{1, byte(i)}
			return did(t, stores[i%2], func(tx *store.Tx) (bool, error) {
				ok, err := tx.PutGrant(context.Background(), v)
				if err == nil && !ok {
					_, err = tx.EndGrant(context.Background(), "code", "code_replayed")
				}
				return ok, err
			})
		}); n != 1 {
			t.Errorf("%d redemptions of one code", n)
		}
		if got := g.get("code"); got.Why != "code_replayed" {
			t.Errorf("the replays left the grant as it was: %+v", got)
		}
		if list, err := stores[1].DueNotices(t.Context(), clock.Now(), 10); err != nil || len(list) != 1 {
			t.Errorf("%d notices, %v", len(list), err)
		}
	})
}

func TestSessionEndsWithItsGrants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		g, ctx := newGrants(t, s, clock, 1, 2, 3), t.Context()
		silent, offline, other, gone := g.of("silent", 1), g.of("offline", 1), g.of("other", 2), g.of("gone", 1)
		silent.Tells, silent.Finder = false, [32]byte{}
		offline.Offline, offline.Finder, offline.Expires = true, [32]byte{8}, g.now.Add(90*24*time.Hour)
		gone.Finder = [32]byte{7}
		for _, v := range []store.Grant{g.of("told", 1), silent, offline, other, gone} {
			if !g.put(v) {
				t.Fatalf("%s is not kept", v.ID)
			}
		}
		var live bool
		var with store.Ended
		end := func(session byte, fail error) error {
			return recorded(t, s, func(tx *store.Tx) (err error) {
				if _, err = tx.EndGrant(ctx, "gone", "revoked"); err != nil {
					return err
				}
				live, with, err = tx.EndSession(ctx, parvis.SessionID{session}, "signed_out")
				return errors.Join(err, fail)
			})
		}
		refused := errors.New("the rest of the transaction fails")
		if err := end(1, refused); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if due, err := s.DueNotices(ctx, g.now, 10); err != nil || len(due) != 0 || !g.get("told").Ended.IsZero() {
			t.Errorf("what was not committed left something: %v, %v", due, err)
		}
		if err := end(1, nil); err != nil || !live {
			t.Fatal(live, err)
		}
		if with != (store.Ended{Grants: 2, Notices: 1}) {
			t.Errorf("%+v", with)
		}
		for id, why := range map[string]string{"told": "signed_out", "silent": "signed_out", "gone": "revoked", "offline": "", "other": ""} {
			if got := g.get(id); got.Why != why || got.Ended.IsZero() != (why == "") {
				t.Errorf("%s ended for %q", id, got.Why)
			}
		}
		due, err := s.DueNotices(ctx, g.now, 10)
		want := store.Notice{
			ID: "told", Version: 1, Grant: "told", Protocol: parvis.OIDC, App: "courrier", Agent: "A1", Channel: parvis.Internal, SID: "s",
			Body: []byte("sealed"), Next: g.now, State: "waiting", At: g.now,
		}
		revoked := want
		revoked.ID, revoked.Grant = "gone", "gone"
		if d := cmp.Diff([]store.Notice{revoked, want}, due); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		if err := end(1, nil); err != nil || live || with != (store.Ended{}) {
			t.Errorf("a second end: %v, %+v, %v", live, with, err)
		}
		if err := end(3, nil); err != nil || !live || with != (store.Ended{}) {
			t.Errorf("a session without grants: %v, %+v, %v", live, with, err)
		}
		if list, err := s.GrantsOf(ctx, "A1", g.now); err != nil || names(list) != "offline other" {
			t.Errorf("left to the agent: %s, %v", names(list), err)
		}
		if err := recorded(t, s, func(tx *store.Tx) (err error) {
			with, err = tx.EndOfflineGrants(ctx, "A1", parvis.SessionID{}, "left")
			return err
		}); err != nil || with != (store.Ended{Grants: 1, Notices: 1}) || g.get("offline").Why != "left" {
			t.Errorf("%+v, %v", with, err)
		}
		if err := recorded(t, s, func(tx *store.Tx) (err error) {
			for _, app := range []parvis.AppID{"courrier", "paie", ""} {
				if _, err := tx.PutDocument(ctx, store.Document{Kind: "consent", ID: "A1/" + string(app), Agent: "A1", App: app}); err != nil {
					return err
				}
			}
			with, err = tx.EndAppGrants(ctx, "courrier", "app_removed")
			return err
		}); err != nil || with != (store.Ended{Grants: 1, Notices: 1}) || g.get("other").Why != "app_removed" {
			t.Errorf("%+v, %v", with, err)
		}
		// Nobody agreed to what may bear its name next.
		if list, err := s.DocumentsOf(ctx, "consent", "A1"); err != nil || len(list) != 2 || list[0].App != "" || list[1].App != "paie" {
			t.Errorf("what was agreed to: %+v, %v", list, err)
		}
	})
}

// An agent proves more while an application renews: neither loses.
func TestRaisedSessionKeepsItsGrants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		g, ctx := newGrants(t, s, clock, 1), t.Context()
		if !g.put(g.of("one", 1)) {
			t.Fatal("not kept")
		}
		read := g.get("one")
		if err := recorded(t, s, func(tx *store.Tx) error {
			return tx.MoveSession(ctx, parvis.SessionID{1}, parvis.Session{ID: parvis.SessionID{2}, Epoch: 2, LastSeen: g.now})
		}); err != nil {
			t.Fatal(err)
		}
		if read.Finder = [32]byte{5}; !g.put(read) {
			t.Error("the renewal was lost")
		}
		if got := g.get("one"); got.Session != (parvis.SessionID{2}) || got.Finder != read.Finder {
			t.Errorf("%+v", got)
		}
		for session, want := range map[byte]string{1: "", 2: "one"} {
			if list, err := s.GrantsIn(ctx, parvis.SessionID{session}); err != nil || names(list) != want {
				t.Errorf("session %d: %q, %v", session, names(list), err)
			}
		}
		if !did(t, s, func(tx *store.Tx) (bool, error) {
			_, with, err := tx.EndSession(ctx, parvis.SessionID{2}, "signed_out")
			return with.Notices == 1, err
		}) {
			t.Error("the application is not told")
		}
	})
}

func TestGrantsLists(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		g, ctx := newGrants(t, s, clock, 1, 2), t.Context()
		for i, c := range []struct {
			id      string
			session byte
			agent   parvis.AgentNumber
			app     parvis.AppID
			offline bool
			life    time.Duration
		}{
			{"a", 1, "A1", "courrier", false, 10 * time.Hour},
			{"b", 2, "A1", "paie", false, 10 * time.Hour},
			{"c", 1, "A1", "courrier", false, time.Minute},
			{"d", 1, "A1", "courrier", true, 90 * 24 * time.Hour},
			{"e", 2, "A2", "courrier", true, 90 * 24 * time.Hour},
		} {
			v := g.of(c.id, c.session)
			v.Agent, v.App, v.Offline, v.Finder = c.agent, c.app, c.offline, [32]byte{}
			v.Began, v.Expires = g.now.Add(time.Duration(i)*time.Second), g.now.Add(c.life)
			if !g.put(v) {
				t.Fatalf("%s is not kept", c.id)
			}
		}
		check := func(what string, want string, list []store.Grant, err error) {
			t.Helper()
			if err != nil || names(list) != want {
				t.Errorf("%s: %q, want %q, %v", what, names(list), want, err)
			}
		}
		list, err := s.GrantsOf(ctx, "A1", g.now)
		check("of the agent", "d c b a", list, err)
		list, err = s.GrantsOf(ctx, "A1", g.now.Add(time.Minute))
		check("a minute later", "d b a", list, err)
		list, err = s.GrantsOf(ctx, "A1", g.now.Add(11*time.Hour))
		check("after the day", "d", list, err)
		list, err = s.GrantsOf(ctx, "A3", g.now)
		check("of nobody", "", list, err)
		list, err = s.GrantsIn(ctx, parvis.SessionID{1})
		check("in the session", "a c d", list, err)
		use, err := s.AppUse(ctx, g.now, g.now.Add(time.Hour))
		want := []store.AppUse{
			{App: "courrier", Agents: 2, Last: g.now.Add(4 * time.Second), Live: 3},
			{App: "paie", Agents: 1, Last: g.now.Add(time.Second), Live: 1},
		}
		if d := cmp.Diff(want, use); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		use, err = s.AppUse(ctx, g.now.Add(2*time.Second), g.now.Add(11*time.Hour))
		want = []store.AppUse{{App: "courrier", Agents: 2, Last: g.now.Add(4 * time.Second), Live: 2}}
		if d := cmp.Diff(want, use); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
	})
}

func TestSweepGrants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		g, ctx := newGrants(t, s, clock, 1), t.Context()
		for i := range 5 {
			v := g.of(fmt.Sprint(i), 1)
			v.Finder, v.Expires = [32]byte{byte(i + 1)}, g.now.Add(time.Duration(i)*time.Hour+time.Second)
			if !g.put(v) {
				t.Fatal("not kept")
			}
		}
		late := g.get("0")
		late.Finder, late.Expires = [32]byte{99}, g.now.Add(4*time.Hour)
		if !g.put(late) {
			t.Fatal("not renewed")
		}
		kept := g.get("4")
		if kept.Expires = g.now.Add(20 * 24 * time.Hour); !g.put(kept) {
			t.Fatal("not renewed")
		}
		forget := func(at time.Time, limit int) (n int64) {
			t.Helper()
			if err := recorded(t, s, func(tx *store.Tx) (err error) {
				n, err = tx.ForgetGrants(ctx, at, limit)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := forget(g.now.Add(2*time.Hour), 10); n != 3 { // what found 0 first, what found 1, and 1
			t.Errorf("%d rows went", n)
		}
		if _, _, err := s.GrantBy(ctx, [32]byte{99}); err != nil {
			t.Errorf("a grant that goes on is not found any more: %v", err)
		}
		if n := forget(g.now.Add(10*time.Hour), 2); n != 4 {
			t.Errorf("%d rows went, no more than twice two may", n)
		}
		clock.Move(15 * 24 * time.Hour)
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if got, spent, err := s.GrantBy(ctx, [32]byte{5}); err != nil || got.ID != "4" || spent {
			t.Errorf("the one that goes on: %q, %v, %v", got.ID, spent, err)
		}
		if use, err := s.AppUse(ctx, time.Time{}, g.now); err != nil || !cmp.Equal(use, []store.AppUse{{App: "courrier", Agents: 1, Live: 1}},
			cmpopts.IgnoreFields(store.AppUse{}, "Last")) {
			t.Errorf("%+v, %v", use, err)
		}
		events, err := s.Events(ctx, store.EventFilter{Kind: "grant.forgotten"})
		if err != nil || len(events) != 1 || events[0].Detail["rows"] != "2" {
			t.Errorf("%+v, %v", events, err)
		}
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if again, err := s.Events(ctx, store.EventFilter{Kind: "grant.forgotten"}); err != nil || len(again) != 1 {
			t.Errorf("a sweep that finds nothing is recorded: %v, %v", again, err)
		}
	})
}
