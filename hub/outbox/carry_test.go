package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/contracts"
)

// says binds op to a function that is told which exchange of this binding it is, from 1.
func says[Req, Resp any](op contracts.Op[Req, Resp], fn func(ctx context.Context, n int, req Req) (Resp, error), opts ...contracts.Option[Req, Resp]) (contracts.Binding, *atomic.Int64) {
	var n atomic.Int64
	return contracts.Bind(op, func(ctx context.Context, req Req) (Resp, error) { return fn(ctx, int(n.Add(1)), req) }, opts...), &n
}

func answers(_ context.Context, _ int, a ask) (reply, error) { return reply{Who: a.Who}, nil }

func departs(ctx context.Context, _ int, a ask) (reply, error) {
	if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
		return reply{}, err
	}
	return reply{Who: a.Who}, nil
}

func TestAnAnswerSettlesATicketWithAnEntryForEachStep(t *testing.T) {
	for _, c := range []struct {
		op   contracts.Op[ask, reply]
		want []string
	}{
		{opRead, []string{"submitted@inad", "outcome ok@inad"}},
		{opWrite, []string{"submitted@inad", "intent@inad", "outcome ok@inad"}},
		{opOnce, []string{"submitted@inad", "intent@inad", "outcome ok@inad"}},
	} {
		t.Run(c.op.Effect.String(), func(t *testing.T) {
			r := newRig(t)
			b, n := says(c.op, departs)
			r.desk.bind("inad", b)
			r.open().start()
			id := r.submit(newCall(c.op, "k", ask{Who: "a"})).ID
			got, err := r.box.Wait(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			r.quiet() // the ledger of this test hears of a commit a moment after a reader may see it
			equal(t, "state", got.State, contracts.StateDone)
			equal(t, "result", string(got.Result), `{"who":"a"}`)
			equal(t, "exchanges", n.Load(), 1)
			lines(t, "entries", r.ledger.of(id), c.want...)
			for _, e := range r.ledger.all() {
				if e.Subject.IsZero() || e.SubjectKey == "" || e.Caller.Case != "case-1" {
					t.Errorf("entry %s lacks subject or caller: %+v", e.Phase, e)
				}
			}
			story, err := r.feed.Story(t.Context(), id)
			if err != nil || len(story) != 1 || story[0].Kind != "ticket.settled" || story[0].Owner != "core" {
				t.Errorf("story: have %v, %v", story, err)
			}
		})
	}
}

func TestARoutesNextRegisterIsAskedOnlyAfterNotFound(t *testing.T) {
	r := newRig(t)
	none := func(context.Context, int, ask) (reply, error) {
		return reply{}, contracts.Errorf(contracts.NotFound, "none")
	}
	first, _ := says(opRead, none)
	never, n := says(opRead, answers, contracts.Covers(opRead, func(ask) error { return contracts.NotFound }))
	last, _ := says(opRead, answers)
	r.desk.bind("one", first)
	r.desk.bind("two", never)
	r.desk.bind("three", last)
	r.open().start()
	id := r.submit(newCall(opRead, "k", ask{Who: "a"})).ID
	equal(t, "state", r.settled(id).State, contracts.StateDone)
	equal(t, "exchanges of the register that may not hold it", n.Load(), 0)
	lines(t, "entries", r.ledger.of(id), "submitted@one", "outcome not_found@one", "outcome ok@three")

	pinned := newCall(opRead, "pinned", ask{Who: "a"})
	pinned.At = "one"
	got := r.settled(r.submit(pinned).ID)
	equal(t, "state of a pinned call", got.State, contracts.StateFailed)
	kind(t, "failure of a pinned call", got.Failure(), contracts.NotFound)

	last2, _ := says(opRead, none)
	r.desk.bind("three", last2)
	got = r.settled(r.submit(newCall(opRead, "nowhere", ask{Who: "b"})).ID)
	kind(t, "failure when nobody knows", got.Failure(), contracts.NotFound)

	got, err := r.box.SubmitAfter(t.Context(), newCall(opRead, "after", ask{Who: "c"}), "one")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "instance after the first", got.At, "three")
}

