package call

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"raccordo/contracts"
)

// A Limiter keeps one adapter instance within what its supplier allows. It is safe for concurrent use.
type Limiter struct {
	instance string
	cfg      LimitConfig
	clock    contracts.Clock
	places   chan struct{} // nil: no limit
	bucket   *rate.Limiter // nil: no limit
	days     *days         // nil: no limit
}

// NewLimiter makes a Limiter; cfg must be valid. days keeps the daily counts and may be nil where cfg.PerDay is empty.
func NewLimiter(instance string, cfg LimitConfig, clock contracts.Clock, store DayStore) *Limiter {
	l := &Limiter{instance: instance, cfg: cfg, clock: clock, bucket: bucketOf(cfg.PerSecond, cfg.Burst)}
	if cfg.Places > 0 {
		l.places = make(chan struct{}, cfg.Places)
	}
	if len(cfg.PerDay) > 0 {
		l.days = newDays(instance, cfg.PerDay, clock, store)
	}
	return l
}

// Stage lets an exchange through when the day's allowance of its purpose, a place (the adapter's, where it has reserved one)
// and a token are there. It waits for
// place and token up to the configured time; what would take longer is Throttled, with After, and marked as Refused.
// What was refused further in (by the Breaker, say) is given back to the day.
func (l *Limiter) Stage(next Func) Func {
	return func(ctx context.Context, c *contracts.Call) (any, error) {
		if l.days != nil {
			if err := l.days.take(ctx, c); err != nil {
				return nil, err
			}
		}
		out, err := l.exchange(ctx, c, next)
		if l.days != nil && err != nil && Refused(err) {
			l.days.giveBack(c.Caller.Purpose)
		}
		return out, err
	}
}

func (l *Limiter) exchange(ctx context.Context, c *contracts.Call, next Func) (any, error) {
	patience := l.cfg.Wait
	// Who has a place of the adapter's own takes none of ours: some that hang must not keep the others from theirs.
	if l.places != nil && contracts.PlaceFrom(ctx) == "" {
		waited, err := l.place(ctx, c, patience)
		if err != nil {
			return nil, err
		}
		defer func() { <-l.places }()
		patience -= waited
	}
	if l.bucket != nil {
		if err := l.turn(ctx, c, patience); err != nil {
			return nil, err
		}
	}
	return next(ctx, c)
}

// place takes a place, and tells how long that took.
func (l *Limiter) place(ctx context.Context, c *contracts.Call, patience time.Duration) (time.Duration, error) {
	select {
	case l.places <- struct{}{}:
		return 0, nil
	default:
	}
	start := time.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case l.places <- struct{}{}:
		return time.Since(start), nil
	case <-ctx.Done():
		return 0, l.gone(ctx, c)
	case <-timer.C:
		return 0, refuse(contracts.Throttled, l.instance, c, placeAfter, "our own limit: all %d places are taken", l.cfg.Places)
	}
}

// turn takes a token and waits, in real time, until it is good.
func (l *Limiter) turn(ctx context.Context, c *contracts.Call, patience time.Duration) error {
	now := l.clock.Now()
	if l.bucket.AllowN(now, 1) {
		return nil
	}
	r := l.bucket.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > patience {
		r.CancelAt(now)
		return refuse(contracts.Throttled, l.instance, c, wait, "our own limit: %g exchanges a second", l.cfg.PerSecond)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		r.CancelAt(l.clock.Now())
		return l.gone(ctx, c)
	}
}

// gone is a caller that left before anything was asked.
func (l *Limiter) gone(ctx context.Context, c *contracts.Call) error {
	return &contracts.Error{
		Kind: contracts.Canceled, System: l.instance, Operation: c.Op.Name,
		Err: &refusal{ctx.Err()},
	}
}

// LimitState is a Limiter at one instant, for metrics and the console.
type LimitState struct {
	Taken, Places int     // exchanges in flight, and at most (0: no limit)
	Tokens        float64 // how many could go at once; negative when some are waiting for theirs
}

// State tells how the Limiter stands.
func (l *Limiter) State() LimitState {
	s := LimitState{Taken: len(l.places), Places: l.cfg.Places}
	if l.bucket != nil {
		s.Tokens = l.bucket.TokensAt(l.clock.Now())
	}
	return s
}

// Close gives what is left of the day's batches back to the store, so that a restart costs nothing.
func (l *Limiter) Close(ctx context.Context) error {
	if l.days == nil {
		return nil
	}
	return l.days.close(ctx)
}
