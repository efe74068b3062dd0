package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/hub"
)

// A hub that serves makes the backup; another machine, which has nothing but the secrets, restores it.
func TestBackupOfAHubThatServesIsRestored(t *testing.T) {
	t.Parallel()
	s := newStand(t, quick...)
	p := s.serve(t)
	dir := filepath.Join(t.TempDir(), "backups")
	out, errOut := must(t, 0, "", "backup", dir, "-config", s.file, "-as", "operator-7", "-json")
	var made hub.BackupResult
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Manifest.Database.Size == 0 || errOut != "" {
		t.Fatalf("%v: %s%s", err, out, errOut)
	}
	if out, _ := must(t, 0, "", "backup", dir, "-config", s.file, "-keep", "1"); !strings.Contains(out, ": complete: ") ||
		!strings.Contains(out, made.Manifest.Keys[0]) || !strings.Contains(out, "removed: "+filepath.Base(made.Path)) {
		t.Errorf("%s", out)
	}
	out, _ = must(t, 0, "", "restore", dir, "-check", "-config", s.file)
	if !strings.Contains(out, " verifies: ledger up to entry ") || strings.Contains(out, "restored") {
		t.Errorf("%s", out)
	}
	if _, errOut := must(t, statusFailed, "", "restore", dir, "-config", s.file); !strings.Contains(errOut, "is held by process") {
		t.Errorf("under a hub that serves: %s", errOut)
	}
	p.stop(t)
	if _, errOut := must(t, statusFailed, "", "restore", dir, "-config", s.file); !strings.Contains(errOut, "-aside") {
		t.Errorf("over a store: %s", errOut)
	}
	out, _ = must(t, 0, "", "restore", dir, "-aside", "-config", s.file)
	if !strings.Contains(out, "moved away: ") || !strings.Contains(out, "now start it with: hub serve -recovered "+s.file) {
		t.Errorf("%s", out)
	}
	s.serve(t, "-recovered").stop(t)
	must(t, 0, "", "ledger", "verify", s.file)

	// No hub serves: the command opens the store itself.
	must(t, 0, "", "backup", dir, "-config", s.file)
	newest, err := filepath.Glob(filepath.Join(dir, "*Z*", "hub.db"))
	if err != nil || len(newest) != 2 {
		t.Fatalf("%q, %v", newest, err)
	}
	if err := os.WriteFile(newest[1], []byte("not what it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errOut = must(t, statusFailed, "", "restore", dir, "-check", "-config", s.file)
	if !strings.Contains(out, "hub.db was changed") || !strings.Contains(errOut, "does not verify") {
		t.Errorf("%s%s", out, errOut)
	}
	if out, _ := must(t, statusFailed, "", "restore", dir, "-check", "-json", "-config", s.file); !json.Valid([]byte(out)) || !strings.Contains(out, "hub.db was changed") {
		t.Errorf("%s", out)
	}
	must(t, statusFailed, "", "restore", t.TempDir(), "-check", "-config", s.file)
	must(t, statusWrong, "", "restore", dir, "-config", filepath.Join(dir, "none.yaml"))
	must(t, statusWrong, "", "backup")
}

func TestCheckKnowsWhomAnchorsGoTo(t *testing.T) {
	t.Parallel()
	s := newStand(t, "ledger:\n", "ledger:\n  anchor: {to: nobody@pec.studi.test, sender: segreteria}\n")
	out, _ := must(t, statusWrong, "", "check", s.file)
	if !strings.Contains(out, "ledger.anchor.sender: no adapter has a mailbox of this role") {
		t.Errorf("%s", out)
	}
}

func TestProductionSendsItsHeadsToAnother(t *testing.T) {
	t.Chdir(filepath.Join("..", "..")) // file names in the examples are relative to the repository's root
	text, err := os.ReadFile(filepath.Join("configs", "production.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(string(text), "registro-prove@pec.altra-amministrazione.it", "Immigrazione@pec.ministero-esempio.it", 1)
	named := strings.Replace(string(text), "    sportello-unico: #", "    hub: #", 1)
	if own == string(text) || named == string(text) {
		t.Fatal("the example has changed")
	}
	for want, yaml := range map[string]string{
		"ledger.anchor.to: is a mailbox of this hub":  own,
		"api.callers.hub: this name is the hub's own": named,
		"no faults": string(text),
	} {
		file := filepath.Join(t.TempDir(), "hub.yaml")
		if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _, _ := hubRun(t, "", "check", file); !strings.Contains(out, want) {
			t.Errorf("want %q, have\n%s", want, out)
		}
	}
}
