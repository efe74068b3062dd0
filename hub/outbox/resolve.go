package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// surveyUncertain adds the questions that are due, for at most half of the places: a restored store may hold very many.
func (b *Box) surveyUncertain(q store.Querier, p *plan, now int64, max int) error {
	rows, err := q.Query(selectUncertain)
	if err != nil {
		return fmt.Errorf("survey uncertain tickets: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n, next int64
		if err := rows.Scan(&n, &next); err != nil {
			return fmt.Errorf("survey uncertain tickets: %w", err)
		}
		if next > now {
			p.note(next)
			break
		}
		if len(p.resolve) == (max+1)/2 {
			break
		}
		p.resolve = append(p.resolve, n)
	}
	return rows.Err()
}

// claimQuestion takes an uncertain ticket in order to ask about it. The ticket stays uncertain, and is asked about again
// later should this process die.
func (b *Box) claimQuestion(tx *store.Tx, n int64) (*job, error) {
	now := b.now()
	j, err := claimable(tx.QueryRow(selectJob, n), func(r *row) bool { return r.state == contracts.StateUncertain && r.next <= now })
	if err != nil {
		return nil, err
	}
	r := &j.row
	r.lease = b.lease
	r.fence++
	r.next = now + int64(max(b.cfg.CallFor, b.cfg.ResolveEvery))
	if err := r.save(tx, now); err != nil {
		return nil, err
	}
	return j, nil
}

// ask asks whether it happened, and settles the ticket by an answer with authority.
func (b *Box) ask(ctx context.Context, j *job) {
	c, bind, err := b.ready(j)
	if err != nil {
		b.settle(j, b.cannot(j, err))
		return
	}
	now := b.clock.Now()
	stay := verdict{to: contracts.StateUncertain, err: j.failure(), next: b.askNext(&j.row, bind, now)}
	if stay.err == nil {
		stay.err = b.fault(contracts.Uncertain, j.op, "it may have happened before the store was restored; not sent again until that is known")
	}
	if bind.Resolve == nil {
		b.settle(j, b.unheard(j, bind, stay))
		return
	}
	j.reason = "asked whether it happened"
	answer, err := b.exchange(ctx, j, c, b.desk.Resolve)
	if err == nil {
		b.settle(j, b.judge(&j.row, c, bind, answer, nil, false))
		return
	}
	e := contracts.AsError(err)
	if !b.desk.Refused(err) {
		stay.outcome = e.Kind.String()
	}
	switch {
	case e.Kind == contracts.NotFound && j.effect == contracts.Write:
		b.settle(j, verdict{to: contracts.StateQueued, next: now, outcome: stay.outcome})
	case e.Kind == contracts.NotFound, e.Kind == contracts.Uncertain && j.recheck != 0: // it was asked, and cannot tell
		b.settle(j, b.unheard(j, bind, stay))
	default:
		if e.Kind == contracts.Uncertain || e.Kind == contracts.Conflict {
			known := *e // by now, such as that no receipt came in time, or only receipts that nobody can believe
			known.Kind = contracts.Uncertain
			stay.err = &known
		}
		if !stay.next.IsZero() && e.After > 0 {
			stay.next = later(stay.next, now.Add(min(e.After, maxPause)))
		}
		b.settle(j, stay)
	}
}

// unheard decides about a ticket of which no register can tell. One that is uncertain by its own history stays so. One
// that was only not yet carried out in a restored copy leaves when the hold has passed and the events of its instance
// have been read since: had it been sent, they would have told.
func (b *Box) unheard(j *job, bind *contracts.Binding, stay verdict) verdict {
	if j.recheck == 0 {
		return stay
	}
	now := b.clock.Now()
	hold := instant(j.recheck)
	if now.Before(hold) {
		stay.next = hold
		return stay
	}
	if bind.Fold != nil && b.teller.Heard(j.at).Before(hold) {
		b.log.Warn("outbox: a ticket of a restored store waits for its instance's events to be read", slog.String("ticket", j.id), slog.String("instance", j.at))
		stay.next = now.Add(time.Minute)
		return stay
	}
	return verdict{to: contracts.StateQueued, next: now, outcome: stay.outcome}
}

// askNext is when to ask (again): a quarter of the ticket's age from now, between ResolveEvery and an hour; never where
// nobody can be asked.
func (b *Box) askNext(r *row, bind *contracts.Binding, now time.Time) time.Time {
	if r.recheck == 0 && (bind == nil || bind.Resolve == nil) {
		return time.Unix(0, never)
	}
	wait := min(max(now.Sub(instant(r.since))/4, b.cfg.ResolveEvery), max(time.Hour, b.cfg.ResolveEvery))
	return now.Add(wait)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
