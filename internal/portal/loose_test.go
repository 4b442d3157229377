package portal

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"parvis"
	"parvis/internal/helpdesk"
	"parvis/internal/store"
)

// TestCardsOfSecurity: both accounts side by side, each with who runs it, its
// last change, who resets it and where to act; and whose decision the second
// proof is.
func TestCardsOfSecurity(t *testing.T) {
	tn := open(t)
	without := tn.from(parvis.Internal, "fr").signIn("A100001")
	without.get("/security").has("Pas demandé ici", "Une deuxième méthode est demandée pour").hasNot(`href="/security/verifier"`)
	c := tn.outside(parvis.VerifierFirst, false)
	says := map[string][]string{
		"fr": {"Mon Compte", "le service des habitants", "Mot de passe changé le", "Nous ne pouvons pas le réinitialiser", "Pas encore relié", "Décision de la direction informatique", "Voir ou remplacer le lien", "Relié le"},
		"en": {"My Account", "the residents&#39; service", "Password changed on", "We cannot reset it", "Not linked yet", "Decision of", "See or replace the link", "Linked on"},
	}
	for _, lang := range []string{"fr", "en"} {
		say := says[lang]
		b := tn.from(parvis.Internal, lang).signIn("A100001")
		pg := b.get("/security").is("security", http.StatusOK).has(say[0], say[1], say[2], say[3], say[5], "moncompte.example.org", `href="/security/factors"`)
		if lang == "fr" { // the second time it is linked already
			pg.has(say[4], `href="/security/verifier"`)
			b.get(c.visit(b.leave(b.get("/security/verifier")), "citizen-1", true)).to("/security/verifier?done=link")
		}
		b.get("/security").has(say[6], say[7], "•••", `href="/security/verifier"`).hasNot(say[4])
	}
	tn.from(parvis.Internal, "fr").signIn("A100010").get("/security").has("Votre profil ne demande pas de deuxième méthode")
	tn.from(parvis.Internal, "fr").signIn("A100004").get("/security").has("Votre profil demande une deuxième méthode")
}

// TestWaysOfSeveralChanges: what is not held is to be added, also after a change
// of entrance; a page has the buttons of what can be done here, and no others.
func TestWaysOfSeveralChanges(t *testing.T) {
	tn := open(t)
	ways := parvis.Decision{
		Reasons: []parvis.Reason{{Code: parvis.WhyFactorRequired}, {Code: parvis.WhyVerifierMissing}},
		Ways: []parvis.Way{
			{Changes: []parvis.Change{
				{Kind: parvis.ChangeProof, To: "second", By: parvis.BySelf}, {Kind: parvis.ChangeLink, To: "linked", By: parvis.BySelf},
			}},
			{Changes: []parvis.Change{
				{Kind: parvis.ChangeChannel, To: "internal", By: parvis.BySelf}, {Kind: parvis.ChangeProof, To: "passkey", By: parvis.BySelf},
			}},
		},
	}
	why := func(b *visitor) reply {
		ref, err := tn.portal.Counter.Refuse(context.Background(), helpdesk.Refusal{
			Agent: "A100001", Origin: parvis.Origin{Channel: parvis.Mobile}, App: "finances", Path: "/", Decision: ways,
		})
		if err != nil {
			t.Fatal(err)
		}
		return b.get("/why/" + string(ref))
	}
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	step := why(b).has("Ajouter une deuxième méthode de vérification, puis relier", "Passer par un poste au bureau, puis ajouter une clé d&#39;accès").hasNot("Confirmer avec", "/prove?")
	if n := strings.Count(step.body, `href="/security/factors"`); n != 1 {
		t.Errorf("%d buttons to add a method, want 1: what follows a change of entrance is done there", n)
	}
	step.has(`href="/verifier?return=`)
	tn.enrol("A100001")
	why(b).has("Confirmer que c&#39;est vous, puis relier", `href="/prove?return=`, "puis ajouter une clé d&#39;accès")
}

// TestJournalOfProofs: every event about proofs and the other account is told in
// a sentence of its own, with the method it is about.
func TestJournalOfProofs(t *testing.T) {
	tn := open(t)
	kinds := []string{
		"second.enrolled", "second.removed", "second.renamed", "second.ok", "second.failed", "second.locked", "second.waited",
		"second.enrol_failed", "second.code_sent", "second.send_refused", "second.requested", "passkey.cloned", "temporary_code.issued",
		"verifier.linked", "verifier.unlinked", "verifier.confirmed", "verifier.refused", "device.remembered", "sign_in.fallback", "sign_in.held",
		"activation.requested", "activation.refused", "activation.redeemed", "activation.step", "activation.completed",
		"activation.code_issued", "activation.identity_confirmed", "activation.identity_disputed",
	}
	err := tn.store.Write(context.Background(), func(tx *store.Tx) error {
		for _, kind := range kinds {
			tx.Record(parvis.Event{Kind: kind, Agent: "A100001", Actor: "A100001", Channel: parvis.Mobile, Detail: map[string]string{
				"kind": "totp", "until": "2026-11-24T16:00:00Z",
			}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for lang, say := range map[string][]string{
		"fr": {"Action enregistrée", "Méthode de vérification ajoutée : application de codes", "Code temporaire remis, valable jusqu&#39;à 17 h"},
		"en": {"Action recorded", "Method of verification added: ", "Temporary code handed over, good until"},
	} {
		page := tn.from(parvis.Internal, lang).signIn("A100001").get("/activity").is("activity", http.StatusOK)
		page.body = strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(page.body)
		page.has(say[1:]...).hasNot(say[0])
		for _, kind := range kinds {
			if !tn.portal.Catalog.Has("event." + kind) {
				t.Errorf("%s has no sentence", kind)
			}
		}
	}
}

// TestSecondMethodIsSuggested: whoever has one method alone is offered another,
// or codes to print, and no longer once there are two (domain.md 4.3).
func TestSecondMethodIsSuggested(t *testing.T) {
	tn := open(t)
	const alone, every = "Vous n&#39;avez qu&#39;une seule méthode", "pour tous les jours"
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	b.get("/security/factors").hasNot(alone)
	b.addTOTP("/security/factors/totp")
	b.get("/security/factors?added=totp").has(alone, "ou imprimez des codes de secours", `href="/security/factors/codes"`, `href="/security/factors/help"`).hasNot(every)
	b.post("/security/factors/codes").is("security_factors_codes_sheet", http.StatusOK)
	b.get("/security/factors").hasNot(alone)
	sheet := tn.from(parvis.Internal, "fr").signIn("A100010")
	sheet.post("/security/factors/codes").is("security_factors_codes_sheet", http.StatusOK)
	sheet.get("/security/factors").has(alone, every, `href="/security/factors/help"`)

	// The same on the way in.
	code, _, err := tn.portal.Desk.Issue(context.Background(), "A100008", "operator:test")
	if err != nil {
		t.Fatal(err)
	}
	fresh := tn.from(parvis.Mobile, "fr")
	fresh.post("/activate", "code", code.Reveal()).to("/activate/overview")
	fresh.get("/activate/second").is("activation_second_factor", http.StatusOK).hasNot(alone)
	fresh.post("/activate/second/codes").is("activation_second_codes_sheet", http.StatusOK)
	fresh.get("/activate/second").has(alone, every, `href="/activate/second/help"`)
}
