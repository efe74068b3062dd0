package pec

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

// dry makes a pool of mailboxes that have no wire.
func dry(rates ...int) *pool {
	var boxes []*mailbox
	for i, rate := range rates {
		m := Mailbox{Name: fmt.Sprint("m", i), Role: "r", PerMinute: rate, MaxSize: defaultMaxSize, Receipt: formComplete}
		b := &mailbox{Mailbox: m, provider: fmt.Sprint("p", i%2)}
		b.gate = gate{rate: rate, jitter: func() float64 { return 0.5 }}
		boxes = append(boxes, b)
	}
	return newPools(boxes)["r"]
}

var opening = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// Whatever the order of sending, waiting and slowness: the provider counts at MAIL, somewhere between the beginning and
// the end of a submission, and finds no minute with more than the rate.
func TestNoMinuteHoldsMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := rapid.SliceOfN(rapid.IntRange(1, 8), 1, 5).Draw(t, "rates")
		p := dry(rates...)
		now := opening
		type flight struct {
			b   *mailbox
			end time.Time
		}
		var flights []flight
		counted := map[*mailbox][]time.Time{}
		land := func(until time.Time) {
			for len(flights) > 0 {
				first := 0
				for i := range flights {
					if flights[i].end.Before(flights[first].end) {
						first = i
					}
				}
				f := flights[first]
				if f.end.After(until) {
					return
				}
				flights = append(flights[:first], flights[first+1:]...)
				f.b.gate.spent(f.end)
				p.release(f.b)
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "send") {
				b, w := p.reserve(now, nil)
				if b == nil {
					if !w.until.IsZero() && !w.until.After(now) {
						t.Fatalf("not open, and to be asked again at %v", w.until.Sub(now))
					}
					continue
				}
				took := time.Duration(rapid.IntRange(0, 50_000).Draw(t, "took")) * time.Millisecond
				at := time.Duration(rapid.IntRange(0, int(took/time.Millisecond)).Draw(t, "mail")) * time.Millisecond
				counted[b] = append(counted[b], now.Add(at))
				flights = append(flights, flight{b, now.Add(took)})
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "wait")) * time.Millisecond)
			land(now)
		}
		for b, all := range counted {
			for i := range all {
				n := 0
				for _, other := range all {
					if d := other.Sub(all[i]); d >= 0 && d < time.Minute {
						n++
					}
				}
				if n > b.PerMinute {
					t.Fatalf("%s: %d messages within a minute, of %d", b.Name, n, b.PerMinute)
				}
			}
		}
	})
}

// On a clock that jumps to each instant that the pool names, every mailbox sends its whole rate in every minute, and the
// plan foretells the very second.
func TestPoolReachesItsFullRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := rapid.SliceOfN(rapid.IntRange(1, 30), 1, 12).Draw(t, "rates")
		messages := rapid.IntRange(1, 2000).Draw(t, "messages")
		p := dry(rates...)
		now, sum := opening, 0
		l := Load{Messages: messages, Recipients: 1, From: now}
		for i, r := range rates {
			sum += r
			l.Pool = append(l.Pool, PlannedMailbox{Name: fmt.Sprint(i), PerMinute: r, Receipt: formShort})
		}
		for sent := 0; sent < messages; {
			b, w := p.reserve(now, nil)
			if b == nil {
				if !w.until.After(now) {
					t.Fatal("nothing free, and no time to wait for")
				}
				now = w.until
				continue
			}
			b.gate.spent(now)
			p.release(b)
			sent++
		}
		minutes := (messages+sum-1)/sum - 1
		if want := opening.Add(time.Duration(minutes) * time.Minute); !now.Equal(want) {
			t.Fatalf("%d messages at %d a minute took %v, want %v", messages, sum, now.Sub(opening), want.Sub(opening))
		}
		if f := Plan(l); !f.Done.Equal(now) {
			t.Fatalf("foretold after %v, done after %v", f.Done.Sub(opening), now.Sub(opening))
		}
	})
}

