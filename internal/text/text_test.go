package text

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		header   string
		fallback Lang
		want     Lang
	}{
		{"", French, French},
		{"", English, English},
		{"en", French, English},
		{"en-GB,en;q=0.9,fr;q=0.8", French, English},
		{"fr-CA", English, French},
		{"FR-fr", English, French},
		{"en;q=0.2, fr;q=0.9", English, French},
		{"de, it;q=0.9, en;q=0.1", French, English},
		{"de", French, French},
		{"*", English, English},
		{"fr;q=0, en;q=0.5", French, English},
		{"en;q=0", French, French},
		{"en;q=blue", French, French},
		{";;;===", English, English},
		{"\x00\xff", French, French},
		{strings.Repeat("x", 4000), French, French},
		{"en," + strings.Repeat("de-", 4000), French, English},
		{"de," + strings.Repeat("a,", 5000) + "en", French, French},
	} {
		if got := Match(tt.header, tt.fallback); got != tt.want {
			t.Errorf("Match(%.30q, %s) = %s, want %s", tt.header, tt.fallback, got, tt.want)
		}
	}
}

func TestSay(t *testing.T) {
	c := load(t)
	for _, tt := range []struct {
		l    Lang
		key  string
		args Args
		want string
	}{
		{French, "chrome.skip", nil, "Aller au contenu"},
		{English, "chrome.skip", nil, "Skip to content"},
		{"de", "chrome.skip", nil, "Aller au contenu"},
		{French, "no.such.key", nil, "⟦no.such.key⟧"},
		{French, "home.greeting", nil, "Bonjour, ⟦name⟧"},
		{French, "home.greeting", Args{"name": "{org}[|]"}, "Bonjour, {org}[|]"},
		{French, "security.second.required", nil, "Votre profil demande une deuxième méthode. Décision de la direction informatique."},
		{French, "security.second.required", Args{"it_department": "la DSIN"}, "Votre profil demande une deuxième méthode. Décision de la DSIN."},
		{
			English, "refusal.give",
			Args{"ref": "K7QP-3M9T", "date_time": time.Date(2026, 3, 3, 14, 20, 0, 0, time.UTC), "channel": "Mobile portal"},
			"Give this to the support desk: reference K7QP-3M9T, Tuesday 3\u00a0March at 14:20, Mobile portal.",
		},
		{
			French, "refusal.contact",
			Args{"role": "assistance", "name": "Centre de services", "phone": "01 00 00 00 00"},
			"Assistance\u00a0: Centre de services, 01 00 00 00 00.",
		},
		{
			French, "refusal.contact",
			Args{"role": "assistance", "name": "Centre", "hours": "7 h à 20 h", "open_now": "Ouvert maintenant."},
			"Assistance\u00a0: Centre, 7 h à 20 h. Ouvert maintenant.",
		},
		{French, "activation_overview.progress", Args{"done": 1, "n": 5}, "1 étape sur 5 faite"},
		{French, "activation_overview.progress", Args{"done": 0, "n": 5}, "0 étape sur 5 faite"},
		{French, "activation_overview.progress", Args{"done": 2, "n": 5}, "2 étapes sur 5 faites"},
		{English, "activation_overview.progress", Args{"done": 0, "n": 5}, "0 steps of 5 done"},
	} {
		if got := c.Say(tt.l, tt.key, tt.args); got != tt.want {
			t.Errorf("Say(%s, %s) = %q, want %q", tt.l, tt.key, got, tt.want)
		}
	}
}

func TestReasonReadsAsAnAnswer(t *testing.T) {
	c := load(t)
	args := Args{
		"app": "Finances", "channel_label": c.Say(French, "channel.mobile.the", nil),
		"org": "Valmont", "open_list": []string{"Messagerie", "Paie", "Congés"},
	}
	want := Answer{
		Title: "Finances ne s'ouvre pas depuis le portail mobile",
		Why:   "Votre identifiant et votre mot de passe sont bons. Finances contient des données réservées au réseau de Valmont.",
		Do: []string{
			"Au bureau, ouvrez Finances depuis un poste.",
			"À distance, ouvrez le VPN sur votre ordinateur de service, puis revenez ici.",
		},
		Meanwhile: "Ici, vous pouvez ouvrir\u00a0: Messagerie, Paie et Congés.",
		Actions:   []string{"Ouvrir le VPN\u00a0: mode d'emploi", "M'envoyer le lien pour plus tard"},
	}
	if diff := cmp.Diff(want, c.Reason(French, "channel_not_allowed", args)); diff != "" {
		t.Error(diff)
	}
	if got := c.Reason(French, "nothing", nil); got.Title != "⟦nothing⟧" || got.Do != nil {
		t.Errorf("an unknown code gives %+v", got)
	}
	args["open_list"] = []string{}
	if got := c.Reason(French, "channel_not_allowed", args); got.Meanwhile != "" {
		t.Errorf("nothing is open here, but: %q", got.Meanwhile)
	}
}

