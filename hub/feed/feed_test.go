package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/feed"
	"raccordo/hub/store"
)

func TestAnEventIsKeptAndFoldedOnce(t *testing.T) {
	r := open(t)
	f := &feeder{batches: [][]contracts.Event{
		{event("1", "t1", `{"a":1}`), event("2", "t1", `{}`)},
		{event("2", "t1", `{}`), event("3", "t1", `{}`)},
	}}
	equal(t, "new", r.pull(f), 2)
	equal(t, "new, one of two known", r.pull(f), 1)
	lines(t, "folded", r.folded(), `pec 1 {"a":1}`, "pec 2 {}", "pec 3 {}")
	lines(t, "cursors", f.froms, "", "after 0")
	got := r.after("core", 0)
	lines(t, "kept", ids(got), "1", "2", "3")
	e := got[0]
	if e.Owner != "core" || e.Source != "pec" || e.Seq == 0 || e.Seq == 99 || !e.At.Equal(morning) || string(e.Data) != `{"a":1}` ||
		len(e.Proof) != 1 || e.Proof[0] != contracts.SumOf([]byte("1")) {
		t.Errorf("kept event: %+v", e)
	}
	n, err := r.feed.Pull(t.Context(), "another", &feeder{batches: [][]contracts.Event{{event("1", "t1", "{}")}}})
	if err != nil || n != 1 {
		t.Errorf("the same ID at another instance: have %d, %v", n, err)
	}
}

func TestAnEventThatCannotBeFoldedIsSetAsideAlone(t *testing.T) {
	r := open(t)
	bad := true
	r.folder.fail = func(e contracts.Event) error {
		if e.ID == "2" && bad {
			return contracts.Errorf(contracts.Malformed, "not a receipt")
		}
		return nil
	}
	f := &feeder{batches: [][]contracts.Event{{event("1", "t1", "{}"), event("2", "t1", "{}"), event("3", "t1", "{}")}}}
	equal(t, "new", r.pull(f), 3)
	r.pull(f)
	equal(t, "cursor moved on", f.froms[1], "after 0")
	lines(t, "folded", r.folded(), "pec 1 {}", "pec 3 {}")
	aside, err := r.feed.Quarantined(t.Context(), 0, 0)
	if err != nil || len(aside) != 1 || aside[0].ID != "2" || !bytes.Contains([]byte(aside[0].Reason), []byte("not a receipt")) {
		t.Fatalf("set aside: %v, %v", aside, err)
	}
	equal(t, "entries of what was set aside", r.ledger.entries[0].Reason, "faulty")
	story, err := r.feed.Story(t.Context(), "t1")
	if err != nil {
		t.Fatal(err)
	}
	lines(t, "story, which its owner reads", ids(story), "1", "3")
	if err := r.feed.Retry(t.Context(), aside[0].Seq, "g", "mended"); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("retry before the adapter was mended: %v", err)
	}
	bad = false
	if err := r.feed.Retry(t.Context(), aside[0].Seq, "g", "mended"); err != nil {
		t.Fatal(err)
	}
	lines(t, "folded", r.folded(), "pec 1 {}", "pec 3 {}", "pec 2 {}")
	last := r.ledger.entries[len(r.ledger.entries)-1]
	equal(t, "who wanted it, and why", last.Phase+" "+last.Caller.User+" "+last.Reason, "operator g mended")
	lines(t, "readable", ids(r.after("core", 0)), "1", "3", "2")
	lines(t, "news for whoever had read what there was", ids(r.after("core", 3)), "2")
	r.pull(&feeder{batches: [][]contracts.Event{{event("4", "t1", "{}")}}})
	lines(t, "and what comes next is behind it", ids(r.after("core", 4)), "4")
	if err := r.feed.Retry(t.Context(), aside[0].Seq, "g", "mended"); contracts.KindOf(err) != contracts.NotFound {
		t.Errorf("retry of what is not set aside: %v", err)
	}
}

