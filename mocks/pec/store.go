package pec

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// inbox is the folder where everything arrives.
const inbox = "INBOX"

// A store is what the providers remember: accepted messages, what was already done about them, and mailboxes. Every
// change is a record, written first and applied after; opening it again applies the same records.
type store struct {
	mu          sync.Mutex
	log         *wal
	submissions []*submission
	byID        map[string]*submission
	mailboxes   map[string]*mailbox // by address
	attempts    []attempt           // that were not taken
	validity    uint32              // the highest UIDVALIDITY ever given
	closed      bool

	fresh   []byte // raw bytes of the record being applied, where they are at hand
	freshAt int64
}

// A mailbox is one account's folders. It exists for configured accounts only; mail for others is not kept.
type mailbox struct {
	folders map[string]*folder
	used    int64 // bytes in all of them
	quota   int64 // 0: none
	lost    int   // mails that came while it was full
}

// fits tells whether so many more bytes may be kept.
func (b *mailbox) fits(size int64) bool { return b.quota <= 0 || b.used+size <= b.quota }

// stepDone says that a step of a submission's plan was taken, and what it put into which mailboxes. A step of -1 is
// outside any plan.
type stepDone struct {
	Submission string     `json:"submission,omitempty"`
	Step       int        `json:"step"`
	Mails      []delivery `json:"mails,omitempty"`
}

