package pec

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// resume takes up the steps that a former life on the same folder left undone: what is overdue happens now.
func (m *Mock) resume() {
	m.store.mu.Lock()
	subs := append([]*submission(nil), m.store.submissions...)
	m.store.mu.Unlock()
	for _, s := range subs {
		m.follow(s)
	}
}

// follow takes the due steps of a submission and leaves the others to the clock.
func (m *Mock) follow(s *submission) {
	now := m.clock.Now()
	for _, st := range s.plan() {
		if m.taken(s, st) {
			continue
		}
		if !st.at.After(now) {
			m.take(s, st)
			continue
		}
		m.later(s, st)
	}
}

func (m *Mock) taken(s *submission, st step) bool {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	return s.done[st.index]
}

// later has a step taken by the clock.
func (m *Mock) later(s *submission, st step) {
	key := fmt.Sprintf("%s %d", s.ID, st.index)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.timers[key] = m.clock.At(st.at, func() {
		m.mu.Lock()
		delete(m.timers, key)
		closed := m.closed
		m.mu.Unlock()
		if !closed {
			m.take(s, st)
		}
	})
}

// take does one step: writes and signs what it yields and puts it into the mailboxes, in one record.
func (m *Mock) take(s *submission, st step) {
	now := m.clock.Now()
	letters, err := m.letters(s, st, now)
	if err != nil {
		m.report(err)
		return
	}
	_, err = m.store.deliver(s.ID, st.index, now, letters)
	m.report(err)
}

// letters writes what a step puts into mailboxes.
func (m *Mock) letters(s *submission, st step, now time.Time) ([]letter, error) {
	var out []letter
	if st.kind == Delivery && m.reads(st.to.Address) {
		raw, err := m.envelope(s, st, now)
		if err != nil {
			return nil, err
		}
		out = append(out, letter{account: strings.ToLower(st.to.Address), folder: inbox, raw: raw})
	}
	raw, err := m.receipt(s, st, now)
	if err != nil {
		return nil, err
	}
	for i := range st.copies {
		if i > 0 && st.kind != Acceptance {
			// A second copy took another way: the outer header differs, what is signed does not.
			raw = append([]byte("Received: from ritardo.test (ritardo.test [192.0.2.30]);\r\n\t"+now.In(m.zone).Format(time.RFC1123Z)+"\r\n"), raw...)
		}
		out = append(out, letter{account: s.Account, folder: inbox, raw: raw})
	}
	return out, nil
}

// reads tells whether somebody can log into a mailbox.
func (m *Mock) reads(address string) bool {
	for _, a := range m.accounts {
		if strings.EqualFold(a.Address, address) {
			return true
		}
	}
	return false
}

// receipt writes and signs one receipt about a submission.
func (m *Mock) receipt(s *submission, st step, now time.Time) ([]byte, error) {
	m.mu.Lock()
	variant, q := m.sw.certificate, m.sw.quirks
	m.mu.Unlock()
	issuer := providers()[s.Provider]
	if host, ok := hostOf(st.to.Address); ok && !st.sender {
		issuer = host
	}
	d := document{kind: st.kind, reason: st.reason, issuer: issuer, at: now.In(m.zone), message: s, recipient: st.to.Address}
	if d.reason == NoMailbox && q.OldNoDest {
		d.reason = Other
	}
	if st.code != "" {
		d.detail = detail(st.code, issuer, st.text)
	}
	switch st.kind {
	case Delivery:
		d.receipt = s.receiptFor(st.to)
	case DeliveryError, Notice:
		d.only = q.OnlyFailed
	case TakingCharge:
		d.recipient, d.received = "", hostedBy(issuer, s.Recipients)
	}
	sh := sheet{
		doc: d, subject: s.Subject, text: d.text(), to: []string{s.Account},
		id: fmt.Sprintf("ric%d.%s.%05d.%d@%s", issuer.index+1, d.at.Format("20060102150405"), s.N, st.index+2, issuer.domain),
	}
	if d.receipt == "completa" || d.receipt == "breve" {
		raw, err := m.store.log.bytes(s.raw)
		if err != nil {
			return nil, err
		}
		sh.original = transported(s, raw, m.zone)
		if d.receipt == "breve" {
			sh.original = shorten(sh.original, q.EncodedHashes)
		}
	}
	return m.signed(sh, variant, q, s.Altered)
}

