package contracttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"raccordo/contracts"
)

// An Option changes how Direct behaves.
type Option func(*Runner)

// Advancing lets a clock that jumps be moved while Direct waits: fn is told by how much. Without it Direct sleeps on the
// clock.
func Advancing(fn func(time.Duration)) Option { return func(r *Runner) { r.advance = fn } }

// Horizon bounds, on the clock, how long Direct follows one ticket before it answers Pending; 72 hours by default.
func Horizon(d time.Duration) Option { return func(r *Runner) { r.horizon = d } }

// Tries is how often a Write or Once that is Unavailable or Throttled is carried out; 3 by default. Reads are carried
// out once: repeating them is the adapter's own wire's affair.
func Tries(n int) Option { return func(r *Runner) { r.tries = n } }

// A Runner carries out calls on a bare adapter, without a hub: what Direct makes.
//
// A Read with a single form is simply done. Everything else is a ticket in memory, moved by whoever waits for it: a list
// is started and collected, an answer so far is folded with the adapter's events, an uncertain outcome is asked about.
// Requests and answers of tickets pass through their JSON form at every step, as they do in a hub's store, so that what
// does not survive storage fails here too.
type Runner struct {
	adapter  contracts.Adapter
	clock    contracts.Clock
	advance  func(time.Duration)
	horizon  time.Duration
	tries    int
	bindings map[string]contracts.Binding

	move sync.Mutex // one jump of the clock at a time, so that waits that overlap do not add up

	mu      sync.Mutex // guards what follows, and makes steps of tickets one at a time
	tickets map[string]*ticket
	cursors map[string]contracts.Cursor // by source
	seen    map[string]bool             // events, by ID
	strays  []contracts.Event
	faults  []error
	serial  int

	trail Trail
}

