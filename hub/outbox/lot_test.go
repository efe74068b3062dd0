package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/outbox"
	"raccordo/hub/store"
)

// A register answers lists, and counts.
type register struct {
	mu       sync.Mutex
	starts   []int    // sizes
	ids      []string // the holds' ids, as each start saw them
	collects int
	singles  int

	expected    time.Duration
	max         int
	onStart     func(n int) error // before the list counts as handed over
	onHandOver  func(n int) error // after
	onCollect   func(n int) error
	answer      func(a ask) contracts.Result[reply]
	departFirst bool
}

func (g *register) binding(op contracts.Op[ask, reply], single bool) contracts.Binding {
	do := func(ctx context.Context, a ask) (reply, error) {
		g.mu.Lock()
		g.singles++
		g.mu.Unlock()
		return departs(ctx, 0, a)
	}
	if !single {
		do = nil
	}
	if g.max == 0 {
		g.max = 1000
	}
	call := func(fn func(int) error, n int) error {
		if fn == nil {
			return nil
		}
		return fn(n)
	}
	return contracts.Bind(op, do, contracts.Expected(op, g.expected), contracts.AsList(op, g.max,
		func(ctx context.Context, reqs []ask) ([]byte, error) {
			h := contracts.HoldFrom(ctx)
			g.mu.Lock()
			defer g.mu.Unlock()
			n := len(g.starts) + 1
			if err := call(g.onStart, n); err != nil {
				g.starts, g.ids = append(g.starts, 0), append(g.ids, h.ID())
				return nil, err
			}
			if g.departFirst {
				if err := h.Depart(ctx); err != nil {
					return nil, err
				}
			}
			g.starts, g.ids = append(g.starts, len(reqs)), append(g.ids, h.ID())
			return fmt.Appendf(nil, "list %d", n), call(g.onHandOver, n)
		},
		func(ctx context.Context, handle []byte, reqs []ask) ([]contracts.Result[reply], error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.collects++
			if err := call(g.onCollect, g.collects); err != nil {
				return nil, err
			}
			out := make([]contracts.Result[reply], len(reqs))
			for i, a := range reqs {
				out[i] = contracts.Result[reply]{Value: reply{Who: a.Who}}
				if g.answer != nil {
					out[i] = g.answer(a)
				}
			}
			return out, nil
		}))
}

func (g *register) counts() (lists, singles int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.starts {
		if n > 0 {
			lists++
		}
	}
	return lists, g.singles
}

func (r *rig) many(op contracts.Op[ask, reply], n int, change func(i int, c *contracts.Call)) (ids []string) {
	r.Helper()
	ids = make([]string, n)
	for from := 0; from < n; from += 500 {
		err := r.store.Write(context.Background(), store.Accept, func(tx *store.Tx) error {
			for i := from; i < min(n, from+500); i++ {
				c := newCall(op, fmt.Sprint("many", i), ask{Who: fmt.Sprint(i)})
				if change != nil {
					change(i, c)
				}
				t, err := r.box.Put(tx, c)
				if err != nil {
					return err
				}
				ids[i] = t.ID
			}
			return nil
		})
		if err != nil {
			r.Fatal(err)
		}
	}
	return ids
}

