package backup

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"raccordo/contracts"
	"raccordo/hub/archive"
	"raccordo/hub/store"
)

// Marks remember, in the store, which proofs are contained in a completed backup.
type Marks struct{ st *store.Store }

// markBatch is how many marks are written at once, so that the writer is never held for long.
const markBatch = 500

func schema() []string {
	return []string{`
		CREATE TABLE backup_proof (sum BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
		CREATE TABLE backup_done (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL, digest BLOB NOT NULL) STRICT;`}
}

// OpenMarks opens the marks of a store.
func OpenMarks(ctx context.Context, st *store.Store) (*Marks, error) {
	return &Marks{st}, st.Migrate(ctx, "backup", schema())
}

// Backed reports whether a proof is contained in a completed backup.
func (m *Marks) Backed(ctx context.Context, proof contracts.Sum) (bool, error) {
	var n int
	err := m.st.Read(ctx, func(v *store.View) error {
		return v.QueryRow("SELECT count(*) FROM backup_proof WHERE sum = ?", proof[:]).Scan(&n)
	})
	return n > 0, err
}

// Latest is when the latest completed backup was begun; zero: there was none.
func (m *Marks) Latest(ctx context.Context) (at time.Time, err error) {
	err = m.st.Read(ctx, func(v *store.View) error {
		var n int64
		if err := v.QueryRow("SELECT coalesce(max(at), 0) FROM backup_done").Scan(&n); err != nil {
			return err
		}
		if n != 0 {
			at = time.Unix(0, n).UTC()
		}
		return nil
	})
	return at, err
}

// Note marks the proofs that a completed backup holds. What a crash keeps from being marked, the next backup marks.
func (m *Marks) Note(ctx context.Context, b Backup) error {
	c, err := store.OpenCopy(ctx, filepath.Join(b.Path, databaseName))
	if err != nil {
		return err
	}
	err = archive.Rows(ctx, c, func(page []contracts.Sum) error {
		fresh, err := unmarked(ctx, c, page)
		if err != nil {
			return err
		}
		return m.put(ctx, fresh)
	})
	if err := errors.Join(err, c.Close()); err != nil {
		return err
	}
	if err := m.files(ctx, b); err != nil {
		return err
	}
	return m.st.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		_, err := tx.Exec("INSERT INTO backup_done VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at, digest = excluded.digest",
			b.Manifest.At.UnixNano(), b.Digest[:])
		return err
	})
}

func (m *Marks) files(ctx context.Context, b Backup) error {
	list, err := openList(filepath.Join(b.Path, listName))
	if err != nil {
		return err
	}
	defer func() { _ = list.close() }() // only read from
	var page []contracts.Sum
	for {
		one, err := list.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if plain, ok := one.proof(); ok {
			page = append(page, plain)
		}
		if len(page) == markBatch || err != nil {
			if err := m.put(ctx, page); err != nil {
				return err
			}
			page = page[:0]
		}
		if err != nil {
			return nil
		}
	}
}

// unmarked leaves out what was marked already when the copy was made, so that the writer is given the new ones only.
func unmarked(ctx context.Context, c *store.Copied, page []contracts.Sum) (fresh []contracts.Sum, err error) {
	err = c.Read(ctx, func(v *store.View) error {
		fresh = fresh[:0]
		for _, sum := range page {
			var n int
			if err := v.QueryRow("SELECT count(*) FROM backup_proof WHERE sum = ?", sum[:]).Scan(&n); err != nil {
				return err
			}
			if n == 0 {
				fresh = append(fresh, sum)
			}
		}
		return nil
	})
	return fresh, err
}

func (m *Marks) put(ctx context.Context, sums []contracts.Sum) error {
	if len(sums) == 0 {
		return nil
	}
	return m.st.Write(ctx, store.Settle, func(tx *store.Tx) error {
		for _, sum := range sums {
			if _, err := tx.Exec("INSERT INTO backup_proof (sum) VALUES (?) ON CONFLICT DO NOTHING", sum[:]); err != nil {
				return err
			}
		}
		return nil
	})
}
