package delivery

import (
	"cmp"
	"slices"
	"time"

	"raccordo/contracts"
)

const secondNotice = 20 * time.Hour // after acceptance a notice of delay is the definitive one: type and header of both are alike

// derive computes the whole state from the facts. Where two of them contradict each other the earlier one, by the
// instant in the receipt, stands, and the contradiction is flagged.
func derive(m Message, base Dispatch, facts []fact) Dispatch {
	slices.SortFunc(facts, func(a, b fact) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.key(), b.key()))
	})
	d := base // what was known at sending stays; the rest is computed anew
	d.Seen, d.Recipients, d.LastNotice = nil, nil, time.Time{}
	v := weigh(facts)
	v.submitted = base.Submitted
	d.IDs, d.AcceptedAt, d.Flags = v.ids, v.acceptedAt, v.flags
	for _, odd := range []string{FlagClock, FlagCase} { // not in the facts: one receipt may be read at two instants
		if slices.Contains(base.Flags, odd) {
			d.Flags = append(d.Flags, odd)
		}
	}
	for _, f := range facts {
		d.Seen = append(d.Seen, f.key())
		if f.kind == contracts.ConsignmentDelay {
			d.LastNotice = f.at
		}
	}
	for i, to := range m.To {
		d.Recipients = append(d.Recipients, v.recipient(i, to.Address, facts))
	}
	return d
}

// Submissions are the message's own part of the state: which sendings of it the provider took or refused.
type submissions struct {
	ids        []string
	accepted   map[string]fact // by name of the submission: the acceptance that stands
	refused    map[string]fact
	acceptedAt time.Time
	submitted  time.Time // by our clock; zero: not known
	flags      []string
}

// weigh reads acceptances and refusals. facts are in order of time.
func weigh(facts []fact) submissions {
	v := submissions{accepted: map[string]fact{}, refused: map[string]fact{}}
	conflict := false
	for _, f := range facts {
		_, taken := v.accepted[f.id]
		_, refused := v.refused[f.id]
		switch {
		case f.kind != contracts.SubmissionAcceptance && f.kind != contracts.SubmissionRejection:
			continue
		case taken || refused:
			conflict = conflict || taken != (f.kind == contracts.SubmissionAcceptance)
			continue
		case f.kind == contracts.SubmissionAcceptance:
			v.accepted[f.id] = f
			if v.acceptedAt.IsZero() {
				v.acceptedAt = f.at
			}
		default:
			v.refused[f.id] = f
		}
		v.ids = append(v.ids, f.id)
	}
	missing := false
	for _, f := range facts {
		if _, refused := v.refused[f.id]; refused && f.about >= 0 {
			conflict = true
		}
		if !slices.Contains(v.ids, f.id) {
			missing = true
		}
	}
	if len(v.ids) > 1 {
		v.flags = append(v.flags, FlagDouble)
	}
	if conflict {
		v.flags = append(v.flags, FlagConflict)
	}
	if missing {
		v.flags = append(v.flags, FlagNoAcceptance)
		if len(v.ids) == 0 { // the best we know, until the acceptance comes
			v.ids = append(v.ids, facts[0].id)
		}
	}
	return v
}

// counts reports whether a receipt of this name of the submission may say something about a recipient: that of an accepted
// submission, or any as long as no acceptance and no refusal is known.
func (v submissions) counts(id string) bool {
	if len(v.accepted) == 0 && len(v.refused) == 0 {
		return true
	}
	_, ok := v.accepted[id]
	return ok
}

func (v submissions) recipient(place int, to contracts.Address, facts []fact) Delivery {
	d := Delivery{Address: to, Status: Sent}
	v.taken(place, &d)
	var delivered, failed, notice, definitive *fact
	noticed := map[string]bool{} // by submission: a message that went out twice has two first notices
	for i := range facts {
		f := &facts[i]
		if f.about != place || !v.counts(f.id) {
			continue
		}
		switch {
		case f.kind == contracts.ContentConsignment && delivered == nil:
			delivered = f
		case f.kind == contracts.ContentConsignmentFailure && failed == nil:
			failed = f
		case f.kind == contracts.ConsignmentDelay:
			if definitive == nil && (noticed[f.id] || v.closes(f)) {
				definitive = f
			}
			noticed[f.id] = true
			if notice == nil {
				notice = f
			}
		}
	}
	if delivered != nil && d.Status == Uncertified {
		d.Flags = append(d.Flags, FlagConflict)
	}
	switch {
	case delivered != nil && failed != nil:
		d.Flags = append(d.Flags, FlagConflict)
		if failed.at.Before(delivered.at) {
			settle(&d, Failure, failed)
		} else {
			settle(&d, Delivered, delivered)
		}
	case delivered != nil:
		settle(&d, Delivered, delivered)
		if definitive != nil && definitive.at.Before(delivered.at) {
			d.Flags = append(d.Flags, FlagLate)
		}
	case failed != nil:
		settle(&d, Failure, failed)
	case d.Status == Uncertified: // a notice about an address that promised nothing
	case definitive != nil:
		settle(&d, TimedOut, definitive)
	case notice != nil:
		settle(&d, Delayed, notice)
	}
	return d
}

// taken says where the recipient stands by acceptance or refusal alone.
func (v submissions) taken(place int, d *Delivery) {
	if first, ok := earliest(v.accepted); ok {
		switch {
		case slices.Contains(first.missing, place): // the provider speaks of other recipients than we named
			d.Flags = append(d.Flags, FlagConflict)
		case slices.Contains(first.external, place):
			d.Status, d.Reason, d.At = Uncertified, ReasonUncertified, first.at
		default:
			d.Status, d.At = Accepted, first.at
		}
		return
	}
	if first, ok := earliest(v.refused); ok {
		settle(d, NotAccepted, &first)
	}
}

// closes reports whether a notice of delay is the definitive one by itself.
func (v submissions) closes(notice *fact) bool {
	if notice.code == "5.4.1" { // so one provider marks it, at 24 hours and perhaps at 12
		return true
	}
	if accepted, ok := v.accepted[notice.id]; ok {
		return notice.at.Sub(accepted.at) >= secondNotice
	}
	// Its acceptance is missing. There may be one notice alone, and hours lie between the two, so that our clock will do.
	return !v.submitted.IsZero() && notice.at.Sub(v.submitted) >= secondNotice
}

func earliest(facts map[string]fact) (first fact, ok bool) {
	for _, f := range facts {
		if !ok || f.at.Before(first.at) || (f.at.Equal(first.at) && f.key() < first.key()) {
			first, ok = f, true
		}
	}
	return first, ok
}

func settle(d *Delivery, status Status, by *fact) {
	d.Status, d.Reason, d.Code, d.At = status, by.reason, by.code, by.at
}
