package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"raccordo/contracts"
)

// relay is how long after giving the reserve back it is tried to lay it down again.
const relay = 30 * time.Second

// A reserve keeps some disk back for settling: by refusing other work while less is free, and by a file that holds
// nothing and is given back when the disk is full in earnest. The writer's goroutine alone uses it, but for the atomics.
type reserve struct {
	path  string // of the file
	size  int64
	space func(path string) (int64, error)
	clock contracts.Clock
	log   *slog.Logger

	held  atomic.Bool
	low   atomic.Bool
	again time.Time // do not lay it down before
}

// check is nil when there is room for new work, and otherwise the error that refuses it.
func (r *reserve) check() error {
	if r.size == 0 {
		return nil
	}
	free, err := r.space(r.path)
	if err != nil {
		return nil // a disk that cannot be asked is found out by writing
	}
	switch {
	case free < r.size:
		if !r.low.Swap(true) {
			r.log.Warn("store: little free disk, new work is refused", slog.Int64("free", free), slog.Int64("reserve", r.size))
		}
		e := contracts.Errorf(contracts.Unavailable, "write: new work is refused: %s of disk are free and %s are kept for settling; free some space",
			amount(free), amount(r.size))
		e.After = relay
		return e
	case r.low.Swap(false):
		r.log.Info("store: free disk again, new work is taken", slog.Int64("free", free))
	}
	if !r.held.Load() && free >= 2*r.size && !r.clock.Now().Before(r.again) {
		r.lay()
	}
	return nil
}

// lay makes the file. Failing is no fault: there may be no room for it now.
func (r *reserve) lay() {
	r.again = r.clock.Now().Add(relay)
	if err := allocate(r.path, r.size); err != nil {
		_ = os.Remove(r.path)
		r.log.Warn("store: no room for the reserve file", slog.Int64("reserve", r.size), slog.Any("error", err))
		return
	}
	r.held.Store(true)
}

// release gives the file back, and reports whether there was one.
func (r *reserve) release() bool {
	if !r.held.Swap(false) {
		return false
	}
	r.again = r.clock.Now().Add(relay)
	return os.Remove(r.path) == nil
}

// Yield gives the reserve file back, for others that owe something to the same disk and found it full, and reports
// whether there was one. It is laid down again when there is room for it.
func (s *Store) Yield(ctx context.Context) (given bool) {
	err := s.alone(ctx, func(*conn) error {
		given = s.reserve.release()
		return nil
	})
	return err == nil && given
}

// open lays the file at start, unless it lies there already in full.
func (r *reserve) open() {
	if r.size == 0 {
		return
	}
	if info, err := os.Stat(r.path); err == nil && info.Size() == r.size {
		r.held.Store(true)
		return
	}
	if free, err := r.space(r.path); err == nil && free < 2*r.size {
		return
	}
	r.lay()
}

// close takes the file away: a store that is not open owes nothing to the disk.
func (r *reserve) close() error {
	if !r.held.Swap(false) {
		return nil
	}
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the reserve: %w", err)
	}
	return nil
}

// amount prints bytes as people read them.
func amount(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// zeros fills f where the system cannot allocate blocks by a word.
func zeros(f *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for size > 0 {
		n, err := f.Write(block[:min(size, int64(len(block)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
