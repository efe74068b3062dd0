package ledger

import (
	"context"
	"fmt"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// OpDrop is the operation of the operator's entry that goes before dropped segments.
const OpDrop = "ledger.drop"

// dropBatch is how many entries are deleted in one write, so that the writer is never held for long.
const dropBatch = 500

// Drop deletes the entries of all closed segments that are older than so many days, oldest first, and gives how many
// segments that were. Their heads stay, so that the rest still verifies. An operator's entry with the caller, the reason
// and the digest of the newest dropped head is appended and flushed before the first row goes; a Drop that was
// interrupted is taken up by the next.
func (l *Ledger) Drop(ctx context.Context, days int, caller contracts.Caller, reason string) (dropped int, err error) {
	if days < 1 || reason == "" || caller.Service == "" || caller.Purpose == "" {
		return 0, contracts.Errorf(contracts.Invalid, "drop from ledger: want at least one day to keep, a caller with service and purpose, and a reason")
	}
	l.sweep.Lock()
	defer l.sweep.Unlock()
	snap, err := l.snapshot(ctx)
	if err != nil {
		return 0, err
	}
	bound := l.clock.Now().UTC().AddDate(0, 0, -days).Format(time.DateOnly)
	var old []segmentRow // a run of the oldest
	for _, s := range snap.segments {
		if s.head == nil || s.day >= bound {
			break
		}
		old = append(old, s)
		if !s.dropped {
			dropped++
		}
	}
	if len(old) == 0 {
		return 0, nil
	}
	if newest := old[len(old)-1]; dropped > 0 {
		err := l.st.Write(ctx, store.Settle, func(tx *store.Tx) error {
			_, err := l.Append(tx, contracts.Entry{
				Phase: contracts.PhaseOperator, Outcome: "ok", Op: OpDrop, Caller: caller,
				Ref:    fmt.Sprintf("%s/%d", l.chain, newest.id),
				Reason: fmt.Sprintf("segments up to %d (%s): %s", newest.id, newest.day, reason),
				Proof:  []contracts.Sum{newest.head.Digest()},
			})
			if err != nil {
				return err
			}
			_, err = tx.Exec("UPDATE ledger_segment SET dropped = 1 WHERE id <= ?", int64(newest.id))
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return dropped, l.deleteEntries(ctx, old[len(old)-1].head.Last)
}

func (l *Ledger) deleteEntries(ctx context.Context, last uint64) error {
	for {
		var n int64
		err := l.st.Write(ctx, store.Start, func(tx *store.Tx) error {
			r, err := tx.Exec("DELETE FROM ledger_entry WHERE seq IN (SELECT seq FROM ledger_entry WHERE seq <= ? ORDER BY seq LIMIT ?)", int64(last), dropBatch)
			if err == nil {
				n, err = r.RowsAffected()
			}
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
