package pec

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

const (
	maxResolve = 200      // receipts looked at for one uncertain message
	keptResent = "resent" // when the message was handed over once more, in the hold
)

// resolve asks whether an uncertain message was taken: it searches every folder of the mailbox from which it may have
// left for receipts that name it; of every mailbox of the role, where this copy of the store does not know. A receipt that
// counts proves that it was; then the answer is as after a 250, as far as those receipts tell. A mailbox that cannot be
// searched leaves the question open.
//
// Nothing found proves nothing: PEC does not know our key, so it stays Uncertain, and past AcceptanceWithin the error's
// Code is NO_ACCEPTANCE, for a person to settle, or the message is handed over once more where InDoubt says so. Messages
// that name it and do not count (too large, or with a signature that cannot be believed) are Conflict: something was
// heard of it, so nobody may conclude that it never left.
func (a *Adapter) resolve(ctx context.Context, m delivery.Message) (delivery.Dispatch, error) {
	d, err := a.ask(ctx, m)
	return d, a.fault(err)
}

func (a *Adapter) ask(ctx context.Context, m delivery.Message) (delivery.Dispatch, error) {
	hold := contracts.HoldFrom(ctx)
	if hold == nil {
		return delivery.Dispatch{}, contracts.Errorf(contracts.Internal, "resolve: no hold in the context")
	}
	p, ok := a.pools[m.Sender]
	if !ok {
		return delivery.Dispatch{}, a.covers(m)
	}
	frozen, err := kept(ctx, hold, keptMessage)
	if err != nil {
		return delivery.Dispatch{}, err
	}
	boxes := p.boxes
	if frozen != nil {
		b, err := a.sender(frozen)
		if err != nil {
			return delivery.Dispatch{}, err
		}
		boxes = []*mailbox{b}
	}
	h, err := a.hear(ctx, hold.ID(), m, boxes)
	switch {
	case h.found:
		if frozen != nil {
			h.sofar.Sum = contracts.SumOf(frozen)
		}
		return h.sofar, nil
	case err != nil:
		return delivery.Dispatch{}, err
	case h.doubtful > 0:
		e := contracts.Errorf(contracts.Conflict, "resolve: %d messages name it and none of them counts; look at them, and settle it by hand", h.doubtful)
		e.Code = "DOUBTFUL_RECEIPTS"
		return delivery.Dispatch{}, e
	}
	return a.unheard(ctx, hold, m, p, frozen)
}

// heard is what the receipts that were found tell of one message.
type heard struct {
	sofar    delivery.Dispatch
	found    bool // a receipt that counts
	doubtful int  // messages that name it and count for nothing
}

// hear searches mailboxes for receipts of one message. With an error, some could not be searched.
func (a *Adapter) hear(ctx context.Context, ticket string, m delivery.Message, boxes []*mailbox) (h heard, failed error) {
	for _, b := range boxes {
		err := a.search(ctx, ticket, m, b, &h)
		if err == nil {
			continue
		}
		e := *contracts.AsError(err)
		e.Err = contracts.Errorf(e.Kind, "resolve: mailbox %s cannot be searched: %w", b.Name, err).Err
		failed = &e
		if ctx.Err() != nil {
			break
		}
	}
	return h, failed
}

func (a *Adapter) search(ctx context.Context, ticket string, m delivery.Message, b *mailbox, h *heard) error {
	id, err := messageID(ticket, b.address)
	if err != nil {
		return err
	}
	select { // one connection beside the one that reads: servers allow a few
	case <-b.asking:
		defer func() { b.asking <- struct{}{} }()
	case <-ctx.Done():
		return contracts.Errorf(contracts.Unavailable, "not searched: %w", ctx.Err())
	}
	s, err := mail.OpenSession(ctx, b.in)
	if err != nil {
		b.refused(ctx, err)
		return err
	}
	defer func() { _ = s.Close() }() // it only ever says goodbye
	places, err := s.Find("X-Riferimento-Message-ID", id, maxResolve, b.watched())
	if err != nil {
		return err
	}
	d, found, doubtful, err := a.gather(s, b, ticket, m, h.sofar, places)
	h.sofar, h.found, h.doubtful = d, h.found || found, h.doubtful+doubtful
	return err
}

// gather folds the receipts found, and counts those that name the message and may move nothing. They are not archived
// here: whatever lies in a folder that is read is archived by the feed, and a copy that a person moved elsewhere is not
// ours to take.
func (a *Adapter) gather(s *mail.Session, b *mailbox, ticket string, m delivery.Message, d delivery.Dispatch, places []mail.Place) (_ delivery.Dispatch, found bool, doubtful int, err error) {
	open := mail.Place{}
	for _, at := range places {
		if at.Folder != open.Folder {
			if _, err := s.Open(at.Folder); err != nil {
				return d, found, doubtful, err
			}
			open = at
		}
		head, err := s.Head(at.UID)
		if errors.Is(err, mail.ErrGone) {
			continue
		}
		if err != nil {
			return d, found, doubtful, err
		}
		if head.Size > a.config.MaxReceipt {
			doubtful++
			continue
		}
		raw, err := s.Raw(at.UID, a.config.MaxReceipt)
		if errors.Is(err, mail.ErrGone) {
			continue
		}
		if err != nil {
			return d, found, doubtful, err
		}
		if empty(raw, head) {
			return d, found, doubtful, contracts.Errorf(contracts.Unavailable, "imap fetch: %w", mail.ErrNoBytes)
		}
		got := b.reader.read(raw, head.Received, a.env.Clock.Now())
		if got.ref != ticket {
			continue // the search matches parts of fields
		}
		e, err := event(b, got, contracts.SumOf(raw).String())
		if err != nil {
			return d, found, doubtful, err
		}
		next, _, err := delivery.Fold(m, d, e)
		if err != nil { // what may move nothing proves nothing
			doubtful++
			continue
		}
		if len(next.Seen) == 0 { // between providers
			doubtful++
			continue
		}
		d, found = next, true
	}
	return d, found, doubtful, nil
}

