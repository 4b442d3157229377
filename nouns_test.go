package parvis_test

import (
	"errors"
	"fmt"
	"testing"

	"parvis"
)

func TestReferenceFindsSlips(t *testing.T) {
	ref := parvis.NewReference([7]byte{1, 22, 133, 84, 5, 6, 200})
	if got, ok := parvis.ParseReference(" " + string(ref[:4]) + " " + string(ref[5:])); !ok || got != ref {
		t.Fatalf("a reference as dictated: %q, %v", got, ok)
	}
	const signs = "23456789ABCDEFGHJKMNPQRSTWXYZ"
	b := []byte(string(ref[:4]) + string(ref[5:]))
	for i := range b {
		for _, c := range []byte(signs) {
			if c == b[i] {
				continue
			}
			wrong := append([]byte{}, b...)
			wrong[i] = c
			if _, ok := parvis.ParseReference(string(wrong)); ok {
				t.Errorf("%s passes for %s", wrong, b)
			}
		}
		if i > 0 && b[i] != b[i-1] {
			wrong := append([]byte{}, b...)
			wrong[i], wrong[i-1] = wrong[i-1], wrong[i]
			if _, ok := parvis.ParseReference(string(wrong)); ok {
				t.Errorf("two signs exchanged pass: %s for %s", wrong, b)
			}
		}
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("K7QP-3M9T")
	f.Add("k7qp 3m9t")
	f.Fuzz(func(t *testing.T, s string) {
		ref, ok := parvis.ParseReference(s)
		if !ok {
			return
		}
		if again, ok := parvis.ParseReference(string(ref)); !ok || again != ref {
			t.Errorf("%q reads as %q, which reads as %q", s, ref, again)
		}
	})
}

func TestAddresses(t *testing.T) {
	a, err := parvis.NewAddresses(map[parvis.Channel]string{
		parvis.Internal: "http://agents.localhost:8080", parvis.Mobile: "https://nomade.example.org",
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		host string
		ch   parvis.Channel
		app  parvis.AppID
		ok   bool
	}{
		{"agents.localhost:8080", parvis.Internal, "", true},
		{"PAIE.Agents.localhost:8080", parvis.Internal, "paie", true},
		{"nomade.example.org", parvis.Mobile, "", true},
		{"paie.nomade.example.org", parvis.Mobile, "paie", true},
		{"a.b.nomade.example.org", "", "", false},
		{".nomade.example.org", "", "", false},
		{"agents.localhost", "", "", false},
		{"evil.example", "", "", false},
		{"", "", "", false},
	}
	for _, tt := range tests {
		if ch, app, ok := a.Find(tt.host); ch != tt.ch || app != tt.app || ok != tt.ok {
			t.Errorf("Find(%q) = %q, %q, %v", tt.host, ch, app, ok)
		}
	}
	if got := a.App(parvis.Mobile, "paie"); got != "https://paie.nomade.example.org" {
		t.Errorf("App = %s", got)
	}
	if !a.Secure(parvis.Mobile) || a.Secure(parvis.Internal) || a.Portal(parvis.VPN) != "" || a.App(parvis.VPN, "x") != "" {
		t.Error("what is secure, or absent, is not told")
	}
	for _, bad := range []string{"", "agents", "ftp://x", "https://x/path", "://"} {
		if _, err := parvis.NewAddresses(map[parvis.Channel]string{parvis.Mobile: bad}); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("%q is accepted as an origin: %v", bad, err)
		}
	}
}

func TestCodeOf(t *testing.T) {
	e := &parvis.Error{Code: parvis.CodeLimited, Op: "x", Err: errors.New("y")}
	if got := parvis.CodeOf(fmt.Errorf("wrapped: %w", e)); got != parvis.CodeLimited {
		t.Errorf("wrapped: %s", got)
	}
	if got := parvis.CodeOf(errors.New("plain")); got != parvis.CodeInternal {
		t.Errorf("an error without a code is %s", got)
	}
	if parvis.CodeOf(nil) != "" {
		t.Error("nil has a code")
	}
}

func TestReasonCodesAreAClosedList(t *testing.T) {
	all := parvis.ReasonCodes()
	seen := map[parvis.ReasonCode]bool{}
	for _, c := range all {
		if seen[c] {
			t.Errorf("%s stands twice", c)
		}
		seen[c] = true
	}
	if len(all) != 101 || parvis.ReasonCode("nonsense").Known() || !parvis.WhyChannelClosed.Known() {
		t.Errorf("%d codes", len(all))
	}
}

func TestNetworkIsWhatAStrangerCannotLeave(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "192.0.2.7:443": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "[2001:db8:1:2::9]:443": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
		"": "invalid Prefix", "unknown": "invalid Prefix",
	} {
		if got := parvis.Network(address).String(); got != want {
			t.Errorf("%q lies in %s, want %s", address, got, want)
		}
	}
	for from, want := range map[parvis.Origin]bool{
		{}: false, {Channel: parvis.Mobile}: false, {Channel: parvis.Mobile, Known: true}: true,
		{Channel: parvis.Internal}: true, {Channel: parvis.VPN}: true,
	} {
		if from.Ours() != want {
			t.Errorf("%+v is ours: %v", from, !want)
		}
	}
}