func TestUnavailableIsTriedAgainLaterAndLaterThenFails(t *testing.T) {
	r := newRig(t)
	r.cfg.Attempts = 5
	var at []time.Time
	var mu sync.Mutex
	b, _ := says(opOnce, func(ctx context.Context, _ int, _ ask) (reply, error) {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, r.clock.Now())
		if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
			return reply{}, err
		}
		return reply{}, contracts.Errorf(contracts.Unavailable, "closed")
	})
	r.desk.bind("inps", b)
	r.open().start()
	got := r.settled(r.submit(newCall(opOnce, "k", ask{})).ID)
	equal(t, "state", got.State, contracts.StateFailed)
	equal(t, "tries", got.Tries, 5)
	kind(t, "failure", got.Failure(), contracts.Unavailable)
	var waits []time.Duration
	for i := range at[1:] {
		waits = append(waits, at[i+1].Sub(at[i]))
	}
	want := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}
	equal(t, "waits", fmt.Sprint(waits), fmt.Sprint(want))
}

func TestAfterIsHonouredAndJitterSpreadsTheRest(t *testing.T) {
	r := newRig(t)
	r.opt.SetJitter(func() float64 { return 0.5 })
	b, _ := says(opRead, func(_ context.Context, n int, _ ask) (reply, error) {
		switch n {
		case 1:
			return reply{}, &contracts.Error{Kind: contracts.Unavailable, After: time.Hour}
		case 2:
			return reply{}, contracts.Errorf(contracts.Unavailable, "closed")
		}
		return reply{}, nil
	})
	r.desk.bind("inps", b)
	r.open().start()
	id := r.submit(newCall(opRead, "k", ask{})).ID
	equal(t, "first wait", r.quiet().Sub(morning), time.Hour)
	r.clock.Advance(time.Hour)
	equal(t, "second wait", r.quiet().Sub(morning), time.Hour+2*time.Second)
	r.settled(id)
}

func TestOurOwnRefusalsCostNoTryAndPauseTheKind(t *testing.T) {
	for _, c := range []struct {
		rule string
		err  func() error
	}{
		{"limit or break", func() error {
			return &contracts.Error{Kind: contracts.Unavailable, After: time.Minute, Err: errOurs}
		}},
		{"throttled by the far side", func() error { return &contracts.Error{Kind: contracts.Throttled, After: time.Minute} }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			var open atomic.Bool
			b, n := says(opRead, func(_ context.Context, _ int, a ask) (reply, error) {
				if !open.Load() {
					return reply{}, c.err()
				}
				return reply{}, nil
			})
			r.desk.bind("inad", b)
			r.open()
			var ids []string
			for i := range 200 {
				ids = append(ids, r.submit(newCall(opRead, fmt.Sprint(i), ask{})).ID)
			}
			r.start()
			equal(t, "next", r.quiet().Sub(morning), time.Minute)
			if got := n.Load(); got > int64(r.cfg.Workers) {
				t.Errorf("exchanges against a closed door: have %d, want at most one per worker", got)
			}
			open.Store(true)
			r.jump(time.Hour, func() bool { return r.ticket(ids[199]).State.Settled() })
			for _, id := range ids {
				if got := r.settled(id); got.State != contracts.StateDone || got.Tries != 0 {
					t.Fatalf("ticket: have %s after %d tries, want done after none", got.State, got.Tries)
				}
			}
		})
	}
}

func TestDeadlinesComeFirstThenTheOrderOfAcceptance(t *testing.T) {
	r := newRig(t)
	r.cfg.Workers = 1
	var order []string
	b, _ := says(opRead, func(_ context.Context, _ int, a ask) (reply, error) {
		order = append(order, a.Who)
		return reply{}, nil
	})
	r.desk.bind("inad", b)
	other, _ := says(opWrite, func(_ context.Context, _ int, a ask) (reply, error) {
		order = append(order, a.Who)
		return reply{}, nil
	})
	r.desk.bind("inad", other)
	r.open()
	put := func(op contracts.Op[ask, reply], who string, due time.Duration) {
		c := newCall(op, who, ask{Who: who})
		if due > 0 {
			c.Due = morning.Add(due)
		}
		r.submit(c)
	}
	put(opRead, "none", 0)
	put(opRead, "late", 3*time.Hour)
	put(opWrite, "soon", time.Hour)
	put(opRead, "mid", 2*time.Hour)
	put(opWrite, "none too", 0)
	r.start()
	r.quiet()
	r.stop()
	lines(t, "order", order, "soon", "mid", "late", "none", "none too")
}

