package deliverytest

import (
	"slices"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
)

type (
	trial = contracttest.T
	rule  = contracttest.Case
)

var send = delivery.OpSend.OpInfo

// Cases lists the suite's cases for a harness, in the order in which they run.
func Cases(h Harness) []contracttest.Case {
	h.Ticketed = true // a message always goes by ticket
	s := newSuite(h)
	return slices.Concat(s.ends(), s.notices(), s.receipts(), s.borders(), s.promises(), s.doubts(), s.faults(), s.secrecy())
}

const noStory = "the harness declares that the far side has no such story: "

// absent gives the reason why a case does not apply, where a recipient is missing.
func absent(a contracts.Address, story string) string {
	if a.IsZero() {
		return noStory + story
	}
	return ""
}

// An end is what must become of one recipient.
type end struct {
	name, story, why string
	to               contracts.Address
	statuses         []delivery.Status
	reason           string // empty: any
}

// ends are the outcomes that one message to one recipient may have.
func (s *suite) ends() []rule {
	cases := []rule{
		{
			Name: "send-is-delivered", Why: "terms run from the instant of the delivery receipt",
			Run: func(x *trial) {
				before := s.sent()
				ctx, stop := s.askKey(x)
				defer stop()
				d, err := delivery.Via(s.Through()).Send(ctx, s.message(s.Delivered))
				if err != nil {
					x.Fatalf("send: %v, want it delivered", err)
				}
				s.sound(x, d, s.Delivered)
				if !d.Delivered() {
					x.Errorf("answered before every recipient had its receipt")
				}
				s.wantSent(x, before, 1)
			},
		},
		{
			Name: "send-to-several-is-delivered-to-each", Why: "each recipient has its own receipt and its own term",
			Absent: absent(s.DeliveredToo, "DeliveredToo"),
			Run: func(x *trial) {
				before := s.sent()
				to := []contracts.Address{s.Delivered, s.DeliveredToo}
				_, d := s.toTheEnd(x, s.message(to...))
				s.sound(x, d, to...)
				if !d.Delivered() {
					x.Errorf("settled before every recipient had its receipt")
				}
				s.wantSent(x, before, 1)
			},
		},
		{
			Name: "send-to-several-tells-each-outcome", Why: "one refused recipient neither spoils nor hides another's delivery",
			Absent: absent(s.Refused, "Refused"),
			Run: func(x *trial) {
				to := []contracts.Address{s.Refused, s.Delivered}
				_, d := s.toTheEnd(x, s.message(to...))
				s.sound(x, d, to...)
				s.wantStatus(x, d, 0, delivery.Failure)
				s.wantStatus(x, d, 1, delivery.Delivered)
			},
		},
	}
	for _, e := range []end{
		{
			"send-to-no-such-mailbox-fails", "Refused", "the address in the register is dead, and the clerk must hear of it",
			s.Refused,
			[]delivery.Status{delivery.Failure},
			"UNKNOWN_MAILBOX",
		},
		{
			"send-to-a-full-mailbox-fails", "Full", "a full mailbox is the holder's fault and has its own legal effect",
			s.Full,
			[]delivery.Status{delivery.Failure},
			"MAILBOX_FULL",
		},
		{
			"send-of-a-virus-fails", "Virus", "whoever sent a virus must hear that, not that the mailbox is wrong",
			s.Virus,
			[]delivery.Status{delivery.Failure, delivery.NotAccepted},
			"VIRUS",
		},
		{
			"send-of-too-much-fails", "TooBig", "the cure is a smaller message, not another address",
			s.TooBig,
			[]delivery.Status{delivery.Failure, delivery.NotAccepted},
			"TOO_BIG",
		},
		{
			"send-to-an-unknown-domain-fails", "UnknownDomain", "no provider will ever answer for it",
			s.UnknownDomain,
			[]delivery.Status{delivery.Failure, delivery.NotAccepted},
			"UNKNOWN_DOMAIN",
		},
		{
			"send-refused-by-our-provider-fails", "NotAccepted", "nobody received it, and nothing more will come",
			s.NotAccepted,
			[]delivery.Status{delivery.NotAccepted},
			"",
		},
		{
			"send-to-ordinary-mail-is-no-proof", "Uncertified", "no certified receipt will ever come from ordinary mail",
			s.Uncertified,
			[]delivery.Status{delivery.Uncertified},
			"",
		},
	} {
		cases = append(cases, rule{
			Name: e.name, Why: e.why, Absent: absent(e.to, e.story),
			Run: func(x *trial) { s.endsIn(x, e) },
		})
	}
	return cases
}

