package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/contracts/domicile"
	"raccordo/hub"
)

// A core plays the case-management core: it takes the list in, asks for each employer's digital domicile, sends the
// activation code there, and hears of the receipts as events. Core teams copy this file: everything goes by ticket under
// a key derived from the row, so that it may be done again from the beginning at any time without harm.
type core struct {
	hub    *hub.Hub
	seed   uint64
	now    func() time.Time
	reader string // the service in whose name it asks

	mu      sync.Mutex
	rows    []*row
	tickets map[string]*row // by ticket id, look-ups and messages alike
	invalid []*input.Error
	seen    uint64 // the last event it has dealt with
}

// An outcome is what became of a row. Every row has exactly one.
type outcome string

const (
	pending    outcome = "pending"
	invalidRow outcome = "invalid"
	repeated   outcome = "repeated"
	noDomicile outcome = "no_domicile"
	delivered  outcome = "delivered"
	failed     outcome = "failed"
	uncertain  outcome = "uncertain"
)

// A row is one employer's request and where it stands.
type row struct {
	id       string
	line     int
	capacity domicile.Capacity
	outcome  outcome
	reason   string
	asked    time.Time // when the employer asked for the code
	settled  time.Time
	lookup   string // ticket ids
	message  string
	register string
	dispatch delivery.Dispatch
}

const (
	service   = "core"
	purpose   = "activation"
	eventPage = 500
)

func newCore(h *hub.Hub, seed uint64, now func() time.Time) *core {
	return &core{hub: h, seed: seed, now: now, reader: service, tickets: map[string]*row{}}
}

// caller is in whose name a row is worked on: the case is the core's own number, never a person's code.
func (c *core) caller(ctx context.Context, id string) context.Context {
	return contracts.WithCaller(ctx, contracts.Caller{Service: service, Purpose: purpose, User: "system", Case: id})
}

// accept takes one list in. A row that is wrong is noted alone; a fatal fault ends the list, and what was accepted before
// it goes on.
func (c *core) accept(ctx context.Context, r *input.Reader) error {
	const hands = 64 // submissions that share commits
	jobs := make(chan *row)
	queries := make(map[*row]domicile.Query)
	var (
		wg    sync.WaitGroup
		first error
	)
	for range hands {
		wg.Go(func() {
			for one := range jobs {
				c.mu.Lock()
				q := queries[one]
				delete(queries, one)
				c.mu.Unlock()
				if err := c.ask(ctx, one, q); err != nil {
					c.mu.Lock()
					first = errors.Join(first, err)
					c.mu.Unlock()
				}
			}
		})
	}
	for ctx.Err() == nil {
		next, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var fault *input.Error
		if errors.As(err, &fault) {
			c.mu.Lock()
			c.invalid = append(c.invalid, fault)
			c.rows = append(c.rows, &row{line: fault.Line, outcome: invalidRow, reason: fault.Error()})
			c.mu.Unlock()
			continue
		}
		one := &row{id: next.ID, line: next.Line, capacity: next.Query.Capacity, outcome: pending, asked: c.now()}
		c.mu.Lock()
		c.rows = append(c.rows, one)
		if next.Repeated {
			one.outcome, one.settled = repeated, one.asked // two valid codes for one request must never exist
		} else {
			queries[one] = next.Query
		}
		c.mu.Unlock()
		if !next.Repeated {
			jobs <- one
		}
	}
	close(jobs)
	wg.Wait()
	return first
}

