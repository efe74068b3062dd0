//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// freeDisk tells the bytes of free disk that an ordinary process may use, on the disk that holds path.
func freeDisk(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// tryLock takes the exclusive lock on f, or reports that another process (or another Open of this one) has it.
func tryLock(f *os.File) (ok bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
