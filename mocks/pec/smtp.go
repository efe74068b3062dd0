package pec

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"raccordo/mocks/lab"
)

// labelMessage is the journal's name for one submission, from MAIL to the reply to the dot.
const labelMessage = "smtp message"

// A submitter is one SMTP session.
type submitter struct {
	m    *Mock
	conn net.Conn

	mu      sync.Mutex // Logout may come from Close
	open    *lab.Open  // the submission under way
	account *Account   // after AUTH
	access  *access
	from    string
	paths   []string
}

func (m *Mock) newSMTPSession(c *smtp.Conn) (smtp.Session, error) {
	return &submitter{m: m, conn: c.Conn()}, nil
}

// AuthMechanisms are PLAIN and LOGIN, as providers offer.
func (s *submitter) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login} }

// Auth starts one of them.
func (s *submitter) Auth(mech string) (sasl.Server, error) {
	switch mech {
	case sasl.Plain:
		return &permanent{sasl.NewPlainServer(func(identity, user, password string) error {
			if identity != "" && identity != user {
				return smtp.ErrAuthFailed
			}
			return s.login(user, password)
		})}, nil
	case sasl.Login:
		return &loginServer{check: s.login}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *submitter) login(user, password string) error {
	a, ok := s.m.account(user)
	if !ok || subtle.ConstantTimeCompare([]byte(a.Password), []byte(password)) != 1 || s.m.locked(strings.ToLower(a.Address)) {
		return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Error: authentication failed"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account, s.access = &a, s.m.enter(strings.ToLower(a.Address), s.conn, false)
	return nil
}

// box is the sender's mailbox.
func (s *submitter) box() string { return strings.ToLower(s.account.Address) }

// Reset ends the submission; go-smtp calls it after the reply to the dot was written.
func (s *submitter) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over()
	s.from, s.paths = "", nil
}

// over ends the submission under way, if any.
func (s *submitter) over() {
	if s.open == nil {
		return
	}
	s.open.End()
	s.open = nil
	if c := underlying(s.conn); c != nil {
		c.end()
	}
}

// Logout is the end of the session.
func (s *submitter) Logout() error {
	s.Reset()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.access != nil {
		s.m.leave(s.box(), s.access)
		s.access = nil
	}
	return nil
}

// Mail begins a submission: the exchange is in flight from here to the reply to the dot.
func (s *submitter) Mail(from string, _ *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.account == nil {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	s.over() // a second MAIL without RSET
	if c := underlying(s.conn); c != nil {
		c.begin()
	}
	s.open, s.from, s.paths = s.m.bench.Begin("pec", labelMessage), from, nil
	if s.m.locked(s.box()) {
		return s.shutOut("condition")
	}
	if s.m.use(s.box(), func(c *Condition) *int { return &c.Drop421 }) {
		return s.farewell(&smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Service closing transmission channel"}, nil, "condition")
	}
	if e := s.m.tooFast(s.box(), from, s.m.clock.Now()); e != nil {
		return s.farewell(e, nil, "messages per minute within the mailbox's rate")
	}
	f, ok := s.open.Fault()
	if !ok {
		if told := s.m.told(s.box(), "mail", "", only("toomuch")); len(told) > 0 {
			s.open.Afflict(lab.Fault{Do: "toomuch"})
			return s.refuse(throttled(from), nil, "story toomuch")
		}
		return nil
	}
	switch {
	case f.Do == lab.Throttle, f.Do == lab.Status && f.Status == 429:
		return s.refuse(throttled(from), nil, "fault")
	case f.Do == lab.StaleVoucher, f.Do == lab.Status && (f.Status == 401 || f.Status == 403):
		return s.shutOut("fault")
	}
	return s.statusAt(AtMail, f, nil)
}

// shutOut answers MAIL with 535, as for a password that no longer holds, and hangs up.
func (s *submitter) shutOut(rule string) error {
	told := s.partial(nil)
	s.m.leave(s.box(), s.access)
	s.account, s.access = nil, nil
	e := &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Error: authentication failed"}
	s.record(replyText(e), nil, told, rule)
	s.say(replyText(e))
	return e
}

// Rcpt adds a forward path. Whether the paths agree with the message's fields is told by a notice, not here.
func (s *submitter) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range to {
		if c < 0x21 || c > 0x7e {
			return s.refuse(&smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 6, 7}, Message: "ASCII addresses only"}, nil, "ASCII addresses")
		}
	}
	if s.open == nil {
		return &smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "MAIL first"}
	}
	if f, ok := s.open.Fault(); ok {
		if err := s.statusAt(AtRcpt, f, nil); err != nil {
			return err
		}
	}
	if len(s.paths) >= s.m.limitsOf(s.box()).MaxRecipients {
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 5, 3}, Message: "Too many recipients"}
	}
	if err := s.atRcpt(to); err != nil {
		return err
	}
	if !slices.ContainsFunc(s.paths, func(p string) bool { return strings.EqualFold(p, to) }) {
		s.paths = append(s.paths, to)
	}
	return nil
}

