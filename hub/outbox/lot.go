package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"raccordo/contracts"
	"raccordo/hub/store"
)

const (
	maxStarts = 3   // how often a list that its far side has forgotten is handed over anew
	chunk     = 200 // members settled by one transaction
)

// A lot is a list on its way: its members from before it is handed over, its handle from right after.
type lot struct {
	id, op, at, owner, purpose string
	since, next                int64
	tries, starts              int
	lease                      string
	fence, beat                int64
	departed                   bool
	members                    []string // ticket ids, in the order of the list
	handle                     []byte   // sealed; nil: to be handed over

	jobs []*job // the members, decoded, while a worker holds the lot
}

func loadLot(q store.Querier, id string) (*lot, error) {
	l := lot{id: id}
	var members string
	err := q.QueryRow(`SELECT op, at, owner, purpose, since, next, tries, starts, lease, fence, beat, departed, members, handle
		FROM outbox_lot WHERE id = ?`, id).Scan(&l.op, &l.at, &l.owner, &l.purpose, &l.since, &l.next, &l.tries, &l.starts,
		&l.lease, &l.fence, &l.beat, &l.departed, &members, &l.handle)
	if err != nil {
		return nil, err
	}
	l.members = strings.Fields(members)
	return &l, nil
}

func (l *lot) save(tx *store.Tx) error {
	_, err := tx.Exec(`UPDATE outbox_lot SET next = ?, tries = ?, starts = ?, lease = ?, fence = ?, departed = ?, handle = ? WHERE id = ?`,
		l.next, l.tries, l.starts, l.lease, l.fence, l.departed, l.handle, l.id)
	if err != nil {
		return fmt.Errorf("store lot: %w", err)
	}
	return nil
}

func (b *Box) lotJob(l *lot, op *contracts.OpInfo) *job {
	who := contracts.Caller{Service: l.owner, Purpose: l.purpose, User: "system"}
	return &job{list: l, caller: who, row: row{
		id: l.id, op: l.op, at: l.at, owner: l.owner, purpose: l.purpose, effect: op.Effect, fence: l.fence,
		state: contracts.StateRunning, since: l.since, due: never,
	}}
}

// claimLot takes a lot whose time has come.
func (b *Box) claimLot(tx *store.Tx, id string) (*job, error) {
	l, err := loadLot(tx, id)
	if noRows(err) {
		return nil, errTaken
	}
	if err != nil {
		return nil, fmt.Errorf("claim lot: %w", err)
	}
	now := b.now()
	if l.lease != "" || l.next > now {
		return nil, errTaken
	}
	op := b.desk.Op(l.op)
	if op == nil || b.desk.Binding(l.op, l.at) == nil { // not configured any more; it may be again
		l.next = now + int64(b.cfg.Backoff.Max)
		if err := l.save(tx); err != nil {
			return nil, err
		}
		b.log.Error("outbox: a list cannot be carried on: no adapter performs it any more", slog.String("lot", id))
		return nil, errTaken
	}
	l.lease = b.lease
	l.fence++
	if err := l.save(tx); err != nil {
		return nil, err
	}
	return b.lotJob(l, op), nil
}

// heldLot loads a lot that a worker believes to hold.
func (b *Box) heldLot(tx *store.Tx, j *job) (*lot, error) {
	l, err := loadLot(tx, j.id)
	if noRows(err) {
		return nil, errLost
	}
	if err != nil {
		return nil, fmt.Errorf("load lot: %w", err)
	}
	if l.lease != b.lease || l.fence != j.fence {
		return nil, errLost
	}
	return l, nil
}

// departLot marks the departure of a list, with the entry of each member's intent where its operation is Once.
func (b *Box) departLot(tx *store.Tx, j *job) error {
	l, err := b.heldLot(tx, j)
	if err != nil || l.departed {
		return err
	}
	l.departed = true
	if err := l.save(tx); err != nil || j.effect != contracts.Once {
		return err
	}
	for _, m := range j.list.jobs {
		if err := b.enter(tx, &m.row, m.caller, contracts.Entry{Phase: contracts.PhaseIntent, Reason: "list " + l.id}); err != nil {
			return err
		}
	}
	return nil
}

// recoverLot is what a crash makes of a lot in somebody's hands: it goes on from where its row says.
func (b *Box) recoverLot(tx *store.Tx, id, lease string, fence int64) error {
	_, err := tx.Exec(`UPDATE outbox_lot SET lease = '', fence = fence + 1, next = ? WHERE id = ? AND lease = ? AND fence = ?`, b.now(), id, lease, fence)
	if err != nil {
		return fmt.Errorf("recover lot: %w", err)
	}
	return nil
}

