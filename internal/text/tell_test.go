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

// The same code has several causes: the sentence says the one that is true.
func TestVariants(t *testing.T) {
	c := load(t)
	finances := parvis.App{ID: "finances", Name: parvis.Words{FR: "Finances", EN: "Finance"}, Second: true}
	mail := parvis.App{ID: "messagerie", Name: parvis.Words{FR: "Messagerie", EN: "Mail"}}
	planning := parvis.App{ID: "urbanisme", Name: parvis.Words{FR: "Urbanisme", EN: "Planning"}, OfficeHours: true}
	hours := Args{"hours": "du lundi au vendredi"}
	for _, tt := range []struct {
		code  parvis.ReasonCode
		scene Scene
		title string
		why   string
	}{
		{parvis.WhyFactorRequired, Scene{}, "Votre profil demande une double vérification", "Règle de la direction informatique."},
		{parvis.WhyFactorRequired, Scene{App: finances, Channel: parvis.Internal}, "Finances demande une double vérification", "Règle de la direction informatique pour Finances."},
		{parvis.WhyFactorRequired, Scene{App: finances, Channel: parvis.Internal, Sensitive: true}, "Votre profil demande une double vérification", "Règle de la direction informatique."},
		{parvis.WhyFactorRequired, Scene{App: mail, Channel: parvis.VPN}, "Le VPN demande une double vérification", "Règle de la direction informatique pour cette entrée."},
		{parvis.WhyFactorRequired, Scene{App: mail, Channel: parvis.Internal}, "Votre profil demande une double vérification", "Règle de la direction informatique."},
		{parvis.WhyChannelClosed, Scene{App: planning, Channel: parvis.Mobile, Values: hours}, "Urbanisme s'ouvre du lundi au vendredi", ""},
		{parvis.WhyChannelClosed, Scene{App: mail, Channel: parvis.Internal, Values: hours}, "Le poste au bureau est ouvert du lundi au vendredi", ""},
		{parvis.WhyIdentifierWrongCircuit, Scene{Values: Args{"phone_typed": true}}, "Ceci ressemble à un numéro de téléphone", ""},
		{parvis.WhyPasswordRuleLength, Scene{Values: Args{"n": 15, "most": 128}}, "Le mot de passe doit avoir au plus 128 caractères", ""},
		{parvis.WhyPasswordRuleLength, Scene{Values: Args{"n": 15}}, "Le mot de passe doit avoir au moins 15 caractères", ""},
	} {
		told := c.Tell(French, parvis.Decision{Reasons: []parvis.Reason{{Code: tt.code}}}, tt.scene).Reasons[0]
		if told.Title != tt.title || tt.why != "" && told.Answer.Why != tt.why || told.Code != string(tt.code) {
			t.Errorf("%s: %q, %q; want %q, %q", tt.code, told.Title, told.Answer.Why, tt.title, tt.why)
		}
	}
}
