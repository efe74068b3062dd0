package contracttest

import (
	"context"
	"strings"
	"testing"

	"raccordo/contracts"
)

func TestKnownDeviationsTellTheTruth(t *testing.T) {
	green := Case{Name: "green", Why: "w", Run: func(*T) {}}
	red := Case{Name: "red", Why: "the reason", Run: func(t *T) { t.Errorf("first"); t.Fatalf("second"); t.Errorf("never") }}
	for name, c := range map[string]struct {
		of     Case
		known  []string
		failed bool
		says   string
	}{
		"a rule that holds":              {green, nil, false, ""},
		"a rule that is broken":          {red, nil, true, "the reason"},
		"a known deviation":              {red, []string{"red"}, false, "known deviation"},
		"a known deviation that is gone": {green, []string{"green"}, true, "take it off"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Try(t.Context(), c.of)
			verdict, failed := judge(o, c.known)
			if failed != c.failed || !strings.Contains(verdict, c.says) {
				t.Errorf("failed %t, says %q", failed, verdict)
			}
			if c.of.Name == "red" && len(o.Failures) != 2 {
				t.Errorf("failures %q, want both before the case gave up, and none after", o.Failures)
			}
		})
	}
	if s := badList([]string{"red"}, []Case{green}); !strings.Contains(s, "no case has that name") {
		t.Errorf("a deviation that no case bears: %q", s)
	}
	if s := badList(nil, []Case{green, green}); !strings.Contains(s, "two cases") {
		t.Errorf("two cases of one name: %q", s)
	}
}

func TestTryPassesAnotherPanicOn(t *testing.T) {
	defer func() {
		if r := recover(); r != "ours" {
			t.Errorf("recovered %v, want the case's own panic", r)
		}
	}()
	Try(t.Context(), Case{Run: func(*T) { panic("ours") }})
}

func TestCaseThatDoesNotApplyIsNotRun(t *testing.T) {
	o := Try(t.Context(), Case{Absent: "no such story", Run: func(t *T) { t.Errorf("ran") }})
	if len(o.Failures) != 0 {
		t.Error("a case that does not apply was run")
	}
}

func TestHarnessHasDefaults(t *testing.T) {
	h := Harness{}
	if h.Who().Service == "" || h.Who().Purpose == "" || h.patience() != DefaultPatience {
		t.Error("a zero harness asks as nobody, or does not wait")
	}
	if h.Sent() != 0 || h.Applies(Drop) || h.clear() {
		t.Error("a harness without a far side counts, misbehaves or clears")
	}
	own := contracts.Caller{Service: "own", Purpose: "p"}
	pumped := 0
	h = Harness{Caller: own, Pump: func() func() { pumped++; return func() { pumped-- } }}
	ctx, stop := h.Ask(t.Context())
	if contracts.CallerFrom(ctx) != own || pumped != 1 {
		t.Error("the caller is not in the context, or the clock is not pumped")
	}
	if _, ok := ctx.Deadline(); !ok {
		t.Error("a case waits without end")
	}
	stop()
	if pumped != 0 || ctx.Err() != context.Canceled {
		t.Error("the pump or the context outlives the question")
	}
}
