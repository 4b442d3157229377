package signin

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

// town is a door with everything behind it.
type town struct {
	*testing.T
	hub   *Hub
	store *store.Store
	clock *storetest.Clock

	phones pocket
}

const (
	right = "une girafe traverse le boulevard"
	fresh = "quatre nuages au bord du canal"
)

func open(t *testing.T, s *store.Store, clock *storetest.Clock) *town {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	keys, err := seal.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	words, err := text.Load()
	if err != nil {
		t.Fatal(err)
	}
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{
		parvis.Internal: "http://agents.localhost:8080", parvis.Mobile: "http://nomade.localhost:8081",
	})
	if err != nil {
		t.Fatal(err)
	}
	phones := make(pocket, 64)
	outbox, err := notify.New(notify.Config{
		Store: s, Keys: keys, Words: words, Clock: clock.Now, From: "parvis@ville.example.org", Lang: text.French, Zone: paris,
		SMTP: notify.SMTP{Host: "127.0.0.1", Port: 1, Transport: notify.TransportPlain}, SMS: []notify.Sender{phones},
	})
	if err != nil {
		t.Fatal(err)
	}
	hub := &Hub{
		Store: s, Clock: clock.Now, Keys: keys, Outbox: outbox,
		Directory: &directory.Directory{Store: s, Clock: clock.Now, Zone: paris},
		Vault:     &credential.Vault{Store: s, Keys: keys, Clock: clock.Now},
		Keeper:    &session.Keeper{Store: s, Keys: keys, Addresses: addresses, Clock: clock.Now},
		Profiles: []parvis.Profile{
			{ID: parvis.Standard, RememberDays: 30},
			{ID: parvis.ExtendedRights, Sensitive: true, PasswordDays: 365},
		},
		Domains: []string{"ville.example.org"},
		SMS:     true, Issuer: "Ville d'Exemple",
	}
	calendar, err := access.OfficeHours("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	hub.Policy, err = access.New(access.Catalog{
		Profiles: hub.Profiles, Calendar: calendar, SecondProofReady: true,
		Sites: map[parvis.Channel]string{parvis.Internal: "agents.localhost", parvis.Mobile: "nomade.localhost"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &town{T: t, hub: hub, store: s, clock: clock, phones: phones}
}

// pocket is where telephones ring.
type pocket chan notify.SMS

func (p pocket) Send(_ context.Context, m notify.SMS) (string, error) {
	p <- m
	return m.ID, nil
}

// agent puts somebody in the town, with a password unless it is empty.
func (t *town) agent(number parvis.AgentNumber, password string, change func(*parvis.Agent)) {
	t.Helper()
	a := &parvis.Agent{
		Number: number, FamilyName: "Martin", GivenNames: "Alex", Unit: "DIR/SRV", Employer: "21750001600019",
		ContractFrom: t.clock.Now().AddDate(-1, 0, 0), Email: strings.ToLower(string(number)) + "@ville.example.org",
	}
	if change != nil {
		change(a)
	}
	ctx := t.Context()
	var hashed credential.Hashed
	if password != "" {
		var err error
		if hashed, err = t.hub.Vault.Hash(ctx, seal.Secret(password)); err != nil {
			t.Fatal(err)
		}
	}
	err := t.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.PutAgents(ctx, []*parvis.Agent{a}); err != nil {
			return err
		}
		for _, p := range a.Profiles {
			if err := tx.PutGiven(ctx, number, store.Given{Kind: store.GivenProfile, Name: string(p), By: "system", Since: tx.Now()}); err != nil {
				return err
			}
		}
		tx.Record(parvis.Event{Kind: "agent.imported", Agent: number, Actor: "system"})
		if password == "" {
			return nil
		}
		return t.hub.Vault.SetPassword(ctx, tx, number, hashed, t.hub.demands(a).PasswordDays)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// from is a stranger's browser; each test chooses another address, so that the
// limits by address do not meet.
func from(address string) parvis.Origin {
	return parvis.Origin{Channel: parvis.Mobile, Address: address}
}

func (t *town) advance(in In) Outcome {
	t.Helper()
	if in.Origin.Channel == "" {
		in.Origin = from("198.51.100.1")
	}
	if in.Browser == "" {
		in.Browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	}
	out, err := t.hub.Advance(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sign goes through the door in two pages.
func (t *town) sign(identifier, password string, in In) Outcome {
	t.Helper()
	in.Posted, in.Identifier = true, identifier
	out := t.advance(in)
	if out.Step != StepSecret || out.Identifier != identifier || len(out.Reasons) != 0 {
		t.Fatalf("after the identifier: %+v", out)
	}
	in.Flow, in.Identifier, in.Password = out.Flow, "", seal.Secret(password)
	return t.advance(in)
}

func codes(out Outcome) []parvis.ReasonCode {
	var all []parvis.ReasonCode
	for _, r := range out.Reasons {
		all = append(all, r.Code)
	}
	return all
}

func (t *town) want(out Outcome, step Step, reasons ...parvis.ReasonCode) {
	t.Helper()
	if out.Step != step || !slices.Equal(codes(out), reasons) {
		t.Fatalf("step %s %q, want %s %q", out.Step, codes(out), step, reasons)
	}
	if (out.Session.Agent != "") != (step == StepDone) {
		t.Fatalf("a session of %q at step %s", out.Session.Agent, step)
	}
}

func (t *town) mails(number parvis.AgentNumber) []string {
	t.Helper()
	all, err := t.store.Messages(t.Context(), number, 50)
	if err != nil {
		t.Fatal(err)
	}
	var templates []string
	for _, m := range all {
		templates = append(templates, m.Template)
	}
	slices.Sort(templates)
	return templates
}

func (t *town) events(kind string) []parvis.Event {
	t.Helper()
	var all []parvis.Event
	err := t.store.EachEvent(t.Context(), 0, func(e parvis.Event) error {
		if e.Kind == kind {
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
