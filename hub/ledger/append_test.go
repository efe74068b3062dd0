package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

func TestARolledBackMemberLeavesNoGapInTheChain(t *testing.T) {
	b := newBench(t)
	b.append(t, entry("domicile.lookup", "t1"))
	stop := errors.New("stop")
	if err := b.st.Write(t.Context(), store.Settle, func(tx *store.Tx) error {
		if _, err := b.Append(tx, entry("domicile.lookup", "lost")); err != nil {
			return err
		}
		return stop
	}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if e := b.append(t, entry("domicile.lookup", "t2")); e.Seq != 2 {
		t.Errorf("the entry after the rolled-back one has number %d, want 2", e.Seq)
	}
	if r, err := b.Verify(t.Context()); err != nil || r.Entries != 2 {
		t.Errorf("report %+v, error %v", r, err)
	}
}

func TestConcurrentMembersOfWhichSomeFailMakeOneChain(t *testing.T) {
	b := newBench(t)
	stop := errors.New("stop")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := b.st.Write(context.Background(), store.Class(i%3), func(tx *store.Tx) error {
				for range i%4 + 1 {
					if _, err := b.Append(tx, entry("domicile.lookup", fmt.Sprint(i))); err != nil {
						return err
					}
				}
				if i%5 == 0 {
					return stop
				}
				return nil
			})
			if (i%5 == 0) != errors.Is(err, stop) || i%5 != 0 && err != nil {
				t.Errorf("member %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if r, err := b.Verify(t.Context()); err != nil || r.Entries != 400 {
		t.Errorf("report %+v, error %v; want 400 entries", r, err)
	}
}

func TestADayEndsWithTheClockAndNeverBeginsTwice(t *testing.T) {
	b := newBench(t)
	b.append(t, entry("a.b", "1")) // 10:00 on the first
	b.clock.Advance(14 * time.Hour)
	b.append(t, entry("a.b", "2")) // 00:00 on the second
	b.clock.Advance(-time.Hour)
	b.append(t, entry("a.b", "3")) // back to the first: stays in the second's segment
	b.clock.Advance(25 * time.Hour)
	b.append(t, entry("a.b", "4")) // 00:00 on the third
	b.clock.Advance(240 * time.Hour)
	b.append(t, entry("a.b", "5")) // days without entries have no segment
	r, err := b.Verify(t.Context())
	if err != nil || r.Segments != 4 || r.Entries != 5 {
		t.Errorf("report %+v, error %v; want 5 entries in 4 segments", r, err)
	}
}

func TestWhatGoesBeforeAnEffectIsFlushed(t *testing.T) {
	for _, c := range []struct {
		flush, phase string
		want         uint64
	}{
		{ledger.FlushWrites, contracts.PhaseOutcome, 0},
		{ledger.FlushWrites, contracts.PhaseEvent, 0},
		{ledger.FlushWrites, contracts.PhaseSubmitted, 1},
		{ledger.FlushWrites, contracts.PhaseIntent, 1},
		{ledger.FlushWrites, contracts.PhaseOperator, 1},
		{ledger.FlushAll, contracts.PhaseOutcome, 1},
	} {
		t.Run(c.flush+" "+c.phase, func(t *testing.T) {
			b := newBench(t, func(_ *store.Config, lc *ledger.Config) { lc.Flush = c.flush })
			e := entry("domicile.lookup", "t1")
			e.Phase = c.phase
			before := b.st.Stats().Flushes
			b.append(t, e)
			if n := b.st.Stats().Flushes - before; n != c.want {
				t.Errorf("flushed %d times, want %d", n, c.want)
			}
		})
	}
}

func TestEntriesArePagedAndFiltered(t *testing.T) {
	b := newBench(t)
	for i := range 12 {
		e := entry([]string{"a.one", "a.two"}[i%2], fmt.Sprintf("t%d", i%3))
		e.Caller.Case = []string{"", "2026/1"}[i/6]
		b.append(t, e)
	}
	for _, c := range []struct {
		name string
		q    ledger.Query
		want []uint64
	}{
		{"all, the second page", ledger.Query{After: 4, Max: 3}, []uint64{5, 6, 7}},
		{"of a ticket", ledger.Query{Ref: "t1"}, []uint64{2, 5, 8, 11}},
		{"of an operation", ledger.Query{Op: "a.two", Max: 2}, []uint64{2, 4}},
		{"of a case", ledger.Query{Case: "2026/1", After: 10}, []uint64{11, 12}},
		{"of all three", ledger.Query{Ref: "t1", Op: "a.two", Case: "2026/1"}, []uint64{8}},
		{"none", ledger.Query{Ref: "t9"}, nil},
		{"behind the end", ledger.Query{After: 1<<64 - 1}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			page, err := b.Entries(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			var have []uint64
			for _, e := range page {
				have = append(have, e.Seq)
			}
			if fmt.Sprint(have) != fmt.Sprint(c.want) {
				t.Errorf("have %v, want %v", have, c.want)
			}
		})
	}
}

func TestAnEntryIsGivenBackAsItWasStored(t *testing.T) {
	b := newBench(t)
	e := entry("domicile.lookup", "t\xff1") // far sides send what they send
	e.At = time.Date(2026, 3, 1, 11, 0, 0, 1, time.FixedZone("CET", 3600))
	e.Proof = []contracts.Sum{{1}, {2}}
	out := b.append(t, e)
	page, err := b.Entries(t.Context(), ledger.Query{})
	if err != nil || len(page) != 1 || fmt.Sprintf("%+v", page[0]) != fmt.Sprintf("%+v", out) {
		t.Errorf("have  %+v\nwant %+v (%v)", page, out, err)
	}
	if out.Ref != "t\uFFFD1" || out.At.Location() != time.UTC || out.Chain != b.Chain() || out.Version != 1 {
		t.Errorf("not in normal form: %+v", out)
	}
	big := entry("domicile.lookup", "t1")
	big.Reason = strings.Repeat("x", 600<<10)
	if err := b.st.Write(t.Context(), store.Settle, func(tx *store.Tx) error { _, err := b.Append(tx, big); return err }); err == nil {
		t.Error("an entry beyond the limit was taken")
	}
}

func TestAnotherSigningKeyCountsOnceItIsTrusted(t *testing.T) {
	b := newBench(t)
	b.days(t, 2, 2)
	old := b.PublicKeyText()
	if err := b.st.Close(); err != nil {
		t.Fatal(err)
	}
	fresh, err := ledger.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		trusted []string
		ok      bool
	}{{"the former key is forgotten", nil, false}, {"the former key is trusted", []string{old}, true}} {
		t.Run(c.name, func(t *testing.T) {
			st, err := store.Open(t.Context(), b.cfg, store.Options{Clock: b.clock, Secret: secret})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			l, err := ledger.Open(t.Context(), st, ledger.Config{Key: "secret://env/SIGN", Flush: "writes", Trusted: c.trusted}, ledger.Options{
				Clock: b.clock, Secret: func(context.Context, contracts.Secret) ([]byte, error) { return fresh, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Verify(t.Context()); (err == nil) != c.ok {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

func TestABadConfigurationNamesEveryFault(t *testing.T) {
	err := ledger.Config{Key: "hunter2", Flush: "sometimes", Trusted: []string{"x"}}.Validate()
	for _, path := range []string{"key: ", "flush: ", "trusted[0]: "} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("no fault at %q in: %v", path, err)
		}
	}
	if (ledger.Config{}).Validate() == nil {
		t.Error("the empty configuration is valid")
	}
	b := newBench(t)
	_, err = ledger.Open(t.Context(), b.st, ledger.Config{Key: "secret://env/STORE", Flush: "all"}, ledger.Options{Secret: secret})
	if contracts.KindOf(err) != contracts.Invalid || strings.Contains(err.Error(), storeKey) {
		t.Errorf("with a key that is no signing key: %v", err)
	}
}

// One entry per member, 64 members at a time, as a busy hub appends them.
func BenchmarkAppend(b *testing.B) {
	for _, flush := range []string{ledger.FlushWrites, ledger.FlushAll} {
		b.Run("flush "+flush, func(b *testing.B) {
			l := newBench(b, func(_ *store.Config, lc *ledger.Config) { lc.Flush = flush })
			e := entry("domicile.lookup", "t1")
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.append(b, e)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
