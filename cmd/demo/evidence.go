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

	"raccordo/contracts"
	"raccordo/hub"
)

// A manifest says what lies in a message's folder and how it hangs together.
type manifest struct {
	Case     string            `json:"case"`
	Ticket   string            `json:"ticket"`
	State    contracts.State   `json:"state"`
	Result   json.RawMessage   `json:"result,omitempty"` // the dispatch: message id, instants, status per recipient
	Message  string            `json:"message"`          // SHA-256 of the bytes that left; the bytes of a secret message are erased
	Receipts []manifestReceipt `json:"receipts"`
	Verify   string            `json:"verify"`
}

type manifestReceipt struct {
	File string          `json:"file"`
	Sum  contracts.Sum   `json:"sha256"`
	Kind string          `json:"kind"`
	At   string          `json:"at"`
	Data json.RawMessage `json:"data,omitempty"`
}

// writeEvidence leaves a folder per message: every receipt as received, and a manifest. The folder must be new or empty:
// evidence of two runs must not mingle.
func writeEvidence(ctx context.Context, h *hub.Hub, c *core, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if old, err := os.ReadDir(dir); err != nil {
		return err
	} else if len(old) > 0 {
		return fmt.Errorf("-out %s: the folder is not empty; name a new one", dir)
	}
	for _, one := range c.rows {
		if one.message == "" {
			continue
		}
		if err := writeMessage(ctx, h, c, one, filepath.Join(dir, one.message)); err != nil {
			return fmt.Errorf("evidence of %s: %w", one.describe(), err)
		}
	}
	return nil
}

func writeMessage(ctx context.Context, h *hub.Hub, c *core, one *row, dir string) error {
	t, err := h.Ticket(c.caller(ctx, one.id), one.message)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	m := manifest{
		Case: one.id, Ticket: t.ID, State: t.State, Result: t.Result, Receipts: []manifestReceipt{},
		Verify: "openssl cms -verify -in FILE -CAfile roots.pem -purpose any -out /dev/null",
	}
	if m.Result == nil {
		m.Result = t.Detail
	}
	if !one.dispatch.Sum.IsZero() {
		m.Message = one.dispatch.Sum.String()
	}
	for i, e := range t.Story {
		for _, sum := range e.Proof {
			name := fmt.Sprintf("%02d-%s.eml", i+1, strings.TrimPrefix(e.Kind, "pec."))
			if err := copyProof(h, sum, filepath.Join(dir, name)); err != nil {
				return err
			}
			m.Receipts = append(m.Receipts, manifestReceipt{File: name, Sum: sum, Kind: e.Kind, At: e.At.Format("2006-01-02T15:04:05Z07:00"), Data: e.Data})
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
