package storetest_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// model is what should be known of the grants of one agent, kept the plain way.
type model struct {
	store    *store.Store
	run      string // begins every name of this run
	agent    parvis.AgentNumber
	sessions []parvis.SessionID // live
	grants   map[string]*store.Grant
	finders  map[[32]byte]string
	told     []string
	n        int
}

func (m *model) name() string {
	m.n++
	return fmt.Sprintf("%s-%04d", m.run, m.n)
}

func (m *model) hash() (h [32]byte) {
	copy(h[:], m.name())
	return h
}

func (m *model) session() (id parvis.SessionID) {
	copy(id[:], m.name())
	return id
}

func (m *model) write(t *rapid.T, f func(ctx context.Context, tx *store.Tx) error) {
	if err := m.store.Write(context.Background(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "test.changed"})
		return f(context.Background(), tx)
	}); err != nil {
		t.Fatal(err)
	}
}

// end ends the grants that a condition chooses, and counts them.
func (m *model) end(which func(*store.Grant) bool) (e store.Ended) {
	for _, id := range slices.Sorted(maps.Keys(m.grants)) {
		if g := m.grants[id]; g.Why == "" && which(g) {
			g.Why = "test"
			e.Grants++
			if g.Tells {
				m.told = append(m.told, id)
				e.Notices++
			}
		}
	}
	return e
}

func (m *model) beginSession(t *rapid.T) {
	id := m.session()
	m.write(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.AddSession(ctx, store.SessionRow{Session: parvis.Session{ID: id, Agent: m.agent, Channel: parvis.Internal, Began: tx.Now(), Ends: tx.Now().Add(time.Hour)}})
	})
	m.sessions = append(m.sessions, id)
}

func (m *model) pickSession(t *rapid.T) int {
	if len(m.sessions) == 0 {
		t.Skip("no session is live")
	}
	return rapid.IntRange(0, len(m.sessions)-1).Draw(t, "session")
}

func (m *model) pickGrant(t *rapid.T) *store.Grant {
	if len(m.grants) == 0 {
		t.Skip("no grant was made")
	}
	return m.grants[rapid.SampledFrom(slices.Sorted(maps.Keys(m.grants))).Draw(t, "grant")]
}

func (m *model) beginGrant(t *rapid.T) {
	g := store.Grant{
		ID: m.name(), Protocol: parvis.OIDC, App: parvis.AppID(m.run), Agent: m.agent, Session: m.sessions[m.pickSession(t)], Channel: parvis.Internal,
		Offline: rapid.Bool().Draw(t, "offline"), Tells: rapid.Bool().Draw(t, "tells"),
	}
	if rapid.Bool().Draw(t, "with a secret") {
		g.Finder = m.hash()
		m.finders[g.Finder] = g.ID
	}
	m.write(t, func(ctx context.Context, tx *store.Tx) error {
		g.Began, g.Expires = tx.Now(), tx.Now().Add(time.Hour)
		ok, err := tx.PutGrant(ctx, g)
		if err == nil && !ok {
			return fmt.Errorf("%s is not kept", g.ID)
		}
		return err
	})
	g.Version = 1
	m.grants[g.ID] = &g
}

func (m *model) renewGrant(t *rapid.T) {
	g := m.pickGrant(t)
	next, want := *g, g.Why == ""
	next.Finder = m.hash()
	if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
		next.Version--
		want = false
	}
	if next.Version == 0 {
		t.Skip("never read")
	}
	m.write(t, func(ctx context.Context, tx *store.Tx) error {
		ok, err := tx.PutGrant(ctx, next)
		if ok != want {
			return fmt.Errorf("renewing %s: %v, want %v", g.ID, ok, want)
		}
		return err
	})
	if want {
		m.finders[next.Finder] = g.ID
		g.Version, g.Finder = g.Version+1, next.Finder
	}
}

func (m *model) endGrant(t *rapid.T) {
	g := m.pickGrant(t)
	want := m.end(func(v *store.Grant) bool { return v == g })
	m.write(t, func(ctx context.Context, tx *store.Tx) error {
		ok, err := tx.EndGrant(ctx, g.ID, "test")
		if ok != (want.Grants == 1) {
			return fmt.Errorf("ending %s: %v", g.ID, ok)
		}
		return err
	})
}

