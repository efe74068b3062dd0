package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

var opPooled = contracts.NewOp[ask, reply]("test.pooled", contracts.Once).InLane(func(a ask) contracts.Lane {
	return contracts.Lane{Name: a.Lane, Rule: contracts.Pooled}
})

// Mailboxes are the places of a test's pools: each takes one message at a time, and its next turn comes `every` after
// the last one that was used.
type mailboxes struct {
	mu     sync.Mutex
	clock  contracts.Clock
	every  time.Duration
	pools  map[string][]*mailbox
	faults []string
}

type mailbox struct {
	name   string
	busy   bool
	from   time.Time // its next turn; zero: at once
	locked bool      // until nobody knows when
	used   int
	unused int
}

func newMailboxes(clock contracts.Clock, pools map[string]int) *mailboxes {
	m := &mailboxes{clock: clock, pools: map[string][]*mailbox{}}
	for pool, n := range pools {
		for i := range n {
			m.pools[pool] = append(m.pools[pool], &mailbox{name: fmt.Sprint(pool, i)})
		}
	}
	return m
}

func (m *mailboxes) reserve(pool string) (p contracts.Place, next time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Now()
	for _, b := range m.pools[pool] {
		switch {
		case b.busy || b.locked:
		case b.from.After(now):
			if next.IsZero() || b.from.Before(next) {
				next = b.from
			}
		default:
			b.busy = true
			return contracts.Place{Name: b.name, Release: func(used bool) { m.release(b, used) }}, time.Time{}, true
		}
	}
	return p, next, false
}

func (m *mailboxes) release(b *mailbox, used bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !b.busy {
		m.faults = append(m.faults, b.name+" was given back twice")
	}
	b.busy = false
	if !used {
		b.unused++
		return
	}
	b.used++
	if turn := m.clock.Now().Add(m.every); turn.After(b.from) {
		b.from = turn
	}
}

// box finds a mailbox by name, which a worker must be holding.
func (m *mailboxes) box(name string) *mailbox {
	for _, all := range m.pools {
		for _, b := range all {
			if b.name == name {
				if !b.busy {
					m.faults = append(m.faults, name+" is used without having been reserved")
				}
				return b
			}
		}
	}
	m.faults = append(m.faults, "no place in the context")
	return &mailbox{}
}

// leave keeps the mailbox from being given out for a while.
func (m *mailboxes) leave(name string, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.box(name).from = m.clock.Now().Add(d)
}

// rest is how many mailboxes are free at this instant.
func (m *mailboxes) rest(pool string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.pools[pool] {
		if !b.busy && !b.locked && !b.from.After(m.clock.Now()) {
			n++
		}
	}
	return n
}

// atRest checks that every place was given back, once.
func (m *mailboxes) atRest(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.faults {
		t.Error(f)
	}
	for _, all := range m.pools {
		for _, b := range all {
			if b.busy {
				t.Errorf("%s was never given back", b.name)
			}
		}
	}
}

func (m *mailboxes) binding(fn func(ctx context.Context, box string, a ask) (reply, error), opts ...contracts.Option[ask, reply]) contracts.Binding {
	b, _ := says(opPooled, func(ctx context.Context, _ int, a ask) (reply, error) {
		return fn(ctx, contracts.PlaceFrom(ctx), a)
	}, append(opts, contracts.Reserving(opPooled, m.reserve))...)
	return b
}

func pooled(pool, who string) *contracts.Call {
	return newCall(opPooled, pool+who, ask{Lane: pool, Who: who})
}

// sent checks that all are done.
func (r *rig) sent(ids []string) {
	r.Helper()
	for _, id := range ids {
		equal(r, "state", r.ticket(id).State, contracts.StateDone)
	}
}

// A gate holds exchanges until it is opened.
type gate struct {
	in   chan string
	open chan struct{}
}

func newGate() *gate { return &gate{in: make(chan string, 1000), open: make(chan struct{})} }

func (g *gate) pass(who string) { g.in <- who; <-g.open }

// entered waits for n exchanges to have begun.
func (g *gate) entered(t testing.TB, n int) (who []string) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for range n {
		select {
		case w := <-g.in:
			who = append(who, w)
		case <-timer.C:
			t.Fatalf("%d exchanges began, want %d", len(who), n)
		}
	}
	slices.Sort(who)
	return who
}

