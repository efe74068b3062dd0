// Package archive keeps proofs: content-addressed, sealed, erasable by law. A proof's address is the SHA-256 of its plain
// bytes, which is what entries and events carry; erasing the proof leaves the evidence that it was there.
//
// There are two places for them. Small ones that come with an event (Ready) are rows of a table of the archive's own, so
// that they are kept in the very commit that keeps what they prove. All others (Keep) are files outside of the database,
// on the disk before anything refers to them. Whoever opens, erases, seals anew or walks need not know which: a digest in
// both places is one proof.
//
// A row is sealed for its digest. A file is a mark of the format, a random file id, and frames: a length of four bytes (big-endian) and a sealed chunk of
// up to 64 KiB of plain bytes. Each chunk is sealed for the place "file id, number", so that memory stays bounded and no
// chunk can be swapped or moved to another file unnoticed; that none is missing, and that the file is the one it is named
// for, shows when the digest of what was read is compared with the address at the end.
//
// Files are written under a temporary name in the archive's own folder, forced to the disk, and renamed. What a crash
// leaves under a temporary name is cleared away by the next Open.
package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A Sealer seals bytes for a place (a table and a row); the store is one.
type Sealer interface {
	Seal(table, row string, plain []byte) ([]byte, error)
	Unseal(table, row string, sealed []byte) ([]byte, error)
}

// A Store seals, and holds the small proofs.
type Store interface {
	Sealer
	Migrate(ctx context.Context, room string, steps []string) error
	Read(ctx context.Context, fn func(*store.View) error) error
	Write(ctx context.Context, class store.Class, fn func(*store.Tx) error) error
}

// A Yielder is a Store that keeps some disk back for what is owed, and can give it back when the disk is full. Whether
// there was something to give is the answer. The store is one: a proof belongs to a receipt that must be settled.
type Yielder interface {
	Yield(ctx context.Context) bool
}

const tempDir = "tmp"

// An Archive is a table and a folder of sealed files. It is safe for concurrent use.
type Archive struct {
	dir   string
	store Store
}

// Open opens the archive in a store and a folder, makes it when it is missing, and clears away what a crash left half
// written. One process may have it; the store's lock sees to that.
func Open(ctx context.Context, dir string, st Store) (*Archive, error) {
	if err := st.Migrate(ctx, "archive", []string{schema1}); err != nil {
		return nil, err
	}
	temp := filepath.Join(dir, tempDir)
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return nil, unavailable("open", err)
	}
	left, err := os.ReadDir(temp)
	if err != nil {
		return nil, unavailable("open", err)
	}
	for _, e := range left {
		if err := os.Remove(filepath.Join(temp, e.Name())); err != nil {
			return nil, unavailable("open", err)
		}
	}
	return &Archive{dir: dir, store: st}, nil
}

// Keep stores what r gives, sealed and on the disk for certain when it returns, and gives the digest of the plain bytes.
// More than limit bytes are Invalid. A failure, whichever, leaves nothing behind. The same bytes again are kept once.
func (a *Archive) Keep(ctx context.Context, r io.Reader, limit int64) (contracts.Sum, error) {
	return a.keep(ctx, r, limit, func(sum contracts.Sum) bool { return a.hasRow(sum) })
}

// keep is Keep; a file of which known says that it is kept elsewhere is dropped.
func (a *Archive) keep(ctx context.Context, r io.Reader, limit int64, known func(contracts.Sum) bool) (contracts.Sum, error) {
	var f *os.File
	err := a.try(ctx, func() (err error) {
		f, err = os.CreateTemp(filepath.Join(a.dir, tempDir), "keep-*") // mode 0600
		return err
	})
	if err != nil {
		return contracts.Sum{}, unavailable("keep", err)
	}
	sum, err := a.write(ctx, f, r, limit)
	if err == nil && known(sum) {
		_ = f.Close()
		return sum, unavailable("keep", os.Remove(f.Name()))
	}
	if err == nil {
		err = unavailable("keep", f.Sync())
	}
	if closed := f.Close(); err == nil {
		err = unavailable("keep", closed)
	}
	if err == nil {
		err = unavailable("keep", a.try(ctx, func() error { return a.place(f.Name(), sum) }))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error says more; the next Open tries again
		return contracts.Sum{}, err
	}
	return sum, nil
}

