package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// hold occupies the writer until the returned function is called.
func hold(t testing.TB, s *store.Store) (release func()) {
	t.Helper()
	begun, gate, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		if err := s.Write(context.Background(), store.Settle, func(*store.Tx) error {
			close(begun)
			<-gate
			return nil
		}); err != nil {
			t.Error(err)
		}
	}()
	<-begun
	return sync.OnceFunc(func() { close(gate); <-over })
}

// waiting returns when so many writes are queued.
func waiting(s *store.Store, n int) {
	for s.Stats().Waiting != n {
		runtime.Gosched()
	}
}

func TestConcurrentWritersShareCommits(t *testing.T) {
	s := migrate(t, open(t, config(t), store.Options{}))
	before := s.Stats()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 10 {
				if err := s.Write(context.Background(), store.Accept, func(tx *store.Tx) error {
					tx.Flush()
					return note(fmt.Sprintf("%d/%d", i, j))(tx)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	after := s.Stats()
	commits, members := after.Commits-before.Commits, after.Members-before.Members
	if members != 640 || commits > members/4 || after.Flushes-before.Flushes != commits {
		t.Errorf("%d members in %d commits with %d flushes, want 640 in far fewer, each flushed once", members, commits, after.Flushes-before.Flushes)
	}
	if n := count(t, s); n != 640 {
		t.Errorf("%d rows, want 640", n)
	}
}

func TestAFailingMemberIsRolledBackAlone(t *testing.T) {
	s := migrate(t, open(t, config(t), store.Options{}))
	release := hold(t, s)
	stop := errors.New("stop")
	members := []struct {
		name string
		fn   func(*store.Tx) error
		want func(error) bool
	}{
		{"good before", note("a"), func(err error) bool { return err == nil }},
		{"own error", func(tx *store.Tx) error { return errors.Join(note("b")(tx), stop) }, func(err error) bool { return errors.Is(err, stop) }},
		{"constraint", func(tx *store.Tx) error { return errors.Join(note("c")(tx), note("c")(tx)) }, func(err error) bool { return err != nil && strings.Contains(err.Error(), "UNIQUE") }},
		{"syntax", func(tx *store.Tx) error { _, err := tx.Exec("INSERT INTO nowhere VALUES (1)"); return err }, func(err error) bool { return err != nil }},
		{"rows left open", func(tx *store.Tx) error {
			rows, err := tx.Query("SELECT id FROM note")
			if err == nil && rows.Next() {
				_, err = tx.Query("SELECT id FROM note") // the same statement, while it is being read
			}
			return errors.Join(err, note("d")(tx))
		}, func(err error) bool { return err == nil }},
		{"good behind", note("e"), func(err error) bool { return err == nil }},
	}
	commits := s.Stats().Commits
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			if err := s.Write(context.Background(), store.Accept, m.fn); !m.want(err) {
				t.Errorf("%s: %v", m.name, err)
			}
		})
		waiting(s, i+1)
	}
	release()
	wg.Wait()
	if n := count(t, s); n != 3 {
		t.Errorf("%d rows, want those of the three good members", n)
	}
	if n := s.Stats().Commits - commits; n != 2 {
		t.Errorf("%d commits, want the holder's and one for all", n)
	}
}

func TestTheWriterServesSettleThenAcceptThenStart(t *testing.T) {
	s := migrate(t, open(t, config(t), store.Options{}))
	release := hold(t, s)
	var order []string
	var wg sync.WaitGroup
	for i, class := range []store.Class{store.Start, store.Accept, store.Settle, store.Start, store.Settle, store.Accept} {
		wg.Go(func() {
			if err := s.Write(context.Background(), class, func(*store.Tx) error { order = append(order, class.String()); return nil }); err != nil {
				t.Error(err)
			}
		})
		waiting(s, i+1)
	}
	release()
	wg.Wait()
	if have := strings.Join(order, " "); have != "settle settle accept accept start start" {
		t.Errorf("served %s", have)
	}
}

func TestTheQueueIsBoundedAndSettlingHasRoomOfItsOwn(t *testing.T) {
	cfg := config(t)
	cfg.MaxQueue = 3
	s := migrate(t, open(t, cfg, store.Options{}))
	release := hold(t, s)
	var wg sync.WaitGroup
	put := func(class store.Class) {
		n := s.Stats().Waiting
		wg.Go(func() {
			if err := s.Write(context.Background(), class, func(*store.Tx) error { return nil }); err != nil {
				t.Error(err)
			}
		})
		waiting(s, n+1)
	}
	put(store.Accept)
	put(store.Start)
	put(store.Accept)
	for _, class := range []store.Class{store.Accept, store.Start} {
		err := s.Write(t.Context(), class, func(*store.Tx) error { return nil })
		if contracts.KindOf(err) != contracts.Throttled || contracts.AsError(err).After == 0 {
			t.Errorf("%s beyond the bound: %v", class, err)
		}
	}
	for range 3 {
		put(store.Settle)
	}
	ctx, cancel := context.WithCancel(t.Context())
	late := make(chan error, 1)
	go func() { late <- s.Write(ctx, store.Settle, func(*store.Tx) error { return nil }) }()
	cancel() // it waits for room, and need not
	if err := <-late; contracts.KindOf(err) != contracts.Canceled {
		t.Errorf("settling without room, given up: %v", err)
	}
	release()
	wg.Wait()
}

