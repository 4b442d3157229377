package notify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// The commands of SMPP 3.4 that a sender meets (§5.1.2.1). An answer is its
// question with the highest bit set.
const (
	answered        = 0x80000000
	genericNack     = 0x80000000
	bindTransceiver = 0x00000009
	submitSM        = 0x00000004
	deliverSM       = 0x00000005
	unbind          = 0x00000006
	enquireLink     = 0x00000015
	dataSM          = 0x00000103
	alert           = 0x00000102 // alert_notification: not answered (§4.12)
)

// The states of an answer that we give or understand (§5.1.3).
const (
	statusOK       = 0x00
	invalidLength  = 0x02
	invalidCommand = 0x03
	wrongState     = 0x04
	systemError    = 0x08
	noSuchTarget   = 0x0b
	queueFull      = 0x14
	invalidTON     = 0x50
	invalidNPI     = 0x51
	throttled      = 0x58
	forGood        = 0x66 // ESME_RX_R_APPN
)

// statusNames help an operator to read the log.
var statusNames = map[uint32]string{
	0x01: "ESME_RINVMSGLEN", invalidLength: "ESME_RINVCMDLEN", invalidCommand: "ESME_RINVCMDID", wrongState: "ESME_RINVBNDSTS",
	0x05: "ESME_RALYBND", systemError: "ESME_RSYSERR", 0x0a: "ESME_RINVSRCADR", noSuchTarget: "ESME_RINVDSTADR",
	0x0d: "ESME_RBINDFAIL", 0x0e: "ESME_RINVPASWD", 0x0f: "ESME_RINVSYSID", queueFull: "ESME_RMSGQFUL", 0x43: "ESME_RINVESMCLASS",
	0x45: "ESME_RSUBMITFAIL", 0x48: "ESME_RINVSRCTON", 0x49: "ESME_RINVSRCNPI", invalidTON: "ESME_RINVDSTTON",
	invalidNPI: "ESME_RINVDSTNPI", throttled: "ESME_RTHROTTLED", 0x62: "ESME_RINVEXPIRY", 0x64: "ESME_RX_T_APPN",
	forGood: "ESME_RX_R_APPN", 0xff: "ESME_RUNKNOWNERR",
}

func statusName(status uint32) string {
	if name, ok := statusNames[status]; ok {
		return name
	}
	return fmt.Sprintf("status 0x%08X", status)
}

// pdu is one message of the protocol (§3.2).
type pdu struct {
	command, status, sequence uint32
	body                      []byte
}

const (
	headerLength = 16
	longestPDU   = 1 << 17 // message_payload alone may have 64 KiB (§5.3.2.32)
)

var errLength = errors.New("a PDU has an impossible length")

// readPDU reads one; it never asks for more memory than what may be right.
func readPDU(r io.Reader) (pdu, error) {
	var head [headerLength]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return pdu{}, err
	}
	p := pdu{
		command: binary.BigEndian.Uint32(head[4:]), status: binary.BigEndian.Uint32(head[8:]),
		sequence: binary.BigEndian.Uint32(head[12:]),
	}
	length := binary.BigEndian.Uint32(head[:])
	if length < headerLength || length > longestPDU {
		return p, errLength
	}
	p.body = make([]byte, length-headerLength)
	_, err := io.ReadFull(r, p.body)
	return p, err
}

// bytes writes a PDU as it travels.
func (p pdu) bytes() []byte {
	b := make([]byte, 0, headerLength+len(p.body))
	b = binary.BigEndian.AppendUint32(b, uint32(headerLength+len(p.body))) //nolint:gosec // bounded by what we send
	b = binary.BigEndian.AppendUint32(b, p.command)
	b = binary.BigEndian.AppendUint32(b, p.status)
	b = binary.BigEndian.AppendUint32(b, p.sequence)
	return append(b, p.body...)
}

// fields writes the body of a PDU: strings that end with a zero (§3.1), bytes.
type fields []byte

func (f fields) text(s string) fields    { return append(append(f, s...), 0) }
func (f fields) octets(b ...byte) fields { return append(f, b...) }
func (f fields) sized(message []byte) fields {
	return append(append(f, byte(len(message))), message...)
} //nolint:gosec // at most 160

// scanner reads the body of a PDU. After a fault everything is empty.
type scanner struct {
	rest  []byte
	fault bool
}

func (s *scanner) octets(n int) []byte {
	if n > len(s.rest) {
		s.rest, s.fault = nil, true
		return make([]byte, n)
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

func (s *scanner) octet() byte { return s.octets(1)[0] }

func (s *scanner) text() string {
	end := bytes.IndexByte(s.rest, 0)
	if end < 0 {
		s.rest, s.fault = nil, true
		return ""
	}
	b := s.rest[:end]
	s.rest = s.rest[end+1:]
	return string(b)
}

// receipt is what a provider says later of a message it took.
type receipt struct {
	id    string
	state string // DELIVRD, EXPIRED, UNDELIV…
	fault string // the network's own code
}

var (
	receiptID    = regexp.MustCompile(`(?i)\bid:([!-~]{1,64})`)
	receiptState = regexp.MustCompile(`(?i)\bstat:([A-Z]{1,8})\b`)
	receiptFault = regexp.MustCompile(`(?i)\berr:([0-9A-Z]{1,8})\b`)
	receiptText  = regexp.MustCompile(`(?i)\btext:`)

	// states are the values of message_state (§5.2.28).
	states = []string{"", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"}
)

const (
	tlvMessageState = 0x0427
	tlvReceiptedID  = 0x001e
	tlvPayload      = 0x0424
)

// readReceipt understands a deliver_sm (§4.6.1) that is a delivery receipt
// (§5.2.12): the fields of its text as Appendix B writes them, or the optional
// parameters that say the same. The text of the message, which some providers
// repeat, is not looked at.
func readReceipt(body []byte) (receipt, bool) {
	s := &scanner{rest: body}
	s.text()    // service_type
	s.octets(2) // source address: type and plan
	s.text()
	s.octets(2) // destination
	s.text()
	class := s.octet()
	s.octets(2) // protocol_id, priority_flag
	s.text()    // schedule_delivery_time
	s.text()    // validity_period
	s.octets(4) // registered_delivery, replace_if_present, data_coding, sm_default_msg_id
	said := s.octets(int(s.octet()))
	if s.fault || class&0x3c != 0x04 {
		return receipt{}, false
	}
	var r receipt
	for len(s.rest) > 0 && !s.fault {
		head := s.octets(4)
		tag := binary.BigEndian.Uint16(head)
		value := s.octets(int(binary.BigEndian.Uint16(head[2:])))
		if s.fault {
			break
		}
		switch {
		case tag == tlvReceiptedID:
			r.id = named(bytes.TrimRight(value, "\x00"))
		case tag == tlvMessageState && len(value) == 1 && int(value[0]) < len(states):
			r.state = states[value[0]]
		case tag == tlvPayload && len(said) == 0:
			said = value
		}
	}
	if at := receiptText.FindIndex(said); at != nil {
		said = said[:at[0]]
	}
	first := func(shape *regexp.Regexp) string {
		if m := shape.FindSubmatch(said); m != nil {
			return string(m[1])
		}
		return ""
	}
	if r.id == "" {
		r.id = named([]byte(first(receiptID)))
	}
	if r.state == "" {
		r.state = first(receiptState)
	}
	r.fault = first(receiptFault)
	return r, r.id != "" && r.state != ""
}

// named keeps an identifier only when it looks like one: what a provider says
// is written in a log.
func named(id []byte) string {
	if len(id) > 64 || bytes.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return string(id)
}
