package pec

import (
	"cmp"
	"container/heap"
	"runtime"
	"sync"
	"time"
)

// An agenda holds the steps that wait for the clock, which is asked for the earliest instant alone: what falls due at one
// instant is written and signed on every processor, and delivered in order.
type agenda struct {
	mu    sync.Mutex
	due   dueHeap
	seq   uint64
	at    time.Time // of the callback that is set
	stop  func()    // drops it; nil when none is set
	ended bool
}

// A due step.
type due struct {
	at  time.Time
	seq uint64
	s   *submission
	st  step
}

// later has a step taken by the clock.
func (m *Mock) later(s *submission, st step) {
	a := &m.agenda
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	a.seq++
	heap.Push(&a.due, due{at: st.at, seq: a.seq, s: s, st: st})
	m.setLocked()
}

// setLocked asks the clock for the earliest instant.
func (m *Mock) setLocked() {
	a := &m.agenda
	if len(a.due) == 0 || a.stop != nil && !a.due[0].at.Before(a.at) {
		return
	}
	if a.stop != nil {
		a.stop()
	}
	a.at = a.due[0].at
	a.stop = m.clock.At(a.at, m.fire)
}

// fire takes what is due.
func (m *Mock) fire() {
	now := m.clock.Now()
	a := &m.agenda
	a.mu.Lock()
	a.stop = nil
	var batch []due
	for len(a.due) > 0 && !a.due[0].at.After(now) && !a.ended {
		batch = append(batch, heap.Pop(&a.due).(due))
	}
	a.mu.Unlock()
	m.takeAll(batch)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		m.setLocked()
	}
}

// end drops what still waits; a step under way is waited for by nobody but the store, which refuses it.
func (a *agenda) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.due = true, nil
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
}

// takeAll writes the letters of many steps on every processor and delivers them in order, some at a time, so that no more
// than those are held in memory.
func (m *Mock) takeAll(batch []due) {
	workers := runtime.GOMAXPROCS(0)
	for len(batch) > 0 {
		chunk := batch[:min(len(batch), 16*workers)]
		batch = batch[len(chunk):]
		now := m.clock.Now()
		written := make([][]letter, len(chunk))
		var wg sync.WaitGroup
		for w := range min(workers, len(chunk)) {
			wg.Go(func() {
				for i := w; i < len(chunk); i += workers {
					letters, err := m.letters(chunk[i].s, chunk[i].st, now)
					m.report(err)
					if err == nil {
						written[i] = letters
					}
				}
			})
		}
		wg.Wait()
		for i, d := range chunk {
			if written[i] != nil {
				m.put(d.s, d.st, now, written[i])
			}
		}
	}
}

type dueHeap []due

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	return cmp.Or(h[i].at.Compare(h[j].at), cmp.Compare(h[i].seq, h[j].seq)) < 0
}
func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)   { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = due{}
	*h = old[:len(old)-1]
	return d
}
