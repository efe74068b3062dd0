package contracttest_test

import (
	"slices"
	"testing"
	"time"

	"raccordo/contracts/contracttest"
)

func TestAClockFiresWhatHasComeDueAndNothingElse(t *testing.T) {
	c := contracttest.NewClock(today)
	soon, _ := c.Timer(today.Add(time.Minute))
	dropped, drop := c.Timer(today.Add(time.Minute))
	drop()
	drop() // twice is harmless
	later, _ := c.Timer(today.Add(time.Hour))
	past, _ := c.Timer(today)
	fired := func() (all []bool) {
		for _, ch := range []<-chan time.Time{soon, dropped, later, past} {
			select {
			case at := <-ch:
				all = append(all, at.Equal(c.Now()))
			default:
				all = append(all, false)
			}
		}
		return all
	}
	for _, step := range []struct {
		move func()
		want []bool
	}{
		{func() {}, []bool{false, false, false, true}},
		{func() { c.Advance(-time.Hour) }, make([]bool, 4)},
		{func() { c.Advance(time.Hour + time.Minute) }, []bool{true, false, false, false}},
		{func() { c.Set(today.Add(2 * time.Hour)) }, []bool{false, false, true, false}},
	} {
		step.move()
		if got := fired(); !slices.Equal(got, step.want) {
			t.Errorf("at %v: fired %v, want %v", c.Now(), got, step.want)
		}
	}
	if n := len(c.Asked()); n != 4 {
		t.Errorf("%d timers told, want 4", n)
	}
}

func TestAMemoryMisbehavesAsOftenAsItWasTold(t *testing.T) {
	m := contracttest.NewMemory(contracttest.NewClock(today))
	says := func(n int) (all []string) {
		for range n {
			all = append(all, m.Exchange())
		}
		return all
	}
	tell := func(fault string, times int) {
		t.Helper()
		if err := m.Misbehave(fault, times); err != nil {
			t.Fatal(err)
		}
	}
	tell(contracttest.Refuse, 2)
	if got := says(3); !slices.Equal(got, []string{contracttest.Refuse, contracttest.Refuse, ""}) {
		t.Errorf("told twice: %q", got)
	}
	if n := m.Sent("*"); n != 1 {
		t.Errorf("%d reached the far side, want 1: it refused two", n)
	}
	tell(contracttest.Drop, 0)
	if got := says(3); !slices.Equal(got, []string{contracttest.Drop, contracttest.Drop, contracttest.Drop}) {
		t.Errorf("until cleared: %q", got)
	}
	m.Clear()
	if got := says(1); got[0] != "" {
		t.Errorf("cleared: %q", got)
	}
	if m.Misbehave("sulk", 1) == nil {
		t.Error("it takes a fault that does not exist")
	}
}