func TestAPoolHasAsManyInFlightAsPlaces(t *testing.T) {
	r := newRig(t)
	r.cfg.Workers = 1 // a place needs no worker
	m := newMailboxes(r.clock, map[string]int{"rome": 3, "turin": 2})
	g := newGate()
	r.desk.bind("pec", m.binding(func(_ context.Context, box string, a ask) (reply, error) {
		g.pass(box)
		return reply{Who: box}, nil
	}))
	reads := newGate()
	slow, _ := says(opRead, func(context.Context, int, ask) (reply, error) { reads.pass("read"); return reply{}, nil })
	r.desk.bind("inad", slow)
	r.open().start()
	r.submit(newCall(opRead, "slow", ask{}))
	reads.entered(t, 1) // the only worker has its hands full
	var ids []string
	for i := range 20 {
		ids = append(ids, r.submit(pooled("rome", fmt.Sprint(i))).ID, r.submit(pooled("turin", fmt.Sprint(i))).ID)
	}
	lines(t, "places in use", g.entered(t, 5), "rome0", "rome1", "rome2", "turin0", "turin1")
	r.box.Ring()
	if next, quiet := r.box.Idle(); quiet || !next.IsZero() {
		t.Errorf("quiet %t until %s while all places are in use", quiet, next)
	}
	equal(t, "further exchanges", len(g.in), 0)
	close(g.open)
	close(reads.open)
	r.quiet()
	r.sent(ids)
	m.atRest(t)
}

func TestWithoutPlacesToReserveAPoolHasAsManyAsWorkers(t *testing.T) {
	r := newRig(t)
	r.cfg.Workers = 3
	g := newGate()
	b, _ := says(opPooled, func(ctx context.Context, _ int, a ask) (reply, error) {
		g.pass(contracts.PlaceFrom(ctx))
		return reply{}, nil
	})
	r.desk.bind("pec", b)
	r.open().start()
	for i := range 10 {
		r.submit(pooled("rome", fmt.Sprint(i)))
	}
	lines(t, "in flight", g.entered(t, 3), "", "", "")
	r.box.Ring()
	equal(t, "further exchanges", len(g.in), 0)
	close(g.open)
	r.quiet()
}

func TestAFullPoolHidesNobody(t *testing.T) {
	r := newRig(t)
	m := newMailboxes(r.clock, map[string]int{"full": 1, "free": 1})
	m.pools["full"][0].locked = true
	r.desk.bind("pec", m.binding(func(context.Context, string, ask) (reply, error) { return reply{}, nil }))
	read, _ := says(opRead, answers)
	r.desk.bind("pec", read)
	r.open()
	var stuck []string
	for i := range 300 {
		stuck = append(stuck, r.submit(pooled("full", fmt.Sprint(i))).ID)
	}
	r.start()
	r.settled(r.submit(pooled("free", "other pool")).ID)
	r.settled(r.submit(newCall(opRead, "no pool", ask{})).ID)
	next := r.quiet()
	equal(t, "next", next, time.Time{}) // nobody knows when
	for _, id := range stuck {
		equal(t, "state", r.ticket(id).State, contracts.StateQueued)
	}
	m.mu.Lock()
	m.pools["full"][0].locked = false
	m.mu.Unlock()
	r.box.Ring()
	r.quiet()
	r.sent(stuck)
	m.atRest(t)
}

// What Idle found out before does not hold when an adapter has a place again, though nobody rang.
func TestIdleSeesAPlaceThatCameFreeByItself(t *testing.T) {
	r := newRig(t)
	m := newMailboxes(r.clock, map[string]int{"rome": 1})
	lock := func(locked bool, from time.Time) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.pools["rome"][0].locked, m.pools["rome"][0].from = locked, from
	}
	lock(true, time.Time{})
	r.desk.bind("pec", m.binding(func(context.Context, string, ask) (reply, error) { return reply{}, nil }))
	r.open()
	r.submit(pooled("rome", "1"))
	idle := func(what string, wantQuiet bool, wantNext time.Time) {
		t.Helper()
		for range 2 {
			next, quiet := r.box.Idle()
			equal(t, what+": quiet", quiet, wantQuiet)
			equal(t, what+": next", next.Equal(wantNext), true)
		}
	}
	idle("locked", true, time.Time{})
	lock(false, morning.Add(time.Hour))
	idle("its turn comes", true, morning.Add(time.Hour))
	lock(false, morning.Add(time.Minute))
	idle("its turn comes sooner", true, morning.Add(time.Minute))
	lock(false, time.Time{})
	idle("free", false, time.Time{})
	lock(true, time.Time{})
	idle("locked again", true, time.Time{})
	m.atRest(t)
}

