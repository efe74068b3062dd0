package pec

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	mock "raccordo/mocks/pec"
)

func (w *world) lock(t *testing.T, b *mailbox, on bool) {
	t.Helper()
	if err := w.mock.SetMailbox(b.Address, func(c *mock.Condition) { c.Locked = on }); err != nil {
		t.Fatal(err)
	}
}

// inDoubt sends a message from a mailbox whose connection is cut after the dot: taken, or not.
func (w *world) inDoubt(t *testing.T, b *mailbox, h *hold, m delivery.Message, story string) {
	t.Helper()
	if err := w.mock.Order(mock.Order{Story: story, Mailbox: b.Address, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sendFrom(t, b, h, m); contracts.KindOf(err) != contracts.Uncertain {
		t.Fatalf("cut after the dot: %v", err)
	}
}

func TestResolveAsksTheMailboxFromWhichItMayHaveLeft(t *testing.T) {
	w, _ := newPool(t, 3, nil)
	h, m := fresh(1), to("rossi@pec.cittadini.test")
	w.inDoubt(t, w.boxes[1], h, m, "cutafter")
	w.bench.Advance(time.Minute)
	w.lock(t, w.boxes[0], true) // another one's trouble does not matter
	ctx := contracts.WithHold(t.Context(), h)
	before := w.bench.Sent("pec imap login")
	d, err := w.resolve(ctx, m)
	if err != nil || d.Mailbox != w.boxes[1].Name || !d.Delivered() || d.Sum != contracts.SumOf(h.kept[keptMessage]) {
		t.Errorf("%v: %+v", err, d)
	}
	if n := w.bench.Sent("pec imap login") - before; n != 1 {
		t.Errorf("%d mailboxes were asked, want its own", n)
	}
	w.lock(t, w.boxes[0], false)
	w.lock(t, w.boxes[1], true) // its own does: then nothing is known
	w.bench.Advance(24 * time.Hour)
	_, err = w.resolve(ctx, m)
	if k := contracts.KindOf(err); k == contracts.Uncertain || k == contracts.NotFound || strings.Contains(err.Error(), "@") {
		t.Errorf("its mailbox is locked: %v", err)
	}
}

// A restored store may not know that a message was sent, nor from where: then every mailbox of the role is asked.
func TestResolveWithoutARenderingAsksEveryMailboxOfTheRole(t *testing.T) {
	w, _ := newPool(t, 3, func(c *Config) { c.Mailboxes[2].Drain = true })
	sent, m := fresh(1), to("rossi@pec.cittadini.test")
	if _, err := w.sendFrom(t, w.boxes[1], sent, m); err != nil {
		t.Fatal(err)
	}
	w.bench.Advance(time.Minute)
	forgotten := fresh(1)
	ctx := contracts.WithHold(t.Context(), forgotten)
	if d, err := w.resolve(ctx, m); err != nil || d.Mailbox != w.boxes[1].Name || len(d.IDs) != 1 {
		t.Errorf("%v: %+v", err, d)
	}
	unsent := contracts.WithHold(t.Context(), fresh(2))
	_, err := w.resolve(unsent, m)
	if e := contracts.AsError(err); e == nil || e.Kind != contracts.Uncertain || e.Code != "" {
		t.Errorf("never sent: %v", err)
	}
	w.lock(t, w.boxes[2], true)
	if _, err := w.resolve(unsent, m); contracts.KindOf(err) == contracts.Uncertain {
		t.Errorf("a mailbox could not be searched, and nothing was found: %v", err)
	}
	if d, err := w.resolve(ctx, m); err != nil || len(d.IDs) != 1 {
		t.Errorf("a mailbox could not be searched, and another had the receipts: %v", err)
	}
}

func TestSilenceCountsOnlyWhileTheMailboxCanBeSearched(t *testing.T) {
	w, _ := newPool(t, 1, nil)
	h, m := fresh(1), to("rossi@pec.cittadini.test")
	w.inDoubt(t, w.boxes[0], h, m, "cutbefore")
	ctx := contracts.WithHold(t.Context(), h)
	code := func() string {
		_, err := w.resolve(ctx, m)
		var e *contracts.Error
		if !errors.As(err, &e) {
			t.Fatal("resolved")
		}
		return e.Kind.String() + " " + e.Code
	}
	w.bench.Advance(59 * time.Minute)
	if got := code(); got != "uncertain " {
		t.Errorf("before the time: %q", got)
	}
	w.lock(t, w.boxes[0], true)
	w.bench.Advance(2 * time.Minute)
	if got := code(); strings.Contains(got, "NO_ACCEPTANCE") || strings.HasPrefix(got, "uncertain") {
		t.Errorf("unreadable since: %q", got)
	}
	w.lock(t, w.boxes[0], false)
	w.bench.Advance(16 * time.Minute)
	if got := code(); got != "uncertain NO_ACCEPTANCE" {
		t.Errorf("searched after the time: %q", got)
	}
	if n := len(w.mock.Accepted()); n != 0 {
		t.Errorf("sent again by itself: %d", n)
	}
}

func TestResendOnceIsOnceAndShowsADouble(t *testing.T) {
	for _, tc := range []struct {
		name, story string
		taken       int
		double      bool
	}{
		{"it had not been taken", "cutbefore", 1, false},
		{"it had been taken, without a receipt", "cutafter", 2, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, told := newPool(t, 2, func(c *Config) { c.InDoubt = inDoubtResend })
			b, h, m := w.boxes[0], fresh(1), to("rossi@pec.cittadini.test")
			if tc.double {
				if err := w.mock.Order(mock.Order{Story: "mute", Mailbox: b.Address, Times: 1}); err != nil {
					t.Fatal(err)
				}
			}
			w.inDoubt(t, b, h, m, tc.story)
			frozen := h.kept[keptMessage]
			ctx, trail := with(t, h)
			w.bench.Advance(30 * time.Minute)
			if _, err := w.resolve(ctx, m); contracts.KindOf(err) != contracts.Uncertain || h.kept[keptResent] != nil {
				t.Fatalf("before its time: %v", err)
			}
			w.bench.Advance(45 * time.Minute)
			d, err := w.resolve(ctx, m)
			if err != nil || d.Mailbox != b.Name || d.Sum != contracts.SumOf(frozen) || h.departed != 2 || h.kept[keptResent] == nil {
				t.Fatalf("%v: %+v, departed %d times", err, d, h.departed)
			}
			if a := trail.Attempts(); len(a) != 1 || !a[0].Sent || told.times("handed over once more") != 1 {
				t.Errorf("trail %+v: the second sending is not told", a)
			}
			if n := len(w.mock.Accepted()); n != tc.taken {
				t.Fatalf("taken %d times, want %d", n, tc.taken)
			}
			ids := map[string]bool{}
			for _, s := range w.mock.Accepted() {
				ids[s.MessageID] = true
			}
			if len(ids) != 1 {
				t.Errorf("%d Message-IDs, want the same one", len(ids))
			}
			if tc.double { // the first one's acceptance comes after all
				if err := w.mock.Issue(mock.Extra{Identificativo: w.mock.Accepted()[0].Identificativo, Kind: mock.Acceptance}); err != nil {
					t.Fatal(err)
				}
			}
			w.bench.Advance(time.Minute)
			d, err = w.resolve(ctx, m)
			if err != nil || slices.Contains(d.Flags, "DOUBLE_SUBMISSION") != tc.double {
				t.Errorf("%v: %+v, want a double: %t", err, d, tc.double)
			}
		})
	}
}

// However often it is asked, whatever comes of the second sending, and also in another process: no third.
func TestResendIsNeverMadeTwice(t *testing.T) {
	w, _ := newPool(t, 1, func(c *Config) { c.InDoubt = inDoubtResend })
	b, h, m := w.boxes[0], fresh(1), to("rossi@pec.cittadini.test")
	w.inDoubt(t, b, h, m, "cutbefore")
	if err := w.mock.Order(mock.Order{Story: "cutbefore", Mailbox: b.Address, Times: 1}); err != nil {
		t.Fatal(err)
	}
	ctx := contracts.WithHold(t.Context(), h)
	var codes []string
	for range 6 {
		w.bench.Advance(70 * time.Minute)
		_, err := w.resolve(ctx, m)
		if contracts.KindOf(err) != contracts.Uncertain {
			t.Fatal(err)
		}
		codes = append(codes, contracts.AsError(err).Code)
	}
	if n := w.bench.Sent("pec smtp message"); n != 2 || h.departed != 2 {
		t.Errorf("%d submissions, departed %d times: want the first and one more", n, h.departed)
	}
	if codes[0] != "" || codes[1] != "NO_ACCEPTANCE" || codes[5] != "NO_ACCEPTANCE" {
		t.Errorf("told %q: want a person asked once the second is silent too", codes)
	}
}

func TestManyDoubtsAreOneConnection(t *testing.T) {
	w, _ := newPool(t, 1, nil)
	w.mock.LimitIMAPSessions(3) // a server may still be closing the one before
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			_, err := w.resolve(contracts.WithHold(t.Context(), fresh(i)), to("rossi@pec.cittadini.test"))
			if contracts.KindOf(err) != contracts.Uncertain {
				t.Errorf("%v, want it asked in its turn", err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	<-w.boxes[0].asking
	defer func() { w.boxes[0].asking <- struct{}{} }()
	cancel()
	if _, err := w.resolve(contracts.WithHold(ctx, fresh(1)), to("rossi@pec.cittadini.test")); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("given up while it waited: %v", err)
	}
}

func TestFullMailboxIsNoWitnessOfSilence(t *testing.T) {
	w, _ := newPool(t, 1, func(c *Config) { c.InDoubt = inDoubtResend })
	h, m := fresh(1), to("rossi@pec.cittadini.test")
	w.inDoubt(t, w.boxes[0], h, m, "cutbefore")
	w.boxes[0].gate.measured(99, 100)
	w.bench.Advance(2 * time.Hour)
	_, err := w.resolve(contracts.WithHold(t.Context(), h), m)
	if e := contracts.AsError(err); e == nil || e.Kind != contracts.Uncertain || e.Code != "NO_ACCEPTANCE" || !strings.Contains(e.Error(), "full") || h.kept[keptResent] != nil {
		t.Errorf("%v", err)
	}
}

func TestInDoubtIsHeldUnlessSaidOtherwise(t *testing.T) {
	if c := Default().(*Config); c.InDoubt != inDoubtHold || c.AcceptanceWithin != time.Hour {
		t.Errorf("%q after %v", c.InDoubt, c.AcceptanceWithin)
	}
	c := good(t)
	c.InDoubt = "resend"
	if c.Validate(contracts.Produzione) == nil {
		t.Error("another word passes")
	}
}
