package feed

import (
	"fmt"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// Events are numbered by SQLite (AUTOINCREMENT), which never gives a number twice, whatever was deleted.
const lastNumber = `SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'feed_event'), 0)`

// skip has a restored copy number its events from the present instant on, in microseconds since 1970 (below 2^53 until
// the year 2255, so that any JSON reader can hold it). Readers have been told numbers behind those of the copy, and
// would take what is numbered so again for read. No store has given as many numbers as microseconds have passed, so
// these lie behind all that anybody was told, after any number of restores.
func (f *Feed) skip(tx *store.Tx) error {
	to := f.clock.Now().UnixMicro()
	if _, err := tx.Exec(`INSERT INTO sqlite_sequence (name, seq) SELECT 'feed_event', 0
		WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'feed_event')`); err != nil {
		return fmt.Errorf("skip numbers: %w", err)
	}
	if _, err := tx.Exec(`UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'feed_event'`, to); err != nil {
		return fmt.Errorf("skip numbers: %w", err)
	}
	tx.Flush()
	return nil
}

// renumber gives an event the next number: its owner may have read on by now, and it is news whenever it came.
func (f *Feed) renumber(tx *store.Tx, seq int64) error {
	var next int64
	if err := tx.QueryRow(`UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'feed_event' RETURNING seq`).Scan(&next); err != nil {
		return fmt.Errorf("renumber event: %w", err)
	}
	if _, err := tx.Exec(`UPDATE feed_event SET seq = ?, kept = ? WHERE seq = ?`, next, nanos(f.clock.Now()), seq); err != nil {
		return fmt.Errorf("renumber event: %w", err)
	}
	return nil
}

// ahead refuses a reader who has been told more than there is. That is so when an older copy was put in place of the
// store and nobody said so: it would wait until the numbers have caught up, and pass over all events until then.
func (f *Feed) ahead(q store.Querier, seq uint64) error {
	var last int64
	if err := q.QueryRow(lastNumber).Scan(&last); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	if bound(seq) <= last {
		return nil
	}
	return f.fault(contracts.Conflict, "read events",
		"number %d was never given, the last one is %d: is this a restored copy that was not started as recovered? begin again at 0; events keep their ids", seq, last)
}
