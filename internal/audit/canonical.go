package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"parvis"
)

// The moment is written to the microsecond, always with six digits, always UTC.
const moment = "2006-01-02T15:04:05.000000Z"

// Canonical gives the bytes that stand for e in the tree and in an export: one
// JSON object on one line, fields in a fixed order, empty ones left out, the
// keys of Detail sorted, strings as RFC 8785 §3.2.2.2 writes them. It does not
// use encoding/json, whose form may change with the toolchain while trails
// must verify for years. Text that is not UTF-8 is mended first, as [Clean] does.
func Canonical(e parvis.Event) []byte {
	e = Clean(e)
	b := make([]byte, 0, 256)
	b = append(b, `{"seq":`...)
	b = strconv.AppendInt(b, e.Seq, 10)
	b = append(b, `,"at":"`...)
	b = e.At.AppendFormat(b, moment)
	b = append(b, '"')
	b = appendField(b, "kind", e.Kind)
	b = appendField(b, "agent", string(e.Agent))
	b = appendField(b, "actor", e.Actor)
	b = appendField(b, "channel", string(e.Channel))
	b = appendField(b, "address", e.Address)
	b = appendField(b, "app", string(e.App))
	b = appendField(b, "reference", string(e.Reference))
	if len(e.Reasons) > 0 {
		b = append(b, `,"reasons":[`...)
		for i, r := range e.Reasons {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, string(r))
		}
		b = append(b, ']')
	}
	if len(e.Detail) > 0 {
		b = append(b, `,"detail":{`...)
		for i, k := range slices.Sorted(maps.Keys(e.Detail)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, k)
			b = append(b, ':')
			b = appendString(b, e.Detail[k])
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// Clean gives e as it can be kept by every engine and read back the same: UTC
// microseconds, valid UTF-8 without NUL. What had to be mended shows as U+FFFD.
func Clean(e parvis.Event) parvis.Event {
	e.At = e.At.UTC().Truncate(time.Microsecond)
	e.Kind = mend(e.Kind)
	e.Agent = parvis.AgentNumber(mend(string(e.Agent)))
	e.Actor = mend(e.Actor)
	e.Channel = parvis.Channel(mend(string(e.Channel)))
	e.Address = mend(e.Address)
	e.App = parvis.AppID(mend(string(e.App)))
	e.Reference = parvis.Reference(mend(string(e.Reference)))
	if len(e.Reasons) == 0 {
		e.Reasons = nil
	}
	for i, r := range e.Reasons {
		if m := mend(string(r)); m != string(r) {
			e.Reasons = slices.Clone(e.Reasons)
			e.Reasons[i] = parvis.ReasonCode(m)
		}
	}
	if len(e.Detail) == 0 {
		e.Detail = nil
		return e
	}
	for k, v := range e.Detail {
		if k != mend(k) || v != mend(v) {
			mended := make(map[string]string, len(e.Detail))
			// Sorted, so that keys that become equal once mended always
			// leave the same one.
			for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
				mended[mend(k)] = mend(e.Detail[k])
			}
			e.Detail = mended
			break
		}
	}
	return e
}

func mend(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func appendField(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

// RFC 8785 §3.2.2.2: the short escapes that JSON has, \u00xx for the other
// control characters, everything else as it is.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		case c == '\b':
			b = append(b, '\\', 'b')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\f':
			b = append(b, '\\', 'f')
		case c == '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(b, '"')
}

// Parse reads one canonical record, as a line of an export. It refuses
// anything that [Canonical] would have written otherwise, to the byte.
func Parse(record []byte) (parvis.Event, error) {
	var in struct {
		Seq       int64               `json:"seq"`
		At        string              `json:"at"`
		Kind      string              `json:"kind"`
		Agent     parvis.AgentNumber  `json:"agent"`
		Actor     string              `json:"actor"`
		Channel   parvis.Channel      `json:"channel"`
		Address   string              `json:"address"`
		App       parvis.AppID        `json:"app"`
		Reference parvis.Reference    `json:"reference"`
		Reasons   []parvis.ReasonCode `json:"reasons"`
		Detail    map[string]string   `json:"detail"`
	}
	if err := json.Unmarshal(record, &in); err != nil {
		return parvis.Event{}, invalid("audit.Parse", err)
	}
	at, err := time.Parse(moment, in.At)
	if err != nil {
		return parvis.Event{}, invalid("audit.Parse", err)
	}
	e := parvis.Event{
		Seq: in.Seq, At: at, Kind: in.Kind, Agent: in.Agent, Actor: in.Actor, Channel: in.Channel,
		Address: in.Address, App: in.App, Reference: in.Reference, Reasons: in.Reasons, Detail: in.Detail,
	}
	if !bytes.Equal(Canonical(e), record) {
		return parvis.Event{}, invalid("audit.Parse", errors.New("the record is not in canonical form"))
	}
	return Clean(e), nil
}

func invalid(op string, err error) error {
	return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
}

func invalidf(op, format string, args ...any) error {
	return invalid(op, fmt.Errorf(format, args...))
}
