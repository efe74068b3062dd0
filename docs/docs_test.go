// Package docs holds what is written here to the code: what the tables name is there.
package docs

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

// section gives the lines of a document from one heading to the next of the same depth or less.
func section(t *testing.T, document, heading string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	depth, within := strings.Index(heading, " "), false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if n := strings.Index(line, " "); strings.HasPrefix(line, "#") && n <= depth {
			within = line == heading
		}
		if within {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("no heading %q", heading)
	}
	return lines
}

// rows gives the cells of the tables' rows, without their heads.
func rows(lines []string) (all [][]string) {
	for i, line := range lines {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || i+1 < len(lines) && strings.HasPrefix(lines[i+1], "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	return all
}

var quoted = regexp.MustCompile("`([^`]+)`")

func TestEveryRowOfDocsNamesATestThatExists(t *testing.T) {
	t.Parallel()
	known := map[string]map[string][]string{}
	for document, least := range map[string]int{"pec.md": 130, "suppliers.md": 405} {
		proofs := rows(section(t, document, "## Proofs"))
		if len(proofs) < least {
			t.Errorf("%s: %d rows: the tables are not read", document, len(proofs))
		}
		items := map[string]bool{}
		for _, row := range proofs {
			if len(row) != 3 || row[0] == "" || row[1] == "" || row[2] == "" {
				t.Errorf("%s: want item, what we do and proof: %q", document, row)
				continue
			}
			if items[row[0]+row[1]] {
				t.Errorf("%s: %q stands twice", document, row[0])
			}
			items[row[0]+row[1]] = true
			proved(t, known, document, row[0], row[2])
		}
	}
}

// proved sees to it that a cell names tests, and nothing else: `package: Test` or `package: Test/case`.
func proved(t *testing.T, known map[string]map[string][]string, document, item, cell string) {
	t.Helper()
	for _, q := range quoted.FindAllStringSubmatch(cell, -1) {
		pkg, name, _ := strings.Cut(q[1], ": ")
		name, sub, _ := strings.Cut(name, "/")
		if known[pkg] == nil {
			known[pkg] = testsOf(t, pkg)
		}
		texts, ok := known[pkg][name]
		switch {
		case !ok:
			t.Errorf("%s: %s: no test %s in %s", document, item, name, pkg)
		case sub != "" && !slices.Contains(texts, sub):
			t.Errorf("%s: %s: %s has no case %q", document, item, name, sub)
		}
	}
	if rest := strings.Trim(quoted.ReplaceAllString(cell, ""), ", "); rest != "" || !strings.Contains(cell, "`") {
		t.Errorf("%s: %s: the proof is more, or less, than tests: %q", document, item, rest)
	}
}

// testsOf gives the tests of a package, with the texts in each and in the tables that it names: names of its cases are
// among them.
func testsOf(t *testing.T, pkg string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pkg), "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no tests there (%v)", pkg, err)
	}
	tests, tables := map[string]ast.Node{}, map[string]ast.Node{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && strings.HasPrefix(d.Name.Name, "Test") {
					tests[d.Name.Name] = d
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR && len(v.Values) == 1 {
						tables[v.Names[0].Name] = v.Values[0]
					}
				}
			}
		}
	}
	said := map[string][]string{}
	for name, test := range tests {
		said[name] = texts(test, tables)
	}
	return said
}

// texts gives the texts below a node, and in the tables that it names.
func texts(n ast.Node, tables map[string]ast.Node) (all []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				all = append(all, s)
			}
		case *ast.Ident:
			if table, ok := tables[n.Name]; ok {
				all = append(all, texts(table, nil)...)
			}
		}
		return true
	})
	return all
}

func TestEveryLineOfDocsThatTheLogSaysIsInTheCode(t *testing.T) {
	var code strings.Builder
	for _, pkg := range []string{"../adapters/pec", "../hub", "../hub/feed"} {
		files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
	}
	said := 0
	for _, row := range rows(section(t, "pec.md", "## What an operator sees and does")) {
		if len(row) != 3 {
			continue // commands
		}
		said++
		for _, q := range quoted.FindAllStringSubmatch(row[0], -1) {
			if !strings.Contains(code.String(), `"`+q[1]) {
				t.Errorf("nobody says %q", q[1])
			}
		}
	}
	if said < 10 {
		t.Errorf("%d lines: the table is not read", said)
	}
	words := regexp.MustCompile("raccordo_[a-z_]+").FindAllString(strings.Join(section(t, "pec.md", "## What an operator sees and does"), "\n"), -1)
	for _, word := range words {
		if !strings.Contains(code.String(), `"`+word+`"`) {
			t.Errorf("no metric %s", word)
		}
	}
	if len(words) == 0 {
		t.Error("no metrics: the section is not read")
	}
}
