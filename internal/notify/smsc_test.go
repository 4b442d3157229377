package notify

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"parvis/internal/store/storetest"
)

// smsc is a provider that speaks SMPP 3.4, written from the specification and
// apart from the client: it notes every fault it sees.
type smsc struct {
	host string
	port int

	mu       sync.Mutex
	bind     uint32            // status of bind_transceiver_resp
	statuses []uint32          // of submit_sm_resp, one after the other; then 0
	silent   map[uint32]bool   // commands that get no answer
	before   []byte            // sent before every answer to submit_sm
	shred    bool              // write one byte at a time
	binds    []bind            // seen
	submits  []submit          // seen
	others   []uint32          // every other command seen
	faults   []string          // what no client should do
	conns    map[net.Conn]bool // open

	listener net.Listener
	done     sync.WaitGroup
	conf     *tls.Config
}

type bind struct {
	system, password, kind string
	version, ton, npi      byte
	addresses              string
}

type submit struct {
	sequence                               uint32
	sourceTON, sourceNPI, destTON, destNPI byte
	source, dest                           string
	class, tell, coding                    byte
	validity                               string
	message                                []byte
}

// provider starts a server.
func provider(t *testing.T, conf *tls.Config) *smsc {
	t.Helper()
	s := &smsc{host: "127.0.0.1", conf: conf, conns: map[net.Conn]bool{}, silent: map[uint32]bool{}}
	s.listen(t, "127.0.0.1:0")
	t.Cleanup(func() {
		s.stop()
		for _, fault := range s.faults {
			t.Errorf("the client's fault: %s", fault)
		}
	})
	return s
}

func (s *smsc) listen(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	if s.conf != nil {
		l = tls.NewListener(l, s.conf)
	}
	s.listener = l
	s.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			s.done.Go(func() { s.serve(conn) })
		}
	})
}

func (s *smsc) stop() {
	_ = s.listener.Close()
	s.drop()
	s.done.Wait()
}

// drop ends every connection without a word.
func (s *smsc) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

func (s *smsc) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *smsc) seen() ([]bind, []submit, []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.binds), slices.Clone(s.submits), slices.Clone(s.others)
}

// met waits until the server has read a command.
func (s *smsc) met(command uint32) {
	for {
		if _, _, others := s.seen(); slices.Contains(others, command) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *smsc) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

func wire(command, status, sequence uint32, body string) []byte {
	b := make([]byte, 16, 16+len(body))
	for i, n := range []uint32{uint32(16 + len(body)), command, status, sequence} {
		binary.BigEndian.PutUint32(b[4*i:], n)
	}
	return append(b, body...)
}

func (s *smsc) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	bound, last := false, uint32(0)
	for {
		head := make([]byte, 16)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head)-16)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		command, status, sequence := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
		s.mu.Lock()
		var answer []byte
		switch command {
		case 0x9:
			answer = s.bound(body, sequence)
			bound = true
		case 0x4:
			if !bound {
				s.fault("submit_sm before bind")
			}
			answer = s.submitted(body, sequence)
		case 0x15, 0x6:
			s.others = append(s.others, command)
			if len(body) != 0 {
				s.fault("0x%x has a body", command)
			}
			answer = wire(command|1<<31, 0, sequence, "")
		default:
			s.others = append(s.others, command)
			if command == 0x80000005 && !bytes.Equal(body, []byte{0}) {
				s.fault("deliver_sm_resp has the body %q", body)
			}
		}
		if command < 1<<31 {
			if status != 0 {
				s.fault("a question has the status %d", status)
			}
			if sequence != last+1 {
				s.fault("sequence %d after %d", sequence, last)
			}
			last = sequence
		}
		if s.silent[command] {
			answer = nil
		}
		shred := s.shred
		s.mu.Unlock()
		for len(answer) > 0 {
			n := len(answer)
			if shred {
				n = 1
			}
			if _, err := conn.Write(answer[:n]); err != nil {
				return
			}
			answer = answer[n:]
		}
		if command == 0x6 {
			return
		}
	}
}

// cursor takes the fields of a body apart.
type cursor struct {
	b     []byte
	fault func(string, ...any)
}

func (c *cursor) str(most int) string {
	end := bytes.IndexByte(c.b, 0)
	if end < 0 || end >= most {
		c.fault("a C-octet string without its end within %d: %q", most, c.b)
		end = 0
	}
	s := string(c.b[:end])
	c.b = c.b[min(end+1, len(c.b)):]
	return s
}

