package credential

import (
	"context"
	"strings"
	"testing"

	"parvis"
	"parvis/internal/seal"
)

func TestForeignPasswords(t *testing.T) {
	onSQLite(t, func(s scene) {
		ctx := t.Context()
		phc, err := s.HashFor(ctx, "citizens", "une ph\u0072ase de passe é")
		if err != nil {
			t.Fatal(err)
		}
		own, err := s.Hash(ctx, right)
		if err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct {
			purpose, phc string
			typed        seal.Secret
			want         bool
		}{
			"right":                    {"citizens", phc, "une phrase de passe é", true},
			"from another keyboard":    {"citizens", phc, "une phrase de passe e\u0301", true},
			"wrong":                    {"citizens", phc, "une phrase de passe", false},
			"of another purpose":       {"others", phc, "une phrase de passe é", false},
			"of no purpose":            {"", phc, "une phrase de passe é", false},
			"of nobody":                {"citizens", "", "une phrase de passe é", false},
			"an agent's own":           {"citizens", own.phc, right, false},
			"endless":                  {"citizens", phc, seal.Secret(strings.Repeat("x", longestTyped+1)), false},
			"nothing, of nobody":       {"citizens", "", "", false},
			"nothing, of no purpose":   {"", "", "", false},
			"an agent's own, unnamed":  {"", own.phc, right, false},
			"the pepper as a purpose":  {"pepper", own.phc, right, false},
			"what is kept as password": {"citizens", phc, seal.Secret(phc), false},
		} {
			before := s.pool.done
			got, err := s.HoldsFor(ctx, test.purpose, test.phc, test.typed)
			if err != nil || got != test.want {
				t.Errorf("%s: %t, %v", name, got, err)
			}
			if s.pool.done != before+1 {
				t.Errorf("%s: the work tells that there is nobody", name)
			}
		}
		if _, err := s.HoldsFor(ctx, "citizens", "$argon2id$broken", "x"); parvis.CodeOf(err) != parvis.CodeInternal {
			t.Errorf("a hash that cannot be read: %v", err)
		}
		for name, test := range map[string]struct {
			purpose string
			typed   seal.Secret
		}{"no purpose": {"", "x"}, "nothing typed": {"citizens", ""}, "too long": {"citizens", seal.Secret(strings.Repeat("x", maxLength+1))}} {
			if phc, err := s.HashFor(ctx, test.purpose, test.typed); parvis.CodeOf(err) != parvis.CodeInvalid || phc != "" {
				t.Errorf("%s: %q, %v", name, phc, err)
			}
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		leave := fill(t, s.pool)
		defer leave()
		if _, err := s.HashFor(gone, "citizens", "x"); parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Errorf("who went away: %v", err)
		}
		if _, err := s.HoldsFor(gone, "citizens", phc, "x"); parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Errorf("who went away: %v", err)
		}
	})
}
