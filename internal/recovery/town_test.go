package recovery

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

const good = "une girafe traverse le boulevard"

// town is a desk with everything behind it, and the letters it wrote.
type town struct {
	*testing.T
	desk  *Desk
	store *store.Store
	clock *storetest.Clock
}

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
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{
		parvis.Internal: "http://agents.localhost:8080", parvis.Mobile: "http://nomade.localhost:8081",
	})
	if err != nil {
		t.Fatal(err)
	}
	outbox, err := notify.New(notify.Config{
		Store: s, Keys: keys, Words: words, Clock: clock.Now, From: "parvis@ville.example.org", Lang: text.French,
		SMTP: notify.SMTP{Host: "127.0.0.1", Port: 1, Transport: notify.TransportPlain},
	})
	if err != nil {
		t.Fatal(err)
	}
	desk := &Desk{
		Store: s, Clock: clock.Now, Keys: keys, Outbox: outbox, Addresses: addresses, Floor: -1,
		Vault:    &credential.Vault{Store: s, Keys: keys, Clock: clock.Now},
		Profiles: []parvis.Profile{{ID: parvis.Standard}, {ID: parvis.SocialData, Sensitive: true}},
	}
	return &town{T: t, desk: desk, store: s, clock: clock}
}

func sqlite(t *testing.T) *town {
	t.Helper()
	clock := new(storetest.Clock)
	return open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
}

func (t *town) agent(number parvis.AgentNumber, change func(*parvis.Agent)) {
	t.Helper()
	a := &parvis.Agent{
		Number: number, FamilyName: "Martin", GivenNames: "Alex", Unit: "DIR/SRV", Employer: "21750001600019",
		ContractFrom: t.clock.Now().AddDate(0, 0, 7), Email: strings.ToLower(string(number)) + "@ville.example.org",
	}
	if change != nil {
		change(a)
	}
	ctx := t.Context()
	err := t.store.Write(ctx, func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "agent.imported", Agent: number, Actor: "system"})
		return tx.PutAgents(ctx, []*parvis.Agent{a})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func at(address string) parvis.Origin {
	return parvis.Origin{Channel: parvis.Mobile, Address: address}
}

func (t *town) start(number, email, address string) Answer {
	t.Helper()
	answer, err := t.desk.Start(t.Context(), Pair{AgentNumber: number, Email: email, Origin: at(address), Lang: text.French})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// issue hands over a code.
func (t *town) issue(number parvis.AgentNumber) string {
	t.Helper()
	code, _, err := t.desk.Issue(t.Context(), number, "operator:ines")
	if err != nil {
		t.Fatal(err)
	}
	return code.Reveal()
}

func (t *town) redeem(r Redemption) Redeemed {
	t.Helper()
	if r.Origin.Channel == "" {
		r.Origin = at("198.51.100.1")
	}
	out, err := t.desk.Redeem(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if out.SignIn || (out.Cookie != "") == (len(out.Reasons) > 0) {
		t.Fatalf("a cookie and reasons, or neither: %v", out.Reasons)
	}
	return out
}

func (t *town) refused(r Redemption, want parvis.ReasonCode) parvis.Reason {
	t.Helper()
	out := t.redeem(r)
	if len(out.Reasons) != 1 || out.Reasons[0].Code != want {
		t.Fatalf("reasons %v, want %s", out.Reasons, want)
	}
	return out.Reasons[0]
}

func (t *town) set(cookie seal.Secret, password string) (Stored, error) {
	t.Helper()
	return t.desk.SetPassword(context.WithoutCancel(t.Context()), cookie, seal.Secret(password), at("198.51.100.1"), text.French)
}

func (t *town) mails(number parvis.AgentNumber) []string {
	t.Helper()
	all, err := t.store.Messages(t.Context(), number, 50)
	if err != nil {
		t.Fatal(err)
	}
	var templates []string
	for _, m := range all {
		templates = append(templates, m.Template+" "+m.To)
	}
	slices.Sort(templates)
	return templates
}

func (t *town) events(kind string) []parvis.Event {
	t.Helper()
	var all []parvis.Event
	if err := t.store.EachEvent(t.Context(), 0, func(e parvis.Event) error {
		if e.Kind == kind {
			all = append(all, e)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}
