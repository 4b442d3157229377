package text

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

func TestTell(t *testing.T) {
	c := load(t)
	opening := time.Date(2026, 3, 4, 6, 0, 0, 0, time.UTC)
	paris := time.FixedZone("Paris", 3600)
	told := c.Tell(French, parvis.Decision{
		Reasons: []parvis.Reason{{Code: "channel_not_allowed"}, {Code: "channel_closed", At: opening}},
		Ways: []parvis.Way{
			{Changes: []parvis.Change{{Kind: parvis.ChangeChannel, To: "vpn", By: parvis.BySelf}}},
			{Changes: []parvis.Change{
				{Kind: parvis.ChangeChannel, To: "internal", By: parvis.BySelf},
				{Kind: parvis.ChangeTime, To: "opening", By: parvis.BySelf, From: opening},
			}},
			{Changes: []parvis.Change{{
				Kind: parvis.ChangeDevice, To: "validated", By: parvis.ByITDepartment, Lead: 49*time.Hour + 30*time.Second,
			}}},
		},
	}, Scene{
		App:     parvis.App{ID: "finances", Name: parvis.Words{FR: "Finances", EN: "Finance"}, Owner: parvis.Words{FR: "la trésorerie", EN: "the treasury"}},
		Channel: parvis.Mobile, Zone: paris, Now: opening.Add(-12 * time.Hour), Values: Args{"org": "Valmont"},
	})
	got, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"reasons":[` +
		`{"code":"channel_not_allowed","title":"Finances ne s'ouvre pas depuis le portail mobile"},` +
		`{"code":"channel_closed","title":"Le portail mobile est ouvert à certaines heures"}],` +
		`"ways":[{"changes":[{"kind":"channel","to":"vpn","by":"self"}],"title":"Ouvrir le VPN sur votre ordinateur de service"},` +
		`{"changes":[{"kind":"channel","to":"internal","by":"self"},{"kind":"time","to":"opening","by":"self","from":"2026-03-04T06:00:00Z"}],` +
		`"title":"Passer par un poste au bureau, puis attendre la réouverture, mercredi 4 mars à 7 h"},` +
		`{"changes":[{"kind":"device","to":"validated","by":"it_department","lead":"P2DT1H30S"}],` +
		`"title":"Faire valider votre ordinateur par la direction informatique (délai habituel : 50 heures)"}]}`
	if diff := cmp.Diff(want, strings.ReplaceAll(string(got), noBreak, " ")); diff != "" {
		t.Error(diff)
	}
	if told.Reasons[1].Answer.Why != "Réouverture\u00a0: mercredi 4\u00a0mars à 7\u00a0h." {
		t.Errorf("%q", told.Reasons[1].Answer.Why)
	}
	if diff := cmp.Diff([]string{"self", "it_contact"}, told.Reasons[0].Actors); diff != "" {
		t.Error(diff)
	}
	empty, err := json.Marshal(c.Tell(English, parvis.Decision{Open: true}, Scene{}))
	if err != nil || string(empty) != `{"reasons":[],"ways":[]}` {
		t.Errorf("%s, %v", empty, err)
	}
}
