package lab

import (
	"testing"
	"time"
)

func TestAShelfForgetsWithTimeAndTakesNoMoreThanItHolds(t *testing.T) {
	t.Parallel()
	clock := NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
	s := NewShelf[string](clock, 2, time.Hour)
	put := func(name string, want bool) {
		t.Helper()
		if got := s.Put(name, "the "+name); got != want {
			t.Errorf("put %s: %t, want %t", name, got, want)
		}
	}
	find := func(name string, want bool) {
		t.Helper()
		if got, ok := s.Find(name); ok != want || ok && got != "the "+name {
			t.Errorf("find %s: %q, %t, want %t", name, got, ok, want)
		}
	}
	put("first", true)
	clock.Advance(time.Minute)
	put("second", true)
	put("third", false)
	find("third", false)
	clock.Advance(time.Hour - time.Minute - 1)
	find("first", true)
	clock.Advance(1)
	find("first", false)
	find("second", true)
	put("third", true)
}

func TestSwitchesTellWhatWasSet(t *testing.T) {
	t.Parallel()
	s := NewSwitches(struct{ A, B int }{A: 1, B: 2})
	s.Set(func(x *struct{ A, B int }) { x.B = 3 })
	if got := s.Settings(); got.A != 1 || got.B != 3 {
		t.Errorf("%+v, want the default A and the B that was set", got)
	}
}
