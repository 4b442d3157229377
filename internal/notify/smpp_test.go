package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parvis"
)

func text1(to, said string) SMS { return SMS{ID: "m1", To: to, Text: said, Good: 5 * time.Minute} }

func TestSMPPSubmits(t *testing.T) {
	for _, shred := range []bool{false, true} { // answers that come byte by byte are answers
		t.Run(fmt.Sprintf("shred=%v", shred), func(t *testing.T) {
			s := provider(t, nil)
			s.shred = shred
			p := smpp(t, s)
			const said = "204816 est votre code Ville d'Été. Ne le donnez à personne.\n@agents.example.org #204816"
			id, err := p.Send(t.Context(), text1("+33600000042", said))
			if err != nil || id != "id-1" {
				t.Fatalf("%q, %v", id, err)
			}
			binds, submits, _ := s.seen()
			if want := []bind{{"parvis", "secret08", "ville", 0x34, 0, 0, ""}}; !slices.Equal(binds, want) {
				t.Errorf("bound with %+v", binds)
			}
			if len(submits) != 1 {
				t.Fatalf("%d submits", len(submits))
			}
			got := submits[0]
			if text := read(t, submits); text != said {
				t.Errorf("%q arrives", text)
			}
			got.message = nil
			want := submit{
				sequence: 2, sourceTON: 5, source: "VILLE", destTON: 1, destNPI: 1, dest: "33600000042", tell: 1,
				validity: "000000000500000R",
			}
			if d := cmp.Diff(want, got, cmp.AllowUnexported(submit{})); d != "" {
				t.Errorf("submit_sm (-want +got):\n%s", d)
			}
		})
	}
}

func TestSMPPLongTexts(t *testing.T) {
	s := provider(t, nil)
	p := smpp(t, s)
	for _, c := range []struct {
		said   string
		parts  int
		coding byte
	}{
		{strings.Repeat("é", 160), 1, 0},
		{strings.Repeat("é", 161), 2, 0},
		{strings.Repeat("a", 152) + "€" + strings.Repeat("b", 20), 2, 0}, // the euro would stand across the cut
		{strings.Repeat("ç", 70), 1, 8},
		{strings.Repeat("ç", 71), 2, 8},
		{strings.Repeat("ç", 66) + "😀" + strings.Repeat("ç", 10), 2, 8}, // and so would this
		{"Reçu\u00a0: voilà", 1, 8},
	} {
		_, before, _ := s.seen()
		if _, err := p.Send(t.Context(), text1("+33600000042", c.said)); err != nil {
			t.Fatal(err)
		}
		_, all, _ := s.seen()
		sent := all[len(before):]
		if len(sent) != c.parts || sent[0].coding != c.coding || read(t, sent) != c.said {
			t.Errorf("%.30q: %d parts in coding %d, want %d in %d: %q", c.said, len(sent), sent[0].coding, c.parts, c.coding, read(t, sent))
		}
	}
	if _, err := p.Send(t.Context(), text1("+33600000042", strings.Repeat("a", 2000))); parvis.CodeOf(err) != parvis.CodeRefused {
		t.Errorf("a text of 2000: %v", err)
	}
	p.UCS2 = true
	if _, err := p.Send(t.Context(), text1("+33600000042", "abc")); err != nil {
		t.Fatal(err)
	}
	if _, all, _ := s.seen(); all[len(all)-1].coding != 8 {
		t.Error("UCS2 always is not")
	}
}

func TestSMPPAnswers(t *testing.T) {
	s := provider(t, nil)
	p := smpp(t, s)
	for status, want := range map[uint32]parvis.Code{
		0x58: parvis.CodeLimited, 0x14: parvis.CodeLimited, 0x45: parvis.CodeLimited, 0x64: parvis.CodeLimited, 0x4321: parvis.CodeLimited,
		0x0b: parvis.CodeRefused, 0x50: parvis.CodeRefused, 0x51: parvis.CodeRefused, 0x66: parvis.CodeRefused,
		0x08: parvis.CodeUnavailable, 0x04: parvis.CodeUnavailable,
	} {
		s.set(func() { s.statuses = []uint32{status} })
		if _, err := p.Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != want {
			t.Errorf("status 0x%x: %v, want %s", status, err, want)
		}
	}
	if binds, _, _ := s.seen(); len(binds) != 1 {
		t.Errorf("%d connections for messages that were answered", len(binds))
	}
}

