package pec

import (
	"slices"
	"strings"
	"time"
)

// Placed is one mail that came of a message, and where it went.
type Placed struct {
	Kind      Kind      `json:"kind"`
	Recipient string    `json:"recipient,omitempty"` // whom it is about, where it names one
	Mailbox   string    `json:"mailbox"`
	Folder    string    `json:"folder"`
	UID       uint32    `json:"uid,omitempty"` // as it was given; 0 when lost
	At        time.Time `json:"at"`
	Stories   []string  `json:"stories,omitempty"` // that shaped it
	// Sound is whether a receiver that goes by the book counts it: its signature holds, and it says of this message what its
	// headers say.
	Sound    bool `json:"sound"`
	Lost     bool `json:"lost,omitempty"`     // the mailbox was full
	Snatched bool `json:"snatched,omitempty"` // another reader deleted it the moment it came
}

// Reached tells whether the mail lay in the mailbox for its owner to read.
func (p Placed) Reached() bool { return !p.Lost && !p.Snatched }

// A Fate is what really happened to the submissions of one Message-ID by one mailbox, whatever the client saw.
type Fate struct {
	MessageID string      `json:"message_id"` // with its angle brackets; empty: all that had none
	Mailbox   string      `json:"mailbox"`
	First     time.Time   `json:"first,omitzero"`   // when it was first taken
	Taken     []Submitted `json:"taken"`            // each is a legal sending of its own; non-acceptances are among them, with Accepted false
	Refused   []string    `json:"refused"`          // replies to attempts that got as far as the dot and were not taken; empty: cut
	Placed    []Placed    `json:"placed,omitempty"` // in order of time, of all that were taken
}

// Sent is how many legal sendings there were.
func (f Fate) Sent() int {
	n := 0
	for _, s := range f.Taken {
		if s.Accepted {
			n++
		}
	}
	return n
}

// Has tells whether a sound receipt of a kind about a recipient (empty: any) lay in the mailbox.
func (f Fate) Has(kind Kind, recipient string) bool {
	return slices.ContainsFunc(f.Placed, func(p Placed) bool {
		return p.Kind == kind && p.Sound && p.Reached() && p.Mailbox == f.Mailbox && (recipient == "" || strings.EqualFold(recipient, p.Recipient))
	})
}

// Final is what a receiver that goes by the book, and reads everything that reached the mailbox in its order, holds to have
// become of a recipient: [Delivery], [DeliveryError], [Notice] (given up after a day, unless delivered later) or
// [NonAcceptance]; empty as long as nothing final is known, and for good for an ordinary recipient.
func (f Fate) Final(recipient string) Kind {
	var given Kind
	notices := 0
	for _, p := range f.Placed {
		about := p.Recipient == "" || strings.EqualFold(p.Recipient, recipient)
		if !p.Sound || !p.Reached() || p.Mailbox != f.Mailbox || !about {
			continue
		}
		switch p.Kind {
		case Delivery, DeliveryError, NonAcceptance:
			return p.Kind
		case Notice:
			notices++
			// The notices of 12 and of 24 hours look alike; the second is a second one, or comes late.
			if notices > 1 || p.At.Sub(f.First) >= 20*time.Hour {
				given = Notice
			}
		}
	}
	return given
}

// Truth lists the fate of every message that was ever taken, or refused after its bytes had come, in the order of its first
// attempt that was taken; those never taken come last. It survives a restart.
func (m *Mock) Truth() []Fate {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	type key struct{ id, mailbox string }
	index := make(map[key]int)
	var out []Fate
	find := func(id, mailbox string) *Fate {
		k := key{id, mailbox}
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			out = append(out, Fate{MessageID: id, Mailbox: mailbox})
		}
		return &out[i]
	}
	for _, s := range m.store.submissions {
		f := find(s.MessageID, s.Account)
		if len(f.Taken) == 0 {
			f.First = s.At
		}
		f.Taken = append(f.Taken, s.submitted())
		f.Placed = append(f.Placed, s.placed...)
	}
	for _, a := range m.store.attempts {
		f := find(a.MessageID, a.Account)
		f.Refused = append(f.Refused, a.Reply)
	}
	for i := range out {
		if len(out[i].Taken) > 1 {
			slices.SortStableFunc(out[i].Placed, func(a, b Placed) int { return a.At.Compare(b.At) })
		}
	}
	return out
}

// Lost is how many mails a mailbox lost because it was full, over all lives on this folder.
func (m *Mock) Lost(address string) int {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if b := m.store.mailboxes[strings.ToLower(address)]; b != nil {
		return b.lost
	}
	return 0
}

// Used is how many bytes a mailbox holds, and how many it may hold (0: any number).
func (m *Mock) Used(address string) (used, quota int64) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if b := m.store.mailboxes[strings.ToLower(address)]; b != nil {
		return b.used, b.quota
	}
	return 0, 0
}