// ask submits the look-up of a row.
func (c *core) ask(ctx context.Context, one *row, q domicile.Query) error {
	ctx = contracts.WithKey(c.caller(ctx, one.id), "domicile/"+one.id)
	t, err := patiently(ctx, func() (contracts.Ticket, error) {
		return contracts.Submit(ctx, c.hub, domicile.OpLookup, q)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil { // the row's own misfortune
		one.outcome, one.reason, one.settled = failed, err.Error(), c.now()
		switch contracts.KindOf(err) {
		case contracts.Canceled:
			one.outcome = pending
		case contracts.NotFound:
			one.outcome, one.reason = noDomicile, "no register holds employers in that capacity"
		}
		return nil
	}
	one.lookup = t.ID
	c.tickets[t.ID] = one
	return nil
}

// patiently repeats a submission that the hub refused for want of room: nothing was accepted, so nothing is doubled.
func patiently(ctx context.Context, submit func() (contracts.Ticket, error)) (contracts.Ticket, error) {
	for {
		t, err := submit()
		var e *contracts.Error
		if err == nil || !errors.As(err, &e) || !e.Retryable() {
			return t, err
		}
		select {
		case <-time.After(min(max(e.After, 10*time.Millisecond), 2*time.Second)): // real time: the hub waits for a disk, not for a term
		case <-ctx.Done():
			return t, ctx.Err()
		}
	}
}

// news tells how many events there are that hear has not dealt with, one page at most.
func (c *core) news(ctx context.Context) (int, error) {
	events, err := c.hub.Feed().After(ctx, c.reader, c.seen, eventPage)
	return len(events), err
}

// hear deals with the events since the last time, and tells how many there were.
func (c *core) hear(ctx context.Context) (int, error) {
	events, err := c.hub.Feed().After(ctx, c.reader, c.seen, eventPage)
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		if err := c.event(ctx, e); err != nil {
			return 0, err
		}
		c.seen = e.Seq
	}
	if len(events) > 0 {
		return len(events), c.hub.Feed().Ack(ctx, c.reader, c.seen)
	}
	return 0, nil
}

// event moves a row when one of its tickets was settled. Receipts along the way need nothing of it.
func (c *core) event(ctx context.Context, e contracts.Event) error {
	c.mu.Lock()
	one := c.tickets[e.Ref]
	c.mu.Unlock()
	if one == nil || e.Kind != contracts.EventSettled {
		return nil
	}
	if e.Ref == one.lookup {
		return c.found(ctx, one)
	}
	return c.refresh(ctx, one)
}

// found reads the answer of a look-up and, where there is an address, submits the message.
func (c *core) found(ctx context.Context, one *row) error {
	ctx = c.caller(ctx, one.id)
	answer, err := contracts.Answer(ctx, c.hub, domicile.OpLookup, one.lookup)
	switch {
	case errors.Is(err, contracts.NotFound):
		c.end(one, noDomicile, "the register holds no digital domicile in that capacity")
		return nil
	case err != nil:
		c.end(one, failed, err.Error())
		return nil
	}
	use := answer.Domiciles[0]
	m := delivery.Message{
		Sender: "centrale",
		To: []delivery.Recipient{{
			Address: use.Address,
			Basis:   delivery.Basis{Kind: delivery.FromRegister, Register: use.Register, At: answer.AsOf},
		}},
		Subject: contracts.NewPrivate("Codice di attivazione - pratica " + one.id),
		Text: contracts.NewPrivate("Il codice di attivazione per la pratica " + one.id + " è " + c.code(one.id) +
			".\r\nNon comunicarlo a nessuno.\r\n"),
		Secret: true,
	}
	one.register = use.Register
	ctx = contracts.WithKey(ctx, "code/"+one.id)
	t, err := patiently(ctx, func() (contracts.Ticket, error) { return contracts.Submit(ctx, c.hub, delivery.OpSend, m) })
	if err != nil {
		c.end(one, failed, err.Error())
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one.message = t.ID
	c.tickets[t.ID] = one
	return nil
}

// refresh reads where a row's message stands.
func (c *core) refresh(ctx context.Context, one *row) error {
	t, err := c.hub.Ticket(c.caller(ctx, one.id), one.message)
	if err != nil {
		return err
	}
	for _, raw := range [][]byte{t.Result, t.Detail} {
		if len(raw) > 0 {
			d, err := delivery.OpSend.Response(raw)
			if err != nil {
				return err
			}
			one.dispatch = d.(delivery.Dispatch)
			break
		}
	}
	switch t.State {
	case contracts.StateDone:
		c.end(one, delivered, "")
	case contracts.StateFailed, contracts.StateAbandoned:
		c.end(one, failed, t.Failure().Error())
	case contracts.StateUncertain:
		one.outcome, one.reason = uncertain, "nobody knows whether the provider took the message; it is not sent again"
	default:
		one.outcome, one.reason = pending, string(t.State)
	}
	return nil
}

// finish reads where every unsettled row stands at the end.
func (c *core) finish(ctx context.Context) error {
	for _, one := range c.rows {
		if one.outcome == pending && one.message != "" {
			if err := c.refresh(ctx, one); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *core) end(one *row, o outcome, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one.outcome, one.reason, one.settled = o, reason, c.now()
}

// code is the activation code of a request. Here it follows from the seed, so that a run can be replayed; a real core
// draws it at random and keeps its digest.
func (c *core) code(id string) string {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], c.seed)
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(id))
	return base32.StdEncoding.EncodeToString(mac.Sum(nil))[:12]
}

// open counts the rows that are not settled.
func (c *core) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, one := range c.rows {
		if one.outcome == pending || one.outcome == uncertain {
			n++
		}
	}
	return n
}

// access is the median time from asking for a code to its certified delivery, in seconds, per kind of employer.
func (c *core) access(match func(domicile.Capacity) bool) float64 {
	var took []time.Duration
	for _, one := range c.rows {
		if one.outcome == delivered && match(one.capacity) {
			at := one.settled
			for _, r := range one.dispatch.Recipients {
				at = r.At
			}
			took = append(took, at.Sub(one.asked))
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2].Seconds()
}

// describe names a row for a person: its number and line, never its subject.
func (one *row) describe() string {
	if one.id == "" {
		return fmt.Sprintf("line %d", one.line)
	}
	return one.id
}
