package outbox

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// version is the form of what a row's sealed columns hold. Older forms stay readable for ever.
const version = 1

const never = math.MaxInt64 // an absent deadline, a question that is not asked

// A row is a ticket as it lies on disk, without the request.
type row struct {
	n                int64
	id, op           string
	version          int
	effect           contracts.Effect
	owner, purpose   string
	pin, at          string // the instance the caller chose; the one whose turn it is
	solo             bool   // not to be gathered into a list (again)
	grp              string
	lane             string
	rule             contracts.LaneRule
	pos              int64
	head             bool
	state            contracts.State
	tries            int
	ready            bool
	rank             int64
	next, due, since int64
	ended            int64 // when it was settled; zero while it is not
	recheck          int64 // after a restore: not carried out before, unless the far side says that it did not happen
	lease            string
	fence, beat      int64
	departed         bool // of a Once: bytes may have left; of a Write: an earlier try, of whose end nobody knows, may have arrived
	lot              string
	heard            int    // events folded so far
	moved            string // what the last event that moved it made of it
	digest           contracts.Sum
	digestKey        string
	answer           []byte // sealed
	redacted         bool
	err              string // a *contracts.Error as JSON: free of personal data by its own rule

	was    *row // as it lies on disk
	unread bool // or as it lay there when it was last seen
}

var errStale = errors.New("the ticket has changed since it was read")

const columns = `n, id, op, version, effect, owner, purpose, pin, at, solo, grp, lane, rule, pos, head, state, tries,
	ready, rank, next, due, since, ended, recheck, lease, fence, beat, departed, lot, heard, moved, digest, digest_key, answer, err, redacted`

type scanner interface{ Scan(dest ...any) error }

// scan reads a row, and what more stands behind its columns.
func scan(s scanner, more ...any) (*row, error) {
	var (
		r      row
		digest []byte
	)
	err := s.Scan(append([]any{
		&r.n, &r.id, &r.op, &r.version, &r.effect, &r.owner, &r.purpose, &r.pin, &r.at, &r.solo, &r.grp, &r.lane,
		&r.rule, &r.pos, &r.head, &r.state, &r.tries, &r.ready, &r.rank, &r.next, &r.due, &r.since, &r.ended, &r.recheck,
		&r.lease, &r.fence, &r.beat, &r.departed, &r.lot, &r.heard, &r.moved, &digest, &r.digestKey, &r.answer, &r.err, &r.redacted,
	}, more...)...)
	if err != nil {
		return nil, err
	}
	copy(r.digest[:], digest)
	r.stored()
	return &r, nil
}

// stored takes note that the row is on disk as it is now.
func (r *row) stored() {
	was := *r
	was.was = nil
	r.was, r.unread = &was, false
}

func byID(q store.Querier, id string) (*row, error) {
	return scan(q.QueryRow(`SELECT `+columns+` FROM outbox_ticket WHERE id = ?`, id))
}

func byNumber(q store.Querier, n int64) (*row, error) {
	return scan(q.QueryRow(`SELECT `+columns+` FROM outbox_ticket WHERE n = ?`, n))
}

