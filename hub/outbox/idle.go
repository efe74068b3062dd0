package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// Idle reports whether nothing is in flight and nothing is due at the clock's present instant, and when something falls
// due next (zero: nothing will by itself). It is computed from the rows: what is due but not yet claimed is not quiet, so
// that a clock may be moved whenever Idle is quiet. A submission, claim or exchange under way is not quiet either.
//
// It may be asked in a loop: while nothing happens the rows are read once.
func (b *Box) Idle() (next time.Time, quiet bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for range 3 {
		gen := b.gen.Load()
		if b.busy.Load() > 0 {
			return time.Time{}, false
		}
		now := b.now()
		c := b.known(gen, now)
		if c == nil {
			p, err := b.look(ctx, now)
			if err != nil {
				b.log.Warn("outbox: whether anything is due cannot be read", slog.Any("error", err))
				return time.Time{}, false
			}
			if p.inFlight || p.due() || p.next <= now {
				return time.Time{}, false
			}
			c = &calm{gen: gen, at: now, next: p.next, full: p.full}
			b.mu.Lock()
			b.calm = c
			b.mu.Unlock()
		}
		if b.gen.Load() != gen || b.busy.Load() > 0 {
			continue
		}
		if c.next == never {
			return time.Time{}, true
		}
		return time.Unix(0, c.next).UTC(), true
	}
	return time.Time{}, false
}

// A calm is what Idle has found out, and how long it holds: until something happens or the clock leaves at..next.
type calm struct {
	gen      uint64
	at, next int64
	full     []group // pools whose tickets wait for a place
}

// known gives what Idle found out before, if it still holds. Whether a place has come free only the adapters can tell.
func (b *Box) known(gen uint64, now int64) *calm {
	b.mu.Lock()
	c := b.calm
	b.mu.Unlock()
	if b.shared || c == nil || c.gen != gen || now < c.at || now >= c.next {
		return nil
	}
	for _, g := range c.full {
		p := &plan{next: never}
		free := b.place(p, g, b.desk.Binding(g.op, g.at), now)
		if free != nil {
			free.release()
		}
		if free != nil || p.next < c.next {
			return nil
		}
	}
	return c
}

// look reads the rows once.
func (b *Box) look(ctx context.Context, now int64) (p *plan, err error) {
	err = b.store.Read(ctx, func(v *store.View) (err error) {
		if p, err = b.survey(v, now, 1); err != nil {
			return err
		}
		var n int64
		err = v.QueryRow(selectRunning).Scan(&n)
		p.inFlight = err == nil
		if noRows(err) {
			err = nil
		}
		return err
	})
	if p != nil && p.giveBack() { // somebody may have looked for a place in between
		b.ring()
	}
	return p, err
}

// Stats is how much there is, for metrics.
type Stats struct {
	States   map[contracts.State]int // how many tickets per state, settled ones within their retention
	Lots     int                     // lists handed over or about to be
	Oldest   time.Duration           // age of the oldest unsettled ticket
	DueSoon  int                     // unsettled, and their callers' deadline is within Config.Warn
	Overdue  int                     // unsettled, and their callers' deadline has passed
	InFlight int                     // exchanges under way
	Workers  int
}

// Stats counts. It reads an index from end to end: for every few seconds, not for every call.
func (b *Box) Stats(ctx context.Context) (s Stats, err error) {
	now := b.now()
	err = b.store.Read(ctx, func(v *store.View) error {
		s = Stats{States: map[contracts.State]int{}, Workers: b.cfg.Workers}
		rows, err := v.Query(`SELECT state, count(*), min(n) FROM outbox_ticket GROUP BY state`)
		if err != nil {
			return fmt.Errorf("count tickets: %w", err)
		}
		defer rows.Close()
		var first int64
		for rows.Next() {
			var (
				state contracts.State
				n     int
				least int64
			)
			if err := rows.Scan(&state, &n, &least); err != nil {
				return fmt.Errorf("count tickets: %w", err)
			}
			s.States[state] = n
			if !state.Settled() && (first == 0 || least < first) {
				first = least
			}
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("count tickets: %w", err)
		}
		if first > 0 {
			var since int64
			if err := v.QueryRow(`SELECT since FROM outbox_ticket WHERE n = ?`, first).Scan(&since); err != nil {
				return fmt.Errorf("count tickets: %w", err)
			}
			s.Oldest = time.Duration(now - since)
		}
		err = v.QueryRow(`SELECT count(*), coalesce(sum(due <= ?), 0) FROM outbox_ticket
			WHERE ended = 0 AND due < 9223372036854775807 AND due <= ?`, now, now+int64(b.cfg.Warn)).Scan(&s.DueSoon, &s.Overdue)
		if err != nil {
			return fmt.Errorf("count tickets: %w", err)
		}
		s.DueSoon -= s.Overdue
		return v.QueryRow(`SELECT count(*) FROM outbox_lot`).Scan(&s.Lots)
	})
	b.mu.Lock()
	s.InFlight = len(b.jobs)
	b.mu.Unlock()
	return s, err
}

// sweep deletes what is beyond its retention, in small batches, and warns of deadlines about to be missed.
func (b *Box) sweep(ctx context.Context) {
	before := b.clock.Now().Add(-b.cfg.Retention)
	for deleted := 1; deleted > 0 && ctx.Err() == nil; {
		err := b.store.Write(ctx, store.Start, func(tx *store.Tx) error {
			all, err := numbers(tx, selectEnded, nanos(before))
			if err != nil {
				return err
			}
			deleted = len(all)
			for _, n := range all {
				for _, text := range []string{
					`DELETE FROM outbox_hold WHERE id = (SELECT id FROM outbox_ticket WHERE n = ?)`,
					`DELETE FROM outbox_request WHERE n = ?`, `DELETE FROM outbox_slim WHERE n = ?`,
					`DELETE FROM outbox_ticket WHERE n = ?`,
				} {
					if _, err := tx.Exec(text, n); err != nil {
						return fmt.Errorf("delete old tickets: %w", err)
					}
				}
			}
			return nil
		})
		if err != nil {
			b.log.Warn("outbox: old tickets could not be deleted", slog.Any("error", err))
			return
		}
	}
	if s, err := b.Stats(ctx); err == nil && s.DueSoon+s.Overdue > 0 {
		b.log.Warn("outbox: callers' deadlines are about to be missed, or were", slog.Int("soon", s.DueSoon), slog.Int("missed", s.Overdue))
	}
}

// Wait gives the ticket when it is settled, or as it stands when ctx ends.
func (b *Box) Wait(ctx context.Context, id string) (contracts.Ticket, error) {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	if b.waiting[id] == nil {
		b.waiting[id] = map[chan struct{}]struct{}{}
	}
	b.waiting[id][c] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting[id], c)
		if len(b.waiting[id]) == 0 {
			delete(b.waiting, id)
		}
	}()
	for {
		// The present state is wanted even when ctx has ended.
		t, err := b.Ticket(context.WithoutCancel(ctx), "", id)
		if err != nil || t.State.Settled() || ctx.Err() != nil {
			return t, err
		}
		again := time.NewTimer(look) // of a store that others share nobody tells us
		select {
		case <-c:
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
	}
}

// notify wakes those who wait for a ticket.
func (b *Box) notify(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.waiting[id] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
