package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPecPlanTellsWhetherAPoolCarriesALoad(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	plan := func(status int, args ...string) planReport {
		t.Helper()
		out, _ := must(t, status, "", append([]string{"pec", "plan", "-json", "-from", "2026-11-23 08:00"}, args...)...)
		var r planReport
		if err := strict(out, &r); err != nil || r.Advice == nil || len(r.Assumed) == 0 {
			t.Fatalf("%v: %s", err, out)
		}
		return r
	}
	r := plan(0, "-messages", "43300", "-mailboxes", "10", "-quota", "2000000000", "-by", "2026-11-23 21:00")
	if !r.Fits || r.Hours < 12 || r.Hours > 12.5 || len(r.Mailboxes) != 10 || !r.From.Equal(time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)) ||
		!r.Done.Before(time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)) || r.Bottleneck != "" {
		t.Errorf("%+v", r)
	}
	r = plan(statusFailed, "-messages", "43300", "-config", "configs/production.yaml", "-by", "2026-11-24T08:00:00+01:00")
	if r.Fits || r.Role != "centrale" || r.Bottleneck != "rate" || len(r.Mailboxes) != 2 || !strings.Contains(strings.Join(r.Advice, " "), "4 more mailboxes") {
		t.Errorf("%+v", r)
	}
	r = plan(statusFailed, "-messages", "43300", "-config", "configs/production.yaml", "-role", "centrale", "-size", "1000000", "-used", "90")
	if r.Fits || r.Bottleneck != "quota" || !r.Done.IsZero() || r.Carried == 0 {
		t.Errorf("%+v", r)
	}
	out, errOut := must(t, statusFailed, "", "pec", "plan", "-messages", "100000", "-by", "2020-01-01")
	if !strings.Contains(out, "does not fit") || !strings.Contains(out, "advice: ") || !strings.Contains(out, "assumed: ") || !strings.Contains(errOut, "cannot carry it") {
		t.Errorf("%s%s", out, errOut)
	}
	out, _ = must(t, 0, "", "pec", "plan", "-messages", "100")
	if !strings.Contains(out, "done after 0.3 hours") {
		t.Errorf("%s", out)
	}
}

func TestPecPlanSaysWhatIsWrongWithTheQuestion(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	production, err := os.ReadFile("configs/production.yaml")
	if err != nil {
		t.Fatal(err)
	}
	two := filepath.Join(t.TempDir(), "two.yaml")
	if err := os.WriteFile(two, []byte(strings.Replace(string(production), "role: centrale\n", "role: altra\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		says string
		args []string
	}{
		{"missing flags: --messages", nil},
		{"-messages: want 1", []string{"-messages", "0"}},
		{"-size", []string{"-messages", "1", "-size", "0"}},
		{"-recipients", []string{"-messages", "1", "-recipients", "501"}},
		{"-used", []string{"-messages", "1", "-used", "101"}},
		{"-mailboxes", []string{"-messages", "1", "-mailboxes", "0"}},
		{"-per-minute", []string{"-messages", "1", "-per-minute", "0"}},
		{"-quota", []string{"-messages", "1", "-quota=-1"}},
		{"-by: want an instant", []string{"-messages", "1", "-by", "tomorrow"}},
		{"-from: want an instant", []string{"-messages", "1", "-from", "8 o'clock"}},
		{"--receipt", []string{"-messages", "1", "-receipt", "lunga"}},
		{"no such file", []string{"-messages", "1", "-config", "none.yaml"}},
		{"-role: want one of centrale", []string{"-messages", "1", "-config", "configs/production.yaml", "-role", "altra"}},
		{"-role: want one of altra, centrale", []string{"-messages", "1", "-config", two}},
	} {
		out, errOut := must(t, statusWrong, "", append([]string{"pec", "plan"}, tc.args...)...)
		if out != "" || !strings.Contains(errOut, tc.says) {
			t.Errorf("%v: %s%s, want %q", tc.args, out, errOut, tc.says)
		}
	}
}
