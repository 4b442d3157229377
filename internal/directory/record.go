package directory

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

var errLong = errors.New("line too long")

// lines gives the lines of a file one by one, bounded, and can be given lines
// back: a quote that never closes must not swallow what follows it.
type lines struct {
	r     *bufio.Reader
	sum   hash.Hash
	size  int64
	limit int64    // of size
	line  int      // number of the line given last
	back  [][]byte // lines to give again, the next one last; nil is one that was too long
	first bool
}

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, maxLine), sum: sha256.New(), limit: maxFile, first: true}
}

// next gives the next line without its end; valid until the call after, unless
// it was given back. It answers errLong for a line it had to skip.
func (l *lines) next() ([]byte, error) {
	if n := len(l.back); n > 0 {
		raw := l.back[n-1]
		l.back = l.back[:n-1]
		l.line++
		if raw == nil {
			return nil, errLong
		}
		return raw, nil
	}
	raw, err := l.r.ReadSlice('\n')
	l.count(raw)
	long := errors.Is(err, bufio.ErrBufferFull)
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = l.r.ReadSlice('\n')
		l.count(more)
		if l.size > l.limit {
			break
		}
	}
	switch {
	case l.size > l.limit:
		return nil, &Fault{Key: fileTooLarge, Args: map[string]string{"max": strconv.FormatInt(l.limit>>20, 10)}}
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case err != nil && len(raw) == 0:
		return nil, io.EOF
	}
	l.line++
	if long {
		return nil, errLong
	}
	if l.first {
		l.first = false
		if bytes.HasPrefix(raw, []byte{0xff, 0xfe}) || bytes.HasPrefix(raw, []byte{0xfe, 0xff}) {
			return nil, &Fault{Key: fileUTF16}
		}
		raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
		switch n := bytes.Count(raw, []byte{0}); {
		case n >= 4 && n > len(raw)/4: // every other byte: UTF-16 without its mark
			return nil, &Fault{Key: fileUTF16}
		case n > 0:
			return nil, &Fault{Key: fileBinary}
		}
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r")), nil
}

func (l *lines) count(b []byte) {
	l.size += int64(len(b))
	l.sum.Write(b)
}

// giveBack returns lines, in the order in which they were read.
func (l *lines) giveBack(read [][]byte) {
	for i := len(read) - 1; i >= 0; i-- {
		l.back = append(l.back, read[i])
	}
	l.line -= len(read)
}

// record divides the line into fields, taking further lines while a quoted
// value is open. When that comes to nothing the first line alone is refused.
func (f *reading) record(fields []string, raw []byte) ([]string, error) {
	text, ok := f.decode(raw)
	if !ok {
		f.fault(-1, rejectEncoding)
		return fields, nil
	}
	fields, state := split(fields, text, f.sep)
	if state == whole {
		return f.width(fields), nil
	}
	var taken [][]byte
	for state == open && len(taken) < maxRows && len(text) < maxLine {
		more, err := f.src.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errLong) {
			taken = append(taken, nil)
			break
		}
		if err != nil {
			return nil, err
		}
		taken = append(taken, bytes.Clone(more))
		part, ok := f.decode(more)
		if !ok {
			break
		}
		text += "\n" + part
		fields, state = split(fields[:0], text, f.sep)
	}
	if state == whole && (f.heads == nil || len(fields) == len(f.heads)) {
		return fields, nil
	}
	f.src.giveBack(taken)
	f.fault(-1, rejectQuote)
	return fields, nil
}

// width refuses a line that is shorter or longer than the heading, save for
// empty fields at its end.
func (f *reading) width(fields []string) []string {
	want := len(f.heads)
	if f.heads == nil || len(fields) == want || blank(fields) {
		return fields
	}
	if len(fields) > want && blank(fields[want:]) {
		return fields[:want]
	}
	f.fault(-1, rejectColumns, "got", strconv.Itoa(len(fields)), "want", strconv.Itoa(want))
	return fields
}

// decode gives the text of a line: UTF-8 if it is that, else Windows-1252. A
// line that is partly one and partly the other is neither.
func (f *reading) decode(raw []byte) (string, bool) {
	ascii := true
	for _, c := range raw {
		if c >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return string(raw), true
	}
	if utf8.Valid(raw) {
		f.utf8++
		return string(raw), true
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if r, n := utf8.DecodeRune(raw[i:]); n > 1 && r != utf8.RuneError {
			return "", false
		}
		r := charmap.Windows1252.DecodeByte(raw[i])
		if r == utf8.RuneError {
			return "", false
		}
		b.WriteRune(r)
	}
	f.ansi++
	return b.String(), true
}

type splitState int

const (
	whole splitState = iota
	open             // a quoted value goes on
	torn             // something stands behind a closing quote
)

// split divides one record (RFC 4180 §2). A quote inside a value that did not
// begin with one is an ordinary sign.
func split(fields []string, s string, sep byte) ([]string, splitState) {
	for {
		if s == "" || s[0] != '"' {
			i := strings.IndexByte(s, sep)
			if i < 0 {
				return append(fields, s), whole
			}
			fields, s = append(fields, s[:i]), s[i+1:]
			continue
		}
		value := ""
		s = s[1:]
		for {
			i := strings.IndexByte(s, '"')
			if i < 0 {
				return fields, open
			}
			value, s = value+s[:i], s[i+1:]
			if s == "" || s[0] != '"' {
				break
			}
			value, s = value+`"`, s[1:]
		}
		fields = append(fields, value)
		switch {
		case s == "":
			return fields, whole
		case s[0] != sep:
			return fields, torn
		}
		s = s[1:]
	}
}

// countOutside counts the separators that stand outside quotes.
func countOutside(raw []byte, sep byte) int {
	n, quoted := 0, false
	for _, c := range raw {
		switch {
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			n++
		}
	}
	return n
}
