package oidc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// suite is what the tests of one folder are made of: what each function says, and
// which functions it names.
type suite map[string]struct {
	says  []string
	names []string
}

func readSuite(t *testing.T, folder string) suite {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(folder), "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no tests: %v", folder, err)
	}
	all := suite{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			own := all[fn.Name.Name]
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
						own.says = append(own.says, s)
					}
				case *ast.Ident:
					own.names = append(own.names, n.Name)
				}
				return true
			})
			all[fn.Name.Name] = own
		}
	}
	return all
}

// has tells whether a test is there, and whether it or a function that it calls
// names the case.
func (s suite) has(test, part string) bool {
	if _, ok := s[test]; !ok || !strings.HasPrefix(test, "Test") && !strings.HasPrefix(test, "Fuzz") {
		return false
	}
	if part == "" {
		return true
	}
	seen, next := map[string]bool{}, []string{test}
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		f, ok := s[name]
		if seen[name] || !ok {
			continue
		}
		seen[name] = true
		if slices.Contains(f.says, part) {
			return true
		}
		next = append(next, f.names...)
	}
	return false
}

var reference = regexp.MustCompile("`(internal/[a-z]+): ((?:Test|Fuzz)[A-Za-z0-9]+)(?:/([^`]+))?`")

// Every requirement that docs/conformance.md lists names a test, and the test is
// there.
func TestConformanceIsHeld(t *testing.T) {
	body, err := os.ReadFile(filepath.Join("..", "..", "docs", "conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	suites := map[string]suite{}
	rows, held, modules := 0, false, map[string]bool{}
	for i, line := range strings.Split(string(body), "\n") {
		at := "line " + strconv.Itoa(i+1)
		if !strings.HasPrefix(line, "|") {
			held = false
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		last := strings.TrimSpace(cells[len(cells)-1])
		switch {
		case last == "Held by":
			held = true
			continue
		case !held || strings.Trim(line, "|- ") == "":
			continue
		}
		rows++
		modules[strings.TrimSpace(cells[0])] = true
		found := reference.FindAllStringSubmatch(last, -1)
		if len(cells) != 4 || len(found) == 0 || len(found) != strings.Count(last, "`")/2 {
			t.Errorf("%s: four cells, and a test in the last: %s", at, line)
		}
		for _, cell := range cells[:3] {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("%s: an empty cell: %s", at, line)
			}
		}
		for _, f := range found {
			if suites[f[1]] == nil {
				suites[f[1]] = readSuite(t, f[1])
			}
			if !suites[f[1]].has(f[2], f[3]) {
				t.Errorf("%s: there is no %s", at, f[0])
			}
		}
	}
	if rows < 110 {
		t.Errorf("%d requirements are listed", rows)
	}
	// And what is tried as a module of a plan is listed.
	for _, all := range [][]module{modulesOfResponses(), modulesOfClaims(), modulesOfPrompts(), modulesOfCodes()} {
		for _, m := range all {
			if !modules["`"+m.name+"`"] {
				t.Errorf("%s is not listed", m.name)
			}
		}
	}
	for _, m := range strictModules() {
		if !modules["`"+m.name+"`"] {
			t.Errorf("%s is not listed", m.name)
		}
	}
}
