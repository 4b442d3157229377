package text

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

func load(t testing.TB) *Catalog {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// written calls f with every sentence as it stands in the files: values and
// brackets shown by name.
func written(c *Catalog, f func(key string, l Lang, s string)) {
	for key, e := range c.entries {
		for i, l := range languages {
			var b strings.Builder
			show(&b, e[i])
			f(key, l, b.String())
		}
	}
}

func show(b *strings.Builder, nodes []node) {
	for _, n := range nodes {
		switch {
		case n.group != nil:
			show(b, n.group)
		case n.forms != nil:
			for _, f := range n.forms {
				b.WriteString(f.text + "/")
			}
		case n.name != "":
			b.WriteString("{" + n.name + "}")
		default:
			b.WriteString(n.literal)
		}
	}
}

// The closed list is the one of the root package, in its order: the order of
// domain 6.3.
func TestReasonsAreTheClosedList(t *testing.T) {
	c := load(t)
	var want, got []string
	for _, code := range parvis.ReasonCodes() {
		want = append(want, string(code))
	}
	for _, r := range c.Reasons() {
		got = append(got, r.Code)
		if !slices.Contains(levels, r.Level) {
			t.Errorf("%s: level %q", r.Code, r.Level)
		}
		if len(r.Actors) == 0 {
			t.Errorf("%s: nobody can remedy it", r.Code)
		}
		for _, actor := range r.Actors {
			if !slices.Contains(actors, actor) {
				t.Errorf("%s: actor %q", r.Code, actor)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-root +catalogue):\n%s", diff)
	}
	if len(got) != 101 {
		t.Errorf("%d reasons, want 101", len(got))
	}
}

func TestReasonsDoNotChangeTheCatalogue(t *testing.T) {
	c := load(t)
	r := c.Reasons()
	r[0].Code, r[0].Actors[0] = "other", "nobody"
	if got := c.Reasons()[0]; got.Code == "other" || got.Actors[0] == "nobody" {
		t.Errorf("the caller changed the catalogue: %+v", got)
	}
}

// Every sentence, with every value it asks for, says something and leaves no
// trace of its template.
func TestEverySentenceIsWhole(t *testing.T) {
	c := load(t)
	for key, e := range c.entries {
		for i, l := range languages {
			full := Args{}
			for _, name := range names(e[i], nil) {
				full[name] = 3
			}
			s := c.Say(l, key, full)
			if strings.TrimSpace(s) == "" || strings.ContainsAny(s, "⟦⟧{}[]|") {
				t.Errorf("%s in %s: %q", key, l, s)
			}
			if strings.Contains(s, "  ") {
				t.Errorf("%s in %s has two spaces together: %q", key, l, s)
			}
		}
	}
}

// An answer can be read with no value but those that nothing can replace.
func TestReasonsReadWithoutOptionalValues(t *testing.T) {
	c := load(t)
	needed := Args{}
	for _, name := range []string{
		"app", "date", "date_time", "time", "n", "duration", "missing",
		"destination_masked", "subject", "what",
	} {
		needed[name] = "X"
	}
	for _, r := range c.Reasons() {
		for _, l := range languages {
			a := c.Reason(l, r.Code, needed)
			if a.Why != strings.TrimSpace(a.Why) {
				t.Errorf("%s in %s begins or ends with a space: %q", r.Code, l, a.Why)
			}
			all := append([]string{a.Title, a.Why, a.Meanwhile}, append(a.Do, a.Actions...)...)
			for _, s := range all {
				if strings.ContainsAny(s, "⟦⟧") {
					t.Errorf("%s in %s: %q", r.Code, l, s)
				}
			}
			if a.Title == "" || len(a.Actions) != len(r.Actions) {
				t.Errorf("%s in %s: %+v", r.Code, l, a)
			}
		}
	}
}

var (
	// A mark that needs its non-breaking space but follows something else.
	loose = regexp.MustCompile(`[^\x{202f}][;?!]|[^\x{a0}0-9]:|«[^\x{a0}]|[^\x{a0}]»|[0-9}] %`)
	// What the house does not write, in either language.
	unwelcome = regexp.MustCompile(`(?i)contactez votre administrateur|une erreur est survenue|oops|\binvalid|forbidden|` +
		`\bplease\b|désolé|\bsorry\b|accès refusé|access denied|·|\(e\)|connecté|cliquez|click here|administrator|\be-?mail box\b`)
	agreement = regexp.MustCompile(`(?i)vous (êtes|serez|avez été) (\p{L}+(é|ée|és|ées))\b`)
)

func TestTypographyAndTone(t *testing.T) {
	c := load(t)
	written(c, func(key string, l Lang, s string) {
		if bad := unwelcome.FindString(s); bad != "" {
			t.Errorf("%s in %s says %q: %q", key, l, bad, s)
		}
		if l != French {
			if strings.ContainsAny(s, "«»\u202f") {
				t.Errorf("%s in %s has French marks: %q", key, l, s)
			}
			return
		}
		if bad := loose.FindString(s); bad != "" {
			t.Errorf("%s: %q lacks a non-breaking space in %q", key, bad, s)
		}
		if bad := agreement.FindString(s); bad != "" {
			t.Errorf("%s: %q agrees with the reader in %q", key, bad, s)
		}
	})
}

func TestTypographyIsAppliedAsTheFileIsRead(t *testing.T) {
	got := french("Vous hésitez ? « Non » ; 5 % : bien !")
	want := "Vous hésitez\u202f? «\u00a0Non\u00a0»\u202f; 5\u00a0%\u00a0: bien\u202f!"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The screens of this delivery have their title, a sentence and not a label.
func TestEveryScreenHasItsTitle(t *testing.T) {
	c := load(t)
	for _, screen := range []string{
		"start", "sign_in_identifier", "sign_in_secret", "sign_in_context", "password_change_required",
		"activation_code", "activation_overview", "activation_check_identity", "activation_agent_account",
		"activation_verifier", "activation_second_factor", "activation_contact", "activation_channels",
		"activation_done", "home", "why_not", "blocked", "locked_wait", "signed_out", "security",
		"security_password", "sessions", "activity", "offline", "service_unavailable", "service_problem",
		"not_found", "form_expired", "legal_notice", "privacy_notice", "accessibility_statement", "help",
		"recover_start", "diagnosis",
	} {
		if !c.Has(screen + ".title") {
			t.Errorf("%s has no title", screen)
		}
	}
	for _, state := range []string{
		"open", "open_limited", "needs_proof", "not_here", "not_now", "not_assigned", "not_yet", "down",
	} {
		for _, key := range []string{"tile." + state, "app_detail.title." + state, "app_detail.state." + state} {
			if !c.Has(key) {
				t.Errorf("%s is missing", key)
			}
		}
	}
}

// The words of the root package all have a name.
func TestEveryWordOfTheRootIsNamed(t *testing.T) {
	c := load(t)
	var keys []string
	for _, ch := range parvis.Channels() {
		for _, part := range []string{"label", "the", "hint", "opens", "you_are"} {
			keys = append(keys, fmt.Sprintf("channel.%s.%s", ch, part))
		}
	}
	for _, r := range parvis.Roles() {
		keys = append(keys, "role."+string(r))
	}
	for _, p := range []parvis.ProofKind{
		parvis.Password, parvis.Verifier, parvis.TOTP, parvis.SMS,
		parvis.Passkey, parvis.RecoveryCode, parvis.TemporaryCode,
	} {
		keys = append(keys, "proof."+string(p), "way.proof."+string(p))
	}
	for _, p := range []parvis.ProfileID{parvis.Standard, parvis.Executive, parvis.ExtendedRights, parvis.SocialData} {
		keys = append(keys, "profile."+string(p))
	}
	for _, s := range []parvis.State{
		parvis.PreArrival, parvis.Active, parvis.RestrictedHR,
		parvis.DocumentsOnly, parvis.Suspended, parvis.Closed,
	} {
		keys = append(keys, "account_state."+string(s))
	}
	for _, actor := range actors {
		keys = append(keys, "actor."+actor+".label", "actor."+actor+".the")
	}
	for _, key := range keys {
		if !c.Has(key) {
			t.Errorf("%s is missing", key)
		}
	}
}

// Every kind of change, whoever makes it and whatever its target, is a clause
// that joins: no capital, no full stop.
func TestEveryWayIsAClause(t *testing.T) {
	c := load(t)
	kinds := []parvis.ChangeKind{
		parvis.ChangeChannel, parvis.ChangeProof, parvis.ChangeTime, parvis.ChangeDevice,
		parvis.ChangeLink, parvis.ChangePassword, parvis.ChangeEntitlement, parvis.ChangeAccount,
	}
	for _, kind := range kinds {
		for _, by := range actors {
			for _, l := range languages {
				s := c.Way(l, []Change{{Kind: string(kind), To: "something", By: by}})
				if strings.ContainsAny(s, "⟦⟧") || s == "" {
					t.Errorf("%s by %s in %s: %q", kind, by, l, s)
				}
			}
		}
	}
	for _, target := range []string{
		"channel.internal", "channel.vpn", "channel.mobile", "proof.second", "time.opening", "time.date",
		"device.validated", "account.activated", "account.started", "account.reactivated",
		"account.returned", "account.reinstated", "account.reopened",
	} {
		if !c.Has("way." + target) {
			t.Errorf("way.%s is missing", target)
		}
	}
	written(c, func(key string, l Lang, s string) {
		if strings.HasPrefix(key, "way.") && !strings.HasPrefix(key, "way.join") &&
			(s != strings.ToLower(s[:1])+s[1:] || strings.HasSuffix(s, ".")) {
			t.Errorf("%s in %s does not join: %q", key, l, s)
		}
	})
}
