package apps

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestAsk(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		tn := newTown(t, s, clock,
			parvis.App{ID: "agenda", Reduced: []parvis.Channel{parvis.Mobile}},
			parvis.App{ID: "finances", Entitled: true},
			parvis.App{ID: "urbanisme", Channels: []parvis.Channel{parvis.Internal}},
			parvis.App{ID: "social", Second: true},
			parvis.App{ID: "coffre", Second: true, SecondStrength: parvis.PhishingResistant},
			parvis.App{ID: "paie", OfficeHours: true})
		in := tn.begin(parvis.Mobile)

		a := tn.ask(in, parvis.Mobile, "agenda", false)
		if !a.Decision.Open || !a.Decision.Limited || a.Agent == nil || a.Agent.Number != zoe || a.Standing == nil || !a.Standing.Activated || a.Reference != "" {
			t.Errorf("the reduced calendar: %+v", a)
		}
		if again := tn.ask(in, parvis.Mobile, "agenda", false); !again.Decision.Open || !again.Decision.Limited || again.Agent == nil {
			t.Errorf("as it is held: %+v", again)
		}
		open := tn.ask(in, parvis.Mobile, "paie", false)
		if !open.Decision.Open || open.Decision.Until.IsZero() {
			t.Errorf("during office hours: %+v", open.Decision)
		}

		if n := tn.refusals(); n != 0 {
			t.Fatalf("%d refusals before any", n)
		}
		a = tn.ask(in, parvis.Mobile, "urbanisme", false)
		if a.Decision.Open || !a.Decision.Has(parvis.WhyChannelNotAllowed) || len(a.Decision.Ways) == 0 || a.Reference == "" || a.Prove != "" {
			t.Errorf("the wrong entrance: %+v", a)
		}
		kept, err := tn.Counter.Look(t.Context(), string(a.Reference))
		must(t, err)
		if kept.App != "urbanisme" || kept.Agent != zoe || kept.Path != "/authorize" || kept.Facts.State != parvis.Active || len(kept.Facts.Proofs) != 1 {
			t.Errorf("kept %+v", kept)
		}
		if a = tn.ask(in, parvis.Mobile, "finances", false); !a.Decision.Has(parvis.WhyAppNotAssigned) || a.Reference == "" {
			t.Errorf("without the right: %+v", a)
		}

		// What the agent can do away with by a proof is not a refusal yet.
		tn.write("factor.enrolled", func(tx *store.Tx) error { return enrol(t, tx, clock) })
		before := tn.refusals()
		a = tn.ask(in, parvis.Internal, "social", false)
		if a.Decision.Open || a.Prove != "eidas1-mfa" || a.Reference != "" || tn.refusals() != before {
			t.Errorf("a second proof away: %+v, %d refusals", a, tn.refusals()-before)
		}
		a = tn.ask(in, parvis.Internal, "social", true)
		if a.Prove != "" || a.Reference == "" || tn.refusals() != before+1 {
			t.Errorf("and it was not shown: %+v", a)
		}
		a = tn.ask(in, parvis.Internal, "coffre", false)
		if a.Decision.Open || a.Prove == "eidas1-mfa" {
			t.Errorf("a passkey away: %+v", a)
		}
		proved := tn.begin(parvis.Internal, parvis.TOTP)
		if a = tn.ask(proved, parvis.Internal, "social", false); !a.Decision.Open {
			t.Errorf("with the second proof: %v", a.Decision.Codes())
		}

		_, err = tn.Ask(t.Context(), Question{Session: in, Origin: parvis.Origin{Channel: parvis.Mobile}, App: "inconnue"})
		if parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("an unknown application: %v", err)
		}
		ghost := in
		ghost.Agent = "A999999"
		if a = tn.ask(ghost, parvis.Mobile, "agenda", false); a.Decision.Open || a.Reference == "" {
			t.Errorf("somebody nobody knows: %+v", a.Decision)
		}
	})
}

func enrol(t *testing.T, tx *store.Tx, clock *storetest.Clock) error {
	t.Helper()
	return tx.PutHeld(t.Context(), store.HeldRow{Held: parvis.Held{ID: "f1", Agent: zoe, Kind: parvis.TOTP, Name: "phone", Since: clock.Now()}, Secret: []byte("sealed")})
}

