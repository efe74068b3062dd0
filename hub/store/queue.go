package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"raccordo/contracts"
)

// A member is one waiting write.
type member struct {
	class Class
	fn    func(*Tx) error
	alone func(*conn) error // instead of fn: work that is no part of a group, such as a migration
	done  chan error        // room for one: the writer never waits for the caller

	tx       Tx // of the latest run
	err      error
	panicked any
}

// A queue holds the waiting members by class, bounded.
type queue struct {
	max  int           // of Accept and Start together
	room chan struct{} // places for Settle

	mu      sync.Mutex
	closed  bool
	waiting [classes][]*member
	bell    chan struct{} // room for one: rung when something was put in, or the queue closed
}

func newQueue(limit int) *queue {
	return &queue{max: limit, room: make(chan struct{}, limit), bell: make(chan struct{}, 1)}
}

func (q *queue) put(ctx context.Context, m *member) error {
	if m.class == Settle {
		select {
		case q.room <- struct{}{}:
		case <-ctx.Done():
			return canceled(ctx)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.leave(m)
		return contracts.Errorf(contracts.Unavailable, "write: the store is closed")
	}
	if m.class != Settle && len(q.waiting[Accept])+len(q.waiting[Start]) >= q.max {
		e := contracts.Errorf(contracts.Throttled, "write: %d writes wait already; come back later or raise store.max_queue", q.max)
		e.After = time.Second
		return e
	}
	q.waiting[m.class] = append(q.waiting[m.class], m)
	q.ring()
	return nil
}

// drop takes m out again; it reports whether m had not been begun.
func (q *queue) drop(m *member) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting[m.class], m)
	if i < 0 {
		return false
	}
	q.waiting[m.class] = slices.Delete(q.waiting[m.class], i, i+1)
	q.leave(m)
	return true
}

// take gives up to n members in the order of their classes, or none when the queue is closed and empty. A member that
// must be alone comes alone.
func (q *queue) take(n int) []*member {
	for {
		q.mu.Lock()
		group := q.fill(n, true)
		closed := q.closed
		q.mu.Unlock()
		if len(group) > 0 || closed {
			return group
		}
		<-q.bell
	}
}

// join gives up to n members that wait, in the order of their classes, for a group that is under way; none when nobody
// waits, or one that must be alone.
func (q *queue) join(n int) []*member {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fill(n, false)
}

func (q *queue) fill(n int, alone bool) (group []*member) {
	for class := range q.waiting {
		for len(q.waiting[class]) > 0 && len(group) < n {
			m := q.waiting[class][0]
			if m.alone != nil && (len(group) > 0 || !alone) {
				return group
			}
			q.waiting[class] = q.waiting[class][1:]
			q.leave(m)
			group = append(group, m)
			if m.alone != nil {
				return group
			}
		}
	}
	return group
}

func (q *queue) leave(m *member) {
	if m.class == Settle {
		<-q.room
	}
}

func (q *queue) ring() {
	select {
	case q.bell <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.ring()
}

func (q *queue) len() (n [classes]int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for class := range q.waiting {
		n[class] = len(q.waiting[class])
	}
	return n
}

func canceled(ctx context.Context) error {
	return contracts.Errorf(contracts.Canceled, "write: given up before it began: %w", context.Cause(ctx))
}
