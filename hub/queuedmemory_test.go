package hub_test

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkQueuedMemory tells how much memory 100,000 queued messages of 2 KB cost a hub at work over an idle one, while
// its ten mailboxes may send six messages a minute each. Both the Go heap's live objects and the resident set of the
// process, which holds SQLite's caches as well, are read after garbage was collected and given back to the system: once
// when the hub has carried out its first message and is idle, then when all are queued and the hub has been at work for
// two seconds. At most 64 MiB are wanted.
func BenchmarkQueuedMemory(b *testing.B) {
	const most = 64
	for b.Loop() {
		heap, resident := queuedMemory(b, 100_000)
		b.ReportMetric(heap, "MiB-heap")
		b.ReportMetric(resident, "MiB-resident")
		if heap > most || resident > most {
			b.Errorf("100,000 queued messages cost %.1f MiB of heap and %.1f MiB of resident memory, want at most %d", heap, resident, most)
		}
	}
	b.ReportMetric(0, "ns/op") // nobody's business
}

// What waits lies on the disk: a queue ten times as long costs no more memory.
func TestAQueueCostsNoHeap(t *testing.T) {
	heavy(t)
	heap, _ := queuedMemory(t, 5_000)
	if heap > 16 {
		t.Errorf("5,000 queued messages cost %.1f MiB of heap, want at most 16", heap)
	}
}

// queuedMemory gives what n queued messages cost, in MiB.
func queuedMemory(t testing.TB, n int) (heap, resident float64) {
	t.Helper()
	s := newSending(t, startSink(t))
	s.wire.every = 10 * time.Second
	ctx, cancel := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() { worked <- s.hub.Work(ctx) }()
	defer func() {
		cancel()
		if err := <-worked; err != nil {
			t.Errorf("work: %v", err)
		}
		s.close(t)
	}()
	s.submit(t, 1, 2<<10)
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for quiet := false; !quiet || s.wire.sent.Load() == 0; _, quiet = s.hub.Idle() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("the first message is never sent")
		}
	}
	heap0, resident0 := memory(t)
	s.submit(t, n, 2<<10)
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		<-tick.C
	}
	heap1, resident1 := memory(t)
	if sent := s.wire.sent.Load(); sent > int64(n)/2 {
		t.Fatalf("%d of %d are sent already: there is no queue", sent, n)
	}
	return heap1 - heap0, resident1 - resident0
}

// memory reads the live heap and the resident set, in MiB.
func memory(t testing.TB) (heap, resident float64) {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("no resident set can be read: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			return float64(sample[0].Value.Uint64()) / (1 << 20), kb / 1024
		}
	}
	t.Fatal("the status tells no resident set")
	return 0, 0
}