func TestADeadlineThatPassesEndsNothing(t *testing.T) {
	r := newRig(t)
	b, _ := says(opRead, func(_ context.Context, n int, _ ask) (reply, error) {
		if n < 4 {
			return reply{}, &contracts.Error{Kind: contracts.Unavailable, After: time.Hour}
		}
		return reply{}, nil
	})
	r.desk.bind("inad", b)
	r.open().start()
	c := newCall(opRead, "k", ask{})
	c.Due = morning.Add(90 * time.Minute)
	id := r.submit(c).ID
	r.quiet()
	stats := func() (soon, over int) {
		s, err := r.box.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.DueSoon, s.Overdue
	}
	r.clock.Advance(time.Hour)
	r.quiet()
	soon, over := stats()
	equal(t, "soon, over", [2]int{soon, over}, [2]int{1, 0})
	r.clock.Advance(time.Hour)
	r.quiet()
	soon, over = stats()
	equal(t, "soon, over", [2]int{soon, over}, [2]int{0, 1})
	equal(t, "state", r.settled(id).State, contracts.StateDone)
}

// A far side that refuses us for the time being (a mailbox whose password is wrong) refuses no request: tickets wait, at no
// cost, until somebody has put it right.
func TestDeniedForTheTimeBeingCostsNothing(t *testing.T) {
	r := newRig(t)
	b, n := says(opOnce, func(_ context.Context, try int, _ ask) (reply, error) {
		if try <= 20 { // more often than a ticket has tries
			e := contracts.Errorf(contracts.Denied, "the password was refused")
			e.After = 5 * time.Minute
			return reply{}, e
		}
		return reply{}, nil
	})
	r.desk.bind("x", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{})).ID
	r.settled(id)
	equal(t, "state", r.state(id), contracts.StateDone)
	equal(t, "exchanges", n.Load(), 21)
}

func TestWhatEachKindOfErrorMakesOfATicket(t *testing.T) {
	type row struct {
		kind   contracts.Kind
		effect contracts.Effect
		leaves bool
		want   contracts.State
	}
	var table []row
	add := func(k contracts.Kind, leaves bool, read, write, once contracts.State) {
		table = append(table, row{k, contracts.Read, leaves, read}, row{k, contracts.Write, leaves, write}, row{k, contracts.Once, leaves, once})
	}
	const (
		queued, failed, uncertain = contracts.StateQueued, contracts.StateFailed, contracts.StateUncertain
	)
	for _, leaves := range []bool{false, true} {
		for _, k := range []contracts.Kind{contracts.Invalid, contracts.NotFound, contracts.Denied, contracts.Conflict} {
			add(k, leaves, failed, failed, failed)
		}
		add(contracts.Throttled, leaves, queued, queued, queued)
		add(contracts.Unavailable, leaves, queued, queued, queued)
		add(contracts.Uncertain, leaves, queued, uncertain, uncertain)
		add(contracts.Pending, leaves, queued, queued, uncertain)
	}
	for _, k := range []contracts.Kind{contracts.Internal, contracts.Malformed} {
		add(k, false, failed, failed, failed)
		add(k, true, failed, uncertain, uncertain)
	}
	add(contracts.Canceled, false, queued, queued, queued)
	add(contracts.Canceled, true, queued, queued, uncertain)
	ops := map[contracts.Effect]contracts.Op[ask, reply]{contracts.Read: opRead, contracts.Write: opWrite, contracts.Once: opOnce}
	for _, c := range table {
		t.Run(fmt.Sprintf("%s of a %s, departed %v", c.kind, c.effect, c.leaves), func(t *testing.T) {
			r := newRig(t)
			b, n := says(ops[c.effect], func(ctx context.Context, _ int, a ask) (reply, error) {
				if c.leaves {
					if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
						return reply{}, err
					}
				}
				return reply{}, contracts.Errorf(c.kind, "so it is")
			})
			r.desk.bind("x", b)
			r.open().start()
			id := r.submit(newCall(ops[c.effect], "k", ask{})).ID
			equal(t, "state", r.state(id), c.want)
			r.stop()
			if c.want == uncertain {
				r.clock.Advance(100 * time.Hour)
				r.reopen().start()
				equal(t, "state later", r.state(id), uncertain)
				equal(t, "exchanges", n.Load(), 1)
			}
		})
	}
}

