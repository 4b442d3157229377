package access

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parvis"
)

// The moment around which random facts lie: a Tuesday at ten.
var around = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

func pick[T any](t *rapid.T, what string, from ...T) T { return rapid.SampledFrom(from).Draw(t, what) }

func chance(t *rapid.T, what string, percent int) bool {
	return rapid.IntRange(1, 100).Draw(t, what) <= percent
}

// someRules writes a small policy of an organisation.
func someRules(t *rapid.T, apps []parvis.App) Source {
	conditions := []string{
		`context.channel == "mobile"`, `context.channel != "vpn"`, `context.office_open`, `!context.office_open`,
		`context.proofs.contains("passkey")`, `context.second_shown == 0`, `context.device_known`, `!context.device_validated`,
		`context has second_age_s && context.second_age_s > 300`, `context has second_age_s && 900 <= context.second_age_s`,
		`principal.state == "restricted_hr"`, `principal.state != "active"`, `principal.category == "external"`,
		`principal.password == "expired"`, `principal.sensitive`, `principal.vpn_device == "pending"`,
		`principal.entitlements.contains(resource)`, `principal in Unit::"ville/a"`, `principal.off_assignment`,
		`resource.hr_service`, `resource.second && principal.second_held < 2`, `resource.closes_on.contains(context.channel)`, `context has whole`, `principal.verifier == "each"`,
		`context.second_demanded > 1`, `context.proofs.contains("verifier")`, `principal.enrolled.contains("passkey")`,
	}
	whom := []string{`principal`, `principal in Unit::"ville/a"`, `principal in Profile::"executive"`, `principal == Agent::"A1"`, `principal in Agent::"A1"`, `principal is Agent in Unit::"ville"`}
	var b strings.Builder
	for i := range rapid.IntRange(0, 6).Draw(t, "rules") {
		resource := "resource"
		if chance(t, "one application", 40) {
			resource = fmt.Sprintf("resource == Application::%q", pick(t, "application", apps...).ID)
		}
		when := pick(t, "condition", conditions...)
		if chance(t, "two conditions", 50) {
			when += pick(t, "joined by", " && ", " || ") + "(" + pick(t, "condition", conditions...) + ")"
		}
		effect := "permit"
		if chance(t, "forbid", 70) {
			effect = fmt.Sprintf("@reason(%q) forbid", pick(t, "reason", "policy_locked", "app_maintenance", "channel_not_allowed_profile", "step_up_required", "app_not_assigned"))
		}
		fmt.Fprintf(&b, "@id(\"own.%d\") %s (%s, action, %s) when { %s };\n", i, effect, pick(t, "whom", whom...), resource, when)
	}
	return Source{Name: "own.cedar", Text: []byte(b.String())}
}

func someApp(t *rapid.T, id parvis.AppID) parvis.App {
	channels := func(what string) []parvis.Channel {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(parvis.Channels()), 0, 3, rapid.ID).Draw(t, what)
	}
	return parvis.App{
		ID: id, Channels: channels("channels"), Reduced: channels("reduced"), SecondOn: channels("second on"),
		Entitled: chance(t, "entitled", 40), Second: chance(t, "second", 40), SecondStrength: rapid.IntRange(0, 3).Draw(t, "second strength"), OnDeviceVPN: chance(t, "device on vpn", 30),
		OfficeHours: chance(t, "office hours", 30), HRDocuments: chance(t, "documents", 20), HRService: chance(t, "hr service", 20),
		ProofMaxAge: pick[parvis.Seconds](t, "max age", 0, 0, 60, 900),
	}
}

// someDay is a date near the moment of the request, or none.
func someDay(t *rapid.T, what string) time.Time {
	if chance(t, what+" unset", 50) {
		return time.Time{}
	}
	return time.Date(2026, 11, 24+rapid.IntRange(-90, 90).Draw(t, what), 0, 0, 0, 0, time.UTC)
}

