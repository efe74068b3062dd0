package outbox_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A scope is a test within a test: its clean-up comes with its own end.
type scope struct {
	testing.TB
	clean []func()
}

func (s *scope) Cleanup(fn func()) { s.clean = append(s.clean, fn) }

func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp(s.TB.TempDir(), "run")
	if err != nil {
		s.Fatal(err)
	}
	return dir
}

func (s *scope) end() {
	for len(s.clean) > 0 {
		last := s.clean[len(s.clean)-1]
		s.clean = s.clean[:len(s.clean)-1]
		last()
	}
}

// A model is what the far side of the property test knows.
type model struct {
	mu       sync.Mutex
	script   map[string][]string // per ticket: what each try meets
	tries    map[string]int
	effects  map[string]int
	events   []contracts.Event
	inLane   map[string]int
	strict   map[string][]uint64 // positions in the order of their effects
	reserved map[string]uint64   // positions given out
	faults   []string
}

func (m *model) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

// meet is one exchange.
func (m *model) meet(ctx context.Context, a ask, once bool) (reply, error) {
	h := contracts.HoldFrom(ctx)
	id := h.ID()
	m.mu.Lock()
	if a.Lane != "" {
		if m.inLane[a.Lane]++; m.inLane[a.Lane] > 1 {
			m.fault("two at a time in lane %s", a.Lane)
		}
	}
	n := m.tries[id]
	m.tries[id]++
	what := "ok"
	if s := m.script[id]; n < len(s) {
		what = s[n]
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.inLane[a.Lane]--
	}()
	if what == "early" {
		return reply{}, contracts.Errorf(contracts.Unavailable, "before departure")
	}
	if what == "refused" {
		return reply{}, &contracts.Error{Kind: contracts.Unavailable, After: time.Minute, Err: errOurs}
	}
	if once {
		if err := h.Depart(ctx); err != nil {
			return reply{}, err
		}
	}
	switch what {
	case "busy":
		return reply{}, contracts.Errorf(contracts.Unavailable, "nothing happened")
	case "invalid":
		return reply{}, contracts.Errorf(contracts.Invalid, "wrong")
	case "lost before":
		return reply{}, contracts.Errorf(contracts.Uncertain, "nobody knows: it did not")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if once || m.effects[id] == 0 { // a write's repetition is recognised
		m.effects[id]++
		if a.Pos > 0 {
			m.strict[a.Lane] = append(m.strict[a.Lane], a.Pos)
		}
		m.events = append(m.events, event(fmt.Sprint(id, m.effects[id]), "delivered", id))
	}
	if what == "lost after" {
		return reply{}, contracts.Errorf(contracts.Uncertain, "nobody knows: it did")
	}
	return reply{Who: a.Who}, nil
}

func (m *model) Feed(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n int
	_, _ = fmt.Sscan(string(from), &n)
	return append([]contracts.Event(nil), m.events[min(n, len(m.events)):]...), contracts.Cursor(fmt.Sprint(len(m.events))), nil
}
func (m *model) Every() time.Duration { return time.Minute }

func TestLanesCrashesAndEventsInAnyOrder(t *testing.T) {
	t.Parallel()
	ops := []contracts.Op[ask, reply]{opRead, opWrite, opOnce, opKeyed, opStrict}
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t}
		defer s.end()
		m := &model{script: map[string][]string{}, tries: map[string]int{}, effects: map[string]int{}, inLane: map[string]int{}, strict: map[string][]uint64{}, reserved: map[string]uint64{}}
		r := newRig(s)
		r.cfg.Workers = rapid.IntRange(1, 4).Draw(rt, "workers")
		for _, op := range ops {
			once := op.Effect == contracts.Once
			opts := []contracts.Option[ask, reply]{}
			if once {
				opts = append(opts, receipts(op))
			}
			if op.Effect == contracts.Write {
				opts = append(opts, contracts.Resolve(op, func(ctx context.Context, a ask) (reply, error) {
					m.mu.Lock()
					defer m.mu.Unlock()
					if m.effects[contracts.HoldFrom(ctx).ID()] == 0 {
						return reply{}, contracts.NotFound
					}
					return reply{Who: a.Who}, nil
				}))
			}
			b, _ := says(op, func(ctx context.Context, _ int, a ask) (reply, error) { return m.meet(ctx, a, once) }, opts...)
			r.desk.bind("x", b)
		}
		r.open().start()
		ids := map[string]string{}
		nextPos := map[string][]uint64{}
		key := 0
		submit := func(rt *rapid.T) {
			op := rapid.SampledFrom(ops).Draw(rt, "op")
			a := ask{Who: fmt.Sprint(key)}
			if op.OpInfo.Lane != nil {
				a.Lane = op.Name + rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "lane")
			}
			if op.Name == opStrict.Name {
				free := nextPos[a.Lane]
				if len(free) == 0 { // three numbers at a time, in any order: a gap now and then
					free = m.reserve(a.Lane)
				}
				i := rapid.IntRange(0, len(free)-1).Draw(rt, "which")
				a.Pos = free[i]
				nextPos[a.Lane] = append(append([]uint64(nil), free[:i]...), free[i+1:]...)
			}
			c := newCall(op, fmt.Sprint(key), a)
			key++
			if rapid.Bool().Draw(rt, "due") {
				c.Due = r.clock.Now().Add(time.Duration(rapid.IntRange(-60, 600).Draw(rt, "minutes")) * time.Minute)
			}
			id := contracts.TicketID(c.Caller.Service, c.Op.Name, c.Key)
			m.mu.Lock()
			m.script[id] = rapid.SliceOfN(rapid.SampledFrom([]string{"early", "refused", "busy", "invalid", "lost before", "lost after", "ok"}), 0, 3).Draw(rt, "script")
			m.mu.Unlock()
			ids[r.submit(c).ID] = op.Name
		}
		rt.Repeat(map[string]func(*rapid.T){
			"submit":       submit,
			"submit again": submit,
			"advance": func(rt *rapid.T) {
				r.quiet()
				r.clock.Advance(time.Duration(rapid.IntRange(1, 7200).Draw(rt, "seconds")) * time.Second)
			},
			"set back": func(*rapid.T) { r.clock.Advance(-time.Hour) },
			"events": func(rt *rapid.T) {
				if _, err := r.feed.Pull(context.Background(), "x", m); err != nil {
					rt.Fatal(err)
				}
			},
			"restart": func(*rapid.T) { r.reopen().start() },
			"": func(rt *rapid.T) {
				r.quiet()
				consistent(rt, r.store)
			},
		})
		// In the end, what can be settled is.
		for range 3 {
			r.jump(200*time.Hour, nil)
			if _, err := r.feed.Pull(context.Background(), "x", m); err != nil {
				rt.Fatal(err)
			}
		}
		r.jump(200*time.Hour, nil)
		consistent(rt, r.store)
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, f := range m.faults {
			rt.Error(f)
		}
		for lane, order := range m.strict {
			for i := 1; i < len(order); i++ {
				if order[i] < order[i-1] {
					rt.Errorf("lane %s: %v overtook", lane, order)
				}
			}
		}
		for id, op := range ids {
			got := r.ticket(id)
			n := m.effects[id]
			if n > 1 {
				rt.Errorf("%s happened %d times", op, n)
			}
			switch got.State {
			case contracts.StateDone:
				if n != 1 {
					rt.Errorf("%s is done and happened %d times", op, n)
				}
			case contracts.StateFailed:
				if n != 0 && op != opRead.Name {
					rt.Errorf("%s failed and happened", op)
				}
			case contracts.StateUncertain:
				if n != 0 || op != opOnce.Name && op != opKeyed.Name {
					rt.Errorf("%s is uncertain and happened %d times", op, n)
				}
			case contracts.StateQueued:
				if op != opStrict.Name || got.Detail == nil {
					rt.Errorf("%s is still queued: %+v", op, got)
				}
			default:
				rt.Errorf("%s is still %s", op, got.State)
			}
		}
	})
}