func TestMessagesSpreadOverProviders(t *testing.T) {
	p := dry(6, 6, 6, 6, 6, 6)
	last := ""
	for range 12 {
		b, _ := p.reserve(opening, nil)
		if b.provider == last {
			t.Fatalf("%s twice in a row", last)
		}
		last = b.provider
		b.gate.spent(opening)
		p.release(b)
	}
}

func TestAMailboxWithMoreOfItsMinuteLeftComesFirst(t *testing.T) {
	p := dry(2, 10)
	count := map[string]int{}
	for range 6 {
		b, _ := p.reserve(opening, nil)
		count[b.Name]++
		b.gate.spent(opening)
		p.release(b)
	}
	if count["m0"] != 1 || count["m1"] != 5 {
		t.Errorf("%v, want a sixth for the smaller", count)
	}
}

func TestTroubleKeepsAMailboxOutLongerEachTime(t *testing.T) {
	g := newGate(Mailbox{PerMinute: 6})
	now, last := opening, time.Duration(0)
	for i := range 20 {
		until, changed := g.shut(now, contracts.Unavailable, 0)
		wait := until.Sub(now)
		bound := min(firstAway<<min(i, 10), longestAway)
		if wait < bound/2 || wait > bound || wait > longestAway {
			t.Errorf("failure %d: kept out for %v, want half of %v to all of it", i+1, wait, bound)
		}
		if changed != (i == 0) {
			t.Errorf("failure %d: changed %t", i+1, changed)
		}
		if at, why := g.opens(now); !at.Equal(until) || why != contracts.Unavailable {
			t.Errorf("opens %v, %s", at.Sub(now), why)
		}
		if at, _ := g.opens(until); at.After(until) {
			t.Error("still shut when its time has come")
		}
		last, now = wait, until
	}
	if last < longestAway/2 {
		t.Errorf("after twenty failures %v", last)
	}
	if _, changed := g.shut(now, contracts.Denied, time.Hour); !changed || !g.until.Equal(now.Add(time.Hour)) {
		t.Error("trouble of another kind is no news, or its own time does not count")
	}
	if !g.took(0) || g.took(0) {
		t.Error("the end of trouble is told once")
	}
	if at, _ := g.opens(now); at.After(now) {
		t.Error("a message was taken, and the mailbox is kept out")
	}
}

func TestTheRateLimitKeepsAMailboxOutForItsMinuteAlone(t *testing.T) {
	g := newGate(Mailbox{PerMinute: 6})
	for range 5 {
		if until, _ := g.shut(opening, contracts.Throttled, minute); !until.Equal(opening.Add(minute)) {
			t.Fatalf("for %v", until.Sub(opening))
		}
	}
}

func TestAClockThatWasSetStopsNoMailbox(t *testing.T) {
	p := dry(2)
	for range 2 {
		b, _ := p.reserve(opening, nil)
		b.gate.spent(opening)
		p.release(b)
	}
	back := opening.Add(-5 * time.Hour)
	_, w := p.reserve(back, nil)
	if !w.until.Equal(back.Add(time.Minute)) {
		t.Errorf("set back: to be asked in %v, want a minute", w.until.Sub(back))
	}
	b, _ := p.reserve(back.Add(time.Minute), nil)
	if b == nil {
		t.Fatal("still stopped after a minute")
	}
	b.gate.shut(opening, contracts.Unavailable, 10*time.Minute)
	b.denied, b.pause = opening, 5*time.Minute
	if at, _ := b.opens(back); !at.Equal(back.Add(10 * time.Minute)) {
		t.Errorf("kept out for ten minutes, set back, and kept out for %v", at.Sub(back))
	}
}

// What the outbox pays for a place: 110 mailboxes, half of which have sent their minute's messages.
func BenchmarkReserveOfAHundredAndTen(b *testing.B) {
	rates := make([]int, 110)
	for i := range rates {
		rates[i] = 6
	}
	p := dry(rates...)
	for i, box := range p.boxes {
		for range 6 * (i % 2) {
			box.gate.spent(opening)
		}
	}
	for b.Loop() {
		box, _ := p.reserve(opening, nil)
		p.release(box)
	}
}
