package access

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

// Everything that is wrong is said at once, with its file and line.
func TestFaultsComeTogether(t *testing.T) {
	c := city(t)
	c.Apps = append(c.Apps, parvis.App{ID: "paie"}, parvis.App{ID: "lost", Channels: []parvis.Channel{"fax"}})
	_, err := New(c,
		Source{"a.cedar", []byte(`@id("account.closed")
permit (principal, action, resource);

@id("no.reason")
forbid (principal, action, resource);

@id("odd.reason") @reason("because")
forbid (principal, action, resource);

@reason("app_down")
permit (principal, action, resource);

@id("typo") @reason("app_down")
forbid (principal, action, resource)
when { context.chanel == "mobile" };

@id("type") @reason("app_down")
forbid (principal, action, resource)
when { resource.second == "yes" };

@id("names") @reason("app_down")
forbid (principal in Profile::"executives", action, resource == Application::"finance");

@id("clock") @reason("app_down")
forbid (principal, action, resource)
when { context has second_age_s && context.second_age_s * 2 > 900 };

@id("other") @reason("app_down")
forbid (principal, action, resource)
when { context has second_age_s && context.second_age_s < principal.job };
`)},
		Source{"$1.cedar", []byte("permit (principal,\n action resource);")},
		Source{"c.cedar", []byte("\n\"never closed")},
	)
	if parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Fatalf("got code %q: %v", parvis.CodeOf(err), err)
	}
	for _, want := range []string{
		`application "paie": the name is empty or used twice`,
		`application lost: there is no channel "fax"`,
		`a.cedar:1: the name "account.closed" is already used at policies/account.cedar:8`,
		`a.cedar:4: the forbid has no reason: write @reason("code") above it`,
		`a.cedar:7: there is no reason "because"`,
		`a.cedar:10: the policy has no name: write @id("theme.name") above it`,
		`a.cedar:10: a permit refuses nothing, so it cannot have a @reason`,
		"a.cedar:13: attribute `chanel`",
		"a.cedar:17: ",
		`a.cedar:21: there is no profile "executives"`,
		`a.cedar:21: there is no application "finance"`,
		`a.cedar:24: compare second_age_s only by`,
		`a.cedar:28: compare second_age_s only by`,
		`$1.cedar:2: `,
		`c.cedar:2: `,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "<input>") {
		t.Errorf("a fault has no file:\n%v", err)
	}
}

func TestCatalogFaults(t *testing.T) {
	if _, err := New(Catalog{}); !errors.Is(err, errNoCalendar) {
		t.Errorf("without a calendar: %v", err)
	}
	c := city(t)
	c.Apps = append(c.Apps, parvis.App{})
	if _, err := New(c); parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("an application without a name: %v", err)
	}
	p := &policy{byID: map[parvis.AppID]int{}, apps: make([]application, maxApps)}
	if err := p.add(parvis.App{ID: "one-too-many"}); err == nil {
		t.Error("the applications no longer fit 16 bits")
	}
	for _, schema := range []string{"entity", "entity A { b: Nothing };"} {
		if _, err := p.load([]byte(schema), nil); err == nil {
			t.Errorf("the schema %q was accepted", schema)
		}
	}
}

func TestApps(t *testing.T) {
	c := city(t)
	p := mustNew(t, c)
	if diff := cmp.Diff(c.Apps, p.Apps()); diff != "" {
		t.Error(diff)
	}
	if app, ok := p.App("social"); !ok || !app.OnDeviceVPN {
		t.Errorf("social: %v %v", app, ok)
	}
	if _, ok := p.App("unheard-of"); ok {
		t.Error("there is an application that nobody declared")
	}
}

