package pec

import (
	"regexp"
	"strings"
	"sync"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

// KindReply is mail that answers a message of ours: its metadata alone. It stays in the mailbox, unread, for the protocol
// system or whoever else reads letters there.
const KindReply = kindPrefix + "reply"

// A Reply is the data of a KindReply event: where the letter lies. It holds nothing of what the letter says.
type Reply struct {
	Mailbox    string    `json:"mailbox"` // configured name
	Folder     string    `json:"folder"`
	Validity   uint32    `json:"uidvalidity"`
	UID        uint32    `json:"uid"`
	MessageID  string    `json:"message_id,omitempty"`     // the letter's own, without angle brackets
	ID         string    `json:"identificativo,omitempty"` // the carrier's name of the letter, where it came certified
	Answers    string    `json:"answers"`                  // what it refers to: our Message-ID, or the carrier's name of our message
	Received   time.Time `json:"received"`                 // INTERNALDATE
	Generation int       `json:"generation,omitempty"`
}

const (
	maxReferences = 100
	maxReplyID    = 250 // bytes of a Message-ID that is kept
)

var bracketed = regexp.MustCompile(`<([^<>\s]{1,250})>`)

// reply makes the event of a letter that answers one of ours, if it does. Providers put their own name in place of our
// Message-ID in what the recipient gets, so a letter may refer to either.
func (s *source) reply(at mail.Place, head mail.Head, raw []byte, got reading) (e contracts.Event, ok bool, err error) {
	headers := headersOf(raw)
	for _, root := range headers {
		for _, field := range root.fields {
			if field.name != "in-reply-to" && field.name != "references" {
				continue
			}
			for _, m := range bracketed.FindAllStringSubmatch(field.value, maxReferences) {
				ticket, generation, _ := match(m[1], s.box.address)
				if ticket == "" {
					ticket = s.in.known.whose(m[1])
				}
				if ticket == "" {
					continue
				}
				data, err := contracts.Encode(Reply{
					Mailbox: s.box.Name, Folder: at.Folder, Validity: at.Validity, UID: at.UID, Answers: m[1], Generation: generation,
					MessageID: short(headers[len(headers)-1].get("message-id")), ID: short(headers[0].get("message-id")),
					Received: head.Received.UTC(),
				})
				return contracts.Event{
					ID: s.box.Name + "/reply/" + name(at), Kind: KindReply, Ref: ticket, At: first(head.Received, s.a.env.Clock.Now()), Data: data,
				}, true, err
			}
		}
	}
	return e, false, nil
}

func short(id string) string {
	if id = unbracket(strings.TrimSpace(id)); len(id) > maxReplyID {
		return ""
	}
	return id
}

// headersOf gives a message's header and, where it is a certified one, that of the letter it carries. The message may be
// cut short.
func headersOf(raw []byte) []entity {
	root, err := readEntity(raw)
	if err != nil {
		return nil
	}
	found := []entity{root}
	if i := strings.Index(strings.ToLower(string(root.body[:min(len(root.body), skimBytes)])), "content-type: message/rfc822"); i >= 0 {
		part, err := readEntity(root.body[i:])
		if err != nil {
			return found
		}
		if letter, err := readEntity(part.body); err == nil {
			found = append(found, letter)
		}
	}
	return found
}

const maxKnown = 50_000

// Acquainted is which ticket a provider's name of a message stands for: of the acceptances that this process has read, the
// latest. A reply to an older one is an ordinary letter to us.
type acquainted struct {
	mu    sync.Mutex
	names map[string]string
	order []string // a ring
	next  int
}

func (k *acquainted) meet(_ string, got reading) {
	if id := got.receipt.Evidence.ID; id != "" && got.ref != "" && got.receipt.Evidence.Counts {
		k.add(id, got.ref)
	}
}

func (k *acquainted) add(id, ticket string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.names == nil {
		k.names = map[string]string{}
	}
	if _, ok := k.names[id]; ok {
		return
	}
	if len(k.order) < maxKnown {
		k.order = append(k.order, id)
	} else {
		delete(k.names, k.order[k.next])
		k.order[k.next] = id
		k.next = (k.next + 1) % maxKnown
	}
	k.names[id] = ticket
}

func (k *acquainted) whose(id string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.names[id]
}
