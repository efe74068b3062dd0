package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"raccordo/contracts"
)

// A Head says how far a chain of entries had come. The ledger sets it with Tx.SetHead; the store keeps it in the
// database and, once it is on the disk for certain, in the file Config.Head.
type Head struct {
	Chain string        `json:"chain"`
	Seq   uint64        `json:"seq"`
	Sum   contracts.Sum `json:"sum"`
	At    time.Time     `json:"at"`
	Proof []byte        `json:"proof,omitempty"` // the ledger's signature over the rest, in its own form
}

// headFile is what Config.Head holds.
type headFile struct {
	Generation uint64 `json:"generation"` // of the store: how often it was opened
	Head
}

// SetHead stores the head as this group leaves it.
func (tx *Tx) SetHead(h Head) error {
	_, err := tx.Exec(`INSERT INTO store_head (id, chain, seq, sum, at, proof) VALUES (1, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET chain = excluded.chain, seq = excluded.seq, sum = excluded.sum, at = excluded.at, proof = excluded.proof`,
		h.Chain, int64(h.Seq), h.Sum[:], h.At.UnixNano(), h.Proof)
	if err != nil {
		return err
	}
	tx.head = &h
	return nil
}

// StoredHead reads the head in the database, as the transaction of q sees it; a zero Head when none was ever set.
func StoredHead(q Querier) (h Head, err error) {
	var seq, at int64
	var sum []byte
	err = q.QueryRow("SELECT chain, seq, sum, at, proof FROM store_head").Scan(&h.Chain, &seq, &sum, &at, &h.Proof)
	if errors.Is(err, sql.ErrNoRows) {
		return Head{}, nil
	}
	if err == nil && len(sum) != len(h.Sum) {
		err = errors.New("store_head holds something that is no digest")
	}
	if err != nil {
		return Head{}, err
	}
	h.Seq, h.Sum, h.At = uint64(seq), contracts.Sum(sum), time.Unix(0, at).UTC()
	return h, nil
}

// Head gives the head in the database, as last committed; false when none was ever set.
func (s *Store) Head() (Head, bool) {
	h := s.head.get()
	return h, h.Chain != ""
}

// HeadFile reads the head from Config.Head; false when none is configured or nothing is there yet.
func (s *Store) HeadFile() (Head, bool, error) {
	f, ok, err := readHead(s.cfg.Head)
	return f.Head, ok && f.Chain != "", err
}

func readHead(path string) (f headFile, ok bool, err error) {
	if path == "" {
		return f, false, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return f, false, nil
	}
	if err != nil {
		return f, false, contracts.Errorf(contracts.Unavailable, "read the head file: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, 64<<10))
	if err != nil {
		return f, false, contracts.Errorf(contracts.Unavailable, "read the head file: %w", err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, false, contracts.Errorf(contracts.Unavailable, "read the head file: %s is damaged; move it away and start with -recovered: %w", path, err)
	}
	return f, true, nil
}

// older says why the database must be older than the head file, or nothing.
func older(db, file headFile) string {
	switch {
	case file.Chain != "" && db.Chain != "" && file.Chain != db.Chain:
		return "the head file is of another store"
	case file.Generation > db.Generation:
		return "the store has been opened since this copy of it was made"
	case file.Seq > db.Seq:
		return "the ledger had come further than this copy of it"
	case file.Seq == db.Seq && file.Sum != db.Sum:
		return "the ledger had gone on otherwise than in this copy of it"
	}
	return ""
}

// A headKeeper writes the head file behind the commits: what it writes is always on the disk already, and it may be a
// little behind.
type headKeeper struct {
	path string
	log  *slog.Logger
	bell chan struct{}
	done chan struct{}

	mu        sync.Mutex
	committed headFile
	durable   headFile
	closed    bool
}

func newHeadKeeper(path string, log *slog.Logger, now headFile) *headKeeper {
	return &headKeeper{path: path, log: log, bell: make(chan struct{}, 1), done: make(chan struct{}), committed: now, durable: now}
}

func (k *headKeeper) set(h Head) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.committed.Head = h
}

func (k *headKeeper) get() Head {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.committed.Head
}

// publish says that what is committed is also on the disk.
func (k *headKeeper) publish() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.durable = k.committed
	k.ring()
}

func (k *headKeeper) ring() {
	select {
	case k.bell <- struct{}{}:
	default:
	}
}

// run writes the file whenever the head has moved, as fast as the disk allows and no faster.
func (k *headKeeper) run() {
	defer close(k.done)
	var written headFile
	for range k.bell {
		k.mu.Lock()
		now, closed := k.durable, k.closed
		k.mu.Unlock()
		if k.path != "" && (written.Generation != now.Generation || written.Seq != now.Seq || written.Sum != now.Sum) {
			if err := writeHead(k.path, now); err != nil {
				k.log.Warn("store: head file not written", slog.Any("error", err))
			} else {
				written = now
			}
		}
		if closed {
			return
		}
	}
}

func (k *headKeeper) close() {
	k.mu.Lock()
	k.closed = true
	k.ring()
	k.mu.Unlock()
	<-k.done
}

// writeHead replaces the file in one step, so that a crash leaves the old one or the new one.
func writeHead(path string, h headFile) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	return err
}

// syncFolder makes a rename or a new name in the folder last.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
