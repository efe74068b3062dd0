package mail

import (
	"github.com/emersion/go-imap/v2/imapclient"

	"raccordo/contracts"
)

// told hears what the server says unasked. Only at rest is it news: whoever uses the session looks anyway.
func (s *Session) told(news *imapclient.UnilateralDataMailbox) {
	if news.NumMessages != nil && s.resting.Load() && s.hint != nil {
		s.hint()
	}
}

// lieDown begins IDLE. What came in since the folder was opened is told at once, by RFC 2177's own rule.
func (s *Session) lieDown() error {
	defer s.expect(listing)()
	s.resting.Store(true)
	idle, err := s.client.Idle()
	if err != nil {
		s.resting.Store(false)
		return s.fault("idle", err)
	}
	s.idle = idle
	return nil
}

// wakeUp ends IDLE. A link that died meanwhile shows here, by the server's silence.
func (s *Session) wakeUp() error {
	defer s.expect(listing)()
	idle := s.idle
	s.idle = nil
	s.resting.Store(false)
	if err := idle.Close(); err != nil {
		s.give()
		return contracts.Errorf(contracts.Unavailable, "imap idle: connection lost")
	}
	if err := idle.Wait(); err != nil {
		return s.fault("idle", err)
	}
	return nil
}

// Renew ends and begins IDLE again: servers and middle-boxes forget those who are silent for half an hour, and a link that
// is half open shows only when something is said. A session that is not in IDLE is left alone.
func (s *Session) Renew() error {
	if s.idle == nil {
		return nil
	}
	if err := s.wakeUp(); err != nil {
		return err
	}
	return s.lieDown()
}
