package pec

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"raccordo/contracts/delivery"
)

// Times of pec.md section 8, counted from the instants in the ticket: a restart forgets none of them.
const (
	acceptanceWarn  = 15 * time.Minute
	acceptanceAlarm = time.Hour
	outcomeAlarm    = (24 + 6) * time.Hour
)

const (
	askEvery   = 5 * time.Minute
	askPage    = 500
	maxWaiting = 200_000 // tickets that are kept track of
)

// A duty is a message of ours that waits for receipts.
type duty struct {
	ticket    string
	submitted time.Time
	accepted  time.Time // zero: no acceptance yet
}

// Late is how many messages of a mailbox wait for longer than they should.
type late struct{ acceptance, missing, outcome int }

// Duties are the messages that wait for receipts, by mailbox, as the hub told at the last time of asking.
type duties struct {
	asking sync.Mutex
	asked  time.Time // guarded by asking

	mu    sync.Mutex
	known bool
	boxes map[string][]duty
	told  map[string]late
	lost  int // messages that wait for receipts in mailboxes that nobody reads
}

// ask asks the hub which tickets wait, if nobody has within five minutes.
func (d *duties) ask(ctx context.Context, a *Adapter) {
	if a.env.Waiting == nil || !d.asking.TryLock() {
		return
	}
	defer d.asking.Unlock()
	now := a.env.Clock.Now()
	if !d.asked.IsZero() && now.Sub(d.asked).Abs() < askEvery {
		return
	}
	boxes, total := map[string][]duty{}, 0
	for after := ""; total < maxWaiting; {
		page, err := a.env.Waiting(ctx, after, askPage)
		if err != nil {
			a.env.Log.Warn("it is not known which receipts are due", "instance", a.env.Instance, "error", err)
			return
		}
		for _, t := range page {
			after = t.ID
			var sent delivery.Dispatch
			if len(t.Detail) == 0 || json.Unmarshal(t.Detail, &sent) != nil || sent.Mailbox == "" {
				continue // uncertain from the start: whoever resolves it searches for it
			}
			boxes[sent.Mailbox] = append(boxes[sent.Mailbox], duty{
				ticket: t.ID, submitted: first(sent.Submitted, t.Since), accepted: sent.AcceptedAt,
			})
			for _, id := range sent.IDs {
				a.intake.known.add(id, t.ID)
			}
		}
		if total += len(page); len(page) < askPage {
			break
		}
	}
	for _, all := range boxes {
		slices.SortFunc(all, func(a, b duty) int { return a.submitted.Compare(b.submitted) })
	}
	d.asked = now
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boxes, d.known = boxes, true
	d.tellLost(a)
}

// tellLost logs that receipts are due in mailboxes that are not in the configuration any more, when their number changes.
func (d *duties) tellLost(a *Adapter) {
	was, names := d.lost, []string(nil)
	d.lost = 0
	for name, all := range d.boxes {
		if a.intake.sources[name] == nil {
			d.lost += len(all)
			names = append(names, name)
		}
	}
	if d.lost == was || d.lost == 0 {
		return
	}
	slices.Sort(names)
	a.env.Log.Error("receipts are due in mailboxes that nobody reads: name them again in the configuration, with drain", "instance", a.env.Instance,
		"mailboxes", names[:min(len(names), maxNamed)], "messages", d.lost)
}

const maxNamed = 20 // mailboxes in one line of the log

// due reports whether receipts are due in a mailbox; so they may be as long as nobody knows.
func (d *duties) due(mailbox string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.known || len(d.boxes[mailbox]) > 0
}

// overdue gives the tickets of a mailbox that should have had a receipt by now and may still get one, the oldest first.
func (d *duties) overdue(mailbox string, now time.Time) (tickets []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.boxes[mailbox] {
		waits := now.Sub(x.submitted)
		if waits >= acceptanceWarn && waits <= listenFor {
			tickets = append(tickets, x.ticket)
		}
	}
	return tickets
}

// tell logs what is late in a mailbox, when that has changed.
func (d *duties) tell(a *Adapter, mailbox string) {
	now := a.env.Clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		return
	}
	var n late
	oldest := ""
	for _, x := range d.boxes[mailbox] {
		was := n
		waits := now.Sub(first(x.accepted, x.submitted))
		switch {
		case waits >= outcomeAlarm:
			n.outcome++
		case !x.accepted.IsZero():
		case waits >= acceptanceAlarm:
			n.missing++
		case waits >= acceptanceWarn:
			n.acceptance++
		}
		if oldest == "" && n != was {
			oldest = x.ticket
		}
	}
	was := d.told[mailbox]
	if was == n {
		return
	}
	if d.told == nil {
		d.told = map[string]late{}
	}
	d.told[mailbox] = n
	log := a.env.Log.Warn
	text := "receipts are late"
	switch {
	case n == late{}:
		log, text = a.env.Log.Info, "no receipts are late any more"
	case n.missing+n.outcome > 0:
		log = a.env.Log.Error
	}
	log(text, "instance", a.env.Instance, "mailbox", mailbox, "acceptance_15m", n.acceptance, "acceptance_60m", n.missing,
		"NO_OUTCOME", n.outcome, "oldest_ticket", oldest)
}
