package contracts_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"raccordo/contracts"
)

type runner func(context.Context, *contracts.Call) (any, error)

func (r runner) Run(ctx context.Context, c *contracts.Call) (any, error) { return r(ctx, c) }

type desk struct {
	runner
	ticket contracts.Ticket
	err    error
	call   *contracts.Call
}

func (d *desk) Submit(_ context.Context, c *contracts.Call) (contracts.Ticket, error) {
	d.call = c
	return d.ticket, d.err
}

func (d *desk) Ticket(context.Context, string) (contracts.Ticket, error) { return d.ticket, d.err }

func TestDoAsksWithWhatTheContextSays(t *testing.T) {
	who := contracts.Caller{Service: "core", Purpose: "p", Case: "1"}
	due := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	ctx := contracts.WithDue(contracts.WithKey(contracts.WithCaller(t.Context(), who), "k"), due)
	got, err := contracts.Do(ctx, runner(func(_ context.Context, c *contracts.Call) (any, error) {
		if c.Op != opFind.OpInfo || c.Request != (place{Town: "Bari"}) || c.Caller != who || c.Key != "k" || !c.Due.Equal(due) || c.At != "" {
			t.Error("the call is not what the context says")
		}
		return answer{4}, nil
	}), opFind, place{Town: "Bari"})
	if err != nil || got.Size != 4 {
		t.Errorf("%v, %v", got, err)
	}
	if contracts.CallerFrom(t.Context()) != (contracts.Caller{}) || contracts.NewCall(t.Context(), opFind.OpInfo, nil).Key != "" {
		t.Error("a bare context says something")
	}
}

func TestDoRefusesAnotherAnswer(t *testing.T) {
	for name, out := range map[string]any{"another type": place{}, "nothing": nil, "a pointer": &answer{}} {
		_, err := contracts.Do(t.Context(), runner(func(context.Context, *contracts.Call) (any, error) { return out, nil }), opFind, place{})
		if contracts.KindOf(orNil(err)) != contracts.Internal || err == nil {
			t.Errorf("%s: %v, want internal", name, err)
		}
	}
	_, err := contracts.Do(t.Context(), runner(func(context.Context, *contracts.Call) (any, error) { return nil, contracts.NotFound }), opFind, place{})
	if !errors.Is(err, contracts.NotFound) {
		t.Errorf("the runner's own error is lost: %v", err)
	}
}

func TestSubmitAndAnswer(t *testing.T) {
	d := &desk{ticket: contracts.Ticket{ID: "id", State: contracts.StateQueued}}
	got, err := contracts.Submit(contracts.WithKey(t.Context(), "k"), d, opFind, place{Town: "Bari"})
	if err != nil || got.ID != "id" || d.call.Key != "k" {
		t.Errorf("submit: %v, %v", got, err)
	}
	if _, err := contracts.Answer(t.Context(), d, opFind, "id"); contracts.KindOf(orNil(err)) != contracts.Pending {
		t.Errorf("too soon: %v, want pending", err)
	}
	d.ticket.State, d.ticket.Result = contracts.StateDone, []byte(`{"size":4}`)
	if a, err := contracts.Answer(t.Context(), d, opFind, "id"); err != nil || a.Size != 4 {
		t.Errorf("done: %v, %v", a, err)
	}
	d.ticket.Result = []byte(`{`)
	if _, err := contracts.Answer(t.Context(), d, opFind, "id"); contracts.KindOf(orNil(err)) != contracts.Internal {
		t.Errorf("a broken result: %v", err)
	}
	d.err = contracts.NotFound
	if _, err := contracts.Answer(t.Context(), d, opFind, "id"); !errors.Is(err, contracts.NotFound) {
		t.Errorf("no such ticket: %v", err)
	}
}

type trail struct{ n int }

func (t *trail) Attempt(contracts.Attempt) { t.n++ }

type hold struct{ contracts.Hold }

func TestContextCarriesCallHoldAndTrail(t *testing.T) {
	ctx := t.Context()
	if contracts.CallFrom(ctx) != nil || contracts.HoldFrom(ctx) != nil {
		t.Error("a bare context carries something")
	}
	contracts.TrailFrom(ctx).Attempt(contracts.Attempt{}) // forgets, and does not fail
	c, tr := &contracts.Call{}, &trail{}
	ctx = contracts.WithTrail(contracts.WithHold(contracts.WithCall(ctx, c), hold{}), tr)
	contracts.TrailFrom(ctx).Attempt(contracts.Attempt{})
	if contracts.CallFrom(ctx) != c || contracts.HoldFrom(ctx) != (hold{}) || tr.n != 1 {
		t.Error("something was lost on the way")
	}
}

func TestSystemClock(t *testing.T) {
	var clock contracts.SystemClock
	if d := time.Since(clock.Now()); d < -time.Minute || d > time.Minute {
		t.Error("another time")
	}
	if err := contracts.Sleep(t.Context(), clock, clock.Now().Add(-time.Hour)); err != nil {
		t.Errorf("an instant that is past: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := contracts.Sleep(ctx, clock, clock.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	_, stop := clock.Timer(clock.Now().Add(time.Hour))
	stop()
	stop()
}

func TestAPinnedCallInsistsOnItsInstance(t *testing.T) {
	var asked *contracts.Call
	d := &desk{runner: func(_ context.Context, c *contracts.Call) (any, error) { asked = c; return answer{4}, nil }, ticket: contracts.Ticket{ID: "t"}}
	p := contracts.Pinned(d, "inad")
	call := contracts.NewCall(t.Context(), opFind.OpInfo, place{Town: "Bari"})
	call.At = "other"
	if _, err := p.Run(t.Context(), call); err != nil || asked.At != "inad" || asked.Request != call.Request {
		t.Errorf("run: %v, asked at %q", err, asked.At)
	}
	if got, err := p.Submit(t.Context(), call); err != nil || got.ID != "t" || d.call.At != "inad" {
		t.Errorf("submit: %v, asked at %q", err, d.call.At)
	}
	if got, err := p.Ticket(t.Context(), "t"); err != nil || got.ID != "t" {
		t.Errorf("ticket: %v, %v", got, err)
	}
	if call.At != "other" {
		t.Error("the caller's own call was changed")
	}
}
