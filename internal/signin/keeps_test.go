package signin

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/seal"
	"parvis/internal/store/storetest"
)

// The last method stays when something its owner can use demands it, and it is
// said whose rule that is; for whoever nothing demands it of, it goes.
func TestKeeps(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	calendar, err := access.OfficeHours("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	town.hub.Policy, err = access.New(access.Catalog{
		Apps: []parvis.App{
			{ID: "finances", Channels: []parvis.Channel{parvis.Internal}, Entitled: true, Second: true},
			{ID: "social", Channels: []parvis.Channel{parvis.Mobile}, Entitled: true, Second: true, SecondStrength: parvis.PhishingResistant},
			{ID: "intranet", Channels: parvis.Channels()},
			{ID: "plans", Channels: []parvis.Channel{parvis.VPN}, Second: true},
		},
		Profiles: town.hub.Profiles, Calendar: calendar, SecondProofReady: true,
		Sites: map[parvis.Channel]string{parvis.Internal: "agents.localhost", parvis.Mobile: "nomade.localhost"},
	})
	if err != nil {
		t.Fatal(err)
	}
	totp, sms := parvis.Held{ID: "t", Kind: parvis.TOTP}, parvis.Held{ID: "s", Kind: parvis.SMS}
	office, street := parvis.Held{ID: "o", Kind: parvis.Passkey, Site: "agents.localhost"}, parvis.Held{ID: "m", Kind: parvis.Passkey, Site: "nomade.localhost"}
	sheet := parvis.Held{ID: "c", Kind: parvis.RecoveryCode, Left: 3}
	spent := parvis.Held{ID: "c", Kind: parvis.RecoveryCode}
	for name, c := range map[string]struct {
		profiles []parvis.ProfileID
		apps     []parvis.AppID
		devices  []parvis.Device
		passless bool
		held     []parvis.Held
		want     Rule
		kept     bool
	}{
		"nothing demands it":              {held: []parvis.Held{totp}},
		"a browser is no computer":        {held: []parvis.Held{totp}, devices: []parvis.Device{{ID: "b"}}},
		"a computer waits for the VPN":    {held: []parvis.Held{totp}, devices: []parvis.Device{{ID: "b", Pending: true}}, want: Rule{App: "plans"}, kept: true},
		"its profile":                     {held: []parvis.Held{totp, sms}, profiles: []parvis.ProfileID{parvis.ExtendedRights}, kept: true},
		"its profile, with codes left":    {held: []parvis.Held{totp, sheet}, profiles: []parvis.ProfileID{parvis.ExtendedRights}},
		"its profile, no codes left":      {held: []parvis.Held{totp, spent}, profiles: []parvis.ProfileID{parvis.ExtendedRights}, kept: true},
		"an application":                  {held: []parvis.Held{totp}, apps: []parvis.AppID{"finances"}, want: Rule{App: "finances"}, kept: true},
		"an application, a message does":  {held: []parvis.Held{totp, sms}, apps: []parvis.AppID{"finances"}},
		"an application that wants more":  {held: []parvis.Held{street, totp}, apps: []parvis.AppID{"social"}, want: Rule{App: "social"}, kept: true},
		"another key, of another site":    {held: []parvis.Held{street, office, totp}, apps: []parvis.AppID{"social"}, want: Rule{App: "social"}, kept: true},
		"it never met what is demanded":   {held: []parvis.Held{office, totp}, apps: []parvis.AppID{"social"}},
		"the only way in":                 {held: []parvis.Held{street, totp}, passless: true, want: Rule{OnlyWay: true}, kept: true},
		"not the only way in":             {held: []parvis.Held{street, office}, passless: true},
		"of somebody without such rights": {held: []parvis.Held{street}},
	} {
		agent := &parvis.Agent{Number: "A100001", Profiles: c.profiles, Entitlements: c.apps}
		standing := &parvis.Standing{Devices: c.devices}
		if !c.passless {
			standing.PasswordSince = clock.Now().Add(-time.Hour)
		}
		if rule, kept := town.hub.Keeps(agent, standing, c.held, c.held[0].ID); rule != c.want || kept != c.kept {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, rule, kept, c.want, c.kept)
		}
	}
	town.hub.Policy, err = access.New(access.Catalog{Profiles: town.hub.Profiles, Calendar: calendar, SecondProofReady: true})
	if err != nil {
		t.Fatal(err)
	}
	computer := &parvis.Standing{PasswordSince: clock.Now(), Devices: []parvis.Device{{Validated: true}}}
	if rule, kept := town.hub.Keeps(&parvis.Agent{Number: "A100001"}, computer, []parvis.Held{totp}, "t"); !kept || rule != (Rule{Channel: parvis.VPN}) {
		t.Errorf("with a computer for the VPN: %+v, %v", rule, kept)
	}
}

// The act itself: who is asked by nobody removes the last, and comes in with the
// password alone.
func TestRemovalOfTheLast(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	w := town.holder("A100001", office)
	one, _ := town.add(w, "")
	if out := town.act(town.hub.RemoveProof(t.Context(), town.moved(w), one.Held.ID, false)); !out.Done {
		t.Fatalf("%+v", out.Reason)
	}
	town.want(town.sign("A100001", right, In{}), StepDone)
}

// What is said of a code that is not right is about the code that was asked for,
// not always about six digits.
func TestCodesAreNamed(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	town.add(town.holder("A100001", office), "")
	page := town.sign("A100001", right, In{})
	for _, c := range []struct {
		method, typed string
		why           parvis.ReasonCode
		of            any
	}{
		{"totp", "12 34", parvis.WhyCodeLength, nil},
		{"totp", "", parvis.WhyCodeRequired, nil},
		{"totp", "ABCDE-FGHJK", parvis.WhyCodeIncorrect, parvis.TemporaryCode},
		{"totp", "ABCD-EFGH-JKMN-PQRS", parvis.WhyCodeIncorrect, parvis.RecoveryCode},
		{"temporary_code", "ABCD", parvis.WhyCodeLength, parvis.TemporaryCode},
		{"temporary_code", "ABCDE-FGHJK", parvis.WhyCodeIncorrect, parvis.TemporaryCode},
	} {
		asked := page
		if c.method != "totp" {
			asked = town.answer(page, In{Cookie: page.Cookie.Reveal(), Method: c.method})
		}
		out := town.answer(asked, In{Cookie: page.Cookie.Reveal(), Code: seal.Secret(c.typed)})
		if !slices.Contains(codes(out), c.why) || out.Args["code_of"] != c.of || c.of != nil && out.Args["missing"] != nil {
			t.Errorf("%s %q: %q %v", c.method, c.typed, codes(out), out.Args)
		}
	}
}
