package lab

import (
	"container/heap"
	"sync"
	"time"
)

// A Clock is a bench's time. A frozen one moves only by Advance, AdvanceTo and Step; a running one goes with the
// system's clock, plus what was advanced. It has the methods of the hub's own clock without importing it, so that one
// Clock can be given to both sides.
//
// Callbacks run one at a time, in order of their instants; a callback may call Now, At and Timer, but not Advance,
// AdvanceTo, Step or Close.
type Clock struct {
	turn sync.Mutex // held by whoever fires waiters; never taken while mu is held

	mu      sync.Mutex
	start   time.Time
	running bool
	offset  time.Duration
	waiters waiterHeap
	seq     uint64
	closed  bool

	kick chan struct{} // tells the running clock's goroutine that the earliest waiter may have changed
	done chan struct{}
	gone chan struct{}
}

// NewClock is a frozen clock that shows start, in UTC.
func NewClock(start time.Time) *Clock {
	return &Clock{start: start.UTC().Round(0)}
}

// RunningClock goes with the system's clock. It owns one goroutine until Close.
func RunningClock() *Clock {
	c := &Clock{running: true, kick: make(chan struct{}, 1), done: make(chan struct{}), gone: make(chan struct{})}
	go c.run()
	return c
}

// Now is the present instant, in UTC, without a monotonic reading: instants of this clock are compared by the wall.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	if c.running {
		return time.Now().UTC().Round(0).Add(c.offset)
	}
	return c.start.Add(c.offset)
}

// Timer gives a channel that receives once, when the clock reaches at, and a function that drops the timer. An instant
// that has passed already fires at once.
func (c *Clock) Timer(at time.Time) (<-chan time.Time, func()) {
	ch := make(chan time.Time, 1)
	c.mu.Lock()
	defer c.nudge()
	defer c.mu.Unlock()
	if now := c.now(); !at.After(now) {
		ch <- now
		return ch, func() {}
	}
	w := c.add(at)
	w.ch = ch
	return ch, func() { c.remove(w) }
}

// At has fn called when the clock reaches at: by Advance, AdvanceTo or Step on a frozen clock, before they return; by
// the clock's goroutine, or by Advance, on a running one. An instant that has passed already is due at the next of
// these, even by zero, so that fn never runs under the caller's own locks; Next reports it. stop drops the callback; it
// does not wait for one that is running.
func (c *Clock) At(at time.Time, fn func()) (stop func()) {
	c.mu.Lock()
	w := c.add(at)
	w.fn = fn
	c.mu.Unlock()
	c.nudge()
	return func() { c.remove(w) }
}

// Advance moves the clock by d (negative counts as zero) and fires, in order of time, everything that becomes due on
// the way; while a waiter fires, Now shows its instant.
func (c *Clock) Advance(d time.Duration) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.advance(max(d, 0))
}

// AdvanceTo moves the clock forward to t; an instant in the past moves nothing but still fires what is due.
func (c *Clock) AdvanceTo(t time.Time) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.advance(max(t.Sub(c.Now()), 0))
}

func (c *Clock) advance(left time.Duration) {
	for {
		c.mu.Lock()
		if len(c.waiters) > 0 {
			if wait := c.waiters[0].at.Sub(c.now()); wait <= left {
				wait = max(wait, 0)
				c.offset += wait
				left -= wait
				w := heap.Pop(&c.waiters).(*waiter)
				now := c.now()
				c.mu.Unlock()
				w.fire(now)
				continue
			}
		}
		c.offset += left
		c.mu.Unlock()
		c.nudge()
		return
	}
}

// Step sets the clock by d at once, also backwards, as an operator or a time server would. What is due afterwards fires
// with Now already at the new instant; what was due in an hour before a step back of an hour is due in two.
func (c *Clock) Step(d time.Duration) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	c.offset += d
	c.mu.Unlock()
	c.advance(0)
}

// Next is the instant of the earliest timer or callback, false when nothing waits. It may lie in the past: see At.
func (c *Clock) Next() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiters) == 0 {
		return time.Time{}, false
	}
	return c.waiters[0].at, true
}

// Close ends a running clock's goroutine and waits for it; timers and callbacks that wait will not fire any more by
// themselves. Closing again, or closing a frozen clock, is harmless.
func (c *Clock) Close() {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if !c.running {
		return
	}
	if first {
		close(c.done)
	}
	<-c.gone
}

// run fires what real time makes due.
func (c *Clock) run() {
	defer close(c.gone)
	for {
		var wake <-chan time.Time
		var timer *time.Timer
		if at, ok := c.Next(); ok {
			timer = time.NewTimer(at.Sub(c.Now()))
			wake = timer.C
		}
		select {
		case <-c.done:
		case <-c.kick:
		case <-wake:
			c.turn.Lock()
			c.advance(0)
			c.turn.Unlock()
		}
		if timer != nil {
			timer.Stop()
		}
		select {
		case <-c.done:
			return
		default:
		}
	}
}

func (c *Clock) nudge() {
	if !c.running {
		return
	}
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

func (c *Clock) add(at time.Time) *waiter {
	c.seq++
	w := &waiter{at: at.UTC().Round(0), seq: c.seq}
	heap.Push(&c.waiters, w)
	return w
}

func (c *Clock) remove(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.index >= 0 {
		heap.Remove(&c.waiters, w.index)
	}
}

// A waiter is a timer (ch) or a callback (fn); equal instants fire in order of registration.
type waiter struct {
	at    time.Time
	seq   uint64
	index int // in the heap; -1 when no longer there
	ch    chan time.Time
	fn    func()
}

func (w *waiter) fire(now time.Time) {
	if w.fn != nil {
		w.fn()
		return
	}
	w.ch <- now
}

type waiterHeap []*waiter

func (h waiterHeap) Len() int { return len(h) }
func (h waiterHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}

func (h waiterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *waiterHeap) Push(x any) {
	w := x.(*waiter)
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *waiterHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.index = -1
	return w
}
