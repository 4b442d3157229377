package parvis_test

import (
	"go/ast"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageComments asks every package to say, once and in at most forty
// lines, what it promises and what it refuses to know.
func TestPackageComments(t *testing.T) {
	docs := map[string]string{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if s.test {
			continue
		}
		if _, seen := docs[dir]; !seen {
			docs[dir] = ""
		}
		if s.file.Doc == nil {
			continue
		}
		if docs[dir] != "" {
			t.Errorf("%s: the package comment is written twice", s.path)
		}
		docs[dir] = s.file.Doc.Text()
	}
	for dir, doc := range docs {
		switch lines := strings.Count(doc, "\n"); {
		case doc == "":
			t.Errorf("%s has no package comment", dir)
		case lines > maxCommentLines:
			t.Errorf("%s: the package comment has %d lines, more than %d", dir, lines, maxCommentLines)
		}
	}
}

// TestExportedNamesAreDocumented asks every exported name of the root to be explained.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, name := range undocumented(s) {
			t.Errorf("%s: %s has no comment", s.path, name)
		}
	}
}

// undocumented lists the exported functions, methods and types of a file that
// nothing explains.
func undocumented(s source) []string {
	var names []string
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Doc == nil && d.Doc == nil && ts.Comment == nil {
					names = append(names, ts.Name.Name)
				}
			}
		}
	}
	return names
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}
