package contracttest

import (
	"context"
	"slices"
	"sync"

	"raccordo/contracts"
)

// A hold is a contracts.Hold in memory. It is safe for concurrent use.
type hold struct {
	id string

	mu       sync.Mutex
	kept     map[string][]byte
	departed bool
}

func newHold(id string) *hold { return &hold{id: id, kept: map[string][]byte{}} }

func (h *hold) ID() string { return h.id }

func (h *hold) Keep(_ context.Context, name string, make func() ([]byte, error)) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.kept[name]; ok {
		return b, nil
	}
	b, err := make()
	if err != nil {
		return nil, err
	}
	h.kept[name] = b
	return b, nil
}

func (h *hold) Depart(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err // as a lease that is lost: nothing may leave
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.departed = true
	return nil
}

func (h *hold) hasDeparted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.departed
}

// erase drops the bytes, as the hub does with those of a secret message.
func (h *hold) erase() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.kept)
}

func (h *hold) bytes() [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all [][]byte
	for _, b := range h.kept {
		all = append(all, b)
	}
	return all
}

var _ contracts.Hold = (*hold)(nil)

const maxAttempts = 100_000 // kept for inspection

// A Trail is a contracts.Trail that keeps the attempts on the wire, the first 100,000. It is safe for concurrent use.
type Trail struct {
	mu       sync.Mutex
	attempts []contracts.Attempt
}

// Attempt keeps one.
func (t *Trail) Attempt(a contracts.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.attempts) < maxAttempts {
		t.attempts = append(t.attempts, a)
	}
}

// Attempts are those kept so far, oldest first.
func (t *Trail) Attempts() []contracts.Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.attempts)
}

// A trailTo keeps an attempt and passes it on to the trail of whoever asked.
type trailTo struct {
	kept  *Trail
	outer contracts.Trail
}

func (t *trailTo) Attempt(a contracts.Attempt) {
	t.kept.Attempt(a)
	t.outer.Attempt(a)
}
