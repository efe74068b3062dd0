package hub

import (
	"context"
	"fmt"

	"raccordo/contracts"
	"raccordo/hub/call"
	"raccordo/hub/store"
)

// prover writes what direct calls leave in the ledger.
type prover struct{ h *Hub }

// Intent stores that a Write or Once is about to leave. The hub sends those by ticket, whose proof the outbox writes, so
// none comes this way; it is here so that the pipeline is whole wherever it is used.
func (p prover) Intent(ctx context.Context, c *contracts.Call) (string, error) {
	e := p.entry(c)
	e.Phase = contracts.PhaseIntent
	kept, err := p.append(ctx, e, true)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/%d", kept.Chain, kept.Seq), nil
}

// Outcome stores what came of a call before its answer is released.
func (p prover) Outcome(ctx context.Context, c *contracts.Call, o *call.Outcome) error {
	e := p.entry(c)
	e.Phase, e.Outcome, e.Attempts = contracts.PhaseOutcome, "ok", o.Attempts
	if o.Err != nil {
		e.Outcome = contracts.KindOf(o.Err).String()
	}
	e.Ref = o.Intent
	if o.Flight != "" {
		e.Ref = o.Flight
	}
	switch {
	case o.Own:
		e.Reason = "shared by twins in flight"
	case o.Kept:
		e.Reason = "answered from what was kept"
	case o.Dropped > 0:
		e.Reason = fmt.Sprintf("%d further attempts", o.Dropped)
	}
	_, err := p.append(ctx, e, c.Op.Effect != contracts.Read)
	return err
}

func (p prover) entry(c *contracts.Call) contracts.Entry {
	e := contracts.Entry{Caller: c.Caller, Op: c.Op.Name, System: c.At, SubjectKey: p.h.store.KeyID()}
	if b, err := contracts.Encode(c.Request); err == nil {
		e.Subject = p.h.store.Digest("request", b)
	}
	return e
}

func (p prover) append(ctx context.Context, e contracts.Entry, flush bool) (kept contracts.Entry, err error) {
	err = p.h.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		if flush || p.h.cfg.Ledger.Flush == "all" {
			tx.Flush()
		}
		kept, err = p.h.ledger.Append(tx, e)
		return err
	})
	return kept, err
}
