package store

import (
	"context"
	"database/sql"
	"errors"
)

var errOver = errors.New("transaction is over: a Tx must not be used after its function has returned")

// A Tx is one member's part of a group commit. It is for the function that was given it, on that goroutine, until that
// function returns.
type Tx struct {
	c      *conn
	over   bool
	flush  bool
	soon   bool
	after  []func()
	finish []finisher
	head   *Head
}

type finisher struct {
	name string
	fn   func(*Tx) error
}

// Exec runs a statement. Texts are kept prepared: they should be constants.
func (tx *Tx) Exec(query string, args ...any) (sql.Result, error) {
	if tx.over {
		return nil, errOver
	}
	return tx.c.exec(context.Background(), query, args...)
}

// Query asks for rows. What the function leaves open is closed when it returns.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	if tx.over {
		return nil, errOver
	}
	return tx.c.query(context.Background(), query, args...)
}

// QueryRow asks for one row; Scan gives sql.ErrNoRows when there is none. The row must be scanned.
func (tx *Tx) QueryRow(query string, args ...any) *sql.Row {
	if tx.over {
		panic(errOver) // a programmer's error, and there is no row to give
	}
	return tx.c.queryRow(context.Background(), query, args...)
}

// Flush asks that this group be forced to the disk before this member hears of success.
func (tx *Tx) Flush() { tx.flush = true }

// FlushSoon asks that this group be forced to the disk at once, though this member need not wait for it: for what the
// far side or an operator could tell again, should a power cut take it.
func (tx *Tx) FlushSoon() { tx.soon = true }

// After runs fn once the group is committed (and flushed, where that was asked), before Write returns and before the next
// group is committed. It must be quick, must not wait, and must not call Write.
func (tx *Tx) After(fn func()) { tx.after = append(tx.after, fn) }

// Finish runs fn at the end of the group, inside its transaction, once for all members that gave the same name (the last
// one's counts). It is for what a group needs only once: a running head, a counter. An error fails the whole group.
func (tx *Tx) Finish(name string, fn func(*Tx) error) {
	tx.finish = append(tx.finish, finisher{name, fn})
}