func TestAPoolTellsWhenItsNextTurnComes(t *testing.T) {
	r := newRig(t)
	m := newMailboxes(r.clock, map[string]int{"rome": 2})
	m.every = 10 * time.Second
	r.desk.bind("pec", m.binding(func(_ context.Context, box string, _ ask) (reply, error) { return reply{Who: box}, nil }))
	r.open().start()
	var ids []string
	for i := range 60 {
		ids = append(ids, r.submit(pooled("rome", fmt.Sprint(i))).ID)
	}
	equal(t, "next", r.quiet().Sub(morning), 10*time.Second)
	r.jump(time.Hour, nil)
	equal(t, "took", r.clock.Now().Sub(morning), 29*10*time.Second) // thirty turns of two
	r.sent(ids)
	m.atRest(t)
	equal(t, "used", [2]int{m.pools["rome"][0].used, m.pools["rome"][1].used}, [2]int{30, 30})
}

func TestTheMostUrgentOfAPoolTakesThePlaceWhoeverOwnsIt(t *testing.T) {
	r := newRig(t)
	m := newMailboxes(r.clock, map[string]int{"rome": 1})
	var w watch
	r.desk.bind("pec", m.binding(func(_ context.Context, _ string, a ask) (reply, error) {
		defer w.enter(a.Lane, a.Who)()
		return reply{}, nil
	}))
	r.open()
	for i, who := range []string{"c", "a", "b"} {
		c := pooled("rome", who)
		c.Caller.Service = []string{"one", "two", "three"}[i]
		c.Due = morning.Add(map[string]time.Duration{"a": time.Hour, "b": 2 * time.Hour, "c": 3 * time.Hour}[who])
		r.submit(c)
	}
	r.start()
	r.quiet()
	lines(t, "order", w.seen(), "a", "b", "c")
	equal(t, "most at a time", w.most, 1)
}

func TestWhatOnePlaceRefusesAnotherTakes(t *testing.T) {
	for _, c := range []struct {
		rule    string
		err     *contracts.Error
		next    time.Duration // when the ticket goes to the other
		tries   int
		leave   bool // the adapter itself keeps the mailbox back
		elapsed time.Duration
	}{
		{"a rate dressed as a refusal", &contracts.Error{Kind: contracts.Throttled, After: time.Hour}, 0, 0, true, 0},
		{"a rate, and the adapter goes on offering the mailbox", &contracts.Error{Kind: contracts.Throttled, After: time.Hour}, 0, 0, false, 0},
		{"a wrong password", &contracts.Error{Kind: contracts.Denied, After: time.Hour}, 0, 0, true, 0},
		{"a wrong password, and the adapter goes on offering the mailbox", &contracts.Error{Kind: contracts.Denied, After: time.Hour}, 0, 0, false, 0},
		{"a provider that is away", &contracts.Error{Kind: contracts.Unavailable}, 2 * time.Second, 1, false, 2 * time.Second},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			m := newMailboxes(r.clock, map[string]int{"rome": 2})
			var w watch
			first := true
			r.desk.bind("pec", m.binding(func(_ context.Context, box string, a ask) (reply, error) {
				defer w.enter(a.Lane, a.Who+"@"+box)()
				m.mu.Lock()
				bad := box == "rome0" && first
				m.mu.Unlock()
				if !bad {
					return reply{}, nil
				}
				if c.leave {
					m.leave(box, c.err.After)
				}
				return reply{}, c.err
			}))
			r.open()
			id := r.submit(pooled("rome", "a")).ID
			m.pools["rome"][1].locked = true
			r.start()
			r.quiet()
			got := r.ticket(id)
			equal(t, "state", got.State, contracts.StateQueued)
			equal(t, "next", got.Next.Sub(morning), c.next)
			equal(t, "tries", got.Tries, c.tries)
			lines(t, "order", w.seen(), "a@rome0")

			m.mu.Lock()
			m.pools["rome"][1].locked = false
			m.mu.Unlock()
			r.box.Ring()
			r.jump(time.Minute, func() bool { return r.ticket(id).State.Settled() })
			equal(t, "elapsed", r.clock.Now().Sub(morning), c.elapsed)
			if c.next == 0 {
				lines(t, "order", w.seen(), "a@rome0", "a@rome1")
				for i := range 20 { // the pool goes on by the other place
					r.submit(pooled("rome", fmt.Sprint(i)))
				}
				r.quiet()
				equal(t, "exchanges", len(w.seen()), 22)
			}
			m.mu.Lock()
			first = false
			m.mu.Unlock()
			r.jump(2*time.Hour, nil)
			m.atRest(t)
		})
	}
}

