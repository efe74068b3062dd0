package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"raccordo/contracts"
)

// A Session is a logged-in connection to a mailbox. It reads (EXAMINE, PEEK): people and webmail use the same mailbox,
// and flags are theirs; only Erase changes anything. One goroutine at a time may use it. The library knows no contexts,
// so whoever uses it does so between Use and Rest, and when the context of Use ends, the connection is closed. Its errors
// are *contracts.Error without any text of the server's.
type Session struct {
	client  *imapclient.Client
	meter   *metered
	bare    net.Conn
	ctx     func() error // of whoever uses it
	release func()       // of the guard by that context; nil at rest
	dead    bool         // closed by ourselves, amid an answer
	folder  string       // that is open

	hint    func()
	idle    *imapclient.IdleCommand
	resting atomic.Bool
}

// A Head is what is asked of a message before its bytes.
type Head struct {
	UID      uint32
	Size     int64
	Received time.Time // INTERNALDATE: when the server first saw it
}

// A Place is where a message lies.
type Place struct {
	Folder   string
	Validity uint32 // UIDVALIDITY
	UID      uint32
}

// ErrTooBig is a message beyond the caller's limit; ErrGone one that was expunged since it was listed; ErrNoBytes one that
// the server lists and cannot give.
var (
	ErrTooBig  = errors.New("message is larger than allowed")
	ErrGone    = errors.New("message is not there any more")
	ErrNoBytes = errors.New("the server gives a message without its bytes")
)

const goodbye = 2 * time.Second // for a LOGOUT, in real time

// OpenSession connects and logs in, for as long as ctx lasts.
func OpenSession(ctx context.Context, server Server) (*Session, error) {
	s, err := Connect(ctx, server, nil)
	if err != nil {
		return nil, err
	}
	if err := s.Use(ctx); err != nil {
		_ = s.Close() // the error says more
		return nil, err
	}
	return s, nil
}

// Connect connects and logs in while ctx lasts; the session lasts until Close. It is at rest then. hint, where there is
// one, is called whenever the server tells of news while the session rests; it must return at once.
func Connect(ctx context.Context, server Server, hint func()) (_ *Session, err error) {
	password, err := server.Password(ctx)
	if err != nil {
		return nil, err
	}
	conn, bare, err := server.dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		var t *tlsFailure
		if !errors.As(err, &t) {
			err = broken(err)
		}
		return nil, contracts.Errorf(contracts.Unavailable, "imap connect: %w", err)
	}
	s := &Session{meter: newMeter(conn, server.command()), bare: bare, hint: hint, ctx: ctx.Err, release: guard(ctx, bare)}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	defer s.expect(listing)()
	options := &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: s.told}}
	if server.StartTLS {
		options.TLSConfig = server.tls()
		s.client, err = imapclient.NewStartTLS(s.meter, options)
		if err != nil {
			_ = bare.Close()
			return nil, s.fault("starttls", err)
		}
	} else {
		s.client = imapclient.New(s.meter, options)
	}
	if err := s.client.WaitGreeting(); err != nil {
		return nil, s.fault("greeting", err)
	}
	if err := s.client.Login(server.User, string(password)).Wait(); err != nil {
		return nil, s.fault("login", err)
	}
	s.leave()
	return s, nil
}

// Use ends the session's rest and puts it under ctx. After an error it is of no more use.
func (s *Session) Use(ctx context.Context) error {
	s.leave()
	s.ctx, s.release = ctx.Err, guard(ctx, s.bare)
	if s.idle == nil {
		return nil
	}
	return s.wakeUp()
}

// Rest lets go of the context. If the session is to listen, and the server can tell of news (IDLE, RFC 2177), it is asked
// to, for the folder that is open. After an error the session is of no more use.
func (s *Session) Rest(listen bool) error {
	defer s.leave()
	if !listen || s.hint == nil || s.folder == "" || !s.client.Caps().Has(imap.CapIdle) {
		return nil
	}
	if err := s.lieDown(); err != nil && s.Broken() {
		return err
	} else if err != nil {
		s.hint = nil // it offers what it refuses: another log-in would not change that
	}
	return nil
}

