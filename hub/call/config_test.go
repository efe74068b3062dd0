package call

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"raccordo/contracts"
)

func paths(err error) (all []string) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, paths(e)...)
		}
		return all
	}
	var f *contracts.Fault
	if errors.As(err, &f) {
		all = append(all, f.Path)
	}
	return all
}

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	var (
		a AdmitConfig
		s ShareConfig
		l LimitConfig
		b BreakConfig
	)
	a.Default()
	s.Default()
	l.Default()
	b.Default()
	ok(t, a.Validate("calls"))
	ok(t, s.Validate("share"))
	ok(t, l.Validate("limit"))
	ok(t, b.Validate("break"))
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule string
		err  error
		want []string
	}{
		{
			"admit", (&AdmitConfig{
				Others:  CallerLimits{Places: -1, PerSecond: 1},
				Callers: map[string]CallerLimits{"b": {PerSecond: math.NaN()}, "a": {Burst: -1}},
			}).Validate("calls"),
			[]string{"calls.budget", "calls.others.places", "calls.others.burst", "calls.callers.a.burst", "calls.callers.b.per_second"},
		},
		{
			"share", (&ShareConfig{Keep: map[string]time.Duration{"x.y": time.Millisecond}}).Validate("p"),
			[]string{"p.timeout", "p.size", "p.keep.x.y"},
		},
		{
			"limit", (&LimitConfig{Places: -1, PerSecond: -1, Wait: 3 * time.Second, PerDay: map[string]int64{"*": -1}}).Validate("p"),
			[]string{"p.places", "p.per_second", "p.wait", "p.per_day.*"},
		},
		{
			"break", (&BreakConfig{Failures: 1.1, SlowShare: math.NaN(), Slow: 2 * time.Second, Break: time.Minute, MaxBreak: time.Second, Probe: time.Second}).Validate("p"),
			[]string{"p.failures", "p.slow_share", "p.volume", "p.window", "p.max_break", "p.probes", "p.probe_timeout"},
		},
	} {
		if got := paths(tt.err); !slices.Equal(got, tt.want) {
			t.Errorf("%s: faults at %v, want %v", tt.rule, got, tt.want)
		}
	}
}
