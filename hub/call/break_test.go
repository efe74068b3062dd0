package call

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

// testBreak is a configuration whose rolling window does not pass within a test.
func testBreak() BreakConfig {
	return BreakConfig{
		Failures: 0.5, Slow: time.Second, SlowShare: 0.5, Volume: 4, Window: time.Hour,
		Break: 10 * time.Second, MaxBreak: time.Minute, Probes: 2, Probe: 5 * time.Second,
	}
}

func newTestBreaker(clock contracts.Clock, cfg BreakConfig) *Breaker {
	b := NewBreaker("far", cfg, clock)
	b.jitter = func() float64 { return 0 }
	return b
}

// through sends one exchange that ends in err.
func through(b *Breaker, err error) error {
	_, got := Chain(answers(1, err), b.Stage)(context.Background(), aCall(opRead, 1))
	return got
}

func TestWhatCountsAsFailure(t *testing.T) {
	t.Parallel()
	counted := map[contracts.Kind]string{
		contracts.Internal: "neither", contracts.Invalid: "success", contracts.NotFound: "success", contracts.Denied: "success",
		contracts.Conflict: "success", contracts.Throttled: "neither", contracts.Unavailable: "failure", contracts.Uncertain: "failure",
		contracts.Pending: "success", contracts.Malformed: "failure", contracts.Canceled: "neither",
	}
	for _, kind := range contracts.AllKinds() {
		b := newTestBreaker(newClock(), testBreak())
		want := contracts.Errorf(kind, "told")
		equal(t, "error", through(b, want), error(want))
		s := b.State()
		got := "neither"
		if s.Failed == 1 {
			got = "failure"
		} else if s.Counted == 1 {
			got = "success"
		}
		equal(t, kind.String()+" counts as", got, counted[kind])
	}
}

func TestNothingIsConcludedBelowTheVolume(t *testing.T) {
	t.Parallel()
	b := newTestBreaker(newClock(), testBreak())
	for range 3 {
		_ = through(b, contracts.Unavailable)
	}
	equal(t, "phase", b.State().Phase, Closed)
	_ = through(b, contracts.Unavailable)
	equal(t, "phase", b.State().Phase, Open)
}

func TestTheShareOfFailuresDecides(t *testing.T) {
	t.Parallel()
	b := newTestBreaker(newClock(), testBreak())
	for range 10 {
		ok(t, through(b, nil))
	}
	for range 9 {
		_ = through(b, contracts.Unavailable)
	}
	equal(t, "phase at 9 of 19", b.State().Phase, Closed)
	_ = through(b, contracts.Unavailable)
	equal(t, "phase at 10 of 20", b.State().Phase, Open)
	e := wantKind(t, through(b, nil), contracts.Unavailable)
	equal(t, "after", e.After, 10*time.Second)
	equal(t, "our own refusal", Refused(e), true)
}

func TestSlowAnswersOpenToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker(contracts.SystemClock{}, testBreak())
		slow, fast := Chain(answersAfter(time.Second, 1), b.Stage), Chain(answersAfter(999*time.Millisecond, 1), b.Stage)
		for range 5 {
			_, err := fast(t.Context(), aCall(opRead, 1))
			ok(t, err)
		}
		for range 4 {
			_, err := slow(t.Context(), aCall(opRead, 1))
			ok(t, err)
		}
		equal(t, "phase at 4 of 9", b.State().Phase, Closed)
		equal(t, "slow", b.State().Slow, 4)
		_, err := slow(t.Context(), aCall(opRead, 1))
		ok(t, err)
		equal(t, "phase at 5 of 10", b.State().Phase, Open)
		equal(t, "failed", b.State().Failed, 0)
	})
}

