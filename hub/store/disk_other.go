//go:build !unix

package store

import (
	"errors"
	"os"
)

func freeDisk(string) (int64, error) { return 0, errors.ErrUnsupported }

// tryLock cannot be had here, and without it two processes could share a file: so the store does not open.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
