package contracttest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// A Case is one rule of a contract, and how to see it broken.
type Case struct {
	Name   string // the rule, in a few words joined by hyphens; Harness.Known lists it by this name
	Why    string // printed on failure: what goes wrong in the field when the rule is broken
	Absent string // why the case does not apply to this harness; empty: it applies
	Run    func(t *T)
}

// A T records what a case finds. It is not a *testing.T, so that a case can be run where its failure is the expected
// outcome: on a known deviation, and on the wrong adapters that prove each case able to fail.
type T struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
}

// Context ends with the test.
func (t *T) Context() context.Context { return t.ctx }

// Errorf records a failure and goes on. It is safe for concurrent use.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

// stopped is what Fatalf panics with: a case runs on one goroutine, and only that one may give up.
type stopped struct{}

// Fatalf records a failure and ends the case; only the case's own goroutine may call it.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(stopped{})
}

// An Outcome is what became of a case.
type Outcome struct {
	Case     Case
	Failures []string // none: the rule holds, or does not apply
}

// Try runs one case and tells what it found.
func Try(ctx context.Context, c Case) Outcome {
	if c.Absent != "" {
		return Outcome{Case: c}
	}
	t := &T{ctx: ctx}
	func() {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(stopped); !ok {
					panic(r)
				}
			}
		}()
		c.Run(t)
	}()
	t.mu.Lock()
	defer t.mu.Unlock()
	return Outcome{c, slices.Clone(t.failures)}
}

// Run runs every case as a subtest, one after another. A case that does not apply is skipped with the reason. A
// deviation listed in Known that passes fails the run, and so does one that no case bears: the list can only tell the
// truth.
func Run(t *testing.T, h Harness, cases []Case) {
	t.Helper()
	if h.Runner == nil {
		t.Fatal("harness: Runner is missing")
	}
	if fault := badList(h.Known, cases); fault != "" {
		t.Error(fault)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if c.Absent != "" {
				t.Skip("does not apply: " + c.Absent)
			}
			h.ready()
			defer h.clear()
			o := Try(t.Context(), c)
			if verdict, failed := judge(o, h.Known); failed {
				t.Error(verdict)
			} else if verdict != "" {
				t.Log(verdict)
			}
		})
	}
}

// badList says what is wrong with the names: a case that stands twice, a deviation that no case bears.
func badList(known []string, cases []Case) string {
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.Name] {
			return fmt.Sprintf("suite: two cases are named %q", c.Name)
		}
		seen[c.Name] = true
	}
	for _, name := range known {
		if !seen[name] {
			return fmt.Sprintf("harness: Known lists %q, and no case has that name", name)
		}
	}
	return ""
}

// judge gives what is to be printed about an outcome, and whether it fails the run.
func judge(o Outcome, known []string) (verdict string, failed bool) {
	isKnown := slices.Contains(known, o.Case.Name)
	switch {
	case len(o.Failures) == 0 && isKnown:
		return "listed as a known deviation, but the rule holds now: take it off Known", true
	case len(o.Failures) == 0:
		return "", false
	}
	text := "rule: " + o.Case.Name
	for _, f := range o.Failures {
		text += "\n  " + f
	}
	text += "\n  why it matters: " + o.Case.Why
	if isKnown {
		return "known deviation\n" + text, false
	}
	return text, true
}
