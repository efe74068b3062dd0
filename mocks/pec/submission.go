package pec

import (
	"cmp"
	"slices"
	"strings"
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
	Delay      time.Duration `json:"delay"`
	Sum        string        `json:"sum"`

	raw  span // the canonical bytes, in the log
	done map[int]bool
}

type recipient struct {
	Address  string `json:"address"`
	Copy     bool   `json:"copy,omitempty"`     // named in Cc only: its receipt is always sintetica
	Ordinary bool   `json:"ordinary,omitempty"` // esterno
}

func (s *submission) submitted() Submitted {
	out := Submitted{
		MessageID: s.MessageID, Identificativo: s.ID, Mailbox: s.Account, Subject: s.Subject, Sum: s.Sum, Accepted: s.Refused == "",
	}
	for _, r := range s.Recipients {
		out.Recipients = append(out.Recipients, r.Address)
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

// bears reports whether any recipient tells the given story.
func (s *submission) bears(story string) bool {
	return slices.ContainsFunc(s.Recipients, func(r recipient) bool { return scenarioOf(r.Address) == story })
}

// A step is one thing a provider will do about a message, at its time. The index is its name in the log.
type step struct {
	index  int
	at     time.Time
	kind   Kind
	reason Reason
	code   string // leading part of errore-esteso: the enhanced status code
	text   string
	to     recipient
	sender bool // signed by the sender's provider although it is about a recipient
	copies int
}

// plan lists what will happen, in order of time. It depends on the submission alone.
func (s *submission) plan() []step {
	var steps []step
	add := func(after time.Duration, st step) {
		st.at, st.index, st.copies = s.At.Add(after), len(steps), 1
		if s.bears("dup") {
			st.copies = 2
		}
		steps = append(steps, st)
	}
	if s.Refused != "" {
		code, text, _ := strings.Cut(s.Detail, " ")
		add(0, step{kind: NonAcceptance, reason: s.Refused, code: code, text: text, sender: true})
		return steps
	}
	if s.bears("mute") {
		return nil
	}
	if !s.bears("noacceptreceipt") {
		var after time.Duration
		if s.bears("reorder") {
			after = s.Delay + time.Second
		}
		add(after, step{kind: Acceptance, reason: NoError, sender: true})
	}
	for _, r := range s.Recipients {
		if !r.Ordinary {
			s.story(r, add)
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	return steps
}

// story plans what happens to one certified recipient.
func (s *submission) story(r recipient, add func(time.Duration, step)) {
	deliver := step{kind: Delivery, reason: NoError, to: r}
	fail := func(reason Reason, code, text string) step {
		return step{kind: DeliveryError, reason: reason, code: code, text: text, to: r}
	}
	// RFC 6109 has the first notice after 12 hours without any sign of the other side, the second after 24.
	first := step{kind: Notice, reason: Other, code: "4.4.7", text: "il messaggio non risulta consegnato nelle prime dodici ore", to: r, sender: true}
	second := step{kind: Notice, reason: Other, code: "5.4.1", text: "il messaggio non risulta consegnato nelle ventiquattro ore", to: r, sender: true}
	if _, ok := hostOf(r.Address); !ok {
		st := fail(NoDomain, "5.1.2", "dominio inesistente")
		st.sender = true
		add(s.Delay, st)
		return
	}
	switch scenarioOf(r.Address) {
	case "nodest":
		add(s.Delay, fail(NoMailbox, "5.1.1", "indirizzo non valido"))
	case "full":
		add(s.Delay, fail(Other, "5.2.2", "casella piena"))
	case "toobig":
		add(s.Delay, fail(Other, "5.2.3", "messaggio troppo grande per la casella"))
	case "virus":
		st := fail(Virus, "5.7.1", "rilevato Test.Signature")
		st.sender = true
		add(s.Delay, st)
	case "slow":
		add(3*time.Hour, deliver)
	case "timeout12":
		add(12*time.Hour, first)
		add(15*time.Hour, deliver)
	case "timeout24":
		add(12*time.Hour, first)
		add(24*time.Hour, second)
	case "late":
		add(24*time.Hour, second)
		add(30*time.Hour, deliver)
	case "never":
	default:
		add(s.Delay, deliver)
	}
}
