package pec

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// A Stage is the SMTP command that a status fault answers.
type Stage string

const (
	AtMail Stage = "mail"
	AtRcpt Stage = "rcpt"
	AtDot  Stage = "dot" // the default: the message was sent in full, and is refused
)

// DefaultIMAPSessions is how many IMAP sessions one account may have, as on a Dovecot server.
const DefaultIMAPSessions = 10

// switches are what an operator of the mock can turn while it runs; guarded by Mock.mu.
type switches struct {
	certificate  Certificate
	quirks       Quirks
	stage        Stage
	rate         int
	imapSessions int
	refuseLogins int
	cutFetches   int
	skew         time.Duration
}

// Skew sets the providers' clocks off the bench's: what they date and sign from now on is so much ahead, or behind. Times of
// arrival (INTERNALDATE) stay the bench's.
func (m *Mock) Skew(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sw.skew = d
}

// SetCertificate chooses how receipts are signed from now on.
func (m *Mock) SetCertificate(c Certificate) error {
	if !c.known() {
		return fmt.Errorf("pec: no certificate variant is called %q", c)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sw.certificate = c
	return nil
}

// SetQuirks chooses the form of receipts from now on.
func (m *Mock) SetQuirks(q Quirks) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sw.quirks = q
}

// RefuseAt chooses where a fault "status" (also "500" and "503") strikes a submission.
func (m *Mock) RefuseAt(s Stage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sw.stage = s
}

// LimitRate refuses a mailbox's messages beyond perMinute within a minute of the bench's clock, with the text of
// providers that do so (six a minute is common); 0 lifts the limit.
func (m *Mock) LimitRate(perMinute int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sw.rate = perMinute
}

// LimitIMAPSessions sets how many sessions one account may have before LOGIN is refused with NO [LIMIT].
func (m *Mock) LimitIMAPSessions(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sw.imapSessions = n
}

// RefuseLogins answers the next n IMAP logins with NO [LIMIT], as for too many connections.
func (m *Mock) RefuseLogins(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sw.refuseLogins = n
}

// CutFetches cuts the connection in the middle of a message's bytes, n times.
func (m *Mock) CutFetches(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sw.cutFetches = n
}

// BumpUIDValidity renumbers a folder under a new UIDVALIDITY and throws out whoever has it open.
func (m *Mock) BumpUIDValidity(address, folder string) error {
	address, now := strings.ToLower(address), m.clock.Now()
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	f := m.store.folder(address, folder)
	if f == nil {
		return errors.New("pec: bump uidvalidity: no such folder")
	}
	return m.store.commit(record{UIDValidity: &newValidity{Account: address, Folder: f.name, Validity: m.store.freshValidity(now)}}, nil)
}

// takeCut uses up one order to cut a fetch.
func (m *Mock) takeCut() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sw.cutFetches == 0 {
		return false
	}
	m.sw.cutFetches--
	return true
}

// tooFast counts a message of a mailbox against its limit and gives the refusal when it is one too many.
func (m *Mock) tooFast(mailbox, from string, now time.Time) *smtp.SMTPError {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.conditionOf(mailbox)
	rate := c.PerMinute
	if rate == 0 {
		rate = m.profileLocked(mailbox).PerMinute
	}
	if rate == 0 {
		rate = m.sw.rate
	}
	if rate <= 0 {
		return nil
	}
	var recent []time.Time
	for _, at := range m.sent[mailbox] {
		if now.Sub(at) < time.Minute {
			recent = append(recent, at)
		}
	}
	if len(recent) < rate {
		m.sent[mailbox] = append(recent, now)
		return nil
	}
	m.sent[mailbox] = recent
	switch c.RateReply {
	case 421:
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many messages, closing connection"}
	case 451:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Too many messages, try again later"}
	}
	return throttled(from)
}
