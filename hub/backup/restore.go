package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/hub/archive"
	"raccordo/hub/store"
)

// A Target is where a backup is put.
type Target struct {
	Store   string // path of the database
	Archive string // folder of proofs
	// Aside moves what lies there away, to names that end in ".aside-INSTANT"; without it a target that holds something
	// is refused.
	Aside bool
	Now   time.Time
	// Step is as in Source.
	Step func(name string) error
}

// A Restored says what Restore did.
type Restored struct {
	Backup Backup   `json:"backup"`
	Store  string   `json:"store"`
	Files  int64    `json:"files"`
	Aside  []string `json:"aside,omitempty"` // where what lay there is now
}

// Restore puts a backup that Verify has found good in its place: first the proofs, then, in one step and last, the
// database, marked as a restored copy, so that the next start counts as recovered. Every byte is compared with its digest
// once more while it is copied. Until all of it is on the disk under other names nothing at the target is touched. The
// head file stays as it is: it must not grow older.
func Restore(ctx context.Context, b Backup, to Target, progress func(Progress)) (Restored, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	out := Restored{Backup: b, Store: to.Store}
	release, err := store.Hold(to.Store, to.Now)
	if err != nil {
		return out, err
	}
	r := &restorer{ctx: ctx, b: b, to: to, out: &out, progress: progress}
	err = r.run()
	return out, errors.Join(disk(err), release())
}

type restorer struct {
	ctx      context.Context
	b        Backup
	to       Target
	out      *Restored
	progress func(Progress)
}

const restoring = ".restoring"

func (r *restorer) run() error {
	held, err := r.held()
	if err != nil {
		return err
	}
	if len(held) > 0 && !r.to.Aside {
		return contracts.Errorf(contracts.Conflict, "restore: %s is there already; move it away, or have it moved with -aside", strings.Join(held, ", "))
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"proofs", r.proofs},
		{"database", r.database},
		{"aside", func() error { return r.aside(held) }},
		{"place proofs", func() error { return r.rename(r.to.Archive) }},
		{"place database", func() error { return r.rename(r.to.Store) }},
	} {
		if r.to.Step != nil {
			if err := r.to.Step(step.name); err != nil {
				return err
			}
		}
		if err := step.do(); err != nil {
			return err
		}
	}
	return nil
}

// held lists what lies at the target. A write-ahead log of another database would be taken for the restored one's.
func (r *restorer) held() (there []string, err error) {
	for _, path := range []string{r.to.Store, r.to.Store + "-wal", r.to.Store + "-shm", r.to.Store + "-journal", r.to.Archive} {
		switch info, err := os.Stat(path); {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, err
		case info.IsDir():
			inside, err := os.ReadDir(path)
			if err != nil {
				return nil, err
			}
			if len(inside) == 0 { // a mount point, or made by hand
				if err := os.Remove(path); err != nil {
					return nil, err
				}
				continue
			}
			there = append(there, path)
		default:
			there = append(there, path)
		}
	}
	return there, nil
}

// proofs copies the files to a folder beside the target.
func (r *restorer) proofs() error {
	folder := r.to.Archive + restoring
	if err := os.RemoveAll(folder); err != nil { // of a restore that was interrupted
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	list, err := openList(filepath.Join(r.b.Path, listName))
	if err != nil {
		return err
	}
	defer func() { _ = list.close() }() // only read from
	folders := map[string]bool{}
	for {
		one, err := list.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		plain, ok := one.proof()
		if !ok {
			continue
		}
		to := filepath.Join(folder, archive.FileName(plain))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		folders[filepath.Dir(to)] = true // 256 at most
		if err := r.copy(filepath.Join(filepath.Dir(r.b.Path), filepath.FromSlash(one.name)), to, one.sum); err != nil {
			return err
		}
		r.out.Files++
		r.progress(Progress{"restore proofs", r.out.Files, r.b.Manifest.Files})
	}
	for dir := range folders {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	return syncFolder(folder)
}

func (r *restorer) copy(from, to string, want contracts.Sum) error {
	sum, _, err := copyFile(r.ctx, from, to)
	if err == nil && sum != want {
		err = contracts.Errorf(contracts.Internal, "restore: %s was changed since it was verified", from)
	}
	return err
}

func (r *restorer) database() error {
	r.progress(Progress{Stage: "restore database"})
	file := r.to.Store + restoring
	for _, left := range []string{file, file + "-wal", file + "-shm", file + "-journal"} {
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := r.copy(filepath.Join(r.b.Path, databaseName), file, r.b.Manifest.Database.Sum); err != nil {
		return err
	}
	return store.MarkRecovered(r.ctx, file)
}

// aside moves away what lies at the target. A database's write-ahead log goes with it: it may hold what the database lacks.
func (r *restorer) aside(held []string) error {
	suffix := ".aside-" + r.to.Now.UTC().Format(instantForm)
	for _, path := range held {
		base, tail := path, ""
		for _, t := range []string{"-wal", "-shm", "-journal"} {
			if path == r.to.Store+t {
				base, tail = r.to.Store, t // beside the database's new name, so that SQLite finds it
			}
		}
		away := base + suffix + tail
		if _, err := os.Lstat(away); err == nil {
			return contracts.Errorf(contracts.Conflict, "restore: %s is there already", away)
		}
		if err := os.Rename(path, away); err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(path)); err != nil {
			return err
		}
		r.out.Aside = append(r.out.Aside, away)
	}
	return nil
}

func (r *restorer) rename(path string) error {
	if err := os.Rename(path+restoring, path); err != nil {
		return fmt.Errorf("put in place: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}
