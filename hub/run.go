package hub

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"raccordo/contracts"
)

var _ contracts.Submitter = (*Hub)(nil)

// Run answers a call. A Read is asked along its route at once; where only a list form can answer, and for everything
// that writes, the call becomes a ticket and Run waits for it as long as ctx lasts: then it fails with Pending, which
// names the ticket.
func (h *Hub) Run(ctx context.Context, c *contracts.Call) (any, error) {
	if err := h.known(c); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // nobody is asked about for a caller who is gone
		return nil, named(err, "hub", c.Op.Name)
	}
	defer h.begin()()
	out, err := h.admitted(ctx, c)
	h.meter.call(c.Op.Name, err)
	return out, named(err, "hub", c.Op.Name)
}

// begin counts a call as work under way until the function it gives is called.
func (h *Hub) begin() (end func()) {
	h.gate.RLock()
	h.working.Add(1)
	h.gate.RUnlock()
	return func() { h.working.Add(-1) }
}

// named sees to it that every error says whose it is and of what.
func named(err error, system, op string) error {
	if err == nil {
		return nil
	}
	e := contracts.AsError(err)
	if e.System != "" && e.Operation != "" {
		return e
	}
	own := *e // the error may be shared
	own.System, own.Operation = cmp.Or(e.System, system), cmp.Or(e.Operation, op)
	return &own
}

// Submit stores the call and returns its ticket; the same key again returns the same ticket.
func (h *Hub) Submit(ctx context.Context, c *contracts.Call) (contracts.Ticket, error) {
	if err := h.known(c); err != nil {
		return contracts.Ticket{}, err
	}
	if c.Key == "" && c.Op.Effect == contracts.Read {
		keyed := *c
		keyed.Key = readKey()
		c = &keyed
	}
	defer h.begin()()
	out, err := h.submitted(ctx, c)
	h.meter.call(c.Op.Name, err)
	if err != nil {
		return contracts.Ticket{}, named(err, "hub", c.Op.Name)
	}
	return out.(contracts.Ticket), nil
}

func (h *Hub) submit(ctx context.Context, c *contracts.Call) (any, error) {
	if err := h.askable(c); err != nil {
		return nil, err
	}
	return h.box.Submit(ctx, c)
}

// Ticket gives the present state of a ticket of the caller in ctx.
func (h *Hub) Ticket(ctx context.Context, id string) (contracts.Ticket, error) {
	owner := contracts.CallerFrom(ctx).Service
	if owner == "" {
		return contracts.Ticket{}, contracts.Errorf(contracts.Denied, "ticket: no caller in the context")
	}
	t, err := h.box.Ticket(ctx, owner, id)
	if err != nil {
		return t, err
	}
	t.Story, err = h.feed.Story(ctx, id)
	return t, err
}

// At is a Runner that insists on one instance.
func (h *Hub) At(instance string) contracts.Submitter { return contracts.Pinned(h, instance) }

// known refuses what nobody here can do.
func (h *Hub) known(c *contracts.Call) error {
	if c == nil || c.Op == nil {
		return contracts.Errorf(contracts.Invalid, "call without an operation")
	}
	if h.ops[c.Op.Name] != c.Op {
		return &contracts.Error{Kind: contracts.Invalid, System: "hub", Operation: c.Op.Name, Err: errors.New("no configured adapter binds this operation")}
	}
	if c.At != "" {
		if in, ok := h.instances[c.At]; !ok || in.bindings[c.Op.Name] == nil {
			return &contracts.Error{Kind: contracts.Invalid, System: "hub", Operation: c.Op.Name, Err: fmt.Errorf("no instance %q binds this operation", c.At)}
		}
	}
	return nil
}

// askable fails with what the first register on the route that is not passed over says against the question: a code that
// it refuses by its own contract, say. That is no answer, and least of all a "no".
func (h *Hub) askable(c *contracts.Call) error {
	in, b, ok := h.next(c, "")
	if !ok || b.Covers == nil {
		return nil
	}
	return named(b.Covers(c.Request), in.name, c.Op.Name)
}

// next gives the first instance behind after on the call's route whose register may hold what is asked. A list may be
// answered by an instance that has left the route since: then nobody on it has been asked yet.
func (h *Hub) next(c *contracts.Call, after string) (*instance, *contracts.Binding, bool) {
	route := h.cfg.Routes[needOf(c.Op.Name)]
	if c.At != "" {
		route = []string{c.At}
	}
	passed := after == "" || !slices.Contains(route, after)
	for _, name := range route {
		if !passed {
			passed = name == after
			continue
		}
		in := h.instances[name]
		b := in.bindings[c.Op.Name]
		if b == nil || b.Covers != nil && errors.Is(b.Covers(c.Request), contracts.NotFound) {
			continue // nobody is looked up where they cannot be
		}
		return in, b, true
	}
	return nil, nil, false
}

// route is what stands behind Admit: first that knows. Only NotFound moves on to the next instance; silence is no answer.
func (h *Hub) route(ctx context.Context, c *contracts.Call) (any, error) {
	if err := h.askable(c); err != nil {
		return nil, err
	}
	if c.Op.Effect != contracts.Read {
		t, err := h.box.Submit(ctx, c)
		if err != nil {
			return nil, err
		}
		return h.wait(ctx, c, t)
	}
	after := ""
	for {
		in, b, ok := h.next(c, after)
		if !ok {
			none := &contracts.Error{
				Kind: contracts.NotFound, System: "hub", Operation: c.Op.Name,
				Err: errors.New("no register on the route holds an answer"),
			}
			if after == "" {
				none.Code, none.Err = contracts.CodeNobody, errors.New("no register on the route may hold what is asked: nobody was asked")
			}
			return nil, none
		}
		at := *c
		at.At = in.name
		if b.Do == nil {
			at.At, at.Key = c.At, readKey()
			t, err := h.box.SubmitAfter(ctx, &at, after)
			if err != nil {
				return nil, err
			}
			return h.wait(ctx, c, t)
		}
		out, err := in.read(ctx, &at)
		if err == nil || contracts.KindOf(err) != contracts.NotFound {
			return out, err
		}
		after = in.name
	}
}

// wait waits for a ticket as long as the caller's deadline lasts. Whoever waits is not at work: the outbox is.
func (h *Hub) wait(ctx context.Context, c *contracts.Call, t contracts.Ticket) (any, error) {
	h.working.Add(-1)
	defer h.working.Add(1)
	settled, err := h.box.Wait(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	if err := settled.Failure(); err != nil {
		return nil, err
	}
	return c.Op.Response(settled.Result)
}

// readKey makes the key of a Read that becomes a ticket: asking again is harmless, so no two are the same.
func readKey() string { return "read/" + rand.Text() }
