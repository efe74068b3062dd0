package hub_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub/store"
	"raccordo/mocks/lab"
)

// BenchmarkDurableSubmit compares, in turns on the same disk, messages submitted to a whole hub by 64 callers (admission,
// sealing, ticket, request, ledger entry and signed head, all on the disk before the answer) with single rows of SQLite
// that are each forced to the disk, as synchronous FULL does. At least 1.5 times as many are wanted.
func BenchmarkDurableSubmit(b *testing.B) {
	// At the bench's instant, which stands still, nothing else goes on: the mailbox is isolated.
	r := newRig(b, unlimited)
	if err := r.hub.Isolate(context.Background(), "pec", "operator-7", "a benchmark of accepting"); err != nil {
		b.Fatal(err)
	}
	row := singleRows(b, filepath.Join(r.dir, "rows.db"))
	m := message(b, addressOf(lab.Who("personal-domicile")), "B")
	caller := contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: "B"}
	const (
		callers = 64
		rows    = 100
		each    = 10
	)
	var ours, theirs time.Duration
	turn := 0
	for b.Loop() {
		turn++
		began := time.Now()
		for range rows {
			if err := row(); err != nil {
				b.Fatal(err)
			}
		}
		theirs += time.Since(began)

		began = time.Now()
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				ctx := contracts.WithCaller(context.Background(), caller)
				for i := range each {
					key := fmt.Sprintf("%d/%d/%d", turn, c, i)
					if _, err := contracts.Submit(contracts.WithKey(ctx, key), r.hub, delivery.OpSend, m); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		ours += time.Since(began)
	}
	submitted := float64(turn*callers*each) / ours.Seconds()
	inserted := float64(turn*rows) / theirs.Seconds()
	b.ReportMetric(submitted/inserted, "x-single-rows")
	b.ReportMetric(submitted, "submits/s")
	b.ReportMetric(inserted, "rows/s")
	b.ReportMetric(0, "ns/op") // a turn of both, and nobody's business
}

// singleRows gives a function that stores one row by itself and forces it to the disk: a commit and a flush for each.
func singleRows(b *testing.B, path string) func() error {
	b.Helper()
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = path, "secret://env/UNUSED", 0
	s, err := store.Open(context.Background(), cfg, store.Options{
		Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(store.NewKey()), nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := s.Migrate(context.Background(), "bench", []string{"CREATE TABLE bench (n INTEGER PRIMARY KEY, text TEXT NOT NULL)"}); err != nil {
		b.Fatal(err)
	}
	return func() error {
		return s.Write(context.Background(), store.Accept, func(tx *store.Tx) error {
			tx.Flush()
			_, err := tx.Exec("INSERT INTO bench (text) VALUES ('a row')")
			return err
		})
	}
}
