package mail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"raccordo/contracts"
)

// A Session is one reading of a mailbox. It lives no longer than the context it was opened with: when that ends, the
// connection is closed under it, for the library knows no contexts. It reads only (EXAMINE, PEEK): people and webmail
// use the same mailbox, and flags are theirs. Its errors are *contracts.Error without any text of the server's.
type Session struct {
	client  *imapclient.Client
	meter   *metered
	release func()
	ctx     func() error
}

// A Head is what is asked of a message before its bytes.
type Head struct {
	UID      uint32
	Size     int64
	Received time.Time // INTERNALDATE: when the server first saw it
}

// A Place is where a message lies.
type Place struct {
	Folder   string
	Validity uint32 // UIDVALIDITY
	UID      uint32
}

// ErrTooBig is a message beyond the caller's limit; ErrGone one that was expunged since it was listed.
var (
	ErrTooBig = errors.New("message is larger than allowed")
	ErrGone   = errors.New("message is not there any more")
)

const maxFolders = 500

// OpenSession connects and logs in.
func OpenSession(ctx context.Context, server Server) (_ *Session, err error) {
	password, err := server.Password(ctx)
	if err != nil {
		return nil, err
	}
	conn, bare, err := server.dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		var t *tlsFailure
		if !errors.As(err, &t) {
			err = broken(err)
		}
		return nil, contracts.Errorf(contracts.Unavailable, "imap connect: %w", err)
	}
	meter := &metered{Conn: conn, silence: server.command()}
	meter.left.Store(listing)
	s := &Session{meter: meter, release: guard(ctx, bare), ctx: ctx.Err}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if server.StartTLS {
		s.client, err = imapclient.NewStartTLS(meter, &imapclient.Options{TLSConfig: server.tls()})
		if err != nil {
			_ = bare.Close()
			return nil, s.fault("starttls", err)
		}
	} else {
		s.client = imapclient.New(meter, nil)
	}
	if err := s.client.WaitGreeting(); err != nil {
		return nil, s.fault("greeting", err)
	}
	if err := s.client.Login(server.User, string(password)).Wait(); err != nil {
		return nil, s.fault("login", err)
	}
	return s, nil
}

// Close says goodbye, ends the connection and waits for its reader.
func (s *Session) Close() error {
	if s.client != nil {
		if s.client.State() != imap.ConnStateNotAuthenticated && s.ctx() == nil {
			logout := s.client.Logout()
			bye := time.AfterFunc(2*time.Second, func() { _ = s.client.Close() })
			_ = logout.Wait()
			bye.Stop()
		}
		_ = s.client.Close()
		<-s.client.Closed()
	}
	s.release()
	return nil
}

// Open selects a folder for reading and gives its UIDVALIDITY: when that differs from the one a cursor remembers, the
// cursor is void and the folder is to be read from its beginning.
func (s *Session) Open(folder string) (validity uint32, err error) {
	s.meter.left.Store(listing)
	data, err := s.client.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return 0, s.fault("examine", err)
	}
	if data.UIDValidity == 0 {
		return 0, contracts.Errorf(contracts.Malformed, "imap examine: the server gives no UIDVALIDITY")
	}
	return data.UIDValidity, nil
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
	s.meter.left.Store(overhead)
	got, err := s.client.Fetch(imap.UIDSetNum(imap.UID(uid)), &imap.FetchOptions{UID: true, RFC822Size: true, InternalDate: true}).Collect()
	if err != nil {
		return Head{}, s.fault("fetch", err)
	}
	if len(got) == 0 {
		return Head{}, ErrGone
	}
	return Head{UID: uid, Size: got[0].RFC822Size, Received: got[0].InternalDate}, nil
}

// Raw reads a message of the open folder exactly as stored. More than limit bytes are ErrTooBig, and the session is
// then of no more use; ask Head first.
func (s *Session) Raw(uid uint32, limit int64) ([]byte, error) {
	s.meter.left.Store(limit + overhead)
	section := &imap.FetchItemBodySection{Peek: true}
	fetch := s.client.Fetch(imap.UIDSetNum(imap.UID(uid)), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}})
	raw, there, err := s.readBody(fetch, limit)
	if err == nil {
		err = fetch.Close()
	}
	switch {
	case errors.Is(err, ErrTooBig):
		return nil, err
	case err != nil:
		return nil, s.fault("fetch", err)
	case raw == nil && there: // NIL: the server has the message and cannot give it; it must not be taken for gone
		return nil, contracts.Errorf(contracts.Unavailable, "imap fetch: the server gives a message without its bytes")
	case raw == nil:
		return nil, ErrGone
	}
	return raw, nil
}

