package access

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parvis"
)

// bigCity has 600 applications and 60 rules of its own: 20 for one application
// each, 20 for a unit or a profile, 20 for everybody.
func bigCity(b *testing.B) *Policy {
	b.Helper()
	c := city(b)
	for i := len(c.Apps); i < 600; i++ {
		app := c.Apps[i%7]
		app.ID = parvis.AppID(fmt.Sprintf("app-%d", i))
		c.Apps = append(c.Apps, app)
	}
	var text strings.Builder
	for i := range 20 {
		fmt.Fprintf(&text, "@id(%q) @reason(\"channel_not_allowed_profile\") forbid (principal in Profile::\"extended_rights\", action, resource == Application::\"app-%d\") when { context.channel == \"mobile\" };\n", fmt.Sprint("one.", i), 100+i)
		fmt.Fprintf(&text, "@id(%q) @reason(\"app_maintenance\") forbid (principal in Unit::\"ville/u%d\", action, resource) when { principal.category == \"external\" && !context.device_known };\n", fmt.Sprint("unit.", i), i)
		fmt.Fprintf(&text, "@id(%q) @reason(\"policy_locked\") forbid (principal, action, resource) when { principal.job == \"J%d\" && context.channel == \"mobile\" && context.second_shown == 0 };\n", fmt.Sprint("all.", i), i)
	}
	return mustNew(b, c, Source{Name: "big.cedar", Text: []byte(text.String())})
}

func officeRequest(app parvis.AppID, c parvis.Channel) Request {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	return Request{
		Agent: &parvis.Agent{
			Number: "A100001", Unit: "ville/finances/budget/execution", Employer: "21750001600019", Category: "tenured", JobCode: "A042",
			ContractFrom: at.AddDate(-3, 0, 0), Entitlements: []parvis.AppID{"finances", "social", "urbanisme"},
		},
		Standing: &parvis.Standing{Activated: true, VerifierLinked: true, Enrolled: []parvis.ProofKind{parvis.Password, parvis.TOTP}},
		App:      app, Channel: c, At: at,
		Proofs: []parvis.Proof{{Kind: parvis.Password, At: at}, {Kind: parvis.TOTP, At: at}},
	}
}

func BenchmarkDecideCold(b *testing.B) {
	p := bigCity(b)
	for _, app := range []parvis.AppID{"paie", "finances", "urbanisme"} {
		r := officeRequest(app, parvis.Internal)
		b.Run(string(app), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := p.Decide(r); !d.Open {
					b.Fatal(d.Codes())
				}
			}
		})
	}
}

func BenchmarkHeld(b *testing.B) {
	p, h := bigCity(b), NewHeld(0)
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	keys := make([]HeldKey, 1<<15)
	for i := range keys {
		keys[i], _ = p.HeldKey(sessionNumber(i), "paie", parvis.Internal)
		h.Keep(keys[i], 1, h.Generation(), now, now.Add(time.Hour))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h.Lookup(keys[i&(len(keys)-1)], 1, now)
		i += 7919
	}
}

func BenchmarkWays(b *testing.B) {
	p := bigCity(b)
	few := officeRequest("finances", parvis.Mobile)
	few.Standing = &parvis.Standing{Activated: true, VerifierLinked: true}
	few.Proofs = few.Proofs[:1]
	worst := officeRequest("social", parvis.Mobile)
	worst.Agent = &parvis.Agent{
		Number: "A1", Unit: "ville", Profiles: []parvis.ProfileID{parvis.SocialData}, OffSince: worst.At.AddDate(0, -1, 0),
		Absence: parvis.ParentalLeave, AbsenceFrom: worst.At.AddDate(0, -1, 0), AbsenceUntil: worst.At.AddDate(0, 1, 0),
		ContractFrom: worst.At.AddDate(-1, 0, 0), ContractUntil: worst.At.AddDate(0, 0, -10),
	}
	worst.Standing = &parvis.Standing{PasswordLeaked: true, PasswordExpires: worst.At, LockedUntil: worst.At.Add(time.Hour)}
	worst.Proofs = nil
	for name, r := range map[string]Request{"few": few, "everything": worst} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := p.Explain(r); d.Open {
					b.Fatal("open")
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		bigCity(b)
	}
}