func TestWhatTheStoreRefusesIsPulledAgain(t *testing.T) {
	r := open(t)
	broken := true
	r.folder.fail = func(e contracts.Event) error {
		if e.ID == "2" && broken {
			return errors.New("disk")
		}
		return nil
	}
	f := &feeder{batches: [][]contracts.Event{{event("1", "t1", "{}"), event("2", "t1", "{}")}, {event("1", "t1", "{}"), event("2", "t1", "{}")}}}
	if _, err := r.feed.Pull(t.Context(), "pec", f); err == nil {
		t.Fatal("the failure is swallowed")
	}
	lines(t, "folded", r.folded())
	lines(t, "kept", ids(r.after("core", 0)))
	broken = false
	equal(t, "new", r.pull(f), 2)
	equal(t, "from the same place", f.froms[1], "")
}

func TestABatchIsBoundedAndItsCursorComesLast(t *testing.T) {
	r := open(t)
	r.cfg.Batch = 10
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	r.open()
	var many []contracts.Event
	for i := range 35 {
		many = append(many, event(fmt.Sprint(i), "t1", "{}"))
	}
	stopAt := "20"
	r.folder.fail = func(e contracts.Event) error {
		if e.ID == stopAt {
			return errors.New("disk")
		}
		return nil
	}
	f := &feeder{batches: [][]contracts.Event{many, many}}
	if _, err := r.feed.Pull(t.Context(), "pec", f); err == nil {
		t.Fatal("the failure is swallowed")
	}
	equal(t, "kept before the failure", len(r.folded()), 20)
	stopAt = ""
	equal(t, "new", r.pull(f), 15)
	equal(t, "cursor of a failed pull", f.froms[1], "")
	equal(t, "folded", len(r.folded()), 35)
}