func (m *model) reserve(lane string) []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.reserved[lane]
	m.reserved[lane] += 3
	return []uint64{n + 1, n + 2, n + 3}
}

// consistent checks what must hold of the rows whenever nothing is in flight.
func consistent(rt *rapid.T, s *store.Store) {
	rt.Helper()
	for rule, text := range map[string]string{
		"a head is queued":                         `SELECT count(*) FROM outbox_ticket WHERE head = 1 AND lane <> '' AND rule <> 3 AND state <> 'queued'`,
		"what has no lane is its own head":         `SELECT count(*) FROM outbox_ticket WHERE head = 0 AND (lane = '' OR rule = 3) AND state = 'queued'`,
		"a lane has one head":                      `SELECT count(*) FROM (SELECT lane FROM outbox_ticket WHERE head = 1 AND lane <> '' AND rule <> 3 GROUP BY lane HAVING count(*) > 1)`,
		"a lane knows its head":                    `SELECT count(*) FROM outbox_ticket t JOIN outbox_lane l ON l.lane = t.lane WHERE (t.head = 1) <> (l.head = t.n)`,
		"a lane at rest is not busy":               `SELECT count(*) FROM outbox_lane WHERE busy <> ''`,
		"a keyed lane with queued ones has a head": `SELECT count(*) FROM outbox_lane l WHERE head = 0 AND EXISTS (SELECT 1 FROM outbox_ticket t WHERE t.lane = l.lane AND t.rule = 1 AND t.state = 'queued')`,
		"a keyed lane's head is ready if any is":   `SELECT count(*) FROM outbox_ticket h WHERE head = 1 AND rule = 1 AND ready = 0 AND EXISTS (SELECT 1 FROM outbox_ticket t WHERE t.lane = h.lane AND t.state = 'queued' AND t.ready = 1)`,
		"settled is ended":                         `SELECT count(*) FROM outbox_ticket WHERE (ended > 0) <> (state IN ('done', 'failed', 'abandoned'))`,
	} {
		var n int
		if err := s.Read(context.Background(), func(v *store.View) error { return v.QueryRow(text).Scan(&n) }); err != nil {
			rt.Fatal(err)
		}
		if n != 0 {
			rt.Errorf("%s: broken %d times", rule, n)
		}
	}
}
