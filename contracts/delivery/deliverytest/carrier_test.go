package deliverytest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
)

// A mistake is one thing that a carrier's adapter, or the runner above it, may get wrong.
type mistake string

// A receipt is what the far side tells later.
type receipt struct {
	N      int
	Kind   string // accepted, refused, delivered, failed, notice
	To     contracts.Address
	Ident  string
	Reason string
	Plain  bool // the recipient has ordinary mail
	ref    string
	at     time.Time
}

// A carrier is an adapter and its far side in one, in memory. With no mistake it is right.
type carrier struct {
	*contracttest.Mistaken[mistake]

	mu       sync.Mutex
	receipts []receipt
	taken    map[string]time.Time // by ref
	inbox    int
	kept     [][]byte
}

func (c *carrier) Bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(delivery.OpSend, c.send, contracts.OnEvent(delivery.OpSend, c.fold))}
}

func (c *carrier) Every() time.Duration { return time.Minute }

// take is the far side's work: it accepts a message and plans its receipts.
func (c *carrier) take(ref string, m delivery.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken[ref] = c.Now()
	ident := "id-" + strconv.Itoa(len(c.taken)) + "-" + strconv.Itoa(c.Sent(""))
	plan := func(kind string, after time.Duration, to contracts.Address, reason string) {
		c.receipts = append(c.receipts, receipt{
			Kind: kind, To: to, Ident: ident, Reason: reason, ref: ref,
			Plain: story(to) == "plain", at: c.Now().Add(after),
		})
	}
	accepted := time.Second
	first := story(m.To[0].Address)
	switch first {
	case "noaccept":
		plan("refused", accepted, contracts.Address{}, "OTHER")
		return
	case "mute":
		return
	case "reorder":
		accepted = 100 * time.Second
	}
	if first != "noacceptreceipt" {
		plan("accepted", accepted, m.To[0].Address, "")
	}
	for _, r := range m.To {
		switch to := r.Address; story(to) {
		case "plain", "never":
		case "nodest":
			plan("failed", 2*time.Second, to, "UNKNOWN_MAILBOX")
		case "full":
			plan("failed", 2*time.Second, to, "MAILBOX_FULL")
		case "virus":
			plan("failed", 2*time.Second, to, "VIRUS")
		case "toobig":
			plan("failed", 2*time.Second, to, "TOO_BIG")
		case "nodomain":
			plan("failed", 2*time.Second, to, "UNKNOWN_DOMAIN")
		case "slow":
			plan("delivered", 5*time.Hour, to, "")
		case "timeout12":
			plan("notice", 12*time.Hour, to, "")
			plan("delivered", 15*time.Hour, to, "")
		case "timeout24", "late":
			plan("notice", 12*time.Hour, to, "")
			plan("notice", 24*time.Hour, to, "")
			if story(to) == "late" {
				plan("delivered", 26*time.Hour, to, "")
			}
		case "dup":
			plan("accepted", 3*time.Second, to, "")
			plan("delivered", 90*time.Second, to, "")
			plan("delivered", 95*time.Second, to, "")
		default:
			plan("delivered", 90*time.Second, to, "")
		}
	}
}

// story is the first label of the local part.
func story(a contracts.Address) string {
	label, _, _ := strings.Cut(a.Reveal(), ".")
	return label
}

func fail(kind contracts.Kind, format string, args ...any) *contracts.Error {
	e := contracts.Errorf(kind, format, args...)
	e.System, e.Operation = "memory", delivery.OpSend.Name
	return e
}

func (c *carrier) send(ctx context.Context, m delivery.Message) (delivery.Dispatch, error) {
	hold := contracts.HoldFrom(ctx)
	frozen, err := hold.Keep(ctx, "message", func() ([]byte, error) { return []byte(m.Subject.Reveal() + m.Text.Reveal()), nil })
	if err != nil {
		return delivery.Dispatch{}, err
	}
	if c.Wrong("logs the recipient") {
		c.Log.Info("send", "to", m.To[0].Address.Reveal())
	}
	if err := hold.Depart(ctx); err != nil {
		return delivery.Dispatch{}, fail(contracts.Canceled, "send: %w", err)
	}
	parts := 1
	if c.Wrong("ends at a lone dot") {
		parts += strings.Count(string(frozen), "\r\n.\r\n")
	}
	for range parts {
		if err := c.wire(ctx, hold.ID(), m); err != nil {
			switch {
			case c.Wrong("faults are not found"):
				err.Kind = contracts.NotFound
			case c.Wrong("sends again in doubt") && err.Kind == contracts.Uncertain:
				err.Kind = contracts.Unavailable
			case c.Wrong("a lost connection is a refusal") && err.Kind == contracts.Uncertain:
				err.Kind = contracts.Invalid
			}
			return delivery.Dispatch{}, err
		}
	}
	d := c.begin(hold.ID(), m)
	d.Submitted = c.Now()
	return d, nil
}

func (c *carrier) begin(ref string, m delivery.Message) delivery.Dispatch {
	d := delivery.Dispatch{MessageID: "<" + ref + "@memory.test>"}
	if c.Wrong("one message-id for all") {
		d.MessageID = "<same@memory.test>"
	}
	for _, r := range m.To {
		d.Recipients = append(d.Recipients, delivery.Delivery{Address: r.Address, Status: delivery.Sent})
	}
	return d
}

// wire is one exchange: what the far side makes of it.
func (c *carrier) wire(ctx context.Context, ref string, m delivery.Message) *contracts.Error {
	fault := c.Exchange()
	switch fault {
	case "":
		c.take(ref, m)
		return nil
	case contracttest.Refuse, contracttest.Status500, contracttest.Status503:
		return fail(contracts.Unavailable, "submit: %s", fault)
	case contracttest.Throttle:
		e := fail(contracts.Throttled, "submit: too much traffic")
		e.After = time.Minute
		return e
	case contracttest.NotAllowed, contracttest.StaleVoucher:
		return fail(contracts.Denied, "submit: %s", fault)
	case contracttest.Drop:
		return fail(contracts.Uncertain, "submit: connection lost")
	case contracttest.Slow:
		c.take(ref, m)
		<-ctx.Done()
		return fail(contracts.Uncertain, "submit: %w", ctx.Err())
	}
	c.take(ref, m)
	return fail(contracts.Uncertain, "submit: %s", fault)
}

func (c *carrier) Feed(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
	if c.Wrong("takes silence for failure") {
		for ref, at := range c.taken {
			if now.Sub(at) > time.Hour {
				c.receipts = append(c.receipts, receipt{Kind: "refused", Ident: "none", Reason: "TIMEOUT", ref: ref, at: now})
				c.taken[ref] = now
			}
		}
	}
	slices.SortStableFunc(c.receipts, func(a, b receipt) int { return a.at.Compare(b.at) })
	start, _ := strconv.Atoi(string(from))
	var events []contracts.Event
	n := start
	for ; n < len(c.receipts) && !c.receipts[n].at.After(now); n++ {
		r := c.receipts[n]
		r.N = n
		data, err := json.Marshal(r)
		if err != nil {
			return nil, nil, err
		}
		e := contracts.Event{ID: fmt.Sprint("receipt-", n), Kind: "memory." + r.Kind, Ref: r.ref, At: r.at, Data: data}
		if !c.Wrong("keeps no proof") {
			e.Proof = []contracts.Sum{contracts.SumOf(data)}
		}
		events = append(events, e)
	}
	return events, contracts.Cursor(strconv.Itoa(n)), nil
}
