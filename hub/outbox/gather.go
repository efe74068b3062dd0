package outbox

import (
	"fmt"
	"strconv"
	"strings"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A gathering is a group of tickets that could become a lot.
type gathering struct {
	group group
	above int64 // members' rank is above this
	max   int
}

// surveyList decides what a group whose instance has a list form does now: a list (added to the plan), or wait for more
// members (noted). limit is the rank up to which its tickets go by the single form; below zero: none does.
//
// Where there is a single form as well, only Reads whose deadline leaves twice the usual time of an answer gather, and
// only when at least LotMin have come together in GatherFor.
func (b *Box) surveyList(q store.Querier, p *plan, g group, bind *contracts.Binding, now int64) (limit int64, err error) {
	alone := bind.Do != nil
	limit = -1
	if alone {
		if bind.Op.Effect != contracts.Read {
			return never, nil
		}
		limit = now + 2*int64(bind.Expected)
	}
	var (
		first candidate
		since int64
		count int
	)
	err = q.QueryRow(selectFirst, g.key, limit).
		Scan(&first.rank, &first.next, &first.n, &since)
	if noRows(err) {
		return limit, nil
	}
	if err == nil {
		err = q.QueryRow(countReady, g.key, limit, bind.List.Max).Scan(&count)
	}
	if err != nil {
		return 0, fmt.Errorf("survey list: %w", err)
	}
	ripe := since + int64(b.cfg.GatherFor)
	switch {
	case count >= bind.List.Max:
	case ripe > now && since <= now: // a clock that was set back must not make it wait longer
		p.note(ripe)
		return limit, nil
	case alone && count < b.cfg.LotMin:
		return never, nil
	}
	first.lot = &gathering{group: g, above: limit, max: bind.List.Max}
	p.singles = append(p.singles, first)
	return limit, nil
}

// surveyLots adds the lots whose time has come.
func (b *Box) surveyLots(q store.Querier, p *plan, now int64, max int) error {
	rows, err := q.Query(`SELECT id, next FROM outbox_lot WHERE lease = '' ORDER BY next`)
	if err != nil {
		return fmt.Errorf("survey lots: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id   string
			next int64
		)
		if err := rows.Scan(&id, &next); err != nil {
			return fmt.Errorf("survey lots: %w", err)
		}
		if next > now {
			p.note(next)
			break
		}
		if len(p.lots) == max {
			break
		}
		p.lots = append(p.lots, id)
	}
	return rows.Err()
}

// makeLot turns a gathering into a lot in this process's hands. The row is there before anything is handed over.
func (b *Box) makeLot(tx *store.Tx, g *gathering) (*job, error) {
	ns, err := numbers(tx, selectLot, g.group.key, g.above, g.max)
	if err != nil {
		return nil, err
	}
	op := b.desk.Op(g.group.op)
	if len(ns) == 0 || op == nil { // all gone since the survey
		return nil, errTaken
	}
	now := b.now()
	rows := make([]*row, 0, len(ns))
	for _, n := range ns {
		r, err := byNumber(tx, n)
		if err != nil {
			return nil, fmt.Errorf("gather: %w", err)
		}
		rows = append(rows, r)
	}
	l := &lot{
		op: g.group.op, at: g.group.at, owner: g.group.owner, purpose: g.group.purpose,
		since: now, next: now, lease: b.lease, fence: 1,
	}
	for _, r := range rows {
		l.members = append(l.members, r.id)
	}
	// Members that are gathered again, after a list that came to nothing, make another lot.
	l.id = contracts.TicketID(l.owner, l.op, "\x00lot "+strconv.FormatInt(rows[0].fence, 10)+" "+strings.Join(l.members, " "))
	for _, r := range rows {
		r.state, r.lease, r.lot, r.departed = contracts.StateRunning, "", l.id, false
		r.fence++
		if r.ordered() {
			r.head = false
			if err := hold(tx, r.lane, r.id); err != nil {
				return nil, fmt.Errorf("gather: %w", err)
			}
		}
		if err := r.save(tx, now); err != nil {
			return nil, err
		}
		if r.effect != contracts.Write {
			continue
		}
		who, err := b.callerOf(tx, r)
		if err != nil {
			who = contracts.Caller{Service: r.owner, Purpose: r.purpose}
		}
		tx.Flush()
		if err := b.enter(tx, r, who, contracts.Entry{Phase: contracts.PhaseIntent, Reason: "list " + l.id}); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec(`INSERT INTO outbox_lot (id, op, at, owner, purpose, since, next, tries, starts, lease, fence, beat, departed, members, handle)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, 0, 0, ?, NULL)`,
		l.id, l.op, l.at, l.owner, l.purpose, l.since, l.next, l.lease, l.fence, strings.Join(l.members, " "))
	if err != nil {
		return nil, fmt.Errorf("store lot: %w", err)
	}
	return b.lotJob(l, op), nil
}
