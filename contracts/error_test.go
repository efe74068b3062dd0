package contracts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

// kinds is what the rest of the program may rely on: the names stand in entries, metrics and problem+json for ever.
var kinds = map[contracts.Kind]struct {
	name      string
	retryable bool
}{
	contracts.Internal:    {"internal", false},
	contracts.Invalid:     {"invalid", false},
	contracts.NotFound:    {"not_found", false},
	contracts.Denied:      {"denied", false},
	contracts.Conflict:    {"conflict", false},
	contracts.Throttled:   {"throttled", true},
	contracts.Unavailable: {"unavailable", true},
	contracts.Uncertain:   {"uncertain", false},
	contracts.Pending:     {"pending", false},
	contracts.Malformed:   {"malformed", false},
	contracts.Canceled:    {"canceled", false},
}

func TestKinds(t *testing.T) {
	if len(contracts.AllKinds()) != len(kinds) {
		t.Errorf("%d kinds, and the table has %d", len(contracts.AllKinds()), len(kinds))
	}
	for k, want := range kinds {
		t.Run(want.name, func(t *testing.T) {
			if k.String() != want.name {
				t.Errorf("named %q", k)
			}
			text, err := k.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			var back contracts.Kind
			if err := back.UnmarshalText(text); err != nil || back != k {
				t.Errorf("came back as %q, %v", back, err)
			}
			e := contracts.Errorf(k, "verb: why")
			if e.Retryable() != want.retryable {
				t.Errorf("retryable: %t", e.Retryable())
			}
			for _, err := range []error{e, fmt.Errorf("on the way: %w", e), errors.Join(io.EOF, e), k} {
				if contracts.KindOf(err) != k {
					t.Errorf("KindOf(%v) is %q", err, contracts.KindOf(err))
				}
				for other := range kinds {
					if errors.Is(err, other) != (other == k) {
						t.Errorf("errors.Is(%v, %q) is %t", err, other, errors.Is(err, other))
					}
				}
			}
		})
	}
	var k contracts.Kind
	if err := k.UnmarshalText([]byte("no such")); err == nil {
		t.Error("an unknown name was accepted")
	}
	if s := contracts.Kind(200).String(); s != "kind(200)" {
		t.Errorf("a kind from the future prints as %q", s)
	}
}

func TestKindOfOtherErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want contracts.Kind
	}{
		"a stranger's":           {io.EOF, contracts.Internal},
		"a canceled context":     {fmt.Errorf("x: %w", context.Canceled), contracts.Canceled},
		"a deadline":             {context.DeadlineExceeded, contracts.Canceled},
		"said to be uncertain":   {contracts.Errorf(contracts.Uncertain, "x: %w", context.DeadlineExceeded), contracts.Uncertain},
		"the outermost counts":   {contracts.Errorf(contracts.Unavailable, "x: %w", contracts.Errorf(contracts.NotFound, "y")), contracts.Unavailable},
		"also over a bare kind":  {contracts.Errorf(contracts.Unavailable, "x: %w", contracts.NotFound), contracts.Unavailable},
		"forgotten kind accuses": {&contracts.Error{}, contracts.Internal},
	} {
		if got := contracts.KindOf(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if !errors.Is(contracts.AsError(c.err), c.want) {
			t.Errorf("%s: AsError has another kind", name)
		}
	}
	if contracts.AsError(nil) != nil {
		t.Error("AsError(nil) is an error")
	}
}

func TestWrappedKindNoLongerCounts(t *testing.T) {
	inner := &contracts.Error{Kind: contracts.NotFound, Err: &fs.PathError{Op: "open", Path: "x", Err: io.EOF}}
	outer := contracts.Errorf(contracts.Unavailable, "lookup: %w", inner)
	if errors.Is(outer, contracts.NotFound) {
		t.Error("the outer error is both unavailable and not found: a route would go on to the next register")
	}
	var k contracts.Kind
	if errors.As(outer, &k) {
		t.Error("a Kind can be taken out of an Error that wraps one")
	}
	var e *contracts.Error
	if !errors.As(outer, &e) || e != outer {
		t.Error("the outermost Error is not the one found")
	}
	var path *fs.PathError
	if !errors.Is(outer, io.EOF) || !errors.As(outer, &path) {
		t.Error("the rest of the chain is lost")
	}
	if (&contracts.Error{}).Unwrap() != nil {
		t.Error("an error without a cause unwraps to something")
	}
}

