package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

// wholeList is the list that the README's command reads, from the folder in which tests run.
var wholeList = filepath.Join("..", "..", castList)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if r := wholeRun.done; r != nil {
			os.RemoveAll(r.out)
		}
		os.Exit(code)
	}))
}

// A result is one run as a test sees it.
type result struct {
	code           int
	stdout, stderr string
	out            string // the evidence's folder
	sum            map[string]any
	job            *job
	taken          []pec.Submitted
}

// wholeRun is the whole default list, worked through once for all tests.
var wholeRun struct {
	once sync.Once
	done *result
}

func whole(t *testing.T) *result {
	t.Helper()
	wholeRun.once.Do(func() {
		out, err := os.MkdirTemp("", "raccordo-demo-test-")
		if err != nil {
			t.Error(err)
			return
		}
		// Not the test's context: the run outlives the test that asked first.
		wholeRun.done = attempt(context.Background(), options{input: wholeList, json: true, out: out, seed: 7})
	})
	if wholeRun.done == nil || wholeRun.done.sum == nil {
		t.Fatal("the run over the whole list left no summary")
	}
	return wholeRun.done
}

// attempt performs one run and keeps what tests look at.
func attempt(ctx context.Context, opt options) *result {
	r := &result{out: opt.out}
	probe := opt.probe
	opt.probe = func(j *job) {
		r.job = j
		if probe != nil {
			probe(j)
		}
	}
	var stdout, stderr bytes.Buffer
	r.code = perform(ctx, opt, &stdout, &stderr)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	if r.job != nil {
		r.taken = r.job.bench.Mock("pec").(*pec.Mock).Accepted()
	}
	if opt.json && json.Unmarshal(stdout.Bytes(), &r.sum) != nil {
		r.sum = nil
	}
	return r
}

// n is a number of the summary.
func (r *result) n(t testing.TB, key string) int {
	t.Helper()
	v, ok := r.sum[key].(float64)
	if !ok {
		t.Fatalf("the summary has no number %q: %s%s", key, r.stdout, r.stderr)
	}
	return int(v)
}

// adds checks what must hold of every summary, interrupted or not.
func (r *result) adds(t testing.TB) {
	t.Helper()
	parts := 0
	for _, key := range []string{"invalid", "repeated", "check_failed", "no_domicile", "delivered", "failed", "uncertain", "pending"} {
		parts += r.n(t, key)
	}
	if rows := r.n(t, "rows"); rows != parts {
		t.Errorf("%d rows, but the outcomes add up to %d", rows, parts)
	}
	sent, accepted, delivered := r.n(t, "sent"), r.n(t, "accepted"), r.n(t, "delivered")
	if sent < accepted || accepted < delivered {
		t.Errorf("%d sent, %d accepted, %d delivered: want each no less than the next", sent, accepted, delivered)
	}
	if lost, twice := r.n(t, "lost"), r.n(t, "duplicates"); lost != 0 || twice != 0 {
		t.Errorf("%d lost and %d sent twice, want none", lost, twice)
	}
	if r.sum["ledger_ok"] != true {
		t.Error("the ledger does not verify")
	}
}

// listOf writes a list of members of the cast, each by the first with its story.
func listOf(t testing.TB, stories ...string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("id,codice_fiscale,partita_iva,denominazione,capacity,rappresentante\n")
	cast := mocks.Cast()
	for i, story := range stories {
		m := cast[slices.IndexFunc(cast, func(m lab.Member) bool { return m.Story == story })]
		fmt.Fprintf(&b, "L%d,%s,%s,\"%s\",%s,%s\n", i+1, m.CodiceFiscale, m.PartitaIVA, m.Name, m.Capacity, m.Representative)
	}
	return written(t, b.String())
}

func written(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheWholeListIsDoneAndNothingIsLost(t *testing.T) {
	t.Parallel()
	r := whole(t)
	if r.code != exitOK {
		t.Errorf("exit status %d, want 0: %s", r.code, r.stderr)
	}
	r.adds(t)
	if rows := r.n(t, "rows"); rows < 300 {
		t.Errorf("%d rows, want 300 at least", rows)
	}
	for _, key := range []string{"invalid", "repeated", "no_domicile", "delivered", "failed", "pending"} {
		if r.n(t, key) == 0 {
			t.Errorf("the list has no row that ends as %s", key)
		}
	}
	if sent := r.n(t, "sent"); sent != len(r.taken) {
		t.Errorf("%d messages are said to be sent, the provider took %d", sent, len(r.taken))
	}
	access := r.sum["access_to_code"].(map[string]any)
	for _, who := range []string{"enterprise", "person"} {
		if s, _ := access[who].(float64); s < 1 || s > horizon.Seconds() {
			t.Errorf("median wait of %s: %v s", who, access[who])
		}
	}
	calls := r.sum["upstream_calls"].(map[string]any)
	if n := calls["pec smtp message"]; n != float64(len(r.taken)) {
		t.Errorf("%v messages at the provider's door, %d taken", n, len(r.taken))
	}
}

func TestOneObjectWithTheAgreedKeysAndNothingElse(t *testing.T) {
	t.Parallel()
	r := whole(t)
	d := json.NewDecoder(strings.NewReader(r.stdout))
	keys := topKeys(t, d)
	want := []string{
		"rows", "invalid", "repeated", "checked", "check_failed", "check_incomplete", "late_facts", "no_domicile", "sent", "accepted", "delivered", "failed", "uncertain", "pending",
		"lost", "duplicates", "ledger_entries", "ledger_ok", "upstream_calls", "access_to_code", "seconds",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("keys %v,\nwant %v", keys, want)
	}
	if d.More() || strings.Count(r.stdout, "\n") != 1 || !strings.HasSuffix(r.stdout, "}\n") {
		t.Error("something else stands on standard output")
	}
	access := r.sum["access_to_code"].(map[string]any)
	if _, ok := access["enterprise"]; !ok || len(access) != 2 {
		t.Errorf("access_to_code %v, want enterprise and person", access)
	}
	if r.stderr != "" {
		t.Errorf("standard error is not a terminal and nothing went wrong, yet it holds %q", r.stderr)
	}
}

// topKeys reads the keys of one object in their order.
func topKeys(t *testing.T, d *json.Decoder) (keys []string) {
	t.Helper()
	depth, isKey := 0, false
	for {
		tok, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
				isKey = true
				continue
			}
			if depth--; depth == 0 {
				return keys
			}
			isKey = true
			continue
		case string:
			if depth == 1 && isKey {
				keys = append(keys, v)
			}
		}
		isKey = !isKey
	}
}

