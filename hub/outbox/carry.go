package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"raccordo/contracts"
)

var (
	// The causes wrap the context's own errors, so that an adapter that passes a cause on is understood.
	errTooLong = fmt.Errorf("the exchange took longer than call_for: %w", context.DeadlineExceeded)
	errDrained = fmt.Errorf("the hub is shutting down: %w", context.Canceled)
)

// carry does one job and settles it. It gives the job that this worker goes on with, if there is one.
func (b *Box) carry(ctx context.Context, j *job) (next *job) {
	switch {
	case j.list != nil:
		b.carryLot(ctx, j)
	case j.state == contracts.StateUncertain:
		b.ask(ctx, j)
	default:
		return b.carryOne(ctx, j)
	}
	return nil
}

// carryOne makes one exchange for one ticket.
func (b *Box) carryOne(ctx context.Context, j *job) (next *job) {
	c, bind, err := b.ready(j)
	if err != nil {
		b.settle(j, b.cannot(j, err))
		return nil
	}
	if bind.Do == nil { // its list form has gone, or there never was another
		b.settle(j, b.cannot(j, errNoForm))
		return nil
	}
	if j.place != nil {
		ctx = contracts.WithPlace(ctx, j.place.Name)
	}
	answer, err := b.exchange(ctx, j, c, b.desk.Do)
	if j.place != nil { // it is free before the answer is stored
		j.place.used = err == nil || !b.desk.Refused(err)
		j.place.release()
	}
	if err != nil && contracts.KindOf(err) == contracts.Internal && j.trail.sent() {
		j.row.departed = j.effect == contracts.Write // what is our own fault says nothing of what has left
	}
	v := b.judge(&j.row, c, bind, answer, err, j.departed.Load())
	if j.place == nil {
		b.settle(j, v)
		return nil
	}
	return b.goOn(j, b.spread(j, v, err), bind)
}

var errNoForm = errors.New("the instance has no form in which to ask for one alone")

// ready decodes what was stored and finds who performs it.
func (b *Box) ready(j *job) (*contracts.Call, *contracts.Binding, error) {
	op := b.desk.Op(j.op)
	bind := b.desk.Binding(j.op, j.at)
	if op == nil || bind == nil {
		return nil, nil, errNoOp
	}
	var err error
	if j.caller, err = b.openCaller(&j.row, j.sealedCaller); err != nil {
		return nil, nil, err
	}
	if j.request, err = b.openRequest(op, &j.row, j.sealedRequest); err != nil {
		return nil, nil, err
	}
	j.sealedCaller, j.sealedRequest = nil, nil
	return &contracts.Call{Op: op, Request: j.request, Caller: j.caller, Key: j.id, At: j.at, Due: instant(j.due)}, bind, nil
}

// cannot is the verdict on a ticket that cannot even be asked about: an operation that is not configured, a request
// whose key is lost. It is our own fault and may be mended, so it waits and costs no try.
func (b *Box) cannot(j *job, err error) verdict {
	b.log.Error("outbox: a ticket cannot be carried out", slog.String("ticket", j.id), slog.String("operation", j.op),
		slog.String("instance", j.at), slog.Any("error", err))
	e := b.fault(contracts.Unavailable, j.op, "nothing was asked: %w", err)
	v := verdict{to: contracts.StateQueued, err: e, next: b.clock.Now().Add(b.cfg.Backoff.Max)}
	if j.state == contracts.StateUncertain {
		v.to = contracts.StateUncertain
		return v
	}
	if errors.Is(err, errNoOp) || errors.Is(err, errNoForm) { // all of its kind are in the same case
		v.pause = v.next
	}
	return v
}

// exchange asks through the desk, with the ticket's hold and trail in the context, for as long as one exchange may take.
func (b *Box) exchange(ctx context.Context, j *job, c *contracts.Call, ask func(context.Context, *contracts.Call) (any, error)) (answer any, err error) {
	ctx, cancel := b.limit(ctx, j, c)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // the panic's own text may hold anything
			b.log.Error("outbox: an adapter panicked", slog.String("ticket", j.id), slog.String("operation", j.op),
				slog.String("instance", j.at), slog.String("type", fmt.Sprintf("%T", p)))
			answer, err = nil, b.fault(contracts.Internal, j.op, "the adapter panicked (%T)", p)
		}
	}()
	return ask(ctx, c)
}

// limit makes the context of one exchange.
func (b *Box) limit(ctx context.Context, j *job, c *contracts.Call) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.cfg.CallFor, errTooLong)
	ctx = contracts.WithCaller(ctx, c.Caller)
	ctx = contracts.WithCall(ctx, c)
	ctx = contracts.WithHold(ctx, holder{b, j})
	return contracts.WithTrail(ctx, &j.trail), cancel
}
