package audit_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/audit"
)

func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 123456789, time.UTC) }

func notary(t testing.TB) audit.Notary {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Notary{Signer: signer, Verifier: verifier}
}

func TestCanonicalForm(t *testing.T) {
	full := parvis.Event{
		Seq: 7, At: noon(), Kind: "app.refused", Agent: "A100001", Actor: "system", Channel: parvis.Mobile,
		Address: "192.0.2.1", App: "payroll", Reference: "K7QP-3M9T",
		Reasons: []parvis.ReasonCode{"app_not_assigned", "step_up_required"},
		Detail:  map[string]string{"b": "two\n\"lines\" \\ <&>", "a": "\b\t\f\r\x01\x1f é\u2028", "": ""},
	}
	tests := []struct {
		name string
		e    parvis.Event
		want string
	}{
		{"everything", full, `{"seq":7,"at":"2026-03-02T12:00:00.123456Z","kind":"app.refused","agent":"A100001",` +
			`"actor":"system","channel":"mobile","address":"192.0.2.1","app":"payroll","reference":"K7QP-3M9T",` +
			`"reasons":["app_not_assigned","step_up_required"],` +
			`"detail":{"":"","a":"\b\t\f\r\u0001\u001f é` + "\u2028" + `","b":"two\n\"lines\" \\ <&>"}}`},
		{"nothing", parvis.Event{}, `{"seq":0,"at":"0001-01-01T00:00:00.000000Z"}`},
		{"empty lists are no lists", parvis.Event{Reasons: []parvis.ReasonCode{}, Detail: map[string]string{}}, `{"seq":0,"at":"0001-01-01T00:00:00.000000Z"}`},
		{"another zone", parvis.Event{At: noon().In(time.FixedZone("CET", 3600))}, `{"seq":0,"at":"2026-03-02T12:00:00.123456Z"}`},
		{
			"what no engine keeps is mended",
			parvis.Event{Kind: "a\xff", Actor: "b\x00", Reasons: []parvis.ReasonCode{"\xfe", "r"}, Detail: map[string]string{"\xff": "1", "\xfe": "2"}},
			`{"seq":0,"at":"0001-01-01T00:00:00.000000Z","kind":"a` + "\uFFFD" + `","actor":"b` + "\uFFFD" + `","reasons":["` + "\uFFFD" + `","r"],"detail":{"` + "\uFFFD" + `":"1"}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := audit.Canonical(tt.e)
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("canonical form (-want +got):\n%s", diff)
			}
			back, err := audit.Parse(got)
			if err != nil {
				t.Fatalf("it does not read its own form: %v", err)
			}
			if diff := cmp.Diff(audit.Clean(tt.e), back); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCleaningLeavesTheCallersEventAlone(t *testing.T) {
	e := parvis.Event{Reasons: []parvis.ReasonCode{"\xff"}, Detail: map[string]string{"k": "\xff"}}
	audit.Clean(e)
	if e.Reasons[0] != "\xff" || e.Detail["k"] != "\xff" {
		t.Errorf("Clean changed its argument: %v", e)
	}
}

func TestParseRefusesWhatIsNotCanonical(t *testing.T) {
	good := string(audit.Canonical(parvis.Event{Seq: 1, At: noon(), Kind: "k", Agent: "A", Detail: map[string]string{"a": "1", "b": "2"}}))
	if _, err := audit.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"nothing":          "",
		"not an object":    "[]",
		"cut short":        good[:len(good)-1],
		"more behind":      good + " ",
		"blank":            strings.Replace(good, ":", ": ", 1),
		"another order":    `{"at":"2026-03-02T12:00:00.123456Z","seq":1,"kind":"k"}`,
		"keys not sorted":  strings.Replace(good, `"a":"1","b":"2"`, `"b":"2","a":"1"`, 1),
		"a key twice":      strings.Replace(good, `"kind":"k"`, `"kind":"k","kind":"k"`, 1),
		"an unknown key":   strings.Replace(good, `"kind":"k"`, `"kind":"k","more":"x"`, 1),
		"an empty field":   strings.Replace(good, `"kind":"k"`, `"kind":""`, 1),
		"useless escape":   strings.Replace(good, `"k"`, `"\u006b"`, 1),
		"another zone":     strings.Replace(good, "Z", "+00:00", 1),
		"nanoseconds":      strings.Replace(good, "123456Z", "123456789Z", 1),
		"position as text": strings.Replace(good, `"seq":1`, `"seq":"1"`, 1),
	} {
		if _, err := audit.Parse([]byte(bad)); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("%s: %s: got %v, want invalid", name, bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(audit.Canonical(parvis.Event{Seq: 3, At: noon(), Kind: "k", Reasons: []parvis.ReasonCode{"a"}, Detail: map[string]string{"x": "\x1f\""}}))
	f.Add([]byte(`{"seq":0,"at":"0001-01-01T00:00:00.000000Z"}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		e, err := audit.Parse(record)
		if err != nil {
			return
		}
		if again := audit.Canonical(e); !bytes.Equal(again, record) {
			t.Errorf("read %q, wrote %q", record, again)
		}
	})
}

