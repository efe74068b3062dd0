package pec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

const (
	maxBatch  = 500      // messages that one call reads
	skimBytes = 64 << 10 // of a big message, to tell whether it is a receipt before all of it is fetched
)

// Reasons of events about messages that were not read whole.
const (
	ReasonUnreadable = "UNREADABLE"  // the server lists the message and does not give it
	ReasonNotFetched = "NOT_FETCHED" // a big letter, told by its beginning
)

// A position is how far a folder has been read.
type position struct {
	Folder   string `json:"folder"`
	Validity uint32 `json:"uidvalidity"`
	UID      uint32 `json:"uid"`
	// Next is the server's UIDNEXT up to which messages that were taken away have been counted.
	Next uint32 `json:"uidnext,omitempty"`
	// Owed are messages before UID that the server listed and did not give; they are asked for again every hour.
	Owed []uint32 `json:"owed,omitempty"`
}

const maxOwed = 1000 // of one folder

// Places are the positions in all watched folders: what a cursor holds.
type places struct {
	Folders []*position `json:"folders"`
}

// places reads a cursor. One that cannot be read sends us to the beginning: events have stable names, so that what is
// read twice counts once.
func (s *source) places(from contracts.Cursor) *places {
	at := &places{}
	if len(from) > 0 && (json.Unmarshal(from, at) != nil || slices.Contains(at.Folders, nil)) {
		s.a.env.Log.Warn("cursor cannot be read; reading the mailbox from its beginning", "instance", s.a.env.Instance, "mailbox", s.box.Name)
		return &places{}
	}
	return at
}

func (at *places) of(folder string) *position {
	i := slices.IndexFunc(at.Folders, func(p *position) bool { return p.Folder == folder })
	if i < 0 {
		at.Folders = append(at.Folders, &position{Folder: folder})
		i = len(at.Folders) - 1
	}
	return at.Folders[i]
}

func (at *places) cursor() (contracts.Cursor, error) { return json.Marshal(at) }

// collect reads a batch from the watched folders, in their order. more tells that there may be more at once.
func (s *source) collect(ctx context.Context, at *places) (events []contracts.Event, more bool, err error) {
	if err := s.spell(); err != nil {
		return nil, false, err
	}
	left := allowance{messages: maxBatch, bytes: s.in.share}
	for _, folder := range s.folders {
		got, more, err := s.folder(ctx, at.of(folder), &left)
		events = append(events, got...)
		if err != nil || more {
			return events, more, err
		}
	}
	if s.respell = len(s.absent) > 0; len(s.absent) == len(s.folders) {
		return events, false, contracts.Errorf(contracts.Invalid, "none of the watched folders is there; see the mailbox's folders in the configuration")
	}
	return events, false, nil
}

// An allowance is what a batch may still take.
type allowance struct {
	messages int
	bytes    int64
}

// spell finds the watched folders' names as the server has them: it may part them with a dot where the configuration has
// a slash.
func (s *source) spell() error {
	if len(s.folders) > 0 && !s.respell {
		return nil
	}
	watched := s.box.watched()
	if len(watched) == 1 && strings.EqualFold(watched[0], defaultFolder) {
		s.folders = watched
		return nil
	}
	listed, err := s.session.Folders()
	if err != nil {
		return err
	}
	s.folders = make([]string, len(watched))
	for i, name := range watched {
		s.folders[i] = name
		for _, l := range listed {
			if l.Name == name {
				s.folders[i] = name
				break
			}
			if l.Delim != 0 && l.Name == strings.ReplaceAll(name, "/", string(l.Delim)) {
				s.folders[i] = l.Name
			}
		}
	}
	maps.DeleteFunc(s.absent, func(name string, _ bool) bool { return !slices.Contains(s.folders, name) })
	return nil
}

