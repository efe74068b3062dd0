package feed_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
)

// A source calls a function at each reading, and gives hints.
type source struct {
	feed  func(ctx context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error)
	every time.Duration
	wake  chan struct{}
}

func (s *source) Feed(ctx context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	return s.feed(ctx, from)
}
func (s *source) Every() time.Duration  { return s.every }
func (s *source) Wake() <-chan struct{} { return s.wake }

// empty is a mailbox without anything new.
func empty(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	return nil, from, nil
}

// hangs is a mailbox whose server says nothing until we give up.
func hangs(ctx context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	<-ctx.Done()
	return nil, from, ctx.Err()
}

// sources runs an instance's sources until the returned function is called.
func (r *rig) sources(all map[string]contracts.Feeder) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.feed.RunSources(ctx, "pec", all) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
	}
}

// asleep waits until so many sources have gone to sleep.
func (r *rig) asleep(n int) {
	for range n {
		<-r.clock.Asked()
	}
}

func TestEachSourceHasACursorOfItsOwn(t *testing.T) {
	r := open(t)
	a := &feeder{batches: [][]contracts.Event{{event("a1", "t1", "{}")}}}
	b := &feeder{batches: [][]contracts.Event{{event("b1", "t1", "{}")}, {event("b2", "t1", "{}")}}}
	down := &feeder{errs: []error{contracts.Errorf(contracts.Unavailable, "down")}}
	stop := r.sources(map[string]contracts.Feeder{"a": a, "b": b, "down": down, "broken": panics{}})
	r.asleep(4)
	lines(t, "cursors of a", a.froms, "", "after 0")
	lines(t, "cursors of b", b.froms, "", "after 0", "after 1")
	equal(t, "events of both", len(r.after("core", 0)), 3)
	for _, e := range r.after("core", 0) {
		equal(t, "whose event it is", e.Source, "pec")
	}
	if err := r.feed.RunSources(t.Context(), "pec", map[string]contracts.Feeder{"c": a, "b": b}); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("a source that is read already: %v", err)
	}
	if err := r.feed.RunSources(t.Context(), "pec", map[string]contracts.Feeder{"": a}); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("a source without a name: %v", err)
	}
	stop()
	again := &feeder{}
	stop = r.sources(map[string]contracts.Feeder{"a": again})
	r.asleep(1)
	lines(t, "cursor after a restart", again.froms, "after 0")
	stop()
	equal(t, "names of sources that were not taken up", len(r.feed.Stats()), 4)
}

// Silence proves nothing while one mailbox cannot be read.
func TestAnInstanceHasBeenHeardWhenItsLastSourceHas(t *testing.T) {
	r := open(t)
	release := make(chan struct{})
	slow := &source{every: time.Minute, feed: func(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
		<-release
		return nil, from, nil
	}}
	stop := r.sources(map[string]contracts.Feeder{"quick": &source{every: time.Minute, feed: empty}, "slow": slow})
	r.asleep(1)
	equal(t, "heard of the quick one", r.feed.HeardSource("pec", "quick").Equal(morning), true)
	equal(t, "heard of the slow one", r.feed.HeardSource("pec", "slow").IsZero(), true)
	equal(t, "heard of the instance", r.feed.Heard("pec").IsZero(), true)
	equal(t, "heard of an unknown source", r.feed.HeardSource("pec", "x").IsZero(), true)
	if _, quiet := r.feed.Idle(); quiet {
		t.Error("quiet while one is being read")
	}
	r.clock.Advance(time.Hour)
	r.asleep(1)
	close(release)
	r.asleep(1)
	equal(t, "heard of the quick one", r.feed.HeardSource("pec", "quick").Equal(morning.Add(time.Hour)), true)
	equal(t, "heard of the instance: the oldest", r.feed.Heard("pec").Equal(morning), true)
	next, quiet := r.feed.Idle()
	equal(t, "quiet when all sleep", quiet, true)
	equal(t, "until the first of them", next.Sub(r.clock.Now()), time.Minute)
	stop()
	if _, quiet := r.feed.Idle(); !quiet {
		t.Error("not quiet though nothing is read any more")
	}
}

