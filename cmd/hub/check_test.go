package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCheckWarnsOfWaitsAndFindsNoFault(t *testing.T) {
	t.Chdir(filepath.Join("..", "..")) // file names in the examples are relative to the repository's root
	file := filepath.Join("cmd", "hub", "testdata", "lists-only.yaml")
	out, errOut := must(t, 0, "", "check", file)
	golden := strings.TrimSuffix(file, ".yaml") + ".golden"
	if *update {
		if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out != string(want) || errOut != "" || strings.Count(out, ": warning: ") != 1 {
		t.Errorf("%s%s\nwant:\n%s", out, errOut, want)
	}

	out, _ = must(t, 0, "", "check", "-json", file)
	var report checkReport
	if err := strict(out, &report); err != nil || !report.OK || len(report.Findings) != 0 || len(report.Warnings) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if w := report.Warnings[0]; w.Line != 25 || w.Path != "routes.domicile" || !strings.Contains(string(want), w.Text) {
		t.Errorf("JSON says %+v, the text %s", w, want)
	}
}

var domicileRoute = regexp.MustCompile(`domicile: \[.*\]`)

func TestServeLogsWarningsOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	text = domicileRoute.ReplaceAll(text, []byte("domicile: [inipec, inad]"))
	if err := os.WriteFile(s.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop() // it logs, opens and ends
	var out, errOut strings.Builder
	if status := run(ctx, []string{"serve", s.file}, strings.NewReader(""), &out, &errOut); status != 0 {
		t.Fatalf("status %d: %s", status, errOut.String())
	}
	if n := strings.Count(errOut.String(), "answered in lists only"); n != 1 || !strings.Contains(errOut.String(), "level=WARN") {
		t.Errorf("warned %d times, want once:\n%s", n, errOut.String())
	}
}
