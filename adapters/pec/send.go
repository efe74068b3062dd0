package pec

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// keptMessage is the frozen bytes' name in the hold. They are kept when they are about to leave, and not before: so a
// ticket holds one rendering at most, that of the mailbox from which it may have left.
const keptMessage = "message"

const (
	maxMoves = 4               // mailboxes tried for one message in one call, while nothing has left
	inUse    = 2 * time.Second // after which to ask again for a mailbox that is in use
	deferred = 4 * time.Minute // at least, and twice that at most, after which a message that was put off comes again
)

// Send renders the message for the reserved mailbox (contracts.PlaceFrom; without one it takes the mailbox whose turn it
// is), freezes the bytes, marks departure and submits them, once. Its answer is the answer so far: every recipient stands
// at sent, and receipts tell the rest. It needs a hold in the context, from which the Message-ID derives.
//
// A mailbox that is refused, away or limited hands the message on to another of its role, as long as nothing has left.
// What has left once stays with its mailbox, whose address and domain are part of it.
//
// Errors: Invalid, the message or its envelope is refused for good; Throttled, no mailbox has its turn, or the provider
// limits the rate, with After; Unavailable, the provider is away or asks to come back, and has taken nothing; Denied, it
// lets no mailbox of the role in; Conflict, the mailbox that the message is bound to is not there any more; Canceled,
// given up before anything left; Uncertain, the connection broke after DATA had begun: receipts will tell.
func (a *Adapter) Send(ctx context.Context, m delivery.Message) (delivery.Dispatch, error) {
	d, err := a.send(ctx, m)
	return d, a.fault(err)
}

func (a *Adapter) send(ctx context.Context, m delivery.Message) (delivery.Dispatch, error) {
	hold := contracts.HoldFrom(ctx)
	if hold == nil {
		return delivery.Dispatch{}, contracts.Errorf(contracts.Internal, "send: no hold in the context; send by ticket")
	}
	if err := m.Validate(); err != nil {
		return delivery.Dispatch{}, contracts.Errorf(contracts.Invalid, "send: %w", oneLine([]error{err}))
	}
	if !m.Digest.IsZero() {
		return delivery.Dispatch{}, contracts.Errorf(contracts.Invalid, "send: the message's text was erased; it cannot be sent again")
	}
	if err := a.covers(m); err != nil {
		return delivery.Dispatch{}, err
	}
	s := &sending{Adapter: a, hold: hold, m: m, pool: a.pools[m.Sender]}
	var err error
	if s.frozen, err = kept(ctx, hold, keptMessage); err != nil {
		return delivery.Dispatch{}, err
	}
	if s.frozen != nil {
		if s.bound, err = a.sender(s.frozen); err != nil {
			return delivery.Dispatch{}, err
		}
		if s.bound.Drain || !slices.Contains(s.pool.boxes, s.bound) {
			return delivery.Dispatch{}, contracts.Errorf(contracts.Conflict, "send: mailbox %s, from which the message may have left, does not send for its role any more; submit it under a new key", s.bound.Name)
		}
	}
	return s.run(ctx)
}

// A sending is one message on its way to a mailbox that takes it.
type sending struct {
	*Adapter
	hold   contracts.Hold
	m      delivery.Message
	pool   *pool
	frozen []byte            // what may have left already; nil: nothing
	bound  *mailbox          // from which it left
	tried  map[*mailbox]bool // in this call
	need   int64             // bytes, times recipients, that the mailbox must take
}

func (s *sending) run(ctx context.Context) (delivery.Dispatch, error) {
	s.tried = map[*mailbox]bool{}
	var last *contracts.Error
	for len(s.tried) < maxMoves {
		b, give, err := s.place(ctx)
		if err != nil && last == nil {
			return delivery.Dispatch{}, err
		}
		if err != nil {
			break
		}
		s.tried[b] = true
		d, trouble, moves := s.from(ctx, b)
		give()
		if trouble == nil {
			return d, nil
		}
		if last = trouble; !moves {
			break
		}
	}
	return delivery.Dispatch{}, last
}