// carryLot hands a list over, or fetches its answers.
func (b *Box) carryLot(ctx context.Context, j *job) {
	bind := b.desk.Binding(j.op, j.at)
	if err := b.loadMembers(ctx, j); err != nil {
		b.log.Error("outbox: the members of a list cannot be read", slog.String("lot", j.id), slog.Any("error", err))
		b.putBack(j, func(l *lot) { l.next = b.now() + int64(b.cfg.Backoff.Max) }, "")
		return
	}
	reqs := make([]any, len(j.list.jobs))
	for i, m := range j.list.jobs {
		reqs[i] = m.request
	}
	c := &contracts.Call{Op: b.desk.Op(j.op), Caller: j.caller, Key: j.id, At: j.at}
	if bind.List == nil {
		b.dissolve(j, bind, errNoList)
		return
	}
	if j.list.handle == nil {
		b.startLot(ctx, j, c, bind, reqs)
		return
	}
	b.collectLot(ctx, j, c, bind, reqs)
}

var errNoList = contracts.Errorf(contracts.Unavailable, "the instance has no list form any more")

func (b *Box) loadMembers(ctx context.Context, j *job) error {
	op := b.desk.Op(j.op)
	j.list.jobs = nil
	for part := range slices.Chunk(j.list.members, 100) { // a list of big requests must not outlast a read
		jobs, err := b.readMembers(ctx, j, part)
		if err != nil {
			return err
		}
		for _, m := range jobs {
			if m.caller, err = b.openCaller(&m.row, m.sealedCaller); err != nil {
				return err
			}
			if m.request, err = b.openRequest(op, &m.row, m.sealedRequest); err != nil {
				return err
			}
			m.sealedCaller, m.sealedRequest = nil, nil
		}
		j.list.jobs = append(j.list.jobs, jobs...)
	}
	return nil
}

// selectMembers reads the tickets whose ids stand in a JSON list.
const selectMembers = `SELECT ` + columns + `, caller, request FROM (SELECT value AS member FROM json_each(?)) CROSS JOIN outbox_ticket ON id = member
	LEFT JOIN outbox_request USING (n)`