// The log must be the tree of RFC 6962 as package tlog has it, hash for hash.
func TestLogIsTheTreeOfTlog(t *testing.T) {
	var log audit.Log
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(idx []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range idx {
			out = append(out, stored[i])
		}
		return out, nil
	})
	if log.Root() != (tlog.Hash{}) || log.Size() != 0 {
		t.Errorf("an empty log has root %v and size %d", log.Root(), log.Size())
	}
	for n := range int64(70) {
		record := []byte{byte(n)}
		want, err := tlog.StoredHashes(n, record, read)
		if err != nil {
			t.Fatal(err)
		}
		before := log
		root := before.Root()
		if diff := cmp.Diff(want, log.Append(record)); diff != "" {
			t.Fatalf("record %d (-want +got):\n%s", n, diff)
		}
		if before.Root() != root || before.Size() != n {
			t.Fatalf("record %d changed a copy of the log", n)
		}
		stored = append(stored, want...)
		wantRoot, err := tlog.TreeHash(n+1, read)
		if err != nil {
			t.Fatal(err)
		}
		if log.Root() != wantRoot {
			t.Fatalf("root of %d records: got %v, want %v", n+1, log.Root(), wantRoot)
		}
		edge, err := read(audit.Edge(n + 1))
		if err != nil {
			t.Fatal(err)
		}
		resumed, err := audit.Resume(n+1, edge)
		if err != nil || resumed.Root() != wantRoot || resumed.Size() != n+1 {
			t.Fatalf("resumed at %d: %v, root %v, want %v", n+1, err, resumed.Root(), wantRoot)
		}
	}
	for _, size := range []int64{-1, 1, 3} {
		if _, err := audit.Resume(size, nil); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("Resume(%d, nil): got %v, want invalid", size, err)
		}
	}
}

