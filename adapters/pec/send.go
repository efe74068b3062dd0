package pec

import (
	"context"
	"errors"
	"regexp"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

const keptMessage = "message" // the frozen bytes' name in the hold

// Send renders the message once, marks departure and submits it, once. Its answer is the answer so far: every recipient
// stands at sent, and receipts tell the rest. It needs a hold in the context, from which the Message-ID derives.
//
// Errors: Invalid, the message or its envelope is refused for good; Throttled, the mailbox's rate or the provider's,
// with After; Unavailable, the provider is away or asks to come back, and has taken nothing; Denied, it does not let us
// in; Canceled, given up before anything left; Uncertain, the connection broke after DATA had begun: receipts will tell.
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
	b, id, err := a.sender(hold, m)
	if err != nil {
		return delivery.Dispatch{}, err
	}
	if after := b.turn(); after > 0 {
		e := contracts.Errorf(contracts.Throttled, "send: mailbox %s has sent its %d messages of this minute", b.Name, b.PerMinute)
		e.After = after
		return delivery.Dispatch{}, e
	}
	frozen, err := hold.Keep(ctx, keptMessage, func() ([]byte, error) {
		return b.compose(id, m, a.env.Clock.Now(), a.config.BreveAbove)
	})
	if err != nil {
		return delivery.Dispatch{}, err
	}
	if err := a.submit(ctx, b, hold, mail.Envelope{From: b.address.Reveal(), To: addresses(m), Message: frozen}); err != nil {
		return delivery.Dispatch{}, err
	}
	d := sent(b, id, m, a.env.Clock.Now())
	d.Sum = contracts.SumOf(frozen)
	return d, nil
}

// sender gives the mailbox that speaks for the message, and the Message-ID, which derives from the ticket.
func (a *Adapter) sender(hold contracts.Hold, m delivery.Message) (*mailbox, string, error) {
	b, ok := a.box(m.Sender)
	if !ok {
		return nil, "", a.covers(m)
	}
	id, err := messageID(hold.ID(), b.address)
	return b, id, err
}

// sent is the dispatch of a message that the server has just taken.
func sent(b *mailbox, id string, m delivery.Message, at time.Time) delivery.Dispatch {
	d := delivery.Dispatch{MessageID: "<" + id + ">", Mailbox: b.Name, Submitted: at}
	for _, r := range m.To {
		d.Recipients = append(d.Recipients, delivery.Delivery{Address: r.Address, Status: delivery.Sent})
	}
	return d
}

// submit hands frozen bytes over and tells the trail of it.
func (a *Adapter) submit(ctx context.Context, b *mailbox, hold contracts.Hold, e mail.Envelope) error {
	attempt := contracts.Attempt{At: a.env.Clock.Now(), RequestSum: contracts.SumOf(e.Message)}
	began := time.Now()
	reply, err := b.out.Submit(ctx, e, func() error { return hold.Depart(ctx) })
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
	if err == nil {
		return nil
	}
	refused := a.refusal(b, f)
	b.refused(ctx, refused)
	return refused
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
		next, e.After = "the provider limits the rate", time.Minute
	case contracts.Unavailable:
		next = "nothing was taken"
	case contracts.Denied:
		next = "check the mailbox's user and password"
		if e.After == 0 { // it is the mailbox that is refused, not the message: its turn comes again
			e.After = max(b.pause, time.Second)
		}
	case contracts.Invalid:
		next = "the provider refuses the message for good"
		if f.Reply.Code == 552 || f.Reply.Enhanced == "5.3.4" || f.Reply.Enhanced == "5.2.3" {
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
