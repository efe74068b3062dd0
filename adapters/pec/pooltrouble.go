package pec

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

// taken keeps the gate of a mailbox that has just sent.
func (s *sending) taken(b *mailbox, raw []byte) {
	b.admitted()
	b.gate.spent(s.env.Clock.Now())
	if b.gate.took(expected(len(raw), s.m, formAsked(raw))) {
		s.env.Log.Info("mailbox sends again", "instance", s.env.Instance, "mailbox", b.Name)
	}
}

// trouble keeps the gate of a mailbox whose submission failed: what is the mailbox's own trouble keeps it out for a
// while, alone. The log is told when that begins, or becomes another trouble, not each time.
func (s *sending) trouble(ctx context.Context, b *mailbox, f *mail.Failure) {
	now, kind := s.env.Clock.Now(), f.Kind(s.transient)
	if f.Phase >= mail.PhaseSender {
		b.gate.spent(now)
	}
	switch f.Reply.Code {
	case 530, 534, 535, 538:
		b.refused(ctx, contracts.Errorf(contracts.Denied, "smtp: refused"))
	}
	var ours *contracts.Error
	least := time.Duration(0)
	switch {
	case errors.As(f.Err, &ours) && (f.Phase != mail.PhaseAuth || ours.After > 0), errors.Is(f.Err, context.Canceled):
		return // nobody was asked, or we gave up
	case kind == contracts.Invalid && f.Phase == mail.PhaseDot && !f.TooBig():
		if !b.gate.denied() {
			return
		}
		kind, least = contracts.Denied, b.pause // whatever it is sent it refuses
	case kind == contracts.Throttled:
		least = minute
	case kind == contracts.Denied:
		least = b.pause
	case !f.OfMailbox(s.transient) && f.Reply.Code != 0:
		return
	case kind == contracts.Canceled: // the time for one exchange is over: it is slow
		kind = contracts.Unavailable
	}
	until, changed := b.gate.shut(now, kind, least)
	if !changed {
		return
	}
	level := slog.LevelWarn
	if kind == contracts.Denied {
		level = slog.LevelError // nobody but an operator can put that right
	}
	s.env.Log.Log(ctx, level, "mailbox does not send for the present; the others of its role do", "instance", s.env.Instance, "mailbox", b.Name,
		"kind", kind, "until", until, "error", f)
}
