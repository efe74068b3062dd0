package pec

import (
	"time"
)

const gapEvery = time.Hour // between two alarms about the same folder

// A gap is what is missing from a folder: UIDs that the server has given out and that are not there.
type gap struct {
	told  time.Time
	count uint64 // since then
}

// missed compares the UIDs that a reading went over with the messages that it brought. Where more were given out, somebody
// takes messages away before they are read: another reader of the mailbox, or a rule. While receipts are due that may be
// evidence lost, and is alarmed, once an hour at most. The first reading of a folder proves nothing: people tidy up.
func (s *source) missed(start position, p *position, got int, next uint32, all bool) {
	if all {
		p.Next = max(start.Next, next, p.UID+1)
	}
	if start.Next == 0 {
		return
	}
	base, end := max(start.UID, start.Next-1), p.UID
	if all {
		end = p.Next - 1
	}
	if end <= base || uint64(end-base) <= uint64(got) {
		return
	}
	g := s.gaps[p.Folder]
	if g == nil {
		g = &gap{}
		s.gaps[p.Folder] = g
	}
	g.count += uint64(end-base) - uint64(got)
	now := s.a.env.Clock.Now()
	if !s.in.duties.due(s.box.Name) || !g.told.IsZero() && now.Sub(g.told).Abs() < gapEvery {
		return
	}
	s.a.env.Log.Error("messages are taken away before they are read, while receipts are due: another reader of the mailbox deletes or moves them",
		"instance", s.a.env.Instance, "mailbox", s.box.Name, "messages", g.count)
	*g = gap{told: now}
}
