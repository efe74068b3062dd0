package pec

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"raccordo/contracts"
)

// A pool is the mailboxes that speak for one role. Each sends one message at a time over its one connection, so that one
// that is slow, locked or full holds up none of the others.
type pool struct {
	boxes []*mailbox

	mu    sync.Mutex
	busy  map[*mailbox]uint64 // in use, and as which use
	last  map[*mailbox]uses
	count uint64        // of uses
	mute  bool          // none sends at present, for trouble; the log was told
	freed chan struct{} // closed and replaced when a mailbox is given back
}

// uses tell when a mailbox, and when its provider, was last used, as a number of uses.
type uses struct {
	own   uint64
	house *uint64
}

func newPools(boxes []*mailbox) map[string]*pool {
	pools, houses := map[string]*pool{}, map[[2]string]*uint64{}
	for _, b := range boxes {
		p, ok := pools[b.Role]
		if !ok {
			p = &pool{busy: map[*mailbox]uint64{}, last: map[*mailbox]uses{}, freed: make(chan struct{})}
			pools[b.Role] = p
		}
		house := [2]string{b.Role, b.provider}
		if houses[house] == nil {
			houses[house] = new(uint64)
		}
		p.boxes = append(p.boxes, b)
		p.last[b] = uses{house: houses[house]}
	}
	return pools
}

// named finds the mailbox of a place, as long as it is reserved.
func (p *pool) named(place string) *mailbox {
	name, use, _ := strings.Cut(place, "#")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.boxes {
		if b.Name == name && p.busy[b] != 0 && strconv.FormatUint(p.busy[b], 10) == use {
			return b
		}
	}
	return nil
}

// sends reports whether any mailbox of the pool is there to send.
func (p *pool) sends() bool {
	return slices.ContainsFunc(p.boxes, func(b *mailbox) bool { return !b.Drain })
}

// A wait is why the pool has no mailbox at present.
type wait struct {
	until time.Time // when to ask again; zero: when a mailbox is given back, or emptied
	busy  bool      // one of them is in use and would do
	rate  bool      // one of them would do but for its rate
	why   contracts.Kind
}

// String says why, for an error.
func (w wait) String() string {
	switch {
	case w.busy:
		return "in use"
	case w.until.IsZero():
		return "full, or none takes as much"
	case w.why == contracts.Throttled:
		return "each has sent its messages of this minute"
	}
	return w.why.String()
}

// reserve takes the mailbox whose turn it is, of those that fit (nil: all).
func (p *pool) reserve(now time.Time, fits func(*mailbox) bool) (*mailbox, wait) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, w := p.choose(now, fits)
	if b != nil {
		p.count++
		p.busy[b] = p.count
		house := p.last[b].house
		p.last[b], *house = uses{p.count, house}, p.count
	}
	return b, w
}

// opens is the earliest instant at which a mailbox that fits may send, in use or not; zero: nobody knows.
func (p *pool) opens(now time.Time, fits func(*mailbox) bool) (first time.Time) {
	for _, b := range p.boxes {
		if b.Drain || !fits(b) {
			continue
		}
		if at, _ := b.opens(now); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// any reports whether a mailbox that sends fits, now or later.
func (p *pool) any(fits func(*mailbox) bool) bool {
	return slices.ContainsFunc(p.boxes, func(b *mailbox) bool { return !b.Drain && fits(b) })
}

// A bid is a mailbox that could send now.
type bid struct {
	box *mailbox
	uses
	tight bool    // its quota is
	load  float64 // share of its minute that is used
}

// choose picks the mailbox with most of its minute left; of several the one whose provider, and then the one that itself,
// waited longest. One with room for receipts comes before one that is nearly full.
func (p *pool) choose(now time.Time, fits func(*mailbox) bool) (*mailbox, wait) {
	var best bid
	var w wait
	for _, b := range p.boxes {
		if b.Drain || fits != nil && !fits(b) {
			continue
		}
		if p.busy[b] != 0 {
			w.busy = true
			continue
		}
		at, why := b.opens(now)
		if at.IsZero() || at.After(now) {
			w.rate = w.rate || why == contracts.Throttled
			if !at.IsZero() && (w.until.IsZero() || at.Before(w.until)) {
				w.until, w.why = at, why
			}
			continue
		}
		one := bid{box: b, uses: p.last[b]}
		if one.tight, one.load = b.gate.state(now); best.box == nil || one.before(best) {
			best = one
		}
	}
	if best.box == nil {
		return nil, w
	}
	return best.box, wait{}
}

func (b bid) before(other bid) bool {
	if b.tight != other.tight {
		return other.tight
	}
	return cmp.Or(cmp.Compare(b.load, other.load), cmp.Compare(*b.house, *other.house), cmp.Compare(b.own, other.own)) < 0
}

func (p *pool) release(b *mailbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, b)
	close(p.freed)
	p.freed = make(chan struct{})
}

func (p *pool) whenFreed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.freed
}

// await reserves as reserve does, and waits for a mailbox that is only in use.
func (p *pool) await(ctx context.Context, clock contracts.Clock, fits func(*mailbox) bool) (*mailbox, wait) {
	for {
		freed := p.whenFreed()
		b, w := p.reserve(clock.Now(), fits)
		if b != nil || !w.busy {
			return b, w
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, w
		}
	}
}

// Reserve takes the mailbox of a role whose turn it is, for one message: free, within its rate of any minute, and neither
// refused, away nor full. Where there is none it says when to ask again; zero: when one is given back. A place has a name
// of its own each time: what became of one message says nothing about the next, for which mailbox rests is decided here.
func (a *Adapter) Reserve(role string) (contracts.Place, time.Time, bool) {
	p, ok := a.pools[role]
	if !ok {
		return contracts.Place{}, time.Time{}, false
	}
	now := a.env.Clock.Now()
	b, w := p.reserve(now, nil)
	if mute := b == nil && !w.busy && !w.rate && p.sends(); p.turned(mute) {
		a.tellMute(role, mute, w)
	}
	if b != nil {
		release := sync.OnceFunc(func() { p.release(b) })
		return contracts.Place{Name: p.place(b), Release: func(bool) { release() }}, time.Time{}, true
	}
	if w.until.IsZero() && !w.busy { // all are full: whoever empties one does not tell us
		w.until = now.Add(minute)
	}
	return contracts.Place{}, w.until, false
}

// turned notes whether the pool is mute, and reports whether that is news.
func (p *pool) turned(mute bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.mute
	p.mute = mute
	return was != mute
}

// tellMute tells the log that no mailbox of a role sends any more, or that one does again.
func (a *Adapter) tellMute(role string, mute bool, w wait) {
	if !mute {
		a.env.Log.Info("a mailbox of the role sends again", "instance", a.env.Instance, "role", role)
		return
	}
	a.env.Log.Error("no mailbox of the role sends: its messages wait", "instance", a.env.Instance, "role", role, "why", w.String(), "until", w.until)
}

// largest is how many bytes, times recipients, some mailbox of the pool takes.
func (p *pool) largest() (most int64) {
	for _, b := range p.boxes {
		if !b.Drain {
			most = max(most, b.MaxSize)
		}
	}
	return most
}

// place names a reserved mailbox and its use.
func (p *pool) place(b *mailbox) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return b.Name + "#" + strconv.FormatUint(p.busy[b], 10)
}

// provider names who runs a mailbox's server, as far as its configuration tells.
func provider(m Mailbox) string {
	host, _, _ := net.SplitHostPort(cmp.Or(m.SMTPS, m.SMTP))
	return host
}
