package feed_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A mailbox tells events 1 to n, whatever we say that we have.
func mailboxOf(n int) *source {
	return &source{every: time.Minute, feed: func(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
		if string(from) == fmt.Sprint(n) {
			return nil, from, nil
		}
		var all []contracts.Event
		for i := range n {
			all = append(all, event(fmt.Sprint(i+1), "t1", "{}"))
		}
		return all, contracts.Cursor(fmt.Sprint(n)), nil
	}}
}

// A reader goes on from where it was. Whatever was told since the copy was made, and what comes for the first time, is
// numbered behind that: it hears some things again, by their ids, and misses nothing. So it is at a second restore.
func TestAReaderAheadOfARestoredCopyMissesNothing(t *testing.T) {
	r := open(t)
	r.pull(mailboxOf(3))
	seen := r.after("core", 0)
	copies := []*rig{r.copied(), r.copied()}
	r.pull(mailboxOf(5))
	seen = append(seen, r.after("core", seen[2].Seq)...)
	lines(t, "before the restore", ids(seen), "1", "2", "3", "4", "5")
	at := seen[4].Seq
	for i, there := range copies {
		r.clock.Advance(time.Hour)
		there.recovered = true
		there.open()
		lines(t, "at first", ids(there.after("core", at)))
		there.pull(mailboxOf(6 + i))
		got := there.after("core", at)
		want := []string{"4", "5", "6", "7"}[:3+i]
		lines(t, "what it hears then", ids(got), want...)
		if err := there.feed.Ack(t.Context(), "core", got[0].Seq); err != nil {
			t.Fatal(err)
		}
		if acked, err := there.feed.Acked(t.Context(), "core"); err != nil || acked != got[0].Seq {
			t.Errorf("acknowledged %d, %v", acked, err)
		}
		at = got[len(got)-1].Seq
		if at >= 1<<53 {
			t.Errorf("number %d is more than a JSON reader can hold", at)
		}
		there.reopen() // still a restored copy: the numbers go on
		there.pull(mailboxOf(8 + i))
		lines(t, "after another start", ids(there.after("core", at)), []string{"7", "8", "9"}[i:2+i]...)
		at = there.after("core", at)[1].Seq
	}
}

// Where nobody said that the store is an older copy, a reader that is ahead of it is told, not left to wait.
func TestAReaderAheadOfAnUnnoticedCopyIsTold(t *testing.T) {
	r := open(t)
	r.pull(mailboxOf(3))
	there := r.copied()
	there.open()
	if got := there.after("core", 3); len(got) != 0 {
		t.Errorf("behind the last: %v", got)
	}
	if _, err := there.feed.After(t.Context(), "core", 4, 0); contracts.KindOf(err) != contracts.Conflict || !strings.Contains(err.Error(), "begin again at 0") {
		t.Errorf("reading ahead: %v", err)
	}
	if err := there.feed.Wait(t.Context(), "core", 4); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("waiting ahead: %v", err)
	}
	empty := open(t)
	if got := empty.after("core", 0); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := empty.feed.Wait(ctx, "core", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for the first: %v", err)
	}
}

func TestANumberIsNeverGivenTwice(t *testing.T) {
	r := open(t)
	r.pull(&feeder{batches: [][]contracts.Event{{event("early", "t9", "{}"), event("1", "t1", "{}")}}})
	r.folder.owners["t9"] = "core"
	if err := r.store.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
		_, err := r.feed.Adopt(tx, "t9")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	last := r.after("core", 2)
	lines(t, "adopted, and news", ids(last), "early")
	if err := r.store.Write(t.Context(), store.Settle, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM feed_event WHERE seq = ?`, int64(last[0].Seq))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r.pull(&feeder{batches: [][]contracts.Event{{event("2", "t1", "{}")}}})
	lines(t, "what comes next is behind it", ids(r.after("core", last[0].Seq)), "2")
}
