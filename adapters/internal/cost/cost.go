//go:build unix

// Package cost is for tests: it measures what a client takes of this process on top of the plainest client that could do
// the same exchange. The far side runs in another process, so that only the clients' own work is counted.
package cost

import (
	"context"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// An Exchange is one question and its answer; an answer that is not the expected one is an error.
type Exchange func(ctx context.Context) error

type spent struct {
	cpu    time.Duration
	allocs uint64
}

func (s *spent) add(o spent) { s.cpu, s.allocs = s.cpu+o.cpu, s.allocs+o.allocs }

func spend(ctx context.Context, t testing.TB, n int, once Exchange) spent {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := CPU(t)
	for range n {
		if err := once(ctx); err != nil {
			t.Fatal(err)
		}
	}
	used := CPU(t) - start
	runtime.ReadMemStats(&after)
	return spent{used, after.Mallocs - before.Mallocs}
}

// CPU is what this process has used so far, in user and system mode.
func CPU(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Compare lets two clients ask in turns of some exchanges each, and reports by ratios what ours takes more, per unit
// ("call") what each takes.
func Compare(ctx context.Context, b *testing.B, turn int, unit string, ours, plain Exchange) {
	b.Helper()
	spend(ctx, b, turn, ours)
	spend(ctx, b, turn, plain)
	var o, p spent
	for b.Loop() {
		o.add(spend(ctx, b, turn, ours))
		p.add(spend(ctx, b, turn, plain))
	}
	n := float64(b.N * turn)
	b.ReportMetric(float64(o.cpu)/float64(p.cpu), "cpu-ratio")
	b.ReportMetric(float64(o.allocs)/float64(p.allocs), "alloc-ratio")
	b.ReportMetric(float64(o.cpu.Microseconds())/n, "cpu-µs/"+unit)
	b.ReportMetric(float64(p.cpu.Microseconds())/n, "plain-cpu-µs/"+unit)
	b.ReportMetric(float64(o.allocs)/n, "allocs/"+unit)
	b.ReportMetric(float64(p.allocs)/n, "plain-allocs/"+unit)
	b.ReportMetric(0, "ns/op") // a turn of both, and nobody's business
}

// WantAllocs fails where n exchanges of ours allocate more than limit times as often as the plain client's. It is a test,
// as CPU could not be, because allocations do not depend on the machine.
func WantAllocs(ctx context.Context, t testing.TB, n int, limit float64, ours, plain Exchange) {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector allocates too")
	}
	spend(ctx, t, n, ours)
	spend(ctx, t, n, plain)
	o, p := spend(ctx, t, n, ours).allocs, spend(ctx, t, n, plain).allocs
	if ratio := float64(o) / float64(p); ratio > limit {
		t.Errorf("%d allocations for the plain exchange's %d: %.2f times, want at most %.1f", o/uint64(n), p/uint64(n), ratio, limit)
	}
}
