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
	File    string `json:"file,omitempty"` // of several, the one it stands in
	Line    int    `json:"line,omitempty"` // 0 when the file says nothing about it
	Path    string `json:"path"`
	Message string `json:"message"`
	Warning bool   `json:"warning"`
}

// String gives "line 12: entrances[0].listen: …", after the file when it is one
// of several.
func (f Fault) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File + ": ")
	}
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
	if len(file.Docs) > 1 {
		faults = append(faults, Fault{Message: "the file holds several documents; keep one"})
	}
	for _, doc := range file.Docs[:min(len(file.Docs), 1)] {
		if doc.Body == nil {
			continue
		}
		found, fits := c.source.walk(doc.Body, reflect.TypeFor[Config](), "")
		faults = append(faults, found...)
		if !fits {
			continue
		}
		if err := yaml.NodeToValue(doc.Body, c); err != nil {
			return c, append(faults, syntaxFault(err))
		}
	}
	// What could not be read keeps its default: it has its fault already.
	for _, f := range c.check() {
		if !slices.ContainsFunc(faults, func(g Fault) bool { return within(f.Path, g.Path) || within(g.Path, f.Path) }) {
			faults = append(faults, f)
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return a.Line - b.Line })
	return c, faults
}

// within tells whether a path is another, or stands inside it.
func within(path, other string) bool {
	rest, ok := strings.CutPrefix(path, other)
	return ok && other != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
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

// walk compares the nodes of the file with the fields of the structure. It
// takes fields that cannot be read out of the tree, so that the others can be,
// and answers false for a node that cannot be read at all.
func (s *source) walk(n ast.Node, t reflect.Type, path string) ([]Fault, bool) {
	switch n := n.(type) {
	case *ast.AnchorNode:
		return s.walk(n.Value, t, path)
	case *ast.NullNode, *ast.AliasNode, *ast.CommentGroupNode:
		return nil, true
	case *ast.MappingNode:
		if t.Kind() != reflect.Struct {
			return misplaced(n, "fields stand", t, path), false
		}
		var faults []Fault
		n.Values = slices.DeleteFunc(n.Values, func(v *ast.MappingValueNode) bool {
			found, fits := s.field(v, t, path)
			faults = append(faults, found...)
			return !fits
		})
		return faults, true
	case *ast.MappingValueNode:
		if t.Kind() != reflect.Struct {
			return misplaced(n, "fields stand", t, path), false
		}
		return s.field(n, t, path)
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice {
			return misplaced(n, "a list stands", t, path), false
		}
		var faults []Fault
		all := true
		for i, v := range n.Values {
			p := fmt.Sprintf("%s[%d]", path, i)
			s.lines[p] = lineOf(v)
			found, fits := s.walk(v, t.Elem(), p)
			faults, all = append(faults, found...), all && fits
		}
		return faults, all
	}
	return scalar(n, t, path)
}

// field reads one field of a mapping.
func (s *source) field(v *ast.MappingValueNode, t reflect.Type, path string) ([]Fault, bool) {
	key := v.Key.GetToken().Value
	p := key
	if path != "" {
		p = path + "." + key
	}
	field, ok := fieldOf(t, key)
	if !ok {
		return []Fault{{Line: lineOf(v.Key), Path: p, Message: "there is no such field" + suggestion(t, key)}}, false
	}
	s.lines[p] = lineOf(v.Key)
	return s.walk(v.Value, field.Type, p)
}

func misplaced(n ast.Node, what string, t reflect.Type, path string) []Fault {
	return []Fault{{Line: lineOf(n), Path: path, Message: what + " where " + kindName(t) + " is expected"}}
}

func scalar(n ast.Node, t reflect.Type, path string) ([]Fault, bool) {
	if k := t.Kind(); k == reflect.Struct || k == reflect.Slice {
		return misplaced(n, "a single value stands", t, path), false
	}
	if err := yaml.NodeToValue(n, reflect.New(t).Interface()); err != nil {
		return []Fault{{Line: lineOf(n), Path: path, Message: kindName(t) + " is expected"}}, false
	}
	return nil, true
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
