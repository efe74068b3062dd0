package pec

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Mail is one message of a folder, as anybody with the password sees it.
type Mail struct {
	UID   uint32    `json:"uid"`
	At    time.Time `json:"at"` // INTERNALDATE
	Flags []string  `json:"flags,omitempty"`
	Size  int64     `json:"size"`
	Ref   string    `json:"ref,omitempty"` // X-Riferimento-Message-ID
}

// Mails lists a folder in the order of its UIDs, without touching it.
func (m *Mock) Mails(address, folder string) ([]Mail, error) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	f := m.store.folder(strings.ToLower(address), folder)
	if f == nil {
		return nil, fmt.Errorf("pec: mails: no such folder")
	}
	out := make([]Mail, 0, len(f.messages))
	for _, x := range f.messages {
		out = append(out, Mail{UID: x.uid, At: x.at, Flags: slices.Clone(x.flags), Size: x.raw.size, Ref: x.ref})
	}
	return out, nil
}

// Raw is the bytes of one mail.
func (m *Mock) Raw(address, folder string, uid uint32) ([]byte, error) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if f := m.store.folder(strings.ToLower(address), folder); f != nil {
		if x := f.byUID(uid); x != nil {
			return m.store.log.bytes(x.raw)
		}
	}
	return nil, fmt.Errorf("pec: raw: no such mail")
}

// Folders lists the folders of a mailbox.
func (m *Mock) Folders(address string) []string {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	var out []string
	if b := m.store.mailboxes[strings.ToLower(address)]; b != nil {
		for name := range b.folders {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Take is what another reader of the mailbox does: it deletes mails, or moves them to another folder, which is made when it
// is not there. Sessions that look at the folder hear of it as of any other reader.
func (m *Mock) Take(address, from, to string, uids ...uint32) error {
	address, now := strings.ToLower(address), m.clock.Now()
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	f := m.store.folder(address, from)
	if f == nil {
		return fmt.Errorf("pec: take: no such folder")
	}
	for _, uid := range uids {
		if f.byUID(uid) == nil {
			return fmt.Errorf("pec: take: the folder has no UID %d", uid)
		}
	}
	if to == "" {
		return m.store.commit(record{Remove: &removed{Account: address, Folder: f.name, UID: uids}}, nil)
	}
	target := m.store.folder(address, to)
	if target == nil {
		event := &folderEvent{Account: address, Name: folderName(to), Do: "create", Validity: m.store.freshValidity(now)}
		if err := m.store.commit(record{Folder: event}, nil); err != nil {
			return err
		}
		target = m.store.folder(address, to)
	}
	if target == f {
		return fmt.Errorf("pec: take: the mails are there already")
	}
	moved := &copied{Account: address, From: f.name, To: target.name, UID: uids, Move: true}
	for i := range uids {
		moved.NewUID = append(moved.NewUID, target.next+uint32(i))
	}
	return m.store.commit(record{Copy: moved}, nil)
}

// Mark is what another reader does that sets flags, "\Seen" by opening a mail in a browser, say.
func (m *Mock) Mark(address, folder, flag string, uids ...uint32) error {
	address = strings.ToLower(address)
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	f := m.store.folder(address, folder)
	if f == nil {
		return fmt.Errorf("pec: mark: no such folder")
	}
	for _, uid := range uids {
		x := f.byUID(uid)
		if x == nil {
			return fmt.Errorf("pec: mark: the folder has no UID %d", uid)
		}
		if x.hasNamed(flag) {
			continue
		}
		flags := append(slices.Clone(x.flags), flag)
		if err := m.store.commit(record{Flags: &flagsSet{Account: address, Folder: f.name, UID: []uint32{uid}, Flags: flags}}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Sessions counts who is logged into a mailbox by either protocol; with an empty address, into all of them.
func (m *Mock) Sessions(address string) (submitting, reading int) {
	address = strings.ToLower(address)
	m.mu.Lock()
	defer m.mu.Unlock()
	for box, open := range m.sessions {
		if address != "" && box != address {
			continue
		}
		for a := range open {
			if a.reads {
				reading++
			} else {
				submitting++
			}
		}
	}
	return submitting, reading
}
