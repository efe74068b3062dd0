package contracttest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"raccordo/contracts"
)

const (
	firstWait = time.Minute      // between two questions about an outcome that is still open
	longWait  = 15 * time.Minute // what the waits grow to
	maxFaults = 1000             // errors kept for inspection
)

// A ticket is a call that Direct has promised to carry out. It is guarded by Runner.mu.
type ticket struct {
	call    contracts.Call
	binding contracts.Binding
	hold    *hold
	req     any // as it came back from storage
	sum     contracts.Sum
	handle  []byte // of a started list
	wait    time.Duration
	pub     contracts.Ticket
}

// stuck reports whether nothing but a person can move the ticket: uncertain, and neither events nor a question tell.
func (tk *ticket) stuck() bool {
	return tk.pub.State == contracts.StateUncertain && tk.binding.Fold == nil && tk.binding.Resolve == nil
}

// later lets waits grow, so that three virtual days cost some hundred questions.
func (tk *ticket) later(first time.Duration) time.Duration {
	tk.wait = min(max(2*tk.wait, first), max(longWait, first))
	return tk.wait
}

// step does what is due for a ticket, and gives the instant at which to come again.
func (r *Runner) step(ctx context.Context, tk *ticket) time.Time {
	now := r.clock.Now()
	if tk.pub.Next.After(now) && !tk.pub.State.Settled() {
		return tk.pub.Next
	}
	tk.pub.Next = time.Time{}
	wait := time.Duration(0)
	switch tk.pub.State {
	case contracts.StateQueued:
		wait = r.carryOut(ctx, tk)
	case contracts.StateWaiting, contracts.StateUncertain:
		if tk.handle != nil {
			wait = r.collect(ctx, tk)
			break
		}
		moved, every := r.poll(ctx, tk)
		if moved {
			tk.wait = 0
			break
		}
		wait = tk.later(every)
		if tk.pub.State == contracts.StateUncertain && tk.binding.Resolve != nil {
			r.resolve(ctx, tk)
		}
	default:
		r.poll(ctx, tk)
	}
	if !tk.pub.State.Settled() {
		tk.pub.Next = now.Add(wait)
	}
	return now.Add(wait)
}

// carryOut does the call, or starts its list.
func (r *Runner) carryOut(ctx context.Context, tk *ticket) time.Duration {
	tk.pub.Tries++
	ctx = r.carry(ctx, &tk.call, tk.hold)
	if tk.binding.Do == nil {
		if tk.binding.List == nil {
			tk.fail(refuse(contracts.Internal, tk.pub.Op, "binding: neither a single nor a list form"))
			return 0
		}
		handle, err := tk.binding.List.Start(ctx, []any{tk.req})
		if err != nil {
			return r.failed(tk, err)
		}
		tk.handle, tk.pub.State = append([]byte{}, handle...), contracts.StateWaiting
		return 0
	}
	out, err := tk.binding.Do(ctx, tk.req)
	if err != nil {
		return r.failed(tk, err)
	}
	r.answered(tk, out)
	return 0
}

// answered takes an answer: the last, or with a fold the answer so far.
func (r *Runner) answered(tk *ticket, out any) {
	if tk.binding.Fold == nil {
		tk.settle(contracts.StateDone, out, nil)
		return
	}
	tk.pub.State = contracts.StateWaiting
	tk.remember(out)
}

// failed decides what an error makes of a ticket, as a hub would.
func (r *Runner) failed(tk *ticket, err error) time.Duration {
	e := contracts.AsError(err)
	switch e.Kind {
	case contracts.Unavailable, contracts.Throttled:
		if tk.pub.Tries < r.triesOf(tk) {
			tk.pub.State = contracts.StateQueued
			return max(e.After, tk.later(firstWait))
		}
	case contracts.Uncertain:
		tk.pub.State, tk.pub.Err = contracts.StateUncertain, e
		return 0
	case contracts.Pending:
		tk.pub.State = contracts.StateWaiting
		return max(e.After, firstWait)
	case contracts.Canceled:
		if tk.hold.hasDeparted() && tk.call.Op.Effect != contracts.Read {
			tk.pub.State = contracts.StateUncertain
			tk.pub.Err = refuse(contracts.Uncertain, tk.pub.Op, "given up after departure: %w", err)
		}
		return 0 // else still queued: nothing has left, and a ticket outlives whoever waits for it
	}
	tk.fail(e)
	return 0
}

// collect asks for a list's answers.
func (r *Runner) collect(ctx context.Context, tk *ticket) time.Duration {
	got, err := tk.binding.List.Collect(r.carry(ctx, &tk.call, tk.hold), tk.handle, []any{tk.req})
	switch {
	case err == nil && len(got) != 1:
		tk.fail(refuse(contracts.Internal, tk.pub.Op, "list of 1 collected %d answers", len(got)))
	case err == nil && got[0].Err != nil:
		tk.fail(contracts.AsError(got[0].Err))
	case err == nil:
		tk.settle(contracts.StateDone, got[0].Value, nil)
	case contracts.KindOf(err) == contracts.Pending:
		return max(contracts.AsError(err).After, tk.later(firstWait))
	case contracts.KindOf(err) == contracts.NotFound: // the far side forgot the list
		if tk.pub.Tries < r.tries {
			tk.handle, tk.pub.State = nil, contracts.StateQueued
			return 0
		}
		tk.fail(refuse(contracts.Unavailable, tk.pub.Op, "collect: the far side forgot the list %d times", tk.pub.Tries))
	case contracts.AsError(err).Retryable() && tk.pub.Tries < r.triesOf(tk):
		tk.pub.Tries++ // the list stands; only asking for it failed
		return max(contracts.AsError(err).After, tk.later(firstWait))
	default:
		return r.failed(tk, err)
	}
	return 0
}

