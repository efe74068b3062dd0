package contracttest

import (
	"fmt"
	"slices"
	"sync"
)

// A Memory is a Far in memory, for adapters that are their own far side: those on which a suite is proved able to fail.
// Such an adapter asks Exchange, at each of its exchanges, what goes wrong with it. It is safe for concurrent use.
type Memory struct {
	*Clock // moves by Advance

	mu    sync.Mutex
	fault string
	left  int // -1: until cleared
	sent  int
}

// NewMemory is a far side that behaves, on a clock.
func NewMemory(clock *Clock) *Memory { return &Memory{Clock: clock} }

var _ Far = (*Memory)(nil)

// Misbehave makes the next times exchanges go wrong (0: until cleared). A fault that AllFaults does not list is an error.
func (m *Memory) Misbehave(fault string, times int) error {
	if !slices.Contains(AllFaults(), fault) {
		return fmt.Errorf("misbehave: no fault is named %q", fault)
	}
	if times == 0 {
		times = -1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault, m.left = fault, times
	return nil
}

// Clear ends the fault.
func (m *Memory) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault, m.left = "", 0
}

// Sent counts the exchanges that reached the far side, whatever the pattern.
func (m *Memory) Sent(string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent
}

// Exchange counts one exchange and gives its fault; empty: all goes well.
func (m *Memory) Exchange() (fault string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left != 0 {
		fault = m.fault
	}
	if m.left > 0 {
		m.left--
	}
	if fault != Refuse {
		m.sent++
	}
	return fault
}