// endsIn checks a message that nobody receives, or of which no proof will come.
func (s *suite) endsIn(x *trial, e end) {
	before := s.sent()
	t, d := s.toTheEnd(x, s.message(e.to))
	s.sound(x, d, e.to)
	s.wantStatus(x, d, 0, e.statuses...)
	if got := d.Recipients[0].Reason; e.reason != "" && got != e.reason {
		x.Errorf("reason is %q, want %q", got, e.reason)
	}
	if s.sent()-before > 1 {
		x.Errorf("handed over %d times: a refusal is an answer, not a reason to repeat", s.sent()-before)
	}
	if e.statuses[0] == delivery.Uncertified {
		return // that no proof will come is what the caller asked for, or not: either end is right
	}
	if t.State != contracts.StateFailed {
		x.Errorf("the ticket is %q, want %q: nobody received the message", t.State, contracts.StateFailed)
		return
	}
	err := t.Failure()
	contracttest.CheckError(x, err, send.Name)
	switch k := contracts.KindOf(err); k {
	case contracts.Unavailable, contracts.Throttled, contracts.Uncertain, contracts.Pending, contracts.Malformed, contracts.Canceled:
		x.Errorf("kind %q: it invites a repeat or a wait, and the outcome is final", k)
	}
}

// notices are the stories that take hours and days.
func (s *suite) notices() []rule {
	delivered := func(name, story, why string, to contracts.Address, more func(x *trial, d delivery.Dispatch)) rule {
		return rule{Name: name, Why: why, Absent: absent(to, story), Run: func(x *trial) {
			before := s.sent()
			_, d := s.delivered(x, s.message(to))
			s.sound(x, d, to)
			if more != nil {
				more(x, d)
			}
			s.wantSent(x, before, 1)
		}}
	}
	return []rule{
		delivered("delivery-after-hours-is-waited-for", "Slow", "slow is not failed", s.Slow, nil),
		delivered("delivery-after-the-first-notice-counts", "Timeout12", "the notice of 12 hours is a delay, not an end", s.Timeout12,
			func(x *trial, d delivery.Dispatch) {
				if d.LastNotice.IsZero() {
					x.Errorf("last_notice is missing: the delay left no trace")
				}
			}),
		{
			Name: "delivery-times-out-after-the-second-notice", Why: "after the notice of 24 hours the provider has closed the matter",
			Absent: absent(s.Timeout24, "Timeout24"),
			Run: func(x *trial) {
				t, d := s.toTheEnd(x, s.message(s.Timeout24))
				s.sound(x, d, s.Timeout24)
				s.wantStatus(x, d, 0, delivery.TimedOut)
				if t.State != contracts.StateFailed {
					x.Errorf("the ticket is %q, want %q", t.State, contracts.StateFailed)
				}
			},
		},
		{
			Name: "delivery-after-the-second-notice-still-counts", Why: "a late receipt is proof all the same, and both must be told",
			Absent: absent(s.Late, "Late"),
			Run:    s.late,
		},
		s.silent("silence-after-acceptance-settles-nothing", "Never", s.Never),
		s.silent("silence-from-the-start-settles-nothing", "Mute", s.Mute),
	}
}

