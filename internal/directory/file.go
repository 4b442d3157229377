package directory

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"parvis"
)

// Fault is one thing wrong with one field of one line (the heading is line 1;
// 0 is the whole file). Key names the sentence in package text; Args fills it.
// No fault repeats a value, save dates and numbers made of figures alone.
type Fault struct {
	Line  int
	Field string // a column of domain.md 2.4, or the heading that is not one
	Key   string
	Args  map[string]string
}

// Error gives the text for the log; no person reads it.
func (f *Fault) Error() string {
	s := f.Key
	if f.Field != "" {
		s = f.Field + ": " + s
	}
	if f.Line > 0 {
		s = "line " + strconv.Itoa(f.Line) + ": " + s
	}
	for _, k := range slices.Sorted(maps.Keys(f.Args)) {
		s += fmt.Sprintf(" %s=%q", k, f.Args[k])
	}
	return s
}

// The keys of the sentences. A file that cannot be read at all ends in one of
// the first group, as the *Fault inside the error of [Directory.Read].
const (
	fileUTF16     = "import.file.utf16"
	fileBinary    = "import.file.binary"
	fileTooLarge  = "import.file.too_large"      // max (MB)
	fileEmpty     = "import.file.empty"          // no heading
	fileMissing   = "import.file.missing_column" // columns
	fileTwice     = "import.file.column_twice"   // first (heading)
	fileTooFaulty = "import.file.too_many_faults"

	warnUnknown = "import.warn.unknown_column"
	warnTwice   = "import.warn.column_twice" // first (heading)
	warnMixed   = "import.warn.mixed_encoding"

	rejectColumns      = "import.reject.columns" // got, want
	rejectQuote        = "import.reject.quote"
	rejectEncoding     = "import.reject.encoding"
	rejectTooLong      = "import.reject.line_too_long" // max (characters)
	rejectRequired     = "import.reject.required"
	rejectText         = "import.reject.text_too_long" // max
	rejectControl      = "import.reject.control"
	rejectNumber       = "import.reject.number"
	rejectDuplicate    = "import.reject.duplicate" // line
	rejectUnit         = "import.reject.unit"
	rejectSIRET        = "import.reject.siret" // value
	rejectCategory     = "import.reject.category"
	rejectPosition     = "import.reject.position"
	rejectAbsence      = "import.reject.absence" // never the value: health data
	rejectAbsenceStart = "import.reject.absence_start"
	rejectAbsenceBare  = "import.reject.absence_reason"
	rejectDate         = "import.reject.date"       // value
	rejectDateRange    = "import.reject.date_range" // value
	rejectEndFirst     = "import.reject.end_before_start"
	rejectEmail        = "import.reject.email"
	rejectEmailTwice   = "import.reject.email_duplicate" // line
	rejectEmailTaken   = "import.reject.email_taken"     // number
	rejectMobile       = "import.reject.mobile"
	rejectManagerSelf  = "import.reject.manager_self"
)

// What a file may weigh. A line longer than maxLine is refused, a value in
// quotes may run over maxRows lines, and after maxFaults the file is not one.
const (
	maxFile   = 200 << 20
	maxLine   = 64 << 10
	maxRows   = 20
	maxFaults = 1_000_000
)

// File is an HR file, read: the lines that hold and the faults of the others.
type File struct {
	Encoding  string // "utf-8", "windows-1252" or "mixed"
	Separator string
	Digest    string // SHA-256 of the bytes, in hexadecimal
	Lines     int    // lines that say something, the heading not counted
	Rejected  int    // … of which refused
	Warnings  []Fault
	Faults    []Fault // in the order of the lines

	rows      []row
	columns   [headingCount]bool         // what the file speaks of; the rest is kept as it was
	mentioned map[parvis.AgentNumber]int // the line of every number read, refused or not
	emails    map[string]parvis.AgentNumber
}

type row struct {
	line  int
	agent parvis.Agent
}

// Read reads an HR file to its end: CSV, UTF-8 or Windows-1252 line by line,
// ";" or "," (or tabs), any line end, headings in the codes of domain.md 2.4 or
// in French. A line with faults is refused with all of them, and the next is
// read. The error is of [parvis.CodeInvalid] with a *[Fault] inside when the
// file as a whole cannot be one.
func (d *Directory) Read(r io.Reader) (*File, error) {
	f := &reading{
		File: File{mentioned: map[parvis.AgentNumber]int{}, emails: map[string]parvis.AgentNumber{}},
		zone: d.Zone,
		src:  newLines(r),
	}
	err := f.read()
	f.File.Digest = hex.EncodeToString(f.src.sum.Sum(nil))
	if err == nil {
		return &f.File, nil
	}
	code := parvis.CodeUnavailable // the disk, the pipe
	var fault *Fault
	if errors.As(err, &fault) {
		code = parvis.CodeInvalid
	}
	return nil, &parvis.Error{Code: code, Op: "directory.Read", Err: err}
}

// reading is a File on its way.
type reading struct {
	File
	zone  *time.Location
	src   *lines
	sep   byte
	heads []int // the column of each heading, −1 for none
	parts bool  // the unit comes in parts

	utf8, ansi int // lines that only one encoding explains

	// of the line at hand
	line   int
	agent  parvis.Agent
	values [headingCount]string
	faulty bool
}

