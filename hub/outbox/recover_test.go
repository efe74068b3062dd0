package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A far side that counts what it was asked to do, and tells of it.
type far struct {
	mu   sync.Mutex
	did  map[string]int
	told []contracts.Event
}

func (f *far) do(id, kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.did == nil {
		f.did = map[string]int{}
	}
	f.did[id]++
	f.told = append(f.told, event(fmt.Sprint(id, "/", f.did[id]), kind, id))
}

func (f *far) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.did[id] > 0
}

func (f *far) Feed(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var n int
	_, _ = fmt.Sscan(string(from), &n)
	return append([]contracts.Event(nil), f.told[min(n, len(f.told)):]...), contracts.Cursor(fmt.Sprint(len(f.told))), nil
}
func (f *far) Every() time.Duration { return 10 * time.Minute }

// doubled and lost count what must not be.
func (f *far) check(t testing.TB, ids []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	lost, doubled := 0, 0
	for _, id := range ids {
		switch n := f.did[id]; {
		case n == 0:
			lost++
		case n > 1:
			doubled++
		}
	}
	if lost+doubled > 0 {
		t.Errorf("of %d: %d lost, %d doubled", len(ids), lost, doubled)
	}
}

// run keeps the feed read while the test jumps.
func (r *rig) run(instance string, f contracts.Feeder) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.feed.Run(ctx, instance, f) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
	}
}

// all waits until box and feed are quiet and jumps to whatever is next, until the horizon.
func (r *rig) all(horizon time.Duration) {
	r.Helper()
	end := r.clock.Now().Add(horizon)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for {
		a, boxQuiet := r.box.Idle()
		b, feedQuiet := r.feed.Idle()
		if again, still := r.box.Idle(); !boxQuiet || !feedQuiet || !still || !again.Equal(a) {
			select {
			case <-tick.C:
			case <-deadline.C:
				r.Fatal("never quiet")
			}
			continue
		}
		next := a
		if next.IsZero() || !b.IsZero() && b.Before(next) {
			next = b
		}
		if next.IsZero() || next.After(end) {
			return
		}
		r.clock.Set(next)
	}
}

// A process dies with a write in its hands, which may have arrived. What becomes of the tries after that says nothing of
// the first, unless the far side speaks of the request itself.
func TestAWriteThatMayHaveArrivedDoesNotFailForSilence(t *testing.T) {
	for _, c := range []struct {
		kind contracts.Kind
		want contracts.State
	}{
		{contracts.Unavailable, contracts.StateUncertain},
		{contracts.Denied, contracts.StateUncertain},
		{contracts.Malformed, contracts.StateUncertain},
		{contracts.Internal, contracts.StateUncertain},
		{contracts.Invalid, contracts.StateFailed},
		{contracts.Conflict, contracts.StateFailed},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			r := newRig(t)
			r.cfg.Attempts = 3
			b, _ := says(opWrite, func(context.Context, int, ask) (reply, error) {
				return reply{}, &contracts.Error{Kind: c.kind, Err: errors.New("cause")}
			})
			r.desk.bind("x", b)
			r.open()
			died, lived := r.submit(newCall(opWrite, "1", ask{})).ID, ""
			if n, err := r.box.Claim(t.Context(), 1); err != nil || n != 1 {
				t.Fatalf("claimed %d, %v", n, err)
			}
			r.reopen().start()
			lived = r.submit(newCall(opWrite, "2", ask{})).ID
			r.jump(100*time.Hour, nil)
			got := r.ticket(died)
			equal(t, "state", got.State, c.want)
			if c.want == contracts.StateUncertain {
				kind(t, "its error", got.Err, contracts.Uncertain)
			}
			equal(t, "state of one that nothing befell", r.state(lived), contracts.StateFailed)
		})
	}
}

