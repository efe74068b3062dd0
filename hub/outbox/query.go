package outbox

import (
	"context"
	"encoding/json"
	"fmt"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// Ticket gives the present state of a ticket. Another owner's ticket is NotFound; owner "" is the operator, who sees all.
func (b *Box) Ticket(ctx context.Context, owner, id string) (t contracts.Ticket, err error) {
	err = b.store.Read(ctx, func(v *store.View) error {
		r, err := byID(v, id)
		if noRows(err) || err == nil && owner != "" && r.owner != owner {
			return b.fault(contracts.NotFound, "ticket", "no such ticket")
		}
		if err != nil {
			return fmt.Errorf("read ticket: %w", err)
		}
		t, err = b.show(v, r)
		return err
	})
	return t, err
}

// A Query selects tickets for operators; empty fields select all.
type Query struct {
	State contracts.State
	Op    string
	Lane  string
	After string // the id of the last ticket of the page before
	Max   int    // at most 1000; zero: 100
}

// List gives a page of tickets in the order of their acceptance, without answers.
func (b *Box) List(ctx context.Context, q Query) (page []contracts.Ticket, err error) {
	if q.Max <= 0 {
		q.Max = 100
	}
	q.Max = min(q.Max, 1000)
	err = b.store.Read(ctx, func(v *store.View) error {
		page = nil
		var after int64
		if q.After != "" {
			r, err := byID(v, q.After)
			if noRows(err) {
				return b.fault(contracts.NotFound, "list tickets", "no such ticket to go on from")
			}
			if err != nil {
				return fmt.Errorf("list tickets: %w", err)
			}
			after = r.n
		}
		text := `SELECT ` + columns + ` FROM outbox_ticket WHERE n > ?`
		args := []any{after}
		if q.State != "" {
			text, args = text+` AND state = ?`, append(args, string(q.State))
		}
		if q.Op != "" {
			text, args = text+` AND op = ?`, append(args, q.Op)
		}
		if q.Lane != "" {
			text, args = text+` AND lane <> '' AND substr(lane, instr(lane, char(31)) + 1) = ?`, append(args, q.Lane)
		}
		rows, err := v.Query(text+` ORDER BY n LIMIT ?`, append(args, q.Max)...)
		if err != nil {
			return fmt.Errorf("list tickets: %w", err)
		}
		defer rows.Close()
		var found []*row
		for rows.Next() {
			r, err := scan(rows)
			if err != nil {
				return fmt.Errorf("list tickets: %w", err)
			}
			found = append(found, r)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("list tickets: %w", err)
		}
		for _, r := range found {
			who, err := b.callerOf(v, r)
			if err != nil {
				b.log.Warn("outbox: caller of a ticket cannot be read", "ticket", r.id, "error", err)
			}
			t, err := b.ticket(v, r, who, nil)
			if err != nil {
				return err
			}
			page = append(page, t)
		}
		return nil
	})
	return page, err
}

// Waiting gives a page of the tickets that an instance has carried out and that wait for an event, in the order of their
// acceptance, with the answer so far: for adapters that look for what should have come. after is the last ticket's id of
// the page before; max is at most 1000.
func (b *Box) Waiting(ctx context.Context, instance, after string, max int) (page []contracts.Ticket, err error) {
	max = min(max, 1000)
	err = b.store.Read(ctx, func(v *store.View) error {
		page = nil
		rows, err := v.Query(`SELECT id, op, since, answer FROM outbox_ticket
			WHERE state = ? AND at = ? AND n > (SELECT coalesce(max(n), 0) FROM outbox_ticket WHERE id = ?) ORDER BY n LIMIT ?`,
			string(contracts.StateWaiting), instance, after, max)
		if err != nil {
			return fmt.Errorf("list waiting tickets: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			t := contracts.Ticket{At: instance, State: contracts.StateWaiting}
			var since int64
			var answer []byte
			if err := rows.Scan(&t.ID, &t.Op, &since, &answer); err != nil {
				return fmt.Errorf("list waiting tickets: %w", err)
			}
			t.Since = instant(since)
			if t.Detail, err = b.store.Unseal(inAnswer, t.ID, answer); err != nil {
				b.log.Warn("outbox: the answer so far of a ticket cannot be read", "ticket", t.ID, "error", err)
			}
			page = append(page, t)
		}
		return rows.Err()
	})
	return page, err
}

// show reads what else a ticket shows, and shows it.
func (b *Box) show(q store.Querier, r *row) (contracts.Ticket, error) {
	who, err := b.callerOf(q, r)
	if err != nil {
		return contracts.Ticket{}, err
	}
	plain, err := b.store.Unseal(inAnswer, r.id, r.answer)
	if err != nil {
		return contracts.Ticket{}, err
	}
	return b.ticket(q, r, who, plain)
}

func (b *Box) ticket(q store.Querier, r *row, who contracts.Caller, answer []byte) (contracts.Ticket, error) {
	t := contracts.Ticket{
		ID: r.id, Op: r.op, Owner: r.owner, Case: who.Case, At: r.at, Lane: r.laneOf(), State: r.state, Tries: r.tries,
		Due: instant(r.due), Since: instant(r.since), Err: r.failure(),
	}
	switch {
	case r.ended > 0:
		t.Result = answer
	case answer != nil:
		t.Detail = answer
	case r.state == contracts.StateQueued && r.rule == contracts.Strict:
		gap, err := missing(q, r.lane, r.pos)
		if err != nil {
			return t, fmt.Errorf("read lane: %w", err)
		}
		if gap > 0 {
			t.Detail = json.RawMessage(fmt.Sprintf(`{"missing_position":%d}`, gap))
		}
	}
	if r.state == contracts.StateQueued || r.state == contracts.StateUncertain {
		t.Next = instant(r.next)
	}
	return t, nil
}

// A Kept is bytes that were frozen for a ticket.
type Kept struct {
	Name  string
	Sum   contracts.Sum
	Bytes []byte
}

// Kept gives the bytes frozen for a ticket, by name, for evidence; none once a secret's were erased.
func (b *Box) Kept(ctx context.Context, id string) (all []Kept, err error) {
	err = b.store.Read(ctx, func(v *store.View) error {
		all = nil
		rows, err := v.Query(`SELECT name, sum, bytes FROM outbox_hold WHERE id = ? ORDER BY name`, id)
		if err != nil {
			return fmt.Errorf("read kept bytes: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var (
				k   Kept
				sum []byte
			)
			if err := rows.Scan(&k.Name, &sum, &k.Bytes); err != nil {
				return fmt.Errorf("read kept bytes: %w", err)
			}
			copy(k.Sum[:], sum)
			all = append(all, k)
		}
		return rows.Err()
	})
	for i := range all {
		if all[i].Bytes, err = b.store.Unseal(inHold, id+"/"+all[i].Name, all[i].Bytes); err != nil {
			return nil, err
		}
	}
	return all, err
}

// Request gives what a ticket asks, in its redacted form where it has one and is settled. For evidence and operators.
func (b *Box) Request(ctx context.Context, id string) (req any, err error) {
	err = b.store.Read(ctx, func(v *store.View) error {
		r, err := byID(v, id)
		if noRows(err) {
			return b.fault(contracts.NotFound, "ticket", "no such ticket")
		}
		if err != nil {
			return fmt.Errorf("read ticket: %w", err)
		}
		req, err = b.requestOf(v, r)
		return err
	})
	return req, err
}
