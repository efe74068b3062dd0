package hub_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/domicile"
	"raccordo/mocks"
	"raccordo/mocks/inad"
	"raccordo/mocks/inipec"
	"raccordo/mocks/lab"
)

// newRigAt is a rig whose clock starts at an instant.
func newRigAt(t testing.TB, start time.Time, settings ...setting) *rig {
	t.Helper()
	bench, err := lab.New(lab.Options{Clock: lab.NewClock(start), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bench.Close(); err != nil {
			t.Errorf("lab: close: %v", err)
		}
	})
	if err := bench.Attach(mocks.All()...); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, bench: bench, dir: t.TempDir()}
	r.open(settings...)
	t.Cleanup(func() { r.stop() })
	return r
}

// persons and enterprises of the cast who are found without trouble.
func castOf(t testing.TB, capacity string, n int) []domicile.Query {
	t.Helper()
	var qs []domicile.Query
	for _, m := range prompt(10_000) {
		if m.Capacity == capacity && len(qs) < n {
			qs = append(qs, query(t, m))
		}
	}
	if len(qs) < n {
		t.Fatalf("the cast has only %d", len(qs))
	}
	return qs
}

// While a message, an extract and two lists are in somebody's hands the clock is set forward and back by an hour, and
// each time the hub is made to look for work: nobody else takes up what is in hand.
func TestAClockThatIsSetGivesNoTicketToASecondWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t, massive, with("routes:\n", "tickets: {lease: 5s, lot_min: 5}\nroutes:\n"))
	const stuck = 4
	first := map[string]bool{}
	var mu sync.Mutex
	held, release := make(chan string, stuck), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	defer r.bench.Watch(func(x lab.Exchange) {
		kind := kindOf(x)
		mu.Lock()
		hold := kind != "" && !first[kind]
		first[kind] = true
		mu.Unlock()
		if hold {
			held <- kind
			<-release
		}
	})()
	now := r.bench.Clock().Now()
	persons := castOf(t, lab.Person, 60)
	var tickets []string
	tickets = append(tickets, r.submitted(persons[:1], now)...) // overdue: alone
	tickets = append(tickets, r.submitted(persons[1:21], time.Time{})...)
	tickets = append(tickets, r.submitted(castOf(t, lab.Enterprise, 20), time.Time{})...)
	message := r.sent(mixed(10), 0, 1)[0]
	r.bench.Clock().Advance(2 * time.Second) // the lists are ripe
	for range stuck {
		select {
		case <-held:
		case <-time.After(20 * time.Second):
			t.Fatalf("only these far sides are kept waiting: %v", first)
		}
	}
	before := r.counts()
	for i, step := range []time.Duration{time.Hour, -time.Hour, -time.Hour, time.Hour, 25 * time.Hour, -25 * time.Hour} {
		r.bench.Clock().Step(step)
		// Somebody else's look-up goes through: the hub has looked for work under the clock as it stands now.
		ctx, cancel := context.WithTimeout(r.as(""), 20*time.Second)
		marker := r.submitted(persons[30+i:31+i], r.bench.Clock().Now())[0]
		x, err := r.hub.Tickets().Wait(ctx, marker)
		cancel()
		if err != nil || x.State != contracts.StateDone {
			t.Fatalf("with the clock set by %s a look-up is %s (%v, %v)", step, x.State, x.Err, err)
		}
		before["extract"]++
		if now := r.counts(); fmt.Sprint(now) != fmt.Sprint(before) {
			t.Fatalf("with the clock set by %s the far sides were asked again: %v, want %v", step, now, before)
		}
	}
	let()
	for i, x := range r.followed(tickets) {
		if x.State != contracts.StateDone || x.Tries > 1 {
			t.Errorf("ticket %d ended %s after %d tries: %v", i, x.State, x.Tries, x.Err)
		}
	}
	r.until(r.bench.Clock().Now().Add(10 * time.Minute))
	// Receipts issued under a clock that was an hour ahead are kept, but set aside for a person.
	aside, err := r.hub.Feed().Quarantined(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.hub.Ticket(r.as(""), message)
	if err != nil || x.State != contracts.StateDone && x.State != contracts.StateWaiting || len(x.Story)+len(aside) < 2 {
		t.Errorf("the message is %s with %d events and %d set aside (%v, %v)", x.State, len(x.Story), len(aside), x.Err, err)
	}
	if n := r.counts(); n["message"] != 1 || n["INAD list"] != 1 || n["INI-PEC list"] != 1 || n["extract"] != before["extract"] {
		t.Errorf("in the end the far sides were asked %v, want each once", n)
	}
	r.once(0, 1)
	r.verified()
}

