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
		next, quiet := d.hub.Idle()
		if !quiet || d.bench.InFlight() > 0 {
			pause(ctx, look)
			continue
		}
		if heard, err = d.core.hear(ctx); err != nil { // what was settled between the two looks
			return err
		} else if heard > 0 {
			continue
		}
		if d.core.open() == 0 || !d.bench.Clock().Now().Before(d.horizon) {
			return nil
		}
		if at, ok := d.bench.Clock().Next(); ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
		if next.IsZero() || next.After(d.horizon) {
			next = d.horizon
		}
		d.bench.Clock().AdvanceTo(next)
	}
	return ctx.Err()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
