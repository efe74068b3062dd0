//go:build unix

package hub

import (
	"io/fs"
	"syscall"
)

// sameOwner reports whether one user owns both files.
func sameOwner(a, b fs.FileInfo) bool {
	x, ok1 := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && x.Uid == y.Uid
}