func someRequest(t *rapid.T, apps []parvis.App) Request {
	kinds := func(what string) []parvis.ProofKind {
		return rapid.SliceOfN(rapid.SampledFrom(append(proofKinds[:], "smoke")), 0, 3).Draw(t, what)
	}
	device := func(what string) parvis.Device {
		return parvis.Device{
			ID: pick[parvis.DeviceID](t, what, "", "d1", "d2"), Agent: pick[parvis.AgentNumber](t, what+" of", "", "A1", "A2"),
			Validated: chance(t, what+" validated", 40), Pending: chance(t, what+" pending", 30),
		}
	}
	a := &parvis.Agent{
		Number: "A1", Unit: pick[parvis.UnitPath](t, "unit", "", "ville", "ville/a", "ville/a/b"), Category: pick(t, "category", "tenured", "external"),
		ContractFrom: someDay(t, "contract"), ContractUntil: someDay(t, "end"), OffSince: someDay(t, "off"), DeceasedOn: someDay(t, "death"),
	}
	if chance(t, "at work for years", 60) {
		a.ContractFrom, a.DeceasedOn = around.AddDate(-3, 0, 0), time.Time{}
	}
	if chance(t, "absent", 40) {
		a.Absence = pick(t, "absence", parvis.Absences()...)
		a.AbsenceFrom, a.AbsenceUntil = someDay(t, "absence from"), someDay(t, "absence until")
	}
	a.Profiles = rapid.SliceOfN(rapid.SampledFrom([]parvis.ProfileID{parvis.Standard, parvis.Executive, parvis.ExtendedRights, "unheard-of"}), 0, 2).Draw(t, "profiles")
	for _, app := range apps {
		if chance(t, "holds", 40) {
			a.Entitlements = append(a.Entitlements, app.ID)
		}
	}
	st := &parvis.Standing{
		Activated: chance(t, "activated", 85), PasswordExpires: someDay(t, "expiry"), PasswordLeaked: chance(t, "leaked", 10),
		LockedUntil: someDay(t, "lock"), Enrolled: kinds("enrolled"), VerifierLinked: chance(t, "linked", 70),
		Sites: pick(t, "sites", nil, []string{"ville.test"}, []string{"mobile.test", "ville.test"}),
	}
	if chance(t, "has a temporary code", 15) {
		st.Temporary = around.Add(time.Duration(rapid.IntRange(-600, 7*24*60).Draw(t, "temporary")) * time.Minute)
	}
	if chance(t, "has a device", 40) {
		st.Devices = append(st.Devices, device("held"))
	}
	r := Request{
		Agent: a, Standing: st, App: pick(t, "app", apps...).ID, At: around.Add(time.Duration(rapid.IntRange(0, 7*24*60).Draw(t, "minutes")) * time.Minute),
		Channel: pick[parvis.Channel](t, "channel", parvis.Internal, parvis.VPN, parvis.Mobile, "", "kiosk"), Device: device("device"),
	}
	r.Full = chance(t, "whole", 30)
	for _, k := range kinds("shown") {
		r.Proofs = append(r.Proofs, parvis.Proof{Kind: k, At: r.At.Add(-time.Duration(rapid.IntRange(-600, 3600).Draw(t, "ago")) * time.Second)})
	}
	return r
}

// someCatalog is what a small organisation might declare.
func someCatalog(t *rapid.T) Catalog {
	apps := []parvis.App{someApp(t, "one"), someApp(t, "two")}
	cal, err := OfficeHours("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	demand := func(what string) parvis.Demand {
		return parvis.Demand{
			Strength: rapid.IntRange(0, 3).Draw(t, what), MaxAge: pick[time.Duration](t, what+" age", 0, 0, 5*time.Minute, 90*time.Second),
			From: someDay(t, what+" from"),
		}
	}
	c := Catalog{
		Apps: apps, Calendar: cal,
		Profiles: []parvis.Profile{
			{ID: parvis.Standard, Second: map[parvis.Channel]parvis.Demand{parvis.Mobile: demand("of everybody on mobile")}},
			{ID: parvis.Executive, Sensitive: true, SMSUntil: someDay(t, "text messages until")},
			{ID: parvis.ExtendedRights, Sensitive: true, PasswordDays: 365, Second: map[parvis.Channel]parvis.Demand{"": demand("everywhere")}},
		},
		ChannelHours:     map[parvis.Channel]bool{parvis.Internal: chance(t, "internal closes", 30)},
		VerifierRequired: chance(t, "verifier required", 20), VerifierFallback: chance(t, "fallback", 50), SecondProofReady: chance(t, "second ready", 75),
	}
	for range rapid.IntRange(0, 2).Draw(t, "verifier rules") {
		c.VerifierRules = append(c.VerifierRules, parvis.VerifierRule{
			Profile: pick[parvis.ProfileID](t, "verifier for", "", parvis.Executive), Channel: pick[parvis.Channel](t, "verifier at", "", parvis.Mobile, parvis.Internal),
			Mode: pick(t, "verifier mode", parvis.VerifierOff, parvis.VerifierOffered, parvis.VerifierFirst, parvis.VerifierEach),
		})
	}
	if chance(t, "sites", 60) {
		c.Sites = map[parvis.Channel]string{parvis.Internal: "ville.test", parvis.Mobile: pick(t, "site of mobile", "ville.test", "mobile.test", "")}
	}
	if chance(t, "enrol", 50) {
		c.EnrolHere = map[parvis.Channel]bool{parvis.VPN: true, parvis.Mobile: chance(t, "enrol on mobile", 50)}
	}
	return c
}

func someCase(t *rapid.T) (*policy, Request) {
	c := someCatalog(t)
	p, err := New(c, someRules(t, c.Apps))
	if err != nil {
		t.Fatal(err)
	}
	return p.loaded(), someRequest(t, c.Apps)
}

func (p *policy) after(r Request, changes []parvis.Change) Request {
	for _, c := range changes {
		r = p.apply(r, c)
	}
	return r
}

