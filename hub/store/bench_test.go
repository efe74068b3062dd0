package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"raccordo/hub/store"
)

// The two benchmarks write the same row with the same durability on the same disk: one row per transaction with SQLite's
// own synchronous=FULL, and through the store with 64 callers that each ask for a flush.

func BenchmarkSingleRowFull(b *testing.B) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "plain.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(notes()[0]); err != nil {
		b.Fatal(err)
	}
	insert, err := db.Prepare("INSERT INTO note (text) VALUES (?)")
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	b.ResetTimer()
	for i := range b.N {
		if _, err := insert.Exec(fmt.Sprint(i)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkWrite64Callers(b *testing.B) {
	s := open(b, config(b), store.Options{})
	if err := s.Migrate(b.Context(), "note", notes()); err != nil {
		b.Fatal(err)
	}
	before := s.Stats()
	var n atomic.Int64
	b.SetParallelism(32) // times two processors
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			text := fmt.Sprint(n.Add(1))
			if err := s.Write(context.Background(), store.Accept, func(tx *store.Tx) error { tx.Flush(); return note(text)(tx) }); err != nil {
				b.Error(err)
			}
		}
	})
	after := s.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(after.Members-before.Members)/float64(after.Commits-before.Commits), "rows/commit")
}

func BenchmarkSeal(b *testing.B) {
	s := open(b, config(b), store.Options{})
	plain := make([]byte, 1024)
	b.SetBytes(1024)
	for b.Loop() {
		if _, err := s.Seal("ticket", "abcdefghijklmnopqrstuvwxyz", plain); err != nil {
			b.Fatal(err)
		}
	}
}
