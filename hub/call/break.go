package call

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"raccordo/contracts"
)

// A Breaker stops asking one adapter instance that does not answer, or answers too slowly, and asks again with care. It
// is safe for concurrent use.
//
// Two gobreakers count: failed exchanges, and slow ones. Their own open time is a nanosecond; the break is kept here, on
// the Clock, with a length that grows while the far side keeps failing. A success is an exchange that the far side
// answered, be it with NotFound or Denied. Throttled, Internal (our own fault) and a caller's giving up count neither way;
// neither does a deadline that left the far side less than Slow to answer in, so that a hasty caller cannot shut out the
// others.
type Breaker struct {
	instance string
	cfg      BreakConfig
	clock    contracts.Clock
	jitter   func() float64 // 0 to 1

	// mu is never held while a gobreaker is called: gobreaker tells of changes under its own lock, and those take mu.
	mu       sync.Mutex
	pair     *pair
	isolated string    // the operator's reason; empty: not isolated
	until    time.Time // end of the break
	length   time.Duration
	breaks   int // in a row
	changed  time.Time
}

// A pair is the two gobreakers between one closing by hand and the next.
type pair struct {
	failures, slowness *gobreaker.CircuitBreaker[struct{}]
	tripped            [2]bool // under Breaker.mu
}

// Which of the pair.
const (
	byFailures = iota
	bySlowness
)

// What the gobreakers are told, as errors, since that is what they take. No error is a success.
var (
	errFailed   = errors.New("failed")
	errSlow     = errors.New("slow")
	errExcluded = errors.New("neither")
)

// NewBreaker makes a Breaker, closed; cfg must be valid.
func NewBreaker(instance string, cfg BreakConfig, clock contracts.Clock) *Breaker {
	b := &Breaker{instance: instance, cfg: cfg, clock: clock, jitter: rand.Float64, changed: clock.Now()}
	b.pair = b.newPair()
	return b
}

func (b *Breaker) newPair() *pair {
	p := &pair{}
	p.failures = b.gobreaker(p, byFailures, b.cfg.Failures)
	p.slowness = b.gobreaker(p, bySlowness, b.cfg.SlowShare)
	return p
}

func (b *Breaker) gobreaker(p *pair, which int, limit float64) *gobreaker.CircuitBreaker[struct{}] {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  uint32(b.cfg.Probes),
		Interval:     b.cfg.Window,
		BucketPeriod: b.cfg.Window / 10,
		Timeout:      time.Nanosecond,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			ended := n.TotalFailures + n.TotalSuccesses // Requests has those in flight as well
			return int(ended) >= b.cfg.Volume && float64(n.TotalFailures) >= limit*float64(ended)
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errExcluded) || isGobreakers(err) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				b.trip(p, which)
			case gobreaker.StateClosed:
				b.recovered(p, which)
			}
		},
	})
}

func isGobreakers(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}

// Stage refuses during a break and while isolated: Unavailable, with After, marked as Refused. After a break only a few
// probes pass, each under its own deadline.
func (b *Breaker) Stage(next Func) Func {
	return func(ctx context.Context, c *contracts.Call) (any, error) {
		x := exchange{b: b, next: next, ctx: ctx, c: c}
		if x.pair, x.err = b.enter(c); x.err != nil {
			return nil, x.err
		}
		_, err := x.pair.failures.Execute(x.counted)
		if isGobreakers(err) {
			return nil, refuse(contracts.Unavailable, b.instance, c, b.cfg.Probe, "break over, probes under way: come back later")
		}
		return x.out, x.err
	}
}

// An exchange is one passage through the pair. It carries answer and error past the gobreakers, which are told verdicts.
type exchange struct {
	b    *Breaker
	pair *pair
	next Func
	ctx  context.Context
	c    *contracts.Call

	failed error // verdict for pair.failures
	out    any
	err    error
}

func (x *exchange) counted() (struct{}, error) {
	_, err := x.pair.slowness.Execute(x.timed)
	if isGobreakers(err) {
		return struct{}{}, err
	}
	return struct{}{}, x.failed
}

func (x *exchange) timed() (struct{}, error) {
	// A break may have begun since enter, and gobreaker, whose own open time is over at once, let this in as a probe.
	p, err := x.b.enter(x.c)
	if err == nil && p != x.pair {
		err = refuse(contracts.Unavailable, x.b.instance, x.c, 0, "closed by hand just now: come back at once")
	}
	if err != nil {
		x.failed, x.err = errExcluded, err
		return struct{}{}, errExcluded
	}
	ctx := x.ctx
	probing := x.b.probing(x.pair)
	if probing {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.b.cfg.Probe)
		defer cancel()
	}
	start := time.Now()
	x.out, x.err = x.next(ctx, x.c)
	took := time.Since(start)
	var slow error
	x.failed, slow = x.b.judge(x.ctx, x.err, took)
	if probing && x.err != nil && contracts.KindOf(x.err) == contracts.Canceled && x.ctx.Err() == nil {
		x.err = &contracts.Error{Kind: contracts.Unavailable, System: x.b.instance, Operation: x.c.Op.Name, Err: x.err}
	}
	return struct{}{}, slow
}

