package hub

import (
	"context"
	"errors"

	"raccordo/contracts"
	"raccordo/hub/call"
)

// An instance is one opened adapter within its stages.
type instance struct {
	name     string
	adapter  contracts.Adapter
	bindings map[string]*contracts.Binding
	limiter  *call.Limiter
	breaker  *call.Breaker
	sharer   *call.Sharer
	timed    call.Stage

	// read is what a direct Read passes: Record > Share > Limit > Break > adapter.
	read call.Func
	// exchange is what a ticket passes, whose proof the outbox writes in its own commits: Limit > Break > adapter.
	exchange call.Func
}

func newInstance(name string, p Policy, adapter contracts.Adapter, clock contracts.Clock, days call.DayStore, prove call.Prover, timed call.Stage) *instance {
	in := &instance{
		name: name, adapter: adapter, bindings: map[string]*contracts.Binding{}, timed: timed,
		limiter: call.NewLimiter(name, p.Limit, clock, days),
		breaker: call.NewBreaker(name, p.Break, clock),
		sharer:  call.NewSharer(p.Share, clock, prove),
	}
	for _, b := range adapter.Bindings() {
		in.bindings[b.Op.Name] = &b
	}
	in.sharer.Named = func(op string) bool { b := in.bindings[op]; return b != nil && b.Named }
	in.exchange = in.guard(in.do)
	in.read = call.Chain(in.exchange, call.NewRecorder(prove).Stage, in.sharer.Stage)
	return in
}

// binds refuses an adapter that binds other operations than its settings name: routes were checked by those.
func (in *instance) binds(named []*contracts.OpInfo) error {
	for _, op := range named {
		if b := in.bindings[op.Name]; b == nil || b.Op != op {
			return contracts.Errorf(contracts.Internal, "adapter %s: its settings name %s, which it does not bind", in.name, op.Name)
		}
	}
	if len(named) != len(in.bindings) {
		return contracts.Errorf(contracts.Internal, "adapter %s: it binds operations that its settings do not name", in.name)
	}
	return nil
}

// guard puts one exchange with the far side behind Limit and Break, and the clock that metrics read.
func (in *instance) guard(exchange call.Func) call.Func {
	return call.Chain(exchange, in.timed, in.limiter.Stage, in.breaker.Stage)
}

// do is the innermost step: the adapter's own function, with the call in the context for the helpers below it.
func (in *instance) do(ctx context.Context, c *contracts.Call) (any, error) {
	return in.bindings[c.Op.Name].Do(contracts.WithCall(ctx, c), c.Request)
}

func (in *instance) close(ctx context.Context) error {
	in.sharer.Wait()
	return errors.Join(in.adapter.Close(), in.limiter.Close(ctx))
}
