package pec

import (
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"raccordo/mocks/lab"
)

const (
	greylisting = 5 * time.Minute        // of the bench's clock, from the first attempt
	lockout     = 30 * time.Minute       // of the bench's clock
	lateAnswer  = 500 * time.Millisecond // of real time
)

// only fits the stories with the given names.
func only(names ...string) func(Story) bool {
	return func(s Story) bool { return slices.Contains(names, s.Name) }
}

// atRcpt has the stories of the wire strike that are about a recipient.
func (s *submitter) atRcpt(to string) error {
	key := s.box() + " " + strings.ToLower(to)
	told := s.m.told(s.box(), "rcpt", "", only("refused", "busy"))
	told = append(told, s.m.told(s.box(), "greylist", key, only("greylist"))...)
	if s.m.greylisted("greylist " + key) {
		told = append(told, "greylist")
	}
	switch label := scenarioOf(to); label {
	case "greylist", "refused":
		told = append(told, label)
	case "busy", "toomuch":
		if first, _ := s.m.first(label + " " + key); first {
			told = append(told, label)
		}
	}
	for _, story := range told {
		var e *smtp.SMTPError
		switch story {
		case "refused":
			e = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "Recipient address rejected: User unknown"}
		case "toomuch":
			e = throttled(s.from)
		case "busy":
			e = &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "System not accepting messages, closing connection"}
		case "greylist":
			if first, ago := s.m.first("greylist " + key); !first && ago >= int64(greylisting) {
				continue
			}
			e = &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Recipient address rejected: Greylisted, try again later"}
		}
		s.open.Afflict(lab.Fault{Do: lab.Misdeed(story)})
		return s.farewell(e, nil, "story "+story)
	}
	return nil
}

// atDot finds the story of the wire that strikes a message whose bytes have come: by a label, its first attempt alone.
func (s *submitter) atDot(raw []byte) string {
	strike := []string{"tempfail", "cutbefore", "cutafter", "lateanswer"}
	h, _ := splitMessage(raw)
	key := s.box() + " " + h.get("Message-ID")
	for _, label := range labels(s.paths, OnWire) {
		if slices.Contains(strike, label) {
			if first, _ := s.m.first(label + " " + key); first {
				return label
			}
		}
	}
	if told := s.m.told(s.box(), "dot", s.m.turn(key), only(strike...)); len(told) > 0 {
		return told[0]
	}
	return ""
}

// turn numbers the attempts at one thing.
func (m *Mock) turn(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := &m.orders
	if len(o.rates) == 0 && len(o.given) == 0 {
		return key
	}
	if len(o.turns) < maxTurns {
		o.turns[key]++
	}
	return key + strings.Repeat("+", int(min(o.turns[key], 64)))
}

// tellOf settles which stories a message meets: those its recipients' labels ask for, those that were ordered, and those
// of chance, of which it meets at most one about the form of its receipts, and each recipient one.
func (m *Mock) tellOf(s *submission) {
	var paths []string
	for i := range s.Recipients {
		r := &s.Recipients[i]
		paths = append(paths, r.Address)
		if name := scenarioOf(r.Address); scopeOf(name) == OfRecipient && (name == "bounce") == r.Ordinary {
			r.Story = name
		}
	}
	s.Stories = labels(paths, OfMessage, OfReceipts, OfMailbox)
	whole := m.told(s.Account, "message", s.MessageID, func(t Story) bool {
		return t.Scope == OfMessage || t.Scope == OfReceipts || t.Scope == OfMailbox
	})
	shaped := false
	for _, name := range whole {
		if scopeOf(name) == OfReceipts {
			if shaped {
				continue
			}
			shaped = true
		}
		if !slices.Contains(s.Stories, name) {
			s.Stories = append(s.Stories, name)
		}
	}
	m.tellRecipients(s)
}

// tellRecipients gives a story to the recipients that have none of their own.
func (m *Mock) tellRecipients(s *submission) {
	ordered := m.told(s.Account, "recipients", s.MessageID, func(t Story) bool {
		return t.Scope == OfRecipient && slices.ContainsFunc(s.Recipients, func(r recipient) bool { return r.Story == "" && fits(t.Name, r) })
	})
	for i := range s.Recipients {
		r := &s.Recipients[i]
		if r.Story != "" {
			continue
		}
		for _, name := range ordered {
			if fits(name, *r) {
				r.Story = name
				break
			}
		}
	}
}

// fits tells whether a story can be told of a recipient.
func fits(story string, r recipient) bool { return (story == "bounce") == r.Ordinary }

// storied is the non-acceptance that a story asks for.
func storied(s *submission) (refusal, bool) {
	switch {
	case s.bears("noaccept"):
		return refusal{reason: Other, code: "5.7.1", text: "messaggio non accettabile", rule: "scenario noaccept"}, false
	case s.bears("noacceptvirus"):
		return refusal{reason: Virus, code: "5.7.1", text: "rilevato Test.Signature", rule: "scenario noacceptvirus"}, false
	}
	return refusal{}, true
}

// befall has the stories about the sender's mailbox happen that are not about its receipts.
func (m *Mock) befall(s *submission) {
	for _, name := range s.Stories {
		switch name {
		case "cutfetch":
			m.suffer(s.Account, func(c *Condition) { c.CutFetches++ })
		case "nologin":
			m.suffer(s.Account, func(c *Condition) { c.RefuseLogins += 3 })
		case "lockout":
			until := m.clock.Now().Add(lockout)
			m.suffer(s.Account, func(c *Condition) { c.LockedUntil = until })
			m.throwOut(s.Account)
		}
	}
}
