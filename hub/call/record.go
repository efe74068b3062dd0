package call

import (
	"context"
	"errors"
	"sync"
	"time"

	"raccordo/contracts"
)

// A Prover writes down what was asked and what came back. The hub implements it over the ledger.
type Prover interface {
	// Intent stores that c, a Write or a Once, is about to leave, and gives the entry's name. It returns when that is on
	// disk, and not before.
	Intent(ctx context.Context, c *contracts.Call) (ref string, err error)
	// Outcome stores what came of c. It keeps neither o nor what o points to.
	Outcome(ctx context.Context, c *contracts.Call, o *Outcome) error
}

// An Outcome is what came of a call, or of a flight that several calls shared.
type Outcome struct {
	Intent string // of a Write or Once: what Intent returned
	// Flight names the shared flight that answered; the flight's own entry holds the attempts. Empty: none was shared.
	Flight string
	// Own marks that entry, which belongs to no single caller: of the call's Caller only Service and Purpose stand.
	Own bool
	// Kept marks an answer that had been kept from an earlier flight.
	Kept     bool
	Attempts []contracts.Attempt // the first 100
	Dropped  int                 // attempts beyond those
	Answer   any
	Err      error
}

// proofTime bounds the writing of a proof, which the caller's own deadline must not cut short.
const proofTime = 5 * time.Second

// maxAttempts bounds what one entry holds; the retry policy of an instance stays far below it.
const maxAttempts = 100

// A Recorder sees to it that there is no call without proof.
type Recorder struct{ prover Prover }

// NewRecorder makes a Recorder that writes by p.
func NewRecorder(p Prover) *Recorder { return &Recorder{prover: p} }

// Stage stores the intent of a Write or Once before anything leaves, and the outcome of every call before its answer is
// released, whether or not the caller still waits. Where the intent cannot be stored nothing is asked, and where the
// outcome cannot be stored the answer is withheld: Unavailable, but Uncertain after a Write or Once that may have had
// its effect. A Read that our own Limiter or Breaker refused consulted nobody and leaves no entry.
//
// Attempts are gathered by a Trail in the context; a Trail that was there before hears of them too.
func (r *Recorder) Stage(next Func) Func {
	return func(ctx context.Context, c *contracts.Call) (any, error) {
		rec := newRecording(ctx)
		o := &rec.outcome
		writes := c.Op.Effect != contracts.Read
		if writes {
			ref, err := r.intent(ctx, c)
			if err != nil {
				return nil, err
			}
			o.Intent = ref
		}
		o.Answer, o.Err = next(contracts.WithTrail(ctx, &rec.trail), c)
		rec.trail.into(o)
		if !writes && o.Err != nil && len(o.Attempts) == 0 && Refused(o.Err) {
			return nil, o.Err
		}
		if err := rec.prove(ctx, r.prover, c); err != nil {
			return nil, withheld(c, o, err)
		}
		return o.Answer, o.Err
	}
}

// A recording is what one call, or one flight, leaves: in one piece, since there is one for every call.
type recording struct {
	trail   trail
	outcome Outcome
	ctx     proofContext
	first   [1]contracts.Attempt
}

func newRecording(ctx context.Context) *recording {
	r := &recording{}
	r.trail.outer = contracts.TrailFrom(ctx)
	r.trail.attempts = r.first[:0]
	return r
}

// prove stores the outcome, within proofTime, whatever has become of ctx.
func (r *recording) prove(ctx context.Context, p Prover, c *contracts.Call) error {
	r.ctx.Context, r.ctx.deadline = ctx, time.Now().Add(proofTime)
	defer r.ctx.end(context.Canceled)
	return p.Outcome(&r.ctx, c, &r.outcome)
}

func (r *Recorder) intent(ctx context.Context, c *contracts.Call) (string, error) {
	ref, err := r.prover.Intent(ctx, c)
	if err == nil {
		return ref, nil
	}
	return "", unstored(err, hub, c, "intent")
}

// unstored is the refusal of a call before which something could not be stored: Throttled when the store's queue is
// full, Canceled when the caller did not wait for it, else Unavailable.
func unstored(err error, system string, c *contracts.Call, what string) error {
	kind, after := contracts.Unavailable, time.Duration(0)
	var e *contracts.Error
	if errors.As(err, &e) && (e.Kind == contracts.Throttled || e.Kind == contracts.Canceled) {
		kind, after = e.Kind, e.After
	}
	return refuse(kind, system, c, after, "nothing was asked, since the %s could not be stored: %w", what, err)
}

func withheld(c *contracts.Call, o *Outcome, cause error) error {
	kind := contracts.Unavailable
	if c.Op.Effect != contracts.Read && mayHaveHappened(o.Err) {
		kind = contracts.Uncertain
	}
	return &contracts.Error{
		Kind: kind, System: hub, Operation: c.Op.Name,
		Err: errors.Join(errors.New("the answer is withheld, since its proof could not be stored"), cause),
	}
}

// mayHaveHappened reports whether a call with effects that ended in err may have had them.
func mayHaveHappened(err error) bool {
	if err == nil {
		return true
	}
	switch contracts.KindOf(err) {
	case contracts.Invalid, contracts.NotFound, contracts.Denied, contracts.Conflict,
		contracts.Throttled, contracts.Unavailable, contracts.Canceled:
		return false
	}
	return true
}

// A trail gathers what happens below a Recorder or inside a flight.
type trail struct {
	outer contracts.Trail // hears of everything too

	mu       sync.Mutex
	attempts []contracts.Attempt
	dropped  int
	flight   string
	kept     bool
}

// Attempt takes note of one exchange.
func (t *trail) Attempt(a contracts.Attempt) {
	t.mu.Lock()
	if len(t.attempts) < maxAttempts {
		t.attempts = append(t.attempts, a)
	} else {
		t.dropped++
	}
	t.mu.Unlock()
	t.outer.Attempt(a)
}

// shared takes note of the flight that answered.
func (t *trail) shared(flight string, kept bool) {
	t.mu.Lock()
	t.flight, t.kept = flight, kept
	t.mu.Unlock()
	if outer, ok := t.outer.(*trail); ok {
		outer.shared(flight, kept)
	}
}

// into gives what was gathered. A straggler that reports later is heard by the outer trail alone.
func (t *trail) into(o *Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o.Attempts, o.Dropped, o.Flight, o.Kept = t.attempts, t.dropped, t.flight, t.kept
	t.attempts = nil
}