// 110 mailboxes, one hangs, one is locked: whoever watches the others sees no difference.
func TestASourceThatHangsLeavesTheLagOfTheOthersAsItWas(t *testing.T) {
	r := open(t)
	const n = 110
	all := map[string]contracts.Feeder{}
	for i := range n {
		all[fmt.Sprintf("box-%03d", i)] = &source{every: time.Minute, feed: empty}
	}
	all["box-007"] = &source{every: time.Minute, feed: hangs}
	locked := contracts.Errorf(contracts.Denied, "locked")
	all["box-008"] = &feeder{errs: []error{locked, locked, locked, locked}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	stop := r.sources(all)
	r.asleep(n - 1)
	for range 3 {
		r.clock.Advance(15 * time.Minute) // at which the locked one is tried too, whatever it waits
		r.asleep(n - 1)
	}
	runtime.ReadMemStats(&after)
	t.Logf("%d sources: %d goroutines and %d KiB of heap more than before, no connection but their own",
		n, runtime.NumGoroutine()-goroutines, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
	now := r.clock.Now()
	for _, s := range r.feed.Stats() {
		switch s.Source {
		case "box-007":
			equal(t, "heard of the one that hangs", s.Heard.IsZero(), true)
			equal(t, "its lag, from the start", now.Sub(s.Since), 45*time.Minute)
		case "box-008":
			equal(t, "failures of the locked one", s.Failures, 4)
		default:
			equal(t, "lag of "+s.Source, now.Sub(s.Heard), 0)
		}
	}
	stop()
}

// Fifty mailboxes with much to tell: the writer has two batches to deal with at most, so that whoever settles a ticket
// stands behind no more than that; and one with a backlog keeps none of the others waiting until it is through.
func TestManySourcesDoNotStampedeTheWriter(t *testing.T) {
	r := open(t)
	r.cfg.Batch = 10
	r.reopen()
	const n, each = 50, 30
	var most, commits int
	r.commit = func(uint64) { // on the writer's goroutine
		commits++
		most = max(most, r.store.Stats().Waiting)
	}
	all := map[string]contracts.Feeder{}
	var begun sync.WaitGroup
	begun.Add(n - 1)
	for i := range n {
		tell := each
		if i == 0 {
			tell = 20 * each // a backlog
		}
		told := 0
		all[fmt.Sprint("box-", i)] = &source{every: time.Minute, feed: func(_ context.Context, from contracts.Cursor) (batch []contracts.Event, _ contracts.Cursor, _ error) {
			switch {
			case i > 0 && told == 0:
				begun.Done()
			case i == 0 && told == each:
				begun.Wait()
			}
			for range min(each, tell-told) {
				batch = append(batch, receipt(fmt.Sprint(i, "/", told), "t1", fmt.Append(nil, i, told)))
				told++
			}
			return batch, contracts.Cursor(fmt.Sprint(told)), nil
		}}
	}
	stop := r.sources(all)
	r.asleep(n)
	stop()
	if most > 2 {
		t.Errorf("%d writes waited at once, want two at most", most)
	}
	equal(t, "events kept", len(r.folded()), n*each+19*each)
	var order []string // of the last event of each
	for i, line := range r.folded() {
		if line == fmt.Sprintf("pec 0/%d {}", 20*each-1) {
			order = append(order, fmt.Sprint("the backlog's at ", i))
			equal(t, "the backlog comes last", i, n*each+19*each-1)
		}
	}
	equal(t, "backlogs", len(order), 1)
}

func TestAHintEndsTheWaitEarly(t *testing.T) {
	r := open(t)
	reads := make(chan time.Time, 100)
	s := &source{every: time.Hour, wake: make(chan struct{}, 1), feed: func(ctx context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
		reads <- r.clock.Now()
		return nil, from, nil
	}}
	stop := r.sources(map[string]contracts.Feeder{"a": s})
	defer stop()
	r.asleep(1)
	<-reads
	r.clock.Advance(10 * time.Minute)
	s.wake <- struct{}{}
	equal(t, "read at", (<-reads).Sub(morning), 10*time.Minute)
	r.asleep(1)
	equal(t, "heard", r.feed.Heard("pec").Sub(morning), 10*time.Minute)

	// A hint right after a reading waits for its second; however many come until then, they are one.
	s.wake <- struct{}{}
	r.asleep(1)
	next, quiet := r.feed.Idle()
	equal(t, "quiet", quiet, true)
	equal(t, "next", next.Sub(r.clock.Now()), time.Second)
	s.wake <- struct{}{}
	r.clock.Advance(time.Second)
	equal(t, "read at", (<-reads).Sub(morning), 10*time.Minute+time.Second)
	r.asleep(1)
	next, quiet = r.feed.Idle()
	equal(t, "quiet", quiet, true)
	equal(t, "next, as if there had been no hints", next.Sub(r.clock.Now()), time.Hour)
	equal(t, "readings that nobody asked for", len(reads), 0)
}

// A mailbox that refuses us is not asked faster because somebody says that there is something in it.
func TestHintsDoNotShortenTheWaitAfterAFailure(t *testing.T) {
	r := open(t)
	reads := make(chan struct{}, 100)
	s := &source{every: time.Minute, wake: make(chan struct{}, 1), feed: func(context.Context, contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
		reads <- struct{}{}
		return nil, nil, contracts.Errorf(contracts.Denied, "locked")
	}}
	stop := r.sources(map[string]contracts.Feeder{"a": s})
	defer stop()
	r.asleep(1)
	<-reads
	s.wake <- struct{}{}
	next, quiet := r.feed.Idle()
	if wait := next.Sub(r.clock.Now()); !quiet || wait < time.Minute {
		t.Errorf("quiet %v for %s", quiet, wait)
	}
	r.clock.Advance(59 * time.Second)
	equal(t, "readings", len(reads), 0)
	r.clock.Advance(2 * time.Minute)
	<-reads
	r.asleep(1)
}

// A storm of hints reads once a second at most, on a clock that runs.
func TestAStormOfHintsReadsOnceASecond(t *testing.T) {
	r := open(t)
	reads := make(chan time.Time, 1000)
	s := &source{every: time.Hour, wake: make(chan struct{}), feed: func(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
		reads <- r.clock.Now()
		return nil, from, nil
	}}
	stop := r.sources(map[string]contracts.Feeder{"a": s})
	over := make(chan struct{})
	storm := make(chan struct{})
	go func() {
		defer close(storm)
		for {
			select {
			case s.wake <- struct{}{}:
			case <-over:
				return
			}
		}
	}()
	last := <-reads
	for range 20 {
		for len(reads) == 0 {
			r.clock.Advance(50 * time.Millisecond)
			runtime.Gosched()
		}
		at := <-reads
		if gap := at.Sub(last); gap < time.Second {
			t.Errorf("read again after %s", gap)
		}
		last = at
	}
	stop()
	close(over)
	<-storm
}

// Whatever an adapter gets wrong about one source is no business of the others.
func TestAFeederThatPanicsOnEveryIsReadAllTheSame(t *testing.T) {
	r := open(t)
	calls := make(chan struct{}, 10)
	stop := r.sources(map[string]contracts.Feeder{"a": &rude{calls}, "b": &source{every: time.Minute, feed: empty}})
	r.asleep(2)
	<-calls
	next, _ := r.feed.Idle()
	equal(t, "the next of b", next.Sub(r.clock.Now()), time.Minute)
	stop()
}

type rude struct{ calls chan struct{} }

func (r *rude) Feed(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	r.calls <- struct{}{}
	return nil, from, nil
}
func (r *rude) Every() time.Duration { panic("every") }
