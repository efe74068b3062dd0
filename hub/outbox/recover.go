package outbox

import (
	"context"
	"fmt"
	"log/slog"

	"raccordo/contracts"
	"raccordo/hub/store"
)

const markRecheck = "recheck_until"

// takeOver counts what is there and puts right what a dead process left.
func (b *Box) takeOver(ctx context.Context, recovered bool) error {
	if !b.shared {
		if err := b.takeRunning(ctx); err != nil {
			return err
		}
	}
	return b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		if recovered {
			if err := b.distrust(tx); err != nil {
				return err
			}
		}
		var until int64
		err := tx.QueryRow(`SELECT value FROM outbox_mark WHERE name = ?`, markRecheck).Scan(&until)
		if err != nil && !noRows(err) {
			return fmt.Errorf("read marks: %w", err)
		}
		var open int64
		if err := tx.QueryRow(`SELECT count(*) FROM outbox_ticket WHERE state IN ('queued', 'running', 'waiting', 'uncertain')`).Scan(&open); err != nil {
			return fmt.Errorf("count tickets: %w", err)
		}
		// Whoever can be asked may have changed with the configuration.
		if _, err := tx.Exec(`UPDATE outbox_ticket SET next = ? WHERE state = 'uncertain' AND next = ?`, b.now(), int64(never)); err != nil {
			return fmt.Errorf("wake uncertain tickets: %w", err)
		}
		tx.After(func() {
			b.open.Store(open)
			b.recheckUntil.Store(until)
		})
		return nil
	})
}

// takeRunning puts right every ticket and list that was in a worker's hands. There are at most as many as workers, save
// the members of lists, which their list takes care of.
func (b *Box) takeRunning(ctx context.Context) error {
	return b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE outbox_lot SET lease = '', fence = fence + 1 WHERE lease <> ''`); err != nil {
			return fmt.Errorf("take over lists: %w", err)
		}
		all, err := numbers(tx, `SELECT n FROM outbox_ticket WHERE state = 'running' AND lot = ''`)
		if err != nil {
			return err
		}
		for _, n := range all {
			if err := b.recoverRow(tx, n, "", 0); err != nil {
				return err
			}
		}
		return nil
	})
}

func numbers(q store.Querier, text string, args ...any) (all []int64, err error) {
	rows, err := q.Query(text, args...)
	if err != nil {
		return nil, fmt.Errorf("read tickets: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, fmt.Errorf("read tickets: %w", err)
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

// recoverRow is what a crash makes of a running ticket: a Once that had departed is uncertain, anything else is queued
// again. lease and fence, when given, are those it must still have. A question about an uncertain ticket is only freed.
func (b *Box) recoverRow(tx *store.Tx, n int64, lease string, fence int64) error {
	r, err := byNumber(tx, n)
	if noRows(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recover ticket: %w", err)
	}
	if lease != "" && (r.lease != lease || r.fence != fence) {
		return nil
	}
	r.fence++
	r.lease = ""
	if r.state != contracts.StateRunning {
		return r.save(tx, b.now())
	}
	r.tries++
	who, err := b.callerOf(tx, r)
	if err != nil {
		who = contracts.Caller{Service: r.owner, Purpose: r.purpose}
	}
	to := contracts.StateQueued
	r.next = b.now()
	switch {
	case r.moved != "": // events had already told
		to = r.told()
	case r.departed && r.effect == contracts.Once:
		to = contracts.StateUncertain
		r.fail(b.fault(contracts.Uncertain, r.op, "the hub stopped between departure and answer"))
	}
	if to == contracts.StateQueued { // a write goes again under its key; that an earlier try may have arrived is remembered
		r.departed = r.effect == contracts.Write
	}
	var req any
	if to.Settled() {
		if req, err = b.requestOf(tx, r); err != nil {
			return err
		}
	}
	return b.transit(tx, r, to, who, req, contracts.Entry{})
}

// distrust makes uncertain every Write and Once of a restored copy that was not yet carried out when it was made: it may
// have been since. Each is asked about at once where its register can tell; where none can, events have RecoverHold to
// tell before it leaves. What is submitted until then is treated alike.
func (b *Box) distrust(tx *store.Tx) error {
	now := b.now()
	until := now + int64(b.cfg.RecoverHold)
	if _, err := tx.Exec(`INSERT INTO outbox_mark (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		markRecheck, until); err != nil {
		return fmt.Errorf("mark recovery: %w", err)
	}
	if err := b.distrustLots(tx, until); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE outbox_ticket SET state = 'uncertain', head = 0, recheck = ?, next = ? WHERE state = 'queued' AND effect <> ?`,
		until, now, int(contracts.Read)); err != nil {
		return fmt.Errorf("mark recovery: %w", err)
	}
	if _, err := tx.Exec(`UPDATE outbox_lane SET head = 0 WHERE head IN (SELECT n FROM outbox_ticket WHERE state = 'uncertain')`); err != nil {
		return fmt.Errorf("mark recovery: %w", err)
	}
	return nil
}

// distrustLots ends lists with effect that were not handed over when the copy was made; their members are uncertain like
// the rest. One that had been is only asked for its answers.
func (b *Box) distrustLots(tx *store.Tx, until int64) error {
	rows, err := tx.Query(`SELECT id FROM outbox_lot WHERE handle IS NULL`)
	if err != nil {
		return fmt.Errorf("read lots: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("read lots: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read lots: %w", err)
	}
	for _, id := range ids {
		ns, err := numbers(tx, `SELECT n FROM outbox_ticket WHERE state = 'running' AND lot = ? AND effect <> ?`, id, int(contracts.Read))
		if err != nil {
			return err
		}
		for _, n := range ns {
			r, err := byNumber(tx, n)
			if err != nil {
				return fmt.Errorf("read member: %w", err)
			}
			r.next, r.recheck = b.now(), until
			r.fence++
			if err := b.transit(tx, r, contracts.StateUncertain, contracts.Caller{}, nil, contracts.Entry{}); err != nil {
				return err
			}
		}
		if len(ns) == 0 {
			continue
		}
		if _, err := tx.Exec(`DELETE FROM outbox_lot WHERE id = ?`, id); err != nil {
			return fmt.Errorf("end lot: %w", err)
		}
	}
	return nil
}

// endRecovery takes the mark of a restored copy off the store, when the hold has passed and every ticket that was in
// doubt for it alone is out of doubt.
func (b *Box) endRecovery(ctx context.Context) {
	if !b.store.Recovered() || b.recheckUntil.Load() > b.now() {
		return
	}
	var doubtful bool
	err := b.store.Read(ctx, func(v *store.View) error {
		var n int64
		err := v.QueryRow(`SELECT n FROM outbox_ticket WHERE state = 'uncertain' AND recheck > 0 LIMIT 1`).Scan(&n)
		doubtful = err == nil
		if noRows(err) {
			err = nil
		}
		return err
	})
	if err == nil && !doubtful {
		if err = b.store.EndRecovery(ctx); err == nil {
			b.log.Info("outbox: the restored store is settled")
		}
	}
	if err != nil {
		b.log.Warn("outbox: whether the restored store is settled cannot be told", slog.Any("error", err))
	}
}
