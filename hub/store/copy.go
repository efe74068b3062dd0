package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"

	"raccordo/contracts"
)

const (
	// copyPages is how many pages are copied between two groups of the writer: about a millisecond or two.
	copyPages = 128
	// copyShare is how long the writer is left alone after a step, as a multiple of what the step took.
	copyShare = 3
	// copyRest bounds that time: a step that met a slow disk must not make the copy stand still.
	copyRest = 250 * time.Millisecond
)

// Copy writes a consistent copy of the database to path, where nothing may be, while the store is at work. It is forced
// to the disk when Copy returns. It holds what was committed before the last step, and so everything that Write had
// acknowledged before Copy was called. progress, which may be nil, hears how many bytes of how many are there.
//
// The writer itself copies, a few pages between two groups, and SQLite carries later changes of its own connection into
// pages that were copied already. No read transaction is held open, so the write-ahead log is emptied as ever, and the
// writer gives a quarter of its time at most.
//
// What a failure leaves at path is no copy and is for the caller to remove.
func (s *Store) Copy(ctx context.Context, path string, progress func(done, all int64)) error {
	if info, err := os.Stat(s.cfg.Path); err == nil { // or the copy could take the disk that settling needs
		need := info.Size() + s.walSize() + s.cfg.Reserve
		if free, err := s.reserve.space(path); err == nil && free < need {
			return contracts.Errorf(contracts.Unavailable, "copy store: %s are free at %s and %s are needed", amount(free), filepath.Dir(path), amount(need))
		}
	}
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil { // SQLite fills an empty file, and would make it readable to all
		return contracts.Errorf(contracts.Unavailable, "copy store: %w", err)
	} else if err := f.Close(); err != nil {
		return contracts.Errorf(contracts.Unavailable, "copy store: %w", err)
	}
	if err := s.alone(ctx, func(c *conn) error { return s.beginCopy(c, path) }); err != nil {
		return storageError("copy store", err)
	}
	if err := s.stepCopy(ctx, progress); err != nil {
		end := s.alone(context.WithoutCancel(ctx), func(*conn) error { return s.endCopy() })
		if contracts.KindOf(err) == contracts.Canceled {
			return err
		}
		return errors.Join(storageError("copy store", err), end)
	}
	if err := syncFile(path); err != nil {
		return contracts.Errorf(contracts.Unavailable, "copy store: %w", err)
	}
	return nil
}

func (s *Store) beginCopy(c *conn, path string) error {
	if s.copying != nil {
		return contracts.Errorf(contracts.Conflict, "copy store: another copy is being made; wait for it")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// The copy is worth nothing before it is whole: it needs no journal, and is forced to the disk once, at the end.
	q := url.Values{"_pragma": {"journal_mode(OFF)", "synchronous(OFF)"}}
	target := url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}
	return c.sql.Raw(func(driver any) error {
		d, ok := driver.(interface {
			NewBackup(string) (*sqlite.Backup, error)
		})
		if !ok {
			return contracts.Errorf(contracts.Internal, "copy store: the driver makes no copies")
		}
		s.copying, err = d.NewBackup(target.String())
		return err
	})
}

// stepCopy copies until nothing is left, and ends the copy.
func (s *Store) stepCopy(ctx context.Context, progress func(done, all int64)) error {
	for {
		var (
			more      bool
			took      time.Duration
			left, all int
		)
		err := s.alone(ctx, func(*conn) (err error) {
			if s.copying == nil {
				return contracts.Errorf(contracts.Unavailable, "copy store: the store is closed")
			}
			begun := time.Now()
			if more, err = s.copying.Step(copyPages); err != nil {
				return err
			}
			left, all = s.copying.Remaining(), s.copying.PageCount()
			if !more {
				err = s.endCopy()
			}
			took = time.Since(begun)
			return err
		})
		if err != nil {
			return err
		}
		if progress != nil {
			progress(int64(all-left)*pageSize, int64(all)*pageSize)
		}
		if !more {
			return nil
		}
		rest := time.NewTimer(min(copyShare*took, copyRest))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return contracts.Errorf(contracts.Canceled, "copy store: %w", context.Cause(ctx))
		}
	}
}

// endCopy lets go of a copy, whole or not. The writer's goroutine alone calls it.
func (s *Store) endCopy() error {
	if s.copying == nil {
		return nil
	}
	err := s.copying.Finish()
	s.copying = nil
	return err
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncFolder(filepath.Dir(path)))
}

// A Copied is a database that Store.Copy made, opened for reading. Nothing is written, beside it neither.
type Copied struct {
	path string
	db   *sql.DB
}

