package outbox

import (
	"fmt"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// Fold applies an event to the ticket that it names, in the feed's transaction: the answer so far, the state, the lane
// and the entry change together with the event's being kept. It gives the ticket's owner, or "" when there is no such
// ticket. A settled ticket is moved too: a receipt that comes late is still the truth.
//
// An error of Kind Malformed means that this event cannot be folded, and that nothing was changed; any other error is
// about the store, and the transaction must not be committed.
func (b *Box) Fold(tx *store.Tx, instance string, e contracts.Event) (owner string, err error) {
	r, err := byID(tx, e.Ref)
	if noRows(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("fold event: %w", err)
	}
	var caller, slim, request []byte
	if err := tx.QueryRow(selectFold, r.n).Scan(&caller, &slim, &request); err != nil {
		return "", fmt.Errorf("fold event: read request: %w", err)
	}
	who, err := b.openCaller(r, caller)
	if err != nil {
		return "", b.unfoldable(r, err)
	}
	entry := contracts.Entry{Phase: contracts.PhaseEvent, Outcome: e.Kind, System: instance, Proof: e.Proof}
	bind := b.desk.Binding(r.op, instance)
	if bind == nil || bind.Fold == nil { // told, but moves nothing
		return r.owner, b.enter(tx, r, who, entry)
	}
	req, err := b.openSlim(bind.Op, r, slim, request)
	if err != nil {
		return "", b.unfoldable(r, err)
	}
	sofar, err := b.answerOf(bind.Op, r)
	if err != nil {
		return "", b.unfoldable(r, err)
	}
	answer, move, err := foldOne(bind, req, sofar, e)
	if err != nil {
		return "", b.unfoldable(r, err)
	}
	sealed, err := b.sealAnswer(r.id, answer)
	if err != nil {
		return "", b.unfoldable(r, err)
	}
	if sealed != nil {
		r.answer = sealed
	}
	r.heard++
	to := landing(r, move)
	if to == "" || r.state == contracts.StateRunning && r.lot == "" {
		// Nothing moves, or a worker has it in hand: its own commit folds again, onto the answer it brings. Should it bring
		// none, what was told counts, the reason of a failure included.
		if to == contracts.StateFailed {
			r.fail(move.Err)
		}
		if err := r.save(tx, b.now()); err != nil {
			return "", err
		}
		return r.owner, b.enter(tx, r, who, entry)
	}
	if to == contracts.StateFailed {
		r.fail(move.Err)
	} else {
		r.fail(nil)
	}
	if to == contracts.StateUncertain {
		r.next = nanos(b.askNext(r, bind, b.clock.Now()))
		r.fail(b.fault(contracts.Uncertain, r.op, "an event left it open whether it happened"))
	}
	return r.owner, b.transit(tx, r, to, who, req, entry)
}

// selectFold reads a request only where there is no slim form of it.
const selectFold = `SELECT r.caller, s.slim, CASE WHEN s.slim IS NULL THEN r.request END
	FROM outbox_request r LEFT JOIN outbox_slim s ON s.n = r.n WHERE r.n = ?`

// openSlim opens what a fold is given of a request.
func (b *Box) openSlim(op *contracts.OpInfo, r *row, slim, request []byte) (any, error) {
	if len(slim) == 0 {
		return b.openRequest(op, r, request)
	}
	plain, err := b.store.Unseal(inSlim, r.id, slim)
	if err != nil {
		return nil, err
	}
	return op.StoredRequest(plain)
}

// landing notes what an event makes of a ticket and gives the state to move it to; empty: it stays. A settled ticket can
// change its end, but does not become unsettled.
func landing(r *row, move contracts.Move) contracts.State {
	if move.To == "" {
		return ""
	}
	r.moved = string(move.To)
	if r.ended > 0 && !move.To.Settled() {
		return ""
	}
	if move.To == r.state && r.state != contracts.StateFailed {
		return ""
	}
	return move.To
}

// told gives what events made of a ticket while a worker had it in hand. The reason of a failure was noted with the event.
func (r *row) told() contracts.State {
	to := contracts.State(r.moved)
	if to != contracts.StateFailed {
		r.fail(nil)
	}
	return to
}

// refold folds what has come for a ticket onto the answer that its worker brings, and gives the state that makes.
func (b *Box) refold(tx *store.Tx, r *row, j *job, answer any) (to contracts.State, err error) {
	events, err := b.teller.Events(tx, r.id)
	if err != nil {
		return "", fmt.Errorf("fold events: %w", err)
	}
	var last contracts.Move
	for _, e := range events {
		bind := b.desk.Binding(r.op, e.Source)
		if bind == nil || bind.Fold == nil {
			continue
		}
		next, move, err := foldOne(bind, j.request, answer, e)
		if err != nil { // it folded before, alone; what it told stands in the answer so far no longer, but is kept
			b.log.Warn("outbox: an event could not be folded onto the answer", "ticket", r.id, "kind", e.Kind, "error", err)
			continue
		}
		answer = next
		if move.To != "" {
			last = move
		}
	}
	sealed, err := b.sealAnswer(r.id, answer)
	if err != nil {
		return "", err
	}
	r.answer = sealed
	if last.To == contracts.StateFailed {
		r.fail(last.Err)
	}
	return last.To, nil
}

// foldOne calls the adapter's fold, which must not be able to bring the writer down.
func foldOne(bind *contracts.Binding, req, sofar any, e contracts.Event) (answer any, move contracts.Move, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the fold panicked (%T)", p)
		}
	}()
	answer, move, err = bind.Fold(req, sofar, e)
	switch {
	case err != nil:
	case move.To != "" && move.To != contracts.StateWaiting && move.To != contracts.StateUncertain && move.To != contracts.StateDone &&
		move.To != contracts.StateFailed:
		err = fmt.Errorf("the fold moved the ticket to %q", move.To)
	}
	return answer, move, err
}

func (b *Box) unfoldable(r *row, err error) error {
	return b.fault(contracts.Malformed, r.op, "fold event onto ticket %s: %w", r.id, err)
}
