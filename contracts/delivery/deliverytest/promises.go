package deliverytest

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
)

// borders are messages that must not leave.
func (s *suite) borders() []rule {
	spoiled := func(name, why string, spoil ...func(*delivery.Message)) rule {
		return rule{Name: name, Why: why, Run: func(x *trial) {
			for _, f := range spoil {
				m := s.message(s.Delivered)
				f(&m)
				before := s.sent()
				ctx, stop := s.askKey(x)
				_, err := contracts.Submit(ctx, s.Submitter(), delivery.OpSend, m)
				stop()
				contracttest.WantKind(x, err, send.Name, contracts.Invalid)
				s.wantSent(x, before, 0)
			}
		}}
	}
	return []rule{
		spoiled("message-with-a-header-in-it-is-refused", "a line break in a subject writes headers that nobody signed",
			func(m *delivery.Message) { m.Subject = contracts.NewPrivate("a\r\nBcc: b") },
			func(m *delivery.Message) { m.Subject = contracts.NewPrivate("a\nb") },
			func(m *delivery.Message) { m.Attachments[0].Name = contracts.NewPrivate("a\r\nX: b") },
			func(m *delivery.Message) { m.Attachments[0].MediaType = "text/plain\r\nX: b" },
			func(m *delivery.Message) { m.Protocol.Number = "1\r\nX: b" },
			func(m *delivery.Message) { m.Text = contracts.NewPrivate("a\x00b") }),
		spoiled("message-that-is-wrong-is-refused", "what cannot be delivered must be told before a ticket is promised",
			func(m *delivery.Message) { m.To = nil },
			func(m *delivery.Message) { m.To = append(m.To, m.To[0]) },
			func(m *delivery.Message) { m.To[0].Basis = delivery.Basis{} },
			func(m *delivery.Message) { m.Sender = "" },
			func(m *delivery.Message) { m.Subject = contracts.Private{} }),
		{
			Name: "send-wants-a-caller-and-a-purpose", Why: "a legal act without an author cannot be answered for",
			Run: func(x *trial) {
				for _, who := range []contracts.Caller{{}, {Service: s.Who().Service}, {Purpose: s.Who().Purpose}} {
					before := s.sent()
					ctx, stop := s.askKey(x)
					_, err := contracts.Submit(contracts.WithCaller(ctx, who), s.Submitter(), delivery.OpSend, s.message(s.Delivered))
					stop()
					contracttest.WantKind(x, err, send.Name, contracts.Invalid, contracts.Denied)
					s.wantSent(x, before, 0)
				}
			},
		},
		{
			Name: "send-wants-a-key", Why: "without a key the caller cannot repeat what it did not hear the answer to",
			Run: func(x *trial) {
				before := s.sent()
				ctx, stop := s.Ask(x.Context())
				defer stop()
				_, err := contracts.Submit(ctx, s.Submitter(), delivery.OpSend, s.message(s.Delivered))
				contracttest.WantKind(x, err, send.Name, contracts.Invalid)
				s.wantSent(x, before, 0)
			},
		},
		{
			Name: "message-with-a-lone-dot-arrives-whole", Why: "a dot on its own line ends a message on the wire unless it is doubled",
			Run: func(x *trial) {
				before := s.sent()
				m := s.message(s.Delivered)
				m.Text = contracts.NewPrivate("prima\r\n.\r\nMAIL FROM:<>\r\n..\r\ndopo")
				_, d := s.delivered(x, m)
				s.sound(x, d, s.Delivered)
				s.wantSent(x, before, 1)
			},
		},
	}
}

const parallel = 8

