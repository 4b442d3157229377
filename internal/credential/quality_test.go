package credential

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/seal"
)

var marie = &parvis.Agent{
	Number: "A100001", FamilyName: "Lefèvre-Martin", UsageName: "Ng", GivenNames: "Marie Zoé",
	Email: "mz.lefevre@example.org",
}

func judge(password string, second bool) Quality {
	v := &Vault{Words: []string{"Ville de Sainte-Fiction"}}
	return v.Judge(seal.Secret(password), marie, second)
}

func TestJudge(t *testing.T) {
	const (
		length   = parvis.WhyPasswordRuleLength
		common   = parvis.WhyPasswordRuleCommon
		personal = parvis.WhyPasswordRulePersonal
	)
	for _, c := range []struct {
		password string
		alone    []parvis.ReasonCode
		second   []parvis.ReasonCode
	}{
		// Short, or too long.
		{"", []parvis.ReasonCode{length, common}, []parvis.ReasonCode{length, common}},
		{"g7#kW", []parvis.ReasonCode{length, common}, []parvis.ReasonCode{length, common}},
		{"vq7#kWz2!mXp", []parvis.ReasonCode{length}, nil},
		{strings.Repeat("é", 129), []parvis.ReasonCode{length}, []parvis.ReasonCode{length}},
		{"\xff\xfe bytes that are no text", []parvis.ReasonCode{length}, []parvis.ReasonCode{length}},

		// Long and worthless, French.
		{"motdepasse123456", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"MotDePasse2026!!", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"azertyuiop12345", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"azertyuiopqsdfghjklm", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"Bonjour2026Bonjour2026", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"aaaaaaaaaaaaaaaaaaaa", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"Marseille13000!", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"jesuisagentdelaville", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"Liberté-Égalité-Fraternité", []parvis.ReasonCode{common}, nil},
		{"jetaimejetaimejetaime", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"M0td3p@ss3M0td3p@ss3", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"printemps01/04/2026", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},

		// Long and worthless, English.
		{"passwordpassword", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"Password123456789", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"qwertyuiopasdfgh", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"Welcome2026Welcome", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"iloveyouiloveyou1", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"mychemicalromance", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"abcdefghijklmnopq", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"drowssapdrowssap", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"correcthorsebatterystaple", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},
		{"987654321098765432", []parvis.ReasonCode{common}, []parvis.ReasonCode{common}},

		// Their own words, in any dress.
		{"cactus-lefevre-tremplin-givre", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"cactus LEFÈVRE tremplin givre", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"cactus L3f3vr3 tremplin givre", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"cactus a100001 tremplin givre", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"cactus 100001 tremplin givre", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"zoé cactus tremplin givre", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"Marie-soleil-2026", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"ParvisParvis2026!", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"SainteFiction2026", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},
		{"VilledeSainteFiction1", []parvis.ReasonCode{personal}, []parvis.ReasonCode{personal}},

		// Good ones: passphrases and what a manager makes.
		{"cactus tremplin givre bouée", nil, nil},
		{"tonneau-abricot-falaise-jongleur", nil, nil},
		{"violon marmotte escalier tisane", nil, nil},
		{"grenouille quitte violet hangar", nil, nil},
		{"fougèrecarillonpéninsulebocal", nil, nil},
		{"Le hérisson boit du thé à minuit", nil, nil},
		{"otter velvet cranberry lantern", nil, nil},
		{"teapot9gravel?sunset", nil, nil},
		{"kX7vqPw2nRt9sLm", nil, nil},
		{"w8!Kp#zQ4vN$x2Lf", nil, nil},
		{"пароль-и-ёлка-зимой", nil, nil},
		{"une zoologie du granit mauve", nil, nil}, // holds "zoo", not Zoé
	} {
		for _, second := range []bool{false, true} {
			want, q := c.alone, judge(c.password, second)
			if second {
				want = c.second
			}
			if !slices.Equal(q.Reasons, want) {
				t.Errorf("%q, second proof %t: %v (10^%.1f, %s), want %v", c.password, second, q.Reasons, q.Guesses, q.Strength, want)
			}
			if (q.Strength == "weak") != (len(q.Reasons) > 0) {
				t.Errorf("%q is %s with %v", c.password, q.Strength, q.Reasons)
			}
		}
	}
}

