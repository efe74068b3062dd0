package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"raccordo/contracts"
)

// Write runs fn on the one writer, in a group with what else waits, and returns when the group is committed (and
// flushed, if anybody in it asked). An error of fn rolls back fn's own work alone and is returned as it is.
//
// ctx ends the wait only while fn has not begun; after that Write returns when the outcome is known. fn may run more
// than once (see the package comment) and does nothing but database work. It must not call Write or Read.
//
// Beyond Config.MaxQueue, Accept and Start are Throttled. With too little free disk they are Unavailable, and Settle goes
// on. A database that cannot be written makes every class Unavailable, until it can be written again.
func (s *Store) Write(ctx context.Context, class Class, fn func(*Tx) error) error {
	if class >= classes {
		class = Start
	}
	return s.submit(ctx, &member{class: class, fn: fn})
}

// alone runs fn on the writer outside any group or transaction, ahead of all that waits but other settling.
func (s *Store) alone(ctx context.Context, fn func(*conn) error) error {
	return s.submit(ctx, &member{class: Settle, alone: fn})
}

func (s *Store) submit(ctx context.Context, m *member) error {
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	m.done = make(chan error, 1)
	if err := s.queue.put(ctx, m); err != nil {
		return err
	}
	select {
	case err := <-m.done:
		return m.result(err)
	case <-ctx.Done():
		if s.queue.drop(m) {
			return canceled(ctx)
		}
		return m.result(<-m.done)
	}
}

// result raises the member's own panic again where it belongs: with its caller.
func (m *member) result(err error) error {
	if m.panicked != nil {
		panic(m.panicked)
	}
	return err
}

// write is the writer's goroutine.
func (s *Store) write() {
	defer close(s.wrote)
	for {
		runtime.Gosched() // those whom the last group woke join this one, instead of waiting a commit longer
		group := s.queue.take(s.cfg.MaxGroup)
		if len(group) == 0 {
			<-s.turn // the last group is on the disk
			return
		}
		if m := group[0]; m.alone != nil {
			<-s.turn
			m.done <- m.alone(s.writer)
			s.turn <- struct{}{}
			continue
		}
		s.serve(group)
		s.capWAL()
	}
}

// serve carries out a group, and gives each member its answer, now or when the group is on the disk.
func (s *Store) serve(group []*member) {
	if group = s.admit(group); len(group) == 0 {
		return
	}
	group, err := s.commit(group, true)
	if err == nil {
		return
	}
	s.rollback()
	freed := full(err) && s.reserve.release()
	s.log.Warn("store: group rolled back", slog.Int("members", len(group)), slog.Bool("reserve_released", freed), slog.Any("error", err))
	if len(group) == 1 && !freed {
		refuse(group[0], err)
		return
	}
	for _, m := range s.admit(group) { // one by one: a member that cannot be stored must not cost the others
		if _, err := s.commit([]*member{m}, false); err != nil {
			s.rollback()
			refuse(m, err)
		}
	}
}

// admit refuses what the state of the disk forbids, and returns the rest.
func (s *Store) admit(group []*member) []*member {
	if broken := s.broken.Load(); broken != nil {
		for _, m := range group {
			refuse(m, *broken)
		}
		return nil
	}
	low := s.reserve.check()
	if low == nil {
		return group
	}
	rest := make([]*member, 0, len(group))
	for _, m := range group {
		if m.class != Settle {
			s.refused.Add(1)
			m.done <- low
			continue
		}
		rest = append(rest, m)
	}
	return rest
}

func refuse(m *member, err error) {
	if m.err != nil { // its own failure says more than the group's
		err = m.err
	}
	m.done <- storageError("write", err)
}

// A batch is one transaction: its members, and what those that succeeded want.
type batch struct {
	group  []*member
	good   int // how many succeeded
	finish []finisher
	flush  bool
	head   *Head
}

func (b *batch) add(m *member) {
	if m.err != nil {
		return
	}
	b.good++
	b.flush = b.flush || m.tx.flush || m.tx.soon
	if m.tx.head != nil {
		b.head = m.tx.head
	}
	for _, f := range m.tx.finish {
		b.finish = mergeFinish(b.finish, f)
	}
}

