package backup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
)

// A list may come from a disk that others can write: whatever it says, it leads to nothing but files of backups.
func FuzzList(f *testing.F) {
	sum := contracts.SumOf([]byte("x"))
	f.Add(sum.String() + "  hub.db\n" + sum.String() + "  ../" + proofName(sum, sum) + "\n")
	f.Add(sum.String() + "  ../../etc/passwd\n")
	f.Add(sum.String() + " *hub.db\r\n")
	f.Add("\n\n  \n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), listName)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openList(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.close() }() // only read from
		for {
			one, err := l.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				if contracts.KindOf(err) != contracts.Malformed {
					t.Errorf("refused with %v", err)
				}
				return
			}
			if one.name != databaseName && (!filepath.IsLocal(one.name) || !strings.HasPrefix(one.name, proofsName+"/")) {
				t.Errorf("the list leads to %q", one.name)
			}
		}
	})
}
