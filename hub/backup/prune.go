package backup

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"raccordo/contracts"
)

// Prune removes the oldest completed backups beyond the latest keep, and then the files of proofs that no backup left
// lists: what was erased from the hub leaves its backups with the last one that held it. It gives the names of the
// backups removed. Who calls it sees to it that no backup is made meanwhile.
func Prune(ctx context.Context, dir string, keep int) (removed []string, err error) {
	if keep < 1 {
		return nil, contracts.Errorf(contracts.Invalid, "prune backups: want to keep 1 at least")
	}
	all, err := List(dir)
	if err != nil {
		return nil, err
	}
	for len(all) > keep {
		gone := all[0]
		all = all[1:]
		// Without its manifest it is no backup any more, whatever becomes of the rest.
		if err := os.Remove(filepath.Join(gone.Path, manifestName)); err != nil {
			return removed, disk(err)
		}
		if err := errors.Join(syncFolder(gone.Path), os.RemoveAll(gone.Path)); err != nil {
			return removed, disk(err)
		}
		removed = append(removed, filepath.Base(gone.Path))
	}
	if err := syncFolder(dir); err != nil {
		return removed, disk(err)
	}
	return removed, disk(sweep(ctx, dir, all))
}

// sweep removes the files that no list names. Lists and folders are read side by side in one order, so memory stays
// bounded by the number of backups and one folder.
func sweep(ctx context.Context, dir string, kept []Backup) error {
	var lists []*ahead
	defer func() {
		for _, l := range lists {
			_ = l.close() // only read from
		}
	}()
	for _, b := range kept {
		l, err := openList(filepath.Join(b.Path, listName))
		if err != nil {
			return err
		}
		a := &ahead{lister: l}
		lists = append(lists, a)
		if err := a.pull(); err != nil {
			return err
		}
	}
	folders, err := os.ReadDir(filepath.Join(dir, proofsName))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		files, err := os.ReadDir(filepath.Join(dir, proofsName, folder.Name()))
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := ctx.Err(); err != nil {
				return contracts.AsError(err)
			}
			name := path.Join(proofsName, folder.Name(), file.Name())
			if plain, _, _ := strings.Cut(file.Name(), "."); new(contracts.Sum).UnmarshalText([]byte(plain)) != nil {
				continue // not ours
			}
			listed := false
			for _, l := range lists {
				for !l.ended && l.line.name < name {
					if err := l.pull(); err != nil {
						return err
					}
				}
				listed = listed || !l.ended && l.line.name == name
			}
			if !listed {
				if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ahead is a list and the line that comes next.
type ahead struct {
	*lister
	line  line
	ended bool
}

// pull goes on to the next proof.
func (a *ahead) pull() (err error) {
	for {
		a.line, err = a.next()
		if errors.Is(err, io.EOF) {
			a.ended = true
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok := a.line.proof(); ok {
			return nil
		}
	}
}
