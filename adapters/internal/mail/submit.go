package mail

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"raccordo/contracts"
)

// An Envelope is one message as it is submitted. Message holds the frozen bytes, CRLF line ends throughout.
type Envelope struct {
	From    string
	To      []string
	Message []byte
}

const (
	maxUses = 50               // messages over one connection
	maxIdle = 60 * time.Second // real time after which an unused connection is closed
)

// A Submitter hands messages to one mailbox's server, one at a time, over one connection that it keeps for up to 50
// messages or a minute without use. It owns the connection until Close.
type Submitter struct {
	server Server
	turn   chan struct{} // holds one token: whoever has it may use what follows
	conn   *submission
	idle   *time.Timer // closes conn; its function takes the turn first
	closed bool
}

type submission struct {
	client *smtp.Client
	bare   net.Conn
	uses   int
	last   time.Time
}

// NewSubmitter makes a Submitter; it does no I/O.
func NewSubmitter(server Server) *Submitter {
	s := &Submitter{server: server, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// Submit hands the envelope over: MAIL, every RCPT, and only if all are accepted depart and DATA. depart is called when
// the next byte would be DATA; its error stops the submission, with nothing sent. The reply is the server's 250 to the
// final dot; every error is a *Failure. A message that is not in wire form (CRLF, 7 bits, lines of 998) is not sent: on
// the way it would become another one.
func (s *Submitter) Submit(ctx context.Context, e Envelope, depart func() error) (Reply, error) {
	if err := wireForm(e.Message); err != nil {
		return Reply{}, &Failure{Phase: PhaseConnect, Recipient: -1, Err: err}
	}
	if err := s.take(ctx); err != nil {
		return Reply{}, err
	}
	defer s.give()
	kept := s.conn != nil
	reply, fail := s.submit(ctx, e, depart)
	if kept && fail != nil && fail.stale() && ctx.Err() == nil { // found out with MAIL: nothing was begun
		s.drop()
		reply, fail = s.submit(ctx, e, depart)
	}
	if fail != nil {
		return Reply{}, fail
	}
	return reply, nil
}

// submit makes one try over the kept connection, or over a new one.
func (s *Submitter) submit(ctx context.Context, e Envelope, depart func() error) (Reply, *Failure) {
	c, release, fail := s.session(ctx)
	if fail != nil {
		return Reply{}, fail
	}
	defer release()
	reply, fail := s.send(ctx, c, e, depart)
	c.last = time.Now()
	if fail != nil {
		if fail.Reply.Code == 0 || c.client.Reset() != nil {
			s.drop() // without a reply nobody knows what the next one would answer
		}
		return Reply{}, fail
	}
	c.uses++
	if c.uses >= maxUses {
		s.quit()
	}
	return reply, nil
}

// Check connects, logs in and asks for nothing: one cheap honest call.
func (s *Submitter) Check(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	kept := s.conn != nil
	c, release, fail := s.session(ctx)
	if fail != nil {
		return fail
	}
	defer release()
	if !kept || c.client.Noop() == nil {
		return nil
	}
	s.drop()
	_, again, fail := s.session(ctx)
	if fail != nil {
		return fail
	}
	again()
	return nil
}

// Close ends the connection, after the submission that uses it. It is safe to repeat.
func (s *Submitter) Close() error {
	<-s.turn
	defer s.give()
	s.closed = true
	if s.idle != nil {
		s.idle.Stop() // where it has begun, it finds nothing to close
	}
	s.quit()
	return nil
}

// rest says goodbye to a connection that nobody has used for a while.
func (s *Submitter) rest() {
	select {
	case <-s.turn:
	default:
		return // it is in use
	}
	defer s.give()
	if s.conn != nil && time.Since(s.conn.last) >= maxIdle {
		s.quit()
	}
}

func (s *Submitter) take(ctx context.Context) error {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return failure(ctx, PhaseConnect, ctx.Err())
	}
	if s.closed {
		s.turn <- struct{}{}
		return failure(ctx, PhaseConnect, net.ErrClosed)
	}
	return nil
}

func (s *Submitter) give() {
	switch {
	case s.conn == nil || s.closed:
	case s.idle == nil:
		s.idle = time.AfterFunc(maxIdle, s.rest)
	default:
		s.idle.Reset(maxIdle)
	}
	s.turn <- struct{}{}
}

// session gives the kept connection, or a new one, guarded by ctx until release. It does not ask whether the kept one
// still answers: MAIL does, and nothing has left by then.
func (s *Submitter) session(ctx context.Context) (c *submission, release func(), fail *Failure) {
	if c := s.conn; c != nil {
		if time.Since(c.last) < maxIdle {
			return c, guard(ctx, c.bare), nil
		}
		s.quit()
	}
	c, release, fail = s.open(ctx)
	if fail != nil {
		return nil, nil, fail
	}
	s.conn = c
	return c, release, nil
}

func (s *Submitter) open(ctx context.Context) (_ *submission, release func(), fail *Failure) {
	conn, bare, err := s.server.dial(ctx)
	if err != nil {
		f := failure(ctx, PhaseConnect, err)
		var t *tlsFailure
		if errors.As(err, &t) && ctx.Err() == nil {
			f.Err = t
		}
		return nil, nil, f
	}
	unguard := guard(ctx, bare)
	defer func() {
		if fail != nil {
			unguard()
			_ = bare.Close()
		}
	}()
	_ = bare.SetDeadline(time.Now().Add(s.server.command())) // the library starts TLS before it takes a limit
	conn = &terse{Conn: conn}
	var client *smtp.Client
	if s.server.StartTLS {
		if client, err = smtp.NewClientStartTLS(conn, s.server.tls()); err != nil {
			return nil, nil, failure(ctx, PhaseConnect, err)
		}
	} else {
		client = smtp.NewClient(conn)
	}
	client.CommandTimeout, client.SubmissionTimeout = s.server.command(), s.server.final()
	if err := client.Hello("localhost"); err != nil { // a name of this machine would tell of its network
		return nil, nil, failure(ctx, PhaseConnect, err)
	}
	if s.server.User != "" {
		password, err := s.server.Password(ctx)
		if err != nil {
			return nil, nil, &Failure{Phase: PhaseAuth, Recipient: -1, Err: err}
		}
		if err := client.Auth(s.mechanism(client, string(password))); err != nil {
			return nil, nil, failure(ctx, PhaseAuth, err)
		}
	}
	return &submission{client: client, bare: bare, last: time.Now()}, unguard, nil
}

func (s *Submitter) mechanism(client *smtp.Client, password string) sasl.Client {
	if !client.SupportsAuth(sasl.Plain) && client.SupportsAuth(sasl.Login) {
		return &loginAuth{user: s.server.User, password: password}
	}
	return sasl.NewPlainClient("", s.server.User, password)
}

func (s *Submitter) send(ctx context.Context, c *submission, e Envelope, depart func() error) (Reply, *Failure) {
	if limit, ok := c.client.MaxMessageSize(); ok && limit > 0 && len(e.Message) > limit {
		// What the server would say to MAIL with SIZE (RFC 1870 section 6), said before asking.
		return Reply{}, &Failure{Phase: PhaseSender, Recipient: -1, Reply: Reply{Code: 552, Enhanced: "5.3.4"}}
	}
	if err := c.client.Mail(e.From, &smtp.MailOptions{Size: int64(len(e.Message))}); err != nil {
		return Reply{}, failure(ctx, PhaseSender, err)
	}
	for i, to := range e.To {
		if err := c.client.Rcpt(to, nil); err != nil {
			f := failure(ctx, PhaseRecipient, err)
			f.Recipient = i
			return Reply{}, f
		}
	}
	if err := depart(); err != nil {
		return Reply{}, &Failure{Phase: PhaseStart, Recipient: -1, Err: err}
	}
	data, err := c.client.Data()
	if err != nil {
		return Reply{}, failure(ctx, PhaseStart, err)
	}
	_ = c.bare.SetDeadline(time.Now().Add(s.server.final()))
	if _, err := data.Write(e.Message); err != nil {
		return Reply{}, failure(ctx, PhaseData, err)
	}
	done, err := data.CloseWithResponse()
	if err != nil {
		return Reply{}, failure(ctx, PhaseDot, err)
	}
	return accepted(done.StatusText), nil
}

// accepted splits "2.0.0 OK: queued" as the library does for refusals only.
func accepted(text string) Reply {
	r := Reply{Code: 250, Text: contracts.NewPrivate(text)}
	if first, _, _ := strings.Cut(text, " "); strings.Count(first, ".") == 2 && strings.HasPrefix(first, "2.") {
		r.Enhanced = first
	}
	return r
}

// drop forgets the connection without a word: it is in an unknown state.
func (s *Submitter) drop() {
	if s.conn != nil {
		_ = s.conn.bare.Close()
		s.conn = nil
	}
}

// quit says goodbye, for two seconds at most; a failure to do so is no failure.
func (s *Submitter) quit() {
	if s.conn != nil {
		s.conn.client.CommandTimeout = 2 * time.Second
		_ = s.conn.client.Quit()
		s.drop()
	}
}

// loginAuth is AUTH LOGIN as servers that know nothing better expect it: no initial response, user name at the first
// challenge whatever its wording, password at the second.
type loginAuth struct {
	user, password string
	asked          int
}

// Start names the mechanism.
func (a *loginAuth) Start() (string, []byte, error) { return sasl.Login, nil, nil }

// Next answers a challenge.
func (a *loginAuth) Next([]byte) ([]byte, error) {
	a.asked++
	switch a.asked {
	case 1:
		return []byte(a.user), nil
	case 2:
		return []byte(a.password), nil
	}
	return nil, sasl.ErrUnexpectedServerChallenge
}
