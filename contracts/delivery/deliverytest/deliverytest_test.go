package deliverytest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
	"raccordo/contracts/delivery/deliverytest"
)

var today = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func address(s string) contracts.Address { return contracttest.Sure(contracts.ParseAddress(s)) }

// A careless runner forgets what a runner promises, one thing at a time.
type careless struct {
	*contracttest.Runner
	c *carrier
}

func (r careless) Submit(ctx context.Context, call *contracts.Call) (contracts.Ticket, error) {
	changed := *call
	switch {
	case r.c.Wrong("promises without looking"):
		if m := call.Request.(delivery.Message); m.Validate() != nil || call.Key == "" || call.Caller.Service == "" || call.Caller.Purpose == "" {
			return contracts.Ticket{ID: "promised", State: contracts.StateQueued}, nil
		}
	case r.c.Wrong("forgets keys"):
		r.c.mu.Lock()
		r.c.inbox++
		changed.Key += strings.Repeat("x", r.c.inbox)
		r.c.mu.Unlock()
	}
	t, err := r.Runner.Submit(ctx, &changed)
	if r.c.Wrong("swallows the other message") && contracts.KindOf(orInternal(err)) == contracts.Conflict {
		return t, nil
	}
	if r.c.Wrong("keeps secrets") && err == nil {
		r.c.mu.Lock()
		r.c.kept = append(r.c.kept, r.Kept(t.ID)...)
		r.c.mu.Unlock()
	}
	return t, err
}

func orInternal(err error) error {
	if err == nil {
		return contracts.Internal
	}
	return err
}

func (r careless) Ticket(ctx context.Context, id string) (contracts.Ticket, error) {
	if r.c.Wrong("shows tickets to everybody") {
		ctx = contracts.WithCaller(ctx, contracttest.Harness{}.Who())
	}
	return r.Runner.Ticket(ctx, id)
}

func harness(m mistake) deliverytest.Harness {
	c := &carrier{Mistaken: contracttest.NewMistaken(today, m), taken: map[string]time.Time{}}
	rig, run := c.Harness(c)
	rig.Runner = careless{run, c}
	to := func(local string) contracts.Address { return address(local + ".prova@pec.memory.test") }
	return deliverytest.Harness{
		Harness: rig,
		Sender:  "centrale", Message: "memory message",
		Delivered: to("uno"), DeliveredToo: to("due"), Refused: to("nodest"), Full: to("full"), Virus: to("virus"),
		TooBig: to("toobig"), UnknownDomain: to("nodomain"), Uncertified: to("plain"), NotAccepted: to("noaccept"),
		NoAcceptance: to("noacceptreceipt"), Slow: to("slow"), Timeout12: to("timeout12"), Timeout24: to("timeout24"),
		Late: to("late"), Never: to("never"), Mute: to("mute"), Duplicated: to("dup"), Reordered: to("reorder"),
		Kept: func(id string) [][]byte {
			c.mu.Lock()
			defer c.mu.Unlock()
			return append(run.Kept(id), c.kept...)
		},
	}
}

func TestRightAdapterPasses(t *testing.T) {
	deliverytest.Run(t, harness(""))
}

// reds names, for each case, a mistake that the case must find; the fault cases, not listed, must all see that a fault
// is told as NotFound.
var reds = map[string]mistake{
	"send-is-delivered":                             "answers before delivery",
	"send-to-several-is-delivered-to-each":          "answers before delivery",
	"send-to-several-tells-each-outcome":            "one failure fails all",
	"send-to-no-such-mailbox-fails":                 "loses the reasons",
	"send-to-a-full-mailbox-fails":                  "loses the reasons",
	"send-of-a-virus-fails":                         "loses the reasons",
	"send-of-too-much-fails":                        "loses the reasons",
	"send-to-an-unknown-domain-fails":               "loses the reasons",
	"send-refused-by-our-provider-fails":            "a refusal may be repeated",
	"send-to-ordinary-mail-is-no-proof":             "takes ordinary mail for proof",
	"delivery-after-hours-is-waited-for":            "takes silence for failure",
	"delivery-after-the-first-notice-counts":        "notices leave no trace",
	"delivery-times-out-after-the-second-notice":    "notices never end",
	"delivery-after-the-second-notice-still-counts": "late is like any other",
	"silence-after-acceptance-settles-nothing":      "takes silence for failure",
	"silence-from-the-start-settles-nothing":        "takes silence for failure",
	"receipt-twice-counts-once":                     "takes duplicates for news",
	"receipts-in-any-order-tell-the-same":           "drops an acceptance that comes second",
	"delivery-without-acceptance-counts":            "wants acceptance first",
	"receipts-leave-proof":                          "keeps no proof",
	"message-with-a-header-in-it-is-refused":        "promises without looking",
	"message-that-is-wrong-is-refused":              "promises without looking",
	"send-wants-a-caller-and-a-purpose":             "promises without looking",
	"send-wants-a-key":                              "promises without looking",
	"message-with-a-lone-dot-arrives-whole":         "ends at a lone dot",
	"same-key-again-is-the-same-ticket":             "forgets keys",
	"same-key-with-another-message-is-a-conflict":   "swallows the other message",
	"ticket-of-another-service-is-not-found":        "shows tickets to everybody",
	"send-in-parallel-mixes-nothing-up":             "one message-id for all",
	"secret-is-erased-when-settled":                 "keeps secrets",
	"answer-lost-after-the-dot-never-doubles":       "sends again in doubt",
	"connection-lost-before-the-dot-is-tried-again": "a lost connection is a refusal",
	"nobody-can-be-read-of":                         "logs the recipient",
}

// otherReds are further mistakes and a case that finds them.
var otherReds = map[mistake]string{
	"one receipt for all":       "send-to-several-tells-each-outcome",
	"sends again in doubt":      "send-truncate-once",
	"takes silence for failure": "delivery-times-out-after-the-second-notice",
}

var proof = contracttest.Proof[mistake]{
	Cases: func(m mistake) []contracttest.Case { return deliverytest.Cases(harness(m)) },
	Reds:  reds, Else: "faults are not found", Further: otherReds,
}

func TestEachCaseCanFail(t *testing.T)        { proof.EachCase(t) }
func TestFurtherMistakesAreSeen(t *testing.T) { proof.FurtherMistakes(t) }

func TestStoriesThatAreMissingAreDeclared(t *testing.T) {
	full := harness("")
	h := deliverytest.Harness{Harness: contracttest.Harness{Runner: full.Runner}, Sender: full.Sender, Delivered: full.Delivered}
	contracttest.WantAbsent(t, deliverytest.Cases(h), 15)
	deliverytest.Run(t, h)
}
