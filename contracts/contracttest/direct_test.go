package contracttest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

func length(_ context.Context, q question) (answer, error) { return answer{Length: q.Word.Len()}, nil }

func TestDirectRefusesWhatAHubRefuses(t *testing.T) {
	a := &toy{bindings: []contracts.Binding{
		contracts.Bind(opRead, length, contracts.Covers(opRead, func(q question) error {
			if q.Word.Reveal() == "elsewhere" {
				return contracts.Errorf(contracts.NotFound, "covers: not this register's")
			}
			return nil
		})),
		contracts.Bind(opOnce, length),
	}}
	r, _ := direct(a)
	who := contracts.Caller{Service: "core", Purpose: "test"}
	for name, c := range map[string]struct {
		call contracts.Call
		want contracts.Kind
	}{
		"no operation":      {contracts.Call{Caller: who}, contracts.Invalid},
		"not offered":       {contracts.Call{Op: opWrite.OpInfo, Request: ask("x"), Caller: who, Key: "k"}, contracts.Invalid},
		"no caller":         {contracts.Call{Op: opRead.OpInfo, Request: ask("x")}, contracts.Invalid},
		"no purpose":        {contracts.Call{Op: opRead.OpInfo, Request: ask("x"), Caller: contracts.Caller{Service: "core"}}, contracts.Invalid},
		"no key":            {contracts.Call{Op: opOnce.OpInfo, Request: ask("x"), Caller: who}, contracts.Invalid},
		"wrong request":     {contracts.Call{Op: opRead.OpInfo, Request: ask("invalid"), Caller: who}, contracts.Invalid},
		"outside the field": {contracts.Call{Op: opRead.OpInfo, Request: ask("elsewhere"), Caller: who}, contracts.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Run(t.Context(), &c.call)
			if err == nil || contracts.KindOf(err) != c.want {
				t.Fatalf("error %v, want kind %q", err, c.want)
			}
			if c.call.Op != nil {
				for _, f := range contracttest.ErrorFaults(err, c.call.Op.Name) {
					t.Error(f)
				}
			}
		})
	}
}

func TestDirectDoesAReadAtOnce(t *testing.T) {
	var held string
	a := &toy{bindings: []contracts.Binding{contracts.Bind(opRead, func(ctx context.Context, q question) (answer, error) {
		held = contracts.HoldFrom(ctx).ID()
		if c := contracts.CallFrom(ctx); c == nil || c.Op.Name != opRead.Name || c.Caller.Service != "core" {
			t.Error("the call is not in the context")
		}
		contracts.TrailFrom(ctx).Attempt(contracts.Attempt{Status: "200"})
		return length(ctx, q)
	})}}
	r, _ := direct(a)
	outer := &contracttest.Trail{}
	got, err := contracts.Do(contracts.WithTrail(caller(t.Context()), outer), r, opRead, ask("four"))
	if err != nil || got.Length != 4 {
		t.Fatalf("got %v, %v", got, err)
	}
	if len(held) != 26 {
		t.Errorf("the hold's id %q is no ticket's", held)
	}
	if len(r.Attempts()) != 1 || len(outer.Attempts()) != 1 {
		t.Error("the attempt was not heard by both trails")
	}
}

// listed is a list form that is ready after some questions.
func listed(ready int, started *int, final func(q question) contracts.Result[answer]) contracts.Option[question, answer] {
	asked := 0
	return contracts.AsList(opList, 3, func(_ context.Context, qs []question) ([]byte, error) {
		*started++
		return []byte("handle"), nil
	}, func(_ context.Context, handle []byte, qs []question) ([]contracts.Result[answer], error) {
		if string(handle) != "handle" {
			return nil, contracts.Errorf(contracts.Internal, "another handle")
		}
		if asked++; asked < ready {
			return nil, &contracts.Error{Kind: contracts.Pending, After: time.Hour}
		}
		var out []contracts.Result[answer]
		for _, q := range qs {
			out = append(out, final(q))
		}
		return out, nil
	})
}