// Direct is a Runner, and a Submitter, on a bare adapter. The clock must be the one that the adapter was opened with.
func Direct(a contracts.Adapter, clock contracts.Clock, opts ...Option) *Runner {
	r := &Runner{
		adapter: a, clock: clock, horizon: 72 * time.Hour, tries: 3,
		bindings: map[string]contracts.Binding{}, tickets: map[string]*ticket{}, seen: map[string]bool{}, cursors: map[string]contracts.Cursor{},
	}
	for _, b := range a.Bindings() {
		r.bindings[b.Op.Name] = b
	}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

var _ contracts.Submitter = (*Runner)(nil)

const system = "direct" // stands in the errors that are the Runner's own

func refuse(kind contracts.Kind, op, format string, args ...any) *contracts.Error {
	e := contracts.Errorf(kind, format, args...)
	e.System, e.Operation = system, op
	return e
}

// Run carries out a call, and follows its ticket where it has one.
func (r *Runner) Run(ctx context.Context, c *contracts.Call) (any, error) {
	b, err := r.admit(c)
	if err != nil {
		return nil, err
	}
	if c.Op.Effect == contracts.Read && b.Do != nil && b.Fold == nil {
		r.mu.Lock()
		r.serial++
		id := contracts.TicketID(c.Caller.Service, c.Op.Name, fmt.Sprintf("direct-%d", r.serial))
		r.mu.Unlock()
		return b.Do(r.carry(ctx, c, newHold(id)), c.Request)
	}
	t, err := r.Submit(ctx, c)
	if err != nil {
		return nil, err
	}
	return r.await(ctx, t.ID)
}

// admit checks a call as a hub does before anything leaves.
func (r *Runner) admit(c *contracts.Call) (contracts.Binding, error) {
	if c == nil || c.Op == nil {
		return contracts.Binding{}, refuse(contracts.Invalid, "", "call: no operation")
	}
	b, ok := r.bindings[c.Op.Name]
	if !ok {
		return b, refuse(contracts.Invalid, c.Op.Name, "call: this adapter does not offer the operation")
	}
	if c.Caller.Service == "" || c.Caller.Purpose == "" {
		return b, refuse(contracts.Invalid, c.Op.Name, "caller: want service and purpose")
	}
	if c.Op.Effect != contracts.Read && c.Key == "" {
		return b, refuse(contracts.Invalid, c.Op.Name, "key: missing, and the operation is not a read")
	}
	if v, ok := c.Request.(contracts.Validator); ok {
		if err := v.Validate(); err != nil {
			return b, refuse(contracts.Invalid, c.Op.Name, "request: %w", err)
		}
	}
	if b.Covers != nil {
		if err := b.Covers(c.Request); err != nil {
			return b, named(err, c.Op.Name)
		}
	}
	return b, nil
}

// named gives an error of Covers, which has no context to know it by, its operation and system.
func named(err error, op string) error {
	var e *contracts.Error
	if !errors.As(err, &e) {
		return &contracts.Error{Kind: contracts.KindOf(err), System: system, Operation: op, Err: err}
	}
	out := *e
	if out.System == "" {
		out.System = system
	}
	if out.Operation == "" {
		out.Operation = op
	}
	return &out
}

// carry puts into the context what rides sideways.
func (r *Runner) carry(ctx context.Context, c *contracts.Call, h *hold) context.Context {
	ctx = contracts.WithTrail(ctx, &trailTo{&r.trail, contracts.TrailFrom(ctx)})
	return contracts.WithHold(contracts.WithCall(contracts.WithCaller(ctx, c.Caller), c), h)
}

// until waits on the clock, moving it where it can be moved.
func (r *Runner) until(ctx context.Context, at time.Time) error {
	if r.advance == nil {
		return contracts.Sleep(ctx, r.clock, at)
	}
	r.move.Lock()
	defer r.move.Unlock()
	if d := at.Sub(r.clock.Now()); d > 0 {
		r.advance(d)
	}
	return ctx.Err()
}

// await follows a ticket until it is settled, the context ends or the horizon is reached. What counts towards the horizon is
// the ticket's own waits: others that are awaited at the same time move the clock as well.
func (r *Runner) await(ctx context.Context, id string) (any, error) {
	left := r.horizon
	for {
		r.mu.Lock()
		tk := r.tickets[id]
		done := tk.pub.State.Settled() || tk.stuck()
		next := time.Time{}
		if !done && ctx.Err() == nil {
			next = r.step(ctx, tk)
			done = tk.pub.State.Settled() || tk.stuck()
		}
		pub, op := tk.pub, tk.call.Op
		r.mu.Unlock()
		switch {
		case pub.State == contracts.StateDone:
			return op.Response(pub.Result)
		case done && pub.State == contracts.StateUncertain:
			e := *pub.Err
			e.Ticket = id
			return nil, &e
		case done:
			return nil, pub.Failure()
		case ctx.Err() != nil || next.Sub(r.clock.Now()) >= left:
			e := contracts.AsError(pub.Failure())
			e.System = system
			return nil, e
		}
		left -= max(next.Sub(r.clock.Now()), 0)
		if err := r.until(ctx, next); err != nil {
			continue // the next round answers Pending
		}
	}
}

// List hands requests over in the adapter's list form and waits for their answers, one per request and in their order:
// what a hub's lot does. The caller and the deadline are taken from ctx.
func List[Req, Resp any](ctx context.Context, r *Runner, op contracts.Op[Req, Resp], reqs []Req) ([]contracts.Result[Resp], error) {
	b, ok := r.bindings[op.Name]
	if !ok || b.List == nil {
		return nil, refuse(contracts.Invalid, op.Name, "list: this adapter has no list form of the operation")
	}
	if len(reqs) > b.List.Max {
		return nil, refuse(contracts.Invalid, op.Name, "list: more than %d requests", b.List.Max)
	}
	all := make([]any, len(reqs))
	for i, req := range reqs {
		all[i] = req
	}
	got, err := r.list(ctx, b, all)
	if err != nil {
		return nil, err
	}
	out := make([]contracts.Result[Resp], len(got))
	for i, g := range got {
		out[i].Err = g.Err
		if g.Err == nil {
			out[i].Value, ok = g.Value.(Resp)
			if !ok {
				return nil, refuse(contracts.Internal, op.Name, "list: answer %d is a %T", i, g.Value)
			}
		}
	}
	return out, nil
}

func (r *Runner) list(ctx context.Context, b contracts.Binding, reqs []any) ([]contracts.Result[any], error) {
	call := contracts.NewCall(ctx, b.Op, nil)
	r.mu.Lock()
	r.serial++
	h := newHold(contracts.TicketID(call.Caller.Service, b.Op.Name, fmt.Sprintf("direct-lot-%d", r.serial)))
	r.mu.Unlock()
	ctx = r.carry(ctx, call, h)
	left := r.horizon // of this list's own waits
	handle, err := b.List.Start(ctx, reqs)
	if err != nil {
		return nil, err
	}
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		got, err := b.List.Collect(ctx, handle, reqs)
		if err == nil || contracts.KindOf(err) != contracts.Pending {
			return got, err
		}
		pause := max(contracts.AsError(err).After, wait)
		if pause >= left {
			return nil, err
		}
		left -= pause
		next := r.clock.Now().Add(pause)
		if serr := r.until(ctx, next); serr != nil {
			return nil, refuse(contracts.Canceled, b.Op.Name, "list: %w", serr)
		}
	}
}

