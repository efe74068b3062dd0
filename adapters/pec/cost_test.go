package pec

import (
	"runtime"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"
)

const (
	mostMemory = 64 << 20    // bytes allocated in all, which no peak can exceed, for inputs up to fuzzLimit
	mostTime   = time.Second // of one processor
	fuzzLimit  = 1 << 20
)

// bounded runs fn, which works on one input of foreign bytes, and checks what it costs. Time is that of the thread's
// processor, so that a busy machine accuses nobody.
func bounded(t testing.TB, input []byte, fn func()) {
	t.Helper()
	if len(input) > fuzzLimit {
		fn()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := worked()
	spent := allocated(fn)
	if took := worked() - before; took > mostTime {
		t.Errorf("%v of work for %d bytes", took, len(input))
	}
	if spent > mostMemory {
		t.Errorf("%d bytes allocated for %d", spent, len(input))
	}
}

// worked is how long the thread has kept a processor busy.
func worked() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// allocated counts the bytes that fn takes from the heap, whether or not it gives them back. Nothing else may run.
func allocated(fn func()) uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	before := s[0].Value.Uint64()
	fn()
	metrics.Read(s)
	return s[0].Value.Uint64() - before
}
