// Package delivery is the need to deliver a message with legal value and to prove it: today by PEC, tomorrow by
// another carrier. Terms run from the delivery receipt, so a lost receipt is a lost right and a message sent twice is a
// second legal act.
//
// Law: D.P.R. 68/2005 (PEC), D.lgs. 82/2005 art. 48; RFC 6109 for what PEC receipts mean.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"time"

	"raccordo/contracts"
)

// A BasisKind says why an address may be used for this act.
type BasisKind string

// The bases. A register vouched for the address at an instant; the party elected it in the application; it is the
// published address of an office.
const (
	FromRegister BasisKind = "register"
	Elected      BasisKind = "elected"
	Office       BasisKind = "office"
)

// A Basis is why an address may be used. Register and At are required with FromRegister.
type Basis struct {
	Kind     BasisKind `json:"kind"`
	Register string    `json:"register,omitempty"` // "INI-PEC", "INAD"
	At       time.Time `json:"at,omitzero"`        // the instant the register answered for
}

// A Recipient is an address and its basis. The hub never replaces an address.
type Recipient struct {
	Address contracts.Address `json:"address"`
	Basis   Basis             `json:"basis"`
}

// A Protocol is the reference under which the act was recorded (protocollo informatico, D.P.R. 445/2000 art. 53).
type Protocol struct {
	Register string `json:"register"` // code of the administration or of its registration area
	Number   string `json:"number"`
	Day      string `json:"day"` // yyyy-mm-dd
}

// An Attachment is a file that travels with the message.
type Attachment struct {
	Name      contracts.Private `json:"name"`
	MediaType string            `json:"media_type"`
	Content   contracts.Blob    `json:"content"`
	Digest    contracts.Sum     `json:"digest,omitzero"` // filled where the content was erased
}

// A Message is what to deliver.
type Message struct {
	Sender      string            `json:"sender"` // the role that speaks, and so which pool of mailboxes: "centrale"
	To          []Recipient       `json:"to"`
	Protocol    *Protocol         `json:"protocol,omitempty"` // where the act has one
	Subject     contracts.Private `json:"subject"`
	Text        contracts.Private `json:"text"`
	Attachments []Attachment      `json:"attachments,omitempty"`
	// Secret asks for receipts that do not carry the message back; when the message is settled its bytes are erased
	// and only their digest stays.
	Secret bool `json:"secret,omitempty"`
	// Digest stands in the place of an erased text; callers leave it empty.
	Digest contracts.Sum `json:"digest,omitzero"`
}

// Limits of a message, before encoding.
const (
	MaxRecipients  = 50
	MaxSubject     = 500      // bytes
	MaxText        = 1 << 20  // bytes
	MaxAttachments = 20       // files
	MaxContent     = 20 << 20 // bytes of all attachments: base64 and the law's floor of 30 MB for a whole message
)

// Validate names every missing or wrong field, never a value.
func (m Message) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Sender == "" {
		fault("sender: missing")
	}
	if len(m.To) == 0 || len(m.To) > MaxRecipients {
		fault("to: want 1 to %d recipients", MaxRecipients)
	}
	for i, r := range m.To {
		if r.Address.IsZero() {
			fault("to[%d].address: missing", i)
		}
		for _, other := range m.To[:i] {
			if other.Address.Equal(r.Address) {
				fault("to[%d].address: stands twice", i)
			}
		}
		switch r.Basis.Kind {
		case FromRegister:
			if r.Basis.Register == "" || r.Basis.At.IsZero() {
				fault("to[%d].basis: want register and at, since a register is the basis", i)
			}
		case Elected, Office:
		default:
			fault("to[%d].basis.kind: want %s, %s or %s", i, FromRegister, Elected, Office)
		}
	}
	if m.Subject.IsZero() || m.Subject.Len() > MaxSubject {
		fault("subject: want 1 to %d bytes", MaxSubject)
	}
	if hasControl(m.Subject.Reveal(), "") {
		fault("subject: control character")
	}
	if m.Text.Len() > MaxText {
		fault("text: more than %d bytes", MaxText)
	}
	if hasControl(m.Text.Reveal(), "\r\n\t") {
		fault("text: control character")
	}
	if len(m.Attachments) > MaxAttachments {
		fault("attachments: more than %d", MaxAttachments)
	}
	total := 0
	for i, a := range m.Attachments {
		if a.Name.IsZero() || hasControl(a.Name.Reveal(), "") {
			fault("attachments[%d].name: missing or with control characters", i)
		}
		if _, _, err := mime.ParseMediaType(a.MediaType); err != nil || hasControl(a.MediaType, "") {
			fault("attachments[%d].media_type: want a media type", i)
		}
		if !a.Digest.IsZero() {
			fault("attachments[%d].digest: leave it empty", i)
		}
		total += len(a.Content.Reveal())
	}
	if total > MaxContent {
		fault("attachments: more than %d bytes in all", MaxContent)
	}
	if !m.Digest.IsZero() {
		fault("digest: leave it empty") // with it a secret would pass for one that is already erased
	}
	if p := m.Protocol; p != nil {
		if _, err := time.Parse(time.DateOnly, p.Day); err != nil || p.Register == "" || p.Number == "" ||
			hasControl(p.Register+p.Number, "") {
			fault("protocol: want register, number and day (yyyy-mm-dd)")
		}
	}
	return errors.Join(errs...)
}

// LogValue masks in logs.
func (m Message) LogValue() slog.Value { return contracts.LogText(m) }

func hasControl(s, allowed string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			ok := false
			for _, a := range allowed {
				ok = ok || a == r
			}
			if !ok {
				return true
			}
		}
	}
	return false
}