// What is unknown opens nothing, and says so.
func TestUnknownIsRefused(t *testing.T) {
	p := mustNew(t, city(t))
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		r    Request
		want []parvis.ReasonCode
	}{
		{"application", officeRequest("unheard-of", parvis.Internal), []parvis.ReasonCode{"not_found"}},
		{"agent", Request{App: "paie", Channel: parvis.Internal, At: at}, []parvis.ReasonCode{
			"account_not_started", "agent_account_not_activated", "session_expired",
		}},
	} {
		d := p.Explain(c.r)
		if diff := cmp.Diff(c.want, d.Codes()); diff != "" || d.Open {
			t.Errorf("unknown %s: open=%v %s", c.name, d.Open, diff)
		}
	}
	r := officeRequest("social", parvis.VPN)
	r.Device = parvis.Device{ID: "d1", Agent: "A100002", Validated: true}
	if d := p.Decide(r); !d.Has(parvis.WhyVPNNotAuthorised) {
		t.Errorf("somebody else's device opens: %v", d.Codes())
	}
	r = officeRequest("paie", parvis.Internal)
	r.Agent.Profiles = []parvis.ProfileID{"unheard-of"}
	r.Proofs = r.Proofs[:1]
	if d := p.Decide(r); !d.Has(parvis.WhyStepUpRequired) {
		t.Errorf("an unknown profile is not treated as sensitive: %v", d.Codes())
	}
}

// A forbid that cannot be evaluated counts as one that fired, and a permit as
// one that did not.
func TestWhatFailsRefuses(t *testing.T) {
	c := city(t)
	c.Apps[0].ProofMaxAge = 900
	c.Apps[4].ProofMaxAge = 900
	p := mustNew(t, c, Source{"overflow.cedar", []byte(`
@id("own.forbid") @reason("policy_locked")
forbid (principal, action, resource == Application::"messagerie")
when { resource.proof_max_age * 9223372036854775807 == 0 };

@id("own.permit")
permit (principal, action, resource == Application::"finances")
when { resource.proof_max_age * 9223372036854775807 != 0 };`)})
	if d := p.Decide(officeRequest("messagerie", parvis.Internal)); !d.Has("policy_locked") {
		t.Errorf("a forbid that failed did not refuse: %v", d.Codes())
	}
	r := officeRequest("finances", parvis.Internal)
	r.Agent.Entitlements = nil
	if d := p.Decide(r); d.Open || !slices.Equal(d.Policies, []string{noPermit}) {
		t.Errorf("a permit that failed opened: %v", d)
	}
}

// What each sentence has to say besides its words.
func TestMomentsOfReasons(t *testing.T) {
	p := mustNew(t, city(t))
	day := func(m time.Month, d int) time.Time {
		return time.Date(2026, m, d, 0, 0, 0, 0, p.loaded().calendar.Zone)
	}
	for _, c := range []struct {
		name   string
		change func(*Request)
		code   parvis.ReasonCode
		want   time.Time
	}{
		{"start", func(r *Request) { r.Agent.ContractFrom = day(12, 1) }, parvis.WhyAccountNotStarted, day(12, 1)},
		{"end of contract", func(r *Request) { r.Agent.ContractUntil = day(11, 1) }, parvis.WhyAccountDocumentsOnly, day(11, 1)},
		{"outside position", func(r *Request) { r.Agent.Absence = parvis.OutsidePosition }, parvis.WhyAccountDocumentsOnly, time.Time{}},
		{"closed", func(r *Request) { r.Agent.ContractUntil = day(8, 31) }, parvis.WhyAccountClosed, day(10, 31)},
		{"deceased", func(r *Request) { r.Agent.DeceasedOn = day(11, 2) }, parvis.WhyAccountClosed, day(11, 2)},
		{"return", func(r *Request) {
			r.Agent.Absence, r.Agent.AbsenceFrom, r.Agent.AbsenceUntil = parvis.ParentalLeave, day(6, 1), day(12, 31)
		}, parvis.WhyAccountRestrictedAbsence, day(12, 32)},
		{"return unknown", func(r *Request) { r.Agent.Absence = parvis.ParentalLeave }, parvis.WhyAccountRestrictedAbsence, time.Time{}},
		{"move", func(r *Request) { r.Agent.OffSince = day(11, 16) }, parvis.WhyAccountOffAssignment, day(11, 16)},
		{"expiry", func(r *Request) { r.Standing.PasswordExpires = day(11, 20) }, parvis.WhyPasswordExpired, day(11, 20)},
		{"opening", func(r *Request) { r.At = day(11, 24).Add(21 * time.Hour) }, parvis.WhyChannelClosed, day(11, 25).Add(7 * time.Hour)},
		{"nothing", func(r *Request) { r.Channel = parvis.Mobile }, parvis.WhyChannelNotAllowed, time.Time{}},
	} {
		r := officeRequest("urbanisme", parvis.Internal)
		c.change(&r)
		d := p.Decide(r)
		i := slices.IndexFunc(d.Reasons, func(x parvis.Reason) bool { return x.Code == c.code })
		if i < 0 {
			t.Errorf("%s: refused for %v", c.name, d.Codes())
		} else if !d.Reasons[i].At.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, d.Reasons[i].At, c.want)
		}
	}
	// An organisation's own rule may say channel_closed while the offices are open.
	own := mustNew(t, city(t), Source{"own.cedar", []byte(`@id("own") @reason("channel_closed") forbid (principal, action, resource);`)})
	if d := own.Decide(officeRequest("paie", parvis.Internal)); !d.Has(parvis.WhyChannelClosed) || !d.Reasons[0].At.IsZero() {
		t.Errorf("got %v", d.Reasons)
	}
}