func TestATicketThatEveryPlaceRefusesLetsOthersPass(t *testing.T) {
	r := newRig(t)
	m := newMailboxes(r.clock, map[string]int{"rome": 4})
	var w watch
	r.desk.bind("pec", m.binding(func(_ context.Context, box string, a ask) (reply, error) {
		defer w.enter(a.Lane, a.Who)()
		if a.Who == "poison" {
			return reply{}, &contracts.Error{Kind: contracts.Throttled, After: time.Minute}
		}
		return reply{}, nil
	}))
	r.open()
	c := pooled("rome", "poison")
	c.Due = morning // nothing is more urgent
	id := r.submit(c).ID
	for i := range 8 {
		r.submit(pooled("rome", fmt.Sprint(i)))
	}
	r.start()
	equal(t, "next", r.quiet().Sub(morning), time.Minute)
	poison := 0
	for _, who := range w.seen() {
		if who == "poison" {
			poison++
		}
	}
	equal(t, "exchanges of the one", poison, 2)
	equal(t, "exchanges of all", len(w.seen()), 10)
	r.jump(time.Hour, nil)
	n := len(w.seen()) - 8
	if n > 9 { // after 1, 2, 4, 8, 16 and 32 minutes
		t.Errorf("in an hour it was tried %d times", n)
	}
	equal(t, "tries", r.ticket(id).Tries, 0)
	m.atRest(t)
}

func TestOurOwnLimitPausesThePoolAndUsesNoPlace(t *testing.T) {
	r := newRig(t)
	m := newMailboxes(r.clock, map[string]int{"rome": 3, "turin": 1})
	var w watch
	r.desk.bind("pec", m.binding(func(_ context.Context, _ string, a ask) (reply, error) {
		defer w.enter(a.Lane, a.Lane)()
		if a.Lane == "rome" && r.clock.Now().Before(morning.Add(time.Minute)) {
			return reply{}, &contracts.Error{Kind: contracts.Throttled, After: time.Minute, Err: errOurs}
		}
		return reply{}, nil
	}))
	r.open()
	for i := range 50 {
		r.submit(pooled("rome", fmt.Sprint(i)))
	}
	r.submit(pooled("turin", "1"))
	r.start()
	equal(t, "next", r.quiet().Sub(morning), time.Minute)
	if n := len(w.seen()); n > 4 {
		t.Errorf("%d exchanges were tried, want one for each place", n)
	}
	for _, b := range m.pools["rome"] {
		equal(t, "used", b.used, 0)
	}
	r.jump(time.Hour, nil)
	s, err := r.box.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "done", s.States[contracts.StateDone], 51)
	m.atRest(t)
}

func TestAPlaceIsGivenBackWhateverHappens(t *testing.T) {
	for _, c := range []struct {
		rule string
		do   func(context.Context) error
		used bool
	}{
		{"an answer", func(context.Context) error { return nil }, true},
		{"a refusal for good", func(context.Context) error { return contracts.Errorf(contracts.Invalid, "x") }, true},
		{"a panic", func(context.Context) error { panic("x") }, true},
		{"a lost answer", func(ctx context.Context) error {
			if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
				return err
			}
			return contracts.Errorf(contracts.Uncertain, "x")
		}, true},
		{"our own refusal", func(context.Context) error {
			return &contracts.Error{Kind: contracts.Unavailable, After: 200 * time.Hour, Err: errOurs}
		}, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			m := newMailboxes(r.clock, map[string]int{"rome": 1})
			r.desk.bind("pec", m.binding(func(ctx context.Context, _ string, _ ask) (reply, error) { return reply{}, c.do(ctx) }))
			r.open().start()
			r.submit(pooled("rome", "1"))
			r.quiet()
			m.atRest(t)
			b := m.pools["rome"][0]
			equal(t, "used", b.used > 0, c.used)
		})
	}
}