func (b *Box) readMembers(ctx context.Context, j *job, ids []string) (jobs []*job, err error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	found := map[string]*job{}
	err = b.store.Read(ctx, func(v *store.View) error {
		clear(found)
		rows, err := v.Query(selectMembers, string(list))
		if err != nil {
			return fmt.Errorf("read members: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			m := &job{reason: "list " + j.id}
			r, err := scan(rows, &m.sealedCaller, &m.sealedRequest)
			if err != nil {
				return fmt.Errorf("read members: %w", err)
			}
			m.row = *r
			m.at = j.at
			found[m.id] = m
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		m, ok := found[id]
		if !ok {
			return nil, fmt.Errorf("read members: %s is not there", id)
		}
		jobs = append(jobs, m)
	}
	return jobs, nil
}

func (b *Box) startLot(ctx context.Context, j *job, c *contracts.Call, bind *contracts.Binding, reqs []any) {
	answer, err := b.exchange(ctx, j, c, func(ctx context.Context, c *contracts.Call) (any, error) {
		return b.desk.Start(ctx, c, reqs)
	})
	if err != nil {
		b.startFailed(j, bind, err)
		return
	}
	handle, _ := answer.([]byte)
	sealed, err := b.store.Seal(inHandle, j.id, append([]byte{0}, handle...)) // an empty handle is one too
	if err != nil {
		b.startFailed(j, bind, contracts.Errorf(contracts.Uncertain, "the handle cannot be stored: %w", err))
		return
	}
	b.putBack(j, func(l *lot) {
		l.handle, l.tries = sealed, 0
		l.starts++
		l.next = b.now() + int64(min(bind.Expected/10, b.cfg.CollectAfter))
	}, "ok")
}

func (b *Box) startFailed(j *job, bind *contracts.Binding, err error) {
	e := contracts.AsError(err)
	once := j.effect == contracts.Once
	if e.Kind == contracts.NotFound { // of whom? that a list was not taken says of none of its members that there is none
		own := *e
		own.Kind, e = contracts.Malformed, &own
	}
	switch {
	case b.desk.Refused(err):
		b.pauseLot(j, e, "")
	case e.Kind == contracts.Throttled:
		b.pauseLot(j, e, e.Kind.String())
	case once && (e.Kind == contracts.Uncertain || j.departed.Load() && !settlesNothing(e.Kind)):
		b.dissolve(j, bind, contracts.Errorf(contracts.Uncertain, "the list may have been handed over: %w", err))
	case settlesNothing(e.Kind) && e.Kind != contracts.Unavailable: // refused as a whole: perhaps for one of its members
		b.dissolve(j, bind, e)
	default: // a Read starts again; a Write does, with the same lot id
		b.tryLotAgain(j, bind, e)
	}
}

// settlesNothing reports whether an error of this kind proves that nothing happened over there.
func settlesNothing(k contracts.Kind) bool {
	switch k {
	case contracts.Invalid, contracts.Denied, contracts.Conflict, contracts.NotFound, contracts.Unavailable, contracts.Throttled:
		return true
	}
	return false
}

func (b *Box) collectLot(ctx context.Context, j *job, c *contracts.Call, bind *contracts.Binding, reqs []any) {
	handle, err := b.store.Unseal(inHandle, j.id, j.list.handle)
	var results []contracts.Result[any]
	if err == nil {
		var answer any
		answer, err = b.exchange(ctx, j, c, func(ctx context.Context, c *contracts.Call) (any, error) {
			return b.desk.Collect(ctx, c, handle[1:], reqs)
		})
		results, _ = answer.([]contracts.Result[any])
	}
	if err == nil && len(results) != len(reqs) {
		err = b.fault(contracts.Malformed, j.op, "a list of %d was answered with %d answers", len(reqs), len(results))
	}
	if err == nil {
		b.settleLot(j, bind, "ok", func(m *job, i int) verdict {
			v := b.judge(&m.row, b.callOf(m), bind, results[i].Value, results[i].Err, true)
			v.solo = v.to == contracts.StateQueued && v.try && bind.Do != nil
			return v
		})
		return
	}
	e := contracts.AsError(err)
	patient := b.clock.Now().Sub(instant(j.list.since)) < b.cfg.Patience
	switch {
	case e.Kind == contracts.Pending && patient:
		b.putBack(j, func(l *lot) { l.next = b.now() + int64(b.pauseFor(e)) }, "")
	case b.desk.Refused(err):
		b.pauseLot(j, e, "")
	case e.Kind == contracts.Throttled:
		b.pauseLot(j, e, e.Kind.String())
	case e.Kind == contracts.NotFound && j.effect != contracts.Once && j.list.starts < maxStarts:
		b.putBack(j, func(l *lot) { l.handle, l.departed, l.next = nil, false, b.now() }, e.Kind.String())
	case e.Kind == contracts.Pending, e.Kind == contracts.NotFound, !patient:
		b.dissolve(j, bind, b.lotLost(j, e))
	default: // collecting only reads: it is asked again
		b.tryLotAgain(j, bind, e)
	}
}

// lotLost is the error of members whose list will not be answered.
func (b *Box) lotLost(j *job, e *contracts.Error) *contracts.Error {
	kind := contracts.Uncertain
	if j.effect == contracts.Read {
		kind = contracts.Unavailable
		if e.Kind == contracts.Malformed { // it was answered, with noise
			kind = e.Kind
		}
	}
	lost := b.fault(kind, j.op, "the list was never answered: %w", e)
	lost.System = j.at
	return lost
}

func (b *Box) callOf(m *job) *contracts.Call {
	return &contracts.Call{Op: b.desk.Op(m.op), Request: m.request, Caller: m.caller, Key: m.id, At: m.at, Due: instant(m.due)}
}

// tryLotAgain spends one of the lot's tries.
func (b *Box) tryLotAgain(j *job, bind *contracts.Binding, e *contracts.Error) {
	if e.Kind == contracts.Canceled && b.stopping.Load() {
		b.putBack(j, func(l *lot) { l.next = b.now() }, "")
		return
	}
	if j.list.tries+1 >= b.cfg.Attempts {
		if j.list.handle != nil || !settlesNothing(e.Kind) {
			e = b.lotLost(j, e)
		}
		b.dissolve(j, bind, e)
		return
	}
	wait := max(b.cfg.Backoff.after(j.list.tries+1, b.jitter), min(e.After, maxPause))
	b.putBack(j, func(l *lot) {
		l.tries++
		l.next = b.now() + int64(wait)
	}, e.Kind.String())
}

func (b *Box) pauseLot(j *job, e *contracts.Error, outcome string) {
	concerned := &row{op: j.op, at: j.at}
	pause := b.pauseFor(e)
	if outcome != "" { // by the far side, not by ourselves
		pause = max(pause, b.strike(concerned, true))
	}
	until := b.clock.Now().Add(pause)
	b.pause(concerned, until)
	b.putBack(j, func(l *lot) { l.next = nanos(until) }, outcome)
}

// putBack lets go of a lot. outcome, when given, becomes an entry that holds the attempts of the exchange; the entries
// of the members refer to it by the lot's id.
func (b *Box) putBack(j *job, change func(*lot), outcome string) {
	err := b.insist(j.commit, func(tx *store.Tx) error {
		l, err := b.heldLot(tx, j)
		if err != nil {
			return err
		}
		change(l)
		l.lease = ""
		if err := l.save(tx); err != nil {
			return err
		}
		tx.After(b.ring)
		tx.Flush() // a handle that is lost is a list that is asked twice
		if outcome == "" {
			return nil
		}
		return b.enterLot(tx, j, outcome, nil)
	})
	b.lotWarn(j, err)
}

func (b *Box) lotWarn(j *job, err error) {
	if err != nil && !errors.Is(err, errLost) {
		b.log.Warn("outbox: what became of a list could not be stored; it will be taken up again", slog.String("lot", j.id), slog.Any("error", err))
	}
}

func (b *Box) enterLot(tx *store.Tx, j *job, outcome string, proof []contracts.Sum) error {
	_, err := b.ledger.Append(tx, contracts.Entry{
		Phase: contracts.PhaseOutcome, Outcome: outcome, Caller: j.caller, Op: j.op, System: j.at, Ref: j.id,
		Reason: strconv.Itoa(len(j.list.members)) + " requests", Attempts: j.trail.take(), Proof: proof,
	})
	if err != nil {
		return fmt.Errorf("append entry: %w", err)
	}
	return nil
}

// dissolve ends a lot that brought no answers. Its members go by the single form, where there is one and nothing can
// have happened; otherwise the error is each one's own.
func (b *Box) dissolve(j *job, bind *contracts.Binding, e *contracts.Error) {
	single := bind.Do != nil && (e.Kind != contracts.Uncertain || j.effect == contracts.Read)
	b.settleLot(j, bind, e.Kind.String(), func(m *job, _ int) verdict {
		if single {
			return verdict{to: contracts.StateQueued, next: b.clock.Now(), solo: true}
		}
		if e.Kind == contracts.Unavailable { // its tries are spent, with the lot's
			return verdict{to: contracts.StateFailed, err: e, outcome: e.Kind.String()}
		}
		return b.judge(&m.row, b.callOf(m), bind, nil, e, true)
	})
}

// settleLot settles the members that are still the lot's, a chunk at a time, and ends the lot. After a crash in between,
// the rest is collected again.
func (b *Box) settleLot(j *job, bind *contracts.Binding, outcome string, judge func(*job, int) verdict) {
	members := j.list.jobs
	for from := 0; from < len(members); from += chunk {
		part := members[from:min(from+chunk, len(members))]
		verdicts := make([]verdict, len(part))
		for i, m := range part {
			verdicts[i] = b.prepare(m, judge(m, from+i))
		}
		err := b.insist(j.commit, func(tx *store.Tx) error {
			if _, err := b.heldLot(tx, j); err != nil {
				return err
			}
			for i, m := range part {
				r, err := byNumber(tx, m.n)
				if err != nil {
					return fmt.Errorf("load member: %w", err)
				}
				if r.state != contracts.StateRunning || r.lot != j.id { // settled before, by an event or by hand
					continue
				}
				if err := b.apply(tx, r, m, verdicts[i]); err != nil {
					return err
				}
			}
			if from+chunk < len(members) {
				return nil
			}
			return b.endLot(tx, j, outcome)
		})
		if err != nil {
			b.lotWarn(j, err)
			return
		}
	}
}

func (b *Box) endLot(tx *store.Tx, j *job, outcome string) error {
	sums, err := heldSums(tx, j.id)
	if err != nil {
		return err
	}
	for _, text := range []string{`DELETE FROM outbox_hold WHERE id = ?`, `DELETE FROM outbox_lot WHERE id = ?`} {
		if _, err := tx.Exec(text, j.id); err != nil {
			return fmt.Errorf("end lot: %w", err)
		}
	}
	tx.After(b.ring)
	return b.enterLot(tx, j, outcome, sums)
}
