package pec

import (
	"math/rand/v2"
	"sync"
	"time"

	"raccordo/contracts"
)

// A gate says when a mailbox may send: within its rate, not while its server keeps us out, and not while its own quota
// leaves too little room for receipts. Who else sends at present is the pool's affair. Times are the Clock's.
type gate struct {
	rate   int
	quota  int64 // configured; the server's own, where it tells, comes before it
	jitter func() float64

	mu      sync.Mutex
	turns   []time.Time // ends of the last rate submissions, oldest first
	until   time.Time   // kept out until then
	length  time.Duration
	why     contracts.Kind
	fails   int   // in a row
	refused int   // messages refused for good, in a row
	used    int64 // bytes in the mailbox, when it was last measured
	limit   int64 // zero: unknown
	due     int64 // bytes of receipts asked for since then
}

const (
	minute       = time.Minute // by which providers count
	firstAway    = 15 * time.Second
	longestAway  = 15 * time.Minute
	refusedInRow = 5 // messages refused for good after which it is rather the mailbox
)

func newGate(m Mailbox) gate {
	return gate{rate: m.PerMinute, quota: m.Quota, jitter: rand.Float64}
}

// state tells whether whole messages must not come back any more, and which share of the minute's rate is used.
func (g *gate) state(now time.Time) (tight bool, load float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(now)
	return g.fill() >= fillSparse, float64(len(g.turns)) / float64(g.rate)
}

// opens tells when the gate opens: now or before, then it is open; zero, when nobody knows, for the mailbox is full. why
// is what keeps it shut.
func (g *gate) opens(now time.Time) (at time.Time, why contracts.Kind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(now)
	if g.fill() >= fillAlarm {
		return time.Time{}, contracts.Conflict
	}
	at, why = now, contracts.Throttled
	if len(g.turns) >= g.rate {
		at = g.turns[len(g.turns)-g.rate].Add(minute)
	}
	if g.until.After(at) {
		at, why = g.until, g.why
	}
	return at, why
}

// forget drops turns that no minute holds any more, and brings what lies in the future back: a clock that was set must
// not stop the mailbox.
func (g *gate) forget(now time.Time) {
	for i := len(g.turns) - 1; i >= 0 && g.turns[i].After(now); i-- {
		g.turns[i] = now
	}
	for len(g.turns) > 0 && now.Sub(g.turns[0]) >= minute {
		g.turns = g.turns[1:]
	}
	if latest := now.Add(g.length); g.until.After(latest) {
		g.until = latest
	}
}

// spent counts a submission that reached the server, when it is over: the provider counted it somewhere before, so that
// no minute of the provider's holds more than the rate. A token bucket would let twice as many pass in its first minute.
func (g *gate) spent(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(now)
	g.turns = append(g.turns, now)
}

// took notes that a message was taken, and the receipts that it will bring. changed: there had been trouble.
func (g *gate) took(receipts int64) (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	changed = g.fails > 0
	g.fails, g.refused, g.until = 0, 0, time.Time{}
	g.due += receipts
	return changed
}

// shut keeps the mailbox out after trouble: longer each time, with jitter, and least for what the server or an operator's
// setting asks. changed: it is trouble of another kind than the last time, or the first.
func (g *gate) shut(now time.Time, why contracts.Kind, least time.Duration) (until time.Time, changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	changed = g.fails == 0 || g.why != why
	wait := backoff(g.fails, g.jitter)
	if why == contracts.Throttled {
		wait = 0 // the minute that it names is enough, however often
	}
	g.fails++
	g.why = why
	g.length = max(wait, least)
	g.until = now.Add(g.length)
	return g.until, changed
}

// backoff is the wait after the n+1st failure in a row: half of a bound that doubles, and the other half by chance.
func backoff(n int, jitter func() float64) time.Duration {
	bound := min(firstAway<<min(n, 10), longestAway)
	return bound/2 + time.Duration(jitter()*float64(bound/2))
}

// pardon opens the gate again where it was shut because the log-in was refused: the password is another.
func (g *gate) pardon() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why == contracts.Denied {
		g.until = time.Time{}
	}
}

// denied counts a message that the server refused for good, and tells whether it is one too many in a row.
func (g *gate) denied() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused++
	if g.refused < refusedInRow {
		return false
	}
	g.refused = 0
	return true
}

// measured sets what the server says of the mailbox's quota: bytes used, and the limit (zero: it does not tell).
func (g *gate) measured(used, limit int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used, g.limit, g.due = used, limit, 0
}

// tight reports whether whole messages must not come back any more: from fillSparse on. From fillAlarm on nothing is sent,
// for the receipts on their way need the rest.
func (g *gate) tight() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fill() >= fillSparse
}

// full reports whether receipts may have been lost for lack of room.
func (g *gate) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fill() >= fillAlarm
}

// fill is the share of the quota that is used, or is about to be; zero when no quota is known.
func (g *gate) fill() float64 {
	limit := g.limit
	if limit == 0 {
		limit = g.quota
	}
	if limit == 0 {
		return 0
	}
	return float64(g.used+g.due) / float64(limit)
}
