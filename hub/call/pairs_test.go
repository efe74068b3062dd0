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

// A pair is two stages over a far side, in the stated order or swapped.
type pairBench struct {
	proofs  *proofs
	counts  *dayCounts
	admit   *Admission
	share   *Sharer
	limit   *Limiter
	breaker *Breaker
	asked   int
}

func newPairBench() *pairBench {
	clock := contracts.SystemClock{} // the bubble's
	b := &pairBench{proofs: &proofs{}, counts: newDayCounts()}
	b.admit = NewAdmission(AdmitConfig{Budget: time.Minute, Others: CallerLimits{Places: 1}}, clock)
	b.share = NewSharer(ShareConfig{Timeout: time.Minute, Size: 1}, clock, b.proofs)
	b.limit = NewLimiter("far", LimitConfig{Places: 1, PerDay: map[string]int64{AnyPurpose: 5}, Wait: 2 * time.Second}, clock, b.counts)
	cfg := testBreak()
	cfg.Volume, cfg.Probes, cfg.SlowShare = 2, 1, 1
	b.breaker = newTestBreaker(clock, cfg)
	return b
}

// used is what the day's allowance has lost.
func (b *pairBench) used(t *testing.T) int64 {
	ok(t, b.limit.Close(t.Context()))
	return b.counts.of("far/flussi", contracts.SystemClock{}.Now().Format(time.DateOnly))
}

// two runs twins through run, the second while the first is in flight, and counts those that were answered.
func two(t *testing.T, run Func, c func() *contracts.Call) (answered int) {
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	for range 2 {
		wg.Go(func() {
			if _, err := run(t.Context(), c()); err == nil {
				mu.Lock()
				answered++
				mu.Unlock()
			}
		})
		synctest.Wait()
	}
	wg.Wait()
	return answered
}

func twins() *contracts.Call { return aCall(opRead, 1) }

// Every pair of stages, in the order in which they stand in the pipeline: what holds because the first is outside the
// second. Each scenario gives a number; the stated order must give right, the swapped one must not.
func TestEveryPairOfStages(t *testing.T) {
	t.Parallel()
	type stages = func(*pairBench) (outer, inner Stage)
	admit := func(b *pairBench) Stage { return b.admit.Stage }
	record := func(b *pairBench) Stage { return NewRecorder(b.proofs).Stage }
	share := func(b *pairBench) Stage { return b.share.Stage }
	limit := func(b *pairBench) Stage { return b.limit.Stage }
	breaker := func(b *pairBench) Stage { return b.breaker.Stage }
	pair := func(outer, inner func(*pairBench) Stage) stages {
		return func(b *pairBench) (Stage, Stage) { return outer(b), inner(b) }
	}
	invalid := func() *contracts.Call { return aCall(opWrite, -1) }

	for _, tt := range []struct {
		pair     string
		rule     string
		stages   stages
		scenario func(t *testing.T, b *pairBench, chain func(Func) Func) int
		right    int
	}{
		{
			"admit > record", "what is not admitted writes nothing", pair(admit, record),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				_, err := chain(answers(1, nil))(t.Context(), invalid())
				wantKind(t, err, contracts.Invalid)
				return len(b.proofs.intents) + len(b.proofs.all())
			}, 0,
		},
		{
			"admit > share", "a twin takes a place of its caller", pair(admit, share),
			func(t *testing.T, _ *pairBench, chain func(Func) Func) int {
				return two(t, chain(answersAfter(time.Second, 1)), twins)
			}, 1,
		},
		{
			"admit > limit", "what is not admitted costs nothing of the day", pair(admit, limit),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				// A refusal is given back to the day; what is claimed for it is not: the store is asked.
				_, err := chain(answers(1, nil))(t.Context(), invalid())
				wantKind(t, err, contracts.Invalid)
				return b.counts.claims
			}, 0,
		},
		{
			"admit > break", "a wrong request is told so during a break too", pair(admit, breaker),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				trip(b.breaker)
				_, err := chain(answers(1, nil))(t.Context(), invalid())
				return int(contracts.KindOf(err))
			}, int(contracts.Invalid),
		},
		{
			"record > share", "every twin is accounted for", pair(record, share),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				equal(t, "answered", two(t, chain(answersAfter(time.Second, 1)), twins), 2)
				entries := 0
				for _, p := range b.proofs.all() {
					if !p.Own {
						entries++
					}
				}
				return entries
			}, 2,
		},
		{
			"record > limit", "what cannot be proved costs nothing of the day", pair(record, limit),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				b.proofs.fail = errors.New("disk")
				_, err := chain(answers(1, nil))(t.Context(), aCall(opWrite, 1))
				wantKind(t, err, contracts.Unavailable)
				return b.counts.claims
			}, 0,
		},
		{
			"record > break", "a ledger that fails is not the far side's failure", pair(record, breaker),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				b.proofs.fail = errors.New("disk")
				for range 10 {
					_, err := chain(answers(1, nil))(t.Context(), aCall(opRead, 1))
					wantKind(t, err, contracts.Unavailable)
				}
				return b.breaker.State().Failed + b.breaker.State().Breaks
			}, 0,
		},
		{
			"share > limit", "twins take one place and one of the day", pair(share, limit),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				equal(t, "answered", two(t, chain(answersAfter(time.Second, 1)), twins), 2)
				return int(b.used(t))
			}, 1,
		},
		{
			"share > break", "a flight fails once, however many ride", pair(share, breaker),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				fails := func(context.Context, *contracts.Call) (any, error) {
					pause(time.Millisecond)
					return nil, contracts.Unavailable
				}
				equal(t, "answered", two(t, chain(fails), twins), 0)
				return b.breaker.State().Breaks // the volume is two
			}, 0,
		},
		{
			"limit > break", "waiting for our own place is not the far side's slowness", pair(limit, breaker),
			func(t *testing.T, b *pairBench, chain func(Func) Func) int {
				equal(t, "answered", two(t, chain(answersAfter(800*time.Millisecond, 1)), twins), 2)
				return b.breaker.State().Slow
			}, 0,
		},
	} {
		t.Run(tt.pair+": "+tt.rule, func(t *testing.T) {
			t.Parallel()
			for _, swapped := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					b := newPairBench()
					outer, inner := tt.stages(b)
					if swapped {
						outer, inner = inner, outer
					}
					got := tt.scenario(t, b, func(last Func) Func { return Chain(counting(&b.asked, last), outer, inner) })
					b.share.Wait()
					if right := got == tt.right; right == swapped {
						t.Errorf("swapped %t: got %d; the stated order gives %d and the swapped one must not", swapped, got, tt.right)
					}
				})
			}
		})
	}
}
