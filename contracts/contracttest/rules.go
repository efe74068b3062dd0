package contracttest

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"raccordo/contracts"
)

const maxErrorText = 600 // bytes: an error is a line, not a page of the peer's HTML

// lookalikes are shapes that only personal data has: a codice fiscale, eleven digits, an address.
var lookalikes = map[string]*regexp.Regexp{
	"a codice fiscale": regexp.MustCompile(`(?i)\b[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]\b`),
	"eleven digits":    regexp.MustCompile(`\b[0-9]{11}\b`),
	"an address":       regexp.MustCompile(`[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+`),
}

// ErrorFaults says what is wrong with an error as it reaches a caller: nothing, when it obeys the rules. op is the
// operation that was asked.
func ErrorFaults(err error, op string) []string {
	var e *contracts.Error
	if !errors.As(err, &e) {
		return []string{"the error is not a *contracts.Error: callers branch on its Kind"}
	}
	var faults []string
	add := func(s string) { faults = append(faults, s) }
	if !slices.Contains(contracts.AllKinds(), e.Kind) {
		add("the Kind is none of the known ones")
	}
	if e.System == "" {
		add("System is empty: nobody knows whose fault it is")
	}
	if e.Operation != op {
		add("Operation is " + quoteShape(e.Operation) + ", want " + op)
	}
	if e.Kind == contracts.Throttled && e.After <= 0 {
		add("Throttled without After: the caller must guess when to come back")
	}
	if e.Kind == contracts.Pending && e.Ticket == "" {
		add("Pending without Ticket: the caller does not know where to ask")
	}
	if e.Kind == contracts.Internal {
		add("Internal: the adapter did not choose a Kind")
	}
	text := e.Error()
	for what, re := range lookalikes {
		if re.MatchString(text) {
			add("the text holds something shaped like " + what)
		}
	}
	if len(text) > maxErrorText {
		add("the text is longer than a line")
	}
	if strings.IndexFunc(text, unicode.IsControl) >= 0 {
		add("the text holds control characters")
	}
	if e.Err != nil {
		if cause := e.Err.Error(); strings.HasSuffix(cause, ".") {
			add("the text ends with a full stop")
		}
	}
	return faults
}

func quoteShape(s string) string {
	if s == "" {
		return "empty"
	}
	return `"` + s + `"`
}

// CheckError records what is wrong with an error that reached a caller. nil is no error.
func CheckError(t *T, err error, op string) {
	if err == nil {
		return
	}
	for _, f := range ErrorFaults(err, op) {
		t.Errorf("error rule: %s (kind %s)", f, contracts.KindOf(err))
	}
}

// WantKind fails unless err obeys the error rules and has one of the kinds.
func WantKind(t *T, err error, op string, kinds ...contracts.Kind) {
	if err == nil {
		t.Errorf("no error, want kind %v", kinds)
		return
	}
	CheckError(t, err, op)
	if got := contracts.KindOf(err); !slices.Contains(kinds, got) {
		t.Errorf("kind %q, want one of %q: %v", got, kinds, err)
	}
}

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
			Case{Name: name + "-" + rule.Fault + "-once", Why: rule.Why, Absent: absent,
				Run: func(t *T) { h.underFault(t, rule, op, sent, 1, ask) }},
			Case{Name: name + "-" + rule.Fault + "-lasting", Why: rule.Why, Absent: lasting,
				Run: func(t *T) { h.underFault(t, rule, op, sent, 0, ask) }})
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
	if !h.clear() && lasts {
		return
	}
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
		t.Errorf("%s: kind %q, want one of %q: %v", rule.Fault, kind, expect.Kinds, err)
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