func (r *row) insert(tx *store.Tx, now int64) error {
	r.derive(now)
	res, err := tx.Exec(`INSERT INTO outbox_ticket (id, op, version, effect, owner, purpose, pin, at, solo, grp, lane, rule, pos,
		head, state, tries, ready, rank, next, due, since, ended, recheck, lease, fence, beat, departed, lot, heard, moved,
		digest, digest_key, answer, err, redacted)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.id, r.op, r.version, r.effect, r.owner, r.purpose, r.pin, r.at, r.solo, r.grp, r.lane, r.rule, r.pos,
		r.head, string(r.state), r.tries, r.ready, r.rank, r.next, r.due, r.since, r.ended, r.recheck, r.lease, r.fence, r.beat,
		r.departed, r.lot, r.heard, r.moved, r.digest[:], r.digestKey, r.answer, r.err, r.redacted)
	if err != nil {
		return fmt.Errorf("store ticket: %w", err)
	}
	r.n, err = res.LastInsertId()
	r.stored()
	return err
}

// save stores what has changed and nothing else, so that indexes over the rest need no touch. A row that was not read in
// this transaction is stored only if it is still as it was known; else it is errStale.
func (r *row) save(tx *store.Tx, now int64) error {
	r.derive(now)
	was := r.was
	text := make([]byte, 0, 256)
	args := make([]any, 0, 12)
	set := func(changed bool, column string, value func() any) {
		if !changed {
			return
		}
		if len(args) > 0 {
			text = append(text, ',')
		}
		text = append(append(text, column...), "=?"...)
		args = append(args, value())
	}
	set(r.at != was.at, "at", func() any { return r.at })
	set(r.solo != was.solo, "solo", func() any { return r.solo })
	set(r.grp != was.grp, "grp", func() any { return r.grp })
	set(r.head != was.head, "head", func() any { return r.head })
	set(r.state != was.state, "state", func() any { return string(r.state) })
	set(r.tries != was.tries, "tries", func() any { return r.tries })
	set(r.ready != was.ready, "ready", func() any { return r.ready })
	set(r.rank != was.rank, "rank", func() any { return r.rank })
	set(r.next != was.next, "next", func() any { return r.next })
	set(r.ended != was.ended, "ended", func() any { return r.ended })
	set(r.recheck != was.recheck, "recheck", func() any { return r.recheck })
	set(r.lease != was.lease, "lease", func() any { return r.lease })
	set(r.fence != was.fence, "fence", func() any { return r.fence })
	set(r.departed != was.departed, "departed", func() any { return r.departed })
	set(r.lot != was.lot, "lot", func() any { return r.lot })
	set(r.heard != was.heard, "heard", func() any { return r.heard })
	set(r.moved != was.moved, "moved", func() any { return r.moved })
	set(!bytes.Equal(r.answer, was.answer), "answer", func() any { return r.answer })
	set(r.err != was.err, "err", func() any { return r.err })
	set(r.redacted != was.redacted, "redacted", func() any { return r.redacted })
	if len(args) == 0 {
		return nil
	}
	text = append(text, " WHERE n=?"...)
	args = append(args, r.n)
	if r.unread {
		text = append(text, " AND state=? AND lease=? AND fence=? AND heard=?"...)
		args = append(args, string(was.state), was.lease, was.fence, was.heard)
	}
	res, err := tx.Exec("UPDATE outbox_ticket SET "+string(text), args...)
	if err != nil {
		return fmt.Errorf("store ticket: %w", err)
	}
	if n, err := res.RowsAffected(); r.unread && (err != nil || n == 0) {
		return errStale
	}
	r.stored()
	return nil
}

// derive sets what follows from the rest.
func (r *row) derive(now int64) {
	r.grp = groupKey(r.op, r.at, r.owner, r.purpose, r.solo)
	if r.rule == contracts.Pooled {
		r.grp = poolKey(r.op, r.at, r.lane)
	}
	if !r.ordered() {
		r.head = true
	}
	r.ready = r.next <= now
	r.rank = r.next
	if r.ready {
		r.rank = r.due
	}
}

// sep keeps the parts of a key apart; names from configuration and code hold no control characters.
const sep = "\x1f"

// A group is what may be gathered into one list, and what is paused together; or all tickets of one pool.
type group struct {
	key, op, at, owner, purpose string
	solo                        bool
	pool                        string // the name of a pooled lane
}

func groupKey(op, at, owner, purpose string, solo bool) string {
	s := "0"
	if solo {
		s = "1"
	}
	return strings.Join([]string{op, at, owner, purpose, s}, sep)
}

// poolKey is the group of a pool's tickets, whoever owns them: the most urgent of them takes the next place.
func poolKey(op, at, lane string) string {
	_, pool, _ := strings.Cut(lane, sep)
	return groupKey(op, at, "", "", true) + sep + pool
}

func parseGroup(key string) group {
	p := strings.SplitN(key, sep, 6) // a pool's name comes from a request, and may hold anything
	for len(p) < 6 {
		p = append(p, "")
	}
	return group{key: key, op: p[0], at: p[1], owner: p[2], purpose: p[3], solo: p[4] == "1", pool: p[5]}
}

// laneKey makes a lane's name unique: lanes of different operations are different lanes.
func laneKey(op string, l contracts.Lane) string {
	if l.Rule == contracts.NoLane {
		return ""
	}
	return op + sep + l.Name
}

// ordered reports whether the ticket shares a lane of which one at a time may go.
func (r *row) ordered() bool { return r.lane != "" && r.rule != contracts.Pooled }

func (r *row) laneOf() contracts.Lane {
	_, name, _ := strings.Cut(r.lane, sep)
	return contracts.Lane{Name: name, Rule: r.rule, Position: uint64(r.pos)}
}

func nanos(t time.Time) int64 { return t.UnixNano() }

func instant(ns int64) time.Time {
	if ns == 0 || ns == never {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func (r *row) fail(e *contracts.Error) {
	if e == nil {
		r.err = ""
		return
	}
	b, err := json.Marshal(e)
	if err != nil { // an Error of ours always encodes
		b = []byte(`{"kind":"internal"}`)
	}
	r.err = string(b)
}

func (r *row) failure() *contracts.Error {
	if r.err == "" {
		return nil
	}
	var e contracts.Error
	if err := json.Unmarshal([]byte(r.err), &e); err != nil {
		return contracts.Errorf(contracts.Internal, "the stored error cannot be read")
	}
	return &e
}

func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
