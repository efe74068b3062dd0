package feed

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

const (
	maxPage  = 1000
	maxStory = 1000
)

const selectEvents = `SELECT seq, source, id, kind, ref, subject, owner, at, proof, data, reason FROM feed_event `

// After gives the reader's own events behind seq, oldest first, max at most (1000 is the most). Conflict: seq is a number
// that was never given, since the store is an older copy; the reader begins again at 0.
func (f *Feed) After(ctx context.Context, reader string, seq uint64, max int) (events []contracts.Event, err error) {
	if reader == "" {
		return nil, f.fault(contracts.Invalid, "read events", "no reader named")
	}
	if max <= 0 || max > maxPage {
		max = maxPage
	}
	err = f.store.Read(ctx, func(v *store.View) error {
		var err error
		events, _, err = f.scan(v, selectEvents+`WHERE owner = ? AND owner <> '' AND seq > ? ORDER BY seq LIMIT ?`, reader, bound(seq), max)
		if err != nil || len(events) > 0 {
			return err
		}
		return f.ahead(v, seq)
	})
	return events, err
}

// Ack notes that the reader has everything up to seq. It never goes back.
func (f *Feed) Ack(ctx context.Context, reader string, seq uint64) error {
	if reader == "" {
		return f.fault(contracts.Invalid, "acknowledge events", "no reader named")
	}
	return f.store.Write(ctx, store.Accept, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO feed_reader (reader, seq) VALUES (?1, min(?2, (`+lastNumber+`)))
			ON CONFLICT (reader) DO UPDATE SET seq = max(seq, excluded.seq)`, reader, bound(seq))
		if err != nil {
			return fmt.Errorf("acknowledge events: %w", err)
		}
		return nil
	})
}

// Acked is up to where the reader has acknowledged; zero: nothing.
func (f *Feed) Acked(ctx context.Context, reader string) (seq uint64, err error) {
	err = f.store.Read(ctx, func(v *store.View) error {
		var n int64
		err := v.QueryRow(`SELECT seq FROM feed_reader WHERE reader = ?`, reader).Scan(&n)
		if noRows(err) {
			err = nil
		}
		seq = uint64(n)
		return err
	})
	return seq, err
}

// Wait returns when the reader has an event behind seq, or with the context's error. Conflict: see After.
func (f *Feed) Wait(ctx context.Context, reader string, seq uint64) error {
	for {
		f.mu.Lock()
		news := f.news
		f.mu.Unlock()
		var n int64
		err := f.store.Read(ctx, func(v *store.View) error {
			err := v.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM feed_event WHERE owner = ? AND owner <> '' AND seq > ? LIMIT 1)`, reader, bound(seq)).Scan(&n)
			if err != nil || n > 0 {
				return err
			}
			return f.ahead(v, seq)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || n > 0 {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Story gives what was told about a ticket, in order (the first 1000), save what was set aside: a forged receipt has the
// kind of a sound one, and is for operators alone (Quarantined). Whoever shows it checks whose ticket it is.
func (f *Feed) Story(ctx context.Context, ref string) ([]contracts.Event, error) {
	return f.list(ctx, selectEvents+`WHERE ref = ? AND ref <> '' AND place <> 'faulty' ORDER BY seq LIMIT ?`, ref, maxStory)
}

// Tell keeps an event of the hub's own. One that was told before, by its ID, is passed over.
func (f *Feed) Tell(tx *store.Tx, e contracts.Event) error {
	r, err := f.prepare(context.Background(), "hub", e)
	if err != nil {
		return err
	}
	r.Owner = e.Owner
	if _, err := insert(tx, &r, f.clock.Now()); err != nil {
		return err
	}
	tx.After(f.announce)
	return nil
}

// Events gives what far sides have told about a ticket, in order, save what was set aside.
func (f *Feed) Events(tx *store.Tx, ref string) ([]contracts.Event, error) {
	events, _, err := f.scan(tx, selectEvents+`WHERE ref = ? AND ref <> '' AND place IN ('kept', 'unknown') AND source <> 'hub' ORDER BY seq LIMIT ?`, ref, maxStory)
	return events, err
}

// Adopt folds what came for a ticket before there was one, and reports how many events that were.
func (f *Feed) Adopt(tx *store.Tx, ref string) (int, error) {
	events, _, err := f.scan(tx, selectEvents+`WHERE ref = ? AND ref <> '' AND place = 'unknown' ORDER BY seq LIMIT ?`, ref, maxStory)
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		r := record{Event: e, place: placeUnknown}
		if err := f.fold(tx, e.Source, int64(e.Seq), &r); err != nil {
			return 0, err
		}
	}
	if len(events) > 0 {
		tx.After(f.announce)
	}
	return len(events), nil
}

// A Held is an event that moved no ticket, and why.
type Held struct {
	contracts.Event
	Reason string `json:"reason"` // "foreign" (names no ticket), "unknown" (names none that is here), or what was wrong with it
}

// Quarantined gives the events that could not be folded, oldest first, behind seq.
func (f *Feed) Quarantined(ctx context.Context, seq uint64, max int) ([]Held, error) {
	return f.held(ctx, placeFaulty, seq, max)
}

// Unmatched gives the events that name no ticket that is here, oldest first, behind seq: for ops, since a receipt that
// matches nothing may be one that matters.
func (f *Feed) Unmatched(ctx context.Context, seq uint64, max int) ([]Held, error) {
	unknown, err := f.held(ctx, placeUnknown, seq, max)
	if err != nil {
		return nil, err
	}
	foreign, err := f.held(ctx, placeForeign, seq, max)
	if err != nil {
		return nil, err
	}
	all := make([]Held, 0, len(unknown)+len(foreign))
	for len(unknown) > 0 || len(foreign) > 0 { // both are in order
		if len(foreign) == 0 || len(unknown) > 0 && unknown[0].Seq < foreign[0].Seq {
			all, unknown = append(all, unknown[0]), unknown[1:]
		} else {
			all, foreign = append(all, foreign[0]), foreign[1:]
		}
	}
	if max > 0 && len(all) > max {
		all = all[:max]
	}
	return all, nil
}

func (f *Feed) held(ctx context.Context, place string, seq uint64, max int) (all []Held, err error) {
	if max <= 0 || max > maxPage {
		max = maxPage
	}
	err = f.store.Read(ctx, func(v *store.View) error {
		all = nil
		events, reasons, err := f.scan(v, selectEvents+`WHERE place = ? AND place <> 'kept' AND seq > ? ORDER BY seq LIMIT ?`, place, bound(seq), max)
		if err != nil {
			return err
		}
		for i, e := range events {
			h := Held{Event: e, Reason: reasons[i]}
			if h.Reason == "" {
				h.Reason = place
			}
			all = append(all, h)
		}
		return nil
	})
	return all, err
}

// Retry folds a quarantined event once more, after the adapter was mended, and enters who wanted it and why.
func (f *Feed) Retry(ctx context.Context, seq uint64, operator, reason string) error {
	return f.store.Write(ctx, store.Accept, func(tx *store.Tx) error {
		events, _, err := f.scan(tx, selectEvents+`WHERE seq = ? AND place = 'faulty'`, bound(seq))
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return f.fault(contracts.NotFound, "retry event", "no such event is set aside")
		}
		r := record{Event: events[0], place: placeUnknown}
		if err := f.fold(tx, r.Source, int64(r.Seq), &r); err != nil {
			return err
		}
		if r.place == placeFaulty {
			return f.fault(contracts.Conflict, "retry event", "it still cannot be folded: %s", r.reason)
		}
		if r.place == placeUnknown { // nothing is wrong with it any more; it waits for its ticket, or is somebody else's
			if r.Ref == "" {
				r.place = placeForeign
			}
			if _, err := tx.Exec(`UPDATE feed_event SET place = ?, reason = '' WHERE seq = ?`, r.place, int64(r.Seq)); err != nil {
				return fmt.Errorf("retry event: %w", err)
			}
		}
		if _, err := f.ledger.Append(tx, contracts.Entry{
			Phase: contracts.PhaseOperator, Outcome: "event folded again", System: r.Source, Ref: r.Ref, Reason: reason, Proof: r.Proof,
			Caller: contracts.Caller{Service: "hub", Purpose: "operation", User: operator},
		}); err != nil {
			return fmt.Errorf("retry event: %w", err)
		}
		tx.After(f.announce)
		return nil
	})
}

