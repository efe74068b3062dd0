package store

import (
	"errors"
	"os"
	"syscall"
)

// allocate makes a file of size bytes whose blocks are really taken.
func allocate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		err = zeros(f, size)
	}
	return errors.Join(err, f.Close())
}
