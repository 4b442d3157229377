package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/directory"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// A decision is held, and what an application is told of the agent too. What
// another process changes is in force here within the five seconds of
// product.md section 5, without anybody asking.
func TestAnotherProcessChangesTheFacts(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "finances", Upstream: app(t, echo), Headers: true, Entitled: true})
	hours, err := access.OfficeHours("Europe/Paris")
	must(t, err)
	d.Policy, err = access.New(access.Catalog{
		Apps: d.Policy.Apps(), Calendar: hours, Profiles: []parvis.Profile{{ID: parvis.Standard}, {ID: parvis.Executive, Sensitive: true}},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- d.Keeper.Run(ctx) }()
	defer func() {
		cancel()
		must(t, <-stopped)
	}()

	const who, by = parvis.AgentNumber("A100001"), "operator:test"
	elsewhere := storetest.Open(t, d.address, d.clock)
	other := &directory.Directory{Store: elsewhere, Clock: d.clock.Now, Zone: time.UTC}
	absence := func(class parvis.Absence) error {
		a, err := elsewhere.Agent(ctx, who)
		if err != nil {
			return err
		}
		a.Absence, a.AbsenceFrom = class, d.clock.Now().AddDate(0, 0, -1)
		return elsewhere.Write(ctx, func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "agent.changed", Agent: who, Actor: by})
			return tx.PutAgents(ctx, []*parvis.Agent{a})
		})
	}
	must(t, other.Entitle(ctx, who, "finances", by))
	v := d.arrive(parvis.Internal)
	v.enter("finances", "/")
	type look struct {
		open bool
		body string
	}
	within := func(what string, holds func(look) bool) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			res := v.get(d.url(parvis.Internal, "finances", "/"), http.Header{"Accept": {"application/json"}})
			if holds(look{res.StatusCode == http.StatusOK, res.body}) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not in force after five seconds: %d %s", what, res.StatusCode, res.body)
			}
		}
	}
	refused := func(code parvis.ReasonCode) func(look) bool {
		return func(l look) bool { return !l.open && strings.Contains(l.body, string(code)) }
	}
	opens := func(l look) bool { return l.open }
	for _, c := range []struct {
		what       string
		make, undo func() error
		then       func(look) bool
	}{
		{
			"an entitlement taken away", func() error { return other.Disentitle(ctx, who, "finances", by) },
			func() error { return other.Entitle(ctx, who, "finances", by) }, refused(parvis.WhyAppNotAssigned),
		},
		{
			"a profile", func() error { return other.SetProfiles(ctx, who, []parvis.ProfileID{parvis.Executive}, by) },
			func() error { return other.SetProfiles(ctx, who, nil, by) }, refused(parvis.WhyFactorRequired),
		},
		{
			"a change of assignment", func() error { return other.MarkOff(ctx, who, "VILLE/FINANCES", by) },
			func() error { return other.Reactivate(ctx, who, by) }, refused(parvis.WhyAccountOffAssignment),
		},
		{
			"a suspension", func() error { return absence(parvis.PrecautionaryOff) },
			func() error { return absence(parvis.NoAbsence) }, refused(parvis.WhyAccountSuspended),
		},
		{
			"a role", func() error { return other.GrantRole(ctx, who, parvis.RoleAuditor, nil, by) },
			func() error { return other.RevokeRole(ctx, who, parvis.RoleAuditor, by) },
			func(l look) bool { return l.open && strings.Contains(l.body, string(parvis.RoleAuditor)) },
		},
	} {
		within("what was undone before "+c.what, opens)
		must(t, c.make())
		within(c.what, c.then)
		must(t, c.undo())
	}
	within("what was undone last", func(l look) bool { return l.open && !strings.Contains(l.body, string(parvis.RoleAuditor)) })
}