func (r *rig) allDone(ids []string) {
	r.Helper()
	s, err := r.box.Stats(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	equal(r, "done", s.States[contracts.StateDone], len(ids))
	for i := 0; i < len(ids); i += 1 + len(ids)/100 {
		got := r.ticket(ids[i])
		if got.State != contracts.StateDone || string(got.Result) != fmt.Sprintf(`{"who":"%d"}`, i) {
			r.Fatalf("ticket %d: have %s %s (%v)", i, got.State, got.Result, got.Err)
		}
	}
}

func TestTenThousandLookUpsAreTenLists(t *testing.T) {
	for single, n := range map[bool]int{true: lookUps, false: lookUps / 5} {
		t.Run(fmt.Sprintf("single form %v", single), func(t *testing.T) {
			r := newRig(t)
			g := &register{}
			r.desk.bind("inad", g.binding(opRead, single))
			r.open().start()
			ids := r.many(opRead, n, nil)
			r.jump(time.Hour, nil)
			r.allDone(ids)
			lists, singles := g.counts()
			equal(t, "lists", lists, (n+999)/1000)
			if singles > 100 { // what a slow submitter leaves over between two lists
				t.Errorf("singles: have %d, want at most 100", singles)
			}
		})
	}
}

func TestWhatGathersAndWhatDoesNot(t *testing.T) {
	for _, c := range []struct {
		rule           string
		op             contracts.Op[ask, reply]
		single         bool
		tickets        int
		change         func(i int, c *contracts.Call)
		lists, singles int
	}{
		{"enough reads", opRead, true, 20, nil, 1, 0},
		{"too few reads go alone", opRead, true, 19, nil, 0, 19},
		{"too few reads without a single form", opRead, false, 1, nil, 1, 0},
		{"a near deadline never gathers", opRead, true, 50, func(_ int, c *contracts.Call) { c.Due = morning.Add(2 * time.Hour) }, 0, 50},
		{"a far one does", opRead, true, 50, func(_ int, c *contracts.Call) { c.Due = morning.Add(2*time.Hour + time.Minute) }, 1, 0},
		{"two purposes are two lists", opRead, true, 50, func(i int, c *contracts.Call) {
			if i%2 == 0 {
				c.Caller.Purpose = "other"
			}
		}, 2, 0},
		{"two services are two lists", opRead, true, 50, func(i int, c *contracts.Call) {
			if i%2 == 0 {
				c.Caller.Service = "other"
			}
		}, 2, 0},
		{"a write with a single form goes by it", opWrite, true, 50, nil, 0, 50},
		{"a write without one gathers", opWrite, false, 50, nil, 1, 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			g := &register{expected: time.Hour}
			r.desk.bind("inad", g.binding(c.op, c.single))
			r.open()
			ids := r.many(c.op, c.tickets, c.change)
			r.start()
			r.jump(24*time.Hour, nil)
			r.allDone(ids)
			lists, singles := g.counts()
			equal(t, "lists", lists, c.lists)
			equal(t, "singles", singles, c.singles)
		})
	}
}

func TestAPartialListWaitsForGatherForAndAFullOneDoesNot(t *testing.T) {
	r := newRig(t)
	g := &register{max: 30}
	r.desk.bind("inad", g.binding(opRead, true))
	r.open().start()
	ids := r.many(opRead, 50, nil)
	equal(t, "next", r.quiet().Sub(morning), 2*time.Second)
	lists, singles := g.counts()
	equal(t, "lists, singles", [2]int{lists, singles}, [2]int{1, 0})
	r.clock.Advance(2 * time.Second)
	r.quiet()
	lists, singles = g.counts()
	equal(t, "lists, singles", [2]int{lists, singles}, [2]int{2, 0})
	r.allDone(ids)
}

func TestAListsAnswersSettleEachMemberByItsOwn(t *testing.T) {
	r := newRig(t)
	g := &register{answer: func(a ask) contracts.Result[reply] {
		switch a.Who {
		case "0":
			return contracts.Result[reply]{Err: contracts.Errorf(contracts.NotFound, "none")}
		case "1":
			return contracts.Result[reply]{Err: contracts.Errorf(contracts.Invalid, "wrong code")}
		case "2":
			return contracts.Result[reply]{Err: contracts.Errorf(contracts.Unavailable, "later")}
		}
		return contracts.Result[reply]{Value: reply{Who: a.Who}}
	}}
	r.desk.bind("inad", g.binding(opRead, true))
	next, n := says(opRead, answers)
	r.desk.bind("next", next)
	r.open()
	ids := r.many(opRead, 25, nil)
	r.start()
	r.jump(time.Hour, nil)
	got := r.ticket(ids[1])
	kind(t, "the wrong one", got.Failure(), contracts.Invalid)
	ids[1] = ids[3]
	for _, i := range []int{0, 2, 3, 24} {
		equal(t, fmt.Sprint("state of ", i), r.ticket(ids[i]).State, contracts.StateDone)
	}
	equal(t, "who answered for 0", r.ticket(ids[0]).At, "next")
	equal(t, "exchanges at the next register", n.Load(), 1)
	lists, singles := g.counts()
	equal(t, "lists, singles", [2]int{lists, singles}, [2]int{1, 1})
	lines(t, "entries of 0", r.ledger.of(ids[0]), "submitted@inad", "outcome not_found@inad", "outcome ok@next")
	lines(t, "entries of 2", r.ledger.of(ids[2]), "submitted@inad", "outcome unavailable@inad", "outcome ok@inad")
	var named int
	for _, e := range r.ledger.all() {
		if e.Reason == "list "+g.ids[0] {
			named++
		}
	}
	equal(t, "entries of members that name the list", named, 25)
	if len(r.ledger.of(g.ids[0])) != 2 {
		t.Errorf("entries of the list: have %v, want one of the start and one of the answers", r.ledger.of(g.ids[0]))
	}
}