func TestCallersWhoLeaveSayNothingButSlownessDoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule   string
		after  time.Duration // of the call's end
		cancel bool          // by the caller; else by its deadline
		want   BreakState
	}{
		{"a caller who gives up early says nothing", time.Millisecond, true, BreakState{}},
		{"a hasty deadline says nothing", time.Millisecond, false, BreakState{}},
		{"a caller who gave up a slow call saw it slow", 2 * time.Second, true, BreakState{Slow: 1}},
		{"a far side that had its time has failed", 2 * time.Second, false, BreakState{Failed: 1, Slow: 1, Counted: 1}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newTestBreaker(contracts.SystemClock{}, testBreak())
				ctx, cancel := context.WithCancel(t.Context())
				if !tt.cancel {
					ctx, cancel = context.WithTimeout(t.Context(), tt.after)
				}
				defer cancel()
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := Chain(hangs, b.Stage)(ctx, aCall(opRead, 1))
					equal(t, "kind", contracts.KindOf(err), contracts.Canceled)
				})
				pause(tt.after)
				if tt.cancel {
					cancel()
				}
				wg.Wait()
				s := b.State()
				equal(t, "counted", BreakState{Failed: s.Failed, Slow: s.Slow, Counted: s.Counted}, tt.want)
			})
		})
	}
}

// hangs until the context ends.
func hangs(ctx context.Context, _ *contracts.Call) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// trip brings a closed breaker to its break.
func trip(b *Breaker) {
	for b.State().Phase == Closed {
		_ = through(b, contracts.Unavailable)
	}
}

func TestBreaksGrowAndAreCapped(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newTestBreaker(clock, testBreak())
	trip(b)
	for _, want := range []time.Duration{10, 20, 40, 60, 60} {
		s := b.State()
		equal(t, "phase", s.Phase, Open)
		equal(t, "length", s.Length, want*time.Second)
		clock.Advance(s.Length - 1)
		equal(t, "our own refusal", Refused(through(b, nil)), true)
		clock.Advance(1)
		equal(t, "phase", b.State().Phase, HalfOpen)
		_ = through(b, contracts.Unavailable)
	}
}

func TestJitterOnlyShortens(t *testing.T) {
	t.Parallel()
	b := newTestBreaker(newClock(), testBreak())
	for _, tt := range []struct {
		jitter float64
		want   time.Duration
	}{{0, 10 * time.Second}, {0.5, 9 * time.Second}, {1, 8 * time.Second}} {
		b.jitter = func() float64 { return tt.jitter }
		equal(t, "length", b.breakOf(1), tt.want)
	}
	equal(t, "the hundredth", b.breakOf(100), 48*time.Second)
}

func TestProbesCloseIt(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newTestBreaker(clock, testBreak())
	trip(b)
	clock.Advance(10 * time.Second)
	ok(t, through(b, nil))
	equal(t, "phase after one of two probes", b.State().Phase, HalfOpen)
	equal(t, "an answer, too", through(b, contracts.NotFound), error(contracts.NotFound))
	equal(t, "phase", b.State().Phase, Closed)

	clock.Advance(9 * time.Second) // it fails again before it has held out as long as the break was
	trip(b)
	equal(t, "length", b.State().Length, 20*time.Second)
	clock.Advance(20 * time.Second)
	ok(t, through(b, nil))
	ok(t, through(b, nil))
	clock.Advance(20 * time.Second)
	trip(b)
	equal(t, "length after it had held out", b.State().Length, 10*time.Second)
}

func TestProbesAreFewAndHaveADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker(contracts.SystemClock{}, testBreak())
		trip(b)
		pause(10 * time.Second)
		asked := 0
		run := Chain(counting(&asked, hangs), b.Stage)
		var wg sync.WaitGroup
		start := time.Now()
		for range 2 {
			wg.Go(func() {
				_, err := run(t.Context(), aCall(opRead, 1)) // the caller has all the time of the world
				e := wantKind(t, err, contracts.Unavailable)
				equal(t, "our own refusal", Refused(e), false)
				equal(t, "probed for", time.Since(start), 5*time.Second)
			})
		}
		synctest.Wait()
		for range 5 {
			_, err := run(t.Context(), aCall(opRead, 1))
			e := wantKind(t, err, contracts.Unavailable)
			equal(t, "our own refusal", Refused(e), true)
			equal(t, "after", e.After > 0, true)
		}
		wg.Wait()
		equal(t, "asked", asked, 2)
		equal(t, "phase", b.State().Phase, Open)
		equal(t, "length", b.State().Length, 20*time.Second)
	})
}

