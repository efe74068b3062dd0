package contracttest

import (
	"context"
	"reflect"
	"time"

	"raccordo/contracts"
)

// The mistakes that the adapter of any need may make on its wire and at its borders. Proofs know them by these texts,
// beside the mistakes of their own need.
const (
	FaultsAreNotFound  = "faults are not found"
	FaultsAreAnswers   = "faults are empty answers"
	FaultsAreInternal  = "faults are internal"
	NeverRepeats       = "never repeats"
	ThrottledWithout   = "throttled without after"
	StaleIsUnavailable = "stale voucher is unavailable"
	WithoutSystem      = "errors without system"
	IgnoresDeadline    = "ignores the deadline"
	AsksForTheGone     = "asks for callers who are gone"
	AsksUnread         = "asks without looking"
	AsksForNobody      = "asks for nobody"
)

const (
	slowness     = shortDeadline + grace + 200*time.Millisecond // of an answer in memory that was told to be slow
	memoryTries  = 3
	memorySystem = "memory"
)

// Call is one call of op over this far side with its repeats, as an adapter does it that makes the mistakes that wrong
// reports, and no other.
func (m *Memory) Call(ctx context.Context, op string, wrong func(mistake string) bool) error {
	if err := ctx.Err(); err != nil && !wrong(AsksForTheGone) {
		return &contracts.Error{Kind: contracts.Canceled, System: memorySystem, Operation: op, Err: err}
	}
	var err *contracts.Error
	for range memoryTries {
		if err = m.attempt(ctx, wrong); err == nil {
			return nil
		}
		switch {
		case wrong(FaultsAreNotFound):
			err = &contracts.Error{Kind: contracts.NotFound}
		case wrong(FaultsAreInternal):
			err = &contracts.Error{Kind: contracts.Internal}
		case wrong(ThrottledWithout):
			err.After = 0
		}
		if wrong(NeverRepeats) || err.Kind != contracts.Unavailable && err.Code != "401" {
			break
		}
	}
	if wrong(FaultsAreAnswers) {
		return nil
	}
	if !wrong(WithoutSystem) {
		err.System, err.Operation = memorySystem, op
	}
	return err
}

// Fails is this far side's word on a call, in the peer's own code.
func (m *Memory) Fails(kind contracts.Kind, op *contracts.OpInfo, code string) *contracts.Error {
	return &contracts.Error{Kind: kind, System: memorySystem, Operation: op.Name, Code: code}
}

// attempt is one exchange: what the far side makes of it.
func (m *Memory) attempt(ctx context.Context, wrong func(string) bool) *contracts.Error {
	fault := m.Exchange()
	switch fault {
	case "":
		return nil
	case StaleVoucher:
		if wrong(StaleIsUnavailable) {
			return contracts.Errorf(contracts.Unavailable, "exchange: %s", fault)
		}
		return &contracts.Error{Kind: contracts.Denied, Code: "401"}
	case Refuse, Drop, DropAfterAccept, Status500, Status503:
		return contracts.Errorf(contracts.Unavailable, "exchange: %s", fault)
	case Throttle:
		return &contracts.Error{Kind: contracts.Throttled, After: 2 * time.Second}
	case NotAllowed:
		return &contracts.Error{Kind: contracts.Denied, Code: "403"}
	case Slow:
		if wrong(IgnoresDeadline) {
			ctx = context.WithoutCancel(ctx)
		}
		timer := time.NewTimer(slowness)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return contracts.Errorf(contracts.Canceled, "exchange: %w", ctx.Err())
		case <-timer.C:
			return nil
		}
	}
	return contracts.Errorf(contracts.Malformed, "exchange: %s", fault)
}

// Careless is a Runner that forwards what a hub would refuse, where wrong reports the mistake.
type Careless struct {
	*Runner
	Far   *Memory
	Wrong func(mistake string) bool
}

var _ contracts.Submitter = Careless{}

// Run carries out a call, also one that is none.
func (c Careless) Run(ctx context.Context, call *contracts.Call) (any, error) {
	v, ok := call.Request.(contracts.Validator)
	bad := ok && v.Validate() != nil
	nobody := call.Caller.Service == "" || call.Caller.Purpose == ""
	if bad && c.Wrong(AsksUnread) || nobody && c.Wrong(AsksForNobody) {
		c.Far.Exchange()
		return reflect.Zero(call.Op.ResponseType).Interface(), nil
	}
	if ctx.Err() != nil && c.Wrong(AsksForTheGone) {
		c.Far.Exchange() // also where a call becomes a ticket that nobody waits for
	}
	return c.Runner.Run(ctx, call)
}