// unheard decides about a message of which nothing is heard, though all its mailboxes were searched.
func (a *Adapter) unheard(ctx context.Context, hold contracts.Hold, m delivery.Message, p *pool, frozen []byte) (delivery.Dispatch, error) {
	left, err := leftAt(ctx, hold, frozen)
	if err != nil {
		return delivery.Dispatch{}, err
	}
	if frozen == nil || left.IsZero() || a.env.Clock.Now().Sub(left) <= a.config.AcceptanceWithin {
		return delivery.Dispatch{}, contracts.Errorf(contracts.Uncertain, "resolve: no receipt yet; it will be asked again")
	}
	b, err := a.sender(frozen)
	if err != nil {
		return delivery.Dispatch{}, err
	}
	if b.gate.full() { // silence is no sign here: what came may have found no room
		return delivery.Dispatch{}, a.silent("resolve: no receipt within %v, and mailbox %s is full: it may have been lost; settle it by hand", b.Name)
	}
	if a.config.InDoubt == inDoubtResend && !b.Drain && slices.Contains(p.boxes, b) { // else its turn would never come
		again, err := kept(ctx, hold, keptResent)
		if err != nil {
			return delivery.Dispatch{}, err
		}
		if again == nil {
			return a.resend(ctx, hold, m, p, b, frozen)
		}
		if at, err := time.Parse(time.RFC3339, string(again)); err == nil && a.env.Clock.Now().Sub(at) <= a.config.AcceptanceWithin {
			return delivery.Dispatch{}, contracts.Errorf(contracts.Uncertain, "resolve: handed over once more, and no receipt yet; it will be asked again")
		}
	}
	return delivery.Dispatch{}, a.silent("resolve: no receipt within %v in mailbox %s; settle it by hand: the provider's log tells whether it was taken", b.Name)
}

func (a *Adapter) silent(format, name string) *contracts.Error {
	e := contracts.Errorf(contracts.Uncertain, format, a.config.AcceptanceWithin, name)
	e.Code = "NO_ACCEPTANCE"
	return e
}

const maxAgain = 100 // later departures that are told apart

func again(n int) string { return "again." + strconv.Itoa(n) }

// leavesAgain keeps the instant at which bytes that were frozen before leave once more, after a reply that they were not
// taken: silence counts from the last departure, and the bytes' own Date is that of the first.
func leavesAgain(ctx context.Context, hold contracts.Hold, now time.Time) error {
	for n := 1; n <= maxAgain; n++ {
		fresh := false
		_, err := hold.Keep(ctx, again(n), func() ([]byte, error) {
			fresh = true
			return []byte(now.UTC().Format(time.RFC3339)), nil
		})
		if err != nil || fresh {
			return err
		}
	}
	return nil
}

// leftAt is when frozen bytes last left, or may have.
func leftAt(ctx context.Context, hold contracts.Hold, frozen []byte) (time.Time, error) {
	at := rendered(frozen)
	for n := 1; n <= maxAgain; n++ {
		later, err := kept(ctx, hold, again(n))
		if err != nil || later == nil {
			return at, err
		}
		if t, err := time.Parse(time.RFC3339, string(later)); err == nil {
			at = t
		}
	}
	return at, nil
}

// resend hands the same bytes over once more, from the same mailbox and under the same Message-ID, so that two
// identificativi for it would show a double sending. That it was done is kept before the first byte leaves, and it is
// never done again.
func (a *Adapter) resend(ctx context.Context, hold contracts.Hold, m delivery.Message, p *pool, b *mailbox, frozen []byte) (delivery.Dispatch, error) {
	later := contracts.Errorf(contracts.Uncertain, "resolve: no receipt within %v; it is handed over once more when mailbox %s has its turn", a.config.AcceptanceWithin, b.Name)
	id, err := messageID(hold.ID(), b.address)
	if err != nil {
		return delivery.Dispatch{}, err
	}
	if err := preflight(frozen, id, b, m); err != nil {
		return delivery.Dispatch{}, err
	}
	if one, _ := p.reserve(a.env.Clock.Now(), func(one *mailbox) bool { return one == b }); one == nil {
		return delivery.Dispatch{}, later
	}
	defer p.release(b)
	s := &sending{Adapter: a, hold: hold, m: m, pool: p, frozen: frozen, bound: b}
	mine := false
	f := s.submit(ctx, b, frozen, func() error {
		now := a.env.Clock.Now().UTC().Format(time.RFC3339)
		if _, err := hold.Keep(ctx, keptResent, func() ([]byte, error) { mine = true; return []byte(now), nil }); err != nil {
			return err
		}
		if !mine {
			return contracts.Errorf(contracts.Conflict, "it was handed over once more already")
		}
		return hold.Depart(ctx)
	})
	a.env.Log.Warn("a message in doubt was handed over once more, as configured", "instance", a.env.Instance, "mailbox", b.Name, "ticket", hold.ID(), "taken", f == nil)
	if f == nil {
		return sent(b, id, m, rendered(frozen), frozen), nil
	}
	e := a.refusal(b, f)
	e.Err = contracts.Errorf(contracts.Uncertain, "resolve: no receipt, and handed over once more: %w", e.Err).Err
	e.Kind = contracts.Uncertain
	return delivery.Dispatch{}, e
}
