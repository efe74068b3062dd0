package pec

import (
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	mock "raccordo/mocks/pec"
)

// TestEveryStoryEndsAsTheRulesSay sends one message for each thing that can go otherwise than well and lets forty hours
// pass: what became of the message, what moved nothing and why, and that every message of the mailbox was told and,
// if it attests anything, kept as it lay there.
func TestEveryStoryEndsAsTheRulesSay(t *testing.T) {
	const sent, accepted, delivered = "sent", "accepted", "delivered"
	for _, tc := range []struct {
		story  string
		want   string          // sketch of the dispatch
		state  contracts.State // of the ticket
		reason string          // of the first recipient, or the error's code
		odd    string          // in the reason of each message that moved nothing; empty: each did
	}{
		{story: "rossi", want: delivered, state: contracts.StateDone},

		{story: "nodest", want: "failed", state: contracts.StateFailed, reason: delivery.ReasonUnknownMailbox},
		{story: "full", want: "failed", state: contracts.StateFailed, reason: delivery.ReasonMailboxFull},
		{story: "toobig", want: "failed", state: contracts.StateFailed, reason: delivery.ReasonTooBig},
		{story: "virus", want: "failed", state: contracts.StateFailed, reason: delivery.ReasonVirus},
		{story: "slow", want: delivered, state: contracts.StateDone},
		{story: "timeout12", want: delivered, state: contracts.StateDone},
		{story: "timeout24", want: "timed_out", state: contracts.StateFailed, reason: delivery.ReasonTimeout},
		{story: "only24", want: "timed_out", state: contracts.StateFailed, reason: delivery.ReasonTimeout},
		{story: "late", want: "delivered:LATE", state: contracts.StateDone},
		{story: "never", want: accepted, state: contracts.StateWaiting},
		{story: "errafter", want: "delivered:CONFLICT", state: contracts.StateDone},
		{story: "delafter", want: "failed:CONFLICT", state: contracts.StateFailed},
		{story: "unknowntipo", want: accepted, state: contracts.StateWaiting, odd: string(unreadableTipo)},
		{story: "unknownerrore", want: "failed", state: contracts.StateFailed, reason: delivery.ReasonOther},
		{story: "pecinpec", want: delivered, state: contracts.StateDone},
		{story: "charge", want: delivered, state: contracts.StateDone},
		{story: "strayvirus", want: "failed", state: contracts.StateFailed, reason: delivery.ReasonVirus},
		{story: "bounce", want: "uncertified", state: contracts.StateFailed, reason: delivery.ReasonUncertified, odd: ReasonAnomalyEnv},

		{story: "noaccept", want: "not_accepted", state: contracts.StateFailed, reason: delivery.ReasonOther},
		{story: "noacceptvirus", want: "not_accepted", state: contracts.StateFailed, reason: delivery.ReasonVirus},
		{story: "noacceptreceipt", want: "delivered ACCEPTANCE_MISSING", state: contracts.StateDone},
		{story: "dup", want: delivered, state: contracts.StateDone},
		{story: "reorder", want: delivered, state: contracts.StateDone},
		{story: "mute", want: sent, state: contracts.StateWaiting},
		{story: "twoaccept", want: "delivered DOUBLE_SUBMISSION", state: contracts.StateDone},
		{story: "foreign", want: delivered, state: contracts.StateDone, odd: ReasonOtherUser},
		{story: "replay", want: delivered, state: contracts.StateDone, odd: ReasonMismatch},
		{story: "othersigner", want: "delivered ACCEPTANCE_MISSING", state: contracts.StateDone, odd: "NOT_OUR_PROVIDER"},
		{story: "header", want: accepted, state: contracts.StateWaiting, odd: ReasonMismatch},

		{story: "unsigned", want: sent, state: contracts.StateWaiting, odd: string(Unsigned)},
		{story: "badsig", want: sent, state: contracts.StateWaiting, odd: string(BadSignature)},
		{story: "altered", want: sent, state: contracts.StateWaiting, odd: string(BadSignature)},
		{story: "nomsgid", want: delivered, state: contracts.StateDone},
		{story: "noids", want: sent, state: contracts.StateWaiting, odd: ReasonOtherUser},
		{story: "expiredchain", want: sent, state: contracts.StateWaiting, odd: string(UntrustedChain)},
		{story: "validatsigning", want: delivered, state: contracts.StateDone},
		{story: "sha1", want: delivered, state: contracts.StateDone},
		{story: "ber", want: delivered, state: contracts.StateDone},
		{story: "skewfast", want: delivered, state: contracts.StateDone},
		{story: "skewslow", want: delivered, state: contracts.StateDone},
		{story: "skewfar", want: "delivered CLOCK", state: contracts.StateDone},
		{story: "zona", want: delivered, state: contracts.StateDone},

		{story: "fullbox", want: sent, state: contracts.StateWaiting},
		{story: "bump", want: delivered, state: contracts.StateDone},
		{story: "cutfetch", want: delivered, state: contracts.StateDone},
		{story: "nologin", want: delivered, state: contracts.StateDone},
		{story: "lockout", want: delivered, state: contracts.StateDone},

		{story: "greylist", want: delivered, state: contracts.StateDone},
		{story: "refused", state: contracts.StateFailed, reason: "550"},
		{story: "busy", want: delivered, state: contracts.StateDone},
		{story: "toomuch", want: delivered, state: contracts.StateDone},
		{story: "tempfail", want: delivered, state: contracts.StateDone},
		{story: "cutafter", want: delivered, state: contracts.StateDone},
		{story: "cutbefore", state: contracts.StateUncertain},
	} {
		t.Run(tc.story, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			to := to(tc.story + ".a@pec.cittadini.test")
			if tc.story == "bounce" {
				to = ordinary(tc.story)
			}
			id := w.submit(t, "1", to)
			var ticket contracts.Ticket
			var d delivery.Dispatch
			for _, wait := range []time.Duration{time.Minute, time.Hour, 12 * time.Hour, 4 * time.Hour, 8 * time.Hour, 8 * time.Hour, 7 * time.Hour} {
				w.bench.Advance(wait)
				looks := 0
				ticket, d = w.follow(t, id, func(contracts.Ticket) bool { looks++; return looks == 3 })
			}
			if ticket.State != tc.state || sketch(d) != tc.want {
				t.Errorf("%s with %q, want %s with %q (%v)", ticket.State, sketch(d), tc.state, tc.want, ticket.Err)
			}
			if ticket.Err != nil && !strings.HasPrefix(ticket.Err.Code, tc.reason) || tc.reason != "" && ticket.Err == nil {
				t.Errorf("told %v, want %s", ticket.Err, tc.reason)
			}
			if taken := len(w.mock.Accepted()); taken > 1 || (taken == 1) == slices.Contains([]string{"refused", "cutbefore"}, tc.story) {
				t.Errorf("taken %d times", taken)
			}
			w.moved(t, tc.odd)
			w.keptAll(t)
		})
	}
}

