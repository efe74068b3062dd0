package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

const (
	maxID   = 512     // bytes of an event's ID, Kind, Ref and Subject each
	maxData = 1 << 20 // bytes of an event's Data; what is bigger belongs into the archive
	inData  = "feed_event"

	// batchBytes is how much data and raw bytes go into one transaction, save that one event is always taken: the
	// writer must not be busy for long with what one source has told.
	batchBytes = 4 << 20
)

// A record is an event made ready to be kept.
type record struct {
	contracts.Event
	sealed []byte
	proof  []byte
	raws   []func(*store.Tx) error // keep the raw bytes
	place  string
	reason string
}

// A tally is what became of a batch.
type tally struct{ fresh, aside int }

// Pull reads what an instance's far side has told since the cursor, keeps it and folds it. It reports how many events
// came that were not known.
func (f *Feed) Pull(ctx context.Context, instance string, from contracts.Feeder) (n int, err error) {
	return f.PullSource(ctx, instance, "", from)
}

// PullSource is Pull for one of an instance's sources.
func (f *Feed) PullSource(ctx context.Context, instance, source string, from contracts.Feeder) (n int, err error) {
	f.mu.Lock()
	p := f.puller(origin{instance, source})
	f.mu.Unlock()
	n, _, err = f.pull(ctx, p, from)
	return n, err
}

// pull is Pull, and tells besides whether there may be more at once: something came that was not known, or that was and
// moved the cursor. A mailbox that was renumbered is read through what is known to what is not.
func (f *Feed) pull(ctx context.Context, p *puller, from contracts.Feeder) (n int, more bool, err error) {
	began := f.clock.Now()
	cursor, err := f.cursor(ctx, p.origin)
	if err != nil {
		return 0, false, fmt.Errorf("pull events: read cursor: %w", err)
	}
	events, next, err := f.read(ctx, p.origin, from, cursor)
	if err != nil {
		return 0, false, err
	}
	moved := string(next) != string(cursor)
	for left := events; len(left) > 0 || moved; {
		batch := left[:f.cut(left)]
		left = left[len(batch):]
		move := func(tx *store.Tx) error {
			if len(left) > 0 {
				return nil
			}
			return setCursor(tx, p.origin, next)
		}
		done, err := f.keep(ctx, p.instance, batch, move)
		if err != nil {
			return n, false, fmt.Errorf("pull events: %w", err)
		}
		n += done.fresh
		f.mu.Lock()
		p.stat.Read += uint64(done.fresh)
		p.stat.Aside += uint64(done.aside)
		f.mu.Unlock()
		if len(left) == 0 {
			break
		}
	}
	more = n > 0 || moved && len(events) > 0
	if !more {
		f.mu.Lock()
		p.stat.Heard = began
		f.mu.Unlock()
	}
	return n, more, nil
}

func (f *Feed) cursor(ctx context.Context, o origin) (cursor contracts.Cursor, err error) {
	err = f.store.Read(ctx, func(v *store.View) error {
		err := v.QueryRow(`SELECT cursor FROM feed_cursor WHERE source = ?`, o.key()).Scan(&cursor)
		if noRows(err) {
			cursor, err = nil, nil
		}
		return err
	})
	return cursor, err
}

// cut is how many of the events go into the next transaction.
func (f *Feed) cut(events []contracts.Event) int {
	size := 0
	for i, e := range events[:min(f.cfg.Batch, len(events))] {
		size += len(e.Data)
		for _, raw := range e.Raw {
			size += len(raw)
		}
		if size > batchBytes {
			return max(i, 1)
		}
	}
	return min(f.cfg.Batch, len(events))
}

// keep makes a batch ready and keeps it, in one transaction and in its turn.
func (f *Feed) keep(ctx context.Context, instance string, batch []contracts.Event, move func(*store.Tx) error) (done tally, err error) {
	select {
	case f.turns <- struct{}{}:
		defer func() { <-f.turns }()
	case <-ctx.Done():
		return done, contracts.Errorf(contracts.Canceled, "given up before its turn: %w", context.Cause(ctx))
	}
	records := make([]record, len(batch))
	for i, e := range batch {
		if records[i], err = f.prepare(ctx, instance, e); err != nil {
			return done, err
		}
	}
	err = f.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		var err error
		if done, err = f.keepAll(tx, instance, records); err != nil {
			return err
		}
		return move(tx)
	})
	return done, err
}

// read asks the adapter, which must not be able to bring the hub down.
func (f *Feed) read(ctx context.Context, o origin, from contracts.Feeder, cursor contracts.Cursor) (events []contracts.Event, next contracts.Cursor, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.PullFor)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = f.fault(contracts.Internal, "pull events", "the adapter of %s panicked (%T)", o.key(), p)
		}
	}()
	return from.Feed(ctx, cursor)
}