func (s *Session) leave() {
	if s.release != nil {
		s.release()
		s.release = nil
	}
	s.ctx = func() error { return nil }
}

// Broken reports whether the connection is gone, as far as is known without asking.
func (s *Session) Broken() bool {
	if s.dead || s.client.State() == imap.ConnStateLogout {
		return true
	}
	select {
	case <-s.client.Closed():
		return true
	default:
		return false
	}
}

// Has reports whether the server offers an extension, by its name in CAPABILITY: "UIDPLUS".
func (s *Session) Has(extension string) bool {
	defer s.expect(listing)()
	return s.client.Caps().Has(imap.Cap(extension))
}

// Close says goodbye, ends the connection and waits for its reader. It is safe to repeat.
func (s *Session) Close() error {
	if s.client != nil {
		if !s.Broken() && s.client.State() != imap.ConnStateNotAuthenticated && s.ctx() == nil {
			bye := time.AfterFunc(goodbye, func() { _ = s.bare.Close() })
			if s.idle == nil || s.wakeUp() == nil {
				_ = s.client.Logout().Wait()
			}
			bye.Stop()
		}
		_ = s.client.Close()
		<-s.client.Closed()
	}
	s.leave()
	return nil
}

// expect allows the server an answer of most bytes to the command that follows, and limits its silence until the
// returned function is called: between commands it may be silent for ever.
func (s *Session) expect(most int64) (done func()) {
	s.meter.left.Store(most)
	s.meter.awaits(true)
	return func() { s.meter.awaits(false) }
}

// give is what is left of the connection when an answer is not read to its end.
func (s *Session) give() {
	s.dead = true
	_ = s.meter.Close()
}

// fault says in our words what went wrong: a server's text may name the user, a parser's quotes the bytes.
func (s *Session) fault(command string, err error) error {
	var no *imap.Error
	switch {
	case errors.As(err, &no):
		kind := contracts.Unavailable
		switch {
		case no.Code == imap.ResponseCodeLimit, no.Code == imap.ResponseCodeInUse:
			kind = contracts.Throttled
		case no.Code == imap.ResponseCodeUnavailable, no.Code == imap.ResponseCodeServerBug, no.Code == imap.ResponseCodeCorruption,
			no.Code == imap.ResponseCodeContactAdmin, no.Code == imap.ResponseCodeClientBug:
		case no.Code == imap.ResponseCodeAuthenticationFailed, no.Code == imap.ResponseCodeAuthorizationFailed,
			no.Code == imap.ResponseCodeExpired, no.Code == imap.ResponseCodePrivacyRequired,
			command == "login" && no.Type == imap.StatusResponseTypeNo:
			kind = contracts.Denied
		case no.Type == imap.StatusResponseTypeNo && command == "examine": // a folder's absence is no answer about a message
			kind = contracts.Invalid
		case no.Type == imap.StatusResponseTypeBad:
			kind = contracts.Malformed
		}
		e := contracts.Errorf(kind, "imap %s: refused", command)
		e.Code = strings.TrimSpace(fmt.Sprintf("%s %s", no.Type, no.Code))
		return e
	case s.ctx() != nil:
		return contracts.Errorf(contracts.Unavailable, "imap %s: %w", command, s.ctx())
	case s.meter.lost.Load():
		return contracts.Errorf(contracts.Unavailable, "imap %s: connection lost", command)
	}
	return contracts.Errorf(contracts.Malformed, "imap %s: the answer breaks the protocol", command)
}

// explained reports whether the server said by a code why it refused.
func explained(err error) bool {
	var e *contracts.Error
	return errors.As(err, &e) && strings.Contains(e.Code, " ")
}

// closed reports whether a folder was refused for good: it does not exist, or is not ours to read.
func closed(err error) bool {
	var e *contracts.Error
	return errors.As(err, &e) && e.Code != "" && (e.Kind == contracts.Invalid || e.Kind == contracts.Denied)
}
