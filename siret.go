package parvis

import "strings"

// laPoste is the one organisation whose establishments are numbered by another
// rule than the sum below.
const laPoste = "356000000"

// SIRET tells whether s is the number of an establishment: fourteen digits and a
// Luhn sum that holds (ISO/IEC 7812-1 annex B), La Poste excepted (domain.md 3.1).
func SIRET(s string) bool {
	if len(s) != 14 {
		return false
	}
	luhn, zeros := 0, true
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n := int(s[i] - '0')
		zeros = zeros && n == 0
		if i%2 == 0 { // every second digit from the right, of an even number of them
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		luhn += n
	}
	return !zeros && (luhn%10 == 0 || strings.HasPrefix(s, laPoste))
}
