package pec

import (
	"testing"
	"time"

	"raccordo/contracts"
	mock "raccordo/mocks/pec"
)

// A message that was not taken at first keeps its bytes, and their Date; the time in which its acceptance is due runs from
// when it left the last time, or it would be given up, or sent once more, while its acceptance is on the way.
func TestSilenceCountsFromTheLastDeparture(t *testing.T) {
	w, _ := newPool(t, 1, func(c *Config) { c.InDoubt = inDoubtResend })
	b, h, m := w.boxes[0], fresh(1), to("rossi@pec.cittadini.test")
	for range 2 {
		if err := w.mock.Order(mock.Order{Story: "tempfail", Mailbox: b.Address, Times: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.sendFrom(t, b, h, m); contracts.KindOf(err) != contracts.Unavailable {
			t.Fatalf("the dot is answered 451: %v", err)
		}
		w.bench.Advance(65 * time.Minute)
	}
	w.inDoubt(t, b, h, m, "cutbefore")
	ctx, _ := with(t, h)
	w.bench.Advance(time.Minute)
	_, err := w.resolve(ctx, m)
	if e := contracts.AsError(err); e == nil || e.Kind != contracts.Uncertain || e.Code != "" || h.kept[keptResent] != nil {
		t.Errorf("a minute after it left: %v", err)
	}
	if n := len(w.mock.Accepted()); n != 0 {
		t.Errorf("handed over again at once: %d", n)
	}
	w.bench.Advance(time.Hour)
	if _, err := w.resolve(ctx, m); err != nil || h.kept[keptResent] == nil {
		t.Errorf("an hour after it left: %v", err)
	}
}

// A mailbox that does not send any more never has its turn: then a person is asked, whatever the policy.
func TestADrainedMailboxSendsNothingOnceMore(t *testing.T) {
	w, _ := newPool(t, 1, func(c *Config) { c.InDoubt = inDoubtResend })
	b, h, m := w.boxes[0], fresh(1), to("rossi@pec.cittadini.test")
	w.inDoubt(t, b, h, m, "cutbefore")
	b.Drain = true
	w.bench.Advance(2 * time.Hour)
	_, err := w.resolve(contracts.WithHold(t.Context(), h), m)
	if e := contracts.AsError(err); e == nil || e.Kind != contracts.Uncertain || e.Code != "NO_ACCEPTANCE" || h.kept[keptResent] != nil {
		t.Errorf("%v", err)
	}
}

// Nor is one waited for that speaks for another role by now: the message is bound to it, and somebody must hear of that.
func TestAMessageBoundToAMailboxOfAnotherRoleIsRefused(t *testing.T) {
	w, _ := newPool(t, 2, nil)
	b, h, m := w.boxes[0], fresh(1), to("rossi@pec.cittadini.test")
	if err := w.mock.Order(mock.Order{Story: "tempfail", Mailbox: b.Address, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sendFrom(t, b, h, m); contracts.KindOf(err) != contracts.Unavailable {
		t.Fatalf("the dot is answered 451: %v", err)
	}
	w.pools["centrale"].boxes = w.boxes[1:]
	_, err := w.sendFrom(t, w.boxes[1], h, m)
	if contracts.KindOf(err) != contracts.Conflict || len(w.mock.Accepted()) != 0 {
		t.Errorf("%v, want conflict", err)
	}
}
