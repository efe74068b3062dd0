package hub

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A layer is a rule about imports: packages that match may import, of ours, what may lists, and must not import what
// never lists. The reason is what whoever breaks it should read.
type layer struct {
	pkg    string // path pattern below the module, as path.Match reads it
	may    []string
	reason string
}

const anyNeed = "contracts/*"

var layers = []layer{
	{"contracts", nil, "contracts is what core services link: the standard library and nothing else"},
	{"contracts/contracttest", []string{"contracts"}, "suites share contracttest, which knows no need"},
	{"contracts/*/*test", []string{"contracts", "contracts/contracttest", anyNeed}, "a suite knows its contract and the shared rules"},
	{"contracts/*", []string{"contracts"}, "one need does not know another"},
	{"adapters/*/internal/*", []string{}, "generated code knows nothing of ours"},
	{"adapters/internal/*", []string{"contracts", "adapters/internal/*"}, "helpers of adapters know no need, no adapter and no hub"},
	{"adapters/*", []string{"contracts", anyNeed, "adapters/internal/*", "adapters/*/internal/*"}, "an adapter knows its contract and the helpers, never another adapter, the hub or a mock"},
	{"adapters", []string{"contracts", "adapters/*"}, "the list of kinds"},
	{"hub/store", []string{"contracts"}, "the store knows none of the rooms above it"},
	{"hub/ledger", []string{"contracts", "hub/store"}, "the ledger stands on the store"},
	{"hub/archive", []string{"contracts", "hub/store"}, "small proofs are kept in the commit of what they prove"},
	{"hub/call", []string{"contracts", "hub/store"}, "stages know operations; only the daily counter knows the store"},
	{"hub/outbox", []string{"contracts", "hub/store"}, "the outbox declares what it needs of ledger, feed and hub"},
	{"hub/feed", []string{"contracts", "hub/store"}, "the feed declares what it needs of the outbox and the ledger"},
	{"hub/evidence", []string{"contracts", "hub/ledger"}, "an export declares what it needs of the hub; a verifier needs none"},
	{"hub/backup", []string{"contracts", "hub/store", "hub/archive"}, "a backup is of the store and the archive; what the ledger says of it, it is told"},
	{"hub/api", []string{"contracts"}, "a core service that links the client pulls in the standard library only"},
	{"hub", []string{"contracts", "hub/*"}, "the hub knows no need and no supplier by name"},
	{"mocks/lab", nil, "mocks are strangers: they share no code with us"},
	{"mocks/pdnd", []string{"mocks/lab"}, "mocks are strangers: they share no code with us"},
	{"mocks/wspa", []string{"mocks/lab"}, "mocks are strangers: they share no code with us"},
	{"mocks/*", []string{"mocks/lab", "mocks/pdnd", "mocks/wspa"}, "mocks are strangers: they share no code with us"},
	{"mocks", []string{"mocks/*"}, "the list of mocks"},
	{"docs", nil, "what is written is held to the code by reading it"},
	{"configs", nil, "examples and their schema are data"},
	{"cmd/hub", []string{"contracts", "hub", "hub/*", "adapters", "adapters/pec", "contracts/delivery", "configs"}, "the shipped binary cannot lie: no mock is linked into it"},
	{"cmd/mocks", []string{"mocks", "mocks/*"}, "the bench knows nothing of the hub"},
	{"cmd/demo/audit", []string{"mocks/*", "cmd/demo/input", anyNeed}, "what counts lost and doubled messages must not believe the hub"},
	{"cmd/demo/input", []string{"contracts", "contracts/domicile"}, "reading a list asks nobody"},
	{"cmd/demo", []string{"*", "*/*", "*/*/*"}, "the demo plays everybody"},
}

// fences are third parties that only the named packages may import, test files included.
var fences = []struct {
	module string
	only   []string
	reason string
}{
	{"github.com/sony/gobreaker", []string{"hub/call"}, "the breaker's traps are known in one place"},
	{"github.com/hashicorp/go-retryablehttp", []string{"adapters/internal/wire"}, "whoever retries must ask the call's effect"},
	{"github.com/hooklift/gowsdl", []string{"adapters/internal/soap", "adapters/*/internal/*"}, "gowsdl's runtime is wrapped once"},
	{"github.com/beevik/etree", []string{"adapters/internal/soap", "mocks/entrate"}, "whoever takes XML apart as a tree must know what etree lets pass"},
	{"github.com/russellhaering/goxmldsig", []string{"adapters/internal/soap", "mocks/entrate"}, "signatures over XML are made and judged in one place on each side"},
	{"github.com/wneessen/go-mail", []string{"adapters/internal/mail"}, "mail libraries stay in one place"},
	{"github.com/emersion/go-imap", []string{"adapters/internal/mail", "mocks/pec"}, "a beta stays in one place on each side"},
	{"github.com/emersion/go-smtp", []string{"adapters/internal/mail", "mocks/pec"}, "mail libraries stay in one place"},
	{"database/sql", []string{"hub/store", "hub/outbox", "hub/feed", "hub/ledger", "hub/call", "hub/archive"}, "SQL stays in the rooms that own tables"},
	{"modernc.org/sqlite", []string{"hub/store"}, "the engine is the store's"},
	{"go.yaml.in/yaml", []string{"hub"}, "configuration is read in one place"},
}

