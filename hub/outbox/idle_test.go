package outbox_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/outbox"
	"raccordo/hub/store"
)

func TestIdleSeesWhatIsDueBeforeAnybodyClaimsIt(t *testing.T) {
	r := newRig(t)
	b, _ := says(opRead, func(_ context.Context, n int, _ ask) (reply, error) {
		if n == 1 {
			return reply{}, &contracts.Error{Kind: contracts.Unavailable, After: time.Hour}
		}
		return reply{}, nil
	})
	r.desk.bind("x", b)
	r.open()
	idle := func(what string, wantQuiet bool, wantNext time.Time) {
		t.Helper()
		next, quiet := r.box.Idle()
		equal(t, what+": quiet", quiet, wantQuiet)
		equal(t, what+": next", next.Equal(wantNext), true)
	}
	idle("empty", true, time.Time{})
	id := r.submit(newCall(opRead, "k", ask{})).ID
	idle("queued, nobody at work", false, time.Time{})
	r.start()
	r.quiet()
	r.stop()
	idle("backing off", true, morning.Add(time.Hour))
	r.clock.Advance(time.Hour)
	idle("due again, nobody at work", false, time.Time{})
	r.clock.Advance(-time.Minute)
	idle("set back", true, morning.Add(time.Hour))
	r.clock.Advance(time.Minute)
	r.start()
	equal(t, "state", r.state(id), contracts.StateDone)
	idle("done", true, time.Time{})
}

func TestIdleIsNotQuietDuringAnExchange(t *testing.T) {
	r := newRig(t)
	began, goOn := make(chan struct{}), make(chan struct{})
	b, _ := says(opRead, func(context.Context, int, ask) (reply, error) {
		close(began)
		<-goOn
		return reply{}, nil
	})
	r.desk.bind("x", b)
	r.open().start()
	r.submit(newCall(opRead, "k", ask{}))
	<-began
	if _, quiet := r.box.Idle(); quiet {
		t.Error("quiet during an exchange")
	}
	close(goOn)
	r.quiet()
}

func TestWaitEndsWithTheTicketOrTheContext(t *testing.T) {
	r := newRig(t)
	b, _ := says(opRead, answers)
	r.desk.bind("x", b)
	r.open()
	id := r.submit(newCall(opRead, "k", ask{})).ID
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := r.box.Wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "when the context ends", got.State, contracts.StateQueued)
	waited := make(chan contracts.State, 1)
	go func() {
		got, _ := r.box.Wait(context.Background(), id)
		waited <- got.State
	}()
	r.start()
	equal(t, "when it is settled", <-waited, contracts.StateDone)
	_, err = r.box.Wait(t.Context(), "nothing")
	kind(t, "no such ticket", err, contracts.NotFound)
}

func TestListPagesThroughAll(t *testing.T) {
	r := newRig(t)
	b, _ := says(opRead, answers)
	r.desk.bind("x", b)
	r.open()
	ids := r.many(opRead, 25, nil)
	var got []string
	q := outbox.Query{Op: "test.read", Max: 10}
	for {
		page, err := r.box.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, x := range page {
			got = append(got, x.ID)
			equal(t, "case", x.Case, "case-1")
		}
		q.After = page[len(page)-1].ID
	}
	lines(t, "pages", got, ids...)
	page, err := r.box.List(t.Context(), outbox.Query{Op: "test.write"})
	if err != nil || len(page) != 0 {
		t.Errorf("another operation: have %d, %v", len(page), err)
	}
}

func TestStatsCount(t *testing.T) {
	r := newRig(t)
	b, _ := says(opRead, func(_ context.Context, n int, a ask) (reply, error) {
		if a.Who == "bad" {
			return reply{}, contracts.Errorf(contracts.Invalid, "x")
		}
		return reply{}, &contracts.Error{Kind: contracts.Unavailable, After: time.Hour}
	})
	r.desk.bind("x", b)
	r.open().start()
	r.submit(newCall(opRead, "1", ask{Who: "bad"}))
	r.submit(newCall(opRead, "2", ask{}))
	r.quiet()
	r.clock.Advance(time.Minute)
	s, err := r.box.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "failed", s.States[contracts.StateFailed], 1)
	equal(t, "queued", s.States[contracts.StateQueued], 1)
	equal(t, "oldest", s.Oldest, time.Minute)
}