func TestStrengthInWords(t *testing.T) {
	for password, want := range map[string]string{
		"motdepasse123456":                       "weak",
		"bzz4hkq8wtnp":                           "fair",
		"tremplin givre bouée":                   "good",
		"cactus tremplin givre bouée péninsule":  "strong",
		"Zq7!xK2#vB9$nM4%wL6&cR8*tY1@pJ3^hF5(gD": "strong",
	} {
		if q := judge(password, true); q.Strength != want {
			t.Errorf("%q: %s (10^%.1f, %v), want %s", password, q.Strength, q.Guesses, q.Reasons, want)
		}
	}
}

// What a password manager makes must never be refused for chance words in it.
func TestRandomPasswordsPass(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		signs  string
		size   int
		second bool
	}{
		{"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 16, false},
		{"abcdefghijklmnopqrstuvwxyz0123456789", 18, false},
		{"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&*+-.:=?@_", 14, true},
	} {
		refused := 0
		for range 500 {
			b := make([]byte, c.size)
			for i := range b {
				b[i] = c.signs[r.IntN(len(c.signs))]
			}
			if q := judge(string(b), c.second); len(q.Reasons) > 0 {
				refused++
			}
		}
		if refused > 2 {
			t.Errorf("%d of 500 random passwords of %d signs were refused", refused, c.size)
		}
	}
}

// Four or five words drawn by lot are what the sentence on the page advises:
// they must be accepted.
func TestRandomPassphrasesPass(t *testing.T) {
	w := loadWords()
	r := rand.New(rand.NewPCG(3, 4))
	word := func() string {
		for {
			i := r.IntN(len(w.rank))
			s := string(w.text[w.start[i]:w.start[i+1]])
			if len(s) >= 5 && len(s) <= 10 && w.rank[i] >= 40 && !strings.ContainsAny(s, "0123456789") {
				return s
			}
		}
	}
	refused := 0
	for range 500 {
		phrase := word() + " " + word() + " " + word() + " " + word()
		if q := judge(phrase, false); len(q.Reasons) > 0 {
			refused++
			t.Logf("%q: 10^%.1f %v", phrase, q.Guesses, q.Reasons)
		}
	}
	if refused > 5 {
		t.Errorf("%d of 500 passphrases were refused", refused)
	}
}

func TestJudgeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.String().Draw(t, "password")
		q := judge(password, rapid.Bool().Draw(t, "second"))
		if q.Guesses < 0 || q.Guesses > 400 {
			t.Fatalf("%q: 10^%f guesses", password, q.Guesses)
		}
		if n := utf8.RuneCountInString(password); n < 5 && !slices.Contains(q.Reasons, parvis.WhyPasswordRuleLength) {
			t.Fatalf("%q passes", password)
		}
		// One sign more is never easier to guess than half of what was before.
		if more := judge(password+"%", false); len(q.Reasons) == 0 && more.Guesses < q.Guesses-1 {
			t.Fatalf("%q: 10^%.1f, with a sign more 10^%.1f", password, q.Guesses, more.Guesses)
		}
	})
}

func TestWordFiles(t *testing.T) {
	w := loadWords()
	if len(w.rank) < 100_000 {
		t.Fatalf("%d ranked words", len(w.rank))
	}
	if n := len(w.common.Fingerprints); n < 350_000 {
		t.Fatalf("room for %d common passwords", n)
	}
	last := ""
	for i := range w.rank {
		word := string(w.text[w.start[i]:w.start[i+1]])
		if word <= last {
			t.Fatalf("%q after %q", word, last)
		}
		if i%97 == 0 && fold(word) != word {
			t.Errorf("%q folds to %q", word, fold(word))
		}
		last = word
	}
	if size := len(rankedBin) + len(commonBin); size > 3<<19 {
		t.Errorf("%d bytes embedded", size)
	}
	for _, p := range []string{"thegirlwiththedragontattoo1x", "kqzvwpxjtyqqq"} {
		if w.leaked([]byte(p)) {
			t.Errorf("%q is called common", p)
		}
	}
	for _, p := range []string{"mychemicalromance", "thekingofthe21stcentury"} {
		if !w.leaked([]byte(p)) {
			t.Errorf("%q is not called common", p)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	loadWords()
	for _, p := range []string{"tonneau-abricot-falaise-jongleur", strings.Repeat("aZ3!kqlmotdepasse", 7)} {
		b.Run(fmt.Sprint(len(p)), func(b *testing.B) {
			for b.Loop() {
				judge(p, false)
			}
		})
	}
}

func BenchmarkLoadWords(b *testing.B) {
	for b.Loop() {
		if _, err := readWords(rankedBin, commonBin); err != nil {
			b.Fatal(err)
		}
	}
}
