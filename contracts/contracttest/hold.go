package contracttest

import (
	"context"
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

// A trail keeps the attempts on the wire.
type trail struct {
	mu       sync.Mutex
	attempts []contracts.Attempt
}

// A trailTo keeps an attempt and passes it on to the trail of whoever asked.
type trailTo struct {
	kept  *trail
	outer contracts.Trail
}

func (t *trailTo) Attempt(a contracts.Attempt) {
	t.kept.mu.Lock()
	if len(t.kept.attempts) < maxAttempts {
		t.kept.attempts = append(t.kept.attempts, a)
	}
	t.kept.mu.Unlock()
	t.outer.Attempt(a)
}