// Submit keeps a call as a ticket. Nothing leaves before somebody waits for it or asks about it.
func (r *Runner) Submit(_ context.Context, c *contracts.Call) (contracts.Ticket, error) {
	b, err := r.admit(c)
	if err != nil {
		return contracts.Ticket{}, err
	}
	raw, err := contracts.Encode(c.Request)
	if err != nil {
		return contracts.Ticket{}, err
	}
	req, err := c.Op.StoredRequest(raw)
	if err != nil {
		return contracts.Ticket{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := c.Key
	if key == "" {
		r.serial++
		key = fmt.Sprintf("direct-%d", r.serial)
	}
	id := contracts.TicketID(c.Caller.Service, c.Op.Name, key)
	if tk, ok := r.tickets[id]; ok {
		if tk.sum != contracts.SumOf(raw) {
			return contracts.Ticket{}, refuse(contracts.Conflict, c.Op.Name, "key: already used with another request")
		}
		return tk.pub, nil
	}
	tk := &ticket{
		call: *c, binding: b, hold: newHold(id), req: req, sum: contracts.SumOf(raw),
		pub: contracts.Ticket{
			ID: id, Op: c.Op.Name, Owner: c.Caller.Service, Case: c.Caller.Case, Lane: c.Op.LaneOf(req),
			State: contracts.StateQueued, Due: c.Due, Since: r.clock.Now(),
		},
	}
	tk.call.Request = req
	r.tickets[id] = tk
	return tk.pub, nil
}

// Ticket carries a ticket one step further, moving the clock to when its next step is due, and gives its state. A
// settled one still hears late events.
func (r *Runner) Ticket(ctx context.Context, id string) (contracts.Ticket, error) {
	r.mu.Lock()
	tk, ok := r.tickets[id]
	if !ok || tk.pub.Owner != contracts.CallerFrom(ctx).Service {
		r.mu.Unlock()
		return contracts.Ticket{}, refuse(contracts.NotFound, "ticket", "no such ticket")
	}
	next := r.step(ctx, tk)
	pub := tk.pub
	settled := pub.State.Settled() || tk.stuck()
	r.mu.Unlock()
	if !settled {
		_ = r.until(ctx, next) // an ended context shows at the caller's next call
	}
	return pub, nil
}

// Strays are the events that named no ticket, in the order they came.
func (r *Runner) Strays() []contracts.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]contracts.Event(nil), r.strays...)
}

// Faults are the errors that no caller sees: a feed that failed, an event whose fold erred or was not pure.
func (r *Runner) Faults() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.faults...)
}

// Attempts are what the adapter said of its exchanges on the wire, in their order.
func (r *Runner) Attempts() []contracts.Attempt {
	return r.trail.Attempts()
}

// Kept is everything that is still held for a ticket: its request and the bytes made from it. A settled secret is gone
// from it.
func (r *Runner) Kept(id string) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	tk, ok := r.tickets[id]
	if !ok {
		return nil
	}
	all := tk.hold.bytes()
	if raw, err := contracts.Encode(tk.req); err == nil {
		all = append(all, raw)
	}
	return append(all, tk.pub.Result, tk.pub.Detail)
}