// judge tells what an exchange says of the far side: the verdicts for the two gobreakers. ctx is the caller's.
func (b *Breaker) judge(ctx context.Context, err error, took time.Duration) (failed, slow error) {
	if took >= b.cfg.Slow {
		slow = errSlow
	}
	if err == nil {
		return nil, slow
	}
	if Refused(err) {
		return errExcluded, errExcluded
	}
	switch contracts.KindOf(err) {
	case contracts.Throttled, contracts.Internal:
		return errExcluded, errExcluded
	case contracts.Canceled:
		if slow == nil {
			return errExcluded, errExcluded
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return errExcluded, slow
		}
		return errFailed, slow // a deadline passed, and there had been time to answer
	case contracts.NotFound, contracts.Invalid, contracts.Denied, contracts.Conflict, contracts.Pending:
		return nil, slow
	}
	return errFailed, slow
}

func (b *Breaker) enter(c *contracts.Call) (*pair, error) {
	b.mu.Lock()
	p, isolated, until := b.pair, b.isolated, b.until
	broken := p.broken()
	b.mu.Unlock()
	if isolated != "" {
		return nil, refuse(contracts.Unavailable, b.instance, c, b.cfg.MaxBreak, "isolated by an operator: %s", isolated)
	}
	if broken {
		if left := until.Sub(b.clock.Now()); left > 0 {
			return nil, refuse(contracts.Unavailable, b.instance, c, left, "not asked during a break: the far side failed or was slow too often")
		}
	}
	return p, nil
}

// broken reports whether either of the pair has tripped and not recovered; Breaker.mu is held.
func (p *pair) broken() bool { return p.tripped[byFailures] || p.tripped[bySlowness] }

func (b *Breaker) probing(p *pair) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.broken()
}

// trip begins a break. It runs under a gobreaker's lock.
func (b *Breaker) trip(p *pair, which int) {
	now := b.clock.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p != b.pair {
		return // closed by hand meanwhile
	}
	if p.broken() && now.Before(b.until) {
		p.tripped[which] = true // the other one has begun this break
		return
	}
	// One break follows another when the far side did not hold out, since it recovered, for as long as it was left alone.
	if p.broken() || b.breaks > 0 && now.Sub(b.changed) < b.length {
		b.breaks++
	} else {
		b.breaks = 1
	}
	p.tripped[which] = true
	b.length = b.breakOf(b.breaks)
	b.until, b.changed = now.Add(b.length), now
}

// breakOf is the length of the n-th break in a row: doubling, capped, and up to a fifth shorter by jitter.
func (b *Breaker) breakOf(n int) time.Duration {
	d := b.cfg.Break
	for i := 1; i < n && d < b.cfg.MaxBreak; i++ {
		d *= 2
	}
	d = min(d, b.cfg.MaxBreak)
	return max(1, d-time.Duration(b.jitter()*float64(d)/5))
}

func (b *Breaker) recovered(p *pair, which int) {
	now := b.clock.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	p.tripped[which] = false
	if p == b.pair && !p.broken() {
		b.changed = now
	}
}

// Isolate refuses every exchange from now on, with the operator's reason, until Close. The reason must be free of
// personal data; it reaches callers.
func (b *Breaker) Isolate(reason string) {
	if reason == "" {
		reason = "no reason given"
	}
	now := b.clock.Now()
	b.mu.Lock()
	b.isolated, b.changed = reason, now
	b.mu.Unlock()
}

// Close ends isolation and break by hand: the counts begin anew, and so do the breaks. Exchanges under way count no more.
func (b *Breaker) Close() {
	p, now := b.newPair(), b.clock.Now()
	b.mu.Lock()
	b.pair, b.isolated, b.until, b.length, b.breaks, b.changed = p, "", time.Time{}, 0, 0, now
	b.mu.Unlock()
}

// A BreakPhase is where a Breaker stands.
type BreakPhase string

// The phases.
const (
	Closed   BreakPhase = "closed"    // all is let through
	Open     BreakPhase = "open"      // a break: nothing is let through
	HalfOpen BreakPhase = "half_open" // the break is over; probes decide
	Isolated BreakPhase = "isolated"  // by hand
)

// BreakState is a Breaker at one instant, for metrics and the console.
type BreakState struct {
	Phase   BreakPhase
	Since   time.Time     // of the last change that was noticed
	Until   time.Time     // with Open: the end of the break
	Length  time.Duration // of the present or last break
	Breaks  int           // in a row
	Reason  string        // with Isolated: the operator's
	Counted int           // exchanges in the window
	Failed  int
	Slow    int
}

// State tells how the Breaker stands.
func (b *Breaker) State() BreakState {
	now := b.clock.Now()
	b.mu.Lock()
	p := b.pair
	s := BreakState{Phase: Closed, Since: b.changed, Length: b.length, Breaks: b.breaks, Reason: b.isolated}
	switch {
	case b.isolated != "":
		s.Phase = Isolated
	case p.broken() && now.Before(b.until):
		s.Phase, s.Until = Open, b.until
	case p.broken():
		s.Phase = HalfOpen
	}
	b.mu.Unlock()
	failures, slowness := p.failures.Counts(), p.slowness.Counts()
	s.Counted = int(failures.TotalFailures + failures.TotalSuccesses)
	s.Failed, s.Slow = int(failures.TotalFailures), int(slowness.TotalFailures)
	return s
}
