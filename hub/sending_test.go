package hub_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

const (
	sendingBoxes = 10       // mailboxes, and sessions of the peer
	sendingSize  = 20 << 10 // bytes of a message's body, of the peer's as well
)

// BenchmarkSending compares, in turns, what a hub sends from its durable outbox over ten mailboxes into Postfix's
// smtp-sink with what smtp-source, which keeps nothing, sends into it over ten sessions that stay open. At least 0.35 of
// its rate is wanted.
//
// Ours is the whole path of a ticket that was accepted before: claim of ticket and place, request unsealed and decoded,
// message rendered, its bytes sealed and frozen, the intent in the signed ledger and the departure committed and forced to
// the disk before DATA, MAIL to the final 250 in one round trip each, outcome entered and forced to the disk, ticket
// waiting for its receipts. Both speak plain SMTP on loopback, 20 KB of body per message, over connections that stay open.
// Not included: TLS and AUTH (once per connection), the quoting and the attachments of a MIME library.
func BenchmarkSending(b *testing.B) {
	address := startSink(b)
	const messages = 3000
	var ours, theirs time.Duration
	turns := 0
	for b.Loop() {
		turns++
		theirs += sourced(b, address, messages)
		s := newSending(b, address)
		s.submit(b, messages, sendingSize)
		began := time.Now()
		s.work(b, messages)
		ours += time.Since(began)
		s.close(b)
	}
	rate := func(took time.Duration) float64 { return float64(turns*messages) / took.Seconds() }
	b.ReportMetric(rate(ours)/rate(theirs), "x-smtp-source")
	b.ReportMetric(rate(ours), "messages/s")
	b.ReportMetric(rate(theirs), "smtp-source/s")
	b.ReportMetric(0, "ns/op") // a turn of both, and nobody's business
}

func TestSendingEndsWithEveryMessageWaitingForItsReceipts(t *testing.T) {
	t.Parallel()
	address := startSink(t)
	s := newSending(t, address)
	defer s.close(t)
	s.submit(t, 40, sendingSize)
	s.work(t, 40)
	n := 0
	for _, in := range s.wire.boxes {
		if in.sent > 0 {
			n++
		}
	}
	if n < 2 {
		t.Errorf("%d mailboxes were used, want several", n)
	}
	if _, err := s.hub.Ledger().Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// sourced lets smtp-source send n messages and gives the time it took.
func sourced(b *testing.B, address string, n int) time.Duration {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "smtp-source", "-d", "-s", strconv.Itoa(sendingBoxes), "-l", strconv.Itoa(sendingSize),
		"-m", strconv.Itoa(n), "-f", "ufficio@pec.ministero.test", "-t", "rossi@pec.cittadini.test", address)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("smtp-source: %v: %s", err, out)
	}
	return time.Since(began)
}

// startSink starts Postfix's smtp-sink on a free port of loopback.
func startSink(t testing.TB) (address string) {
	t.Helper()
	for _, tool := range []string{"smtp-sink", "smtp-source"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed; it is in Debian's package postfix", tool)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	args := []string{address, "1000"}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "root"}, args...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "smtp-sink", args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("smtp-sink does not listen: %v", err)
		}
		<-tick.C
	}
}

// A sending is a hub with one adapter that speaks plain SMTP.
type sending struct {
	hub  *hub.Hub
	wire *wire
}