// A clock that was ahead and is put right does not keep the mailbox unread for as long as it was ahead.
func TestReceiptsAreReadThoughTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, massive, with("    kind: pec\n", "    kind: pec\n    poll: 1s\n"))
	clock := r.bench.Clock()
	ahead := clock.Now().Add(2 * time.Hour)
	clock.Step(2 * time.Hour)
	r.within("the mailbox is read under the clock that is ahead", func() bool {
		next, quiet := r.hub.Idle()
		return quiet && next.After(ahead)
	})
	clock.Step(-2 * time.Hour)
	x, err := r.send(addressOf(lab.Who("personal-domicile")), "after")
	if err != nil {
		t.Fatal(err)
	}
	r.state(x.ID, contracts.StateWaiting)
	clock.Advance(2 * time.Second) // the provider delivers; the hub waits for an instant two hours away
	r.within("the receipts are read", func() bool {
		x, err := r.hub.Ticket(r.as(""), x.ID)
		return err == nil && x.State == contracts.StateDone
	})
	if now := clock.Now(); now.After(ahead) {
		t.Errorf("the clock went on to %s by itself", now)
	}
}

// within waits in real time, under a clock that stands.
func (r *rig) within(what string, done func() bool) {
	r.t.Helper()
	deadline, tick := time.NewTimer(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("it did not come about that %s", what)
		}
	}
}

// kindOf names what must happen once.
func kindOf(x lab.Exchange) string {
	switch name := x.Mock + " " + x.Label; {
	case name == "pec smtp message":
		return "message"
	case name == inadList:
		return "INAD list"
	case name == inipecList:
		return "INI-PEC list"
	case strings.HasPrefix(name, "inad GET /extract"):
		return "extract"
	}
	return ""
}

// counts counts, of what must happen once, how often it did. A request that was refused, for a voucher from the future,
// say, did nothing.
func (r *rig) counts() map[string]int {
	n := map[string]int{}
	for _, x := range r.bench.Journal() {
		if kind := kindOf(x); kind != "" && x.Refused == "" {
			n[kind]++
		}
	}
	return n
}

// A working day on which the clock is set forward and back by an hour again and again, between one thing and the next.
func TestWorkUnderAClockThatIsSetAgainAndAgainHappensOnce(t *testing.T) {
	t.Parallel()
	heavy(t)
	r := newRig(t, massive, with("routes:\n", "tickets: {lot_min: 5}\nroutes:\n"))
	persons := castOf(t, lab.Person, 50)
	alone := r.submitted(persons[:30], r.bench.Clock().Now()) // overdue: extracts
	lists := append(r.submitted(persons[30:], time.Time{}), r.submitted(castOf(t, lab.Enterprise, 30), time.Time{})...)
	messages := r.sent(mixed(40), 0, 60)

	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	deadline := time.NewTimer(40 * time.Second)
	defer deadline.Stop()
	steps := []time.Duration{time.Hour, -time.Hour, -time.Hour, time.Hour}
	for n := 0; n < 400; { // and time goes on in between
		if r.step() {
			if n++; n%4 == 0 {
				r.hub.Still(func(time.Time) {
					if r.bench.InFlight() == 0 {
						r.bench.Clock().Step(steps[n/4%len(steps)])
					}
				})
			}
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %d jumps the hub does not come to rest", n)
		}
	}
	for i, x := range r.followed(append(alone, lists...)) {
		if x.State != contracts.StateDone {
			t.Errorf("look-up %d ended %s: %v", i, x.State, x.Err)
		}
	}
	r.until(r.bench.Clock().Now().Add(6 * time.Hour))
	n, done := r.counts(), 0
	for i, id := range messages {
		x, err := r.hub.Ticket(r.as(""), id)
		switch {
		case err != nil:
			t.Fatal(err)
		case x.State == contracts.StateDone:
			done++
		case x.State != contracts.StateWaiting:
			t.Errorf("message %d is %s: %v", i, x.State, x.Err)
		case len(x.Story) < 2: // a receipt from the future, by the clock at that moment, is set aside for a person
			t.Errorf("message %d still waits, and its delivery receipt was not kept", i)
		}
	}
	t.Logf("exchanges: %v; %d of %d messages settled by themselves", n, done, len(messages))
	if n["message"] != 60 || n["extract"] != 30 || n["INAD list"] != 1 || n["INI-PEC list"] != 1 {
		t.Errorf("the far sides were asked %v, want 60 messages, 30 extracts, one list of each register", n)
	}
	r.once(0, 60)
	r.verified()
}

