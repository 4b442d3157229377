package access

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis"
)

// city is the catalogue of the demo city (contract.md, "The demo city").
func city(t testing.TB) Catalog {
	t.Helper()
	everywhere := parvis.Channels()
	inside := []parvis.Channel{parvis.Internal, parvis.VPN}
	cal, err := OfficeHours("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	return Catalog{
		Calendar: cal, SecondProofReady: true,
		Apps: []parvis.App{
			{ID: "messagerie", Channels: everywhere, SecondOn: []parvis.Channel{parvis.Mobile}},
			{ID: "paie", Channels: everywhere, HRDocuments: true},
			{ID: "conges", Channels: everywhere, HRService: true},
			{ID: "annuaire", Channels: everywhere, Reduced: []parvis.Channel{parvis.Mobile}},
			{ID: "finances", Channels: inside, Entitled: true, Second: true},
			{ID: "social", Channels: inside, Entitled: true, Second: true, OnDeviceVPN: true},
			{ID: "urbanisme", Channels: []parvis.Channel{parvis.Internal}, Entitled: true, OfficeHours: true},
		},
		Profiles: []parvis.Profile{
			{ID: parvis.Standard},
			{ID: parvis.Executive, Sensitive: true},
			{ID: parvis.ExtendedRights, Sensitive: true, PasswordDays: 365},
			{ID: parvis.SocialData, Sensitive: true},
		},
	}
}

// strictCity is the city of testdata/strict.
func strictCity(t testing.TB) (Catalog, Source) {
	t.Helper()
	c := city(t)
	c.VerifierRequired = true
	c.VerifierRules = []parvis.VerifierRule{{Profile: "treasury", Channel: parvis.Mobile, Mode: parvis.VerifierEach}}
	c.VerifierFallback = true
	c.Sites = map[parvis.Channel]string{parvis.Internal: "ville.test", parvis.VPN: "ville.test", parvis.Mobile: "mobile.test"}
	c.Apps = append(c.Apps, parvis.App{ID: "coffre", Channels: parvis.Channels(), Second: true, SecondStrength: parvis.PhishingResistant})
	c.Profiles[1].SMSUntil = time.Date(2026, 12, 15, 0, 0, 0, 0, c.Calendar.Zone)
	c.Profiles = append(c.Profiles,
		parvis.Profile{ID: "treasury", Second: map[parvis.Channel]parvis.Demand{
			"": {Strength: parvis.AnySecond, MaxAge: 10 * time.Minute}, parvis.Mobile: {Strength: parvis.PhishingResistant},
		}},
		parvis.Profile{ID: "works", Second: map[parvis.Channel]parvis.Demand{
			"": {Strength: parvis.NoSMS, From: time.Date(2026, 12, 1, 0, 0, 0, 0, c.Calendar.Zone)},
		}},
	)
	c.ChannelHours = map[parvis.Channel]bool{parvis.Internal: true}
	c.Calendar.Closures = []Closure{{
		First: time.Date(2026, 11, 23, 0, 0, 0, 0, c.Calendar.Zone), Last: time.Date(2026, 11, 30, 0, 0, 0, 0, c.Calendar.Zone),
		Unit: "ville/bains", Name: "travaux",
	}}
	c.Apps[4].ProofMaxAge = 15 * 60
	text, err := os.ReadFile("testdata/policies/own.cedar")
	if err != nil {
		t.Fatal(err)
	}
	return c, Source{Name: "own.cedar", Text: text}
}

func mustNew(t testing.TB, c Catalog, own ...Source) *Policy {
	t.Helper()
	p, err := New(c, own...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func runFiles(t *testing.T, pattern string, c Catalog, p *Policy) (count int) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases at %s (%v)", pattern, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		cases, err := ParseCases(filepath.Base(f), text, c)
		if err != nil {
			t.Error(err)
		}
		for _, w := range p.Run(cases) {
			t.Error(w)
		}
		count += len(cases)
	}
	return count
}

func TestDecisions(t *testing.T) {
	c := city(t)
	if n := runFiles(t, "testdata/decisions/*.txt", c, mustNew(t, c)); n < 40 {
		t.Errorf("only %d cases were read", n)
	}
}

func TestDecisionsOfAStrictCity(t *testing.T) {
	c, own := strictCity(t)
	runFiles(t, "testdata/strict/*.txt", c, mustNew(t, c, own))
}