// Who is asked for the second proof and the device changes with what exists.
func TestWhoMakesAChange(t *testing.T) {
	c := city(t)
	c.DeviceLead = 48 * time.Hour
	c.SecondProofReady = false
	by := func(p *Policy, r Request, k parvis.ChangeKind) (parvis.Actor, time.Duration) {
		for _, w := range p.Explain(r).Ways {
			for _, ch := range w.Changes {
				if ch.Kind == k {
					return ch.By, ch.Lead
				}
			}
		}
		return "", 0
	}
	r := officeRequest("finances", parvis.Internal)
	r.Proofs, r.Standing.Enrolled = r.Proofs[:1], nil
	if got, _ := by(mustNew(t, c), r, parvis.ChangeProof); got != parvis.ByITContact {
		t.Errorf("while nobody can enrol: by %q", got)
	}
	holds := r
	holds.Standing = &parvis.Standing{Activated: true, PasswordSince: r.At.AddDate(-1, 0, 0), Enrolled: []parvis.ProofKind{parvis.TOTP, parvis.Passkey}}
	if got, _ := by(mustNew(t, c), holds, parvis.ChangeProof); got != parvis.ByITContact {
		t.Errorf("while nobody can show what they hold: by %q", got)
	}
	if d := mustNew(t, c).Decide(holds); !d.Has(parvis.WhyStepUpRequired) {
		t.Errorf("while nobody can show what they hold: %v", d.Codes())
	}
	c.SecondProofReady = true
	p := mustNew(t, c)
	for _, r := range []Request{r, holds} {
		if got, _ := by(p, r, parvis.ChangeProof); got != parvis.BySelf {
			t.Errorf("once everybody can, holding %v: by %q", r.Standing.Enrolled, got)
		}
	}
	social := officeRequest("social", parvis.VPN)
	if got, lead := by(p, social, parvis.ChangeDevice); got != parvis.ByITDepartment || lead != 48*time.Hour {
		t.Errorf("a first device: by %q in %v", got, lead)
	}
	social.Standing.Devices = []parvis.Device{{ID: "d1", Validated: true}}
	if got, lead := by(p, social, parvis.ChangeDevice); got != parvis.BySelf || lead != 0 {
		t.Errorf("a device that is there: by %q in %v", got, lead)
	}
}