// readBody gathers the body; there tells that the server spoke of one. After an error the command must not be touched again: the library's reader has gone on by
// then, and closing the command would read from under it. Closing the connection ends both.
func (s *Session) readBody(fetch *imapclient.FetchCommand, limit int64) (raw []byte, there bool, err error) {
	for msg := fetch.Next(); msg != nil; msg = fetch.Next() {
		for item := msg.Next(); item != nil; item = msg.Next() {
			body, ok := item.(imapclient.FetchItemDataBodySection)
			there = there || ok
			if !ok || body.Literal == nil || raw != nil {
				continue
			}
			size := body.Literal.Size()
			if size > limit {
				_ = s.meter.Close()
				_, _ = io.Copy(io.Discard, body.Literal) // up to the error that tells the library's reader to go on
				return nil, there, ErrTooBig
			}
			raw = make([]byte, size)
			if _, err := io.ReadFull(body.Literal, raw); err != nil {
				_ = s.meter.Close()
				return nil, there, err
			}
		}
	}
	return raw, there, nil
}

// Find looks in every folder that can be opened for messages whose header field holds value, and gives at most limit.
// Rules and people move receipts about. A folder that is not there or not for us is passed over; one that is only busy
// or away is an error, for what it holds is not known.
func (s *Session) Find(header, value string, limit int) ([]Place, error) {
	s.meter.left.Store(listing)
	folders, err := s.client.List("", "*", nil).Collect()
	if err != nil {
		return nil, s.fault("list", err)
	}
	var found []Place
	for _, f := range folders[:min(len(folders), maxFolders)] {
		if slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(f.Attrs, imap.MailboxAttrNonExistent) {
			continue
		}
		validity, err := s.Open(f.Mailbox)
		if closed(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		uids, err := s.search(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: header, Value: value}}}, 0, limit-len(found))
		if err != nil {
			return nil, err
		}
		for _, uid := range uids {
			found = append(found, Place{Folder: f.Mailbox, Validity: validity, UID: uid})
		}
	}
	return found, nil
}

// search gives at most limit UIDs beyond after, ascending. It enumerates the answer's ranges itself: a range costs the
// server a few bytes and could cost us four thousand million.
func (s *Session) search(criteria *imap.SearchCriteria, after uint32, limit int) ([]uint32, error) {
	s.meter.left.Store(listing)
	data, err := s.client.UIDSearch(criteria, nil).Wait()
	if err != nil {
		return nil, s.fault("search", err)
	}
	set, _ := data.All.(imap.UIDSet)
	ranges := slices.Clone(set)
	slices.SortFunc(ranges, func(a, b imap.UIDRange) int { return cmp.Compare(a.Start, b.Start) })
	var out []uint32
	for _, r := range ranges {
		for u := max(uint64(r.Start), uint64(after)+1); u <= uint64(r.Stop) && len(out) < limit; u++ {
			after = uint32(u)
			out = append(out, after)
		}
	}
	return out, nil
}

// fault says in our words what went wrong: a server's text may name the user, a parser's quotes the bytes.
func (s *Session) fault(command string, err error) error {
	var no *imap.Error
	switch {
	case errors.As(err, &no):
		kind := contracts.Unavailable
		switch {
		case no.Code == imap.ResponseCodeLimit, no.Code == imap.ResponseCodeInUse:
			kind = contracts.Throttled
		case no.Code == imap.ResponseCodeUnavailable, no.Code == imap.ResponseCodeServerBug:
		case no.Code == imap.ResponseCodeAuthenticationFailed, no.Code == imap.ResponseCodeAuthorizationFailed,
			no.Code == imap.ResponseCodeExpired, no.Code == imap.ResponseCodePrivacyRequired,
			command == "login" && no.Type == imap.StatusResponseTypeNo:
			kind = contracts.Denied
		case no.Type == imap.StatusResponseTypeNo && command == "examine": // a folder's absence is no answer about a message
			kind = contracts.Invalid
		case no.Type == imap.StatusResponseTypeBad:
			kind = contracts.Malformed
		}
		e := contracts.Errorf(kind, "imap %s: refused", command)
		e.Code = strings.TrimSpace(fmt.Sprintf("%s %s", no.Type, no.Code))
		return e
	case s.ctx() != nil:
		return contracts.Errorf(contracts.Unavailable, "imap %s: %w", command, s.ctx())
	case s.meter.lost.Load():
		return contracts.Errorf(contracts.Unavailable, "imap %s: connection lost", command)
	}
	return contracts.Errorf(contracts.Malformed, "imap %s: the answer breaks the protocol", command)
}

// closed reports whether a folder was refused for good: it does not exist, or is not ours to read.
func closed(err error) bool {
	var e *contracts.Error
	return errors.As(err, &e) && e.Code != "" && (e.Kind == contracts.Invalid || e.Kind == contracts.Denied)
}