// grant is what an application was given in a session.
func (tn *town) grant(s parvis.Session, app parvis.AppID) store.Grant {
	return store.Grant{ID: "g-" + string(app), Protocol: parvis.OIDC, App: app, Agent: s.Agent, Session: s.ID, Channel: s.Channel, Began: tn.clock.Now()}
}

func (tn *town) still(g store.Grant, shown ...parvis.Proof) (bool, time.Time, parvis.Decision) {
	tn.t.Helper()
	open, until, said, err := tn.Still(context.Background(), g, shown...)
	must(tn.t, err)
	return open, until, said
}

// What an application was given stops as the rules say, not as its token does.
func TestStill(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		tn := newTown(t, s, clock, parvis.App{ID: "agenda"}, parvis.App{ID: "paie", OfficeHours: true}, parvis.App{ID: "social", Second: true, ProofMaxAge: 900})
		in := tn.begin(parvis.Mobile)
		agenda := tn.grant(in, "agenda")
		refused := func(what string, g store.Grant, why parvis.ReasonCode) {
			t.Helper()
			open, until, said := tn.still(g)
			if open || !until.IsZero() || !said.Has(why) {
				t.Errorf("%s: open=%v until %v, %v", what, open, until, said.Codes())
			}
		}

		open, until, said := tn.still(agenda)
		if !open || !said.Open || !until.Equal(in.Idle) {
			t.Errorf("open=%v until %v, not %v", open, until, in.Idle)
		}
		short := agenda
		short.Expires = clock.Now().Add(time.Minute)
		if _, until, _ = tn.still(short); !until.Equal(short.Expires) {
			t.Errorf("until %v, after the end of the grant itself", until)
		}
		short.Expires = clock.Now()
		refused("an expired grant", short, parvis.WhySessionExpired)
		ended := agenda
		ended.Ended = clock.Now()
		refused("an ended grant", ended, parvis.WhySessionExpired)
		other := agenda
		other.Agent = "A100002"
		refused("a grant of somebody else in this session", other, parvis.WhySessionExpired)
		never := agenda
		never.App = "inconnue"
		refused("an application that is gone", never, parvis.WhyNotFound)

		if open, _, _ := tn.still(tn.grant(in, "paie")); !open {
			t.Error("refused during office hours")
		}
		clock.Set(time.Date(2026, 3, 2, 18, 30, 0, 0, time.UTC)) // 19:30 in Paris
		evening := tn.begin(parvis.Mobile)
		if _, until, _ := tn.still(tn.grant(evening, "paie")); !until.Equal(time.Date(2026, 3, 2, 19, 0, 0, 0, time.UTC)) && !until.Equal(evening.Idle) {
			t.Errorf("until %v", until)
		}
		clock.Move(30*time.Minute - time.Second)
		late := tn.begin(parvis.Mobile)
		paie := tn.grant(late, "paie")
		if open, _, _ := tn.still(paie); !open {
			t.Error("refused a second before closing")
		}
		clock.Move(time.Second)
		refused("the offices closed", paie, parvis.WhyChannelClosed)

		mobile := tn.grant(late, "agenda")
		shut := append([]parvis.App(nil), tn.apps...)
		shut[0].Channels = []parvis.Channel{parvis.Internal}
		next, err := policy(shut)
		must(t, err)
		tn.Policy.Replace(next)
		refused("the entrance was closed", mobile, parvis.WhyChannelNotAllowed)
		back, err := policy(tn.apps)
		must(t, err)
		tn.Policy.Replace(back)
		if open, _, _ := tn.still(mobile); !open {
			t.Error("and opened again")
		}

		tn.agent(func(a *parvis.Agent) {
			a.Absence, a.AbsenceFrom = parvis.PrecautionaryOff, clock.Now().Add(-time.Hour)
		})
		refused("the agent was suspended", mobile, parvis.WhyAccountSuspended)
		if _, _, said := tn.still(mobile); len(said.Ways) == 0 {
			t.Error("a refusal without its ways")
		}
		tn.agent(func(*parvis.Agent) {})
		if open, _, _ := tn.still(mobile); !open {
			t.Error("and came back")
		}

		tn.write("sign_out", func(tx *store.Tx) error { return tn.Sessions.End(tx, late.ID, "sign_out") })
		refused("the session ended", mobile, parvis.WhySessionExpired)
	})
}

