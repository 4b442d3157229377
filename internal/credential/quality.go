package credential

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/seal"
)

// Quality is what is thought of a password. It may be used when there is no
// reason against it.
type Quality struct {
	Reasons  []parvis.ReasonCode // password_rule_length, _personal, _common; empty when it may be used
	Strength string              // "weak", "fair", "good" or "strong"; "weak" whenever there is a reason
	Guesses  float64             // base-10 logarithm of the guesses it would take
	Least    int                 // the number of characters asked for
}

// product.md section 5.
const (
	leastAlone    = 15 // NIST SP 800-63B-4 3.1.1.2
	leastWithMore = 12
	maxLength     = 128
	guessesAlone  = 14 // 10^14
	guessesWith   = 12
)

// length counts what people count: code points after NFKC, so that an accent
// typed in two ways is one character.
func length(password string) int {
	if len(password) > longestTyped || !utf8.ValidString(password) {
		return maxLength + 1
	}
	return utf8.RuneCountInString(norm.NFKC.String(password))
}

// Judge says what is thought of a password that an agent chooses. It asks
// nobody and hashes nothing. secondDemanded is whether the agent must always
// show a second proof as well; agent may be nil.
func (v *Vault) Judge(password seal.Secret, agent *parvis.Agent, secondDemanded bool) Quality {
	least, guesses := leastAlone, float64(guessesAlone)
	if secondDemanded {
		least, guesses = leastWithMore, guessesWith
	}
	q := Quality{Least: least, Strength: "weak"}
	typed := password.Reveal()
	n := length(typed)
	if n < least || n > maxLength {
		q.Reasons = append(q.Reasons, parvis.WhyPasswordRuleLength)
	}
	if n > maxLength {
		return q
	}
	own := ownWords(agent)
	e := estimator{words: loadWords(), own: append(own, hereWords(v.Words)...)}
	signs := letters(typed)
	var used bool
	q.Guesses, used = e.guesses(signs)
	folded := fold(typed)
	common := q.Guesses < guesses || e.leaked([]byte(folded))
	switch {
	case contains(folded, own) || (common && used):
		q.Reasons = append(q.Reasons, parvis.WhyPasswordRulePersonal)
	case common:
		q.Reasons = append(q.Reasons, parvis.WhyPasswordRuleCommon)
	}
	switch {
	case len(q.Reasons) > 0:
	case q.Guesses < guessesAlone:
		q.Strength = "fair"
	case q.Guesses < 18:
		q.Strength = "good"
	default:
		q.Strength = "strong"
	}
	return q
}

// ownWords lists the folded words that belong to an agent: names, number, box.
func ownWords(a *parvis.Agent) []string {
	if a == nil {
		return nil
	}
	var all []string
	for _, name := range []string{a.FamilyName, a.UsageName, a.GivenNames} {
		all = append(all, parts(name)...)
		if joined := strings.Join(parts(name), ""); joined != "" {
			all = append(all, joined)
		}
	}
	for _, address := range []string{a.Email, a.PersonalEmail} {
		box, _, _ := strings.Cut(address, "@")
		all = append(all, parts(box)...)
		if box != "" {
			all = append(all, fold(box))
		}
	}
	if number := fold(string(a.Number)); number != "" {
		all = append(all, number)
		if digits := strings.TrimLeft(number, "abcdefghijklmnopqrstuvwxyz-"); len(digits) >= 5 {
			all = append(all, digits)
		}
	}
	return all
}

// hereWords lists the folded words that anybody would try in this place.
func hereWords(names []string) []string {
	all := []string{"parvis"}
	for _, name := range names {
		for _, word := range parts(name) {
			if len(word) >= 4 {
				all = append(all, word)
			}
		}
		all = append(all, strings.Join(parts(name), ""))
	}
	return all
}

func parts(name string) []string {
	return strings.FieldsFunc(fold(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// contains tells whether a folded password holds one of somebody's own words:
// anywhere when it has four letters or more; a shorter one, which other words
// hold by chance, only when it stands by itself.
func contains(folded string, own []string) bool {
	for _, text := range leet([]rune(folded)) {
		read := string(text)
		for _, word := range own {
			if len(word) >= 4 && strings.Contains(read, word) || len(word) == 3 && alone(read, word) {
				return true
			}
		}
	}
	return false
}

func alone(text, word string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(word):])
		if !unicode.IsLetter(before) && !unicode.IsLetter(after) {
			return true
		}
		from = i + len(word)
	}
}
