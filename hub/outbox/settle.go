package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A verdict is what an exchange makes of a ticket.
type verdict struct {
	to      contracts.State // queued, waiting, uncertain, done or failed
	answer  any             // with waiting and done
	sealed  []byte          // the same, as it is stored
	folds   bool            // events go on from the answer
	err     *contracts.Error
	next    time.Time // with queued and uncertain: not before
	try     bool      // it cost a try
	at      string    // with queued: the next instance of the route
	solo    bool      // with queued: not by a list any more
	pause   time.Time // others of its kind need not come before
	outcome string    // of the entry; empty: nobody was consulted, no entry
}

// judge says what an answer or an error makes of a ticket. departed: its Once may have left.
func (b *Box) judge(r *row, c *contracts.Call, bind *contracts.Binding, answer any, err error, departed bool) verdict {
	if err == nil {
		b.strike(r, false)
		v := verdict{to: contracts.StateDone, answer: answer, folds: bind.Fold != nil, outcome: "ok"}
		if v.folds {
			v.to = contracts.StateWaiting
		}
		return v
	}
	now := b.clock.Now()
	e := contracts.AsError(err)
	v := verdict{to: contracts.StateFailed, err: e, outcome: e.Kind.String()}
	if b.desk.Refused(err) {
		v.to, v.outcome = contracts.StateQueued, ""
		v.next = now.Add(b.pauseFor(e))
		v.pause = v.next
		return v
	}
	switch e.Kind {
	case contracts.NotFound, contracts.Invalid, contracts.Conflict: // it was dealt with
		b.strike(r, false)
	}
	switch e.Kind {
	case contracts.NotFound:
		if next, _, ok := b.desk.Next(pinned(c, r), r.at); ok {
			return verdict{to: contracts.StateQueued, at: next, next: now, outcome: v.outcome}
		}
	case contracts.Throttled:
		v.to, v.next = contracts.StateQueued, now.Add(max(b.pauseFor(e), b.strike(r, true)))
		v.pause = v.next
	case contracts.Denied:
		// Who says when to come back refuses us at present (a mailbox's password), not this request: it is kept for the
		// day on which an operator has put that right.
		if e.After > 0 && !departed {
			v.to, v.next = contracts.StateQueued, now.Add(b.pauseFor(e))
			v.pause = v.next
			b.log.Warn("outbox: the far side does not let us in; tickets wait", slog.String("instance", r.at), slog.String("operation", r.op))
		}
	case contracts.Unavailable:
		b.retry(r, &v, now, e.After)
	case contracts.Pending:
		if r.effect == contracts.Once {
			v.to = contracts.StateUncertain
			break
		}
		if now.Sub(instant(r.since)) < b.cfg.Patience {
			v.to, v.next = contracts.StateQueued, now.Add(b.pauseFor(e))
		}
	case contracts.Canceled: // we broke it off; nothing with effect had left, says whoever knows
		if departed && r.effect == contracts.Once {
			v.to = contracts.StateUncertain
			break
		}
		if !b.stopping.Load() {
			b.retry(r, &v, now, e.After)
			break
		}
		v.to, v.next = contracts.StateQueued, now
	case contracts.Uncertain, contracts.Malformed, contracts.Internal:
		if r.effect == contracts.Read {
			if e.Kind == contracts.Uncertain {
				b.retry(r, &v, now, e.After)
			}
			break
		}
		if e.Kind == contracts.Uncertain || departed {
			v.to = contracts.StateUncertain
		}
	}
	if v.to == contracts.StateFailed && r.effect == contracts.Write && r.departed && !tells(e.Kind) {
		v.to = contracts.StateUncertain
		v.err = b.fault(contracts.Uncertain, r.op, "a try may have arrived, and what came of it is not known: %w", e)
	}
	if v.to == contracts.StateUncertain {
		v.next = b.askNext(r, bind, now)
	}
	return v
}

// tells reports whether an error of this kind speaks of the request itself, whose key the far side knows, and so of
// earlier tries too: not one from the door, and not silence.
func tells(k contracts.Kind) bool {
	return k == contracts.NotFound || k == contracts.Invalid || k == contracts.Conflict
}

// retry puts a ticket back for another try, if it has one left.
func (b *Box) retry(r *row, v *verdict, now time.Time, after time.Duration) {
	v.try = true
	if r.tries+1 >= b.cfg.Attempts {
		return
	}
	v.to = contracts.StateQueued
	v.next = now.Add(max(b.cfg.Backoff.after(r.tries+1, b.jitter), min(after, maxPause)))
}

// maxPause bounds what a far side's, or our own, "not before" may ask: the next day's quota is the longest that is meant.
const maxPause = 25 * time.Hour

