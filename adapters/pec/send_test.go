package pec

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/pec"
)

// A hold is a ticket's hold that remembers what was asked of it.
type hold struct {
	id       string
	kept     map[string][]byte
	rendered int
	departed int
	lost     error // what Depart says
}

func newHold() *hold { return &hold{id: "abcdefghijklmnopqrstuvwxyz", kept: map[string][]byte{}} }

func (h *hold) ID() string { return h.id }
func (h *hold) Keep(_ context.Context, name string, make func() ([]byte, error)) ([]byte, error) {
	if b, ok := h.kept[name]; ok {
		return b, nil
	}
	b, err := make()
	if err == nil {
		h.kept[name] = b
	}
	if err == nil && name == keptMessage {
		h.rendered++
	}
	return b, err
}
func (h *hold) Depart(context.Context) error { h.departed++; return h.lost }

func with(t *testing.T, h contracts.Hold) (context.Context, *contracttest.Trail) {
	r := &contracttest.Trail{}
	return contracts.WithTrail(contracts.WithHold(t.Context(), h), r), r
}

func TestSendAnswersWhatIsKnownSoFar(t *testing.T) {
	w := newWorld(t, nil)
	h := newHold()
	ctx, trail := with(t, h)
	m := to("rossi@pec.cittadini.test", "ditta@pec.imprese.test")
	d, err := w.Send(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if d.MessageID != "<h1.abcdefghijklmnopqrstuvwxyz.1@pec.ministero.test>" || d.Mailbox != w.box.Name || !d.Submitted.Equal(w.bench.Clock().Now()) ||
		len(d.Recipients) != 2 || d.Recipients[0].Status != delivery.Sent || d.Final() {
		t.Errorf("dispatch %+v", d)
	}
	got := w.mock.Accepted()
	if len(got) != 1 || got[0].MessageID != d.MessageID || !got[0].Accepted || got[0].Sum != contracts.SumOf(h.kept[keptMessage]).String() || h.departed != 1 {
		t.Errorf("the provider took %+v; departed %d times; want the frozen bytes once", got, h.departed)
	}
	if a := trail.Attempts(); len(a) != 1 || !a[0].Sent || a[0].Status != "250 2.0.0" || a[0].RemoteID == "" || a[0].RequestSum != contracts.SumOf(h.kept[keptMessage]) {
		t.Errorf("trail %+v", a)
	}
}

func TestMessageHasTheFormThatAccessPointsWant(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *lab.Bench) { c.BreveAbove = 1000 })
	for _, tc := range []struct {
		name   string
		change func(*delivery.Message)
		form   string
	}{
		{"an ordinary one", func(*delivery.Message) {}, formComplete},
		{"a large one", func(m *delivery.Message) { m.Text = contracts.NewPrivate(strings.Repeat("lungo ", 200)) }, formBrief},
		{"a secret one", func(m *delivery.Message) { m.Secret = true }, formShort},
		{"a large secret one", func(m *delivery.Message) { m.Secret, m.Text = true, contracts.NewPrivate(strings.Repeat("x", 2000)) }, formShort},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := to("rossi@pec.cittadini.test", "DITTA@PEC.imprese.test")
			m.Protocol = &delivery.Protocol{Register: "DLCI", Number: "1234", Day: "2026-11-21"}
			m.Attachments = []delivery.Attachment{{Name: contracts.NewPrivate("perché.pdf"), MediaType: "application/pdf", Content: contracts.NewBlob([]byte("%PDF-1.7 "))}}
			tc.change(&m)
			raw, err := w.boxes[0].compose("h1.abc.1@pec.ministero.test", m, w.bench.Clock().Now(), w.config.BreveAbove)
			if err != nil {
				t.Fatal(err)
			}
			got, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			h := got.Header
			from, _ := h.AddressList("From")
			rcpt, _ := h.AddressList("To")
			subject, _ := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
			if len(from) != 1 || from[0].Address != w.box.Address || len(rcpt) != 2 || rcpt[1].Address != "DITTA@pec.imprese.test" ||
				subject != m.Subject.Reveal() || h.Get("X-TipoRicevuta") != tc.form || h.Get("Message-Id") != "<h1.abc.1@pec.ministero.test>" ||
				h.Get("Date") == "" || h.Get("Mime-Version") != "1.0" || h.Get(protocolHeader) != "DLCI/1234/2026-11-21" {
				t.Errorf("header %v", h)
			}
			for _, none := range []string{"Bcc", "Cc", "User-Agent", "X-Mailer"} {
				if _, ok := h[none]; ok {
					t.Errorf("%s is there", none)
				}
			}
			again, err := w.boxes[0].compose("h1.abc.1@pec.ministero.test", m, w.bench.Clock().Now(), w.config.BreveAbove)
			if err != nil || !bytes.Equal(raw, again) {
				t.Error("two renderings differ")
			}
			if !rendered(raw).Equal(w.bench.Clock().Now()) {
				t.Errorf("rendered at %v", rendered(raw))
			}
		})
	}
}

