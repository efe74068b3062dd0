package call

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"raccordo/contracts"
)

// A Sharer lets twins share: Reads of the same operation, instance, request, service and purpose that are in flight at
// the same time ask the supplier once. Where the supplier is told who asks (Named), twins are one user's too. Answers are handed to several callers, who must not change them. It is safe for
// concurrent use.
type Sharer struct {
	cfg    ShareConfig
	clock  contracts.Clock
	prover Prover
	prefix string // of flight names: unique to this Sharer, and so to the life of a process

	// Named says of which operations the supplier is told who asks; nil: of none. It is set before the first call.
	Named func(op string) bool

	mu      sync.Mutex
	serial  uint64
	flights map[twin]*flight
	kept    *lru
	flying  sync.WaitGroup
}

// maxFlights bounds the flights of one Sharer: callers may leave theirs behind.
const maxFlights = 10_000

// A twin is what calls must have in common: a digest, so that no request stays in memory by being a key.
type twin [sha256.Size]byte

// A flight is one call on behalf of all its passengers.
type flight struct {
	done chan struct{}

	// Under Sharer.mu until done is closed.
	riders int  // still waiting
	joined bool // whether there ever was more than one

	// Set before done is closed, and not changed after.
	name     string // empty: a lone rider's, which takes the attempts along
	attempts []contracts.Attempt
	out      any
	err      error
}

// NewSharer makes a Sharer; cfg must be valid. A flight that belongs to no single caller is proved by p.
func NewSharer(cfg ShareConfig, clock contracts.Clock, p Prover) *Sharer {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails, says crypto/rand
	return &Sharer{
		cfg: cfg, clock: clock, prover: p,
		prefix:  "flight-" + hex.EncodeToString(seed[:]) + "-",
		flights: map[twin]*flight{},
		kept:    newLRU(cfg.Size),
	}
}

// Stage shares. A flight is detached from its callers: it has the configured timeout, goes on when they leave (so that
// a far side which answers nobody is seen not to), and each caller still leaves at its own deadline. A flight with more
// or fewer than one caller at its end, or whose answer is kept, gets an entry of its own before any answer is released;
// the callers' entries name it. Of failures only NotFound is kept.
func (s *Sharer) Stage(next Func) Func {
	return func(ctx context.Context, c *contracts.Call) (any, error) {
		if c.Op.Effect != contracts.Read {
			return next(ctx, c)
		}
		key, err := twinOf(c, s.Named != nil && s.Named(c.Op.Name))
		if err != nil {
			return nil, err
		}
		keep := s.cfg.Keep[c.Op.Name]
		s.mu.Lock()
		if keep > 0 {
			if k, ok := s.kept.get(key, s.clock.Now()); ok {
				s.mu.Unlock()
				note(ctx, k.flight, true)
				return k.out, k.err
			}
		}
		f := s.flights[key]
		if f == nil {
			if len(s.flights) >= maxFlights {
				s.mu.Unlock()
				return nil, refuse(contracts.Throttled, c.At, c, placeAfter, "our own limit: %d calls under way", maxFlights)
			}
			f = &flight{done: make(chan struct{})}
			s.flights[key] = f
			s.flying.Add(1)
			go s.fly(ctx, next, c, key, f, keep) //nolint:gosec // G118: a flight outlives the caller that began it, by design
		} else {
			f.joined = true
		}
		f.riders++
		s.mu.Unlock()
		return s.ride(ctx, c, f)
	}
}

// ShareState is a Sharer at one instant, for metrics and the console.
type ShareState struct {
	Flights int // under way
	Kept    int // answers kept, those out of date that nobody asked for again included
}

// State tells how the Sharer stands.
func (s *Sharer) State() ShareState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ShareState{Flights: len(s.flights), Kept: len(s.kept.slots)}
}

// Wait waits until no flight is under way, for whoever closes what flights use. No call may come in meanwhile.
func (s *Sharer) Wait() { s.flying.Wait() }

func (s *Sharer) ride(ctx context.Context, c *contracts.Call, f *flight) (any, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		s.mu.Lock()
		f.riders--
		s.mu.Unlock()
		select {
		case <-f.done: // it may count on this rider to take the attempts along
		default:
			return nil, &contracts.Error{Kind: contracts.Canceled, System: c.At, Operation: c.Op.Name, Err: ctx.Err()}
		}
	}
	if f.name != "" {
		note(ctx, f.name, false)
	} else {
		t := contracts.TrailFrom(ctx)
		for _, a := range f.attempts {
			t.Attempt(a)
		}
	}
	return f.out, f.err
}