func TestAProbeThatSaysNothingFreesItsPlace(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newTestBreaker(clock, testBreak())
	trip(b)
	clock.Advance(10 * time.Second)
	for range 10 {
		wantKind(t, through(b, contracts.Errorf(contracts.Throttled, "busy")), contracts.Throttled)
	}
	equal(t, "phase", b.State().Phase, HalfOpen)
	ok(t, through(b, nil))
	ok(t, through(b, nil))
	equal(t, "phase", b.State().Phase, Closed)
}

// A break that begins while an exchange is between the door and gobreaker must hold for it as well: gobreaker's own open
// time is over at once.
func TestNobodySlipsInAsABreakBegins(t *testing.T) {
	t.Parallel()
	cfg := testBreak()
	cfg.Probes = 1
	b := newTestBreaker(newClock(), cfg)
	asked := 0
	x := exchange{b: b, pair: b.pair, next: counting(&asked, answers(1, nil)), ctx: t.Context(), c: aCall(opRead, 1)}
	trip(b) // x had passed the door before
	_, _ = x.pair.failures.Execute(x.counted)
	equal(t, "our own refusal", Refused(x.err), true)
	equal(t, "asked", asked, 0)
	equal(t, "phase", b.State().Phase, Open)
}

func TestByHand(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newTestBreaker(clock, testBreak())
	b.Isolate("")
	e := wantKind(t, through(b, nil), contracts.Unavailable)
	equal(t, "our own refusal", Refused(e), true)
	equal(t, "after", e.After, time.Minute)
	s := b.State()
	equal(t, "phase", s.Phase, Isolated)
	clock.Advance(24 * time.Hour)
	equal(t, "no time ends it", Refused(through(b, nil)), true)
	b.Close()
	ok(t, through(b, nil))
	equal(t, "phase", b.State().Phase, Closed)

	trip(b)
	b.Close()
	ok(t, through(b, nil))
	equal(t, "failures are forgotten", b.State().Failed, 0)
	trip(b)
	equal(t, "breaks begin anew", b.State().Length, 10*time.Second)
}

func TestWhatWasUnderWayWhenClosedByHandCountsNoMore(t *testing.T) {
	t.Parallel()
	for _, before := range []func(*Breaker){
		trip,
		func(b *Breaker) { // one more failure would have tripped it
			for range 3 {
				_ = through(b, contracts.Unavailable)
			}
		},
	} {
		b := newTestBreaker(newClock(), testBreak())
		_, _ = Chain(func(context.Context, *contracts.Call) (any, error) {
			before(b)
			b.Close()
			return nil, contracts.Unavailable
		}, b.Stage)(t.Context(), aCall(opRead, 1))
		s := b.State()
		equal(t, "phase", s.Phase, Closed)
		equal(t, "failed", s.Failed, 0)
		equal(t, "breaks", s.Breaks, 0)
	}
}

func TestAPanicFreesAndFails(t *testing.T) {
	t.Parallel()
	b := newTestBreaker(newClock(), testBreak())
	for range 4 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = Chain(func(context.Context, *contracts.Call) (any, error) { panic("x") }, b.Stage)(t.Context(), aCall(opRead, 1))
		}()
	}
	equal(t, "phase", b.State().Phase, Open)
}

// The model of a breaker whose window does not pass: counts since the last opening or closing, and the break.
type breakModel struct {
	cfg                  BreakConfig
	isolated, tripped    bool
	good, bad, probed    int
	breaks               int
	length               time.Duration
	until, recoveredTime time.Time
}