func (m *model) endSession(t *rapid.T) {
	i := m.pickSession(t)
	id := m.sessions[i]
	m.sessions = slices.Delete(m.sessions, i, i+1)
	want := m.end(func(g *store.Grant) bool { return g.Session == id && !g.Offline })
	m.write(t, func(ctx context.Context, tx *store.Tx) error {
		ok, with, err := tx.EndSession(ctx, id, "test")
		if !ok || with != want {
			return fmt.Errorf("ended %v with %+v, want %+v", ok, with, want)
		}
		return err
	})
}

func (m *model) raiseSession(t *rapid.T) {
	i, id := m.pickSession(t), m.session()
	m.write(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.MoveSession(ctx, m.sessions[i], parvis.Session{ID: id})
	})
	for _, g := range m.grants {
		if g.Session == m.sessions[i] && g.Why == "" {
			g.Session = id
		}
	}
	m.sessions[i] = id
}

func (m *model) endOffline(t *rapid.T) {
	var except parvis.SessionID
	if i := rapid.IntRange(-1, len(m.sessions)-1).Draw(t, "except"); i >= 0 {
		except = m.sessions[i]
	}
	want := m.end(func(g *store.Grant) bool {
		return g.Offline && (except == parvis.SessionID{} || g.Session != except)
	})
	m.write(t, func(ctx context.Context, tx *store.Tx) error {
		with, err := tx.EndOfflineGrants(ctx, m.agent, except, "test")
		if with != want {
			return fmt.Errorf("ended %+v, want %+v", with, want)
		}
		return err
	})
}

func (m *model) check(t *rapid.T) {
	ctx := context.Background()
	live := map[parvis.SessionID][]string{}
	var ofAgent, told []string
	for id, g := range m.grants {
		if g.Why == "" {
			live[g.Session] = append(live[g.Session], id)
			ofAgent = append(ofAgent, id)
		}
	}
	sorted := func(list []store.Grant) string {
		all := strings.Fields(names(list))
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	want := func(all []string) string {
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	for _, id := range m.sessions {
		if list, err := m.store.GrantsIn(ctx, id); err != nil || sorted(list) != want(live[id]) {
			t.Fatalf("in session: %s, want %s, %v", sorted(list), want(live[id]), err)
		}
	}
	list, err := m.store.GrantsOf(ctx, m.agent, time.UnixMicro(1))
	if err != nil || sorted(list) != want(ofAgent) {
		t.Fatalf("of the agent: %s, want %s, %v", sorted(list), want(ofAgent), err)
	}
	for h, id := range m.finders {
		g, spent, err := m.store.GrantBy(ctx, h)
		if err != nil || g.ID != id || spent != (m.grants[id].Finder != h) || g.Why != m.grants[id].Why || g.Session != m.grants[id].Session {
			t.Fatalf("a secret of %s finds %+v, spent %v, %v", id, g, spent, err)
		}
	}
	notices, err := m.store.NoticesOf(ctx, parvis.AppID(m.run), 1000)
	for _, n := range notices {
		told = append(told, n.Grant)
	}
	if err != nil || want(told) != want(m.told) {
		t.Fatalf("told of %s, want %s, %v", want(told), want(m.told), err)
	}
}

// Whatever agents and applications do, in whatever order: a live grant is of a
// live session or outlives it, every secret ever given is known for what it is,
// and each application that is to be told is told of each end once.
func TestGrantsAgainstAModel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, _ *storetest.Clock) {
		runs := 0
		rapid.Check(t, func(t *rapid.T) {
			runs++
			run := fmt.Sprint("run", runs)
			m := &model{store: s, run: run, agent: parvis.AgentNumber(run), grants: map[string]*store.Grant{}, finders: map[[32]byte]string{}}
			t.Repeat(map[string]func(*rapid.T){
				"begin a session": m.beginSession, "raise a session": m.raiseSession, "end a session": m.endSession,
				"begin a grant": m.beginGrant, "renew a grant": m.renewGrant, "end a grant": m.endGrant, "end what outlives sessions": m.endOffline,
				"": m.check,
			})
		})
	})
}
