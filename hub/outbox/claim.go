package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A job is a ticket or a lot in the hands of a worker: what was read when it was claimed.
type job struct {
	row
	sealedCaller, sealedRequest []byte
	caller                      contracts.Caller
	request                     any
	reason                      string // of the outcome's entry
	trail                       trail
	departed                    atomic.Bool
	freezing                    sync.Mutex
	frozen                      []*frozen // kept, and stored when it departs
	list                        *lot      // a list: row holds its id, op and instance
	place                       *place
	runs                        int // pooled tickets that its worker had before it, in a row
	cancel                      context.CancelCauseFunc
	commit                      context.Context // outlives the exchange: what became of it can still be stored
	began, seen                 time.Duration   // monotonic: its start, and the last sign of life that was stored
	taken                       bool            // its lease was lost; the worker only has to notice
}

// A jobKey tells jobs apart: the number of the ticket, or the id of the lot.
type jobKey struct {
	n   int64
	lot string
}

func (j *job) key() jobKey {
	if j.list != nil {
		return jobKey{lot: j.id}
	}
	return jobKey{n: j.n}
}

// A candidate is something that could be claimed now.
type candidate struct {
	rank, next, n int64
	lot           *gathering // a list to be made
	place         *place     // the place that was reserved for it
}

// A plan is what is due, and when the next thing will be.
type plan struct {
	promote  bool // tickets whose time has come are not yet marked ready
	lots     []string
	resolve  []int64
	singles  []candidate
	pooled   []candidate // each with its place: they take no worker's
	full     []group     // pools without a free place
	next     int64       // the earliest instant at which something more falls due; never: none
	inFlight bool        // a ticket is running
}

func (p *plan) due() bool {
	return p.promote || p.some()
}

func (p *plan) some() bool { return len(p.lots)+len(p.resolve)+len(p.singles)+len(p.pooled) > 0 }

func (p *plan) note(at int64) { p.next = min(p.next, at) }

// survey finds what is due, at most max of each sort, and reserves places for what is pooled. Its cost depends on max and
// on the number of groups, places and paused lanes, not on how many tickets are queued.
func (b *Box) survey(q store.Querier, now int64, max int) (p *plan, err error) {
	p = &plan{next: never}
	defer func() {
		if err != nil {
			p.giveBack()
		}
	}()
	var rank int64
	err = q.QueryRow(selectWake).Scan(&rank)
	switch {
	case err == nil && rank <= now:
		p.promote = true
	case err == nil:
		p.note(rank)
	case !noRows(err):
		return p, fmt.Errorf("survey: %w", err)
	}
	if until := b.recheckUntil.Load(); until > now && b.store.Recovered() {
		p.note(until) // then the recovery is over
	}
	if max > 0 {
		if err := b.surveyLots(q, p, now, max); err != nil {
			return p, err
		}
		if err := b.surveyUncertain(q, p, now, max); err != nil {
			return p, err
		}
	}
	groups, err := readyGroups(q)
	if err != nil {
		return p, err
	}
	paused := b.pauses()
	for i := range groups {
		g := groups[(i+int(b.turn.Load()))%len(groups)] // none is always asked first, whose mailboxes others share
		if until, ok := paused[pauseKey(g.op, g.at)]; ok {
			p.note(until)
			continue
		}
		if err := b.surveyGroup(q, p, g, now, max, paused); err != nil {
			return p, err
		}
	}
	slices.SortFunc(p.singles, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.rank, y.rank), cmp.Compare(x.next, y.next), cmp.Compare(x.n, y.n))
	})
	p.singles = p.singles[:min(len(p.singles), max)]
	return p, nil
}

// readyGroups lists the groups that have ready heads, stepping over the index from group to group.
func readyGroups(q store.Querier) (all []group, err error) {
	key := ""
	for {
		var next *string
		err := q.QueryRow(selectGroup, key).Scan(&next)
		if err != nil {
			return nil, fmt.Errorf("survey groups: %w", err)
		}
		if next == nil {
			return all, nil
		}
		key = *next
		all = append(all, parseGroup(key))
	}
}

