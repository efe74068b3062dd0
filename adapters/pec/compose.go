package pec

import (
	"bytes"
	"fmt"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts/delivery"
)

// protocolHeader carries the reference under which the act was recorded. It is ours; nobody must understand it.
const protocolHeader = "X-Riferimento-Protocollo"

// compose renders a message as this mailbox sends it: one From, everybody in To, no Cc and no Bcc (pec.md section 3).
func (b *mailbox) compose(id string, m delivery.Message, now time.Time, breveAbove int) ([]byte, error) {
	d := mail.Draft{
		MessageID: "<" + id + ">", Date: now, From: b.address.Reveal(), To: addresses(m),
		Subject: m.Subject.Reveal(), Text: m.Text.Reveal(), Headers: []mail.Header{{Name: "X-TipoRicevuta", Value: b.form(m, breveAbove)}},
	}
	if p := m.Protocol; p != nil {
		d.Headers = append(d.Headers, mail.Header{Name: protocolHeader, Value: fmt.Sprintf("%s/%s/%s", p.Register, p.Number, p.Day)})
	}
	for _, f := range m.Attachments {
		d.Files = append(d.Files, mail.File{Name: f.Name.Reveal(), MediaType: f.MediaType, Content: f.Content.Reveal()})
	}
	return d.Bytes()
}

// form chooses what receipts carry: nothing of a secret message; no copies of large ones, which would fill our mailbox
// once per recipient, and none where it is nearly full already.
func (b *mailbox) form(m delivery.Message, breveAbove int) string {
	switch {
	case m.Secret:
		return formShort
	case b.Receipt == formComplete && (encoded(m)*len(m.To) > breveAbove || b.gate.tight()):
		return formBrief
	}
	return b.Receipt
}

// encoded is about how many bytes a message has on the wire: base64 makes four of three and ends lines.
func encoded(m delivery.Message) int {
	size := m.Text.Len()
	for _, f := range m.Attachments {
		size += len(f.Content.Reveal()) * 137 / 100
	}
	return size
}

// leastEncoded is how many bytes a message has on the wire at least.
func leastEncoded(m delivery.Message) int64 {
	size := m.Text.Len()
	for _, f := range m.Attachments {
		size += len(f.Content.Reveal()) * 4 / 3
	}
	return int64(size)
}

// formAsked gives the form of receipts that frozen bytes ask for.
func formAsked(frozen []byte) string {
	header, _, _ := bytes.Cut(frozen, []byte("\r\n\r\n"))
	e, err := readEntity(header)
	if err != nil {
		return ""
	}
	return e.get("x-tiporicevuta")
}

func addresses(m delivery.Message) []string {
	to := make([]string, len(m.To))
	for i, r := range m.To {
		to[i] = r.Address.Reveal()
	}
	return to
}

// rendered gives the instant at which frozen bytes were made, from their Date field; zero when they have none.
func rendered(frozen []byte) time.Time {
	header, _, _ := bytes.Cut(frozen, []byte("\r\n\r\n"))
	e, err := readEntity(header)
	if err != nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC1123Z, e.get("date"))
	if err != nil {
		return time.Time{}
	}
	return at
}
