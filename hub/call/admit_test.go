package call

import (
	"context"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

func TestAdmitRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule string
		op   contracts.Op[question, int]
		edit func(*contracts.Call)
		want contracts.Kind
	}{
		{"a call names its operation", opRead, func(c *contracts.Call) { c.Op = nil }, contracts.Invalid},
		{"a call names its service", opRead, func(c *contracts.Call) { c.Caller.Service = "" }, contracts.Denied},
		{"a call names its purpose", opRead, func(c *contracts.Call) { c.Caller.Purpose = "" }, contracts.Denied},
		{"a write has a key", opWrite, func(c *contracts.Call) { c.Key = "" }, contracts.Invalid},
		{"what happens once has a key", opOnce, func(c *contracts.Call) { c.Key = "" }, contracts.Invalid},
		{"a key is short", opWrite, func(c *contracts.Call) { c.Key = strings.Repeat("k", maxKey+1) }, contracts.Invalid},
		{"a key is printable", opWrite, func(c *contracts.Call) { c.Key = "a\nb" }, contracts.Invalid},
		{"a key is ASCII", opWrite, func(c *contracts.Call) { c.Key = "chiàve" }, contracts.Invalid},
		{"a user is printable", opRead, func(c *contracts.Call) { c.Caller.User = "a\r\nX: y" }, contracts.Invalid},
		{"a case is short", opRead, func(c *contracts.Call) { c.Caller.Case = strings.Repeat("9", maxCallerField+1) }, contracts.Invalid},
		{"a user is no codice fiscale", opRead, func(c *contracts.Call) { c.Caller.User = "RSSMRA85T10A562S" }, contracts.Invalid},
		{"a case is no codice fiscale", opRead, func(c *contracts.Call) { c.Caller.Case = "RSSMRA85T10A562S" }, contracts.Invalid},
		{"a key is no codice fiscale", opWrite, func(c *contracts.Call) { c.Key = "RSSMRA85T10A562S" }, contracts.Invalid},
		{"a request is of its operation's type", opRead, func(c *contracts.Call) { c.Request = "text" }, contracts.Invalid},
		{"a request finds no fault with itself", opRead, func(c *contracts.Call) { c.Request = question{-1} }, contracts.Invalid},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			var cfg AdmitConfig
			cfg.Default()
			a := NewAdmission(cfg, newClock())
			asked := 0
			run := Chain(counting(&asked, answers(1, nil)), a.Stage)
			c := aCall(tt.op, 1)
			_, err := run(t.Context(), c)
			ok(t, err)
			tt.edit(c)
			_, err = run(t.Context(), c)
			wantKind(t, err, tt.want)
			equal(t, "our own refusal", Refused(err), true)
			equal(t, "asked", asked, 1)
			if strings.Contains(err.Error(), "RSSMRA") {
				t.Fatal("the error tells the codice fiscale")
			}
		})
	}
}

