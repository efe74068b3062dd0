package hub_test

import (
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/contracts/domicile"
	"raccordo/mocks/lab"
)

// One person, from the register to the delivery receipt, with proof: the least that must work before anything else.
func TestOnePersonIsFoundAndReached(t *testing.T) {
	t.Parallel()
	r := newRig(t, massive)
	stop := r.pump()
	answer, err := domicile.Via(r.hub).Lookup(r.as("P-1"), query(t, lab.Who("personal-domicile")))
	stop()
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	use := answer.Domiciles[0]
	if use.Register != "INAD" || use.Role != "personal" {
		t.Errorf("register %q and role %q, want INAD and personal", use.Register, use.Role)
	}
	m := message(t, use.Address.Reveal(), "P-1")
	m.To[0].Basis = delivery.Basis{Kind: delivery.FromRegister, Register: use.Register, At: answer.AsOf}
	ticket, err := contracts.Submit(contracts.WithKey(r.as("P-1"), "code/P-1"), r.hub, delivery.OpSend, m)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	end := r.settled(ticket.ID)
	if end.State != contracts.StateDone {
		t.Fatalf("ticket %s: %v", end.State, end.Err)
	}
	d, err := contracts.Answer(r.as("P-1"), r.hub, delivery.OpSend, ticket.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Delivered() || len(d.IDs) != 1 || d.AcceptedAt.IsZero() {
		t.Errorf("dispatch %+v, want it accepted under one id and delivered", d)
	}
	if n := len(r.provider().Accepted()); n != 1 {
		t.Errorf("the provider took %d messages, want 1", n)
	}
	shown, err := r.hub.Ticket(r.as("P-1"), ticket.ID)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range shown.Story {
		kinds = append(kinds, e.Kind)
		for _, sum := range e.Proof {
			proof, err := r.hub.Proof(sum)
			if err != nil {
				t.Fatalf("proof of %s: %v", e.Kind, err)
			}
			proof.Close()
		}
	}
	if len(kinds) < 2 {
		t.Errorf("story %v, want acceptance and delivery", kinds)
	}
	report, err := r.hub.Ledger().Verify(t.Context())
	if err != nil {
		t.Errorf("ledger: %v", err)
	}
	if report.Entries < 5 {
		t.Errorf("%d entries, want look-up, submission, intent, outcome and receipts at least", report.Entries)
	}
}
