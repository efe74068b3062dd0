package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"

	"github.com/emersion/go-smtp"

	"raccordo/contracts"
)

// A Phase is how far a submission had come when it failed. What a caller may conclude follows from it.
type Phase uint8

// The phases, in order.
const (
	PhaseConnect   Phase = iota // connection, greeting, TLS
	PhaseAuth                   // AUTH
	PhaseSender                 // MAIL
	PhaseRecipient              // RCPT
	PhaseStart                  // DATA up to the server's go-ahead: no byte of the message has left
	PhaseData                   // the message's bytes are leaving
	PhaseDot                    // the final dot may have left, its reply has not come
)

// String names the phase, as it stands in errors.
func (p Phase) String() string {
	switch p {
	case PhaseConnect:
		return "connect"
	case PhaseAuth:
		return "auth"
	case PhaseSender:
		return "sender"
	case PhaseRecipient:
		return "recipient"
	case PhaseStart:
		return "start of data"
	case PhaseData:
		return "data"
	case PhaseDot:
		return "final dot"
	}
	return fmt.Sprintf("phase(%d)", uint8(p))
}

// A Reply is what an SMTP server answered. Its text may name somebody and prints as its length.
type Reply struct {
	Code     int    // 250, 550; zero when there was none
	Enhanced string // RFC 3463: "5.1.1"; empty when the server gave none
	Text     contracts.Private
}

// Status is the code with the enhanced code: "550 5.1.1".
func (r Reply) Status() string {
	switch {
	case r.Code == 0:
		return ""
	case r.Enhanced == "":
		return fmt.Sprintf("%d", r.Code)
	}
	return fmt.Sprintf("%d %s", r.Code, r.Enhanced)
}

// A Pattern picks replies out by code and text. Some providers dress their rate limit as a permanent 550.
type Pattern struct {
	Code int
	Text *regexp.Regexp
}

func (p Pattern) match(r Reply) bool { return p.Code == r.Code && p.Text.MatchString(r.Text.Reveal()) }

// A Failure is a submission that did not end in 250: either the server refused (Reply is set) or the connection broke.
type Failure struct {
	Phase     Phase
	Reply     Reply
	Recipient int   // index in Envelope.To of the one refused; -1 when it is not about one
	Err       error // what broke, when there is no reply; it holds no text of the server's
}

// Error names phase and code; never an address, never the server's text.
func (f *Failure) Error() string {
	text := "smtp " + f.Phase.String()
	if f.Recipient >= 0 {
		text += fmt.Sprintf(" (to[%d])", f.Recipient)
	}
	if f.Reply.Code != 0 {
		return text + ": refused with " + f.Reply.Status()
	}
	if f.Err != nil {
		return text + ": " + f.Err.Error()
	}
	return text + ": failed"
}

// Unwrap gives the cause of a broken connection.
func (f *Failure) Unwrap() error { return f.Err }

// Sent reports whether bytes of the message may have left.
func (f *Failure) Sent() bool { return f.Phase >= PhaseData }

// Kind is what the caller may conclude (RFC 5321 section 4.2.1; transient lists replies that lie about being permanent):
//
//   - no reply once the message's bytes were leaving: Uncertain, never to be repeated;
//   - no reply before: Unavailable, Malformed when the server spoke no SMTP, Canceled when the caller gave up;
//   - 530, 534, 535, 538 (RFC 4954): Denied;
//   - a transient pattern: Throttled; other 4xx: Unavailable; 5xx: Invalid, but Denied before a recipient was named, for
//     then it is the mailbox that is refused. Nothing was taken.
func (f *Failure) Kind(transient []Pattern) contracts.Kind {
	r := f.Reply
	if r.Code == 0 {
		var spoke *notSMTP
		var ours *contracts.Error
		switch {
		case !f.Sent() && errors.As(f.Err, &ours): // the secret's reader, or depart
			return ours.Kind
		case f.Sent():
			return contracts.Uncertain
		case errors.Is(f.Err, context.Canceled), errors.Is(f.Err, context.DeadlineExceeded):
			return contracts.Canceled
		case errors.As(f.Err, &spoke):
			return contracts.Malformed
		}
		return contracts.Unavailable
	}
	for _, p := range transient {
		if p.match(r) {
			return contracts.Throttled
		}
	}
	switch {
	case r.Code == 530, r.Code == 534, r.Code == 535, r.Code == 538:
		return contracts.Denied
	case r.Code < 500:
		return contracts.Unavailable
	case f.Phase <= PhaseSender && !f.TooBig():
		return contracts.Denied
	}
	return contracts.Invalid
}

// TooBig reports whether the server refuses the message for its size (RFC 1870, RFC 3463 X.2.3 and X.3.4).
func (f *Failure) TooBig() bool {
	return f.Reply.Code == 552 || f.Reply.Enhanced == "5.3.4" || f.Reply.Enhanced == "5.2.3"
}

// OfMailbox reports whether the failure speaks of the mailbox or its server, so that any other message would have met it
// too: nothing was heard, the log-in or the sender was refused, the server is going away (421) or limits the rate
// (transient). Nothing else about a recipient or a message's bytes is. What gave up on our side is not.
func (f *Failure) OfMailbox(transient []Pattern) bool {
	r := f.Reply
	if r.Code == 0 {
		var ours *contracts.Error // the secret's reader, or depart
		return !errors.As(f.Err, &ours) && !errors.Is(f.Err, context.Canceled) && !f.Sent() || f.Phase == PhaseAuth
	}
	for _, p := range transient {
		if p.match(r) {
			return true
		}
	}
	switch r.Code {
	case 421, 530, 534, 535, 538:
		return true
	}
	return f.Phase <= PhaseSender && !f.TooBig()
}

// stale reports whether a kept connection had ended before this message: closed, or with the 421 of a server that does
// not wait any longer.
func (f *Failure) stale() bool {
	return f.Phase == PhaseSender && (f.Reply.Code == 0 || f.Reply.Code == 421)
}

// A notSMTP stands for bytes that are no SMTP reply; the library's text would quote them.
type notSMTP struct{}

func (*notSMTP) Error() string { return "the answer is no SMTP reply" }

// failure sorts a library error into reply or breakage. ctx's error wins over what closing the connection looked like.
func failure(ctx context.Context, phase Phase, err error) *Failure {
	f := &Failure{Phase: phase, Recipient: -1}
	var refused *smtp.SMTPError
	var garbage textproto.ProtocolError
	switch {
	case errors.As(err, &refused):
		f.Reply = Reply{Code: refused.Code, Text: contracts.NewPrivate(refused.Message)}
		if e := refused.EnhancedCode; e[0] > 0 {
			f.Reply.Enhanced = fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
		}
		if refused.Code < 400 { // a reply out of place says nothing about the message
			f.Reply, f.Err = Reply{}, &notSMTP{}
		}
	case ctx.Err() != nil:
		f.Err = ctx.Err()
	case errors.As(err, &garbage), errors.As(err, new(*notSMTP)):
		f.Err = &notSMTP{}
	default:
		f.Err = broken(err)
	}
	return f
}

// broken keeps what a network error says and hides any other text, which may quote the peer.
func broken(err error) error {
	var netErr net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return fmt.Errorf("connection: %s: %w", op.Op, op.Err)
	case errors.As(err, &netErr) && netErr.Timeout():
		return errors.New("connection: timed out")
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	}
	return fmt.Errorf("connection lost (%T)", err)
}
