package hub_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub"
	"raccordo/mocks/lab"
)

// sent submits messages number from to to-1, from many callers at once, and gives their tickets. The same numbers again
// are the same keys and requests. The delivery of every third takes three hours.
func (r *rig) sent(people []lab.Member, from, to int) []string {
	r.t.Helper()
	ids := make([]string, to-from)
	var wg sync.WaitGroup
	for part := range 16 {
		wg.Go(func() {
			for i := from + part; i < to; i += 16 {
				id := fmt.Sprintf("S-%03d", i)
				to := addressOf(people[i%len(people)])
				if i%3 == 2 {
					to = fmt.Sprintf("slow.%03d@%s", i, lab.DomainCitizens)
				}
				m := message(r.t, to, id)
				t, err := contracts.Submit(contracts.WithKey(r.as(id), "code/"+id), r.hub, delivery.OpSend, m)
				if err != nil {
					r.t.Errorf("submit %s: %v", id, err)
				}
				ids[i-from] = t.ID
			}
		})
	}
	wg.Wait()
	return ids
}

// taken counts, by subject, what the provider has taken.
func (r *rig) taken() map[string]int {
	n := map[string]int{}
	for _, m := range r.provider().Accepted() {
		n[m.Subject]++
	}
	return n
}

// arrived moves the clock, as little as it must, until the provider has taken n messages.
func (r *rig) arrived(n int) {
	r.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for len(r.provider().Accepted()) < n {
		r.step()
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("the provider has taken %d messages, want %d", len(r.provider().Accepted()), n)
		}
	}
}

// once fails where a message of those numbers was lost or doubled.
func (r *rig) once(from, to int) {
	r.t.Helper()
	taken, lost, doubled := r.taken(), 0, 0
	for i := from; i < to; i++ {
		switch n := taken[fmt.Sprintf("Codice di attivazione - pratica S-%03d", i)]; {
		case n == 0:
			lost++
		case n > 1:
			doubled++
		}
	}
	if lost+doubled > 0 {
		r.t.Errorf("of messages %d to %d: %d lost, %d doubled", from, to-1, lost, doubled)
	}
}

// copyStore copies the database, which nobody has open, to another name.
func copyStore(t testing.TB, from, to string) {
	t.Helper()
	if b, err := os.ReadFile(from + "-wal"); err == nil && len(b) > 0 {
		t.Fatal("a store that was closed has a write-ahead log")
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The store is copied, the hub goes on and sends, the disk is lost, the copy is put in its place, and the core, which
// does not know what the hub has forgotten, submits everything again.
func TestARestoredStoreSendsNothingTwiceAndLosesNothing(t *testing.T) {
	t.Parallel()
	heavy(t)
	const (
		done    = 20  // settled when the copy is made
		queued  = 30  // ten more, accepted and not sent
		started = 130 // a hundred more, sent after the copy was made
		fresh   = 140 // ten more, new after the restore
	)
	people := mixed(40)
	r := newRig(t)
	r.stop()
	head := filepath.Join(t.TempDir(), "head.json")
	settings := []setting{massive, unlimited, with(
		"store:\n", fmt.Sprintf("store:\n  head: %q\n", head),
		"    kind: pec\n", "    kind: pec\n    poll: 10m\n")}
	r.open(settings...)
	r.followed(r.sent(people, 0, done))
	if err := r.hub.Isolate(t.Context(), "pec", "operator-7", "before the copy"); err != nil {
		t.Fatal(err)
	}
	r.sent(people, done, queued)
	r.stop()
	db := filepath.Join(r.dir, "hub.db")
	copyStore(t, db, db+".copy")
	r.once(0, done)
	if n := len(r.taken()); n != done {
		t.Fatalf("%d messages were taken before the copy, want %d", n, done)
	}

	r.open(settings...)
	r.followed(r.sent(people, queued, queued+50))
	last := r.sent(people, queued+50, started)
	r.arrived(started)
	waiting := 0
	for _, id := range last {
		if x, err := r.hub.Ticket(r.as(""), id); err == nil && !x.State.Settled() {
			waiting++
		}
	}
	r.stop()
	r.once(0, started)
	t.Logf("before the disk is lost: %d messages taken, %d of them without a delivery receipt", len(r.provider().Accepted()), waiting)
	if waiting < 10 {
		t.Errorf("only %d messages were on their way when the disk was lost", waiting)
	}

	copyStore(t, db+".copy", db)
	cfg, opt := r.load(settings...)
	if h, err := hub.Open(t.Context(), cfg, adapters.Kinds(), opt); err == nil {
		_ = h.Close(t.Context())
		t.Fatal("an older copy of the store was opened as if nothing had been")
	} else if !strings.Contains(err.Error(), "-recovered") || contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("refused with %v, want Conflict, and what to do", err)
	}
	recovered := options(func(o *hub.Options) { o.Recovered = true })
	r.open(append(settings, recovered)...)
	ids := r.sent(people, 0, fresh)
	horizon := r.bench.Clock().Now().Add(23 * time.Hour)
	r.until(horizon)
	if n := len(r.taken()); n != started {
		t.Errorf("%d messages were taken a day after the restore, want the %d that had been", n, started)
	}
	for i, x := range r.followed(ids) {
		if x.State != contracts.StateDone {
			t.Errorf("message %d ended %s: %v", i, x.State, x.Err)
		}
	}
	r.once(0, fresh)
	if n := len(r.provider().Accepted()); n != fresh {
		t.Errorf("the provider took %d messages, want %d", n, fresh)
	}

	// The recovery is over: what is new leaves at once, also after an ordinary start.
	began := r.bench.Clock().Now()
	r.sent(people, fresh, fresh+5)
	r.arrived(fresh + 5)
	r.stop()
	r.open(settings...)
	ids = r.sent(people, fresh+5, fresh+10)
	r.arrived(fresh + 10)
	if took := r.bench.Clock().Now().Sub(began); took > time.Minute {
		t.Errorf("new messages left after %s of virtual time, want at once after the recovery", took)
	}
	r.followed(ids)
	r.once(0, fresh+10)
	if report, err := r.hub.Ledger().Verify(t.Context()); err != nil {
		t.Errorf("ledger: %v", err)
	} else {
		t.Logf("%d messages, each once; %d entries verify", len(r.provider().Accepted()), report.Entries)
	}
}

// until pumps the clock up to an instant.
func (r *rig) until(horizon time.Time) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.as(""), time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		over, jumped := false, false
		r.hub.Still(func(next time.Time) {
			if r.bench.InFlight() > 0 {
				return
			}
			if at, ok := r.bench.Clock().Next(); ok && (next.IsZero() || at.Before(next)) {
				next = at
			}
			jumped = true
			if over = next.IsZero() || next.After(horizon); over {
				next = horizon
			}
			r.bench.Clock().AdvanceTo(next)
		})
		if over {
			return
		}
		if jumped {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatal("the hub does not come to rest")
		}
	}
}