// try tries a step once more where the disk was full and the store could make room.
func (a *Archive) try(ctx context.Context, step func() error) error {
	err := step()
	if y, ok := a.store.(Yielder); ok && errors.Is(err, syscall.ENOSPC) && y.Yield(ctx) {
		return step()
	}
	return err
}

// place gives a finished file its name, and makes the name last.
func (a *Archive) place(temp string, sum contracts.Sum) error {
	path := a.path(sum)
	folder := filepath.Dir(path)
	switch err := os.Mkdir(folder, 0o700); {
	case err == nil:
		if err := syncFolder(a.dir); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrExist):
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// Open gives the plain bytes of a proof; NotFound when it was never kept or has been erased. Reading fails, with
// Internal, where what is kept was changed; at the latest at its end, so the bytes are proof only once io.EOF has come.
func (a *Archive) Open(sum contracts.Sum) (io.ReadCloser, error) {
	row, known, err := a.openRow(sum)
	if known && err == nil {
		return row, nil
	}
	f, ferr := os.Open(a.path(sum))
	switch {
	case ferr == nil:
		return newReader(a.store, f, sum)
	case err != nil: // the row is all there is, or would be
		return nil, err
	case errors.Is(ferr, os.ErrNotExist):
		return nil, contracts.Errorf(contracts.NotFound, "open proof %s: it was never kept here, or has been erased", sum)
	}
	return nil, unavailable("open proof", ferr)
}

// Has reports whether a proof is there; what it holds is not read.
func (a *Archive) Has(sum contracts.Sum) bool { return a.hasRow(sum) || a.hasFile(sum) }

func (a *Archive) hasFile(sum contracts.Sum) bool {
	_, err := os.Stat(a.path(sum))
	return err == nil
}

// Erase removes a proof for good, from both places; erasing one that is not there is no error.
func (a *Archive) Erase(ctx context.Context, sum contracts.Sum) error {
	if err := a.eraseRow(ctx, sum); err != nil {
		return err
	}
	path := a.path(sum)
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	return unavailable("erase proof", err)
}

// Rewrap seals a proof again, with the newest key. It must not run beside an Erase of the same proof.
func (a *Archive) Rewrap(ctx context.Context, sum contracts.Sum) error {
	inTable, err := a.rewrapRow(ctx, sum)
	if err != nil || inTable && !a.hasFile(sum) {
		return err
	}
	f, err := os.Open(a.path(sum))
	if err != nil {
		return contracts.Errorf(contracts.NotFound, "rewrap proof %s: it was never kept here, or has been erased", sum)
	}
	r, err := newReader(a.store, f, sum)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return unavailable("rewrap proof", err)
	}
	_, err = a.keep(ctx, r, info.Size(), func(contracts.Sum) bool { return false }) // plain bytes are fewer than sealed ones
	return err
}

// Walk calls fn with the address of each proof, once, until fn fails or ctx ends: the rows in the order in which they were
// kept, then the files folder by folder.
func (a *Archive) Walk(ctx context.Context, fn func(contracts.Sum) error) error {
	if err := a.walkRows(ctx, fn); err != nil {
		return err
	}
	folders, err := os.ReadDir(a.dir)
	if err != nil {
		return unavailable("walk", err)
	}
	for _, folder := range folders {
		if folder.Name() == tempDir {
			continue
		}
		files, err := os.ReadDir(filepath.Join(a.dir, folder.Name()))
		if err != nil {
			return unavailable("walk", err)
		}
		for _, file := range files {
			if err := ctx.Err(); err != nil {
				return contracts.AsError(err)
			}
			var sum contracts.Sum
			if sum.UnmarshalText([]byte(file.Name())) != nil || a.hasRow(sum) {
				continue // not ours, or told already
			}
			if err := fn(sum); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Archive) path(sum contracts.Sum) string {
	name := sum.String()
	return filepath.Join(a.dir, name[:2], name)
}

// syncFolder makes a new name in the folder last.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// unavailable is nil for nil: nothing is there that was not there before, and it may be tried again.
func unavailable(operation string, err error) error {
	if err == nil {
		return nil
	}
	return contracts.Errorf(contracts.Unavailable, "archive: %s: %w", operation, err)
}