// Connecting again is tried 1, 2, 4… seconds apart, and a minute at most.
func TestSMPPBacksOff(t *testing.T) {
	s := provider(t, nil)
	s.bind = 0x0e
	p := smpp(t, s)
	now := time.Now()
	p.now = func() time.Time { return now }
	for i := range 9 {
		_, err := p.Send(t.Context(), text1("+33600000042", "a"))
		if parvis.CodeOf(err) != parvis.CodeUnavailable || !strings.Contains(err.Error(), "ESME_RINVPASWD") || strings.Contains(err.Error(), "secret08") {
			t.Fatalf("a wrong password: %v", err)
		}
		wait := min(time.Second<<i, time.Minute)
		now = now.Add(wait - time.Millisecond)
		if _, err := p.Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Fatal(err)
		}
		if binds, _, _ := s.seen(); len(binds) != i+1 {
			t.Fatalf("%d connections after %d failures: too early", len(binds), i+1)
		}
		now = now.Add(time.Millisecond)
	}
	s.set(func() { s.bind = 0 })
	if _, err := p.Send(t.Context(), text1("+33600000042", "a")); err != nil {
		t.Errorf("once the password is right: %v", err)
	}
	if p.failed != 0 || !p.next.IsZero() {
		t.Error("the failures are not forgotten")
	}
}

// A line that was lost is replaced, by the next message or before.
func TestSMPPComesBack(t *testing.T) {
	s := provider(t, nil)
	p := smpp(t, s)
	send := func() {
		t.Helper()
		if _, err := p.Send(t.Context(), text1("+33600000042", "a")); err != nil {
			t.Fatal(err)
		}
	}
	p.tend(t.Context())
	if binds, _, _ := s.seen(); len(binds) != 0 {
		t.Error("connected before the first message")
	}
	send()
	first := p.line
	s.drop()
	<-first.ended
	send()
	second := p.line
	s.push(t, wire(0x6, 0, 1, "")) // unbind
	<-second.ended
	p.tend(t.Context())
	if p.line == second || p.line.over() {
		t.Error("a lost line is not opened again")
	}
	s.met(0x80000006) // unbind_resp
	if binds, submits, _ := s.seen(); len(binds) != 3 || len(submits) != 2 {
		t.Errorf("%d connections, %d messages", len(binds), len(submits))
	}
	p.leave(t.Context())
	if _, _, others := s.seen(); others[len(others)-1] != 0x6 {
		t.Errorf("no goodbye: %x", others)
	}
}

