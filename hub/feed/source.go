package feed

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"raccordo/contracts"
)

const (
	// hintGap is the least time between the end of a reading and one that a hint brings about.
	hintGap = time.Second
	// maxHints bounds how many hints are taken off at once; more than one means the same as one.
	maxHints = 64
	maxName  = 128 // bytes of a source's name
)

// An origin is whence events come and what has a cursor of its own: an instance, or one of its sources.
type origin struct {
	instance string
	source   string // empty: the instance tells in one piece
}

// key is the origin's name in the table of cursors. Names of instances hold no slash.
func (o origin) key() string {
	if o.source == "" {
		return o.instance
	}
	return o.instance + "/" + o.source
}

// attrs names the origin in a log line.
func (o origin) attrs() slog.Attr {
	if o.source == "" {
		return slog.String("instance", o.instance)
	}
	return slog.Group("", slog.String("instance", o.instance), slog.String("source", o.source))
}

// A puller is where the reading of one origin stands. The feed's lock guards it.
type puller struct {
	origin
	running bool
	busy    bool
	next    time.Time
	wake    <-chan struct{} // while it sleeps and hints count
	stat    Stat
}

// A Stat is how the reading of one source stands, since this process began.
type Stat struct {
	Instance string
	Source   string    // empty: the instance tells in one piece
	Since    time.Time // when its reading began
	Heard    time.Time // see HeardSource
	Read     uint64    // events that were not known
	Aside    uint64    // of these, set aside as faulty
	Failures int       // readings in a row that failed
}

// puller gives the state of an origin; the lock is held.
func (f *Feed) puller(o origin) *puller {
	p := f.pullers[o]
	if p == nil {
		p = &puller{origin: o, stat: Stat{Instance: o.instance, Source: o.source, Since: f.clock.Now()}}
		f.pullers[o] = p
	}
	return p
}

// Run pulls an instance's events until ctx ends: again at once while something comes, then every from.Every() or earlier
// at a hint, and with a growing wait while the reading fails.
func (f *Feed) Run(ctx context.Context, instance string, from contracts.Feeder) error {
	return f.runAll(ctx, instance, map[string]contracts.Feeder{"": from})
}

// RunSources is Run for an instance that tells in several pieces, each with a cursor of its own: they are read side by
// side, and one that fails, hangs or panics holds up none of the others.
func (f *Feed) RunSources(ctx context.Context, instance string, sources map[string]contracts.Feeder) error {
	for name := range sources {
		if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
			return f.fault(contracts.Invalid, "pull events", "a source of %s has no name, or one that is too long or holds control characters", instance)
		}
	}
	return f.runAll(ctx, instance, sources)
}

func (f *Feed) runAll(ctx context.Context, instance string, sources map[string]contracts.Feeder) error {
	all, err := f.enlist(instance, slices.Sorted(maps.Keys(sources)))
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() {
			defer f.dismiss(p)
			f.run(ctx, p, sources[p.source])
		})
	}
	wg.Wait()
	return nil
}

// enlist takes up sources, all or none, so that nobody who asks finds some of them missing.
func (f *Feed) enlist(instance string, sources []string) ([]*puller, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*puller
	for _, name := range sources {
		p := f.puller(origin{instance, name})
		if p.running {
			return nil, f.fault(contracts.Conflict, "pull events", "the events of %s are already being read", p.key())
		}
		all = append(all, p)
	}
	for _, p := range all {
		p.running, p.busy = true, true
	}
	return all, nil
}

func (f *Feed) dismiss(p *puller) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.running, p.busy = false, false
}

