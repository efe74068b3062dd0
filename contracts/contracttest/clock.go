package contracttest

import (
	"sync"
	"time"

	"raccordo/contracts"
)

// A Clock is a contracts.Clock that stands still until it is moved, and fires its timers then. It is safe for concurrent
// use. A bench of mocks brings a clock of its own, which moves them too.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[chan time.Time]time.Time
	asked  chan struct{}
}

const maxAsked = 1000 // timers told to Asked that nobody has heard of yet

// NewClock is a clock that shows now.
func NewClock(now time.Time) *Clock {
	return &Clock{now: now, timers: map[chan time.Time]time.Time{}, asked: make(chan struct{}, maxAsked)}
}

var _ contracts.Clock = (*Clock)(nil)

// Now is the instant at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Timer fires when the clock is moved to at or beyond it; at once where it stands there already.
func (c *Clock) Timer(at time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	if !at.After(c.now) {
		ch <- c.now
	} else {
		c.timers[ch] = at
	}
	select {
	case c.asked <- struct{}{}:
	default:
	}
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, ch)
	}
}

// Asked receives once for each timer made, so that a test can wait, in real time, until somebody sleeps. It keeps the
// first 1,000 that nobody received.
func (c *Clock) Asked() <-chan struct{} { return c.asked }

// Advance moves the clock by d, which may be negative, and fires what has come due.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(c.now.Add(d))
}

// Set moves the clock to an instant, in whichever direction, and fires what has come due.
func (c *Clock) Set(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(to)
}

func (c *Clock) set(to time.Time) {
	c.now = to
	for ch, at := range c.timers {
		if !at.After(to) {
			ch <- to
			delete(c.timers, ch)
		}
	}
}
