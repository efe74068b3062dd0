package outbox_test

import (
	"context"
	"testing"
	"time"

	"raccordo/contracts"
)

// A shut mailbox cannot be read until it is opened.
type shut struct {
	*far
	open chan struct{}
}

func (s shut) Feed(ctx context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	select {
	case <-s.open:
		return s.far.Feed(ctx, from)
	default:
		return nil, nil, contracts.Errorf(contracts.Denied, "locked")
	}
}

// The receipt that a restored store waits for may lie in any of an instance's mailboxes: that all but one were silent
// proves nothing.
func TestNothingLeavesWhileOneSourceOfARestoredStoreCannotBeRead(t *testing.T) {
	r := newRig(t)
	b, n := says(opOnce, departs, receipts(opOnce))
	r.desk.bind("x", b)
	r.open()
	id := r.submit(newCall(opOnce, "k", ask{})).ID
	r.opt.Recovered = true
	r.reopen().start()
	locked := shut{&far{}, make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.feed.RunSources(ctx, "x", map[string]contracts.Feeder{"good": &far{}, "better": &far{}, "locked": locked})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	r.all(30 * time.Hour)
	equal(t, "heard of the others", r.feed.HeardSource("x", "good").After(morning.Add(24*time.Hour)), true)
	equal(t, "heard of all", r.feed.Heard("x").IsZero(), true)
	equal(t, "state with the hold over", r.state(id), contracts.StateUncertain)
	equal(t, "exchanges", n.Load(), 0)
	close(locked.open)
	r.all(time.Hour)
	equal(t, "exchanges when it was read", n.Load(), 1)
}
