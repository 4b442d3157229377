package signin

import (
	"testing"

	"parvis"
)

func TestReaches(t *testing.T) {
	pwd, sms, totp := parvis.Proof{Kind: parvis.Password}, parvis.Proof{Kind: parvis.SMS}, parvis.Proof{Kind: parvis.TOTP}
	code, synced, key := parvis.Proof{Kind: parvis.TemporaryCode}, parvis.Proof{Kind: parvis.Passkey}, parvis.Proof{Kind: parvis.Passkey, Hardware: true}
	levels := []string{"eidas1", "eidas1-mfa", "eidas2", "eidas3"}
	for _, c := range []struct {
		name   string
		proofs []parvis.Proof
		most   int // how many of the levels are reached
	}{
		{"nothing", nil, 0},
		{"a verifier that was waived", []parvis.Proof{{Kind: parvis.VerifierWaived}}, 0},
		{"a password", []parvis.Proof{pwd}, 1},
		{"two of one nature", []parvis.Proof{sms, totp}, 1},
		{"password and text message", []parvis.Proof{pwd, sms}, 2},
		{"password and code of the IT contact", []parvis.Proof{pwd, code}, 2},
		{"password and authenticator", []parvis.Proof{pwd, totp}, 3},
		{"a passkey", []parvis.Proof{synced}, 3},
		{"a security key", []parvis.Proof{key}, 4},
	} {
		for i, level := range levels {
			if got := Reaches(c.proofs, level); got != (i < c.most) {
				t.Errorf("%s reaches %s: %v", c.name, level, got)
			}
		}
		if !Reaches(c.proofs, "") {
			t.Errorf("%s does not reach what nobody asked", c.name)
		}
		for _, odd := range []string{"eidas4", "EIDAS1", " eidas1", "eidas0"} {
			if Reaches(c.proofs, odd) || KnownLevel(odd) {
				t.Errorf("%s reaches %q", c.name, odd)
			}
		}
	}
}

// TestReaching: what is offered is what would do together with what was shown.
func TestReaching(t *testing.T) {
	held := []parvis.Held{
		{ID: "s", Kind: parvis.SMS},
		{ID: "t", Kind: parvis.TOTP},
		{ID: "r", Kind: parvis.RecoveryCode},
		{ID: "p", Kind: parvis.Passkey},
		{ID: "k", Kind: parvis.Passkey, Hardware: true},
	}
	pwd := []parvis.Proof{{Kind: parvis.Password}}
	for _, c := range []struct {
		level string
		shown []parvis.Proof
		want  string
	}{
		{"", pwd, "strpk"},
		{"eidas1-mfa", pwd, "strpk"},
		{"eidas2", pwd, "tpk"},
		{"eidas3", pwd, "k"},
		{"eidas2", nil, "pk"},
		{"eidas9", pwd, ""},
		{"eidas2", []parvis.Proof{{Kind: parvis.Passkey}}, "pk"}, // the one of before does not count
	} {
		got := ""
		for _, m := range reaching(held, c.shown, c.level) {
			got += m.ID
		}
		if got != c.want {
			t.Errorf("%q with %v: %s", c.level, c.shown, got)
		}
	}
	if len(held) != 5 || held[0].ID != "s" {
		t.Error("what is held was changed")
	}
}
