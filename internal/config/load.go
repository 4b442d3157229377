package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Fault is one thing wrong, or worth a warning, and where.
type Fault struct {
	Line    int    `json:"line,omitempty"` // 0 when the file says nothing about it
	Path    string `json:"path"`
	Message string `json:"message"`
	Warning bool   `json:"warning"`
}

// String gives "line 12: entrances[0].listen: …".
func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	if f.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// source remembers on which line each value stands.
type source struct{ lines map[string]int }

// Load reads a file over the defaults. The faults are complete: all of them,
// in the order of the file. The configuration is usable when none of them is
// more than a warning. The error is for a file that cannot be read at all.
func Load(path string) (*Config, []Fault, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	c, faults := Parse(b)
	return c, faults, nil
}

// Parse is Load for the text of a file.
func Parse(b []byte) (*Config, []Fault) {
	c := Default()
	c.source = &source{lines: map[string]int{}}
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return c, []Fault{syntaxFault(err)}
	}
	var faults []Fault
	for _, doc := range file.Docs {
		if doc.Body != nil {
			faults = append(faults, c.source.walk(doc.Body, reflect.TypeFor[Config](), "")...)
		}
	}
	if len(file.Docs) > 1 {
		faults = append(faults, Fault{Path: "", Message: "the file holds several documents; keep one"})
	}
	if len(faults) == 0 {
		if err := yaml.Unmarshal(b, c); err != nil {
			faults = append(faults, syntaxFault(err))
		}
	}
	if len(faults) == 0 {
		faults = c.check()
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return a.Line - b.Line })
	return c, faults
}

func syntaxFault(err error) Fault {
	var se yaml.Error
	if errors.As(err, &se) {
		f := Fault{Message: se.GetMessage()}
		if t := se.GetToken(); t != nil && t.Position != nil {
			f.Line = t.Position.Line
		}
		return f
	}
	return Fault{Message: err.Error()}
}

// walk compares the nodes of the file with the fields of the structure.
func (s *source) walk(n ast.Node, t reflect.Type, path string) []Fault {
	switch n := n.(type) {
	case *ast.AnchorNode:
		return s.walk(n.Value, t, path)
	case *ast.NullNode, *ast.AliasNode:
		return nil
	case *ast.CommentGroupNode:
		return nil
	case *ast.MappingNode:
		return s.mapping(n.Values, n, t, path)
	case *ast.MappingValueNode:
		return s.mapping([]*ast.MappingValueNode{n}, n, t, path)
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice {
			return []Fault{{Line: lineOf(n), Path: path, Message: "a list stands where " + kindName(t) + " is expected"}}
		}
		var faults []Fault
		for i, v := range n.Values {
			p := fmt.Sprintf("%s[%d]", path, i)
			s.lines[p] = lineOf(v)
			faults = append(faults, s.walk(v, t.Elem(), p)...)
		}
		return faults
	}
	return scalar(n, t, path)
}

func (s *source) mapping(values []*ast.MappingValueNode, n ast.Node, t reflect.Type, path string) []Fault {
	if t.Kind() != reflect.Struct {
		return []Fault{{Line: lineOf(n), Path: path, Message: "fields stand where " + kindName(t) + " is expected"}}
	}
	var faults []Fault
	for _, v := range values {
		key := v.Key.GetToken().Value
		p := key
		if path != "" {
			p = path + "." + key
		}
		field, ok := fieldOf(t, key)
		if !ok {
			faults = append(faults, Fault{Line: lineOf(v.Key), Path: p, Message: "there is no such field" + suggestion(t, key)})
			continue
		}
		s.lines[p] = lineOf(v.Key)
		faults = append(faults, s.walk(v.Value, field.Type, p)...)
	}
	return faults
}

func scalar(n ast.Node, t reflect.Type, path string) []Fault {
	if k := t.Kind(); k == reflect.Struct || k == reflect.Slice {
		return []Fault{{Line: lineOf(n), Path: path, Message: "a single value stands where " + kindName(t) + " is expected"}}
	}
	if err := yaml.NodeToValue(n, reflect.New(t).Interface()); err != nil {
		return []Fault{{Line: lineOf(n), Path: path, Message: kindName(t) + " is expected"}}
	}
	return nil
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for f := range fields(t) {
		if f.Tag.Get("yaml") == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// fields yields the settings of a structure.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("yaml") != "" && !yield(f) {
				return
			}
		}
	}
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		return "a group of fields"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "a number"
	}
	return "a text"
}

// suggestion names the field that was probably meant.
func suggestion(t reflect.Type, key string) string {
	best, at := "", 3
	for f := range fields(t) {
		name := f.Tag.Get("yaml")
		if d := distance(name, key); d < at {
			best, at = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance counts the edits between two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}