func TestHeads(t *testing.T) {
	mine, other := notary(t), notary(t)
	head := audit.Head{Size: 12, Root: tlog.RecordHash([]byte("x")), At: noon().Truncate(time.Microsecond)}
	signed, err := mine.Sign(head)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := audit.Notary{}.Sign(head)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(text string) string {
		b, err := note.Sign(&note.Note{Text: text}, mine.Signer)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	lines := strings.SplitAfter(strings.Split(signed, "\n\n")[0]+"\n", "\n")
	swap := func(i int, with string) string {
		l := slices.Clone(lines)
		l[i] = with
		return sign(strings.Join(l, ""))
	}
	tests := []struct {
		name   string
		n      audit.Notary
		signed string
		ok     bool
	}{
		{"signed", mine, signed, true},
		{"checked without a signer", audit.Notary{Verifier: mine.Verifier}, signed, true},
		{"read without a key", audit.Notary{}, signed, true},
		{"unsigned, as in tests", audit.Notary{}, unsigned, true},
		{"another key", other, signed, false},
		{"unsigned, where a key is known", mine, unsigned, false},
		{"one sign changed", mine, strings.Replace(signed, "\n12\n", "\n13\n", 1), false},
		{"empty", mine, "", false},
		{"empty without a key", audit.Notary{}, "", false},
		{"of another tree", mine, swap(0, "another audit\n"), false},
		{"a size that is none", mine, swap(1, "x\n"), false},
		{"a size below zero", mine, swap(1, "-1\n"), false},
		{"a size spelt otherwise", mine, swap(1, "012\n"), false},
		{"a root that is none", mine, swap(2, "AAAA\n"), false},
		{"a moment that is none", mine, swap(3, "noon\n"), false},
		{"a line more", mine, swap(3, lines[3]+"more\n"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.n.Open(tt.signed)
			if tt.ok {
				if diff := cmp.Diff(head, got); err != nil || diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
			} else if parvis.CodeOf(err) != parvis.CodeInvalid {
				t.Errorf("got %v, %v, want invalid", got, err)
			}
		})
	}
	if _, err := (audit.Notary{Signer: badSigner{}}).Sign(head); err == nil {
		t.Error("a signer that fails made a head")
	}
}

type badSigner struct{}

func (badSigner) Name() string                { return "bad" }
func (badSigner) KeyHash() uint32             { return 1 }
func (badSigner) Sign([]byte) ([]byte, error) { return nil, errors.New("no") }

func FuzzOpenHead(f *testing.F) {
	signed, err := audit.Notary{}.Sign(audit.Head{Size: 3, At: noon()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	mine := notary(f)
	f.Fuzz(func(t *testing.T, signed string) {
		if _, err := mine.Open(signed); err == nil {
			t.Errorf("opened what nobody signed: %q", signed)
		}
		head, err := audit.Notary{}.Open(signed)
		if err != nil {
			return
		}
		if again, err := (audit.Notary{}).Sign(head); err != nil || strings.Split(again, "\n\n")[0] != strings.Split(signed, "\n\n")[0] {
			t.Errorf("read %q, wrote %q, %v", signed, again, err)
		}
	})
}

// trail is a trail in memory, for hands to tamper with.
type trail struct {
	records []parvis.Event
	hashes  []audit.Stored
	head    string
	copies  []string
	notary  audit.Notary
}

func seq2[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (t *trail) evidence() audit.Evidence {
	return audit.Evidence{Records: seq2(t.records), Hashes: seq2(t.hashes), Head: t.head, Copies: t.copies, Notary: t.notary}
}

// rebuild makes hashes for the records as they are, as somebody would who has
// the database and this program, but not the key.
func (t *trail) rebuild() {
	var log audit.Log
	t.hashes = nil
	for _, e := range t.records {
		for _, h := range log.Append(audit.Canonical(e)) {
			t.hashes = append(t.hashes, audit.Stored{Index: int64(len(t.hashes)), Hash: h})
		}
	}
}

// build makes an honest trail of n records, with copies of its head at sizes.
func build(t testing.TB, n int, sizes ...int) *trail {
	t.Helper()
	tr := &trail{notary: notary(t)}
	var log audit.Log
	for i := range n {
		e := parvis.Event{Seq: int64(i), At: noon().Add(time.Duration(i) * time.Second), Kind: "k", Agent: "A1", Detail: map[string]string{"n": string(rune('a' + i%26))}}
		tr.records = append(tr.records, e)
		log.Append(audit.Canonical(e))
		signed, err := tr.notary.Sign(audit.Head{Size: log.Size(), Root: log.Root(), At: e.At})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(sizes, i+1) {
			tr.copies = append(tr.copies, signed)
		}
		tr.head = signed
	}
	tr.rebuild()
	return tr
}

// found is a fault and where it lies.
type found struct {
	Fault       audit.Fault
	First, Last int64
}

type tampering struct {
	name   string
	tamper func(*trail)
	want   found
}

// tamperings of a trail of 21 records with copies of the head at 10 and 16.
func tamperings(otherHead string) []tampering {
	renumber := func(tr *trail) {
		for i := range tr.records {
			tr.records[i].Seq = int64(i)
		}
	}
	return []tampering{
		{"an honest trail", func(*trail) {}, found{}},
		{"no stored hashes, as in an export", func(tr *trail) { tr.hashes = nil }, found{}},
		{"no copies", func(tr *trail) { tr.copies = nil }, found{}},
		{"a record edited", func(tr *trail) { tr.records[5].Actor = "x" }, found{audit.Changed, 5, 5}},
		{"two records edited", func(tr *trail) { tr.records[14].Actor, tr.records[6].Actor = "x", "x" }, found{audit.Changed, 6, 6}},
		{"the last record edited", func(tr *trail) { tr.records[20].Actor = "x" }, found{audit.Changed, 20, 20}},
		{"edited, its own hash too", func(tr *trail) {
			tr.records[6].Actor = "x"
			tr.hashes[tlog.StoredHashIndex(0, 6)].Hash = tlog.RecordHash(audit.Canonical(tr.records[6]))
		}, found{audit.Changed, 6, 7}},
		{"edited, all hashes made again", func(tr *trail) { tr.records[11].Actor = "x"; tr.rebuild() }, found{audit.Changed, 10, 15}},
		{"the same, without copies", func(tr *trail) { tr.records[11].Actor = "x"; tr.rebuild(); tr.copies = nil }, found{audit.Changed, 0, 20}},
		{"edited in an export", func(tr *trail) { tr.records[17].Kind = "x"; tr.hashes = nil }, found{audit.Changed, 16, 20}},
		{"a record deleted", func(tr *trail) { tr.records = slices.Delete(tr.records, 7, 8) }, found{audit.Removed, 7, 7}},
		{"several deleted", func(tr *trail) { tr.records = slices.Delete(tr.records, 7, 10) }, found{audit.Removed, 7, 9}},
		{"the first deleted", func(tr *trail) { tr.records = tr.records[1:] }, found{audit.Removed, 0, 0}},
		{"edited, and a later one deleted", func(tr *trail) {
			tr.records[3].Kind = "x"
			tr.records = slices.Delete(tr.records, 12, 13)
		}, found{audit.Changed, 3, 3}},
		{"deleted and the others renumbered", func(tr *trail) { tr.records = slices.Delete(tr.records, 7, 8); renumber(tr) }, found{audit.Removed, 7, 7}},
		{"two exchanged", func(tr *trail) {
			tr.records[4], tr.records[13] = tr.records[13], tr.records[4]
			renumber(tr)
		}, found{audit.Reordered, 4, 4}},
		{"lines of an export exchanged", func(tr *trail) {
			tr.hashes = nil
			tr.records[4], tr.records[5] = tr.records[5], tr.records[4]
		}, found{audit.Reordered, 4, 4}},
		{"a line of an export twice", func(tr *trail) {
			tr.hashes = nil
			tr.records = slices.Insert(tr.records, 6, tr.records[5])
		}, found{audit.Reordered, 5, 5}},
		{"the last deleted", func(tr *trail) { tr.records = tr.records[:18] }, found{audit.Truncated, 18, 20}},
		{"the last deleted, hashes and head too", func(tr *trail) {
			tr.records = tr.records[:10]
			tr.rebuild()
			tr.head = tr.copies[0]
		}, found{audit.Truncated, 10, 15}},
		{"all deleted", func(tr *trail) { tr.records, tr.hashes, tr.head = nil, nil, "" }, found{audit.Truncated, 0, 15}},
		{"the last deleted and their head, not the hashes", func(tr *trail) {
			tr.records, tr.head, tr.copies = tr.records[:10], tr.copies[0], nil
		}, found{audit.Truncated, 10, 10}},
		{"an old head put back", func(tr *trail) { tr.head, tr.copies = tr.copies[0], nil }, found{audit.Added, 10, 20}},
		{"the head removed", func(tr *trail) { tr.head, tr.copies = "", nil }, found{audit.Added, 0, 20}},
		{"records slipped in at the end", func(tr *trail) {
			e := tr.records[20]
			e.Seq = 21
			tr.records = append(tr.records, e)
			tr.rebuild()
		}, found{audit.Added, 21, 21}},
		{"the head of another installation", func(tr *trail) { tr.head = otherHead }, found{audit.HeadFault, 16, 20}},
		{"a copy that cannot be read", func(tr *trail) { tr.copies[1] = "x" }, found{audit.HeadFault, 21, 21}},
		{"a stored hash spoilt", func(tr *trail) { tr.hashes[tlog.StoredHashIndex(1, 2)].Hash[0] ^= 1 }, found{audit.HashFault, 4, 5}},
		{"two stored hashes spoilt", func(tr *trail) { tr.hashes[8].Hash[0] ^= 1; tr.hashes[25].Hash[0] ^= 1 }, found{audit.HashFault, 5, 5}},
		{"a stored hash deleted", func(tr *trail) { tr.hashes = slices.Delete(tr.hashes, 0, 1) }, found{audit.HashFault, 0, 0}},
		{"a hash spoilt early, a record edited later", func(tr *trail) { tr.hashes[0].Hash[0] ^= 1; tr.records[12].Kind = "x" }, found{audit.Changed, 12, 12}},
		{"a hash deleted that no head covers", func(tr *trail) {
			tr.hashes = slices.Delete(tr.hashes, int(tlog.StoredHashIndex(0, 20)), int(tlog.StoredHashIndex(0, 20)+1))
			tr.head = tr.copies[1]
		}, found{audit.Changed, 20, 20}},
		{"the last hash moved beyond the end", func(tr *trail) { tr.hashes[len(tr.hashes)-1].Index = 1000 }, found{audit.Truncated, 21, 21}},
		{"hashes below zero", func(tr *trail) {
			tr.hashes = slices.Insert(tr.hashes, 0, audit.Stored{Index: -1})
			tr.records[3].Kind = "x"
		}, found{audit.Changed, 3, 3}},
	}
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	for _, tt := range tamperings(build(t, 9).head) { // of another key
		t.Run(tt.name, func(t *testing.T) {
			tr := build(t, 21, 10, 16)
			tt.tamper(tr)
			e := tr.evidence()
			if tr.hashes == nil {
				e.Hashes = nil
			}
			r, err := audit.Verify(e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, found{r.Fault, r.First, r.Last}); diff != "" {
				t.Errorf("(-want +got):\n%s%s", diff, r.Detail)
			}
			if (r.Detail == "") != (r.Fault == audit.Whole) {
				t.Errorf("fault %q, detail %q", r.Fault, r.Detail)
			}
		})
	}
}

func TestVerifySaysWhatItChecked(t *testing.T) {
	tr := build(t, 8, 4, 8)
	r, err := audit.Verify(tr.evidence())
	if err != nil {
		t.Fatal(err)
	}
	var log audit.Log
	for _, e := range tr.records {
		log.Append(audit.Canonical(e))
	}
	if diff := cmp.Diff(audit.Report{Size: 8, Root: log.Root(), Heads: 3}, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r, err := audit.Verify((&trail{}).evidence()); err != nil || r != (audit.Report{}) {
		t.Errorf("nothing at all: %v, %v", r, err)
	}
}

// Whatever is read, and whenever it stops, Verify says that it could not look.
func TestVerifyPassesReadErrorsOn(t *testing.T) {
	broken := errors.New("disk")
	stop := func(n int) (func(audit.Evidence) audit.Evidence, func(audit.Evidence) audit.Evidence) {
		return func(e audit.Evidence) audit.Evidence {
				e.Records = failAfter(e.Records, n, broken)
				return e
			}, func(e audit.Evidence) audit.Evidence {
				e.Hashes = failAfter(e.Hashes, n, broken)
				return e
			}
	}
	tr := build(t, 9)
	for n := range 9 {
		records, hashes := stop(n)
		for name, e := range map[string]audit.Evidence{"records": records(tr.evidence()), "hashes": hashes(tr.evidence())} {
			if r, err := audit.Verify(e); !errors.Is(err, broken) {
				t.Errorf("%s stop after %d: got %v, %v", name, n, r, err)
			}
		}
	}
	_, end := stop(len(tr.hashes))
	if _, err := audit.Verify(end(tr.evidence())); !errors.Is(err, broken) {
		t.Errorf("hashes stop at the end: got %v", err)
	}
	// The second look, at a trail whose records were exchanged.
	for name, e := range map[string]func(audit.Evidence) audit.Evidence{
		"records": func(e audit.Evidence) audit.Evidence { e.Records = failSecond(e.Records, broken); return e },
		"hashes":  func(e audit.Evidence) audit.Evidence { e.Hashes = failSecond(e.Hashes, broken); return e },
	} {
		tr := build(t, 9)
		tr.records[2], tr.records[3] = tr.records[3], tr.records[2]
		tr.records[2].Seq, tr.records[3].Seq = 2, 3
		if _, err := audit.Verify(e(tr.evidence())); !errors.Is(err, broken) {
			t.Errorf("second look at %s: got %v", name, err)
		}
	}
}

func failAfter[T any](all iter.Seq2[T, error], n int, broken error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		i := 0
		for v, err := range all {
			if i == n {
				break
			}
			if !yield(v, err) {
				return
			}
			i++
		}
		var none T
		yield(none, broken)
	}
}

func failSecond[T any](all iter.Seq2[T, error], broken error) iter.Seq2[T, error] {
	looks := 0
	return func(yield func(T, error) bool) {
		looks++
		if looks > 1 {
			all = failAfter(all, 0, broken)
		}
		all(yield)
	}
}

// Whatever record is touched, however, a trail with its signed head is never
// called whole, and nothing before the touched record is accused.
func TestNoTamperingPasses(t *testing.T) {
	honest := build(t, 40, 13, 30)
	rapid.Check(t, func(rt *rapid.T) {
		tr := &trail{records: slices.Clone(honest.records), head: honest.head, copies: honest.copies, notary: honest.notary}
		at := rapid.IntRange(0, 39).Draw(rt, "at")
		switch rapid.SampledFrom([]string{"edit", "delete", "renumber", "insert"}).Draw(rt, "how") {
		case "edit":
			tr.records[at].Actor += "x"
		case "delete":
			tr.records = slices.Delete(tr.records, at, at+1)
		case "renumber":
			tr.records = slices.Delete(tr.records, at, at+1)
			for i := range tr.records {
				tr.records[i].Seq = int64(i)
			}
		case "insert":
			tr.records = slices.Insert(tr.records, at, parvis.Event{Kind: "forged", At: noon()})
			for i := range tr.records {
				tr.records[i].Seq = int64(i)
			}
		}
		tr.hashes = honest.hashes
		if rapid.Bool().Draw(rt, "hashes made again") {
			tr.rebuild()
		}
		r, err := audit.Verify(tr.evidence())
		if err != nil {
			rt.Fatal(err)
		}
		if r.Fault == audit.Whole || r.Last < int64(at) {
			rt.Errorf("record %d was touched; the report is %+v", at, r)
		}
	})
}