func TestSMPPKeepsTheLine(t *testing.T) {
	s := provider(t, nil)
	p := smpp(t, s)
	if _, err := p.Send(t.Context(), text1("+33600000042", "a")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now := time.Now()
	p.line.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	p.now = p.line.now
	p.tend(t.Context())
	if _, _, others := s.seen(); len(others) != 0 {
		t.Errorf("a line that just spoke is tested: %x", others)
	}
	mu.Lock()
	now = now.Add(31 * time.Second)
	mu.Unlock()
	p.tend(t.Context())
	if _, _, others := s.seen(); !slices.Equal(others, []uint32{0x15}) {
		t.Errorf("commands %x, want one enquire_link", others)
	}
	p.tend(t.Context()) // the answer counts
	if _, _, others := s.seen(); len(others) != 1 {
		t.Errorf("commands %x", others)
	}
	s.set(func() { s.silent[0x15] = true })
	p.Timeout = 50 * time.Millisecond
	mu.Lock()
	now = now.Add(31 * time.Second)
	mu.Unlock()
	p.tend(t.Context())
	if !p.line.over() {
		t.Error("a line that does not answer is kept")
	}
}

// A provider that takes a message and says nothing holds up one try.
func TestSMPPSilence(t *testing.T) {
	s := provider(t, nil)
	s.silent[0x4] = true
	p := smpp(t, s)
	p.Timeout = 100 * time.Millisecond
	if _, err := p.Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != parvis.CodeUnavailable {
		t.Errorf("silence: %v", err)
	}
	if !p.line.over() {
		t.Error("the line is kept")
	}
	s.set(func() { clear(s.silent) })
	p.Timeout = 5 * time.Second
	if _, err := p.Send(t.Context(), text1("+33600000042", "a")); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Send(ctx, text1("+33600000042", "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if p.failed != 0 {
		t.Error("our own end counts as a failure of theirs")
	}
}

// What a provider may say without being asked, and what none should.
func TestSMPPHearsAnything(t *testing.T) {
	s := provider(t, nil)
	p := smpp(t, s)
	heard := make(chan string, 10)
	p.noted = func(receipt, note string) { heard <- receipt + " " + note }
	s.before = slices.Concat(
		wire(0x80000004, 0, 9999, "ghost\x00"), // an answer to nothing
		wire(0x15, 0, 7, ""),                   // enquire_link
		wire(0x102, 0, 8, "\x00\x00\x00"),      // alert_notification
		wire(0x777, 0, 9, "what"),              // no such command
		wire(0x5, 0, 10, "garbage"),            // a deliver_sm that is none
		delivered(11, "id-0", "DELIVRD"),
	)
	id, err := p.Send(t.Context(), text1("+33600000042", "a"))
	if err != nil || id != "id-1" {
		t.Fatalf("%q, %v", id, err)
	}
	if got, want := <-heard, p.String()+"/id-0 DELIVRD 000"; got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
	p.leave(t.Context())
	_, _, others := s.seen()
	want := []uint32{0x80000015, 0x80000000, 0x80000005, 0x80000005, 0x6}
	if !slices.Equal(others, want) {
		t.Errorf("it was answered %x, want %x", others, want)
	}
	for name, garbage := range map[string][]byte{
		"a length too small": {0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1},
		"a length too large": {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1},
		"another protocol":   []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
	} {
		s.set(func() { s.before = garbage })
		if _, err := p.Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The answer to one question under the number of another.
	s.set(func() { s.before = wire(0x80000015, 0, 2, "") })
	if _, err := p.Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != parvis.CodeUnavailable {
		t.Errorf("a wrong answer: %v", err)
	}
	s.set(func() { s.before = wire(0x80000000, 0, 2, "") })
	if _, err := p.Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != parvis.CodeUnavailable {
		t.Errorf("generic_nack: %v", err)
	}
}

func TestSMPPTogether(t *testing.T) {
	s := provider(t, nil)
	p := smpp(t, s)
	var wait sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]bool{}
	for i := range 40 {
		wait.Go(func() {
			id, err := p.Send(t.Context(), SMS{ID: fmt.Sprint(i), To: "+33600000042", Text: fmt.Sprint("text ", i)})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			ids[id] = true
			mu.Unlock()
		})
	}
	wait.Wait()
	if binds, submits, _ := s.seen(); len(binds) != 1 || len(submits) != 40 || len(ids) != 40 {
		t.Errorf("%d connections, %d messages, %d names", len(binds), len(submits), len(ids))
	}
}

func TestSMPPOverTLS(t *testing.T) {
	pair, authority := certificate(t)
	s := provider(t, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	p := &SMPP{Host: s.host, Port: s.port, Authority: authority}
	ready(t, p)
	if _, err := p.Send(t.Context(), text1("+33600000042", "a")); err != nil {
		t.Error(err)
	}
	stranger := &SMPP{Host: s.host, Port: s.port}
	ready(t, stranger)
	if _, err := stranger.Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != parvis.CodeUnavailable {
		t.Errorf("an unknown authority: %v", err)
	}
	if binds, _, _ := s.seen(); len(binds) != 1 {
		t.Errorf("%d binds: the password was given to a stranger", len(binds))
	}
}

func TestSMPPSettings(t *testing.T) {
	for name, bad := range map[string]*SMPP{
		"no host":        {Port: 2775},
		"no port":        {Host: "a.example"},
		"transport":      {Host: "a.example", Port: 2775, Transport: TransportStartTLS},
		"long system":    {Host: "a.example", Port: 2775, System: "0123456789abcdef"},
		"long password":  {Host: "a.example", Port: 2775, Password: "123456789"},
		"zero inside":    {Host: "a.example", Port: 2775, Type: "a\x00b"},
		"long letters":   {Host: "a.example", Port: 2775, From: "ADMINISTRATION"},
		"long number":    {Host: "a.example", Port: 2775, From: "+123456789012345678901"},
		"no certificate": {Host: "a.example", Port: 2775, Authority: "/nowhere/ca.pem"},
	} {
		if err := bad.check(); err == nil || strings.Contains(err.Error(), "123456789") && name == "long password" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for from, want := range map[string][2]byte{"": {0, 0}, "VILLE": {5, 0}, "+33612345678": {1, 1}, "36000": {3, 0}, "VILLE 33": {5, 0}} {
		p := &SMPP{Host: "a.example", Port: 2775, From: from}
		if err := p.check(); err != nil || p.source != want {
			t.Errorf("sender %q: %v, %v", from, p.source, err)
		}
	}
	if _, err := new(SMPP).Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("unchecked: %v", err)
	}
}

func TestValidity(t *testing.T) {
	for good, want := range map[time.Duration]string{
		0: "", time.Second / 2: "", -time.Hour: "", 59 * time.Second: "000000000059000R", 5 * time.Minute: "000000000500000R",
		26*time.Hour + 61*time.Second: "000001020101000R", 400 * 24 * time.Hour: "000030000000000R",
	} {
		if got := relative(good); got != want {
			t.Errorf("%v: %q, want %q", good, got, want)
		}
	}
}

func TestReceipts(t *testing.T) {
	tlvs := "\x04\x27\x00\x01\x05\x00\x1e\x00\x05id-7\x00"
	for name, c := range map[string]struct {
		body string
		want receipt
		ok   bool
	}{
		"in words":      {string(delivered(1, "42", "DELIVRD")[16:]), receipt{"42", "DELIVRD", "000"}, true},
		"in parameters": {"\x00\x01\x0133600000042\x00\x00\x00V\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00" + tlvs, receipt{"id-7", "UNDELIV", ""}, true},
		"no receipt":    {"\x00\x01\x0133600000042\x00\x00\x00V\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02ok", receipt{}, false},
		"state in text": {"\x00\x01\x011\x00\x00\x00V\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x1did:42 err:1 text:stat:DELIVRD", receipt{"42", "", "1"}, false},
		"cut short":     {"\x00\x01\x011\x00\x00\x00V\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\xffid:42 stat:DELIVRD", receipt{}, false},
		"nothing":       {"", receipt{}, false},
	} {
		got, ok := readReceipt([]byte(c.body))
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// A text arrives as it was written, whatever it is made of.
func TestTextsArriveWhole(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		alphabet := []rune(gsmBasic + "^{}\\[~]|€ çêœ’😀\u00a0漢")
		said := strings.ReplaceAll(string(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 300).Draw(r, "text")), "\x1b", "")
		coding, parts := split(said, 7, rapid.Bool().Draw(r, "ucs2"))
		if parts == nil {
			t.Fatalf("%q has no parts", said)
		}
		sent := make([]submit, len(parts))
		for i, part := range parts {
			sent[i] = submit{coding: coding, message: part}
			if len(parts) > 1 {
				sent[i].class = 0x40
			}
			if len(part) > 160 {
				t.Fatalf("a part of %d bytes", len(part))
			}
		}
		if got := read(t, sent); got != said {
			t.Fatalf("%q arrives as %q", said, got)
		}
	})
}

func FuzzPDU(f *testing.F) {
	f.Add(delivered(1, "42", "DELIVRD"))
	f.Add(wire(0x80000004, 0, 1, "id\x00"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			before := r.Len()
			p, err := readPDU(r)
			if err != nil {
				if !errors.Is(err, errLength) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				return
			}
			took := b[len(b)-before : len(b)-r.Len()]
			if !bytes.Equal(p.bytes(), took) || int(binary.BigEndian.Uint32(took)) != len(took) {
				t.Fatalf("% x is read as % x", took, p.bytes())
			}
			if rec, ok := readReceipt(p.body); ok {
				for _, s := range []string{rec.id, rec.state, rec.fault} {
					if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
						t.Fatalf("a receipt says %q", s)
					}
				}
			}
		}
	})
}