func TestWay(t *testing.T) {
	c := load(t)
	opening := time.Date(2026, 3, 4, 7, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		l       Lang
		changes []Change
		want    string
	}{
		{French, nil, ""},
		{French, []Change{{Kind: "channel", To: "vpn", By: "self"}}, "Ouvrir le VPN sur votre ordinateur de service"},
		{
			French,
			[]Change{{Kind: "channel", To: "internal", By: "self"}, {Kind: "proof", To: "totp", By: "self"}},
			"Passer par un poste au bureau, puis confirmer avec votre application de codes",
		},
		{
			English,
			[]Change{
				{Kind: "channel", To: "vpn", By: "self"},
				{Kind: "proof", To: "passkey", By: "self"},
				{Kind: "time", By: "self", Args: Args{"when": opening}},
			},
			"Start the VPN on your work computer, confirm with your passkey, then wait until Wednesday 4\u00a0March at 07:00",
		},
		{
			French,
			[]Change{{Kind: "entitlement", To: "finances", By: "app_owner", Args: Args{"lead": 72 * time.Hour}}},
			"Demander l'accès à la personne responsable de l'application (délai habituel\u00a0: 3\u00a0jours)",
		},
		{
			French,
			[]Change{{Kind: "account", To: "activated", By: "self"}},
			"Activer votre compte agent",
		},
		{
			French,
			[]Change{{Kind: "proof", To: "totp", By: "it_contact", Args: Args{"it_contact": "Jeanne {app}"}}},
			"Demander à Jeanne {app} de mettre en service votre application de codes",
		},
		{French, []Change{{Kind: "magic"}}, "⟦way.magic⟧"},
	} {
		if got := c.Way(tt.l, tt.changes); got != tt.want {
			t.Errorf("Way(%s, %v) = %q, want %q", tt.l, tt.changes, got, tt.want)
		}
	}
}

// Every mail says which account, why, what to do and how to check it. The
// package that sends them puts the parts together.
func TestEveryMailIsComplete(t *testing.T) {
	c := load(t)
	known := Args{"n": 3, "link": "L", "code": "C", "ref": "R", "portal": "P", "phone": "T", "first_step": "S"}
	for _, name := range []string{
		"org", "sender", "date", "time", "date_time", "when", "duration", "cause",
	} {
		known[name] = "V"
	}
	for _, name := range []string{
		"mail_activation", "mail_recovery", "mail_reset_done", "mail_locked",
		"mail_new_device", "mail_blocked_cause", "mail_expiry",
	} {
		for _, l := range languages {
			for _, part := range []string{name + ".subject", name + ".account", name + ".why", name + ".do", "mail.check"} {
				s := c.Say(l, part, known)
				if s == "" || strings.ContainsAny(s, "⟦⟧") {
					t.Errorf("%s in %s: %q", part, l, s)
				}
				if strings.HasSuffix(part, ".subject") && strings.Contains(s, "\n") {
					t.Errorf("%s in %s has two lines", part, l)
				}
			}
		}
	}
	for _, name := range []string{"mail_activation", "mail_recovery"} {
		if !c.Has(name + ".button") {
			t.Errorf("%s has a link and no button", name)
		}
	}
}

// A value put into a sentence is never read again as a sentence.
func TestValuesAreNotExpanded(t *testing.T) {
	c := load(t)
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.StringOfN(rapid.SampledFrom([]rune("{}[]|^:org \u00a0é")), 1, 20, -1).Draw(t, "value")
		for _, l := range languages {
			got := c.Say(l, "chrome.page_title", Args{"title": v, "org": v})
			if want := v + " — " + v; got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	c := load(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got := c.Reason(English, "lock_warning", Args{"n": 1, "duration": time.Minute}).Title; got != "1 try left before a 1\u00a0minute lock" {
					t.Errorf("%q", got)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReason(b *testing.B) {
	c := load(b)
	args := Args{"app": "Finances", "channel_label": "le portail mobile", "org": "Valmont"}
	for b.Loop() {
		c.Reason(French, "channel_not_allowed", args)
	}
}

// A preposition and the article of the value after it join in French, at the
// border of a value and nowhere else.
func TestContraction(t *testing.T) {
	c := load(t)
	for _, tt := range []struct {
		l    Lang
		who  string
		want string
	}{
		{French, "le service des ressources humaines", "Demander un code d'activation au service des ressources humaines"},
		{French, "les ressources humaines", "Demander un code d'activation aux ressources humaines"},
		{French, "la direction", "Demander un code d'activation à la direction"},
		{French, "Léa, qui répond à le numéro", "Demander un code d'activation à Léa, qui répond à le numéro"},
		{English, "le service", "Ask le service for an activation code"},
	} {
		got := c.Way(tt.l, []Change{{Kind: "account", To: "activated", By: "hr_unit", Args: Args{"who": tt.who}}})
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.who, got, tt.want)
		}
	}
	for before, want := range map[string]string{
		"règle de {x}": "règle du VPN", "De {x}": "Du VPN", "À {x}": "Au VPN", "mode {x}": "mode le VPN", "voilà {x}": "voilà le VPN",
		"vers {x}": "vers le VPN", "[à {x}] et [de {x}]": "au VPN et du VPN",
	} {
		nodes, err := compile(before)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.render(French, nodes, Args{"x": "le VPN"}); got != want {
			t.Errorf("%q: got %q, want %q", before, got, want)
		}
	}
}

// A verb cannot agree with the name of an application, which may be a plural.
func TestNoEnglishVerbAgreesWithAnApplication(t *testing.T) {
	verb := regexp.MustCompile(`\{app\} (is|are|has|have|does|do|was|were|[a-z]+s)\b`)
	written(load(t), func(key string, l Lang, s string) {
		if found := verb.FindString(s); l == English && found != "" {
			t.Errorf("%s: %q in %q", key, found, s)
		}
	})
}

// A code for an activation opens the task list again until the password is
// chosen: the message does not say that it serves once.
func TestActivationMessageIsTrue(t *testing.T) {
	c := load(t)
	until := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	for l, want := range map[Lang]string{
		French: "Il sert jusqu'à ce que votre mot de passe soit choisi, au plus tard mardi 24\u00a0novembre à 9\u00a0h.", English: "It works until your password is chosen, Tuesday 24\u00a0November at 09:00 at the latest.",
	} {
		if got := c.Say(l, "mail_activation.do", Args{"date_time": until, "now": until}); !strings.Contains(got, want) {
			t.Errorf("%q", got)
		}
	}
}
