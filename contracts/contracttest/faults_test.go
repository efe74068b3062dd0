package contracttest_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

// A wire is a far side that may misbehave, and an adapter that may be wrong about it. With no mistake it is right.
type wire struct {
	*contracttest.Memory
	mistake string
}

func (w *wire) wrong(m string) bool { return w.mistake == m }

// kind is what a right adapter makes of a fault.
func (w *wire) kind(fault string, e contracts.Effect) contracts.Kind {
	read := e == contracts.Read
	switch fault {
	case contracttest.Refuse, contracttest.Status500, contracttest.Status503:
		return contracts.Unavailable
	case contracttest.Drop, contracttest.DropAfterAccept:
		if read || w.wrong("a lost write is unavailable") {
			return contracts.Unavailable
		}
		return contracts.Uncertain
	case contracttest.Throttle:
		return contracts.Throttled
	case contracttest.NotAllowed, contracttest.StaleVoucher:
		return contracts.Denied
	}
	if read || w.wrong("a write that came back as noise is malformed") {
		return contracts.Malformed
	}
	return contracts.Uncertain
}

func (w *wire) carry(op *contracts.OpInfo) func(context.Context, question) (answer, error) {
	fail := func(k contracts.Kind) error {
		e := toyErr(k, op.Name)
		if k == contracts.Throttled && !w.wrong("throttled without after") {
			e.After = time.Second
		}
		switch {
		case w.wrong("every fault is not found"):
			e.Kind = contracts.NotFound
		case w.wrong("every fault is internal"):
			e.Kind = contracts.Internal
		case w.wrong("errors without system"):
			e.System = ""
		}
		return e
	}
	return func(ctx context.Context, q question) (answer, error) {
		stale := 0
		for try := 1; ; try++ {
			fault := w.Exchange()
			if fault == "" || w.wrong("every answer is believed") && fault != contracttest.Slow {
				return length(ctx, q)
			}
			if fault == contracttest.Slow {
				timer := time.NewTimer(5 * time.Second)
				defer timer.Stop()
				select {
				case <-ctx.Done():
				case <-timer.C:
				}
				if op.Effect == contracts.Read {
					return answer{}, fail(contracts.Canceled)
				}
				return answer{}, fail(contracts.Uncertain)
			}
			kind := w.kind(fault, op.Effect)
			if fault == contracttest.StaleVoucher {
				stale++
			}
			again := kind == contracts.Unavailable && op.Effect != contracts.Once || fault == contracttest.StaleVoucher && stale == 1
			if w.wrong("repeats a doubtful once") && kind == contracts.Uncertain {
				again = true
			}
			if w.wrong("never repeats") || w.wrong("every fault is not found") {
				again = false
			}
			if try == 3 || !again {
				return answer{}, fail(kind)
			}
		}
	}
}

func wired(mistake string, op contracts.Op[question, answer]) (contracttest.Harness, []contracttest.Case) {
	w := &wire{Memory: contracttest.NewMemory(contracttest.NewClock(today)), mistake: mistake}
	a := &toy{bindings: []contracts.Binding{contracts.Bind(op, w.carry(op.OpInfo))}}
	h := contracttest.Harness{
		Runner: contracttest.Direct(a, w.Clock, contracttest.Advancing(w.Advance), contracttest.Tries(1)),
		Far:    w, Faults: contracttest.AllFaults(), Patience: time.Second,
	}
	serial := 0
	return h, h.FaultCases("ask", op.OpInfo, "toy *", func(ctx context.Context) error {
		serial++
		_, err := contracts.Do(contracts.WithKey(ctx, strings.Repeat("k", serial)), h.Through(), op, ask("four"))
		return err
	})
}

func TestRightAdapterPassesEveryFault(t *testing.T) {
	for _, op := range []contracts.Op[question, answer]{opRead, opWrite, opOnce} {
		t.Run(op.Effect.String(), func(t *testing.T) {
			h, cases := wired("", op)
			if len(cases) != 2*len(contracttest.AllFaults()) {
				t.Errorf("%d cases, want each fault once and lasting", len(cases))
			}
			contracttest.Run(t, h, cases)
		})
	}
}

