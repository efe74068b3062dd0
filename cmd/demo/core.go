package main

import (
	"cmp"
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

// A core plays the case-management core. It takes the list in, checks each employer while they wait, sends the activation
// code to the digital domicile of who passes, and hears of late answers and of receipts as events. Core teams copy this
// file: whatever must not be lost goes by ticket under a key derived from the row, so that it may be done again from the
// beginning at any time without harm.
//
// One goroutine works; only the checks of employers who wait at the same time run side by side.
type core struct {
	hub     *hub.Hub
	checker *checker
	list    *input.Reader
	seed    uint64
	now     func() time.Time
	tick    func()       // hears of each row that is read
	read    bool         // the list was read to its end
	cut     *input.Error // why it could not be
	arrival time.Time    // when the next employers come
	seen    uint64       // the last event it has acknowledged
	heard   uint64       // the last event it has read
	resume  time.Time    // when a hub that has no room said to come back
	served  time.Time    // when the hub last had room, in real time

	rows    []*row
	moves   []move          // what is to be done, in the list's order
	debts   []debt          // tickets that the hub had no room for
	tickets map[string]move // by id of the ticket whose end is waited for
	left    int             // rows that may still change
	awaited int             // late answers that may still come
}

// A move is one thing to be done about a row.
type move struct {
	*row
	topic topic // whose late answer has come; empty: its message is to be sent, or was moved
}

// A debt is a question that is to be handed in as soon as the hub has room. The core keeps nobody's code longer than that.
type debt struct {
	*row
	question
}

const (
	service   = "core"
	purpose   = "activation"
	together  = 512              // employers who come at the same time, as on a day when a form opens
	desks     = 16               // of them, how many are checked at once
	between   = 10 * time.Second // until the next come: registers answer so many questions a minute and no more
	eventPage = 500
	respite   = time.Second     // the least time to leave a hub that has no room
	patience  = 2 * time.Minute // with one that has none, in real time: it waits for a disk, not for a term
)

func newCore(h *hub.Hub, list *input.Reader, seed uint64, now func() time.Time) *core {
	return &core{
		hub: h, checker: newChecker(h, now), list: list, seed: seed, now: now, tick: func() {},
		served: time.Now(), tickets: map[string]move{},
	}
}

// caller is in whose name a row is worked on: the case is the core's own number, never a person's code.
func (c *core) caller(ctx context.Context, id string) context.Context {
	return contracts.WithCaller(ctx, contracts.Caller{Service: service, Purpose: purpose, User: "system", Case: id})
}

// due reports whether there is work now, and if not, when there will be by itself (zero: only once the hub has news).
func (c *core) due(ctx context.Context) (work bool, next time.Time, err error) {
	if c.full() {
		return false, c.resume, nil
	}
	if len(c.debts) > 0 || len(c.moves) > 0 {
		return true, time.Time{}, nil
	}
	if !c.read {
		next = c.arrival
		if !next.After(c.now()) {
			return true, time.Time{}, nil
		}
	}
	events, err := c.hub.Feed().After(ctx, service, c.heard, 1)
	return len(events) > 0, next, err
}

// work does what can be done now: it goes on with the list, and deals with what the hub has told.
func (c *core) work(ctx context.Context) error {
	for _, step := range []func(context.Context) error{c.repay, c.take, c.hear} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// take checks the employers who come next, side by side, and goes by what was found, in the list's order. A row that is
// wrong is noted alone; a fatal fault ends the list, and what was accepted before it goes on.
func (c *core) take(ctx context.Context) error {
	if c.read || c.full() || c.arrival.After(c.now()) {
		return nil
	}
	type visit struct {
		*row
		asks input.Row
		owed []question
	}
	var visits []visit
	for len(visits) < together && !c.read && ctx.Err() == nil {
		c.tick()
		one, asks, err := c.next()
		if err != nil {
			return err
		}
		if one != nil {
			visits = append(visits, visit{row: one, asks: asks})
		}
	}
	next := make(chan *visit)
	var side sync.WaitGroup
	for range desks {
		side.Go(func() {
			for v := range next {
				v.facts, v.owed = c.checker.check(c.caller(ctx, v.id), v.asks)
			}
		})
	}
	for i := range visits {
		next <- &visits[i]
	}
	close(next)
	side.Wait()
	if ctx.Err() != nil {
		for _, v := range visits {
			v.facts, v.reason = nil, "the check was broken off"
		}
		return ctx.Err()
	}
	for _, v := range visits {
		for _, q := range v.owed {
			c.debts = append(c.debts, debt{v.row, q})
		}
		c.checked(v.row)
	}
	c.arrival = c.now().Add(between)
	return nil
}

// next reads one row. It gives none where nobody is asked.
func (c *core) next() (*row, input.Row, error) {
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
		return nil, r, err
	case r.Repeated: // two valid codes for one request must never exist
		c.add(&row{id: r.ID, line: r.Line, capacity: r.Query.Capacity, outcome: repeated})
	default:
		one := &row{id: r.ID, line: r.Line, capacity: r.Query.Capacity, outcome: pending, reason: "nobody was asked yet", asked: c.now()}
		c.add(one)
		return one, r, nil
	}
	return nil, r, nil
}

// checked goes by what a check found: late answers are waited for, and who passes is sent the code.
func (c *core) checked(one *row) {
	one.verdict = judge(one.facts)
	for _, f := range one.facts {
		if f.ticket != "" && !f.owed {
			c.await(one, &f)
		}
	}
	c.proceed(one)
}

// proceed decides what becomes of a row for which nothing was sent yet. A "no" stops it; a source that is down does not, as
// long as it is known where to send to.
func (c *core) proceed(one *row) {
	if f := one.no(); f != nil {
		c.end(one, checkFailed, f.text, nil)
		return
	}
	switch f := one.fact(aboutDomicile); {
	case f.known == holds:
		one.reason = "the message waits for its turn"
		c.moves = append(c.moves, move{row: one})
	case f.known == against:
		c.end(one, noDomicile, f.text, f.err)
	case f.known == notYet && !f.over && f.ticket != "":
		one.reason = "where to send to is not known yet: " + f.why
	default:
		c.end(one, failed, f.why, f.err)
	}
}

// repay hands in the tickets for which the hub had no room.
func (c *core) repay(ctx context.Context) error {
	owed := c.debts
	c.debts = nil
	for i, d := range owed {
		if c.full() || ctx.Err() != nil {
			c.debts = append(c.debts, owed[i:]...)
			break
		}
		f := d.row.fact(d.topic)
		err := c.checker.promise(c.caller(ctx, d.id), d.id, d.question, f)
		switch {
		case f.owed && c.postpone(err):
			c.debts = append(c.debts, d)
			continue
		case f.owed:
			f.owed, f.ticket, f.why = false, "", whyNoAnswer(err)
		case f.ticket != "":
			c.await(d.row, f)
			continue
		}
		if d.row.waits() {
			c.proceed(d.row)
		}
	}
	return ctx.Err()
}

// postpone reports whether a submission failed for want of room and is worth another try, and notes when. Nothing was
// accepted, so nothing is doubled.
func (c *core) postpone(err error) bool {
	e := contracts.AsError(err)
	if !e.Retryable() && e.Kind != contracts.Canceled || time.Since(c.served) > patience {
		return false
	}
	c.resume = c.now().Add(max(e.After, respite))
	return true
}

// full reports whether the hub has said to come back later.
func (c *core) full() bool { return c.resume.After(c.now()) }

// hear deals with the events since the last time. Rows move in the list's order, whatever the order of the events, and
// events are acknowledged only when all that they move has moved.
func (c *core) hear(ctx context.Context) error {
	if err := c.listen(ctx); err != nil {
		return err
	}
	for len(c.moves) > 0 && !c.full() {
		if err := c.step(ctx, c.moves[0]); err != nil {
			return err
		}
		if !c.full() {
			c.moves = c.moves[1:]
		}
	}
	if len(c.moves) > 0 || c.heard == c.seen {
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
			if m, ok := c.tickets[e.Ref]; ok && e.Kind == contracts.EventSettled {
				c.moves = append(c.moves, m)
			}
			c.heard = e.Seq
		}
		if len(events) < eventPage {
			break
		}
	}
	slices.SortStableFunc(c.moves, func(a, b move) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(b.topic, a.topic)) // what is known counts before anything is sent
	})
	c.moves = slices.Compact(c.moves)
	return nil
}