// folder reads what is new in one folder, as much as is allowed, and moves its position.
func (s *source) folder(ctx context.Context, p *position, left *allowance) (events []contracts.Event, more bool, err error) {
	f, err := s.session.Examine(p.Folder)
	if contracts.KindOf(err) == contracts.Invalid && err != nil {
		if !s.absent[p.Folder] {
			s.absent[p.Folder] = true
			s.a.env.Log.Error("a watched folder is not there; what is filed into it is not read", "instance", s.a.env.Instance, "mailbox", s.box.Name)
		}
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	delete(s.absent, p.Folder)
	if p.Validity != f.Validity {
		if p.Validity != 0 {
			s.a.env.Log.Warn("a folder was renumbered; reading it from its beginning", "instance", s.a.env.Instance, "mailbox", s.box.Name)
		}
		*p = position{Folder: p.Folder, Validity: f.Validity}
	}
	if f.Next > 0 && f.Next <= p.UID && s.rewinds(p.Folder) {
		// The server was put back to an earlier state: it gives numbers anew that we have read under.
		s.a.env.Log.Warn("a folder is older than what was read of it; reading it from its beginning", "instance", s.a.env.Instance, "mailbox", s.box.Name)
		*p = position{Folder: p.Folder, Validity: f.Validity}
	}
	limit := left.messages
	uids, err := s.session.After(p.UID, limit)
	if err != nil {
		return nil, false, err
	}
	heads, err := s.session.Heads(uids)
	if err != nil {
		return nil, false, err
	}
	start := *p
	events, err = s.messages(ctx, p, heads, left)
	all := err == nil && len(uids) < limit && (len(heads) == 0 || p.UID >= heads[len(heads)-1].UID)
	if all && len(uids) > 0 {
		p.UID = max(p.UID, uids[len(uids)-1]) // the last ones may have gone
	}
	s.missed(start, p, len(events), f.Next, all)
	return events, !all && err == nil, err
}

// rewinds allows a folder to be read anew once an hour: what a server says of UIDNEXT may be wrong for good.
func (s *source) rewinds(folder string) bool {
	now := s.a.env.Clock.Now()
	if at := s.rewound[folder]; !at.IsZero() && now.Sub(at).Abs() < roundEvery {
		return false
	}
	s.rewound[folder] = now
	return true
}

// messages makes events of the messages listed, in their order, as many as are allowed.
func (s *source) messages(ctx context.Context, p *position, heads []mail.Head, left *allowance) (events []contracts.Event, err error) {
	for len(heads) > 0 && left.messages > 0 && left.bytes > 0 {
		at := mail.Place{Folder: p.Folder, Validity: p.Validity, UID: heads[0].UID}
		var got []contracts.Event
		n := s.together(at, heads, left)
		if n > 0 {
			got, n, err = s.several(ctx, at, heads[:n])
		} else {
			var e contracts.Event
			n = 1
			switch e, err = s.single(ctx, at, heads[0]); {
			case err == nil:
				got = []contracts.Event{e}
			case errors.Is(err, mail.ErrGone):
				err = nil
			default:
				n = 0
			}
		}
		for _, h := range heads[:n] {
			left.messages--
			left.bytes -= min(h.Size, contracts.MaxRaw)
			p.UID = h.UID
		}
		events = append(events, got...)
		if err == nil {
			heads = heads[n:]
			continue
		}
		if n > 0 {
			at.UID = heads[n].UID
		}
		e, err := s.hitch.trip(ctx, s, at, heads[n], err)
		if err == nil {
			events, p.UID = append(events, e), at.UID
			if len(p.Owed) < maxOwed {
				p.Owed = append(p.Owed, at.UID)
			}
		}
		return events, err // either way the connection may be gone
	}
	return events, nil
}

// together counts the messages at the front that are small enough to be fetched in one round trip.
func (s *source) together(first mail.Place, heads []mail.Head, left *allowance) (n int) {
	if s.hitch.alone(first) {
		return 0
	}
	var bytes int64
	for _, h := range heads {
		bytes += h.Size
		if h.Size > min(contracts.MaxRaw, s.a.config.MaxReceipt) || n == left.messages || n > 0 && bytes > left.bytes {
			break
		}
		n++
	}
	return n
}

// several fetches small messages at one go and judges them side by side while the next arrive. done tells how many at the
// front are dealt with, also with an error.
func (s *source) several(ctx context.Context, at mail.Place, heads []mail.Head) (events []contracts.Event, done int, err error) {
	type slot struct {
		letter *reading // made an event of when all are here: it may answer what a receipt beside it names
		raw    []byte
		event  contracts.Event
		err    error
		got    bool
	}
	slots, index := make([]slot, len(heads)), make(map[uint32]int, len(heads))
	for i, h := range heads {
		index[h.UID] = i
	}
	var wg sync.WaitGroup
	err = s.session.Bodies(heads, contracts.MaxRaw, func(b mail.Body) {
		i, ok := index[b.UID]
		if !ok || slots[i].got || b.Raw == nil || empty(b.Raw, heads[i]) {
			return
		}
		slots[i].got = true
		wg.Go(func() {
			s.in.cpus <- struct{}{}
			defer func() { <-s.in.cpus }()
			got, at := s.judge(heads[i], b.Raw), at
			if at.UID = b.UID; isLetter(got) {
				slots[i].letter, slots[i].raw = &got, b.Raw
				return
			}
			slots[i].event, slots[i].err = s.event(at, heads[i], b.Raw, got)
		})
	})
	wg.Wait()
	for i := range slots {
		at.UID = heads[i].UID
		switch {
		case slots[i].letter != nil:
			slots[i].event, slots[i].err = s.event(at, heads[i], slots[i].raw, *slots[i].letter)
		case slots[i].got:
		case err == nil: // it was listed and did not come: gone, or to be asked for alone
			slots[i].event, slots[i].err = s.single(ctx, at, heads[i])
		default:
			return events, done, err
		}
		switch {
		case errors.Is(slots[i].err, mail.ErrGone):
		case slots[i].err != nil:
			return events, done, slots[i].err
		default:
			events = append(events, slots[i].event)
		}
		done++
	}
	if done == len(heads) {
		err = nil // all are here, whatever came after them
	}
	return events, done, err
}

// single fetches one message by itself.
func (s *source) single(ctx context.Context, at mail.Place, head mail.Head) (contracts.Event, error) {
	limit := min(max(head.Size, contracts.MaxRaw), s.a.config.MaxReceipt)
	if s.hitch.alone(at) {
		limit = s.a.config.MaxReceipt // its size may have been wrong
	}
	if head.Size > limit || head.Size > contracts.MaxRaw {
		start, err := s.session.Start(at.UID, skimBytes)
		if err != nil {
			return contracts.Event{}, err
		}
		if e, foreign, err := s.skim(at, head, start); foreign || err != nil {
			return e, err
		}
	}
	if head.Size > s.a.config.MaxReceipt {
		return s.oversize(at, head)
	}
	give, err := s.in.room.take(ctx, limit)
	if err != nil {
		return contracts.Event{}, ownFault{err}
	}
	defer give()
	raw, err := s.session.Raw(at.UID, limit)
	if errors.Is(err, mail.ErrTooBig) && limit == s.a.config.MaxReceipt {
		return s.oversize(at, head)
	}
	if err == nil && empty(raw, head) {
		err = contracts.Errorf(contracts.Unavailable, "imap fetch: %w", mail.ErrNoBytes)
	}
	if err != nil {
		return contracts.Event{}, err
	}
	e, err := s.event(at, head, raw, s.judge(head, raw))
	if err != nil || len(e.Raw) == 0 || len(raw) <= contracts.MaxRaw {
		return e, err
	}
	e.Raw = nil
	if _, err := s.a.env.Keep(ctx, bytes.NewReader(raw), int64(len(raw))); err != nil {
		return e, ownFault{contracts.Errorf(contracts.KindOf(err), "archive: %w", err)}
	}
	return e, nil
}

// empty tells of a message of which the server gives nothing, though it has a size: it must not pass for a letter.
func empty(raw []byte, head mail.Head) bool { return len(raw) == 0 && head.Size > 0 }

// event makes the event of a message as fetched and judged. Its bytes go with the event if it attests anything; other people's letters are not
// ours to keep.
func (s *source) event(at mail.Place, head mail.Head, raw []byte, got reading) (contracts.Event, error) {
	sum := contracts.SumOf(raw)
	if isLetter(got) {
		if e, ok, err := s.reply(at, head, raw, got); ok || err != nil {
			return e, err
		}
		return s.tell(got, sum.String())
	}
	s.in.known.meet(s.box.Name, got)
	e, err := s.tell(got, sum.String())
	e.Proof, e.Raw = []contracts.Sum{sum}, [][]byte{raw}
	return e, err
}

// isLetter reports whether a message is mail rather than an attestation about some.
func isLetter(got reading) bool {
	return got.kind == KindEnvelope || got.kind == KindForeign && got.receipt.Reason == ReasonOrdinary
}

// judge reads a message, whatever it is made of: the libraries below have never seen it either.
func (s *source) judge(head mail.Head, raw []byte) (got reading) {
	now := s.a.env.Clock.Now()
	defer func() {
		if v := recover(); v != nil {
			s.a.env.Log.Error("a message could not be read for a fault of ours; it is kept", "instance", s.a.env.Instance,
				"mailbox", s.box.Name, "digest", contracts.SumOf(raw).String(), "panic", fmt.Sprintf("%T", v))
			got = s.box.reader.blank(head.Received, now)
			got.receipt.Reason = ReasonUnreadable
			got.judge()
		}
	}()
	return s.box.reader.read(raw, head.Received, now)
}

// skim tells from the beginning of a big message whether it is somebody's letter: then it is not fetched, and named by its
// place.
func (s *source) skim(at mail.Place, head mail.Head, start []byte) (e contracts.Event, foreign bool, err error) {
	root, rerr := readEntity(start)
	if rerr != nil {
		return e, false, nil // whole, it may still be read
	}
	m := mark(root)
	if m.anomaly || m.odd || m.tipo != "" && m.tipo != tipoBusta || m.tipo == "" && root.count("x-riferimento-message-id") > 0 {
		return e, false, nil
	}
	got := s.box.reader.blank(head.Received, s.a.env.Clock.Now())
	got.kind, got.receipt.Reason = KindForeign, ReasonOrdinary
	if m.tipo == tipoBusta {
		got.kind, got.receipt.Reason = KindEnvelope, ""
	}
	got.receipt.Evidence.Verdict, got.receipt.Doubt = string(Unverifiable), ReasonNotFetched
	got.judge()
	if e, ok, err := s.reply(at, head, start, got); ok || err != nil {
		return e, true, err
	}
	e, err = s.tell(got, name(at))
	return e, true, err
}

// oversize is a message that is not fetched at all. Its place names it, for its digest is not known.
func (s *source) oversize(at mail.Place, head mail.Head) (contracts.Event, error) {
	return s.tell(s.box.reader.oversize(head.Received, s.a.env.Clock.Now()), name(at))
}

// unreadable is a message that the server lists and does not give.
func (s *source) unreadable(at mail.Place, head mail.Head) (contracts.Event, error) {
	got := s.box.reader.blank(head.Received, s.a.env.Clock.Now())
	got.receipt.Evidence.Verdict = string(Unverifiable)
	got.receipt.Doubt, got.receipt.Reason = ReasonUnreadable, ReasonUnreadable
	got.judge()
	return s.tell(got, name(at))
}

func name(at mail.Place) string { return fmt.Sprintf("%s/%d/%d", at.Folder, at.Validity, at.UID) }

// tell makes the event, and tells the log of what an operator should see and no ticket will show.
func (s *source) tell(got reading, name string) (contracts.Event, error) {
	r := &got.receipt
	level := slog.LevelDebug
	switch {
	case isLetter(got): // ordinary traffic of a shared mailbox
	case got.kind == KindAnomaly, !r.Verdict().Counts():
		level = slog.LevelWarn
	}
	s.a.env.Log.Log(context.Background(), level, "message read", "instance", s.a.env.Instance, "mailbox", s.box.Name, "kind", got.kind,
		"verdict", string(r.Verdict()), "doubt", r.Doubt, "reason", r.Reason, "ticket", got.ref)
	return event(s.box, got, name)
}

// event names a reading by mailbox and bytes, so that the same message read twice is the same event.
func event(b *mailbox, got reading, name string) (contracts.Event, error) {
	data, err := contracts.Encode(got.receipt)
	if err != nil {
		return contracts.Event{}, err
	}
	e := contracts.Event{ID: b.Name + "/" + name, Kind: got.kind, Ref: got.ref, At: got.receipt.Evidence.IssuedAt, Data: data}
	if e.At.IsZero() {
		e.At = first(got.receipt.Received, got.receipt.Evidence.SeenAt)
	}
	return e, nil
}

func first(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