func (f *Feed) run(ctx context.Context, p *puller, from contracts.Feeder) {
	every, wake := f.pace(p, from)
	for {
		drain(wake) // whatever they hint at is read now
		_, more, err := f.pull(ctx, p, from)
		if ctx.Err() != nil {
			return
		}
		failures := f.tally(p, err)
		switch {
		case err != nil:
			// Hints do not shorten this wait: whoever refuses us must not be asked faster for their sake.
			wait := backoff(every, f.cfg.BackoffMax, failures, contracts.AsError(err).After)
			f.log.Warn("feed: events could not be read", p.attrs(), slog.Int("failures", failures),
				slog.Duration("again_in", wait), slog.Any("error", err))
			f.sleep(ctx, p, wait, nil)
		case !more:
			f.sweepNow(ctx)
			again := f.clock.Now().Add(hintGap)
			if hinted := f.sleep(ctx, p, every, wake); hinted {
				f.sleep(ctx, p, min(again.Sub(f.clock.Now()), hintGap), nil)
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// pace asks a feeder how often to read it and how it gives hints.
func (f *Feed) pace(p *puller, from contracts.Feeder) (every time.Duration, wake <-chan struct{}) {
	defer func() {
		if v := recover(); v != nil {
			f.log.Error("feed: an adapter panicked; it is read at the longest interval", p.attrs())
			every, wake = f.cfg.BackoffMax, nil
		}
	}()
	every = max(from.Every(), time.Second)
	if w, ok := from.(contracts.Waker); ok {
		wake = w.Wake()
	}
	return every, wake
}

func drain(wake <-chan struct{}) {
	for range maxHints {
		select {
		case <-wake:
		default:
			return
		}
	}
}

// tally counts a reading, and gives how many have failed in a row.
func (f *Feed) tally(p *puller, err error) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.stat.Failures++; err == nil {
		p.stat.Failures = 0
	}
	return p.stat.Failures
}

// sleep waits on the clock, marked as quiet; but no longer in real time than it would have under a clock that nobody set
// back, or receipts would lie unread for as long as it was. It reports whether a hint ended it.
func (f *Feed) sleep(ctx context.Context, p *puller, wait time.Duration, wake <-chan struct{}) (hinted bool) {
	if wait <= 0 {
		return false
	}
	next := f.clock.Now().Add(wait)
	f.mu.Lock()
	p.busy, p.next, p.wake = false, next, wake
	f.mu.Unlock()
	atMost := time.NewTimer(wait)
	due, drop := f.clock.Timer(next)
	select { // whichever comes first
	case <-due:
	case <-atMost.C:
	case <-wake:
		hinted = true
	case <-ctx.Done():
	}
	drop()
	atMost.Stop()
	f.mu.Lock()
	p.busy, p.wake = true, nil
	f.mu.Unlock()
	return hinted
}

// backoff grows from every to most with full jitter above every, so that readers of one far side drift apart.
func backoff(every, most time.Duration, failures int, after time.Duration) time.Duration {
	bound := every
	for range min(failures, 20) {
		bound = min(2*bound, max(most, every))
	}
	wait := every
	if bound > every {
		wait += time.Duration(rand.Int64N(int64(bound - every)))
	}
	return max(wait, min(after, 24*time.Hour))
}

// Idle reports whether no reading is under way or due at the clock's present instant, and when the next is (zero: none
// will be).
func (f *Feed) Idle() (next time.Time, quiet bool) {
	now := f.clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pullers {
		if !p.running {
			continue
		}
		if p.busy || !p.next.After(now) || len(p.wake) > 0 {
			return time.Time{}, false
		}
		if next.IsZero() || p.next.Before(next) {
			next = p.next
		}
	}
	return next, true
}

// Heard is up to when all that an instance's far sides had told is known: the oldest HeardSource of its sources. Zero:
// one of them at least has not been read through since this process began, so that silence proves nothing.
func (f *Feed) Heard(instance string) (oldest time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := true
	for _, p := range f.pullers {
		if p.instance != instance {
			continue
		}
		if first || p.stat.Heard.Before(oldest) {
			oldest = p.stat.Heard
		}
		first = false
	}
	return oldest
}

// HeardSource is the beginning of the last reading of a source (empty: the instance in one piece) that brought nothing
// new, and did not move on either: what had been told by then is known. Zero: there was none since this process began.
func (f *Feed) HeardSource(instance, source string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.pullers[origin{instance, source}]; p != nil {
		return p.stat.Heard
	}
	return time.Time{}
}

// Stats tells how the reading of each source stands, by instance and source.
func (f *Feed) Stats() []Stat {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Stat, 0, len(f.pullers))
	for _, p := range f.pullers {
		all = append(all, p.stat)
	}
	slices.SortFunc(all, func(a, b Stat) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Source, b.Source))
	})
	return all
}
