package outbox

import (
	"errors"
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
		if len(aside) == 0 {
			p.full = append(p.full, g)
		}
		return nil
	}
	defer func() { // the one too many
		if free != nil {
			free.release()
		}
	}()
	rows, err := q.Query(selectReady, g.key, int64(never))
	if err != nil {
		return fmt.Errorf("survey pool: %w", err)
	}
	defer rows.Close()
	for left := maxPlaces; left > 0 && free != nil && rows.Next(); left-- {
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

// maxRuns bounds how many tickets one worker takes in a row, so that a mailbox that serves two pools serves both.
const maxRuns = 32

// goOn commits a verdict on a pooled ticket and claims, in the same commit, the next of its pool, where a place is free
// for it: its own, which was given back, or another's.
func (b *Box) goOn(j *job, v verdict, bind *contracts.Binding) (next *job) {
	free := b.another(j, v, bind)
	if free == nil {
		b.ring() // for another pool, or to ask again when it is time
		b.settle(j, v)
		return nil
	}
	defer func() {
		if next == nil {
			free.release()
		}
	}()
	refused := false
	b.settleWith(j, v, func(tx *store.Tx) error {
		next = nil
		if refused {
			return nil
		}
		got, err := b.claimNext(tx, j.grp)
		if err != nil {
			refused = true // the verdict must not be lost for it: once more, alone
			return err
		}
		if got != nil {
			tx.After(func() { next = got }) // and not before it is committed
		}
		return nil
	})
	if next != nil {
		next.place, next.runs = free, j.runs+1
	}
	return next
}

// another takes a place for the next ticket of the job's pool; nil when there is none, or when it is the dispatcher's turn.
func (b *Box) another(j *job, v verdict, bind *contracts.Binding) *place {
	if b.stopping.Load() || j.runs >= maxRuns || !v.pause.IsZero() || bind.Reserve == nil || b.pausedNow(j.lane) {
		return nil
	}
	g := parseGroup(j.grp)
	free := b.place(&plan{}, g, bind, 0)
	if free != nil && b.pausedNow(placeKey(g.op, g.at, free.Name)) {
		free.release()
		return nil
	}
	return free
}

func (b *Box) pausedNow(key string) bool {
	now := b.clock.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.paused[key].After(now)
}

// claimNext takes the most urgent ticket of a pool that is ready, if there is one.
func (b *Box) claimNext(tx *store.Tx, grp string) (*job, error) {
	j, err := b.claimFrom(tx, tx.QueryRow(selectNext, grp))
	if errors.Is(err, errTaken) {
		return nil, nil
	}
	return j, err
}

const selectNext = `SELECT ` + columns + `, caller, request FROM outbox_ticket INDEXED BY outbox_ticket_claim LEFT JOIN outbox_request USING (n)
	WHERE state = 'queued' AND head = 1 AND ready = 1 AND grp = ? ORDER BY rank, next, n LIMIT 1`