// place gives the mailbox to send from, and the function that gives it back: the reserved one, if it will do.
func (s *sending) place(ctx context.Context) (*mailbox, func(), error) {
	name := contracts.PlaceFrom(ctx)
	var b *mailbox
	var w wait
	switch {
	case name == "" && len(s.tried) == 0:
		for _, one := range s.pool.boxes {
			one.reconsider(ctx)
		}
		b, w = s.pool.await(ctx, s.env.Clock, s.fits)
	case len(s.tried) == 0:
		if b = s.pool.named(name); b == nil {
			return nil, nil, contracts.Errorf(contracts.Internal, "send: the place is not reserved")
		}
		if s.fits(b) {
			return b, func() {}, nil // whoever reserved it gives it back
		}
		fallthrough
	default:
		b, w = s.pool.reserve(s.env.Clock.Now(), s.fits)
	}
	if b != nil {
		return b, func() { s.pool.release(b) }, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, contracts.Errorf(contracts.Canceled, "send: %w", err)
	}
	e := contracts.Errorf(contracts.Throttled, "send: no mailbox of the role has its turn (%s)", w)
	e.After = s.after(w)
	return nil, nil, e
}

func (s *sending) fits(b *mailbox) bool {
	return !s.tried[b] && (s.bound == nil || b == s.bound) && b.MaxSize >= s.need
}

// after is how long to wait before asking the pool again.
func (s *sending) after(w wait) time.Duration {
	switch {
	case w.busy:
		return inUse
	case w.until.IsZero():
		return minute
	}
	return max(w.until.Sub(s.env.Clock.Now()), time.Second)
}

// from sends from one mailbox. moves: the trouble is the mailbox's, and another may take the message.
func (s *sending) from(ctx context.Context, b *mailbox) (d delivery.Dispatch, trouble *contracts.Error, moves bool) {
	raw := s.frozen
	id, err := messageID(s.hold.ID(), b.address)
	if err == nil && raw == nil {
		raw, err = b.compose(id, s.m, s.env.Clock.Now(), s.config.BreveAbove)
	}
	if err == nil {
		err = preflight(raw, id, b, s.m)
	}
	if err != nil {
		return d, contracts.AsError(err), false
	}
	if size := int64(len(raw)) * int64(len(s.m.To)); size > b.MaxSize {
		s.need = size
		e := contracts.Errorf(contracts.Invalid, "send: the message is too big: %d bytes for %d recipients, of %d at most", len(raw), len(s.m.To), b.MaxSize)
		e.Code = "5.3.4"
		return d, e, s.bound == nil && s.pool.any(s.fits)
	}
	departed := false
	f := s.submit(ctx, b, raw, func() error {
		frozen, err := s.hold.Keep(ctx, keptMessage, func() ([]byte, error) { return raw, nil })
		if err != nil {
			return err
		}
		if !bytes.Equal(frozen, raw) {
			return contracts.Errorf(contracts.Unavailable, "another worker has frozen the message")
		}
		if s.frozen != nil {
			if err := leavesAgain(ctx, s.hold, s.env.Clock.Now()); err != nil {
				return err
			}
		}
		departed = true
		return s.hold.Depart(ctx)
	})
	if f == nil {
		return sent(b, id, s.m, s.env.Clock.Now(), raw), nil, false
	}
	e := s.refusal(b, f)
	if departed {
		s.bound = b
	}
	if !f.OfMailbox(s.transient) {
		return d, e, false
	}
	if e.Retryable() || e.Kind == contracts.Denied {
		e.After = max(e.After, s.next())
	}
	return d, e, !departed && ctx.Err() == nil
}

// next is how long until a mailbox that fits opens, whatever was tried in this call.
func (s *sending) next() time.Duration {
	now := s.env.Clock.Now()
	until := s.pool.opens(now, func(b *mailbox) bool { return (s.bound == nil || b == s.bound) && b.MaxSize >= s.need })
	return s.after(wait{until: until})
}

