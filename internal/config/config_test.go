package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInitIsAcceptedByItself(t *testing.T) {
	var b strings.Builder
	if err := Init(&b); err != nil {
		t.Fatal(err)
	}
	c, faults := Parse([]byte(b.String()))
	for _, f := range faults {
		if !f.Warning {
			t.Errorf("the file that init writes has a fault: %s", f)
		}
	}
	if len(c.Applications) != 1 || c.Applications[0].ID != "intranet" || len(c.Entrances) != 2 {
		t.Errorf("what was written is not what was read: %+v", c.Applications)
	}
}

func TestEveryFaultAtOnceWithItsLine(t *testing.T) {
	_, faults := Parse([]byte(strings.TrimPrefix(`
organisation:
  nam: Ville
portals:
  internal: https://agents.example.org
  mobile: [a]
entrances:
  - channel: internal
    listen: 127.0.0.1:8080
    colour: red
  - channel: moon
    listen: nope
sessions: 5
`, "\n")))
	var got []string
	for _, f := range faults {
		if !f.Warning {
			got = append(got, f.String())
		}
	}
	want := []string{
		"line 2: organisation.nam: there is no such field; did you mean name?",
		"line 5: portals.mobile: a list stands where a text is expected",
		"line 9: entrances[0].colour: there is no such field",
		"line 10: entrances[1].channel: internal or mobile is expected",
		"line 11: entrances[1].listen: an address and a port are expected, such as 127.0.0.1:8080",
		"line 12: sessions: a single value stands where a group of fields is expected",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

func TestValuesThatCannotBeUsed(t *testing.T) {
	base := "portals:\n  internal: https://agents.example.org\nentrances:\n  - channel: internal\n    listen: 127.0.0.1:1\n"
	tests := []struct{ name, add, want string }{
		{"zone", "office_hours:\n  zone: Europe/Nowhere\n", "line 7: office_hours.zone: there is no such time zone: Europe/Nowhere"},
		{"hours", "office_hours:\n  open: \"20:00\"\n  close: \"07:00\"\n", "line 8: office_hours.close: closing comes after opening"},
		{"closing share", "import:\n  max_closing_percent: 200\n", "line 7: import.max_closing_percent: a share between 0 and 100 is expected"},
		{"mail in clear", "mail:\n  server: mail.example.org:25\n  tls: none\n  from: a@example.org\n", "line 8: mail.tls: messages carry codes: none is accepted on the machine itself only"},
		{"renewal", "profiles:\n  - id: standard\n    password_days: 90\n", "line 8: profiles[0].password_days: warning: regular renewal for ordinary accounts departs from NIST SP 800-63B-4 3.1.1.2, ANSSI R24 and ASVS 6.2.10"},
		{"application twice", "applications:\n  - {id: a, name: {fr: a, en: a}, upstream: \"http://127.0.0.1:1\", channels: [internal]}\n  - {id: a, name: {fr: a, en: a}, upstream: \"http://127.0.0.1:1\", channels: [internal]}\n", "line 8: applications[1].id: a is declared twice"},
		{"unknown channel", "applications:\n  - id: a\n    name: {fr: a, en: a}\n    upstream: http://127.0.0.1:1\n    channels: [moon]\n", "line 10: applications[0].channels[0]: internal, vpn or mobile is expected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, faults := Parse([]byte(base + tt.add))
			for _, f := range faults {
				if f.String() == tt.want {
					return
				}
			}
			t.Errorf("missing %q in %v", tt.want, faults)
		})
	}
}

func TestAbsentFieldsKeepDefaults(t *testing.T) {
	c, _ := Parse([]byte("organisation:\n  name: Ville\n"))
	if c.Sessions != Default().Sessions || c.Hours.Zone != "Europe/Paris" || c.Organisation.Accent != "#0b6357" {
		t.Errorf("defaults were lost: %+v", c)
	}
}

func TestEveryFieldIsExplained(t *testing.T) {
	var walk func(reflect.Type)
	n := 0
	walk = func(typ reflect.Type) {
		for f := range fields(typ) {
			n++
			if f.Tag.Get("doc") == "" {
				t.Errorf("%s.%s has no comment", typ.Name(), f.Name)
			}
			ft := f.Type
			if ft.Kind() == reflect.Slice {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct {
				walk(ft)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	if n < 60 {
		t.Errorf("only %d fields seen", n)
	}
	var b strings.Builder
	if err := Describe(&b); err != nil || !strings.Contains(b.String(), `office_hours.zone (default "Europe/Paris")`) {
		t.Errorf("describe: %v\n%s", err, b.String())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("organisation:\n  name: x\n"))
	f.Add([]byte("applications: [{id: 1}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, faults := Parse(b)
		if c == nil {
			t.Fatal("no configuration")
		}
		for _, x := range faults {
			_ = fmt.Sprint(x)
		}
	})
}
