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

// What is said of a code is about the code that was asked for; whose rule keeps
// a method is said.
func TestVariantsOfCodesAndRules(t *testing.T) {
	c := load(t)
	for _, d := range []struct {
		code   parvis.ReasonCode
		values Args
		app    string
		want   string
		not    string
	}{
		{parvis.WhyCodeLength, Args{"missing": 2}, "", "Le code a 6 chiffres : il en manque 2", "signes"},
		{parvis.WhyCodeLength, Args{"code_of": parvis.RecoveryCode}, "", "Un code de secours a 16 signes", "chiffres"},
		{parvis.WhyCodeLength, Args{"code_of": parvis.TemporaryCode}, "", "Un code temporaire a 10 signes", "chiffres"},
		{parvis.WhyCodeRequired, Args{"code_of": parvis.TemporaryCode}, "", "Saisissez le code temporaire", "chiffres"},
		{parvis.WhyCodeRequired, Args{"code_of": parvis.TOTP}, "", "Saisissez le code à 6 chiffres", "temporaire"},
		{parvis.WhyCodeIncorrect, Args{"code_of": parvis.RecoveryCode}, "", "Il a 16 signes", "6 chiffres"},
		{parvis.WhyCodeIncorrect, Args{"code_of": parvis.TemporaryCode, "it_contact": "Mme Roy"}, "", "demandez un autre code à Mme Roy", "6 chiffres"},
		{parvis.WhyCodeReused, Args{"code_of": parvis.RecoveryCode}, "", "prenez le suivant", "30 secondes"},
		{parvis.WhyFactorRemovalForbidden, nil, "", "Votre profil en demande au moins une", "Règle de"},
		{parvis.WhyFactorRemovalForbidden, Args{"rule": "app", "it_department": "la DSI"}, "Finances", "Règle de la DSI : Finances demande", "profil"},
		{parvis.WhyFactorRemovalForbidden, Args{"rule": "entrance", "it_department": "la DSI"}, "", "Règle de la DSI : le VPN demande", "profil"},
		{parvis.WhyFactorRemovalForbidden, Args{"rule": "only"}, "", "votre seul moyen", "profil"},
	} {
		scene := Scene{Channel: parvis.VPN, Values: d.values}
		if d.app != "" {
			scene.App = parvis.App{ID: "finances", Name: parvis.Words{FR: d.app}}
		}
		r := c.Tell(French, parvis.Decision{Reasons: []parvis.Reason{{Code: d.code}}}, scene).Reasons[0]
		said := strings.ReplaceAll(r.Title+". "+r.Answer.Why, noBreak, " ")
		if !strings.Contains(said, d.want) || strings.Contains(said, d.not) {
			t.Errorf("%s %v: %q", d.code, d.values, said)
		}
	}
}

// A way of several changes does not ask to confirm with what is not held: it
// asks to add it, at the entrance where that happens.
func TestWaysThatEnrol(t *testing.T) {
	c := load(t)
	move := parvis.Change{Kind: parvis.ChangeChannel, To: "internal", By: parvis.BySelf}
	proof := func(to string, by parvis.Actor) parvis.Change {
		return parvis.Change{Kind: parvis.ChangeProof, To: to, By: by}
	}
	for _, d := range []struct {
		held    string
		changes []parvis.Change
		want    string
	}{
		{"", []parvis.Change{move, proof("second", parvis.BySelf)}, "Passer par un poste au bureau, puis ajouter une deuxième méthode de vérification"},
		{"", []parvis.Change{move, proof("passkey", parvis.BySelf)}, "Passer par un poste au bureau, puis ajouter une clé d'accès"},
		{"passkey internal", []parvis.Change{move, proof("passkey", parvis.BySelf)}, "Passer par un poste au bureau, puis confirmer avec votre clé d'accès"},
		{"passkey mobile", []parvis.Change{move, proof("passkey", parvis.BySelf)}, "Passer par un poste au bureau, puis ajouter une clé d'accès"},
		{"second mobile", []parvis.Change{proof("second", parvis.BySelf)}, "Confirmer que c'est vous"},
		{"", []parvis.Change{proof("temporary_code", parvis.ByITContact)}, "Demander un code temporaire à Mme Roy, en personne"},
	} {
		told := c.Tell(French, parvis.Decision{Ways: []parvis.Way{{Changes: d.changes}}}, Scene{
			Channel: parvis.Mobile, Values: Args{"it_contact": "Mme Roy"},
			Enrols: func(to string, ch parvis.Channel) bool { return to+" "+string(ch) != d.held },
		})
		if got := strings.ReplaceAll(told.Ways[0].Title, noBreak, " "); got != d.want {
			t.Errorf("%q held, %v: %q, want %q", d.held, d.changes, got, d.want)
		}
	}
}