func TestASeedReplays(t *testing.T) {
	if raced {
		t.Skip("the race detector sees in one whole run what it would see in two")
	}
	t.Parallel()
	first := whole(t)
	again := attempt(t.Context(), options{input: wholeList, json: true, seed: 7})
	for _, sum := range []map[string]any{first.sum, again.sum} {
		if sum["seconds"] == nil {
			t.Fatal("no seconds")
		}
	}
	a, b := timeless(t, first), timeless(t, again)
	if a != b {
		t.Errorf("two runs with one seed differ:\n%s\n%s", a, b)
	}
	for i, one := range first.job.core.rows {
		other := again.job.core.rows[i]
		if one.outcome != other.outcome || one.reason != other.reason || one.message != other.message {
			t.Errorf("row %s: %s (%s) and %s (%s)", one.describe(), one.outcome, one.reason, other.outcome, other.reason)
		}
	}
}

// timeless is a summary without what is measured in real time. Of what suppliers were asked it has what they answered: how
// often a register that fails is tried within a check hangs on the time that the tries take, when a voucher or a log-in has run out
// before the next on when that is, and how often a mailbox is read on hints that come when they come.
func timeless(t *testing.T, r *result) string {
	t.Helper()
	own := maps.Clone(r.sum)
	delete(own, "seconds")
	answers := map[string]int{}
	for _, e := range r.job.bench.Journal() {
		if !strings.HasPrefix(e.Status, "5") && !strings.HasPrefix(e.Label, "imap ") && e.Mock != "pdnd" && e.Label != "POST /authentication" {
			answers[e.Mock+" "+e.Label+" "+e.Status]++
		}
	}
	own["upstream_calls"] = answers
	text, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "none.csv")
	for _, c := range []struct {
		rule string
		args []string
		code int
		text string
	}{
		{"help is no fault", []string{"-h"}, exitOK, "-input file"},
		{"an unknown flag", []string{"-nope"}, exitUsage, "-nope"},
		{"a stray argument", []string{"list.csv"}, exitUsage, "the list goes behind -input"},
		{"a list that is not there", []string{"-input", missing}, exitUsage, "no such file"},
		{"the default list, elsewhere", nil, exitUsage, "run this in the repository's folder"},
		{"a folder as a list", []string{"-input", full}, exitUsage, "this is not a file"},
		{"-out with a folder in use", []string{"-input", wholeList, "-out", full}, exitUsage, "not empty"},
		{"-out below a file", []string{"-input", wholeList, "-out", filepath.Join(full, "x", "y")}, exitUsage, "-out"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), c.args, &stdout, &stderr); code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			if !strings.Contains(stderr.String(), c.text) || stdout.Len() > 0 {
				t.Errorf("standard error %q, want it to say %q; standard output %q", stderr.String(), c.text, stdout.String())
			}
		})
	}
}

func TestTheFolderIsKeptOnDemandAlone(t *testing.T) {
	t.Parallel()
	list := listOf(t, "company-with-pec")
	var gone string
	r := attempt(t.Context(), options{input: list, json: true, seed: 1, probe: func(j *job) { gone = j.dir }})
	r.adds(t)
	if _, err := os.Stat(gone); !os.IsNotExist(err) {
		t.Errorf("the working folder was left: %v", err)
	}
	r = attempt(t.Context(), options{input: list, keep: true, seed: 1})
	defer os.RemoveAll(r.job.dir)
	if !strings.Contains(r.stderr, r.job.dir) {
		t.Errorf("standard error %q does not name the folder", r.stderr)
	}
	for _, name := range []string{"hub.db", "hub.yaml", filepath.Join("mocks", "pec", "mail.log")} {
		if _, err := os.Stat(filepath.Join(r.job.dir, name)); err != nil {
			t.Errorf("-keep: %v", err)
		}
	}
}
