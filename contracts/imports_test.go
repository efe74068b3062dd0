package contracts_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestVocabularyImportsTheStandardLibraryOnly: a core service that links contracts links nothing else.
func TestVocabularyImportsTheStandardLibraryOnly(t *testing.T) {
	const ours = "raccordo/"
	// what each folder may import of ours; a need imports the root alone, a suite its need and what suites share
	allowed := func(folder string) []string {
		need, suite, nested := strings.Cut(folder, "/")
		switch {
		case folder == ".":
			return nil
		case nested && suite == need+"test":
			return []string{"raccordo/contracts", "raccordo/contracts/contracttest", "raccordo/contracts/" + need}
		default:
			return []string{"raccordo/contracts"}
		}
	}
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		folder := filepath.ToSlash(filepath.Dir(path))
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			first, _, _ := strings.Cut(name, "/")
			switch {
			case strings.HasPrefix(name, ours):
				if !slices.Contains(allowed(folder), name) {
					t.Errorf("%s imports %s: a need knows the vocabulary, and no other need", path, name)
				}
			case strings.Contains(first, "."):
				t.Errorf("%s imports %s: whoever links the vocabulary would link that too", path, name)
			case name == "testing" && !strings.Contains(folder, "test"):
				t.Errorf("%s imports testing: that is for suites", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 12 {
		t.Errorf("%d files read, want them all", files)
	}
}
