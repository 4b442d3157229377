package notify

import (
	"strings"
	"unicode/utf16"
)

// The default alphabet of GSM and its extension (3GPP TS 23.038 §6.2.1): a
// character's place is its code, and one of the extension is preceded by escape.
// There is no small ç: a text that has one goes as UCS-2, for nothing that a
// person reads is replaced by something that looks like it.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅå" + "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ" + " !\"#¤%&'()*+,-./" + "0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNO" + "PQRSTUVWXYZÄÖÑÜ§" + "¿abcdefghijklmno" + "pqrstuvwxyzäöñüà"
	escape = 0x1b
)

var (
	gsmCodes    = codesOf(gsmBasic)
	gsmExtended = map[rune]byte{
		'\f': 0x0a, '^': 0x14, '{': 0x28, '}': 0x29, '\\': 0x2f, '[': 0x3c, '~': 0x3d, ']': 0x3e, '|': 0x40, '€': 0x65,
	}
)

func codesOf(alphabet string) map[rune]byte {
	codes := map[rune]byte{}
	n := byte(0)
	for _, r := range alphabet {
		if n != escape {
			codes[r] = n
		}
		n++
	}
	return codes
}

// toGSM writes a text in the default alphabet, one septet a byte; it answers
// false when a character has no place in it.
func toGSM(text string) ([]byte, bool) {
	codes := make([]byte, 0, len(text))
	for _, r := range text {
		if c, ok := gsmCodes[r]; ok {
			codes = append(codes, c)
		} else if c, ok := gsmExtended[r]; ok {
			codes = append(codes, escape, c)
		} else {
			return nil, false
		}
	}
	return codes, true
}

// What one message holds (3GPP TS 23.040 §9.2.3.24.1): 140 bytes, or 134 beside
// the header that says which part it is.
const (
	gsmAlone, gsmPart = 160, 153
	ucsAlone, ucsPart = 140, 134
	codingGSM         = 0x00 // the default alphabet of the server
	codingUCS2        = 0x08
	mostParts         = 10
)

// split makes the parts of a text with the coding that can say it. What is cut
// is never cut inside a character. ref tells the parts of one text from those
// of another. A text that needs more than ten parts is not a message: none.
func split(text string, ref byte, ucs2 bool) (coding byte, parts [][]byte) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	coded, ok := toGSM(text)
	if coding = codingGSM; !ok || ucs2 {
		coding, coded = codingUCS2, nil
		for _, unit := range utf16.Encode([]rune(text)) {
			coded = append(coded, byte(unit>>8), byte(unit))
		}
	}
	alone, most := gsmAlone, gsmPart
	if coding == codingUCS2 {
		alone, most = ucsAlone, ucsPart
	}
	if len(coded) <= alone {
		return coding, [][]byte{coded}
	}
	for len(coded) > 0 {
		n := min(most, len(coded))
		if n < len(coded) {
			n -= inside(coding, coded, n)
		}
		parts, coded = append(parts, coded[:n]), coded[n:]
	}
	if len(parts) > mostParts {
		return coding, nil
	}
	for i, part := range parts {
		header := []byte{5, 0, 3, ref, byte(len(parts)), byte(i + 1)} //nolint:gosec // at most ten
		parts[i] = append(header, part...)
	}
	return coding, parts
}

// inside tells how many bytes before n the character that stands across n begins.
func inside(coding byte, coded []byte, n int) int {
	switch {
	case coding == codingGSM && coded[n-1] == escape:
		return 1
	case coding == codingUCS2 && coded[n-2]&0xfc == 0xd8: // the first half of a surrogate pair
		return 2
	}
	return 0
}
