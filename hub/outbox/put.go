package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A draft is a call made ready to be stored: all that can be done outside the transaction.
type draft struct {
	row     row
	call    *contracts.Call
	plain   []byte // the request, for comparing under an older key
	caller  []byte // sealed
	request []byte // sealed
	slim    []byte // sealed; nil where the request is not
}

// Put stores the call as a ticket in the caller's transaction, with its entry. The same key again gives the same ticket,
// at any time; with another request it is Conflict. A Read may come without a key, and is then a ticket of its own.
// NotFound means that no register on the route may hold what is asked. Beyond Config.MaxTickets it is Throttled.
func (b *Box) Put(tx *store.Tx, c *contracts.Call) (contracts.Ticket, error) {
	d, err := b.draft(c, "")
	if err != nil {
		return contracts.Ticket{}, err
	}
	return b.put(tx, d)
}

// Submit is Put in a transaction of its own, flushed to the disk before it returns.
func (b *Box) Submit(ctx context.Context, c *contracts.Call) (contracts.Ticket, error) {
	return b.SubmitAfter(ctx, c, "")
}

// SubmitAfter is Submit for a call that has come to the place behind the instance `after` on its route.
func (b *Box) SubmitAfter(ctx context.Context, c *contracts.Call, after string) (contracts.Ticket, error) {
	defer b.begin()()
	d, err := b.draft(c, after)
	if err != nil {
		return contracts.Ticket{}, err
	}
	var t contracts.Ticket
	err = b.store.Write(ctx, store.Accept, func(tx *store.Tx) error {
		tx.Flush()
		var err error
		t, err = b.put(tx, d)
		return err
	})
	if err != nil {
		return contracts.Ticket{}, err
	}
	return t, nil
}

func (b *Box) draft(c *contracts.Call, after string) (*draft, error) {
	if c == nil || c.Op == nil {
		return nil, b.fault(contracts.Invalid, "submit", "no operation")
	}
	name := c.Op.Name
	switch {
	case c.Caller.Service == "" || c.Caller.Purpose == "":
		return nil, b.fault(contracts.Invalid, name, "submit: caller's service and purpose are required")
	case c.Key == "" && c.Op.Effect != contracts.Read:
		return nil, b.fault(contracts.Invalid, name, "submit: an idempotency key is required for what has an effect")
	}
	if c.Key == "" {
		own := *c
		own.Key = "\x00" + freshName() // no key of a caller's begins so
		c = &own
	}
	plain, err := contracts.Encode(c.Request)
	if err != nil {
		return nil, err
	}
	at, _, ok := b.desk.Next(c, after)
	if !ok {
		none := b.fault(contracts.NotFound, name, "no register on the route holds this subject in this capacity")
		none.Code = contracts.CodeNobody
		return nil, none
	}
	l := c.Op.LaneOf(c.Request)
	if l.Rule == contracts.Strict && (l.Position == 0 || l.Position > math.MaxInt64) {
		return nil, b.fault(contracts.Invalid, name, "submit: a strict lane's positions begin with 1")
	}
	d := &draft{call: c, plain: plain}
	d.row = row{
		id: contracts.TicketID(c.Caller.Service, name, c.Key), version: version, op: name, effect: c.Op.Effect,
		owner: c.Caller.Service, purpose: c.Caller.Purpose, pin: c.At, at: at,
		lane: laneKey(name, l), rule: l.Rule, pos: int64(l.Position), due: never,
		digest: b.store.Digest(digestPurpose, plain), digestKey: b.store.KeyID(),
	}
	if !c.Due.IsZero() {
		d.row.due = nanos(c.Due)
	}
	who, err := json.Marshal(c.Caller)
	if err != nil {
		return nil, fmt.Errorf("submit: encode caller: %w", err)
	}
	if d.caller, err = b.store.Seal(inCaller, d.row.id, who); err != nil {
		return nil, err
	}
	if d.request, err = b.store.Seal(inRequest, d.row.id, plain); err != nil {
		return nil, err
	}
	d.slim, err = b.slim(d.row.id, c.Request)
	return d, err
}

// slim seals what folds read of a request, where that is not the whole.
func (b *Box) slim(id string, req any) ([]byte, error) {
	with, ok := req.(contracts.Slimmer)
	if !ok {
		return nil, nil
	}
	without, ok := with.Slim()
	if !ok {
		return nil, nil
	}
	plain, err := contracts.Encode(without)
	if err != nil {
		return nil, err
	}
	return b.store.Seal(inSlim, id, plain)
}

