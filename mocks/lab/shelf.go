package lab

import (
	"maps"
	"sync"
	"time"
)

// A Shelf keeps things by name for a time of the bench's clock: the lists that a register prepares and keeps ready for
// whoever asked. It is safe for concurrent use; the things themselves are guarded by whoever put them there.
type Shelf[T any] struct {
	clock *Clock
	most  int
	life  time.Duration

	mu     sync.Mutex
	things map[string]kept[T]
}

type kept[T any] struct {
	thing T
	since time.Time
}

// NewShelf keeps at most so many things at a time, each for life.
func NewShelf[T any](clock *Clock, most int, life time.Duration) *Shelf[T] {
	return &Shelf[T]{clock: clock, most: most, life: life, things: map[string]kept[T]{}}
}

// Put keeps a thing from now on; false: the shelf is full.
func (s *Shelf[T]) Put(name string, thing T) bool {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.things) >= s.most {
		maps.DeleteFunc(s.things, func(_ string, k kept[T]) bool { return s.over(k, now) })
	}
	if len(s.things) >= s.most {
		return false
	}
	s.things[name] = kept[T]{thing, now}
	return true
}

// Find gives what is kept under a name; false: nothing is, or no longer.
func (s *Shelf[T]) Find(name string) (thing T, ok bool) {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.things[name]
	if !ok || s.over(k, now) {
		return thing, false
	}
	return k.thing, true
}

func (s *Shelf[T]) over(k kept[T], now time.Time) bool { return now.Sub(k.since) >= s.life }
