package contracttest

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"raccordo/contracts"
)

// A Mistaken is what an adapter in memory has beside its answers when a suite is proved on it: its far side, its log and
// the one mistake that it makes, or none. The adapter embeds it, and asks Wrong wherever it may go wrong.
type Mistaken[Mistake ~string] struct {
	*Memory
	Mistake Mistake      // the zero Mistake is none
	Log     *slog.Logger // what it shows to people

	capture *Capture
	asked   atomic.Int64
}

// NewMistaken is of an adapter that makes one mistake, on a clock of its own.
func NewMistaken[Mistake ~string](now time.Time, m Mistake) *Mistaken[Mistake] {
	c := NewCapture()
	return &Mistaken[Mistake]{Memory: NewMemory(NewClock(now)), Mistake: m, Log: c.Logger(), capture: c}
}

// Wrong reports whether the adapter makes this mistake.
func (a *Mistaken[Mistake]) Wrong(m string) bool { return string(a.Mistake) == m }

// Ask is one call over the wire with its repeats.
func (a *Mistaken[Mistake]) Ask(ctx context.Context, op *contracts.OpInfo) error {
	return a.Call(ctx, op.Name, a.Wrong)
}

// Nth counts the questions that were answered, for mistakes that come now and then.
func (a *Mistaken[Mistake]) Nth() int64 { return a.asked.Add(1) }

// Close is the adapter's, and does nothing.
func (a *Mistaken[Mistake]) Close() error { return nil }

// Harness puts a suite on the adapter that embeds a, through a runner that moves its clock.
func (a *Mistaken[Mistake]) Harness(adapter contracts.Adapter) (Harness, *Runner) {
	run := Direct(adapter, a.Clock, Advancing(a.Advance))
	return Harness{
		Runner: Careless{Runner: run, Far: a.Memory, Wrong: a.Wrong}, Far: a, Capture: a.capture,
		Faults: AllFaults(), Patience: 2 * time.Second,
	}, run
}

// WantAbsent fails unless at least some cases say that they do not apply: what a suite makes of stories that are missing.
func WantAbsent(t TB, cases []Case, atLeast int) {
	t.Helper()
	absent := 0
	for _, c := range cases {
		if c.Absent != "" {
			absent++
		}
	}
	if absent < atLeast {
		t.Errorf("%d cases say that they do not apply, want those of every missing story", absent)
	}
}

// WantUnasked fails for each case that applies, and whose name begins as the operations do that are not served.
func WantUnasked(t TB, cases []Case, begin ...string) {
	t.Helper()
	for _, c := range cases {
		for _, op := range begin {
			if strings.HasPrefix(c.Name, op) && c.Absent == "" {
				t.Errorf("%s applies where it is not served", c.Name)
			}
		}
	}
}
