package pec

import (
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"raccordo/mocks/lab"
)

// A session is one IMAP session. A message that arrives while it has the folder open is announced at the end of its next
// command or during IDLE, and can be searched and fetched from then on, as on a Dovecot server.
type session struct {
	m    *Mock
	imap *imapserver.Conn
	down sync.Once

	// The rest is guarded by the store's lock.
	account  string
	view     *view
	readOnly bool
	access   *access
}

func (m *Mock) newIMAPSession(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil, &imap.Error{Type: imap.StatusResponseTypeBye, Text: "Shutting down"}
	}
	m.serves.Add(1)
	s := &session{m: m, imap: c}
	if l := lineOf(c.NetConn()); l != nil {
		l.session.Store(s)
	}
	return s, nil, nil
}

var _ imapserver.SessionMove = (*session)(nil)

// Close ends the session.
func (s *session) Close() error {
	s.down.Do(func() {
		s.leave()
		s.m.store.mu.Lock()
		account := s.account
		s.m.store.mu.Unlock()
		if account != "" {
			s.m.mu.Lock()
			s.m.logins[account]--
			s.m.mu.Unlock()
			s.m.leave(account, s.access)
		}
		s.m.serves.Done()
	})
	return nil
}

func (s *session) leave() {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	if s.view != nil {
		s.view.close()
		s.view = nil
	}
}

func no(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

// command runs one command as an exchange of the journal, with the faults of the bench, the condition of the mailbox and
// the stories of sessions. A fault finds the command by its label: "pec imap fetch".
func (s *session) command(label string, run func(cutFetch bool) error) error {
	if c := underlying(s.imap.NetConn()); c != nil {
		c.begin()
		defer c.end()
	}
	open := s.m.bench.Begin("pec", "imap "+label)
	defer open.End()
	s.m.store.mu.Lock()
	account := s.account
	s.m.store.mu.Unlock()
	if account != "" {
		s.afflict(open, account, label)
	}
	f, _ := open.Fault()
	s.m.wait(f.Before())
	late := f.After()
	if account != "" {
		late += s.m.endure(account)
	}
	done := func(err error) error {
		status, refused := "OK", ""
		if err != nil {
			status, refused = "NO", err.Error()
		}
		open.Record(status, nil, nil, nil, refused)
		s.m.wait(late)
		return err
	}
	switch f.Do {
	case lab.Refuse, lab.Drop, "imapdrop":
		_ = done(nil)
		cut(s.imap.NetConn())
		return net.ErrClosed
	case lab.StaleVoucher:
		return done(no(imap.ResponseCodeAuthenticationFailed, "Authentication failed"))
	case lab.Throttle, "imaplimit":
		return done(no(imap.ResponseCodeLimit, "Maximum number of connections exceeded"))
	case lab.Status, "imapno":
		if f.Status == 401 || f.Status == 403 {
			return done(no(imap.ResponseCodeAuthenticationFailed, "Authentication failed"))
		}
		return done(no(imap.ResponseCodeUnavailable, "Temporary failure"))
	}
	err := run(f.Do == lab.Truncate || f.Do == "imapcut")
	_ = done(err)
	switch f.Do {
	case lab.DropAfterAccept, lab.Truncate, "imaplost":
		cut(s.imap.NetConn())
		return net.ErrClosed
	case lab.Garbage, lab.WrongType, lab.Huge:
		_, _ = s.imap.NetConn().Write([]byte("HTTP/1.1 200 OK\x00\xff\r\n\r\n")) // nobody may be listening
		hangUp(s.imap.NetConn())
		return net.ErrClosed
	}
	return err
}

// afflict has chance or an order strike the command.
func (s *session) afflict(open *lab.Open, account, label string) {
	fit := func(t Story) bool {
		switch {
		case t.Scope != InSession:
			return false
		case t.Name == "imapcut":
			return label == "fetch"
		case t.Name == "imaplimit":
			return label == "login"
		}
		return true
	}
	if told := s.m.told(account, "imap "+label, "", fit); len(told) > 0 {
		open.Afflict(lab.Fault{Do: lab.Misdeed(told[0])})
	}
}

// Login checks the password; a session too many of an account is refused, as by a Dovecot server.
func (s *session) Login(user, password string) error {
	return s.command("login", func(bool) error {
		a, ok := s.m.account(user)
		address := strings.ToLower(a.Address)
		if !ok || subtle.ConstantTimeCompare([]byte(a.Password), []byte(password)) != 1 || s.m.locked(address) {
			return imapserver.ErrAuthFailed
		}
		limited := s.m.told(address, "imap login", "", func(t Story) bool { return t.Name == "imaplimit" })
		full := len(limited) > 0 || s.m.use(address, func(c *Condition) *int { return &c.RefuseLogins })
		s.m.mu.Lock()
		full = full || s.m.logins[address] >= s.m.sessionsLocked(address)
		if s.m.sw.refuseLogins > 0 {
			s.m.sw.refuseLogins--
			full = true
		}
		if !full {
			s.m.logins[address]++
		}
		s.m.mu.Unlock()
		if full {
			return no(imap.ResponseCodeLimit, "Maximum number of connections from user+IP exceeded")
		}
		s.access = s.m.enter(address, s.imap.NetConn(), true)
		s.m.store.mu.Lock()
		defer s.m.store.mu.Unlock()
		s.account = address
		return nil
	})
}

// Select opens a folder.
func (s *session) Select(name string, options *imap.SelectOptions) (data *imap.SelectData, err error) {
	err = s.command("select", func(bool) error {
		s.leave()
		s.m.store.mu.Lock()
		defer s.m.store.mu.Unlock()
		f := s.m.store.folder(s.account, name)
		if f == nil {
			return no(imap.ResponseCodeNonExistent, "No such mailbox")
		}
		conn := s.imap.NetConn()
		s.view, s.readOnly = f.open(func() { cut(conn) }), options.ReadOnly
		flags := []imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagDraft}
		data = &imap.SelectData{
			Flags: flags, PermanentFlags: append(slices.Clone(flags), imap.FlagWildcard),
			NumMessages: uint32(len(f.messages)), UIDNext: imap.UID(f.next), UIDValidity: f.validity,
		}
		if options.ReadOnly {
			data.PermanentFlags = nil
		}
		for i, m := range f.messages {
			if !m.has(imap.FlagSeen) {
				data.FirstUnseenSeqNum = uint32(i) + 1
				break
			}
		}
		return nil
	})
	return data, err
}