func TestAListIsCollectedWhenItsTimeComesAndOverARestart(t *testing.T) {
	r := newRig(t)
	g := &register{expected: 6 * time.Hour, onCollect: func(n int) error {
		if n < 4 {
			return &contracts.Error{Kind: contracts.Pending, After: time.Hour}
		}
		return nil
	}}
	r.desk.bind("inipec", g.binding(opRead, false))
	r.open()
	ids := r.many(opRead, 40, nil)
	r.start()
	r.jump(2*time.Hour, nil)
	for _, id := range ids {
		equal(t, "state", r.ticket(id).State, contracts.StateRunning)
	}
	r.reopen().start()
	r.jump(24*time.Hour, nil)
	r.allDone(ids)
	lists, _ := g.counts()
	equal(t, "lists", lists, 1)
	equal(t, "collected", g.collects, 4)
}

func TestWhatBecomesOfAListThatFails(t *testing.T) {
	unavailable, uncertain, invalid := contracts.Errorf(contracts.Unavailable, "x"), contracts.Errorf(contracts.Uncertain, "x"), contracts.Errorf(contracts.Invalid, "x")
	once := func(err error) func(int) error {
		return func(n int) error {
			if n == 1 {
				return err
			}
			return nil
		}
	}
	always := func(err error) func(int) error { return func(int) error { return err } }
	for _, c := range []struct {
		rule         string
		op           contracts.Op[ask, reply]
		single       bool
		g            *register
		state        contracts.State
		lists, alone int
		sameID       bool
	}{
		{rule: "a start that nobody heard is tried again", op: opRead, g: &register{onStart: once(unavailable)}, state: contracts.StateDone, lists: 1, sameID: true},
		{rule: "a read whose start is uncertain starts again", op: opRead, g: &register{onHandOver: once(uncertain)}, state: contracts.StateDone, lists: 2, sameID: true},
		{rule: "a write whose start is uncertain starts again by the same id", op: opWrite, g: &register{onHandOver: once(uncertain)}, state: contracts.StateDone, lists: 2, sameID: true},
		{rule: "a once whose start is uncertain is uncertain", op: opOnce, g: &register{onHandOver: once(uncertain), departFirst: true}, state: contracts.StateUncertain, lists: 1},
		{rule: "a once that had departed is uncertain", op: opOnce, g: &register{onHandOver: once(contracts.Errorf(contracts.Internal, "x")), departFirst: true}, state: contracts.StateUncertain, lists: 1},
		{rule: "a once that was refused was not handed over", op: opOnce, g: &register{onHandOver: once(unavailable), departFirst: true}, state: contracts.StateDone, lists: 2, sameID: true},
		{rule: "a list that is refused goes one by one", op: opRead, single: true, g: &register{onStart: once(invalid)}, state: contracts.StateDone, alone: 30},
		{rule: "or fails, where there is no single form", op: opRead, g: &register{onStart: once(invalid)}, state: contracts.StateFailed},
		{rule: "a list that was forgotten is handed over anew", op: opRead, g: &register{onCollect: once(contracts.NotFound)}, state: contracts.StateDone, lists: 2, sameID: true},
		{rule: "but not for ever", op: opRead, g: &register{onCollect: always(contracts.NotFound)}, state: contracts.StateFailed, lists: 3},
		{rule: "not a once", op: opOnce, g: &register{onCollect: once(contracts.NotFound)}, state: contracts.StateUncertain, lists: 1},
		{rule: "a list that is never ready fails", op: opRead, g: &register{onCollect: always(&contracts.Error{Kind: contracts.Pending, After: time.Hour})}, state: contracts.StateFailed, lists: 1},
		{rule: "a write that is never answered is uncertain", op: opWrite, g: &register{onCollect: always(&contracts.Error{Kind: contracts.Pending, After: time.Hour})}, state: contracts.StateUncertain, lists: 1},
		{rule: "collecting is tried again", op: opOnce, g: &register{onCollect: once(uncertain)}, state: contracts.StateDone, lists: 1},
		{rule: "a panic is tried again", op: opRead, g: &register{onCollect: func(n int) error {
			if n == 1 {
				panic("x")
			}
			return nil
		}}, state: contracts.StateDone, lists: 1},
		{rule: "our own refusal costs nothing", op: opRead, g: &register{onStart: func(n int) error {
			if n < 30 {
				return &contracts.Error{Kind: contracts.Unavailable, After: time.Minute, Err: errOurs}
			}
			return nil
		}}, state: contracts.StateDone, lists: 1, sameID: true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			g := c.g
			r.desk.bind("x", g.binding(c.op, c.single))
			r.open()
			ids := r.many(c.op, 30, nil)
			r.start()
			r.jump(400*time.Hour, nil)
			for i, id := range ids {
				if got := r.ticket(id); got.State != c.state {
					t.Fatalf("state of %d: have %s (%v), want %s", i, got.State, got.Err, c.state)
				}
			}
			lists, singles := g.counts()
			equal(t, "lists", lists, c.lists)
			equal(t, "singles", singles, c.alone)
			if c.sameID && len(slices.Compact(slices.Clone(g.ids))) != 1 {
				t.Errorf("ids of the list: have %v, want one", g.ids)
			}
			s, err := r.box.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "lists left", s.Lots, 0)
		})
	}
}

