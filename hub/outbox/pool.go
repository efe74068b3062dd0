package outbox

import (
	"fmt"
	"log/slog"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A place is a contracts.Place in our hands: released once, whoever comes first.
type place struct {
	contracts.Place
	used     bool // an exchange was made with it
	released bool
}

// release gives the place back. The plan has it first, then the goroutine of its job.
func (p *place) release() {
	if p.released {
		return
	}
	p.released = true
	if p.Release != nil {
		p.Release(p.used)
	}
}

// maxPlaces bounds what one look claims of one pool; the next look follows at once.
const maxPlaces = 128

// surveyPool adds a ticket of the pool for every place that its binding has free, the most urgent first. Where no place
// is free it costs no look at the tickets, however many there are.
//
// A place whose last exchange was refused rests until what it was told is over: it is taken and laid aside, so that the
// binding gives another.
func (b *Box) surveyPool(q store.Querier, p *plan, g group, bind *contracts.Binding, now int64, paused map[string]int64) error {
	if until, ok := paused[laneKey(g.op, contracts.Lane{Name: g.pool, Rule: contracts.Pooled})]; ok {
		p.note(until)
		return nil
	}
	var aside []*place
	defer func() {
		for _, a := range aside {
			a.release()
		}
	}()
	next := func() *place {
		for len(aside) < maxPlaces {
			a := b.place(p, g, bind, now)
			if a == nil {
				return nil
			}
			until, rests := paused[placeKey(g.op, g.at, a.Name)]
			if !rests {
				return a
			}
			p.note(until)
			aside = append(aside, a)
		}
		return nil
	}
	free := next()
	if free == nil {
		return nil
	}
	defer func() { // the one too many
		if free != nil {
			free.release()
		}
	}()
	rows, err := q.Query(selectReady, g.key, int64(never), maxPlaces)
	if err != nil {
		return fmt.Errorf("survey pool: %w", err)
	}
	defer rows.Close()
	for free != nil && rows.Next() {
		var (
			c    candidate
			lane string
		)
		if err := rows.Scan(&c.rank, &c.next, &c.n, &lane); err != nil {
			return fmt.Errorf("survey pool: %w", err)
		}
		c.place = free
		p.pooled = append(p.pooled, c)
		free = next()
	}
	return rows.Err()
}

// place asks the binding for a place; nil when it has none, and then the plan knows when to ask again.
func (b *Box) place(p *plan, g group, bind *contracts.Binding, now int64) (taken *place) {
	defer func() {
		if r := recover(); r != nil {
			b.log.Error("outbox: an adapter panicked when it was asked for a place", slog.String("operation", g.op),
				slog.String("instance", g.at), slog.String("type", fmt.Sprintf("%T", r)))
			p.note(now + int64(time.Minute))
			taken = nil
		}
	}()
	got, next, ok := bind.Reserve(g.pool)
	if ok {
		return &place{Place: got}
	}
	if !next.IsZero() {
		p.note(max(nanos(next), now+int64(time.Millisecond))) // an instant that has passed must not make a loop
	}
	return nil
}

// giveBack releases what the plan has reserved and nobody kept. It reports whether there was anything.
func (p *plan) giveBack() (any bool) {
	for i := range p.pooled {
		if a := p.pooled[i].place; a != nil {
			a.release()
			p.pooled[i].place, any = nil, true
		}
	}
	return any
}

// keep leaves a place to the job that has it.
func (p *plan) keep(a *place) {
	for i := range p.pooled {
		if a != nil && p.pooled[i].place == a {
			p.pooled[i].place = nil
		}
	}
}

// placeKey names a place of an instance among what is paused. No other key begins so.
func placeKey(op, at, name string) string { return sep + pauseKey(op, at) + name }

// maxShunned bounds how many tickets are remembered as refused; beyond it all are forgotten.
const maxShunned = 10_000

// spread makes a verdict on a pooled ticket one about its place: the place rests and the pool goes on. A ticket that its
// place refused to take at present goes to another place at once; when a second refuses it too, it may be the ticket: it
// waits as it was told, longer each time, and lets others pass.
func (b *Box) spread(j *job, v verdict, err error) verdict {
	refusal := v.to == contracts.StateQueued && err != nil && !b.desk.Refused(err)
	kind := contracts.KindOf(err)
	held := refusal && (kind == contracts.Throttled || kind == contracts.Denied)
	times := b.shun(j.n, held)
	if !refusal || v.next.IsZero() {
		return v
	}
	now := b.clock.Now()
	rest := v.next
	switch {
	case kind == contracts.Unavailable: // when the ticket's time comes the place still rests, so that another has its turn
		rest = rest.Add(rest.Sub(now))
	case !held:
		return v
	}
	b.pauseUntil(placeKey(j.op, j.at, j.place.Name), rest)
	v.pause = time.Time{}
	if !held {
		return v
	}
	if times <= 1 {
		v.next = now
		return v
	}
	wait := v.next.Sub(now) << min(times-2, 10)
	v.next = now.Add(min(wait, max(b.cfg.Backoff.Max, v.next.Sub(now))))
	return v
}

// shun counts how often in a row places have refused a ticket; anything else forgets it.
func (b *Box) shun(n int64, refused bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !refused {
		delete(b.shunned, n)
		return 0
	}
	if len(b.shunned) >= maxShunned {
		clear(b.shunned)
	}
	b.shunned[n]++
	return b.shunned[n]
}
