package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
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
	list   *input.Reader
	seed   uint64
	now    func() time.Time
	tick   func()       // hears of each row that is read
	read   bool         // the list was read to its end
	cut    *input.Error // why it could not be
	seen   uint64       // the last event it has acknowledged
	heard  uint64       // the last event it has read
	moved  []*row       // rows that those events move, in the list's order
	again  []question   // what the hub had no room for
	resume time.Time    // when it said to come back
	served time.Time    // when the hub last had room, in real time

	mu      sync.Mutex
	rows    []*row
	tickets map[string]*row // by id of the ticket whose end the row waits for
	left    int             // rows that may still change
}

const (
	service   = "core"
	purpose   = "activation"
	hands     = 64 // look-ups submitted at once: they share commits
	eventPage = 500
	respite   = time.Second     // the least time to leave a hub that has no room
	patience  = 2 * time.Minute // with one that has none, in real time: it waits for a disk, not for a term
)

func newCore(h *hub.Hub, list *input.Reader, seed uint64, now func() time.Time) *core {
	return &core{
		hub: h, list: list, seed: seed, now: now, tick: func() {},
		served: time.Now(), tickets: map[string]*row{},
	}
}

// caller is in whose name a row is worked on: the case is the core's own number, never a person's code.
func (c *core) caller(ctx context.Context, id string) context.Context {
	return contracts.WithCaller(ctx, contracts.Caller{Service: service, Purpose: purpose, User: "system", Case: id})
}

// due reports whether there is work now, and if not, when there will be by itself (zero: only once the hub has news).
func (c *core) due(ctx context.Context) (work bool, next time.Time, err error) {
	if c.resume.After(c.now()) {
		return false, c.resume, nil
	}
	if !c.read || len(c.again) > 0 || len(c.moved) > 0 {
		return true, time.Time{}, nil
	}
	events, err := c.hub.Feed().After(ctx, service, c.heard, 1)
	return len(events) > 0, time.Time{}, err
}

// work does what can be done now: it goes on with the list, and deals with what the hub has told.
func (c *core) work(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	return c.hear(ctx)
}

// A question is a row with what is to be asked about it; the core keeps nobody's code longer than until it has asked.
type question struct {
	*row
	query domicile.Query
}

// take goes on with the list until its end, or until the hub has no room. A row that is wrong is noted alone; a fatal
// fault ends the list, and what was accepted before it goes on.
func (c *core) take(ctx context.Context) error {
	questions := make(chan question)
	var wg sync.WaitGroup
	for range hands {
		wg.Go(func() {
			for q := range questions {
				c.ask(ctx, q)
			}
		})
	}
	defer wg.Wait()
	defer close(questions)
	retry := c.again
	c.again = nil
	slices.SortFunc(retry, func(a, b question) int { return a.line - b.line })
	for _, q := range retry {
		questions <- q
	}
	for !c.read && ctx.Err() == nil && !c.full() {
		c.tick()
		q, err := c.next()
		if err != nil {
			return err
		}
		if q.row != nil {
			questions <- q
		}
	}
	return ctx.Err()
}

// next reads one row. It gives no question for a row about which nobody is asked.
func (c *core) next() (q question, err error) {
	r, err := c.list.Next()
	var fault *input.Error
	switch {
	case errors.Is(err, io.EOF):
		c.read = true
	case errors.As(err, &fault):
		if fault.Fatal {
			c.cut = fault
		}
		c.add(&row{line: fault.Line, outcome: invalid, reason: fault.Short(), detail: fault.Error()})
	case err != nil:
		return q, err
	case r.Repeated: // two valid codes for one request must never exist
		c.add(&row{id: r.ID, line: r.Line, capacity: r.Query.Capacity, outcome: repeated})
	default:
		one := &row{id: r.ID, line: r.Line, capacity: r.Query.Capacity, outcome: pending, reason: "nobody was asked yet", asked: c.now()}
		c.add(one)
		return question{one, r.Query}, nil
	}
	return q, nil
}

// ask submits the look-up of a row.
func (c *core) ask(ctx context.Context, q question) {
	ctx = contracts.WithKey(c.caller(ctx, q.id), "domicile/"+q.id)
	t, err := contracts.Submit(ctx, c.hub, domicile.OpLookup, q.query)
	switch {
	case err == nil:
		c.await(q.row, t.ID, "the register has not answered yet")
	case ctx.Err() != nil: // interrupted: the row stays as it is
	case errors.Is(err, contracts.NotFound):
		c.end(q.row, noDomicile, "no register holds employers in that capacity", err)
	case c.postpone(err):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.again = append(c.again, q)
	default:
		c.end(q.row, failed, whyNoAnswer(err), err)
	}
}

// postpone reports whether a submission failed for want of room and is worth another try, and notes when. Nothing was
// accepted, so nothing is doubled.
func (c *core) postpone(err error) bool {
	e := contracts.AsError(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !e.Retryable() || time.Since(c.served) > patience {
		return false
	}
	c.resume = c.now().Add(max(e.After, respite))
	return true
}

// full reports whether the hub has said to come back later.
func (c *core) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resume.After(c.now())
}

