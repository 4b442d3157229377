package parvis_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mayImport is the table of who may import whom (ARCHITECTURE.md). Imports
// point down. What is not written here is refused.
var mayImport = map[string][]string{
	"parvis": {},

	"access": {"parvis"},
	"audit":  {"parvis"},
	"seal":   {"parvis"},
	"text":   {"parvis"},
	"config": {"parvis"},

	"store": {"parvis", "audit", "seal"},

	"credential": {"parvis", "seal", "store"},
	"session":    {"parvis", "seal", "store"},
	"directory":  {"parvis", "store"},
	"notify":     {"parvis", "seal", "store", "text"},
	"helpdesk":   {"parvis", "store"},
	"verifier":   {"parvis", "seal", "store"},
	"moncompte":  {"parvis", "seal", "store", "text", "page", "notify", "credential"},
	"signin":     {"parvis", "seal", "store", "text", "access", "credential", "session", "directory", "notify", "helpdesk", "verifier"},
	"recovery":   {"parvis", "seal", "store", "text", "credential", "session", "directory", "notify"},
	"apps":       {"parvis", "access", "seal", "store", "session", "directory", "helpdesk"},

	"edge":    {"parvis", "text", "seal"},
	"page":    {"parvis", "text"},
	"gateway": {"parvis", "access", "seal", "text", "store", "session", "directory", "helpdesk", "edge"},
	"portal":  {"parvis", "access", "seal", "text", "store", "session", "directory", "credential", "helpdesk", "signin", "recovery", "notify", "verifier", "edge", "page"},

	// Other doors into applications, and the staff's pages. They never import
	// gateway, portal or one another: the command gives them the portal's voice.
	"oidc":       {"parvis", "seal", "text", "store", "session", "directory", "apps", "edge", "page"},
	"federation": {"parvis", "seal", "text", "store", "session", "directory", "apps", "edge", "page"},
	"office":     {"parvis", "access", "seal", "text", "store", "session", "directory", "apps", "edge", "page"},

	// The demonstration city: applications to open, people to be, boxes to read.
	"demo": {"parvis", "seal", "store", "text", "credential", "directory", "recovery", "notify", "page"},

	// Builds everything and runs it.
	"cmd/parvis": {"*"},

	// Load runs; it builds what it measures.
	"bench": {"*"},

	// Only tests import these.
	"htmlcheck": {},
	"storetest": {"parvis", "audit", "seal", "store"},
	"citytest":  {"parvis"},
}

// testHelpers are imported by test files alone.
var testHelpers = []string{"htmlcheck", "storetest", "citytest"}

const (
	maxFileLines     = 600
	maxFunctionLines = 100
	maxPackages      = 24
	maxChain         = 8
	maxCommentLines  = 40
	maxMethods       = 5
	perInterface     = 2000 // lines of code behind each interface: 0.5 in 1,000
	perExported      = 45   // lines of code behind each exported name
)

type listed struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func short(path string) string {
	path = strings.TrimPrefix(path, "parvis/")
	path = strings.TrimPrefix(path, "internal/")
	switch {
	case strings.HasPrefix(path, "citytest/"):
		return "citytest"
	case strings.HasPrefix(path, "store/storetest"):
		return "storetest"
	}
	return path
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages seen: the rules below would hold for nothing", len(all))
	}
	return all
}

func TestImportsPointDown(t *testing.T) {
	graph := map[string][]string{}
	for _, p := range packages(t) {
		name := short(p.ImportPath)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %s has no line in the table", name)
			continue
		}
		for _, imp := range p.Imports {
			if imp != "parvis" && !strings.HasPrefix(imp, "parvis/") {
				continue
			}
			to := short(imp)
			if to == name {
				continue
			}
			graph[name] = append(graph[name], to)
			if !slices.Contains(allowed, to) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, which the table does not allow", name, to)
			}
			if slices.Contains(testHelpers, to) && !slices.Contains(testHelpers, name) {
				t.Errorf("%s imports %s outside its tests", name, to)
			}
		}
	}
	if n := longest(graph, "cmd/parvis", map[string]int{}); n > maxChain {
		t.Errorf("the longest chain of imports has %d packages, more than %d", n, maxChain)
	}
}

