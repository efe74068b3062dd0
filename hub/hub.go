package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"raccordo/contracts"
	"raccordo/hub/archive"
	"raccordo/hub/backup"
	"raccordo/hub/call"
	"raccordo/hub/feed"
	"raccordo/hub/ledger"
	"raccordo/hub/outbox"
	"raccordo/hub/store"
)

// Options is what the program hands in, as opposed to what a person writes.
type Options struct {
	Log   *slog.Logger    // nil: nothing is logged
	Clock contracts.Clock // nil: the system's
	// Recovered lets a restored store start: no Write or Once leaves before its ticket is settled by reading.
	Recovered bool
	// Anchor makes the calls that send the ledger's heads away; needed to Work where ledger.anchor.to is configured.
	Anchor Anchorer
	// BeforeCommit, in tests, hears of each store commit just before it happens.
	BeforeCommit func(n uint64)
	// Free tells the free bytes of a disk; nil: asks the system.
	Free func(path string) (int64, error)
}

// A Hub carries out calls. It is safe for concurrent use.
type Hub struct {
	cfg   *Config
	log   *slog.Logger
	clock contracts.Clock

	store   *store.Store
	ledger  *ledger.Ledger
	archive *archive.Archive
	box     *outbox.Box
	feed    *feed.Feed
	secret  func(context.Context, contracts.Secret) ([]byte, error)

	ops       map[string]*contracts.OpInfo
	instances map[string]*instance
	admission *call.Admission
	admitted  call.Func // Admit > route: what Run does
	submitted call.Func // Admit > outbox: what Submit does
	meter     *meter

	marks       *backup.Marks
	backing     sync.Mutex // held while a backup is made
	anchorer    Anchorer
	undelivered atomic.Int64 // heads that were sent and did not arrive, since the start

	working atomic.Int64 // calls under way, but for those that wait for a ticket
	gate    sync.RWMutex // closed while a clock jumps: no call begins at one time and goes on at another

	mu     sync.Mutex
	closed bool
}

// Open makes a hub from a valid configuration. It takes the store's lock and reads secrets; it asks no network. Nothing
// is carried out before Work.
func Open(ctx context.Context, cfg *Config, kinds contracts.Kinds, opt Options) (_ *Hub, err error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Clock == nil {
		opt.Clock = contracts.SystemClock{}
	}
	h := &Hub{
		cfg: cfg, log: opt.Log, clock: opt.Clock, secret: secretsFrom(cfg.Secrets), anchorer: opt.Anchor,
		ops: map[string]*contracts.OpInfo{}, instances: map[string]*instance{},
	}
	h.meter = newMeter(h)
	defer func() {
		if err != nil { // the first error is the one to tell
			for _, in := range h.instances {
				_ = in.adapter.Close()
			}
			_ = h.release()
		}
	}()
	h.store, err = store.Open(ctx, cfg.Store, store.Options{
		Clock: h.clock, Log: h.log, Secret: h.secret, Recovered: opt.Recovered, BeforeCommit: opt.BeforeCommit, Free: opt.Free,
	})
	if err != nil {
		return nil, err
	}
	if h.ledger, err = ledger.Open(ctx, h.store, cfg.Ledger, ledger.Options{Clock: h.clock, Secret: h.secret}); err != nil {
		return nil, err
	}
	if h.archive, err = archive.Open(ctx, cfg.Archive, h.store); err != nil {
		return nil, err
	}
	if h.marks, err = backup.OpenMarks(ctx, h.store); err != nil {
		return nil, err
	}
	if err = h.openAdapters(ctx, kinds); err != nil {
		return nil, err
	}
	if h.feed, err = feed.Open(ctx, h.store, folder{h}, h.ledger, cfg.Events, feed.Options{Clock: h.clock, Log: h.log, Archive: h.archive}); err != nil {
		return nil, err
	}
	h.box, err = outbox.Open(ctx, h.store, h.ledger, h.feed, desk{h}, cfg.Tickets, outbox.Options{
		Clock: h.clock, Log: h.log, Recovered: h.store.Recovered(),
	})
	if err != nil {
		return nil, err
	}
	if err = h.noteRecovered(ctx); err != nil { // before anything can be accepted
		return nil, err
	}
	h.admission = call.NewAdmission(cfg.Calls, h.clock)
	h.admitted = call.Chain(h.route, h.admission.Stage)
	h.submitted = call.Chain(h.submit, h.admission.Stage)
	return h, nil
}

