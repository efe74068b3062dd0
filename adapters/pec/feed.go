package pec

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

const (
	maxBatch   = 100      // messages read from one mailbox at one call
	batchBytes = 64 << 20 // after which a batch ends early
	readers    = 4        // mailboxes read at the same time
)

// A position is how far a mailbox has been read.
type position struct {
	Folder   string `json:"folder"`
	Validity uint32 `json:"uidvalidity"`
	UID      uint32 `json:"uid"`
}

// Feed reads what came into every mailbox after the cursor: archives each message as fetched, judges its signature and
// names the ticket it bears on. A mailbox that cannot be read keeps its place in the cursor and is tried at the next
// call; only if all fail is there an error. Flags in the mailbox are left alone.
func (a *Adapter) Feed(ctx context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	at := a.positions(from)
	type outcome struct {
		events []contracts.Event
		next   position
		err    error
	}
	outcomes := make([]outcome, len(a.boxes))
	var wg sync.WaitGroup
	turns := make(chan int)
	for range min(readers, len(a.boxes)) {
		wg.Go(func() {
			for i := range turns {
				o, b := &outcomes[i], a.boxes[i]
				if ctx.Err() != nil { // its turn comes first at the next call
					o.next, o.err = at[b.Name], contracts.Errorf(contracts.Unavailable, "not read: no time was left")
					continue
				}
				b.begin(a.readings.Add(1))
				o.events, o.next, o.err = a.read(ctx, b, at[b.Name])
			}
		})
	}
	for _, i := range a.order() {
		turns <- i // whoever reads stops when ctx ends
	}
	close(turns)
	wg.Wait()
	var events []contracts.Event
	var errs []error
	for i, b := range a.boxes {
		o := outcomes[i]
		a.told(b, o.err)
		// What was read before a failure counts: it is archived, and its place is known.
		events = append(events, o.events...)
		at[b.Name] = o.next
		if o.err != nil {
			errs = append(errs, fmt.Errorf("mailbox %s: %w", b.Name, o.err))
		}
	}
	if len(errs) == len(a.boxes) && len(events) == 0 {
		return nil, from, &contracts.Error{Kind: contracts.KindOf(errs[0]), System: a.env.Instance, Operation: "feed", Err: oneLine(errs)}
	}
	cursor, err := json.Marshal(at)
	if err != nil {
		return nil, from, &contracts.Error{Kind: contracts.Internal, System: a.env.Instance, Operation: "feed", Err: err}
	}
	return events, cursor, nil
}

// order gives the mailboxes by their last turn, the longest ago first: servers that do not answer may use up the time of
// one call, and must not use up that of the other mailboxes at each.
func (a *Adapter) order() []int {
	order, last := make([]int, len(a.boxes)), make([]uint64, len(a.boxes))
	for i, b := range a.boxes {
		order[i], last[i] = i, b.lastRead()
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(last[i], last[j]) })
	return order
}

// positions reads a cursor. One that cannot be read sends us to the beginning: events have stable names, so that what
// is read twice counts once.
func (a *Adapter) positions(from contracts.Cursor) map[string]position {
	at := map[string]position{}
	if len(from) > 0 && json.Unmarshal(from, &at) != nil {
		a.env.Log.Warn("cursor cannot be read; reading every mailbox from its beginning", "instance", a.env.Instance)
		return map[string]position{}
	}
	return at
}

// told logs when a mailbox stops or begins again to be readable, not each time it is so.
func (a *Adapter) told(b *mailbox, err error) {
	if !b.changed(err) {
		return
	}
	if err != nil {
		a.env.Log.Warn("mailbox cannot be read", "instance", a.env.Instance, "mailbox", b.Name, "kind", contracts.KindOf(err), "error", err)
		return
	}
	a.env.Log.Info("mailbox is read", "instance", a.env.Instance, "mailbox", b.Name)
}

// read takes a batch from one mailbox. next is how far it came, also with an error.
func (a *Adapter) read(ctx context.Context, b *mailbox, from position) (events []contracts.Event, next position, err error) {
	next = from
	s, err := mail.OpenSession(ctx, b.in)
	if err != nil {
		b.refused(ctx, err)
		return nil, next, err
	}
	defer func() { _ = s.Close() }() // it only ever says goodbye
	validity, err := s.Open(b.Folder)
	if err != nil {
		return nil, next, err
	}
	if from.Folder != b.Folder || from.Validity != validity {
		if from.Validity != 0 {
			a.env.Log.Warn("mailbox was renumbered; reading it from its beginning", "instance", a.env.Instance, "mailbox", b.Name)
		}
		next = position{Folder: b.Folder, Validity: validity}
	}
	uids, err := s.After(next.UID, maxBatch)
	if err != nil {
		return nil, next, err
	}
	var size int64
	for _, uid := range uids {
		e, n, err := a.fetch(ctx, s, b, mail.Place{Folder: b.Folder, Validity: validity, UID: uid})
		if errors.Is(err, mail.ErrGone) {
			next.UID = uid
			continue
		}
		if err != nil {
			return events, next, err
		}
		events, next.UID = append(events, e), uid
		if size += n; size > batchBytes {
			break
		}
	}
	return events, next, nil
}

// fetch makes one message an event.
func (a *Adapter) fetch(ctx context.Context, s *mail.Session, b *mailbox, at mail.Place) (e contracts.Event, size int64, err error) {
	head, err := s.Head(at.UID)
	if err != nil {
		return e, 0, err
	}
	if head.Size > a.config.MaxReceipt {
		return a.oversize(b, at, head)
	}
	raw, err := s.Raw(at.UID, a.config.MaxReceipt)
	if errors.Is(err, mail.ErrTooBig) { // larger than the server had said
		return a.oversize(b, at, head)
	}
	if err != nil {
		return e, 0, err
	}
	sum, err := a.env.Keep(ctx, bytes.NewReader(raw), a.config.MaxReceipt)
	if err != nil {
		return e, 0, contracts.Errorf(contracts.KindOf(err), "archive: %w", err)
	}
	got := b.reader.read(raw, head.Received, a.env.Clock.Now())
	e, err = event(b, got, contracts.SumOf(raw).String())
	e.Proof = []contracts.Sum{sum}
	a.notice(b, got)
	return e, head.Size, err
}

// oversize is a message that is not fetched at all. Its place names it, for its digest is not known.
func (a *Adapter) oversize(b *mailbox, at mail.Place, head mail.Head) (contracts.Event, int64, error) {
	got := b.reader.oversize(head.Received, a.env.Clock.Now())
	a.notice(b, got)
	e, err := event(b, got, fmt.Sprintf("%s/%d/%d", at.Folder, at.Validity, at.UID))
	return e, 0, err
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

// notice tells the log of what an operator should see and no ticket will show.
func (a *Adapter) notice(b *mailbox, got reading) {
	r := &got.receipt
	level := slog.LevelDebug
	switch {
	case got.kind == KindForeign && r.Reason == ReasonOrdinary, got.kind == KindEnvelope: // ordinary traffic of a shared mailbox
	case got.kind == KindAnomaly, !r.Verdict().Counts():
		level = slog.LevelWarn
	}
	a.env.Log.Log(context.Background(), level, "message read", "instance", a.env.Instance, "mailbox", b.Name, "kind", got.kind,
		"verdict", string(r.Verdict()), "doubt", r.Doubt, "reason", r.Reason, "ticket", got.ref)
}