func TestACallerMayGiveUpUntilItsTurnHasCome(t *testing.T) {
	s := migrate(t, open(t, config(t), store.Options{}))
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- s.Write(ctx, store.Accept, note("never")) }()
	waiting(s, 1)
	cancel()
	if err := <-gone; contracts.KindOf(err) != contracts.Canceled {
		t.Errorf("given up before it began: %v", err)
	}
	if n := s.Stats().Waiting; n != 0 {
		t.Errorf("%d still wait", n)
	}
	release()

	ctx, cancel = context.WithCancel(t.Context())
	if err := s.Write(ctx, store.Accept, func(tx *store.Tx) error { cancel(); return note("begun")(tx) }); err != nil {
		t.Errorf("given up after it began: %v", err)
	}
	if err := s.Write(ctx, store.Accept, note("never")); contracts.KindOf(err) != contracts.Canceled {
		t.Errorf("given up before it was asked: %v", err)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestAPanicComesBackToItsCallerAndTheWriterGoesOn(t *testing.T) {
	s := migrate(t, open(t, config(t), store.Options{}))
	func() {
		defer func() {
			if p := recover(); p != "oops" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = s.Write(t.Context(), store.Accept, func(tx *store.Tx) error { _ = note("never")(tx); panic("oops") })
	}()
	if err := s.Write(t.Context(), store.Accept, note("one")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestAfterAndFinishRunAtTheEndOfTheGroup(t *testing.T) {
	s := migrate(t, open(t, config(t), store.Options{}))
	release := hold(t, s)
	var log []string // the writer's goroutine alone, until wg is done
	stop := errors.New("stop")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			err := s.Write(context.Background(), store.Accept, func(tx *store.Tx) error {
				log = append(log, fmt.Sprint("run ", i))
				tx.After(func() { log = append(log, fmt.Sprint("after ", i)) })
				tx.Finish("head", func(tx *store.Tx) error {
					log = append(log, fmt.Sprint("finish by ", i))
					return note("finish")(tx)
				})
				if i == 3 {
					return stop
				}
				return nil
			})
			if (i == 3) != errors.Is(err, stop) {
				t.Error(err)
			}
		})
		waiting(s, i+1)
	}
	release()
	wg.Wait()
	if have, want := strings.Join(log, ", "), "run 0, run 1, run 2, run 3, finish by 2, after 0, after 1, after 2"; have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("%d rows, want the one of Finish", n)
	}

	err := s.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
		tx.Finish("head", func(*store.Tx) error { return stop })
		return note("with it")(tx)
	})
	if !errors.Is(err, stop) || count(t, s) != 1 {
		t.Errorf("a failing Finish must fail its group: %v, %d rows", err, count(t, s))
	}
}

func TestEachCommitIsAnnouncedByItsNumber(t *testing.T) {
	var numbers []uint64 // the writer's goroutine alone, until Write has returned
	s := migrate(t, open(t, config(t), store.Options{BeforeCommit: func(n uint64) { numbers = append(numbers, n) }}))
	numbers = nil
	first := s.Stats().Commits
	for i := range 3 {
		if err := s.Write(t.Context(), store.Accept, note(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	stop := errors.New("stop")
	if err := s.Write(t.Context(), store.Accept, func(*store.Tx) error { return stop }); !errors.Is(err, stop) { // nothing to commit
		t.Fatal(err)
	}
	if have, want := fmt.Sprint(numbers), fmt.Sprint([]uint64{first + 1, first + 2, first + 3}); have != want {
		t.Errorf("announced %s, want %s", have, want)
	}
}

func TestATransactionEndsWithItsFunction(t *testing.T) {
	s := migrate(t, open(t, config(t), store.Options{}))
	var kept *store.Tx
	if err := s.Write(t.Context(), store.Accept, func(tx *store.Tx) error { kept = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Exec("DELETE FROM note"); err == nil {
		t.Error("Exec after the end")
	}
	if _, err := kept.Query("SELECT 1"); err == nil {
		t.Error("Query after the end")
	}
}

func TestClosingServesWhatWaitsAndRefusesWhatComes(t *testing.T) {
	s := migrate(t, open(t, config(t), store.Options{}))
	release := hold(t, s)
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			if err := s.Write(context.Background(), store.Start, note(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
		waiting(s, i+1)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	release()
	wg.Wait()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), store.Settle, note("late")); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("write after Close: %v", err)
	}
	if err := s.Read(t.Context(), func(*store.View) error { return nil }); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("read after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
