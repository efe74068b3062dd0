package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// maxStatements bounds the statements kept prepared per connection. A program has a few hundred texts at most; a text
// built from values would show up as a slow path, not as growing memory.
const maxStatements = 512

// A conn is a connection with its prepared statements. One goroutine uses it at a time.
//
// Statements of the writer run without a context that can end: the driver would start a goroutine for each to watch it,
// and the writer never gives up half-way anyhow. Those of a reader run under the reader's time limit.
type conn struct {
	sql   *sql.Conn
	kept  map[string]*kept
	loose []*Rows // open results of the present member or reader
}

type kept struct {
	stmt *sql.Stmt
	busy bool // its rows are being read; the driver would reset them if it ran again
}

func newConn(c *sql.Conn) *conn { return &conn{sql: c, kept: map[string]*kept{}} }

// statement gives the prepared form of query, or nil when it must go unprepared: the bound is reached, or the statement
// is in use.
func (c *conn) statement(ctx context.Context, query string) (*kept, error) {
	if k, ok := c.kept[query]; ok {
		if k.busy {
			return nil, nil
		}
		return k, nil
	}
	if len(c.kept) >= maxStatements {
		return nil, nil
	}
	stmt, err := c.sql.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	k := &kept{stmt: stmt}
	c.kept[query] = k
	return k, nil
}

func (c *conn) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	k, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if k == nil {
		return c.sql.ExecContext(ctx, query, args...)
	}
	return k.stmt.ExecContext(ctx, args...)
}

func (c *conn) query(ctx context.Context, query string, args ...any) (*Rows, error) {
	k, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	var rows *sql.Rows
	if k == nil {
		rows, err = c.sql.QueryContext(ctx, query, args...)
	} else {
		rows, err = k.stmt.QueryContext(ctx, args...)
	}
	if err != nil {
		return nil, err
	}
	r := &Rows{Rows: rows, kept: k}
	if k != nil {
		k.busy = true
	}
	c.loose = append(c.loose, r)
	return r, nil
}

func (c *conn) queryRow(ctx context.Context, query string, args ...any) *sql.Row {
	k, err := c.statement(ctx, query)
	if err != nil || k == nil {
		return c.sql.QueryRowContext(ctx, query, args...) // which then fails likewise, in Scan
	}
	return k.stmt.QueryRowContext(ctx, args...)
}

func (c *conn) close() error {
	c.tidy()
	var errs []error
	for _, k := range c.kept {
		errs = append(errs, k.stmt.Close())
	}
	return errors.Join(append(errs, c.sql.Close())...)
}

// tidy closes what a member left open, so that its statements do not hold on to the transaction.
func (c *conn) tidy() {
	for _, r := range c.loose {
		_ = r.Close() // its reader has had the error, or did not want it
	}
	c.loose = c.loose[:0]
}

// Rows are the rows of a query; they end with the Write or Read that asked for them.
type Rows struct {
	*sql.Rows
	kept *kept
}

// Next steps to the next row; after the last one the rows are closed.
func (r *Rows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.free()
	return false
}

// Close ends the reading; closing twice is harmless.
func (r *Rows) Close() error {
	err := r.Rows.Close()
	r.free()
	return err
}

func (r *Rows) free() {
	if r.kept != nil {
		r.kept.busy = false
		r.kept = nil
	}
}
