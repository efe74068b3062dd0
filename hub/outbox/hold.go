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
//
// What is kept for a ticket of effect Once before it departs is stored by the very transaction that marks its departure:
// one flush instead of two, and still nothing with effect leaves before the bytes are on the disk. A ticket that does not
// depart has them stored with its verdict.
type holder struct {
	b *Box
	j *job
}

// A frozen is bytes that are kept and not yet stored.
type frozen struct {
	name          string
	plain, sealed []byte
	sum           contracts.Sum
}

// maxFrozen bounds how many wait for a departure; what is kept beyond it is stored at once.
const maxFrozen = 4

// ID is the ticket's or the lot's id.
func (h holder) ID() string { return h.j.id }

// Keep gives the bytes stored under name, making and storing them first where there are none.
func (h holder) Keep(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error) {
	if f := h.j.frozenAs(name); f != nil {
		return f.plain, nil
	}
	if h.j.list != nil || h.j.fence > 1 { // nobody had it in hand before: nothing can be kept
		kept, err := h.kept(ctx, name)
		if err != nil || kept != nil {
			return kept, err
		}
	}
	fresh, err := make()
	if err != nil {
		return nil, err
	}
	if len(fresh) > maxKept {
		return nil, h.b.fault(contracts.Invalid, h.j.op, "keep %s: more than %d bytes", name, maxKept)
	}
	f := &frozen{name: name, plain: fresh, sum: contracts.SumOf(fresh)}
	if f.sealed, err = h.b.store.Seal(inHold, h.j.id+"/"+name, fresh); err != nil {
		return nil, err
	}
	if first := h.j.freeze(f); first != nil {
		return first.plain, nil
	}
	var stored bool
	err = h.b.store.Write(ctx, store.Settle, func(tx *store.Tx) (err error) {
		tx.Flush()
		if err := h.check(tx); err != nil {
			return err
		}
		stored, err = f.store(tx, h.j.id)
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

// store inserts the bytes; false: there were some under that name.
func (f *frozen) store(tx *store.Tx, id string) (bool, error) {
	sealed := f.sealed
	if sealed == nil {
		sealed = []byte{}
	}
	res, err := tx.Exec(`INSERT INTO outbox_hold (id, name, sum, bytes) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, id, f.name, f.sum[:], sealed)
	if err != nil {
		return false, fmt.Errorf("keep %s: %w", f.name, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// freeze lets bytes wait for the departure, and gives those that wait under that name: these, or others that were
// quicker. Nil: they do not wait, and must be stored.
func (j *job) freeze(f *frozen) *frozen {
	if j.list != nil || j.effect != contracts.Once || j.departed.Load() {
		return nil
	}
	j.freezing.Lock()
	defer j.freezing.Unlock()
	for _, other := range j.frozen {
		if other.name == f.name {
			return other
		}
	}
	if len(j.frozen) >= maxFrozen {
		return nil
	}
	j.frozen = append(j.frozen, f)
	return f
}

func (j *job) frozenAs(name string) *frozen {
	j.freezing.Lock()
	defer j.freezing.Unlock()
	for _, f := range j.frozen {
		if f.name == name {
			return f
		}
	}
	return nil
}

// waiting gives what is frozen and not stored.
func (j *job) waiting() []*frozen {
	j.freezing.Lock()
	defer j.freezing.Unlock()
	return slices.Clone(j.frozen)
}

// thaw forgets what was stored.
func (j *job) thaw(stored []*frozen) {
	j.freezing.Lock()
	defer j.freezing.Unlock()
	j.frozen = slices.DeleteFunc(j.frozen, func(f *frozen) bool { return slices.Contains(stored, f) })
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
	if j.departed.Load() {
		return nil
	}
	waiting := j.waiting()
	err := b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		if j.list != nil {
			return b.departLot(tx, j)
		}
		res, err := tx.Exec(markDeparted, j.n, b.lease, j.fence)
		if err != nil {
			return fmt.Errorf("store ticket: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(errLost, err)
		}
		for _, f := range waiting {
			stored, err := f.store(tx, j.id)
			if err == nil && !stored {
				err = fmt.Errorf("keep %s: other bytes are stored already", f.name)
			}
			if err != nil {
				return err
			}
		}
		if j.effect != contracts.Once {
			return nil
		}
		return b.enter(tx, &j.row, j.caller, contracts.Entry{Phase: contracts.PhaseIntent})
	})
	if err != nil {
		return h.explain("depart", err)
	}
	j.departed.Store(true)
	j.thaw(waiting)
	return nil
}

// markDeparted is for a ticket that is carried out, unless an event has told meanwhile that it happened already, and for
// one that is asked about: whoever resolves a doubt may be told to do so by sending once more.
const markDeparted = `UPDATE outbox_ticket SET departed = 1 WHERE n = ? AND lease = ? AND fence = ?
	AND (state = 'running' AND moved = '' OR state = 'uncertain')`

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
