package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"raccordo/adapters"
	"raccordo/configs"
	"raccordo/contracts"
	"raccordo/hub"
	"raccordo/mocks/lab"
)

var update = flag.Bool("update", false, "write the golden files")

func TestCheckNamesTenFaultsInTenLines(t *testing.T) {
	t.Chdir(filepath.Join("..", "..")) // file names in the examples are relative to the repository's root
	file := filepath.Join("cmd", "hub", "testdata", "ten-faults.yaml")
	out, errOut := must(t, statusWrong, "", "check", file)
	golden := strings.TrimSuffix(file, ".yaml") + ".golden"
	if *update {
		if err := os.WriteFile(golden, []byte(strings.Replace(out, strings.Join(slices.Sorted(maps.Keys(adapters.Kinds())), ", "), "KINDS", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	// The list of kinds grows with every supplier, and this test is not about it.
	want := strings.Replace(string(raw), "KINDS", strings.Join(slices.Sorted(maps.Keys(adapters.Kinds())), ", "), 1)
	if out != want || strings.Count(out, "\n") != 10 {
		t.Errorf("%d lines:\n%s\nwant:\n%s", strings.Count(out, "\n"), out, want)
	}
	if strings.Contains(out+errOut, "hunter2") {
		t.Error("a secret is quoted")
	}

	out, _ = must(t, statusWrong, "", "check", "-json", file)
	var report checkReport
	if err := strict(out, &report); err != nil || report.OK || len(report.Findings) != 10 || report.File != file {
		t.Errorf("%v: %+v", err, report)
	}
	for i, line := range strings.Split(strings.TrimSpace(want), "\n") {
		f := report.Findings[i]
		if got := (hub.Finding{File: file, Line: f.Line, Path: f.Path, Text: f.Text}).Error(); got != line {
			t.Errorf("JSON says %q, the table %q", got, line)
		}
	}
}

func strict(text string, v any) error {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("more than one value")
	}
	return nil
}

func TestCheckPassesTheExamples(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	for _, name := range []string{"dev", "staging", "production"} {
		file := filepath.Join("configs", name+".yaml")
		out, _ := must(t, 0, "", "check", file)
		for line := range strings.Lines(out) {
			if line != file+": no faults\n" && !strings.Contains(line, ": warning: ") {
				t.Errorf("%s", line)
			}
		}
		if !strings.HasSuffix(out, ": no faults\n") {
			t.Errorf("%s", out)
		}
		out, _ = must(t, 0, "", "check", "--json", file)
		var report checkReport
		if err := strict(out, &report); err != nil || !report.OK || report.Findings == nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func TestCheckLiveTellsSupplierBySupplier(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	suppliers := strings.Count(string(text), "\n    kind: ")
	out, _ := must(t, 0, "", "check", "-live", s.file)
	if strings.Count(out, "works") != suppliers {
		t.Errorf("%s", out)
	}
	s.bench.Inject(lab.Fault{Match: "inipec *", Do: lab.Refuse})
	out, errOut := must(t, statusSilent, "", "check", "-live", "-json", s.file)
	var report checkReport
	if err := strict(out, &report); err != nil || report.OK || len(report.Live) != suppliers {
		t.Fatalf("%v: %s", err, out)
	}
	for _, one := range report.Live {
		if want := map[bool]string{true: "fails", false: "works"}[one.Instance == "inipec"]; one.State != want || (one.Error != "") != (want == "fails") {
			t.Errorf("%+v: want %s", one, want)
		}
	}
	if !strings.Contains(errOut, "not every supplier answers") {
		t.Errorf("%s", errOut)
	}
	s.bench.Clear()

	// A supplier whose secret is not there fails alone.
	secrets, err := filepath.Glob(filepath.Join(s.dir, "*.password"))
	if err != nil || len(secrets) != 1 {
		t.Fatalf("%v, %v: want one password", secrets, err)
	}
	if err := os.Remove(secrets[0]); err != nil {
		t.Fatal(err)
	}
	out, _ = must(t, statusSilent, "", "check", "-live", s.file)
	if strings.Count(out, "works") != suppliers-1 || strings.Count(out, "fails") != 1 {
		t.Errorf("%s", out)
	}
}

func TestWrongCommandLinesShowUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{},
		{"fly"},
		{"check"},
		{"check", "-nope", "x.yaml"},
		{"ticket"},
		{"ticket", "list"},
		{"ticket", "settle", "x.yaml", "t", "-to", "gone", "-reason", "x"},
		{"serve"},
		{"call"},
		{"call", "domicile.lookup"},
		{"check", "x.yaml", "y.yaml"},
		{"serve", "x.yaml", "-drain", "soon"},
	} {
		out, errOut, status := hubRun(t, "", args...)
		if status != statusWrong || out != "" || !strings.Contains(errOut, "Usage: hub") || !strings.Contains(errOut, "\nhub: ") {
			t.Errorf("hub %s: exit status %d\nout: %s\nerr: %s", strings.Join(args, " "), status, out, errOut)
		}
	}
}

func TestHelpIsNoFault(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"-h"}, {"-help"}, {"serve", "--help"}, {"ticket", "settle", "-help"}} {
		out, errOut := must(t, 0, "", args...)
		if !strings.Contains(out, "Usage: hub") || errOut != "" {
			t.Errorf("hub %s:\n%s\n%s", strings.Join(args, " "), out, errOut)
		}
	}
}

func TestSchemaAndVersion(t *testing.T) {
	t.Parallel()
	if out, _ := must(t, 0, "", "schema"); out != string(configs.Schema()) {
		t.Error("schema prints another schema")
	}
	if out, _ := must(t, 0, "", "version"); !strings.HasPrefix(out, "raccordo hub ") || strings.Count(out, "\n") != 1 {
		t.Errorf("%q", out)
	}
}

func TestAFileThatIsNotThereIsSaidOnce(t *testing.T) {
	t.Parallel()
	for _, cmd := range [][]string{{"check"}, {"serve"}, {"ticket", "list"}, {"ledger", "verify"}} {
		_, errOut := must(t, statusWrong, "", append(cmd, filepath.Join(t.TempDir(), "none.yaml"))...)
		if strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, "no such file") || strings.HasPrefix(errOut, "hub: hub:") {
			t.Errorf("%s: %q", cmd, errOut)
		}
	}
}

