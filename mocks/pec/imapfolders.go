package pec

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

const (
	// delimiter parts folder names; providers use this or a dot.
	delimiter = '/'
	// maxFolders bounds the folders of one account.
	maxFolders = 1000
)

// AppendLimit is the largest message APPEND takes.
func (s *session) AppendLimit() uint32 { return uint32(min(s.m.limits.MaxMessage, 1<<30)) }

// Append stores a message that the client brings.
func (s *session) Append(name string, r imap.LiteralReader, options *imap.AppendOptions) (data *imap.AppendData, err error) {
	raw, err := io.ReadAll(r) // the server library holds the literal to AppendLimit
	if err != nil {
		return nil, err
	}
	err = s.command("append", func(bool) error {
		at := options.Time
		if at.IsZero() {
			at = s.m.clock.Now()
		}
		s.m.store.mu.Lock()
		defer s.m.store.mu.Unlock()
		f := s.m.store.folder(s.account, name)
		if f == nil {
			return errNoTarget
		}
		if !f.box.fits(int64(len(raw))) {
			return errOverQuota
		}
		var flags []string
		for _, x := range options.Flags {
			flags = append(flags, string(x))
		}
		uids, err := s.m.store.deliverLocked("", -1, at, []letter{{account: s.account, folder: f.name, flags: flags, raw: raw}})
		if err != nil {
			return err
		}
		data = &imap.AppendData{UID: imap.UID(uids[0]), UIDValidity: f.validity}
		return nil
	})
	return data, err
}

// Create makes a folder under a UIDVALIDITY never used before.
func (s *session) Create(name string, _ *imap.CreateOptions) error {
	name = strings.TrimRight(name, string(delimiter))
	now := s.m.clock.Now()
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	if s.m.store.folder(s.account, name) != nil {
		return no(imap.ResponseCodeAlreadyExists, "Mailbox already exists")
	}
	if m := s.m.store.mailboxes[s.account]; name == "" || len(name) > 255 || m != nil && len(m.folders) >= maxFolders {
		return no(imap.ResponseCodeCannot, "Cannot create that")
	}
	return s.m.store.commit(record{Folder: &folderEvent{Account: s.account, Name: name, Do: "create", Validity: s.m.store.freshValidity(now)}}, nil)
}

// Delete removes a folder with its messages.
func (s *session) Delete(name string) error { return s.folderEvent(name, "delete", "") }

// Rename gives a folder another name; its UIDs stay.
func (s *session) Rename(name, to string, _ *imap.RenameOptions) error {
	return s.folderEvent(name, "rename", strings.TrimRight(to, string(delimiter)))
}

// Subscribe marks a folder for LSUB.
func (s *session) Subscribe(name string) error { return s.folderEvent(name, "subscribe", "") }

// Unsubscribe removes the mark.
func (s *session) Unsubscribe(name string) error { return s.folderEvent(name, "unsubscribe", "") }

func (s *session) folderEvent(name, do, to string) error {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	f := s.m.store.folder(s.account, name)
	if f == nil {
		return no(imap.ResponseCodeNonExistent, "No such mailbox")
	}
	if f.name == inbox && (do == "delete" || do == "rename") {
		return no(imap.ResponseCodeCannot, "INBOX stays")
	}
	if do == "rename" && (to == "" || s.m.store.folder(s.account, to) != nil) {
		return no(imap.ResponseCodeAlreadyExists, "Mailbox already exists")
	}
	return s.m.store.commit(record{Folder: &folderEvent{Account: s.account, Name: f.name, Do: do, To: to}}, nil)
}

// List names the folders that match.
func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, options *imap.ListOptions) error {
	if len(patterns) == 0 {
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: delimiter})
	}
	for _, data := range s.matching(ref, patterns, options) {
		if err := w.WriteList(&data); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) matching(ref string, patterns []string, options *imap.ListOptions) []imap.ListData {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	m := s.m.store.mailboxes[s.account]
	if m == nil {
		return nil
	}
	var out []imap.ListData
	for name, f := range m.folders {
		if options.SelectSubscribed && !f.subscribed || options.SelectSpecialUse ||
			!slices.ContainsFunc(patterns, func(p string) bool { return imapserver.MatchList(name, delimiter, ref, p) }) {
			continue
		}
		data := imap.ListData{Mailbox: name, Delim: delimiter}
		if f.subscribed {
			data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
		}
		if options.ReturnStatus != nil {
			data.Status = f.status(options.ReturnStatus)
		}
		out = append(out, data)
	}
	slices.SortFunc(out, func(a, b imap.ListData) int { return strings.Compare(a.Mailbox, b.Mailbox) })
	return out
}

// Status tells numbers about a folder without opening it.
func (s *session) Status(name string, options *imap.StatusOptions) (data *imap.StatusData, err error) {
	err = s.command("status", func(bool) error {
		s.m.store.mu.Lock()
		defer s.m.store.mu.Unlock()
		f := s.m.store.folder(s.account, name)
		if f == nil {
			return no(imap.ResponseCodeNonExistent, "No such mailbox")
		}
		data = f.status(options)
		return nil
	})
	return data, err
}

func (f *folder) status(options *imap.StatusOptions) *imap.StatusData {
	all, unseen, deleted, size := uint32(len(f.messages)), uint32(len(f.messages))-f.count(imap.FlagSeen), f.count(imap.FlagDeleted), f.size()
	data := &imap.StatusData{Mailbox: f.name, UIDNext: imap.UID(f.next), UIDValidity: f.validity}
	if options.NumMessages {
		data.NumMessages = &all
	}
	if options.NumUnseen {
		data.NumUnseen = &unseen
	}
	if options.NumDeleted {
		data.NumDeleted = &deleted
	}
	if options.NumRecent {
		data.NumRecent = new(uint32)
	}
	if options.Size {
		data.Size = &size
	}
	return data
}

// setFlags changes flags message by message, since each may have others already.
func (s *session) setFlags(found []picked, op imap.StoreFlagsOp, flags []imap.Flag) error {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	if s.view == nil {
		return errNoFolder
	}
	f := s.view.folder
	f.source = s.view.tracker
	defer func() { f.source = nil }()
	for _, p := range found {
		m := f.byUID(p.uid)
		if m == nil {
			continue
		}
		next := changedFlags(m.flags, op, flags)
		if slices.Equal(next, m.flags) {
			continue
		}
		rec := record{Flags: &flagsSet{Account: s.account, Folder: f.name, UID: []uint32{p.uid}, Flags: next}}
		if err := s.m.store.commit(rec, nil); err != nil {
			return fmt.Errorf("pec: set flags: %w", err)
		}
	}
	return nil
}
