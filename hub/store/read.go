package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"raccordo/contracts"
)

// A View is a read transaction: all its queries see the same state. It is for the function that was given it, on that
// goroutine, until that function returns.
type View struct {
	ctx context.Context
	c   *conn
}

// Query asks for rows. What the function leaves open is closed when it returns.
func (v *View) Query(query string, args ...any) (*Rows, error) {
	return v.c.query(v.ctx, query, args...)
}

// QueryRow asks for one row; Scan gives sql.ErrNoRows when there is none. The row must be scanned.
func (v *View) QueryRow(query string, args ...any) *sql.Row {
	return v.c.queryRow(v.ctx, query, args...)
}

// A Querier is what Tx and View have in common, for questions that are asked in both.
type Querier interface {
	Query(query string, args ...any) (*Rows, error)
	QueryRow(query string, args ...any) *sql.Row
}

// Read runs fn in a read transaction on the read pool. It sees everything that Write has acknowledged. It may take
// Config.ReadTime, waiting for its turn included, so that no reader keeps the write-ahead log from being emptied; a read
// that takes longer is broken off with Unavailable. Long work (an export) reads page by page.
//
// A commit can be seen here a moment before it is flushed and acknowledged.
func (s *Store) Read(ctx context.Context, fn func(*View) error) error {
	limited, stop := context.WithTimeout(ctx, s.cfg.ReadTime)
	defer stop()
	err := s.readers.read(limited, fn)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return contracts.Errorf(contracts.Canceled, "read: %w", context.Cause(ctx))
	case limited.Err() != nil:
		return contracts.Errorf(contracts.Unavailable, "read: took longer than %s and was broken off; ask for less at a time", s.cfg.ReadTime)
	}
	return storageError("read", err)
}

// readers is a pool of reading connections, each made when it is first wanted.
type readers struct {
	db   *sql.DB
	free chan *conn // as many as there are connections; nil for one not made yet
	over chan struct{}
	once sync.Once
}

func newReaders(db *sql.DB, n int) *readers {
	r := &readers{db: db, free: make(chan *conn, n), over: make(chan struct{})}
	for range n {
		r.free <- nil
	}
	return r
}

func (r *readers) read(ctx context.Context, fn func(*View) error) (err error) {
	var c *conn
	select {
	case <-r.over:
		return contracts.Errorf(contracts.Unavailable, "read: the store is closed")
	default:
	}
	select {
	case c = <-r.free:
	case <-r.over:
		return contracts.Errorf(contracts.Unavailable, "read: the store is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	good := false
	defer func() {
		if !good && c != nil { // broken off or panicked: its state is not worth finding out
			err = errors.Join(err, c.close())
			c = nil
		}
		r.free <- c
	}()
	if c == nil {
		raw, err := r.db.Conn(ctx)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		c = newConn(raw)
	}
	// database/sql rolls this transaction back by itself when the time is up, even while fn does something else.
	tx, err := c.sql.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		c.tidy()
		if rollback := tx.Rollback(); rollback == nil && ctx.Err() == nil {
			good = true
		}
	}()
	return fn(&View{ctx: ctx, c: c})
}

// close waits for the reads that run and closes the connections.
func (r *readers) close() error {
	var errs []error
	r.once.Do(func() {
		close(r.over)
		for range cap(r.free) {
			if c := <-r.free; c != nil {
				errs = append(errs, c.close())
			}
		}
		errs = append(errs, r.db.Close())
	})
	return errors.Join(errs...)
}
