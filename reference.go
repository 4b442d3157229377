package parvis

import "strings"

// Reference is the short code of a refusal, made to be read on the telephone:
// eight signs, no ambiguous letter, the last one a check ("K7QP-3M9T").
type Reference string

// signs has a prime length, so that the weighted sum below finds every wrong
// sign and every exchange of two signs (as ISO 7064 does for its moduli).
const signs = "23456789ABCDEFGHJKMNPQRSTWXYZ"

// NewReference makes a reference from 7 random bytes. The few bits lost to the
// alphabet do not matter: a reference opens nothing by itself.
func NewReference(random [7]byte) Reference {
	var b [8]byte
	for i, r := range random {
		b[i] = signs[int(r)%len(signs)]
	}
	b[7] = signs[checkSign(b[:7])]
	return Reference(string(b[:4]) + "-" + string(b[4:]))
}

// ParseReference accepts what a person types or dictates: any case, with or
// without the hyphen or blanks. It answers false when the check does not hold.
func ParseReference(s string) (Reference, bool) {
	s = strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\u00a0' || r == '\u202f' {
			return -1
		}
		return r
	}, s))
	if len(s) != 8 {
		return "", false
	}
	for i := range 8 {
		if strings.IndexByte(signs, s[i]) < 0 {
			return "", false
		}
	}
	if signs[checkSign([]byte(s[:7]))] != s[7] {
		return "", false
	}
	return Reference(s[:4] + "-" + s[4:]), true
}

func checkSign(b []byte) int {
	sum := 0
	for i, c := range b {
		sum += (i + 2) * strings.IndexByte(signs, c)
	}
	return sum % len(signs)
}