// The questions that are asked at every turn. Each names its index, since SQLite, left to choose without statistics, would
// read whole states; a test reads the plans. None has a parameter as its limit: SQLite plans anew for every value of one.
// Whoever asks stops reading.
const (
	selectWake  = `SELECT rank FROM outbox_ticket INDEXED BY outbox_ticket_wake WHERE state = 'queued' AND ready = 0 ORDER BY rank LIMIT 1`
	selectGroup = `SELECT min(grp) FROM outbox_ticket INDEXED BY outbox_ticket_claim WHERE state = 'queued' AND head = 1 AND ready = 1 AND grp > ?`
	selectReady = `SELECT rank, next, n, lane FROM outbox_ticket INDEXED BY outbox_ticket_claim
		WHERE state = 'queued' AND head = 1 AND ready = 1 AND grp = ? AND rank <= ? ORDER BY rank, next, n`
	selectFirst = `SELECT rank, next, n, since FROM outbox_ticket INDEXED BY outbox_ticket_claim
		WHERE state = 'queued' AND head = 1 AND ready = 1 AND grp = ? AND rank > ? ORDER BY rank, next, n LIMIT 1`
	countReady = `SELECT count(*) FROM (SELECT n FROM outbox_ticket INDEXED BY outbox_ticket_claim
		WHERE state = 'queued' AND head = 1 AND ready = 1 AND grp = ? AND rank > ? LIMIT ?)`
	selectLot = `SELECT n FROM outbox_ticket INDEXED BY outbox_ticket_claim
		WHERE state = 'queued' AND head = 1 AND ready = 1 AND grp = ? AND rank > ? ORDER BY rank, next, n LIMIT ?`
	selectUncertain = `SELECT n, next FROM outbox_ticket INDEXED BY outbox_ticket_uncertain WHERE state = 'uncertain' ORDER BY next, n`
	selectPromote   = `SELECT n FROM outbox_ticket INDEXED BY outbox_ticket_wake WHERE state = 'queued' AND ready = 0 AND rank <= ? ORDER BY rank LIMIT 500`
	selectKeyed     = `SELECT n FROM outbox_ticket INDEXED BY outbox_ticket_lane WHERE lane = ? AND state = 'queued' AND rule = 1 ORDER BY ready DESC, rank, next, n LIMIT 1`
	selectStrict    = `SELECT n, pos, state FROM outbox_ticket INDEXED BY outbox_ticket_strict
		WHERE lane = ? AND rule = 2 AND state IN ('queued', 'running', 'uncertain') ORDER BY pos LIMIT 1`
	selectPosition = `SELECT state FROM outbox_ticket INDEXED BY outbox_ticket_position WHERE lane = ? AND pos = ? AND rule = 2`
	selectEnded    = `SELECT n FROM outbox_ticket INDEXED BY outbox_ticket_ended WHERE ended > 0 AND ended < ? ORDER BY ended LIMIT 200`
	selectRunning  = `SELECT n FROM outbox_ticket INDEXED BY outbox_ticket_running WHERE state = 'running' AND lot = '' LIMIT 1`
)

// surveyGroup adds what one group offers.
func (b *Box) surveyGroup(q store.Querier, p *plan, g group, now int64, max int, paused map[string]int64) error {
	bind := b.desk.Binding(g.op, g.at)
	if g.pool != "" && bind != nil && bind.Reserve != nil {
		return b.surveyPool(q, p, g, bind, now, paused)
	}
	if max == 0 {
		return nil
	}
	limit := int64(never)
	if g.pool == "" && bind != nil && bind.List != nil && (!g.solo || bind.Do == nil) {
		near, err := b.surveyList(q, p, g, bind, now)
		if err != nil {
			return err
		}
		limit = near
	}
	if limit < 0 {
		return nil
	}
	rows, err := q.Query(selectReady, g.key, limit)
	if err != nil {
		return fmt.Errorf("survey tickets: %w", err)
	}
	defer rows.Close()
	for left := max + len(paused); left > 0 && rows.Next(); left-- {
		var (
			c    candidate
			lane string
		)
		if err := rows.Scan(&c.rank, &c.next, &c.n, &lane); err != nil {
			return fmt.Errorf("survey tickets: %w", err)
		}
		if until, ok := paused[lane]; ok && lane != "" {
			p.note(until)
			continue
		}
		p.singles = append(p.singles, c)
	}
	return rows.Err()
}

// pauseKey names an operation at an instance; lanes are paused under their own key.
func pauseKey(op, at string) string { return op + sep + at + sep }

// pause keeps a ticket's lane, or all of its operation and instance where it has none, from being claimed. It lives in
// memory: after a restart one ticket finds out again.
func (b *Box) pause(r *row, until time.Time) { b.pauseUntil(b.pausing(r), until) }

// pausing names what a ticket's pause concerns.
func (b *Box) pausing(r *row) string {
	if r.lane != "" {
		return r.lane
	}
	return pauseKey(r.op, r.at)
}

func (b *Box) pauseUntil(key string, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.paused[key]) {
		b.paused[key] = until
	}
}

// longestStrike bounds what is added to what a far side asked for.
const longestStrike = 10 * time.Minute