func TestDirectDrivesAList(t *testing.T) {
	started := 0
	a := &toy{bindings: []contracts.Binding{contracts.Bind(opList, nil, listed(5, &started, func(q question) contracts.Result[answer] {
		if q.Word.Reveal() == "none" {
			return contracts.Result[answer]{Err: toyErr(contracts.NotFound, opList.Name)}
		}
		return contracts.Result[answer]{Value: answer{Length: q.Word.Len()}}
	}))}}
	r, c := direct(a)
	got, err := contracts.Do(caller(t.Context()), r, opList, ask("four"))
	if err != nil || got.Length != 4 || started != 1 {
		t.Fatalf("got %v, %v after %d lists, want 4 after 1", got, err, started)
	}
	if waited := c.Now().Sub(today); waited < 4*time.Hour {
		t.Errorf("waited %v on the clock, want the 4 hours that the far side asked for", waited)
	}
	if _, err := contracts.Do(caller(t.Context()), r, opList, ask("none")); contracts.KindOf(err) != contracts.NotFound {
		t.Errorf("error %v, want the member's own", err)
	}
	all, err := contracttest.List(caller(t.Context()), r, opList, []question{ask("a"), ask("none"), ask("ccc")})
	if err != nil || len(all) != 3 || all[0].Value.Length != 1 || contracts.KindOf(all[1].Err) != contracts.NotFound || all[2].Value.Length != 3 {
		t.Errorf("list of three: %v, %v", all, err)
	}
	if _, err := contracttest.List(caller(t.Context()), r, opList, make([]question, 4)); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("a list beyond its maximum: %v", err)
	}
}

func TestDirectGivesUpAtTheHorizonAndAtTheDeadline(t *testing.T) {
	started := 0
	never := func() *toy {
		return &toy{bindings: []contracts.Binding{contracts.Bind(opList, nil, listed(1<<30, &started, nil))}}
	}
	r, _ := direct(never(), contracttest.Horizon(5*time.Hour))
	_, err := contracts.Do(caller(t.Context()), r, opList, ask("x"))
	if contracts.KindOf(err) != contracts.Pending {
		t.Fatalf("beyond the horizon: %v, want pending", err)
	}
	for _, f := range contracttest.ErrorFaults(err, opList.Name) {
		t.Error(f)
	}
	// Without Advancing it sleeps on the clock, and the context's end wakes it.
	c := contracttest.NewClock(today)
	slow := contracttest.Direct(never(), c)
	ctx, cancel := context.WithCancel(caller(t.Context()))
	done := make(chan error, 1)
	go func() {
		_, err := contracts.Do(ctx, slow, opList, ask("x"))
		done <- err
	}()
	<-c.Asked() // asleep
	c.Advance(time.Hour)
	<-c.Asked() // asleep again, so it went on in between
	cancel()
	if err := <-done; contracts.KindOf(err) != contracts.Pending {
		t.Errorf("given up: %v, want pending", err)
	}
}

func TestDirectStartsAListAgainThatWasForgotten(t *testing.T) {
	started := 0
	forget := func(times int) *toy {
		return &toy{bindings: []contracts.Binding{contracts.Bind(opList, nil, contracts.AsList(opList, 1,
			func(context.Context, []question) ([]byte, error) { started++; return []byte{1}, nil },
			func(_ context.Context, _ []byte, qs []question) ([]contracts.Result[answer], error) {
				if started <= times {
					return nil, toyErr(contracts.NotFound, opList.Name)
				}
				return []contracts.Result[answer]{{Value: answer{Length: 1}}}, nil
			}))}}
	}
	r, _ := direct(forget(1))
	if _, err := contracts.Do(caller(t.Context()), r, opList, ask("x")); err != nil || started != 2 {
		t.Errorf("error %v after %d lists, want an answer after 2", err, started)
	}
	started = 0
	r, _ = direct(forget(100))
	if _, err := contracts.Do(caller(t.Context()), r, opList, ask("x")); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("always forgotten: %v, want unavailable, for NotFound would be told of the subject", err)
	}
}