func (c *cursor) one() byte {
	if len(c.b) == 0 {
		c.fault("a body ends early")
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (s *smsc) bound(body []byte, sequence uint32) []byte {
	c := &cursor{body, s.fault}
	s.binds = append(s.binds, bind{
		system: c.str(16), password: c.str(9), kind: c.str(13), version: c.one(), ton: c.one(), npi: c.one(), addresses: c.str(41),
	})
	if len(c.b) != 0 {
		s.fault("bind_transceiver has %d bytes too many", len(c.b))
	}
	if s.bind != 0 {
		return wire(0x80000009, s.bind, sequence, "") // the body is left out (§4.1.2)
	}
	return wire(0x80000009, 0, sequence, "town\x00\x02\x10\x00\x01\x34")
}

func (s *smsc) submitted(body []byte, sequence uint32) []byte {
	c := &cursor{body, s.fault}
	m := submit{sequence: sequence}
	if c.str(6) != "" {
		s.fault("a service type")
	}
	m.sourceTON, m.sourceNPI, m.source = c.one(), c.one(), c.str(21)
	m.destTON, m.destNPI, m.dest = c.one(), c.one(), c.str(21)
	m.class = c.one()
	if plain := [2]byte{c.one(), c.one()}; plain != [2]byte{} || c.str(17) != "" {
		s.fault("protocol, priority and schedule are not asked for")
	}
	m.validity = c.str(17)
	m.tell = c.one()
	if c.one() != 0 {
		s.fault("replace_if_present")
	}
	m.coding = c.one()
	if c.one() != 0 {
		s.fault("sm_default_msg_id")
	}
	if n := int(c.one()); n != len(c.b) || n > 254 {
		s.fault("sm_length %d, %d bytes", n, len(c.b))
	}
	m.message = c.b
	s.submits = append(s.submits, m)
	var status uint32
	if len(s.statuses) > 0 {
		status, s.statuses = s.statuses[0], s.statuses[1:]
	}
	answer := wire(0x80000004, status, sequence, "")
	if status == 0 {
		answer = wire(0x80000004, 0, sequence, fmt.Sprintf("id-%d\x00", len(s.submits)))
	}
	return append(slices.Clone(s.before), answer...)
}

// push sends a PDU that nobody asked for, on every connection.
func (s *smsc) push(t *testing.T, b []byte) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == 0 {
		t.Fatal("no connection")
	}
	for conn := range s.conns {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

// delivered is a delivery receipt as most providers write it.
func delivered(sequence uint32, id, state string) []byte {
	said := fmt.Sprintf("id:%s sub:001 dlvrd:001 submit date:2611230912 done date:2611230913 stat:%s err:000 text:204816 est votre cod", id, state)
	return wire(0x5, 0, sequence, "\x00\x01\x0133600000042\x00\x00\x00VILLE\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00"+string([]byte{byte(len(said))})+said)
}

// read puts the parts of a text together, as a telephone does.
func read(t testing.TB, parts []submit) string {
	t.Helper()
	var whole strings.Builder
	for i, m := range parts {
		b := m.message
		if m.class&0x40 != 0 {
			if len(b) < 6 || !bytes.Equal(b[:3], []byte{5, 0, 3}) || b[3] != parts[0].message[3] || int(b[4]) != len(parts) || int(b[5]) != i+1 {
				t.Fatalf("part %d has the header % x", i+1, b[:6])
			}
			b = b[6:]
		}
		whole.WriteString(decoded(t, m.coding, b))
	}
	return whole.String()
}

// decoded reads one part with tables of its own.
func decoded(t testing.TB, coding byte, b []byte) string {
	t.Helper()
	var out strings.Builder
	if coding == 8 {
		if len(b)%2 != 0 || len(b) > 140 {
			t.Fatalf("%d bytes of UCS-2", len(b))
		}
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(b[2*i:])
		}
		return string(utf16.Decode(units))
	}
	if len(b) > 160 {
		t.Fatalf("%d septets", len(b))
	}
	basic := map[byte]string{
		0: "@", 1: "£", 2: "$", 3: "¥", 4: "è", 5: "é", 6: "ù", 7: "ì", 8: "ò", 9: "Ç", 10: "\n", 11: "Ø", 12: "ø", 13: "\r", 14: "Å", 15: "å",
		16: "Δ", 17: "_", 18: "Φ", 19: "Γ", 20: "Λ", 21: "Ω", 22: "Π", 23: "Ψ", 24: "Σ", 25: "Θ", 26: "Ξ", 28: "Æ", 29: "æ", 30: "ß", 31: "É",
		0x24: "¤", 0x40: "¡", 0x5b: "Ä", 0x5c: "Ö", 0x5d: "Ñ", 0x5e: "Ü", 0x5f: "§", 0x60: "¿", 0x7b: "ä", 0x7c: "ö", 0x7d: "ñ", 0x7e: "ü", 0x7f: "à",
	}
	second := map[byte]string{
		0x0a: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2f: "\\", 0x3c: "[", 0x3d: "~", 0x3e: "]", 0x40: "|", 0x65: "€",
	}
	for i := 0; i < len(b); i++ {
		switch s, ok := basic[b[i]]; {
		case b[i] == 0x1b:
			if i++; i == len(b) || second[b[i]] == "" {
				t.Fatalf("an escape before nothing: % x", b)
			}
			out.WriteString(second[b[i]])
		case ok:
			out.WriteString(s)
		case b[i] > 0x7f:
			t.Fatalf("the septet %x", b[i])
		default:
			out.WriteByte(b[i])
		}
	}
	return out.String()
}

// smpp is a client of the server, ready to use.
func smpp(t *testing.T, s *smsc) *SMPP {
	t.Helper()
	p := &SMPP{
		Host: s.host, Port: s.port, Transport: TransportPlain, System: "parvis", Password: "secret08", Type: "ville",
		From: "VILLE", Timeout: 5 * time.Second, Log: storetest.Logger(t),
	}
	ready(t, p)
	return p
}

func ready(t *testing.T, p *SMPP) {
	t.Helper()
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.leave(t.Context()) })
}
