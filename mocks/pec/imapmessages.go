package pec

import (
	"bufio"
	"bytes"
	"io"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-message/textproto"
)

// A picked message is what a command works on after the lock was let go; seq is the number by which the client knows it.
type picked struct {
	seq   uint32
	uid   uint32
	at    time.Time
	flags []string
	raw   span
	head  int64
}

// pick finds the messages of a set that were announced to the client.
func (s *session) pick(set imap.NumSet) ([]picked, error) {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	if s.view == nil {
		return nil, errNoFolder
	}
	set = s.static(set)
	var out []picked
	byUID, isUID := set.(imap.UIDSet)
	for i, m := range s.view.folder.messages {
		if isUID && !byUID.Contains(imap.UID(m.uid)) {
			continue // the tracker's numbers are dear
		}
		seq := s.view.tracker.EncodeSeqNum(uint32(i) + 1)
		if seq != 0 && contains(set, seq, m.uid) {
			out = append(out, picked{seq: seq, uid: m.uid, at: m.at, flags: m.flags, raw: m.raw, head: m.head})
		}
	}
	return out, nil
}

func contains(set imap.NumSet, seq, uid uint32) bool {
	switch set := set.(type) {
	case imap.SeqSet:
		return set.Contains(seq)
	case imap.UIDSet:
		return set.Contains(imap.UID(uid))
	}
	return false
}

// static replaces "*" by the highest number there is. A range "n:*" beyond it is read backwards and so holds the highest
// message, as RFC 3501 section 6.4.8 has it and clients must expect.
func (s *session) static(set imap.NumSet) imap.NumSet {
	fix := func(start, stop, highest uint32) (uint32, uint32) {
		star := start == 0 || stop == 0
		if start == 0 {
			start = highest
		}
		if stop == 0 {
			stop = highest
		}
		if star && start > stop {
			start, stop = stop, start
		}
		return start, stop
	}
	messages := s.view.folder.messages
	switch set := set.(type) {
	case imap.SeqSet:
		var highest uint32
		for i := len(messages); i > 0 && highest == 0; i-- {
			highest = s.view.tracker.EncodeSeqNum(uint32(i))
		}
		out := make(imap.SeqSet, 0, len(set))
		for _, r := range set {
			r.Start, r.Stop = fix(r.Start, r.Stop, highest)
			out = append(out, r)
		}
		return out
	case imap.UIDSet:
		var highest uint32
		for i := len(messages); i > 0 && highest == 0; i-- {
			if s.view.tracker.EncodeSeqNum(uint32(i)) != 0 {
				highest = messages[i-1].uid
			}
		}
		out := make(imap.UIDSet, 0, len(set))
		for _, r := range set {
			start, stop := fix(uint32(r.Start), uint32(r.Stop), highest)
			out = append(out, imap.UIDRange{Start: imap.UID(start), Stop: imap.UID(stop)})
		}
		return out
	}
	return set
}

