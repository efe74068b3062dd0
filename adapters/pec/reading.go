package pec

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	maxWatched    = 20
	leastPurgeAge = 24 * time.Hour
)

// watched are the folders that are read, by their configured names.
func (m *Mailbox) watched() []string {
	if len(m.Folders) == 0 {
		return []string{defaultFolder}
	}
	return m.Folders
}

// reading checks what a person wrote about how the mailbox is read.
func (v *validation) reading(at string, m Mailbox) {
	if len(m.Folders) > maxWatched {
		v.fault(at+"folders", "want at most %d", maxWatched)
	}
	for i, f := range m.Folders {
		switch {
		case f == "" || len(f) > 255 || strings.ContainsFunc(f, func(r rune) bool { return r < ' ' || r == 0x7f }):
			v.fault(fmt.Sprintf("%sfolders[%d]", at, i), "want a folder's name")
		case slices.Contains(m.Folders[:i], f):
			v.fault(fmt.Sprintf("%sfolders[%d]", at, i), "stands here twice")
		}
	}
	if m.PurgeAfter != 0 && m.PurgeAfter < leastPurgeAge {
		v.fault(at+"purge_after", "want at least %v, or 0 for never", leastPurgeAge)
	}
}
