package contracttest

import (
	"context"
	"slices"

	"raccordo/contracts"
)

// FaultCases makes the cases of the matrix that apply: each fault once, each fault lasting, and recovery after it. ask
// does one fresh call of op and gives its error; name begins the cases' names. sent is the Far.Sent pattern of the
// exchange with effect, for the promise that a Once is sent at most once; empty: not counted.
func (h Harness) FaultCases(name string, op *contracts.OpInfo, sent string, ask func(ctx context.Context) error) []Case {
	var cases []Case
	for _, rule := range Matrix() {
		absent := ""
		switch {
		case h.Far == nil:
			absent = "there is no far side that could be told to misbehave"
		case !h.Applies(rule.Fault):
			absent = "the harness declares that " + rule.Fault + " has no meaning on this wire"
		}
		lasting := absent
		if _, ok := h.Far.(clearer); absent == "" && !ok {
			lasting = "the far side cannot be told to behave again"
		}
		cases = append(cases,
			Case{
				Name: name + "-" + rule.Fault + "-once", Why: rule.Why, Absent: absent,
				Run: func(t *T) { h.underFault(t, rule, op, sent, 1, ask) },
			},
			Case{
				Name: name + "-" + rule.Fault + "-lasting", Why: rule.Why, Absent: lasting,
				Run: func(t *T) { h.underFault(t, rule, op, sent, 0, ask) },
			})
	}
	return cases
}

func (h Harness) underFault(t *T, rule Rule, op *contracts.OpInfo, sent string, times int, ask func(ctx context.Context) error) {
	lasts := times == 0
	expect := rule.For(op.Effect, lasts)
	before := 0
	if sent != "" {
		before = h.Far.Sent(sent)
	}
	if err := h.Far.Misbehave(rule.Fault, times); err != nil {
		t.Fatalf("the far side does not know the fault %q: %v", rule.Fault, err)
	}
	patience := h.patience()
	if lasts || rule.Fault == Slow {
		patience /= 10
	}
	ctx, stop := h.askFor(t.Context(), patience)
	err := ask(ctx)
	outOfTime := ctx.Err() != nil
	stop()
	h.judgeFault(t, rule, expect, op, err, outOfTime)
	if sent != "" && op.Effect == contracts.Once && rule.Worked {
		if n := h.Far.Sent(sent) - before; n > 1 {
			t.Errorf("sent %d times, and the far side did the work the first time", n)
		}
	}
	h.clear()
	if op.Effect == contracts.Read && lasts {
		h.recovers(t, op, ask)
	}
}

func (h Harness) judgeFault(t *T, rule Rule, expect Expect, op *contracts.OpInfo, err error, outOfTime bool) {
	if err == nil {
		if expect.Success == Never {
			t.Errorf("%s: succeeded, want one of %q: nothing usable came back", rule.Fault, expect.Kinds)
		}
		return
	}
	CheckError(t, err, op.Name)
	kind := contracts.KindOf(err)
	switch {
	case kind == contracts.NotFound:
		t.Errorf("%s: became NotFound: a technical fault was told as an answer with authority", rule.Fault)
	case expect.Success == Must:
		t.Errorf("%s: one fault broke the call, want it tried again: %v", rule.Fault, err)
	case kind == contracts.Pending && h.Ticketed:
	case kind == contracts.Canceled && outOfTime && op.Effect == contracts.Read:
	case !slices.Contains(expect.Kinds, kind):
		t.Errorf("%s: kind %v, want one of %v: %v", rule.Fault, kind, expect.Kinds, err)
	}
}

// recovers sees to it that a fault leaves nothing behind.
func (h Harness) recovers(t *T, op *contracts.OpInfo, ask func(ctx context.Context) error) {
	if h.Reset != nil {
		h.Reset()
	}
	ctx, stop := h.Ask(t.Context())
	defer stop()
	if err := ask(ctx); err != nil {
		t.Errorf("the far side is well again and %s still fails: %v", op.Name, err)
	}
}
