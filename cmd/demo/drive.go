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

// How long to wait, in real time, before looking again whether everybody has finished: looking costs the hub a question
// to its store, so that a hub which has much to do is asked less often.
const (
	look     = 200 * time.Microsecond
	lookMost = 3 * time.Millisecond
)

// run goes on until the horizon, or until no row can change any more, or ctx ends.
//
// The core works only while everybody else is still: what it hears then, and so what it does next, is the same in every
// run.
func (d *driver) run(ctx context.Context) error {
	wait := look
	for ctx.Err() == nil {
		d.tick()
		var (
			still, work, over bool
			err               error
		)
		d.hub.Still(func(next time.Time) {
			if d.bench.InFlight() > 0 {
				return
			}
			still = true
			var resume time.Time
			if work, resume, err = d.core.due(ctx); err != nil || work {
				return // time does not go on before the core has done what it can
			}
			if over = d.core.over() || !d.bench.Clock().Now().Before(d.horizon); !over {
				d.jump(next, resume)
			}
		})
		switch {
		case err != nil:
			return err
		case over:
			return nil
		case work:
			wait = look
			if err := d.core.work(ctx); err != nil {
				return err
			}
		case still:
			wait = look
		default:
			pause(ctx, wait)
			wait = min(2*wait, lookMost)
		}
	}
	return ctx.Err()
}

// jump moves the clock to whatever falls due next at the hub, at the core or at the mocks.
func (d *driver) jump(instants ...time.Time) {
	if at, ok := d.bench.Clock().Next(); ok {
		instants = append(instants, at)
	}
	next := d.horizon
	for _, at := range instants {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
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