func TestExitStatusFollowsTheKind(t *testing.T) {
	t.Parallel()
	for kind, want := range map[contracts.Kind]int{
		contracts.Invalid: statusWrong, contracts.Pending: statusPending, contracts.NotFound: statusFailed,
		contracts.Unavailable: statusFailed, contracts.Internal: statusFailed, contracts.Conflict: statusFailed,
	} {
		if got := statusOf(fmt.Errorf("wrapped: %w", &contracts.Error{Kind: kind})); got != want {
			t.Errorf("%s: %d, want %d", kind, got, want)
		}
	}
	if statusOf(exit{statusSilent, errors.New("x")}) != statusSilent || statusOf(hub.Findings{{}}) != statusWrong {
		t.Error("an exit status of its own is not kept")
	}
}

func TestForeignTextSteersNoTerminal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"però: 5.1.1 – non trovato": "però: 5.1.1 – non trovato",
		"\x1b[2Jgone":               `\x1b[2Jgone`,
		"a\nb\tc":                   `a\nb\tc`,
		"\u202egnp.exe":             `\u202egnp.exe`,
		"\xff":                      `\xff`,
		`say "no"` + "\x07":         `say \"no\"\a`,
	} {
		if got := shown(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestOneDashIsAsGoodAsTwo(t *testing.T) {
	t.Parallel()
	got := strings.Join(singleDashes([]string{"check", "-json", "--live", "-v", "-", "x", "--", "-json"}), " ")
	if want := "check --json --live -v - x -- -json"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