func TestARestoredCopyDoublesAndLosesNothing(t *testing.T) {
	for _, c := range []struct {
		rule    string
		op      contracts.Op[ask, reply]
		resolve bool
		events  bool
	}{
		{"a write that can be asked about", opWrite, true, false},
		{"a write that can be asked about and has events", opWrite, true, true},
		{"a once whose events tell", opOnce, false, true},
		{"a once that can be asked about and has events", opOnce, true, true},
		{"in a lane", opKeyed, false, true},
		{"in a strict lane", opStrict, true, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			f := &far{}
			opts := []contracts.Option[ask, reply]{}
			if c.resolve {
				opts = append(opts, contracts.Resolve(c.op, func(ctx context.Context, a ask) (reply, error) {
					if f.has(contracts.HoldFrom(ctx).ID()) {
						return reply{Who: a.Who}, nil
					}
					return reply{}, contracts.NotFound
				}))
			}
			if c.events {
				opts = append(opts, receipts(c.op))
			}
			b, _ := says(c.op, func(ctx context.Context, _ int, a ask) (reply, error) {
				h := contracts.HoldFrom(ctx)
				if err := h.Depart(ctx); err != nil {
					return reply{}, err
				}
				f.do(h.ID(), "delivered")
				return reply{Who: a.Who}, nil
			}, opts...)
			r.desk.bind("x", b)
			r.open()
			call := func(i int) *contracts.Call {
				return newCall(c.op, fmt.Sprint(i), ask{Who: fmt.Sprint(i), Lane: "l", Pos: uint64(i + 1)})
			}
			var ids []string
			put := func(from, to int) {
				for i := from; i < to; i++ {
					id := r.submit(call(i)).ID
					if i >= len(ids) {
						ids = append(ids, id)
					}
				}
			}
			put(0, 10)
			r.start()
			r.quiet() // ten are carried out
			r.stop()
			put(10, 20) // ten are only accepted
			copied := r.path + ".copy"
			if err := r.store.Close(); err != nil {
				t.Fatal(err)
			}
			copyFile(t, r.path, copied)
			r.open()
			put(20, 30) // ten the copy will not know
			r.start()
			r.quiet()
			r.stop()
			f.check(t, ids)

			r.path = copied
			r.opt.Recovered = true
			r.reopen().start()
			defer r.run("x", f)()
			put(0, 35) // everything again, and five that are new
			if c.op.Effect == contracts.Once {
				r.all(23 * time.Hour)
				equal(t, "the new ones wait", f.has(ids[34]), false)
			}
			r.all(48 * time.Hour)
			f.check(t, ids)
			for i, id := range ids {
				equal(t, fmt.Sprint("state of ", i), r.ticket(id).State, contracts.StateDone)
			}
			r.until("the recovery ends", func() bool { return !r.store.Recovered() })
			put(35, 36)
			r.quiet()
			f.check(t, ids)
		})
	}
}

func TestNothingLeavesWhileTheEventsOfARestoredStoreCannotBeRead(t *testing.T) {
	r := newRig(t)
	f := &far{}
	b, n := says(opOnce, departs, receipts(opOnce))
	r.desk.bind("x", b)
	r.open()
	id := r.submit(newCall(opOnce, "k", ask{})).ID
	r.opt.Recovered = true
	r.reopen().start()
	r.jump(25*time.Hour, func() bool { return r.clock.Now().Sub(morning) > 24*time.Hour })
	equal(t, "state with the hold over and no events read", r.state(id), contracts.StateUncertain)
	stop := r.run("x", f)
	defer stop()
	r.all(time.Hour)
	equal(t, "exchanges when they were", n.Load(), 1)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if extra, _ := filepath.Glob(from + "-wal"); len(extra) > 0 {
		if b, err := os.ReadFile(extra[0]); err == nil && len(b) > 0 {
			t.Fatal("the closed store left a write-ahead log")
		}
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestARestartTakesUpWhatWasRunning(t *testing.T) {
	for _, c := range []struct {
		rule    string
		op      contracts.Op[ask, reply]
		departs bool
		want    contracts.State
		sent    int64
	}{
		{"a read goes again", opRead, false, contracts.StateDone, 2},
		{"a write goes again by its key", opWrite, true, contracts.StateDone, 2},
		{"a once that had not departed goes again", opOnce, false, contracts.StateDone, 2},
		{"a once that had departed is uncertain", opOnce, true, contracts.StateUncertain, 1},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			r.cfg.Drain = time.Millisecond
			n, began, hang := r.hangs(c.op, c.departs)
			r.open()
			old := r.box
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- old.Work(ctx) }()
			id := r.submit(newCall(c.op, "k", ask{})).ID
			<-began
			// A second box on the same store takes over, as a new process would.
			second := *r
			second.attach()
			second.start()
			equal(t, "state", second.state(id), c.want)
			equal(t, "sent", n.Load(), c.sent)
			cancel()
			close(hang) // the first one's late result commits nothing
			<-done
			equal(t, "state in the end", second.state(id), c.want)
			second.stop()
			entries := second.ledger.of(id)
			outcomes := 0
			for _, e := range entries {
				if e == "outcome ok@x" {
					outcomes++
				}
			}
			if c.want == contracts.StateDone && outcomes != 1 || c.want == contracts.StateUncertain && outcomes != 0 {
				t.Errorf("entries: %v", entries)
			}
		})
	}
}