func TestRunSaysWhatDiffers(t *testing.T) {
	c := city(t)
	cases, err := ParseCases("wrong.txt", []byte(`# Everything is wrong here
agent A100001
proofs password
on mobile at Tuesday 2026-11-24 10:00
open finances
opens
until 2026-11-24 20:00
no way
conditions account_closed

# A reason that was not given
agent A100001
proofs password
on mobile at Tuesday 2026-11-24 10:00
open annuaire
refused app_down
until further notice
`), c)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(mustNew(t, c).Run(cases), "\n")
	want := `wrong.txt:2: Everything is wrong here: expected "conditions account_closed", got "no conditions"
wrong.txt:2: Everything is wrong here: expected "opens", got "refused channel_not_allowed app_not_assigned factor_required"
wrong.txt:2: Everything is wrong here: expected "until 2026-11-24 20:00", got "until further notice"
wrong.txt:2: Everything is wrong here: expected "no way", got "way channel internal + proof second + entitlement finances / channel vpn + proof temporary_code + entitlement finances"
wrong.txt:12: A reason that was not given: expected "refused app_down", got "opens limited"`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// A fault in a file of cases is said with its line, and all of them together.
func TestCaseFaults(t *testing.T) {
	c := city(t)
	for _, x := range []struct{ line, want string }{
		{"agent", "an agent has a number"},
		{"agent é", `"é" is not an agent number`},
		{"agent A1 boss", `there is no profile "boss"`},
		{"agent A1 entitled finances, tax", `there is no application "tax"`},
		{"unit a b", "write: unit PATH"},
		{"contract since 2020-01-01", "write: unit PATH"},
		{"contract from 2020-13-01", `"2020-13-01" is not a date`},
		{"contract from 2020-01-01 to soon", `"soon" is not a date`},
		{"absence holiday from 2020-01-01", `there is no absence "holiday"`},
		{"locked", "write: not activated"},
		{"locked until noon", `"noon" is not a moment`},
		{"proofs smoke", `there is no proof "smoke"`},
		{"proofs totp x minutes ago", `"x" is not a whole number`},
		{"proofs totp 5 years ago", `"years" is neither seconds, minutes nor hours`},
		{"passkeys", "write: passkeys of CHANNEL"},
		{"passkeys of fax", `there is no channel "fax"`},
		{"temporary code", "write: passkeys of CHANNEL"},
		{"temporary code until noon", `"noon" is not a moment`},
		{"device stolen", "write: device known"},
		{"on mobile", "write: on CHANNEL at"},
		{"on mobile at Tuesday the 2026-11-24 10:00", "write: on CHANNEL at"},
		{"on fax at 2026-11-24 10:00", `there is no channel "fax"`},
		{"on vpn at 2026-11-24 noon", `is not a moment`},
		{"on vpn at Monday 2026-11-24 10:00", "2026-11-24 is a Tuesday"},
		{"open tax", `there is no application "tax"`},
		{"open", `there is no application ""`},
		{"opens wide", `cannot read "opens wide"`},
		{"refused", "name at least one reason"},
		{"refused because", `there is no reason "because"`},
		{"until then", `"then" is not a moment`},
		{"way channel", "write: way KIND WORD"},
		{"way luck any", `there is no change of "luck"`},
		{"way time soon enough", `is not a moment`},
		{"conditions", "name at least one reason"},
		{"perhaps", `cannot read "perhaps "`},
		{strings.Repeat("x", maxCaseLine+1), "token too long"},
	} {
		_, err := ParseCases("f.txt", []byte("# title\n"+x.line+"\n"), c)
		if parvis.CodeOf(err) != parvis.CodeInvalid || !strings.Contains(err.Error(), "f.txt:2: ") || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%.40q: got %v, want %q", x.line, err, x.want)
		}
	}
	_, err := ParseCases("f.txt", []byte("\n\nunit a\nabsence x\n\ndeceased on x\n"), c)
	for _, want := range []string{
		`f.txt:3: the case has no line that begins with "agent"`, `f.txt:3: the case has no line that begins with "on"`,
		`f.txt:3: the case has no line that begins with "open"`, `f.txt:3: the case has no line that begins with "opens", "refused" or "conditions"`,
		"f.txt:4: write: unit PATH", `f.txt:6: "x" is not a date`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q in:\n%v", want, err)
		}
	}
	if _, err := ParseCases("f.txt", nil, Catalog{}); !errors.Is(err, errNoCalendar) {
		t.Errorf("without a calendar: %v", err)
	}
}

func TestProofsOfACaseMayBeSecondsOld(t *testing.T) {
	cases, err := ParseCases("f.txt", []byte("agent A1\nproofs password 3 hours ago totp 30 seconds ago\non vpn at 2026-11-24 10:00\nopen paie\nopens"), city(t))
	if err != nil {
		t.Fatal(err)
	}
	r := cases[0].request
	if len(r.Proofs) != 2 || r.At.Sub(r.Proofs[0].At) != 3*time.Hour || r.At.Sub(r.Proofs[1].At) != 30*time.Second {
		t.Errorf("got %v", r.Proofs)
	}
}

func FuzzParseCases(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	c := city(f)
	p := mustNew(f, c)
	f.Fuzz(func(t *testing.T, text []byte) {
		cases, err := ParseCases("f.txt", text, c)
		if err != nil {
			if parvis.CodeOf(err) != parvis.CodeInvalid || cases != nil {
				t.Fatalf("code %q, %d cases", parvis.CodeOf(err), len(cases))
			}
			return
		}
		if len(cases) < 20 {
			p.Run(cases)
		}
	})
}

func FuzzNew(f *testing.F) {
	f.Add([]byte(`@id("a") @reason("app_down") forbid (principal in Unit::"ville", action, resource) when { context has second_age_s && context.second_age_s > 1 };`))
	f.Add([]byte(`@id("a") permit (principal, action, resource == Application::"paie") unless { {a: context} == {a: context} };`))
	f.Add(accountRules)
	c := city(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := New(c, Source{"own.cedar", text})
		if err != nil {
			if !strings.Contains(err.Error(), "own.cedar:") {
				t.Fatalf("a fault without a place: %v", err)
			}
			return
		}
		p.Explain(officeRequest("paie", parvis.Mobile))
	})
}
