// Package deliverytest is the conformance suite of the need to deliver a message with legal value: what every Carrier
// must do, whatever carries the messages.
package deliverytest

import (
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

// A Harness is a carrier under test and the recipients of the cast, each named for what becomes of a message to it. A
// zero address declares that the far side has no such story: the case is then skipped with that reason.
type Harness struct {
	contracttest.Harness

	Sender string // the role that speaks; required
	// Message is the Far.Sent pattern under which a message that was handed over is counted: "pec smtp message".
	Message string

	Delivered     contracts.Address // delivered within minutes; required
	DeliveredToo  contracts.Address // another, at another provider
	Refused       contracts.Address // a certified domain without that mailbox
	Full          contracts.Address // a mailbox that is full
	Virus         contracts.Address // refused for a virus
	TooBig        contracts.Address // refused for its size
	UnknownDomain contracts.Address // no provider serves the domain
	Uncertified   contracts.Address // ordinary mail: no proof will ever come
	NotAccepted   contracts.Address // the sender's own provider refuses the message
	NoAcceptance  contracts.Address // delivered, but the acceptance receipt never comes
	Slow          contracts.Address // delivered within hours, without a notice
	Timeout12     contracts.Address // delivered after the notice of 12 hours
	Timeout24     contracts.Address // never delivered: both notices come
	Late          contracts.Address // delivered after the notice of 24 hours
	Never         contracts.Address // accepted, and nothing more is ever heard
	Mute          contracts.Address // nothing at all is ever heard
	Duplicated    contracts.Address // each receipt comes twice
	Reordered     contracts.Address // delivery comes before acceptance

	// Kept gives everything that is at rest for a ticket, unsealed; nil: the front cannot show it.
	Kept func(ticket string) [][]byte
	// Span is how far the clock is moved before silence counts as silence; zero: 72 hours.
	Span time.Duration
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	switch {
	case h.Sender == "":
		t.Fatal("harness: Sender is required")
	case h.Submitter() == nil:
		t.Fatal("harness: Runner must be a contracts.Submitter: a message is followed by its ticket")
	case h.Far != nil && h.Message == "":
		t.Fatal("harness: Message is required: without it nobody can count what was sent")
	case h.Delivered.IsZero():
		t.Fatal("harness: Delivered is required: a carrier that delivers nothing proves nothing")
	}
	contracttest.Run(t, h.Harness, Cases(h))
}