func (b *Box) put(tx *store.Tx, d *draft) (contracts.Ticket, error) {
	old, err := byID(tx, d.row.id)
	switch {
	case err == nil:
		return b.again(tx, d, old)
	case !noRows(err):
		return contracts.Ticket{}, fmt.Errorf("submit: %w", err)
	}
	if b.open.Load() >= int64(b.cfg.MaxTickets) {
		e := b.fault(contracts.Throttled, d.row.op, "submit: %d tickets are unsettled; come back when some are", b.cfg.MaxTickets)
		e.After = 10 * time.Second
		return contracts.Ticket{}, e
	}
	if err := b.position(tx, d); err != nil {
		return contracts.Ticket{}, err
	}
	now := b.now()
	r := d.row // a copy: this function may run again
	r.state, r.since, r.next = contracts.StateQueued, now, now
	if until := b.recheckUntil.Load(); r.effect != contracts.Read && until > now {
		r.state, r.recheck = contracts.StateUncertain, until
	}
	if err := r.insert(tx, now); err != nil {
		return contracts.Ticket{}, err
	}
	if _, err := tx.Exec(`INSERT INTO outbox_request (n, caller, request) VALUES (?, ?, ?)`, r.n, d.caller, d.request); err != nil {
		return contracts.Ticket{}, fmt.Errorf("submit: %w", err)
	}
	if d.slim != nil {
		if _, err := tx.Exec(`INSERT INTO outbox_slim (n, slim) VALUES (?, ?)`, r.n, d.slim); err != nil {
			return contracts.Ticket{}, fmt.Errorf("submit: %w", err)
		}
	}
	if err := free(tx, r.lane, r.rule, ""); err != nil {
		return contracts.Ticket{}, err
	}
	if err := b.enter(tx, &r, d.call.Caller, contracts.Entry{Phase: contracts.PhaseSubmitted, Ref: r.id}); err != nil {
		return contracts.Ticket{}, err
	}
	tx.After(func() { b.open.Add(1); b.ring() })
	if n, err := b.teller.Adopt(tx, r.id); err != nil {
		return contracts.Ticket{}, fmt.Errorf("submit: %w", err)
	} else if n == 0 {
		return b.ticket(tx, &r, d.call.Caller, nil)
	}
	fresh, err := byNumber(tx, r.n)
	if err != nil {
		return contracts.Ticket{}, fmt.Errorf("submit: %w", err)
	}
	return b.show(tx, fresh)
}

// again answers a key that is known.
func (b *Box) again(tx *store.Tx, d *draft, old *row) (contracts.Ticket, error) {
	sum := d.row.digest
	if old.digestKey != d.row.digestKey {
		var known bool
		if sum, known = b.store.DigestBy(old.digestKey, digestPurpose, d.plain); !known {
			return contracts.Ticket{}, b.fault(contracts.Internal, d.row.op,
				"submit: ticket %s was stored under a key that is no longer there, so its request cannot be compared", old.id)
		}
	}
	if sum != old.digest {
		return contracts.Ticket{}, b.fault(contracts.Conflict, d.row.op,
			"submit: the idempotency key already stands for another request (ticket %s); use a new key", old.id)
	}
	return b.show(tx, old)
}

// position refuses a place in a strict lane that is taken or passed: a rank is never used twice.
func (b *Box) position(tx *store.Tx, d *draft) error {
	if d.row.rule != contracts.Strict {
		return nil
	}
	l, err := loadLane(tx, d.row.lane)
	if err != nil {
		return err
	}
	var other string
	err = tx.QueryRow(`SELECT id FROM outbox_ticket WHERE lane = ? AND pos = ? AND rule = 2`, d.row.lane, d.row.pos).Scan(&other)
	switch {
	case err == nil:
		return b.fault(contracts.Conflict, d.row.op, "submit: position %d of the lane is taken by ticket %s", d.row.pos, other)
	case !noRows(err):
		return fmt.Errorf("submit: %w", err)
	case d.row.pos <= l.passed:
		return b.fault(contracts.Conflict, d.row.op, "submit: position %d of the lane has already been passed", d.row.pos)
	}
	return nil
}

// enter appends an entry that bears on a ticket.
func (b *Box) enter(tx *store.Tx, r *row, who contracts.Caller, e contracts.Entry) error {
	e.Caller, e.Op, e.Subject, e.SubjectKey = who, r.op, r.digest, r.digestKey
	if e.System == "" {
		e.System = r.at
	}
	if e.Ref == "" {
		e.Ref = r.id
	}
	if _, err := b.ledger.Append(tx, e); err != nil {
		return fmt.Errorf("append entry: %w", err)
	}
	return nil
}

// callerOf reads who asked.
func (b *Box) callerOf(q store.Querier, r *row) (contracts.Caller, error) {
	var (
		sealed []byte
		who    contracts.Caller
	)
	if err := q.QueryRow(`SELECT caller FROM outbox_request WHERE n = ?`, r.n).Scan(&sealed); err != nil {
		return who, fmt.Errorf("read caller of ticket %s: %w", r.id, err)
	}
	return b.openCaller(r, sealed)
}

func (b *Box) openCaller(r *row, sealed []byte) (who contracts.Caller, err error) {
	plain, err := b.store.Unseal(inCaller, r.id, sealed)
	if err != nil {
		return who, err
	}
	return who, json.Unmarshal(plain, &who)
}

// requestOf reads what was asked.
func (b *Box) requestOf(q store.Querier, r *row) (any, error) {
	op := b.desk.Op(r.op)
	if op == nil {
		return nil, errNoOp
	}
	var sealed []byte
	if err := q.QueryRow(`SELECT request FROM outbox_request WHERE n = ?`, r.n).Scan(&sealed); err != nil {
		return nil, fmt.Errorf("read request of ticket %s: %w", r.id, err)
	}
	return b.openRequest(op, r, sealed)
}

func (b *Box) openRequest(op *contracts.OpInfo, r *row, sealed []byte) (any, error) {
	plain, err := b.store.Unseal(inRequest, r.id, sealed)
	if err != nil {
		return nil, err
	}
	return op.StoredRequest(plain)
}

var errNoOp = errors.New("no adapter performs this operation any more")

// sealAnswer encodes and seals an answer for its row.
func (b *Box) sealAnswer(id string, answer any) ([]byte, error) {
	if answer == nil {
		return nil, nil
	}
	plain, err := contracts.Encode(answer)
	if err != nil {
		return nil, err
	}
	return b.store.Seal(inAnswer, id, plain)
}

// answerOf reads the answer so far; nil when there is none.
func (b *Box) answerOf(op *contracts.OpInfo, r *row) (any, error) {
	plain, err := b.store.Unseal(inAnswer, r.id, r.answer)
	if err != nil || len(plain) == 0 {
		return nil, err
	}
	return op.Response(plain)
}