func (f *Feed) list(ctx context.Context, text string, args ...any) (events []contracts.Event, err error) {
	err = f.store.Read(ctx, func(v *store.View) error {
		var err error
		events, _, err = f.scan(v, text, args...)
		return err
	})
	return events, err
}

func (f *Feed) scan(q store.Querier, text string, args ...any) (events []contracts.Event, reasons []string, err error) {
	rows, err := q.Query(text, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			e           contracts.Event
			seq, at     int64
			proof, data []byte
			reason      string
		)
		if err := rows.Scan(&seq, &e.Source, &e.ID, &e.Kind, &e.Ref, &e.Subject, &e.Owner, &at, &proof, &data, &reason); err != nil {
			return nil, nil, fmt.Errorf("read events: %w", err)
		}
		e.Seq, e.At = uint64(seq), instant(at)
		if len(proof) > 0 {
			if err := json.Unmarshal(proof, &e.Proof); err != nil {
				return nil, nil, fmt.Errorf("read events: %w", err)
			}
		}
		if e.Data, err = f.store.Unseal(inData, sealRow(e.Source, e.ID), data); err != nil {
			// The key is lost: what happened, and when, is still worth showing.
			f.log.Error("feed: the data of an event cannot be read", slog.Uint64("seq", e.Seq), slog.Any("error", err))
			reason = "its data cannot be read"
		}
		events, reasons = append(events, e), append(reasons, reason)
	}
	return events, reasons, rows.Err()
}

const sweepEvery = time.Hour

// sweepNow sweeps if nobody has for an hour.
func (f *Feed) sweepNow(ctx context.Context) {
	now := f.clock.Now()
	f.mu.Lock()
	due := now.Sub(f.swept).Abs() >= sweepEvery
	if due {
		f.swept = now
	}
	f.mu.Unlock()
	if due {
		f.sweep(ctx)
	}
}

// sweep deletes what is beyond its retention, a bounded number at a time.
func (f *Feed) sweep(ctx context.Context) {
	now := f.clock.Now()
	err := f.store.Write(ctx, store.Start, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM feed_event WHERE seq IN (
			SELECT e.seq FROM feed_event e LEFT JOIN feed_reader r ON r.reader = e.owner
			WHERE e.kept < ?1 AND (e.owner = '' OR e.seq <= coalesce(r.seq, 0) OR e.kept < ?2) ORDER BY e.kept LIMIT 200)`,
			nanos(now.Add(-f.cfg.Retention)), nanos(now.Add(-f.cfg.Unread)))
		return err
	})
	if err != nil && ctx.Err() == nil {
		f.log.Warn("feed: old events could not be deleted", slog.Any("error", err))
	}
}

func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

func bound(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