func TestAnAdapterThatPanicsCostsItsTicketAlone(t *testing.T) {
	r := newRig(t)
	b, _ := says(opRead, func(_ context.Context, n int, a ask) (reply, error) {
		if a.Who == "bad" {
			panic("RSSMRA85T10A562S")
		}
		return reply{}, nil
	})
	r.desk.bind("inad", b)
	r.open().start()
	bad, good := r.submit(newCall(opRead, "bad", ask{Who: "bad"})).ID, r.submit(newCall(opRead, "good", ask{})).ID
	got := r.settled(bad)
	kind(t, "failure", got.Failure(), contracts.Internal)
	if s := got.Failure().Error(); len(s) == 0 || contains(s, "RSSMRA") {
		t.Errorf("the failure repeats the panic: %s", s)
	}
	equal(t, "the other", r.settled(good).State, contracts.StateDone)
}

func TestAWriteWhoseAnswerMakesAnAdapterPanicIsNotOneThatFailed(t *testing.T) {
	for _, c := range []struct {
		op   contracts.Op[ask, reply]
		sent bool
		want contracts.State
	}{
		{opWrite, true, contracts.StateUncertain},
		{opWrite, false, contracts.StateFailed},
		{opRead, true, contracts.StateFailed},
	} {
		t.Run(fmt.Sprintf("%s sent %t", c.op.Effect, c.sent), func(t *testing.T) {
			r := newRig(t)
			b, n := says(c.op, func(ctx context.Context, _ int, _ ask) (reply, error) {
				contracts.TrailFrom(ctx).Attempt(contracts.Attempt{Sent: c.sent, Status: "200"})
				panic("in the decoder")
			})
			r.desk.bind("x", b)
			r.open().start()
			id := r.submit(newCall(c.op, "k", ask{})).ID
			equal(t, "state", r.state(id), c.want)
			equal(t, "exchanges", n.Load(), 1)
		})
	}
}

func TestKeptBytesAreMadeOnceAndStoredSealed(t *testing.T) {
	r := newRig(t)
	var made atomic.Int64
	b, _ := says(opOnce, func(ctx context.Context, n int, a ask) (reply, error) {
		h := contracts.HoldFrom(ctx)
		got, err := h.Keep(ctx, "message", func() ([]byte, error) {
			made.Add(1)
			return []byte("frozen at the first try"), nil
		})
		if err != nil || string(got) != "frozen at the first try" {
			return reply{}, fmt.Errorf("kept %q: %w", got, err)
		}
		if n < 3 {
			return reply{}, contracts.Errorf(contracts.Unavailable, "closed")
		}
		return reply{}, h.Depart(ctx)
	})
	r.desk.bind("pec", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{})).ID
	r.quiet()
	r.reopen().start()
	equal(t, "state", r.settled(id).State, contracts.StateDone)
	equal(t, "made", made.Load(), 1)
	r.stop()
	absent(t, r, "frozen at the first try")
}

