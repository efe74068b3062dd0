package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"raccordo/contracts"
)

// maxBackups is how many copies made before migrations are kept beside the database.
const maxBackups = 3

// schema is the store's own room.
func schema() []string {
	return []string{
		`
		CREATE TABLE store_meta (id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL, recovering INTEGER NOT NULL) STRICT;
		INSERT INTO store_meta VALUES (1, 0, 0);
		CREATE TABLE store_head (id INTEGER PRIMARY KEY CHECK (id = 1), chain TEXT NOT NULL, seq INTEGER NOT NULL, sum BLOB NOT NULL,
			at INTEGER NOT NULL, proof BLOB) STRICT;
		CREATE TABLE store_key (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;`,
	}
}

// Migrate brings the tables of a room to the state that steps describe: it runs, in order and in one transaction, the
// steps that this database has not seen. Steps are only ever added at the end; a step that has run must not be changed.
// A database that has seen more steps than the program knows is refused, since it belongs to a newer program. Before the
// first step on a database that was not made by this Open, a copy of the file is laid beside it (path.before-N, of which
// the latest three are kept).
func (s *Store) Migrate(ctx context.Context, room string, steps []string) error {
	return s.alone(ctx, func(c *conn) error { return s.migrate(c, room, steps) })
}

func (s *Store) migrate(c *conn, room string, steps []string) error {
	fail := func(kind contracts.Kind, format string, args ...any) error {
		return contracts.Errorf(kind, "migrate %s: "+format, append([]any{room}, args...)...)
	}
	ctx := context.Background()
	if _, err := c.exec(ctx, `CREATE TABLE IF NOT EXISTS store_migration (room TEXT NOT NULL, step INTEGER NOT NULL, sum BLOB NOT NULL,
		at INTEGER NOT NULL, PRIMARY KEY (room, step)) STRICT, WITHOUT ROWID`); err != nil {
		return storageError("migrate "+room, err)
	}
	seen, err := seenSteps(c, room)
	if err != nil {
		return storageError("migrate "+room, err)
	}
	if len(seen) > len(steps) {
		return fail(contracts.Conflict, "the database has seen %d steps and this program knows %d: it was written by a newer version; use that version, or restore the copy made before its migration",
			len(seen), len(steps))
	}
	for i, sum := range seen {
		if sum != stepSum(steps[i]) {
			return fail(contracts.Conflict, "step %d differs from the one that this database has seen; add a new step instead of changing it", i+1)
		}
	}
	if len(seen) == len(steps) {
		return nil
	}
	if err := s.backup(c); err != nil {
		return err
	}
	err = s.apply(c, room, steps, len(seen))
	if err != nil {
		_, _ = c.exec(ctx, "ROLLBACK") // may have happened already
		return fail(contracts.Internal, "%w", storageError("write", err))
	}
	s.log.Info("store: migrated", slog.String("room", room), slog.Int("from", len(seen)), slog.Int("to", len(steps)))
	return nil
}

func (s *Store) apply(c *conn, room string, steps []string, from int) error {
	ctx := context.Background()
	if _, err := c.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for i := from; i < len(steps); i++ {
		if _, err := c.sql.ExecContext(ctx, steps[i]); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		sum := stepSum(steps[i])
		if _, err := c.exec(ctx, "INSERT INTO store_migration (room, step, sum, at) VALUES (?, ?, ?, ?)",
			room, i+1, sum[:], s.clock.Now().UnixNano()); err != nil {
			return err
		}
	}
	if _, err := c.exec(ctx, "COMMIT"); err != nil {
		return err
	}
	return s.sync()
}

// stepSum digests a step without its white space, which may be laid out anew.
func stepSum(step string) contracts.Sum {
	return contracts.SumOf([]byte(strings.Join(strings.Fields(step), " ")))
}

func seenSteps(c *conn, room string) (seen []contracts.Sum, err error) {
	rows, err := c.query(context.Background(), "SELECT sum FROM store_migration WHERE room = ? ORDER BY step", room)
	if err != nil {
		return nil, err
	}
	defer c.tidy()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		if len(b) != len(contracts.Sum{}) {
			return nil, errors.New("store_migration holds something that is no digest")
		}
		seen = append(seen, contracts.Sum(b))
	}
	return seen, rows.Err()
}

// backup copies a database that this Open has not made, once.
func (s *Store) backup(c *conn) error {
	if s.fresh || s.backedUp {
		return nil
	}
	fail := func(kind contracts.Kind, err error) error {
		return contracts.Errorf(kind, "migrate: no copy of the database could be made first: %w", err)
	}
	info, err := os.Stat(s.cfg.Path)
	if err != nil {
		return fail(contracts.Unavailable, err)
	}
	if free, err := s.reserve.space(s.cfg.Path); err == nil && free < info.Size()+s.cfg.Reserve {
		return fail(contracts.Unavailable, fmt.Errorf("%s are free and %s are needed", amount(free), amount(info.Size()+s.cfg.Reserve)))
	}
	path := fmt.Sprintf("%s.before-%d", s.cfg.Path, s.clock.Now().UnixNano())
	if err := copyDatabase(c.sql, path); err != nil {
		_ = os.Remove(path)
		return fail(contracts.Unavailable, err)
	}
	s.backedUp = true
	s.log.Info("store: copied before a migration", slog.String("path", path))
	old, err := filepath.Glob(globQuote(s.cfg.Path) + ".before-*")
	if err != nil {
		return fail(contracts.Internal, err)
	}
	slices.Sort(old)
	for len(old) > maxBackups {
		if err := os.Remove(old[0]); err != nil {
			return fail(contracts.Unavailable, err)
		}
		old = old[1:]
	}
	return nil
}

// globQuote makes the letters that filepath.Glob reads as patterns plain.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func copyDatabase(c *sql.Conn, path string) error {
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil { // SQLite fills an empty file, and would make it readable to all
		return err
	} else if err := f.Close(); err != nil {
		return err
	}
	if _, err := c.ExecContext(context.Background(), "VACUUM INTO ?", path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncFolder(filepath.Dir(path)))
}
