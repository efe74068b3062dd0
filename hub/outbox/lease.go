package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"raccordo/hub/store"
)

// revoke takes a job away from a worker that gives no sign of life, as a crash would.
func (b *Box) revoke(ctx context.Context, j *job) {
	b.mu.Lock()
	if j.taken {
		b.mu.Unlock()
		return
	}
	j.taken = true
	b.mu.Unlock()
	j.cancel(errLost)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		if j.list != nil {
			return b.recoverLot(tx, j.id, b.lease, j.fence)
		}
		return b.recoverRow(tx, j.n, b.lease, j.fence)
	})
	if err != nil {
		b.log.Error("outbox: a ticket could not be taken from a worker that hangs", slog.String("ticket", j.id), slog.Any("error", err))
	}
}

// beatUntil stores a sign of life of what is in flight, a few times per lease in real time: a lease is about processes,
// not about instants.
func (b *Box) beatUntil(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(b.cfg.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.beat(ctx)
			if b.shared {
				b.watch(ctx)
			}
		case <-stop:
			return
		}
	}
}

// beat renews the leases of what is in flight, breaks off what was lost, and gives up on workers that have been silent
// beyond the time of an exchange.
func (b *Box) beat(ctx context.Context) {
	var all, hung []*job
	b.mu.Lock()
	for _, j := range b.jobs {
		switch {
		case j.taken:
		case b.mono()-j.began > b.cfg.CallFor+b.cfg.Lease:
			hung = append(hung, j)
		default:
			all = append(all, j)
		}
	}
	b.mu.Unlock()
	for _, j := range hung {
		b.log.Error("outbox: an exchange did not end when its time was over; its ticket is taken away", slog.String("ticket", j.id),
			slog.String("operation", j.op), slog.String("instance", j.at))
		b.revoke(ctx, j)
	}
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Lease/4)
	defer cancel()
	var lost map[*job]bool
	err := b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		lost = map[*job]bool{}
		for _, j := range all {
			text, arg := `UPDATE outbox_ticket SET beat = beat + 1 WHERE n = ? AND lease = ? AND fence = ?`, any(j.n)
			if j.list != nil {
				text, arg = `UPDATE outbox_lot SET beat = beat + 1 WHERE id = ? AND lease = ? AND fence = ?`, any(j.id)
			}
			res, err := tx.Exec(text, arg, b.lease, j.fence)
			if err != nil {
				return fmt.Errorf("renew leases: %w", err)
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				lost[j] = true
			}
		}
		return nil
	})
	now := b.mono()
	for _, j := range all {
		b.mu.Lock()
		if err == nil && !lost[j] {
			j.seen = now
		}
		silent := now - j.seen
		b.mu.Unlock()
		if lost[j] || silent > b.cfg.Lease { // another holds it, or could: no further step
			j.cancel(errLost)
		}
	}
}

// A sighting is a foreign lease as it was last seen to move.
type sighting struct {
	fence, beat int64
	at          time.Duration // monotonic
}

// watch takes over what other processes hold, when it has not moved for a lease of our own monotonic time.
func (b *Box) watch(ctx context.Context) {
	seen := b.foreign
	now := b.mono()
	var lapsed []string
	err := b.store.Read(ctx, func(v *store.View) error {
		lapsed = nil
		rows, err := v.Query(`SELECT id, fence, beat FROM outbox_ticket WHERE state = 'running' AND lot = '' AND lease <> ?1
			UNION ALL SELECT id, fence, beat FROM outbox_lot WHERE lease <> '' AND lease <> ?1 LIMIT 10000`, b.lease)
		if err != nil {
			return err
		}
		defer rows.Close()
		here := map[string]bool{}
		for rows.Next() {
			var (
				id          string
				fence, beat int64
			)
			if err := rows.Scan(&id, &fence, &beat); err != nil {
				return err
			}
			here[id] = true
			old, known := seen[id]
			if !known || old.fence != fence || old.beat != beat {
				seen[id] = sighting{fence, beat, now}
			} else if now-old.at > b.cfg.Lease {
				lapsed = append(lapsed, id)
			}
		}
		for id := range seen {
			if !here[id] {
				delete(seen, id)
			}
		}
		return rows.Err()
	})
	if err != nil {
		b.log.Warn("outbox: the leases of other processes cannot be read", slog.Any("error", err))
		return
	}
	for _, id := range lapsed {
		if err := b.takeLapsed(ctx, id, seen[id]); err != nil {
			b.log.Warn("outbox: a lost lease could not be taken over", slog.Any("error", err))
		}
	}
}

func (b *Box) takeLapsed(ctx context.Context, id string, s sighting) error {
	return b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		l, err := loadLot(tx, id)
		if err == nil {
			if l.fence != s.fence || l.beat != s.beat {
				return nil
			}
			return b.recoverLot(tx, id, l.lease, l.fence)
		}
		if !noRows(err) {
			return err
		}
		r, err := byID(tx, id)
		if err != nil || r.fence != s.fence || r.beat != s.beat {
			return err
		}
		return b.recoverRow(tx, r.n, r.lease, r.fence)
	})
}
