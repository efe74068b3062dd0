package outbox_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"raccordo/contracts"
)

func TestAnUncertainTicketIsAskedAboutAndNeverRepeated(t *testing.T) {
	notYet := contracts.Errorf(contracts.Unavailable, "ask later")
	for _, c := range []struct {
		rule    string
		op      contracts.Op[ask, reply]
		answers []error // of the question, one after the other; the last one stays
		folds   bool
		want    contracts.State
		sent    int64
	}{
		{"an answer settles it", opOnce, []error{notYet, notYet, nil}, false, contracts.StateDone, 1},
		{"or lets it wait for events", opOnce, []error{nil}, true, contracts.StateWaiting, 1},
		{"it did not happen: a write goes again", opWrite, []error{contracts.NotFound}, false, contracts.StateDone, 2},
		{"a once does not", opOnce, []error{contracts.NotFound}, false, contracts.StateUncertain, 1},
		{"another error leaves it uncertain", opWrite, []error{contracts.Denied, contracts.Invalid, contracts.Malformed}, false, contracts.StateUncertain, 1},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			asked := 0
			opts := []contracts.Option[ask, reply]{contracts.Resolve(c.op, func(_ context.Context, a ask) (reply, error) {
				err := c.answers[min(asked, len(c.answers)-1)]
				asked++
				return reply{Who: "found"}, err
			})}
			if c.folds {
				opts = append(opts, receipts(c.op))
			}
			b, n := says(c.op, func(ctx context.Context, n int, a ask) (reply, error) {
				if err := contracts.HoldFrom(ctx).Depart(ctx); err != nil || n > 1 {
					return reply{}, err
				}
				return reply{}, contracts.Errorf(contracts.Uncertain, "lost")
			}, opts...)
			r.desk.bind("x", b)
			r.open().start()
			id := r.submit(newCall(c.op, "k", ask{Who: "a"})).ID
			equal(t, "at first", r.state(id), contracts.StateUncertain)
			equal(t, "asked at first", asked, 0)
			r.jump(48*time.Hour, nil)
			got := r.ticket(id)
			equal(t, "state", got.State, c.want)
			equal(t, "sent", n.Load(), c.sent)
			if asked == 0 || asked > 200 {
				t.Errorf("asked %d times in two days", asked)
			}
			if c.want == contracts.StateUncertain {
				kind(t, "its error stays that of the exchange", got.Err, contracts.Uncertain)
			}
		})
	}
}

func TestWhatIsKnownOfAnUncertainTicketIsShown(t *testing.T) {
	for _, known := range []contracts.Kind{contracts.Uncertain, contracts.Conflict} {
		t.Run(known.String(), func(t *testing.T) {
			r := newRig(t)
			b, n := says(opOnce, func(context.Context, int, ask) (reply, error) {
				return reply{}, contracts.Errorf(contracts.Uncertain, "lost")
			}, contracts.Resolve(opOnce, func(context.Context, ask) (reply, error) {
				return reply{}, &contracts.Error{Kind: known, Code: "DOUBT"}
			}))
			r.desk.bind("x", b)
			r.open().start()
			id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
			r.jump(time.Hour, nil)
			got := r.ticket(id)
			equal(t, "state", got.State, contracts.StateUncertain)
			equal(t, "sent", n.Load(), 1)
			kind(t, "its error", got.Err, contracts.Uncertain)
			equal(t, "code", got.Err.Code, "DOUBT")
		})
	}
}