// strike counts refusals for want of room one after another, and gives how long the next try must wait at least: a far side
// that says "in a second" for ever is not asked every second for ever. Anything that it carries out ends the count. It lives
// in memory, beside the pauses.
func (b *Box) strike(r *row, refused bool) time.Duration {
	key := b.pausing(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !refused {
		delete(b.strikes, key)
		return 0
	}
	b.strikes[key]++
	return min(time.Second<<min(b.strikes[key]-1, 20), longestStrike)
}

// pauses gives what is paused and until when; it forgets what is over.
func (b *Box) pauses() map[string]int64 {
	now := b.clock.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]int64, len(b.paused))
	for key, until := range b.paused {
		if !until.After(now) {
			delete(b.paused, key)
			continue
		}
		all[key] = nanos(until)
	}
	return all
}

// promote marks tickets whose time has come as ready, a bounded number at a time.
func (b *Box) promote(ctx context.Context) error {
	return b.store.Write(ctx, store.Start, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE outbox_ticket SET ready = 1, rank = due WHERE n IN (`+selectPromote+`)`, b.now())
		if err != nil {
			return fmt.Errorf("wake tickets: %w", err)
		}
		return nil
	})
}

// claim takes the pooled tickets of the plan and up to room other pieces of work, in one transaction. Places that it did
// not use are given back.
func (b *Box) claim(ctx context.Context, p *plan, room int) (jobs []*job, err error) {
	err = b.store.Write(ctx, store.Start, func(tx *store.Tx) error {
		jobs = jobs[:0]
		room := room
		for _, c := range p.pooled {
			j, err := b.claimOne(tx, c.n)
			if err := taken(&jobs, j, err); err != nil {
				return err
			}
			if j != nil {
				j.place = c.place
				room++ // it takes none
			}
		}
		for _, id := range p.lots {
			if len(jobs) == room {
				return nil
			}
			j, err := b.claimLot(tx, id)
			if err := taken(&jobs, j, err); err != nil {
				return err
			}
		}
		for _, n := range p.resolve {
			if len(jobs) == room {
				return nil
			}
			j, err := b.claimQuestion(tx, n)
			if err := taken(&jobs, j, err); err != nil {
				return err
			}
		}
		for _, c := range p.singles {
			if len(jobs) == room {
				return nil
			}
			if c.lot != nil {
				j, err := b.makeLot(tx, c.lot)
				if err := taken(&jobs, j, err); err != nil {
					return err
				}
				continue
			}
			j, err := b.claimOne(tx, c.n)
			if err := taken(&jobs, j, err); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		jobs = nil
	}
	for _, j := range jobs {
		p.keep(j.place)
	}
	p.giveBack()
	return jobs, err
}

// taken adds a job that was won; one that somebody else took, or that has changed since the survey, is passed over.
func taken(jobs *[]*job, j *job, err error) error {
	if errors.Is(err, errTaken) {
		return nil
	}
	if err == nil {
		*jobs = append(*jobs, j)
	}
	return err
}

// claimable reads a ticket that the plan names, which may be gone by now, or another's.
func claimable(q scanner, free func(*row) bool) (*job, error) {
	j := &job{}
	r, err := scan(q, &j.sealedCaller, &j.sealedRequest)
	switch {
	case noRows(err), err == nil && !free(r):
		return nil, errTaken
	case err != nil:
		return nil, fmt.Errorf("claim: %w", err)
	}
	j.row = *r
	return j, nil
}

// selectJob reads what a worker needs of a ticket. Its caller and request are NULL where they were lost.
const selectJob = `SELECT ` + columns + `, caller, request FROM outbox_ticket LEFT JOIN outbox_request USING (n) WHERE n = ?`

// claimOne takes one ticket.
func (b *Box) claimOne(tx *store.Tx, n int64) (*job, error) {
	return b.claimFrom(tx, tx.QueryRow(selectJob, n))
}

// claimFrom takes the ticket that was asked for.
func (b *Box) claimFrom(tx *store.Tx, q scanner) (*job, error) {
	j, err := claimable(q, func(r *row) bool { return r.state == contracts.StateQueued && r.head && r.ready })
	if err != nil {
		return nil, err
	}
	r, now := &j.row, b.now()
	r.state, r.lease, r.lot = contracts.StateRunning, b.lease, ""
	r.departed = r.departed && r.effect == contracts.Write
	r.fence++
	if r.ordered() {
		r.head = false
		if err := hold(tx, r.lane, r.id); err != nil {
			return nil, err
		}
	}
	if err := r.save(tx, now); err != nil {
		return nil, err
	}
	if r.effect != contracts.Write {
		return j, nil
	}
	tx.Flush() // nothing of a write leaves before its intent is on the disk
	who, err := b.openCaller(r, j.sealedCaller)
	if err != nil {
		who = contracts.Caller{Service: r.owner, Purpose: r.purpose} // it will not get far: its request is as lost
	}
	return j, b.enter(tx, r, who, contracts.Entry{Phase: contracts.PhaseIntent})
}
