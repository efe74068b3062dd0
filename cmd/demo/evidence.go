package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/hub"
)

// rootsFile is what receipts are verified against, beside the folders.
const rootsFile = "roots.pem"

// A manifest says what lies in a message's folder and how it hangs together.
type manifest struct {
	Case     string            `json:"case"`
	Ticket   string            `json:"ticket"`
	Outcome  outcome           `json:"outcome"`
	Reason   string            `json:"reason,omitempty"`
	State    contracts.State   `json:"state"`
	Error    *contracts.Error  `json:"error,omitempty"`
	Dispatch json.RawMessage   `json:"dispatch,omitempty"` // message id, instants, status per recipient
	Message  contracts.Sum     `json:"message_sha256,omitzero"`
	Secret   bool              `json:"secret"` // the message's bytes were erased when it was settled: their digest stays
	Receipts []manifestReceipt `json:"receipts"`
}

type manifestReceipt struct {
	File   string          `json:"file"`
	Sum    contracts.Sum   `json:"sha256"`
	Kind   string          `json:"kind"`
	At     time.Time       `json:"at"`
	Data   json.RawMessage `json:"data,omitempty"`
	Verify string          `json:"verify"` // a command line, to be run in this folder
}

// prepareOut makes the evidence's folder, before anything starts. It must be new or empty: evidence of two runs must not
// mingle.
func prepareOut(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	old, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	if len(old) > 0 {
		return fmt.Errorf("-out %s: the folder is not empty; name a new one", dir)
	}
	return nil
}

// writeEvidence leaves a folder per message: every receipt as received, and a manifest.
func (j *job) writeEvidence(ctx context.Context, dir string) error {
	roots, err := os.ReadFile(filepath.Join(j.dir, "pec-roots.pem"))
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, rootsFile), roots, 0o600); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	for _, one := range j.core.rows {
		if one.message == "" {
			continue
		}
		t, err := j.hub.Ticket(j.core.caller(ctx, one.id), one.message)
		if err == nil {
			err = writeMessage(j.hub, one, &t, filepath.Join(dir, one.message))
		}
		if err != nil {
			return fmt.Errorf("evidence of %s: %w", one.describe(), err)
		}
	}
	return nil
}

func writeMessage(h *hub.Hub, one *row, t *contracts.Ticket, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	m := manifest{
		Case: one.id, Ticket: t.ID, Outcome: one.outcome, Reason: one.reason, State: t.State, Error: t.Err,
		Dispatch: t.Result, Secret: true, Receipts: []manifestReceipt{},
	}
	if len(m.Dispatch) == 0 {
		m.Dispatch = t.Detail
	}
	if one.dispatch != nil {
		m.Message = one.dispatch.Sum
	}
	for _, e := range t.Story {
		for _, sum := range e.Proof {
			name := fmt.Sprintf("%02d-%s.eml", len(m.Receipts)+1, strings.TrimPrefix(e.Kind, "pec."))
			if err := copyProof(h, sum, filepath.Join(dir, name)); err != nil {
				return err
			}
			m.Receipts = append(m.Receipts, manifestReceipt{
				File: name, Sum: sum, Kind: e.Kind, At: e.At, Data: e.Data,
				Verify: "openssl cms -verify -in " + name + " -CAfile ../" + rootsFile + " -purpose any -out /dev/null",
			})
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "manifest.json"), append(text, '\n'), 0o600)
}

func copyProof(h *hub.Hub, sum contracts.Sum, name string) (err error) {
	r, err := h.Proof(sum)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, r)
	return err
}
