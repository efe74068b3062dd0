package outbox_test

import (
	"fmt"
	"testing"

	"raccordo/contracts"
)

func TestWaitingListsWhatAnInstanceIsStillOwed(t *testing.T) {
	r := newRig(t)
	b, _ := says(opOnce, departs, receipts(opOnce))
	r.desk.bind("pec", b)
	r.open().start()
	var ids []string
	for i := range 5 {
		ids = append(ids, r.submit(newCall(opOnce, fmt.Sprint(i), ask{Who: fmt.Sprint(i)})).ID)
		equal(t, "after the exchange", r.state(ids[i]), contracts.StateWaiting)
	}
	r.tell("pec", event("1", "delivered", ids[1]))
	var got []string
	for after := ""; ; {
		page, err := r.box.Waiting(t.Context(), "pec", after, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, ticket := range page {
			after = ticket.ID
			got = append(got, ticket.ID)
			if len(ticket.Detail) == 0 || ticket.Since.IsZero() || ticket.State != contracts.StateWaiting || ticket.At != "pec" {
				t.Errorf("%+v", ticket)
			}
		}
		if len(page) < 3 {
			break
		}
	}
	equal(t, "waiting", fmt.Sprint(got), fmt.Sprint([]string{ids[0], ids[2], ids[3], ids[4]}))
	if other, err := r.box.Waiting(t.Context(), "inad", "", 10); err != nil || len(other) != 0 {
		t.Errorf("another instance: %v %v", other, err)
	}
}
