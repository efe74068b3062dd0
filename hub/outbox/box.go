package outbox

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A Desk is what the box needs of the hub: who can be asked, and the asking itself.
type Desk interface {
	// Op gives an operation by name; nil when there is none.
	Op(name string) *contracts.OpInfo
	// Next gives the first instance after `after` (empty: the first) on the call's route whose binding covers the request;
	// c.At, when set, pins one. ok false: none is left.
	Next(c *contracts.Call, after string) (instance string, b *contracts.Binding, ok bool)
	// Binding gives what performs op at an instance; nil when nothing does.
	Binding(op, instance string) *contracts.Binding
	// Do makes one exchange at c.At. ctx carries Hold, Trail and Call.
	Do(ctx context.Context, c *contracts.Call) (any, error)
	// Start hands over a list at c.At: one exchange for all requests; c.Request is nil.
	Start(ctx context.Context, c *contracts.Call, reqs []any) (handle []byte, err error)
	// Collect fetches the answers of a list, in the order of reqs.
	Collect(ctx context.Context, c *contracts.Call, handle []byte, reqs []any) ([]contracts.Result[any], error)
	// Resolve asks c.At whether it happened.
	Resolve(ctx context.Context, c *contracts.Call) (any, error)
	// Refused reports whether err is a refusal of our own limits, which consulted nobody.
	Refused(err error) bool
}

// A Ledger takes entries in the transaction of what they prove.
type Ledger interface {
	Append(tx *store.Tx, e contracts.Entry) (contracts.Entry, error)
}

// A Teller keeps events for their readers, and knows those that came for a ticket.
type Teller interface {
	// Tell stores an event of the hub's own.
	Tell(tx *store.Tx, e contracts.Event) error
	// Events gives what was kept for a ticket, in order, save what was set aside as faulty. Source names each instance.
	Events(tx *store.Tx, ref string) ([]contracts.Event, error)
	// Adopt folds, by Box.Fold, the events that came for a ticket before there was one. It reports how many.
	Adopt(tx *store.Tx, ref string) (int, error)
	// Heard is the beginning of the last reading of an instance's events that brought nothing new; zero: there was none.
	Heard(instance string) time.Time
}

// Options is what the program hands in.
type Options struct {
	Clock contracts.Clock // nil: the system's
	Log   *slog.Logger    // nil: nothing is logged
	// Recovered says that the store is an older copy: what it holds as not yet sent may have been sent.
	Recovered bool
	// Shared says that other processes may be at work on the same store: what they hold is taken over only when they
	// give no sign of life for Config.Lease. Otherwise the store's lock proves that nobody does, and Open takes it over.
	Shared bool
	// Lease names this process's leases; empty: a fresh random name.
	Lease string

	mono   func() time.Duration // tests: this process's monotonic time
	jitter func() float64       // tests
}

// A Box accepts tickets and carries them out.
type Box struct {
	store  *store.Store
	ledger Ledger
	teller Teller
	desk   Desk
	cfg    Config
	clock  contracts.Clock
	log    *slog.Logger
	lease  string
	shared bool
	mono   func() time.Duration
	jitter func() float64

	bell chan struct{} // something may be due; the rows say what
	busy atomic.Int64  // promises in the making, claims and exchanges: not quiet
	gen  atomic.Uint64 // raised by whatever raises or lowers busy, or changes what is due
	turn atomic.Uint32 // counts the dispatcher's looks
	open atomic.Int64  // unsettled tickets

	mu      sync.Mutex
	working bool
	calm    *calm
	jobs    map[jobKey]*job
	paused  map[string]time.Time
	strikes map[string]int // refusals for want of room, one after another, by what they pause
	shunned map[int64]int  // how many places in a row refused a pooled ticket
	waiting map[string]map[chan struct{}]struct{}

	stopping atomic.Bool         // Work is draining
	foreign  map[string]sighting // leases of other processes, as last seen; the beat's alone

	recheckUntil atomic.Int64 // until then, what is put is looked for at the far side first
}

var (
	errLost  = fmt.Errorf("the lease on the ticket is lost: %w", context.Canceled)
	errTaken = errors.New("already taken")
)

// Open prepares the tables and takes over what a dead process left running. It starts nothing: Work does.
func Open(ctx context.Context, s *store.Store, l Ledger, t Teller, d Desk, cfg Config, opt Options) (*Box, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &contracts.Error{Kind: contracts.Invalid, System: "hub", Operation: "open tickets", Err: err}
	}
	b := &Box{
		store: s, ledger: l, teller: t, desk: d, cfg: cfg, clock: opt.Clock, log: opt.Log, lease: opt.Lease, shared: opt.Shared,
		mono: opt.mono, jitter: opt.jitter, bell: make(chan struct{}, 1), jobs: map[jobKey]*job{},
		paused: map[string]time.Time{}, strikes: map[string]int{}, shunned: map[int64]int{}, foreign: map[string]sighting{}, waiting: map[string]map[chan struct{}]struct{}{},
	}
	if b.clock == nil {
		b.clock = contracts.SystemClock{}
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.lease == "" {
		b.lease = freshName()
	}
	if b.mono == nil {
		start := time.Now()
		b.mono = func() time.Duration { return time.Since(start) }
	}
	if b.jitter == nil {
		b.jitter = jitter
	}
	if err := s.Migrate(ctx, "outbox", []string{schema1, schema2, schema3}); err != nil {
		return nil, fmt.Errorf("open tickets: %w", err)
	}
	if err := b.takeOver(ctx, opt.Recovered); err != nil {
		return nil, fmt.Errorf("open tickets: %w", err)
	}
	return b, nil
}

func freshName() string {
	var raw [10]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))
}

// ring says that something may be due.
func (b *Box) ring() {
	b.gen.Add(1)
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// begin marks the box as not quiet until the returned function is called.
func (b *Box) begin() (end func()) {
	b.busy.Add(1)
	b.gen.Add(1)
	return func() {
		b.gen.Add(1)
		b.busy.Add(-1)
	}
}

func (b *Box) now() int64 { return nanos(b.clock.Now()) }

func (b *Box) fault(kind contracts.Kind, op, format string, args ...any) *contracts.Error {
	e := contracts.Errorf(kind, format, args...)
	e.System, e.Operation = "hub", op
	return e
}

// The tables in which sealed values have their place.
const (
	inRequest = "outbox_request"
	inCaller  = "outbox_request.caller"
	inSlim    = "outbox_slim"
	inAnswer  = "outbox_ticket.answer"
	inHold    = "outbox_hold"
	inHandle  = "outbox_lot"
)

const digestPurpose = "request" // of the keyed digests that compare requests and stand in entries as Subject