// prepare checks and seals an event, outside of the transaction.
func (f *Feed) prepare(ctx context.Context, instance string, e contracts.Event) (record, error) {
	raws := e.Raw
	e.Source, e.Owner, e.Seq, e.Raw = instance, "", 0, nil
	r := record{Event: e, place: placeKept}
	if err := f.ready(ctx, &r, raws); err != nil {
		return r, err
	}
	switch {
	case e.ID == "" || len(e.ID) > maxID || len(e.Kind) > maxID || len(e.Ref) > maxID || len(e.Subject) > maxID:
		// Set aside under a name of our own, so that neither it nor its repetition holds up what comes behind.
		sum := contracts.SumOf(fmt.Appendf(nil, "%s"+sep+"%s"+sep+"%s"+sep+"%s"+sep+"%x", e.ID, e.Kind, e.Ref, e.Data, r.Proof))
		r.ID, r.Kind, r.Ref, r.Subject = "faulty:"+sum.String(), "faulty", "", ""
		r.Data, r.place, r.reason = nil, placeFaulty, fmt.Sprintf("it has no ID, or a field longer than %d bytes", maxID)
	case len(e.Data) > maxData:
		r.Data, r.place, r.reason = nil, placeFaulty, fmt.Sprintf("its data has %d bytes, the limit is %d", len(e.Data), maxData)
	case r.place == placeFaulty: // for its raw bytes
	case e.Ref == "":
		r.Data, r.place = nil, placeForeign
	}
	var err error
	if r.proof, err = packSums(r.Proof); err != nil {
		return r, err
	}
	r.sealed, err = f.store.Seal(inData, sealRow(instance, r.ID), r.Data)
	return r, err
}

// ready makes an event's raw bytes ready to be kept. What the adapter should not have given so is kept none the less, and
// found by its digest: the event is set aside, its bytes may be the only ones there are.
func (f *Feed) ready(ctx context.Context, r *record, raws [][]byte) error {
	if len(raws) == 0 {
		return nil
	}
	if f.proofs == nil {
		return f.fault(contracts.Internal, "pull events", "an event has raw bytes, and there is no archive")
	}
	for _, raw := range raws {
		sum, keep, err := f.proofs.Ready(ctx, raw)
		if err != nil {
			return err
		}
		r.raws = append(r.raws, keep)
		if len(raw) > contracts.MaxRaw {
			r.place, r.reason = placeFaulty, fmt.Sprintf("its raw bytes are %d, the limit is %d", len(raw), contracts.MaxRaw)
		}
		if !slices.Contains(r.Proof, sum) {
			r.Proof = append(slices.Clip(r.Proof), sum)
			r.place, r.reason = placeFaulty, "its proofs do not name its raw bytes"
		}
	}
	return nil
}

const sep = "\x1f"

func sealRow(source, id string) string { return source + sep + id }

// keepAll keeps and folds a batch; what is known already is passed over.
func (f *Feed) keepAll(tx *store.Tx, instance string, batch []record) (done tally, err error) {
	now := f.clock.Now()
	for i := range batch {
		r := batch[i] // a copy: this may run again
		seq, err := insert(tx, &r, now)
		if err != nil {
			return done, err
		}
		if seq == 0 {
			continue
		}
		for _, keep := range r.raws {
			if err := keep(tx); err != nil {
				return done, err
			}
		}
		if err := f.fold(tx, instance, seq, &r); err != nil {
			return done, err
		}
		done.fresh++
		if r.place == placeFaulty {
			done.aside++
		}
	}
	if done.fresh > 0 {
		tx.Flush()
		tx.After(f.announce)
	}
	return done, nil
}

// fold folds an event that has just been kept, or that had waited, and notes where it stands now.
func (f *Feed) fold(tx *store.Tx, instance string, seq int64, r *record) error {
	entry := contracts.Entry{Phase: contracts.PhaseEvent, Outcome: r.Kind, System: instance, Ref: r.Ref, Proof: r.Proof}
	waited := r.place == placeUnknown
	if r.place == placeKept || r.place == placeUnknown {
		was := r.place
		owner, err := f.folder.Fold(tx, instance, r.Event)
		var faulty *contracts.Error
		switch {
		case errors.As(err, &faulty) && faulty.Kind == contracts.Malformed:
			r.place, r.reason = placeFaulty, faulty.Error()
			f.log.Warn("feed: an event cannot be folded and is set aside", slog.String("instance", instance),
				slog.String("kind", r.Kind), slog.String("ref", r.Ref), slog.Any("error", err))
		case err != nil:
			return err
		case owner == "":
			r.place = placeUnknown
		default:
			r.place, r.Owner = placeKept, owner
		}
		if r.place == was && r.place == placeUnknown {
			return nil
		}
	}
	if _, err := tx.Exec(`UPDATE feed_event SET owner = ?, place = ?, reason = ? WHERE seq = ?`, r.Owner, r.place, r.reason, seq); err != nil {
		return fmt.Errorf("keep event: %w", err)
	}
	if waited && r.place == placeKept {
		if err := f.renumber(tx, seq); err != nil {
			return err
		}
	}
	if r.place == placeKept { // the folder has entered it with the ticket
		return nil
	}
	entry.Reason = r.place
	if _, err := f.ledger.Append(tx, entry); err != nil {
		return fmt.Errorf("keep event: %w", err)
	}
	return nil
}

// insert keeps an event and gives its number; zero when it is known already.
func insert(tx *store.Tx, r *record, now time.Time) (seq int64, err error) {
	res, err := tx.Exec(`INSERT INTO feed_event (source, id, kind, ref, subject, owner, at, kept, place, reason, proof, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, id) DO NOTHING`,
		r.Source, r.ID, r.Kind, r.Ref, r.Subject, r.Owner, nanos(r.At), nanos(now), r.place, r.reason, r.proof, r.sealed)
	if err != nil {
		return 0, fmt.Errorf("keep event: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	return res.LastInsertId()
}

func setCursor(tx *store.Tx, o origin, next contracts.Cursor) error {
	_, err := tx.Exec(`INSERT INTO feed_cursor (source, cursor) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET cursor = excluded.cursor`, o.key(), []byte(next))
	if err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	return nil
}

func packSums(sums []contracts.Sum) ([]byte, error) {
	if len(sums) == 0 {
		return nil, nil
	}
	return json.Marshal(sums)
}