// late is a message that is given up first and delivered then.
func (s *suite) late(x *trial) {
	before := s.sent()
	t, d := s.toTheEnd(x, s.message(s.Late))
	for hours := 0; !d.Delivered() && s.Far != nil && hours < 48; hours++ {
		s.Far.Advance(time.Hour)
		t, d = s.rounds(x, t.ID, 3)
	}
	s.sound(x, d, s.Late)
	s.wantStatus(x, d, 0, delivery.Delivered)
	if t.State != contracts.StateDone {
		x.Errorf("the ticket is %q, want %q", t.State, contracts.StateDone)
	}
	if !slices.Contains(d.Recipients[0].Flags, "LATE") {
		x.Errorf("flag LATE is missing: the case file must show that it was given up before")
	}
	s.wantSent(x, before, 1)
}

// silent is a message of which nothing more is heard: neither delivered nor failed, and not sent again.
func (s *suite) silent(name, story string, to contracts.Address) rule {
	gone := absent(to, story)
	if gone == "" && s.Far == nil {
		gone = "the real clock cannot be moved by three days"
	}
	return rule{
		Name: name, Why: "silence is no answer: whoever takes it for one sends twice, or gives up a right", Absent: gone,
		Run: func(x *trial) {
			before := s.sent()
			id := s.submit(x, s.message(to))
			s.follow(x, id, func(t contracts.Ticket, _ delivery.Dispatch) bool { return s.sent() > before })
			s.Far.Advance(s.span())
			t, d := s.rounds(x, id, 20)
			if t.State.Settled() {
				x.Errorf("the ticket is %q after %v of silence, want it open", t.State, s.span())
			}
			if d.Delivered() {
				x.Errorf("delivered, and nothing was heard")
			}
			s.wantSent(x, before, 1)
		},
	}
}

// receipts are the disorders in which receipts arrive.
func (s *suite) receipts() []rule {
	return []rule{
		{
			Name: "receipt-twice-counts-once", Why: "providers and mailboxes repeat themselves; a repeated receipt is no second sending",
			Absent: absent(s.Duplicated, "Duplicated"),
			Run: func(x *trial) {
				id, _ := s.delivered(x, s.message(s.Duplicated))
				d := s.anHourOn(x, id)
				s.sound(x, d, s.Duplicated)
				if len(d.IDs) > 1 || len(d.Flags) > 0 {
					x.Errorf("%d ids and flags %v, want one and none: a duplicate was taken for news", len(d.IDs), d.Flags)
				}
			},
		},
		{
			Name: "receipts-in-any-order-tell-the-same", Why: "order is not guaranteed: a delivery may be told before the acceptance",
			Absent: absent(s.Reordered, "Reordered"),
			Run: func(x *trial) {
				id, _ := s.delivered(x, s.message(s.Reordered))
				d := s.anHourOn(x, id)
				s.sound(x, d, s.Reordered)
				s.wantStatus(x, d, 0, delivery.Delivered)
				if d.AcceptedAt.IsZero() {
					x.Errorf("the acceptance that came second was lost")
				}
			},
		},
		{
			Name: "delivery-without-acceptance-counts", Why: "the receipt that matters is here; the other one only went missing",
			Absent: absent(s.NoAcceptance, "NoAcceptance"),
			Run: func(x *trial) {
				_, d := s.delivered(x, s.message(s.NoAcceptance))
				s.sound(x, d, s.NoAcceptance)
			},
		},
		{
			Name: "receipts-leave-proof", Why: "without the signed receipt the delivery cannot be shown in court",
			Run: func(x *trial) {
				t, _ := s.toTheEnd(x, s.message(s.Delivered))
				proofs := 0
				for _, e := range t.Story {
					if e.ID == "" || e.Kind == "" || e.At.IsZero() {
						x.Errorf("an event without id, kind or instant")
					}
					if e.Ref != t.ID {
						x.Errorf("an event in the story names another ticket")
					}
					proofs += len(e.Proof)
				}
				if proofs == 0 {
					x.Errorf("no event of the story carries the digest of a receipt")
				}
			},
		},
	}
}
