package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	s := newStand(t, quick...)
	dir := t.TempDir()
	digest := contracts.SumOf([]byte("nobody's")).String()
	out, _ := must(t, 0, "", "event", "list", s.file)
	if !strings.HasPrefix(out, "EVENT") || strings.Count(out, "\n") != 1 {
		t.Errorf("of nothing: %q", out)
	}
	if out, _ = must(t, 0, "", "event", "list", s.file, "-unmatched", "-json"); strings.TrimSpace(out) != "null" && strings.TrimSpace(out) != "[]" {
		t.Errorf("of nothing, as JSON: %q", out)
	}
	must(t, statusFailed, "", "event", "retry", s.file, "7", "-reason", "mended")
	must(t, statusWrong, "", "event", "proof", s.file, "4711", "-out", filepath.Join(dir, "x"), "-reason", "why")
	must(t, statusFailed, "", "event", "proof", s.file, digest, "-out", filepath.Join(dir, "x"), "-reason", "why")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, statusWrong, "", "event", "proof", s.file, digest, "-out", there, "-reason", "why")
	if b, err := os.ReadFile(there); err != nil || string(b) != "mine" {
		t.Errorf("a file that was there: %q, %v", b, err)
	}
}
