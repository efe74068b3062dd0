package store

import (
	"context"
	"log/slog"
	"os"
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