func TestAPlaceThatWasNotNeededIsGivenBackUnused(t *testing.T) {
	r := newRig(t)
	m := newMailboxes(r.clock, map[string]int{"rome": 5})
	r.desk.bind("pec", m.binding(func(context.Context, string, ask) (reply, error) { return reply{}, nil }))
	r.open()
	for i := range 2 {
		r.submit(pooled("rome", fmt.Sprint(i)))
	}
	if _, quiet := r.box.Idle(); quiet {
		t.Error("quiet while two could go")
	}
	m.atRest(t)
	r.start()
	r.quiet()
	m.atRest(t)
	used := 0
	for _, b := range m.pools["rome"] {
		used += b.used
	}
	equal(t, "used", used, 2)
}

func TestAnAdapterThatPanicsWhenAskedForAPlaceHarmsItselfAlone(t *testing.T) {
	r := newRig(t)
	b, _ := says(opPooled, func(context.Context, int, ask) (reply, error) { return reply{}, nil },
		contracts.Reserving(opPooled, func(string) (contracts.Place, time.Time, bool) { panic("x") }))
	r.desk.bind("pec", b)
	read, _ := says(opRead, answers)
	r.desk.bind("pec", read)
	r.open().start()
	r.submit(pooled("rome", "1"))
	got, err := r.box.Wait(t.Context(), r.submit(newCall(opRead, "k", ask{})).ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "state", got.State, contracts.StateDone)
	equal(t, "asked again", r.quiet().Sub(morning), time.Minute)
}

func TestAnInstantThatHasPassedMakesNoLoop(t *testing.T) {
	r := newRig(t)
	var asked int
	b, _ := says(opPooled, func(context.Context, int, ask) (reply, error) { return reply{}, nil },
		contracts.Reserving(opPooled, func(string) (contracts.Place, time.Time, bool) {
			asked++ // by Idle alone: nobody is at work
			return contracts.Place{}, morning.Add(-time.Hour), false
		}))
	r.desk.bind("pec", b)
	r.open()
	r.submit(pooled("rome", "1"))
	next, quiet := r.box.Idle()
	if !quiet || !next.After(morning) {
		t.Errorf("quiet %t until %s", quiet, next)
	}
}

func TestWhatIsUncertainIsAskedAboutWithoutAPlace(t *testing.T) {
	r := newRig(t)
	m := newMailboxes(r.clock, map[string]int{"rome": 1})
	r.desk.bind("pec", m.binding(func(context.Context, string, ask) (reply, error) {
		return reply{}, contracts.Errorf(contracts.Uncertain, "the line broke")
	}, contracts.Resolve(opPooled, func(ctx context.Context, _ ask) (reply, error) {
		return reply{Who: "by " + contracts.PlaceFrom(ctx)}, nil
	})))
	r.open().start()
	id := r.submit(pooled("rome", "1")).ID
	equal(t, "state", r.state(id), contracts.StateUncertain)
	m.pools["rome"][0].locked = true
	equal(t, "result", string(r.settled(id).Result), `{"who":"by "}`)
}

// A message of the time when delivery.send kept one of a sender in flight goes on as one of its pool.
func TestStoredKeyedMessagesBecomeAPool(t *testing.T) {
	r := newRig(t)
	op := contracts.NewOp[ask, reply]("delivery.send", contracts.Once).InLane(func(a ask) contracts.Lane {
		return contracts.Lane{Name: a.Lane, Rule: contracts.Keyed}
	})
	r.desk.ops[op.Name] = op.OpInfo
	m := newMailboxes(r.clock, map[string]int{"rome": 3})
	g := newGate()
	b, _ := says(op, func(ctx context.Context, _ int, a ask) (reply, error) {
		g.pass(contracts.PlaceFrom(ctx))
		return reply{}, nil
	}, contracts.Reserving(op, m.reserve))
	r.desk.bind("pec", b)
	r.open()
	var ids []string
	for i := range 5 {
		ids = append(ids, r.submit(newCall(op, fmt.Sprint(i), ask{Lane: "rome"})).ID)
	}
	equal(t, "before", r.ticket(ids[0]).Lane.Rule, contracts.Keyed)
	if err := r.store.Write(t.Context(), store.Settle, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DROP TABLE outbox_slim`); err != nil { // of a later step
			return err
		}
		_, err := tx.Exec(`DELETE FROM store_migration WHERE room = 'outbox' AND step >= 2`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r.reopen().start()
	lines(t, "places", g.entered(t, 3), "rome0", "rome1", "rome2")
	close(g.open)
	r.quiet()
	r.sent(ids)
	equal(t, "after", r.ticket(ids[0]).Lane, contracts.Lane{Name: "rome", Rule: contracts.Pooled})
	m.atRest(t)
}
