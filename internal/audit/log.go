package audit

import (
	"encoding/base64"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Log is the growing end of the tree: how many records it has and the hashes
// of its right edge, which is all that appending needs. The zero Log is empty.
// A copy made by assignment is a safe point to come back to.
type Log struct {
	size int64
	edge []tlog.Hash // one per set bit of size, widest subtree first
}

// Edge lists the positions, in the stored order of package tlog, of the hashes
// from which [Resume] rebuilds a log of that size.
func Edge(size int64) []int64 {
	var idx []int64
	var done int64
	for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
		if size&(1<<level) != 0 {
			idx = append(idx, tlog.StoredHashIndex(level, done>>level))
			done += 1 << level
		}
	}
	return idx
}

// Resume rebuilds a log of that size from the hashes that [Edge] names.
func Resume(size int64, edge []tlog.Hash) (Log, error) {
	if size < 0 || len(edge) != bits.OnesCount64(uint64(size)) {
		return Log{}, invalidf("audit.Resume", "%d hashes do not make the edge of %d records", len(edge), size)
	}
	return Log{size: size, edge: slices.Clone(edge)}, nil
}

// Size is the number of records.
func (l *Log) Size() int64 { return l.size }

// Append adds one canonical record. It gives the hashes that become known: the
// record's own, then those of the subtrees that it completes. They are the
// next ones in the stored order of package tlog.
func (l *Log) Append(record []byte) []tlog.Hash {
	h := tlog.RecordHash(record)
	known := []tlog.Hash{h}
	edge := slices.Clone(l.edge) // copies of the log stay what they were
	for n := l.size; n&1 == 1; n >>= 1 {
		last := len(edge) - 1
		h = tlog.NodeHash(edge[last], h)
		edge = edge[:last]
		known = append(known, h)
	}
	l.edge = append(edge, h)
	l.size++
	return known
}

// Root is the hash of the whole tree (RFC 6962 §2.1); the zero hash when empty.
func (l *Log) Root() tlog.Hash {
	if l.size == 0 {
		return tlog.Hash{}
	}
	h := l.edge[len(l.edge)-1]
	for _, left := range slices.Backward(l.edge[:len(l.edge)-1]) {
		h = tlog.NodeHash(left, h)
	}
	return h
}

// Head is a statement that the first Size records have the root Root.
type Head struct {
	Size int64
	Root tlog.Hash
	At   time.Time // when it was made, to the microsecond
}

// Notary signs heads and checks them. Without a signer it only checks; the
// zero Notary writes heads that nobody signed and believes any, for tests.
type Notary struct {
	Signer   note.Signer
	Verifier note.Verifier
}

// The first line of a head, which says what the tree is of.
const origin = "parvis audit"

// Sign writes h as a C2SP checkpoint (origin, size, root) with one extension
// line, its moment, and the signature.
func (n Notary) Sign(h Head) (string, error) {
	text := origin + "\n" + strconv.FormatInt(h.Size, 10) + "\n" +
		base64.StdEncoding.EncodeToString(h.Root[:]) + "\n" + h.At.UTC().Format(moment) + "\n"
	if n.Signer == nil {
		return text + "\n", nil
	}
	signed, err := note.Sign(&note.Note{Text: text}, n.Signer)
	if err != nil {
		return "", invalid("audit.Sign", err)
	}
	return string(signed), nil
}

// Open reads a head and checks its signature with n.Verifier.
func (n Notary) Open(signed string) (Head, error) {
	text, ok := strings.CutSuffix(signed, "\n\n")
	if n.Verifier != nil {
		opened, err := note.Open([]byte(signed), note.VerifierList(n.Verifier))
		if err != nil {
			return Head{}, invalid("audit.Open", err)
		}
		text, ok = strings.CutSuffix(opened.Text, "\n")
	} else if !ok { // signed, but there is nothing here to check it with
		text, _, ok = strings.Cut(signed, "\n\n")
	}
	lines := strings.Split(text, "\n")
	if !ok || len(lines) != 4 || lines[0] != origin {
		return Head{}, invalidf("audit.Open", "not a head of the audit trail")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || lines[1] != strconv.FormatInt(size, 10) {
		return Head{}, invalidf("audit.Open", "not a size: %q", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Head{}, invalid("audit.Open", err)
	}
	at, err := time.Parse(moment, lines[3])
	if err != nil {
		return Head{}, invalid("audit.Open", err)
	}
	return Head{Size: size, Root: root, At: at}, nil
}
