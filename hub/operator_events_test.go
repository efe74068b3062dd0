package hub_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub"
	"raccordo/hub/ledger"
)

// An odd adapter hands over bytes that its event does not name.
type odd struct{ told bool }

func (o *odd) Feed(context.Context, contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	if o.told {
		return nil, contracts.Cursor("1"), nil
	}
	o.told = true
	return []contracts.Event{
		{ID: "faulty", Kind: "odd.receipt", Ref: "no-such-ticket", Raw: [][]byte{[]byte("bytes that nobody named")}},
		{ID: "foreign", Kind: "odd.letter"},
	}, contracts.Cursor("1"), nil
}
func (*odd) Every() time.Duration { return time.Minute }

// What moved no ticket is not out of sight: operators list it, read its bytes and have it folded again, near or remote,
// and each intervention has a name and a reason.
func TestOperatorsSeeWhatMovedNoTicket(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if n, err := r.hub.Feed().PullSource(t.Context(), "pec", "odd", &odd{}); n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	far := operated(t, r)
	var seq uint64
	for name, o := range map[string]hub.Operator{"near": r.hub, "remote": far} {
		aside, err := o.HeldEvents(t.Context(), false, 0, 0)
		if err != nil || len(aside) != 1 || aside[0].ID != "faulty" || aside[0].Reason != "its proofs do not name its raw bytes" {
			t.Fatalf("%s: set aside: %+v, %v", name, aside, err)
		}
		seq = aside[0].Seq
		if rest, err := o.HeldEvents(t.Context(), false, seq, 0); err != nil || len(rest) != 0 {
			t.Errorf("%s: behind the last: %v, %v", name, rest, err)
		}
		unmatched, err := o.HeldEvents(t.Context(), true, 0, 0)
		if err != nil || len(unmatched) != 1 || unmatched[0].ID != "foreign" || unmatched[0].Reason != "foreign" {
			t.Fatalf("%s: unmatched: %+v, %v", name, unmatched, err)
		}
		var got bytes.Buffer
		if err := o.ReadProof(t.Context(), &got, aside[0].Proof[0], "g", "why"); err != nil || got.String() != "bytes that nobody named" {
			t.Errorf("%s: proof %q, %v", name, got.String(), err)
		}
		got.Reset()
		if err := o.ReadProof(t.Context(), &got, contracts.SumOf([]byte("none")), "g", "why"); contracts.KindOf(err) != contracts.NotFound || got.Len() > 0 {
			t.Errorf("%s: a proof that is not there: %v, %d bytes", name, err, got.Len())
		}
		for _, c := range [][2]string{{"", "why"}, {"g", " "}} {
			if err := o.ReadProof(t.Context(), &got, aside[0].Proof[0], c[0], c[1]); contracts.KindOf(err) != contracts.Invalid || got.Len() > 0 {
				t.Errorf("%s: unsigned: %v", name, err)
			}
			if err := o.RetryEvent(t.Context(), seq, c[0], c[1]); contracts.KindOf(err) != contracts.Invalid {
				t.Errorf("%s: unsigned: %v", name, err)
			}
		}
	}
	if err := far.RetryEvent(t.Context(), seq, "g", "mended"); err != nil {
		t.Fatal(err)
	}
	if err := far.RetryEvent(t.Context(), seq, "g", "mended"); contracts.KindOf(err) != contracts.NotFound {
		t.Errorf("a second time: %v", err)
	}
	if aside, err := r.hub.HeldEvents(t.Context(), false, 0, 0); err != nil || len(aside) != 0 {
		t.Errorf("still set aside: %v, %v", aside, err)
	}
	entries, err := r.hub.Ledger().Entries(t.Context(), ledger.Query{Max: 1000})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, e := range entries {
		if e.Phase == contracts.PhaseOperator {
			told[fmt.Sprint(e.Outcome, " by ", e.Caller.User, ": ", e.Reason)]++
		}
	}
	if told["proof read by g: why"] != 2 || told["event folded again by g: mended"] != 1 || len(told) != 2 {
		t.Errorf("in the ledger: %v", told)
	}
}
