package pec

import (
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

func TestMessageIsAcceptedThenDelivered(t *testing.T) {
	w := newWorld(t, nil)
	id := w.submit(t, "1", to("rossi@pec.cittadini.test"))
	ticket, d := w.follow(t, id, settled)
	if ticket.State != contracts.StateDone || !d.Delivered() || len(d.IDs) != 1 || d.AcceptedAt.IsZero() || len(d.Flags) != 0 {
		t.Fatalf("state %s (%v), dispatch %+v, faults %v, want delivered", ticket.State, ticket.Err, d, w.run.Faults())
	}
	if d.Recipients[0].Status != delivery.Delivered || kinds(ticket.Story) != "accettazione avvenuta-consegna" {
		t.Errorf("story %q", kinds(ticket.Story))
	}
	for i, e := range ticket.Story {
		if len(e.Proof) != 1 || e.Proof[0] != contracts.SumOf(w.kept[i]) {
			t.Errorf("event %d is not proven by the bytes that were archived", i)
		}
	}
}
