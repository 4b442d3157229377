package parvis_test

import (
	"testing"

	"parvis"
)

func TestStrictest(t *testing.T) {
	declared := []parvis.Profile{
		{ID: parvis.Standard},
		{ID: parvis.Executive, Sensitive: true},
		{ID: parvis.ExtendedRights, Sensitive: true, PasswordDays: 365},
		{ID: "renewed", PasswordDays: 90},
	}
	tests := []struct {
		name      string
		has       []parvis.ProfileID
		sensitive bool
		days      int
	}{
		{"nobody's profile is standard", nil, false, 0},
		{"one", []parvis.ProfileID{parvis.Executive}, true, 0},
		{"the shortest life wins", []parvis.ProfileID{parvis.ExtendedRights, "renewed"}, true, 90},
		{"an unknown profile is sensitive", []parvis.ProfileID{"lost"}, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := parvis.Strictest(declared, &parvis.Agent{Profiles: tt.has})
			if got.Sensitive != tt.sensitive || got.PasswordDays != tt.days {
				t.Errorf("got %+v", got)
			}
		})
	}
}