// OpenCopy opens a copy. The file must not change while it is open.
func OpenCopy(ctx context.Context, path string) (*Copied, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, contracts.Errorf(contracts.Invalid, "open copy: %w", err)
	}
	if _, err := os.Stat(abs); err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "open copy: %w", err)
	}
	q := url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"query_only(ON)", "temp_store(MEMORY)", "trusted_schema(OFF)"}, "_dqs": {"false"}, "_error_rc": {"true"}}
	u := url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, contracts.Errorf(contracts.Internal, "open copy: %w", err)
	}
	c := &Copied{path: path, db: db}
	err = c.Read(ctx, func(v *View) error {
		var app int
		if err := v.QueryRow("PRAGMA application_id").Scan(&app); err != nil {
			return err
		}
		if app != applicationID {
			return contracts.Errorf(contracts.Conflict, "open copy: %s is no store of this program", path)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return c, nil
}

// Read runs fn on the copy. It may take as long as ctx lasts: nobody writes, so nobody is kept waiting.
func (c *Copied) Read(ctx context.Context, fn func(*View) error) error {
	raw, err := c.db.Conn(ctx)
	if err != nil {
		return copyError(ctx, err)
	}
	k := newConn(raw)
	err = fn(&View{ctx: ctx, c: k})
	return copyError(ctx, errors.Join(err, k.close()))
}

func copyError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return contracts.Errorf(contracts.Canceled, "read copy: %w", context.Cause(ctx))
	}
	return storageError("read copy", err)
}

// Check has SQLite examine the whole file: every page, and that every row is in its indexes.
func (c *Copied) Check(ctx context.Context) error {
	var said string
	err := c.Read(ctx, func(v *View) error { return v.QueryRow("PRAGMA integrity_check(1)").Scan(&said) })
	if err == nil && said != "ok" {
		err = contracts.Errorf(contracts.Internal, "check copy: %s is damaged: %s", c.path, said)
	}
	return err
}

// Head gives the head that the copy holds; false when none was ever set.
func (c *Copied) Head(ctx context.Context) (h Head, ok bool, err error) {
	err = c.Read(ctx, func(v *View) (err error) {
		h, err = StoredHead(v)
		return err
	})
	return h, h.Chain != "", err
}

// Generation is how often the store had been opened when the copy was made.
func (c *Copied) Generation(ctx context.Context) (n uint64, err error) {
	err = c.Read(ctx, func(v *View) error {
		var i int64
		defer func() { n = uint64(i) }()
		return v.QueryRow("SELECT generation FROM store_meta").Scan(&i)
	})
	return n, err
}

// Keys gives the ids of the keys that ever sealed something in it, as KeyID names them.
func (c *Copied) Keys(ctx context.Context) (ids []string, err error) {
	err = c.Read(ctx, func(v *View) error {
		rows, err := v.Query("SELECT id FROM store_key ORDER BY id")
		if err != nil {
			return err
		}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	return ids, err
}

// Close lets go of the file.
func (c *Copied) Close() error { return c.db.Close() }

// MissingKeys gives those of the ids that a text of keys, in the form of Config.Key, does not hold.
func MissingKeys(text []byte, ids []string) (missing []string, err error) {
	r, err := parseKeys(text)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		raw, err := hex.DecodeString(id)
		if err != nil || len(raw) != idSize {
			return nil, contracts.Errorf(contracts.Malformed, "store keys: %q is no key id", id)
		}
		if r.keys[keyID(raw)] == nil {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// MarkRecovered marks a database that is not open as a restored copy, so that the next start counts as recovered whether
// or not anybody says so (see Options.Recovered). The file is forced to the disk.
func MarkRecovered(ctx context.Context, path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return contracts.Errorf(contracts.Invalid, "mark as recovered: %w", err)
	}
	u := url.URL{Scheme: "file", Path: abs, RawQuery: url.Values{"mode": {"rw"}, "_error_rc": {"true"}}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return contracts.Errorf(contracts.Internal, "mark as recovered: %w", err)
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, "UPDATE store_meta SET recovering = 1")
	if err := errors.Join(err, db.Close()); err != nil { // closing moves the write-ahead log into the file and removes it
		return storageError("mark as recovered", err)
	}
	if _, err := os.Stat(abs + "-wal"); !errors.Is(err, os.ErrNotExist) {
		return contracts.Errorf(contracts.Internal, "mark as recovered: a write-ahead log was left beside %s", path)
	}
	if err := syncFile(abs); err != nil {
		return contracts.Errorf(contracts.Unavailable, "mark as recovered: %w", err)
	}
	return nil
}

// Hold takes the lock that keeps every other process from opening the store at path, without opening it.
func Hold(path string, now time.Time) (release func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "hold store: %w", err)
	}
	f, err := lock(path+".lock", now)
	if err != nil {
		return nil, fmt.Errorf("hold store: %w", err)
	}
	return f.Close, nil
}