func TestErrorIsOneLine(t *testing.T) {
	e := &contracts.Error{Kind: contracts.NotFound, System: "inad", Operation: "domicile.lookup", Code: "NOT_FOUND", Err: errors.New("lookup: none")}
	if got, want := e.Error(), "inad: domicile.lookup: not found [NOT_FOUND]: lookup: none"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := (&contracts.Error{Kind: contracts.Pending, Ticket: "t"}).Error(), "pending (ticket t)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	e.Code, e.Err = "A\r\nlevel=ERROR msg=forged\x1b[31m", errors.Join(io.EOF, io.ErrClosedPipe)
	if s := e.Error(); strings.ContainsAny(s, "\r\n\x1b") {
		t.Errorf("%q can forge a log line", s)
	}
	if s := e.Error(); !strings.Contains(s, "EOF; io:") {
		t.Errorf("%q: joined errors run together", s)
	}
}

func TestErrorTravels(t *testing.T) {
	all := contracts.AllKinds()
	rapid.Check(t, func(rt *rapid.T) {
		in := &contracts.Error{
			Kind:      all[rapid.IntRange(0, len(all)-1).Draw(rt, "kind")],
			System:    rapid.StringMatching(`[a-z]{0,8}`).Draw(rt, "system"),
			Operation: rapid.StringMatching(`([a-z]+\.[a-z]+)?`).Draw(rt, "operation"),
			Code:      rapid.String().Draw(rt, "code"),
			After:     time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(rt, "after")),
			Ticket:    rapid.StringMatching(`[a-z2-7]{0,26}`).Draw(rt, "ticket"),
		}
		if detail := rapid.StringMatching(`[a-z ]{0,20}`).Draw(rt, "detail"); detail != "" {
			in.Err = errors.New(detail)
		}
		b, err := json.Marshal(in)
		if err != nil {
			rt.Fatal(err)
		}
		var out contracts.Error
		if err := json.Unmarshal(b, &out); err != nil {
			rt.Fatal(err)
		}
		if out.Kind != in.Kind || out.System != in.System || out.Operation != in.Operation || out.After != in.After || out.Ticket != in.Ticket {
			rt.Fatalf("%+v came back as %+v", in, out)
		}
		if out.Error() != in.Error() {
			rt.Fatalf("%q came back as %q", in.Error(), out.Error())
		}
	})
}

func TestErrorFromAPeerIsBounded(t *testing.T) {
	for _, after := range []string{"-1", "1e300", "-1e300", "0"} {
		var e contracts.Error
		if err := json.Unmarshal([]byte(`{"kind":"throttled","after":`+after+`}`), &e); err != nil {
			t.Fatal(err)
		}
		if e.After < 0 || e.After > 366*24*time.Hour {
			t.Errorf("after %s became %v", after, e.After)
		}
	}
	var e contracts.Error
	if err := json.Unmarshal([]byte(`{"kind":"sorry"}`), &e); err == nil {
		t.Error("an unknown kind was accepted")
	}
	if _, err := json.Marshal(&contracts.Error{After: math.MaxInt64}); err != nil {
		t.Error(err)
	}
}

func FuzzErrorJSON(f *testing.F) {
	for _, s := range []string{
		`{"kind":"not_found","system":"inad","operation":"domicile.lookup","code":"NOT_FOUND","detail":"none"}`,
		`{"kind":"throttled","after":1.5}`, `{"kind":"pending","ticket":"abc"}`, `{"after":1e308}`, `{"kind":7}`, `null`, `[]`, `{"kind":"internal","code":"\u0000\n"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e contracts.Error
		if json.Unmarshal(b, &e) != nil {
			return
		}
		if strings.ContainsAny(e.Error(), "\r\n\x00") || e.After < 0 {
			t.Fatal("a peer can forge a line, or a wait that is over")
		}
		out, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		var again contracts.Error
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatal(err)
		}
		if again.Error() != e.Error() || again.Kind != e.Kind || again.After != e.After {
			t.Fatal("what was read is not what is written")
		}
	})
}
