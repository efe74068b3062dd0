package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/contracts/domicile"
)

// An outcome is what became of a row. Every row has exactly one.
type outcome string

const (
	pending     outcome = "pending"
	invalid     outcome = "invalid"
	repeated    outcome = "repeated"
	checkFailed outcome = "check_failed"
	noDomicile  outcome = "no_domicile"
	delivered   outcome = "delivered"
	failed      outcome = "failed"
	uncertain   outcome = "uncertain"
)

// A row is one employer's request and where it stands.
type row struct {
	id       string
	line     int
	capacity domicile.Capacity
	outcome  outcome
	reason   string             // for people
	detail   string             // the error as the hub, or the list's reader, gave it
	asked    time.Time          // when the employer asked for the code
	settled  time.Time          // when the core heard of it
	facts    []fact             // what the check found, and what came late; empty: there was none
	verdict  verdict            // of the check, when the employer was told
	message  string             // ticket
	dispatch *delivery.Dispatch // nil: nobody took the message yet
	counted  bool               // among those that may still change
}

// fact gives what is known on a topic; nil where it was not asked about.
func (one *row) fact(t topic) *fact {
	for i := range one.facts {
		if one.facts[i].topic == t {
			return &one.facts[i]
		}
	}
	return nil
}

// no gives the first fact by which a register refuses the employer, or nil.
func (one *row) no() *fact {
	for i := range one.facts {
		if f := &one.facts[i]; f.known == against && f.topic.decides() {
			return f
		}
	}
	return nil
}

// waits reports whether nothing was decided or sent yet.
func (one *row) waits() bool {
	return one.outcome == pending && one.message == "" && len(one.facts) > 0
}

// describe names a row for a person: its number and line, never its subject.
func (one *row) describe() string {
	if one.id == "" {
		return fmt.Sprintf("line %d", one.line)
	}
	return fmt.Sprintf("%s, line %d", one.id, one.line)
}

// open reports whether the outcome may still change: a message that was not delivered within 24 hours can be delivered
// later, and is then.
func (one *row) open() bool {
	switch one.outcome {
	case pending, uncertain:
		return true
	case failed:
		return one.dispatch != nil && slices.ContainsFunc(one.dispatch.Recipients, func(r delivery.Delivery) bool {
			return r.Status == delivery.TimedOut
		})
	}
	return false
}

// sent reports whether a provider took the message. Receipts prove it where its own word for it was lost.
func (one *row) sent() bool {
	return one.dispatch != nil && (!one.dispatch.Submitted.IsZero() || len(one.dispatch.IDs) > 0 || one.outcome == delivered)
}

// accepted reports whether the provider certified that it took the message on. A delivery proves that too, where the
// acceptance never came.
func (one *row) accepted() bool {
	return one.dispatch != nil && (!one.dispatch.AcceptedAt.IsZero() || one.outcome == delivered)
}

// late reports whether the message was delivered after the notice that it was not.
func (one *row) late() bool {
	return one.outcome == delivered && slices.ContainsFunc(one.dispatch.Recipients, func(r delivery.Delivery) bool {
		return slices.Contains(r.Flags, "LATE")
	})
}

// waited is the time from asking for the code to its certified delivery.
func (one *row) waited() time.Duration {
	at := one.settled
	for _, r := range one.dispatch.Recipients {
		at = r.At
	}
	return at.Sub(one.asked)
}

// why says in a person's words why a row with a message has the outcome.
func (one *row) why(o outcome, t *contracts.Ticket) string {
	var to delivery.Delivery
	if one.dispatch != nil && len(one.dispatch.Recipients) > 0 {
		to = one.dispatch.Recipients[0]
	}
	switch o {
	case delivered:
		return ""
	case uncertain:
		return "nobody knows whether the provider took the message; it is not sent again"
	case failed:
		if t.State == contracts.StateAbandoned {
			return "given up by an operator"
		}
		if to.Status == "" {
			return whyNotSent(t.Err)
		}
		return whyNotDelivered(to)
	}
	switch {
	case one.dispatch == nil:
		return "the message waits for its turn"
	case to.Status == delivery.Accepted:
		return "accepted by the sender's provider; neither delivery nor failure was told yet"
	case to.Status == delivery.Delayed:
		return "not delivered within 12 hours; the provider goes on trying"
	}
	return "taken by the sender's provider; no receipt came yet"
}

// whyNotDelivered puts a receipt's reason into words; the register of reasons is delivery.Delivery's.
func whyNotDelivered(to delivery.Delivery) string {
	words := map[string]string{
		"UNKNOWN_MAILBOX": "there is no such mailbox",
		"UNKNOWN_DOMAIN":  "there is no such mail domain",
		"MAILBOX_FULL":    "the mailbox is full",
		"TOO_BIG":         "too big for the mailbox",
		"VIRUS":           "refused for a virus",
		"TIMEOUT":         "not delivered within 24 hours",
		"UNCERTIFIED":     "an ordinary mailbox, not PEC: no receipt will ever prove delivery",
		"OTHER":           "refused without a known reason",
	}
	text := cmp.Or(words[to.Reason], "not delivered")
	if to.Status == delivery.NotAccepted {
		text = "not accepted by the sender's provider: " + text
	}
	return withCode(text, to.Reason, to.Code)
}

// whyNotSent puts into words why no provider took a message.
func whyNotSent(err error) string {
	e := contracts.AsError(err)
	if e == nil {
		return "the message could not be sent"
	}
	return withCode("the message could not be sent: "+e.Kind.Error(), e.Code)
}

// whyNoAnswer puts into words why a look-up has no answer: which is never a "no".
func whyNoAnswer(err error) string {
	e := contracts.AsError(err)
	if e.Code == "INAD_CF_OMOCODICO" {
		return withCode("INAD cannot be asked about an omocodic code, so nobody knows", e.Code)
	}
	switch e.Kind {
	case contracts.Canceled: // whoever noticed first
		return "no answer in time"
	case contracts.Pending:
		return "the answer takes its time"
	}
	if e.System == "hub" && e.Retryable() {
		return withCode("the hub had no room for the question", e.Code)
	}
	what := map[contracts.Kind]string{
		contracts.Unavailable: "does not answer",
		contracts.Throttled:   "is asked too much",
		contracts.Denied:      "does not let us ask",
		contracts.Malformed:   "answers what cannot be read",
		contracts.Invalid:     "cannot be asked about this subject",
	}[e.Kind]
	if what == "" {
		what = "gave no answer: " + e.Kind.Error()
	}
	return withCode(fmt.Sprintf("%s %s", cmp.Or(e.System, "the hub"), what), e.Code)
}

// withCode adds what an operator searches for.
func withCode(text string, codes ...string) string {
	codes = slices.DeleteFunc(codes, func(c string) bool { return c == "" })
	if len(codes) == 0 {
		return text
	}
	return fmt.Sprintf("%s [%s]", text, strings.Join(codes, " "))
}
