package portal

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
)

const newOne = "phare mandarine escalier lune"

// TestOwnPassword: somebody who is in chooses another password, without a script.
func TestOwnPassword(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		tn := open(t)
		b, other := tn.from(parvis.Mobile, lang).signIn("A100001"), tn.from(parvis.Internal, lang).signIn("A100001")
		b.get("/security").is("security", http.StatusOK).has(`href="/security/password"`)
		b.get("/security/password").is("security_password", http.StatusOK).
			has("A100001", `autocomplete="current-password"`, `autocomplete="new-password"`, `action="/security/password"`, "15")
		send := func(now, next string) reply {
			t.Helper()
			return b.post("/security/password", "password", now, "new_password", next, "others", "end")
		}
		for _, c := range []struct{ now, next, reason string }{
			{"", "", ""},
			{rightOne, "", ""},
			{"", newOne, ""},
			{rightOne, "Camille Morel", "password_rule_length"},
			{"ce n'est pas le bon", newOne, "credentials_incorrect"},
			{"ce n'est pas le bon", rightOne, "credentials_incorrect"},
			{rightOne, rightOne, "password_rule_reused"},
		} {
			r := send(c.now, c.next).is("security_password", http.StatusUnprocessableEntity).has(`aria-invalid="true"`)
			if !strings.HasPrefix(r.attr("data-reason"), c.reason) || strings.Contains(r.body, `value="`+c.now+`"`) && c.now != "" {
				t.Errorf("%q for %q: %q", c.next, c.now, r.attr("data-reason"))
			}
		}
		other.get("/").is("home", http.StatusOK)
		before := b.cookies["parvis"]
		send(rightOne, newOne).to("/security?changed=1")
		b.get("/security?changed=1").is("security", http.StatusOK).has("notice-done")
		if b.cookies["parvis"] == before {
			t.Error("the session keeps its identifier")
		}
		other.get("/").is("start", http.StatusOK)
		stale := tn.from(parvis.Mobile, lang)
		stale.cookies["parvis"] = before
		stale.get("/").is("start", http.StatusOK)
		if n := strings.Count(b.get("/activity").body, map[string]string{"fr": "Session ouverte", "en": "Session opened"}[lang]); n != 2 {
			t.Errorf("%d sessions told, want 2: showing a password again opens none", n)
		}
		// Signed out, the door leads here.
		out := tn.from(parvis.Mobile, lang)
		if r := out.get("/security/password"); !strings.HasPrefix(r.location, "/signin?return=") {
			t.Errorf("to %q", r.location)
		}
		if r := out.post("/security/password", "password", newOne, "new_password", rightOne); !strings.HasPrefix(r.location, "/signin?return=") {
			t.Errorf("to %q", r.location)
		}
		// Guesses wait here as they do at the door.
		for i := range 5 {
			send("une idée "+string(rune('a'+i)), "tambour verger argile signal")
		}
		if r := send(newOne, "tambour verger argile signal").is("security_password", http.StatusForbidden); r.attr("data-reason") != "account_locked_attempts" {
			t.Errorf("%q", r.attr("data-reason"))
		}
	}
}

// TestKeepOthers: the other sessions go on when that is what was chosen.
func TestKeepOthers(t *testing.T) {
	tn := open(t)
	b, other := tn.from(parvis.Mobile, "fr").signIn("A100001"), tn.from(parvis.Internal, "fr").signIn("A100001")
	b.post("/security/password", "password", rightOne, "new_password", "court", "others", "keep").is("security_password", http.StatusUnprocessableEntity).has(`value="keep" checked`)
	b.post("/security/password", "password", rightOne, "new_password", newOne, "others", "keep").to("/security?changed=1")
	other.get("/").is("home", http.StatusOK)
}

// TestExpiryLeadsToTheChange: who is told that a password expires can act.
func TestExpiryLeadsToTheChange(t *testing.T) {
	tn := open(t)
	ctx := context.Background()
	b := tn.from(parvis.Mobile, "fr").signIn("A100001")
	hashed, err := tn.portal.Vault.Hash(ctx, rightOne)
	if err != nil {
		t.Fatal(err)
	}
	if err := tn.store.Write(ctx, func(tx *store.Tx) error { return tn.portal.Vault.SetPassword(ctx, tx, "A100001", hashed, 7) }); err != nil {
		t.Fatal(err)
	}
	b.get("/").is("home", http.StatusOK).has("expire dans", `href="/security/password"`)
	tn.clock.Move(time.Minute)
}

// TestNothingIsRepeatedElsewhere: no answer of the site map asks a browser to
// send its form again (RFC 9700 §4.12).
func TestNothingIsRepeatedElsewhere(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Mobile, "fr")
	for _, path := range []string{
		"//signin", "/signin//", "/./signin", "/activate/../signin", "/signin/.", "/activate//password", "//x", "/assets", "/assets//x", "/%2e%2e/signin", "/signin/",
	} {
		for _, r := range []reply{
			b.get(path), b.post(path, "identifier", "A100001", "password", rightOne),
		} {
			if r.status != http.StatusNotFound || r.location != "" {
				t.Errorf("%s: %d to %q", r.path, r.status, r.location)
			}
		}
	}
}
