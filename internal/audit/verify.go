package audit

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"parvis"
)

// Evidence is all that is known of a trail.
type Evidence struct {
	Records iter.Seq2[parvis.Event, error] // in the order of their positions
	Hashes  iter.Seq2[Stored, error]       // in the order of their index; nil when none were kept, as in an export
	Head    string                         // the latest signed head, as kept with the records; empty when there is none
	Copies  []string                       // signed heads kept elsewhere
	Notary  Notary                         // knows the key of the heads
}

// Stored is a hash of the tree as it was kept, with its index in the stored
// order of package tlog.
type Stored struct {
	Index int64
	Hash  tlog.Hash
}

// Fault is what is wrong with a trail.
type Fault string

// The faults, in words of the attack.
const (
	Whole     Fault = ""          // nothing is wrong
	Changed   Fault = "changed"   // a record is not what it was when it was recorded
	Removed   Fault = "removed"   // a record is missing and later ones are there
	Reordered Fault = "reordered" // a record is at the place of another
	Truncated Fault = "truncated" // the last records are missing
	Added     Fault = "added"     // records that no signed head covers: the head was put back, or they never came through here
	HashFault Fault = "hash"      // the records are as signed; a hash kept beside them is not
	HeadFault Fault = "head"      // a head is not signed by this installation, or cannot be read
)

// Report is what [Verify] found. When Fault is not [Whole], First is the
// position of the first bad record; the fault lies between First and Last,
// both included, which differ when what is left does not tell more closely.
type Report struct {
	Size   int64     // records read
	Root   tlog.Hash // of the tree made from them
	Heads  int       // signed heads that were checked
	Fault  Fault
	First  int64
	Last   int64
	Detail string // for the operator, in plain English
}

// Verify computes the tree again from the records and compares it with
// everything else. An error means that the evidence could not be read; what is
// wrong with the trail is in the report, the first fault only.
func Verify(e Evidence) (Report, error) {
	t := &trial{e: e, gap: -1}
	if e.Hashes != nil {
		next, stop := iter.Pull2(e.Hashes)
		defer stop()
		t.nextHash = next
	}
	t.openHeads()
	if err := t.readRecords(); err != nil {
		return Report{}, err
	}
	r := Report{Size: t.log.Size(), Root: t.log.Root(), Heads: len(t.heads)}
	return r, t.judge(&r)
}

// trial is one verification under way.
type trial struct {
	e        Evidence
	log      Log
	nextHash func() (Stored, error, bool)
	held     *Stored // a stored hash that was read and not yet compared

	heads  []Head // good signatures only, smallest first
	kept   Head   // the one kept with the records
	forged string // the first head that could not be opened, and why

	proved int64     // every head up to this size agrees
	denied *Head     // the first head that does not
	odd    *mismatch // the first stored hash that is not the computed one …
	spoilt *mismatch // … and one whose records a signed head proved right after all
	gap    int64     // the first position that did not follow, or -1
	after  int64     // the position found instead
	late   bool      // … and the missing one was found further on
}

// mismatch is where the stored hashes leave the computed ones.
type mismatch struct {
	index  int64
	record parvis.Event // the record that was being read
}

func (t *trial) openHeads() {
	open := func(signed, where string) Head {
		head, err := t.e.Notary.Open(signed)
		if err != nil {
			t.forged = cmp.Or(t.forged, fmt.Sprintf("%s: %v", where, err))
			return Head{}
		}
		t.heads = append(t.heads, head)
		return head
	}
	for i, signed := range t.e.Copies {
		open(signed, fmt.Sprintf("copy %d of the head", i+1))
	}
	if t.e.Head != "" {
		t.kept = open(t.e.Head, "the head kept with the records")
	}
	slices.SortStableFunc(t.heads, func(a, b Head) int { return cmp.Compare(a.Size, b.Size) })
}

func (t *trial) readRecords() error {
	heads := t.heads
	compare := func() {
		for ; len(heads) > 0 && heads[0].Size == t.log.Size(); heads = heads[1:] {
			if heads[0].Root == t.log.Root() && t.denied == nil {
				t.prove(heads[0].Size)
			} else if t.denied == nil {
				t.denied = &heads[0]
			}
		}
	}
	compare()
	for record, err := range t.e.Records {
		switch {
		case err != nil:
			return err
		case t.gap >= 0: // the tree means nothing any more; only look for what was missing
			t.late = t.late || record.Seq == t.gap
			continue
		case record.Seq != t.log.Size():
			t.gap, t.after = t.log.Size(), record.Seq
			continue
		}
		if err := t.compareHashes(record, t.log.Append(Canonical(record))); err != nil {
			return err
		}
		compare()
	}
	return nil
}

// prove notes that a signed head agrees with the records so far: where a
// stored hash did not, it is the hash that was spoilt.
func (t *trial) prove(size int64) {
	t.proved = size
	if t.odd != nil && t.span(t.odd.index, 1) < size {
		t.spoilt = cmp.Or(t.spoilt, t.odd)
		t.odd = nil
	}
}