// Unselect closes the folder.
func (s *session) Unselect() error {
	s.leave()
	return nil
}

// Poll announces what happened in the folder.
func (s *session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	if v := s.current(); v != nil {
		return v.tracker.Poll(w, allowExpunge)
	}
	return nil
}

// Idle announces until the client has enough. An idle session is not in flight.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	v := s.current()
	if v == nil {
		<-stop
		return nil
	}
	s.m.store.mu.Lock()
	account := s.account
	s.m.store.mu.Unlock()
	lag := s.m.profile(account).IdleLag
	for {
		if lag > 0 {
			late := time.NewTimer(lag)
			select {
			case <-late.C:
			case <-stop:
			case <-s.m.ctx.Done():
			}
			late.Stop()
		}
		if c, err := s.m.Mailbox(account); err == nil && !c.Deaf {
			if err := v.tracker.Poll(w, true); err != nil {
				return err
			}
		}
		select {
		case <-v.wake:
		case <-stop:
			return nil
		}
	}
}

func (s *session) current() *view {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	return s.view
}

// Fetch sends messages. BODY[] is the bytes as they were stored.
func (s *session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, options *imap.FetchOptions) error {
	return s.command("fetch", func(cutNow bool) error {
		return s.fetch(w, set, options, cutNow)
	})
}

func (s *session) fetch(w *imapserver.FetchWriter, set imap.NumSet, options *imap.FetchOptions, cutNow bool) error {
	found, err := s.pick(set)
	if err != nil {
		return err
	}
	if seen := !s.readOnly && slices.ContainsFunc(options.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek }); seen {
		if err := s.setFlags(found, imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}); err != nil {
			return err
		}
		options.Flags = true
	}
	for _, p := range found {
		if len(options.BodySection) > 0 && (cutNow || s.m.takeCut() || s.m.use(s.account, func(c *Condition) *int { return &c.CutFetches })) {
			return s.cutFetch(w, p, options)
		}
		if err := s.send(w.CreateMessage(p.seq), p, options); err != nil {
			return err
		}
	}
	return nil
}

