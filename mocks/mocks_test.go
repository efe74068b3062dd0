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
	for _, bad := range misnamed(lab.Who("company-with-pec").Representative) {
		if !slices.ContainsFunc(rows, func(r []string) bool { return r[3] == bad[1] && r[5] == bad[0] }) {
			t.Errorf("the mistake %q is not in the list", bad[1])
		}
	}
	want, have := 0, 0
	for _, places := range strangers() {
		want += len(places)
	}
	for _, r := range rows[1:] {
		if m, ok := lab.ByCode(r[1]); ok && len(r[5]) == 16 && r[5] == lab.Who("company-with-pec").Representative && m.Representative != r[5] {
			have++
		}
	}
	if have != want {
		t.Errorf("%d rows name a stranger as representative, want %d", have, want)
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
	files := 0
	for line := range strings.Lines(string(raw)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		value = strings.Trim(value, `[]"`)
		path, isSecret := strings.CutPrefix(value, "secret://file/")
		if value == `` && !strings.HasSuffix(strings.TrimSpace(line), ":") {
			t.Errorf("%s is empty", key)
		}
		if !isSecret && !slices.Contains([]string{"ca", "roots", "certificate"}, key) {
			continue
		}
		files++
		info, err := os.Stat(path)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %o, want 600", key, info.Mode().Perm())
		}
	}
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
