package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// maxKept bounds one frozen text: a whole PEC message of the law's size, encoded, with room to spare.
const maxKept = 64 << 20

// A holder is the contracts.Hold of one ticket (or lot) in the hands of one worker.
type holder struct {
	b *Box
	j *job
}

// ID is the ticket's or the lot's id.
func (h holder) ID() string { return h.j.id }

// Keep gives the bytes stored under name, making and storing them first where there are none.
func (h holder) Keep(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error) {
	kept, err := h.kept(ctx, name)
	if err != nil || kept != nil {
		return kept, err
	}
	fresh, err := make()
	if err != nil {
		return nil, err
	}
	if len(fresh) > maxKept {
		return nil, h.b.fault(contracts.Invalid, h.j.op, "keep %s: more than %d bytes", name, maxKept)
	}
	sealed, err := h.b.store.Seal(inHold, h.j.id+"/"+name, fresh)
	if err != nil {
		return nil, err
	}
	sum := contracts.SumOf(fresh)
	var stored bool
	err = h.b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		if err := h.check(tx); err != nil {
			return err
		}
		res, err := tx.Exec(`INSERT INTO outbox_hold (id, name, sum, bytes) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			h.j.id, name, sum[:], append([]byte{}, sealed...))
		if err != nil {
			return fmt.Errorf("keep %s: %w", name, err)
		}
		n, err := res.RowsAffected()
		stored = n == 1
		return err
	})
	if err != nil {
		return nil, h.explain("keep "+name, err)
	}
	if !stored { // another call of this worker was quicker; its bytes count
		return h.kept(ctx, name)
	}
	return fresh, nil
}

func (h holder) kept(ctx context.Context, name string) (plain []byte, err error) {
	var sealed []byte
	err = h.b.store.Read(ctx, func(v *store.View) error {
		err := v.QueryRow(`SELECT bytes FROM outbox_hold WHERE id = ? AND name = ?`, h.j.id, name).Scan(&sealed)
		if noRows(err) {
			sealed, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, h.explain("read kept "+name, err)
	}
	return h.b.store.Unseal(inHold, h.j.id+"/"+name, sealed)
}

// Depart marks on disk that bytes with effect may leave now, with the entry of a Once's intent.
func (h holder) Depart(ctx context.Context) error {
	b, j := h.b, h.j
	err := b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		if j.list != nil {
			return b.departLot(tx, j)
		}
		r, err := b.held(tx, j)
		if err != nil || r.departed {
			return err
		}
		r.departed = true
		if err := r.save(tx, b.now()); err != nil {
			return err
		}
		if r.effect != contracts.Once {
			return nil
		}
		return b.enter(tx, r, j.caller, contracts.Entry{Phase: contracts.PhaseIntent})
	})
	if err != nil {
		return h.explain("depart", err)
	}
	j.departed.Store(true)
	return nil
}

func (h holder) check(tx *store.Tx) error {
	if h.j.list != nil {
		_, err := h.b.heldLot(tx, h.j)
		return err
	}
	_, err := h.b.held(tx, h.j)
	return err
}

// explain gives an error of the store the words that an adapter passes on: nothing has left.
func (h holder) explain(what string, err error) error {
	if k := contracts.KindOf(err); !errors.Is(err, errLost) && (k == contracts.Throttled || k == contracts.Unavailable || k == contracts.Canceled) {
		return err
	}
	return h.b.fault(contracts.Unavailable, h.j.op, "%s: nothing has left: %w", what, err)
}

// maxAttempts bounds what one entry holds of the exchanges on the wire.
const maxAttempts = 100

// A trail gathers the attempts of one exchange.
type trail struct {
	mu       sync.Mutex
	attempts []contracts.Attempt
}

// Attempt takes note of one exchange on the wire.
func (t *trail) Attempt(a contracts.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.attempts) < maxAttempts {
		t.attempts = append(t.attempts, a)
	}
}

// sent reports whether anything left.
func (t *trail) sent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.attempts, func(a contracts.Attempt) bool { return a.Sent })
}

func (t *trail) take() []contracts.Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.attempts
}