// openAdapters opens every instance and builds its stages.
func (h *Hub) openAdapters(ctx context.Context, kinds contracts.Kinds) error {
	days, err := call.NewDayStore(ctx, h.store)
	if err != nil {
		return err
	}
	prove := prover{h}
	for _, name := range slices.Sorted(maps.Keys(h.cfg.Adapters)) {
		stanza := h.cfg.Adapters[name]
		if _, ok := kinds[stanza.Kind]; !ok {
			return contracts.Errorf(contracts.Invalid, "adapter %s: kind %s is not built into this program", name, stanza.Kind)
		}
		adapter, err := stanza.Config.Open(ctx, contracts.Env{
			Instance: name, Environment: h.cfg.Environment, Log: h.log.With("instance", name), Clock: h.clock,
			Secret: h.secret,
			Backed: h.Backed,
			Keep: func(ctx context.Context, r io.Reader, max int64) (contracts.Sum, error) {
				return h.archive.Keep(ctx, r, max)
			},
			Waiting: func(ctx context.Context, after string, max int) ([]contracts.Ticket, error) {
				return h.box.Waiting(ctx, name, after, max)
			},
		})
		if err != nil {
			return fmt.Errorf("adapter %s: %w", name, err)
		}
		in := newInstance(name, stanza.Policy, adapter, h.clock, days, prove, h.meter.exchange(name))
		h.instances[name] = in
		if err := in.binds(stanza.Config.Operations()); err != nil {
			return err
		}
		for op, b := range in.bindings {
			if other, ok := h.ops[op]; ok && other != b.Op {
				return contracts.Errorf(contracts.Internal, "adapter %s binds another operation under the name %s", name, op)
			}
			h.ops[op] = b.Op
		}
	}
	return nil
}

// refusalsEvery is how often refused calls are summed into entries, in real time: it compares with no stored instant.
const refusalsEvery = time.Minute

// Work carries out tickets and reads feeds until ctx ends; then it drains what is in flight and returns.
func (h *Hub) Work(ctx context.Context) error {
	if h.cfg.Ledger.Anchor.Sends() && h.anchorer == nil {
		return contracts.Errorf(contracts.Internal, "work: ledger.anchor.to is configured, and Options.Anchor is missing")
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := func(name string, fn func() error) {
		wg.Go(func() {
			if err := fn(); err != nil && ctx.Err() == nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				mu.Unlock()
				cancel() // half a hub is worse than none: the supervisor starts a whole one
			}
		})
	}
	run("outbox", func() error { return h.box.Work(ctx) })
	for _, name := range slices.Sorted(maps.Keys(h.instances)) {
		switch a := h.instances[name].adapter.(type) {
		case contracts.Sources: // also where it is a Feeder: one mailbox must not hold up the others
			run("feed "+name, func() error { return h.feed.RunSources(ctx, name, a.Sources()) })
		case contracts.Feeder:
			run("feed "+name, func() error { return h.feed.Run(ctx, name, a) })
		}
	}
	if h.cfg.Ledger.Anchor.Sends() {
		run("anchors", func() error { return h.heedAnchors(ctx) })
	}
	run("days", func() error { return h.keepDays(ctx) })
	run("refusals", func() error { return h.sumRefusals(ctx) })
	wg.Wait()
	return errors.Join(errs...)
}

// noteRecovered enters in the ledger that the hub works on a restored copy: what had been written after the copy was made
// is written anew from here on, and whoever compares with what others hold must find out why.
func (h *Hub) noteRecovered(ctx context.Context) error {
	if !h.store.Recovered() {
		return nil
	}
	return h.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		_, err := h.ledger.Append(tx, contracts.Entry{
			Phase: contracts.PhaseOutcome, Outcome: "recovered", System: "hub", Reason: "started as a restored copy",
			Caller: contracts.Caller{Service: "hub", Purpose: "operation", User: "system"},
		})
		return err
	})
}

