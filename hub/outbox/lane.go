package outbox

import (
	"fmt"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A lane is the order among tickets that share it. busy is the ticket or lot in flight; head the number of the ticket
// that may be claimed; passed, in a strict lane, the highest position that has been let through.
type lane struct {
	key    string
	passed int64
	busy   string
	head   int64
}

func loadLane(tx *store.Tx, key string) (*lane, error) {
	l := lane{key: key}
	err := tx.QueryRow(`SELECT passed, busy, head FROM outbox_lane WHERE lane = ?`, key).Scan(&l.passed, &l.busy, &l.head)
	if noRows(err) {
		_, err = tx.Exec(`INSERT INTO outbox_lane (lane, passed, busy, head) VALUES (?, 0, '', 0)`, key)
	}
	if err != nil {
		return nil, fmt.Errorf("load lane: %w", err)
	}
	return &l, nil
}

func (l *lane) save(tx *store.Tx) error {
	if _, err := tx.Exec(`UPDATE outbox_lane SET passed = ?, busy = ?, head = ? WHERE lane = ?`, l.passed, l.busy, l.head, l.key); err != nil {
		return fmt.Errorf("store lane: %w", err)
	}
	return nil
}

// free lets go of the lane that holder held, and chooses the next head. Every transaction that changes a ticket's place
// in its lane (put, claimed, put back, let through, settled) ends with it.
func free(tx *store.Tx, key string, rule contracts.LaneRule, holder string) error {
	if key == "" || rule == contracts.Pooled {
		return nil
	}
	l, err := loadLane(tx, key)
	if err != nil {
		return err
	}
	if holder != "" && l.busy == holder {
		l.busy = ""
	}
	if rule == contracts.Strict {
		if err := l.walk(tx); err != nil {
			return err
		}
	}
	if err := l.elect(tx, rule); err != nil {
		return err
	}
	return l.save(tx)
}

// hold gives the lane to holder: nobody is its head until it is freed.
func hold(tx *store.Tx, key, holder string) error {
	l, err := loadLane(tx, key)
	if err != nil {
		return err
	}
	if l.busy != "" && l.busy != holder {
		return errTaken
	}
	if err := l.crown(tx, 0); err != nil {
		return err
	}
	l.busy = holder
	return l.save(tx)
}

// walk moves passed over every position whose ticket no longer blocks.
func (l *lane) walk(tx *store.Tx) error {
	for {
		var state string
		err := tx.QueryRow(selectPosition, l.key, l.passed+1).Scan(&state)
		if noRows(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("walk lane: %w", err)
		}
		if blocks(contracts.State(state)) {
			return nil
		}
		l.passed++
	}
}

// blocks reports whether a ticket in this state keeps a strict lane from going on.
func blocks(s contracts.State) bool {
	return s == contracts.StateQueued || s == contracts.StateRunning || s == contracts.StateUncertain
}

// elect makes the right ticket the head. In a keyed lane that is the first of the ready ones; where none is ready the one
// whose time comes first, so that the head is ready as soon as anybody is. In a strict lane it is the lowest position
// that blocks, unless a number before it is missing. A lane in flight has no head.
func (l *lane) elect(tx *store.Tx, rule contracts.LaneRule) error {
	if l.busy != "" {
		return l.crown(tx, 0)
	}
	var (
		n, pos int64
		state  string
		err    error
	)
	if rule == contracts.Strict {
		err = tx.QueryRow(selectStrict, l.key).Scan(&n, &pos, &state)
		if err == nil && (contracts.State(state) != contracts.StateQueued || pos > l.passed+1) {
			n = 0
		}
	} else {
		err = tx.QueryRow(selectKeyed, l.key).Scan(&n)
	}
	if noRows(err) {
		n, err = 0, nil
	}
	if err != nil {
		return fmt.Errorf("elect head of lane: %w", err)
	}
	return l.crown(tx, n)
}

// crown moves the head flag to ticket n; zero: to none.
func (l *lane) crown(tx *store.Tx, n int64) error {
	if l.head == n {
		return nil
	}
	for _, flag := range []struct{ n, head int64 }{{l.head, 0}, {n, 1}} {
		if flag.n == 0 {
			continue
		}
		if _, err := tx.Exec(`UPDATE outbox_ticket SET head = ? WHERE n = ?`, flag.head, flag.n); err != nil {
			return fmt.Errorf("move head of lane: %w", err)
		}
	}
	l.head = n
	return nil
}

// missing gives the number that a strict lane waits for before it lets pos through; zero: none is missing.
func missing(q store.Querier, key string, pos int64) (int64, error) {
	var passed int64
	err := q.QueryRow(`SELECT passed FROM outbox_lane WHERE lane = ?`, key).Scan(&passed)
	if err != nil {
		if noRows(err) {
			err = nil
		}
		return 0, err
	}
	var lowest int64 // the first ticket beyond what has passed: if it is not the next number, that one is missing
	err = q.QueryRow(`SELECT pos FROM outbox_ticket WHERE lane = ? AND rule = 2 AND pos > ? ORDER BY pos LIMIT 1`, key, passed).Scan(&lowest)
	if noRows(err) {
		return 0, nil
	}
	if err != nil || lowest == passed+1 || pos <= passed {
		return 0, err
	}
	return passed + 1, nil
}