// promises are the rules of tickets.
func (s *suite) promises() []rule {
	return []rule{
		{
			Name: "same-key-again-is-the-same-ticket", Why: "a caller who repeats what it did not hear the answer to must not send twice",
			Run: func(x *trial) {
				before := s.sent()
				m := s.message(s.Delivered)
				ctx, stop := s.askKey(x)
				defer stop()
				first, err := contracts.Submit(ctx, s.Submitter(), delivery.OpSend, m)
				if err != nil {
					x.Fatalf("submit: %v", err)
				}
				again, err := contracts.Submit(ctx, s.Submitter(), delivery.OpSend, m)
				if err != nil {
					x.Fatalf("submit again: %v, want the same ticket", err)
				}
				if again.ID != first.ID {
					x.Errorf("two tickets for one key")
				}
				t, _, ok := s.follow(x, first.ID, settled)
				if !ok {
					x.Fatalf("the ticket is still %q", t.State)
				}
				if last, err := contracts.Submit(ctx, s.Submitter(), delivery.OpSend, m); err != nil || last.ID != first.ID {
					x.Errorf("after the end the same key gives another ticket, or an error: %v", err)
				}
				s.rounds(x, first.ID, 5)
				s.wantSent(x, before, 1)
			},
		},
		{
			Name: "same-key-with-another-message-is-a-conflict", Why: "a key that was used for something else is the caller's mistake, and must not swallow a message",
			Run: func(x *trial) {
				ctx, stop := s.askKey(x)
				defer stop()
				if _, err := contracts.Submit(ctx, s.Submitter(), delivery.OpSend, s.message(s.Delivered)); err != nil {
					x.Fatalf("submit: %v", err)
				}
				_, err := contracts.Submit(ctx, s.Submitter(), delivery.OpSend, s.message(s.Delivered))
				contracttest.WantKind(x, err, send.Name, contracts.Conflict)
			},
		},
		{
			Name: "ticket-of-another-service-is-not-found", Why: "a ticket tells of a person's case; other services have no business with it",
			Run: func(x *trial) {
				id := s.submit(x, s.message(s.Delivered))
				ctx, stop := s.Ask(x.Context())
				defer stop()
				other := s.Who()
				other.Service += "-other"
				_, err := s.Submitter().Ticket(contracts.WithCaller(ctx, other), id)
				if k := contracts.KindOf(orNone(err)); err == nil || k != contracts.NotFound && k != contracts.Denied {
					x.Errorf("another service can see the ticket: %v", err)
				}
			},
		},
		{
			Name: "send-in-parallel-mixes-nothing-up", Why: "one party's act delivered to another is the worst that can happen here",
			Run: func(x *trial) {
				before := s.sent()
				var wg sync.WaitGroup
				var tickets [parallel]contracts.Ticket
				var errs [parallel]error
				for i := range parallel {
					wg.Go(func() {
						ctx, stop := s.askKey(x)
						defer stop()
						tickets[i], errs[i] = contracts.Submit(ctx, s.Submitter(), delivery.OpSend, s.message(s.Delivered))
					})
				}
				wg.Wait()
				seen := map[string]bool{}
				for i := range parallel {
					if errs[i] != nil {
						x.Fatalf("submit: %v", errs[i])
					}
					t, d, ok := s.follow(x, tickets[i].ID, settled)
					if !ok || !d.Delivered() {
						x.Errorf("a ticket is %q and its recipients stand at %v", t.State, statuses(d))
					}
					if seen[d.MessageID] {
						x.Errorf("two messages with one Message-ID")
					}
					seen[d.MessageID] = true
				}
				s.wantSent(x, before, parallel)
			},
		},
		{
			Name: "secret-is-erased-when-settled", Why: "an activation code that lies about after it was delivered is a key under the mat",
			Run: s.secretErased,
		},
	}
}

// orNone gives an error that is not nil, so that its Kind can be asked for.
func orNone(err error) error {
	if err == nil {
		return contracts.Internal
	}
	return err
}

func (s *suite) secretErased(x *trial) {
	m := s.message(s.Delivered)
	m.Secret = true
	word := strings.TrimSpace(m.Text.Reveal())
	id := s.submit(x, m)
	ctx, stop := s.Ask(x.Context())
	t, _ := s.look(ctx, x, id)
	stop()
	if s.Kept != nil && !t.State.Settled() && !holds(s.Kept(id), word) {
		x.Errorf("the harness's Kept does not show the message even before it is settled: it proves nothing")
	}
	t, _, ok := s.follow(x, id, settled)
	if !ok {
		x.Fatalf("the ticket is still %q", t.State)
	}
	page, err := json.Marshal(t)
	if err != nil {
		x.Fatalf("ticket: %v", err)
	}
	if holds([][]byte{page}, word) {
		x.Errorf("the settled ticket still shows the secret")
	}
	if s.Kept != nil && holds(s.Kept(id), word) {
		x.Errorf("the secret is still at rest after the message was settled")
	}
}

