package pec

import (
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
	return s.took(st.index)
}

// take does one step now.
func (m *Mock) take(s *submission, st step) {
	now := m.clock.Now()
	letters, err := m.letters(s, st, now)
	if err != nil {
		m.report(err)
		return
	}
	m.put(s, st, now, letters)
}

// put lays what a step yields into the mailboxes, in one record, and has the stories about mailboxes follow.
func (m *Mock) put(s *submission, st step, now time.Time, letters []letter) {
	taken, err := m.store.deliver(s.ID, st.index, now, letters)
	m.report(err)
	if taken && s.bears("bump") && m.firstOf(s) {
		m.report(m.BumpUIDValidity(s.Account, inbox))
	}
}

// firstOf tells whether one step alone was taken of a submission.
func (m *Mock) firstOf(s *submission) bool {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	return len(s.done) == 1
}

// letters writes what a step puts into mailboxes.
func (m *Mock) letters(s *submission, st step, now time.Time) ([]letter, error) {
	var out []letter
	if st.kind == Delivery && !st.foreign && m.reads(st.to.Address) {
		raw, err := m.envelope(s, st, now)
		if err != nil {
			return nil, err
		}
		out = append(out, letter{account: strings.ToLower(st.to.Address), folder: inbox, raw: raw, kind: Transport, to: st.to.Address})
	}
	raw, err := m.document(s, st, now)
	if err != nil {
		return nil, err
	}
	for i := range st.copies {
		if i > 0 && st.kind != Acceptance {
			// A second copy took another way: the outer header differs, what is signed does not.
			raw = append([]byte("Received: from ritardo.test (ritardo.test [192.0.2.30]);\r\n\t"+now.In(m.zone).Format(time.RFC1123Z)+"\r\n"), raw...)
		}
		out = append(out, letter{
			account: s.Account, folder: inbox, raw: raw, kind: st.kind, to: st.to.Address, stories: m.shaping(s, st),
			lost: s.bears("fullbox"), snatched: s.bears("reader") || m.use(s.Account, func(c *Condition) *int { return &c.Snatch }),
		})
	}
	return out, nil
}

// document writes what a step sends to the sender: a receipt, or an anomaly envelope around a bounce.
func (m *Mock) document(s *submission, st step, now time.Time) ([]byte, error) {
	if st.kind != Anomaly {
		return m.receipt(s, st, now)
	}
	return m.anomaly(s.Account, bounce(s, st.to.Address, now.In(m.zone)))
}

// reads tells whether somebody can log into a mailbox.
func (m *Mock) reads(address string) bool {
	_, ok := m.byAddress[strings.ToLower(address)]
	return ok
}

// receipt writes and signs one receipt about a submission.
func (m *Mock) receipt(s *submission, st step, now time.Time) ([]byte, error) {
	sh := m.shape(s, st)
	told := s
	switch {
	case st.foreign:
		told = stranger(s)
	case st.again != "":
		again := *s
		again.ID, told = st.again, &again
	}
	issuer := providers()[s.Provider]
	if host, ok := hostOf(st.to.Address); ok && !st.sender {
		issuer = host
	}
	if st.tells("replay") {
		now = s.At // the very document that came before
	}
	if st.tells("othersigner") {
		issuer = providers()[(issuer.index+1)%len(providers())]
	}
	d := document{
		kind: st.kind, reason: st.reason, issuer: issuer, at: sh.date(now, m.zone), message: told, recipient: st.to.Address,
		dress: st.dress, noMsgID: sh.noMsgID && (sh.noReference || !st.accepts()), noReference: sh.noReference,
	}
	if d.reason == NoMailbox && sh.quirks.OldNoDest {
		d.reason = Other
	}
	code := st.code
	if st.kind == Notice {
		if sh.profile.NoticeError != "" {
			d.reason = sh.profile.NoticeError
		}
		if sh.profile.NoticeCode != "" {
			code = sh.profile.NoticeCode
		}
	}
	if code != "" {
		d.detail = detail(code, issuer, st.text)
	}
	switch st.kind {
	case Delivery:
		d.receipt = s.receiptFor(st.to)
	case DeliveryError, Notice:
		d.only = sh.quirks.OnlyFailed
	case TakingCharge:
		d.recipient, d.received = "", hostedBy(issuer, told.Recipients)
	}
	if st.tells("unknowntipo") {
		d.tipo = "consegna-dubbia"
	}
	letter := sheet{
		doc: d, subject: told.Subject, text: d.text(), to: []string{s.Account},
		id: fmt.Sprintf("ric%d.%s.%05d.%d@%s", issuer.index+1, d.at.Format("20060102150405"), s.N, st.index+2, issuer.domain),
	}
	if d.receipt == "completa" || d.receipt == "breve" {
		raw, err := m.store.log.bytes(s.raw)
		if err != nil {
			return nil, err
		}
		letter.original = transported(told, raw, m.zone)
		if letter.original, err = m.swollen(letter.original, st, now); err != nil {
			return nil, err
		}
		if d.receipt == "breve" {
			letter.original = shorten(letter.original, sh.quirks.EncodedHashes)
		}
	}
	return m.signed(letter, sh)
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
	raw, err := m.store.log.bytes(s.raw)
	if err != nil {
		return nil, err
	}
	sh := m.shape(s, step{})
	issuer := providers()[s.Provider]
	d := document{
		kind: Transport, reason: NoError, issuer: issuer, at: sh.date(now, m.zone), message: s, receipt: s.receiptFor(st.to),
	}
	return m.signed(sheet{
		doc: d, id: s.ID, subject: s.Subject, text: d.text(), to: []string{st.to.Address}, replyTo: s.Account,
		from:     fmt.Sprintf("%q <%s>", "Per conto di: "+s.Account, issuer.from()),
		original: transported(s, raw, m.zone),
	}, sh)
}

func (m *Mock) signed(sh sheet, how shape) ([]byte, error) {
	by, err := m.pki.signer(sh.doc.issuer.index, how.certificate)
	if err != nil {
		return nil, err
	}
	return sh.render(by, how)
}