func hostedBy(p provider, all []recipient) (out []string) {
	for _, r := range all {
		if host, ok := hostOf(r.Address); ok && host.index == p.index {
			out = append(out, r.Address)
		}
	}
	return out
}

// envelope writes the transport envelope: the original as the recipient gets it, signed by the sender's provider.
func (m *Mock) envelope(s *submission, st step, now time.Time) ([]byte, error) {
	m.mu.Lock()
	variant, q := m.sw.certificate, m.sw.quirks
	m.mu.Unlock()
	raw, err := m.store.log.bytes(s.raw)
	if err != nil {
		return nil, err
	}
	issuer := providers()[s.Provider]
	d := document{
		kind: Transport, reason: NoError, issuer: issuer, at: now.In(m.zone), message: s, receipt: s.receiptFor(st.to),
	}
	return m.signed(sheet{
		doc: d, id: s.ID, subject: s.Subject, text: d.text(), to: []string{st.to.Address}, replyTo: s.Account,
		from:     fmt.Sprintf("%q <%s>", "Per conto di: "+s.Account, issuer.from()),
		original: transported(s, raw, m.zone),
	}, variant, q, s.Altered)
}

func (m *Mock) signed(sh sheet, variant Certificate, q Quirks, altered bool) ([]byte, error) {
	by, err := m.pki.signer(sh.doc.issuer.index, variant)
	if err != nil {
		return nil, err
	}
	return sh.render(by, variant, q, altered)
}

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
	issuer, ok := hostOf(address)
	if !ok {
		return fmt.Errorf("pec: deliver anomaly: the mailbox is in no certified domain")
	}
	m.mu.Lock()
	variant, q := m.sw.certificate, m.sw.quirks
	m.mu.Unlock()
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
	out, err := m.signed(sh, variant, q, false)
	if err != nil {
		return err
	}
	return m.Put(address, inbox, out)
}

// An Extra is a receipt out of the ordinary course: an error after a delivery, a second acceptance, a document that only
// providers exchange.
type Extra struct {
	Identificativo string // of the message it is about
	Kind           Kind   // any but Transport and Anomaly
	Recipient      string // the one it is about; empty where the kind names none
	Reason         Reason // empty: nessuno
	Code, Text     string // errore-esteso
	As             string // another identificativo to claim; empty: the true one
}

// Issue puts an extra receipt into the sender's mailbox, signed by the provider that the kind calls for.
func (m *Mock) Issue(e Extra) error {
	m.store.mu.Lock()
	s := m.store.byID[e.Identificativo]
	m.store.mu.Unlock()
	if s == nil {
		return fmt.Errorf("pec: issue: no message has this identificativo")
	}
	if e.Kind == Transport || e.Kind == Anomaly {
		return fmt.Errorf("pec: issue: %s is not a receipt", e.Kind)
	}
	if e.Reason == "" {
		e.Reason = NoError
	}
	told := *s
	if e.As != "" {
		told.ID = e.As
	}
	m.mu.Lock()
	m.extras++
	index := 1000 + m.extras // beyond any plan
	m.mu.Unlock()
	st := step{index: index, kind: e.Kind, reason: e.Reason, code: e.Code, text: e.Text, to: recipient{Address: e.Recipient}}
	switch e.Kind {
	case Acceptance, NonAcceptance, Notice:
		st.sender = true
	}
	raw, err := m.receipt(&told, st, m.clock.Now())
	if err != nil {
		return err
	}
	return m.Put(s.Account, inbox, raw)
}