// fly carries the call out and lands it. It owns f until done is closed.
func (s *Sharer) fly(ctx context.Context, next Func, c *contracts.Call, key twin, f *flight, keep time.Duration) {
	defer s.flying.Done()
	rec := newRecording(context.Background()) // the attempts are told to the riders later, not to this one's Trail
	o := &rec.outcome
	ctx = contracts.WithTrail(context.WithoutCancel(ctx), &rec.trail)
	func() {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		defer cancel()
		o.Answer, o.Err = guarded(ctx, next, c)
		if o.Err != nil && ctx.Err() != nil && contracts.KindOf(o.Err) == contracts.Canceled {
			// No rider has given up: the flight's time was over, without an answer to what only reads.
			o.Err = &contracts.Error{Kind: contracts.Unavailable, System: c.At, Operation: c.Op.Name, Err: o.Err}
		}
	}()
	rec.trail.into(o)

	s.mu.Lock()
	keeps := keep > 0 && (o.Err == nil || contracts.KindOf(o.Err) == contracts.NotFound)
	if !f.joined && f.riders == 1 && !keeps {
		s.land(key, f, o)
		s.mu.Unlock()
		return
	}
	s.serial++
	name := s.prefix + strconv.FormatUint(s.serial, 10)
	s.mu.Unlock()

	// Twins that come while the entry is written still join.
	if len(o.Attempts) > 0 || !Refused(o.Err) {
		o.Flight, o.Own = name, true
		own := *c // by service and purpose, which all riders have in common
		own.Caller = contracts.Caller{Service: c.Caller.Service, Purpose: c.Caller.Purpose}
		if err := rec.prove(ctx, s.prover, &own); err != nil {
			keeps = false
			o.Answer, o.Err = nil, withheld(c, o, err)
		}
	}
	s.mu.Lock()
	f.name = name
	if keeps {
		s.kept.put(key, kept{flight: name, out: o.Answer, err: o.Err, until: s.clock.Now().Add(keep)})
	}
	s.land(key, f, o)
	s.mu.Unlock()
}

// land releases the answer; s.mu is held.
func (s *Sharer) land(key twin, f *flight, o *Outcome) {
	delete(s.flights, key)
	f.attempts, f.out, f.err = o.Attempts, o.Answer, o.Err
	close(f.done)
}

// note tells the Recorder above, if there is one, which flight answered.
func note(ctx context.Context, flight string, kept bool) {
	if t, ok := contracts.TrailFrom(ctx).(*trail); ok {
		t.shared(flight, kept)
	}
}

// twinOf digests what twins have in common: of a named one also whatever suppliers are told of who asks.
func twinOf(c *contracts.Call, named bool) (twin, error) {
	req, err := contracts.Encode(c.Request)
	if err != nil {
		return twin{}, err
	}
	b := make([]byte, 0, 256)
	parts := append(make([]string, 0, 8), c.Op.Name, c.At, c.Caller.Service, c.Caller.Purpose)
	if named {
		parts = append(parts, c.Caller.User, c.Caller.Site, c.Caller.IP, c.Caller.LoA)
	}
	for _, part := range parts {
		b = strconv.AppendInt(b, int64(len(part)), 10) // length first, so that no two lists run together
		b = append(append(b, ':'), part...)
	}
	return sha256.Sum256(append(b, req...)), nil
}

// A Panic is the cause of an Internal error: something below panicked in a goroutine of ours, which must not end the
// process. Its text tells the panic's type alone, since the value could name somebody; Stack is for the log.
type Panic struct {
	Type  string
	Stack []byte
}

// Error names the type of the panic's value.
func (p *Panic) Error() string { return "panic of type " + p.Type }

func guarded(ctx context.Context, next Func, c *contracts.Call) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, &contracts.Error{
				Kind: contracts.Internal, System: c.At, Operation: c.Op.Name,
				Err: &Panic{Type: fmt.Sprintf("%T", p), Stack: debug.Stack()},
			}
		}
	}()
	return next(ctx, c)
}