// compareHashes walks the stored hashes along with the computed ones.
func (t *trial) compareHashes(record parvis.Event, computed []tlog.Hash) error {
	if t.nextHash == nil {
		return nil
	}
	first := tlog.StoredHashCount(record.Seq)
	for i, h := range computed {
		index := first + int64(i)
		stored, err := t.stored(index)
		if err != nil {
			return err
		}
		if (stored == nil || *stored != h) && t.odd == nil {
			t.odd = &mismatch{index, record}
		}
	}
	return nil
}

// stored gives the hash stored at index, nil when there is none.
func (t *trial) stored(index int64) (*tlog.Hash, error) {
	for {
		if t.held == nil {
			next, err, ok := t.nextHash()
			if err != nil || !ok {
				return nil, err
			}
			t.held = &next
		}
		if t.held.Index > index {
			return nil, nil
		}
		found := t.held
		t.held = nil
		if found.Index == index {
			return &found.Hash, nil
		}
	}
}

// judge names the first fault. What was read is all there is: positions that
// follow, stored hashes, heads.
func (t *trial) judge(r *Report) error {
	size := t.log.Size()
	last := t.kept.Size
	if len(t.heads) > 0 {
		last = max(last, t.heads[len(t.heads)-1].Size)
	}
	extra, err := t.extraHash()
	if err != nil {
		return err
	}
	switch {
	case t.denied != nil && t.odd != nil && t.span(t.odd.index, 0) < t.denied.Size:
		return t.judgeOdd(r)
	case t.denied != nil:
		r.find(Changed, t.proved, t.denied.Size-1, "the head of %d records, signed %s, speaks of other records", t.denied.Size, t.denied.At.Format(moment))
	case t.odd != nil:
		return t.judgeOdd(r)
	case t.gap >= 0 && t.after < t.gap:
		r.find(Reordered, t.after, t.after, "record %d comes again, where %d was expected", t.after, t.gap)
	case t.gap >= 0 && t.late:
		r.find(Reordered, t.gap, t.gap, "record %d comes after record %d", t.gap, t.after)
	case t.gap >= 0:
		r.find(Removed, t.gap, t.after-1, "record %d follows record %d", t.after, t.gap-1)
	case last > size:
		r.find(Truncated, size, last-1, "a signed head speaks of %d records; %d are there", last, size)
	case t.forged != "":
		r.find(HeadFault, t.proved, max(t.proved, size-1), "%s", t.forged)
	case extra:
		r.find(Truncated, size, size, "hashes are stored of records that are not there")
	case t.kept.Size < size && (t.e.Head != "" || t.e.Notary.Verifier != nil):
		r.find(Added, t.kept.Size, size-1, "the head kept with the records speaks of %d; %d are there", t.kept.Size, size)
	case t.spoilt != nil:
		from, to := t.span(t.spoilt.index, 0), t.span(t.spoilt.index, 1)
		r.find(HashFault, from, to, "the records are as signed, but the hash stored at %d is not theirs", t.spoilt.index)
	}
	return nil
}

func (r *Report) find(f Fault, first, last int64, format string, args ...any) {
	r.Fault, r.First, r.Last, r.Detail = f, first, last, fmt.Sprintf(format, args...)
}

// span gives the first (0) or last (1) record under a stored hash.
func (t *trial) span(index, end int64) int64 {
	level, n := tlog.SplitStoredHashIndex(index)
	return (n+end)<<level - end
}

// extraHash tells whether hashes are stored beyond those of the records.
func (t *trial) extraHash() (bool, error) {
	if t.nextHash == nil || t.gap >= 0 {
		return false, nil
	}
	if t.held != nil {
		return true, nil
	}
	_, err, more := t.nextHash()
	return more, err
}

// judgeOdd tells what was done to the first record whose hash is not the
// stored one.
func (t *trial) judgeOdd(r *Report) error {
	level, n := tlog.SplitStoredHashIndex(t.odd.index)
	if level > 0 {
		first, last := t.span(t.odd.index, 0), t.span(t.odd.index, 1)
		r.find(Changed, max(first, t.proved), last, "the hash over records %d to %d is not the stored one", first, last)
		return nil
	}
	// Is the record the one of another place, and is the one of this place
	// anywhere?
	var here *tlog.Hash
	elsewhere := int64(-1)
	for stored, err := range t.e.Hashes {
		if err != nil {
			return err
		}
		level, m := tlog.SplitStoredHashIndex(max(stored.Index, 0))
		if level > 0 || stored.Index < 0 {
			continue
		}
		if m == n {
			here = &stored.Hash
		} else if elsewhere < 0 && leafAt(t.odd.record, m) == stored.Hash {
			elsewhere = m
		}
	}
	if elsewhere < 0 || here == nil {
		r.find(Changed, n, n, "record %d is not what was recorded", n)
		return nil
	}
	for record, err := range t.e.Records {
		if err != nil {
			return err
		}
		if leafAt(record, n) == *here {
			r.find(Reordered, n, n, "record %d holds what was recorded as %d", n, elsewhere)
			return nil
		}
	}
	r.find(Removed, n, n, "record %d is gone and those after it were renumbered", n)
	return nil
}

func leafAt(e parvis.Event, seq int64) tlog.Hash {
	e.Seq = seq
	return tlog.RecordHash(Canonical(e))
}
