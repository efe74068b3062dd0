package pec

import (
	"context"
	"errors"
	"slices"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

const roundEvery = time.Hour

// Rounds are what is done beside reading, when there is nothing to read.
type rounds struct {
	made      time.Time // when the hourly ones were last finished
	failing   bool
	seen      map[mail.Place]int // readings that broke the connection; maxCuts: read, or given up
	from      int                // of the overdue tickets, the one that this hour's search begins with
	purgeFrom map[string]uint32  // by folder, the UID up to which this hour's purge has looked
	owedFrom  int                // of the messages that are owed to us, the one to begin with
}

// makeRounds does what is due, and gives the events of receipts that were found where nobody had looked.
func (s *source) makeRounds(ctx context.Context, at *places) (events []contracts.Event, err error) {
	now := s.a.env.Clock.Now()
	hourly := s.rounds.made.IsZero() || now.Sub(s.rounds.made).Abs() >= roundEvery
	s.in.duties.ask(ctx, s.a)
	s.in.duties.tell(s.a, s.box.Name)
	err = s.measure(hourly)
	if err == nil && hourly {
		var done bool
		if events, done, err = s.reconcile(ctx, at); err == nil && done {
			if err = s.purge(ctx, at); err == nil {
				s.rounds.made = now
				events, err = s.claimOwed(ctx, at, events)
			}
		}
	}
	if err == nil && len(events) == 0 {
		err = s.settle(at)
	}
	if err != nil && s.session.Broken() {
		return events, err
	}
	s.stumbled(err) // it is tried again at the next call, and does not stop the reading
	return events, nil
}

// stumbled logs when rounds stop or begin again to work.
func (s *source) stumbled(err error) {
	if failing := err != nil; failing != s.rounds.failing {
		s.rounds.failing = failing
		if failing {
			s.a.env.Log.Warn("quota, receipts that were moved, or purging cannot be looked after", "instance", s.a.env.Instance, "mailbox", s.box.Name, "error", err)
		}
	}
}

// settle opens the first watched folder again, for the server to tell of its news.
func (s *source) settle(at *places) error {
	f, err := s.session.Examine(s.folders[0])
	if err == nil && f.Next > at.of(s.folders[0]).Next {
		s.hint() // it came meanwhile
	}
	return err
}

const (
	maxReconciled = 500    // messages looked for in one round of one mailbox
	maxFound      = 20_000 // receipts of theirs in one folder
	listenFor     = 30 * 24 * time.Hour
	receiptField  = "X-Riferimento-Message-ID"
)

// reconcile looks in every folder for receipts of messages whose outcome is not known: rules and people move them. What
// it finds is archived and told like any other. done is false when there is more than one batch of it.
func (s *source) reconcile(ctx context.Context, at *places) (events []contracts.Event, done bool, err error) {
	wanted := s.in.duties.overdue(s.box.Name, s.a.env.Clock.Now())
	if len(wanted) == 0 {
		return nil, true, nil
	}
	values := make([]string, min(len(wanted), maxReconciled))
	for i := range values { // others the next hour, or the oldest would be looked for and nobody else
		values[i] = "h1." + wanted[(s.rounds.from+i)%len(wanted)] + "." // of every generation
	}
	folders, err := s.session.Folders()
	if err != nil {
		return nil, false, err
	}
	left := allowance{messages: maxBatch, bytes: s.in.share}
	for _, f := range folders {
		found, err := s.session.FindIn(f.Name, receiptField, values, maxFound)
		if kind := contracts.KindOf(err); err != nil && !s.session.Broken() && (kind == contracts.Invalid || kind == contracts.Denied) {
			continue // not there any more, or not for us
		}
		if err != nil {
			return events, false, err
		}
		for _, place := range found {
			if s.looked(at, place) {
				continue
			}
			if left.messages == 0 || left.bytes <= 0 {
				return events, false, nil
			}
			head, err := s.session.Head(place.UID)
			if errors.Is(err, mail.ErrGone) {
				continue
			}
			if err != nil {
				return events, false, err
			}
			e, err := s.single(ctx, place, head)
			if errors.As(err, new(ownFault)) {
				return events, false, err
			}
			if err != nil && s.session.Broken() {
				if s.rounds.seen[place]++; errors.Is(err, mail.ErrTooBig) {
					s.rounds.seen[place] = maxCuts
				}
				return events, false, err
			}
			left.messages--
			left.bytes -= min(head.Size, contracts.MaxRaw)
			if err != nil {
				continue // the next hour it may be given
			}
			s.rounds.seen[place] = maxCuts
			if e.Ref != "" {
				events = append(events, e)
			}
		}
	}
	s.rounds.from += len(values)
	if len(events) > 0 {
		s.a.env.Log.Warn("receipts were found outside of the watched folders; have the folder watched that they are moved to",
			"instance", s.a.env.Instance, "mailbox", s.box.Name, "receipts", len(events))
	}
	return events, true, nil
}

const maxSeen = 100_000

// looked reports whether a message has been read: by the cursor of a watched folder, or in a round of this process.
func (s *source) looked(at *places, place mail.Place) bool {
	for _, p := range at.Folders {
		if p.Folder == place.Folder && p.Validity == place.Validity && place.UID <= p.UID {
			return true
		}
	}
	if s.rounds.seen == nil || len(s.rounds.seen) > maxSeen {
		s.rounds.seen = map[mail.Place]int{}
	}
	return s.rounds.seen[place] >= maxCuts
}

// claimOwed asks again for messages that the server had listed and did not give, so often that they were passed over.
func (s *source) claimOwed(ctx context.Context, at *places, events []contracts.Event) ([]contracts.Event, error) {
	left := allowance{messages: maxBatch, bytes: s.in.share}
	for _, p := range at.Folders {
		if len(p.Owed) == 0 {
			continue
		}
		if f, err := s.session.Examine(p.Folder); err != nil || f.Validity != p.Validity {
			continue // whatever is wrong shows in the reading
		}
		for range len(p.Owed) {
			if left.messages--; left.messages < 0 || left.bytes <= 0 {
				return events, nil
			}
			s.rounds.owedFrom++ // one that breaks the connection must not hide the others
			i := s.rounds.owedFrom % len(p.Owed)
			place := mail.Place{Folder: p.Folder, Validity: p.Validity, UID: p.Owed[i]}
			head, err := s.session.Head(place.UID)
			var e contracts.Event
			if err == nil {
				e, err = s.single(ctx, place, head)
			}
			switch {
			case err == nil:
				events = append(events, e)
				left.bytes -= min(head.Size, contracts.MaxRaw)
			case errors.Is(err, mail.ErrGone):
			case s.session.Broken(), errors.As(err, new(ownFault)):
				return events, err
			default:
				continue
			}
			p.Owed = slices.Delete(p.Owed, i, i+1)
		}
	}
	return events, nil
}

const maxPurged = 200 // messages deleted in one round of one mailbox

// purge deletes receipts from a dedicated mailbox, where purge_after asks for it: those older than that, of watched
// folders, which count and are of messages of ours, and whose very bytes, fetched once more, are in the archive and in a
// completed backup. Without UIDPLUS, or without a word about backups, nothing is deleted.
func (s *source) purge(ctx context.Context, at *places) error {
	if s.box.PurgeAfter <= 0 || s.a.env.Backed == nil || !s.session.Has("UIDPLUS") {
		return nil
	}
	before := s.a.env.Clock.Now().Add(-s.box.PurgeAfter)
	left := maxPurged
	for _, p := range at.Folders {
		f, err := s.session.Examine(p.Folder)
		if err != nil || f.Validity != p.Validity {
			continue // whatever is wrong shows in the reading
		}
		uids, err := s.session.Older(before, receiptField, "h1.", s.rounds.purgeFrom[p.Folder], left)
		if err != nil {
			return err
		}
		var gone []uint32
		if s.rounds.purgeFrom == nil {
			s.rounds.purgeFrom = map[string]uint32{}
		}
		s.rounds.purgeFrom[p.Folder] = 0
		for _, uid := range uids {
			if uid > p.UID {
				break
			}
			ours, err := s.purgeable(ctx, uid, before)
			if err != nil {
				return err
			}
			if ours {
				gone = append(gone, uid)
			}
			left--
			s.rounds.purgeFrom[p.Folder] = uid // the rest is for the next round
		}
		if len(uids) < maxPurged {
			s.rounds.purgeFrom[p.Folder] = 0
		}
		if err := s.session.Erase(p.Folder, p.Validity, gone); err != nil {
			return err
		}
		if len(gone) > 0 {
			s.a.env.Log.Info("receipts were deleted from the mailbox; they are archived and backed up", "instance", s.a.env.Instance,
				"mailbox", s.box.Name, "receipts", len(gone))
		}
	}
	return nil
}

func (s *source) purgeable(ctx context.Context, uid uint32, before time.Time) (bool, error) {
	head, err := s.session.Head(uid)
	if errors.Is(err, mail.ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// The server compares days, in a zone of its own.
	if head.Received.IsZero() || !head.Received.Before(before) || head.Size > s.a.config.MaxReceipt {
		return false, nil
	}
	limit := max(head.Size, contracts.MaxRaw)
	give, err := s.in.room.take(ctx, limit)
	if err != nil {
		return false, err
	}
	defer give()
	raw, err := s.session.Raw(uid, limit)
	if errors.Is(err, mail.ErrGone) || errors.Is(err, mail.ErrNoBytes) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	got := s.judge(head, raw)
	if got.ref == "" || !got.receipt.Evidence.Counts {
		return false, nil
	}
	return s.a.env.Backed(ctx, contracts.SumOf(raw))
}