// hear deals with the events since the last time. Rows move in the list's order, whatever the order of the events, and
// events are acknowledged only when all that they move has moved.
func (c *core) hear(ctx context.Context) error {
	if len(c.moved) == 0 {
		if err := c.listen(ctx); err != nil {
			return err
		}
	}
	for len(c.moved) > 0 && !c.full() {
		one := c.moved[0]
		step := c.found
		if one.message != "" {
			step = c.refresh
		}
		if err := step(ctx, one); err != nil {
			return err
		}
		if !c.full() {
			c.moved = c.moved[1:]
		}
	}
	if len(c.moved) > 0 || c.heard == c.seen {
		return nil
	}
	c.seen = c.heard
	return c.hub.Feed().Ack(ctx, service, c.seen)
}

// listen reads the events that came since the last time.
func (c *core) listen(ctx context.Context) error {
	for {
		events, err := c.hub.Feed().After(ctx, service, c.heard, eventPage)
		if err != nil {
			return err
		}
		for _, e := range events {
			// Receipts along the way need nothing of the core; the end of a ticket does.
			if one := c.tickets[e.Ref]; one != nil && e.Kind == contracts.EventSettled {
				c.moved = append(c.moved, one)
			}
			c.heard = e.Seq
		}
		if len(events) < eventPage {
			break
		}
	}
	slices.SortFunc(c.moved, func(a, b *row) int { return a.line - b.line })
	c.moved = slices.Compact(c.moved)
	return nil
}

// found reads the answer of a look-up and, where there is an address, submits the message.
func (c *core) found(ctx context.Context, one *row) error {
	ctx = c.caller(ctx, one.id)
	answer, err := contracts.Answer(ctx, c.hub, domicile.OpLookup, one.lookup)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, contracts.NotFound):
		c.end(one, noDomicile, "the register holds no digital domicile in that capacity", err)
		return nil
	case err == nil && len(answer.Domiciles) == 0:
		err = &contracts.Error{Kind: contracts.Malformed, Operation: domicile.OpLookup.Name, Err: errors.New("an answer without an address")}
		fallthrough
	case err != nil:
		c.end(one, failed, whyNoAnswer(err), err)
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
	key := "code/" + one.id
	ctx = contracts.WithKey(ctx, key)
	_, err = contracts.Submit(ctx, c.hub, delivery.OpSend, m)
	switch {
	case err == nil, ctx.Err() != nil:
		// The ticket's id is known beforehand: one whose submission was broken off is found again by finish.
		c.await(one, contracts.TicketID(service, delivery.OpSend.Name, key), "the message waits for its turn")
	case c.postpone(err):
	default:
		c.end(one, failed, whyNotSent(err), err)
	}
	return ctx.Err()
}

// refresh reads where a row's message stands.
func (c *core) refresh(ctx context.Context, one *row) error {
	t, err := c.hub.Ticket(c.caller(ctx, one.id), one.message)
	if errors.Is(err, contracts.NotFound) { // its submission was broken off
		one.message = ""
		c.end(one, pending, "the message was not handed to the hub", nil)
		return nil
	}
	if err != nil {
		return err
	}
	raw := t.Result
	if len(raw) == 0 {
		raw = t.Detail
	}
	if len(raw) > 0 {
		d, err := delivery.OpSend.Response(raw)
		if err != nil {
			return err
		}
		sofar := d.(delivery.Dispatch)
		one.dispatch = &sofar
	}
	o := pending
	switch {
	case t.State == contracts.StateDone:
		o = delivered
	case t.State.Settled():
		o = failed
	case t.State == contracts.StateUncertain:
		o = uncertain
	}
	c.end(one, o, one.why(o, &t), t.Failure())
	return nil
}

// finish reads where everything that may still change stands at the end.
func (c *core) finish(ctx context.Context) error {
	for _, one := range c.rows {
		if one.open() && one.message != "" {
			if err := c.refresh(ctx, one); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *core) add(one *row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows = append(c.rows, one)
	c.count(one)
}

// await notes the ticket whose end a row waits for.
func (c *core) await(one *row, ticket, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.lookup == "" {
		one.lookup = ticket
	} else {
		delete(c.tickets, one.lookup)
		one.message = ticket
	}
	one.reason = reason
	c.tickets[ticket] = one
	c.served = time.Now()
}

// end notes what became of a row, for the time being where that may change.
func (c *core) end(one *row, o outcome, reason string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one.outcome, one.reason, one.settled, one.detail = o, reason, c.now(), ""
	if err != nil {
		one.detail = err.Error()
	}
	c.count(one)
}

// count keeps the number of rows that may still change. The caller holds mu.
func (c *core) count(one *row) {
	switch is := one.open(); {
	case one.counted && !is:
		c.left--
	case is && !one.counted:
		c.left++
	}
	one.counted = one.open()
}

// open counts the rows that may still change.
func (c *core) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// taken counts the rows that were read.
func (c *core) taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.rows)
}

// unfinished reports whether a run that was broken off had not come to the row with that number.
func (c *core) unfinished(id string) bool {
	known := false
	for _, one := range c.rows {
		if one.id == id && one.outcome != repeated {
			known = true
			if one.outcome == pending || one.outcome == uncertain {
				return true
			}
		}
	}
	return !known
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