func TestEveryFaultCaseCanFail(t *testing.T) {
	for _, op := range []contracts.Op[question, answer]{opRead, opWrite, opOnce} {
		t.Run(op.Effect.String(), func(t *testing.T) {
			t.Parallel()
			_, cases := wired("every fault is not found", op)
			for _, c := range cases {
				if o := contracttest.Try(t.Context(), c); len(o.Failures) == 0 {
					t.Errorf("%s does not see a fault told as NotFound", c.Name)
				}
			}
		})
	}
}

func TestMistakesUnderFaultsAreSeen(t *testing.T) {
	for name, c := range map[string]struct {
		op      contracts.Op[question, answer]
		mistake string
		seen    string
	}{
		"a read is repeated after one fault":       {opRead, "never repeats", "ask-503-once"},
		"a lost answer to a read is asked again":   {opRead, "never repeats", "ask-drop-after-accept-once"},
		"a stale voucher is renewed":               {opRead, "never repeats", "ask-stale-voucher-once"},
		"noise is no answer":                       {opRead, "every answer is believed", "ask-garbage-lasting"},
		"a lasting fault is no success":            {opRead, "every answer is believed", "ask-refuse-lasting"},
		"after is said":                            {opRead, "throttled without after", "ask-throttle-lasting"},
		"internal is nobody's fault":               {opRead, "every fault is internal", "ask-500-lasting"},
		"an error names its system":                {opRead, "errors without system", "ask-denied-lasting"},
		"a lost write is uncertain":                {opWrite, "a lost write is unavailable", "ask-drop-after-accept-lasting"},
		"a write answered by noise is uncertain":   {opWrite, "a write that came back as noise is malformed", "ask-huge-lasting"},
		"a doubtful once is not sent again":        {opOnce, "repeats a doubtful once", "ask-drop-after-accept-once"},
		"a once that came back as noise is not re": {opOnce, "repeats a doubtful once", "ask-garbage-once"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			_, cases := wired(c.mistake, c.op)
			i := slices.IndexFunc(cases, func(k contracttest.Case) bool { return k.Name == c.seen })
			if i < 0 {
				t.Fatalf("no case is named %s", c.seen)
			}
			if o := contracttest.Try(t.Context(), cases[i]); len(o.Failures) == 0 {
				t.Errorf("%s does not see the mistake %q", c.seen, c.mistake)
			}
		})
	}
}

func TestMatrixNeverAllowsNotFound(t *testing.T) {
	for _, r := range contracttest.Matrix() {
		if r.Why == "" {
			t.Errorf("%s: no reason", r.Fault)
		}
		for _, effect := range []contracts.Effect{contracts.Read, contracts.Write, contracts.Once} {
			for _, lasts := range []bool{false, true} {
				e := r.For(effect, lasts)
				if slices.Contains(e.Kinds, contracts.NotFound) || slices.Contains(e.Kinds, contracts.Internal) {
					t.Errorf("%s, %s: allows NotFound or Internal", r.Fault, effect)
				}
				if (e.Success == contracttest.Must) != (len(e.Kinds) == 0) {
					t.Errorf("%s, %s: must succeed, or may fail with a kind, not both", r.Fault, effect)
				}
				if effect != contracts.Read && r.Worked && slices.Contains(e.Kinds, contracts.Malformed) {
					t.Errorf("%s, %s: the work was done, so the outcome is uncertain whatever the answer looks like", r.Fault, effect)
				}
			}
		}
	}
}

func TestFaultsThatDoNotApplyAreDeclared(t *testing.T) {
	h, _ := wired("", opRead)
	h.Faults = []string{contracttest.Refuse}
	applied := 0
	for _, c := range h.FaultCases("ask", opRead.OpInfo, "", nil) {
		if c.Absent == "" {
			applied++
		}
	}
	if applied != 2 {
		t.Errorf("%d cases apply, want refuse once and lasting", applied)
	}
	h.Far = nil
	for _, c := range h.FaultCases("ask", opRead.OpInfo, "", nil) {
		if c.Absent == "" {
			t.Errorf("%s applies without a far side", c.Name)
		}
	}
}
