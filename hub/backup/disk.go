package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"

	"raccordo/contracts"
)

// copyFile copies a file to a temporary name and forces it to the disk; the digest is of what was read and written.
func copyFile(ctx context.Context, from, to string) (sum contracts.Sum, size int64, err error) {
	src, err := os.Open(from)
	if err != nil {
		return sum, 0, err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return sum, 0, err
	}
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(dst, h), &untilDone{ctx, src})
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		_ = os.Remove(to) // the error says more; what stays is cleared away by the next backup
		return sum, size, err
	}
	h.Sum(sum[:0])
	return sum, size, nil
}

// untilDone reads until a context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, contracts.Errorf(contracts.Canceled, "backup: %w", context.Cause(u.ctx))
	}
	return u.r.Read(p)
}

// replaceFile writes a file in one step, for certain: the old one stays or the new one is there.
func replaceFile(file string, b []byte) error {
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(file))
	}
	return err
}

// syncFolder makes new names in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mkdir makes a folder whose name lasts; one that is there is no error.
func mkdir(dir string) error {
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		return syncFolder(filepath.Dir(dir))
	case !errors.Is(err, os.ErrExist):
		return err
	}
	return nil
}

// disk gives an error of the file system its Kind.
func disk(err error) error {
	var known *contracts.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return contracts.Errorf(contracts.Unavailable, "backup: %w", err)
}