func TestSendRefusesWithoutTouchingTheWire(t *testing.T) {
	w := newWorld(t, nil)
	good := to("rossi@pec.cittadini.test")
	for _, tc := range []struct {
		name string
		hold contracts.Hold
		m    func() delivery.Message
		want contracts.Kind
	}{
		{"without a hold", nil, func() delivery.Message { return good }, contracts.Internal},
		{"with an id that fits no Message-ID", &hold{id: "a@b", kept: map[string][]byte{}}, func() delivery.Message { return good }, contracts.Internal},
		{"a wrong message", newHold(), func() delivery.Message { m := good; m.To = nil; return m }, contracts.Invalid},
		{"an erased message", newHold(), func() delivery.Message {
			m := good
			m.Secret = true
			r, _ := m.Redacted()
			e := r.(delivery.Message)
			e.Subject = contracts.NewPrivate("x")
			return e
		}, contracts.Invalid},
		{"a role that nobody speaks for", newHold(), func() delivery.Message { m := good; m.Sender = "altro"; return m }, contracts.Invalid},
		{"an attachment that is a message", newHold(), func() delivery.Message {
			m := good
			m.Attachments = []delivery.Attachment{{Name: contracts.NewPrivate("a.eml"), MediaType: "message/rfc822", Content: contracts.NewBlob([]byte("x"))}}
			return m
		}, contracts.Invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := t.Context()
			if tc.hold != nil {
				ctx = contracts.WithHold(ctx, tc.hold)
			}
			_, err := w.Send(ctx, tc.m())
			if contracts.KindOf(err) != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
			if n := w.bench.Sent("pec *"); n != 0 {
				t.Errorf("%d exchanges", n)
			}
		})
	}
}