func holds(all [][]byte, word string) bool {
	for _, b := range all {
		if bytes.Contains(b, []byte(word)) {
			return true
		}
	}
	return false
}

// doubts are the faults after which nobody knows whether the message was taken.
func (s *suite) doubts() []rule {
	reason := func(fault string) string {
		if s.Far == nil || !s.Applies(fault) {
			return "the far side cannot be told to " + fault
		}
		return ""
	}
	return []rule{
		{
			Name: "answer-lost-after-the-dot-never-doubles", Why: "a message sent twice is a second legal act; its receipts tell that it was taken",
			Absent: reason(contracttest.DropAfterAccept),
			Run: func(x *trial) {
				before := s.sent()
				s.misbehave(x, contracttest.DropAfterAccept)
				_, d := s.delivered(x, s.message(s.Delivered))
				s.sound(x, d, s.Delivered)
				s.wantSent(x, before, 1)
			},
		},
		{
			Name: "connection-lost-before-the-dot-is-tried-again", Why: "nothing was taken: giving up would lose the message, and a doubt must be held, not guessed away",
			Absent: reason(contracttest.Drop),
			Run: func(x *trial) {
				before := s.sent()
				s.misbehave(x, contracttest.Drop)
				id := s.submit(x, s.message(s.Delivered))
				t, d := s.calm(x, id)
				switch {
				case d.Delivered(): // tried again, and taken
				case t.State == contracts.StateFailed && contracts.KindOf(t.Failure()) == contracts.Unavailable:
				case t.State == contracts.StateUncertain && s.sent()-before <= 1: // held for receipts or a person
				default:
					x.Errorf("the ticket is %q and its recipients stand at %v, want it delivered, unavailable or uncertain", t.State, statuses(d))
				}
			},
		},
	}
}

// calm follows a ticket until it is settled or uncertain for good.
func (s *suite) calm(x *trial, id string) (contracts.Ticket, delivery.Dispatch) {
	doubts := 0
	t, d, _ := s.follow(x, id, func(t contracts.Ticket, _ delivery.Dispatch) bool {
		if t.State == contracts.StateUncertain {
			doubts++
		}
		return t.State.Settled() || doubts > 50
	})
	return t, d
}

func (s *suite) misbehave(x *trial, fault string) {
	if err := s.Far.Misbehave(fault, 1); err != nil {
		x.Fatalf("misbehave: %v", err)
	}
}

func (s *suite) faults() []rule {
	return s.FaultCases("send", send, s.Message, func(ctx context.Context) error {
		d, err := delivery.Via(s.Through()).Send(contracts.WithKey(ctx, s.next()), s.message(s.Delivered))
		if err == nil && !d.Delivered() {
			return &contracts.Error{Kind: contracts.Internal, System: "suite", Operation: send.Name} // an answer before its time
		}
		return err
	})
}

// secrecy runs last, so that a capture that the harness shares has seen the whole suite.
func (s *suite) secrecy() []rule {
	return []rule{{
		Name: "nobody-can-be-read-of", Why: "logs, errors, metrics and URLs are read by people who have no business with the case",
		Run: func(x *trial) {
			if s.Capture == nil {
				s.Capture = contracttest.NewCapture()
			}
			m := s.message(s.Delivered)
			s.delivered(x, m)
			secrets := []string{
				m.Subject.Reveal(), strings.TrimSpace(m.Text.Reveal()), m.Attachments[0].Name.Reveal(),
				string(m.Attachments[0].Content.Reveal()),
			}
			for _, a := range s.recipients() {
				s.rounds(x, s.submit(x, s.message(a)), 3)
				secrets = append(secrets, a.Reveal())
			}
			s.Capture.Report(reporter{x}, secrets)
		},
	}}
}

// recipients are all that the harness names.
func (s *suite) recipients() []contracts.Address {
	var all []contracts.Address
	for _, a := range []contracts.Address{
		s.Delivered, s.DeliveredToo, s.Refused, s.Full, s.Virus, s.TooBig, s.UnknownDomain,
		s.Uncertified, s.NotAccepted, s.NoAcceptance, s.Slow, s.Timeout12, s.Timeout24, s.Late, s.Never, s.Mute,
		s.Duplicated, s.Reordered,
	} {
		if !a.IsZero() {
			all = append(all, a)
		}
	}
	return all
}
