package pec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"raccordo/mocks/lab"
)

// TestChaosReplaysBySeedAndTellsTheTruth: the same seed and the same client give the same truth, another seed another; and
// what the truth says of receipts is what lies in the mailbox.
func TestChaosReplaysBySeedAndTellsTheTruth(t *testing.T) {
	const messages = 60
	run := func(t *testing.T, seed uint64) (truth string, hit int) {
		b, m := bench(t)
		if err := m.Chaos(seed, Mischief(0.02)); err != nil {
			t.Fatal(err)
		}
		done := make(map[string]int)
		for i := range messages {
			id := fmt.Sprintf("m%03d@x", i)
			to := []string{fmt.Sprintf("u%d@pec.cittadini.test", i)}
			for attempt := 0; ; attempt++ {
				if attempt == 20 {
					t.Fatalf("message %d never got through", i)
				}
				err := tryToSend(b, m, to, id)
				if err == nil {
					done[id]++
					break
				}
				if codeOf(err) == 0 && errors.Is(err, errAfterDot) {
					break // in doubt: whether it was taken only the truth can say
				}
				b.Advance(10 * time.Minute) // greylisting and locks end
			}
		}
		b.Advance(48 * time.Hour)
		if err := m.Chaos(0, nil); err != nil {
			t.Fatal(err)
		}
		heal(t, m, sender)
		fates := m.Truth()
		present := make(map[uint32]bool)
		for _, x := range mailsOf(t, b, m.Accounts()[0]) {
			present[x.uid] = true
		}
		reached, stories := 0, 0
		for _, f := range fates {
			if n := done[strings.Trim(f.MessageID, "<>")]; len(f.Taken) < n {
				t.Errorf("%s: the client saw 250, the truth has it taken %d times", f.MessageID, len(f.Taken))
			}
			for _, p := range f.Placed {
				if p.Reached() {
					reached++
				}
			}
			for _, s := range f.Taken {
				stories += len(s.Stories)
			}
		}
		if reached != len(present) {
			t.Errorf("the truth has %d mails in the mailbox, there are %d", reached, len(present))
		}
		out, err := json.Marshal(fates)
		if err != nil {
			t.Fatal(err)
		}
		return string(out), stories
	}
	first, hit := run(t, 1)
	again, _ := run(t, 1)
	other, _ := run(t, 2)
	if first != again {
		t.Error("the same seed gave another truth")
	}
	if first == other {
		t.Error("another seed gave the same truth")
	}
	if hit < 10 {
		t.Errorf("chance told only %d stories of %d messages", hit, messages)
	}
}

var errAfterDot = errors.New("the connection broke after the dot")

// tryToSend is one attempt by a client that tells what comes before the dot from what comes after it.
func tryToSend(b *lab.Bench, m *Mock, to []string, id string) error {
	c, err := dialAs(b, m.Accounts()[0])
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Mail(sender, nil); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r, nil); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text(id, to)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		if codeOf(err) == 0 {
			return fmt.Errorf("%w: %w", errAfterDot, err)
		}
		return err
	}
	return nil
}

func TestChanceIsFair(t *testing.T) {
	o := orders{seed: 42, rates: map[string]float64{"dup": 0.1, "late": 0.1}}
	var dup, late, both int
	const n = 20_000
	for i := range n {
		key := fmt.Sprintf("message <m%d@x>", i)
		d, l := o.chance("dup", key), o.chance("late", key)
		if d {
			dup++
		}
		if l {
			late++
		}
		if d && l {
			both++
		}
	}
	near := func(got int, want float64) bool {
		return float64(got) > want*0.85 && float64(got) < want*1.15
	}
	if !near(dup, n*0.1) || !near(late, n*0.1) || both < n/150 || both > n/70 {
		t.Errorf("%d and %d of %d at one in ten, %d together", dup, late, n, both)
	}
}

func TestTheTruthOutlivesTheMock(t *testing.T) {
	dir, clock := t.TempDir(), lab.NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
	life := func(do func(b *lab.Bench, m *Mock)) string {
		b, err := lab.New(lab.Options{Clock: clock, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		m := New()
		if err := b.Attach(m); err != nil {
			t.Fatal(err)
		}
		do(b, m)
		out, err := json.Marshal(m.Truth())
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	before := life(func(b *lab.Bench, m *Mock) {
		for i, local := range []string{"cutbefore", "twoaccept", "badsig", "reader", "fullbox", "noaccept"} {
			to := []string{local + "@pec.cittadini.test"}
			_ = submit(dial(t, b, m), sender, to, text(fmt.Sprintf("%d@x", i), to))
		}
		b.Advance(time.Hour)
	})
	if after := life(func(*lab.Bench, *Mock) {}); after != before || !strings.Contains(before, `"lost":true`) || !strings.Contains(before, `"refused":[""]`) {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
