package contracts

import (
	"context"
	"time"
)

// A Clock tells the time and waits for it: the system's, or a bench's that jumps. Everything compared with an instant
// that is stored or on the wire, and every wait longer than two seconds, goes by it; shorter waits inside a call and
// I/O deadlines are real time. A Clock never orders a lane.
type Clock interface {
	// Now is the present instant.
	Now() time.Time
	// Timer gives a channel that receives once, when the clock reaches at, and a function that drops the timer. The
	// function must be called when the channel is no longer wanted; calling it twice is harmless.
	Timer(at time.Time) (<-chan time.Time, func())
}

// SystemClock is the machine's own clock.
type SystemClock struct{}

// Now is time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// Timer fires at the wall-clock instant at.
func (SystemClock) Timer(at time.Time) (<-chan time.Time, func()) {
	t := time.NewTimer(time.Until(at))
	return t.C, func() { t.Stop() }
}

// Sleep waits until the clock reaches at, or the context ends; it returns the context's error in that case.
func Sleep(ctx context.Context, clock Clock, at time.Time) error {
	c, stop := clock.Timer(at)
	defer stop()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