func (b *Box) pauseFor(e *contracts.Error) time.Duration {
	return min(max(e.After, time.Second), maxPause)
}

// pinned is the call as it was submitted, for walking its route.
func pinned(c *contracts.Call, r *row) *contracts.Call {
	own := *c
	own.At = r.pin
	return &own
}

// settle commits a verdict. It tries until the store takes it, the lease is lost or Work is over.
func (b *Box) settle(j *job, v verdict) { b.settleWith(j, v, nil) }

// settleWith commits a verdict and what more belongs to it.
func (b *Box) settleWith(j *job, v verdict, more func(*store.Tx) error) {
	v = b.prepare(j, v)
	if !v.pause.IsZero() {
		b.pause(&j.row, v.pause)
	}
	waiting := j.waiting()
	read := false
	fn := func(tx *store.Tx) error {
		r := j.known()
		if read || r == nil {
			var err error
			if r, err = b.held(tx, j); err != nil {
				return err
			}
		}
		for _, f := range waiting { // it did not depart; the next try finds the same bytes
			if _, err := f.store(tx, j.id); err != nil {
				return err
			}
		}
		if err := b.apply(tx, r, j, v); err != nil || more == nil {
			return err
		}
		return more(tx)
	}
	err := b.insist(j.commit, fn)
	if errors.Is(err, errStale) { // an event came, a person intervened, or it is lost
		read = true
		err = b.insist(j.commit, fn)
	}
	if err != nil {
		b.log.Warn("outbox: what became of a ticket could not be stored; it will be taken up again", slog.String("ticket", j.id), slog.Any("error", err))
	}
}

// prepare seals the answer, outside of the transaction.
func (b *Box) prepare(j *job, v verdict) verdict {
	if v.answer == nil {
		return v
	}
	sealed, err := b.sealAnswer(j.id, v.answer)
	if err == nil {
		v.sealed = sealed
		return v
	}
	// An answer that cannot be stored was still given.
	v = verdict{to: contracts.StateFailed, err: b.fault(contracts.Internal, j.op, "the answer cannot be stored: %w", err), outcome: contracts.Internal.String()}
	if j.effect != contracts.Read {
		v.to = contracts.StateUncertain
	}
	return v
}

