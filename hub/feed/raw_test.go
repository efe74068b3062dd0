package feed_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/feed"
	"raccordo/hub/store"
)

// receipt is an event with raw bytes that its proof names.
func receipt(id, ref string, raw []byte) contracts.Event {
	e := event(id, ref, "{}")
	e.Proof, e.Raw = []contracts.Sum{contracts.SumOf(raw)}, [][]byte{raw}
	return e
}

// proof reads what the archive holds; nil when it holds nothing.
func (r *rig) proof(sum contracts.Sum) []byte {
	r.Helper()
	f, err := r.proofs.Open(sum)
	if contracts.KindOf(err) == contracts.NotFound {
		return nil
	}
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		r.Fatal(err)
	}
	return b
}

func (r *rig) walk() (n int) {
	r.Helper()
	if err := r.proofs.Walk(context.Background(), func(contracts.Sum) error { n++; return nil }); err != nil {
		r.Fatal(err)
	}
	return n
}

func TestRawBytesAreKeptWithTheEvent(t *testing.T) {
	r := open(t)
	raw, other := []byte("receipt 1"), bytes.Repeat([]byte("x"), contracts.MaxRaw)
	two := receipt("2", "", other) // names no ticket: somebody else's, kept as it is
	two.Raw, two.Proof = append(two.Raw, []byte("its p7s")), append(two.Proof, contracts.SumOf([]byte("its p7s")))
	var told []contracts.Event
	r.folder.fail = func(e contracts.Event) error { told = append(told, e); return nil }
	f := &feeder{batches: [][]contracts.Event{{receipt("1", "t1", raw), two}, {receipt("1", "t1", raw)}}}
	equal(t, "new", r.pull(f), 2)
	equal(t, "receipt 1", string(r.proof(contracts.SumOf(raw))), "receipt 1")
	equal(t, "the largest there may be", bytes.Equal(r.proof(contracts.SumOf(other)), other), true)
	equal(t, "the second of one event", string(r.proof(contracts.SumOf([]byte("its p7s")))), "its p7s")
	equal(t, "folded", len(told), 1)
	equal(t, "raw bytes that a fold sees", len(told[0].Raw), 0)
	if err := r.proofs.Erase(t.Context(), contracts.SumOf(raw)); err != nil {
		t.Fatal(err)
	}
	equal(t, "new when it is read again", r.pull(f), 0)
	equal(t, "proofs: what is known keeps nothing twice, nor what was erased", r.walk(), 2)
}

// A crash between reading and commit, at each commit there is: event, bytes, fold and cursor are there together or not at
// all, and reading again makes it whole, once.
func TestRawBytesAndEventAppearTogetherOrNotAtAll(t *testing.T) {
	var many []contracts.Event
	for i := range 10 {
		many = append(many, receipt(fmt.Sprint(i), "t1", fmt.Appendf(nil, "receipt %d", i)))
	}
	r := open(t)
	r.cfg.Batch = 3
	r.reopen()
	var killed []*rig // as the disk was when the process died just before a commit
	r.commit = func(uint64) { killed = append(killed, r.copied()) }
	r.pull(&feeder{batches: [][]contracts.Event{many}})
	r.commit = nil
	equal(t, "commits", len(killed), 4)
	for i, k := range append(killed, r.copied()) {
		k.open()
		kept := min(3*i, 10)
		at := fmt.Sprintf(" when commit %d does not happen", i+1)
		equal(t, "events"+at, len(k.after("core", 0)), kept)
		equal(t, "folds"+at, len(k.folded()), kept)
		equal(t, "proofs"+at, k.walk(), kept)
		f := &feeder{batches: [][]contracts.Event{many}}
		equal(t, "new"+at, k.pull(f), 10-kept)
		equal(t, "from the beginning"+at, f.froms[0] == "", kept < 10)
		equal(t, "events at last"+at, len(k.after("core", 0)), 10)
		equal(t, "folds at last"+at, len(k.folded()), 10)
		equal(t, "proofs at last"+at, k.walk(), 10)
	}
}

