package mail

import (
	"cmp"
	"errors"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"raccordo/contracts"
)

// A Folder is how a folder stood when it was opened.
type Folder struct {
	Validity uint32 // UIDVALIDITY: when it differs from the one a cursor remembers, the cursor is void
	Next     uint32 // UIDNEXT: whatever comes later has at least this UID; zero: the server did not say
	Messages uint32
}

// Open opens a folder for reading and gives its UIDVALIDITY.
func (s *Session) Open(folder string) (validity uint32, err error) {
	f, err := s.Examine(folder)
	return f.Validity, err
}

// Examine opens a folder for reading. On one that is open already it looks anew.
func (s *Session) Examine(folder string) (Folder, error) {
	defer s.expect(listing)()
	s.folder = ""
	data, err := s.client.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return Folder{}, s.fault("examine", err)
	}
	if data.UIDValidity == 0 {
		return Folder{}, contracts.Errorf(contracts.Malformed, "imap examine: the server gives no UIDVALIDITY")
	}
	s.folder = folder
	return Folder{Validity: data.UIDValidity, Next: uint32(data.UIDNext), Messages: data.NumMessages}, nil
}

// After lists, in ascending order, at most limit UIDs of the open folder beyond uid.
func (s *Session) After(uid uint32, limit int) ([]uint32, error) {
	if uid == ^uint32(0) {
		return nil, nil
	}
	var set imap.UIDSet
	set.AddRange(imap.UID(uid)+1, 0) // 0 is "*", and "n:*" brings the last message even when it lies before n
	return s.search(&imap.SearchCriteria{UID: []imap.UIDSet{set}}, uid, limit)
}

// Head asks for size and date of a message of the open folder.
func (s *Session) Head(uid uint32) (Head, error) {
	heads, err := s.Heads([]uint32{uid})
	if err != nil {
		return Head{}, err
	}
	if len(heads) == 0 {
		return Head{}, ErrGone
	}
	return heads[0], nil
}

// Heads asks for sizes and dates of messages of the open folder, in one round trip. They come in ascending order of UID;
// those that are gone are missing.
func (s *Session) Heads(uids []uint32) ([]Head, error) {
	if len(uids) == 0 {
		return nil, nil
	}
	defer s.expect(overhead + int64(len(uids))*1024)()
	got, err := s.client.Fetch(setOf(uids), &imap.FetchOptions{UID: true, RFC822Size: true, InternalDate: true}).Collect()
	if err != nil {
		return nil, s.fault("fetch", err)
	}
	heads := make([]Head, 0, len(got))
	for _, m := range got {
		heads = append(heads, Head{UID: uint32(m.UID), Size: m.RFC822Size, Received: m.InternalDate})
	}
	slices.SortFunc(heads, func(a, b Head) int { return cmp.Compare(a.UID, b.UID) })
	return heads, nil
}

func setOf(uids []uint32) imap.UIDSet {
	var set imap.UIDSet
	for _, uid := range uids {
		set.AddNum(imap.UID(uid))
	}
	return set
}

// Raw reads a message of the open folder exactly as stored. More than limit bytes are ErrTooBig, and the session is
// then of no more use; ask Head first.
func (s *Session) Raw(uid uint32, limit int64) ([]byte, error) {
	return s.section(uid, &imap.FetchItemBodySection{Peek: true}, limit)
}

// Start reads the first n bytes of a message of the open folder, or all where it has fewer.
func (s *Session) Start(uid uint32, n int64) ([]byte, error) {
	return s.section(uid, &imap.FetchItemBodySection{Peek: true, Partial: &imap.SectionPartial{Size: n}}, n)
}

func (s *Session) section(uid uint32, section *imap.FetchItemBodySection, limit int64) (raw []byte, err error) {
	there := false
	err = s.fetch([]uint32{uid}, section, limit+limit/32+overhead, func(_ uint32, size int64, r io.Reader) error {
		switch {
		case r == nil:
			there = true
			return nil
		case size > limit:
			return ErrTooBig
		}
		raw = make([]byte, size)
		_, err := io.ReadFull(r, raw)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case raw == nil && there: // NIL: it must not be taken for gone
		return nil, contracts.Errorf(contracts.Unavailable, "imap fetch: %w", ErrNoBytes)
	case raw == nil:
		return nil, ErrGone
	}
	return raw, nil
}

// fetch asks for one section of messages and hands each over as it comes: with r nil where the server says NIL. An error
// of body, which is the reader's own or ErrTooBig, ends the session's use and is returned: the library's reader has gone on
// by then, and closing the command would read from under it, while closing the connection ends both.
func (s *Session) fetch(uids []uint32, section *imap.FetchItemBodySection, allow int64, body func(uid uint32, size int64, r io.Reader) error) error {
	defer s.expect(allow)()
	cmd := s.client.Fetch(setOf(uids), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}})
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		var uid uint32
		had := false
		for item := msg.Next(); item != nil; item = msg.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				uid = uint32(item.UID)
			case imapclient.FetchItemDataBodySection:
				if had || uid == 0 {
					continue
				}
				had = true
				var err error
				if item.Literal == nil {
					err = body(uid, 0, nil)
				} else {
					err = body(uid, item.Literal.Size(), item.Literal)
				}
				if err == nil {
					continue
				}
				s.give()
				if errors.Is(err, ErrTooBig) {
					// Up to its end, or the error that tells the library's reader to go on; what lies in its buffer comes yet.
					if _, lost := io.Copy(io.Discard, item.Literal); lost == nil {
						_ = cmd.Close()
					}
					return err
				}
				return s.fault("fetch", err)
			}
		}
	}
	if err := cmd.Close(); err != nil {
		return s.fault("fetch", err)
	}
	return nil
}

// A Body is one message of a batch.
type Body struct {
	UID uint32
	Raw []byte // nil: the server lists the message and gives no bytes
}

// Bodies reads messages of the open folder in one round trip and hands each over as it comes, in the server's order, for
// whoever works on one while the next is under way. A message that turns out larger than most bytes ends it with
// ErrTooBig, and ends the session's use; those handed over before are whole. What is not handed over without an error was
// not given: ask for it alone.
func (s *Session) Bodies(heads []Head, most int64, each func(Body)) error {
	uids, allow := make([]uint32, len(heads)), int64(overhead)
	for i, h := range heads {
		uids[i] = h.UID
		allow += h.Size + h.Size/32 + 1024
	}
	return s.fetch(uids, &imap.FetchItemBodySection{Peek: true}, allow+most, func(uid uint32, size int64, r io.Reader) error {
		if r == nil {
			each(Body{UID: uid})
			return nil
		}
		if size > most {
			return ErrTooBig
		}
		raw := make([]byte, size)
		if _, err := io.ReadFull(r, raw); err != nil {
			return err
		}
		each(Body{UID: uid, Raw: raw})
		return nil
	})
}
