package ledger

import (
	"context"
	"fmt"
	"log/slog"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// VerifyCopy examines the chain in a copy of a store as Verify does, but for the head file, which is the store's own. The
// keys are those of the configuration. Nothing is written.
func VerifyCopy(ctx context.Context, c *store.Copied, cfg Config, secret func(context.Context, contracts.Secret) ([]byte, error)) (Report, error) {
	l := &Ledger{db: c, clock: contracts.SystemClock{}, log: slog.New(slog.DiscardHandler)}
	text, err := secret(ctx, cfg.Key)
	if err != nil {
		return Report{}, fmt.Errorf("verify copy: ledger.key: %w", err)
	}
	if l.signer, err = parseKey(text); err != nil {
		return Report{}, contracts.Errorf(contracts.Invalid, "verify copy: ledger.key: %w", err)
	}
	if err := l.trust(cfg.Trusted); err != nil {
		return Report{}, err
	}
	if err := c.Read(ctx, func(v *store.View) error { return v.QueryRow("SELECT chain FROM ledger_chain").Scan(&l.chain) }); err != nil {
		return Report{}, err
	}
	return l.Verify(ctx)
}