// sent is the dispatch of a message that the server has just taken.
func sent(b *mailbox, id string, m delivery.Message, at time.Time, frozen []byte) delivery.Dispatch {
	d := delivery.Dispatch{MessageID: "<" + id + ">", Mailbox: b.Name, Submitted: at, Sum: contracts.SumOf(frozen)}
	for _, r := range m.To {
		d.Recipients = append(d.Recipients, delivery.Delivery{Address: r.Address, Status: delivery.Sent})
	}
	return d
}

// sender finds the mailbox from which frozen bytes leave, by their From.
func (a *Adapter) sender(frozen []byte) (*mailbox, error) {
	from := sentFrom(frozen)
	for _, b := range a.boxes {
		if b.address.Equal(from) {
			return b, nil
		}
	}
	e := contracts.Errorf(contracts.Conflict, "the mailbox from which the message may have left is not configured any more; name it again, with drain")
	e.Code = "NO_MAILBOX"
	return nil, e
}

// submit hands frozen bytes over, tells the trail of it, and keeps the mailbox's gate. nil: they were taken.
func (s *sending) submit(ctx context.Context, b *mailbox, raw []byte, depart func() error) *mail.Failure {
	attempt := contracts.Attempt{At: s.env.Clock.Now(), RequestSum: contracts.SumOf(raw)}
	began := time.Now()
	reply, err := b.out.Submit(ctx, mail.Envelope{From: b.address.Reveal(), To: addresses(s.m), Message: raw}, depart)
	attempt.Took = time.Since(began)
	var f *mail.Failure
	switch {
	case err == nil:
		attempt.Sent = true
	case errors.As(err, &f):
		attempt.Sent, reply = f.Sent(), f.Reply
	}
	attempt.Status, attempt.RemoteID = reply.Status(), queueID(reply)
	if reply.Code != 0 {
		attempt.ResponseSum = contracts.SumOf([]byte(reply.Text.Reveal()))
	} else {
		attempt.Status = "no reply"
	}
	contracts.TrailFrom(ctx).Attempt(attempt)
	if f == nil {
		s.taken(b, raw)
		return nil
	}
	s.trouble(ctx, b, f)
	return f
}

// refusal turns how far a submission came into what the caller may conclude.
func (a *Adapter) refusal(b *mailbox, f *mail.Failure) *contracts.Error {
	e := &contracts.Error{Kind: f.Kind(a.transient), Code: f.Reply.Status()}
	var ours *contracts.Error
	if errors.As(f.Err, &ours) {
		e.After, e.Code = ours.After, ours.Code
	}
	var next string
	switch e.Kind {
	case contracts.Uncertain:
		next = "its receipts will tell whether it was taken"
	case contracts.Throttled:
		next, e.After = "the provider limits the rate", minute
	case contracts.Unavailable:
		next = "nothing was taken"
		if !f.OfMailbox(a.transient) { // a greylisted recipient, as a rule: those end after five minutes
			e.After = deferred + time.Duration(b.gate.jitter()*float64(deferred))
		}
	case contracts.Denied:
		next, e.After = "check the mailbox's user and password", max(e.After, b.pause, time.Second)
		if f.Sent() { // the message was not taken and is as good as before: it waits for the mailbox
			e.Kind = contracts.Throttled
		}
	case contracts.Invalid:
		next = "the provider refuses the message for good"
		if f.TooBig() {
			next = "the message is too big for the provider"
		}
	default:
		next = "nothing has left"
	}
	e.Err = contracts.Errorf(e.Kind, "send from mailbox %s: %w; %s", b.Name, f, next).Err
	return e
}

var queued = regexp.MustCompile(`(?i)queued as ([A-Za-z0-9.-]{1,64})`)

// queueID finds the provider's own name of the submission in its 250, where it gives one.
func queueID(r mail.Reply) string {
	if m := queued.FindStringSubmatch(r.Text.Reveal()); m != nil && r.Code == 250 {
		return m[1]
	}
	return ""
}

var errNotKept = errors.New("not kept")

// kept gives what the hold keeps under a name; nil: nothing.
func kept(ctx context.Context, hold contracts.Hold, name string) ([]byte, error) {
	b, err := hold.Keep(ctx, name, func() ([]byte, error) { return nil, errNotKept })
	if errors.Is(err, errNotKept) {
		return nil, nil
	}
	return b, err
}
