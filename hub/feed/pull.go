package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

const (
	maxID   = 512     // bytes of an event's ID, Kind, Ref and Subject each
	maxData = 1 << 20 // bytes of an event's Data; what is bigger belongs into the archive
	inData  = "feed_event"

	sweepEvery = time.Hour
)

// A record is an event made ready to be kept.
type record struct {
	contracts.Event
	sealed []byte
	proof  []byte
	place  string
	reason string
}

// Pull reads what an instance's far side has told since the cursor, keeps it and folds it. It reports how many events
// came that were not known.
func (f *Feed) Pull(ctx context.Context, instance string, from contracts.Feeder) (n int, err error) {
	n, _, err = f.pull(ctx, instance, from)
	return n, err
}

// pull is Pull, and tells besides whether there may be more at once: something came that was not known, or that was and
// moved the cursor. A mailbox that was renumbered is read through what is known to what is not.
func (f *Feed) pull(ctx context.Context, instance string, from contracts.Feeder) (n int, more bool, err error) {
	began := f.clock.Now()
	var cursor contracts.Cursor
	err = f.store.Read(ctx, func(v *store.View) error {
		err := v.QueryRow(`SELECT cursor FROM feed_cursor WHERE source = ?`, instance).Scan(&cursor)
		if noRows(err) {
			cursor, err = nil, nil
		}
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("pull events: read cursor: %w", err)
	}
	events, next, err := f.read(ctx, instance, from, cursor)
	if err != nil {
		return 0, false, err
	}
	records := make([]record, len(events))
	for i, e := range events {
		if records[i], err = f.prepare(instance, e); err != nil {
			return 0, false, err
		}
	}
	moved := string(next) != string(cursor)
	for first := true; len(records) > 0 || first && moved; first = false {
		batch := records[:min(f.cfg.Batch, len(records))]
		records = records[len(batch):]
		var fresh int
		err := f.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
			var err error
			if fresh, err = f.keepAll(tx, instance, batch); err != nil || len(records) > 0 {
				return err
			}
			return setCursor(tx, instance, next)
		})
		if err != nil {
			return n, false, fmt.Errorf("pull events: %w", err)
		}
		n += fresh
	}
	more = n > 0 || moved && len(events) > 0
	if !more {
		f.mu.Lock()
		f.heard[instance] = began
		f.mu.Unlock()
	}
	return n, more, nil
}

// read asks the adapter, which must not be able to bring the hub down.
func (f *Feed) read(ctx context.Context, instance string, from contracts.Feeder, cursor contracts.Cursor) (events []contracts.Event, next contracts.Cursor, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.PullFor)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = f.fault(contracts.Internal, "pull events", "the adapter of %s panicked (%T)", instance, p)
		}
	}()
	return from.Feed(ctx, cursor)
}

// prepare checks and seals an event, outside of the transaction.
func (f *Feed) prepare(instance string, e contracts.Event) (record, error) {
	e.Source, e.Owner, e.Seq = instance, "", 0
	r := record{Event: e, place: placeKept}
	switch {
	case e.ID == "" || len(e.ID) > maxID || len(e.Kind) > maxID || len(e.Ref) > maxID || len(e.Subject) > maxID:
		// Set aside under a name of our own, so that neither it nor its repetition holds up what comes behind.
		sum := contracts.SumOf([]byte(e.ID + sep + e.Kind + sep + e.Ref + sep + string(e.Data)))
		r.ID, r.Kind, r.Ref, r.Subject = "faulty:"+sum.String(), "faulty", "", ""
		r.Data, r.place, r.reason = nil, placeFaulty, fmt.Sprintf("it has no ID, or a field longer than %d bytes", maxID)
	case len(e.Data) > maxData:
		r.Data, r.place, r.reason = nil, placeFaulty, fmt.Sprintf("its data has %d bytes, the limit is %d", len(e.Data), maxData)
	case e.Ref == "":
		r.Data, r.place = nil, placeForeign
	}
	var err error
	if r.proof, err = packSums(e.Proof); err != nil {
		return r, err
	}
	r.sealed, err = f.store.Seal(inData, sealRow(instance, r.ID), r.Data)
	return r, err
}

const sep = "\x1f"

func sealRow(source, id string) string { return source + sep + id }