// A grant that outlives its session is decided all the same, with what had been
// shown, which grows old.
func TestStillOffline(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		tn := newTown(t, s, clock, parvis.App{ID: "agenda"}, parvis.App{ID: "social", Second: true}, parvis.App{ID: "coffre", Second: true, ProofMaxAge: 900})
		in := tn.begin(parvis.Internal, parvis.TOTP)
		offline := func(app parvis.AppID) store.Grant {
			g := tn.grant(in, app)
			g.Offline = true
			return g
		}
		tn.write("sign_out", func(tx *store.Tx) error { return tn.Sessions.End(tx, in.ID, "sign_out") })
		if open, until, _ := tn.still(offline("social"), in.Proofs...); !open || !until.IsZero() {
			t.Errorf("with what had been shown: open=%v until %v", open, until)
		}
		if open, _, _ := tn.still(offline("social"), in.Proofs[:1]...); open {
			t.Error("open with a second proof that was never shown")
		}
		if open, _, _ := tn.still(offline("agenda")); open {
			t.Error("open with nothing shown at all")
		}
		if open, until, _ := tn.still(offline("coffre"), in.Proofs...); !open || !until.Equal(in.Began.Add(15*time.Minute)) {
			t.Errorf("a proof that grows old: open=%v until %v", open, until)
		}
		clock.Move(15 * time.Minute)
		if open, _, said := tn.still(offline("coffre"), in.Proofs...); open || !said.Has(parvis.WhyStepUpRequired) {
			t.Errorf("a proof that grew old: open=%v %v", open, said.Codes())
		}
		tn.agent(func(a *parvis.Agent) { a.ContractUntil = clock.Now().AddDate(0, -6, 0) })
		if open, _, said := tn.still(offline("social"), in.Proofs...); open || !said.Has(parvis.WhyAccountClosed) {
			t.Errorf("who left: open=%v %v", open, said.Codes())
		}
	})
}

// When the sessions cannot be read nothing is known, and nothing has ended.
func TestStillWithoutStore(t *testing.T) {
	clock := new(storetest.Clock)
	s, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "p.db"), Clock: clock.Now, Log: storetest.Logger(t)})
	must(t, err)
	tn := newTown(t, s, clock, parvis.App{ID: "agenda"})
	in := tn.begin(parvis.Mobile)
	other := &session.Keeper{Store: s, Keys: tn.Keys, Addresses: tn.Sessions.Addresses, Clock: clock.Now, Log: storetest.Logger(t)}
	tn.Sessions = other // which holds nothing in memory
	must(t, s.Close())
	for name, g := range map[string]store.Grant{"of a session": tn.grant(in, "agenda"), "offline": {App: "agenda", Agent: zoe, Session: in.ID, Channel: parvis.Mobile, Offline: true}} {
		if open, _, said, err := tn.Still(context.Background(), g); open || len(said.Reasons) > 0 || parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Errorf("%s: open=%v %v %v", name, open, said.Codes(), err)
		}
	}
}

