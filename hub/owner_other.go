//go:build !unix

package hub

import "io/fs"

// sameOwner cannot be told here; the folder for temporary files is each user's own.
func sameOwner(_, _ fs.FileInfo) bool { return true }
