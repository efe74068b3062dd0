package store

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"raccordo/contracts"
)

// A disk is the store's, whose flushes wait to be let through, each with its outcome.
type disk struct {
	began   chan struct{}
	outcome chan error
}

func openOnDisk(t *testing.T) (*Store, *disk) {
	t.Helper()
	cfg := Default()
	cfg.Path, cfg.Key, cfg.Reserve = filepath.Join(t.TempDir(), "hub.db"), "secret://env/KEY", 0
	s, err := Open(t.Context(), cfg, Options{Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(NewKey()), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context(), "test", []string{"CREATE TABLE note (text TEXT NOT NULL)"}); err != nil {
		t.Fatal(err)
	}
	d := &disk{began: make(chan struct{}, 16), outcome: make(chan error, 16)}
	s.sync = func() error { // the writer is idle: Migrate has returned
		d.began <- struct{}{}
		return <-d.outcome
	}
	return s, d
}

// note begins to write a row, and gives where its answer will come.
func (s *Store) note(text string, ask func(*Tx)) <-chan error {
	done := make(chan error, 1)
	go func() {
		done <- s.Write(context.Background(), Settle, func(tx *Tx) error {
			ask(tx)
			_, err := tx.Exec("INSERT INTO note (text) VALUES (?)", text)
			return err
		})
	}()
	return done
}

func (s *Store) notes(t *testing.T) (n int) {
	t.Helper()
	if err := s.Read(t.Context(), func(v *View) error { return v.QueryRow("SELECT count(*) FROM note").Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func answered(done <-chan error) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func TestTheWriterWorksWhileTheDiskDoes(t *testing.T) {
	s, d := openOnDisk(t)
	before := s.Stats()
	first := s.note("first", (*Tx).Flush)
	<-d.began
	var (
		ran  sync.WaitGroup
		more []<-chan error
	)
	for range 5 {
		ran.Add(1)
		more = append(more, s.note("more", func(tx *Tx) { tx.Flush(); ran.Done() }))
	}
	ran.Wait() // they have run, though the disk is still at the first
	if n := s.notes(t); n != 1 || answered(first) {
		t.Errorf("%d rows are committed before the disk is free, want the first alone, and nobody answered", n)
	}
	d.outcome <- nil
	if err := <-first; err != nil {
		t.Error(err)
	}
	<-d.began
	for i, done := range more {
		if answered(done) {
			t.Errorf("write %d was answered before it was flushed", i)
		}
	}
	d.outcome <- nil
	for _, done := range more {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	after := s.Stats()
	if after.Commits-before.Commits != 2 || after.Flushes-before.Flushes != 2 || s.notes(t) != 6 {
		t.Errorf("%d commits and %d flushes, want 2 of each for six rows", after.Commits-before.Commits, after.Flushes-before.Flushes)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhoAskedWaitsForTheDisk(t *testing.T) {
	s, d := openOnDisk(t)
	hold := s.note("first", (*Tx).Flush)
	<-d.began
	var ran sync.WaitGroup
	ran.Add(3)
	told := make(chan string, 3)
	ask := func(name string, how func(*Tx)) func(*Tx) {
		return func(tx *Tx) { how(tx); tx.After(func() { told <- name }); ran.Done() }
	}
	late := s.note("late", ask("flush", (*Tx).Flush))
	soon := s.note("soon", ask("soon", (*Tx).FlushSoon))
	never := s.note("never", ask("no flush", func(*Tx) {}))
	ran.Wait()
	d.outcome <- nil
	<-hold
	if err := errors.Join(<-soon, <-never); err != nil {
		t.Error(err)
	}
	<-d.began
	if answered(late) || len(told) != 2 {
		t.Errorf("who asked for a flush was answered before it; %d were told", len(told))
	}
	d.outcome <- nil
	if err := <-late; err != nil {
		t.Error(err)
	}
	alone := s.note("alone", (*Tx).FlushSoon)
	if err := <-alone; err != nil {
		t.Error(err)
	}
	<-d.began // it is flushed all the same
	d.outcome <- nil
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatRanBehindAFlushThatFailsIsNotCommitted(t *testing.T) {
	s, d := openOnDisk(t)
	first := s.note("first", (*Tx).Flush)
	<-d.began
	var ran sync.WaitGroup
	ran.Add(1)
	second := s.note("second", func(*Tx) { ran.Done() })
	ran.Wait()
	d.outcome <- errors.New("input/output error")
	for name, done := range map[string]<-chan error{"the write whose flush failed": first, "the write behind it": second} {
		if err := <-done; contracts.KindOf(err) != contracts.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.notes(t); n != 1 {
		t.Errorf("%d rows are committed, want the first alone", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseWaitsForTheDisk(t *testing.T) {
	s, d := openOnDisk(t)
	first := s.note("first", (*Tx).Flush)
	<-d.began
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for !s.queueClosed() {
		runtime.Gosched()
	}
	if answered(closed) || answered(first) {
		t.Error("it is closed before the last group is on the disk")
	}
	d.outcome <- nil
	if err := errors.Join(<-first, <-closed); err != nil {
		t.Error(err)
	}
}

func (s *Store) queueClosed() bool {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.closed
}