// Data takes the message. What it returns is the reply to the dot, unless a fault wrote that itself.
func (s *submitter) Data(r io.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return &smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "MAIL first"}
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		if e := new(smtp.SMTPError); errors.As(err, &e) {
			return s.refuse(e, raw, "size of one message within the limit")
		}
		return err // the client went away before the dot: nothing was submitted
	}
	f, faulty := s.open.Fault()
	if !faulty {
		if story := s.atDot(raw); story != "" {
			f = lab.Fault{Do: lab.Misdeed(story)}
			s.open.Afflict(f)
		}
	}
	s.m.wait(f.Before())
	late := f.After() + s.m.endure(s.box())
	switch f.Do {
	case lab.Drop, lab.Refuse, "cutbefore":
		s.record("", raw, s.partial(raw), "fault")
		s.untaken(raw, "")
		cut(s.conn)
		return net.ErrClosed
	case "tempfail":
		return s.refuse(&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Try again later"}, raw, "fault")
	}
	if err := s.statusAt(AtDot, f, raw); err != nil {
		return err
	}
	sub, rule, err := s.accept(raw, f.Do == lab.BadSignature)
	if err != nil {
		return s.refuse(&smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Insufficient system storage"}, raw, "storage")
	}
	reply := &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: fmt.Sprintf("Ok: queued as %08X", sub.N)}
	s.record(replyText(reply), raw, sub.submitted(), rule)
	s.m.wait(late)
	return s.answer(f, reply)
}

// accept runs the checks, keeps the message for good and does what is due at once.
func (s *submitter) accept(raw []byte, altered bool) (*submission, string, error) {
	sum := sha256.Sum256(raw)
	size := int64(len(raw))
	canon := canonical(raw)
	h, body := splitMessage(canon)
	p, _ := hostOf(s.account.Address)
	at := s.m.clock.Now()
	profile := s.m.profile(s.box())
	sub := &submission{
		At: at, Provider: p.index, Account: strings.ToLower(s.account.Address),
		MessageID: h.get("Message-ID"), Subject: decoded(h.get("Subject")), ReplyTo: strings.ToLower(s.account.Address),
		Receipt: receiptWanted(h), Recipients: recipientsOf(s.paths, h), Altered: altered, Delay: s.m.delay,
		Sum: hex.EncodeToString(sum[:]),
	}
	if replyTo, err := addresses(h.all("Reply-To")); err == nil && len(replyTo) > 0 {
		sub.ReplyTo = replyTo[0]
	}
	s.m.tellOf(sub)
	var rule string
	if no, ok := storied(sub); !ok {
		sub.Refused, sub.Detail, rule = no.reason, no.code+" "+no.text, no.rule
		sub.Rule = no.rule
	}
	if no, ok := check(s.account.Address, s.from, s.paths, h, body, size, s.m.limitsOf(s.box())); !ok {
		sub.Refused, sub.Detail, rule = no.reason, no.code+" "+no.text, no.rule
		sub.Rule = no.rule
	}
	err := s.m.store.submit(sub, canon, s.m.limits.MaxAccepted, func(n int) string {
		return profile.identificativo(p, at.In(s.m.zone), n)
	})
	if err != nil {
		return nil, "", err
	}
	s.m.befall(sub)
	s.m.follow(sub)
	return sub, rule, nil
}

// partial is what the journal can say of a message that was not taken.
func (s *submitter) partial(raw []byte) Submitted {
	out := Submitted{Recipients: slices.Clone(s.paths)}
	if s.account != nil {
		out.Mailbox = strings.ToLower(s.account.Address)
	}
	if raw != nil {
		h, _ := splitMessage(raw)
		sum := sha256.Sum256(raw)
		out.MessageID, out.Subject, out.Sum = h.get("Message-ID"), decoded(h.get("Subject")), hex.EncodeToString(sum[:])
	}
	return out
}