func TestWhatNamesNoTicketIsKeptApart(t *testing.T) {
	r := open(t)
	f := &feeder{batches: [][]contracts.Event{{event("foreign", "", `{"secret":1}`), event("unknown", "t9", `{"x":1}`)}}}
	equal(t, "new", r.pull(f), 2)
	held, err := r.feed.Unmatched(t.Context(), 0, 0)
	if err != nil || len(held) != 2 {
		t.Fatalf("unmatched: %v, %v", held, err)
	}
	equal(t, "data of a foreign event", len(held[0].Data), 0)
	equal(t, "its proof", len(held[0].Proof), 1)
	equal(t, "its reason", held[0].Reason, "foreign")
	equal(t, "data of an unknown one", string(held[1].Data), `{"x":1}`)
	for _, reader := range []string{"core", "other"} {
		lines(t, reader+" sees", ids(r.after(reader, 0)))
	}
	adopt := func() (n int) {
		if err := r.store.Write(t.Context(), store.Accept, func(tx *store.Tx) (err error) {
			n, err = r.feed.Adopt(tx, "t9")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	equal(t, "adopted while nobody knows it", adopt(), 1)
	lines(t, "folded", r.folded())
	r.folder.owners["t9"] = "core"
	equal(t, "adopted when somebody does", adopt(), 1)
	equal(t, "adopted again", adopt(), 0)
	lines(t, "folded", r.folded(), `pec unknown {"x":1}`)
	lines(t, "core sees", ids(r.after("core", 0)), "unknown")
}

func TestAnEventThatIsNoneHoldsUpNothing(t *testing.T) {
	r := open(t)
	long := event("long", "t1", "{}")
	long.Ref = string(bytes.Repeat([]byte("x"), 600))
	huge := event("huge", "t1", "")
	huge.Data = bytes.Repeat([]byte("1"), 2<<20)
	nameless := event("", "t1", "{}")
	f := &feeder{batches: [][]contracts.Event{{nameless, long, huge, event("good", "t1", "{}")}, {nameless}}}
	equal(t, "new", r.pull(f), 4)
	equal(t, "new the second time", r.pull(f), 0)
	lines(t, "folded", r.folded(), "pec good {}")
	aside, err := r.feed.Quarantined(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "set aside", len(aside), 3)
}

func TestReadersSeeTheirOwnAndGoOnFromTheirCursor(t *testing.T) {
	r := open(t)
	r.pull(&feeder{batches: [][]contracts.Event{{event("1", "t1", "{}"), event("2", "t2", "{}"), event("3", "t1", "{}")}}})
	core, other := r.after("core", 0), r.after("other", 0)
	lines(t, "core", ids(core), "1", "3")
	lines(t, "other", ids(other), "2")
	lines(t, "core, further", ids(r.after("core", core[0].Seq)), "3")
	lines(t, "a stranger", ids(r.after("stranger", 0)))
	if _, err := r.feed.After(t.Context(), "", 0, 0); err == nil {
		t.Error("nobody may read everything")
	}
	page, err := r.feed.After(t.Context(), "core", 0, 1)
	if err != nil || len(page) != 1 {
		t.Errorf("a page of one: %v, %v", page, err)
	}
	for _, c := range []struct{ ack, want uint64 }{{core[0].Seq, core[0].Seq}, {core[1].Seq, core[1].Seq}, {core[0].Seq, core[1].Seq}, {1 << 63, core[1].Seq}} {
		if err := r.feed.Ack(t.Context(), "core", c.ack); err != nil {
			t.Fatal(err)
		}
		got, err := r.feed.Acked(t.Context(), "core")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprint("acknowledged after ", c.ack), got, c.want)
	}
}

func TestWaitReturnsWhenTheReadersOwnEventComes(t *testing.T) {
	r := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() { waited <- r.feed.Wait(ctx, "core", 0) }()
	r.pull(&feeder{batches: [][]contracts.Event{{event("1", "t2", "{}")}}})
	select {
	case err := <-waited:
		t.Fatalf("somebody else's event ended the wait: %v", err)
	default:
	}
	if err := r.store.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
		return r.feed.Tell(tx, contracts.Event{ID: "x", Kind: "ticket.settled", Ref: "t1", Owner: "core", At: morning})
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := r.feed.Wait(ctx, "other", 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("when the context ends: %v", err)
	}
}

func TestAStoryIsAllThatWasToldOfATicket(t *testing.T) {
	r := open(t)
	r.pull(&feeder{batches: [][]contracts.Event{{event("1", "t1", "{}"), event("2", "t2", "{}")}}})
	tell := func() {
		if err := r.store.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
			return r.feed.Tell(tx, contracts.Event{ID: "done", Kind: "ticket.settled", Ref: "t1", Owner: "core", At: morning})
		}); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	tell() // the same fact once more
	story, err := r.feed.Story(t.Context(), "t1")
	if err != nil {
		t.Fatal(err)
	}
	lines(t, "story", ids(story), "1", "done")
	err = r.store.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
		events, err := r.feed.Events(tx, "t1")
		lines(t, "what far sides told", ids(events), "1")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDataLiesSealed(t *testing.T) {
	r := open(t)
	r.pull(&feeder{batches: [][]contracts.Event{{event("1", "t1", `{"who":"RSSMRA85T10A562S"}`), event("2", "", `{"who":"BNCLRA90A41F205X"}`)}}})
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(r.path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// The test's own folder writes what it folds in clear, into a table of its own.
		for _, code := range []string{"BNCLRA90A41F205X"} {
			if bytes.Contains(b, []byte(code)) {
				t.Errorf("%s holds a code in clear", filepath.Base(name))
			}
		}
		if n := bytes.Count(b, []byte("RSSMRA85T10A562S")); n > 1 {
			t.Errorf("%s holds a code in clear %d times", filepath.Base(name), n)
		}
	}
}

func TestRunPullsAtOnceWhileSomethingComesThenAtItsPaceAndBacksOff(t *testing.T) {
	r := open(t)
	down := contracts.Errorf(contracts.Unavailable, "down")
	f := &feeder{batches: [][]contracts.Event{{event("1", "t1", "{}")}, {event("2", "t1", "{}")}}, errs: []error{nil, nil, nil, down, down, nil}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.feed.Run(ctx, "pec", f) }()
	next := func() time.Duration {
		<-r.clock.Asked() // it sleeps
		at, quiet := r.feed.Idle()
		equal(t, "quiet while it sleeps", quiet, true)
		return at.Sub(r.clock.Now())
	}
	equal(t, "wait when nothing came", next(), time.Minute)
	equal(t, "calls", f.called(), 3)
	equal(t, "heard", r.feed.Heard("pec").Equal(morning), true)
	equal(t, "heard of another", r.feed.Heard("x").IsZero(), true)
	if err := r.feed.Run(ctx, "pec", f); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("a second puller: %v", err)
	}
	r.clock.Advance(time.Minute)
	first := next()
	r.clock.Advance(first)
	second := next()
	if first < time.Minute || first > 2*time.Minute || second < time.Minute || second > 4*time.Minute {
		t.Errorf("waits after failures: %s, %s", first, second)
	}
	r.clock.Advance(second)
	equal(t, "wait when it works again", next(), time.Minute)
	at, _ := r.feed.Idle()
	r.clock.late.Store(int64(at.Sub(r.clock.Now()))) // due, but its timer has not fired yet
	if _, quiet := r.feed.Idle(); quiet {
		t.Error("quiet though a reading is due")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if at, quiet := r.feed.Idle(); !quiet || !at.IsZero() {
		t.Errorf("without pullers: %s, %v", at, quiet)
	}
}

// A mailbox that was renumbered is told again from its beginning, batch by batch: that nothing is new in a batch does not
// mean that nothing is new behind it.
func TestWhatIsToldAgainIsReadThroughAtOnce(t *testing.T) {
	r := open(t)
	before := &feeder{batches: [][]contracts.Event{{event("1", "t1", "{}")}, {event("2", "t1", "{}")}}}
	r.pull(before)
	r.pull(before)
	again := &feeder{batches: [][]contracts.Event{{event("1", "t1", "{}")}, {event("2", "t1", "{}")}, {event("3", "t1", "{}")}}}
	equal(t, "new in the first batch", r.pull(again), 0)
	if !r.feed.Heard("pec").IsZero() {
		t.Error("all counts as heard, with a batch that moved the cursor")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.feed.Run(ctx, "pec", again) }()
	<-r.clock.Asked() // it sleeps
	equal(t, "calls before it sleeps", again.called(), 4)
	equal(t, "folded", len(r.folded()), 3)
	equal(t, "heard", r.feed.Heard("pec").Equal(morning), true)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type panics struct{}

func (panics) Feed(context.Context, contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	panic("RSSMRA85T10A562S")
}
func (panics) Every() time.Duration { return time.Minute }

func TestAFeederThatPanicsIsAnError(t *testing.T) {
	r := open(t)
	_, err := r.feed.Pull(t.Context(), "pec", panics{})
	if contracts.KindOf(err) != contracts.Internal || bytes.Contains([]byte(err.Error()), []byte("RSSMRA")) {
		t.Errorf("have %v", err)
	}
}

func TestEventsGoAfterTheirRetentionOnceTheyWereRead(t *testing.T) {
	r := open(t)
	r.cfg.Retention, r.cfg.Unread = 24*time.Hour, 240*time.Hour
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	r.open()
	f := &feeder{batches: [][]contracts.Event{{event("read", "t1", "{}"), event("unread", "t2", "{}"), event("foreign", "", "")}}}
	r.pull(f)
	if err := r.feed.Ack(t.Context(), "core", 1); err != nil {
		t.Fatal(err)
	}
	left := func() (n int) {
		if err := r.store.Read(t.Context(), func(v *store.View) error { return v.QueryRow(`SELECT count(*) FROM feed_event`).Scan(&n) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	sweep := func(d time.Duration) int {
		r.clock.Advance(d)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.feed.Run(ctx, "pec", f) }()
		<-r.clock.Asked()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return left()
	}
	equal(t, "left at first", sweep(time.Hour), 3)
	equal(t, "left after the retention", sweep(25*time.Hour), 1)
	equal(t, "left when nobody will read it", sweep(240*time.Hour), 0)
}

func TestConfigNamesEveryFault(t *testing.T) {
	if err := feed.Default().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := feed.Config{}.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) < 4 {
		t.Errorf("an empty configuration: %v", err)
	}
}
