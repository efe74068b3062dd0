package wire

import "sync/atomic"

// A budget caps the share of traffic that may be repeats: a tenth of calls, plus a small burst for quiet times. It is
// charged when a repeat is scheduled, so that a storm of failures cannot plan more than it may send.
type budget struct {
	tenths atomic.Int64
	most   int64
}

const perRepeat = 10 // tenths

func newBudget(burst int) *budget {
	b := &budget{most: int64(max(burst, 1)) * perRepeat}
	b.tenths.Store(int64(burst) * perRepeat)
	return b
}

// call credits one call.
func (b *budget) call() {
	for {
		n := b.tenths.Load()
		if n >= b.most || b.tenths.CompareAndSwap(n, n+1) {
			return
		}
	}
}

// take charges one repeat, and reports whether there was enough.
func (b *budget) take() bool {
	for {
		n := b.tenths.Load()
		if n < perRepeat {
			return false
		}
		if b.tenths.CompareAndSwap(n, n-perRepeat) {
			return true
		}
	}
}