func TestSettledTicketsGoAfterTheirRetention(t *testing.T) {
	r := newRig(t)
	r.cfg.Retention, r.cfg.Patience = 24*time.Hour, time.Hour
	b, _ := says(opRead, answers)
	r.desk.bind("x", b)
	r.open().start()
	old := r.many(opRead, 450, nil)
	r.quiet()
	r.clock.Advance(25 * time.Hour)
	fresh := r.submit(newCall(opRead, "fresh", ask{})).ID
	r.settled(fresh)
	r.stop()
	r.start()
	r.submit(newCall(opRead, "another", ask{}))
	r.quiet()
	for _, id := range []string{old[0], old[449]} {
		_, err := r.box.Ticket(t.Context(), "", id)
		kind(t, "old", err, contracts.NotFound)
	}
	r.ticket(fresh)
	var left int
	if err := r.store.Read(t.Context(), func(v *store.View) error {
		return v.QueryRow(`SELECT (SELECT count(*) FROM outbox_ticket) + (SELECT count(*) FROM outbox_request)`).Scan(&left)
	}); err != nil {
		t.Fatal(err)
	}
	equal(t, "rows left", left, 4)
}

func TestConfigNamesEveryFault(t *testing.T) {
	if err := outbox.Default().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	var none outbox.Config
	err := none.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) < 10 {
		t.Errorf("an empty configuration: %v", err)
	}
}

func TestOneWorkAtATime(t *testing.T) {
	r := newRig(t)
	r.open().start()
	b, _ := says(opRead, answers)
	r.desk.bind("x", b)
	r.settled(r.submit(newCall(opRead, "k", ask{})).ID)
	kind(t, "a second Work", r.box.Work(t.Context()), contracts.Conflict)
}

func TestWorkDrainsAndPutsBack(t *testing.T) {
	for _, c := range []struct {
		rule    string
		op      contracts.Op[ask, reply]
		departs bool
		want    contracts.State
	}{
		{"a read is queued again", opRead, false, contracts.StateQueued},
		{"a once that had not departed is queued again", opOnce, false, contracts.StateQueued},
		{"a once that had is uncertain", opOnce, true, contracts.StateUncertain},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			r.cfg.Drain = 20 * time.Millisecond
			began := make(chan struct{})
			b, _ := says(c.op, func(ctx context.Context, _ int, _ ask) (reply, error) {
				if c.departs {
					if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
						return reply{}, err
					}
				}
				close(began)
				<-ctx.Done()
				return reply{}, context.Cause(ctx)
			})
			r.desk.bind("x", b)
			r.open().start()
			id := r.submit(newCall(c.op, "k", ask{})).ID
			<-began
			r.stop()
			got := r.ticket(id)
			equal(t, "state", got.State, c.want)
			equal(t, "tries", got.Tries, 0)
		})
	}
}

func TestATicketOfAnOperationThatIsGoneWaits(t *testing.T) {
	r := newRig(t)
	b, _ := says(opRead, answers)
	r.desk.bind("x", b)
	r.open()
	ids := r.many(opRead, 100, nil)
	op := r.desk.ops["test.read"]
	delete(r.desk.ops, "test.read")
	r.start()
	r.quiet()
	put := 0
	for _, id := range ids {
		got := r.ticket(id)
		equal(t, "state", got.State, contracts.StateQueued)
		equal(t, "tries", got.Tries, 0)
		if got.Err != nil {
			put++
		}
	}
	if put == 0 || put > r.cfg.Workers {
		t.Errorf("%d were taken and put back, want at most one per worker", put)
	}
	r.stop()
	r.desk.ops["test.read"] = op
	r.start()
	r.jump(2*time.Hour, nil)
	r.allDone(ids)
}

func TestABatchOfManySubmittersLosesNothing(t *testing.T) {
	r := newRig(t)
	b, n := says(opWrite, answers)
	r.desk.bind("x", b)
	r.open().start()
	done := make(chan error, 8)
	for w := range 8 {
		go func() {
			for i := range 25 {
				if _, err := r.box.Submit(context.Background(), newCall(opWrite, fmt.Sprint(w, "/", i), ask{})); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	r.quiet()
	equal(t, "exchanges", n.Load(), 200)
	s, err := r.box.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "done", s.States[contracts.StateDone], 200)
}