func (c *core) step(ctx context.Context, m move) error {
	switch {
	case m.topic != "":
		return c.learn(ctx, m.row, m.topic)
	case m.message != "":
		return c.refresh(ctx, m.row)
	}
	return c.send(ctx, m.row)
}

// learn takes a late answer in. Before the code was sent it counts as if it had come in time; after that it is told, and
// people decide.
func (c *core) learn(ctx context.Context, one *row, t topic) error {
	ctx = c.caller(ctx, one.id)
	f := one.fact(t)
	if _, awaited := c.tickets[f.ticket]; !awaited { // it was heard of already
		return nil
	}
	m, err := answer(ctx, c.hub, t, f.ticket)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	delete(c.tickets, f.ticket)
	c.awaited--
	f.learn(m, err)
	f.over, f.late = true, f.known != notYet
	if one.waits() {
		c.proceed(one)
	}
	return nil
}

// send submits the message with the code to the address that the check, or its late answer, found.
func (c *core) send(ctx context.Context, one *row) error {
	if !one.waits() { // a late "no" came first
		return nil
	}
	f := one.fact(aboutDomicile)
	use := f.reach.Domiciles[0]
	m := delivery.Message{
		Sender: "centrale",
		To: []delivery.Recipient{{
			Address: use.Address,
			Basis:   delivery.Basis{Kind: delivery.FromRegister, Register: use.Register, At: f.asOf},
		}},
		Subject: contracts.NewPrivate("Codice di attivazione - pratica " + one.id),
		Text: contracts.NewPrivate("Il codice di attivazione per la pratica " + one.id + " è " + c.code(one.id) +
			".\r\nNon comunicarlo a nessuno.\r\n"),
		Secret: true,
	}
	key := "code/" + one.id
	ctx = contracts.WithKey(c.caller(ctx, one.id), key)
	_, err := contracts.Submit(ctx, c.hub, delivery.OpSend, m)
	switch {
	case err == nil, ctx.Err() != nil:
		// The ticket's id is known beforehand: one whose submission was broken off is found again by finish.
		one.message = contracts.TicketID(service, delivery.OpSend.Name, key)
		c.tickets[one.message] = move{row: one}
		c.served = time.Now()
		f.reach = domicile.Answer{} // the core keeps nobody's address longer than it needs it
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

// await notes the ticket of a late answer.
func (c *core) await(one *row, f *fact) {
	c.tickets[f.ticket] = move{one, f.topic}
	c.awaited++
	c.served = time.Now()
}

func (c *core) add(one *row) {
	c.rows = append(c.rows, one)
	c.count(one)
}

// end notes what became of a row, for the time being where that may change.
func (c *core) end(one *row, o outcome, reason string, err error) {
	one.outcome, one.reason, one.settled, one.detail = o, reason, c.now(), ""
	if err != nil {
		one.detail = err.Error()
	}
	c.count(one)
}

// count keeps the number of rows that may still change.
func (c *core) count(one *row) {
	switch is := one.open(); {
	case one.counted && !is:
		c.left--
	case is && !one.counted:
		c.left++
	}
	one.counted = one.open()
}

// over reports whether nothing can change any more: every row is settled, and every late answer has come.
func (c *core) over() bool {
	return c.read && c.left+c.awaited+len(c.debts)+len(c.moves) == 0
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