// insist writes with the first claim on the writer, again and again: what has happened must be written down.
func (b *Box) insist(ctx context.Context, fn func(*store.Tx) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := b.store.Write(ctx, store.Settle, fn)
		var known *contracts.Error
		if err == nil || errors.Is(err, errLost) || errors.Is(err, errStale) || errors.As(err, &known) && !known.Retryable() {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// known is the row of a running ticket as its worker knows it: nothing but events, persons and the loss of its lease
// changes it meanwhile. Nil where the worker does not know enough.
func (j *job) known() *row {
	if j.state != contracts.StateRunning || j.row.lot != "" || j.was == nil {
		return nil
	}
	was := *j.was
	was.departed = was.departed || j.departed.Load()
	r := was
	r.was, r.unread = &was, true
	return &r
}

// held loads a ticket that a worker believes to hold.
func (b *Box) held(tx *store.Tx, j *job) (*row, error) {
	r, err := byNumber(tx, j.n)
	if err != nil {
		return nil, fmt.Errorf("load ticket: %w", err)
	}
	if r.lease != b.lease || r.fence != j.fence || r.state != j.state {
		return nil, errLost
	}
	return r, nil
}

// apply carries a verdict out on the row.
func (b *Box) apply(tx *store.Tx, r *row, j *job, v verdict) error {
	to := v.to
	switch {
	case v.answer != nil:
		r.answer = v.sealed
		r.fail(nil)
		if v.folds && r.heard > 0 { // events came while it was carried out: fold them again, onto the answer
			moved, err := b.refold(tx, r, j, v.answer)
			if err != nil {
				return err
			}
			if moved != "" {
				to = moved
			}
		}
	case r.moved != "" && j.state == contracts.StateRunning: // events know better than a lost connection
		to = r.told()
	default:
		r.fail(v.err)
	}
	if to == contracts.StateQueued {
		r.departed = r.departed && r.effect == contracts.Write && j.state == contracts.StateRunning
		r.next = nanos(v.next)
		r.solo = r.solo || v.solo
		if v.at != "" {
			r.at, r.tries, r.solo = v.at, 0, false
		}
	}
	if to == contracts.StateUncertain {
		r.next = never
		if !v.next.IsZero() {
			r.next = nanos(v.next)
		}
	}
	if v.try {
		r.tries++
	}
	e := contracts.Entry{Outcome: v.outcome, System: j.at, Attempts: j.trail.take(), Reason: j.reason}
	if v.outcome != "" {
		e.Phase = contracts.PhaseOutcome
	}
	return b.transit(tx, r, to, j.caller, j.request, e)
}

// transit moves a ticket to a state and does, in the same transaction, all that goes with it: the entry (none where its
// phase is empty), the lane, and at the end erasure and the event for its owner.
func (b *Box) transit(tx *store.Tx, r *row, to contracts.State, who contracts.Caller, req any, e contracts.Entry) error {
	now := b.now()
	was := r.ended > 0
	r.state = to
	r.lot = ""
	if to != contracts.StateUncertain {
		r.recheck = 0
	}
	if to == contracts.StateQueued {
		r.moved = ""
	}
	if to != contracts.StateRunning {
		r.head = r.head && to == contracts.StateQueued
	}
	switch {
	case to.Settled():
		if !was {
			r.ended = now
			tx.After(func() { b.open.Add(-1) })
		}
		proof, err := b.redact(tx, r, req)
		if err != nil {
			return err
		}
		e.Proof = append(e.Proof, proof...)
		if err := b.tell(tx, r, who, now); err != nil {
			return err
		}
	case was:
		r.ended = 0
		tx.After(func() { b.open.Add(1) })
	}
	if err := r.save(tx, now); err != nil {
		return err
	}
	if err := free(tx, r.lane, r.rule, r.id); err != nil {
		return err
	}
	id, stirs := r.id, r.ordered() || to == contracts.StateQueued || to == contracts.StateUncertain || b.store.Recovered()
	tx.After(func() {
		if stirs { // others may be due now, or it may be, later
			b.ring()
		}
		b.notify(id)
	})
	if e.Phase == "" {
		return nil
	}
	switch {
	case r.effect == contracts.Read:
	case to.Settled():
		tx.Flush()
	default: // no end that anybody is told of; should a power cut take it, the ticket is uncertain, as it would be without it
		tx.FlushSoon()
	}
	return b.enter(tx, r, who, e)
}

// redact puts the redacted request in the place of one with a secret, erases the bytes made from it, and gives their
// digests.
func (b *Box) redact(tx *store.Tx, r *row, req any) ([]contracts.Sum, error) {
	with, ok := req.(contracts.Redactor)
	if !ok {
		return nil, nil
	}
	without, ok := with.Redacted()
	if !ok {
		return nil, nil
	}
	plain, err := contracts.Encode(without)
	if err != nil {
		return nil, err
	}
	sealed, err := b.store.Seal(inRequest, r.id, plain)
	if err != nil {
		return nil, err
	}
	r.redacted = true
	if _, err := tx.Exec(`UPDATE outbox_request SET request = ? WHERE n = ?`, sealed, r.n); err != nil {
		return nil, fmt.Errorf("redact request: %w", err)
	}
	if _, err := tx.Exec(`DELETE FROM outbox_slim WHERE n = ?`, r.n); err != nil {
		return nil, fmt.Errorf("redact request: %w", err)
	}
	sums, err := heldSums(tx, r.id)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(`DELETE FROM outbox_hold WHERE id = ?`, r.id); err != nil {
		return nil, fmt.Errorf("redact request: %w", err)
	}
	return sums, nil
}

// heldSums gives the digests of the bytes frozen for a ticket or a lot.
func heldSums(tx *store.Tx, id string) (sums []contracts.Sum, err error) {
	rows, err := tx.Query(`SELECT sum FROM outbox_hold WHERE id = ? ORDER BY name`, id)
	if err != nil {
		return nil, fmt.Errorf("read digests: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("read digests: %w", err)
		}
		var sum contracts.Sum
		copy(sum[:], raw)
		sums = append(sums, sum)
	}
	return sums, rows.Err()
}

// tell lets a ticket's owner hear that it was settled.
func (b *Box) tell(tx *store.Tx, r *row, who contracts.Caller, now int64) error {
	what := struct {
		Op    string          `json:"op"`
		State contracts.State `json:"state"`
		Kind  string          `json:"kind,omitempty"`
		Code  string          `json:"code,omitempty"`
	}{Op: r.op, State: r.state}
	if e := r.failure(); e != nil && r.state == contracts.StateFailed {
		what.Kind, what.Code = e.Kind.String(), e.Code
	}
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	return b.teller.Tell(tx, contracts.Event{
		ID:   r.id + "." + strconv.Itoa(r.heard) + "." + strconv.FormatInt(r.fence, 10) + "." + string(r.state),
		Kind: contracts.EventSettled, Ref: r.id, Subject: who.Case, Owner: r.owner, At: instant(now), Data: data,
	})
}
