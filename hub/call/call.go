// Package call is the pipeline: the policies around a call, each a Stage, composed in an order that can be read in one
// place.
//
// Per call: Admission (who may ask at all), Recorder (no proof, no call), Sharer (twins in flight share). Per exchange
// with a supplier: Limiter (what we promised not to exceed), Breaker (do not ask who does not answer). The order matters
// and each pair of stages has a test that fails when the two are swapped:
//
//	call.Chain(adapter, admission.Stage, recorder.Stage, sharer.Stage, limiter.Stage, breaker.Stage)
//
// Contexts end and waits pass in real time; what is compared with an instant (tokens, days, breaks, kept answers) goes by
// the contracts.Clock. The one exception is the breaker's rolling window, which is gobreaker's and real.
package call

import (
	"context"
	"errors"
	"fmt"
	"time"

	"raccordo/contracts"
)

// A Func carries out a call at the instance that c.At names.
type Func func(ctx context.Context, c *contracts.Call) (any, error)

// A Stage is one policy around a call. It calls next once or not at all.
type Stage func(next Func) Func

// Chain composes stages around last; the first is the outermost.
func Chain(last Func, stages ...Stage) Func {
	for i := len(stages) - 1; i >= 0; i-- {
		last = stages[i](last)
	}
	return last
}

// Refused reports whether err is a refusal of our own: nothing was asked of the far side, so a ticket loses no try by
// it. The error's After says when to come back.
func Refused(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// A refusal is the cause of an error that this package made instead of asking.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(kind contracts.Kind, system string, c *contracts.Call, after time.Duration, format string, args ...any) error {
	return &contracts.Error{
		Kind: kind, System: system, Operation: opName(c), After: after,
		Err: &refusal{fmt.Errorf(format, args...)},
	}
}

func opName(c *contracts.Call) string {
	if c.Op == nil {
		return ""
	}
	return c.Op.Name
}

// hub is the System of errors that belong to no adapter instance.
const hub = "hub"