// send writes the wanted items of one message.
func (s *session) send(w *imapserver.FetchResponseWriter, p picked, options *imap.FetchOptions) error {
	defer w.Close()
	if options.UID {
		w.WriteUID(imap.UID(p.uid))
	}
	if options.Flags {
		s.m.store.mu.Lock()
		if s.view != nil {
			if m := s.view.folder.byUID(p.uid); m != nil {
				p.flags = m.flags
			}
		}
		s.m.store.mu.Unlock()
		w.WriteFlags(imapFlags(p.flags))
	}
	if options.InternalDate {
		w.WriteInternalDate(p.at.In(s.m.zone))
	}
	if options.RFC822Size {
		w.WriteRFC822Size(p.raw.size)
	}
	raw := func() io.Reader { return bufio.NewReader(s.m.store.log.reader(p.raw)) }
	if options.Envelope {
		h, err := textproto.ReadHeader(bufio.NewReader(raw()))
		if err != nil {
			h = textproto.Header{}
		}
		w.WriteEnvelope(imapserver.ExtractEnvelope(h))
	}
	if options.BodyStructure != nil {
		w.WriteBodyStructure(imapserver.ExtractBodyStructure(raw()))
	}
	for _, b := range options.BodySection {
		if err := s.sendSection(w, p, b); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) sendSection(w *imapserver.FetchResponseWriter, p picked, b *imap.FetchItemBodySection) error {
	part := p.raw
	whole := len(b.Part) == 0 && len(b.HeaderFields) == 0 && len(b.HeaderFieldsNot) == 0
	switch {
	case whole && b.Specifier == imap.PartSpecifierNone:
	case whole && b.Specifier == imap.PartSpecifierHeader:
		part.size = p.head
	case whole && b.Specifier == imap.PartSpecifierText:
		part = span{off: part.off + p.head, size: part.size - p.head}
	default:
		buf := imapserver.ExtractBodySection(s.m.store.log.reader(p.raw), b)
		return pour(w.WriteBodySection(b, int64(len(buf))), bytes.NewReader(buf))
	}
	if b.Partial != nil {
		off := min(b.Partial.Offset, part.size)
		part = span{off: part.off + off, size: min(b.Partial.Size, part.size-off)}
	}
	return pour(w.WriteBodySection(b, part.size), s.m.store.log.reader(part))
}

func pour(w io.WriteCloser, r io.Reader) error {
	_, err := io.Copy(w, r)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (s *session) search(kind imapserver.NumKind, criteria *imap.SearchCriteria) (*imap.SearchData, error) {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	if s.view == nil {
		return nil, errNoFolder
	}
	s.settle(criteria)
	var (
		data imap.SearchData
		seqs imap.SeqSet
		uids imap.UIDSet
	)
	for i, m := range s.view.folder.messages {
		if slices.ContainsFunc(criteria.UID, func(set imap.UIDSet) bool { return !set.Contains(imap.UID(m.uid)) }) {
			continue
		}
		seq := s.view.tracker.EncodeSeqNum(uint32(i) + 1)
		if seq == 0 || !s.fits(seq, m, criteria) {
			continue
		}
		n := seq
		if kind == imapserver.NumKindUID {
			n = m.uid
			uids.AddNum(imap.UID(n))
		} else {
			seqs.AddNum(n)
		}
		if data.Min == 0 || n < data.Min {
			data.Min = n
		}
		data.Max = max(data.Max, n)
		data.Count++
	}
	data.All = seqs
	if kind == imapserver.NumKindUID {
		data.All = uids
	}
	return &data, nil
}

// settle replaces "*" in all sets of the criteria.
func (s *session) settle(c *imap.SearchCriteria) {
	for i := range c.SeqNum {
		c.SeqNum[i], _ = s.static(c.SeqNum[i]).(imap.SeqSet)
	}
	for i := range c.UID {
		c.UID[i], _ = s.static(c.UID[i]).(imap.UIDSet)
	}
	for i := range c.Not {
		s.settle(&c.Not[i])
	}
	for i := range c.Or {
		s.settle(&c.Or[i][0])
		s.settle(&c.Or[i][1])
	}
}

// fits tests the cheap criteria first: a header or a body is read only when everything else agrees.
func (s *session) fits(seq uint32, m *message, c *imap.SearchCriteria) bool {
	for _, set := range c.SeqNum {
		if !set.Contains(seq) {
			return false
		}
	}
	for _, set := range c.UID {
		if !set.Contains(imap.UID(m.uid)) {
			return false
		}
	}
	missing := func(f imap.Flag) bool { return !m.has(f) }
	switch {
	case !between(m.at.In(s.m.zone), c.Since, c.Before):
	case slices.ContainsFunc(c.Flag, missing), slices.ContainsFunc(c.NotFlag, m.has):
	case c.Larger != 0 && m.raw.size <= c.Larger, c.Smaller != 0 && m.raw.size >= c.Smaller:
	case !s.headerFits(m, c), !s.textFits(m, c):
	case slices.ContainsFunc(c.Not, func(n imap.SearchCriteria) bool { return s.fits(seq, m, &n) }):
	case slices.ContainsFunc(c.Or, func(o [2]imap.SearchCriteria) bool {
		return !s.fits(seq, m, &o[0]) && !s.fits(seq, m, &o[1])
	}):
	default:
		return true
	}
	return false
}

func (s *session) headerFits(m *message, c *imap.SearchCriteria) bool {
	var h header
	read := func() header {
		if h == nil {
			raw, err := s.m.store.log.bytes(span{off: m.raw.off, size: m.head})
			if err != nil {
				return nil
			}
			h, _ = splitMessage(raw)
		}
		return h
	}
	for _, want := range c.Header {
		values := []string{m.ref}
		if !strings.EqualFold(want.Key, referenceField) {
			values = read().all(want.Key)
		} else if m.ref == "" {
			values = nil
		}
		if !slices.ContainsFunc(values, func(v string) bool { return within(decoded(v), want.Value) }) {
			return false
		}
	}
	if c.SentSince.IsZero() && c.SentBefore.IsZero() {
		return true
	}
	at, err := mail.ParseDate(read().get("Date"))
	return err == nil && between(at, c.SentSince, c.SentBefore)
}

func (s *session) textFits(m *message, c *imap.SearchCriteria) bool {
	if len(c.Text) == 0 && len(c.Body) == 0 {
		return true
	}
	raw, err := s.m.store.log.bytes(m.raw)
	if err != nil {
		return false
	}
	all, body := string(raw), string(raw[m.head:])
	return !slices.ContainsFunc(c.Text, func(t string) bool { return !within(all, t) }) &&
		!slices.ContainsFunc(c.Body, func(t string) bool { return !within(body, t) })
}

func within(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// between compares days without their zones, as RFC 3501 section 6.4.4 asks.
func between(at, since, before time.Time) bool {
	day := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	return (since.IsZero() || !day.Before(since)) && (before.IsZero() || day.Before(before))
}