// refuse records a refusal on the wire and gives it back as the reply.
func (s *submitter) refuse(e *smtp.SMTPError, raw []byte, rule string) error {
	s.record(replyText(e), raw, s.partial(raw), rule)
	if raw != nil {
		s.untaken(raw, replyText(e))
	}
	if s.open != nil && raw == nil {
		s.open.End() // refused before DATA: whether RSET ever comes is the client's choice
	}
	return e
}

// farewell is refuse; 421 means that the server hangs up (RFC 5321 section 3.8).
func (s *submitter) farewell(e *smtp.SMTPError, raw []byte, rule string) error {
	_ = s.refuse(e, raw, rule) // is e
	if e.Code == 421 {
		s.say(replyText(e))
	}
	return e
}

// untaken keeps, for the truth, that a message's bytes came and were not taken.
func (s *submitter) untaken(raw []byte, reply string) {
	h, _ := splitMessage(raw)
	a := attempt{Account: s.box(), MessageID: h.get("Message-ID"), Reply: reply}
	if f, ok := s.open.Fault(); ok {
		a.Story = string(f.Do)
	}
	s.m.report(s.m.store.refused(a))
}

func (s *submitter) record(reply string, raw []byte, parsed Submitted, rule string) {
	if s.open == nil {
		return
	}
	status, _, _ := strings.Cut(reply, " ")
	s.open.Record(status, raw, []byte(reply), parsed, rule)
}

// statusAt answers a fault "status" when its stage has come; other faults pass.
func (s *submitter) statusAt(at Stage, f lab.Fault, raw []byte) error {
	if f.Do != lab.Status {
		return nil
	}
	s.m.mu.Lock()
	stage := s.m.sw.stage
	s.m.mu.Unlock()
	if stage != at {
		return nil
	}
	return s.farewell(statusReply(f), raw, "fault")
}

// statusReply turns a fault's status into an SMTP reply: 500 is 550, 503 is 421, other SMTP codes stand as they are.
func statusReply(f lab.Fault) *smtp.SMTPError {
	text := "Requested action not taken"
	if len(f.Body) > 0 {
		text = string(bytes.Map(func(r rune) rune { return max(r, ' ') }, f.Body))
	}
	code := f.Status
	switch code {
	case 500:
		code = 550
	case 503, 0:
		code = 421
	}
	if code < 400 || code > 599 {
		code = 451
	}
	e := &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: text}
	if code == 421 {
		e.EnhancedCode = smtp.EnhancedCode{4, 3, 2}
	}
	return e
}

// throttled is the refusal of providers that limit a mailbox to a few messages a minute. It looks permanent and is not.
func throttled(from string) *smtp.SMTPError {
	return &smtp.SMTPError{
		Code: 550, EnhancedCode: smtp.NoEnhancedCode,
		Message: fmt.Sprintf("MAIL from <%s> blocked \"Class Of Service\" - Too much traffic", from),
	}
}

func replyText(e *smtp.SMTPError) string {
	if e.EnhancedCode == smtp.NoEnhancedCode {
		return fmt.Sprintf("%d %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%d %d.%d.%d %s", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2], e.Message)
}

// answer replies to a message that was taken, badly where a fault says so.
func (s *submitter) answer(f lab.Fault, reply *smtp.SMTPError) error {
	switch f.Do {
	case lab.DropAfterAccept, "cutafter":
		cut(s.conn)
		return net.ErrClosed
	case lab.Truncate:
		s.write([]byte(replyText(reply))[:2])
		return net.ErrClosed
	case lab.Garbage:
		text := f.Body
		if len(text) == 0 {
			text = []byte("\x16\x03?? \xff\xfe 2+2\r\n")
		}
		s.write(text)
		return net.ErrClosed
	case lab.WrongType:
		s.write([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>\r\n"))
		return net.ErrClosed
	case lab.Huge:
		s.write(bytes.Repeat([]byte("250-2.0.0 "+strings.Repeat("a", 1012)+"\r\n"), 1<<14)) // 16 MiB
		return net.ErrClosed
	case "lateanswer":
		s.m.wait(lateAnswer)
	}
	return reply
}

// say writes a last reply and hangs up.
func (s *submitter) say(reply string) { s.write([]byte(reply + "\r\n")) }

func (s *submitter) write(b []byte) {
	_ = s.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, _ = s.conn.Write(b) // whether the client still listens is its affair
	hangUp(s.conn)
}