func TestReplyDecidesWhatToConclude(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fault  lab.Fault
		stage  mock.Stage
		want   contracts.Kind
		code   string
		sent   bool
		depart int
		away   bool // the mailbox is left alone for a while
	}{
		{"no connection", lab.Fault{Do: lab.Refuse}, mock.AtDot, contracts.Unavailable, "", false, 0, true},
		{"greylisted at RCPT", lab.Fault{Do: lab.Status, Status: 450}, mock.AtRcpt, contracts.Unavailable, "450 4.0.0", false, 0, false},
		{"recipient refused", lab.Fault{Do: lab.Status, Status: 550}, mock.AtRcpt, contracts.Invalid, "550 5.0.0", false, 0, false},
		{"sender refused", lab.Fault{Do: lab.Status, Status: 553}, mock.AtMail, contracts.Denied, "553 5.0.0", false, 0, true},
		{"away at MAIL", lab.Fault{Do: lab.Status, Status: 421}, mock.AtMail, contracts.Unavailable, "421 4.3.2", false, 0, true},
		{"rate limit dressed as 550", lab.Fault{Do: lab.Throttle}, mock.AtDot, contracts.Throttled, "550", false, 0, true},
		{"password refused", lab.Fault{Do: lab.StaleVoucher}, mock.AtDot, contracts.Denied, "535 5.7.8", false, 0, true},
		{"too big at the dot", lab.Fault{Do: lab.Status, Status: 552}, mock.AtDot, contracts.Invalid, "552 5.0.0", true, 1, false},
		{"away at the dot", lab.Fault{Do: lab.Status, Status: 421}, mock.AtDot, contracts.Unavailable, "421 4.3.2", true, 1, true},
		{"try again at the dot", lab.Fault{Do: lab.Status, Status: 451}, mock.AtDot, contracts.Unavailable, "451 4.0.0", true, 1, false},
		{"cut before the dot was answered", lab.Fault{Do: lab.Drop}, mock.AtDot, contracts.Uncertain, "", true, 1, true},
		{"cut after it was taken", lab.Fault{Do: lab.DropAfterAccept}, mock.AtDot, contracts.Uncertain, "", true, 1, true},
		{"noise for an answer", lab.Fault{Do: lab.Garbage}, mock.AtDot, contracts.Uncertain, "", true, 1, true},
		{"half an answer", lab.Fault{Do: lab.Truncate}, mock.AtDot, contracts.Uncertain, "", true, 1, true},
		{"an answer without end", lab.Fault{Do: lab.Huge}, mock.AtDot, contracts.Uncertain, "", true, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			if tc.fault.Do == lab.Refuse {
				if err := w.bench.Misbehave("refuse", 1); err != nil {
					t.Fatal(err)
				}
			} else {
				tc.fault.Match, tc.fault.Times = "pec smtp message", 1
				w.bench.Inject(tc.fault)
			}
			w.mock.RefuseAt(tc.stage)
			h := newHold()
			ctx, trail := with(t, h)
			_, err := w.Send(ctx, to("rossi@pec.cittadini.test"))
			var e *contracts.Error
			if !errors.As(err, &e) || e.Kind != tc.want || e.Code != tc.code || e.System != "pec" || e.Operation != "delivery.send" {
				t.Fatalf("%v, want %s [%s]", err, tc.want, tc.code)
			}
			if e.After == 0 && (e.Kind == contracts.Throttled || e.Kind == contracts.Denied || tc.away && e.Kind != contracts.Uncertain) {
				t.Errorf("after %v", e.After)
			}
			if strings.Contains(e.Error(), "@") || strings.Contains(e.Error(), "Class") {
				t.Errorf("the error quotes the peer: %v", e)
			}
			if h.departed != tc.depart {
				t.Errorf("departed %d times, want %d", h.departed, tc.depart)
			}
			if a := trail.Attempts(); len(a) != 1 || a[0].Sent != tc.sent || a[0].Status == "" {
				t.Errorf("trail %+v, want sent %t", a, tc.sent)
			}
			// The next message finds a connection that works, and what may have left leaves as it was.
			w.bench.Clear()
			frozen := h.kept[keptMessage]
			if (frozen != nil) != (tc.depart > 0) {
				t.Errorf("frozen %t before anything left", frozen != nil)
			}
			if _, err := w.Send(ctx, to("rossi@pec.cittadini.test")); tc.away != (contracts.KindOf(err) == contracts.Throttled) {
				t.Errorf("at once again: %v, want the mailbox left alone: %t", err, tc.away)
			}
			if tc.away {
				w.bench.Advance(2 * time.Minute)
				if _, err := w.Send(ctx, to("rossi@pec.cittadini.test")); err != nil {
					t.Fatalf("again: %v", err)
				}
			}
			got := w.mock.Accepted()
			if frozen != nil && !bytes.Equal(frozen, h.kept[keptMessage]) || h.rendered != 1 || got[len(got)-1].Sum != contracts.SumOf(h.kept[keptMessage]).String() {
				t.Errorf("rendered %d times, or other bytes left", h.rendered)
			}
		})
	}
}

func TestNothingLeavesWithoutDeparture(t *testing.T) {
	w := newWorld(t, nil)
	h := newHold()
	h.lost = contracts.Errorf(contracts.Canceled, "depart: the lease is lost")
	ctx, trail := with(t, h)
	_, err := w.Send(ctx, to("rossi@pec.cittadini.test"))
	if contracts.KindOf(err) != contracts.Canceled || len(w.mock.Accepted()) != 0 || trail.Attempts()[0].Sent {
		t.Errorf("%v, taken %d, trail %+v", err, len(w.mock.Accepted()), trail.Attempts())
	}
	h.lost = nil
	if _, err := w.Send(ctx, to("rossi@pec.cittadini.test")); err != nil {
		t.Errorf("the connection is of no more use: %v", err)
	}
}

func TestCancellationBeforeAndAfterTheDot(t *testing.T) {
	w := newWorld(t, nil)
	h := newHold()
	ctx, cancel := context.WithCancel(contracts.WithHold(t.Context(), h))
	cancel()
	if _, err := w.Send(ctx, to("rossi@pec.cittadini.test")); contracts.KindOf(err) != contracts.Canceled || len(w.mock.Accepted()) != 0 {
		t.Errorf("cancelled before: %v", err)
	}
	ctx, cancel = context.WithCancel(contracts.WithHold(t.Context(), h))
	defer cancel()
	stop := w.bench.Watch(func(e lab.Exchange) { cancel() }) // when the message is taken and before its 250
	defer stop()
	w.bench.Inject(lab.Fault{Match: "pec smtp message", Times: 1, Do: lab.Slow})
	if _, err := w.Send(ctx, to("rossi@pec.cittadini.test")); contracts.KindOf(err) != contracts.Uncertain || len(w.mock.Accepted()) != 1 {
		t.Errorf("cancelled after: %v", err)
	}
}