func TestRawBytesOfAFaultyEventSurvive(t *testing.T) {
	big := bytes.Repeat([]byte("y"), contracts.MaxRaw+1)
	unnamed := receipt("unnamed", "t1", []byte("bytes that no proof names"))
	unnamed.Proof = nil
	huge := receipt("huge", "t1", []byte("bytes of one with too much data"))
	huge.Data = bytes.Repeat([]byte("1"), 2<<20)
	for _, c := range []struct {
		rule   string
		e      contracts.Event
		reason string
	}{
		{"larger than a commit takes", receipt("big", "t1", big), "its raw bytes are 262145, the limit is 262144"},
		{"not among its proofs", unnamed, "its proofs do not name its raw bytes"},
		{"without a name", receipt("", "t1", []byte("of the nameless")), "it has no ID"},
		{"with too much data", huge, "its data has"},
		{"refused by the fold", receipt("bad", "t1", []byte("no receipt")), "not a receipt"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := open(t)
			r.folder.fail = func(e contracts.Event) error {
				if e.ID == "bad" {
					return contracts.Errorf(contracts.Malformed, "not a receipt")
				}
				return nil
			}
			f := &feeder{batches: [][]contracts.Event{{c.e, receipt("good", "t1", []byte("good"))}}}
			equal(t, "new", r.pull(f), 2)
			lines(t, "folded", r.folded(), "pec good {}")
			aside, err := r.feed.Quarantined(t.Context(), 0, 0)
			if err != nil || len(aside) != 1 {
				t.Fatalf("set aside: %v, %v", aside, err)
			}
			if !strings.Contains(aside[0].Reason, c.reason) {
				t.Errorf("reason %q, want %q", aside[0].Reason, c.reason)
			}
			sum := contracts.SumOf(c.e.Raw[0])
			if len(aside[0].Proof) != 1 || aside[0].Proof[0] != sum {
				t.Errorf("proof %v, want %s", aside[0].Proof, sum)
			}
			equal(t, "its bytes", bytes.Equal(r.proof(sum), c.e.Raw[0]), true)
			equal(t, "counted as set aside", r.feed.Stats()[0].Aside, 1)
			equal(t, "counted as read", r.feed.Stats()[0].Read, 2)
		})
	}
}

// What was set aside for its bytes alone stands, once it is retried, where it would have stood.
func TestARetriedEventWithoutATicketWaitsForIt(t *testing.T) {
	r := open(t)
	unknown, foreign := receipt("unknown", "t9", []byte("a")), receipt("foreign", "", []byte("b"))
	unknown.Proof, foreign.Proof = nil, nil
	r.pull(&feeder{batches: [][]contracts.Event{{unknown, foreign}}})
	for seq := range uint64(2) {
		if err := r.feed.Retry(t.Context(), seq+1, "g", "mended"); err != nil {
			t.Fatal(err)
		}
	}
	held, err := r.feed.Unmatched(t.Context(), 0, 0)
	if err != nil || len(held) != 2 || held[0].Reason != "unknown" || held[1].Reason != "foreign" {
		t.Fatalf("unmatched: %v, %v", held, err)
	}
	r.folder.owners["t9"] = "core"
	if err := r.store.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
		n, err := r.feed.Adopt(tx, "t9")
		equal(t, "adopted", n, 1)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// Two nameless events with other bytes are two events: neither's bytes are lost with the other.
func TestNamelessEventsAreToldApartByTheirBytes(t *testing.T) {
	r := open(t)
	a, b := receipt("", "t1", []byte("a")), receipt("", "t1", []byte("b"))
	equal(t, "new", r.pull(&feeder{batches: [][]contracts.Event{{a, b, a}}}), 2)
	equal(t, "proofs", r.walk(), 2)
}

func TestABatchIsBoundedByItsBytesToo(t *testing.T) {
	r := open(t)
	var many []contracts.Event
	for i := range 40 { // ten megabytes
		many = append(many, receipt(fmt.Sprint(i), "t1", bytes.Repeat([]byte{byte(i)}, contracts.MaxRaw)))
	}
	commits := r.store.Stats().Commits
	equal(t, "new", r.pull(&feeder{batches: [][]contracts.Event{many}}), 40)
	if n := r.store.Stats().Commits - commits; n != 3 {
		t.Errorf("%d commits for ten megabytes, want 3 of four at most", n)
	}
	commits = r.store.Stats().Commits
	var small []contracts.Event
	for i := range feed.Default().Batch {
		small = append(small, receipt(fmt.Sprint("small ", i), "t1", fmt.Append(nil, i)))
	}
	flushes := r.store.Stats().Flushes
	r.pull(&feeder{batches: [][]contracts.Event{small}})
	equal(t, "commits of a full batch", r.store.Stats().Commits-commits, 1)
	equal(t, "each forced to the disk once", r.store.Stats().Flushes-flushes, 1)
}

// A copy of the database alone holds event and bytes: whoever restores it has both.
func TestACopyOfTheStoreHoldsTheRawBytes(t *testing.T) {
	r := open(t)
	r.pull(&feeder{batches: [][]contracts.Event{{receipt("1", "t1", []byte("receipt 1"))}}})
	there := r.copied()
	there.open()
	events := there.after("core", 0)
	if len(events) != 1 || string(there.proof(events[0].Proof[0])) != "receipt 1" {
		t.Errorf("in the copy: %v", events)
	}
}

func TestWithoutAnArchiveRawBytesStayUnread(t *testing.T) {
	r := open(t)
	var err error
	if r.feed, err = feed.Open(t.Context(), r.store, r.folder, r.ledger, r.cfg, feed.Options{Clock: r.clock}); err != nil {
		t.Fatal(err)
	}
	f := &feeder{batches: [][]contracts.Event{{receipt("1", "t1", []byte("receipt 1"))}}}
	if _, err := r.feed.Pull(t.Context(), "pec", f); contracts.KindOf(err) != contracts.Internal {
		t.Errorf("have %v", err)
	}
	lines(t, "kept", ids(r.after("core", 0)))
}