func (f *reading) read() error {
	if err := f.heading(); err != nil {
		return err
	}
	var fields []string
	for {
		raw, err := f.src.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, errLong) {
			return err
		}
		f.line, f.faulty, f.agent = f.src.line, false, parvis.Agent{}
		if err != nil {
			f.Lines++
			f.fault(-1, rejectTooLong, "max", strconv.Itoa(maxLine))
			f.Rejected++
			continue
		}
		fields, err = f.record(fields[:0], raw)
		switch {
		case err != nil:
			return err
		case !f.faulty && blank(fields):
			continue
		}
		f.Lines++
		if !f.faulty {
			f.row(fields)
		}
		if f.faulty {
			f.Rejected++
		} else {
			f.rows = append(f.rows, row{line: f.line, agent: f.agent})
		}
		if len(f.Faults) > maxFaults {
			return &Fault{Line: f.line, Key: fileTooFaulty}
		}
	}
	f.Encoding = "utf-8"
	if f.ansi > 0 {
		f.Encoding = "windows-1252"
		if f.utf8 > 0 {
			f.Encoding = "mixed"
			f.Warnings = append(f.Warnings, Fault{Key: warnMixed, Args: map[string]string{"lines": strconv.Itoa(f.ansi)}})
		}
	}
	return nil
}

func blank(fields []string) bool {
	for _, v := range fields {
		if strings.TrimSpace(v) != "" {
			return false
		}
	}
	return true
}

// fault notes what is wrong with a column of the line at hand (−1: the line).
func (f *reading) fault(col int, key string, args ...string) {
	x := Fault{Line: f.line, Key: key}
	if col >= 0 {
		x.Field = columns[col].code
	}
	for i := 0; i+1 < len(args); i += 2 {
		if args[i+1] == "" {
			continue
		}
		if x.Args == nil {
			x.Args = map[string]string{}
		}
		x.Args[args[i]] = args[i+1]
	}
	f.Faults = append(f.Faults, x)
	f.faulty = true
}

// heading reads the first line that says something: the separator, then which
// column stands where.
func (f *reading) heading() error {
	var raw []byte
	for {
		var err error
		if raw, err = f.src.next(); errors.Is(err, io.EOF) || errors.Is(err, errLong) {
			return &Fault{Line: f.src.line, Key: fileEmpty}
		} else if err != nil {
			return err
		}
		f.line = f.src.line
		text := strings.TrimSpace(string(raw))
		if text != "" && !strings.HasPrefix(strings.ToLower(text), "sep=") { // a spreadsheet's own hint
			break
		}
	}
	f.sep = ';'
	best := 0
	for _, sep := range []byte{';', ',', '\t'} {
		if n := countOutside(raw, sep); n > best {
			f.sep, best = sep, n
		}
	}
	f.Separator = string(f.sep)
	fields, err := f.record(nil, raw)
	if err != nil {
		return err
	}
	if f.faulty {
		return &f.Faults[0]
	}
	for len(fields) > 1 && strings.TrimSpace(fields[len(fields)-1]) == "" {
		fields = fields[:len(fields)-1]
	}
	first := map[int]string{}
	for _, h := range fields {
		name, ok := clean(h)
		if !ok || utf8.RuneCountInString(name) > 60 {
			name = "?"
		}
		col := columnOf(name)
		if earlier, twice := first[col]; twice && col >= 0 {
			for _, c := range required {
				if c == col {
					return &Fault{Line: f.line, Field: name, Key: fileTwice, Args: map[string]string{"first": earlier}}
				}
			}
			f.Warnings = append(f.Warnings, Fault{Line: f.line, Field: name, Key: warnTwice, Args: map[string]string{"first": earlier}})
			col = -1
		} else if col < 0 && name != "" {
			f.Warnings = append(f.Warnings, Fault{Line: f.line, Field: name, Key: warnUnknown})
		}
		if col >= 0 {
			first[col], f.columns[col] = name, true
		}
		f.heads = append(f.heads, col)
	}
	return f.complete(first)
}

// complete tells the columns that the file cannot do without.
func (f *reading) complete(first map[int]string) error {
	for c := colUnitPart1; c <= colUnitPart5; c++ {
		if name, ok := first[c]; ok && f.columns[colUnit] && !f.parts {
			f.Warnings = append(f.Warnings, Fault{Line: f.line, Field: name, Key: warnTwice, Args: map[string]string{"first": first[colUnit]}})
		} else if ok {
			f.parts, f.columns[colUnit] = true, true
		}
	}
	var missing []string
	for _, c := range required {
		if !f.columns[c] {
			missing = append(missing, columns[c].code)
		}
	}
	if len(missing) > 0 {
		return &Fault{Line: f.line, Key: fileMissing, Args: map[string]string{"columns": strings.Join(missing, ", ")}}
	}
	// A class of absence comes with its dates or without any; dates alone say nothing.
	away := f.columns[colAbsence] || f.columns[colPosition]
	f.columns[colAbsenceFrom], f.columns[colAbsenceUntil] = away && f.columns[colAbsenceFrom], away && f.columns[colAbsenceUntil]
	return nil
}
