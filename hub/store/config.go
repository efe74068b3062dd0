package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"raccordo/contracts"
)

// A Class is the place of a write in the writer's order: all that waits of a lower class is served first.
type Class uint8

// The classes, in the order in which the writer serves them.
const (
	Settle Class = iota // what became of something already promised or sent: always has room
	Accept              // a new promise
	Start               // new work on an old promise

	classes
)

// String is "settle", "accept" or "start".
func (c Class) String() string {
	switch c {
	case Settle:
		return "settle"
	case Accept:
		return "accept"
	}
	return "start"
}

// Config is what a person writes about the store.
type Config struct {
	// Path is the database file. Its folder is made when it is missing; -wal, -shm, .lock and .reserve lie beside it.
	Path string `yaml:"path"`
	// Key names the sealing keys: a text of one key per line, as NewKey makes them, the newest last. Older ones still
	// open what they sealed. Lines that begin with # are notes.
	Key contracts.Secret `yaml:"key"`
	// Head is a small file, best on another disk, that remembers how far the store had come, so that an older copy put
	// in its place is noticed. Empty: not kept.
	Head string `yaml:"head"`
	// MaxQueue is how many writes of class Accept and Start together may wait; beyond it they are Throttled. As many
	// again may wait of class Settle; beyond that, settling waits for room.
	MaxQueue int `yaml:"max_queue"`
	// MaxGroup is how many writes share one commit at most.
	MaxGroup int `yaml:"max_group"`
	// Reserve is how many bytes of free disk are kept back for settling; zero: none.
	Reserve int64 `yaml:"reserve"`
	// MaxWAL is the size in bytes at which the write-ahead log is emptied by force, for which the writer waits for the
	// readers (ReadTime at most).
	MaxWAL int64 `yaml:"max_wal"`
	// Readers is how many reads run at once.
	Readers int `yaml:"readers"`
	// ReadTime is how long one read may take, waiting for its turn included.
	ReadTime time.Duration `yaml:"read_time"`
}

// Default gives the settings for one machine with a local disk; Path and Key must still be named.
func Default() Config {
	return Config{
		MaxQueue: 4096,
		MaxGroup: 256,
		Reserve:  64 << 20,
		MaxWAL:   64 << 20,
		Readers:  4,
		ReadTime: 5 * time.Second,
	}
}

// Validate gives every fault at once, as joined *contracts.Fault.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, path, format string, args ...any) {
		if bad {
			faults = append(faults, contracts.Faultf(path, format, args...))
		}
	}
	fault(c.Path == "", "path", "name the database file")
	faults = append(faults, c.Key.Fault("key"))
	fault(c.Head != "" && c.Head == c.Path, "head", "want another file than the database")
	fault(c.MaxQueue < 1 || c.MaxQueue > 1_000_000, "max_queue", "want 1 to 1000000, have %d", c.MaxQueue)
	fault(c.MaxGroup < 1 || c.MaxGroup > 10_000, "max_group", "want 1 to 10000, have %d", c.MaxGroup)
	fault(c.Reserve < 0, "reserve", "want a number of bytes, have %d", c.Reserve)
	fault(c.MaxWAL < minWAL, "max_wal", "want at least %d bytes, have %d", minWAL, c.MaxWAL)
	fault(c.Readers < 1 || c.Readers > 64, "readers", "want 1 to 64, have %d", c.Readers)
	fault(c.ReadTime < 10*time.Millisecond || c.ReadTime > time.Minute, "read_time", "want 10ms to 1m, have %s", c.ReadTime)
	return errors.Join(faults...)
}

// minWAL leaves the ordinary checkpoint room to do its work before the forced one is needed.
const minWAL = 2 * checkpointPages * pageSize

// Options is what the program hands in, as opposed to what a person writes.
type Options struct {
	Clock contracts.Clock // nil: the system's
	Log   *slog.Logger    // nil: nothing is logged
	// Secret resolves Config.Key.
	Secret func(ctx context.Context, ref contracts.Secret) ([]byte, error)
	// Recovered lets a store start that is older than its head, or that an operator knows to be a restored copy. The
	// mark stays on the store until EndRecovery.
	Recovered bool
	// BeforeCommit, in tests, hears the number of each group commit just before it happens, on the writer's goroutine.
	BeforeCommit func(n uint64)
	// Free tells the free bytes of the disk that holds path; nil: asks the system.
	Free func(path string) (int64, error)
}
