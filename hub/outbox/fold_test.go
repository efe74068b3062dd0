package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"raccordo/contracts"
)

// receipts folds events by their kind; the answer counts what it has seen.
func receipts[Req any](op contracts.Op[Req, reply]) contracts.Option[Req, reply] {
	return contracts.OnEvent(op, func(_ Req, so reply, e contracts.Event) (reply, contracts.Move, error) {
		var m contracts.Move
		switch e.Kind {
		case "accepted":
			m.To = contracts.StateWaiting
		case "delivered":
			m.To = contracts.StateDone
		case "refused":
			m = contracts.Move{To: contracts.StateFailed, Err: contracts.Errorf(contracts.NotFound, "no such mailbox")}
		case "open":
			m.To = contracts.StateUncertain
		case "noise":
		case "odd":
			return so, m, errors.New("not a receipt")
		case "nonsense":
			m.To = contracts.StateRunning
		case "panic":
			panic("in the fold")
		}
		so.Seen = append(so.Seen, e.ID)
		return so, m, nil
	})
}

func event(id, kind, ref string) contracts.Event {
	return contracts.Event{ID: id, Kind: kind, Ref: ref, At: morning, Proof: []contracts.Sum{contracts.SumOf([]byte(id))}}
}

func TestEventsEndWhatWaits(t *testing.T) {
	r := newRig(t)
	b, n := says(opOnce, departs, receipts(opOnce))
	r.desk.bind("pec", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
	equal(t, "after the exchange", r.state(id), contracts.StateWaiting)
	equal(t, "answer so far", string(r.ticket(id).Detail), `{"who":"a"}`)
	r.tell("pec", event("1", "accepted", id))
	equal(t, "after acceptance", r.state(id), contracts.StateWaiting)
	r.tell("pec", event("1", "accepted", id), event("2", "delivered", id))
	got := r.ticket(id)
	equal(t, "after delivery", got.State, contracts.StateDone)
	equal(t, "answer", string(got.Result), `{"who":"a","seen":["1","2"]}`)
	equal(t, "exchanges", n.Load(), 1)
	lines(t, "entries", r.ledger.of(id), "submitted@pec", "intent@pec", "outcome ok@pec", "event accepted@pec", "event delivered@pec")
}

func TestEachMoveOfAnEvent(t *testing.T) {
	for _, c := range []struct {
		kind  string
		want  contracts.State
		aside int
	}{
		{"accepted", contracts.StateWaiting, 0},
		{"delivered", contracts.StateDone, 0},
		{"refused", contracts.StateFailed, 0},
		{"open", contracts.StateUncertain, 0},
		{"noise", contracts.StateWaiting, 0},
		{"odd", contracts.StateWaiting, 1},
		{"nonsense", contracts.StateWaiting, 1},
		{"panic", contracts.StateWaiting, 1},
	} {
		t.Run(c.kind, func(t *testing.T) {
			r := newRig(t)
			b, _ := says(opOnce, departs, receipts(opOnce))
			r.desk.bind("pec", b)
			r.open().start()
			id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
			r.quiet()
			equal(t, "kept", r.tell("pec", event("1", c.kind, id), event("2", "noise", id)), 2)
			got := r.ticket(id)
			equal(t, "state", got.State, c.want)
			if c.want == contracts.StateFailed {
				kind(t, "failure", got.Failure(), contracts.NotFound)
			}
			aside, err := r.feed.Quarantined(t.Context(), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "set aside", len(aside), c.aside)
			for _, h := range aside {
				equal(t, "which", h.ID, "1")
			}
		})
	}
}

func TestALateReceiptMovesASettledTicket(t *testing.T) {
	r := newRig(t)
	b, _ := says(opOnce, departs, receipts(opOnce))
	r.desk.bind("pec", b)
	r.open().start()
	id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
	r.quiet()
	r.tell("pec", event("1", "refused", id))
	equal(t, "refused", r.state(id), contracts.StateFailed)
	r.tell("pec", event("2", "accepted", id))
	equal(t, "an event that ends nothing", r.state(id), contracts.StateFailed)
	r.tell("pec", event("3", "delivered", id))
	got := r.ticket(id)
	equal(t, "delivered", got.State, contracts.StateDone)
	if got.Err != nil {
		t.Errorf("error of a ticket that is done: %v", got.Err)
	}
	story, err := r.feed.Story(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var told int
	for _, e := range story {
		if e.Kind == "ticket.settled" {
			told++
		}
	}
	equal(t, "times its owner was told", told, 2)
}

func TestEventsThatOvertakeTheAnswerAreFoldedOntoIt(t *testing.T) {
	for _, c := range []struct {
		rule   string
		told   []string
		answer error
		want   contracts.State
		detail string
	}{
		{"the answer comes, then counts what came", []string{"accepted"}, nil, contracts.StateWaiting, `{"who":"a","seen":["0"]}`},
		{"an end that came is an end", []string{"accepted", "delivered"}, nil, contracts.StateDone, `{"who":"a","seen":["0","1"]}`},
		{"a failure that came is one", []string{"refused"}, nil, contracts.StateFailed, `{"who":"a","seen":["0"]}`},
		{"a failure that came gives the reason, whatever became of the answer", []string{"refused"}, contracts.Errorf(contracts.Uncertain, "lost"), contracts.StateFailed, `{"who":"","seen":["0"]}`},
		{"a lost answer is made good by an event", []string{"accepted"}, contracts.Errorf(contracts.Uncertain, "lost"), contracts.StateWaiting, `{"who":"","seen":["0"]}`},
		{"it is not sent again when an event says that it was", []string{"accepted"}, contracts.Errorf(contracts.Unavailable, "busy"), contracts.StateWaiting, `{"who":"","seen":["0"]}`},
		{"an event that moves nothing proves nothing", []string{"noise"}, contracts.Errorf(contracts.Uncertain, "lost"), contracts.StateUncertain, `{"who":"","seen":["0"]}`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			began, goOn := make(chan string, 1), make(chan struct{})
			b, n := says(opOnce, func(ctx context.Context, _ int, a ask) (reply, error) {
				h := contracts.HoldFrom(ctx)
				if err := h.Depart(ctx); err != nil {
					return reply{}, err
				}
				began <- h.ID()
				<-goOn
				return reply{Who: a.Who}, c.answer
			}, receipts(opOnce))
			r.desk.bind("pec", b)
			r.open().start()
			r.submit(newCall(opOnce, "k", ask{Who: "a"}))
			id := <-began
			for i, kind := range c.told {
				r.tell("pec", event(fmt.Sprint(i), kind, id))
			}
			equal(t, "while it runs", r.ticket(id).State, contracts.StateRunning)
			close(goOn)
			r.jump(time.Hour, nil)
			got := r.ticket(id)
			equal(t, "state", got.State, c.want)
			answer := got.Result
			if !got.State.Settled() {
				answer = got.Detail
			}
			equal(t, "answer", string(answer), c.detail)
			equal(t, "exchanges", n.Load(), 1)
			if c.want == contracts.StateFailed {
				kind(t, "reason", got.Failure(), contracts.NotFound)
			}
		})
	}
}

func TestAnEventForAQueuedTicketKeepsItFromBeingSentAgain(t *testing.T) {
	r := newRig(t)
	b, n := says(opOnce, departs, receipts(opOnce))
	r.desk.bind("pec", b)
	r.open()
	id := r.submit(newCall(opOnce, "k", ask{Who: "a"})).ID
	r.tell("pec", event("1", "accepted", id))
	r.start()
	equal(t, "state", r.state(id), contracts.StateWaiting)
	equal(t, "exchanges", n.Load(), 0)
}

func TestEventsThatCameBeforeTheirTicketAreFoldedWhenItIsPut(t *testing.T) {
	r := newRig(t)
	b, n := says(opOnce, departs, receipts(opOnce))
	r.desk.bind("pec", b)
	r.open().start()
	id := contracts.TicketID("core", "test.once", "k")
	r.tell("pec", event("1", "accepted", id), event("2", "delivered", id))
	held, err := r.feed.Unmatched(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "unmatched", len(held), 2)
	got := r.submit(newCall(opOnce, "k", ask{Who: "a"}))
	equal(t, "state", got.State, contracts.StateDone)
	equal(t, "answer", string(got.Result), `{"who":"","seen":["1","2"]}`)
	r.quiet()
	equal(t, "exchanges", n.Load(), 0)
	if held, err = r.feed.Unmatched(t.Context(), 0, 0); err != nil || len(held) != 0 {
		t.Errorf("unmatched: have %d, %v", len(held), err)
	}
	events, err := r.feed.After(t.Context(), "core", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "its owner's events", len(events), 3)
}

func TestASecretIsErasedWhenItsTicketIsSettled(t *testing.T) {
	for _, c := range []struct {
		rule string
		end  func(r *rig, id string)
	}{
		{"by a receipt", func(r *rig, id string) { r.tell("pec", event("1", "delivered", id)) }},
		{"by a refusal", func(r *rig, id string) { r.tell("pec", event("1", "refused", id)) }},
		{"by a person", func(r *rig, id string) {
			if err := r.box.Settle(r.Context(), id, contracts.StateAbandoned, nil, "op", "no more"); err != nil {
				r.Fatal(err)
			}
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			message := []byte("message with code 1234")
			b, _ := says(opOnce, func(ctx context.Context, _ int, a ask) (reply, error) {
				if _, err := contracts.HoldFrom(ctx).Keep(ctx, "message", func() ([]byte, error) { return message, nil }); err != nil {
					return reply{}, err
				}
				return departs(ctx, 0, a)
			}, receipts(opOnce))
			r.desk.bind("pec", b)
			r.open().start()
			id := r.submit(newCall(opOnce, "k", ask{Who: "a", Secret: "1234"})).ID
			r.quiet()
			kept, err := r.box.Kept(t.Context(), id)
			if err != nil || len(kept) != 1 || string(kept[0].Bytes) != string(message) {
				t.Fatalf("kept while it waits: %v, %v", kept, err)
			}
			c.end(r, id)
			if kept, err = r.box.Kept(t.Context(), id); err != nil || len(kept) != 0 {
				t.Errorf("kept when settled: %d, %v", len(kept), err)
			}
			var proved bool
			for _, e := range r.ledger.all() {
				for _, sum := range e.Proof {
					proved = proved || sum == contracts.SumOf(message)
				}
			}
			if !proved {
				t.Error("the digest of the erased bytes stands in no entry")
			}
			req, err := r.box.Request(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "request", req.(ask), ask{Who: "a", Digest: contracts.SumOf([]byte("1234")).String()})
			r.tell("pec", event("9", "delivered", id)) // a late receipt finds the redacted request
			equal(t, "in the end", r.state(id), contracts.StateDone)
			if r.submit(newCall(opOnce, "k", ask{Who: "a", Secret: "1234"})).ID != id {
				t.Error("the whole request under the key is another ticket")
			}
			_, err = r.box.Submit(t.Context(), newCall(opOnce, "k", ask{Who: "a", Secret: "9999"}))
			kind(t, "another secret under the key", err, contracts.Conflict)
		})
	}
}
