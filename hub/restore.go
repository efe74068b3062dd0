package hub

import (
	"context"
	"time"

	"raccordo/contracts"
	"raccordo/hub/backup"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// A BackupCheck is what was found in a backup.
type BackupCheck struct {
	backup.Report
	Ledger ledger.Report `json:"ledger"`
	// LostKeys are ids of keys that the backup was sealed with and store.key lacks: what they sealed will not open.
	LostKeys []string `json:"lost_keys,omitempty"`
}

// CheckBackup reads every byte of a backup, or of the latest in a folder of backups, and examines the evidence in it with
// the keys of a configuration. It writes nothing, and may run beside a hub that serves. The error names the first problem;
// lost keys are none.
func CheckBackup(ctx context.Context, cfg *Config, dir string, progress func(backup.Progress)) (out BackupCheck, err error) {
	secret := secretsFrom(cfg.Secrets)
	out.Report, err = backup.Verify(ctx, dir, func(c *store.Copied) ([]string, error) {
		var err error
		out.Ledger, err = ledger.VerifyCopy(ctx, c, cfg.Ledger, secret)
		return out.Ledger.Problems, err
	}, progress)
	if err != nil {
		return out, err
	}
	text, err := secret(ctx, cfg.Store.Key)
	if err != nil {
		return out, err
	}
	out.LostKeys, err = store.MissingKeys(text, out.Backup.Manifest.Keys)
	return out, err
}

// A RestoreOrder is what a person says about a restore.
type RestoreOrder struct {
	Dir   string
	Aside bool // move away what lies at the place
	// WithoutKeys goes on where store.key lacks keys that the backup needs.
	WithoutKeys bool
}

// Restore verifies a backup and puts it where a configuration has its store and archive. No hub may have the store. The
// next start counts as recovered.
func Restore(ctx context.Context, cfg *Config, order RestoreOrder, progress func(backup.Progress)) (check BackupCheck, out backup.Restored, err error) {
	check, err = CheckBackup(ctx, cfg, order.Dir, progress)
	if err != nil {
		return check, out, err
	}
	if len(check.LostKeys) > 0 && !order.WithoutKeys {
		return check, out, contracts.Errorf(contracts.Conflict, "restore: store.key lacks the keys %v: what they sealed would not open; put them back into store.key, or go on with -without-keys", check.LostKeys)
	}
	out, err = backup.Restore(ctx, check.Backup, backup.Target{
		Store: cfg.Store.Path, Archive: cfg.Archive, Aside: order.Aside, Now: time.Now(),
	}, progress)
	return check, out, err
}
