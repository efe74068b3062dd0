package pec

import (
	"raccordo/contracts/delivery"
)

// What receipts weigh, in bytes, as seen of real providers (12.5 KB without a message in them, of which the signature
// with its chain is two thirds).
const (
	receiptBytes = 13 << 10 // an acceptance, or a delivery receipt that carries nothing back
	hashBytes    = 512      // what stands for an attachment in one of form breve
)

// weights are the bytes that one message's receipts will lay into our mailbox.
type weights struct{ acceptance, deliveries int64 }

func (w weights) total() int64 { return w.acceptance + w.deliveries }

// expected is what the receipts of a message weigh that is size bytes long, encoded.
func expected(size int, m delivery.Message, form string) weights {
	each := int64(receiptBytes)
	switch form {
	case formBrief:
		each += int64(size-encoded(m)+m.Text.Len()) + int64(len(m.Attachments))*hashBytes
	case formComplete:
		each += int64(size)
	}
	return weights{receiptBytes, each * int64(len(m.To))}
}
