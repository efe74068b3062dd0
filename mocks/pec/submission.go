package pec

import (
	"slices"
	"time"
)

// Submitted is one message as an access point took it. It is what the journal's "smtp message" lines carry in Parsed, and
// what [Mock.Accepted] lists.
type Submitted struct {
	MessageID      string   // the client's, with its angle brackets; empty when the client sent none
	Identificativo string   // the provider's own; empty when the message was refused on the wire
	Mailbox        string   // the account that sent it
	Recipients     []string // the forward paths, as given
	Subject        string   // decoded
	Sum            string   // SHA-256, in hex, of the bytes between DATA and the final dot, before any repair
	Accepted       bool     // passed the access point's checks; false: refused on the wire or by a non-acceptance notice
	Stories        []string // told of the message and its recipients; see [Stories]
}

// A submission is a message taken with 250, as the log keeps it. Everything that later happens follows from it, so a
// restarted mock goes on where the last one stopped.
type submission struct {
	N          int           `json:"n"`
	ID         string        `json:"id"`
	At         time.Time     `json:"at"`
	Provider   int           `json:"provider"`
	Account    string        `json:"account"`
	MessageID  string        `json:"message_id,omitempty"`
	Subject    string        `json:"subject,omitempty"`
	ReplyTo    string        `json:"reply_to,omitempty"`
	Receipt    string        `json:"receipt"`
	Recipients []recipient   `json:"recipients"`
	Refused    Reason        `json:"refused,omitempty"` // of the non-acceptance; empty when accepted
	Detail     string        `json:"detail,omitempty"`
	Rule       string        `json:"rule,omitempty"` // the check that failed, in words
	Altered    bool          `json:"altered,omitempty"`
	Stories    []string      `json:"stories,omitempty"` // of the message, its receipts and the sender's mailbox
	Delay      time.Duration `json:"delay"`
	Sum        string        `json:"sum"`

	raw    span     // the canonical bytes, in the log
	done   []int32  // steps taken; few, and of very many messages
	placed []Placed // what came of it
}

type recipient struct {
	Address  string `json:"address"`
	Copy     bool   `json:"copy,omitempty"`     // named in Cc only: its receipt is always sintetica
	Ordinary bool   `json:"ordinary,omitempty"` // esterno
	Story    string `json:"story,omitempty"`    // what becomes of it; empty: the best
}

func (s *submission) submitted() Submitted {
	out := Submitted{
		MessageID: s.MessageID, Identificativo: s.ID, Mailbox: s.Account, Subject: s.Subject, Sum: s.Sum, Accepted: s.Refused == "",
	}
	out.Stories = slices.Clone(s.Stories)
	for _, r := range s.Recipients {
		out.Recipients = append(out.Recipients, r.Address)
		if r.Story != "" && !slices.Contains(out.Stories, r.Story) {
			out.Stories = append(out.Stories, r.Story)
		}
	}
	return out
}

// receiptFor is the kind of delivery receipt that the recipient's provider sends.
func (s *submission) receiptFor(r recipient) string {
	if r.Copy {
		return "sintetica"
	}
	return s.Receipt
}

// bears tells whether a story is told of the message.
func (s *submission) bears(story string) bool { return slices.Contains(s.Stories, story) }

// took tells whether a step was taken.
func (s *submission) took(step int) bool { return slices.Contains(s.done, int32(step)) }
