package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

// A mailbox of the model: its messages, and whether it was renumbered, so that it is told from its beginning.
type modelBox struct {
	name     string
	told     int
	validity int
}

func (m *modelBox) Feed(_ context.Context, from contracts.Cursor) (batch []contracts.Event, _ contracts.Cursor, _ error) {
	var at struct{ Validity, Read int }
	if len(from) > 0 {
		if err := json.Unmarshal(from, &at); err != nil {
			return nil, nil, err
		}
	}
	if at.Validity != m.validity {
		at.Validity, at.Read = m.validity, 0
	}
	for ; at.Read < m.told && len(batch) < 4; at.Read++ {
		batch = append(batch, m.message(at.Read))
	}
	next, err := json.Marshal(at)
	return batch, next, err
}

func (m *modelBox) Every() time.Duration { return time.Minute }

func (m *modelBox) message(n int) contracts.Event {
	return receipt(fmt.Sprintf("%s/%d", m.name, n), "t1", fmt.Appendf(nil, "receipt %s %d", m.name, n))
}

// Whatever fails, crashes, is renumbered or restored, each message is kept and folded once with its bytes, and a reader
// that goes on from where it was hears of each.
func TestEveryMessageCountsOnceWhateverHappens(t *testing.T) {
	rapid.Check(t, func(c *rapid.T) {
		boxes := []*modelBox{{name: "a"}, {name: "b"}, {name: "c"}}
		r := open(t)
		r.cfg.Batch = 3
		r.reopen()
		var failing bool
		r.folder.fail = func(contracts.Event) error {
			if failing {
				return errors.New("disk")
			}
			return nil
		}
		defer func() { _ = r.store.Close() }()
		heard, at := map[string]bool{}, uint64(0)
		follow := func() {
			for _, e := range r.after("core", at) {
				heard[e.ID], at = true, e.Seq
			}
		}
		pull := func(b *modelBox) error {
			_, err := r.feed.PullSource(context.Background(), "pec", b.name, b)
			return err
		}
		backup := r.copied()
		takeUp := func(there *rig, recovered bool) {
			_ = r.store.Close()
			there.folder, there.clock, there.recovered = r.folder, r.clock, recovered
			*r = *there
			r.open()
		}
		for range rapid.IntRange(1, 25).Draw(c, "steps") {
			b := rapid.SampledFrom(boxes).Draw(c, "mailbox")
			switch rapid.SampledFrom([]string{"mail", "mail", "read", "read", "read", "fail", "crash", "renumber", "backup", "restore", "follow", "follow"}).Draw(c, "step") {
			case "mail":
				b.told += rapid.IntRange(1, 6).Draw(c, "messages")
			case "read":
				if err := pull(b); err != nil {
					c.Fatal(err)
				}
			case "fail":
				failing = true
				_ = pull(b) // nothing to read is no failure
				failing = false
			case "crash": // just before a commit
				var dead *rig
				r.commit = func(uint64) {
					if dead == nil {
						dead = r.copied()
					}
				}
				_ = pull(b)
				r.commit = nil
				if dead != nil {
					takeUp(dead, r.recovered)
				}
			case "renumber":
				b.validity++
			case "backup":
				backup = r.copied()
			case "restore":
				r.clock.Advance(time.Minute)
				old := r.copyOf(backup)
				takeUp(old, true)
			case "follow":
				follow()
			}
		}
		var want []string
		for _, b := range boxes {
			for n := range b.told {
				want = append(want, fmt.Sprintf("%s/%d", b.name, n))
			}
			r.clock.Advance(time.Minute)
			for !r.feed.HeardSource("pec", b.name).Equal(r.clock.Now()) {
				if err := pull(b); err != nil {
					c.Fatal(err)
				}
			}
		}
		follow()
		kept := ids(r.after("core", 0))
		slices.Sort(kept)
		slices.Sort(want)
		if !slices.Equal(kept, want) {
			c.Fatalf("kept %q, want %q", kept, want)
		}
		if n := len(r.folded()); n != len(want) {
			c.Fatalf("%d folds of %d messages", n, len(want))
		}
		if n := r.walk(); n != len(want) {
			c.Fatalf("%d proofs of %d messages", n, len(want))
		}
		for _, id := range want {
			if !heard[id] {
				c.Fatalf("the reader was not told of %s", id)
			}
		}
	})
}

// copyOf copies the files of a rig that is not open.
func (r *rig) copyOf(other *rig) *rig {
	there := &rig{TB: r.TB, path: other.path}
	copied := there.copied()
	copied.cfg, copied.ledger = r.cfg, r.ledger
	if filepath.Dir(copied.path) == filepath.Dir(other.path) {
		r.Fatal("a copy onto itself")
	}
	return copied
}
