package call

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raccordo/contracts"
)

func TestPlacesAreWaitedForOnlySoLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter("far", LimitConfig{Places: 1, Wait: time.Second}, contracts.SystemClock{}, nil)
		run := Chain(answersAfter(1500*time.Millisecond, 7), l.Stage)
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := run(t.Context(), aCall(opRead, 1))
			ok(t, err)
		})
		synctest.Wait()
		equal(t, "places taken", l.State().Taken, 1)
		wg.Go(func() {
			_, err := run(t.Context(), aCall(opRead, 2))
			e := wantKind(t, err, contracts.Throttled)
			equal(t, "our own refusal", Refused(err), true)
			equal(t, "after", e.After > 0, true)
			equal(t, "system", e.System, "far")
			equal(t, "refused after", time.Since(start), time.Second)
		})
		pause(1200 * time.Millisecond)
		_, err := run(t.Context(), aCall(opRead, 3)) // 300 ms until a place is free
		ok(t, err)
		equal(t, "answered after", time.Since(start), 3*time.Second)
		wg.Wait()
		equal(t, "places taken", l.State().Taken, 0)
	})
}

func TestAWaitEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, cfg := range []LimitConfig{{Places: 1, Wait: 2 * time.Second}, {PerSecond: 1, Burst: 1, Wait: 2 * time.Second}} {
			l := NewLimiter("far", cfg, contracts.SystemClock{}, nil)
			run := Chain(answersAfter(10*time.Second, 7), l.Stage)
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = run(t.Context(), aCall(opRead, 1)) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := run(ctx, aCall(opRead, 2))
			wantKind(t, err, contracts.Canceled)
			equal(t, "our own refusal", Refused(err), true)
			cancel()
			wg.Wait()
		}
	})
}

func TestTheRateGoesByTheClock(t *testing.T) {
	t.Parallel()
	clock := newClock()
	l := NewLimiter("far", LimitConfig{PerSecond: 0.1, Burst: 2, Wait: time.Second}, clock, nil)
	run := Chain(answers(7, nil), l.Stage)
	for range 2 {
		_, err := run(t.Context(), aCall(opRead, 1))
		ok(t, err)
	}
	for range 3 { // a refusal takes no token
		_, err := run(t.Context(), aCall(opRead, 1))
		equal(t, "after", wantKind(t, err, contracts.Throttled).After, 10*time.Second)
		equal(t, "our own refusal", Refused(err), true)
	}
	clock.Advance(10 * time.Second)
	_, err := run(t.Context(), aCall(opRead, 1))
	ok(t, err)
	equal(t, "tokens", l.State().Tokens, 0)
}

func TestAShortTurnIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter("far", LimitConfig{PerSecond: 2, Burst: 1, Wait: time.Second}, contracts.SystemClock{}, nil)
		run := Chain(answers(7, nil), l.Stage)
		start := time.Now()
		for range 3 {
			_, err := run(t.Context(), aCall(opRead, 1))
			ok(t, err)
		}
		equal(t, "three exchanges at two a second took", time.Since(start), time.Second)
	})
}

func TestPlaceAndTurnShareOnePatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter("far", LimitConfig{Places: 1, PerSecond: 0.5, Burst: 1, Wait: 2 * time.Second}, contracts.SystemClock{}, nil)
		run := Chain(answersAfter(500*time.Millisecond, 7), l.Stage)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := run(t.Context(), aCall(opRead, 1))
			ok(t, err)
		})
		synctest.Wait()
		_, err := run(t.Context(), aCall(opRead, 2)) // half a second for the place, and one and a half for the turn
		ok(t, err)
		wg.Go(func() { _, _ = run(t.Context(), aCall(opRead, 3)) })
		synctest.Wait()
		pause(100 * time.Millisecond)
		_, err = run(t.Context(), aCall(opRead, 4)) // nearly two for the place: no patience is left for the turn
		wantKind(t, err, contracts.Throttled)
		wg.Wait()
	})
}

func daily(clock contracts.Clock, store DayStore, limit int64) (*Limiter, Func) {
	l := NewLimiter("far", LimitConfig{PerDay: map[string]int64{"flussi": limit, "free": 1 << 40}}, clock, store)
	return l, Chain(answers(7, nil), l.Stage)
}

func TestADayIsCountedByPurposeAndEndsAtMidnightInRome(t *testing.T) {
	t.Parallel()
	clock, counts := newClock(), newDayCounts() // 09:00 UTC on 2 March: 10:00 in Rome
	_, run := daily(clock, counts, 3)
	for range 3 {
		_, err := run(t.Context(), aCall(opRead, 1))
		ok(t, err)
	}
	_, err := run(t.Context(), aCall(opRead, 1))
	e := wantKind(t, err, contracts.Throttled)
	equal(t, "after", e.After, 14*time.Hour)
	equal(t, "our own refusal", Refused(err), true)
	equal(t, "counted", counts.of("far/flussi", "2026-03-02"), 3)
	claims := counts.claims
	_, err = run(t.Context(), aCall(opRead, 1))
	wantKind(t, err, contracts.Throttled)
	equal(t, "a day known to be spent asks the store again", counts.claims, claims)

	other := aCall(opRead, 1)
	other.Caller.Purpose = "free"
	_, err = run(t.Context(), other)
	ok(t, err)
	other.Caller.Purpose = "unlisted"
	_, err = run(t.Context(), other)
	ok(t, err)

	clock.Advance(14 * time.Hour)
	_, err = run(t.Context(), aCall(opRead, 1))
	ok(t, err)
	clock.Advance(-time.Minute) // the clock steps back over midnight: yesterday is as spent as it was
	_, err = run(t.Context(), aCall(opRead, 1))
	wantKind(t, err, contracts.Throttled)
}

func TestDaysOfTheNightsWhenTheClocksChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule  string
		noon  time.Time
		hours time.Duration // until the midnight after, from the one before
	}{
		{"the day that loses an hour", time.Date(2026, 3, 29, 10, 0, 0, 0, time.UTC), 23},
		{"the day that gains an hour", time.Date(2026, 10, 25, 11, 0, 0, 0, time.UTC), 25},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			_, run := daily(clock, newDayCounts(), 1)
			clock.Set(tt.noon)
			_, err := run(t.Context(), aCall(opRead, 1))
			ok(t, err)
			_, err = run(t.Context(), aCall(opRead, 1))
			after := wantKind(t, err, contracts.Throttled).After
			equal(t, "after noon in Rome", after, 12*time.Hour)
			clock.Advance(after)
			_, err = run(t.Context(), aCall(opRead, 1))
			ok(t, err)
			_, err = run(t.Context(), aCall(opRead, 1))
			equal(t, "the next day", wantKind(t, err, contracts.Throttled).After, 24*time.Hour)
			clock.Set(tt.noon.Add(12*time.Hour - tt.hours*time.Hour)) // the midnight that began it
			_, err = run(t.Context(), aCall(opRead, 1))
			equal(t, "the day's length", wantKind(t, err, contracts.Throttled).After, tt.hours*time.Hour)
		})
	}
}

func TestDaysAreClaimedInBatchesAndReturned(t *testing.T) {
	t.Parallel()
	clock, counts := newClock(), newDayCounts()
	l, run := daily(clock, counts, 10_000)
	for range 120 {
		_, err := run(t.Context(), aCall(opRead, 1))
		ok(t, err)
	}
	equal(t, "claims", counts.claims, 3)
	equal(t, "counted", counts.of("far/flussi", "2026-03-02"), 150)
	ok(t, l.Close(t.Context()))
	ok(t, l.Close(t.Context()))
	equal(t, "counted once closed", counts.of("far/flussi", "2026-03-02"), 120)

	_, run = daily(clock, counts, 121) // a restart goes on where the day stood
	_, err := run(t.Context(), aCall(opRead, 1))
	ok(t, err)
	_, err = run(t.Context(), aCall(opRead, 1))
	wantKind(t, err, contracts.Throttled)
}

func TestWhatWasRefusedFurtherInIsGivenBackToTheDay(t *testing.T) {
	t.Parallel()
	clock, counts := newClock(), newDayCounts()
	l := NewLimiter("far", LimitConfig{PerDay: map[string]int64{AnyPurpose: 1}}, clock, counts)
	broken := refuse(contracts.Unavailable, "far", aCall(opRead, 1), 1, "break")
	for range 3 {
		_, err := Chain(answers(nil, broken), l.Stage)(t.Context(), aCall(opRead, 1))
		equal(t, "error", err, broken)
	}
	_, err := Chain(answers(7, nil), l.Stage)(t.Context(), aCall(opRead, 1))
	ok(t, err)
	_, err = Chain(answers(7, nil), l.Stage)(t.Context(), aCall(opRead, 1))
	wantKind(t, err, contracts.Throttled)
}

func TestWithoutACountNothingIsAsked(t *testing.T) {
	t.Parallel()
	counts := newDayCounts()
	_, run := daily(newClock(), counts, 10)
	counts.fail = errors.New("disk")
	_, err := run(t.Context(), aCall(opRead, 1))
	wantKind(t, err, contracts.Unavailable)
	equal(t, "our own refusal", Refused(err), true)
	counts.fail = &contracts.Error{Kind: contracts.Throttled, After: time.Second}
	_, err = run(t.Context(), aCall(opRead, 1))
	equal(t, "after", wantKind(t, err, contracts.Throttled).After, time.Second)
}

func TestTheDayHoldsUnderManyAtOnce(t *testing.T) {
	t.Parallel()
	counts := newDayCounts()
	_, run := daily(newClock(), counts, 500)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		past int
	)
	for range 20 {
		wg.Go(func() {
			for range 50 {
				if _, err := run(t.Context(), aCall(opRead, 1)); err == nil {
					mu.Lock()
					past++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	equal(t, "passed", past, 500)
}

func TestPurposesStayBounded(t *testing.T) {
	t.Parallel()
	l := NewLimiter("far", LimitConfig{PerDay: map[string]int64{AnyPurpose: 1}}, newClock(), newDayCounts())
	run := Chain(answers(7, nil), l.Stage)
	var err error
	for i := range maxPurposes + 1 {
		c := aCall(opRead, 1)
		c.Caller.Purpose = string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		_, err = run(t.Context(), c)
	}
	wantKind(t, err, contracts.Throttled)
	equal(t, "slots", len(l.days.slots), maxPurposes)
}

func TestAnExchangeWithAPlaceOfTheAdaptersTakesNoneOfOurs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter("far", LimitConfig{Places: 1, Wait: time.Second}, contracts.SystemClock{}, nil)
		run := Chain(answersAfter(10*time.Second, 7), l.Stage)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := run(contracts.WithPlace(t.Context(), "mailbox"), aCall(opRead, 1))
				ok(t, err)
			})
		}
		synctest.Wait()
		equal(t, "places taken", l.State().Taken, 0)
		_, err := run(t.Context(), aCall(opRead, 2))
		ok(t, err)
		wg.Wait()
	})
}
