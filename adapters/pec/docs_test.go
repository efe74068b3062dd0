package pec

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

// The tables of docs/pec.md are held to the code: what they name is there.

// section gives the lines of a document from one heading to the next of the same depth or less.
func section(t *testing.T, heading string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "pec.md"))
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
	proofs := rows(section(t, "## Proofs"))
	if len(proofs) < 130 {
		t.Errorf("%d rows: the tables are not read", len(proofs))
	}
	known := map[string]map[string][]string{}
	items := map[string]bool{}
	for _, row := range proofs {
		if len(row) != 3 || row[0] == "" || row[1] == "" || row[2] == "" {
			t.Errorf("want item, what we do and proof: %q", row)
			continue
		}
		if section := row[0]; items[section+row[1]] {
			t.Errorf("%q stands twice", section)
		}
		items[row[0]+row[1]] = true
		for _, q := range quoted.FindAllStringSubmatch(row[2], -1) {
			pkg, name, _ := strings.Cut(q[1], ": ")
			name, sub, _ := strings.Cut(name, "/")
			if known[pkg] == nil {
				known[pkg] = testsOf(t, pkg)
			}
			texts, ok := known[pkg][name]
			switch {
			case !ok:
				t.Errorf("%s: no test %s in %s", row[0], name, pkg)
			case sub != "" && !slices.Contains(texts, sub):
				t.Errorf("%s: %s has no case %q", row[0], name, sub)
			}
		}
		if rest := strings.Trim(quoted.ReplaceAllString(row[2], ""), ", "); rest != "" || !strings.Contains(row[2], "`") {
			t.Errorf("%s: the proof is more, or less, than tests: %q", row[0], rest)
		}
	}
}

// testsOf gives the tests of a package, with the texts in each: names of its cases are among them.
func testsOf(t *testing.T, pkg string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pkg), "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no tests there (%v)", pkg, err)
	}
	tests := map[string][]string{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			texts := []string{}
			ast.Inspect(fn, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					if s, err := strconv.Unquote(l.Value); err == nil {
						texts = append(texts, s)
					}
				}
				return true
			})
			tests[fn.Name.Name] = texts
		}
	}
	return tests
}

func TestEveryLineOfDocsThatTheLogSaysIsInTheCode(t *testing.T) {
	var code strings.Builder
	for _, pkg := range []string{".", filepath.Join("..", "..", "hub"), filepath.Join("..", "..", "hub", "feed")} {
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
	for _, row := range rows(section(t, "## What an operator sees and does")) {
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
	words := regexp.MustCompile("raccordo_[a-z_]+").FindAllString(strings.Join(section(t, "## What an operator sees and does"), "\n"), -1)
	for _, word := range words {
		if !strings.Contains(code.String(), `"`+word+`"`) {
			t.Errorf("no metric %s", word)
		}
	}
	if len(words) == 0 {
		t.Error("no metrics: the section is not read")
	}
}
