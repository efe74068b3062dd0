package lab

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var dawn = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func TestFrozenClockMovesOnlyWhenTold(t *testing.T) {
	t.Parallel()
	c := NewClock(dawn)
	if !c.Now().Equal(dawn) {
		t.Fatalf("shows %v", c.Now())
	}
	c.Advance(time.Hour)
	c.Advance(-time.Hour) // never backwards: that is Step
	if want := dawn.Add(time.Hour); !c.Now().Equal(want) {
		t.Errorf("shows %v, want %v", c.Now(), want)
	}
	c.AdvanceTo(dawn)
	if want := dawn.Add(time.Hour); !c.Now().Equal(want) {
		t.Errorf("AdvanceTo the past moved it to %v", c.Now())
	}
}

func TestTimerFiresOnceAtItsInstantAndNotWhenStopped(t *testing.T) {
	t.Parallel()
	c := NewClock(dawn)
	fires, _ := c.Timer(dawn.Add(time.Minute))
	dropped, stop := c.Timer(dawn.Add(time.Minute))
	past, _ := c.Timer(dawn)
	stop()
	stop()
	select {
	case <-past:
	default:
		t.Error("a timer for an instant that has come did not fire at once")
	}
	c.Advance(time.Minute - 1)
	select {
	case <-fires:
		t.Error("fired early")
	default:
	}
	c.Advance(1)
	if got := <-fires; !got.Equal(dawn.Add(time.Minute)) {
		t.Errorf("fired with %v", got)
	}
	select {
	case <-dropped:
		t.Error("a stopped timer fired")
	default:
	}
	if _, ok := c.Next(); ok {
		t.Error("something still waits")
	}
}

func TestCallbacksRunInOrderOfTimeEachAtItsOwnInstant(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := NewClock(dawn)
		var seen []time.Time
		for _, m := range rapid.SliceOfN(rapid.IntRange(0, 100), 1, 20).Draw(t, "minutes") {
			at := dawn.Add(time.Duration(m) * time.Minute)
			c.At(at, func() {
				if !c.Now().Equal(at) {
					t.Fatalf("the clock shows %v while the callback of %v runs", c.Now(), at)
				}
				seen = append(seen, at)
				if m%7 == 0 && len(seen) < 50 { // a callback may ask for another, within the same move
					next := at.Add(time.Minute)
					c.At(next, func() { seen = append(seen, next) })
				}
			})
		}
		for range 5 {
			c.Advance(time.Duration(rapid.IntRange(0, 40).Draw(t, "step")) * time.Minute)
		}
		c.Advance(200 * time.Minute)
		if !slices.IsSortedFunc(seen, time.Time.Compare) {
			t.Fatalf("out of order: %v", seen)
		}
		if _, ok := c.Next(); ok {
			t.Fatal("a callback never ran")
		}
	})
}

func TestCallbackThatIsDueRunsAtTheNextMoveNotInTheCallersHands(t *testing.T) {
	t.Parallel()
	c := NewClock(dawn)
	ran := false
	c.At(dawn.Add(-time.Hour), func() { ran = true })
	if ran {
		t.Fatal("ran under the caller's locks")
	}
	if next, ok := c.Next(); !ok || next.After(c.Now()) {
		t.Fatalf("Next says %v, %v: who jumps to it would never run the callback", next, ok)
	}
	c.Advance(0)
	if !ran {
		t.Error("did not run")
	}
}

func TestStepBackPutsOffWhatWaitsAndStepForwardFiresIt(t *testing.T) {
	t.Parallel()
	c := NewClock(dawn)
	var at time.Time
	c.At(dawn.Add(30*time.Minute), func() { at = c.Now() })
	c.Step(-time.Hour)
	if want := dawn.Add(-time.Hour); !c.Now().Equal(want) {
		t.Fatalf("shows %v, want %v", c.Now(), want)
	}
	c.Advance(time.Hour)
	if !at.IsZero() {
		t.Fatal("fired before its instant by the clock that was set back")
	}
	c.Step(time.Hour)
	if want := dawn.Add(time.Hour); !at.Equal(want) {
		t.Errorf("fired at %v, want %v: a step does not pass through the time between", at, want)
	}
}

func TestRunningClockGoesWithRealTimeAndWhatWasAdvanced(t *testing.T) {
	t.Parallel()
	c := RunningClock()
	defer c.Close()
	before := c.Now()
	fired := make(chan time.Time, 2)
	c.At(c.Now().Add(time.Millisecond), func() { fired <- c.Now() })
	<-fired // by the clock's own goroutine
	c.At(c.Now().Add(48*time.Hour), func() { fired <- c.Now() })
	c.Advance(72 * time.Hour)
	if at := <-fired; at.Sub(before) < 48*time.Hour {
		t.Errorf("fired at %v, before its time", at)
	}
	if c.Now().Sub(before) < 72*time.Hour {
		t.Error("the advance was lost")
	}
	ch, stop := c.Timer(c.Now().Add(time.Millisecond))
	defer stop()
	<-ch
	c.Close()
	c.Close()
}