func TestAForeignLeaseIsWaitedOutInMonotonicTimeAlone(t *testing.T) {
	r := newRig(t)
	r.cfg.Lease = 5 * time.Second
	r.cfg.Drain = time.Millisecond
	r.opt.Shared = true
	var mu sync.Mutex
	var mono time.Duration
	began, hang := make(chan struct{}), make(chan struct{})
	b, n := says(opRead, func(ctx context.Context, n int, _ ask) (reply, error) {
		if n == 1 {
			close(began)
			<-hang
		}
		return reply{}, nil
	})
	r.desk.bind("x", b)
	// The first process stands still: no sign of life comes from it.
	r.opt.Lease = "first"
	r.open()
	first := r.box
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- first.Work(ctx) }()
	id := r.submit(newCall(opRead, "k", ask{})).ID
	<-began

	second := *r
	second.opt.Lease = "second"
	second.opt.SetMono(func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return mono
	})
	second.attach()
	look := func(after time.Duration) contracts.Ticket {
		mu.Lock()
		mono += after
		mu.Unlock()
		second.box.Watch(t.Context())
		return second.ticket(id)
	}
	for _, step := range []time.Duration{0, time.Hour, -2 * time.Hour, 25 * time.Hour} {
		r.clock.Advance(step)
		equal(t, fmt.Sprint("state when the clock was set by ", step), look(time.Second).State, contracts.StateRunning)
	}
	equal(t, "state after a lease of silence", look(6*time.Second).State, contracts.StateQueued)
	second.start()
	equal(t, "state", second.state(id), contracts.StateDone)
	second.stop()
	equal(t, "exchanges", n.Load(), 2)
	cancel()
	close(hang)
	<-done
}

func TestTheClockSteppingFreesNothingAndRepeatsNothing(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			r := newRig(t)
			began, goOn := make(chan struct{}), make(chan struct{})
			b, n := says(opOnce, func(ctx context.Context, n int, a ask) (reply, error) {
				if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
					return reply{}, err
				}
				if a.Who == "long" {
					close(began)
					<-goOn
				}
				return reply{}, nil
			})
			r.desk.bind("x", b)
			r.open().start()
			long := r.submit(newCall(opOnce, "long", ask{Who: "long"})).ID
			<-began
			r.clock.Advance(step)
			other := r.submit(newCall(opOnce, "other", ask{})).ID
			if _, err := r.box.Wait(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			equal(t, "state", r.ticket(long).State, contracts.StateRunning)
			r.clock.Advance(-step)
			close(goOn)
			equal(t, "state", r.state(long), contracts.StateDone)
			equal(t, "exchanges", n.Load(), 2)
		})
	}
}

func TestAClockSetBackDelaysNoListAndRunsNothingEarly(t *testing.T) {
	r := newRig(t)
	g := &register{}
	r.desk.bind("inad", g.binding(opRead, true))
	b, n := says(opWrite, func(_ context.Context, n int, _ ask) (reply, error) {
		return reply{}, &contracts.Error{Kind: contracts.Unavailable, After: 10 * time.Minute}
	})
	r.desk.bind("inad", b)
	r.open().start()
	ids := r.many(opRead, 30, nil)
	r.submit(newCall(opWrite, "w", ask{}))
	r.quiet()
	r.clock.Advance(-time.Hour)
	r.box.Ring()
	r.quiet()
	r.allDone(ids)
	equal(t, "exchanges", n.Load(), 1)
	r.clock.Advance(time.Hour + 9*time.Minute)
	r.quiet()
	equal(t, "exchanges before its time", n.Load(), 1)
	r.clock.Advance(time.Minute)
	r.quiet()
	equal(t, "exchanges at its time", n.Load(), 2)
}

func TestASecondOpenOfTheStoreIsRefused(t *testing.T) {
	r := newRig(t)
	r.open()
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = r.path, "secret://env/KEY", 0
	_, err := store.Open(t.Context(), cfg, store.Options{Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(testKey), nil }})
	if err == nil {
		t.Fatal("two processes could work on one file: leases would be seized from the living")
	}
}