func TestClaims(t *testing.T) {
	clock := new(storetest.Clock)
	tn := newTown(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	all := named(parvis.App{ID: "proconnect", Attributes: parvis.ClaimNames(), Reduced: []parvis.Channel{parvis.Mobile}})
	full := parvis.Agent{
		Number: zoe, GivenNames: " Zoé  Anne ", FamilyName: "Müller", UsageName: "Lefèvre", Email: "zoe@example.org", Unit: "VILLE/DRH",
		Employer: "356 000 000 00048", Category: "external", Profiles: []parvis.ProfileID{parvis.SocialData}, Roles: []parvis.Role{parvis.RoleAuditor},
		PersonalMobile: "+33600000000", PersonalEmail: "zoe@home.example",
	}
	bare := parvis.Agent{Number: "A2", FamilyName: strings.Repeat("é", 300) + "\n", Employer: "21750001600018"}
	tests := []struct {
		name  string
		app   parvis.App
		agent parvis.Agent
		ch    parvis.Channel
		want  map[string]any
	}{
		{"all", all, full, parvis.Mobile, map[string]any{
			"uid": "A100001", "given_name": "Zoé Anne", "usual_name": "Lefèvre", "family_name": "Müller", "name": "Zoé  Anne  Lefèvre", "email": "zoe@example.org",
			"siret": "35600000000048", "siren": "356000000", "organizational_unit": "VILLE/DRH", "belonging_population": "prestataire",
			"groups": []string{"social_data", "auditor"}, "channel": "mobile", "limited": true,
		}},
		{"what is unknown is left out, the SIRET is the organisation's", all, bare, parvis.Internal, map[string]any{
			"uid": "A2", "usual_name": strings.Repeat("é", 256), "family_name": strings.Repeat("é", 256), "name": strings.Repeat("é", 256),
			"siret": "21750001600019", "siren": "217500016", "groups": []string{"standard"}, "channel": "internal",
		}},
		{"nothing was granted", named(parvis.App{ID: "a"}), full, parvis.VPN, map[string]any{"channel": "vpn"}},
		{"a name nobody knows", named(parvis.App{ID: "a", Attributes: []string{"salary", "email"}}), full, parvis.VPN, map[string]any{"channel": "vpn", "email": "zoe@example.org"}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, tn.Claims(tt.app, &tt.agent, tt.ch)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
	tn.SIRET = "217"
	if got := tn.Claims(all, &bare, parvis.Internal); got["siret"] != nil || got["siren"] != nil {
		t.Errorf("no number is right: %v", got)
	}
	for category, want := range map[string]string{"": "", "tenured": "agent", "intern": "stagiaire", "elected": "elu", "external": "prestataire", "contract": "agent"} {
		if got := population(&parvis.Agent{Category: category}); got != want {
			t.Errorf("%q is told as %q", category, got)
		}
	}
}

func TestSubject(t *testing.T) {
	clock := new(storetest.Clock)
	tn := newTown(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	oidc := func(id parvis.AppID, sector string) parvis.App {
		return parvis.App{ID: id, OIDC: &parvis.OIDCClient{Pairwise: true, Sector: sector}}
	}
	saml := func(nameID string) parvis.App { return parvis.App{ID: "a", SAML: &parvis.SAMLService{NameID: nameID}} }
	a := tn.Subject(oidc("a", ""), zoe, parvis.OIDC)
	if len(a) != 43 || a != tn.Subject(oidc("a", ""), zoe, parvis.OIDC) {
		t.Errorf("%q is no lasting name", a)
	}
	for name, other := range map[string]string{
		"another application": tn.Subject(oidc("b", ""), zoe, parvis.OIDC), "another agent": tn.Subject(oidc("a", ""), "A100002", parvis.OIDC),
		"a sector called like it": tn.Subject(oidc("b", "a"), zoe, parvis.OIDC), "its SAML name": tn.Subject(saml(""), zoe, parvis.SAML),
		"the number": string(zoe),
	} {
		if other == a {
			t.Errorf("the same name as %s", name)
		}
	}
	if tn.Subject(oidc("a", "ville"), zoe, parvis.OIDC) != tn.Subject(oidc("b", "ville"), zoe, parvis.OIDC) {
		t.Error("one sector, two names")
	}
	if tn.Subject(saml(""), zoe, parvis.SAML) != tn.Subject(saml("persistent"), zoe, parvis.SAML) {
		t.Error("persistent is not what is usual")
	}
	for name, got := range map[string]string{
		"public": tn.Subject(parvis.App{ID: "a", OIDC: &parvis.OIDCClient{}}, zoe, parvis.OIDC), "cas": tn.Subject(parvis.App{ID: "a", CAS: &parvis.CASService{}}, zoe, parvis.CAS),
		"saml uid": tn.Subject(saml("uid"), zoe, parvis.SAML),
	} {
		if got != string(zoe) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// BenchmarkStill is what each introspection, refresh and question about an agent costs here.
func BenchmarkStill(b *testing.B) {
	clock := new(storetest.Clock)
	s := storetest.Open(b, "sqlite:"+filepath.Join(b.TempDir(), "p.db"), clock)
	tn := newTown(b, s, clock, parvis.App{ID: "agenda"})
	g := tn.grant(tn.begin(parvis.Mobile), "agenda")
	b.ReportAllocs()
	for b.Loop() {
		if open, _, _, err := tn.Still(b.Context(), g); err != nil || !open {
			b.Fatal(open, err)
		}
	}
}
