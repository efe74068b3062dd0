package pec

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// A folder is one IMAP mailbox. It is guarded by the store's lock. UIDs ascend in messages.
type folder struct {
	name       string
	box        *mailbox
	validity   uint32
	next       uint32
	subscribed bool
	messages   []*message
	tracker    *imapserver.MailboxTracker
	views      map[*view]struct{}
	source     *imapserver.SessionTracker // whose STORE is being applied: it answers for itself
}

// A message in a folder; its bytes are in the log.
type message struct {
	uid   uint32
	at    time.Time // INTERNALDATE
	flags []string
	raw   span
	head  int64  // length of the header with its empty line
	ref   string // X-Riferimento-Message-ID, kept at hand because reconcilers search for it all the time
}

// A view is one session's window on a folder. Changes wake it; a wake-up that comes while nobody waits is kept, so that
// IDLE misses nothing however close to its beginning a message arrives.
type view struct {
	folder  *folder
	tracker *imapserver.SessionTracker
	wake    chan struct{}
	drop    func() // ends the session, for a folder that is no longer what the client believes
}

func newFolder(name string, validity uint32, box *mailbox) *folder {
	return &folder{
		name: name, box: box, validity: validity, next: 1,
		tracker: imapserver.NewMailboxTracker(0),
		views:   make(map[*view]struct{}),
	}
}

func (f *folder) open(drop func()) *view {
	v := &view{folder: f, tracker: f.tracker.NewSession(), wake: make(chan struct{}, 1), drop: drop}
	f.views[v] = struct{}{}
	return v
}

func (v *view) close() {
	if _, ok := v.folder.views[v]; ok {
		delete(v.folder.views, v)
		v.tracker.Close()
	}
}

// changed wakes every session that looks at the folder.
func (f *folder) changed() {
	for v := range f.views {
		select {
		case v.wake <- struct{}{}:
		default:
		}
	}
}

func (f *folder) add(m *message) {
	f.messages = append(f.messages, m)
	f.box.used += m.raw.size
	f.next = max(f.next, m.uid+1)
	f.tracker.QueueNumMessages(uint32(len(f.messages)))
	f.changed()
}

func (f *folder) index(uid uint32) (int, bool) {
	return sort.Find(len(f.messages), func(i int) int { return int(int64(uid) - int64(f.messages[i].uid)) })
}

func (f *folder) byUID(uid uint32) *message {
	if i, ok := f.index(uid); ok {
		return f.messages[i]
	}
	return nil
}

func (f *folder) remove(uids []uint32) {
	for _, uid := range uids {
		i, ok := f.index(uid)
		if !ok {
			continue
		}
		f.box.used -= f.messages[i].raw.size
		f.messages = slices.Delete(f.messages, i, i+1)
		f.tracker.QueueExpunge(uint32(i) + 1)
	}
	f.changed()
}

func (f *folder) setFlags(uids []uint32, flags []string) {
	for _, uid := range uids {
		if i, ok := f.index(uid); ok {
			f.messages[i].flags = flags
			f.tracker.QueueMessageFlags(uint32(i)+1, imap.UID(uid), imapFlags(flags), f.source)
		}
	}
	f.changed()
}

// renumber gives every message a new UID under a new UIDVALIDITY; whoever has the folder open is thrown out.
func (f *folder) renumber(validity uint32) {
	f.validity, f.next = validity, 1
	for _, m := range f.messages {
		m.uid = f.next
		f.next++
	}
	f.close()
}

// close throws out every session that looks at the folder.
func (f *folder) close() {
	for v := range f.views {
		v.drop()
	}
}

func (f *folder) count(flag imap.Flag) uint32 {
	var n uint32
	for _, m := range f.messages {
		if m.has(flag) {
			n++
		}
	}
	return n
}

func (f *folder) size() int64 {
	var n int64
	for _, m := range f.messages {
		n += m.raw.size
	}
	return n
}

func (m *message) has(flag imap.Flag) bool { return m.hasNamed(string(flag)) }

func (m *message) hasNamed(flag string) bool {
	return slices.ContainsFunc(m.flags, func(have string) bool { return strings.EqualFold(have, flag) })
}

func imapFlags(flags []string) []imap.Flag {
	out := make([]imap.Flag, 0, len(flags))
	for _, f := range flags {
		out = append(out, imap.Flag(f))
	}
	return out
}

// changedFlags applies a STORE to the flags a message has.
func changedFlags(have []string, op imap.StoreFlagsOp, flags []imap.Flag) []string {
	out := slices.Clone(have)
	if op == imap.StoreFlagsSet {
		out = nil
	}
	for _, f := range flags {
		out = slices.DeleteFunc(out, func(x string) bool { return strings.EqualFold(x, string(f)) })
		if op != imap.StoreFlagsDel {
			out = append(out, string(f))
		}
	}
	return out
}