// Redacted gives a secret message without subject, text and contents; their digests take their place.
func (m Message) Redacted() (any, bool) {
	if !m.Secret || !m.Digest.IsZero() {
		return m, false
	}
	m.Digest = contracts.SumOf([]byte(m.Text.Reveal()))
	m.Text = contracts.Private{}
	m.Subject = contracts.Private{}
	files := make([]Attachment, len(m.Attachments))
	for i, a := range m.Attachments {
		files[i] = Attachment{Name: a.Name, MediaType: a.MediaType, Digest: a.sum()}
	}
	m.Attachments = files
	return m, true
}

// Slim gives a message with files without their contents; their digests take their place.
func (m Message) Slim() (any, bool) {
	if len(m.Attachments) == 0 {
		return m, false
	}
	files := make([]Attachment, len(m.Attachments))
	for i, a := range m.Attachments {
		files[i] = Attachment{Name: a.Name, MediaType: a.MediaType, Digest: a.sum()}
	}
	m.Attachments = files
	return m, true
}

// sum is the digest of the contents, also where they are gone.
func (a Attachment) sum() contracts.Sum {
	if !a.Digest.IsZero() {
		return a.Digest
	}
	return contracts.SumOf(a.Content.Reveal())
}

// A Status is where one recipient stands.
type Status string

// The statuses. Delivered, Failed, TimedOut and Uncertified are ends; TimedOut may still become Delivered, with Late.
const (
	Sent        Status = "sent"         // submitted, no receipt yet
	Accepted    Status = "accepted"     // the sender's provider took charge
	Delayed     Status = "delayed"      // 12 hours without delivery
	Delivered   Status = "delivered"    // the delivery receipt is here: terms run from its instant
	Failure     Status = "failed"       // a notice of non-delivery is here
	TimedOut    Status = "timed_out"    // 24 hours without delivery
	Uncertified Status = "uncertified"  // not a PEC mailbox: no proof will ever come
	NotAccepted Status = "not_accepted" // the sender's provider refused the message: nobody received it
)

// Final reports whether no further receipt is due.
func (s Status) Final() bool {
	switch s {
	case Delivered, Failure, TimedOut, Uncertified, NotAccepted:
		return true
	}
	return false
}

// A Delivery is where one recipient stands and why.
type Delivery struct {
	Address contracts.Address `json:"address"`
	Status  Status            `json:"status"`
	Reason  string            `json:"reason,omitempty"` // UNKNOWN_MAILBOX, UNKNOWN_DOMAIN, MAILBOX_FULL, TOO_BIG, VIRUS, TIMEOUT, OTHER
	Code    string            `json:"code,omitempty"`   // the provider's enhanced status code: "5.1.1"
	At      time.Time         `json:"at,omitzero"`      // the instant of the receipt that decided
	Flags   []string          `json:"flags,omitempty"`  // LATE, CONFLICT
}

// A Dispatch is what became of a message: the answer so far while receipts are due.
type Dispatch struct {
	MessageID  string        `json:"message_id"`           // ours, with angle brackets
	IDs        []string      `json:"ids,omitempty"`        // the provider's identificativi: two for one message prove a double sending
	Mailbox    string        `json:"mailbox,omitempty"`    // the configured name of the mailbox that sent it
	Sum        contracts.Sum `json:"sum,omitzero"`         // digest of the bytes that left: what stays of a secret message
	Submitted  time.Time     `json:"submitted,omitzero"`   // the server's 250 to the final dot
	AcceptedAt time.Time     `json:"accepted_at,omitzero"` // instant in the acceptance receipt
	Recipients []Delivery    `json:"recipients,omitempty"` // in the message's order
	Flags      []string      `json:"flags,omitempty"`      // DOUBLE_SUBMISSION, CONFLICT, ACCEPTANCE_MISSING, CLOCK, ADDRESS_CASE
	Seen       []string      `json:"seen,omitempty"`       // keys of the receipts already counted, so that a repeated one changes nothing
	LastNotice time.Time     `json:"last_notice,omitzero"` // instant of the latest notice of delay
}

// Delivered reports whether every recipient has a delivery receipt.
func (d Dispatch) Delivered() bool {
	for _, r := range d.Recipients {
		if r.Status != Delivered {
			return false
		}
	}
	return len(d.Recipients) > 0
}

// Final reports whether no recipient's receipt is due any more.
func (d Dispatch) Final() bool {
	for _, r := range d.Recipients {
		if !r.Status.Final() {
			return false
		}
	}
	return len(d.Recipients) > 0
}

// LogValue masks in logs.
func (d Dispatch) LogValue() slog.Value { return contracts.LogText(d) }

// A Carrier delivers messages with legal value.
type Carrier interface {
	// Send hands the message over and answers once every recipient's outcome is known. It has effect Once: callers go
	// by ticket and hear of each receipt as an event.
	Send(ctx context.Context, m Message) (Dispatch, error)
}

// OpSend hands a message over. One pool per sender role: as many of its messages are in flight as it has mailboxes free.
var OpSend = contracts.NewOp[Message, Dispatch]("delivery.send", contracts.Once).InLane(func(m Message) contracts.Lane {
	return contracts.Lane{Name: m.Sender, Rule: contracts.Pooled}
})

// Ops lists the operations of this need.
func Ops() []*contracts.OpInfo { return []*contracts.OpInfo{OpSend.OpInfo} }

// Via is a Carrier that asks through r.
func Via(r contracts.Runner) Carrier { return via{r} }

type via struct{ r contracts.Runner }

func (v via) Send(ctx context.Context, m Message) (Dispatch, error) {
	return contracts.Do(ctx, v.r, OpSend, m)
}