func TestRateIsKeptWithinEveryMinute(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *lab.Bench) { c.Mailboxes[0].PerMinute = 0 }) // six
	w.mock.LimitRate(6)
	send := func() (after time.Duration) {
		t.Helper()
		_, err := w.Send(contracts.WithHold(t.Context(), newHold()), to("rossi@pec.cittadini.test"))
		var e *contracts.Error
		if errors.As(err, &e) {
			if e.Kind != contracts.Throttled || e.Code != "" {
				t.Fatalf("%v, want our own throttling", err)
			}
			return e.After
		}
		return 0
	}
	for i := range 6 {
		if after := send(); after != 0 {
			t.Fatalf("message %d: after %v", i, after)
		}
		w.bench.Advance(5 * time.Second)
	}
	if after := send(); after != 30*time.Second {
		t.Errorf("seventh within the minute: after %v, want 30s", after)
	}
	w.bench.Advance(30 * time.Second)
	if after := send(); after != 0 {
		t.Errorf("a minute after the first: after %v", after)
	}
	if after := send(); after != 5*time.Second {
		t.Errorf("and one more: after %v, want 5s: one place was free, not six", after)
	}
	w.bench.Clock().Step(-time.Hour)
	if after := send(); after <= 0 || after > time.Minute {
		t.Errorf("with the clock set back: after %v, want a minute at most", after)
	}
	if n := len(w.mock.Accepted()); n != 7 {
		t.Errorf("%d messages taken, want 7", n)
	}
}

func TestRefusedPasswordIsNotHammered(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *lab.Bench) { c.DeniedPause = 5 * time.Minute })
	secret := "wrong"
	w.boxes[0].secret = func(context.Context) ([]byte, error) { return []byte(secret), nil }
	send := func() error {
		_, err := w.Send(contracts.WithHold(t.Context(), newHold()), to("rossi@pec.cittadini.test"))
		return err
	}
	var e *contracts.Error
	if err := send(); !errors.As(err, &e) || e.Kind != contracts.Denied || e.Code != "535 5.7.8" {
		t.Fatalf("wrong password: %v", err)
	}
	if err := send(); !errors.As(err, &e) || e.Kind != contracts.Throttled || e.Code != "" || e.After <= 4*time.Minute || w.bench.Sent("pec smtp *") != 0 {
		t.Errorf("at once again: %v, want it left alone", err)
	}
	if _, _, err := w.Feed(t.Context(), nil); contracts.KindOf(err) != contracts.Denied || w.bench.Sent("pec imap login") != 0 {
		t.Errorf("reading: %v, %d log-ins", err, w.bench.Sent("pec imap login"))
	}
	w.bench.Advance(5 * time.Minute)
	if err := send(); !errors.As(err, &e) || e.Code != "535 5.7.8" {
		t.Errorf("after the pause: %v, want it asked again", err)
	}
	secret = w.box.Password
	if err := send(); err != nil {
		t.Errorf("a replaced password: %v, want it tried at once", err)
	}
}