func TestDirectFollowsEvents(t *testing.T) {
	id := contracts.TicketID("core", opSlow.Name, "k")
	words := []contracts.Event{event("1", id, "one"), event("1", id, "one"), event("2", "nobody", "stray"), event("3", id, "bad"), event("4", id, "end")}
	a := &toy{bindings: []contracts.Binding{contracts.Bind(opSlow, length, contracts.OnEvent(opSlow, hear))}}
	a.feed = func(from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
		n := len(from)
		if n == len(words) {
			return nil, from, nil
		}
		return words[n : n+1], append(slices.Clone(from), 'x'), nil
	}
	r, _ := direct(a)
	got, err := contracts.Do(keyed(t.Context(), "k"), r, opSlow, ask("four"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Length != 4 || !slices.Equal(got.Heard, []string{"one", "end"}) {
		t.Errorf("folded to %v: an event was counted twice, or the answer so far was lost", got)
	}
	if s := r.Strays(); len(s) != 1 || s[0].ID != "2" {
		t.Errorf("strays %v, want the event that names no ticket", s)
	}
	if f := r.Faults(); len(f) != 1 || !strings.Contains(f[0].Error(), "cannot read") {
		t.Errorf("faults %v, want the event whose fold erred", f)
	}
	// A settled ticket still hears of itself.
	words = append(words, event("5", id, "fail"))
	ticket, err := r.Ticket(caller(t.Context()), id)
	if err != nil || ticket.State != contracts.StateFailed || len(ticket.Story) != 3 {
		t.Errorf("after a late event: %v with %d events, %v, want failed with 3", ticket, len(ticket.Story), err)
	}
}

func TestDirectQuarantinesAFoldThatIsNotPure(t *testing.T) {
	id := contracts.TicketID("core", opSlow.Name, "k")
	calls := 0
	a := &toy{bindings: []contracts.Binding{contracts.Bind(opSlow, length, contracts.OnEvent(opSlow,
		func(_ question, sofar answer, _ contracts.Event) (answer, contracts.Move, error) {
			calls++
			return answer{Length: calls}, contracts.Move{To: contracts.StateDone}, nil
		}))}}
	sent := false
	a.feed = func(from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
		if sent {
			return nil, from, nil
		}
		sent = true
		return []contracts.Event{event("1", id, "x"), event("2", id, "queue")}, from, nil
	}
	r, _ := direct(a)
	_, err := contracts.Do(keyed(t.Context(), "k"), r, opSlow, ask("x"))
	if contracts.KindOf(err) != contracts.Pending || len(r.Faults()) != 2 {
		t.Errorf("%v with faults %v, want the ticket left where it was", err, r.Faults())
	}
}

func TestDirectSettlesDoubts(t *testing.T) {
	doubt := func(context.Context, question) (answer, error) {
		return answer{}, toyErr(contracts.Uncertain, opWrite.Name)
	}
	t.Run("nobody can tell", func(t *testing.T) {
		calls := 0
		r, _ := direct(&toy{bindings: []contracts.Binding{contracts.Bind(opOnce, func(ctx context.Context, q question) (answer, error) {
			calls++
			return doubt(ctx, q)
		})}})
		_, err := contracts.Do(keyed(t.Context(), "k"), r, opOnce, ask("x"))
		var e *contracts.Error
		if !errors.As(err, &e) || e.Kind != contracts.Uncertain || e.Ticket == "" || calls != 1 {
			t.Errorf("%v after %d calls, want uncertain with its ticket after 1", err, calls)
		}
	})
	t.Run("the far side tells", func(t *testing.T) {
		asked := 0
		r, _ := direct(&toy{bindings: []contracts.Binding{contracts.Bind(opWrite, doubt,
			contracts.Resolve(opWrite, func(context.Context, question) (answer, error) {
				if asked++; asked < 3 {
					return answer{}, toyErr(contracts.Unavailable, opWrite.Name)
				}
				return answer{Length: 9}, nil
			}))}})
		got, err := contracts.Do(keyed(t.Context(), "k"), r, opWrite, ask("x"))
		if err != nil || got.Length != 9 {
			t.Errorf("%v, %v, want what the far side told", got, err)
		}
	})
	t.Run("it did not happen", func(t *testing.T) {
		calls := 0
		r, _ := direct(&toy{bindings: []contracts.Binding{contracts.Bind(opWrite, func(ctx context.Context, q question) (answer, error) {
			if calls++; calls == 1 {
				return doubt(ctx, q)
			}
			return length(ctx, q)
		}, contracts.Resolve(opWrite, func(context.Context, question) (answer, error) {
			return answer{}, toyErr(contracts.NotFound, opWrite.Name)
		}))}})
		got, err := contracts.Do(keyed(t.Context(), "k"), r, opWrite, ask("four"))
		if err != nil || got.Length != 4 || calls != 2 {
			t.Errorf("%v, %v after %d calls, want it done again: the wire knows our key", got, err, calls)
		}
	})
	t.Run("given up after departure", func(t *testing.T) {
		r, _ := direct(&toy{bindings: []contracts.Binding{contracts.Bind(opOnce, func(ctx context.Context, _ question) (answer, error) {
			if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil {
				return answer{}, err
			}
			return answer{}, context.Canceled
		})}})
		_, err := contracts.Do(keyed(t.Context(), "k"), r, opOnce, ask("x"))
		if contracts.KindOf(err) != contracts.Uncertain {
			t.Errorf("%v, want uncertain: bytes may have left", err)
		}
	})
}

func TestDirectTriesAgainWithTheSameBytes(t *testing.T) {
	made, calls := 0, 0
	r, _ := direct(&toy{bindings: []contracts.Binding{contracts.Bind(opOnce, func(ctx context.Context, q question) (answer, error) {
		_, err := contracts.HoldFrom(ctx).Keep(ctx, "bytes", func() ([]byte, error) { made++; return []byte("x"), nil })
		if err != nil {
			return answer{}, err
		}
		if calls++; calls < 3 {
			return answer{}, toyErr(contracts.Unavailable, opOnce.Name)
		}
		return length(ctx, q)
	})}})
	if _, err := contracts.Do(keyed(t.Context(), "k"), r, opOnce, ask("x")); err != nil || made != 1 || calls != 3 {
		t.Errorf("%v: made %d times in %d calls, want once in 3", err, made, calls)
	}
	calls = -10
	if _, err := contracts.Do(keyed(t.Context(), "k2"), r, opOnce, ask("x")); contracts.KindOf(err) != contracts.Unavailable || calls != -7 {
		t.Errorf("%v after %d calls, want unavailable after 3", err, calls+10)
	}
}

func TestDirectKeepsTicketsApart(t *testing.T) {
	r, _ := direct(&toy{bindings: []contracts.Binding{contracts.Bind(opOnce, length)}})
	ctx := keyed(t.Context(), "k")
	first, err := contracts.Submit(ctx, r, opOnce, ask("one"))
	if err != nil || first.ID != contracts.TicketID("core", opOnce.Name, "k") {
		t.Fatalf("%v, %v: the id must be derived", first, err)
	}
	if again, err := contracts.Submit(ctx, r, opOnce, ask("one")); err != nil || again.ID != first.ID {
		t.Errorf("again: %v, %v", again, err)
	}
	if _, err := contracts.Submit(ctx, r, opOnce, ask("two")); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("another request: %v, want conflict", err)
	}
	stranger := contracts.WithCaller(ctx, contracts.Caller{Service: "other", Purpose: "test"})
	if _, err := r.Ticket(stranger, first.ID); contracts.KindOf(err) != contracts.NotFound {
		t.Errorf("a stranger: %v, want not found", err)
	}
	if _, err := contracts.Answer(ctx, r, opOnce, first.ID); err != nil {
		t.Errorf("answer: %v", err)
	}
}

func TestDirectErasesASecretWhenSettled(t *testing.T) {
	r, _ := direct(&toy{bindings: []contracts.Binding{contracts.Bind(opOnce, func(ctx context.Context, q question) (answer, error) {
		_, err := contracts.HoldFrom(ctx).Keep(ctx, "bytes", func() ([]byte, error) { return []byte(q.Word.Reveal()), nil })
		return answer{}, err
	})}})
	ctx := keyed(t.Context(), "k")
	ticket, err := contracts.Submit(ctx, r, opOnce, question{Word: contracts.NewPrivate("hush-hush"), Wipe: true})
	if err != nil {
		t.Fatal(err)
	}
	kept := func() bool {
		return bytes.Contains(bytes.Join(r.Kept(ticket.ID), nil), []byte("hush-hush"))
	}
	if !kept() {
		t.Error("the request is gone before it was carried out")
	}
	if _, err := contracts.Answer(ctx, r, opOnce, ticket.ID); err != nil {
		t.Fatal(err)
	}
	if kept() {
		t.Error("the secret is still kept")
	}
}
