package pec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Put lays raw bytes into a folder of a mailbox as they are: foreign mail, a receipt replayed with other headers, a
// forgery. Lines are made to end in CRLF.
func (m *Mock) Put(address, folder string, raw []byte) error {
	address, now := strings.ToLower(address), m.clock.Now()
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if m.store.folder(address, folder) == nil {
		return fmt.Errorf("pec: put: no such folder")
	}
	_, err := m.store.deliverLocked("", -1, now, []letter{{account: address, folder: folderName(folder), raw: canonical(raw)}})
	return err
}

// DeliverAnomaly wraps a message that is no certified mail (an ordinary bounce, say) into an anomaly envelope, signed by
// the mailbox's provider, and puts it into its INBOX.
func (m *Mock) DeliverAnomaly(address string, raw []byte) error {
	if _, ok := hostOf(address); !ok {
		return fmt.Errorf("pec: deliver anomaly: the mailbox is in no certified domain")
	}
	out, err := m.anomaly(address, raw)
	if err != nil {
		return err
	}
	return m.Put(address, inbox, out)
}

// anomaly writes an anomaly envelope around a message.
func (m *Mock) anomaly(address string, raw []byte) ([]byte, error) {
	issuer, _ := hostOf(address)
	raw = canonical(raw)
	h, _ := splitMessage(raw)
	now := m.clock.Now().In(m.zone)
	sender, err := addresses(h.all("From"))
	if err != nil || len(sender) == 0 {
		sender = []string{"mailer-daemon@" + OrdinaryDomain}
	}
	sh := sheet{
		doc:  document{kind: Anomaly, issuer: issuer, at: now},
		id:   fmt.Sprintf("anomalia%d.%s.%d@%s", issuer.index+1, now.Format("20060102150405"), len(raw), issuer.domain),
		from: fmt.Sprintf("%q <%s>", "Per conto di: "+sender[0], issuer.from()), replyTo: sender[0],
		to: []string{address}, subject: decoded(h.get("Subject")), original: bytes.Clone(raw),
		text: "Anomalia nel messaggio\n\n" + stamp(now) + " è stato ricevuto un messaggio che non è di posta certificata; è allegato.\n",
	}
	return m.signed(sh, m.shape(&submission{Account: strings.ToLower(address)}, step{}))
}

// bounce is what an ordinary server sends when it cannot deliver (RFC 3464).
func bounce(s *submission, to string, at time.Time) []byte {
	return fmt.Appendf(nil, "From: MAILER-DAEMON@%s\r\nTo: %s\r\nSubject: Undelivered Mail Returned to Sender\r\nDate: %s\r\n"+
		"Message-ID: <rimbalzo.%05d@%s>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"rapporto\"\r\n\r\n"+
		"--rapporto\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThe message could not be delivered.\r\n"+
		"--rapporto\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.%s\r\n\r\nFinal-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: 5.1.1\r\n"+
		"--rapporto\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <%s>\r\nX-Riferimento-Message-ID: %s\r\n\r\n--rapporto--\r\n",
		OrdinaryDomain, s.Account, at.Format(time.RFC1123Z), s.N, OrdinaryDomain, OrdinaryDomain, to, s.ID, s.MessageID)
}

// An Extra is a receipt out of the ordinary course: an error after a delivery, a second acceptance, a document that only
// providers exchange.
type Extra struct {
	Identificativo string   `json:"identificativo"`      // of the message it is about
	Kind           Kind     `json:"kind"`                // any but Transport and Anomaly
	Recipient      string   `json:"recipient,omitempty"` // the one it is about; empty where the kind names none
	Reason         Reason   `json:"reason,omitempty"`    // empty: nessuno
	Code           string   `json:"code,omitempty"`      // errore-esteso: its enhanced status code
	Text           string   `json:"text,omitempty"`      // and what follows
	As             string   `json:"as,omitempty"`        // another identificativo to claim; empty: the true one
	Dress          Kind     `json:"dress,omitempty"`     // what the outer header says it is; empty: what it is
	Stories        []string `json:"stories,omitempty"`   // such as "expired", "badsig", "foreign", "unknowntipo", "huge"; see [Stories]
}

// Issue puts an extra receipt into the sender's mailbox, signed by the provider that the kind calls for.
func (m *Mock) Issue(e Extra) error {
	m.store.mu.Lock()
	s := m.store.byID[e.Identificativo]
	m.store.mu.Unlock()
	if s == nil {
		return fmt.Errorf("pec: issue: no message has this identificativo")
	}
	kinds := []Kind{Acceptance, NonAcceptance, TakingCharge, Delivery, DeliveryError, Notice, VirusFound}
	if !slices.Contains(kinds, e.Kind) || e.Dress != "" && !slices.Contains(kinds, e.Dress) {
		return fmt.Errorf("pec: issue: %q dressed as %q is not a receipt", e.Kind, e.Dress)
	}
	for _, name := range e.Stories {
		if scope := scopeOf(name); scope != OfReceipts && scope != OfMessage && scope != OfRecipient {
			return fmt.Errorf("pec: issue: %q is no story about a receipt", name)
		}
	}
	if e.Reason == "" {
		e.Reason = NoError
		if e.Kind == VirusFound {
			e.Reason = Virus
		}
	}
	m.mu.Lock()
	m.extras++
	index := 1000 + m.extras // beyond any plan
	m.mu.Unlock()
	st := step{
		index: index, kind: e.Kind, reason: e.Reason, code: e.Code, text: e.Text, to: recipient{Address: e.Recipient},
		again: e.As, dress: e.Dress, stories: slices.Clone(e.Stories), foreign: slices.Contains(e.Stories, "foreign"),
	}
	if e.Dress != "" {
		st.stories = append(st.stories, "header")
	}
	switch e.Kind {
	case Acceptance, NonAcceptance, Notice:
		st.sender = true
	}
	now := m.clock.Now()
	raw, err := m.receipt(s, st, now)
	if err != nil {
		return err
	}
	_, err = m.store.deliver(s.ID, -1, now, []letter{{
		account: s.Account, folder: inbox, raw: raw, kind: e.Kind, to: e.Recipient, stories: m.shaping(s, st),
		snatched: m.use(s.Account, func(c *Condition) *int { return &c.Snatch }),
	}})
	return err
}
