package pec

import (
	"context"
	"log/slog"

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
		s.filled(quota)
	}
	return nil
}

// filled tells the sending side how full the mailbox is, and the log when that passes a mark.
func (s *source) filled(q mail.Quota) {
	s.box.gate.measured(q.Used, q.Limit)
	was, now := s.level, level(q.Fill())
	s.level = now
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
	s.a.env.Log.Log(context.Background(), severity, text, "instance", s.a.env.Instance, "mailbox", s.box.Name, "percent", int(q.Fill()*100))
}