// Rule 1 of the product: a way that is shown is accepted by the engine that
// refused, in whatever order its changes are made, and no proper part of it is.
func TestWaysAreSoundAndMinimal(t *testing.T) {
	shown := 0
	rapid.Check(t, func(t *rapid.T) {
		p, r := someCase(t)
		d := p.Explain(r)
		if d.Open && d.Ways != nil || len(d.Ways) > maxWays {
			t.Fatalf("%d ways for open=%v", len(d.Ways), d.Open)
		}
		for _, w := range d.Ways {
			shown++
			taken := p.after(r, w.Changes)
			if got := p.Decide(taken); !got.Open {
				t.Fatalf("%v does not open: %v", w, got.Codes())
			}
			for _, c := range taken.made {
				if !p.canMake(&taken, c) {
					t.Fatalf("%v cannot be taken on %s: %v", w, taken.Channel, c)
				}
			}
			turned := slices.Clone(w.Changes)
			slices.Reverse(turned)
			if got := p.Decide(p.after(r, turned)); !got.Open {
				t.Fatalf("%v does not open in the other order: %v", w, got.Codes())
			}
			for part := range 1<<len(w.Changes) - 1 {
				var some []parvis.Change
				for i, c := range w.Changes {
					if part&(1<<i) != 0 {
						some = append(some, c)
					}
				}
				if p.Decide(p.after(r, some)).Open {
					t.Fatalf("of %v, %v is enough", w, some)
				}
			}
		}
		if !slices.IsSortedFunc(d.Ways, func(a, b parvis.Way) int { return len(a.Changes) - len(b.Changes) }) {
			t.Fatalf("a longer way comes first: %v", d.Ways)
		}
	})
	if shown == 0 {
		t.Error("no way was ever shown: nothing was tested")
	}
}

// The answer is the same every time and at the launcher as on the why page,
// and the request is left as it was.
func TestDecisionsAreAlwaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, r := someCase(t)
		agent, standing, shown := *r.Agent, *r.Standing, slices.Clone(r.Proofs)
		explained := p.Explain(r)
		if again := p.Explain(r); !cmp.Equal(explained, again) {
			t.Fatal(cmp.Diff(explained, again))
		}
		decided := p.Decide(r)
		explained.Ways = nil
		if !cmp.Equal(explained, decided) {
			t.Fatal(cmp.Diff(explained, decided))
		}
		if !cmp.Equal(agent, *r.Agent) || !cmp.Equal(standing, *r.Standing) || !cmp.Equal(shown, r.Proofs) {
			t.Fatal("the request was changed")
		}
		switch {
		case decided.Open == (len(decided.Reasons) > 0):
			t.Fatalf("open=%v with reasons %v", decided.Open, decided.Codes())
		case decided.Limited && !decided.Open:
			t.Fatal("limited, but not open")
		case decided.Limited && r.Full:
			t.Fatal("the whole version, opened limited")
		case len(decided.Policies) == 0 || !slices.IsSorted(decided.Policies):
			t.Fatalf("policies %v", decided.Policies)
		}
		for i, c := range decided.Codes() {
			if !c.Known() || slices.Contains(decided.Codes()[:i], c) {
				t.Fatalf("reasons %v", decided.Codes())
			}
		}
		if !r.Channel.Known() && decided.Open {
			t.Fatal("an unknown channel opens")
		}
	})
}

// The answer holds until it says it does, and not a moment longer.
func TestUntilIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, r := someCase(t)
		d := p.Decide(r)
		same := func(at time.Time) bool {
			later := r
			later.At = at
			got := p.Decide(later)
			return got.Open == d.Open && got.Limited == d.Limited && slices.Equal(got.Codes(), d.Codes())
		}
		end := d.Until
		if end.IsZero() {
			end = r.At.AddDate(1, 0, 0)
		} else if !end.After(r.At) {
			t.Fatalf("until %v, which is past at %v", end, r.At)
		} else if same(end) {
			t.Fatalf("nothing changes at %v: %v", end, d.Codes())
		}
		if before := end.Add(-time.Microsecond); !same(before) {
			t.Fatalf("the answer %v had changed before %v", d.Codes(), end)
		}
		for range 8 {
			at := r.At.Add(time.Duration(rapid.Int64Range(0, int64(end.Sub(r.At))-1).Draw(t, "meanwhile")))
			if !same(at) {
				t.Fatalf("the answer %v had changed at %v, before %v", d.Codes(), at, end)
			}
		}
	})
}

// What the rules are not asked again about, because nothing that they read has
// changed, they would say again.
func TestEvaluatingAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, r := someCase(t)
		q, _ := p.ask(r)
		for _, c := range q.steps() {
			after := p.apply(r, c)
			s := p.situation(&after)
			quick := q.judge(&s, q.base, s.changed(&q.now))
			fresh, _ := p.ask(after)
			if !slices.Equal(quick.permits, fresh.base.permits) || !slices.Equal(quick.forbids, fresh.base.forbids) {
				t.Fatalf("after %v the quick answer differs", c)
			}
		}
	})
}