// In the night in which the clocks change a day has 25 or 23 hours. The daily allowance ends with the day in Rome, which
// is written here in UTC by hand; what waits over the night happens once.
func TestDaysEndAtMidnightInRomeAlsoWhenTheClocksChange(t *testing.T) {
	t.Parallel()
	heavy(t)
	at := func(text string) time.Time {
		x, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct {
		name      string
		start     time.Time
		midnights [3]time.Time
		change    time.Time // the clocks change
	}{
		{
			"back, 25 October 2026", at("2026-10-24T20:00:00Z"),
			[3]time.Time{at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"), at("2026-10-26T23:00:00Z")},
			at("2026-10-25T01:00:00Z"),
		},
		{
			"forward, 28 March 2027", at("2027-03-27T20:00:00Z"),
			[3]time.Time{at("2027-03-27T23:00:00Z"), at("2027-03-28T22:00:00Z"), at("2027-03-29T22:00:00Z")},
			at("2027-03-28T01:00:00Z"),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const perDay, people = 7, 3*7 + 2
			r := newRigAt(t, c.start, massive, with(
				"    kind: pec\n", "    kind: pec\n    poll: 5m\n",
				"    kind: inad\n", fmt.Sprintf("    kind: inad\n    policy: {limit: {per_day: {activation: %d}}}\n", perDay),
				"routes:\n", "tickets: {lot_min: 5}\nroutes:\n"))
			r.bench.Mock("inipec").(*inipec.Mock).Set(func(s *inipec.Settings) { s.Delay = 12 * time.Hour })
			r.bench.Mock("inad").(*inad.Mock).Set(func(s *inad.Settings) { s.Delay = 0 })
			tickets := r.submitted(castOf(t, lab.Person, people), c.start) // overdue: extracts, one each
			tickets = append(tickets, r.submitted(castOf(t, lab.Enterprise, 20), time.Time{})...)
			// Messages before, in and after the hour that comes twice or not at all; every third is delivered hours later.
			for i, when := range []time.Time{
				c.change.Add(-90 * time.Minute), c.change.Add(-30 * time.Minute),
				c.change.Add(30 * time.Minute), c.change.Add(90 * time.Minute),
			} {
				r.until(when)
				tickets = append(tickets, r.sent(mixed(40), 5*i, 5*i+5)...)
			}
			for i, x := range r.followed(tickets) {
				if x.State != contracts.StateDone {
					t.Errorf("ticket %d (%s) ended %s: %v", i, x.Op, x.State, x.Err)
				}
			}
			var days [4]int
			for _, x := range r.bench.Journal() {
				if kindOf(x) != "extract" {
					continue
				}
				day := 0
				for _, midnight := range c.midnights {
					if !x.At.Before(midnight) {
						day++
					}
				}
				days[day]++
				if day > 0 && x.At.Sub(c.midnights[day-1]) > 5*time.Minute {
					t.Errorf("an extract of day %d came only %s after midnight", day, x.At.Sub(c.midnights[day-1]))
				}
			}
			if want := [4]int{perDay, perDay, perDay, people - 3*perDay}; days != want {
				t.Errorf("extracts by day in Rome: %v, want %v", days, want)
			}
			if n := r.counts(); n["message"] != 20 || n["INI-PEC list"] != 1 {
				t.Errorf("the far sides were asked %v, want 20 messages and one list of INI-PEC", n)
			}
			r.once(0, 20)
			r.verified()
		})
	}
}