// sumRefusals writes one entry per caller and minute in which calls were refused, so that a flood cannot fill the disk.
func (h *Hub) sumRefusals(ctx context.Context) error {
	tick := time.NewTicker(refusalsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.recordRefusals(ctx, false)
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *Hub) recordRefusals(ctx context.Context, all bool) {
	sums := h.admission.Summed(all)
	if len(sums) == 0 {
		return
	}
	err := h.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		for _, r := range sums {
			if _, err := h.ledger.Append(tx, contracts.Entry{
				Phase: contracts.PhaseOutcome, Outcome: "refused", System: "hub",
				Caller: contracts.Caller{Service: r.Service}, Reason: r.String(),
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.log.Warn("refused calls could not be entered in the ledger", "err", err)
	}
}

// Idle reports whether nothing is in flight and nothing is due, and when something falls due next (zero: nothing will,
// of itself). For drains, tests and clocks that jump.
func (h *Hub) Idle() (next time.Time, quiet bool) {
	quiet = h.working.Load() == 0
	for _, in := range h.instances {
		quiet = quiet && in.sharer.State().Flights == 0 // a flight outlives the caller that began it
	}
	for _, room := range []interface {
		Idle() (time.Time, bool)
	}{h.box, h.feed} {
		at, q := room.Idle()
		quiet = quiet && q
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, quiet
}

// Still runs fn, with the instant at which something falls due next, if nothing is in flight and nothing is due; no call
// begins meanwhile. For a bench that moves the clock: nobody must be caught between two times.
func (h *Hub) Still(fn func(next time.Time)) bool {
	h.gate.Lock()
	defer h.gate.Unlock()
	next, quiet := h.Idle()
	if quiet {
		fn(next)
	}
	return quiet
}

// Close lets go of everything. Work must have returned. It is safe to repeat.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	h.backing.Lock() // a backup that was given up has let go
	defer h.backing.Unlock()
	h.recordRefusals(ctx, true)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(h.instances)) {
		errs = append(errs, h.instances[name].close(ctx))
	}
	errs = append(errs, h.release())
	return errors.Join(errs...)
}

func (h *Hub) release() error {
	if h.store == nil {
		return nil
	}
	return h.store.Close()
}

// Ops lists the operations that are bound, by name.
func (h *Hub) Ops() []*contracts.OpInfo {
	ops := make([]*contracts.OpInfo, 0, len(h.ops))
	for _, name := range slices.Sorted(maps.Keys(h.ops)) {
		ops = append(ops, h.ops[name])
	}
	return ops
}

// Proof opens what the archive keeps under a digest; the caller closes it.
func (h *Hub) Proof(sum contracts.Sum) (io.ReadCloser, error) { return h.archive.Open(sum) }

// Ledger gives the ledger, for verification and export.
func (h *Hub) Ledger() *ledger.Ledger { return h.ledger }

// Tickets gives the outbox, for operators.
func (h *Hub) Tickets() *outbox.Box { return h.box }

// Feed gives the events.
func (h *Hub) Feed() *feed.Feed { return h.feed }

// A Health is whether one instance's far side is there and lets us in.
type Health struct {
	Instance string
	Kind     string
	Checked  bool // false: the adapter has no cheap honest call
	Err      error
}

// Check asks every adapter that can to make its one cheap honest call.
func (h *Hub) Check(ctx context.Context) []Health {
	adapters := map[string]contracts.Adapter{}
	for name, in := range h.instances {
		adapters[name] = in.adapter
	}
	return check(ctx, h.cfg, adapters)
}

// CheckLive opens the adapters alone, without the store, and asks each, for as long as each may take. It may run beside a
// hub that is serving.
func CheckLive(ctx context.Context, cfg *Config, kinds contracts.Kinds, each time.Duration) []Health {
	ctx, cancel := context.WithTimeout(ctx, each) // they are asked side by side
	defer cancel()
	opened, failed := map[string]contracts.Adapter{}, map[string]error{}
	defer func() {
		for _, a := range opened {
			_ = a.Close() // nothing was promised to anybody
		}
	}()
	for name, in := range cfg.Adapters {
		if _, ok := kinds[in.Kind]; !ok {
			failed[name] = contracts.Errorf(contracts.Invalid, "kind %s is not built into this program", in.Kind)
			continue
		}
		a, err := in.Config.Open(ctx, contracts.Env{
			Instance: name, Environment: cfg.Environment, Log: slog.New(slog.DiscardHandler),
			Clock: contracts.SystemClock{}, Secret: secretsFrom(cfg.Secrets),
			Keep: func(context.Context, io.Reader, int64) (contracts.Sum, error) {
				return contracts.Sum{}, contracts.Errorf(contracts.Internal, "a check keeps no proof")
			},
		})
		if err != nil {
			failed[name] = err
			continue
		}
		opened[name] = a
	}
	health := check(ctx, cfg, opened)
	for i := range health {
		if err := failed[health[i].Instance]; err != nil {
			health[i].Checked, health[i].Err = true, err
		}
	}
	return health
}

// check asks those that are open and can be asked; one Health for each that is configured, by name.
func check(ctx context.Context, cfg *Config, opened map[string]contracts.Adapter) []Health {
	var wg sync.WaitGroup
	out := make([]Health, 0, len(cfg.Adapters))
	for _, name := range slices.Sorted(maps.Keys(cfg.Adapters)) {
		out = append(out, Health{Instance: name, Kind: cfg.Adapters[name].Kind})
	}
	for i := range out {
		c, ok := opened[out[i].Instance].(contracts.Checker)
		if !ok {
			continue
		}
		wg.Go(func() { out[i].Checked, out[i].Err = true, c.Check(ctx) })
	}
	wg.Wait()
	return out
}
