package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"raccordo/contracts"
)

// A holder is what the lock file says of the process that has it.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// lock takes the exclusive lock that lets one process have the store. The file stays when the lock is given up, since
// the lock is on the open file and ends with the process, however it ends.
func lock(path string, now time.Time) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "open store: the lock file cannot be written; check owner and mode of its folder: %w", err)
	}
	ok, err := tryLock(f)
	if err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "open store: no lock on %s: %w", path, errors.Join(err, f.Close()))
	}
	if !ok {
		who := "another process"
		var h holder
		if b, err := io.ReadAll(io.LimitReader(f, 4096)); err == nil && json.Unmarshal(b, &h) == nil && h.PID != 0 {
			who = fmt.Sprintf("process %d on %s since %s", h.PID, h.Host, h.Since.Format(time.RFC3339))
		}
		_ = f.Close() // nothing was written
		return nil, contracts.Errorf(contracts.Conflict, "open store: %s is held by %s; stop that process first, or name another store.path", path, who)
	}
	host, _ := os.Hostname() // an unnamed host is no reason not to start
	b, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Since: now.UTC().Truncate(time.Second)})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(b, '\n'), 0)
	}
	if err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "open store: write the lock file: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}
