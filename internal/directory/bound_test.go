package directory

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"parvis"
)

// endless is a file that does not end.
type endless struct{ line string }

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e.line) <= len(p) {
		n += copy(p[n:], e.line)
	}
	return n, nil
}

func TestAFileIsBounded(t *testing.T) {
	const heading = "agent_number;civil_family_name;given_names;org_unit_path;contract_start\n"
	for _, line := range []string{"\n", "x", "A1;a;b;c;2020-01-01\n", "\"\n"} {
		f := &reading{
			File: File{mentioned: map[parvis.AgentNumber]int{}, emails: map[string]parvis.AgentNumber{}},
			zone: time.UTC,
			src:  newLines(io.MultiReader(strings.NewReader(heading), endless{line})),
		}
		if f.src.limit != maxFile {
			t.Fatal("a file has no limit")
		}
		f.src.limit = 1 << 20
		err := f.read()
		var why *Fault
		if !errors.As(err, &why) || why.Key != fileTooLarge || why.Args["max"] != "1" || f.src.size > 2<<20 {
			t.Errorf("%q: %v after %d", line, err, f.src.size)
		}
	}
}
