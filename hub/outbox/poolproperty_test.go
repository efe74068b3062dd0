package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
	"raccordo/hub/outbox"
)

// A post is the far side of the pools' property test: exchanges that hang until they are let go, mailboxes that refuse.
type post struct {
	*mailboxes
	mu      sync.Mutex
	script  map[string][]string
	tries   map[string]int
	sent    map[string]int
	parked  []chan struct{}
	inPool  map[string]int
	faults  []string
	naively bool // goes on offering a mailbox that refuses
}

func (p *post) exchange(ctx context.Context, box string, a ask) (reply, error) {
	h := contracts.HoldFrom(ctx)
	p.mu.Lock()
	p.inPool[a.Lane]++
	if most := len(p.pools[a.Lane]); p.inPool[a.Lane] > most {
		p.faults = append(p.faults, fmt.Sprintf("%d in flight in a pool of %d", p.inPool[a.Lane], most))
	}
	what := "ok"
	if n := p.tries[h.ID()]; n < len(p.script[h.ID()]) {
		what = p.script[h.ID()][n]
	}
	p.tries[h.ID()]++
	var parked chan struct{}
	if what == "hang" {
		parked = make(chan struct{})
		p.parked = append(p.parked, parked)
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.inPool[a.Lane]--
	}()
	if parked != nil {
		select {
		case <-parked:
		case <-ctx.Done():
			return reply{}, contracts.Errorf(contracts.Canceled, "given up: %w", context.Cause(ctx))
		}
	}
	refuse := func(k contracts.Kind, after time.Duration) (reply, error) {
		if !p.naively {
			p.leave(box, after)
		}
		return reply{}, &contracts.Error{Kind: k, After: after}
	}
	switch what {
	case "throttled":
		return refuse(contracts.Throttled, 5*time.Minute)
	case "denied":
		return refuse(contracts.Denied, time.Hour)
	case "away":
		return refuse(contracts.Unavailable, 0)
	case "ours":
		return reply{}, &contracts.Error{Kind: contracts.Throttled, After: time.Minute, Err: errOurs}
	case "panic":
		panic("an adapter")
	}
	if err := h.Depart(ctx); err != nil {
		return reply{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[h.ID()]++
	return reply{Who: a.Who}, nil
}

// letGo lets one exchange that hangs go on, or all.
func (p *post) letGo(all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.parked) > 0 {
		close(p.parked[0])
		p.parked = p.parked[1:]
		if !all {
			return
		}
	}
}

// quiet waits until nothing is in flight or due, letting go whatever hangs.
func (p *post) quiet(r *rig) (next time.Time) {
	r.Helper()
	r.until("the box is quiet", func() (quiet bool) {
		p.letGo(true)
		next, quiet = r.box.Idle()
		return quiet
	})
	return next
}

// nobodyStarves waits until every place that is free has nobody waiting for it.
func (p *post) nobodyStarves(r *rig, pools []string) {
	r.Helper()
	for _, pool := range pools {
		r.until("a ticket of the pool takes the free place", func() bool {
			if p.rest(pool) == 0 {
				return true
			}
			page, err := r.box.List(context.Background(), outbox.Query{Lane: pool, State: contracts.StateQueued, Max: 1000})
			if err != nil {
				r.Fatal(err)
			}
			for _, t := range page {
				if !t.Next.After(r.clock.Now()) {
					return false
				}
			}
			return true
		})
	}
}

func TestPlacesAreNeitherOverfilledNorIdle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t}
		defer s.end()
		r := newRig(s)
		r.cfg.Workers = rapid.IntRange(1, 3).Draw(rt, "workers")
		r.cfg.Drain = 0 // what hangs is broken off at once
		sizes := map[string]int{"a": rapid.IntRange(1, 4).Draw(rt, "a"), "b": rapid.IntRange(1, 2).Draw(rt, "b")}
		pools := []string{"a", "b"}
		p := &post{
			mailboxes: newMailboxes(r.clock, sizes), script: map[string][]string{}, tries: map[string]int{}, sent: map[string]int{},
			inPool: map[string]int{}, naively: rapid.Bool().Draw(rt, "naively"),
		}
		p.every = time.Duration(rapid.IntRange(0, 20).Draw(rt, "every")) * time.Second
		r.desk.bind("pec", p.binding(p.exchange))
		r.open().start()
		paused := false // our own limit, or a refusing mailbox that is offered nevertheless: free places may then rest
		var ids []string
		submit := func(rt *rapid.T) {
			c := pooled(rapid.SampledFrom(pools).Draw(rt, "pool"), fmt.Sprint(len(ids)))
			if rapid.Bool().Draw(rt, "due") {
				c.Due = r.clock.Now().Add(time.Duration(rapid.IntRange(-60, 600).Draw(rt, "minutes")) * time.Minute)
			}
			script := rapid.SliceOfN(rapid.SampledFrom([]string{"hang", "hang", "throttled", "denied", "away", "ours", "panic", "ok"}), 0, 3).Draw(rt, "script")
			for _, what := range script {
				paused = paused || what == "ours" || what == "away" || p.naively && what != "hang" && what != "ok"
			}
			p.mu.Lock()
			p.script[contracts.TicketID(c.Caller.Service, c.Op.Name, c.Key)] = script
			p.mu.Unlock()
			ids = append(ids, r.submit(c).ID)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"submit":       submit,
			"submit again": submit,
			"submit more":  submit,
			"let go":       func(*rapid.T) { p.letGo(false) },
			"advance": func(rt *rapid.T) {
				p.quiet(r)
				p.atRest(r)
				r.clock.Advance(time.Duration(rapid.IntRange(1, 7200).Draw(rt, "seconds")) * time.Second)
			},
			"next": func(rt *rapid.T) {
				if next := p.quiet(r); !next.IsZero() {
					r.clock.Set(next)
				}
			},
			"set back": func(rt *rapid.T) {
				p.quiet(r)
				r.clock.Advance(-time.Hour)
			},
			"restart": func(*rapid.T) {
				r.stop()
				p.mu.Lock()
				p.parked = nil
				p.mu.Unlock()
				p.atRest(r) // they are given back however the exchange ended
				r.reopen().start()
			},
			"": func(rt *rapid.T) {
				if !paused {
					p.nobodyStarves(r, pools)
				}
			},
		})
		// What hangs later hangs while the box is awaited; let everything go from here on.
		p.mu.Lock()
		for id, script := range p.script {
			for i := range script {
				if script[i] == "hang" {
					script[i] = "ok"
				}
			}
			p.script[id] = script
		}
		p.mu.Unlock()
		p.letGo(true)
		r.jump(2000*time.Hour, nil)
		consistent(rt, r.store)
		p.atRest(r)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, f := range p.faults {
			rt.Error(f)
		}
		for _, id := range ids {
			got := r.ticket(id)
			switch n := p.sent[id]; {
			case n > 1:
				rt.Errorf("sent %d times", n)
			case got.State == contracts.StateDone && n == 1, got.State == contracts.StateFailed && n == 0:
			default:
				rt.Errorf("in the end it is %s and was sent %d times (%v; next %s; now %s)", got.State, n, got.Err, got.Next, r.clock.Now())
			}
		}
	})
}