func TestWithoutAQuestionOnlyEventsOrAPersonSettleIt(t *testing.T) {
	r := newRig(t)
	b, n := says(opOnce, func(context.Context, int, ask) (reply, error) {
		return reply{}, contracts.Errorf(contracts.Uncertain, "lost")
	}, receipts(opOnce))
	r.desk.bind("pec", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
	if next := r.quiet(); !next.IsZero() {
		t.Errorf("something falls due at %s", next)
	}
	r.tell("pec", event("1", "delivered", id))
	equal(t, "state", r.state(id), contracts.StateDone)
	equal(t, "sent", n.Load(), 1)
}

func TestAnEventDuringTheQuestionCounts(t *testing.T) {
	r := newRig(t)
	asking, goOn := make(chan struct{}), make(chan struct{})
	b, _ := says(opOnce, func(context.Context, int, ask) (reply, error) {
		return reply{}, contracts.Errorf(contracts.Uncertain, "lost")
	}, receipts(opOnce), contracts.Resolve(opOnce, func(context.Context, ask) (reply, error) {
		close(asking)
		<-goOn
		return reply{}, contracts.Errorf(contracts.Unavailable, "x")
	}))
	r.desk.bind("pec", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
	r.clock.Set(r.quiet())
	<-asking
	r.tell("pec", event("1", "delivered", id))
	close(goOn)
	equal(t, "state", r.state(id), contracts.StateDone)
}

func TestOperatorsMakeLegalMovesAndSignThem(t *testing.T) {
	type move struct {
		rule  string
		from  contracts.State
		do    func(r *rig, id string) error
		want  contracts.Kind // when refused
		state contracts.State
	}
	settle := func(to contracts.State, result string) func(r *rig, id string) error {
		return func(r *rig, id string) error {
			return r.box.Settle(r.Context(), id, to, json.RawMessage(result), "anna", "told by telephone")
		}
	}
	retry := func(r *rig, id string) error { return r.box.Retry(r.Context(), id, "anna", "the supplier asks us to") }
	const none = contracts.Kind(255)
	for _, c := range []move{
		{"queued to abandoned", contracts.StateQueued, settle(contracts.StateAbandoned, ""), none, contracts.StateAbandoned},
		{"queued to done is not known to be true", contracts.StateQueued, settle(contracts.StateDone, `{"who":"x"}`), contracts.Conflict, contracts.StateQueued},
		{"uncertain to done with a result", contracts.StateUncertain, settle(contracts.StateDone, `{"who":"x"}`), none, contracts.StateDone},
		{"uncertain to done without one", contracts.StateUncertain, settle(contracts.StateDone, ""), contracts.Invalid, contracts.StateUncertain},
		{"uncertain to done with nonsense", contracts.StateUncertain, settle(contracts.StateDone, `[]`), contracts.Invalid, contracts.StateUncertain},
		{"uncertain to failed", contracts.StateUncertain, settle(contracts.StateFailed, ""), none, contracts.StateFailed},
		{"failed with a result", contracts.StateUncertain, settle(contracts.StateFailed, `{}`), contracts.Invalid, contracts.StateUncertain},
		{"uncertain retried by who takes the responsibility", contracts.StateUncertain, retry, none, contracts.StateDone},
		{"failed retried", contracts.StateFailed, retry, none, contracts.StateDone},
		{"failed to abandoned", contracts.StateFailed, settle(contracts.StateAbandoned, ""), none, contracts.StateAbandoned},
		{"failed to done", contracts.StateFailed, settle(contracts.StateDone, `{}`), contracts.Conflict, contracts.StateFailed},
		{"queued retried", contracts.StateQueued, retry, contracts.Conflict, contracts.StateQueued},
		{"no end", contracts.StateUncertain, settle(contracts.StateWaiting, ""), contracts.Invalid, contracts.StateUncertain},
		{"no name", contracts.StateUncertain, func(r *rig, id string) error {
			return r.box.Settle(r.Context(), id, contracts.StateFailed, nil, " ", "x")
		}, contracts.Invalid, contracts.StateUncertain},
		{"no reason", contracts.StateUncertain, func(r *rig, id string) error { return r.box.Retry(r.Context(), id, "anna", "") }, contracts.Invalid, contracts.StateUncertain},
		{"no ticket", contracts.StateUncertain, func(r *rig, id string) error { return retry(r, "nothing") }, contracts.NotFound, contracts.StateUncertain},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			b, _ := says(opOnce, func(_ context.Context, n int, _ ask) (reply, error) {
				if n > 1 {
					return reply{Who: "second"}, nil
				}
				switch c.from {
				case contracts.StateQueued:
					return reply{}, &contracts.Error{Kind: contracts.Unavailable, After: time.Hour}
				case contracts.StateUncertain:
					return reply{}, contracts.Errorf(contracts.Uncertain, "lost")
				}
				return reply{}, contracts.Errorf(contracts.Invalid, "wrong")
			})
			r.desk.bind("x", b)
			r.open().start()
			id := r.submit(newCall(opOnce, "k", ask{})).ID
			equal(t, "before", r.state(id), c.from)
			before := len(r.ledger.all())
			err := c.do(r, id)
			var signed int
			for _, e := range r.ledger.all()[before:] {
				if e.Phase == contracts.PhaseOperator && e.Caller.User == "anna" && e.Reason != "" && e.Ref == id {
					signed++
				}
			}
			if c.want == none {
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "signed entries", signed, 1)
			} else {
				kind(t, "refusal", err, c.want)
				equal(t, "signed entries", signed, 0)
			}
			equal(t, "state", r.state(id), c.state)
		})
	}
}

func TestAnErasedMessageIsNotRetried(t *testing.T) {
	r := newRig(t)
	b, _ := says(opOnce, func(context.Context, int, ask) (reply, error) {
		return reply{}, contracts.Errorf(contracts.Invalid, "wrong")
	})
	r.desk.bind("x", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{Secret: "1234"})).ID
	equal(t, "state", r.state(id), contracts.StateFailed)
	kind(t, "retry", r.box.Retry(t.Context(), id, "anna", "x"), contracts.Conflict)
}