// cutFetch sends a good part of a message's bytes and hangs up. It is more than the half because what stays in the server's
// buffer of 4 KiB never leaves.
func (s *session) cutFetch(w *imapserver.FetchWriter, p picked, options *imap.FetchOptions) error {
	rw := w.CreateMessage(p.seq)
	rw.WriteUID(imap.UID(p.uid))
	lw := rw.WriteBodySection(options.BodySection[0], p.raw.size)
	_, _ = io.CopyN(lw, s.m.store.log.reader(p.raw), p.raw.size-p.raw.size/8) // cut off all the same
	hangUp(s.imap.NetConn())
	_ = rw.Close()
	return net.ErrClosed
}

// Search looks through the folder.
func (s *session) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, _ *imap.SearchOptions) (data *imap.SearchData, err error) {
	err = s.command("search", func(bool) error {
		data, err = s.search(kind, criteria)
		return err
	})
	return data, err
}

// Store changes flags.
func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, _ *imap.StoreOptions) error {
	return s.command("store", func(bool) error {
		found, err := s.pick(set)
		if err != nil {
			return err
		}
		if s.readOnly {
			return no("READ-ONLY", "The mailbox is read-only")
		}
		if err := s.setFlags(found, flags.Op, flags.Flags); err != nil {
			return err
		}
		if flags.Silent {
			return nil
		}
		return s.fetch(w, set, &imap.FetchOptions{Flags: true, UID: true}, false)
	})
}

// Expunge removes messages marked as deleted, of the given UIDs only when there are any.
func (s *session) Expunge(_ *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	return s.command("expunge", func(bool) error {
		s.m.store.mu.Lock()
		defer s.m.store.mu.Unlock()
		if s.view == nil {
			return errNoFolder
		}
		if s.readOnly {
			return no("READ-ONLY", "The mailbox is read-only")
		}
		var gone []uint32
		for _, m := range s.view.folder.messages {
			if m.has(imap.FlagDeleted) && (uids == nil || uids.Contains(imap.UID(m.uid))) {
				gone = append(gone, m.uid)
			}
		}
		if len(gone) == 0 {
			return nil
		}
		return s.m.store.commit(record{Remove: &removed{Account: s.account, Folder: s.view.folder.name, UID: gone}}, nil)
	})
}

// Copy copies messages to another folder.
func (s *session) Copy(set imap.NumSet, dest string) (data *imap.CopyData, err error) {
	err = s.command("copy", func(bool) error {
		data, err = s.transfer(set, dest, false)
		return err
	})
	return data, err
}

// Move moves messages. Each EXPUNGE is announced once, by the poll that follows the command.
func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	return s.command("move", func(bool) error {
		data, err := s.transfer(set, dest, true)
		if err != nil {
			return err
		}
		if len(data.SourceUIDs) == 0 {
			return nil
		}
		return w.WriteCopyData(data)
	})
}

var (
	errNoFolder  = errors.New("no folder is open")
	errNoTarget  = no(imap.ResponseCodeTryCreate, "No such mailbox")
	errOverQuota = no(imap.ResponseCodeOverQuota, "Quota exceeded (mailbox is full)")
)

func (s *session) transfer(set imap.NumSet, dest string, move bool) (*imap.CopyData, error) {
	found, err := s.pick(set)
	if err != nil {
		return nil, err
	}
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	to := s.m.store.folder(s.account, dest)
	if to == nil {
		return nil, errNoTarget
	}
	if s.view == nil {
		return nil, errNoFolder
	}
	if move && (to == s.view.folder || s.readOnly) {
		return nil, no(imap.ResponseCodeCannot, "Cannot move there")
	}
	rec := &copied{Account: s.account, From: s.view.folder.name, To: to.name, Move: move}
	data := &imap.CopyData{UIDValidity: to.validity}
	var size int64
	for _, p := range found {
		if s.view.folder.byUID(p.uid) == nil {
			continue // taken away by another session
		}
		size += p.raw.size
		next := to.next + uint32(len(rec.NewUID))
		rec.UID, rec.NewUID = append(rec.UID, p.uid), append(rec.NewUID, next)
		data.SourceUIDs.AddNum(imap.UID(p.uid))
		data.DestUIDs.AddNum(imap.UID(next))
	}
	if len(rec.UID) == 0 {
		return data, nil
	}
	if !move && !to.box.fits(size) {
		return nil, errOverQuota
	}
	return data, s.m.store.commit(record{Copy: rec}, nil)
}