func longest(graph map[string][]string, from string, seen map[string]int) int {
	if n, ok := seen[from]; ok {
		return n
	}
	best := 0
	for _, to := range graph[from] {
		best = max(best, longest(graph, to, seen))
	}
	seen[from] = best + 1
	return best + 1
}

// TestOnlyTheirBusiness keeps SQL in store, HTTP at the counter and the file in cmd.
func TestOnlyTheirBusiness(t *testing.T) {
	only := map[string][]string{
		"database/sql": {"store", "storetest"},
		// verifier, notify and apps call others; moncompte is another service, beside the door.
		"net/http": {
			"edge", "page", "gateway", "portal", "session", "demo", "cmd/parvis", "bench", "citytest", "htmlcheck",
			"verifier", "notify", "moncompte", "oidc", "federation", "office", "apps",
		},
		"parvis/internal/config": {"cmd/parvis", "bench"},
	}
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			if allowed, ruled := only[imp]; ruled && !slices.Contains(allowed, short(p.ImportPath)) {
				t.Errorf("%s imports %s, which is not its business", short(p.ImportPath), imp)
			}
		}
	}
}

func TestNumberOfPackages(t *testing.T) {
	n := 0
	for _, p := range packages(t) {
		// What only tests and load runs need is not part of the product (decision 8).
		name := short(p.ImportPath)
		if strings.HasPrefix(p.ImportPath, "parvis/internal/") && !slices.Contains(testHelpers, name) && name != "bench" {
			n++
		}
	}
	if n > maxPackages {
		t.Errorf("%d packages under internal, more than %d", n, maxPackages)
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// source is one hand-written Go file.
type source struct {
	path string
	test bool
	file *ast.File
	fset *token.FileSet
	text string
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if generated.Match(b) {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, b, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{path: path, test: strings.HasSuffix(path, "_test.go"), file: f, fset: fset, text: string(b)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if n := strings.Count(s.text, "\n"); n > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", s.path, n, maxFileLines)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, f.Name.Name, n, maxFunctionLines)
			}
		}
	}
}

// TestNothingHidden refuses init functions and exported variables, but errors.
func TestNothingHidden(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s has an init function", s.path)
				}
			case *ast.GenDecl:
				if d.Tok != token.VAR {
					continue
				}
				for _, spec := range d.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						if name.IsExported() && !strings.HasPrefix(name.Name, "Err") {
							t.Errorf("%s exports the variable %s", s.path, name.Name)
						}
					}
				}
			}
		}
	}
}

// TestDepth keeps packages deep: few interfaces, small ones, and much behind
// each exported name.
func TestDepth(t *testing.T) {
	lines, interfaces, exported := 0, 0, 0
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		lines += strings.Count(s.text, "\n")
		internal := strings.HasPrefix(s.path, "internal"+string(filepath.Separator))
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if internal && d.Recv == nil && d.Name.IsExported() {
					exported++
				}
			case *ast.GenDecl:
				if d.Tok != token.TYPE {
					continue
				}
				for _, spec := range d.Specs {
					ts := spec.(*ast.TypeSpec)
					if internal && ts.Name.IsExported() {
						exported++
					}
					if it, ok := ts.Type.(*ast.InterfaceType); ok {
						interfaces++
						if n := it.Methods.NumFields(); n > maxMethods {
							t.Errorf("%s: interface %s has %d methods, more than %d", s.path, ts.Name.Name, n, maxMethods)
						}
					}
				}
			}
		}
	}
	if interfaces*perInterface > lines {
		t.Errorf("%d interfaces in %d lines", interfaces, lines)
	}
	if exported*perExported > lines {
		t.Errorf("%d exported names in %d lines: fewer than %d lines behind each", exported, lines, perExported)
	}
}
