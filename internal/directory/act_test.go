package directory_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/directory"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestFind(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		load(t, d, staffList(3, func(i int, f []string) bool {
			f[6] = []string{"Anne.Durand@Ville.Example", "", "list+eau@ville.example"}[i]
			return true
		}))
		for typed, want := range map[string]parvis.AgentNumber{
			"A1000": "A1000", " a 1001 ": "A1001", "anne.durand@ville.example": "A1000", " ANNE.durand+paie@ville.example": "A1000",
			"list+eau@ville.example": "A1002", "A9999": "", "nobody@ville.example": "", "": "", "@": "", "+@": "", "a@b": "", "list@ville.example": "",
			"'; DROP TABLE agent; --": "", strings.Repeat("a", 300) + "@ville.example": "", "anne.durand@ville.example'": "",
		} {
			got, err := d.Find(context.Background(), typed)
			if got != want || (want == "") != (parvis.CodeOf(err) == parvis.CodeNotFound) {
				t.Errorf("Find(%q) = %q, %v", typed, got, err)
			}
		}
	})
}

func TestList(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		load(t, d, staffList(6, func(i int, f []string) bool {
			f[1] = []string{"Lefèvre", "Le_Goff", "Œuvrard", "Martin", "Martin", "100%"}[i]
			f[3] = []string{"Eau", "Eau/Études", "Eau/Études/Sud", "Eau potable", "Eau-Nord", "Voirie"}[i]
			f[4] = []string{"2020-01-01", "2020-01-01", "2026-04-01", "2020-01-01", "2020-01-01", "2020-01-01"}[i]
			return true
		}))
		numbers := func(f directory.Filter) string {
			agents, err := d.List(context.Background(), f)
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, a := range agents {
				all = append(all, strings.TrimPrefix(string(a.Number), "A100"))
			}
			return strings.Join(all, " ")
		}
		by := func(f store.AgentFilter) directory.Filter { return directory.Filter{AgentFilter: f} }
		for _, c := range []struct {
			name string
			f    directory.Filter
			want string
		}{
			{"all", directory.Filter{}, "0 1 2 3 4 5"},
			{"first page", by(store.AgentFilter{Limit: 2}), "0 1"},
			{"next page", by(store.AgentFilter{Limit: 2, After: "A1001"}), "2 3"},
			{"accents", by(store.AgentFilter{Query: "LEFEVRE anne"}), "0"},
			{"ligature", by(store.AgentFilter{Query: "œuv"}), "2"},
			{"an underscore is one", by(store.AgentFilter{Query: "e_g"}), "1"},
			{"a percent sign is one", by(store.AgentFilter{Query: "%"}), "5"},
			{"a quote", by(store.AgentFilter{Query: `'"\`}), ""},
			{"number", by(store.AgentFilter{Query: "a1003"}), "3"},
			{"unit and under", by(store.AgentFilter{Unit: "Eau"}), "0 1 2"},
			{"unit below", by(store.AgentFilter{Unit: "Eau/Études"}), "1 2"},
			{"to come", directory.Filter{State: parvis.PreArrival}, "2"},
			{"active, second page", directory.Filter{State: parvis.Active, AgentFilter: store.AgentFilter{Limit: 2, After: "A1001"}}, "3 4"},
			{"missing", by(store.AgentFilter{Missing: true}), ""},
		} {
			if got := numbers(c.f); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
		units, err := d.Units(context.Background())
		want := []directory.Unit{{"Eau", 1, 3}, {"Eau/Études", 1, 2}, {"Eau/Études/Sud", 1, 1}, {"Eau potable", 1, 1}, {"Eau-Nord", 1, 1}, {"Voirie", 1, 1}}
		if diff := cmp.Diff(want, units); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})
}

func TestActs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := context.Background()
		d := open(t, s, clock)
		load(t, d, staffList(5, nil))
		start, err := s.Events(ctx, store.EventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		const it, hr, auditor, contact = "A1001", "A1002", "A1003", "A1004"
		for _, c := range []struct {
			name string
			err  error
			code parvis.Code
		}{
			{"operator grants", d.GrantRole(ctx, it, parvis.RoleITDepartment, nil, "operator:root"), ""},
			{"again", d.GrantRole(ctx, it, parvis.RoleITDepartment, nil, "operator:root"), ""},
			{"operator grants", d.GrantRole(ctx, auditor, parvis.RoleAuditor, nil, "operator:root"), ""},
			{"no such role", d.GrantRole(ctx, it, "mayor", nil, "operator:root"), parvis.CodeInvalid},
			{"nobody", d.GrantRole(ctx, "A9999", parvis.RoleAuditor, nil, "operator:root"), parvis.CodeNotFound},
			{"no name", d.Entitle(ctx, "A1000", "finances", ""), parvis.CodeInvalid},
			{"IT grants below", d.GrantRole(ctx, hr, parvis.RoleHROfficer, []parvis.UnitPath{"Eau"}, it), ""},
			{"other units", d.GrantRole(ctx, hr, parvis.RoleHROfficer, []parvis.UnitPath{"Eau", "Voirie"}, it), ""},
			{"IT grants a contact", d.GrantRole(ctx, contact, parvis.RoleITContact, []parvis.UnitPath{"Eau"}, it), ""},
			{"IT grants above", d.GrantRole(ctx, hr, parvis.RoleSecurityOfficer, nil, it), parvis.CodeRefused},
			{"on oneself", d.GrantRole(ctx, it, parvis.RoleAuditor, nil, it), parvis.CodeRefused},
			{"on oneself", d.SetProfiles(ctx, it, nil, it), parvis.CodeRefused},
			{"HR on IT", d.MarkOff(ctx, it, "Voirie", hr), parvis.CodeRefused},
			{"a contact", d.Entitle(ctx, "A1000", "finances", contact), parvis.CodeRefused},
			{"an auditor", d.Entitle(ctx, "A1000", "finances", auditor), parvis.CodeRefused},
			{"an agent", d.Entitle(ctx, "A1001", "finances", "A1000"), parvis.CodeRefused},
			{"a stranger", d.Entitle(ctx, "A1001", "finances", "A7777"), parvis.CodeRefused},
			{"profiles", d.SetProfiles(ctx, "A1000", []parvis.ProfileID{parvis.SocialData, parvis.Executive, parvis.SocialData}, it), ""},
			{"profiles again", d.SetProfiles(ctx, "A1000", []parvis.ProfileID{parvis.Executive, parvis.SocialData}, it), ""},
			{"other profiles", d.SetProfiles(ctx, "A1000", []parvis.ProfileID{parvis.ExtendedRights, parvis.Executive}, it), ""},
			{"not a profile", d.SetProfiles(ctx, "A1000", []parvis.ProfileID{"a b"}, it), parvis.CodeInvalid},
			{"entitle", d.Entitle(ctx, "A1000", "finances", it), ""},
			{"entitle again", d.Entitle(ctx, "A1000", "finances", it), ""},
			{"not an application", d.Entitle(ctx, "A1000", "a:b", it), parvis.CodeInvalid},
			{"disentitle what was not", d.Disentitle(ctx, "A1000", "social", it), ""},
			{"disentitle", d.Disentitle(ctx, "A1000", "finances", it), ""},
			{"reactivate who is on", d.Reactivate(ctx, "A1000", hr), ""},
			{"off", d.MarkOff(ctx, "A1000", "Voirie", hr), ""},
			{"off again", d.MarkOff(ctx, "A1000", "Voirie", hr), ""},
			{"revoke what was not", d.RevokeRole(ctx, "A1000", parvis.RoleAuditor, it), ""},
			{"revoke", d.RevokeRole(ctx, contact, parvis.RoleITContact, it), ""},
		} {
			if parvis.CodeOf(c.err) != c.code {
				t.Errorf("%s: %v", c.name, c.err)
			}
		}
		a := agent(t, d, "A1000").Agent
		if !slices.Equal(a.Profiles, []parvis.ProfileID{parvis.Executive, parvis.ExtendedRights}) || a.Entitlements != nil || a.NewUnit != "Voirie" || !a.OffSince.Equal(clock.Now()) {
			t.Errorf("%+v", a)
		}
		want := []store.Given{{Kind: store.GivenRole, Name: "hr_officer", Units: []parvis.UnitPath{"Eau", "Voirie"}, Since: clock.Now(), By: it}}
		if diff := cmp.Diff(want, agent(t, d, hr).Grants); diff != "" {
			t.Error(diff)
		}
		clock.Move(time.Minute)
		if err := d.Reactivate(ctx, "A1000", hr); err != nil {
			t.Fatal(err)
		}
		if r := agent(t, d, "A1000"); !r.Agent.OffSince.IsZero() || r.Agent.NewUnit != "" || r.Agent.Unit != "Voirie" || len(r.Stays) != 2 {
			t.Errorf("reactivated: %+v", r)
		}
		events, err := s.Events(ctx, store.EventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, e := range events {
			if !slices.ContainsFunc(start, func(s parvis.Event) bool { return s.Seq == e.Seq }) {
				kinds = append(kinds, e.Kind+" "+string(e.Agent)+" "+e.Actor)
			}
		}
		if slices.Index(kinds, "agent.reactivated A1000 A1002") == 0 { // latest first or last
			slices.Reverse(kinds)
		}
		wantKinds := []string{
			"agent.role_granted A1001 operator:root", "agent.role_granted A1003 operator:root", "agent.role_granted A1002 A1001",
			"agent.role_granted A1002 A1001", "agent.role_granted A1004 A1001", "agent.profile_set A1000 A1001", "agent.profile_set A1000 A1001",
			"agent.entitled A1000 A1001", "agent.disentitled A1000 A1001", "agent.off A1000 A1002", "agent.role_revoked A1004 A1001", "agent.reactivated A1000 A1002",
		}
		if diff := cmp.Diff(wantKinds, kinds); diff != "" {
			t.Error(diff)
		}
		whole(t, s)
	})
}

func TestFactsAreKeptAndDropped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := context.Background()
		d := open(t, s, clock)
		load(t, d, staffList(2, nil))
		if _, _, err := d.Facts(ctx, "A9999"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("nobody: %v", err)
		}
		a, standing, err := d.Facts(ctx, "A1000")
		if err != nil || a.Number != "A1000" || standing == nil || a.ContractFrom.Location() != d.Zone {
			t.Fatalf("%+v %+v %v", a, standing, err)
		}
		b, again, err := d.Facts(ctx, "A1000")
		if diff := cmp.Diff(a, b) + cmp.Diff(standing, again); err != nil || diff != "" || !d.Kept("A1000") || b.ContractFrom.Location() != d.Zone {
			t.Errorf("read again: %v %s", err, diff)
		}
		if _, _, err := d.Facts(ctx, "A1001"); err != nil {
			t.Fatal(err)
		}
		record := func(kind string, n parvis.AgentNumber) {
			t.Helper()
			if err := s.Write(ctx, func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: kind, Agent: n}); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		record("session.began", "A1000")
		if !d.Kept("A1000") {
			t.Error("a session made the facts untrue")
		}
		if err := d.Entitle(ctx, "A1000", "finances", "system"); err != nil {
			t.Fatal(err)
		}
		b, _, err = d.Facts(ctx, "A1000")
		if err != nil || !slices.Contains(b.Entitlements, "finances") || len(a.Entitlements) != 0 || !d.Kept("A1001") {
			t.Errorf("after an act: %+v %v", b, err)
		}
		record("policy.changed", "")
		if d.Kept("A1000") || d.Kept("A1001") {
			t.Error("a new policy left facts in memory")
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		record("password.changed", "A1000")
		if _, _, err := d.Facts(ended, "A1000"); err != nil && parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Errorf("%v", err)
		}
	})
}

// What was committed before a question is in its answer, however many ask.
func TestFactsAreNeverStale(t *testing.T) {
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+t.TempDir()+"/p.db", clock)
	d := open(t, s, clock)
	load(t, d, staffList(1, nil))
	ctx := context.Background()
	var committed atomic.Int64 // seconds since the zero of the count, written as off_since
	began := clock.Now()
	var work sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := committed.Load()
				a, _, err := d.Facts(ctx, "A1000")
				if err != nil {
					t.Error(err)
					return
				}
				if got := int64(a.OffSince.Sub(began) / time.Second); !a.OffSince.IsZero() && got < least || a.OffSince.IsZero() && least > 0 {
					t.Errorf("saw %d after %d was committed", got, least)
					return
				}
			}
		})
	}
	for i := int64(1); i <= 200; i++ {
		err := s.Write(ctx, func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "agent.off", Agent: "A1000"})
			return tx.SetOff(ctx, "A1000", began.Add(time.Duration(i)*time.Second), "")
		})
		if err != nil {
			t.Error(err)
			break
		}
		committed.Store(i)
	}
	close(stop)
	work.Wait()
}

func BenchmarkFacts(b *testing.B) {
	clock := new(storetest.Clock)
	d := open(b, storetest.Open(b, "sqlite:"+b.TempDir()+"/p.db", clock), clock)
	load(b, d, staffList(1000, nil))
	ctx := context.Background()
	var numbers []parvis.AgentNumber
	agents, err := d.List(ctx, directory.Filter{AgentFilter: store.AgentFilter{Limit: 1000}})
	if err != nil {
		b.Fatal(err)
	}
	for _, a := range agents {
		numbers = append(numbers, a.Number)
		if _, _, err := d.Facts(ctx, a.Number); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			_, _, _ = d.Facts(ctx, numbers[i%len(numbers)])
		}
	})
}
