package lab

import "sync"

// Switches are the settings of a mock that can be changed while it runs. A mock embeds them, and so has Set. They are
// safe for concurrent use.
type Switches[S any] struct {
	mu  sync.Mutex
	now S
}

// NewSwitches start with the mock's default settings.
func NewSwitches[S any](defaults S) *Switches[S] { return &Switches[S]{now: defaults} }

// Set changes the settings. Change must not call Set or Settings.
func (s *Switches[S]) Set(change func(*S)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.now)
}

// Settings are those of the moment.
func (s *Switches[S]) Settings() S {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}
