package hub

import (
	"context"

	"raccordo/contracts"
	"raccordo/hub/call"
	"raccordo/hub/store"
)

// desk is what the outbox needs of the hub: where a ticket goes next, and the exchanges themselves behind Limit and
// Break. The outbox writes the proof of each in its own commits.
type desk struct{ h *Hub }

func (d desk) Op(name string) *contracts.OpInfo { return d.h.ops[name] }

func (d desk) Next(c *contracts.Call, after string) (string, *contracts.Binding, bool) {
	in, b, ok := d.h.next(c, after)
	if !ok {
		return "", nil, false
	}
	return in.name, b, true
}

func (d desk) Binding(op, instance string) *contracts.Binding {
	if in, ok := d.h.instances[instance]; ok {
		return in.bindings[op]
	}
	return nil
}

func (d desk) Do(ctx context.Context, c *contracts.Call) (any, error) {
	return d.h.instances[c.At].exchange(ctx, c)
}

func (d desk) Start(ctx context.Context, c *contracts.Call, reqs []any) ([]byte, error) {
	return exchange(ctx, d, c, func(ctx context.Context, b *contracts.Binding) ([]byte, error) {
		return b.List.Start(ctx, reqs)
	})
}

func (d desk) Collect(ctx context.Context, c *contracts.Call, handle []byte, reqs []any) ([]contracts.Result[any], error) {
	return exchange(ctx, d, c, func(ctx context.Context, b *contracts.Binding) ([]contracts.Result[any], error) {
		return b.List.Collect(ctx, handle, reqs)
	})
}

func (d desk) Resolve(ctx context.Context, c *contracts.Call) (any, error) {
	type told struct {
		answer any
		err    error
	}
	// Nothing known yet is what an honest far side says: it is no failure for Break to count.
	got, err := exchange(ctx, d, c, func(ctx context.Context, b *contracts.Binding) (told, error) {
		answer, err := b.Resolve(ctx, c.Request)
		if err != nil && contracts.KindOf(err) != contracts.Uncertain {
			return told{}, err
		}
		return told{answer, err}, nil
	})
	if err != nil {
		return nil, err
	}
	return got.answer, got.err
}

func (d desk) Refused(err error) bool { return call.Refused(err) }

// exchange carries out one exchange that is not the binding's Do behind the instance's Limit and Break.
func exchange[T any](ctx context.Context, d desk, c *contracts.Call, fn func(context.Context, *contracts.Binding) (T, error)) (T, error) {
	var zero T
	in := d.h.instances[c.At]
	b := in.bindings[c.Op.Name]
	out, err := in.guard(func(ctx context.Context, c *contracts.Call) (any, error) {
		return fn(contracts.WithCall(ctx, c), b)
	})(ctx, c)
	if err != nil || out == nil {
		return zero, err
	}
	return out.(T), nil
}

// folder lets the feed move tickets inside its own transactions.
type folder struct{ h *Hub }

func (f folder) Fold(tx *store.Tx, instance string, e contracts.Event) (string, error) {
	return f.h.box.Fold(tx, instance, e)
}
