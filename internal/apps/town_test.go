package apps

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/directory"
	"parvis/internal/helpdesk"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// town is a city with one agent and a few applications.
type town struct {
	*Door
	t     testing.TB
	store *store.Store
	clock *storetest.Clock
	apps  []parvis.App
}

const zoe parvis.AgentNumber = "A100001"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func named(a parvis.App) parvis.App {
	a.Name = parvis.Words{FR: string(a.ID), EN: string(a.ID)}
	if a.Channels == nil {
		a.Channels = parvis.Channels()
	}
	return a
}

func policy(all []parvis.App) (*access.Policy, error) {
	hours, err := access.OfficeHours("Europe/Paris")
	if err != nil {
		return nil, err
	}
	return access.New(access.Catalog{
		Apps: all, Calendar: hours, Profiles: []parvis.Profile{{ID: parvis.Standard}}, SecondProofReady: true,
	})
}

func newTown(t testing.TB, s *store.Store, clock *storetest.Clock, all ...parvis.App) *town {
	t.Helper()
	for i := range all {
		all[i] = named(all[i])
	}
	keys, err := seal.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	must(t, err)
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{parvis.Internal: "http://agents.localhost", parvis.Mobile: "http://nomade.localhost"})
	must(t, err)
	p, err := policy(all)
	must(t, err)
	tn := &town{t: t, store: s, clock: clock, apps: all, Door: &Door{
		Policy: p, Held: access.NewHeld(0), Keys: keys, Clock: clock.Now, SIRET: "217 500 016 00019",
		Directory: &directory.Directory{Store: s, Clock: clock.Now, Zone: time.UTC},
		Sessions:  &session.Keeper{Store: s, Keys: keys, Addresses: addresses, Clock: clock.Now, Log: storetest.Logger(t)},
		Counter:   &helpdesk.Counter{Store: s, Clock: clock.Now},
	}}
	tn.agent(func(*parvis.Agent) {})
	tn.write("password.changed", func(tx *store.Tx) error {
		return tx.PutPassword(t.Context(), store.Password{Agent: zoe, PHC: "$none$", Since: clock.Now()})
	})
	return tn
}

func (tn *town) write(kind string, f func(tx *store.Tx) error) {
	tn.t.Helper()
	must(tn.t, tn.store.Write(context.Background(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: kind, Agent: zoe, Actor: "system"})
		return f(tx)
	}))
}

// agent writes the agent again, otherwise.
func (tn *town) agent(change func(*parvis.Agent)) {
	tn.t.Helper()
	a := &parvis.Agent{
		Number: zoe, GivenNames: "Zoé", FamilyName: "Müller-Lefèvre", Email: "zoe@example.org", Unit: "VILLE/DRH",
		ContractFrom: tn.clock.Now().AddDate(-1, 0, 0), Employer: "21750001600019", Category: "tenured",
	}
	change(a)
	tn.write("agent.imported", func(tx *store.Tx) error { return tx.PutAgents(context.Background(), []*parvis.Agent{a}) })
}

// begin opens a session with what was shown.
func (tn *town) begin(c parvis.Channel, kinds ...parvis.ProofKind) parvis.Session {
	tn.t.Helper()
	var s parvis.Session
	tn.write("sign_in.ok", func(tx *store.Tx) error {
		b := session.Beginning{Agent: zoe, Origin: parvis.Origin{Channel: c, Address: "192.0.2.7"}, Browser: "Firefox"}
		for _, k := range append([]parvis.ProofKind{parvis.Password}, kinds...) {
			b.Proofs = append(b.Proofs, parvis.Proof{Kind: k, At: tx.Now()})
		}
		var err error
		_, s, err = tn.Sessions.Begin(tx, b)
		return err
	})
	return s
}

func (tn *town) ask(s parvis.Session, c parvis.Channel, app parvis.AppID, tried bool) Answer {
	tn.t.Helper()
	a, err := tn.Ask(tn.t.Context(), Question{Session: s, Origin: parvis.Origin{Channel: c, Address: "192.0.2.7"}, App: app, Path: "/authorize?scope=openid", Tried: tried})
	must(tn.t, err)
	return a
}

func (tn *town) refusals() (n int) {
	tn.t.Helper()
	events, err := tn.store.Events(context.Background(), store.EventFilter{Limit: 1000})
	must(tn.t, err)
	for i := range events {
		if events[i].Kind == "app.refused" {
			n++
		}
	}
	return n
}