// A delivery is one mail of a record. One that was lost, because the mailbox was full, has no UID and no bytes.
type delivery struct {
	Account   string    `json:"account"`
	Folder    string    `json:"folder"`
	UID       uint32    `json:"uid,omitempty"`
	At        time.Time `json:"at"`
	Flags     []string  `json:"flags,omitempty"`
	Size      int64     `json:"size"`
	Kind      Kind      `json:"kind,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	Stories   []string  `json:"stories,omitempty"`
	Snatched  bool      `json:"snatched,omitempty"`
	Lost      bool      `json:"lost,omitempty"`
}

// An attempt that got as far as the message's bytes and was not taken.
type attempt struct {
	Account   string `json:"account"`
	MessageID string `json:"message_id,omitempty"`
	Reply     string `json:"reply,omitempty"` // empty: the connection was cut
	Story     string `json:"story,omitempty"`
}

type flagsSet struct {
	Account string   `json:"account"`
	Folder  string   `json:"folder"`
	UID     []uint32 `json:"uid"`
	Flags   []string `json:"flags"` // all of them, after the change
}

type removed struct {
	Account string   `json:"account"`
	Folder  string   `json:"folder"`
	UID     []uint32 `json:"uid"`
}

type copied struct {
	Account string   `json:"account"`
	From    string   `json:"from"`
	To      string   `json:"to"`
	UID     []uint32 `json:"uid"`
	NewUID  []uint32 `json:"new_uid"`
	Move    bool     `json:"move,omitempty"`
}

type folderEvent struct {
	Account  string `json:"account"`
	Name     string `json:"name"`
	Do       string `json:"do"` // create, delete, rename, subscribe, unsubscribe
	To       string `json:"to,omitempty"`
	Validity uint32 `json:"validity,omitempty"`
}

type newValidity struct {
	Account  string `json:"account"`
	Folder   string `json:"folder"`
	Validity uint32 `json:"validity"`
}

func openStore(dir string, accounts []Account, now time.Time, limit int64) (*store, error) {
	s := &store{byID: make(map[string]*submission), mailboxes: make(map[string]*mailbox)}
	var err error
	if s.log, err = openLog(filepath.Join(dir, "mail.log"), limit); err != nil {
		return nil, err
	}
	if err := s.log.replay(s.apply); err != nil {
		return nil, errors.Join(fmt.Errorf("pec: read log: %w", err), s.log.file.Close())
	}
	for _, a := range accounts {
		address := strings.ToLower(a.Address)
		if s.folder(address, inbox) != nil {
			continue
		}
		r := record{Folder: &folderEvent{Account: address, Name: inbox, Do: "create", Validity: s.freshValidity(now)}}
		if err := s.commit(r, nil); err != nil {
			return nil, errors.Join(err, s.log.file.Close())
		}
	}
	return s, nil
}

// close ends the store; later commits fail.
func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.log.file.Close()
}

var errClosed = errors.New("pec: the mock is closed")

// commit writes a record and applies it. The caller holds mu, except while opening.
func (s *store) commit(r record, raw []byte) error {
	if s.closed {
		return errClosed
	}
	at, err := s.log.append(r, raw)
	if err != nil {
		return err
	}
	s.fresh, s.freshAt = raw, at.off
	defer func() { s.fresh = nil }()
	return s.apply(r, at)
}

// freshValidity is a UIDVALIDITY that no folder ever had: the time, unless that was used.
func (s *store) freshValidity(now time.Time) uint32 { return max(uint32(now.Unix()), s.validity+1) }

// folder finds a folder; INBOX is the same in any case (RFC 3501 section 5.1).
func (s *store) folder(account, name string) *folder {
	m := s.mailboxes[account]
	if m == nil {
		return nil
	}
	return m.folders[folderName(name)]
}

func folderName(name string) string {
	if strings.EqualFold(name, inbox) {
		return inbox
	}
	return name
}

func (s *store) apply(r record, raw span) error {
	switch {
	case r.Submit != nil:
		r.Submit.raw = raw
		s.submissions = append(s.submissions, r.Submit)
		s.byID[r.Submit.ID] = r.Submit
	case r.Step != nil:
		return s.applyStep(r.Step, raw)
	case r.Flags != nil:
		f := s.folder(r.Flags.Account, r.Flags.Folder)
		if f == nil {
			return missing(r.Flags.Account, r.Flags.Folder)
		}
		f.setFlags(r.Flags.UID, r.Flags.Flags)
	case r.Remove != nil:
		f := s.folder(r.Remove.Account, r.Remove.Folder)
		if f == nil {
			return missing(r.Remove.Account, r.Remove.Folder)
		}
		f.remove(r.Remove.UID)
	case r.Copy != nil:
		return s.applyCopy(r.Copy)
	case r.Folder != nil:
		return s.applyFolder(r.Folder)
	case r.Attempt != nil:
		s.attempts = append(s.attempts, *r.Attempt)
	case r.UIDValidity != nil:
		f := s.folder(r.UIDValidity.Account, r.UIDValidity.Folder)
		if f == nil {
			return missing(r.UIDValidity.Account, r.UIDValidity.Folder)
		}
		f.renumber(r.UIDValidity.Validity)
		s.validity = max(s.validity, r.UIDValidity.Validity)
	}
	return nil
}

func missing(account, folder string) error {
	return fmt.Errorf("pec: apply record: no folder %q in %s", folder, account)
}

func (s *store) applyStep(d *stepDone, raw span) error {
	if sub := s.byID[d.Submission]; sub != nil && d.Step >= 0 {
		sub.done = append(sub.done, int32(d.Step))
	}
	off := raw.off
	for _, m := range d.Mails {
		s.place(d.Submission, m)
		f := s.folder(m.Account, m.Folder)
		if f == nil {
			return missing(m.Account, m.Folder)
		}
		if m.Lost {
			f.box.lost++
			continue
		}
		msg := &message{uid: m.UID, at: m.At, flags: m.Flags, raw: span{off: off, size: m.Size}}
		if err := s.readHead(msg); err != nil {
			return err
		}
		f.add(msg)
		if m.Snatched {
			f.remove([]uint32{m.UID})
		}
		off += m.Size
	}
	return nil
}

// place notes what came of a submission.
func (s *store) place(id string, m delivery) {
	if sub := s.byID[id]; sub != nil {
		sub.placed = append(sub.placed, Placed{
			Kind: m.Kind, Recipient: m.Recipient, Mailbox: m.Account, Folder: m.Folder, UID: m.UID, At: m.At,
			Stories: m.Stories, Sound: sound(m.Stories), Lost: m.Lost, Snatched: m.Snatched,
		})
	}
}

// readHead finds the length of a message's header, so that searches need not read bodies.
func (s *store) readHead(m *message) error {
	const most = 64 << 10
	part := span{off: m.raw.off, size: min(m.raw.size, most)}
	var b []byte
	if i := part.off - s.freshAt; s.fresh != nil && i >= 0 && i+part.size <= int64(len(s.fresh)) {
		b = s.fresh[i : i+part.size]
	} else {
		var err error
		if b, err = s.log.bytes(part); err != nil {
			return err
		}
	}
	h, body := splitMessage(b)
	m.head, m.ref = int64(len(b)-len(body)), h.get(referenceField)
	return nil
}

// referenceField carries the client's Message-ID on everything a provider generates.
const referenceField = "X-Riferimento-Message-ID"

func (s *store) applyCopy(c *copied) error {
	from, to := s.folder(c.Account, c.From), s.folder(c.Account, c.To)
	if from == nil || to == nil {
		return missing(c.Account, c.From+" or "+c.To)
	}
	for i, uid := range c.UID {
		if m := from.byUID(uid); m != nil { // with Move, what is added here is taken away below
			to.add(&message{uid: c.NewUID[i], at: m.at, flags: slices.Clone(m.flags), raw: m.raw, head: m.head, ref: m.ref})
		}
	}
	if c.Move {
		from.remove(c.UID)
	}
	return nil
}

func (s *store) applyFolder(e *folderEvent) error {
	m := s.mailboxes[e.Account]
	if m == nil {
		m = &mailbox{folders: make(map[string]*folder)}
		s.mailboxes[e.Account] = m
	}
	f := m.folders[e.Name]
	if f == nil && e.Do != "create" {
		return missing(e.Account, e.Name)
	}
	switch e.Do {
	case "create":
		m.folders[e.Name] = newFolder(e.Name, e.Validity, m)
		s.validity = max(s.validity, e.Validity)
	case "delete":
		delete(m.folders, e.Name)
		m.used -= f.size()
		f.close()
	case "rename":
		delete(m.folders, e.Name)
		f.name = e.To
		m.folders[e.To] = f
	case "subscribe":
		f.subscribed = true
	case "unsubscribe":
		f.subscribed = false
	}
	return nil
}

// A letter is a message on its way into a folder.
type letter struct {
	account string
	folder  string
	flags   []string
	raw     []byte

	kind     Kind
	to       string // whom it is about
	stories  []string
	lost     bool // the mailbox is full, whatever it holds
	snatched bool // another reader deletes it at once
}

// deliver appends mails in one record, marking a step of a submission as taken. Mail for addresses without a mailbox is
// not kept. It is false when the step was taken before.
func (s *store) deliver(id string, index int, now time.Time, mails []letter) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.byID[id]; sub != nil && index >= 0 && sub.took(index) {
		return false, nil
	}
	_, err := s.deliverLocked(id, index, now, mails)
	return err == nil, err
}

// deliverLocked gives the new UIDs; a mail that a full mailbox loses has none.
func (s *store) deliverLocked(id string, index int, now time.Time, mails []letter) ([]uint32, error) {
	done := &stepDone{Submission: id, Step: index}
	var raw []byte
	var uids []uint32
	next := make(map[*folder]uint32)
	grown := make(map[*mailbox]int64)
	for _, m := range mails {
		f := s.folder(m.account, m.folder)
		if f == nil {
			continue
		}
		d := delivery{
			Account: m.account, Folder: m.folder, At: now, Flags: m.flags, Size: int64(len(m.raw)),
			Kind: m.kind, Recipient: m.to, Stories: m.stories, Snatched: m.snatched,
		}
		if m.lost || !f.box.fits(grown[f.box]+d.Size) {
			d.Lost, d.Size = true, 0
			done.Mails = append(done.Mails, d)
			continue
		}
		grown[f.box] += d.Size
		d.UID = f.next + next[f]
		next[f]++
		uids = append(uids, d.UID)
		done.Mails = append(done.Mails, d)
		if raw == nil {
			raw = m.raw // the commonest case is one mail, which needs no copy
		} else {
			raw = append(raw[:len(raw):len(raw)], m.raw...)
		}
	}
	return uids, s.commit(record{Step: done}, raw)
}

// setQuota limits a mailbox from now on; what it holds already stays.
func (s *store) setQuota(account string, quota int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.mailboxes[account]; m != nil {
		m.quota = quota
	}
}

// refused keeps an attempt that was not taken.
func (s *store) refused(a attempt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(record{Attempt: &a}, nil)
}

// weight is what a message and everything that may follow from it will take in the log, so that a message is not taken whose
// receipts could not be kept: an envelope, a complete receipt and two notices for each recipient, and each twice.
func (s *submission) weight(size int) int64 {
	const receipt = 16 << 10
	return int64(size) + 4*int64(1+len(s.Recipients))*(int64(size)+receipt)
}

// submit keeps a message for good. The number in its identifier is given here, under the lock.
func (s *store) submit(sub *submission, raw []byte, most int, name func(n int) string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.submissions) >= most || s.log.end+sub.weight(len(raw)) > s.log.max {
		return errFull
	}
	sub.N = len(s.submissions) + 1
	sub.ID = name(sub.N)
	return s.commit(record{Submit: sub}, raw)
}