func TestOneConnectionCarriesManyMessages(t *testing.T) {
	w := newWorld(t, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 8 {
				if _, err := w.Send(contracts.WithHold(t.Context(), newHold()), to("rossi@pec.cittadini.test")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(w.mock.Accepted()); n != 64 {
		t.Errorf("%d messages taken, want 64", n)
	}
}

func TestSTARTTLSOnBothSides(t *testing.T) {
	w := newWorld(t, func(c *Config, b *lab.Bench) {
		m := &c.Mailboxes[0]
		m.SMTPS, m.IMAPS, m.SMTP, m.IMAP = "", "", b.Endpoint("pec", "smtp"), b.Endpoint("pec", "imap")
	})
	if err := w.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	id := w.submit(t, "1", to("rossi@pec.cittadini.test"))
	if _, d := w.follow(t, id, settled); !d.Delivered() {
		t.Errorf("dispatch %+v", d)
	}
}

func TestCheckTellsWhatWorks(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	w.boxes[0].secret = func(context.Context) ([]byte, error) { return []byte("wrong"), nil }
	if err := w.boxes[0].out.Close(); err != nil {
		t.Fatal(err)
	}
	err := w.Check(t.Context())
	if err == nil || strings.ContainsAny(err.Error(), "@\n") || !strings.Contains(err.Error(), w.box.Name) {
		t.Errorf("check with a closed connection: %v", err)
	}
}

func TestUncertainMessageIsSettledByItsReceipts(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.bench.Misbehave("drop-after-accept", 1); err != nil {
		t.Fatal(err)
	}
	id := w.submit(t, "1", to("rossi@pec.cittadini.test"))
	var states []contracts.State
	ticket, d := w.follow(t, id, func(t contracts.Ticket) bool {
		if len(states) == 0 || states[len(states)-1] != t.State {
			states = append(states, t.State)
		}
		return t.State.Settled()
	})
	if !d.Delivered() || ticket.State != contracts.StateDone || len(w.mock.Accepted()) != 1 || states[0] != contracts.StateUncertain {
		t.Errorf("states %v, dispatch %+v, taken %d times", states, d, len(w.mock.Accepted()))
	}
}

func TestResolveSearchesEveryFolder(t *testing.T) {
	w := newWorld(t, nil)
	h := newHold()
	ctx := contracts.WithHold(t.Context(), h)
	m := to("rossi@pec.cittadini.test", "nodest.a@pec.studi.test")
	if _, err := w.resolve(ctx, m); contracts.KindOf(err) != contracts.Uncertain {
		t.Fatalf("before it was sent: %v", err)
	}
	if err := w.bench.Misbehave("drop-after-accept", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Send(ctx, m); contracts.KindOf(err) != contracts.Uncertain {
		t.Fatalf("send: %v", err)
	}
	w.bench.Advance(time.Minute)
	d, err := w.resolve(ctx, m)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	if sketch(d) != "delivered failed" || len(d.IDs) != 1 || d.Sum != contracts.SumOf(h.kept[keptMessage]) || d.MessageID != "<h1."+h.id+".1@pec.ministero.test>" {
		t.Errorf("resolved to %q, %+v", sketch(d), d)
	}
	events, _, err := w.Feed(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events { // the feed tells the same again, and moves the ticket
		var move contracts.Move
		if d, move, err = w.fold(m, d, e); err != nil || move.To != contracts.StateFailed || move.Err.System != "pec" {
			t.Errorf("%s: %v %v", e.Kind, move, err)
		}
	}
	if sketch(d) != "delivered failed" {
		t.Errorf("folded to %q", sketch(d))
	}
}

func TestResolveSaysWhenAPersonMustDecide(t *testing.T) {
	w := newWorld(t, nil)
	h := newHold()
	ctx := contracts.WithHold(t.Context(), h)
	m := to("mute.a@pec.studi.test")
	if err := w.bench.Misbehave("drop-after-accept", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Send(ctx, m); contracts.KindOf(err) != contracts.Uncertain {
		t.Fatalf("send: %v", err)
	}
	for _, tc := range []struct {
		wait time.Duration
		code string
	}{{time.Minute, ""}, {time.Hour, "NO_ACCEPTANCE"}} {
		w.bench.Advance(tc.wait)
		_, err := w.resolve(ctx, m)
		var e *contracts.Error
		if !errors.As(err, &e) || e.Kind != contracts.Uncertain || e.Code != tc.code {
			t.Errorf("after %v: %v, want uncertain [%s]", tc.wait, err, tc.code)
		}
	}
}

// Whoever restores a store asks so before it sends: what was heard of a message, believed or not, must not be taken for
// "nothing was heard".
func TestResolveTellsDoubtFromSilence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		option []mock.Option
		change func(*Config, *lab.Bench)
	}{
		{"receipts of an authority that is not believed", []mock.Option{mock.WithCertificate(mock.UnknownCA)}, nil},
		{"receipts too large to fetch", nil, func(c *Config, _ *lab.Bench) { c.MaxReceipt = 1 << 10 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, tc.option...)
			if tc.change != nil {
				tc.change(&w.Adapter.config, w.bench)
			}
			ctx := contracts.WithHold(t.Context(), newHold())
			m := to("rossi@pec.cittadini.test")
			if _, err := w.Send(ctx, m); err != nil {
				t.Fatal(err)
			}
			w.bench.Advance(time.Minute)
			_, err := w.resolve(ctx, m)
			var e *contracts.Error
			if !errors.As(err, &e) || e.Kind != contracts.Conflict || e.Code != "DOUBTFUL_RECEIPTS" || strings.Contains(e.Error(), "@") {
				t.Errorf("%v, want conflict [DOUBTFUL_RECEIPTS]", err)
			}
		})
	}
}

func TestMessageArrivesAsFrozen(t *testing.T) {
	w := newWorld(t, nil)
	m := to("rossi@pec.cittadini.test")
	m.Text = contracts.NewPrivate(".\n..\n.\r\nperché\n\n.")
	h := newHold()
	if _, err := w.Send(contracts.WithHold(t.Context(), h), m); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(w.bench.Journal(), func(e lab.Exchange) bool { return len(e.Request) > 0 })
	if got := w.bench.Journal()[i].Request; !bytes.Equal(got, h.kept[keptMessage]) {
		t.Error("the dots of the text changed on the wire")
	}
}
