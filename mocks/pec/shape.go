package pec

import (
	"bytes"
	"slices"
	"time"
)

// A shape is how one document is written and signed: the manner of the house, the mock's switches and what is told of it.
type shape struct {
	profile     Profile
	certificate Certificate
	quirks      Quirks
	spoil       string // "altered", "badsig", "unsigned"; empty: nothing
	skew        time.Duration
	otherZone   bool
	noMsgID     bool
	noReference bool
}

// shape gathers what decides about a document. The mock's switches go above the house's manner, stories above both.
func (m *Mock) shape(s *submission, st step) shape {
	m.mu.Lock()
	sh := shape{profile: m.profileLocked(s.Account), skew: m.sw.skew}
	sh.certificate, sh.quirks = sh.profile.Certificate, sh.profile.Quirks.with(m.sw.quirks)
	if sh.certificate == "" || m.sw.certificate != Sound {
		sh.certificate = m.sw.certificate
	}
	m.mu.Unlock()
	if s.Altered {
		sh.spoil = "altered"
	}
	for _, name := range s.Stories {
		sh.tell(name)
	}
	for _, name := range st.stories {
		sh.tell(name)
	}
	return sh
}

func (sh *shape) tell(story string) {
	switch story {
	case "unsigned", "badsig", "altered":
		sh.spoil = story
	case "nomsgid":
		sh.noMsgID = true
	case "noids":
		sh.noMsgID, sh.noReference = true, true
	case "skewfast":
		sh.skew += 3 * time.Minute
	case "skewslow":
		sh.skew -= 3 * time.Minute
	case "skewfar":
		sh.skew += 2 * time.Hour
	case "zona":
		sh.otherZone = true
	default:
		if c, ok := certificateStories()[story]; ok {
			sh.certificate = c
		}
		sh.quirks = sh.quirks.with(quirkStories()[story])
	}
}

func certificateStories() map[string]Certificate {
	return map[string]Certificate{
		"expired": Expired, "expiredchain": ExpiredChain, "validatsigning": ValidAtSigning, "wrongsan": WrongSAN, "wrongeku": WrongEKU,
		"unknownca": UnknownCA, "nopolicy": NoPolicy, "nameconstraint": NameConstraint, "sha1": SHA1,
	}
}

func quirkStories() map[string]Quirks {
	return map[string]Quirks{
		"ber": {BER: true}, "nopreamble": {NoPreamble: true}, "swapped": {SwapParts: true}, "unquoted": {Unquoted: true}, "folded": {Folded: true},
		"datecomment": {DateComment: true}, "accents": {BadAccents: true}, "baretext": {BareText: true}, "extraheaders": {ExtraHeaders: true},
	}
}

// with is both quirks together.
func (q Quirks) with(o Quirks) Quirks {
	return Quirks{
		NoPreamble: q.NoPreamble || o.NoPreamble, SwapParts: q.SwapParts || o.SwapParts, Unquoted: q.Unquoted || o.Unquoted,
		Folded: q.Folded || o.Folded, BareText: q.BareText || o.BareText, DateComment: q.DateComment || o.DateComment,
		ExtraHeaders: q.ExtraHeaders || o.ExtraHeaders, NoReplyTo: q.NoReplyTo || o.NoReplyTo, OldNoDest: q.OldNoDest || o.OldNoDest,
		OnlyFailed: q.OnlyFailed || o.OnlyFailed, BER: q.BER || o.BER, EncodedHashes: q.EncodedHashes || o.EncodedHashes,
		BadAccents: q.BadAccents || o.BadAccents,
	}
}

// date is what the provider's clock shows, in its zone.
func (sh shape) date(now time.Time, zone *time.Location) time.Time {
	at := now.Add(sh.skew).In(zone)
	if sh.otherZone {
		_, offset := at.Zone()
		at = at.In(time.FixedZone("", 3*3600-offset)) // Rome's other offset: one hour for two, two for one
	}
	return at
}

// shaping lists the stories that made a document what it is.
func (m *Mock) shaping(s *submission, st step) []string {
	var out []string
	for _, name := range s.Stories {
		if scopeOf(name) == OfReceipts {
			out = append(out, name)
		}
	}
	for _, name := range st.stories {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if s.Altered {
		out = append(out, "altered")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, c := range certificateStories() {
		if c == m.sw.certificate && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// stranger is a message of another client of the same mailbox.
func stranger(s *submission) *submission {
	other := *s
	other.ID, other.MessageID, other.Subject = "9"+s.ID, "<estraneo."+token(s.ID)+"@"+domainOf(s.Account)+">", "Altra pratica"
	other.Recipients = []recipient{{Address: s.Recipients[0].Address}}
	return &other
}

// hugeReceipt is how much a "huge" receipt is swollen by.
const hugeReceipt = 40 << 20

// swollen is the original that a story puts other things into: a PEC of another provider, or very much of nothing.
func (m *Mock) swollen(original []byte, st step, now time.Time) ([]byte, error) {
	switch {
	case st.tells("huge"):
		line := append(bytes.Repeat([]byte("A"), 76), '\r', '\n')
		return append(bytes.Clone(original), bytes.Repeat(line, hugeReceipt/len(line)+1)...), nil
	case st.tells("pecinpec"):
		return m.wrapping(original, st, now)
	}
	return original, nil
}

// wrapping puts a transport envelope of another message behind the original's text.
func (m *Mock) wrapping(original []byte, st step, now time.Time) ([]byte, error) {
	p := providers()[1]
	inner := &submission{
		ID: "altro." + now.Format("20060102150405") + ".1@" + p.domain, Account: "terzi@" + p.domains[0], ReplyTo: "terzi@" + p.domains[0],
		MessageID: "<dentro." + token(now.Format(time.RFC3339Nano)) + "@" + p.domains[0] + ">", Subject: "Messaggio dentro un altro",
		Receipt: "completa", Recipients: []recipient{{Address: st.to.Address}}, Provider: p.index,
	}
	text := []byte("From: terzi@" + p.domains[0] + "\r\nTo: " + st.to.Address + "\r\nSubject: Messaggio dentro un altro\r\nMessage-ID: " + inner.MessageID + "\r\n\r\nDentro.\r\n")
	sh := shape{certificate: Sound}
	d := document{kind: Transport, reason: NoError, issuer: p, at: now.In(m.zone), message: inner, receipt: inner.Receipt}
	pec, err := m.signed(sheet{
		doc: d, id: inner.ID, subject: inner.Subject, text: d.text(), to: []string{st.to.Address}, original: transported(inner, text, m.zone),
	}, sh)
	if err != nil {
		return nil, err
	}
	return attachedTo(original, pec), nil
}

// attachedTo makes a message of two parts: what it was, and another message.
func attachedTo(original, other []byte) []byte {
	h, body := splitMessage(original)
	var head, part bytes.Buffer
	for _, f := range h {
		switch f.lower() {
		case "mime-version":
		case "content-type", "content-transfer-encoding", "content-disposition":
			part.Write(f.raw)
		default:
			head.Write(f.raw)
		}
	}
	const boundary = "----=_Busta_nella_busta"
	head.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\n--" + boundary + "\r\n")
	head.Write(part.Bytes())
	head.WriteString("\r\n")
	head.Write(body)
	head.WriteString("\r\n--" + boundary + "\r\nContent-Type: message/rfc822; name=\"postacert.eml\"\r\nContent-Disposition: attachment; filename=\"postacert.eml\"\r\n\r\n")
	head.Write(other)
	head.WriteString("\r\n--" + boundary + "--\r\n")
	return head.Bytes()
}
