package store

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"sync"
)

// syncWAL forces the write-ahead log to the disk: with that, every commit before is there.
func (s *Store) syncWAL() error {
	if s.wal == nil {
		f, err := os.OpenFile(s.cfg.Path+"-wal", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		s.wal = f
	}
	return s.wal.Sync()
}

func (s *Store) walSize() int64 {
	info, err := os.Stat(s.cfg.Path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

// capWAL empties the write-ahead log by force when it has outgrown its bound, because readers had kept the ordinary
// checkpoint from doing so.
func (s *Store) capWAL() {
	if s.walSize() <= s.cfg.MaxWAL {
		return
	}
	s.forced.Add(1)
	s.copier.mu.Lock()
	defer s.copier.mu.Unlock()
	if done, err := s.checkpoint("TRUNCATE"); err != nil || !done {
		s.log.Warn("store: the write-ahead log could not be emptied", slog.Int64("bytes", s.walSize()), slog.Any("error", err))
	}
}

// checkpoint moves the write-ahead log into the database and reports whether all of it went.
func (s *Store) checkpoint(mode string) (done bool, err error) {
	var busy, frames, moved int
	err = s.writer.queryRow(context.Background(), "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &frames, &moved)
	return busy == 0, err
}

// turnover is the size in bytes at which the writer empties the write-ahead log itself. By then most of it has been
// copied, so that there is little left to do.
func (c Config) turnover() int64 { return c.MaxWAL / 4 * 3 }

// copyEvery is after how many commits the copier looks.
const copyEvery = 64

// A copier moves the write-ahead log into the database while the writer goes on, which then need not: over a connection
// of its own, and without waiting for anybody.
type copier struct {
	db   *sql.DB
	bell chan struct{} // room for one
	done chan struct{}
	mu   sync.Mutex // one checkpoint at a time
}

func (s *Store) newCopier() (*copier, error) {
	db, err := s.dial("busy_timeout(0)", "synchronous(NORMAL)", "wal_autocheckpoint(0)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &copier{db: db, bell: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// ring is for the writer alone, which ends before the copier does.
func (c *copier) ring() {
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

func (c *copier) run(s *Store) {
	defer close(c.done)
	for range c.bell {
		if s.broken.Load() != nil {
			continue // nobody knows what the log holds on the disk
		}
		c.mu.Lock()
		var busy, frames, moved int
		err := c.db.QueryRow("PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &moved)
		c.mu.Unlock()
		if err != nil {
			s.log.Warn("store: the write-ahead log could not be copied", slog.Any("error", err))
		}
	}
}

func (c *copier) stop() {
	close(c.bell)
	<-c.done
}