// keepAll keeps and folds a batch; what is known already is passed over.
func (f *Feed) keepAll(tx *store.Tx, instance string, batch []record) (fresh int, err error) {
	for i := range batch {
		r := batch[i] // a copy: this may run again
		seq, err := insert(tx, &r, f.clock.Now())
		if err != nil {
			return 0, err
		}
		if seq == 0 {
			continue
		}
		fresh++
		if err := f.fold(tx, instance, seq, &r); err != nil {
			return 0, err
		}
	}
	if fresh > 0 {
		tx.Flush()
		tx.After(f.announce)
	}
	return fresh, nil
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
	if waited && r.place == placeKept { // its owner may have read on by now: it is news, whenever it came
		if _, err := tx.Exec(`UPDATE feed_event SET seq = (SELECT max(seq) + 1 FROM feed_event) WHERE seq = ?`, seq); err != nil {
			return fmt.Errorf("keep event: %w", err)
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
	err = tx.QueryRow(`INSERT INTO feed_event (source, id, kind, ref, subject, owner, at, kept, place, reason, proof, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, id) DO NOTHING RETURNING seq`,
		r.Source, r.ID, r.Kind, r.Ref, r.Subject, r.Owner, nanos(r.At), nanos(now), r.place, r.reason, r.proof, r.sealed).Scan(&seq)
	if noRows(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("keep event: %w", err)
	}
	return seq, nil
}

func setCursor(tx *store.Tx, instance string, next contracts.Cursor) error {
	_, err := tx.Exec(`INSERT INTO feed_cursor (source, cursor) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET cursor = excluded.cursor`, instance, []byte(next))
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

// Run pulls an instance's events until ctx ends: again at once while something comes, then every from.Every(), and with a
// growing wait while the reading fails.
func (f *Feed) Run(ctx context.Context, instance string, from contracts.Feeder) error {
	p := &puller{busy: true}
	f.mu.Lock()
	if f.pullers[instance] != nil {
		f.mu.Unlock()
		return f.fault(contracts.Conflict, "pull events", "the events of %s are already being read", instance)
	}
	f.pullers[instance] = p
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.pullers, instance)
		f.mu.Unlock()
	}()
	every := max(from.Every(), time.Second)
	var wait time.Duration
	var swept time.Time
	for failures := 0; ; {
		_, more, err := f.pull(ctx, instance, from)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err != nil:
			failures++
			wait = backoff(every, f.cfg.BackoffMax, failures, contracts.AsError(err).After)
			f.log.Warn("feed: events could not be read", slog.String("instance", instance), slog.Int("failures", failures),
				slog.Duration("again_in", wait), slog.Any("error", err))
		case more:
			failures, wait = 0, 0
		default:
			failures, wait = 0, every
			if now := f.clock.Now(); now.Sub(swept).Abs() >= sweepEvery {
				swept = now
				f.sweep(ctx)
			}
		}
		if wait > 0 {
			if err := f.sleep(ctx, p, wait); err != nil {
				return nil
			}
		}
	}
}

// sleep waits on the clock, marked as quiet; but no longer in real time than it would have under a clock that nobody set
// back, or receipts would lie unread for as long as it was.
func (f *Feed) sleep(ctx context.Context, p *puller, wait time.Duration) error {
	next := f.clock.Now().Add(wait)
	f.mu.Lock()
	p.busy, p.next = false, next
	f.mu.Unlock()
	atMost, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_ = contracts.Sleep(atMost, f.clock, next) // whichever comes first
	f.mu.Lock()
	p.busy = true
	f.mu.Unlock()
	return ctx.Err()
}

// backoff grows from every to most with full jitter above every, so that readers of one far side drift apart.
func backoff(every, most time.Duration, failures int, after time.Duration) time.Duration {
	bound := every
	for range min(failures, 20) {
		bound = min(2*bound, max(most, every))
	}
	wait := every
	if bound > every {
		wait += time.Duration(rand.Int64N(int64(bound - every)))
	}
	return max(wait, min(after, 24*time.Hour))
}

// Idle reports whether no reading is under way or due at the clock's present instant, and when the next is (zero: none
// will be).
func (f *Feed) Idle() (next time.Time, quiet bool) {
	now := f.clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pullers {
		if p.busy || !p.next.After(now) {
			return time.Time{}, false
		}
		if next.IsZero() || p.next.Before(next) {
			next = p.next
		}
	}
	return next, true
}

// Heard is the beginning of the last reading of an instance that brought nothing new, and did not move on either: what had been told by then is
// known. Zero: there was none since this process began.
func (f *Feed) Heard(instance string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard[instance]
}