func TestLayering(t *testing.T) {
	t.Parallel()
	root := ".."
	seen := 0
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := forbidden(pkg, imported, strings.HasSuffix(file, "_test.go")); why != "" {
				t.Errorf("%s imports %s: %s", filepath.ToSlash(file), imported, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("only %d files were read: the walk begins in the wrong folder", seen)
	}
}

// forbidden says why pkg may not import imported, or nothing.
func forbidden(pkg, imported string, test bool) string {
	for _, f := range fences {
		if (imported == f.module || strings.HasPrefix(imported, f.module+"/")) && !matches(pkg, f.only) {
			return f.reason
		}
	}
	ours, ok := strings.CutPrefix(imported, "raccordo/")
	if !ok {
		if pkg == "contracts" && !test && strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
			return layers[0].reason
		}
		return ""
	}
	if ours == pkg {
		return "" // an external test package
	}
	if test && mayTest(pkg, ours) {
		return ""
	}
	for _, l := range layers {
		if ok, _ := path.Match(l.pkg, pkg); !ok {
			continue
		}
		if matches(ours, l.may) {
			return ""
		}
		return l.reason
	}
	return "the package stands in no layer: add it to the table, with its reason"
}

// mayTest are the imports that only tests may have: suites, and for whoever needs a far side, the mocks.
func mayTest(pkg, ours string) bool {
	suite := ours == "contracts/contracttest" || strings.HasPrefix(ours, "contracts/")
	switch {
	case strings.HasPrefix(pkg, "adapters"):
		return suite || strings.HasPrefix(ours, "mocks")
	case strings.HasPrefix(pkg, "hub"):
		// The hub is tested with the real needs, adapters and mocks in front of it; its own code knows none.
		return true
	case strings.HasPrefix(pkg, "cmd/"):
		return true
	case strings.HasPrefix(pkg, "contracts/"):
		return suite
	}
	return false
}

func matches(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, pkg)
		return ok
	})
}

func TestLayeringCatches(t *testing.T) {
	t.Parallel()
	cases := []struct {
		rule, pkg, imported string
		test, want          bool
	}{
		{"contracts imports no third party", "contracts", "golang.org/x/time/rate", false, true},
		{"one need does not import another", "contracts/domicile", "raccordo/contracts/delivery", false, true},
		{"the hub imports no need", "hub", "raccordo/contracts/domicile", false, true},
		{"a room imports no adapter", "hub/outbox", "raccordo/adapters/inad", false, true},
		{"an adapter imports no other adapter", "adapters/inad", "raccordo/adapters/inipec", false, true},
		{"an adapter imports no mock", "adapters/inad", "raccordo/mocks/inad", false, true},
		{"an adapter's test may", "adapters/inad", "raccordo/mocks/inad", true, false},
		{"a mock imports nothing of ours", "mocks/inad", "raccordo/contracts", false, true},
		{"nor does its test", "mocks/inad", "raccordo/contracts", true, true},
		{"the shipped binary has no mock", "cmd/hub", "raccordo/mocks", false, true},
		{"the audit does not believe the hub", "cmd/demo/audit", "raccordo/hub", false, true},
		{"SQL stays in its rooms", "hub/api", "database/sql", false, true},
		{"the breaker stays in its room", "adapters/inad", "github.com/sony/gobreaker/v2", false, true},
		{"YAML stays in the hub", "cmd/hub", "go.yaml.in/yaml/v4", false, true},
		{"a new package must be placed", "extras", "raccordo/contracts", false, true},
	}
	for _, c := range cases {
		if got := forbidden(c.pkg, c.imported, c.test) != ""; got != c.want {
			t.Errorf("%s: forbidden %v, want %v", c.rule, got, c.want)
		}
	}
}

// TestShippedBinaryCannotLie reads the whole closure of cmd/hub: nothing that can forge an answer is in it.
func TestShippedBinaryCannotLie(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "raccordo/cmd/hub").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "raccordo/hub") {
		t.Fatal("the closure of cmd/hub lacks the hub: nothing was checked")
	}
	for _, dep := range deps {
		if strings.HasPrefix(dep, "raccordo/mocks") || strings.HasSuffix(dep, "test") && strings.HasPrefix(dep, "raccordo/") || dep == "testing" {
			t.Errorf("cmd/hub links %s", dep)
		}
	}
}

// TestClientIsLight: a core service that links the API client links the standard library and our vocabulary only.
func TestClientIsLight(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "raccordo/hub/api").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if first, _, _ := strings.Cut(dep, "/"); strings.Contains(first, ".") {
			t.Errorf("hub/api links %s", dep)
		}
	}
}