func TestAListsWritesHaveTheirIntentsBeforeTheyLeave(t *testing.T) {
	for _, op := range []contracts.Op[ask, reply]{opWrite, opOnce} {
		t.Run(op.Effect.String(), func(t *testing.T) {
			r := newRig(t)
			var before int
			g := &register{departFirst: true}
			g.onHandOver = func(int) error {
				for _, e := range r.ledger.all() {
					if e.Phase == contracts.PhaseIntent {
						before++
					}
				}
				return nil
			}
			r.desk.bind("x", g.binding(op, false))
			r.open()
			ids := r.many(op, 30, nil)
			r.start()
			r.jump(time.Hour, nil)
			r.allDone(ids)
			equal(t, "intents before it left", before, 30)
		})
	}
}

func TestMembersSettledMeanwhileAreLeftAlone(t *testing.T) {
	r := newRig(t)
	g := &register{expected: 6 * time.Hour, onCollect: func(n int) error {
		if n == 1 {
			return &contracts.Error{Kind: contracts.Pending, After: time.Hour}
		}
		return nil
	}}
	r.desk.bind("x", g.binding(opRead, false))
	r.open()
	ids := r.many(opRead, 5, nil)
	r.start()
	r.jump(time.Hour, nil)
	if err := r.box.Settle(t.Context(), ids[2], contracts.StateAbandoned, nil, "op", "withdrawn"); err != nil {
		t.Fatal(err)
	}
	r.jump(24*time.Hour, nil)
	for i, id := range ids {
		want := contracts.StateDone
		if i == 2 {
			want = contracts.StateAbandoned
		}
		equal(t, "state", r.ticket(id).State, want)
	}
	page, err := r.box.List(t.Context(), outbox.Query{State: contracts.StateRunning})
	if err != nil || len(page) != 0 {
		t.Errorf("running: have %d, %v", len(page), err)
	}
}

func TestAListThatIsNotTakenSaysOfNobodyThatThereIsNone(t *testing.T) {
	r := newRig(t)
	r.cfg.Attempts = 3
	g := &register{onStart: func(int) error { return contracts.Errorf(contracts.NotFound, "no such path") }}
	r.desk.bind("lists", g.binding(opRead, false))
	r.open().start()
	id := r.submit(newCall(opRead, "k", ask{Who: "a"})).ID
	got := r.settled(id)
	equal(t, "state", got.State, contracts.StateFailed)
	kind(t, "failure", got.Failure(), contracts.Malformed)
}
