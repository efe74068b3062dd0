package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/outbox"
)

// A watch sees who is in a lane at a time.
type watch struct {
	mu    sync.Mutex
	in    map[string]int
	most  int
	order []string
}

func (w *watch) enter(lane, who string) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.in == nil {
		w.in = map[string]int{}
	}
	w.in[lane]++
	w.most = max(w.most, w.in[lane])
	w.order = append(w.order, who)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.in[lane]--
	}
}

func (w *watch) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.order...)
}

func TestAKeyedLaneHasOneInFlight(t *testing.T) {
	r := newRig(t)
	var w watch
	b, _ := says(opKeyed, func(_ context.Context, _ int, a ask) (reply, error) {
		defer w.enter(a.Lane, a.Who)()
		return reply{}, nil
	})
	r.desk.bind("pec", b)
	r.open().start()
	for i := range 60 {
		r.submit(newCall(opKeyed, fmt.Sprint(i), ask{Lane: fmt.Sprint(i % 2), Who: fmt.Sprint(i)}))
	}
	r.quiet()
	equal(t, "most in one lane", w.most, 1)
	equal(t, "carried out", len(w.seen()), 60)
}

func TestAKeyedLaneLetsOthersPass(t *testing.T) {
	for _, c := range []struct {
		rule string
		err  error
		want contracts.State
	}{
		{"one that backs off", contracts.Errorf(contracts.Unavailable, "busy"), contracts.StateQueued},
		{"one that is uncertain", contracts.Errorf(contracts.Uncertain, "lost"), contracts.StateUncertain},
		{"one that waits", nil, contracts.StateWaiting},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			var w watch
			b, _ := says(opKeyed, func(_ context.Context, _ int, a ask) (reply, error) {
				defer w.enter(a.Lane, a.Who)()
				if a.Who == "first" {
					return reply{}, c.err
				}
				return reply{}, contracts.Errorf(contracts.Invalid, "no")
			}, contracts.OnEvent(opKeyed, func(_ ask, r reply, _ contracts.Event) (reply, contracts.Move, error) {
				return r, contracts.Move{}, nil
			}))
			r.desk.bind("pec", b)
			r.open()
			first := r.submit(newCall(opKeyed, "1", ask{Lane: "l", Who: "first"})).ID
			second := r.submit(newCall(opKeyed, "2", ask{Lane: "l", Who: "second"})).ID
			r.start()
			equal(t, "first", r.state(first), c.want)
			equal(t, "second", r.state(second), contracts.StateFailed)
			lines(t, "order", w.seen(), "first", "second")
		})
	}
}

func TestAKeyedLanesHeadIsTheMostUrgentAndReadyOne(t *testing.T) {
	r := newRig(t)
	var w watch
	b, _ := says(opKeyed, func(_ context.Context, n int, a ask) (reply, error) {
		defer w.enter(a.Lane, a.Who)()
		if n == 1 {
			return reply{}, &contracts.Error{Kind: contracts.Unavailable, After: time.Minute}
		}
		return reply{}, nil
	})
	r.desk.bind("pec", b)
	r.open()
	put := func(who string, due time.Duration) {
		c := newCall(opKeyed, who, ask{Lane: "l", Who: who})
		c.Due = morning.Add(due)
		r.submit(c)
	}
	put("c", 3*time.Hour)
	put("a", time.Hour) // goes first, and has to come again
	put("b", 2*time.Hour)
	r.start()
	r.quiet()
	r.clock.Advance(time.Minute)
	r.quiet()
	lines(t, "order", w.seen(), "a", "b", "c", "a")
	put("d", 5*time.Hour)
	r.quiet()
	lines(t, "order", w.seen(), "a", "b", "c", "a", "d")
}

func TestAThrottledLanePausesAlone(t *testing.T) {
	r := newRig(t)
	var w watch
	b, _ := says(opKeyed, func(_ context.Context, n int, a ask) (reply, error) {
		defer w.enter(a.Lane, a.Who)()
		if a.Lane == "slow" && r.clock.Now().Equal(morning) {
			return reply{}, &contracts.Error{Kind: contracts.Throttled, After: time.Minute}
		}
		return reply{}, nil
	})
	r.desk.bind("pec", b)
	r.open()
	for i := range 100 {
		r.submit(newCall(opKeyed, fmt.Sprint("slow", i), ask{Lane: "slow", Who: "slow"}))
	}
	r.submit(newCall(opKeyed, "quick", ask{Lane: "quick", Who: "quick"}))
	r.start()
	equal(t, "next", r.quiet().Sub(morning), time.Minute)
	equal(t, "exchanges", len(w.seen()), 2)
	r.clock.Advance(time.Minute)
	r.jump(time.Hour, nil)
	equal(t, "exchanges", len(w.seen()), 102)
}

func TestAStrictLaneGoesByPosition(t *testing.T) {
	r := newRig(t)
	var w watch
	b, _ := says(opStrict, func(_ context.Context, _ int, a ask) (reply, error) {
		defer w.enter(a.Lane, a.Who)()
		return reply{}, nil
	})
	r.desk.bind("silen", b)
	r.open().start()
	put := func(pos uint64) string {
		return r.submit(newCall(opStrict, fmt.Sprint(pos), ask{Lane: "RM", Who: fmt.Sprint(pos), Pos: pos})).ID
	}
	put(3)
	four := put(4)
	r.quiet()
	lines(t, "order with 1 and 2 missing", w.seen())
	got := r.ticket(four)
	equal(t, "state", got.State, contracts.StateQueued)
	equal(t, "shown", string(got.Detail), `{"missing_position":1}`)
	put(1)
	r.quiet()
	lines(t, "order with 2 missing", w.seen(), "1")
	page, err := r.box.List(t.Context(), outbox.Query{Lane: "RM", State: contracts.StateQueued})
	if err != nil || len(page) != 2 {
		t.Fatalf("list: have %d tickets, %v", len(page), err)
	}
	equal(t, "shown in the list", string(page[0].Detail), `{"missing_position":2}`)
	put(2)
	r.quiet()
	lines(t, "order", w.seen(), "1", "2", "3", "4")
	equal(t, "most at a time", w.most, 1)
}

