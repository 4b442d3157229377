package access

import (
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

// people are agents of a city, by what they hold.
func people(at time.Time) map[parvis.AgentNumber]*parvis.Standing {
	device := parvis.Device{ID: "d", Validated: true}
	return map[parvis.AgentNumber]*parvis.Standing{
		"A1": {Activated: true, VerifierLinked: true},
		"A2": {Activated: true, VerifierLinked: true, Enrolled: []parvis.ProofKind{parvis.SMS}},
		"A3": {Activated: true, VerifierLinked: true, Enrolled: []parvis.ProofKind{parvis.TOTP, parvis.RecoveryCode}, Devices: []parvis.Device{device}},
		"A4": {Activated: true, Enrolled: []parvis.ProofKind{parvis.Passkey}, Sites: []string{"ville.test"}},
		"A5": {},
	}
}

func impact(t *testing.T, before, after *Policy, at time.Time) (*Impact, []parvis.AppID) {
	t.Helper()
	i := NewImpact(before, after, at)
	all := people(at)
	for _, n := range []parvis.AgentNumber{"A1", "A2", "A3", "A4", "A5"} {
		a := &parvis.Agent{Number: n, Unit: "ville", ContractFrom: at.AddDate(-1, 0, 0), Entitlements: []parvis.AppID{"finances", "social"}}
		if n == "A5" {
			a.DeceasedOn = at.AddDate(0, 0, -1)
		}
		i.Add(a, all[n])
	}
	return i, i.Finish()
}

// drafted is a draft, and what must be said of it.
type drafted struct {
	name      string
	draft     func(*Catalog)
	own       string
	effects   []Effect
	deadlines []Deadline
	closed    []parvis.AppID
	stranded  []parvis.AgentNumber
}

// threeApps is the city with annuaire, finances and social only, in that order.
func threeApps(t *testing.T) Catalog {
	t.Helper()
	c := city(t)
	c.Apps = slices.DeleteFunc(c.Apps, func(a parvis.App) bool {
		return !slices.Contains([]parvis.AppID{"annuaire", "finances", "social"}, a.ID)
	})
	return c
}

func (x *drafted) check(t *testing.T) {
	t.Helper()
	c, draft := threeApps(t), threeApps(t)
	if x.draft != nil {
		x.draft(&draft)
	}
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, c.Calendar.Zone)
	i, closed := impact(t, mustNew(t, c), mustNew(t, draft, Source{"own.cedar", []byte(x.own)}), at)
	if i.Agents != 5 {
		t.Errorf("%s: %d agents", x.name, i.Agents)
	}
	if diff := cmp.Diff(append([]Effect{}, x.effects...), i.Effects); diff != "" {
		t.Errorf("%s: %s", x.name, diff)
	}
	if diff := cmp.Diff(x.deadlines, i.Deadlines); diff != "" {
		t.Errorf("%s: %s", x.name, diff)
	}
	if diff := cmp.Diff(x.stranded, i.Stranded); diff != "" {
		t.Errorf("%s: stranded: %s", x.name, diff)
	}
	if diff := cmp.Diff(x.closed, closed); diff != "" {
		t.Errorf("%s: closed: %s", x.name, diff)
	}
}

func numbers(all ...parvis.AgentNumber) []parvis.AgentNumber { return all }

func TestWhoGainsAndWhoLoses(t *testing.T) {
	december := time.Date(2026, 12, 1, 0, 0, 0, 0, city(t).Calendar.Zone)
	for _, x := range []drafted{
		{name: "nothing"},
		{
			name:  "text messages no longer do for finances, and the directory is whole for nobody outside",
			draft: func(c *Catalog) { c.Apps[1].SecondStrength = parvis.NoSMS; c.Apps[0].Channels = c.Apps[0].Channels[:2] },
			effects: []Effect{
				{App: "annuaire", Channel: parvis.Mobile, Lose: numbers("A1", "A2", "A3", "A4")},
				{App: "finances", Channel: parvis.Internal, Lose: numbers("A2")},
				{App: "finances", Channel: parvis.VPN, Lose: numbers("A2")},
			},
		},
		{
			name:  "the directory is whole everywhere, finances ask nothing at the office",
			draft: func(c *Catalog) { c.Apps[0].Reduced = nil; c.Apps[1].Second = false },
			effects: []Effect{
				{App: "annuaire", Channel: parvis.Mobile, Gain: numbers("A1", "A2", "A3", "A4")},
				{App: "finances", Channel: parvis.Internal, Gain: numbers("A1")},
			},
		},
		{
			name: "everybody loses finances, but a passkey is a way",
			draft: func(c *Catalog) {
				c.Apps[1].SecondStrength = parvis.PhishingResistant
				c.Sites = map[parvis.Channel]string{parvis.Internal: "new.test"}
			},
			effects: []Effect{
				{App: "annuaire", Channel: parvis.VPN, Lose: numbers("A4")},
				{App: "finances", Channel: parvis.Internal, Lose: numbers("A2", "A3", "A4")},
				{App: "finances", Channel: parvis.VPN, Lose: numbers("A2", "A3", "A4")},
				{App: "social", Channel: parvis.Internal, Lose: numbers("A4")},
			},
		},
		{
			name: "demands are announced",
			draft: func(c *Catalog) {
				c.Profiles[0].Second = map[parvis.Channel]parvis.Demand{
					parvis.Internal: {Strength: parvis.PhishingResistant, From: december.AddDate(0, 1, 0)},
					parvis.Mobile:   {Strength: parvis.NoSMS, From: december},
				}
			},
			deadlines: []Deadline{
				{Channel: parvis.Mobile, Demand: parvis.Demand{Strength: parvis.NoSMS, From: december}, NotReady: numbers("A1", "A2")},
				{Channel: parvis.Internal, Demand: parvis.Demand{Strength: parvis.PhishingResistant, From: december.AddDate(0, 1, 0)}, NotReady: numbers("A1", "A2", "A3")},
			},
		},
	} {
		x.check(t)
	}
}

