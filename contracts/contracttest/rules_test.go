package contracttest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

func TestErrorRules(t *testing.T) {
	good := func() *contracts.Error {
		return &contracts.Error{Kind: contracts.Unavailable, System: "inad", Operation: "toy.read", Err: errors.New("lookup: connection refused, try later")}
	}
	for name, c := range map[string]struct {
		spoil func(e *contracts.Error) error
		says  string // empty: no fault
	}{
		"a good error":            {func(e *contracts.Error) error { return e }, ""},
		"a wrapped one":           {func(e *contracts.Error) error { return fmt.Errorf("while testing: %w", e) }, ""},
		"a pending one":           {func(e *contracts.Error) error { e.Kind, e.Ticket = contracts.Pending, "t"; return e }, ""},
		"a bare error":            {func(*contracts.Error) error { return errors.New("x") }, "not a *contracts.Error"},
		"no system":               {func(e *contracts.Error) error { e.System = ""; return e }, "System"},
		"another operation":       {func(e *contracts.Error) error { e.Operation = "toy.write"; return e }, "Operation"},
		"internal":                {func(e *contracts.Error) error { e.Kind = contracts.Internal; return e }, "Internal"},
		"an unknown kind":         {func(e *contracts.Error) error { e.Kind = 200; return e }, "Kind"},
		"throttled without after": {func(e *contracts.Error) error { e.Kind = contracts.Throttled; return e }, "After"},
		"throttled with after":    {func(e *contracts.Error) error { e.Kind, e.After = contracts.Throttled, time.Second; return e }, ""},
		"pending without ticket":  {func(e *contracts.Error) error { e.Kind = contracts.Pending; return e }, "Ticket"},
		"a codice fiscale":        {func(e *contracts.Error) error { e.Err = errors.New("no RSSMRA85T10A562S here"); return e }, "codice fiscale"},
		"an omocodic one":         {func(e *contracts.Error) error { e.Code = "rssmraurtmlarsnl"; return e }, "codice fiscale"},
		"a partita IVA":           {func(e *contracts.Error) error { e.Err = errors.New("no 12345678903"); return e }, "eleven digits"},
		"an address":              {func(e *contracts.Error) error { e.Err = errors.New("to a.b@pec.memory.test"); return e }, "an address"},
		"a page":                  {func(e *contracts.Error) error { e.Err = errors.New(strings.Repeat("x", 1000)); return e }, "longer"},
		"a sentence":              {func(e *contracts.Error) error { e.Err = errors.New("it broke."); return e }, "full stop"},
	} {
		t.Run(name, func(t *testing.T) {
			faults := contracttest.ErrorFaults(c.spoil(good()), "toy.read")
			if c.says == "" && len(faults) != 0 {
				t.Errorf("faults %q, want none", faults)
			}
			if c.says != "" && !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.says) }) {
				t.Errorf("faults %q, want one about %q", faults, c.says)
			}
		})
	}
}

func TestWantKind(t *testing.T) {
	e := toyErr(contracts.NotFound, "toy.read")
	for name, c := range map[string]struct {
		err  error
		want []contracts.Kind
		ok   bool
	}{
		"the kind":         {e, []contracts.Kind{contracts.NotFound}, true},
		"one of two kinds": {e, []contracts.Kind{contracts.Invalid, contracts.NotFound}, true},
		"another kind":     {e, []contracts.Kind{contracts.Invalid}, false},
		"no error":         {nil, []contracts.Kind{contracts.NotFound}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := contracttest.Try(t.Context(), contracttest.Case{Run: func(x *contracttest.T) {
				contracttest.WantKind(x, c.err, "toy.read", c.want...)
			}})
			if (len(o.Failures) == 0) != c.ok {
				t.Errorf("failures %q", o.Failures)
			}
		})
	}
}