func (m *breakModel) admits(now time.Time) bool {
	return !m.isolated && !(m.tripped && now.Before(m.until))
}

func (m *breakModel) open(now time.Time) {
	if m.tripped || m.breaks > 0 && now.Sub(m.recoveredTime) < m.length {
		m.breaks++
	} else {
		m.breaks = 1
	}
	m.length = m.cfg.MaxBreak
	if m.breaks < 20 {
		m.length = min(m.cfg.MaxBreak, m.cfg.Break<<(m.breaks-1))
	}
	m.tripped, m.until = true, now.Add(m.length)
	m.good, m.bad, m.probed = 0, 0, 0
}

func (m *breakModel) ended(now time.Time, failed bool) {
	switch {
	case m.tripped && failed:
		m.open(now)
	case m.tripped:
		if m.probed++; m.probed == m.cfg.Probes {
			m.tripped, m.recoveredTime = false, now
			m.good, m.bad, m.probed = 0, 0, 0
		}
	case failed:
		m.bad++
		n := m.good + m.bad
		if n >= m.cfg.Volume && float64(m.bad) >= m.cfg.Failures*float64(n) {
			m.open(now)
		}
	default:
		m.good++
	}
}

func TestTheBreakerFollowsItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := testBreak()
		cfg.Failures = rapid.Float64Range(0.05, 1).Draw(t, "failures")
		cfg.Volume = rapid.IntRange(1, 8).Draw(t, "volume")
		cfg.Probes = rapid.IntRange(1, 4).Draw(t, "probes")
		cfg.Slow = time.Hour // the model knows failures alone
		clock := newClock()
		b, m := newTestBreaker(clock, cfg), &breakModel{cfg: cfg, recoveredTime: clock.Now()}
		send := func(err error) (asked bool) {
			_, got := Chain(func(context.Context, *contracts.Call) (any, error) { asked = true; return 1, err }, b.Stage)(context.Background(), aCall(opRead, 1))
			if asked && !errors.Is(got, err) || !asked && (!Refused(got) || contracts.KindOf(got) != contracts.Unavailable) {
				t.Fatalf("asked %t, error %v", asked, got)
			}
			if asked != m.admits(clock.Now()) {
				t.Fatalf("asked %t, model says %t", asked, m.admits(clock.Now()))
			}
			return asked
		}
		t.Repeat(map[string]func(*rapid.T){
			"succeeds": func(t *rapid.T) {
				if send(rapid.SampledFrom([]error{nil, contracts.NotFound, contracts.Denied, contracts.Pending}).Draw(t, "as")) {
					m.ended(clock.Now(), false)
				}
			},
			"fails": func(t *rapid.T) {
				if send(rapid.SampledFrom([]error{contracts.Unavailable, contracts.Malformed, contracts.Uncertain}).Draw(t, "as")) {
					m.ended(clock.Now(), true)
				}
			},
			"says nothing": func(t *rapid.T) {
				send(rapid.SampledFrom([]error{contracts.Throttled, contracts.Internal, context.Canceled}).Draw(t, "as"))
			},
			"time passes": func(t *rapid.T) {
				clock.Advance(time.Duration(rapid.Int64Range(0, int64(2*cfg.MaxBreak)).Draw(t, "for")))
			},
			"isolated by hand": func(*rapid.T) {
				b.Isolate("test")
				m.isolated = true
			},
			"closed by hand": func(*rapid.T) {
				b.Close()
				*m = breakModel{cfg: cfg, recoveredTime: clock.Now()}
			},
			"": func(t *rapid.T) {
				want := Closed
				switch {
				case m.isolated:
					want = Isolated
				case m.tripped && clock.Now().Before(m.until):
					want = Open
				case m.tripped:
					want = HalfOpen
				}
				s := b.State()
				if s.Phase != want || m.tripped && (s.Breaks != m.breaks || s.Length != m.length) {
					t.Fatalf("state %+v, model %+v (%s)", s, m, want)
				}
			},
		})
	})
}