// What closes the last way of all, or all ways of one, is said by name.
func TestDraftsThatMustNotBePublished(t *testing.T) {
	for _, x := range []drafted{
		{
			name:  "an application goes and another comes",
			draft: func(c *Catalog) { c.Apps[2] = parvis.App{ID: "agenda", Channels: []parvis.Channel{parvis.Internal}} },
			effects: []Effect{
				{App: "social", Channel: parvis.Internal, Lose: numbers("A2", "A3", "A4")},
				{App: "social", Channel: parvis.VPN, Lose: numbers("A3")},
				{App: "agenda", Channel: parvis.Internal, Gain: numbers("A1", "A2", "A3", "A4")},
			},
			closed: []parvis.AppID{"social"},
		},
		{
			name: "an application closes for everybody",
			own:  `@id("shut") @reason("app_maintenance") forbid (principal, action, resource == Application::"finances");`,
			effects: []Effect{
				{App: "finances", Channel: parvis.Internal, Lose: numbers("A2", "A3", "A4")},
				{App: "finances", Channel: parvis.VPN, Lose: numbers("A2", "A3", "A4")},
			},
			closed: []parvis.AppID{"finances"},
		},
		{
			name: "one person is shut out of everything",
			own:  `@id("shut") @reason("policy_locked") forbid (principal == Agent::"A1", action, resource);`,
			effects: []Effect{
				{App: "annuaire", Channel: parvis.Internal, Lose: numbers("A1")},
				{App: "annuaire", Channel: parvis.Mobile, Lose: numbers("A1")},
			},
			stranded: numbers("A1"),
		},
		{
			name: "a passkey is demanded where none can be shown",
			draft: func(c *Catalog) {
				c.Sites = map[parvis.Channel]string{}
				c.Profiles[0].Second = map[parvis.Channel]parvis.Demand{"": {Strength: parvis.PhishingResistant}}
			},
			effects: []Effect{
				{App: "annuaire", Channel: parvis.Internal, Lose: numbers("A1", "A2", "A3", "A4")},
				{App: "annuaire", Channel: parvis.VPN, Lose: numbers("A2", "A3", "A4")},
				{App: "annuaire", Channel: parvis.Mobile, Lose: numbers("A1", "A2", "A3", "A4")},
				{App: "finances", Channel: parvis.Internal, Lose: numbers("A2", "A3", "A4")},
				{App: "finances", Channel: parvis.VPN, Lose: numbers("A2", "A3", "A4")},
				{App: "social", Channel: parvis.Internal, Lose: numbers("A2", "A3", "A4")},
				{App: "social", Channel: parvis.VPN, Lose: numbers("A3")},
			},
			closed:   []parvis.AppID{"annuaire", "finances", "social"},
			stranded: numbers("A1", "A2", "A3", "A4"),
		},
	} {
		x.check(t)
	}
}

func TestShippedCasesAreThere(t *testing.T) {
	all, err := ShippedCases()
	if err != nil || len(all) < 3 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	c := city(t)
	for _, src := range all {
		if cases, err := ParseCases(src.Name, src.Text, c); err != nil || len(cases) == 0 {
			t.Errorf("%s: %d cases, %v", src.Name, len(cases), err)
		}
	}
	for name, files := range map[string]fstest.MapFS{"no folder": {}, "a folder in it": {"testdata/decisions/more/a.txt": {}}} {
		if _, err := casesOf(files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
