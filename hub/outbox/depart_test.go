package outbox_test

import (
	"context"
	"testing"
	"time"

	"raccordo/contracts"
)

// Whoever resolves a doubt may be told to resolve it by sending once more: that departure is marked like any other, and
// what was kept for it is stored before it.
func TestADoubtMayBeResolvedBySendingOnceMore(t *testing.T) {
	r := newRig(t)
	b, n := says(opOnce, func(ctx context.Context, _ int, _ ask) (reply, error) {
		if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
			return reply{}, err
		}
		return reply{}, contracts.Errorf(contracts.Uncertain, "lost")
	}, contracts.Resolve(opOnce, func(ctx context.Context, _ ask) (reply, error) {
		h := contracts.HoldFrom(ctx)
		first := false
		if _, err := h.Keep(ctx, "again", func() ([]byte, error) { first = true; return []byte("once"), nil }); err != nil {
			return reply{}, err
		}
		if !first {
			return reply{}, contracts.Errorf(contracts.Uncertain, "it was sent once more already")
		}
		if err := h.Depart(ctx); err != nil {
			return reply{}, err
		}
		return reply{Who: "again"}, nil
	}))
	r.desk.bind("x", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
	got := r.settled(id)
	equal(t, "state", got.State, contracts.StateDone)
	equal(t, "answer", string(got.Result), `{"who":"again"}`)
	equal(t, "exchanges", n.Load(), 1)
	lines(t, "entries", r.ledger.of(id), "submitted@x", "intent@x", "outcome uncertain@x", "intent@x", "outcome ok@x")
}

// A try was refused, says the far side; while the next is on its way an event tells that the first had arrived.
func TestWhatEventsTellOfIsNotSentAgain(t *testing.T) {
	r := newRig(t)
	told := make(chan struct{})
	ready := make(chan struct{})
	left := 0
	b, n := says(opOnce, func(ctx context.Context, n int, _ ask) (reply, error) {
		if n > 1 {
			close(ready)
			<-told
		}
		if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
			return reply{}, err
		}
		if left++; left == 1 {
			return reply{}, contracts.Errorf(contracts.Unavailable, "not taken")
		}
		return reply{Who: "twice"}, nil
	}, receipts(opOnce))
	r.desk.bind("pec", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
	r.clock.Set(r.quiet())
	<-ready
	r.tell("pec", event("1", "accepted", id))
	close(told)
	r.jump(time.Hour, nil)
	got := r.ticket(id)
	equal(t, "state", got.State, contracts.StateWaiting)
	equal(t, "tries", n.Load(), 2)
	equal(t, "departures", left, 1)
	equal(t, "answer so far", string(got.Detail), `{"who":"","seen":["1"]}`)
}
