package pec

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

// Shares of a mailbox's quota from which something is done (pec.md section 11): a full mailbox loses receipts that come
// in, which is evidence.
const (
	fillWarn   = 0.70
	fillSparse = 0.85 // from here on no receipts are asked for that return the whole message
	fillAlarm  = 0.95
)

// A gauge is how full a mailbox is, for the sending side to read at any time.
type gauge struct{ bits atomic.Uint64 }

func (g *gauge) set(fill float64) { g.bits.Store(math.Float64bits(fill)) }

// fill is the share of the mailbox that was used when it was last looked at, 1 for full; 0 while that is not known. From
// fillSparse on, small receipts are to be asked for.
func (b *mailbox) fill() float64 { return math.Float64frombits(b.gauge.bits.Load()) }

func level(fill float64) int {
	switch {
	case fill >= fillAlarm:
		return 3
	case fill >= fillSparse:
		return 2
	case fill >= fillWarn:
		return 1
	}
	return 0
}

// measure looks how full the mailbox is: by the server's own count where it has one, else, when all is to be counted,
// against the configured limit.
func (s *source) measure(all bool) error {
	quota, err := s.session.Quota(s.folders[0])
	if contracts.KindOf(err) == contracts.Unavailable && err != nil && s.session.Broken() {
		return err
	}
	if err != nil { // whoever cannot say is asked again; reading goes on
		return nil
	}
	if quota.Limit == 0 && s.box.Quota > 0 {
		if !all {
			return nil
		}
		quota = mail.Quota{Limit: s.box.Quota}
		folders, err := s.session.Folders()
		if err != nil {
			return err
		}
		for _, f := range folders {
			n, err := s.session.Size(f.Name)
			if err != nil && s.session.Broken() {
				return err
			}
			quota.Used += n
		}
	}
	if quota.Limit > 0 {
		s.box.gate.measured(quota.Used, quota.Limit)
		s.filled(quota.Fill())
	}
	return nil
}

// filled notes how full the mailbox is, and tells the log when that passes a mark.
func (s *source) filled(fill float64) {
	was, now := level(s.box.fill()), level(fill)
	s.box.gauge.set(fill)
	if was == now {
		return
	}
	text, severity := "mailbox has room again", slog.LevelInfo
	switch now {
	case 1:
		text, severity = "mailbox fills up", slog.LevelWarn
	case 2:
		text, severity = "mailbox is nearly full: receipts are asked for without the message", slog.LevelWarn
	case 3:
		text, severity = "mailbox is full: receipts that do not fit are lost, make room", slog.LevelError
	}
	s.a.env.Log.Log(context.Background(), severity, text, "instance", s.a.env.Instance, "mailbox", s.box.Name, "percent", int(fill*100))
}