func newSending(t testing.TB, address string) *sending {
	t.Helper()
	dir := t.TempDir()
	key, err := ledger.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`environment: collaudo
store: {path: %s/hub.db, key: secret://file/store, reserve: 0}
ledger: {key: secret://file/ledger}
calls: {others: {places: 0, per_second: 0, burst: 0}}
adapters:
  post:
    kind: wire
    address: %s
    policy:
      limit: {places: 0, per_second: 0, burst: 0}
routes:
  delivery: [post]
`, dir, address)
	for name, text := range map[string]string{"hub.yaml": config, "store": store.NewKey(), "ledger": string(key)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &sending{}
	kinds := contracts.Kinds{"wire": func() contracts.Config { return &wireConfig{opened: func(w *wire) { s.wire = w }} }}
	cfg, err := hub.Load(filepath.Join(dir, "hub.yaml"), kinds)
	if err != nil {
		t.Fatal(err)
	}
	if s.hub, err = hub.Open(context.Background(), cfg, kinds, hub.Options{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// submit puts n messages of that size into the outbox, by many callers.
func (s *sending) submit(t testing.TB, n, size int) {
	t.Helper()
	m := message(t, "rossi@pec.cittadini.test", "S")
	m.Text = contracts.NewPrivate(strings.Repeat(strings.Repeat("x", 78)+"\r\n", size/80))
	m.Secret = false
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	for range 64 {
		wg.Go(func() {
			ctx := contracts.WithCaller(context.Background(), contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: "S"})
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if _, err := contracts.Submit(contracts.WithKey(ctx, fmt.Sprint(i)), s.hub, delivery.OpSend, m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// work lets the hub work until all n messages wait for their receipts.
func (s *sending) work(t testing.TB, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() { worked <- s.hub.Work(ctx) }()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for quiet := false; !quiet; {
		select {
		case <-tick.C:
		case err := <-worked:
			t.Fatalf("work: %v", err)
		case <-limit.C:
			t.Fatalf("%d of %d messages are sent after a minute", s.wire.sent.Load(), n)
		}
		if s.wire.sent.Load() >= int64(n) {
			_, quiet = s.hub.Idle()
		}
	}
	cancel()
	if err := <-worked; err != nil {
		t.Errorf("work: %v", err)
	}
	stats, err := s.hub.Tickets().Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if have := stats.States[contracts.StateWaiting]; have != n || s.wire.sent.Load() != int64(n) {
		t.Fatalf("%d tickets wait and %d messages were sent, want %d of both: %v", have, s.wire.sent.Load(), n, stats.States)
	}
}

func (s *sending) close(t testing.TB) {
	t.Helper()
	if err := s.hub.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A wireConfig is the configuration of an adapter that submits by plain SMTP.
type wireConfig struct {
	Address string `yaml:"address"`
	opened  func(*wire)
}

func (*wireConfig) Operations() []*contracts.OpInfo      { return delivery.Ops() }
func (*wireConfig) Validate(contracts.Environment) error { return nil }

func (c *wireConfig) Open(_ context.Context, env contracts.Env) (contracts.Adapter, error) {
	w := &wire{clock: env.Clock, boxes: make([]*wireBox, sendingBoxes)}
	for i := range w.boxes {
		w.boxes[i] = &wireBox{address: c.Address}
	}
	c.opened(w)
	return w, nil
}

// A wire is the adapter: ten mailboxes, each with a connection of its own and one message at a time.
type wire struct {
	clock contracts.Clock
	sent  atomic.Int64
	every time.Duration // between two messages of a mailbox
	mu    sync.Mutex
	boxes []*wireBox
}

type wireBox struct {
	address string
	busy    bool
	from    time.Time // its next turn
	sent    int
	conn    net.Conn
	in      *textproto.Reader
	out     *bufio.Writer
}

func (w *wire) Bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(delivery.OpSend, w.send, contracts.Reserving(delivery.OpSend, w.reserve),
		contracts.OnEvent(delivery.OpSend, func(_ delivery.Message, d delivery.Dispatch, _ contracts.Event) (delivery.Dispatch, contracts.Move, error) {
			return d, contracts.Move{}, nil
		}))}
}

func (w *wire) Close() error {
	for _, b := range w.boxes {
		if b.conn != nil {
			_ = b.conn.Close()
		}
	}
	return nil
}

func (w *wire) reserve(string) (p contracts.Place, next time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	for i, b := range w.boxes {
		switch {
		case b.busy:
		case b.from.After(now):
			if next.IsZero() || b.from.Before(next) {
				next = b.from
			}
		default:
			b.busy = true
			return contracts.Place{Name: strconv.Itoa(i), Release: func(used bool) { w.release(b, used) }}, time.Time{}, true
		}
	}
	return p, next, false
}

func (w *wire) release(b *wireBox, used bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.busy = false
	if used {
		b.from = w.clock.Now().Add(w.every)
	}
}

func (w *wire) send(ctx context.Context, m delivery.Message) (delivery.Dispatch, error) {
	n, err := strconv.Atoi(contracts.PlaceFrom(ctx))
	if err != nil {
		return delivery.Dispatch{}, contracts.Errorf(contracts.Internal, "send: no place: %w", err)
	}
	b, hold := w.boxes[n], contracts.HoldFrom(ctx)
	id := "h1." + hold.ID() + ".1@pec.ministero.test"
	frozen, err := hold.Keep(ctx, "message", func() ([]byte, error) {
		var out bytes.Buffer
		out.Grow(sendingSize + 1024)
		fmt.Fprintf(&out, "From: <ufficio@pec.ministero.test>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%s>\r\nDate: %s\r\nMIME-Version: 1.0\r\nX-TipoRicevuta: completa\r\n\r\n",
			m.To[0].Address.Reveal(), m.Subject.Reveal(), id, w.clock.Now().Format(time.RFC1123Z))
		out.WriteString(m.Text.Reveal())
		return out.Bytes(), nil
	})
	if err != nil {
		return delivery.Dispatch{}, err
	}
	attempt := contracts.Attempt{At: w.clock.Now(), RequestSum: contracts.SumOf(frozen)}
	began := time.Now()
	line, err := b.submit(m.To[0].Address.Reveal(), frozen, func() error { return hold.Depart(ctx) })
	attempt.Took, attempt.Sent = time.Since(began), err == nil
	attempt.Status, attempt.ResponseSum = "250", contracts.SumOf([]byte(line))
	contracts.TrailFrom(ctx).Attempt(attempt)
	if err != nil {
		return delivery.Dispatch{}, contracts.Errorf(contracts.Uncertain, "send: %w", err)
	}
	b.sent++
	w.sent.Add(1)
	return delivery.Dispatch{
		MessageID: "<" + id + ">", Mailbox: contracts.PlaceFrom(ctx), Submitted: w.clock.Now(), Sum: attempt.RequestSum,
		Recipients: []delivery.Delivery{{Address: m.To[0].Address, Status: delivery.Sent}},
	}, nil
}

// submit sends one message; a reply is awaited after each command.
func (b *wireBox) submit(to string, message []byte, depart func() error) (line string, err error) {
	if b.conn == nil {
		if b.conn, err = net.Dial("tcp", b.address); err != nil {
			return "", err
		}
		b.in, b.out = textproto.NewReader(bufio.NewReader(b.conn)), bufio.NewWriterSize(b.conn, 32<<10)
		if _, _, err = b.in.ReadResponse(220); err != nil {
			return "", err
		}
		if err = b.ask("EHLO pec.ministero.test\r\n", 250, &line); err != nil {
			return "", err
		}
	}
	if err = b.ask("MAIL FROM:<ufficio@pec.ministero.test>\r\n", 250, &line); err != nil {
		return "", err
	}
	if err = b.ask("RCPT TO:<"+to+">\r\n", 250, &line); err != nil {
		return "", err
	}
	if err = depart(); err != nil {
		return "", err
	}
	if err = b.ask("DATA\r\n", 354, &line); err != nil {
		return "", err
	}
	message = bytes.ReplaceAll(message, []byte("\r\n."), []byte("\r\n.."))
	if _, err = b.out.Write(message); err == nil {
		_, err = b.out.WriteString(".\r\n")
	}
	if err == nil {
		err = b.out.Flush()
	}
	if err != nil {
		return "", err
	}
	_, line, err = b.in.ReadResponse(250)
	return line, err
}

func (b *wireBox) ask(command string, want int, line *string) (err error) {
	if _, err = b.out.WriteString(command); err == nil {
		err = b.out.Flush()
	}
	if err == nil {
		_, *line, err = b.in.ReadResponse(want)
	}
	return err
}