func TestAStrictLanesHeadBlocks(t *testing.T) {
	for _, c := range []struct {
		rule   string
		err    error
		blocks bool
		want   contracts.State
	}{
		{"while it backs off", contracts.Errorf(contracts.Unavailable, "busy"), true, contracts.StateQueued},
		{"while it is uncertain", contracts.Errorf(contracts.Uncertain, "lost"), true, contracts.StateUncertain},
		{"no longer when it failed", contracts.Errorf(contracts.Conflict, "no quota"), false, contracts.StateFailed},
		{"no longer when it waits", nil, false, contracts.StateWaiting},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			var w watch
			b, _ := says(opStrict, func(_ context.Context, _ int, a ask) (reply, error) {
				defer w.enter(a.Lane, a.Who)()
				if a.Pos == 1 {
					return reply{}, c.err
				}
				return reply{}, nil
			}, contracts.OnEvent(opStrict, func(_ ask, r reply, _ contracts.Event) (reply, contracts.Move, error) {
				return r, contracts.Move{To: contracts.StateDone}, nil
			}))
			r.desk.bind("silen", b)
			r.open()
			var ids []string
			for pos := range uint64(3) {
				ids = append(ids, r.submit(newCall(opStrict, fmt.Sprint(pos), ask{Lane: "RM", Who: fmt.Sprint(pos + 1), Pos: pos + 1})).ID)
			}
			r.start()
			equal(t, "first", r.state(ids[0]), c.want)
			if !c.blocks {
				lines(t, "order", w.seen(), "1", "2", "3")
				return
			}
			lines(t, "order", w.seen(), "1")
			r.stop()
			r.reopen().start()
			r.quiet()
			lines(t, "order after a restart", w.seen(), "1")
			if err := r.box.Settle(t.Context(), ids[0], contracts.StateAbandoned, nil, "op", "withdrawn"); err != nil {
				t.Fatal(err)
			}
			r.quiet()
			lines(t, "order when it was given up", w.seen(), "1", "2", "3")
		})
	}
}

func TestPositionsThatWereGivenUpAreWalkedOver(t *testing.T) {
	r := newRig(t)
	var w watch
	b, _ := says(opStrict, func(_ context.Context, _ int, a ask) (reply, error) {
		defer w.enter(a.Lane, a.Who)()
		return reply{}, nil
	})
	r.desk.bind("silen", b)
	r.open()
	for pos := uint64(2); pos <= 5; pos++ {
		id := r.submit(newCall(opStrict, fmt.Sprint(pos), ask{Lane: "RM", Who: fmt.Sprint(pos), Pos: pos})).ID
		if pos < 5 {
			if err := r.box.Settle(t.Context(), id, contracts.StateAbandoned, nil, "op", "withdrawn"); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.start()
	r.submit(newCall(opStrict, "1", ask{Lane: "RM", Who: "1", Pos: 1}))
	r.quiet()
	lines(t, "order", w.seen(), "1", "5")
}

func TestLanesOfDifferentOperationsAreDifferentLanes(t *testing.T) {
	r := newRig(t)
	block := make(chan struct{})
	k, _ := says(opKeyed, func(context.Context, int, ask) (reply, error) { <-block; return reply{}, nil })
	s, _ := says(opStrict, answers)
	r.desk.bind("x", k)
	r.desk.bind("x", s)
	r.open().start()
	r.submit(newCall(opKeyed, "k", ask{Lane: "l"}))
	id := r.submit(newCall(opStrict, "s", ask{Lane: "l", Pos: 1})).ID
	got, err := r.box.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "state", got.State, contracts.StateDone)
	close(block)
	r.quiet()
}

// A far side that says "come back in a second" for ever is not asked every second for ever; one that takes something again
// is asked as soon as it says.
func TestAFarSideThatThrottlesForEverIsAskedEverMoreSeldom(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	var asked []time.Time
	b, _ := says(opRead, func(_ context.Context, n int, _ ask) (reply, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.clock.Now())
		if n == 20 || n == 21 {
			return reply{}, nil
		}
		return reply{}, &contracts.Error{Kind: contracts.Throttled, After: time.Second}
	})
	r.desk.bind("inad", b)
	r.open()
	for i := range 3 {
		r.submit(newCall(opRead, fmt.Sprint("k", i), ask{Who: fmt.Sprint(i)}))
	}
	r.start()
	r.jump(24*time.Hour, nil)
	mu.Lock()
	defer mu.Unlock()
	if len(asked) < 30 || len(asked) > 500 {
		t.Fatalf("asked %d times in a day", len(asked))
	}
	taken := 0 // when the first was
	for i, at := range asked {
		if at.Equal(asked[19]) {
			taken = i
			break
		}
	}
	if wait := asked[taken].Sub(asked[taken-1]); wait < time.Minute {
		t.Errorf("asked again after %s, when nothing had been taken for long", wait)
	}
	for _, at := range asked[taken:] {
		if at.After(asked[21]) {
			if wait := at.Sub(asked[21]); wait > 5*time.Second {
				t.Errorf("asked again after %s, when something had just been taken", wait)
			}
			break
		}
	}
}
