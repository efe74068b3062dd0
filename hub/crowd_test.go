package hub_test

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

const crowdBoxes = 110 // as many as there are Prefetture, and some

// newCrowd is a hub with a role of 110 mailboxes, on the system's clock: a mailbox that hangs must not hold time up.
func newCrowd(t *testing.T) *rig {
	t.Helper()
	bench, err := lab.New(lab.Options{Clock: lab.RunningClock(), Seed: 1, Dir: filepath.Join(t.TempDir(), "mocks")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bench.Close() })
	list := mocks.All()
	for i, m := range list {
		if _, ok := m.(*pec.Mock); ok {
			list[i] = pec.New(pec.WithAccounts(crowdBoxes), pec.WithDeliveryDelay(10*time.Millisecond))
		}
	}
	if err := bench.Attach(list...); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, bench: bench, dir: t.TempDir()}
	r.open(mailboxes(r, "prefettura-", "per_minute: 100", ""), with("    mailboxes:\n", "    poll: 2s\n    mailboxes:\n"),
		with("role: centrale\n", "role: altra\n")) // the mailbox that is always there is no part of it
	t.Cleanup(func() { r.stop() })
	return r
}

// One of 110 mailboxes is locked, one hangs in every command, one is read by somebody who deletes what comes: the others
// send and are read as if nothing were the matter.
func TestOneMailboxInTroubleHoldsUpNoneOfAHundred(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred and ten mailboxes take a few seconds")
	}
	t.Parallel()
	calm := newCrowd(t)
	quiet := calm.reach(220, 0)
	calm.stop()

	r := newCrowd(t)
	locked, hangs, snatched := "prefettura-001@pec.ministero.test", "prefettura-002@pec.ministero.test", "prefettura-003@pec.ministero.test"
	for address, change := range map[string]func(*pec.Condition){
		locked:   func(c *pec.Condition) { c.Locked = true },
		hangs:    func(c *pec.Condition) { c.Hold = true },
		snatched: func(c *pec.Condition) { c.Snatch = -1 },
	} {
		if err := r.provider().SetMailbox(address, change); err != nil {
			t.Fatal(err)
		}
	}
	// What the mailbox that hangs has in hand, and what was snatched away, waits: two messages at most go that way each.
	troubled := r.reach(220, 6)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("%d mailboxes; hub and mocks together: %d goroutines, %d MiB of heap in use", crowdBoxes, runtime.NumGoroutine(), mem.HeapInuse>>20)
	t.Logf("from the receipt's arrival to the ticket's end: median %v, worst tenth %v without trouble; %v and %v beside it",
		quiet[len(quiet)/2], quiet[len(quiet)*9/10], troubled[len(troubled)/2], troubled[len(troubled)*9/10])
	for _, f := range r.provider().Truth() {
		if strings.EqualFold(f.Mailbox, locked) {
			t.Errorf("a message went from the mailbox that is locked")
		}
	}
	if err := r.provider().SetMailbox(hangs, func(c *pec.Condition) { c.Hold = false }); err != nil {
		t.Fatal(err)
	}
}

// reach sends n messages over the pool and waits until all but some are delivered; it gives how long, in order, each
// receipt lay before its ticket was done.
func (r *rig) reach(n, but int) (lags []time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.as("crowd"), time.Minute)
	defer cancel()
	ids := map[string]bool{}
	for i := range n {
		to, err := contracts.ParseAddress(fmt.Sprintf("datore-%d@pec.cittadini.test", i))
		if err != nil {
			r.t.Fatal(err)
		}
		x, err := contracts.Submit(contracts.WithKey(ctx, fmt.Sprintf("crowd/%d", i)), r.hub, delivery.OpSend, delivery.Message{
			Sender: "centrale", Subject: contracts.NewPrivate("Comunicazione"), Text: contracts.NewPrivate("Testo.\r\n"),
			To: []delivery.Recipient{{Address: to, Basis: delivery.Basis{Kind: delivery.Elected}}},
		})
		if err != nil {
			r.t.Fatal(err)
		}
		ids[x.ID] = true
	}
	ended := map[string]time.Time{}
	for after := uint64(0); len(ended) < n-but; {
		if err := r.hub.Feed().Wait(ctx, "core", after); err != nil {
			r.t.Fatalf("%d of %d messages are delivered, want all but %d: %v", len(ended), n, but, err)
		}
		events, err := r.hub.Feed().After(ctx, "core", after, 100)
		if err != nil {
			r.t.Fatal(err)
		}
		now := r.bench.Clock().Now()
		for _, e := range events {
			after = e.Seq
			if e.Kind == contracts.EventSettled && ids[e.Ref] && strings.Contains(string(e.Data), string(contracts.StateDone)) {
				ended[e.Ref] = now
			}
		}
	}
	for _, f := range r.provider().Truth() {
		ticket, _, _ := strings.Cut(strings.TrimPrefix(f.MessageID, "<h1."), ".")
		for _, p := range f.Placed {
			if at, ok := ended[ticket]; ok && p.Kind == pec.Delivery {
				lags = append(lags, at.Sub(p.At))
			}
		}
	}
	slices.SortFunc(lags, cmp.Compare[time.Duration])
	return lags
}
