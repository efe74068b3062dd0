package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
)

func TestAFlushThatFailsStopsTheWriter(t *testing.T) {
	cfg := Default()
	cfg.Path, cfg.Key, cfg.Reserve = filepath.Join(t.TempDir(), "hub.db"), "secret://env/KEY", 0
	s, err := Open(t.Context(), cfg, Options{Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(NewKey()), nil }})
	if err != nil {
		t.Fatal(err)
	}
	s.sync = func() error { return errors.New("input/output error") }
	after := false
	err = s.Write(t.Context(), Settle, func(tx *Tx) error {
		tx.After(func() { after = true })
		tx.Flush()
		return nil
	})
	if contracts.KindOf(err) != contracts.Unavailable || !strings.Contains(err.Error(), "restart the hub") || after {
		t.Errorf("the write whose flush failed: %v, told of success: %v", err, after)
	}
	if err := s.Write(t.Context(), Settle, func(*Tx) error { t.Error("it ran"); return nil }); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("a later write: %v", err)
	}
	if !s.Stats().Broken {
		t.Error("the state does not show")
	}
	if err := s.Read(t.Context(), func(v *View) error { var n int; return v.QueryRow("SELECT 1").Scan(&n) }); err != nil {
		t.Errorf("reading goes on: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
