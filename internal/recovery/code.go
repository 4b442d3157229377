package recovery

import (
	"crypto/rand"
	"strings"
)

// A code is twelve signs in three groups, made to be read from paper and told
// aloud: no ambiguous letter, no case, the last sign a check. Eleven free signs
// are 53 bits (security.md 1.3: issued codes; the tries are limited besides).
const (
	signs  = "23456789ABCDEFGHJKMNPQRSTWXYZ"
	length = 12
	group  = 4
)

// newCode makes a code as it is shown: "K7QP-3M9T-XW24".
func newCode() string {
	var code [length]byte
	for i := range length - 1 {
		code[i] = signs[uniform(len(signs))]
	}
	code[length-1] = check(code[:length-1])
	return string(code[:group]) + "-" + string(code[group:2*group]) + "-" + string(code[2*group:])
}

// uniform gives a number below n, every one as likely: bytes in the last,
// incomplete run are thrown away.
func uniform(n int) int {
	for {
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails (Go 1.24)
		if int(b[0]) < 256-256%n {
			return int(b[0]) % n
		}
	}
}

// parseCode accepts what a person types: any case, with or without hyphens,
// dots and blanks. It answers false when the check does not hold, which finds
// every wrong sign and every exchange of two: a slip is then no try at all.
func parseCode(s string) (string, bool) {
	if len(s) > 200 {
		return "", false
	}
	s = strings.ToUpper(strings.Map(func(r rune) rune {
		switch r {
		case '-', '.', '_', ' ', '\t', '\u00a0', '\u202f', '\u2010', '\u2011', '\u2013':
			return -1
		}
		return r
	}, s))
	if len(s) != length {
		return "", false
	}
	for i := range length {
		if strings.IndexByte(signs, s[i]) < 0 {
			return "", false
		}
	}
	return s, check([]byte(s[:length-1])) == s[length-1]
}

// check is a weighted sum to a prime, as ISO 7064 does.
func check(free []byte) byte {
	sum := 0
	for i, c := range free {
		sum += (i + 2) * strings.IndexByte(signs, c)
	}
	return signs[sum%len(signs)]
}
