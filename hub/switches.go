package hub

import (
	"context"
	"maps"
	"slices"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// Switches tells how each instance's breaker stands.
func (h *Hub) Switches(context.Context) ([]Switch, error) {
	out := make([]Switch, 0, len(h.instances))
	for _, name := range slices.Sorted(maps.Keys(h.instances)) {
		s := h.instances[name].breaker.State()
		out = append(out, Switch{
			Instance: name, State: string(s.Phase), Since: s.Since, Until: s.Until,
			Reason: s.Reason, Counted: s.Counted, Failed: s.Failed, Slow: s.Slow,
		})
	}
	return out, nil
}

// maxWords bounds an operator's name and reason, in bytes.
const maxWords = 500

// Isolate keeps an instance from being asked until Rejoin, or until the hub is started again. Tickets wait; nothing is
// lost. The reason reaches callers, and must be free of personal data.
func (h *Hub) Isolate(ctx context.Context, name, operator, reason string) error {
	return h.throw(ctx, "isolate", name, operator, reason, func(in *instance) { in.breaker.Isolate(reason) })
}

// Rejoin lets an instance be asked again at once.
func (h *Hub) Rejoin(ctx context.Context, name, operator, reason string) error {
	return h.throw(ctx, "rejoin", name, operator, reason, func(in *instance) { in.breaker.Close() })
}

// throw proves an operator's decision and then carries it out.
func (h *Hub) throw(ctx context.Context, what, name, operator, reason string, do func(*instance)) error {
	in, ok := h.instances[name]
	if !ok {
		return contracts.Errorf(contracts.NotFound, "%s: no instance of that name is configured", what)
	}
	if err := signed(what, operator, reason); err != nil {
		return err
	}
	err := h.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		_, err := h.ledger.Append(tx, contracts.Entry{
			Phase: contracts.PhaseOperator, Outcome: what, System: name, Reason: reason,
			Caller: contracts.Caller{Service: "hub", Purpose: "operation", User: operator},
		})
		return err
	})
	if err == nil {
		do(in)
	}
	return err
}
