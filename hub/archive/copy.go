package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// FileName is where the sealed file of a digest lies, below the archive's folder.
func FileName(sum contracts.Sum) string {
	name := sum.String()
	return filepath.Join(name[:2], name)
}

// Files calls fn with the digest and the path of each sealed file of an archive's folder, in the order of the digests,
// until fn fails or ctx ends. It may run beside an archive at work: files that come meanwhile may be told or not, and one
// that was told may be gone when it is opened.
func Files(ctx context.Context, dir string, fn func(sum contracts.Sum, path string) error) error {
	folders, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unavailable("walk", err)
	}
	for _, folder := range folders { // ReadDir sorts
		if len(folder.Name()) != 2 || !folder.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, folder.Name()))
		if err != nil {
			return unavailable("walk", err)
		}
		for _, file := range files {
			if err := ctx.Err(); err != nil {
				return contracts.AsError(err)
			}
			var sum contracts.Sum
			if sum.UnmarshalText([]byte(file.Name())) != nil || FileName(sum) != filepath.Join(folder.Name(), file.Name()) {
				continue // not ours
			}
			if err := fn(sum, filepath.Join(dir, FileName(sum))); err != nil {
				return err
			}
		}
	}
	return nil
}

// A Reader reads a database: a store, or a copy of one.
type Reader interface {
	Read(ctx context.Context, fn func(*store.View) error) error
}

// Rows calls fn with the digests of the small proofs that a database holds, page by page in the order in which they were
// kept, until fn fails or ctx ends.
func Rows(ctx context.Context, r Reader, fn func(page []contracts.Sum) error) error {
	for after := int64(-1); ; {
		var page []contracts.Sum
		err := r.Read(ctx, func(v *store.View) error {
			page = page[:0]
			rows, err := v.Query(`SELECT n, sum FROM archive_proof WHERE n > ? ORDER BY n LIMIT ?`, after, walkPage)
			if err != nil {
				return err
			}
			for rows.Next() {
				var raw []byte
				if err := rows.Scan(&after, &raw); err != nil {
					return err
				}
				if len(raw) != len(contracts.Sum{}) {
					return contracts.Errorf(contracts.Internal, "archive: walk: a row has an address that is no digest")
				}
				page = append(page, contracts.Sum(raw))
			}
			return rows.Err()
		})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		if err := fn(page); err != nil {
			return err
		}
	}
}
