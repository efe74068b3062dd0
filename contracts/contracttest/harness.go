package contracttest

import (
	"context"
	"slices"
	"time"

	"raccordo/contracts"
)

// Far is the far side as a suite needs it: plain types, so that a mock's bench fits without importing us. A Far that
// also has a method Clear() can be told to misbehave until told otherwise.
type Far interface {
	// Misbehave makes the next times business exchanges go wrong in the named way (0: until cleared). An unknown name is
	// an error.
	Misbehave(fault string, times int) error
	// Sent counts the exchanges that reached the far side and fit the pattern.
	Sent(match string) int
	// Advance moves the far side's clock.
	Advance(d time.Duration)
}

// A Harness is what every suite needs to know of the thing under test. The suites embed it and add their own subjects,
// each named for its story; a zero subject declares that the far side has no such story, and the suite says so.
type Harness struct {
	Runner contracts.Runner
	Far    Far      // nil on the real system: fault cases then do not apply
	Known  []string // deviations by case name; one that passes fails the run

	// Caller asks in every case; the zero Caller is replaced by a synthetic one.
	Caller contracts.Caller
	// Wire is the pattern under which Far.Sent counts the business exchanges of this adapter ("inad *"); empty: "*".
	Wire string
	// Faults are the names that make sense for this wire; nil: AllFaults without BadSignature, since few suppliers sign
	// their answers.
	Faults []string
	// Capture collects what the thing under test shows to people: give its Logger to Env.Log or to the hub, and its
	// metrics to Source. Nil: only errors, requests and answers are searched for identifiers.
	Capture *Capture
	// Pump, where not nil, moves the clock in the background until stopped: fronts whose workers wait on it need that
	// while a case waits for an answer. Direct moves the clock itself.
	Pump func() (stop func())
	// Reset, where not nil, runs before each case: it closes breakers that an earlier fault has opened.
	Reset func()
	// Ticketed declares that the runner carries these calls as tickets, so that a lasting fault may end in Pending
	// instead of the fault's own Kind.
	Ticketed bool
	// Patience is how long a case waits in real time for an answer; zero: 10 seconds. Under a fault that lasts it waits
	// a tenth of that.
	Patience time.Duration
}

// DefaultPatience is how long a case waits in real time.
const DefaultPatience = 10 * time.Second

func (h Harness) patience() time.Duration {
	if h.Patience > 0 {
		return h.Patience
	}
	return DefaultPatience
}

// Who is the caller of every case.
func (h Harness) Who() contracts.Caller {
	if h.Caller != (contracts.Caller{}) {
		return h.Caller
	}
	return contracts.Caller{Service: "suite", Purpose: "conformance", User: "system", Case: "SUITE-1", Site: "000", LoA: "LOW"}
}

// Ask gives a context with the suite's caller and patience, and the clock pumped, until stop is called.
func (h Harness) Ask(parent context.Context) (ctx context.Context, stop func()) {
	return h.askFor(parent, h.patience())
}

func (h Harness) askFor(parent context.Context, real time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(contracts.WithCaller(parent, h.Who()), real)
	unpump := func() {}
	if h.Pump != nil {
		unpump = h.Pump()
	}
	return ctx, func() { unpump(); cancel() }
}

// Through is the runner with everything that passes it captured.
func (h Harness) Through() contracts.Runner {
	if h.Capture == nil {
		return h.Runner
	}
	return h.Capture.Wrap(h.Runner)
}

// Submitter is the runner as a Submitter, or nil where it is none.
func (h Harness) Submitter() contracts.Submitter {
	s, _ := h.Through().(contracts.Submitter)
	return s
}

// Sent counts the business exchanges so far; 0 without a Far.
func (h Harness) Sent() int {
	if h.Far == nil {
		return 0
	}
	if h.Wire == "" {
		return h.Far.Sent("*")
	}
	return h.Far.Sent(h.Wire)
}

// Applies reports whether a fault makes sense here.
func (h Harness) Applies(fault string) bool {
	if h.Far == nil {
		return false
	}
	if h.Faults == nil {
		return fault != BadSignature
	}
	return slices.Contains(h.Faults, fault)
}

type clearer interface{ Clear() }

// clear ends every fault; it reports whether the far side can be told so.
func (h Harness) clear() bool {
	c, ok := h.Far.(clearer)
	if ok {
		c.Clear()
	}
	return ok
}

// ready brings the thing under test back to rest before a case.
func (h Harness) ready() {
	h.clear()
	if h.Reset != nil {
		h.Reset()
	}
}
