package pec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// An Adapter sends through its mailboxes and reads them. Make one with Config.Open.
type Adapter struct {
	env       contracts.Env
	config    Config
	transient []mail.Pattern
	boxes     []*mailbox
	pools     map[string]*pool // by role
	blocked   map[string]bool  // extensions of attachments that providers refuse
	intake    *intake
}

var (
	_ contracts.Adapter = (*Adapter)(nil)
	_ contracts.Checker = (*Adapter)(nil)
	_ contracts.Sources = (*Adapter)(nil)
	_ delivery.Carrier  = (*Adapter)(nil)
)

// Bindings is sending, with the fold of receipts and the question after an uncertain message.
func (a *Adapter) Bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(delivery.OpSend, a.Send,
		contracts.Covers(delivery.OpSend, a.covers),
		contracts.OnEvent(delivery.OpSend, a.fold),
		contracts.Reserving(delivery.OpSend, a.Reserve),
		contracts.Resolve(delivery.OpSend, a.resolve))}
}

// Close ends the connections, after the submissions and readings that use them. It is safe to repeat.
func (a *Adapter) Close() error {
	a.intake.close()
	var errs []error
	for _, b := range a.boxes {
		errs = append(errs, b.out.Close())
	}
	return errors.Join(errs...)
}

// Check logs in to every mailbox's servers, out and in, and opens its folder.
func (a *Adapter) Check(ctx context.Context) error {
	var errs []error
	for _, b := range a.boxes {
		if err := a.checkOut(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("mailbox %s: %w", b.Name, err))
			continue // the same password would be refused twice
		}
		if err := a.checkIn(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("mailbox %s: %w", b.Name, err))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &contracts.Error{Kind: contracts.KindOf(errs[0]), System: a.env.Instance, Operation: "check", Err: oneLine(errs)}
}

func (a *Adapter) checkOut(ctx context.Context, b *mailbox) error {
	var f *mail.Failure
	if err := b.out.Check(ctx); errors.As(err, &f) {
		e := &contracts.Error{Kind: f.Kind(a.transient), Code: f.Reply.Status(), Err: f}
		b.refused(ctx, e)
		return e
	}
	return nil
}

func (a *Adapter) checkIn(ctx context.Context, b *mailbox) error {
	s, err := mail.OpenSession(ctx, b.in)
	if err != nil {
		b.refused(ctx, err)
		return err
	}
	_, err = s.Open(b.watched()[0])
	_ = s.Close() // it only ever says goodbye
	return err
}

// covers refuses a message for whose role no mailbox sends here, and one that no access point would take.
func (a *Adapter) covers(m delivery.Message) error {
	p, ok := a.pools[m.Sender]
	if !ok || !p.sends() {
		return a.fault(contracts.Errorf(contracts.Invalid, "send: sender: no mailbox of this instance speaks for the role"))
	}
	if least := leastEncoded(m) * int64(len(m.To)); least > p.largest() {
		e := contracts.Errorf(contracts.Invalid, "send: the message is too big: %d bytes at least, all recipients counted, of %d at most", least, p.largest())
		e.Code = "5.3.4"
		return a.fault(e)
	}
	return a.fault(a.inspect(m))
}

// fault gives an error this instance's name and operation.
func (a *Adapter) fault(err error) error {
	if err == nil {
		return nil
	}
	e := *contracts.AsError(err)
	e.System, e.Operation = a.env.Instance, delivery.OpSend.Name
	return &e
}

// fold is delivery.Fold, with this instance's name in what it says.
func (a *Adapter) fold(m delivery.Message, sofar delivery.Dispatch, e contracts.Event) (delivery.Dispatch, contracts.Move, error) {
	if e.Kind == KindReply { // told to whoever sent the message; it says nothing about its delivery
		return sofar, contracts.Move{}, nil
	}
	if ev, ok := contracts.EvidenceOf(e); ok && ev.Counts && sofar.Mailbox != "" && a.intake.sources[sofar.Mailbox] == nil {
		sofar.Mailbox = ev.Mailbox // it was renamed: whatever counts was found in the mailbox of the receipt's own sender
	}
	d, to, err := delivery.Fold(m, sofar, e)
	if to.Err != nil {
		to.Err = contracts.AsError(a.fault(to.Err))
	}
	if err == nil {
		a.alarm(e, raised(sofar), raised(d))
	}
	return d, to, a.fault(err)
}

// alarm tells of what an operator must look at: receipts that cannot both be so, a message that went out twice. A store that
// repeats a commit may have it told again.
func (a *Adapter) alarm(e contracts.Event, before, after []string) {
	for _, flag := range after {
		if !slices.Contains(before, flag) {
			a.env.Log.Error("receipts contradict each other; look at the ticket", "flag", flag, "ticket", e.Ref, "kind", e.Kind)
		}
	}
}

// raised are the flags of a dispatch and its recipients that ask for a person, each once.
func raised(d delivery.Dispatch) (flags []string) {
	all := slices.Clone(d.Flags)
	for _, r := range d.Recipients {
		all = append(all, r.Flags...)
	}
	for _, flag := range all {
		if (flag == delivery.FlagConflict || flag == delivery.FlagDouble) && !slices.Contains(flags, flag) {
			flags = append(flags, flag)
		}
	}
	return flags
}

// oneLine joins errors into a text that fits a line of a log.
func oneLine(errs []error) error {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}
