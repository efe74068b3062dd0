package pec

import (
	"context"
	"errors"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

const maxResolve = 200 // receipts looked at for one uncertain message

// resolve asks whether an uncertain message was taken: it searches every folder of the mailbox for receipts that name
// it. A receipt that counts proves that it was; then the answer is as after a 250, as far as those receipts tell.
// Nothing found proves nothing: PEC does not know our key, so it stays Uncertain, and past AcceptanceWithin the error's
// Code is NO_ACCEPTANCE, for a person to settle. Messages that name it and do not count (too large, or with a signature
// that cannot be believed) are Conflict: something was heard of it, so nobody may conclude that it never left.
func (a *Adapter) resolve(ctx context.Context, m delivery.Message) (delivery.Dispatch, error) {
	d, err := a.ask(ctx, m)
	return d, a.fault(err)
}

func (a *Adapter) ask(ctx context.Context, m delivery.Message) (delivery.Dispatch, error) {
	hold := contracts.HoldFrom(ctx)
	if hold == nil {
		return delivery.Dispatch{}, contracts.Errorf(contracts.Internal, "resolve: no hold in the context")
	}
	b, id, err := a.sender(hold, m)
	if err != nil {
		return delivery.Dispatch{}, err
	}
	s, err := mail.OpenSession(ctx, b.in)
	if err != nil {
		b.refused(ctx, err)
		return delivery.Dispatch{}, err
	}
	defer func() { _ = s.Close() }() // it only ever says goodbye
	places, err := s.Find("X-Riferimento-Message-ID", id, maxResolve)
	if err != nil {
		return delivery.Dispatch{}, err
	}
	d, found, doubtful, err := a.gather(s, b, hold.ID(), m, places)
	if err != nil {
		return delivery.Dispatch{}, err
	}
	if !found && doubtful > 0 {
		e := contracts.Errorf(contracts.Conflict, "resolve: %d messages name it and none of them counts; look at them, and settle it by hand", doubtful)
		e.Code = "DOUBTFUL_RECEIPTS"
		return delivery.Dispatch{}, e
	}
	frozen, err := hold.Keep(ctx, keptMessage, func() ([]byte, error) { return nil, errors.New("not kept") })
	if !found {
		return delivery.Dispatch{}, a.unanswered(frozen)
	}
	if err == nil {
		d.Sum = contracts.SumOf(frozen)
	}
	return d, nil
}

// gather folds the receipts found, and counts those that name the message and may move nothing. They are not archived here: whatever lies in the folder that is read is archived by
// the feed, and a copy that a person moved elsewhere is not ours to take.
func (a *Adapter) gather(s *mail.Session, b *mailbox, ticket string, m delivery.Message, places []mail.Place) (d delivery.Dispatch, found bool, doubtful int, err error) {
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

// unanswered is the error of a message of which nothing is heard.
func (a *Adapter) unanswered(frozen []byte) error {
	e := contracts.Errorf(contracts.Uncertain, "resolve: no receipt yet; it will be asked again")
	if at := rendered(frozen); !at.IsZero() && a.env.Clock.Now().Sub(at) > a.config.AcceptanceWithin {
		e = contracts.Errorf(contracts.Uncertain, "resolve: no receipt within %v; settle it by hand: the provider's log tells whether it was taken", a.config.AcceptanceWithin)
		e.Code = "NO_ACCEPTANCE"
	}
	return e
}
