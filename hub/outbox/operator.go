package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"raccordo/contracts"
	"raccordo/hub/store"
)

const maxReason = 500 // bytes of an operator's words

// Settle moves a ticket by a person's decision, with an entry that names person and reason. Legal are: any unsettled
// ticket to abandoned; an uncertain or waiting one to done (with a result, in the operation's own form, or none where
// the answer so far is enough) or failed; a failed one to abandoned. A ticket in a worker's hands is taken away from it;
// a Write or Once that may have left can then only have been settled by what the person knows.
func (b *Box) Settle(ctx context.Context, id string, to contracts.State, result json.RawMessage, operator, reason string) error {
	if err := b.signed(operator, reason); err != nil {
		return err
	}
	if !to.Settled() {
		return b.fault(contracts.Invalid, "settle", "want done, failed or abandoned, not %q", to)
	}
	if to != contracts.StateDone && len(result) > 0 {
		return b.fault(contracts.Invalid, "settle", "only a ticket that is done has a result")
	}
	return b.byHand(ctx, "settle", id, func(tx *store.Tx, r *row) error {
		switch {
		case r.state == contracts.StateFailed && to == contracts.StateAbandoned:
		case r.ended > 0:
			return b.fault(contracts.Conflict, "settle", "the ticket is already %s", r.state)
		case to == contracts.StateAbandoned:
		case r.state == contracts.StateUncertain || r.state == contracts.StateWaiting:
		default:
			return b.fault(contracts.Conflict, "settle", "a ticket that is %s can only be abandoned", r.state)
		}
		if len(result) > 0 {
			op := b.desk.Op(r.op)
			if op == nil {
				return b.fault(contracts.Unavailable, "settle", "%w", errNoOp)
			}
			answer, err := op.Response(result)
			if err != nil {
				return b.fault(contracts.Invalid, "settle", "the result is not one of %s", r.op)
			}
			if r.answer, err = b.sealAnswer(r.id, answer); err != nil {
				return err
			}
		}
		switch to {
		case contracts.StateDone:
			if len(r.answer) == 0 {
				return b.fault(contracts.Invalid, "settle", "there is no answer so far: give the result")
			}
			r.fail(nil)
		case contracts.StateFailed:
			if r.failure() == nil {
				r.fail(b.fault(contracts.Conflict, r.op, "settled as failed by an operator"))
			}
		}
		return b.moveByHand(tx, r, to, operator, reason)
	})
}

// Retry puts a failed or uncertain ticket back in the queue, for a person who takes the responsibility that it may
// happen twice, with an entry that names person and reason.
func (b *Box) Retry(ctx context.Context, id, operator, reason string) error {
	if err := b.signed(operator, reason); err != nil {
		return err
	}
	return b.byHand(ctx, "retry", id, func(tx *store.Tx, r *row) error {
		if r.state != contracts.StateFailed && r.state != contracts.StateUncertain {
			return b.fault(contracts.Conflict, "retry", "a ticket that is %s is not retried", r.state)
		}
		if r.redacted {
			return b.fault(contracts.Conflict, "retry", "its message was erased when it was settled; submit it again under a new key")
		}
		r.tries, r.departed = 0, false
		r.next = b.now()
		return b.moveByHand(tx, r, contracts.StateQueued, operator, reason)
	})
}

func (b *Box) signed(operator, reason string) error {
	if strings.TrimSpace(operator) == "" || strings.TrimSpace(reason) == "" {
		return b.fault(contracts.Invalid, "operator", "who intervenes and why must both be said")
	}
	if len(operator) > maxReason || len(reason) > maxReason {
		return b.fault(contracts.Invalid, "operator", "name and reason have at most %d bytes each", maxReason)
	}
	return nil
}

func (b *Box) byHand(ctx context.Context, what, id string, fn func(*store.Tx, *row) error) error {
	defer b.begin()()
	return b.store.Write(ctx, store.Accept, func(tx *store.Tx) error {
		tx.Flush()
		r, err := byID(tx, id)
		if noRows(err) {
			return b.fault(contracts.NotFound, what, "no such ticket")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return fn(tx, r)
	})
}

// moveByHand takes the ticket from whoever holds it and moves it.
func (b *Box) moveByHand(tx *store.Tx, r *row, to contracts.State, operator, reason string) error {
	who, err := b.callerOf(tx, r)
	if err != nil {
		who = contracts.Caller{Service: r.owner, Purpose: r.purpose}
	}
	var req any
	if to.Settled() {
		if req, err = b.requestOf(tx, r); err != nil { // it can still be given up; its secret is as unreadable as before
			b.log.Warn("outbox: the request of a ticket that is settled by hand cannot be read", slog.String("ticket", r.id), slog.Any("error", err))
			req = nil
		}
	}
	r.fence++
	r.lease = ""
	who.User = operator
	was := r.state
	return b.transit(tx, r, to, who, req, contracts.Entry{
		Phase: contracts.PhaseOperator, Outcome: string(was) + " to " + string(to), Reason: reason,
	})
}