func ordinary(name string) delivery.Message { return to(name + ".a@" + mock.OrdinaryDomain) }

// moved checks why messages moved nothing: those that were set aside at the ticket, and those that name none.
func (w *world) moved(t *testing.T, word string) {
	t.Helper()
	var reasons []string
	for _, err := range w.run.Faults() {
		if !strings.HasPrefix(err.Error(), "feed:") { // a reading is repeated
			reasons = append(reasons, err.Error())
		}
	}
	for _, e := range w.run.Strays() {
		reasons = append(reasons, e.Kind+" "+data(t, e).Reason)
	}
	if (word == "") != (len(reasons) == 0) {
		t.Errorf("moved nothing: %q, want %q", reasons, word)
	}
	for _, r := range reasons {
		if !strings.Contains(r, word) || strings.Contains(r, "@") {
			t.Errorf("moved nothing because of %q, want %s", r, word)
		}
	}
}

// keptAll reads the mailbox anew: each message in it is told, and what attests anything is kept byte for byte.
func (w *world) keptAll(t *testing.T) {
	t.Helper()
	mails, err := w.mock.Mails(w.box.Address, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	all, _ := w.drain(t, nil)
	names := map[string]bool{}
	for _, e := range all {
		names[e.ID] = true
		if data(t, e).Reason != ReasonOrdinary && (len(e.Raw) != 1 || len(e.Proof) != 1 || e.Proof[0] != contracts.SumOf(e.Raw[0])) {
			t.Errorf("%s is not kept", e.Kind)
		}
	}
	if len(all) != len(mails) || (len(names) == 0) != (len(mails) == 0) {
		t.Errorf("%d events of %d messages", len(all), len(mails))
	}
}
