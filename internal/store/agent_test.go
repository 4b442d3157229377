package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// putAgents writes agents with an event.
func putAgents(t *testing.T, s *store.Store, agents ...*parvis.Agent) {
	t.Helper()
	err := s.Write(context.Background(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "agent.imported"})
		return tx.PutAgents(context.Background(), agents)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAgentsComeBackAsPut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := context.Background()
		day := func(n int) time.Time { return time.Date(2026, 1, n, 23, 0, 0, 0, time.UTC) }
		want := &parvis.Agent{
			Number: "A1", FamilyName: "Noël", UsageName: "'; --", GivenNames: "Zoé\u2028", Unit: "Eau/Études", Employer: "21750001600019",
			Category: "tenured", Position: "active", Absence: parvis.LongSickAbsence, AbsenceFrom: day(1), AbsenceUntil: day(2),
			ContractFrom: day(3), ContractUntil: day(4), JobCode: "J", JobLabel: "L", Manager: "A2", HRUnit: "U", Email: "Zoe@v.example",
			PersonalEmail: "z@m.example", PersonalMobile: "+33612345678", Badge: "B", DeceasedOn: day(5), MissingSince: day(6),
		}
		if _, err := s.Agent(ctx, "A1"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("before: %v", err)
		}
		putAgents(t, s, want)
		got, err := s.Agent(ctx, "A1")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(diff, err)
		}
		if got, err = s.AgentByEmail(ctx, "nobody@v.example", "zoe@V.example"); err != nil || got.Number != "A1" {
			t.Errorf("by mail: %v %v", got, err)
		}
		if _, err := s.AgentByEmail(ctx); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("by no mail: %v", err)
		}
		if _, err := s.AgentByEmail(ctx, ""); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("by an empty mail: %v", err)
		}
		putAgents(t, s, &parvis.Agent{Number: "A2", Email: "zoe@v.example"}, &parvis.Agent{Number: "A3"})
		if _, err := s.AgentByEmail(ctx, "zoe@v.example"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("held by two: %v", err)
		}
	})
}

func TestManyAgentsAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := context.Background()
		var all []*parvis.Agent
		var numbers []parvis.AgentNumber
		for i := range 437 { // not a multiple of anything
			a := &parvis.Agent{Number: parvis.AgentNumber(fmt.Sprintf("A%04d", i)), Unit: "Eau"}
			all, numbers = append(all, a), append(numbers, a.Number)
		}
		putAgents(t, s, all...)
		clock.Move(time.Hour)
		for _, a := range all[:301] {
			a.Unit = "Voirie"
		}
		putAgents(t, s, all...)
		sizes, err := s.UnitSizes(ctx)
		if diff := cmp.Diff(map[parvis.UnitPath]int{"Voirie": 301, "Eau": 136}, sizes); err != nil || diff != "" {
			t.Error(diff, err)
		}
		moved, err := s.Stays(ctx, "A0000")
		now := clock.Now()
		want := []store.UnitStay{{Unit: "Voirie", Since: now}, {Unit: "Eau", Since: now.Add(-time.Hour), Until: now}}
		if diff := cmp.Diff(want, moved); err != nil || diff != "" {
			t.Error(diff, err)
		}
		if stayed, err := s.Stays(ctx, "A0436"); err != nil || len(stayed) != 1 || !stayed[0].Until.IsZero() {
			t.Error(stayed, err)
		}
		err = s.Write(ctx, func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "agent.missing"})
			return tx.FlagMissing(ctx, numbers[1:])
		})
		if err != nil {
			t.Fatal(err)
		}
		missing, err := s.Agents(ctx, store.AgentFilter{Missing: true, After: "A0400"})
		if err != nil || len(missing) != 36 || !missing[0].MissingSince.Equal(now) || missing[0].Number != "A0401" {
			t.Errorf("%d missing, %v", len(missing), err)
		}
	})
}

func TestGrants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := context.Background()
		putAgents(t, s, &parvis.Agent{Number: "A1"}, &parvis.Agent{Number: "A2"})
		err := s.Write(ctx, func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "agent.role_granted"})
			for _, g := range []store.Given{
				{Kind: store.GivenRole, Name: "hr_officer", Units: []parvis.UnitPath{"Eau/Études", "Voirie"}, By: "system"},
				{Kind: store.GivenRole, Name: "auditor", By: "system"},
				{Kind: store.GivenProfile, Name: "executive", By: "system"},
				{Kind: store.GivenEntitlement, Name: "finances", By: "system"},
			} {
				if err := tx.PutGiven(ctx, "A1", g); err != nil {
					return err
				}
			}
			a, err := tx.Agent(ctx, "A1")
			if err == nil && (len(a.Roles) != 2 || a.Roles[0] != "auditor" || a.Profiles[0] != "executive" || a.Entitlements[0] != "finances") {
				t.Errorf("inside: %+v", a)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Write(ctx, func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "agent.role_revoked"})
			for _, want := range []bool{true, false} {
				if had, err := tx.DropGiven(ctx, "A1", store.GivenRole, "auditor"); err != nil || had != want {
					t.Errorf("%v %v", had, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Given(ctx, "A1")
		want := []store.Given{
			{Kind: store.GivenEntitlement, Name: "finances", Units: []parvis.UnitPath{}, Since: clock.Now(), By: "system"},
			{Kind: store.GivenProfile, Name: "executive", Units: []parvis.UnitPath{}, Since: clock.Now(), By: "system"},
			{Kind: store.GivenRole, Name: "hr_officer", Units: []parvis.UnitPath{"Eau/Études", "Voirie"}, Since: clock.Now(), By: "system"},
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(diff, err)
		}
		if other, err := s.Agent(ctx, "A2"); err != nil || other.Roles != nil {
			t.Error(other, err)
		}
	})
}

func TestImportsAreRemembered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := context.Background()
		if _, err := s.LastImport(ctx); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("before: %v", err)
		}
		run := store.Import{
			ID: 1, Digest: "d", By: "operator:anne", Override: "operator:zoe", Began: clock.Now(),
			Lines: 1, Created: 2, Changed: 3, Unchanged: 4, Rejected: 5, Missing: 6, Reappeared: 7, Closing: 8,
		}
		for range 2 {
			if err := s.Write(ctx, func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "hr_file.imported"})
				return tx.PutImport(ctx, run)
			}); err != nil {
				t.Fatal(err)
			}
			got, err := s.LastImport(ctx)
			if diff := cmp.Diff(run, got); err != nil || diff != "" {
				t.Error(diff, err)
			}
			run.Ended, run.Created = clock.Now().Add(time.Minute), 20
		}
	})
}