// An answer ends at the very second at which a rule changes its mind about the
// age of a proof, however the rule compares.
func TestUntilOfARuleAboutAge(t *testing.T) {
	for _, x := range []struct {
		condition string
		ends      int // seconds after the proof; 0 for never
	}{
		{"context.second_age_s >= 300", 300},
		{"context.second_age_s > 300", 301},
		{"300 <= context.second_age_s", 300},
		{"300 < context.second_age_s", 301},
		{"context.second_age_s >= resource.proof_max_age", 900},
		{"context.second_age_s > resource.proof_max_age", 901},
		{"context.second_age_s < 0", 0},
	} {
		c := city(t)
		c.Apps[1].ProofMaxAge = 900 // no second proof is demanded there, so only the own rule asks
		p := mustNew(t, c, Source{"own.cedar", []byte(
			`@id("own") @reason("step_up_required") forbid (principal, action, resource) when { context has second_age_s && ` + x.condition + ` };`)})
		r := officeRequest("paie", parvis.Internal)
		want := r.At.Add(time.Duration(x.ends) * time.Second)
		if x.ends == 0 {
			want = time.Time{}
		}
		if d := p.Decide(r); !d.Open || !d.Until.Equal(want) {
			t.Errorf("%s: open=%v until %v, want %v", x.condition, d.Open, d.Until, want)
		}
	}
}

func TestARuleAboutOneAgent(t *testing.T) {
	p := mustNew(t, city(t), Source{"own.cedar", []byte(`
@id("is") @reason("policy_locked") forbid (principal in Agent::"A100001", action, resource == Application::"paie");
@id("eq") @reason("policy_locked") forbid (principal == Agent::"A100001", action, resource == Application::"conges");
@id("other") @reason("policy_locked") forbid (principal == Agent::"A100002", action, resource == Application::"annuaire");`)})
	for app, open := range map[parvis.AppID]bool{"paie": false, "conges": false, "annuaire": true} {
		if d := p.Decide(officeRequest(app, parvis.Internal)); d.Open != open {
			t.Errorf("%s: open=%v %v", app, d.Open, d.Policies)
		}
	}
}

func TestAProofOfTomorrowDoesNotCountToday(t *testing.T) {
	p := mustNew(t, city(t))
	r := officeRequest("finances", parvis.Internal)
	r.Proofs[1].At = r.At.Add(time.Minute)
	d := p.Decide(r)
	if !slices.Equal(d.Codes(), []parvis.ReasonCode{parvis.WhyStepUpRequired}) || !d.Until.Equal(r.Proofs[1].At) {
		t.Errorf("got %v until %v", d.Codes(), d.Until)
	}
}

// Whoever asks from a validated device takes it along through the VPN.
func TestTheDeviceComesAlong(t *testing.T) {
	p := mustNew(t, city(t))
	r := officeRequest("social", parvis.Mobile)
	r.Device = parvis.Device{ID: "d1", Agent: r.Agent.Number, Validated: true}
	want := []parvis.Way{
		{Changes: []parvis.Change{{Kind: parvis.ChangeChannel, To: "internal", By: parvis.BySelf}}},
		{Changes: []parvis.Change{{Kind: parvis.ChangeChannel, To: "vpn", By: parvis.BySelf}}},
	}
	if diff := cmp.Diff(want, p.Explain(r).Ways); diff != "" {
		t.Error(diff)
	}
}

// The order of a policy that stops early is Cedar's business; ours is to stop.
func TestSelectionStops(t *testing.T) {
	p := mustNew(t, city(t))
	s := selection(p.loaded().apps[0].forbids)
	seen := 0
	for range s.All() {
		seen++
		break
	}
	if seen != 1 {
		t.Errorf("%d rules after the first stop", seen)
	}
}

// Every code that may be said has its place, and the shipped rules say only
// codes whose place is chosen.
func TestEveryReasonHasItsPlace(t *testing.T) {
	p := mustNew(t, city(t))
	for id, r := range p.loaded().rules {
		if r.reason != "" && rank(r.reason) >= len(tellingFirst) {
			t.Errorf("%s says %s, which has no place among the telling ones", id, r.reason)
		}
	}
	for _, c := range tellingFirst {
		if !c.Known() {
			t.Errorf("%s is not a reason", c)
		}
	}
	if a, b := rank("app_down"), rank("app_maintenance"); a <= b {
		t.Errorf("app_down at %d, app_maintenance at %d: not the order of the closed list", a, b)
	}
}