// triesOf is how often a call is carried out: a Read once, since its wire repeats it.
func (r *Runner) triesOf(tk *ticket) int {
	if tk.call.Op.Effect == contracts.Read {
		return 1
	}
	return r.tries
}

// resolve asks whether it happened.
func (r *Runner) resolve(ctx context.Context, tk *ticket) {
	out, err := tk.binding.Resolve(r.carry(ctx, &tk.call, tk.hold), tk.req)
	switch {
	case err == nil:
		r.answered(tk, out)
	case contracts.KindOf(err) == contracts.NotFound && tk.call.Op.Effect == contracts.Write:
		tk.pub.State, tk.pub.Err = contracts.StateQueued, nil // the wire knows our key
	}
}

// poll reads the adapter's feed once, or that of each of its sources, and folds what it brought. It reports whether
// anything came, and how long the adapter wants to be left alone otherwise.
func (r *Runner) poll(ctx context.Context, tk *ticket) (moved bool, every time.Duration) {
	sources := r.sources()
	if len(sources) == 0 || tk.binding.Fold == nil {
		return false, firstWait
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		f := sources[name]
		if d := max(f.Every(), time.Second); every == 0 || d < every {
			every = d
		}
		events, cursor, err := f.Feed(contracts.WithCaller(ctx, contracts.Caller{}), r.cursors[name])
		if err != nil {
			r.fault(fmt.Errorf("feed: %w", err))
			continue
		}
		r.cursors[name] = bytes.Clone(cursor)
		for _, e := range events {
			moved = r.hear(e) || moved
		}
	}
	return moved, every
}

func (r *Runner) sources() map[string]contracts.Feeder {
	switch a := r.adapter.(type) {
	case contracts.Sources:
		return a.Sources()
	case contracts.Feeder:
		return map[string]contracts.Feeder{"": a}
	}
	return nil
}

// hear takes an event to its ticket, once. Its raw bytes must be named by its proofs, as the hub demands.
func (r *Runner) hear(e contracts.Event) (fresh bool) {
	if r.seen[e.ID] {
		return false
	}
	r.seen[e.ID] = true
	for _, raw := range e.Raw {
		if len(raw) > contracts.MaxRaw || !slices.Contains(e.Proof, contracts.SumOf(raw)) {
			r.fault(fmt.Errorf("event %s: raw bytes that are too many, or not among its proofs", e.Kind))
		}
	}
	e.Raw = nil
	if to, ok := r.tickets[e.Ref]; ok && to.binding.Fold != nil {
		r.fold(to, e)
		to.pub.Next = time.Time{}
	} else {
		r.strays = append(r.strays, e)
	}
	return true
}

// fold moves a ticket by an event, twice, since a fold that is not pure gives two answers.
func (r *Runner) fold(tk *ticket, e contracts.Event) {
	e.Owner = tk.pub.Owner
	req := tk.req
	if with, ok := req.(contracts.Slimmer); ok { // as a hub may
		req, _ = with.Slim()
	}
	first, move, err := tk.binding.Fold(req, tk.stored(), e)
	if err != nil {
		r.fault(fmt.Errorf("fold %s: %w", e.Kind, err))
		return
	}
	again, _, _ := tk.binding.Fold(req, tk.stored(), e)
	a, err := contracts.Encode(first)
	b, berr := contracts.Encode(again)
	if err != nil || berr != nil || !bytes.Equal(a, b) {
		r.fault(fmt.Errorf("fold %s: the same event gave two answers: a fold must be pure", e.Kind))
		return
	}
	tk.pub.Story = append(tk.pub.Story, e)
	switch move.To {
	case contracts.StateDone, contracts.StateFailed:
		tk.settle(move.To, first, move.Err)
	case contracts.StateWaiting, contracts.StateUncertain:
		tk.pub.State, tk.pub.Err = move.To, move.Err
		tk.remember(first)
	case "":
		tk.remember(first)
	default:
		r.fault(fmt.Errorf("fold %s: moves to %q, which no event may do", e.Kind, move.To))
	}
}

func (r *Runner) fault(err error) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, err)
	}
}

// stored is the answer so far as it comes back from storage, fresh each time.
func (tk *ticket) stored() any {
	raw := tk.pub.Detail
	if tk.pub.State.Settled() {
		raw = tk.pub.Result
	}
	if raw == nil {
		return nil
	}
	v, err := tk.call.Op.Response(raw)
	if err != nil {
		return nil
	}
	return v
}

func (tk *ticket) remember(sofar any) {
	raw, err := contracts.Encode(sofar)
	if err != nil {
		tk.fail(contracts.AsError(err))
		return
	}
	if tk.pub.State.Settled() {
		tk.pub.Result = raw
	} else {
		tk.pub.Detail = raw
	}
}

func (tk *ticket) fail(e *contracts.Error) {
	tk.pub.State, tk.pub.Err = contracts.StateFailed, e
	tk.erase()
}

// settle ends a ticket, or moves a settled one by a late event.
func (tk *ticket) settle(to contracts.State, out any, e *contracts.Error) {
	raw, err := contracts.Encode(out)
	if err != nil {
		tk.fail(contracts.AsError(err))
		return
	}
	tk.pub.State, tk.pub.Err, tk.pub.Result, tk.pub.Detail = to, e, raw, nil
	tk.erase()
}

// erase puts the redacted copy in a secret request's place, and drops the bytes made from it.
func (tk *ticket) erase() {
	red, ok := tk.req.(contracts.Redactor)
	if !ok {
		return
	}
	if redacted, had := red.Redacted(); had {
		tk.req, tk.call.Request = redacted, redacted
		tk.hold.erase()
	}
}
