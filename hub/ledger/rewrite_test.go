package ledger

import (
	"context"
	"encoding/json"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// Rewrite is what an administrator can do who has the database and the signing key: it changes one entry and makes anew
// everything behind it, links, segments, signed heads and the running head.
func (l *Ledger) Rewrite(ctx context.Context, seq uint64, change func(*contracts.Entry)) error {
	snap, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	rows, err := l.page(ctx, 0, snap.last)
	if err != nil {
		return err
	}
	return l.st.Write(ctx, store.Settle, func(tx *store.Tx) error {
		prev, before := contracts.Sum{}, contracts.Sum{}
		i := 0
		for _, s := range snap.segments {
			at := last{segment: s.id, day: s.day, first: s.first, prev: prev, before: before}
			for ; i < len(rows) && rows[i].segment == s.id; i++ {
				e, err := decode(rows[i].data)
				if err != nil {
					return err
				}
				if e.Seq == seq {
					change(&e)
				}
				e.Prev = prev
				data := encode(&e)
				prev = sumOf(data)
				at.seq, at.sum = e.Seq, prev
				if _, err := tx.Exec("UPDATE ledger_entry SET sum = ?, data = ?, ref = ?, op = ?, kase = ? WHERE seq = ?", prev[:], data, e.Ref, e.Op, e.Caller.Case, int64(e.Seq)); err != nil {
					return err
				}
			}
			var text any
			if s.head != nil {
				h := l.head(at, true, s.head.At)
				b, err := json.Marshal(h)
				if err != nil {
					return err
				}
				text, before = string(b), h.Digest()
			}
			if _, err := tx.Exec("UPDATE ledger_segment SET prev = ?, before = ?, head = ? WHERE id = ?", at.prev[:], at.before[:], text, int64(s.id)); err != nil {
				return err
			}
		}
		return l.runningHead(tx)
	})
}
