package deliverytest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
)

// A suite is a harness in use. Its nonce keeps keys and texts of one run apart from those of an earlier run on the same
// store.
type suite struct {
	Harness
	nonce  string
	serial atomic.Int64
}

func newSuite(h Harness) *suite {
	return &suite{Harness: h, nonce: strconv.FormatInt(time.Now().UnixNano(), 36)}
}

const (
	pollEvery   = 2 * time.Millisecond // real time between two looks at a ticket
	defaultSpan = 72 * time.Hour
)

func (s *suite) span() time.Duration {
	if s.Span > 0 {
		return s.Span
	}
	return defaultSpan
}

// next is a word that no other message of this run bears.
func (s *suite) next() string { return fmt.Sprintf("%s-%d", s.nonce, s.serial.Add(1)) }

// message is a small message with its own words, each of which may not be read anywhere.
func (s *suite) message(to ...contracts.Address) delivery.Message {
	word := s.next()
	m := delivery.Message{
		Sender:   s.Sender,
		Protocol: &delivery.Protocol{Register: "SUITE", Number: "1", Day: "2026-11-21"},
		Subject:  contracts.NewPrivate("oggetto-" + word),
		Text:     contracts.NewPrivate("testo-" + word + "\n"),
		Attachments: []delivery.Attachment{{
			Name:      contracts.NewPrivate("allegato-" + word + ".txt"),
			MediaType: "text/plain",
			Content:   contracts.NewBlob([]byte("contenuto-" + word)),
		}},
	}
	for _, a := range to {
		m.To = append(m.To, delivery.Recipient{Address: a, Basis: delivery.Basis{Kind: delivery.Elected}})
	}
	return m
}

// askKey is a context with the suite's caller and a fresh idempotency key.
func (s *suite) askKey(x *trial) (context.Context, func()) {
	ctx, stop := s.Ask(x.Context())
	return contracts.WithKey(ctx, s.next()), stop
}

// sent counts the messages handed over so far.
func (s *suite) sent() int {
	if s.Far == nil {
		return 0
	}
	return s.Far.Sent(s.Message)
}

func (s *suite) wantSent(x *trial, before, want int) {
	if s.Far == nil {
		return
	}
	if n := s.sent() - before; n != want {
		x.Errorf("handed over %d times, want %d: each time is a legal act of its own", n, want)
	}
}

// submit leaves a message and gives its ticket's id.
func (s *suite) submit(x *trial, m delivery.Message) string {
	ctx, stop := s.askKey(x)
	defer stop()
	t, err := contracts.Submit(ctx, s.Submitter(), delivery.OpSend, m)
	if err != nil {
		x.Fatalf("submit: %v", err)
	}
	return t.ID
}

// follow looks at a ticket until it is as wanted, or patience ends.
func (s *suite) follow(x *trial, id string, until func(contracts.Ticket, delivery.Dispatch) bool) (t contracts.Ticket, d delivery.Dispatch, ok bool) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	for {
		t, d = s.look(ctx, x, id)
		if until(t, d) {
			return t, d, true
		}
		if !pause(ctx) {
			return t, d, false
		}
	}
}

// rounds looks at a ticket n times, so that whatever is due has its turn.
func (s *suite) rounds(x *trial, id string, n int) (t contracts.Ticket, d delivery.Dispatch) {
	s.follow(x, id, func(now contracts.Ticket, nd delivery.Dispatch) bool {
		t, d = now, nd
		n--
		return n <= 0
	})
	return t, d
}

func (s *suite) look(ctx context.Context, x *trial, id string) (contracts.Ticket, delivery.Dispatch) {
	t, err := s.Submitter().Ticket(ctx, id)
	if err != nil {
		x.Fatalf("ticket: %v", err)
	}
	raw := t.Detail
	if t.State.Settled() {
		raw = t.Result
	}
	if raw == nil {
		return t, delivery.Dispatch{}
	}
	v, err := send.Response(raw)
	if err != nil {
		x.Fatalf("the ticket's answer cannot be read: %v", err)
	}
	return t, v.(delivery.Dispatch)
}

// pause waits a little in real time; false when patience ended.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func settled(t contracts.Ticket, _ delivery.Dispatch) bool { return t.State.Settled() }

// toTheEnd sends a message and follows it to its end.
func (s *suite) toTheEnd(x *trial, m delivery.Message) (contracts.Ticket, delivery.Dispatch) {
	t, d, ok := s.follow(x, s.submit(x, m), settled)
	if !ok {
		x.Fatalf("the ticket is still %q, want it settled", t.State)
	}
	return t, d
}

// delivered sends a message and follows it until every recipient has it.
func (s *suite) delivered(x *trial, m delivery.Message) (id string, d delivery.Dispatch) {
	id = s.submit(x, m)
	t, d, ok := s.follow(x, id, func(t contracts.Ticket, d delivery.Dispatch) bool {
		return t.State == contracts.StateDone && d.Delivered()
	})
	if !ok {
		x.Fatalf("the ticket is %q and the recipients stand at %v, want it delivered", t.State, statuses(d))
	}
	return id, d
}

// anHourOn lets late receipts arrive, and gives the dispatch as it is then.
func (s *suite) anHourOn(x *trial, id string) delivery.Dispatch {
	if s.Far != nil {
		s.Far.Advance(time.Hour)
	}
	_, d := s.rounds(x, id, 5)
	return d
}

func statuses(d delivery.Dispatch) []delivery.Status {
	var all []delivery.Status
	for _, r := range d.Recipients {
		all = append(all, r.Status)
	}
	return all
}

// sound checks what every settled dispatch must be.
func (s *suite) sound(x *trial, d delivery.Dispatch, to ...contracts.Address) {
	if d.MessageID == "" {
		x.Errorf("message_id is missing: no receipt can be matched")
	}
	if d.Submitted.IsZero() && d.AcceptedAt.IsZero() {
		x.Errorf("neither submitted nor accepted_at: when was it sent?")
	}
	if len(d.Recipients) != len(to) {
		x.Fatalf("%d recipients, want %d", len(d.Recipients), len(to))
	}
	for i, r := range d.Recipients {
		if !r.Address.Equal(to[i]) {
			x.Errorf("recipient %d is another, or stands in another place, than in the message", i)
		}
		if r.Status.Final() && r.Status != delivery.Uncertified && r.At.IsZero() {
			x.Errorf("recipient %d is %s without the instant of the receipt that decided", i, r.Status)
		}
	}
	if slices.Contains(d.Flags, "DOUBLE_SUBMISSION") {
		x.Errorf("flag DOUBLE_SUBMISSION: the message went out twice")
	}
}

func (s *suite) wantStatus(x *trial, d delivery.Dispatch, i int, want ...delivery.Status) {
	if i >= len(d.Recipients) {
		x.Fatalf("no recipient %d", i)
	}
	if got := d.Recipients[i].Status; !slices.Contains(want, got) {
		x.Errorf("recipient %d is %s, want %v", i, got, want)
	}
}

// A reporter lets a case's T stand where a testing.TB is wanted.
type reporter struct{ *trial }

func (reporter) Helper() {}

var _ contracttest.TB = reporter{}
