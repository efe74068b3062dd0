package mocks

import (
	"bytes"
	"encoding/csv"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v4"

	"raccordo/mocks/lab"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEmployersFileIsWhatTheCastSays(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "configs", "demo", "employers.csv")
	want := Employers()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the file is not what the cast says: run go generate ./mocks")
	}
}

func TestEmployersHoldEveryMemberAndEveryMistake(t *testing.T) {
	t.Parallel()
	rows, err := csv.NewReader(bytes.NewReader(Employers())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) < 301 {
		t.Errorf("%d rows, want at least 300 below the heading", len(rows)-1)
	}
	has := func(code, vat, capacity string) bool {
		return slices.ContainsFunc(rows, func(r []string) bool {
			return (strings.EqualFold(r[1], code) || r[1] == "" && r[2] == vat) && r[4] == capacity
		})
	}
	for _, m := range lab.Cast() {
		if !has(m.CodiceFiscale, m.PartitaIVA, m.Capacity) {
			t.Errorf("%s (%s) is not in the list", m.ID, m.Story)
		}
	}
	for _, bad := range malformed() {
		if !slices.ContainsFunc(rows, func(r []string) bool { return r[3] == bad[2] }) {
			t.Errorf("the mistake %q is not in the list", bad[2])
		}
	}
	last := rows[len(rows)-1]
	if !slices.ContainsFunc(rows[:len(rows)-1], func(r []string) bool { return slices.Equal(r, last) }) {
		t.Error("no row stands twice")
	}
}

func TestConfigurationRefersOnlyToFilesThatAreThere(t *testing.T) {
	t.Parallel()
	b := lab.Start(t, All()...)
	dir := t.TempDir()
	raw, err := Configuration(b, dir)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		t.Fatalf("not YAML: %v\n%s", err, raw)
	}
	files := 0
	walk(tree, func(key, s string) {
		path, isSecret := strings.CutPrefix(s, "secret://file/")
		if !isSecret && !slices.Contains([]string{"ca", "roots", "certificate"}, key) {
			if s == "" {
				t.Errorf("%s is empty", key)
			}
			return
		}
		files++
		info, err := os.Stat(path)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			return
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %o, want 600", key, info.Mode().Perm())
		}
	})
	if files < 10 {
		t.Errorf("%d files referred to, want at least 10", files)
	}
	before, err := os.ReadFile(filepath.Join(dir, "store.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Configuration(b, dir); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "store.key")); err != nil || !bytes.Equal(before, after) {
		t.Error("a second configuration replaced the store's key: the store could not be read again")
	}
}

func TestConfigurationWantsEveryMock(t *testing.T) {
	t.Parallel()
	if _, err := Configuration(lab.Start(t), t.TempDir()); err == nil {
		t.Error("an empty bench gave a configuration")
	}
}

// walk visits every text of a YAML tree with the key it stands under.
func walk(node any, visit func(key, s string)) {
	var inner func(key string, node any)
	inner = func(key string, node any) {
		switch n := node.(type) {
		case map[string]any:
			for k, v := range n {
				inner(k, v)
			}
		case []any:
			for _, v := range n {
				inner(key, v)
			}
		case string:
			visit(key, n)
		}
	}
	inner("", node)
}
