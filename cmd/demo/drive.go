package main

import (
	"context"
	"time"

	"raccordo/hub"
	"raccordo/mocks/lab"
)

// A driver moves the one clock that hub and mocks share. The clock jumps to whatever falls due next, and only when
// nobody is at work: 72 hours pass in seconds, and nothing that would happen in them is skipped.
type driver struct {
	hub     *hub.Hub
	bench   *lab.Bench
	core    *core
	horizon time.Time
	tick    func() // hears of each round, for the progress line
}

// look is how long to wait, in real time, before looking again whether everybody has finished.
const look = 200 * time.Microsecond

// run goes on until the horizon, or until every row is settled and nothing more can change, or ctx ends.
func (d *driver) run(ctx context.Context) error {
	for ctx.Err() == nil {
		d.tick()
		heard, err := d.core.hear(ctx)
		if err != nil {
			return err
		}
		if heard > 0 {
			continue
		}
		over, jumped := false, false
		d.hub.Still(func(next time.Time) {
			if d.bench.InFlight() > 0 {
				return
			}
			// What was settled since the core last listened must be heard before time goes on.
			if heard, err = d.core.news(ctx); err != nil || heard > 0 {
				return
			}
			if over = d.core.open() == 0 || !d.bench.Clock().Now().Before(d.horizon); !over {
				d.jump(next)
				jumped = true
			}
		})
		switch {
		case err != nil:
			return err
		case over:
			return nil
		case !jumped && heard == 0:
			pause(ctx, look)
		}
	}
	return ctx.Err()
}

// jump moves the clock to whatever falls due next at the hub or at the mocks.
func (d *driver) jump(next time.Time) {
	if at, ok := d.bench.Clock().Next(); ok && (next.IsZero() || at.Before(next)) {
		next = at
	}
	if next.IsZero() || next.After(d.horizon) {
		next = d.horizon
	}
	d.bench.Clock().AdvanceTo(next)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
