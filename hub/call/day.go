package call

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // midnight in Rome must be known on any machine

	"raccordo/contracts"
)

// A DayStore keeps the daily counts, so that they survive a restart. NewDayStore makes the one over hub/store.
type DayStore interface {
	// Claim adds up to n to what key has used on day (yyyy-mm-dd), without exceeding limit, and tells how much it added.
	// It is stored when Claim returns.
	Claim(ctx context.Context, key, day string, n, limit int64) (int64, error)
	// Return takes n off again.
	Return(ctx context.Context, key, day string, n int64) error
}

const (
	maxBatch    = 50   // allowance claimed at once, so that not every exchange commits; a crash loses what is left of it
	batchShare  = 100  // and at most one part in so many of a day's allowance
	maxPurposes = 1024 // counted one by one per instance
)

// days hands out the day's allowances of one instance, by purpose.
type days struct {
	instance string
	limits   map[string]int64
	clock    contracts.Clock
	store    DayStore
	rome     *time.Location

	mu    sync.Mutex
	slots map[string]*daySlot
}

// A daySlot is the batch in hand of one purpose. Whoever holds the one place in lock may use the rest.
type daySlot struct {
	lock  chan struct{}
	limit int64
	day   string
	until time.Time // the midnight that ends day
	since time.Time // and the one that began it
	left  int64
	spent bool // the store has no more for day
}

func newDays(instance string, limits map[string]int64, clock contracts.Clock, store DayStore) *days {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic(fmt.Sprintf("hub/call: %v", err)) // time/tzdata is linked in
	}
	return &days{instance: instance, limits: limits, clock: clock, store: store, rome: rome, slots: map[string]*daySlot{}}
}

// take uses one of the day's allowance, claiming a new batch when the one in hand is used up.
func (d *days) take(ctx context.Context, c *contracts.Call) error {
	s, err := d.slot(c)
	if s == nil {
		return err
	}
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return &contracts.Error{Kind: contracts.Canceled, System: d.instance, Operation: c.Op.Name, Err: &refusal{ctx.Err()}}
	}
	defer func() { <-s.lock }()

	now := d.clock.Now()
	d.turnPage(s, now)
	if s.left == 0 && !s.spent {
		n := min(maxBatch, max(1, s.limit/batchShare))
		got, err := d.store.Claim(ctx, d.key(c.Caller.Purpose), s.day, n, s.limit)
		if err != nil {
			return unstored(err, d.instance, c, "daily count")
		}
		s.left, s.spent = got, got == 0
	}
	if s.left == 0 {
		return refuse(contracts.Throttled, d.instance, c, s.until.Sub(now),
			"our own limit: %d exchanges a day for this purpose; the next day begins at midnight in Rome", s.limit)
	}
	s.left--
	return nil
}

// giveBack undoes a take of the same day, for an exchange that never left.
func (d *days) giveBack(purpose string) {
	d.mu.Lock()
	s := d.slots[purpose]
	d.mu.Unlock()
	if s == nil {
		return
	}
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	d.turnPage(s, d.clock.Now())
	if s.day != "" {
		s.left++
	}
}

// turnPage begins a new day where now lies outside the slot's. What was left of the old one is let go.
func (d *days) turnPage(s *daySlot, now time.Time) {
	if !now.Before(s.since) && now.Before(s.until) {
		return
	}
	y, m, day := now.In(d.rome).Date()
	s.since = time.Date(y, m, day, 0, 0, 0, 0, d.rome)
	s.until = time.Date(y, m, day+1, 0, 0, 0, 0, d.rome)
	s.day = s.since.Format(time.DateOnly)
	s.left, s.spent = 0, false
}

// slot finds the purpose's slot; neither a slot nor an error means that the purpose has no limit.
func (d *days) slot(c *contracts.Call) (*daySlot, error) {
	purpose := c.Caller.Purpose
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.slots[purpose]; s != nil {
		return s, nil
	}
	limit, ok := d.limits[purpose]
	if !ok {
		if limit, ok = d.limits[AnyPurpose]; !ok {
			return nil, nil
		}
	}
	if len(d.slots) >= maxPurposes {
		return nil, refuse(contracts.Throttled, d.instance, c, placeAfter, "more than %d purposes", maxPurposes)
	}
	s := &daySlot{lock: make(chan struct{}, 1), limit: limit}
	d.slots[purpose] = s
	return s, nil
}

func (d *days) key(purpose string) string { return d.instance + "/" + purpose }

// close returns what is left of the batches in hand.
func (d *days) close(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for purpose, s := range d.slots {
		s.lock <- struct{}{}
		if s.left > 0 {
			errs = append(errs, d.store.Return(ctx, d.key(purpose), s.day, s.left))
			s.left = 0
		}
		<-s.lock
	}
	return errors.Join(errs...)
}
