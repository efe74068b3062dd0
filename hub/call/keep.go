package call

import (
	"container/list"
	"time"
)

// A kept answer may be given again until it is out of date.
type kept struct {
	flight string
	out    any
	err    error
	until  time.Time
}

// An lru keeps a bounded number of answers; the least recently used goes first. It is not safe for concurrent use.
type lru struct {
	max   int
	order *list.List // of *slot, most recently used first
	slots map[twin]*list.Element
}

type slot struct {
	key twin
	kept
}

func newLRU(limit int) *lru {
	return &lru{max: limit, order: list.New(), slots: map[twin]*list.Element{}}
}

func (l *lru) get(key twin, now time.Time) (kept, bool) {
	e := l.slots[key]
	if e == nil {
		return kept{}, false
	}
	s := e.Value.(*slot)
	if !now.Before(s.until) {
		l.drop(e)
		return kept{}, false
	}
	l.order.MoveToFront(e)
	return s.kept, true
}

func (l *lru) put(key twin, k kept) {
	if e := l.slots[key]; e != nil {
		l.drop(e)
	}
	l.slots[key] = l.order.PushFront(&slot{key: key, kept: k})
	for l.order.Len() > l.max {
		l.drop(l.order.Back())
	}
}

func (l *lru) drop(e *list.Element) {
	l.order.Remove(e)
	delete(l.slots, e.Value.(*slot).key)
}