func TestNothingDepartsOrIsKeptWhenTheTicketWasTakenAway(t *testing.T) {
	for _, op := range []contracts.Op[ask, reply]{opOnce, opWrite} {
		t.Run(op.Effect.String(), func(t *testing.T) {
			r := newRig(t)
			began, goOn := make(chan struct{}), make(chan struct{})
			var departErr, keepErr error
			b, _ := says(op, func(ctx context.Context, _ int, _ ask) (reply, error) {
				close(began)
				<-goOn
				_, keepErr = contracts.HoldFrom(ctx).Keep(ctx, "m", func() ([]byte, error) { return []byte("x"), nil })
				departErr = contracts.HoldFrom(ctx).Depart(ctx)
				return reply{Who: "too late"}, nil
			})
			r.desk.bind("pec", b)
			r.open().start()
			id := r.submit(newCall(op, "k", ask{})).ID
			<-began
			if err := r.box.Settle(t.Context(), id, contracts.StateAbandoned, nil, "op", "asked by the office"); err != nil {
				t.Fatal(err)
			}
			close(goOn)
			r.quiet()
			kind(t, "depart", departErr, contracts.Unavailable)
			if op.Effect == contracts.Write {
				kind(t, "keep", keepErr, contracts.Unavailable)
			}
			kept, err := r.box.Kept(t.Context(), id)
			if err != nil || len(kept) != 0 {
				t.Errorf("%d texts were kept: %v", len(kept), err)
			}
			got := r.ticket(id)
			equal(t, "state: a late result commits nothing", got.State, contracts.StateAbandoned)
			equal(t, "result", len(got.Result), 0)
			want := []string{"submitted@pec", "operator running to abandoned@pec"}
			if op.Effect == contracts.Write {
				want = []string{"submitted@pec", "intent@pec", "operator running to abandoned@pec"}
			}
			lines(t, "entries", r.ledger.of(id), want...)
		})
	}
}

// What is frozen is on the disk with the departure, in one commit, and what did not depart is the same on the next try.
func TestWhatIsKeptIsStoredWithTheDeparture(t *testing.T) {
	r := newRig(t)
	var made, before, after int
	b, _ := says(opOnce, func(ctx context.Context, n int, _ ask) (reply, error) {
		h := contracts.HoldFrom(ctx)
		keep := func() string {
			frozen, err := h.Keep(ctx, "m", func() ([]byte, error) { made++; return fmt.Append(nil, "made ", made), nil })
			if err != nil {
				t.Error(err)
			}
			return string(frozen)
		}
		equal(t, "frozen", keep(), "made 1")
		equal(t, "frozen again", keep(), "made 1")
		count := func() int {
			kept, err := r.box.Kept(ctx, h.ID())
			if err != nil {
				t.Error(err)
			}
			return len(kept)
		}
		if n == 1 {
			return reply{}, &contracts.Error{Kind: contracts.Throttled, After: time.Minute}
		}
		before = count()
		commits := r.store.Stats().Commits
		if _, err := h.Keep(ctx, "more", func() ([]byte, error) { return []byte("x"), nil }); err != nil {
			t.Error(err)
		}
		if err := h.Depart(ctx); err != nil {
			t.Error(err)
		}
		equal(t, "commits", r.store.Stats().Commits-commits, 1)
		after = count()
		return reply{}, nil
	})
	r.desk.bind("pec", b)
	r.open().start()
	equal(t, "state", r.settled(r.submit(newCall(opOnce, "k", ask{})).ID).State, contracts.StateDone)
	equal(t, "kept before the departure", before, 1)
	equal(t, "kept after it", after, 2)
}

func TestTheAttemptsOnTheWireStandInTheEntry(t *testing.T) {
	r := newRig(t)
	b, _ := says(opRead, func(ctx context.Context, _ int, _ ask) (reply, error) {
		for range 300 {
			contracts.TrailFrom(ctx).Attempt(contracts.Attempt{Sent: true, Status: "503"})
		}
		if c := contracts.CallFrom(ctx); c == nil || c.At != "inad" || c.Caller.Service != "core" {
			return reply{}, errors.New("no call in the context")
		}
		return reply{}, nil
	})
	r.desk.bind("inad", b)
	r.open().start()
	id := r.submit(newCall(opRead, "k", ask{})).ID
	equal(t, "state", r.settled(id).State, contracts.StateDone)
	entries := r.ledger.all()
	equal(t, "attempts", len(entries[len(entries)-1].Attempts), 100)
}
