package hub_test

import (
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/mocks/pec"
)

// A message of which nothing was heard after its connection broke is handed over once more where the configuration says
// so, under the same Message-ID, and its receipts settle it.
func TestAMessageInDoubtIsHandedOverOnceMoreWhereConfigured(t *testing.T) {
	t.Parallel()
	r := newRig(t, with("    mailboxes:\n", "    in_doubt: resend_once\n    mailboxes:\n"))
	if err := r.provider().Order(pec.Order{Story: "cutbefore", Times: 1}); err != nil {
		t.Fatal(err)
	}
	x, err := contracts.Submit(contracts.WithKey(r.as("case-1"), "code/1"), r.hub, delivery.OpSend, message(t, "rossi@pec.cittadini.test", "case-1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.settled(x.ID); got.State != contracts.StateDone {
		t.Errorf("%s: %v", got.State, got.Err)
	}
	if n := len(r.provider().Accepted()); n != 1 {
		t.Errorf("the provider took it %d times, want once", n)
	}
	if n := r.bench.Sent("pec smtp message"); n != 2 {
		t.Errorf("handed over %d times, want twice", n)
	}
	if kept, err := r.hub.Tickets().Kept(t.Context(), x.ID); err != nil || len(kept) != 0 {
		t.Errorf("%d texts of a secret are kept: %v", len(kept), err)
	}
}
