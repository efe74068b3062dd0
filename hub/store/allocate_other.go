//go:build !linux

package store

import (
	"errors"
	"os"
)

// allocate makes a file of size bytes whose blocks are really taken.
func allocate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(zeros(f, size), f.Close())
}