// commit runs the members and commits what succeeded; a member's own failure stands in the member. An error means that
// the transaction as a whole did not happen and must be rolled back: nobody of the group that is returned was answered.
//
// The disk has one group at a time. While it is busy with the one before, members that come join this one, if it is open
// to them: the writer works while the disk does, and there are no more commits than flushes.
func (s *Store) commit(group []*member, open bool) (_ []*member, err error) {
	ctx := context.Background()
	b := &batch{group: group}
	if _, err := s.writer.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return b.group, fmt.Errorf("begin: %w", err)
	}
	for ran := 0; ; {
		for ; ran < len(b.group); ran++ {
			if err := s.run(b.group[ran]); err != nil {
				return b.group, err
			}
			b.add(b.group[ran])
		}
		room := 0
		if open {
			room = s.cfg.MaxGroup - len(b.group)
		}
		more, ours := s.await(room)
		if ours {
			break
		}
		b.group = append(b.group, s.admit(more)...)
	}
	defer func() {
		if err != nil {
			s.turn <- struct{}{}
		}
	}()
	if broken := s.broken.Load(); broken != nil || b.good == 0 {
		if err := s.leave(broken == nil); err != nil {
			return b.group, err
		}
		s.turn <- struct{}{}
		for _, m := range b.group {
			if broken != nil {
				refuse(m, *broken)
				continue
			}
			m.done <- m.err
		}
		return nil, nil
	}
	for _, f := range b.finish {
		tx := Tx{c: s.writer}
		err := f.fn(&tx)
		s.writer.tidy()
		tx.over = true
		if err != nil {
			return b.group, fmt.Errorf("finish %s: %w", f.name, err)
		}
		b.flush = b.flush || tx.flush || tx.soon
		if tx.head != nil {
			b.head = tx.head
		}
	}
	if s.opt.BeforeCommit != nil {
		s.opt.BeforeCommit(s.commits.Load() + 1)
	}
	if _, err := s.writer.exec(ctx, "COMMIT"); err != nil {
		return b.group, fmt.Errorf("commit: %w", err)
	}
	if s.commits.Add(1)%copyEvery == 0 {
		s.copier.ring()
	}
	s.members.Add(uint64(b.good))
	if b.head != nil {
		s.head.set(*b.head)
	}
	late := tell(b.group, func(m *member) bool { return !m.tx.flush || m.err != nil })
	if !b.flush {
		s.turn <- struct{}{}
		return nil, nil
	}
	go func() { // it has the disk's turn; whoever closes the store waits for that
		if err := s.flush(); err != nil {
			for _, m := range late {
				m.err = err // it is committed, as far as this process can see; only nobody may be told so
			}
		}
		tell(late, func(*member) bool { return true })
		s.turn <- struct{}{}
	}()
	return nil, nil
}

// leave ends a transaction that changed nothing. While a copy is made it is committed: SQLite begins a copy anew when its
// connection rolls back.
func (s *Store) leave(unchanged bool) error {
	if unchanged && s.copying != nil {
		if _, err := s.writer.exec(context.Background(), "COMMIT"); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		return nil
	}
	s.rollback()
	return nil
}

// await waits for the disk's turn, or for up to room members that come before it; of those it gives at least one.
func (s *Store) await(room int) (more []*member, ours bool) {
	for {
		select {
		case <-s.turn:
			return nil, true
		default:
		}
		if room <= 0 {
			<-s.turn
			return nil, true
		}
		if more = s.queue.join(room); len(more) > 0 {
			return more, false
		}
		select {
		case <-s.turn:
			return nil, true
		case <-s.queue.bell:
		}
	}
}

// tell gives its answer to each member for whom it is time, and gives the others.
func tell(group []*member, due func(*member) bool) (later []*member) {
	for _, m := range group {
		if !due(m) {
			later = append(later, m)
			continue
		}
		if m.err == nil {
			for _, fn := range m.tx.after {
				fn()
			}
		}
		m.done <- m.err
	}
	return later
}

// run runs one member in its savepoint. The error it returns concerns the whole group.
func (s *Store) run(m *member) error {
	ctx, c := context.Background(), s.writer
	if _, err := c.exec(ctx, "SAVEPOINT member"); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	m.tx = Tx{c: c}
	m.panicked, m.err = m.call()
	c.tidy()
	m.tx.over = true
	if m.err != nil {
		if storage(m.err) {
			return m.err
		}
		if _, err := c.exec(ctx, "ROLLBACK TO member"); err != nil {
			return fmt.Errorf("roll back a member: %w", errors.Join(err, m.err))
		}
	}
	if _, err := c.exec(ctx, "RELEASE member"); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func (m *member) call() (panicked any, err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked, err = p, errPanicked
		}
	}()
	return nil, m.fn(&m.tx)
}

var errPanicked = errors.New("the function panicked")

func mergeFinish(all []finisher, f finisher) []finisher {
	for i := range all {
		if all[i].name == f.name {
			all[i] = f
			return all
		}
	}
	return append(all, f)
}

// rollback ends a transaction that may or may not have ended itself, as SQLite does on some errors.
func (s *Store) rollback() {
	s.writer.tidy()
	_, _ = s.writer.exec(context.Background(), "ROLLBACK") // "no transaction is active" is the state that is wanted
}

// flush forces the write-ahead log to the disk.
func (s *Store) flush() error {
	if err := s.sync(); err != nil {
		broken := contracts.Errorf(contracts.Unavailable,
			"write: the disk failed to store a commit, so what it holds is not known; check the disk and restart the hub: %w", err)
		var e error = broken
		s.broken.Store(&e)
		s.log.Error("store: flush failed, no further writes", slog.Any("error", err))
		return broken
	}
	s.flushes.Add(1)
	s.head.publish()
	return nil
}