func TestAdmitGivesADeadlineWhereThereIsNone(t *testing.T) {
	t.Parallel()
	cfg := AdmitConfig{Budget: time.Minute}
	var left time.Duration
	run := Chain(func(ctx context.Context, _ *contracts.Call) (any, error) {
		d, _ := ctx.Deadline()
		left = time.Until(d)
		return 1, nil
	}, NewAdmission(cfg, newClock()).Stage)
	_, err := run(context.Background(), aCall(opRead, 1))
	ok(t, err)
	if left <= 50*time.Second || left > time.Minute {
		t.Fatalf("deadline in %s, want the budget of a minute", left)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err = run(ctx, aCall(opRead, 1))
	ok(t, err)
	if left < 50*time.Minute {
		t.Fatalf("deadline in %s, want the caller's own hour", left)
	}
}

func TestAdmitPlaces(t *testing.T) {
	t.Parallel()
	cfg := AdmitConfig{Budget: time.Minute, Others: CallerLimits{Places: 1}, Callers: map[string]CallerLimits{"big": {Places: 2}}}
	a := NewAdmission(cfg, newClock())
	inside := func(service string, then func()) error {
		_, err := Chain(func(context.Context, *contracts.Call) (any, error) { then(); return 1, nil }, a.Stage)(t.Context(), named(service))
		return err
	}
	ok(t, inside("core", func() {
		e := wantKind(t, inside("core", func() {}), contracts.Throttled)
		equal(t, "after", e.After > 0, true)
		ok(t, inside("other", func() {}))
		ok(t, inside("big", func() {
			ok(t, inside("big", func() {
				wantKind(t, inside("big", func() {}), contracts.Throttled)
				equal(t, "places taken", a.InFlight()["big"], 2)
			}))
		}))
	}))
	equal(t, "services with calls in flight", len(a.InFlight()), 0)
	ok(t, inside("core", func() {}))
}

func named(service string) *contracts.Call {
	c := aCall(opRead, 1)
	c.Caller.Service = service
	return c
}

func TestAdmitRate(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := NewAdmission(AdmitConfig{Budget: time.Minute, Others: CallerLimits{PerSecond: 0.5, Burst: 2}}, clock)
	run := Chain(answers(1, nil), a.Stage)
	for range 2 {
		_, err := run(t.Context(), aCall(opRead, 1))
		ok(t, err)
	}
	for range 3 { // a refusal takes no token
		_, err := run(t.Context(), aCall(opRead, 1))
		equal(t, "after", wantKind(t, err, contracts.Throttled).After, 2*time.Second)
	}
	clock.Advance(2 * time.Second)
	_, err := run(t.Context(), aCall(opRead, 1))
	ok(t, err)
	_, err = run(t.Context(), aCall(opRead, 1))
	wantKind(t, err, contracts.Throttled)
}

func TestRefusalsAreSummedByServiceAndMinute(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := NewAdmission(AdmitConfig{Budget: time.Minute, Others: CallerLimits{PerSecond: 0.001, Burst: 1}}, clock)
	run := Chain(answers(1, nil), a.Stage)
	for range 5 {
		_, _ = run(t.Context(), aCall(opRead, 1)) // one passes
	}
	_, _ = run(t.Context(), aCall(opRead, -1))
	nobody := aCall(opRead, 1)
	nobody.Caller.Service = ""
	_, _ = run(t.Context(), nobody)
	equal(t, "lines of minutes that are over", len(a.Summed(false)), 0)

	clock.Advance(time.Minute)
	got := a.Summed(false)
	equal(t, "lines", len(got), 2)
	equal(t, "first line", got[0], Refusals{Minute: clock.Now().Add(-time.Minute), Denied: 1})
	equal(t, "second line", got[1], Refusals{Minute: clock.Now().Add(-time.Minute), Service: "core", Invalid: 1, Throttled: 4})
	equal(t, "text", got[1].String(), "refused on admission: 1 invalid, 0 denied, 4 throttled")
	equal(t, "lines taken out twice", len(a.Summed(true)), 0)
}

func TestRefusalsOfAFloodStayBounded(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := NewAdmission(AdmitConfig{Budget: time.Minute}, clock)
	run := Chain(answers(1, nil), a.Stage)
	for i := range 5 * maxServices {
		c := aCall(opRead, -1)
		c.Caller.Service = strings.Repeat("x", i%100) + string(rune('a'+i%26))
		clock.Advance(time.Second)
		_, _ = run(t.Context(), c)
	}
	lines, sum := a.Summed(true), 0
	for _, l := range lines {
		sum += l.Invalid
	}
	equal(t, "refusals", sum, 5*maxServices)
	if len(lines) > maxServices+1 {
		t.Fatalf("%d lines", len(lines))
	}
}

func TestServicesStayBounded(t *testing.T) {
	t.Parallel()
	a := NewAdmission(AdmitConfig{Budget: time.Minute, Others: CallerLimits{Places: 1}}, newClock())
	run := Chain(answers(1, nil), a.Stage)
	for i := range 3 * maxServices {
		_, err := run(t.Context(), named(strings.Repeat("s", 1+i%60)+strings.Repeat("t", i/60)))
		ok(t, err)
	}
	if n := len(a.services); n > maxServices {
		t.Fatalf("%d services are held", n)
	}
}
