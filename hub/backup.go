package hub

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"raccordo/contracts"
	"raccordo/hub/backup"
	"raccordo/hub/store"
)

// A BackupOrder is what an operator says about a backup.
type BackupOrder struct {
	Dir      string `json:"dir"`            // the folder of backups, as the hub's machine sees it; absolute
	Keep     int    `json:"keep,omitempty"` // remove the oldest beyond so many; zero: remove none
	Operator string `json:"operator"`
}

// A BackupResult is what came of it.
type BackupResult struct {
	backup.Backup
	Removed []string `json:"removed,omitempty"` // older backups
}

// Backup makes a backup while the hub is at work, enters it in the ledger, and marks the proofs in it (Backed). One at a
// time. progress may be nil; it is called on the caller's goroutine.
func (h *Hub) Backup(ctx context.Context, order BackupOrder, progress func(backup.Progress)) (out BackupResult, err error) {
	if strings.TrimSpace(order.Operator) == "" || len(order.Operator) > maxWords {
		return out, contracts.Errorf(contracts.Invalid, "backup: say who you are: it goes into the ledger")
	}
	if !filepath.IsAbs(order.Dir) || order.Keep < 0 {
		return out, contracts.Errorf(contracts.Invalid, "backup: want an absolute path of a folder, and a number of backups to keep that is not negative")
	}
	if !h.backing.TryLock() {
		return out, contracts.Errorf(contracts.Conflict, "backup: another one is being made; wait for it")
	}
	defer h.backing.Unlock()
	out.Backup, err = backup.Make(ctx, order.Dir, backup.Source{
		Store: h.store, Archive: h.cfg.Archive, Chain: h.ledger.Chain(), Now: h.clock.Now(),
	}, progress)
	if err != nil {
		return out, err
	}
	err = h.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		_, err := h.ledger.Append(tx, contracts.Entry{
			Phase: contracts.PhaseOperator, Outcome: "backup", System: "hub", Reason: "backup " + filepath.Base(out.Path),
			Caller: contracts.Caller{Service: "hub", Purpose: "operation", User: order.Operator},
			Proof:  []contracts.Sum{out.Digest},
		})
		return err
	})
	if err != nil {
		return out, err
	}
	if err := h.marks.Note(ctx, out.Backup); err != nil {
		return out, err
	}
	if order.Keep > 0 {
		out.Removed, err = backup.Prune(ctx, order.Dir, order.Keep)
	}
	return out, err
}

// Backed reports whether a proof is contained in a completed backup.
func (h *Hub) Backed(ctx context.Context, proof contracts.Sum) (bool, error) {
	return h.marks.Backed(ctx, proof)
}

// A backupLine is one line of the answer to an operator: how far it has come, and at last what came of it.
type backupLine struct {
	Progress *backup.Progress `json:"progress,omitempty"`
	Result   *BackupResult    `json:"result,omitempty"`
	Err      *contracts.Error `json:"error,omitempty"`
}

// backupPause is how often a caller hears how far a backup has come, and backupSilence how long one end may fail to read.
const (
	backupPause   = time.Second
	backupSilence = time.Minute
)

// serveBackup makes a backup for an operator behind the socket, until the operator hangs up or the hub drains.
func (h *Hub) serveBackup(until context.Context, w http.ResponseWriter, r *http.Request) {
	var order BackupOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOperatorBody)).Decode(&order); err != nil {
		http.Error(w, "not an order", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(until, cancel)()
	control, enc := http.NewResponseController(w), json.NewEncoder(w)
	tell := func(l backupLine) {
		_ = control.SetReadDeadline(time.Now().Add(backupSilence)) // or the server would take the silence for an end
		_ = control.SetWriteDeadline(time.Now().Add(backupSilence))
		_ = enc.Encode(l) // whoever has hung up cancels the context
		_ = control.Flush()
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	var now atomic.Pointer[backup.Progress]
	now.Store(&backup.Progress{})
	done := make(chan backupLine, 1)
	go func() {
		out, err := h.Backup(ctx, order, func(p backup.Progress) { now.Store(&p) })
		if err != nil {
			done <- backupLine{Err: contracts.AsError(err)}
			return
		}
		done <- backupLine{Result: &out}
	}()
	tick := time.NewTicker(backupPause)
	defer tick.Stop()
	for {
		tell(backupLine{Progress: now.Load()})
		select {
		case l := <-done: // also when the context ends: nobody leaves before the backup has let go
			tell(l)
			return
		case <-tick.C:
		}
	}
}

// Backup has the running hub make a backup.
func (r *remote) Backup(ctx context.Context, order BackupOrder, progress func(backup.Progress)) (out BackupResult, err error) {
	gone := func(err error) error {
		return &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "backup", Err: err}
	}
	b, err := json.Marshal(order)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://operator/backup", bytes.NewReader(b))
	if err != nil {
		return out, err
	}
	patient := r.http
	patient.Timeout = 0 // it takes as long as it takes, and says that it lives
	resp, err := patient.Do(req)
	if err != nil {
		return out, gone(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		var l backupLine
		switch err := json.Unmarshal(lines.Bytes(), &l); {
		case err != nil:
			return out, contracts.Errorf(contracts.Internal, "backup: the hub answered %s and nothing that can be read", resp.Status)
		case l.Err != nil:
			return out, l.Err
		case l.Result != nil:
			return *l.Result, nil
		case l.Progress != nil && progress != nil:
			progress(*l.Progress)
		}
	}
	if err := lines.Err(); err != nil {
		return out, gone(err)
	}
	return out, contracts.Errorf(contracts.Unavailable, "backup: the hub broke off; what it left is no completed backup")
}
