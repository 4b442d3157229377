package credential

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	_ "embed" // the two word files
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"sync"
	"unicode"

	"github.com/FastFilter/xorfilter"
	"golang.org/x/text/unicode/norm"
)

//go:embed words/ranked.bin
var rankedBin []byte

//go:embed words/common.bin
var commonBin []byte

// words is what the files under words/ say, read when first needed: a server
// or a command that judges no password pays nothing (performance.md: a peer
// spends 193 ms on this at every start).
type words struct {
	text   []byte
	start  []uint32 // of each word in text, and one past the last
	rank   []byte   // four times the base-2 logarithm
	common *xorfilter.BinaryFuse[uint16]
}

// longestWord bounds what is looked up, in letters.
const longestWord = 25

var loadWords = sync.OnceValue(func() *words {
	w, err := readWords(rankedBin, commonBin)
	if err != nil {
		panic("credential: the embedded words: " + err.Error()) // a broken build
	}
	return w
})

// readWords undoes what gen/words.go wrote.
func readWords(ranked, common []byte) (*words, error) {
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(ranked)))
	if err != nil {
		return nil, err
	}
	if len(raw) < 8 {
		return nil, io.ErrUnexpectedEOF
	}
	n, size := int(binary.BigEndian.Uint32(raw)), int(binary.BigEndian.Uint32(raw[4:]))
	raw = raw[8:]
	if n > 1<<20 || size > 1<<24 || len(raw) != 2*n+size {
		return nil, errors.New("the streams have other lengths than the head says")
	}
	shared, rest, rank := raw[:n], raw[n:n+size], raw[n+size:]
	w := &words{rank: bytes.Clone(rank), start: make([]uint32, 1, n+1)}
	for _, keep := range shared {
		end := bytes.IndexByte(rest, '\n')
		last := w.text[:0]
		if k := len(w.start); k > 1 {
			last = w.text[w.start[k-2]:w.start[k-1]]
		}
		if end < 0 || int(keep) > len(last) {
			return nil, errors.New("a word is cut short")
		}
		w.text = append(append(w.text, last[:keep]...), rest[:end]...)
		w.start = append(w.start, uint32(len(w.text)))
		rest = rest[end+1:]
	}
	w.common, err = xorfilter.LoadBinaryFuse[uint16](bytes.NewReader(common))
	return w, err
}

// of gives the base-10 logarithm of the rank of a folded word; false when it is
// none of the ranked ones.
func (w *words) of(word []byte) (float64, bool) {
	from, to := 0, len(w.rank)
	for from < to {
		at := (from + to) / 2
		switch bytes.Compare(w.text[w.start[at]:w.start[at+1]], word) {
		case 0:
			return float64(w.rank[at]) / 4 * math.Log10(2), true
		case -1:
			from = at + 1
		default:
			to = at
		}
	}
	return 0, false
}

// leaked tells whether a folded password is among the common ones that are not
// ranked. It is wrong once in 65,000, on the strict side.
func (w *words) leaked(folded []byte) bool {
	sum := sha256.Sum256(folded)
	return w.common.Contains(binary.BigEndian.Uint64(sum[:]))
}

// letter is one sign of a password as the estimator sees it.
type letter struct {
	fold   rune // lower case, without accent
	upper  bool
	accent bool
}

// letters folds s and remembers what folding hid.
func letters(s string) []letter {
	var all []letter
	for _, typed := range norm.NFKC.String(s) {
		upper := unicode.IsUpper(typed)
		for i, r := range foldRune(typed) {
			all = append(all, letter{fold: r, upper: upper && i == 0, accent: r != unicode.ToLower(typed)})
		}
	}
	return all
}

// fold gives lower case without accents, of all the forms that look alike.
func fold(s string) string {
	var b strings.Builder
	for _, l := range letters(s) {
		b.WriteRune(l.fold)
	}
	return b.String()
}

func foldRune(typed rune) string {
	if typed < 0x80 {
		return string(unicode.ToLower(typed))
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(string(typed)) {
		switch r = unicode.ToLower(r); {
		case unicode.Is(unicode.Mn, r):
		case r == 'œ':
			b.WriteString("oe")
		case r == 'æ':
			b.WriteString("ae")
		case r == 'ß':
			b.WriteString("ss")
		case r == '’':
			b.WriteByte('\'')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
