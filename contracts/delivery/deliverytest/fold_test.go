package deliverytest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// fold moves a dispatch by a receipt.
func (c *carrier) fold(m delivery.Message, d delivery.Dispatch, e contracts.Event) (delivery.Dispatch, contracts.Move, error) {
	var r receipt
	if err := json.Unmarshal(e.Data, &r); err != nil {
		return d, contracts.Move{}, err
	}
	if d.MessageID == "" { // nobody heard what became of the sending
		d = c.begin(e.Ref, m)
	}
	key := fmt.Sprint(r.Ident, " ", r.Kind, " ", r.Reason, " ", r.To.Reveal())
	if r.Kind == "notice" {
		key += e.At.String()
	}
	key = contracts.SumOf([]byte(key)).String() // what is seen is printed, and must name nobody
	if slices.Contains(d.Seen, key) {
		if c.Wrong("takes duplicates for news") {
			d.Flags = append(d.Flags, "DOUBLE_SUBMISSION")
		}
		return d, contracts.Move{}, nil
	}
	d.Seen = append(slices.Clone(d.Seen), key)
	d.Recipients = slices.Clone(d.Recipients)
	if r.Kind == "accepted" && !(c.Wrong("drops an acceptance that comes second") && d.Final()) {
		d.AcceptedAt, d.IDs = e.At, append(slices.Clone(d.IDs), r.Ident)
	}
	for i := range d.Recipients {
		c.recipient(&d, &d.Recipients[i], r, e.At)
	}
	return d, c.move(d), nil
}

func (c *carrier) recipient(d *delivery.Dispatch, to *delivery.Delivery, r receipt, at time.Time) {
	mine := to.Address.Equal(r.To)
	set := func(s delivery.Status) {
		if r.Reason != "" && !c.Wrong("loses the reasons") {
			to.Reason = r.Reason
		}
		to.Status, to.At = s, at
	}
	switch {
	case r.Kind == "accepted" && to.Status == delivery.Sent:
		to.Status = delivery.Accepted
		if r.Plain && mine {
			to.Status = delivery.Uncertified
			if c.Wrong("takes ordinary mail for proof") {
				set(delivery.Delivered)
			}
		}
	case r.Kind == "refused":
		set(delivery.NotAccepted)
	case r.Kind == "delivered" && (mine && to.Status != delivery.Failure || c.Wrong("one receipt for all")):
		if c.Wrong("wants acceptance first") && d.AcceptedAt.IsZero() {
			return
		}
		if to.Status == delivery.TimedOut && !c.Wrong("late is like any other") {
			to.Flags = []string{"LATE"}
		}
		set(delivery.Delivered)
	case r.Kind == "failed" && (mine || c.Wrong("one failure fails all")):
		set(delivery.Failure)
	case r.Kind == "notice" && mine:
		if !c.Wrong("notices leave no trace") {
			d.LastNotice = at
		}
		if at.Sub(d.AcceptedAt) >= 20*time.Hour && !c.Wrong("notices never end") {
			set(delivery.TimedOut)
		} else {
			to.Status = delivery.Delayed
		}
	}
}

func (c *carrier) move(d delivery.Dispatch) contracts.Move {
	if !d.Final() {
		if c.Wrong("answers before delivery") {
			return contracts.Move{To: contracts.StateDone}
		}
		return contracts.Move{To: contracts.StateWaiting}
	}
	for _, r := range d.Recipients {
		if r.Status == delivery.Delivered {
			return contracts.Move{To: contracts.StateDone}
		}
	}
	kind := contracts.Conflict
	if c.Wrong("a refusal may be repeated") {
		kind = contracts.Unavailable
	}
	return contracts.Move{To: contracts.StateFailed, Err: fail(kind, "send: nobody received it")}
}
