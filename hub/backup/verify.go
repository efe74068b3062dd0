package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// maxProblems bounds a report.
const maxProblems = 100

// A Report is what Verify found.
type Report struct {
	Backup   Backup   `json:"backup"`
	Bytes    int64    `json:"bytes"` // how many were read
	Problems []string `json:"problems,omitempty"`
	More     int      `json:"more,omitempty"` // problems beyond those listed
}

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Err is nil when nothing was found, and otherwise names the first problem.
func (r *Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return contracts.Errorf(contracts.Internal, "backup %s does not verify: %s (%d problems)", r.Backup.Path, r.Problems[0], len(r.Problems)+r.More)
}

// Verify reads every byte of a completed backup: each file's digest, that none is missing, and that the database is sound
// and the one that the manifest speaks of. ledger, which may be nil, is asked to examine the evidence in it. The error
// names the first problem, or says why the backup could not be examined. It writes nothing.
func Verify(ctx context.Context, dir string, ledger func(*store.Copied) (problems []string, err error), progress func(Progress)) (Report, error) {
	b, err := Find(dir)
	r := Report{Backup: b}
	if err != nil {
		return r, err
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	all := b.Manifest.Database.Size + b.Manifest.FileBytes
	heard := func(n int64) {
		r.Bytes += n
		progress(Progress{"verify", r.Bytes, all})
	}
	if err := r.files(ctx, heard); err != nil {
		return r, disk(err)
	}
	if len(r.Problems) > 0 {
		return r, r.Err() // a database that was changed is not opened
	}
	if err := r.database(ctx, ledger); err != nil {
		return r, err
	}
	return r, r.Err()
}

// files compares every file with the list, and the list with the manifest.
func (r *Report) files(ctx context.Context, heard func(int64)) error {
	m, dir := r.Backup.Manifest, r.Backup.Path
	r.file(ctx, filepath.Join(dir, listName), m.List.Sum, listName, nil)
	if len(r.Problems) > 0 {
		return nil // what it says is not to be trusted
	}
	list, err := openList(filepath.Join(dir, listName))
	if err != nil {
		return err
	}
	defer func() { _ = list.close() }() // only read from
	var files int64
	for {
		one, err := list.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		if one.name == databaseName {
			r.file(ctx, filepath.Join(dir, databaseName), m.Database.Sum, databaseName, heard)
			continue
		}
		files++
		r.file(ctx, filepath.Join(filepath.Dir(dir), filepath.FromSlash(one.name)), one.sum, one.name, heard)
	}
	if err := ctx.Err(); err != nil {
		return contracts.Errorf(contracts.Canceled, "verify backup: %w", context.Cause(ctx))
	}
	if files != m.Files {
		r.problem("the manifest states %d files of proofs, the list names %d", m.Files, files)
	}
	return nil
}

func (r *Report) file(ctx context.Context, path string, want contracts.Sum, name string, heard func(int64)) {
	switch sum, _, err := digestFile(ctx, path, heard); {
	case ctx.Err() != nil: // the walk along the list ends with it
	case errors.Is(err, os.ErrNotExist):
		r.problem("%s is missing", name)
	case err != nil:
		r.problem("%s cannot be read: %v", name, err)
	case sum != want:
		r.problem("%s was changed: its digest does not fit", name)
	}
}

func (r *Report) database(ctx context.Context, ledger func(*store.Copied) ([]string, error)) error {
	c, err := store.OpenCopy(ctx, filepath.Join(r.Backup.Path, databaseName))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // only read from
	if err := c.Check(ctx); err != nil {
		r.problem("%v", err)
		return nil
	}
	head, _, err := c.Head(ctx)
	if err != nil {
		return err
	}
	if m := r.Backup.Manifest; head.Seq != m.Seq || head.Sum != m.Sum || head.Chain != "" && head.Chain != m.Chain {
		r.problem("the database ends with entry %d of chain %s, the manifest states entry %d of chain %s", head.Seq, head.Chain, m.Seq, m.Chain)
	}
	if ledger == nil {
		return nil
	}
	problems, err := ledger(c)
	for _, p := range problems {
		r.problem("ledger: %s", p)
	}
	if len(problems) > 0 {
		return nil
	}
	return err
}
