package outbox_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/contracts"
)

// hangs binds an operation whose first exchange, departed or not, hangs until told: as an adapter that notices nothing,
// or a worker in a process that dies.
func (r *rig) hangs(op contracts.Op[ask, reply], departs bool) (n *atomic.Int64, began, hang chan struct{}) {
	began, hang = make(chan struct{}), make(chan struct{})
	b, n := says(op, func(ctx context.Context, n int, _ ask) (reply, error) {
		if departs {
			if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
				return reply{}, err
			}
		}
		if n == 1 {
			close(began)
			<-hang
		}
		return reply{Who: "late"}, nil
	})
	r.desk.bind("x", b)
	return n, began, hang
}

func TestAWorkerThatHangsLosesItsTicket(t *testing.T) {
	for _, c := range []struct {
		rule    string
		op      contracts.Op[ask, reply]
		departs bool
		want    contracts.State
	}{
		{"a write goes again", opWrite, false, contracts.StateDone},
		{"a once that had departed is uncertain", opOnce, true, contracts.StateUncertain},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			var mono atomic.Int64
			r.opt.SetMono(func() time.Duration { return time.Duration(mono.Load()) })
			n, began, hang := r.hangs(c.op, c.departs)
			r.open().start()
			id := r.submit(newCall(c.op, "k", ask{})).ID
			<-began
			r.clock.Advance(1000 * time.Hour) // says nothing about whether the worker lives
			mono.Add(int64(r.cfg.CallFor + r.cfg.Lease))
			r.box.Beat(t.Context())
			equal(t, "state within its time", r.ticket(id).State, contracts.StateRunning)
			mono.Add(int64(time.Second))
			r.box.Beat(t.Context())
			r.until("the ticket moves", func() bool { return r.ticket(id).State == c.want })
			close(hang)
			equal(t, "state", r.state(id), c.want)
			if c.departs {
				equal(t, "exchanges", n.Load(), 1)
			}
		})
	}
}

func TestWorkGivesUpOnAnAdapterThatNoticesNothing(t *testing.T) {
	r := newRig(t)
	r.cfg.Drain = 0
	began, hang := make(chan struct{}), make(chan struct{})
	b, _ := says(opOnce, func(ctx context.Context, _ int, _ ask) (reply, error) {
		if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
			return reply{}, err
		}
		close(began)
		<-hang
		return reply{}, nil
	})
	r.desk.bind("x", b)
	r.open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.box.Work(ctx) }()
	id := r.submit(newCall(opOnce, "k", ask{})).ID
	<-began
	cancel()
	kind(t, "work", <-done, contracts.Unavailable)
	equal(t, "state", r.ticket(id).State, contracts.StateUncertain)
	close(hang)
	r.until("the worker ends", func() bool {
		s, err := r.box.Stats(t.Context())
		return err == nil && s.InFlight == 0
	})
}

func TestAnExchangeHasItsTime(t *testing.T) {
	r := newRig(t)
	r.cfg.CallFor = time.Second
	b, _ := says(opOnce, func(ctx context.Context, n int, _ ask) (reply, error) {
		if n > 1 {
			return reply{}, nil
		}
		<-ctx.Done()
		return reply{}, context.Cause(ctx)
	})
	r.desk.bind("x", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{})).ID
	got := r.settled(id)
	equal(t, "state", got.State, contracts.StateDone)
	equal(t, "tries", got.Tries, 1)
}
